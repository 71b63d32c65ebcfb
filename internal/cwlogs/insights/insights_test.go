package insights_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/cwlogs/insights"
	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/query/querytest"
	"github.com/trefoil-o11y/trefoil/internal/syntax"
)

func TestSyntax(t *testing.T) {
	for _, c := range querytest.Corpus(t, "testdata/syntax.txt") {
		t.Run(c.Name, func(t *testing.T) {
			q, err := insights.Parse(c.Query)
			if c.Fail != "" {
				if err == nil || err.Error() != c.Fail {
					t.Fatalf("%s\ngot  %v\nwant %s", c.Query, err, c.Fail)
				}
				return
			}
			if err != nil {
				t.Fatalf("%s\n%v", c.Query, err)
			}
			if got := q.String(); got != strings.Join(c.Want, "\n") {
				t.Errorf("%s\ngot  %s\nwant %s", c.Query, got, strings.Join(c.Want, "\n"))
			}
		})
	}
}

// TestSamples compiles and runs queries as people write them.
func TestSamples(t *testing.T) {
	text, err := os.ReadFile("testdata/samples.txt")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "# ") {
			continue
		}
		n++
		q, err := insights.Parse(line)
		if err != nil {
			t.Errorf("%s%v", line, err)
			continue
		}
		if again, err := insights.Parse(q.String()); err != nil || again.String() != q.String() {
			t.Errorf("%sprints as %s, which reads as %v (%v)", line, q, again, err)
		}
		plan, err := insights.Lower(q, fuzzEnv())
		if err != nil {
			t.Errorf("%s%v", line, err)
			continue
		}
		if _, err := runPlan(plan); err != nil {
			t.Errorf("%s%v", line, err)
		}
	}
	if n < 45 {
		t.Errorf("%d samples", n)
	}
}

// TestRefused holds what parses but can not be run.
func TestRefused(t *testing.T) {
	chain := "fields a + a as b0"
	for i := range 20 {
		n := string(rune('a' + i))
		prev := "b0"
		if i > 0 {
			prev = "c" + string(rune('a'+i-1))
		}
		chain += " | fields " + prev + " + " + prev + " as c" + n
	}
	for _, c := range []struct{ query, want string }{
		{"fields count(*)", "1:8: count is an aggregate, which stands in stats only"},
		{"fields nosuch(a)", "1:8: unknown function nosuch"},
		{"fields abs(a, b)", "1:8: abs does not take 2 arguments"},
		{"fields 5m", "1:8: unexpected \"5m\", expected a field, a function, a string or a number"},
		{"fields abs(5m)", "1:12: a period stands only in bin, datefloor and dateceil"},
		{"stats a by b", "1:7: stats takes aggregates such as count(*), avg(f) or pct(f, 95)"},
		{"stats avg()", "1:7: avg takes one argument"},
		{"stats pct(a, 101)", "1:14: the percentage is a number from 0 to 100"},
		{"stats count(*), count(*)", "1:17: stats has two columns of the name \"count(*)\""},
		{"stats count(*) by bin(x)", "1:23: a period such as 5m is missing"},
		{"stats count(*) by a | fields b", "1:30: Unknown symbols found in or after stats: b"},
		{"stats count(*) by a | sort @timestamp", "1:28: Unknown symbols found in or after stats: @timestamp"},
		{"limit 3 | stats count(*)", "1:11: stats can not follow limit"},
		{"sort a | stats count(*)", "1:10: stats can not follow sort"},
		{"dedup a | filter b = 1", "1:1: only limit may follow dedup"},
		{"stats count(*) as n by a | stats latest(n)", "1:34: latest needs events and can not follow stats"},
		{"filter @timestamp > '2026-01-01'", "1:8: a timestamp is compared with milliseconds since the epoch, not with text"},
		{"parse @message /(a)/", "1:16: the regular expression has no named groups, as in (?<name>…), and no names follow"},
		{"parse @message /(a)(b)/ as x", "1:16: the regular expression has 2 groups but 1 names follow"},
		{"fields formatDate(a, '%Q')", "1:22: %Q of the format has no meaning here"},
		{"fields parseDate(a, 'yyyy-QQ')", "1:21: the letter 'Q' of the pattern has no meaning here"},
		{"fields parseDate(a, b)", "1:21: the pattern is a string in quotes"},
		{"fields parseDate(a, 'yyyy', 'Mars/Base')", "1:29: there is no such time zone"},
		{"fields isIpInSubnet(a, '10.0.0.0')", "1:24: the subnet is not one such as 10.0.0.0/8"},
		{"fields regexReplace(a, '(', 'b')", "1:24: the regular expression is not valid: error parsing regexp: missing closing ): `(`"},
		{"fields abs(a).b", "1:8: abs does not give a map or a list, which have fields"},
		{"stats count(*) by jsonParse(a)", "1:19: stats does not take maps and lists"},
		{"parse @message logfmt as lf | sort lf", "1:36: sort does not take maps and lists"},
		{"stats values(a) as v | dedup v", "1:30: dedup does not take maps and lists"},
		{"pattern split(a, ',')", "1:1: pattern does not take maps and lists"},
		{"stats topk(3, a), count(*)", "1:7: topk stands alone in stats, without by"},
		{"stats topk(0, a)", "1:12: the number of values is a whole number from 1 to 10000"},
		{"stats histogram(a, 0)", "1:20: the number of ranges is a whole number from 1 to 100"},
		{"stats rate(a, 5)", "1:15: a period such as 5m is missing"},
		{"stats rate(a, 1mo)", "1:15: the period of rate is not of months, quarters or years"},
		{"stats count(*) by a offset 1h", "1:28: offset moves bins, and stats has none"},
		{"stats count(*) by bin(1h) offset 1mo", "1:34: an offset is not of months, quarters or years"},
		{"stats count(*) by a | fillmissing", "1:23: fillmissing follows stats with a bin"},
		{"stats count(*) as n by bin(1h), b | fillmissing with 0 for b", "1:60: b is no column of an aggregate"},
		{"stats count(*) | sessionize a", "1:18: sessionize needs events and can not follow stats"},
		{"stats count(*) | anomaly", "1:18: anomaly follows pattern, or commands that leave events as they are"},
		{"stats count(*) | diff", "1:18: diff follows pattern, or commands that leave events as they are"},
		{"pattern @message | filter a = 1", "1:27: there is no field a at this place"},
		{"relevantfields where a = 1 | fields b", "1:37: there is no field b at this place"},
		{"estimate | fields a", "1:1: nothing may follow estimate"},
		{"fields @message | addtotals", "1:19: addtotals finds no columns to add up; name them"},
		{"lookup t a OUTPUT b", "1:1: there is no lookup table t"},
		{"filter a in (fields b, c)", "1:8: the query behind in gives 2 columns, not one; choose one by fields or display"},
		{"join left=l right=r where l.a = l.b (fields c)", "1:33: the fields of a join's condition are of both sides, as in l.a = r.b"},
		{"join left=l right=r where l.a = r.b (fields c)", "1:33: the query within the query gives no field b"},
		{"limit 1 | join left=l right=r where l.a = r.c (fields c)", "1:11: join can not follow limit"},
		{"fields @ptr = 1", "1:8: @ptr stands in fields and display only"},
		{"SOURCE 'g' | fields a", "1:1: log groups are not named here by SOURCE"},
		{chain, "too complex"},
	} {
		q, err := insights.Parse(c.query)
		if err == nil {
			_, err = insights.Lower(q, insights.Env{Now: time.Now()})
		}
		if err == nil || err.Error() != c.want && !(c.want == "too complex" && strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s\ngot  %v\nwant %s", c.query, err, c.want)
		}
		if err != nil && syntax.AsError(err) == nil {
			t.Errorf("%s: %T", c.query, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, file := range []string{"testdata/syntax.txt", "../testdata/insights/*.txt"} {
		for _, c := range querytest.Corpus(&testing.T{}, file) {
			f.Add(c.Query)
		}
	}
	f.Fuzz(func(t *testing.T, src string) {
		began := time.Now()
		defer func() {
			if d := time.Since(began); d > 2*time.Second {
				t.Errorf("%q takes %v", src, d)
			}
		}()
		q, err := insights.Parse(src)
		if err != nil {
			return
		}
		again, err := insights.Parse(q.String())
		if err != nil || again.String() != q.String() {
			t.Errorf("%q prints as %q, which reads as %v (%v)", src, q, again, err)
		}
		plan, err := insights.Lower(q, fuzzEnv())
		if err != nil {
			if syntax.AsError(err) == nil {
				t.Errorf("%q: %T", src, err)
			}
			return
		}
		if _, err := runPlan(plan); err != nil && !errors.Is(err, query.ErrTooLarge) {
			t.Errorf("%q: %v", src, err)
		}
	})
}

// fuzzEnv is a surrounding in which every kind of command works.
func fuzzEnv() insights.Env {
	groups := []insights.Group{{Dataset: 1, Label: "1:g"}}
	env := insights.Env{Groups: groups, From: time.Unix(1e9, 0), To: time.Unix(1e9+3600, -1e6), Now: time.Unix(1e9+3600, 0)}
	env.Source = func(*insights.Source) ([]insights.Group, error) { return groups, nil }
	env.Table = func(string) (*query.Table, error) {
		return &query.Table{Columns: []string{"id", "name"}, Rows: [][]event.Value{{event.String("1"), event.String("one")}, {event.String("10.0.0.0/8"), {}}}}, nil
	}
	env.Side = runPlan
	return env
}

// runPlan runs a plan over a few events.
func runPlan(p *insights.Plan) (*query.Result, error) {
	if err := (&query.Query{Stages: p.Stages}).Check(); err != nil {
		return nil, err
	}
	r := query.NewRunner(p.Stages, nil)
	for i, m := range []string{`{"a":1,"b":"x","l":[1,{"c":null}]}`, "plain a=b 10.0.0.1", "", `{"a":"1e309","b":true}`} {
		row := querytest.Row{
			event.FieldTime: event.Int(1e18 + int64(i)*6e11), event.FieldSeq: event.Int(int64(i)), event.FieldStream: event.String("s"), event.FieldDataset: event.Int(1),
			event.FieldIngested: event.Int(1e18), "@message": event.String(m), "b": event.String(m), "a": event.Float(float64(i) / 3),
		}
		if !r.Push(row) {
			break
		}
	}
	return r.Result()
}
