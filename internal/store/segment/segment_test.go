package segment_test

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/query/querytest"
	"github.com/trefoil-o11y/trefoil/internal/store"
	"github.com/trefoil-o11y/trefoil/internal/store/segment"
	"github.com/trefoil-o11y/trefoil/internal/store/storetest"
)

func open(t *testing.T, dir string) store.Store {
	t.Helper()
	s, err := segment.Open(t.Context(), segment.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func flush(t *testing.T, s store.Store) {
	t.Helper()
	if err := s.(*segment.Store).Flush(); err != nil {
		t.Fatal(err)
	}
}

func TestContract(t *testing.T) {
	storetest.Run(t, storetest.Subject{Open: open, Flush: flush})
}

func TestSecondOwnerIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	defer func() { _ = s.Close() }()
	if _, err := segment.Open(t.Context(), segment.Config{Dir: dir}); err == nil {
		t.Fatal("a second store opened the same folder")
	}
}

// crash copies the folder of a running store, as a power cut would leave it.
func crash(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestTornLog cuts the log at every length of its last frames and recovers: whole frames are
// found again, a torn one never half.
func TestTornLog(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	defer func() { _ = s.Close() }()
	logs := filepath.Join(dir, "wal")
	const frames, rows = 5, 3
	var ends []int64
	b := event.NewBuilder()
	defer b.Release()
	for range frames {
		for range rows {
			b.Add(event.Header{Dataset: 1, Time: 1})
			b.SetString("k", "value")
		}
		if err := s.Append(t.Context(), []*event.Batch{b.Batch()}); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, logSize(t, logs))
	}
	for cut := ends[0]; cut <= ends[frames-1]; cut++ {
		copied := crash(t, dir)
		if err := os.Truncate(logFile(t, filepath.Join(copied, "wal")), cut); err != nil {
			t.Fatal(err)
		}
		want := int64(0)
		for _, e := range ends {
			if e <= cut {
				want += rows
			}
		}
		r := open(t, copied)
		if got := storetest.Count(t, r); got != want {
			t.Errorf("log cut to %d bytes: %d events, want %d", cut, got, want)
		}
		tails, _ := filepath.Glob(filepath.Join(copied, "quarantine", "*.tail"))
		if whole := slices.Contains(ends, cut); whole == (len(tails) == 1) {
			t.Errorf("log cut to %d bytes: %d tails are kept", cut, len(tails))
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func logFile(t *testing.T, dir string) string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "*.wal"))
	if err != nil || len(list) != 1 {
		t.Fatalf("%d log files (%v), want 1", len(list), err)
	}
	return list[0]
}

func logSize(t *testing.T, dir string) int64 {
	t.Helper()
	st, err := os.Stat(logFile(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	return st.Size()
}

// TestCrashBetweenSegmentAndLog puts the log back that a flush removed, as if the process had
// died before removing it: no event may be there twice.
func TestCrashBetweenSegmentAndLog(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	defer func() { _ = s.Close() }()
	if err := s.Append(t.Context(), querytest.RandomBatches(rand.New(rand.NewPCG(1, 2)), 500, 1, 2)); err != nil {
		t.Fatal(err)
	}
	before := crash(t, dir)
	flush(t, s)
	after := crash(t, dir)
	old := logFile(t, filepath.Join(before, "wal"))
	data, err := os.ReadFile(old)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(after, "wal", filepath.Base(old)), data, 0o644); err != nil {
		t.Fatal(err)
	}
	r := open(t, after)
	defer func() { _ = r.Close() }()
	if n := storetest.Count(t, r); n != 500 {
		t.Errorf("%d events after the crash, want 500", n)
	}
}

// TestDamagedSegmentIsSetAside flips bytes in a segment's footer: the store opens without it
// and keeps the file.
func TestDamagedSegmentIsSetAside(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for range 2 {
		if err := s.Append(t.Context(), querytest.RandomBatches(rand.New(rand.NewPCG(1, 2)), 100, 1)); err != nil {
			t.Fatal(err)
		}
		flush(t, s)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "segments", "*.parquet"))
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	copy(data[trailer(data)-8:], "????") // in the index
	if err := os.WriteFile(files[0], data, 0o644); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	defer func() { _ = s.Close() }()
	if n := storetest.Count(t, s); n != 100 {
		t.Errorf("%d events of the whole segment, want 100", n)
	}
	if _, err := os.Stat(filepath.Join(dir, "quarantine", filepath.Base(files[0]))); err != nil {
		t.Error(err)
	}
}

// TestDamagedPageIsAnError flips a byte of data: a query must fail, not answer wrongly.
func TestDamagedPageIsAnError(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := s.Append(t.Context(), querytest.RandomBatches(rand.New(rand.NewPCG(1, 2)), 1000, 1)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "segments", "*.parquet"))
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for i := 100; i < 2000; i += 50 {
		data[i] ^= 0xff
	}
	if err := os.WriteFile(files[0], data, 0o644); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	defer func() { _ = s.Close() }()
	if res, err := s.Query(t.Context(), everything()); err == nil {
		t.Errorf("a damaged segment answered %d rows", len(res.Rows))
	}
}

func everything() *query.Query { return &query.Query{} }

// trailer returns the place of the trailer of a segment's index: 16 bytes ahead of the footer.
func trailer(data []byte) int {
	return len(data) - 8 - int(binary.LittleEndian.Uint32(data[len(data)-8:])) - 16
}
