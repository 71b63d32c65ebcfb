package segment

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/s2"
	"golang.org/x/sys/unix"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/store"
)

func openStore(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(t.Context(), Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func closeStore(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// oneEvent is a batch of one event of dataset 1.
func oneEvent() *event.Batch {
	b := event.NewBuilder()
	defer b.Release()
	b.Add(event.Header{Dataset: 1, Time: 1})
	b.SetString("k", "value")
	return b.Batch()
}

func appendEvents(t *testing.T, s *Store, n int) {
	t.Helper()
	for range n {
		if err := s.Append(t.Context(), []*event.Batch{oneEvent()}); err != nil {
			t.Fatal(err)
		}
	}
}

func count(t *testing.T, s *Store) int {
	t.Helper()
	res, err := s.Query(t.Context(), &query.Query{})
	if err != nil {
		t.Fatal(err)
	}
	return len(res.Rows)
}

// crashed copies the folder of a running store, as a power cut would leave it.
func crashed(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestZeroedLogTail has a log end in zeros, as file systems leave a file whose size reached the
// disk before its data: the store opens with the whole frames.
func TestZeroedLogTail(t *testing.T) {
	for _, zeros := range []int{1, frameHeader, 4096} {
		dir := t.TempDir()
		s := openStore(t, dir)
		appendEvents(t, s, 3)
		copied := crashed(t, dir)
		f, err := os.OpenFile(filepath.Join(copied, "wal", walName(s.log.num)), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(make([]byte, zeros)); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if n := count(t, openStore(t, copied)); n != 3 {
			t.Errorf("%d zeros behind 3 events: %d events", zeros, n)
		}
	}
}

// TestZeroedNewLog has a log whose magic never reached the disk, though its size did.
func TestZeroedNewLog(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	appendEvents(t, s, 3)
	copied := crashed(t, dir)
	if err := os.WriteFile(filepath.Join(copied, "wal", walName(s.log.num+1)), make([]byte, len(walMagic)), 0o644); err != nil {
		t.Fatal(err)
	}
	if n := count(t, openStore(t, copied)); n != 3 {
		t.Errorf("%d events, want 3", n)
	}
}

// TestFailedSyncLeavesNothing has the log's sync fail once: what the caller was told is not
// stored must not turn up behind what it stores at the second try.
func TestFailedSyncLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	appendEvents(t, s, 1)
	s.log.sync = func(*os.File) error { return unix.ENOSPC }
	if err := s.Append(t.Context(), []*event.Batch{oneEvent()}); !errors.Is(err, store.ErrFull) {
		t.Fatalf("Append with a failing sync = %v, want ErrFull", err)
	}
	appendEvents(t, s, 1)
	if n := count(t, s); n != 2 {
		t.Errorf("%d events, want 2", n)
	}
	if n := count(t, openStore(t, crashed(t, dir))); n != 2 {
		t.Errorf("%d events after a crash, want 2", n)
	}
}

// TestLogRefusesWhatItCouldNotRead asks for a frame that compresses well below the limit of
// its body but whose content is above it.
func TestLogRefusesWhatItCouldNotRead(t *testing.T) {
	w, err := createWAL(t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.close() }()
	w.limit = 1 << 16
	b := event.NewBuilder()
	defer b.Release()
	b.Add(event.Header{Dataset: 1, Time: 1})
	b.SetString("k", string(bytes.Repeat([]byte("x"), w.limit)))
	if broken, err := w.append([]*event.Batch{b.Batch()}); err == nil || broken {
		t.Errorf("append of more than the limit: broken %v, %v", broken, err)
	}
	if _, err := w.append([]*event.Batch{oneEvent()}); err != nil {
		t.Error(err)
	}
	n := 0
	if _, torn, err := readWAL(w.file.Name(), func(*event.Batch) error { n++; return nil }); err != nil || torn != 0 || n != 1 {
		t.Errorf("%d batches, %d bytes torn, %v; want 1 batch", n, torn, err)
	}
}

// frame is a whole frame around a body.
func frame(body []byte) []byte {
	f := binary.LittleEndian.AppendUint32(nil, uint32(len(body)))
	f = binary.LittleEndian.AppendUint32(f, crc32.Checksum(body, castagnoli))
	return append(f, body...)
}

// FuzzReadWAL reads arbitrary bytes behind one whole frame (or, with alone, as the file): it
// never panics, keeps the whole frame, accounts for every byte, and gives the same again.
// With sealed the bytes get a valid checksum, so that they reach the decoders.
func FuzzReadWAL(f *testing.F) {
	body := append([]byte{1}, oneEvent().AppendBinary(nil)...)
	whole := frame(s2.Encode(nil, body))
	f.Add([]byte{}, false, false)
	f.Add(make([]byte, 64), false, false)
	f.Add(whole, false, false)
	f.Add(whole[:len(whole)-1], false, false)
	f.Add(s2.Encode(nil, body), true, false)
	f.Add(s2.Encode(nil, []byte{0xff, 0xff, 3}), true, false)
	f.Add([]byte("\xff\xff\xff\xff\x03"), true, false)
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff"), false, false)
	f.Add([]byte(walMagic), false, true)
	f.Add(append([]byte(walMagic), whole...), false, true)
	f.Add([]byte(walMagic[:3]), false, true)
	path := filepath.Join(f.TempDir(), walName(1))
	f.Fuzz(func(t *testing.T, data []byte, sealed, alone bool) {
		if sealed {
			data = frame(data)
		}
		file, least := data, int64(0)
		if !alone {
			file = append(append([]byte(walMagic), whole...), data...)
			least = int64(len(walMagic) + len(whole))
		}
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		batches := 0
		good, torn, err := readWAL(path, func(*event.Batch) error { batches++; return nil })
		if good < least || !alone && batches == 0 {
			t.Fatalf("kept %d bytes and %d batches, the whole frame ends at %d: %v", good, batches, least, err)
		}
		if err != nil {
			return
		}
		if good+torn != int64(len(file)) {
			t.Fatalf("%d bytes kept and %d cut of %d", good, torn, len(file))
		}
		if err := os.WriteFile(path, file[:good], 0o600); err != nil {
			t.Fatal(err)
		}
		again := 0
		if g, torn, err := readWAL(path, func(*event.Batch) error { again++; return nil }); err != nil || g != good || torn != 0 || again != batches {
			t.Fatalf("the kept part reads as %d bytes, %d torn, %d batches (%v), was %d bytes, %d batches", g, torn, again, err, good, batches)
		}
	})
}
