// Package ingest is the way in: wire packages hand batches to the [Queue], which commits what
// arrives together as one group, answers when it is durable, and refuses when too much waits.
package ingest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/store"
)

// Errors that wire packages turn into their vendor's "try again later" and "gone".
var (
	// ErrOverloaded means that more waits than the queue may hold, or that the store is full.
	ErrOverloaded = errors.New("ingest queue is full")
	// ErrClosed means that the server is stopping.
	ErrClosed = errors.New("ingest queue is closed")
)

// Source is the protocol family that events came by.
type Source uint8

// The sources.
const (
	OTLP Source = iota
	Events
	XRay
	Logs
	Metrics
	numSources
)

// String returns the source's name as the UI knows it.
func (s Source) String() string { return [...]string{"otlp", "events", "xray", "logs", "metrics"}[s] }

// Options of a Queue. The zero Options are the defaults.
type Options struct {
	// MaxPendingBytes is how much may wait to be written. Default 64 MiB.
	MaxPendingBytes int64
	// MaxGroupBytes is how much is written at once. Default 16 MiB.
	MaxGroupBytes int64
}

// Queue commits batches in groups. While one group is being written, what arrives waits and
// makes the next.
type Queue struct {
	store store.Store
	opts  Options
	in    chan *request

	pending atomic.Int64
	stats   [numSources]sourceStats

	mu      sync.RWMutex // guards below; held for reading by Append while it sends
	closed  bool
	done    chan struct{}
	listens map[chan struct{}]struct{}
}

type request struct {
	batches []*event.Batch
	bytes   int64
	done    chan error
}

type sourceStats struct {
	mu        sync.Mutex
	events    int64
	last      time.Time
	rejected  int64
	reason    string
	rejection time.Time
}

// SourceStats is what came by one source since the start.
type SourceStats struct {
	Source Source
	Events int64
	// Last is when the newest event was stored; zero when none was.
	Last     time.Time
	Rejected int64
	// Reason and RejectedAt describe the newest rejection.
	Reason     string
	RejectedAt time.Time
}

// New returns a queue that writes to st; it works once Run runs. Nil opts are the defaults.
func New(st store.Store, opts *Options) *Queue {
	q := &Queue{store: st, done: make(chan struct{}), listens: map[chan struct{}]struct{}{}}
	if opts != nil {
		q.opts = *opts
	}
	if q.opts.MaxPendingBytes == 0 {
		q.opts.MaxPendingBytes = 64 << 20
	}
	if q.opts.MaxGroupBytes == 0 {
		q.opts.MaxGroupBytes = 16 << 20
	}
	q.in = make(chan *request, 4096)
	return q
}

// Part is a batch and what its events count as.
type Part struct {
	Source Source
	Batch  *event.Batch
}

// Append is AppendParts for batches of one source.
func (q *Queue) Append(ctx context.Context, src Source, batches ...*event.Batch) error {
	parts := make([]Part, len(batches))
	for i, b := range batches {
		parts[i] = Part{src, b}
	}
	return q.AppendParts(ctx, parts...)
}

// AppendParts waits until the batches are durable and visible. On an error they are not
// acknowledged: ErrOverloaded (nothing was stored, try again), ErrClosed, the context's error
// (they may turn up), or the store's. The batches belong to the queue from then on.
func (q *Queue) AppendParts(ctx context.Context, parts ...Part) error {
	var bytes int64
	var events [numSources]int64
	r := &request{done: make(chan error, 1)}
	for _, p := range parts {
		if p.Batch.Len() == 0 {
			continue
		}
		r.batches = append(r.batches, p.Batch)
		bytes += int64(p.Batch.Bytes())
		events[p.Source] += int64(p.Batch.Len())
	}
	if r.batches == nil {
		return nil
	}
	r.bytes = bytes
	reject := func(err error) error {
		for src, n := range events {
			if n > 0 {
				q.Reject(Source(src), n, err.Error())
			}
		}
		return err
	}
	if q.pending.Add(bytes) > q.opts.MaxPendingBytes && q.pending.Load() != bytes {
		q.pending.Add(-bytes)
		return reject(ErrOverloaded)
	}
	q.mu.RLock()
	if q.closed {
		q.mu.RUnlock()
		q.pending.Add(-bytes)
		return ErrClosed
	}
	select {
	case q.in <- r:
		q.mu.RUnlock()
	case <-ctx.Done():
		q.mu.RUnlock()
		q.pending.Add(-bytes)
		return ctx.Err()
	}
	select {
	case err := <-r.done:
		if err != nil {
			return reject(err)
		}
		q.count(events)
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (q *Queue) count(events [numSources]int64) {
	for src, n := range events {
		if n == 0 {
			continue
		}
		s := &q.stats[src]
		s.mu.Lock()
		s.events += n
		s.last = time.Now()
		s.mu.Unlock()
	}
	q.mu.RLock()
	defer q.mu.RUnlock()
	for l := range q.listens {
		select {
		case l <- struct{}{}:
		default:
		}
	}
}

// Reject counts events that a source refused, with the reason that operators are shown.
func (q *Queue) Reject(src Source, events int64, reason string) {
	s := &q.stats[src]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rejected += events
	s.reason, s.rejection = reason, time.Now()
}

// Stats returns the counts of every source.
func (q *Queue) Stats() []SourceStats {
	out := make([]SourceStats, numSources)
	for i := range q.stats {
		s := &q.stats[i]
		s.mu.Lock()
		out[i] = SourceStats{Source(i), s.events, s.last, s.rejected, s.reason, s.rejection}
		s.mu.Unlock()
	}
	return out
}

// Pending returns the bytes that wait to be written.
func (q *Queue) Pending() int64 { return q.pending.Load() }

// Listen returns a channel that gets a value after events were stored; several may become one.
// stop ends it.
func (q *Queue) Listen() (stored <-chan struct{}, stop func()) {
	l := make(chan struct{}, 1)
	q.mu.Lock()
	q.listens[l] = struct{}{}
	q.mu.Unlock()
	return l, func() {
		q.mu.Lock()
		delete(q.listens, l)
		q.mu.Unlock()
	}
}

// Run writes groups until ctx ends; then it takes no more, writes what waits, and returns.
func (q *Queue) Run(ctx context.Context) error {
	go func() {
		<-ctx.Done()
		q.mu.Lock()
		q.closed = true
		close(q.in)
		q.mu.Unlock()
	}()
	for first := range q.in {
		group := []*request{first}
		size := first.bytes
	gather:
		for size < q.opts.MaxGroupBytes {
			select {
			case r, ok := <-q.in:
				if !ok {
					break gather
				}
				group = append(group, r)
				size += r.bytes
			default:
				break gather
			}
		}
		q.commit(context.WithoutCancel(ctx), group, size)
	}
	return nil
}

// commit writes a group and answers its requests. When a group of several fails for its size
// or content, each request is tried alone, so that one can not fail the others.
func (q *Queue) commit(ctx context.Context, group []*request, size int64) {
	defer q.pending.Add(-size)
	var batches []*event.Batch
	for _, r := range group {
		batches = append(batches, r.batches...)
	}
	err := q.store.Append(ctx, batches)
	if err != nil && len(group) > 1 && !errors.Is(err, store.ErrFull) && !errors.Is(err, store.ErrClosed) {
		for _, r := range group {
			r.done <- wrap(q.store.Append(ctx, r.batches))
		}
		return
	}
	for _, r := range group {
		r.done <- wrap(err)
	}
}

func wrap(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrFull):
		return fmt.Errorf("%w: %w", ErrOverloaded, err)
	case errors.Is(err, store.ErrClosed):
		return fmt.Errorf("%w: %w", ErrClosed, err)
	default:
		return err
	}
}
