package otlp

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Protobuf wire types. Groups, which OTLP never had, are refused.
const (
	wireVarint = 0
	wireI64    = 1
	wireBytes  = 2
	wireI32    = 5
)

var (
	errTruncated = errors.New("proto: unexpected end")
	errOverflow  = errors.New("proto: integer overflow")
	errNumber    = errors.New("proto: illegal field number")
	errDepth     = errors.New("nested too deep")
)

// fields walks the fields of one message.
type fields struct {
	buf []byte
	pos int
	err error

	// The field that next found.
	num   int32
	wire  uint8
	val   uint64 // of a number
	start int    // of anything else, in buf up to pos
}

// data returns the bytes of a field that is not a number.
func (f *fields) data() []byte { return f.buf[f.start:f.pos] }

// next finds the next field; false at the end and at an error.
func (f *fields) next() bool {
	if f.pos >= len(f.buf) || f.err != nil {
		return false
	}
	var tag uint64
	if c := f.buf[f.pos]; c < 0x80 {
		tag = uint64(c)
		f.pos++
	} else {
		tag = f.varint()
	}
	f.num, f.wire = int32(tag>>3), uint8(tag&7)
	if f.num <= 0 {
		return f.fail(errNumber)
	}
	switch f.wire {
	case wireBytes:
		var n uint64
		if f.pos < len(f.buf) && f.buf[f.pos] < 0x80 {
			n = uint64(f.buf[f.pos])
			f.pos++
		} else {
			n = f.varint()
		}
		if n > uint64(len(f.buf)-f.pos) {
			return f.fail(errTruncated)
		}
		f.start = f.pos
		f.pos += int(n)
	case wireVarint:
		f.val = f.varint()
	case wireI64:
		if len(f.buf)-f.pos < 8 {
			return f.fail(errTruncated)
		}
		f.val = binary.LittleEndian.Uint64(f.buf[f.pos:])
		f.pos += 8
	case wireI32:
		if len(f.buf)-f.pos < 4 {
			return f.fail(errTruncated)
		}
		f.val = uint64(binary.LittleEndian.Uint32(f.buf[f.pos:]))
		f.pos += 4
	default:
		return f.fail(fmt.Errorf("proto: illegal wire type %d", f.wire))
	}
	return f.err == nil
}

func (f *fields) fail(err error) bool {
	if f.err == nil {
		f.err = err
	}
	return false
}

func (f *fields) varint() uint64 {
	var n uint64
	for shift := uint(0); shift < 64; shift += 7 {
		if f.pos >= len(f.buf) {
			f.fail(errTruncated)
			return 0
		}
		c := f.buf[f.pos]
		f.pos++
		n |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return n
		}
	}
	f.fail(errOverflow)
	return 0
}

// is reports whether the field is of a wire type, which is an error if it is not.
func (f *fields) is(wire uint8) bool {
	if f.wire != wire {
		return f.fail(fmt.Errorf("proto: wrong wire type %d of field %d", f.wire, f.num))
	}
	return true
}

// plain decodes a KeyValue that is written as nearly all exporters do it: a key and then a value
// that is not nested, each shorter than 128 bytes. It reports whether it was.
func (kv *keyValue) plain(msg []byte) bool {
	if len(msg) < 5 || msg[0] != 1<<3|wireBytes || msg[1] >= 0x80 {
		return false
	}
	key := int(msg[1])
	if len(msg) < key+5 || msg[key+2] != 2<<3|wireBytes || msg[key+3] >= 0x80 {
		return false
	}
	v := msg[key+4:]
	if len(v) != int(msg[key+3]) {
		return false
	}
	switch v[0] {
	case 1<<3 | wireBytes:
		if len(v) < 2 || int(v[1]) != len(v)-2 {
			return false
		}
		kv.value = value{kind: text, data: v[2:]}
	case 2<<3 | wireVarint, 3<<3 | wireVarint:
		num, n := binary.Uvarint(v[1:])
		if n != len(v)-1 {
			return false
		}
		kv.value = value{kind: integer, num: num}
		if v[0] == 2<<3|wireVarint {
			kv.value.kind = boolean
		}
	case 4<<3 | wireI64:
		if len(v) != 9 {
			return false
		}
		kv.value = value{kind: double, num: binary.LittleEndian.Uint64(v[1:])}
	default:
		return false
	}
	kv.key = msg[2 : key+2]
	return true
}
