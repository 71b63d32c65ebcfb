package segment

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/store"
)

// snapshot is what one query reads: the files and batches that were visible when it began.
type snapshot struct {
	files   []*file
	batches []*event.Batch
	dropped map[event.DatasetID]struct{}
	horizon func(event.DatasetID) int64
}

func (s *Store) snapshot() (*snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, store.ErrClosed
	}
	snap := &snapshot{files: slices.Clone(s.files), dropped: s.dropped}
	for _, f := range snap.files {
		f.acquire()
	}
	snap.batches = append(snap.batches, s.flushing...)
	snap.batches = append(snap.batches, s.head...)
	horizons := map[event.DatasetID]int64{}
	now := time.Now()
	for ds := range s.retain {
		horizons[ds] = s.horizon(ds, now)
	}
	everywhere := s.horizon(0, now)
	snap.horizon = func(ds event.DatasetID) int64 {
		if h, ok := horizons[ds]; ok {
			return h
		}
		return everywhere
	}
	return snap, nil
}

func (snap *snapshot) release() {
	for _, f := range snap.files {
		f.release()
	}
}

// Query implements store.Store.
func (s *Store) Query(ctx context.Context, q *query.Query) (*query.Result, error) {
	began := time.Now()
	if err := q.Check(); err != nil {
		return nil, fmt.Errorf("check query: %w", err)
	}
	snap, err := s.snapshot()
	if err != nil {
		return nil, err
	}
	defer snap.release()
	var stats query.Stats
	q, err = q.TraceSets(func(where query.Expr) (map[event.TraceID]struct{}, error) {
		return snap.traces(ctx, q, where, &stats)
	})
	if err != nil {
		return nil, err
	}
	runner := query.NewRunner(q.Stages, nil)
	push := func(row query.Row) bool {
		stats.RowsScanned++
		return runner.Push(row)
	}
	if err := snap.scan(ctx, q, &stats, push); err != nil {
		return nil, err
	}
	res, err := runner.Result()
	if err != nil {
		return nil, err
	}
	res.Stats.Add(stats)
	res.Stats.Elapsed = time.Since(began)
	return res, nil
}

// traces returns the traces that have an event in q's datasets and range for which where holds.
func (snap *snapshot) traces(ctx context.Context, q *query.Query, where query.Expr, stats *query.Stats) (map[event.TraceID]struct{}, error) {
	ids := map[event.TraceID]struct{}{}
	sub := &query.Query{Datasets: q.Datasets, From: q.From, To: q.To, Stages: []query.Stage{
		query.Filter{Where: where}, query.Project{Fields: query.FieldsNamed(event.FieldTrace)},
	}}
	err := snap.scan(ctx, sub, stats, func(row query.Row) bool {
		stats.RowsScanned++
		if query.Holds(where, row) {
			if id, err := event.ParseTraceID(row.Get(event.FieldTrace).Str()); err == nil {
				ids[id] = struct{}{}
			}
		}
		return true
	})
	return ids, err
}

// batchRow is one row of a batch.
type batchRow struct {
	batch *event.Batch
	row   int
}

func (r batchRow) Get(name string) event.Value { return r.batch.Get(r.row, name) }

func (r batchRow) Each(yield func(string, event.Value) bool) { r.batch.Each(r.row, yield) }

// scan pushes the visible rows of q's datasets and time range, until push returns false.
// Row groups and, for a query about certain traces, rows that can not match are left out.
func (snap *snapshot) scan(ctx context.Context, q *query.Query, stats *query.Stats, push func(query.Row) bool) error {
	first, last, some := q.Range()
	if !some {
		return ctx.Err()
	}
	names, all := q.Columns()
	w := want{names, all}
	only := traceFilter(q)
	visible := func(ds event.DatasetID) bool {
		if q.Datasets != nil && !slices.Contains(q.Datasets, ds) {
			return false
		}
		_, gone := snap.dropped[ds]
		return !gone
	}
	pushBatch := func(b *event.Batch) bool {
		var ds event.DatasetID
		var shown bool
		var low int64
		for i := range b.Headers {
			h := &b.Headers[i]
			if i == 0 || h.Dataset != ds {
				ds, shown, low = h.Dataset, visible(h.Dataset), max(first, snap.horizon(h.Dataset))
			}
			if !shown || h.Time < low || h.Time > last {
				continue
			}
			if only != nil {
				if _, ok := only[h.Trace]; !ok {
					continue
				}
			}
			if !push(batchRow{b, i}) {
				return false
			}
			if i&1023 == 1023 && ctx.Err() != nil {
				return false
			}
		}
		return true
	}
	if only != nil {
		w.names[event.FieldTrace] = true
	}
	for _, f := range snap.files {
		touched := false
		for i, g := range f.meta.Groups {
			if err := ctx.Err(); err != nil {
				return err
			}
			if !visible(g.Dataset) || g.MaxTime < max(first, snap.horizon(g.Dataset)) || g.MinTime > last {
				continue
			}
			if only != nil {
				has, err := f.hasTrace(i, only, &stats.BytesScanned)
				if err != nil {
					return err
				}
				if !has {
					continue
				}
			}
			touched = true
			b, err := f.readGroup(i, w, &stats.BytesScanned)
			if err != nil {
				return err
			}
			if !pushBatch(b) {
				return ctx.Err()
			}
		}
		if touched {
			stats.SegmentsRead++
		} else {
			stats.SegmentsPruned++
		}
	}
	for _, b := range snap.batches {
		if err := ctx.Err(); err != nil {
			return err
		}
		stats.BytesScanned += int64(b.Bytes())
		if !pushBatch(b) {
			return ctx.Err()
		}
	}
	return nil
}

// hasTrace reports whether a row group has a row of one of the traces: the bloom filter is
// asked first, then the column itself, before any other column is read.
func (s *file) hasTrace(group int, ids map[event.TraceID]struct{}, read *int64) (bool, error) {
	if !s.mayHaveTrace(group, ids) {
		return false, nil
	}
	traces, err := s.readTraces(group, read)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(traces, func(id event.TraceID) bool {
		_, ok := ids[id]
		return ok
	}), nil
}

// traceFilter returns the trace ids outside of which no row can pass q's leading filters, or
// nil when they do not say.
func traceFilter(q *query.Query) map[event.TraceID]struct{} {
	for _, s := range q.Stages {
		f, ok := s.(query.Filter)
		if !ok {
			return nil
		}
		if ids := tracesOf(f.Where); ids != nil {
			return ids
		}
	}
	return nil
}

func tracesOf(e query.Expr) map[event.TraceID]struct{} {
	switch e := e.(type) {
	case query.And:
		for _, x := range e.X {
			if ids := tracesOf(x); ids != nil {
				return ids
			}
		}
	case query.TraceIn:
		return e.IDs
	case query.Compare:
		f, fok := e.L.(query.Field)
		c, cok := e.R.(query.Const)
		if !fok || !cok || f.Name != event.FieldTrace || e.Op != query.Eq || e.Mode != query.Strict {
			return nil
		}
		ids := map[event.TraceID]struct{}{}
		if id, err := event.ParseTraceID(c.Value.Str()); err == nil && id.String() == c.Value.Str() {
			ids[id] = struct{}{}
		}
		return ids
	}
	return nil
}
