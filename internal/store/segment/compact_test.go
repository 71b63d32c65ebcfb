package segment

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/query/querytest"
)

// contents returns every row of the store as text, sorted.
func contents(t *testing.T, s *Store) []string {
	t.Helper()
	res, err := s.Query(t.Context(), &query.Query{})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, r := range res.Rows {
		var fields []string
		for i, v := range r {
			if !v.Missing() {
				fields = append(fields, fmt.Sprintf("%s=%v:%s", res.Columns[i], v.Kind(), v.Text()))
			}
		}
		slices.Sort(fields)
		out = append(out, fmt.Sprint(fields))
	}
	slices.Sort(out)
	return out
}

// TestCompaction merges segments of several datasets, some fields of which overflow, and finds
// every row as it was, also after a restart; what was dropped is gone from the files.
func TestCompaction(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	rnd := rand.New(rand.NewPCG(1, 2))
	for round := range 10 {
		batches := querytest.RandomBatches(rnd, 300, 1, 2, 3)
		b := event.NewBuilder()
		for row := range 3 {
			b.Add(event.Header{Dataset: 4, Time: int64(round*10 + row), Trace: event.TraceID{9, byte(round)}})
			for i := range 700 { // different ones in each round: more than a segment has columns for
				b.SetString(fmt.Sprintf("wide.%d.%d", round%2, i), fmt.Sprintf("%d-%d-%d", round, row, i))
			}
			b.SetInt(fmt.Sprintf("wide.%d.1", round%2), int64(round))
		}
		batches = append(batches, b.Batch())
		b.Release()
		if err := s.Append(t.Context(), batches); err != nil {
			t.Fatal(err)
		}
		flushed(t, s)
	}
	before := contents(t, s)
	if err := s.Drop(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	want := contents(t, s)
	if len(want) == len(before) {
		t.Fatal("nothing was dropped")
	}
	s.mu.Lock()
	files := slices.Clone(s.files)
	s.mu.Unlock()
	if err := s.merge(t.Context(), files); err != nil {
		t.Fatal(err)
	}
	if u := s.Usage(); u.Segments != 1 || u.Events != int64(len(want)) {
		t.Errorf("%d segments with %d events, want 1 with %d", u.Segments, u.Events, len(want))
	}
	if got := contents(t, s); !slices.Equal(got, want) {
		t.Errorf("after the merge: %s", firstDifference(got, want))
	}
	closeStore(t, s)
	s = openStore(t, dir)
	defer closeStore(t, s)
	if got := contents(t, s); !slices.Equal(got, want) {
		t.Errorf("after a restart: %s", firstDifference(got, want))
	}
}

func firstDifference(got, want []string) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("row %d of %d is\n%s\nwant (of %d)\n%s", i, len(got), got[i], len(want), want[i])
		}
	}
	return fmt.Sprintf("%d rows, want %d", len(got), len(want))
}

// TestCandidates says which segments are merged.
func TestCandidates(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	defer closeStore(t, s)
	for range compactFew - 1 {
		appendEvents(t, s, 3)
		flushed(t, s)
	}
	if got := s.candidates(time.Now()); got != nil {
		t.Errorf("%d small segments are merged, %d are too few", len(got), compactFew-1)
	}
	appendEvents(t, s, 3)
	// The store may merge by itself from now on.
	flushed(t, s)
	if err := s.compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := count(t, s); n != 3*compactFew {
		t.Errorf("%d events, want %d", n, 3*compactFew)
	}
}

// TestBurst says when merges wait for events that come in.
func TestBurst(t *testing.T) {
	now := time.Now()
	segments := func(n, rows int, age time.Duration) (out []*file) {
		for range n {
			out = append(out, &file{rows: rows, written: now.Add(-age)})
		}
		return out
	}
	for _, c := range []struct {
		what  string
		files []*file
		want  bool
	}{
		{"few large segments at once", segments(burstSegments-1, 100_000, time.Second), false},
		{"many", segments(burstSegments, 100_000, time.Second), true},
		{"many a while ago", segments(burstSegments, 100_000, burstAge), false},
		{"many small ones", segments(burstSegments, smallRows-1, time.Second), false},
		{"so many that they must be merged", append(segments(burstBacklog, 100_000, time.Hour), segments(burstSegments, 100_000, time.Second)...), false},
		{"beside many that are done", append(segments(burstBacklog, doneRows, time.Hour), segments(burstSegments, 100_000, time.Second)...), true},
	} {
		if got := burst(c.files, now); got != c.want {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
	}
	for _, c := range []struct {
		n, rows            int
		quiet, burst, want bool
	}{
		{compactFew, doneRows, false, false, true},
		{compactFew, doneRows, false, true, false},
		{compactFew, doneRows, true, true, true},
		{compactFew, compactFew * 3, false, true, true},
		{compactFew - 1, doneRows, true, false, false},
		{compactFew, doneRows - 1, false, false, false},
		{compactMany, doneRows - 1, false, false, true},
		{compactMany, doneRows - 1, false, true, false},
	} {
		if got := due(c.n, c.rows, c.quiet, c.burst); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// TestAgreementAfterCompaction compares random queries over merged segments with the oracle.
func TestAgreementAfterCompaction(t *testing.T) {
	s := openStore(t, t.TempDir())
	defer closeStore(t, s)
	rnd := rand.New(rand.NewPCG(3, 4))
	var all []*event.Batch
	for range 6 {
		batches := querytest.RandomBatches(rnd, 400, 1, 2)
		if err := s.Append(t.Context(), batches); err != nil {
			t.Fatal(err)
		}
		all = append(all, batches...)
		flushed(t, s)
	}
	s.mu.Lock()
	files := slices.Clone(s.files)
	s.mu.Unlock()
	if err := s.merge(t.Context(), files[:4]); err != nil { // two stay apart
		t.Fatal(err)
	}
	rows := querytest.Rows(all...)
	for i := range 300 {
		q, ordered := querytest.RandomQuery(rnd, 1, 2)
		want, err := querytest.Oracle(q, rows)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Query(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if d := querytest.Diff(got, want, ordered); d != "" {
			t.Fatalf("query %d, stages %v: %s", i, q.Stages, d)
		}
	}
}
