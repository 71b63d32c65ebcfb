package insights

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/syntax"
)

const (
	// defaultLimit is the number of rows of a query that does not say.
	defaultLimit = 10_000
	// maxStats is how many stats commands a query may have.
	maxStats = 10
	// maxNodes bounds the size of an expression once the names in it are replaced by what
	// they stand for.
	maxNodes = 5000
)

// Env is what a query runs on.
type Env struct {
	Groups []Group
	// From and To are the query's time range, Now its start.
	From, To, Now time.Time
	// Limit bounds the rows further than the query does; 0 does not.
	Limit int
}

// Group is a log group: the dataset of its events and how @log names it.
type Group struct {
	Dataset event.DatasetID
	Label   string
}

// Plan is a query ready to run. Datasets and time range are the caller's to set.
type Plan struct {
	Stages []query.Stage
	// Columns are the columns that are shown, in the order of the result's.
	Columns []Column
	// Events reports whether the rows are events: then four columns follow the shown ones,
	// $dataset, $stream, $time and $seq, by which an event is found again.
	Events bool
}

// Column is a shown column.
type Column struct {
	Name string
	// Time marks values that are milliseconds since the epoch.
	Time bool
}

// kind is what is known of a value ahead of the run.
type kind uint8

const (
	plain   kind = iota
	instant      // milliseconds since the epoch
	test         // a condition, which shows as 1 or 0
)

// value is an expression with its kind.
type value struct {
	e    query.Expr
	kind kind
}

// expr returns the expression as a value: conditions become 1 or 0.
func (v value) expr() query.Expr {
	if v.kind == test {
		return call("if", v.e, query.Num(1), query.Num(0))
	}
	return v.e
}

type shown struct {
	name string
	v    value
}

// lowering carries the state from one command to the next.
type lowering struct {
	q      *Query
	env    Env
	stages []query.Stage
	// scope holds the names that commands made; after stats there are no others.
	scope map[string]value
	stats int
	shown []shown
	// displayed is set once display fixed the columns, listed once a command chose some.
	displayed, listed bool
	// order is the wanted order of the rows; ordered says that they have it already.
	order   []query.SortKey
	ordered bool
	// late holds the name of a command that stats must not follow.
	late    string
	deduped bool
	made    int // fields that were made by stats, for their names
}

// Lower compiles a query. The error is a *syntax.Error.
func Lower(q *Query, env Env) (plan *Plan, err error) {
	l := &lowering{q: q, env: env, scope: map[string]value{}}
	defer func() {
		switch e := recover().(type) {
		case nil:
		case *syntax.Error:
			plan, err = nil, e
		default:
			panic(e)
		}
	}()
	l.order = []query.SortKey{{By: query.Field{Name: event.FieldTime}, Desc: true}, {By: query.Field{Name: event.FieldSeq}, Desc: true}}
	for _, c := range q.Commands {
		l.command(c)
	}
	return l.finish(), nil
}

func (l *lowering) fail(span syntax.Span, format string, args ...any) {
	panic(&syntax.Error{Src: l.q.Source, Span: span, Msg: fmt.Sprintf(format, args...)})
}

func (l *lowering) finish() *Plan {
	if !l.listed && l.stats == 0 {
		l.shown = []shown{{"@timestamp", l.path(Path{Name: "@timestamp"})}, {"@message", l.path(Path{Name: "@message"})}}
	}
	l.sort()
	limit := defaultLimit
	for _, c := range l.q.Commands {
		if c, ok := c.(Limit); ok {
			limit = c.N
		}
	}
	if l.env.Limit > 0 {
		limit = min(limit, l.env.Limit)
	}
	plan := &Plan{Events: l.stats == 0}
	var fields []query.Named
	add := func(e query.Expr) {
		fields = append(fields, query.Named{Name: "c" + strconv.Itoa(len(fields)), Value: e})
	}
	for _, s := range l.shown {
		plan.Columns = append(plan.Columns, Column{s.name, s.v.kind == instant})
		add(s.v.expr())
	}
	if plan.Events {
		for _, name := range []string{event.FieldDataset, event.FieldStream, event.FieldTime, event.FieldSeq} {
			add(query.Field{Name: name})
		}
	}
	plan.Stages = append(l.stages, query.Limit{N: limit}, query.Project{Fields: fields})
	if err := (&query.Query{Stages: plan.Stages}).Check(); err != nil {
		l.fail(syntax.Span{End: len(l.q.Source)}, "the query is too complex: %v", err)
	}
	return plan
}

// sort brings the rows into the wanted order, unless they have it.
func (l *lowering) sort() {
	if !l.ordered && len(l.order) > 0 {
		l.stages = append(l.stages, query.Sort{Keys: l.order})
	}
	l.ordered = true
}

// show adds a column, or replaces the one of its name.
func (l *lowering) show(name string, v value) {
	if i := slices.IndexFunc(l.shown, func(s shown) bool { return s.name == name }); i >= 0 {
		l.shown[i].v = v
		return
	}
	l.shown = append(l.shown, shown{name, v})
}

func (l *lowering) command(c Command) {
	if l.deduped {
		if _, ok := c.(Limit); !ok {
			l.fail(syntax.Span{End: len(l.q.Source)}, "only limit may follow dedup")
		}
	}
	switch c := c.(type) {
	case Fields:
		for _, i := range c.Items {
			name, v := l.item(i)
			if !l.displayed && name != "@ptr" {
				l.show(name, v)
			}
		}
		l.listed = true
	case Display:
		l.shown, l.displayed, l.listed = nil, true, true
		for _, i := range c.Items {
			if name, v := l.item(i); name != "@ptr" {
				l.show(name, v)
			}
		}
	case Filter:
		l.stages = append(l.stages, query.Filter{Where: l.condition(c.Where)})
	case Stats:
		l.statsCommand(c)
	case Sort:
		l.sortCommand(c)
	case Limit:
		l.sort()
		l.stages = append(l.stages, query.Limit{N: c.N})
		l.late = "limit"
	case ParseCmd:
		l.parseCommand(c)
	case Dedup:
		l.dedup(c)
	default:
		panic(fmt.Sprintf("insights: no such command %T", c))
	}
}

// item evaluates an item and gives its value a name.
func (l *lowering) item(i Item) (string, value) {
	name := i.As
	if p, ok := i.X.(Path); ok && name == "" {
		if p.Name == "@ptr" {
			return p.Name, value{}
		}
		return p.Name, l.path(p)
	}
	if name == "" {
		name = l.text(i.Span)
	}
	v := l.value(i.X)
	l.limited(v.e, i.Span)
	l.scope[name] = v
	return name, v
}

// text returns a part of the query as the name of a column, its blanks brought to one each.
func (l *lowering) text(span syntax.Span) string {
	return strings.Join(strings.Fields(l.q.Source[span.Start:span.End]), " ")
}

// limited refuses expressions that grew beyond measure by names that stand for others.
func (l *lowering) limited(e query.Expr, span syntax.Span) {
	n := 0
	query.Walk(e, func(query.Expr) bool {
		n++
		return n <= maxNodes
	})
	if n > maxNodes {
		l.fail(span, "the expression is too complex once all names in it are replaced")
	}
}

func (l *lowering) sortCommand(c Sort) {
	var keys []query.SortKey
	for i, k := range c.Keys {
		v := l.value(k.X)
		keys = append(keys, query.SortKey{By: v.expr(), Desc: k.Desc, Loose: v.kind != instant})
		if p, ok := k.X.(Path); ok && i == 0 && p.Name == "@timestamp" && l.stats == 0 {
			keys = append(keys, query.SortKey{By: query.Field{Name: event.FieldSeq}, Desc: k.Desc})
		}
	}
	if l.stats == 0 {
		keys = append(keys, query.SortKey{By: query.Field{Name: event.FieldTime}, Desc: true}, query.SortKey{By: query.Field{Name: event.FieldSeq}, Desc: true})
	}
	l.order, l.ordered, l.late = keys, false, "sort"
}

func (l *lowering) dedup(c Dedup) {
	if l.stats > 0 {
		l.fail(c.Span, "not supported by this server: dedup after stats")
	}
	l.sort()
	var by, missing []query.Expr
	for _, p := range c.Paths {
		v := l.path(p)
		by = append(by, groupable(v))
		missing = append(missing, query.Not{X: query.Has{X: v.expr()}})
	}
	// Rows that lack a field are all kept: their sequence number sets them apart.
	by = append(by, call("if", query.Or{X: missing}, query.Field{Name: event.FieldSeq}))
	l.stages = append(l.stages, query.Distinct{By: by})
	l.late, l.deduped = "dedup", true
}

// groupable returns a value for grouping: equal numbers are one, whatever their type.
func groupable(v value) query.Expr {
	if v.kind != plain {
		return v.expr()
	}
	return call("text", v.e)
}

func (l *lowering) statsCommand(c Stats) {
	if l.late != "" {
		l.fail(c.Span, "stats can not follow %s", l.late)
	}
	if l.stats == maxStats {
		l.fail(c.Span, "a query can have at most %d stats commands", maxStats)
	}
	var a query.Aggregate
	var columns []shown
	names := map[string]bool{}
	column := func(i Item, v value) {
		name := i.As
		if name == "" {
			name = l.text(i.Span)
			if p, ok := i.X.(Path); ok {
				name = p.Name
			}
		}
		if names[name] {
			l.fail(i.Span, "stats has two columns of the name %q", name)
		}
		names[name] = true
		columns = append(columns, shown{name, v})
	}
	field := func() string {
		l.made++
		return "s" + strconv.Itoa(l.made)
	}
	var order []query.SortKey
	for _, i := range c.By {
		v := l.value(i.X)
		name := field()
		a.By = append(a.By, query.Named{Name: name, Value: groupable(v)})
		made := value{e: query.Field{Name: name}}
		if v.kind == instant {
			made.kind = instant
			order = append(order, query.SortKey{By: made.e, Desc: true})
		}
		column(i, made)
	}
	for _, i := range c.Aggs {
		column(i, l.aggregate(i.X, func(agg query.Agg) query.Expr {
			agg.Name = field()
			a.Aggs = append(a.Aggs, agg)
			return query.Field{Name: agg.Name}
		}))
	}
	// AWS promises no order; this one puts the newest first and is the same each time.
	for _, s := range columns[:len(c.By)] {
		if s.v.kind != instant {
			order = append(order, query.SortKey{By: s.v.e, Loose: true})
		}
	}
	l.stages = append(l.stages, a)
	l.stats++
	l.scope = map[string]value{}
	for _, s := range columns {
		l.scope[s.name] = s.v
	}
	l.shown, l.displayed, l.listed = columns, false, false
	l.order, l.ordered = order, false
}

// aggregate evaluates an expression over aggregates; add makes one of them a column of the
// stage.
func (l *lowering) aggregate(x Expr, add func(query.Agg) query.Expr) value {
	switch x := x.(type) {
	case Literal:
		return l.value(x)
	case Unary:
		if x.Op == "-" {
			return value{e: call("neg", l.aggregate(x.X, add).expr())}
		}
	case Binary:
		if fn, ok := arithmetic[x.Op]; ok {
			return value{e: call(fn, l.aggregate(x.L, add).expr(), l.aggregate(x.R, add).expr())}
		}
	case Call:
		if f, ok := aggregates[x.Name]; ok {
			agg, k := f(l, x)
			return value{add(agg), k}
		}
		if refusedFunctions[x.Name] {
			l.fail(x.Span, "not supported by this server: %s", x.Name)
		}
		if _, ok := scalars[x.Name]; ok {
			// A function of aggregates, such as round(avg(x), 2).
			var args []value
			for _, a := range x.Args {
				args = append(args, l.aggregate(a, add))
			}
			return l.apply(x, args)
		}
		l.fail(x.Span, "unknown function %s", x.Name)
	}
	l.fail(x.span(), "stats takes aggregates such as count(*), avg(f) or pct(f, 95)")
	panic("unreachable")
}

func (l *lowering) parseCommand(c ParseCmd) {
	source := l.path(Path{Name: "@message", Span: c.Span})
	if c.X != nil {
		source = l.value(c.X)
	}
	text := source.expr()
	names, groups := c.As, []int(nil)
	var re *regexp.Regexp
	if c.Glob != nil {
		re = regexp.MustCompile(globPattern(c.Glob.Value))
		for i := range names {
			groups = append(groups, i+1)
		}
	} else {
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
			names, groups = named, namedAt
		case len(names) == len(named)+len(unnamed):
			for i := range names {
				groups = append(groups, i+1)
			}
		case len(named) == 0 || len(names) != len(unnamed):
			l.fail(c.Regex.Span, "the regular expression has %d groups but %d names follow", re.NumSubexp(), len(names))
		default:
			names, groups = append(named, names...), append(namedAt, unnamed...)
		}
	}
	for i, n := range names {
		v := value{e: query.Capture{X: text, Re: re, Group: groups[i]}}
		l.limited(v.e, c.Span)
		l.scope[n] = v
	}
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

// path returns the value of a field.
func (l *lowering) path(p Path) value {
	if v, ok := l.scope[p.Name]; ok {
		return v
	}
	if l.stats > 0 {
		l.fail(p.Span, "Unknown symbols found in or after stats: %s", p.Name)
	}
	switch p.Name {
	case "@timestamp":
		return value{call("millis", query.Field{Name: event.FieldTime}), instant}
	case "@ingestionTime":
		return value{call("millis", query.Field{Name: event.FieldIngested}), instant}
	case "@logStream":
		return value{e: query.Field{Name: event.FieldStream}}
	case "@log":
		var args []query.Expr
		for _, g := range l.env.Groups {
			args = append(args, query.Compare{Op: query.Eq, L: query.Field{Name: event.FieldDataset}, R: query.Num(int64(g.Dataset))}, query.Str(g.Label))
		}
		if args == nil {
			return value{e: query.Const{}}
		}
		return value{e: call("if", args...)}
	case "@ptr":
		l.fail(p.Span, "not supported by this server: @ptr in an expression")
	}
	if strings.HasPrefix(p.Name, "$") {
		return value{e: query.Const{}} // no message has such a field; the names are the model's own
	}
	return value{e: query.Field{Name: p.Name}}
}
