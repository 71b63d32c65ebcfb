package main

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/protobuf/encoding/protowire"
)

const (
	// perRequest is how many spans or lines a request has, templates how many different
	// requests are encoded; later ones repeat them with other ids and times.
	perRequest = 1000
	templates  = 256

	users = 100_000
	// rareTemplate is the place, out of every hundred templates, of those that hold one row
	// with the rare value: about one row of 85,000.
	rareTemplate = 7
	rareCode     = "E7731"
)

// window is the time that the events are spread over: the last 14 days, less an hour, since
// PutLogEvents takes nothing older than 14 days.
type window struct{ From, To time.Time }

func windowBefore(t time.Time) window {
	to := t.UTC().Truncate(time.Minute)
	return window{to.Add(time.Hour - 14*24*time.Hour), to}
}

// slot returns the length of one of n requests.
func (w window) slot(n int) int64 { return int64(w.To.Sub(w.From)) / int64(n) }

// kind says what is written at a place of a template.
type kind uint8

const (
	traceID   kind = iota // 16 bytes
	spanID                // 8 bytes
	parentID              // 8 bytes
	startTime             // fixed64, nanoseconds
	endTime               // fixed64, nanoseconds
	userText              // 5 digits
	idText                // 8 digits, of the trace
	millis                // 13 digits
	hex16                 // 16 hex digits, of the trace
	hex32                 // the trace id in hex
)

// runs maps the length of a run of '#' in a template's text to what is written there.
var runs = map[int]kind{5: userText, 8: idText, 13: millis, 16: hex16, 32: hex32}

// place is where a request differs from its template.
type place struct {
	at   int32
	kind kind
	row  int32
}

// row is what the bench knows of a span or line.
type row struct {
	trace, parent   int32 // parent is a row, -1 for none
	start, duration int64 // start counts from its trace's
	service, route  int8  // route is -1 for none
	method          int8
	failed, rare    bool
	timeout         bool // of lines: the text has the word
	level           int8
}

// template is one encoded request.
type template struct {
	body   []byte
	places []place
	rows   []row
	traces int
}

// mix is splitmix64: the ids of a request are its numbers, well mixed.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// number names trace or row i of request n; salt keeps the two apart.
func number(salt uint64, n, i int) uint64 { return mix(salt<<56 ^ uint64(n)<<20 ^ uint64(i)) }

func traceOf(n, trace int) (id [16]byte) {
	binary.BigEndian.PutUint64(id[:], number(1, n, trace))
	binary.BigEndian.PutUint64(id[8:], number(2, n, trace))
	return id
}

// userOf returns the user of a trace: some come often, most seldom.
func userOf(n, trace int) int {
	u := float64(number(3, n, trace)>>11) / (1 << 53)
	return int(u * u * u * users)
}

// begin returns the start of a trace of request n, of requests in all.
func (t *template) begin(w window, n, requests, trace int) int64 {
	slot := w.slot(requests)
	return w.From.UnixNano() + int64(n)*slot + int64(trace)*(slot/int64(t.traces))
}

// fill makes request n of the template in buf, which it grows when needed, and returns it.
func (t *template) fill(buf []byte, w window, n, requests int) []byte {
	buf = append(buf[:0], t.body...)
	for _, p := range t.places {
		r := &t.rows[p.row]
		trace := int(r.trace)
		b := buf[p.at:]
		switch p.kind {
		case traceID:
			id := traceOf(n, trace)
			copy(b, id[:])
		case spanID:
			binary.BigEndian.PutUint64(b, number(4, n, int(p.row)))
		case parentID:
			binary.BigEndian.PutUint64(b, number(4, n, int(r.parent)))
		case startTime:
			binary.LittleEndian.PutUint64(b, uint64(t.begin(w, n, requests, trace)+r.start))
		case endTime:
			binary.LittleEndian.PutUint64(b, uint64(t.begin(w, n, requests, trace)+r.start+r.duration))
		case userText:
			digits(b[:5], uint64(userOf(n, trace)))
		case idText:
			digits(b[:8], number(5, n, trace))
		case millis:
			digits(b[:13], uint64(t.begin(w, n, requests, trace)+r.start)/1e6)
		case hex16:
			var x [8]byte
			binary.BigEndian.PutUint64(x[:], number(6, n, trace))
			hex.Encode(b[:16], x[:])
		case hex32:
			id := traceOf(n, trace)
			hex.Encode(b[:32], id[:])
		}
	}
	return buf
}

// digits writes the last digits of v.
func digits(b []byte, v uint64) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = byte('0' + v%10)
		v /= 10
	}
}

// text notes the runs of '#' in part of a template, which belong to a row.
func (t *template) text(from, to, row int) {
	for i := from; i < to; {
		if t.body[i] != '#' {
			i++
			continue
		}
		n := 1
		for i+n < to && t.body[i+n] == '#' {
			n++
		}
		if k, ok := runs[n]; ok {
			t.places = append(t.places, place{int32(i), k, int32(row)})
		}
		i += n
	}
}

// fields calls f with each field of the message in b[from:to]: where its value is, and how
// long.
func fields(b []byte, from, to int, f func(num protowire.Number, at, size int) error) error {
	for at := from; at < to; {
		num, typ, n := protowire.ConsumeTag(b[at:to])
		if n < 0 {
			return protowire.ParseError(n)
		}
		at += n
		size := protowire.ConsumeFieldValue(num, typ, b[at:to])
		if size < 0 {
			return protowire.ParseError(size)
		}
		head := 0
		if typ == protowire.BytesType {
			_, head = protowire.ConsumeVarint(b[at:to])
		}
		if err := f(num, at+head, size-head); err != nil {
			return err
		}
		at += size
	}
	return nil
}

// leaves calls f with the spans or log records of an OTLP request, which are at the same depth
// in both: request 1 > resource 2 > scope 2.
func leaves(b []byte, f func(at, size int) error) error {
	return fields(b, 0, len(b), func(num protowire.Number, at, size int) error {
		return fields(b, at, at+size, func(num protowire.Number, at, size int) error {
			if num != 2 {
				return nil
			}
			return fields(b, at, at+size, func(num protowire.Number, at, size int) error {
				if num != 2 {
					return nil
				}
				return f(at, size)
			})
		})
	})
}

// The shop: its services, what they call, their routes.
var (
	services = []string{"gateway", "web", "catalog", "search", "cart", "checkout", "payment", "inventory", "shipping", "account"}
	calls    = [][]int8{{1}, {2, 4, 5, 9}, {3, 7}, nil, {7, 9}, {6, 7, 8, 9}, {9}, nil, {7}, nil}
	methods  = []string{"GET", "POST", "PUT", "DELETE"}
	domains  = []string{"gate", "page", "item", "find", "cart", "order", "pay", "stock", "box", "user"}
	nouns    = []string{"kind", "count", "source", "score", "hit", "tier", "size", "via", "rate", "retry", "flag"}
	agents   = []string{
		"Mozilla/5.0 (X11; Linux x86_64) Chrome/141.0", "Mozilla/5.0 (iPhone) Safari/604.1", "Mozilla/5.0 (Windows NT 10.0) Firefox/144.0", "okhttp/5.1.0",
	}
)

// routeName returns one of the four routes of a service; the method goes with it.
func routeName(service, route int8) string {
	return "/api/" + services[service] + []string{"/list", "/{id}", "/{id}/lines", "/update"}[route%4]
}

type role uint8

const (
	server role = iota
	client
	database
	internal
)

// planned is a span before it is encoded.
type planned struct {
	row
	role     role
	target   int8 // of a client span
	children []int32
}

// plan makes a trace: a root, calls between services as pairs of spans, and leaves.
func plan(rnd *rand.Rand, trace int32) []planned {
	size := 10 + rnd.IntN(11)
	spans := []planned{{row: row{trace: trace, parent: -1}, role: server}}
	add := func(p int32, s planned) int32 {
		s.trace, s.parent = trace, p
		spans = append(spans, s)
		i := int32(len(spans) - 1)
		spans[p].children = append(spans[p].children, i)
		return i
	}
	at := []int32{0} // the server spans
	for len(spans) < size {
		p := at[max(rnd.IntN(len(at)), rnd.IntN(len(at)))]
		callees := calls[spans[p].service]
		service := spans[p].service
		if len(callees) > 0 && size-len(spans) >= 2 && (p == 0 || rnd.IntN(3) > 0) {
			callee := callees[rnd.IntN(len(callees))]
			c := add(p, planned{role: client, target: callee, row: row{service: service}})
			at = append(at, add(c, planned{role: server, row: row{service: callee}}))
			continue
		}
		add(p, planned{role: database + role(rnd.IntN(2)), row: row{service: service}})
	}
	for i := range spans {
		s := &spans[i]
		s.route = -1
		if s.role == server {
			s.route = s.service*4 + int8(rnd.IntN(4))
			s.method = []int8{0, 0, 0, 1}[s.route%4]
		}
	}
	for i := range spans {
		if s := &spans[i]; s.role == client {
			s.method = spans[s.children[0]].method
		}
	}
	if rnd.Float64() < 0.06 { // a failure reaches the root: 2 % of all spans
		for i := int32(rnd.IntN(len(spans))); i >= 0; i = spans[i].parent {
			spans[i].failed = true
		}
	}
	spans[0].duration = int64(120e6 * math.Exp(0.9*rnd.NormFloat64()))
	schedule(rnd, spans, 0)
	return spans
}

// schedule lays the children of a span one after the other inside it.
func schedule(rnd *rand.Rand, spans []planned, i int32) {
	p := &spans[i]
	if len(p.children) == 0 {
		return
	}
	weights, sum := make([]float64, len(p.children)), 0.0
	for k := range weights {
		weights[k] = math.Exp(0.8 * rnd.NormFloat64())
		sum += weights[k]
	}
	at := float64(p.start) + 0.04*float64(p.duration)
	for k, c := range p.children {
		share := 0.92 * float64(p.duration) * weights[k] / sum
		spans[c].start = int64(at + 0.05*share)
		spans[c].duration = int64(share * (0.7 + 0.2*rnd.Float64()))
		at += share
		schedule(rnd, spans, c)
	}
}

// spanTemplate encodes request i of the templates.
func spanTemplate(i int) (*template, error) {
	rnd := rand.New(rand.NewPCG(1, uint64(i)))
	t := &template{}
	var all []planned
	for len(all) < perRequest {
		spans := plan(rnd, int32(t.traces))
		// The last trace fills what is left: a prefix of a trace is a trace.
		if room := perRequest - len(all); len(spans) > room {
			spans = spans[:room]
		}
		first := int32(len(all))
		for k := range spans {
			if spans[k].parent >= 0 {
				spans[k].parent += first
			}
		}
		all = append(all, spans...)
		t.traces++
	}
	if i%100 == rareTemplate {
		all[500].rare = true
	}
	// In the request the spans stand by service, as a collector batches them.
	order := make([]int32, len(all))
	for k := range order {
		order[k] = int32(k)
	}
	slices.SortStableFunc(order, func(a, b int32) int { return cmp.Compare(all[a].service, all[b].service) })
	td := ptrace.NewTraces()
	var list ptrace.SpanSlice
	for k, at := range order {
		if k == 0 || all[at].service != all[order[k-1]].service {
			list = resource(td, all[at].service)
		}
		encodeSpan(rnd, list.AppendEmpty(), &all[at])
	}
	for k := range all {
		t.rows = append(t.rows, all[k].row)
	}
	var err error
	if t.body, err = ptraceotlp.NewExportRequestFromTraces(td).MarshalProto(); err != nil {
		return nil, err
	}
	return t, t.locateSpans(order)
}

func resource(td ptrace.Traces, service int8) ptrace.SpanSlice {
	rs := td.ResourceSpans().AppendEmpty()
	a := rs.Resource().Attributes()
	a.PutStr("service.name", services[service])
	a.PutStr("service.version", fmt.Sprintf("1.%d.0", service+3))
	a.PutStr("host.name", fmt.Sprintf("node-%d.eu-1.example.net", service%4))
	a.PutStr("telemetry.sdk.language", "go")
	ss := rs.ScopeSpans().AppendEmpty()
	ss.Scope().SetName("shop/tracing")
	return ss.Spans()
}

// encodeSpan writes a span with ids and times that are filled in later.
func encodeSpan(rnd *rand.Rand, s ptrace.Span, p *planned) {
	// Ids of zero would be left out of the encoding.
	s.SetTraceID(pcommon.TraceID{1})
	s.SetSpanID(pcommon.SpanID{1})
	if p.parent >= 0 {
		s.SetParentSpanID(pcommon.SpanID{1})
	}
	s.SetStartTimestamp(1)
	s.SetEndTimestamp(1)
	a := s.Attributes()
	a.EnsureCapacity(28)
	a.PutStr("user.id", "user-#####")
	a.PutStr("request.id", "req-################")
	a.PutStr("cloud.region", "eu-1")
	a.PutInt("thread.id", int64(rnd.IntN(64)))
	a.PutStr("tenant", fmt.Sprintf("tenant-%02d", rnd.IntN(40)))
	status := int64(200)
	switch {
	case p.failed:
		status = 500 + int64(rnd.IntN(2))*3
	case rnd.IntN(25) == 0:
		status = 404
	}
	switch p.role {
	case server:
		s.SetKind(ptrace.SpanKindServer)
		route := routeName(p.service, p.route)
		s.SetName(methods[p.method] + " " + route)
		a.PutStr("http.method", methods[p.method])
		a.PutStr("http.route", route)
		a.PutStr("http.url", "https://shop.example"+route+"/########?page="+fmt.Sprint(rnd.IntN(30)))
		a.PutInt("http.status_code", status)
		a.PutStr("http.scheme", "https")
		a.PutStr("http.flavor", "2.0")
		a.PutStr("net.peer.ip", fmt.Sprintf("10.%d.%d.%d", rnd.IntN(4), rnd.IntN(250), rnd.IntN(250)))
		a.PutStr("user_agent", agents[rnd.IntN(len(agents))])
		a.PutInt("http.response_size", int64(rnd.IntN(200_000)))
	case client:
		s.SetKind(ptrace.SpanKindClient)
		s.SetName(methods[p.method] + " " + services[p.target])
		a.PutStr("http.method", methods[p.method])
		a.PutStr("http.url", "http://"+services[p.target]+".shop.svc:8080/api/"+services[p.target]+"/########")
		a.PutInt("http.status_code", status)
		a.PutStr("net.peer.name", services[p.target]+".shop.svc")
		a.PutInt("net.peer.port", 8080)
		a.PutStr("peer.service", services[p.target])
		a.PutInt("http.resend_count", int64(rnd.IntN(50)/49))
	case database:
		s.SetKind(ptrace.SpanKindClient)
		table := domains[p.service] + "s"
		s.SetName("SELECT shop." + table)
		a.PutStr("db.system", "postgresql")
		a.PutStr("db.name", "shop")
		a.PutStr("db.operation", "SELECT")
		a.PutStr("db.sql.table", table)
		a.PutStr("db.statement", "SELECT id, state FROM "+table+" WHERE id = $1 LIMIT "+fmt.Sprint(10*(1+rnd.IntN(5))))
		a.PutStr("net.peer.name", "pg-"+fmt.Sprint(p.service%3)+".shop.svc")
		a.PutInt("db.rows", int64(rnd.IntN(50)))
	default:
		s.SetKind(ptrace.SpanKindInternal)
		s.SetName("shop." + domains[p.service] + "." + nouns[rnd.IntN(4)])
		a.PutStr("code.function", nouns[rnd.IntN(len(nouns))])
		a.PutStr("code.namespace", "shop."+services[p.service])
		a.PutInt("code.lineno", int64(rnd.IntN(900)))
		a.PutStr("code.filepath", "/src/"+services[p.service]+"/"+domains[p.service]+".go")
	}
	if p.failed {
		s.Status().SetCode(ptrace.StatusCodeError)
		s.Status().SetMessage("upstream request failed")
		code := fmt.Sprintf("E%04d", 1000+rnd.IntN(30))
		if p.rare {
			code = rareCode
		}
		a.PutStr("error.code", code)
	} else if p.rare {
		a.PutStr("error.code", rareCode)
	}
	// Most of a service's own keys are of its domain, some of any.
	first := rnd.IntN(len(nouns))
	for k := 0; a.Len() < 24; k++ {
		d, n := int(p.service), (first+k)%len(nouns)
		if k >= len(nouns) || rnd.IntN(6) == 0 {
			d, n = rnd.IntN(len(domains)), rnd.IntN(len(nouns))
		}
		putOwn(rnd, a, d, n)
	}
}

// putOwn sets one of the 110 keys of the application; its kind goes with the key.
func putOwn(rnd *rand.Rand, a pcommon.Map, domain, noun int) {
	key := "app." + domains[domain] + "." + nouns[noun]
	switch (domain + noun) % 5 {
	case 0:
		a.PutStr(key, fmt.Sprintf("%s-%02d", nouns[noun], rnd.IntN(12)))
	case 1:
		a.PutInt(key, int64(rnd.IntN(1000)))
	case 2:
		a.PutStr(key, fmt.Sprintf("option-%02d", rnd.IntN(40)))
	case 3:
		a.PutDouble(key, math.Round(rnd.Float64()*1e4)/1e4)
	default:
		a.PutBool(key, rnd.IntN(3) == 0)
	}
}

// spanFields are the fixed-width fields of a span that vary.
var spanFields = map[protowire.Number]kind{1: traceID, 2: spanID, 4: parentID, 7: startTime, 8: endTime}

// locateSpans notes where the spans of the request, which stand in order, vary.
func (t *template) locateSpans(order []int32) error {
	next := 0
	return leaves(t.body, func(at, size int) error {
		row := order[next]
		next++
		t.text(at, at+size, int(row))
		return fields(t.body, at, at+size, func(num protowire.Number, at, size int) error {
			// A root's parent may be written with no bytes.
			if k, ok := spanFields[num]; ok && size > 0 {
				t.places = append(t.places, place{int32(at), k, row})
			}
			return nil
		})
	})
}

// corpus is the requests of one kind of load.
type corpus struct {
	window    window
	requests  int
	templates []*template
}

func newCorpus(w window, rows int, one func(i int) (*template, error)) (*corpus, error) {
	c := &corpus{window: w, requests: rows / perRequest}
	for i := range min(templates, c.requests) {
		t, err := one(i)
		if err != nil {
			return nil, fmt.Errorf("encode template %d: %w", i, err)
		}
		c.templates = append(c.templates, t)
	}
	return c, nil
}

// fill makes request n in buf.
func (c *corpus) fill(buf []byte, n int) []byte { return c.of(n).fill(buf, c.window, n, c.requests) }

func (c *corpus) of(n int) *template { return c.templates[n%len(c.templates)] }

func (c *corpus) rows() int { return c.requests * perRequest }

// each calls f with every row of every request and its time in nanoseconds.
func (c *corpus) each(f func(n int, r *row, at int64)) {
	for n := range c.requests {
		t := c.of(n)
		last, begin := int32(-1), int64(0)
		for i := range t.rows {
			r := &t.rows[i]
			if r.trace != last {
				last, begin = r.trace, t.begin(c.window, n, c.requests, int(r.trace))
			}
			f(n, r, begin+r.start)
		}
	}
}

// wire returns the mean bytes of a row on the wire.
func (c *corpus) wire() float64 {
	total := 0
	for _, t := range c.templates {
		total += len(t.body)
	}
	return float64(total) / float64(len(c.templates)*perRequest)
}
