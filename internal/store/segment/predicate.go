package segment

import (
	"slices"
	"strings"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
)

// predicate is a condition in the form that pages are filtered with. The set of implementations
// is closed; each is read-only and shared by the workers.
type predicate interface {
	// filter clears the bits of the rows of keep for which the condition does not hold.
	filter(s *scanner, keep bitmap)
	// may reports whether the condition may hold for a row of the scanner's unit.
	may(s *scanner) bool
}

type (
	allOf  []predicate
	anyOf  []predicate
	noneOf struct{ x predicate }
	// ofField depends on one field alone, so that it is decided once for each entry of a
	// dictionary.
	ofField struct {
		e       query.Expr
		name    string
		number  int // among the query's predicates, see values.verdicts
		missing bool
		test    func(v event.Value) bool
		compare *query.Compare // of the field with a constant number, when e is that
		needle  *query.Text    // what the field must contain, when e says so
		equal   []string       // the strings one of which the field must be, when e says so
		present bool           // e holds for every finite number, and for no missing value
		there   bool           // e holds for every value, and for no missing one
		// exact reports whether e says of a string no more than that it contains the needle, and
		// contains that the case of letters counts besides.
		exact, contains bool
		// part says the same of the strings that a message is made of, see unpacked.go; nil when it
		// can not be said of them.
		part *ofField
	}
	inTraces struct {
		ids    map[event.TraceID]struct{}
		number int
	}
	inSpans struct{ query.SpanIn }
	// ofRow is evaluated row by row.
	ofRow  struct{ e query.Expr }
	always bool
)

// compiler makes predicates and gives numbers to those that keep something with the scanned columns.
type compiler struct{ numbers int }

func (c *compiler) next() int {
	c.numbers++
	return c.numbers - 1
}

// compile makes the predicate of an expression; nil holds always.
func (c *compiler) compile(e query.Expr) predicate {
	switch e := e.(type) {
	case nil:
		return always(true)
	case query.TraceIn:
		return inTraces{e.IDs, c.next()}
	case query.SpanIn:
		return inSpans{e}
	case query.Compare:
		if id, ok := traceEq(e); ok {
			if id.IsZero() {
				return always(false)
			}
			return inTraces{map[event.TraceID]struct{}{id: {}}, c.next()}
		}
	}
	fields, whole := query.Reads(e)
	switch {
	case whole:
		return ofRow{e}
	case len(fields) == 0:
		return always(query.Holds(e, query.NewRow(nil, nil)))
	case len(fields) == 1 && !hasTraces(e) && !searches(e):
		return c.ofField(e, fields[0])
	}
	switch e := e.(type) {
	case query.And:
		var list allOf
		for _, x := range e.X {
			list = append(list, c.compile(x))
		}
		return list
	case query.Or:
		var list anyOf
		for _, x := range e.X {
			list = append(list, c.compile(x))
		}
		return list
	case query.Not:
		return noneOf{c.compile(e.X)}
	default:
		return ofRow{e}
	}
}

// searches reports whether e is made of searches for texts, which pay one by one: a text is looked
// for in a whole page, and an index says where it is not.
func searches(e query.Expr) bool {
	search := func(e query.Expr) bool {
		switch e := e.(type) {
		case query.Text:
			_, ok := e.X.(query.Field)
			return ok
		case query.Match:
			_, ok := e.X.(query.Field)
			return ok
		}
		return false
	}
	switch e := e.(type) {
	case query.And:
		return len(e.X) > 1 && slices.ContainsFunc(e.X, search)
	case query.Or:
		return len(e.X) > 1 && !slices.ContainsFunc(e.X, func(x query.Expr) bool { return !search(x) })
	case query.Not:
		return search(e.X)
	}
	return false
}

func hasTraces(e query.Expr) (has bool) {
	query.Walk(e, func(e query.Expr) bool {
		_, in := e.(query.TraceIn)
		has = has || in
		return true
	})
	return has
}

func (c *compiler) ofField(e query.Expr, name string) predicate {
	p := c.simple(e, name)
	p.part = c.part(p)
	return p
}

// simple makes a predicate that looks at the field itself.
func (c *compiler) simple(e query.Expr, name string) *ofField {
	p := &ofField{e: e, name: name, number: c.next(), missing: query.Holds(e, query.NewRow(nil, nil))}
	p.test = func(v event.Value) bool {
		row := oneField{name, v}
		return query.Holds(e, &row)
	}
	if x, ok := e.(query.And); ok && len(x.X) == 2 {
		// What languages make of "!=": the field is there and is not equal.
		if h, ok := x.X[0].(query.Has); ok && h.X == (query.Field{Name: name}) {
			if n, ok := x.X[1].(query.Not); ok {
				if not := c.simple(n.X, name); not.direct() {
					test := not.test
					p.test = func(v event.Value) bool { return !test(v) }
				}
			}
		}
	}
	p.special(e)
	return p
}

// direct reports whether test does not go through the evaluator.
func (p *ofField) direct() bool { return p.equal != nil || p.needle != nil || p.compare != nil }

// special replaces the test of common forms by one that is made for it.
func (p *ofField) special(e query.Expr) {
	isField := func(e query.Expr) bool {
		f, ok := e.(query.Field)
		return ok && f.Name == p.name
	}
	switch e := e.(type) {
	case query.Has:
		name, ok := isNumber(e.X)
		p.present = ok && name == p.name
		p.there = isField(e.X)
	case query.Compare:
		k, ok := e.R.(query.Const)
		if !ok || !isField(e.L) || e.Mode != query.Strict {
			return
		}
		if k.Value.Kind() == event.KindString && e.Op == query.Eq {
			want := k.Value.Str()
			p.equal = []string{want}
			p.test = func(v event.Value) bool { return v.Kind() == event.KindString && v.Str() == want }
		}
		if _, ok := k.Value.Number(); ok {
			p.compare = &e
		}
	case query.In:
		if !isField(e.X) || e.Mode != query.Strict {
			return
		}
		set := map[string]struct{}{}
		for _, v := range e.Values {
			if v.Kind() != event.KindString {
				return
			}
			set[v.Str()] = struct{}{}
			p.equal = append(p.equal, v.Str())
		}
		p.test = func(v event.Value) bool {
			if v.Kind() != event.KindString {
				return false
			}
			_, ok := set[v.Str()]
			return ok
		}
	case query.Text:
		if !isField(e.X) {
			return
		}
		p.needle, p.exact = &e, e.Op == query.Contains
		p.contains = p.exact && !e.Fold
		if p.contains {
			p.test = func(v event.Value) bool {
				if v.Kind() != event.KindString {
					return e.Coerce && strings.Contains(v.Text(), e.S)
				}
				return strings.Contains(v.Str(), e.S)
			}
		}
	case query.Match:
		if !isField(e.X) {
			return
		}
		p.test = func(v event.Value) bool { return !v.Missing() && e.Re.MatchString(v.Text()) }
		if lit, all := literalOf(e.Re.String()); lit.S != "" {
			lit.X = e.X
			p.needle, p.exact = &lit, all
			p.contains = all && !lit.Fold
			if !lit.Fold {
				p.test = func(v event.Value) bool {
					text := v.Text()
					return !v.Missing() && strings.Contains(text, lit.S) && e.Re.MatchString(text)
				}
			}
		}
	}
}

func (p allOf) filter(s *scanner, keep bitmap) {
	for _, x := range p {
		if keep.empty() {
			return
		}
		x.filter(s, keep)
	}
}

func (p allOf) may(s *scanner) bool {
	for _, x := range p {
		if !x.may(s) {
			return false
		}
	}
	return true
}

func (p anyOf) filter(s *scanner, keep bitmap) {
	rest := append(bitmap(nil), keep...)
	var try bitmap
	for _, x := range p {
		if rest.empty() {
			break
		}
		try = append(try[:0], rest...)
		x.filter(s, try)
		for i := range rest {
			rest[i] &^= try[i]
		}
	}
	for i := range keep {
		keep[i] &^= rest[i]
	}
}

func (p anyOf) may(s *scanner) bool {
	for _, x := range p {
		if x.may(s) {
			return true
		}
	}
	return false
}

func (p noneOf) filter(s *scanner, keep bitmap) {
	held := append(bitmap(nil), keep...)
	p.x.filter(s, held)
	for i := range keep {
		keep[i] &^= held[i]
	}
}

func (p noneOf) may(*scanner) bool { return true }

func (p always) filter(_ *scanner, keep bitmap) {
	if !p {
		clear(keep)
	}
}

func (p always) may(*scanner) bool { return bool(p) }

func (p ofRow) filter(s *scanner, keep bitmap) {
	row := &pageRow{s: s}
	for k := range keep {
		w := keep[k]
		for b := w; b != 0; b &= b - 1 {
			low := b & -b
			row.i = k<<6 + trailing(b)
			if !query.Holds(p.e, row) {
				w &^= low
			}
		}
		keep[k] = w
	}
}

func (p ofRow) may(*scanner) bool { return true }
