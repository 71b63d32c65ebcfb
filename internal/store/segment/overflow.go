package segment

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/store/segment/colfile"
)

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

// readOverflowColumns reads the fields of a group that are kept in its overflow column and that
// want accepts. read, when it is not nil, counts the bytes.
func readOverflowColumns(f *file, g *colfile.Group, chunks []colfile.Chunk, want func(name string) bool, read *int64) (map[fieldKey]*event.Column, error) {
	k := chunk(chunks, colOverflow)
	if k == nil {
		return nil, nil
	}
	if read != nil {
		*read += k.Bytes()
	}
	cols := map[fieldKey]*event.Column{}
	var v colfile.Vector
	for page := range g.Pages() {
		if err := f.ReadPage(g, k, page, &v); err != nil {
			return nil, err
		}
		for i := range v.N {
			if !v.Has(i) {
				continue
			}
			row := int32(page*colfile.PageRows + i)
			err := readOverflow(v.Text[v.Offsets[i]:v.Offsets[i+1]], func(name string, x event.Value) {
				if !want(name) {
					return
				}
				key := fieldKey{name, x.Kind()}
				c := cols[key]
				if c == nil {
					c = &event.Column{Name: name, Kind: x.Kind()}
					cols[key] = c
				}
				appendValue(c, row, x)
			})
			if err != nil {
				return nil, fmt.Errorf("overflow of segment %s: %w", f.Path, err)
			}
		}
	}
	return cols, nil
}

func appendValue(c *event.Column, row int32, v event.Value) {
	c.Rows = append(c.Rows, row)
	switch v.Kind() {
	case event.KindString:
		c.Codes = append(c.Codes, uint32(len(c.Dict)))
		c.Dict = append(c.Dict, v.Str())
	case event.KindInt:
		c.Nums = append(c.Nums, v.Int())
	case event.KindFloat:
		c.Nums = append(c.Nums, int64(math.Float64bits(v.Float())))
	default:
		code := uint32(0)
		if v.Bool() {
			code = 1
		}
		c.Codes = append(c.Codes, code)
	}
}
