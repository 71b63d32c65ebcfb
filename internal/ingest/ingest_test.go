package ingest_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/ingest"
	"github.com/trefoil-o11y/trefoil/internal/store"
	"github.com/trefoil-o11y/trefoil/internal/store/segment"
	"github.com/trefoil-o11y/trefoil/internal/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func batch(n int) *event.Batch {
	b := event.NewBuilder()
	defer b.Release()
	for range n {
		b.Add(event.Header{Time: 1, Dataset: 1})
	}
	return b.Batch()
}

// start runs a queue on a real store; stop ends both and returns the store reopened.
func start(t *testing.T, wrap func(store.Store) store.Store, opts *ingest.Options) (q *ingest.Queue, s store.Store, stop func()) {
	t.Helper()
	st, err := segment.Open(t.Context(), segment.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	var inner store.Store = st
	if wrap != nil {
		inner = wrap(st)
	}
	q = ingest.New(inner, opts)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := q.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	return q, st, func() {
		cancel()
		wg.Wait()
	}
}

// TestAcknowledgedIsStored makes the store fail at every seventh append, from many writers:
// what was acknowledged is there, and no more than was sent.
func TestAcknowledgedIsStored(t *testing.T) {
	broken := errors.New("disk on fire")
	q, s, stop := start(t, func(s store.Store) store.Store {
		return &storetest.Faulty{Store: s, FailAt: 3, Every: 7, Err: broken}
	}, nil)
	var acked, refused atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 20 {
				switch err := q.Append(context.Background(), ingest.OTLP, batch(5)); {
				case err == nil:
					acked.Add(5)
				case errors.Is(err, broken):
					refused.Add(5)
				default:
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	stop()
	if n := storetest.Count(t, s); n != acked.Load() {
		t.Errorf("%d events stored, %d acknowledged", n, acked.Load())
	}
	if refused.Load() == 0 {
		t.Error("the faults reached nobody")
	}
	st := q.Stats()[ingest.OTLP]
	if st.Events != acked.Load() || st.Rejected != refused.Load() {
		t.Errorf("stats count %d stored and %d rejected, want %d and %d", st.Events, st.Rejected, acked.Load(), refused.Load())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// gate holds every append until it is opened.
type gate struct {
	store.Store
	open chan struct{}
}

func (g *gate) Append(ctx context.Context, b []*event.Batch) error {
	<-g.open
	return g.Store.Append(ctx, b)
}

func TestOverloadIsRefused(t *testing.T) {
	g := &gate{open: make(chan struct{})}
	q, s, stop := start(t, func(s store.Store) store.Store { g.Store = s; return g }, &ingest.Options{MaxPendingBytes: int64(10 * batch(10).Bytes())})
	results := make(chan error, 200)
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() { results <- q.Append(context.Background(), ingest.Logs, batch(10)) })
	}
	// At most 10 batches fit; the others are refused at once.
	for range 190 {
		if err := <-results; !errors.Is(err, ingest.ErrOverloaded) {
			t.Fatalf("Append = %v, want ErrOverloaded", err)
		}
	}
	close(g.open)
	wg.Wait()
	stop()
	if n := storetest.Count(t, s); n != 100 {
		t.Errorf("%d events stored, want 100", n)
	}
	if err := q.Append(context.Background(), ingest.Logs, batch(1)); !errors.Is(err, ingest.ErrClosed) {
		t.Errorf("Append after the end = %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestPartsCountApart appends batches of two sources at once.
func TestPartsCountApart(t *testing.T) {
	fails := &storetest.Faulty{FailAt: 1, Every: 1000, Err: errors.New("disk on fire")}
	q, s, stop := start(t, func(s store.Store) store.Store { fails.Store = s; return fails }, nil)
	for range 2 { // the first is refused
		err := q.AppendParts(t.Context(), ingest.Part{Source: ingest.Logs, Batch: batch(3)}, ingest.Part{Source: ingest.Metrics, Batch: batch(2)}, ingest.Part{Source: ingest.XRay, Batch: batch(0)})
		if err != nil && !errors.Is(err, fails.Err) {
			t.Fatal(err)
		}
	}
	stop()
	for src, want := range map[ingest.Source]int64{ingest.Logs: 3, ingest.Metrics: 2, ingest.XRay: 0} {
		if st := q.Stats()[src]; st.Events != want || st.Rejected != want || st.Last.IsZero() != (want == 0) {
			t.Errorf("%s: %+v, want %d stored and refused", src, st, want)
		}
	}
	if n := storetest.Count(t, s); n != 5 {
		t.Errorf("%d events stored", n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestListen(t *testing.T) {
	q, s, stop := start(t, nil, nil)
	stored, end := q.Listen()
	if err := q.Append(t.Context(), ingest.XRay, batch(1)); err != nil {
		t.Fatal(err)
	}
	<-stored
	end()
	stop()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
