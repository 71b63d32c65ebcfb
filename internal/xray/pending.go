package xray

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/ingest"
	"github.com/trefoil-o11y/trefoil/internal/meta"
)

const (
	// pendingDeadline is how long a document in progress waits for its complete version.
	pendingDeadline = time.Hour
	// maxPendingBytes bounds what waits; beyond it the oldest are stored as they are.
	maxPendingBytes = 64 << 20
)

// pending holds the documents in progress. Package meta has them too, written first, so that
// they survive a restart; this is what reads look at.
type pending struct {
	meta *meta.DB

	mu      sync.RWMutex // guards below
	byTrace map[pendingTrace]map[event.SpanID]waiting
	bytes   int
}

type pendingTrace struct {
	environment string
	trace       event.TraceID
}

type waiting struct {
	doc      *document
	received time.Time
}

func loadPending(db *meta.DB) (*pending, error) {
	p := &pending{meta: db, byTrace: map[pendingTrace]map[event.SpanID]waiting{}}
	list, err := db.PendingSegments(context.Background())
	if err != nil {
		return nil, fmt.Errorf("read documents in progress: %w", err)
	}
	for _, w := range list {
		if doc, refused := parseDocument(w.Document); refused == nil {
			p.keep(w.Environment, doc, w.Received)
		}
	}
	return p, nil
}

// put makes documents durable and visible to reads.
func (p *pending) put(ctx context.Context, environment string, docs []*document) error {
	if len(docs) == 0 {
		return nil
	}
	now := time.Now()
	list := make([]meta.PendingSegment, len(docs))
	for i, d := range docs {
		list[i] = meta.PendingSegment{Environment: environment, TraceID: d.trace.String(), SegmentID: d.id.String(), Document: d.raw, Received: now}
	}
	if err := p.meta.PutPendingSegments(ctx, list); err != nil {
		return fmt.Errorf("keep %d documents in progress: %w", len(docs), err)
	}
	for _, d := range docs {
		p.keep(environment, d, now)
	}
	return nil
}

func (p *pending) keep(environment string, d *document, received time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := pendingTrace{environment, d.trace}
	docs := p.byTrace[key]
	if docs == nil {
		docs = map[event.SpanID]waiting{}
		p.byTrace[key] = docs
	}
	if old, ok := docs[d.id]; ok {
		p.bytes -= len(old.doc.raw)
	}
	docs[d.id] = waiting{d, received}
	p.bytes += len(d.raw)
}

// forget removes the documents that docs, now stored, take the place of.
func (p *pending) forget(ctx context.Context, environment string, docs []*document) error {
	var gone []meta.PendingSegment
	p.mu.Lock()
	for _, d := range docs {
		key := pendingTrace{environment, d.trace}
		old, ok := p.byTrace[key][d.id]
		if !ok {
			continue
		}
		p.bytes -= len(old.doc.raw)
		delete(p.byTrace[key], d.id)
		if len(p.byTrace[key]) == 0 {
			delete(p.byTrace, key)
		}
		gone = append(gone, meta.PendingSegment{Environment: environment, TraceID: d.trace.String(), SegmentID: d.id.String()})
	}
	p.mu.Unlock()
	if len(gone) == 0 {
		return nil
	}
	return p.meta.DeletePendingSegments(ctx, gone)
}

// of returns the documents of a trace that wait.
func (p *pending) of(environment string, id event.TraceID) []*document {
	p.mu.RLock()
	defer p.mu.RUnlock()
	var out []*document
	for _, w := range p.byTrace[pendingTrace{environment, id}] {
		out = append(out, w.doc)
	}
	return out
}

// between returns the traces that have a waiting document that starts in [from, to), with the
// earliest such start, in nanoseconds.
func (p *pending) between(environment string, from, to int64) map[event.TraceID]int64 {
	p.mu.RLock()
	defer p.mu.RUnlock()
	out := map[event.TraceID]int64{}
	for key, docs := range p.byTrace {
		if key.environment != environment {
			continue
		}
		for _, w := range docs {
			if at := nanos(w.doc.start); at >= from && at < to {
				if first, ok := out[key.trace]; !ok || at < first {
					out[key.trace] = at
				}
			}
		}
	}
	return out
}

// overdue returns the documents that have waited too long or are too many, by environment.
func (p *pending) overdue(now time.Time) map[string][]*document {
	p.mu.RLock()
	defer p.mu.RUnlock()
	type aged struct {
		environment string
		waiting
	}
	var all []aged
	for key, docs := range p.byTrace {
		for _, w := range docs {
			all = append(all, aged{key.environment, w})
		}
	}
	slices.SortFunc(all, func(a, b aged) int { return a.received.Compare(b.received) })
	out := map[string][]*document{}
	over := p.bytes - maxPendingBytes
	for _, a := range all {
		if over <= 0 && now.Sub(a.received) < pendingDeadline {
			break
		}
		over -= len(a.doc.raw)
		out[a.environment] = append(out[a.environment], a.doc)
	}
	return out
}

// expire stores the documents that are overdue at a time as they are: their events say that they
// are in progress.
func (s *Server) expire(ctx context.Context, now time.Time) error {
	for environment, docs := range s.pending.overdue(now) {
		b, err := s.batch(ctx, environment, docs)
		if err != nil {
			return err
		}
		if err := s.cfg.Queue.Append(ctx, ingest.XRay, b); err != nil {
			return fmt.Errorf("store %d documents whose end did not come: %w", len(docs), err)
		}
		if err := s.pending.forget(ctx, environment, docs); err != nil {
			return err
		}
	}
	return nil
}
