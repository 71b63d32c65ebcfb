package xray

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/xray/filterexpr"
)

const (
	// maxBuckets is how many values a histogram has before it is made coarser.
	maxBuckets = 200
	// maxGraphTraces bounds the traces that a graph is made of.
	maxGraphTraces = 200_000
)

// tally counts completed requests and their times.
type tally struct {
	total, faults, throttles, errors int
	seconds                          float64
	responses, durations             map[float64]int
	start, end                       float64
}

func newTally() *tally {
	return &tally{responses: map[float64]int{}, durations: map[float64]int{}, start: math.Inf(1)}
}

// add counts e, whose flags are by's: of a call, the caller's view.
func (c *tally) add(e *entity) {
	c.start, c.end = min(c.start, e.start), max(c.end, e.last, e.end, e.start)
	if e.inProgress {
		return
	}
	c.total++
	switch {
	case e.fault:
		c.faults++
	case e.throttle:
		c.throttles++
	case e.isError:
		c.errors++
	}
	c.seconds += e.duration()
	c.responses[round3(e.duration())]++
	c.durations[round3(max(e.last-e.start, 0))]++
}

func (c *tally) merge(o *tally) {
	c.total, c.faults, c.throttles, c.errors = c.total+o.total, c.faults+o.faults, c.throttles+o.throttles, c.errors+o.errors
	c.seconds += o.seconds
	c.start, c.end = min(c.start, o.start), max(c.end, o.end)
	for v, n := range o.responses {
		c.responses[v] += n
	}
	for v, n := range o.durations {
		c.durations[v] += n
	}
}

func round3(f float64) float64 { return math.Round(f*1000) / 1000 }

func (c *tally) counts() Counts {
	return Counts{
		Total: c.total, OK: c.total - c.faults - c.throttles - c.errors, Errors: c.errors, Faults: c.faults, Throttles: c.throttles,
		ResponseTime: time.Duration(math.Round(c.seconds*1e6)) * time.Microsecond,
	}
}

type graphNode struct {
	node
	tally *tally
	// own reports whether the node has segments of its own, root whether requests enter here.
	own, root bool
}

type graphEdge struct {
	*tally
	// aliases are names other than the callee's that callers used.
	aliases map[string]bool
}

type edgeKey struct{ source, target node }

// graph is a service graph in the making.
type graph struct {
	account string
	nodes   map[node]*graphNode
	edges   map[edgeKey]*graphEdge
}

func newGraph(account string) *graph {
	return &graph{account: account, nodes: map[node]*graphNode{}, edges: map[edgeKey]*graphEdge{}}
}

func (g *graph) node(n node) *graphNode {
	x := g.nodes[n]
	if x == nil {
		x = &graphNode{node: n, tally: newTally()}
		g.nodes[n] = x
	}
	return x
}

func (g *graph) edge(source, target node) *graphEdge {
	k := edgeKey{source, target}
	x := g.edges[k]
	if x == nil {
		x = &graphEdge{tally: newTally(), aliases: map[string]bool{}}
		g.edges[k] = x
	}
	return x
}

// client is the node that stands for the clients of n.
func (n node) client() node { return node{n.name, filterexpr.TypeClient, n.account} }

// add counts a trace: a node's numbers are those of its own segments, an edge's those that the
// caller measured.
func (g *graph) add(t *trace) {
	for _, s := range t.segments {
		if s.sub {
			continue
		}
		n := g.node(s.node(g.account))
		n.tally.add(s)
		n.own = n.own || !s.inferred
	}
	type once struct {
		by     *entity
		target node
	}
	seen := map[once]bool{}
	for _, c := range t.calls() {
		target := c.target.node(g.account)
		if seen[once{c.by, target}] {
			continue
		}
		seen[once{c.by, target}] = true
		if c.source == nil {
			g.node(target).root = true
			g.node(target.client())
			g.edge(target.client(), target).add(c.by)
			continue
		}
		source := c.source.node(g.account)
		g.node(source)
		e := g.edge(source, target)
		e.add(c.by)
		if c.by != c.target && c.by.name != target.name {
			e.aliases[c.by.name] = true
		}
	}
}

// settle lays nodes that were only inferred, from calls whose other side sent nothing, on the
// service of the same name if there is one.
func (g *graph) settle() {
	services := map[string]*graphNode{}
	for _, n := range g.nodes {
		if old := services[n.name]; n.own && (old == nil || n.tally.total > old.tally.total || n.tally.total == old.tally.total && n.kind < old.kind) {
			services[n.name] = n
		}
	}
	for key, n := range g.nodes {
		to := services[n.name]
		if n.own || to == nil || n.kind != "remote" {
			continue
		}
		delete(g.nodes, key)
		for k, e := range g.edges {
			if k.target == key {
				delete(g.edges, k)
				into := g.edge(k.source, to.node)
				into.merge(e.tally)
				for a := range e.aliases {
					into.aliases[a] = true
				}
			}
		}
	}
}

// ordered returns the nodes in the order of their ids: services, then clients, by name.
func (g *graph) ordered() []*graphNode {
	out := make([]*graphNode, 0, len(g.nodes))
	for _, n := range g.nodes {
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b *graphNode) int {
		return cmp.Or(boolOrder(a.kind == filterexpr.TypeClient, b.kind == filterexpr.TypeClient), cmp.Compare(a.name, b.name), cmp.Compare(a.kind, b.kind), cmp.Compare(a.account, b.account))
	})
	return out
}

func boolOrder(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

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
	ReferenceID           int `json:"ReferenceId"`
	StartTime, EndTime    float64
	SummaryStatistics     statsOut
	ResponseTimeHistogram []histogramOut
	Aliases               []aliasOut
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

func (c *tally) stats() statsOut {
	n := c.counts()
	return statsOut{
		OkCount: n.OK, ErrorStatistics: errorStats{n.Throttles, n.Errors, n.Throttles + n.Errors}, FaultStatistics: faultStats{n.Faults, n.Faults},
		TotalCount: n.Total, TotalResponseTime: round6(c.seconds),
	}
}

// histogram lists the values, by size; very many are rounded to two digits.
func histogram(values map[float64]int) []histogramOut {
	if len(values) > maxBuckets {
		coarse := map[float64]int{}
		for v, n := range values {
			r, err := strconv.ParseFloat(strconv.FormatFloat(v, 'e', 1, 64), 64)
			if err != nil {
				r = v
			}
			coarse[r] += n
		}
		values = coarse
	}
	out := make([]histogramOut, 0, len(values))
	for v, n := range values {
		out = append(out, histogramOut{v, n})
	}
	slices.SortFunc(out, func(a, b histogramOut) int { return cmp.Compare(a.Value, b.Value) })
	return out
}

// services writes the graph as the API answers it. A node of clients has an edge and no
// numbers.
func (g *graph) services() []serviceOut {
	g.settle()
	nodes := g.ordered()
	ids := map[node]int{}
	for i, n := range nodes {
		ids[n.node] = i
	}
	out := make([]serviceOut, len(nodes))
	for i, n := range nodes {
		o := serviceOut{ReferenceID: i, Name: n.name, Names: []string{n.name}, Root: n.root, AccountID: n.account, Type: n.kind, State: "unknown", Edges: []edgeOut{}}
		bounds := *newTally()
		bounds.merge(n.tally)
		for _, target := range nodes {
			e := g.edges[edgeKey{n.node, target.node}]
			if e == nil {
				continue
			}
			if n.kind == filterexpr.TypeClient {
				bounds.merge(e.tally)
			}
			eo := edgeOut{
				ReferenceID: ids[target.node], StartTime: math.Floor(e.start), EndTime: math.Floor(e.end), SummaryStatistics: e.stats(),
				ResponseTimeHistogram: histogram(e.responses), Aliases: []aliasOut{},
			}
			for _, a := range sortedKeys(e.aliases) {
				eo.Aliases = append(eo.Aliases, aliasOut{a, []string{a}, target.kind})
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
			st := n.tally.stats()
			o.SummaryStatistics, o.DurationHistogram, o.ResponseTimeHistogram = &st, histogram(n.tally.durations), histogram(n.tally.responses)
		}
		out[i] = o
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
	n := 0
	d := outline
	if where != nil {
		d = detailOf(where)
	}
	err := s.scan(ctx, t, traceRange{kind: byEvent, from: from, to: to, detail: d, hint: hintOf(where), all: true}, nil, stats, func(tr *trace) bool {
		if n++; n > maxGraphTraces {
			return false
		}
		if where == nil || query.Holds(where, tr.row(t.account)) {
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
	if err := s.activeTraces(ctx, t, from, to, where, &stats, g.add); err != nil {
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
	if err := s.activeTraces(ctx, t, in.From, in.To, where, &out.Stats, g.add); err != nil {
		return Graph{}, err
	}
	g.settle()
	ids := map[node]int{}
	for i, n := range g.ordered() {
		ids[n.node] = i
		out.Nodes = append(out.Nodes, Node{i, n.name, n.kind, n.root, n.tally.counts()})
	}
	for k, e := range g.edges {
		out.Edges = append(out.Edges, Edge{ids[k.source], ids[k.target], e.counts()})
	}
	slices.SortFunc(out.Edges, func(a, b Edge) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Target, b.Target))
	})
	// Clients count the requests that they make.
	for i := range out.Nodes {
		n := &out.Nodes[i]
		for _, e := range out.Edges {
			if n.Type == filterexpr.TypeClient && e.Source == n.ID {
				n.Counts = e.Counts
			}
		}
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
	t := tenantOf(r)
	traces, err := s.loadTraces(ctx, t, ids)
	if err != nil {
		return nil, err
	}
	g := newGraph(t.account)
	for _, id := range ids {
		if tr := traces[id]; tr != nil {
			g.add(tr)
		}
	}
	return &traceGraphOut{g.services()}, nil
}

// loadTraces assembles traces by their ids alone.
func (s *Server) loadTraces(ctx context.Context, t tenant, ids []event.TraceID) (map[event.TraceID]*trace, error) {
	var stats query.Stats
	return s.load(ctx, t, ids, time.Time{}, time.Time{}, whole, &stats)
}

type timeSeriesIn struct {
	StartTime, EndTime             *float64
	GroupName, GroupARN, NextToken string
	EntitySelectorExpression       *string
	Period                         *int64
	ForecastStatistics             bool
}

type forecastOut struct{ FaultCountHigh, FaultCountLow int }

type timeSeriesRow struct {
	Timestamp                 float64
	EdgeSummaryStatistics     *statsOut    `json:",omitempty"`
	ServiceSummaryStatistics  *statsOut    `json:",omitempty"`
	ServiceForecastStatistics *forecastOut `json:",omitempty"`
	ResponseTimeHistogram     []histogramOut
}

type timeSeriesOut struct {
	TimeSeriesServiceStatistics []timeSeriesRow
	ContainsOldGroupVersions    bool
}

// getTimeSeries answers the numbers of a node or an edge by period; without a selector, those of
// the edges from clients.
func (s *Server) getTimeSeries(ctx context.Context, r *awsapi.Request, in timeSeriesIn) (*timeSeriesOut, error) {
	from, to, err := timeRange(in.StartTime, in.EndTime)
	if err != nil {
		return nil, err
	}
	period := int64(60)
	if in.Period != nil {
		period = *in.Period
	}
	if period < 1 || period > 86_400 {
		return nil, awsapi.Errorf(codeInvalidRequest, "Period must be from 1 to 86400 seconds.")
	}
	var sel filterexpr.Node
	if in.EntitySelectorExpression != nil {
		src := *in.EntitySelectorExpression
		if src == "" || len(src) > 500 {
			return nil, awsapi.Errorf(codeInvalidRequest, "EntitySelectorExpression must have 1 to 500 characters.")
		}
		if sel, err = filterexpr.ParseSelector(src); err != nil {
			return nil, filterError(err)
		}
	}
	service, isService := sel.(filterexpr.Service)
	edge, isEdge := sel.(filterexpr.Edge)
	if in.ForecastStatistics && !isService {
		return nil, awsapi.Errorf(codeInvalidRequest, "ForecastStatistics needs an EntitySelectorExpression that chooses a service.")
	}
	t := tenantOf(r)
	where, err := s.compileGroup(ctx, t, groupRef{in.GroupName, in.GroupARN})
	if err != nil {
		return nil, err
	}
	buckets := map[int64]*tally{}
	add := func(e *entity) {
		if e.start < seconds(from.UnixNano()) || e.start >= seconds(to.UnixNano()) || e.inProgress {
			return
		}
		k := int64(math.Floor(e.start)) / period * period
		if buckets[k] == nil {
			buckets[k] = newTally()
		}
		buckets[k].add(e)
	}
	var stats query.Stats
	err = s.activeTraces(ctx, t, from, to, where, &stats, func(tr *trace) {
		if isService {
			for _, x := range tr.segments {
				if !x.sub && chosen(service.Node, x.node(t.account), x.name) {
					add(x)
				}
			}
			return
		}
		for _, c := range tr.calls() {
			target := c.target.node(t.account)
			source, name := target.client(), c.target.name
			if c.source != nil {
				source, name = c.source.node(t.account), c.source.name
			}
			if isEdge && chosen(edge.Source, source, name) && (c.source != nil || edge.Source.Type == filterexpr.TypeClient) && chosen(edge.Target, target, c.target.name) || !isEdge && c.source == nil {
				add(c.by)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	out := &timeSeriesOut{TimeSeriesServiceStatistics: []timeSeriesRow{}}
	total, faults := 0, 0
	for _, b := range buckets {
		total, faults = total+b.total, faults+b.faults
	}
	for k, b := range buckets {
		st := b.stats()
		row := timeSeriesRow{Timestamp: float64(k), ResponseTimeHistogram: histogram(b.responses)}
		if isService {
			row.ServiceSummaryStatistics = &st
		} else {
			row.EdgeSummaryStatistics = &st
		}
		if in.ForecastStatistics {
			row.ServiceForecastStatistics = forecast(b.total, float64(faults+1)/float64(total+2))
		}
		out.TimeSeriesServiceStatistics = append(out.TimeSeriesServiceStatistics, row)
	}
	slices.SortFunc(out.TimeSeriesServiceStatistics, func(a, b timeSeriesRow) int { return cmp.Compare(a.Timestamp, b.Timestamp) })
	return out, nil
}

// forecast is the band in which the faults of n requests are expected at a rate p, three
// deviations to both sides, at least up to three.
func forecast(n int, p float64) *forecastOut {
	mean := float64(n) * p
	dev := 3 * math.Sqrt(mean*(1-p))
	return &forecastOut{FaultCountHigh: max(3, int(math.Ceil(mean+dev))), FaultCountLow: max(0, int(math.Floor(mean-dev)))}
}

// chosen reports whether a selector chooses a node, by its name or that of its segment.
func chosen(sel filterexpr.Selector, n node, segment string) bool {
	return (sel.Name == "" || sel.Name == n.name || sel.Name == segment) && (sel.Type == "" || sel.Type == n.kind) && (sel.Account == "" || sel.Account == n.account)
}
