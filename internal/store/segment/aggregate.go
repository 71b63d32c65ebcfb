package segment

import (
	"slices"
	"sort"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/store/segment/colfile"
)

// aggregator computes an aggregate stage over pages. Each worker has its own; they are merged.
type aggregator struct {
	stage *query.Aggregate
	by    *grouping
	args  []*argument
	accs  []query.Accumulator
	over  bool // more groups than may be held

	weighted  bool
	countOnly bool // all aggregates count rows

	sel     []int32 // the selected rows of the page
	picks   []int32 // memory of sel
	groups  []uint32
	weights []float64
	pick    picked
}

// everyRow are the rows of a whole page.
var everyRow = func() (rows [colfile.PageRows]int32) {
	for i := range rows {
		rows[i] = int32(i)
	}
	return rows
}()

// argument is what an aggregate is computed over.
type argument struct {
	agg   query.Agg
	field string   // of a plain field
	num   *numeric // of arithmetic
}

// picked are the rows of a page that have a value.
type picked struct {
	groups  []uint32
	floats  []float64
	ints    []int64
	weights []float64
}

func newAggregator(stage *query.Aggregate) *aggregator {
	a := &aggregator{stage: stage, by: newGrouping(stage.By), countOnly: true}
	for _, g := range stage.Aggs {
		arg := &argument{agg: g}
		if f, ok := g.Arg.(query.Field); ok {
			arg.field = f.Name
		} else if g.Arg != nil {
			arg.num = newNumeric(g.Arg)
		}
		a.args = append(a.args, arg)
		acc := query.NewAccumulator(g)
		acc.Grow(a.by.groups)
		a.accs = append(a.accs, acc)
		a.weighted = a.weighted || g.Weighted
		a.countOnly = a.countOnly && g.Arg == nil
	}
	return a
}

func (a *aggregator) grow() {
	for _, acc := range a.accs {
		acc.Grow(a.by.groups)
		a.over = a.over || query.TooLarge(acc)
	}
	a.over = a.over || a.by.groups > a.stage.MaxGroups() || a.by.bytes() > query.MaxHeldBytes
}

// byIndex adds a whole unit, all of whose rows are selected, by what the index says of it. It
// returns false when that does not suffice.
func (a *aggregator) byIndex(s *scanner) bool {
	u := s.u
	if u.group == nil || !u.whole || a.weighted && chunk(u.chunks, colSampleRate) != nil {
		return false
	}
	var keys []event.Value
	for _, k := range a.by.keys {
		switch {
		case k.bucket != nil && k.field == event.FieldTime:
			lo, hi := query.Eval(k.e, &oneField{k.field, event.Int(u.min)}), query.Eval(k.e, &oneField{k.field, event.Int(u.max)})
			if lo != hi {
				return false
			}
			keys = append(keys, lo)
		case k.field == event.FieldDataset:
			keys = append(keys, query.Eval(k.e, &oneField{k.field, event.Int(int64(u.group.Dataset))}))
		default:
			return false
		}
	}
	type one struct {
		v event.Value
		n int
	}
	found := make([][]one, len(a.args))
	for i, arg := range a.args {
		if arg.agg.Arg == nil {
			continue
		}
		name, ok := isNumber(arg.agg.Arg)
		if !ok || name == "" || name[0] == '$' {
			return false
		}
		for _, v := range s.field(name).sources {
			numeric := v.typ == colfile.Int || v.typ == colfile.Float
			switch {
			case v.chunk == nil:
				return false
			case arg.agg.Op == query.Count && (arg.field != "" || v.typ == colfile.Int):
				found[i] = append(found[i], one{event.Bool(true), v.chunk.Values})
			case (arg.agg.Op == query.Min || arg.agg.Op == query.Max) && numeric && v.chunk.HasRange:
				found[i] = append(found[i], one{bound(v, arg), 1})
			default:
				return false
			}
		}
	}
	g := a.by.of(keys)
	a.grow()
	for i, arg := range a.args {
		if arg.agg.Arg == nil {
			a.accs[i].(*query.Counts).AddMany(g, float64(u.rows))
		}
		for _, o := range found[i] {
			a.accs[i].Add(g, o.v, float64(o.n), 0)
		}
	}
	return true
}

// bound is the least or the greatest value of a chunk.
func bound(v *values, arg *argument) event.Value {
	n := v.chunk.Min
	if arg.agg.Op == query.Max {
		n = v.chunk.Max
	}
	x := event.Int(n)
	if v.typ == colfile.Float {
		f := v.chunk.MinFloat()
		if arg.agg.Op == query.Max {
			f = v.chunk.MaxFloat()
		}
		x = event.Float(f)
	}
	if arg.field == "" { // as a number
		f, _ := x.Number()
		return query.Number(f)
	}
	return x
}

// runs counts the rows of a page that is sorted by time, all of whose rows are selected, by time
// bucket, without a look at each of them.
func (a *aggregator) runs(s *scanner) bool {
	if !a.countOnly || a.weighted && len(s.field(event.FieldSampleRate).sources) > 0 || s.u.group == nil || len(a.by.keys) != 1 {
		return false
	}
	k := a.by.keys[0]
	if k.bucket == nil || k.field != event.FieldTime {
		return false
	}
	v := s.field(event.FieldTime).sources[0]
	s.load(v)
	if s.err != nil || v.vec.Encoding != colfile.Delta {
		return false
	}
	times := v.vec.Nums[:s.n]
	for len(times) > 0 {
		low := query.FloorTo(times[0]-k.bucket.Offset, k.bucket.Step) + k.bucket.Offset
		n := sort.Search(len(times), func(i int) bool { return times[i]-low >= k.bucket.Step })
		if low > times[0] || n == 0 {
			return false // at the ends of what integers can express
		}
		g := k.id(event.Int(low))
		a.by.count()
		a.grow()
		for _, acc := range a.accs {
			acc.(*query.Counts).AddMany(g, float64(n))
		}
		times = times[n:]
	}
	return true
}

// page adds the rows of the scanner's page that are in keep.
func (a *aggregator) page(s *scanner, keep bitmap, selected int) {
	if selected == s.n && a.runs(s) {
		return
	}
	if selected == s.n {
		a.sel = everyRow[:s.n]
	} else {
		a.picks = a.picks[:0]
		for k, w := range keep {
			for ; w != 0; w &= w - 1 {
				a.picks = append(a.picks, int32(k<<6+trailing(w)))
			}
		}
		a.sel = a.picks
	}
	a.groups = resize(a.groups, len(a.sel))
	a.by.numberRows(s, a.sel, a.groups)
	if s.err != nil {
		return
	}
	a.grow()
	if a.over {
		return
	}
	weights := a.rates(s)
	for i, arg := range a.args {
		w := weights
		if !arg.agg.Weighted {
			w = nil
		}
		a.add(s, a.accs[i], arg, w)
		if s.err != nil {
			return
		}
	}
}

// rates returns the sample rates of the selected rows, nil when all are 1.
func (a *aggregator) rates(s *scanner) []float64 {
	if !a.weighted {
		return nil
	}
	f := s.field(event.FieldSampleRate)
	if len(f.sources) == 0 {
		return nil
	}
	s.load(f.sources[0])
	a.weights = resize(a.weights, len(a.sel))
	for i, r := range a.sel {
		a.weights[i] = float64(max(f.sources[0].at(int(r)).Int(), 1))
	}
	return a.weights
}

func weightOf(weights []float64, i int) float64 {
	if weights == nil {
		return 1
	}
	return weights[i]
}

func (a *aggregator) add(s *scanner, acc query.Accumulator, arg *argument, weights []float64) {
	edge := arg.agg.Op == query.Earliest || arg.agg.Op == query.Latest
	switch {
	case arg.agg.Arg == nil:
		acc.(*query.Counts).AddRows(a.groups, weights)
	case arg.field != "" && !edge:
		f := s.field(arg.field)
		if !f.constant.Missing() {
			for i, g := range a.groups {
				acc.Add(g, f.constant, weightOf(weights, i), 0)
			}
		}
		for _, v := range f.sources {
			s.load(v)
			if s.err != nil {
				return
			}
			a.addSource(acc, arg, v, weights)
		}
	case arg.num != nil && !edge && arg.num.rows(s, a.sel):
		a.addNumbers(acc, arg, weights)
	default:
		row := &pageRow{s: s}
		times := s.field(event.FieldTime)
		for i, r := range a.sel {
			row.i = int(r)
			var t int64
			if edge {
				t = s.value(times, int(r)).Int()
			}
			acc.Add(a.groups[i], query.Eval(arg.agg.Arg, row), weightOf(weights, i), t)
		}
	}
}

// addNumbers adds what the argument's arithmetic computed.
func (a *aggregator) addNumbers(acc query.Accumulator, arg *argument, weights []float64) {
	switch arg.agg.Op {
	case query.Min, query.Max, query.CountDistinct, query.Values:
		// Their outcome shows of which kind a number is.
		for i, g := range a.groups {
			if arg.num.ok == nil || arg.num.ok[i] {
				acc.Add(g, query.Number(arg.num.out[i]), weightOf(weights, i), 0)
			}
		}
		return
	}
	if arg.num.ok == nil {
		acc.AddFloats(a.groups, arg.num.out, weights)
		return
	}
	p := a.picked(weights)
	for i, g := range a.groups {
		if arg.num.ok[i] {
			p.groups = append(p.groups, g)
			p.floats = append(p.floats, arg.num.out[i])
			if weights != nil {
				p.weights = append(p.weights, weights[i])
			}
		}
	}
	acc.AddFloats(p.groups, p.floats, p.weights)
}

// picked empties the memory for rows that have a value.
func (a *aggregator) picked(weights []float64) *picked {
	p := &a.pick
	p.groups, p.floats, p.ints = p.groups[:0], p.floats[:0], p.ints[:0]
	if weights == nil {
		p.weights = nil
	} else {
		p.weights = make([]float64, 0, len(a.sel))
	}
	return p
}

// addSource adds the selected rows that have a value in a column.
func (a *aggregator) addSource(acc query.Accumulator, arg *argument, v *values, weights []float64) {
	if v.coded() {
		a.addCoded(acc, v, weights)
		return
	}
	every := v.vec.Valid == nil && len(a.sel) == v.vec.N
	switch {
	case v.vec.Encoding == colfile.Split && every:
		acc.AddFloats(a.groups, v.vec.Floats, weights)
	case v.vec.Encoding == colfile.Split:
		p := a.picked(weights)
		p.floats = pick(a, v, v.vec.Floats, p.floats, weights)
		acc.AddFloats(p.groups, p.floats, p.weights)
	case v.vec.Encoding == colfile.Delta && every:
		acc.AddInts(a.groups, v.vec.Nums, weights)
	case v.vec.Encoding == colfile.Delta:
		p := a.picked(weights)
		p.ints = pick(a, v, v.vec.Nums, p.ints, weights)
		acc.AddInts(p.groups, p.ints, p.weights)
	default:
		for i, r := range a.sel {
			if x := v.at(int(r)); !x.Missing() {
				acc.Add(a.groups[i], x, weightOf(weights, i), 0)
			}
		}
	}
}

// pick appends the values of the selected rows that have one to out, and their groups and weights
// to those that are picked.
func pick[T any](a *aggregator, v *values, vals, out []T, weights []float64) []T {
	p := &a.pick
	for i, r := range a.sel {
		if v.vec.Has(int(r)) {
			p.groups = append(p.groups, a.groups[i])
			out = append(out, vals[r])
			if weights != nil {
				p.weights = append(p.weights, weights[i])
			}
		}
	}
	return out
}

func (a *aggregator) addCoded(acc query.Accumulator, v *values, weights []float64) {
	none := uint32(v.entries())
	codes := v.vec.Codes
	switch acc := acc.(type) {
	case *query.Distincts:
		if len(v.hashes) == 0 {
			v.hashes = resize(v.hashes, v.entries())
			for i := range v.hashes {
				v.hashes[i] = query.Hash(v.entry(i))
			}
		}
		for i, r := range a.sel {
			if c := codes[r]; c != none {
				acc.AddHash(a.groups[i], v.hashes[c])
			}
		}
		return
	case *query.Counts:
		p := a.picked(weights)
		for i, r := range a.sel {
			if codes[r] != none {
				p.groups = append(p.groups, a.groups[i])
				if weights != nil {
					p.weights = append(p.weights, weights[i])
				}
			}
		}
		acc.AddRows(p.groups, p.weights)
		return
	}
	if v.typ == colfile.Int {
		p := a.picked(weights)
		for i, r := range a.sel {
			if c := codes[r]; c != none {
				p.groups = append(p.groups, a.groups[i])
				p.ints = append(p.ints, v.dict.Nums[c])
				if weights != nil {
					p.weights = append(p.weights, weights[i])
				}
			}
		}
		acc.AddInts(p.groups, p.ints, p.weights)
		return
	}
	for i, r := range a.sel {
		if c := codes[r]; c != none {
			acc.Add(a.groups[i], v.entry(int(c)), weightOf(weights, i), 0)
		}
	}
}

// merge adds the groups of o.
func (a *aggregator) merge(o *aggregator) {
	a.over = a.over || o.over
	for h := range uint32(o.by.groups) {
		if a.over {
			return
		}
		g := a.by.of(o.by.values(h))
		a.grow()
		for i, acc := range a.accs {
			acc.Merge(g, o.accs[i], h)
		}
	}
}

// rows calls yield with the rows of the stage, until it returns false. When the tail begins with
// a sort and ends it with a limit, only those rows are made that come first.
func (a *aggregator) rows(tail []query.Stage, yield func(query.Row) bool) {
	names := a.stage.Names()
	for _, g := range a.leading(names, tail) {
		vals := a.by.values(g)
		for _, acc := range a.accs {
			vals = append(vals, acc.Value(g))
		}
		if !yield(query.NewRow(names, vals)) {
			return
		}
	}
}

// leading returns the groups that the tail may want.
func (a *aggregator) leading(names []string, tail []query.Stage) []uint32 {
	every := make([]uint32, a.by.groups)
	for i := range every {
		every[i] = uint32(i)
	}
	if len(tail) < 2 {
		return every
	}
	order, ok := tail[0].(query.Sort)
	limit, limited := limitOf(tail[1:])
	if !ok || !limited || limit >= len(every) {
		return every
	}
	at := make([]int, len(order.Keys))
	for i, k := range order.Keys {
		f, ok := k.By.(query.Field)
		if at[i] = slices.Index(names, f.Name); !ok || at[i] < 0 {
			return every
		}
	}
	l := &leaders{top: &top{keys: order.Keys, limit: limit}}
	for _, g := range every {
		l.buf = l.buf[:0]
		for _, i := range at {
			if i < len(a.by.keys) {
				l.buf = append(l.buf, a.by.value(g, i))
			} else {
				l.buf = append(l.buf, a.accs[i-len(a.by.keys)].Value(g))
			}
		}
		l.offer(int(g), 0)
	}
	groups := make([]uint32, len(l.list))
	for i := range l.list {
		groups[i] = uint32(l.list[i].unit)
	}
	return groups
}
