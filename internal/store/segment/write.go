package segment

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"unsafe"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/trefoil-o11y/trefoil/internal/event"
)

const (
	// maxColumns is how many fields of a segment have a column of their own.
	maxColumns = 1000
	// groupRows is the largest number of rows of a row group.
	groupRows = 64 << 10
	// formatVersion is written to every segment; newer ones are refused.
	formatVersion = 1

	metaKey = "trefoil"
)

// Columns that every segment has, for the header fields.
const (
	colTime       = "_time"
	colIngested   = "_ingested"
	colSeq        = "_seq"
	colDataset    = "_dataset"
	colTrace      = "_trace_id"
	colSpan       = "_span_id"
	colParent     = "_parent_id"
	colStream     = "_stream"
	colSampleRate = "_sample_rate"
	colOverflow   = "_overflow"
)

// segmentMeta is the JSON of the key-value metadata.
type segmentMeta struct {
	Version int `json:"version"`
	// WAL is the newest log file that the segment and those before it cover.
	WAL     uint64       `json:"wal"`
	MaxSeq  uint64       `json:"max_seq"`
	Columns []columnMeta `json:"columns"`
	Groups  []groupMeta  `json:"groups"`
}

// columnMeta says which field a column holds. The overflow column's fields have no Column.
type columnMeta struct {
	Column string `json:"column,omitempty"`
	Name   string `json:"name"`
	Kind   uint8  `json:"kind"`
}

// groupMeta describes a row group.
type groupMeta struct {
	Dataset event.DatasetID `json:"dataset"`
	Rows    int             `json:"rows"`
	MinTime int64           `json:"min_time"`
	MaxTime int64           `json:"max_time"`
	// Fields are the indexes into Columns of the fields that the group has.
	Fields []int `json:"fields"`
}

// rowRef is a row of a batch on its way into a segment.
type rowRef struct {
	batch *event.Batch
	row   int
}

func (r rowRef) header() *event.Header { return &r.batch.Headers[r.row] }

type fieldKey struct {
	name string
	kind event.Kind
}

// writeSegment writes batches as the segment file path and makes it durable. Datasets for
// which dropped is true are left out. written is false when nothing was left to write.
func writeSegment(path string, batches []*event.Batch, walNum uint64, dropped func(event.DatasetID) bool) (written bool, err error) {
	rows := map[event.DatasetID][]rowRef{}
	counts := map[fieldKey]int{}
	gone := map[event.DatasetID]bool{}
	var maxSeq uint64
	for _, b := range batches {
		for i := range b.Headers {
			h := &b.Headers[i]
			maxSeq = max(maxSeq, h.Seq) // those left out are not given again either
			out, known := gone[h.Dataset]
			if !known {
				out = dropped(h.Dataset)
				gone[h.Dataset] = out
			}
			if !out {
				rows[h.Dataset] = append(rows[h.Dataset], rowRef{b, i})
			}
		}
		for i := range b.NumColumns() {
			c := b.Column(i)
			for _, row := range c.Rows {
				if !gone[b.Headers[row].Dataset] {
					counts[fieldKey{c.Name, c.Kind}]++
				}
			}
		}
	}
	if len(rows) == 0 {
		return false, nil
	}
	layout := newLayout(counts)
	meta := segmentMeta{Version: formatVersion, WAL: walNum, MaxSeq: maxSeq, Columns: layout.meta}

	tmp := path + ".tmp"
	f, err := os.Create(tmp)
	if err != nil {
		return false, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(tmp))
		}
	}()
	w := parquet.NewGenericWriter[any](f, layout.schema,
		parquet.Compression(&zstd.Codec{Level: zstd.SpeedFastest}),
		parquet.DataPageVersion(1),
		parquet.DataPageStatistics(false),
		parquet.PageBufferSize(256<<10),
		parquet.BloomFilters(parquet.SplitBlockFilter(10, colTrace)),
		parquet.CreatedBy("trefoil", fmt.Sprint(formatVersion), ""),
	)
	datasets := make([]event.DatasetID, 0, len(rows))
	for ds := range rows {
		datasets = append(datasets, ds)
	}
	sort.Slice(datasets, func(i, j int) bool { return datasets[i] < datasets[j] })
	for _, ds := range datasets {
		list := rows[ds]
		sort.Slice(list, func(i, j int) bool {
			a, b := list[i].header(), list[j].header()
			if a.Time != b.Time {
				return a.Time < b.Time
			}
			return a.Seq < b.Seq
		})
		for len(list) > 0 {
			n := min(len(list), groupRows)
			g, err := writeGroup(w, layout, ds, list[:n])
			if err != nil {
				return false, err
			}
			meta.Groups = append(meta.Groups, g)
			list = list[n:]
		}
	}
	text, err := json.Marshal(meta)
	if err != nil {
		return false, err
	}
	w.SetKeyValueMetadata(metaKey, string(text))
	if err := w.Close(); err != nil {
		return false, err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return false, err
	}
	if err := os.Rename(tmp, path); err != nil {
		return false, err
	}
	return true, syncDir(filepath.Dir(path))
}

// layout is the set of columns of a segment.
type layout struct {
	schema *parquet.Schema
	meta   []columnMeta
	index  map[fieldKey]int // into meta
	leaf   map[string]int   // column name to index in the file
	path   [][]string
}

func newLayout(counts map[fieldKey]int) *layout {
	keys := make([]fieldKey, 0, len(counts))
	kinds := map[string]int{}
	for k := range counts {
		keys = append(keys, k)
		kinds[k.name]++
	}
	sort.Slice(keys, func(i, j int) bool {
		if counts[keys[i]] != counts[keys[j]] {
			return counts[keys[i]] > counts[keys[j]]
		}
		if keys[i].name != keys[j].name {
			return keys[i].name < keys[j].name
		}
		return keys[i].kind < keys[j].kind
	})
	ts := parquet.Timestamp(parquet.Nanosecond)
	delta := func(n parquet.Node) parquet.Node { return parquet.Encoded(n, &parquet.DeltaBinaryPacked) }
	dict := func(n parquet.Node) parquet.Node { return parquet.Encoded(n, &parquet.RLEDictionary) }
	root := parquet.Group{
		colTime:       delta(ts),
		colIngested:   delta(ts),
		colSeq:        delta(parquet.Int(64)),
		colDataset:    dict(parquet.Int(64)),
		colTrace:      parquet.Optional(parquet.Encoded(parquet.Leaf(parquet.FixedLenByteArrayType(16)), &parquet.Plain)),
		colSpan:       parquet.Optional(parquet.Encoded(parquet.Leaf(parquet.FixedLenByteArrayType(8)), &parquet.Plain)),
		colParent:     parquet.Optional(parquet.Encoded(parquet.Leaf(parquet.FixedLenByteArrayType(8)), &parquet.Plain)),
		colStream:     parquet.Optional(dict(parquet.String())),
		colSampleRate: parquet.Optional(dict(parquet.Int(64))),
	}
	l := &layout{index: map[fieldKey]int{}, leaf: map[string]int{}}
	if len(keys) > maxColumns {
		root[colOverflow] = parquet.Optional(parquet.Leaf(parquet.ByteArrayType))
	}
	for i, k := range keys {
		m := columnMeta{Name: k.name, Kind: uint8(k.kind)}
		if i < maxColumns {
			m.Column = k.name
			_, taken := root[m.Column]
			if taken || kinds[k.name] > 1 || strings.HasPrefix(k.name, "_") || strings.Contains(k.name, "#") {
				m.Column = k.name + "#" + k.kind.String()
			}
			root[m.Column] = parquet.Optional(fieldNode(k.kind))
		}
		l.index[k] = i
		l.meta = append(l.meta, m)
	}
	l.schema = parquet.NewSchema("trefoil", root)
	l.path = l.schema.Columns()
	for i, p := range l.path {
		l.leaf[p[0]] = i
	}
	return l
}

func fieldNode(k event.Kind) parquet.Node {
	switch k {
	case event.KindString:
		return parquet.Encoded(parquet.String(), &parquet.RLEDictionary)
	case event.KindInt:
		return parquet.Encoded(parquet.Int(64), &parquet.RLEDictionary)
	case event.KindFloat:
		return parquet.Encoded(parquet.Leaf(parquet.DoubleType), &parquet.ByteStreamSplit)
	default:
		return parquet.Leaf(parquet.BooleanType)
	}
}

// writeGroup writes rows as one row group.
func writeGroup(w *parquet.GenericWriter[any], l *layout, ds event.DatasetID, rows []rowRef) (groupMeta, error) {
	g := groupMeta{Dataset: ds, Rows: len(rows), MinTime: rows[0].header().Time, MaxTime: rows[len(rows)-1].header().Time}
	columns := w.ColumnWriters()
	values := make([]parquet.Value, len(rows))
	put := func(column string, value func(h *event.Header) (parquet.Value, bool)) error {
		i := l.leaf[column]
		for r := range rows {
			v, ok := value(rows[r].header())
			values[r] = level(v, ok, i)
		}
		_, err := columns[i].WriteRowValues(values)
		return err
	}
	required := func(f func(h *event.Header) int64) func(h *event.Header) (parquet.Value, bool) {
		return func(h *event.Header) (parquet.Value, bool) { return parquet.Int64Value(f(h)), true }
	}
	optional := func(f func(h *event.Header) []byte) func(h *event.Header) (parquet.Value, bool) {
		return func(h *event.Header) (parquet.Value, bool) {
			b := f(h)
			return parquet.FixedLenByteArrayValue(b), b != nil
		}
	}
	// Required columns have definition level 0, see level.
	for _, c := range []struct {
		name string
		f    func(h *event.Header) (parquet.Value, bool)
	}{
		{colTime, required(func(h *event.Header) int64 { return h.Time })},
		{colIngested, required(func(h *event.Header) int64 { return h.Ingested })},
		{colSeq, required(func(h *event.Header) int64 { return int64(h.Seq) })},
		{colDataset, required(func(*event.Header) int64 { return int64(ds) })},
	} {
		i := l.leaf[c.name]
		for r := range rows {
			v, _ := c.f(rows[r].header())
			values[r] = v.Level(0, 0, i)
		}
		if _, err := columns[i].WriteRowValues(values); err != nil {
			return g, fmt.Errorf("write column %s: %w", c.name, err)
		}
	}
	err := errors.Join(
		put(colTrace, optional(func(h *event.Header) []byte {
			if h.Trace.IsZero() {
				return nil
			}
			return h.Trace[:]
		})),
		put(colSpan, optional(func(h *event.Header) []byte {
			if h.Span.IsZero() {
				return nil
			}
			return h.Span[:]
		})),
		put(colParent, optional(func(h *event.Header) []byte {
			if h.Parent.IsZero() {
				return nil
			}
			return h.Parent[:]
		})),
		put(colStream, func(h *event.Header) (parquet.Value, bool) {
			return parquet.ByteArrayValue([]byte(h.Stream)), h.Stream != ""
		}),
		put(colSampleRate, func(h *event.Header) (parquet.Value, bool) {
			return parquet.Int64Value(int64(h.SampleRate)), h.SampleRate > 1
		}),
	)
	if err != nil {
		return g, fmt.Errorf("write header columns: %w", err)
	}
	return g, writeFields(w, l, rows, values, &g)
}

func level(v parquet.Value, ok bool, column int) parquet.Value {
	if !ok {
		return parquet.NullValue().Level(0, 0, column)
	}
	return v.Level(0, 1, column)
}

// source is a column of a batch with the place of each of the batch's rows in the group, -1
// for rows of other groups.
type source struct {
	col   event.Column
	place []int32
}

// sourcesOf lists the columns that have each field of the layout.
func (l *layout) sourcesOf(rows []rowRef) [][]source {
	places := map[*event.Batch][]int32{}
	for i, r := range rows {
		place := places[r.batch]
		if place == nil {
			place = make([]int32, r.batch.Len())
			for j := range place {
				place[j] = -1
			}
			places[r.batch] = place
		}
		place[r.row] = int32(i)
	}
	sources := make([][]source, len(l.meta))
	for b, place := range places {
		for i := range b.NumColumns() {
			c := b.Column(i)
			if f, ok := l.index[fieldKey{c.Name, c.Kind}]; ok { // else only dropped events have it
				sources[f] = append(sources[f], source{c, place})
			}
		}
	}
	return sources
}

// each calls yield for every value that the sources have in the group.
func each(sources []source, yield func(row int32, v event.Value)) {
	for _, s := range sources {
		for i, r := range s.col.Rows {
			if p := s.place[r]; p >= 0 {
				yield(p, s.col.At(i))
			}
		}
	}
}

func writeFields(w *parquet.GenericWriter[any], l *layout, rows []rowRef, values []parquet.Value, g *groupMeta) error {
	columns := w.ColumnWriters()
	sources := l.sourcesOf(rows)
	var overflow [][]byte
	for f, m := range l.meta {
		present := false
		if m.Column == "" {
			if overflow == nil {
				overflow = make([][]byte, len(rows))
			}
			each(sources[f], func(row int32, v event.Value) {
				present = true
				overflow[row] = appendOverflow(overflow[row], m.Name, v)
			})
		} else {
			leaf := l.leaf[m.Column]
			null := parquet.NullValue().Level(0, 0, leaf)
			for i := range values {
				values[i] = null
			}
			each(sources[f], func(row int32, v event.Value) {
				present = true
				values[row] = parquetValue(v).Level(0, 1, leaf)
			})
			if _, err := columns[leaf].WriteRowValues(values); err != nil {
				return fmt.Errorf("write column %q: %w", m.Column, err)
			}
		}
		if present {
			g.Fields = append(g.Fields, f)
		}
	}
	if leaf, ok := l.leaf[colOverflow]; ok {
		for i := range values {
			if overflow == nil || overflow[i] == nil {
				values[i] = parquet.NullValue().Level(0, 0, leaf)
			} else {
				values[i] = parquet.ByteArrayValue(overflow[i]).Level(0, 1, leaf)
			}
		}
		if _, err := columns[leaf].WriteRowValues(values); err != nil {
			return fmt.Errorf("write column %s: %w", colOverflow, err)
		}
	}
	return w.Flush()
}

// parquetValue lends the bytes of a string to the writer, which only reads them.
func parquetValue(v event.Value) parquet.Value {
	switch v.Kind() {
	case event.KindString:
		return parquet.ByteArrayValue(unsafe.Slice(unsafe.StringData(v.Str()), len(v.Str())))
	case event.KindInt:
		return parquet.Int64Value(v.Int())
	case event.KindFloat:
		return parquet.DoubleValue(v.Float())
	default:
		return parquet.BooleanValue(v.Bool())
	}
}

// appendOverflow appends one field to a row's overflow: name, kind, value.
func appendOverflow(dst []byte, name string, v event.Value) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(name)))
	dst = append(dst, name...)
	dst = append(dst, byte(v.Kind()))
	switch v.Kind() {
	case event.KindString:
		dst = binary.AppendUvarint(dst, uint64(len(v.Str())))
		return append(dst, v.Str()...)
	case event.KindInt:
		return binary.AppendVarint(dst, v.Int())
	case event.KindFloat:
		return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v.Float()))
	default:
		if v.Bool() {
			return append(dst, 1)
		}
		return append(dst, 0)
	}
}

// readOverflow calls yield for the fields of a row's overflow.
func readOverflow(src []byte, yield func(name string, v event.Value)) error {
	str := func() (string, bool) {
		n, k := binary.Uvarint(src)
		if k <= 0 || n > uint64(len(src)-k) {
			return "", false
		}
		s := string(src[k : k+int(n)])
		src = src[k+int(n):]
		return s, true
	}
	for len(src) > 0 {
		name, ok := str()
		if !ok || len(src) == 0 {
			return event.ErrCorrupt
		}
		kind := event.Kind(src[0])
		src = src[1:]
		var v event.Value
		switch kind {
		case event.KindString:
			s, ok := str()
			if !ok {
				return event.ErrCorrupt
			}
			v = event.String(s)
		case event.KindInt:
			i, k := binary.Varint(src)
			if k <= 0 {
				return event.ErrCorrupt
			}
			v, src = event.Int(i), src[k:]
		case event.KindFloat:
			if len(src) < 8 {
				return event.ErrCorrupt
			}
			v, src = event.Float(math.Float64frombits(binary.LittleEndian.Uint64(src))), src[8:]
		case event.KindBool:
			if len(src) < 1 {
				return event.ErrCorrupt
			}
			v, src = event.Bool(src[0] != 0), src[1:]
		default:
			return event.ErrCorrupt
		}
		yield(name, v)
	}
	return nil
}
