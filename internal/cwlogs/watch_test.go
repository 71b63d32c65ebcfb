package cwlogs_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
)

// statistics asks CloudWatch for the statistics of a metric over the last hours, by minute.
func (r *rig) statistics(form string) []map[string]any {
	r.t.Helper()
	q, err := url.ParseQuery(form)
	if err != nil {
		r.t.Fatal(err)
	}
	in := map[string]any{
		"Namespace": q.Get("ns"), "MetricName": q.Get("name"), "Period": 60, "Statistics": []string{"Sum", "SampleCount", "Maximum"},
		"StartTime": time.Now().Add(-3 * time.Hour).Unix(), "EndTime": time.Now().Add(3 * time.Hour).Unix(),
	}
	var dims []map[string]string
	for _, d := range q["dim"] {
		k, v, _ := strings.Cut(d, ":")
		dims = append(dims, map[string]string{"Name": k, "Value": v})
	}
	in["Dimensions"] = dims
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.metrics.URL, strings.NewReader(encode(r.t, in)))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("X-Amz-Target", "GraniteServiceVersion20100801.GetMetricStatistics")
	res, err := r.metrics.Client().Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		r.t.Fatalf("%d %s: %v", res.StatusCode, text, err)
	}
	var out struct{ Datapoints []map[string]any }
	if err := json.Unmarshal(text, &out); err != nil {
		r.t.Fatal(err)
	}
	return out.Datapoints
}

func sumOf(points []map[string]any, name string) (n float64) {
	for _, p := range points {
		n += p[name].(float64)
	}
	return n
}

func TestMetricFilters(t *testing.T) {
	r := newRig(t)
	r.call("CreateLogGroup", `{"logGroupName":"g"}`, nil)
	r.stream("g", "s")
	r.put("g", "s", inEvent{now(), `{"level":"error","ms":1000,"route":"/old"}`}) // ahead of the filters
	put := func(name, pattern, to string) string {
		return fmt.Sprintf(`{"logGroupName":"g","filterName":%q,"filterPattern":%q,"metricTransformations":[%s]}`, name, pattern, to)
	}
	r.call("PutMetricFilter", put("errors", `{ $.level = "error" }`, `{"metricName":"Errors","metricNamespace":"App","metricValue":"1","defaultValue":0,"unit":"Count"}`), nil)
	r.call("PutMetricFilter", put("latency", `{ $.ms > 0 }`, `{"metricName":"Latency","metricNamespace":"App","metricValue":"$.ms","dimensions":{"Route":"$.route"}}`), nil)
	r.call("PutMetricFilter", put("bytes", `[ip, method, size > 0]`, `{"metricName":"Bytes","metricNamespace":"App","metricValue":"$size"}`), nil)

	r.refused("PutMetricFilter", put("x", `{ $.a = `, `{"metricName":"m","metricNamespace":"n","metricValue":"1"}`), "InvalidParameterException", "Invalid filter pattern: 1:")
	r.refused("PutMetricFilter", put("x", `error`, `{"metricName":"m","metricNamespace":"n","metricValue":"$.x"}`), "InvalidParameterException", "Invalid metric transformation: the pattern has no field $.x")
	r.refused("PutMetricFilter", put("x", `[a]`, `{"metricName":"m","metricNamespace":"n","metricValue":"$b"}`), "InvalidParameterException", "Invalid metric transformation: the pattern has no field $b")
	r.refused("PutMetricFilter", put("x", `{ $.a = 1 }`, `{"metricName":"m","metricNamespace":"n","metricValue":"1","defaultValue":0,"dimensions":{"A":"$.a"}}`), "InvalidParameterException", "Invalid metric transformation: dimensions and default")
	r.refused("PutMetricFilter", put("x", ``, `{"metricName":"m","metricNamespace":"n","metricValue":"1"},{"metricName":"m","metricNamespace":"n","metricValue":"1"}`), "InvalidParameterException", "1 validation error")
	r.refused("PutMetricFilter", strings.Replace(put("x", "", `{"metricName":"m","metricNamespace":"n","metricValue":"1"}`), `"g"`, `"none"`, 1), "ResourceNotFoundException", "The specified log group")

	minute := time.Now().Truncate(time.Minute).UnixMilli()
	r.put("g", "s",
		inEvent{minute - 120_000, `{"level":"info","ms":5,"route":"/a"}`},
		inEvent{minute - 60_000, `{"level":"error","ms":20,"route":"/a"}`}, inEvent{minute - 59_000, `{"level":"error","ms":30,"route":"/b"}`},
		inEvent{minute - 58_000, `{"level":"error","ms":"slow","route":"/a"}`}, inEvent{minute - 58_000, `{"level":"error","ms":4}`},
		inEvent{minute - 57_000, `10.0.0.1 GET 512`}, inEvent{minute - 57_000, `10.0.0.1 GET 88`})
	r.restart() // minutes that wait for more get their default values, and everything is durable

	errors := r.statistics("ns=App&name=Errors")
	if len(errors) != 2 || sumOf(errors, "Sum") != 4 || errors[0]["Sum"] != 0.0 || errors[0]["SampleCount"] != 1.0 || errors[1]["Unit"] != "Count" {
		t.Errorf("errors: %v", errors)
	}
	if a := r.statistics("ns=App&name=Latency&dim=Route:/a"); sumOf(a, "Sum") != 25 || sumOf(a, "SampleCount") != 2 {
		t.Errorf("latency of /a: %v", a)
	}
	if b := r.statistics("ns=App&name=Bytes"); sumOf(b, "Sum") != 600 || sumOf(b, "Maximum") != 512 {
		t.Errorf("bytes: %v", b)
	}

	var out struct {
		MetricFilters []struct {
			FilterName, LogGroupName, FilterPattern string
			CreationTime                            int64
			ApplyOnTransformedLogs                  *bool
			MetricTransformations                   []map[string]any
		}
		NextToken string
	}
	r.call("DescribeMetricFilters", `{"logGroupName":"g","limit":2}`, &out)
	if len(out.MetricFilters) != 2 || out.MetricFilters[0].FilterName != "bytes" || out.MetricFilters[0].ApplyOnTransformedLogs == nil || out.NextToken == "" {
		t.Errorf("first page: %+v", out)
	}
	r.call("DescribeMetricFilters", fmt.Sprintf(`{"logGroupName":"g","limit":2,"nextToken":%q}`, out.NextToken), &out)
	if len(out.MetricFilters) != 1 || out.MetricFilters[0].FilterName != "latency" {
		t.Errorf("second page: %+v", out)
	}
	r.call("DescribeMetricFilters", `{"metricName":"Errors","metricNamespace":"App"}`, &out)
	if len(out.MetricFilters) != 1 || out.MetricFilters[0].MetricTransformations[0]["defaultValue"] != 0.0 {
		t.Errorf("by metric: %+v", out)
	}
	r.refused("DescribeMetricFilters", `{"metricName":"Errors"}`, "InvalidParameterException", "Both metricName")
	var groups struct {
		LogGroups []struct{ MetricFilterCount int }
	}
	r.call("DescribeLogGroups", `{}`, &groups)
	if groups.LogGroups[0].MetricFilterCount != 3 {
		t.Errorf("%d metric filters are counted, want 3", groups.LogGroups[0].MetricFilterCount)
	}

	r.call("DeleteMetricFilter", `{"logGroupName":"g","filterName":"errors"}`, nil)
	r.refused("DeleteMetricFilter", `{"logGroupName":"g","filterName":"errors"}`, "ResourceNotFoundException", "The specified metric filter does not exist.")
	r.put("g", "s", inEvent{now(), `{"level":"error"}`})
	if again := r.statistics("ns=App&name=Errors"); sumOf(again, "Sum") != 4 {
		t.Errorf("a deleted filter counts: %v", again)
	}

	system := func(name, criteria, fields string) string {
		return strings.Replace(put(name, "", fmt.Sprintf(`{"metricName":%q,"metricNamespace":"App","metricValue":"1"}`, name)), `{`, fmt.Sprintf(`{"fieldSelectionCriteria":%q,"emitSystemFieldDimensions":[%s],`, criteria, fields), 1)
	}
	r.call("PutMetricFilter", system("here", `@aws.region = "us-east-1"`, `"@aws.account","@aws.region"`), nil)
	r.call("PutMetricFilter", system("there", `@aws.region = "eu-west-1"`, ``), nil)
	r.refused("PutMetricFilter", system("x", ``, `"@aws.zone"`), "InvalidParameterException", `Invalid system field: "@aws.zone".`)
	r.refused("PutMetricFilter", system("x", `@aws.region`, ``), "InvalidParameterException", "Invalid fieldSelectionCriteria")
	r.put("g", "s", inEvent{now(), "a line"})
	if here := r.statistics("ns=App&name=here&dim=@aws.account:000000000000&dim=@aws.region:us-east-1"); sumOf(here, "Sum") != 1 {
		t.Errorf("with system fields: %v", here)
	}
	if there := r.statistics("ns=App&name=there"); len(there) != 0 {
		t.Errorf("of another region: %v", there)
	}
}

func TestEmbeddedMetrics(t *testing.T) {
	r := newRig(t)
	r.call("CreateLogGroup", `{"logGroupName":"g"}`, nil)
	r.stream("g", "s")
	line := func(directive, members string) inEvent {
		return inEvent{now(), fmt.Sprintf(`{"_aws":{"Timestamp":%d,"CloudWatchMetrics":[%s]}%s}`, now(), directive, members)}
	}
	r.put("g", "s",
		line(`{"Namespace":"E","Dimensions":[["Service"],[]],"Metrics":[{"Name":"Time","Unit":"Milliseconds"},{"Name":"Absent"}]}`, `,"Service":"a","Time":[1,2,3.5]`),
		line(`{"Namespace":"E","Dimensions":[["Service"]],"Metrics":[{"Name":"Time"}]}`, `,"Service":7,"Time":100`),      // a dimension that is no text
		line(`{"Namespace":"E","Dimensions":[["Service"]],"Metrics":[{"Name":"Time"}]}`, `,"Service":"a","Time":"long"`), // a value that is no number
		line(`{"Namespace":"E","Dimensions":[[]],"Metrics":[{"Name":"Time","Unit":"Parsecs"}]}`, `,"Time":100`),
		inEvent{now(), `{"_aws": broken`},
	)
	if got := r.statistics("ns=E&name=Time&dim=Service:a"); sumOf(got, "Sum") != 6.5 || sumOf(got, "SampleCount") != 3 || got[0]["Unit"] != "Milliseconds" {
		t.Errorf("by service: %v", got)
	}
	if got := r.statistics("ns=E&name=Time"); sumOf(got, "Sum") != 6.5 {
		t.Errorf("without dimension: %v", got)
	}
	var stored eventsOutput
	r.call("FilterLogEvents", `{"logGroupName":"g"}`, &stored)
	if len(stored.Events) != 5 {
		t.Errorf("%d of 5 lines are stored", len(stored.Events))
	}
}

// tailing is an open session of live tail.
type tailing struct {
	t      *testing.T
	events chan eventstream.Message
	close  func()
}

func (r *rig) tail(body string) *tailing {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.http.URL, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("X-Amz-Target", "Logs_20140328.StartLiveTail")
	res, err := r.http.Client().Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	if ct := res.Header.Get("Content-Type"); res.StatusCode != http.StatusOK || ct != "application/vnd.amazon.eventstream" {
		r.t.Fatalf("%d %s", res.StatusCode, ct)
	}
	tl := &tailing{r.t, make(chan eventstream.Message), cancel}
	go func() {
		defer close(tl.events)
		defer func() { _ = res.Body.Close() }()
		d := eventstream.NewDecoder()
		for {
			m, err := d.Decode(res.Body, nil)
			if err != nil {
				return
			}
			select {
			case tl.events <- m:
			case <-ctx.Done():
				return
			}
		}
	}()
	if name, _ := tl.next(); name != "initial-response" {
		r.t.Fatalf("the stream begins with %s", name)
	}
	return tl
}

// next returns the name and the content of the next message; the name is empty at the end.
func (tl *tailing) next() (name string, payload []byte) {
	tl.t.Helper()
	select {
	case m, ok := <-tl.events:
		if !ok {
			return "", nil
		}
		for _, h := range []string{":event-type", ":exception-type"} {
			if v := m.Headers.Get(h); v != nil {
				return v.String(), m.Payload
			}
		}
	case <-time.After(20 * time.Second):
		tl.t.Fatal("no message")
	}
	return "?", nil
}

type updateOut struct {
	SessionMetadata struct{ Sampled bool }
	SessionResults  []struct {
		LogStreamName, LogGroupIdentifier, Message string
		Timestamp, IngestionTime                   int64
	}
}

// until collects messages of events until there are n of them.
func (tl *tailing) until(n int) (list []string, sampled bool) {
	tl.t.Helper()
	for len(list) < n {
		name, payload := tl.next()
		if name != "sessionUpdate" {
			tl.t.Fatalf("%s %s", name, payload)
		}
		var u updateOut
		if err := json.Unmarshal(payload, &u); err != nil {
			tl.t.Fatal(err)
		}
		for _, e := range u.SessionResults {
			list = append(list, e.Message)
		}
		sampled = sampled || u.SessionMetadata.Sampled
	}
	return list, sampled
}

func TestLiveTail(t *testing.T) {
	r := newRig(t)
	r.call("CreateLogGroup", `{"logGroupName":"g"}`, nil)
	r.call("CreateLogGroup", `{"logGroupName":"h"}`, nil)
	r.call("CreateLogGroup", `{"logGroupName":"ia","logGroupClass":"INFREQUENT_ACCESS"}`, nil)
	r.stream("g", "s")
	r.stream("g", "t")
	r.stream("h", "s")
	r.put("g", "s", inEvent{now(), "before"})
	all := r.tail(`{"logGroupIdentifiers":["arn:aws:logs:us-east-1:000000000000:log-group:g","h"]}`)
	some := r.tail(`{"logGroupIdentifiers":["g"],"logStreamNamePrefixes":["t"],"logEventFilterPattern":"needle"}`)
	defer all.close()
	defer some.close()
	if name, payload := all.next(); name != "sessionStart" || !strings.Contains(string(payload), `"logGroupIdentifiers":["arn:aws:logs`) {
		t.Fatalf("%s %s", name, payload)
	}
	some.next()
	r.put("g", "s", inEvent{now() - 3_600_000, "old but new"}, inEvent{now(), "needle in s"})
	r.put("g", "t", inEvent{now(), "needle in t"}, inEvent{now(), "hay"})
	r.put("h", "s", inEvent{now(), "from h"})
	if got, _ := all.until(5); !slices.Equal(got, []string{"old but new", "needle in s", "needle in t", "hay", "from h"}) {
		t.Errorf("all: %q", got)
	}
	if got, _ := some.until(1); !slices.Equal(got, []string{"needle in t"}) {
		t.Errorf("some: %q", got)
	}
	var many []inEvent
	for i := range 3000 {
		many = append(many, inEvent{now(), fmt.Sprint("line ", i)})
	}
	r.put("h", "s", many...)
	if got, sampled := all.until(500); !sampled || got[len(got)-1] != "line 2999" {
		t.Errorf("of 3,000 lines at once the last is %q, marked as a sample: %t", got[len(got)-1], sampled)
	}

	r.refused("StartLiveTail", `{"logGroupIdentifiers":[]}`, "InvalidParameterException", "1 validation error")
	r.refused("StartLiveTail", `{"logGroupIdentifiers":["none"]}`, "ResourceNotFoundException", "The specified log group does not exist.")
	r.refused("StartLiveTail", `{"logGroupIdentifiers":["g"],"logEventFilterPattern":"{ $.a"}`, "InvalidParameterException", "Invalid filter pattern")
	r.refused("StartLiveTail", `{"logGroupIdentifiers":["g","h"],"logStreamNames":["s"]}`, "InvalidParameterException", "LogStreamNames or")
	r.refused("StartLiveTail", `{"logGroupIdentifiers":["ia"]}`, "InvalidOperationException", "Live Tail")
	var more []*tailing
	for range 13 {
		more = append(more, r.tail(`{"logGroupIdentifiers":["g"]}`))
	}
	r.refused("StartLiveTail", `{"logGroupIdentifiers":["g"]}`, "LimitExceededException", "Resource limit exceeded.")
	for _, m := range more {
		m.close()
	}
	// Who went away is noticed, and makes room.
	deadline := time.Now().Add(20 * time.Second)
	for {
		status, text := r.post("StartLiveTail", []byte(`{"logGroupIdentifiers":["none"]}`), nil)
		if status == http.StatusOK {
			t.Fatal(string(text))
		}
		if r.logs.Tails() == 2 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d sessions are left of 2", r.logs.Tails())
		}
	}
}

// receiver takes what subscriptions deliver; while it fails it refuses everything.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	failing  bool
	refused  int
	messages []string
	// extracted are the system fields of the newest event.
	extracted map[string]string
	arrived   chan struct{}
}

func newReceiver(t *testing.T) *receiver {
	rc := &receiver{arrived: make(chan struct{}, 1000)}
	rc.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		rc.mu.Lock()
		defer rc.mu.Unlock()
		defer func() { rc.arrived <- struct{}{} }()
		if rc.failing {
			rc.refused++
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		z, err := gzip.NewReader(req.Body)
		if err != nil {
			t.Error(err)
			return
		}
		var m struct {
			MessageType, Owner, LogGroup, LogStream string
			SubscriptionFilters                     []string
			LogEvents                               []struct {
				ID, Message     string
				Timestamp       int64
				ExtractedFields map[string]string
			}
		}
		if err := json.NewDecoder(z).Decode(&m); err != nil {
			t.Error(err)
		}
		if m.MessageType != "DATA_MESSAGE" || m.Owner != "000000000000" || m.LogGroup != "g" {
			t.Errorf("%+v", m)
		}
		for _, e := range m.LogEvents {
			rc.messages = append(rc.messages, m.LogStream+"/"+e.Message)
			rc.extracted = e.ExtractedFields
		}
	}))
	t.Cleanup(rc.Close)
	return rc
}

// wait waits until n messages were delivered, or the receiver has refused.
func (rc *receiver) wait(t *testing.T, n int, refused bool) []string {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		rc.mu.Lock()
		got, failed := slices.Clone(rc.messages), rc.refused
		rc.mu.Unlock()
		if !refused && len(got) >= n || refused && failed > 0 {
			return got
		}
		select {
		case <-rc.arrived:
		case <-timeout:
			t.Fatalf("delivered so far: %q", got)
		}
	}
}

func TestSubscriptions(t *testing.T) {
	r := newRig(t)
	rc := newReceiver(t)
	r.call("CreateLogGroup", `{"logGroupName":"g"}`, nil)
	r.stream("g", "s")
	r.stream("g", "t")
	r.put("g", "s", inEvent{now(), "error before"})
	body := func(name, pattern, to string) string {
		return fmt.Sprintf(`{"logGroupName":"g","filterName":%q,"filterPattern":%q,"destinationArn":%q}`, name, pattern, to)
	}
	r.call("PutSubscriptionFilter", body("f", "error", rc.URL), nil)
	r.put("g", "s", inEvent{now(), "error 1"}, inEvent{now(), "fine"})
	r.put("g", "t", inEvent{now(), "error 2"})
	if got := rc.wait(t, 2, false); !slices.Equal(got, []string{"s/error 1", "t/error 2"}) {
		t.Errorf("delivered %q", got)
	}

	// What the receiver refuses is sent again, also after a restart.
	rc.mu.Lock()
	rc.failing = true
	rc.mu.Unlock()
	r.put("g", "s", inEvent{now(), "error 3"})
	rc.wait(t, 0, true)
	r.put("g", "s", inEvent{now(), "error 4"})
	r.stop()
	rc.mu.Lock()
	rc.failing = false
	rc.mu.Unlock()
	r.open()
	if got := rc.wait(t, 4, false); !slices.Equal(got, []string{"s/error 1", "t/error 2", "s/error 3", "s/error 4"}) {
		t.Errorf("delivered %q", got)
	}

	r.call("PutDestination", fmt.Sprintf(`{"destinationName":"d","targetArn":%q,"roleArn":"arn:aws:iam::000000000000:role/r","tags":{"a":"b"}}`, rc.URL), nil)
	r.call("PutSubscriptionFilter", body("second", "", "arn:aws:logs:us-east-1:000000000000:destination:d"), nil)
	r.refused("PutSubscriptionFilter", body("third", "", rc.URL), "LimitExceededException", "Resource limit exceeded.")
	r.call("PutSubscriptionFilter", body("f", "error", rc.URL), nil) // the same again
	r.put("g", "t", inEvent{now(), "by the destination"})
	if got := rc.wait(t, 5, false); got[4] != "t/by the destination" {
		t.Errorf("delivered %q", got)
	}
	for to, want := range map[string]string{
		"arn:aws:lambda:us-east-1:000000000000:function:f":        "Could not execute the lambda function.",
		"arn:aws:kinesis:us-east-1:000000000000:stream/s":         "destinationArn for vendor kinesis cannot be used without roleArn",
		"arn:aws:logs:us-east-1:000000000000:destination:missing": "The specified destination does not exist.",
		"nonsense": "Invalid destination",
	} {
		code := "InvalidParameterException"
		if strings.Contains(to, "missing") {
			code = "ResourceNotFoundException"
		}
		r.refused("PutSubscriptionFilter", body("f", "", to), code, want)
	}
	var out struct {
		SubscriptionFilters []map[string]any
	}
	r.call("DescribeSubscriptionFilters", `{"logGroupName":"g"}`, &out)
	if len(out.SubscriptionFilters) != 2 || out.SubscriptionFilters[0]["distribution"] != "ByLogStream" || out.SubscriptionFilters[0]["applyOnTransformedLogs"] != false || out.SubscriptionFilters[0]["owner"] != nil {
		t.Errorf("%v", out.SubscriptionFilters)
	}
	r.call("DeleteSubscriptionFilter", `{"logGroupName":"g","filterName":"second"}`, nil)
	selected := func(criteria string) string {
		return fmt.Sprintf(`{"logGroupName":"g","filterName":"f","filterPattern":"","fieldSelectionCriteria":%q,"destinationArn":%q}`, criteria, rc.URL)
	}
	r.call("PutSubscriptionFilter", selected(`@aws.region NOT IN ["us-east-1"]`), nil)
	r.put("g", "t", inEvent{now(), "not selected"})
	r.call("DeleteSubscriptionFilter", `{"logGroupName":"g","filterName":"f"}`, nil)
	r.call("PutSubscriptionFilter", selected(`@aws.region = "us-east-1"`), nil)
	r.put("g", "t", inEvent{now(), "selected"})
	if got := rc.wait(t, 6, false); got[len(got)-1] != "t/selected" {
		t.Errorf("delivered %q", got)
	}
	if rc.extracted != nil {
		t.Errorf("system fields that nobody asked for: %v", rc.extracted)
	}
	emit := func(fields string) string {
		return strings.Replace(selected(""), "{", `{"emitSystemFields":[`+fields+`],`, 1)
	}
	r.call("PutSubscriptionFilter", emit(`"@aws.account","@aws.region"`), nil)
	r.put("g", "t", inEvent{now(), "with system fields"})
	if got := rc.wait(t, 7, false); got[len(got)-1] != "t/with system fields" || !maps.Equal(rc.extracted, map[string]string{"@aws.account": "000000000000", "@aws.region": "us-east-1"}) {
		t.Errorf("delivered %q with %v", got, rc.extracted)
	}
	r.call("DescribeSubscriptionFilters", `{"logGroupName":"g"}`, &out)
	if got := fmt.Sprint(out.SubscriptionFilters[0]["emitSystemFields"]); got != "[@aws.account @aws.region]" {
		t.Errorf("emits %s", got)
	}
	r.refused("PutSubscriptionFilter", emit(`"@message"`), "InvalidParameterException", "Invalid system field")
	r.refused("PutSubscriptionFilter", selected(`@aws.region`), "InvalidParameterException", "Invalid fieldSelectionCriteria at character")
	r.refused("DeleteSubscriptionFilter", `{"logGroupName":"g","filterName":"second"}`, "ResourceNotFoundException", "The specified subscription filter does not exist.")

	var destinations struct{ Destinations []map[string]any }
	r.call("PutDestinationPolicy", `{"destinationName":"d","accessPolicy":"{}"}`, nil)
	r.call("DescribeDestinations", `{"DestinationNamePrefix":"d"}`, &destinations)
	if len(destinations.Destinations) != 1 || destinations.Destinations[0]["accessPolicy"] != "{}" || destinations.Destinations[0]["arn"] != "arn:aws:logs:us-east-1:000000000000:destination:d" {
		t.Errorf("%v", destinations)
	}
	var tags struct{ Tags map[string]string }
	r.call("ListTagsForResource", `{"resourceArn":"arn:aws:logs:us-east-1:000000000000:destination:d"}`, &tags)
	if tags.Tags["a"] != "b" {
		t.Errorf("%v", tags)
	}
	r.call("DeleteDestination", `{"destinationName":"d"}`, nil)
	r.refused("DeleteDestination", `{"destinationName":"d"}`, "ResourceNotFoundException", "The specified destination does not exist.")
}

func TestResourcePolicies(t *testing.T) {
	r := newRig(t)
	for i := range 10 {
		r.call("PutResourcePolicy", fmt.Sprintf(`{"policyName":"p%d","policyDocument":"{}"}`, i), nil)
	}
	r.refused("PutResourcePolicy", `{"policyName":"more","policyDocument":"{}"}`, "LimitExceededException", "Resource limit exceeded.")
	r.call("PutResourcePolicy", `{"policyName":"p1","policyDocument":"{\"a\":1}"}`, nil)
	var out struct {
		ResourcePolicies []struct{ PolicyName, PolicyDocument, PolicyScope string }
	}
	r.call("DescribeResourcePolicies", `{}`, &out)
	if len(out.ResourcePolicies) != 10 || out.ResourcePolicies[1].PolicyDocument != `{"a":1}` || out.ResourcePolicies[1].PolicyScope != "ACCOUNT" {
		t.Errorf("%+v", out)
	}
	r.call("DeleteResourcePolicy", `{"policyName":"p1"}`, nil)
	r.refused("DeleteResourcePolicy", `{"policyName":"p1"}`, "ResourceNotFoundException", "Policy with name [p1] does not exist.")
}
