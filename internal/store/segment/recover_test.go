package segment

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
)

func seqs(t *testing.T, s *Store) []int64 {
	t.Helper()
	seq := query.Field{Name: event.FieldSeq}
	res, err := s.Query(t.Context(), &query.Query{Stages: []query.Stage{
		query.Sort{Keys: []query.SortKey{{By: seq}}}, query.Project{Fields: []query.Named{{Name: "seq", Value: seq}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var out []int64
	for _, r := range res.Rows {
		out = append(out, r[0].Int())
	}
	return out
}

// TestSeqAfterTheNewestSegmentIsDamaged restarts a store whose newest segment was set aside:
// the numbers of its events, and its own, are not given again, also at the start after that.
func TestSeqAfterTheNewestSegmentIsDamaged(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	for range 2 {
		appendEvents(t, s, 3)
		flushed(t, s)
	}
	last := seqs(t, s)[5]
	closeStore(t, s)
	newest := s.segmentPath(1)
	data, err := os.ReadFile(newest)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(newest, data[:len(data)/2], 0o644); err != nil {
		t.Fatal(err)
	}
	closeStore(t, openStore(t, dir))
	s = openStore(t, dir)
	appendEvents(t, s, 1)
	if got := seqs(t, s)[3]; got <= last {
		t.Errorf("seq %d is given after %d", got, last)
	}
	flushed(t, s)
	if _, err := os.Stat(newest); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the number of the segment that was set aside is used again (%v)", err)
	}
}

// TestSegmentThatIsNotDamaged has segments that this process can not use though they may be
// whole: Open refuses and leaves them where they are.
func TestSegmentThatIsNotDamaged(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"newer version": func(path string) error {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			footer := int(binary.LittleEndian.Uint32(data[len(data)-8:]))
			copy(data[len(data)-8-footer-8:], "TREFIDX9")
			return os.WriteFile(path, data, 0o644)
		},
		"can not be opened": func(path string) error {
			return errors.Join(os.Remove(path), os.Symlink(filepath.Base(path), path))
		},
	} {
		dir := t.TempDir()
		s := openStore(t, dir)
		appendEvents(t, s, 1)
		closeStore(t, s)
		path := s.segmentPath(0)
		if err := spoil(path); err != nil {
			t.Fatal(err)
		}
		if s, err := Open(t.Context(), Config{Dir: dir}); err == nil {
			closeStore(t, s)
			t.Errorf("%s: the store opens without the segment", name)
		}
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("%s: the segment was moved: %v", name, err)
		}
	}
}
