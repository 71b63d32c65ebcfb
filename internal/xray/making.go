package xray

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
)

// maxOutlined is how many rows of minutes are outlined at once; with more the traces are loaded
// in parts.
const maxOutlined = 2 * outlineRows

// outlineMinutes is makeMinutes of all traces, and quicker: the rows of the minutes are read once,
// without asking first which traces they are of, and some goroutines make graphs of them.
func (s *Server) outlineMinutes(ctx context.Context, t tenant, run []int64, workers int, stats *query.Stats) (map[int64]made, error) {
	from, to := timeOfMinute(run[0]), timeOfMinute(run[len(run)-1]+1)
	docs, bounds, err := s.outlinesOf(ctx, t, from, to, stats)
	if err != nil {
		return nil, err
	}
	traces := len(bounds) - 1
	parts := make([]map[int64]made, min(workers, 1+traces/100))
	var wg sync.WaitGroup
	for k := range parts {
		parts[k] = make(map[int64]made, len(run))
		for _, m := range run {
			g := newGraph("")
			g.bucket = 60
			parts[k][m] = made{graph: g}
		}
		wg.Go(func() {
			for i := k * traces / len(parts); i < (k+1)*traces/len(parts); i++ {
				list := docs[bounds[i]:bounds[i+1]]
				tr := assemble(list[0].trace, list)
				m := minuteOf(nanos(tr.start))
				if x, ok := parts[k][m]; ok {
					x.graph.add(tr)
					x.reach = max(x.reach, minuteOf(nanos(tr.end))-m)
					parts[k][m] = x
				}
			}
		})
	}
	wg.Wait()
	out := parts[0]
	for _, part := range parts[1:] {
		for m, y := range part {
			x := out[m]
			x.graph.merge(y.graph)
			x.reach = max(x.reach, y.reach)
			out[m] = x
		}
	}
	return out, s.resolveMinutes(ctx, t, out, stats)
}

// outlinesOf reads outlines of the traces with a part that begins in [from, to): documents, those of
// a trace together, and where each trace's begin, with the end of the last.
func (s *Server) outlinesOf(ctx context.Context, t tenant, from, to time.Time, stats *query.Stats) (docs []*document, bounds []int, err error) {
	datasets, segments, err := s.traceDatasets(ctx, t)
	if err != nil {
		return nil, nil, err
	}
	spans := slices.DeleteFunc(datasets, func(d event.DatasetID) bool { return d == segments })
	c := newSpanCollector(nil, map[event.TraceID]int{})
	read := func(from, to time.Time, where query.Expr) error {
		if segments != 0 {
			err := s.documents(ctx, &query.Query{Datasets: []event.DatasetID{segments}, From: from, To: to, Stages: []query.Stage{
				query.Filter{Where: query.All(where, query.Has{X: query.Field{Name: "xray.document"}})},
			}}, stats, c)
			if err != nil {
				return err
			}
		}
		if len(spans) == 0 {
			return nil
		}
		return s.outlines(ctx, &query.Query{Datasets: spans, From: from, To: to, Stages: []query.Stage{query.Filter{Where: where}}}, stats, c)
	}
	// What stands beside a span is looked at with the rest of its trace.
	if err := read(from, to, traced); err != nil {
		return nil, nil, err
	}
	waiting := s.pending.between(t.environment, from.UnixNano(), to.UnixNano())
	ids := make(map[event.TraceID]struct{}, len(c.found)/8)
	for id := range waiting {
		ids[id] = struct{}{}
	}
	last := to
	for _, d := range c.found {
		ids[d.trace] = struct{}{}
		if end := time.Unix(0, nanos(d.end)); end.After(last) {
			last = end
		}
	}
	if len(ids) == 0 {
		return nil, []int{0}, nil
	}
	in := query.TraceIn{IDs: ids}
	if err := read(from.Add(-lookback), from, in); err != nil {
		return nil, nil, err
	}
	if err := read(to, last.Add(lookback), in); err != nil {
		return nil, nil, err
	}
	for id := range ids {
		c.found = append(c.found, s.pending.of(t.environment, id)...)
	}
	docs, bounds = byTrace(c.found)
	c.linkOutlines(slices.Values(docs))
	return docs, bounds, nil
}

// byTrace puts documents of one trace together.
func byTrace(found []*document) (docs []*document, bounds []int) {
	number := make(map[event.TraceID]int32, len(found)/8)
	of := make([]int32, len(found))
	for i, d := range found {
		n, ok := number[d.trace]
		if !ok {
			n = int32(len(number))
			number[d.trace] = n
		}
		of[i] = n
	}
	bounds = make([]int, len(number)+1)
	for _, n := range of {
		bounds[n+1]++
	}
	for i := range len(number) {
		bounds[i+1] += bounds[i]
	}
	next := slices.Clone(bounds)
	docs = make([]*document, len(found))
	for i, d := range found {
		docs[next[of[i]]] = d
		next[of[i]]++
	}
	return docs, bounds
}
