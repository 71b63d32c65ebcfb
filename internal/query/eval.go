package query

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/trefoil-o11y/trefoil/internal/event"
)

// Row is what expressions are evaluated on.
type Row interface {
	// Get returns a field, missing when the row has none of that name.
	Get(name string) event.Value
	// Each calls yield for every field that is there, header fields included, until it
	// returns false.
	Each(yield func(name string, v event.Value) bool)
}

// Related is implemented by rows that contain others (see Part).
type Related interface {
	Related(part string) []Row
}

// Holds reports whether e is truthy on row.
func Holds(e Expr, row Row) bool { return e == nil || Truthy(Eval(e, row)) }

// Truthy reports whether v counts as true: the boolean true, a number other than zero, the
// string "true".
func Truthy(v event.Value) bool {
	switch v.Kind() {
	case event.KindBool:
		return v.Bool()
	case event.KindString:
		return v.Str() == "true"
	default:
		f, ok := v.Number()
		return ok && f != 0
	}
}

// Eval computes e on row. An Exists over SameTrace, Parent or Child is not evaluable here:
// executors put TraceIn or SpanIn in its place; reaching one is a bug and panics.
func Eval(e Expr, row Row) event.Value {
	switch e := e.(type) {
	case Field:
		return row.Get(e.Name)
	case Const:
		return e.Value
	case And:
		for _, x := range e.X {
			if !Truthy(Eval(x, row)) {
				return event.Bool(false)
			}
		}
		return event.Bool(true)
	case Or:
		for _, x := range e.X {
			if Truthy(Eval(x, row)) {
				return event.Bool(true)
			}
		}
		return event.Bool(false)
	case Not:
		return event.Bool(!Truthy(Eval(e.X, row)))
	case Compare:
		return event.Bool(compare(e.Op, e.Mode, Eval(e.L, row), Eval(e.R, row)))
	case In:
		v := Eval(e.X, row)
		if e.set != nil {
			return event.Bool(e.set.has(v))
		}
		for _, w := range e.Values {
			if compare(Eq, e.Mode, v, w) {
				return event.Bool(true)
			}
		}
		return event.Bool(false)
	case Has:
		return event.Bool(!Eval(e.X, row).Missing())
	case Text:
		return event.Bool(e.test(Eval(e.X, row)))
	case Glob:
		v := Eval(e.X, row)
		return event.Bool(!v.Missing() && GlobMatch(e.Pattern, v.Text(), e.Question, e.Fold))
	case Match:
		v := Eval(e.X, row)
		return event.Bool(!v.Missing() && e.Re.MatchString(v.Text()))
	case Capture:
		return e.eval(Eval(e.X, row))
	case Cut:
		return e.eval(Eval(e.X, row))
	case Captures:
		return e.eval(Eval(e.X, row))
	case Replace:
		return e.eval(Eval(e.X, row))
	case ParseTime:
		return e.eval(Eval(e.X, row))
	case FormatTime:
		return e.eval(Eval(e.X, row))
	case Months:
		return e.eval(Eval(e.X, row))
	case Bucket:
		return e.eval(Eval(e.X, row))
	case Call:
		f := functions[e.Fn]
		args := make([]event.Value, len(e.Args))
		for i, a := range e.Args {
			args[i] = Eval(a, row)
		}
		return f.eval(args)
	case Exists:
		return event.Bool(e.eval(row))
	case TraceIn:
		id, err := event.ParseTraceID(row.Get(event.FieldTrace).Str())
		if err != nil {
			return event.Bool(false)
		}
		_, ok := e.IDs[id]
		return event.Bool(ok)
	case SpanIn:
		key, ok := spanKey(row, e.Field)
		if ok {
			_, ok = e.Keys[key]
		}
		return event.Bool(ok)
	default:
		panic(fmt.Sprintf("query: no evaluation of %T", e))
	}
}

func spanKey(row Row, field string) (key SpanKey, ok bool) {
	var err error
	if key.Trace, err = event.ParseTraceID(row.Get(event.FieldTrace).Str()); err != nil {
		return key, false
	}
	key.Span, err = event.ParseSpanID(row.Get(field).Str())
	return key, err == nil
}

func (e Exists) eval(row Row) bool {
	switch over := e.Over.(type) {
	case Part:
		r, ok := row.(Related)
		if !ok {
			return false
		}
		for _, part := range r.Related(over.Name) {
			if Holds(e.Where, part) {
				return true
			}
		}
		return false
	case JSONValues:
		return over.any(Eval(over.Source, row), e.Where)
	default:
		panic(fmt.Sprintf("query: exists over %T is not for evaluation on one row", e.Over))
	}
}

func (e Text) test(v event.Value) bool {
	if v.Missing() || v.Kind() != event.KindString && !e.Coerce {
		return false
	}
	s, want := v.Text(), e.S
	if e.Fold {
		s, want = strings.ToLower(s), strings.ToLower(want)
	}
	switch e.Op {
	case Contains:
		return strings.Contains(s, want)
	case HasPrefix:
		return strings.HasPrefix(s, want)
	default:
		return strings.HasSuffix(s, want)
	}
}

func (e Capture) eval(v event.Value) event.Value {
	if v.Missing() {
		return event.Value{}
	}
	s := v.Text()
	m := e.Re.FindStringSubmatchIndex(s)
	if m == nil || 2*e.Group+1 >= len(m) || m[2*e.Group] < 0 {
		return event.Value{}
	}
	return event.String(s[m[2*e.Group]:m[2*e.Group+1]])
}

func (e Cut) eval(v event.Value) event.Value {
	if v.Missing() {
		return event.Value{}
	}
	s := v.Text()
	last := len(e.Parts) - 1
	for {
		i := strings.Index(s, e.Parts[0])
		if i < 0 {
			return event.Value{}
		}
		// Of each literal the first one counts: what is possible behind a later one is possible
		// behind it too.
		rest, found, again := s[i+len(e.Parts[0]):], "", -1
		for k := range last {
			line := strings.IndexByte(rest, '\n')
			n := strings.Index(rest, e.Parts[k+1])
			if k+1 == last && e.Parts[last] == "" {
				if n = len(rest); line >= 0 {
					n = line
				}
			}
			if n < 0 {
				return event.Value{}
			}
			if line >= 0 && line < n {
				again = line // the line ends before: only the next one may have all of them
				break
			}
			if k == e.Index {
				found = rest[:n]
			}
			rest = rest[n+len(e.Parts[k+1]):]
		}
		if again < 0 {
			return event.String(found)
		}
		s = rest[again+1:]
	}
}

// maxMatches bounds the matches of Captures in one text.
const maxMatches = 1000

func (e Captures) eval(v event.Value) event.Value {
	if v.Missing() {
		return event.Value{}
	}
	s := v.Text()
	all := e.Re.FindAllStringSubmatchIndex(s, maxMatches)
	if all == nil {
		return event.Value{}
	}
	b := []byte{'['}
	for i, m := range all {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '[')
		for g := 1; 2*g < len(m); g++ {
			if g > 1 {
				b = append(b, ',')
			}
			if m[2*g] < 0 {
				b = append(b, "null"...)
				continue
			}
			b = appendJSON(b, s[m[2*g]:m[2*g+1]])
		}
		if b = append(b, ']'); len(b) > maxText {
			return event.Value{}
		}
	}
	return event.String(string(append(b, ']')))
}

func (e Replace) eval(v event.Value) event.Value {
	if v.Missing() {
		return event.Value{}
	}
	s := v.Text()
	var out []byte
	last := 0
	for _, m := range e.Re.FindAllStringSubmatchIndex(s, -1) {
		out = append(out, s[last:m[0]]...)
		if out = e.Re.ExpandString(out, e.With, s, m); len(out) > maxText {
			return event.Value{}
		}
		last = m[1]
	}
	if out = append(out, s[last:]...); len(out) > maxText {
		return event.Value{}
	}
	return event.String(string(out))
}

// looseSet finds the loose equals of values.
type looseSet struct {
	numbers map[float64]struct{}
	texts   map[string]struct{}
}

func newLooseSet(values []event.Value) *looseSet {
	s := &looseSet{map[float64]struct{}{}, map[string]struct{}{}}
	for _, v := range values {
		if f, ok := looseNumber(v); ok {
			s.numbers[f] = struct{}{}
		} else if !v.Missing() {
			s.texts[v.Text()] = struct{}{}
		}
	}
	return s
}

func (s *looseSet) has(v event.Value) (ok bool) {
	if v.Missing() {
		return false
	}
	if f, number := looseNumber(v); number {
		_, ok = s.numbers[f]
		return ok
	}
	_, ok = s.texts[v.Text()]
	return ok
}

func (e Bucket) eval(v event.Value) event.Value {
	switch v.Kind() {
	case event.KindInt:
		return event.Int(FloorTo(v.Int()-e.Offset, e.Step) + e.Offset)
	case event.KindFloat:
		step := float64(e.Step)
		return event.Float(math.Floor((v.Float()-float64(e.Offset))/step)*step + float64(e.Offset))
	default:
		return event.Value{}
	}
}

// FloorTo returns the largest multiple of step that is not above v.
func FloorTo(v, step int64) int64 {
	r := v % step
	if r < 0 {
		r += step
	}
	return v - r
}

func compare(op Op, mode Mode, l, r event.Value) bool {
	if l.Missing() || r.Missing() {
		return false
	}
	x, xok := l.Number()
	y, yok := r.Number()
	if mode == Loose {
		x, xok = looseNumber(l)
		y, yok = looseNumber(r)
	}
	switch {
	case xok && yok:
		if l.Kind() == event.KindInt && r.Kind() == event.KindInt {
			return holds(op, event.Order(l, r))
		}
		if math.IsNaN(x) || math.IsNaN(y) {
			return false
		}
		switch {
		case x < y:
			return holds(op, -1)
		case x > y:
			return holds(op, 1)
		}
		return holds(op, 0)
	case mode == Loose:
		return holds(op, strings.Compare(l.Text(), r.Text()))
	case l.Kind() != r.Kind():
		return false
	case l.Kind() == event.KindBool:
		return op == Eq && l.Bool() == r.Bool()
	default:
		return holds(op, strings.Compare(l.Str(), r.Str()))
	}
}

func holds(op Op, order int) bool {
	switch op {
	case Eq:
		return order == 0
	case Lt:
		return order < 0
	case Le:
		return order <= 0
	case Gt:
		return order > 0
	default:
		return order >= 0
	}
}

// looseNumber reads a number out of a number or a string.
func looseNumber(v event.Value) (float64, bool) {
	if f, ok := v.Number(); ok {
		return f, true
	}
	return ParseNumber(v.Str())
}

// ParseNumber reads a decimal number that fills the whole of s. Hexadecimal, infinities and
// NaN are not numbers here.
func ParseNumber(s string) (float64, bool) {
	if s == "" || len(s) > 64 {
		return 0, false
	}
	c := s[0]
	if c != '-' && c != '+' && c != '.' && (c < '0' || c > '9') {
		return 0, false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9', c == '.', c == '-', c == '+', c == 'e', c == 'E':
		default:
			return 0, false
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil
}

// GlobMatch reports whether the whole of s matches pattern, where '*' is any run of
// characters and, with question, '?' any one. It takes time linear in the product of the
// lengths at worst and no memory.
func GlobMatch(pattern, s string, question, fold bool) bool {
	if fold {
		pattern, s = strings.ToLower(pattern), strings.ToLower(s)
	}
	p, i := 0, 0
	star, mark := -1, 0
	for i < len(s) {
		if p < len(pattern) && pattern[p] == '*' {
			star, mark = p, i
			p++
			continue
		}
		if p < len(pattern) {
			if question && pattern[p] == '?' {
				_, n := utf8.DecodeRuneInString(s[i:])
				p++
				i += n
				continue
			}
			if pattern[p] == s[i] {
				p++
				i++
				continue
			}
		}
		if star < 0 {
			return false
		}
		_, n := utf8.DecodeRuneInString(s[mark:])
		mark += n
		p, i = star+1, mark
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}
