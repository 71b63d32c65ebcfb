package event

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// ErrCorrupt is wrapped by every error of DecodeBatch.
var ErrCorrupt = errors.New("corrupt batch")

const encodingVersion = 1

// AppendBinary appends the batch's binary form, as the write-ahead log keeps it. The form is
// self-contained and versioned; it has no checksum of its own.
func (b *Batch) AppendBinary(dst []byte) []byte {
	dst = append(dst, encodingVersion)
	dst = binary.AppendUvarint(dst, uint64(b.Dataset))
	dst = binary.AppendUvarint(dst, uint64(len(b.Headers)))
	var prevTime, prevIngested int64
	var prevSeq uint64
	for i := range b.Headers {
		h := &b.Headers[i]
		dst = binary.AppendVarint(dst, h.Time-prevTime)
		dst = binary.AppendVarint(dst, h.Ingested-prevIngested)
		dst = binary.AppendVarint(dst, int64(h.Seq-prevSeq))
		prevTime, prevIngested, prevSeq = h.Time, h.Ingested, h.Seq
		var flags byte
		if !h.Trace.IsZero() {
			flags |= 1
		}
		if !h.Span.IsZero() {
			flags |= 2
		}
		if !h.Parent.IsZero() {
			flags |= 4
		}
		if h.Stream != "" {
			flags |= 8
		}
		if h.SampleRate > 1 {
			flags |= 16
		}
		dst = append(dst, flags)
		if flags&1 != 0 {
			dst = append(dst, h.Trace[:]...)
		}
		if flags&2 != 0 {
			dst = append(dst, h.Span[:]...)
		}
		if flags&4 != 0 {
			dst = append(dst, h.Parent[:]...)
		}
		if flags&8 != 0 {
			dst = appendString(dst, h.Stream)
		}
		if flags&16 != 0 {
			dst = binary.AppendUvarint(dst, uint64(h.SampleRate))
		}
	}
	dst = binary.AppendUvarint(dst, uint64(len(b.Columns)))
	for _, c := range b.Columns {
		dst = appendString(dst, c.Name)
		dst = append(dst, byte(c.Kind))
		dst = binary.AppendUvarint(dst, uint64(len(c.Rows)))
		prev := int32(-1)
		for _, r := range c.Rows {
			dst = binary.AppendUvarint(dst, uint64(r-prev))
			prev = r
		}
		switch c.Kind {
		case KindString:
			for _, s := range c.Strings {
				dst = appendString(dst, s)
			}
		case KindInt:
			for _, v := range c.Ints {
				dst = binary.AppendVarint(dst, v)
			}
		case KindFloat:
			for _, v := range c.Floats {
				dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
			}
		default:
			for _, v := range c.Bools {
				if v {
					dst = append(dst, 1)
				} else {
					dst = append(dst, 0)
				}
			}
		}
	}
	return dst
}

func appendString(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// DecodeBatch reads one batch from the front of src and returns what follows it. Strings are
// copied out of src. It never allocates more than a small multiple of len(src).
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
	src []byte
	pos int
	err error
}

func (d *decoder) batch() *Batch {
	if v := d.byte(); d.err == nil && v != encodingVersion {
		d.err = errVersion
	}
	ds := d.uvarint(math.MaxUint32)
	b := NewBatch(DatasetID(ds))
	n := d.count(4)
	if d.err != nil {
		return nil
	}
	b.Headers = make([]Header, n)
	var prev Header
	for i := range b.Headers {
		h := &b.Headers[i]
		h.Time = prev.Time + d.varint()
		h.Ingested = prev.Ingested + d.varint()
		h.Seq = prev.Seq + uint64(d.varint())
		prev.Time, prev.Ingested, prev.Seq = h.Time, h.Ingested, h.Seq
		h.SampleRate = 1
		flags := d.byte()
		if flags&1 != 0 {
			copy(h.Trace[:], d.take(16))
		}
		if flags&2 != 0 {
			copy(h.Span[:], d.take(8))
		}
		if flags&4 != 0 {
			copy(h.Parent[:], d.take(8))
		}
		if flags&8 != 0 {
			h.Stream = d.string()
			b.bytes += len(h.Stream)
		}
		if flags&16 != 0 {
			h.SampleRate = uint32(d.uvarint(math.MaxUint32))
		}
		if d.err != nil {
			return nil
		}
	}
	cols := d.count(3)
	for range cols {
		c := d.column(n)
		if d.err != nil {
			return nil
		}
		b.Columns = append(b.Columns, c)
		b.byName[c.Name] = append(b.byName[c.Name], c)
		b.bytes += len(c.Name) + 12*len(c.Rows)
		for _, s := range c.Strings {
			b.bytes += len(s)
		}
	}
	return b
}

func (d *decoder) column(rows int) *Column {
	c := &Column{Name: d.string(), Kind: Kind(d.byte())}
	n := d.count(2)
	if d.err == nil && (n > rows || c.Kind < KindString || c.Kind > KindBool) {
		d.err = errRange
	}
	if d.err != nil {
		return c
	}
	c.Rows = make([]int32, n)
	prev := int64(-1)
	for i := range c.Rows {
		prev += int64(d.uvarint(math.MaxInt32))
		if i > 0 && int64(c.Rows[i-1]) >= prev || prev < 0 || prev >= int64(rows) {
			d.err = errRange
			return c
		}
		c.Rows[i] = int32(prev)
	}
	switch c.Kind {
	case KindString:
		c.Strings = make([]string, n)
		for i := range c.Strings {
			c.Strings[i] = d.string()
		}
	case KindInt:
		c.Ints = make([]int64, n)
		for i := range c.Ints {
			c.Ints[i] = d.varint()
		}
	case KindFloat:
		raw := d.take(8 * n)
		c.Floats = make([]float64, n)
		for i := range c.Floats {
			if d.err != nil {
				break
			}
			c.Floats[i] = math.Float64frombits(binary.LittleEndian.Uint64(raw[8*i:]))
		}
	default:
		raw := d.take(n)
		c.Bools = make([]bool, n)
		for i := range raw {
			c.Bools[i] = raw[i] != 0
		}
	}
	return c
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

func (d *decoder) string() string {
	n := d.uvarint(math.MaxInt32)
	return string(d.take(int(n)))
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
