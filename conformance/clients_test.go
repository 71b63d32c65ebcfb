package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/honeycombio/libhoney-go"
	"github.com/honeycombio/libhoney-go/transmission"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// python runs a script of python/ to its end.
func (s *server) python(script string, args ...string) string {
	s.t.Helper()
	return s.run("python", venv(s.t, "python"), append([]string{script}, args...)...)
}

// TestXRay is X1 to X3.
func TestXRay(t *testing.T) { serve(t).python("xray_walk.py") }

// TestXRayCLI is X1 with the CLI: the documented walk of the developer guide.
func TestXRayCLI(t *testing.T) {
	s := serve(t)
	now := time.Now().Unix()
	id := fmt.Sprintf("1-%08x-%024x", now, 0xbeef)
	doc := fmt.Sprintf(`{"name":"cli","id":"70de5b6f19ff9a0a","trace_id":"%s","start_time":%d.5,"end_time":%d.7}`, id, now, now)
	out := s.aws("xray", "put-trace-segments", "--trace-segment-documents", doc, `{"name":"cli"}`)
	if n := len(out["UnprocessedTraceSegments"].([]any)); n != 1 {
		t.Errorf("%d unprocessed segments, want 1", n)
	}
	window := []string{"--start-time", fmt.Sprint(now - 60), "--end-time", fmt.Sprint(now + 60)}
	for member, args := range map[string][]string{
		"TraceSummaries": append([]string{"get-trace-summaries"}, window...),
		"Services":       append([]string{"get-service-graph"}, window...),
		"Traces":         {"batch-get-traces", "--trace-ids", id},
	} {
		got := s.aws(append([]string{"xray"}, args...)...)
		if list, ok := got[member].([]any); !ok || len(list) == 0 {
			t.Errorf("aws xray %s: %v", args[0], got)
		}
	}
	if got := s.aws("xray", "get-trace-graph", "--trace-ids", id); len(got["Services"].([]any)) != 2 {
		t.Errorf("get-trace-graph: %v", got)
	}
}

// TestXRayPython is X5.
func TestXRayPython(t *testing.T) { serve(t).python("xray_flask.py") }

// TestXRayPythonNaming is X5 with dynamic naming by host.
func TestXRayPythonNaming(t *testing.T) {
	t.Setenv("NAMING", "*127.0.0.1*")
	serve(t).python("xray_flask.py")
}

// TestLogsCLI is L1.
func TestLogsCLI(t *testing.T) {
	s := serve(t)
	logs := func(args ...string) map[string]any { t.Helper(); return s.aws(append([]string{"logs"}, args...)...) }
	logs("create-log-group", "--log-group-name", "g", "--tags", "team=bootcamp")
	logs("create-log-stream", "--log-group-name", "g", "--log-stream-name", "s")
	now := time.Now().UnixMilli()
	var events []string
	for i := range 4 {
		events = append(events, fmt.Sprintf(`{"timestamp":%d,"message":"{\"n\":%d}"}`, now+int64(i), i+1))
	}
	logs("put-log-events", "--log-group-name", "g", "--log-stream-name", "s", "--log-events", "["+strings.Join(events, ",")+"]")
	first := logs("get-log-events", "--log-group-name", "g", "--log-stream-name", "s", "--start-from-head")
	forward, backward := fmt.Sprint(first["nextForwardToken"]), fmt.Sprint(first["nextBackwardToken"])
	if len(first["events"].([]any)) != 4 || !strings.HasPrefix(forward, "f/") || !strings.HasPrefix(backward, "b/") {
		t.Errorf("get-log-events: %v", first)
	}
	second := logs("get-log-events", "--log-group-name", "g", "--log-stream-name", "s", "--next-token", forward)
	if len(second["events"].([]any)) != 0 || second["nextForwardToken"] != forward {
		t.Errorf("get-log-events at the end: %v", second)
	}
	found := logs("filter-log-events", "--log-group-name", "g", "--filter-pattern", "{ $.n > 2 }")
	if n := len(found["events"].([]any)); n != 2 {
		t.Errorf("filter-log-events found %d events, want 2", n)
	}
	group := logs("describe-log-groups")["logGroups"].([]any)[0].(map[string]any)
	if group["arn"] != "arn:aws:logs:us-east-1:000000000000:log-group:g:*" || group["logGroupArn"] != "arn:aws:logs:us-east-1:000000000000:log-group:g" {
		t.Errorf("arns: %v", group)
	}
	if tags := logs("list-tags-for-resource", "--resource-arn", fmt.Sprint(group["logGroupArn"])); fmt.Sprint(tags["tags"]) != "map[team:bootcamp]" {
		t.Errorf("tags: %v", tags)
	}
	logs("put-retention-policy", "--log-group-name", "g", "--retention-in-days", "7")
	s.awsFails("InvalidParameterException", "logs", "put-retention-policy", "--log-group-name", "g", "--retention-in-days", "2")
	if got := logs("describe-log-groups")["logGroups"].([]any)[0].(map[string]any)["retentionInDays"]; got != 7.0 {
		t.Errorf("retention %v, want 7", got)
	}
	match := logs("test-metric-filter", "--filter-pattern", "{ $.n > 2 }", "--log-event-messages", `{"n":1}`, `{"n":3}`)
	if list := match["matches"].([]any); len(list) != 1 || list[0].(map[string]any)["eventMessage"] != `{"n":3}` {
		t.Errorf("test-metric-filter: %v", match)
	}
	if id := s.aws("sts", "get-caller-identity")["Account"]; id != "000000000000" {
		t.Errorf("account %v", id)
	}
}

// TestLogsBoto3 is L4.
func TestLogsBoto3(t *testing.T) { serve(t).python("logs_walk.py") }

// TestInsightsBoto3 is L9: the corpora of the language through boto3.
func TestInsightsBoto3(t *testing.T) {
	corpora, err := filepath.Abs("../internal/cwlogs/testdata/insights")
	if err != nil {
		t.Fatal(err)
	}
	serve(t).python("insights_walk.py", corpora)
}

// TestWatchtower is L5: watchtower's own tests, from its source distribution.
func TestWatchtower(t *testing.T) {
	s := serve(t)
	dir := filepath.Join(binary(t, "TREFOIL_VENV"), "watchtower")
	matches, err := filepath.Glob(filepath.Join(dir, "watchtower-*", "test", "test.py"))
	if err != nil || len(matches) != 1 {
		t.Fatalf("watchtower's sources are not in %s: %v", dir, err)
	}
	out := s.run(filepath.Dir(filepath.Dir(matches[0])), venv(t, "python"), "-m", "pytest", "-q", "-p", "no:cacheprovider", "test/test.py")
	t.Log(out)
}

// TestHoneycombPython is H1 and H2 in Python.
func TestHoneycombPython(t *testing.T) { serve(t).python("honeycomb_clients.py") }

// rows runs a query of Honeycomb's kind through the console.
func (s *server) rows(dataset, spec string) []map[string]any {
	s.t.Helper()
	rows, err := s.tryRows(dataset, spec)
	if err != nil {
		s.t.Fatal(err)
	}
	return rows
}

// tryRows is rows for a dataset that may not be there yet.
func (s *server) tryRows(dataset, spec string) ([]map[string]any, error) {
	body := `{"dataset":"` + dataset + `",` + strings.TrimPrefix(spec, "{")
	if spec == "{}" {
		body = `{"dataset":"` + dataset + `"}`
	}
	res, err := http.Post("http://"+s.HTTP+"/api/query", "application/json", strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("query %s: %s %s %w", body, res.Status, text, err)
	}
	var out struct{ Results []map[string]any }
	err = json.Unmarshal(text, &out)
	return out.Results, err
}

// TestHoneycombNode is H1 and H2 in Node.
func TestHoneycombNode(t *testing.T) {
	s := serve(t)
	s.run("node", "node", "otlp.mjs")
	if got := fmt.Sprint(s.rows("js-otel", `{"breakdowns":["name","app.n","app.big"],"orders":[{"column":"name","order":"descending"}]}`)); got != "[map[COUNT:1 app.big:1.099511627776e+12 app.n:42 name:work] map[COUNT:1 name:happened]]" {
		t.Errorf("spans of the Node SDK: %s", got)
	}
	s.run("node", "node", "libhoney.mjs", "key", "60")
	if got := fmt.Sprint(s.rows("js-events", `{"calculations":[{"op":"COUNT"},{"op":"MAX","column":"n"}]}`)); got != "[map[COUNT:60 MAX(n):59]]" {
		t.Errorf("events of libhoney-js: %s", got)
	}
	strict := serve(t, "--auth", "keys")
	strict.run("node", "node", "libhoney.mjs", "wrong", "3", "refused")
}

// TestHoneycombGo is H1 (grpc and http) and H2 in Go.
func TestHoneycombGo(t *testing.T) {
	s := serve(t)
	ctx := t.Context()
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-honeycomb-team=key")
	viaHTTP, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL("http://"+s.OTLPHTTP+"/v1/traces"), otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
	if err != nil {
		t.Fatal(err)
	}
	viaGRPC, err := otlptracegrpc.New(ctx, otlptracegrpc.WithEndpointURL("http://"+s.OTLPGRPC), otlptracegrpc.WithCompressor("gzip"))
	if err != nil {
		t.Fatal(err)
	}
	onePort, err := otlptracegrpc.New(ctx, otlptracegrpc.WithEndpointURL("http://"+s.HTTP))
	if err != nil {
		t.Fatal(err)
	}
	for name, exporter := range map[string]sdktrace.SpanExporter{"go-http": viaHTTP, "go-grpc": viaGRPC, "go-one-port": onePort} {
		provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", name))))
		spanCtx, parent := provider.Tracer("conformance").Start(ctx, "parent")
		_, child := provider.Tracer("conformance").Start(spanCtx, "child")
		child.SetAttributes(attribute.Int("app.n", 42))
		child.End()
		parent.End()
		if err := provider.Shutdown(context.WithoutCancel(ctx)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := fmt.Sprint(s.rows(name, `{"breakdowns":["name"],"orders":[{"column":"name"}]}`)); got != "[map[COUNT:1 name:child] map[COUNT:1 name:parent]]" {
			t.Errorf("%s: %s", name, got)
		}
	}

	send := func(s *server, key string, n int) []transmission.Response {
		client, err := libhoney.NewClient(libhoney.ClientConfig{APIKey: key, Dataset: "go-events", APIHost: "http://" + s.HTTP})
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			e := client.NewEvent()
			e.AddField("n", i)
			e.Metadata = i
			if err := e.Send(); err != nil {
				t.Fatal(err)
			}
		}
		var got []transmission.Response
		client.Flush()
		for range n {
			got = append(got, <-client.TxResponses())
		}
		client.Close()
		return got
	}
	for i, r := range send(s, "hcaik_"+strings.Repeat("0", 58), 40) {
		if r.StatusCode != http.StatusAccepted || r.Metadata != i {
			t.Errorf("answer %d: %+v", i, r)
		}
	}
	if got := fmt.Sprint(s.rows("go-events", `{}`)); got != "[map[COUNT:40]]" {
		t.Errorf("events of libhoney-go: %s", got)
	}
	for _, r := range send(serve(t, "--auth", "keys"), "hcaik_"+strings.Repeat("0", 58), 2) {
		if r.StatusCode != http.StatusUnauthorized {
			t.Errorf("a wrong key: %+v", r)
		}
	}
}

// TestKeys is the whole way of a key: made, used by Honeycomb's and AWS's clients under
// strict authentication, revoked.
func TestKeys(t *testing.T) {
	s := serve(t, "--auth", "strict")
	out := s.run(".", binary(t, "TREFOIL_BIN"), "key", "create", "--data", s.Data, "--name", "ci")
	key := map[string]string{}
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) == 2 {
			key[f[0]] = f[1]
		}
	}
	auth := func(k string) int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.HTTP+"/1/auth", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Honeycomb-Team", k)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	if code := auth(key["HONEYCOMB_API_KEY"]); code != http.StatusOK {
		t.Errorf("the key: %d", code)
	}
	s.awsFails("UnrecognizedClientException", "logs", "describe-log-groups")
	s.awsFails("UnrecognizedClientException", "xray", "get-groups")
	if out, code := s.try(".", "env", "AWS_ACCESS_KEY_ID="+key["AWS_ACCESS_KEY_ID"], "AWS_SECRET_ACCESS_KEY=wrong", venv(t, "aws"), "logs", "describe-log-groups"); code == 0 || !strings.Contains(out, "InvalidSignatureException") {
		t.Errorf("a wrong secret: %d %s", code, out)
	}
	for _, service := range [][]string{{"logs", "describe-log-groups"}, {"xray", "get-groups"}, {"sts", "get-caller-identity"}} {
		args := append([]string{"AWS_ACCESS_KEY_ID=" + key["AWS_ACCESS_KEY_ID"], "AWS_SECRET_ACCESS_KEY=" + key["AWS_SECRET_ACCESS_KEY"], venv(t, "aws")}, service...)
		if out, code := s.try(".", "env", args...); code != 0 {
			t.Errorf("%v with the key: %s", service, out)
		}
	}
	res, err := http.Get("http://" + s.HTTP + "/api/status")
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusUnauthorized {
		t.Errorf("the console without a key: %d", res.StatusCode)
	}
	s.run(".", binary(t, "TREFOIL_BIN"), "key", "revoke", "--data", s.Data, key["id"])
	if code := auth(key["HONEYCOMB_API_KEY"]); code != http.StatusUnauthorized {
		t.Errorf("the revoked key: %d", code)
	}
}

// TestCommandLine is the contract of the command line.
func TestCommandLine(t *testing.T) {
	s := serve(t)
	bin := binary(t, "TREFOIL_BIN")
	if out := s.run(".", bin, "version"); !strings.HasPrefix(out, "trefoil ") {
		t.Errorf("version: %s", out)
	}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"taken port":  {[]string{"serve", "--data", t.TempDir(), "--http", s.HTTP}, "--http " + s.HTTP + ": the port is taken"},
		"public":      {[]string{"serve", "--data", t.TempDir(), "--http", "0.0.0.0:0"}, "--auth off would let everyone in"},
		"same folder": {[]string{"serve", "--data", s.Data, "--http", "127.0.0.1:0", "--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0", "--xray", "127.0.0.1:0"}, "in use by another process"},
		"clickhouse":  {[]string{"serve", "--data", t.TempDir(), "--store", "clickhouse://x"}, "not supported"},
		"unknown":     {[]string{"nope"}, "nope"},
	} {
		if out, code := s.try(".", bin, c.args...); code == 0 || !strings.Contains(out, c.want) {
			t.Errorf("%s: exit %d: %s", name, code, out)
		}
	}
	addresses := filepath.Join(t.TempDir(), "a.json")
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(addresses, text, 0o644); err != nil {
		t.Fatal(err)
	}
	if out := s.run(".", bin, "env", "--addresses-file", addresses); !strings.Contains(out, "export AWS_XRAY_DAEMON_ADDRESS="+s.XRay) {
		t.Errorf("env: %s", out)
	}
	out, code := s.try(".", bin, "run", "--addresses-file", addresses, "--", "sh", "-c", "echo to stdout; echo to stderr >&2; echo $OTEL_EXPORTER_OTLP_ENDPOINT; exit 7")
	if code != 7 || !strings.Contains(out, "to stdout") || !strings.Contains(out, "http://"+s.OTLPHTTP) {
		t.Errorf("run: exit %d: %s", code, out)
	}
	var events struct{ Events []struct{ Message string } }
	if err := s.get("/api/logs/events?group=trefoil-run/sh", &events); err != nil || len(events.Events) != 3 {
		t.Errorf("the output of run: %v %v", events, err)
	}
}
