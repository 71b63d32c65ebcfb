package cwlogs_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/query/querytest"
)

type queryResults struct {
	Status     string                            `json:"status"`
	Results    [][]struct{ Field, Value string } `json:"results"`
	Statistics map[string]float64                `json:"statistics"`
	NextToken  string                            `json:"nextToken"`
	// ErrorMessage is ours: see docs/wire/cloudwatch-logs.md.
	ErrorMessage string `json:"errorMessage"`
}

// query runs a query to its end and returns its rows as lines of name=value, without @ptr.
func (r *rig) query(start string) (rows string, out queryResults) {
	r.t.Helper()
	var id struct{ QueryID string }
	r.call("StartQuery", start, &id)
	deadline := time.After(20 * time.Second)
	for {
		r.call("GetQueryResults", `{"queryId":"`+id.QueryID+`"}`, &out)
		if out.Status != "Scheduled" && out.Status != "Running" {
			break
		}
		select {
		case <-deadline:
			r.t.Fatalf("%s is still %s", start, out.Status)
		case <-time.After(2 * time.Millisecond):
		}
	}
	if out.Status != "Complete" {
		r.t.Fatalf("%s: %s", start, out.Status)
	}
	var lines []string
	for _, row := range out.Results {
		var fields []string
		for _, f := range row {
			if f.Field != "@ptr" {
				fields = append(fields, f.Field+"="+f.Value)
			}
		}
		lines = append(lines, strings.Join(fields, " "))
	}
	return strings.Join(lines, "\n"), out
}

// TestInsightsAnswers looks at what a corpus does not show: the columns of a query that names none,
// pointers, statistics, bins and the ends of the range.
func TestInsightsAnswers(t *testing.T) {
	r := newRig(t)
	const group = "logs/insights"
	r.call("CreateLogGroup", `{"logGroupName":"`+group+`"}`, nil)
	load := querytest.Corpus(t, "testdata/insights/small.txt")[0].Load
	for i := range 2 {
		r.stream(group, fmt.Sprint("s", i+1))
	}
	// One hour of whole minutes within the last two days, so that bins do not depend on the clock.
	base := time.Now().Add(-24 * time.Hour).Truncate(time.Hour)
	for i, m := range load {
		r.put(group, fmt.Sprint("s", i%2+1), inEvent{base.Add(time.Duration(i) * time.Minute).UnixMilli(), m})
	}

	rows, out := r.query(fmt.Sprintf(`{"logGroupNames":[%q],"startTime":%d,"endTime":%d,"limit":1,"queryString":"filter level = 'info' | limit 5"}`, group, base.Unix(), base.Unix()+3600))
	if want := "@timestamp=" + base.UTC().Format("2006-01-02 15:04:05.000") + " @message=" + load[0]; rows != want {
		t.Errorf("got  %s\nwant %s", rows, want)
	}
	if last := out.Results[0][2]; last.Field != "@ptr" || last.Value == "" {
		t.Errorf("pointer: %v", last)
	}
	if s := out.Statistics; s["recordsMatched"] != 1 || s["recordsScanned"]+s["estimatedRecordsSkipped"] != 8 || s["logGroupsScanned"] != 1 {
		t.Errorf("statistics: %v", s)
	}
	rows, _ = r.query(fmt.Sprintf(`{"logGroupName":%q,"startTime":%d,"endTime":%d,"queryString":"stats count(*) as n by bin(5m), @logStream"}`, group, base.UnixMilli(), base.UnixMilli()+3_600_000))
	at := func(min int) string {
		return "bin(5m)=" + base.Add(time.Duration(min)*time.Minute).UTC().Format("2006-01-02 15:04:05.000")
	}
	if want := at(5) + " @logStream=s1 n=1\n" + at(5) + " @logStream=s2 n=2\n" + at(0) + " @logStream=s1 n=3\n" + at(0) + " @logStream=s2 n=2"; rows != want {
		t.Errorf("got\n%s\nwant\n%s", rows, want)
	}
	// Both ends of the range are within it.
	if rows, _ = r.query(fmt.Sprintf(`{"logGroupName":%q,"startTime":%d,"endTime":%d,"queryString":"stats count(*) as n"}`, group, base.Unix()+60, base.Unix()+120)); rows != "n=2" {
		t.Errorf("range: %s", rows)
	}
}

func TestQueryOperations(t *testing.T) {
	r := newRig(t)
	r.call("CreateLogGroup", `{"logGroupName":"g"}`, nil)
	r.stream("g", "s")
	r.put("g", "s", inEvent{now(), "a"}, inEvent{now(), "b"})
	const span = `"startTime":0,"endTime":9999999999`
	r.refused("StartQuery", `{"logGroupName":"none",`+span+`,"queryString":"fields a"}`, "ResourceNotFoundException", "Log group 'none' does not exist for account ID '000000000000' (Service: AWSLogs;")
	r.refused("StartQuery", `{`+span+`,"queryString":"fields a"}`, "InvalidParameterException", "Exactly one")
	r.refused("StartQuery", `{"logGroupName":"g","startTime":2,"endTime":1,"queryString":"fields a"}`, "InvalidParameterException", "End time")
	r.refused("StartQuery", `{"logGroupName":"g",`+span+`,"queryLanguage":"SQL","queryString":"select 1"}`, "InvalidParameterException", "Query language SQL is not supported")
	r.refused("StartQuery", `{"logGroupName":"g",`+span+`,"queryString":"pattern split(a, b)"}`, "MalformedQueryException", "1:1: pattern does not take maps and lists")
	_, text := r.post("StartQuery", []byte(`{"logGroupName":"g",`+span+`,"queryString":"filter a='é' | nonsense"}`), nil)
	if want := `"queryCompileError":{"location":{"startCharOffset":15,"endCharOffset":23},"message":"unexpected \"nonsense\"`; !strings.Contains(string(text), want) {
		t.Errorf("got %s\nwant %s", text, want)
	}
	r.refused("GetQueryResults", `{"queryId":"x"}`, "InvalidParameterException", "")
	r.refused("GetQueryResults", `{"queryId":"24b95582-9e7b-4e0a-9ad1-639773ab7552"}`, "ResourceNotFoundException", "")

	rows, out := r.query(`{"logGroupName":"g",` + span + `,"queryString":"fields @message | sort @timestamp asc"}`)
	if rows != "@message=a\n@message=b" {
		t.Errorf("rows: %s", rows)
	}
	var list struct {
		Queries []struct {
			QueryID, QueryString, Status, LogGroupName string
			CreateTime                                 int64
		}
	}
	r.call("DescribeQueries", `{"logGroupName":"g","status":"Complete"}`, &list)
	if len(list.Queries) != 1 || list.Queries[0].QueryString != `SOURCE "g" START=0 END=9000000000999 | fields @message | sort @timestamp asc` || list.Queries[0].LogGroupName != "g" {
		t.Errorf("queries: %+v", list)
	}
	id := list.Queries[0].QueryID
	r.call("GetQueryResults", `{"queryId":"`+id+`","maxItems":1}`, &out)
	if len(out.Results) != 1 || out.NextToken == "" {
		t.Fatalf("first page: %+v", out)
	}
	token := out.NextToken
	out = queryResults{}
	r.call("GetQueryResults", `{"queryId":"`+id+`","maxItems":1,"nextToken":"`+token+`"}`, &out)
	if len(out.Results) != 1 || out.Results[0][0].Value != "b" || out.NextToken != "" {
		t.Errorf("second page: %+v", out)
	}
	r.refused("StopQuery", `{"queryId":"`+id+`"}`, "InvalidParameterException", "")
	_, text = r.post("GetQueryResults", []byte(`{"queryId":"`+id+`"}`), nil)
	if !regexp.MustCompile(`"recordsMatched":2\.0,"recordsScanned":2\.0`).Match(text) {
		t.Errorf("statistics: %s", text)
	}
}
