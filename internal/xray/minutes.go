package xray

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/meta"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/store"
)

// The graph of the traces that began in a minute is kept in the metadata once nothing more
// arrives for it, see docs/adr/0006-minutes-of-the-service-graph.md.

const (
	// quietFor is how long nothing must have arrived for a minute before it is kept.
	quietFor = time.Minute
	// reachMinutes is lookback in minutes.
	reachMinutes = int64(lookback / time.Minute)
	// maxKept is how many nodes and edges a minute may have that is kept. Names without end, such
	// as ids in them, are not worth the space.
	maxKept = 20_000
	// maxChanged bounds the traces that are looked up one by one when spans arrive late.
	maxChanged = 500_000
)

func minuteOf(ns int64) int64 {
	m := ns / int64(time.Minute)
	if ns < 0 && ns%int64(time.Minute) != 0 {
		m--
	}
	return m
}

func timeOfMinute(m int64) time.Time { return time.Unix(m*60, 0) }

// traced holds for rows that belong to a trace: spans and what stands beside them.
var traced = query.All(query.Has{X: query.Field{Name: event.FieldTrace}},
	query.Not{X: query.EqStr("meta.signal_type", "log")})

// minuteCount is what there is of a minute.
type minuteCount struct {
	spans    int64
	ingested int64 // when the newest arrived, in nanoseconds
}

// minuteCounts counts the rows of traces by minute; arrivals tells whether it is asked when they
// arrived.
func (s *Server) minuteCounts(ctx context.Context, datasets []event.DatasetID, from, to int64, arrivals bool, stats *query.Stats) (map[int64]minuteCount, error) {
	aggs := []query.Agg{{Name: "n", Op: query.Count}}
	if arrivals {
		aggs = append(aggs, query.Agg{Name: "ingested", Op: query.Max, Arg: query.Field{Name: event.FieldIngested}})
	}
	res, err := s.cfg.Store.Query(ctx, &query.Query{Datasets: datasets, From: timeOfMinute(from), To: timeOfMinute(to), Stages: []query.Stage{
		query.Filter{Where: traced},
		query.Aggregate{By: []query.Named{{Name: "minute", Value: query.TimeBucket(time.Minute)}}, Aggs: aggs},
	}})
	if err != nil {
		return nil, fmt.Errorf("count spans by minute: %w", err)
	}
	stats.Add(res.Stats)
	out := make(map[int64]minuteCount, len(res.Rows))
	for _, row := range res.Rows {
		c := minuteCount{spans: row[1].Int()}
		if arrivals {
			c.ingested = row[2].Int()
		}
		out[minuteOf(row[0].Int())] = c
	}
	return out, nil
}

// quiet reports whether nothing has arrived for the minute m since a time, at which it was over.
func (c minuteCount) quiet(m int64, since time.Time) bool {
	return c.ingested < since.UnixNano() && timeOfMinute(m+1).Before(since)
}

// reached sums the rows in a minute and those that it reaches over, and tells when the newest of
// them arrived.
func reached(counts map[int64]minuteCount, m, reach int64) (c minuteCount) {
	for i := m; i <= m+reach; i++ {
		c.spans += counts[i].spans
		c.ingested = max(c.ingested, counts[i].ingested)
	}
	return c
}

// refresh forgets the minutes that spans arrived for since they were kept; minutes.mu is held.
func (s *Server) refresh(ctx context.Context, t tenant, datasets []event.DatasetID, stats *query.Stats) error {
	known, err := s.cfg.Meta.XRayProgress(ctx, t.environment)
	if err != nil {
		return err
	}
	field := func(name string) query.Expr { return query.Field{Name: name} }
	newer := query.Compare{Op: query.Gt, L: field(event.FieldSeq), R: query.Num(known)}
	res, err := s.cfg.Store.Query(ctx, &query.Query{Datasets: datasets, Stages: []query.Stage{
		query.Filter{Where: query.All(newer, traced)},
		query.Aggregate{Aggs: []query.Agg{
			{Name: "seq", Op: query.Max, Arg: field(event.FieldSeq)}, {Name: "first", Op: query.Min, Arg: field(event.FieldTime)}, {Name: "last", Op: query.Max, Arg: field(event.FieldTime)},
		}},
	}})
	if err != nil {
		return err
	}
	stats.Add(res.Stats)
	if res.Rows[0][0].Missing() {
		return nil // nothing is new
	}
	seq, first, last := res.Rows[0][0].Int(), res.Rows[0][1].Int(), res.Rows[0][2].Int()
	list, err := s.cfg.Meta.XRayMinutesKept(ctx, t.environment, minuteOf(first)-reachMinutes-1, minuteOf(last)+reachMinutes+2)
	if err != nil {
		return err
	}
	kept := make([]int64, len(list))
	for i, k := range list {
		kept[i] = k.Minute
	}
	if len(kept) > 0 {
		changed, err := s.changed(ctx, datasets, known, seq, first, last, stats)
		if err != nil {
			return err
		}
		if changed != nil {
			kept = slices.DeleteFunc(kept, func(m int64) bool { return !changed[m] })
		}
	}
	return s.cfg.Meta.ForgetXRayMinutes(ctx, t.environment, kept, seq)
}

// changed returns the minutes in which the traces begin, or began, that have rows with a Seq
// above known and up to seq, which lie in first..last; nil when they are too many to tell.
func (s *Server) changed(ctx context.Context, datasets []event.DatasetID, known, seq, first, last int64, stats *query.Stats) (map[int64]bool, error) {
	at := query.Field{Name: event.FieldSeq}
	starts := func(q *query.Query) (map[event.TraceID]int64, error) {
		var mu sync.Mutex
		out := map[event.TraceID]int64{}
		st, err := s.cfg.Store.Read(ctx, q, nil, func(rows *store.Rows) error {
			mu.Lock()
			defer mu.Unlock()
			for i := range rows.Headers {
				h := &rows.Headers[i]
				at := h.Time
				if h.Span.IsZero() {
					at = math.MaxInt64 // what stands beside a span begins no trace
				}
				if old, ok := out[h.Trace]; !ok || at < old {
					out[h.Trace] = at
				}
				if len(out) > maxChanged {
					return query.ErrTooLarge
				}
			}
			return nil
		})
		stats.Add(st)
		return out, err
	}
	fresh, err := starts(&query.Query{Datasets: datasets, From: time.Unix(0, first), To: time.Unix(0, last+1), Stages: []query.Stage{query.Filter{Where: query.All(traced,
		query.Compare{Op: query.Gt, L: at, R: query.Num(known)}, query.Compare{Op: query.Le, L: at, R: query.Num(seq)})}}})
	if len(fresh) > maxChanged {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	ids := make(map[event.TraceID]struct{}, len(fresh))
	for id := range fresh {
		ids[id] = struct{}{}
	}
	old, err := starts(&query.Query{Datasets: datasets, From: time.Unix(0, first).Add(-lookback), To: time.Unix(0, last).Add(lookback), Stages: []query.Stage{query.Filter{Where: query.All(
		query.TraceIn{IDs: ids}, traced, query.Compare{Op: query.Le, L: at, R: query.Num(known)})}}})
	if err != nil {
		return nil, err
	}
	out := map[int64]bool{}
	for _, list := range []map[event.TraceID]int64{fresh, old} {
		for _, ns := range list {
			if ns != math.MaxInt64 {
				out[minuteOf(ns)] = true
			}
		}
	}
	return out, nil
}

// unfinished returns the minutes in which traces begin that have a document in progress, and
// those in which they would begin without it.
func (s *Server) unfinished(ctx context.Context, t tenant, from, to int64, stats *query.Stats) (map[int64]bool, error) {
	lo, hi := timeOfMinute(from).Add(-lookback), timeOfMinute(to).Add(lookback)
	waiting := s.pending.between(t.environment, lo.UnixNano(), hi.UnixNano())
	list := make([]candidate, 0, len(waiting))
	for id, at := range waiting {
		list = append(list, candidate{id, at, at, 1})
	}
	out := map[int64]bool{}
	err := s.visitAll(ctx, t, list, outline, stats, func(tr *trace) bool {
		tr.each(func(e *entity) { out[minuteOf(nanos(e.start))] = true })
		return true
	})
	return out, err
}

// made is the graph of a minute that was not kept.
type made struct {
	graph *graph
	reach int64
}

// fill adds to g the traces that are active in a range and satisfy where.
func (s *Server) fill(ctx context.Context, t tenant, g *graph, from, to time.Time, where query.Expr, stats *query.Stats) error {
	// What is left of the range between whole minutes is looked at trace by trace.
	a, b := minuteOf(from.UnixNano()+int64(time.Minute)-1), minuteOf(to.UnixNano())
	var err error
	if where != nil || g.bucket%60 != 0 || b-a < 2 {
		err = s.activeTraces(ctx, t, from, to, where, stats, g.add)
	} else {
		err = s.fillMinutes(ctx, t, g, from, to, a, b, stats)
	}
	if err != nil {
		return err
	}
	return s.resolve(ctx, t, g, from.Add(-linkedWithin), to.Add(lookback), stats)
}

// fillMinutes is fill for a range in which the minutes [a, b) lie in full.
func (s *Server) fillMinutes(ctx context.Context, t tenant, g *graph, from, to time.Time, a, b int64, stats *query.Stats) error {
	datasets, _, err := s.traceDatasets(ctx, t)
	if err != nil {
		return err
	}
	begin := minuteOf(from.UnixNano())
	open, err := s.unfinished(ctx, t, begin-reachMinutes, b, stats)
	if err != nil {
		return err
	}
	// A minute that reaches over the end of the range is counted in full in a graph, but in a
	// series only up to there. Of those before the range some reach into it.
	last := int64(math.MaxInt64)
	if g.bucket != 0 && float64(b*60) < g.to {
		last = b - 1
	}
	var apart [][2]time.Time
	give := func(m, reach int64, of *graph) {
		switch {
		case m >= a && m+reach <= last:
			g.merge(of)
		case m >= a || m < begin && m+reach >= begin:
			apart = append(apart, [2]time.Time{timeOfMinute(m), timeOfMinute(m + 1)})
		}
	}
	want, counts, err := s.eachKept(ctx, t, datasets, begin-reachMinutes, b, open, stats, give)
	if err != nil {
		return err
	}
	visit := func(tr *trace) bool { g.add(tr); return true }
	r := traceRange{kind: byEvent, from: from, to: to, detail: outline}
	// Minutes before the range that are not kept are made for a long range, for which this is little.
	known, long := true, b-a >= 2*reachMinutes
	for m := range want {
		if m < a && (m >= begin || !long) {
			known = known && m >= begin
			delete(want, m)
		}
	}
	if known {
		apart = append(apart, [2]time.Time{timeOfMinute(begin), from})
	} else {
		apart = slices.DeleteFunc(apart, func(x [2]time.Time) bool { return x[0].Before(from) })
		if _, err := s.reachIn(ctx, t, r, from, nil, stats, visit); err != nil {
			return err
		}
	}
	for _, run := range runs(want, counts) {
		if _, err := s.makeRun(ctx, t, run, open, counts, runtime.GOMAXPROCS(0), stats, give); err != nil {
			return err
		}
	}
	for _, x := range append(apart, [2]time.Time{from, timeOfMinute(a)}, [2]time.Time{timeOfMinute(b), to}) {
		if earliest := from.Add(-lookback); x[0].Before(earliest) {
			x[0] = earliest
		}
		if x[0].Before(x[1]) {
			if _, err := s.window(ctx, t, r, x[0], x[1], nil, nil, stats, visit); err != nil {
				return err
			}
		}
	}
	return nil
}

// keepMinutes keeps the minutes in [a, b) that are quiet and were not kept, and returns those that
// are not quiet yet. It rests as long as it works.
func (s *Server) keepMinutes(ctx context.Context, t tenant, a, b int64) (left []int64, err error) {
	var stats query.Stats
	datasets, _, err := s.traceDatasets(ctx, t)
	if err != nil {
		return nil, err
	}
	open, err := s.unfinished(ctx, t, a, b, &stats)
	if err != nil {
		return nil, err
	}
	want, counts, err := s.eachKept(ctx, t, datasets, a, b, open, &stats, nil)
	if err != nil {
		return nil, err
	}
	due := time.Now().Add(-s.quiet)
	for m := range want {
		if open[m] || !counts[m].quiet(m, due) {
			left = append(left, m)
			delete(want, m)
		}
	}
	for _, run := range runs(want, counts) {
		began := time.Now()
		noisy, err := s.makeRun(ctx, t, run, open, counts, 1, &stats, func(int64, int64, *graph) {})
		if err != nil {
			return nil, err
		}
		left = append(left, noisy...)
		select {
		case <-time.After(time.Since(began)):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return left, nil
}

// eachKept calls give, unless it is nil, with the minutes in [a, b) that are kept and good, and returns
// the others that have any traces.
func (s *Server) eachKept(ctx context.Context, t tenant, datasets []event.DatasetID, a, b int64, open map[int64]bool, stats *query.Stats, give func(m, reach int64, g *graph)) (want map[int64]bool, counts map[int64]minuteCount, err error) {
	s.minutes.Lock()
	defer s.minutes.Unlock()
	want, counts = map[int64]bool{}, map[int64]minuteCount{}
	if len(datasets) > 0 {
		if err := s.refresh(ctx, t, datasets, stats); err != nil {
			return nil, nil, fmt.Errorf("refresh the minutes of the service graph: %w", err)
		}
		if counts, err = s.minuteCounts(ctx, datasets, a, b+reachMinutes+1, false, stats); err != nil {
			return nil, nil, err
		}
	}
	for m := range counts {
		if m >= a && m < b {
			want[m] = true
		}
	}
	for m := range open {
		if m >= a && m < b {
			want[m] = true
		}
	}
	good := func(k meta.XRayMinute) bool {
		return want[k.Minute] && !open[k.Minute] && reached(counts, k.Minute, k.Reach).spans == k.Spans
	}
	if give == nil {
		list, err := s.cfg.Meta.XRayMinutesKept(ctx, t.environment, a, b)
		for _, k := range list {
			if good(k) {
				delete(want, k.Minute)
			}
		}
		if err != nil {
			return nil, nil, err
		}
		return want, counts, s.arrivals(ctx, datasets, want, counts, stats)
	}
	intern := map[string]string{}
	err = s.cfg.Meta.XRayMinutes(ctx, t.environment, a, b, func(k meta.XRayMinute) error {
		if !good(k) {
			return nil
		}
		g, err := decodeMinute(k.Graph, k.Minute, intern)
		if err != nil {
			return nil // made again, and kept in its place
		}
		delete(want, k.Minute)
		give(k.Minute, k.Reach, g)
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read the minutes of the service graph: %w", err)
	}
	return want, counts, s.arrivals(ctx, datasets, want, counts, stats)
}

// arrivals fills in when the rows of some minutes, and of those that they may reach over, arrived.
func (s *Server) arrivals(ctx context.Context, datasets []event.DatasetID, of map[int64]bool, counts map[int64]minuteCount, stats *query.Stats) error {
	if len(of) == 0 || len(datasets) == 0 {
		return nil
	}
	list := slices.Collect(maps.Keys(of))
	now, err := s.minuteCounts(ctx, datasets, slices.Min(list), slices.Max(list)+reachMinutes+1, true, stats)
	maps.Copy(counts, now)
	return err
}

// makeRun makes minutes and keeps those that are quiet; it returns those that are not. No refresh
// comes between: a minute that is kept must know what refresh has said that kept ones know.
func (s *Server) makeRun(ctx context.Context, t tenant, run []int64, open map[int64]bool, counts map[int64]minuteCount, workers int, stats *query.Stats, give func(m, reach int64, g *graph)) (noisy []int64, err error) {
	s.minutes.Lock()
	defer s.minutes.Unlock()
	rows := int64(0)
	for _, m := range run {
		rows += counts[m].spans
	}
	var list map[int64]made
	if rows <= maxOutlined {
		list, err = s.outlineMinutes(ctx, t, run, workers, stats)
	} else {
		list, err = s.makeMinutes(ctx, t, run, nil, stats)
	}
	if err != nil {
		return nil, err
	}
	var keep []meta.XRayMinute
	due := time.Now().Add(-s.quiet)
	for m, x := range list {
		give(m, x.reach, x.graph)
		if x.reach > reachMinutes || len(x.graph.nodes)+len(x.graph.edges) > maxKept {
			continue
		}
		c := reached(counts, m, x.reach)
		switch {
		case open[m], c.spans > 0 && !c.quiet(m, due):
			noisy = append(noisy, m)
		case c.spans > 0:
			keep = append(keep, meta.XRayMinute{Minute: m, Reach: x.reach, Spans: c.spans, Graph: encodeMinute(x.graph, m)})
		}
	}
	if err := s.cfg.Meta.PutXRayMinutes(ctx, t.environment, keep); err != nil {
		return nil, fmt.Errorf("keep minutes of the service graph: %w", err)
	}
	return noisy, nil
}

// runs puts minutes together that are made at once: neighbours with up to outlineRows rows.
func runs(want map[int64]bool, counts map[int64]minuteCount) [][]int64 {
	list := make([]int64, 0, len(want))
	for m := range want {
		list = append(list, m)
	}
	slices.Sort(list)
	var out [][]int64
	rows := int64(0)
	for i, m := range list {
		n := counts[m].spans
		if i == 0 || rows+n > outlineRows || m-list[i-1] > 10 {
			out, rows = append(out, nil), 0
		}
		out[len(out)-1] = append(out[len(out)-1], m)
		rows += n
	}
	return out
}

// makeMinutes makes the graphs of minutes, which are in order, of the traces that satisfy where.
func (s *Server) makeMinutes(ctx context.Context, t tenant, run []int64, where query.Expr, stats *query.Stats) (map[int64]made, error) {
	out := make(map[int64]made, len(run))
	for _, m := range run {
		g := newGraph("")
		g.bucket = 60
		out[m] = made{graph: g}
	}
	holds, err := s.matcher(ctx, t, where)
	if err != nil {
		return nil, err
	}
	hint, err := s.hintOf(ctx, t, where)
	if err != nil {
		return nil, err
	}
	from, to := timeOfMinute(run[0]), timeOfMinute(run[len(run)-1]+1)
	r := traceRange{kind: byEvent, from: from, to: to, detail: detailOf(where), hint: hint}
	_, err = s.window(ctx, t, r, from, to, nil, nil, stats, func(tr *trace) bool {
		m := minuteOf(nanos(tr.start))
		x, ok := out[m]
		if !ok || !holds(tr) {
			return true
		}
		x.graph.add(tr)
		x.reach = max(x.reach, minuteOf(nanos(tr.end))-m)
		out[m] = x
		return true
	})
	if err != nil {
		return nil, err
	}
	return out, s.resolveMinutes(ctx, t, out, stats)
}

func (s *Server) resolveMinutes(ctx context.Context, t tenant, list map[int64]made, stats *query.Stats) error {
	for m, x := range list {
		if err := s.resolve(ctx, t, x.graph, timeOfMinute(m).Add(-linkedWithin), timeOfMinute(m).Add(lookback), stats); err != nil {
			return err
		}
	}
	return nil
}

const (
	// tendEvery is how often the background looks after the minutes, tendBack how far back, in
	// minutes: the six hours that consoles ask for, and what began before and reaches into them.
	// Older ones are kept when they are first asked for.
	tendEvery = time.Minute
	tendBack  = 7 * 60
	// sweepEvery is how often minutes are forgotten of which all spans have expired.
	sweepEvery = time.Hour
)

// Run keeps the minutes of service graphs as they become quiet and stores documents in progress
// whose ends do not come, until ctx ends; then it returns nil.
func (s *Server) Run(ctx context.Context) error {
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	var swept time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			sweep := now.Sub(swept) >= sweepEvery
			if sweep {
				swept = now
			}
			if err := s.tend(ctx, now, sweep); err != nil && ctx.Err() == nil {
				s.cfg.Log.Error("look after X-Ray's data", "error", err)
			}
		}
	}
}

// tend does what is due at a time, in every environment.
func (s *Server) tend(ctx context.Context, now time.Time, sweep bool) error {
	failed := errors.Join(s.expire(ctx, now), s.cfg.Meta.ForgetSampling(ctx, now.Add(-statisticsFor), now.Add(-activeFor)))
	list, err := s.cfg.Meta.Environments(ctx)
	failed = errors.Join(failed, err)
	for _, environment := range list {
		t := tenant{environment, s.cfg.Account, s.cfg.Region}
		m := minuteOf(now.UnixNano())
		failed = errors.Join(failed, s.tendMinutes(ctx, t, m), s.watch(ctx, t, now))
		if sweep {
			failed = errors.Join(failed, s.sweepMinutes(ctx, t))
		}
	}
	if sweep {
		failed = errors.Join(failed, s.cfg.Meta.ForgetXRayInsights(ctx, minuteOf(now.UnixNano())-dayMinutes-baseMinutes, now.Add(-insightsFor)))
	}
	return failed
}

// tended is what is left to keep of an environment.
type tended struct {
	seq      int64 // of the newest row that was looked at
	from, to int64 // the minutes to look after; none when from is not before to
}

// tendMinutes keeps the minutes up to the minute now for which spans arrived since it was last
// called, however old they are within tendBack.
func (s *Server) tendMinutes(ctx context.Context, t tenant, now int64) error {
	earliest, latest := now-tendBack, now+reachMinutes // of clocks that are ahead
	d := s.tended[t.environment]
	if d == nil { // those of an earlier life are looked through once
		d = &tended{-1, earliest, now}
		s.tended[t.environment] = d
	}
	datasets, _, err := s.traceDatasets(ctx, t)
	if err != nil || len(datasets) == 0 {
		return err
	}
	field := func(name string) query.Expr { return query.Field{Name: name} }
	res, err := s.cfg.Store.Query(ctx, &query.Query{Datasets: datasets, From: timeOfMinute(earliest), To: timeOfMinute(latest), Stages: []query.Stage{
		query.Filter{Where: query.All(query.Compare{Op: query.Gt, L: field(event.FieldSeq), R: query.Num(d.seq)}, traced)},
		query.Aggregate{Aggs: []query.Agg{
			{Name: "seq", Op: query.Max, Arg: field(event.FieldSeq)}, {Name: "first", Op: query.Min, Arg: field(event.FieldTime)}, {Name: "last", Op: query.Max, Arg: field(event.FieldTime)},
		}},
	}})
	if err != nil {
		return fmt.Errorf("look for new spans: %w", err)
	}
	from, to := d.from, d.to
	if r := res.Rows[0]; !r[0].Missing() {
		d.seq = r[0].Int()
		// A span that comes late makes the minute in which its trace began be made again.
		first, last := minuteOf(r[1].Int())-reachMinutes, minuteOf(r[2].Int())+1
		if from >= to {
			from, to = first, last
		}
		from, to = min(from, first), max(to, last)
	}
	if from = max(from, earliest); from >= to {
		return nil
	}
	d.from, d.to = from, to // what fails is tried again
	left, err := s.keepMinutes(ctx, t, from, to)
	if err != nil {
		return fmt.Errorf("keep minutes of the service graph: %w", err)
	}
	d.from, d.to = 0, 0
	if len(left) > 0 {
		d.from, d.to = slices.Min(left), slices.Max(left)+1
	}
	return nil
}

// sweepMinutes forgets the minutes before the oldest span.
func (s *Server) sweepMinutes(ctx context.Context, t tenant) error {
	datasets, _, err := s.traceDatasets(ctx, t)
	if err != nil {
		return err
	}
	if datasets == nil {
		datasets = []event.DatasetID{}
	}
	res, err := s.cfg.Store.Query(ctx, &query.Query{Datasets: datasets, Stages: []query.Stage{
		query.Aggregate{Aggs: []query.Agg{{Name: "first", Op: query.Min, Arg: query.Field{Name: event.FieldTime}}}},
	}})
	if err != nil {
		return err
	}
	first := int64(math.MaxInt64)
	if v := res.Rows[0][0]; !v.Missing() {
		first = minuteOf(v.Int())
	}
	return s.cfg.Meta.ForgetXRayMinutesBefore(ctx, t.environment, first)
}
