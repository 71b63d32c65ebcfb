package cwlogs

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
)

// The fields of a log event that do not come from its message.
const (
	fieldMessage    = "@message"
	fieldSignal     = "meta.signal_type"
	fieldAnnotation = "meta.annotation_type"
)

// maxFields bounds the fields that are found in one message.
const maxFields = 200

// found is what is in a message: the leaves of a JSON object, and the ids of the trace and
// span that the line belongs to, zero when it names none.
type found struct {
	fields []event.Field
	trace  event.TraceID
	span   event.SpanID
}

// addEvent puts a log event into a batch.
func addEvent(b *event.Builder, ds event.DatasetID, timeNS, ingestedNS int64, stream, message string) {
	d := discover(message)
	b.Add(event.Header{Time: timeNS, Ingested: ingestedNS, Stream: stream, Dataset: ds, Trace: d.trace, Parent: d.span})
	for _, f := range d.fields {
		b.Set(f.Name, f.Value)
	}
	b.SetString(fieldMessage, message)
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
// what follows the 200th field is left out.
func discover(message string) found {
	var d found
	if text := strings.TrimLeft(message, " \t\r\n"); strings.HasPrefix(text, "{") &&
		jsontext.Value(text).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) {
		d.walk(jsontext.NewDecoder(strings.NewReader(text), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)))
	}
	if d.trace.IsZero() && (strings.Contains(message, "AWS-XRAY-TRACE-ID:") || strings.Contains(message, "Root=1-")) {
		if m := traceText.FindStringSubmatch(message); m != nil {
			d.trace, _ = event.ParseTraceID(m[1]) // all zero is no id
			if d.span.IsZero() {
				d.span, _ = event.ParseSpanID(m[2] + m[3])
			}
		}
	}
	return d
}

// level is an object or array that the walk is in.
type level struct {
	prefix string // of the names of what is in it
	array  bool
	index  int
}

// walk reads one valid JSON object.
func (d *found) walk(dec *jsontext.Decoder) {
	var stack []level
	name := ""
	for {
		top := len(stack) - 1
		kind := dec.PeekKind()
		if top >= 0 && kind != '}' && kind != ']' {
			in := &stack[top]
			key := ""
			if in.array {
				key = strconv.Itoa(in.index)
				in.index++
			} else {
				tok, err := dec.ReadToken()
				if err != nil {
					return
				}
				key = tok.String()
				kind = dec.PeekKind()
			}
			name = in.prefix + key
			if top == 0 && strings.HasPrefix(key, "@") {
				name = "@" + key
			}
		}
		tok, err := dec.ReadToken()
		if err != nil {
			return
		}
		switch kind {
		case '{', '[':
			prefix := ""
			if top >= 0 {
				prefix = name + "."
			}
			stack = append(stack, level{prefix: prefix, array: kind == '['})
		case '}', ']':
			if stack = stack[:top]; top == 0 {
				return
			}
		case '"':
			d.leaf(name, event.String(tok.String()))
		case '0':
			d.leaf(name, query.NumberValue(tok.String()))
		case 't', 'f':
			d.leaf(name, event.Bool(kind == 't'))
		}
	}
}

func (d *found) leaf(name string, v event.Value) {
	if len(d.fields) < maxFields && name != "" {
		d.fields = append(d.fields, event.Field{Name: name, Value: v})
	}
	switch name {
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
