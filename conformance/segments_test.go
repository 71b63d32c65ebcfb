package conformance

import (
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// openRound sends a little of everything; round makes it differ.
func openRound(t *testing.T, s *server, round int) {
	t.Helper()
	now := time.Now()
	attribute := func(key string, v *common.AnyValue) *common.KeyValue { return &common.KeyValue{Key: key, Value: v} }
	number := func(i int) *common.AnyValue {
		return &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: int64(i)}}
	}
	text := func(v string) *common.AnyValue {
		return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: v}}
	}
	var parts []*trace.ResourceSpans
	for k, service := range []string{"open-web", "open-api"} {
		var spans []*trace.Span
		for i := range 3000 * (k + 1) {
			start := uint64(now.Add(-time.Duration(i) * time.Second).UnixNano())
			a := []*common.KeyValue{attribute("n", number(i*round-7)), attribute("name.unicode", text("zażółć 🍀")), attribute("round."+fmt.Sprint(round), number(i))}
			if i%2 == 0 {
				a = append(a, attribute("mixed", number(i)))
			} else {
				a = append(a, attribute("mixed", text("odd")))
			}
			spans = append(spans, &trace.Span{TraceId: id(16, round*10_000+i/10, k), SpanId: id(8, round*10_000+i, k), Name: fmt.Sprintf("op-%d", i%17), StartTimeUnixNano: start, EndTimeUnixNano: start + uint64(i)*1000, Attributes: a})
		}
		parts = append(parts, &trace.ResourceSpans{
			Resource:   &resource.Resource{Attributes: []*common.KeyValue{attribute("service.name", text(service))}},
			ScopeSpans: []*trace.ScopeSpans{{Spans: spans}},
		})
	}
	body, err := proto.Marshal(&collector.ExportTraceServiceRequest{ResourceSpans: parts})
	if err != nil {
		t.Fatal(err)
	}
	if answer, ok := post("http://"+s.OTLPHTTP+"/v1/traces", "application/x-protobuf", "", body); !ok {
		t.Fatalf("spans: %s", answer)
	}
	var events, lines, docs []string
	for i := range 500 {
		ms := now.Add(time.Duration(i-500) * time.Second).UnixMilli()
		events = append(events, fmt.Sprintf(`{"time":%q,"data":{"n":%d,"name":"e%d","duration_ms":%g}}`, now.Add(-time.Duration(i)*time.Minute).UTC().Format(time.RFC3339Nano), i, i%5, float64(i)/7))
		lines = append(lines, fmt.Sprintf(`{"timestamp":%d,"message":"{\"n\":%d,\"name\":\"line\"}"}`, ms, i+round))
		docs = append(docs, fmt.Sprintf(`{"name":"open-segments","id":"%016x","trace_id":"1-%08x-%024x","start_time":%d.5,"end_time":%d.75,"annotations":{"n":%d}}`, round*1000+i+1, ms/1000, round*1000+i/5, ms/1000, ms/1000, i))
	}
	for _, x := range []struct{ path, target, body string }{
		{"/1/batch/open-events", "", "[" + strings.Join(events, ",") + "]"},
		{"/", "Logs_20140328.PutLogEvents", `{"logGroupName":"open-logs","logStreamName":"s","logEvents":[` + strings.Join(lines, ",") + `]}`},
	} {
		contentType := "application/json"
		if x.target != "" {
			contentType = "application/x-amz-json-1.1"
		}
		if answer, ok := post("http://"+s.HTTP+x.path, contentType, x.target, []byte(x.body)); !ok {
			t.Fatalf("%s: %s", x.path, answer)
		}
	}
	for from := 0; from < len(docs); from += 50 {
		body, err := json.Marshal(map[string][]string{"TraceSegmentDocuments": docs[from : from+50]})
		if err != nil {
			t.Fatal(err)
		}
		if answer, ok := post("http://"+s.HTTP+"/TraceSegments", "application/json", "", body); !ok {
			t.Fatalf("segments: %s", answer)
		}
	}
}

// TestSegmentsAreOpen reads the data folder of a running server with DuckDB, pandas and pyarrow:
// rows, sums and counts by dataset are what the server answers.
func TestSegmentsAreOpen(t *testing.T) {
	s := serve(t)
	for _, in := range []struct{ target, body string }{
		{"CreateLogGroup", `{"logGroupName":"open-logs"}`}, {"CreateLogStream", `{"logGroupName":"open-logs","logStreamName":"s"}`},
	} {
		if answer, ok := post("http://"+s.HTTP+"/", "application/x-amz-json-1.1", "Logs_20140328."+in.target, []byte(in.body)); !ok {
			t.Fatalf("%s: %s", in.target, answer)
		}
	}
	// A clean stop writes a segment; three have columns that the others lack.
	for round := range 3 {
		openRound(t, s, round+1)
		s.stop()
		s.start()
	}
	files, err := filepath.Glob(filepath.Join(s.Data, "events", "segments", "*.parquet"))
	if err != nil || len(files) == 0 {
		t.Fatalf("segments %v, %v", files, err)
	}
	// By reader, dataset and what was computed.
	var found map[string]map[string]map[string]float64
	if err := json.Unmarshal([]byte(s.run("python", venv(t, "python"), "segments.py", s.Data)), &found); err != nil {
		t.Fatal(err)
	}
	if len(found) != 4 {
		t.Fatalf("%d readers", len(found))
	}
	sums := map[string][]string{ // of each dataset, the columns of numbers
		"open-web": {"n", "duration_ms", "mixed"}, "open-api": {"n", "duration_ms", "mixed"},
		"open-events": {"n", "duration_ms"}, "open-logs": {"n"}, "xray": {"annotation.n", "duration_ms"},
	}
	for reader, datasets := range found {
		if len(datasets) != len(sums) {
			t.Errorf("%s finds %d datasets, want %d", reader, len(datasets), len(sums))
		}
		for name, columns := range sums {
			got, ok := datasets[name]
			if !ok {
				t.Errorf("%s finds nothing of %s", reader, name)
				continue
			}
			calculations := []string{`{"op":"COUNT"}`, `{"op":"COUNT_DISTINCT","column":"name"}`, `{"op":"COUNT_DISTINCT","column":"trace.trace_id"}`}
			for _, c := range columns {
				calculations = append(calculations, fmt.Sprintf(`{"op":"SUM","column":%q}`, c))
			}
			want := s.rows(name, fmt.Sprintf(`{"time_range":864000,"calculations":[%s]}`, strings.Join(calculations, ",")))[0]
			number := func(key string) float64 {
				f, _ := want[key].(float64)
				return f
			}
			same := func(what string, got, want float64) {
				if !(math.Abs(got-want) <= 1e-9*math.Abs(want)) {
					t.Errorf("%s, %s: %s is %v, the server says %v", reader, name, what, got, want)
				}
			}
			same("rows", got["rows"], number("COUNT"))
			same("names", got["names"], number("COUNT_DISTINCT(name)"))
			same("traces", got["traces"], number("COUNT_DISTINCT(trace.trace_id)"))
			for _, c := range columns {
				same("sum of "+c, got[c], number("SUM("+c+")"))
			}
		}
	}
	// The values are what was sent, not only the same on both sides.
	for reader, datasets := range found {
		if n := datasets["open-api"]["rows"]; n != 3*6000 {
			t.Errorf("%s: open-api has %v rows, want %d", reader, n, 3*6000)
		}
		if sum := datasets["open-logs"]["n"]; sum != 3*(499*500/2)+500*(1+2+3) {
			t.Errorf("%s: sum of the lines' n is %v", reader, sum)
		}
	}
}
