package cwlogs

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/cwlogs/filterpattern"
	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/syntax"
)

// GroupInfo is a log group as the console lists it.
type GroupInfo struct {
	Name string
	// RetentionDays is 0 when events never expire.
	RetentionDays int
	// StoredBytes are the messages and 26 bytes each; see sizesOf for how exact it is.
	StoredBytes, Events int64
	Streams             int
	Created             time.Time
	// LastEvent is zero without events.
	LastEvent time.Time
}

// Groups lists the log groups whose names begin with prefix, by name.
func (s *Server) Groups(ctx context.Context, environment, prefix string) ([]GroupInfo, error) {
	groups, err := s.cfg.Meta.LogGroups(ctx, environment)
	if err != nil {
		return nil, err
	}
	sizes, err := s.sizesOf(ctx, environment)
	if err != nil {
		return nil, err
	}
	streams, err := s.cfg.Meta.LogStreamCounts(ctx, environment)
	if err != nil {
		return nil, err
	}
	var out []GroupInfo
	for _, g := range groups {
		if !strings.HasPrefix(g.Name, prefix) {
			continue
		}
		z := sizes[g.ID]
		info := GroupInfo{Name: g.Name, RetentionDays: g.RetentionDays, StoredBytes: z.bytes, Events: z.events, Streams: streams[g.ID], Created: g.Created}
		if z.events > 0 {
			info.LastEvent = time.Unix(0, z.last).UTC()
		}
		out = append(out, info)
	}
	return out, nil
}

// StreamInfo is a log stream; the times of events are zero when it has none.
type StreamInfo struct {
	Name                                 string
	Created                              time.Time
	FirstEvent, LastEvent, LastIngestion time.Time
	Events                               int64
}

// Streams lists the streams of a group whose names begin with prefix, by name. An unknown
// group is meta.ErrNotFound.
func (s *Server) Streams(ctx context.Context, environment, group, prefix string) ([]StreamInfo, error) {
	g, err := s.cfg.Meta.LogGroup(ctx, environment, group)
	if err != nil {
		return nil, fmt.Errorf("log group %q: %w", group, err)
	}
	list, err := s.cfg.Meta.LogStreams(ctx, g.ID)
	if err != nil {
		return nil, err
	}
	q, _, err := s.conditions(ctx, &reading{group: g, prefix: prefix})
	if err != nil {
		return nil, err
	}
	at := query.Field{Name: event.FieldTime}
	q.Stages = append(q.Stages, query.Aggregate{
		By: query.FieldsNamed(event.FieldStream),
		Aggs: []query.Agg{
			{Name: "events", Op: query.Count},
			{Name: "first", Op: query.Min, Arg: at},
			{Name: "last", Op: query.Max, Arg: at},
			{Name: "ingested", Op: query.Max, Arg: query.Field{Name: event.FieldIngested}},
		},
	})
	res, err := s.cfg.Store.Query(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("list the streams of %q: %w", group, err)
	}
	rows := map[string][]event.Value{}
	for _, row := range res.Rows {
		rows[row[0].Str()] = row
	}
	var out []StreamInfo
	for _, st := range list {
		if !strings.HasPrefix(st.Name, prefix) {
			continue
		}
		info := StreamInfo{Name: st.Name, Created: st.Created}
		if row := rows[st.Name]; row != nil {
			info.Events = row[1].Int()
			info.FirstEvent, info.LastEvent, info.LastIngestion = atNanos(row[2]), atNanos(row[3]), atNanos(row[4])
		}
		out = append(out, info)
	}
	return out, nil
}

func atNanos(v event.Value) time.Time { return time.Unix(0, v.Int()).UTC() }

// EventsInput asks for events of a group.
type EventsInput struct {
	Environment, Group string
	// Stream limits to one stream when it is not empty.
	Stream string
	// Filter is a filter pattern; empty matches all.
	Filter string
	// From is inclusive, To exclusive; a zero time is unbounded.
	From, To time.Time
	// Limit is at most 10,000; 0 means 100.
	Limit int
	// Cursor is the NextCursor of the page before.
	Cursor     string
	Descending bool
	// Bucket is the step of the histogram; 0 leaves it out.
	Bucket time.Duration
}

// EventsPage is a page of events. NextCursor is empty on the last one. The histogram counts
// all events that match in the range, empty buckets left out, by time.
type EventsPage struct {
	Events     []Event
	NextCursor string
	Histogram  []Bucket
	Stats      query.Stats
}

// Bucket counts the events from Time on for one step of a histogram.
type Bucket struct {
	Time  time.Time
	Count int64
}

// Event is a log event with what was found in its message.
type Event struct {
	ID             string
	Time, Ingested time.Time
	Stream         string
	Message        string
	Trace          event.TraceID
	Span           event.SpanID
	Fields         []event.Field
}

// Events reads events. An unknown group is meta.ErrNotFound, a faulty filter or cursor a
// *syntax.Error, in the error's chain.
func (s *Server) Events(ctx context.Context, in EventsInput) (EventsPage, error) {
	g, err := s.cfg.Meta.LogGroup(ctx, in.Environment, in.Group)
	if err != nil {
		return EventsPage{}, fmt.Errorf("log group %q: %w", in.Group, err)
	}
	where, err := compilePattern(in.Filter)
	if err != nil {
		return EventsPage{}, err
	}
	r := reading{group: g, where: where, from: in.From, to: in.To, desc: in.Descending, limit: in.Limit, maxBytes: 8 * maxPageBytes}
	if in.Stream != "" {
		r.streams = []string{in.Stream}
	}
	if r.limit <= 0 {
		r.limit = 100
	}
	r.limit = min(r.limit, maxPageEvents)
	whole := r
	if in.Cursor != "" {
		p, ok := parsePosition(in.Cursor)
		if !ok {
			return EventsPage{}, &syntax.Error{Src: in.Cursor, Msg: "this is no cursor of a page"}
		}
		if in.Descending {
			r.before = &p
		} else {
			r.after = &p
		}
	}
	pg, err := s.read(ctx, r)
	if err != nil {
		return EventsPage{}, err
	}
	out := EventsPage{Stats: pg.stats}
	rules, err := s.rules.of(ctx, g)
	if err != nil {
		return EventsPage{}, err
	}
	for i := range pg.events {
		e := &pg.events[i]
		var in found
		in.discover(rules.transformed([]byte(e.message)), isLambda(g.Name))
		out.Events = append(out.Events, Event{
			ID: e.at.digits(), Time: time.Unix(0, e.at.time).UTC(), Ingested: time.Unix(0, e.ingested).UTC(),
			Stream: e.stream, Message: e.message, Trace: e.trace, Span: e.span, Fields: in.fields,
		})
	}
	if pg.more {
		out.NextCursor = pg.events[len(pg.events)-1].at.digits()
	}
	if in.Bucket > 0 {
		if err := s.histogram(ctx, &whole, in.Bucket, &out); err != nil {
			return EventsPage{}, err
		}
	}
	return out, nil
}

func (s *Server) histogram(ctx context.Context, r *reading, step time.Duration, out *EventsPage) error {
	q, ok, err := s.conditions(ctx, r)
	if err != nil || !ok {
		return err
	}
	q.Stages = append(q.Stages,
		query.Aggregate{By: []query.Named{{Name: "t", Value: query.TimeBucket(step)}}, Aggs: []query.Agg{{Name: "n", Op: query.Count}}},
		query.Sort{Keys: []query.SortKey{{By: query.Field{Name: "t"}}}})
	res, err := s.cfg.Store.Query(ctx, q)
	if err != nil {
		return fmt.Errorf("count events of %q: %w", r.group.Name, err)
	}
	out.Stats.Add(res.Stats)
	for _, row := range res.Rows {
		out.Histogram = append(out.Histogram, Bucket{atNanos(row[0]), row[1].Int()})
	}
	return nil
}

// compilePattern returns the condition of a filter pattern; nil when it matches all.
func compilePattern(src string) (query.Expr, error) {
	node, err := filterpattern.Parse(src)
	if err != nil {
		return nil, fmt.Errorf("filter pattern: %w", err)
	}
	return filterpattern.Lower(node, query.Field{Name: fieldMessage})
}
