package insights

import (
	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/syntax"
)

// Query is a whole query.
type Query struct {
	// Text is what was parsed, of a query within a query that of the whole.
	Text string
	// Source names the log groups, when the query does.
	Source   *Source
	Commands []Command
}

// Source says what a query reads: groups by name, or those that selectors choose.
type Source struct {
	Names     []string
	Selectors []Selector
	// Start and End bound the time; nil ones leave it to the caller.
	Start, End *Moment
	Span       syntax.Span
}

// Selector chooses log groups: Args are conditions that all must hold, of which one value each.
type Selector struct {
	Name string // logGroups or dataSource
	Args []SelectorArg
}

// SelectorArg is one condition of a selector; Name is in lower case, "" of dataSource.
type SelectorArg struct {
	Name   string
	Values []string
	Span   syntax.Span
}

// Moment is a time in milliseconds since the epoch, now, or a time before now.
type Moment struct {
	Millis int64
	Now    bool
	Ago    *Duration
}

// Command is one step; the set of implementations is closed.
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

type (
	// Fields adds columns.
	Fields struct{ Items []Item }
	// Display sets the columns that are shown; with Unmask as they are.
	Display struct {
		Items  []Item
		Unmask bool
	}
	// Filter keeps the rows for which Where holds. With Index it is written filterIndex.
	Filter struct {
		Where Expr
		Index bool
	}
	// Search keeps the events whose message has a text.
	Search struct {
		Text  *String
		Regex *Regex
	}
	// Stats aggregates. Offset moves its bins.
	Stats struct {
		Aggs, By []Item
		Offset   *Duration
		Span     syntax.Span
	}
	// Sort orders rows.
	Sort struct{ Keys []Key }
	// Key is one key of Sort.
	Key struct {
		X    Expr
		Desc bool
	}
	// Limit keeps the first N rows, with Tail the last, with Any some.
	Limit struct {
		N         int
		Tail, Any bool
	}
	// ParseCmd takes fields out of the text of X. Form says how.
	ParseCmd struct {
		// X is nil for the message.
		X     Expr
		Form  ParseForm
		Glob  *String
		Regex *Regex
		As    []string
		// Multi makes a row of each match of Regex.
		Multi bool
		Span  syntax.Span
	}
	// JSONField takes a field out of a text that is JSON.
	JSONField struct {
		X    Path
		Path String
		As   string
	}
	// Dedup keeps the first row of each combination of values.
	Dedup struct {
		Paths []Path
		Span  syntax.Span
	}
	// Pattern finds what texts have in common.
	Pattern struct {
		X    Expr
		Span syntax.Span
	}
	// Diff compares patterns with those of an earlier time: the one right before, or Against, one of
	// day, week and month; with Shift so much earlier, which is written logcompare.
	Diff struct {
		Against string
		Shift   *Duration
		Span    syntax.Span
	}
	// Anomaly finds patterns that are much more or less frequent for a while.
	Anomaly struct{ Span syntax.Span }
	// Unnest makes rows of a list. Into is empty for expand, which does it in place.
	Unnest struct {
		X    Path
		Into string
	}
	// Lookup adds fields of a table's row.
	Lookup struct {
		Table  string
		CIDR   bool
		On     []Pair // a column and a field
		Output []string
		Span   syntax.Span
	}
	// Pair is two fields that are equal.
	Pair struct{ L, R Path }
	// Join adds the fields of the rows of another query.
	Join struct {
		Keep        bool // rows without a partner, which is written type=left
		Left, Right string
		On          []Pair
		Query       *Query
		Span        syntax.Span
	}
	// Relevant finds the fields that tell rows for which Where holds.
	Relevant struct {
		Paths []Path
		Where Expr
		Span  syntax.Span
	}
	// AddTotals adds a column and a row of sums.
	AddTotals struct {
		Row, Col bool
		Name     string
		Paths    []Path
		Span     syntax.Span
	}
	// Autoregress adds the values of earlier rows.
	Autoregress struct {
		X        Path
		As       string
		From, To int
	}
	// FillDown puts the last value in the place of missing ones.
	FillDown struct {
		Paths []Path
		Span  syntax.Span
	}
	// FillMissing adds the bins that have no row.
	FillMissing struct {
		With []Default
		Span syntax.Span
	}
	// Default is a value for a field.
	Default struct {
		Value Literal
		For   Path
	}
	// Outlier deals with numbers that lie far from the others.
	Outlier struct {
		Remove, Lower, Mark bool
		Param               float64
		Paths               []Path
		Span                syntax.Span
	}
	// Accum sums a field up from row to row.
	Accum struct {
		X  Path
		As string
	}
	// AppendCols puts the columns of another query beside those of this one, row by row.
	AppendCols struct {
		Override bool
		Max      int // rows; 0 does not bound them
		Query    *Query
		Span     syntax.Span
	}
	// Sessionize numbers the sessions of events.
	Sessionize struct {
		Paths []Path
		Gap   *Duration
		As    string
		Span  syntax.Span
	}
	// CountFrequent counts combinations of values.
	CountFrequent struct {
		Paths []Path
		Span  syntax.Span
	}
	// Estimate tells how much the query would read.
	Estimate struct{ Span syntax.Span }
)

// ParseForm is how ParseCmd takes a text apart.
type ParseForm uint8

// The forms of ParseCmd.
const (
	ParseGlob ParseForm = iota
	ParseRegex
	ParseLogfmt
	ParseCSV
)

func (Fields) command()        {}
func (Display) command()       {}
func (Filter) command()        {}
func (Search) command()        {}
func (Stats) command()         {}
func (Sort) command()          {}
func (Limit) command()         {}
func (ParseCmd) command()      {}
func (JSONField) command()     {}
func (Dedup) command()         {}
func (Pattern) command()       {}
func (Diff) command()          {}
func (Anomaly) command()       {}
func (Unnest) command()        {}
func (Lookup) command()        {}
func (Join) command()          {}
func (Relevant) command()      {}
func (AddTotals) command()     {}
func (Autoregress) command()   {}
func (FillDown) command()      {}
func (FillMissing) command()   {}
func (Outlier) command()       {}
func (Accum) command()         {}
func (AppendCols) command()    {}
func (Sessionize) command()    {}
func (CountFrequent) command() {}
func (Estimate) command()      {}

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

// Call is a function call, or a field of what one gives. Name is in lower case.
type Call struct {
	Name string
	Star bool
	Args []Expr
	// Path is the field's, its parts joined by dots.
	Path string
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
	// Sub is a query, the values of whose first column are the list.
	Sub  *Query
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
