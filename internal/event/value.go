package event

import (
	"math"
	"strconv"
)

// Kind is the type of a Value.
type Kind uint8

// The kinds of values. None is the kind of a missing value, which is never stored.
const (
	None Kind = iota
	KindString
	KindInt
	KindFloat
	KindBool
)

// String returns the kind's name as it is shown to users: string, integer, float, boolean.
func (k Kind) String() string {
	switch k {
	case KindString:
		return "string"
	case KindInt:
		return "integer"
	case KindFloat:
		return "float"
	case KindBool:
		return "boolean"
	default:
		return "none"
	}
}

// Value is a typed datum. The zero Value is "missing": it has kind None.
type Value struct {
	kind Kind
	num  uint64
	str  string
}

// String returns a string value.
func String(s string) Value { return Value{kind: KindString, str: s} }

// Int returns an integer value.
func Int(i int64) Value { return Value{kind: KindInt, num: uint64(i)} }

// Float returns a floating-point value.
func Float(f float64) Value { return Value{kind: KindFloat, num: math.Float64bits(f)} }

// Bool returns a boolean value.
func Bool(b bool) Value {
	if b {
		return Value{kind: KindBool, num: 1}
	}
	return Value{kind: KindBool}
}

// Kind returns the value's kind.
func (v Value) Kind() Kind { return v.kind }

// Missing reports whether v is the zero Value.
func (v Value) Missing() bool { return v.kind == None }

// Str returns the string of a KindString value, else "".
func (v Value) Str() string { return v.str }

// Int returns the integer of a KindInt value, else 0.
func (v Value) Int() int64 {
	if v.kind != KindInt {
		return 0
	}
	return int64(v.num)
}

// Float returns the number of a KindFloat value, else 0. See Number for either kind.
func (v Value) Float() float64 {
	if v.kind != KindFloat {
		return 0
	}
	return math.Float64frombits(v.num)
}

// Bool reports whether v is the boolean true.
func (v Value) Bool() bool { return v.kind == KindBool && v.num != 0 }

// Number returns an integer or floating-point value as float64; ok is false for other kinds.
func (v Value) Number() (f float64, ok bool) {
	switch v.kind {
	case KindInt:
		return float64(int64(v.num)), true
	case KindFloat:
		return math.Float64frombits(v.num), true
	default:
		return 0, false
	}
}

// Text returns the value as text: strings as they are, integers without exponent, floats in
// the shortest form that reads back, booleans as true and false, missing as "".
func (v Value) Text() string {
	switch v.kind {
	case KindString:
		return v.str
	case KindInt:
		return strconv.FormatInt(int64(v.num), 10)
	case KindFloat:
		return FormatFloat(math.Float64frombits(v.num))
	case KindBool:
		return strconv.FormatBool(v.num != 0)
	default:
		return ""
	}
}

// FormatFloat prints f in the shortest form that reads back, without an exponent where the
// magnitude is ordinary.
func FormatFloat(f float64) string {
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		return strconv.FormatFloat(f, 'g', -1, 64)
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

// Order is a total order over values: missing, then booleans, numbers (integers and floats
// together by magnitude, NaN first), then strings by bytes. It returns -1, 0 or 1.
func Order(a, b Value) int {
	ra, rb := rank(a.kind), rank(b.kind)
	if ra != rb {
		return cmpInt(ra, rb)
	}
	switch ra {
	case 1:
		return cmpUint(a.num, b.num)
	case 2:
		return orderNumbers(a, b)
	case 3:
		switch {
		case a.str < b.str:
			return -1
		case a.str > b.str:
			return 1
		}
	}
	return 0
}

func orderNumbers(a, b Value) int {
	if a.kind == KindInt && b.kind == KindInt {
		x, y := int64(a.num), int64(b.num)
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	}
	x, _ := a.Number()
	y, _ := b.Number()
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	case x == y:
		return 0
	}
	xn, yn := math.IsNaN(x), math.IsNaN(y)
	switch {
	case xn && !yn:
		return -1
	case yn && !xn:
		return 1
	}
	return 0
}

func rank(k Kind) int {
	switch k {
	case KindBool:
		return 1
	case KindInt, KindFloat:
		return 2
	case KindString:
		return 3
	default:
		return 0
	}
}

func cmpInt(a, b int) int {
	if a < b {
		return -1
	}
	if a > b {
		return 1
	}
	return 0
}

func cmpUint(a, b uint64) int {
	if a < b {
		return -1
	}
	if a > b {
		return 1
	}
	return 0
}

// Field is a named value.
type Field struct {
	Name  string
	Value Value
}
