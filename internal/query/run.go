package query

import (
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sort"

	"github.com/trefoil-o11y/trefoil/internal/event"
)

// MaxHeld bounds the rows that a sort or a result holds and the groups of an aggregate.
const MaxHeld = 2_000_000

// MaxHeldBytes bounds the memory of the values that a sort, a result or the groups of an aggregate
// hold.
const MaxHeldBytes = 256 << 20

// holding counts the memory of what the operators of a run hold.
type holding struct{ bytes int }

// add counts values and reports whether there is room for them.
func (h *holding) add(values []event.Value) bool {
	for i := range values {
		h.bytes += cost(values[i])
	}
	return h.bytes <= MaxHeldBytes
}

// ErrTooLarge is returned by Runner.Result when a sort, a result or an aggregate held more rows or
// groups than MaxHeld, or more of them than MaxHeldBytes.
var ErrTooLarge = errors.New("query holds too many rows or groups; narrow it or add a limit")

// Runner takes rows through the stages of a pipeline. It is for one goroutine.
type Runner struct {
	sink *sink
	rest operator
}

// NewRunner prepares stages that Check accepts. An Exists over a trace must be replaced first
// (see TraceSets). Rows that were made by a stage before these have the names columns, in that
// order; nil columns are those of stored events.
func NewRunner(stages []Stage, columns []string) *Runner {
	r := &Runner{sink: &sink{index: map[string]int{}}}
	if columns != nil {
		r.sink.reset(columns)
	}
	r.rest = build(stages, r.sink)
	return r
}

// build returns the operator for stages[0], connected to those behind it.
func build(stages []Stage, out *sink) operator {
	if len(stages) == 0 {
		return out
	}
	switch s := stages[0].(type) {
	case Filter:
		return &filterOp{s.Where, build(stages[1:], out)}
	case Extend:
		return &extendOp{s, build(stages[1:], out)}
	case Spread:
		return &spreadOp{s, build(stages[1:], out)}
	case Aggregate:
		out.reset(s.Names())
		return newAggregateOp(s, &out.held, build(stages[1:], out))
	case Sort:
		limit := -1
		if len(stages) > 1 {
			if l, ok := stages[1].(Limit); ok && l.N <= MaxHeld {
				limit = l.N
			}
		}
		return &sortOp{rows: rowHeap{keys: s.Keys}, limit: limit, held: &out.held, next: build(stages[1:], out)}
	case Limit:
		return &limitOp{left: s.N, next: build(stages[1:], out)}
	case Distinct:
		if s.Keys != nil {
			return &firstOp{stage: s, groups: map[string]int{}, held: &out.held, next: build(stages[1:], out)}
		}
		return &distinctOp{by: s.By, keep: s.KeepMissing, seen: map[string]struct{}{}, next: build(stages[1:], out)}
	case Project:
		names := make([]string, len(s.Fields))
		for i, f := range s.Fields {
			names[i] = f.Name
		}
		out.reset(names)
		return &projectOp{s.Fields, names, build(stages[1:], out)}
	case Unnest:
		return &unnestOp{stage: s, next: build(stages[1:], out)}
	case Join:
		return newJoinOp(s, build(stages[1:], out))
	case AddColumns:
		return &addColumnsOp{stage: s, next: build(stages[1:], out)}
	case Totals:
		return &totalsOp{stage: s, sums: make([]sum, len(s.Fields)), next: build(stages[1:], out)}
	case Gaps:
		return &gapsOp{stage: s, series: map[string]*gapSeries{}, next: build(stages[1:], out)}
	case Tail:
		return &tailOp{n: s.N, next: build(stages[1:], out)}
	case Running:
		return &runningOp{stage: s, sessions: map[string]session{}, next: build(stages[1:], out)}
	case Outliers:
		return &outliersOp{stage: s, next: build(stages[1:], out)}
	case Patterns:
		out.reset(s.Names())
		return &patternsOp{stage: s, next: build(stages[1:], out)}
	case Anomalies:
		return &anomaliesOp{stage: s, series: map[string][]*held{}, next: build(stages[1:], out)}
	case Relevance:
		out.reset(RelevanceFields)
		return &relevanceOp{stage: s, fields: map[string]*relevance{}, next: build(stages[1:], out)}
	default:
		panic(fmt.Sprintf("query: no operator for %T", s))
	}
}

// Names are the fields of the rows that the stage makes, in order.
func (s Aggregate) Names() []string {
	var names []string
	for _, b := range s.By {
		names = append(names, b.Name)
	}
	for _, a := range s.Aggs {
		names = append(names, a.Name)
	}
	return names
}

// Push takes one row; it reports whether the pipeline wants more.
func (r *Runner) Push(row Row) bool { return r.rest.push(row) }

// Result ends the run.
func (r *Runner) Result() (*Result, error) {
	if err := r.rest.finish(); err != nil {
		return nil, err
	}
	return r.sink.result(), nil
}

// NewRow returns a row of its own; it keeps both slices, which are in step.
func NewRow(names []string, values []event.Value) Row { return &held{names, values} }

// operator is one step of the pipeline. push reports whether more rows are wanted.
type operator interface {
	push(row Row) bool
	finish() error
}

// held is a row of its own, apart from the storage that it came from.
type held struct {
	names  []string
	values []event.Value
}

func hold(row Row) *held {
	if h, ok := row.(*held); ok {
		return h
	}
	h := &held{}
	row.Each(func(name string, v event.Value) bool {
		h.names = append(h.names, name)
		h.values = append(h.values, v)
		return true
	})
	return h
}

func (h *held) Get(name string) event.Value {
	for i, n := range h.names {
		if n == name {
			return h.values[i]
		}
	}
	return event.Value{}
}

func (h *held) Each(yield func(string, event.Value) bool) {
	for i, n := range h.names {
		if !h.values[i].Missing() && !yield(n, h.values[i]) {
			return
		}
	}
}

type filterOp struct {
	where Expr
	next  operator
}

func (o *filterOp) push(row Row) bool {
	if !Holds(o.where, row) {
		return true
	}
	return o.next.push(row)
}

func (o *filterOp) finish() error { return o.next.finish() }

type extendOp struct {
	stage Extend
	next  operator
}

// extended is a row with one field laid over it.
type extended struct {
	Row
	name  string
	value event.Value
}

func (e extended) Get(name string) event.Value {
	if name == e.name {
		return e.value
	}
	return e.Row.Get(name)
}

func (e extended) Each(yield func(string, event.Value) bool) {
	done := false
	e.Row.Each(func(n string, v event.Value) bool {
		if n == e.name {
			return true
		}
		done = !yield(n, v)
		return !done
	})
	if !done && !e.value.Missing() {
		yield(e.name, e.value)
	}
}

func (o *extendOp) push(row Row) bool {
	return o.next.push(extended{row, o.stage.Name, Eval(o.stage.Value, row)})
}

func (o *extendOp) finish() error { return o.next.finish() }

type spreadOp struct {
	stage Spread
	next  operator
}

func (o *spreadOp) push(row Row) bool {
	s := &o.stage
	length, ok := Eval(s.Length, row).Number()
	at := row.Get(event.FieldTime)
	if !ok || !(length > 0) || at.Kind() != event.KindInt || at.Int() >= s.To {
		return true
	}
	begin, end := at.Int(), s.To
	// The difference is at most 1<<64-1, so that begin+length is only formed when it fits.
	if length < float64(uint64(s.To)-uint64(begin)) {
		end = min(begin+int64(length), s.To)
	}
	begin = max(begin, s.From)
	for b := FloorTo(begin, s.Step); b < end; b += s.Step {
		from, to := max(b, s.From), min(b+s.Step, s.To)
		part := min(end, to) - max(begin, from)
		if part <= 0 {
			continue
		}
		out := extended{extended{row, s.Name, event.Int(b)}, s.Part, event.Float(float64(part) / float64(to-from))}
		if !o.next.push(out) {
			return false
		}
	}
	return true
}

func (o *spreadOp) finish() error { return o.next.finish() }

type limitOp struct {
	left int
	next operator
}

func (o *limitOp) push(row Row) bool {
	if o.left <= 0 {
		return false
	}
	o.left--
	return o.next.push(row) && o.left > 0
}

func (o *limitOp) finish() error { return o.next.finish() }

type distinctOp struct {
	by   []Expr
	keep bool
	seen map[string]struct{}
	next operator
	buf  []byte
	over bool
}

func (o *distinctOp) push(row Row) bool {
	o.buf = o.buf[:0]
	for _, e := range o.by {
		v := Eval(e, row)
		if v.Missing() && o.keep {
			return o.next.push(row)
		}
		o.buf = appendKey(o.buf, v)
	}
	if _, ok := o.seen[string(o.buf)]; ok {
		return true
	}
	if len(o.seen) >= MaxHeld {
		o.over = true
		return false
	}
	o.seen[string(o.buf)] = struct{}{}
	return o.next.push(row)
}

func (o *distinctOp) finish() error {
	if o.over {
		return ErrTooLarge
	}
	return o.next.finish()
}

// firstOp keeps the first row by the keys of a Distinct of each combination of values.
type firstOp struct {
	stage  Distinct
	groups map[string]int // places in rows
	rows   []sortRow
	buf    []byte
	keys   []event.Value
	held   *holding
	over   bool
	next   operator
}

func (o *firstOp) push(row Row) bool {
	o.buf, o.keys = o.buf[:0], o.keys[:0]
	whole := true
	for _, e := range o.stage.By {
		v := Eval(e, row)
		whole = whole && (!v.Missing() || !o.stage.KeepMissing)
		o.buf = appendKey(o.buf, v)
	}
	for _, k := range o.stage.Keys {
		o.keys = append(o.keys, Eval(k.By, row))
	}
	at, known := -1, false
	if whole {
		at, known = o.groups[string(o.buf)]
	}
	if known {
		if CompareKeys(o.stage.Keys, o.keys, o.rows[at].keys) < 0 {
			copy(o.rows[at].keys, o.keys)
			o.rows[at].row = hold(row)
		}
		return true
	}
	kept := hold(row)
	if len(o.rows) >= MaxHeld || !o.held.add(kept.values) {
		o.over = true
		return false
	}
	if whole {
		o.groups[string(o.buf)] = len(o.rows)
	}
	o.rows = append(o.rows, sortRow{keys: append([]event.Value(nil), o.keys...), row: kept})
	return true
}

func (o *firstOp) finish() error {
	if o.over {
		return ErrTooLarge
	}
	for i := range o.rows {
		if !o.next.push(o.rows[i].row) {
			break
		}
	}
	return o.next.finish()
}

type projectOp struct {
	fields []Named
	names  []string
	next   operator
}

func (o *projectOp) push(row Row) bool {
	h := &held{names: o.names, values: make([]event.Value, len(o.fields))}
	for i, f := range o.fields {
		h.values[i] = Eval(f.Value, row)
	}
	return o.next.push(h)
}

func (o *projectOp) finish() error { return o.next.finish() }

type aggregateOp struct {
	stage  Aggregate
	groups map[string]uint32
	keys   [][]event.Value
	accs   []Accumulator
	next   operator
	buf    []byte
	row    []event.Value
	held   *holding
	over   bool
}

func newAggregateOp(s Aggregate, held *holding, next operator) *aggregateOp {
	o := &aggregateOp{stage: s, groups: map[string]uint32{}, held: held, next: next}
	for _, a := range s.Aggs {
		o.accs = append(o.accs, NewAccumulator(a))
	}
	return o
}

func (o *aggregateOp) group() uint32 {
	o.keys = append(o.keys, append([]event.Value(nil), o.row...))
	for _, a := range o.accs {
		a.Grow(len(o.keys))
	}
	return uint32(len(o.keys) - 1)
}

func (o *aggregateOp) push(row Row) bool {
	o.buf, o.row = o.buf[:0], o.row[:0]
	for _, b := range o.stage.By {
		v := Eval(b.Value, row)
		o.row = append(o.row, v)
		o.buf = appendKey(o.buf, v)
	}
	g, ok := o.groups[string(o.buf)]
	if !ok {
		if len(o.groups) >= o.stage.MaxGroups() || !o.held.add(o.row) {
			o.over = true
			return false
		}
		g = o.group()
		o.groups[string(o.buf)] = g
	}
	for i, a := range o.stage.Aggs {
		v := event.Bool(true)
		if a.Arg != nil {
			v = Eval(a.Arg, row)
		}
		w := 1.0
		if a.Weighted {
			w = float64(max(row.Get(event.FieldSampleRate).Int(), 1))
		}
		var t int64
		if a.Op == Earliest || a.Op == Latest {
			t = row.Get(event.FieldTime).Int()
		}
		o.accs[i].Add(g, v, w, t)
		o.over = o.over || TooLarge(o.accs[i])
	}
	return !o.over
}

func (o *aggregateOp) finish() error {
	if o.over {
		return ErrTooLarge
	}
	if len(o.stage.By) == 0 && len(o.keys) == 0 {
		o.group()
	}
	names := o.stage.Names()
	for g, keys := range o.keys {
		h := &held{names: names, values: keys}
		for _, a := range o.accs {
			h.values = append(h.values, a.Value(uint32(g)))
		}
		if !o.next.push(h) {
			break
		}
	}
	return o.next.finish()
}

// appendKey appends a form of v that is different for different values.
func appendKey(dst []byte, v event.Value) []byte {
	dst = append(dst, byte(v.Kind()))
	switch v.Kind() {
	case event.KindString:
		dst = binary.AppendUvarint(dst, uint64(len(v.Str())))
		dst = append(dst, v.Str()...)
	case event.KindInt:
		dst = binary.LittleEndian.AppendUint64(dst, uint64(v.Int()))
	case event.KindFloat:
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(v.Float()))
	case event.KindBool:
		if v.Bool() {
			dst = append(dst, 1)
		} else {
			dst = append(dst, 0)
		}
	}
	return dst
}

// sortOp holds all rows, or with a limit the best limit rows in a heap whose top is the worst.
type sortOp struct {
	rows  rowHeap
	limit int
	held  *holding
	next  operator
	over  bool
}

type sortRow struct {
	keys []event.Value
	row  *held
	seq  int
}

type rowHeap struct {
	keys []SortKey
	rows []sortRow
	n    int
}

// before reports whether a comes before b in the wanted order; ties keep the order of arrival.
func (h *rowHeap) before(a, b *sortRow) bool {
	if c := CompareKeys(h.keys, a.keys, b.keys); c != 0 {
		return c < 0
	}
	return a.seq < b.seq
}

// CompareKeys returns -1, 0 or 1 for rows whose values of keys are a and b: whether the one comes
// ahead of the other, either may come first, or it comes behind.
func CompareKeys(keys []SortKey, a, b []event.Value) int {
	for i, k := range keys {
		x, y := a[i], b[i]
		if x.Missing() != y.Missing() {
			if x.Missing() {
				return 1
			}
			return -1
		}
		c := event.Order(x, y)
		if k.Loose {
			c = looseOrder(x, y)
		}
		if c != 0 && k.Desc {
			return -c
		}
		if c != 0 {
			return c
		}
	}
	return 0
}

// looseOrder puts values that read as numbers first, by magnitude, and the rest after them by
// text.
func looseOrder(a, b event.Value) int {
	x, xok := looseNumber(a)
	y, yok := looseNumber(b)
	if xok && yok {
		return event.Order(event.Float(x), event.Float(y))
	}
	if xok != yok {
		if xok {
			return -1
		}
		return 1
	}
	return event.Order(event.String(a.Text()), event.String(b.Text()))
}

func (h *rowHeap) Len() int           { return len(h.rows) }
func (h *rowHeap) Less(i, j int) bool { return h.before(&h.rows[j], &h.rows[i]) }
func (h *rowHeap) Swap(i, j int)      { h.rows[i], h.rows[j] = h.rows[j], h.rows[i] }
func (h *rowHeap) Push(x any)         { h.rows = append(h.rows, x.(sortRow)) }
func (h *rowHeap) Pop() any {
	x := h.rows[len(h.rows)-1]
	h.rows = h.rows[:len(h.rows)-1]
	return x
}

func (o *sortOp) push(row Row) bool {
	if o.limit == 0 {
		return false
	}
	r := sortRow{keys: make([]event.Value, len(o.rows.keys)), seq: o.rows.n}
	o.rows.n++
	for i, k := range o.rows.keys {
		r.keys[i] = Eval(k.By, row)
	}
	switch {
	case o.limit < 0:
		r.row = hold(row)
		if len(o.rows.rows) >= MaxHeld || !o.held.add(r.row.values) {
			o.over = true
			return false
		}
		o.rows.rows = append(o.rows.rows, r)
	case len(o.rows.rows) < o.limit:
		r.row = hold(row)
		if !o.held.add(r.row.values) {
			o.over = true
			return false
		}
		heap.Push(&o.rows, r)
	case o.rows.before(&r, &o.rows.rows[0]):
		r.row = hold(row)
		for _, v := range o.rows.rows[0].row.values {
			o.held.bytes -= cost(v)
		}
		if !o.held.add(r.row.values) {
			o.over = true
			return false
		}
		o.rows.rows[0] = r
		heap.Fix(&o.rows, 0)
	}
	return true
}

func (o *sortOp) finish() error {
	if o.over {
		return ErrTooLarge
	}
	sort.Slice(o.rows.rows, func(i, j int) bool { return o.rows.before(&o.rows.rows[i], &o.rows.rows[j]) })
	for i := range o.rows.rows {
		row := o.rows.rows[i].row
		for _, v := range row.values {
			o.held.bytes -= cost(v) // who is behind holds it, or nobody
		}
		o.rows.rows[i] = sortRow{}
		if !o.next.push(row) {
			break
		}
	}
	return o.next.finish()
}

// sink collects the result.
type sink struct {
	held  holding // of all operators ahead of it, too
	names []string
	index map[string]int
	fixed bool
	rows  [][]event.Value
	over  bool
}

// reset fixes the columns; the last stage that makes columns wins, so stages are built from
// the first to the last.
func (s *sink) reset(names []string) {
	s.names, s.fixed = names, true
	s.index = map[string]int{}
	for i, n := range names {
		s.index[n] = i
	}
}

func (s *sink) push(row Row) bool {
	if len(s.rows) >= MaxHeld {
		s.over = true
		return false
	}
	if h, ok := row.(*held); ok && s.fixed && len(h.names) == len(s.names) {
		same := true
		for i := range h.names {
			same = same && h.names[i] == s.names[i]
		}
		if same {
			s.rows = append(s.rows, h.values)
			return s.fits(h.values)
		}
	}
	out := make([]event.Value, len(s.names), len(s.names)+8)
	row.Each(func(name string, v event.Value) bool {
		i, ok := s.index[name]
		if !ok {
			i = len(s.names)
			s.index[name] = i
			s.names = append(s.names, name)
		}
		for len(out) <= i {
			out = append(out, event.Value{})
		}
		out[i] = v
		return true
	})
	s.rows = append(s.rows, out)
	return s.fits(out)
}

func (s *sink) fits(row []event.Value) bool {
	s.over = s.over || !s.held.add(row)
	return !s.over
}

func (s *sink) finish() error {
	if s.over {
		return ErrTooLarge
	}
	return nil
}

func (s *sink) result() *Result {
	for i, r := range s.rows {
		for len(r) < len(s.names) {
			r = append(r, event.Value{})
		}
		s.rows[i] = r
	}
	return &Result{Columns: s.names, Rows: s.rows}
}
