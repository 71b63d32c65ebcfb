package otlp

import (
	"encoding/hex"
	"math"
	"strings"

	"github.com/trefoil-o11y/trefoil/internal/event"
)

// maxDepth is how deep values may be nested in each other.
const maxDepth = 100

// A decoder keeps lists up to keepList long, and texts up to keepText, for the next request.
const keepList, keepText = 1 << 14, 1 << 20

// kind is the type of a value.
type kind uint8

const (
	none kind = iota
	text
	boolean
	integer
	double
	array
	object
	blob
)

// value is an attribute's value, decoded as far as it is not nested: data is a string's or
// blob's bytes, or the message of an array or object.
type value struct {
	kind kind
	num  uint64
	data []byte
}

type keyValue struct {
	key   []byte
	value value
}

// decoder turns the messages of one request into events. Producers write fields in any order:
// at each level what the children share is collected before a child is looked into.
type decoder struct {
	b        *event.Builder
	received int64
	random   func() float64 // in [0,1)
	err      error

	// services has the service name of each resource, "" where it has none. A header's dataset
	// is an index into it.
	services []string

	resourceFields, scopeFields event.Shared
	resourceRate, scopeRate     uint32 // 0 is none

	// What is being decoded at each level.
	scopes, oldScopes, leaves [][]byte
	events, links             [][]byte
	attrs                     []keyValue
	name, json                []byte
}

// begin makes d ready for a request that was received at a time.
func (d *decoder) begin(received int64) {
	d.b, d.received, d.err, d.services = event.NewBuilder(), received, nil, d.services[:0]
}

// end gives back what the request took. What is kept must not hold on to its body, which will be
// overwritten, nor be as large as the largest request.
func (d *decoder) end() {
	d.b.Release()
	d.b = nil
	clear(d.services)
	for _, list := range []*[][]byte{&d.scopes, &d.oldScopes, &d.leaves, &d.events, &d.links} {
		if cap(*list) > keepList {
			*list = nil
		}
		clear((*list)[:cap(*list)])
	}
	if cap(d.attrs) > keepList {
		d.attrs = nil
	}
	clear(d.attrs[:cap(d.attrs)])
	if cap(d.name)+cap(d.json) > keepText {
		d.name, d.json = nil, nil
	}
}

// traces decodes an ExportTraceServiceRequest.
func (d *decoder) traces(body []byte) error { return d.request(body, (*decoder).span) }

// logs decodes an ExportLogsServiceRequest.
func (d *decoder) logs(body []byte) error { return d.request(body, (*decoder).log) }

// request decodes a request; those of traces and of logs differ in their leaves.
func (d *decoder) request(body []byte, leaf func(*decoder, []byte)) error {
	f := fields{buf: body}
	for d.err == nil && f.next() {
		if f.num == 1 && f.is(wireBytes) {
			d.resource(f.data(), leaf)
		}
	}
	d.fail(f.err)
	return d.err
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
}

// resource decodes a ResourceSpans or ResourceLogs.
func (d *decoder) resource(msg []byte, leaf func(*decoder, []byte)) {
	var schema []byte
	d.scopes, d.oldScopes, d.attrs = d.scopes[:0], d.oldScopes[:0], d.attrs[:0]
	f := fields{buf: msg}
	for f.next() {
		switch f.num {
		case 1:
			if f.is(wireBytes) {
				d.resourceAttributes(f.data())
			}
		case 2:
			if f.is(wireBytes) {
				d.scopes = append(d.scopes, f.data())
			}
		case 3:
			if f.is(wireBytes) {
				schema = f.data()
			}
		case 1000: // where they were in the first versions
			if f.is(wireBytes) {
				d.oldScopes = append(d.oldScopes, f.data())
			}
		}
	}
	if d.fail(f.err); d.err != nil {
		return
	}
	d.services = append(d.services, service(d.attrs))
	d.resourceRate = rateIn(d.attrs)
	d.b.Record()
	d.attributes(d.attrs)
	d.b.Recorded(&d.resourceFields)
	if len(d.scopes) == 0 {
		d.scopes, d.oldScopes = d.oldScopes, d.scopes
	}
	for _, s := range d.scopes {
		d.scope(s, schema, leaf)
	}
}

func (d *decoder) resourceAttributes(msg []byte) {
	f := fields{buf: msg}
	for f.next() {
		switch f.num {
		case 1:
			d.attribute(&f)
		case 2: // dropped_attributes_count
			f.is(wireVarint)
		case 3: // entity_refs
			if f.is(wireBytes) {
				ref := fields{buf: f.data()}
				for ref.next() && (ref.num > 4 || ref.is(wireBytes)) {
				}
				d.fail(ref.err)
			}
		}
	}
	d.fail(f.err)
}

// service returns the dataset that a resource names, "" when it names none.
func service(attrs []keyValue) string {
	for i := range attrs {
		if string(attrs[i].key) != "service.name" {
			continue
		}
		if attrs[i].value.kind != text {
			return ""
		}
		name := strings.TrimSpace(string(attrs[i].value.data))
		if strings.HasPrefix(name, "unknown_service") {
			return ""
		}
		return name
	}
	return ""
}

// scope decodes a ScopeSpans or ScopeLogs.
func (d *decoder) scope(msg, resourceSchema []byte, leaf func(*decoder, []byte)) {
	var name, version, schema []byte
	d.leaves, d.attrs = d.leaves[:0], d.attrs[:0]
	f := fields{buf: msg}
	for f.next() {
		switch f.num {
		case 1:
			if !f.is(wireBytes) {
				break
			}
			scope := fields{buf: f.data()}
			for scope.next() {
				switch scope.num {
				case 1:
					if scope.is(wireBytes) {
						name = scope.data()
					}
				case 2:
					if scope.is(wireBytes) {
						version = scope.data()
					}
				case 3:
					d.attribute(&scope)
				case 4: // dropped_attributes_count
					scope.is(wireVarint)
				}
			}
			d.fail(scope.err)
		case 2:
			if f.is(wireBytes) {
				d.leaves = append(d.leaves, f.data())
			}
		case 3:
			if f.is(wireBytes) {
				schema = f.data()
			}
		}
	}
	if d.fail(f.err); d.err != nil {
		return
	}
	d.scopeRate = rateIn(d.attrs)
	d.b.Record()
	d.scopeOwn(name, version, resourceSchema, schema)
	d.b.Replay(&d.resourceFields)
	d.attributes(d.attrs)
	d.b.Recorded(&d.scopeFields)
	for _, l := range d.leaves {
		if leaf(d, l); d.err != nil {
			return
		}
	}
}

// scopeOwn sets the fields that are made of a scope, apart from its attributes.
func (d *decoder) scopeOwn(name, version, resourceSchema, schema []byte) {
	if len(name) > 0 {
		d.setText("library.name", name)
		for _, p := range instrumentation {
			if len(name) >= len(p) && string(name[:len(p)]) == p {
				d.b.SetBool("telemetry.instrumentation_library", true)
				break
			}
		}
	}
	if len(version) > 0 {
		d.setText("library.version", version)
	}
	if len(resourceSchema) > 0 {
		d.setText("resource.schema_url", resourceSchema)
	}
	if len(schema) > 0 {
		d.setText("scope.schema_url", schema)
	}
}

func (d *decoder) setText(name string, s []byte) { d.b.SetStringBytes(constant(name), s) }

// span decodes a Span and adds it, its events and its links.
func (d *decoder) span(msg []byte) {
	h := event.Header{Ingested: d.received, Dataset: event.DatasetID(len(d.services) - 1)}
	var state, name, message []byte
	var kind, status int32
	var end int64
	d.attrs, d.events, d.links = d.attrs[:0], d.events[:0], d.links[:0]
	f := fields{buf: msg}
	for f.next() {
		switch f.num {
		case 1:
			f.id(h.Trace[:])
		case 2:
			f.id(h.Span[:])
		case 3:
			if f.is(wireBytes) {
				state = f.data()
			}
		case 4:
			f.id(h.Parent[:])
		case 5:
			if f.is(wireBytes) {
				name = f.data()
			}
		case 6:
			if f.is(wireVarint) {
				kind = int32(f.val)
			}
		case 7:
			if f.is(wireI64) {
				h.Time = nanos(f.val)
			}
		case 8:
			if f.is(wireI64) {
				end = nanos(f.val)
			}
		case 9:
			d.attribute(&f)
		case 10, 12, 14: // dropped counts
			f.is(wireVarint)
		case 11:
			if f.is(wireBytes) {
				d.events = append(d.events, f.data())
			}
		case 13:
			if f.is(wireBytes) {
				d.links = append(d.links, f.data())
			}
		case 15:
			if f.is(wireBytes) {
				message, status = d.status(f.data(), message, status)
			}
		case 16: // flags
			f.is(wireI32)
		}
	}
	if d.fail(f.err); d.err != nil {
		return
	}
	failed := status == statusError
	h.SampleRate = d.rate(state)
	d.b.Add(h)
	d.setText("name", name)
	kindName := ""
	if uint32(kind) < uint32(len(kinds)) {
		kindName = kinds[kind]
	}
	d.b.SetString("span.kind", kindName)
	d.b.SetString("type", kindName)
	ms, valid := millis(h.Time, end)
	d.b.SetFloat("duration_ms", ms)
	if !valid {
		d.b.SetBool("meta.invalid_duration", true)
	}
	d.b.SetInt("status_code", int64(status))
	if failed {
		d.b.SetBool("error", true)
	}
	if len(message) > 0 {
		d.setText("status_message", cut(message))
	}
	d.b.SetInt("span.num_events", int64(len(d.events)))
	d.b.SetInt("span.num_links", int64(len(d.links)))
	d.b.SetString("meta.signal_type", "trace")
	if len(state) > 0 {
		d.setText("trace.trace_state", state)
	}
	d.b.Replay(&d.scopeFields)
	d.copyException()
	d.attributes(d.attrs)

	child := h
	child.Span, child.Parent = event.SpanID{}, h.Span
	for _, e := range d.events {
		d.spanEvent(e, child, h.Time, name, failed)
	}
	for _, l := range d.links {
		d.link(l, child, name, failed)
	}
}

// status decodes a Status on top of what an earlier one of the same span said.
func (d *decoder) status(msg, message []byte, code int32) ([]byte, int32) {
	f := fields{buf: msg}
	for f.next() {
		switch f.num {
		case 2:
			if f.is(wireBytes) {
				message = f.data()
			}
		case 3:
			if f.is(wireVarint) {
				code = int32(f.val)
			}
		}
	}
	d.fail(f.err)
	return message, code
}

// spanEvent decodes a Span.Event and adds it.
func (d *decoder) spanEvent(msg []byte, h event.Header, start int64, parent []byte, failed bool) {
	h.Time = 0
	var name []byte
	d.attrs = d.attrs[:0]
	f := fields{buf: msg}
	for f.next() {
		switch f.num {
		case 1:
			if f.is(wireI64) {
				h.Time = nanos(f.val)
			}
		case 2:
			if f.is(wireBytes) {
				name = f.data()
			}
		case 3:
			d.attribute(&f)
		case 4: // dropped_attributes_count
			f.is(wireVarint)
		}
	}
	if d.fail(f.err); d.err != nil {
		return
	}
	d.b.Add(h)
	d.setText("name", name)
	d.setText("parent_name", parent)
	d.b.SetString("meta.annotation_type", "span_event")
	d.b.SetString("meta.signal_type", "trace")
	since, valid := millis(start, h.Time)
	d.b.SetFloat("meta.time_since_span_start_ms", since)
	if !valid {
		d.b.SetBool("meta.invalid_time_since_span_start", true)
	}
	if failed {
		d.b.SetBool("error", true)
	}
	d.b.Replay(&d.scopeFields)
	d.attributes(d.attrs)
}

// link decodes a Span.Link and adds it.
func (d *decoder) link(msg []byte, h event.Header, parent []byte, failed bool) {
	var trace event.TraceID
	var span event.SpanID
	d.attrs = d.attrs[:0]
	f := fields{buf: msg}
	for f.next() {
		switch f.num {
		case 1:
			f.id(trace[:])
		case 2:
			f.id(span[:])
		case 3: // trace_state
			f.is(wireBytes)
		case 4:
			d.attribute(&f)
		case 5: // dropped_attributes_count
			f.is(wireVarint)
		case 6: // flags
			f.is(wireI32)
		}
	}
	if d.fail(f.err); d.err != nil {
		return
	}
	d.b.Add(h)
	d.setID("trace.link.trace_id", trace[:], trace.IsZero())
	d.setID("trace.link.span_id", span[:], span.IsZero())
	d.setText("parent_name", parent)
	d.b.SetString("meta.annotation_type", "link")
	d.b.SetString("meta.signal_type", "trace")
	if failed {
		d.b.SetBool("error", true)
	}
	d.b.Replay(&d.scopeFields)
	d.attributes(d.attrs)
}

func (d *decoder) setID(name string, id []byte, zero bool) {
	d.json = d.json[:0]
	if !zero {
		d.json = hex.AppendEncode(d.json, id)
	}
	d.setText(name, d.json)
}

// copyException sets the fields of the span's first exception event on the span; the span's own
// attributes, set later, win.
func (d *decoder) copyException() {
	for _, e := range d.events {
		var name []byte
		f := fields{buf: e}
		for f.next() {
			if f.num == 2 {
				name = f.data()
			}
		}
		if string(name) != "exception" {
			continue
		}
		var seen [len(exceptionFields)]bool
		f = fields{buf: e}
		for f.next() {
			if f.num != 3 {
				continue
			}
			var kv keyValue
			d.keyValue(f.data(), &kv, trusted)
			for i, n := range exceptionFields {
				if string(kv.key) != n || seen[i] {
					continue
				}
				seen[i] = true
				switch {
				case kv.value.kind == text && n != "exception.escaped":
					d.setText(n, cut(kv.value.data))
				case kv.value.kind == boolean && n == "exception.escaped":
					d.b.SetBool(n, kv.value.num != 0)
				}
			}
		}
		return
	}
}

// log decodes a LogRecord and adds it.
func (d *decoder) log(msg []byte) {
	h := event.Header{Ingested: d.received, Dataset: event.DatasetID(len(d.services) - 1)}
	var at, observed int64
	var severityNumber int32
	var flags uint64
	var severityText, eventName []byte
	var body value
	d.attrs = d.attrs[:0]
	f := fields{buf: msg}
	for f.next() {
		switch f.num {
		case 1:
			if f.is(wireI64) {
				at = nanos(f.val)
			}
		case 2:
			if f.is(wireVarint) {
				severityNumber = int32(f.val)
			}
		case 3:
			if f.is(wireBytes) {
				severityText = f.data()
			}
		case 5:
			if f.is(wireBytes) {
				d.value(f.data(), &body, 1)
			}
		case 6:
			d.attribute(&f)
		case 7: // dropped_attributes_count
			f.is(wireVarint)
		case 8:
			if f.is(wireI32) {
				flags = f.val
			}
		case 9:
			f.id(h.Trace[:])
		case 10:
			f.id(h.Parent[:])
		case 11:
			if f.is(wireI64) {
				observed = nanos(f.val)
			}
		case 12:
			if f.is(wireBytes) {
				eventName = f.data()
			}
		}
	}
	if d.fail(f.err); d.err != nil {
		return
	}
	switch {
	case at != 0:
		h.Time = at
	case observed != 0:
		h.Time = observed
	default:
		h.Time = d.received
	}
	h.SampleRate = d.rate(nil)
	d.b.Add(h)
	d.b.SetString("severity", severity(severityNumber))
	d.b.SetInt("severity_code", int64(severityNumber))
	if len(severityText) > 0 {
		d.setText("severity_text", severityText)
	}
	d.b.SetInt("flags", int64(flags))
	d.b.SetString("meta.signal_type", "log")
	if !h.Trace.IsZero() {
		d.b.SetString("meta.annotation_type", "span_event")
	}
	if len(eventName) > 0 {
		d.setText("event.name", eventName)
	}
	d.name = append(d.name[:0], "body"...)
	if body.kind == object {
		d.object(body.data, 1)
		d.name = d.name[:len("body")]
		d.setJSON(&body)
	} else {
		d.set(&body, 0)
	}
	d.b.Replay(&d.scopeFields)
	d.attributes(d.attrs)
}

// id reads a trace or span id into dst: empty is none, any other size an error.
func (f *fields) id(dst []byte) {
	switch {
	case !f.is(wireBytes):
	case len(f.data()) == 0:
		clear(dst)
	case len(f.data()) != len(dst):
		f.fail(errID)
	default:
		copy(dst, f.data())
	}
}

// attribute adds the KeyValue that f stands at to attrs.
func (d *decoder) attribute(f *fields) {
	if !f.is(wireBytes) {
		return
	}
	if len(d.attrs) < cap(d.attrs) {
		d.attrs = d.attrs[:len(d.attrs)+1]
		d.attrs[len(d.attrs)-1] = keyValue{}
	} else {
		d.attrs = append(d.attrs, keyValue{})
	}
	d.keyValue(f.data(), &d.attrs[len(d.attrs)-1], 1)
}

// trusted in place of a depth says that the nested values are known to be well formed.
const trusted = -1

// keyValue decodes a KeyValue.
func (d *decoder) keyValue(msg []byte, kv *keyValue, depth int) {
	if kv.plain(msg) {
		return
	}
	f := fields{buf: msg}
	for f.next() {
		switch f.num {
		case 1:
			if f.is(wireBytes) {
				kv.key = f.data()
			}
		case 2:
			if f.is(wireBytes) {
				d.value(f.data(), &kv.value, depth)
			}
		case 3: // key_strindex, of profiles only
			f.is(wireVarint)
		}
	}
	d.fail(f.err)
}

// value decodes an AnyValue on top of what v was; what is nested is checked, unless trusted, but
// not decoded.
func (d *decoder) value(msg []byte, v *value, depth int) {
	f := fields{buf: msg}
	for f.next() {
		switch f.num {
		case 1:
			if f.is(wireBytes) {
				*v = value{kind: text, data: f.data()}
			}
		case 2:
			if f.is(wireVarint) {
				*v = value{kind: boolean, num: f.val}
			}
		case 3:
			if f.is(wireVarint) {
				*v = value{kind: integer, num: f.val}
			}
		case 4:
			if f.is(wireI64) {
				*v = value{kind: double, num: f.val}
			}
		case 5, 6:
			if f.is(wireBytes) {
				*v = value{kind: array, data: f.data()}
				if f.num == 6 {
					v.kind = object
				}
				d.nested(v, depth)
			}
		case 7:
			if f.is(wireBytes) {
				*v = value{kind: blob, data: f.data()}
			}
		case 8: // string_value_strindex, of profiles only
			if f.is(wireVarint) {
				*v = value{}
			}
		}
	}
	d.fail(f.err)
}

// nested checks what is in an array or object.
func (d *decoder) nested(v *value, depth int) {
	if depth == trusted || d.err != nil {
		return
	}
	if depth >= maxDepth {
		d.fail(errDepth)
		return
	}
	f := fields{buf: v.data}
	for f.next() {
		if f.num != 1 || !f.is(wireBytes) {
			continue
		}
		if v.kind == array {
			var e value
			d.value(f.data(), &e, depth+1)
		} else {
			var kv keyValue
			d.keyValue(f.data(), &kv, depth+1)
		}
	}
	d.fail(f.err)
}

// attributes sets fields for the attributes of a span, resource, scope…; those that carry the
// sample rate are left out.
func (d *decoder) attributes(attrs []keyValue) {
	for i := range attrs {
		kv := &attrs[i]
		switch {
		case len(kv.key) == 0 || isRate(kv.key):
		case kv.value.kind == text:
			d.b.SetStringBytes(kv.key, cut(kv.value.data))
		default:
			d.name = append(d.name[:0], kv.key...)
			d.set(&kv.value, 0)
		}
	}
}

// set sets the field called d.name; nested objects become dotted names.
func (d *decoder) set(v *value, depth int) {
	switch v.kind {
	case text:
		d.b.SetStringBytes(d.name, cut(v.data))
	case boolean:
		d.b.SetBoolBytes(d.name, v.num != 0)
	case integer:
		d.b.SetIntBytes(d.name, int64(v.num))
	case double:
		d.b.SetFloatBytes(d.name, math.Float64frombits(v.num))
	case object:
		if depth < maxFlatten {
			d.object(v.data, depth+1)
			return
		}
		d.setJSON(v)
	case array, blob:
		d.setJSON(v)
	}
}

// object sets fields for a KeyValueList whose own name is d.name, which it changes.
func (d *decoder) object(list []byte, depth int) {
	d.name = append(d.name, '.')
	n := len(d.name)
	f := fields{buf: list}
	for f.next() {
		if f.num != 1 {
			continue
		}
		var kv keyValue
		d.keyValue(f.data(), &kv, trusted)
		if len(kv.key) > 0 {
			d.name = append(d.name[:n], kv.key...)
			d.set(&kv.value, depth)
		}
	}
}

func (d *decoder) setJSON(v *value) {
	d.json = append(d.appendJSON(d.json[:0], v), '\n') // the newline is Honeycomb's
	d.b.SetStringBytes(d.name, cut(d.json))
}
