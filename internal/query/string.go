package query

import (
	"fmt"
	"strconv"
	"strings"
)

var opText = [...]string{Eq: "=", Lt: "<", Le: "<=", Gt: ">", Ge: ">="}

var textOpName = [...]string{Contains: "contains", HasPrefix: "has_prefix", HasSuffix: "has_suffix"}

func (e Field) String() string { return "`" + e.Name + "`" }

func (e Const) String() string {
	if e.Value.Kind() == 1 {
		return strconv.Quote(e.Value.Str())
	}
	if e.Value.Missing() {
		return "null"
	}
	return e.Value.Text()
}

func (e And) String() string { return list(e.X, " and ", "true") }
func (e Or) String() string  { return list(e.X, " or ", "false") }
func (e Not) String() string { return "not " + paren(e.X) }

func (e Compare) String() string {
	op := opText[e.Op]
	if e.Mode == Loose {
		op = "~" + op
	}
	return paren(e.L) + " " + op + " " + paren(e.R)
}

func (e In) String() string {
	vals := make([]string, len(e.Values))
	for i, v := range e.Values {
		vals[i] = Const{v}.String()
	}
	op := " in ["
	if e.Mode == Loose {
		op = " ~in ["
	}
	return paren(e.X) + op + strings.Join(vals, ", ") + "]"
}

func (e Has) String() string { return "has(" + e.X.String() + ")" }

func (e Text) String() string {
	name := textOpName[e.Op]
	if e.Fold {
		name += "_fold"
	}
	return name + "(" + e.X.String() + ", " + strconv.Quote(e.S) + ")"
}

func (e Glob) String() string { return "glob(" + e.X.String() + ", " + strconv.Quote(e.Pattern) + ")" }
func (e Match) String() string {
	return "match(" + e.X.String() + ", " + strconv.Quote(e.Re.String()) + ")"
}
func (e Capture) String() string {
	return fmt.Sprintf("capture(%s, %q, %d)", e.X, e.Re.String(), e.Group)
}

func (e Cut) String() string      { return fmt.Sprintf("cut(%s, %q, %d)", e.X, e.Parts, e.Index) }
func (e Captures) String() string { return fmt.Sprintf("captures(%s, %q)", e.X, e.Re.String()) }
func (e Replace) String() string {
	return fmt.Sprintf("replace_match(%s, %q, %q)", e.X, e.Re.String(), e.With)
}
func (e ParseTime) String() string {
	return fmt.Sprintf("parse_time(%s, %q, %q)", e.X, e.Pattern, e.In)
}
func (e FormatTime) String() string {
	return fmt.Sprintf("format_time(%s, %q, %q)", e.X, e.Format, e.In)
}
func (e Months) String() string {
	if e.Ceil {
		return fmt.Sprintf("months_ceil(%s, %d)", e.X, e.N)
	}
	return fmt.Sprintf("months(%s, %d)", e.X, e.N)
}

func (e Bucket) String() string {
	if e.Offset != 0 {
		return fmt.Sprintf("bucket(%s, %d, %d)", e.X, e.Step, e.Offset)
	}
	return fmt.Sprintf("bucket(%s, %d)", e.X, e.Step)
}

func (e Call) String() string {
	args := make([]string, len(e.Args))
	for i, a := range e.Args {
		args[i] = a.String()
	}
	return e.Fn + "(" + strings.Join(args, ", ") + ")"
}

func (e Exists) String() string  { return "exists(" + e.Over.String() + ": " + e.Where.String() + ")" }
func (e TraceIn) String() string { return fmt.Sprintf("trace_in(%d ids)", len(e.IDs)) }
func (e SpanIn) String() string {
	return fmt.Sprintf("span_in(%s, %d keys)", Field{e.Field}, len(e.Keys))
}

func (SameTrace) String() string { return "trace" }
func (Parent) String() string    { return "parent" }
func (Child) String() string     { return "child" }
func (r Part) String() string    { return r.Name }
func (r JSONValues) String() string {
	var b strings.Builder
	b.WriteString("json " + r.Source.String() + " $")
	for _, s := range r.Path {
		switch {
		case s.Any:
			b.WriteString("[*]")
		case s.Key != "":
			b.WriteString("[" + strconv.Quote(s.Key) + "]")
		default:
			fmt.Fprintf(&b, "[%d]", s.Index)
		}
	}
	return b.String()
}

func list(x []Expr, sep, empty string) string {
	if len(x) == 0 {
		return empty
	}
	parts := make([]string, len(x))
	for i, e := range x {
		parts[i] = paren(e)
	}
	return strings.Join(parts, sep)
}

func paren(e Expr) string {
	switch e.(type) {
	case And, Or, Not, Compare, In:
		return "(" + e.String() + ")"
	}
	return e.String()
}
