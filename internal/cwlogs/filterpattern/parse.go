package filterpattern

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/syntax"
)

// Limits of AWS on one pattern.
const (
	maxRegexes     = 2 // of a JSON or space-delimited pattern
	maxWildcards   = 3 // of all selectors together; each may have one
	maxNesting     = 50
	wildcardsInOne = 1
)

type parser struct {
	syntax.Scanner
	depth     int
	regexes   int
	wildcards int
}

// rescue turns what fail threw into an error.
func rescue(err *error) {
	switch e := recover().(type) {
	case nil:
	case *syntax.Error:
		*err = e
	default:
		panic(e)
	}
}

// Parse reads a pattern. The error is a *syntax.Error.
func Parse(src string) (n Node, err error) {
	p := &parser{Scanner: syntax.Scanner{Src: src}}
	defer rescue(&err)
	if utf8.RuneCountInString(src) > maxRunes {
		p.fail(syntax.Span{End: len(src)}, "the pattern is longer than %d characters", maxRunes)
	}
	p.SkipSpace()
	switch p.Peek() {
	case '{':
		n = p.json()
	case '[':
		n = p.delimited()
	default:
		return p.terms(), nil
	}
	p.SkipSpace()
	if !p.EOF() {
		p.unexpected("the end of the pattern")
	}
	return n, nil
}

// ParseSelector reads a path into a JSON object, as in "$.a.b". The error is a *syntax.Error.
func ParseSelector(src string) (s Selector, err error) {
	p := &parser{Scanner: syntax.Scanner{Src: src}}
	defer rescue(&err)
	s = p.selector()
	if !p.EOF() {
		p.unexpected("the end of the selector")
	}
	return s, nil
}

// fail ends the parse; Parse returns the error.
func (p *parser) fail(span syntax.Span, format string, args ...any) {
	panic(p.Errorf(span, format, args...))
}

func (p *parser) unexpected(want string) {
	_, n := utf8.DecodeRuneInString(p.Src[p.Pos:])
	p.fail(syntax.Span{Start: p.Pos, End: p.Pos + n}, "unexpected %s, expected %s", p.Describe(), want)
}

func (p *parser) expect(s string) {
	p.SkipSpace()
	if !p.Accept(s) {
		p.unexpected(strconv.Quote(s))
	}
}

func isBlank(r rune) bool { return r == ' ' || r == '\t' || r == '\r' || r == '\n' }

func (p *parser) terms() Terms {
	var t Terms
	for {
		p.SkipSpace()
		if p.EOF() {
			return t
		}
		t.List = append(t.List, p.term())
		if !p.EOF() && !isBlank(p.Peek()) {
			p.unexpected("a blank between terms")
		}
	}
}

func (p *parser) term() Term {
	var t Term
	start := p.Pos
	switch p.Peek() {
	case '?', '-':
		t.Mark = Mark(p.Next())
	}
	switch p.Peek() {
	case '"':
		t.Text = p.quoted()
		return t
	case '%':
		t.Regex = p.regex()
		return t
	}
	word := p.Pos
	t.Text = p.While(func(r rune) bool { return !isBlank(r) && r != '"' && r != '%' })
	if t.Text == "" {
		p.fail(syntax.Span{Start: start, End: p.Pos}, "a term is missing behind %q", string(t.Mark))
	}
	if !isWord(t.Text) {
		p.fail(syntax.Span{Start: word, End: p.Pos}, "Invalid character(s) in term '%s'", t.Text)
	}
	return t
}

func (p *parser) quoted() string {
	start := p.Pos
	s, err := p.Quoted(nil)
	if errors.Is(err, syntax.ErrUnterminated) {
		p.fail(syntax.Span{Start: start, End: len(p.Src)}, "the closing quote is missing")
	}
	return s
}

func (p *parser) json() Node {
	p.Next()
	where := p.or(p.jsonCond)
	p.expect("}")
	return JSON{where}
}

// or and and read conditions whose leaves leaf reads.
func (p *parser) or(leaf func() Cond) Cond {
	c := p.and(leaf)
	for p.SkipSpace(); p.Accept("||"); p.SkipSpace() {
		c = Or{c, p.and(leaf)}
	}
	return c
}

func (p *parser) and(leaf func() Cond) Cond {
	c := leaf()
	for p.SkipSpace(); p.Accept("&&"); p.SkipSpace() {
		c = And{c, leaf()}
	}
	return c
}

func (p *parser) jsonCond() Cond {
	p.SkipSpace()
	if p.Peek() != '(' {
		return p.jsonLeaf()
	}
	if p.depth++; p.depth > maxNesting {
		p.fail(syntax.Span{Start: p.Pos, End: p.Pos + 1}, "parentheses are nested deeper than %d", maxNesting)
	}
	p.Next()
	c := p.or(p.jsonCond)
	p.expect(")")
	p.depth--
	return c
}

func (p *parser) jsonLeaf() Cond {
	path := p.selector()
	p.SkipSpace()
	start := p.Pos
	switch word := p.While(func(r rune) bool { return r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' }); strings.ToUpper(word) {
	case "IS":
		p.SkipSpace()
		at := p.Pos
		what := Literal(strings.ToUpper(p.While(func(r rune) bool { return r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' })))
		switch what {
		case Null, True, False:
			return Is{path, what}
		}
		p.Pos = at
		p.unexpected("NULL, TRUE or FALSE")
	case "NOT":
		p.SkipSpace()
		at := p.Pos
		if strings.EqualFold(p.While(func(r rune) bool { return r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' }), "EXISTS") {
			return NotExists{path}
		}
		p.Pos = at
		p.unexpected("EXISTS")
	case "":
		return p.comparison(path, "})&|")
	}
	p.Pos = start
	p.unexpected("a comparison, IS or NOT EXISTS")
	return nil
}

func (p *parser) selector() Selector {
	start := p.Pos
	if !p.Accept("$") {
		p.unexpected(`a selector that begins with "$"`)
	}
	var s Selector
	for {
		switch {
		case p.Accept(".["):
			s = append(s, p.bracket(false))
		case p.Accept("."):
			if p.Accept("*") {
				s = append(s, p.wildcard())
				break
			}
			name := p.While(isNameRune)
			if name == "" {
				p.unexpected("the name of a member")
			}
			s = append(s, query.JSONStep{Key: name})
		case p.Accept("["):
			s = append(s, p.bracket(true))
		default:
			if s == nil {
				p.SkipSpace()
				p.unexpected(`"." or "["`)
			}
			wild := 0
			for _, x := range s {
				if x.Any {
					wild++
				}
			}
			if wild > wildcardsInOne {
				p.fail(syntax.Span{Start: start, End: p.Pos}, "a selector has at most one wildcard")
			}
			return s
		}
	}
}

func (p *parser) wildcard() query.JSONStep {
	if p.wildcards++; p.wildcards > maxWildcards {
		p.fail(syntax.Span{Start: p.Pos - 1, End: p.Pos}, "the selectors have more than %d wildcards", maxWildcards)
	}
	return query.JSONStep{Any: true}
}

// bracket reads a step behind its opening bracket; index says whether a number may stand there.
func (p *parser) bracket(index bool) query.JSONStep {
	var step query.JSONStep
	start := p.Pos
	switch {
	case p.Accept("'"):
		step.Key = p.While(func(r rune) bool { return r != '\'' })
		if step.Key == "" || !p.Accept("'") {
			p.fail(syntax.Span{Start: start, End: p.Pos}, "a member's name in single quotes is empty or has no closing quote")
		}
	case p.Accept("*"):
		step = p.wildcard()
	default:
		digits := p.While(func(r rune) bool { return r >= '0' && r <= '9' })
		n, err := strconv.Atoi(digits)
		if !index || digits == "" {
			p.unexpected("an index, * or a name in single quotes")
		}
		if err != nil || n > 1<<30 {
			p.fail(syntax.Span{Start: start, End: p.Pos}, "the index is too large")
		}
		step.Index = n
	}
	if !p.Accept("]") {
		p.unexpected(`"]"`)
	}
	return step
}

// comparison reads an operator and a value. A bare value ends at a blank or at one of the
// characters of end; of '&' and '|' two are needed.
func (p *parser) comparison(path Selector, end string) Compare {
	c := Compare{Path: path}
	p.SkipSpace()
	for _, op := range []Op{Le, Ge, Ne, Eq, Lt, Gt} {
		if p.Accept(string(op)) {
			c.Op = op
			break
		}
	}
	if c.Op == "" {
		p.unexpected("a comparison operator")
	}
	p.SkipSpace()
	start := p.Pos
	switch p.Peek() {
	case '"':
		c.Value = Value{Text: p.quoted(), Quoted: true}
	case '%':
		if p.regexes++; p.regexes > maxRegexes {
			p.fail(syntax.Span{Start: start, End: start + 1}, "the pattern has more than %d regular expressions", maxRegexes)
		}
		c.Value = Value{Regex: p.regex()}
	default:
		c.Value.Text = p.bare(end)
		if c.Value.Text == "" {
			p.unexpected("a value")
		}
	}
	if c.Op != Eq && c.Op != Ne {
		if _, ok := c.Value.number(); !ok {
			p.fail(syntax.Span{Start: start, End: p.Pos}, "%s compares numbers only", c.Op)
		}
	}
	return c
}

func (p *parser) bare(end string) string {
	start := p.Pos
	for !p.EOF() {
		r := p.Peek()
		if isBlank(r) || r == '"' || r == '%' {
			break
		}
		if strings.ContainsRune(end, r) {
			rest := p.Src[p.Pos:]
			if r != '&' && r != '|' || strings.HasPrefix(rest, "&&") || strings.HasPrefix(rest, "||") {
				break
			}
		}
		p.Next()
	}
	return p.Src[start:p.Pos]
}

func (p *parser) delimited() Node {
	p.Next()
	var d Delimited
	dots := false
	for {
		p.SkipSpace()
		start := p.Pos
		slot := p.slot()
		if slot.Ellipsis {
			if dots {
				p.fail(syntax.Span{Start: start, End: p.Pos}, "... can stand once only")
			}
			dots = true
		}
		d.Fields = append(d.Fields, slot)
		p.SkipSpace()
		if p.Accept("]") {
			return d
		}
		if !p.Accept(",") {
			p.unexpected(`"," or "]"`)
		}
	}
}

func (p *parser) slot() Slot {
	if p.Accept("...") {
		return Slot{Ellipsis: true}
	}
	start := p.Pos
	s := Slot{Name: p.While(isNameRune)}
	p.SkipSpace()
	if s.Name == "" || p.EOF() || p.Peek() == ',' || p.Peek() == ']' {
		return s
	}
	p.Pos = start
	s.Where = p.or(func() Cond {
		p.SkipSpace()
		at := p.Pos
		name := p.While(isNameRune)
		if name == "" {
			p.unexpected("the name of the field")
		}
		if !strings.EqualFold(name, s.Name) {
			p.fail(syntax.Span{Start: at, End: p.Pos}, "the conditions of one field are about one name, this one about %q and %q", s.Name, name)
		}
		return p.comparison(nil, ",]&|")
	})
	return s
}
