package segment

import (
	"hash/maphash"
	"math/bits"
	"unsafe"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/store/segment/colfile"
)

// assembly collects the values of one column from several sources, each of which knows the
// places of its rows: -1 is no place, the row is left out.
type assembly struct {
	n    int
	bits []uint64 // the places that have a value
	nums []int64  // by place: integers, bits of floats, codes
	ids  []byte   // by place
	dict dictionary

	out   colfile.Values // values' memory
	remap []uint32
}

// begin empties the assembly for a column of n places.
func (a *assembly) begin(n int, t colfile.Type) {
	a.n = n
	words := (n + 63) / 64
	if cap(a.bits) < words {
		a.bits = make([]uint64, words)
	}
	a.bits = a.bits[:words]
	clear(a.bits)
	switch t {
	case colfile.ID16, colfile.ID8:
		w := idWidth(t)
		if cap(a.ids) < n*w {
			a.ids = make([]byte, n*w)
		}
		a.ids = a.ids[:n*w]
	default:
		if cap(a.nums) < n {
			a.nums = make([]int64, n)
		}
		a.nums = a.nums[:n]
	}
	a.dict.reset()
}

func idWidth(t colfile.Type) int {
	if t == colfile.ID16 {
		return 16
	}
	return 8
}

func (a *assembly) set(p int32, num int64) {
	a.bits[p>>6] |= 1 << (p & 63)
	a.nums[p] = num
}

func (a *assembly) setID(p int32, id []byte) {
	a.bits[p>>6] |= 1 << (p & 63)
	copy(a.ids[int(p)*len(id):], id)
}

// addColumn adds a column of a batch of the head; place has a place for each of its rows.
func (a *assembly) addColumn(c *event.Column, place []int32) {
	switch c.Kind {
	case event.KindString:
		remap := a.entries(len(c.Dict))
		for i, r := range c.Rows {
			p := place[r]
			if p < 0 {
				continue
			}
			k := c.Codes[i]
			if remap[k] == 0 {
				remap[k] = a.dict.code(c.Dict[k], false) + 1
			}
			a.set(p, int64(remap[k]-1))
		}
	case event.KindBool:
		for i, r := range c.Rows {
			if p := place[r]; p >= 0 {
				a.set(p, int64(c.Codes[i]))
			}
		}
	default:
		for i, r := range c.Rows {
			if p := place[r]; p >= 0 {
				a.set(p, c.Nums[i])
			}
		}
	}
}

// entries returns room for the new code + 1 of each of n entries of a source's dictionary, 0
// where it is not known yet.
func (a *assembly) entries(n int) []uint32 {
	if cap(a.remap) < n {
		a.remap = make([]uint32, n+n/2)
	}
	a.remap = a.remap[:n]
	clear(a.remap)
	return a.remap
}

// addVector adds a page of a segment; place has a place for each of its rows. remap is what
// entries returned for the dictionary of the page's chunk.
func (a *assembly) addVector(v *colfile.Vector, d *colfile.Dict, remap []uint32, place []int32) {
	switch v.Encoding {
	case colfile.Dictionary:
		none := uint32(d.Len())
		for i, p := range place {
			k := v.Codes[i]
			if p < 0 || k == none {
				continue
			}
			if v.Type == colfile.Int {
				a.set(p, d.Nums[k])
				continue
			}
			if remap[k] == 0 {
				remap[k] = a.dict.code(d.Str(k), true) + 1
			}
			a.set(p, int64(remap[k]-1))
		}
	case colfile.Lengths:
		for i, p := range place {
			if p >= 0 && v.Has(i) {
				a.set(p, int64(a.dict.code(v.Str(i), true)))
			}
		}
	case colfile.Delta:
		for i, p := range place {
			if p >= 0 && v.Has(i) {
				a.set(p, v.Nums[i])
			}
		}
	case colfile.Split:
		nums := unsafe.Slice((*int64)(unsafe.Pointer(unsafe.SliceData(v.Floats))), len(v.Floats))
		for i, p := range place {
			if p >= 0 && v.Has(i) {
				a.set(p, nums[i])
			}
		}
	default:
		if v.Type == colfile.Bool {
			for i, p := range place {
				if p >= 0 && v.Codes[i] < 2 {
					a.set(p, int64(v.Codes[i]))
				}
			}
			return
		}
		w := idWidth(v.Type)
		for i, p := range place {
			if p >= 0 && v.Has(i) {
				a.setID(p, v.IDs[i*w:i*w+w])
			}
		}
	}
}

// values returns what the places lo..hi have, as rows from 0 on, and how many values that are.
// They are valid until the next call.
func (a *assembly) values(lo, hi int, t colfile.Type) (v colfile.Values, n int) {
	o := &a.out
	o.Rows, o.Codes, o.Nums, o.IDs = o.Rows[:0], o.Codes[:0], o.Nums[:0], o.IDs[:0]
	w := idWidth(t)
	for word := lo >> 6; word<<6 < hi; word++ {
		b := a.bits[word]
		if first := lo - word<<6; first > 0 {
			b &= ^uint64(0) << first
		}
		if last := hi - word<<6; last < 64 {
			b &= 1<<last - 1
		}
		for ; b != 0; b &= b - 1 {
			p := word<<6 + bits.TrailingZeros64(b)
			o.Rows = append(o.Rows, int32(p-lo))
			switch t {
			case colfile.String, colfile.Bytes, colfile.Bool:
				o.Codes = append(o.Codes, uint32(a.nums[p]))
			case colfile.ID16, colfile.ID8:
				o.IDs = append(o.IDs, a.ids[p*w:p*w+w]...)
			default:
				o.Nums = append(o.Nums, a.nums[p])
			}
		}
	}
	n = len(o.Rows)
	v = *o
	v.Dict = a.dict.list
	if n == hi-lo {
		v.Rows = nil
	}
	return v, n
}

// dictionary numbers strings. When most turn out to be different it stops looking for equal
// ones and numbers them as they come.
type dictionary struct {
	list  []string
	slots []slot // open-addressed
	gen   uint32
	used  int
	looks int
	hits  int
	arena []byte
}

type slot struct {
	gen, hash, code uint32
}

// afterLooks is after how many lookups a dictionary judges whether they pay.
const afterLooks = 1024

var dictSeed = maphash.MakeSeed()

func (d *dictionary) reset() {
	clear(d.list)
	d.list, d.arena = d.list[:0], nil
	d.used, d.looks, d.hits = 0, 0, 0
	if d.gen++; d.gen == 0 {
		clear(d.slots)
		d.gen = 1
	}
	if len(d.slots) == 0 || len(d.slots) > 1<<18 {
		d.slots = make([]slot, 1<<10)
	}
}

// code returns the number of s; with own a new s is copied, else it must live as long as the
// dictionary.
func (d *dictionary) code(s string, own bool) uint32 {
	if d.looks >= afterLooks && d.hits < d.looks/4 {
		return d.add(s, own)
	}
	d.looks++
	h := maphash.String(dictSeed, s)
	hash := uint32(h ^ h>>32)
	mask := uint32(len(d.slots) - 1)
	i := hash & mask
	for ; d.slots[i].gen == d.gen; i = (i + 1) & mask {
		if e := &d.slots[i]; e.hash == hash && d.list[e.code] == s {
			d.hits++
			return e.code
		}
	}
	code := d.add(s, own)
	d.slots[i] = slot{d.gen, hash, code}
	if d.used++; d.used*2 > len(d.slots) {
		d.rehash()
	}
	return code
}

func (d *dictionary) rehash() {
	old := d.slots
	d.slots = make([]slot, 2*len(old))
	mask := uint32(len(d.slots) - 1)
	for _, e := range old {
		if e.gen != d.gen {
			continue
		}
		i := e.hash & mask
		for d.slots[i].gen == d.gen {
			i = (i + 1) & mask
		}
		d.slots[i] = e
	}
}

func (d *dictionary) add(s string, own bool) uint32 {
	if own {
		if len(d.arena)+len(s) > cap(d.arena) {
			d.arena = make([]byte, 0, max(64<<10, len(s)))
		}
		at := len(d.arena)
		d.arena = append(d.arena, s...)
		b := d.arena[at:]
		s = unsafe.String(unsafe.SliceData(b), len(b))
	}
	d.list = append(d.list, s)
	return uint32(len(d.list) - 1)
}
