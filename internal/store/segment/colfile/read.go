package colfile

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"math/bits"
	"os"
	"slices"
	"sync"
	"unsafe"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/bitpack"
	"github.com/parquet-go/parquet-go/bloom"
	"github.com/parquet-go/parquet-go/bloom/xxhash"
	"github.com/parquet-go/parquet-go/encoding/bytestreamsplit"
	"github.com/parquet-go/parquet-go/encoding/delta"
)

// File is an open file. Its methods may be called from many goroutines.
type File struct {
	Path    string
	Size    int64
	Meta    []byte // what was given to Writer.Finish
	Columns []Column
	Groups  []*Group

	f *os.File
}

// maxIndex bounds the decompressed index.
const maxIndex = 256 << 20

// Open opens a file and reads its index.
func Open(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	file, err := open(f, path)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open segment %s: %w", path, err), f.Close())
	}
	return file, nil
}

func open(f *os.File, path string) (*File, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	size := st.Size()
	if size < int64(len(magic))*2+4+trailerLen {
		return nil, fmt.Errorf("%w: too short", ErrCorrupt)
	}
	var tail [8]byte
	if _, err := f.ReadAt(tail[:], size-8); err != nil {
		return nil, err
	}
	footer := int64(binary.LittleEndian.Uint32(tail[:]))
	at := size - 8 - footer - trailerLen
	if string(tail[4:]) != magic || at < int64(len(magic)) {
		return nil, fmt.Errorf("%w: no footer at its end", ErrCorrupt)
	}
	var trailer [trailerLen]byte
	if _, err := f.ReadAt(trailer[:], at); err != nil {
		return nil, err
	}
	n := int64(binary.LittleEndian.Uint32(trailer[:]))
	if string(trailer[8:]) != indexMagic {
		return nil, fmt.Errorf("%w or the file is not one of Trefoil's", ErrVersion)
	}
	if n > at-int64(len(magic)) {
		return nil, fmt.Errorf("%w: place of the index", ErrCorrupt)
	}
	packed := make([]byte, n)
	if _, err := f.ReadAt(packed, at-n); err != nil {
		return nil, err
	}
	if crc32.Checksum(packed, castagnoli) != binary.LittleEndian.Uint32(trailer[4:]) {
		return nil, fmt.Errorf("%w: checksum of the index", ErrCorrupt)
	}
	d := decoders.Get().(*zstd.Decoder)
	index, err := d.DecodeAll(packed, nil)
	decoders.Put(d)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	file := &File{Path: path, Size: size, f: f}
	file.Meta, file.Columns, file.Groups, err = readIndex(index)
	return file, err
}

// Close closes the file; nothing may read it any more.
func (f *File) Close() error { return f.f.Close() }

// Chunks returns the chunks of a group, in the order of their columns.
func (f *File) Chunks(g *Group) ([]Chunk, error) {
	if c := g.chunks.Load(); c != nil {
		return *c, nil
	}
	chunks, err := g.readChunks(f.Columns, f.Size)
	if err != nil {
		return nil, fmt.Errorf("index of segment %s: %w", f.Path, err)
	}
	g.chunks.Store(&chunks)
	return chunks, nil
}

// MayHave reports whether a value may be in a chunk; value is a string, or the bytes of an id.
func (f *File) MayHave(c *Chunk, value []byte) (bool, error) {
	if c.BloomLen == 0 {
		return true, nil
	}
	return bloom.CheckSplitBlock(io.NewSectionReader(f.f, c.Bloom, int64(c.BloomLen)), int64(c.BloomLen), xxhash.Sum64(value))
}

// PagesContaining returns the pages of a chunk, a bit for each, on which a string may contain s;
// with fold in any case.
func (f *File) PagesContaining(c *Chunk, s string, fold bool) (uint32, error) {
	if c.TextLen == 0 || len(s) < gramLen {
		return everyPage, nil
	}
	packed := make([]byte, c.TextLen)
	if _, err := f.f.ReadAt(packed, c.Text); err != nil {
		return everyPage, err
	}
	d := decoders.Get().(*zstd.Decoder)
	defer decoders.Put(d)
	room := filterBits.Get().(*[]byte)
	defer filterBits.Put(room)
	bits, err := d.DecodeAll(packed, (*room)[:0])
	if err != nil {
		return everyPage, nil // a damaged filter says nothing; the pages themselves decide
	}
	*room = bits
	filter := textFilter{bits: bits, width: c.TextWidth}
	return filter.pagesWith(s, fold), nil
}

// filterBits holds memory of text filters.
var filterBits = sync.Pool{New: func() any { return new([]byte) }}

var decoders = sync.Pool{New: func() any {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxIndex), zstd.WithDecoderLowmem(true))
	if err != nil {
		panic(err) // the options are constants
	}
	return d
}}

// Dict is the dictionary of a chunk. It is immutable and may be shared.
type Dict struct {
	Nums []int64
	text []byte
	ends []uint32 // of the strings in text, each behind the four bytes of its length
}

// Len returns the number of entries.
func (d *Dict) Len() int { return len(d.ends) + len(d.Nums) }

// Str returns a string of the dictionary.
func (d *Dict) Str(i uint32) string {
	from := uint32(4)
	if i > 0 {
		from += d.ends[i-1]
	}
	b := d.text[from:d.ends[i]]
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// Bytes returns the memory that the dictionary holds.
func (d *Dict) Bytes() int { return cap(d.text) + 4*cap(d.ends) + 8*cap(d.Nums) }

// Vector holds the values of one page, one place for each row.
type Vector struct {
	Type     Type
	Encoding Encoding
	N        int
	// Valid has a bit for each row that has a value; nil when all have.
	Valid []uint64
	// Codes are, for dictionary encoding, indexes of entries, the number of entries where there
	// is no value; for booleans 0, 1, or 2 where there is no value.
	Codes []uint32
	// Nums are integers and times.
	Nums   []int64
	Floats []float64
	// IDs are 16 or 8 bytes for each row, zeros where there is no value.
	IDs []byte
	// Text and Offsets are strings: row i is Text[Offsets[i]:Offsets[i+1]]. Text is not to be written to.
	Text    []byte
	Offsets []uint32

	valid   []uint64
	packed  []byte
	body    []byte
	nums    []int64
	floats  []float64
	offs    []uint32
	few     []byte // the texts of a few rows
	lengths []int32
	ranks   []int
}

// Has reports whether row i has a value.
func (v *Vector) Has(i int) bool { return v.Valid == nil || v.Valid[i>>6]&(1<<(i&63)) != 0 }

// Str returns string i of a vector with lengths encoding. It lives as long as the vector's
// memory is not used again.
func (v *Vector) Str(i int) string {
	b := v.Text[v.Offsets[i]:v.Offsets[i+1]]
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// page reads and checks a page and returns its decompressed body, with room for padding behind.
func (f *File) page(c *Chunk, p Page, at int64, packed, body *[]byte) ([]byte, error) {
	n := p.Size - p.Head
	*packed = grown(*packed, n+bitpack.PaddingInt64)
	src := (*packed)[:n]
	if err := f.read(src, at+int64(p.Head)); err != nil {
		return nil, err
	}
	if crc32.ChecksumIEEE(src) != p.CRC {
		return nil, f.damaged(at)
	}
	return f.unpack(c, src, at, body)
}

func (f *File) read(dst []byte, at int64) error {
	if _, err := f.f.ReadAt(dst, at); err != nil {
		return fmt.Errorf("read segment %s: %w", f.Path, err)
	}
	return nil
}

func (f *File) damaged(at int64) error {
	return fmt.Errorf("segment %s: %w: checksum of the page at byte %d", f.Path, ErrCorrupt, at)
}

// unpack decompresses frames of a page, with room for padding behind. What it returns may be src.
func (f *File) unpack(c *Chunk, src []byte, at int64, body *[]byte) ([]byte, error) {
	if !c.Zstd {
		return src, nil
	}
	d := decoders.Get().(*zstd.Decoder)
	out, err := d.DecodeAll(src, (*body)[:0])
	decoders.Put(d)
	if err != nil {
		return nil, fmt.Errorf("segment %s: %w: page at byte %d: %w", f.Path, ErrCorrupt, at, err)
	}
	n := len(out)
	if cap(out) < n+bitpack.PaddingInt64 {
		out = append(out, make([]byte, bitpack.PaddingInt64)...)
	}
	*body = out
	return out[:n], nil
}

func grown[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n, n+n/4)
	}
	return s[:n]
}

// guard turns a panic of a decoder into an error.
func (f *File) guard(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("segment %s: %w: %v", f.Path, ErrCorrupt, p)
	}
}

// ReadDict reads the dictionary of a chunk.
func (f *File) ReadDict(c *Chunk, t Type) (d *Dict, err error) {
	defer f.guard(&err)
	var packed, buf []byte
	body, err := f.page(c, c.DictPage, c.Offset, &packed, &buf)
	if err != nil {
		return nil, err
	}
	if t == Int {
		if len(body) != 8*c.Dict {
			return nil, fmt.Errorf("segment %s: %w: length of a dictionary", f.Path, ErrCorrupt)
		}
		d = &Dict{Nums: make([]int64, c.Dict)}
		for i := range d.Nums {
			d.Nums[i] = int64(binary.LittleEndian.Uint64(body[8*i:]))
		}
		return d, nil
	}
	d = &Dict{text: body, ends: make([]uint32, c.Dict)}
	at := 0
	for i := range d.ends {
		if len(body)-at < 4 {
			return nil, fmt.Errorf("segment %s: %w: length of a dictionary", f.Path, ErrCorrupt)
		}
		n := binary.LittleEndian.Uint32(body[at:])
		if uint64(n) > uint64(len(body)-at-4) {
			return nil, fmt.Errorf("segment %s: %w: length of a dictionary's entry", f.Path, ErrCorrupt)
		}
		at += 4 + int(n)
		d.ends[i] = uint32(at)
	}
	if at != len(body) {
		return nil, fmt.Errorf("segment %s: %w: length of a dictionary", f.Path, ErrCorrupt)
	}
	return d, nil
}

// ReadDictFor reads the entries of a chunk's dictionary that have the given codes: entry i of what it
// returns is that of codes[i]. It pays for a few of a dictionary that has Frames.
func (f *File) ReadDictFor(c *Chunk, codes []uint32) (d *Dict, err error) {
	defer f.guard(&err)
	d = &Dict{ends: make([]uint32, len(codes))}
	order := make([]int, len(codes))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(codes[a], codes[b]) })
	var packed, body []byte
	strs := make([]string, len(codes))
	at := c.Offset + int64(c.DictPage.Head)
	for k, fr := range c.Frames {
		end := c.Dict
		if k+1 < len(c.Frames) {
			end = c.Frames[k+1].First
		}
		if len(order) == 0 {
			break
		}
		if int(codes[order[0]]) < end {
			src, err := f.page(c, Page{Size: fr.Size, CRC: fr.CRC}, at, &packed, &body)
			if err != nil {
				return nil, err
			}
			for entry := fr.First; len(order) > 0 && entry < end; entry++ {
				n := binary.LittleEndian.Uint32(src)
				text := src[4 : 4+n]
				src = src[4+n:]
				for len(order) > 0 && int(codes[order[0]]) == entry {
					strs[order[0]] = string(text)
					order = order[1:]
				}
			}
		}
		at += int64(fr.Size)
	}
	if len(order) > 0 {
		return nil, fmt.Errorf("segment %s: %w: code of a dictionary", f.Path, ErrCorrupt)
	}
	for i, s := range strs {
		d.text = append(append(d.text, 0, 0, 0, 0), s...)
		d.ends[i] = uint32(len(d.text))
	}
	return d, nil
}

// ReadPage reads page i of a chunk into v. What v held before is lost.
func (f *File) ReadPage(g *Group, c *Chunk, i int, v *Vector) (err error) {
	defer f.guard(&err)
	at := v.begin(f, g, c, i)
	body, err := f.page(c, c.Pages[i], at, &v.packed, &v.body)
	if err != nil {
		return err
	}
	n := v.N
	if !f.Columns[c.Column].Required {
		if body, n, err = v.levels(body); err != nil {
			return f.in(c, err)
		}
	}
	return f.in(c, v.values(body, n, c))
}

// begin makes v a vector of page i and returns the page's place.
func (v *Vector) begin(f *File, g *Group, c *Chunk, i int) int64 {
	at := c.Offset + int64(c.DictPage.Size)
	for _, p := range c.Pages[:i] {
		at += int64(p.Size)
	}
	v.Type, v.Encoding, v.N, v.Valid = f.Columns[c.Column].Type, c.Encoding, g.PageLen(i), nil
	return at
}

// in says where an error was.
func (f *File) in(c *Chunk, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("segment %s, column %q: %w", f.Path, f.Columns[c.Column].Field, err)
}

var errLevels = fmt.Errorf("%w: definition levels", ErrCorrupt)

// levels decodes the definition levels into Valid; n is the number of rows that have a value.
func (v *Vector) levels(body []byte) (rest []byte, n int, err error) {
	if len(body) < 4 {
		return nil, 0, errLevels
	}
	size := uint64(binary.LittleEndian.Uint32(body))
	if size > uint64(len(body)-4) {
		return nil, 0, errLevels
	}
	src, rest := body[4:4+size], body[4+size:]
	head, k := binary.Uvarint(src)
	if k <= 0 || len(src) <= k {
		return nil, 0, errLevels
	}
	src = src[k:]
	if head&1 == 0 { // one run
		if head>>1 != uint64(v.N) || len(src) != 1 {
			return nil, 0, errLevels
		}
		if src[0] == 1 {
			return rest, v.N, nil
		}
		v.valid = grown(v.valid, (v.N+63)/64)
		clear(v.valid)
		v.Valid = v.valid
		return rest, 0, nil
	}
	if head>>1 != uint64(len(src)) || len(src) != (v.N+7)/8 {
		return nil, 0, errLevels
	}
	v.valid = grown(v.valid, (v.N+63)/64)
	for i := range v.valid {
		if len(src) >= 8 {
			v.valid[i] = binary.LittleEndian.Uint64(src)
			src = src[8:]
			continue
		}
		var word [8]byte
		copy(word[:], src)
		v.valid[i] = binary.LittleEndian.Uint64(word[:])
	}
	if over := v.N & 63; over != 0 {
		v.valid[len(v.valid)-1] &= 1<<over - 1
	}
	v.Valid = v.valid
	return rest, count(v.valid), nil
}

var errValues = fmt.Errorf("%w: values of a page", ErrCorrupt)

// values decodes n values and gives each its row.
func (v *Vector) values(body []byte, n int, c *Chunk) (err error) {
	switch c.Encoding {
	case Dictionary:
		v.Codes = grown(v.Codes, v.N)
		if n == 0 {
			fill(v.Codes, uint32(c.Dict))
			return nil
		}
		if err := decodeCodes(v.Codes[:n], body); err != nil {
			return err
		}
		for _, code := range v.Codes[:n] {
			if code >= uint32(c.Dict) {
				return errValues
			}
		}
		spread(v.Codes, n, v.Valid, uint32(c.Dict))
	case Delta:
		if n == 0 {
			v.Nums = grown(v.Nums, v.N)
			clear(v.Nums)
			return nil
		}
		if v.nums, err = (&delta.BinaryPackedEncoding{}).DecodeInt64(v.nums, body); err != nil {
			return fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		if len(v.nums) != n {
			return errValues
		}
		v.nums = grownKeep(v.nums, v.N)
		v.Nums = v.nums
		spread(v.Nums, n, v.Valid, 0)
	case Split:
		if len(body) != 8*n {
			return errValues
		}
		if n == 0 {
			v.Floats = grown(v.Floats, v.N)
			clear(v.Floats)
			return nil
		}
		if v.floats, err = (&bytestreamsplit.Encoding{}).DecodeDouble(v.floats, body); err != nil {
			return fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		v.floats = grownKeep(v.floats, v.N)
		v.Floats = v.floats
		spread(v.Floats, n, v.Valid, 0)
	case Lengths:
		return v.texts(body, n)
	default:
		return v.plain(body, n)
	}
	return nil
}

// grownKeep returns s with length n and its values kept.
func grownKeep[T any](s []T, n int) []T {
	if cap(s) >= n {
		return s[:n]
	}
	out := make([]T, n, n+n/4)
	copy(out, s)
	return out
}

func (v *Vector) texts(body []byte, n int) (err error) {
	if n == 0 {
		v.Text = nil
		v.Offsets = grown(v.Offsets, v.N+1)
		clear(v.Offsets)
		return nil
	}
	if err := v.lengthsOf(body, n); err != nil {
		return err
	}
	v.offs = grown(v.offs, n+1)
	v.offs[0] = 0
	total := uint32(0)
	for i, size := range v.lengths {
		if size < 0 || uint64(total)+uint64(size) > uint64(len(body)) {
			return errValues
		}
		total += uint32(size)
		v.offs[i+1] = total
	}
	v.Text = body[len(body)-int(total):] // which stays as long as the page
	if v.Valid == nil {
		v.Offsets, v.offs = v.offs, v.Offsets
		return nil
	}
	v.Offsets = grown(v.Offsets, v.N+1)
	k := 0
	for i := range v.N {
		v.Offsets[i] = v.offs[k]
		if v.Valid[i>>6]&(1<<(i&63)) != 0 {
			k++
		}
	}
	v.Offsets[v.N] = v.offs[k]
	return nil
}

func (v *Vector) plain(body []byte, n int) error {
	if v.Type == Bool {
		if len(body) != (n+7)/8 {
			return errValues
		}
		v.Codes = grown(v.Codes, v.N)
		for i := range n {
			v.Codes[i] = uint32(body[i>>3]>>(i&7)) & 1
		}
		spread(v.Codes, n, v.Valid, 2)
		return nil
	}
	w := v.Type.width()
	if len(body) != n*w {
		return errValues
	}
	v.IDs = grown(v.IDs, v.N*w)
	if v.Valid == nil {
		copy(v.IDs, body)
		return nil
	}
	for i := range v.N {
		dst := v.IDs[i*w : i*w+w]
		if v.Valid[i>>6]&(1<<(i&63)) != 0 {
			copy(dst, body)
			body = body[w:]
		} else {
			clear(dst)
		}
	}
	return nil
}

// decodeCodes decodes a page's dictionary indexes: a byte with their width, then runs.
func decodeCodes(dst []uint32, src []byte) error {
	if len(src) == 0 {
		return errValues
	}
	width := uint(src[0])
	src = src[1:]
	if width == 0 || width > 32 {
		return errValues
	}
	for len(dst) > 0 {
		head, k := binary.Uvarint(src)
		if k <= 0 || head > math.MaxInt32 {
			return errValues
		}
		src = src[k:]
		run := int(head >> 1)
		if head&1 == 0 {
			size := int(width+7) / 8
			if run == 0 || run > len(dst) || len(src) < size {
				return errValues
			}
			var word [4]byte
			copy(word[:], src[:size])
			fill(dst[:run], binary.LittleEndian.Uint32(word[:]))
			dst, src = dst[run:], src[size:]
			continue
		}
		size := run * int(width)
		if run == 0 || len(src) < size {
			return errValues
		}
		m := min(run*8, len(dst))
		// The source has room for the padding that Unpack reads behind it; see File.page.
		bitpack.Unpack(unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(dst))), m), src[:size:cap(src)], width)
		dst, src = dst[m:], src[size:]
	}
	return nil
}

func fill[T any](s []T, v T) {
	for i := range s {
		s[i] = v
	}
}

// spread moves the n values at the front of s to the rows that have one; the other rows get none.
// It goes from the last 64 rows to the first, so that no value is overwritten that is still to be
// moved.
func spread[T any](s []T, n int, valid []uint64, none T) {
	if valid == nil {
		return
	}
	var held [64]T
	for k := len(valid) - 1; k >= 0; k-- {
		w, base := valid[k], k<<6
		block := s[base:min(base+64, len(s))]
		c := bits.OnesCount64(w)
		from := s[n-c : n]
		n -= c
		if c == len(block) {
			copy(block, from)
			continue
		}
		copy(held[:], from)
		fill(block, none)
		for j := 0; w != 0; w &= w - 1 {
			block[bits.TrailingZeros64(w)] = held[j]
			j++
		}
	}
}

func count(words []uint64) (n int) {
	for _, w := range words {
		n += bits.OnesCount64(w)
	}
	return n
}
