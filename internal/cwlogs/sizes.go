package cwlogs

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/meta"
	"github.com/trefoil-o11y/trefoil/internal/query"
)

// sizesAge is how long the counted sizes of groups are believed; what is written meanwhile is
// added to them, what expires is not taken off.
const sizesAge = 5 * time.Minute

// messageBytes is the length of an event's message in UTF-8.
var messageBytes = query.Call{Fn: "byte_len", Args: []query.Expr{query.Field{Name: fieldMessage}}}

// size is what a group holds: events, and the bytes of their messages with eventOverhead each.
type size struct {
	events, bytes int64
	last          int64 // largest $time; 0 without events
}

// sizes keeps the sizes of the groups of each environment, since counting reads all messages.
type sizes struct {
	mu   sync.Mutex // guards below
	envs map[string]*counted
}

type counted struct {
	at     time.Time
	groups map[event.DatasetID]size
}

func newSizes() *sizes { return &sizes{envs: map[string]*counted{}} }

// add counts events that were written.
func (z *sizes) add(environment string, group event.DatasetID, more size) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if c := z.envs[environment]; c != nil {
		was := c.groups[group]
		c.groups[group] = size{was.events + more.events, was.bytes + more.bytes, max(was.last, more.last)}
	}
}

// forget has the sizes counted anew.
func (z *sizes) forget(environment string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	delete(z.envs, environment)
}

// sizesOf returns the sizes of the groups of an environment, which groups must list in full.
// They are exact when no event expires or is written in the meantime.
func (s *Server) sizesOf(ctx context.Context, environment string, groups []meta.LogGroup) (map[event.DatasetID]size, error) {
	s.size.mu.Lock()
	c := s.size.envs[environment]
	if c != nil && time.Since(c.at) < sizesAge {
		defer s.size.mu.Unlock()
		return cloned(c.groups), nil
	}
	s.size.mu.Unlock()

	c = &counted{at: time.Now(), groups: map[event.DatasetID]size{}}
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
	for _, row := range res.Rows {
		n := row[1].Int()
		c.groups[event.DatasetID(row[0].Int())] = size{n, row[2].Int() + n*eventOverhead, row[3].Int()}
	}
	s.size.mu.Lock()
	defer s.size.mu.Unlock()
	s.size.envs[environment] = c
	return cloned(c.groups), nil
}

func cloned(m map[event.DatasetID]size) map[event.DatasetID]size {
	out := make(map[event.DatasetID]size, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}
