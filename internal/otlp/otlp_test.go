package otlp_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	grpcgzip "google.golang.org/grpc/encoding/gzip"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/ingest/ingesttest"
	"github.com/trefoil-o11y/trefoil/internal/meta"
	"github.com/trefoil-o11y/trefoil/internal/otlp"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/store"
)

type fixture struct {
	receiver *otlp.Receiver
	store    store.Store
	meta     *meta.DB
	http     *httptest.Server
}

const goodKey = "hcaik_good"

func start(t testing.TB) *fixture {
	t.Helper()
	parts := ingesttest.Open(t, t.TempDir())
	r := otlp.New(otlp.Config{Queue: parts.Queue, Meta: parts.Meta, Log: slog.New(slog.DiscardHandler), Authenticate: func(_ context.Context, key string) (string, error) {
		if key == "" || key == "bad" {
			return "", meta.ErrNotFound
		}
		return "bootcamp", nil
	}, AuthenticateAWS: func(r *http.Request, _ []byte) (string, error) {
		if strings.Contains(r.Header.Get("Authorization"), "Credential=bad") {
			return "", fmt.Errorf("%w: no such key", otlp.ErrSignature)
		}
		return "bootcamp", nil
	}})
	mux := http.NewServeMux()
	mux.Handle("/v1/traces", r.Traces())
	mux.Handle("/aws/v1/traces", r.AWSTraces())
	mux.Handle("/v1/logs", r.Logs())
	mux.Handle("/v1/metrics", r.Metrics())
	f := &fixture{r, parts.Store, parts.Meta, httptest.NewServer(mux)}
	t.Cleanup(func() {
		f.http.Close()
		parts.Close(t)
	})
	return f
}

func (f *fixture) post(t *testing.T, path, key string, body []byte, headers ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.http.URL+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-protobuf")
	if key != "" {
		r.Header.Set("X-Honeycomb-Team", key)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := f.http.Client().Do(r)
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

// rows returns the events of a dataset in order of ingestion, as text by field.
func (f *fixture) rows(t *testing.T, dataset string) []map[string]string {
	t.Helper()
	ds, err := f.meta.Dataset(t.Context(), "bootcamp", meta.Honeycomb, dataset)
	if err != nil {
		t.Fatalf("dataset %s: %v", dataset, err)
	}
	res, err := f.store.Query(t.Context(), &query.Query{Datasets: []event.DatasetID{ds.ID}, Stages: []query.Stage{
		query.Sort{Keys: []query.SortKey{{By: query.Field{Name: event.FieldSeq}}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var out []map[string]string
	for _, row := range res.Rows {
		m := map[string]string{}
		for i, c := range res.Columns {
			switch c {
			case event.FieldSeq, event.FieldDataset, event.FieldIngested:
				continue
			}
			if !row[i].Missing() {
				m[c] = row[i].Kind().String() + " " + row[i].Text()
			}
		}
		out = append(out, m)
	}
	return out
}

var at = time.Date(2026, 11, 23, 1, 2, 3, 4, time.UTC)

func traces() ptrace.Traces {
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr("service.name", " backend-flask ")
	rs.Resource().Attributes().PutStr("shared", "resource")
	ss := rs.ScopeSpans().AppendEmpty()
	ss.Scope().SetName("opentelemetry.instrumentation.flask")
	ss.Scope().SetVersion("0.39b0")
	s := ss.Spans().AppendEmpty()
	s.SetName("GET /home")
	s.SetKind(ptrace.SpanKindServer)
	s.SetTraceID(pcommon.TraceID{1, 2})
	s.SetSpanID(pcommon.SpanID{3})
	s.SetParentSpanID(pcommon.SpanID{4})
	s.SetStartTimestamp(pcommon.NewTimestampFromTime(at))
	s.SetEndTimestamp(pcommon.NewTimestampFromTime(at.Add(1500 * time.Microsecond)))
	s.Status().SetCode(ptrace.StatusCodeError)
	s.Status().SetMessage("boom")
	s.Attributes().PutStr("shared", "span")
	s.Attributes().PutInt("http.status_code", 500)
	s.Attributes().PutInt("sampleRate", 5)
	s.Attributes().PutEmptySlice("list").AppendEmpty().SetStr("<a>")
	deep := s.Attributes().PutEmptyMap("m")
	deep.PutBool("x", true)
	e := s.Events().AppendEmpty()
	e.SetName("exception")
	e.SetTimestamp(pcommon.NewTimestampFromTime(at.Add(time.Millisecond)))
	e.Attributes().PutStr("exception.type", "ValueError")
	e.Attributes().PutStr("exception.message", "bad")
	l := s.Links().AppendEmpty()
	l.SetTraceID(pcommon.TraceID{9})
	l.SetSpanID(pcommon.SpanID{8})
	return td
}

func TestSpansBecomeEvents(t *testing.T) {
	f := start(t)
	body, err := ptraceotlp.NewExportRequestFromTraces(traces()).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	if code, text := f.post(t, "/v1/traces", goodKey, body); code != http.StatusOK || text != "" {
		t.Fatalf("post: %d %q", code, text)
	}
	got := f.rows(t, "backend-flask")
	start := "integer 1795395723000000004"
	common := map[string]string{
		"$trace_id": "string 01020000000000000000000000000000", "$sample_rate": "integer 5", "meta.signal_type": "string trace", "error": "boolean true",
		"library.name": "string opentelemetry.instrumentation.flask", "library.version": "string 0.39b0", "telemetry.instrumentation_library": "boolean true",
		"service.name": "string  backend-flask ", "shared": "string resource",
	}
	with := func(more map[string]string) map[string]string {
		m := map[string]string{}
		for k, v := range common {
			m[k] = v
		}
		for k, v := range more {
			m[k] = v
		}
		return m
	}
	want := []map[string]string{
		with(map[string]string{
			"$time": start, "$span_id": "string 0300000000000000", "$parent_id": "string 0400000000000000", "name": "string GET /home", "span.kind": "string server",
			"type": "string server", "duration_ms": "float 1.5", "status_code": "integer 2", "status_message": "string boom", "span.num_events": "integer 1",
			"span.num_links": "integer 1", "shared": "string span", "http.status_code": "integer 500", "list": "string [\"<a>\"]\n", "m.x": "boolean true",
			"exception.type": "string ValueError", "exception.message": "string bad",
		}),
		with(map[string]string{
			"$time": "integer 1795395723001000004", "$parent_id": "string 0300000000000000", "name": "string exception", "parent_name": "string GET /home",
			"meta.annotation_type": "string span_event", "meta.time_since_span_start_ms": "float 1", "exception.type": "string ValueError", "exception.message": "string bad",
		}),
		with(map[string]string{
			"$time": start, "$parent_id": "string 0300000000000000", "parent_name": "string GET /home", "meta.annotation_type": "string link",
			"trace.link.trace_id": "string 09000000000000000000000000000000", "trace.link.span_id": "string 0800000000000000",
		}),
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("events differ (-want +got):\n%s", d)
	}
}

func logs(service string) plog.Logs {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	if service != "" {
		rl.Resource().Attributes().PutStr("service.name", service)
	}
	rec := rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	rec.SetObservedTimestamp(pcommon.NewTimestampFromTime(at))
	rec.SetSeverityNumber(17)
	rec.SetTraceID(pcommon.TraceID{1})
	rec.SetSpanID(pcommon.SpanID{2})
	rec.Body().SetEmptyMap().PutStr("k", "v")
	return ld
}

func TestLogsBecomeEvents(t *testing.T) {
	f := start(t)
	for _, c := range []struct{ service, header, dataset string }{
		{"web", "ignored", "web"}, {"", "from-header", "from-header"}, {"", "", "unknown_log_source"}, {"unknown_service:python", "", "unknown_log_source"},
	} {
		body, err := plogotlp.NewExportRequestFromLogs(logs(c.service)).MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if code, text := f.post(t, "/v1/logs", goodKey, body, "Content-Type", "application/json; charset=utf-8", "X-Honeycomb-Dataset", c.header); code != http.StatusOK || text != "{}" {
			t.Fatalf("post: %d %q", code, text)
		}
		rows := f.rows(t, c.dataset)
		got := rows[len(rows)-1]
		delete(got, "service.name")
		want := map[string]string{
			"$time": "integer 1795395723000000004", "$trace_id": "string 01000000000000000000000000000000", "$parent_id": "string 0200000000000000", "$sample_rate": "integer 1",
			"severity": "string error", "severity_code": "integer 17", "flags": "integer 0", "meta.signal_type": "string log", "meta.annotation_type": "string span_event",
			"body": "string {\"k\":\"v\"}\n", "body.k": "string v",
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("log in %s (-want +got):\n%s", c.dataset, d)
		}
	}
}

func TestRefusals(t *testing.T) {
	f := start(t)
	good, err := ptraceotlp.NewExportRequestFromTraces(traces()).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	bomb := func() []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write(make([]byte, 64<<20))
		_ = z.Close()
		return b.Bytes()
	}()
	for name, c := range map[string]struct {
		path, key string
		body      []byte
		headers   []string
		status    int
		text      string
	}{
		"no key":           {"/v1/traces", "", good, nil, 401, "missing 'x-honeycomb-team' header"},
		"bad key":          {"/v1/traces", "bad", good, nil, 401, "unknown API key"},
		"classic":          {"/v1/traces", strings.Repeat("a", 32), good, nil, 401, "missing 'x-honeycomb-dataset' header"},
		"truncated":        {"/v1/traces", goodKey, good[:len(good)-3], nil, 400, "failed to parse OTLP request body"},
		"junk":             {"/v1/traces", goodKey, []byte("\xff\xff\xff"), nil, 400, "failed to parse"},
		"content type":     {"/v1/traces", goodKey, good, []string{"Content-Type", "text/plain"}, 415, "unsupported content-type"},
		"gzip bomb":        {"/v1/traces", goodKey, bomb, []string{"Content-Encoding", "gzip"}, 413, "larger than"},
		"not gzip":         {"/v1/traces", goodKey, good, []string{"Content-Encoding", "gzip"}, 400, "failed to parse"},
		"unknown encoding": {"/v1/traces", goodKey, good, []string{"Content-Encoding", "br"}, 400, "failed to parse"},
		"deep JSON":        {"/v1/traces", goodKey, []byte(strings.Repeat(`{"a":`, 100_000)), []string{"Content-Type", "application/json"}, 400, "failed to parse"},
		"empty JSON":       {"/v1/logs", goodKey, nil, []string{"Content-Type", "application/json"}, 400, "failed to parse"},
		"metrics":          {"/v1/metrics", goodKey, nil, nil, 404, "does not take metrics"},
		"too large":        {"/v1/traces", goodKey, make([]byte, otlp.MaxBody+1), nil, 413, "larger than"},
	} {
		if code, text := f.post(t, c.path, c.key, c.body, c.headers...); code != c.status || !strings.Contains(text, c.text) {
			t.Errorf("%s: %d %q, want %d %q", name, code, text, c.status, c.text)
		}
	}
	if _, err := f.meta.Dataset(t.Context(), "bootcamp", meta.Honeycomb, "backend-flask"); err == nil {
		t.Error("a refused request made a dataset")
	}
}

func TestClassicKeyUsesTheHeader(t *testing.T) {
	f := start(t)
	body, err := ptraceotlp.NewExportRequestFromTraces(traces()).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	if code, _ := f.post(t, "/v1/traces", strings.Repeat("a", 32), body, "X-Honeycomb-Dataset", "classic"); code != http.StatusOK {
		t.Fatalf("post: %d", code)
	}
	if n := len(f.rows(t, "classic")); n != 3 {
		t.Errorf("%d events, want 3", n)
	}
}

func TestGRPC(t *testing.T) {
	f := start(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test's loopback socket
	if err != nil {
		t.Fatal(err)
	}
	srv := f.receiver.NewGRPC()
	go func() { _ = srv.Serve(ln) }()
	defer srv.Stop()
	conn, err := grpc.NewClient(ln.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ctx := metadata.AppendToOutgoingContext(t.Context(), "x-honeycomb-team", goodKey)
	if _, err := ptraceotlp.NewGRPCClient(conn).Export(ctx, ptraceotlp.NewExportRequestFromTraces(traces()), grpc.UseCompressor(grpcgzip.Name)); err != nil {
		t.Fatal(err)
	}
	if _, err := plogotlp.NewGRPCClient(conn).Export(ctx, plogotlp.NewExportRequestFromLogs(logs("backend-flask"))); err != nil {
		t.Fatal(err)
	}
	if n := len(f.rows(t, "backend-flask")); n != 4 {
		t.Errorf("%d events, want 4", n)
	}
	if _, err := ptraceotlp.NewGRPCClient(conn).Export(t.Context(), ptraceotlp.NewExportRequestFromTraces(traces())); status.Code(err) != codes.Unauthenticated {
		t.Errorf("without a key: %v", err)
	}
	err = conn.Invoke(ctx, "/opentelemetry.proto.collector.trace.v1.TraceService/Export", wrapperspb.Bytes([]byte("\x0a\x7f")), &emptypb.Empty{})
	if status.Code(err) != codes.Internal || !strings.Contains(status.Convert(err).Message(), "failed to parse OTLP request body") {
		t.Errorf("a request that can not be decoded: %v", err)
	}
	if res, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{}); err != nil || res.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("health: %v, %v", res, err)
	}
	if _, err := pmetricotlp.NewGRPCClient(conn).Export(ctx, pmetricotlp.NewExportRequest()); status.Code(err) != codes.Unimplemented {
		t.Errorf("metrics: %v", err)
	}
}

func FuzzTraces(f *testing.F) {
	good, err := ptraceotlp.NewExportRequestFromTraces(traces()).MarshalProto()
	if err != nil {
		f.Fatal(err)
	}
	text, err := ptraceotlp.NewExportRequestFromTraces(traces()).MarshalJSON()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, false)
	f.Add(text, true)
	fx := start(f)
	f.Fuzz(func(t *testing.T, body []byte, asJSON bool) {
		contentType := "application/x-protobuf"
		if asJSON {
			contentType = "application/json"
		}
		rec := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/traces", bytes.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		r.Header.Set("X-Honeycomb-Team", goodKey)
		fx.receiver.Traces().ServeHTTP(rec, r)
		if rec.Code != http.StatusOK && rec.Code != http.StatusBadRequest {
			t.Errorf("status %d: %s", rec.Code, rec.Body)
		}
	})
}

func FuzzLogs(f *testing.F) {
	good, err := plogotlp.NewExportRequestFromLogs(logs("x")).MarshalProto()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	fx := start(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		rec := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/logs", bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/x-protobuf")
		r.Header.Set("X-Honeycomb-Team", goodKey)
		fx.receiver.Logs().ServeHTTP(rec, r)
		if rec.Code != http.StatusOK && rec.Code != http.StatusBadRequest {
			t.Errorf("status %d: %s", rec.Code, rec.Body)
		}
	})
}
