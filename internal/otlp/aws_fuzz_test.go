package otlp

import (
	"slices"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
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
	now := time.Date(2026, 11, 23, 1, 2, 3, 4, time.UTC)
	for _, spread := range []time.Duration{time.Second, 25 * time.Hour, -15 * 24 * time.Hour, 3 * time.Hour} {
		td := ptrace.NewTraces()
		list := td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans()
		for _, at := range []time.Time{now.Add(-26 * time.Hour), now.Add(-26 * time.Hour).Add(spread)} {
			list.AppendEmpty().SetStartTimestamp(pcommon.NewTimestampFromTime(at))
		}
		list.At(0).SetEndTimestamp(pcommon.NewTimestampFromTime(now.Add(spread)))
		if seed, err = ptraceotlp.NewExportRequestFromTraces(td).MarshalProto(); err != nil {
			f.Fatal(err)
		}
		f.Add(seed)
	}
	f.Add([]byte{10, 2, 18, 0})
	f.Add([]byte{10, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > maxAWSSpan {
			return
		}
		err := checkAWS(b, now)
		in := ptraceotlp.NewExportRequest()
		if in.UnmarshalProto(b) == nil && in.Traces().SpanCount() <= maxAWSSpans && (err != nil) != timesRefused(in.Traces(), now) {
			t.Fatalf("%d spans: %v", in.Traces().SpanCount(), err)
		}
	})
}

// timesRefused reports whether spans begin or end too far from now, or from each other.
func timesRefused(td ptrace.Traces, now time.Time) bool {
	var starts []pcommon.Timestamp
	for _, rs := range td.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, s := range ss.Spans().All() {
				starts = append(starts, s.StartTimestamp())
				if s.StartTimestamp() < pcommon.NewTimestampFromTime(now.Add(-maxAWSPast)) || max(s.StartTimestamp(), s.EndTimestamp()) > pcommon.NewTimestampFromTime(now.Add(maxAWSFuture)) {
					return true
				}
			}
		}
	}
	return len(starts) > 0 && slices.Max(starts)-slices.Min(starts) > pcommon.Timestamp(maxAWSSpread)
}
