package insights

import (
	"strconv"
	"strings"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/syntax"
)

// Query is a whole query.
type Query struct {
	Source   string
	Commands []Command
}

// Command is one step: Fields, Display, Filter, Stats, Sort, Limit, ParseCmd or Dedup.
type Command interface {
	command()
	String() string
}

// Item is an expression with the name that it gets; As is empty when it has none.
type Item struct {
	X    Expr
	As   string
	Span syntax.Span
}

// Fields adds columns.
type Fields struct{ Items []Item }

// Display sets the columns that are shown.
type Display struct{ Items []Item }

// Filter keeps the rows for which Where holds.
type Filter struct{ Where Expr }

// Stats aggregates.
type Stats struct {
	Aggs, By []Item
	Span     syntax.Span
}

// Sort orders rows.
type Sort struct{ Keys []Key }

// Key is one key of Sort.
type Key struct {
	X    Expr
	Desc bool
}

// Limit keeps the first N rows.
type Limit struct{ N int }

// ParseCmd takes fields out of the text of X: with Glob each star is a field, else the groups
// of Regex are, by name or in the order of As.
type ParseCmd struct {
	// X is nil for the message.
	X     Expr
	Glob  *String
	Regex *Regex
	As    []string
	Span  syntax.Span
}

// Dedup keeps the first row of each combination of values.
type Dedup struct {
	Paths []Path
	Span  syntax.Span
}

func (Fields) command()   {}
func (Display) command()  {}
func (Filter) command()   {}
func (Stats) command()    {}
func (Sort) command()     {}
func (Limit) command()    {}
func (ParseCmd) command() {}
func (Dedup) command()    {}

// Expr is an expression: Path, Literal, Duration, Call, Unary, Binary, Like or In.
type Expr interface {
	span() syntax.Span
	String() string
}

// Path names a field; segments and indexes are joined by dots, as fields of JSON are named.
type Path struct {
	Name string
	Span syntax.Span
}

// Literal is a string, number or boolean.
type Literal struct {
	Value event.Value
	Span  syntax.Span
}

// Duration is a number of a unit; Unit is one of ms, s, m, h, d, w, mo, q, y.
type Duration struct {
	N    int64
	Unit string
	Span syntax.Span
}

// Call is a function call. Name is in lower case.
type Call struct {
	Name string
	Star bool
	Args []Expr
	Span syntax.Span
}

// Unary is "-" or "not".
type Unary struct {
	Op   string
	X    Expr
	Span syntax.Span
}

// Binary is an arithmetic operator, a comparison, "and" or "or".
type Binary struct {
	Op   string
	L, R Expr
}

// Like tests for a substring or a regular expression.
type Like struct {
	X   Expr
	Not bool
	// Text is set when Regex is nil.
	Text  *String
	Regex *Regex
	Span  syntax.Span
}

// In tests for membership.
type In struct {
	X    Expr
	Not  bool
	List []Literal
	Span syntax.Span
}

// String is a string in quotes.
type String struct {
	Value string
	Span  syntax.Span
}

// Regex is a regular expression; Source is in Go's syntax.
type Regex struct {
	Source string
	Span   syntax.Span
}

func (e Path) span() syntax.Span     { return e.Span }
func (e Literal) span() syntax.Span  { return e.Span }
func (e Duration) span() syntax.Span { return e.Span }
func (e Call) span() syntax.Span     { return e.Span }
func (e Unary) span() syntax.Span    { return e.Span }
func (e Binary) span() syntax.Span   { return syntax.Span{Start: e.L.span().Start, End: e.R.span().End} }
func (e Like) span() syntax.Span     { return e.Span }
func (e In) span() syntax.Span       { return e.Span }

// String returns a query that parses to the same tree.
func (q *Query) String() string {
	parts := make([]string, len(q.Commands))
	for i, c := range q.Commands {
		parts[i] = c.String()
	}
	return strings.Join(parts, " | ")
}

func joined[T any](list []T, text func(T) string) string {
	parts := make([]string, len(list))
	for i, x := range list {
		parts[i] = text(x)
	}
	return strings.Join(parts, ", ")
}

func (i Item) text() string {
	if i.As == "" {
		return i.X.String()
	}
	return i.X.String() + " as " + pathText(i.As)
}

// String implements Command.
func (c Fields) String() string { return "fields " + joined(c.Items, Item.text) }

// String implements Command.
func (c Display) String() string { return "display " + joined(c.Items, Item.text) }

// String implements Command.
func (c Filter) String() string { return "filter " + c.Where.String() }

// String implements Command.
func (c Stats) String() string {
	s := "stats " + joined(c.Aggs, Item.text)
	if len(c.By) > 0 {
		s += " by " + joined(c.By, Item.text)
	}
	return s
}

// String implements Command.
func (c Sort) String() string {
	return "sort " + joined(c.Keys, func(k Key) string {
		if k.Desc {
			return k.X.String() + " desc"
		}
		return k.X.String() + " asc"
	})
}

// String implements Command.
func (c Limit) String() string { return "limit " + strconv.Itoa(c.N) }

// String implements Command.
func (c ParseCmd) String() string {
	s := "parse "
	if c.X != nil {
		s += c.X.String() + " "
	}
	if c.Glob != nil {
		s += stringText(c.Glob.Value)
	} else {
		s += c.Regex.text()
	}
	if len(c.As) > 0 {
		s += " as " + joined(c.As, pathText)
	}
	return s
}

// String implements Command.
func (c Dedup) String() string { return "dedup " + joined(c.Paths, Path.String) }

// pathText writes a name, in backticks unless it is plain.
func pathText(name string) string {
	if isPlain(name) {
		return name
	}
	return "`" + strings.NewReplacer("\\", "\\\\", "`", "\\`").Replace(name) + "`"
}

func stringText(s string) string {
	return `"` + strings.NewReplacer("\\", "\\\\", `"`, `\"`, "\n", `\n`, "\t", `\t`, "\r", `\r`).Replace(s) + `"`
}

func (r *Regex) text() string { return "/" + strings.ReplaceAll(r.Source, "/", `\/`) + "/" }

// String implements Expr.
func (e Path) String() string { return pathText(e.Name) }

// String implements Expr.
func (e Literal) String() string {
	if e.Value.Kind() == event.KindString {
		return stringText(e.Value.Str())
	}
	return e.Value.Text()
}

// String implements Expr.
func (e Duration) String() string { return strconv.FormatInt(e.N, 10) + e.Unit }

// String implements Expr.
func (e Call) String() string {
	if e.Star {
		return e.Name + "(*)"
	}
	return e.Name + "(" + joined(e.Args, Expr.String) + ")"
}

// String implements Expr. Parts that are not simple stand in parentheses.
func (e Unary) String() string { return e.Op + " " + inner(e.X) }

// String implements Expr.
func (e Binary) String() string { return inner(e.L) + " " + e.Op + " " + inner(e.R) }

// String implements Expr.
func (e Like) String() string {
	s := inner(e.X)
	if e.Not {
		s += " not"
	}
	if e.Regex != nil {
		return s + " like " + e.Regex.text()
	}
	return s + " like " + stringText(e.Text.Value)
}

// String implements Expr.
func (e In) String() string {
	s := inner(e.X)
	if e.Not {
		s += " not"
	}
	return s + " in [" + joined(e.List, Literal.String) + "]"
}

func inner(e Expr) string {
	switch e.(type) {
	case Path, Literal, Call, Duration:
		return e.String()
	}
	return "(" + e.String() + ")"
}
