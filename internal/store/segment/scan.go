package segment

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/store"
	"github.com/trefoil-o11y/trefoil/internal/store/segment/colfile"
)

// snapshot is what one query reads: the files and batches that were visible when it began.
type snapshot struct {
	dicts   *dicts
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
	snap := &snapshot{dicts: s.dicts, files: slices.Clone(s.files), dropped: s.dropped}
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

func (snap *snapshot) release() { releaseAll(snap.files) }

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
	if q, err = snap.traceSets(ctx, q, &stats); err != nil {
		return nil, err
	}
	sc := newScan(snap, q, newPlan(q))
	if q.Progress != nil {
		sc.watched = &watched{}
		defer q.Progress.Begin(sc.look)()
	}
	res, err := sc.run(ctx, &stats)
	if err != nil {
		return nil, err
	}
	res.Stats.Add(stats)
	res.Stats.Elapsed = time.Since(began)
	return res, nil
}

// traceSets returns q with the sets of traces and spans that its conditions on whole traces, on
// parents and on children stand for.
func (snap *snapshot) traceSets(ctx context.Context, q *query.Query, stats *query.Stats) (*query.Query, error) {
	return q.TraceSets(func(x query.Exists) (query.Expr, error) {
		if own, theirs := query.Joins(x.Over); own != "" {
			keys, err := snap.spans(ctx, q, x.Where, theirs, stats)
			return query.SpanIn{Field: own, Keys: keys}, err
		}
		ids, err := snap.traces(ctx, q, x.Where, stats)
		return query.TraceIn{IDs: ids}, err
	})
}

// traces returns the traces that have an event in q's datasets and range for which where holds.
func (snap *snapshot) traces(ctx context.Context, q *query.Query, where query.Expr, stats *query.Stats) (map[event.TraceID]struct{}, error) {
	ids := map[event.TraceID]struct{}{}
	var mu sync.Mutex
	sc := newScan(snap, q, &plan{where: where})
	err := sc.each(ctx, stats, func(w *worker, _ int, keep bitmap, _ int) bool {
		f := w.s.field(event.FieldTrace)
		if len(f.sources) == 0 {
			return true
		}
		v := f.sources[0]
		w.s.load(v)
		if w.s.err != nil {
			return true
		}
		mu.Lock()
		defer mu.Unlock()
		keep.each(func(i int) {
			if v.vec.Has(i) && len(ids) <= query.MaxHeld {
				ids[event.TraceID(v.vec.IDs[i*16:i*16+16])] = struct{}{}
			}
		})
		return len(ids) <= query.MaxHeld
	})
	stats.RowsMatched = 0 // those of the query itself count
	if len(ids) > query.MaxHeld {
		return nil, query.ErrTooLarge
	}
	return ids, err
}

// spans returns the traces with the span ids in a field of the events in q's datasets and range for
// which where holds.
func (snap *snapshot) spans(ctx context.Context, q *query.Query, where query.Expr, field string, stats *query.Stats) (map[query.SpanKey]struct{}, error) {
	keys := map[query.SpanKey]struct{}{}
	var mu sync.Mutex
	over := false
	sc := newScan(snap, q, &plan{where: where})
	err := sc.each(ctx, stats, func(w *worker, _ int, keep bitmap, _ int) bool {
		traces, spans := w.s.field(event.FieldTrace), w.s.field(field)
		if len(traces.sources) == 0 || len(spans.sources) == 0 {
			return true
		}
		t, p := traces.sources[0], spans.sources[0]
		w.s.load(t)
		w.s.load(p)
		if w.s.err != nil {
			return true
		}
		mu.Lock()
		defer mu.Unlock()
		keep.each(func(i int) {
			if t.vec.Has(i) && p.vec.Has(i) && len(keys) <= query.MaxHeld {
				keys[query.SpanKey{Trace: event.TraceID(t.vec.IDs[i*16 : i*16+16]), Span: event.SpanID(p.vec.IDs[i*8 : i*8+8])}] = struct{}{}
			}
		})
		over = over || len(keys) > query.MaxHeld
		return !over
	})
	stats.RowsMatched = 0 // those of the query itself count
	if over {
		return nil, query.ErrTooLarge
	}
	return keys, err
}

// scan runs a plan over a snapshot.
type scan struct {
	snap        *snapshot
	plan        *plan
	pred        predicate
	first, last int64 // times
	counted     bool  // see query.Query
	wanted      func(event.DatasetID) bool
	units       []*unit
	read        map[*file]*atomic.Bool
	watched     *watched // nil when nobody looks at the run
}

// worker is one of the goroutines of a scan.
type worker struct {
	s       scanner
	keep    bitmap
	stats   query.Stats
	agg     *aggregator
	leaders *leaders
	reading *reading
}

func newScan(snap *snapshot, q *query.Query, p *plan) *scan {
	sc := &scan{snap: snap, plan: p, counted: q.Counted, read: map[*file]*atomic.Bool{}}
	sc.pred = new(compiler).compile(p.where)
	var some bool
	sc.first, sc.last, some = q.Range()
	sc.wanted = func(ds event.DatasetID) bool {
		if q.Datasets != nil && !slices.Contains(q.Datasets, ds) {
			return false
		}
		_, gone := snap.dropped[ds]
		return !gone
	}
	if some {
		sc.findUnits()
	}
	return sc
}

// findUnits lists what has rows of the datasets and the time range.
func (sc *scan) findUnits() {
	for _, f := range sc.snap.files {
		sc.read[f] = &atomic.Bool{}
		for _, g := range f.Groups {
			ds := event.DatasetID(g.Dataset)
			low := max(sc.first, sc.snap.horizon(ds))
			if !sc.wanted(ds) || g.MaxTime < low || g.MinTime > sc.last {
				continue
			}
			sc.units = append(sc.units, &unit{file: f, group: g, rows: g.Rows, min: g.MinTime, max: g.MaxTime, whole: g.MinTime >= low && g.MaxTime <= sc.last})
		}
	}
	for _, b := range sc.snap.batches {
		u := &unit{batch: b, rows: b.Len()}
		for i := range b.Headers {
			t := b.Headers[i].Time
			if i == 0 || t < u.min {
				u.min = t
			}
			if i == 0 || t > u.max {
				u.max = t
			}
		}
		if u.max >= sc.first && u.min <= sc.last {
			sc.units = append(sc.units, u)
		}
	}
	if t := sc.plan.top; t != nil {
		if is, desc := t.byTime(); is && desc {
			slices.SortStableFunc(sc.units, func(a, b *unit) int { return cmp.Compare(b.max, a.max) })
		} else if is {
			slices.SortStableFunc(sc.units, func(a, b *unit) int { return cmp.Compare(a.min, b.min) })
		}
	}
}

// run runs the plan and counts what it cost.
func (sc *scan) run(ctx context.Context, stats *query.Stats) (*query.Result, error) {
	switch {
	case sc.plan.agg != nil:
		return sc.aggregate(ctx, stats)
	case sc.plan.top != nil:
		return sc.leading(ctx, stats)
	}
	tail := query.NewRunner(sc.plan.tail, nil)
	var mu sync.Mutex
	more := true
	err := sc.each(ctx, stats, func(w *worker, _ int, keep bitmap, n int) bool {
		mu.Lock()
		wanted := more
		mu.Unlock()
		if !wanted {
			return sc.counted // the rest is only counted
		}
		at := make([]int, 0, n)
		keep.each(func(i int) { at = append(at, i) })
		for len(at) > 0 {
			// A few rows at a time, for the tail may soon have enough.
			part := at[:min(len(at), 256)]
			at = at[len(part):]
			rows := w.s.rowsOf(part, sc.plan.names, sc.plan.all)
			mu.Lock()
			for _, r := range rows {
				more = more && tail.Push(r)
			}
			wanted := more
			mu.Unlock()
			if !wanted {
				return sc.counted
			}
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	return tail.Result()
}

func (sc *scan) aggregate(ctx context.Context, stats *query.Stats) (*query.Result, error) {
	var mu sync.Mutex
	var all []*aggregator
	err := sc.eachUnit(ctx, stats, func(w *worker) {
		w.agg = newAggregator(sc.plan.agg)
		mu.Lock()
		all = append(all, w.agg)
		mu.Unlock()
	}, func(w *worker, _ int) bool {
		return sc.plan.where == nil && w.agg.byIndex(&w.s)
	}, func(w *worker, _ int, keep bitmap, n int) bool {
		w.agg.page(&w.s, keep, n)
		return !w.agg.over
	})
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		all = append(all, newAggregator(sc.plan.agg))
	}
	slices.SortFunc(all, func(a, b *aggregator) int { return cmp.Compare(b.by.groups, a.by.groups) })
	for _, o := range all[1:] {
		all[0].merge(o)
	}
	if all[0].over {
		return nil, query.ErrTooLarge
	}
	tail := query.NewRunner(sc.plan.tail, sc.plan.agg.Names())
	all[0].rows(sc.plan.tail, tail.Push)
	return tail.Result()
}

// leading finds the first rows of an order, and only then reads their fields.
func (sc *scan) leading(ctx context.Context, stats *query.Stats) (*query.Result, error) {
	var mu sync.Mutex
	var all []*leaders
	_, desc := sc.plan.top.byTime()
	bound := newBound(desc)
	err := sc.eachUnit(ctx, stats, func(w *worker) {
		w.leaders = newLeaders(sc.plan.top, bound)
		mu.Lock()
		all = append(all, w.leaders)
		mu.Unlock()
	}, func(w *worker, at int) bool {
		return !sc.counted && w.leaders.hopeless(sc.units[at])
	}, func(w *worker, at int, keep bitmap, _ int) bool {
		w.leaders.page(&w.s, at, keep)
		return true
	})
	if err != nil {
		return nil, err
	}
	return sc.lead(ctx, merge(sc.plan.top, all), stats)
}

// lead reads the rows of a list of leaders, and takes them through the tail.
func (sc *scan) lead(ctx context.Context, list []leader, stats *query.Stats) (*query.Result, error) {
	rows, err := sc.fetch(ctx, list, stats)
	if err != nil {
		return nil, err
	}
	tail := query.NewRunner(sc.plan.tail, nil)
	for _, r := range rows {
		if !tail.Push(r) {
			break
		}
	}
	return tail.Result()
}

// fetch reads rows by their places.
func (sc *scan) fetch(ctx context.Context, list []leader, stats *query.Stats) ([]query.Row, error) {
	rows := make([]query.Row, len(list))
	order := make([]int, len(list))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		if c := cmp.Compare(list[i].unit, list[j].unit); c != 0 {
			return c
		}
		return cmp.Compare(list[i].row, list[j].row)
	})
	var runs [][]int // those on one page of one unit
	for len(order) > 0 {
		n, first := 1, list[order[0]]
		for n < len(order) && list[order[n]].unit == first.unit && list[order[n]].row/colfile.PageRows == first.row/colfile.PageRows {
			n++
		}
		runs, order = append(runs, order[:n]), order[n:]
	}
	var next, bytes atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range min(runtime.GOMAXPROCS(0), len(runs)) {
		g.Go(func() error {
			s := scanner{dicts: sc.snap.dicts}
			defer func() { bytes.Add(s.bytes) }()
			for at := int(next.Add(1) - 1); at < len(runs); at = int(next.Add(1) - 1) {
				if err := ctx.Err(); err != nil {
					return err
				}
				sc.fetchRun(&s, list, runs[at], rows)
				if s.err != nil {
					return s.err
				}
			}
			return nil
		})
	}
	err := g.Wait()
	stats.BytesScanned += bytes.Load()
	return rows, err
}

// fetchRun reads the rows at the places run of list, which are on one page, to the same places of rows.
func (sc *scan) fetchRun(s *scanner, list []leader, run []int, rows []query.Row) {
	first := list[run[0]]
	if u := sc.units[first.unit]; s.u != u {
		s.enter(u)
	}
	s.turn(int(first.row) / colfile.PageRows)
	at := make([]int, len(run))
	for k := range at {
		at[k] = int(list[run[k]].row) % colfile.PageRows
	}
	for k, r := range s.rowsOf(at, sc.plan.names, sc.plan.all) {
		rows[run[k]] = r
	}
}

// each calls page for every page with rows for which the plan's filter holds, from several
// goroutines, until it returns false.
func (sc *scan) each(ctx context.Context, stats *query.Stats, page func(w *worker, unit int, keep bitmap, selected int) bool) error {
	return sc.eachUnit(ctx, stats, func(*worker) {}, func(*worker, int) bool { return false }, page)
}

// eachUnit is each, with a function that begins a worker and one that reports whether a unit is
// done with without a look at its pages.
func (sc *scan) eachUnit(ctx context.Context, stats *query.Stats, begin func(*worker), done func(w *worker, unit int) bool, page func(w *worker, unit int, keep bitmap, selected int) bool) error {
	var next atomic.Int64
	var stop atomic.Bool
	var mu sync.Mutex
	var failed error
	work := func() {
		w := &worker{s: scanner{dicts: sc.snap.dicts}, keep: make(bitmap, colfile.PageRows/64)}
		begin(w)
		sc.watched.enter(w)
		defer sc.watched.leave()
		for !stop.Load() {
			sc.watched.pause()
			at := int(next.Add(1) - 1)
			if at >= len(sc.units) {
				break
			}
			more, err := sc.unit(ctx, w, at, done, page, &stop)
			if err != nil {
				mu.Lock()
				if failed == nil {
					failed = err
				}
				mu.Unlock()
			}
			if !more || err != nil {
				stop.Store(true)
			}
		}
		w.stats.BytesScanned += w.s.bytes
		w.s.bytes = 0
		mu.Lock()
		stats.Add(w.stats)
		mu.Unlock()
	}
	n := min(runtime.GOMAXPROCS(0), len(sc.units))
	var wg sync.WaitGroup
	for range n - 1 {
		wg.Go(work)
	}
	if n > 0 {
		work()
	}
	wg.Wait()
	for _, read := range sc.read {
		if read.Load() {
			stats.SegmentsRead++
		} else {
			stats.SegmentsPruned++
		}
	}
	if failed != nil {
		return failed
	}
	return ctx.Err()
}

// unit scans one unit; it reports whether the query wants more.
func (sc *scan) unit(ctx context.Context, w *worker, at int, done func(*worker, int) bool, page func(*worker, int, bitmap, int) bool, stop *atomic.Bool) (bool, error) {
	u := sc.units[at]
	if u.file != nil {
		chunks, err := u.file.Chunks(u.group)
		if err != nil {
			return false, err
		}
		u.chunks = chunks
	}
	s := &w.s
	s.enter(u)
	defer s.leave()
	if !sc.pred.may(s) {
		w.stats.RowsSkipped += int64(u.rows)
		return true, s.err
	}
	if done(w, at) {
		if w.agg != nil { // the index told what the rows would have
			w.stats.RowsScanned += int64(u.rows)
			w.stats.RowsMatched += int64(u.rows)
		}
		return true, s.err
	}
	if u.file != nil {
		sc.read[u.file].Store(true)
	} else {
		w.stats.BytesScanned += int64(u.batch.Bytes())
	}
	for i := range u.pages() {
		// Of rows in the order of their time the newest are in the last page.
		p := i
		if w.leaders != nil && w.leaders.desc {
			p = u.pages() - 1 - i
		}
		if stop.Load() {
			return false, ctx.Err()
		}
		if err := ctx.Err(); err != nil {
			return false, err
		}
		sc.watched.pause()
		within, all := sc.within(u, p)
		if !within {
			continue
		}
		s.turn(p)
		w.stats.RowsScanned += int64(s.n)
		keep := w.keep[:(s.n+63)/64]
		sc.begin(s, keep, all)
		if w.leaders != nil && w.leaders.time && !sc.counted {
			w.leaders.narrow(s, keep)
		}
		if !keep.empty() {
			sc.pred.filter(s, keep)
		}
		if s.err != nil {
			return false, s.err
		}
		n := keep.count()
		w.stats.RowsMatched += int64(n)
		if n == 0 {
			continue
		}
		more := page(w, at, keep, n)
		if s.err != nil {
			return false, s.err
		}
		if !more {
			return false, nil
		}
	}
	return true, nil
}

// within reports whether rows of a page may be, and whether all are, within the range of time
// that the query may see. A row group is sorted by time.
func (sc *scan) within(u *unit, page int) (some, all bool) {
	if u.whole || u.batch != nil {
		return true, u.whole
	}
	low := max(sc.first, sc.snap.horizon(event.DatasetID(u.group.Dataset)))
	first := chunk(u.chunks, colTime).First
	if len(first) != u.pages() {
		return true, false
	}
	from, to := first[page], u.max
	if page+1 < len(first) {
		to = first[page+1]
	}
	return from <= sc.last && to >= low, from >= low && to <= sc.last
}

// begin sets the bits of the rows of the page that the query may see.
func (sc *scan) begin(s *scanner, keep bitmap, all bool) {
	keep.fill(s.n)
	u := s.u
	if u.batch == nil {
		if all {
			return
		}
		v := s.field(event.FieldTime).sources[0]
		s.load(v)
		if s.err != nil {
			return
		}
		low := max(sc.first, sc.snap.horizon(event.DatasetID(u.group.Dataset)))
		for i, t := range v.vec.Nums[:s.n] {
			if t < low || t > sc.last {
				keep[i>>6] &^= 1 << (i & 63)
			}
		}
		return
	}
	first := s.page * colfile.PageRows
	var ds event.DatasetID
	var low int64
	ok := false
	for i := range s.n {
		h := &u.batch.Headers[first+i]
		if i == 0 || h.Dataset != ds {
			ds = h.Dataset
			ok, low = sc.wanted(ds), max(sc.first, sc.snap.horizon(ds))
		}
		if !ok || h.Time < low || h.Time > sc.last {
			keep[i>>6] &^= 1 << (i & 63)
		}
	}
}
