package query

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/trefoil-o11y/trefoil/internal/event"
)

// Table is a table that a stage looks into. It is not changed once a query has it.
type Table struct {
	Columns []string
	Rows    [][]event.Value
}

// Unnest makes of a row one row for each element of List, a document, and puts the element, a
// document, into the field Name. What is no list is one element. A row without a list stays as it
// is; of an empty list there is no row.
type Unnest struct {
	Name string
	List Expr
}

// Join adds to each row the fields of the table's rows whose Keys columns equal the values of On,
// one row for each of them. Equal is as in a loose comparison; a missing value equals none.
type Join struct {
	Table *Table
	On    []Expr
	Keys  []int
	// Names are the fields that the table's columns become, "" for those that are left out.
	Names []string
	// Left keeps rows that have no partner. First takes the first partner only.
	Left, First bool
	// CIDR takes the one value of On for an address and the column of Keys for prefixes: the
	// longest that has the address counts.
	CIDR bool
}

// AddColumns adds to the n-th row the fields of the table's n-th row; rows of the table that are
// left over make rows of their own. Fields that a row has stay unless Override is set.
type AddColumns struct {
	Table    *Table
	Names    []string
	Override bool
}

func (Unnest) stage()     {}
func (Join) stage()       {}
func (AddColumns) stage() {}

func (s Unnest) check() error {
	if s.Name == "" {
		return fmt.Errorf("unnest has no name")
	}
	return CheckExpr(s.List)
}

func (s Join) check() error {
	switch {
	case s.Table == nil || len(s.Names) != len(s.Table.Columns):
		return fmt.Errorf("join has %d names for its table's columns", len(s.Names))
	case len(s.On) == 0 || len(s.On) != len(s.Keys) || s.CIDR && len(s.On) != 1:
		return fmt.Errorf("join has %d keys for %d values", len(s.Keys), len(s.On))
	}
	for _, k := range s.Keys {
		if k < 0 || k >= len(s.Table.Columns) {
			return fmt.Errorf("join has no column %d", k)
		}
	}
	return checkExprs(s.On)
}

func (s AddColumns) check() error {
	if s.Table == nil || len(s.Names) != len(s.Table.Columns) {
		return fmt.Errorf("columns have %d names", len(s.Names))
	}
	return nil
}

// maxMade is how many rows a stage may make of others.
const maxMade = 10 * MaxHeld

type unnestOp struct {
	stage Unnest
	made  int
	over  bool
	next  operator
}

func (o *unnestOp) push(row Row) bool {
	list := Eval(o.stage.List, row)
	if list.Missing() {
		return o.next.push(row)
	}
	more := true
	one := func(raw string) bool {
		if o.made++; o.made > maxMade {
			o.over, more = true, false
			return false
		}
		more = o.next.push(extended{row, o.stage.Name, rawValue(raw)})
		return more
	}
	if !elements(list.Str(), one) && more {
		one(list.Text())
	}
	return more
}

func (o *unnestOp) finish() error {
	if o.over {
		return ErrTooLarge
	}
	return o.next.finish()
}

// overlaid is a row with several fields laid over it.
type overlaid struct {
	Row
	names  []string
	values []event.Value
}

func (o overlaid) Get(name string) event.Value {
	for i, n := range o.names {
		if n == name {
			return o.values[i]
		}
	}
	return o.Row.Get(name)
}

func (o overlaid) Each(yield func(string, event.Value) bool) {
	done := false
	o.Row.Each(func(n string, v event.Value) bool {
		for _, own := range o.names {
			if own == n {
				return true
			}
		}
		done = !yield(n, v)
		return !done
	})
	for i, n := range o.names {
		if done {
			return
		}
		if n != "" && !o.values[i].Missing() {
			done = !yield(n, o.values[i])
		}
	}
}

// joinKey appends a form of v that is equal for loosely equal values; ok is false for a missing
// one.
func joinKey(dst []byte, v event.Value) (_ []byte, ok bool) {
	if v.Missing() {
		return dst, false
	}
	if f, number := looseNumber(v); number {
		return appendKey(dst, event.Float(f+0)), true // +0 makes of -0 a 0
	}
	return appendKey(dst, event.String(v.Text())), true
}

type joinOp struct {
	stage Join
	index map[string][]int32
	cidr  map[netip.Prefix]int32
	made  int
	over  bool
	next  operator
	buf   []byte
}

func newJoinOp(s Join, next operator) *joinOp {
	o := &joinOp{stage: s, next: next}
	if s.CIDR {
		o.cidr = map[netip.Prefix]int32{}
		for i, r := range s.Table.Rows {
			if p, ok := prefixOf(r[s.Keys[0]]); ok {
				if _, taken := o.cidr[p]; !taken {
					o.cidr[p] = int32(i)
				}
			}
		}
		return o
	}
	o.index = make(map[string][]int32, len(s.Table.Rows))
	for i, r := range s.Table.Rows {
		o.buf = o.buf[:0]
		ok := true
		for _, k := range s.Keys {
			var has bool
			o.buf, has = joinKey(o.buf, r[k])
			ok = ok && has
		}
		if ok {
			o.index[string(o.buf)] = append(o.index[string(o.buf)], int32(i))
		}
	}
	return o
}

// prefixOf reads a block of addresses; an address alone is one.
func prefixOf(v event.Value) (netip.Prefix, bool) {
	text := strings.TrimSpace(v.Str())
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.Masked(), true
	}
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(a, a.BitLen()), true
}

func (o *joinOp) partners(row Row) []int32 {
	if o.cidr != nil {
		a, err := netip.ParseAddr(Eval(o.stage.On[0], row).Str())
		if err != nil || a.Zone() != "" {
			return nil
		}
		for bits := a.BitLen(); bits >= 0; bits-- {
			if p, err := a.Prefix(bits); err == nil {
				if i, ok := o.cidr[p]; ok {
					return []int32{i}
				}
			}
		}
		return nil
	}
	o.buf = o.buf[:0]
	for _, e := range o.stage.On {
		var ok bool
		if o.buf, ok = joinKey(o.buf, Eval(e, row)); !ok {
			return nil
		}
	}
	return o.index[string(o.buf)]
}

func (o *joinOp) push(row Row) bool {
	found := o.partners(row)
	if len(found) == 0 {
		if !o.stage.Left {
			return true
		}
		return o.next.push(row)
	}
	if o.stage.First {
		found = found[:1]
	}
	for _, i := range found {
		if o.made++; o.made > maxMade {
			o.over = true
			return false
		}
		if !o.next.push(overlaid{row, o.stage.Names, o.stage.Table.Rows[i]}) {
			return false
		}
	}
	return true
}

func (o *joinOp) finish() error {
	if o.over {
		return ErrTooLarge
	}
	return o.next.finish()
}

type addColumnsOp struct {
	stage AddColumns
	n     int
	full  bool // the stages behind have enough
	next  operator
}

func (o *addColumnsOp) push(row Row) bool {
	if o.n < len(o.stage.Table.Rows) {
		values := o.stage.Table.Rows[o.n]
		if !o.stage.Override {
			values = append([]event.Value(nil), values...)
			for i, n := range o.stage.Names {
				if v := row.Get(n); !v.Missing() {
					values[i] = v
				}
			}
		}
		row = overlaid{row, o.stage.Names, values}
	}
	o.n++
	o.full = !o.next.push(row)
	return !o.full
}

func (o *addColumnsOp) finish() error {
	for ; o.n < len(o.stage.Table.Rows) && !o.full; o.n++ {
		o.full = !o.next.push(&held{names: o.stage.Names, values: o.stage.Table.Rows[o.n]})
	}
	return o.next.finish()
}
