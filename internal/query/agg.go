package query

import (
	"math"
	"slices"
	"strings"

	"github.com/axiomhq/hyperloglog"
	"github.com/zeebo/xxh3"

	"github.com/trefoil-o11y/trefoil/internal/event"
)

const (
	// distinctExact is the number of values up to which CountDistinct is exact.
	distinctExact = 10_000
	// percentileExact is the number of numbers up to which Percentile is exact, as long as all
	// groups of the aggregate hold fewer than percentileHeld; beyond that a group is exact up to
	// percentileFew.
	percentileExact = 10_000
	percentileHeld  = 1 << 21
	percentileFew   = 1_000
)

// Accumulator computes one aggregate for many groups at once, which are numbered from 0. Groups
// must be made with Grow before they are used. It is for one goroutine; executors that work in
// parallel give each its own and merge them.
type Accumulator interface {
	// Grow makes room for the groups below n.
	Grow(n int)
	// Add takes the argument's value of one row; w is the row's weight and t its time. For
	// Count without argument v is a value that is not missing. A string that is kept is copied.
	Add(g uint32, v event.Value, w float64, t int64)
	// AddFloats adds rows whose argument is a float: groups[i], vals[i] and, unless weights is
	// nil, weights[i] belong together. Not for Earliest and Latest.
	AddFloats(groups []uint32, vals, weights []float64)
	// AddInts is AddFloats for integers.
	AddInts(groups []uint32, vals []int64, weights []float64)
	// Merge adds group h of from, an Accumulator for the same Agg, to group g.
	Merge(g uint32, from Accumulator, h uint32)
	// Value returns the aggregate of a group.
	Value(g uint32) event.Value
}

// NewAccumulator returns the accumulator for an aggregate.
func NewAccumulator(a Agg) Accumulator {
	switch a.Op {
	case Count:
		return &Counts{}
	case Sum:
		return &sums{}
	case Avg:
		return &means{}
	case StdDev, Variance:
		return &moments{op: a.Op}
	case Min:
		return &extremes{sign: -1}
	case Max:
		return &extremes{sign: 1}
	case CountDistinct:
		return &Distincts{}
	case Percentile:
		return &percentiles{p: a.P}
	case Histogram:
		return &percentiles{ranges: int(a.P)}
	case Values:
		return &valueLists{}
	case Earliest:
		return &edges{sign: -1}
	default:
		return &edges{sign: 1}
	}
}

func grow[T any](s []T, n int) []T {
	if n <= len(s) {
		return s
	}
	if n <= cap(s) {
		return s[:n]
	}
	return append(s, make([]T, n-len(s))...)
}

func weight(weights []float64, i int) float64 {
	if weights == nil {
		return 1
	}
	return weights[i]
}

// own returns v with a string that nobody else has.
func own(v event.Value) event.Value {
	if v.Kind() == event.KindString {
		return event.String(strings.Clone(v.Str()))
	}
	return v
}

// Counts is the Accumulator of Count.
type Counts struct{ n []float64 }

// Grow implements Accumulator.
func (c *Counts) Grow(n int) { c.n = grow(c.n, n) }

// Add implements Accumulator.
func (c *Counts) Add(g uint32, v event.Value, w float64, _ int64) {
	if !v.Missing() {
		c.n[g] += w
	}
}

// AddRows adds rows whatever their values are; nil weights are 1.
func (c *Counts) AddRows(groups []uint32, weights []float64) {
	n := c.n
	if weights == nil {
		for _, g := range groups {
			n[g]++
		}
		return
	}
	for i, g := range groups {
		n[g] += weights[i]
	}
}

// AddMany adds rows of one group by their whole weight.
func (c *Counts) AddMany(g uint32, weight float64) { c.n[g] += weight }

// AddFloats implements Accumulator.
func (c *Counts) AddFloats(groups []uint32, _, weights []float64) { c.AddRows(groups, weights) }

// AddInts implements Accumulator.
func (c *Counts) AddInts(groups []uint32, _ []int64, weights []float64) { c.AddRows(groups, weights) }

// Merge implements Accumulator.
func (c *Counts) Merge(g uint32, from Accumulator, h uint32) { c.n[g] += from.(*Counts).n[h] }

// Value implements Accumulator.
func (c *Counts) Value(g uint32) event.Value { return Number(c.n[g]) }

// sums sums integers exactly while they fit.
type sums struct{ s []sum }

type sum struct {
	any, float bool
	i          int64
	f          float64
}

func (a *sums) Grow(n int) { a.s = grow(a.s, n) }

func (a *sums) Add(g uint32, v event.Value, w float64, _ int64) {
	switch v.Kind() {
	case event.KindInt:
		a.s[g].int(v.Int(), w)
	case event.KindFloat:
		a.s[g].num(v.Float() * w)
	}
}

func (s *sum) num(f float64) {
	s.any, s.float = true, true
	s.f += f
}

func (s *sum) int(i int64, w float64) {
	s.any = true
	f := float64(i) * w
	s.f += f
	if !s.float {
		d := i * int64(w)
		t := s.i + d
		if math.Abs(f) >= 1<<62 || (t > s.i) != (d > 0) && d != 0 {
			s.float = true
		}
		s.i = t
	}
}

func (a *sums) AddFloats(groups []uint32, vals, weights []float64) {
	for i, g := range groups {
		a.s[g].num(vals[i] * weight(weights, i))
	}
}

func (a *sums) AddInts(groups []uint32, vals []int64, weights []float64) {
	for i, g := range groups {
		a.s[g].int(vals[i], weight(weights, i))
	}
}

func (a *sums) Merge(g uint32, from Accumulator, h uint32) { a.s[g].merge(&from.(*sums).s[h]) }

func (s *sum) merge(o *sum) {
	if !o.any {
		return
	}
	f := s.f + o.f
	if o.float {
		s.any, s.float = true, true
	} else {
		s.int(o.i, 1)
	}
	s.f = f
}

func (a *sums) Value(g uint32) event.Value {
	switch s := &a.s[g]; {
	case !s.any:
		return event.Value{}
	case s.float:
		return event.Float(s.f)
	default:
		return event.Int(s.i)
	}
}

// means divides sums, which are exact for integers, by weights.
type means struct{ m []mean }

type mean struct {
	sum
	w float64
}

func (a *means) Grow(n int) { a.m = grow(a.m, n) }

func (a *means) Add(g uint32, v event.Value, w float64, _ int64) {
	if w <= 0 {
		return
	}
	switch v.Kind() {
	case event.KindInt:
		a.m[g].int(v.Int(), w)
		a.m[g].w += w
	case event.KindFloat:
		a.m[g].num(v.Float() * w)
		a.m[g].w += w
	}
}

func (a *means) AddFloats(groups []uint32, vals, weights []float64) {
	for i, g := range groups {
		if w := weight(weights, i); w > 0 {
			a.m[g].num(vals[i] * w)
			a.m[g].w += w
		}
	}
}

func (a *means) AddInts(groups []uint32, vals []int64, weights []float64) {
	for i, g := range groups {
		if w := weight(weights, i); w > 0 {
			a.m[g].int(vals[i], w)
			a.m[g].w += w
		}
	}
}

func (a *means) Merge(g uint32, from Accumulator, h uint32) {
	m, o := &a.m[g], &from.(*means).m[h]
	m.sum.merge(&o.sum)
	m.w += o.w
}

func (a *means) Value(g uint32) event.Value {
	m := &a.m[g]
	switch {
	case m.w == 0:
		return event.Value{}
	case m.float:
		return event.Float(m.f / m.w)
	default:
		return event.Float(float64(m.i) / m.w)
	}
}

// moments keeps weighted means and squared deviations (Welford, West; merged by Chan).
type moments struct {
	op AggOp
	m  []moment
}

type moment struct{ w, mean, sq float64 }

func (a *moments) Grow(n int) { a.m = grow(a.m, n) }

func (m *moment) add(f, w float64) {
	if w <= 0 {
		return
	}
	if m.w == 0 { // exactly, where f·w/w may be rounded
		m.w, m.mean = w, f
		return
	}
	m.w += w
	d := f - m.mean
	m.mean += d * w / m.w
	m.sq += w * d * (f - m.mean)
}

func (a *moments) Add(g uint32, v event.Value, w float64, _ int64) {
	if f, ok := v.Number(); ok {
		a.m[g].add(f, w)
	}
}

func (a *moments) AddFloats(groups []uint32, vals, weights []float64) {
	for i, g := range groups {
		a.m[g].add(vals[i], weight(weights, i))
	}
}

func (a *moments) AddInts(groups []uint32, vals []int64, weights []float64) {
	for i, g := range groups {
		a.m[g].add(float64(vals[i]), weight(weights, i))
	}
}

func (a *moments) Merge(g uint32, from Accumulator, h uint32) {
	m, o := &a.m[g], &from.(*moments).m[h]
	if o.w == 0 {
		return
	}
	if m.w == 0 {
		*m = *o
		return
	}
	w := m.w + o.w
	d := o.mean - m.mean
	m.sq += o.sq + d*d*m.w*o.w/w
	m.mean += d * o.w / w
	m.w = w
}

func (a *moments) Value(g uint32) event.Value {
	switch m := &a.m[g]; {
	case m.w == 0:
		return event.Value{}
	case a.op == StdDev:
		return event.Float(math.Sqrt(max(m.sq, 0) / m.w))
	default:
		return event.Float(max(m.sq, 0) / m.w)
	}
}

// extremes keeps the least or the greatest value by event.Order.
type extremes struct {
	sign int
	best []event.Value
}

func (a *extremes) Grow(n int) { a.best = grow(a.best, n) }

func (a *extremes) Add(g uint32, v event.Value, _ float64, _ int64) {
	if b := &a.best[g]; !v.Missing() && (b.Missing() || event.Order(v, *b)*a.sign > 0) {
		*b = own(v)
	}
}

func (a *extremes) AddFloats(groups []uint32, vals, _ []float64) {
	for i, g := range groups {
		b := &a.best[g]
		if b.Kind() == event.KindFloat {
			// NaN, which is the least, takes the way through Order.
			if f := b.Float(); a.sign > 0 && vals[i] <= f || a.sign < 0 && vals[i] >= f {
				continue
			}
		}
		a.Add(g, event.Float(vals[i]), 1, 0)
	}
}

func (a *extremes) AddInts(groups []uint32, vals []int64, _ []float64) {
	for i, g := range groups {
		b := &a.best[g]
		if b.Kind() == event.KindInt {
			if n := b.Int(); a.sign > 0 && vals[i] <= n || a.sign < 0 && vals[i] >= n {
				continue
			}
		}
		a.Add(g, event.Int(vals[i]), 1, 0)
	}
}

func (a *extremes) Merge(g uint32, from Accumulator, h uint32) {
	a.Add(g, from.(*extremes).best[h], 1, 0)
}

func (a *extremes) Value(g uint32) event.Value { return a.best[g] }

// edges keeps the value of the first or the last row.
type edges struct {
	sign int
	e    []edge
}

type edge struct {
	t int64
	v event.Value
}

func (a *edges) Grow(n int) { a.e = grow(a.e, n) }

func (a *edges) Add(g uint32, v event.Value, _ float64, t int64) {
	e := &a.e[g]
	if !v.Missing() && (e.v.Missing() || a.sign > 0 && t > e.t || a.sign < 0 && t < e.t) {
		*e = edge{t, own(v)}
	}
}

func (a *edges) AddFloats([]uint32, []float64, []float64) {
	panic("query: the first and the last value need times")
}

func (a *edges) AddInts([]uint32, []int64, []float64) {
	panic("query: the first and the last value need times")
}

func (a *edges) Merge(g uint32, from Accumulator, h uint32) {
	o := &from.(*edges).e[h]
	a.Add(g, o.v, 1, o.t)
}

func (a *edges) Value(g uint32) event.Value { return a.e[g].v }

// Distincts is the Accumulator of CountDistinct. It knows values by their hashes: two of
// distinctExact values share one with a probability of 10⁻¹². Integers and floats of equal
// magnitude are different values, as they are different columns.
type Distincts struct{ d []distinct }

type distinct struct {
	set    []uint64 // open-addressed, 0 is free
	n      int
	zero   bool // the hash 0 is one of them
	sketch *hyperloglog.Sketch
}

// Hash returns the hash by which Distincts knows a value that is not missing.
func Hash(v event.Value) uint64 {
	if v.Kind() == event.KindString {
		return xxh3.HashString(v.Str())
	}
	var buf [9]byte
	return xxh3.Hash(appendKey(buf[:0], v))
}

// Grow implements Accumulator.
func (a *Distincts) Grow(n int) { a.d = grow(a.d, n) }

// AddHash adds the value with a hash to a group.
func (a *Distincts) AddHash(g uint32, h uint64) {
	d := &a.d[g]
	if d.sketch != nil {
		d.sketch.InsertHash(h)
		return
	}
	d.insert(h)
}

func (d *distinct) insert(h uint64) {
	if h == 0 {
		d.zero = true
		return
	}
	if 2*d.n >= len(d.set) {
		old := d.set
		d.set = make([]uint64, max(16, 4*len(old)))
		d.n = 0
		for _, x := range old {
			if x != 0 {
				d.insert(x)
			}
		}
	}
	mask := uint64(len(d.set) - 1)
	i := h & mask
	for ; d.set[i] != 0; i = (i + 1) & mask {
		if d.set[i] == h {
			return
		}
	}
	d.set[i] = h
	if d.n++; d.n > distinctExact {
		d.toSketch()
	}
}

// each calls yield for the hashes of an exact set.
func (d *distinct) each(yield func(h uint64)) {
	if d.zero {
		yield(0)
	}
	for _, h := range d.set {
		if h != 0 {
			yield(h)
		}
	}
}

func (d *distinct) toSketch() {
	d.sketch = hyperloglog.NewNoSparse()
	d.each(d.sketch.InsertHash)
	d.set = nil
}

// Add implements Accumulator.
func (a *Distincts) Add(g uint32, v event.Value, _ float64, _ int64) {
	if !v.Missing() {
		a.AddHash(g, Hash(v))
	}
}

// AddFloats implements Accumulator.
func (a *Distincts) AddFloats(groups []uint32, vals, _ []float64) {
	for i, g := range groups {
		a.AddHash(g, Hash(event.Float(vals[i])))
	}
}

// AddInts implements Accumulator.
func (a *Distincts) AddInts(groups []uint32, vals []int64, _ []float64) {
	for i, g := range groups {
		a.AddHash(g, Hash(event.Int(vals[i])))
	}
}

// Merge implements Accumulator.
func (a *Distincts) Merge(g uint32, from Accumulator, h uint32) {
	d, o := &a.d[g], &from.(*Distincts).d[h]
	if o.sketch == nil {
		o.each(func(h uint64) { a.AddHash(g, h) })
		return
	}
	if d.sketch == nil {
		d.toSketch()
	}
	if err := d.sketch.Merge(o.sketch); err != nil {
		panic(err) // both have the same precision
	}
}

// Value implements Accumulator.
func (a *Distincts) Value(g uint32) event.Value {
	d := &a.d[g]
	if d.sketch != nil {
		return event.Int(int64(d.sketch.Estimate()))
	}
	n := d.n
	if d.zero {
		n++
	}
	return event.Int(int64(n))
}

// percentiles interpolates linearly between the closest ranks while exact; weights repeat a
// number.
type percentiles struct {
	p      float64
	ranges int // above 0 the value is a histogram of so many ranges
	n      []percentile
	held   int
}

type percentile struct {
	vals    []float64
	weights []float64 // nil while all are 1
	sketch  *sketch
	ends    [2]float64 // the least and the greatest, of a sketch for a histogram
}

func (a *percentiles) Grow(n int) { a.n = grow(a.n, n) }

func (a *percentiles) add(g uint32, f, w float64) {
	if w <= 0 || math.IsNaN(f) || math.IsInf(f, 0) {
		return
	}
	n := &a.n[g]
	if n.sketch != nil {
		n.sketch.add(f, w)
		if a.ranges > 0 {
			n.ends[0], n.ends[1] = min(n.ends[0], f), max(n.ends[1], f)
		}
		return
	}
	if w != 1 && n.weights == nil {
		n.weights = make([]float64, len(n.vals), cap(n.vals))
		for i := range n.weights {
			n.weights[i] = 1
		}
	}
	n.vals = append(n.vals, f)
	if n.weights != nil {
		n.weights = append(n.weights, w)
	}
	a.held++
	if k := len(n.vals); k > percentileExact || k > percentileFew && a.held > percentileHeld {
		a.toSketch(n)
	}
}

func (a *percentiles) toSketch(n *percentile) {
	n.sketch = &sketch{}
	n.ends = [2]float64{math.Inf(1), math.Inf(-1)}
	for _, f := range n.vals {
		n.ends[0], n.ends[1] = min(n.ends[0], f), max(n.ends[1], f)
	}
	for i, f := range n.vals {
		n.sketch.add(f, weight(n.weights, i))
	}
	a.held -= len(n.vals)
	n.vals, n.weights = nil, nil
}

func (a *percentiles) Add(g uint32, v event.Value, w float64, _ int64) {
	if f, ok := v.Number(); ok {
		a.add(g, f, w)
	}
}

func (a *percentiles) AddFloats(groups []uint32, vals, weights []float64) {
	for i, g := range groups {
		a.add(g, vals[i], weight(weights, i))
	}
}

func (a *percentiles) AddInts(groups []uint32, vals []int64, weights []float64) {
	for i, g := range groups {
		a.add(g, float64(vals[i]), weight(weights, i))
	}
}

func (a *percentiles) Merge(g uint32, from Accumulator, h uint32) {
	n, o := &a.n[g], &from.(*percentiles).n[h]
	if o.sketch == nil {
		for i, f := range o.vals {
			a.add(g, f, weight(o.weights, i))
		}
		return
	}
	if n.sketch == nil {
		a.toSketch(n)
	}
	n.sketch.merge(o.sketch)
	n.ends[0], n.ends[1] = min(n.ends[0], o.ends[0]), max(n.ends[1], o.ends[1])
}

func (a *percentiles) Value(g uint32) event.Value {
	n := &a.n[g]
	if a.ranges > 0 {
		return n.histogram(a.ranges)
	}
	if n.sketch != nil {
		return event.Float(n.sketch.quantile(a.p / 100))
	}
	if len(n.vals) == 0 {
		return event.Value{}
	}
	if n.weights == nil {
		slices.Sort(n.vals)
		rank := a.p / 100 * float64(len(n.vals)-1)
		lo := int(rank)
		hi := min(lo+1, len(n.vals)-1)
		return event.Float(n.vals[lo] + (rank-float64(lo))*(n.vals[hi]-n.vals[lo]))
	}
	return event.Float(n.weighted(a.p))
}

func (n *percentile) weighted(p float64) float64 {
	order := make([]int, len(n.vals))
	total := 0.0
	for i := range order {
		order[i] = i
		total += n.weights[i]
	}
	slices.SortFunc(order, func(i, j int) int {
		switch {
		case n.vals[i] < n.vals[j]:
			return -1
		case n.vals[i] > n.vals[j]:
			return 1
		}
		return 0
	})
	at := func(r float64) float64 {
		seen := 0.0
		for _, i := range order {
			seen += n.weights[i]
			if r < seen {
				return n.vals[i]
			}
		}
		return n.vals[order[len(order)-1]]
	}
	rank := p / 100 * (total - 1)
	lo := math.Floor(rank)
	x := at(lo)
	if rank > lo {
		x += (rank - lo) * (at(lo+1) - x)
	}
	return x
}
