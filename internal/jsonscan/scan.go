// Package jsonscan reads JSON in place, from front to back: what arrives as log lines and
// segment documents is JSON in JSON, and most of its strings can stay where they are. It takes
// what encoding/json takes: repeated names, and ill-formed UTF-8, each byte of which becomes
// U+FFFD. It decodes into nothing; callers walk.
package jsonscan

import (
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// MaxNesting is how deep JSON may be nested, as in encoding/json.
const MaxNesting = 10_000

// Scanner reads one text; Reset begins it. Methods that report false have met an error: the text
// is not JSON, and the scanner is at no good place.
type Scanner struct {
	src  []byte
	pos  int
	text []byte // strings that had to be unescaped
}

// Reset begins to read src. What was returned before must not be used any more if strings of it
// were unescaped: their memory is used again.
func (s *Scanner) Reset(src []byte) { s.src, s.pos, s.text = src, 0, s.text[:0] }

// Unescaped reports whether a string was read that could not stay as it is.
func (s *Scanner) Unescaped() bool { return len(s.text) > 0 }

// Held returns the size of the memory that Reset would use again.
func (s *Scanner) Held() int { return cap(s.text) }

// Lend makes a string of bytes that it shares; it is good for as long as they stay as they are.
func Lend(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// Peek returns the byte that the next value or delimiter begins with, 0 at the end.
func (s *Scanner) Peek() byte {
	for s.pos < len(s.src) {
		switch c := s.src[s.pos]; c {
		case ' ', '\t', '\r', '\n':
			s.pos++
		default:
			return c
		}
	}
	return 0
}

// Ended reports whether only blanks follow.
func (s *Scanner) Ended() bool { return s.Peek() == 0 && s.pos == len(s.src) }

// Take reads a delimiter.
func (s *Scanner) Take(c byte) bool {
	if s.Peek() != c {
		return false
	}
	s.pos++
	return true
}

const (
	low  = 0x0101010101010101
	high = 0x8080808080808080
)

// Pos returns the place in src.
func (s *Scanner) Pos() int { return s.pos }

// ordinary skips bytes that stand for themselves in a string: ASCII, apart from quotes,
// backslashes and control characters.
func (s *Scanner) ordinary() {
	i := s.pos
	for ; i+8 <= len(s.src); i += 8 {
		w := binary.LittleEndian.Uint64(s.src[i:])
		quote, slash := w^'"'*low, w^'\\'*low
		if (w|(w-' '*low)|(quote-low)&^quote|(slash-low)&^slash)&high != 0 {
			break
		}
	}
	for ; i < len(s.src); i++ {
		if c := s.src[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			break
		}
	}
	s.pos = i
}

// Str reads a string. What it returns is a part of src, or of memory that holds until Reset.
func (s *Scanner) Str() (_ []byte, ok bool) {
	if !s.Take('"') {
		return nil, false
	}
	start := s.pos
	for s.ordinary(); s.pos < len(s.src); s.ordinary() {
		switch c := s.src[s.pos]; {
		case c == '"':
			s.pos++
			return s.src[start : s.pos-1], true
		case c >= utf8.RuneSelf:
			r, n := utf8.DecodeRune(s.src[s.pos:])
			if r == utf8.RuneError && n == 1 {
				return s.unescape(start)
			}
			s.pos += n
		case c == '\\':
			return s.unescape(start)
		default:
			return nil, false
		}
	}
	return nil, false
}

// unescape goes on with a string that began at start and can not stay as it is.
func (s *Scanner) unescape(start int) (_ []byte, ok bool) {
	began := len(s.text)
	s.text = append(s.text, s.src[start:s.pos]...)
	for s.pos < len(s.src) {
		switch c := s.src[s.pos]; {
		case c == '"':
			s.pos++
			return s.text[began:], true
		case c >= utf8.RuneSelf:
			r, n := utf8.DecodeRune(s.src[s.pos:])
			s.text = utf8.AppendRune(s.text, r)
			s.pos += n
		case c == '\\':
			if !s.escape() {
				return nil, false
			}
		default:
			from := s.pos
			if s.ordinary(); s.pos == from {
				return nil, false
			}
			s.text = append(s.text, s.src[from:s.pos]...)
		}
	}
	return nil, false
}

// escape reads one escape into text, two of a surrogate pair.
func (s *Scanner) escape() bool {
	if s.pos+1 >= len(s.src) {
		return false
	}
	c := s.src[s.pos+1]
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'u':
		r, ok := hex4(s.src, s.pos+2)
		if !ok {
			return false
		}
		s.pos += 6
		if utf16.IsSurrogate(r) {
			if s.pos+1 < len(s.src) && s.src[s.pos] == '\\' && s.src[s.pos+1] == 'u' {
				second, ok := hex4(s.src, s.pos+2)
				if !ok {
					return false
				}
				if pair := utf16.DecodeRune(r, second); pair != utf8.RuneError {
					s.pos += 6
					r = pair
				} else {
					r = utf8.RuneError
				}
			} else {
				r = utf8.RuneError
			}
		}
		s.text = utf8.AppendRune(s.text, r)
		return true
	default:
		return false
	}
	s.pos += 2
	s.text = append(s.text, c)
	return true
}

func hex4(src []byte, at int) (r rune, ok bool) {
	if at+4 > len(src) {
		return 0, false
	}
	for _, c := range src[at : at+4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// Number reads a number; whole reports that it has neither fraction nor exponent.
func (s *Scanner) Number() (text []byte, whole, ok bool) {
	s.Peek()
	start := s.pos
	if s.at('-') {
		s.pos++
	}
	if s.at('0') {
		s.pos++
	} else if !s.digits() {
		return nil, false, false
	}
	whole = true
	if s.at('.') {
		whole = false
		if s.pos++; !s.digits() {
			return nil, false, false
		}
	}
	if s.at('e') || s.at('E') {
		whole = false
		if s.pos++; s.at('+') || s.at('-') {
			s.pos++
		}
		if !s.digits() {
			return nil, false, false
		}
	}
	return s.src[start:s.pos], whole, true
}

func (s *Scanner) at(c byte) bool { return s.pos < len(s.src) && s.src[s.pos] == c }

func (s *Scanner) digits() bool {
	start := s.pos
	for s.pos < len(s.src) && s.src[s.pos]-'0' <= 9 {
		s.pos++
	}
	return s.pos > start
}

// Word reads true, false or null.
func (s *Scanner) Word(w string) bool {
	s.Peek()
	if n := len(w); s.pos+n <= len(s.src) && string(s.src[s.pos:s.pos+n]) == w {
		s.pos += n
		return true
	}
	return false
}

// Skip reads over any value.
func (s *Scanner) Skip(depth int) bool {
	kept := len(s.text)
	defer func() { s.text = s.text[:kept] }()
	switch s.Peek() {
	case '"':
		_, ok := s.Str()
		return ok
	case '{':
		return s.Object(depth, func([]byte) bool { return s.Skip(depth + 1) })
	case '[':
		return s.Array(depth, func() bool { return s.Skip(depth + 1) })
	case 't':
		return s.Word("true")
	case 'f':
		return s.Word("false")
	case 'n':
		return s.Word("null")
	default:
		_, _, ok := s.Number()
		return ok
	}
}

// Object reads an object; member reads the value of a name.
// depth is how many objects and arrays this one is in.
func (s *Scanner) Object(depth int, member func(name []byte) bool) bool {
	if depth >= MaxNesting || !s.Take('{') {
		return false
	}
	if s.Take('}') {
		return true
	}
	for {
		name, ok := s.Str()
		if !ok || !s.Take(':') || !member(name) {
			return false
		}
		if !s.Take(',') {
			return s.Take('}')
		}
	}
}

// Array reads an array; element reads one value.
func (s *Scanner) Array(depth int, element func() bool) bool {
	if depth >= MaxNesting || !s.Take('[') {
		return false
	}
	if s.Take(']') {
		return true
	}
	for {
		if !element() {
			return false
		}
		if !s.Take(',') {
			return s.Take(']')
		}
	}
}
