package cwlogs

import (
	"bytes"
	"regexp"
	"strconv"
	"unsafe"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/jsonscan"
	"github.com/trefoil-o11y/trefoil/internal/query"
)

// The fields of a log event that do not come from its message.
const (
	fieldMessage    = event.FieldMessage
	fieldSignal     = "meta.signal_type"
	fieldAnnotation = "meta.annotation_type"
)

// maxFields bounds the fields that are found in one message.
const maxFields = 1000

// found is what is in a message: the leaves of a JSON object, and the ids of the trace and
// span that the line belongs to, zero when it names none. It is used for one message after the
// other; the fields are good until the next and share the message's bytes.
type found struct {
	fields []event.Field
	trace  event.TraceID
	span   event.SpanID
	// hidden says that the message has a name or a string that is in no field.
	hidden bool
	// about are fields that every message of a call has.
	about []event.Field

	json  jsonscan.Scanner
	names []byte // those that are not just a key
}

// add puts a log event into a batch; h has no trace yet, and fields is the text that its fields are in:
// the message, or what a transformer made of it. Lambda says that the group is one of AWS
// Lambda's functions.
func (d *found) add(b *event.Builder, h event.Header, message, fields []byte, lambda bool) {
	d.discover(fields, lambda)
	h.Trace, h.Parent = d.trace, d.span
	h.Unpacked = !d.hidden && unsafe.SliceData(fields) == unsafe.SliceData(message)
	b.Add(h)
	for i := range d.fields {
		b.Set(d.fields[i].Name, d.fields[i].Value)
	}
	for _, f := range d.about {
		b.Set(f.Name, f.Value)
	}
	b.SetStringBytes([]byte(fieldMessage), message)
	b.SetString(fieldSignal, "log")
	if !d.trace.IsZero() {
		b.SetString(fieldAnnotation, "span_event")
	}
}

// traceText finds trace ids in text: the X-Ray header, as in "Root=1-…;Parent=…", and what the
// X-Ray SDKs put into log lines, "AWS-XRAY-TRACE-ID: 1-…@segment".
var traceText = regexp.MustCompile(`(?:AWS-XRAY-TRACE-ID: ?|Root=)(1-[0-9a-fA-F]{8}-[0-9a-fA-F]{24})(?:@([0-9a-fA-F]{16})|;Parent=([0-9a-fA-F]{16}))?`)

// discover looks into a message. A JSON object's leaves become fields: a dot for each object,
// ".N" for each array on the way, a further @ ahead of a name that begins with one; null and
// what follows the 1000th field is left out. Lines that services of AWS write as text have their fields.
func (d *found) discover(message []byte, lambda bool) {
	d.forget()
	d.json.Reset(message)
	d.names, d.hidden = d.names[:0], false
	switch {
	case d.json.Peek() == '{':
		if !d.object(nil, 0) || !d.json.Ended() {
			d.forget() // no JSON after all
		}
		d.hidden = d.hidden || len(d.fields) == 0 || d.json.Unescaped()
	case lambda:
		d.lambda(message)
		d.hidden = true
	default:
		d.vended(message)
		d.hidden = true
	}
	if d.trace.IsZero() && (bytes.Contains(message, []byte("AWS-XRAY-TRACE-ID:")) || bytes.Contains(message, []byte("Root=1-"))) {
		if m := traceText.FindSubmatch(message); m != nil {
			d.trace, _ = event.ParseTraceID(string(m[1])) // all zero is no id
			if d.span.IsZero() {
				d.span, _ = event.ParseSpanID(string(m[2]) + string(m[3]))
			}
		}
	}
}

func (d *found) forget() { d.fields, d.trace, d.span = d.fields[:0], event.TraceID{}, event.SpanID{} }

// join makes a name of two parts.
func (d *found) join(a, b []byte) []byte {
	n := len(d.names)
	d.names = append(append(d.names, a...), b...)
	return d.names[n:]
}

// object reads an object whose members' names have a prefix. It reports whether it is one.
func (d *found) object(prefix []byte, depth int) bool {
	s := &d.json
	if depth >= jsonscan.MaxNesting || !s.Take('{') {
		return false
	}
	if s.Take('}') {
		d.hidden = true // there is nothing under the object's name
		return true
	}
	for {
		name, ok := s.Str()
		switch {
		case !ok || !s.Take(':'):
			return false
		case depth > 0:
			name = d.join(prefix, name)
		case len(name) > 0 && name[0] == '@':
			name = d.join([]byte("@"), name)
		}
		if !d.value(name, depth+1) {
			return false
		}
		if !s.Take(',') {
			return s.Take('}')
		}
	}
}

// array is object for an array, whose elements' names are their places.
func (d *found) array(prefix []byte, depth int) bool {
	s := &d.json
	if depth >= jsonscan.MaxNesting || !s.Take('[') {
		return false
	}
	if s.Take(']') {
		d.hidden = true
		return true
	}
	for i := 0; ; i++ {
		var place [20]byte
		if !d.value(d.join(prefix, strconv.AppendInt(place[:0], int64(i), 10)), depth+1) {
			return false
		}
		if !s.Take(',') {
			return s.Take(']')
		}
	}
}

func (d *found) value(name []byte, depth int) bool {
	s := &d.json
	switch c := s.Peek(); c {
	case '{':
		return d.object(d.join(name, []byte(".")), depth)
	case '[':
		return d.array(d.join(name, []byte(".")), depth)
	case '"':
		v, ok := s.Str()
		d.leaf(name, event.String(jsonscan.Lend(v)))
		return ok
	case 't', 'f':
		d.leaf(name, event.Bool(c == 't'))
		return c == 't' && s.Word("true") || s.Word("false")
	case 'n':
		d.hidden = true
		return s.Word("null")
	default:
		text, whole, ok := s.Number()
		if ok {
			d.leaf(name, number(jsonscan.Lend(text), whole))
		}
		return ok
	}
}

// number is query.NumberValue for a number that is known to have a fraction or exponent, or not.
func number(text string, whole bool) event.Value {
	if !whole {
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			return event.Float(f)
		}
	}
	return query.NumberValue(text)
}

func (d *found) leaf(name []byte, v event.Value) {
	if len(d.fields) < maxFields && len(name) > 0 {
		d.fields = append(d.fields, event.Field{Name: jsonscan.Lend(name), Value: v})
	} else {
		d.hidden = true
	}
	switch string(name) {
	case "traceId", "trace_id", "trace.trace_id", "xray_trace_id", "@@xrayTraceId":
		if id, err := event.ParseTraceID(v.Str()); err == nil && d.trace.IsZero() {
			d.trace = id
		}
	case "spanId", "span_id", "trace.span_id":
		if id, err := event.ParseSpanID(v.Str()); err == nil && d.span.IsZero() {
			d.span = id
		}
	}
}
