package xray

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/meta"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/xray/filterexpr"
)

const (
	// judgedAfter is how many minutes after its begin a minute is judged; what arrives later is
	// not seen.
	judgedAfter = 2
	// caughtUp is how many minutes back are judged that were missed.
	caughtUp = 120
	// baseMinutes is the time before a minute that tells what is to be expected of it, and the
	// span of time around the same minute of the day before.
	baseMinutes = 60
	dayMinutes  = 24 * 60
	// minRequests is how many requests a node must have in a minute to be judged, leastFaults how
	// many faults are always to be expected.
	minRequests = 10
	leastFaults = 3
	// deviations is how far from the mean is still to be expected.
	deviations = 3
	// closedAfter is after how many minutes without an anomaly an insight ends.
	closedAfter = 10
	// insightsFor is how long insights that ended are kept.
	insightsFor = 30 * 24 * time.Hour
)

// insight is an anomaly of the faults in a group, as it is kept.
type insight struct {
	RootCause node
	// Services are the nodes that failed more than was to be expected, the worst first.
	Services []node
	// LastMinute is the newest one with an anomaly.
	LastMinute int64
	// Clients counts the requests of clients that lead to the root cause, Causes those to it.
	Clients, Causes impact
	Updated         time.Time
}

// impact is what came of requests in the minutes with an anomaly.
type impact struct{ FaultCount, OkCount, TotalCount int64 }

func (i *impact) add(c tally) {
	i.TotalCount += int64(c.total)
	i.FaultCount += int64(c.faults)
	i.OkCount += int64(c.total - c.faults - c.errors - c.throttles)
}

// minuteNodes are the requests and faults of nodes in a minute.
type minuteNodes struct {
	minute    int64
	services  []*serviceNode
	nodes     map[node]tally
	anomalous map[node]bool
}

func (t tenant) nodesOf(m int64, kept *graph) minuteNodes {
	g := newGraph(t.account)
	g.merge(kept)
	out := minuteNodes{m, g.finish(), map[node]tally{}, map[node]bool{}}
	for _, n := range out.services {
		if n.kind != filterexpr.TypeClient {
			out.nodes[n.node] = *n.tally
		}
	}
	return out
}

// MarshalText lets nodes be kept; UnmarshalText is its opposite.
func (n node) MarshalText() ([]byte, error) { return json.Marshal([]string{n.name, n.kind, n.account}) }

// UnmarshalText implements encoding.TextUnmarshaler.
func (n *node) UnmarshalText(text []byte) error {
	var parts []string
	if err := json.Unmarshal(text, &parts); err != nil {
		return err
	}
	if len(parts) != 3 {
		return errors.New("a node has three parts")
	}
	n.name, n.kind, n.account = parts[0], parts[1], parts[2]
	return nil
}

// band is how many faults are to be expected of n requests where faults of requests were seen.
func band(n, requests, faults int) (low, high float64) {
	p := float64(faults+1) / float64(requests+2)
	mean := float64(n) * p
	dev := deviations * math.Sqrt(mean*(1-p))
	return max(0, mean-dev), max(leastFaults, mean+dev)
}

// watch judges the minutes of the groups with insights that are due.
func (s *Server) watch(ctx context.Context, t tenant, now time.Time) error {
	groups, err := s.cfg.Meta.XRayGroups(ctx)
	if err != nil {
		return err
	}
	def, err := s.defaultGroup(ctx)
	if err != nil {
		return err
	}
	var failed error
	for _, g := range append(groups, def) {
		if !g.Insights {
			continue
		}
		if err := s.watchGroup(ctx, t, g, now); err != nil {
			failed = errors.Join(failed, fmt.Errorf("look for insights of group %q: %w", g.Name, err))
		}
	}
	return failed
}

func (s *Server) watchGroup(ctx context.Context, t tenant, g meta.XRayGroup, now time.Time) error {
	end := minuteOf(now.UnixNano()) - judgedAfter + 1
	from := end - baseMinutes
	last, err := s.cfg.Meta.LastXRayInsightMinute(ctx, t.environment, g.Name)
	switch {
	case err == nil:
		from = max(last+1, end-caughtUp)
	case !errors.Is(err, meta.ErrNotFound):
		return err
	}
	if from >= end {
		return nil
	}
	where, err := s.compile(ctx, t, g.Filter)
	if err != nil {
		return err
	}
	var stats query.Stats
	var run []int64
	for m := from; m < end; m++ {
		run = append(run, m)
	}
	list, err := s.makeMinutes(ctx, t, run, where, &stats)
	if err != nil {
		return err
	}
	for _, m := range run {
		made := list[m].graph
		if len(made.nodes)+len(made.edges) > maxKept {
			s.cfg.Log.Warn("too many services to look for insights", "group", g.Name, "nodes", len(made.nodes), "minute", timeOfMinute(m))
			made = newGraph("")
		}
		if err := s.judge(ctx, t, g, m, made); err != nil {
			return err
		}
	}
	return nil
}

// history reads the minutes before m that tell what is to be expected of it, in order.
func (s *Server) history(ctx context.Context, t tenant, group string, m int64) ([]minuteNodes, error) {
	var out []minuteNodes
	intern := map[string]string{}
	for _, r := range [][2]int64{{m - dayMinutes - baseMinutes/2, m - dayMinutes + baseMinutes/2}, {m - baseMinutes, m}} {
		list, err := s.cfg.Meta.XRayInsightMinutes(ctx, t.environment, group, r[0], r[1])
		if err != nil {
			return nil, err
		}
		for _, k := range list {
			g, err := decodeMinute(k.Graph, k.Minute, intern)
			if err != nil {
				continue // of another version
			}
			x := t.nodesOf(k.Minute, g)
			var nodes []node
			if err := json.Unmarshal([]byte(k.Anomalous), &nodes); err != nil {
				return nil, fmt.Errorf("read minute %d of group %q: %w", k.Minute, group, err)
			}
			for _, n := range nodes {
				x.anomalous[n] = true
			}
			out = append(out, x)
		}
	}
	return out, nil
}

// judge compares a minute of a group with what is to be expected, and opens, changes and closes its
// insights.
func (s *Server) judge(ctx context.Context, t tenant, g meta.XRayGroup, m int64, made *graph) error {
	past, err := s.history(ctx, t, g.Name, m)
	if err != nil {
		return err
	}
	now := t.nodesOf(m, made)
	excess := map[node]float64{}
	for n, c := range now.nodes {
		requests, faults := 0, 0
		for _, p := range past {
			if !p.anomalous[n] {
				requests, faults = requests+p.nodes[n].total, faults+p.nodes[n].faults
			}
		}
		if _, high := band(c.total, requests, faults); c.total >= minRequests && float64(c.faults) > high {
			now.anomalous[n] = true
			excess[n] = float64(c.faults) - high
		}
	}
	// Two of three minutes make an anomaly of it.
	recent := []minuteNodes{now}
	for _, p := range past {
		if p.minute >= m-2 {
			recent = append(recent, p)
		}
	}
	var bad []node
	for n := range now.anomalous {
		times := 0
		for _, r := range recent {
			if r.anomalous[n] {
				times++
			}
		}
		if times >= 2 {
			bad = append(bad, n)
		}
	}
	slices.SortFunc(bad, func(a, b node) int {
		return cmp.Or(cmp.Compare(excess[b], excess[a]), cmp.Compare(a.name, b.name), cmp.Compare(a.kind, b.kind), cmp.Compare(a.account, b.account))
	})
	change, err := s.changeInsights(ctx, t, g, now, recent, bad)
	if err != nil {
		return err
	}
	change.Minute = meta.XRayInsightMinute{Minute: m, Anomalous: string(encode(nodeList(now.anomalous))), Graph: encodeMinute(made, m)}
	return s.cfg.Meta.ChangeXRayInsights(ctx, t.environment, g.Name, change)
}

func nodeList(set map[node]bool) []node {
	out := []node{}
	for n := range set {
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b node) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.kind, b.kind), cmp.Compare(a.account, b.account))
	})
	return out
}

// changeInsights lays the anomalies of a minute on the insights that are active.
func (s *Server) changeInsights(ctx context.Context, t tenant, g meta.XRayGroup, now minuteNodes, recent []minuteNodes, bad []node) (meta.XRayInsightChange, error) {
	at := timeOfMinute(now.minute + 1)
	change := meta.XRayInsightChange{Events: map[string]meta.XRayInsightEvent{}}
	active, err := s.cfg.Meta.XRayInsights(ctx, t.environment, g.Name, at, at)
	if err != nil {
		return change, err
	}
	active = slices.DeleteFunc(active, func(i meta.XRayInsight) bool { return !i.Ended.IsZero() })
	found := related(recent, bad)
	for _, kept := range active {
		i, err := readInsight(kept)
		if err != nil {
			return change, err
		}
		before := i
		for k, a := range found {
			if !slices.ContainsFunc(a.Services, func(n node) bool { return n == i.RootCause || slices.Contains(i.Services, n) }) {
				continue
			}
			i.RootCause, i.LastMinute = a.RootCause, now.minute
			i.Services = merged(a.Services, i.Services)
			i.count(now)
			found = slices.Delete(found, k, k+1)
			break
		}
		i.Updated = at
		text := ""
		switch {
		case now.minute-i.LastMinute >= closedAfter:
			kept.Ended = timeOfMinute(i.LastMinute + 1)
			text = "The fault rate is as expected again."
		case i.RootCause != before.RootCause:
			text = fmt.Sprintf("The root cause is now %s.", i.RootCause.name)
		case len(i.Services) > len(before.Services):
			text = fmt.Sprintf("%s fails more than expected too.", i.Services[len(i.Services)-1].name)
		case i.Clients.FaultCount >= 2*before.Clients.FaultCount && i.Clients.FaultCount-before.Clients.FaultCount >= leastFaults:
			text = fmt.Sprintf("%d requests of clients have failed.", i.Clients.FaultCount)
		}
		if text != "" {
			change.Events[kept.ID] = meta.XRayInsightEvent{At: at, Event: string(encode(i.event(text)))}
		}
		kept.Insight = string(encode(i))
		change.Insights = append(change.Insights, kept)
	}
	for _, a := range found {
		started := now.minute
		for _, r := range recent {
			if r.anomalous[a.RootCause] {
				started = min(started, r.minute)
			}
		}
		a.LastMinute, a.Updated = now.minute, at
		for _, r := range recent {
			if r.minute >= started {
				a.count(r)
			}
		}
		kept := meta.XRayInsight{ID: awsapi.NewRequestID(), Started: timeOfMinute(started), Insight: string(encode(a))}
		change.Insights = append(change.Insights, kept)
		change.Events[kept.ID] = meta.XRayInsightEvent{At: at, Event: string(encode(a.event(fmt.Sprintf("%s fails more than expected.", a.RootCause.name))))}
	}
	return change, nil
}

// merged returns a and then what else is in b.
func merged(a, b []node) []node {
	out := slices.Clone(a)
	for _, n := range b {
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// count adds a minute to the impact.
func (i *insight) count(m minuteNodes) {
	i.Causes.add(m.nodes[i.RootCause])
	leads := leadingTo(m.services, i.RootCause)
	for _, n := range m.services {
		for _, e := range n.edges {
			if n.kind == filterexpr.TypeClient && leads[e.target] {
				i.Clients.add(*e.tally)
			}
		}
	}
}

// leadingTo returns the nodes of a graph from which another is reached, and that one.
func leadingTo(nodes []*serviceNode, end node) map[*serviceNode]bool {
	leads := map[*serviceNode]bool{}
	for _, n := range nodes {
		leads[n] = n.node == end
	}
	for more := true; more; {
		more = false
		for _, n := range nodes {
			for _, e := range n.edges {
				if leads[e.target] && !leads[n] {
					leads[n], more = true, true
				}
			}
		}
	}
	return leads
}

// related puts anomalies together that are linked by a path of failed calls. The root cause is the
// one furthest down.
func related(recent []minuteNodes, bad []node) []insight {
	calls := map[node]map[node]bool{}
	for _, m := range recent {
		for _, n := range m.services {
			for _, e := range n.edges {
				if e.faults > 0 && n.kind != filterexpr.TypeClient && e.target != n {
					if calls[n.node] == nil {
						calls[n.node] = map[node]bool{}
					}
					calls[n.node][e.target.node] = true
				}
			}
		}
	}
	reach := func(from node) map[node]bool {
		seen := map[node]bool{from: true}
		queue := []node{from}
		for len(queue) > 0 {
			n := queue[0]
			queue = queue[1:]
			for to := range calls[n] {
				if !seen[to] {
					seen[to] = true
					queue = append(queue, to)
				}
			}
		}
		delete(seen, from)
		return seen
	}
	below := map[node]map[node]bool{}
	for _, n := range bad {
		below[n] = reach(n)
	}
	var out []insight
	left := slices.Clone(bad)
	for len(left) > 0 {
		group := []node{left[0]}
		left = left[1:]
		for i := 0; i < len(group); i++ {
			left = slices.DeleteFunc(left, func(n node) bool {
				linked := below[group[i]][n] || below[n][group[i]]
				if linked {
					group = append(group, n)
				}
				return linked
			})
		}
		deepest := group[0]
		for _, n := range group[1:] {
			// n is further down when it is reached from the deepest so far, and not the other
			// way round.
			if below[deepest][n] && !below[n][deepest] {
				deepest = n
			}
		}
		slices.SortStableFunc(group, func(a, b node) int { return slices.Index(bad, a) - slices.Index(bad, b) })
		out = append(out, insight{RootCause: deepest, Services: group})
	}
	return out
}

func readInsight(kept meta.XRayInsight) (insight, error) {
	var i insight
	if err := json.Unmarshal([]byte(kept.Insight), &i); err != nil {
		return i, fmt.Errorf("read insight %s: %w", kept.ID, err)
	}
	return i, nil
}

// insightEvent is a change of an insight, as it is kept.
type insightEvent struct {
	Summary         string
	Services        []node
	Clients, Causes impact
}

func (i insight) event(text string) insightEvent {
	return insightEvent{i.headline() + " " + text, i.Services, i.Clients, i.Causes}
}

// headline is the first sentence about an insight.
func (i insight) headline() string {
	return "The fault rate of " + i.RootCause.name + " is higher than expected."
}

// summary tells an insight in two sentences.
func (i insight) summary() string {
	share := 0
	if i.Causes.TotalCount > 0 {
		share = int(math.Round(100 * float64(i.Causes.FaultCount) / float64(i.Causes.TotalCount)))
	}
	return fmt.Sprintf("%s %d%% of its %d requests failed, and %d of %d requests of clients.", i.headline(), share, i.Causes.TotalCount, i.Clients.FaultCount, i.Clients.TotalCount)
}

// active is an insight in whose time traces are.
type active struct {
	id       string
	from, to float64
	cause    node
}

// matcher returns the function that tells whether a condition holds for a trace.
func (s *Server) matcher(ctx context.Context, t tenant, where query.Expr) (func(*trace) bool, error) {
	if where == nil {
		return func(*trace) bool { return true }, nil
	}
	asked := false
	query.Walk(where, func(e query.Expr) bool {
		if x, ok := e.(query.Exists); ok {
			part, _ := x.Over.(query.Part)
			asked = asked || part.Name == "insight.id" || part.Name == "insight.category"
		}
		return true
	})
	var list []active
	if asked {
		kept, err := s.cfg.Meta.XRayInsights(ctx, t.environment, "", time.Unix(0, 0), time.Now())
		if err != nil {
			return nil, err
		}
		for _, k := range kept {
			i, err := readInsight(k)
			if err != nil {
				return nil, err
			}
			a := active{k.ID, epoch(k.Started), math.Inf(1), i.RootCause}
			if !k.Ended.IsZero() {
				a.to = epoch(k.Ended)
			}
			list = append(list, a)
		}
	}
	return func(tr *trace) bool {
		tr.insights = nil
		for _, a := range list {
			failed := func(e *entity) bool { return e.fault && !e.sub && e.node(t.account) == a.cause }
			if tr.start >= a.from && tr.start < a.to && slices.ContainsFunc(tr.segments, failed) {
				tr.insights = append(tr.insights, a.id)
			}
		}
		return query.Holds(where, tr.row(t.account))
	}, nil
}
