package cwlogs_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
)

// send posts a body to an HTTP path of ingestion for the stream s of the group g.
func (r *rig) send(path, contentType string, body []byte, header ...string) (int, []byte) {
	r.t.Helper()
	srv := httptest.NewServer(r.logs.HTTPHandler())
	defer srv.Close()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, srv.URL+path, bytes.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	if !strings.Contains(path, "?") {
		req.Header.Set("x-aws-log-group", "g")
		req.Header.Set("x-aws-log-stream", "s")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := srv.Client().Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return res.StatusCode, text
}

func TestHTTPIngest(t *testing.T) {
	r := newRig(t)
	r.call("CreateLogGroup", `{"logGroupName":"g"}`, nil)
	r.stream("g", "s")
	seconds := float64(now())/1000 - 10
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = io.WriteString(z, `{"message":"packed"}`)
	_ = z.Close()
	for _, x := range []struct {
		path, contentType, body string
		header                  []string
		want                    []string
	}{
		{"/services/collector/event", "application/json", fmt.Sprintf(`{"event":"text","time":%f,"host":"h"}{"event":{"a":1,"b":"<x>"}}{"noevent":1}`, seconds), nil, []string{`text`, `{"a":1,"b":"<x>"}`}},
		{"/services/collector/event", "application/json", `[{"event":"in an array"},{"event":""},7]`, nil, []string{`in an array`}},
		{"/ingest/bulk", "application/x-ndjson", fmt.Sprintf("{\"n\":1,\"timestamp\":%d}\n\n[{\"n\":2},3]\n\"four\"\n", now()-5000), nil, []string{`{"n":1,"timestamp":`, `{"n":2}`, `3`, `four`}},
		{"/ingest/json?logGroup=g&logStream=s", "application/json", `[{"n":5},"no object",{"n":6}] {"n":7}`, nil, []string{`{"n":5}`, `{"n":6}`}},
		{"/ingest/json", "application/json", packed.String(), []string{"Content-Encoding", "gzip"}, []string{`{"message":"packed"}`}},
	} {
		var before, after eventsOutput
		r.call("FilterLogEvents", `{"logGroupName":"g"}`, &before)
		if status, text := r.send(x.path, x.contentType, []byte(x.body), x.header...); status != 200 || string(text) != "{}" {
			t.Errorf("%s %s: %d %s", x.path, x.body, status, text)
			continue
		}
		r.call("FilterLogEvents", `{"logGroupName":"g"}`, &after)
		got := map[string]bool{}
		for _, e := range after.Events {
			got[e.Message] = true
		}
		for _, e := range before.Events {
			delete(got, e.Message)
		}
		for _, want := range x.want {
			found := false
			for m := range got {
				found = found || strings.HasPrefix(m, want)
			}
			if !found || len(got) != len(x.want) {
				t.Errorf("%s %s: stored %v, want %q", x.path, x.body, got, x.want)
			}
		}
	}
	for _, x := range []struct {
		path, body string
		header     []string
		status     int
		message    string
	}{
		{"/ingest/json", `{`, nil, 400, "can not be read"},
		{"/ingest/bulk", "{}\n{", nil, 400, "line 2"},
		{"/ingest/json?logGroup=g", `{}`, nil, 400, "are required"},
		{"/ingest/json?logGroup=g&logStream=s", `{}`, []string{"x-aws-log-group", "g"}, 400, "only one of the two"},
		{"/ingest/json", `{}`, []string{"x-aws-log-group", "none"}, 400, "The specified log group does not exist."},
		{"/ingest/json", `{}`, []string{"x-aws-log-stream", "none"}, 400, "The specified log stream does not exist."},
		{"/ingest/json", `{"a":"` + strings.Repeat("x", 1<<20) + `"}`, nil, 413, "at most 1048576 bytes"},
		{"/ingest/json", `{}`, []string{"Content-Encoding", "gzip"}, 400, "can not be read"},
		{"/v1/logs", `{}`, []string{"Content-Type", "text/plain"}, 400, "content type"},
	} {
		if status, text := r.send(x.path, "application/json", []byte(x.body), x.header...); status != x.status || !strings.Contains(string(text), x.message) {
			t.Errorf("%s %.40s: %d %s, want %d %s", x.path, x.body, status, text, x.status, x.message)
		}
	}
}

func TestOTLPIngest(t *testing.T) {
	r := newRig(t)
	r.call("CreateLogGroup", `{"logGroupName":"g"}`, nil)
	r.stream("g", "s")
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("service.name", "shop")
	records := rl.ScopeLogs().AppendEmpty().LogRecords()
	rec := records.AppendEmpty()
	rec.SetTimestamp(pcommon.NewTimestampFromTime(time.Now()))
	rec.SetSeverityText("ERROR")
	rec.Body().SetStr("no <stock>")
	rec.Attributes().PutInt("status", 500)
	rec.SetTraceID([16]byte{1, 2, 3})
	rec.SetSpanID([8]byte{4, 5})
	records.AppendEmpty().SetTimestamp(pcommon.NewTimestampFromTime(time.Now().Add(-15 * 24 * time.Hour)))
	records.AppendEmpty().SetTimestamp(pcommon.NewTimestampFromTime(time.Now().Add(3 * time.Hour)))
	body, err := plogotlp.NewExportRequestFromLogs(ld).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	status, text := r.send("/v1/logs", "application/x-protobuf", body)
	out := plogotlp.NewExportResponse()
	if err := out.UnmarshalProto(text); status != 200 || err != nil {
		t.Fatalf("%d %q: %v", status, text, err)
	}
	if p := out.PartialSuccess(); p.RejectedLogRecords() != 2 || p.ErrorMessage() != `{"tooOldLogEventCount":1,"tooNewLogEventCount":1,"expiredLogEventCount":0}` {
		t.Errorf("%d %s", p.RejectedLogRecords(), p.ErrorMessage())
	}
	if body, err = plogotlp.NewExportRequestFromLogs(ld).MarshalJSON(); err != nil {
		t.Fatal(err)
	}
	if status, text := r.send("/v1/logs", "application/json", body); status != 200 || !json.Valid(text) {
		t.Errorf("%d %s", status, text)
	}
	var got eventsOutput
	r.call("FilterLogEvents", `{"logGroupName":"g","filterPattern":"{ $.severityText = ERROR && $.attributes.status = 500 }"}`, &got)
	if len(got.Events) != 2 || !strings.Contains(got.Events[0].Message, `"body":"no <stock>"`) || !strings.Contains(got.Events[0].Message, `"resource":{"attributes":{"service.name":"shop"}}`) {
		t.Fatalf("%v", got.Events)
	}
	rows, _ := r.query(fmt.Sprintf(`{"logGroupName":"g","startTime":%d,"endTime":%d,"queryString":"fields attributes.status as st | filter traceId = '01020300000000000000000000000000'"}`,
		time.Now().Unix()-3600, time.Now().Unix()+60))
	if strings.Count(rows, "500") != 2 {
		t.Errorf("by trace: %s", rows)
	}
}
