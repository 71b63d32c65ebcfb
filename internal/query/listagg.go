package query

import (
	"math"
	"slices"
	"strconv"

	"github.com/trefoil-o11y/trefoil/internal/event"
)

const (
	// maxValues and maxValuesBytes bound the values that Values has of one group, MaxHeldBytes
	// those of all groups.
	maxValues      = 1000
	maxValuesBytes = 256 << 10
)

// TooLarge reports whether an accumulator holds more than it may; what it gives is of no use then.
func TooLarge(a Accumulator) bool {
	v, ok := a.(*valueLists)
	return ok && v.bytes > MaxHeldBytes
}

// valueLists keeps the first different values of each group, in order.
type valueLists struct {
	g     []valueList
	bytes int
}

type valueList struct {
	list  []event.Value
	bytes int
}

func cost(v event.Value) int { return 40 + len(v.Str()) }

func (a *valueLists) Grow(n int) { a.g = grow(a.g, n) }

func (a *valueLists) Add(g uint32, v event.Value, _ float64, _ int64) {
	if v.Missing() {
		return
	}
	l := &a.g[g]
	i, found := slices.BinarySearchFunc(l.list, v, event.Order)
	if found || i == len(l.list) && (i >= maxValues || l.bytes >= maxValuesBytes) {
		return
	}
	v = own(v)
	l.list = slices.Insert(l.list, i, v)
	l.bytes += cost(v)
	a.bytes += cost(v)
	for n := len(l.list); n > maxValues || n > 1 && l.bytes-cost(l.list[n-1]) >= maxValuesBytes; n-- {
		l.bytes -= cost(l.list[n-1])
		a.bytes -= cost(l.list[n-1])
		l.list = l.list[:n-1]
	}
}

func (a *valueLists) AddFloats(groups []uint32, vals, _ []float64) {
	for i, g := range groups {
		a.Add(g, event.Float(vals[i]), 1, 0)
	}
}

func (a *valueLists) AddInts(groups []uint32, vals []int64, _ []float64) {
	for i, g := range groups {
		a.Add(g, event.Int(vals[i]), 1, 0)
	}
}

func (a *valueLists) Merge(g uint32, from Accumulator, h uint32) {
	for _, v := range from.(*valueLists).g[h].list {
		a.Add(g, v, 1, 0)
	}
}

func (a *valueLists) Value(g uint32) event.Value {
	if len(a.g[g].list) == 0 {
		return event.Value{}
	}
	b := []byte{'['}
	for i, v := range a.g[g].list {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, makeDocument(v).Str()...)
	}
	return event.String(string(append(b, ']')))
}

// histogram counts the numbers in ranges of equal width from the least to the greatest, which the
// last range has.
func (n *percentile) histogram(ranges int) event.Value {
	lo, hi := math.Inf(1), math.Inf(-1)
	if n.sketch != nil {
		lo, hi = n.ends[0], n.ends[1]
	} else {
		n.each(func(f, _ float64) { lo, hi = min(lo, f), max(hi, f) })
	}
	if lo > hi {
		return event.Value{}
	}
	if lo == hi {
		ranges = 1
	}
	counts := make([]float64, ranges)
	width := hi/float64(ranges) - lo/float64(ranges)
	n.each(func(f, w float64) {
		i := 0
		if width > 0 {
			i = min(int((f-lo)/width), ranges-1)
		}
		counts[max(i, 0)] += w
	})
	b := []byte{'{'}
	for i, c := range counts {
		if i > 0 {
			b = append(b, ',')
		}
		end := lo + float64(i+1)*width
		if i == ranges-1 {
			end = hi
		}
		b = appendJSON(b, event.FormatFloat(lo+float64(i)*width)+".."+event.FormatFloat(end))
		b = strconv.AppendFloat(append(b, ':'), c, 'f', -1, 64)
	}
	return event.String(string(append(b, '}')))
}

// each yields the numbers with their weights; in a sketch the middles of its buckets.
func (n *percentile) each(yield func(f, w float64)) {
	for i, f := range n.vals {
		yield(f, weight(n.weights, i))
	}
	if s := n.sketch; s != nil {
		if s.zeros > 0 {
			yield(0, s.zeros)
		}
		for sign, o := range map[float64]*octaves{1: &s.positive, -1: &s.negative} {
			for i, p := range o.list {
				if p == nil {
					continue
				}
				for j, w := range p {
					if w > 0 {
						yield(sign*o.middle(i, j), w)
					}
				}
			}
		}
	}
}
