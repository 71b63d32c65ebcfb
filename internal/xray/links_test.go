package xray_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestLinks draws what a producer put into a queue and a consumer took out in another trace, and a link
// to what is not there.
func TestLinks(t *testing.T) {
	f := start(t, t.TempDir())
	f.server.KeepAtOnce()
	id := func(n int) string { return fmt.Sprintf("1-%08x-%024x", base+n, n) }
	at := func(s float64) string { return fmt.Sprintf("%.3f", base+s) }
	consumer := func(n int, s float64, links string) string {
		return `{"id":"` + fmt.Sprintf("%016x", 100+n) + `","name":"worker","origin":"AWS::Lambda::Function","trace_id":"` + id(n) + `","start_time":` + at(s) + `,"end_time":` + at(s+0.2) + `,"links":[` + links + `]}`
	}
	link := func(trace string, id string) string { return `{"trace_id":"` + trace + `","id":"` + id + `"}` }
	if refused := f.put(t,
		`{"id":"0000000000000001","name":"shop","trace_id":"`+id(0)+`","start_time":`+at(0)+`,"end_time":`+at(1)+`,"subsegments":[
			{"id":"0000000000000002","name":"SQS","namespace":"aws","aws":{"queue_url":"https://sqs/1/jobs"},"start_time":`+at(0.1)+`,"end_time":`+at(0.5)+`}]}`,
		consumer(1, 2.5, link(id(0), "0000000000000002")),
		consumer(2, 3.5, link(id(0), "0000000000000002")+","+link(id(9), "0000000000000001")),
		consumer(3, 200, link(id(0), "0000000000000001")),
	); len(refused) > 0 {
		t.Fatal(refused)
	}
	want := []string{
		"client shop -> shop 1",
		"jobs -> worker 2 link [2 3]",
		"shop -> jobs 1",
		"shop -> worker 1 link [199]",
		"client worker -> worker 3",
	}
	read := func(path, body string) []string {
		var got []string
		services := f.ok(t, path, body)["Services"].([]any)
		for _, s := range services {
			s := s.(map[string]any)
			for _, e := range s["Edges"].([]any) {
				e := e.(map[string]any)
				line := fmt.Sprintf("%v -> %v %v", s["Name"], services[int(e["ReferenceId"].(float64))].(map[string]any)["Name"], e["SummaryStatistics"].(map[string]any)["TotalCount"])
				if s["Type"] == "client" {
					line = "client " + line
				}
				if e["EdgeType"] != nil {
					var ages []string
					for _, h := range e["ReceivedEventAgeHistogram"].([]any) {
						ages = append(ages, fmt.Sprint(h.(map[string]any)["Value"]))
					}
					line += fmt.Sprintf(" %v [%s]", e["EdgeType"], strings.Join(ages, " "))
				}
				got = append(got, line)
			}
		}
		return got
	}
	sorted := cmp.Transformer("set", func(list []string) map[string]bool {
		m := map[string]bool{}
		for _, s := range list {
			m[s] = true
		}
		return m
	})
	for range 2 { // the second time from kept minutes
		if d := cmp.Diff(want, read("/ServiceGraph", fmt.Sprintf(`{"StartTime":%d,"EndTime":%d}`, base-600, base+600)), sorted); d != "" {
			t.Error(d)
		}
	}
	if d := cmp.Diff(want, read("/TraceGraph", `{"TraceIds":["`+id(0)+`","`+id(1)+`","`+id(2)+`","`+id(3)+`"]}`), sorted); d != "" {
		t.Error(d)
	}
	// The producer comes late, and its link is found.
	if refused := f.put(t, `{"id":"0000000000000001","name":"late","trace_id":"`+id(9)+`","start_time":`+at(1)+`,"end_time":`+at(1.5)+`}`); len(refused) > 0 {
		t.Fatal(refused)
	}
	want = append(want, "late -> worker 1 link [2]", "client late -> late 1")
	if d := cmp.Diff(want, read("/ServiceGraph", fmt.Sprintf(`{"StartTime":%d,"EndTime":%d}`, base-600, base+600)), sorted); d != "" {
		t.Error(d)
	}
	token := f.ok(t, "/StartTraceRetrieval", fmt.Sprintf(`{"TraceIds":[%q],"StartTime":1,"EndTime":2}`, id(2)))["RetrievalToken"]
	for _, s := range f.ok(t, "/GetRetrievedTracesGraph", fmt.Sprintf(`{"RetrievalToken":%q}`, token))["Services"].([]any) {
		s := s.(map[string]any)
		if svc := s["Service"].(map[string]any); svc["Name"] == "worker" && svc["Type"] != "client" {
			links := s["Links"].([]any)
			if len(links) != 1 || links[0].(map[string]any)["SourceTraceId"] != id(2) || fmt.Sprint(links[0].(map[string]any)["DestinationTraceIds"]) != fmt.Sprintf("[%s %s]", id(0), id(9)) {
				t.Errorf("links %v", links)
			}
		}
	}
}
