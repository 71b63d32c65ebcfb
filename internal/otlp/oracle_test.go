package otlp

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/trefoil-o11y/trefoil/internal/event"
)

// The conversion by way of pdata, which the decoder is compared with: each message becomes
// objects first, which are then walked.

func half() float64 { return 0.5 }

func oracleService(resource pcommon.Map) string {
	v, ok := resource.Get("service.name")
	if !ok || v.Type() != pcommon.ValueTypeStr {
		return ""
	}
	name := strings.TrimSpace(v.Str())
	if strings.HasPrefix(name, "unknown_service") {
		return ""
	}
	return name
}

func oracleTraces(body []byte, received time.Time) (*event.Batch, []string, error) {
	in := ptraceotlp.NewExportRequest()
	if err := in.UnmarshalProto(body); err != nil {
		return nil, nil, err
	}
	b := event.NewBuilder()
	defer b.Release()
	var services []string
	for i, rs := range in.Traces().ResourceSpans().All() {
		services = append(services, oracleService(rs.Resource().Attributes()))
		for _, ss := range rs.ScopeSpans().All() {
			s := oracleScope{rs.Resource().Attributes(), rs.SchemaUrl(), ss.Scope(), ss.SchemaUrl()}
			for _, span := range ss.Spans().All() {
				appendSpan(b, event.DatasetID(i), s, span, received)
			}
		}
	}
	return b.Batch(), services, nil
}

func oracleLogs(body []byte, received time.Time) (*event.Batch, []string, error) {
	in := plogotlp.NewExportRequest()
	if err := in.UnmarshalProto(body); err != nil {
		return nil, nil, err
	}
	b := event.NewBuilder()
	defer b.Release()
	var services []string
	for i, rl := range in.Logs().ResourceLogs().All() {
		services = append(services, oracleService(rl.Resource().Attributes()))
		for _, sl := range rl.ScopeLogs().All() {
			s := oracleScope{rl.Resource().Attributes(), rl.SchemaUrl(), sl.Scope(), sl.SchemaUrl()}
			for _, rec := range sl.LogRecords().All() {
				appendLog(b, event.DatasetID(i), s, rec, received)
			}
		}
	}
	return b.Batch(), services, nil
}

// scope is what the events of one scope share.
type oracleScope struct {
	resource          pcommon.Map
	resourceSchemaURL string
	scope             pcommon.InstrumentationScope
	scopeSchemaURL    string
}

// fields sets the scope's own fields, then resource and scope attributes: what is set after
// it wins over them.
func (s oracleScope) fields(b *event.Builder) {
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
				return oracleRateOf(v)
			}
		}
	}
	return thresholdRate(traceState, half)
}

func oracleRateOf(v pcommon.Value) uint32 {
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
		b.SetString(name, cutString(v.Str()))
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
		b.SetString(name, cutString(jsonText(v)))
	case pcommon.ValueTypeSlice, pcommon.ValueTypeBytes:
		b.SetString(name, cutString(jsonText(v)))
	}
}

func cutString(s string) string {
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
func oracleNanos(t pcommon.Timestamp) int64 { return int64(min(uint64(t), math.MaxInt64)) }

// appendSpan adds a span, its events and its links to b.
func appendSpan(b *event.Builder, ds event.DatasetID, s oracleScope, span ptrace.Span, received time.Time) {
	attrs := span.Attributes()
	rate := sampleRate(span.TraceState().AsRaw(), s.resource, s.scope.Attributes(), attrs)
	start := oracleNanos(span.StartTimestamp())
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
	ms, valid := millis(start, oracleNanos(span.EndTimestamp()))
	b.SetFloat("duration_ms", ms)
	if !valid {
		b.SetBool("meta.invalid_duration", true)
	}
	b.SetInt("status_code", int64(span.Status().Code()))
	if failed {
		b.SetBool("error", true)
	}
	if m := span.Status().Message(); m != "" {
		b.SetString("status_message", cutString(m))
	}
	b.SetInt("span.num_events", int64(span.Events().Len()))
	b.SetInt("span.num_links", int64(span.Links().Len()))
	b.SetString("meta.signal_type", "trace")
	if ts := span.TraceState().AsRaw(); ts != "" {
		b.SetString("trace.trace_state", ts)
	}
	s.fields(b)
	oracleException(b, span)
	attributes(b, "", attrs, 0)

	child := h
	child.Span, child.Parent = event.SpanID{}, h.Span
	for _, e := range span.Events().All() {
		child.Time = oracleNanos(e.Timestamp())
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

// oracleException sets the fields of the span's first exception event on the span; the span's own
// attributes, set later, win.
func oracleException(b *event.Builder, span ptrace.Span) {
	for _, e := range span.Events().All() {
		if e.Name() != "exception" {
			continue
		}
		for _, name := range []string{"exception.message", "exception.type", "exception.stacktrace"} {
			if v, ok := e.Attributes().Get(name); ok && v.Type() == pcommon.ValueTypeStr {
				b.SetString(name, cutString(v.Str()))
			}
		}
		if v, ok := e.Attributes().Get("exception.escaped"); ok && v.Type() == pcommon.ValueTypeBool {
			b.SetBool("exception.escaped", v.Bool())
		}
		return
	}
}

// appendLog adds a log record to b.
func appendLog(b *event.Builder, ds event.DatasetID, s oracleScope, rec plog.LogRecord, received time.Time) {
	t := oracleNanos(rec.Timestamp())
	if t == 0 {
		t = oracleNanos(rec.ObservedTimestamp())
	}
	if t == 0 {
		t = received.UnixNano()
	}
	b.Add(event.Header{
		Time: t, Ingested: received.UnixNano(), Dataset: ds, Trace: event.TraceID(rec.TraceID()), Parent: event.SpanID(rec.SpanID()),
		SampleRate: sampleRate("", s.resource, s.scope.Attributes(), rec.Attributes()),
	})
	b.SetString("severity", severity(int32(rec.SeverityNumber())))
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
		b.SetString("body", cutString(jsonText(body)))
	} else {
		attribute(b, "body", body, 0)
	}
	s.fields(b)
	attributes(b, "", rec.Attributes(), 0)
}
