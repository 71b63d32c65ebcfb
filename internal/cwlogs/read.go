package cwlogs

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/meta"
	"github.com/trefoil-o11y/trefoil/internal/query"
)

const (
	// maxPageEvents and maxPageBytes bound one page of events; an event counts its message
	// and eventOverhead.
	maxPageEvents = 10_000
	maxPageBytes  = 1 << 20
	eventOverhead = 26
	// wide is the page size from which the positions of a page are found before its messages
	// are read, so that no more messages are held than a page has room for.
	wide = 1000
	// maxMillis is the last time that events can have, in the year 2255.
	maxMillis = 9_000_000_000_000
)

// position is the place of an event in the order of reading.
type position struct {
	time int64 // nanoseconds since the epoch
	seq  uint64
}

// digits returns 56 decimal digits that sort as the positions do.
func (p position) digits() string { return fmt.Sprintf("%036d%020d", p.time, p.seq) }

// next and previous return the places right behind and ahead of p.
func (p position) next() position {
	if p.seq == math.MaxInt64 {
		return position{p.time + 1, 0}
	}
	return position{p.time, p.seq + 1}
}

func (p position) previous() position {
	switch {
	case p.seq > 0:
		return position{p.time, p.seq - 1}
	case p.time > 0:
		return position{p.time - 1, math.MaxInt64}
	}
	return p
}

func parsePosition(digits string) (position, bool) {
	if len(digits) != 56 || strings.Trim(digits, "0123456789") != "" {
		return position{}, false
	}
	t, terr := strconv.ParseInt(digits[:36], 10, 64)
	seq, serr := strconv.ParseUint(digits[36:], 10, 64)
	return position{t, seq}, terr == nil && serr == nil && seq <= math.MaxInt64
}

// after holds for the events behind p, before for those ahead of it.
func (p position) after() query.Expr { return p.beyond(query.Gt) }

func (p position) before() query.Expr { return p.beyond(query.Lt) }

func (p position) beyond(op query.Op) query.Expr {
	t, seq := query.Field{Name: event.FieldTime}, query.Field{Name: event.FieldSeq}
	return query.Or{X: []query.Expr{
		query.Compare{Op: op, L: t, R: query.Num(p.time)},
		query.And{X: []query.Expr{query.Compare{Op: query.Eq, L: t, R: query.Num(p.time)}, query.Compare{Op: op, L: seq, R: query.Num(int64(p.seq))}}},
	}}
}

// reading asks for the events of a group.
type reading struct {
	group meta.LogGroup
	// streams limits to these streams, prefix to those whose names begin so.
	streams []string
	prefix  string
	// where is a further condition, or nil.
	where query.Expr
	// from is inclusive, to exclusive; a zero time is unbounded.
	from, to time.Time
	// after and before bound the positions, both exclusively, when not nil.
	after, before *position
	desc          bool
	limit         int
	maxBytes      int
	unmask        bool // messages are read as they are, whatever policy the group has
}

// logEvent is one event as it is read.
type logEvent struct {
	at       position
	ingested int64
	stream   string
	message  string
	trace    event.TraceID
	span     event.SpanID
}

func (e *logEvent) millis() int64 { return query.FloorTo(e.at.time, 1e6) / 1e6 }

// page is a run of events in the order of reading.
type page struct {
	events []logEvent
	// more reports whether events follow.
	more  bool
	stats query.Stats
}

// conditions returns the filter of a reading and its time range; ok is false when no event can
// be in it.
func (s *Server) conditions(ctx context.Context, r *reading) (q *query.Query, ok bool, err error) {
	from, to := r.from, r.to
	var where []query.Expr
	if len(r.streams) > 0 {
		var names []event.Value
		for _, n := range r.streams {
			names = append(names, event.String(n))
		}
		where = append(where, query.In{X: query.Field{Name: event.FieldStream}, Values: names})
	}
	if r.prefix != "" {
		where = append(where, query.Text{Op: query.HasPrefix, X: query.Field{Name: event.FieldStream}, S: r.prefix})
	}
	if r.after != nil {
		where = append(where, r.after.after())
		if t := time.Unix(0, r.after.time); from.IsZero() || t.After(from) {
			from = t
		}
	}
	if r.before != nil {
		where = append(where, r.before.before())
		if t := time.Unix(0, r.before.time+1); to.IsZero() || t.Before(to) {
			to = t
		}
	}
	if !from.IsZero() && !to.IsZero() && !from.Before(to) {
		return nil, false, nil
	}
	alive, err := s.alive(ctx, r.group.Environment, []event.DatasetID{r.group.ID}, from)
	if err != nil {
		return nil, false, err
	}
	q = &query.Query{Datasets: []event.DatasetID{r.group.ID}, From: from, To: to}
	if all := query.All(append(where, alive, r.where)...); all != nil {
		q.Stages = []query.Stage{query.Filter{Where: all}}
	}
	return q, true, nil
}

// alive holds for the events of the groups that belong to no deleted stream; nil when none of
// them was deleted. Streams whose events all lie before from do not count.
func (s *Server) alive(ctx context.Context, environment string, groups []event.DatasetID, from time.Time) (query.Expr, error) {
	list, err := s.cfg.Meta.DeletedStreams(ctx, environment)
	if err != nil {
		return nil, err
	}
	dead := map[event.DatasetID][]query.Expr{}
	for _, d := range list {
		if from.IsZero() || !d.LastTime.Before(from) {
			dead[d.Group] = append(dead[d.Group], query.And{X: []query.Expr{
				query.EqStr(event.FieldStream, d.Name),
				query.Compare{Op: query.Le, L: query.Field{Name: event.FieldSeq}, R: query.Num(int64(d.LastSeq))},
			}})
		}
	}
	var gone []query.Expr
	for _, id := range groups {
		if len(dead[id]) > 0 {
			gone = append(gone, query.And{X: []query.Expr{
				query.Compare{Op: query.Eq, L: query.Field{Name: event.FieldDataset}, R: query.Num(int64(id))}, query.Or{X: dead[id]},
			}})
		}
	}
	if gone == nil {
		return nil, nil
	}
	return query.Not{X: query.Or{X: gone}}, nil
}

// Alive is the condition that leaves out the events of deleted streams of some datasets, or of all, for
// readers of the same store outside of this package; nil when there is nothing to leave out.
func (s *Server) Alive(ctx context.Context, environment string, datasets []event.DatasetID) (query.Expr, error) {
	list, err := s.cfg.Meta.DeletedStreams(ctx, environment)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	var ids []event.DatasetID
	for _, d := range list {
		if !slices.Contains(ids, d.Group) && (datasets == nil || slices.Contains(datasets, d.Group)) {
			ids = append(ids, d.Group)
		}
	}
	return s.alive(ctx, environment, ids, time.Time{})
}

func order(desc bool) query.Sort {
	return query.Sort{Keys: []query.SortKey{
		{By: query.Field{Name: event.FieldTime}, Desc: desc}, {By: query.Field{Name: event.FieldSeq}, Desc: desc},
	}}
}

// read returns a page of events. An event larger than maxBytes makes a page of its own.
func (s *Server) read(ctx context.Context, r reading) (page, error) {
	var out page
	limit := r.limit
	if limit > wide {
		fit, more, stats, err := s.fit(ctx, &r)
		if err != nil || fit == 0 {
			return page{stats: stats}, err
		}
		limit, out.more, out.stats = fit, more, stats
	} else {
		limit++
	}
	q, ok, err := s.conditions(ctx, &r)
	if err != nil || !ok {
		return out, err
	}
	q.Stages = append(q.Stages, order(r.desc), query.Limit{N: limit}, query.Project{Fields: query.FieldsNamed(
		event.FieldTime, event.FieldSeq, event.FieldIngested, event.FieldStream, fieldMessage, event.FieldTrace, event.FieldParent)})
	res, err := s.cfg.Store.Query(ctx, q)
	if err != nil {
		return page{}, fmt.Errorf("read events of %q: %w", r.group.Name, err)
	}
	out.stats.Add(res.Stats)
	var hide *masker
	if !r.unmask {
		if hide, err = s.maskerOf(ctx, r.group); err != nil {
			return page{}, err
		}
	}
	bytes := 0
	for _, row := range res.Rows {
		e := logEvent{at: position{row[0].Int(), uint64(row[1].Int())}, ingested: row[2].Int(), stream: row[3].Str(), message: row[4].Str()}
		bytes += len(e.message) + eventOverhead
		if len(out.events) == r.limit || r.maxBytes > 0 && bytes > r.maxBytes && len(out.events) > 0 {
			out.more = true
			break
		}
		e.trace, _ = event.ParseTraceID(row[5].Str()) // missing is the zero id
		e.span, _ = event.ParseSpanID(row[6].Str())
		e.message = hide.mask(e.message)
		out.events = append(out.events, e)
	}
	return out, nil
}

// fit finds how many events the page has room for, and narrows r to them.
func (s *Server) fit(ctx context.Context, r *reading) (n int, more bool, stats query.Stats, err error) {
	q, ok, err := s.conditions(ctx, r)
	if err != nil || !ok {
		return 0, false, stats, err
	}
	fields := query.FieldsNamed(event.FieldTime, event.FieldSeq)
	if r.maxBytes > 0 {
		fields = append(fields, query.Named{Name: "bytes", Value: messageBytes})
	}
	q.Stages = append(q.Stages, query.Project{Fields: fields}, order(r.desc), query.Limit{N: r.limit + 1})
	res, err := s.cfg.Store.Query(ctx, q)
	if err != nil {
		return 0, false, stats, fmt.Errorf("read events of %q: %w", r.group.Name, err)
	}
	bytes := 0
	for _, row := range res.Rows {
		if r.maxBytes > 0 {
			bytes += int(row[2].Int()) + eventOverhead
		}
		if n == r.limit || r.maxBytes > 0 && bytes > r.maxBytes && n > 0 {
			more = true
			break
		}
		n++
	}
	if n > 0 {
		edge := time.Unix(0, res.Rows[n-1][0].Int())
		if r.desc {
			r.from = later(r.from, edge)
		} else if to := edge.Add(1); r.to.IsZero() || to.Before(r.to) {
			r.to = to
		}
	}
	return n, more, res.Stats, nil
}

func later(a, b time.Time) time.Time {
	if a.IsZero() || b.After(a) {
		return b
	}
	return a
}

// atMillis returns a time given in milliseconds; nil is no time.
func atMillis(ms *int64) time.Time {
	if ms == nil {
		return time.Time{}
	}
	return time.UnixMilli(min(*ms, maxMillis))
}
