package segment

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"math/bits"
	"slices"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/store/segment/colfile"
)

const (
	// compactRows is the largest number of rows of a row group of a compacted segment.
	compactRows = 256 << 10
	// apartRows is the number of rows of one dataset from which a compaction gives it a segment
	// of its own.
	apartRows = 1 << 20
	// doneRows is the number of rows of a segment that is not compacted any more.
	doneRows = 2 << 20
	// compactFew and compactMany are how many segments of a size are merged: at least few, when
	// together they are done, or small, or as old as quietAge, so that it seems that no more are
	// coming; from many on unless there is a burst.
	compactFew, compactMany = 8, 24
	smallRows               = 32 << 10
	quietAge                = time.Minute
	// burstSegments that are not small within burstAge are a burst of events: large merges leave it the
	// processor until burstBacklog segments wait.
	burstSegments = 8
	burstAge      = 10 * time.Second
	burstBacklog  = 3 * compactMany
	// compactSpan is the longest time range of a segment that a compaction makes of shorter ones.
	compactSpan = 8 * 24 * time.Hour
	// deadShare is the part of a segment's rows that must be dropped or expired for it to be
	// written again without them.
	deadShare = 0.5
)

// tier is the class of segments of about the same size: a power of eight.
func (f *file) tier() int { return bits.Len(uint(f.rows)/1024) / 3 }

// burst reports whether events come in faster than can be merged at the same time.
func burst(files []*file, now time.Time) bool {
	fresh, waiting := 0, 0
	for _, f := range files {
		if f.rows < doneRows {
			waiting++
		}
		if f.rows >= smallRows && now.Sub(f.written) < burstAge {
			fresh++
		}
	}
	return fresh >= burstSegments && waiting < burstBacklog
}

// due reports whether n segments of a size, with so many rows, are to be merged.
func due(n, rows int, quiet, burst bool) bool {
	if n < compactFew {
		return false
	}
	return quiet || rows < compactFew*smallRows || !burst && (rows >= doneRows || n >= compactMany)
}

// candidates chooses segments to be merged, or one to be written again; nil when nothing is due.
func (s *Store) candidates(now time.Time) []*file {
	s.mu.Lock()
	files := slices.Clone(s.files)
	live := make(map[*file]int, len(files))
	for _, f := range files {
		live[f] = s.live(f, now)
	}
	s.mu.Unlock()
	for _, f := range files {
		if n := live[f]; n > 0 && float64(f.rows-n) >= deadShare*float64(f.rows) {
			return []*file{f}
		}
	}
	bursting := burst(files, now)
	slices.SortFunc(files, func(a, b *file) int {
		if c := cmp.Compare(a.tier(), b.tier()); c != 0 {
			return c
		}
		if c := cmp.Compare(a.oldest(), b.oldest()); c != 0 {
			return c
		}
		return cmp.Compare(a.num, b.num)
	})
	for i := 0; i < len(files); {
		first := files[i]
		if first.rows >= doneRows {
			break // files are sorted by size
		}
		j, rows, newest, quiet := i, 0, first.newest(), true
		for ; j < len(files) && files[j].tier() == first.tier() && rows < doneRows && j-i < 2*compactMany; j++ {
			end := max(newest, files[j].newest())
			if j > i && end-first.oldest() > int64(compactSpan) {
				break
			}
			newest = end
			rows += files[j].rows
			quiet = quiet && now.Sub(files[j].written) >= quietAge
		}
		if due(j-i, rows, quiet, bursting) {
			return files[i:j]
		}
		i++
	}
	return nil
}

// compact merges segments as long as some are due.
func (s *Store) compact(ctx context.Context) error {
	for ctx.Err() == nil {
		files := s.candidates(time.Now())
		if files == nil {
			return nil
		}
		if err := s.merge(ctx, files); err != nil {
			return err
		}
	}
	return nil
}

// merge writes the live rows of segments into new ones that take their place. It holds the rows
// of one column of one row group at a time.
func (s *Store) merge(ctx context.Context, files []*file) (err error) {
	began := time.Now()
	for _, f := range files {
		f.acquire()
	}
	defer releaseAll(files)
	m := merger{enc: colfile.NewEncoder(colfile.Small)}
	for _, f := range files {
		m.maxSeq = max(m.maxSeq, f.meta.MaxSeq)
	}
	sets, err := s.mergeSets(files, began)
	if err != nil {
		return fmt.Errorf("compact: %w", err)
	}
	var outs []*output
	for _, set := range sets {
		out := s.newOutput()
		outs = append(outs, out)
		if err := m.write(ctx, out, set); err != nil {
			for _, o := range outs {
				o.abort()
			}
			return fmt.Errorf("compact to %s: %w", out.path, err)
		}
	}
	in, err := s.openOutputs(outs...)
	if err != nil {
		return fmt.Errorf("compact: %w", err)
	}
	if err := s.replace(files, in, 0); err != nil {
		releaseAll(in)
		return err
	}
	s.cfg.Log.Debug("compacted segments", "segments", len(files), "into", len(in), "seconds", time.Since(began).Seconds())
	return nil
}

// part is a row group that takes part in a merge.
type part struct {
	f      *file
	g      *colfile.Group
	chunks []colfile.Chunk
	next   int // the first row that is not yet taken
}

// mergeSets groups the live row groups of files by dataset, and the datasets into the segments
// to be written: large ones by themselves, the rest together.
func (s *Store) mergeSets(files []*file, now time.Time) ([][][]*part, error) {
	byDataset := map[uint32][]*part{}
	rows := map[uint32]int{}
	for _, f := range files {
		for _, g := range f.Groups {
			ds := event.DatasetID(g.Dataset)
			s.mu.Lock()
			_, dropped := s.dropped[ds]
			expired := g.MaxTime < s.horizon(ds, now)
			s.mu.Unlock()
			if dropped || expired {
				continue
			}
			chunks, err := f.Chunks(g)
			if err != nil {
				return nil, err
			}
			byDataset[g.Dataset] = append(byDataset[g.Dataset], &part{f: f, g: g, chunks: chunks})
			rows[g.Dataset] += g.Rows
		}
	}
	ids := make([]uint32, 0, len(byDataset))
	for ds := range byDataset {
		ids = append(ids, ds)
	}
	slices.Sort(ids)
	var sets [][][]*part
	var together [][]*part
	for _, ds := range ids {
		if rows[ds] >= apartRows && len(ids) > 1 {
			sets = append(sets, [][]*part{byDataset[ds]})
		} else {
			together = append(together, byDataset[ds])
		}
	}
	if len(together) > 0 {
		sets = append(sets, together)
	}
	return sets, nil
}

type merger struct {
	enc    *colfile.Encoder
	asm    assembly
	vec    colfile.Vector
	maxSeq uint64
}

// write writes the parts of datasets as one segment.
func (m *merger) write(ctx context.Context, out *output, datasets [][]*part) error {
	counts := map[fieldKey]int{}
	rows := 0
	for _, parts := range datasets {
		for _, p := range parts {
			rows += p.g.Rows
			for i := range p.chunks {
				if c := p.f.Columns[p.chunks[i].Column]; p.chunks[i].Column >= numHeaderColumns {
					counts[fieldKey{c.Field, kindOf(c.Type)}] += p.chunks[i].Values
				}
			}
		}
	}
	l := newLayout(counts)
	w, err := out.begin(l.columns, rows)
	if err != nil {
		return err
	}
	for _, parts := range datasets {
		h, err := newMergeHeap(parts, &m.vec)
		if err != nil {
			return err
		}
		for {
			taken, err := h.take(compactRows)
			if err != nil {
				return err
			}
			if taken.rows == 0 {
				break
			}
			if err := m.group(ctx, w, l, taken); err != nil {
				return err
			}
		}
	}
	return out.finish(fileMeta{MaxSeq: m.maxSeq})
}

// taken is a row group to be made: rows from..next of each part, which have the given places.
type taken struct {
	rows             int
	minTime, maxTime int64
	parts            []takenPart
}

type takenPart struct {
	*part
	from  int
	place []int32
}

// mergeHeap yields the rows of parts of one dataset by time, then Seq.
type mergeHeap struct {
	list []*cursor
	vec  *colfile.Vector
}

// cursor walks over the times and Seqs of a part, a page at a time.
type cursor struct {
	*part
	times, seqs []int64
	page        int
	place       []int32
	from        int
}

func newMergeHeap(parts []*part, vec *colfile.Vector) (*mergeHeap, error) {
	h := &mergeHeap{vec: vec}
	for _, p := range parts {
		c := &cursor{part: p, page: -1}
		if err := h.load(c); err != nil {
			return nil, err
		}
		h.list = append(h.list, c)
	}
	heap.Init(h)
	return h, nil
}

// load reads the page of the cursor's row.
func (h *mergeHeap) load(c *cursor) error {
	if p := c.next / colfile.PageRows; p != c.page {
		for _, col := range []struct {
			column int
			to     *[]int64
		}{{colTime, &c.times}, {colSeq, &c.seqs}} {
			k := chunk(c.chunks, col.column)
			var d *colfile.Dict
			if k.Encoding == colfile.Dictionary {
				var err error
				if d, err = c.f.ReadDict(k, colfile.Int); err != nil {
					return err
				}
			}
			if err := c.f.ReadPage(c.g, k, p, h.vec); err != nil {
				return err
			}
			*col.to = (*col.to)[:0]
			if k.Encoding == colfile.Dictionary {
				for _, code := range h.vec.Codes {
					*col.to = append(*col.to, d.Nums[code])
				}
			} else {
				*col.to = append(*col.to, h.vec.Nums...)
			}
		}
		c.page = p
	}
	return nil
}

func (c *cursor) time() int64 { return c.times[c.next%colfile.PageRows] }

func (c *cursor) seq() int64 { return c.seqs[c.next%colfile.PageRows] }

func (h *mergeHeap) Len() int { return len(h.list) }
func (h *mergeHeap) Less(i, j int) bool {
	a, b := h.list[i], h.list[j]
	if a.time() != b.time() {
		return a.time() < b.time()
	}
	return a.seq() < b.seq()
}
func (h *mergeHeap) Swap(i, j int) { h.list[i], h.list[j] = h.list[j], h.list[i] }
func (h *mergeHeap) Push(x any)    { h.list = append(h.list, x.(*cursor)) }
func (h *mergeHeap) Pop() any {
	x := h.list[len(h.list)-1]
	h.list = h.list[:len(h.list)-1]
	return x
}

// take takes the next rows, at most n.
func (h *mergeHeap) take(n int) (t taken, err error) {
	var used []*cursor
	for t.rows < n && len(h.list) > 0 {
		c := h.list[0]
		if c.place == nil {
			c.from, c.place = c.next, make([]int32, 0, min(n, c.g.Rows-c.next))
			used = append(used, c)
		}
		at := c.time()
		if t.rows == 0 {
			t.minTime = at
		}
		t.maxTime = at
		c.place = append(c.place, int32(t.rows))
		t.rows++
		c.next++
		if c.next == c.g.Rows {
			heap.Pop(h)
			continue
		}
		if err := h.load(c); err != nil {
			return t, err
		}
		heap.Fix(h, 0)
	}
	for _, c := range used {
		t.parts = append(t.parts, takenPart{c.part, c.from, c.place})
		c.place = nil
	}
	return t, nil
}

// group writes a row group of what was taken.
func (m *merger) group(ctx context.Context, w *colfile.Writer, l *layout, t taken) error {
	// Which column each part has for each of the layout's.
	columns := make([]map[fieldKey]int, len(t.parts))
	overflowed := make([]map[fieldKey]bool, len(t.parts))
	for i, p := range t.parts {
		columns[i] = map[fieldKey]int{}
		for k := range p.chunks {
			c := p.f.Columns[p.chunks[k].Column]
			if p.chunks[k].Column < numHeaderColumns {
				continue
			}
			key := fieldKey{c.Field, kindOf(c.Type)}
			if p.chunks[k].Encoding != colfile.Elsewhere {
				columns[i][key] = k
				continue
			}
			if overflowed[i] == nil {
				overflowed[i] = map[fieldKey]bool{}
			}
			overflowed[i][key] = true
		}
	}
	spill, err := newSpill(t, overflowed)
	if err != nil {
		return err
	}
	var chunks []*colfile.Encoded
	var overflow [][]byte
	heads := 0
	for col, c := range l.columns {
		if err := ctx.Err(); err != nil {
			return err
		}
		if col == colOverflow {
			heads = len(chunks)
			continue
		}
		m.asm.begin(t.rows, c.Type)
		key := fieldKey{c.Field, kindOf(c.Type)}
		for i, p := range t.parts {
			var k *colfile.Chunk
			if col < numHeaderColumns {
				k = chunk(p.chunks, col)
			} else if at, ok := columns[i][key]; ok {
				k = &p.chunks[at]
			}
			if k != nil {
				if err := m.add(p, k); err != nil {
					return err
				}
			}
			if s := spill[i][key]; s != nil {
				m.asm.addColumn(s, p.place)
			}
		}
		v, n := m.asm.values(0, t.rows, c.Type)
		if n == 0 {
			continue
		}
		if c.Name == "" {
			if overflow == nil {
				overflow = make([][]byte, t.rows)
			}
			spillInto(overflow, c, v)
			chunks = append(chunks, colfile.ElsewhereChunk(col, n))
			continue
		}
		e, err := m.enc.Encode(col, c, t.rows, v)
		if err != nil {
			return err
		}
		chunks = append(chunks, e)
	}
	if overflow != nil {
		e, err := encodeOverflow(m.enc, headerColumns[colOverflow], overflow)
		if err != nil {
			return err
		}
		chunks = slices.Insert(chunks, heads, e)
	}
	return w.Group(t.parts[0].g.Dataset, t.rows, t.minTime, t.maxTime, chunks)
}

// add adds the taken rows of a chunk to the assembly.
func (m *merger) add(p takenPart, k *colfile.Chunk) error {
	t := p.f.Columns[k.Column].Type
	d := &colfile.Dict{}
	if k.Encoding == colfile.Dictionary {
		var err error
		if d, err = p.f.ReadDict(k, t); err != nil {
			return err
		}
	}
	remap := m.asm.entries(d.Len())
	to := p.from + len(p.place)
	for page := p.from / colfile.PageRows; page*colfile.PageRows < to; page++ {
		if err := p.f.ReadPage(p.g, k, page, &m.vec); err != nil {
			return err
		}
		// The places of the page's rows; those that were not taken have none.
		first := page * colfile.PageRows
		var place [colfile.PageRows]int32
		for i := range m.vec.N {
			place[i] = -1
			if at := first + i - p.from; at >= 0 && at < len(p.place) {
				place[i] = p.place[at]
			}
		}
		m.asm.addVector(&m.vec, d, remap, place[:m.vec.N])
	}
	return nil
}

// newSpill reads the overflow columns of the parts: by part, the fields that are kept there, with
// rows that count from the first taken one.
func newSpill(t taken, overflowed []map[fieldKey]bool) ([]map[fieldKey]*event.Column, error) {
	spill := make([]map[fieldKey]*event.Column, len(t.parts))
	for i, p := range t.parts {
		if overflowed[i] == nil {
			continue
		}
		cols, err := readOverflowColumns(p.f, p.g, p.chunks, func(string) bool { return true }, nil)
		if err != nil {
			return nil, err
		}
		spill[i] = map[fieldKey]*event.Column{}
		for key, c := range cols {
			spill[i][key] = cutColumn(c, p.from, p.from+len(p.place))
		}
	}
	return spill, nil
}

// cutColumn returns the rows lo..hi of a column, counted from lo.
func cutColumn(c *event.Column, lo, hi int) *event.Column {
	a, _ := slices.BinarySearch(c.Rows, int32(lo))
	b, _ := slices.BinarySearch(c.Rows, int32(hi))
	out := &event.Column{Name: c.Name, Kind: c.Kind, Dict: c.Dict}
	for _, r := range c.Rows[a:b] {
		out.Rows = append(out.Rows, r-int32(lo))
	}
	if c.Codes != nil {
		out.Codes = c.Codes[a:b]
	}
	if c.Nums != nil {
		out.Nums = c.Nums[a:b]
	}
	return out
}

// spillInto appends the values of a field to the overflow of their rows.
func spillInto(overflow [][]byte, c colfile.Column, v colfile.Values) {
	col := event.Column{Name: c.Field, Kind: kindOf(c.Type), Rows: v.Rows, Codes: v.Codes, Dict: v.Dict, Nums: v.Nums}
	for i := range max(len(v.Codes), len(v.Nums)) {
		row := i
		if v.Rows != nil {
			row = int(v.Rows[i])
		}
		overflow[row] = appendOverflow(overflow[row], c.Field, col.At(i))
	}
}
