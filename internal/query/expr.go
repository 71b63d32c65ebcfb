package query

import (
	"regexp"
	"slices"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/event"
)

// Expr is an expression; the set of implementations is closed.
type Expr interface {
	expr()
	// String returns the expression as text, for logs, tests and query explanations.
	String() string
}

// Field is the value of a field of the row; in an Exists over scalars, the name "" is the
// candidate itself.
type Field struct{ Name string }

// Const is a literal.
type Const struct{ Value event.Value }

// And holds when all of its operands are truthy; an empty And holds.
type And struct{ X []Expr }

// Or holds when one of its operands is truthy; an empty Or does not hold.
type Or struct{ X []Expr }

// Not holds when its operand is not truthy.
type Not struct{ X Expr }

// Op is a comparison operator.
type Op uint8

// The comparison operators.
const (
	Eq Op = iota
	Lt
	Le
	Gt
	Ge
)

// Mode says how the sides of a comparison are brought to one kind; see the package comment.
type Mode uint8

// The comparison modes.
const (
	Strict Mode = iota
	Loose
)

// Compare compares L with R.
type Compare struct {
	Op   Op
	Mode Mode
	L, R Expr
}

// In holds when X equals one of Values in the given mode.
type In struct {
	X      Expr
	Values []event.Value
	Mode   Mode
	set    *looseSet // see AnyOf
}

// AnyOf is the loose In of many values, which it finds without a look at each.
func AnyOf(x Expr, values []event.Value) Expr {
	return In{X: x, Values: values, Mode: Loose, set: newLooseSet(values)}
}

// Has holds when X is not missing.
type Has struct{ X Expr }

// TextOp is a test of a text against another.
type TextOp uint8

// The text tests.
const (
	Contains TextOp = iota
	HasPrefix
	HasSuffix
)

// Text tests the text of X; numbers and booleans are tested by their text form when Coerce is
// set, else they fail the test. Fold ignores case.
type Text struct {
	Op     TextOp
	X      Expr
	S      string
	Fold   bool
	Coerce bool
}

// Glob holds when the whole text of X matches Pattern, where '*' is any run of characters
// and, when Question is set, '?' any one character. Numbers are matched by their text form.
type Glob struct {
	X        Expr
	Pattern  string
	Fold     bool
	Question bool
}

// Match holds when Re matches somewhere in the text of X. Numbers and booleans are matched by
// their text form.
type Match struct {
	X  Expr
	Re *regexp.Regexp
}

// Capture is the text of a group of the first match of Re in the text of X; missing when Re
// does not match or the group took no part.
type Capture struct {
	X     Expr
	Re    *regexp.Regexp
	Group int
}

// Cut is a part of the text of X between literals: of the first place at which Parts stand one
// behind the other on one line, what is between Parts[Index] and the next one, or the rest of the
// line when that is the last and empty.
type Cut struct {
	X     Expr
	Parts []string
	Index int
}

// Captures is the list, a document, of all matches of Re in the text of X: of each the list of
// the texts of its groups, null where one took no part. It is missing when there is none.
type Captures struct {
	X  Expr
	Re *regexp.Regexp
}

// Replace is the text of X with every match of Re replaced by With, in which $1 and ${name} are
// groups.
type Replace struct {
	X    Expr
	Re   *regexp.Regexp
	With string
}

// Bucket is the largest multiple of Step (plus Offset) that is not above X, where X is a
// number; integers stay integers. Time buckets are Bucket over $time with Step in nanoseconds.
type Bucket struct {
	X            Expr
	Step, Offset int64
}

// Call applies a function of the table in func.go.
type Call struct {
	Fn   string
	Args []Expr
}

// Exists holds when Where holds for one of the rows that Over relates to this row.
type Exists struct {
	Over  Relation
	Where Expr
}

// TraceIn holds when the row belongs to one of the traces. Executors put it in place of an
// Exists over a trace.
type TraceIn struct{ IDs map[event.TraceID]struct{} }

// SpanKey tells a span; span ids are unique within a trace.
type SpanKey struct {
	Trace event.TraceID
	Span  event.SpanID
}

// SpanIn holds when the row's trace together with the span id in Field ($span_id or $parent_id)
// is one of the keys. Executors put it in place of an Exists over a parent or a child.
type SpanIn struct {
	Field string
	Keys  map[SpanKey]struct{}
}

// Relation names rows that belong to a row; the set of implementations is closed.
type Relation interface {
	relation()
	String() string
}

// SameTrace relates a row to all events of its trace within the query's datasets and time
// range.
type SameTrace struct{}

// Parent relates a row to the events of its trace, as SameTrace does, whose span id is the row's
// parent id.
type Parent struct{}

// Child relates a row to the events of its trace, as SameTrace does, whose parent id is the
// row's span id.
type Child struct{}

// Part relates a row to rows that it contains, by the name that its Related method knows
// ("service", "edge", "annotation" of a trace).
type Part struct{ Name string }

// JSONValues relates a row to the JSON values at Path in the JSON object that is the text of
// Source; the whole text must be one JSON object, else there are none. In the rows the field
// "" is the scalar (missing for null, objects and arrays) and "type" is one of string, number,
// boolean, null, object, array.
type JSONValues struct {
	Source Expr
	Path   []JSONStep
}

// JSONStep is one step of a JSON path: a key, an index (Key empty, Index at least 0), or any
// element or member (Any).
type JSONStep struct {
	Key   string
	Index int
	Any   bool
}

func (SameTrace) relation()  {}
func (Parent) relation()     {}
func (Child) relation()      {}
func (Part) relation()       {}
func (JSONValues) relation() {}

func (Field) expr()      {}
func (Const) expr()      {}
func (And) expr()        {}
func (Or) expr()         {}
func (Not) expr()        {}
func (Compare) expr()    {}
func (In) expr()         {}
func (Has) expr()        {}
func (Text) expr()       {}
func (Glob) expr()       {}
func (Match) expr()      {}
func (Capture) expr()    {}
func (Cut) expr()        {}
func (Captures) expr()   {}
func (Replace) expr()    {}
func (ParseTime) expr()  {}
func (FormatTime) expr() {}
func (Months) expr()     {}
func (Bucket) expr()     {}
func (Call) expr()       {}
func (Exists) expr()     {}
func (TraceIn) expr()    {}
func (SpanIn) expr()     {}

// Str returns a string literal.
func Str(s string) Expr { return Const{event.String(s)} }

// Num returns an integer literal.
func Num(i int64) Expr { return Const{event.Int(i)} }

// All joins expressions with And; nil expressions are left out, one alone stays as it is, and
// none is nil.
func All(x ...Expr) Expr {
	var list []Expr
	for _, e := range x {
		if e != nil {
			list = append(list, e)
		}
	}
	switch len(list) {
	case 0:
		return nil
	case 1:
		return list[0]
	}
	return And{list}
}

// EqStr is the strict comparison of a field with a string.
func EqStr(field, s string) Expr { return Compare{Op: Eq, L: Field{field}, R: Str(s)} }

// TimeBucket is the time bucket of a row: $time rounded down to step.
func TimeBucket(step time.Duration) Expr {
	return Bucket{X: Field{event.FieldTime}, Step: int64(step)}
}

// Walk calls visit for e and everything below it, conditions of Exists included, until visit
// returns false for a node, below which it does not go.
func Walk(e Expr, visit func(Expr) bool) {
	if e == nil || !visit(e) {
		return
	}
	for _, c := range children(e) {
		Walk(c, visit)
	}
}

func children(e Expr) []Expr {
	switch e := e.(type) {
	case And:
		return e.X
	case Or:
		return e.X
	case Not:
		return []Expr{e.X}
	case Compare:
		return []Expr{e.L, e.R}
	case In:
		return []Expr{e.X}
	case Has:
		return []Expr{e.X}
	case Text:
		return []Expr{e.X}
	case Glob:
		return []Expr{e.X}
	case Match:
		return []Expr{e.X}
	case Capture:
		return []Expr{e.X}
	case Cut:
		return []Expr{e.X}
	case Captures:
		return []Expr{e.X}
	case Replace:
		return []Expr{e.X}
	case ParseTime:
		return []Expr{e.X}
	case FormatTime:
		return []Expr{e.X}
	case Months:
		return []Expr{e.X}
	case Bucket:
		return []Expr{e.X}
	case Call:
		return e.Args
	case Exists:
		if j, ok := e.Over.(JSONValues); ok {
			return []Expr{j.Source, e.Where}
		}
		return []Expr{e.Where}
	default:
		return nil
	}
}

// Rewrite replaces nodes from the bottom up by what replace returns for them.
func Rewrite(e Expr, replace func(Expr) Expr) Expr { return rewrite(e, true, replace) }

// rewrite is Rewrite; without conditions those of an Exists are left as they are.
func rewrite(e Expr, conditions bool, replace func(Expr) Expr) Expr {
	if e == nil {
		return nil
	}
	one := func(x Expr) Expr { return rewrite(x, conditions, replace) }
	each := func(x []Expr) []Expr {
		out := make([]Expr, len(x))
		for i := range x {
			out[i] = one(x[i])
		}
		return out
	}
	switch n := e.(type) {
	case And:
		e = And{each(n.X)}
	case Or:
		e = Or{each(n.X)}
	case Not:
		e = Not{one(n.X)}
	case Compare:
		n.L, n.R = one(n.L), one(n.R)
		e = n
	case In:
		n.X = one(n.X)
		e = n
	case Has:
		e = Has{one(n.X)}
	case Text:
		n.X = one(n.X)
		e = n
	case Glob:
		n.X = one(n.X)
		e = n
	case Match:
		n.X = one(n.X)
		e = n
	case Capture:
		n.X = one(n.X)
		e = n
	case Cut:
		n.X = one(n.X)
		e = n
	case Captures:
		n.X = one(n.X)
		e = n
	case Replace:
		n.X = one(n.X)
		e = n
	case ParseTime:
		n.X = one(n.X)
		e = n
	case FormatTime:
		n.X = one(n.X)
		e = n
	case Months:
		n.X = one(n.X)
		e = n
	case Bucket:
		n.X = one(n.X)
		e = n
	case Call:
		n.Args = each(n.Args)
		e = n
	case Exists:
		if j, ok := n.Over.(JSONValues); ok {
			j.Source = one(j.Source)
			n.Over = j
		}
		if conditions {
			n.Where = one(n.Where)
		}
		e = n
	}
	return replace(e)
}

// Reads lists the fields of a row that e reads, each once. whole reports that e asks for more of
// the row than fields: for what contains it or what it contains.
func Reads(e Expr) (fields []string, whole bool) {
	add := func(name string) {
		if !slices.Contains(fields, name) {
			fields = append(fields, name)
		}
	}
	var walk func(Expr)
	walk = func(e Expr) {
		Walk(e, func(e Expr) bool {
			switch e := e.(type) {
			case Field:
				add(e.Name)
			case TraceIn:
				add(event.FieldTrace)
			case SpanIn:
				add(event.FieldTrace)
				add(e.Field)
			case Exists:
				if j, ok := e.Over.(JSONValues); ok {
					walk(j.Source)
				} else {
					whole = true
				}
				return false
			}
			return true
		})
	}
	walk(e)
	return fields, whole
}

// Inline puts value in the place of a field of the row. Conditions of an Exists read the fields
// of other rows and stay.
func Inline(e Expr, name string, value Expr) Expr {
	return rewrite(e, false, func(e Expr) Expr {
		if f, ok := e.(Field); ok && f.Name == name {
			return value
		}
		return e
	})
}

// Size returns the number of nodes of e.
func Size(e Expr) (n int) {
	Walk(e, func(Expr) bool {
		n++
		return true
	})
	return n
}
