package colfile

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"math/bits"

	"github.com/parquet-go/bitpack"
	"github.com/parquet-go/parquet-go/encoding/delta"
)

// fewRows is the number of rows of a page up to which only they are taken from it.
const fewRows = 64

// ReadPageFor is ReadPage for some rows of the page, in ascending order: when none of them has a value
// some is false and v holds nothing. Of the other rows v may hold anything.
func (f *File) ReadPageFor(g *Group, c *Chunk, i int, rows []int, v *Vector) (some bool, err error) {
	p := c.Pages[i]
	if len(rows) > fewRows && p.Frames == nil {
		if err := f.ReadPage(g, c, i, v); err != nil {
			return false, err
		}
		return v.has(rows), nil
	}
	defer f.guard(&err)
	at := v.begin(f, g, c, i)
	size := p.Size - p.Head
	v.packed = grown(v.packed, size+bitpack.PaddingInt64)
	src := v.packed[:size]
	if p.Levels > 0 {
		if err := f.read(src[:p.Levels], at+int64(p.Head)); err != nil {
			return false, err
		}
		if crc32.ChecksumIEEE(src[:p.Levels]) != p.LevelsCRC {
			return false, f.damaged(at)
		}
		body, err := f.unpack(c, src[:p.Levels], at, &v.body)
		if err != nil {
			return false, err
		}
		if _, _, err = v.levels(body); err != nil {
			return false, f.in(c, err)
		}
		if !v.has(rows) {
			return false, nil
		}
	}
	if p.Frames != nil {
		some, err := f.textsFor(c, p, at+int64(p.Head+p.Levels), rows, v)
		return some, f.in(c, err)
	}
	if err := f.read(src[p.Levels:], at+int64(p.Head+p.Levels)); err != nil {
		return false, err
	}
	if crc32.ChecksumIEEE(src) != p.CRC {
		return false, f.damaged(at)
	}
	body, err := f.unpack(c, src[p.Levels:], at, &v.body)
	if err != nil {
		return false, err
	}
	body, n, err := f.valuesIn(c, p, body, v)
	if err != nil || !v.has(rows) {
		return false, f.in(c, err)
	}
	return true, f.in(c, v.valuesFor(body, n, c, rows))
}

// valuesIn returns what follows the levels in a page's body, and the number of its values. Levels that
// can be read by themselves are not in body, and in v already.
func (f *File) valuesIn(c *Chunk, p Page, body []byte, v *Vector) (rest []byte, n int, err error) {
	switch {
	case p.Levels > 0:
		return body, count(v.Valid), nil
	case f.Columns[c.Column].Required:
		return body, v.N, nil
	}
	return v.levels(body)
}

// has reports whether one of the rows has a value.
func (v *Vector) has(rows []int) bool {
	for _, i := range rows {
		if v.Has(i) {
			return true
		}
	}
	return false
}

// rank returns for each of the rows, which are in ascending order, the number of values ahead of its
// own, -1 where it has none.
func (v *Vector) rank(rows []int) []int {
	v.ranks = grown(v.ranks, len(rows))
	word, n := 0, 0
	for k, row := range rows {
		if v.Valid == nil {
			v.ranks[k] = row
			continue
		}
		for ; word < row>>6; word++ {
			n += bits.OnesCount64(v.Valid[word])
		}
		if bit := uint64(1) << (row & 63); v.Valid[word]&bit != 0 {
			v.ranks[k] = n + bits.OnesCount64(v.Valid[word]&(bit-1))
		} else {
			v.ranks[k] = -1
		}
	}
	return v.ranks
}

// move gives the rows their values, which are at the front of s by rank. A row is never ahead of its
// rank: from the last to the first, no value is overwritten that is still to be moved.
func move[T any](s []T, rows, ranks []int, none T) {
	for k := len(rows) - 1; k >= 0; k-- {
		if ranks[k] < 0 {
			s[rows[k]] = none
		} else {
			s[rows[k]] = s[ranks[k]]
		}
	}
}

// valuesFor decodes n values and gives the rows theirs.
func (v *Vector) valuesFor(body []byte, n int, c *Chunk, rows []int) (err error) {
	switch c.Encoding {
	case Dictionary:
		v.Codes = grown(v.Codes, v.N)
		return v.codesAt(body, n, v.rank(rows), rows, uint32(c.Dict))
	case Delta:
		if v.nums, err = (&delta.BinaryPackedEncoding{}).DecodeInt64(v.nums, body); err != nil {
			return fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		if len(v.nums) != n {
			return errValues
		}
		v.nums = grownKeep(v.nums, v.N)
		v.Nums = v.nums
		move(v.Nums, rows, v.rank(rows), 0)
	case Split:
		if len(body) != 8*n {
			return errValues
		}
		v.Floats = grown(v.Floats, v.N)
		for k, rank := range v.rank(rows) {
			var b [8]byte
			for i := range b {
				if rank >= 0 {
					b[i] = body[i*n+rank]
				}
			}
			v.Floats[rows[k]] = math.Float64frombits(binary.LittleEndian.Uint64(b[:]))
		}
	case Lengths:
		if err := v.lengthsOf(body, n); err != nil {
			return err
		}
		total := 0
		for _, n := range v.lengths {
			total += int(n)
		}
		texts := body[len(body)-total:]
		return v.textRows(rows, func(_, from, to int) ([]byte, error) { return texts[from:to], nil })
	default:
		return v.plain(body, n)
	}
	return nil
}

// codesAt gives the rows of some ranks their codes, none where they have no value, and passes over the
// other of n codes without unpacking them.
func (v *Vector) codesAt(src []byte, n int, ranks, rows []int, none uint32) error {
	if len(src) == 0 || src[0] == 0 || src[0] > 32 {
		return errValues
	}
	width := int(src[0])
	src = src[1:]
	first, end := 0, 0 // the ranks of the run
	var run []byte
	packed := false
	for k, rank := range ranks {
		if rank < 0 {
			v.Codes[rows[k]] = none
			continue
		}
		for rank >= end {
			head, size := binary.Uvarint(src)
			if size <= 0 || head>>1 == 0 || head > math.MaxInt32 {
				return errValues
			}
			src = src[size:]
			first, packed = end, head&1 == 1
			count, bytes := int(head>>1), (width+7)/8
			if packed {
				count, bytes = 8*count, count*width
			}
			if len(src) < bytes {
				return errValues
			}
			run, src = src[:bytes], src[bytes:]
			end = min(first+count, n)
		}
		var word [8]byte
		shift := 0
		if packed {
			bit := (rank - first) * width
			copy(word[:], run[bit>>3:])
			shift = bit & 7
		} else {
			copy(word[:], run)
		}
		code := binary.LittleEndian.Uint64(word[:]) >> shift & (1<<width - 1)
		if code >= uint64(none) {
			return errValues
		}
		v.Codes[rows[k]] = uint32(code)
	}
	return nil
}

// lengthsOf decodes the lengths of n strings.
func (v *Vector) lengthsOf(body []byte, n int) (err error) {
	if v.lengths, err = (&delta.BinaryPackedEncoding{}).DecodeInt32(v.lengths, body); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if len(v.lengths) != n {
		return errValues
	}
	return nil
}

// textRows gives the rows their strings. What text returns for a rank is at a place of all strings,
// one behind the other.
func (v *Vector) textRows(rows []int, text func(rank, from, to int) ([]byte, error)) error {
	v.few, v.Offsets = v.few[:0], grown(v.Offsets, v.N+1)
	at, value := 0, 0
	for k, rank := range v.rank(rows) {
		v.Offsets[rows[k]] = uint32(len(v.few))
		if rank >= 0 {
			for ; value < rank; value++ {
				at += int(v.lengths[value])
			}
			part, err := text(rank, at, at+int(v.lengths[rank]))
			if err != nil {
				return err
			}
			v.few = append(v.few, part...)
		}
		v.Offsets[rows[k]+1] = uint32(len(v.few))
	}
	v.Text = v.few
	return nil
}

// textsFor reads the strings of some rows of a page that has Frames, which begin at a place of the
// file. The levels are read when they can be read by themselves.
func (f *File) textsFor(c *Chunk, p Page, at int64, rows []int, v *Vector) (some bool, err error) {
	frame := func(k int) ([]byte, error) {
		at := at
		for _, fr := range p.Frames[:k] {
			at += int64(fr.Size)
		}
		return f.page(c, Page{Size: p.Frames[k].Size, CRC: p.Frames[k].CRC}, at, &v.packed, &v.body)
	}
	body, err := frame(0)
	if err != nil {
		return false, err
	}
	body, n, err := f.valuesIn(c, p, body, v)
	if err != nil {
		return false, err
	}
	if err := v.lengthsOf(body, n); err != nil {
		return false, err
	}
	var texts []byte
	last, begin, first := 0, 0, 0 // the frame in texts, and where it begins: among all bytes, and values
	return true, v.textRows(rows, func(rank, from, to int) ([]byte, error) {
		k := max(last, 1)
		for k+1 < len(p.Frames) && p.Frames[k+1].First <= rank {
			k++
		}
		for ; first < p.Frames[k].First; first++ {
			begin += int(v.lengths[first])
		}
		if k != last {
			if texts, err = frame(k); err != nil {
				return nil, err
			}
			last = k
		}
		return texts[from-begin : to-begin], nil
	})
}
