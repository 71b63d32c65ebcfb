package segment

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/store"
	"github.com/trefoil-o11y/trefoil/internal/store/segment/colfile"
)

// reading is what a worker of a Read uses again for each run of rows.
type reading struct {
	store.Rows
	at     []int
	fields []*field
}

// Read implements store.Store.
func (s *Store) Read(ctx context.Context, q *query.Query, fields []string, visit func(*store.Rows) error) (stats query.Stats, err error) {
	began := time.Now()
	for _, st := range q.Stages {
		if _, ok := st.(query.Filter); !ok {
			return stats, fmt.Errorf("read rows: a %T is not a filter", st)
		}
	}
	if err := q.Check(); err != nil {
		return stats, fmt.Errorf("check query: %w", err)
	}
	snap, err := s.snapshot()
	if err != nil {
		return stats, err
	}
	defer snap.release()
	if q, err = snap.traceSets(ctx, q, &stats); err != nil {
		return stats, err
	}
	var mu sync.Mutex
	var failed error
	sc := newScan(snap, q, newPlan(q))
	err = sc.each(ctx, &stats, func(w *worker, _ int, keep bitmap, n int) bool {
		if w.reading == nil {
			w.reading = &reading{}
		}
		if err := w.reading.run(&w.s, keep, n, fields, visit); err != nil {
			mu.Lock()
			defer mu.Unlock()
			if failed == nil {
				failed = err
			}
			return false
		}
		return true
	})
	stats.Elapsed = time.Since(began)
	if failed != nil {
		return stats, failed
	}
	return stats, err
}

// run hands on the rows of the scanner's page that are kept.
func (r *reading) run(s *scanner, keep bitmap, n int, fields []string, visit func(*store.Rows) error) error {
	r.at = r.at[:0]
	keep.each(func(i int) { r.at = append(r.at, i) })
	r.Headers = resize(r.Headers, n)
	clear(r.Headers)
	r.headers(s)
	r.Has, r.fields = resize(r.Has, len(fields)), resize(r.fields, len(fields))
	for k, name := range fields {
		r.fields[k] = s.field(name)
		r.Has[k] = s.loadFor(r.fields[k], r.at)
	}
	if s.err != nil {
		return s.err
	}
	r.Value = func(row, k int) event.Value {
		if !r.Has[k] {
			return event.Value{}
		}
		return s.atFew(r.fields[k], r.at[row])
	}
	return visit(&r.Rows)
}

// headers fills the headers of the rows.
func (r *reading) headers(s *scanner) {
	if b := s.u.batch; b != nil {
		first := s.page * colfile.PageRows
		for k, i := range r.at {
			h := &b.Headers[first+i]
			r.Headers[k] = event.Header{Time: h.Time, Seq: h.Seq, Trace: h.Trace, Span: h.Span, Parent: h.Parent, Dataset: h.Dataset}
		}
		return
	}
	for k := range r.Headers {
		r.Headers[k].Dataset = event.DatasetID(s.u.group.Dataset)
	}
	for _, name := range []string{event.FieldTime, event.FieldSeq, event.FieldTrace, event.FieldSpan, event.FieldParent} {
		f := s.field(name)
		if !s.loadFor(f, r.at) {
			continue
		}
		for _, v := range f.sources {
			if v.page != s.page {
				continue
			}
			for k, i := range r.at {
				h := &r.Headers[k]
				switch name {
				case event.FieldTime:
					h.Time = v.at(i).Int()
				case event.FieldSeq:
					h.Seq = uint64(v.at(i).Int())
				default:
					if !v.vec.Has(i) {
						continue
					}
					switch name {
					case event.FieldTrace:
						copy(h.Trace[:], v.vec.IDs[i*16:])
					case event.FieldSpan:
						copy(h.Span[:], v.vec.IDs[i*8:])
					default:
						copy(h.Parent[:], v.vec.IDs[i*8:])
					}
				}
			}
		}
	}
}
