package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
)

var testWindow = windowBefore(time.Date(2026, 11, 23, 12, 0, 30, 0, time.UTC))

func corpusOf(t *testing.T, rows int, one func(int) (*template, error)) *corpus {
	t.Helper()
	c, err := newCorpus(testWindow, rows, one)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// spansOf decodes request n.
func spansOf(t *testing.T, c *corpus, n int) (out []ptrace.Span, service []string) {
	t.Helper()
	r := ptraceotlp.NewExportRequest()
	body := c.fill(nil, n)
	if bytes.Contains(body, []byte("#####")) {
		t.Errorf("request %d has a place that is not filled in", n)
	}
	if err := r.UnmarshalProto(body); err != nil {
		t.Fatal(err)
	}
	for _, rs := range r.Traces().ResourceSpans().All() {
		name, _ := rs.Resource().Attributes().Get("service.name")
		for _, s := range rs.ScopeSpans().At(0).Spans().All() {
			out = append(out, s)
			service = append(service, name.Str())
		}
	}
	return out, service
}

func TestSpansAreTraces(t *testing.T) {
	c := corpusOf(t, 600*perRequest, spanTemplate)
	seen := map[pcommon.TraceID]int{}
	failed, rare, attributes, roots := 0, 0, 0, 0
	keys := map[string]bool{}
	durations := []float64{}
	for _, n := range []int{0, 7, 255, 256, 263, 599} { // 256 and 263 repeat the templates of 0 and 7
		spans, _ := spansOf(t, c, n)
		if len(spans) != perRequest {
			t.Fatalf("%d spans in a request", len(spans))
		}
		byID := map[pcommon.SpanID]ptrace.Span{}
		for _, s := range spans {
			if s.SpanID().IsEmpty() || byID[s.SpanID()] != (ptrace.Span{}) {
				t.Errorf("span id %s is there twice, or empty", s.SpanID())
			}
			byID[s.SpanID()] = s
		}
		for _, s := range spans {
			if last, ok := seen[s.TraceID()]; ok && last != n {
				t.Errorf("trace %s is in requests %d and %d", s.TraceID(), last, n)
			}
			seen[s.TraceID()] = n
			attributes += s.Attributes().Len()
			for k := range s.Attributes().All() {
				keys[k] = true
			}
			if s.Status().Code() == ptrace.StatusCodeError {
				failed++
			}
			if v, ok := s.Attributes().Get("error.code"); ok && v.Str() == rareCode {
				rare++
			}
			from, to := s.StartTimestamp(), s.EndTimestamp()
			if from > to || from.AsTime().Before(testWindow.From) || from.AsTime().After(testWindow.To.Add(time.Minute)) {
				t.Errorf("a span from %v to %v", from.AsTime(), to.AsTime())
			}
			if s.ParentSpanID().IsEmpty() {
				roots++
				durations = append(durations, math.Log(float64(to-from)))
				continue
			}
			p, ok := byID[s.ParentSpanID()]
			if !ok || p.TraceID() != s.TraceID() {
				t.Errorf("a span's parent is not in its trace")
			} else if from < p.StartTimestamp() || to > p.EndTimestamp() {
				t.Errorf("a span is not within its parent")
			}
		}
	}
	n := 6 * perRequest
	if size := c.wire(); size < 733 || size > 763 {
		t.Errorf("%.0f bytes a span on the wire, want about 748", size)
	}
	if mean := float64(attributes) / float64(n); mean < 23 || mean > 26 {
		t.Errorf("%.1f attributes a span, want about 25", mean)
	}
	if len(keys) < 135 || len(keys) > 160 {
		t.Errorf("%d keys, want about 150", len(keys))
	}
	if share := float64(failed) / float64(n); share < 0.01 || share > 0.03 {
		t.Errorf("%.3f of the spans failed, want about 0.02", share)
	}
	if mean := float64(n) / float64(roots); mean < 13 || mean > 17 {
		t.Errorf("%.1f spans a trace, want about 15", mean)
	}
	if rare != 2 {
		t.Errorf("%d rare values in templates 7 and their repeat, want 2", rare)
	}
	sum, squares := 0.0, 0.0
	for _, x := range durations {
		sum, squares = sum+x, squares+x*x
	}
	mean := sum / float64(len(durations))
	if dev := math.Sqrt(squares/float64(len(durations)) - mean*mean); dev < 0.7 || dev > 1.1 {
		t.Errorf("the logarithms of durations deviate by %.2f, want about 0.9", dev)
	}
}

// What the bench believes that it sent is what is in the requests.
func TestFactsOfSpans(t *testing.T) {
	c := corpusOf(t, 110*perRequest, spanTemplate)
	f := factsOfSpans(c)
	rows, rare, byHour, posts, failedRoots, last6h := 0, 0, map[int64]int{}, map[string]int{}, 0, 0
	users := map[string]int{}
	distinct := map[string]map[string]bool{}
	for n := range c.requests {
		spans, service := spansOf(t, c, n)
		for i, s := range spans {
			rows++
			at := s.StartTimestamp().AsTime()
			byHour[at.Truncate(time.Hour).Unix()]++
			get := func(key string) string {
				if v, ok := s.Attributes().Get(key); ok {
					return v.AsString()
				}
				return ""
			}
			if get("error.code") == rareCode {
				rare++
			}
			if get("http.method") == "POST" {
				posts[get("http.route")]++
			}
			u := get("user.id")
			users[u]++
			if distinct[service[i]] == nil {
				distinct[service[i]] = map[string]bool{}
			}
			distinct[service[i]][u] = true
			if s.ParentSpanID().IsEmpty() {
				if s.Status().Code() == ptrace.StatusCodeError {
					failedRoots++
				}
				if !at.Before(testWindow.To.Add(-6*time.Hour)) && at.Before(testWindow.To) {
					last6h++
				}
			}
		}
	}
	for hour, n := range byHour {
		if f.byHour[hour] != n {
			t.Errorf("hour %d: %d spans, counted %d", hour, n, f.byHour[hour])
		}
	}
	for route, n := range posts {
		if len(f.posts[route]) != n {
			t.Errorf("route %q: %d spans, counted %d", route, n, len(f.posts[route]))
		}
	}
	for i, name := range services {
		if len(f.seen[i]) != len(distinct[name]) {
			t.Errorf("%s: %d users, counted %d", name, len(distinct[name]), len(f.seen[i]))
		}
	}
	if n := users["user-00000"]; n == 0 || n != f.users[0] {
		t.Errorf("user 0 has %d spans, counted %d", n, f.users[0])
	}
	if f.rows != rows || f.rare != rare || rare == 0 || len(f.failed) != failedRoots || f.last6h != last6h {
		t.Errorf("rows %d, rare %d, failed %d, last six hours %d; counted %d, %d, %d, %d", rows, rare, failedRoots, last6h, f.rows, f.rare, len(f.failed), f.last6h)
	}
}

func TestRecords(t *testing.T) {
	c := corpusOf(t, 110*perRequest, otlpLines)
	if size := c.wire(); size < 262 || size > 274 {
		t.Errorf("%.0f bytes a record on the wire, want about 268", size)
	}
	f := factsOfLines(c)
	rare, timeouts, byLevel := 0, 0, map[string]int{}
	for n := range c.requests {
		r := plogotlp.NewExportRequest()
		body := c.fill(nil, n)
		if bytes.Contains(body, []byte("#####")) {
			t.Fatalf("request %d has a place that is not filled in", n)
		}
		if err := r.UnmarshalProto(body); err != nil {
			t.Fatal(err)
		}
		for _, rl := range r.Logs().ResourceLogs().All() {
			for _, rec := range rl.ScopeLogs().At(0).LogRecords().All() {
				rare += strings.Count(rec.Body().Str(), rareText)
				timeouts += strings.Count(rec.Body().Str(), timeoutText)
				byLevel[rec.SeverityText()]++
				at := rec.Timestamp().AsTime()
				if at.Before(testWindow.From) || at.After(testWindow.To) || rec.SeverityNumber() == plog.SeverityNumberUnspecified {
					t.Fatalf("a record of %v", at)
				}
			}
		}
	}
	checkLines(t, f, rare, timeouts, byLevel)
}

func checkLines(t *testing.T, f *facts, rare, timeouts int, byLevel map[string]int) {
	t.Helper()
	counted := 0
	for _, n := range f.timeouts {
		counted += n
	}
	if rare == 0 || rare != f.rare || timeouts != counted {
		t.Errorf("%d rare lines and %d timeouts, counted %d and %d", rare, timeouts, f.rare, counted)
	}
	for _, l := range levels {
		if byLevel[l] == 0 || byLevel[l] != f.byLevel[l] {
			t.Errorf("%d lines of level %s, counted %d", byLevel[l], l, f.byLevel[l])
		}
	}
}

func TestLines(t *testing.T) {
	c := corpusOf(t, 110*perRequest, putLines)
	if size := c.wire(); size < 262 || size > 274 {
		t.Errorf("%.0f bytes a line on the wire, want about 268", size)
	}
	f := factsOfLines(c)
	rare, timeouts, byLevel, newest := 0, 0, map[string]int{}, int64(0)
	for n := range c.requests {
		var in struct {
			LogEvents []struct {
				Timestamp int64
				Message   string
			}
		}
		if err := json.Unmarshal(c.fill(nil, n), &in); err != nil {
			t.Fatal(err)
		}
		last := int64(0)
		for _, e := range in.LogEvents {
			var m struct {
				Level, Message string
				Trace          string `json:"trace_id"`
			}
			if err := json.Unmarshal([]byte(e.Message), &m); err != nil {
				t.Fatal(err)
			}
			rare += strings.Count(m.Message, rareText)
			if strings.Contains(m.Message, timeoutText) {
				timeouts++
				newest = max(newest, e.Timestamp)
			}
			byLevel[m.Level]++
			if _, err := hex.DecodeString(m.Trace); err != nil || e.Timestamp < last || strings.Contains(m.Message, "#####") {
				t.Fatalf("line %+v after %d", e, last)
			}
			last = e.Timestamp
		}
	}
	if newest != f.newest {
		t.Errorf("the newest timeout is of %d, counted %d", newest, f.newest)
	}
	checkLines(t, f, rare, timeouts, byLevel)
}

func TestDatagrams(t *testing.T) {
	d := newDatagrams(testWindow, 10_000)
	ids := map[string]bool{}
	traceIDs := regexp.MustCompile(`^1-[0-9a-f]{8}-[0-9a-f]{24}$`)
	for n := range 1000 {
		b := d.make(n)
		if len(b) < 1800 || len(b) > 2300 {
			t.Fatalf("a datagram of %d bytes, want about 2 KB", len(b))
		}
		head, doc, _ := bytes.Cut(b, []byte("\n"))
		var s struct {
			ID          string
			TraceID     string  `json:"trace_id"`
			Start       float64 `json:"start_time"`
			End         float64 `json:"end_time"`
			Subsegments []struct{ ID string }
		}
		if err := json.Unmarshal(doc, &s); err != nil {
			t.Fatalf("%v: %s", err, doc)
		}
		if string(head)+"\n" != daemonHeader || !traceIDs.MatchString(s.TraceID) || s.Start >= s.End || ids[s.ID] || len(s.Subsegments) != 2 {
			t.Fatalf("datagram %s", b)
		}
		ids[s.ID] = true
	}
}

func TestWrongAnswersAreFound(t *testing.T) {
	c := corpusOf(t, 100*perRequest, spanTemplate)
	f := factsOfSpans(c)
	for _, x := range []struct {
		name   string
		check  func(int, []byte) error
		answer string
	}{
		{"no rows", total(5), `{"data":{"results":[]}}`},
		{"a count too low", total(5), `{"data":{"results":[{"data":{"COUNT":4}}]}}`},
		{"hours", hours(f), `{"data":{"series":[{"time":"2026-11-10T00:00:00Z","data":{"COUNT":1}}]}}`},
		{"routes", byRoute(f.posts), `{"data":{"results":[{"data":{"COUNT":1}}]}}`},
		{"users", byUser(f), `{"data":{"results":[{"data":{"COUNT":1,"user.id":"user-00000"}}]}}`},
		{"heatmap", heat(f), `{"data":{"results":[{"data":{"HEATMAP(duration_ms)":{"buckets":[{"min":0,"max":1e9,"count":7}]}}}]}}`},
		{"traces", newestFailed(f, testWindow), `{"traces":[]}`},
		{"graph", graph(f), `{"Services":[]}`},
		{"an error", distinct(f), `{"error":"no"}`},
	} {
		if x.check(0, []byte(x.answer)) == nil {
			t.Errorf("%s: taken as right", x.name)
		}
	}
	if err := total(5)(0, []byte(`{"data":{"results":[{"data":{"COUNT":5}}]}}`)); err != nil {
		t.Error(err)
	}
	list := f.posts[""]
	if p := list[len(list)*99/100]; !between(p, list, 0.99) || between(p*1.3, list, 0.99) || between(list[len(list)/2], list, 0.99) {
		t.Errorf("the percentile of %d durations is judged wrongly", len(list))
	}
}

func TestTable(t *testing.T) {
	var r report
	r.atMost("a", "slow", 30, "ms", 20, "first 40")
	r.atLeast("a", "fast", 200, "/s", 100, "")
	r.none("a", "lost", 0, "", "of 7")
	r.put("a", "plain", 0.123, "CPU-s/M", "")
	var b bytes.Buffer
	if err := r.table(&b); err != nil {
		t.Fatal(err)
	}
	want := "| a: slow | 30.0 ms (first 40) | ≤ 20.0 | 1.50 |\n| a: fast | 200 /s | ≥ 100 | 0.50 |\n| a: lost | 0 (of 7) | ≤ 0 |  |\n| a: plain | 0.12 CPU-s/M |  |  |\n"
	if !strings.HasSuffix(b.String(), want) {
		t.Errorf("table\n%s\nwant\n%s", b.String(), want)
	}
}
