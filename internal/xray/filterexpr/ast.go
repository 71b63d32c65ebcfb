package filterexpr

import (
	"strconv"
	"strings"

	"github.com/trefoil-o11y/trefoil/internal/syntax"
)

// Node is a part of an expression; the set of implementations is closed.
type Node interface {
	node()
	// String returns the node as text that parses to the same tree.
	String() string
	// Span is the node's place in the text that it was parsed from.
	Span() syntax.Span
}

// place is embedded in every node.
type place struct{ span syntax.Span }

// Span returns the node's place.
func (p place) Span() syntax.Span { return p.span }

// And holds when all of X do; without any it always holds.
type And struct {
	place
	X []Node
}

// Or holds when one of X does.
type Or struct {
	place
	X []Node
}

// Not holds when X does not.
type Not struct {
	place
	X Node
}

// Keyword names what is looked at: a word in lower case, or "annotation" with its Key.
type Keyword struct {
	Name string
	Key  string
}

// Bare is a keyword by itself.
type Bare struct {
	place
	Keyword Keyword
}

// Op is an operator, as it is written.
type Op string

// The operators.
const (
	Equal        Op = "="
	NotEqual     Op = "!="
	Less         Op = "<"
	LessEqual    Op = "<="
	Greater      Op = ">"
	GreaterEqual Op = ">="
	Contains     Op = "CONTAINS"
	BeginsWith   Op = "BEGINSWITH"
	EndsWith     Op = "ENDSWITH"
)

// ValueKind is the kind of a literal.
type ValueKind uint8

// The kinds of literals.
const (
	StringValue ValueKind = iota
	NumberValue
	BoolValue
	JSONValue
)

// Value is a literal.
type Value struct {
	Kind ValueKind
	Str  string
	Num  float64
	Bool bool
	JSON JSON
	Span syntax.Span
}

// Comparison compares a keyword with a literal.
type Comparison struct {
	place
	Keyword Keyword
	Op      Op
	Value   Value
}

// Selector chooses nodes of the service graph; an empty part matches all.
type Selector struct{ Name, Type, Account string }

// Service holds when Where, if there is one, holds for one segment of a node.
type Service struct {
	place
	Node  Selector
	Where Node
}

// Edge holds when Where, if there is one, holds for one call between two nodes.
type Edge struct {
	place
	Source, Target Selector
	Where          Node
}

// RootCause holds when Where, if there is one, holds for one part ("service", "entity" or
// "exception") of a root cause of a kind ("fault", "error" or "responsetime").
type RootCause struct {
	place
	Kind, Part string
	Where      Node
}

func (And) node()        {}
func (Or) node()         {}
func (Not) node()        {}
func (Bare) node()       {}
func (Comparison) node() {}
func (Service) node()    {}
func (Edge) node()       {}
func (RootCause) node()  {}

// String returns the keyword as it is written.
func (k Keyword) String() string {
	if k.Name != "annotation" {
		return k.Name
	}
	if k.Key != "" && strings.Trim(k.Key, plainKey) == "" {
		return "annotation." + k.Key
	}
	return "annotation[" + k.Key + "]"
}

// plainKey are the characters of a key behind a dot.
const plainKey = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"

// String returns the literal as text.
func (v Value) String() string {
	switch v.Kind {
	case NumberValue:
		return strconv.FormatFloat(v.Num, 'g', -1, 64)
	case BoolValue:
		return strconv.FormatBool(v.Bool)
	case JSONValue:
		return "#" + v.JSON.String()
	default:
		return syntax.Quote(v.Str)
	}
}

// String returns the selector as text: a string, id(…), or nothing.
func (s Selector) String() string {
	if s.Type == "" && s.Account == "" {
		if s.Name == "" {
			return ""
		}
		return syntax.Quote(s.Name)
	}
	var args []string
	for _, a := range [...][2]string{{"name", s.Name}, {"type", s.Type}, {"account.id", s.Account}} {
		if a[1] != "" {
			args = append(args, a[0]+": "+syntax.Quote(a[1]))
		}
	}
	return "id(" + strings.Join(args, ", ") + ")"
}

// String returns the node as text.
func (n And) String() string { return joined(n.X, " AND ") }

// String returns the node as text.
func (n Or) String() string { return joined(n.X, " OR ") }

// String returns the node as text.
func (n Not) String() string { return "!" + grouped(n.X) }

// String returns the node as text.
func (n Bare) String() string { return n.Keyword.String() }

// String returns the node as text.
func (n Comparison) String() string {
	return n.Keyword.String() + " " + string(n.Op) + " " + n.Value.String()
}

// String returns the node as text.
func (n Service) String() string { return "service(" + n.Node.String() + ")" + braces(n.Where) }

// String returns the node as text.
func (n Edge) String() string {
	source, target := n.Source.String(), n.Target.String()
	if target != "" {
		if source == "" {
			source = `""`
		}
		source += ", " + target
	}
	return "edge(" + source + ")" + braces(n.Where)
}

// String returns the node as text.
func (n RootCause) String() string { return "rootcause." + n.Kind + "." + n.Part + braces(n.Where) }

func joined(list []Node, sep string) string {
	parts := make([]string, len(list))
	for i, n := range list {
		parts[i] = grouped(n)
	}
	return strings.Join(parts, sep)
}

// grouped puts And and Or in parentheses, so that trees that were grouped by hand keep their
// shape.
func grouped(n Node) string {
	switch n.(type) {
	case And, Or:
		return "(" + n.String() + ")"
	}
	return n.String()
}

func braces(where Node) string {
	if where == nil {
		return ""
	}
	return " { " + where.String() + " }"
}

// JSONKind is the kind of a JSON value.
type JSONKind uint8

// The kinds of JSON values.
const (
	JSONNull JSONKind = iota
	JSONBool
	JSONNumber
	JSONString
	JSONArray
	JSONObject
)

// JSON is a JSON value; Names are the members' names of an object, in step with Elems.
type JSON struct {
	Kind  JSONKind
	Bool  bool
	Num   float64
	Str   string
	Names []string
	Elems []JSON
}

// Member returns a member of an object.
func (j JSON) Member(name string) (JSON, bool) {
	for i, n := range j.Names {
		if n == name {
			return j.Elems[i], true
		}
	}
	return JSON{}, false
}

// String returns the value as JSON text.
func (j JSON) String() string {
	switch j.Kind {
	case JSONBool:
		return strconv.FormatBool(j.Bool)
	case JSONNumber:
		return strconv.FormatFloat(j.Num, 'g', -1, 64)
	case JSONString:
		return jsonQuote(j.Str)
	case JSONArray, JSONObject:
		open, end := "[", "]"
		if j.Kind == JSONObject {
			open, end = "{", "}"
		}
		parts := make([]string, len(j.Elems))
		for i, e := range j.Elems {
			if j.Kind == JSONObject {
				parts[i] = jsonQuote(j.Names[i]) + ":"
			}
			parts[i] += e.String()
		}
		return open + strings.Join(parts, ",") + end
	default:
		return "null"
	}
}
