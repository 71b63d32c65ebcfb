package query_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/query/querytest"
)

func TestTemplates(t *testing.T) {
	for s, want := range map[string]string{
		"user 42 took 1.5s, 30% of 12ms":               "user <Number> took <Number>s, <Number>% of <Number>ms",
		"2026-11-20T10:00:00.123Z INFO started":        "<Time> INFO started",
		"[20/Nov/2026:10:00:01 +0000] x":               "[<Time>] x",
		"Nov  7 08:15:30 host cron":                    "<Time> host cron",
		"on 2026-11-20, at 10:15:00":                   "on <Date>, at <Time>",
		"from 10.0.0.1:8080 and fe80::1 and 10.0.0.1.": "from <IP>:<Number> and <IP> and <IP>.",
		"id=24b95582-9e7b-4e0a-9ad1-639773ab7552;":     "id=<UUID>;",
		"commit deadbeef01 by ann@example.org":         "commit <ID> by <Email>",
		"GET /api/v1/users/123/items?x=7 HTTP/1.1":     "GET /api/v1/users/<Number>/items?x=<Number> HTTP/<Number>.<Number>",
		"worker12 restarted s3 bucket-2026":            "worker<Number> restarted s3 bucket-<Number>",
		"plain words, no numbers: none":                "plain words, no numbers: none",
		"at com.example.Main(Main.java:42)\n":          "at com.example.Main(Main.java:<Number>)",
		`{"level":"error","ms":12.5,"ok":true}`:        `{"level":"error","ms":<Number>,"ok":true}`,
		"é 5 ü":                                        "é <Number> ü",
		"":                                             "",
		"-5 +3 5-6":                                    "<Number> <Number> <Number>-<Number>",
		"version 1.2.3 of x86_64":                      "version <Number>.<Number>.<Number> of x<Number>_<Number>",
	} {
		if got := query.Eval(call("template", query.Str(s)), querytest.Row{}).Text(); got != want {
			t.Errorf("%q\ngot  %q\nwant %q", s, got, want)
		}
	}
	for s, want := range map[string]string{
		"all is well": "NONE", "INFO no errors": "INFO", "an error of warning": "ERROR", "[WARN] x": "WARN", `{"level":"debug"}`: "DEBUG", "Fatal: error": "FATAL", "terror informs": "NONE",
	} {
		if got := query.Eval(call("severity", query.Str(s)), querytest.Row{}).Text(); got != want {
			t.Errorf("severity of %q is %s, want %s", s, got, want)
		}
	}
}

// run takes rows through stages and returns what comes of it as text.
func run(t *testing.T, stages []query.Stage, rows ...querytest.Row) []string {
	t.Helper()
	if err := (&query.Query{Stages: stages}).Check(); err != nil {
		t.Fatal(err)
	}
	r := query.NewRunner(stages, nil)
	for _, row := range rows {
		if !r.Push(row) {
			break
		}
	}
	res, err := r.Result()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, vals := range res.Rows {
		var parts []string
		for i, v := range vals {
			if !v.Missing() {
				parts = append(parts, res.Columns[i]+"="+v.Text())
			}
		}
		out = append(out, strings.Join(parts, " "))
	}
	return out
}

func same(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s\ngot\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestPatternsJoinWhatIsAlike(t *testing.T) {
	row := func(template string, n int64) querytest.Row {
		return querytest.Row{"t": event.String(template), "k": event.String("NONE"), "n": event.Int(n)}
	}
	s := query.Patterns{Template: "t", Kind: "k", Name: "p", Share: "r", Sums: []string{"n"}}
	same(t, "patterns", run(t, []query.Stage{s},
		row("login of user anna from <IP> succeeded", 3), row("login of user bob from <IP> succeeded", 5), row("logout of user bob from <IP> succeeded", 1),
		row("something else entirely <Number>", 1)),
		"p=login of user <Token-1> from <IP-2> succeeded k=NONE n=8 r=0.8",
		"p=logout of user bob from <IP-1> succeeded k=NONE n=1 r=0.1", // the first word counts
		"p=something else entirely <Number-1> k=NONE n=1 r=0.1")
	// Neither the order of the rows nor their number matters.
	same(t, "patterns the other way", run(t, []query.Stage{s}, row("a b c", 1), row("x y z", 2), row("a b d", 1)),
		"p=x y z k=NONE n=2 r=0.5", "p=a b <Token-1> k=NONE n=2 r=0.5")
	same(t, "no rows", run(t, []query.Stage{s}))
}

func TestAnomaliesKnownAnswers(t *testing.T) {
	s := query.Anomalies{Series: []string{"p"}, Time: "at", Value: "n", Expected: "e", Score: "s", MinScore: 4}
	var rows []querytest.Row
	for i := range int64(20) {
		s.Times = append(s.Times, event.Int(i))
		n := int64(100)
		if i == 7 {
			n = 160
		}
		rows = append(rows, querytest.Row{"p": event.String("steady"), "at": event.Int(i), "n": event.Int(n)})
	}
	// A pattern that is there once: none is expected at the other times.
	rows = append(rows, querytest.Row{"p": event.String("burst"), "at": event.Int(3), "n": event.Int(9)})
	same(t, "anomalies", run(t, []query.Stage{s}, rows...), "at=7 n=160 p=steady e=100 s=6", "at=3 n=9 p=burst e=0 s=9")
	s.Times = s.Times[:4]
	same(t, "too few times", run(t, []query.Stage{s}, rows...))
}

func TestRelevanceKnownAnswers(t *testing.T) {
	var rows []querytest.Row
	for i := range int64(100) {
		rows = append(rows, querytest.Row{"slow": event.Bool(i%4 == 0), "zone": event.String([]string{"a", "b", "b", "b"}[i%4]), "even": event.Bool(i%2 == 0), "ms": event.Int(i % 50),
			"id": event.String(fmt.Sprint("id-", i)), "same": event.Int(1)})
	}
	got := run(t, []query.Stage{query.Relevance{Where: query.Field{Name: "slow"}, Hidden: []string{"slow"}}}, rows...)
	want := []string{
		`@fieldName=zone @relevanceScore=1 @topRelevanceContributors=[{"value":"a","conditional":1,"baseline":0}]`,
		`@fieldName=even @relevanceScore=0.6667 @topRelevanceContributors=[{"value":"true","conditional":1,"baseline":0.3333}]`,
	}
	if len(got) < 2 || got[0] != want[0] || got[1] != want[1] || strings.Contains(strings.Join(got, "\n"), "id-") || strings.Contains(strings.Join(got, "\n"), "=same") {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	same(t, "all rows", run(t, []query.Stage{query.Relevance{Where: query.Num(1)}}, rows...))
}

func TestStagesCheck(t *testing.T) {
	table := &query.Table{Columns: []string{"a"}}
	a := query.Field{Name: "a"}
	for name, s := range map[string]query.Stage{
		"unnest without a name":       query.Unnest{List: a},
		"join without a table":        query.Join{On: []query.Expr{a}, Keys: []int{0}},
		"join by no column":           query.Join{Table: table, Names: []string{"x"}, On: []query.Expr{a}, Keys: []int{1}},
		"join by a bad expression":    query.Join{Table: table, Names: []string{"x"}, On: []query.Expr{call("nope")}, Keys: []int{0}},
		"columns without names":       query.AddColumns{Table: table},
		"totals of nothing":           query.Totals{},
		"gaps at no field":            query.Gaps{},
		"tail of none":                query.Tail{},
		"lag of none":                 query.Running{Name: "x", Op: query.Lag, Arg: a},
		"lag too far":                 query.Running{Name: "x", Op: query.Lag, Arg: a, N: query.MaxLag + 1},
		"sum of nothing":              query.Running{Name: "x"},
		"session without gap":         query.Running{Name: "x", Op: query.Session},
		"outliers by nothing":         query.Outliers{Fields: []string{"a"}},
		"outliers by infinity":        query.Outliers{Fields: []string{"a"}, Param: math.Inf(1)},
		"patterns of nothing":         query.Patterns{},
		"anomalies of nothing":        query.Anomalies{},
		"relevance of nothing":        query.Relevance{},
		"a histogram of no range":     query.Aggregate{Aggs: []query.Agg{{Name: "h", Op: query.Histogram, Arg: a}}},
		"a histogram of half a range": query.Aggregate{Aggs: []query.Agg{{Name: "h", Op: query.Histogram, Arg: a, P: 1.5}}},
		"a time without a zone":       query.Extend{Name: "x", Value: query.ParseTime{X: a, Pattern: "yyyy"}},
		"a bad time pattern":          query.Extend{Name: "x", Value: query.ParseTime{X: a, Pattern: "'", In: time.UTC}},
		"a bad time format":           query.Extend{Name: "x", Value: query.FormatTime{X: a, Format: "%"}},
		"no months":                   query.Extend{Name: "x", Value: query.Months{X: a}},
		"captures of nothing":         query.Extend{Name: "x", Value: query.Captures{X: a}},
		"a replacement of nothing":    query.Extend{Name: "x", Value: query.Replace{X: a}},
	} {
		if err := (&query.Query{Stages: []query.Stage{s}}).Check(); err == nil {
			t.Errorf("%s: Check accepts it", name)
		}
	}
}

// TestValuesAreBounded has more different values than are kept.
func TestValuesAreBounded(t *testing.T) {
	a := query.NewAccumulator(query.Agg{Op: query.Values, Arg: query.Num(1)})
	a.Grow(2)
	for i := range int64(5000) {
		a.Add(0, event.Int(4999-i), 1, 0)
	}
	if got := a.Value(0).Str(); strings.Count(got, ",") != 999 || !strings.HasPrefix(got, "[0,1,2,") || !strings.HasSuffix(got, ",999]") {
		t.Errorf("%d values: %.20s … %s", strings.Count(got, ",")+1, got, got[len(got)-20:])
	}
	for i := range 1000 {
		a.Add(1, event.String(fmt.Sprintf("%04d", i)+strings.Repeat("x", 1000)), 1, 0)
	}
	if n := len(a.Value(1).Str()); n > 300<<10 {
		t.Errorf("texts of %d bytes are kept", n)
	}
	if query.TooLarge(a) {
		t.Error("a few hundred kilobytes are too much")
	}
}

// FuzzTextFunctions evaluates what reads text on any text: nothing panics, documents are JSON, and
// what is parted holds all of the text.
func FuzzTextFunctions(f *testing.F) {
	for _, s := range []string{
		`{"a":{"b":[1,"two",null]},"x.y":5}`, `[1,2`, `level=info msg="a \" b" n=3 flag`, `1,"a, ""b""",  c ,`, "2026-11-20T10:00:00.123Z x 10.0.0.1", "\xff\xfe", "a=\"", `{"a":1,"a":2}`, "::1 5e9 -", "%41%zz",
	} {
		f.Add(s, "yyyy-MM-dd'T'HH:mm:ss.SSSX", "a.b")
	}
	f.Fuzz(func(t *testing.T, s, pattern, path string) {
		x := query.Str(s)
		eval := func(e query.Expr) event.Value { return query.Eval(e, querytest.Row{}) }
		for _, fn := range []string{"json_parse", "logfmt", "csv", "json_make"} {
			v := eval(call(fn, x))
			if v.Missing() {
				continue
			}
			if !jsontext.Value(v.Str()).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) {
				t.Errorf("%s(%q) is no JSON: %q", fn, s, v.Str())
			}
			part := eval(call("json_get", query.Const{Value: v}, query.Str(path)))
			if !part.Missing() && !jsontext.Value(part.Str()).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) {
				t.Errorf("%q of %s(%q) is no JSON: %q", path, fn, s, part.Str())
			}
			for _, g := range []string{"json_scalar", "json_show", "json_size"} {
				eval(call(g, query.Const{Value: v}))
			}
		}
		for _, fn := range []string{"severity", "is_ip", "md5", "url_decode", "base64_decode", "hex_text", "hex_number", "number_hex", "ipv4_number", "is_public_ip"} {
			eval(call(fn, x))
		}
		template := eval(call("template", x))
		s1 := query.Patterns{Template: "t", Kind: "k", Name: "p", Sums: []string{"n"}}
		r := query.NewRunner([]query.Stage{s1}, nil)
		r.Push(querytest.Row{"t": template, "n": event.Int(1)})
		if _, err := r.Result(); err != nil {
			t.Error(err)
		}
		if query.CheckTimePattern(pattern) == nil {
			eval(query.ParseTime{X: x, Pattern: pattern, In: time.UTC})
		}
		if query.CheckTimeFormat(pattern) == nil {
			eval(query.FormatTime{X: query.Num(int64(len(s)) * 1e9), Format: pattern, In: time.UTC})
		}
		eval(query.Months{X: x, N: 3, Ceil: true})
	})
}

// TestCut compares cuts with the regular expression that says the same.
func TestCut(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	pieces := []string{"a", "b", "ab", "=", " ", "\n", "x", "é", "a=b", ""}
	text := func(n int, of []string) string {
		var b strings.Builder
		for range rnd.IntN(n) {
			b.WriteString(of[rnd.IntN(len(of))])
		}
		return b.String()
	}
	found := 0
	for range 50_000 {
		s := text(12, pieces)
		e := query.Cut{X: query.Str(s)}
		pattern := ""
		for i := range 2 + rnd.IntN(3) {
			p := text(2, []string{"a", "b", "=", "ab", " ", ""})
			e.Parts = append(e.Parts, p)
			if i > 0 {
				pattern += "(.*?)"
			}
			pattern += regexp.QuoteMeta(p)
		}
		last := len(e.Parts) - 1
		if e.Parts[last] == "" {
			pattern = strings.TrimSuffix(pattern, "(.*?)") + "(.*)"
		}
		e.Index = rnd.IntN(last)
		if err := query.CheckExpr(e); err != nil {
			t.Fatal(err)
		}
		want := query.Eval(query.Capture{X: e.X, Re: regexp.MustCompile(pattern), Group: e.Index + 1}, querytest.Row{})
		if got := query.Eval(e, querytest.Row{}); got != want {
			t.Fatalf("%s of %q\ngot  %q (%v)\nwant %q (%v)", e, s, got.Text(), got.Kind(), want.Text(), want.Kind())
		} else if !got.Missing() {
			found++
		}
	}
	if found < 5000 {
		t.Errorf("only %d cuts found anything", found)
	}
}

// TestAnyOf compares the search among many values with a look at each.
func TestAnyOf(t *testing.T) {
	all := []event.Value{event.String("1"), event.Int(1), event.Float(1), event.String("1.0"), event.String("a"), event.String("A"), event.Bool(true), event.String("true"), event.Float(math.Copysign(0, -1)), event.Int(0),
		event.String(""), event.String("0x1"), event.Float(1.5), event.String("15e-1"), event.Float(math.NaN()), {}}
	for i := range all {
		for j := range all {
			values := []event.Value{all[i], all[j]}
			for _, v := range all {
				x := query.Const{Value: v}
				want := query.Eval(query.In{X: x, Values: values, Mode: query.Loose}, querytest.Row{})
				if got := query.Eval(query.AnyOf(x, values), querytest.Row{}); got != want {
					t.Errorf("%v in %v: %v, want %v", v, values, got, want)
				}
			}
		}
	}
}

func TestAggregatesAreBounded(t *testing.T) {
	s := query.Aggregate{By: query.FieldsNamed("a"), Aggs: []query.Agg{{Name: "n"}}, Max: 3}
	r := query.NewRunner([]query.Stage{s}, nil)
	for i := range int64(4) {
		r.Push(querytest.Row{"a": event.Int(i)})
	}
	if _, err := r.Result(); !errors.Is(err, query.ErrTooLarge) {
		t.Errorf("four groups of at most three: %v", err)
	}
	// Rows that a stage makes of others are bounded too.
	table := &query.Table{Columns: []string{"k"}}
	for range 10_000 {
		table.Rows = append(table.Rows, []event.Value{event.Int(1)})
	}
	r = query.NewRunner([]query.Stage{
		query.Join{Table: table, On: []query.Expr{query.Num(1)}, Keys: []int{0}, Names: []string{"k"}}, query.Aggregate{Aggs: []query.Agg{{Name: "n"}}},
	}, nil)
	n := 0
	for n < 3000 && r.Push(querytest.Row{}) {
		n++
	}
	if _, err := r.Result(); n == 3000 || !errors.Is(err, query.ErrTooLarge) {
		t.Errorf("%d rows are joined with 10,000 each: %v", n, err)
	}
}
