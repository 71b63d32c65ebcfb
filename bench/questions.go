package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	repeats = 7
	traced  = 20 // traces that are looked up
)

// question is one query whose answer is known.
type question struct {
	name string
	bar  float64 // ms; 0 for none
	// ask returns the answer to be timed, and check what is wrong with it.
	ask   func(ctx context.Context, i int) ([]byte, error)
	check func(i int, answer []byte) error
	// variants is how many different questions there are, 1 for always the same.
	variants int
}

// timing is how long a question took, in ms.
type timing struct{ first, median, worst float64 }

// measure asks once, then again as often as it says; every answer is checked.
func (q *question) measure(ctx context.Context) (timing, error) {
	var t timing
	var all []float64
	for i := range max(repeats, q.variants) + 1 {
		v := i % max(1, q.variants)
		began := time.Now()
		answer, err := q.ask(ctx, v)
		ms := float64(time.Since(began).Microseconds()) / 1000
		if err != nil {
			return t, fmt.Errorf("%s: %w", q.name, err)
		}
		if err := q.check(v, answer); err != nil {
			return t, fmt.Errorf("%s: wrong answer: %w", q.name, err)
		}
		if i == 0 {
			t.first = ms
			continue
		}
		all = append(all, ms)
	}
	slices.Sort(all)
	t.median, t.worst = all[len(all)/2], all[len(all)-1]
	return t, nil
}

// asker asks a trefoil.
type asker struct{ base string }

// honeycomb returns a query of Honeycomb's API: it is made once, and a result of it is made
// and fetched each time.
func (a asker) honeycomb(dataset, spec string, series bool) func(context.Context, int) ([]byte, error) {
	id := ""
	return func(ctx context.Context, _ int) ([]byte, error) {
		var made struct {
			ID string `json:"id"`
		}
		if id == "" {
			text, err := ask(ctx, a.base+"/1/queries/"+dataset, nil, spec)
			if err != nil {
				return nil, err
			}
			if err := json.Unmarshal(text, &made); err != nil {
				return nil, err
			}
			id = made.ID
		}
		text, err := ask(ctx, a.base+"/1/query_results/"+dataset, nil, fmt.Sprintf(`{"query_id":%q,"disable_series":%t}`, id, !series))
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(text, &made); err != nil {
			return nil, err
		}
		return ask(ctx, a.base+"/1/query_results/"+dataset+"/"+made.ID, nil, "")
	}
}

func (a asker) get(path string) func(context.Context, int) ([]byte, error) {
	return func(ctx context.Context, _ int) ([]byte, error) { return ask(ctx, a.base+path, nil, "") }
}

// insights runs a query of CloudWatch Logs Insights to its end.
func (a asker) insights(w window, text string) func(context.Context, int) ([]byte, error) {
	start := fmt.Sprintf(`{"logGroupName":%q,"startTime":%d,"endTime":%d,"queryString":%q}`, logGroup, w.From.Unix(), w.To.Unix()+3600, text)
	return func(ctx context.Context, _ int) ([]byte, error) {
		body, err := ask(ctx, a.base+"/", awsHeaders("StartQuery"), start)
		if err != nil {
			return nil, err
		}
		var run struct{ QueryID string }
		if err := json.Unmarshal(body, &run); err != nil {
			return nil, err
		}
		// Asking more often would take from the query's own time.
		for began := time.Now(); ; {
			wait := time.NewTimer(min(max(time.Since(began)/32, 2*time.Millisecond), 10*time.Millisecond))
			select {
			case <-wait.C:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			body, err := ask(ctx, a.base+"/", awsHeaders("GetQueryResults"), fmt.Sprintf(`{"queryId":%q}`, run.QueryID))
			if err != nil {
				return nil, err
			}
			var state struct{ Status string }
			if err := json.Unmarshal(body, &state); err != nil {
				return nil, err
			}
			switch state.Status {
			case "Scheduled", "Running":
			case "Complete":
				return body, nil
			default:
				return nil, errors.New("the query ended as " + state.Status)
			}
		}
	}
}

// cells is a row of an answer of Honeycomb's.
type cells map[string]json.RawMessage

func (c cells) number(name string) float64 {
	f, err := strconv.ParseFloat(string(c[name]), 64)
	if err != nil {
		return math.NaN()
	}
	return f
}

func (c cells) text(name string) string {
	var s string
	_ = json.Unmarshal(c[name], &s) // absent is empty
	return s
}

type honeycombAnswer struct {
	Data struct {
		Results []struct{ Data cells }
		Series  []struct {
			Time time.Time
			Data cells
		}
	}
}

// results wraps a check of an answer of Honeycomb's.
func results(f func(a *honeycombAnswer) error) func(int, []byte) error {
	return func(_ int, text []byte) error {
		var a honeycombAnswer
		if err := json.Unmarshal(text, &a); err != nil {
			return err
		}
		return f(&a)
	}
}

func total(want int) func(int, []byte) error {
	return results(func(a *honeycombAnswer) error {
		got := 0.0
		if len(a.Data.Results) > 0 {
			got = a.Data.Results[0].Data.number("COUNT")
		}
		return same("count", int(got), want)
	})
}

func same[T comparable](what string, got, want T) error {
	if got != want {
		return fmt.Errorf("%s is %v, want %v", what, got, want)
	}
	return nil
}

// byRoute checks counts and percentiles by route.
func byRoute(want map[string][]float64) func(int, []byte) error {
	return results(func(a *honeycombAnswer) error {
		if err := same("groups", len(a.Data.Results), len(want)); err != nil {
			return err
		}
		for _, r := range a.Data.Results {
			list := want[r.Data.text("http.route")]
			if err := same("count of "+r.Data.text("http.route"), int(r.Data.number("COUNT")), len(list)); err != nil {
				return err
			}
			if p := r.Data.number("P99(duration_ms)"); !between(p, list, 0.99) {
				return fmt.Errorf("p99 of %d durations is %g", len(list), p)
			}
		}
		return nil
	})
}

func byUser(f *facts) func(int, []byte) error {
	top := slices.Clone(f.users)
	slices.SortFunc(top, func(a, b int) int { return b - a })
	return results(func(a *honeycombAnswer) error {
		if err := same("groups", len(a.Data.Results), min(100, len(f.users))); err != nil {
			return err
		}
		for i, r := range a.Data.Results {
			u, err := strconv.Atoi(strings.TrimPrefix(r.Data.text("user.id"), "user-"))
			if err != nil {
				return err
			}
			if n := int(r.Data.number("COUNT")); n != f.users[u] || n != top[i] {
				return fmt.Errorf("user %d at %d has %d spans, sent %d, and %d belong there", u, i, n, f.users[u], top[i])
			}
		}
		return nil
	})
}

func distinct(f *facts) func(int, []byte) error {
	return results(func(a *honeycombAnswer) error {
		if err := same("groups", len(a.Data.Results), len(services)); err != nil {
			return err
		}
		for _, r := range a.Data.Results {
			s := slices.Index(services, r.Data.text("service.name"))
			got, want := r.Data.number("COUNT_DISTINCT(user.id)"), 0.0
			if s >= 0 {
				want = float64(len(f.seen[s]))
			}
			if !(math.Abs(got-want) <= 0.04*want) {
				return fmt.Errorf("%s has %g users, sent %g", r.Data.text("service.name"), got, want)
			}
		}
		return nil
	})
}

func heat(f *facts) func(int, []byte) error {
	return results(func(a *honeycombAnswer) error {
		if err := same("results", len(a.Data.Results), 1); err != nil {
			return err
		}
		var h struct {
			Buckets []struct{ Min, Max, Count float64 }
		}
		if err := json.Unmarshal(a.Data.Results[0].Data["HEATMAP(duration_ms)"], &h); err != nil {
			return err
		}
		n, high := 0.0, 0.0
		for _, b := range h.Buckets {
			n, high = n+b.Count, max(high, b.Max)
		}
		if high < f.longest {
			return fmt.Errorf("the highest bucket ends at %g, the longest span is %g", high, f.longest)
		}
		return same("sum of the buckets", int(n), f.rows)
	})
}

func hours(f *facts) func(int, []byte) error {
	return results(func(a *honeycombAnswer) error {
		got := map[int64]int{}
		for _, p := range a.Data.Series {
			if n := int(p.Data.number("COUNT")); n != 0 {
				got[p.Time.Unix()] = n
			}
		}
		if !maps.Equal(got, f.byHour) {
			return fmt.Errorf("%d hours differ from the %d that were sent", len(got), len(f.byHour))
		}
		return nil
	})
}

// spanQuestions are those about spans, which c sent.
func spanQuestions(a asker, c *corpus) []question {
	f, w := factsOfSpans(c), c.window
	const all = "__all__"
	whole := fmt.Sprintf(`"start_time":%d,"end_time":%d`, w.From.Unix(), w.To.Unix()+3600)
	day := fmt.Sprintf(`"start_time":%d,"end_time":%d`, w.To.Unix()-86400, w.To.Unix())
	const grouped = `"filters":[{"column":"http.method","op":"=","value":"POST"}],"breakdowns":["http.route"],"calculations":[{"op":"COUNT"},{"op":"P99","column":"duration_ms"}]`
	heatmap := `{` + whole + `,"calculations":[{"op":"HEATMAP","column":"duration_ms"}]}`
	spec := func(s string) string { return "{" + s + "}" }

	// Twenty traces from all over the range.
	rnd := rand.New(rand.NewPCG(5, 5))
	type sample struct {
		id    string
		spans int
	}
	var samples []sample
	for range traced {
		n := rnd.IntN(c.requests)
		t := c.of(n)
		s := sample{}
		k := int32(rnd.IntN(t.traces))
		for i := range t.rows {
			if t.rows[i].trace == k {
				s.spans++
			}
		}
		s.id = traceText(n, int(k))
		samples = append(samples, s)
	}
	requestID := func() (string, int) {
		n := c.requests / 2
		spans := 0
		for i := range c.of(n).rows {
			if c.of(n).rows[i].trace == 3 {
				spans++
			}
		}
		return fmt.Sprintf("req-%016x", number(6, n, 3)), spans
	}
	id, idSpans := requestID()
	return []question{
		{name: "count by hour", bar: 20, ask: a.honeycomb(all, spec(whole+`,"granularity":3600,"calculations":[{"op":"COUNT"}]`), true), check: hours(f)},
		{name: "filter, group, p99, 24 h", bar: 20, ask: a.honeycomb(all, spec(day+","+grouped), false), check: byRoute(f.recent)},
		{name: "filter, group, p99, everything", bar: 60, ask: a.honeycomb(all, spec(whole+","+grouped), false), check: byRoute(f.posts)},
		{name: "distinct users by service", bar: 100, ask: a.honeycomb(all, spec(whole+`,"breakdowns":["service.name"],"calculations":[{"op":"COUNT_DISTINCT","column":"user.id"}]`), false), check: distinct(f)},
		{name: "heatmap of durations", bar: 80, ask: a.honeycomb(all, heatmap, false), check: heat(f)},
		{name: "top 100 users", bar: 120, ask: a.honeycomb(all, spec(whole+`,"breakdowns":["user.id"],"calculations":[{"op":"COUNT"}],"orders":[{"op":"COUNT","order":"descending"}],"limit":100`), false), check: byUser(f)},
		{
			name: "trace by id", bar: 10, variants: len(samples),
			ask: func(ctx context.Context, i int) ([]byte, error) {
				return ask(ctx, a.base+"/api/traces/"+samples[i].id, nil, "")
			},
			check: func(i int, text []byte) error {
				var t struct{ Rows []struct{ Kind string } }
				if err := json.Unmarshal(text, &t); err != nil {
					return err
				}
				return same("spans", len(t.Rows), samples[i].spans)
			},
		},
		{name: "newest 50 failed traces", bar: 20, ask: a.get(fmt.Sprintf("/api/traces?from=%d&to=%d&limit=50&filter=fault", w.From.UnixMilli(), w.To.UnixMilli())), check: newestFailed(f, w)},
		{name: "rare value", bar: 15, ask: a.honeycomb(all, spec(whole+`,"filters":[{"column":"error.code","op":"=","value":"`+rareCode+`"}],"calculations":[{"op":"COUNT"}]`), false), check: total(f.rare)},
		{name: "unique request id", ask: a.honeycomb(all, spec(whole+`,"filters":[{"column":"request.id","op":"=","value":"`+id+`"}],"calculations":[{"op":"COUNT"}]`), false), check: total(idSpans)},
		{name: "service graph, 6 h", bar: 200, ask: func(ctx context.Context, _ int) ([]byte, error) {
			return ask(ctx, a.base+"/ServiceGraph", nil, fmt.Sprintf(`{"StartTime":%d,"EndTime":%d}`, w.To.Unix()-6*3600, w.To.Unix()))
		}, check: graph(f)},
		{name: "filter, group, p99, everything, and as a series", ask: a.honeycomb(all, spec(whole+","+grouped), true), check: byRoute(f.posts)},
		{name: "heatmap of durations, and as a series", ask: a.honeycomb(all, heatmap, true), check: heat(f)},
	}
}

func newestFailed(f *facts, w window) func(int, []byte) error {
	var want []string
	for _, x := range f.failed {
		if x.at < w.To.UnixNano() && len(want) < 50 {
			want = append(want, x.id)
		}
	}
	return func(_ int, text []byte) error {
		var page struct {
			Traces []struct {
				TraceID string `json:"trace_id"`
			}
		}
		if err := json.Unmarshal(text, &page); err != nil {
			return err
		}
		var got []string
		for _, t := range page.Traces {
			got = append(got, t.TraceID)
		}
		if !slices.Equal(got, want) {
			return fmt.Errorf("%d traces are not the newest %d that failed", len(got), len(want))
		}
		return nil
	}
}

func graph(f *facts) func(int, []byte) error {
	return func(_ int, text []byte) error {
		var g struct {
			Services []struct {
				Name              string
				Root              bool
				SummaryStatistics struct{ TotalCount int }
			}
		}
		if err := json.Unmarshal(text, &g); err != nil {
			return err
		}
		seen := map[string]int{}
		for _, s := range g.Services {
			seen[s.Name] = max(seen[s.Name], s.SummaryStatistics.TotalCount)
		}
		for _, s := range services {
			if seen[s] == 0 {
				return fmt.Errorf("service %s is not in it", s)
			}
		}
		// A few more began before the range and reach into it.
		if n := seen[services[0]]; n < f.last6h || n > f.last6h+20 {
			return fmt.Errorf("%d requests to %s, sent %d", n, services[0], f.last6h)
		}
		return nil
	}
}

// lineQuestions are those about the lines of a log group, which c sent.
func lineQuestions(a asker, c *corpus) []question {
	f, w := factsOfLines(c), c.window
	rows := func(check func(rows []map[string]string) error) func(int, []byte) error {
		return func(_ int, text []byte) error {
			var a struct {
				Results [][]struct{ Field, Value string }
			}
			if err := json.Unmarshal(text, &a); err != nil {
				return err
			}
			var list []map[string]string
			for _, r := range a.Results {
				m := map[string]string{}
				for _, f := range r {
					m[f.Field] = f.Value
				}
				list = append(list, m)
			}
			return check(list)
		}
	}
	holds := func(part string, want int) func(rows []map[string]string) error {
		return func(rows []map[string]string) error {
			for _, r := range rows {
				if !strings.Contains(r["@message"], part) {
					return fmt.Errorf("%q has no %q", r["@message"], part)
				}
			}
			return same("rows", len(rows), want)
		}
	}
	timeouts := 0
	for _, n := range f.timeouts {
		timeouts += n
	}
	const lines = "fields @timestamp, @message | filter @message like "
	return []question{
		{name: "rare text in log bodies", bar: 50, ask: a.insights(w, lines+strconv.Quote(rareText)+" | sort @timestamp desc | limit 1000"), check: rows(holds(rareText, min(1000, f.rare)))},
		{name: "common text in log bodies, newest 100", ask: a.insights(w, lines+"/"+timeoutText+"/ | sort @timestamp desc | limit 100"), check: rows(func(rows []map[string]string) error {
			if err := holds(timeoutText, min(100, timeouts))(rows); err != nil || len(rows) == 0 {
				return err
			}
			return same("time of the newest", rows[0]["@timestamp"], time.UnixMilli(f.newest).UTC().Format("2006-01-02 15:04:05.000"))
		})},
		{name: "matching lines by 5 minutes", ask: a.insights(w, "filter @message like /"+timeoutText+"/ | stats count(*) as n by bin(5m) as at"), check: rows(func(rows []map[string]string) error {
			got := map[int64]int{}
			for _, r := range rows {
				at, err := time.Parse("2006-01-02 15:04:05.000", r["at"])
				if err != nil {
					return err
				}
				if got[at.Unix()], err = strconv.Atoi(r["n"]); err != nil {
					return err
				}
			}
			if !maps.Equal(got, f.timeouts) {
				return fmt.Errorf("%d buckets differ from the %d that were sent", len(got), len(f.timeouts))
			}
			return nil
		})},
		{name: "lines by level", ask: a.insights(w, "stats count(*) as n by level"), check: rows(func(rows []map[string]string) error {
			got := map[string]int{}
			for _, r := range rows {
				n, err := strconv.Atoi(r["n"])
				if err != nil {
					return err
				}
				got[r["level"]] = n
			}
			if !maps.Equal(got, f.byLevel) {
				return fmt.Errorf("levels %v, sent %v", got, f.byLevel)
			}
			return nil
		})},
		{name: "rare text, the console's list", ask: a.get("/api/logs/events?" + url.Values{
			"group": {logGroup}, "filter": {strconv.Quote(rareText)}, "from": {fmt.Sprint(w.From.UnixMilli())}, "to": {fmt.Sprint(w.To.UnixMilli() + 1)},
		}.Encode()), check: func(_ int, text []byte) error {
			var page struct{ Events []struct{ Message string } }
			if err := json.Unmarshal(text, &page); err != nil {
				return err
			}
			return same("events", len(page.Events), min(200, f.rare))
		}},
	}
}

// recordQuestions are those about the OTLP log records that c sent.
func recordQuestions(a asker, c *corpus) []question {
	f, w := factsOfLines(c), c.window
	whole := fmt.Sprintf(`"start_time":%d,"end_time":%d`, w.From.Unix(), w.To.Unix()+3600)
	contains := func(part string) string {
		return `{` + whole + `,"filters":[{"column":"body","op":"contains","value":"` + part + `"}],"calculations":[{"op":"COUNT"}]}`
	}
	timeouts := 0
	for _, n := range f.timeouts {
		timeouts += n
	}
	return []question{
		{name: "rare text in OTLP log bodies", bar: 50, ask: a.honeycomb("__all__", contains(rareText), false), check: total(f.rare)},
		{name: "common text in OTLP log bodies, counted", ask: a.honeycomb("__all__", contains(timeoutText), false), check: total(timeouts)},
	}
}
