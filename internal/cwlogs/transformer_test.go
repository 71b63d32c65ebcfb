package cwlogs_test

import (
	"fmt"
	"testing"
	"time"
)

func TestTransformers(t *testing.T) {
	r := newRig(t)
	r.call("CreateLogGroup", `{"logGroupName":"g"}`, nil)
	r.call("CreateLogGroup", `{"logGroupName":"ia","logGroupClass":"INFREQUENT_ACCESS"}`, nil)
	r.stream("g", "s")
	const config = `[{"grok":{"match":"%{WORD:verb} %{NOTSPACE:path} %{NUMBER:took:INTEGER}ms trace=%{NOTSPACE:trace_id}"}},{"upperCaseString":{"withKeys":["verb"]}}]`
	r.call("PutTransformer", `{"logGroupIdentifier":"g","transformerConfig":`+config+`}`, nil)
	r.call("PutMetricFilter", `{"logGroupName":"g","filterName":"slow","filterPattern":"{ $.took > 100 }","applyOnTransformedLogs":true,
		"metricTransformations":[{"metricName":"Slow","metricNamespace":"T","metricValue":"$.took"}]}`, nil)
	const line = "get /cart 250ms trace=0102030405060708090a0b0c0d0e0f10"
	r.put("g", "s", inEvent{now(), line}, inEvent{now(), "put /x 5ms trace=0"}, inEvent{now(), "does not fit"})
	var got eventsOutput
	r.call("FilterLogEvents", `{"logGroupName":"g"}`, &got)
	if len(got.Events) != 3 || got.Events[0].Message != line {
		t.Errorf("the messages change: %v", got.Events)
	}
	rows, _ := r.query(fmt.Sprintf(`{"logGroupName":"g","startTime":%d,"endTime":%d,"queryString":"fields verb, path, took | filter took > 100"}`, time.Now().Unix()-60, time.Now().Unix()+60))
	if rows != "verb=GET path=/cart took=250" {
		t.Errorf("fields: %s", rows)
	}
	if m := r.statistics("ns=T&name=Slow"); sumOf(m, "Sum") != 250 {
		t.Errorf("metric: %v", m)
	}
	var tested struct {
		TransformedLogs []struct {
			EventNumber                           int
			EventMessage, TransformedEventMessage string
		}
	}
	r.call("TestTransformer", `{"logEventMessages":["put /x 5ms trace=0","no"],"transformerConfig":`+config+`}`, &tested)
	if x := tested.TransformedLogs; len(x) != 2 || x[0].TransformedEventMessage != `{"path":"/x","took":5,"trace_id":"0","verb":"PUT"}` || x[1].TransformedEventMessage != "no" || x[1].EventNumber != 2 {
		t.Errorf("%+v", x)
	}
	r.refused("PutTransformer", `{"logGroupIdentifier":"g","transformerConfig":[{"trimString":{"withKeys":["a"]}}]}`, "InvalidParameterException", "Invalid transformer: processor 1 must be a parser")
	r.refused("PutTransformer", `{"logGroupIdentifier":"ia","transformerConfig":`+config+`}`, "InvalidOperationException", "Transformers are for")
	var have struct {
		LogGroupIdentifier string
		CreationTime       int64
		TransformerConfig  []map[string]any
	}
	r.call("GetTransformer", `{"logGroupIdentifier":"g"}`, &have)
	if have.LogGroupIdentifier != "g" || have.CreationTime == 0 || len(have.TransformerConfig) != 2 {
		t.Errorf("%+v", have)
	}
	r.restart()
	r.put("g", "s", inEvent{now(), "head /y 101ms trace=0"})
	if m := r.statistics("ns=T&name=Slow"); sumOf(m, "Sum") != 351 {
		t.Errorf("metric after a restart: %v", m)
	}
	r.call("DeleteTransformer", `{"logGroupIdentifier":"g"}`, nil)
	r.refused("DeleteTransformer", `{"logGroupIdentifier":"g"}`, "ResourceNotFoundException", "The specified transformer does not exist.")
	r.put("g", "s", inEvent{now(), "head /y 500ms trace=0"})
	if m := r.statistics("ns=T&name=Slow"); sumOf(m, "Sum") != 351 {
		t.Errorf("metric without transformer: %v", m)
	}
}
