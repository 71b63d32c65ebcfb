package insights_test

import (
	"strings"
	"testing"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/cwlogs/insights"
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
		{"fields jsonParse(a)", "1:8: not supported by this server: jsonParse"},
		{"fields abs(a, b)", "1:8: abs does not take 2 arguments"},
		{"fields 5m", "1:8: unexpected \"5m\", expected a field, a function, a string or a number"},
		{"fields abs(5m)", "1:12: a period stands only in bin, datefloor and dateceil"},
		{"stats variance(a)", "1:7: not supported by this server: variance"},
		{"stats a by b", "1:7: stats takes aggregates such as count(*), avg(f) or pct(f, 95)"},
		{"stats avg()", "1:7: avg takes one argument"},
		{"stats pct(a, 101)", "1:14: the percentage is a number from 0 to 100"},
		{"stats count(*), count(*)", "1:17: stats has two columns of the name \"count(*)\""},
		{"stats count(*) by bin(1mo)", "1:23: not supported by this server: periods of months, quarters and years"},
		{"stats count(*) by bin(x)", "1:23: a period such as 5m is missing"},
		{"stats count(*) by a | fields b", "1:30: Unknown symbols found in or after stats: b"},
		{"stats count(*) by a | sort @timestamp", "1:28: Unknown symbols found in or after stats: @timestamp"},
		{"limit 3 | stats count(*)", "1:11: stats can not follow limit"},
		{"sort a | stats count(*)", "1:10: stats can not follow sort"},
		{"dedup a | filter b = 1", "1:1: only limit may follow dedup"},
		{"stats count(*) by a | dedup a", "1:23: not supported by this server: dedup after stats"},
		{"stats count(*) as n by a | stats latest(n)", "1:34: latest needs events and can not follow stats"},
		{"filter @timestamp > '2026-01-01'", "1:8: a timestamp is compared with milliseconds since the epoch, not with text"},
		{"parse @message /(a)/", "1:16: the regular expression has no named groups, as in (?<name>…), and no names follow"},
		{"parse @message /(a)(b)/ as x", "1:16: the regular expression has 2 groups but 1 names follow"},
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
	for _, file := range []string{"testdata/syntax.txt", "../testdata/insights.txt"} {
		for _, c := range querytest.Corpus(&testing.T{}, file) {
			f.Add(c.Query)
		}
	}
	f.Fuzz(func(t *testing.T, src string) {
		q, err := insights.Parse(src)
		if err != nil {
			return
		}
		again, err := insights.Parse(q.String())
		if err != nil || again.String() != q.String() {
			t.Errorf("%q prints as %q, which reads as %v (%v)", src, q, again, err)
		}
		if _, err := insights.Lower(q, insights.Env{Now: time.Unix(1e9, 0)}); err != nil && syntax.AsError(err) == nil {
			t.Errorf("%q: %T", src, err)
		}
	})
}
