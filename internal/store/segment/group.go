package segment

import (
	"hash/maphash"
	"math"
	"strings"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/store/segment/colfile"
)

// key numbers the values of one group-by expression. Each worker has its own.
type key struct {
	e      query.Expr
	field  string // the one field that e reads, "" when it reads others or several
	number int    // among the keys, see values.codes
	bucket *query.Bucket
	num    *numeric // e as arithmetic, when it is that

	strings stringIDs
	others  map[event.Value]uint32 // of values that are not strings
	floats  pairs                  // ids of numbers by the halves of the float's bits …
	numbers []uint32               // … and what they are in list
	small   []uint32               // ids + 1 of small integers
	list    []event.Value          // by id
	bytes   int                    // of the strings in list

	lastBits uint64
	lastID   uint32
	lo, hi   int64 // the bucket of the last time and its id
	bucketID uint32
}

// smallNumbers bounds the integers whose ids are found without a search.
const smallNumbers = 4096

func newKey(e query.Expr, number int) *key {
	k := &key{e: e, number: number, others: map[event.Value]uint32{}, lo: 1}
	if fields, whole := query.Reads(e); len(fields) == 1 && !whole && !hasTraces(e) {
		k.field = fields[0]
		if b, ok := e.(query.Bucket); ok {
			if _, ok := b.X.(query.Field); ok {
				k.bucket = &b
			}
		}
	}
	k.num = newNumeric(e)
	return k
}

// id returns the number of a value, whose string may be the page's.
func (k *key) id(v event.Value) uint32 {
	if v.Kind() == event.KindString {
		return k.strings.id(k, v.Str())
	}
	if id, ok := k.others[v]; ok {
		return id
	}
	id := uint32(len(k.list))
	k.others[v] = id
	k.list = append(k.list, v)
	return id
}

// stringIDs is an open-addressed table of the strings of a key's list.
type stringIDs struct {
	slots []stringSlot
	n     int
}

type stringSlot struct {
	hash uint32
	id   uint32 // + 1, 0 is free
}

func (t *stringIDs) id(k *key, s string) uint32 {
	if t.n*2 >= len(t.slots) {
		t.grow()
	}
	h := maphash.String(dictSeed, s)
	hash := uint32(h ^ h>>32)
	mask := uint32(len(t.slots) - 1)
	i := hash & mask
	for ; t.slots[i].id != 0; i = (i + 1) & mask {
		if e := t.slots[i]; e.hash == hash && k.list[e.id-1].Str() == s {
			return e.id - 1
		}
	}
	k.list = append(k.list, event.String(strings.Clone(s)))
	k.bytes += len(s)
	t.n++
	id := uint32(len(k.list))
	t.slots[i] = stringSlot{hash, id}
	return id - 1
}

func (t *stringIDs) grow() {
	old := t.slots
	t.slots = make([]stringSlot, max(256, 4*len(old)))
	mask := uint32(len(t.slots) - 1)
	for _, e := range old {
		if e.id == 0 {
			continue
		}
		i := e.hash & mask
		for t.slots[i].id != 0 {
			i = (i + 1) & mask
		}
		t.slots[i] = e
	}
}

// float returns the number of a computed number, which is an integer where it can be.
func (k *key) float(f float64) uint32 {
	if i := int(f); float64(i) == f && uint(i+smallNumbers) < 2*smallNumbers {
		if k.small == nil {
			k.small = make([]uint32, 2*smallNumbers)
		}
		id := &k.small[i+smallNumbers]
		if *id == 0 {
			*id = k.id(query.Number(f)) + 1
		}
		return *id - 1
	}
	b := math.Float64bits(f)
	if b == k.lastBits && len(k.numbers) > 0 {
		return k.lastID
	}
	n := k.floats.id(uint32(b>>32), uint32(b))
	if int(n) == len(k.numbers) {
		k.numbers = append(k.numbers, k.id(query.Number(f)))
	}
	k.lastBits, k.lastID = b, k.numbers[n]
	return k.lastID
}

// numberRows gives each selected row of the page the number of its value.
func (k *key) numberRows(s *scanner, sel []int32, out []uint32) {
	if k.field == "" {
		k.computed(s, sel, out)
		return
	}
	f := s.field(k.field)
	if len(f.sources) == 0 {
		id := k.id(query.Eval(k.e, &oneField{k.field, f.constant}))
		for i := range sel {
			out[i] = id
		}
		return
	}
	if k.num != nil && k.num.rows(s, sel) {
		k.fromFloats(out)
		return
	}
	if len(f.sources) == 1 {
		v := f.sources[0]
		s.load(v)
		if s.err == nil {
			k.ofSource(v, sel, out, false)
		}
		return
	}
	// A row has a value in one of the sources at most.
	for i := range out {
		out[i] = math.MaxUint32
	}
	for _, v := range f.sources {
		s.load(v)
		if s.err != nil {
			return
		}
		k.ofSource(v, sel, out, true)
	}
	for i := range out {
		if out[i] == math.MaxUint32 {
			out[i] = k.id(k.eval(k.field, event.Value{}))
		}
	}
}

// ofSource numbers rows by one source; with others those that have no value in it keep the
// number that they have.
func (k *key) ofSource(v *values, sel []int32, out []uint32, others bool) {
	switch {
	case v.coded():
		for len(v.codes) <= k.number {
			v.codes = append(v.codes, nil)
		}
		codes := v.codes[k.number]
		if codes == nil { // the number of each entry + 1, 0 where it is not known yet
			codes = make([]uint32, v.entries()+1)
			v.codes[k.number] = codes
		}
		none := v.entries()
		for i, r := range sel {
			c := v.vec.Codes[r]
			if int(c) == none && others {
				continue
			}
			if codes[c] == 0 {
				x := event.Value{}
				if int(c) < none {
					x = v.entry(int(c))
				}
				codes[c] = k.id(k.eval(v.field, x)) + 1
			}
			out[i] = codes[c] - 1
		}
	case k.bucket != nil && v.vec.Encoding == colfile.Delta && v.vec.Valid == nil:
		for i, r := range sel {
			n := v.vec.Nums[r]
			if n < k.lo || n > k.hi {
				k.lo = query.FloorTo(n-k.bucket.Offset, k.bucket.Step) + k.bucket.Offset
				k.hi = k.lo + k.bucket.Step - 1
				k.bucketID = k.id(event.Int(k.lo))
				if k.lo > n || k.hi < n { // at the ends of what integers can express
					k.bucketID = k.id(k.eval(v.field, event.Int(n)))
					k.lo, k.hi = n, n
				}
			}
			out[i] = k.bucketID
		}
	default:
		for i, r := range sel {
			x := v.at(int(r))
			if x.Missing() && others {
				continue
			}
			out[i] = k.id(k.eval(v.field, x))
		}
	}
}

func (k *key) eval(field string, v event.Value) event.Value {
	if _, ok := k.e.(query.Field); ok {
		return v
	}
	return query.Eval(k.e, &oneField{field, v})
}

// computed numbers rows by an expression over several fields or none.
func (k *key) computed(s *scanner, sel []int32, out []uint32) {
	if k.num != nil && k.num.rows(s, sel) {
		k.fromFloats(out)
		return
	}
	row := &pageRow{s: s}
	for i, r := range sel {
		row.i = int(r)
		out[i] = k.id(query.Eval(k.e, row))
	}
}

func (k *key) fromFloats(out []uint32) {
	none := uint32(math.MaxUint32)
	for i, f := range k.num.out {
		if k.num.ok != nil && !k.num.ok[i] {
			if none == math.MaxUint32 {
				none = k.id(event.Value{})
			}
			out[i] = none
			continue
		}
		out[i] = k.float(f)
	}
}

// pairs numbers pairs of numbers in the order in which they come.
type pairs struct {
	dense []uint32 // id + 1 of the pairs of small numbers
	slots []pairSlot
	n     uint32
	found int
}

// densePairs bounds the numbers whose pairs are found without a search.
const densePairs = 256

type pairSlot struct {
	a, b uint32
	id   uint32 // + 1, 0 is free
}

func (p *pairs) id(a, b uint32) uint32 {
	if a < densePairs && b < densePairs {
		if p.dense == nil {
			p.dense = make([]uint32, densePairs*densePairs)
		}
		id := &p.dense[a*densePairs+b]
		if *id == 0 {
			p.n++
			*id = p.n
		}
		return *id - 1
	}
	if len(p.slots) == 0 {
		p.slots = make([]pairSlot, 1<<10)
	}
	mask := uint32(len(p.slots) - 1)
	i := (a*0x9E3779B1 ^ b*0x85EBCA77) >> 7 & mask
	for {
		s := &p.slots[i]
		if s.id == 0 {
			break
		}
		if s.a == a && s.b == b {
			return s.id - 1
		}
		i = (i + 1) & mask
	}
	p.n++
	p.slots[i] = pairSlot{a, b, p.n}
	id := p.n - 1
	if p.found++; p.found*2 > len(p.slots) {
		old := p.slots
		p.slots = make([]pairSlot, 2*len(old))
		mask := uint32(len(p.slots) - 1)
		for _, s := range old {
			if s.id == 0 {
				continue
			}
			i := (s.a*0x9E3779B1 ^ s.b*0x85EBCA77) >> 7 & mask
			for p.slots[i].id != 0 {
				i = (i + 1) & mask
			}
			p.slots[i] = s
		}
	}
	return id
}

// grouping gives rows the number of their group: of their combination of keys.
type grouping struct {
	keys   []*key
	levels []pairs // level i joins the keys up to i+1
	lower  [][][2]uint32
	groups int
	buf    []uint32
}

func newGrouping(by []query.Named) *grouping {
	g := &grouping{}
	for i, b := range by {
		g.keys = append(g.keys, newKey(b.Value, i))
	}
	if n := len(by); n > 1 {
		g.levels = make([]pairs, n-1)
		g.lower = make([][][2]uint32, n-1)
	}
	if len(by) == 0 {
		g.groups = 1
	}
	return g
}

// numberRows gives each selected row of the page its group.
func (g *grouping) numberRows(s *scanner, sel []int32, out []uint32) {
	if len(g.keys) == 0 {
		clear(out)
		return
	}
	g.keys[0].numberRows(s, sel, out)
	g.buf = resize(g.buf, len(sel))
	for l := range g.levels {
		g.keys[l+1].numberRows(s, sel, g.buf)
		if s.err != nil {
			return
		}
		var lastA, lastB, last uint32 = math.MaxUint32, math.MaxUint32, 0
		for i, a := range out {
			b := g.buf[i]
			if a != lastA || b != lastB {
				lastA, lastB = a, b
				last = g.join(l, a, b)
			}
			out[i] = last
		}
	}
	g.count()
}

func (g *grouping) join(level int, a, b uint32) uint32 {
	p := &g.levels[level]
	before := p.n
	id := p.id(a, b)
	if p.n != before {
		g.lower[level] = append(g.lower[level], [2]uint32{a, b})
	}
	return id
}

func (g *grouping) count() {
	if n := len(g.levels); n > 0 {
		g.groups = int(g.levels[n-1].n)
	} else if len(g.keys) == 1 {
		g.groups = len(g.keys[0].list)
	}
}

// bytes is about the memory that the values of the keys take.
func (g *grouping) bytes() (n int) {
	for _, k := range g.keys {
		n += k.bytes + 40*len(k.list)
	}
	return n
}

// values returns the values of a group's keys.
func (g *grouping) values(id uint32) []event.Value {
	out := make([]event.Value, len(g.keys), len(g.keys)+4)
	for l := len(g.levels) - 1; l >= 0; l-- {
		p := g.lower[l][id]
		out[l+1] = g.keys[l+1].list[p[1]]
		id = p[0]
	}
	if len(g.keys) > 0 {
		out[0] = g.keys[0].list[id]
	}
	return out
}

// value returns the value of one of a group's keys.
func (g *grouping) value(id uint32, key int) event.Value {
	for l := len(g.levels) - 1; l >= key; l-- {
		id = g.lower[l][id][0]
	}
	if key > 0 {
		id = g.lower[key-1][id][1]
	}
	return g.keys[key].list[id]
}

// of returns the group of values, making it when it is new.
func (g *grouping) of(values []event.Value) uint32 {
	if len(values) == 0 {
		return 0
	}
	id := g.keys[0].id(values[0])
	for l := range g.levels {
		id = g.join(l, id, g.keys[l+1].id(values[l+1]))
	}
	g.count()
	return id
}
