package transform

import (
	"encoding/json"
	"strconv"
	"strings"
)

// source is the text that a parser reads: the message, or the text at a path.
func (d *document) source(p, message string) (string, error) {
	if p == "" || p == "@message" {
		return message, nil
	}
	v, ok := d.get(p)
	text, isText := v.(string)
	if !ok || !isText {
		return "", errFit
	}
	return text, nil
}

// get returns what is at a path.
func (d *document) get(p string) (any, bool) {
	var at any = d.root
	for name := range strings.SplitSeq(p, ".") {
		switch v := at.(type) {
		case map[string]any:
			next, ok := v[name]
			if !ok {
				return nil, false
			}
			at = next
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(v) {
				return nil, false
			}
			at = v[i]
		default:
			return nil, false
		}
	}
	return at, true
}

// change puts what f makes of the text at a path in its place, if there is a text.
func (d *document) change(p string, f func(string) any) {
	v, _ := d.get(p)
	if s, ok := v.(string); ok {
		d.set(p, f(s))
	}
}

// set puts a value at a path and makes the objects that lead there. It reports false when something
// that is no object is in the way.
func (d *document) set(p string, value any) bool {
	var at any = d.root
	names := strings.Split(p, ".")
	for i, name := range names {
		last := i == len(names)-1
		switch v := at.(type) {
		case map[string]any:
			if last {
				v[name] = value
				return true
			}
			next, ok := v[name]
			if !ok {
				next = map[string]any{}
				v[name] = next
			}
			at = next
		case []any:
			k, err := strconv.Atoi(name)
			if err != nil || k < 0 || k >= len(v) {
				return false
			}
			if last {
				v[k] = value
				return true
			}
			at = v[k]
		default:
			return false
		}
	}
	return false
}

// remove takes away what is at a path.
func (d *document) remove(p string) {
	parent, name := any(d.root), p
	if i := strings.LastIndexByte(p, '.'); i >= 0 {
		v, ok := d.get(p[:i])
		if !ok {
			return
		}
		parent, name = v, p[i+1:]
	}
	if m, ok := parent.(map[string]any); ok {
		delete(m, name)
	}
}

// merge adds members below a path, or at the root; those that are there stay unless overwrite is set.
func (d *document) merge(p string, members map[string]any, overwrite bool) error {
	into := d.root
	if p != "" {
		if v, ok := d.get(p); ok {
			m, isObject := v.(map[string]any)
			if !isObject {
				if !overwrite {
					return errFit
				}
				m = map[string]any{}
				d.set(p, m)
			}
			into = m
		} else {
			into = map[string]any{}
			if !d.set(p, into) {
				return errFit
			}
		}
	}
	for k, v := range members {
		if _, ok := into[k]; !ok || overwrite {
			into[k] = v
		}
	}
	return nil
}

// text returns the text form of a scalar.
func text(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	default:
		return "", false
	}
}

// clone copies a value, so that a copy does not change with it.
func clone(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			out[k] = clone(x)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = clone(x)
		}
		return out
	default:
		return v
	}
}
