package cwmetrics_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/smithy-go/encoding/cbor"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/cwmetrics"
	"github.com/trefoil-o11y/trefoil/internal/ingest/ingesttest"
)

// rig is a server over a real store and queue, behind HTTP.
type rig struct {
	t    testing.TB
	http *httptest.Server
}

func newRig(t testing.TB) *rig {
	parts := ingesttest.Open(t, t.TempDir())
	s := cwmetrics.New(cwmetrics.Config{
		Store: parts.Store, Meta: parts.Meta, Queue: parts.Queue, Log: slog.New(slog.DiscardHandler),
		Auth: &awsapi.Auth{Mode: awsapi.Off, Account: "000000000000", Environment: "default", Region: "us-east-1"},
	})
	r := &rig{t, httptest.NewServer(s)}
	t.Cleanup(func() {
		r.http.Close()
		parts.Close(t)
	})
	return r
}

func (r *rig) do(path string, body []byte, header ...string) (*http.Response, []byte) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.http.URL+path, bytes.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := r.http.Client().Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return res, text
}

// json makes a call in JSON 1.0.
func (r *rig) json(op, body string) (int, map[string]any) {
	r.t.Helper()
	res, text := r.do("/", []byte(body), "X-Amz-Target", "GraniteServiceVersion20100801."+op, "Content-Type", "application/x-amz-json-1.0")
	out := map[string]any{}
	if err := json.Unmarshal(text, &out); err != nil {
		r.t.Fatalf("%s: %v", text, err)
	}
	return res.StatusCode, out
}

// form makes a call by a form, which is answered by XML.
func (r *rig) form(op string, values url.Values) (int, string) {
	r.t.Helper()
	values.Set("Action", op)
	values.Set("Version", "2010-08-01")
	res, text := r.do("/", []byte(values.Encode()), "Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	return res.StatusCode, string(text)
}

// cbor makes a call by Smithy's RPC v2.
func (r *rig) cbor(op string, in cbor.Map, header ...string) (int, cbor.Map) {
	r.t.Helper()
	res, text := r.do("/service/GraniteServiceVersion20100801/operation/"+op, cbor.Encode(in), append(header, "smithy-protocol", "rpc-v2-cbor", "Content-Type", "application/cbor")...)
	if res.Header.Get("smithy-protocol") != "rpc-v2-cbor" {
		r.t.Errorf("the answer does not say its protocol")
	}
	v, err := cbor.Decode(text)
	if err != nil {
		r.t.Fatalf("%x: %v", text, err)
	}
	return res.StatusCode, v.(cbor.Map)
}

// TestProtocols puts by each protocol and reads by each.
func TestProtocols(t *testing.T) {
	r := newRig(t)
	minute := time.Now().Add(-10 * time.Minute).Truncate(time.Minute)
	if status, out := r.json("PutMetricData", fmt.Sprintf(`{"Namespace":"N","MetricData":[{"MetricName":"m","Timestamp":%d,"Value":1.5,"Unit":"Bytes","Dimensions":[{"Name":"b","Value":"2"},{"Name":"a","Value":"1"}]}]}`, minute.Unix())); status != 200 || len(out) != 0 {
		t.Fatalf("%d %v", status, out)
	}
	form := url.Values{
		"Namespace": {"N"}, "MetricData.member.1.MetricName": {"m"}, "MetricData.member.1.Timestamp": {minute.Add(time.Second).UTC().Format(time.RFC3339)}, "MetricData.member.1.Unit": {"Bytes"},
		"MetricData.member.1.Dimensions.member.1.Name": {"a"}, "MetricData.member.1.Dimensions.member.1.Value": {"1"},
		"MetricData.member.1.Dimensions.member.2.Name": {"b"}, "MetricData.member.1.Dimensions.member.2.Value": {"2"},
		"MetricData.member.1.Values.member.1": {"3"}, "MetricData.member.1.Values.member.2": {"10"}, "MetricData.member.1.Counts.member.1": {"2"}, "MetricData.member.1.Counts.member.2": {"1"},
	}
	if status, out := r.form("PutMetricData", form); status != 200 || !strings.Contains(out, "<PutMetricDataResponse xmlns=") {
		t.Fatalf("%d %s", status, out)
	}
	dims := cbor.List{cbor.Map{"Name": cbor.String("a"), "Value": cbor.String("1")}, cbor.Map{"Name": cbor.String("b"), "Value": cbor.String("2")}}
	at := func(t time.Time) cbor.Value { return &cbor.Tag{ID: 1, Value: cbor.Float64(t.Unix())} }
	status, _ := r.cbor("PutMetricData", cbor.Map{"Namespace": cbor.String("N"), "MetricData": cbor.List{cbor.Map{
		"MetricName": cbor.String("m"), "Timestamp": at(minute.Add(time.Minute)), "Unit": cbor.String("Bytes"), "Dimensions": dims,
		"StatisticValues": cbor.Map{"SampleCount": cbor.Uint(4), "Sum": cbor.Float64(20), "Minimum": cbor.Float64(2), "Maximum": cbor.Float64(9)},
	}}})
	if status != 200 {
		t.Fatal(status)
	}

	status, out := r.json("GetMetricStatistics", fmt.Sprintf(`{"Namespace":"N","MetricName":"m","StartTime":%d,"EndTime":%d,"Period":60,"Statistics":["Sum","SampleCount","Average","Minimum","Maximum"],"ExtendedStatistics":["p50","p100"],
		"Dimensions":[{"Name":"a","Value":"1"},{"Name":"b","Value":"2"}]}`, minute.Unix(), minute.Unix()+600))
	want := fmt.Sprintf(`{"Datapoints":[{"Average":4.375,"ExtendedStatistics":{"p100":10,"p50":3},"Maximum":10,"Minimum":1.5,"SampleCount":4,"Sum":17.5,"Timestamp":%d,"Unit":"Bytes"},`+
		`{"Average":5,"Maximum":9,"Minimum":2,"SampleCount":4,"Sum":20,"Timestamp":%d,"Unit":"Bytes"}],"Label":"m"}`, minute.Unix(), minute.Unix()+60)
	if got, _ := json.Marshal(out); status != 200 || string(got) != want {
		t.Errorf("%d\n got %s\nwant %s", status, got, want)
	}

	form = url.Values{
		"Namespace": {"N"}, "MetricName": {"m"}, "StartTime": {minute.UTC().Format(time.RFC3339)}, "EndTime": {minute.Add(time.Hour).UTC().Format(time.RFC3339)}, "Period": {"300"}, "Statistics.member.1": {"Maximum"},
		"Dimensions.member.1.Name": {"a"}, "Dimensions.member.1.Value": {"1"}, "Dimensions.member.2.Name": {"b"}, "Dimensions.member.2.Value": {"2"},
	}
	if status, out := r.form("GetMetricStatistics", form); status != 200 || !strings.Contains(out, "<GetMetricStatisticsResult><Label>m</Label><Datapoints><member><Timestamp>"+minute.Truncate(5*time.Minute).UTC().Format(time.RFC3339)+"</Timestamp><Maximum>10</Maximum>") {
		t.Errorf("%d %s", status, out)
	}

	status, answer := r.cbor("GetMetricData", cbor.Map{"StartTime": at(minute), "EndTime": at(minute.Add(time.Hour)), "ScanBy": cbor.String("TimestampAscending"), "MetricDataQueries": cbor.List{cbor.Map{
		"Id": cbor.String("q"), "MetricStat": cbor.Map{"Stat": cbor.String("Sum"), "Period": cbor.Uint(60), "Metric": cbor.Map{"Namespace": cbor.String("N"), "MetricName": cbor.String("m"), "Dimensions": dims}},
	}}})
	if status != 200 {
		t.Fatalf("%d %v", status, answer)
	}
	result := answer["MetricDataResults"].(cbor.List)[0].(cbor.Map)
	values := result["Values"].(cbor.List)
	if len(values) != 2 || values[0] != cbor.Float64(17.5) || values[1] != cbor.Float64(20) || result["StatusCode"] != cbor.String("Complete") {
		t.Errorf("%v", result)
	}
	if first, err := cbor.AsTime(result["Timestamps"].(cbor.List)[0]); err != nil || !first.Equal(minute) {
		t.Errorf("%v %v", first, err)
	}
}

func TestListAndPages(t *testing.T) {
	r := newRig(t)
	var data []string
	for i := range 600 {
		data = append(data, fmt.Sprintf(`{"MetricName":"m%03d","Value":%d,"Dimensions":[{"Name":"d","Value":"%d"}]}`, i, i, i%2))
	}
	if status, out := r.json("PutMetricData", `{"Namespace":"N","MetricData":[`+strings.Join(data, ",")+`]}`); status != 200 {
		t.Fatalf("%d %v", status, out)
	}
	seen := 0
	for token, pages := "", 0; ; pages++ {
		_, out := r.json("ListMetrics", fmt.Sprintf(`{"Namespace":"N","NextToken":%q}`, token))
		seen += len(out["Metrics"].([]any))
		next, ok := out["NextToken"].(string)
		if !ok {
			if pages != 1 {
				t.Errorf("%d pages behind the first", pages)
			}
			break
		}
		token = next
	}
	if seen != 600 {
		t.Errorf("%d metrics of 600", seen)
	}
	_, out := r.json("ListMetrics", `{"MetricName":"m003","Dimensions":[{"Name":"d"}],"RecentlyActive":"PT3H"}`)
	if got, _ := json.Marshal(out); string(got) != `{"Metrics":[{"Dimensions":[{"Name":"d","Value":"1"}],"MetricName":"m003","Namespace":"N"}]}` {
		t.Errorf("%s", got)
	}

	now := time.Now().Unix()
	query := func(token string) map[string]any {
		_, out := r.json("GetMetricData", fmt.Sprintf(`{"StartTime":%d,"EndTime":%d,"MaxDatapoints":1,"NextToken":%q,"MetricDataQueries":[
			{"Id":"a","MetricStat":{"Stat":"Maximum","Period":60,"Metric":{"Namespace":"N","MetricName":"m001","Dimensions":[{"Name":"d","Value":"1"}]}}},
			{"Id":"hidden","ReturnData":false,"MetricStat":{"Stat":"Sum","Period":60,"Metric":{"Namespace":"N","MetricName":"m001","Dimensions":[{"Name":"d","Value":"1"}]}}},
			{"Id":"b","Label":"two","MetricStat":{"Stat":"Maximum","Period":60,"Metric":{"Namespace":"N","MetricName":"m002","Dimensions":[{"Name":"d","Value":"0"}]}}}]}`, now/60*60-120, now/60*60+120, token))
		return out
	}
	first := query("")
	second := query(first["NextToken"].(string))
	text, _ := json.Marshal([]any{first["MetricDataResults"], second["MetricDataResults"]})
	if s := string(text); !strings.Contains(s, `"Id":"a","Label":"m001","StatusCode":"Complete"`) || !strings.Contains(s, `"Id":"b","Label":"two","StatusCode":"Complete"`) || second["NextToken"] != nil {
		t.Errorf("%s", s)
	}
}

func TestRefused(t *testing.T) {
	r := newRig(t)
	for _, x := range []struct{ op, body, code, message string }{
		{"PutMetricData", `{}`, "MissingRequiredParameterException", "The parameter Namespace is required."},
		{"PutMetricData", `{"Namespace":"N"}`, "MissingRequiredParameterException", "The parameter MetricData is required."},
		{"PutMetricData", `{"Namespace":"AWS/EC2","MetricData":[{"MetricName":"m","Value":1}]}`, "InvalidParameterValueException", "The value AWS/"},
		{"PutMetricData", `{"Namespace":"N","MetricData":[{"MetricName":"m"}]}`, "InvalidParameterCombinationException", "At least one of"},
		{"PutMetricData", `{"Namespace":"N","MetricData":[{"MetricName":"m","Value":"NaN"}]}`, "InvalidParameterValueException", "The value NaN"},
		{"PutMetricData", `{"Namespace":"N","MetricData":[{"MetricName":"m","Value":1,"Unit":"Parsecs"}]}`, "InvalidParameterValueException", "The value Parsecs"},
		{"PutMetricData", `{"Namespace":"N","MetricData":[{"MetricName":"m","Value":1,"Timestamp":1}]}`, "InvalidParameterValueException", "The parameter MetricData.member.1.Timestamp"},
		{"PutMetricData", `{"Namespace":"N","MetricData":[{"MetricName":"m","Values":[1,2],"Counts":[1]}]}`, "InvalidParameterValueException", "The parameters"},
		{"GetMetricStatistics", `{"Namespace":"N","MetricName":"m","StartTime":0,"EndTime":1000000,"Period":60,"Statistics":["Sum"]}`, "InvalidParameterCombinationException", "You have requested up to 16666 datapoints"},
		{"GetMetricStatistics", `{"Namespace":"N","MetricName":"m","StartTime":0,"EndTime":100,"Period":61,"Statistics":["Sum"]}`, "InvalidParameterValueException", "The parameter Period"},
		{"GetMetricStatistics", `{"Namespace":"N","MetricName":"m","StartTime":0,"EndTime":100,"Period":60,"ExtendedStatistics":["tm99"]}`, "InvalidParameterValueException", "The value tm99"},
		{"GetMetricData", `{"StartTime":0,"EndTime":100,"MetricDataQueries":[{"Id":"e","Expression":"a+b"}]}`, "InvalidParameterValueException", "Error in expression 'e'"},
		{"ListMetrics", `{"NextToken":"nonsense"}`, "InvalidNextToken", "The next token"},
		{"PutDashboard", `{}`, "UnknownOperationException", "PutDashboard"},
		{"ListMetrics", `{`, "SerializationException", "the request can not be read"},
		{"ListMetrics", `{"Namespace":5}`, "SerializationException", "the request can not be read"},
	} {
		status, out := r.json(x.op, x.body)
		message, _ := out["message"].(string)
		if status != http.StatusBadRequest || out["__type"] != x.code || !strings.HasPrefix(message, x.message) {
			t.Errorf("%s %s:\n got %d %v\nwant 400 %s %s", x.op, x.body, status, out, x.code, x.message)
		}
	}
	if status, out := r.form("GetMetricStatistics", url.Values{"Namespace": {"N"}}); status != 400 || !strings.Contains(out, "<Type>Sender</Type><Code>MissingParameter</Code>") {
		t.Errorf("%d %s", status, out)
	}
	if status, out := r.cbor("ListMetrics", cbor.Map{"RecentlyActive": cbor.String("PT1H")}); status != 400 || out["__type"] != cbor.String("InvalidParameterValueException") {
		t.Errorf("%d %v", status, out)
	}
}

func TestGzip(t *testing.T) {
	r := newRig(t)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = io.WriteString(z, `{"Namespace":"N","MetricData":[{"MetricName":"m","Value":1}]}`)
	_ = z.Close()
	res, text := r.do("/", packed.Bytes(), "X-Amz-Target", "GraniteServiceVersion20100801.PutMetricData", "Content-Encoding", "gzip")
	if res.StatusCode != 200 {
		t.Errorf("%d %s", res.StatusCode, text)
	}
	packed.Reset()
	z = gzip.NewWriter(&packed)
	for range 32 {
		_, _ = z.Write(make([]byte, 1<<20))
	}
	_ = z.Close()
	res, text = r.do("/", packed.Bytes(), "X-Amz-Target", "GraniteServiceVersion20100801.PutMetricData", "Content-Encoding", "gzip")
	if res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("%d %s", res.StatusCode, text)
	}
}

// FuzzRequest sends anything by each protocol: every answer is one that a client understands.
func FuzzRequest(f *testing.F) {
	f.Add(0, "ListMetrics", []byte("Namespace=N&Dimensions.member.1.Name=a"))
	f.Add(0, "PutMetricData", []byte("Namespace=N&MetricData.member.1.MetricName=m&MetricData.member.1.Value=1&MetricData.member.x=1&a.b.c.d=5"))
	f.Add(1, "GetMetricData", []byte(`{"StartTime":0,"EndTime":"2026-01-01T00:00:00Z","MetricDataQueries":[{"Id":"a"}]}`))
	f.Add(2, "GetMetricStatistics", cbor.Encode(cbor.Map{"Namespace": cbor.String("N"), "Period": cbor.Float64(60)}))
	f.Add(2, "ListMetrics", []byte{0xbf, 0x9f, 0xff, 0xff})
	r := newRig(f)
	f.Fuzz(func(t *testing.T, protocol int, op string, body []byte) {
		r := &rig{t, r.http}
		var res *http.Response
		switch protocol {
		case 0:
			res, _ = r.do("/", append([]byte("Action="+url.QueryEscape(op)+"&"), body...), "Content-Type", "application/x-www-form-urlencoded")
		case 1:
			res, _ = r.do("/", body, "X-Amz-Target", "GraniteServiceVersion20100801."+url.QueryEscape(op))
		default:
			res, _ = r.do("/service/GraniteServiceVersion20100801/operation/"+url.PathEscape(op), body)
		}
		if res.StatusCode >= 500 || res.StatusCode < 200 {
			t.Errorf("%d", res.StatusCode)
		}
	})
}
