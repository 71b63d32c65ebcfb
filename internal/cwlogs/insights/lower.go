package insights

import (
	"fmt"
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
	// MaxSide is the largest number of rows of a query within a query.
	MaxSide = 50_000
)

// Env is what a query runs on.
type Env struct {
	Groups []Group
	// From and To are the first and the last millisecond of the query's time range, Now its start.
	From, To, Now time.Time
	// Limit bounds the rows further than the query does; 0 does not.
	Limit int
	// Source finds the groups that a query names itself; nil when it can not.
	Source func(*Source) ([]Group, error)
	// Table finds a lookup table by its name; nil when there is none.
	Table func(name string) (*query.Table, error)
	// Side runs a query within the query. Without it the query is compiled as if that gave no row.
	Side func(*Plan) (*query.Result, error)
}

// Group is a log group: the dataset of its events, how @log names it, and its data source, if any.
type Group struct {
	Dataset                event.DatasetID
	Label                  string
	SourceName, SourceType string
}

// Plan is a query ready to run over Groups, from From to To, which is the last millisecond.
type Plan struct {
	Groups   []Group
	From, To time.Time
	Stages   []query.Stage
	// Columns are the columns that are shown, in the order of the result's.
	Columns []Column
	// Events reports whether the rows are events: then four columns follow the shown ones,
	// $dataset, $stream, $time and $seq, by which an event is found again.
	Events bool
	// Unmasked reports whether sensitive data is shown as it is.
	Unmasked bool
	// Counted asks that all matching events are counted, whether they are shown or not.
	Counted bool
}

// Column is a shown column.
type Column struct {
	Name string
	// Time marks values that are milliseconds since the epoch.
	Time bool
	// Stored marks values of events that are shown as they are; others are computed.
	Stored bool
}

// kind is what is known of a value ahead of the run.
type kind uint8

const (
	plain     kind = iota
	instant        // milliseconds since the epoch
	test           // a condition, which shows as 1 or 0
	document       // any JSON value
	structure      // a map or a list
)

// value is an expression with its kind.
type value struct {
	e    query.Expr
	kind kind
	bin  *bin // of the time of a bin
	// stored is set for what an event has, as it is.
	stored bool
}

// bin is a period that begins at multiples of Step milliseconds and Offset, or of Months.
type bin struct {
	Step, Offset int64
	Months       int
}

// expr returns the expression as an ordinary value: conditions become 1 or 0, and of documents
// only texts, numbers and booleans are there.
func (v value) expr() query.Expr {
	switch v.kind {
	case test:
		return call("if", v.e, query.Num(1), query.Num(0))
	case document, structure:
		return call("json_scalar", v.e)
	}
	return v.e
}

// column returns the expression as it is shown.
func (v value) column() query.Expr {
	if v.kind == document || v.kind == structure {
		return call("json_show", v.e)
	}
	return v.expr()
}

type shown struct {
	name string
	v    value
}

// lowering carries the state from one command to the next.
type lowering struct {
	q      *Query
	env    Env
	nested bool
	stages []query.Stage
	// scope holds the names that commands made; behind a table there are no others.
	scope map[string]value
	// columns are those of the stats command that is lowered, as far as they are known.
	columns map[string]value
	// left is the name of the rows ahead of a join, which may stand before their fields.
	left  string
	stats int
	// table says that rows are no events any more.
	table bool
	shown []shown
	// displayed is set once display fixed the columns, listed once a command chose some.
	displayed, listed bool
	// unmasked is set while the columns are those of unmask.
	unmasked bool
	// order is the wanted order of the rows; ordered says that they have it already. natural is that
	// of rows that compare equal in it.
	order, natural []query.SortKey
	ordered        bool
	// late holds the name of a command that stats must not follow.
	late    string
	deduped bool
	limit   int // of the last limit command
	any     bool
	made    int // fields that were made, for their names

	pattern *patternState
	bins    *binState
	ended   string // a command that nothing may follow
}

// newest is the order of events.
var newest = []query.SortKey{{By: query.Field{Name: event.FieldTime}, Desc: true}, {By: query.Field{Name: event.FieldSeq}, Desc: true}}

// outside is an error that is not of the query's text.
type outside struct{ error }

// Lower compiles a query. The error is a *syntax.Error, or one of Env's functions.
func Lower(q *Query, env Env) (plan *Plan, err error) {
	defer func() {
		switch e := recover().(type) {
		case nil:
		case *syntax.Error:
			plan, err = nil, e
		case outside:
			plan, err = nil, e.error
		default:
			panic(e)
		}
	}()
	return lower(q, env, false), nil
}

func lower(q *Query, env Env, nested bool) *Plan {
	l := &lowering{q: q, env: env, nested: nested, scope: map[string]value{}, order: newest, natural: newest}
	if q.Source != nil {
		l.source(q.Source)
	}
	for _, c := range q.Commands {
		l.command(c)
	}
	return l.finish()
}

func (l *lowering) fail(span syntax.Span, format string, args ...any) {
	panic(&syntax.Error{Src: l.q.Text, Span: span, Msg: fmt.Sprintf(format, args...)})
}

// source reads the groups and the time range that the query names.
func (l *lowering) source(s *Source) {
	if l.env.Source == nil {
		l.fail(s.Span, "log groups are not named here by SOURCE")
	}
	groups, err := l.env.Source(s)
	if err != nil {
		panic(outside{err})
	}
	l.env.Groups = groups
	at := func(m *Moment) time.Time {
		switch {
		case m.Now:
			return l.env.Now
		case m.Ago != nil:
			return back(l.env.Now, *m.Ago)
		}
		return time.UnixMilli(m.Millis)
	}
	if s.Start != nil {
		l.env.From = at(s.Start)
	}
	if s.End != nil {
		l.env.To = at(s.End)
	}
	if l.env.To.Before(l.env.From) {
		l.fail(s.Span, "the end of the time range is ahead of its start")
	}
}

// back returns the time a period ahead of t; units of months are those of the calendar.
func back(t time.Time, d Duration) time.Time {
	n := int(min(d.N, 1_000_000))
	switch d.Unit {
	case "ms":
		return t.Add(-time.Duration(n) * time.Millisecond)
	case "s":
		return t.Add(-time.Duration(n) * time.Second)
	case "m":
		return t.Add(-time.Duration(n) * time.Minute)
	case "h":
		return t.Add(-time.Duration(n) * time.Hour)
	case "d":
		return t.Add(-time.Duration(min(n, 36600)) * 24 * time.Hour)
	case "w":
		return t.Add(-time.Duration(min(n, 5000)) * 7 * 24 * time.Hour)
	}
	months := map[string]int{"mo": 1, "q": 3, "y": 12}[d.Unit]
	return t.AddDate(0, -min(n, 1200)*months, 0)
}

func (l *lowering) finish() *Plan {
	if !l.listed && !l.table {
		columns := []shown{{"@timestamp", l.path(Path{Name: "@timestamp"})}, {"@message", l.path(Path{Name: "@message"})}}
		for _, s := range l.shown { // what commands such as join add by themselves
			if s.name != "@timestamp" && s.name != "@message" {
				columns = append(columns, s)
			}
		}
		l.shown = columns
	}
	l.sort()
	limit := defaultLimit
	if l.nested {
		limit = MaxSide + 1 // one more says that there are too many
	}
	if l.limit > 0 {
		limit = l.limit
	}
	if l.env.Limit > 0 {
		limit = min(limit, l.env.Limit)
	}
	plan := &Plan{Groups: l.env.Groups, From: l.env.From, To: l.env.To, Events: !l.table && !l.nested, Counted: !l.any && !l.nested, Unmasked: l.unmasked}
	var fields []query.Named
	add := func(e query.Expr) {
		fields = append(fields, query.Named{Name: "c" + strconv.Itoa(len(fields)), Value: e})
	}
	for _, s := range l.shown {
		plan.Columns = append(plan.Columns, Column{s.name, s.v.kind == instant, s.v.stored})
		e := s.v.column()
		l.limited(e, syntax.Span{End: len(l.q.Text)})
		add(e)
	}
	if plan.Events {
		for _, name := range []string{event.FieldDataset, event.FieldStream, event.FieldTime, event.FieldSeq} {
			add(query.Field{Name: name})
		}
	}
	plan.Stages = append(l.stages, query.Limit{N: limit}, query.Project{Fields: fields})
	if err := (&query.Query{Stages: plan.Stages}).Check(); err != nil {
		l.fail(syntax.Span{End: len(l.q.Text)}, "the query is too complex: %v", err)
	}
	return plan
}

func (l *lowering) add(s ...query.Stage) { l.stages = append(l.stages, s...) }

// field returns a name for a new field.
func (l *lowering) field() string {
	l.made++
	return "s" + strconv.Itoa(l.made)
}

// held makes a field of a value and returns its name.
func (l *lowering) held(v value) string {
	e := v.e
	if v.kind == test {
		e = v.expr()
	}
	if f, ok := e.(query.Field); ok && !strings.HasPrefix(f.Name, "$") {
		return f.Name
	}
	name := l.field()
	l.add(query.Extend{Name: name, Value: e})
	return name
}

// sort brings the rows into the wanted order, unless they have it.
func (l *lowering) sort() {
	if !l.ordered && len(l.order) > 0 {
		l.add(query.Sort{Keys: l.order})
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

// set gives a name to a value; where a column of the name is shown it is this one from now on.
func (l *lowering) set(name string, v value) {
	l.scope[name] = v
	if slices.ContainsFunc(l.shown, func(s shown) bool { return s.name == name }) {
		l.show(name, v)
	}
}

// tabulate makes of the rows a table with these columns; nothing else of them is left.
func (l *lowering) tabulate(columns []shown, order []query.SortKey) {
	l.table = true
	l.scope, l.left = map[string]value{}, ""
	for _, s := range columns {
		l.scope[s.name] = s.v
	}
	l.shown, l.displayed, l.listed = columns, false, false
	l.order, l.natural, l.ordered = order, order, false
}

func (l *lowering) command(c Command) {
	if l.ended != "" {
		l.fail(syntax.Span{End: len(l.q.Text)}, "nothing may follow %s", l.ended)
	}
	if _, ok := c.(Limit); l.deduped && !ok {
		l.fail(syntax.Span{End: len(l.q.Text)}, "only limit may follow dedup")
	}
	pattern := l.pattern
	l.pattern = nil
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
		l.shown, l.displayed, l.listed, l.unmasked = nil, true, true, c.Unmask
		for _, i := range c.Items {
			if name, v := l.item(i); name != "@ptr" {
				l.show(name, v)
			}
		}
	case Filter:
		l.add(query.Filter{Where: l.condition(c.Where)})
	case Search:
		x := l.path(Path{Name: "@message", Span: syntax.Span{End: len(l.q.Text)}}).expr()
		l.add(query.Filter{Where: like(x, c.Text, c.Regex)})
	case Stats:
		l.statsCommand(c)
	case Sort:
		l.sortCommand(c)
	case Limit:
		l.limitCommand(c)
	case ParseCmd:
		l.parseCommand(c)
	case JSONField:
		doc := call("json_parse", l.path(c.X).expr())
		l.set(c.As, value{e: call("json_get", doc, query.Str(steps(c.Path.Value))), kind: document})
	case Dedup:
		l.dedup(c)
	case Pattern:
		l.patternCommand(c)
	case Diff:
		l.diffCommand(c, pattern)
	case Anomaly:
		l.anomalyCommand(c, pattern)
	case Unnest:
		l.unnest(c)
	case Lookup:
		l.lookup(c)
	case Join:
		l.join(c)
	case Relevant:
		l.relevant(c)
	case AddTotals:
		l.addTotals(c)
	case Autoregress:
		l.autoregress(c)
	case FillDown:
		l.fillDown(c)
	case FillMissing:
		l.fillMissing(c)
	case Outlier:
		l.outlier(c)
	case Accum:
		l.accum(c)
	case AppendCols:
		l.appendCols(c)
	case Sessionize:
		l.sessionize(c)
	case CountFrequent:
		l.countFrequent(c)
	case Estimate:
		l.estimate()
	default:
		panic(fmt.Sprintf("insights: no such command %T", c))
	}
}

// item evaluates an item and gives its value a name.
func (l *lowering) item(i Item) (string, value) {
	name := i.As
	if p, ok := i.X.(Path); ok && name == "" {
		if p.Name == "@ptr" && !l.table {
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
	return strings.Join(strings.Fields(l.q.Text[span.Start:span.End]), " ")
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
		l.scalar(v, k.X.span(), "sort")
		if e, ok := timeOf(v); ok { // the store knows the order of time
			keys[len(keys)-1] = query.SortKey{By: e, Desc: k.Desc}
		}
		if p, ok := k.X.(Path); ok && i == 0 && p.Name == "@timestamp" && !l.table {
			keys = append(keys, query.SortKey{By: query.Field{Name: event.FieldSeq}, Desc: k.Desc})
		}
	}
	keys = append(keys, l.natural...)
	l.order, l.ordered, l.late = keys, false, "sort"
}

// timeOf returns the nanoseconds that a value is the milliseconds of.
func timeOf(v value) (query.Expr, bool) {
	c, ok := v.e.(query.Call)
	if !ok || c.Fn != "millis" {
		return nil, false
	}
	return c.Args[0], true
}

// scalar refuses maps and lists.
func (l *lowering) scalar(v value, span syntax.Span, where string) {
	if v.kind == structure {
		l.fail(span, "%s does not take maps and lists", where)
	}
}

func (l *lowering) limitCommand(c Limit) {
	l.late, l.limit = "limit", c.N
	if c.Any && !l.ordered && !l.table && len(l.order) == len(newest) {
		// Which ones does not matter: as soon as there are enough the rest is not looked at.
		l.add(query.Limit{N: c.N})
		l.any = true
		return
	}
	if !c.Tail {
		l.sort()
		l.add(query.Limit{N: c.N})
		return
	}
	if !l.ordered && !l.table && len(l.order) == len(newest) {
		// The last of the newest first are the first of the oldest first.
		oldest := slices.Clone(newest)
		for i := range oldest {
			oldest[i].Desc = false
		}
		l.add(query.Sort{Keys: oldest}, query.Limit{N: c.N})
		return
	}
	l.sort()
	l.add(query.Tail{N: c.N})
}

// path returns the value of a field.
func (l *lowering) path(p Path) value {
	if v, ok := l.scope[p.Name]; ok {
		return v
	}
	// A field of a map, or one with the name of the rows ahead.
	for at := strings.LastIndexByte(p.Name, '.'); at > 0; at = strings.LastIndexByte(p.Name[:at], '.') {
		if v, ok := l.scope[p.Name[:at]]; ok && (v.kind == document || v.kind == structure) {
			return value{e: call("json_get", v.e, query.Str(p.Name[at+1:])), kind: document}
		}
	}
	if rest, ok := strings.CutPrefix(p.Name, l.left+"."); ok && l.left != "" {
		return l.path(Path{rest, p.Span})
	}
	switch {
	case l.stats > 0:
		l.fail(p.Span, "Unknown symbols found in or after stats: %s", p.Name)
	case l.table:
		l.fail(p.Span, "there is no field %s at this place", p.Name)
	}
	switch p.Name {
	case "@timestamp":
		return value{e: call("millis", query.Field{Name: event.FieldTime}), kind: instant}
	case "@ingestionTime":
		return value{e: call("millis", query.Field{Name: event.FieldIngested}), kind: instant}
	case "@logStream":
		return value{e: query.Field{Name: event.FieldStream}}
	case "@log":
		return l.ofGroup(func(g Group) string { return g.Label })
	case "@data_source_name":
		return l.ofGroup(func(g Group) string { return g.SourceName })
	case "@data_source_type":
		return l.ofGroup(func(g Group) string { return g.SourceType })
	case "@ptr":
		l.fail(p.Span, "@ptr stands in fields and display only")
	}
	if strings.HasPrefix(p.Name, "$") {
		return value{e: query.Const{}} // no message has such a field; the names are the model's own
	}
	return value{e: query.Field{Name: p.Name}, stored: true}
}

// ofGroup is a field that events have from their log group; it is missing where that is empty.
func (l *lowering) ofGroup(field func(Group) string) value {
	var args []query.Expr
	for _, g := range l.env.Groups {
		if text := field(g); text != "" {
			args = append(args, query.Compare{Op: query.Eq, L: query.Field{Name: event.FieldDataset}, R: query.Num(int64(g.Dataset))}, query.Str(text))
		}
	}
	if args == nil {
		return value{e: query.Const{}}
	}
	return value{e: call("if", args...)}
}

// steps turns a path such as $.a[0].b into one of names and indexes joined by dots.
func steps(path string) string {
	path = strings.TrimPrefix(strings.TrimPrefix(path, "$"), ".")
	path = strings.NewReplacer("['", ".", "']", "", `["`, ".", `"]`, "", "[", ".", "]", "").Replace(path)
	return strings.TrimPrefix(path, ".")
}
