package segment

import (
	"container/heap"
	"math"
	"slices"
	"sync/atomic"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/store/segment/colfile"
)

// leader is a row among the first so far. Its fields are read when it is known that it stays.
type leader struct {
	keys []event.Value
	unit int // place in the list of units
	row  int32
}

// leaders keeps the first rows of an order; each worker has its own. It is a heap whose first is
// the last of them.
type leaders struct {
	top  *top
	list []leader
	// time tells that rows are ordered by time first; they are compared by it before anything
	// else of them is read. bound is shared by the workers: no row beyond it can be among the
	// first.
	time, desc bool
	bound      *atomic.Int64
	buf        []event.Value
}

// byTime reports whether the order is by time first, and whether the newest come first.
func (t *top) byTime() (is, desc bool) {
	if len(t.keys) == 0 {
		return false, false
	}
	f, ok := t.keys[0].By.(query.Field)
	return ok && f.Name == event.FieldTime && !t.keys[0].Loose, t.keys[0].Desc
}

func newLeaders(t *top, bound *atomic.Int64) *leaders {
	l := &leaders{top: t, bound: bound}
	l.time, l.desc = t.byTime()
	return l
}

func newBound(desc bool) *atomic.Int64 {
	var b atomic.Int64
	b.Store(math.MaxInt64)
	if desc {
		b.Store(math.MinInt64)
	}
	return &b
}

func (l *leaders) Len() int { return len(l.list) }
func (l *leaders) Less(i, j int) bool {
	return query.CompareKeys(l.top.keys, l.list[i].keys, l.list[j].keys) > 0
}
func (l *leaders) Swap(i, j int) { l.list[i], l.list[j] = l.list[j], l.list[i] }
func (l *leaders) Push(x any)    { l.list = append(l.list, x.(leader)) }
func (l *leaders) Pop() any {
	x := l.list[len(l.list)-1]
	l.list = l.list[:len(l.list)-1]
	return x
}

// beyond reports whether no row with a time can be among the first.
func (l *leaders) beyond(t int64) bool {
	if !l.time {
		return false
	}
	if l.desc {
		return t < l.bound.Load()
	}
	return t > l.bound.Load()
}

// hopeless reports whether no row of the unit can be among the first.
func (l *leaders) hopeless(u *unit) bool {
	if l.desc {
		return l.beyond(u.max)
	}
	return l.beyond(u.min)
}

// page offers the rows of the scanner's page that are in keep.
func (l *leaders) page(s *scanner, unit int, keep bitmap) {
	if l.top.limit == 0 {
		return
	}
	var times []int64
	if l.time {
		v := s.field(event.FieldTime).sources[0]
		s.load(v)
		if s.err != nil {
			return
		}
		if v.vec.Encoding == colfile.Delta {
			times = v.vec.Nums
		}
	}
	row := &pageRow{s: s}
	offer := func(i int) {
		if times != nil && l.beyond(times[i]) {
			return
		}
		row.i = i
		l.buf = l.buf[:0]
		for _, k := range l.top.keys {
			l.buf = append(l.buf, query.Eval(k.By, row))
		}
		l.offer(unit, int32(s.page*colfile.PageRows+i))
		if l.time && len(l.list) == l.top.limit {
			l.tighten(l.list[0].keys[0].Int())
		}
	}
	if l.desc { // the newest rows of a page are its last
		for k := len(keep) - 1; k >= 0; k-- {
			for i := 63; i >= 0 && keep[k] != 0; i-- {
				if keep[k]&(1<<i) != 0 {
					offer(k<<6 + i)
				}
			}
		}
		return
	}
	keep.each(offer)
}

// offer takes the row whose keys are in buf, when it is among the first so far.
func (l *leaders) offer(unit int, row int32) {
	full := len(l.list) >= l.top.limit
	if full && (l.top.limit == 0 || query.CompareKeys(l.top.keys, l.buf, l.list[0].keys) >= 0) {
		return
	}
	x := leader{unit: unit, row: row}
	if full {
		x.keys = l.list[0].keys
	} else {
		x.keys = make([]event.Value, len(l.buf))
	}
	for i, v := range l.buf {
		x.keys[i] = owned(v)
	}
	if full {
		l.list[0] = x
		heap.Fix(l, 0)
	} else {
		heap.Push(l, x)
	}
}

// narrow clears the rows of the page that can not be among the first.
func (l *leaders) narrow(s *scanner, keep bitmap) {
	if l.unbounded() {
		return
	}
	v := s.field(event.FieldTime).sources[0]
	s.load(v)
	if s.err != nil || v.vec.Encoding != colfile.Delta {
		return
	}
	for i, t := range v.vec.Nums[:s.n] {
		if l.beyond(t) {
			keep[i>>6] &^= 1 << (i & 63)
		}
	}
}

func (l *leaders) unbounded() bool {
	b := l.bound.Load()
	return b == math.MinInt64 || b == math.MaxInt64
}

// tighten moves the bound to the time of the last row of a full list.
func (l *leaders) tighten(t int64) {
	for {
		old := l.bound.Load()
		if l.desc && t <= old || !l.desc && t >= old || l.bound.CompareAndSwap(old, t) {
			return
		}
	}
}

// merge returns the first rows of all lists, in order.
func merge(t *top, lists []*leaders) []leader {
	var all []leader
	for _, l := range lists {
		all = append(all, l.list...)
	}
	slices.SortStableFunc(all, func(a, b leader) int { return query.CompareKeys(t.keys, a.keys, b.keys) })
	return all[:min(len(all), t.limit)]
}
