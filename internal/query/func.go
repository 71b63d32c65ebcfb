package query

import (
	"maps"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/trefoil-o11y/trefoil/internal/event"
)

// function is one entry of the table of functions. Arguments may be missing; max below zero
// means any number.
type function struct {
	min, max int
	eval     func(args []event.Value) event.Value
}

// maxText is the longest text in bytes that a function makes; what would be longer is missing.
const maxText = 16 << 20

// functions are what Call can name. Languages map their own names and arities to these.
var functions = func() map[string]function {
	all := maps.Clone(basicFunctions)
	maps.Copy(all, documentFunctions)
	maps.Copy(all, textFunctions)
	maps.Copy(all, templateFunctions)
	return all
}()

var basicFunctions = map[string]function{
	"add": {2, 2, arith(func(a, b float64) float64 { return a + b })},
	"sub": {2, 2, arith(func(a, b float64) float64 { return a - b })},
	"mul": {2, 2, arith(func(a, b float64) float64 { return a * b })},
	"div": {2, 2, arith(func(a, b float64) float64 {
		if b == 0 {
			return math.NaN()
		}
		return a / b
	})},
	"mod": {2, 2, arith(func(a, b float64) float64 { return math.Mod(a, b) })},
	"pow": {2, 2, arith(math.Pow)},

	"abs":   {1, 1, numeric(math.Abs)},
	"ceil":  {1, 1, numeric(math.Ceil)},
	"floor": {1, 1, numeric(math.Floor)},
	"sqrt":  {1, 1, numeric(math.Sqrt)},
	"log":   {1, 1, numeric(math.Log)},
	"neg":   {1, 1, numeric(func(f float64) float64 { return -f })},
	"round": {1, 2, func(args []event.Value) event.Value {
		f, ok := looseNumber(args[0])
		if !ok {
			return event.Value{}
		}
		scale := 1.0
		if len(args) == 2 {
			d, ok := looseNumber(args[1])
			if !ok {
				return event.Value{}
			}
			scale = math.Pow(10, math.Trunc(d))
		}
		return Number(math.Round(f*scale) / scale)
	}},
	// total(a, …) is the sum of the numbers among the arguments.
	"total": {1, -1, func(args []event.Value) event.Value {
		sum, any := 0.0, false
		for _, a := range args {
			if f, ok := looseNumber(a); ok {
				sum, any = sum+f, true
			}
		}
		if !any {
			return event.Value{}
		}
		return Number(sum)
	}},
	"greatest": {1, -1, extreme(1)},
	"least":    {1, -1, extreme(-1)},

	"coalesce": {1, -1, func(args []event.Value) event.Value {
		for _, a := range args {
			if !a.Missing() {
				return a
			}
		}
		return event.Value{}
	}},
	// if(condition, value, …, [else])
	"if": {2, -1, func(args []event.Value) event.Value {
		for len(args) >= 2 {
			if Truthy(args[0]) {
				return args[1]
			}
			args = args[2:]
		}
		if len(args) == 1 {
			return args[0]
		}
		return event.Value{}
	}},

	"concat": {1, -1, func(args []event.Value) event.Value {
		var b strings.Builder
		for _, a := range args {
			s := a.Text()
			if b.Len()+len(s) > maxText {
				return event.Value{}
			}
			b.WriteString(s)
		}
		return event.String(b.String())
	}},
	"lower":  {1, 1, text(func(s string) event.Value { return event.String(strings.ToLower(s)) })},
	"upper":  {1, 1, text(func(s string) event.Value { return event.String(strings.ToUpper(s)) })},
	"strlen": {1, 1, text(func(s string) event.Value { return event.Int(int64(utf8.RuneCountInString(s))) })},
	"trim":   {1, 2, trim(strings.Trim)},
	"ltrim":  {1, 2, trim(strings.TrimLeft)},
	"rtrim":  {1, 2, trim(strings.TrimRight)},
	"substr": {2, 3, substr},
	"replace": {3, 3, func(args []event.Value) event.Value {
		if args[0].Missing() {
			return event.Value{}
		}
		s, from, to := args[0].Text(), args[1].Text(), args[2].Text()
		if grow := len(to) - len(from); grow > 0 && strings.Count(s, from) > max(maxText-len(s), 0)/grow {
			return event.Value{}
		}
		return event.String(strings.ReplaceAll(s, from, to))
	}},
	"contains": {2, 2, func(args []event.Value) event.Value {
		if args[0].Missing() || args[1].Missing() {
			return event.Bool(false)
		}
		return event.Bool(strings.Contains(args[0].Text(), args[1].Text()))
	}},
	"starts_with": {2, 2, func(args []event.Value) event.Value {
		return event.Bool(!args[0].Missing() && !args[1].Missing() && strings.HasPrefix(args[0].Text(), args[1].Text()))
	}},
	"ends_with": {2, 2, func(args []event.Value) event.Value {
		return event.Bool(!args[0].Missing() && !args[1].Missing() && strings.HasSuffix(args[0].Text(), args[1].Text()))
	}},
	// byte_len(text) counts the bytes of the UTF-8 form.
	"byte_len": {1, 1, text(func(s string) event.Value { return event.Int(int64(len(s))) })},
	// text(value) is the text form of a value.
	"text": {1, 1, text(event.String)},
	// millis(time) turns nanoseconds since the epoch into milliseconds.
	"millis": {1, 1, func(args []event.Value) event.Value {
		if args[0].Kind() != event.KindInt {
			return event.Value{}
		}
		return event.Int(FloorTo(args[0].Int(), 1e6) / 1e6)
	}},
	"to_number": {1, 1, func(args []event.Value) event.Value {
		f, ok := looseNumber(args[0])
		if !ok {
			return event.Value{}
		}
		return Number(f)
	}},
	"is_empty": {1, 1, func(args []event.Value) event.Value {
		return event.Bool(args[0].Missing() || args[0].Text() == "")
	}},
	"is_blank": {1, 1, func(args []event.Value) event.Value {
		return event.Bool(args[0].Missing() || strings.TrimSpace(args[0].Text()) == "")
	}},
	// slot(message, i, n, ellipsis) is the i-th of n slots of a space-delimited message (see
	// package filterpattern); ellipsis is the slot that takes any number of tokens, or -1.
	"slot": {4, 4, func(args []event.Value) event.Value {
		if args[0].Kind() != event.KindString {
			return event.Value{}
		}
		slots, ok := Slots(args[0].Str(), int(args[2].Int()), int(args[3].Int()))
		if i := int(args[1].Int()); ok && i >= 0 && i < len(slots) {
			return event.String(slots[i])
		}
		return event.Value{}
	}},
}

// Number returns f as an integer value when it is one, missing for NaN and infinities, else
// as a float.
func Number(f float64) event.Value {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return event.Value{}
	}
	if f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return event.Int(int64(f))
	}
	return event.Float(f)
}

// NumberValue returns a JSON number's text as an integer where it is one that fits, else as a
// float; what is too large for one stays text.
func NumberValue(s string) event.Value {
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return event.Int(i)
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return event.String(s)
	}
	return event.Float(f)
}

// Slots splits a space-delimited message into n slots: blanks separate tokens, […] and "…" are
// one token each without their delimiters. The slot ellipsis (or, when it is below zero, the
// last) takes what is left over. ok is false when there are too few tokens.
func Slots(message string, n, ellipsis int) (slots []string, ok bool) {
	type token struct {
		text       string
		start, end int
	}
	var tokens []token
	for i := 0; i < len(message); {
		c := message[i]
		if c == ' ' || c == '\t' || c == '\r' || c == '\n' {
			i++
			continue
		}
		start := i
		closer := byte(0)
		switch c {
		case '[':
			closer = ']'
		case '"':
			closer = '"'
		}
		if closer != 0 {
			j := i + 1
			for j < len(message) && message[j] != closer {
				if message[j] == '\\' && closer == '"' && j+1 < len(message) {
					j++
				}
				j++
			}
			if j < len(message) {
				tokens = append(tokens, token{message[i+1 : j], start, j + 1})
				i = j + 1
				continue
			}
		}
		for i < len(message) && !strings.ContainsRune(" \t\r\n", rune(message[i])) {
			i++
		}
		tokens = append(tokens, token{message[start:i], start, i})
	}
	need := n
	if ellipsis >= 0 {
		need = n - 1
	}
	if n <= 0 || ellipsis >= n || len(tokens) < need {
		return nil, false
	}
	slots = make([]string, n)
	span := func(from, to int) string { // tokens[from:to] as they stand in the message
		switch to - from {
		case 0:
			return ""
		case 1:
			return tokens[from].text
		}
		return message[tokens[from].start:tokens[to-1].end]
	}
	if ellipsis < 0 {
		for i := range n - 1 {
			slots[i] = tokens[i].text
		}
		slots[n-1] = span(n-1, len(tokens))
		return slots, true
	}
	after := n - ellipsis - 1
	for i := range ellipsis {
		slots[i] = tokens[i].text
	}
	slots[ellipsis] = span(ellipsis, len(tokens)-after)
	for i := range after {
		slots[ellipsis+1+i] = tokens[len(tokens)-after+i].text
	}
	return slots, true
}

func arith(f func(a, b float64) float64) func([]event.Value) event.Value {
	return func(args []event.Value) event.Value {
		a, aok := looseNumber(args[0])
		b, bok := looseNumber(args[1])
		if !aok || !bok {
			return event.Value{}
		}
		return Number(f(a, b))
	}
}

func numeric(f func(float64) float64) func([]event.Value) event.Value {
	return func(args []event.Value) event.Value {
		a, ok := looseNumber(args[0])
		if !ok {
			return event.Value{}
		}
		return Number(f(a))
	}
}

func extreme(sign int) func([]event.Value) event.Value {
	return func(args []event.Value) event.Value {
		var best event.Value
		for _, a := range args {
			f, ok := looseNumber(a)
			if !ok {
				continue
			}
			n := Number(f)
			if best.Missing() || event.Order(n, best)*sign > 0 {
				best = n
			}
		}
		return best
	}
}

func text(f func(string) event.Value) func([]event.Value) event.Value {
	return func(args []event.Value) event.Value {
		if args[0].Missing() {
			return event.Value{}
		}
		return f(args[0].Text())
	}
}

func trim(f func(s, cutset string) string) func([]event.Value) event.Value {
	return func(args []event.Value) event.Value {
		if args[0].Missing() {
			return event.Value{}
		}
		set := " \t\r\n"
		if len(args) == 2 {
			set = args[1].Text()
		}
		return event.String(f(args[0].Text(), set))
	}
}

func substr(args []event.Value) event.Value {
	if args[0].Missing() {
		return event.Value{}
	}
	r := []rune(args[0].Text())
	start, ok := looseNumber(args[1])
	if !ok || math.IsNaN(start) {
		return event.Value{}
	}
	from := int(min(max(start, 0), float64(len(r))))
	to := len(r)
	if len(args) == 3 {
		n, ok := looseNumber(args[2])
		if !ok || math.IsNaN(n) {
			return event.Value{}
		}
		to = int(min(max(float64(from)+n, float64(from)), float64(len(r))))
	}
	return event.String(string(r[from:to]))
}
