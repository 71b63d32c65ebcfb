package colfile

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/format"
)

const (
	// worth is the share of its size to which a chunk must shrink for compression to pay: what
	// hardly shrinks is read faster as it is.
	worth = 0.88
	// enough is the size of the first pages by which that is judged.
	enough = 4 << 10
	// levelBytes is the most that the levels of a page take.
	levelBytes = PageRows/8 + 16
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

// packer makes the pages of a chunk of what is put into raw, and holds no more of them than it needs to
// judge whether to compress them.
type packer struct {
	zstd *zstd.Encoder
	out  *Encoded

	raw     []byte // pages that wait
	waiting []rawPage
	parts   []rawFrame // of the page that is being made, when it is large
	large   bool       // some page is larger than what can be stored as it is
	judged  bool
	small   []byte
}

// rawPage is a page ahead of compression.
type rawPage struct {
	dict   bool
	rows   int // of a data page
	levels int // size of its levels, when they are to be read by themselves
	parts  []rawFrame
	end    int // in packer.raw, behind the page ahead of it
}

// rawFrame is a part of a page: the entries or values from first on, which begin at a place of it.
type rawFrame struct{ first, at int }

func (p *packer) begin(out *Encoded) {
	p.out, p.raw, p.waiting, p.parts, p.large, p.judged = out, p.raw[:0], p.waiting[:0], nil, false, false
}

// cut ends a page: what was put into raw since the last.
func (p *packer) cut(page rawPage) {
	page.end, page.parts, p.parts = len(p.raw), p.parts, nil
	if len(page.parts) > 0 {
		page.parts[0].at = page.levels
	}
	p.waiting = append(p.waiting, page)
	if p.judged || len(p.waiting) >= 2 && len(p.raw) >= enough {
		p.drain()
	}
}

// size returns the size of the page that is being made.
func (p *packer) size() int {
	if n := len(p.waiting); n > 0 {
		return len(p.raw) - p.waiting[n-1].end
	}
	return len(p.raw)
}

// end ends the chunk.
func (p *packer) end() {
	p.drain()
	p.out = nil
}

// drain puts the pages that wait behind their headers into the chunk. The first time it judges
// whether compression pays, by these pages.
func (p *packer) drain() {
	c := &p.out.chunk
	p.out.raw += int64(len(p.raw))
	p.small = p.small[:0]
	var pages []Page
	at := 0
	if !p.judged || c.Zstd {
		for _, page := range p.waiting {
			pages = append(pages, p.compress(page, p.raw[at:page.end]))
			at = page.end
		}
	}
	if !p.judged {
		p.judged = true
		c.Zstd = p.large || len(p.raw) >= 64 && float64(len(p.small)) <= worth*float64(len(p.raw))
		if !c.Zstd {
			c.Frames = nil
		}
	}
	packed := p.small
	at = 0
	for i, page := range p.waiting {
		raw := p.raw[at:page.end]
		at = page.end
		if c.Zstd {
			p.add(page, pages[i], len(raw), packed[:pages[i].Size], pages[i].CRC, 0)
			packed = packed[pages[i].Size:]
			continue
		}
		one := Page{CRC: crc32.ChecksumIEEE(raw), Levels: page.levels}
		if page.levels > 0 {
			one.LevelsCRC = crc32.ChecksumIEEE(raw[:page.levels])
		}
		p.small = appendStored(p.small[:0], raw)
		p.add(page, one, len(raw), p.small, crc32.ChecksumIEEE(p.small), storedHead)
	}
	p.raw, p.waiting = p.raw[:0], p.waiting[:0]
}

// add puts a page into the chunk: its header, and what goes into the file of it, the first bytes of
// which count as a part of the header.
func (p *packer) add(page rawPage, one Page, raw int, packed []byte, crc uint32, more int) {
	body := &p.out.body
	at := len(*body)
	if page.dict {
		*body = appendDictHeader(*body, raw, len(packed), crc, p.out.chunk.Dict)
	} else {
		*body = appendDataHeader(*body, raw, len(packed), crc, page.rows, p.out.chunk.Encoding.parquet())
	}
	one.Head = len(*body) - at + more
	*body = append(*body, packed...)
	one.Size = len(*body) - at
	if page.dict {
		p.out.chunk.DictPage = one
	} else {
		p.out.chunk.Pages = append(p.out.chunk.Pages, one)
	}
}

// compress appends a page to small, in the frames that it is to have. The page that it returns has
// no header yet.
func (p *packer) compress(page rawPage, raw []byte) Page {
	var one Page
	at := len(p.small)
	if page.levels > 0 {
		p.small = p.zstd.EncodeAll(raw[:page.levels], p.small)
		one.Levels, one.LevelsCRC = len(p.small)-at, crc32.ChecksumIEEE(p.small[at:])
	}
	if len(page.parts) == 0 {
		p.small = p.zstd.EncodeAll(raw[page.levels:], p.small)
	}
	for k, part := range page.parts {
		end := len(raw)
		if k+1 < len(page.parts) {
			end = page.parts[k+1].at
		}
		from := len(p.small)
		p.small = p.zstd.EncodeAll(raw[part.at:end], p.small)
		one.Frames = append(one.Frames, Frame{part.first, len(p.small) - from, crc32.ChecksumIEEE(p.small[from:])})
	}
	if page.dict {
		p.out.chunk.Frames, one.Frames = one.Frames, nil
	}
	one.Size, one.CRC = len(p.small)-at, crc32.ChecksumIEEE(p.small[at:])
	return one
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
