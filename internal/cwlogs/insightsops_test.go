package cwlogs_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/meta"
)

const anyTime = `"startTime":0,"endTime":9999999999`

func (r *rig) startQuery(text string) string {
	r.t.Helper()
	var id struct{ QueryID string }
	r.call("StartQuery", fmt.Sprintf(`{"logGroupName":"g",%s,"queryString":%s}`, anyTime, encode(r.t, text)), &id)
	return id.QueryID
}

func (r *rig) results(id string) (out queryResults) {
	r.t.Helper()
	r.call("GetQueryResults", `{"queryId":"`+id+`"}`, &out)
	return out
}

// group makes the group g with the events of lines, now.
func (r *rig) group(lines ...string) {
	r.t.Helper()
	r.call("CreateLogGroup", `{"logGroupName":"g"}`, nil)
	r.stream("g", "s")
	if len(lines) == 0 {
		return
	}
	var events []inEvent
	for i, l := range lines {
		events = append(events, inEvent{now() + int64(i), l})
	}
	r.put("g", "s", events...)
}

func TestResultsOutliveARestart(t *testing.T) {
	r := newRig(t)
	r.group(`{"a":1}`, `{"a":2}`, `{"a":3}`)
	_, before := r.query(`{"logGroupName":"g",` + anyTime + `,"queryString":"fields a | sort a"}`)
	id := r.startQuery("fields a | sort a desc")
	cut := meta.InsightsRun{ID: "24b95582-9e7b-4e0a-9ad1-639773ab7552", Environment: "default", Account: "000000000000", Query: "fields a", Groups: `["g"]`, Status: "Running", Created: time.Now()}
	if err := r.parts.Meta.CreateInsightsRun(t.Context(), cut); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); r.results(id).Status != "Complete"; {
		if time.Now().After(deadline) {
			t.Fatal("the query does not end")
		}
	}
	r.restart()
	after := r.results(id)
	if after.Status != "Complete" || len(after.Results) != 3 || after.Results[0][0].Value != "3" || !reflect.DeepEqual(after.Statistics, before.Statistics) {
		t.Errorf("after the restart: %+v", after)
	}
	if got := r.results(cut.ID); got.Status != "Failed" || len(got.Results) != 0 || got.ErrorMessage != "the server was restarted" {
		t.Errorf("a run that the restart cut: %+v", got)
	}
	var list struct {
		Queries []struct{ QueryID, Status, QueryString, ErrorMessage string }
	}
	r.call("DescribeQueries", `{}`, &list)
	if len(list.Queries) != 3 || list.Queries[0].QueryID != cut.ID || list.Queries[0].Status != "Failed" || list.Queries[0].ErrorMessage != "the server was restarted" || list.Queries[1].ErrorMessage != "" {
		t.Errorf("queries: %+v", list)
	}
}

func TestStopQuery(t *testing.T) {
	r := newRig(t)
	r.group("x")
	release := r.logs.HoldRuns()
	id := r.startQuery("fields @message")
	if got := r.results(id); got.Status != "Scheduled" || len(got.Results) != 0 {
		t.Errorf("while it waits: %+v", got)
	}
	var stopped struct{ Success bool }
	r.call("StopQuery", `{"queryId":"`+id+`"}`, &stopped)
	if !stopped.Success || r.results(id).Status != "Cancelled" {
		t.Errorf("stopped %v: %+v", stopped, r.results(id))
	}
	r.refused("StopQuery", `{"queryId":"`+id+`"}`, "InvalidParameterException", "Query with id")
	for range 100 {
		r.startQuery("fields @message")
	}
	r.refused("StartQuery", `{"logGroupName":"g",`+anyTime+`,"queryString":"fields a"}`, "LimitExceededException", "Resource limit exceeded.")
	release()
	var list struct{ Queries []struct{ Status string } }
	for deadline := time.Now().Add(20 * time.Second); ; {
		r.call("DescribeQueries", `{"status":"Complete"}`, &list)
		if len(list.Queries) == 100 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of 100 queries are complete", len(list.Queries))
		}
	}
	if r.results(id).Status != "Cancelled" {
		t.Error("a stopped query ran after all")
	}
}

// TestRunningQueryShowsWhatItHas polls a slow query: rows come, masked, and counts grow until it ends.
func TestRunningQueryShowsWhatItHas(t *testing.T) {
	r := newRig(t)
	r.group()
	r.call("PutDataProtectionPolicy", fmt.Sprintf(`{"logGroupIdentifier":"g","policyDocument":%q}`, protection), nil)
	const batches, lines = 15, 8000
	events := make([]inEvent, lines)
	for i := range batches {
		for k := range events {
			events[k] = inEvent{now(), fmt.Sprintf("%d of bob@example.com", i*lines+k)}
		}
		r.put("g", "s", events...)
	}
	slow := strings.Repeat("sha256(", 40) + "@message" + strings.Repeat(")", 40) + ` != "" `
	id := r.startQuery("fields @timestamp, @message | filter " + slow + strings.Repeat("and "+slow, 1) + "| limit 20")
	var matched, bytes float64
	partly := false
	for deadline := time.Now().Add(time.Minute); ; {
		out := r.results(id)
		s := out.Statistics
		if s["recordsMatched"] < matched || s["recordsScanned"] < s["recordsMatched"] {
			t.Fatalf("statistics %v behind %v records", s, matched)
		}
		matched = s["recordsMatched"]
		for _, row := range out.Results {
			if len(row) != 3 || !strings.HasSuffix(row[1].Value, " of ***************") || row[2].Field != "@ptr" {
				t.Fatalf("row %v", row)
			}
		}
		if out.Status == "Complete" {
			if len(out.Results) != 20 || matched != batches*lines {
				t.Fatalf("%d rows, %v", len(out.Results), s)
			}
			break
		}
		if out.Status == "Running" {
			partly = partly || len(out.Results) == 20 && matched > 0 && matched < batches*lines
			var list struct {
				Queries []struct {
					Status       string
					BytesScanned *float64
				}
			}
			r.call("DescribeQueries", `{}`, &list)
			if q := list.Queries[0]; q.BytesScanned == nil || *q.BytesScanned < bytes {
				t.Fatalf("listed %+v behind %v bytes", q, bytes)
			} else {
				bytes = *q.BytesScanned
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("the query does not end")
		}
	}
	if !partly || bytes == 0 {
		t.Errorf("nothing was to be seen while it ran: rows %v, %v bytes", partly, bytes)
	}
}

func TestLongResultsComeInPages(t *testing.T) {
	r := newRig(t)
	var lines []string
	for i := range 1300 {
		lines = append(lines, fmt.Sprintf(`{"i":%d}`, i))
	}
	r.group(lines...)
	_, first := r.query(`{"logGroupName":"g",` + anyTime + `,"queryString":"fields i | sort i"}`)
	var list struct{ Queries []struct{ QueryID string } }
	r.call("DescribeQueries", `{}`, &list)
	id := list.Queries[0].QueryID
	var got []string
	token, pages := "", 0
	for {
		var out queryResults
		r.call("GetQueryResults", fmt.Sprintf(`{"queryId":%q,"maxItems":333%s}`, id, token), &out)
		for _, row := range out.Results {
			got = append(got, row[0].Value)
		}
		pages++
		if out.NextToken == "" {
			break
		}
		token = `,"nextToken":"` + out.NextToken + `"`
	}
	if len(first.Results) != 1300 || first.NextToken != "" || pages != 4 || len(got) != 1300 {
		t.Fatalf("%d rows at once, %d in %d pages", len(first.Results), len(got), pages)
	}
	for i, v := range got {
		if v != fmt.Sprint(i) {
			t.Fatalf("row %d is %s", i, v)
		}
	}
	r.refused("GetQueryResults", `{"queryId":"`+id+`","nextToken":"x"}`, "InvalidParameterException", "The specified nextToken is invalid.")
	r.refused("GetQueryResults", `{"queryId":"`+id+`","maxItems":10001}`, "InvalidParameterException", "1 validation error")
}

func TestGetLogRecord(t *testing.T) {
	r := newRig(t)
	r.group(`{"a":{"b":1.5},"@x":"y","none":null}`, "plain")
	_, out := r.query(`{"logGroupName":"g",` + anyTime + `,"queryString":"fields @timestamp | filter ispresent(a.b)"}`)
	ptr := out.Results[0][1].Value
	var rec struct{ LogRecord map[string]string }
	r.call("GetLogRecord", `{"logRecordPointer":"`+ptr+`"}`, &rec)
	want := map[string]string{"a.b": "1.5", "@@x": "y", "@message": `{"a":{"b":1.5},"@x":"y","none":null}`, "@logStream": "s", "@log": "000000000000:g", "@ptr": ptr}
	for _, n := range []string{"@timestamp", "@ingestionTime"} {
		at, err := time.Parse("2006-01-02 15:04:05.000", out.Results[0][0].Value)
		if err != nil || len(rec.LogRecord[n]) != 13 || n == "@timestamp" && rec.LogRecord[n] != fmt.Sprint(at.UnixMilli()) {
			t.Errorf("%s is %q", n, rec.LogRecord[n])
		}
		delete(rec.LogRecord, n)
	}
	if !reflect.DeepEqual(rec.LogRecord, want) {
		t.Errorf("got  %v\nwant %v", rec.LogRecord, want)
	}
	r.refused("GetLogRecord", `{"logRecordPointer":"nonsense"}`, "InvalidParameterException", "The specified logRecordPointer is invalid.")
	r.refused("GetLogRecord", `{}`, "InvalidParameterException", "1 validation error")
	r.call("DeleteLogStream", `{"logGroupName":"g","logStreamName":"s"}`, nil)
	r.refused("GetLogRecord", `{"logRecordPointer":"`+ptr+`"}`, "ResourceNotFoundException", "The specified log record does not exist.")
	r.call("DeleteLogGroup", `{"logGroupName":"g"}`, nil)
	r.refused("GetLogRecord", `{"logRecordPointer":"`+ptr+`"}`, "ResourceNotFoundException", "The specified log record does not exist.")
}

func TestEntities(t *testing.T) {
	r := newRig(t)
	r.group()
	put := func(entity string) (out struct {
		RejectedEntityInfo    *struct{ ErrorType string }
		RejectedLogEventsInfo any
	}) {
		t.Helper()
		r.call("PutLogEvents", fmt.Sprintf(`{"logGroupName":"g","logStreamName":"s","entity":%s,"logEvents":[{"timestamp":%d,"message":"m"}]}`, entity, now()), &out)
		return out
	}
	if out := put(`{"keyAttributes":{"Type":"Service","Name":"api","Environment":"prod"},"attributes":{"Host":"h1","n":5}}`); out.RejectedEntityInfo != nil {
		t.Errorf("rejected: %+v", out)
	}
	for entity, want := range map[string]string{
		`{}`: "MissingRequiredFields", `{"keyAttributes":{"Type":"Service"}}`: "InvalidKeyAttributes", `{"keyAttributes":{"Type":"Service","Color":"red"}}`: "InvalidKeyAttributes",
		`{"keyAttributes":{"Type":"Service","Name":"` + strings.Repeat("x", 513) + `"}}`:                                                          "EntitySizeTooLarge",
		`{"keyAttributes":{"Type":"a","Name":"b"},"attributes":{"1":"","2":"","3":"","4":"","5":"","6":"","7":"","8":"","9":"","10":"","11":""}}`: "InvalidAttributes",
	} {
		if out := put(entity); out.RejectedEntityInfo == nil || out.RejectedEntityInfo.ErrorType != want || out.RejectedLogEventsInfo != nil {
			t.Errorf("%s: %+v, want %s", entity, out, want)
		}
	}
	rows, _ := r.query(`{"logGroupName":"g",` + anyTime + `,"queryString":"stats count(*) as n by @entity.KeyAttributes.Name as name, @entity.Attributes.Host as host | sort n"}`)
	if rows != "name=api host=h1 n=1\nn=5" {
		t.Errorf("rows %s", rows)
	}
}

func TestGetLogGroupFields(t *testing.T) {
	r := newRig(t)
	r.group(`{"a":1,"n":2}`, `{"a":"x"}`, `{"b":true}`, `plain`)
	var out struct {
		LogGroupFields []struct {
			Name    string
			Percent int
		}
	}
	r.call("GetLogGroupFields", `{"logGroupName":"g"}`, &out)
	got := fmt.Sprint(out.LogGroupFields)
	if want := "[{@ingestionTime 100} {@log 100} {@logStream 100} {@message 100} {@timestamp 100} {a 50} {b 25} {n 25}]"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	r.call("GetLogGroupFields", fmt.Sprintf(`{"logGroupIdentifier":"arn:aws:logs:us-east-1:000000000000:log-group:g:*","time":%d}`, time.Now().Unix()-3600), &out)
	if len(out.LogGroupFields) != 0 {
		t.Errorf("an hour ago: %v", out.LogGroupFields)
	}
	r.refused("GetLogGroupFields", `{"logGroupName":"none"}`, "ResourceNotFoundException", "The specified log group does not exist.")
	r.refused("GetLogGroupFields", `{}`, "InvalidParameterException", "1 validation error")
}

func TestListLogGroupsForQuery(t *testing.T) {
	r := newRig(t)
	r.group("x")
	r.call("CreateLogGroup", `{"logGroupName":"h"}`, nil)
	var id struct{ QueryID string }
	r.call("StartQuery", `{`+anyTime+`,"queryString":"SOURCE 'h', \"g\" | fields @message"}`, &id)
	var out struct{ LogGroupIdentifiers []string }
	r.call("ListLogGroupsForQuery", `{"queryId":"`+id.QueryID+`"}`, &out)
	if !slices.Equal(out.LogGroupIdentifiers, []string{"h", "g"}) {
		t.Errorf("groups %v", out.LogGroupIdentifiers)
	}
	r.refused("StartQuery", `{"logGroupName":"g",`+anyTime+`,"queryString":"SOURCE \"h\" | fields @message"}`, "InvalidParameterException", "Log groups are named by SOURCE")
	r.refused("StartQuery", `{`+anyTime+`,"queryString":"SOURCE \"none\" | fields @message"}`, "ResourceNotFoundException", "Log group 'none' does not exist")
	r.refused("StartQuery", `{`+anyTime+`,"queryString":"SOURCE \"g\" START=2000 END=1000 | fields @message"}`, "MalformedQueryException", "1:1: the end of the time range is ahead of its start")
}

func TestQueryDefinitions(t *testing.T) {
	r := newRig(t)
	put := func(body string) string {
		t.Helper()
		var out struct{ QueryDefinitionID string }
		r.call("PutQueryDefinition", body, &out)
		return out.QueryDefinitionID
	}
	type row struct {
		QueryDefinitionID, Name, QueryString, QueryLanguage string
		LastModified                                        int64
		LogGroupNames                                       []string
		Parameters                                          []struct{ Name, DefaultValue, Description string }
	}
	list := func(body string) (rows []row, token string) {
		t.Helper()
		var out struct {
			QueryDefinitions []row
			NextToken        string
		}
		r.call("DescribeQueryDefinitions", body, &out)
		return out.QueryDefinitions, out.NextToken
	}
	token := strings.Repeat("t", 36)
	a := put(`{"name":"ops/a","queryString":"fields @message | limit {{n}}","logGroupNames":["g"],"parameters":[{"name":"n","defaultValue":"5","description":"rows"}],"clientToken":"` + token + `"}`)
	if again := put(`{"name":"ops/a","queryString":"fields @message | limit {{n}}","clientToken":"` + token + `"}`); again != a {
		t.Errorf("the same call twice gives %s and %s", a, again)
	}
	b := put(`{"name":"ops/b","queryString":"stats count(*)"}`)
	c := put(`{"name":"other","queryString":"stats count(*)"}`)
	rows, _ := list(`{"queryDefinitionNamePrefix":"ops/"}`)
	if len(rows) != 2 || rows[0].QueryDefinitionID != a || rows[0].Parameters[0].DefaultValue != "5" || rows[0].LogGroupNames[0] != "g" || rows[1].QueryDefinitionID != b || rows[0].LastModified == 0 || rows[0].QueryLanguage != "CWLI" {
		t.Errorf("rows %+v", rows)
	}
	put(`{"queryDefinitionId":"` + b + `","name":"zzz","queryString":"fields a"}`)
	rows, next := list(`{"maxResults":2}`)
	more, end := list(`{"maxResults":2,"nextToken":"` + next + `"}`)
	if len(rows) != 2 || len(more) != 1 || more[0].Name != "zzz" || more[0].QueryString != "fields a" || rows[1].QueryDefinitionID != c || end != "" {
		t.Errorf("pages %+v, %+v", rows, more)
	}
	r.restart()
	if rows, _ = list(`{}`); len(rows) != 3 {
		t.Errorf("after a restart: %+v", rows)
	}
	var gone struct{ Success bool }
	r.call("DeleteQueryDefinition", `{"queryDefinitionId":"`+a+`"}`, &gone)
	if rows, _ = list(`{}`); !gone.Success || len(rows) != 2 {
		t.Errorf("after deletion: %v %+v", gone, rows)
	}
	r.refused("DeleteQueryDefinition", `{"queryDefinitionId":"`+a+`"}`, "ResourceNotFoundException", "")
	r.refused("PutQueryDefinition", `{"queryDefinitionId":"`+a+`","name":"x","queryString":"fields a"}`, "ResourceNotFoundException", "")
	r.refused("PutQueryDefinition", `{"name":"x"}`, "InvalidParameterException", "1 validation error detected: Value null at 'queryString'")
	r.refused("PutQueryDefinition", `{"name":"x","queryString":"fields a","parameters":[{"name":"n"}]}`, "InvalidParameterException", "The parameter n does not stand in the query")
	r.refused("PutQueryDefinition", `{"name":"x","queryString":"{{n}}","parameters":[{"name":"n"},{"name":"n"}]}`, "InvalidParameterException", "The parameter n is there twice")
	r.refused("PutQueryDefinition", `{"name":"x","queryString":"{{n}}","parameters":[{"name":"1n"}]}`, "InvalidParameterException", "1 validation error")
	r.refused("PutQueryDefinition", `{"name":"x","queryString":"source=a","queryLanguage":"PPL"}`, "InvalidParameterException", "Query language PPL")
}

func TestLookupTables(t *testing.T) {
	r := newRig(t)
	r.group(`{"id":"1"}`, `{"id":2}`)
	var made struct {
		LookupTableARN string
		CreatedAt      int64
	}
	r.call("CreateLookupTable", `{"lookupTableName":"names","tableBody":"id,name\n1,one\n2,\"t,wo\"\n","description":"d"}`, &made)
	if made.LookupTableARN != "arn:aws:logs:us-east-1:000000000000:lookup-table:names" || made.CreatedAt == 0 {
		t.Errorf("made %+v", made)
	}
	ask := `{"logGroupName":"g",` + anyTime + `,"queryString":"lookup names id OUTPUT name | fields id, name | sort id"}`
	if rows, _ := r.query(ask); rows != "id=1 name=one\nid=2 name=t,wo" {
		t.Errorf("rows %s", rows)
	}
	r.call("UpdateLookupTable", `{"lookupTableArn":"`+made.LookupTableARN+`","tableBody":"id,name\n1,uno\n"}`, nil)
	r.restart()
	if rows, _ := r.query(ask); rows != "id=1 name=uno\nid=2" {
		t.Errorf("rows %s", rows)
	}
	// A table of a query's result.
	id := r.startQuery("fields id, concat(\"n\", id) as name")
	for deadline := time.Now().Add(10 * time.Second); r.results(id).Status != "Complete"; {
		if time.Now().After(deadline) {
			t.Fatal("the query does not end")
		}
	}
	r.call("CreateLookupTable", `{"lookupTableName":"made","queryId":"`+id+`"}`, &made)
	var one struct {
		LookupTableName, TableBody, Description string
		SizeBytes                               int
	}
	r.call("GetLookupTable", `{"lookupTableArn":"`+made.LookupTableARN+`"}`, &one)
	if one.TableBody != "id,name\n2,n2\n1,n1\n" || one.SizeBytes != len(one.TableBody) {
		t.Errorf("table %+v", one)
	}
	var list struct {
		LookupTables []struct {
			LookupTableName, TableBody string
			TableFields                []string
			RecordsCount, SizeBytes    int
		}
		NextToken string
	}
	r.call("DescribeLookupTables", `{"maxResults":1}`, &list)
	if len(list.LookupTables) != 1 || list.LookupTables[0].LookupTableName != "made" || list.LookupTables[0].RecordsCount != 2 || !slices.Equal(list.LookupTables[0].TableFields, []string{"id", "name"}) || list.NextToken == "" || list.LookupTables[0].TableBody != "" {
		t.Errorf("list %+v", list)
	}
	r.call("DeleteLookupTable", `{"lookupTableArn":"`+made.LookupTableARN+`"}`, nil)
	r.refused("GetLookupTable", `{"lookupTableArn":"`+made.LookupTableARN+`"}`, "ResourceNotFoundException", "The specified lookup table does not exist.")
	r.refused("DeleteLookupTable", `{"lookupTableArn":"made"}`, "ResourceNotFoundException", "")
	r.refused("CreateLookupTable", `{"lookupTableName":"names","tableBody":"a\n"}`, "ResourceAlreadyExistsException", "")
	r.refused("CreateLookupTable", `{"lookupTableName":"a b","tableBody":"a\n"}`, "InvalidParameterException", "1 validation error")
	r.refused("CreateLookupTable", `{"lookupTableName":"x","tableBody":"a,a\n"}`, "ValidationException", `The table is not valid CSV: the column name "a"`)
	r.refused("CreateLookupTable", `{"lookupTableName":"x","tableBody":"a,b\n1\n"}`, "ValidationException", "The table is not valid CSV: the table can not be read: record on line 2: wrong number of fields")
	r.refused("CreateLookupTable", `{"lookupTableName":"x"}`, "InvalidParameterException", "1 validation error")
	big := `{"lookupTableName":"x","tableBody":` + encode(t, "a\n"+strings.Repeat("x", 10<<20)) + `}`
	r.refused("CreateLookupTable", big, "InvalidParameterException", "1 validation error")
}

// TestJoinedRowsAreMasked asks a group without a policy beside one that has one.
func TestJoinedRowsAreMasked(t *testing.T) {
	r := newRig(t)
	r.group(`{"mail":"bob@example.com","id":1}`)
	r.call("PutDataProtectionPolicy", fmt.Sprintf(`{"logGroupIdentifier":"g","policyDocument":%q}`, protection), nil)
	r.call("CreateLogGroup", `{"logGroupName":"h"}`, nil)
	r.stream("h", "s")
	r.put("h", "s", inEvent{now(), `{"id":1}`})
	ask := func(q string) string {
		rows, _ := r.query(fmt.Sprintf(`{"logGroupName":"h",%s,"queryString":%s}`, anyTime, encode(t, q)))
		return rows
	}
	if got := ask(`join left=a right=b where a.id = b.id (SOURCE "g" | fields id, mail) | fields b.mail | display b.mail`); got != "b.mail=***************" {
		t.Errorf("joined: %s", got)
	}
	if got := ask(`join left=a right=b where a.id = b.id (SOURCE "g" | fields id, mail) | unmask b.mail`); got != "b.mail=bob@example.com" {
		t.Errorf("unmasked: %s", got)
	}
}
