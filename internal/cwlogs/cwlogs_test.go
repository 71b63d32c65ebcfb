package cwlogs_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/cwlogs"
	"github.com/trefoil-o11y/trefoil/internal/cwmetrics"
	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/ingest/ingesttest"
)

// rig is a server over a real store and queue, behind HTTP.
type rig struct {
	t    *testing.T
	dir  string
	logs *cwlogs.Server
	http *httptest.Server
	// metrics is CloudWatch's metrics beside it.
	metrics *httptest.Server
	stop    func()
	parts   *ingesttest.Parts
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, dir: t.TempDir()}
	r.open()
	t.Cleanup(func() { r.stop() })
	return r
}

func (r *rig) open() {
	r.t.Helper()
	ctx := context.WithoutCancel(r.t.Context())
	parts := ingesttest.Open(r.t, r.dir)
	auth := &awsapi.Auth{Mode: awsapi.Off, Account: "000000000000", Environment: "default", Region: "us-east-1"}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	metrics := cwmetrics.New(cwmetrics.Config{Store: parts.Store, Meta: parts.Meta, Queue: parts.Queue, Auth: auth, Log: log})
	r.parts = parts
	r.logs = cwlogs.New(cwlogs.Config{
		Store: parts.Store, Meta: parts.Meta, Queue: parts.Queue, Log: log, Auth: auth, Exports: filepath.Join(r.dir, "exports"),
		Metrics: func(ctx context.Context, environment string, data []cwlogs.Datum) (*event.Batch, error) {
			var out []cwmetrics.Datum
			for _, d := range data {
				out = append(out, cwmetrics.Of(d.Namespace, d.Metric, d.Unit, d.Dimensions, d.Time, d.Value, d.Count))
			}
			return metrics.Batch(ctx, environment, out)
		},
	})
	if err := r.logs.ApplyRetention(ctx); err != nil {
		r.t.Fatal(err)
	}
	r.http = httptest.NewServer(r.logs.Handler())
	r.metrics = httptest.NewServer(metrics)
	run, end := context.WithCancel(ctx)
	done := make(chan error)
	go func() { done <- r.logs.Run(run) }()
	r.stop = func() {
		end()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
		r.http.Close()
		r.metrics.Close()
		parts.Close(r.t)
	}
}

// restart closes everything and opens it again.
func (r *rig) restart() {
	r.t.Helper()
	r.stop()
	r.open()
}

// post sends a body and returns the status and the answer.
func (r *rig) post(op string, body []byte, header http.Header) (int, []byte) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.http.URL, bytes.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header = header.Clone()
	if req.Header == nil {
		req.Header = http.Header{}
	}
	req.Header.Set("X-Amz-Target", "Logs_20140328."+op)
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	res, err := r.http.Client().Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	if res.Header.Get("x-amzn-RequestId") == "" {
		r.t.Errorf("%s has no request id", op)
	}
	return res.StatusCode, text
}

// call makes a call that must succeed and decodes its answer into out, unless that is nil.
func (r *rig) call(op, body string, out any) {
	r.t.Helper()
	status, text := r.post(op, []byte(body), nil)
	if status != http.StatusOK {
		r.t.Fatalf("%s %.300s: %d %s", op, body, status, text)
	}
	if out != nil {
		if err := json.Unmarshal(text, out); err != nil {
			r.t.Fatalf("%s: %s: %v", op, text, err)
		}
	}
}

// refused makes a call that must fail, and compares its code and the begin of its message.
func (r *rig) refused(op, body, code, message string) {
	r.t.Helper()
	status, text := r.post(op, []byte(body), nil)
	var e struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}
	if err := json.Unmarshal(text, &e); err != nil {
		r.t.Fatal(err)
	}
	if status != http.StatusBadRequest || e.Type != code || !strings.HasPrefix(e.Message, message) {
		r.t.Errorf("%s %.300s:\ngot  %d %s: %s\nwant 400 %s: %s", op, body, status, e.Type, e.Message, code, message)
	}
}

func encode(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

type inEvent struct {
	Timestamp int64  `json:"timestamp"`
	Message   string `json:"message"`
}

func (r *rig) stream(group, stream string) {
	r.t.Helper()
	r.call("CreateLogStream", fmt.Sprintf(`{"logGroupName":%q,"logStreamName":%q}`, group, stream), nil)
}

type putOutput struct {
	NextSequenceToken string
	Rejected          map[string]int `json:"rejectedLogEventsInfo"`
}

func putBody(t *testing.T, group, stream string, events []inEvent) string {
	return fmt.Sprintf(`{"logGroupName":%q,"logStreamName":%q,"logEvents":%s}`, group, stream, encode(t, events))
}

func (r *rig) put(group, stream string, events ...inEvent) putOutput {
	r.t.Helper()
	var out putOutput
	r.call("PutLogEvents", putBody(r.t, group, stream, events), &out)
	return out
}

type outEvent struct {
	LogStreamName string `json:"logStreamName"`
	Timestamp     int64  `json:"timestamp"`
	Message       string `json:"message"`
	IngestionTime int64  `json:"ingestionTime"`
	EventID       string `json:"eventId"`
}

type eventsOutput struct {
	Events            []outEvent `json:"events"`
	NextForwardToken  string     `json:"nextForwardToken"`
	NextBackwardToken string     `json:"nextBackwardToken"`
	NextToken         string     `json:"nextToken"`
}

func (o eventsOutput) messages() string {
	var list []string
	for _, e := range o.Events {
		list = append(list, e.Message)
	}
	return strings.Join(list, " ")
}

func now() int64 { return time.Now().UnixMilli() }

func TestGroups(t *testing.T) {
	r := newRig(t)
	r.call("CreateLogGroup", `{"logGroupName":"/app/a","tags":{"k":"v"}}`, nil)
	r.call("CreateLogGroup", `{"logGroupName":"/app/b","logGroupClass":"INFREQUENT_ACCESS","kmsKeyId":"key","deletionProtectionEnabled":true}`, nil)
	r.refused("CreateLogGroup", `{"logGroupName":"/app/a"}`, "ResourceAlreadyExistsException", "The specified log group already exists")
	r.refused("CreateLogGroup", `{"logGroupName":"a b"}`, "InvalidParameterException",
		`1 validation error detected: Value 'a b' at 'logGroupName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\.\-_/#A-Za-z0-9]+`)
	r.refused("CreateLogGroup", `{"logGroupName":"`+strings.Repeat("x", 513)+`"}`, "InvalidParameterException", "Invalid LogGroup or LogStream, both must have")
	r.refused("CreateLogGroup", `{}`, "InvalidParameterException", "1 validation error detected: Value null at 'logGroupName'")
	r.refused("CreateLogGroup", `{"logGroupName":"aws/x"}`, "InvalidParameterException", "Log groups starting with AWS/")
	r.refused("CreateLogGroup", `{"logGroupName":5}`, "SerializationException", "")
	r.refused("CreateLogGroup", `{`, "SerializationException", "")
	r.refused("PutSomething", `{}`, "UnknownOperationException", "PutSomething")
	r.stream("/app/a", "s")
	r.put("/app/a", "s", inEvent{now(), "four"}, inEvent{now(), "é"})

	var out struct {
		LogGroups []map[string]json.RawMessage `json:"logGroups"`
		NextToken string                       `json:"nextToken"`
	}
	r.call("DescribeLogGroups", `{"logGroupNamePrefix":"/app/","limit":1}`, &out)
	g := out.LogGroups[0]
	delete(g, "creationTime")
	want := `{"arn":"arn:aws:logs:us-east-1:000000000000:log-group:/app/a:*","deletionProtectionEnabled":false,` +
		`"logGroupArn":"arn:aws:logs:us-east-1:000000000000:log-group:/app/a","logGroupClass":"STANDARD","logGroupName":"/app/a","metricFilterCount":0,"storedBytes":58}`
	if got := encode(t, g); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	token := out.NextToken
	out.NextToken = ""
	r.call("DescribeLogGroups", fmt.Sprintf(`{"logGroupNamePrefix":"/app/","limit":1,"nextToken":%q}`, token), &out)
	if string(out.LogGroups[0]["logGroupName"]) != `"/app/b"` || out.NextToken != "" {
		t.Errorf("second page: %s", encode(t, out))
	}
	r.refused("DescribeLogGroups", `{"nextToken":"x"}`, "InvalidParameterException", "The specified nextToken is invalid.")
	r.refused("DescribeLogGroups", `{"limit":51}`, "InvalidParameterException", "1 validation error detected: Value '51' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 50")
	r.refused("DescribeLogGroups", `{"logGroupNamePrefix":"a","logGroupNamePattern":"a"}`, "InvalidParameterException", "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.")
	for body, want := range map[string]int{
		`{}`: 2, `{"logGroupNamePattern":"pp/b"}`: 1, `{"logGroupNamePattern":"APP"}`: 0, `{"logGroupClass":"STANDARD"}`: 1,
		`{"logGroupIdentifiers":["/app/a","arn:aws:logs:us-east-1:000000000000:log-group:/app/b:*","/none"]}`: 2,
	} {
		out.LogGroups = nil
		r.call("DescribeLogGroups", body, &out)
		if len(out.LogGroups) != want {
			t.Errorf("%s: %d groups, want %d", body, len(out.LogGroups), want)
		}
	}
	for body, want := range map[string]int{
		`{}`: 2, `{"logGroupNamePattern":"xyz|^/app/b"}`: 1, `{"logGroupNamePattern":"pp/a"}`: 1, `{"logGroupNamePattern":"^pp/a"}`: 0,
		`{"logGroupTags":[{"key":"k","values":["v*"]}]}`: 1, `{"logGroupTags":[{"key":"k","values":["!v"]}]}`: 0,
	} {
		out.LogGroups = nil
		r.call("ListLogGroups", body, &out)
		if len(out.LogGroups) != want {
			t.Errorf("list %s: %d groups, want %d", body, len(out.LogGroups), want)
		}
	}
	r.refused("DeleteLogGroup", `{"logGroupName":"/app/b"}`, "ValidationException", "")
	r.call("PutLogGroupDeletionProtection", `{"logGroupIdentifier":"/app/b","deletionProtectionEnabled":false}`, nil)
	r.call("DeleteLogGroup", `{"logGroupName":"/app/b"}`, nil)
	r.refused("DeleteLogGroup", `{"logGroupName":"/app/b"}`, "ResourceNotFoundException", "The specified log group does not exist.")

	// A group of the same name begins empty.
	r.call("DeleteLogGroup", `{"logGroupName":"/app/a"}`, nil)
	r.call("CreateLogGroup", `{"logGroupName":"/app/a"}`, nil)
	var events eventsOutput
	r.call("FilterLogEvents", `{"logGroupName":"/app/a"}`, &events)
	var tags struct{ Tags map[string]string }
	r.call("ListTagsLogGroup", `{"logGroupName":"/app/a"}`, &tags)
	if len(events.Events) != 0 || len(tags.Tags) != 0 {
		t.Errorf("the new group has %v, %v", events.Events, tags.Tags)
	}
}

func TestTagsAndRetention(t *testing.T) {
	r := newRig(t)
	r.call("CreateLogGroup", `{"logGroupName":"g","tags":{"a":"1"}}`, nil)
	arn := `"arn:aws:logs:us-east-1:000000000000:log-group:g"`
	r.call("TagResource", `{"resourceArn":`+arn+`,"tags":{"b":"2"}}`, nil)
	r.call("TagLogGroup", `{"logGroupName":"g","tags":{"c":"3"}}`, nil)
	r.call("UntagResource", `{"resourceArn":`+strings.TrimSuffix(arn, `"`)+`:*","tagKeys":["a","none"]}`, nil)
	r.call("UntagLogGroup", `{"logGroupName":"g","tags":["c"]}`, nil)
	var out struct{ Tags map[string]string }
	r.call("ListTagsForResource", `{"resourceArn":`+arn+`}`, &out)
	if encode(t, out.Tags) != `{"b":"2"}` {
		t.Errorf("tags: %v", out.Tags)
	}
	many := map[string]string{}
	for i := range 50 {
		many[fmt.Sprint("k", i)] = ""
	}
	r.refused("TagResource", `{"resourceArn":`+arn+`,"tags":`+encode(t, many)+`}`, "TooManyTagsException", "")
	r.refused("TagResource", `{"resourceArn":"x","tags":{"a":""}}`, "InvalidParameterException", "The specified resource ARN is invalid.")
	r.refused("ListTagsForResource", `{"resourceArn":"arn:aws:logs:r:1:log-group:none"}`, "ResourceNotFoundException", "The specified log group does not exist.")

	r.stream("g", "s")
	r.put("g", "s", inEvent{now() - 3*24*3600*1000, "old"})
	r.put("g", "s", inEvent{now(), "new"})
	r.refused("PutRetentionPolicy", `{"logGroupName":"g","retentionInDays":2}`, "InvalidParameterException", "1 validation error detected: Value '2' at 'retentionInDays' failed to satisfy constraint: Member must satisfy enum value set: [1, 3")
	r.refused("PutRetentionPolicy", `{"logGroupName":"none","retentionInDays":1}`, "ResourceNotFoundException", "")
	r.call("PutRetentionPolicy", `{"logGroupName":"g","retentionInDays":1}`, nil)
	check := func(want string) {
		t.Helper()
		var e eventsOutput
		r.call("FilterLogEvents", `{"logGroupName":"g"}`, &e)
		if e.messages() != want {
			t.Errorf("events %q, want %q", e.messages(), want)
		}
	}
	check("new")
	r.restart()
	check("new")
	put := r.put("g", "s", inEvent{now() - 2*24*3600*1000, "expired"}, inEvent{now(), "newer"})
	if encode(t, put.Rejected) != `{"expiredLogEventEndIndex":1}` {
		t.Errorf("rejected: %v", put.Rejected)
	}
	var g struct {
		LogGroups []struct{ RetentionInDays int }
	}
	r.call("DescribeLogGroups", `{}`, &g)
	if g.LogGroups[0].RetentionInDays != 1 {
		t.Errorf("retention: %v", g)
	}
	r.call("DeleteRetentionPolicy", `{"logGroupName":"g"}`, nil)
}

func TestPut(t *testing.T) {
	r := newRig(t)
	r.refused("PutLogEvents", putBody(t, "g", "s", []inEvent{{1, "a"}}), "ResourceNotFoundException", "The specified log group does not exist.")
	r.call("CreateLogGroup", `{"logGroupName":"g"}`, nil)
	r.refused("PutLogEvents", putBody(t, "g", "s", []inEvent{{2, "a"}, {1, "a"}}), "ResourceNotFoundException", "The specified log stream does not exist.")
	r.stream("g", "s")
	r.refused("CreateLogStream", `{"logGroupName":"g","logStreamName":"s"}`, "ResourceAlreadyExistsException", "The specified log stream already exists")
	r.refused("CreateLogStream", `{"logGroupName":"g","logStreamName":"a:b"}`, "InvalidParameterException", "1 validation error")
	n := now()
	r.refused("PutLogEvents", putBody(t, "g", "s", []inEvent{{n, "a"}, {n - 1, "b"}}), "InvalidParameterException", "Log events in a single PutLogEvents request must be in chronological order.")
	r.refused("PutLogEvents", putBody(t, "g", "s", []inEvent{}), "InvalidParameterException", "1 validation error detected: Value '[]' at 'logEvents'")
	r.refused("PutLogEvents", putBody(t, "g", "s", []inEvent{{-1, ""}}), "InvalidParameterException", "2 validation errors detected: ")
	r.refused("PutLogEvents", putBody(t, "g", "s", make([]inEvent, 10_001)), "InvalidParameterException", "")
	half := strings.Repeat("é", (1<<20-2*26)/4)
	full := []inEvent{{n, half}, {n, half}}
	r.refused("PutLogEvents", putBody(t, "g", "s", append(full[:1:1], inEvent{n, half + "x"})), "InvalidParameterException", "Upload too large: 1048577 bytes exceeds limit of 1048576")
	r.refused("PutLogEvents", putBody(t, "g", "s", []inEvent{{n - 25*3600*1000, "a"}, {n, "b"}}), "InvalidParameterException", "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.")
	out := r.put("g", "s", full...)
	if len(out.NextSequenceToken) != 56 || out.Rejected != nil {
		t.Errorf("full batch: %v", out)
	}
	const hour = 3600 * 1000
	out = r.put("g", "s", inEvent{n - 15*24*hour, "old"}, inEvent{n, "kept"}, inEvent{n + 3*hour, "new"}, inEvent{n + 4*hour, "newer"})
	if encode(t, out.Rejected) != `{"tooNewLogEventStartIndex":2,"tooOldLogEventEndIndex":1}` {
		t.Errorf("rejected: %v", out.Rejected)
	}
	out = r.put("g", "s", inEvent{1, "ancient"})
	if encode(t, out.Rejected) != `{"tooOldLogEventEndIndex":1}` || len(out.NextSequenceToken) != 56 {
		t.Errorf("rejected: %v", out)
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write([]byte(putBody(t, "g", "s", []inEvent{{n, "zipped"}}))); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if status, text := r.post("PutLogEvents", zipped.Bytes(), http.Header{"Content-Encoding": {"gzip"}}); status != http.StatusOK {
		t.Errorf("gzip: %d %s", status, text)
	}
	if status, text := r.post("PutLogEvents", make([]byte, 13<<20), nil); status != http.StatusRequestEntityTooLarge {
		t.Errorf("large body: %d %s", status, text)
	}
	var events eventsOutput
	r.call("FilterLogEvents", `{"logGroupName":"g","filterPattern":"-é"}`, &events)
	if events.messages() != "kept zipped" {
		t.Errorf("events: %q", events.messages())
	}
}

func TestGetLogEvents(t *testing.T) {
	r := newRig(t)
	r.call("CreateLogGroup", `{"logGroupName":"g"}`, nil)
	const stream = "host//usr/local/flask/__main__.py/app/1"
	r.stream("g", stream)
	r.stream("g", "other")
	base := now() - 60_000
	get := func(more string) eventsOutput {
		t.Helper()
		var out eventsOutput
		r.call("GetLogEvents", `{"logGroupName":"g","logStreamName":"`+stream+`"`+more+`}`, &out)
		return out
	}
	empty := get("")
	if len(empty.Events) != 0 || len(empty.NextForwardToken) != 58 || !strings.HasPrefix(empty.NextBackwardToken, "b/") {
		t.Errorf("empty stream: %+v", empty)
	}
	for i := range 3 {
		r.put("g", stream, inEvent{base + int64(i), fmt.Sprint("a", i)}, inEvent{base + int64(i), fmt.Sprint("b", i)})
		r.put("g", "other", inEvent{base, "other"})
	}
	if got := get(`,"nextToken":"` + empty.NextForwardToken + `"`).messages(); got != "a0 b0 a1 b1 a2 b2" {
		t.Errorf("after the empty page: %s", got)
	}
	tail := get(`,"limit":2`)
	if tail.messages() != "a2 b2" {
		t.Errorf("tail: %s", tail.messages())
	}
	back := get(`,"limit":3,"nextToken":"` + tail.NextBackwardToken + `"`)
	if back.messages() != "b0 a1 b1" {
		t.Errorf("back: %s", back.messages())
	}
	if got := get(`,"limit":9,"nextToken":"` + back.NextForwardToken + `"`).messages(); got != "a2 b2" {
		t.Errorf("forward again: %s", got)
	}
	end := get(`,"nextToken":"` + tail.NextForwardToken + `"`)
	if len(end.Events) != 0 || end.NextForwardToken != tail.NextForwardToken {
		t.Errorf("end: %+v", end)
	}
	if got := get(`,"limit":1,"nextToken":"` + end.NextBackwardToken + `"`).messages(); got != "b2" {
		t.Errorf("back from the end: %s", got)
	}
	head := get(`,"startFromHead":true,"limit":3`)
	if head.messages() != "a0 b0 a1" {
		t.Errorf("head: %s", head.messages())
	}
	front := get(`,"nextToken":"` + head.NextBackwardToken + `"`)
	if len(front.Events) != 0 || front.NextBackwardToken != head.NextBackwardToken {
		t.Errorf("front: %+v", front)
	}
	if got := get(`,"nextToken":"` + front.NextForwardToken + `","limit":1`).messages(); got != "a0" {
		t.Errorf("forward from the front: %s", got)
	}
	if got := get(fmt.Sprintf(`,"startTime":%d,"endTime":%d`, base+1, base+2)).messages(); got != "a1 b1" {
		t.Errorf("range: %s", got)
	}
	if got := get(fmt.Sprintf(`,"startTime":%d,"endTime":%d`, base+2, base+1)).messages(); got != "" {
		t.Errorf("turned range: %s", got)
	}
	r.refused("GetLogEvents", `{"logGroupName":"g","logStreamName":"none"}`, "ResourceNotFoundException", "The specified log stream does not exist.")
	r.refused("GetLogEvents", `{"logGroupName":"g","logStreamName":"other","nextToken":"x"}`, "InvalidParameterException", "The specified nextToken is invalid.")
	r.refused("GetLogEvents", `{"logGroupName":"g","logGroupIdentifier":"g","logStreamName":"other"}`, "ValidationException", "LogGroup name and LogGroup ARN are mutually exclusive parameters.")
	r.refused("GetLogEvents", `{"logGroupName":"g","logStreamName":"other","limit":10001}`, "InvalidParameterException",
		"1 validation error detected: Value '10001' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 10000")

	var streams struct {
		LogStreams []struct {
			LogStreamName                           string
			FirstEventTimestamp, LastEventTimestamp int64
			LastIngestionTime, StoredBytes          int64
			UploadSequenceToken, ARN                string
		} `json:"logStreams"`
	}
	r.call("DescribeLogStreams", `{"logGroupName":"g","orderBy":"LastEventTime","descending":true}`, &streams)
	if s := streams.LogStreams; len(s) != 2 || s[0].LogStreamName != stream || s[0].FirstEventTimestamp != base || s[0].LastEventTimestamp != base+2 ||
		len(s[0].UploadSequenceToken) != 56 || s[0].ARN != "arn:aws:logs:us-east-1:000000000000:log-group:g:log-stream:"+stream {
		t.Errorf("streams: %+v", s)
	}
	r.refused("DescribeLogStreams", `{"logGroupName":"g","orderBy":"LastEventTime","logStreamNamePrefix":"x"}`, "InvalidParameterException", "Cannot order by LastEventTime with a logStreamNamePrefix.")
}

func TestFilterLogEvents(t *testing.T) {
	r := newRig(t)
	r.call("CreateLogGroup", `{"logGroupName":"g"}`, nil)
	base := now() - 60_000
	for i, s := range []string{"a1", "a2", "b"} {
		r.stream("g", s)
		r.put("g", s, inEvent{base + int64(i), `{"n":` + fmt.Sprint(i) + `}`}, inEvent{base + 10, s + " HomeActivities"}, inEvent{base + 20 + int64(i), `"404 NOT FOUND"`})
	}
	filter := func(more string) eventsOutput {
		t.Helper()
		var out eventsOutput
		r.call("FilterLogEvents", `{"logGroupIdentifier":"arn:aws:logs:us-east-1:000000000000:log-group:g"`+more+`}`, &out)
		return out
	}
	for more, want := range map[string]string{
		`,"filterPattern":"{ $.n > 0 }"`:                                              `{"n":1} {"n":2}`,
		`,"filterPattern":"HomeActivities","logStreamNames":["a2","b"]`:               `a2 HomeActivities b HomeActivities`,
		`,"filterPattern":"Home","logStreamNamePrefix":"a"`:                           `a1 HomeActivities a2 HomeActivities`,
		`,"filterPattern":"\"404 NOT FOUND\"","limit":1,"startFromHead":false`:        `"404 NOT FOUND"`,
		fmt.Sprintf(`,"startTime":%d,"endTime":%d`, base+1, base+2):                   `{"n":1} {"n":2}`,
		fmt.Sprintf(`,"startTime":%d,"endTime":%d`, base+2, base+2):                   `{"n":2}`,
		fmt.Sprintf(`,"startFromHead":false,"filterPattern":"{$.n=*}","limit":%d`, 2): `{"n":2} {"n":1}`,
	} {
		if got := filter(more).messages(); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", more, got, want)
		}
	}
	for _, direction := range []string{"true", "false"} {
		seen := map[string]bool{}
		token, pages := "", 0
		for {
			more := `,"limit":2,"startFromHead":` + direction
			if token != "" {
				more = `,"limit":2,"nextToken":"` + token + `"`
			}
			out := filter(more)
			pages++
			for _, e := range out.Events {
				if seen[e.EventID] || len(e.EventID) != 56 {
					t.Errorf("event %s again, or of a wrong length", e.EventID)
				}
				seen[e.EventID] = true
			}
			if token = out.NextToken; token == "" {
				break
			}
		}
		if len(seen) != 9 || pages != 5 {
			t.Errorf("%d events on %d pages", len(seen), pages)
		}
	}
	r.refused("FilterLogEvents", `{"logGroupName":"g","filterPattern":"{ $.n > }"}`, "InvalidParameterException", "Invalid filter pattern")
	r.refused("FilterLogEvents", `{"logGroupName":"g","logStreamNames":["none"]}`, "ResourceNotFoundException", "The specified log stream does not exist.")
	r.refused("FilterLogEvents", `{"logGroupName":"g","nextToken":"AAAA"}`, "InvalidParameterException", "The specified nextToken is invalid.")

	var out struct {
		Matches []struct {
			EventNumber     int
			ExtractedValues map[string]string
		}
	}
	r.call("TestMetricFilter", `{"filterPattern":"[ip, code=4*]","logEventMessages":["a 200","b 404"]}`, &out)
	if encode(t, out) != `{"Matches":[{"EventNumber":2,"ExtractedValues":{"$code":"404","$ip":"b"}}]}` {
		t.Errorf("test-metric-filter: %s", encode(t, out))
	}
	r.refused("TestMetricFilter", `{"filterPattern":"{","logEventMessages":["a"]}`, "InvalidParameterException", "Invalid filter pattern")
}

// TestManyEvents reads more than one page by bytes and by number.
func TestManyEvents(t *testing.T) {
	r := newRig(t)
	r.call("CreateLogGroup", `{"logGroupName":"g"}`, nil)
	r.stream("g", "s")
	base := now() - 3_600_000
	const batches, each = 5, 5000
	for b := range batches {
		var events []inEvent
		for i := range each {
			events = append(events, inEvent{base + int64(b*each+i)/3, fmt.Sprintf("event %05d %s", b*each+i, strings.Repeat("x", 100))})
		}
		r.put("g", "s", events...)
	}
	want := 0
	token := ""
	for {
		var out eventsOutput
		r.call("FilterLogEvents", fmt.Sprintf(`{"logGroupName":"g","nextToken":%q}`, token), &out)
		bytes := 0
		for _, e := range out.Events {
			if !strings.HasPrefix(e.Message, fmt.Sprintf("event %05d", want)) {
				t.Fatalf("event %d is %.11s", want, e.Message)
			}
			want++
			bytes += len(e.Message) + 26
		}
		if bytes > 1<<20 || len(out.Events) == 0 {
			t.Fatalf("page of %d bytes, %d events", bytes, len(out.Events))
		}
		if token = out.NextToken; token == "" {
			break
		}
	}
	if want != batches*each {
		t.Errorf("%d events", want)
	}
	var tail eventsOutput
	r.call("GetLogEvents", `{"logGroupName":"g","logStreamName":"s"}`, &tail)
	if n := len(tail.Events); n < 6000 || !strings.HasPrefix(tail.Events[n-1].Message, "event 24999") || !strings.HasPrefix(tail.Events[0].Message, fmt.Sprintf("event %05d", 25000-n)) {
		t.Errorf("the tail has %d events", n)
	}
}

func TestDeletedStream(t *testing.T) {
	r := newRig(t)
	r.call("CreateLogGroup", `{"logGroupName":"g"}`, nil)
	r.stream("g", "s")
	r.stream("g", "t")
	r.put("g", "s", inEvent{now(), "gone"})
	r.put("g", "t", inEvent{now(), "stays"})
	r.call("DeleteLogStream", `{"logGroupName":"g","logStreamName":"s"}`, nil)
	r.refused("DeleteLogStream", `{"logGroupName":"g","logStreamName":"s"}`, "ResourceNotFoundException", "The specified log stream does not exist.")
	check := func(want string, bytes int64) {
		t.Helper()
		var out eventsOutput
		r.call("FilterLogEvents", `{"logGroupName":"g"}`, &out)
		groups, err := r.logs.Groups(t.Context(), "default", "")
		if err != nil {
			t.Fatal(err)
		}
		if out.messages() != want || groups[0].StoredBytes != bytes {
			t.Errorf("events %q, want %q; %+v", out.messages(), want, groups[0])
		}
		if rows, _ := r.query(`{"logGroupName":"g","startTime":0,"endTime":9999999999,"queryString":"stats count(*) as n"}`); rows != fmt.Sprintf("n=%d", len(out.Events)) {
			t.Errorf("insights: %s", rows)
		}
	}
	check("stays", 31)
	r.stream("g", "s")
	check("stays", 31)
	r.put("g", "s", inEvent{now() + 1000, "new"})
	check("stays new", 60)
	r.restart()
	check("stays new", 60)
	r.call("DeleteLogStream", `{"logGroupName":"g","logStreamName":"s"}`, nil)
	check("stays", 31)
}
