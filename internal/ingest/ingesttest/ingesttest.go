// Package ingesttest opens what tests of wire packages need below them: a real store, real
// metadata, and a queue that runs.
package ingesttest

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/trefoil-o11y/trefoil/internal/ingest"
	"github.com/trefoil-o11y/trefoil/internal/meta"
	"github.com/trefoil-o11y/trefoil/internal/store"
	"github.com/trefoil-o11y/trefoil/internal/store/segment"
)

// Parts are a store, metadata and a running queue over one folder.
type Parts struct {
	Store store.Store
	Meta  *meta.DB
	Queue *ingest.Queue

	stop context.CancelFunc
	done chan error
}

// Open opens the parts of a folder, again after a Close.
func Open(t testing.TB, dir string) *Parts {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	st, err := segment.Open(ctx, segment.Config{Dir: filepath.Join(dir, "events")})
	if err != nil {
		t.Fatal(err)
	}
	db, err := meta.Open(ctx, filepath.Join(dir, "meta.db"))
	if err != nil {
		t.Fatal(errors.Join(err, st.Close()))
	}
	p := &Parts{Store: st, Meta: db, Queue: ingest.New(st, nil), done: make(chan error, 1)}
	ctx, p.stop = context.WithCancel(ctx)
	go func() { p.done <- p.Queue.Run(ctx) }()
	return p
}

// Close ends the queue, then closes the store and the metadata.
func (p *Parts) Close(t testing.TB) {
	t.Helper()
	p.stop()
	if err := errors.Join(<-p.done, p.Store.Close(), p.Meta.Close()); err != nil {
		t.Error(err)
	}
}
