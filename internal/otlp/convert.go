package otlp

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/trefoil-o11y/trefoil/internal/event"
)

const (
	// maxString is the longest text of a field; longer ones are cut, as Honeycomb does.
	maxString = 65_535
	// maxFlatten is how many levels of a map become dotted names; deeper ones become JSON.
	maxFlatten = 5
)

// instrumentation lists the prefixes of scope names that mark instrumentation libraries.
var instrumentation = []string{
	"io.opentelemetry", "opentelemetry.instrumentation", "OpenTelemetry.Instrumentation", "OpenTelemetry::Instrumentation",
	"go.opentelemetry.io/contrib/instrumentation", "@opentelemetry/instrumentation", "io.opentelemetry.contrib.php",
	"github.com/open-telemetry/opentelemetry-collector", "@honeycombio/",
}

// scope is what the events of one scope share.
type scope struct {
	resource          pcommon.Map
	resourceSchemaURL string
	scope             pcommon.InstrumentationScope
	scopeSchemaURL    string
}

// fields sets the scope's own fields, then resource and scope attributes: what is set after
// it wins over them.
func (s scope) fields(b *event.Builder) {
	if n := s.scope.Name(); n != "" {
		b.SetString("library.name", n)
		for _, p := range instrumentation {
			if strings.HasPrefix(n, p) {
				b.SetBool("telemetry.instrumentation_library", true)
				break
			}
		}
	}
	if v := s.scope.Version(); v != "" {
		b.SetString("library.version", v)
	}
	if s.resourceSchemaURL != "" {
		b.SetString("resource.schema_url", s.resourceSchemaURL)
	}
	if s.scopeSchemaURL != "" {
		b.SetString("scope.schema_url", s.scopeSchemaURL)
	}
	attributes(b, "", s.resource, 0)
	attributes(b, "", s.scope.Attributes(), 0)
}

// sampleRate looks for the rate in the attribute maps, the last one first, then in the trace
// state.
func sampleRate(traceState string, maps ...pcommon.Map) uint32 {
	for i := len(maps) - 1; i >= 0; i-- {
		for _, name := range []string{"sampleRate", "SampleRate"} {
			if v, ok := maps[i].Get(name); ok {
				return rateOf(v)
			}
		}
	}
	return thresholdRate(traceState)
}

func rateOf(v pcommon.Value) uint32 {
	f := 0.0
	switch v.Type() {
	case pcommon.ValueTypeInt:
		f = float64(v.Int())
	case pcommon.ValueTypeDouble:
		f = v.Double()
	case pcommon.ValueTypeStr:
		f, _ = strconv.ParseFloat(v.Str(), 64)
	}
	if math.IsNaN(f) || f < 0.5 {
		return 1
	}
	return uint32(min(math.Round(f), math.MaxInt32))
}

// thresholdRate reads the sampling threshold of a W3C trace state: ot=th:hex, or th=hex.
func thresholdRate(traceState string) uint32 {
	for entry := range strings.FieldsFuncSeq(traceState, func(r rune) bool { return r == ',' || r == ';' }) {
		entry = strings.TrimSpace(entry)
		entry = strings.TrimPrefix(entry, "ot=")
		hex, ok := strings.CutPrefix(entry, "th:")
		if !ok {
			hex, ok = strings.CutPrefix(entry, "th=")
		}
		if !ok || hex == "" || len(hex) > 14 {
			continue
		}
		th, err := strconv.ParseUint(hex+strings.Repeat("0", 14-len(hex)), 16, 64)
		if err != nil {
			continue
		}
		rate := float64(1<<56) / (float64(1<<56) - float64(th))
		if rate < 100 {
			whole := math.Floor(rate)
			if rand.Float64() < rate-whole {
				whole++
			}
			rate = whole
		}
		return uint32(max(1, min(math.Round(rate), math.MaxInt32)))
	}
	return 1
}

// attributes sets fields for a map; nested maps become dotted names.
func attributes(b *event.Builder, prefix string, m pcommon.Map, depth int) {
	for k, v := range m.All() {
		if k == "" || prefix == "" && (k == "sampleRate" || k == "SampleRate") {
			continue
		}
		attribute(b, prefix+k, v, depth)
	}
}

func attribute(b *event.Builder, name string, v pcommon.Value, depth int) {
	switch v.Type() {
	case pcommon.ValueTypeStr:
		b.SetString(name, cut(v.Str()))
	case pcommon.ValueTypeBool:
		b.SetBool(name, v.Bool())
	case pcommon.ValueTypeInt:
		b.SetInt(name, v.Int())
	case pcommon.ValueTypeDouble:
		b.SetFloat(name, v.Double())
	case pcommon.ValueTypeMap:
		if depth < maxFlatten {
			attributes(b, name+".", v.Map(), depth+1)
			return
		}
		b.SetString(name, cut(jsonText(v)))
	case pcommon.ValueTypeSlice, pcommon.ValueTypeBytes:
		b.SetString(name, cut(jsonText(v)))
	}
}

func cut(s string) string {
	if len(s) <= maxString {
		return s
	}
	n := maxString
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n]
}

// jsonText renders a value as Honeycomb does: no HTML escaping, a newline at the end, bytes as
// base64.
func jsonText(v pcommon.Value) string {
	var buf bytes.Buffer
	writeJSON(&buf, v)
	buf.WriteByte('\n')
	return buf.String()
}

func writeJSON(buf *bytes.Buffer, v pcommon.Value) {
	switch v.Type() {
	case pcommon.ValueTypeMap:
		buf.WriteByte('{')
		first := true
		for k, e := range v.Map().All() {
			if !first {
				buf.WriteByte(',')
			}
			first = false
			writeString(buf, k)
			buf.WriteByte(':')
			writeJSON(buf, e)
		}
		buf.WriteByte('}')
	case pcommon.ValueTypeSlice:
		buf.WriteByte('[')
		for i := range v.Slice().Len() {
			if i > 0 {
				buf.WriteByte(',')
			}
			writeJSON(buf, v.Slice().At(i))
		}
		buf.WriteByte(']')
	case pcommon.ValueTypeStr:
		writeString(buf, v.Str())
	case pcommon.ValueTypeBytes:
		writeString(buf, base64.StdEncoding.EncodeToString(v.Bytes().AsRaw()))
	case pcommon.ValueTypeInt:
		buf.WriteString(strconv.FormatInt(v.Int(), 10))
	case pcommon.ValueTypeDouble:
		if f := v.Double(); math.IsNaN(f) || math.IsInf(f, 0) {
			buf.WriteString("null")
		} else {
			buf.WriteString(strconv.FormatFloat(f, 'g', -1, 64))
		}
	case pcommon.ValueTypeBool:
		buf.WriteString(strconv.FormatBool(v.Bool()))
	default:
		buf.WriteString("null")
	}
}

func writeString(buf *bytes.Buffer, s string) {
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string always encodes, a bytes.Buffer always takes it
	buf.Truncate(buf.Len() - 1)
}

// nanos turns an OTLP time into the store's; times beyond the year 2262 are cut to it.
func nanos(t pcommon.Timestamp) int64 { return int64(min(uint64(t), math.MaxInt64)) }

func millis(from, to int64) (ms float64, valid bool) {
	if to < from {
		return 0, false
	}
	return float64(to-from) / 1e6, true
}

// appendSpan adds a span, its events and its links to b.
func appendSpan(b *event.Builder, ds event.DatasetID, s scope, span ptrace.Span, received time.Time) {
	attrs := span.Attributes()
	rate := sampleRate(span.TraceState().AsRaw(), s.resource, s.scope.Attributes(), attrs)
	start := nanos(span.StartTimestamp())
	h := event.Header{
		Time: start, Ingested: received.UnixNano(), Dataset: ds, SampleRate: rate,
		Trace: event.TraceID(span.TraceID()), Span: event.SpanID(span.SpanID()), Parent: event.SpanID(span.ParentSpanID()),
	}
	failed := span.Status().Code() == ptrace.StatusCodeError
	b.Add(h)
	kind := strings.ToLower(span.Kind().String())
	b.SetString("name", span.Name())
	b.SetString("span.kind", kind)
	b.SetString("type", kind)
	ms, valid := millis(start, nanos(span.EndTimestamp()))
	b.SetFloat("duration_ms", ms)
	if !valid {
		b.SetBool("meta.invalid_duration", true)
	}
	b.SetInt("status_code", int64(span.Status().Code()))
	if failed {
		b.SetBool("error", true)
	}
	if m := span.Status().Message(); m != "" {
		b.SetString("status_message", cut(m))
	}
	b.SetInt("span.num_events", int64(span.Events().Len()))
	b.SetInt("span.num_links", int64(span.Links().Len()))
	b.SetString("meta.signal_type", "trace")
	if ts := span.TraceState().AsRaw(); ts != "" {
		b.SetString("trace.trace_state", ts)
	}
	s.fields(b)
	copyException(b, span)
	attributes(b, "", attrs, 0)

	child := h
	child.Span, child.Parent = event.SpanID{}, h.Span
	for _, e := range span.Events().All() {
		child.Time = nanos(e.Timestamp())
		b.Add(child)
		b.SetString("name", e.Name())
		b.SetString("parent_name", span.Name())
		b.SetString("meta.annotation_type", "span_event")
		b.SetString("meta.signal_type", "trace")
		since, valid := millis(start, child.Time)
		b.SetFloat("meta.time_since_span_start_ms", since)
		if !valid {
			b.SetBool("meta.invalid_time_since_span_start", true)
		}
		if failed {
			b.SetBool("error", true)
		}
		s.fields(b)
		attributes(b, "", e.Attributes(), 0)
	}
	child.Time = start
	for _, l := range span.Links().All() {
		b.Add(child)
		b.SetString("trace.link.trace_id", event.TraceID(l.TraceID()).String())
		b.SetString("trace.link.span_id", event.SpanID(l.SpanID()).String())
		b.SetString("parent_name", span.Name())
		b.SetString("meta.annotation_type", "link")
		b.SetString("meta.signal_type", "trace")
		if failed {
			b.SetBool("error", true)
		}
		s.fields(b)
		attributes(b, "", l.Attributes(), 0)
	}
}

// copyException sets the fields of the span's first exception event on the span; the span's own
// attributes, set later, win.
func copyException(b *event.Builder, span ptrace.Span) {
	for _, e := range span.Events().All() {
		if e.Name() != "exception" {
			continue
		}
		for _, name := range []string{"exception.message", "exception.type", "exception.stacktrace"} {
			if v, ok := e.Attributes().Get(name); ok && v.Type() == pcommon.ValueTypeStr {
				b.SetString(name, cut(v.Str()))
			}
		}
		if v, ok := e.Attributes().Get("exception.escaped"); ok && v.Type() == pcommon.ValueTypeBool {
			b.SetBool("exception.escaped", v.Bool())
		}
		return
	}
}

// appendLog adds a log record to b.
func appendLog(b *event.Builder, ds event.DatasetID, s scope, rec plog.LogRecord, received time.Time) {
	t := nanos(rec.Timestamp())
	if t == 0 {
		t = nanos(rec.ObservedTimestamp())
	}
	if t == 0 {
		t = received.UnixNano()
	}
	b.Add(event.Header{
		Time: t, Ingested: received.UnixNano(), Dataset: ds, Trace: event.TraceID(rec.TraceID()), Parent: event.SpanID(rec.SpanID()),
		SampleRate: sampleRate("", s.resource, s.scope.Attributes(), rec.Attributes()),
	})
	b.SetString("severity", severity(rec.SeverityNumber()))
	b.SetInt("severity_code", int64(rec.SeverityNumber()))
	if v := rec.SeverityText(); v != "" {
		b.SetString("severity_text", v)
	}
	b.SetInt("flags", int64(rec.Flags()))
	b.SetString("meta.signal_type", "log")
	if !rec.TraceID().IsEmpty() {
		b.SetString("meta.annotation_type", "span_event")
	}
	if v := rec.EventName(); v != "" {
		b.SetString("event.name", v)
	}
	if body := rec.Body(); body.Type() == pcommon.ValueTypeMap {
		attributes(b, "body.", body.Map(), 1)
		b.SetString("body", cut(jsonText(body)))
	} else {
		attribute(b, "body", body, 0)
	}
	s.fields(b)
	attributes(b, "", rec.Attributes(), 0)
}

func severity(n plog.SeverityNumber) string {
	switch {
	case n >= 1 && n <= 4:
		return "trace"
	case n >= 5 && n <= 8:
		return "debug"
	case n >= 9 && n <= 12:
		return "info"
	case n >= 13 && n <= 16:
		return "warn"
	case n >= 17 && n <= 20:
		return "error"
	case n >= 21 && n <= 24:
		return "fatal"
	default:
		return "unspecified"
	}
}
