package filterpattern

import (
	"strconv"
	"strings"

	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/syntax"
)

// Node is a pattern: Terms, JSON or Delimited.
type Node interface {
	node()
	// String returns a pattern that parses to the same tree.
	String() string
}

// Terms is an unstructured pattern; without terms it matches all.
type Terms struct{ List []Term }

// Mark says what a term asks for.
type Mark byte

// The marks of terms.
const (
	Plain    Mark = 0
	Optional Mark = '?'
	Exclude  Mark = '-'
)

// Term is one term: a substring, or a regular expression when Regex is not nil.
type Term struct {
	Mark  Mark
	Text  string
	Regex *Regex
}

// JSON is a pattern over messages that are JSON objects.
type JSON struct{ Where Cond }

// Cond is a condition: And, Or, Compare, Is or NotExists.
type Cond interface{ cond() }

// And holds when both sides hold.
type And struct{ L, R Cond }

// Or holds when one side holds.
type Or struct{ L, R Cond }

// Compare compares what the selector or slot finds with a value.
type Compare struct {
	// Path is the selector; nil in a space-delimited pattern.
	Path  Selector
	Op    Op
	Value Value
}

// Is tests for null, true or false.
type Is struct {
	Path Selector
	What Literal
}

// NotExists holds when there is nothing at the path.
type NotExists struct{ Path Selector }

// Literal is what Is tests for.
type Literal string

// The literals of Is.
const (
	Null  Literal = "NULL"
	True  Literal = "TRUE"
	False Literal = "FALSE"
)

// Op is a comparison operator.
type Op string

// The comparison operators.
const (
	Eq Op = "="
	Ne Op = "!="
	Lt Op = "<"
	Le Op = "<="
	Gt Op = ">"
	Ge Op = ">="
)

// Value is the right side of a comparison.
type Value struct {
	// Text is the value, unquoted; a star in it is a wildcard.
	Text   string
	Quoted bool
	// Regex is set in place of Text for a regular expression.
	Regex *Regex
}

// number returns the value as a number, if it is one.
func (v Value) number() (float64, bool) {
	if v.Quoted || v.Regex != nil {
		return 0, false
	}
	return query.ParseNumber(v.Text)
}

// Selector is a path into a JSON object.
type Selector []query.JSONStep

// Delimited is a pattern over the words of a message.
type Delimited struct{ Fields []Slot }

// Slot is one field of a Delimited pattern.
type Slot struct {
	// Ellipsis takes any number of words; such a slot has neither name nor condition.
	Ellipsis bool
	Name     string
	// Where is nil when the slot takes any word.
	Where Cond
}

func (Terms) node()     {}
func (JSON) node()      {}
func (Delimited) node() {}

func (And) cond()       {}
func (Or) cond()        {}
func (Compare) cond()   {}
func (Is) cond()        {}
func (NotExists) cond() {}

// String implements Node.
func (t Terms) String() string {
	parts := make([]string, len(t.List))
	for i, x := range t.List {
		switch {
		case x.Regex != nil:
			parts[i] = x.Regex.String()
		case isWord(x.Text):
			parts[i] = x.Text
		default:
			parts[i] = syntax.Quote(x.Text)
		}
		if x.Mark != Plain {
			parts[i] = string(x.Mark) + parts[i]
		}
	}
	return strings.Join(parts, " ")
}

// String implements Node.
func (j JSON) String() string { return "{ " + condText(j.Where, "", 0) + " }" }

// condText prints a condition; slot is the name that comparisons without selector have, level
// the binding of what is around: 0 nothing, 1 the left and 2 the right side of an Or, 3 the
// left and 4 the right side of an And.
func condText(c Cond, slot string, level int) string {
	switch c := c.(type) {
	case And:
		s := condText(c.L, slot, 3) + " && " + condText(c.R, slot, 4)
		if level == 4 {
			return "(" + s + ")"
		}
		return s
	case Or:
		s := condText(c.L, slot, 1) + " || " + condText(c.R, slot, 2)
		if level >= 2 {
			return "(" + s + ")"
		}
		return s
	case Compare:
		left := slot
		if c.Path != nil {
			left = c.Path.String()
		}
		return left + " " + string(c.Op) + " " + c.Value.String()
	case Is:
		return c.Path.String() + " IS " + string(c.What)
	case NotExists:
		return c.Path.String() + " NOT EXISTS"
	default:
		panic("filterpattern: no such condition")
	}
}

// String returns the value as it is written in a pattern.
func (v Value) String() string {
	switch {
	case v.Regex != nil:
		return v.Regex.String()
	case v.Quoted:
		return syntax.Quote(v.Text)
	}
	return v.Text
}

// String returns the selector as it is written in a pattern.
func (s Selector) String() string {
	var b strings.Builder
	b.WriteByte('$')
	for _, x := range s {
		switch {
		case x.Any:
			b.WriteString("[*]")
		case x.Key == "":
			b.WriteString("[" + strconv.Itoa(x.Index) + "]")
		case isName(x.Key):
			b.WriteString("." + x.Key)
		default:
			b.WriteString("['" + x.Key + "']")
		}
	}
	return b.String()
}

// String implements Node.
func (d Delimited) String() string {
	parts := make([]string, len(d.Fields))
	for i, f := range d.Fields {
		switch {
		case f.Ellipsis:
			parts[i] = "..."
		case f.Where != nil:
			parts[i] = condText(f.Where, f.Name, 0)
		default:
			parts[i] = f.Name
		}
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// Regex is a regular expression between percent signs.
type Regex struct {
	// Source is the text between the percent signs.
	Source string
	// Pattern is Source in Go's syntax.
	Pattern string
}

// String returns the expression with its percent signs.
func (r *Regex) String() string { return "%" + r.Source + "%" }
