package colfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"math"
	"os"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// builtGroup is a group whose chunks have been written.
type builtGroup struct {
	dataset          uint32
	rows             int
	minTime, maxTime int64
	chunks           []Chunk
	all              []format.ColumnChunk // by column, as Parquet wants them
	raw              int64
}

// Writer writes one file. The columns are fixed when it is made.
type Writer struct {
	f       *os.File
	out     *bufferedWriter
	columns []Column
	groups  []builtGroup
	rows    int64
	filters []filterRef
	indexes []indexRef
}

// indexRef is the column index of the chunk at a place of builtGroup.all.
type indexRef struct {
	group, at int
	bytes     []byte
}

type filterRef struct {
	group, chunk int
	encoded      *Encoded
}

// bufferedWriter counts what it writes.
type bufferedWriter struct {
	f   *os.File
	buf []byte
	n   int64
	err error
}

func (w *bufferedWriter) write(b []byte) {
	if w.err != nil {
		return
	}
	w.n += int64(len(b))
	if len(w.buf)+len(b) > cap(w.buf) {
		w.flush()
	}
	if len(b) >= cap(w.buf) {
		if w.err == nil {
			_, w.err = w.f.Write(b)
		}
		return
	}
	w.buf = append(w.buf, b...)
}

func (w *bufferedWriter) flush() {
	if w.err == nil && len(w.buf) > 0 {
		_, w.err = w.f.Write(w.buf)
	}
	w.buf = w.buf[:0]
}

// NewWriter begins a file. Columns that have a name must have different ones.
func NewWriter(f *os.File, columns []Column) *Writer {
	w := &Writer{f: f, columns: columns, out: &bufferedWriter{f: f, buf: make([]byte, 0, 256<<10)}}
	w.out.write([]byte(magic))
	return w
}

// Group writes a row group: its chunks are in the order of their columns. For a column whose
// values are kept elsewhere a chunk made by ElsewhereChunk says how many there are.
func (w *Writer) Group(dataset uint32, rows int, minTime, maxTime int64, chunks []*Encoded) error {
	g := builtGroup{dataset: dataset, rows: rows, minTime: minTime, maxTime: maxTime}
	next := 0
	for i, c := range w.columns {
		if next < len(chunks) && chunks[next].chunk.Column == i {
			e := chunks[next]
			next++
			e.chunk.Offset = w.out.n
			w.out.write(e.body)
			if len(e.bloom) > 0 || len(e.text) > 0 || len(e.ids) > 0 {
				w.filters = append(w.filters, filterRef{len(w.groups), len(g.chunks), e})
			}
			g.chunks = append(g.chunks, e.chunk)
			if e.index != nil {
				w.indexes = append(w.indexes, indexRef{len(w.groups), len(g.all), e.index})
			}
			if c.Name != "" {
				g.all = append(g.all, w.parquetChunk(c, &e.chunk, rows, e.raw))
				g.raw += e.raw
			}
			continue
		}
		if c.Required {
			return fmt.Errorf("write group: column %q has no chunk", c.Name)
		}
		if c.Name != "" {
			g.all = append(g.all, w.absent(c, rows))
		}
	}
	if next != len(chunks) {
		return errors.New("write group: chunks are not in the order of the columns")
	}
	w.rows += int64(rows)
	w.groups = append(w.groups, g)
	return w.out.err
}

// ElsewhereChunk is the chunk of a column without a name: values rows have a value of it.
func ElsewhereChunk(column, values int) *Encoded {
	return &Encoded{chunk: Chunk{Column: column, Encoding: Elsewhere, Values: values}}
}

// absent writes the one page of a chunk without values.
func (w *Writer) absent(c Column, rows int) format.ColumnChunk {
	body := []byte{0, 0, 0, 0}
	body = binary.AppendUvarint(body, uint64(rows)<<1)
	body = append(body, 0)
	binary.LittleEndian.PutUint32(body, uint32(len(body)-4))
	stored := appendStored(nil, body)
	head := appendDataHeader(nil, len(body), len(stored), crc32.ChecksumIEEE(stored), rows, format.Plain)
	at := w.out.n
	w.out.write(head)
	w.out.write(stored)
	return format.ColumnChunk{FileOffset: at, MetaData: format.ColumnMetaData{
		Type: c.Type.parquet(), Encoding: []format.Encoding{format.Plain, format.RLE}, PathInSchema: []string{c.Name},
		Codec: format.Zstd, NumValues: int64(rows), TotalUncompressedSize: int64(len(head) + len(body)), TotalCompressedSize: int64(len(head) + len(stored)), DataPageOffset: at,
		Statistics: format.Statistics{NullCount: int64(rows)},
	}}
}

func (w *Writer) parquetChunk(c Column, k *Chunk, rows int, raw int64) format.ColumnChunk {
	m := format.ColumnMetaData{
		Type: c.Type.parquet(), Encoding: []format.Encoding{k.Encoding.parquet(), format.RLE}, PathInSchema: []string{c.Name},
		Codec: format.Zstd, NumValues: int64(rows), TotalCompressedSize: k.Bytes(), DataPageOffset: k.Offset,
		Statistics: format.Statistics{NullCount: int64(rows - k.Values)},
	}
	head := func(p Page) int64 {
		if k.Zstd {
			return int64(p.Head)
		}
		return int64(p.Head - storedHead)
	}
	m.TotalUncompressedSize = raw
	for _, p := range k.Pages {
		m.TotalUncompressedSize += head(p)
	}
	if k.DictPage.Size > 0 {
		m.Encoding = append(m.Encoding, format.Plain)
		m.DictionaryPageOffset = k.Offset
		m.DataPageOffset = k.Offset + int64(k.DictPage.Size)
		m.TotalUncompressedSize += head(k.DictPage)
	}
	if k.HasRange {
		lo, hi := k.Min, k.Max
		if c.Type == Float {
			lo, hi = k.floatBounds()
		}
		m.Statistics.MinValue, m.Statistics.MaxValue = binary.LittleEndian.AppendUint64(nil, uint64(lo)), binary.LittleEndian.AppendUint64(nil, uint64(hi))
	}
	return format.ColumnChunk{FileOffset: k.Offset, MetaData: m}
}

func (t Type) parquet() format.Type {
	switch t {
	case String, Bytes:
		return format.ByteArray
	case Int, Time:
		return format.Int64
	case Float:
		return format.Double
	case Bool:
		return format.Boolean
	default:
		return format.FixedLenByteArray
	}
}

func schema(columns []Column) []format.SchemaElement {
	out := []format.SchemaElement{{Name: "trefoil"}}
	named := int32(0)
	for _, c := range columns {
		if c.Name == "" {
			continue
		}
		named++
		e := format.SchemaElement{Name: c.Name, Type: thrift.New(c.Type.parquet()), RepetitionType: thrift.New(format.Optional)}
		if c.Required {
			e.RepetitionType = thrift.New(format.Required)
		}
		switch c.Type {
		case String:
			e.ConvertedType = thrift.New(deprecated.UTF8)
			e.LogicalType = format.LogicalType{Value: &format.StringType{}}
		case Time:
			e.LogicalType = format.LogicalType{Value: &format.TimestampType{IsAdjustedToUTC: true, Unit: format.TimeUnit{Value: &format.NanoSeconds{}}}}
		case ID16, ID8:
			e.TypeLength = thrift.New(int32(c.Type.width()))
		}
		out = append(out, e)
	}
	out[0].NumChildren = thrift.New(named)
	return out
}

// Finish writes what stands behind the groups; meta is the owner's own and comes back from Open.
// The file is neither synced nor closed.
func (w *Writer) Finish(meta []byte) error {
	for _, f := range w.filters {
		g := &w.groups[f.group]
		c := &g.chunks[f.chunk]
		if len(f.encoded.bloom) > 0 {
			bits := f.encoded.bloom.Bytes()
			head, err := thrift.Marshal(new(thrift.CompactProtocol), &format.BloomFilterHeader{
				NumBytes: int32(len(bits)), Algorithm: format.BloomFilterAlgorithm{Value: &format.SplitBlockAlgorithm{}},
				Hash: format.BloomFilterHash{Value: &format.XxHash{}}, Compression: format.BloomFilterCompression{Value: &format.BloomFilterUncompressed{}},
			})
			if err != nil {
				return err
			}
			m := w.parquetOf(g, c.Column)
			m.BloomFilterOffset, m.BloomFilterLength = w.out.n, int32(len(head)+len(bits))
			w.out.write(head)
			c.Bloom, c.BloomLen = w.out.n, len(bits)
			w.out.write(bits)
		}
		if len(f.encoded.text) > 0 {
			c.Text, c.TextLen = w.out.n, len(f.encoded.text)
			w.out.write(f.encoded.text)
		}
		if len(f.encoded.ids) > 0 {
			c.IDs, c.IDsLen = w.out.n, len(f.encoded.ids)
			w.out.write(f.encoded.ids)
		}
	}
	for _, x := range w.indexes {
		c := &w.groups[x.group].all[x.at]
		c.ColumnIndexOffset, c.ColumnIndexLength = w.out.n, int32(len(x.bytes))
		w.out.write(x.bytes)
	}
	if err := w.offsetIndexes(); err != nil {
		return err
	}
	z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return err
	}
	index := z.EncodeAll(appendIndex(nil, meta, w.columns, w.groups), nil)
	_ = z.Close()
	w.out.write(index)
	trailer := binary.LittleEndian.AppendUint32(nil, uint32(len(index)))
	trailer = binary.LittleEndian.AppendUint32(trailer, crc32.Checksum(index, castagnoli))
	w.out.write(append(trailer, indexMagic...))
	return w.footer(meta)
}

// parquetOf returns Parquet's metadata of the chunk of a column.
func (w *Writer) parquetOf(g *builtGroup, column int) *format.ColumnMetaData {
	i := 0
	for _, c := range w.columns[:column] {
		if c.Name != "" {
			i++
		}
	}
	return &g.all[i].MetaData
}

// offsetIndexes writes the other half of Parquet's page index: where the pages are.
func (w *Writer) offsetIndexes() error {
	for i := range w.groups {
		g := &w.groups[i]
		next, at := 0, 0
		for col, c := range w.columns {
			if c.Name == "" {
				if next < len(g.chunks) && g.chunks[next].Column == col {
					next++
				}
				continue
			}
			if next < len(g.chunks) && g.chunks[next].Column == col {
				k := &g.chunks[next]
				next++
				index := format.OffsetIndex{}
				offset := k.Offset + int64(k.DictPage.Size)
				for p := range k.Pages {
					index.PageLocations = append(index.PageLocations, format.PageLocation{Offset: offset, CompressedPageSize: int32(k.Pages[p].Size), FirstRowIndex: int64(p) * PageRows})
					offset += int64(k.Pages[p].Size)
				}
				if indexed(col, len(k.Pages)) {
					b, err := thrift.Marshal(new(thrift.CompactProtocol), &index)
					if err != nil {
						return err
					}
					g.all[at].OffsetIndexOffset, g.all[at].OffsetIndexLength = w.out.n, int32(len(b))
					w.out.write(b)
				}
			}
			at++
		}
	}
	return w.out.err
}

func (w *Writer) footer(meta []byte) error {
	m := format.FileMetaData{
		Version: 1, Schema: schema(w.columns), NumRows: w.rows, CreatedBy: "trefoil",
		KeyValueMetadata: []format.KeyValue{{Key: "trefoil", Value: string(meta)}},
	}
	for range m.Schema[1:] {
		m.ColumnOrders = append(m.ColumnOrders, format.ColumnOrder{Value: &format.TypeDefinedOrder{}})
	}
	for i := range w.groups {
		g := &w.groups[i]
		rg := format.RowGroup{Columns: g.all, NumRows: int64(g.rows), TotalByteSize: g.raw}
		if len(g.all) > 0 {
			rg.FileOffset = g.all[0].MetaData.DataPageOffset
		}
		if i <= math.MaxInt16 {
			rg.Ordinal = int16(i)
		}
		for _, c := range g.all {
			rg.TotalCompressedSize += c.MetaData.TotalCompressedSize
		}
		m.RowGroups = append(m.RowGroups, rg)
	}
	b, err := thrift.Marshal(new(thrift.CompactProtocol), &m)
	if err != nil {
		return err
	}
	w.out.write(b)
	w.out.write(binary.LittleEndian.AppendUint32(nil, uint32(len(b))))
	w.out.write([]byte(magic))
	w.out.flush()
	return w.out.err
}

// Size returns the number of bytes written so far.
func (w *Writer) Size() int64 { return w.out.n }
