package query_test

import (
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"testing"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/query/querytest"
)

func TestEval(t *testing.T) {
	row := querytest.Row{
		"s": event.String("Hello 42"), "n": event.Int(42), "f": event.Float(2.5), "b": event.Bool(true),
		"num": event.String("42.0"), "json": event.String(`{"a":{"b":[1,"two",null]},"x.y":5,"t":true}`),
	}
	f := func(n string) query.Expr { return query.Field{Name: n} }
	path := func(steps ...query.JSONStep) query.Relation {
		return query.JSONValues{Source: f("json"), Path: steps}
	}
	key := func(k string) query.JSONStep { return query.JSONStep{Key: k} }
	self := query.Field{}
	for name, c := range map[string]struct {
		e    query.Expr
		want event.Value
	}{
		"missing equals nothing":          {query.Compare{L: f("none"), R: query.Num(1)}, event.Bool(false)},
		"not of missing":                  {query.Not{X: query.Compare{L: f("none"), R: query.Num(1)}}, event.Bool(true)},
		"strict kinds differ":             {query.Compare{L: f("num"), R: query.Num(42)}, event.Bool(false)},
		"loose numeric string":            {query.Compare{Mode: query.Loose, L: f("num"), R: query.Num(42)}, event.Bool(true)},
		"loose text order":                {query.Compare{Op: query.Gt, Mode: query.Loose, L: f("s"), R: query.Num(1)}, event.Bool(true)},
		"int against float":               {query.Compare{Op: query.Ge, L: f("n"), R: query.Const{Value: event.Float(41.5)}}, event.Bool(true)},
		"text of number not coerced":      {query.Text{X: f("n"), S: "4"}, event.Bool(false)},
		"text of number coerced":          {query.Text{X: f("n"), S: "4", Coerce: true}, event.Bool(true)},
		"glob":                            {query.Glob{X: f("s"), Pattern: "H*4*"}, event.Bool(true)},
		"glob must fill":                  {query.Glob{X: f("s"), Pattern: "H*4"}, event.Bool(false)},
		"capture":                         {query.Capture{X: f("s"), Re: regexp.MustCompile(`(\d+)$`), Group: 1}, event.String("42")},
		"bucket below zero":               {query.Bucket{X: query.Num(-1), Step: 10}, event.Int(-10)},
		"division by zero":                {query.Call{Fn: "div", Args: []query.Expr{f("n"), query.Num(0)}}, event.Value{}},
		"if falls through":                {query.Call{Fn: "if", Args: []query.Expr{f("none"), query.Num(1), query.Num(2)}}, event.Int(2)},
		"json number":                     {query.Exists{Over: path(key("a"), key("b"), query.JSONStep{Index: 0}), Where: query.Compare{L: self, R: query.Num(1)}}, event.Bool(true)},
		"json wildcard":                   {query.Exists{Over: path(key("a"), key("b"), query.JSONStep{Any: true}), Where: query.Compare{L: self, R: query.Str("two")}}, event.Bool(true)},
		"json dotted key":                 {query.Exists{Over: path(key("x.y")), Where: query.Has{X: self}}, event.Bool(true)},
		"json null is there":              {query.Exists{Over: path(key("a"), key("b"), query.JSONStep{Index: 2}), Where: query.EqStr("type", "null")}, event.Bool(true)},
		"json object is not a scalar":     {query.Exists{Over: path(key("a")), Where: query.Has{X: self}}, event.Bool(false)},
		"json key after a skipped object": {query.Exists{Over: path(key("t")), Where: self}, event.Bool(true)},
	} {
		if err := query.CheckExpr(c.e); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := query.Eval(c.e, row); got != c.want {
			t.Errorf("%s: %s = %q (%v), want %q", name, c.e, got.Text(), got.Kind(), c.want.Text())
		}
	}
}

func TestSlots(t *testing.T) {
	line := `[2023-May-20 23:43] 10.0.0.1 GET "a b" 404 NOT FOUND`
	for _, c := range []struct {
		n, ellipsis int
		want        []string
	}{
		{3, -1, []string{"2023-May-20 23:43", "10.0.0.1", `GET "a b" 404 NOT FOUND`}},
		{7, -1, []string{"2023-May-20 23:43", "10.0.0.1", "GET", "a b", "404", "NOT", "FOUND"}},
		{3, 1, []string{"2023-May-20 23:43", `10.0.0.1 GET "a b" 404 NOT`, "FOUND"}},
		{8, -1, nil},
		{8, 0, []string{"", "2023-May-20 23:43", "10.0.0.1", "GET", "a b", "404", "NOT", "FOUND"}},
	} {
		got, _ := query.Slots(line, c.n, c.ellipsis)
		if !slices.Equal(got, c.want) {
			t.Errorf("Slots(%d, %d) = %q, want %q", c.n, c.ellipsis, got, c.want)
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	trace := query.Exists{Over: query.SameTrace{}, Where: query.Has{X: query.Field{Name: "a"}}}
	for name, s := range map[string]query.Stage{
		"unknown function": query.Extend{Name: "x", Value: query.Call{Fn: "nope"}},
		"arity":            query.Extend{Name: "x", Value: query.Call{Fn: "abs"}},
		"nested trace":     query.Filter{Where: query.Exists{Over: query.SameTrace{}, Where: trace}},
		"nested parent":    query.Filter{Where: query.Exists{Over: query.Parent{}, Where: trace}},
		"nested in child":  query.Filter{Where: query.Exists{Over: query.SameTrace{}, Where: query.Exists{Over: query.Child{}, Where: query.Num(1)}}},
		"spread of one":    query.Spread{Name: "a", Part: "a", Length: query.Num(1), Step: 1, To: 1},
		"spread too far":   query.Spread{Name: "a", Part: "b", Length: query.Num(1), Step: 1, To: query.MaxSpread + 1},
		"spread backwards": query.Spread{Name: "a", Part: "b", Length: query.Num(1), Step: 1, From: 1},
		"spread by zero":   query.Spread{Name: "a", Part: "b", Length: query.Num(1), To: 1},
		"sum of nothing":   query.Aggregate{Aggs: []query.Agg{{Name: "s", Op: query.Sum}}},
		"same name twice":  query.Aggregate{Aggs: []query.Agg{{Name: "n"}, {Name: "n"}}},
		"negative limit":   query.Limit{N: -1},
		"zero step":        query.Filter{Where: query.Bucket{X: query.Num(1)}},
	} {
		q := query.Query{Stages: []query.Stage{s}}
		if err := q.Check(); err == nil {
			t.Errorf("%s: Check accepts it", name)
		}
	}
}

// TestRunnerAgreesWithOracle runs random queries through the pipeline alone.
func TestRunnerAgreesWithOracle(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	batches := querytest.RandomBatches(rnd, 2000, 1, 2)
	for i, b := range batches {
		for j := range b.Headers {
			b.Headers[j].Seq = uint64(i*1000 + j)
		}
	}
	rows := querytest.Rows(batches...)
	for range 300 {
		q, ordered := querytest.RandomQuery(rnd, 1, 2)
		q.Datasets = nil
		q.From, q.To = querytest.Epoch.AddDate(-1, 0, 0), querytest.Epoch.AddDate(1, 0, 0)
		want, err := querytest.Oracle(q, rows)
		if err != nil {
			t.Fatal(err)
		}
		run, err := q.TraceSets(func(x query.Exists) (query.Expr, error) { return querytest.Related(x, rows), nil })
		if err != nil {
			t.Fatal(err)
		}
		runner := query.NewRunner(run.Stages, nil)
		for _, r := range rows {
			if !runner.Push(r) {
				break
			}
		}
		got, err := runner.Result()
		if err != nil {
			t.Fatal(err)
		}
		if d := querytest.Diff(got, want, ordered); d != "" {
			t.Fatalf("stages %v: %s", q.Stages, d)
		}
	}
}

func TestSpread(t *testing.T) {
	type part struct {
		bucket int64
		share  float64
	}
	for name, c := range map[string]struct {
		at     int64
		length event.Value
		want   []part
	}{
		"within one":            {12, event.Int(4), []part{{10, 0.4}}},
		"over three":            {18, event.Int(14), []part{{10, 0.2}, {20, 1}, {30, 0.4}}},
		"up to the border":      {10, event.Int(10), []part{{10, 1}}},
		"begun before":          {-1000, event.Int(1012), []part{{0, 1}, {10, 0.2}}},
		"over before":           {-1000, event.Int(1005), nil},
		"after":                 {35, event.Int(1), nil},
		"in the cut first":      {0, event.Int(6), []part{{0, 0.2}}},
		"without end":           {31, event.Float(math.Inf(1)), []part{{30, 0.8}}},
		"all of time":           {math.MinInt64, event.Float(1e300), []part{{0, 1}, {10, 1}, {20, 1}, {30, 1}}},
		"whole nanoseconds":     {20, event.Float(1.9), []part{{20, 0.1}}},
		"less than one":         {20, event.Float(0.9), nil},
		"no length":             {20, event.Int(0), nil},
		"negative":              {20, event.Int(-5), nil},
		"not a number":          {20, event.Float(math.NaN()), nil},
		"text is not a length":  {20, event.String("5"), nil},
		"missing is not either": {20, event.Value{}, nil},
	} {
		// Of the first bucket 5 to 10 is looked at, of the last 30 to 35.
		s := query.Spread{Name: "b", Part: "p", Length: query.Field{Name: "n"}, Step: 10, From: 5, To: 35}
		q := query.Query{Stages: []query.Stage{s, query.Project{Fields: query.FieldsNamed("b", "p")}}}
		if err := q.Check(); err != nil {
			t.Fatal(err)
		}
		r := query.NewRunner(q.Stages, nil)
		r.Push(querytest.Row{event.FieldTime: event.Int(c.at), "n": c.length})
		res, err := r.Result()
		if err != nil {
			t.Fatal(err)
		}
		var got []part
		for _, row := range res.Rows {
			got = append(got, part{row[0].Int(), row[1].Float()})
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
