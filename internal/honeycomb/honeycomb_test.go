package honeycomb_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/tinylib/msgp/msgp"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/honeycomb"
	"github.com/trefoil-o11y/trefoil/internal/ingest/ingesttest"
	"github.com/trefoil-o11y/trefoil/internal/meta"
	"github.com/trefoil-o11y/trefoil/internal/query"
)

const goodKey = "good"

// noGroups has nothing to hide: there are no log groups here.
type noGroups struct{}

func (noGroups) Mask(context.Context, string, []event.DatasetID) (func(event.Value) event.Value, error) {
	return nil, nil
}

func (noGroups) Alive(context.Context, string, []event.DatasetID) (query.Expr, error) {
	return nil, nil
}

// start serves Honeycomb's API on a real store.
func start(t testing.TB) *httptest.Server {
	t.Helper()
	parts := ingesttest.Open(t, t.TempDir())
	srv := httptest.NewServer(honeycomb.New(honeycomb.Config{Store: parts.Store, Meta: parts.Meta, Queue: parts.Queue, Log: slog.New(slog.DiscardHandler), LogGroups: noGroups{}, Authenticate: func(_ context.Context, key string) (string, error) {
		if key == "bad" || key == "" {
			return "", meta.ErrNotFound
		}
		return "bootcamp", nil
	}}))
	t.Cleanup(func() {
		srv.Close()
		parts.Close(t)
	})
	return srv
}

func call(t testing.TB, srv *httptest.Server, method, path, key, body string, headers ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, srv.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Honeycomb-Team", key)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := srv.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, strings.TrimSpace(string(text))
}

func TestAuth(t *testing.T) {
	srv := start(t)
	type auth struct {
		Type        string
		Environment struct{ Slug string }
	}
	for key, want := range map[string]auth{
		goodKey:                            {"configuration", struct{ Slug string }{"bootcamp"}},
		strings.Repeat("a", 32):            {"configuration", struct{ Slug string }{""}},
		"hcaik_" + strings.Repeat("0", 58): {"ingest", struct{ Slug string }{"bootcamp"}},
		"hcaic_" + strings.Repeat("0", 58): {"ingest", struct{ Slug string }{""}},
	} {
		code, text := call(t, srv, "GET", "/1/auth", key, "")
		var got auth
		if err := json.Unmarshal([]byte(text), &got); err != nil || code != 200 || got != want {
			t.Errorf("auth of %s: %d %s", key, code, text)
		}
	}
	if code, text := call(t, srv, "GET", "/1/auth", "bad", ""); code != 401 || text != `{"error":"unknown API key - check your credentials"}` {
		t.Errorf("auth of a bad key: %d %s", code, text)
	}
}

func TestEventsRefusals(t *testing.T) {
	srv := start(t)
	many := map[string]int{}
	for i := range 2001 {
		many[fmt.Sprint("k", i)] = i
	}
	tooMany, _ := json.Marshal(many)
	for name, c := range map[string]struct {
		path, key, body string
		headers         []string
		status          int
		text            string
	}{
		"bad key":     {"/1/events/ds", "bad", "{}", nil, 401, "unknown API key"},
		"empty":       {"/1/events/ds", goodKey, " ", nil, 400, "should not be empty"},
		"no fields":   {"/1/events/ds", goodKey, `{"a":null}`, nil, 400, "should not be empty"},
		"not JSON":    {"/1/events/ds", goodKey, `{"a":`, nil, 400, "malformed"},
		"two objects": {"/1/events/ds", goodKey, `{"a":1}{}`, nil, 400, "malformed"},
		"array":       {"/1/events/ds", goodKey, `[]`, nil, 400, "malformed"},
		"too large":   {"/1/events/ds", goodKey, `{"a":"` + strings.Repeat("x", 1<<20) + `"}`, nil, 400, "too large"},
		"too many":    {"/1/events/ds", goodKey, string(tooMany), nil, 400, "too many columns"},
		"bad gzip":    {"/1/events/ds", goodKey, `{}`, []string{"Content-Encoding", "gzip"}, 400, "invalid gzip data"},
		"batch":       {"/1/batch/ds", goodKey, `{}`, nil, 400, "malformed"},
		"msgpack":     {"/1/batch/ds", goodKey, "\xdd\xff\xff\xff\xff", []string{"Content-Type", "application/msgpack"}, 400, "malformed"},
		"no dataset":  {"/1/events/", goodKey, `{"a":1}`, nil, 404, "Dataset not found"},
		"endpoint":    {"/1/nope", goodKey, ``, nil, 404, "does not have that endpoint"},
	} {
		if code, text := call(t, srv, "POST", c.path, c.key, c.body, c.headers...); code != c.status || !strings.Contains(text, c.text) {
			t.Errorf("%s: %d %s, want %d %s", name, code, text, c.status, c.text)
		}
	}
}

// ask runs a query and returns the rows of its results as JSON.
func ask(t *testing.T, srv *httptest.Server, dataset, spec string) string {
	t.Helper()
	results, _ := askSeries(t, srv, dataset, spec)
	return results
}

// askSeries runs a query and returns the rows of its results and of its series as JSON.
func askSeries(t *testing.T, srv *httptest.Server, dataset, spec string) (results, series string) {
	t.Helper()
	code, text := call(t, srv, "POST", "/1/queries/"+dataset, goodKey, spec)
	var q struct{ ID string }
	if err := json.Unmarshal([]byte(text), &q); err != nil || code != 200 {
		t.Fatalf("query %s: %d %s", spec, code, text)
	}
	code, text = call(t, srv, "POST", "/1/query_results/"+dataset, goodKey, `{"query_id":"`+q.ID+`"}`)
	var run struct {
		ID       string
		Complete bool
		Data     struct {
			Results []json.RawMessage
			Series  []json.RawMessage
		}
	}
	if err := json.Unmarshal([]byte(text), &run); err != nil || code != 201 || run.Complete {
		t.Fatalf("run %s: %d %s", spec, code, text)
	}
	code, text = call(t, srv, "GET", "/1/query_results/"+dataset+"/"+run.ID, goodKey, "")
	if err := json.Unmarshal([]byte(text), &run); err != nil || code != 200 || !run.Complete || run.Data.Series == nil {
		t.Fatalf("result of %s: %d %s", spec, code, text)
	}
	lines := func(list []json.RawMessage) string {
		rows := make([]string, len(list))
		for i, r := range list {
			rows[i] = string(r)
		}
		return strings.Join(rows, "\n")
	}
	return lines(run.Data.Results), lines(run.Data.Series)
}

func TestPublishedExample(t *testing.T) {
	srv := start(t)
	now := time.Now().Unix()
	body := fmt.Sprintf(`[{"time":"%d","samplerate":10,"data":{"duration_ms":200}},{"time":%d,"samplerate":10,"data":{"duration_ms":1100}}]`, now, now)
	if code, text := call(t, srv, "POST", "/1/batch/My%20Web", goodKey, body); code != 200 || text != `[{"status":202},{"status":202}]` {
		t.Fatalf("batch: %d %s", code, text)
	}
	got := ask(t, srv, "my-web", `{"calculations":[{"op":"COUNT"},{"op":"AVG","column":"duration_ms"}]}`)
	if want := `{"data":{"AVG(duration_ms)":650,"COUNT":20}}`; got != want {
		t.Errorf("result %s, want %s", got, want)
	}
}

func TestBatchOfMsgpackAndZstd(t *testing.T) {
	srv := start(t)
	b := msgp.AppendArrayHeader(nil, 2)
	b = msgp.AppendMapHeader(b, 3)
	b = msgp.AppendString(b, "time")
	b = msgp.AppendTimeExt(b, time.Now())
	b = msgp.AppendString(b, "data")
	b = msgp.AppendMapHeader(b, 4)
	b = msgp.AppendInt(msgp.AppendString(b, "status"), 500)
	b = msgp.AppendBool(msgp.AppendString(b, "ok"), false)
	b = msgp.AppendNil(msgp.AppendString(b, "none"))
	b = msgp.AppendArrayHeader(msgp.AppendString(b, "list"), 2)
	b = msgp.AppendString(msgp.AppendFloat64(b, 1.5), "x")
	b = msgp.AppendInt(msgp.AppendString(b, "samplerate"), 3)
	b = msgp.AppendMapHeader(b, 1)
	b = msgp.AppendMapHeader(msgp.AppendString(b, "data"), 0)
	var z bytes.Buffer
	w, err := zstd.NewWriter(&z)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	code, text := call(t, srv, "POST", "/1/batch/ds", goodKey, z.String(), "Content-Type", "application/msgpack", "Content-Encoding", "zstd")
	if want := `[{"status":202},{"status":400,"error":"Request body should not be empty."}]`; code != 200 || text != want {
		t.Fatalf("batch: %d %s, want %s", code, text, want)
	}
	if got, want := ask(t, srv, "ds", `{"breakdowns":["status","ok","list"]}`), `{"data":{"COUNT":3,"list":"[1.5,\"x\"]","ok":false,"status":500}}`; got != want {
		t.Errorf("result %s, want %s", got, want)
	}
}

func TestQueries(t *testing.T) {
	srv := start(t)
	var list []string
	for i := range 100 {
		e := map[string]any{"name": fmt.Sprintf("op-%d", i%4), "duration_ms": float64(i) + 0.5, "status": 200 + i%3*100}
		if i%10 == 0 {
			e["error"] = true
			e["trace.trace_id"] = fmt.Sprintf("%032x", i+1)
			e["trace.span_id"] = fmt.Sprintf("%016x", i+1)
		}
		text, err := json.Marshal(map[string]any{"data": e})
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, string(text))
	}
	if code, text := call(t, srv, "POST", "/1/batch/web", goodKey, "["+strings.Join(list, ",")+"]"); code != 200 {
		t.Fatal(text)
	}
	for _, c := range []struct{ spec, want string }{
		{`{}`, `{"data":{"COUNT":100}}`},
		{`{"breakdowns":["name"],"orders":[{"column":"name"}],"limit":2}`, "{\"data\":{\"COUNT\":25,\"name\":\"op-0\"}}\n{\"data\":{\"COUNT\":25,\"name\":\"op-1\"}}"},
		{`{"filters":[{"column":"status","op":"=","value":"300"}]}`, `{"data":{"COUNT":33}}`},
		{`{"filters":[{"column":"error","op":"exists"}]}`, `{"data":{"COUNT":10}}`},
		{`{"filters":[{"column":"error","op":"!=","value":true}]}`, `{"data":{"COUNT":90}}`},
		{`{"filters":[{"column":"name","op":"in","value":["op-1","op-2"]},{"column":"error","op":"=","value":true}],"filter_combination":"OR"}`, `{"data":{"COUNT":55}}`},
		{`{"filters":[{"column":"name","op":"does-not-start-with","value":"op-"}]}`, `{"data":{"COUNT":0}}`},
		{`{"calculations":[{"op":"P50","column":"duration_ms"},{"op":"MAX","column":"duration_ms"},{"op":"COUNT_DISTINCT","column":"name"}]}`, `{"data":{"COUNT_DISTINCT(name)":4,"MAX(duration_ms)":99.5,"P50(duration_ms)":50}}`},
		{`{"breakdowns":["status"],"havings":[{"calculate_op":"COUNT","op":">","value":33}],"calculations":[{"op":"COUNT"}]}`, `{"data":{"COUNT":34,"status":200}}`},
		{`{"filters":[{"column":"trace.trace_id","op":"=","value":"00000000000000000000000000000001"}],"breakdowns":["trace.span_id"]}`, `{"data":{"COUNT":1,"trace.span_id":"0000000000000001"}}`},
		{`{"filters":[{"column":"is_root","op":"=","value":true}]}`, `{"data":{"COUNT":10}}`},
		{`{"calculations":[{"op":"HEATMAP","column":"status"}]}`, `{"data":{"HEATMAP(status)":{"buckets":[{"min":200,"max":205,"count":34},{"min":300,"max":305,"count":33},{"min":400,"max":405,"count":33}]}}}`},
	} {
		if got := ask(t, srv, "web", c.spec); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.spec, got, c.want)
		}
	}
	for spec, want := range map[string]string{
		`{"calculations":[{"op":"NOPE"}]}`:                                                                            "unknown calculation op",
		`{"calculations":[{"op":"HISTOGRAM_COUNT"}]}`:                                                                 "not supported by this server",
		`{"calculations":[{"op":"CONCURRENCY","column":"status"}]}`:                                                   "takes no column",
		`{"calculations":[{"op":"RATE_SUM"}]}`:                                                                        "needs a column",
		`{"calculations":[{"op":"MAX","column":"root.status"}]}`:                                                      "relational prefixes are for filters",
		`{"calculations":[{"op":"COUNT","name":"$bucket"}]}`:                                                          "begins with a dollar sign",
		`{"breakdowns":["root.name"]}`:                                                                                "relational prefixes in filters only",
		`{"orders":[{"column":"root.name"}]}`:                                                                         "relational prefixes in filters only",
		`{"filters":[{"column":"root.nope","op":"exists"}]}`:                                                          `unknown column \"nope\"`,
		`{"filters":[{"column":"any.name","op":"exists"},{"column":"name","op":"exists"}],"filter_combination":"OR"}`: "need the filter_combination AND",
		`{"calculations":[{"op":"SUM"}]}`:                                                                             "needs a column",
		`{"breakdowns":["nope"]}`:                                                                                     "unknown column",
		`{"filters":[{"column":"name","op":"exists","value":1}]}`:                                                     "takes no value",
		`{"filters":[{"column":"name","op":"in","value":1}]}`:                                                         "needs an array",
		`{"orders":[{"op":"COUNT","column":"name"}]}`:                                                                 "must name a breakdown or a calculation",
		`{"start_time":5,"end_time":3}`:                                                                               "the start before the end",
		`{"formulas":[{"name":"x"}]}`:                                                                                 "formulas are not supported",
		`{"havings":[{"calculate_op":"SUM","op":">","value":1}]}`:                                                     "must name a calculation",
		`{"limit":100000}`:                                                                                            "limit must be between",
		`{"filters":[{"column":"name","op":"does-not-x","value":"x"}]}`:                                               "unknown filter op",
	} {
		if code, text := call(t, srv, "POST", "/1/queries/web", goodKey, spec); code != 422 || !strings.Contains(text, want) {
			t.Errorf("%s: %d %s, want 422 %s", spec, code, text, want)
		}
	}
	if code, _ := call(t, srv, "POST", "/1/queries/none", goodKey, "{}"); code != 404 {
		t.Errorf("a query of an unknown dataset: %d", code)
	}
}

func TestColumnsAndDatasets(t *testing.T) {
	srv := start(t)
	if code, text := call(t, srv, "POST", "/1/events/a/b", goodKey, `{"n":1,"x":{"y":2}}`); code != 200 {
		t.Fatal(text)
	}
	code, text := call(t, srv, "GET", "/1/columns/a-b", goodKey, "")
	var cols []struct {
		KeyName string `json:"key_name"`
		Type    string
	}
	if err := json.Unmarshal([]byte(text), &cols); err != nil || code != 200 {
		t.Fatalf("%d %s", code, text)
	}
	got := map[string]string{}
	for _, c := range cols {
		got[c.KeyName] = c.Type
	}
	want := map[string]string{"n": "integer", "x": "string", "trace.trace_id": "string", "trace.span_id": "string", "trace.parent_id": "string"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if code, text := call(t, srv, "GET", "/1/datasets", goodKey, ""); code != 200 || !strings.Contains(text, `"slug":"a-b"`) {
		t.Errorf("datasets: %d %s", code, text)
	}
}

func FuzzBatch(f *testing.F) {
	f.Add(`[{"time":"2026-11-23T00:00:00Z","samplerate":2,"data":{"a":1,"b":[1,{"c":null}]}}]`, false)
	f.Add("\x91\x81\xa4data\x81\xa1a\x01", true)
	srv := start(f)
	h := srv.Config.Handler
	f.Fuzz(func(t *testing.T, body string, pack bool) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/1/batch/ds", strings.NewReader(body))
		r.Header.Set("X-Honeycomb-Team", goodKey)
		if pack {
			r.Header.Set("Content-Type", "application/msgpack")
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		if rec.Code != http.StatusOK && rec.Code != http.StatusBadRequest {
			t.Errorf("status %d: %s", rec.Code, rec.Body)
		}
	})
}
