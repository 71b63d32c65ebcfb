package segment

import (
	"context"
	"slices"
	"sync"

	"github.com/trefoil-o11y/trefoil/internal/query"
)

// watched are the workers of a scan that others may look at, see query.Progress. A nil watched has nobody
// who looks, and takes no locks.
type watched struct {
	// gate is held for reading by each worker but for a moment between pages. Who looks stops them all at
	// once: what one of them has passed over, another one has something better than.
	gate sync.RWMutex

	mu      sync.Mutex // guards workers; who looks needs it not
	workers []*worker
}

// enter takes w among the workers.
func (o *watched) enter(w *worker) {
	if o == nil {
		return
	}
	o.gate.RLock()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.workers = append(o.workers, w)
}

// pause lets who waits for it look at the workers.
func (o *watched) pause() {
	if o != nil {
		o.gate.RUnlock()
		o.gate.RLock()
	}
}

// leave ends what a worker does.
func (o *watched) leave() {
	if o != nil {
		o.gate.RUnlock()
	}
}

// seen returns the counts of the workers, and with rows what leads so far.
func (o *watched) seen(rows bool) (stats query.Stats, all []*leaders) {
	o.gate.Lock()
	defer o.gate.Unlock()
	for _, w := range o.workers {
		stats.Add(w.stats)
		stats.BytesScanned += w.s.bytes
		if w.leaders == nil || !rows {
			continue
		}
		own := &leaders{list: slices.Clone(w.leaders.list)}
		for i := range own.list {
			own.list[i].keys = slices.Clone(own.list[i].keys) // w uses them again
		}
		all = append(all, own)
	}
	return stats, all
}

// look is what query.Progress.Look returns.
func (sc *scan) look(ctx context.Context, rows int) (*query.Result, error) {
	stats, all := sc.watched.seen(rows > 0)
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
