package insights

import (
	"fmt"
	"regexp"
	resyntax "regexp/syntax"
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
	e := l.truth(x)
	l.limited(e, x.span())
	return e
}

// truth returns a value as a condition.
func (l *lowering) truth(x Expr) query.Expr {
	v := l.value(x)
	if v.kind == test {
		return v.e
	}
	return v.expr()
}

// like tests for a text or a regular expression.
func like(x query.Expr, text *String, regex *Regex) query.Expr {
	if regex != nil {
		return matches(x, regex.Source)
	}
	return query.Text{Op: query.Contains, X: x, S: text.Value, Coerce: true}
}

// maxAlternatives is up to how many alternatives are searched for one by one.
const maxAlternatives = 16

// matches tests for a regular expression: as a text when it is one, and for alternatives one by one,
// each of which the store can look for.
func matches(x query.Expr, source string) query.Expr {
	if regexp.QuoteMeta(source) == source {
		return query.Text{Op: query.Contains, X: x, S: source, Coerce: true}
	}
	tree, err := resyntax.Parse(source, resyntax.Perl)
	for err == nil && tree.Op == resyntax.OpCapture {
		tree = tree.Sub[0]
	}
	if err != nil || tree.Op != resyntax.OpAlternate || len(tree.Sub) > maxAlternatives {
		return query.Match{X: x, Re: regexp.MustCompile(source)}
	}
	var list []query.Expr
	for _, sub := range tree.Sub {
		re, err := regexp.Compile(sub.String())
		if err != nil {
			return query.Match{X: x, Re: regexp.MustCompile(source)}
		}
		if sub.Op == resyntax.OpLiteral && sub.Flags&resyntax.FoldCase == 0 {
			list = append(list, query.Text{Op: query.Contains, X: x, S: string(sub.Rune), Coerce: true})
			continue
		}
		list = append(list, query.Match{X: x, Re: re})
	}
	return query.Or{X: list}
}

// oneOf tests for the values of the first column of a query within the query.
func (l *lowering) oneOf(v value, x In) query.Expr {
	table, _ := l.side(x.Sub, x.Span)
	if len(table.Columns) != 1 {
		l.fail(x.Span, "the query behind in gives %d columns, not one; choose one by fields or display", len(table.Columns))
	}
	var values []event.Value
	for _, r := range table.Rows {
		values = append(values, r[0])
	}
	return query.AnyOf(v.expr(), values)
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
		return value{e: query.Not{X: l.truth(x.X)}, kind: test}
	case Binary:
		return l.binary(x)
	case Like:
		return negate(like(l.value(x.X).expr(), x.Text, x.Regex), x.Not)
	case In:
		v := l.value(x.X)
		if x.Sub != nil {
			return negate(l.oneOf(v, x), x.Not)
		}
		var list []event.Value
		var bools []event.Value
		for _, lit := range x.List {
			l.checkTime(v, lit, lit.Span)
			list = append(list, lit.Value)
			if b, ok := boolean(lit.Value); ok {
				bools = append(bools, b)
			}
			if lit.Value.Kind() == event.KindBool {
				n := int64(0)
				if lit.Value.Bool() {
					n = 1
				}
				bools = append(bools, event.Int(n))
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
	return value{e: e, kind: test}
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
			list = append(list, l.truth(side))
		}
		if x.Op == "and" {
			return value{e: query.And{X: list}, kind: test}
		}
		return value{e: query.Or{X: list}, kind: test}
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
	return func(_ *lowering, _ Call, args []value) value { return value{e: call(fn, exprs(args)...), kind: k} }
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
	format := scalar{2, 3, formatDate}
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
		"haversine": {4, 4, model("haversine", plain)}, "regexreplace": {3, 3, regexReplace},
		"parsedate": {2, 3, parseDate}, "formatdate": format, "strftime": format,
		"jsonparse": {1, 1, func(_ *lowering, _ Call, args []value) value {
			return value{e: call("json_parse", args[0].column()), kind: structure}
		}},
		"jsonstringify": {1, 1, jsonStringify}, "jsonarraysize": {1, 1, jsonArraySize}, "jsonarraycontains": {2, 2, jsonArrayContains},
		"split":     {2, 2, model("split", structure)},
		"isvalidip": {1, 1, model("is_ip", test)}, "isvalidipv4": {1, 1, model("is_ipv4", test)}, "isvalidipv6": {1, 1, model("is_ipv6", test)},
		"isipinsubnet": {2, 2, subnet("ip_in")}, "isipv4insubnet": {2, 2, subnet("ipv4_in")}, "isipv6insubnet": {2, 2, subnet("ipv6_in")},
		"ipv4tonumber": {1, 1, model("ipv4_number", plain)}, "isprivateip": {1, 1, model("is_private_ip", test)},
		"ispublicip": {1, 1, model("is_public_ip", test)}, "isreservedip": {1, 1, model("is_reserved_ip", test)},
		"urlencode": {1, 1, model("url_encode", plain)}, "urldecode": {1, 1, model("url_decode", plain)},
		"base64encode": {1, 1, model("base64_encode", plain)}, "base64decode": {1, 1, model("base64_decode", plain)},
		"hextoascii": {1, 1, model("hex_text", plain)}, "hextodec": {1, 1, model("hex_number", plain)}, "dectohex": {1, 1, model("number_hex", plain)},
		"md5": {1, 1, model("md5", plain)}, "sha256": {1, 1, model("sha256", plain)},
		"startswith": {2, 2, textTest(query.HasPrefix, "starts_with")}, "endswith": {2, 2, textTest(query.HasSuffix, "ends_with")},
		"strcontains": {2, 3, strContains},
		"ispresent": {1, 1, func(_ *lowering, _ Call, args []value) value {
			x := args[0].e
			if args[0].kind == test {
				x = args[0].expr()
			}
			return value{e: query.Has{X: x}, kind: test}
		}},
		"isnumeric": {1, 1, func(_ *lowering, _ Call, args []value) value {
			return value{e: query.Has{X: call("to_number", args[0].expr())}, kind: test}
		}},
		"coalesce": {1, -1, func(_ *lowering, _ Call, args []value) value {
			x, k := alike(args)
			return value{e: call("coalesce", x...), kind: k}
		}},
		"if":   {3, 3, choose},
		"case": {2, 21, choose},
		"messagesize": {0, 0, func(l *lowering, c Call, _ []value) value {
			return value{e: call("byte_len", l.path(Path{"@message", c.Span}).expr())}
		}},
		"frommillis": {1, 1, func(_ *lowering, _ Call, args []value) value {
			return value{e: call("to_number", args[0].expr()), kind: instant}
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

// alike returns values as expressions of one kind, which they keep when all have it.
func alike(list []value) ([]query.Expr, kind) {
	times, documents := true, true
	for _, v := range list {
		times = times && v.kind == instant
		documents = documents && (v.kind == document || v.kind == structure)
	}
	switch {
	case times:
		return exprs(list), instant
	case documents:
		out := make([]query.Expr, len(list))
		for i, v := range list {
			out[i] = v.e
		}
		return out, document
	}
	return exprs(list), plain
}

// choose is if(c, a, b) and case(c1, v1, …, [default]).
func choose(l *lowering, c Call, args []value) value {
	var out []query.Expr
	var results []value
	for i, a := range args {
		if i%2 == 1 || i+1 == len(args) {
			results = append(results, a)
		}
	}
	x, k := alike(results)
	for i, a := range args {
		switch {
		case i%2 == 1 || i+1 == len(args):
			out = append(out, x[0])
			x = x[1:]
		case a.kind == test:
			out = append(out, a.e)
		default:
			out = append(out, a.expr())
		}
	}
	return value{e: call("if", out...), kind: k}
}

// textTest is a test of a text against another, which the store can look for when it stands in the
// query.
func textTest(op query.TextOp, fn string) func(*lowering, Call, []value) value {
	return func(_ *lowering, _ Call, args []value) value {
		x, y := args[0].expr(), args[1].expr()
		if c, ok := y.(query.Const); ok && c.Value.Kind() == event.KindString {
			return value{e: query.Text{Op: op, X: x, S: c.Value.Str(), Coerce: true}, kind: test}
		}
		return value{e: call(fn, x, y), kind: test}
	}
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
	return textTest(query.Contains, "contains")(l, c, []value{{e: x}, {e: y}})
}

func (l *lowering) call(c Call) value {
	// Behind stats count(*) and the like are the names of columns.
	if v, ok := l.scope[l.text(c.Span)]; ok {
		return v
	}
	name := l.q.Text[c.Span.Start : c.Span.Start+len(c.Name)]
	switch c.Name {
	case "bin", "datefloor", "dateceil":
		return l.within(c, l.bin(c))
	}
	if _, ok := aggregates[c.Name]; ok || c.Name == "rate" || c.Name == "topk" {
		l.fail(c.Span, "%s is an aggregate, which stands in stats only", name)
	}
	if _, ok := scalars[c.Name]; !ok {
		l.fail(c.Span, "unknown function %s", name)
	}
	var args []value
	for i, a := range c.Args {
		if p, ok := a.(Path); ok && i == 0 && lists[c.Name] {
			args = append(args, value{e: l.list(p, true), kind: document})
			continue
		}
		args = append(args, l.value(a))
	}
	return l.within(c, l.apply(c, args))
}

// lists are the functions whose first argument is a map or a list, which may be in the message.
var lists = map[string]bool{"jsonarraysize": true, "jsonarraycontains": true, "jsonstringify": true}

// within returns the field of a function's value that a call asks for.
func (l *lowering) within(c Call, v value) value {
	if c.Path == "" {
		return v
	}
	if v.kind != document && v.kind != structure {
		l.fail(c.Span, "%s does not give a map or a list, which have fields", c.Name)
	}
	return value{e: call("json_get", v.e, query.Str(c.Path)), kind: document}
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
	args := c.Args
	var x query.Expr
	if c.Name == "bin" {
		if len(args) != 1 || c.Star {
			l.fail(c.Span, "bin takes one period, as in bin(5m)")
		}
		x = l.path(Path{"@timestamp", c.Span}).expr()
	} else {
		if len(args) != 2 || c.Star {
			l.fail(c.Span, "%s takes a time and a period, as in %s(@timestamp, 5m)", c.Name, c.Name)
		}
		x = l.value(args[0]).expr()
		args = args[1:]
	}
	d, ok := args[0].(Duration)
	if !ok {
		l.fail(args[0].span(), "a period such as 5m is missing")
	}
	b := l.period(d)
	v := value{kind: instant}
	nanos, stored := timeOf(value{e: x})
	switch {
	case b.Months > 0:
		v.e = query.Months{X: x, N: b.Months, Ceil: c.Name == "dateceil"}
	case c.Name == "dateceil":
		v.e = query.Bucket{X: call("add", x, query.Num(b.Step-1)), Step: b.Step, Offset: b.Offset}
	case stored:
		v.e = call("millis", query.Bucket{X: nanos, Step: b.Step * 1e6, Offset: b.Offset * 1e6})
	default:
		v.e = query.Bucket{X: call("to_number", x), Step: b.Step, Offset: b.Offset}
	}
	if c.Name != "dateceil" {
		v.bin = &b
	}
	return v
}

// period returns a period. AWS caps the number by the unit, so that 300s is 60s.
func (l *lowering) period(d Duration) bin {
	capped := func(n int64) int64 { return min(d.N, n) }
	switch d.Unit {
	case "ms":
		return bin{Step: capped(1000)}
	case "s":
		return bin{Step: capped(60) * time.Second.Milliseconds()}
	case "m":
		return bin{Step: capped(60) * time.Minute.Milliseconds()}
	case "h":
		return bin{Step: capped(24) * time.Hour.Milliseconds()}
	}
	const day = 24 * time.Hour
	if d.N > 3660 {
		l.fail(d.Span, "the period is too long")
	}
	switch d.Unit {
	case "d":
		return bin{Step: d.N * day.Milliseconds()}
	case "w":
		// The epoch was a Thursday; four days later is a Monday.
		return bin{Step: d.N * 7 * day.Milliseconds(), Offset: 4 * day.Milliseconds()}
	case "mo":
		return bin{Months: int(d.N)}
	case "q":
		return bin{Months: int(d.N) * 3}
	}
	return bin{Months: int(d.N) * 12}
}

func jsonStringify(_ *lowering, _ Call, args []value) value { return value{e: args[0].e} }

func jsonArraySize(_ *lowering, _ Call, args []value) value {
	return value{e: call("json_size", docOf(args[0]))}
}

func jsonArrayContains(_ *lowering, _ Call, args []value) value {
	return value{e: call("json_has", docOf(args[0]), args[1].expr()), kind: test}
}

// docOf returns a value as a document; an ordinary one is a text that is JSON.
func docOf(v value) query.Expr {
	if v.kind == document || v.kind == structure {
		return v.e
	}
	return call("json_parse", v.expr())
}

// literalText returns a text that must stand in the query.
func (l *lowering) literalText(x Expr, what string) string {
	lit, ok := x.(Literal)
	if !ok || lit.Value.Kind() != event.KindString {
		l.fail(x.span(), "%s is a string in quotes", what)
	}
	return lit.Value.Str()
}

func (l *lowering) zone(c Call) *time.Location {
	if len(c.Args) < 3 {
		return time.UTC
	}
	zone, ok := query.Zone(l.literalText(c.Args[2], "the time zone"))
	if !ok {
		l.fail(c.Args[2].span(), "there is no such time zone")
	}
	return zone
}

func parseDate(l *lowering, c Call, args []value) value {
	pattern := l.literalText(c.Args[1], "the pattern")
	if err := query.CheckTimePattern(pattern); err != nil {
		l.fail(c.Args[1].span(), "%v", err)
	}
	return value{e: query.ParseTime{X: args[0].expr(), Pattern: pattern, In: l.zone(c)}}
}

func formatDate(l *lowering, c Call, args []value) value {
	format := l.literalText(c.Args[1], "the format")
	if err := query.CheckTimeFormat(format); err != nil {
		l.fail(c.Args[1].span(), "%v", err)
	}
	return value{e: query.FormatTime{X: args[0].expr(), Format: format, In: l.zone(c)}}
}

func regexReplace(l *lowering, c Call, args []value) value {
	re, err := regexp.Compile(l.literalText(c.Args[1], "the regular expression"))
	if err != nil {
		l.fail(c.Args[1].span(), "the regular expression is not valid: %v", err)
	}
	return value{e: query.Replace{X: args[0].expr(), Re: re, With: l.literalText(c.Args[2], "the replacement")}}
}

// subnet is a test of an address; a subnet that stands in the query must be one.
func subnet(fn string) func(*lowering, Call, []value) value {
	return func(l *lowering, c Call, args []value) value {
		if lit, ok := c.Args[1].(Literal); ok {
			if !query.IsPrefix(lit.Value.Str()) {
				l.fail(lit.Span, "the subnet is not one such as 10.0.0.0/8")
			}
		}
		return value{e: call(fn, args[0].expr(), args[1].expr()), kind: test}
	}
}

// aggregates are the functions of stats, filled like scalars.
var aggregates map[string]func(l *lowering, c Call) (query.Agg, kind)

func init() {
	one := func(l *lowering, c Call) value {
		if len(c.Args) != 1 || c.Star {
			l.fail(c.Span, "%s takes one argument", c.Name)
		}
		v := l.value(c.Args[0])
		l.scalar(v, c.Args[0].span(), "stats")
		return v
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
			if l.table {
				l.fail(c.Span, "%s needs events and can not follow stats", c.Name)
			}
			v := one(l, c)
			return query.Agg{Op: op, Arg: v.expr()}, timely(v)
		}
	}
	distinct := func(l *lowering, c Call) (query.Agg, kind) {
		return query.Agg{Op: query.CountDistinct, Arg: groupable(one(l, c))}, plain
	}
	// Texts sort by their bytes, numbers by their text.
	sorts := func(op query.AggOp) func(*lowering, Call) (query.Agg, kind) {
		return func(l *lowering, c Call) (query.Agg, kind) {
			return query.Agg{Op: op, Arg: call("text", one(l, c).expr())}, plain
		}
	}
	values := func(l *lowering, c Call) (query.Agg, kind) {
		return query.Agg{Op: query.Values, Arg: one(l, c).expr()}, structure
	}
	count := func(l *lowering, c Call) (query.Agg, kind) {
		if c.Star || len(c.Args) == 0 {
			return query.Agg{Op: query.Count}, plain
		}
		return query.Agg{Op: query.Count, Arg: one(l, c).expr()}, plain
	}
	aggregates = map[string]func(*lowering, Call) (query.Agg, kind){
		"count": count, "count_over_time": count, "countovertime": count,
		"count_distinct": distinct, "countdistinct": distinct,
		"sum": numeric(query.Sum), "avg": numeric(query.Avg), "stddev": numeric(query.StdDev),
		"variance": numeric(query.Variance), "sum_over_time": numeric(query.Sum), "sumovertime": numeric(query.Sum),
		"values": values, "collect_values": values, "sortsfirst": sorts(query.Min), "sortslast": sorts(query.Max),
		"histogram": func(l *lowering, c Call) (query.Agg, kind) {
			if len(c.Args) != 2 || c.Star {
				l.fail(c.Span, "histogram takes a field and a number of ranges, as in histogram(duration, 10)")
			}
			lit, ok := c.Args[1].(Literal)
			if n := lit.Value.Int(); !ok || n < 1 || n > 100 {
				l.fail(c.Args[1].span(), "the number of ranges is a whole number from 1 to 100")
			}
			return query.Agg{Op: query.Histogram, P: float64(lit.Value.Int()), Arg: call("to_number", l.value(c.Args[0]).expr())}, structure
		},
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
