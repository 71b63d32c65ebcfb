package xray_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/ingest"
	"github.com/trefoil-o11y/trefoil/internal/meta"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/xray"
)

// expect calls and compares the code: "" is a success.
func (f *fixture) expect(t *testing.T, path, body, want string) map[string]any {
	t.Helper()
	out, code := f.call(t, path, body)
	if code != want {
		t.Errorf("%s %.200s: %q %v, want %q", path, body, code, out["Message"], want)
	}
	return out
}

const invalid = "InvalidRequestException"

func TestGroups(t *testing.T) {
	f := start(t, t.TempDir())
	g := f.expect(t, "/CreateGroup", `{"GroupName":"Cruddur","FilterExpression":"service(\"backend-flask\")","Tags":[{"Key":"a","Value":"b"}]}`, "")["Group"].(map[string]any)
	arn := g["GroupARN"].(string)
	if !strings.HasPrefix(arn, "arn:aws:xray:us-east-1:123456789012:group/Cruddur/") || g["FilterExpression"] != `service("backend-flask")` {
		t.Errorf("group %v", g)
	}
	short := arn[:strings.LastIndexByte(arn, '/')]
	for _, body := range []string{
		`{}`, `{"GroupName":"Cruddur"}`, `{"GroupName":"Default"}`, `{"GroupName":"a/b"}`, `{"GroupName":"` + strings.Repeat("x", 33) + `"}`, `{"GroupName":"x","FilterExpression":"service(\"x\" {"}`,
		`{"GroupName":"x","FilterExpression":"group.name = \"Cruddur\""}`, `{"GroupName":"x","InsightsConfiguration":{"NotificationsEnabled":true}}`, `{"GroupName":"x","Tags":[{"Key":"aws:x","Value":""}]}`,
	} {
		f.expect(t, "/CreateGroup", body, invalid)
	}
	for _, body := range []string{`{"GroupName":"Cruddur"}`, `{"GroupARN":"` + arn + `"}`, `{"GroupARN":"` + short + `"}`, `{"GroupName":"Default"}`} {
		f.expect(t, "/GetGroup", body, "")
	}
	for _, body := range []string{`{}`, `{"GroupName":"cruddur"}`, `{"GroupARN":"` + short + `/OTHER"}`, `{"GroupARN":"x"}`} {
		f.expect(t, "/GetGroup", body, invalid)
		f.expect(t, "/DeleteGroup", body, invalid)
		f.expect(t, "/UpdateGroup", body, invalid)
	}
	f.expect(t, "/UpdateGroup", `{"GroupARN":"`+arn+`","FilterExpression":"fault","InsightsConfiguration":{"InsightsEnabled":true}}`, "")
	f.expect(t, "/UpdateGroup", `{"GroupName":"Default","InsightsConfiguration":{"InsightsEnabled":true}}`, "")
	f.expect(t, "/UpdateGroup", `{"GroupName":"Default","FilterExpression":"ok"}`, invalid)
	f.expect(t, "/DeleteGroup", `{"GroupName":"Default"}`, invalid)
	got := compact(t, f.expect(t, "/Groups", ``, "")["Groups"])
	want := `[{"GroupARN":"arn:aws:xray:us-east-1:123456789012:group/Default","GroupName":"Default","InsightsConfiguration":{"InsightsEnabled":true,"NotificationsEnabled":false}},` +
		`{"FilterExpression":"fault","GroupARN":"` + arn + `","GroupName":"Cruddur","InsightsConfiguration":{"InsightsEnabled":true,"NotificationsEnabled":false}}]`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}

	f.expect(t, "/TagResource", `{"ResourceARN":"`+short+`","Tags":[{"Key":"c","Value":"d"}]}`, "")
	f.expect(t, "/UntagResource", `{"ResourceARN":"`+arn+`","TagKeys":["a","none"]}`, "")
	if got := compact(t, f.expect(t, "/ListTagsForResource", `{"ResourceARN":"`+arn+`"}`, "")["Tags"]); got != `[{"Key":"c","Value":"d"}]` {
		t.Errorf("tags %s", got)
	}
	if out := f.expect(t, "/ListTagsForResource", `{"ResourceARN":"arn:aws:xray:us-east-1:123456789012:group/None/X"}`, "ResourceNotFoundException"); out["ResourceName"] == nil {
		t.Errorf("%v", out)
	}
	var tags []string
	for i := range 51 {
		tags = append(tags, fmt.Sprintf(`{"Key":"k%d","Value":""}`, i))
	}
	f.expect(t, "/TagResource", `{"ResourceARN":"`+arn+`","Tags":[`+strings.Join(tags, ",")+`]}`, "TooManyTagsException")

	f.expect(t, "/DeleteGroup", `{"GroupARN":"`+short+`"}`, "")
	f.expect(t, "/ListTagsForResource", `{"ResourceARN":"`+arn+`"}`, "ResourceNotFoundException")
	for i := range 25 {
		f.expect(t, "/CreateGroup", fmt.Sprintf(`{"GroupName":"g%d"}`, i), "")
	}
	f.expect(t, "/CreateGroup", `{"GroupName":"g25"}`, invalid)
}

func rule(name string, more string) string {
	return `{"SamplingRule":{"RuleName":"` + name + `","ResourceARN":"*","Priority":9000,"FixedRate":0.1,"ReservoirSize":5,"ServiceName":"backend-flask","ServiceType":"*","Host":"*","HTTPMethod":"*","URLPath":"*","Version":1` + more + `}}`
}

func TestSamplingRules(t *testing.T) {
	f := start(t, t.TempDir())
	created := f.expect(t, "/CreateSamplingRule", rule("Cruddur", ""), "")["SamplingRuleRecord"].(map[string]any)
	want := map[string]any{
		"RuleName": "Cruddur", "RuleARN": "arn:aws:xray:us-east-1:123456789012:sampling-rule/Cruddur", "ResourceARN": "*", "Priority": 9000.0, "FixedRate": 0.1, "ReservoirSize": 5.0,
		"ServiceName": "backend-flask", "ServiceType": "*", "Host": "*", "HTTPMethod": "*", "URLPath": "*", "Version": 1.0, "Attributes": map[string]any{},
	}
	if diff := cmp.Diff(want, created["SamplingRule"]); diff != "" {
		t.Error(diff)
	}
	for _, body := range []string{
		`{}`, rule("Cruddur", ""), rule("Default", ""), rule("", ""), rule(strings.Repeat("x", 33), ""), rule("x", `,"Priority":0`), rule("x", `,"Priority":10000`), rule("x", `,"FixedRate":1.1`),
		rule("x", `,"ReservoirSize":-1`), rule("x", `,"Version":2`), rule("x", `,"HTTPMethod":"ABCDEFGHIJK"`), rule("x", `,"Attributes":{"":"x"}`), rule("x", `,"Host":null`),
		rule("x", `,"SamplingRateBoost":{"MaxRate":2,"CooldownWindowMinutes":1}`),
	} {
		f.expect(t, "/CreateSamplingRule", body, invalid)
	}
	out := f.expect(t, "/GetSamplingRules", ``, "")
	names := []string{}
	for _, r := range out["SamplingRuleRecords"].([]any) {
		r := r.(map[string]any)
		names = append(names, r["SamplingRule"].(map[string]any)["RuleName"].(string))
		if _, ok := r["ModifiedAt"].(float64); !ok {
			t.Errorf("record %v", r)
		}
	}
	if diff := cmp.Diff([]string{"Cruddur", "Default"}, names); diff != "" || out["NextToken"] != nil {
		t.Error(diff)
	}
	for _, body := range []string{
		`{"SamplingRuleUpdate":{}}`, `{"SamplingRuleUpdate":{"RuleName":"None"}}`, `{"SamplingRuleUpdate":{"RuleName":"Default","Priority":5}}`,
		`{"SamplingRuleUpdate":{"RuleName":"Cruddur","RuleARN":"arn:aws:xray:us-east-1:123456789012:sampling-rule/Cruddur"}}`, `{"SamplingRuleUpdate":{"RuleName":"Cruddur","FixedRate":-1}}`,
	} {
		f.expect(t, "/UpdateSamplingRule", body, invalid)
	}
	f.expect(t, "/UpdateSamplingRule", `{"SamplingRuleUpdate":{"RuleName":"Default","FixedRate":0.5,"ReservoirSize":3}}`, "")
	upd := f.expect(t, "/UpdateSamplingRule", `{"SamplingRuleUpdate":{"RuleARN":"arn:aws:xray:us-east-1:123456789012:sampling-rule/Cruddur","Host":"h"}}`, "")["SamplingRuleRecord"].(map[string]any)
	if r := upd["SamplingRule"].(map[string]any); r["Host"] != "h" || r["Priority"] != 9000.0 || upd["CreatedAt"] != created["CreatedAt"] {
		t.Errorf("updated %v", upd)
	}
	f.expect(t, "/DeleteSamplingRule", `{"RuleName":"Default"}`, invalid)
	for _, body := range []string{`{}`, `{"RuleName":"None"}`, `{"RuleARN":"arn:aws:xray:r:a:group/x"}`} {
		f.expect(t, "/DeleteSamplingRule", body, invalid)
	}
	for i := range 24 {
		f.expect(t, "/CreateSamplingRule", rule(fmt.Sprint("r", i), ""), "")
	}
	f.expect(t, "/CreateSamplingRule", rule("r24", ""), "RuleLimitExceededException")
	f.expect(t, "/DeleteSamplingRule", `{"RuleName":"Cruddur"}`, "")
	f.expect(t, "/CreateSamplingRule", rule("r24", ""), "")
}

func TestSamplingTargets(t *testing.T) {
	f := start(t, t.TempDir())
	f.expect(t, "/CreateSamplingRule", rule("Cruddur", ""), "")
	report := func(rule, client string, requests int, at float64) string {
		return fmt.Sprintf(`{"RuleName":%q,"ClientID":%q,"RequestCount":%d,"BorrowCount":1,"SampledCount":2,"Timestamp":%f}`, rule, client, requests, at)
	}
	now := float64(time.Now().Unix())
	quota := func(body string) float64 {
		t.Helper()
		out := f.expect(t, "/SamplingTargets", `{"SamplingStatisticsDocuments":[`+body+`]}`, "")
		docs := out["SamplingTargetDocuments"].([]any)
		if len(docs) != 1 {
			t.Fatalf("%v", out)
		}
		d := docs[0].(map[string]any)
		if d["Interval"] != 10.0 || d["FixedRate"] != 0.1 || d["ReservoirQuotaTTL"].(float64) < now+290 {
			t.Errorf("target %v", d)
		}
		return d["ReservoirQuota"].(float64)
	}
	if q := quota(report("Cruddur", "a", 100, now)); q != 5 {
		t.Errorf("a client alone gets %v of 5", q)
	}
	if q := quota(report("Cruddur", "b", 25, now)); q != 1 {
		t.Errorf("a client with a fifth of the demand gets %v of 5", q)
	}
	out := f.expect(t, "/SamplingTargets", `{"SamplingStatisticsDocuments":[`+report("None", "a", 1, now)+","+report("Cruddur", "a", 1, now-400)+`,{"RuleName":"Cruddur"}]}`, "")
	codes := []string{}
	for _, u := range out["UnprocessedStatistics"].([]any) {
		codes = append(codes, u.(map[string]any)["ErrorCode"].(string))
	}
	if diff := cmp.Diff([]string{"404", "400", "400"}, codes); diff != "" {
		t.Error(diff)
	}
	changed := out["LastRuleModification"].(float64)
	if changed < now-60 || changed > now+60 {
		t.Errorf("last change %v", changed)
	}
	if again := f.expect(t, "/SamplingTargets", `{"SamplingStatisticsDocuments":[]}`, "")["LastRuleModification"]; again != changed {
		t.Errorf("the last change moves: %v, %v", changed, again)
	}
	f.expect(t, "/SamplingTargets", `{}`, invalid)
	total := 0.0
	for _, s := range f.expect(t, "/SamplingStatisticSummaries", ``, "")["SamplingStatisticSummaries"].([]any) {
		total += s.(map[string]any)["RequestCount"].(float64)
	}
	if total != 125 {
		t.Errorf("statistics count %v requests, want 125", total)
	}
}

// TestSmallOperations walks through those that keep a choice.
func TestSmallOperations(t *testing.T) {
	f := start(t, t.TempDir())
	sees := func(path, body, want string) {
		t.Helper()
		if got := compact(t, f.expect(t, path, body, "")); got != want {
			t.Errorf("%s %s\n got %s\nwant %s", path, body, got, want)
		}
	}
	sees("/EncryptionConfig", ``, `{"EncryptionConfig":{"Status":"ACTIVE","Type":"NONE"}}`)
	sees("/PutEncryptionConfig", `{"Type":"KMS","KeyId":"alias/x"}`, `{"EncryptionConfig":{"KeyId":"alias/x","Status":"UPDATING","Type":"KMS"}}`)
	sees("/EncryptionConfig", `{}`, `{"EncryptionConfig":{"KeyId":"alias/x","Status":"ACTIVE","Type":"KMS"}}`)
	for _, body := range []string{`{}`, `{"Type":"KMS"}`, `{"Type":"X"}`, `{"Type":"NONE","KeyId":"x"}`} {
		f.expect(t, "/PutEncryptionConfig", body, invalid)
	}
	sees("/GetTraceSegmentDestination", ``, `{"Destination":"XRay","Status":"ACTIVE"}`)
	sees("/UpdateTraceSegmentDestination", `{"Destination":"CloudWatchLogs"}`, `{"Destination":"CloudWatchLogs","Status":"PENDING"}`)
	sees("/GetTraceSegmentDestination", ``, `{"Destination":"CloudWatchLogs","Status":"ACTIVE"}`)
	f.expect(t, "/UpdateTraceSegmentDestination", `{"Destination":"x"}`, invalid)
	f.expect(t, "/GetIndexingRules", ``, "")
	f.expect(t, "/UpdateIndexingRule", `{"Name":"Default","Rule":{"Probabilistic":{"DesiredSamplingPercentage":10}}}`, "")
	f.expect(t, "/UpdateIndexingRule", `{"Name":"x","Rule":{"Probabilistic":{"DesiredSamplingPercentage":10}}}`, "ResourceNotFoundException")
	f.expect(t, "/UpdateIndexingRule", `{"Name":"Default","Rule":{}}`, invalid)

	doc := `"PolicyDocument":"{\"Statement\":{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"xray:*\",\"Resource\":\"*\"}}"`
	if p := f.expect(t, "/PutResourcePolicy", `{"PolicyName":"p",`+doc+`,"PolicyRevisionId":"0"}`, "")["ResourcePolicy"].(map[string]any); p["PolicyRevisionId"] != "1" {
		t.Errorf("policy %v", p)
	}
	f.expect(t, "/PutResourcePolicy", `{"PolicyName":"p",`+doc+`,"PolicyRevisionId":"0"}`, "InvalidPolicyRevisionIdException")
	f.expect(t, "/PutResourcePolicy", `{"PolicyName":"p",`+doc+`,"PolicyRevisionId":"1"}`, "")
	f.expect(t, "/PutResourcePolicy", `{"PolicyName":"q","PolicyDocument":"{"}`, "MalformedPolicyDocumentException")
	f.expect(t, "/PutResourcePolicy", `{"PolicyName":"q","PolicyDocument":"`+strings.Repeat(" ", 6000)+`"}`, "PolicySizeLimitExceededException")
	f.expect(t, "/PutResourcePolicy", `{"PolicyName":"a b",`+doc+`}`, invalid)
	for i := range 4 {
		f.expect(t, "/PutResourcePolicy", fmt.Sprintf(`{"PolicyName":"p%d",%s}`, i, doc), "")
	}
	f.expect(t, "/PutResourcePolicy", `{"PolicyName":"p5",`+doc+`}`, "PolicyCountLimitExceededException")
	f.expect(t, "/DeleteResourcePolicy", `{"PolicyName":"p","PolicyRevisionId":"1"}`, "InvalidPolicyRevisionIdException")
	f.expect(t, "/DeleteResourcePolicy", `{"PolicyName":"p","PolicyRevisionId":"2"}`, "")
	if n := len(f.expect(t, "/ListResourcePolicies", ``, "")["ResourcePolicies"].([]any)); n != 4 {
		t.Errorf("%d policies", n)
	}

	now := time.Now().Unix()
	f.expect(t, "/InsightSummaries", fmt.Sprintf(`{"StartTime":%d,"EndTime":%d,"GroupName":"Default","States":["ACTIVE"],"MaxResults":100}`, now-60, now), "")
	f.expect(t, "/InsightSummaries", `{"StartTime":1,"EndTime":2,"GroupName":"Default"}`, invalid)
	for _, body := range []string{`{"StartTime":1,"EndTime":2}`, `{"StartTime":1,"EndTime":2,"GroupName":"None"}`, `{"StartTime":1,"EndTime":2,"GroupName":"Default","MaxResults":0}`, `{"StartTime":1,"EndTime":2,"GroupName":"Default","MaxResults":101}`} {
		f.expect(t, "/InsightSummaries", body, invalid)
	}
	for _, path := range []string{"/Insight", "/InsightEvents", "/InsightImpactGraph"} {
		f.expect(t, path, `{"InsightId":"00000000-0000-0000-0000-000000000000","StartTime":1,"EndTime":2}`, invalid)
	}
	f.expect(t, "/TelemetryRecords", `{"TelemetryRecords":[{"Timestamp":1.5,"SegmentsReceivedCount":3,"BackendConnectionErrors":{"TimeoutCount":0}}],"EC2InstanceId":"","Hostname":"","ResourceARN":""}`, "")
	f.expect(t, "/TelemetryRecords", `{}`, invalid)
	if got := f.server.Counters().Reported.Received; got != 3 {
		t.Errorf("%d reported", got)
	}

	f.put(t, `{"id":"0000000000000001","name":"a","trace_id":"`+traceA+`","start_time":1602537377.5,"end_time":1602537378}`)
	token := f.expect(t, "/StartTraceRetrieval", `{"TraceIds":["`+traceA+`"],"StartTime":1,"EndTime":2}`, "")["RetrievalToken"].(string)
	listed := f.expect(t, "/ListRetrievedTraces", `{"RetrievalToken":"`+token+`"}`, "")
	if listed["RetrievalStatus"] != "COMPLETE" || len(listed["Traces"].([]any)) != 1 {
		t.Errorf("retrieved %v", listed)
	}
	f.expect(t, "/GetRetrievedTracesGraph", `{"RetrievalToken":"`+token+`"}`, "")
	f.expect(t, "/CancelTraceRetrieval", `{"RetrievalToken":"`+token+`"}`, "")
	if st := f.expect(t, "/ListRetrievedTraces", `{"RetrievalToken":"`+token+`"}`, "")["RetrievalStatus"]; st != "CANCELLED" {
		t.Errorf("status %v", st)
	}
	f.expect(t, "/ListRetrievedTraces", `{"RetrievalToken":"x"}`, "ResourceNotFoundException")
	if n := len(f.server.Paths()); n != 38 {
		t.Errorf("%d operations, want 38", n)
	}
}

// graphDocs are a service that is called by a front and calls a table.
func graphDocs() []string {
	const head = `"trace_id":"` + traceA + `",`
	return []string{
		`{` + head + `"id":"0000000000000001","name":"front","start_time":1602537377,"end_time":1602537379,"subsegments":[{"id":"0000000000000002","name":"api.local","namespace":"remote","start_time":1602537377.5,"end_time":1602537378.5,"fault":true,"http":{"response":{"status":500}}}]}`,
		`{` + head + `"id":"0000000000000003","parent_id":"0000000000000002","name":"api","start_time":1602537377.6,"end_time":1602537378.4,"fault":true,"cause":{"exceptions":[{"type":"Boom","message":"m"}]},"annotations":{"k":"v"},"user":"u","subsegments":[{"id":"0000000000000004","name":"DynamoDB","namespace":"aws","start_time":1602537377.7,"end_time":1602537377.8,"aws":{"table_name":"scores"}}]}`,
	}
}

func TestServiceGraph(t *testing.T) {
	f := start(t, t.TempDir())
	f.put(t, graphDocs()...)
	out := f.expect(t, "/ServiceGraph", `{"StartTime":1602537000,"EndTime":1602538000,"GroupName":""}`, "")
	if out["ContainsOldGroupVersions"] != false || out["StartTime"] != 1602537000.0 {
		t.Errorf("%v", out)
	}
	want := []string{
		`{"AccountId":"123456789012","DurationHistogram":[{"Count":1,"Value":0.8}],"Edges":[{"Aliases":[],"EndTime":1602537377,"ReferenceId":2,"ResponseTimeHistogram":[{"Count":1,"Value":0.1}],"StartTime":1602537377,"SummaryStatistics":{"ErrorStatistics":{"OtherCount":0,"ThrottleCount":0,"TotalCount":0},"FaultStatistics":{"OtherCount":0,"TotalCount":0},"OkCount":1,"TotalCount":1,"TotalResponseTime":0.1}}],"EndTime":1602537378,"Name":"api","Names":["api","api.local"],"ReferenceId":0,"ResponseTimeHistogram":[{"Count":1,"Value":0.8}],"StartTime":1602537377,"State":"active","SummaryStatistics":{"ErrorStatistics":{"OtherCount":0,"ThrottleCount":0,"TotalCount":0},"FaultStatistics":{"OtherCount":1,"TotalCount":1},"OkCount":0,"TotalCount":1,"TotalResponseTime":0.8},"Type":""}`,
		`{"AccountId":"123456789012","DurationHistogram":[{"Count":1,"Value":2}],"Edges":[{"Aliases":[{"Name":"api.local","Names":["api.local"],"Type":""}],"EndTime":1602537378,"ReferenceId":0,"ResponseTimeHistogram":[{"Count":1,"Value":1}],"StartTime":1602537377,"SummaryStatistics":{"ErrorStatistics":{"OtherCount":0,"ThrottleCount":0,"TotalCount":0},"FaultStatistics":{"OtherCount":1,"TotalCount":1},"OkCount":0,"TotalCount":1,"TotalResponseTime":1}}],"EndTime":1602537379,"Name":"front","Names":["front"],"ReferenceId":1,"ResponseTimeHistogram":[{"Count":1,"Value":2}],"Root":true,"StartTime":1602537377,"State":"active","SummaryStatistics":{"ErrorStatistics":{"OtherCount":0,"ThrottleCount":0,"TotalCount":0},"FaultStatistics":{"OtherCount":0,"TotalCount":0},"OkCount":1,"TotalCount":1,"TotalResponseTime":2},"Type":""}`,
		`{"AccountId":"123456789012","DurationHistogram":[{"Count":1,"Value":0.1}],"Edges":[],"EndTime":1602537377,"Name":"scores","Names":["scores"],"ReferenceId":2,"ResponseTimeHistogram":[{"Count":1,"Value":0.1}],"StartTime":1602537377,"State":"unknown","SummaryStatistics":{"ErrorStatistics":{"OtherCount":0,"ThrottleCount":0,"TotalCount":0},"FaultStatistics":{"OtherCount":0,"TotalCount":0},"OkCount":1,"TotalCount":1,"TotalResponseTime":0.1},"Type":"AWS::DynamoDB::Table"}`,
		`{"AccountId":"123456789012","Edges":[{"Aliases":[],"EndTime":1602537379,"ReferenceId":1,"ResponseTimeHistogram":[{"Count":1,"Value":2}],"StartTime":1602537377,"SummaryStatistics":{"ErrorStatistics":{"OtherCount":0,"ThrottleCount":0,"TotalCount":0},"FaultStatistics":{"OtherCount":0,"TotalCount":0},"OkCount":1,"TotalCount":1,"TotalResponseTime":2}}],"EndTime":1602537379,"Name":"front","Names":["front"],"ReferenceId":3,"StartTime":1602537377,"State":"unknown","Type":"client"}`,
	}
	check := func(services any) {
		t.Helper()
		got := []string{}
		for _, s := range services.([]any) {
			got = append(got, compact(t, s))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	check(out["Services"])
	check(f.expect(t, "/TraceGraph", `{"TraceIds":["`+traceA+`","1-00000000-000000000000000000000001"]}`, "")["Services"])
	f.expect(t, "/ServiceGraph", `{"StartTime":1602537000,"EndTime":1602538000,"GroupName":"None"}`, invalid)
	f.expect(t, "/CreateGroup", `{"GroupName":"x","FilterExpression":"service(\"nobody\")"}`, "")
	if out := f.expect(t, "/ServiceGraph", `{"StartTime":1602537000,"EndTime":1602538000,"GroupName":"x"}`, ""); len(out["Services"].([]any)) != 0 {
		t.Errorf("a group without traces has a graph: %v", out)
	}
	for body, want := range map[string]string{
		`"EntitySelectorExpression":"service(id(name:\"api\"))"`:           `[{"ResponseTimeHistogram":[{"Count":1,"Value":0.8}],"ServiceSummaryStatistics":{"ErrorStatistics":{"OtherCount":0,"ThrottleCount":0,"TotalCount":0},"FaultStatistics":{"OtherCount":1,"TotalCount":1},"OkCount":0,"TotalCount":1,"TotalResponseTime":0.8},"Timestamp":1602537360}]`,
		`"EntitySelectorExpression":"edge(\"front\",\"api\")","Period":10`: `[{"EdgeSummaryStatistics":{"ErrorStatistics":{"OtherCount":0,"ThrottleCount":0,"TotalCount":0},"FaultStatistics":{"OtherCount":1,"TotalCount":1},"OkCount":0,"TotalCount":1,"TotalResponseTime":1},"ResponseTimeHistogram":[{"Count":1,"Value":1}],"Timestamp":1602537370}]`,
		`"GroupName":"Default"`: `[{"EdgeSummaryStatistics":{"ErrorStatistics":{"OtherCount":0,"ThrottleCount":0,"TotalCount":0},"FaultStatistics":{"OtherCount":0,"TotalCount":0},"OkCount":1,"TotalCount":1,"TotalResponseTime":2},"ResponseTimeHistogram":[{"Count":1,"Value":2}],"Timestamp":1602537360}]`,
	} {
		got := compact(t, f.expect(t, "/TimeSeriesServiceStatistics", `{"StartTime":1602537000,"EndTime":1602538000,`+body+`}`, "")["TimeSeriesServiceStatistics"])
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s\n%s", body, diff)
		}
	}
	for _, body := range []string{`"EntitySelectorExpression":"annotation.a"`, `"EntitySelectorExpression":""`, `"ForecastStatistics":true`, `"Period":0`} {
		f.expect(t, "/TimeSeriesServiceStatistics", `{"StartTime":1602537000,"EndTime":1602538000,`+body+`}`, invalid)
	}
	g, err := f.server.Graph(t.Context(), xray.GraphInput{From: time.Unix(1602537000, 0), To: time.Unix(1602538000, 0)})
	if err != nil || len(g.Nodes) != 4 || len(g.Edges) != 3 || g.Nodes[0].Counts.Faults != 1 || g.Nodes[3].Counts.Total != 1 {
		t.Errorf("console graph %+v, %v", g, err)
	}
}

func TestSummary(t *testing.T) {
	f := start(t, t.TempDir())
	f.put(t, graphDocs()...)
	out := f.expect(t, "/TraceSummaries", `{"StartTime":1602537000,"EndTime":1602538000,"TimeRangeType":"Event"}`, "")
	sum := out["TraceSummaries"].([]any)[0].(map[string]any)
	account := `"AccountId":"123456789012"`
	for member, want := range map[string]string{
		"Id": `"` + traceA + `"`, "StartTime": "1602537377", "Duration": "2", "ResponseTime": "2", "HasFault": "false", "HasError": "false", "HasThrottle": "false", "IsPartial": "false", "Http": "{}",
		"Annotations": `{"k":[{"AnnotationValue":{"StringValue":"v"},"ServiceIds":[{` + account + `,"Name":"api","Names":["api"],"Type":""}]}]}`,
		"Users":       `[{"ServiceIds":[{` + account + `,"Name":"api","Names":["api"],"Type":""}],"UserName":"u"}]`,
		"ServiceIds": `[{` + account + `,"Name":"front","Names":["front"],"Type":""},{` + account + `,"Name":"api","Names":["api"],"Type":""},` +
			`{` + account + `,"Name":"scores","Names":["scores"],"Type":"AWS::DynamoDB::Table"}]`,
		"EntryPoint": `{` + account + `,"Name":"front","Names":["front"],"Type":""}`, "ErrorRootCauses": "[]", "Revision": "2", "MatchedEventTime": "1602537379",
		"ResourceARNs": "[]", "InstanceIds": "[]", "AvailabilityZones": "[]",
		"FaultRootCauses": `[{"ClientImpacting":false,"Services":[{` + account + `,"EntityPath":[{"Exceptions":[],"Name":"front","Remote":false},{"Exceptions":[],"Name":"api.local","Remote":true}],"Inferred":false,"Name":"front","Names":["front"],"Type":""},` +
			`{` + account + `,"EntityPath":[{"Exceptions":[{"Message":"m","Name":"Boom"}],"Name":"api","Remote":false}],"Inferred":false,"Name":"api","Names":["api"],"Type":""}]}]`,
		"ResponseTimeRootCauses": `[{"ClientImpacting":true,"Services":[{` + account + `,"EntityPath":[{"Coverage":1,"Name":"front","Remote":false},{"Coverage":0.5,"Name":"api.local","Remote":true}],"Inferred":false,"Name":"front","Names":["front"],"Type":""},` +
			`{` + account + `,"EntityPath":[{"Coverage":0.4,"Name":"api","Remote":false}],"Inferred":false,"Name":"api","Names":["api"],"Type":""}]}]`,
	} {
		if diff := cmp.Diff(want, compact(t, sum[member])); diff != "" {
			t.Errorf("%s\n%s", member, diff)
		}
	}
	if out["TracesProcessedCount"] != 1.0 || out["ApproximateTime"] == nil {
		t.Errorf("%v", out)
	}
}

// putSpans stores spans as package otlp does.
func (f *fixture) putSpans(t *testing.T, dataset string, spans ...func(*event.Builder, event.DatasetID)) {
	t.Helper()
	ds, err := f.meta.EnsureDataset(t.Context(), "bootcamp", meta.Honeycomb, dataset)
	if err != nil {
		t.Fatal(err)
	}
	b := event.NewBuilder()
	defer b.Release()
	for _, s := range spans {
		s(b, ds.ID)
	}
	if err := f.queue.Append(t.Context(), ingest.OTLP, b.Batch()); err != nil {
		t.Fatal(err)
	}
}

func span(trace, id, parent byte, start, ms int64, fields ...event.Field) func(*event.Builder, event.DatasetID) {
	return func(b *event.Builder, ds event.DatasetID) {
		h := event.Header{Dataset: ds, Time: (base+start)*1e9 + 123456789, Trace: event.TraceID{0xab, 15: trace}}
		if id != 0 {
			h.Span = event.SpanID{7: id}
		}
		if parent != 0 {
			h.Parent = event.SpanID{7: parent}
		}
		b.Add(h)
		b.SetString("meta.signal_type", "trace")
		b.SetFloat("duration_ms", float64(ms))
		for _, f := range fields {
			b.Set(f.Name, f.Value)
		}
	}
}

func str(name, v string) event.Field { return event.Field{Name: name, Value: event.String(v)} }

// TestSpans sees the spans of two services through the API.
func TestSpans(t *testing.T) {
	f := start(t, t.TempDir())
	f.putSpans(t, "front",
		span(1, 1, 0, 0, 1000, str("name", "GET /"), str("span.kind", "server"), str("service.name", "front"), str("http.method", "GET"), str("http.target", "/x"), str("http.host", "h:1"),
			event.Field{Name: "http.status_code", Value: event.Int(200)}, str("app.user.id", "u7"), str("telemetry.sdk.name", "opentelemetry"), str("telemetry.sdk.language", "go")),
		span(1, 2, 1, 0, 800, str("name", "HTTP GET"), str("span.kind", "client"), str("service.name", "front"), str("net.peer.name", "back.local"), event.Field{Name: "error", Value: event.Bool(true)}),
		span(1, 0, 2, 0, 0, str("name", "exception"), str("meta.annotation_type", "span_event"), str("exception.type", "IOError"), str("exception.message", "torn"),
			str("exception.stacktrace", "IOError: torn\n    at read (/app/a.js:10:15)\n    at /app/b.js:2:1\n")),
		span(1, 0, 2, 0, 0, str("meta.annotation_type", "link"), str("trace.link.trace_id", "cd000000000000000000000000000001"), str("trace.link.span_id", "0000000000000009")),
		func(b *event.Builder, ds event.DatasetID) {
			span(1, 0, 2, 0, 0, str("body", "a line"))(b, ds)
			b.SetString("meta.signal_type", "log")
		})
	f.putSpans(t, "back",
		span(1, 3, 2, 0, 500, str("name", "POST /y"), str("span.kind", "server"), str("service.name", "back")),
		span(1, 4, 3, 0, 100, str("name", "work"), str("span.kind", "internal"), str("service.name", "back"), event.Field{Name: "n", Value: event.Int(5)}),
		span(1, 5, 3, 0, 100, str("name", "SELECT"), str("span.kind", "client"), str("service.name", "back"), str("db.system", "postgresql"), str("db.name", "shop"), str("db.statement", "SELECT 1")))
	id := event.TraceID{0xab, 15: 1}
	docs := f.segmentsOf(t, id.XRay())
	front := docs["front"]
	if diff := cmp.Diff(map[string]any{"request": map[string]any{"method": "GET", "url": "http://h:1/x"}, "response": map[string]any{"status": 200.0}}, front["http"]); diff != "" {
		t.Error(diff)
	}
	call := front["subsegments"].([]any)[0].(map[string]any)
	if call["name"] != "back.local" || call["namespace"] != "remote" || call["fault"] != true {
		t.Errorf("call %v", call)
	}
	if x := call["cause"].(map[string]any)["exceptions"].([]any)[0].(map[string]any); x["type"] != "IOError" || x["remote"] != true {
		t.Errorf("exception %v", x)
	} else if diff := cmp.Diff([]any{map[string]any{"path": "/app/a.js", "line": 10.0, "label": "read"}, map[string]any{"path": "/app/b.js", "line": 2.0}}, x["stack"]); diff != "" {
		t.Errorf("stack %s", diff)
	}
	if l := call["links"].([]any)[0].(map[string]any); l["trace_id"] != "1-cd000000-000000000000000000000001" {
		t.Errorf("link %v", l)
	}
	back := docs["back"]
	if back["parent_id"] != "0000000000000002" || len(back["subsegments"].([]any)) != 2 {
		t.Errorf("back %v", back)
	}
	if db := docs["shop"]; db == nil {
		// db.name alone does not name the database's host.
		if docs["SELECT"]["origin"] != "Database::SQL" {
			t.Errorf("documents %v", docs)
		}
	}
	for filter, want := range map[string]int{
		`service("back")`: 1, `edge("front","back") { fault }`: 1, `annotation.app_user_id = "u7"`: 1, `annotation[app.user.id] = "u7"`: 1, `annotation.n = 5`: 1, `fault`: 0,
		`rootcause.fault.exception { name = "IOError" }`: 1, `http.url ENDSWITH "/x"`: 1,
	} {
		body, err := json.Marshal(map[string]any{"StartTime": base - 10, "EndTime": base + 10, "FilterExpression": filter})
		if err != nil {
			t.Fatal(err)
		}
		if got := len(f.expect(t, "/TraceSummaries", string(body), "")["TraceSummaries"].([]any)); got != want {
			t.Errorf("%s finds %d, want %d", filter, got, want)
		}
	}
	page, err := f.server.Summaries(t.Context(), xray.SummariesInput{From: time.Unix(base, 0), To: time.Unix(base+10, 0)})
	if err != nil {
		t.Fatal(err)
	}
	want := []xray.Summary{{
		ID: id, Start: time.Unix(base, 123456000).UTC(), Duration: time.Second, RootName: "GET /", RootService: "front", Method: "GET", URL: "http://h:1/x", Status: 200, Spans: 5, Logs: 1,
		Fault: true, Sources: []string{"otlp"}, Services: []string{"back", "front"},
	}}
	if diff := cmp.Diff(want, page.Traces); diff != "" {
		t.Error(diff)
	}

	// The same trace with a segment of an X-Ray client.
	f.put(t, fmt.Sprintf(`{"id":"00000000000000aa","parent_id":"0000000000000005","name":"db","trace_id":%q,"start_time":%d.2,"end_time":%d.21}`, id.XRay(), base, base))
	docs = f.segmentsOf(t, id.XRay())
	if len(docs) != 3 || docs["db"]["inferred"] != nil {
		t.Errorf("mixed: %v", docs)
	}
	res, err := f.store.Query(t.Context(), &query.Query{Stages: []query.Stage{query.Filter{Where: query.EqStr(event.FieldTrace, id.String())}}})
	if err != nil {
		t.Fatal(err)
	}
	var rows []map[string]event.Value
	for _, r := range res.Rows {
		row := map[string]event.Value{}
		for i, v := range r {
			if !v.Missing() {
				row[res.Columns[i]] = v
			}
		}
		if !row["xray.document"].Missing() || row["meta.signal_type"].Str() == "trace" {
			rows = append(rows, row)
		}
	}
	if raw := f.server.Documents(id, rows); len(raw) != 3 || !json.Valid(raw[0].Raw) {
		t.Errorf("documents %v", raw)
	}
}

// TestManyFields asks for traces whose rows have so many different fields that a query would hold too
// much of them at once.
func TestManyFields(t *testing.T) {
	const traces, spans, keys = 200, 60, 900
	f := start(t, t.TempDir())
	n := 0
	for tr := range traces {
		var list []func(*event.Builder, event.DatasetID)
		for id := range spans {
			n++
			list = append(list, span(byte(tr+1), byte(id+1), byte(min(id, 1)), int64(tr/20), 5, str("name", "x"), str("span.kind", "internal"), str("service.name", "wide"), str(fmt.Sprintf("k%d", n%keys), "v"), event.Field{Name: "turn", Value: event.Int(int64(tr))}))
		}
		f.putSpans(t, "wide", list...)
	}
	body := fmt.Sprintf(`{"StartTime":%d,"EndTime":%d,"FilterExpression":"annotation.turn > 197"}`, base-10, base+20)
	if got := len(f.expect(t, "/TraceSummaries", body, "")["TraceSummaries"].([]any)); got != 2 {
		t.Errorf("%d traces are found, want 2", got)
	}
}
