package colfile

import (
	"encoding/binary"
	"fmt"
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
	// frameBytes is how much of a dictionary is compressed together, and the least of the texts of a
	// page that has longTexts of them or more; textBytes is the most of those.
	frameBytes = 64 << 10
	textBytes  = 256 << 10
	longTexts  = 256 << 10
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
	index []byte // Parquet's column index
	raw   int64  // size of the pages before compression
}

// Size returns the number of bytes that the chunk takes.
func (e *Encoded) Size() int {
	return len(e.body) + 32*len(e.bloom) + len(e.text) + len(e.ids) + len(e.index)
}

// Encoder makes chunks. It keeps its buffers; one goroutine uses it at a time.
type Encoder struct {
	local  []uint32 // by entry of Values.Dict: index in the chunk's dictionary + 1
	used   []uint32 // entries of Values.Dict in the order of the chunk's dictionary
	codes  []int32
	nums   []int64
	buf    []byte
	hashes []uint64
	ints   map[int64]int32
	grams  textFilter
	bounds pageBounds

	seen hashSet

	packer
}

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
	return &Encoder{packer: packer{zstd: z}}
}

// Encode makes the chunk of a column; rows is the number of rows of the group. v must have at
// least one value.
func (e *Encoder) Encode(column int, c Column, rows int, v Values) (*Encoded, error) {
	n := v.len(c.Type)
	if n == 0 || v.Rows != nil && len(v.Rows) != n || v.Rows == nil && n != rows || c.Required && n != rows {
		return nil, fmt.Errorf("encode column %q: %d values for %d rows", c.Name, n, rows)
	}
	out := &Encoded{chunk: Chunk{Column: column, Values: n}}
	e.begin(out)
	e.bounds.reset()
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
		e.large = min(rows, PageRows)*w+levelBytes > maxStored
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
		if c.Type == Int || c.Type == Time || c.Type == Float {
			e.bounds.add(c.Type, v.Nums[lo:hi], end-at)
		}
		if c.Type == Time && c.Required {
			out.chunk.First = append(out.chunk.First, v.Nums[lo])
		}
		if hi > lo {
			if err := body(lo, hi); err != nil {
				return nil, fmt.Errorf("encode column %q: %w", c.Name, err)
			}
		}
		e.cut(rawPage{rows: end - at, levels: levels})
		lo = hi
	}
	e.end()
	var err error
	out.index, err = e.bounds.marshal(c.Type, column)
	return out, err
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
		e.large = longPage(v)
		if c.Type == String {
			e.stringFilters(out, n, func(i int) string { return v.Dict[v.Codes[i]] }, pagesOf(v.Rows))
		}
		return func(lo, hi int) (err error) {
			e.codes = e.codes[:0]
			total := 0
			for _, g := range v.Codes[lo:hi] {
				e.codes = append(e.codes, int32(len(v.Dict[g])))
				total += len(v.Dict[g])
			}
			e.buf, err = (&delta.BinaryPackedEncoding{}).EncodeInt32(e.buf[:0], e.codes)
			e.raw = append(e.raw, e.buf...)
			if total >= longTexts {
				e.parts = []rawFrame{{}, {0, e.size()}}
			}
			frame := min(max(total/4, frameBytes), textBytes)
			for i, g := range v.Codes[lo:hi] {
				if k := len(e.parts); k > 0 && e.size()-e.parts[k-1].at >= frame {
					e.parts = append(e.parts, rawFrame{i, e.size()})
				}
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
	e.large = total > maxStored
	e.cut(rawPage{dict: true})
	return func(lo, hi int) error {
		e.codes = e.codes[:0]
		for _, g := range v.Codes[lo:hi] {
			e.codes = append(e.codes, int32(e.local[g]-1))
		}
		return e.appendCodes(out.chunk.Dict)
	}
}

// longPage reports whether the strings of some page may be more than can be stored as they are.
func longPage(v Values) bool {
	page := pagesOf(v.Rows)
	size, last := 0, -1
	for i, g := range v.Codes {
		if p := page(i); p != last {
			size, last = levelBytes, p
		}
		if size += len(v.Dict[g]) + binary.MaxVarintLen32; size > maxStored {
			return true
		}
	}
	return false
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
		e.cut(rawPage{dict: true})
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
