package segment

import (
	"math"

	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/store/segment/colfile"
)

// numeric computes arithmetic over the numeric columns of a page, many rows at once. Where a
// field has other kinds than numbers, it is computed row by row instead.
type numeric struct {
	fn       string // of a function
	args     []*numeric
	field    string  // of a leaf; none in one that is constant
	constant float64 // of a leaf

	out []float64 // by selected row
	ok  []bool    // which rows have a number; nil when all have
	has []bool    // memory of ok
}

// functions says how many arguments the functions take that numeric knows.
var functions = map[string]int{
	"to_number": 1, "floor": 1, "ceil": 1, "abs": 1, "sqrt": 1, "log": 1, "neg": 1, "add": 2, "sub": 2, "mul": 2, "div": 2,
}

// newNumeric returns nil when e is not arithmetic.
func newNumeric(e query.Expr) *numeric {
	if _, call := e.(query.Call); !call {
		return nil // a plain field's values keep their kinds
	}
	return arithmetic(e)
}

func arithmetic(e query.Expr) *numeric {
	switch e := e.(type) {
	case query.Field:
		return &numeric{field: e.Name}
	case query.Const:
		if f, ok := e.Value.Number(); ok && finite(f) {
			return &numeric{constant: f}
		}
	case query.Call:
		if n := functions[e.Fn]; n == 0 || n != len(e.Args) {
			return nil
		}
		n := &numeric{fn: e.Fn}
		for _, a := range e.Args {
			x := arithmetic(a)
			if x == nil {
				return nil
			}
			n.args = append(n.args, x)
		}
		return n
	}
	return nil
}

// rows computes out and ok for the selected rows of the page; it returns false when a field has
// values that are not numbers.
func (n *numeric) rows(s *scanner, sel []int32) bool {
	switch {
	case n.fn != "":
		for _, a := range n.args {
			if !a.rows(s, sel) {
				return false
			}
		}
		n.out = resize(n.out, len(sel))
		if len(n.args) == 1 {
			n.one()
		} else {
			n.two()
		}
		n.check()
		return true
	case n.field == "":
		n.out = resize(n.out, len(sel))
		for i := range n.out {
			n.out[i] = n.constant
		}
		return true
	}
	f := s.field(n.field)
	for _, v := range f.sources {
		if v.typ != colfile.Int && v.typ != colfile.Float {
			return false
		}
		s.load(v)
		if s.err != nil {
			return false
		}
	}
	n.out, n.ok = resize(n.out, len(sel)), nil
	if len(f.sources) == 1 && f.sources[0].vec.Encoding == colfile.Split && f.sources[0].vec.Valid == nil {
		floats := f.sources[0].vec.Floats
		for i, r := range sel {
			n.out[i] = floats[r]
		}
		n.check()
		return true
	}
	c, constant := f.constant.Number()
	n.none(len(sel))
	if constant {
		for i := range n.out {
			n.out[i], n.ok[i] = c, true
		}
	}
	for _, v := range f.sources {
		n.source(v, sel)
	}
	return true
}

// none makes ok say that no row has a number.
func (n *numeric) none(rows int) {
	n.has = resize(n.has, rows)
	clear(n.has)
	n.ok = n.has
}

func (n *numeric) one() {
	a := n.args[0]
	n.ok = a.ok
	switch n.fn {
	case "to_number":
		copy(n.out, a.out)
	case "floor":
		for i, f := range a.out {
			n.out[i] = math.Floor(f)
		}
	case "ceil":
		for i, f := range a.out {
			n.out[i] = math.Ceil(f)
		}
	case "abs":
		for i, f := range a.out {
			n.out[i] = math.Abs(f)
		}
	case "sqrt":
		for i, f := range a.out {
			n.out[i] = math.Sqrt(f)
		}
	case "log":
		for i, f := range a.out {
			n.out[i] = math.Log(f)
		}
	default:
		for i, f := range a.out {
			n.out[i] = -f
		}
	}
}

func (n *numeric) two() {
	a, b := n.args[0], n.args[1]
	y := b.out[:len(a.out)]
	switch n.fn {
	case "add":
		for i, f := range a.out {
			n.out[i] = f + y[i]
		}
	case "sub":
		for i, f := range a.out {
			n.out[i] = f - y[i]
		}
	case "mul":
		for i, f := range a.out {
			n.out[i] = f * y[i]
		}
	default: // by zero it is not finite, which check finds
		for i, f := range a.out {
			n.out[i] = f / y[i]
		}
	}
	switch {
	case a.ok == nil:
		n.ok = b.ok
	case b.ok == nil:
		n.ok = a.ok
	default:
		n.none(len(a.out))
		for i := range n.ok {
			n.ok[i] = a.ok[i] && b.ok[i]
		}
	}
}

// check takes what is not finite for no number.
func (n *numeric) check() {
	odd := false
	for _, f := range n.out {
		odd = odd || f-f != 0
	}
	if !odd {
		return
	}
	before := n.ok
	has := make([]bool, len(n.out))
	for i, f := range n.out {
		has[i] = f-f == 0 && (before == nil || before[i])
	}
	n.ok = has
}

func finite(f float64) bool { return f-f == 0 }

func (n *numeric) source(v *values, sel []int32) {
	switch v.vec.Encoding {
	case colfile.Dictionary:
		none := uint32(v.entries())
		for i, r := range sel {
			if c := v.vec.Codes[r]; c < none {
				n.out[i], n.ok[i] = float64(v.entry(int(c)).Int()), true
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
