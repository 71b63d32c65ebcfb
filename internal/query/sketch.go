package query

import (
	"math"
)

// sketch counts numbers in buckets of a width in proportion to their magnitude: sketchParts to
// each power of two, so that a bucket's middle is within 1/(2·sketchParts) of all its numbers
// (0.4 %). Two sketches merge exactly. It is a DDSketch whose mapping interpolates linearly
// between powers of two, so that a bucket's number is the front of the number's bits.
type sketch struct {
	zeros    float64
	positive octaves
	negative octaves
	total    float64
}

const (
	sketchBits  = 7
	sketchParts = 1 << sketchBits
)

// octaves are the buckets of one sign: those of the powers of two from first on, nil where there
// is no number.
type octaves struct {
	first int
	list  []*[sketchParts]float64
}

func (o *octaves) at(exp int) *[sketchParts]float64 {
	switch {
	case len(o.list) == 0:
		o.first = exp
		o.list = make([]*[sketchParts]float64, 1)
	case exp < o.first:
		list := make([]*[sketchParts]float64, o.first-exp+len(o.list))
		copy(list[o.first-exp:], o.list)
		o.first, o.list = exp, list
	case exp >= o.first+len(o.list):
		list := make([]*[sketchParts]float64, exp-o.first+1)
		copy(list, o.list)
		o.list = list
	}
	p := &o.list[exp-o.first]
	if *p == nil {
		*p = new([sketchParts]float64)
	}
	return *p
}

func (o *octaves) add(bits uint64, w float64) {
	exp := int(bits>>52) & 0x7ff
	if i := exp - o.first; i >= 0 && i < len(o.list) && o.list[i] != nil {
		o.list[i][bits>>(52-sketchBits)&(sketchParts-1)] += w
		return
	}
	o.at(exp)[bits>>(52-sketchBits)&(sketchParts-1)] += w
}

func (o *octaves) merge(from *octaves) {
	for i, p := range from.list {
		if p != nil {
			to := o.at(from.first + i)
			for j := range p {
				to[j] += p[j]
			}
		}
	}
}

// middle is the number that stands for a bucket.
func (o *octaves) middle(i, j int) float64 {
	low := uint64(o.first+i)<<52 | uint64(j)<<(52-sketchBits)
	return math.Float64frombits(low | 1<<(52-sketchBits-1))
}

func (s *sketch) add(f, w float64) {
	s.total += w
	switch bits := math.Float64bits(f); {
	case f > 0:
		s.positive.add(bits, w)
	case f < 0:
		s.negative.add(bits, w)
	default:
		s.zeros += w
	}
}

func (s *sketch) merge(from *sketch) {
	s.total += from.total
	s.zeros += from.zeros
	s.positive.merge(&from.positive)
	s.negative.merge(&from.negative)
}

// quantile returns about the number below which the share q of all lies.
func (s *sketch) quantile(q float64) float64 {
	rank := q * (s.total - 1)
	seen, last := 0.0, 0.0
	for i := len(s.negative.list) - 1; i >= 0; i-- {
		if p := s.negative.list[i]; p != nil {
			for j := sketchParts - 1; j >= 0; j-- {
				if p[j] > 0 {
					last = -s.negative.middle(i, j)
					if seen += p[j]; seen > rank {
						return last
					}
				}
			}
		}
	}
	if s.zeros > 0 {
		last = 0
		if seen += s.zeros; seen > rank {
			return 0
		}
	}
	for i, p := range s.positive.list {
		if p == nil {
			continue
		}
		for j := range p {
			if p[j] > 0 {
				last = s.positive.middle(i, j)
				if seen += p[j]; seen > rank {
					return last
				}
			}
		}
	}
	return last
}
