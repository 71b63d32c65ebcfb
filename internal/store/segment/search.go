package segment

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// search filters the strings of a page by the text that all of those that pass contain. It looks
// for the text in all strings at once, which are one behind the other, and asks p only about those
// that have it.
func (p *ofField) search(v *values, keep bitmap) {
	vec := &v.vec
	text, needle := vec.Text[:vec.Offsets[vec.N]], []byte(p.needle.S)
	if p.needle.Fold {
		v.lower = lowerASCII(v.lower[:0], text)
		text, needle = v.lower, bytes.ToLower(needle)
	}
	out := make(bitmap, len(keep))
	row, by := 0, rarest(needle)
	for at := 0; at < len(text); {
		i := index(text[at:], needle, by)
		if i < 0 {
			break
		}
		at += i
		for int(vec.Offsets[row+1]) <= at {
			row++
		}
		if end := int(vec.Offsets[row+1]); at+len(needle) > end {
			at++ // from the end of one string into the next
			continue
		}
		if keep.has(row) && (p.contains || p.test(v.at(row))) {
			out.set(row)
		}
		at = int(vec.Offsets[row+1])
	}
	for k, w := range keep {
		keep[k] = p.merge(v, k, w, out[k])
	}
}

// common are the bytes of texts, the most common first.
const common = " etaonirsldhcum0123gpfwyb456789vk.,:=\"-/_ETAONIRSLDHCUMGPFWYBVKxjqz"

// rarest returns the place of the byte of needle that is likely to be the rarest in a text.
func rarest(needle []byte) int {
	at, best := 0, -1
	for i, c := range needle {
		rank := strings.IndexByte(common, c)
		if rank < 0 {
			rank = len(common)
		}
		if rank > best {
			at, best = i, rank
		}
	}
	return at
}

// index is bytes.Index that looks for the byte of needle at the place by first.
func index(text, needle []byte, by int) int {
	for at := by; at < len(text); at++ {
		i := bytes.IndexByte(text[at:], needle[by])
		if i < 0 {
			break
		}
		at += i
		if begin := at - by; len(text)-begin >= len(needle) && string(text[begin:begin+len(needle)]) == string(needle) {
			return begin
		}
	}
	return -1
}

// searchable reports whether search does the same as asking for each row, and pays.
func (p *ofField) searchable(v *values, keep bitmap) bool {
	if p.needle == nil || p.needle.S == "" || keep.count() < v.vec.N/8 {
		return false
	}
	if !p.needle.Fold {
		return true
	}
	// Letters that are not ASCII may fold to others, and some of them to ASCII letters.
	for i := range len(p.needle.S) {
		if p.needle.S[i] >= 0x80 {
			return false
		}
	}
	text := v.vec.Text[:v.vec.Offsets[v.vec.N]]
	for _, odd := range []string{"\u212a", "\u017f", "\u0130"} {
		if bytes.Contains(text, []byte(odd)) {
			return false
		}
	}
	return true
}

// lowerASCII appends src with its ASCII letters in lower case, eight bytes at a time.
func lowerASCII(dst, src []byte) []byte {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	for ; len(src) >= 8; src = src[8:] {
		w := binary.LittleEndian.Uint64(src)
		low := w &^ high
		fromA, overZ := low+(0x80-'A')*ones, low+(0x7f-'Z')*ones
		upper := (fromA ^ overZ) &^ w & high
		dst = binary.LittleEndian.AppendUint64(dst, w|upper>>2)
	}
	for _, c := range src {
		if c-'A' < 26 {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}
