package backend_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/trefoil-o11y/trefoil/cruddur/backend"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// app is a running Cruddur.
type app struct {
	t         *testing.T
	api, page string
	stdout    *buffer
	stop      func() // ends it and waits until everything is delivered
}

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func pages() fs.FS {
	return fstest.MapFS{
		"index.html":      {Data: []byte("<!doctype html><title>Cruddur</title>")},
		"assets/app-1.js": {Data: []byte("export {}")},
	}
}

func start(t *testing.T, change func(*backend.Config)) *app {
	t.Helper()
	a := &app{t: t, stdout: &buffer{}}
	cfg := backend.Config{
		Addr: "127.0.0.1:0", FrontendAddr: "127.0.0.1:0", Pages: pages(), Service: "backend-flask",
		AddressesFile: filepath.Join(t.TempDir(), "addresses.json"),
		Stdout:        a.stdout, Stderr: a.stdout, LogGroup: "cruddur", LogInterval: 10 * time.Millisecond,
	}
	if change != nil {
		change(&cfg)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- backend.Run(ctx, cfg) }()
	a.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(a.stop)

	var addresses map[string]string
	until(t, "the addresses file", func() bool {
		select {
		case err := <-done:
			t.Fatalf("Run: %v", err)
		default:
		}
		text, err := os.ReadFile(cfg.AddressesFile)
		return err == nil && json.Unmarshal(text, &addresses) == nil
	})
	a.api, a.page = "http://"+addresses["backend"], "http://"+addresses["frontend"]
	return a
}

// until polls for ok with a deadline.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited too long for %s", what)
		}
	}
}

// answer is a response with its body read.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a *app) do(method, url, body string, header ...string) answer {
	a.t.Helper()
	if strings.HasPrefix(url, "/") {
		url = a.api + url
	}
	req, err := http.NewRequestWithContext(a.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(text)}
}

func (a *app) get(url string, header ...string) answer {
	a.t.Helper()
	return a.do(http.MethodGet, url, "", header...)
}

// span is a received OTLP span with where it came from.
type span struct {
	*otlp.Span
	service, scope string
}

func (s span) attr(key string) any {
	for _, kv := range s.Attributes {
		if kv.Key == key {
			return value(kv.Value)
		}
	}
	return nil
}

func value(v *common.AnyValue) any {
	switch v := v.Value.(type) {
	case *common.AnyValue_StringValue:
		return v.StringValue
	case *common.AnyValue_IntValue:
		return v.IntValue
	case *common.AnyValue_BoolValue:
		return v.BoolValue
	case *common.AnyValue_DoubleValue:
		return v.DoubleValue
	}
	return nil
}

// sink receives spans over OTLP/HTTP.
type sink struct {
	mu      sync.Mutex
	spans   []span
	headers http.Header
}

func newSink(t *testing.T) *sink {
	s := &sink{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("OTLP request for %s: %v", r.URL.Path, err)
		}
		var in collector.ExportTraceServiceRequest
		if err := proto.Unmarshal(body, &in); err != nil {
			t.Errorf("decode spans: %v", err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.headers = r.Header
		for _, rs := range in.ResourceSpans {
			res := span{Span: &otlp.Span{Attributes: rs.Resource.Attributes}}
			service, _ := res.attr("service.name").(string)
			for _, ss := range rs.ScopeSpans {
				for _, sp := range ss.Spans {
					s.spans = append(s.spans, span{sp, service, ss.Scope.Name})
				}
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(srv.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", srv.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-honeycomb-team=key")
	t.Setenv("OTEL_SERVICE_NAME", "backend-flask")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
	return s
}

// named returns the only span of the name.
func (s *sink) named(t *testing.T, name string) span {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.spans, func(sp span) bool { return sp.Name == name })
	if i < 0 {
		var names []string
		for _, sp := range s.spans {
			names = append(names, sp.Name)
		}
		t.Fatalf("no span %q among %q", name, names)
	}
	for _, sp := range s.spans[i+1:] {
		if sp.Name == name {
			t.Fatalf("two spans %q", name)
		}
	}
	return s.spans[i]
}

// daemon is what the X-Ray SDK talks to: segments over UDP, sampling over TCP.
type daemon struct {
	udp  *net.UDPConn
	addr string

	mu    sync.Mutex
	calls []string
}

// newDaemon answers the sampling calls with one rule of the given rate.
func newDaemon(t *testing.T, rate float64) *daemon {
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { udp.Close() })
	d := &daemon{udp: udp}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		d.calls = append(d.calls, r.URL.Path)
		d.mu.Unlock()
		var out any = map[string]any{"LastRuleModification": 1, "SamplingTargetDocuments": []any{}, "UnprocessedStatistics": []any{}}
		if r.URL.Path == "/GetSamplingRules" {
			rule := map[string]any{
				"RuleName": "Cruddur", "RuleARN": "arn:aws:xray:us-east-1:000000000000:sampling-rule/Cruddur", "ResourceARN": "*",
				"Priority": 9000, "FixedRate": rate, "ReservoirSize": 0, "ServiceName": "backend-flask", "ServiceType": "*",
				"Host": "*", "HTTPMethod": "*", "URLPath": "*", "Version": 1,
			}
			out = map[string]any{"SamplingRuleRecords": []any{map[string]any{"SamplingRule": rule, "CreatedAt": 1, "ModifiedAt": 1}}}
		}
		if err := json.NewEncoder(w).Encode(out); err != nil {
			t.Errorf("answer %s: %v", r.URL.Path, err)
		}
	}))
	t.Cleanup(srv.Close)
	d.addr = "tcp:" + strings.TrimPrefix(srv.URL, "http://") + " udp:" + udp.LocalAddr().String()
	return d
}

// called reports whether the SDK made a sampling call.
func (d *daemon) called(path string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Contains(d.calls, path)
}

// segment is a segment or subsegment document.
type segment struct {
	Name      string `json:"name"`
	ID        string `json:"id"`
	TraceID   string `json:"trace_id"`
	ParentID  string `json:"parent_id"`
	Namespace string `json:"namespace"`
	Fault     bool   `json:"fault"`
	Error     bool   `json:"error"`
	Throttle  bool   `json:"throttle"`
	HTTP      struct{ Response struct{ Status int } }
	Metadata  map[string]map[string]map[string]any
	Cause     struct {
		Exceptions []struct{ Message, Type string }
	}
	Subsegments []segment `json:"subsegments"`
}

// segments returns the documents received so far; the app has stopped.
func (d *daemon) segments(t *testing.T) []segment {
	t.Helper()
	end, err := net.Dial("udp", d.udp.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer end.Close()
	if _, err := end.Write([]byte("end")); err != nil {
		t.Fatal(err)
	}
	var out []segment
	buf := make([]byte, 1<<16)
	for {
		if err := d.udp.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := d.udp.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if string(buf[:n]) == "end" {
			return out
		}
		head, doc, ok := bytes.Cut(buf[:n], []byte("\n"))
		if !ok || string(head) != `{"format": "json", "version": 1}` {
			t.Errorf("datagram %q", buf[:n])
		}
		var s segment
		if err := json.Unmarshal(doc, &s); err != nil {
			t.Fatalf("segment %s: %v", doc, err)
		}
		out = append(out, s)
	}
}

// logs is the part of CloudWatch Logs that Cruddur needs.
type logs struct {
	mu       sync.Mutex
	created  bool
	messages []string
}

func newLogs(t *testing.T) *logs {
	l := &logs{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		defer l.mu.Unlock()
		var in struct {
			LogGroupName string
			LogEvents    []struct{ Message string }
		}
		err := json.NewDecoder(r.Body).Decode(&in)
		if err != nil || in.LogGroupName != "cruddur" {
			t.Errorf("log group %q: %v", in.LogGroupName, err)
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		switch op := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "Logs_20140328."); {
		case op == "CreateLogGroup":
			l.created = true
		case !l.created:
			w.WriteHeader(http.StatusBadRequest)
			_, err = io.WriteString(w, `{"__type":"ResourceNotFoundException","message":"The specified log group does not exist."}`)
		case op == "PutLogEvents":
			for _, e := range in.LogEvents {
				l.messages = append(l.messages, e.Message)
			}
			_, err = io.WriteString(w, "{}")
		}
		if err != nil {
			t.Errorf("answer: %v", err)
		}
	}))
	t.Cleanup(srv.Close)
	t.Setenv("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", srv.URL)
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	t.Setenv("AWS_REGION", "us-east-1")
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	return l
}

func (l *logs) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.messages)
}

func TestTakenPortNamesTheFlag(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().String()
	for flag, change := range map[string]func(*backend.Config){
		"--port":          func(c *backend.Config) { c.Addr = taken },
		"--frontend-addr": func(c *backend.Config) { c.Addr, c.FrontendAddr = "127.0.0.1:0", taken },
	} {
		cfg := backend.Config{Stdout: io.Discard, Stderr: io.Discard}
		change(&cfg)
		err := backend.Run(t.Context(), cfg)
		var op *net.OpError
		if !errors.As(err, &op) || !strings.HasPrefix(err.Error(), flag+": listen tcp "+taken) {
			t.Errorf("Run with a taken port: %v, want an error that names %s", err, flag)
		}
	}
}
