package cwlogs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
)

const (
	// sizesAge is how long counted sizes are believed. What is written in the meantime is
	// added to them, what expires is not taken off.
	sizesAge = 5 * time.Minute
	// countTimeout bounds one count, describeWait how long DescribeLogGroups waits for it:
	// clients call it when they start and can do without the sizes.
	countTimeout = 10 * time.Minute
	describeWait = 3 * time.Second
)

// messageBytes is the length of an event's message in UTF-8.
var messageBytes = query.Call{Fn: "byte_len", Args: []query.Expr{query.Field{Name: fieldMessage}}}

// size is what a group holds: events, and the bytes of their messages with eventOverhead each.
type size struct {
	events, bytes int64
	last          int64 // largest $time; 0 without events
}

// sizes keeps the sizes of the groups of each environment, since counting reads all messages.
type sizes struct {
	mu   sync.Mutex // guards below and what the environments hold
	envs map[string]*envSizes
}

type envSizes struct {
	at     time.Time // zero when nothing was counted
	groups map[event.DatasetID]size
	// running is the count that runs, nil when none does.
	running *counting
}

// counting is one count; err may be read once done is closed.
type counting struct {
	done chan struct{}
	err  error
}

func newSizes() *sizes { return &sizes{envs: map[string]*envSizes{}} }

// add counts events that were written.
func (z *sizes) add(environment string, group event.DatasetID, more size) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if e := z.envs[environment]; e != nil && e.groups != nil {
		was := e.groups[group]
		e.groups[group] = size{was.events + more.events, was.bytes + more.bytes, max(was.last, more.last)}
	}
}

// forget has the sizes counted anew; a count that runs serves only those who wait for it.
func (z *sizes) forget(environment string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	delete(z.envs, environment)
}

// sizesOf returns the sizes of the groups of an environment; groups without events are left
// out. It waits for a count that is needed until ctx ends. Sizes are exact unless events
// expire, or are written while the count runs.
func (s *Server) sizesOf(ctx context.Context, environment string) (map[event.DatasetID]size, error) {
	z := s.size
	z.mu.Lock()
	e := z.envs[environment]
	if e == nil {
		e = &envSizes{}
		z.envs[environment] = e
	}
	if e.groups != nil && time.Since(e.at) < sizesAge {
		defer z.mu.Unlock()
		return maps.Clone(e.groups), nil
	}
	c := e.running
	if c == nil {
		c = &counting{done: make(chan struct{})}
		e.running = c
		go s.count(environment, e, c)
	}
	z.mu.Unlock()
	select {
	case <-c.done:
		if c.err != nil {
			return nil, c.err
		}
		z.mu.Lock()
		defer z.mu.Unlock()
		return maps.Clone(e.groups), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// soonSizes is sizesOf for those who can not wait: after describeWait the sizes are empty.
func (s *Server) soonSizes(ctx context.Context, environment string) (map[event.DatasetID]size, error) {
	wait, cancel := context.WithTimeout(ctx, describeWait)
	defer cancel()
	sizes, err := s.sizesOf(wait, environment)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return nil, nil
	}
	return sizes, err
}

// count fills e and ends c. It belongs to no request, since many may wait for it.
func (s *Server) count(environment string, e *envSizes, c *counting) {
	ctx, cancel := context.WithTimeout(context.Background(), countTimeout)
	defer cancel()
	at := time.Now()
	groups, err := s.countGroups(ctx, environment)
	s.size.mu.Lock()
	defer s.size.mu.Unlock()
	if c.err = err; err == nil {
		e.at, e.groups = at, groups
	}
	e.running = nil
	close(c.done)
}

func (s *Server) countGroups(ctx context.Context, environment string) (map[event.DatasetID]size, error) {
	groups, err := s.cfg.Meta.LogGroups(ctx, environment)
	if err != nil {
		return nil, err
	}
	ids := make([]event.DatasetID, len(groups))
	for i, g := range groups {
		ids[i] = g.ID
	}
	q := &query.Query{Datasets: ids}
	alive, err := s.alive(ctx, environment, ids, time.Time{})
	if err != nil {
		return nil, err
	}
	if alive != nil {
		q.Stages = append(q.Stages, query.Filter{Where: alive})
	}
	q.Stages = append(q.Stages, query.Aggregate{
		By: query.FieldsNamed(event.FieldDataset),
		Aggs: []query.Agg{
			{Name: "events", Op: query.Count},
			{Name: "bytes", Op: query.Sum, Arg: messageBytes},
			{Name: "last", Op: query.Max, Arg: query.Field{Name: event.FieldTime}},
		},
	})
	res, err := s.cfg.Store.Query(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("count the events of the log groups: %w", err)
	}
	out := map[event.DatasetID]size{}
	for _, row := range res.Rows {
		n := row[1].Int()
		out[event.DatasetID(row[0].Int())] = size{n, row[2].Int() + n*eventOverhead, row[3].Int()}
	}
	return out, nil
}
