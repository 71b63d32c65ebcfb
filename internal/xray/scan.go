package xray

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/meta"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/store"
	"github.com/trefoil-o11y/trefoil/internal/syntax"
	"github.com/trefoil-o11y/trefoil/internal/xray/filterexpr"
)

const (
	// plausible is how far the time in a trace's id may be from its start; beyond it the id is
	// taken for a random one.
	plausible = 24 * time.Hour
	// firstWindow is the part of a range that is looked at first; the next ones double.
	firstWindow = time.Minute
	// firstLoaded is how many traces are loaded first of a few that are known.
	firstLoaded = 64
)

// rangeType says what of a trace must be in a range of time.
type rangeType string

const (
	byTraceID rangeType = "TraceId" // the time in its id, else its start
	byEvent   rangeType = "Event"   // some of its time
	byService rangeType = "Service" // the end of its entry segment
)

// traceRange is the traces that a call is about.
type traceRange struct {
	kind     rangeType
	from, to time.Time
	detail   detail // of the traces that are visited
	// hint, when it is not nil, lets traces be passed over none of whose rows it holds for.
	hint query.Expr
	// all says that every trace of the range is visited, in whatever order.
	all bool
}

// position is a place in a list of traces, behind a trace of a start and an id.
type position struct {
	start int64
	id    event.TraceID
}

// timeOf is the time that byTraceID goes by.
func timeOf(id event.TraceID, start int64) int64 {
	at := id.Seconds() * 1e9
	if d := at - start; d > int64(plausible) || d < -int64(plausible) {
		return start
	}
	return at
}

// excludes reports whether the time in an id keeps a trace out of the range that begins in [lo, hi].
func (r traceRange) excludes(id event.TraceID, lo, hi int64) bool {
	at := id.Seconds() * 1e9
	return !r.holds(at) && timeOf(id, lo) == at && timeOf(id, hi) == at
}

func (r traceRange) holds(ns int64) bool { return ns >= r.from.UnixNano() && ns < r.to.UnixNano() }

// contains reports whether a trace is in the range.
func (r traceRange) contains(t *trace) bool {
	switch r.kind {
	case byTraceID:
		return r.holds(timeOf(t.id, nanos(t.start)))
	case byService:
		return !t.entry.inProgress && r.holds(nanos(t.entry.end))
	default:
		return t.active(r.from.UnixNano(), r.to.UnixNano())
	}
}

// active reports whether a part of the trace overlaps [from, to).
func (t *trace) active(from, to int64) bool {
	if at := nanos(t.start); at >= to || nanos(t.end) < from {
		return false
	} else if at >= from {
		return true
	}
	found := false
	t.each(func(e *entity) { found = found || nanos(e.start) < to && nanos(max(e.start, e.end)) >= from })
	return found
}

// scan visits the traces of a range behind a position (nil: from the first), by their starts,
// the newest first, until visit returns false. It goes back through windows of time; a trace
// is visited in the window of its start.
func (s *Server) scan(ctx context.Context, t tenant, r traceRange, after *position, stats *query.Stats, visit func(*trace) bool) error {
	from, to := r.from.Truncate(time.Microsecond), r.to
	if r.kind == byTraceID {
		from, to = from.Add(-plausible), to.Add(plausible)
	}
	if after != nil {
		to = minTime(to, time.Unix(0, after.start+1))
	}
	step := max(firstWindow, to.Sub(from)/64)
	if r.all {
		step = max(step, to.Sub(from))
	}
	more := true
	for hi := to; more && hi.After(from); step *= 2 {
		lo := hi.Add(-step).Truncate(time.Microsecond)
		if lo.Before(from) {
			lo = from
		}
		var err error
		if more, err = s.window(ctx, t, r, lo, hi, after, nil, stats, visit); err != nil {
			return err
		}
		hi = lo
	}
	if !more || r.kind == byTraceID {
		return nil
	}
	_, err := s.reachIn(ctx, t, r, minTime(from, to), after, stats, visit)
	return err
}

// reachIn visits the traces that began up to lookback before the range, and before another time,
// and have a part that reaches or begins in it.
func (s *Server) reachIn(ctx context.Context, t tenant, r traceRange, before time.Time, after *position, stats *query.Stats, visit func(*trace) bool) (more bool, err error) {
	from := r.from.Truncate(time.Microsecond)
	inside, err := s.tracesIn(ctx, t, from, minTime(r.to, from.Add(lookback)), nil, stats)
	if err != nil {
		return false, err
	}
	reaches := query.Compare{Op: query.Ge, L: endOf, R: query.Num(from.UnixNano())}
	ids, err := s.tracesIn(ctx, t, from.Add(-lookback), from, query.Or{X: []query.Expr{query.TraceIn{IDs: setOf(inside)}, reaches}}, stats)
	if err != nil {
		return false, err
	}
	return s.window(ctx, t, r, from.Add(-lookback), before, after, ids, stats, visit)
}

// window visits the traces of a range that began in [lo, hi), of those of a set unless it is nil.
// It reports whether visit always returned true.
func (s *Server) window(ctx context.Context, t tenant, r traceRange, lo, hi time.Time, after *position, of map[event.TraceID]int64, stats *query.Stats, visit func(*trace) bool) (more bool, err error) {
	if r.hint != nil {
		ids, err := s.tracesIn(ctx, t, lo, hi.Add(lookback), r.hint, stats)
		if err != nil {
			return false, err
		}
		if of != nil {
			maps.DeleteFunc(ids, func(id event.TraceID, _ int64) bool { _, ok := of[id]; return !ok })
		}
		if r.kind == byTraceID {
			maps.DeleteFunc(ids, func(id event.TraceID, at int64) bool { return r.excludes(id, lo.UnixNano(), min(at, hi.UnixNano())) })
		}
		return s.windowOf(ctx, t, r, lo, hi, after, ids, stats, visit)
	}
	var where query.Expr
	if of != nil {
		where = query.TraceIn{IDs: setOf(of)}
	}
	found, err := s.candidates(ctx, t, lo, hi, where, stats)
	if err != nil {
		return false, err
	}
	keep := found[:0]
	for _, c := range found {
		if after != nil && newestFirst(c.first, c.id, after.start, after.id) <= 0 {
			continue
		}
		if r.kind != byTraceID || r.holds(timeOf(c.id, c.first)) {
			keep = append(keep, c)
		}
	}
	more = true
	err = s.visitAll(ctx, t, keep, r.detail, stats, func(tr *trace) bool {
		if at := nanos(tr.start); at < lo.UnixNano() || at >= hi.UnixNano() || !r.contains(tr) {
			return true
		}
		more = visit(tr)
		return more
	})
	return more, err
}

// windowOf is window for traces of which the time of some part is known: they begin then or before.
// They are loaded by these times, so that few are when few are wanted.
func (s *Server) windowOf(ctx context.Context, t tenant, r traceRange, lo, hi time.Time, after *position, ids map[event.TraceID]int64, stats *query.Stats, visit func(*trace) bool) (more bool, err error) {
	left := slices.SortedFunc(maps.Keys(ids), func(a, b event.TraceID) int { return newestFirst(ids[a], a, ids[b], b) })
	limit := chunkTraces
	if r.detail == outline {
		limit = outlineTraces
	}
	most := limit
	var loaded []*trace
	for n := firstLoaded; len(left) > 0 || len(loaded) > 0; n = min(2*n, most) {
		n = min(n, len(left))
		traces, held, err := s.loadFirst(ctx, t, left[:n], lo.Add(-lookback), hi.Add(lookback), r.detail, stats)
		if err != nil {
			return false, err
		}
		n, most = held, min(nextMost(most, n, held), limit)
		left = left[n:]
		loaded = slices.AppendSeq(loaded, maps.Values(traces))
		slices.SortFunc(loaded, func(a, b *trace) int { return newestFirst(nanos(a.start), a.id, nanos(b.start), b.id) })
		for len(loaded) > 0 {
			tr, at := loaded[0], nanos(loaded[0].start)
			if len(left) > 0 && at <= ids[left[0]] {
				break // one that is not loaded may come first
			}
			loaded = loaded[1:]
			if after != nil && newestFirst(at, tr.id, after.start, after.id) <= 0 {
				continue
			}
			if at >= lo.UnixNano() && at < hi.UnixNano() && r.contains(tr) && !visit(tr) {
				return false, nil
			}
		}
	}
	return true, nil
}

func setOf(ids map[event.TraceID]int64) map[event.TraceID]struct{} {
	out := make(map[event.TraceID]struct{}, len(ids))
	for id := range ids {
		out[id] = struct{}{}
	}
	return out
}

// tracesIn returns the traces with a span in [from, to) for which where, if it is not nil, holds,
// and those with a document in progress there, with the time of the first such span or document.
func (s *Server) tracesIn(ctx context.Context, t tenant, from, to time.Time, where query.Expr, stats *query.Stats) (map[event.TraceID]int64, error) {
	out := s.pending.between(t.environment, from.UnixNano(), to.UnixNano())
	datasets, _, err := s.traceDatasets(ctx, t)
	if err != nil || len(datasets) == 0 || !from.Before(to) {
		return out, err
	}
	where = query.All(where, traced, query.Has{X: query.Field{Name: event.FieldSpan}})
	var mu sync.Mutex
	st, err := s.cfg.Store.Read(ctx, &query.Query{Datasets: datasets, From: from, To: to, Stages: []query.Stage{query.Filter{Where: where}}}, nil, func(rows *store.Rows) error {
		mu.Lock()
		defer mu.Unlock()
		for i := range rows.Headers {
			h := &rows.Headers[i]
			if first, ok := out[h.Trace]; !ok || h.Time < first {
				out[h.Trace] = h.Time
			}
		}
		if len(out) > query.MaxHeld {
			return query.ErrTooLarge
		}
		return nil
	})
	stats.Add(st)
	return out, err
}

func minTime(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// compile makes a condition on traces' rows of a filter expression.
func (s *Server) compile(ctx context.Context, t tenant, src string) (query.Expr, error) {
	tree, err := filterexpr.Parse(src)
	if err != nil {
		return nil, err
	}
	var failed error
	e, err := filterexpr.Lower(tree, src, func(name, arn string) (string, bool) {
		g, err := s.group(ctx, t, groupRef{name, arn})
		if err != nil {
			if apiErr(err) == nil {
				failed = err
			}
			return "", false
		}
		return g.Filter, true
	})
	if failed != nil {
		return nil, failed
	}
	return e, err
}

// compileGroup is compile for the filter of a group together with another.
func (s *Server) compileGroup(ctx context.Context, t tenant, ref groupRef) (query.Expr, error) {
	if ref == (groupRef{}) {
		return nil, nil
	}
	g, err := s.group(ctx, t, ref)
	if err != nil {
		return nil, err
	}
	e, err := s.compile(ctx, t, g.Filter)
	if err != nil {
		return nil, filterError(err)
	}
	return e, nil
}

// filterError is the API's answer to a bad filter expression; other errors stay.
func filterError(err error) error {
	if e := syntax.AsError(err); e != nil {
		return awsapi.Errorf(codeInvalidRequest, "Invalid filter expression: %s at position %d", e.Msg, e.Span.Start)
	}
	return err
}

// checkFilter parses and checks a group's filter.
func checkFilter(src string) error {
	if len(src) > maxGroupFilter {
		return awsapi.Errorf(codeInvalidRequest, "FilterExpression is longer than %d characters.", maxGroupFilter)
	}
	tree, err := filterexpr.Parse(src)
	if err == nil {
		_, err = filterexpr.Lower(tree, src, nil)
	}
	return filterError(err)
}

// logLines counts the log lines of traces in CloudWatch log groups.
func (s *Server) logLines(ctx context.Context, t tenant, ids map[event.TraceID]struct{}, from, to time.Time, stats *query.Stats) (map[event.TraceID]int, error) {
	out := map[event.TraceID]int{}
	list, err := s.cfg.Meta.Datasets(ctx, t.environment, meta.Logs)
	if err != nil || len(list) == 0 || len(ids) == 0 {
		return out, err
	}
	q := &query.Query{From: from, To: to, Stages: []query.Stage{
		query.Filter{Where: query.TraceIn{IDs: ids}},
		query.Aggregate{By: query.FieldsNamed(event.FieldTrace), Aggs: []query.Agg{{Name: "n", Op: query.Count}}},
	}}
	for _, d := range list {
		q.Datasets = append(q.Datasets, d.ID)
	}
	res, err := s.cfg.Store.Query(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("count log lines of traces: %w", err)
	}
	stats.Add(res.Stats)
	for _, row := range res.Rows {
		if id, err := event.ParseTraceID(row[0].Str()); err == nil {
			n, _ := row[1].Number()
			out[id] = int(n)
		}
	}
	return out, nil
}
