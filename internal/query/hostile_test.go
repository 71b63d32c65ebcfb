package query_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/query/querytest"
)

func TestGlobCountsCharacters(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"*???x*", "€axb", false}, // only two characters ahead of the x
		{"*???x*", "€aaxb", true},
		{"*??x*", "€axb", true},
		{"?", "€", true},
		{"??", "€", false},
		{"*€?", "€€x", true},
	} {
		if got := query.GlobMatch(c.pattern, c.s, true, false); got != c.want {
			t.Errorf("GlobMatch(%q, %q) = %v", c.pattern, c.s, got)
		}
	}
}

func call(fn string, args ...query.Expr) query.Expr { return query.Call{Fn: fn, Args: args} }

// TestFunctionsTakeHostileFields evaluates on values that a client can send.
func TestFunctionsTakeHostileFields(t *testing.T) {
	row := querytest.Row{"nan": event.Float(math.NaN()), "inf": event.Float(math.Inf(1)), "s": event.String("hello")}
	s, nan, inf := query.Field{Name: "s"}, query.Field{Name: "nan"}, query.Field{Name: "inf"}
	for name, c := range map[string]struct {
		e    query.Expr
		want event.Value
	}{
		"substr from NaN":        {call("substr", s, nan), event.Value{}},
		"substr of NaN":          {call("substr", s, query.Num(1), nan), event.Value{}},
		"substr from infinity":   {call("substr", s, inf), event.String("")},
		"substr of infinity":     {call("substr", s, query.Num(1), inf), event.String("ello")},
		"round to NaN places":    {call("round", query.Num(5), nan), event.Value{}},
		"slot of a negative":     {call("slot", s, query.Num(0), query.Num(-1), query.Num(-1)), event.Value{}},
		"slot behind the others": {call("slot", s, query.Num(0), query.Num(2), query.Num(5)), event.Value{}},
	} {
		func() {
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("%s: panic: %v", name, p)
				}
			}()
			if got := query.Eval(c.e, row); got != c.want {
				t.Errorf("%s = %q, want %q", name, got.Text(), c.want.Text())
			}
		}()
	}
}

// TestTextIsBounded doubles a text in stage after stage.
func TestTextIsBounded(t *testing.T) {
	a := query.Field{Name: "a"}
	for name, e := range map[string]query.Expr{
		"concat":  call("concat", a, a),
		"replace": call("replace", a, query.Str(""), query.Str("xx")),
	} {
		q := &query.Query{}
		for range 26 {
			q.Stages = append(q.Stages, query.Extend{Name: "a", Value: e})
		}
		q.Stages = append(q.Stages, query.Project{Fields: []query.Named{{Name: "n", Value: call("byte_len", a)}}})
		r := query.NewRunner(q.Stages, nil)
		r.Push(querytest.Row{"a": event.String("ab")})
		res, err := r.Result()
		if err != nil {
			t.Fatal(err)
		}
		if n := res.Rows[0][0]; n.Int() > 16<<20 {
			t.Errorf("%s makes a text of %d bytes", name, n.Int())
		}
	}
}

// TestTraceSetsReachesEveryStage has the question about the trace in each stage that has
// expressions.
func TestTraceSetsReachesEveryStage(t *testing.T) {
	e := query.Exists{Over: query.SameTrace{}, Where: query.Has{X: query.Field{Name: "a"}}}
	named := []query.Named{{Name: "x", Value: e}}
	for _, s := range []query.Stage{
		query.Filter{Where: e}, query.Extend{Name: "x", Value: e},
		query.Spread{Name: "b", Part: "p", Length: e, Step: 1, To: 1}, query.Aggregate{By: named}, query.Aggregate{Aggs: []query.Agg{{Name: "n"}, {Name: "m", Arg: e}}},
		query.Sort{Keys: []query.SortKey{{By: e}}}, query.Distinct{By: []query.Expr{e}}, query.Project{Fields: named},
	} {
		q, err := (&query.Query{Stages: []query.Stage{s}}).TraceSets(func(query.Exists) (query.Expr, error) {
			return query.TraceIn{}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		r := query.NewRunner(q.Stages, nil)
		func() {
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("%T: panic: %v", s, p)
				}
			}()
			r.Push(querytest.Row{"a": event.Int(1)})
		}()
	}
}

// emptyRow costs nothing to hold.
type emptyRow struct{}

func (emptyRow) Get(string) event.Value              { return event.Value{} }
func (emptyRow) Each(func(string, event.Value) bool) {}

// TestSortIsBoundedWhateverItsLimit sorts with a limit above what a sort may hold.
func TestSortIsBoundedWhateverItsLimit(t *testing.T) {
	q := &query.Query{Stages: []query.Stage{query.Sort{}, query.Limit{N: math.MaxInt}}}
	r := query.NewRunner(q.Stages, nil)
	const tooMany = 2_000_001
	n := 1
	for n < tooMany && r.Push(emptyRow{}) {
		n++
	}
	if r.Push(emptyRow{}) {
		t.Errorf("the sort takes more than %d rows", n)
	}
	if _, err := r.Result(); !errors.Is(err, query.ErrTooLarge) {
		t.Errorf("sort of %d rows: %v, want ErrTooLarge", tooMany, err)
	}
}

// FuzzJSONScalars follows arbitrary paths into arbitrary text: it never panics, gives nothing
// for what is not JSON, gives kinds and values that belong together, stops when told to, and
// takes no more steps than the text has bytes.
func FuzzJSONScalars(f *testing.F) {
	f.Add(`{"a":{"b":[1,"two",null]},"x.y":5,"t":true}`, "a.b.*")
	f.Add(`[[1,2],[3,{"k":1e999}]]`, "*.*.*")
	f.Add(`{"a":1,"a":2}`, "a")
	f.Add(`"\ud800"`, "")
	f.Add(strings.Repeat("[", 200)+strings.Repeat("]", 200), strings.Repeat("*.", 99)+"*")
	f.Add(`{"a":`, "a")
	f.Fuzz(func(t *testing.T, doc, steps string) {
		var path []query.JSONStep
		if steps != "" {
			for _, s := range strings.Split(steps, ".") {
				switch {
				case s == "*":
					path = append(path, query.JSONStep{Any: true})
				case len(s) == 1 && s[0] >= '0' && s[0] <= '9':
					path = append(path, query.JSONStep{Index: int(s[0] - '0')})
				default:
					path = append(path, query.JSONStep{Key: s})
				}
			}
		}
		calls := 0
		if query.JSONScalars(doc, path, func(kind string, v event.Value) bool {
			calls++
			ok := false
			switch kind {
			case "string":
				ok = v.Kind() == event.KindString
			case "number":
				ok = v == query.NumberValue(v.Text()) || v.Kind() == event.KindFloat // 1e999 stays text
			case "boolean":
				ok = v.Kind() == event.KindBool
			case "null", "object", "array":
				ok = v.Missing()
			}
			if !ok {
				t.Errorf("a %s has the value %q of kind %v", kind, v.Text(), v.Kind())
			}
			return false
		}) {
			t.Error("reports a hit that nobody confirmed")
		}
		if calls > len(doc) {
			t.Errorf("%d values in %d bytes", calls, len(doc))
		}
		valid := jsontext.Value(doc).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
		if calls > 0 && !valid {
			t.Error("values of what is not JSON")
		}
		if len(path) == 0 && valid && calls != 1 {
			t.Errorf("%d values at the root", calls)
		}
		again := 0
		if hit := query.JSONScalars(doc, path, func(string, event.Value) bool { again++; return true }); hit != (calls > 0) || again > 1 {
			t.Errorf("hit %v after %d of %d values", hit, again, calls)
		}
	})
}

// TestHeldBytes holds rows of long texts: a query is refused for their size long before it has too many.
func TestHeldBytes(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	field := query.Field{Name: "f"}
	for _, stages := range [][]query.Stage{
		nil,
		{query.Sort{Keys: []query.SortKey{{By: field}}}},
		{query.Sort{Keys: []query.SortKey{{By: field}}}, query.Limit{N: 1000}},
		{query.Aggregate{By: []query.Named{{Name: "g", Value: field}}}},
	} {
		r := query.NewRunner(stages, nil)
		n := 0
		for ; n < 1000; n++ {
			if !r.Push(query.NewRow([]string{"f"}, []event.Value{event.String(fmt.Sprint(n, long))})) {
				break
			}
		}
		if _, err := r.Result(); !errors.Is(err, query.ErrTooLarge) || n > 300 {
			t.Errorf("%v: %d rows of 1 MiB, then %v", stages, n, err)
		}
	}
	// The first few of an order hold no more than themselves.
	r := query.NewRunner([]query.Stage{query.Sort{Keys: []query.SortKey{{By: field, Desc: true}}}, query.Limit{N: 10}}, nil)
	for n := range 1000 {
		r.Push(query.NewRow([]string{"f"}, []event.Value{event.String(fmt.Sprintf("%04d%s", n, long))}))
	}
	if res, err := r.Result(); err != nil || len(res.Rows) != 10 {
		t.Errorf("the first ten of 1000 rows: %v", err)
	}
}
