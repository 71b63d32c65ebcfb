package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

const (
	crashRounds = 20
	perBatch    = 50
	// crashAfter is how many acknowledged batches a round waits for before it kills the server.
	crashAfter = 120
)

// sender is one way in: it sends batch n and reports whether it was acknowledged.
type sender struct {
	dataset, field string
	send           func(base, otlp string, n int) bool
}

func post(url, contentType, target string, body []byte) ([]byte, bool) {
	r, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, false
	}
	r.Header.Set("Content-Type", contentType)
	if target != "" {
		r.Header.Set("X-Amz-Target", target)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, false
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	return text, err == nil && res.StatusCode == http.StatusOK
}

func id(size, batch, i int) []byte {
	b := make([]byte, size)
	copy(b, fmt.Sprintf("%06d%02d", batch, i+1))
	return b
}

func sendSpans(_, otlp string, n int) bool {
	spans := make([]*trace.Span, perBatch)
	now := uint64(time.Now().UnixNano())
	for i := range spans {
		spans[i] = &trace.Span{
			TraceId: id(16, n, 0), SpanId: id(8, n, i), Name: "crash", StartTimeUnixNano: now, EndTimeUnixNano: now + 1000,
			Attributes: []*common.KeyValue{{Key: "batch", Value: &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: int64(n)}}}},
		}
	}
	body, err := proto.Marshal(&collector.ExportTraceServiceRequest{ResourceSpans: []*trace.ResourceSpans{{
		Resource:   &resource.Resource{Attributes: []*common.KeyValue{{Key: "service.name", Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: "crash"}}}}},
		ScopeSpans: []*trace.ScopeSpans{{Spans: spans}},
	}}})
	if err != nil {
		panic(err)
	}
	_, ok := post("http://"+otlp+"/v1/traces", "application/x-protobuf", "", body)
	return ok
}

func sendLogs(base, _ string, n int) bool {
	type event struct {
		Timestamp int64  `json:"timestamp"`
		Message   string `json:"message"`
	}
	in := struct {
		Group  string  `json:"logGroupName"`
		Stream string  `json:"logStreamName"`
		Events []event `json:"logEvents"`
	}{"crash-logs", "s", nil}
	for i := range perBatch {
		in.Events = append(in.Events, event{time.Now().UnixMilli(), fmt.Sprintf(`{"batch":%d,"i":%d}`, n, i)})
	}
	body, err := json.Marshal(in)
	if err != nil {
		panic(err)
	}
	_, ok := post("http://"+base+"/", "application/x-amz-json-1.1", "Logs_20140328.PutLogEvents", body)
	return ok
}

func sendSegments(base, _ string, n int) bool {
	docs := make([]string, perBatch)
	now := float64(time.Now().UnixMilli()) / 1000
	for i := range docs {
		docs[i] = fmt.Sprintf(`{"name":"crash","id":"%x","trace_id":"1-%08x-%024x","start_time":%f,"end_time":%f,"annotations":{"batch":%d}}`, id(8, n, i), int(now), n, now, now+0.1, n)
	}
	body, err := json.Marshal(map[string][]string{"TraceSegmentDocuments": docs})
	if err != nil {
		panic(err)
	}
	text, ok := post("http://"+base+"/TraceSegments", "application/json", "", body)
	return ok && bytes.Contains(text, []byte(`"UnprocessedTraceSegments":[]`))
}

// TestCrash kills the server in the middle of ingestion at full speed by three protocols,
// twenty times over one data folder: every acknowledged batch is there afterwards, whole, and
// no batch is there in part or twice.
func TestCrash(t *testing.T) {
	s := serve(t)
	s.aws("logs", "create-log-group", "--log-group-name", "crash-logs")
	s.aws("logs", "create-log-stream", "--log-group-name", "crash-logs", "--log-stream-name", "s")
	senders := []sender{{"crash", "batch", sendSpans}, {"crash-logs", "batch", sendLogs}, {"xray", "annotation.batch", sendSegments}}
	acked := make([]map[int]bool, len(senders))
	sent := make([]int, len(senders))
	for i := range acked {
		acked[i] = map[int]bool{}
	}
	total := 0
	for round := range crashRounds {
		var wg sync.WaitGroup
		var mu sync.Mutex
		var count atomic.Int64
		full := make(chan struct{})
		for k, x := range senders {
			for range 3 {
				wg.Go(func() {
					for {
						mu.Lock()
						sent[k]++
						n := sent[k]
						mu.Unlock()
						if !x.send(s.HTTP, s.OTLPHTTP, n) {
							return // the server is gone
						}
						mu.Lock()
						acked[k][n] = true
						mu.Unlock()
						if count.Add(1) == crashAfter {
							close(full)
						}
					}
				})
			}
		}
		select {
		case <-full:
		case <-time.After(60 * time.Second):
			t.Fatalf("round %d: only %d batches acknowledged in a minute\n%s", round, count.Load(), s.log)
		}
		s.kill()
		wg.Wait()
		s.start()
		total += int(count.Load())
	}
	for k, x := range senders {
		found := map[int]int{}
		for _, row := range s.rows(x.dataset, `{"breakdowns":["`+x.field+`"],"limit":10000,"time_range":86400}`) {
			batch, _ := row[x.field].(float64)
			n, _ := row["COUNT"].(float64)
			found[int(batch)] = int(n)
		}
		for n := range acked[k] {
			if found[n] != perBatch {
				t.Errorf("%s: batch %d was acknowledged, %d of its %d events are there", x.dataset, n, found[n], perBatch)
			}
		}
		for n, events := range found {
			if events != perBatch {
				t.Errorf("%s: batch %d is there in part or twice: %d of %d events", x.dataset, n, events, perBatch)
			}
		}
	}
	t.Logf("%d batches of %d events acknowledged over %d kills, all found", total, perBatch, crashRounds)
}
