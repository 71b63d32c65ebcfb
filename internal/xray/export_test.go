package xray

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/query"
)

var (
	BadNameRune  = badNameRune
	BadNameRunes = badNameRunes
)

// Expire stores the documents in progress that are overdue at a time.
func (s *Server) Expire(ctx context.Context, now time.Time) error { return s.expire(ctx, now) }

// KeepAtOnce keeps minutes of service graphs as soon as they are over.
func (s *Server) KeepAtOnce() { s.quiet = 0 }

// GraphOfWhole returns the services of a range, as the API writes them, by the traces themselves,
// read in full; GraphOfMinutes by what graphs are made of.
func (s *Server) GraphOfWhole(ctx context.Context, from, to time.Time) (string, error) {
	t := s.console()
	g := newGraph(t.account)
	return written(g, s.fillWhole(ctx, t, g, from, to))
}

// GraphOfMinutes returns the services of a range as the API does.
func (s *Server) GraphOfMinutes(ctx context.Context, from, to time.Time) (string, error) {
	t := s.console()
	g := newGraph(t.account)
	var stats query.Stats
	return written(g, s.fill(ctx, t, g, from, to, nil, &stats))
}

func (s *Server) fillWhole(ctx context.Context, t tenant, g *graph, from, to time.Time) error {
	var stats query.Stats
	err := s.scan(ctx, t, traceRange{kind: byEvent, from: from, to: to, detail: whole}, nil, &stats, func(tr *trace) bool { g.add(tr); return true })
	if err != nil {
		return err
	}
	return s.resolve(ctx, t, g, time.Time{}, time.Time{}, &stats)
}

func written(g *graph, err error) (string, error) {
	if err != nil {
		return "", err
	}
	text, err := json.MarshalIndent(g.services(), "", " ")
	return string(text), err
}

// SeriesOfWhole returns what begins in each period of a range, of every node and edge, by the
// traces themselves; SeriesOfMinutes by what series are made of.
func (s *Server) SeriesOfWhole(ctx context.Context, from, to time.Time, period int64) (map[string]int, error) {
	t := s.console()
	g := newGraph(t.account)
	g.bucket, g.from, g.to = period, seconds(from.UnixNano()), seconds(to.UnixNano())
	err := s.fillWhole(ctx, t, g, from, to)
	return countsOf(g), err
}

// SeriesOfMinutes returns the same in the way of the API.
func (s *Server) SeriesOfMinutes(ctx context.Context, from, to time.Time, period int64) (map[string]int, error) {
	t := s.console()
	g := newGraph(t.account)
	g.bucket, g.from, g.to = period, seconds(from.UnixNano()), seconds(to.UnixNano())
	var stats query.Stats
	err := s.fill(ctx, t, g, from, to, nil, &stats)
	return countsOf(g), err
}

func countsOf(g *graph) map[string]int {
	out := map[string]int{}
	for k, c := range g.nodes {
		out[fmt.Sprint(k)] = c.total
	}
	for k, c := range g.edges {
		out[fmt.Sprint(k)] = c.total
	}
	return out
}

// SummariesOfWhole is Summaries without limits, by traces that are read in full.
func (s *Server) SummariesOfWhole(ctx context.Context, in SummariesInput) ([]Summary, error) {
	t := s.console()
	where, err := s.compile(ctx, t, in.Filter)
	if err != nil {
		return nil, err
	}
	var out []Summary
	var stats query.Stats
	err = s.scan(ctx, t, traceRange{kind: byEvent, from: in.From, to: in.To}, nil, &stats, func(tr *trace) bool {
		if query.Holds(where, tr.row(t.account)) {
			out = append(out, tr.consoleSummary())
		}
		return true
	})
	return out, err
}

// Tend does what is due at a time.
func (s *Server) Tend(ctx context.Context, now time.Time) error { return s.tend(ctx, now, true) }

// InsightsOf lists the insights of a group, however old.
func (s *Server) InsightsOf(ctx context.Context, group string) ([]string, error) {
	list, err := s.cfg.Meta.XRayInsights(ctx, s.cfg.Environment, group, time.Unix(0, 0), time.Now())
	var out []string
	for _, i := range list {
		out = append(out, i.ID)
	}
	return out, err
}

// HintOf returns the hint of a filter as text, empty when there is none.
func (s *Server) HintOf(ctx context.Context, filter string) string {
	t := s.console()
	where, err := s.compile(ctx, t, filter)
	if err != nil {
		return err.Error()
	}
	hint, err := s.hintOf(ctx, t, where)
	switch {
	case err != nil:
		return err.Error()
	case hint == nil:
		return ""
	}
	return hint.String()
}

// IDsOfWhole lists the traces of a range of a type that satisfy a filter, by traces that are read in
// full.
func (s *Server) IDsOfWhole(ctx context.Context, kind string, in SummariesInput) ([]string, error) {
	t := s.console()
	where, err := s.compile(ctx, t, in.Filter)
	if err != nil {
		return nil, err
	}
	var out []string
	var stats query.Stats
	err = s.scan(ctx, t, traceRange{kind: rangeType(kind), from: in.From, to: in.To}, nil, &stats, func(tr *trace) bool {
		if query.Holds(where, tr.row(t.account)) {
			out = append(out, tr.id.XRay())
		}
		return true
	})
	return out, err
}
