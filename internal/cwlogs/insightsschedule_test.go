package cwlogs_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/cwlogs"
)

func TestSchedules(t *testing.T) {
	at := time.Date(2026, 11, 20, 10, 7, 30, 0, time.UTC) // a Friday
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		expression string
		in         *time.Location
		want       string
	}{
		{"rate(5 minutes)", time.UTC, "20 10:12:30, 20 10:17:30"},
		{"rate(1 day)", time.UTC, "21 10:07:30, 22 10:07:30"},
		{"cron(0/15 * * * ? *)", time.UTC, "20 10:15:00, 20 10:30:00"},
		{"cron(0 9 ? * MON-FRI *)", time.UTC, "23 09:00:00, 24 09:00:00"},
		{"cron(0 9 ? * 6 *)", time.UTC, "27 09:00:00, 04 09:00:00"},
		{"0 9 * * 5", time.UTC, "27 09:00:00, 04 09:00:00"},
		{"30 8,18 * * *", time.UTC, "20 18:30:00, 21 08:30:00"},
		{"0 0 1 JAN *", time.UTC, "01 00:00:00, 01 00:00:00"},
		{"0 12 13 * 0", time.UTC, "22 12:00:00, 29 12:00:00"},
		{"cron(0 9 * * ? *)", berlin, "21 08:00:00, 22 08:00:00"},
		{"cron(0 0 1 1 ? 2030)", time.UTC, "01 00:00:00, 01 00:00:00"},
	} {
		got, err := cwlogs.Next(c.expression, at, c.in, 2)
		var text []string
		for _, x := range got {
			text = append(text, x.UTC().Format("02 15:04:05"))
		}
		if err != nil || strings.Join(text, ", ") != c.want {
			t.Errorf("%s: %s %v, want %s", c.expression, text, err, c.want)
		}
	}
	// Where the clock goes from 2 to 3 there is no half past two.
	got, err := cwlogs.Next("30 2 * * *", time.Date(2027, 3, 27, 12, 0, 0, 0, time.UTC), berlin, 1)
	if err != nil || got[0].In(berlin).Format("02 15:04") != "29 02:30" {
		t.Errorf("around the change of the clock: %v, %v", got, err)
	}
	for _, bad := range []string{"", "rate(0 minutes)", "rate(5)", "rate(5 weeks)", "cron(* * * *)", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "cron(0 9 1 * MON *)", "cron(0 9 L * ? *)", "*/0 * * * *", "5-2 * * * *", "cron(0 0 1 1 ? 1900)", "rate(99999999 days)"} {
		if _, err := cwlogs.Next(bad, at, time.UTC, 1); err == nil {
			t.Errorf("%q is taken for a schedule", bad)
		}
	}
}

func TestScheduledQueries(t *testing.T) {
	r := newRig(t)
	r.group(`{"level":"error"}`, `{"level":"error"}`, `{"level":"info"}`)
	var mu sync.Mutex
	var posts []string
	refuse := 1 // the first post fails
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		text, err := io.ReadAll(req.Body)
		mu.Lock()
		defer mu.Unlock()
		if err != nil || refuse > 0 {
			refuse--
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		posts = append(posts, string(text))
	}))
	defer hook.Close()
	create := func(name, schedule, text, to string) string {
		return fmt.Sprintf(`{"name":%q,"queryLanguage":"CWLI","queryString":%q,"logGroupIdentifiers":["g"],"scheduleExpression":%q,"startTimeOffset":3600,"executionRoleArn":"arn:aws:iam::000000000000:role/x",
			"destinationConfiguration":{"s3Configuration":{"destinationIdentifier":%q,"roleArn":"x"}}}`, name, text, schedule, to)
	}
	const count = "stats count(*) as n by level"
	var made struct{ ScheduledQueryARN, State string }
	r.call("CreateScheduledQuery", create("errors", "rate(1 minute)", count, hook.URL), &made)
	r.call("CreateScheduledQuery", create("table", "rate(1 minute)", count, "lookup-table:levels"), nil)
	if made.State != "ENABLED" || !strings.HasPrefix(made.ScheduledQueryARN, "arn:aws:logs:us-east-1:000000000000:scheduled-query:") {
		t.Errorf("made %+v", made)
	}
	now := time.Now()
	if err := r.logs.RunDue(t.Context(), now.Add(30*time.Second)); err != nil || len(posts) != 0 {
		t.Fatalf("before it is due: %v %v", posts, err)
	}
	if err := r.logs.RunDue(t.Context(), now.Add(61*time.Second)); err != nil {
		t.Fatal(err)
	}
	var post struct {
		Name, QueryID, QueryString, ScheduledQueryARN string
		RowCount                                      int
		Results                                       [][]struct{ Field, Value string }
		StartTime, EndTime                            int64
	}
	if len(posts) != 1 {
		t.Fatalf("%d posts", len(posts))
	}
	if err := json.Unmarshal([]byte(posts[0]), &post); err != nil {
		t.Fatal(err)
	}
	if post.Name != "errors" || post.RowCount != 2 || post.Results[0][0].Value != "error" || post.Results[0][1].Value != "2" || post.ScheduledQueryARN != made.ScheduledQueryARN || post.EndTime-post.StartTime != 3600_000-1 {
		t.Errorf("posted %s", posts[0])
	}
	if rows, _ := r.query(`{"logGroupName":"g",` + anyTime + `,"queryString":"lookup levels level OUTPUT n | stats max(n) as n by level"}`); rows != "level=error n=2\nlevel=info n=1" {
		t.Errorf("by the table: %s", rows)
	}
	type history struct {
		Name           string
		TriggerHistory []struct {
			QueryID, ExecutionStatus, ErrorMessage string
			TriggeredTimestamp                     int64
			Destinations                           []struct{ Status, DestinationIdentifier, ErrorMessage string }
		}
		NextToken string
	}
	read := func(identifier, more string) (h history) {
		t.Helper()
		r.call("GetScheduledQueryHistory", fmt.Sprintf(`{"identifier":%q,"startTime":0,"endTime":9999999999%s}`, identifier, more), &h)
		return h
	}
	h := read(made.ScheduledQueryARN, "")
	if len(h.TriggerHistory) != 1 || h.TriggerHistory[0].ExecutionStatus != "Complete" || h.TriggerHistory[0].QueryID != post.QueryID || h.TriggerHistory[0].Destinations[0].Status != "COMPLETE" {
		t.Errorf("history %+v", h)
	}
	if got := r.results(post.QueryID); got.Status != "Complete" || len(got.Results) != 2 {
		t.Errorf("results %+v", got)
	}
	// Several minutes later it runs once, not for each minute that went by.
	if err := r.logs.RunDue(t.Context(), now.Add(10*time.Minute)); err != nil || len(posts) != 2 {
		t.Errorf("%d posts after ten minutes, %v", len(posts), err)
	}
	first := read("errors", `,"maxResults":1`)
	second := read("errors", `,"maxResults":1,"nextToken":"`+first.NextToken+`"`)
	if len(first.TriggerHistory) != 1 || len(second.TriggerHistory) != 1 || second.NextToken != "" || first.TriggerHistory[0].TriggeredTimestamp <= second.TriggerHistory[0].TriggeredTimestamp {
		t.Errorf("pages of the history: %+v, %+v", first, second)
	}
	r.restart()
	var one struct {
		Name, State, LastExecutionStatus, ScheduleExpression, QueryString string
		LastTriggeredTime, CreationTime                                   int64
		DestinationConfiguration                                          struct {
			S3Configuration struct{ DestinationIdentifier string }
		}
	}
	r.call("GetScheduledQuery", `{"identifier":"errors"}`, &one)
	if one.Name != "errors" || one.LastExecutionStatus != "Complete" || one.LastTriggeredTime == 0 || one.DestinationConfiguration.S3Configuration.DestinationIdentifier != hook.URL || one.QueryString != count {
		t.Errorf("after a restart: %+v", one)
	}
	r.call("UpdateScheduledQuery", strings.Replace(create("", "cron(0 9 * * ? *)", "stats count(*)", hook.URL), `{"name":""`, `{"identifier":"errors","state":"DISABLED"`, 1), &one)
	if one.State != "DISABLED" || one.ScheduleExpression != "cron(0 9 * * ? *)" {
		t.Errorf("updated %+v", one)
	}
	if err := r.logs.RunDue(t.Context(), now.Add(72*time.Hour)); err != nil || len(posts) != 2 {
		t.Errorf("a disabled query ran: %d posts, %v", len(posts), err)
	}
	var list struct {
		ScheduledQueries []struct{ Name, State string }
		NextToken        string
	}
	r.call("ListScheduledQueries", `{"maxResults":1}`, &list)
	if len(list.ScheduledQueries) != 1 || list.ScheduledQueries[0].Name != "errors" || list.NextToken == "" {
		t.Errorf("list %+v", list)
	}
	r.call("ListScheduledQueries", `{"state":"ENABLED"}`, &list)
	if len(list.ScheduledQueries) != 1 || list.ScheduledQueries[0].Name != "table" {
		t.Errorf("enabled %+v", list)
	}
	// Without its group the query is not right any more.
	r.call("DeleteLogGroup", `{"logGroupName":"g"}`, nil)
	if err := r.logs.RunDue(t.Context(), now.Add(100*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if h := read("table", `,"executionStatuses":["InvalidQuery"]`); len(h.TriggerHistory) != 1 || !strings.HasPrefix(h.TriggerHistory[0].ErrorMessage, "Log group 'g' does not exist") {
		t.Errorf("history without the group: %+v", h)
	}
	r.call("DeleteScheduledQuery", `{"identifier":"errors"}`, nil)
	r.refused("GetScheduledQuery", `{"identifier":"errors"}`, "ResourceNotFoundException", "The specified scheduled query does not exist.")
}

func TestScheduledQueriesRefuse(t *testing.T) {
	r := newRig(t)
	r.group("x")
	ok := `{"name":"q","queryLanguage":"CWLI","queryString":"fields a","logGroupIdentifiers":["g"],"scheduleExpression":"rate(1 hour)","executionRoleArn":"r"}`
	for from, to := range map[string]string{
		`"name":"q"`: `"name":"q q"`, `"queryString":"fields a"`: `"queryString":"fields"`, `rate(1 hour)`: `rate(1 week)`, `"CWLI"`: `"SQL"`, `"executionRoleArn":"r"`: `"x":1`,
		`"executionRoleArn":"r"}`:  `"executionRoleArn":"r","destinationConfiguration":{"s3Configuration":{"destinationIdentifier":"s3://bucket/x","roleArn":"r"}}}`,
		`,"executionRoleArn":"r"}`: `,"executionRoleArn":"r","timezone":"Mars/Base"}`, `"fields a",`: `"fields a","destinationConfiguration":{"s3Configuration":{"destinationIdentifier":"ftp://x","roleArn":"r"}},`,
		`"logGroupIdentifiers":["g"],`: `"tags":{"a*":"b"},"logGroupIdentifiers":["g"],`,
	} {
		body := strings.Replace(ok, from, to, 1)
		if body == ok {
			t.Fatalf("%s is not in it", from)
		}
		r.refused("CreateScheduledQuery", body, "ValidationException", "")
	}
	r.refused("CreateScheduledQuery", strings.Replace(ok, `["g"]`, `["none"]`, 1), "ResourceNotFoundException", "")
	r.call("CreateScheduledQuery", ok, nil)
	r.refused("CreateScheduledQuery", ok, "ConflictException", "")
	r.refused("GetScheduledQueryHistory", `{"identifier":"q","startTime":2,"endTime":1}`, "ValidationException", "")
	r.refused("DeleteScheduledQuery", `{"identifier":"none"}`, "ResourceNotFoundException", "")
}
