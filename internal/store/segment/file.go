package segment

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/store/segment/colfile"
)

// file is an open segment. It is closed when the last user releases it.
type file struct {
	*colfile.File
	num     uint64
	rows    int
	written time.Time
	meta    fileMeta
	// fields are the columns of each field name.
	fields map[string][]int
	refs   atomic.Int64
}

// fileMeta is what a segment says of itself, as JSON.
type fileMeta struct {
	Version int    `json:"version"`
	MaxSeq  uint64 `json:"max_seq"`
}

// errUnusable is wrapped by the errors of openFile that do not tell of damage: the segment may
// be whole, but this process can not open it or does not know its version.
var errUnusable = errors.New("segment can not be used")

// openFile opens a segment; the caller holds one reference.
func openFile(path string, num uint64) (*file, error) {
	cf, err := colfile.Open(path)
	var system *fs.PathError
	if errors.As(err, &system) || errors.Is(err, colfile.ErrVersion) {
		return nil, fmt.Errorf("%w: %w", errUnusable, err)
	}
	if err != nil {
		return nil, err
	}
	f := &file{File: cf, num: num, fields: map[string][]int{}}
	st, err := os.Stat(path)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", errUnusable, err), cf.Close())
	}
	f.written = st.ModTime()
	if err := f.check(); err != nil {
		return nil, errors.Join(fmt.Errorf("open segment %s: %w: %w", path, colfile.ErrCorrupt, err), cf.Close())
	}
	f.refs.Store(1)
	return f, nil
}

func (f *file) check() error {
	if err := json.Unmarshal(f.Meta, &f.meta); err != nil {
		return err
	}
	if len(f.Columns) < numHeaderColumns {
		return errors.New("columns are missing")
	}
	for i, c := range f.Columns {
		if i < numHeaderColumns && c != headerColumns[i] {
			return fmt.Errorf("column %d is %q", i, c.Name)
		}
		f.fields[c.Field] = append(f.fields[c.Field], i)
	}
	for _, g := range f.Groups {
		f.rows += g.Rows
	}
	return nil
}

// newest is the largest time of the segment's rows.
func (f *file) newest() int64 {
	t := int64(math.MinInt64)
	for _, g := range f.Groups {
		t = max(t, g.MaxTime)
	}
	return t
}

// oldest is the smallest time of the segment's rows.
func (f *file) oldest() int64 {
	t := int64(math.MaxInt64)
	for _, g := range f.Groups {
		t = min(t, g.MinTime)
	}
	return t
}

func (f *file) acquire() { f.refs.Add(1) }

func (f *file) release() {
	if f.refs.Add(-1) == 0 {
		_ = f.Close()
	}
}

// chunk returns the chunk of a column in a group, nil when no row of it has a value.
func chunk(chunks []colfile.Chunk, column int) *colfile.Chunk {
	lo, hi := 0, len(chunks)
	for lo < hi {
		if mid := (lo + hi) / 2; chunks[mid].Column < column {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < len(chunks) && chunks[lo].Column == column {
		return &chunks[lo]
	}
	return nil
}

// output is a segment that is being written. It has its name when finish returns nil.
type output struct {
	disk *disk
	num  uint64
	path string
	f    *os.File
	w    *colfile.Writer
	rows int
}

func (o *output) begin(columns []colfile.Column, rows int) (*colfile.Writer, error) {
	f, err := o.disk.open(o.path+".tmp", os.O_CREATE|os.O_TRUNC|os.O_RDWR)
	if err != nil {
		return nil, err
	}
	o.f, o.w, o.rows = f, colfile.NewWriter(f, columns), rows
	return o.w, nil
}

// written reports whether there was anything to write.
func (o *output) written() bool { return o.w != nil }

func (o *output) finish(m fileMeta) error {
	m.Version = colfile.Version
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := o.w.Finish(text); err != nil {
		return err
	}
	if err := o.disk.sync(o.f); err != nil {
		return err
	}
	err = o.f.Close()
	o.f = nil
	if err != nil {
		return err
	}
	if err := o.disk.rename(o.path+".tmp", o.path); err != nil {
		return err
	}
	return o.disk.syncDir(filepath.Dir(o.path))
}

// abort removes what was written of a segment that is not to be.
func (o *output) abort() {
	if o.f != nil {
		_ = o.f.Close()
	}
	if o.w != nil {
		_ = o.disk.remove(o.path + ".tmp")
		_ = o.disk.remove(o.path)
	}
}
