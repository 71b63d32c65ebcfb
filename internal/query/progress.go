package query

import (
	"context"
	"sync"
)

// Progress lets others look at a run of the Query that has it. The zero value is ready; it is for one
// run at a time.
type Progress struct {
	mu   sync.RWMutex // guards below; held for reading by who looks
	look func(ctx context.Context, rows int) (*Result, error)
}

// Look returns what the run has found so far: its Stats and, of a query whose rows are stored events in
// an order, up to rows of those that come first among the ones it has seen. It returns nil when no run
// is under way. The run goes on meanwhile, but does not end.
func (p *Progress) Look(ctx context.Context, rows int) (*Result, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.look == nil {
		return nil, nil
	}
	return p.look(ctx, rows)
}

// Begin is for the store that runs the query: look answers Look until end is called, which waits for
// those who look.
func (p *Progress) Begin(look func(ctx context.Context, rows int) (*Result, error)) (end func()) {
	set := func(look func(context.Context, int) (*Result, error)) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.look = look
	}
	set(look)
	return func() { set(nil) }
}
