package query

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/trefoil-o11y/trefoil/internal/event"
)

// maxJSONDepth bounds how deep a path is followed into a document.
const maxJSONDepth = 100

// any reports whether where holds for one of the values at the path.
func (r JSONValues) any(source event.Value, where Expr) bool {
	s := source.Str()
	if !strings.HasPrefix(strings.TrimLeft(s, " \t\r\n"), "{") {
		return false
	}
	raw := jsontext.Value(s)
	if !raw.IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) {
		return false
	}
	return anyAt([]byte(s), r.Path, func(v jsonScalar) bool { return Holds(where, v) })
}

// JSONScalars calls yield for the values at path in a valid JSON text until it returns true,
// and reports whether it did.
func JSONScalars(doc string, path []JSONStep, yield func(kind string, v event.Value) bool) bool {
	if !jsontext.Value(doc).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) {
		return false
	}
	return anyAt([]byte(doc), path, func(v jsonScalar) bool { return yield(v.kind, v.value) })
}

// jsonScalar is the row of one candidate.
type jsonScalar struct {
	kind  string
	value event.Value
}

func (v jsonScalar) Get(name string) event.Value {
	switch name {
	case "":
		return v.value
	case "type":
		return event.String(v.kind)
	}
	return event.Value{}
}

func (v jsonScalar) Each(yield func(string, event.Value) bool) {
	if yield("type", event.String(v.kind)) && !v.value.Missing() {
		yield("", v.value)
	}
}

func anyAt(raw []byte, path []JSONStep, hit func(jsonScalar) bool) bool {
	if len(path) > maxJSONDepth {
		return false
	}
	d := jsontext.NewDecoder(strings.NewReader(string(raw)), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	return descend(d, path, hit)
}

// descend consumes exactly one value from d.
func descend(d *jsontext.Decoder, path []JSONStep, hit func(jsonScalar) bool) bool {
	kind := d.PeekKind()
	if len(path) == 0 {
		return leaf(d, kind, hit)
	}
	step := path[0]
	switch kind {
	case '{':
		if _, err := d.ReadToken(); err != nil {
			return false
		}
		found := false
		for d.PeekKind() != '}' {
			tok, err := d.ReadToken()
			if err != nil {
				return found
			}
			if step.Any || step.Key != "" && tok.String() == step.Key {
				if descend(d, path[1:], hit) {
					return true
				}
			} else if err := d.SkipValue(); err != nil {
				return found
			}
		}
		_, _ = d.ReadToken()
		return found
	case '[':
		if _, err := d.ReadToken(); err != nil {
			return false
		}
		for i := 0; d.PeekKind() != ']'; i++ {
			if d.PeekKind() == jsontext.KindInvalid {
				return false
			}
			if step.Any || step.Key == "" && step.Index == i {
				if descend(d, path[1:], hit) {
					return true
				}
			} else if err := d.SkipValue(); err != nil {
				return false
			}
		}
		_, _ = d.ReadToken()
		return false
	default:
		_ = d.SkipValue()
		return false
	}
}

func leaf(d *jsontext.Decoder, kind jsontext.Kind, hit func(jsonScalar) bool) bool {
	switch kind {
	case '{', '[':
		name := "object"
		if kind == '[' {
			name = "array"
		}
		if d.SkipValue() != nil {
			return false
		}
		return hit(jsonScalar{kind: name})
	}
	tok, err := d.ReadToken()
	if err != nil {
		return false
	}
	switch kind {
	case '"':
		return hit(jsonScalar{"string", event.String(tok.String())})
	case '0':
		return hit(jsonScalar{"number", NumberValue(tok.String())})
	case 't', 'f':
		return hit(jsonScalar{"boolean", event.Bool(kind == 't')})
	default:
		return hit(jsonScalar{kind: "null"})
	}
}
