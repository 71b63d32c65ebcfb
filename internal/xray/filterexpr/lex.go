package filterexpr

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/trefoil-o11y/trefoil/internal/syntax"
)

const (
	// maxLength bounds an expression, in bytes.
	maxLength = 8000
	// maxDepth bounds nesting.
	maxDepth = 20
	// maxKey bounds the name of an annotation, in bytes.
	maxKey = 500
)

func letter(r rune) bool { return r == '_' || r|0x20 >= 'a' && r|0x20 <= 'z' }

func wordRune(r rune) bool { return letter(r) || r >= '0' && r <= '9' || r == '.' }

// valueRune is a character of a word that stands for a string.
func valueRune(r rune) bool { return wordRune(r) || r == ':' || r == '-' }

// space moves past white space.
func (p *parser) space() { p.in.SkipSpace() }

// accept moves past white space and a symbol.
func (p *parser) accept(symbol string) bool {
	p.space()
	return p.in.Accept(symbol)
}

// word returns the word at the cursor, "" when there is none.
func (p *parser) word(more func(rune) bool) string {
	p.space()
	if !letter(p.in.Peek()) {
		return ""
	}
	return p.in.While(more)
}

// peekWord returns the next word in lower case without moving.
func (p *parser) peekWord() string {
	at := p.in.Pos
	w := p.word(wordRune)
	p.in.Pos = at
	return strings.ToLower(w)
}

// str reads the string at the cursor.
func (p *parser) str() string {
	start := p.in.Pos
	s, err := p.in.Quoted(nil)
	if err != nil {
		p.in.Pos = len(p.in.Src)
		p.fail(syntax.Span{Start: start, End: len(p.in.Src)}, "%v", err)
	}
	return s
}

// number reads a number with its sign; ok is false when there is none.
func (p *parser) number() (f float64, ok bool) {
	start := p.in.Pos
	p.in.Accept("-")
	digits := p.in.Number()
	if digits == "" {
		p.in.Pos = start
		return 0, false
	}
	f, err := strconv.ParseFloat(p.in.Src[start:p.in.Pos], 64)
	if err != nil || math.IsInf(f, 0) {
		p.fail(syntax.Span{Start: start, End: p.in.Pos}, "the number %s is out of range", p.in.Src[start:p.in.Pos])
	}
	return f, true
}

// json reads the JSON value at the cursor.
func (p *parser) json(depth int) JSON {
	p.space()
	start := p.in.Pos
	if depth > maxDepth {
		p.fail(syntax.Span{Start: start, End: start + 1}, "JSON is nested deeper than %d", maxDepth)
	}
	switch p.in.Peek() {
	case '"':
		return JSON{Kind: JSONString, Str: p.jsonString()}
	case '[':
		p.in.Next()
		j := JSON{Kind: JSONArray}
		for !p.accept("]") {
			if len(j.Elems) > 0 && !p.accept(",") {
				p.unexpected("JSON", `"," or "]"`)
			}
			j.Elems = append(j.Elems, p.json(depth+1))
		}
		return j
	case '{':
		p.in.Next()
		j := JSON{Kind: JSONObject}
		for !p.accept("}") {
			if len(j.Elems) > 0 && !p.accept(",") {
				p.unexpected("JSON", `"," or "}"`)
			}
			if p.space(); p.in.Peek() != '"' {
				p.unexpected("JSON", "a member's name")
			}
			j.Names = append(j.Names, p.jsonString())
			if !p.accept(":") {
				p.unexpected("JSON", `":"`)
			}
			j.Elems = append(j.Elems, p.json(depth+1))
		}
		return j
	}
	if f, ok := p.number(); ok {
		return JSON{Kind: JSONNumber, Num: f}
	}
	switch w := p.word(wordRune); w {
	case "null":
		return JSON{}
	case "true", "false":
		return JSON{Kind: JSONBool, Bool: w == "true"}
	}
	p.in.Pos = start
	p.unexpected("JSON", "a value")
	panic("unreachable")
}

// jsonString reads a JSON string.
func (p *parser) jsonString() string {
	start := p.in.Pos
	bad := func(what string) { p.fail(syntax.Span{Start: start, End: p.in.Pos}, "%s in a JSON string", what) }
	p.in.Next()
	var b strings.Builder
	for {
		switch r := p.in.Next(); {
		case r == -1:
			p.fail(syntax.Span{Start: start, End: len(p.in.Src)}, "%v", syntax.ErrUnterminated)
		case r == '"':
			return b.String()
		case r < ' ':
			bad("control character")
		case r == '\\':
			e := p.in.Next()
			if e == 'u' {
				b.WriteRune(p.hex(bad))
				continue
			}
			i := strings.IndexRune(`"\/bfnrt`, e)
			if i < 0 {
				bad("unknown escape")
			}
			b.WriteByte("\"\\/\b\f\n\r\t"[i])
		default:
			b.WriteRune(r)
		}
	}
}

// hex reads the digits behind \u, and a second escape for the rest of a pair.
func (p *parser) hex(bad func(string)) rune {
	digits := func() rune {
		if p.in.Pos+4 > len(p.in.Src) {
			bad("short escape")
		}
		n, err := strconv.ParseUint(p.in.Src[p.in.Pos:p.in.Pos+4], 16, 16)
		if err != nil {
			bad("unknown escape")
		}
		p.in.Pos += 4
		return rune(n)
	}
	r := digits()
	if utf16.IsSurrogate(r) {
		if p.in.Accept(`\u`) {
			return utf16.DecodeRune(r, digits())
		}
		return utf8.RuneError
	}
	return r
}

// jsonQuote writes a JSON string.
func jsonQuote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ':
			_, _ = fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
