package cwlogs

import (
	"strings"
	"testing"
)

// FuzzDetectors compares what detectors find with what their expressions match.
func FuzzDetectors(f *testing.F) {
	for _, s := range []string{
		"ann@example.com", "a@b", "10.0.0.1 and 1.2.3.4.5", "1.2.3", "fe80:0:0:0:0:0:0:1", `{"a":1,"b":2}`, "4111 1111 1111 1111", "4111-1111-1111-1111x", "4111  1111 1111 1111",
		"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "555-123-4567", "(555) 123.4567", "(555)123 4567", "+1 555 123 4567", "123-45-6789", "2026-11-24 12:00:00", "0123-45-6789", "1-23-4567",
	} {
		f.Add(s)
		f.Add("é " + s + " é" + s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for name, d := range managed {
			places := d.find(text)
			var want int
			for _, at := range d.re.FindAllStringIndex(text, -1) {
				match := text[at[0]:at[1]]
				if d.holds != nil && !d.holds(match) {
					continue
				}
				if want >= len(places) || places[want][0] != at[0] || places[want][1] != at[1] {
					t.Fatalf("%s finds %v in %q, not %q", name, places, text, match)
				}
				want++
			}
			if len(places) != want {
				t.Fatalf("%s finds %v in %q", name, places, text)
			}
			hidden := (&masker{detectors: []detector{d}}).mask(text)
			if len([]rune(hidden)) != len([]rune(text)) || want == 0 != (hidden == text) && !strings.Contains(text, "*") {
				t.Fatalf("%s makes %q of %q", name, hidden, text)
			}
		}
	})
}
