package main

import (
	"strings"
	"testing"
)

func TestLedgerFindsWhatDiffers(t *testing.T) {
	for _, x := range []struct {
		name  string
		state state
		found int
		want  string // "" when nothing differs
	}{
		{"whole", stored, 5, ""},
		{"lost", stored, 0, "lost"},
		{"lost in part", stored, 4, "lost"},
		{"twice", stored, 10, "twice"},
		{"no answer, there", unknown, 5, ""},
		{"no answer, not there", unknown, 0, ""},
		{"no answer, in part", unknown, 3, "in part"},
		{"no answer, twice", unknown, 10, "twice"},
		{"deleted", gone, 0, ""},
		{"deleted and back", gone, 5, "must be gone"},
	} {
		var l ledger
		b := l.begin(batch{way: "otlp", events: 5})
		l.end(b, x.state, "deleted")
		got := l.compare(map[int]int{b.id: x.found})
		if x.want == "" && len(got) > 0 || x.want != "" && (len(got) != 1 || !strings.Contains(got[0], x.want)) {
			t.Errorf("%s: differences %q, want %q", x.name, got, x.want)
		}
	}
}

func TestLedgerKeepsWhatItFound(t *testing.T) {
	var l ledger
	there, not := l.begin(batch{events: 2}), l.begin(batch{events: 2})
	l.end(there, unknown, "")
	l.end(not, unknown, "")
	if d := l.compare(map[int]int{there.id: 2}); len(d) > 0 {
		t.Fatalf("differences %q", d)
	}
	if d := l.compare(map[int]int{not.id: 2}); len(d) != 2 {
		t.Errorf("a batch that vanished and one that came back: differences %q, want both", d)
	}
	if d := l.compare(map[int]int{there.id: 2, 7: 1}); len(d) != 1 || !strings.Contains(d[0], "never sent") {
		t.Errorf("an unheard-of batch: differences %q", d)
	}
}

func TestLedgerRemoves(t *testing.T) {
	var l ledger
	a, b := l.begin(batch{events: 1, group: "a"}), l.begin(batch{events: 1, group: "b"})
	l.end(a, stored, "")
	l.end(b, stored, "")
	l.remove("group deleted", func(b *batch) bool { return b.group == "a" })
	if d := l.compare(map[int]int{b.id: 1}); len(d) > 0 {
		t.Errorf("differences %q", d)
	}
	if x, ok := l.pick(5, func(*batch) bool { return true }); !ok || x.id != b.id {
		t.Errorf("picked %+v, want batch %d", x, b.id)
	}
	if n := l.tally(); n.events != 1 || n.states[gone] != 1 {
		t.Errorf("tally %+v", n)
	}
}
