package xray

import (
	"cmp"
	"slices"
)

const (
	// maxBuckets is how many values a histogram has before it is made coarser.
	maxBuckets = 200
	// manyValues is from how many values on a spread that much is merged into counts by index, and
	// denseValues up to which value.
	manyValues  = 64
	denseValues = 4096
)

// spread counts values, in milliseconds.
type spread struct {
	list  []valueCount // of a kept minute
	some  map[int64]int
	dense []int // of the values below its length
}

type valueCount struct {
	value int64
	n     int
}

func (s *spread) add(v int64, n int) {
	if uint64(v) < uint64(len(s.dense)) {
		s.dense[v] += n
		return
	}
	if s.some == nil {
		s.some = map[int64]int{}
	}
	s.some[v] += n
}

// each calls f with every value and a number of times; a value may come twice.
func (s *spread) each(f func(v int64, n int)) {
	for _, x := range s.list {
		f(x.value, x.n)
	}
	for v, n := range s.some {
		f(v, n)
	}
	for v, n := range s.dense {
		if n > 0 {
			f(int64(v), n)
		}
	}
}

// merge adds what o counted. One that many are merged into takes more memory and less time.
func (s *spread) merge(o *spread, many bool) {
	o.each(s.add)
	if many && s.dense == nil && len(s.some) > manyValues {
		s.dense = make([]int, denseValues)
		for v, n := range s.some {
			if uint64(v) < denseValues {
				s.dense[v] = n
				delete(s.some, v)
			}
		}
	}
}

// sorted lists the values in order, each once.
func (s *spread) sorted() []valueCount {
	out := make([]valueCount, 0, len(s.list)+len(s.some)+len(s.dense)/4)
	s.each(func(v int64, n int) { out = append(out, valueCount{v, n}) })
	return joined(out)
}

// joined puts values in order and adds those up that are equal.
func joined(list []valueCount) []valueCount {
	slices.SortFunc(list, func(a, b valueCount) int { return cmp.Compare(a.value, b.value) })
	out := list[:0]
	for _, x := range list {
		if n := len(out); n > 0 && out[n-1].value == x.value {
			out[n-1].n += x.n
		} else {
			out = append(out, x)
		}
	}
	return out
}

// histogram lists the values, by size; very many are rounded to two digits.
func (s *spread) histogram() []histogramOut {
	list := s.sorted()
	if len(list) > maxBuckets {
		for i := range list {
			list[i].value = twoDigits(list[i].value)
		}
		list = joined(list)
	}
	out := make([]histogramOut, len(list))
	for i, x := range list {
		out[i] = histogramOut{float64(x.value) / 1000, x.n}
	}
	return out
}

// twoDigits rounds to two significant digits, what is halfway to the even one.
func twoDigits(v int64) int64 {
	if v < 0 {
		return -twoDigits(-max(v, -1<<62))
	}
	unit := int64(1)
	for v/unit >= 100 {
		unit *= 10
	}
	digits, rest := v/unit, v%unit
	if 2*rest > unit || 2*rest == unit && digits%2 == 1 {
		digits++
	}
	return digits * unit
}
