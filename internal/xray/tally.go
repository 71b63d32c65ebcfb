package xray

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/xray/filterexpr"
)

// tally counts completed requests and their times. Histograms are in milliseconds.
type tally struct {
	total, faults, throttles, errors int
	seconds                          float64
	responses                        spread
	durations                        spread // of nodes
	ages                             spread // of links: how long after the event it was received
	start, end                       float64
}

func newTally() *tally { return &tally{start: math.Inf(1)} }

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
	c.responses.add(millis(e.duration()), 1)
}

// addNode is add for a node, of which durations count.
func (c *tally) addNode(e *entity) {
	c.add(e)
	if !e.inProgress {
		c.durations.add(millis(max(e.last-e.start, 0)), 1)
	}
}

// merge adds what o counted; many says that this is one of many.
func (c *tally) merge(o *tally, many bool) {
	c.total, c.faults, c.throttles, c.errors = c.total+o.total, c.faults+o.faults, c.throttles+o.throttles, c.errors+o.errors
	c.seconds += o.seconds
	c.cover(o)
	c.responses.merge(&o.responses, many)
	c.durations.merge(&o.durations, many)
	c.ages.merge(&o.ages, many)
}

// cover takes in the time that o was counted in.
func (c *tally) cover(o *tally) { c.start, c.end = min(c.start, o.start), max(c.end, o.end) }

func millis(seconds float64) int64 { return int64(math.Round(seconds * 1000)) }

func (c *tally) counts() Counts {
	return Counts{
		Total: c.total, OK: c.total - c.faults - c.throttles - c.errors, Errors: c.errors, Faults: c.faults, Throttles: c.throttles,
		ResponseTime: time.Duration(math.Round(c.seconds*1e6)) * time.Microsecond,
	}
}

func (c *tally) stats() statsOut {
	n := c.counts()
	return statsOut{
		OkCount: n.OK, ErrorStatistics: errorStats{n.Throttles, n.Errors, n.Throttles + n.Errors}, FaultStatistics: faultStats{n.Faults, n.Faults},
		TotalCount: n.Total, TotalResponseTime: round6(c.seconds),
	}
}

// place is where a segment belongs in the graph.
type place struct {
	node
	// segment is the name of the segments, which is another than the node's for resources.
	segment  string
	inferred bool
}

// client is the place of the clients of p.
func (p place) client() place {
	p.kind = filterexpr.TypeClient
	return p
}

func (e *entity) place(account string) place { return place{e.node(account), e.name, e.inferred} }

type nodeKey struct {
	place
	bucket int64
}

type edgeKey struct {
	source, target place
	link           bool
	// alias is the name that the caller used, where it is not the callee's.
	alias  string
	bucket int64
}

// linkRef is a link whose other end is not known yet.
type linkRef struct {
	to     link
	target place
	by     *tally
	bucket int64
	// received is when what the link is about was received, in epoch seconds.
	received float64
}

// graph is a service graph in the making.
type graph struct {
	// account is whose segments are when they do not say; in the minutes that are kept it is
	// empty.
	account string
	// bucket is into how many seconds nodes and edges are told apart by the starts of what they
	// count; zero for not at all. Then what starts outside of from..to, in epoch seconds, is not
	// counted.
	bucket   int64
	from, to float64

	nodes map[nodeKey]*tally
	edges map[edgeKey]*tally
	links []linkRef

	// What add has found already. Few places are in many traces, and comparing four texts of each
	// is most of the work otherwise.
	places  map[place]*place
	likes   map[likeness]*place
	atNodes map[atNode]*tally
	atEdges map[atEdge]*tally
}

// likeness is what the place of an outline depends on.
type likeness struct {
	*template
	synthetic, inferred bool
}

// atNode and atEdge are nodeKey and edgeKey with places that are compared by where they are; an
// edge without a source comes from the clients.
type atNode struct {
	at     *place
	bucket int64
}

type atEdge struct {
	source, target *place
	alias          string
	bucket         int64
}

// place returns the place of a segment, always the same one for the same place.
func (g *graph) place(e *entity) *place {
	l := likeness{e.like, e.synthetic, e.inferred}
	if p := g.likes[l]; p != nil && e.like != nil {
		return p
	}
	at := e.place(g.account)
	p := g.places[at]
	if p == nil {
		p = &at
		g.places[at] = p
	}
	if e.like != nil && len(g.likes) < maxPlaces {
		g.likes[l] = p
	}
	return p
}

func newGraph(account string) *graph {
	return &graph{
		account: account, from: math.Inf(-1), to: math.Inf(1), nodes: map[nodeKey]*tally{}, edges: map[edgeKey]*tally{},
		places: map[place]*place{}, likes: map[likeness]*place{}, atNodes: map[atNode]*tally{}, atEdges: map[atEdge]*tally{},
	}
}

func (g *graph) of(e *entity) (bucket int64, ok bool) {
	if g.bucket == 0 {
		return 0, true
	}
	return int64(math.Floor(e.start)) / g.bucket * g.bucket, e.start >= g.from && e.start < g.to
}

func tallyOf[K comparable](m map[K]*tally, k K) *tally {
	x := m[k]
	if x == nil {
		x = newTally()
		m[k] = x
	}
	return x
}

// add counts a trace: a node's numbers are those of its own segments, an edge's those that the
// caller measured.
func (g *graph) add(t *trace) {
	for _, s := range t.segments {
		bucket, ok := g.of(s)
		if !ok || s.sub {
			continue
		}
		at := atNode{g.place(s), bucket}
		c := g.atNodes[at]
		if c == nil {
			c = tallyOf(g.nodes, nodeKey{*at.at, bucket})
			g.atNodes[at] = c
		}
		c.addNode(s)
	}
	calls := t.calls()
	for i, c := range calls {
		bucket, ok := g.of(c.by)
		if !ok {
			continue
		}
		at := atEdge{target: g.place(c.target), bucket: bucket}
		if again(calls[:i], c.by, func(o call) bool { return g.place(o.target).node == at.target.node }) {
			continue
		}
		if c.source != nil {
			at.source = g.place(c.source)
			if !c.target.inferred && c.by != c.target && c.by.name != at.target.name {
				at.alias = c.by.name
			}
		}
		x := g.atEdges[at]
		if x == nil {
			k := edgeKey{source: at.target.client(), target: *at.target, alias: at.alias, bucket: bucket}
			if at.source != nil {
				k.source = *at.source
			}
			x = tallyOf(g.edges, k)
			g.atEdges[at] = x
		}
		x.add(c.by)
	}
	if !t.links {
		return
	}
	t.each(func(e *entity) {
		bucket, ok := g.of(e)
		for _, l := range e.links {
			if ok && !e.inferred && len(g.links) < maxLinks {
				by := newTally()
				by.add(e)
				g.links = append(g.links, linkRef{l, e.segment.place(g.account), by, bucket, e.start})
			}
		}
	})
}

// again reports whether one of the last calls, as far as they are by an entity, is like another.
func again(calls []call, by *entity, like func(call) bool) bool {
	for _, c := range slices.Backward(calls) {
		if c.by != by {
			return false
		}
		if like(c) {
			return true
		}
	}
	return false
}

// link counts a link as an edge from the other end: what that entity called, if it called one
// thing, else its own service.
func (g *graph) link(r linkRef, other *entity) {
	source := other.segment
	if len(other.calls) == 1 {
		source = other.calls[0]
	}
	at := other.end
	if other.inProgress {
		at = other.start
	}
	c := tallyOf(g.edges, edgeKey{source: source.place(g.account), target: r.target, link: true, bucket: r.bucket})
	c.merge(r.by, false)
	c.ages.add(millis(max(r.received-at, 0)), 1)
}

// merge adds what o counted. Buckets of o that are finer than g's become g's.
func (g *graph) merge(o *graph) {
	own := func(p place) place {
		if p.account == "" {
			p.account = g.account
		}
		return p
	}
	bucket := func(b int64) (int64, bool) {
		if g.bucket == 0 {
			return 0, true
		}
		return b / g.bucket * g.bucket, float64(b) >= g.from && float64(b) < g.to
	}
	for k, c := range o.nodes {
		if b, ok := bucket(k.bucket); ok {
			tallyOf(g.nodes, nodeKey{own(k.place), b}).merge(c, g.bucket == 0)
		}
	}
	for k, c := range o.edges {
		if b, ok := bucket(k.bucket); ok {
			k.source, k.target, k.bucket = own(k.source), own(k.target), b
			tallyOf(g.edges, k).merge(c, g.bucket == 0)
		}
	}
	for _, r := range o.links {
		if b, ok := bucket(r.bucket); ok && len(g.links) < maxLinks {
			r.target, r.bucket = own(r.target), b
			g.links = append(g.links, r)
		}
	}
}

// serviceNode is a node of a finished graph.
type serviceNode struct {
	node
	*tally
	// own reports whether the node has segments of its own, root whether requests enter here.
	own, root bool
	// names are other names under which it was called.
	names map[string]bool
	edges []*serviceEdge
	id    int
}

// serviceEdge is an edge of a finished graph.
type serviceEdge struct {
	*tally
	target *serviceNode
	link   bool
	// aliases are names other than the callee's that callers used.
	aliases map[string]bool
}

// finish puts the graph together and returns its nodes in the order of their ids: services,
// then clients, by name. Nodes that were only inferred, from calls whose other side sent
// nothing, are laid on the service of the same name if there is one.
func (g *graph) finish() []*serviceNode {
	nodes := map[node]*serviceNode{}
	get := func(n node) *serviceNode {
		x := nodes[n]
		if x == nil {
			x = &serviceNode{node: n, tally: newTally(), names: map[string]bool{}}
			nodes[n] = x
		}
		return x
	}
	for k, c := range g.nodes {
		n := get(k.node)
		n.merge(c, true)
		n.own = n.own || !k.inferred
	}
	for k := range g.edges {
		get(k.source.node)
		get(k.target.node)
	}
	services := map[string]*serviceNode{}
	for _, n := range nodes {
		if old := services[n.name]; n.own && (old == nil || n.total > old.total || n.total == old.total && (n.kind < old.kind || n.kind == old.kind && n.account < old.account)) {
			services[n.name] = n
		}
	}
	laid := func(n *serviceNode) *serviceNode {
		if to := services[n.name]; !n.own && to != nil && n.kind == "remote" {
			return to
		}
		return n
	}
	type ends struct {
		source, target *serviceNode
		link           bool
	}
	edges := map[ends]*serviceEdge{}
	for k, c := range g.edges {
		source, target := laid(nodes[k.source.node]), laid(nodes[k.target.node])
		if source.kind == filterexpr.TypeClient && !k.link {
			target.root = true
		}
		at := ends{source, target, k.link}
		e := edges[at]
		if e == nil {
			e = &serviceEdge{newTally(), target, k.link, map[string]bool{}}
			edges[at] = e
			source.edges = append(source.edges, e)
		}
		e.merge(c, true)
		if k.alias != "" {
			e.aliases[k.alias], target.names[k.alias] = true, true
		}
	}
	out := make([]*serviceNode, 0, len(nodes))
	for _, n := range nodes {
		if laid(n) == n {
			out = append(out, n)
		}
	}
	slices.SortFunc(out, func(a, b *serviceNode) int {
		return cmp.Or(boolOrder(a.kind == filterexpr.TypeClient, b.kind == filterexpr.TypeClient), cmp.Compare(a.name, b.name), cmp.Compare(a.kind, b.kind), cmp.Compare(a.account, b.account))
	})
	for i, n := range out {
		n.id = i
	}
	for _, n := range out {
		slices.SortFunc(n.edges, func(a, b *serviceEdge) int {
			return cmp.Or(cmp.Compare(a.target.id, b.target.id), boolOrder(a.link, b.link))
		})
	}
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

// unlinked returns the traces that the graph's links lead to.
func (g *graph) unlinked() []event.TraceID {
	seen := map[event.TraceID]bool{}
	var out []event.TraceID
	for _, r := range g.links {
		if !seen[r.to.trace] {
			seen[r.to.trace] = true
			out = append(out, r.to.trace)
		}
	}
	return out
}
