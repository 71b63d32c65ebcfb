package conformance

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestHostileInput sends what no client should to every port. Each gets that vendor's error,
// and the server goes on.
func TestHostileInput(t *testing.T) {
	s := serve(t)
	strict := serve(t, "--auth", "strict")
	bomb := func() string {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write(make([]byte, 256<<20))
		_ = z.Close()
		return b.String()
	}()
	deep := strings.Repeat(`{"a":[`, 200_000)
	const logs, rest = "Logs_20140328.PutLogEvents", ""
	for _, c := range []struct {
		name, url, target string
		body              string
		header            [2]string
		status            int
		text              string
	}{
		{"otlp: truncated protobuf", s.OTLPHTTP + "/v1/traces", rest, "\x0a\xff\xff\xff", [2]string{"Content-Type", "application/x-protobuf"}, 400, "failed to parse OTLP request body"},
		{"otlp: gzip bomb", s.OTLPHTTP + "/v1/traces", rest, bomb, [2]string{"Content-Encoding", "gzip"}, 413, ""},
		{"otlp: deep JSON", s.OTLPHTTP + "/v1/traces", rest, deep, [2]string{"Content-Type", "application/json"}, 400, "failed to parse OTLP request body"},
		{"otlp: bad UTF-8", s.OTLPHTTP + "/v1/logs", rest, `{"resourceLogs":"` + "\xff\xfe" + `"}`, [2]string{"Content-Type", "application/json"}, 400, "failed to parse OTLP request body"},
		{"events: truncated", s.HTTP + "/1/batch/ds", rest, `[{"data":{"a":`, [2]string{}, 400, "malformed"},
		{"events: gzip bomb", s.HTTP + "/1/events/ds", rest, bomb, [2]string{"Content-Encoding", "gzip"}, 400, "too large"},
		{"events: deep JSON", s.HTTP + "/1/events/ds", rest, deep, [2]string{}, 400, "Request body"},
		{"logs: not JSON", s.HTTP + "/", logs, `{"logGroupName":`, [2]string{}, 400, "SerializationException"},
		{"logs: wrong type", s.HTTP + "/", logs, `{"logGroupName":5}`, [2]string{}, 400, "SerializationException"},
		{"logs: gzip bomb", s.HTTP + "/", logs, bomb, [2]string{"Content-Encoding", "gzip"}, 413, "RequestEntityTooLargeException"},
		{"logs: deep JSON", s.HTTP + "/", logs, deep, [2]string{}, 400, "SerializationException"},
		{"logs: unknown operation", s.HTTP + "/", "Logs_20140328.Nope", `{}`, [2]string{}, 400, "UnknownOperationException"},
		{"xray: not JSON", s.XRay + "/TraceSegments", rest, `{`, [2]string{}, 400, "Exception"},
		{"xray: gzip bomb", s.XRay + "/TraceSegments", rest, bomb, [2]string{"Content-Encoding", "gzip"}, 400, "Exception"},
		{"xray: deep document", s.XRay + "/TraceSegments", rest, `{"TraceSegmentDocuments":["` + strings.Repeat(`{\"a\":`, 5_000) + `"]}`, [2]string{}, 200, "UnprocessedTraceSegments"},
		{"xray: bad filter", s.HTTP + "/TraceSummaries", rest, `{"StartTime":1,"EndTime":2,"FilterExpression":"service(\"x\" {"}`, [2]string{}, 400, "InvalidRequestException"},
		{"xray: deep filter", s.HTTP + "/TraceSummaries", rest, `{"StartTime":1,"EndTime":2,"FilterExpression":"` + strings.Repeat("(", 1500) + `"}`, [2]string{}, 400, "InvalidRequestException"},
		{"strict: unsigned", strict.HTTP + "/", logs, `{}`, [2]string{}, 403, "MissingAuthenticationTokenException"},
		{"strict: nonsense", strict.HTTP + "/Groups", rest, `{}`, [2]string{"Authorization", "AWS4-HMAC-SHA256 x"}, 400, "IncompleteSignatureException"},
		{"strict: otlp key", strict.OTLPHTTP + "/v1/traces", rest, "", [2]string{"X-Honeycomb-Team", "wrong"}, 401, "unknown API key"},
		{"header of 1 MB", s.HTTP + "/1/auth", rest, "", [2]string{"X-Junk", strings.Repeat("x", 1<<20)}, 431, ""},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+c.url, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(c.url, "/v1/") {
			r.Header.Set("Content-Type", "application/x-protobuf")
		}
		if c.target != "" {
			r.Header.Set("X-Amz-Target", c.target)
		}
		if c.header[0] != "" {
			r.Header.Set(c.header[0], c.header[1])
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		text, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != c.status || !strings.Contains(string(text), c.text) {
			t.Errorf("%s: %d %.200q %v, want %d with %q", c.name, res.StatusCode, text, err, c.status, c.text)
		}
	}

	udp, err := net.Dial("udp", s.XRay)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = udp.Close() }()
	for _, junk := range []string{"", "\x00\xff", "no newline", "{}\n{}", `{"format":"json","version":1}` + "\n", `{"format":"json","version":1}` + "\n\xff\xfe", strings.Repeat("x", 60_000),
		`{"format":"json","version":1}` + "\n" + strings.Repeat("[", 50_000)} {
		if _, err := udp.Write([]byte(junk)); err != nil {
			t.Fatal(err)
		}
	}
	now := float64(time.Now().UnixMilli()) / 1000
	good := fmt.Sprintf(`{"format":"json","version":1}`+"\n"+`{"name":"after","id":"70de5b6f19ff9a0a","trace_id":"1-%08x-0000000000000000000000af","start_time":%f,"end_time":%f}`, int(now), now, now+1)
	if _, err := udp.Write([]byte(good)); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, "a good datagram after the junk is stored", func() error {
		rows, err := s.tryRows("xray", `{"breakdowns":["name"]}`)
		if err == nil && (len(rows) != 1 || rows[0]["name"] != "after") {
			err = fmt.Errorf("%v", rows)
		}
		return err
	})
	for _, addr := range []string{s.HTTP, s.OTLPHTTP, s.OTLPGRPC, s.XRay} {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Errorf("after all of it: %v", err)
			continue
		}
		if _, err := conn.Write([]byte("\x16\x03\x01garbage\r\n\r\n")); err != nil {
			t.Error(err)
		}
		_ = conn.Close()
	}
	var status struct{ Version string }
	if err := s.get("/api/status", &status); err != nil {
		t.Errorf("after all of it: %v", err)
	}
}
