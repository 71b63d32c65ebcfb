package xray

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/trefoil-o11y/trefoil/internal/event"
)

// How documents are read by way of encoding/json, which the tree is compared with.

// object is a JSON object whose members are decoded one by one, so that one of a wrong type
// does not spoil the others.
type oracleObject map[string]json.RawMessage

func (o oracleObject) decode(name string, v any) bool {
	raw, ok := o[name]
	return ok && json.Unmarshal(raw, v) == nil && string(bytes.TrimSpace(raw)) != "null"
}

func (o oracleObject) text(name string) string {
	var s string
	o.decode(name, &s)
	return s
}

func (o oracleObject) flag(name string) bool {
	var b bool
	o.decode(name, &b)
	return b
}

func (o oracleObject) object(name string) oracleObject {
	var x oracleObject
	o.decode(name, &x)
	return x
}

// integer reads a number, or a string that is one.
func (o oracleObject) integer(name string) *int64 {
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

// oracleDocument decodes a document and checks it in the order of the codes below. Refusals carry
// the id of the top, as far as it could be read.
func oracleDocument(text string) (*document, *refusal) {
	kind, id := "segment", ""
	fail := func(code string) (*document, *refusal) {
		return nil, &refusal{id, code, fmt.Sprintf("Invalid %s. ErrorCode: %s", kind, code)}
	}
	if len(text) > maxDocument {
		return fail("InvalidSegment")
	}
	var o oracleObject
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
	if code := d.oracleIds(o); code != "" {
		id = o.text("id")
		if code == "MissingId" {
			id = ""
		}
		return fail(code)
	}
	id = o.text("id")
	// The trace id stands between the name and the times.
	if code := oracleCheckName(o); code != "" {
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
	if code := d.oracleFill(o, 0); code != "" {
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
	if code := d.oracleReadNamespace(o); code != "" {
		return fail(code)
	}
	return d, nil
}

// oracleSplit returns the documents of a text that may be an array of them.
func oracleSplit(text string) []string {
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

func (d *document) oracleIds(o oracleObject) (code string) {
	if raw, ok := o["id"]; !ok || string(raw) == "null" || string(raw) == `""` {
		return "MissingId"
	}
	var err error
	if d.id, err = event.ParseSpanID(o.text("id")); err != nil {
		return "InvalidId"
	}
	return ""
}

func oracleCheckName(o oracleObject) (code string) {
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

func (d *document) oracleReadNamespace(o oracleObject) (code string) {
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
func (d *document) oracleFill(o oracleObject, depth int) (code string) {
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
	d.oracleReadHTTP(o)
	if o.flag("traced") {
		d.http.traced = true
	}
	d.aws, d.sql = oracleFlatten(o.object("aws"), ""), oracleFlatten(o.object("sql"), "")
	d.oracleReadAnnotations(o)
	d.oracleReadCause(o)
	d.oracleReadLinks(o)
	if depth >= maxNesting {
		return "InvalidSegment"
	}
	var subs []oracleObject
	if !o.decode("subsegments", &subs) {
		return ""
	}
	for _, so := range subs {
		c := &document{sub: true}
		code := c.oracleIds(so)
		if code == "" {
			code = oracleCheckName(so)
		}
		if code == "" {
			code = c.oracleFill(so, depth+1)
		}
		if code == "" {
			code = c.oracleReadNamespace(so)
		}
		if code != "" {
			return "subsegment " + strings.TrimPrefix(code, "subsegment ")
		}
		d.children = append(d.children, c)
	}
	return ""
}

func (d *document) oracleReadHTTP(o oracleObject) {
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
func (d *document) oracleReadAnnotations(o oracleObject) {
	for _, m := range members(o["annotations"]) {
		v := oracleScalar(m.value)
		if v.Missing() {
			continue
		}
		if i := slices.IndexFunc(d.annotations, func(f event.Field) bool { return f.Name == m.name }); i >= 0 {
			d.annotations[i].Value = v
		} else {
			d.annotations = append(d.annotations, event.Field{Name: m.name, Value: v})
		}
	}
}

func (d *document) oracleReadCause(o oracleObject) {
	if o.decode("cause", &d.causeID) {
		return
	}
	var list []oracleObject
	o.object("cause").decode("exceptions", &list)
	for _, e := range list {
		d.exceptions = append(d.exceptions, exception{id: e.text("id"), kind: e.text("type"), message: e.text("message"), remote: e.flag("remote")})
	}
}

func (d *document) oracleReadLinks(o oracleObject) {
	var list []oracleObject
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

// oracleScalar returns a JSON string, number or boolean; anything else is missing. A number without
// fraction that fits is an integer.
func oracleScalar(raw json.RawMessage) event.Value {
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

// oracleFlatten returns the scalars of an object and of the objects in it, with dotted names. Lists
// are left out.
func oracleFlatten(o oracleObject, prefix string) []event.Field {
	var out []event.Field
	for _, name := range sortedKeys(o) {
		if v := oracleScalar(o[name]); !v.Missing() {
			out = append(out, event.Field{Name: prefix + name, Value: v})
		} else if sub := o.object(name); sub != nil && strings.Count(prefix, ".") < 5 {
			out = append(out, oracleFlatten(sub, prefix+name+".")...)
		}
	}
	return out
}

func FuzzParseDocument(f *testing.F) {
	f.Add(benchText())
	const ok = `"trace_id":"1-5f84c7a1-e7d1852db8c4fd35d88bf49a","id":"0000000000000001","name":"a","start_time":1,"end_time":2`
	for _, text := range []string{
		`{` + ok + `}`, ` [{` + ok + `}, 5 ,{}] `, `[]`, `[1`, `null`, `{"id":null}`, `{"id":"","id":"0000000000000001"}`, `{` + ok + `,"name":"é\n"}`, `{` + ok + `,"n\u0061me":"b\u0062"}`, `{` + ok + `,"end_time":null,"in_progress":true}`,
		`{` + ok + `,"aws":{"b":1,"a":{"c":[1],"d":"x","":{}},"b":"\u00e9","a.d":2.5,"n":null,"f":1e3,"h":1e999,"i":12345678901234567890},"sql":[],"annotations":{"k":"v","k":1,"o":{},"t":true}}`,
		`{` + ok + `,"http":{"request":{"method":5,"url":"u","traced":true},"response":{"status":"404","content_length":1.9}},"traced":true,"error":"true","fault":true}`,
		`{` + ok + `,"cause":"abc"}`, `{` + ok + `,"cause":{"exceptions":[5,null,{"id":"x","type":"T","message":"m","remote":true}]},"links":[null,{"trace_id":"1-5f84c7a1-e7d1852db8c4fd35d88bf49a","id":"0000000000000002"}]}`,
		`{` + ok + `,"subsegments":[{` + ok + `,"namespace":"aws","subsegments":[null]}]}`, `{` + ok + `,"subsegments":[{` + ok + `},7]}`, `{` + ok + `,"subsegments":[{` + ok + `,"namespace":"other"}],"namespace":"remote"}`,
		`{` + ok + `,"type":"subsegment","parent_id":"0000000000000003","start_time":"1"}`, `{` + ok + `,"start_time":1e400}`, `{` + ok + `,"x":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list, want := splitDocuments(text), oracleSplit(text)
		if len(list) != len(want) {
			t.Fatalf("%q: %d documents, want %d", text, len(list), len(want))
		}
		for i := range list {
			got, refused := parseDocument(list[i])
			want, wantRefused := oracleDocument(want[i])
			if got != nil && want != nil && got.raw != want.raw {
				t.Fatalf("%q: text %q, want %q", text, got.raw, want.raw)
			}
			if !reflect.DeepEqual(refused, wantRefused) || !reflect.DeepEqual(got, want) {
				t.Fatalf("%q:\n got %+v\nwant %+v\n%s", list[i], refused, wantRefused, cmp.Diff(want, got, cmp.AllowUnexported(document{}, httpPart{}, exception{}, link{}, event.Value{}), cmp.AllowUnexported(span{})))
			}
		}
	})
}
