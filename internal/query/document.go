package query

import (
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/trefoil-o11y/trefoil/internal/event"
)

// Documents are JSON values of any type, held as their compact text in a string. Languages know
// of which expressions the values are documents: json_scalar makes an ordinary value of one,
// json_show what is shown of it.

var documentOptions = []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}

// documentFunctions are the functions that read or make documents.
var documentFunctions = map[string]function{
	// json_parse(text) is the object or array that the text is.
	"json_parse": {1, 1, text(parseDocument)},
	// json_get(document, path) is the value at a path of names and indexes joined by dots. Names
	// may hold dots themselves.
	"json_get": {2, 2, func(args []event.Value) event.Value {
		if args[0].Kind() != event.KindString {
			return event.Value{}
		}
		return rawValue(getAt(args[0].Str(), args[1].Str(), 0))
	}},
	"json_scalar": {1, 1, func(args []event.Value) event.Value { return documentScalar(args[0]) }},
	"json_show": {1, 1, func(args []event.Value) event.Value {
		if v := documentScalar(args[0]); !v.Missing() {
			return v
		}
		return args[0]
	}},
	// json_make(value) is the document of an ordinary value.
	"json_make": {1, 1, func(args []event.Value) event.Value { return makeDocument(args[0]) }},
	"json_size": {1, 1, func(args []event.Value) event.Value {
		n := int64(0)
		if !elements(args[0].Str(), func(string) bool { n++; return true }) {
			return event.Value{}
		}
		return event.Int(n)
	}},
	// json_has(list, value) holds when an element equals the value, numbers by their magnitude.
	"json_has": {2, 2, func(args []event.Value) event.Value {
		found := false
		elements(args[0].Str(), func(e string) bool {
			found = compare(Eq, Loose, documentScalar(event.String(e)), args[1])
			return !found
		})
		return event.Bool(found)
	}},
	// split(text, separator) is the list of the parts; an empty separator parts characters.
	"split": {2, 2, func(args []event.Value) event.Value {
		if args[0].Missing() || args[1].Missing() {
			return event.Value{}
		}
		return listOf(strings.Split(args[0].Text(), args[1].Text()))
	}},
	// logfmt(text) is the object of the text's pairs, as in level=info msg="all is well".
	"logfmt": {1, 1, text(parseLogfmt)},
	// csv(text) is the list of the fields of a line.
	"csv": {1, 1, text(func(s string) event.Value { return listOf(csvFields(s)) })},
}

func parseDocument(s string) event.Value {
	s = strings.TrimLeft(s, " \t\r\n")
	if s == "" || s[0] != '{' && s[0] != '[' {
		return event.Value{}
	}
	v := jsontext.Value(s)
	if v.Compact(documentOptions...) != nil {
		return event.Value{}
	}
	return event.String(string(v))
}

// rawValue is the value of a document's part; null is missing.
func rawValue(raw string) event.Value {
	if raw == "" || raw == "null" {
		return event.Value{}
	}
	return event.String(raw)
}

func documentScalar(doc event.Value) event.Value {
	raw := doc.Str()
	if doc.Kind() != event.KindString || raw == "" {
		return event.Value{}
	}
	switch raw[0] {
	case '{', '[', 'n':
		return event.Value{}
	case 't', 'f':
		return event.Bool(raw == "true")
	case '"':
		text, err := jsontext.AppendUnquote(nil, raw)
		if err != nil && len(text) == 0 {
			return event.Value{}
		}
		return event.String(string(text))
	}
	return NumberValue(raw)
}

func makeDocument(v event.Value) event.Value {
	switch v.Kind() {
	case event.None:
		return v
	case event.KindString:
		return event.String(string(appendJSON(nil, v.Str())))
	case event.KindFloat:
		// What JSON has no number for stays text.
		if f := v.Float(); f-f != 0 {
			return event.String(string(appendJSON(nil, v.Text())))
		}
	}
	return event.String(v.Text())
}

func appendJSON(dst []byte, s string) []byte {
	dst, _ = jsontext.AppendQuote(dst, s) // what is not UTF-8 is replaced
	return dst
}

func listOf(parts []string) event.Value {
	b := []byte{'['}
	for i, p := range parts {
		if i > 0 {
			b = append(b, ',')
		}
		if b = appendJSON(b, p); len(b) > maxText {
			return event.Value{}
		}
	}
	return event.String(string(append(b, ']')))
}

// elements calls yield for the elements of a list until it returns false; it reports whether raw
// is a list.
func elements(raw string, yield func(raw string) bool) bool {
	if !strings.HasPrefix(raw, "[") {
		return false
	}
	d := jsontext.NewDecoder(strings.NewReader(raw), documentOptions...)
	if _, err := d.ReadToken(); err != nil {
		return false
	}
	for d.PeekKind() != ']' {
		v, err := d.ReadValue()
		if err != nil {
			return false
		}
		if !yield(string(v)) {
			return true
		}
	}
	return true
}

// getAt returns the text of the value at a path, "" when there is none.
func getAt(raw, path string, depth int) string {
	if path == "" {
		return raw
	}
	if raw == "" || depth > maxJSONDepth {
		return ""
	}
	if raw[0] == '[' {
		step, rest, _ := strings.Cut(path, ".")
		at, err := strconv.Atoi(step)
		if err != nil || at < 0 {
			return ""
		}
		found := ""
		elements(raw, func(e string) bool {
			if at == 0 {
				found = getAt(e, rest, depth+1)
			}
			at--
			return at >= 0
		})
		return found
	}
	if raw[0] != '{' {
		return ""
	}
	d := jsontext.NewDecoder(strings.NewReader(raw), documentOptions...)
	if _, err := d.ReadToken(); err != nil {
		return ""
	}
	found := ""
	for d.PeekKind() == '"' {
		tok, err := d.ReadToken()
		if err != nil {
			return ""
		}
		rest, ok := strings.CutPrefix(path, tok.String())
		if ok && rest != "" {
			rest, ok = strings.CutPrefix(rest, ".")
			ok = ok && rest != ""
		}
		if !ok {
			if d.SkipValue() != nil {
				return ""
			}
			continue
		}
		v, err := d.ReadValue()
		if err != nil {
			return ""
		}
		// The last of equal names counts.
		if got := getAt(string(v), rest, depth+1); got != "" {
			found = got
		}
	}
	return found
}

// parseLogfmt reads pairs of key=value or key="value" and keys alone, which are true.
func parseLogfmt(s string) event.Value {
	b := []byte{'{'}
	pairs := 0
	for i := 0; i < len(s); {
		if s[i] <= ' ' {
			i++
			continue
		}
		start := i
		for i < len(s) && s[i] > ' ' && s[i] != '=' && s[i] != '"' {
			i++
		}
		key := s[start:i]
		if key == "" { // what can not be a key
			i++
			continue
		}
		value, pair := "", false
		if i < len(s) && s[i] == '=' {
			pair = true
			i++
			if i < len(s) && s[i] == '"' {
				value, i = logfmtQuoted(s, i)
			} else {
				start = i
				for i < len(s) && s[i] > ' ' {
					i++
				}
				value = s[start:i]
			}
			pairs++
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(appendJSON(b, key), ':')
		switch {
		case !pair:
			b = append(b, "true"...)
		default:
			b = appendJSON(b, value)
		}
		if len(b) > maxText {
			return event.Value{}
		}
	}
	if pairs == 0 {
		return event.Value{}
	}
	return event.String(string(append(b, '}')))
}

// logfmtQuoted reads the quoted text at i and returns it and what follows it.
func logfmtQuoted(s string, i int) (string, int) {
	var b strings.Builder
	for i++; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), i + 1
		case '\\':
			if i+1 == len(s) {
				continue
			}
			i++
			switch s[i] {
			case 'n':
				b.WriteByte('\n')
			case 't':
				b.WriteByte('\t')
			case 'r':
				b.WriteByte('\r')
			default:
				b.WriteByte(s[i])
			}
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), i
}

// csvFields parts a line at its commas; a field in quotes may hold them, and doubled quotes.
func csvFields(s string) []string {
	var out []string
	for {
		s = strings.TrimLeft(s, " \t")
		if !strings.HasPrefix(s, `"`) {
			f, rest, more := strings.Cut(s, ",")
			out = append(out, strings.TrimRight(f, " \t\r\n"))
			if !more {
				return out
			}
			s = rest
			continue
		}
		var b strings.Builder
		i := 1
		for i < len(s) {
			if s[i] == '"' {
				if i+1 >= len(s) || s[i+1] != '"' {
					break
				}
				i++
			}
			b.WriteByte(s[i])
			i++
		}
		out = append(out, b.String())
		_, rest, more := strings.Cut(s[min(i+1, len(s)):], ",")
		if !more {
			return out
		}
		s = rest
	}
}
