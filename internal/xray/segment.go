package xray

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/jsonscan"
)

const (
	// maxDocument is the largest document, in bytes.
	maxDocument = 64 << 10
	// maxNesting bounds subsegments in subsegments.
	maxNesting = 100
	// maxName is the longest name, in characters.
	maxName = 200
	// clockJitter is by how much a document may end before it starts.
	clockJitter = 1.0
)

// document is a segment or a subsegment, decoded. Optional parts that are of a wrong type are
// as if they were not there.
type document struct {
	id         event.SpanID
	trace      event.TraceID // of the top only, as parent and raw
	parent     event.SpanID
	name       string
	start, end float64 // epoch seconds; end is 0 while in progress
	inProgress bool
	sub        bool // a subsegment
	synthetic  bool // a segment around a span, see localRoot
	namespace  string

	isError, fault, throttle bool

	origin, user, resourceARN string
	http                      httpPart
	aws, sql                  []event.Field
	annotations               []event.Field
	causeID                   string
	exceptions                []exception
	links                     []link
	children                  []*document

	// raw is the text as it was received. A document made of a span has none, and the span.
	raw  string
	span *span
	// like is, of an outline, what it shares with others of its place in the graph.
	like *template
	// seq orders versions of one document; the larger is the newer.
	seq int64
}

// httpPart is a document's http block; status and length are absent when nil.
type httpPart struct {
	present                          bool
	method, url, userAgent, clientIP string
	forwarded, traced                bool
	status, length                   *int64
}

type exception struct {
	id, kind, message string
	remote            bool
	trace             string // the stack trace of a span's, as it came
}

type link struct {
	trace event.TraceID
	id    event.SpanID
}

// refusal says why a document was not taken, in the API's terms.
type refusal struct {
	id, code, message string
}

// parseDocument decodes a document and checks it in the order of the codes below. Refusals carry
// the id of the top, as far as it could be read.
func parseDocument(text string) (*document, *refusal) {
	kind, id := "segment", ""
	fail := func(code string) (*document, *refusal) {
		return nil, &refusal{id, code, fmt.Sprintf("Invalid %s. ErrorCode: %s", kind, code)}
	}
	if len(text) > maxDocument {
		return fail("InvalidSegment")
	}
	t := trees.Get().(*tree)
	defer t.release()
	o, ok := t.read(text)
	switch {
	case ok && o.kind() == '[':
		return fail("MissingId")
	case !ok || o.kind() != '{':
		return fail("ParseError")
	}
	if o.text("type") == "subsegment" {
		kind = "subsegment"
	}
	d := &document{raw: text}
	if code := d.ids(o); code != "" {
		id = o.text("id")
		if code == "MissingId" {
			id = ""
		}
		return fail(code)
	}
	id = o.text("id")
	// The trace id stands between the name and the times.
	if code := checkName(o); code != "" {
		return fail(code)
	}
	traceID := o.text("trace_id")
	if traceID == "" {
		return fail("MissingTraceId")
	}
	trace, err := event.ParseTraceID(traceID)
	if err != nil || len(traceID) != 35 && len(traceID) != 32 {
		return fail("InvalidTraceId")
	}
	d.trace = trace
	if code := d.fill(o, 0); code != "" {
		if sub, ok := strings.CutPrefix(code, "subsegment "); ok {
			kind, code = "subsegment", sub
		}
		return fail(code)
	}
	if d.sub = kind == "subsegment"; d.sub && o.text("parent_id") == "" {
		return fail("MissingParentId")
	}
	if p := o.text("parent_id"); p != "" {
		if d.parent, err = event.ParseSpanID(p); err != nil {
			return fail("InvalidParentId")
		}
	}
	if code := d.readNamespace(o); code != "" {
		return fail(code)
	}
	return d, nil
}

// splitDocuments returns the documents of a text that may be an array of them.
func splitDocuments(text string) []string {
	var s jsonscan.Scanner
	s.Reset(bytesOf(text))
	if s.Peek() != '[' {
		return []string{text}
	}
	var out []string
	ok := s.Array(0, func() bool {
		s.Peek()
		start := s.Pos()
		ok := s.Skip(1)
		out = append(out, text[start:s.Pos()])
		return ok
	})
	if !ok || !s.Ended() || len(out) == 0 {
		return []string{text}
	}
	return out
}

func (d *document) ids(o object) (code string) {
	switch id := o.member("id"); id.kind() {
	case 0, 'n':
		return "MissingId"
	case '"':
		if id.string() == "" {
			return "MissingId"
		}
	}
	var err error
	if d.id, err = event.ParseSpanID(o.text("id")); err != nil {
		return "InvalidId"
	}
	return ""
}

func checkName(o object) (code string) {
	if k := o.member("name").kind(); k == 0 || k == 'n' {
		return "MissingName"
	}
	name := o.text("name")
	if name == "" || utf8.RuneCountInString(name) > maxName || strings.ContainsFunc(name, badNameRune) {
		return "InvalidName"
	}
	return ""
}

func badNameRune(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsNumber(r) && !unicode.IsSpace(r) && !strings.ContainsRune(`_.:/%&#=+\-@`, r)
}

func (d *document) readNamespace(o object) (code string) {
	switch ns := o.text("namespace"); ns {
	case "aws", "remote":
		d.namespace = ns
	case "", "local":
	default:
		return "InvalidNamespace"
	}
	return ""
}

// fill reads what segments and subsegments share. The codes of embedded subsegments begin with
// "subsegment ".
func (d *document) fill(o object, depth int) (code string) {
	d.name = o.text("name")
	if k := o.member("start_time").kind(); k == 0 || k == 'n' {
		return "MissingStartTime"
	}
	var ok bool
	if d.start, ok = o.number("start_time"); !ok || d.start <= 0 || d.start > maxSeconds {
		return "InvalidStartTime"
	}
	d.inProgress = o.flag("in_progress")
	if d.end, ok = o.number("end_time"); !ok || d.end > maxSeconds {
		if !d.inProgress {
			return "MissingEndTime"
		}
		d.end = 0
	} else {
		// An end counts more than the mark, which some SDKs leave in place.
		d.inProgress = false
		if d.end < d.start {
			if d.start-d.end >= clockJitter {
				return "InvalidEndTime"
			}
			d.end = d.start
		}
	}
	d.isError, d.fault, d.throttle = o.flag("error"), o.flag("fault"), o.flag("throttle")
	d.origin, d.user, d.resourceARN = o.text("origin"), o.text("user"), o.text("resource_arn")
	d.readHTTP(o)
	if o.flag("traced") {
		d.http.traced = true
	}
	d.aws, d.sql = flatten(nil, o.object("aws"), ""), flatten(nil, o.object("sql"), "")
	d.readAnnotations(o)
	d.readCause(o)
	d.readLinks(o)
	if depth >= maxNesting {
		return "InvalidSegment"
	}
	subs := o.member("subsegments")
	for s := range subs.elements() {
		if k := s.kind(); k != '{' && k != 'n' {
			return "" // one that is no object spoils the list
		}
	}
	for so := range subs.elements() {
		c := &document{sub: true}
		code := c.ids(so)
		if code == "" {
			code = checkName(so)
		}
		if code == "" {
			code = c.fill(so, depth+1)
		}
		if code == "" {
			code = c.readNamespace(so)
		}
		if code != "" {
			return "subsegment " + strings.TrimPrefix(code, "subsegment ")
		}
		d.children = append(d.children, c)
	}
	return ""
}

// maxSeconds is the last epoch second that fits into nanoseconds.
const maxSeconds = math.MaxInt64 / 1e9

func (d *document) readHTTP(o object) {
	h := o.object("http")
	if h.kind() == 0 {
		return
	}
	req, res := h.object("request"), h.object("response")
	d.http = httpPart{
		present: true, method: req.text("method"), url: req.text("url"), userAgent: req.text("user_agent"), clientIP: req.text("client_ip"),
		forwarded: req.flag("x_forwarded_for"), traced: req.flag("traced"), status: res.integer("status"), length: res.integer("content_length"),
	}
}

// readAnnotations keeps scalars in the order of the text, of several with one name the last.
func (d *document) readAnnotations(o object) {
	var at map[string]int
	for m := range o.object("annotations").members() {
		v := m.scalar()
		if v.Missing() {
			continue
		}
		i := -1
		if at != nil {
			if k, ok := at[m.name()]; ok {
				i = k
			}
		} else {
			i = slices.IndexFunc(d.annotations, func(f event.Field) bool { return f.Name == m.name() })
		}
		if i >= 0 {
			d.annotations[i].Value = v
			continue
		}
		d.annotations = append(d.annotations, event.Field{Name: m.name(), Value: v})
		if n := len(d.annotations); at != nil {
			at[m.name()] = n - 1
		} else if n > maxAnnotations { // more are not looked through each time
			at = make(map[string]int, 2*n)
			for k, f := range d.annotations {
				at[f.Name] = k
			}
		}
	}
}

func (d *document) readCause(o object) {
	cause := o.member("cause")
	if cause.kind() == '"' {
		d.causeID = cause.string()
		return
	}
	for e := range o.object("cause").member("exceptions").elements() {
		d.exceptions = append(d.exceptions, exception{id: e.text("id"), kind: e.text("type"), message: e.text("message"), remote: e.flag("remote")})
	}
}

func (d *document) readLinks(o object) {
	for l := range o.member("links").elements() {
		trace, err := event.ParseTraceID(l.text("trace_id"))
		if err != nil {
			continue
		}
		id, err := event.ParseSpanID(l.text("id"))
		if err == nil {
			d.links = append(d.links, link{trace, id})
		}
	}
}

// member is one member of a JSON object.
type member struct {
	name  string
	value json.RawMessage
}

// members returns the members of a JSON object in their order; of anything else, none.
func members(raw json.RawMessage) []member {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil
	}
	var out []member
	for dec.More() {
		t, err := dec.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return out
		}
		var v json.RawMessage
		if dec.Decode(&v) != nil {
			return out
		}
		out = append(out, member{name, v})
	}
	return out
}

// flatten appends the scalars of an object and of the objects in it, with dotted names. Lists
// are left out.
func flatten(out []event.Field, o object, prefix string) []event.Field {
	if o.kind() == 0 {
		return out
	}
	var space [16]object
	list := space[:0]
	for m := range o.members() {
		list = append(list, m)
	}
	slices.SortStableFunc(list, func(a, b object) int { return strings.Compare(a.name(), b.name()) })
	for i, m := range list {
		if i+1 < len(list) && list[i+1].name() == m.name() {
			continue // the last one counts
		}
		if v := m.scalar(); !v.Missing() {
			out = append(out, event.Field{Name: prefix + m.name(), Value: v})
		} else if m.kind() == '{' && strings.Count(prefix, ".") < 5 {
			out = flatten(out, m, prefix+m.name()+".")
		}
	}
	return out
}

// fieldText returns the text of a field, "" when there is none.
func fieldText(fields []event.Field, name string) string {
	for _, f := range fields {
		if f.Name == name {
			return f.Value.Text()
		}
	}
	return ""
}

// nanos turns epoch seconds into the store's time; rounding to microseconds undoes what is lost
// in a float.
func nanos(seconds float64) int64 {
	whole, frac := math.Modf(seconds)
	return int64(whole)*1e9 + int64(math.Round(frac*1e6))*1e3
}

// seconds turns the store's time into epoch seconds.
func seconds(ns int64) float64 { return float64(ns/1e3) / 1e6 }

func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}
