package query

import (
	"math"
	"sort"

	"github.com/DataDog/sketches-go/ddsketch"
	"github.com/axiomhq/hyperloglog"

	"github.com/trefoil-o11y/trefoil/internal/event"
)

const (
	// distinctExact is the number of values up to which CountDistinct is exact.
	distinctExact = 10_000
	// percentileExact is the number of numbers up to which Percentile is exact.
	percentileExact = 10_000
	// percentileError is the relative error of Percentile beyond percentileExact.
	percentileError = 0.01
)

// accumulator computes one aggregate of one group.
type accumulator interface {
	// add takes the argument's value of one row; w is the row's weight and t its time. For
	// Count without argument v is a value that is not missing.
	add(v event.Value, w float64, t int64)
	value() event.Value
}

func newAccumulator(a Agg) accumulator {
	switch a.Op {
	case Count:
		return &countAcc{}
	case Sum:
		return &sumAcc{ints: true}
	case Avg, StdDev:
		return &momentAcc{dev: a.Op == StdDev}
	case Min:
		return &extremeAcc{sign: -1}
	case Max:
		return &extremeAcc{sign: 1}
	case CountDistinct:
		return &distinctAcc{seen: map[event.Value]struct{}{}}
	case Percentile:
		return &percentileAcc{p: a.P}
	case Earliest:
		return &edgeAcc{sign: -1}
	default:
		return &edgeAcc{sign: 1}
	}
}

type countAcc struct{ n float64 }

func (c *countAcc) add(v event.Value, w float64, _ int64) {
	if !v.Missing() {
		c.n += w
	}
}

func (c *countAcc) value() event.Value { return Number(c.n) }

// sumAcc sums integers exactly while they fit.
type sumAcc struct {
	ints bool
	any  bool
	i    int64
	f    float64
}

func (s *sumAcc) add(v event.Value, w float64, _ int64) {
	f, ok := v.Number()
	if !ok {
		return
	}
	s.any = true
	s.f += f * w
	if s.ints {
		d := v.Int() * int64(w)
		sum := s.i + d
		if v.Kind() != event.KindInt || math.Abs(f*w) >= 1<<62 || (sum > s.i) != (d > 0) && d != 0 {
			s.ints = false
		}
		s.i = sum
	}
}

func (s *sumAcc) value() event.Value {
	switch {
	case !s.any:
		return event.Value{}
	case s.ints:
		return event.Int(s.i)
	}
	return event.Float(s.f)
}

// momentAcc keeps the weighted mean and squared deviation (Welford, West).
type momentAcc struct {
	dev        bool
	w, mean, m float64
}

func (a *momentAcc) add(v event.Value, w float64, _ int64) {
	f, ok := v.Number()
	if !ok || w <= 0 {
		return
	}
	a.w += w
	d := f - a.mean
	a.mean += d * w / a.w
	a.m += w * d * (f - a.mean)
}

func (a *momentAcc) value() event.Value {
	if a.w == 0 {
		return event.Value{}
	}
	if a.dev {
		return event.Float(math.Sqrt(max(a.m, 0) / a.w))
	}
	return event.Float(a.mean)
}

type extremeAcc struct {
	sign int
	best event.Value
}

func (e *extremeAcc) add(v event.Value, _ float64, _ int64) {
	if v.Missing() {
		return
	}
	if e.best.Missing() || event.Order(v, e.best)*e.sign > 0 {
		e.best = v
	}
}

func (e *extremeAcc) value() event.Value { return e.best }

type edgeAcc struct {
	sign int
	t    int64
	v    event.Value
}

func (e *edgeAcc) add(v event.Value, _ float64, t int64) {
	if v.Missing() {
		return
	}
	if e.v.Missing() || e.sign > 0 && t > e.t || e.sign < 0 && t < e.t {
		e.v, e.t = v, t
	}
}

func (e *edgeAcc) value() event.Value { return e.v }

// distinctAcc counts integers and floats of equal magnitude as different values, as they are
// different columns.
type distinctAcc struct {
	seen   map[event.Value]struct{}
	sketch *hyperloglog.Sketch
}

func (d *distinctAcc) add(v event.Value, _ float64, _ int64) {
	if v.Missing() {
		return
	}
	if d.sketch != nil {
		d.sketch.Insert(hashKey(v))
		return
	}
	d.seen[v] = struct{}{}
	if len(d.seen) > distinctExact {
		d.sketch = hyperloglog.New14()
		for v := range d.seen {
			d.sketch.Insert(hashKey(v))
		}
		d.seen = nil
	}
}

func hashKey(v event.Value) []byte { return appendKey(nil, v) }

func (d *distinctAcc) value() event.Value {
	if d.sketch != nil {
		return event.Int(int64(d.sketch.Estimate()))
	}
	return event.Int(int64(len(d.seen)))
}

// percentileAcc interpolates linearly between the closest ranks while exact; weights repeat a
// number.
type percentileAcc struct {
	p      float64
	nums   []weighted
	total  float64
	sketch *ddsketch.DDSketch
}

type weighted struct{ v, w float64 }

func (a *percentileAcc) add(v event.Value, w float64, _ int64) {
	f, ok := v.Number()
	if !ok || w <= 0 || math.IsNaN(f) || math.IsInf(f, 0) {
		return
	}
	if a.sketch != nil {
		_ = a.sketch.AddWithCount(f, w)
		return
	}
	a.nums = append(a.nums, weighted{f, w})
	a.total += w
	if len(a.nums) > percentileExact {
		sketch, err := ddsketch.NewDefaultDDSketch(percentileError)
		if err != nil {
			panic(err) // the accuracy is a constant in range
		}
		for _, n := range a.nums {
			_ = sketch.AddWithCount(n.v, n.w)
		}
		a.sketch, a.nums = sketch, nil
	}
}

func (a *percentileAcc) value() event.Value {
	if a.sketch != nil {
		f, err := a.sketch.GetValueAtQuantile(a.p / 100)
		if err != nil {
			return event.Value{}
		}
		return event.Float(f)
	}
	if len(a.nums) == 0 {
		return event.Value{}
	}
	sort.Slice(a.nums, func(i, j int) bool { return a.nums[i].v < a.nums[j].v })
	rank := a.p / 100 * (a.total - 1)
	at := func(r float64) float64 {
		seen := 0.0
		for _, n := range a.nums {
			seen += n.w
			if r < seen {
				return n.v
			}
		}
		return a.nums[len(a.nums)-1].v
	}
	lo := math.Floor(rank)
	x := at(lo)
	if rank > lo {
		x += (rank - lo) * (at(lo+1) - x)
	}
	return event.Float(x)
}
