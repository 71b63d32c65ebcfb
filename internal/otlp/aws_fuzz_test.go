package otlp

import (
	"testing"

	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
)

// FuzzCheckAWS counts the spans of arbitrary bytes: what pdata reads and finds few enough passes.
func FuzzCheckAWS(f *testing.F) {
	td := ptrace.NewTraces()
	td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty().SetName("a")
	seed, err := ptraceotlp.NewExportRequestFromTraces(td).MarshalProto()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte{10, 2, 18, 0})
	f.Add([]byte{10, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > maxAWSSpan {
			return
		}
		err := checkAWS(b)
		in := ptraceotlp.NewExportRequest()
		if in.UnmarshalProto(b) == nil && in.Traces().SpanCount() <= maxAWSSpans && err != nil {
			t.Fatalf("%d spans: %v", in.Traces().SpanCount(), err)
		}
	})
}
