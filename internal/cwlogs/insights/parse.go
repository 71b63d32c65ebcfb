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
	sub   bool // within a query in parentheses
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
	p.advance()
	q = p.query()
	if p.tok.kind != tokenEnd {
		p.unexpected(`"|"`)
	}
	return q, nil
}

// query reads commands up to what can not follow one.
func (p *parser) query() *Query {
	q := &Query{Text: p.Src}
	if p.tok.is("source") {
		q.Source = p.source()
		// A source alone is no query.
		p.expect("|")
	}
	for {
		q.Commands = append(q.Commands, p.command())
		if !p.tok.is("|") {
			return q
		}
		p.advance()
	}
}

// subquery reads a query in parentheses.
func (p *parser) subquery() *Query {
	p.expect("(")
	if p.sub {
		p.fail(p.tok.span, "queries within a query can not have queries within them")
	}
	p.sub = true
	q := p.query()
	p.sub = false
	if !p.tok.is(")") {
		p.unexpected(`"|" or ")"`)
	}
	p.advance()
	return q
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

// reader reads what follows the word of a command; start is where that stands.
type reader func(p *parser, start int) Command

// readers are the commands by their words in lower case. It is filled by init, since queries
// within queries lead back to it.
var readers map[string]reader

func init() {
	filter := func(p *parser, _ int) Command { return Filter{Where: p.expr()} }
	limit := func(p *parser, _ int) Command { return p.limit(false) }
	readers = map[string]reader{
		"fields":  func(p *parser, _ int) Command { return Fields{p.items(false)} },
		"display": func(p *parser, _ int) Command { return Display{Items: p.items(false)} },
		"unmask":  func(p *parser, _ int) Command { return Display{Items: p.items(false), Unmask: true} },
		"filter":  filter, "where": filter, "filterindex": (*parser).filterIndex,
		"search": (*parser).search, "stats": (*parser).stats,
		"sort": func(p *parser, _ int) Command { return p.sort() },
		"order": func(p *parser, _ int) Command {
			p.accept("by")
			return p.sort()
		},
		"limit": limit, "head": limit, "tail": func(p *parser, _ int) Command { return p.limit(true) },
		"parse": (*parser).parse, "json": (*parser).jsonField,
		"dedup": func(p *parser, start int) Command { return Dedup{p.paths(), p.since(start)} },
		"pattern": func(p *parser, start int) Command {
			x := p.expr()
			return Pattern{x, p.since(start)}
		},
		"diff":    (*parser).diff,
		"anomaly": func(p *parser, start int) Command { return Anomaly{p.since(start)} },
		"unnest": func(p *parser, _ int) Command {
			c := Unnest{X: p.path()}
			p.expect("into")
			c.Into = p.path().Name
			return c
		},
		"expand":     func(p *parser, _ int) Command { return Unnest{X: p.path()} },
		"lookup":     func(p *parser, start int) Command { return p.lookup(start, false) },
		"cidrlookup": func(p *parser, start int) Command { return p.lookup(start, true) },
		"join":       (*parser).join, "relevantfields": (*parser).relevant, "addtotals": (*parser).addTotals, "autoregress": (*parser).autoregress,
		"logcompare": func(p *parser, start int) Command {
			p.expect("timeshift")
			p.accept("-")
			d := p.duration()
			return Diff{Shift: &d, Span: p.since(start)}
		},
		"filldown":    func(p *parser, start int) Command { return FillDown{p.optionalPaths(), p.since(start)} },
		"fillmissing": (*parser).fillMissing, "outlier": (*parser).outlier,
		"accum": func(p *parser, _ int) Command {
			c := Accum{X: p.path()}
			c.As = p.optionalAs()
			return c
		},
		"appendcols": (*parser).appendCols, "sessionize": (*parser).sessionize,
		"countfrequent": func(p *parser, start int) Command { return CountFrequent{p.paths(), p.since(start)} },
		"estimate":      func(p *parser, start int) Command { return Estimate{p.since(start)} },
	}
}

func (p *parser) since(start int) syntax.Span { return syntax.Span{Start: start, End: p.last} }

func (p *parser) command() Command {
	const want = "a command such as fields, filter, stats, sort, limit, parse or dedup"
	if p.tok.kind != tokenName || p.tok.quoted {
		p.unexpected(want)
	}
	read, ok := readers[strings.ToLower(p.tok.text)]
	if !ok {
		if p.tok.is("source") {
			p.fail(p.tok.span, "SOURCE stands at the begin of a query only")
		}
		p.unexpected(want)
	}
	start := p.tok.span.Start
	p.advance()
	return read(p, start)
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
		if !loose || p.tok.kind != tokenName || p.tok.is("by") || p.tok.is("offset") {
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

func (p *parser) limit(tail bool) Command {
	some := !tail && p.accept("any")
	n, err := strconv.Atoi(p.tok.text)
	if p.tok.kind != tokenNumber || err != nil || n < 1 || n > MaxLimit {
		p.unexpected("a whole number from 1 to " + strconv.Itoa(MaxLimit))
	}
	p.advance()
	return Limit{n, tail, some}
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
		step, ok := p.step()
		if !ok {
			return Path{name, syntax.Span{Start: start, End: p.last}}
		}
		name += "." + step
	}
}

// step reads a further part of a path, which follows without a blank, if there is one.
func (p *parser) step() (string, bool) {
	adjacent := p.tok.span.Start == p.last
	switch {
	case adjacent && p.tok.is("."):
		p.advance()
		if p.tok.kind != tokenName || p.tok.span.Start != p.last {
			p.unexpected("the name of a field")
		}
		return p.segment(), true
	// The number in "items.0.id" is scanned as ".0" and the like.
	case adjacent && p.tok.kind == tokenNumber && strings.HasPrefix(p.tok.text, ".") && strings.Trim(p.tok.text[1:], "0123456789") == "":
		return p.segment()[1:], true
	case adjacent && p.tok.is("["):
		p.advance()
		if p.tok.kind != tokenNumber || strings.Trim(p.tok.text, "0123456789") != "" {
			p.unexpected("an index")
		}
		step := p.segment()
		p.expect("]")
		return step, true
	}
	return "", false
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
		in := In{X: x, Not: not}
		if p.tok.is("(") {
			in.Sub = p.subquery()
		} else {
			in.List = p.list()
		}
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
	var steps []string
	for {
		step, ok := p.step()
		if !ok {
			break
		}
		steps = append(steps, step)
	}
	c.Path = strings.Join(steps, ".")
	c.Span = syntax.Span{Start: start, End: p.last}
	return c
}
