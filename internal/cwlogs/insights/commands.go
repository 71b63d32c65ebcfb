package insights

import (
	"slices"
	"strconv"
	"strings"

	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/syntax"
)

// This file reads what follows the words of the larger commands.

// source reads a source with its word.
func (p *parser) source() *Source {
	start := p.tok.span.Start
	p.advance()
	s := &Source{}
	for p.tok.kind == tokenName && !p.tok.quoted && strings.HasPrefix(p.Src[p.Pos:], "(") {
		s.Selectors = append(s.Selectors, p.selector())
	}
	if s.Selectors == nil {
		for {
			s.Names = append(s.Names, p.groupName())
			if !p.accept(",") {
				break
			}
		}
	}
	for p.tok.is("start") || p.tok.is("end") {
		begin := p.tok.is("start")
		p.advance()
		p.expect("=")
		m := p.moment()
		if begin {
			s.Start = m
		} else {
			s.End = m
		}
	}
	s.Span = p.since(start)
	return s
}

// groupName reads a name in quotes or backticks, or one of words, slashes and dashes.
func (p *parser) groupName() string {
	if p.tok.kind == tokenString || p.tok.kind == tokenName && p.tok.quoted {
		return p.segment()
	}
	start := p.tok.span.Start
	for p.tok.kind == tokenName || p.tok.kind == tokenNumber || p.tok.kind == tokenDuration || p.tok.is("/") || p.tok.is("-") || p.tok.is(".") {
		p.advance()
		if p.tok.span.Start != p.last {
			break
		}
	}
	if p.last <= start {
		p.unexpected("the name of a log group")
	}
	return p.Src[start:p.last]
}

func (p *parser) selector() Selector {
	s := Selector{}
	switch {
	case p.tok.is("logGroups"):
		s.Name = "logGroups"
	case p.tok.is("dataSource"):
		s.Name = "dataSource"
	default:
		p.unexpected("logGroups, dataSource or the name of a log group")
	}
	p.advance()
	p.expect("(")
	for !p.tok.is(")") {
		start := p.tok.span.Start
		a := SelectorArg{}
		if s.Name == "logGroups" {
			names := []string{"nameprefix", "class", "accountidentifier", "accountidentifiers", "tags", "loggroupidentifier"}
			if a.Name = strings.ToLower(p.tok.text); p.tok.kind != tokenName || !slices.Contains(names, a.Name) {
				p.unexpected("namePrefix, class, accountIdentifiers, tags or logGroupIdentifier")
			}
			p.advance()
			p.expect(":")
		}
		p.expect("[")
		for !p.accept("]") {
			if p.tok.kind != tokenString {
				p.unexpected("a string")
			}
			a.Values = append(a.Values, p.segment())
			if !p.tok.is("]") {
				p.expect(",")
			}
		}
		a.Span = p.since(start)
		s.Args = append(s.Args, a)
		if !p.tok.is(")") {
			p.expect(",")
		}
	}
	p.advance()
	return s
}

func (p *parser) moment() *Moment {
	switch {
	case p.accept("now"):
		return &Moment{Now: true}
	case p.accept("-"):
		d := p.duration()
		return &Moment{Ago: &d}
	}
	n, err := strconv.ParseInt(p.tok.text, 10, 64)
	if p.tok.kind != tokenNumber || err != nil {
		p.unexpected("milliseconds since the epoch, now or a time ago such as -1h")
	}
	p.advance()
	return &Moment{Millis: n}
}

func (p *parser) duration() Duration {
	if p.tok.kind != tokenDuration {
		p.unexpected("a period such as 5m")
	}
	d := Duration{p.tok.n, p.tok.unit, p.tok.span}
	p.advance()
	return d
}

func (p *parser) paths() []Path {
	list := []Path{p.path()}
	for p.accept(",") {
		list = append(list, p.path())
	}
	return list
}

// optionalPaths reads a list of fields, or none ahead of the end of a command.
func (p *parser) optionalPaths() []Path {
	if p.tok.kind != tokenName {
		return nil
	}
	return p.paths()
}

func (p *parser) optionalAs() string {
	if !p.accept("as") {
		return ""
	}
	return p.path().Name
}

func (p *parser) filterIndex(start int) Command {
	x := p.expr()
	var check func(e Expr)
	check = func(e Expr) {
		switch e := e.(type) {
		case Binary:
			if e.Op == "and" {
				check(e.L)
				check(e.R)
				return
			}
			_, path := e.L.(Path)
			_, literal := e.R.(Literal)
			if e.Op == "=" && path && literal {
				return
			}
		case In:
			if _, path := e.X.(Path); path && !e.Not && e.Sub == nil {
				return
			}
		}
		p.fail(e.span(), "filterIndex takes conditions such as field = \"value\" and field in [\"a\", \"b\"] that are joined by and")
	}
	check(x)
	return Filter{Where: x, Index: true}
}

func (p *parser) search(int) Command {
	if p.tok.is("/") {
		return Search{Regex: p.regex()}
	}
	if p.tok.kind != tokenString {
		p.unexpected("a string or a regular expression between slashes")
	}
	c := Search{Text: &String{p.tok.text, p.tok.span}}
	p.advance()
	return c
}

func (p *parser) stats(start int) Command {
	c := Stats{Aggs: p.items(true)}
	if p.accept("by") {
		c.By = p.items(false)
	}
	if p.accept("offset") {
		d := p.duration()
		c.Offset = &d
	}
	c.Span = p.since(start)
	return c
}

func (p *parser) parse(start int) Command {
	var c ParseCmd
	// "parse logfmt as x" has its word where a field may stand.
	form := func() bool {
		if !p.tok.is("logfmt") && !p.tok.is("csv") {
			return false
		}
		ahead := *p
		p.advance()
		if p.tok.is("as") {
			c.Form = ParseLogfmt
			if ahead.tok.is("csv") {
				c.Form = ParseCSV
			}
			return true
		}
		*p = ahead
		return false
	}
	formed := form()
	if !formed && p.tok.kind == tokenName {
		c.X = p.path()
		formed = form()
	}
	switch {
	case formed:
		p.expect("as")
		c.As = p.names()
		if c.Form == ParseLogfmt && len(c.As) > 1 {
			p.fail(p.since(start), "parse logfmt gives one map, whose fields are as in name.level")
		}
	case p.tok.kind == tokenString:
		c.Glob = &String{p.tok.text, p.tok.span}
		p.advance()
		p.expect("as")
		c.As = p.names()
		if stars := strings.Count(c.Glob.Value, "*"); stars != len(c.As) {
			p.fail(c.Glob.Span, "the pattern has %d stars but %d names follow", stars, len(c.As))
		}
	case p.tok.is("/"):
		c.Form, c.Regex = ParseRegex, p.regex()
		if p.accept("as") {
			c.As = p.names()
		}
		c.Multi = p.accept("multi")
	default:
		p.unexpected("a pattern in quotes, a regular expression between slashes, logfmt or csv")
	}
	c.Span = p.since(start)
	return c
}

// option reads "word =".
func (p *parser) option(word string) bool {
	if !p.accept(word) {
		return false
	}
	p.expect("=")
	return true
}

func (p *parser) truth() bool {
	if p.accept("true") {
		return true
	}
	if !p.accept("false") {
		p.unexpected("true or false")
	}
	return false
}

func (p *parser) whole(low, high int) int {
	n, err := strconv.Atoi(p.tok.text)
	if p.tok.kind != tokenNumber || err != nil || n < low || n > high {
		p.unexpected("a whole number from " + strconv.Itoa(low) + " to " + strconv.Itoa(high))
	}
	p.advance()
	return n
}

func (p *parser) jsonField(int) Command {
	var c JSONField
	if !p.option("field") {
		p.unexpected(`"field="`)
	}
	c.X = p.path()
	if p.tok.kind != tokenString {
		p.unexpected("a path in quotes")
	}
	c.Path = String{p.tok.text, p.tok.span}
	p.advance()
	p.expect("as")
	c.As = p.path().Name
	return c
}

func (p *parser) diff(start int) Command {
	c := Diff{}
	for _, unit := range []string{"day", "week", "month"} {
		if p.accept("previous" + unit) {
			c.Against = unit
		}
	}
	c.Span = p.since(start)
	return c
}

func (p *parser) lookup(start int, cidr bool) Command {
	c := Lookup{CIDR: cidr}
	c.Table = p.path().Name
	for {
		column := p.path()
		field := column
		if p.accept("as") {
			field = p.path()
		}
		c.On = append(c.On, Pair{column, field})
		if !p.accept(",") {
			break
		}
	}
	if cidr && len(c.On) > 1 {
		p.fail(p.since(start), "cidrlookup takes one column")
	}
	p.expect("OUTPUT")
	c.Output = p.names()
	c.Span = p.since(start)
	return c
}

func (p *parser) join(start int) Command {
	var c Join
	for {
		switch {
		case p.option("type"):
			switch {
			case p.accept("left"):
				c.Keep = true
			case !p.accept("inner"):
				p.unexpected("inner or left")
			}
			continue
		case p.option("left"):
			c.Left = p.path().Name
			continue
		case p.option("right"):
			c.Right = p.path().Name
			continue
		}
		break
	}
	if c.Left == "" || c.Right == "" || c.Left == c.Right {
		p.unexpected("left= and right= with two different names")
	}
	p.expect("where")
	for {
		var on Pair
		on.L = p.path()
		p.expect("=")
		on.R = p.path()
		c.On = append(c.On, on)
		if !p.accept("and") {
			break
		}
	}
	c.Query = p.subquery()
	c.Span = p.since(start)
	return c
}

func (p *parser) relevant(start int) Command {
	var c Relevant
	if !p.tok.is("where") {
		c.Paths = p.paths()
	}
	p.expect("where")
	c.Where = p.expr()
	c.Span = p.since(start)
	return c
}

func (p *parser) addTotals(start int) Command {
	c := AddTotals{Row: true, Name: "Total"}
	for {
		switch {
		case p.option("row"):
			c.Row = p.truth()
			continue
		case p.option("col"):
			c.Col = p.truth()
			continue
		case p.option("fieldname"):
			if p.tok.kind == tokenString && p.tok.text != "" {
				c.Name = p.segment()
			} else {
				c.Name = p.path().Name
			}
			continue
		}
		break
	}
	c.Paths = p.optionalPaths()
	if c.Span = p.since(start); !c.Row && !c.Col {
		p.fail(c.Span, "addtotals adds a column (row=true), a row (col=true) or both")
	}
	return c
}

func (p *parser) autoregress(int) Command {
	c := Autoregress{X: p.path(), From: 1, To: 1}
	c.As = p.optionalAs()
	if p.option("p") {
		c.From = p.whole(1, query.MaxLag)
		c.To = c.From
		if p.accept("-") {
			c.To = p.whole(c.From, min(c.From+99, query.MaxLag))
		}
	}
	return c
}

func (p *parser) fillMissing(start int) Command {
	var c FillMissing
	if p.accept("with") {
		for {
			negative := p.accept("-")
			l, ok := p.literal()
			if _, number := l.Value.Number(); !ok || negative && !number {
				p.unexpected("a value")
			}
			if negative {
				l.Value = negated(l.Value)
			}
			p.expect("for")
			c.With = append(c.With, Default{l, p.path()})
			if !p.accept(",") {
				break
			}
		}
	}
	c.Span = p.since(start)
	return c
}

func (p *parser) outlier(start int) Command {
	c := Outlier{Param: 2.5}
	for {
		switch {
		case p.option("action"):
			if !p.accept("transform") && !p.accept("tf") {
				if !p.accept("remove") && !p.accept("rm") {
					p.unexpected("transform or remove")
				}
				c.Remove = true
			}
			continue
		case p.option("param"):
			f, ok := query.ParseNumber(p.tok.text)
			if p.tok.kind != tokenNumber || !ok || f <= 0 || f > 1e6 {
				p.unexpected("a number above 0")
			}
			c.Param = f
			p.advance()
			continue
		case p.option("uselower"):
			c.Lower = p.truth()
			continue
		case p.option("mark"):
			c.Mark = p.truth()
			continue
		}
		break
	}
	for {
		c.Paths = append(c.Paths, p.path())
		if !p.accept(",") && p.tok.kind != tokenName {
			break
		}
	}
	c.Span = p.since(start)
	return c
}

func (p *parser) appendCols(start int) Command {
	var c AppendCols
	for {
		switch {
		case p.option("override"):
			c.Override = p.truth()
			continue
		case p.option("max"):
			c.Max = p.whole(1, MaxLimit)
			continue
		}
		break
	}
	c.Query = p.subquery()
	c.Span = p.since(start)
	return c
}

func (p *parser) sessionize(start int) Command {
	c := Sessionize{Paths: p.paths()}
	if p.accept("maxspan") {
		p.accept("=")
		d := p.duration()
		c.Gap = &d
	}
	c.As = p.optionalAs()
	c.Span = syntax.Span{Start: start, End: p.last}
	return c
}
