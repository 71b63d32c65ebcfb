package colfile

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"math/bits"
	"unsafe"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/bloom"
	"github.com/parquet-go/parquet-go/bloom/xxhash"
	"github.com/parquet-go/parquet-go/encoding/bytestreamsplit"
	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/encoding/rle"
	"github.com/parquet-go/parquet-go/format"
)

const (
	// bloomBits is the number of bits of a Bloom filter for each distinct value.
	bloomBits = 10
	// bloomEntries is the number of distinct strings from which a column gets a filter.
	bloomEntries = 512
	// bloomText is the average length from which strings are text and get a text filter.
	bloomText = 24
	// maxDictBytes bounds a dictionary page.
	maxDictBytes = 8 << 20
	// maxIntDict is the number of distinct integers up to which they get a dictionary.
	maxIntDict = 4096
	// frameBytes is how much of a dictionary is compressed together.
	frameBytes = 64 << 10
	// worth is the share of its size to which a chunk must shrink for compression to pay: what
	// hardly shrinks is read faster as it is.
	worth = 0.88
)

// Values are those of one column in one group, in the order of the rows.
type Values struct {
	// Rows are the rows that have a value, ascending; nil when all have.
	Rows []int32
	// Codes are, for strings and bytes, indexes into Dict, and for booleans 0 or 1.
	Codes []uint32
	// Dict may have entries that are not used, and equal ones.
	Dict []string
	// Nums are integers, times, or the bits of floats.
	Nums []int64
	// IDs are ids one behind the other.
	IDs []byte
}

func (v *Values) len(t Type) int {
	switch t {
	case String, Bytes, Bool:
		return len(v.Codes)
	case ID16, ID8:
		return len(v.IDs) / t.width()
	default:
		return len(v.Nums)
	}
}

// Encoded is a chunk that is ready to be written.
type Encoded struct {
	chunk Chunk // without places
	body  []byte
	bloom bloom.SplitBlockFilter
	text  []byte // compressed
	ids   []byte
	raw   int64 // size of the pages before compression
}

// Size returns the number of bytes that the chunk takes.
func (e *Encoded) Size() int { return len(e.body) + 32*len(e.bloom) + len(e.text) + len(e.ids) }

// Encoder makes chunks. It keeps its buffers; one goroutine uses it at a time.
type Encoder struct {
	zstd   *zstd.Encoder
	local  []uint32 // by entry of Values.Dict: index in the chunk's dictionary + 1
	used   []uint32 // entries of Values.Dict in the order of the chunk's dictionary
	codes  []int32
	nums   []int64
	buf    []byte
	hashes []uint64
	ints   map[int64]int32
	grams  textFilter

	seen hashSet

	raw   []byte // pages before compression
	pages []rawPage
	parts []rawFrame // of the dictionary, when it is large
	small []byte
}

// rawPage is a page in Encoder.raw.
type rawPage struct {
	end    int // behind the page before it
	levels int // size of its levels, when they are to be read by themselves
}

// rawFrame is a part of a dictionary: the entries from first on, which begin at a place of its page.
type rawFrame struct{ first, at int }

// Effort is how much work goes into the size of a file.
type Effort bool

// The efforts: Fast for what is soon written again, Small for what is kept.
const (
	Fast  Effort = false
	Small Effort = true
)

// NewEncoder returns an encoder.
func NewEncoder(effort Effort) *Encoder {
	level := zstd.SpeedFastest
	if effort == Small {
		level = zstd.SpeedBetterCompression
	}
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic(err) // the options are constants
	}
	return &Encoder{zstd: z}
}

// Encode makes the chunk of a column; rows is the number of rows of the group. v must have at
// least one value.
func (e *Encoder) Encode(column int, c Column, rows int, v Values) (*Encoded, error) {
	n := v.len(c.Type)
	if n == 0 || v.Rows != nil && len(v.Rows) != n || v.Rows == nil && n != rows || c.Required && n != rows {
		return nil, fmt.Errorf("encode column %q: %d values for %d rows", c.Name, n, rows)
	}
	out := &Encoded{chunk: Chunk{Column: column, Values: n}}
	e.raw, e.pages, e.parts = e.raw[:0], e.pages[:0], e.parts[:0]
	var body func(lo, hi int) error // appends the values lo..hi to e.raw
	switch c.Type {
	case String, Bytes:
		body = e.strings(out, c, v)
	case Int, Time:
		body = e.integers(out, c, v)
	case Float:
		out.chunk.Encoding = Split
		floatRange(&out.chunk, v.Nums)
		body = func(lo, hi int) (err error) {
			e.buf, err = (&bytestreamsplit.Encoding{}).EncodeInt64(e.buf, v.Nums[lo:hi])
			e.raw = append(e.raw, e.buf...)
			return err
		}
	case Bool:
		out.chunk.Encoding = Plain
		body = func(lo, hi int) error {
			at := len(e.raw)
			e.raw = append(e.raw, make([]byte, (hi-lo+7)/8)...)
			for i, b := range v.Codes[lo:hi] {
				e.raw[at+i/8] |= byte(b&1) << (i % 8)
			}
			return nil
		}
	case ID16, ID8:
		w := c.Type.width()
		out.chunk.Encoding = Plain
		if c.Type == ID16 {
			out.bloom = e.filter(n, func(i int) []byte { return v.IDs[i*w : i*w+w] })
			out.ids = e.pageIDs(rows, v.Rows)
		}
		body = func(lo, hi int) error {
			e.raw = append(e.raw, v.IDs[lo*w:hi*w]...)
			return nil
		}
	default:
		return nil, fmt.Errorf("encode column %q: no such type %d", c.Name, c.Type)
	}
	var sizes []int // rows of each page
	for at, lo := 0, 0; at < rows; at += PageRows {
		end := min(at+PageRows, rows)
		hi := lo
		if v.Rows == nil {
			hi = end
		} else {
			for hi < n && int(v.Rows[hi]) < end {
				hi++
			}
		}
		start, levels := len(e.raw), 0
		if !c.Required {
			var present []int32
			if v.Rows != nil {
				present = v.Rows[lo:hi]
			}
			e.raw = e.appendLevels(e.raw, at, end, hi-lo, present)
			if hi > lo && hi-lo < end-at {
				levels = len(e.raw) - start
			}
		}
		if c.Type == Time && c.Required {
			out.chunk.First = append(out.chunk.First, v.Nums[lo])
		}
		if hi > lo {
			if err := body(lo, hi); err != nil {
				return nil, fmt.Errorf("encode column %q: %w", c.Name, err)
			}
		}
		e.pages = append(e.pages, rawPage{len(e.raw), levels})
		sizes = append(sizes, end-at)
		lo = hi
	}
	out.raw = int64(len(e.raw))
	e.pack(out, func(dst []byte, i int, raw, packed int, crc uint32) []byte {
		if i < 0 {
			return appendDictHeader(dst, raw, packed, crc, out.chunk.Dict)
		}
		return appendDataHeader(dst, raw, packed, crc, sizes[i], out.chunk.Encoding.parquet())
	})
	return out, nil
}

// parquet returns the encoding's number in Parquet.
func (e Encoding) parquet() format.Encoding {
	switch e {
	case Dictionary:
		return format.RLEDictionary
	case Lengths:
		return format.DeltaLengthByteArray
	case Delta:
		return format.DeltaBinaryPacked
	case Split:
		return format.ByteStreamSplit
	default:
		return format.Plain
	}
}

// pack compresses the pages of e.raw, when it pays, and puts them behind their headers. With a
// dictionary the first of them is its page.
func (e *Encoder) pack(out *Encoded, header func(dst []byte, i int, raw, packed int, crc uint32) []byte) {
	first := 0
	if out.chunk.Encoding == Dictionary {
		first = -1
	}
	page := func(k int) []byte {
		lo := 0
		if k > 0 {
			lo = e.pages[k-1].end
		}
		return e.raw[lo:e.pages[k].end]
	}
	// Whether it pays is seen from the first pages.
	var tried []Page
	e.small = e.small[:0]
	if len(e.raw) >= 64 {
		raw := 0
		for k := range min(2, len(e.pages)) {
			tried = append(tried, e.compress(out, page(k), k+first))
			raw += len(page(k))
		}
		out.chunk.Zstd = float64(len(e.small)) <= worth*float64(raw)
	}
	for k := range e.pages {
		out.chunk.Zstd = out.chunk.Zstd || len(page(k)) > maxStored
	}
	if !out.chunk.Zstd {
		out.chunk.Frames = nil
	}
	packed := e.small // of the pages that were tried
	out.body = make([]byte, 0, len(e.raw)/2+40*len(e.pages))
	for k := range e.pages {
		raw := page(k)
		at := len(out.body)
		var p Page
		switch {
		case !out.chunk.Zstd:
			e.small = appendStored(e.small[:0], raw)
			packed = e.small
			p = Page{CRC: crc32.ChecksumIEEE(raw), Levels: e.pages[k].levels}
			if p.Levels > 0 {
				p.LevelsCRC = crc32.ChecksumIEEE(raw[:p.Levels])
			}
			p.Size = len(packed)
			out.body = header(out.body, k+first, len(raw), p.Size, crc32.ChecksumIEEE(packed))
			p.Head = len(out.body) - at + storedHead
		case k < len(tried):
			p = tried[k]
			out.body = header(out.body, k+first, len(raw), p.Size, p.CRC)
			p.Head = len(out.body) - at
		default:
			e.small = e.small[:0]
			p = e.compress(out, raw, k+first)
			packed = e.small
			out.body = header(out.body, k+first, len(raw), p.Size, p.CRC)
			p.Head = len(out.body) - at
		}
		out.body = append(out.body, packed[:p.Size]...)
		packed = packed[p.Size:]
		p.Size = len(out.body) - at
		if k+first < 0 {
			out.chunk.DictPage = p
		} else {
			out.chunk.Pages = append(out.chunk.Pages, p)
		}
	}
}

// compress appends a page to e.small, in the frames that it is to have. The page that it returns
// has no header yet.
func (e *Encoder) compress(out *Encoded, raw []byte, i int) Page {
	var p Page
	at := len(e.small)
	if i < 0 && len(e.parts) > 0 {
		out.chunk.Frames = nil
		for k, part := range e.parts {
			end := len(raw)
			if k+1 < len(e.parts) {
				end = e.parts[k+1].at
			}
			from := len(e.small)
			e.small = e.zstd.EncodeAll(raw[part.at:end], e.small)
			out.chunk.Frames = append(out.chunk.Frames, Frame{part.first, len(e.small) - from, crc32.ChecksumIEEE(e.small[from:])})
		}
	} else {
		k := i
		if out.chunk.Encoding == Dictionary {
			k++
		}
		levels := e.pages[k].levels
		if levels > 0 {
			e.small = e.zstd.EncodeAll(raw[:levels], e.small)
			p.Levels, p.LevelsCRC = len(e.small)-at, crc32.ChecksumIEEE(e.small[at:])
		}
		e.small = e.zstd.EncodeAll(raw[levels:], e.small)
	}
	p.Size, p.CRC = len(e.small)-at, crc32.ChecksumIEEE(e.small[at:])
	return p
}

const (
	// maxStored is the largest block of a zstd frame, and storedHead what stands ahead of it.
	maxStored  = 128 << 10
	storedHead = 12
)

// appendStored appends b as a zstd frame of one block that is not compressed. All chunks of a
// column are zstd to Parquet, for some of its readers look at the first chunk alone to learn the
// codec; what is stored so costs them a copy, and this package nothing.
func appendStored(dst, b []byte) []byte {
	dst = append(dst, 0x28, 0xb5, 0x2f, 0xfd, 0xa0) // the magic; one segment, its size in 4 bytes
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(b)))
	block := uint32(len(b))<<3 | 1 // the last block, raw
	dst = append(dst, byte(block), byte(block>>8), byte(block>>16))
	return append(dst, b...)
}

// appendLevels appends the definition levels of the rows at..end, which are 1 where a row has a
// value; present are those rows, unless all or none are.
func (e *Encoder) appendLevels(dst []byte, at, end, values int, present []int32) []byte {
	n := end - at
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	switch {
	case values == n:
		dst = binary.AppendUvarint(dst, uint64(n)<<1)
		dst = append(dst, 1)
	case values == 0:
		dst = binary.AppendUvarint(dst, uint64(n)<<1)
		dst = append(dst, 0)
	default:
		size := (n + 7) / 8
		dst = binary.AppendUvarint(dst, uint64(size)<<1|1)
		bitsAt := len(dst)
		dst = append(dst, make([]byte, size)...)
		for _, r := range present {
			i := int(r) - at
			dst[bitsAt+i/8] |= 1 << (i % 8)
		}
	}
	binary.LittleEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst
}

// strings chooses the encoding of a string column, puts its dictionary into e.raw, and returns
// what appends values.
func (e *Encoder) strings(out *Encoded, c Column, v Values) func(lo, hi int) error {
	n := len(v.Codes)
	dict := c.Type == String && e.localDict(v, n)
	total := 0
	if dict {
		for _, g := range e.used {
			total += len(v.Dict[g]) + 4
		}
		dict = total <= maxDictBytes
	}
	if !dict {
		out.chunk.Encoding = Lengths
		if c.Type == String {
			e.stringFilters(out, n, func(i int) string { return v.Dict[v.Codes[i]] }, pagesOf(v.Rows))
		}
		return func(lo, hi int) (err error) {
			e.codes = e.codes[:0]
			for _, g := range v.Codes[lo:hi] {
				e.codes = append(e.codes, int32(len(v.Dict[g])))
			}
			e.buf, err = (&delta.BinaryPackedEncoding{}).EncodeInt32(e.buf[:0], e.codes)
			e.raw = append(e.raw, e.buf...)
			for _, g := range v.Codes[lo:hi] {
				e.raw = append(e.raw, v.Dict[g]...)
			}
			return err
		}
	}
	out.chunk.Encoding, out.chunk.Dict = Dictionary, len(e.used)
	e.stringFilters(out, len(e.used), func(i int) string { return v.Dict[e.used[i]] }, nil)
	for i, g := range e.used {
		if k := len(e.parts); total >= 2*frameBytes && (k == 0 || len(e.raw)-e.parts[k-1].at >= frameBytes) {
			e.parts = append(e.parts, rawFrame{i, len(e.raw)})
		}
		s := v.Dict[g]
		e.raw = binary.LittleEndian.AppendUint32(e.raw, uint32(len(s)))
		e.raw = append(e.raw, s...)
	}
	e.pages = append(e.pages, rawPage{end: len(e.raw)})
	return func(lo, hi int) error {
		e.codes = e.codes[:0]
		for _, g := range v.Codes[lo:hi] {
			e.codes = append(e.codes, int32(e.local[g]-1))
		}
		return e.appendCodes(out.chunk.Dict)
	}
}

// localDict gives the entries of v.Dict that are used their place in the chunk's dictionary. It
// returns false when there are too many for one to pay. Equal entries get one place each: the
// dictionary's entries are distinct only where v.Dict's are.
func (e *Encoder) localDict(v Values, n int) bool {
	if cap(e.local) < len(v.Dict) {
		e.local = make([]uint32, len(v.Dict)+len(v.Dict)/2)
	}
	e.local = e.local[:len(v.Dict)]
	clear(e.local)
	e.used = e.used[:0]
	most := max(n*3/5, 16)
	for _, g := range v.Codes {
		if e.local[g] == 0 {
			if len(e.used) >= most {
				return false
			}
			e.used = append(e.used, g)
			e.local[g] = uint32(len(e.used))
		}
	}
	return true
}

// appendCodes appends e.codes as dictionary indexes of a page.
func (e *Encoder) appendCodes(dict int) (err error) {
	width := max(bits.Len(uint(dict-1)), 1)
	e.buf, err = (&rle.Encoding{BitWidth: width}).EncodeInt32(e.buf[:0], e.codes)
	e.raw = append(e.raw, byte(width))
	e.raw = append(e.raw, e.buf...)
	return err
}

// pagesOf returns a function that tells the page of a value; rows are those that have one, nil for
// all.
func pagesOf(rows []int32) func(i int) int {
	if rows == nil {
		return func(i int) int { return i / PageRows }
	}
	return func(i int) int { return int(rows[i]) / PageRows }
}

// stringFilters makes the filters of n strings: text gets one for what it contains, shorter
// strings, when they are many, one for the whole of them. The text filter tells pages apart when
// page gives them.
func (e *Encoder) stringFilters(out *Encoded, n int, at func(i int) string, page func(i int) int) {
	if n < bloomEntries {
		return
	}
	total := 0
	for i := range n {
		total += len(at(i))
	}
	if total >= n*bloomText {
		pages := 1
		if page != nil {
			pages = page(n-1) + 1
		}
		e.grams.reset(n, pages)
		for i := range n {
			if page != nil {
				e.grams.turn(page(i))
			}
			e.grams.add(at(i))
		}
		e.grams.end()
		out.text, out.chunk.TextWidth = e.zstd.EncodeAll(e.grams.bits, nil), e.grams.width
	}
	if total < n*128 {
		out.bloom = e.filter(n, func(i int) []byte {
			s := at(i)
			return unsafe.Slice(unsafe.StringData(s), len(s))
		})
	}
}

func (e *Encoder) filter(n int, at func(i int) []byte) bloom.SplitBlockFilter {
	f := make(bloom.SplitBlockFilter, bloom.NumSplitBlocksOf(int64(n), bloomBits))
	e.hashes = e.hashes[:0]
	for i := range n {
		e.hashes = append(e.hashes, xxhash.Sum64(at(i)))
	}
	f.InsertBulk(e.hashes)
	return f
}

// integers chooses the encoding of an integer column, puts its dictionary into e.raw, and
// returns what appends values.
func (e *Encoder) integers(out *Encoded, c Column, v Values) func(lo, hi int) error {
	out.chunk.Min, out.chunk.Max, out.chunk.HasRange = v.Nums[0], v.Nums[0], true
	for _, x := range v.Nums {
		out.chunk.Min, out.chunk.Max = min(out.chunk.Min, x), max(out.chunk.Max, x)
	}
	if c.Type == Int && e.intDict(v.Nums) {
		out.chunk.Encoding, out.chunk.Dict = Dictionary, len(e.nums)
		for _, x := range e.nums {
			e.raw = binary.LittleEndian.AppendUint64(e.raw, uint64(x))
		}
		e.pages = append(e.pages, rawPage{end: len(e.raw)})
		last, code := v.Nums[0], int32(0)
		return func(lo, hi int) error {
			e.codes = e.codes[:0]
			for _, x := range v.Nums[lo:hi] {
				if x != last {
					last, code = x, e.ints[x]
				}
				e.codes = append(e.codes, code)
			}
			return e.appendCodes(out.chunk.Dict)
		}
	}
	out.chunk.Encoding = Delta
	return func(lo, hi int) (err error) {
		e.buf, err = (&delta.BinaryPackedEncoding{}).EncodeInt64(e.buf[:0], v.Nums[lo:hi])
		e.raw = append(e.raw, e.buf...)
		return err
	}
}

// intDict collects the distinct integers into e.nums and e.ints; it returns false when they are
// too many for a dictionary to pay.
func (e *Encoder) intDict(nums []int64) bool {
	most := min(max(len(nums)/4, 16), maxIntDict)
	if e.ints == nil {
		e.ints = map[int64]int32{}
	}
	clear(e.ints)
	e.nums = e.nums[:0]
	last := nums[0] + 1
	for _, x := range nums {
		if x == last {
			continue
		}
		last = x
		if _, ok := e.ints[x]; ok {
			continue
		}
		if len(e.nums) >= most {
			return false
		}
		e.ints[x] = int32(len(e.nums))
		e.nums = append(e.nums, x)
	}
	return true
}

func floatRange(c *Chunk, nums []int64) {
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, n := range nums {
		f := math.Float64frombits(uint64(n))
		if f < lo {
			lo = f
		}
		if f > hi {
			hi = f
		}
	}
	if lo <= hi {
		c.Min, c.Max, c.HasRange = int64(math.Float64bits(lo)), int64(math.Float64bits(hi)), true
	}
}

// The page headers are Thrift's compact form of Parquet's PageHeader, written by hand: there is
// one for each page, and they are always alike.

func appendI32(dst []byte, v int) []byte { return binary.AppendVarint(dst, int64(v)) }

func appendPageHeader(dst []byte, kind format.PageType, raw, packed int, crc uint32) []byte {
	dst = append(dst, 0x15)
	dst = appendI32(dst, int(kind))
	dst = append(dst, 0x15)
	dst = appendI32(dst, raw)
	dst = append(dst, 0x15)
	dst = appendI32(dst, packed)
	dst = append(dst, 0x15)
	return appendI32(dst, int(int32(crc)))
}

func appendDataHeader(dst []byte, raw, packed int, crc uint32, rows int, enc format.Encoding) []byte {
	dst = appendPageHeader(dst, format.DataPage, raw, packed, crc)
	dst = append(dst, 0x1c, 0x15) // field 5, a struct, and its field 1
	dst = appendI32(dst, rows)
	dst = append(dst, 0x15)
	dst = appendI32(dst, int(enc))
	dst = append(dst, 0x15)
	dst = appendI32(dst, int(format.RLE))
	dst = append(dst, 0x15)
	dst = appendI32(dst, int(format.RLE))
	return append(dst, 0, 0)
}

func appendDictHeader(dst []byte, raw, packed int, crc uint32, entries int) []byte {
	dst = appendPageHeader(dst, format.DictionaryPage, raw, packed, crc)
	dst = append(dst, 0x3c, 0x15) // field 7, a struct, and its field 1
	dst = appendI32(dst, entries)
	dst = append(dst, 0x15)
	dst = appendI32(dst, int(format.Plain))
	return append(dst, 0, 0)
}
