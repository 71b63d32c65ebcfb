package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// run runs a server until stop, which wants a clean end.
func run(t *testing.T, cfg server.Config) (a server.Addresses, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready := make(chan server.Addresses, 1)
	cfg.HTTP, cfg.OTLPGRPC, cfg.OTLPHTTP, cfg.XRay = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	cfg.Ready = func(a server.Addresses) { ready <- a }
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx, cfg) }()
	select {
	case a = <-ready:
	case err := <-done:
		cancel()
		t.Fatal(err)
	}
	return a, func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// post makes a call that must succeed and returns its answer.
func post(t *testing.T, url, body string, header map[string]string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		r.Header.Set(k, v)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode/100 != 2 {
		t.Fatalf("%s %s: %d %s %v", url, body, res.StatusCode, text, err)
	}
	return string(text)
}

func get(t *testing.T, url, key string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		r.SetBasicAuth("me", key)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

func TestRunServesAndEnds(t *testing.T) {
	data := t.TempDir()
	for range 2 { // a second start on the same data
		a, stop := run(t, server.Config{Data: data, Version: "test"})
		for path, want := range map[string]string{"/healthz": "ok", "/readyz": "ok", "/api/status": `"version":"test"`, "/1/auth": "bootcamp", "/": "<"} {
			if code, text := get(t, "http://"+a.HTTP+path, ""); code != http.StatusOK || !strings.Contains(text, want) {
				t.Errorf("%s: %d %.100s", path, code, text)
			}
		}
		stop()
	}
}

func TestStopEndsOpenStreams(t *testing.T) {
	a, stop := run(t, server.Config{Data: t.TempDir()})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+a.HTTP+"/api/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	stop()
	if _, err := io.ReadAll(res.Body); err != nil {
		t.Errorf("the stream ended with %v", err)
	}
	_ = res.Body.Close()
}

func TestKeysGuardTheConsole(t *testing.T) {
	a, stop := run(t, server.Config{Data: t.TempDir(), Auth: awsapi.Keys})
	defer stop()
	for path, want := range map[string]int{"/api/status": 401, "/": 401, "/healthz": 200, "/1/auth": 401} {
		if code, _ := get(t, "http://"+a.HTTP+path, "wrong"); code != want {
			t.Errorf("%s with a wrong key: %d, want %d", path, code, want)
		}
	}
}

func TestConfigRefuses(t *testing.T) {
	taken := httptest.NewServer(http.NotFoundHandler())
	defer taken.Close()
	for want, cfg := range map[string]server.Config{
		"no folder given":                    {},
		"--auth off would let everyone in":   {Data: "x", HTTP: "0.0.0.0:0"},
		"--tls-cert and --tls-key":           {Data: "x", TLSCert: "c"},
		"--meta: postgres is not supported":  {Data: "x", Meta: "postgres://h"},
		"the port is taken":                  {Data: filepath.Join(t.TempDir(), "d"), HTTP: taken.Listener.Addr().String(), OTLPGRPC: "127.0.0.1:0", OTLPHTTP: "127.0.0.1:0", XRay: "127.0.0.1:0"},
		"--otlp-http nonsense: address nons": {Data: "x", OTLPHTTP: "nonsense"},
	} {
		if err := server.Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Run = %v, want %q", err, want)
		}
	}
}

// TestOtherReaders reads log groups by the ways that are not CloudWatch Logs' own: what a data protection
// policy hides is hidden there too, and what was deleted is gone.
func TestOtherReaders(t *testing.T) {
	a, stop := run(t, server.Config{Data: t.TempDir()})
	defer stop()
	base := "http://" + a.HTTP
	logs := func(op, body string) {
		t.Helper()
		post(t, base+"/", body, map[string]string{"X-Amz-Target": "Logs_20140328." + op, "Content-Type": "application/x-amz-json-1.1"})
	}
	const trace = "0af7651916cd43dd8448eb211c80319c"
	logs("CreateLogGroup", `{"logGroupName":"g"}`)
	logs("CreateLogStream", `{"logGroupName":"g","logStreamName":"s"}`)
	logs("PutLogEvents", fmt.Sprintf(`{"logGroupName":"g","logStreamName":"s","logEvents":[{"timestamp":%d,"message":%q}]}`, time.Now().UnixMilli(), `{"mail":"bob@example.com","trace_id":"`+trace+`","card":4111111111111111}`))
	post(t, base+"/1/events/web", `{"name":"GET /","trace.trace_id":"`+trace+`","trace.span_id":"b7ad6b7169203331","duration_ms":1,"mail":"eve@example.com","card":1}`, map[string]string{"X-Honeycomb-Team": "k"})
	const honeycomb = `{"breakdowns":["mail"],"calculations":[{"op":"COUNT"},{"op":"MAX","column":"card"}],"time_range":3600}`
	reads := map[string]func() string{
		"Honeycomb's query results": func() string {
			header := map[string]string{"X-Honeycomb-Team": "k"}
			var query, result struct{ ID string }
			if err := json.Unmarshal([]byte(post(t, base+"/1/queries/__all__", honeycomb, header)), &query); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal([]byte(post(t, base+"/1/query_results/__all__", `{"query_id":"`+query.ID+`"}`, header)), &result); err != nil {
				t.Fatal(err)
			}
			_, text := get(t, base+"/1/query_results/__all__/"+result.ID, "")
			return text
		},
		"the query page": func() string {
			return post(t, base+"/api/query", strings.Replace(honeycomb, "{", `{"dataset":"__all__",`, 1), nil)
		},
		"the page of logs": func() string {
			_, text := get(t, base+"/api/logs/events?group=g", "")
			return text
		},
		"the page of a trace": func() string {
			_, text := get(t, base+"/api/traces/"+trace, "")
			return text
		},
	}
	for name, read := range reads {
		if text := read(); !strings.Contains(text, "bob@example.com") || !strings.Contains(text, "4111111111111111") {
			t.Errorf("%s without a policy: %s", name, text)
		}
	}
	const policy = `{"Name":"p","Version":"2021-06-01","Statement":[{"Sid":"a","DataIdentifier":["EmailAddress","CreditCardNumber"],"Operation":{"Audit":{"FindingsDestination":{}}}},` +
		`{"Sid":"d","DataIdentifier":["EmailAddress","CreditCardNumber"],"Operation":{"Deidentify":{"MaskConfig":{}}}}]}`
	logs("PutDataProtectionPolicy", fmt.Sprintf(`{"logGroupIdentifier":"g","policyDocument":%q}`, policy))
	seen := map[string]int{}
	for name, read := range reads {
		text := read()
		seen[name] = strings.Count(text, "***************")
		if strings.Contains(text, "bob@example.com") || strings.Contains(text, "4111111111111111") || seen[name] == 0 {
			t.Errorf("%s: %s", name, text)
		}
	}
	// What no log group has is not hidden.
	if text := post(t, base+"/api/query", strings.Replace(honeycomb, "{", `{"dataset":"web",`, 1), nil); !strings.Contains(text, "eve@example.com") {
		t.Errorf("a dataset without a policy: %s", text)
	}
	logs("DeleteLogStream", `{"logGroupName":"g","logStreamName":"s"}`)
	for name, read := range reads {
		if before, text := seen[name], read(); strings.Count(text, "***************") >= before {
			t.Errorf("%s after the stream was deleted: %s", name, text)
		}
	}
}
