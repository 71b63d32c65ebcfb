package segment

import (
	"cmp"
	"slices"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/store/segment/colfile"
)

// groupRows is the largest number of rows of a row group of a flushed segment.
const groupRows = 64 << 10

// rowRef is a row of a batch on its way into a segment.
type rowRef struct {
	dataset event.DatasetID
	batch   int32
	time    int64
	seq     uint64
	row     int32
}

// run is a row group to be: the places lo..hi.
type run struct {
	dataset event.DatasetID
	lo, hi  int
}

// flusher turns batches into the groups of a segment.
type flusher struct {
	batches []*event.Batch
	rows    []rowRef
	place   [][]int32 // of each row of each batch
	runs    []run
	asm     assembly
	enc     *colfile.Encoder
}

// writeBatches writes the rows of batches whose dataset is not dropped to a file that is not yet
// there; nothing is written when there are none.
func writeBatches(out *output, batches []*event.Batch, dropped func(event.DatasetID) bool) error {
	f := flusher{batches: batches, enc: colfile.NewEncoder(colfile.Fast)}
	maxSeq := f.order(dropped)
	if len(f.rows) == 0 {
		return nil
	}
	l := newLayout(f.counts())
	w, err := out.begin(l.columns, len(f.rows))
	if err != nil {
		return err
	}
	chunks := make([][]*colfile.Encoded, len(f.runs))
	if err := f.headers(chunks); err != nil {
		return err
	}
	if err := f.fields(l, chunks); err != nil {
		return err
	}
	for i, r := range f.runs {
		if err := w.Group(uint32(r.dataset), r.hi-r.lo, f.rows[r.lo].time, f.rows[r.hi-1].time, chunks[i]); err != nil {
			return err
		}
	}
	return out.finish(fileMeta{MaxSeq: maxSeq})
}

// order sorts the rows by dataset and time and cuts them into runs.
func (f *flusher) order(dropped func(event.DatasetID) bool) (maxSeq uint64) {
	total := 0
	for _, b := range f.batches {
		total += b.Len()
	}
	f.rows = make([]rowRef, 0, total)
	gone := map[event.DatasetID]bool{}
	for i, b := range f.batches {
		place := make([]int32, b.Len())
		for r := range b.Headers {
			h := &b.Headers[r]
			place[r] = -1
			maxSeq = max(maxSeq, h.Seq)
			is, known := gone[h.Dataset]
			if !known {
				is = dropped(h.Dataset)
				gone[h.Dataset] = is
			}
			if !is {
				f.rows = append(f.rows, rowRef{h.Dataset, int32(i), h.Time, h.Seq, int32(r)})
			}
		}
		f.place = append(f.place, place)
	}
	slices.SortFunc(f.rows, func(a, b rowRef) int {
		if c := cmp.Compare(a.dataset, b.dataset); c != 0 {
			return c
		}
		if c := cmp.Compare(a.time, b.time); c != 0 {
			return c
		}
		return cmp.Compare(a.seq, b.seq)
	})
	for p := range f.rows {
		r := &f.rows[p]
		f.place[r.batch][r.row] = int32(p)
		if n := len(f.runs); n == 0 || f.runs[n-1].dataset != r.dataset || p-f.runs[n-1].lo == groupRows {
			f.runs = append(f.runs, run{dataset: r.dataset, lo: p})
		}
		f.runs[len(f.runs)-1].hi = p + 1
	}
	return maxSeq
}

// counts counts the values of each field.
func (f *flusher) counts() map[fieldKey]int {
	counts := map[fieldKey]int{}
	for i, b := range f.batches {
		for c := range b.NumColumns() {
			col := b.Column(c)
			n := 0
			for _, r := range col.Rows {
				if f.place[i][r] >= 0 {
					n++
				}
			}
			if n > 0 {
				counts[fieldKey{col.Name, col.Kind}] += n
			}
		}
	}
	return counts
}

// emit encodes the assembled column for each run.
func (f *flusher) emit(column int, c colfile.Column, chunks [][]*colfile.Encoded) error {
	for i, r := range f.runs {
		v, n := f.asm.values(r.lo, r.hi, c.Type)
		if n == 0 {
			continue
		}
		e, err := f.enc.Encode(column, c, r.hi-r.lo, v)
		if err != nil {
			return err
		}
		chunks[i] = append(chunks[i], e)
	}
	return nil
}

// headers encodes the columns of the headers.
func (f *flusher) headers(chunks [][]*colfile.Encoded) error {
	n := len(f.rows)
	for col := range colOverflow {
		c := headerColumns[col]
		f.asm.begin(n, c.Type)
		last, code := "", int64(-1)
		for p := range f.rows {
			r := &f.rows[p]
			h := &f.batches[r.batch].Headers[r.row]
			at := int32(p)
			switch col {
			case colTime:
				f.asm.set(at, h.Time)
			case colIngested:
				f.asm.set(at, h.Ingested)
			case colSeq:
				f.asm.set(at, int64(h.Seq))
			case colDataset:
				f.asm.set(at, int64(h.Dataset))
			case colTrace:
				if !h.Trace.IsZero() {
					f.asm.setID(at, h.Trace[:])
				}
			case colSpan:
				if !h.Span.IsZero() {
					f.asm.setID(at, h.Span[:])
				}
			case colParent:
				if !h.Parent.IsZero() {
					f.asm.setID(at, h.Parent[:])
				}
			case colStream:
				if h.Stream != "" {
					if code < 0 || h.Stream != last {
						last, code = h.Stream, int64(f.asm.dict.code(h.Stream, false))
					}
					f.asm.set(at, code)
				}
			case colSampleRate:
				if h.SampleRate > 1 {
					f.asm.set(at, int64(h.SampleRate))
				}
			case colUnpacked:
				if h.Unpacked {
					f.asm.set(at, 1)
				}
			}
		}
		if err := f.emit(col, c, chunks); err != nil {
			return err
		}
	}
	return nil
}

// source is a column of one of the batches.
type source struct {
	batch  int
	column event.Column
}

// fields encodes the columns of the fields, in the order of the layout; the overflow column,
// which comes ahead of them, is inserted when it is known.
func (f *flusher) fields(l *layout, chunks [][]*colfile.Encoded) error {
	sources := make([][]source, len(l.columns))
	for i, b := range f.batches {
		for c := range b.NumColumns() {
			col := b.Column(c)
			if at, ok := l.index[fieldKey{col.Name, col.Kind}]; ok {
				sources[at] = append(sources[at], source{i, col})
			}
		}
	}
	var overflow [][]byte
	heads := make([]int, len(chunks)) // where the overflow chunk goes
	for i := range chunks {
		heads[i] = len(chunks[i])
	}
	for at := numHeaderColumns; at < len(l.columns); at++ {
		c := l.columns[at]
		if l.elsewhere(at) {
			if overflow == nil {
				overflow = make([][]byte, len(f.rows))
			}
			f.overflow(at, c, sources[at], overflow, chunks)
			continue
		}
		f.asm.begin(len(f.rows), c.Type)
		for _, s := range sources[at] {
			f.asm.addColumn(&s.column, f.place[s.batch])
		}
		if err := f.emit(at, c, chunks); err != nil {
			return err
		}
	}
	if overflow == nil {
		return nil
	}
	c := headerColumns[colOverflow]
	for i, r := range f.runs {
		e, err := encodeOverflow(f.enc, c, overflow[r.lo:r.hi])
		if err != nil {
			return err
		}
		if e != nil {
			chunks[i] = slices.Insert(chunks[i], heads[i], e)
		}
	}
	return nil
}

// overflow appends the values of a field to those of its rows and says in chunks that they are
// there.
func (f *flusher) overflow(at int, c colfile.Column, sources []source, overflow [][]byte, chunks [][]*colfile.Encoded) {
	counts := make([]int, len(f.runs))
	for _, s := range sources {
		for i, r := range s.column.Rows {
			p := f.place[s.batch][r]
			if p < 0 {
				continue
			}
			overflow[p] = appendOverflow(overflow[p], c.Field, s.column.At(i))
			run, _ := slices.BinarySearchFunc(f.runs, int(p), func(r run, p int) int {
				if r.hi <= p {
					return -1
				}
				return 1
			})
			counts[run]++
		}
	}
	for i, n := range counts {
		if n > 0 {
			chunks[i] = append(chunks[i], colfile.ElsewhereChunk(at, n))
		}
	}
}

// encodeOverflow makes the chunk of the overflow column; nil when no row has any.
func encodeOverflow(enc *colfile.Encoder, c colfile.Column, rows [][]byte) (*colfile.Encoded, error) {
	var v colfile.Values
	for i, b := range rows {
		if b != nil {
			v.Rows = append(v.Rows, int32(i))
			v.Codes = append(v.Codes, uint32(len(v.Dict)))
			v.Dict = append(v.Dict, string(b))
		}
	}
	switch len(v.Rows) {
	case 0:
		return nil, nil
	case len(rows):
		v.Rows = nil
	}
	return enc.Encode(colOverflow, c, len(rows), v)
}
