package segment

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/store"
)

func flushed(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
}

// TestFlushFailsBehindItsSegment has a flush fail after its segment got its name: the next one
// stores the same events again, and after a restart none is there twice.
func TestFlushFailsBehindItsSegment(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	appendEvents(t, s, 3)
	s.open = func(string, uint64) (*file, error) { return nil, errors.New("too many open files") }
	if err := s.Flush(); err == nil {
		t.Fatal("Flush does not report that its segment can not be opened")
	}
	s.open = openFile
	if n := count(t, openStore(t, crashed(t, dir))); n != 3 {
		t.Errorf("%d events after a crash behind the failed flush, want 3", n)
	}
	appendEvents(t, s, 2)
	flushed(t, s)
	if n := count(t, s); n != 5 {
		t.Errorf("%d events, want 5", n)
	}
	closeStore(t, s)
	if n := count(t, openStore(t, dir)); n != 5 {
		t.Errorf("%d events after a restart, want 5", n)
	}
}

// TestFullHeadThatCanNotBeFlushed has every flush fail: Append says so at once, and takes
// events again when flushes work again.
func TestFullHeadThatCanNotBeFlushed(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(t.Context(), Config{Dir: dir, FlushBytes: 1 << 20, MaxHeadBytes: int64(oneEvent().Bytes() + 1)})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "segments")); err != nil {
		t.Fatal(err)
	}
	appendEvents(t, s, 2)
	began := time.Now()
	if err := s.Append(t.Context(), []*event.Batch{oneEvent()}); !errors.Is(err, store.ErrFull) {
		t.Errorf("Append to a full head = %v, want ErrFull", err)
	}
	if d := time.Since(began); d >= fullWait/2 {
		t.Errorf("Append took %v to find out that the flush fails", d)
	}
	if err := os.Mkdir(filepath.Join(dir, "segments"), 0o755); err != nil {
		t.Fatal(err)
	}
	appendEvents(t, s, 1)
	if n := count(t, s); n != 3 {
		t.Errorf("%d events, want 3", n)
	}
	closeStore(t, s)
}

// TestFailedFlushIsTriedAgain leaves a store alone whose flush failed: it flushes by age.
func TestFailedFlushIsTriedAgain(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(t.Context(), Config{Dir: dir, FlushAge: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if err := os.Remove(filepath.Join(dir, "segments")); err != nil {
		t.Fatal(err)
	}
	appendEvents(t, s, 1)
	if err := s.Flush(); err == nil {
		t.Fatal("Flush without a folder succeeds")
	}
	if err := os.Mkdir(filepath.Join(dir, "segments"), 0o755); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(5 * time.Second); s.Usage().HeadEvents > 0; <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("the head was not flushed again within 5 s")
		}
	}
}
