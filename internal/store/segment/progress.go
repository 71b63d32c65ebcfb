package segment

import (
	"context"
	"slices"
	"sync"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
)

// watched are the workers of a scan that others may look at, see query.Progress. Each holds its own
// lock but for a moment between pages. A nil watched has nobody who looks, and takes no locks.
type watched struct {
	mu      sync.Mutex // guards workers
	workers []*worker
}

// enter takes w among the workers, locked.
func (o *watched) enter(w *worker) {
	if o == nil {
		return
	}
	w.mu.Lock()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.workers = append(o.workers, w)
}

// pause lets who waits for it look at w.
func (o *watched) pause(w *worker) {
	if o != nil {
		w.mu.Unlock()
		w.mu.Lock()
	}
}

// leave ends what w does.
func (o *watched) leave(w *worker) {
	if o != nil {
		w.mu.Unlock()
	}
}

// stop locks all workers at once: what one of them has passed over, another one has something better
// than.
func (o *watched) stop() (workers []*worker) {
	for {
		o.mu.Lock()
		all := o.workers
		o.mu.Unlock()
		if len(all) == len(workers) {
			return workers
		}
		for _, w := range all[len(workers):] {
			w.mu.Lock()
		}
		workers = all
	}
}

// look is what query.Progress.Look returns.
func (sc *scan) look(ctx context.Context, rows int) (*query.Result, error) {
	workers := sc.watched.stop()
	var stats query.Stats
	var all []*leaders
	for _, w := range workers {
		stats.Add(w.stats)
		stats.BytesScanned += w.s.bytes
		if w.leaders != nil && rows > 0 {
			own := &leaders{list: slices.Clone(w.leaders.list)}
			for i := range own.list {
				own.list[i].keys = append([]event.Value(nil), own.list[i].keys...) // w uses them again
			}
			all = append(all, own)
		}
	}
	for _, w := range workers {
		w.mu.Unlock()
	}
	if all == nil {
		return &query.Result{Stats: stats}, nil
	}
	list := merge(sc.plan.top, all)
	res, err := sc.lead(ctx, list[:min(len(list), rows)], &query.Stats{})
	if err != nil {
		return nil, err
	}
	res.Stats = stats
	return res, nil
}
