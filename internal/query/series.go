package query

import (
	"fmt"
	"math"

	"github.com/trefoil-o11y/trefoil/internal/event"
)

// Totals adds a last row with the sums of fields over all rows; Label is the text that the field
// LabelIn of it has, when there is one.
type Totals struct {
	Fields  []string
	LabelIn string
	Label   string
}

func (Totals) stage() {}

func (s Totals) check() error {
	if len(s.Fields) == 0 {
		return fmt.Errorf("totals are of no field")
	}
	return nil
}

type totalsOp struct {
	stage Totals
	sums  []sum
	full  bool
	next  operator
}

func (o *totalsOp) push(row Row) bool {
	for i, f := range o.stage.Fields {
		if n, ok := looseNumber(row.Get(f)); ok && n-n == 0 {
			if v := Number(n); v.Kind() == event.KindInt {
				o.sums[i].int(v.Int(), 1)
			} else {
				o.sums[i].num(n)
			}
		}
	}
	o.full = o.full || !o.next.push(row)
	return !o.full
}

func (o *totalsOp) finish() error {
	h := &held{}
	for i, f := range o.stage.Fields {
		s := &o.sums[i]
		switch {
		case !s.any:
			continue
		case s.float:
			h.values = append(h.values, event.Float(s.f))
		default:
			h.values = append(h.values, event.Int(s.i))
		}
		h.names = append(h.names, f)
	}
	if o.stage.LabelIn != "" {
		h.names, h.values = append(h.names, o.stage.LabelIn), append(h.values, event.String(o.stage.Label))
	}
	if !o.full {
		o.next.push(h)
	}
	return o.next.finish()
}

// Gaps adds the rows that are missing from a series: for each combination of the values of By that
// some row has, one row for each of Times that none of them has in the field Time. With are what
// they have besides.
type Gaps struct {
	Time  string
	Times []event.Value
	By    []string
	With  []Named
}

func (Gaps) stage() {}

// MaxTimes is the number of times that a Gaps may have.
const MaxTimes = 100_000

func (s Gaps) check() error {
	if s.Time == "" || len(s.Times) > MaxTimes {
		return fmt.Errorf("gaps at %d times are more than %d", len(s.Times), MaxTimes)
	}
	for _, w := range s.With {
		if err := CheckExpr(w.Value); err != nil {
			return err
		}
	}
	return nil
}

type gapsOp struct {
	stage  Gaps
	series map[string]*gapSeries
	list   []*gapSeries
	buf    []byte
	next   operator
	full   bool
	held   int
	over   bool
}

type gapSeries struct {
	by  []event.Value
	has map[event.Value]struct{}
}

func (o *gapsOp) push(row Row) bool {
	o.buf = o.buf[:0]
	by := make([]event.Value, len(o.stage.By))
	for i, n := range o.stage.By {
		by[i] = row.Get(n)
		o.buf = appendKey(o.buf, by[i])
	}
	s := o.series[string(o.buf)]
	if s == nil {
		s = &gapSeries{by, map[event.Value]struct{}{}}
		o.series[string(o.buf)] = s
		o.list = append(o.list, s)
	}
	s.has[row.Get(o.stage.Time)] = struct{}{}
	if o.held++; o.held > MaxHeld {
		o.over = true
		return false
	}
	o.full = o.full || !o.next.push(row)
	return !o.full
}

func (o *gapsOp) finish() error {
	if o.over || len(o.list)*len(o.stage.Times) > MaxHeld {
		return ErrTooLarge
	}
	names := append([]string{o.stage.Time}, o.stage.By...)
	none := NewRow(nil, nil)
	var with []event.Value
	for _, w := range o.stage.With {
		names = append(names, w.Name)
		with = append(with, Eval(w.Value, none))
	}
	for _, s := range o.list {
		for _, t := range o.stage.Times {
			if _, ok := s.has[t]; ok || o.full {
				continue
			}
			values := append(append([]event.Value{t}, s.by...), with...)
			o.full = !o.next.push(&held{names, values})
		}
	}
	return o.next.finish()
}

// Tail keeps the last N rows.
type Tail struct{ N int }

func (Tail) stage() {}

func (s Tail) check() error {
	if s.N < 1 || s.N > MaxHeld {
		return fmt.Errorf("tail of %d rows is out of range", s.N)
	}
	return nil
}

type tailOp struct {
	n    int
	rows []*held
	at   int
	next operator
}

func (o *tailOp) push(row Row) bool {
	if len(o.rows) < o.n {
		o.rows = append(o.rows, hold(row))
		return true
	}
	o.rows[o.at] = hold(row)
	o.at = (o.at + 1) % o.n
	return true
}

func (o *tailOp) finish() error {
	for i := range o.rows {
		if !o.next.push(o.rows[(o.at+i)%len(o.rows)]) {
			break
		}
	}
	return o.next.finish()
}

// RunningOp is what a Running stage computes.
type RunningOp uint8

// What Running computes.
const (
	RunSum  RunningOp = iota // the sum of the numbers so far
	Lag                      // the value N rows ahead
	Carry                    // the value, or the last one that was there
	Session                  // the number, from 1, of the row's session
)

// Running adds a field that is computed from the row and those ahead of it. Sessions are of rows
// with equal values of By; one ends when no row comes for N nanoseconds of $time, in the order of
// which the rows must be.
type Running struct {
	Name string
	Op   RunningOp
	Arg  Expr // of a Session nil
	By   []Expr
	N    int64
}

func (Running) stage() {}

func (s Running) check() error {
	switch {
	case s.Name == "" || s.Op > Session:
		return fmt.Errorf("running field %q is of no kind", s.Name)
	case s.Op == Lag && (s.N < 1 || s.N > MaxLag), s.Op == Session && s.N < 1:
		return fmt.Errorf("running field %q has a distance of %d", s.Name, s.N)
	}
	if s.Op == Session {
		return checkExprs(s.By)
	}
	return CheckExpr(s.Arg)
}

// MaxLag is the most rows that a Lag looks back.
const MaxLag = 1000

type runningOp struct {
	stage    Running
	sum      sum
	last     event.Value
	ring     []event.Value
	at       int
	sessions map[string]session
	count    int64
	buf      []byte
	over     bool
	next     operator
}

type session struct{ id, time int64 }

func (o *runningOp) push(row Row) bool {
	var out event.Value
	switch s := &o.stage; s.Op {
	case RunSum:
		if f, ok := looseNumber(Eval(s.Arg, row)); ok && f-f == 0 {
			if v := Number(f); v.Kind() == event.KindInt {
				o.sum.int(v.Int(), 1)
			} else {
				o.sum.num(f)
			}
		}
		switch {
		case !o.sum.any:
		case o.sum.float:
			out = event.Float(o.sum.f)
		default:
			out = event.Int(o.sum.i)
		}
	case Lag:
		v := own(Eval(s.Arg, row))
		if int64(len(o.ring)) < s.N {
			o.ring = append(o.ring, v)
			break
		}
		out = o.ring[o.at]
		o.ring[o.at] = v
		o.at = (o.at + 1) % len(o.ring)
	case Carry:
		if v := Eval(s.Arg, row); !v.Missing() {
			o.last = own(v)
		}
		out = o.last
	default:
		o.buf = o.buf[:0]
		for _, e := range s.By {
			o.buf = appendKey(o.buf, Eval(e, row))
		}
		t := row.Get(event.FieldTime).Int()
		x, ok := o.sessions[string(o.buf)]
		if !ok && len(o.sessions) >= MaxHeld {
			o.over = true
			return false
		}
		if !ok || t-x.time > s.N {
			o.count++
			x.id = o.count
		}
		x.time = t
		o.sessions[string(o.buf)] = x
		out = event.Int(x.id)
	}
	return o.next.push(extended{row, o.stage.Name, out})
}

func (o *runningOp) finish() error {
	if o.over {
		return ErrTooLarge
	}
	return o.next.finish()
}

// Outliers deals with numbers that lie further than Param times the distance of the quartiles
// below the first or above the third: they become the nearest number that does not, or with Remove
// their rows go. Lower looks at low numbers too. With Mark a field of the name and "_outlier"
// tells which.
type Outliers struct {
	Fields              []string
	Param               float64
	Lower, Remove, Mark bool
}

func (Outliers) stage() {}

func (s Outliers) check() error {
	if len(s.Fields) == 0 || !(s.Param > 0) || math.IsInf(s.Param, 0) {
		return fmt.Errorf("outliers of %d fields by %v", len(s.Fields), s.Param)
	}
	return nil
}

type outliersOp struct {
	stage Outliers
	rows  []*held
	over  bool
	next  operator
}

func (o *outliersOp) push(row Row) bool {
	if len(o.rows) >= MaxHeld {
		o.over = true
		return false
	}
	o.rows = append(o.rows, hold(row))
	return true
}

func (o *outliersOp) finish() error {
	if o.over {
		return ErrTooLarge
	}
	low, high := make([]float64, len(o.stage.Fields)), make([]float64, len(o.stage.Fields))
	for i, f := range o.stage.Fields {
		var list []float64
		for _, r := range o.rows {
			if n, ok := looseNumber(r.Get(f)); ok && n-n == 0 {
				list = append(list, n)
			}
		}
		q1, q3 := quantileOf(list, 0.25), quantileOf(list, 0.75)
		low[i], high[i] = math.Inf(-1), q3+o.stage.Param*(q3-q1)
		if o.stage.Lower {
			low[i] = q1 - o.stage.Param*(q3-q1)
		}
	}
rows:
	for _, r := range o.rows {
		over := overlaid{Row: r}
		for i, f := range o.stage.Fields {
			n, ok := looseNumber(r.Get(f))
			out := ok && (n < low[i] || n > high[i])
			switch {
			case out && o.stage.Remove:
				continue rows
			case out:
				over.names, over.values = append(over.names, f), append(over.values, Number(min(max(n, low[i]), high[i])))
			}
			if o.stage.Mark && ok {
				over.names, over.values = append(over.names, f+"_outlier"), append(over.values, event.Bool(out))
			}
		}
		var row Row = r
		if over.names != nil {
			row = over
		}
		if !o.next.push(row) {
			break
		}
	}
	return o.next.finish()
}
