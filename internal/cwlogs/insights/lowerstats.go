package insights

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/syntax"
)

// This file lowers the commands that make a table of the rows.

// binState is what fillmissing needs of the stats command ahead.
type binState struct {
	bin   bin
	field string
	nanos bool // the field is in nanoseconds
	by    []string
}

// groupable returns a value for grouping: equal numbers are one, whatever their type.
func groupable(v value) query.Expr {
	if v.kind == instant || v.kind == test {
		return v.expr()
	}
	return call("text", v.expr())
}

func (l *lowering) statsCommand(c Stats) {
	if l.late != "" {
		l.fail(c.Span, "stats can not follow %s", l.late)
	}
	if l.stats == maxStats {
		l.fail(c.Span, "a query can have at most %d stats commands", maxStats)
	}
	if l.topK(c) {
		return
	}
	var a query.Aggregate
	var columns []shown
	column := func(i Item, v value) {
		name := i.As
		if name == "" {
			name = l.text(i.Span)
			if p, ok := i.X.(Path); ok {
				name = p.Name
			}
		}
		if slices.ContainsFunc(columns, func(s shown) bool { return s.name == name }) {
			l.fail(i.Span, "stats has two columns of the name %q", name)
		}
		columns = append(columns, shown{name, v})
		if l.columns != nil {
			l.columns[name] = v
		}
	}
	l.columns = nil
	var order []query.SortKey
	var bins *binState
	var by []string
	for _, i := range c.By {
		v := l.value(i.X)
		l.scalar(v, i.Span, "stats")
		name := l.field()
		f := query.Field{Name: name}
		made := value{e: f, kind: plain, stored: v.stored}
		if v.kind == instant {
			made.kind = instant
			key := query.SortKey{By: f, Desc: true}
			e, nanos := timeOf(v)
			if nanos { // the store counts by time without a look at each row
				made.e = call("millis", f)
				a.By = append(a.By, query.Named{Name: name, Value: e})
			} else {
				a.By = append(a.By, query.Named{Name: name, Value: v.e})
			}
			if v.bin != nil && bins == nil {
				bins = &binState{bin: *v.bin, field: name, nanos: nanos}
			}
			if v.bin != nil && c.Offset != nil {
				made.e = l.shifted(made.e, *c.Offset)
			}
			order = append(order, key)
		} else {
			a.By = append(a.By, query.Named{Name: name, Value: groupable(v)})
		}
		if bins == nil || bins.field != name {
			by = append(by, name)
		}
		column(i, made)
	}
	if c.Offset != nil && bins == nil {
		l.fail(c.Offset.Span, "offset moves bins, and stats has none")
	}
	l.columns = map[string]value{}
	for _, s := range columns {
		l.columns[s.name] = s.v
	}
	for _, i := range c.Aggs {
		column(i, l.aggregate(i.X, func(agg query.Agg) query.Expr {
			agg.Name = l.field()
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
	l.add(a)
	l.stats++
	l.tabulate(columns, order)
	if l.bins = bins; bins != nil {
		bins.by = by
	}
}

// shifted moves times back by a period.
func (l *lowering) shifted(e query.Expr, d Duration) query.Expr {
	if d.Unit == "mo" || d.Unit == "q" || d.Unit == "y" {
		l.fail(d.Span, "an offset is not of months, quarters or years")
	}
	ms := l.env.Now.Sub(back(l.env.Now, d)).Milliseconds()
	return call("sub", e, query.Num(ms))
}

// topK is stats topk(k, f), which stands alone and makes a row of each of the most frequent values.
func (l *lowering) topK(c Stats) bool {
	top, ok := c.Aggs[0].X.(Call)
	if !ok || top.Name != "topk" || top.Path != "" {
		return false
	}
	if len(c.Aggs) > 1 || len(c.By) > 0 || c.Offset != nil {
		l.fail(top.Span, "topk stands alone in stats, without by")
	}
	if len(top.Args) != 2 || top.Star {
		l.fail(top.Span, "topk takes a number and a field, as in topk(10, status)")
	}
	k, ok := top.Args[0].(Literal)
	if n := k.Value.Int(); !ok || n < 1 || n > 10_000 {
		l.fail(top.Args[0].span(), "the number of values is a whole number from 1 to 10000")
	}
	v := l.value(top.Args[1])
	l.scalar(v, top.Span, "topk")
	name := "count(*)"
	if c.Aggs[0].As != "" {
		name = c.Aggs[0].As
	}
	column := l.text(top.Args[1].span())
	if p, ok := top.Args[1].(Path); ok {
		column = p.Name
	}
	if column == name {
		l.fail(top.Span, "stats has two columns of the name %q", name)
	}
	l.stats++
	l.frequent([]shown{{column, v}}, name, int(k.Value.Int()))
	return true
}

// frequent counts the combinations of values that rows have all of, the most frequent first.
func (l *lowering) frequent(keys []shown, count string, limit int) {
	a := query.Aggregate{}
	var columns []shown
	var where []query.Expr
	n := l.field()
	order := []query.SortKey{{By: query.Field{Name: n}, Desc: true}}
	for _, k := range keys {
		f := l.field()
		where = append(where, query.Has{X: k.v.expr()})
		a.By = append(a.By, query.Named{Name: f, Value: groupable(k.v)})
		columns = append(columns, shown{k.name, value{e: query.Field{Name: f}, kind: timely(k.v), stored: k.v.stored}})
		order = append(order, query.SortKey{By: query.Field{Name: f}, Loose: true})
	}
	a.Aggs = []query.Agg{{Name: n, Op: query.Count}}
	l.add(query.Filter{Where: query.All(where...)}, a)
	l.tabulate(append(columns, shown{count, value{e: query.Field{Name: n}}}), order)
	if limit > 0 {
		l.sort()
		l.add(query.Limit{N: limit})
	}
}

// timely is instant for a time and plain for anything else.
func timely(v value) kind {
	if v.kind == instant {
		return instant
	}
	return plain
}

func (l *lowering) countFrequent(c CountFrequent) {
	var keys []shown
	for _, p := range c.Paths {
		v := l.path(p)
		l.scalar(v, p.Span, "countFrequent")
		if p.Name == "_approxcount" || slices.ContainsFunc(keys, func(s shown) bool { return s.name == p.Name }) {
			l.fail(p.Span, "countFrequent has two columns of the name %q", p.Name)
		}
		keys = append(keys, shown{p.Name, v})
	}
	l.frequent(keys, "_approxcount", 0)
}

// aggregate evaluates an expression over aggregates; add makes one of them a column of the
// stage.
func (l *lowering) aggregate(x Expr, add func(query.Agg) query.Expr) value {
	switch x := x.(type) {
	case Literal:
		return l.value(x)
	case Path: // of a column of the same stats, further to the left
		if v, ok := l.columns[x.Name]; ok {
			return v
		}
	case Unary:
		if x.Op == "-" {
			return value{e: call("neg", l.aggregate(x.X, add).expr())}
		}
	case Binary:
		if fn, ok := arithmetic[x.Op]; ok {
			return value{e: call(fn, l.aggregate(x.L, add).expr(), l.aggregate(x.R, add).expr())}
		}
	case Call:
		if x.Name == "rate" {
			return l.rate(x, add)
		}
		if f, ok := aggregates[x.Name]; ok {
			agg, k := f(l, x)
			return l.within(x, value{e: add(agg), kind: k, stored: l.picks(x)})
		}
		if _, ok := scalars[x.Name]; ok {
			// A function of aggregates, such as round(avg(x), 2).
			var args []value
			for _, a := range x.Args {
				args = append(args, l.aggregate(a, add))
			}
			return l.within(x, l.apply(x, args))
		}
		l.fail(x.Span, "unknown function %s", x.Name)
	}
	l.fail(x.span(), "stats takes aggregates such as count(*), avg(f) or pct(f, 95)")
	panic("unreachable")
}

// picks reports whether an aggregate is a value that one of the events has.
func (l *lowering) picks(c Call) bool {
	if len(c.Args) != 1 || !slices.Contains([]string{"min", "max", "earliest", "latest", "sortsfirst", "sortslast"}, c.Name) {
		return false
	}
	p, ok := c.Args[0].(Path)
	return ok && l.path(p).stored
}

// rate is rate(f, period): how much f changes, from its first to its last value, in each period.
func (l *lowering) rate(c Call, add func(query.Agg) query.Expr) value {
	if len(c.Args) != 2 || c.Star {
		l.fail(c.Span, "rate takes a field and a period, as in rate(requests, 1m)")
	}
	d, ok := c.Args[1].(Duration)
	if !ok {
		l.fail(c.Args[1].span(), "a period such as 5m is missing")
	}
	if l.table {
		l.fail(c.Span, "rate needs events and can not follow stats")
	}
	step := l.period(d).Step
	if step == 0 {
		l.fail(d.Span, "the period of rate is not of months, quarters or years")
	}
	x := call("to_number", l.value(c.Args[0]).expr())
	at := call("if", query.Has{X: x}, query.Field{Name: event.FieldTime})
	change := call("sub", add(query.Agg{Op: query.Latest, Arg: x}), add(query.Agg{Op: query.Earliest, Arg: x}))
	elapsed := call("sub", add(query.Agg{Op: query.Max, Arg: at}), add(query.Agg{Op: query.Min, Arg: at}))
	return value{e: call("div", change, call("div", elapsed, query.Num(step*1e6)))}
}

func (l *lowering) dedup(c Dedup) {
	var by []query.Expr
	for _, p := range c.Paths {
		v := l.path(p)
		l.scalar(v, p.Span, "dedup")
		by = append(by, groupable(v))
	}
	d := query.Distinct{By: by, KeepMissing: true}
	if !l.ordered {
		d.Keys = l.order // so that only the rows that stay need be put in order
	}
	l.add(d)
	l.late, l.deduped = "dedup", true
}

// patternState is what diff and anomaly go back to when they follow pattern.
type patternState struct {
	before lowering
	c      Pattern
}

// The fields that the rows of patterns have.
const (
	patternField  = "@pattern"
	severityField = "@severityLabel"
)

func plainField(name string) value { return value{e: query.Field{Name: name}} }

// templates groups rows by the template and the severity of a value and joins those that are
// alike.
func (l *lowering) templates(v value, by []query.Named, aggs []query.Agg, share string) {
	text := call("text", v.expr())
	s := query.Patterns{Template: "template", Kind: severityField, Name: patternField, Share: share}
	a := query.Aggregate{By: append([]query.Named{{Name: s.Template, Value: call("template", text)}, {Name: s.Kind, Value: call("severity", text)}}, by...), Aggs: aggs, Max: query.MaxTemplates}
	if len(by) > 0 { // each may be there at several times
		a.Max *= 4
	}
	for _, b := range by {
		s.By = append(s.By, b.Name)
	}
	for _, x := range aggs {
		s.Sums = append(s.Sums, x.Name)
	}
	l.add(query.Filter{Where: query.Has{X: text}}, a, s)
}

func (l *lowering) patternCommand(c Pattern) {
	if l.late != "" && l.late != "sort" {
		l.fail(c.Span, "pattern can not follow %s", l.late)
	}
	before := *l
	before.stages = slices.Clone(l.stages)
	v := l.value(c.X)
	l.scalar(v, c.Span, "pattern")
	l.templates(v, nil, []query.Agg{{Name: "@sampleCount", Op: query.Count}}, "@ratio")
	l.tabulate([]shown{
		{patternField, plainField(patternField)}, {"@ratio", plainField("@ratio")}, {"@sampleCount", plainField("@sampleCount")},
		{severityField, plainField(severityField)},
	}, []query.SortKey{{By: query.Field{Name: "@sampleCount"}, Desc: true}, {By: query.Field{Name: patternField}}})
	l.pattern = &patternState{before, c}
}

// again goes back to ahead of a pattern command and returns what it is of; without one it is the
// message.
func (l *lowering) again(p *patternState, span syntax.Span, name string) value {
	if p != nil {
		*l = p.before
		return l.value(p.c.X)
	}
	if l.table || l.late != "" {
		l.fail(span, "%s follows pattern, or commands that leave events as they are", name)
	}
	return l.path(Path{"@message", span})
}

// between holds for the events of a time range, whose last millisecond is to.
func between(from, to time.Time) query.Expr {
	at := query.Field{Name: event.FieldTime}
	return query.And{X: []query.Expr{
		query.Compare{Op: query.Ge, L: at, R: query.Num(from.UnixNano())},
		query.Compare{Op: query.Lt, L: at, R: query.Num(to.Add(time.Millisecond).UnixNano())},
	}}
}

func (l *lowering) diffCommand(c Diff, p *patternState) {
	v := l.again(p, c.Span, "diff")
	from, to := l.env.From, l.env.To
	var baseFrom time.Time
	switch {
	case c.Shift != nil:
		baseFrom = back(from, *c.Shift)
	case c.Against == "day":
		baseFrom = from.AddDate(0, 0, -1)
	case c.Against == "week":
		baseFrom = from.AddDate(0, 0, -7)
	case c.Against == "month":
		baseFrom = from.AddDate(0, -1, 0)
	default:
		baseFrom = from.Add(-to.Sub(from) - time.Millisecond)
	}
	baseTo := baseFrom.Add(to.Sub(from))
	now, then := between(from, to), between(baseFrom, baseTo)
	l.stages = append([]query.Stage{query.Filter{Where: query.Or{X: []query.Expr{now, then}}}}, l.stages...)
	if baseFrom.Before(l.env.From) {
		l.env.From = baseFrom
	}
	const current, baseline = "@sampleCount", "@baselineCount"
	l.templates(v, nil, []query.Agg{
		{Name: current, Op: query.Count, Arg: call("if", now, query.Num(1))}, {Name: baseline, Op: query.Count, Arg: call("if", then, query.Num(1))},
	}, "")
	n, b := query.Field{Name: current}, query.Field{Name: baseline}
	change := call("sub", n, b)
	equal := func(x query.Expr, i int64) query.Expr { return query.Compare{Op: query.Eq, L: x, R: query.Num(i)} }
	percent := call("concat", call("round", call("mul", call("div", call("abs", change), b), query.Num(100))), query.Str("%"))
	description := call("if", equal(b, 0), query.Str("new"), equal(n, 0), query.Str("gone"), equal(change, 0), query.Str("no change"),
		query.Compare{Op: query.Gt, L: change, R: query.Num(0)}, call("concat", query.Str("up "), percent), call("concat", query.Str("down "), percent))
	l.tabulate([]shown{
		{patternField, plainField(patternField)}, {current, plainField(current)}, {baseline, plainField(baseline)}, {"@diff", value{e: change}},
		{"@description", value{e: description}}, {severityField, plainField(severityField)},
	}, []query.SortKey{{By: call("abs", change), Desc: true}, {By: n, Desc: true}, {By: query.Field{Name: patternField}}})
}

// minScore is from which on a number of events is an anomaly, and anomalyBins in how many parts the
// time range is looked at.
const (
	minScore    = 4
	anomalyBins = 30
)

func (l *lowering) anomalyCommand(c Anomaly, p *patternState) {
	v := l.again(p, c.Span, "anomaly")
	from, span := l.env.From.UnixNano(), l.env.To.Sub(l.env.From)+time.Millisecond
	step := max(span/anomalyBins, time.Second).Round(time.Second).Nanoseconds()
	offset := from - query.FloorTo(from, step)
	var times []event.Value
	for t := from; t <= l.env.To.UnixNano() && len(times) < 2*anomalyBins; t += step {
		times = append(times, event.Int(t))
	}
	const at, count = "time", "@count"
	l.templates(v, []query.Named{{Name: at, Value: query.Bucket{X: query.Field{Name: event.FieldTime}, Step: step, Offset: offset}}}, []query.Agg{{Name: count, Op: query.Count}}, "")
	l.add(query.Anomalies{Series: []string{patternField, severityField}, Time: at, Value: count, Times: times, Expected: "@expectedCount", Score: "@anomalyScore", MinScore: minScore})
	n, e := query.Field{Name: count}, query.Field{Name: "@expectedCount"}
	description := call("concat", call("if", query.Compare{Op: query.Gt, L: n, R: e}, query.Str("more"), query.Str("fewer")), query.Str(" than usual"))
	l.tabulate([]shown{
		{patternField, plainField(patternField)}, {"@anomalyTime", value{e: call("millis", query.Field{Name: at}), kind: instant}}, {count, plainField(count)},
		{"@expectedCount", plainField("@expectedCount")}, {"@anomalyScore", plainField("@anomalyScore")}, {"@description", value{e: description}},
		{severityField, plainField(severityField)},
	}, []query.SortKey{{By: query.Field{Name: "@anomalyScore"}, Desc: true}, {By: query.Field{Name: at}, Desc: true}, {By: query.Field{Name: patternField}}})
}

func (l *lowering) relevant(c Relevant) {
	if l.table || l.late != "" {
		l.fail(c.Span, "relevantfields needs events and can not follow stats, sort or limit")
	}
	s := query.Relevance{Where: l.condition(c.Where), Hidden: []string{"@message", "meta.signal_type", "meta.annotation_type"}}
	for _, p := range c.Paths {
		s.Fields = append(s.Fields, query.Named{Name: p.Name, Value: l.path(p).expr()})
	}
	l.add(s)
	var columns []shown
	for _, n := range query.RelevanceFields {
		v := plainField(n)
		if n == "@topRelevanceContributors" {
			v.kind = structure
		}
		columns = append(columns, shown{n, v})
	}
	l.tabulate(columns, []query.SortKey{{By: query.Field{Name: "@relevanceScore"}, Desc: true}, {By: query.Field{Name: "@fieldName"}}})
}

// estimate counts what is in the time range, whatever is asked of it.
func (l *lowering) estimate() {
	message := call("byte_len", query.Field{Name: "@message"})
	l.stages = []query.Stage{query.Aggregate{Aggs: []query.Agg{{Name: "n", Op: query.Count}, {Name: "b", Op: query.Sum, Arg: message}}}}
	const overhead = 26 // bytes of an event besides its message, as AWS counts them
	size := call("total", query.Field{Name: "b"}, call("mul", query.Field{Name: "n"}, query.Num(overhead)))
	l.tabulate([]shown{{"estimatedBytesScanned", value{e: size}}, {"estimatedRecordsScanned", plainField("n")}}, nil)
	l.ended = "estimate"
}

// fillMissing adds rows for the bins of the time range that no row is of.
func (l *lowering) fillMissing(c FillMissing) {
	b := l.bins
	if b == nil {
		l.fail(c.Span, "fillmissing follows stats with a bin")
	}
	unit := int64(1)
	if b.nanos {
		unit = 1e6
	}
	g := query.Gaps{Time: b.field, By: b.by}
	first, last := l.env.From.UnixMilli(), l.env.To.UnixMilli()
	for t := b.bin.begin(first); t <= last; t = b.bin.begin(b.bin.next(t)) {
		if len(g.Times) == maxBins {
			l.fail(c.Span, "the time range has more than %d bins", maxBins)
		}
		g.Times = append(g.Times, event.Int(t*unit))
	}
	for _, w := range c.With {
		v := l.path(w.For)
		f, ok := v.e.(query.Field)
		if !ok || slices.Contains(g.By, f.Name) || f.Name == b.field {
			l.fail(w.For.Span, "%s is no column of an aggregate", w.For.Name)
		}
		g.With = append(g.With, query.Named{Name: f.Name, Value: query.Const{Value: w.Value.Value}})
	}
	if l.late != "" {
		l.fail(c.Span, "fillmissing can not follow %s", l.late)
	}
	l.add(g)
}

// maxBins is the number of bins that fillmissing fills at most.
const maxBins = 10_000

// begin returns the begin of the bin of a time, both in milliseconds.
func (b bin) begin(t int64) int64 {
	if b.Months > 0 {
		return query.Eval(query.Months{X: query.Num(t), N: b.Months}, query.NewRow(nil, nil)).Int()
	}
	return query.FloorTo(t-b.Offset, b.Step) + b.Offset
}

// next returns a time in the bin behind the one that begins at t.
func (b bin) next(t int64) int64 {
	if b.Months > 0 {
		return t + int64(b.Months)*31*24*time.Hour.Milliseconds()
	}
	if t > math.MaxInt64-b.Step {
		return math.MaxInt64
	}
	return t + b.Step
}

// totalsLabel is what the first column of a row of totals has.
const totalsLabel = "Total"

func (l *lowering) addTotals(c AddTotals) {
	l.sort()
	var list []shown
	if c.Paths != nil {
		for _, p := range c.Paths {
			v := l.path(p)
			l.scalar(v, p.Span, "addtotals")
			list = append(list, shown{p.Name, v})
		}
	} else {
		for _, s := range l.shown {
			// Times, names of groups and what AWS adds to events are no amounts.
			if s.v.kind == instant || s.v.kind == structure || strings.HasPrefix(s.name, "@") && s.name != "@sampleCount" || l.isGroup(s.v) {
				continue
			}
			list = append(list, s)
		}
	}
	if len(list) == 0 {
		l.fail(c.Span, "addtotals finds no columns to add up; name them")
	}
	if c.Row {
		var args []query.Expr
		for _, s := range list {
			args = append(args, call("to_number", s.v.expr()))
		}
		v := value{e: call("total", args...)}
		l.limited(v.e, c.Span)
		l.scope[c.Name] = v
		l.show(c.Name, v)
		l.listed = l.listed || !l.table
		if c.Paths == nil {
			list = append(list, shown{c.Name, v})
		}
	}
	if !c.Col {
		return
	}
	t := query.Totals{}
	for _, s := range list {
		name := l.held(s.v)
		l.set(s.name, value{e: query.Field{Name: name}})
		t.Fields = append(t.Fields, name)
	}
	for _, s := range l.shown {
		if f, ok := s.v.e.(query.Field); ok && l.isGroup(s.v) {
			t.LabelIn, t.Label = f.Name, totalsLabel
			break
		}
	}
	l.add(t)
	l.late = "addtotals"
}

// isGroup reports whether a value is a key of the last stats command.
func (l *lowering) isGroup(v value) bool {
	f, ok := v.e.(query.Field)
	if !ok {
		return false
	}
	for i := len(l.stages) - 1; i >= 0; i-- {
		if a, ok := l.stages[i].(query.Aggregate); ok {
			return slices.ContainsFunc(a.By, func(b query.Named) bool { return b.Name == f.Name })
		}
	}
	return false
}
