package filterexpr

import (
	"strings"
	"unicode/utf8"

	"github.com/trefoil-o11y/trefoil/internal/syntax"
)

type parser struct {
	in    syntax.Scanner
	depth int
}

// Parse reads an expression. Its errors are *syntax.Error. Whether keywords are used where they
// have a meaning, with operators and literals of their type, is checked by Lower.
func Parse(src string) (n Node, err error) {
	p := &parser{in: syntax.Scanner{Src: src}}
	defer p.recover(&err)
	p.check()
	p.space()
	if p.in.EOF() {
		return And{place: place{syntax.Span{}}}, nil
	}
	n = p.or()
	p.end()
	return n, nil
}

// ParseSelector reads what chooses a node or an edge of the service graph alone: id(…),
// service(…) or edge(…) without braces. A bare id is a Service.
func ParseSelector(src string) (n Node, err error) {
	p := &parser{in: syntax.Scanner{Src: src}}
	defer p.recover(&err)
	p.check()
	start := p.mark()
	switch p.peekWord() {
	case "id":
		sel := p.selector()
		n = Service{place: p.from(start), Node: sel}
	case "service", "edge":
		n = p.primary()
	default:
		p.unexpected("an entity selector", "id(…), service(…) or edge(…)")
	}
	switch n := n.(type) {
	case Service:
		if n.Where != nil {
			p.fail(n.span, "an entity selector takes no condition")
		}
	case Edge:
		if n.Where != nil {
			p.fail(n.span, "an entity selector takes no condition")
		}
	default:
		p.fail(n.Span(), "an entity selector is id(…), service(…) or edge(…)")
	}
	p.end()
	return n, nil
}

func (p *parser) recover(err *error) {
	switch r := recover().(type) {
	case nil:
	case *syntax.Error:
		*err = r
	default:
		panic(r)
	}
}

func (p *parser) check() {
	src := p.in.Src
	if len(src) > maxLength {
		p.fail(syntax.Span{Start: maxLength, End: len(src)}, "the expression is longer than %d bytes", maxLength)
	}
	if i := strings.IndexByte(src, 0); i >= 0 {
		p.fail(syntax.Span{Start: i, End: i + 1}, "NUL in the expression")
	}
	if !utf8.ValidString(src) {
		p.fail(syntax.Span{Start: 0, End: len(src)}, "the expression is not UTF-8")
	}
}

func (p *parser) fail(span syntax.Span, format string, args ...any) {
	panic(p.in.Errorf(span, format, args...))
}

// unexpected fails at the cursor.
func (p *parser) unexpected(where, expected string) {
	p.space()
	p.fail(syntax.Span{Start: p.in.Pos, End: min(p.in.Pos+1, len(p.in.Src))}, "unexpected %s in %s, expected %s", p.in.Describe(), where, expected)
}

func (p *parser) end() {
	p.space()
	if !p.in.EOF() {
		p.unexpected("the expression", "AND, OR or its end")
	}
}

// mark is where the next token begins.
func (p *parser) mark() int {
	p.space()
	return p.in.Pos
}

func (p *parser) from(start int) place { return place{syntax.Span{Start: start, End: p.in.Pos}} }

func (p *parser) enter() {
	p.depth++
	if p.depth > maxDepth {
		p.fail(syntax.Span{Start: p.in.Pos, End: p.in.Pos}, "the expression is nested deeper than %d", maxDepth)
	}
}

func (p *parser) or() Node {
	p.enter()
	defer func() { p.depth-- }()
	start := p.mark()
	list := []Node{p.and()}
	for p.peekWord() == "or" {
		p.word(wordRune)
		list = append(list, p.and())
	}
	if len(list) == 1 {
		return list[0]
	}
	return Or{p.from(start), list}
}

func (p *parser) and() Node {
	start := p.mark()
	list := []Node{p.not()}
	for {
		p.space()
		if p.peekWord() == "and" {
			p.word(wordRune)
		} else if r := p.in.Peek(); r == -1 || r == ')' || r == '}' || p.peekWord() == "or" {
			break
		}
		list = append(list, p.not())
	}
	if len(list) == 1 {
		return list[0]
	}
	return And{p.from(start), list}
}

func (p *parser) not() Node {
	start := p.mark()
	if !p.in.Accept("!") {
		return p.primary()
	}
	p.enter()
	defer func() { p.depth-- }()
	x := p.not()
	return Not{p.from(start), x}
}

func (p *parser) primary() Node {
	start := p.mark()
	if p.in.Accept("(") {
		n := p.or()
		if !p.accept(")") {
			p.unexpected("the parentheses", `")"`)
		}
		return n
	}
	w := strings.ToLower(p.word(wordRune))
	switch {
	case w == "" || w == "and" || w == "or":
		p.in.Pos = start
		p.unexpected("the expression", "a keyword")
	case w == "service":
		p.open()
		n := Service{}
		if !p.accept(")") {
			n.Node = p.selector()
			p.close()
		}
		n.Where = p.braces()
		n.place = p.from(start)
		return n
	case w == "edge":
		p.open()
		n := Edge{}
		if !p.accept(")") {
			n.Source = p.selector()
			if p.accept(",") {
				n.Target = p.selector()
			}
			p.close()
		}
		n.Where = p.braces()
		n.place = p.from(start)
		return n
	case strings.HasPrefix(w, "rootcause.") && w != "rootcause.json":
		return p.rootCause(start, w)
	}
	kw := p.keyword(start, w)
	op, ok := p.op()
	if !ok {
		return Bare{p.from(start), kw}
	}
	v := p.value()
	return Comparison{p.from(start), kw, op, v}
}

func (p *parser) rootCause(start int, w string) Node {
	parts := strings.Split(w, ".")
	if len(parts) == 3 {
		kind, part := parts[1], parts[2]
		if (kind == "fault" || kind == "error" || kind == "responsetime") && (part == "service" || part == "entity" || part == "exception") {
			n := RootCause{Kind: kind, Part: part, Where: p.braces()}
			n.place = p.from(start)
			return n
		}
	}
	p.fail(p.from(start).span, "no such keyword %s, expected rootcause.(fault|error|responsetime).(service|entity|exception)", w)
	panic("unreachable")
}

// keyword makes a Keyword of the word w, which has just been read from start on.
func (p *parser) keyword(start int, w string) Keyword {
	if w == "annotation" && p.in.Accept("[") {
		end := strings.IndexByte(p.in.Src[p.in.Pos:], ']')
		if end < 0 {
			p.unexpected("the annotation's name", `"]"`)
		}
		key := p.in.Src[p.in.Pos : p.in.Pos+end]
		p.in.Pos += end + 1
		if n := len(key); n >= 2 && key[0] == '"' && key[n-1] == '"' {
			key = key[1 : n-1]
		}
		p.checkKey(start, key)
		return Keyword{"annotation", key}
	}
	if strings.HasPrefix(w, "annotation.") {
		// Names keep their case.
		key := p.in.Src[start+len("annotation.") : p.in.Pos]
		p.checkKey(start, key)
		if strings.Trim(key, plainKey) != "" {
			p.fail(p.from(start).span, "the annotation's name %s has a dot: write annotation[%s]", key, key)
		}
		return Keyword{"annotation", key}
	}
	if w == "annotation" {
		p.fail(p.from(start).span, "annotation needs a name: annotation.name or annotation[name]")
	}
	if w == "json" {
		w = "rootcause.json"
	}
	if _, ok := keywords[w]; !ok {
		p.fail(p.from(start).span, "no such keyword %s", p.in.Src[start:p.in.Pos])
	}
	return Keyword{Name: w}
}

func (p *parser) checkKey(start int, key string) {
	if key == "" || len(key) > maxKey || strings.ContainsAny(key, `"[`) {
		p.fail(p.from(start).span, "an annotation's name has 1 to %d characters and no quote or bracket", maxKey)
	}
}

// op reads an operator, if there is one.
func (p *parser) op() (Op, bool) {
	p.space()
	for _, op := range [...]Op{NotEqual, LessEqual, GreaterEqual, Equal, Less, Greater} {
		if p.in.Accept(string(op)) {
			return op, true
		}
	}
	switch op := Op(strings.ToUpper(p.peekWord())); op {
	case Contains, BeginsWith, EndsWith:
		p.word(wordRune)
		return op, true
	}
	return "", false
}

func (p *parser) value() (v Value) {
	start := p.mark()
	defer func() { v.Span = syntax.Span{Start: start, End: p.in.Pos} }()
	if p.in.Peek() == '"' {
		return Value{Kind: StringValue, Str: p.str()}
	}
	if p.in.Accept("#") {
		return Value{Kind: JSONValue, JSON: p.json(0)}
	}
	if f, ok := p.number(); ok {
		if r := p.in.Peek(); letter(r) || r == '.' {
			p.unexpected("the number", "its end")
		}
		return Value{Kind: NumberValue, Num: f}
	}
	w := p.word(valueRune)
	switch strings.ToLower(w) {
	case "":
		p.unexpected("the comparison", "a string, a number, true or false")
	case "true", "false":
		return Value{Kind: BoolValue, Bool: strings.EqualFold(w, "true")}
	case "and", "or":
		p.in.Pos = start
		p.unexpected("the comparison", "a string, a number, true or false")
	}
	return Value{Kind: StringValue, Str: w}
}

func (p *parser) open() {
	if !p.accept("(") {
		p.unexpected("the function", `"("`)
	}
}

func (p *parser) close() {
	if !p.accept(")") {
		p.unexpected("the function's arguments", `")"`)
	}
}

// braces reads a condition in braces, nil when there is none or it is empty.
func (p *parser) braces() Node {
	if !p.accept("{") || p.accept("}") {
		return nil
	}
	n := p.or()
	if !p.accept("}") {
		p.unexpected("the braces", `"}"`)
	}
	return n
}

func (p *parser) selector() Selector {
	p.space()
	if p.in.Peek() == '"' {
		return Selector{Name: p.str()}
	}
	if p.peekWord() != "id" {
		p.unexpected("the function's arguments", "a string or id(…)")
	}
	p.word(wordRune)
	p.open()
	var s Selector
	for {
		at := p.mark()
		w := strings.ToLower(p.word(wordRune))
		to := map[string]*string{"name": &s.Name, "type": &s.Type, "account.id": &s.Account}[w]
		if to == nil {
			p.in.Pos = at
			p.unexpected("id", "name, type or account.id")
		}
		if !p.accept(":") {
			p.unexpected("id", `":"`)
		}
		if p.space(); p.in.Peek() != '"' {
			p.unexpected("id", "a string")
		}
		*to = p.str()
		if !p.accept(",") {
			break
		}
	}
	p.close()
	return s
}
