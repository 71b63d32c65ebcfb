package cwlogs

import (
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// maxNesting is how deep JSON may be nested, as in encoding/json.
const maxNesting = 10_000

// scanner reads JSON text from front to back, in place where it can: log lines are the bulk of
// what arrives, and most are JSON in JSON. It takes what encoding/json takes: repeated names, and
// ill-formed UTF-8, each byte of which becomes U+FFFD. After an error it is at no good place.
type scanner struct {
	src  []byte
	pos  int
	text []byte // strings that had to be unescaped
}

// lend makes a string of bytes that it shares; it is good for as long as they stay as they are.
func lend(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// peek returns the byte that the next value or delimiter begins with, 0 at the end.
func (s *scanner) peek() byte {
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

// ended reports whether only blanks follow.
func (s *scanner) ended() bool { return s.peek() == 0 && s.pos == len(s.src) }

// take reads a delimiter.
func (s *scanner) take(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.pos++
	return true
}

const (
	low  = 0x0101010101010101
	high = 0x8080808080808080
)

// ordinary skips bytes that stand for themselves in a string: ASCII, apart from quotes,
// backslashes and control characters.
func (s *scanner) ordinary() {
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

// str reads a string. What it returns is a part of src or of text.
func (s *scanner) str() (_ []byte, ok bool) {
	if !s.take('"') {
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
func (s *scanner) unescape(start int) (_ []byte, ok bool) {
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
func (s *scanner) escape() bool {
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

// number reads a number; whole reports that it has neither fraction nor exponent.
func (s *scanner) number() (text []byte, whole, ok bool) {
	s.peek()
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

func (s *scanner) at(c byte) bool { return s.pos < len(s.src) && s.src[s.pos] == c }

func (s *scanner) digits() bool {
	start := s.pos
	for s.pos < len(s.src) && s.src[s.pos]-'0' <= 9 {
		s.pos++
	}
	return s.pos > start
}

// word reads true, false or null.
func (s *scanner) word(w string) bool {
	s.peek()
	if n := len(w); s.pos+n <= len(s.src) && string(s.src[s.pos:s.pos+n]) == w {
		s.pos += n
		return true
	}
	return false
}

// skip reads over any value; depth counts what it is in.
func (s *scanner) skip(depth int) bool {
	switch s.peek() {
	case '"':
		kept := len(s.text)
		_, ok := s.str()
		s.text = s.text[:kept]
		return ok
	case '{':
		return s.object(depth, func([]byte) bool { return s.skip(depth + 1) })
	case '[':
		return s.array(depth, func() bool { return s.skip(depth + 1) })
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	default:
		_, _, ok := s.number()
		return ok
	}
}

// object reads an object; member reads the value of a name and may not keep the name.
func (s *scanner) object(depth int, member func(name []byte) bool) bool {
	if depth >= maxNesting || !s.take('{') {
		return false
	}
	if s.take('}') {
		return true
	}
	for {
		kept := len(s.text)
		name, ok := s.str()
		s.text = s.text[:kept]
		if !ok || !s.take(':') || !member(name) {
			return false
		}
		if !s.take(',') {
			return s.take('}')
		}
	}
}

// array reads an array; element reads one value.
func (s *scanner) array(depth int, element func() bool) bool {
	if depth >= maxNesting || !s.take('[') {
		return false
	}
	if s.take(']') {
		return true
	}
	for {
		if !element() {
			return false
		}
		if !s.take(',') {
			return s.take(']')
		}
	}
}
