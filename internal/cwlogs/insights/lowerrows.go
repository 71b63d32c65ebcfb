package insights

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/syntax"
)

// This file lowers the commands that take rows apart, put them together or compute along them.

func (l *lowering) parseCommand(c ParseCmd) {
	source := Path{Name: "@message", Span: c.Span}
	var text query.Expr
	if c.X != nil {
		text = l.value(c.X).expr()
	} else {
		text = l.path(source).expr()
	}
	switch c.Form {
	case ParseLogfmt:
		l.set(c.As[0], value{e: call("logfmt", text), kind: structure})
		return
	case ParseCSV:
		for i, n := range c.As {
			l.set(n, value{e: call("json_get", call("csv", text), query.Str(strconv.Itoa(i))), kind: document})
		}
		return
	}
	if parts := strings.Split(globOf(c), "*"); len(parts) > 1 && !strings.ContainsAny(globOf(c), "\n") {
		for i, n := range c.As {
			v := value{e: query.Cut{X: text, Parts: parts, Index: i}}
			l.limited(v.e, c.Span)
			l.set(n, v)
		}
		return
	}
	re, names, groups := l.groups(c)
	if c.Multi {
		name := l.field()
		l.add(query.Unnest{Name: name, List: query.Captures{X: text, Re: re}})
		for i, n := range names {
			l.set(n, value{e: call("json_get", query.Field{Name: name}, query.Str(strconv.Itoa(groups[i]-1))), kind: document})
		}
		return
	}
	for i, n := range names {
		v := value{e: query.Capture{X: text, Re: re, Group: groups[i]}}
		l.limited(v.e, c.Span)
		l.set(n, v)
	}
}

// globOf returns the pattern with stars, "" when it is a regular expression.
func globOf(c ParseCmd) string {
	if c.Form != ParseGlob {
		return ""
	}
	return c.Glob.Value
}

// groups returns the names that a pattern gives and the groups that they are of.
func (l *lowering) groups(c ParseCmd) (re *regexp.Regexp, names []string, groups []int) {
	names = c.As
	if c.Form == ParseGlob {
		for i := range names {
			groups = append(groups, i+1)
		}
		return regexp.MustCompile(globPattern(c.Glob.Value)), names, groups
	}
	re = regexp.MustCompile(c.Regex.Source)
	var named []string
	var namedAt, unnamed []int
	for i, n := range re.SubexpNames() {
		switch {
		case i == 0:
		case n != "":
			named, namedAt = append(named, n), append(namedAt, i)
		default:
			unnamed = append(unnamed, i)
		}
	}
	switch {
	case len(names) == 0 && len(named) == 0:
		l.fail(c.Regex.Span, "the regular expression has no named groups, as in (?<name>…), and no names follow")
	case len(names) == 0:
		return re, named, namedAt
	case len(names) == len(named)+len(unnamed):
		for i := range names {
			groups = append(groups, i+1)
		}
	case len(named) == 0 || len(names) != len(unnamed):
		l.fail(c.Regex.Span, "the regular expression has %d groups but %d names follow", re.NumSubexp(), len(names))
	default:
		return re, append(named, names...), append(namedAt, unnamed...)
	}
	return re, names, groups
}

// globPattern turns a pattern of parse into a regular expression: a star is as little as
// possible up to what follows, one at the end the rest of the line.
func globPattern(glob string) string {
	parts := strings.Split(glob, "*")
	var b strings.Builder
	for i, s := range parts {
		b.WriteString(regexp.QuoteMeta(s))
		switch {
		case i == len(parts)-1:
		case i == len(parts)-2 && parts[i+1] == "":
			b.WriteString("(.*)")
		default:
			b.WriteString("(.*?)")
		}
	}
	return b.String()
}

// list returns the document of a field, which may be a list that the message holds: of those only
// the leaves are fields.
func (l *lowering) list(p Path, parse bool) query.Expr {
	v := l.path(p)
	if v.kind == document || v.kind == structure {
		return v.e
	}
	ways := []query.Expr{call("json_make", v.expr())}
	if parse { // a text may be the list
		ways = []query.Expr{call("json_parse", v.expr()), ways[0]}
	}
	if _, made := l.scope[p.Name]; !made && !l.table && !strings.HasPrefix(p.Name, "@") {
		ways = append(ways, l.inMessage(p))
	}
	return call("coalesce", ways...)
}

// inMessage is the part of the message at a path, a document.
func (l *lowering) inMessage(p Path) query.Expr {
	return call("json_get", call("json_parse", query.Field{Name: "@message"}), query.Str(p.Name))
}

func (l *lowering) unnest(c Unnest) {
	name := l.field()
	l.add(query.Unnest{Name: name, List: l.list(c.X, c.Into == "")})
	into := c.Into
	if into == "" {
		into = c.X.Name
	}
	l.set(into, value{e: query.Field{Name: name}, kind: document})
}

// side runs a query within the query.
func (l *lowering) side(q *Query, span syntax.Span) (*query.Table, *Plan) {
	env := l.env
	env.Limit = 0
	plan := lower(q, env, true)
	t := &query.Table{}
	for _, c := range plan.Columns {
		t.Columns = append(t.Columns, c.Name)
	}
	if l.env.Side == nil {
		return t, plan
	}
	res, err := l.env.Side(plan)
	if err != nil {
		panic(outside{fmt.Errorf("query within the query at %d: %w", span.Start, err)})
	}
	if len(res.Rows) > MaxSide {
		panic(outside{fmt.Errorf("query within the query at %d gives more than %d rows; narrow it", span.Start, MaxSide)})
	}
	for _, r := range res.Rows {
		t.Rows = append(t.Rows, r[:len(t.Columns)])
	}
	return t, plan
}

func kindOf(c Column) kind {
	if c.Time {
		return instant
	}
	return plain
}

func (l *lowering) join(c Join) {
	if l.late != "" {
		l.fail(c.Span, "join can not follow %s", l.late)
	}
	table, plan := l.side(c.Query, c.Span)
	l.left = c.Left
	j := query.Join{Table: table, Left: c.Keep}
	for _, p := range c.On {
		left, right := p.L, p.R
		if strings.HasPrefix(left.Name, c.Right+".") {
			left, right = right, left
		}
		column, ok := strings.CutPrefix(right.Name, c.Right+".")
		if !ok || strings.HasPrefix(left.Name, c.Right+".") {
			l.fail(right.Span, "the fields of a join's condition are of both sides, as in %s.a = %s.b", c.Left, c.Right)
		}
		at := -1
		for i, n := range table.Columns {
			if n == column {
				at = i
			}
		}
		if at < 0 {
			l.fail(right.Span, "the query within the query gives no field %s", column)
		}
		v := l.path(left)
		l.scalar(v, left.Span, "join")
		j.On, j.Keys = append(j.On, v.expr()), append(j.Keys, at)
	}
	for i, n := range table.Columns {
		f := l.field()
		j.Names = append(j.Names, f)
		v := value{e: query.Field{Name: f}, kind: kindOf(plan.Columns[i])}
		name := c.Right + "." + n
		l.scope[name] = v
		if !l.displayed {
			l.show(name, v)
		}
	}
	l.add(j)
}

func (l *lowering) lookup(c Lookup) {
	if l.env.Table == nil {
		l.fail(c.Span, "there is no lookup table %s", c.Table)
	}
	table, err := l.env.Table(c.Table)
	if err != nil {
		panic(outside{err})
	}
	if table == nil {
		l.fail(c.Span, "there is no lookup table %s", c.Table)
	}
	column := func(name string, span syntax.Span) int {
		for i, n := range table.Columns {
			if n == name {
				return i
			}
		}
		l.fail(span, "the lookup table %s has no column %s", c.Table, name)
		return -1
	}
	j := query.Join{Table: table, Names: make([]string, len(table.Columns)), Left: true, First: true, CIDR: c.CIDR}
	for _, p := range c.On {
		v := l.path(p.R)
		l.scalar(v, p.R.Span, "lookup")
		x := v.expr()
		if !c.CIDR {
			x = call("text", x) // tables hold texts
		}
		j.On, j.Keys = append(j.On, x), append(j.Keys, column(p.L.Name, p.L.Span))
	}
	out := map[string]value{}
	for _, n := range c.Output {
		at := column(n, c.Span)
		// The field keeps what it has where the table has no row.
		f := l.field()
		j.Names[at] = f
		e := query.Expr(query.Field{Name: f})
		v := value{e: e}
		if old, ok := l.scope[n]; ok {
			v = value{e: call("coalesce", e, old.expr())}
		} else if !l.table {
			v = value{e: call("coalesce", e, l.path(Path{n, c.Span}).expr())}
		}
		out[n] = v
	}
	l.add(j)
	for _, n := range c.Output {
		l.scope[n] = out[n]
		if l.table && !l.displayed {
			l.show(n, out[n])
		}
		l.set(n, out[n])
	}
}

func (l *lowering) appendCols(c AppendCols) {
	table, plan := l.side(c.Query, c.Span)
	if c.Max > 0 && len(table.Rows) > c.Max {
		table.Rows = table.Rows[:c.Max]
	}
	l.sort()
	s := query.AddColumns{Table: table, Override: c.Override}
	for i, n := range table.Columns {
		v := value{kind: kindOf(plan.Columns[i])}
		name := ""
		for _, x := range l.shown {
			if x.name == n {
				held := x.v
				if held.kind == document || held.kind == structure {
					held = value{e: held.column()}
				}
				if held.kind == test {
					held.kind = plain
				}
				name, v.kind = l.held(held), held.kind
			}
		}
		if name == "" {
			name = l.field()
		}
		v.e = query.Field{Name: name}
		s.Names = append(s.Names, name)
		l.scope[n] = v
		l.show(n, v)
	}
	l.listed = l.listed || !l.table
	l.add(s)
	l.late = "appendcols"
}

// running adds a field that is computed along the rows in their order.
func (l *lowering) running(name string, s query.Running, k kind) {
	s.Name = l.field()
	l.add(s)
	v := value{e: query.Field{Name: s.Name}, kind: k}
	l.scope[name] = v
	if !l.displayed {
		l.show(name, v)
		l.listed = l.listed || !l.table
	} else {
		l.set(name, v)
	}
}

func (l *lowering) accum(c Accum) {
	v := l.path(c.X)
	l.scalar(v, c.X.Span, "accum")
	l.sort()
	name := c.As
	if name == "" {
		name = c.X.Name
	}
	l.running(name, query.Running{Op: query.RunSum, Arg: call("to_number", v.expr())}, plain)
	l.late = "accum"
}

func (l *lowering) autoregress(c Autoregress) {
	v := l.path(c.X)
	l.scalar(v, c.X.Span, "autoregress")
	l.sort()
	name := c.As
	if name == "" {
		name = c.X.Name
	}
	for p := c.From; p <= c.To; p++ {
		as := name
		if c.As == "" || c.From < c.To {
			as = name + "_p" + strconv.Itoa(p)
		}
		l.running(as, query.Running{Op: query.Lag, Arg: v.expr(), N: int64(p)}, timely(v))
	}
	l.late = "autoregress"
}

func (l *lowering) fillDown(c FillDown) {
	l.sort()
	var list []shown
	for _, p := range c.Paths {
		list = append(list, shown{p.Name, l.path(p)})
	}
	if c.Paths == nil {
		list = append(list, l.shown...)
	}
	if len(list) == 0 {
		l.fail(c.Span, "filldown finds no columns; name them")
	}
	for _, s := range list {
		e, k := s.v.e, s.v.kind
		if k == test {
			e, k = s.v.expr(), plain
		}
		l.running(s.name, query.Running{Op: query.Carry, Arg: e}, k)
	}
	l.late = "filldown"
}

func (l *lowering) outlier(c Outlier) {
	s := query.Outliers{Param: c.Param, Lower: c.Lower, Remove: c.Remove, Mark: c.Mark}
	l.sort()
	for _, p := range c.Paths {
		v := l.path(p)
		l.scalar(v, p.Span, "outlier")
		name := l.field() // of its own, so that other uses of the field stay what they are
		l.add(query.Extend{Name: name, Value: v.expr()})
		s.Fields = append(s.Fields, name)
		l.scope[p.Name] = value{e: query.Field{Name: name}, kind: timely(v)}
	}
	l.add(s)
	for i, p := range c.Paths {
		l.set(p.Name, l.scope[p.Name])
		if c.Mark {
			name := p.Name + "_outlier"
			v := value{e: query.Field{Name: s.Fields[i] + "_outlier"}, kind: test}
			l.scope[name] = v
			if !l.displayed {
				l.show(name, v)
				l.listed = l.listed || !l.table
			}
		}
	}
	l.late = "outlier"
}

func (l *lowering) sessionize(c Sessionize) {
	if l.table {
		l.fail(c.Span, "sessionize needs events and can not follow stats")
	}
	gap := Duration{30, "m", c.Span}
	if c.Gap != nil {
		gap = *c.Gap
	}
	s := query.Running{Op: query.Session, N: l.env.Now.Sub(back(l.env.Now, gap)).Nanoseconds()}
	for _, p := range c.Paths {
		v := l.path(p)
		l.scalar(v, p.Span, "sessionize")
		s.By = append(s.By, groupable(v))
	}
	l.order = []query.SortKey{{By: query.Field{Name: event.FieldTime}}, {By: query.Field{Name: event.FieldSeq}}}
	l.ordered = false
	l.sort()
	name := c.As
	if name == "" {
		name = "session_id"
	}
	l.running(name, s, plain)
}
