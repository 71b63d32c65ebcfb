package segment

import (
	"math"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/store/segment/colfile"
)

// oneField is a row with one field.
type oneField struct {
	name  string
	value event.Value
}

// Get implements query.Row.
func (r *oneField) Get(name string) event.Value {
	if name == r.name {
		return r.value
	}
	return event.Value{}
}

// Each implements query.Row.
func (r *oneField) Each(yield func(string, event.Value) bool) { yield(r.name, r.value) }

// pageSet has a bit for each of the first 32 pages of a unit. Filters that tell pages apart are
// not made for units with more.
type pageSet uint32

const everyPage = ^pageSet(0)

func (p pageSet) has(page int) bool { return page >= 32 || p&(1<<page) != 0 }

// pagesOf returns the pages on which a predicate may hold for a value; it asks once for each unit.
func (v *values) pagesOf(number int, ask func() pageSet) pageSet {
	for len(v.pages) <= number {
		v.pages = append(v.pages, unknownPages)
	}
	if v.pages[number] == unknownPages {
		v.pages[number] = int64(ask())
	}
	return pageSet(v.pages[number])
}

const unknownPages = -1

// Verdicts of a predicate about an entry of a dictionary; 0 is not known yet.
const (
	fails = 1
	holds = 2
)

// verdicts returns what p says of the entries of v's dictionary, and at their end of no value.
func (p *ofField) verdicts(v *values) []uint8 {
	for len(v.verdicts) <= p.number {
		v.verdicts = append(v.verdicts, nil)
	}
	if v.verdicts[p.number] == nil {
		list := make([]uint8, v.entries()+1)
		list[v.entries()] = verdict(p.missing)
		v.verdicts[p.number] = list
	}
	return v.verdicts[p.number]
}

func verdict(ok bool) uint8 {
	if ok {
		return holds
	}
	return fails
}

// filter implements predicate. A row has a value in one of the sources at most; where it has
// none in a source, the others decide, and where it has none at all, p.missing.
func (p *ofField) filter(s *scanner, keep bitmap) {
	f := s.field(p.name)
	if len(f.sources) == 0 {
		ok := p.missing
		if !f.constant.Missing() {
			ok = p.test(f.constant)
		}
		if !ok {
			clear(keep)
		}
		return
	}
	if len(f.sources) == 1 {
		v := f.sources[0]
		if !p.missing && p.allParts(s) == nil && !p.pages(s, v).has(s.page) {
			clear(keep)
			return
		}
		var found bitmap
		if p.part != nil {
			found = p.byParts(s, keep)
		}
		if !keep.empty() {
			s.load(v)
			if s.err == nil {
				p.one(v, keep)
			}
		}
		for k := range found {
			keep[k] |= found[k]
		}
		return
	}
	out := make(bitmap, len(keep))
	left := append(bitmap(nil), keep...) // rows without a value so far
	for _, v := range f.sources {
		s.load(v)
		if s.err != nil {
			return
		}
		has := make(bitmap, len(keep))
		for i := range s.n {
			if left.has(i) && v.has(i) {
				has.set(i)
			}
		}
		for i := range left {
			left[i] &^= has[i]
		}
		p.one(v, has)
		for i := range out {
			out[i] |= has[i]
		}
	}
	for i := range keep {
		if p.missing {
			out[i] |= left[i]
		}
		keep[i] &= out[i]
	}
}

func (v *values) has(i int) bool {
	if v.coded() {
		return int(v.vec.Codes[i]) < v.entries()
	}
	return v.vec.Has(i)
}

// one filters by one source.
func (p *ofField) one(v *values, keep bitmap) {
	switch {
	case v.coded():
		p.byCode(v, keep)
	case p.there && v.vec.Encoding != colfile.Split || p.present && v.vec.Encoding == colfile.Delta:
		for k := range keep {
			if v.vec.Valid != nil {
				keep[k] &= v.vec.Valid[k]
			}
		}
	case p.present && v.vec.Encoding == colfile.Split:
		p.finite(v, keep)
	case p.compare != nil && v.vec.Encoding == colfile.Split:
		compareFloats(p, v, keep)
	case p.compare != nil && v.vec.Encoding == colfile.Delta:
		compareInts(p, v, keep)
	case v.vec.Encoding == colfile.Lengths && p.searchable(v, keep):
		p.search(v, keep)
	default:
		slowly(p, v, keep)
	}
}

// finite keeps the rows that have a finite number, and asks for the others.
func (p *ofField) finite(v *values, keep bitmap) {
	for k := range keep {
		if v.vec.Valid != nil {
			keep[k] &= v.vec.Valid[k]
		}
		if keep[k] == 0 {
			continue
		}
		base := k << 6
		var odd uint64
		for i, f := range v.vec.Floats[base:min(base+64, len(v.vec.Floats))] {
			if f-f != 0 {
				odd |= 1 << i
			}
		}
		for b := odd & keep[k]; b != 0; b &= b - 1 {
			if !p.test(v.at(base + trailing(b))) {
				keep[k] &^= b & -b
			}
		}
	}
}

func (p *ofField) byCode(v *values, keep bitmap) {
	verdicts := p.verdicts(v)
	codes := v.vec.Codes
	for k, w := range keep {
		if w == 0 {
			continue
		}
		base := k << 6
		if w == ^uint64(0) {
			// All rows are asked for: no bit is looked for.
			var out uint64
			for i, c := range codes[base : base+64] {
				x := verdicts[c]
				if x == 0 {
					x = verdict(p.test(v.entry(int(c))))
					verdicts[c] = x
				}
				out |= uint64(x>>1) << i
			}
			keep[k] = out
			continue
		}
		for b := w; b != 0; b &= b - 1 {
			c := codes[base+trailing(b)]
			x := verdicts[c]
			if x == 0 {
				x = verdict(p.test(v.entry(int(c))))
				verdicts[c] = x
			}
			if x == fails {
				keep[k] &^= b & -b
			}
		}
	}
}

// bounds turns a comparison with a number into a range, ends included; NaN is in none.
func bounds(c *query.Compare) (lo, hi float64) {
	k, _ := c.R.(query.Const).Value.Number()
	switch c.Op {
	case query.Eq:
		return k, k
	case query.Lt:
		return math.Inf(-1), math.Nextafter(k, math.Inf(-1))
	case query.Le:
		return math.Inf(-1), k
	case query.Gt:
		return math.Nextafter(k, math.Inf(1)), math.Inf(1)
	default:
		return k, math.Inf(1)
	}
}

func compareFloats(p *ofField, v *values, keep bitmap) {
	lo, hi := bounds(p.compare)
	if k, _ := p.compare.R.(query.Const).Value.Number(); math.IsNaN(k) || math.IsInf(k, 0) {
		slowly(p, v, keep)
		return
	}
	between(p, v, keep, v.vec.Floats, lo, hi)
}

// between keeps the rows whose value is in a range, ends included.
func between[T int64 | float64](p *ofField, v *values, keep bitmap, vals []T, lo, hi T) {
	for k, w := range keep {
		if w == 0 {
			continue
		}
		base := k << 6
		var out uint64
		for i, x := range vals[base:min(base+64, len(vals))] {
			if x >= lo && x <= hi {
				out |= 1 << i
			}
		}
		keep[k] = p.merge(v, k, w, out)
	}
}

// merge puts together what holds for the values of 64 rows and what holds for no value.
func (p *ofField) merge(v *values, k int, w, out uint64) uint64 {
	if v.vec.Valid != nil {
		valid := v.vec.Valid[k]
		out &= valid
		if p.missing {
			out |= ^valid
		}
	}
	return w & out
}

func compareInts(p *ofField, v *values, keep bitmap) {
	k := p.compare.R.(query.Const).Value
	if k.Kind() != event.KindInt {
		slowly(p, v, keep)
		return
	}
	lo, hi := intBounds(p.compare.Op, k.Int())
	between(p, v, keep, v.vec.Nums, lo, hi)
}

func intBounds(op query.Op, k int64) (lo, hi int64) {
	switch op {
	case query.Eq:
		return k, k
	case query.Lt:
		if k == math.MinInt64 {
			return 1, 0
		}
		return math.MinInt64, k - 1
	case query.Le:
		return math.MinInt64, k
	case query.Gt:
		if k == math.MaxInt64 {
			return 1, 0
		}
		return k + 1, math.MaxInt64
	default:
		return k, math.MaxInt64
	}
}

// slowly asks for the value of each row.
func slowly(p *ofField, v *values, keep bitmap) {
	keep.each(func(i int) {
		x := v.at(i)
		if x.Missing() && !p.missing || !x.Missing() && !p.test(x) {
			keep[i>>6] &^= 1 << (i & 63)
		}
	})
}

// fewEntries is the size of a dictionary up to which all its entries are asked before a group is
// scanned.
const fewEntries = 1 << 14

// may implements predicate: what stands in the index, the filters and the dictionaries decides.
func (p *ofField) may(s *scanner) bool {
	f := s.field(p.name)
	if len(f.sources) == 0 {
		if !f.constant.Missing() {
			return p.test(f.constant)
		}
		return p.missing
	}
	if parts := p.allParts(s); parts != nil {
		return len(parts.text)+len(parts.named) > 0
	}
	present := 0
	for _, v := range f.sources {
		if v.chunk == nil {
			return true
		}
		present += v.chunk.Values
		if p.mayChunk(s, v) {
			return true
		}
	}
	return p.missing && present < s.u.rows
}

func (p *ofField) mayChunk(s *scanner, v *values) bool {
	k := v.chunk
	if p.compare != nil && k.HasRange {
		switch v.typ {
		case colfile.Float:
			if lo, hi := bounds(p.compare); hi < k.MinFloat() || lo > k.MaxFloat() {
				return false
			}
		default:
			if c := p.compare.R.(query.Const).Value; c.Kind() == event.KindInt {
				if lo, hi := intBounds(p.compare.Op, c.Int()); hi < k.Min || lo > k.Max {
					return false
				}
			}
		}
	}
	if v.typ == colfile.String {
		if p.equal != nil && !p.mayEqual(s, k) {
			return false
		}
		if p.pages(s, v) == 0 {
			return false
		}
	}
	if k.Encoding != colfile.Dictionary || k.Dict > fewEntries && p.equal == nil && p.needle == nil {
		return true
	}
	s.loadDict(v)
	if s.err != nil {
		return true
	}
	verdicts := p.verdicts(v)
	some := false
	for i := range v.entries() {
		if verdicts[i] == 0 {
			verdicts[i] = verdict(p.test(v.entry(i)))
		}
		some = some || verdicts[i] == holds
	}
	return some
}

// pages returns the pages of the scanned unit on which a string may be what p looks for.
func (p *ofField) pages(s *scanner, v *values) pageSet {
	part, fold := "", false
	switch {
	case v.chunk == nil || v.typ != colfile.String:
		return everyPage
	case p.needle != nil:
		part, fold = p.needle.S, p.needle.Fold
	case len(p.equal) == 1:
		part = p.equal[0]
	default:
		return everyPage
	}
	return v.pagesOf(p.number, func() pageSet {
		set, err := s.u.file.PagesContaining(v.chunk, part, fold)
		if err != nil {
			return everyPage
		}
		return pageSet(set)
	})
}

func (p *ofField) mayEqual(s *scanner, k *colfile.Chunk) bool {
	if len(p.equal) > bloomTraces {
		return true
	}
	for _, want := range p.equal {
		if may, err := s.u.file.MayHave(k, []byte(want)); may || err != nil {
			return true
		}
	}
	return false
}
