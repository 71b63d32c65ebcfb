package insights

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/syntax"
)

func call(fn string, args ...query.Expr) query.Expr { return query.Call{Fn: fn, Args: args} }

// arithmetic maps the operators to functions of the query model.
var arithmetic = map[string]string{"+": "add", "-": "sub", "*": "mul", "/": "div", "%": "mod", "^": "pow"}

var comparisons = map[string]query.Op{"=": query.Eq, "!=": query.Eq, "<": query.Lt, "<=": query.Le, ">": query.Gt, ">=": query.Ge}

// condition returns an expression that is truthy where x holds.
func (l *lowering) condition(x Expr) query.Expr {
	e := l.value(x).e
	l.limited(e, x.span())
	return e
}

func (l *lowering) value(x Expr) value {
	switch x := x.(type) {
	case Path:
		return l.path(x)
	case Literal:
		return value{e: query.Const{Value: x.Value}}
	case Duration:
		l.fail(x.Span, "a period stands only in bin, datefloor and dateceil")
	case Call:
		return l.call(x)
	case Unary:
		if x.Op == "-" {
			return value{e: call("neg", l.value(x.X).expr())}
		}
		return value{query.Not{X: l.value(x.X).e}, test}
	case Binary:
		return l.binary(x)
	case Like:
		v := l.value(x.X).expr()
		var e query.Expr
		if x.Regex != nil {
			e = query.Match{X: v, Re: regexp.MustCompile(x.Regex.Source)}
		} else {
			e = query.Text{Op: query.Contains, X: v, S: x.Text.Value, Coerce: true}
		}
		return negate(e, x.Not)
	case In:
		v := l.value(x.X)
		var list []event.Value
		var bools []event.Value
		for _, lit := range x.List {
			l.checkTime(v, lit, lit.Span)
			list = append(list, lit.Value)
			if b, ok := boolean(lit.Value); ok {
				bools = append(bools, b)
			}
		}
		var e query.Expr = query.In{X: v.expr(), Values: list, Mode: query.Loose}
		if bools != nil {
			e = query.Or{X: []query.Expr{e, query.In{X: v.expr(), Values: bools}}}
		}
		return negate(e, x.Not)
	}
	panic(fmt.Sprintf("insights: no such expression %T", x))
}

func negate(e query.Expr, not bool) value {
	if not {
		e = query.Not{X: e}
	}
	return value{e, test}
}

// boolean returns the boolean that a number stands for.
func boolean(v event.Value) (event.Value, bool) {
	f, ok := v.Number()
	return event.Bool(f == 1), ok && (f == 0 || f == 1)
}

// checkTime refuses to compare a timestamp with text, which it would never equal.
func (l *lowering) checkTime(v value, other Expr, span syntax.Span) {
	if lit, ok := other.(Literal); ok && v.kind == instant && lit.Value.Kind() == event.KindString {
		if _, number := query.ParseNumber(lit.Value.Str()); !number {
			l.fail(span, "a timestamp is compared with milliseconds since the epoch, not with text")
		}
	}
}

func (l *lowering) binary(x Binary) value {
	switch x.Op {
	case "and", "or":
		// A chain of one operator becomes one list.
		var list []query.Expr
		for _, side := range flatten(x, x.Op, nil) {
			list = append(list, l.value(side).e)
		}
		if x.Op == "and" {
			return value{query.And{X: list}, test}
		}
		return value{query.Or{X: list}, test}
	}
	left, right := l.value(x.L), l.value(x.R)
	if fn, ok := arithmetic[x.Op]; ok {
		return value{e: call(fn, left.expr(), right.expr())}
	}
	l.checkTime(left, x.R, x.span())
	l.checkTime(right, x.L, x.span())
	var e query.Expr = query.Compare{Op: comparisons[x.Op], Mode: query.Loose, L: left.expr(), R: right.expr()}
	if comparisons[x.Op] == query.Eq {
		if also := sameBoolean(left, right); also != nil {
			e = query.Or{X: []query.Expr{e, also}}
		}
	}
	return negate(e, x.Op == "!=")
}

// sameBoolean returns the comparison of a value with the boolean that a literal on the other
// side stands for: true and 1 are one, and so are false and 0.
func sameBoolean(left, right value) query.Expr {
	c, ok := right.e.(query.Const)
	other := left
	if !ok {
		c, ok = left.e.(query.Const)
		other = right
	}
	if !ok || other.kind == instant {
		return nil
	}
	if c.Value.Kind() == event.KindBool {
		n := query.Num(0)
		if c.Value.Bool() {
			n = query.Num(1)
		}
		return query.Compare{Op: query.Eq, L: other.expr(), R: n}
	}
	if b, ok := boolean(c.Value); ok {
		return query.Compare{Op: query.Eq, L: other.expr(), R: query.Const{Value: b}}
	}
	return nil
}

func flatten(x Expr, op string, list []Expr) []Expr {
	if b, ok := x.(Binary); ok && b.Op == op {
		return flatten(b.R, op, flatten(b.L, op, list))
	}
	return append(list, x)
}

// scalar is a function over values; max below zero means any number of arguments.
type scalar struct {
	min, max int
	lower    func(l *lowering, c Call, args []value) value
}

// model returns a function that the query model has under a name of its own.
func model(fn string, k kind) func(*lowering, Call, []value) value {
	return func(_ *lowering, _ Call, args []value) value { return value{call(fn, exprs(args)...), k} }
}

func exprs(args []value) []query.Expr {
	out := make([]query.Expr, len(args))
	for i, a := range args {
		out[i] = a.expr()
	}
	return out
}

// scalars are the functions by their names in lower case. It is filled by init, since some of
// them lead back to it.
var scalars map[string]scalar

func init() {
	number := scalar{1, 1, model("to_number", plain)}
	whole := scalar{1, 1, func(_ *lowering, _ Call, args []value) value {
		x := args[0].expr()
		return value{e: call("if", query.Compare{Op: query.Lt, Mode: query.Loose, L: x, R: query.Num(0)}, call("ceil", x), call("floor", x))}
	}}
	scalars = map[string]scalar{
		"abs": {1, 1, model("abs", plain)}, "ceil": {1, 1, model("ceil", plain)}, "floor": {1, 1, model("floor", plain)},
		"log": {1, 1, model("log", plain)}, "sqrt": {1, 1, model("sqrt", plain)}, "round": {1, 2, model("round", plain)},
		"greatest": {1, -1, model("greatest", plain)}, "least": {1, -1, model("least", plain)},
		"tonumber": number, "todouble": number, "toint": whole, "tolong": whole,
		"concat": {1, -1, model("concat", plain)}, "strlen": {1, 1, model("strlen", plain)},
		"toupper": {1, 1, model("upper", plain)}, "tolower": {1, 1, model("lower", plain)},
		"trim": {1, 2, model("trim", plain)}, "ltrim": {1, 2, model("ltrim", plain)}, "rtrim": {1, 2, model("rtrim", plain)},
		"substr": {2, 3, model("substr", plain)}, "replace": {3, 3, model("replace", plain)},
		"isempty": {1, 1, model("is_empty", test)}, "isblank": {1, 1, model("is_blank", test)},
		"startswith": {2, 2, model("starts_with", test)}, "endswith": {2, 2, model("ends_with", test)},
		"strcontains": {2, 3, strContains},
		"ispresent":   {1, 1, func(_ *lowering, _ Call, args []value) value { return value{query.Has{X: args[0].expr()}, test} }},
		"isnumeric": {1, 1, func(_ *lowering, _ Call, args []value) value {
			return value{query.Has{X: call("to_number", args[0].expr())}, test}
		}},
		"coalesce": {1, -1, func(_ *lowering, _ Call, args []value) value {
			return value{call("coalesce", exprs(args)...), common(args)}
		}},
		"if":   {3, 3, choose},
		"case": {2, 21, choose},
		"messagesize": {0, 0, func(l *lowering, c Call, _ []value) value {
			return value{e: call("byte_len", l.path(Path{"@message", c.Span}).e)}
		}},
		"frommillis": {1, 1, func(_ *lowering, _ Call, args []value) value {
			return value{call("to_number", args[0].expr()), instant}
		}},
		"tomillis":       {1, 1, func(_ *lowering, _ Call, args []value) value { return value{e: args[0].expr()} }},
		"now":            {0, 0, func(l *lowering, _ Call, _ []value) value { return value{e: query.Num(l.env.Now.Unix())} }},
		"querystarttime": {0, 0, func(l *lowering, _ Call, _ []value) value { return value{e: query.Num(l.env.From.UnixMilli())} }},
		"queryendtime":   {0, 0, func(l *lowering, _ Call, _ []value) value { return value{e: query.Num(l.env.To.UnixMilli())} }},
		"querytimerange": {0, 0, func(l *lowering, _ Call, _ []value) value {
			return value{e: query.Num(l.env.To.Sub(l.env.From).Milliseconds())}
		}},
	}
}

// common is the kind that all values have, or plain.
func common(list []value) kind {
	for _, v := range list {
		if v.kind != instant {
			return plain
		}
	}
	return instant
}

// choose is if(c, a, b) and case(c1, v1, …, [default]).
func choose(_ *lowering, _ Call, args []value) value {
	var out []query.Expr
	var results []value
	for i, a := range args {
		if i%2 == 0 && i+1 < len(args) {
			out = append(out, a.e)
			continue
		}
		out = append(out, a.expr())
		results = append(results, a)
	}
	return value{call("if", out...), common(results)}
}

// strContains has a third argument that, being true, has it ignore case.
func strContains(l *lowering, c Call, args []value) value {
	x, y := args[0].expr(), args[1].expr()
	if len(args) == 3 {
		lit, ok := c.Args[2].(Literal)
		if !ok || lit.Value.Kind() != event.KindBool {
			l.fail(c.Args[2].span(), "the third argument of strcontains is true or false")
		}
		if lit.Value.Bool() {
			x, y = call("lower", x), call("lower", y)
		}
	}
	return value{call("contains", x, y), test}
}

func (l *lowering) call(c Call) value {
	switch c.Name {
	case "bin", "datefloor", "dateceil":
		return l.bin(c)
	}
	if _, ok := aggregates[c.Name]; ok {
		l.fail(c.Span, "%s is an aggregate, which stands in stats only", l.q.Source[c.Span.Start:c.Span.Start+len(c.Name)])
	}
	if refusedFunctions[c.Name] {
		l.fail(c.Span, "not supported by this server: %s", l.q.Source[c.Span.Start:c.Span.Start+len(c.Name)])
	}
	if _, ok := scalars[c.Name]; !ok {
		l.fail(c.Span, "unknown function %s", l.q.Source[c.Span.Start:c.Span.Start+len(c.Name)])
	}
	var args []value
	for _, a := range c.Args {
		args = append(args, l.value(a))
	}
	return l.apply(c, args)
}

func (l *lowering) apply(c Call, args []value) value {
	f := scalars[c.Name]
	if c.Star || len(args) < f.min || f.max >= 0 && len(args) > f.max {
		l.fail(c.Span, "%s does not take %d arguments", c.Name, len(args))
	}
	return f.lower(l, c, args)
}

// bin is bin(period), and datefloor and dateceil of a time and a period.
func (l *lowering) bin(c Call) value {
	x := value{kind: instant}
	args := c.Args
	if c.Name == "bin" {
		if len(args) != 1 || c.Star {
			l.fail(c.Span, "bin takes one period, as in bin(5m)")
		}
		x = l.path(Path{"@timestamp", c.Span})
	} else {
		if len(args) != 2 || c.Star {
			l.fail(c.Span, "%s takes a time and a period, as in %s(@timestamp, 5m)", c.Name, c.Name)
		}
		x.e = l.value(args[0]).expr()
		args = args[1:]
	}
	d, ok := args[0].(Duration)
	if !ok {
		l.fail(args[0].span(), "a period such as 5m is missing")
	}
	step, offset := l.period(d)
	e := x.e
	if c.Name == "dateceil" {
		e = call("add", e, query.Num(step-1))
	}
	return value{query.Bucket{X: e, Step: step, Offset: offset}, instant}
}

// period returns a period in milliseconds and where its bins begin. AWS caps the number by the
// unit, so that 300s is 60s.
func (l *lowering) period(d Duration) (step, offset int64) {
	capped := func(n int64) int64 { return min(d.N, n) }
	switch d.Unit {
	case "ms":
		return capped(1000), 0
	case "s":
		return capped(60) * time.Second.Milliseconds(), 0
	case "m":
		return capped(60) * time.Minute.Milliseconds(), 0
	case "h":
		return capped(24) * time.Hour.Milliseconds(), 0
	}
	const day = 24 * time.Hour
	if d.N > 3660 {
		l.fail(d.Span, "the period is too long")
	}
	switch d.Unit {
	case "d":
		return d.N * day.Milliseconds(), 0
	case "w":
		// The epoch was a Thursday; four days later is a Monday.
		return d.N * 7 * day.Milliseconds(), 4 * day.Milliseconds()
	}
	l.fail(d.Span, "not supported by this server: periods of months, quarters and years")
	return 0, 0
}

// aggregates are the functions of stats, filled like scalars.
var aggregates map[string]func(l *lowering, c Call) (query.Agg, kind)

func init() {
	one := func(l *lowering, c Call) value {
		if len(c.Args) != 1 || c.Star {
			l.fail(c.Span, "%s takes one argument", c.Name)
		}
		return l.value(c.Args[0])
	}
	numeric := func(op query.AggOp) func(*lowering, Call) (query.Agg, kind) {
		return func(l *lowering, c Call) (query.Agg, kind) {
			return query.Agg{Op: op, Arg: call("to_number", one(l, c).expr())}, plain
		}
	}
	// Extremes compare numbers, also those in text, with numbers.
	extreme := func(op query.AggOp) func(*lowering, Call) (query.Agg, kind) {
		return func(l *lowering, c Call) (query.Agg, kind) {
			v := one(l, c)
			if v.kind == instant {
				return query.Agg{Op: op, Arg: v.e}, instant
			}
			return query.Agg{Op: op, Arg: call("coalesce", call("to_number", v.expr()), v.expr())}, plain
		}
	}
	edge := func(op query.AggOp) func(*lowering, Call) (query.Agg, kind) {
		return func(l *lowering, c Call) (query.Agg, kind) {
			if l.stats > 0 {
				l.fail(c.Span, "%s needs events and can not follow stats", c.Name)
			}
			v := one(l, c)
			k := v.kind
			if k == test {
				k = plain
			}
			return query.Agg{Op: op, Arg: v.expr()}, k
		}
	}
	distinct := func(l *lowering, c Call) (query.Agg, kind) {
		return query.Agg{Op: query.CountDistinct, Arg: groupable(one(l, c))}, plain
	}
	aggregates = map[string]func(*lowering, Call) (query.Agg, kind){
		"count": func(l *lowering, c Call) (query.Agg, kind) {
			if c.Star || len(c.Args) == 0 {
				return query.Agg{Op: query.Count}, plain
			}
			return query.Agg{Op: query.Count, Arg: one(l, c).expr()}, plain
		},
		"count_distinct": distinct, "countdistinct": distinct,
		"sum": numeric(query.Sum), "avg": numeric(query.Avg), "stddev": numeric(query.StdDev),
		"min": extreme(query.Min), "max": extreme(query.Max),
		"earliest": edge(query.Earliest), "latest": edge(query.Latest),
		"pct": func(l *lowering, c Call) (query.Agg, kind) {
			if len(c.Args) != 2 || c.Star {
				l.fail(c.Span, "pct takes a field and a percentage, as in pct(duration, 95)")
			}
			lit, ok := c.Args[1].(Literal)
			p, number := lit.Value.Number()
			if !ok || !number || p < 0 || p > 100 {
				l.fail(c.Args[1].span(), "the percentage is a number from 0 to 100")
			}
			return query.Agg{Op: query.Percentile, P: p, Arg: call("to_number", l.value(c.Args[0]).expr())}, plain
		},
	}
}

// refusedFunctions are functions of AWS that are not built here, in lower case.
var refusedFunctions = set(`haversine parsedate formatdate strftime jsonparse jsonstringify jsonarraysize jsonarraycontains isvalidip isvalidipv4
	isvalidipv6 isipinsubnet isipv4insubnet isipv6insubnet ipv4tonumber isprivateip ispublicip isreservedip regexreplace urlencode urldecode base64encode
	base64decode split hextoascii hextodec dectohex md5 sha256 variance values collect_values topk rate countovertime sumovertime histogram sortsfirst sortslast`)

func set(words string) map[string]bool {
	out := map[string]bool{}
	for _, w := range strings.Fields(words) {
		out[w] = true
	}
	return out
}
