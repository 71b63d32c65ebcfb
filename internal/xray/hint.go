package xray

import "github.com/trefoil-o11y/trefoil/internal/query"

// hintOf returns a condition on rows that holds for some row of every trace for which where
// holds; nil when none is known.
func hintOf(where query.Expr) query.Expr {
	switch e := where.(type) {
	case query.And:
		for _, x := range e.X {
			if h := hintOf(x); h != nil {
				return h
			}
		}
	case query.Compare:
		if c, ok := e.R.(query.Const); ok && e.Op == query.Eq && query.Truthy(c.Value) {
			return hintOf(e.L)
		}
	case query.Field:
		yes := func(name string) query.Expr { return query.Field{Name: name} }
		status := func(op query.Op, than int64) query.Expr {
			var any query.Or
			for _, name := range []string{"http.status_code", "http.response.status_code", "response.status_code"} {
				any.X = append(any.X, query.Compare{Op: op, Mode: query.Loose, L: query.Field{Name: name}, R: query.Num(than)})
			}
			return any
		}
		switch e.Name {
		case "fault":
			failed := query.Compare{Op: query.Eq, L: query.Field{Name: "status_code"}, R: query.Num(2)}
			return query.Or{X: []query.Expr{yes("error"), yes("xray.fault"), failed, status(query.Ge, 500)}}
		case "error":
			return query.Or{X: []query.Expr{yes("xray.error"), status(query.Ge, 400)}}
		case "throttle":
			return query.Or{X: []query.Expr{yes("xray.throttle"), status(query.Eq, 429)}}
		}
	}
	return nil
}
