package segment

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/trefoil-o11y/trefoil/internal/event"
)

// TestDamageIsNeverAPanic flips a bit of each byte of a segment in turn and reads all of it.
func TestDamageIsNeverAPanic(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	b := event.NewBuilder()
	defer b.Release()
	for i := range 50 {
		b.Add(event.Header{Dataset: 1, Time: int64(i), Trace: event.TraceID{1, byte(i)}})
		b.SetString("s", "x")
		b.SetInt("i", int64(i))
		b.SetFloat("f", float64(i))
		b.SetBool("b", i%2 == 0)
	}
	if err := s.Append(t.Context(), []*event.Batch{b.Batch()}); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	data, err := os.ReadFile(s.segmentPath(0))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "0.parquet")
	read := func() (rows int) {
		f, err := openFile(path, 0)
		if err != nil {
			return 0
		}
		defer f.release()
		sc := scanner{dicts: newDicts(0)}
		for _, g := range f.Groups {
			chunks, err := f.Chunks(g)
			if err != nil {
				return 0
			}
			u := &unit{file: f, group: g, chunks: chunks, rows: g.Rows}
			sc.enter(u)
			inTraces{ids: map[event.TraceID]struct{}{{9}: {}}}.may(&sc)
			for page := range u.pages() {
				sc.turn(page)
				at := make([]int, sc.n)
				for i := range at {
					at[i] = i
				}
				rows += len(sc.rowsOf(at, nil, true))
				if sc.err != nil {
					return 0
				}
			}
		}
		return rows
	}
	for i := range data {
		mask := byte(0x01)
		if i%2 == 0 {
			mask = 0x80
		}
		data[i] ^= mask
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		if got := read(); got > 50 {
			t.Errorf("byte %d: %d events of 50", i, got)
		}
		data[i] ^= mask
	}
}
