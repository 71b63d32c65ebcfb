package xray_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/meta"
)

// insightBase is the begin of a minute.
const insightBase = base + 20

// minute puts the requests of a minute: to front, which calls cart, which calls a table. failing of
// them fail from cart up.
func minute(t testing.TB, f *fixture, m, requests, failing int) {
	t.Helper()
	var docs []string
	for i := range requests {
		id := fmt.Sprintf("1-%08x-%024x", insightBase+60*m, 1000*m+i+1)
		at := float64(insightBase+60*m) + float64(i)
		flag := ""
		if i < failing {
			flag = `"fault":true,`
		}
		n := 1_000_000*(m+100) + 100*i
		docs = append(docs,
			fmt.Sprintf(`{%s"id":"%016x","name":"front","trace_id":%q,"start_time":%f,"end_time":%f,"subsegments":[{%s"id":"%016x","name":"cart","namespace":"remote","start_time":%f,"end_time":%f}]}`,
				flag, n, id, at, at+0.5, flag, n+1, at+0.1, at+0.4),
			fmt.Sprintf(`{%s"id":"%016x","name":"cart","parent_id":"%016x","trace_id":%q,"start_time":%f,"end_time":%f,"subsegments":[{"id":"%016x","name":"DynamoDB","namespace":"aws","aws":{"table_name":"carts"},"start_time":%f,"end_time":%f}]}`,
				flag, n+2, n+1, id, at+0.1, at+0.3, n+3, at+0.1, at+0.2))
	}
	// Something that always fails a little is as expected.
	id := fmt.Sprintf("1-%08x-%024x", insightBase+60*m, 1000*m+999)
	for i := range 12 {
		flag := ""
		if i == m%12 {
			flag = `"fault":true,`
		}
		docs = append(docs, fmt.Sprintf(`{%s"id":"%016x","name":"flaky","trace_id":%q,"start_time":%d,"end_time":%d.1}`, flag, 1_000_000*(m+100)+90_000+i, id, insightBase+60*m+i, insightBase+60*m+i))
	}
	if refused := f.put(t, docs...); len(refused) > 0 {
		t.Fatal(refused)
	}
}

// TestInsights watches a group while a service begins to fail, fails, and recovers.
func TestInsights(t *testing.T) {
	dir := t.TempDir()
	at := func(m int) time.Time { return time.Unix(insightBase+60*int64(m), 0) }
	window := func(more string) string {
		return fmt.Sprintf(`{"GroupName":"watched","StartTime":%d,"EndTime":%d%s}`, time.Now().Unix()-29*86400, time.Now().Unix(), more)
	}
	summaries := func(f *fixture) []any {
		t.Helper()
		// The list asks for insights of the last 30 days; these are of 2020.
		var out []any
		list, err := f.server.InsightsOf(t.Context(), "watched")
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range list {
			out = append(out, f.ok(t, "/Insight", fmt.Sprintf(`{"InsightId":%q}`, id))["Insight"])
		}
		return out
	}
	const failsFrom, failsTo, end = 70, 82, 105
	t.Run("first", func(t *testing.T) {
		f := start(t, dir)
		f.ok(t, "/CreateGroup", `{"GroupName":"watched","FilterExpression":"service(\"front\") OR service(\"flaky\")","InsightsConfiguration":{"InsightsEnabled":true}}`)
		f.ok(t, "/CreateGroup", `{"GroupName":"other"}`)
		for m := range failsFrom {
			minute(t, f, m, 20, 0)
		}
		if err := f.server.Tend(t.Context(), at(failsFrom+1)); err != nil {
			t.Fatal(err)
		}
		if got := summaries(f); len(got) != 0 {
			t.Fatalf("insights of what is as expected: %v", got)
		}
		for m := failsFrom; m < failsFrom+5; m++ {
			minute(t, f, m, 20, 12)
			if err := f.server.Tend(t.Context(), at(m+2)); err != nil {
				t.Fatal(err)
			}
		}
		got := summaries(f)
		if len(got) != 1 {
			t.Fatalf("%d insights, want 1", len(got))
		}
		i := got[0].(map[string]any)
		causes := i["RootCauseServiceRequestImpactStatistics"].(map[string]any)
		clients := i["ClientRequestImpactStatistics"].(map[string]any)
		if i["State"] != "ACTIVE" || i["EndTime"] != nil || i["RootCauseServiceId"].(map[string]any)["Name"] != "cart" || i["StartTime"] != float64(insightBase+60*failsFrom) ||
			causes["FaultCount"] != 60.0 || causes["TotalCount"] != 100.0 || causes["OkCount"] != 40.0 || clients["FaultCount"] != 60.0 || clients["TotalCount"] != 100.0 {
			t.Errorf("insight %v", i)
		}
		if len(i["TopAnomalousServices"].([]any)) != 2 || len(strings.Split(i["Summary"].(string), ".")) < 3 {
			t.Errorf("insight %v", i)
		}
	})
	f := start(t, dir)
	for m := failsFrom + 5; m < end; m++ {
		failing := 0
		if m < failsTo {
			failing = 12
		}
		minute(t, f, m, 20, failing)
		if err := f.server.Tend(t.Context(), at(m+2)); err != nil {
			t.Fatal(err)
		}
	}
	got := summaries(f)
	if len(got) != 1 {
		t.Fatalf("%d insights after a restart, want 1", len(got))
	}
	i := got[0].(map[string]any)
	if i["State"] != "CLOSED" || i["EndTime"] != float64(insightBase+60*failsTo) {
		t.Errorf("insight at the end %v", i)
	}
	id := i["InsightId"].(string)
	events := f.ok(t, "/InsightEvents", fmt.Sprintf(`{"InsightId":%q}`, id))["InsightEvents"].([]any)
	if n := len(events); n < 2 || !strings.Contains(events[0].(map[string]any)["Summary"].(string), "as expected again") {
		t.Errorf("events %v", events)
	}
	token, seen := "", 0
	for range len(events) {
		out := f.ok(t, "/InsightEvents", fmt.Sprintf(`{"InsightId":%q,"MaxResults":1,"NextToken":%q}`, id, token))
		seen += len(out["InsightEvents"].([]any))
		token, _ = out["NextToken"].(string)
	}
	if seen != len(events) || token != "" {
		t.Errorf("%d of %d events by pages, token %q", seen, len(events), token)
	}
	graph := f.ok(t, "/InsightImpactGraph", fmt.Sprintf(`{"InsightId":%q,"StartTime":%d,"EndTime":%d}`, id, insightBase+60*failsFrom, insightBase+60*failsTo))
	names := map[string]int{}
	for _, s := range graph["Services"].([]any) {
		s := s.(map[string]any)
		names[fmt.Sprint(s["Name"], " ", s["Type"])] = len(s["Edges"].([]any))
	}
	if fmt.Sprint(names) != "map[cart :0 front :1 front client:1]" {
		t.Errorf("impact graph %v", names)
	}
	// A forecast is the band that insights judge by.
	series := f.ok(t, "/TimeSeriesServiceStatistics", fmt.Sprintf(`{"StartTime":%d,"EndTime":%d,"Period":60,"ForecastStatistics":true,"EntitySelectorExpression":"service(id(name: \"cart\"))"}`, insightBase+60*failsFrom, insightBase+60*failsFrom+120))["TimeSeriesServiceStatistics"].([]any)
	if len(series) != 2 {
		t.Fatalf("series %v", series)
	}
	for k, high := range []float64{3, 3} {
		r := series[k].(map[string]any)
		if band := r["ServiceForecastStatistics"].(map[string]any); band["FaultCountHigh"] != high || band["FaultCountLow"] != 0.0 || r["ServiceSummaryStatistics"].(map[string]any)["FaultStatistics"].(map[string]any)["TotalCount"] != 12.0 {
			t.Errorf("minute %d of the series: %v", k, r)
		}
	}
	if n := len(f.ok(t, "/InsightSummaries", window(""))["InsightSummaries"].([]any)); n != 0 {
		t.Errorf("%d insights of the last month", n)
	}
	// Insights of today.
	old, err := f.meta.XRayInsight(t.Context(), "bootcamp", id)
	if err != nil {
		t.Fatal(err)
	}
	change := meta.XRayInsightChange{Minute: meta.XRayInsightMinute{Minute: 1, Anomalous: "[]", Graph: []byte{0}}}
	now := time.Now()
	for k := range 5 {
		again := old
		again.ID = fmt.Sprintf("00000000-0000-4000-8000-%012d", k)
		again.Started, again.Ended = now.Add(-time.Duration(k)*time.Hour-time.Minute), time.Time{}
		if k > 2 {
			again.Ended = again.Started.Add(time.Minute)
		}
		change.Insights = append(change.Insights, again)
	}
	if err := f.meta.ChangeXRayInsights(t.Context(), "bootcamp", "watched", change); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		more string
		want string
	}{{"", "0 1 2 3 4"}, {`,"States":["ACTIVE"]`, "0 1 2"}, {`,"States":["CLOSED"],"MaxResults":1`, "3 4"}} {
		var got []string
		token := ""
		for {
			out := f.ok(t, "/InsightSummaries", window(fmt.Sprintf(`%s,"NextToken":%q`, c.more, token)))
			for _, id := range list(t, out["InsightSummaries"], "InsightId") {
				got = append(got, id[len(id)-1:])
			}
			if token, _ = out["NextToken"].(string); token == "" {
				break
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("insights with %s: %q, want %q", c.more, got, c.want)
		}
	}
	for path, body := range map[string]string{
		"/InsightSummaries":   `{"GroupName":"watched","StartTime":1600000000,"EndTime":1600000600}`,
		"/Insight":            `{"InsightId":"x"}`,
		"/InsightEvents":      fmt.Sprintf(`{"InsightId":%q,"MaxResults":51}`, id),
		"/InsightImpactGraph": fmt.Sprintf(`{"InsightId":%q,"StartTime":1600000000,"EndTime":1600030000}`, id),
	} {
		if _, code := f.call(t, path, body); code != "InvalidRequestException" {
			t.Errorf("%s %s: %q", path, body, code)
		}
	}
	for _, c := range []struct {
		filter string
		want   int
	}{{`insight.id = "` + id + `"`, 12 * (failsTo - failsFrom)}, {`insight.category = "FAULT"`, 12 * (failsTo - failsFrom)}, {`insight.id = "none"`, 0}, {`insight.id`, 12 * (failsTo - failsFrom)}, {`!insight.id service("front") fault`, 0}} {
		n, token := 0, ""
		for {
			out := f.ok(t, "/TraceSummaries", fmt.Sprintf(`{"StartTime":%d,"EndTime":%d,"FilterExpression":%q,"NextToken":%q}`, insightBase, insightBase+60*end, c.filter, token))
			n += len(out["TraceSummaries"].([]any))
			if token, _ = out["NextToken"].(string); token == "" {
				break
			}
		}
		if n != c.want {
			t.Errorf("%s: %d traces, want %d", c.filter, n, c.want)
		}
	}
}
