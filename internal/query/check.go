package query

import (
	"fmt"
	"math"
	"slices"

	"github.com/trefoil-o11y/trefoil/internal/event"
)

// maxDepth bounds the nesting of expressions.
const maxDepth = 200

// Check reports the first fault of the query: an unknown function, a wrong number of
// arguments, an aggregate without argument, a range or a step that makes no sense, a nested
// Exists over a trace, parent or child. Stores run only queries that pass.
func (q *Query) Check() error {
	if !q.From.IsZero() && !q.To.IsZero() && q.To.Before(q.From) {
		return fmt.Errorf("time range ends (%v) before it begins (%v)", q.To, q.From)
	}
	for i, s := range q.Stages {
		if err := checkStage(s); err != nil {
			return fmt.Errorf("stage %d: %w", i+1, err)
		}
	}
	return nil
}

func checkStage(s Stage) error {
	switch s := s.(type) {
	case Filter:
		return CheckExpr(s.Where)
	case Extend:
		if s.Name == "" {
			return fmt.Errorf("extend has no name")
		}
		return CheckExpr(s.Value)
	case Aggregate:
		if s.Max < 0 {
			return fmt.Errorf("aggregate of at most %d groups", s.Max)
		}
		seen := map[string]bool{}
		name := func(n string) error {
			if n == "" || seen[n] {
				return fmt.Errorf("aggregate names %q twice or not at all", n)
			}
			seen[n] = true
			return nil
		}
		for _, b := range s.By {
			if err := name(b.Name); err != nil {
				return err
			}
			if err := CheckExpr(b.Value); err != nil {
				return err
			}
		}
		for _, a := range s.Aggs {
			if err := name(a.Name); err != nil {
				return err
			}
			if a.Arg == nil && a.Op != Count {
				return fmt.Errorf("aggregate %q has no argument", a.Name)
			}
			if a.Op > Histogram || a.P < 0 || a.P > 100 || a.Op == Histogram && (a.P < 1 || a.P != math.Trunc(a.P)) {
				return fmt.Errorf("aggregate %q is out of range", a.Name)
			}
			if a.Arg != nil {
				if err := CheckExpr(a.Arg); err != nil {
					return err
				}
			}
		}
	case Spread:
		switch {
		case s.Name == "" || s.Part == "" || s.Name == s.Part || s.Name == event.FieldTime || s.Part == event.FieldTime:
			return fmt.Errorf("spread names %q and %q are not two new fields", s.Name, s.Part)
		case s.Step <= 0:
			return fmt.Errorf("spread step %d is not positive", s.Step)
		case s.To < s.From || uint64(s.To)-uint64(s.From) > MaxSpread*uint64(s.Step) && s.Step <= math.MaxInt64/MaxSpread:
			return fmt.Errorf("spread from %d to %d is not within %d buckets", s.From, s.To, MaxSpread)
		case s.From < math.MinInt64+s.Step || s.To > math.MaxInt64-s.Step:
			return fmt.Errorf("spread from %d to %d is out of range", s.From, s.To)
		}
		return CheckExpr(s.Length)
	case Sort:
		for _, k := range s.Keys {
			if err := CheckExpr(k.By); err != nil {
				return err
			}
		}
	case Limit:
		if s.N < 0 {
			return fmt.Errorf("limit %d is negative", s.N)
		}
	case Distinct:
		for _, k := range s.Keys {
			if err := CheckExpr(k.By); err != nil {
				return err
			}
		}
		return checkExprs(s.By)
	case Project:
		for _, f := range s.Fields {
			if err := CheckExpr(f.Value); err != nil {
				return err
			}
		}
	case interface{ check() error }:
		return s.check()
	default:
		return fmt.Errorf("no such stage %T", s)
	}
	return nil
}

func checkExprs(list []Expr) error {
	for _, e := range list {
		if err := CheckExpr(e); err != nil {
			return err
		}
	}
	return nil
}

// CheckExpr reports the first fault of an expression, see Query.Check.
func CheckExpr(e Expr) error { return checkExpr(e, 0, false) }

func checkExpr(e Expr, depth int, inTrace bool) error {
	if e == nil {
		return fmt.Errorf("an expression is missing")
	}
	if depth > maxDepth {
		return fmt.Errorf("expression is nested deeper than %d", maxDepth)
	}
	switch e := e.(type) {
	case Match:
		if e.Re == nil {
			return fmt.Errorf("match without a regular expression")
		}
	case Capture:
		if e.Re == nil || e.Group < 0 || e.Group > e.Re.NumSubexp() {
			return fmt.Errorf("capture of group %d does not fit its regular expression", e.Group)
		}
	case Cut:
		if e.Index < 0 || e.Index+1 >= len(e.Parts) {
			return fmt.Errorf("part %d of %d literals is not between two of them", e.Index, len(e.Parts))
		}
	case Captures:
		if e.Re == nil {
			return fmt.Errorf("captures without a regular expression")
		}
	case Replace:
		if e.Re == nil {
			return fmt.Errorf("replacement without a regular expression")
		}
	case ParseTime:
		if e.In == nil {
			return fmt.Errorf("a time is read without a zone")
		}
		if err := CheckTimePattern(e.Pattern); err != nil {
			return err
		}
	case FormatTime:
		if err := CheckTimeFormat(e.Format); err != nil {
			return err
		}
	case Months:
		if e.N <= 0 {
			return fmt.Errorf("a run of %d months is not positive", e.N)
		}
	case Bucket:
		if e.Step <= 0 {
			return fmt.Errorf("bucket step %d is not positive", e.Step)
		}
	case Call:
		f, ok := functions[e.Fn]
		if !ok {
			return fmt.Errorf("no function %q", e.Fn)
		}
		if len(e.Args) < f.min || f.max >= 0 && len(e.Args) > f.max {
			return fmt.Errorf("function %q does not take %d arguments", e.Fn, len(e.Args))
		}
	case Exists:
		switch e.Over.(type) {
		case SameTrace, Parent, Child:
			if inTrace {
				return fmt.Errorf("exists over a trace, parent or child can not be nested")
			}
			inTrace = true
		}
	}
	for _, c := range children(e) {
		if err := checkExpr(c, depth+1, inTrace); err != nil {
			return err
		}
	}
	return nil
}

// Joins returns the span id field of a row and that of the rows that a Parent or Child relates it
// to, which are equal; both are "" for other relations.
func Joins(over Relation) (own, theirs string) {
	switch over.(type) {
	case Parent:
		return event.FieldParent, event.FieldSpan
	case Child:
		return event.FieldSpan, event.FieldParent
	default:
		return "", ""
	}
}

// TraceSets replaces every Exists over SameTrace, Parent or Child in the expressions of q by what
// find returns for it: a TraceIn, or a SpanIn of the field that Joins calls own, with the traces
// or the keys of the events for which the condition holds. Executors call it before a scan.
func (q *Query) TraceSets(find func(Exists) (Expr, error)) (*Query, error) {
	var failed error
	sub := func(e Expr) Expr {
		return Rewrite(e, func(e Expr) Expr {
			x, ok := e.(Exists)
			if !ok || failed != nil {
				return e
			}
			switch x.Over.(type) {
			case SameTrace, Parent, Child:
			default:
				return e
			}
			in, err := find(x)
			if err != nil {
				failed = err
				return e
			}
			return in
		})
	}
	named := func(list []Named) []Named {
		list = slices.Clone(list)
		for i := range list {
			list[i].Value = sub(list[i].Value)
		}
		return list
	}
	each := func(list []Expr) []Expr {
		list = slices.Clone(list)
		for i := range list {
			list[i] = sub(list[i])
		}
		return list
	}
	out := *q
	out.Stages = make([]Stage, len(q.Stages))
	for i, s := range q.Stages {
		switch s := s.(type) {
		case Filter:
			out.Stages[i] = Filter{sub(s.Where)}
		case Extend:
			s.Value = sub(s.Value)
			out.Stages[i] = s
		case Aggregate:
			s.By, s.Aggs = named(s.By), slices.Clone(s.Aggs)
			for j := range s.Aggs {
				s.Aggs[j].Arg = sub(s.Aggs[j].Arg)
			}
			out.Stages[i] = s
		case Spread:
			s.Length = sub(s.Length)
			out.Stages[i] = s
		case Sort:
			s.Keys = slices.Clone(s.Keys)
			for j := range s.Keys {
				s.Keys[j].By = sub(s.Keys[j].By)
			}
			out.Stages[i] = s
		case Distinct:
			s.By, s.Keys = each(s.By), slices.Clone(s.Keys)
			for j := range s.Keys {
				s.Keys[j].By = sub(s.Keys[j].By)
			}
			out.Stages[i] = s
		case Unnest:
			s.List = sub(s.List)
			out.Stages[i] = s
		case Join:
			s.On = each(s.On)
			out.Stages[i] = s
		case Running:
			s.Arg, s.By = sub(s.Arg), each(s.By)
			out.Stages[i] = s
		case Relevance:
			s.Where, s.Fields = sub(s.Where), named(s.Fields)
			out.Stages[i] = s
		case Project:
			s.Fields = named(s.Fields)
			out.Stages[i] = s
		default:
			out.Stages[i] = s
		}
	}
	return &out, failed
}
