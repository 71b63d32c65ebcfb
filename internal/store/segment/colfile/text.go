package colfile

// A text filter answers whether some string of a chunk may contain a text. It is a bitmap of
// the runs of gramLen bytes, ASCII letters in lower case, that occur. Runs with two digits or
// more are left out: numbers and random ids have all of them.
const (
	gramLen = 4
	// minTextBits and maxTextBits bound the size of the bitmap.
	minTextBits = 1 << 13
	maxTextBits = 1 << 19
)

type textFilter struct {
	bits []byte
}

// reset empties the filter and makes it fit n strings.
func (f *textFilter) reset(n int) {
	size := minTextBits
	for size < n*4 && size < maxTextBits {
		size *= 2
	}
	if cap(f.bits) < size/8 {
		f.bits = make([]byte, size/8)
	}
	f.bits = f.bits[:size/8]
	clear(f.bits)
}

// lowered maps bytes: ASCII letters to lower case, the rest to itself.
var lowered = func() (t [256]byte) {
	for i := range t {
		t[i] = byte(i)
		if i >= 'A' && i <= 'Z' {
			t[i] += 'a' - 'A'
		}
	}
	return t
}()

// eachGram calls yield for the runs of s that filters hold, until it returns false.
func eachGram(s string, yield func(g uint32) bool) {
	if len(s) < gramLen {
		return
	}
	var gram uint32
	var digits uint32 // a bit for each of the last bytes that is a digit
	for i := range len(s) {
		c := lowered[s[i]]
		gram = gram<<8 | uint32(c)
		digits <<= 1
		if c-'0' < 10 {
			digits |= 1
		}
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
	mask := uint32(len(f.bits)*8 - 1)
	if len(s) < gramLen {
		return
	}
	var gram, digits uint32
	for i := range len(s) {
		c := lowered[s[i]]
		gram = gram<<8 | uint32(c)
		digits <<= 1
		if c-'0' < 10 {
			digits |= 1
		}
		if c >= 0x80 && foldsToASCII(gram) {
			for i := range f.bits {
				f.bits[i] = 0xff
			}
			return
		}
		if d := digits & (1<<gramLen - 1); i < gramLen-1 || d&(d-1) != 0 {
			continue
		}
		h := gramHash(gram) & mask
		f.bits[h>>3] |= 1 << (h & 7)
	}
}

// foldsToASCII reports whether the last bytes are a letter that equals an ASCII letter when case
// does not count: the Kelvin sign, the long s, the dotted capital I. A filter with such a letter
// says that everything may be there.
func foldsToASCII(last uint32) bool {
	return last&0xffffff == 0xe284aa || last&0xffff == 0xc5bf || last&0xffff == 0xc4b0
}

// mayContain reports whether a string with s in it may have been added. With fold the case of
// letters does not count.
func mayContain(filter []byte, s string, fold bool) bool {
	if len(filter) == 0 || len(filter)&(len(filter)-1) != 0 {
		return true
	}
	mask := uint32(len(filter)*8 - 1)
	may := true
	eachGram(s, func(g uint32) bool {
		if fold && g&0x80808080 != 0 {
			return true // only the case of ASCII letters is known here
		}
		h := gramHash(g) & mask
		may = filter[h>>3]&(1<<(h&7)) != 0
		return may
	})
	return may
}
