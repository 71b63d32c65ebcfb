package colfile

import (
	"unsafe"

	"github.com/parquet-go/parquet-go/bloom"
	"github.com/parquet-go/parquet-go/bloom/xxhash"
)

const (
	// maskedPages is the number of pages of a chunk up to which filters tell them apart.
	maskedPages = 32
	// everyPage stands for all pages of a chunk.
	everyPage = ^uint32(0)
	// idBits is the number of bits of a filter of ids for each distinct one of a page.
	idBits = 8
)

// blockBytes is the size of a block of a split-block Bloom filter.
const blockBytes = int(unsafe.Sizeof(bloom.Block{}))

// pageIDs makes the filter that tells on which pages an id may be: a split-block Bloom filter for
// each page, all of one size, laid out block by block, so that the blocks of an id are neighbours.
// The hashes of the ids are those that filter left; rows are those that have one, nil for all.
func (e *Encoder) pageIDs(rows int, has []int32) []byte {
	pages := (rows + PageRows - 1) / PageRows
	if pages < 2 || pages > maskedPages {
		return nil
	}
	page := pagesOf(has)
	most, last := 0, -1
	for i, h := range e.hashes {
		if p := page(i); p != last {
			e.seen.reset()
			last = p
		}
		if e.seen.add(h) {
			most = max(most, e.seen.n)
		}
	}
	blocks := bloom.NumSplitBlocksOf(int64(most), idBits)
	bits := make([]byte, blocks*pages*blockBytes)
	for i, h := range e.hashes {
		block(bits, blocks, pages, page(i), h).Insert(uint32(h))
	}
	return bits
}

// block returns the block of a hash in the filter of a page.
func block(bits []byte, blocks, pages, page int, h uint64) *bloom.Block {
	return (*bloom.Block)(unsafe.Pointer(&bits[(blockOf(h, blocks)*pages+page)*blockBytes]))
}

func blockOf(h uint64, blocks int) int { return int((h >> 32) * uint64(blocks) >> 32) }

// PagesWith returns the pages of a chunk of ids, a bit for each, that may have an id.
func (f *File) PagesWith(g *Group, c *Chunk, id []byte) (uint32, error) {
	if c.IDsLen == 0 {
		return everyPage, nil
	}
	pages := g.Pages()
	h := xxhash.Sum64(id)
	size := pages * blockBytes
	var room [maskedPages]bloom.Block
	blocks := unsafe.Slice((*byte)(unsafe.Pointer(&room)), len(room)*blockBytes)[:size]
	if _, err := f.f.ReadAt(blocks, c.IDs+int64(blockOf(h, c.IDsLen/size)*size)); err != nil {
		return everyPage, err
	}
	mask := uint32(0)
	for p := range pages {
		if room[p].Check(uint32(h)) {
			mask |= 1 << p
		}
	}
	return mask, nil
}

// hashSet counts distinct hashes of a page.
type hashSet struct {
	slots [4 * PageRows]struct {
		hash uint64
		gen  uint32
	}
	gen uint32
	n   int
}

func (s *hashSet) reset() {
	s.n = 0
	if s.gen++; s.gen == 0 {
		clear(s.slots[:])
		s.gen = 1
	}
}

// add reports whether h is new.
func (s *hashSet) add(h uint64) bool {
	i := int(h) & (len(s.slots) - 1)
	for ; s.slots[i].gen == s.gen; i = (i + 1) & (len(s.slots) - 1) {
		if s.slots[i].hash == h {
			return false
		}
	}
	s.slots[i].hash, s.slots[i].gen = h, s.gen
	s.n++
	return true
}
