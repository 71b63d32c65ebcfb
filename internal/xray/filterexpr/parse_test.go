package filterexpr_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/trefoil-o11y/trefoil/internal/query/querytest"
	"github.com/trefoil-o11y/trefoil/internal/syntax"
	"github.com/trefoil-o11y/trefoil/internal/xray/filterexpr"
)

// same compares trees without the places of their nodes.
func same(t testing.TB, a, b filterexpr.Node) {
	t.Helper()
	opts := []cmp.Option{cmpopts.IgnoreTypes(syntax.Span{}), cmpopts.EquateEmpty(), cmp.Exporter(func(reflect.Type) bool { return true })}
	if diff := cmp.Diff(a, b, opts...); diff != "" {
		t.Errorf("%s parses to another tree:\n%s", a, diff)
	}
}

// TestPrinting parses, prints and parses every example of the corpus that package xray runs.
func TestPrinting(t *testing.T) {
	n := 0
	for _, c := range querytest.Corpus(t, "../testdata/filters.txt") {
		tree, err := filterexpr.Parse(c.Query)
		if err != nil {
			if c.Fail == "" {
				t.Errorf("%s: %v", c.Name, err)
			}
			continue
		}
		n++
		again, err := filterexpr.Parse(tree.String())
		if err != nil {
			t.Errorf("%s: %s: %v", c.Name, tree, err)
			continue
		}
		same(t, tree, again)
	}
	if n < 50 {
		t.Errorf("only %d examples", n)
	}
}

// TestTexts parses what a line of the corpus can not hold.
func TestTexts(t *testing.T) {
	for src, want := range map[string]string{
		"name =\n\t\"a\nb\"\r\n OR\n ok": "",
		"  \n":                           "",
		"name = \"a\x00\"":               "1:10: NUL in the expression",
		"ok\x00":                         "1:3: NUL in the expression",
		"name = \"a\nb":                  "1:8: unterminated string",
	} {
		if _, err := filterexpr.Parse(src); (err == nil) != (want == "") || err != nil && err.Error() != want {
			t.Errorf("%q: %v, want %s", src, err, want)
		}
	}
}

func TestSelector(t *testing.T) {
	for src, want := range map[string]string{
		`id(name: "a", type: "b")`:                `service(id(name: "a", type: "b"))`,
		`service("a")`:                            `service("a")`,
		`edge("a", id(name:"b", type: "client"))`: `edge("a", id(name: "b", type: "client"))`,
	} {
		n, err := filterexpr.ParseSelector(src)
		if err != nil {
			t.Errorf("%s: %v", src, err)
		} else if n.String() != want {
			t.Errorf("%s = %s, want %s", src, n, want)
		}
	}
	for _, src := range []string{"", "ok", `service("a") { ok }`, `annotation.a = 1`, `id("a")`, `service("a") OR service("b")`} {
		if n, err := filterexpr.ParseSelector(src); err == nil {
			t.Errorf("%s = %s, want an error", src, n)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, c := range querytest.Corpus(&testing.T{}, "../testdata/filters.txt") {
		f.Add(c.Query)
	}
	f.Add("annotation[\"]\"] = #{\"a\\u0000\":[1e9,null]}")
	f.Add(strings.Repeat("!", 100) + "ok")
	f.Fuzz(func(t *testing.T, src string) {
		tree, err := filterexpr.Parse(src)
		if err != nil {
			if syntax.AsError(err) == nil {
				t.Fatalf("%v is not a syntax error", err)
			}
			return
		}
		text := tree.String()
		if len(text) > 8000 {
			return
		}
		again, err := filterexpr.Parse(text)
		if err != nil {
			t.Fatalf("%q prints as %q: %v", src, text, err)
		}
		if again.String() != text {
			t.Fatalf("%q prints as %q, then as %q", src, text, again)
		}
		// Its meaning may be refused, not crash.
		_, _ = filterexpr.Lower(tree, src, nil)
	})
}
