package xray_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// everything returns all that is answered about some traces, as text.
func everything(t *testing.T, f *fixture, ids []string) string {
	t.Helper()
	var b bytes.Buffer
	add := func(v any) {
		text, err := json.MarshalIndent(v, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		b.Write(text)
	}
	token := ""
	for {
		out := f.ok(t, "/TraceSummaries", fmt.Sprintf(`{"StartTime":%d,"EndTime":%d,"TimeRangeType":"Event","NextToken":%q}`, base-100, base+5000, token))
		for _, s := range out["TraceSummaries"].([]any) {
			delete(s.(map[string]any), "Revision") // counts what arrived
		}
		add(out["TraceSummaries"])
		if token, _ = out["NextToken"].(string); token == "" {
			break
		}
	}
	for part := range slices.Chunk(ids, 50) {
		text, err := json.Marshal(map[string]any{"TraceIds": part})
		if err != nil {
			t.Fatal(err)
		}
		add(f.ok(t, "/Traces", string(text))["Traces"])
		add(f.ok(t, "/TraceGraph", string(text))["Services"])
	}
	add(f.ok(t, "/ServiceGraph", fmt.Sprintf(`{"StartTime":%d,"EndTime":%d}`, base-100, base+5000)))
	return b.String()
}

// TestOrderOfDocuments sends the documents of traces in different orders, some twice, all at once and
// one by one: what is answered is the same.
func TestOrderOfDocuments(t *testing.T) {
	f := start(t, t.TempDir())
	m := newMaker(t, f, 77, 600)
	m.segments, m.unfinished = true, 20
	for range 40 {
		m.trace()
	}
	docs, ids := m.docs, []string{}
	for _, id := range m.ids {
		ids = append(ids, "1-"+id[:8]+"-"+id[8:])
	}
	rnd := rand.New(rand.NewPCG(5, 6))
	want := ""
	for run := range 4 {
		f := start(t, t.TempDir())
		list := slices.Clone(docs)
		for _, d := range docs {
			if rnd.IntN(3) == 0 {
				list = append(list, d)
			}
		}
		rnd.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		for len(list) > 0 {
			n := min(len(list), 1+rnd.IntN(50))
			if refused := f.put(t, list[:n]...); len(refused) > 0 {
				t.Fatal(refused)
			}
			list = list[n:]
		}
		got := everything(t, f, ids)
		if run == 0 {
			want = got
		}
		if got != want {
			t.Fatalf("order %d: %s", run, cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")))
		}
	}
}

// TestMustNotBeNull looks at what data sources of Grafana take for given.
func TestMustNotBeNull(t *testing.T) {
	f := start(t, t.TempDir())
	m := newMaker(t, f, 99, 3000)
	m.unfinished = 10
	for range 1000 {
		m.trace()
	}
	m.send(t, f)
	text := func(what string, v map[string]any, names ...string) {
		t.Helper()
		for _, n := range names {
			if _, ok := v[n].(string); !ok {
				t.Errorf("%s: %s is %v", what, n, v[n])
			}
		}
	}
	some := func(what string, v any) []any {
		t.Helper()
		list, ok := v.([]any)
		if !ok || len(list) == 0 {
			t.Errorf("%s is %v", what, v)
		}
		return list
	}
	causes := map[string]int{}
	seen, token := 0, ""
	var ids []string
	for {
		out := f.ok(t, "/TraceSummaries", fmt.Sprintf(`{"StartTime":%d,"EndTime":%d,"TimeRangeType":"Event","NextToken":%q}`, base-100, base+5000, token))
		for _, s := range out["TraceSummaries"].([]any) {
			s := s.(map[string]any)
			seen++
			ids = append(ids, s["Id"].(string))
			if _, ok := s["Http"].(map[string]any); !ok {
				t.Errorf("Http is %v", s["Http"])
			}
			if _, ok := s["StartTime"].(float64); !ok {
				t.Errorf("StartTime is %v", s["StartTime"])
			}
			text("EntryPoint", s["EntryPoint"].(map[string]any), "Name", "Type")
			for _, kind := range []string{"FaultRootCauses", "ErrorRootCauses", "ResponseTimeRootCauses"} {
				for _, c := range s[kind].([]any) {
					causes[kind]++
					for _, svc := range some(kind+" Services", c.(map[string]any)["Services"]) {
						svc := svc.(map[string]any)
						text(kind, svc, "Name", "Type", "AccountId")
						for _, e := range some("EntityPath", svc["EntityPath"]) {
							e := e.(map[string]any)
							text("entity", e, "Name")
							if kind == "ResponseTimeRootCauses" {
								if _, ok := e["Coverage"].(float64); !ok {
									t.Errorf("coverage of %v", e)
								}
								continue
							}
							for _, x := range e["Exceptions"].([]any) {
								text("exception", x.(map[string]any), "Name", "Message")
							}
						}
					}
				}
			}
		}
		if token, _ = out["NextToken"].(string); token == "" {
			break
		}
	}
	if seen < 990 || len(causes) != 3 {
		t.Errorf("%d traces, causes %v", seen, causes)
	}
	graph := func(services []any) {
		t.Helper()
		for i, s := range services {
			s := s.(map[string]any)
			text("node", s, "Name", "Type", "State", "AccountId")
			if s["ReferenceId"] != float64(i) {
				t.Errorf("node %d has the id %v", i, s["ReferenceId"])
			}
			edges, ok := s["Edges"].([]any)
			if !ok || s["Type"] == "client" && len(edges) == 0 {
				t.Errorf("edges of %v", s)
			}
			if s["Type"] == "client" == (s["SummaryStatistics"] != nil) || s["SummaryStatistics"] != nil && s["ResponseTimeHistogram"] == nil && s["SummaryStatistics"].(map[string]any)["TotalCount"] != 0.0 {
				t.Errorf("statistics of %v", s)
			}
			for _, e := range edges {
				e := e.(map[string]any)
				if _, ok := e["ResponseTimeHistogram"].([]any); !ok || e["SummaryStatistics"] == nil || e["Aliases"] == nil || int(e["ReferenceId"].(float64)) >= len(services) {
					t.Errorf("edge %v", e)
				}
				if age, _ := e["ReceivedEventAgeHistogram"].([]any); e["EdgeType"] == "link" && len(age) == 0 {
					t.Errorf("a link without ages: %v", e)
				}
			}
		}
	}
	graph(some("services", f.ok(t, "/ServiceGraph", fmt.Sprintf(`{"StartTime":%d,"EndTime":%d,"GroupName":""}`, base-100, base+5000))["Services"]))
	for part := range slices.Chunk(ids, 100) {
		body, err := json.Marshal(map[string]any{"TraceIds": part})
		if err != nil {
			t.Fatal(err)
		}
		graph(some("services", f.ok(t, "/TraceGraph", string(body))["Services"]))
		for _, tr := range some("traces", f.ok(t, "/Traces", string(body))["Traces"]) {
			for _, s := range some("segments", tr.(map[string]any)["Segments"]) {
				var d map[string]any
				if err := json.Unmarshal([]byte(s.(map[string]any)["Document"].(string)), &d); err != nil {
					t.Fatal(err)
				}
				text("document", d, "id", "name", "trace_id")
				if _, ok := d["start_time"].(float64); !ok {
					t.Errorf("document %v", d)
				}
			}
		}
	}
	for _, sel := range []string{"", `,"EntitySelectorExpression":"service(id(name: \"cart\"))"`, `,"EntitySelectorExpression":"edge(id(name: \"front\"), id(name: \"cart\"))"`} {
		rows := some("series", f.ok(t, "/TimeSeriesServiceStatistics", fmt.Sprintf(`{"StartTime":%d,"EndTime":%d,"Period":60%s}`, base-100, base+5000, sel))["TimeSeriesServiceStatistics"])
		for _, r := range rows {
			r := r.(map[string]any)
			st, _ := r["EdgeSummaryStatistics"].(map[string]any)
			if service, ok := r["ServiceSummaryStatistics"].(map[string]any); ok == (st != nil) || ok != strings.Contains(sel, "service(") {
				t.Errorf("row %v", r)
			} else if ok {
				st = service
			}
			if st["TotalResponseTime"] == nil || st["ErrorStatistics"] == nil || st["FaultStatistics"] == nil || r["ResponseTimeHistogram"] == nil {
				t.Errorf("row %v", r)
			}
		}
	}
	if groups := some("groups", f.ok(t, "/Groups", "{}")["Groups"]); groups[0].(map[string]any)["GroupName"] != "Default" {
		t.Errorf("groups %v", groups)
	}
}

// TestRetrievedSpans retrieves mixed traces page by page, as segments and as spans that
// OpenTelemetry's own decoder reads.
func TestRetrievedSpans(t *testing.T) {
	dir := t.TempDir()
	var token string
	var ids []string
	t.Run("start", func(t *testing.T) {
		f := start(t, dir)
		m := newMaker(t, f, 123, 600)
		for range 12 {
			m.trace()
		}
		// One with more documents than a page has.
		m.ids = append(m.ids, "5f5e1000000000000000000000000001")
		for i := range 230 {
			m.request(m.ids[12], "", float64(i), 1, "many", 9)
		}
		m.send(t, f)
		for _, id := range m.ids {
			ids = append(ids, "1-"+id[:8]+"-"+id[8:])
		}
		body, err := json.Marshal(map[string]any{"TraceIds": append([]string{"1-00000000-000000000000000000000001"}, ids...), "StartTime": base, "EndTime": base + 1000})
		if err != nil {
			t.Fatal(err)
		}
		token = f.ok(t, "/StartTraceRetrieval", string(body))["RetrievalToken"].(string)
	})
	f := start(t, dir)
	read := func(format string) map[string][]string {
		t.Helper()
		got, next := map[string][]string{}, ""
		for pages := 0; ; pages++ {
			out := f.ok(t, "/ListRetrievedTraces", fmt.Sprintf(`{"RetrievalToken":%q,"TraceFormat":%q,"NextToken":%q}`, token, format, next))
			if out["RetrievalStatus"] != "COMPLETE" || out["TraceFormat"] != format {
				t.Fatalf("%v %v", out["RetrievalStatus"], out["TraceFormat"])
			}
			traces := out["Traces"].([]any)
			if len(traces) > 5 {
				t.Errorf("%d traces on a page", len(traces))
			}
			for _, tr := range traces {
				tr := tr.(map[string]any)
				spans := tr["Spans"].([]any)
				if len(spans) > 100 {
					t.Errorf("%d spans of a trace on a page", len(spans))
				}
				for _, s := range spans {
					got[tr["Id"].(string)] = append(got[tr["Id"].(string)], s.(map[string]any)["Document"].(string))
				}
			}
			if next, _ = out["NextToken"].(string); next == "" {
				if pages < 3 {
					t.Errorf("%d pages", pages)
				}
				break
			}
		}
		if len(got) != len(ids) {
			t.Errorf("%d traces of %d", len(got), len(ids))
		}
		return got
	}
	read("XRAY")
	spans := 0
	hexID := regexp.MustCompile(`^[0-9a-f]{16}$`)
	for id, docs := range read("OTEL") {
		names := map[string]bool{}
		for _, d := range docs {
			var parts struct{ Resource, Scope json.RawMessage }
			if err := json.Unmarshal([]byte(d), &parts); err != nil {
				t.Fatal(err)
			}
			var u ptrace.JSONUnmarshaler
			td, err := u.UnmarshalTraces([]byte(`{"resourceSpans":[{"resource":` + string(parts.Resource) + `,"scopeSpans":[{"scope":` + string(parts.Scope) + `,"spans":[` + d + `]}]}]}`))
			if err != nil {
				t.Fatalf("%s: %v", d, err)
			}
			s := td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0)
			if trace := s.TraceID().String(); "1-"+trace[:8]+"-"+trace[8:] != id || !hexID.MatchString(s.SpanID().String()) || s.Name() == "" || s.EndTimestamp() < s.StartTimestamp() || s.StartTimestamp().AsTime().Before(time.Unix(base-100, 0)) {
				t.Errorf("span %s", d)
			}
			if names[s.SpanID().String()] {
				t.Errorf("span %s comes twice", s.SpanID())
			}
			names[s.SpanID().String()] = true
			if _, ok := td.ResourceSpans().At(0).Resource().Attributes().Get("service.name"); !ok {
				t.Errorf("no service in %s", d)
			}
			spans++
		}
	}
	if spans < 250 {
		t.Errorf("%d spans", spans)
	}
	f.ok(t, "/CancelTraceRetrieval", fmt.Sprintf(`{"RetrievalToken":%q}`, token))
	if out := f.ok(t, "/ListRetrievedTraces", fmt.Sprintf(`{"RetrievalToken":%q}`, token)); out["RetrievalStatus"] != "CANCELLED" || len(out["Traces"].([]any)) != 0 {
		t.Errorf("cancelled: %v", out)
	}
	for _, body := range []string{`{"RetrievalToken":"none"}`, `{}`, fmt.Sprintf(`{"RetrievalToken":%q,"TraceFormat":"x"}`, token), fmt.Sprintf(`{"RetrievalToken":%q,"NextToken":"x"}`, token)} {
		if _, code := f.call(t, "/ListRetrievedTraces", body); code == "" {
			t.Errorf("%s is answered", body)
		}
	}
}
