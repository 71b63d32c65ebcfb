package xray

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/trefoil-o11y/trefoil/internal/event"
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
}

type link struct {
	trace event.TraceID
	id    event.SpanID
}

// refusal says why a document was not taken, in the API's terms.
type refusal struct {
	id, code, message string
}

// object is a JSON object whose members are decoded one by one, so that one of a wrong type
// does not spoil the others.
type object map[string]json.RawMessage

func (o object) decode(name string, v any) bool {
	raw, ok := o[name]
	return ok && json.Unmarshal(raw, v) == nil && string(bytes.TrimSpace(raw)) != "null"
}

func (o object) text(name string) string {
	var s string
	o.decode(name, &s)
	return s
}

func (o object) flag(name string) bool {
	var b bool
	o.decode(name, &b)
	return b
}

func (o object) object(name string) object {
	var x object
	o.decode(name, &x)
	return x
}

// integer reads a number, or a string that is one.
func (o object) integer(name string) *int64 {
	var f float64
	if !o.decode(name, &f) {
		n, err := strconv.ParseFloat(o.text(name), 64)
		if err != nil {
			return nil
		}
		f = n
	}
	if math.IsNaN(f) || math.Abs(f) > 1<<53 {
		return nil
	}
	n := int64(f)
	return &n
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
	var o object
	if strings.HasPrefix(strings.TrimSpace(text), "[") && json.Valid([]byte(text)) {
		return fail("MissingId")
	}
	if err := json.Unmarshal([]byte(text), &o); err != nil || o == nil {
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
	var list []json.RawMessage
	if !strings.HasPrefix(strings.TrimSpace(text), "[") || json.Unmarshal([]byte(text), &list) != nil || len(list) == 0 {
		return []string{text}
	}
	out := make([]string, len(list))
	for i, d := range list {
		out[i] = string(d)
	}
	return out
}

func (d *document) ids(o object) (code string) {
	if raw, ok := o["id"]; !ok || string(raw) == "null" || string(raw) == `""` {
		return "MissingId"
	}
	var err error
	if d.id, err = event.ParseSpanID(o.text("id")); err != nil {
		return "InvalidId"
	}
	return ""
}

func checkName(o object) (code string) {
	raw, ok := o["name"]
	if !ok || string(raw) == "null" {
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
	if raw, ok := o["start_time"]; !ok || string(raw) == "null" {
		return "MissingStartTime"
	}
	if !o.decode("start_time", &d.start) || d.start <= 0 || d.start > maxSeconds {
		return "InvalidStartTime"
	}
	d.inProgress = o.flag("in_progress")
	if !o.decode("end_time", &d.end) || d.end > maxSeconds {
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
	d.aws, d.sql = flatten(o.object("aws"), ""), flatten(o.object("sql"), "")
	d.readAnnotations(o)
	d.readCause(o)
	d.readLinks(o)
	if depth >= maxNesting {
		return "InvalidSegment"
	}
	var subs []object
	if !o.decode("subsegments", &subs) {
		return ""
	}
	for _, so := range subs {
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
	if h == nil {
		return
	}
	req, res := h.object("request"), h.object("response")
	d.http = httpPart{
		present: true, method: req.text("method"), url: req.text("url"), userAgent: req.text("user_agent"), clientIP: req.text("client_ip"),
		forwarded: req.flag("x_forwarded_for"), traced: req.flag("traced"), status: res.integer("status"), length: res.integer("content_length"),
	}
}

// readAnnotations keeps scalars in the order of the text.
func (d *document) readAnnotations(o object) {
	for _, m := range members(o["annotations"]) {
		if v := scalar(m.value); !v.Missing() {
			d.annotations = append(d.annotations, event.Field{Name: m.name, Value: v})
		}
	}
}

func (d *document) readCause(o object) {
	if o.decode("cause", &d.causeID) {
		return
	}
	var list []object
	o.object("cause").decode("exceptions", &list)
	for _, e := range list {
		d.exceptions = append(d.exceptions, exception{e.text("id"), e.text("type"), e.text("message"), e.flag("remote")})
	}
}

func (d *document) readLinks(o object) {
	var list []object
	o.decode("links", &list)
	for _, l := range list {
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

// scalar returns a JSON string, number or boolean; anything else is missing. A number without
// fraction that fits is an integer.
func scalar(raw json.RawMessage) event.Value {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return event.Value{}
	}
	switch raw[0] {
	case '"':
		var s string
		if json.Unmarshal(raw, &s) == nil {
			return event.String(s)
		}
	case 't', 'f':
		return event.Bool(raw[0] == 't')
	case '{', '[', 'n':
	default:
		if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
			return event.Int(n)
		}
		if f, err := strconv.ParseFloat(string(raw), 64); err == nil {
			return event.Float(f)
		}
	}
	return event.Value{}
}

// flatten returns the scalars of an object and of the objects in it, with dotted names. Lists
// are left out.
func flatten(o object, prefix string) []event.Field {
	var out []event.Field
	for _, name := range sortedKeys(o) {
		if v := scalar(o[name]); !v.Missing() {
			out = append(out, event.Field{Name: prefix + name, Value: v})
		} else if sub := o.object(name); sub != nil && strings.Count(prefix, ".") < 5 {
			out = append(out, flatten(sub, prefix+name+".")...)
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
