package xray

import (
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/xray/filterexpr"
)

const (
	// maxGraphTraces bounds the traces that are looked at for a graph.
	maxGraphTraces = 200_000
	// maxLinks bounds the links of a graph that are followed.
	maxLinks = 20_000
	// linkedWithin is how long before a range the other ends of links are looked for.
	linkedWithin = 24 * time.Hour
)

type errorStats struct{ ThrottleCount, OtherCount, TotalCount int }

type faultStats struct{ OtherCount, TotalCount int }

type statsOut struct {
	OkCount           int
	ErrorStatistics   errorStats
	FaultStatistics   faultStats
	TotalCount        int
	TotalResponseTime float64
}

type histogramOut struct {
	Value float64
	Count int
}

type aliasOut struct {
	Name  string
	Names []string
	Type  string
}

type edgeOut struct {
	ReferenceID               int `json:"ReferenceId"`
	StartTime, EndTime        float64
	SummaryStatistics         statsOut
	ResponseTimeHistogram     []histogramOut
	Aliases                   []aliasOut
	EdgeType                  string         `json:",omitempty"`
	ReceivedEventAgeHistogram []histogramOut `json:",omitempty"`
}

type serviceOut struct {
	ReferenceID           int `json:"ReferenceId"`
	Name                  string
	Names                 []string
	Root                  bool   `json:",omitempty"`
	AccountID             string `json:"AccountId"`
	Type                  string
	State                 string
	StartTime, EndTime    float64
	Edges                 []edgeOut
	SummaryStatistics     *statsOut      `json:",omitempty"`
	DurationHistogram     []histogramOut `json:",omitempty"`
	ResponseTimeHistogram []histogramOut `json:",omitempty"`
}

// services writes the graph as the API answers it. A node of clients has an edge and no
// numbers.
func (g *graph) services() []serviceOut {
	out := []serviceOut{}
	for _, n := range g.finish() {
		o := serviceOut{ReferenceID: n.id, Name: n.name, Names: append([]string{n.name}, sortedKeys(n.names)...), Root: n.root, AccountID: n.account, Type: n.kind, State: "unknown", Edges: []edgeOut{}}
		bounds := newTally()
		bounds.cover(n.tally)
		for _, e := range n.edges {
			if n.kind == filterexpr.TypeClient {
				bounds.cover(e.tally)
			}
			eo := edgeOut{
				ReferenceID: e.target.id, StartTime: math.Floor(e.start), EndTime: math.Floor(e.end), SummaryStatistics: e.stats(),
				ResponseTimeHistogram: e.responses.histogram(), Aliases: []aliasOut{},
			}
			for _, a := range sortedKeys(e.aliases) {
				eo.Aliases = append(eo.Aliases, aliasOut{a, []string{a}, e.target.kind})
			}
			if e.link {
				eo.EdgeType, eo.ReceivedEventAgeHistogram = "link", e.ages.histogram()
			}
			o.Edges = append(o.Edges, eo)
		}
		if n.own {
			o.State = "active"
		}
		if !math.IsInf(bounds.start, 1) {
			o.StartTime, o.EndTime = math.Floor(bounds.start), math.Floor(bounds.end)
		}
		if n.kind != filterexpr.TypeClient {
			st := n.stats()
			o.SummaryStatistics, o.DurationHistogram, o.ResponseTimeHistogram = &st, n.durations.histogram(), n.responses.histogram()
		}
		out = append(out, o)
	}
	return out
}

type serviceGraphIn struct {
	StartTime, EndTime             *float64
	GroupName, GroupARN, NextToken string
}

type serviceGraphOut struct {
	StartTime, EndTime       float64
	Services                 []serviceOut
	ContainsOldGroupVersions bool
}

// activeTraces visits the traces of a range that a condition holds for. More than
// maxGraphTraces in the range is an error: a graph of a part would be wrong.
func (s *Server) activeTraces(ctx context.Context, t tenant, from, to time.Time, where query.Expr, stats *query.Stats, visit func(*trace)) error {
	holds, err := s.matcher(ctx, t, where)
	if err != nil {
		return err
	}
	hint, err := s.hintOf(ctx, t, where)
	if err != nil {
		return err
	}
	n := 0
	err = s.scan(ctx, t, traceRange{kind: byEvent, from: from, to: to, detail: detailOf(where), hint: hint, all: true}, nil, stats, func(tr *trace) bool {
		if n++; n > maxGraphTraces {
			return false
		}
		if holds(tr) {
			visit(tr)
		}
		return true
	})
	if err == nil && n > maxGraphTraces {
		err = errors.Join(awsapi.Errorf(codeInvalidRequest, "The time range has more than %d traces. Ask for a shorter one.", maxGraphTraces), query.ErrTooLarge)
	}
	return err
}

func (s *Server) getServiceGraph(ctx context.Context, r *awsapi.Request, in serviceGraphIn) (*serviceGraphOut, error) {
	from, to, err := timeRange(in.StartTime, in.EndTime)
	if err != nil {
		return nil, err
	}
	t := tenantOf(r)
	where, err := s.compileGroup(ctx, t, groupRef{in.GroupName, in.GroupARN})
	if err != nil {
		return nil, err
	}
	g := newGraph(t.account)
	var stats query.Stats
	if err := s.fill(ctx, t, g, from, to, where, &stats); err != nil {
		return nil, err
	}
	return &serviceGraphOut{StartTime: *in.StartTime, EndTime: *in.EndTime, Services: g.services()}, nil
}

// Graph returns the service graph of the traces that are active in a range. The error of a bad
// filter has a *syntax.Error in its chain.
func (s *Server) Graph(ctx context.Context, in GraphInput) (Graph, error) {
	t := s.console()
	where, err := s.compile(ctx, t, in.Filter)
	if err != nil {
		return Graph{}, err
	}
	g := newGraph(t.account)
	var out Graph
	if err := s.fill(ctx, t, g, in.From, in.To, where, &out.Stats); err != nil {
		return Graph{}, err
	}
	for _, n := range g.finish() {
		counts := n.counts()
		for _, e := range n.edges {
			if n.kind == filterexpr.TypeClient {
				counts = e.counts() // clients count the requests that they make
			}
			out.Edges = append(out.Edges, Edge{n.id, e.target.id, e.link, e.counts()})
		}
		out.Nodes = append(out.Nodes, Node{n.id, n.name, n.kind, n.root, counts})
	}
	return out, nil
}

type traceIDsIn struct {
	TraceIDs  []string `json:"TraceIds"`
	NextToken string
}

type traceGraphOut struct{ Services []serviceOut }

func (s *Server) getTraceGraph(ctx context.Context, r *awsapi.Request, in traceIDsIn) (*traceGraphOut, error) {
	ids, _, err := readTraceIDs(in.TraceIDs)
	if err != nil {
		return nil, err
	}
	g, err := s.graphOf(ctx, tenantOf(r), ids)
	if err != nil {
		return nil, err
	}
	return &traceGraphOut{g.services()}, nil
}

// graphOf returns the service graph of some traces.
func (s *Server) graphOf(ctx context.Context, t tenant, ids []event.TraceID) (*graph, error) {
	var stats query.Stats
	traces, err := s.load(ctx, t, ids, time.Time{}, time.Time{}, outline, &stats)
	if err != nil {
		return nil, err
	}
	g := newGraph(t.account)
	for _, id := range ids {
		if tr := traces[id]; tr != nil {
			g.add(tr)
		}
	}
	return g, s.resolve(ctx, t, g, time.Time{}, time.Time{}, &stats)
}

// resolve follows the graph's links whose traces are found in the range, and keeps the others.
func (s *Server) resolve(ctx context.Context, t tenant, g *graph, from, to time.Time, stats *query.Stats) error {
	if len(g.links) == 0 {
		return nil
	}
	found := map[event.TraceID]*trace{}
	for ids := range slices.Chunk(g.unlinked(), 2000) {
		part, err := s.load(ctx, t, ids, from, to, outline, stats)
		if err != nil {
			return err
		}
		maps.Copy(found, part)
	}
	var left []linkRef
	for _, r := range g.links {
		var other *entity
		if tr := found[r.to.trace]; tr != nil {
			other = tr.entities.get(r.to.id)
		}
		if other == nil {
			left = append(left, r)
		} else {
			g.link(r, other)
		}
	}
	g.links = left
	return nil
}

// loadTraces assembles traces by their ids alone.
func (s *Server) loadTraces(ctx context.Context, t tenant, ids []event.TraceID) (map[event.TraceID]*trace, error) {
	var stats query.Stats
	return s.load(ctx, t, ids, time.Time{}, time.Time{}, whole, &stats)
}
