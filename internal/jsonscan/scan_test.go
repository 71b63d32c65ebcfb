package jsonscan_test

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/trefoil-o11y/trefoil/internal/jsonscan"
)

// value reads any value as encoding/json would.
func value(s *jsonscan.Scanner, depth int) (v any, ok bool) {
	switch s.Peek() {
	case '{':
		m := map[string]any{}
		return m, s.Object(depth, func(name []byte) bool {
			key := string(name)
			m[key], ok = value(s, depth+1)
			return ok
		})
	case '[':
		list := []any{}
		ok := s.Array(depth, func() bool {
			e, ok := value(s, depth+1)
			list = append(list, e)
			return ok
		})
		return list, ok
	case '"':
		text, ok := s.Str()
		return string(text), ok
	case 't':
		return true, s.Word("true")
	case 'f':
		return false, s.Word("false")
	case 'n':
		return nil, s.Word("null")
	default:
		text, whole, ok := s.Number()
		if whole == strings.ContainsAny(string(text), ".eE") {
			return nil, false
		}
		return json.Number(text), ok
	}
}

func FuzzScanner(f *testing.F) {
	for _, text := range []string{
		`{}`, ` [ ] `, `null`, `true`, `false`, `nul`, `"`, `"\`, `"\u12`, `"\ud83d\ude00 \ud83d \ud83d\u0041 \udE00"`, `"é\xff\b\f\n\r\t\/\\\""`, "\"\xff\xc3(\xed\xa0\x80\"", "\"\x1f\"", `-0`, `01`, `1.`, `.1`, `1e`, `1E+05`, `-`, `1.5e-3x`,
		`{"a":1,"a":[{"b":"c"},2,null]}`, `{"a":1,}`, `[1,]`, `{"a"}`, `{,}`, `[1 2]`, `{"long names and texts, more than eight bytes":"` + strings.Repeat("x", 100) + `\n"}`,
		strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000), strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001), "\"\x7f\u2028\"", `"A"`, ` `, ``, "\"a\" \x00",
	} {
		f.Add(text)
		if q, err := strconv.Unquote(`"` + strings.ReplaceAll(text, `"`, `\"`) + `"`); err == nil {
			f.Add(q)
		}
	}
	var s, skip jsonscan.Scanner
	f.Fuzz(func(t *testing.T, text string) {
		dec := json.NewDecoder(strings.NewReader(text))
		dec.UseNumber()
		var want any
		valid := json.Valid([]byte(text))
		if valid {
			if err := dec.Decode(&want); err != nil {
				t.Fatal(err)
			}
		}
		s.Reset([]byte(text))
		got, ok := value(&s, 0)
		if ok = ok && s.Ended(); ok != valid {
			t.Fatalf("%q: is JSON: %v, encoding/json says %v", text, ok, valid)
		}
		if skip.Reset([]byte(text)); (skip.Skip(0) && skip.Ended()) != valid {
			t.Fatalf("%q: skipped: %v, encoding/json says %v", text, !valid, valid)
		}
		if ok && !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: %#v, encoding/json says %#v", text, got, want)
		}
	})
}
