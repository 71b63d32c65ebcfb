package segment

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/store"
)

func (s *Store) isDropped(ds event.DatasetID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, gone := s.dropped[ds]
	return gone
}

// removeEmptied removes segments all of whose row groups are dropped or expired, and the oldest
// above the size limit.
func (s *Store) removeEmptied() {
	now := time.Now()
	s.mu.Lock()
	var gone, keep []*file
	var total int64
	for _, f := range s.files {
		if s.live(f, now) == 0 {
			gone = append(gone, f)
		} else {
			keep = append(keep, f)
			total += f.Size
		}
	}
	s.mu.Unlock()
	slices.SortFunc(keep, func(a, b *file) int { return cmp.Compare(a.newest(), b.newest()) })
	for s.cfg.MaxBytes > 0 && total > s.cfg.MaxBytes && len(keep) > 1 {
		s.cfg.Log.Info("remove the oldest segment to keep within the size limit", "file", keep[0].Path, "bytes", total, "limit", s.cfg.MaxBytes)
		total -= keep[0].Size
		gone = append(gone, keep[0])
		keep = keep[1:]
	}
	if len(gone) == 0 {
		return
	}
	if err := s.replace(gone, nil, 0); err != nil {
		s.cfg.Log.Error("remove emptied segments", "error", err)
	}
}

// live counts the rows of the row groups of f that may be visible; mu is held.
func (s *Store) live(f *file, now time.Time) (rows int) {
	for _, g := range f.Groups {
		ds := event.DatasetID(g.Dataset)
		if _, dropped := s.dropped[ds]; !dropped && g.MaxTime >= s.horizon(ds, now) {
			rows += g.Rows
		}
	}
	return rows
}

// horizon is the oldest $time that is visible in a dataset; mu is held.
func (s *Store) horizon(ds event.DatasetID, now time.Time) int64 {
	age := s.retain[ds]
	if r := s.cfg.Retention; r > 0 && (age == 0 || r < age) {
		age = r
	}
	if age > 0 {
		return now.Add(-age).UnixNano()
	}
	return math.MinInt64
}

// Drop implements store.Store.
func (s *Store) Drop(_ context.Context, datasets ...event.DatasetID) error {
	s.flushMu.Lock() // a flush that began before must not bring them back
	defer s.flushMu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return store.ErrClosed
	}
	list := map[event.DatasetID]struct{}{}
	for id := range s.dropped {
		list[id] = struct{}{}
	}
	for _, id := range datasets {
		list[id] = struct{}{}
	}
	ids := make([]event.DatasetID, 0, len(list))
	for id := range list {
		ids = append(ids, id)
	}
	sort.Slice(ids, func(i, j int) bool { return ids[i] < ids[j] })
	var text strings.Builder
	for _, id := range ids {
		fmt.Fprintln(&text, id)
	}
	if err := s.cfg.disk.replaceFile(s.path("dropped"), []byte(text.String())); err != nil {
		return fmt.Errorf("drop datasets: %w", err)
	}
	s.dropped = list
	return nil
}

// Retain implements store.Store.
func (s *Store) Retain(ds event.DatasetID, age time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if age <= 0 {
		delete(s.retain, ds)
		return
	}
	s.retain[ds] = age
}

// Columns implements store.Store.
func (s *Store) Columns(_ context.Context, ds event.DatasetID) ([]store.ColumnInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, store.ErrClosed
	}
	seen := map[store.ColumnInfo]bool{}
	if _, gone := s.dropped[ds]; gone {
		return nil, nil
	}
	for _, f := range s.files {
		for _, g := range f.Groups {
			if g.Dataset != uint32(ds) {
				continue
			}
			chunks, err := f.Chunks(g)
			if err != nil {
				return nil, err
			}
			for i := range chunks {
				if c := f.Columns[chunks[i].Column]; chunks[i].Column >= numHeaderColumns {
					seen[store.ColumnInfo{Name: c.Field, Kind: kindOf(c.Type)}] = true
				}
			}
		}
	}
	for _, list := range [][]*event.Batch{s.flushing, s.head} {
		for _, b := range list {
			for i := range b.NumColumns() {
				c := b.Column(i)
				if slices.ContainsFunc(c.Rows, func(row int32) bool { return b.Headers[row].Dataset == ds }) {
					seen[store.ColumnInfo{Name: c.Name, Kind: c.Kind}] = true
				}
			}
		}
	}
	out := make([]store.ColumnInfo, 0, len(seen))
	for c := range seen {
		out = append(out, c)
	}
	sort.Slice(out, func(i, j int) bool {
		if out[i].Name != out[j].Name {
			return out[i].Name < out[j].Name
		}
		return out[i].Kind < out[j].Kind
	})
	return out, nil
}

// Usage implements store.Store.
func (s *Store) Usage() store.Usage {
	var u store.Usage
	newest, held := int64(math.MinInt64), false
	see := func(ds event.DatasetID, t int64) {
		if _, gone := s.dropped[ds]; !gone {
			newest, held = max(newest, t), true
		}
	}
	s.mu.Lock()
	for _, f := range s.files {
		u.DiskBytes += f.Size
		for _, g := range f.Groups {
			u.Events += int64(g.Rows)
			see(event.DatasetID(g.Dataset), g.MaxTime)
		}
	}
	u.Segments = len(s.files)
	for _, list := range [][]*event.Batch{s.flushing, s.head} {
		for _, b := range list {
			u.HeadEvents += int64(b.Len())
			for i := range b.Headers {
				see(b.Headers[i].Dataset, b.Headers[i].Time)
			}
		}
	}
	s.mu.Unlock()
	if held {
		u.Newest = time.Unix(0, newest)
	}
	u.Events += u.HeadEvents
	logs, _ := filepath.Glob(s.path("wal", "*.wal"))
	for _, l := range logs {
		if st, err := os.Stat(l); err == nil {
			u.DiskBytes += st.Size()
		}
	}
	return u
}
