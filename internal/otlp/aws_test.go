package otlp_test

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strings"
	"testing"

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
	many := func(spans, bytes int) []byte {
		td := ptrace.NewTraces()
		list := td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans()
		for i := range spans {
			s := list.AppendEmpty()
			s.SetTraceID(pcommon.TraceID{1})
			s.SetSpanID(pcommon.SpanID{byte(i), byte(i >> 8), 1})
			s.Attributes().PutStr("a", strings.Repeat("x", bytes))
		}
		return marshal(td)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(marshal(traces()))
	_ = z.Close()
	const good, bad = "AWS4-HMAC-SHA256 Credential=test/20261123/us-east-1/xray/aws4_request", "AWS4-HMAC-SHA256 Credential=bad"
	for name, c := range map[string]struct {
		path, auth, encoding string
		body                 []byte
		status               int
		text                 string
	}{
		"signed, on the port of all":    {"/v1/traces", good, "", marshal(traces()), http.StatusOK, ""},
		"signed and packed":             {"/aws/v1/traces", good, "gzip", packed.Bytes(), http.StatusOK, ""},
		"unsigned, on X-Ray's port":     {"/aws/v1/traces", "", "", marshal(traces()), http.StatusOK, ""},
		"a bad signature":               {"/v1/traces", bad, "", marshal(traces()), http.StatusForbidden, "no such key"},
		"as many spans as there may be": {"/aws/v1/traces", good, "", many(10_000, 1), http.StatusOK, ""},
		"a span more":                   {"/aws/v1/traces", good, "", many(10_001, 1), http.StatusBadRequest, "10001 spans"},
		"a large span":                  {"/aws/v1/traces", good, "", many(1, 201<<10), http.StatusBadRequest, "larger than 204800"},
		"a large body":                  {"/aws/v1/traces", good, "", many(40, 150<<10), http.StatusRequestEntityTooLarge, "larger than 5242880"},
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
