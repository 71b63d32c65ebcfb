package xray

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/meta"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/xray/filterexpr"
)

const (
	// lookback is how long before a range a trace may have begun that is active in it.
	lookback = time.Hour
	// chunkTraces and chunkRows bound the traces that are in memory at once, outlineTraces and
	// outlineRows those of outlines.
	chunkTraces   = 200
	chunkRows     = 20_000
	outlineTraces = 10_000
	outlineRows   = 100_000
)

// tenant is whose data a call reads.
type tenant struct{ environment, account, region string }

func (s *Server) console() tenant {
	return tenant{s.cfg.Environment, s.cfg.Account, s.cfg.Region}
}

// candidate is a trace that has a span, segment or subsegment in a range.
type candidate struct {
	id event.TraceID
	// first and last bound what was found of it, in nanoseconds.
	first, last int64
	rows        int64
}

// traceDatasets returns the datasets that hold segments and spans.
func (s *Server) traceDatasets(ctx context.Context, t tenant) (all []event.DatasetID, segments event.DatasetID, err error) {
	list, err := s.cfg.Meta.Datasets(ctx, t.environment, meta.XRay, meta.Honeycomb)
	for _, d := range list {
		all = append(all, d.ID)
		if d.Kind == meta.XRay {
			segments = d.ID
		}
	}
	return all, segments, err
}

// endOf is the end of a row in nanoseconds.
var endOf = query.Call{Fn: "add", Args: []query.Expr{
	query.Field{Name: event.FieldTime},
	query.Call{Fn: "mul", Args: []query.Expr{
		query.Call{Fn: "coalesce", Args: []query.Expr{query.Field{Name: "duration_ms"}, query.Num(0)}},
		query.Num(1e6),
	}},
}}

// candidates returns the traces with a part that begins in [from, to), the newest first. A
// where keeps only those parts for which it holds.
func (s *Server) candidates(ctx context.Context, t tenant, from, to time.Time, where query.Expr, stats *query.Stats) ([]candidate, error) {
	datasets, _, err := s.traceDatasets(ctx, t)
	if err != nil {
		return nil, err
	}
	found := map[event.TraceID]*candidate{}
	if len(datasets) > 0 {
		q := &query.Query{Datasets: datasets, From: from, To: to, Stages: []query.Stage{
			query.Filter{Where: query.All(traced, query.Has{X: query.Field{Name: event.FieldSpan}}, where)},
			query.Aggregate{By: query.FieldsNamed(event.FieldTrace), Aggs: []query.Agg{
				{Name: "first", Op: query.Min, Arg: query.Field{Name: event.FieldTime}},
				{Name: "last", Op: query.Max, Arg: endOf},
				{Name: "rows", Op: query.Count},
			}},
		}}
		res, err := s.cfg.Store.Query(ctx, q)
		if err != nil {
			return nil, err
		}
		stats.Add(res.Stats)
		for _, row := range res.Rows {
			id, err := event.ParseTraceID(row[0].Str())
			if err != nil {
				continue
			}
			last, _ := row[2].Number()
			found[id] = &candidate{id, row[1].Int(), max(int64(last), row[1].Int()), row[3].Int()}
		}
	}
	for id, first := range s.pending.between(t.environment, from.UnixNano(), to.UnixNano()) {
		if c := found[id]; c == nil {
			found[id] = &candidate{id, first, first, 1}
		} else {
			c.first = min(c.first, first)
		}
	}
	out := make([]candidate, 0, len(found))
	for _, c := range found {
		out = append(out, *c)
	}
	slices.SortFunc(out, func(a, b candidate) int { return newestFirst(a.first, a.id, b.first, b.id) })
	return out, nil
}

// newestFirst is the order of lists of traces.
func newestFirst(a int64, aid event.TraceID, b int64, bid event.TraceID) int {
	return cmp.Or(cmp.Compare(b, a), slices.Compare(bid[:], aid[:]))
}

// chunk returns how many of the candidates to load at once.
func chunk(list []candidate, d detail) int {
	maxRows, maxTraces := int64(chunkRows), chunkTraces
	if d == outline {
		maxRows, maxTraces = outlineRows, outlineTraces
	}
	rows := int64(0)
	for i, c := range list {
		if rows += c.rows; i > 0 && (rows > maxRows || i >= maxTraces) {
			return i
		}
	}
	return len(list)
}

// detail says how much of traces is read.
type detail uint8

const (
	whole detail = iota
	// shape leaves out the annotations and metadata of spans.
	shape
	// outline leaves out of spans all that the service graph is not made of.
	outline
)

// outlined are the fields and parts of rows that outlines of traces have, see filterexpr.
var outlined = map[string]bool{
	"ok": true, "error": true, "fault": true, "throttle": true, "partial": true, "inferred": true, "root": true, "responsetime": true, "duration": true, "http.status": true,
	"name": true, "type": true, "remote": true, "index": true, "first": true, "last": true, "coverage": true, "account.id": true,
	filterexpr.FieldNode: true, filterexpr.FieldValue: true, filterexpr.PartService: true, filterexpr.PartEdge: true,
	filterexpr.SourcePrefix + "name": true, filterexpr.SourcePrefix + "type": true, filterexpr.SourcePrefix + "account.id": true, filterexpr.SourcePrefix + filterexpr.FieldNode: true,
	filterexpr.TargetPrefix + "name": true, filterexpr.TargetPrefix + "type": true, filterexpr.TargetPrefix + "account.id": true, filterexpr.TargetPrefix + filterexpr.FieldNode: true,
	"rootcause.fault.service": true, "rootcause.error.service": true, "rootcause.responsetime.service": true,
	"rootcause.fault.entity": true, "rootcause.error.entity": true, "rootcause.responsetime.entity": true,
	"insight.id": true, "insight.category": true,
}

// detailOf returns what a condition on traces needs to be read of them.
func detailOf(where query.Expr) detail {
	d := outline
	query.Walk(where, func(e query.Expr) bool {
		name := ""
		switch e := e.(type) {
		case query.Exists:
			part, _ := e.Over.(query.Part)
			name = part.Name
		case query.Field:
			name = e.Name
		default:
			return true
		}
		switch {
		case name == filterexpr.PartAnnotation:
			d = whole
		case !outlined[name]:
			d = min(d, shape)
		}
		return true
	})
	return d
}

// load assembles the traces of ids; those that are not stored are missing from the answer.
// Zero times search everything.
func (s *Server) load(ctx context.Context, t tenant, ids []event.TraceID, from, to time.Time, d detail, stats *query.Stats) (map[event.TraceID]*trace, error) {
	out := map[event.TraceID]*trace{}
	for n := len(ids); len(ids) > 0; {
		part, loaded, err := s.loadFirst(ctx, t, ids[:min(n, len(ids))], from, to, d, stats)
		if err != nil {
			return nil, err
		}
		n = loaded
		maps.Copy(out, part)
		ids = ids[n:]
	}
	return out, nil
}

// loadFirst is load for as many of ids as can be held at once, and how many these are. Rows with all
// their fields are held until the last is read, and some environments have many fields.
func (s *Server) loadFirst(ctx context.Context, t tenant, ids []event.TraceID, from, to time.Time, d detail, stats *query.Stats) (map[event.TraceID]*trace, int, error) {
	for n := len(ids); ; n /= 2 {
		out, err := s.loadAtOnce(ctx, t, ids[:n], from, to, d, stats)
		if n < 2 || !errors.Is(err, query.ErrTooLarge) {
			return out, n, err
		}
	}
}

// loadAtOnce is load, with an error for what is too much to be held at once.
func (s *Server) loadAtOnce(ctx context.Context, t tenant, ids []event.TraceID, from, to time.Time, d detail, stats *query.Stats) (map[event.TraceID]*trace, error) {
	set := map[event.TraceID]struct{}{}
	docs := map[event.TraceID][]*document{}
	for _, id := range ids {
		set[id] = struct{}{}
		docs[id] = s.pending.of(t.environment, id)
	}
	datasets, segments, err := s.traceDatasets(ctx, t)
	if err != nil {
		return nil, err
	}
	logs := map[event.TraceID]int{}
	c := newSpanCollector(docs, logs)
	in := query.Filter{Where: query.TraceIn{IDs: set}}
	if segments != 0 {
		q := &query.Query{Datasets: []event.DatasetID{segments}, From: from, To: to, Stages: []query.Stage{
			in, query.Filter{Where: query.Has{X: query.Field{Name: "xray.document"}}},
		}}
		if err := s.documents(ctx, q, stats, c); err != nil {
			return nil, err
		}
	}
	spans := slices.DeleteFunc(datasets, func(d event.DatasetID) bool { return d == segments })
	switch {
	case len(spans) == 0:
	case d == outline:
		if err := s.outlines(ctx, &query.Query{Datasets: spans, From: from, To: to, Stages: []query.Stage{in}}, stats, c); err != nil {
			return nil, err
		}
	default:
		stages := []query.Stage{in}
		if d == shape {
			stages = append(stages, query.Project{Fields: query.FieldsNamed(shapeFields...)})
		}
		if err := s.rows(ctx, &query.Query{Datasets: spans, From: from, To: to, Stages: stages}, stats, c.add); err != nil {
			return nil, err
		}
		c.finish()
	}
	for _, d := range c.found {
		docs[d.trace] = append(docs[d.trace], d)
	}
	c.linkOutlines(slices.Values(c.found))
	out := map[event.TraceID]*trace{}
	for id, list := range docs {
		if tr := assemble(id, list); tr != nil {
			tr.logs = logs[id]
			out[id] = tr
		}
	}
	return out, nil
}

// rows runs q and calls visit for every row of its result.
func (s *Server) rows(ctx context.Context, q *query.Query, stats *query.Stats, visit func(map[string]event.Value)) error {
	res, err := s.cfg.Store.Query(ctx, q)
	if err != nil {
		return err
	}
	stats.Add(res.Stats)
	for i, values := range res.Rows {
		row := map[string]event.Value{}
		for j, v := range values {
			if !v.Missing() {
				row[res.Columns[j]] = v
			}
		}
		res.Rows[i] = nil
		visit(row)
	}
	return nil
}

// spanKey names a span across traces.
type spanKey struct {
	trace event.TraceID
	span  event.SpanID
}

// spanCollector makes documents of the rows of Honeycomb datasets: spans, and what is written
// beside them on rows of their own.
type spanCollector struct {
	docs       map[event.TraceID][]*document
	found      []*document // outlines and segments' documents, not in docs yet
	logs       map[event.TraceID]int
	spans      []*span
	exceptions map[spanKey][]exception
	events     map[spanKey][]spanMap
	links      map[spanKey][]link
}

func newSpanCollector(docs map[event.TraceID][]*document, logs map[event.TraceID]int) *spanCollector {
	return &spanCollector{docs: docs, logs: logs, exceptions: map[spanKey][]exception{}, events: map[spanKey][]spanMap{}, links: map[spanKey][]link{}}
}

// addDocument takes a row with a segment document.
func (c *spanCollector) addDocument(row map[string]event.Value) {
	if d, refused := parseDocument(row["xray.document"].Str()); refused == nil {
		d.seq = row[event.FieldSeq].Int()
		c.docs[d.trace] = append(c.docs[d.trace], d)
	}
}

func (c *spanCollector) add(row map[string]event.Value) {
	sp := &span{fields: spanMap(row), kind: row["span.kind"].Str(), otlp: row["meta.signal_type"].Str() == "trace"}
	var key spanKey
	key.trace, _ = event.ParseTraceID(row[event.FieldTrace].Str())
	key.span, _ = event.ParseSpanID(row[event.FieldParent].Str()) // of what stands beside a span
	switch annotation := row["meta.annotation_type"].Str(); {
	case row["meta.signal_type"].Str() == "log":
		c.logs[key.trace]++
	case annotation == "span_event":
		c.events[key] = append(c.events[key], row)
		if row["name"].Str() == "exception" {
			c.exceptions[key] = append(c.exceptions[key], exception{kind: sp.text("exception.type"), message: sp.text("exception.message"), trace: sp.text("exception.stacktrace")})
		}
	case annotation == "link":
		c.addLink(key, sp)
	case !row[event.FieldSpan].Missing():
		c.spans = append(c.spans, sp)
	}
}

// addLink takes a row that is a link of the span key.
func (c *spanCollector) addLink(key spanKey, row *span) {
	trace, err := event.ParseTraceID(row.text("trace.link.trace_id"))
	if err != nil {
		return
	}
	if id, err := event.ParseSpanID(row.text("trace.link.span_id")); err == nil {
		c.links[key] = append(c.links[key], link{trace, id})
	}
}

func (c *spanCollector) finish() {
	for _, sp := range c.spans {
		d := sp.document(c)
		c.docs[d.trace] = append(c.docs[d.trace], d)
	}
}

// nextMost returns how many traces to load at most after some of n could be loaded at once: as many,
// and then carefully more, since it may have been one large trace.
func nextMost(most, n, loaded int) int {
	if loaded < n {
		return loaded
	}
	return most + most/16 + 1
}

// visitAll assembles the candidates in chunks, in their order, until visit returns false. The
// range is a hint of where the rest of the traces' rows are.
func (s *Server) visitAll(ctx context.Context, t tenant, list []candidate, d detail, stats *query.Stats, visit func(*trace) bool) error {
	for most := len(list); len(list) > 0; {
		n := min(chunk(list, d), most)
		ids := make([]event.TraceID, n)
		from, to := list[0].first, list[0].last
		for i, c := range list[:n] {
			ids[i] = c.id
			from, to = min(from, c.first), max(to, c.last)
		}
		traces, loaded, err := s.loadFirst(ctx, t, ids, time.Unix(0, from).Add(-lookback), time.Unix(0, to).Add(lookback), d, stats)
		if err != nil {
			return err
		}
		n, most = loaded, nextMost(most, n, loaded)
		for _, id := range ids[:n] {
			if tr := traces[id]; tr != nil && !visit(tr) {
				return nil
			}
		}
		list = list[n:]
	}
	return nil
}
