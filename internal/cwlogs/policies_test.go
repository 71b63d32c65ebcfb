package cwlogs_test

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/ingest"
)

const protection = `{"Name":"p","Version":"2021-06-01","Configuration":{"CustomDataIdentifier":[{"Name":"Badge","Regex":"EID-\\d{4}"}]},"Statement":[
	{"Sid":"a","DataIdentifier":["arn:aws:dataprotection::aws:data-identifier/EmailAddress","arn:aws:dataprotection::aws:data-identifier/CreditCardNumber","Badge"],"Operation":{"Audit":{"FindingsDestination":{}}}},
	{"Sid":"d","DataIdentifier":["arn:aws:dataprotection::aws:data-identifier/EmailAddress","arn:aws:dataprotection::aws:data-identifier/CreditCardNumber","Badge"],"Operation":{"Deidentify":{"MaskConfig":{}}}}]}`

func TestDataProtection(t *testing.T) {
	r := newRig(t)
	r.call("CreateLogGroup", `{"logGroupName":"g"}`, nil)
	r.stream("g", "s")
	const open = "ann@example.com paid with 4111 1111 1111 1111, not 4111 1111 1111 1112, badge EID-1234"
	const hidden = "*************** paid with *******************, not 4111 1111 1111 1112, badge ********"
	r.put("g", "s", inEvent{now() - 2, open}, inEvent{now() - 1, `{"mail":"bob@example.com","n":7}`})
	r.call("PutDataProtectionPolicy", fmt.Sprintf(`{"logGroupIdentifier":"g","policyDocument":%q}`, protection), nil)
	for _, x := range []struct{ op, body, want string }{
		{"GetLogEvents", `{"logGroupName":"g","logStreamName":"s","startFromHead":true}`, hidden + ` {"mail":"***************","n":7}`},
		{"GetLogEvents", `{"logGroupName":"g","logStreamName":"s","startFromHead":true,"unmask":true}`, open + ` {"mail":"bob@example.com","n":7}`},
		{"FilterLogEvents", `{"logGroupName":"g","filterPattern":"ann"}`, hidden},
		{"FilterLogEvents", `{"logGroupName":"g","filterPattern":"ann","unmask":true}`, open},
	} {
		var out eventsOutput
		r.call(x.op, x.body, &out)
		if got := out.messages(); got != x.want {
			t.Errorf("%s %s:\n got %s\nwant %s", x.op, x.body, got, x.want)
		}
	}
	ask := func(q string) string {
		rows, _ := r.query(fmt.Sprintf(`{"logGroupName":"g","startTime":%d,"endTime":%d,"queryString":%q}`, time.Now().Unix()-3600, time.Now().Unix()+60, q))
		return rows
	}
	if got := ask(`fields mail, n | filter mail = "bob@example.com"`); got != "mail=*************** n=7" {
		t.Errorf("%s", got)
	}
	if got := ask(`filter n = 7 | unmask mail`); got != "mail=bob@example.com" {
		t.Errorf("%s", got)
	}
	tl := r.tail(`{"logGroupIdentifiers":["g"]}`)
	defer tl.close()
	tl.next()
	r.put("g", "s", inEvent{now(), "from eve@example.com"})
	if got, _ := tl.until(1); got[0] != "from ***************" {
		t.Errorf("%q", got)
	}
	var groups struct {
		LogGroups []struct{ DataProtectionStatus string }
	}
	r.call("DescribeLogGroups", `{}`, &groups)
	if groups.LogGroups[0].DataProtectionStatus != "ACTIVATED" {
		t.Errorf("%+v", groups)
	}
	r.refused("PutDataProtectionPolicy", `{"logGroupIdentifier":"g","policyDocument":"{}"}`, "InvalidParameterException", "A data protection policy has two statements")
	r.refused("PutDataProtectionPolicy", fmt.Sprintf(`{"logGroupIdentifier":"g","policyDocument":%q}`, strings.ReplaceAll(protection, "EmailAddress", "Name")), "InvalidParameterException", `The data identifier "arn:aws:dataprotection::aws:data-identifier/Name" is not supported`)
	r.refused("PutDataProtectionPolicy", fmt.Sprintf(`{"logGroupIdentifier":"g","policyDocument":%q}`, strings.Replace(protection, `EID-\\d{4}`, `(`, 1)), "InvalidParameterException", "The custom data identifier")
	r.call("DeleteDataProtectionPolicy", `{"logGroupIdentifier":"g"}`, nil)
	r.refused("DeleteDataProtectionPolicy", `{"logGroupIdentifier":"g"}`, "ResourceNotFoundException", "The specified data protection policy")
	if got := ask(`fields mail | filter n = 7`); got != "mail=bob@example.com" {
		t.Errorf("%s", got)
	}
	// The account's policy holds for every group.
	r.call("PutAccountPolicy", fmt.Sprintf(`{"policyName":"all","policyType":"DATA_PROTECTION_POLICY","policyDocument":%q}`, protection), nil)
	if got := ask(`fields mail | filter n = 7`); got != "mail=***************" {
		t.Errorf("%s", got)
	}
	r.refused("PutAccountPolicy", fmt.Sprintf(`{"policyName":"second","policyType":"DATA_PROTECTION_POLICY","policyDocument":%q}`, protection), "LimitExceededException", "Resource limit exceeded.")
	r.refused("PutAccountPolicy", fmt.Sprintf(`{"policyName":"all","policyType":"DATA_PROTECTION_POLICY","policyDocument":%q,"selectionCriteria":"LogGroupName IN [\"g\"]"}`, protection), "InvalidParameterException", "Invalid selectionCriteria: policies of this type take none.")
	var policies struct{ AccountPolicies []map[string]any }
	r.call("DescribeAccountPolicies", `{"policyType":"DATA_PROTECTION_POLICY"}`, &policies)
	if len(policies.AccountPolicies) != 1 || policies.AccountPolicies[0]["policyName"] != "all" || policies.AccountPolicies[0]["scope"] != "ALL" {
		t.Errorf("%v", policies)
	}
	r.call("DeleteAccountPolicy", `{"policyName":"all","policyType":"DATA_PROTECTION_POLICY"}`, nil)
	r.refused("DeleteAccountPolicy", `{"policyName":"all","policyType":"DATA_PROTECTION_POLICY"}`, "ResourceNotFoundException", "Policy with name [all] does not exist.")
}

// TestNumbersAreMasked asks Insights for a number that is protected: it is hidden where it is that of an
// event, not in what is computed.
func TestNumbersAreMasked(t *testing.T) {
	r := newRig(t)
	r.group(`{"card":4111111111111111,"n":7}`)
	r.call("PutDataProtectionPolicy", fmt.Sprintf(`{"logGroupIdentifier":"g","policyDocument":%q}`, protection), nil)
	const hidden = "****************"
	for q, want := range map[string]string{
		"fields card, n": "card=" + hidden + " n=7", "fields card as c | display c": "c=" + hidden, "stats count(*) as n by card": "card=" + hidden + " n=1", "countFrequent card": "card=" + hidden + " _approxcount=1",
		"stats max(card) as m, latest(card) as l": "m=" + hidden + " l=" + hidden, "stats sum(card) as s, max(n) as m": "s=4111111111111111 m=7", "fields n | unmask card": "card=4111111111111111",
		"stats values(card) as v": `v=[` + hidden + `]`,
	} {
		if rows, _ := r.query(`{"logGroupName":"g",` + anyTime + `,"queryString":` + encode(t, q) + `}`); rows != want {
			t.Errorf("%s: %q, want %q", q, rows, want)
		}
	}
}

// TestAuditFindings sees what audits of a group and of the account report, where, and how it is counted.
func TestAuditFindings(t *testing.T) {
	r := newRig(t)
	for _, g := range []string{"g", "audit", "all"} {
		r.call("CreateLogGroup", fmt.Sprintf(`{"logGroupName":%q}`, g), nil)
	}
	r.stream("g", "s")
	to := func(destination string) string {
		return strings.Replace(protection, `"FindingsDestination":{}`, `"FindingsDestination":`+destination, 1)
	}
	put := func(document string) string {
		return fmt.Sprintf(`{"logGroupIdentifier":"g","policyDocument":%s}`, encode(t, document))
	}
	r.refused("PutDataProtectionPolicy", put(to(`{"CloudWatchLogs":{"LogGroup":"none"}}`)), "ResourceNotFoundException", "The specified log group does not exist.")
	r.refused("PutDataProtectionPolicy", put(to(`{"CloudWatchLogs":{"LogGroup":"a b"}}`)), "InvalidParameterException", "The FindingsDestination CloudWatchLogs has no valid LogGroup.")
	r.refused("PutDataProtectionPolicy", put(to(`{"S3":{"Bucket":"b"}}`)), "InvalidParameterException", "Audit findings can not be sent to S3")
	r.refused("PutAccountPolicy", fmt.Sprintf(`{"policyName":"all","policyType":"DATA_PROTECTION_POLICY","policyDocument":%s}`, encode(t, to(`{"Firehose":{"DeliveryStream":"d"}}`))), "InvalidParameterException", "Audit findings can not be sent to Firehose")
	r.call("PutDataProtectionPolicy", put(to(`{"CloudWatchLogs":{"LogGroup":"audit"}}`)), nil)
	account := strings.NewReplacer(`"arn:aws:dataprotection::aws:data-identifier/EmailAddress",`, "", `,"Badge"`, "").Replace(to(`{"CloudWatchLogs":{"LogGroup":"all"}}`))
	r.call("PutAccountPolicy", fmt.Sprintf(`{"policyName":"all","policyType":"DATA_PROTECTION_POLICY","policyDocument":%s}`, encode(t, account)), nil)

	before := time.Now().Truncate(time.Second)
	r.put("g", "s", inEvent{now(), "nothing"}, inEvent{now(), "é ann@example.com and bob@example.com"}, inEvent{now(), "4111 1111 1111 1111 by EID-1234"})
	read := func(group string) (list []string) {
		t.Helper()
		var out eventsOutput
		r.call("FilterLogEvents", fmt.Sprintf(`{"logGroupName":%q,"logStreamNames":["g"]}`, group), &out)
		for _, e := range out.Events {
			var f struct{ AuditTimestamp time.Time }
			if err := json.Unmarshal([]byte(e.Message), &f); err != nil || f.AuditTimestamp.Before(before) || f.AuditTimestamp.After(time.Now()) {
				t.Errorf("finding %s: %v", e.Message, err)
			}
			list = append(list, regexp.MustCompile(`"auditTimestamp":"[^"]*Z",`).ReplaceAllString(e.Message, ""))
		}
		return list
	}
	const resource = `"resourceArn":"arn:aws:logs:us-east-1:000000000000:log-group:g:*"`
	if got, want := read("audit"), []string{
		`{` + resource + `,"dataIdentifiers":[{"name":"EmailAddress","count":2,"detections":[{"start":3,"end":17},{"start":23,"end":37}]}]}`,
		`{` + resource + `,"dataIdentifiers":[{"name":"Badge","count":1,"detections":[{"start":24,"end":31}]},{"name":"CreditCardNumber","count":1,"detections":[{"start":1,"end":19}]}]}`,
	}; !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got, want := read("all"), []string{`{` + resource + `,"dataIdentifiers":[{"name":"CreditCardNumber","count":1,"detections":[{"start":1,"end":19}]}]}`}; !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	for _, dims := range []string{"", "&dim=LogGroupName:g"} {
		if got := sumOf(r.statistics("ns=AWS/Logs&name=LogEventsWithFindings"+dims), "Sum"); got != 2 {
			t.Errorf("%v events with findings of %q", got, dims)
		}
	}

	// Three events, their three findings and the metric, of the account and of the group.
	if st := r.parts.Queue.Stats(); st[ingest.Logs].Events != 6 || st[ingest.Metrics].Events != 2 {
		t.Errorf("counted %d log events and %d data of metrics", st[ingest.Logs].Events, st[ingest.Metrics].Events)
	}
	// Without their group the findings are lost, the events are not.
	r.call("DeleteLogGroup", `{"logGroupName":"audit"}`, nil)
	r.put("g", "s", inEvent{now(), "eve@example.com"})
	var out eventsOutput
	r.call("FilterLogEvents", `{"logGroupName":"g"}`, &out)
	if len(out.Events) != 4 || len(read("all")) != 1 {
		t.Errorf("%d events, %d findings", len(out.Events), len(read("all")))
	}
}

func TestIndexPolicies(t *testing.T) {
	r := newRig(t)
	r.call("CreateLogGroup", `{"logGroupName":"g"}`, nil)
	r.call("CreateLogGroup", `{"logGroupName":"h"}`, nil)
	r.stream("g", "s")
	at := now()
	r.put("g", "s", inEvent{at, `{"user":"a"}`}, inEvent{at + 5, `{"user":"b"}`})
	r.call("PutIndexPolicy", `{"logGroupIdentifier":"g","policyDocument":"{\"Fields\":[\"user\",\"other\"]}"}`, nil)
	r.refused("PutIndexPolicy", `{"logGroupIdentifier":"g","policyDocument":"{\"Fields\":[]}"}`, "InvalidParameterException", "An index policy names")
	r.call("PutAccountPolicy", `{"policyName":"all","policyType":"FIELD_INDEX_POLICY","policyDocument":"{\"FieldsV2\":{\"traceId\":{\"type\":\"FACET\"}}}"}`, nil)
	var out struct{ IndexPolicies []map[string]any }
	r.call("DescribeIndexPolicies", `{"logGroupIdentifiers":["g","h"]}`, &out)
	if len(out.IndexPolicies) != 2 || out.IndexPolicies[0]["source"] != "LOG_GROUP" || out.IndexPolicies[1]["source"] != "ACCOUNT" {
		t.Errorf("%v", out)
	}
	var fields struct {
		FieldIndexes []struct {
			FieldIndexName                string
			FirstEventTime, LastEventTime int64
		}
	}
	r.call("DescribeFieldIndexes", `{"logGroupIdentifiers":["g"]}`, &fields)
	if f := fields.FieldIndexes; len(f) != 2 || f[0].FieldIndexName != "other" || f[0].FirstEventTime != 0 || f[1].FirstEventTime != at || f[1].LastEventTime != at+5 {
		t.Errorf("%+v", f)
	}
	var groups struct {
		LogGroups []struct{ LogGroupName string }
	}
	r.call("ListLogGroups", `{"fieldIndexNames":["user","other"]}`, &groups)
	if len(groups.LogGroups) != 1 || groups.LogGroups[0].LogGroupName != "g" {
		t.Errorf("%+v", groups)
	}
	r.call("DeleteIndexPolicy", `{"logGroupIdentifier":"g"}`, nil)
	r.refused("DeleteIndexPolicy", `{"logGroupIdentifier":"g"}`, "ResourceNotFoundException", "The specified index policy")
}

func TestAccountPolicies(t *testing.T) {
	r := newRig(t)
	rc := newReceiver(t)
	put := func(name, kind, document, selects string) string {
		return fmt.Sprintf(`{"policyName":%q,"policyType":%q,"policyDocument":%q,"selectionCriteria":%q}`, name, kind, document, selects)
	}
	const embedded = `{"_aws":{"Timestamp":%d,"CloudWatchMetrics":[{"Namespace":"T","Dimensions":[[]],"Metrics":[{"Name":"M"}]}]},"M":1}`
	emit := func(group string) { r.put(group, "s", inEvent{now(), fmt.Sprintf(embedded, now())}) }
	for _, g := range []string{"g", "other", "app/x"} {
		r.call("CreateLogGroup", fmt.Sprintf(`{"logGroupName":%q}`, g), nil)
		r.stream(g, "s")
	}
	r.put("g", "s", inEvent{now(), "verb=get error before"})

	// Subscriptions of the account add to those of groups; younger groups have them too.
	subscription := fmt.Sprintf(`{"DestinationArn":%q,"FilterPattern":"error"}`, rc.URL)
	r.call("PutAccountPolicy", put("sub", "SUBSCRIPTION_FILTER_POLICY", subscription, `LogGroupName NOT IN ["other"]`), nil)
	r.put("other", "s", inEvent{now(), "error elsewhere"})
	r.put("g", "s", inEvent{now(), "verb=get error 1"})
	rc.wait(t, 1, false)
	r.restart()
	r.put("g", "s", inEvent{now(), "verb=put error 2"})
	rc.wait(t, 2, false)
	r.call("DeleteLogGroup", `{"logGroupName":"g"}`, nil)
	r.call("CreateLogGroup", `{"logGroupName":"g"}`, nil)
	r.stream("g", "s")
	r.put("g", "s", inEvent{now(), "verb=put error 3"})
	if got := rc.wait(t, 3, false); !slices.Equal(got, []string{"s/verb=get error 1", "s/verb=put error 2", "s/verb=put error 3"}) {
		t.Errorf("delivered %q", got)
	}
	r.refused("PutAccountPolicy", put("two", "SUBSCRIPTION_FILTER_POLICY", subscription, `LogGroupName NOT IN ["g"]`), "LimitExceededException", "Resource limit exceeded.")
	r.refused("PutAccountPolicy", put("sub", "SUBSCRIPTION_FILTER_POLICY", subscription, `LogGroupNamePrefix IN ["g"]`), "InvalidParameterException", "Invalid selectionCriteria: policies of this type take LogGroupName NOT IN.")
	r.refused("PutAccountPolicy", put("sub", "SUBSCRIPTION_FILTER_POLICY", `{}`, ""), "InvalidParameterException", "1 validation error detected: Value null at 'DestinationArn'")
	r.call("DeleteAccountPolicy", `{"policyName":"sub","policyType":"SUBSCRIPTION_FILTER_POLICY"}`, nil)

	// A group's own transformer takes the place of the account's, and a subscription may ask for what it makes.
	pairs := `[{"parseKeyValue":{"fieldDelimiter":" ","keyValueDelimiter":"="}}]`
	r.call("PutAccountPolicy", put("pairs", "TRANSFORMER_POLICY", pairs, `LogGroupNamePrefix IN ["g"]`), nil)
	r.refused("PutAccountPolicy", put("more", "TRANSFORMER_POLICY", pairs, `LogGroupNamePrefix IN ["gh"]`), "InvalidParameterException", "The selectionCriteria overlaps")
	r.refused("PutAccountPolicy", put("all", "TRANSFORMER_POLICY", pairs, ""), "LimitExceededException", "Resource limit exceeded.")
	r.call("PutAccountPolicy", put("more", "TRANSFORMER_POLICY", pairs, `LogGroupNamePrefix IN ["h"]`), nil)
	r.call("PutSubscriptionFilter", fmt.Sprintf(`{"logGroupName":"g","filterName":"verbs","filterPattern":"{ $.verb = head }","applyOnTransformedLogs":true,"destinationArn":%q}`, rc.URL), nil)
	r.put("g", "s", inEvent{now(), "verb=get"}, inEvent{now(), "verb=head"})
	if got := rc.wait(t, 4, false); got[3] != `s/{"verb":"head"}` {
		t.Errorf("delivered %q", got)
	}
	rows, _ := r.query(fmt.Sprintf(`{"logGroupNames":["g","other"],"startTime":%d,"endTime":%d,"queryString":"filter ispresent(verb) | stats count() by verb | sort verb"}`, now()/1000-60, now()/1000+60))
	if rows != "verb=get count()=1\nverb=head count()=1" {
		t.Errorf("%s", rows)
	}

	// Without embedded metrics.
	emit("g")
	r.call("PutAccountPolicy", put("none", "METRIC_EXTRACTION_POLICY", `{}`, `LogGroupNamePrefix NOT IN ["app"]`), nil)
	r.refused("PutAccountPolicy", put("second", "METRIC_EXTRACTION_POLICY", `{}`, `LogGroupNamePrefix IN ["a"]`), "InvalidParameterException", "The selectionCriteria overlaps")
	r.call("PutAccountPolicy", put("second", "METRIC_EXTRACTION_POLICY", `{}`, `LogGroupName IN ["app/quiet"]`), nil)
	emit("g")
	emit("app/x")
	if m := r.statistics("ns=T&name=M"); sumOf(m, "SampleCount") != 2 {
		t.Errorf("metric: %v", m)
	}
	for _, bad := range []string{`LogGroupName = "g"`, `LogGroupName IN []`, `LogGroupName IN ["a b"]`, `DataSourceName IN ["x"]`} {
		r.refused("PutAccountPolicy", put("bad", "METRIC_EXTRACTION_POLICY", `{}`, bad), "InvalidParameterException", "Invalid selectionCriteria")
	}
}

func TestDataSources(t *testing.T) {
	r := newRig(t)
	var out struct{ AggregateLogGroupSummaries []any }
	r.call("ListAggregateLogGroupSummaries", `{"groupBy":"DATA_SOURCE_NAME_AND_TYPE"}`, &out)
	if out.AggregateLogGroupSummaries == nil || len(out.AggregateLogGroupSummaries) != 0 {
		t.Errorf("%v", out)
	}
	for name, tags := range map[string]string{
		"flow-a": `,"tags":{"cw:datasource:name":"amazon_vpc","cw:datasource:type":"flow"}`, "flow-b": `,"tags":{"cw:datasource:name":"amazon_vpc","cw:datasource:type":"flow"}`,
		"shop": `,"tags":{"cw:datasource:name":"shop"}`, "rare": `,"logGroupClass":"INFREQUENT_ACCESS","tags":{"cw:datasource:name":"shop","cw:datasource:type":"orders"}`, "plain": "",
	} {
		r.call("CreateLogGroup", fmt.Sprintf(`{"logGroupName":%q%s}`, name, tags), nil)
		r.stream(name, "s")
		r.put(name, "s", inEvent{now(), fmt.Sprintf(`{"name":%q,"n":1}`, name)}, inEvent{now(), `{"n":1.5}`}, inEvent{now(), `{"ok":true}`})
	}
	ask := func(source, rest string) string {
		rows, _ := r.query(`{` + anyTime + `,"queryString":` + encode(t, "SOURCE "+source+" | filter ispresent(name) | "+rest) + `}`)
		return rows
	}
	for source, want := range map[string]string{
		`dataSource(["amazon_vpc.flow"])`:                              "name=flow-a\nname=flow-b",
		`dataSource(["amazon_vpc"]) logGroups(namePrefix: ["flow-b"])`: "name=flow-b",
		`dataSource(["amazon_vpc.flow", "shop"])`:                      "name=flow-a\nname=flow-b\nname=shop",
		`dataSource(["shop"]) logGroups(class: ["INFREQUENT_ACCESS"])`: "name=rare",
		`dataSource(["shop.orders"])`:                                  "",
		`dataSource(["flow"])`:                                         "",
		`logGroups()`:                                                  "name=flow-a\nname=flow-b\nname=plain\nname=shop",
	} {
		if got := ask(source, "display name | sort name"); got != want {
			t.Errorf("%s: %q, want %q", source, got, want)
		}
	}
	if got := ask("logGroups()", "stats count(*) as n by @data_source_name as source, @data_source_type as kind | sort source"); got != "source=amazon_vpc kind=flow n=2\nsource=shop n=1\nn=1" {
		t.Errorf("fields of data sources: %q", got)
	}
	var listed struct {
		LogGroups []struct{ LogGroupName string }
	}
	r.call("ListLogGroups", `{"dataSources":[{"name":"amazon*","type":"flow"},{"name":"other"}]}`, &listed)
	if got := fmt.Sprint(listed.LogGroups); got != "[{flow-a} {flow-b}]" {
		t.Errorf("groups %s", got)
	}
	r.call("ListLogGroups", `{"dataSources":[{"name":"shop"}]}`, &listed)
	if got := fmt.Sprint(listed.LogGroups); got != "[{rare} {shop}]" {
		t.Errorf("groups %s", got)
	}
	var sums struct {
		AggregateLogGroupSummaries []struct {
			LogGroupCount       int
			GroupingIdentifiers []struct{ Key, Value string }
		}
		NextToken string
	}
	r.call("ListAggregateLogGroupSummaries", `{"groupBy":"DATA_SOURCE_NAME_AND_TYPE","limit":2}`, &sums)
	if got := fmt.Sprint(sums.AggregateLogGroupSummaries); got != "[{2 [{dataSource.Name amazon_vpc} {dataSource.Type flow}]} {1 [{dataSource.Name shop} {dataSource.Type }]}]" {
		t.Errorf("summaries %s", got)
	}
	r.call("ListAggregateLogGroupSummaries", `{"groupBy":"DATA_SOURCE_NAME_AND_TYPE","limit":2,"nextToken":"`+sums.NextToken+`"}`, &sums)
	if got := fmt.Sprint(sums.AggregateLogGroupSummaries); got != "[{1 [{dataSource.Name shop} {dataSource.Type orders}]}]" {
		t.Errorf("summaries %s", got)
	}
	var fields struct {
		LogFields []struct {
			LogFieldName string
			LogFieldType struct{ Type string }
		}
	}
	r.call("GetLogFields", `{"dataSourceName":"amazon_vpc","dataSourceType":"flow"}`, &fields)
	if got := fmt.Sprint(fields.LogFields); got != "[{@message {string}} {n {double}} {name {string}} {ok {boolean}}]" {
		t.Errorf("fields %s", got)
	}
	r.refused("ListLogGroups", `{"dataSources":[{"type":"flow"}]}`, "InvalidParameterException", "1 validation error detected: Value null at 'dataSources.member.name'")
	r.refused("ListAggregateLogGroupSummaries", `{"groupBy":"X"}`, "InvalidParameterException", "1 validation error detected: Value 'X' at 'groupBy' failed")
	r.refused("GetLogFields", `{"dataSourceName":"amazon_vpc","dataSourceType":"x"}`, "ResourceNotFoundException", "The specified data source does not exist")
	r.refused("GetLogObject", `{"logObjectPointer":"x"}`, "ResourceNotFoundException", "The specified log object does not exist")
}

func TestExports(t *testing.T) {
	r := newRig(t)
	r.call("CreateLogGroup", `{"logGroupName":"g"}`, nil)
	for _, s := range []string{"a/b", "a/c", "empty"} {
		r.stream("g", s)
	}
	var many []inEvent
	for i := range 9000 {
		many = append(many, inEvent{now() - 10_000 + int64(i), fmt.Sprintf("line %d", i)})
	}
	r.put("g", "a/b", many...)
	r.put("g", "a/b", inEvent{now(), "last"})
	r.put("g", "a/c", inEvent{now() - 20_000, "too early"}, inEvent{now(), "in c"})
	body := fmt.Sprintf(`{"logGroupName":"g","from":%d,"to":%d,"destination":"bucket","taskName":"t"}`, now()-15_000, now()+1000)
	r.refused("CreateExportTask", body, "InvalidParameterException", "The given bucket does not exist. Please make sure the bucket is valid.")
	r.refused("CreateExportTask", strings.Replace(body, `"bucket"`, `".."`, 1), "InvalidParameterException", "The given bucket does not exist.")
	bucket := filepath.Join(r.dir, "exports", "bucket")
	if err := os.MkdirAll(bucket, 0o755); err != nil {
		t.Fatal(err)
	}
	r.refused("CreateExportTask", strings.Replace(body, `"taskName":"t"`, `"destinationPrefix":"../x"`, 1), "InvalidParameterException", "The destination prefix leads out of the bucket.")
	var task struct{ TaskID string }
	r.call("CreateExportTask", body, &task)
	var out struct {
		ExportTasks []struct {
			TaskID, TaskName string
			Status           struct{ Code string }
			ExecutionInfo    struct{ CreationTime, CompletionTime int64 }
		}
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		r.call("DescribeExportTasks", fmt.Sprintf(`{"taskId":%q}`, task.TaskID), &out)
		if c := out.ExportTasks[0].Status.Code; c != "PENDING" && c != "RUNNING" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v", out)
		}
	}
	if x := out.ExportTasks[0]; x.Status.Code != "COMPLETED" || x.TaskName != "t" || x.ExecutionInfo.CompletionTime < x.ExecutionInfo.CreationTime {
		t.Errorf("%+v", x)
	}
	read := func(stream string) []string {
		f, err := os.Open(filepath.Join(bucket, "exportedlogs", task.TaskID, stream, "000000.gz"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	}
	if got := read("a-b"); len(got) != 9001 || !strings.HasSuffix(got[0], "Z line 0") || !strings.HasSuffix(got[9000], "Z last") {
		t.Errorf("%d lines, %q … %q", len(got), got[0], got[len(got)-1])
	}
	if got := read("a-c"); len(got) != 1 || !strings.HasSuffix(got[0], " in c") {
		t.Errorf("%q", got)
	}
	if entries, err := os.ReadDir(filepath.Join(bucket, "exportedlogs", task.TaskID)); err != nil || len(entries) != 2 {
		t.Errorf("%v %v", entries, err)
	}
	r.refused("CancelExportTask", fmt.Sprintf(`{"taskId":%q}`, task.TaskID), "InvalidOperationException", "The specified export task has already finished")
	r.refused("CancelExportTask", `{"taskId":"none"}`, "ResourceNotFoundException", "The specified export task does not exist.")
	r.call("DescribeExportTasks", `{"taskId":"none"}`, &out)
	if text, _ := json.Marshal(out); len(out.ExportTasks) != 0 {
		t.Errorf("%s", text)
	}
}
