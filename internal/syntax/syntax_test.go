package syntax_test

import (
	"testing"

	"github.com/trefoil-o11y/trefoil/internal/syntax"
)

func TestErrorPosition(t *testing.T) {
	src := "a b\nü | x"
	s := syntax.Scanner{Src: src}
	err := s.Errorf(syntax.Span{Start: 7, End: 8}, "unexpected %q", "|")
	if got, want := err.Error(), `2:3: unexpected "|"`; got != want {
		t.Errorf("Error() = %s, want %s", got, want)
	}
}

func TestQuoted(t *testing.T) {
	for src, want := range map[string]string{`"a\"b" x`: `a"b`, `"a\\b"`: `a\b`, `"a\nb"`: `a\nb`, `"ü"`: "ü"} {
		s := syntax.Scanner{Src: src}
		got, err := s.Quoted(nil)
		if err != nil || got != want {
			t.Errorf("Quoted(%s) = %q, %v; want %q", src, got, err, want)
		}
	}
	s := syntax.Scanner{Src: `"abc\`}
	if _, err := s.Quoted(nil); err == nil {
		t.Error("an unterminated string was read")
	}
}

func TestNumber(t *testing.T) {
	for src, want := range map[string]string{"12.5e-3x": "12.5e-3", "1.": "1", ".5": ".5", "1e": "1", "x": "", ".": ""} {
		s := syntax.Scanner{Src: src}
		if got := s.Number(); got != want {
			t.Errorf("Number(%q) = %q, want %q", src, got, want)
		}
	}
}
