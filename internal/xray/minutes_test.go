package xray_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/ingest"
	"github.com/trefoil-o11y/trefoil/internal/meta"
	"github.com/trefoil-o11y/trefoil/internal/xray"
)

// maker makes random traces of segments, subsegments and spans.
type maker struct {
	rnd  *rand.Rand
	n    int
	ids  []string // traces that were made
	docs []string
	b    *event.Builder
	ds   []event.DatasetID
	// over is the time over which traces begin, in seconds from base.
	over int
	// progress is how many of a hundred documents come in progress first, unfinished how many of
	// these stay so.
	progress, unfinished int
	// segments is whether only segments are made, and no spans.
	segments bool
	last     map[string]string // an id of a segment in each trace
}

var makerServices = []string{"front", "cart", "stock", "mail", "db.example.com", "a b/c"}

func (m *maker) pick(list ...string) string { return list[m.rnd.IntN(len(list))] }

func (m *maker) pickAny(list ...any) any { return list[m.rnd.IntN(len(list))] }

func (m *maker) chance(percent int) bool { return m.rnd.IntN(100) < percent }

func (m *maker) id() string {
	m.n++
	return fmt.Sprintf("%016x", m.n*7919)
}

// trace makes a trace that begins at a time, in seconds from base.
func (m *maker) trace() {
	id := fmt.Sprintf("%08x%024x", base+m.rnd.IntN(m.over), m.rnd.Uint64())
	m.ids = append(m.ids, id)
	at := float64(m.rnd.IntN(m.over*1000)) / 1000
	for range 1 + m.rnd.IntN(2)*m.rnd.IntN(2) {
		m.request(id, "", at, 0.001+float64(m.rnd.IntN(90_000))/1000, m.pick(makerServices...), 0)
	}
}

// request makes a service's part of a trace, as segments or as spans.
func (m *maker) request(trace, parent string, at, long float64, service string, depth int) {
	if !m.segments && m.chance(40) {
		m.span(trace, parent, at, long, service, depth)
		return
	}
	d := m.part(service, at, long)
	d["trace_id"] = "1-" + trace[:8] + "-" + trace[8:]
	if parent != "" {
		d["parent_id"] = parent
	}
	if m.chance(30) {
		d["origin"] = m.pick("AWS::EC2::Instance", "AWS::ECS::Container", "AWS::Lambda::Function")
	}
	if m.chance(10) {
		d["aws"] = map[string]any{"account_id": m.pick("111122223333", "123456789012")}
	}
	if m.chance(20) {
		d["user"] = m.pick("ann", "Bob", "5", "ünïcode")
	}
	if m.chance(30) {
		d["http"] = map[string]any{"request": map[string]any{"method": m.pick("GET", "POST"), "url": m.pick("http://example.com/", "https://example.com:8080/carts/7?a=b", "/carts"),
			"user_agent": m.pick("curl/8", "Mozilla/5.0 (X11)"), "client_ip": m.pick("10.0.0.7", "::1")}, "response": map[string]any{"status": 200 + 100*m.rnd.IntN(4)}}
	}
	m.last[trace] = d["id"].(string)
	var subs []any
	for range m.rnd.IntN(3) {
		if s := m.sub(trace, d["id"].(string), at, long, depth); s != nil {
			subs = append(subs, s)
		}
	}
	if len(subs) > 0 {
		d["subsegments"] = subs
	}
	m.put(d)
}

func (m *maker) part(name string, at, long float64) map[string]any {
	d := map[string]any{"id": m.id(), "name": name, "start_time": base + at, "end_time": base + at + long}
	for _, f := range []string{"error", "fault", "throttle"} {
		if m.chance(8) {
			d[f] = true
		}
	}
	if m.chance(30) {
		d["annotations"] = map[string]any{m.pick("size", "app_user", "gold", "x.y"): m.pickAny("7", 7, 7.5, true, "true", "a_b")}
	}
	if m.chance(5) && len(m.ids) > 0 {
		other := m.ids[m.rnd.IntN(len(m.ids))]
		if last := m.last[other]; last != "" {
			d["links"] = []any{map[string]any{"trace_id": "1-" + other[:8] + "-" + other[8:], "id": last}}
		}
	}
	return d
}

// sub makes a subsegment; one that is sent by itself is not returned.
func (m *maker) sub(trace, parent string, at, long float64, depth int) map[string]any {
	at, long = at+long/10, long/2
	d := m.part(m.pick("work", "DynamoDB", "SQS", "cart", "stock", "mail.example.com"), at, long)
	switch m.rnd.IntN(3) {
	case 0:
		d["namespace"] = "aws"
		d["aws"] = map[string]any{"table_name": m.pick("users", "orders"), "queue_url": "https://sqs/1/" + m.pick("jobs", "mails")}
	case 1:
		d["namespace"] = "remote"
		if m.chance(20) {
			d["sql"] = map[string]any{"url": "x", "sanitized_query": "SELECT 1"}
		}
		if m.chance(20) {
			d["http"] = map[string]any{"request": map[string]any{"method": "GET", "traced": true}}
		}
	}
	if depth < 3 && m.chance(50) {
		m.request(trace, d["id"].(string), at+long/10, long/2, m.pick(makerServices...), depth+1)
	}
	if depth < 3 && m.chance(20) {
		if s := m.sub(trace, d["id"].(string), at, long, depth+1); s != nil {
			d["subsegments"] = []any{s}
		}
	}
	if m.chance(30) {
		d["type"], d["trace_id"], d["parent_id"] = "subsegment", "1-"+trace[:8]+"-"+trace[8:], parent
		if m.chance(10) {
			d["parent_id"] = "00000000000fffff"
		}
		m.put(d)
		return nil
	}
	return d
}

// put sends a document: at times first in progress, at times twice, at times never to its end.
func (m *maker) put(d map[string]any) {
	text := func() string {
		b, err := json.Marshal(d)
		if err != nil {
			panic(err)
		}
		return string(b)
	}
	whole := text()
	if m.chance(m.progress) {
		end := d["end_time"]
		delete(d, "end_time")
		d["in_progress"] = true
		m.docs = append(m.docs, text())
		d["end_time"] = end
		delete(d, "in_progress")
		if m.chance(m.unfinished) {
			return
		}
	}
	m.docs = append(m.docs, whole)
	if m.chance(5) {
		m.docs = append(m.docs, whole)
	}
}

func (m *maker) span(trace, parent string, at, long float64, service string, depth int) {
	kind := m.pick("server", "server", "internal", "consumer", "")
	id := m.row(trace, parent, at, long, kind, service)
	m.last[trace] = id
	for range m.rnd.IntN(3) {
		child := m.row(trace, id, at+long/10, long/2, m.pick("client", "client", "producer", "internal"), service)
		if depth < 3 && m.chance(50) {
			m.request(trace, child, at+long/5, long/4, m.pick(makerServices...), depth+1)
		}
	}
}

// row adds the event of a span and returns its id.
func (m *maker) row(trace, parent string, at, long float64, kind, service string) string {
	id := m.id()
	h := event.Header{Time: int64((base + at) * 1e9), Ingested: time.Now().UnixNano(), Dataset: m.ds[m.rnd.IntN(len(m.ds))]}
	h.Trace, _ = event.ParseTraceID(trace)
	h.Span, _ = event.ParseSpanID(id)
	h.Parent, _ = event.ParseSpanID(parent)
	m.b.Add(h)
	set := func(name string, values ...string) {
		if m.chance(40) {
			m.b.SetString(name, m.pick(values...))
		}
	}
	m.b.SetString("name", m.pick("GET /", "op?", "work"))
	m.b.SetFloat("duration_ms", long*1000)
	m.b.SetString("meta.signal_type", "trace")
	m.b.SetString("service.name", service)
	if kind != "" {
		m.b.SetString("span.kind", kind)
	}
	if kind == "client" || kind == "producer" {
		set("peer.service", makerServices...)
		set("aws.remote.service", "DynamoDB", "AWS.SDK.SQS", "cart")
		set("rpc.system", "aws-api", "grpc")
		if m.chance(15) {
			m.b.SetString("aws.span.kind", "LOCAL_ROOT")
			m.b.SetString("aws.local.service", service)
		}
		set("aws.table_name", "users", "orders")
		set("db.system", "postgresql", "redis")
		set("db.name", "main")
		set("server.address", "db.example.com", "10.0.0.7")
	}
	set("cloud.platform", "aws_ec2", "aws_ecs", "gcp")
	set("cloud.account.id", "111122223333", "123456789012")
	if m.chance(30) {
		m.b.SetInt("http.status_code", []int64{200, 404, 429, 500}[m.rnd.IntN(4)])
		set("http.method", "GET", "POST")
		set("http.route", "/", "/carts/{id}")
		set("http.host", "example.com")
	}
	if m.chance(10) {
		m.b.SetBool("error", true)
	}
	set("app.user", "ann", "7")
	set("size", "7", "a_b")
	if m.chance(20) {
		m.b.SetInt("app/user", 7)
		m.b.SetFloat("x.y", 7.5)
		m.b.SetBool("gold", true)
	}
	if m.chance(10) {
		m.b.SetInt("enduser.id", 5)
	} else {
		set("enduser.id", "ann", "Bob", "")
	}
	if m.chance(10) {
		m.b.SetString(m.pick("http.url", "url.full"), m.pick("http://example.com/carts/7", "https://front:8443/"))
	}
	if m.chance(10) {
		m.b.SetString("http.request.method", m.pick("GET", "PUT"))
		m.b.SetFloat("http.response.status_code", 404.5)
		set("url.path", "/carts/7", "carts/7")
		set("url.query", "a=b")
		set("server.port", "8080", "80")
		set("url.scheme", "https")
	}
	if m.chance(10) {
		m.b.SetString("user_agent.original", m.pick("curl/8", "Mozilla/5.0 (X11)"))
		m.b.SetString("client.address", m.pick("10.0.0.7", "::1"))
	}
	if m.chance(10) {
		m.b.SetString("db.name", "ma*in")
		m.b.SetString("db.connection_string", "jdbc:postgresql://db.example.com:5432/main")
	}
	if m.chance(10) {
		m.b.SetString("rpc.service", m.pick("cart(2)", "sto~ck", strings.Repeat("long", 60)))
	}
	if m.chance(10) {
		log := h
		log.Span, log.Time = event.SpanID{7: 1}, h.Time-int64(time.Minute)
		m.b.Add(log)
		m.b.SetString("meta.signal_type", "log")
	}
	if m.chance(10) { // a span event, by a clock that is behind
		ev := h
		ev.Span, ev.Parent, ev.Time = event.SpanID{}, h.Span, h.Time-int64(90*time.Second)
		m.b.Add(ev)
		m.b.SetString("meta.annotation_type", "span_event")
		m.b.SetString("name", "retry")
	}
	if m.chance(10) && len(m.ids) > 1 {
		other := m.ids[m.rnd.IntN(len(m.ids))]
		l := h
		l.Span, l.Parent = event.SpanID{}, h.Span
		m.b.Add(l)
		m.b.SetString("meta.annotation_type", "link")
		m.b.SetString("trace.link.trace_id", other)
		m.b.SetString("trace.link.span_id", m.last[other])
	}
	return id
}

// send stores what was made.
func (m *maker) send(t testing.TB, f *fixture) {
	t.Helper()
	m.rnd.Shuffle(len(m.docs), func(i, j int) { m.docs[i], m.docs[j] = m.docs[j], m.docs[i] })
	// Some come in a later call.
	if refused := f.put(t, m.docs...); len(refused) > 0 {
		t.Fatal(refused)
	}
	m.docs = nil
	if err := f.queue.Append(t.Context(), ingest.OTLP, m.b.Batch()); err != nil {
		t.Fatal(err)
	}
}

func newMaker(t testing.TB, f *fixture, seed uint64, over int) *maker {
	t.Helper()
	m := &maker{rnd: rand.New(rand.NewPCG(seed, 1)), b: event.NewBuilder(), last: map[string]string{}, over: over, progress: 15}
	t.Cleanup(m.b.Release)
	for _, name := range []string{"front", "cart"} {
		ds, err := f.meta.EnsureDataset(t.Context(), "bootcamp", meta.Honeycomb, name)
		if err != nil {
			t.Fatal(err)
		}
		m.ds = append(m.ds, ds.ID)
	}
	return m
}

// compareLists compares the console's lists of traces, page by page, with those made of whole traces.
func compareLists(t *testing.T, f *fixture, rnd *rand.Rand, over int) {
	t.Helper()
	for _, filter := range []string{"", "fault", "!ok", "error responsetime > 0.5", "throttle OR partial", "http.status = 500", `service("cart") { fault }`, `edge("front", "") { responsetime > 0.1 }`,
		`service(id(type: "AWS::DynamoDB::Table")) OR name = "stock"`, `rootcause.fault.service { name = "cart" AND last } OR account.id = "111122223333"`, `rootcause.responsetime.entity { coverage > 0.4 index = 1 }`,
		`http.method = "GET" OR user`, `annotation.app AND ok`} {
		from := time.Unix(base-100, 0).Add(time.Duration(rnd.IntN(over)) * time.Second)
		in := xray.SummariesInput{From: from, To: from.Add(time.Duration(rnd.IntN(over+200)) * time.Second), Filter: filter}
		want, err := f.server.SummariesOfWhole(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		var got []xray.Summary
		for in.Limit = 7; ; {
			page, err := f.server.Summaries(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, page.Traces...)
			if in.Cursor = page.NextCursor; in.Cursor == "" {
				break
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("traces with %q of %v to %v:\n%s", filter, in.From, in.To, d)
		}
	}
}

// compareGraphs compares graphs and series of random ranges, made of minutes and of outlines,
// with those made of whole traces.
func compareGraphs(t *testing.T, f *fixture, rnd *rand.Rand, over, times int) {
	t.Helper()
	for i := range times {
		from := time.Unix(base-100, 0).Add(time.Duration(rnd.IntN(over)) * time.Second)
		to := from.Add(time.Duration(rnd.IntN(over+200)) * time.Second)
		if i%4 == 1 {
			to = to.Add(3 * time.Hour)
		}
		if i%3 == 0 {
			from, to = from.Add(time.Duration(rnd.IntN(1e6))*time.Microsecond), to.Add(time.Duration(rnd.IntN(1e6))*time.Microsecond)
		}
		want, err := f.server.GraphOfWhole(t.Context(), from, to)
		if err != nil {
			t.Fatal(err)
		}
		got, err := f.server.GraphOfMinutes(t.Context(), from, to)
		if err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Fatalf("graph %d of %v to %v:\n%s", i, from, to, cmp.Diff(want, got))
		}
		for _, period := range []int64{60, 300, 7} {
			want, err := f.server.SeriesOfWhole(t.Context(), from, to, period)
			if err != nil {
				t.Fatal(err)
			}
			got, err := f.server.SeriesOfMinutes(t.Context(), from, to, period)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Fatalf("series %d of %v to %v by %d s:\n%s", i, from, to, period, d)
			}
		}
	}
}

// TestGraphOfMinutes puts traces and late parts of them and asks for graphs of random ranges in
// between.
func TestGraphOfMinutes(t *testing.T) {
	dir := t.TempDir()
	const over = 900
	rnd := rand.New(rand.NewPCG(3, 3))
	for run := range 2 {
		t.Run(fmt.Sprint(run), func(t *testing.T) {
			f := start(t, dir)
			f.server.KeepAtOnce()
			m := newMaker(t, f, uint64(run), over)
			m.n = run * 1_000_000
			kept := 0
			compareGraphs(t, f, rnd, over, 2)
			if err := f.server.Expire(t.Context(), time.Now().Add(2*time.Hour)); err != nil {
				t.Fatal(err)
			}
			for round := range 4 {
				m.progress, m.unfinished = 15*(round/2), 20*(round%2)
				for range 25 {
					m.trace()
				}
				m.send(t, f)
				if rnd.IntN(2) == 0 { // keeps all, also what lies before the ranges
					if _, err := f.server.GraphOfMinutes(t.Context(), time.Unix(base-7200, 0), time.Unix(base+7200, 0)); err != nil {
						t.Fatal(err)
					}
				}
				compareGraphs(t, f, rnd, over, 4)
				// Traces that are there get more parts.
				for range 3 {
					m.request(m.ids[rnd.IntN(len(m.ids))], "", float64(rnd.IntN(over)), 1, "late", 2)
				}
				m.send(t, f)
				compareGraphs(t, f, rnd, over, 2)
				list, err := f.meta.XRayMinutesKept(t.Context(), "bootcamp", base/60-10, base/60+60)
				if err != nil {
					t.Fatal(err)
				}
				kept = max(kept, len(list))
				compareLists(t, f, rnd, over)
			}
			if kept < 3 {
				t.Errorf("no more than %d minutes were kept", kept)
			}
			if run == 1 {
				if err := f.store.Drop(t.Context(), m.ds[0]); err != nil {
					t.Fatal(err)
				}
				compareGraphs(t, f, rnd, over, 4)
			}
		})
	}
}

// TestMinutesOfHostileTraces keeps no minute of a trace that has parts years apart, nor of names
// without end.
func TestMinutesOfHostileTraces(t *testing.T) {
	f := start(t, t.TempDir())
	f.server.KeepAtOnce()
	docs := []string{`{"id":"0000000000000001","name":"a","trace_id":"1-5f5e1000-000000000000000000000001","start_time":1600000020,"end_time":1600000021,"subsegments":[
		{"id":"0000000000000002","name":"b","namespace":"remote","start_time":9000000000,"end_time":9000000001}]}`,
		`{"id":"0000000000000001","name":"late","trace_id":"1-5f5e1000-000000000000000000000002","start_time":1600000081,"end_time":1600000082,"subsegments":[{"id":"0000000000000002","name":"b","start_time":9000000000,"end_time":9000000001}]}`}
	for i := range 450 {
		var subs []string
		for k := range 50 {
			subs = append(subs, fmt.Sprintf(`{"id":"%016x","name":"n-%d-%d","namespace":"remote","start_time":1600000200,"end_time":1600000201}`, k+10, i, k))
		}
		docs = append(docs, fmt.Sprintf(`{"id":"0000000000000001","name":"wide","trace_id":"1-5f5e1000-%024x","start_time":1600000200,"end_time":1600000201,"subsegments":[%s]}`, i+100, strings.Join(subs, ",")))
	}
	if refused := f.put(t, docs...); len(refused) > 0 {
		t.Fatal(refused)
	}
	from, to := time.Unix(1600000000, 0), time.Unix(1600000400, 0)
	for range 2 {
		want, err := f.server.GraphOfWhole(t.Context(), from, to)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := f.server.GraphOfMinutes(t.Context(), from, to); err != nil || got != want {
			t.Fatalf("%v %s", err, cmp.Diff(want, got))
		}
	}
	kept, err := f.meta.XRayMinutesKept(t.Context(), "bootcamp", 0, 1<<40)
	if err != nil || len(kept) != 0 {
		t.Errorf("kept %v, %v", kept, err)
	}
}

// TestBackgroundKeepsMinutes sends spans of hours ago at once: their minutes are kept without being
// asked for, those of long ago are not, and late spans make them be made again.
func TestBackgroundKeepsMinutes(t *testing.T) {
	load := func() (*fixture, *maker) {
		f := start(t, t.TempDir())
		f.server.KeepAtOnce()
		m := newMaker(t, f, 12, 1800)
		m.progress = 0
		for range 100 {
			m.trace()
		}
		m.send(t, f)
		return f, m
	}
	// kept looks after the minutes at a time, and counts those that are kept.
	kept := func(f *fixture, at time.Duration) int {
		t.Helper()
		if err := f.server.Tend(t.Context(), time.Unix(base, 0).Add(at)); err != nil {
			t.Fatal(err)
		}
		list, err := f.meta.XRayMinutesKept(t.Context(), "bootcamp", 0, 1<<40)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	if f, _ := load(); kept(f, 20*time.Hour) != 0 {
		t.Error("minutes of long ago are kept")
	}
	f, m := load()
	all := kept(f, 6*time.Hour)
	if all < 20 {
		t.Errorf("%d minutes are kept", all)
	}
	if n := kept(f, 6*time.Hour+time.Minute); n != all {
		t.Errorf("%d minutes are kept, then %d", all, n)
	}
	for range 5 { // more, into the same minutes
		m.trace()
	}
	m.send(t, f)
	if n := kept(f, 6*time.Hour+2*time.Minute); n < all {
		t.Errorf("%d minutes are kept, and after late spans %d", all, n)
	}
	from, to := time.Unix(base-100, 0), time.Unix(base+3600, 0)
	want, err := f.server.GraphOfWhole(t.Context(), from, to)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := f.server.GraphOfMinutes(t.Context(), from, to); err != nil || got != want {
		t.Errorf("the graph is another: %v\n%s", err, cmp.Diff(want, got))
	}
}
