package filterpattern

import (
	"regexp"
	"strings"
	"unicode"

	"github.com/trefoil-o11y/trefoil/internal/syntax"
)

// maxRunes bounds a pattern, as on AWS.
const maxRunes = 1024

// isWordRune reports whether an unquoted term may have r.
func isWordRune(r rune) bool {
	return r == '_' || strings.ContainsRune(".-/:@", r) || unicode.IsLetter(r) || unicode.IsDigit(r)
}

// isWord reports whether s can stand without quotes.
func isWord(s string) bool {
	return s != "" && s[0] != '-' && strings.IndexFunc(s, func(r rune) bool { return !isWordRune(r) }) < 0
}

// isNameRune reports whether the name of a JSON member or of a slot may have r unquoted.
func isNameRune(r rune) bool {
	return r == '_' || r == '-' || unicode.IsLetter(r) || unicode.IsDigit(r)
}

func isName(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return !isNameRune(r) }) < 0
}

// regexPlain are the characters that stand in a regular expression apart from ASCII letters
// and digits, regexEscaped those that may follow a backslash.
const (
	regexPlain   = " :_#=@/;,-^$?[]{}|*+."
	regexEscaped = "dDsSwW^$?[]{}|\\*+./-:_#=@;, "
)

// regex reads an expression at its opening percent sign.
func (p *parser) regex() *Regex {
	start := p.Pos
	p.Pos++
	end := strings.IndexByte(p.Src[p.Pos:], '%')
	if end < 0 {
		p.fail(syntax.Span{Start: start, End: len(p.Src)}, "the regular expression has no closing %%")
	}
	src := p.Src[p.Pos : p.Pos+end]
	if src == "" {
		p.fail(syntax.Span{Start: start, End: p.Pos + 1}, "the regular expression is empty")
	}
	pattern := p.translate(src, p.Pos)
	p.Pos += end + 1
	if _, err := regexp.Compile(pattern); err != nil {
		p.fail(syntax.Span{Start: start, End: p.Pos}, "the regular expression is not valid: %v", err)
	}
	return &Regex{Source: src, Pattern: pattern}
}

// translate checks the alphabet of an expression that begins at offset and returns it in Go's
// syntax.
func (p *parser) translate(src string, offset int) string {
	var b strings.Builder
	class := false
	for i := 0; i < len(src); i++ {
		c := src[i]
		at := syntax.Span{Start: offset + i, End: offset + i + 1}
		switch {
		case c == '\\':
			if i+1 == len(src) {
				p.fail(at, "the regular expression ends with a backslash")
			}
			i++
			at.End++
			n := src[i]
			switch {
			case n == 'x' && i+2 < len(src) && isHex(src[i+1]) && isHex(src[i+2]):
				b.WriteString(src[i-1 : i+3])
				i += 2
			case strings.IndexByte("dDsSwW", n) >= 0:
				b.WriteString(src[i-1 : i+1])
			case strings.IndexByte(regexEscaped, n) >= 0:
				// In a class Go takes an escaped dash, outside of one it does not need it.
				if n == '-' && class {
					b.WriteByte('\\')
				}
				b.WriteString(regexp.QuoteMeta(string(n)))
			default:
				p.fail(at, "the escape \\%s is not known in a regular expression", string(rune(n)))
			}
		case c == '{' && !class && strings.HasPrefix(src[i:], "{,"):
			b.WriteString("{0")
		case isAlnum(c), strings.IndexByte(regexPlain, c) >= 0:
			switch c {
			case '[':
				class = true
			case ']':
				class = false
			}
			b.WriteByte(c)
		default:
			p.fail(at, "the character %q can not stand in a regular expression", []rune(src[i:])[0])
		}
	}
	return b.String()
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
