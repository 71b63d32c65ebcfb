package otlp_test

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
)

// TestAWSTraces posts traces as AWS's clients do, up to the limits of AWS's endpoint and beyond.
func TestAWSTraces(t *testing.T) {
	f := start(t)
	marshal := func(td ptrace.Traces) []byte {
		b, err := ptraceotlp.NewExportRequestFromTraces(td).MarshalProto()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	now := time.Now()
	recent := func(spread ...time.Duration) ptrace.Traces {
		td := traces()
		for _, rs := range td.ResourceSpans().All() {
			for _, ss := range rs.ScopeSpans().All() {
				for i, s := range ss.Spans().All() {
					at := now
					if i < len(spread) {
						at = now.Add(spread[i])
					}
					s.SetStartTimestamp(pcommon.NewTimestampFromTime(at))
					s.SetEndTimestamp(pcommon.NewTimestampFromTime(at.Add(time.Millisecond)))
				}
			}
		}
		return td
	}
	lasting := recent()
	lasting.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).SetEndTimestamp(pcommon.NewTimestampFromTime(now.Add(3 * time.Hour)))
	apart := func(d time.Duration) []byte {
		td := recent()
		spans := td.ResourceSpans().At(0).ScopeSpans().At(0).Spans()
		spans.At(0).CopyTo(spans.AppendEmpty())
		spans.At(0).SetStartTimestamp(pcommon.NewTimestampFromTime(now.Add(-d)))
		return marshal(td)
	}
	many := func(spans, bytes int) []byte {
		td := ptrace.NewTraces()
		list := td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans()
		for i := range spans {
			s := list.AppendEmpty()
			s.SetTraceID(pcommon.TraceID{1})
			s.SetStartTimestamp(pcommon.NewTimestampFromTime(now))
			s.SetSpanID(pcommon.SpanID{byte(i), byte(i >> 8), 1})
			s.Attributes().PutStr("a", strings.Repeat("x", bytes))
		}
		return marshal(td)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(marshal(recent()))
	_ = z.Close()
	const good, bad = "AWS4-HMAC-SHA256 Credential=test/20261123/us-east-1/xray/aws4_request", "AWS4-HMAC-SHA256 Credential=bad"
	for name, c := range map[string]struct {
		path, auth, encoding string
		body                 []byte
		status               int
		text                 string
	}{
		"signed, on the port of all":    {"/v1/traces", good, "", marshal(recent()), http.StatusOK, ""},
		"signed and packed":             {"/aws/v1/traces", good, "gzip", packed.Bytes(), http.StatusOK, ""},
		"unsigned, on X-Ray's port":     {"/aws/v1/traces", "", "", marshal(recent()), http.StatusOK, ""},
		"a bad signature":               {"/v1/traces", bad, "", marshal(recent()), http.StatusForbidden, "no such key"},
		"as many spans as there may be": {"/aws/v1/traces", good, "", many(10_000, 1), http.StatusOK, ""},
		"a span more":                   {"/aws/v1/traces", good, "", many(10_001, 1), http.StatusBadRequest, "10001 spans"},
		"a large span":                  {"/aws/v1/traces", good, "", many(1, 201<<10), http.StatusBadRequest, "larger than 204800"},
		"a large body":                  {"/aws/v1/traces", good, "", many(40, 150<<10), http.StatusRequestEntityTooLarge, "larger than 5242880"},
		"as old as it may be":           {"/aws/v1/traces", good, "", marshal(recent(-14*24*time.Hour + time.Minute)), http.StatusOK, ""},
		"too old":                       {"/v1/traces", good, "", marshal(recent(-14*24*time.Hour - time.Minute)), http.StatusBadRequest, "more than 14 days ago"},
		"a clock that is ahead":         {"/aws/v1/traces", good, "", marshal(recent(2*time.Hour - time.Minute)), http.StatusOK, ""},
		"in the future":                 {"/aws/v1/traces", good, "", marshal(recent(2*time.Hour + time.Minute)), http.StatusBadRequest, "more than 2 hours from now"},
		"an end in the future":          {"/aws/v1/traces", good, "", marshal(lasting), http.StatusBadRequest, "more than 2 hours from now"},
		"a day apart":                   {"/aws/v1/traces", good, "", apart(24 * time.Hour), http.StatusOK, ""},
		"more than a day apart":         {"/aws/v1/traces", good, "", apart(24*time.Hour + time.Second), http.StatusBadRequest, "more than 24 hours apart"},
		"not protobuf":                  {"/aws/v1/traces", good, "", []byte("hello"), http.StatusBadRequest, "parse"},
		"not gzip":                      {"/aws/v1/traces", good, "gzip", []byte("hello"), http.StatusBadRequest, "parse"},
	} {
		headers := []string{"Authorization", c.auth, "Content-Encoding", c.encoding}
		if status, text := f.post(t, c.path, "", c.body, headers...); status != c.status || !strings.Contains(text, c.text) {
			t.Errorf("%s: %d %q, want %d %q", name, status, text, c.status, c.text)
		}
	}
	if n := len(f.rows(t, "backend-flask")); n == 0 {
		t.Error("the spans are not there")
	}
}
