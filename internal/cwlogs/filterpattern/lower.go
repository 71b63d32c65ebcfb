package filterpattern

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
)

// Lower returns the condition that a pattern puts on the text of message; nil when it matches
// all.
func Lower(n Node, message query.Expr) (query.Expr, error) {
	switch n := n.(type) {
	case Terms:
		return lowerTerms(n, message)
	case JSON:
		return lowerJSON(n.Where, message)
	case Delimited:
		return lowerDelimited(n, message)
	default:
		panic(fmt.Sprintf("filterpattern: no such pattern %T", n))
	}
}

func lowerTerms(t Terms, message query.Expr) (query.Expr, error) {
	var all, optional []query.Expr
	for _, x := range t.List {
		var e query.Expr = query.Text{Op: query.Contains, X: message, S: x.Text}
		if x.Regex != nil {
			re, err := x.Regex.compile()
			if err != nil {
				return nil, err
			}
			e = query.Match{X: message, Re: re}
		}
		switch x.Mark {
		case Optional:
			optional = append(optional, e)
		case Exclude:
			all = append(all, query.Not{X: e})
		default:
			all = append(all, e)
		}
	}
	if len(all) == 0 && len(optional) > 0 {
		return query.Or{X: optional}, nil
	}
	return query.All(all...), nil
}

func (r *Regex) compile() (*regexp.Regexp, error) {
	re, err := regexp.Compile(r.Pattern)
	if err != nil {
		return nil, fmt.Errorf("compile %s: %w", r, err)
	}
	return re, nil
}

// candidate is the value that a JSON selector finds, kind its type.
var (
	candidate = query.Field{}
	kind      = query.Field{Name: "type"}
)

func ofKind(names ...string) query.Expr {
	values := make([]event.Value, len(names))
	for i, n := range names {
		values[i] = event.String(n)
	}
	return query.In{X: kind, Values: values}
}

func lowerJSON(c Cond, message query.Expr) (query.Expr, error) {
	at := func(path Selector, where query.Expr) query.Expr {
		return query.Exists{Over: query.JSONValues{Source: message, Path: path}, Where: where}
	}
	switch c := c.(type) {
	case And:
		return both(c.L, c.R, func(l, r query.Expr) query.Expr { return query.And{X: []query.Expr{l, r}} },
			func(c Cond) (query.Expr, error) { return lowerJSON(c, message) })
	case Or:
		return both(c.L, c.R, func(l, r query.Expr) query.Expr { return query.Or{X: []query.Expr{l, r}} },
			func(c Cond) (query.Expr, error) { return lowerJSON(c, message) })
	case Is:
		if c.What == Null {
			return at(c.Path, ofKind("null")), nil
		}
		return at(c.Path, query.Compare{Op: query.Eq, L: candidate, R: query.Const{Value: event.Bool(c.What == True)}}), nil
	case NotExists:
		return query.And{X: []query.Expr{at(nil, query.And{}), query.Not{X: at(c.Path, query.And{})}}}, nil
	case Compare:
		where, err := compareJSON(c)
		if err != nil {
			return nil, err
		}
		return at(c.Path, where), nil
	default:
		panic(fmt.Sprintf("filterpattern: no such condition %T", c))
	}
}

func both(l, r Cond, join func(l, r query.Expr) query.Expr, lower func(Cond) (query.Expr, error)) (query.Expr, error) {
	x, err := lower(l)
	if err != nil {
		return nil, err
	}
	y, err := lower(r)
	if err != nil {
		return nil, err
	}
	return join(x, y), nil
}

var operators = map[Op]query.Op{Eq: query.Eq, Lt: query.Lt, Le: query.Le, Gt: query.Gt, Ge: query.Ge}

func constant(f float64) query.Expr { return query.Const{Value: query.Number(f)} }

// compareJSON returns the condition on a candidate.
func compareJSON(c Compare) (query.Expr, error) {
	n, isNumber := c.Value.number()
	if c.Op != Eq && c.Op != Ne {
		return query.And{X: []query.Expr{ofKind("number"), query.Compare{Op: operators[c.Op], L: candidate, R: constant(n)}}}, nil
	}
	var equal query.Expr
	scalar := ofKind("string", "number")
	switch {
	case c.Value.Regex != nil:
		re, err := c.Value.Regex.compile()
		if err != nil {
			return nil, err
		}
		equal = query.Match{X: candidate, Re: re}
	case c.Value.Text == "*" && !c.Value.Quoted:
		if c.Op == Eq {
			return query.Has{X: candidate}, nil
		}
		equal = query.And{}
	case isNumber:
		equal = query.Or{X: []query.Expr{
			query.Compare{Op: query.Eq, L: candidate, R: constant(n)}, query.Compare{Op: query.Eq, L: candidate, R: query.Str(c.Value.Text)},
		}}
	case strings.Contains(c.Value.Text, "*"):
		equal = query.Glob{X: candidate, Pattern: c.Value.Text}
		if c.Value.Quoted {
			equal = query.And{X: []query.Expr{ofKind("string"), equal}}
		}
	default:
		equal = query.Compare{Op: query.Eq, L: candidate, R: query.Str(c.Value.Text)}
	}
	if c.Op == Ne {
		equal = query.Not{X: equal}
	}
	return query.And{X: []query.Expr{scalar, equal}}, nil
}

// ellipsis returns the slot that takes any number of words, or -1.
func (d Delimited) ellipsis() int {
	for i, f := range d.Fields {
		if f.Ellipsis {
			return i
		}
	}
	return -1
}

func lowerDelimited(d Delimited, message query.Expr) (query.Expr, error) {
	slot := func(i int) query.Expr {
		return query.Call{Fn: "slot", Args: []query.Expr{message, query.Num(int64(i)), query.Num(int64(len(d.Fields))), query.Num(int64(d.ellipsis()))}}
	}
	// A message with too few words has no slot at all, so one test is enough for all.
	all := []query.Expr{query.Has{X: slot(0)}}
	for i, f := range d.Fields {
		if f.Where == nil {
			continue
		}
		e, err := lowerSlot(f.Where, slot(i))
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return query.All(all...), nil
}

func lowerSlot(c Cond, slot query.Expr) (query.Expr, error) {
	lower := func(c Cond) (query.Expr, error) { return lowerSlot(c, slot) }
	switch c := c.(type) {
	case And:
		return both(c.L, c.R, func(l, r query.Expr) query.Expr { return query.And{X: []query.Expr{l, r}} }, lower)
	case Or:
		return both(c.L, c.R, func(l, r query.Expr) query.Expr { return query.Or{X: []query.Expr{l, r}} }, lower)
	case Compare:
		return compareSlot(c, slot)
	default:
		panic(fmt.Sprintf("filterpattern: %T in a field", c))
	}
}

func compareSlot(c Compare, slot query.Expr) (query.Expr, error) {
	n, isNumber := c.Value.number()
	if c.Op != Eq && c.Op != Ne {
		return query.Compare{Op: operators[c.Op], L: query.Call{Fn: "to_number", Args: []query.Expr{slot}}, R: constant(n)}, nil
	}
	var equal query.Expr
	switch {
	case c.Value.Regex != nil:
		re, err := c.Value.Regex.compile()
		if err != nil {
			return nil, err
		}
		equal = query.Match{X: slot, Re: re}
	case isNumber:
		equal = query.Compare{Op: query.Eq, Mode: query.Loose, L: slot, R: constant(n)}
	case strings.Contains(c.Value.Text, "*"):
		equal = query.Glob{X: slot, Pattern: c.Value.Text}
	default:
		equal = query.Compare{Op: query.Eq, L: slot, R: query.Str(c.Value.Text)}
	}
	if c.Op == Ne {
		return query.Not{X: equal}, nil
	}
	return equal, nil
}

// Extract returns the values of a message that matches the pattern: of JSON patterns those at
// the selectors, under the selectors' text; of space-delimited ones those of the slots, as
// $name, or $1, $2, … by their places where they have no name; of terms none.
func Extract(n Node, message string) map[string]string {
	out := map[string]string{}
	switch n := n.(type) {
	case JSON:
		for _, path := range selectors(n.Where, nil) {
			query.JSONScalars(message, path, func(_ string, v event.Value) bool {
				if !v.Missing() {
					out[path.String()] = v.Text()
				}
				return !v.Missing()
			})
		}
	case Delimited:
		slots, _ := query.Slots(message, len(n.Fields), n.ellipsis())
		for i, s := range slots {
			name := n.Fields[i].Name
			if name == "" {
				name = strconv.Itoa(i + 1)
			}
			out["$"+name] = s
		}
	}
	return out
}

// Values returns a function that takes one value out of a message that matches the pattern: of a
// JSON pattern what is at a selector, of a space-delimited one the slot of a name or number, as in
// $bytes or $3. It reports false when the message has no such value. The error says why of can not be
// had with this pattern.
func Values(n Node, of string) (func(message string) (string, bool), error) {
	switch n := n.(type) {
	case JSON:
		path, err := ParseSelector(of)
		if err != nil {
			return nil, err
		}
		return func(message string) (text string, ok bool) {
			query.JSONScalars(message, path, func(_ string, v event.Value) bool {
				if !v.Missing() {
					text, ok = v.Text(), true
				}
				return ok
			})
			return text, ok
		}, nil
	case Delimited:
		at := slices.IndexFunc(n.Fields, func(f Slot) bool { return f.Name != "" && "$"+strings.ToLower(f.Name) == strings.ToLower(of) })
		if i, err := strconv.Atoi(strings.TrimPrefix(of, "$")); err == nil && i >= 1 && i <= len(n.Fields) {
			at = i - 1
		}
		if at < 0 {
			return nil, fmt.Errorf("the pattern has no field %s", of)
		}
		return func(message string) (string, bool) {
			slots, ok := query.Slots(message, len(n.Fields), n.ellipsis())
			if !ok || at >= len(slots) {
				return "", false
			}
			return slots[at], true
		}, nil
	default:
		return nil, fmt.Errorf("the pattern has no field %s: it is neither JSON nor space-delimited", of)
	}
}

func selectors(c Cond, list []Selector) []Selector {
	switch c := c.(type) {
	case And:
		return selectors(c.R, selectors(c.L, list))
	case Or:
		return selectors(c.R, selectors(c.L, list))
	case Compare:
		return append(list, c.Path)
	case Is:
		return append(list, c.Path)
	case NotExists:
		return append(list, c.Path)
	default:
		panic(fmt.Sprintf("filterpattern: no such condition %T", c))
	}
}
