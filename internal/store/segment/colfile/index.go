package colfile

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
)

// Type is the type of a column's values.
type Type uint8

// The types.
const (
	String Type = iota + 1
	Int
	Float
	Bool
	Time  // nanoseconds since the epoch
	ID16  // 16 bytes
	ID8   // 8 bytes
	Bytes // any bytes
)

// String returns the name of a type.
func (t Type) String() string {
	if t < String || t > Bytes {
		return "invalid"
	}
	return [...]string{"string", "int", "float", "bool", "time", "id16", "id8", "bytes"}[t-1]
}

func (t Type) width() int {
	if t == ID16 {
		return 16
	}
	return 8
}

// Encoding is the form of a chunk's values in the file.
type Encoding uint8

// The encodings.
const (
	Dictionary Encoding = iota + 1 // strings, integers
	Lengths                        // strings and bytes, delta coded lengths, then the bytes
	Delta                          // integers and times
	Split                          // floats, byte-stream split
	Plain                          // ids, booleans
	Elsewhere                      // values are in another column; the chunk only says that there are some
)

// String returns the name of an encoding.
func (e Encoding) String() string {
	if e < Dictionary || e > Elsewhere {
		return "invalid"
	}
	return [...]string{"dictionary", "lengths", "delta", "split", "plain", "elsewhere"}[e-1]
}

// Column is a column of a file.
type Column struct {
	// Name is the column's name in Parquet's schema; empty when the field's values are kept in
	// another column.
	Name string
	// Field is what the owner of the file calls it.
	Field string
	Type  Type
	// Required columns have a value in every row.
	Required bool
}

// Chunk is the part of a column that is in one group.
type Chunk struct {
	Column   int
	Encoding Encoding
	// Zstd tells that pages are compressed; the others are stored in frames of zstd, whose heads
	// count as the pages'.
	Zstd bool
	// Values is the number of rows that have a value.
	Values int
	// Offset is the place of the dictionary page, if there is one, else of the first data page.
	Offset int64
	// Dict is the number of entries of the dictionary, and DictPage its page.
	Dict     int
	DictPage Page
	Pages    []Page
	// Min and Max bound the values of integer and time columns and, as the bits of a double,
	// of float columns; HasRange is false when there are none (or only NaN).
	Min, Max int64
	HasRange bool
	// First is, of time columns, the first value of each page.
	First []int64
	// Bloom is the place of the split-block filter's bits, BloomLen their number of bytes.
	Bloom    int64
	BloomLen int
	// Text is the place of the text filter and TextLen its size in the file; TextWidth is the
	// number of bytes that it has for each run of letters, 0 when it does not tell pages apart.
	Text      int64
	TextLen   int
	TextWidth int
	// IDs is the place of the filter of each page's ids, IDsLen its size.
	IDs    int64
	IDsLen int
	// Frames are the parts of a dictionary page that is compressed in several.
	Frames []Frame
}

// Frame is a part of a page, behind the one before it.
type Frame struct {
	First int // its first entry or value
	Size  int
	CRC   uint32
}

// Page is a page's place behind the one before it.
type Page struct {
	Size int    // with its header
	Head int    // size of the header
	CRC  uint32 // of what follows the header
	// Levels is how much of what follows the header holds the definition levels, and LevelsCRC
	// its checksum; 0 where they can not be read by themselves.
	Levels    int
	LevelsCRC uint32
	// Frames are the parts of a page of long texts behind its levels: the lengths, and texts.
	Frames []Frame
}

// MinFloat returns Min of a float column.
func (c *Chunk) MinFloat() float64 { return math.Float64frombits(uint64(c.Min)) }

// MaxFloat returns Max of a float column.
func (c *Chunk) MaxFloat() float64 { return math.Float64frombits(uint64(c.Max)) }

// Bytes returns the size of the chunk's pages.
func (c *Chunk) Bytes() int64 {
	n := int64(c.DictPage.Size)
	for i := range c.Pages {
		n += int64(c.Pages[i].Size)
	}
	return n
}

// Group is a row group.
type Group struct {
	Dataset          uint32
	Rows             int
	MinTime, MaxTime int64

	raw    []byte // the encoded chunks
	chunks atomic.Pointer[[]Chunk]
}

// Pages returns the number of pages of each chunk.
func (g *Group) Pages() int { return (g.Rows + PageRows - 1) / PageRows }

// PageLen returns the number of rows of page i.
func (g *Group) PageLen(i int) int { return min(PageRows, g.Rows-i*PageRows) }

// appendIndex appends the binary form of a file's index.
func appendIndex(dst []byte, meta []byte, columns []Column, groups []builtGroup) []byte {
	dst = append(dst, Version)
	dst = appendBytes(dst, meta)
	dst = binary.AppendUvarint(dst, uint64(len(columns)))
	for _, c := range columns {
		dst = appendBytes(dst, []byte(c.Name))
		dst = appendBytes(dst, []byte(c.Field))
		required := byte(0)
		if c.Required {
			required = 1
		}
		dst = append(dst, byte(c.Type), required)
	}
	dst = binary.AppendUvarint(dst, uint64(len(groups)))
	var chunks []byte
	for i := range groups {
		g := &groups[i]
		dst = binary.AppendUvarint(dst, uint64(g.dataset))
		dst = binary.AppendUvarint(dst, uint64(g.rows))
		dst = binary.AppendVarint(dst, g.minTime)
		dst = binary.AppendVarint(dst, g.maxTime)
		chunks = chunks[:0]
		chunks = binary.AppendUvarint(chunks, uint64(len(g.chunks)))
		for j := range g.chunks {
			chunks = appendChunk(chunks, &g.chunks[j])
		}
		dst = appendBytes(dst, chunks)
	}
	return dst
}

func appendBytes(dst, b []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(b)))
	return append(dst, b...)
}

const (
	flagZstd = 1 << iota
	flagDict
	flagRange
	flagBloom
	flagText
	flagFirst
	flagLevels
	flagIDs
	flagFrames
	flagTexts
	flagsEnd
)

func appendChunk(dst []byte, c *Chunk) []byte {
	levels := slices.ContainsFunc(c.Pages, func(p Page) bool { return p.Levels > 0 })
	texts := slices.ContainsFunc(c.Pages, func(p Page) bool { return p.Frames != nil })
	flags := uint64(0)
	for _, f := range []struct {
		on  bool
		bit uint64
	}{
		{c.Zstd, flagZstd}, {c.DictPage.Size > 0, flagDict}, {c.HasRange, flagRange}, {c.BloomLen > 0, flagBloom}, {c.TextLen > 0, flagText},
		{c.First != nil, flagFirst}, {levels, flagLevels}, {c.IDsLen > 0, flagIDs}, {c.Frames != nil, flagFrames}, {texts, flagTexts},
	} {
		if f.on {
			flags |= f.bit
		}
	}
	dst = binary.AppendUvarint(dst, uint64(c.Column))
	dst = append(dst, byte(c.Encoding))
	dst = binary.AppendUvarint(dst, flags)
	dst = binary.AppendUvarint(dst, uint64(c.Values))
	if c.Encoding == Elsewhere {
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(c.Offset))
	page := func(p Page) {
		dst = binary.AppendUvarint(dst, uint64(p.Size))
		dst = binary.AppendUvarint(dst, uint64(p.Head))
		dst = binary.LittleEndian.AppendUint32(dst, p.CRC)
	}
	if flags&flagDict != 0 {
		dst = binary.AppendUvarint(dst, uint64(c.Dict))
		page(c.DictPage)
	}
	for _, p := range c.Pages {
		page(p)
		if levels {
			dst = binary.AppendUvarint(dst, uint64(p.Levels))
			if p.Levels > 0 {
				dst = binary.LittleEndian.AppendUint32(dst, p.LevelsCRC)
			}
		}
		if texts {
			dst = appendFrames(dst, p.Frames)
		}
	}
	if c.Frames != nil {
		dst = appendFrames(dst, c.Frames)
	}
	if flags&flagRange != 0 {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(c.Min))
		dst = binary.LittleEndian.AppendUint64(dst, uint64(c.Max))
	}
	if flags&flagBloom != 0 {
		dst = binary.AppendUvarint(dst, uint64(c.Bloom))
		dst = binary.AppendUvarint(dst, uint64(c.BloomLen))
	}
	if flags&flagText != 0 {
		dst = binary.AppendUvarint(dst, uint64(c.Text))
		dst = binary.AppendUvarint(dst, uint64(c.TextLen))
		dst = binary.AppendUvarint(dst, uint64(c.TextWidth))
	}
	if flags&flagIDs != 0 {
		dst = binary.AppendUvarint(dst, uint64(c.IDs))
		dst = binary.AppendUvarint(dst, uint64(c.IDsLen))
	}
	last := int64(0)
	for _, t := range c.First {
		dst = binary.AppendVarint(dst, t-last)
		last = t
	}
	return dst
}

func appendFrames(dst []byte, frames []Frame) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(frames)))
	for _, f := range frames {
		dst = binary.AppendUvarint(dst, uint64(f.First))
		dst = binary.AppendUvarint(dst, uint64(f.Size))
		dst = binary.LittleEndian.AppendUint32(dst, f.CRC)
	}
	return dst
}

// indexReader keeps the first error; after it every read returns zero.
type indexReader struct {
	src []byte
	err error
}

func (r *indexReader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrCorrupt, what)
	}
	r.src = nil
}

func (r *indexReader) byte() byte {
	if len(r.src) == 0 {
		r.fail("index ends early")
		return 0
	}
	b := r.src[0]
	r.src = r.src[1:]
	return b
}

func (r *indexReader) uvarint(most uint64) uint64 {
	v, n := binary.Uvarint(r.src)
	if n <= 0 || v > most {
		r.fail("number out of range in index")
		return 0
	}
	r.src = r.src[n:]
	return v
}

func (r *indexReader) varint() int64 {
	v, n := binary.Varint(r.src)
	if n <= 0 {
		r.fail("number out of range in index")
		return 0
	}
	r.src = r.src[n:]
	return v
}

func (r *indexReader) take(n uint64) []byte {
	if n > uint64(len(r.src)) {
		r.fail("index ends early")
		return nil
	}
	b := r.src[:n]
	r.src = r.src[n:]
	return b
}

func (r *indexReader) bytes() []byte { return r.take(r.uvarint(math.MaxInt32)) }

func (r *indexReader) u32() uint32 {
	if b := r.take(4); r.err == nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *indexReader) u64() uint64 {
	if b := r.take(8); r.err == nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// readIndex decodes an index; size is that of the file.
func readIndex(src []byte) (meta []byte, columns []Column, groups []*Group, err error) {
	r := &indexReader{src: src}
	if v := r.byte(); r.err == nil && v != Version {
		return nil, nil, nil, fmt.Errorf("%w: %d", ErrVersion, v)
	}
	meta = r.bytes()
	n := r.uvarint(uint64(len(src)))
	for i := uint64(0); i < n && r.err == nil; i++ {
		c := Column{Name: string(r.bytes()), Field: string(r.bytes()), Type: Type(r.byte()), Required: r.byte() != 0}
		if c.Type < String || c.Type > Bytes {
			r.fail("type of a column")
		}
		columns = append(columns, c)
	}
	n = r.uvarint(uint64(len(src)))
	for i := uint64(0); i < n && r.err == nil; i++ {
		g := &Group{Dataset: uint32(r.uvarint(math.MaxUint32)), Rows: int(r.uvarint(math.MaxInt32)), MinTime: r.varint(), MaxTime: r.varint(), raw: r.bytes()}
		if g.Rows == 0 {
			r.fail("empty group")
		}
		groups = append(groups, g)
	}
	if r.err == nil && len(r.src) > 0 {
		r.fail("index is longer than its content")
	}
	return meta, columns, groups, r.err
}

// readChunks decodes the chunks of a group, in the order of their columns.
func (g *Group) readChunks(columns []Column, size int64) ([]Chunk, error) {
	r := &indexReader{src: g.raw}
	n := r.uvarint(uint64(len(g.raw)))
	chunks := make([]Chunk, 0, n)
	pages := g.Pages()
	page := func(at *int64) Page {
		p := Page{Size: int(r.uvarint(math.MaxInt32)), Head: int(r.uvarint(math.MaxInt32)), CRC: r.u32()}
		if p.Head > p.Size || *at+int64(p.Size) > size {
			r.fail("place of a page")
		}
		*at += int64(p.Size)
		return p
	}
	last := -1
	for range n {
		c := Chunk{Column: int(r.uvarint(uint64(len(columns))))}
		if r.err == nil && (c.Column >= len(columns) || c.Column <= last) {
			r.fail("column of a chunk")
		}
		last = c.Column
		c.Encoding = Encoding(r.byte())
		flags := r.uvarint(flagsEnd - 1)
		c.Zstd = flags&flagZstd != 0
		c.Values = int(r.uvarint(uint64(g.Rows)))
		if r.err != nil {
			return nil, r.err
		}
		if !c.Encoding.fits(columns[c.Column].Type) {
			r.fail("encoding of a chunk")
			return nil, r.err
		}
		if c.Encoding == Elsewhere {
			chunks = append(chunks, c)
			continue
		}
		c.Offset = int64(r.uvarint(uint64(size)))
		at := c.Offset
		if flags&flagDict != 0 {
			c.Dict = int(r.uvarint(uint64(g.Rows)))
			c.DictPage = page(&at)
		}
		if (c.Encoding == Dictionary) != (flags&flagDict != 0) {
			r.fail("dictionary of a chunk")
		}
		if pages > len(r.src) {
			r.fail("index ends early")
			return nil, r.err
		}
		c.Pages = make([]Page, pages)
		for i := range c.Pages {
			p := page(&at)
			if flags&flagLevels != 0 {
				if p.Levels = int(r.uvarint(uint64(p.Size - p.Head))); p.Levels > 0 {
					p.LevelsCRC = r.u32()
				}
			}
			if flags&flagTexts != 0 {
				p.Frames = r.frames(g.PageLen(i), p.Size-p.Head-p.Levels, true)
			}
			c.Pages[i] = p
		}
		if flags&flagFrames != 0 {
			if c.Frames = r.frames(c.Dict, c.DictPage.Size-c.DictPage.Head, false); c.Frames == nil {
				r.fail("part of a page")
			}
		}
		if flags&flagRange != 0 {
			c.Min, c.Max, c.HasRange = int64(r.u64()), int64(r.u64()), true
		}
		if flags&flagBloom != 0 {
			c.Bloom, c.BloomLen = int64(r.uvarint(uint64(size))), int(r.uvarint(math.MaxInt32))
			if c.BloomLen%32 != 0 || c.Bloom+int64(c.BloomLen) > size {
				r.fail("place of a filter")
			}
		}
		if flags&flagText != 0 {
			c.Text, c.TextLen, c.TextWidth = int64(r.uvarint(uint64(size))), int(r.uvarint(math.MaxInt32)), int(r.uvarint(maskedPages/8))
			if c.Text+int64(c.TextLen) > size {
				r.fail("place of a filter")
			}
		}
		if flags&flagIDs != 0 {
			c.IDs, c.IDsLen = int64(r.uvarint(uint64(size))), int(r.uvarint(math.MaxInt32))
			if c.IDsLen%(32*pages) != 0 || pages > maskedPages || c.IDs+int64(c.IDsLen) > size {
				r.fail("place of a filter")
			}
		}
		if flags&flagFirst != 0 {
			c.First = make([]int64, pages)
			t := int64(0)
			for i := range c.First {
				t += r.varint()
				c.First[i] = t
			}
		}
		if r.err != nil {
			return nil, r.err
		}
		chunks = append(chunks, c)
	}
	if r.err == nil && len(r.src) > 0 {
		r.fail("index is longer than its content")
	}
	return chunks, r.err
}

// frames reads the parts of a page of so many entries, which fill size bytes. With heads the first part
// has none of the entries.
func (r *indexReader) frames(entries, size int, heads bool) []Frame {
	n := r.uvarint(uint64(len(r.src)))
	var list []Frame
	next := 0
	for i := range n {
		f := Frame{First: int(r.uvarint(uint64(entries))), Size: int(r.uvarint(uint64(size))), CRC: r.u32()}
		if f.First < next || next == 0 && f.First > 0 {
			r.fail("part of a page")
		}
		if r.err != nil {
			return nil
		}
		if i > 0 || !heads {
			next = f.First + 1
		}
		size -= f.Size
		list = append(list, f)
	}
	if n > 0 && size != 0 {
		r.fail("part of a page")
	}
	return list
}

// fits reports whether values of a type can be encoded so.
func (e Encoding) fits(t Type) bool {
	switch e {
	case Dictionary:
		return t == String || t == Int
	case Lengths:
		return t == String || t == Bytes
	case Delta:
		return t == Int || t == Time
	case Split:
		return t == Float
	case Plain:
		return t == Bool || t == ID16 || t == ID8
	case Elsewhere:
		return true
	default:
		return false
	}
}
