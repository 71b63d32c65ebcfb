package segment

import (
	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
)

// maxInlined is the size of an expression up to which computed fields are put in place where
// they are used; queries with larger ones are computed row by row.
const maxInlined = 500

// plan says how a query is executed: rows are filtered, then aggregated, or the first of an
// order are kept, or they are handed on; tail runs over what comes of it.
type plan struct {
	where query.Expr // nil for all rows
	agg   *query.Aggregate
	top   *top
	tail  []query.Stage
	// names are the fields of the rows that are handed to the tail, all of them with all.
	names map[string]bool
	all   bool
	// only holds the traces outside of which no row passes, nil when the filter does not say.
	only map[event.TraceID]struct{}
}

// top keeps the first limit rows by keys.
type top struct {
	keys  []query.SortKey
	limit int
}

// newPlan plans a query whose Exists over traces have been replaced.
func newPlan(q *query.Query) *plan {
	p := &plan{}
	var where []query.Expr
	var made []query.Extend // computed fields, in terms of stored ones
	inline := func(e query.Expr) (query.Expr, bool) {
		for i := len(made) - 1; i >= 0; i-- {
			e = query.Inline(e, made[i].Name, made[i].Value)
			if query.Size(e) > maxInlined {
				return nil, false
			}
		}
		return e, true
	}
	stages := q.Stages
	rows := func(rest []query.Stage) *plan {
		p.tail = rest
		for i := len(made) - 1; i >= 0; i-- {
			p.tail = append([]query.Stage{made[i]}, p.tail...)
		}
		p.names, p.all = (&query.Query{Stages: p.tail}).Columns()
		p.where = query.All(where...)
		p.only = tracesOf(p.where)
		return p
	}
	for len(stages) > 0 {
		switch s := stages[0].(type) {
		case query.Filter:
			e, ok := inline(s.Where)
			if !ok {
				return rows(stages)
			}
			where = append(where, e)
		case query.Extend:
			// A field that is computed from one of the same name reads the one before.
			if s.Name == "" || s.Name[0] == '$' {
				return rows(stages)
			}
			made = append(made, s)
			if _, ok := inline(s.Value); !ok {
				made = made[:len(made)-1]
				return rows(stages)
			}
		case query.Aggregate:
			agg, ok := inlineAggregate(s, inline)
			if !ok {
				return rows(stages)
			}
			p.agg, p.tail = agg, stages[1:]
			p.where = query.All(where...)
			p.only = tracesOf(p.where)
			return p
		case query.Sort:
			limit, ok := limitOf(stages[1:])
			if !ok {
				return rows(stages)
			}
			t := &top{limit: limit}
			for _, k := range s.Keys {
				e, ok := inline(k.By)
				if !ok {
					return rows(stages)
				}
				k.By = e
				t.keys = append(t.keys, k)
			}
			p.top = t
			return rows(stages[1:]) // the rows come in their order
		default:
			return rows(stages)
		}
		stages = stages[1:]
	}
	return rows(nil)
}

func inlineAggregate(s query.Aggregate, inline func(query.Expr) (query.Expr, bool)) (*query.Aggregate, bool) {
	out := &query.Aggregate{Max: s.Max}
	for _, b := range s.By {
		e, ok := inline(b.Value)
		if !ok {
			return nil, false
		}
		out.By = append(out.By, query.Named{Name: b.Name, Value: e})
	}
	for _, a := range s.Aggs {
		if a.Arg != nil {
			e, ok := inline(a.Arg)
			if !ok {
				return nil, false
			}
			a.Arg = e
		}
		out.Aggs = append(out.Aggs, a)
	}
	return out, true
}

// limitOf returns the limit behind a sort, past stages that neither drop nor reorder rows.
func limitOf(stages []query.Stage) (int, bool) {
	for _, s := range stages {
		switch s := s.(type) {
		case query.Limit:
			return s.N, s.N <= query.MaxHeld
		case query.Extend, query.Project:
		default:
			return 0, false
		}
	}
	return 0, false
}

// tracesOf returns the trace ids outside of which e does not hold, or nil when it does not say.
func tracesOf(e query.Expr) map[event.TraceID]struct{} {
	switch e := e.(type) {
	case query.And:
		for _, x := range e.X {
			if ids := tracesOf(x); ids != nil {
				return ids
			}
		}
	case query.TraceIn:
		return e.IDs
	case query.Compare:
		id, ok := traceEq(e)
		if !ok {
			return nil
		}
		ids := map[event.TraceID]struct{}{}
		if !id.IsZero() {
			ids[id] = struct{}{}
		}
		return ids
	}
	return nil
}

// traceEq reports whether e asks for one trace; the id is zero when its text is that of none.
func traceEq(e query.Compare) (id event.TraceID, ok bool) {
	f, fok := e.L.(query.Field)
	c, cok := e.R.(query.Const)
	if !fok || !cok || f.Name != event.FieldTrace || e.Op != query.Eq || e.Mode != query.Strict {
		return id, false
	}
	if id, err := event.ParseTraceID(c.Value.Str()); err == nil && id.String() == c.Value.Str() {
		return id, true
	}
	return event.TraceID{}, true
}
