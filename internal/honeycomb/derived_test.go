package honeycomb_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// span is one event of a test; at counts in seconds from the test's begin.
type span struct {
	at   float64
	rate int
	data map[string]any
}

// send sends spans to the dataset "web".
func send(t *testing.T, srv *httptest.Server, begin time.Time, spans ...span) {
	t.Helper()
	var list []map[string]any
	for _, s := range spans {
		at := begin.Add(time.Duration(s.at * float64(time.Second)))
		list = append(list, map[string]any{"time": at.Format(time.RFC3339Nano), "samplerate": max(s.rate, 1), "data": s.data})
	}
	body, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	if code, text := call(t, srv, "POST", "/1/batch/web", goodKey, string(body)); code != 200 || strings.Contains(text, "error") {
		t.Fatalf("batch: %d %s", code, text)
	}
}

// asked runs a query over the seconds from and to of a test and checks its results and series, in
// which the times are seconds from the test's begin.
func asked(t *testing.T, srv *httptest.Server, begin time.Time, from, to int64, spec, results, series string) {
	t.Helper()
	spec = fmt.Sprintf(`{"start_time":%d,"end_time":%d,"granularity":10,%s}`, begin.Unix()+from, begin.Unix()+to, spec)
	gotResults, gotSeries := askSeries(t, srv, "web", spec)
	for at := int64(0); at < 60; at += 10 {
		gotSeries = strings.ReplaceAll(gotSeries, begin.Add(time.Duration(at)*time.Second).Format(time.RFC3339), fmt.Sprint(at))
	}
	if gotResults != results {
		t.Errorf("%s: results\n%s\nwant\n%s", spec, gotResults, results)
	}
	if gotSeries != series {
		t.Errorf("%s: series\n%s\nwant\n%s", spec, gotSeries, series)
	}
}

func lines(list ...string) string { return strings.Join(list, "\n") }

func TestRates(t *testing.T) {
	srv := start(t)
	begin := time.Now().UTC().Truncate(time.Minute).Add(-10 * time.Minute)
	val := func(at float64, rate int, name string, v any) span {
		return span{at, rate, map[string]any{"name": name, "v": v}}
	}
	// a: SUM 10, 55, (none), 100; b: SUM 5 and 1, in buckets side by side.
	send(t, srv, begin, val(1, 1, "a", 10), val(11, 3, "a", 15), val(12, 1, "a", 10), val(31, 1, "a", 100), val(2, 1, "b", 5), val(13, 1, "b", 1))
	asked(t, srv, begin, 0, 40, `"calculations":[{"op":"RATE_SUM","column":"v"},{"op":"RATE_MAX","column":"v"},{"op":"COUNT"}],"filters":[{"column":"name","op":"=","value":"a"}]`,
		`{"data":{"COUNT":6,"RATE_MAX(v)":0.5,"RATE_SUM(v)":4.5}}`,
		lines(`{"time":"0","data":{"COUNT":1}}`, `{"time":"10","data":{"COUNT":4,"RATE_MAX(v)":0.5,"RATE_SUM(v)":4.5}}`, `{"time":"30","data":{"COUNT":1}}`))
	// Averages are weighed: (3·15 + 10)/4 − 10 over ten seconds.
	asked(t, srv, begin, 0, 20, `"calculations":[{"op":"RATE_AVG","column":"v"}],"breakdowns":["name"],"orders":[{"op":"RATE_AVG","column":"v","order":"descending"}]`,
		lines(`{"data":{"RATE_AVG(v)":0.375,"name":"a"}}`, `{"data":{"RATE_AVG(v)":-0.4,"name":"b"}}`),
		lines(`{"time":"0","data":{"name":"a"}}`, `{"time":"0","data":{"name":"b"}}`, `{"time":"10","data":{"RATE_AVG(v)":0.375,"name":"a"}}`, `{"time":"10","data":{"RATE_AVG(v)":-0.4,"name":"b"}}`))
	// A having and a limit see the rates of all groups.
	asked(t, srv, begin, 0, 20, `"calculations":[{"op":"RATE_SUM","column":"v"}],"breakdowns":["name"],"havings":[{"calculate_op":"RATE_SUM","column":"v","op":"<","value":0}]`,
		`{"data":{"RATE_SUM(v)":-0.4,"name":"b"}}`, lines(`{"time":"0","data":{"name":"b"}}`, `{"time":"10","data":{"RATE_SUM(v)":-0.4,"name":"b"}}`))
	asked(t, srv, begin, 0, 20, `"calculations":[{"op":"RATE_SUM","column":"v"}],"breakdowns":["name"],"orders":[{"op":"RATE_SUM","column":"v"}],"limit":1`,
		`{"data":{"RATE_SUM(v)":-0.4,"name":"b"}}`, lines(`{"time":"0","data":{"name":"b"}}`, `{"time":"10","data":{"RATE_SUM(v)":-0.4,"name":"b"}}`))
	// The rate over the range is the mean of those of the buckets.
	send(t, srv, begin, val(3, 1, "c", 0), val(14, 1, "c", 10), val(25, 1, "c", 40))
	asked(t, srv, begin, 0, 30, `"calculations":[{"op":"RATE_SUM","column":"v"}],"filters":[{"column":"name","op":"=","value":"c"}]`,
		`{"data":{"RATE_SUM(v)":2}}`, lines(`{"time":"0","data":{}}`, `{"time":"10","data":{"RATE_SUM(v)":1}}`, `{"time":"20","data":{"RATE_SUM(v)":3}}`))
}

func TestConcurrency(t *testing.T) {
	srv := start(t)
	begin := time.Now().UTC().Truncate(time.Minute).Add(-10 * time.Minute)
	lasts := func(at float64, rate int, name string, seconds float64) span {
		return span{at, rate, map[string]any{"name": name, "duration_ms": seconds * 1000}}
	}
	// early began 30 s before the range and lasts 35 s; long fills 15 s; sampled stands for four.
	send(t, srv, begin, lasts(-30, 1, "early", 35), lasts(5, 1, "long", 15), lasts(22, 4, "sampled", 5), lasts(1, 1, "instant", 0),
		span{3, 1, map[string]any{"name": "no duration"}})
	asked(t, srv, begin, 0, 40, `"calculations":[{"op":"CONCURRENCY"},{"op":"COUNT"}]`,
		`{"data":{"CONCURRENCY":2,"COUNT":7}}`,
		lines(`{"time":"0","data":{"CONCURRENCY":1,"COUNT":3}}`, `{"time":"10","data":{"CONCURRENCY":1,"COUNT":0}}`, `{"time":"20","data":{"CONCURRENCY":2,"COUNT":4}}`))
	asked(t, srv, begin, 0, 40, `"calculations":[{"op":"CONCURRENCY"},{"op":"COUNT"}],"breakdowns":["name"],"orders":[{"op":"CONCURRENCY","order":"descending"},{"column":"name"}],"limit":3`,
		lines(`{"data":{"CONCURRENCY":2,"COUNT":4,"name":"sampled"}}`, `{"data":{"CONCURRENCY":1,"COUNT":1,"name":"long"}}`, `{"data":{"CONCURRENCY":0.5,"COUNT":0,"name":"early"}}`),
		lines(`{"time":"0","data":{"CONCURRENCY":0.5,"COUNT":1,"name":"long"}}`, `{"time":"0","data":{"CONCURRENCY":0.5,"COUNT":0,"name":"early"}}`,
			`{"time":"10","data":{"CONCURRENCY":1,"COUNT":0,"name":"long"}}`, `{"time":"20","data":{"CONCURRENCY":2,"COUNT":4,"name":"sampled"}}`))
	// Of a bucket that the range cuts only what lies within counts.
	asked(t, srv, begin, 15, 25, `"calculations":[{"op":"CONCURRENCY"}]`, `{"data":{"CONCURRENCY":2.4}}`,
		lines(`{"time":"10","data":{"CONCURRENCY":1}}`, `{"time":"20","data":{"CONCURRENCY":2.4}}`))
	// A heatmap counts only what begins within the range.
	asked(t, srv, begin, 0, 40, `"calculations":[{"op":"CONCURRENCY"},{"op":"HEATMAP","column":"duration_ms"}]`,
		`{"data":{"CONCURRENCY":2,"HEATMAP(duration_ms)":{"buckets":[{"min":0,"max":500,"count":1},{"min":5000,"max":5500,"count":4},{"min":15000,"max":15500,"count":1}]}}}`,
		lines(`{"time":"0","data":{"CONCURRENCY":1,"HEATMAP(duration_ms)":{"buckets":[{"min":0,"max":500,"count":1},{"min":15000,"max":15500,"count":1}]}}}`,
			`{"time":"10","data":{"CONCURRENCY":1}}`,
			`{"time":"20","data":{"CONCURRENCY":2,"HEATMAP(duration_ms)":{"buckets":[{"min":5000,"max":5500,"count":4}]}}}`))
	// More than an hour before the range is not looked at.
	send(t, srv, begin, lasts(-3601, 1, "older", 3700), lasts(-3599, 1, "old", 3700))
	asked(t, srv, begin, 0, 10, `"calculations":[{"op":"CONCURRENCY"}],"filters":[{"column":"name","op":"starts-with","value":"old"}]`,
		`{"data":{"CONCURRENCY":1}}`, `{"time":"0","data":{"CONCURRENCY":1}}`)
	asked(t, srv, begin, 40, 50, `"calculations":[{"op":"CONCURRENCY"}],"filters":[{"column":"name","op":"does-not-start-with","value":"old"}]`, `{"data":{"CONCURRENCY":0}}`, "")
}

func TestRelations(t *testing.T) {
	srv := start(t)
	begin := time.Now().UTC().Truncate(time.Minute).Add(-10 * time.Minute)
	of := func(trace, id, parent int, name string, status int) span {
		d := map[string]any{"trace.trace_id": fmt.Sprintf("%032x", trace), "trace.span_id": fmt.Sprintf("%016x", id), "name": name, "status": status}
		if parent > 0 {
			d["trace.parent_id"] = fmt.Sprintf("%016x", parent)
		}
		return span{float64(id), 1, d}
	}
	// Both traces use the same span ids: 1 is above 2 and 3, 3 is above 4.
	send(t, srv, begin, of(1, 1, 0, "home", 200), of(1, 2, 1, "db", 500), of(1, 3, 1, "api", 200), of(1, 4, 3, "db", 200),
		of(2, 1, 0, "cart", 500), of(2, 2, 1, "db", 200), of(2, 3, 1, "api", 200), of(2, 4, 3, "cache", 404),
		span{9, 1, map[string]any{"name": "alone", "status": 200}})
	all := func(filters ...string) string {
		return fmt.Sprintf(`{"start_time":%d,"end_time":%d,"calculations":[{"op":"COUNT"}],"breakdowns":["trace.trace_id","name"],"orders":[{"column":"trace.trace_id"},{"column":"name"}],"filters":[%s]}`,
			begin.Unix(), begin.Unix()+60, strings.Join(filters, ","))
	}
	is := func(column string, v any) string {
		text, _ := json.Marshal(map[string]any{"column": column, "op": "=", "value": v})
		return string(text)
	}
	for _, c := range []struct {
		filters []string
		want    string
	}{
		{[]string{is("root.name", "home"), is("name", "db")}, "1 db×2"},
		{[]string{is("root.status", 500)}, "2 api, 2 cache, 2 cart, 2 db"},
		{[]string{is("root.name", "db")}, ""},
		{[]string{is("parent.name", "api")}, "1 db, 2 cache"},
		{[]string{is("parent.is_root", true), is("status", 500)}, "1 db"},
		{[]string{is("child.name", "db")}, "1 api, 1 home, 2 cart"},
		{[]string{is("child.status", 404)}, "2 api"},
		// One span must be both with one prefix, different ones may be with two.
		{[]string{is("any.name", "db"), is("any.status", 500), is("is_root", true)}, "1 home"},
		{[]string{is("any.name", "cache"), is("any.status", 500)}, ""},
		{[]string{is("any.name", "cache"), is("any2.status", 500), is("is_root", true)}, "2 cart"},
		{[]string{is("any.name", "db"), is("any2.status", 500), is("any3.name", "home"), is("is_root", true)}, "1 home"},
		{[]string{is("none.name", "cache")}, "alone, 1 api, 1 db×2, 1 home"},
		{[]string{is("none.name", "db"), is("none.status", 404)}, "alone, 1 api, 1 db×2, 1 home, 2 api, 2 cache, 2 cart, 2 db"},
		{[]string{is("root.name", "home"), is("parent.name", "home"), is("child.name", "db")}, "1 api"},
		{[]string{`{"column":"parent.status","op":"!=","value":500}`}, "1 api, 1 db×2, 2 cache"},
	} {
		var got []string
		for _, line := range strings.Fields(ask(t, srv, "web", all(c.filters...))) {
			var row struct {
				Data struct {
					Count int    `json:"COUNT"`
					Trace string `json:"trace.trace_id"`
					Name  string `json:"name"`
				}
			}
			if err := json.Unmarshal([]byte(line), &row); err != nil {
				t.Fatal(err)
			}
			text := strings.TrimSpace(strings.TrimLeft(row.Data.Trace, "0") + " " + row.Data.Name)
			if row.Data.Count > 1 {
				text += fmt.Sprint("×", row.Data.Count)
			}
			got = append(got, text)
		}
		// A row without a trace has no certain place: missing values come last in a sort.
		if n := len(got); n > 0 && got[n-1] == "alone" {
			got = append([]string{"alone"}, got[:n-1]...)
		}
		if text := strings.Join(got, ", "); text != c.want {
			t.Errorf("%v: %s, want %s", c.filters, text, c.want)
		}
	}
}
