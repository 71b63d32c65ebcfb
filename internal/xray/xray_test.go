package xray_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/ingest"
	"github.com/trefoil-o11y/trefoil/internal/ingest/ingesttest"
	"github.com/trefoil-o11y/trefoil/internal/meta"
	"github.com/trefoil-o11y/trefoil/internal/query/querytest"
	"github.com/trefoil-o11y/trefoil/internal/store"
	"github.com/trefoil-o11y/trefoil/internal/syntax"
	"github.com/trefoil-o11y/trefoil/internal/xray"
)

type fixture struct {
	server *xray.Server
	http   *httptest.Server
	store  store.Store
	meta   *meta.DB
	queue  *ingest.Queue
	dir    string
}

// start runs a server on a folder; a second one on the same folder finds what the first left.
func start(t testing.TB, dir string) *fixture {
	t.Helper()
	parts := ingesttest.Open(t, dir)
	f := &fixture{dir: dir, store: parts.Store, meta: parts.Meta, queue: parts.Queue}
	var err error
	f.server, err = xray.New(xray.Config{
		Store: f.store, Meta: f.meta, Queue: f.queue, Environment: "bootcamp", Account: "123456789012", Region: "us-east-1",
		Auth: &awsapi.Auth{Account: "123456789012", Environment: "bootcamp", Region: "us-east-1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	f.http = httptest.NewServer(f.server.Handler())
	t.Cleanup(func() {
		f.http.Close()
		parts.Close(t)
	})
	return f
}

// call posts a body and decodes the answer; code is "" for a success.
func (f *fixture) call(t testing.TB, path, body string) (out map[string]any, code string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.http.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
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
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatalf("%s answers %q: %v", path, text, err)
	}
	if res.StatusCode >= 500 {
		t.Fatalf("%s answers %d: %s", path, res.StatusCode, text)
	}
	if res.StatusCode != http.StatusOK {
		code = res.Header.Get("x-amzn-ErrorType")
		if code == "" || out["Message"] == "" {
			t.Errorf("%s answers %d without a code or a message: %s", path, res.StatusCode, text)
		}
	}
	return out, code
}

// ok is call for what must succeed.
func (f *fixture) ok(t testing.TB, path, body string) map[string]any {
	t.Helper()
	out, code := f.call(t, path, body)
	if code != "" {
		t.Fatalf("%s %s: %s: %v", path, body, code, out["Message"])
	}
	return out
}

func (f *fixture) put(t testing.TB, docs ...string) []any {
	t.Helper()
	var refused []any
	for chunk := range slices.Chunk(docs, 50) {
		body, err := json.Marshal(map[string]any{"TraceSegmentDocuments": chunk})
		if err != nil {
			t.Fatal(err)
		}
		refused = append(refused, f.ok(t, "/TraceSegments", string(body))["UnprocessedTraceSegments"].([]any)...)
	}
	return refused
}

// base is the start of the hand-made traces.
const base = 1_600_000_000

// corpusDoc completes a document of a load section: "number json".
func corpusDoc(t testing.TB, line string, n int) string {
	t.Helper()
	number, text, _ := strings.Cut(line, " ")
	trace, err := strconv.Atoi(number)
	if err != nil {
		t.Fatalf("load %q: %v", line, err)
	}
	var doc map[string]any
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatalf("load %q: %v", line, err)
	}
	var complete func(map[string]any)
	complete = func(d map[string]any) {
		at, _ := d["start"].(float64)
		d["start_time"] = base + float64(trace) + at
		if end, ok := d["end"].(float64); ok {
			d["end_time"] = base + float64(trace) + end
		}
		delete(d, "start")
		delete(d, "end")
		n += 1000
		if d["id"] == nil {
			d["id"] = fmt.Sprintf("%016x", n)
		}
		subs, _ := d["subsegments"].([]any)
		for _, s := range subs {
			complete(s.(map[string]any))
		}
	}
	complete(doc)
	doc["trace_id"] = corpusID(trace)
	out, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func corpusID(n int) string { return fmt.Sprintf("1-%08x-%024d", base+n, n) }

func list(t testing.TB, v any, member string) []string {
	t.Helper()
	out := []string{}
	for _, x := range v.([]any) {
		out = append(out, x.(map[string]any)[member].(string))
	}
	return out
}

// TestFilters runs the corpus through the API and the console's list.
func TestFilters(t *testing.T) {
	for _, name := range []string{"filters", "scopes"} {
		t.Run(name, func(t *testing.T) { testFilters(t, "testdata/"+name+".txt") })
	}
}

func testFilters(t *testing.T, corpus string) {
	f := start(t, t.TempDir())
	cases := querytest.Corpus(t, corpus)
	var docs []string
	for i, line := range cases[0].Load {
		docs = append(docs, corpusDoc(t, line, i))
	}
	if refused := f.put(t, docs...); len(refused) > 0 {
		t.Fatal(refused)
	}
	f.ok(t, "/CreateGroup", `{"GroupName":"Errors","FilterExpression":"!ok"}`)
	for _, c := range cases {
		body, err := json.Marshal(map[string]any{"StartTime": base, "EndTime": base + 100, "FilterExpression": c.Query})
		if err != nil {
			t.Fatal(err)
		}
		in := xray.SummariesInput{From: time.Unix(base, 0), To: time.Unix(base+100, 0), Filter: c.Query, Limit: 1000}
		page, perr := f.server.Summaries(t.Context(), in)
		out, code := f.call(t, "/TraceSummaries", string(body))
		if c.Fail != "" {
			if e := syntax.AsError(perr); e == nil || e.Error() != c.Fail {
				t.Errorf("%s: %s\n got %v\nwant %s", c.Name, c.Query, perr, c.Fail)
			}
			if code != "InvalidRequestException" || !strings.HasPrefix(fmt.Sprint(out["Message"]), "Invalid filter expression: ") {
				t.Errorf("%s: %s: %s %v", c.Name, c.Query, code, out["Message"])
			}
			continue
		}
		if code != "" || perr != nil {
			t.Errorf("%s: %s: %s %v %v", c.Name, c.Query, code, out["Message"], perr)
			continue
		}
		want := []string{}
		for _, n := range strings.Fields(strings.Join(c.Want, " ")) {
			i, err := strconv.Atoi(n)
			if err != nil {
				t.Fatalf("%s: %v", c.Name, err)
			}
			want = append(want, corpusID(i))
		}
		slices.Reverse(want) // the newest first
		if diff := cmp.Diff(want, list(t, out["TraceSummaries"], "Id")); diff != "" {
			t.Errorf("%s: %s\n%s", c.Name, c.Query, diff)
		}
		var shown []string
		for _, s := range page.Traces {
			shown = append(shown, s.ID.XRay())
		}
		if !slices.Equal(want, shown) {
			t.Errorf("%s: %s: the console lists %v", c.Name, c.Query, shown)
		}
	}
}

const (
	traceA = "1-5f84c7a1-e7d1852db8c4fd35d88bf49a"
	traceB = "1-5f84c7a2-e7d1852db8c4fd35d88bf49b"
)

func TestRefusedDocuments(t *testing.T) {
	f := start(t, t.TempDir())
	doc := func(change func(map[string]any)) string {
		d := map[string]any{"id": "194fcc8747581230", "name": "n", "trace_id": traceA, "start_time": 1602537377.5, "end_time": 1602537378.5}
		change(d)
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	set := func(k string, v any) string { return doc(func(d map[string]any) { d[k] = v }) }
	without := func(k string) string { return doc(func(d map[string]any) { delete(d, k) }) }
	sub := func(s map[string]any) string {
		d := map[string]any{"id": "194fcc8747581231", "name": "s", "start_time": 1602537377.5, "end_time": 1602537378}
		maps.Copy(d, s)
		return set("subsegments", []any{d})
	}
	for _, c := range []struct{ doc, code, id, kind string }{
		{"not json", "ParseError", "", "segment"},
		{"12", "ParseError", "", "segment"},
		{"[]", "MissingId", "", "segment"},
		{"{}", "MissingId", "", "segment"},
		{set("metadata", map[string]any{"a": strings.Repeat("x", 66_000)}), "InvalidSegment", "", "segment"},
		{set("id", "xyz"), "InvalidId", "xyz", "segment"},
		{without("name"), "MissingName", "194fcc8747581230", "segment"},
		{set("name", ""), "InvalidName", "194fcc8747581230", "segment"},
		{set("name", "a(b)"), "InvalidName", "194fcc8747581230", "segment"},
		{set("name", strings.Repeat("é", 201)), "InvalidName", "194fcc8747581230", "segment"},
		{set("name", strings.Repeat("é", 200)), "", "", ""},
		{without("trace_id"), "MissingTraceId", "194fcc8747581230", "segment"},
		{set("trace_id", "2-5f84c7a1-e7d1852db8c4fd35d88bf49a"), "InvalidTraceId", "194fcc8747581230", "segment"},
		{set("trace_id", "1-5F84C7A1-E7D1852DB8C4FD35D88BF49A"), "", "", ""},
		{without("start_time"), "MissingStartTime", "194fcc8747581230", "segment"},
		{set("start_time", "yesterday"), "InvalidStartTime", "194fcc8747581230", "segment"},
		{set("start_time", -1), "InvalidStartTime", "194fcc8747581230", "segment"},
		{set("start_time", 1e300), "InvalidStartTime", "194fcc8747581230", "segment"},
		{without("end_time"), "MissingEndTime", "194fcc8747581230", "segment"},
		{set("end_time", 1602537377.1), "", "", ""},
		{set("end_time", 1602537370), "InvalidEndTime", "194fcc8747581230", "segment"},
		{set("type", "subsegment"), "MissingParentId", "194fcc8747581230", "subsegment"},
		{set("parent_id", "zz"), "InvalidParentId", "194fcc8747581230", "segment"},
		{set("namespace", "other"), "InvalidNamespace", "194fcc8747581230", "segment"},
		{sub(map[string]any{"name": "a?"}), "InvalidName", "194fcc8747581230", "subsegment"},
		{sub(map[string]any{"id": nil}), "MissingId", "194fcc8747581230", "subsegment"},
		{sub(map[string]any{"namespace": "local", "type": "subsegment", "trace_id": traceA, "parent_id": "194fcc8747581230"}), "", "", ""},
		{doc(func(d map[string]any) {
			d["cause"], d["http"], d["annotations"], d["user"], d["aws"], d["links"], d["error"] = "194fcc87475812ff", 5, []any{1}, 7, "x", map[string]any{}, "yes"
		}), "", "", ""},
		{doc(func(d map[string]any) {
			d["http"] = map[string]any{"response": map[string]any{"status": "200", "content_length": "-1"}}
		}), "", "", ""},
	} {
		got := f.put(t, c.doc)
		if c.code == "" {
			if len(got) > 0 {
				t.Errorf("%.200s is refused: %v", c.doc, got)
			}
			continue
		}
		want := map[string]any{"ErrorCode": c.code, "Message": "Invalid " + c.kind + ". ErrorCode: " + c.code}
		if c.id != "" {
			want["Id"] = c.id
		}
		if diff := cmp.Diff([]any{want}, got); diff != "" {
			t.Errorf("%.200s\n%s", c.doc, diff)
		}
	}
	deep := `{"id":"194fcc8747581230","name":"n","start_time":1,"end_time":2`
	text := deep + `,"trace_id":"` + traceA + `"` + strings.Repeat(`,"subsegments":[`+deep, 150) + strings.Repeat("}]", 150) + "}"
	if got := f.put(t, text); len(got) != 1 || got[0].(map[string]any)["ErrorCode"] != "InvalidSegment" {
		t.Errorf("150 levels: %v", got)
	}
}

// TestOldTraceIDs sends documents of old traces to a server that takes any and to one that does not.
func TestOldTraceIDs(t *testing.T) {
	f := start(t, t.TempDir())
	server, err := xray.New(xray.Config{
		Store: f.store, Meta: f.meta, Queue: f.queue, Environment: "bootcamp", Account: "123456789012", Region: "us-east-1", TraceIDMaxAge: 30 * 24 * time.Hour,
		Auth: &awsapi.Auth{Account: "123456789012", Environment: "bootcamp", Region: "us-east-1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	strict := &fixture{http: httptest.NewServer(server.Handler())}
	defer strict.http.Close()
	now := time.Now()
	doc := func(at time.Time, more string) string {
		return fmt.Sprintf(`{"name":"a","id":"0000000000000001","trace_id":"1-%08x-000000000000000000000001","start_time":%d,"end_time":%d%s}`, at.Unix(), now.Unix(), now.Unix(), more)
	}
	old := now.Add(-31 * 24 * time.Hour)
	if refused := f.put(t, doc(old, "")); len(refused) != 0 {
		t.Errorf("any age: %v", refused)
	}
	if refused := strict.put(t, doc(now.Add(-29*24*time.Hour), "")); len(refused) != 0 {
		t.Errorf("not too old: %v", refused)
	}
	for more, kind := range map[string]string{"": "segment", `,"type":"subsegment","parent_id":"0000000000000002"`: "subsegment"} {
		want := []any{map[string]any{"Id": "0000000000000001", "ErrorCode": "InvalidTraceId", "Message": "Invalid " + kind + ". ErrorCode: InvalidTraceId"}}
		if diff := cmp.Diff(want, strict.put(t, doc(old, more))); diff != "" {
			t.Error(diff)
		}
	}
}

// segmentsOf returns the documents of a trace by the names of their segments.
func (f *fixture) segmentsOf(t testing.TB, trace string) map[string]map[string]any {
	t.Helper()
	out := f.ok(t, "/Traces", `{"TraceIds":["`+trace+`"]}`)
	docs := map[string]map[string]any{}
	for _, tr := range out["Traces"].([]any) {
		for _, s := range tr.(map[string]any)["Segments"].([]any) {
			var d map[string]any
			if err := json.Unmarshal([]byte(s.(map[string]any)["Document"].(string)), &d); err != nil {
				t.Fatal(err)
			}
			docs[d["name"].(string)] = d
		}
	}
	return docs
}

func TestMerging(t *testing.T) {
	dir := t.TempDir()
	f := start(t, dir)
	whole := `{"id":"0000000000000001","name":"a","trace_id":"` + traceA + `","start_time":1602537377.5,"end_time":1602537379.5,"custom" : {"kept":[1.50,"as is"]}}`
	f.put(t,
		`{"id":"0000000000000002","name":"child","type":"subsegment","parent_id":"0000000000000001","namespace":"remote","trace_id":"`+traceA+`","start_time":1602537378,"end_time":1602537379}`,
		`{"id":"0000000000000003","name":"leaf","type":"subsegment","parent_id":"0000000000000002","trace_id":"`+traceA+`","start_time":1602537378,"end_time":1602537378.5}`,
		`{"id":"0000000000000001","name":"a","trace_id":"`+traceA+`","start_time":1602537377.5,"in_progress":true}`)
	got := f.segmentsOf(t, traceA)
	if got["a"]["in_progress"] != true || got["child"]["inferred"] != true || len(got) != 2 {
		t.Errorf("with the segment in progress: %v", got)
	}
	rows, err := f.server.PendingRows(t.Context(), traceID(t, traceA))
	if err != nil || len(rows) != 1 || !rows[0].Get(0, "xray.in_progress").Bool() {
		t.Errorf("pending rows %v, %v", rows, err)
	}
	sum := f.ok(t, "/TraceSummaries", `{"StartTime":1602537300,"EndTime":1602537500}`)["TraceSummaries"].([]any)[0].(map[string]any)
	if sum["IsPartial"] != true || sum["ResponseTime"] != nil {
		t.Errorf("summary in progress %v", sum)
	}

	f.put(t, whole, `{"id":"0000000000000001","name":"a","trace_id":"`+traceA+`","start_time":1602537377.5,"in_progress":true}`)
	got = f.segmentsOf(t, traceA)
	a := got["a"]
	if a["in_progress"] != nil || a["end_time"] != 1602537379.5 {
		t.Errorf("a late document in progress took the place of the complete one: %v", a)
	}
	if diff := cmp.Diff(map[string]any{"kept": []any{1.5, "as is"}}, a["custom"]); diff != "" {
		t.Error(diff)
	}
	child := a["subsegments"].([]any)[0].(map[string]any)
	if child["name"] != "child" || child["subsegments"].([]any)[0].(map[string]any)["name"] != "leaf" {
		t.Errorf("subsegments that came by themselves: %v", a["subsegments"])
	}
	if in := got["child"]; in["inferred"] != true || in["parent_id"] != "0000000000000002" || in["origin"] != "remote" {
		t.Errorf("inferred %v", in)
	}

	// The called service's own segment takes the place of the inferred one.
	f.put(t, `{"id":"0000000000000009","name":"child","parent_id":"0000000000000002","trace_id":"`+traceA+`","start_time":1602537378.1,"end_time":1602537378.9}`)
	if got = f.segmentsOf(t, traceA); len(got) != 2 || got["child"]["inferred"] != nil {
		t.Errorf("with the callee's segment: %v", got)
	}

	// Nothing was added to this one: it comes back byte by byte.
	plain := strings.ReplaceAll(whole, traceA, traceB)
	f.put(t, plain)
	out := f.ok(t, "/Traces", `{"TraceIds":["`+strings.ReplaceAll(traceB[2:], "-", "")+`","nonsense","1-00000000-000000000000000000000001"]}`)
	if doc := out["Traces"].([]any)[0].(map[string]any)["Segments"].([]any)[0].(map[string]any)["Document"]; doc != plain {
		t.Errorf("document %v", doc)
	}
	if diff := cmp.Diff([]any{"nonsense", "1-00000000-000000000000000000000001"}, out["UnprocessedTraceIds"]); diff != "" {
		t.Error(diff)
	}
}

// TestCycles puts documents that claim to be in each other.
func TestCycles(t *testing.T) {
	f := start(t, t.TempDir())
	f.put(t,
		`{"id":"0000000000000001","name":"a","type":"subsegment","namespace":"remote","parent_id":"0000000000000002","trace_id":"`+traceA+`","start_time":1602537378,"end_time":1602537379}`,
		`{"id":"0000000000000002","name":"b","type":"subsegment","parent_id":"0000000000000001","trace_id":"`+traceA+`","start_time":1602537378,"end_time":1602537379}`,
		`{"id":"0000000000000003","name":"c","parent_id":"0000000000000003","trace_id":"`+traceB+`","start_time":1602537378,"end_time":1602537379,"subsegments":[{"id":"0000000000000003","name":"d","start_time":1602537378,"end_time":1602537379}]}`)
	for _, id := range []string{traceA, traceB} {
		if got := f.segmentsOf(t, id); len(got) == 0 {
			t.Errorf("%s is lost", id)
		}
	}
	f.ok(t, "/TraceSummaries", `{"StartTime":1602537300,"EndTime":1602537500}`)
	f.ok(t, "/ServiceGraph", `{"StartTime":1602537300,"EndTime":1602537500}`)
}

func traceID(t testing.TB, s string) event.TraceID {
	t.Helper()
	id, err := event.ParseTraceID(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// TestPendingSurvivesRestart opens a second server on a copy of the folder, as after a crash.
func TestPendingSurvivesRestart(t *testing.T) {
	dir := t.TempDir()
	t.Run("first", func(t *testing.T) {
		f := start(t, dir)
		f.put(t, `{"id":"0000000000000001","name":"a","trace_id":"`+traceA+`","start_time":1602537377.5,"in_progress":true}`)
	})
	f := start(t, dir)
	if got := f.segmentsOf(t, traceA); got["a"]["in_progress"] != true {
		t.Errorf("after a restart: %v", got)
	}
}

func TestUDP(t *testing.T) {
	f := start(t, t.TempDir())
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.server.ServeUDP(ctx, conn) }()
	client, err := net.DialUDP("udp", nil, conn.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	doc := func(i int) string {
		return fmt.Sprintf(`{"id":"%016x","name":"a","trace_id":"1-5f84c7a1-%024x","start_time":1602537377.5,"end_time":1602537378}`, i, i)
	}
	send := func(s string) {
		if _, err := client.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	const good = 200
	for i := 1; i <= good; i++ {
		header := `{"format": "json", "version": 1}`
		if i%2 == 0 {
			header = `{"version":1,"format":"JSON","extra":true}`
		}
		send(header + "\n" + doc(i))
		for deadline := time.Now().Add(5 * time.Second); i%50 == 0 && f.server.Counters().Received < int64(i); {
			if time.Now().After(deadline) {
				t.Fatalf("%d of %d datagrams", f.server.Counters().Received, i)
			}
		}
	}
	for _, bad := range []string{"no newline", "{}\n" + doc(900), `{"format":"json","version":2}` + "\n" + doc(901), "\n" + doc(902), `{"format":"json","version":1}` + "\n", `{"format":"json","version":1}` + "\nnot json"} {
		send(bad)
	}
	want := map[string]int64{xray.RejectNoNewline: 1, xray.RejectHeader: 3, xray.RejectEmpty: 1, xray.RejectDocument: 1}
	var counters xray.DaemonCounters
	for deadline := time.Now().Add(10 * time.Second); ; {
		counters = f.server.Counters()
		out := f.ok(t, "/TraceSummaries", `{"StartTime":1602537300,"EndTime":1602537500,"TimeRangeType":"Event"}`)
		if len(out["TraceSummaries"].([]any)) == good && maps.Equal(counters.Rejected, want) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d traces, counters %+v", len(out["TraceSummaries"].([]any)), counters)
		}
	}
	if counters.Received != good+6 || counters.Spilled != 0 {
		t.Errorf("counters %+v", counters)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestPaging turns the pages of many traces while new ones arrive.
func TestPaging(t *testing.T) {
	f := start(t, t.TempDir())
	const n = 1234
	doc := func(i int) string {
		return fmt.Sprintf(`{"id":"%016x","name":"a","trace_id":"1-%08x-%024x","start_time":%d.25,"end_time":%d.5}`, i, base+i/4, i, base+i/4, base+i/4)
	}
	var docs []string
	for i := 1; i <= n; i++ {
		docs = append(docs, doc(i))
	}
	f.put(t, docs...)
	seen := map[string]bool{}
	token, pages, processed := "", 0, 0.0
	for {
		body := fmt.Sprintf(`{"StartTime":%d,"EndTime":%d,"NextToken":%q}`, base, base+1000, token)
		out := f.ok(t, "/TraceSummaries", body)
		for _, id := range list(t, out["TraceSummaries"], "Id") {
			if seen[id] {
				t.Errorf("%s comes twice", id)
			}
			seen[id] = true
		}
		pages++
		processed += out["TracesProcessedCount"].(float64)
		if token, _ = out["NextToken"].(string); token == "" {
			break
		}
		if pages == 1 {
			f.put(t, doc(4*900))
			if _, code := f.call(t, "/TraceSummaries", fmt.Sprintf(`{"StartTime":%d,"EndTime":%d,"NextToken":%q}`, base, base+999, token)); code != "InvalidRequestException" {
				t.Errorf("a token of another request: %q", code)
			}
		}
	}
	if len(seen) != n || processed != n || pages != 3 {
		t.Errorf("%d traces of %d, %v processed, %d pages", len(seen), n, processed, pages)
	}
}

// TestRanges looks for a trace that began before the range.
func TestRanges(t *testing.T) {
	f := start(t, t.TempDir())
	f.put(t, `{"id":"0000000000000001","name":"a","trace_id":"1-5f84c7a1-e7d1852db8c4fd35d88bf49a","start_time":1602537377.5,"end_time":1602537977.5}`)
	f.put(t, `{"id":"0000000000000001","name":"w3c","trace_id":"1-12345678-e7d1852db8c4fd35d88bf49a","start_time":1602537377.5,"end_time":1602537977.5}`)
	for _, c := range []struct {
		kind     string
		from, to int
		want     int
	}{
		{"TraceId", 1602537377, 1602537378, 2}, // the time in the first one's id, the second one's start
		{"TraceId", 1602537378, 1602538000, 0},
		{"TraceId", 305419896, 305419897, 0},
		{"Event", 1602537500, 1602537510, 2},
		{"Event", 1602537978, 1602537980, 0},
		{"Event", 1602537370, 1602537377, 0},
		{"Service", 1602537970, 1602537980, 2},
		{"Service", 1602537377, 1602537500, 0},
	} {
		out := f.ok(t, "/TraceSummaries", fmt.Sprintf(`{"StartTime":%d,"EndTime":%d,"TimeRangeType":%q}`, c.from, c.to, c.kind))
		if got := len(out["TraceSummaries"].([]any)); got != c.want {
			t.Errorf("%s %d-%d: %d traces, want %d", c.kind, c.from, c.to, got, c.want)
		}
	}
	for _, body := range []string{`{}`, `{"StartTime":5}`, `{"StartTime":5,"EndTime":4}`, `{"StartTime":-1,"EndTime":4}`, `{"StartTime":1,"EndTime":4,"TimeRangeType":"x"}`, `{"StartTime":1,"EndTime":1e300}`} {
		if _, code := f.call(t, "/TraceSummaries", body); code != "InvalidRequestException" {
			t.Errorf("%s: %q", body, code)
		}
	}
	if out := f.ok(t, "/TraceSummaries", `{"StartTime":0,"EndTime":9000000000}`); len(out["TraceSummaries"].([]any)) != 2 {
		t.Errorf("all of time: %v", out)
	}
}

func compact(t testing.TB, v any) string {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(b.String())
}

// TestDeadline gives up on the end of a document; a complete one still takes its place later.
func TestDeadline(t *testing.T) {
	f := start(t, t.TempDir())
	doc := `{"id":"0000000000000001","name":"a","trace_id":"` + traceA + `","start_time":1602537377.5,`
	f.put(t, doc+`"in_progress":true}`)
	for _, late := range []bool{false, true} {
		now := time.Now()
		if late {
			now = now.Add(2 * time.Hour)
		}
		if err := f.server.Expire(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		waiting, err := f.meta.PendingSegments(t.Context())
		if err != nil || (len(waiting) == 0) != late {
			t.Errorf("late %v: %d documents wait, %v", late, len(waiting), err)
		}
		if got := f.segmentsOf(t, traceA); got["a"]["in_progress"] != true {
			t.Errorf("late %v: %v", late, got)
		}
	}
	f.put(t, doc+`"end_time":1602537378}`)
	if got := f.segmentsOf(t, traceA); got["a"]["end_time"] != 1602537378.0 {
		t.Errorf("complete: %v", got)
	}
}
