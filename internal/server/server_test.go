package server_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

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
