package colfile

import (
	"encoding/binary"
	"math"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// pageBounds collects what bounds the numbers of each page of a chunk, for readers of Parquet: its
// column index. Strings and ids have none: rows are sorted by time, and every page has all of them.
type pageBounds struct {
	list []pageBound
	none bool // a page has numbers, and no bounds
}

type pageBound struct {
	min, max int64 // or the bits of floats
	values   int
	nulls    int
}

func (b *pageBounds) reset() { b.list, b.none = b.list[:0], false }

// add adds a page of so many rows with the numbers that they have.
func (b *pageBounds) add(t Type, nums []int64, rows int) {
	p := pageBound{values: len(nums), nulls: rows - len(nums)}
	switch {
	case len(nums) == 0:
	case t == Float:
		var c Chunk
		floatRange(&c, nums)
		if !c.HasRange {
			b.none = true
		}
		p.min, p.max = c.floatBounds()
	default:
		p.min, p.max = nums[0], nums[0]
		for _, x := range nums[1:] {
			p.min, p.max = min(p.min, x), max(p.max, x)
		}
	}
	b.list = append(b.list, p)
}

// floatBounds returns the range of a float column as Parquet wants it: a zero stands for both zeros.
func (c *Chunk) floatBounds() (lo, hi int64) {
	lo, hi = c.Min, c.Max
	if c.MinFloat() == 0 {
		lo = int64(math.Float64bits(math.Copysign(0, -1)))
	}
	if c.MaxFloat() == 0 {
		hi = 0
	}
	return lo, hi
}

// indexed reports whether a chunk has indexes for readers of Parquet: when there are pages to tell
// apart, and in the first column, by which some of the readers know that there are indexes.
func indexed(column, pages int) bool { return pages > 1 || column == 0 }

// marshal returns the column index; nil when there is none.
func (b *pageBounds) marshal(t Type, column int) ([]byte, error) {
	if b.none || len(b.list) == 0 || !indexed(column, len(b.list)) {
		return nil, nil
	}
	var index format.ColumnIndex
	ascending := t != Float
	last := -1
	for i, p := range b.list {
		var lo, hi []byte
		if p.values > 0 {
			lo, hi = binary.LittleEndian.AppendUint64(nil, uint64(p.min)), binary.LittleEndian.AppendUint64(nil, uint64(p.max))
			if last >= 0 && (b.list[last].min > p.min || b.list[last].max > p.max) {
				ascending = false
			}
			last = i
		}
		index.NullPages = append(index.NullPages, p.values == 0)
		index.MinValues, index.MaxValues = append(index.MinValues, lo), append(index.MaxValues, hi)
		index.NullCounts = append(index.NullCounts, int64(p.nulls))
	}
	if ascending {
		index.BoundaryOrder = format.Ascending
	}
	return thrift.Marshal(new(thrift.CompactProtocol), &index)
}
