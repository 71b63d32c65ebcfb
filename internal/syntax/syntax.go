// Package syntax holds what the parsers of the three vendors' languages share: byte
// positions, spans, a cursor over source text, errors that carry their place, and unquoting.
//
// Token kinds, keywords, trees and precedence belong to each language and are not here.
package syntax

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Span is a half-open range of byte offsets in a source text.
type Span struct{ Start, End int }

// Error is a fault in a source text, with its place.
type Error struct {
	Src  string
	Span Span
	Msg  string
}

// Error renders the fault as "line:column: message"; both count from 1, columns in runes.
func (e *Error) Error() string {
	line, col := Position(e.Src, e.Span.Start)
	return fmt.Sprintf("%d:%d: %s", line, col, e.Msg)
}

// Position returns the line and column of a byte offset; both count from 1, columns in runes.
func Position(src string, offset int) (line, col int) {
	offset = min(max(offset, 0), len(src))
	before := src[:offset]
	line = strings.Count(before, "\n") + 1
	before = before[strings.LastIndexByte(before, '\n')+1:]
	return line, utf8.RuneCountInString(before) + 1
}

// AsError returns the syntax error in err's chain, or nil.
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}

// Scanner is a cursor over source text. The zero offset is the first byte.
type Scanner struct {
	Src string
	Pos int
}

// EOF reports whether the cursor is at the end.
func (s *Scanner) EOF() bool { return s.Pos >= len(s.Src) }

// Peek returns the rune at the cursor, or -1 at the end. Invalid UTF-8 is utf8.RuneError.
func (s *Scanner) Peek() rune {
	if s.EOF() {
		return -1
	}
	if c := s.Src[s.Pos]; c < utf8.RuneSelf {
		return rune(c)
	}
	r, _ := utf8.DecodeRuneInString(s.Src[s.Pos:])
	return r
}

// Next returns the rune at the cursor and moves past it; -1 at the end.
func (s *Scanner) Next() rune {
	if s.EOF() {
		return -1
	}
	r, n := utf8.DecodeRuneInString(s.Src[s.Pos:])
	s.Pos += n
	return r
}

// Accept moves past prefix if the source goes on with it and reports whether it did.
func (s *Scanner) Accept(prefix string) bool {
	if strings.HasPrefix(s.Src[s.Pos:], prefix) {
		s.Pos += len(prefix)
		return true
	}
	return false
}

// SkipSpace moves past ASCII white space.
func (s *Scanner) SkipSpace() {
	for s.Pos < len(s.Src) {
		switch s.Src[s.Pos] {
		case ' ', '\t', '\r', '\n':
			s.Pos++
		default:
			return
		}
	}
}

// While moves past the longest run of runes that ok accepts and returns it.
func (s *Scanner) While(ok func(rune) bool) string {
	start := s.Pos
	for !s.EOF() && ok(s.Peek()) {
		s.Next()
	}
	return s.Src[start:s.Pos]
}

// Errorf returns an *Error about span.
func (s *Scanner) Errorf(span Span, format string, args ...any) *Error {
	return &Error{Src: s.Src, Span: span, Msg: fmt.Sprintf(format, args...)}
}

// ErrUnterminated is returned by Quoted when the closing quote is missing.
var ErrUnterminated = errors.New("unterminated string")

// Quoted reads a string in the quote at the cursor. Escapes maps the rune behind a backslash
// to what it stands for; a backslash before any other rune is kept, unless it is the quote or
// a backslash.
func (s *Scanner) Quoted(escapes map[rune]string) (string, error) {
	quote := s.Next()
	var b strings.Builder
	for {
		r := s.Next()
		switch {
		case r == -1:
			return "", ErrUnterminated
		case r == quote:
			return b.String(), nil
		case r == '\\':
			e := s.Next()
			if e == -1 {
				return "", ErrUnterminated
			}
			if t, ok := escapes[e]; ok {
				b.WriteString(t)
			} else if e == quote || e == '\\' {
				b.WriteRune(e)
			} else {
				b.WriteByte('\\')
				b.WriteRune(e)
			}
		default:
			b.WriteRune(r)
		}
	}
}

// Number moves past an unsigned decimal number (digits, fraction, exponent) and returns its
// text, or "" if the cursor is not at one.
func (s *Scanner) Number() string {
	start := s.Pos
	digits := func() int { return len(s.While(func(r rune) bool { return r >= '0' && r <= '9' })) }
	n := digits()
	if s.Pos < len(s.Src) && s.Src[s.Pos] == '.' {
		save := s.Pos
		s.Pos++
		if frac := digits(); frac == 0 {
			s.Pos = save
		} else {
			n += frac
		}
	}
	if n == 0 {
		s.Pos = start
		return ""
	}
	if s.Pos < len(s.Src) && (s.Src[s.Pos] == 'e' || s.Src[s.Pos] == 'E') {
		save := s.Pos
		s.Pos++
		if s.Pos < len(s.Src) && (s.Src[s.Pos] == '+' || s.Src[s.Pos] == '-') {
			s.Pos++
		}
		if digits() == 0 {
			s.Pos = save
		}
	}
	return s.Src[start:s.Pos]
}

// Quote returns s in double quotes with backslash escapes for the quote and the backslash
// only, the form that Quoted reads back with nil escapes.
func Quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// Describe returns how a message names the source at the cursor: a quoted piece or "end of input".
func (s *Scanner) Describe() string {
	if s.EOF() {
		return "end of input"
	}
	rest := s.Src[s.Pos:]
	end := strings.IndexAny(rest, " \t\r\n")
	if end <= 0 {
		end = len(rest)
	}
	piece := rest[:end]
	if len(piece) > 24 {
		cut := 24
		for cut > 0 && !utf8.RuneStart(piece[cut]) {
			cut--
		}
		piece = piece[:cut] + "…"
	}
	return strconv.Quote(piece)
}
