package colfile

import (
	"encoding/binary"
	"math/bits"
)

// A text filter answers which pages of a chunk may have a string that contains a text. It knows
// the runs of gramLen bytes, ASCII letters in lower case, that occur: with a width it has that many
// bytes for each, with a bit for each page; without, a bit that stands for all pages. Runs with two
// digits or more are left out: numbers and random ids have all of them.
const (
	gramLen = 4
	// minTextBits and maxTextBits bound the size of a filter without width, and maxTextRuns that of
	// one with a width.
	minTextBits = 1 << 13
	maxTextBits = 1 << 19
	maxTextRuns = 1 << 16
)

type textFilter struct {
	bits  []byte
	width int
	// page is what strings are added to, and here has a bit for each run that is on it: it is
	// small enough for the processor's nearest cache, unlike bits of many pages.
	page int
	here []uint64
}

// reset empties the filter and makes it fit n strings on so many pages.
func (f *textFilter) reset(n, pages int) {
	f.width, f.page = 0, 0
	runs := minTextBits
	for runs < n*4 && runs < maxTextBits {
		runs *= 2
	}
	size := runs / 8
	if pages > 1 && pages <= maskedPages {
		f.width, runs = (pages+7)/8, maxTextRuns
		size = runs * f.width
	}
	f.bits, f.here = grown(f.bits, size), grown(f.here, runs/64)
	clear(f.bits)
	clear(f.here)
}

// turn goes on with another page.
func (f *textFilter) turn(page int) {
	if f.width > 0 && page != f.page {
		f.end()
		clear(f.here)
		f.page = page
	}
}

// end puts what the page has into bits.
func (f *textFilter) end() {
	if f.width == 0 {
		for k, w := range f.here {
			binary.LittleEndian.PutUint64(f.bits[8*k:], w)
		}
		return
	}
	at, bit := f.page>>3, byte(1)<<(f.page&7)
	for k, w := range f.here {
		for ; w != 0; w &= w - 1 {
			f.bits[(k<<6+bits.TrailingZeros64(w))*f.width+at] |= bit
		}
	}
}

// runs returns the number of runs that the filter tells apart, a power of two.
func (f *textFilter) runs() int {
	if f.width == 0 {
		return len(f.bits) * 8
	}
	return len(f.bits) / f.width
}

// What is known of a byte: ASCII letters in lower case, the rest as it is, and whether it is a
// digit.
var letters = func() (t [256]uint16) {
	for i := range t {
		t[i] = uint16(i)
		if i >= 'A' && i <= 'Z' {
			t[i] += 'a' - 'A'
		}
		if i >= '0' && i <= '9' {
			t[i] |= isDigit
		}
	}
	return t
}()

const isDigit = 1 << 8

// eachGram calls yield for the runs of s that filters hold, until it returns false.
func eachGram(s string, yield func(g uint32) bool) {
	if len(s) < gramLen {
		return
	}
	var gram uint32
	var digits uint32 // a bit for each of the last bytes that is a digit
	for i := range len(s) {
		c := letters[s[i]]
		gram = gram<<8 | uint32(byte(c))
		digits = digits<<1 | uint32(c/isDigit)
		if i < gramLen-1 {
			continue
		}
		if d := digits & (1<<gramLen - 1); d&(d-1) != 0 {
			continue
		}
		if !yield(gram) {
			return
		}
	}
}

func gramHash(g uint32) uint32 {
	h := g * 0x9E3779B1
	return h ^ h>>15
}

func (f *textFilter) add(s string) {
	if len(s) < gramLen {
		return
	}
	here, mask := f.here, uint32(64*len(f.here)-1)
	var gram, digits uint32
	for i := range len(s) {
		c := letters[s[i]]
		gram = gram<<8 | uint32(byte(c))
		digits = digits<<1 | uint32(c/isDigit)
		if c&0x80 != 0 && foldsToASCII(gram) {
			fill(here, ^uint64(0)) // everything may be there
			return
		}
		if d := digits & (1<<gramLen - 1); i >= gramLen-1 && d&(d-1) == 0 {
			h := gramHash(gram) & mask
			here[h>>6] |= 1 << (h & 63)
		}
	}
}

// foldsToASCII reports whether the last bytes are a letter that equals an ASCII letter when case
// does not count: the Kelvin sign, the long s, the dotted capital I. A filter with such a letter
// says that everything may be there.
func foldsToASCII(last uint32) bool {
	return last&0xffffff == 0xe284aa || last&0xffff == 0xc5bf || last&0xffff == 0xc4b0
}

// pagesWith returns the pages, a bit for each, on which a string with s in it may have been added.
// With fold the case of letters does not count.
func (f *textFilter) pagesWith(s string, fold bool) uint32 {
	n := f.runs()
	if n == 0 || n&(n-1) != 0 {
		return everyPage
	}
	hash := uint32(n - 1)
	pages := everyPage
	eachGram(s, func(g uint32) bool {
		if fold && g&0x80808080 != 0 {
			return true // only the case of ASCII letters is known here
		}
		h := gramHash(g) & hash
		if f.width == 0 {
			if f.bits[h>>3]&(1<<(h&7)) == 0 {
				pages = 0
			}
			return pages != 0
		}
		var word uint32
		for i, b := range f.bits[int(h)*f.width:][:f.width] {
			word |= uint32(b) << (8 * i)
		}
		pages &= word
		return pages != 0
	})
	return pages
}
