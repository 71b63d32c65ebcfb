package cwlogs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/cwlogs/transform"
	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/ingest"
	"github.com/trefoil-o11y/trefoil/internal/meta"
)

// arrival is events that are about to be stored.
type arrival struct {
	group  meta.LogGroup
	stream string
	events []inputLogEvent
	rules  *groupRules
	size   size
	parts  []ingest.Part
}

// accept stores events of a stream together with what they cause, the metrics that they drive and the
// findings of audits, so that there is none without the other, and then shows them to those who wait for
// them. The caller holds the lock of the group's streams.
func (s *Server) accept(ctx context.Context, c *awsapi.Caller, g meta.LogGroup, stream string, events []inputLogEvent, now time.Time, d *found) error {
	rules, err := s.rules.of(ctx, g)
	if err != nil {
		return err
	}
	audited := rules.masker.audit(groupARN(c, g.Name)+":*", events, now)
	own, err := s.arrive(ctx, rules, g, stream, events, audited.metrics(g.Name, now), now, d)
	if err != nil {
		return err
	}
	all, err := s.findings(ctx, g, audited, now)
	if err != nil {
		return err
	}
	all = append(all, own)
	var parts []ingest.Part
	for _, a := range all {
		parts = append(parts, a.parts...)
	}
	if err := s.cfg.Queue.AppendParts(ctx, parts...); err != nil {
		return retry(err)
	}
	for _, a := range all {
		s.size.add(a.group.Environment, a.group.ID, a.size)
		a.rules.settle(a.events, now)
		s.tails.publish(&a.group, a.stream, a.events, a.rules.masker, now)
		s.deliveries.wake(a.group.ID)
	}
	return nil
}

// arrive makes the batches of events, and of more data of metrics.
func (s *Server) arrive(ctx context.Context, rules *groupRules, g meta.LogGroup, stream string, events []inputLogEvent, more []Datum, now time.Time, d *found) (*arrival, error) {
	b := event.NewBuilder()
	defer b.Release()
	a := &arrival{group: g, stream: stream, events: events, rules: rules, size: size{events: int64(len(events))}}
	lambda := isLambda(g.Name)
	for _, e := range events {
		at := time.UnixMilli(e.timestamp).UnixNano()
		d.add(b, event.Header{Time: at, Ingested: now.UnixNano(), Stream: stream, Dataset: g.ID}, e.message, rules.transformed(e.message), lambda)
		a.size.bytes += int64(len(e.message) + eventOverhead)
		a.size.last = max(a.size.last, at)
	}
	a.parts = append(a.parts, ingest.Part{Source: ingest.Logs, Batch: b.Batch()})
	if data := append(rules.metrics(stream, events), more...); len(data) > 0 {
		m, err := s.cfg.Metrics(ctx, g.Environment, data)
		if err != nil {
			return nil, fmt.Errorf("metrics of log group %q: %w", g.Name, err)
		}
		a.parts = append(a.parts, ingest.Part{Source: ingest.Metrics, Batch: m})
	}
	return a, nil
}

// Datum is one value of a metric, Count times.
type Datum struct {
	Namespace, Metric, Unit string
	// Dimensions are names and values, each name once.
	Dimensions   [][2]string
	Time         time.Time
	Value, Count float64
}

// rules keeps what is to be done with the events of each group, as its objects in meta say.
type rules struct {
	meta *meta.DB

	mu    sync.RWMutex // guards below
	known map[event.DatasetID]*groupRules
}

// groupRules are the filters of a group. What they say does not change; who changes the group's
// objects calls forget.
type groupRules struct {
	environment string
	filters     []*metricFilter
	masker      *masker // nil when nothing is to be hidden
	transformer *transform.Transformer
	// embedded is set when messages in the Embedded Metric Format make metrics.
	embedded bool
}

// transformed returns what the group's transformer makes of a message, the message itself when there
// is none or it does not fit.
func (g *groupRules) transformed(message []byte) []byte {
	if g.transformer != nil {
		if out, ok := g.transformer.Apply(string(message)); ok {
			return out
		}
	}
	return message
}

func (r *rules) of(ctx context.Context, g meta.LogGroup) (*groupRules, error) {
	r.mu.RLock()
	have := r.known[g.ID]
	r.mu.RUnlock()
	if have != nil {
		return have, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if have := r.known[g.ID]; have != nil {
		return have, nil
	}
	objects, err := r.meta.LogObjectsIn(ctx, g.Environment, g.Name)
	if err != nil {
		return nil, fmt.Errorf("filters of log group %q: %w", g.Name, err)
	}
	account, err := accountPolicies(ctx, r.meta, g.Environment, g.Name)
	if err != nil {
		return nil, fmt.Errorf("account policies for log group %q: %w", g.Name, err)
	}
	out := &groupRules{environment: g.Environment, embedded: true}
	for _, p := range account {
		switch p.is.kind(p.Name) {
		case policyTransformer:
			if g.Class == "STANDARD" {
				if out.transformer, err = parseTransformerPolicy(p.is.PolicyDocument); err != nil {
					return nil, fmt.Errorf("stored account policy %q: %w", p.Name, err)
				}
			}
		case policyMetricExtraction:
			out.embedded = false
		}
	}
	for _, o := range objects {
		if o.Kind == kindTransformer {
			if out.transformer, err = readTransformer(o); err != nil {
				return nil, err
			}
		}
		if o.Kind != kindMetricFilter {
			continue
		}
		d, err := decodeObject[storedMetricFilter](o)
		if err != nil {
			return nil, err
		}
		f, err := newMetricFilter(d.is)
		if err != nil {
			return nil, fmt.Errorf("stored metric filter %q: %w", o.Name, err)
		}
		out.filters = append(out.filters, f)
	}
	if out.masker, err = protection(objects, account); err != nil {
		return nil, err
	}
	r.known[g.ID] = out
	return out, nil
}

// forget has the rules of a group read again, and returns what is due of those that were known.
func (r *rules) forget(id event.DatasetID) *groupRules {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.known[id]
	delete(r.known, id)
	return old
}

// each calls f for the rules of every group that are known.
func (r *rules) each(f func(*groupRules)) {
	r.mu.RLock()
	var all []*groupRules
	for _, g := range r.known {
		all = append(all, g)
	}
	r.mu.RUnlock()
	for _, g := range all {
		f(g)
	}
}

// settleEvery is how often default values are looked for, settleAfter how long a minute must have
// been quiet to get its own.
const (
	settleEvery = 10 * time.Second
	settleAfter = time.Minute
)

// Run delivers to subscriptions, reports default values of metrics, runs scheduled queries and detects
// anomalies until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.follow(gctx) })
	g.Go(func() error { return s.runSchedule(gctx) })
	g.Go(func() error { return s.detect(gctx) })
	if err := g.Wait(); ctx.Err() == nil || !errors.Is(err, context.Canceled) {
		return err
	}
	return nil // the end came while it began
}

// follow does what the events that were accepted are the cause of.
func (s *Server) follow(ctx context.Context) error {
	if err := s.recoverExports(ctx); err != nil {
		return err
	}
	if err := s.startDeliveries(ctx); err != nil {
		return err
	}
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			s.reportDefaults(ctx, now.Add(-settleAfter))
		case <-ctx.Done():
			close(s.tails.stopped)
			// Minutes that are not over yet are reported too: nobody else knows of them.
			s.reportDefaults(context.WithoutCancel(ctx), time.Now().Add(time.Hour))
			s.deliveries.wait()
			s.exports.stop()
			return nil
		}
	}
}

func (s *Server) reportDefaults(ctx context.Context, quiet time.Time) {
	s.rules.each(func(g *groupRules) { s.report(ctx, g, quiet) })
}

// report stores the default values that are due for minutes without events since quiet.
func (s *Server) report(ctx context.Context, g *groupRules, quiet time.Time) {
	if g == nil {
		return
	}
	data := g.defaults(quiet)
	if len(data) == 0 {
		return
	}
	b, err := s.cfg.Metrics(ctx, g.environment, data)
	if err == nil {
		err = s.cfg.Queue.Append(ctx, ingest.Metrics, b)
	}
	if err != nil && !errors.Is(err, ingest.ErrClosed) {
		s.cfg.Log.Error("store default values of metrics", "error", err)
	}
}
