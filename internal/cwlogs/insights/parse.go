package insights

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/syntax"
)

const (
	// maxRunes bounds a query, as on AWS.
	maxRunes = 10_000
	// maxNesting bounds parentheses and negations.
	maxNesting = 50
	// MaxLimit is the largest number of rows that a query gives.
	MaxLimit = 100_000
)

type parser struct {
	syntax.Scanner
	tok   token
	last  int // end of the token before tok
	depth int
}

// Parse reads a query. The error is a *syntax.Error.
func Parse(src string) (q *Query, err error) {
	p := &parser{Scanner: syntax.Scanner{Src: src}}
	defer func() {
		switch e := recover().(type) {
		case nil:
		case *syntax.Error:
			q, err = nil, e
		default:
			panic(e)
		}
	}()
	if !utf8.ValidString(src) {
		p.fail(syntax.Span{End: len(src)}, "the query is not valid UTF-8")
	}
	if utf8.RuneCountInString(src) > maxRunes {
		p.fail(syntax.Span{End: len(src)}, "the query is longer than %d characters", maxRunes)
	}
	q = &Query{Source: src}
	p.advance()
	for {
		q.Commands = append(q.Commands, p.command())
		if p.tok.kind == tokenEnd {
			return q, nil
		}
		p.expect("|")
	}
}

// fail ends the parse; Parse returns the error.
func (p *parser) fail(span syntax.Span, format string, args ...any) {
	panic(p.Errorf(span, format, args...))
}

func (p *parser) unexpected(want string) {
	got := "the end of the query"
	if p.tok.kind != tokenEnd {
		got = strconv.Quote(p.Src[p.tok.span.Start:p.tok.span.End])
	}
	p.fail(p.tok.span, "unexpected %s, expected %s", got, want)
}

func (p *parser) unsupported(span syntax.Span, what string) {
	p.fail(span, "not supported by this server: %s", what)
}

func (p *parser) accept(s string) bool {
	if !p.tok.is(s) {
		return false
	}
	p.advance()
	return true
}

func (p *parser) expect(s string) {
	if !p.accept(s) {
		p.unexpected(strconv.Quote(s))
	}
}

// refusedCommands are commands of AWS that are not built here.
var refusedCommands = map[string]bool{
	"source": true, "filterindex": true, "pattern": true, "diff": true, "anomaly": true, "unmask": true, "unnest": true, "expand": true, "lookup": true,
	"cidrlookup": true, "join": true, "relevantfields": true, "addtotals": true, "autoregress": true, "logcompare": true, "filldown": true, "fillmissing": true,
	"outlier": true, "accum": true, "appendcols": true, "sessionize": true, "countfrequent": true, "estimate": true, "search": true, "json": true, "tail": true,
}

func (p *parser) command() Command {
	const want = "a command: fields, display, filter, stats, sort, limit, parse or dedup"
	if p.tok.kind != tokenName || p.tok.quoted {
		p.unexpected(want)
	}
	start, name := p.tok, strings.ToLower(p.tok.text)
	switch name {
	case "fields":
		p.advance()
		return Fields{p.items(false)}
	case "display":
		p.advance()
		return Display{p.items(false)}
	case "filter", "where":
		p.advance()
		return Filter{p.expr()}
	case "stats":
		p.advance()
		c := Stats{Aggs: p.items(true)}
		if p.accept("by") {
			c.By = p.items(false)
			if p.tok.is("offset") {
				p.unsupported(p.tok.span, "offset")
			}
		}
		c.Span = syntax.Span{Start: start.span.Start, End: p.last}
		return c
	case "sort", "order":
		p.advance()
		if name == "order" {
			p.accept("by")
		}
		return p.sort()
	case "limit", "head":
		p.advance()
		p.accept("any")
		return p.limit()
	case "parse":
		p.advance()
		return p.parse(start.span.Start)
	case "dedup":
		p.advance()
		c := Dedup{Paths: []Path{p.path()}}
		for p.accept(",") {
			c.Paths = append(c.Paths, p.path())
		}
		c.Span = syntax.Span{Start: start.span.Start, End: p.last}
		return c
	}
	if refusedCommands[name] {
		p.unsupported(start.span, start.text)
	}
	p.unexpected(want)
	return nil
}

// items reads expressions with their names; with loose the commas may be left out.
func (p *parser) items(loose bool) []Item {
	var list []Item
	for {
		start := p.tok.span.Start
		i := Item{X: p.expr()}
		i.Span = syntax.Span{Start: start, End: p.last}
		if p.accept("as") {
			i.As = p.path().Name
		}
		list = append(list, i)
		if p.accept(",") {
			continue
		}
		if !loose || p.tok.kind != tokenName || p.tok.is("by") {
			return list
		}
	}
}

func (p *parser) sort() Command {
	var c Sort
	for {
		k := Key{X: p.expr()}
		if p.accept("desc") {
			k.Desc = true
		} else {
			p.accept("asc")
		}
		c.Keys = append(c.Keys, k)
		if !p.accept(",") {
			return c
		}
	}
}

func (p *parser) limit() Command {
	n, err := strconv.Atoi(p.tok.text)
	if p.tok.kind != tokenNumber || err != nil || n < 1 || n > MaxLimit {
		p.unexpected("a whole number from 1 to " + strconv.Itoa(MaxLimit))
	}
	p.advance()
	return Limit{n}
}

func (p *parser) parse(start int) Command {
	var c ParseCmd
	if p.tok.kind == tokenName {
		c.X = p.path()
	}
	switch {
	case p.tok.kind == tokenString:
		c.Glob = &String{p.tok.text, p.tok.span}
		p.advance()
		p.expect("as")
		c.As = p.names()
		if stars := strings.Count(c.Glob.Value, "*"); stars != len(c.As) {
			p.fail(c.Glob.Span, "the pattern has %d stars but %d names follow", stars, len(c.As))
		}
	case p.tok.is("/"):
		c.Regex = p.regex()
		if p.accept("as") {
			c.As = p.names()
		}
		if p.tok.is("multi") {
			p.unsupported(p.tok.span, "parse … multi")
		}
	case p.tok.is("logfmt"), p.tok.is("csv"):
		p.unsupported(p.tok.span, "parse "+p.tok.text)
	default:
		// "parse logfmt as x" has its word where a field may stand.
		if x, ok := c.X.(Path); ok && (strings.EqualFold(x.Name, "logfmt") || strings.EqualFold(x.Name, "csv")) {
			p.unsupported(x.Span, "parse "+x.Name)
		}
		p.unexpected("a pattern in quotes or a regular expression between slashes")
	}
	c.Span = syntax.Span{Start: start, End: p.last}
	return c
}

func (p *parser) names() []string {
	list := []string{p.path().Name}
	for p.accept(",") {
		list = append(list, p.path().Name)
	}
	return list
}

func (p *parser) path() Path {
	if p.tok.kind != tokenName || !p.tok.quoted && reserved[strings.ToLower(p.tok.text)] {
		p.unexpected("the name of a field")
	}
	start := p.tok.span.Start
	name := p.segment()
	for {
		// What belongs to a path follows without a blank.
		adjacent := p.tok.span.Start == p.last
		switch {
		case adjacent && p.tok.is("."):
			p.advance()
			if p.tok.kind != tokenName || p.tok.span.Start != p.last {
				p.unexpected("the name of a field")
			}
			name += "." + p.segment()
		// The number in "items.0.id" is scanned as ".0" and the like.
		case adjacent && p.tok.kind == tokenNumber && strings.HasPrefix(p.tok.text, "."):
			name += p.segment()
		case adjacent && p.tok.is("["):
			p.advance()
			if p.tok.kind != tokenNumber || strings.Trim(p.tok.text, "0123456789") != "" {
				p.unexpected("an index")
			}
			name += "." + p.segment()
			p.expect("]")
		default:
			return Path{name, syntax.Span{Start: start, End: p.last}}
		}
	}
}

func (p *parser) segment() string {
	text := p.tok.text
	p.advance()
	return text
}

func (p *parser) enter() {
	if p.depth++; p.depth > maxNesting {
		p.fail(p.tok.span, "expressions are nested deeper than %d", maxNesting)
	}
}

func (p *parser) expr() Expr {
	e := p.conj()
	for p.accept("or") {
		e = Binary{"or", e, p.conj()}
	}
	return e
}

func (p *parser) conj() Expr {
	e := p.neg()
	for p.accept("and") {
		e = Binary{"and", e, p.neg()}
	}
	return e
}

func (p *parser) neg() Expr {
	start := p.tok.span.Start
	if !p.accept("not") {
		return p.pred()
	}
	p.enter()
	defer func() { p.depth-- }()
	x := p.neg()
	return Unary{"not", x, syntax.Span{Start: start, End: p.last}}
}

func (p *parser) pred() Expr {
	start := p.tok.span.Start
	x := p.sum()
	for _, op := range []string{"=", "!=", "<=", ">=", "<", ">"} {
		if p.accept(op) {
			return Binary{op, x, p.sum()}
		}
	}
	if p.accept("=~") {
		l := Like{X: x, Regex: p.pattern(true)}
		l.Span = syntax.Span{Start: start, End: p.last}
		return l
	}
	not := p.accept("not")
	switch {
	case p.accept("like"):
		l := Like{X: x, Not: not}
		if p.tok.kind == tokenString {
			l.Text = &String{p.tok.text, p.tok.span}
			p.advance()
		} else {
			l.Regex = p.pattern(false)
		}
		l.Span = syntax.Span{Start: start, End: p.last}
		return l
	case p.accept("in"):
		in := In{X: x, Not: not, List: p.list()}
		in.Span = syntax.Span{Start: start, End: p.last}
		return in
	case not:
		p.unexpected(`"like" or "in"`)
	}
	return x
}

// pattern reads a regular expression; text says whether it may be a string.
func (p *parser) pattern(text bool) *Regex {
	if p.tok.is("/") {
		return p.regex()
	}
	if !text || p.tok.kind != tokenString {
		p.unexpected("a string or a regular expression between slashes")
	}
	re := &Regex{p.tok.text, p.tok.span}
	p.compile(re.Source, re.Span)
	p.advance()
	return re
}

func (p *parser) list() []Literal {
	if p.tok.is("(") {
		p.unsupported(p.tok.span, "a subquery")
	}
	p.expect("[")
	var list []Literal
	for {
		negative := p.accept("-")
		l, ok := p.literal()
		if negative && (!ok || l.Value.Kind() == event.KindString || l.Value.Kind() == event.KindBool) {
			p.unexpected("a number")
		}
		if !ok {
			p.unexpected("a string or a number")
		}
		if negative {
			l.Value = negated(l.Value)
		}
		list = append(list, l)
		if p.accept("]") {
			return list
		}
		if !p.accept(",") {
			p.unexpected(`"," or "]"`)
		}
	}
}

func negated(v event.Value) event.Value {
	if v.Kind() == event.KindInt {
		return event.Int(-v.Int())
	}
	return event.Float(-v.Float())
}

// literal reads a literal if there is one.
func (p *parser) literal() (Literal, bool) {
	l := Literal{Span: p.tok.span}
	switch {
	case p.tok.kind == tokenString:
		l.Value = event.String(p.tok.text)
	case p.tok.kind == tokenNumber:
		if l.Value = query.NumberValue(p.tok.text); l.Value.Kind() == event.KindString {
			p.fail(p.tok.span, "the number is too large")
		}
	case p.tok.is("true"), p.tok.is("false"):
		l.Value = event.Bool(p.tok.is("true"))
	default:
		return l, false
	}
	p.advance()
	return l, true
}

func (p *parser) sum() Expr {
	e := p.product()
	for p.tok.is("+") || p.tok.is("-") {
		op := p.tok.text
		p.advance()
		e = Binary{op, e, p.product()}
	}
	return e
}

func (p *parser) product() Expr {
	e := p.power()
	for p.tok.is("*") || p.tok.is("/") || p.tok.is("%") {
		op := p.tok.text
		p.advance()
		e = Binary{op, e, p.power()}
	}
	return e
}

func (p *parser) power() Expr {
	e := p.unary()
	if !p.tok.is("^") {
		return e
	}
	p.enter()
	defer func() { p.depth-- }()
	p.advance()
	return Binary{"^", e, p.power()}
}

func (p *parser) unary() Expr {
	start := p.tok.span.Start
	if !p.accept("-") {
		return p.prim()
	}
	x := p.prim()
	return Unary{"-", x, syntax.Span{Start: start, End: p.last}}
}

func (p *parser) prim() Expr {
	if p.tok.is("(") {
		p.enter()
		defer func() { p.depth-- }()
		p.advance()
		e := p.expr()
		p.expect(")")
		return e
	}
	if l, ok := p.literal(); ok {
		return l
	}
	if p.tok.kind != tokenName {
		p.unexpected("a field, a function, a string or a number")
	}
	if !p.tok.quoted && strings.HasPrefix(p.Src[p.Pos:], "(") && !reserved[strings.ToLower(p.tok.text)] {
		return p.call()
	}
	return p.path()
}

func (p *parser) call() Expr {
	c := Call{Name: strings.ToLower(p.tok.text)}
	start := p.tok.span.Start
	p.advance()
	p.enter()
	defer func() { p.depth-- }()
	p.expect("(")
	switch {
	case p.accept("*"):
		c.Star = true
	case !p.tok.is(")"):
		for {
			if p.tok.kind == tokenDuration {
				c.Args = append(c.Args, Duration{p.tok.n, p.tok.unit, p.tok.span})
				p.advance()
			} else {
				c.Args = append(c.Args, p.expr())
			}
			if !p.accept(",") {
				break
			}
		}
	}
	p.expect(")")
	c.Span = syntax.Span{Start: start, End: p.last}
	if p.last == p.tok.span.Start && (p.tok.is(".") || p.tok.is("[")) {
		p.unsupported(p.tok.span, "a field of what a function returns")
	}
	return c
}
