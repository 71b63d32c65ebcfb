package segment

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"sync/atomic"

	"github.com/parquet-go/parquet-go"

	"github.com/trefoil-o11y/trefoil/internal/event"
)

// file is an open segment. It is closed when the last user releases it.
type file struct {
	path string
	num  uint64
	size int64
	meta segmentMeta
	pq   *parquet.File
	os   *os.File
	leaf map[string]int
	refs atomic.Int64
}

// errUnusable is wrapped by the errors of openFile that do not tell of damage: the segment may
// be whole, but this process can not open it or does not know its version.
var errUnusable = errors.New("segment can not be used")

// openFile opens a segment; the caller holds one reference.
func openFile(path string, num uint64) (*file, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnusable, err)
	}
	s, err := newFile(f, path, num)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open segment %s: %w", path, err), f.Close())
	}
	return s, nil
}

// noPanic turns a panic into an error: the Parquet library has no other answer to some kinds of
// damage, for what stands around the pages has no checksum.
func noPanic(path string, err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("segment %s is damaged: %v", path, p)
	}
}

func newFile(f *os.File, path string, num uint64) (_ *file, err error) {
	defer noPanic(path, &err)
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	pq, err := parquet.OpenFile(f, st.Size(), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, err
	}
	s := &file{path: path, num: num, size: st.Size(), pq: pq, os: f, leaf: map[string]int{}}
	text, ok := pq.Lookup(metaKey)
	if !ok {
		return nil, errors.New("no metadata of Trefoil")
	}
	if err := json.Unmarshal([]byte(text), &s.meta); err != nil {
		return nil, err
	}
	if s.meta.Version != formatVersion {
		return nil, fmt.Errorf("%w: format version %d is not known", errUnusable, s.meta.Version)
	}
	if len(s.meta.Groups) != len(pq.RowGroups()) {
		return nil, errors.New("row groups do not fit the metadata")
	}
	for i, g := range s.meta.Groups {
		if int64(g.Rows) != pq.RowGroups()[i].NumRows() {
			return nil, errors.New("row groups do not fit the metadata")
		}
		for _, f := range g.Fields {
			if f < 0 || f >= len(s.meta.Columns) {
				return nil, errors.New("fields of a row group do not fit the metadata")
			}
		}
	}
	for i, p := range pq.Schema().Columns() {
		s.leaf[p[0]] = i
	}
	s.refs.Store(1)
	return s, nil
}

func (s *file) acquire() { s.refs.Add(1) }

func (s *file) release() {
	if s.refs.Add(-1) == 0 {
		_ = s.os.Close()
	}
}

// mayHaveTrace reports whether the bloom filter of a row group leaves it possible that it has
// one of the traces.
func (s *file) mayHaveTrace(group int, ids map[event.TraceID]struct{}) (may bool) {
	defer func() {
		if recover() != nil {
			may = true // a damaged filter says nothing; the column itself decides
		}
	}()
	filter := s.pq.RowGroups()[group].ColumnChunks()[s.leaf[colTrace]].BloomFilter()
	if filter == nil {
		return true
	}
	for id := range ids {
		if ok, err := filter.Check(parquet.FixedLenByteArrayValue(id[:])); err != nil || ok {
			return true
		}
	}
	return false
}

// want says what a scan reads.
type want struct {
	names map[string]bool
	all   bool
}

func (w want) has(name string) bool { return w.all || w.names[name] }

// readTraces returns the trace ids of a row group.
func (s *file) readTraces(group int, read *int64) ([]event.TraceID, error) {
	ids := make([]event.TraceID, s.meta.Groups[group].Rows)
	err := s.column(group, colTrace, read, func(row int, v parquet.Value) { copy(ids[row][:], v.ByteArray()) })
	return ids, err
}

// readGroup decodes the wanted columns of a row group as a batch; read counts the compressed
// bytes of the columns.
func (s *file) readGroup(group int, w want, read *int64) (*event.Batch, error) {
	g := s.meta.Groups[group]
	headers := make([]event.Header, g.Rows)
	type headerColumn struct {
		name, column string
		set          func(h *event.Header, v parquet.Value)
	}
	for i := range headers {
		headers[i].SampleRate, headers[i].Dataset = 1, g.Dataset
	}
	for _, c := range []headerColumn{
		{event.FieldTime, colTime, func(h *event.Header, v parquet.Value) { h.Time = v.Int64() }},
		{event.FieldIngested, colIngested, func(h *event.Header, v parquet.Value) { h.Ingested = v.Int64() }},
		{event.FieldSeq, colSeq, func(h *event.Header, v parquet.Value) { h.Seq = uint64(v.Int64()) }},
		{event.FieldTrace, colTrace, func(h *event.Header, v parquet.Value) { copy(h.Trace[:], v.ByteArray()) }},
		{event.FieldSpan, colSpan, func(h *event.Header, v parquet.Value) { copy(h.Span[:], v.ByteArray()) }},
		{event.FieldParent, colParent, func(h *event.Header, v parquet.Value) { copy(h.Parent[:], v.ByteArray()) }},
		{event.FieldStream, colStream, func(h *event.Header, v parquet.Value) { h.Stream = string(v.ByteArray()) }},
		{event.FieldSampleRate, colSampleRate, func(h *event.Header, v parquet.Value) { h.SampleRate = uint32(v.Int64()) }},
	} {
		// The time is always read: the range of the query is checked on it.
		if c.name != event.FieldTime && !w.has(c.name) {
			continue
		}
		if err := s.column(group, c.column, read, func(row int, v parquet.Value) { c.set(&headers[row], v) }); err != nil {
			return nil, err
		}
	}
	var cols []event.Column
	overflow := false
	for _, f := range g.Fields {
		m := s.meta.Columns[f]
		if !w.has(m.Name) {
			continue
		}
		if m.Column == "" {
			overflow = true
			continue
		}
		c := event.Column{Name: m.Name, Kind: event.Kind(m.Kind)}
		if err := s.column(group, m.Column, read, func(row int, v parquet.Value) { appendCell(&c, row, v) }); err != nil {
			return nil, err
		}
		cols = append(cols, c)
	}
	if overflow {
		more, err := s.overflowColumns(group, w, read)
		if err != nil {
			return nil, err
		}
		for _, c := range more {
			cols = append(cols, *c)
		}
	}
	return event.FromColumns(headers, cols), nil
}

func appendCell(c *event.Column, row int, v parquet.Value) {
	switch c.Kind {
	case event.KindString:
		appendValue(c, row, event.String(string(v.ByteArray())))
	case event.KindInt:
		appendValue(c, row, event.Int(v.Int64()))
	case event.KindFloat:
		appendValue(c, row, event.Float(v.Double()))
	default:
		appendValue(c, row, event.Bool(v.Boolean()))
	}
}

func appendValue(c *event.Column, row int, v event.Value) {
	c.Rows = append(c.Rows, int32(row))
	switch c.Kind {
	case event.KindString:
		c.Codes = append(c.Codes, uint32(len(c.Dict)))
		c.Dict = append(c.Dict, v.Str())
	case event.KindInt:
		c.Nums = append(c.Nums, v.Int())
	case event.KindFloat:
		c.Nums = append(c.Nums, int64(math.Float64bits(v.Float())))
	default:
		var code uint32
		if v.Bool() {
			code = 1
		}
		c.Codes = append(c.Codes, code)
	}
}

func (s *file) overflowColumns(group int, w want, read *int64) ([]*event.Column, error) {
	byKey := map[fieldKey]*event.Column{}
	var cols []*event.Column
	var failed error
	err := s.column(group, colOverflow, read, func(row int, v parquet.Value) {
		if err := readOverflow(v.ByteArray(), func(name string, v event.Value) {
			if !w.has(name) {
				return
			}
			k := fieldKey{name, v.Kind()}
			c := byKey[k]
			if c == nil {
				c = &event.Column{Name: name, Kind: v.Kind()}
				byKey[k] = c
				cols = append(cols, c)
			}
			appendValue(c, row, v)
		}); err != nil {
			failed = err
		}
	})
	return cols, errors.Join(err, failed)
}

// column calls yield for every value of a column that is not null, in the order of the rows.
func (s *file) column(group int, name string, read *int64, yield func(row int, v parquet.Value)) (err error) {
	defer noPanic(s.path, &err)
	leaf, ok := s.leaf[name]
	if !ok {
		return fmt.Errorf("segment %s has no column %q", s.path, name)
	}
	rows := s.meta.Groups[group].Rows
	chunk := s.pq.RowGroups()[group].ColumnChunks()[leaf]
	*read += s.pq.Metadata().RowGroups[group].Columns[leaf].MetaData.TotalCompressedSize
	pages := chunk.Pages()
	defer func() {
		if cerr := pages.Close(); cerr != nil && err == nil {
			err = cerr
		}
	}()
	row := 0
	var buf [1024]parquet.Value
	for {
		page, err := pages.ReadPage()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read column %q of segment %s: %w", name, s.path, err)
		}
		values := page.Values()
		for {
			n, err := values.ReadValues(buf[:])
			for _, v := range buf[:n] {
				if row >= rows {
					parquet.Release(page)
					return fmt.Errorf("column %q of segment %s has more rows than its group", name, s.path)
				}
				if !v.IsNull() {
					yield(row, v)
				}
				row++
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				parquet.Release(page)
				return fmt.Errorf("read column %q of segment %s: %w", name, s.path, err)
			}
		}
		parquet.Release(page)
	}
	if row != rows {
		return fmt.Errorf("column %q of segment %s has %d rows, its group %d", name, s.path, row, rows)
	}
	return nil
}
