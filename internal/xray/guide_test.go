package xray_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestGuideGraph makes the service graph of the developer guide, "Getting data from AWS X-Ray": four
// requests to an instance, two of which use a table and a topic.
func TestGuideGraph(t *testing.T) {
	f := start(t, t.TempDir())
	const from = 1528317567
	doc := func(n int, at, long float64, more string, subs ...string) string {
		return fmt.Sprintf(`{"name":"xray-sample.elasticbeanstalk.com","origin":"AWS::EC2::Instance","id":"%016x","trace_id":"1-%08x-%024x","start_time":%.3f,"end_time":%.3f%s,"subsegments":[%s]}`,
			n, from, n, from+at, from+at+long, more, strings.Join(subs, ","))
	}
	sub := func(n int, name, aws string, at, long float64) string {
		return fmt.Sprintf(`{"name":%q,"namespace":"aws","aws":%s,"id":"%016x","start_time":%.3f,"end_time":%.3f}`, name, aws, n, from+at, from+at+long)
	}
	table := `{"operation":"PutItem","table_name":"awseb-e-dixzws4s9p-stack-StartupSignupsTable-4IMSMHAYX2BA"}`
	topic := `{"operation":"Publish","topic_arn":"arn:aws:sns:us-east-2:123456789012:topic"}`
	if refused := f.put(t,
		doc(1, 0, 0.005, `,"error":true,"http":{"response":{"status":404}}`),
		doc(2, 0.5, 0.015, ""),
		doc(3, 16, 0.157, "", sub(31, "DynamoDB", table, 16.001, 0.076), sub(32, "SNS", topic, 16.08, 0.049)),
		doc(4, 21.9, 0.096, "", sub(41, "DynamoDB", table, 21.9, 0.044), sub(42, "SNS", topic, 21.92, 0.076)),
	); len(refused) > 0 {
		t.Fatal(refused)
	}
	out := f.ok(t, "/ServiceGraph", fmt.Sprintf(`{"StartTime":%d,"EndTime":%d}`, from-300, from+300))
	// What the guide prints, by nodes; times but for those of the root are left out.
	want := `
xray-sample.elasticbeanstalk.com client unknown [] -> xray-sample.elasticbeanstalk.com AWS::EC2::Instance 3/1/0/4 0.273 [0.005 0.015 0.096 0.157]
awseb-e-dixzws4s9p-stack-StartupSignupsTable-4IMSMHAYX2BA AWS::DynamoDB::Table unknown [0.044 0.076] 2/0/0/2 0.12
xray-sample.elasticbeanstalk.com AWS::EC2::Instance active [0.005 0.015 0.096 0.157] 3/1/0/4 0.273 root 1528317567 1528317588 -> SNS AWS::SNS 2/0/0/2 0.125 [0.049 0.076] -> awseb-e-dixzws4s9p-stack-StartupSignupsTable-4IMSMHAYX2BA AWS::DynamoDB::Table 2/0/0/2 0.12 [0.044 0.076]
SNS AWS::SNS unknown [0.049 0.076] 2/0/0/2 0.125`
	services := out["Services"].([]any)
	name := func(s map[string]any) string { return fmt.Sprint(s["Name"], " ", s["Type"]) }
	counts := func(v any) string {
		st := v.(map[string]any)
		failed, faults := st["ErrorStatistics"].(map[string]any), st["FaultStatistics"].(map[string]any)
		if failed["TotalCount"] != failed["ThrottleCount"].(float64)+failed["OtherCount"].(float64) || faults["TotalCount"] != faults["OtherCount"] {
			t.Errorf("statistics %v", st)
		}
		return fmt.Sprintf("%v/%v/%v/%v %v", st["OkCount"], failed["TotalCount"], faults["TotalCount"], st["TotalCount"], st["TotalResponseTime"])
	}
	values := func(v any) string {
		var out []string
		list, _ := v.([]any)
		for _, h := range list {
			h := h.(map[string]any)
			if h["Count"] != 1.0 {
				t.Errorf("histogram %v", list)
			}
			out = append(out, fmt.Sprint(h["Value"]))
		}
		return "[" + strings.Join(out, " ") + "]"
	}
	got := map[string]bool{}
	for _, s := range services {
		s := s.(map[string]any)
		line := name(s) + " " + s["State"].(string) + " " + values(s["ResponseTimeHistogram"])
		if s["SummaryStatistics"] != nil {
			line += " " + counts(s["SummaryStatistics"])
			if values(s["DurationHistogram"]) != values(s["ResponseTimeHistogram"]) {
				t.Errorf("histograms of %s: %v, %v", name(s), s["DurationHistogram"], s["ResponseTimeHistogram"])
			}
		}
		if s["Root"] == true {
			line += fmt.Sprintf(" root %.0f %.0f", s["StartTime"], s["EndTime"])
		}
		for _, e := range s["Edges"].([]any) {
			e := e.(map[string]any)
			if len(e["Aliases"].([]any)) != 0 {
				t.Errorf("aliases %v", e)
			}
			line += " -> " + name(services[int(e["ReferenceId"].(float64))].(map[string]any)) + " " + counts(e["SummaryStatistics"]) + " " + values(e["ResponseTimeHistogram"])
		}
		got[line] = true
	}
	wanted := map[string]bool{}
	for _, line := range strings.Split(strings.TrimSpace(want), "\n") {
		wanted[line] = true
	}
	if d := cmp.Diff(wanted, got); d != "" {
		t.Error(d)
	}
}

// TestGuideTrace has the shape of the guide's trace of Scorekeep: a function that was called through
// AWS has two segments, calls of AWS have inferred ones.
func TestGuideTrace(t *testing.T) {
	f := start(t, t.TempDir())
	const id = "1-59602603-23fc5b688855d396af79b496"
	if refused := f.put(t,
		`{"id":"00f91aa01f4984fd","name":"random-name","start_time":1.49947341283E9,"end_time":1.49947341457E9,"parent_id":"1fb07842d944e714","trace_id":"`+id+`","origin":"AWS::Lambda::Function","aws":{"account_id":"123456789012"},
			"subsegments":[{"id":"b29b548af4d54a0f","name":"SNS","start_time":1.499473413112E9,"end_time":1.499473414071E9,"http":{"response":{"status":200}},"aws":{"operation":"Publish","topic_arn":"arn:aws:sns:us-west-2:123456789012:topic","retries":0},"namespace":"aws"},
			{"id":"2279c0030c955e52","name":"Initialization","start_time":1.499473412064E9,"end_time":1.499473412819E9}]}`,
		`{"id":"194fcc8747581230","name":"Scorekeep","start_time":1.499473411562E9,"end_time":1.499473414794E9,"trace_id":"`+id+`","origin":"AWS::ElasticBeanstalk::Environment","user":"5M388M1E","http":{"request":{"url":"http://example.com/api/user","method":"POST"},"response":{"status":200}},
			"subsegments":[{"id":"0c544c1b1bbff948","name":"Lambda","start_time":1.499473411629E9,"end_time":1.499473414572E9,"aws":{"function_name":"random-name","operation":"Invoke"},"namespace":"aws"},
			{"id":"071684f2e555e571","name":"## UserModel.saveUser","start_time":1.499473414581E9,"end_time":1.499473414769E9,"subsegments":[{"id":"4cd3f10b76c624b4","name":"DynamoDB","start_time":1.49947341469E9,"end_time":1.499473414769E9,"http":{"response":{"status":200,"content_length":57}},"aws":{"table_name":"scorekeep-user","operation":"UpdateItem"},"namespace":"aws"}]}]}`,
		`{"id":"1fb07842d944e714","name":"random-name","start_time":1.499473411677E9,"end_time":1.499473414572E9,"parent_id":"0c544c1b1bbff948","http":{"response":{"status":200}},"trace_id":"`+id+`","origin":"AWS::Lambda","resource_arn":"arn:aws:lambda:us-west-2:123456789012:function:random-name"}`,
	); len(refused) > 0 {
		t.Fatal(refused)
	}
	tr := f.ok(t, "/Traces", `{"TraceIds":["`+id+`"]}`)["Traces"].([]any)[0].(map[string]any)
	if tr["Duration"] != 3.232 {
		t.Errorf("duration %v, want 3.232", tr["Duration"])
	}
	got := map[string]map[string]any{}
	for _, s := range tr["Segments"].([]any) {
		s := s.(map[string]any)
		var d map[string]any
		if err := json.Unmarshal([]byte(s["Document"].(string)), &d); err != nil || d["id"] != s["Id"] {
			t.Fatalf("%v: %v", s, err)
		}
		got[fmt.Sprint(d["name"], " ", d["origin"])] = d
	}
	want := map[string]map[string]any{
		"DynamoDB AWS::DynamoDB::Table": {
			"name": "DynamoDB", "start_time": 1499473414.69, "end_time": 1499473414.769, "parent_id": "4cd3f10b76c624b4", "inferred": true, "trace_id": id, "origin": "AWS::DynamoDB::Table",
			"http": map[string]any{"response": map[string]any{"status": 200.0, "content_length": 57.0}}, "aws": map[string]any{"table_name": "scorekeep-user", "operation": "UpdateItem"},
		},
		"SNS AWS::SNS": {
			"name": "SNS", "start_time": 1499473413.112, "end_time": 1499473414.071, "parent_id": "b29b548af4d54a0f", "inferred": true, "trace_id": id, "origin": "AWS::SNS",
			"http": map[string]any{"response": map[string]any{"status": 200.0}}, "aws": map[string]any{"topic_arn": "arn:aws:sns:us-west-2:123456789012:topic", "operation": "Publish", "retries": 0.0},
		},
	}
	for name, d := range want {
		id, _ := got[name]["id"].(string)
		if len(id) != 16 {
			t.Errorf("%s has the id %q", name, id)
		}
		delete(got[name], "id")
		if diff := cmp.Diff(d, got[name]); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	for _, name := range []string{"random-name AWS::Lambda", "random-name AWS::Lambda::Function", "Scorekeep AWS::ElasticBeanstalk::Environment"} {
		if got[name] == nil {
			t.Errorf("%s is missing", name)
		}
	}
	if len(got) != 5 {
		t.Errorf("%d segments, want 5", len(got))
	}
	sum := f.ok(t, "/TraceSummaries", `{"StartTime":1499473400,"EndTime":1499473500}`)["TraceSummaries"].([]any)[0].(map[string]any)
	if sum["ResponseTime"] != 3.232 || sum["Duration"] != 3.232 || fmt.Sprint(sum["Users"].([]any)[0].(map[string]any)["UserName"]) != "5M388M1E" {
		t.Errorf("summary %v", sum)
	}
}
