package filterpattern_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/trefoil-o11y/trefoil/internal/cwlogs/filterpattern"
	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/query/querytest"
)

type message string

func (m message) Get(name string) event.Value {
	if name == "@message" {
		return event.String(string(m))
	}
	return event.Value{}
}

func (m message) Each(func(string, event.Value) bool) {}

func lower(t *testing.T, src string) (filterpattern.Node, query.Expr, error) {
	t.Helper()
	n, err := filterpattern.Parse(src)
	if err != nil {
		return nil, nil, err
	}
	e, err := filterpattern.Lower(n, query.Field{Name: "@message"})
	if err != nil {
		t.Fatalf("%q parses but does not lower: %v", src, err)
	}
	if e != nil {
		if err := query.CheckExpr(e); err != nil {
			t.Fatalf("%q: %v", src, err)
		}
	}
	return n, e, nil
}

func matches(e query.Expr, messages []string) string {
	var list []string
	for i, m := range messages {
		if query.Holds(e, message(m)) {
			list = append(list, fmt.Sprint(i+1))
		}
	}
	return strings.Join(list, " ")
}

func TestCorpus(t *testing.T) {
	for _, c := range querytest.Corpus(t, "testdata/*.txt") {
		t.Run(c.Name, func(t *testing.T) {
			n, e, err := lower(t, c.Query)
			if c.Fail != "" {
				if err == nil || err.Error() != c.Fail {
					t.Fatalf("%s\ngot  %v\nwant %s", c.Query, err, c.Fail)
				}
				return
			}
			if err != nil {
				t.Fatalf("%s\n%v", c.Query, err)
			}
			if got := matches(e, c.Load); got != strings.Join(c.Want, " ") {
				t.Errorf("%s\ngot  %s\nwant %s", c.Query, got, strings.Join(c.Want, " "))
			}
			again, _, err := lower(t, n.String())
			if err != nil || again.String() != n.String() {
				t.Errorf("%s prints as %s, which reads as %v (%v)", c.Query, n, again, err)
			}
		})
	}
}

func TestExtract(t *testing.T) {
	for _, c := range []struct {
		pattern, message string
		want             map[string]string
	}{
		{`ERROR`, `ERROR 1`, map[string]string{}},
		{`{ $.a.b = * && $.list[0] > 1 }`, `{"a":{"b":"x"},"list":[2.5]}`, map[string]string{"$.a.b": "x", "$.list[0]": "2.5"}},
		{`{ $.flag IS TRUE || $.none NOT EXISTS || $.zero IS NULL }`, `{"flag":true,"zero":null}`, map[string]string{"$.flag": "true"}},
		{`[ip, , code=4*, ...]`, `1.2.3.4 u 404 a b`, map[string]string{"$ip": "1.2.3.4", "$2": "u", "$code": "404", "$4": "a b"}},
		{`[ts, rest]`, `[a b] "c d" e`, map[string]string{"$ts": "a b", "$rest": `"c d" e`}},
	} {
		n, err := filterpattern.Parse(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got := filterpattern.Extract(n, c.message); !maps.Equal(got, c.want) {
			t.Errorf("%s of %s: got %v, want %v", c.pattern, c.message, got, c.want)
		}
	}
}

func TestLength(t *testing.T) {
	if _, err := filterpattern.Parse(strings.Repeat("é", 1024)); err != nil {
		t.Error(err)
	}
	if _, err := filterpattern.Parse(strings.Repeat("é", 1025)); err == nil {
		t.Error("a pattern of 1025 characters was taken")
	}
}

func FuzzParse(f *testing.F) {
	for _, c := range querytest.Corpus(&testing.T{}, "testdata/*.txt") {
		f.Add(c.Query)
	}
	f.Fuzz(func(t *testing.T, src string) {
		n, e, err := lower(t, src)
		if err != nil {
			return
		}
		query.Holds(e, message(`{"a":[1,"b"]}`))
		filterpattern.Extract(n, `a "b c" [d]`)
		again, _, err := lower(t, n.String())
		if err != nil || again.String() != n.String() {
			t.Errorf("%q prints as %q, which reads as %v (%v)", src, n, again, err)
		}
	})
}
