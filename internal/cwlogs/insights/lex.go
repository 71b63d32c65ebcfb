package insights

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/trefoil-o11y/trefoil/internal/syntax"
)

type tokenKind uint8

const (
	tokenEnd      tokenKind = iota
	tokenName               // an identifier, a keyword or a name in backticks
	tokenString             // text holds the value
	tokenNumber             // text holds the number
	tokenDuration           // n and unit are set
	tokenPunct              // text holds the character or the two
)

type token struct {
	kind tokenKind
	text string
	// quoted is set for a name in backticks, which is never a keyword.
	quoted bool
	n      int64
	unit   string
	span   syntax.Span
}

// is reports whether the token is a keyword or a punctuation.
func (t token) is(s string) bool {
	switch t.kind {
	case tokenName:
		return !t.quoted && strings.EqualFold(t.text, s)
	case tokenPunct:
		return t.text == s
	}
	return false
}

func isNameStart(c byte) bool {
	return c == '_' || c == '@' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func isNameByte(c byte) bool { return isNameStart(c) || c >= '0' && c <= '9' }

// isPlain reports whether a name can stand without backticks and mean the same.
func isPlain(name string) bool {
	for i, seg := range strings.Split(name, ".") {
		if seg == "" || i == 0 && !isNameStart(seg[0]) {
			return false
		}
		if !isNameStart(seg[0]) && strings.Trim(seg, "0123456789") != "" {
			return false
		}
		for j := range len(seg) {
			if !isNameByte(seg[j]) {
				return false
			}
		}
	}
	return !reserved[strings.ToLower(name)]
}

// reserved are the words that can not be names without backticks.
var reserved = map[string]bool{
	"as": true, "by": true, "and": true, "or": true, "not": true, "like": true, "in": true, "asc": true, "desc": true, "true": true, "false": true,
}

// skip moves past blanks and comments.
func (p *parser) skip() {
	for {
		p.SkipSpace()
		if p.Peek() != '#' || p.Pos > 0 && !strings.ContainsRune(" \t\r\n", rune(p.Src[p.Pos-1])) {
			return
		}
		p.While(func(r rune) bool { return r != '\n' })
	}
}

// advance reads the next token into p.tok.
func (p *parser) advance() {
	p.last = p.tok.span.End
	p.skip()
	start := p.Pos
	t := token{}
	switch {
	case p.EOF():
	case isNameStart(p.Src[start]):
		t.kind, t.text = tokenName, p.While(func(r rune) bool { return r < 128 && isNameByte(byte(r)) })
	case p.Src[start] == '`':
		t.kind, t.quoted = tokenName, true
		text, err := p.Quoted(nil)
		if err != nil || text == "" {
			p.fail(syntax.Span{Start: start, End: p.Pos}, "the name in backticks is empty or has no end")
		}
		t.text = text
	case p.Src[start] == '"', p.Src[start] == '\'':
		t.kind = tokenString
		text, err := p.Quoted(map[rune]string{'n': "\n", 't': "\t", 'r': "\r"})
		if err != nil {
			p.fail(syntax.Span{Start: start, End: p.Pos}, "the string has no end")
		}
		t.text = text
	default:
		if t.text = p.Number(); t.text != "" {
			t = p.number(start, t.text)
			break
		}
		t.kind = tokenPunct
		for _, s := range []string{"!=", "<=", ">=", "=~"} {
			if p.Accept(s) {
				t.text = s
				break
			}
		}
		if strings.HasPrefix(p.Src[start:], "{{") {
			end := strings.Index(p.Src[start:], "}}")
			if end < 0 {
				end = len(p.Src) - start - 2
			}
			p.fail(syntax.Span{Start: start, End: start + end + 2}, "a parameter of a saved query has no value: put one in its place")
		}
		if t.text == "" {
			t.text = string(p.Next())
		}
		if !strings.Contains("!= <= >= =~ | , ( ) [ ] = < > + - * / % ^ . :", t.text) {
			p.fail(syntax.Span{Start: start, End: p.Pos}, "unexpected character %q", t.text)
		}
	}
	t.span = syntax.Span{Start: start, End: p.Pos}
	p.tok = t
}

// number reads what follows a number that began at start: a unit makes it a duration.
func (p *parser) number(start int, digits string) token {
	unit := p.While(func(r rune) bool { return r < 128 && isNameByte(byte(r)) })
	if unit == "" {
		return token{kind: tokenNumber, text: digits}
	}
	span := syntax.Span{Start: start, End: p.Pos}
	short, ok := units[strings.ToLower(unit)]
	if !ok {
		if l := strings.ToLower(unit); len(l) > 2 {
			short, ok = units[strings.TrimSuffix(l, "s")]
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || n <= 0 {
		p.fail(span, "%q is no period; examples are 5m, 1h and 30s", p.Src[start:p.Pos])
	}
	return token{kind: tokenDuration, text: p.Src[start:p.Pos], n: n, unit: short}
}

// units are the spellings of the units of periods; those of several letters may end in s.
var units = map[string]string{
	"ms": "ms", "msec": "ms", "millisecond": "ms", "s": "s", "sec": "s", "second": "s", "m": "m", "min": "m", "minute": "m",
	"h": "h", "hr": "h", "hour": "h", "d": "d", "day": "d", "w": "w", "week": "w", "mo": "mo", "mon": "mo", "month": "mo",
	"q": "q", "qtr": "q", "quarter": "q", "y": "y", "yr": "y", "year": "y",
}

// regex reads the regular expression that begins with the slash that is p.tok.
func (p *parser) regex() *Regex {
	start := p.tok.span.Start
	p.Pos = start + 1
	var b strings.Builder
	class := false
	for {
		r := p.Next()
		switch {
		case r == -1:
			p.fail(syntax.Span{Start: start, End: p.Pos}, "the regular expression has no closing slash")
		case r == '\\' && p.Peek() == '/':
			p.Next()
			b.WriteByte('/')
			continue
		case r == '\\' && p.Peek() != -1:
			b.WriteByte('\\')
			r = p.Next()
		case r == '[':
			class = true
		case r == ']':
			class = false
		case r == '/' && !class:
			span := syntax.Span{Start: start, End: p.Pos}
			re := &Regex{Source: b.String(), Span: span}
			p.compile(re.Source, span)
			p.advance()
			return re
		}
		b.WriteRune(r)
	}
}

func (p *parser) compile(source string, span syntax.Span) {
	if source == "" {
		p.fail(span, "the regular expression is empty")
	}
	if _, err := regexp.Compile(source); err != nil {
		p.fail(span, "the regular expression is not valid: %v", err)
	}
}
