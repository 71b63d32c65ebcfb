package event

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
)

// ErrCorrupt is wrapped by every error of DecodeBatch.
var ErrCorrupt = errors.New("corrupt batch")

const encodingVersion = 2

// The form is the version, the text (length, bytes) that all strings are cut from in the order
// in which their lengths follow, the number of rows, the headers by column, the descriptions of
// the columns, and the columns' values.

// What a row's header has, and has in common with the row before.
const (
	hasTrace = 1 << iota
	sameTrace
	hasSpan
	hasParent
	hasStream
	sameStream
	unpacked
)

// What a column's description says beside the kind.
const (
	everyRow  = 1 << 4 // no list of rows follows
	inOrder   = 1 << 5 // the codes count up from zero and do not follow
	kindMask  = 1<<4 - 1
	knownBits = kindMask | everyRow | inOrder
)

// AppendBinary appends the batch's binary form, as the write-ahead log keeps it. The form is
// self-contained and versioned; it has no checksum of its own.
func (b *Batch) AppendBinary(dst []byte) []byte {
	text := 0
	for i := range b.Headers {
		if i == 0 || b.Headers[i].Stream != b.Headers[i-1].Stream {
			text += len(b.Headers[i].Stream)
		}
	}
	for i := range b.columns {
		text += len(b.columns[i].name)
	}
	for _, s := range b.dict {
		text += len(s)
	}
	dst = slices.Grow(dst, text+len(b.Headers)*44+len(b.rows)+len(b.codes)+4*len(b.nums)+2*len(b.dict)+8*len(b.columns))
	dst = append(dst, encodingVersion)
	dst = binary.AppendUvarint(dst, uint64(text))
	for i := range b.Headers {
		if i == 0 || b.Headers[i].Stream != b.Headers[i-1].Stream {
			dst = append(dst, b.Headers[i].Stream...)
		}
	}
	for i := range b.columns {
		dst = append(dst, b.columns[i].name...)
	}
	for i := range b.columns {
		for _, s := range b.dict[b.columns[i].dict:][:b.columns[i].size] {
			dst = append(dst, s...)
		}
	}
	dst = binary.AppendUvarint(dst, uint64(len(b.Headers)))
	dst = b.appendHeaders(dst)
	dst = binary.AppendUvarint(dst, uint64(len(b.columns)))
	for i := range b.columns {
		dst = b.appendColumn(dst, i)
	}
	for i := range b.columns {
		dst = b.appendValues(dst, i)
	}
	return dst
}

func (b *Batch) appendHeaders(dst []byte) []byte {
	prev := Header{SampleRate: 1}
	for i := range b.Headers {
		h := &b.Headers[i]
		var flags byte
		switch {
		case h.Trace.IsZero():
		case h.Trace == prev.Trace:
			flags |= sameTrace
		default:
			flags |= hasTrace
		}
		if !h.Span.IsZero() {
			flags |= hasSpan
		}
		if !h.Parent.IsZero() {
			flags |= hasParent
		}
		switch {
		case h.Stream == "":
		case h.Stream == prev.Stream:
			flags |= sameStream
		default:
			flags |= hasStream
		}
		if h.Unpacked {
			flags |= unpacked
		}
		dst = append(dst, flags)
		dst = binary.AppendVarint(dst, h.Time-prev.Time)
		if flags&hasTrace != 0 {
			dst = append(dst, h.Trace[:]...)
		}
		if flags&hasSpan != 0 {
			dst = append(dst, h.Span[:]...)
		}
		if flags&hasParent != 0 {
			dst = append(dst, h.Parent[:]...)
		}
		if flags&hasStream != 0 {
			dst = binary.AppendUvarint(dst, uint64(len(h.Stream)))
		}
		prev = *h
	}
	dst = b.appendSteps(dst, func(h *Header) uint64 { return uint64(h.Ingested) })
	dst = b.appendSteps(dst, func(h *Header) uint64 { return h.Seq })
	dst = b.appendSteps(dst, func(h *Header) uint64 { return uint64(h.Dataset) })
	return b.appendSteps(dst, func(h *Header) uint64 { return uint64(h.SampleRate) })
}

// appendSteps appends a number of each header: the first, and the difference to the one before,
// once when it is always the same, else for each row.
func (b *Batch) appendSteps(dst []byte, of func(h *Header) uint64) []byte {
	if len(b.Headers) == 0 {
		return dst
	}
	first := of(&b.Headers[0])
	var step uint64
	if len(b.Headers) > 1 {
		step = of(&b.Headers[1]) - first
	}
	want, even := first, true
	for i := range b.Headers {
		if of(&b.Headers[i]) != want {
			even = false
			break
		}
		want += step
	}
	dst = binary.AppendUvarint(dst, first)
	if even {
		return binary.AppendVarint(append(dst, 1), int64(step))
	}
	dst = append(dst, 0)
	prev := first
	for i := range b.Headers[1:] {
		n := of(&b.Headers[i+1])
		dst = binary.AppendVarint(dst, int64(n-prev))
		prev = n
	}
	return dst
}

// appendColumn appends the description of a column.
func (b *Batch) appendColumn(dst []byte, i int) []byte {
	d := &b.columns[i]
	dst = binary.AppendUvarint(dst, uint64(len(d.name)))
	flags := byte(d.kind)
	if int(d.n) == len(b.Headers) {
		flags |= everyRow
	}
	if d.kind == KindString && b.counts(d) {
		flags |= inOrder
	}
	dst = append(dst, flags)
	if flags&everyRow == 0 {
		dst = binary.AppendUvarint(dst, uint64(d.n))
	}
	if d.kind == KindString && flags&inOrder == 0 {
		dst = binary.AppendUvarint(dst, uint64(d.size))
	}
	return dst
}

// counts reports whether the codes of a column count up from zero to the end of its dictionary.
func (b *Batch) counts(d *column) bool {
	if d.n != d.size {
		return false
	}
	for i, c := range b.codes[d.data:][:d.n] {
		if c != uint32(i) {
			return false
		}
	}
	return true
}

func (b *Batch) appendValues(dst []byte, i int) []byte {
	c := b.Column(i)
	if len(c.Rows) < len(b.Headers) {
		prev := int32(-1)
		for _, r := range c.Rows {
			dst = binary.AppendUvarint(dst, uint64(r-prev))
			prev = r
		}
	}
	switch c.Kind {
	case KindString:
		for _, s := range c.Dict {
			dst = binary.AppendUvarint(dst, uint64(len(s)))
		}
		if b.counts(&b.columns[i]) {
			return dst
		}
		switch {
		case len(c.Dict) <= 1<<8:
			for _, n := range c.Codes {
				dst = append(dst, byte(n))
			}
		case len(c.Dict) <= 1<<16:
			for _, n := range c.Codes {
				dst = binary.LittleEndian.AppendUint16(dst, uint16(n))
			}
		default:
			for _, n := range c.Codes {
				dst = binary.LittleEndian.AppendUint32(dst, n)
			}
		}
	case KindBool:
		for _, n := range c.Codes {
			dst = append(dst, byte(n))
		}
	case KindInt:
		for _, n := range c.Nums {
			dst = binary.AppendVarint(dst, n)
		}
	default:
		for _, n := range c.Nums {
			dst = binary.LittleEndian.AppendUint64(dst, uint64(n))
		}
	}
	return dst
}

// DecodeBatch reads one batch from the front of src and returns what follows it. The strings
// share one copy of their part of src. It never allocates more than a small multiple of len(src).
func DecodeBatch(src []byte) (*Batch, []byte, error) {
	d := decoder{src: src}
	b := d.batch()
	if d.err != nil {
		return nil, nil, fmt.Errorf("%w: %w at byte %d", ErrCorrupt, d.err, d.pos)
	}
	return b, d.src[d.pos:], nil
}

var (
	errShort   = errors.New("truncated")
	errRange   = errors.New("value out of range")
	errVersion = errors.New("unknown version")
)

// decoder keeps the first error; after it every read returns zero.
type decoder struct {
	src  []byte
	pos  int
	text string // what is left of the text
	err  error
}

func (d *decoder) batch() *Batch {
	if v := d.byte(); d.err == nil && v != encodingVersion {
		d.err = errVersion
	}
	d.text = string(d.take(d.count(1)))
	b := &Batch{Headers: make([]Header, d.count(2))}
	size := len(d.text)
	d.headers(b.Headers)
	b.columns = make([]column, d.count(2))
	if d.err != nil {
		return nil
	}
	orders := make([]bool, len(b.columns))
	every := false
	for i := range b.columns {
		orders[i] = d.column(&b.columns[i], len(b.Headers))
		every = every || int(b.columns[i].n) == len(b.Headers)
		size -= len(b.columns[i].name)
	}
	if d.err != nil {
		return nil
	}
	d.place(b, orders, every)
	for i := range b.columns {
		if d.err == nil {
			d.values(b, &b.columns[i], orders[i])
		}
	}
	if d.err == nil && d.text != "" {
		d.err = errRange
	}
	if d.err != nil {
		return nil
	}
	for i := range b.Headers {
		if i == 0 || b.Headers[i].Stream != b.Headers[i-1].Stream {
			size -= len(b.Headers[i].Stream)
		}
	}
	b.finish(size, func(i int) uint32 { return hashString(b.columns[i].name) })
	return b
}

func (d *decoder) headers(list []Header) {
	var prev Header
	for i := range list {
		h := &list[i]
		flags := d.byte()
		h.Unpacked = flags&unpacked != 0
		h.Time = prev.Time + d.varint()
		switch {
		case flags&hasTrace != 0:
			copy(h.Trace[:], d.take(16))
		case flags&sameTrace != 0:
			h.Trace = prev.Trace
		}
		if flags&hasSpan != 0 {
			copy(h.Span[:], d.take(8))
		}
		if flags&hasParent != 0 {
			copy(h.Parent[:], d.take(8))
		}
		switch {
		case flags&hasStream != 0:
			if h.Stream = d.cut(d.uvarint(math.MaxInt32)); h.Stream == prev.Stream {
				h.Stream = prev.Stream
			}
		case flags&sameStream != 0:
			h.Stream = prev.Stream
		}
		if d.err != nil {
			return
		}
		prev = *h
	}
	d.steps(list, math.MaxUint64, func(h *Header, n uint64) { h.Ingested = int64(n) })
	d.steps(list, math.MaxUint64, func(h *Header, n uint64) { h.Seq = n })
	d.steps(list, math.MaxUint32, func(h *Header, n uint64) { h.Dataset = DatasetID(n) })
	d.steps(list, math.MaxUint32, func(h *Header, n uint64) { h.SampleRate = uint32(n) })
}

func (d *decoder) steps(list []Header, limit uint64, set func(h *Header, n uint64)) {
	if len(list) == 0 || d.err != nil {
		return
	}
	n := d.uvarint(math.MaxUint64)
	even := d.byte() == 1
	var step uint64
	if even {
		step = uint64(d.varint())
	}
	for i := range list {
		if i > 0 {
			if !even {
				step = uint64(d.varint())
			}
			n += step
		}
		if n > limit {
			d.err = errRange
		}
		if d.err != nil {
			return
		}
		set(&list[i], n)
	}
}

// column reads a column's description: name, kind and sizes. inOrder reports that it has no codes.
func (d *decoder) column(c *column, rows int) (ordered bool) {
	c.name = d.cut(d.uvarint(math.MaxInt32))
	flags := d.byte()
	c.kind = Kind(flags & kindMask)
	ordered = flags&inOrder != 0
	c.n = uint32(rows)
	if flags&everyRow == 0 {
		c.n = uint32(d.uvarint(uint64(rows)))
	}
	if ordered {
		c.size = c.n
	} else if c.kind == KindString {
		c.size = uint32(d.count(1))
	}
	if d.err == nil && (c.kind < KindString || c.kind > KindBool || flags&^byte(knownBits) != 0 || ordered && c.kind != KindString) {
		d.err = errRange
	}
	return ordered
}

// place gives every column its place in the batch's memory, which it makes. Whatever they say,
// the columns can not have more values than bytes follow.
func (d *decoder) place(b *Batch, orders []bool, every bool) {
	var rows, codes, nums, dict, least uint64
	if every {
		rows = uint64(len(b.Headers))
	}
	for i := range b.columns {
		c := &b.columns[i]
		n := uint64(c.n)
		if int(c.n) != len(b.Headers) {
			c.rows = uint32(rows)
			rows += n
			least += n
		}
		c.dict = uint32(dict)
		dict += uint64(c.size)
		least += uint64(c.size)
		if c.kind.wide() {
			c.data = uint32(nums)
			nums += n
		} else {
			c.data = uint32(codes)
			codes += n
		}
		if !orders[i] {
			least += n
		}
		if least > uint64(len(d.src)-d.pos) || least > math.MaxInt32 {
			d.err = errShort
			return
		}
	}
	b.rows, b.codes, b.nums, b.dict = make([]int32, rows), make([]uint32, codes), make([]int64, nums), make([]string, dict)
	if every {
		for i := range b.Headers {
			b.rows[i] = int32(i)
		}
	}
}

func (d *decoder) values(b *Batch, c *column, ordered bool) {
	if int(c.n) != len(b.Headers) {
		prev := int64(-1)
		for i := range b.rows[c.rows:][:c.n] {
			step := int64(d.uvarint(math.MaxInt32))
			if prev += step; step == 0 || prev >= int64(len(b.Headers)) {
				d.fail(errRange)
				return
			}
			b.rows[int(c.rows)+i] = int32(prev)
		}
	}
	if c.kind.wide() {
		d.nums(b.nums[c.data:][:c.n], c.kind)
		return
	}
	dict := b.dict[c.dict:][:c.size]
	for i := range dict {
		dict[i] = d.cut(d.uvarint(math.MaxInt32))
	}
	codes := b.codes[c.data:][:c.n]
	limit := c.size
	switch {
	case ordered:
		for i := range codes {
			codes[i] = uint32(i)
		}
		return
	case c.kind == KindBool:
		limit = 2
		fallthrough
	case limit <= 1<<8:
		for i, n := range d.take(len(codes)) {
			codes[i] = uint32(n)
		}
	case limit <= 1<<16:
		raw := d.take(2 * len(codes))
		for i := 0; i < len(raw); i += 2 {
			codes[i/2] = uint32(binary.LittleEndian.Uint16(raw[i:]))
		}
	default:
		raw := d.take(4 * len(codes))
		for i := 0; i < len(raw); i += 4 {
			codes[i/4] = binary.LittleEndian.Uint32(raw[i:])
		}
	}
	for _, n := range codes {
		if n >= limit {
			d.fail(errRange)
			return
		}
	}
}

func (d *decoder) nums(nums []int64, kind Kind) {
	if kind == KindInt {
		for i := range nums {
			nums[i] = d.varint()
		}
		return
	}
	raw := d.take(8 * len(nums))
	for i := 0; i < len(raw); i += 8 {
		nums[i/8] = int64(binary.LittleEndian.Uint64(raw[i:]))
	}
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
}

// cut takes the next n bytes of the text.
func (d *decoder) cut(n uint64) string {
	if d.err == nil && n > uint64(len(d.text)) {
		d.err = errRange
	}
	if d.err != nil {
		return ""
	}
	s := d.text[:n]
	d.text = d.text[n:]
	return s
}

// count reads a number of things that each take at least min bytes.
func (d *decoder) count(min int) int {
	n := d.uvarint(math.MaxInt32)
	if d.err == nil && n > uint64((len(d.src)-d.pos)/min) {
		d.err = errShort
		return 0
	}
	return int(n)
}

func (d *decoder) byte() byte {
	s := d.take(1)
	if len(s) == 0 {
		return 0
	}
	return s[0]
}

func (d *decoder) take(n int) []byte {
	if d.err != nil {
		return nil
	}
	if n < 0 || n > len(d.src)-d.pos {
		d.err = errShort
		return nil
	}
	s := d.src[d.pos : d.pos+n]
	d.pos += n
	return s
}

func (d *decoder) uvarint(limit uint64) uint64 {
	if d.err != nil {
		return 0
	}
	v, n := binary.Uvarint(d.src[d.pos:])
	if n <= 0 {
		d.err = errShort
		return 0
	}
	if v > limit {
		d.err = errRange
		return 0
	}
	d.pos += n
	return v
}

func (d *decoder) varint() int64 {
	if d.err != nil {
		return 0
	}
	v, n := binary.Varint(d.src[d.pos:])
	if n <= 0 {
		d.err = errShort
		return 0
	}
	d.pos += n
	return v
}
