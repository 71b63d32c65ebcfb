package segment

import (
	"math"

	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/store/segment/colfile"
)

// numeric computes arithmetic over the numeric columns of a page, many rows at once. Where a
// field has other kinds than numbers, it is computed row by row instead.
type numeric struct {
	// Of a leaf: the field, or with none the constant.
	field    string
	constant float64
	// Of a function.
	one  func(float64) float64
	two  func(a, b float64) float64
	args []*numeric

	out []float64 // by selected row
	ok  []bool
}

// newNumeric returns nil when e is not arithmetic.
func newNumeric(e query.Expr) *numeric {
	n := arithmetic(e)
	if n == nil || n.field == "" && n.args == nil {
		return nil
	}
	if _, plain := e.(query.Field); plain {
		return nil // its values keep their kinds
	}
	return n
}

func arithmetic(e query.Expr) *numeric {
	switch e := e.(type) {
	case query.Field:
		return &numeric{field: e.Name}
	case query.Const:
		if f, ok := e.Value.Number(); ok && !math.IsNaN(f) && !math.IsInf(f, 0) {
			return &numeric{constant: f}
		}
	case query.Call:
		n := &numeric{}
		switch e.Fn {
		case "to_number":
			n.one = func(f float64) float64 { return f }
		case "floor":
			n.one = math.Floor
		case "ceil":
			n.one = math.Ceil
		case "abs":
			n.one = math.Abs
		case "sqrt":
			n.one = math.Sqrt
		case "log":
			n.one = math.Log
		case "neg":
			n.one = func(f float64) float64 { return -f }
		case "add":
			n.two = func(a, b float64) float64 { return a + b }
		case "sub":
			n.two = func(a, b float64) float64 { return a - b }
		case "mul":
			n.two = func(a, b float64) float64 { return a * b }
		case "div":
			n.two = func(a, b float64) float64 {
				if b == 0 {
					return math.NaN()
				}
				return a / b
			}
		default:
			return nil
		}
		for _, a := range e.Args {
			x := arithmetic(a)
			if x == nil {
				return nil
			}
			n.args = append(n.args, x)
		}
		if n.one != nil && len(n.args) != 1 || n.two != nil && len(n.args) != 2 {
			return nil
		}
		return n
	}
	return nil
}

// rows computes out and ok for the selected rows of the page; it returns false when a field has
// values that are not numbers.
func (n *numeric) rows(s *scanner, sel []int32) bool {
	n.out, n.ok = resize(n.out, len(sel)), resize(n.ok, len(sel))
	switch {
	case n.one != nil:
		a := n.args[0]
		if !a.rows(s, sel) {
			return false
		}
		for i, f := range a.out {
			n.out[i] = n.one(f)
			n.ok[i] = a.ok[i] && finite(n.out[i])
		}
		return true
	case n.two != nil:
		a, b := n.args[0], n.args[1]
		if !a.rows(s, sel) || !b.rows(s, sel) {
			return false
		}
		for i, f := range a.out {
			n.out[i] = n.two(f, b.out[i])
			n.ok[i] = a.ok[i] && b.ok[i] && finite(n.out[i])
		}
		return true
	case n.field == "":
		for i := range n.out {
			n.out[i], n.ok[i] = n.constant, true
		}
		return true
	}
	clear(n.ok)
	f := s.field(n.field)
	if c, ok := f.constant.Number(); ok {
		for i := range n.out {
			n.out[i], n.ok[i] = c, true
		}
		return true
	}
	for _, v := range f.sources {
		if v.typ != colfile.Int && v.typ != colfile.Float {
			return false
		}
		s.load(v)
		if s.err != nil {
			return false
		}
		n.source(v, sel)
	}
	return true
}

func finite(f float64) bool { return f-f == 0 }

func (n *numeric) source(v *values, sel []int32) {
	switch v.vec.Encoding {
	case colfile.Dictionary:
		none := uint32(v.entries())
		for i, r := range sel {
			if c := v.vec.Codes[r]; c < none {
				n.out[i], n.ok[i] = float64(v.dict.Nums[c]), true
			}
		}
	case colfile.Delta:
		for i, r := range sel {
			if v.vec.Has(int(r)) {
				n.out[i], n.ok[i] = float64(v.vec.Nums[r]), true
			}
		}
	default:
		for i, r := range sel {
			if v.vec.Has(int(r)) {
				n.out[i], n.ok[i] = v.vec.Floats[r], finite(v.vec.Floats[r])
			}
		}
	}
}

// isNumber reports whether e is a field, or a field as a number, and which.
func isNumber(e query.Expr) (field string, ok bool) {
	switch e := e.(type) {
	case query.Field:
		return e.Name, true
	case query.Call:
		if e.Fn == "to_number" && len(e.Args) == 1 {
			return isNumber(e.Args[0])
		}
	}
	return "", false
}
