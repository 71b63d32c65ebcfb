// Package store says what Trefoil asks of the place where events live: the [Store] interface,
// its contract and its errors. Package segment is the embedded implementation.
package store

import (
	"context"
	"errors"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
)

// Errors that callers tell apart.
var (
	// ErrFull means that the store can not take more events for the time being (no space, or
	// more unflushed data than the memory budget). Nothing of the call was stored; trying
	// again later may succeed.
	ErrFull = errors.New("store is full")
	// ErrClosed means that Close was called.
	ErrClosed = errors.New("store is closed")
)

// Store holds events. All methods may be called at once from many goroutines.
type Store interface {
	// Append stores batches: when it returns nil every event is durable (it survives the
	// death of the process and, as far as the disk keeps its word, of the machine) and
	// visible to every Query that begins afterwards. On an error none of the events is
	// acknowledged; some may still turn up. Append gives each event its Seq, which grows in
	// the order of the batches and their rows and is unique for the life of the store. The
	// batches belong to the store from then on. An empty call does nothing.
	Append(ctx context.Context, batches []*event.Batch) error

	// Query runs q on one snapshot: what was acknowledged before it began, each event once.
	Query(ctx context.Context, q *query.Query) (*query.Result, error)

	// Read calls visit with all rows that q's stages, which are Filters only, keep, a run at a
	// time, from several goroutines at once and in no particular order, on one snapshot like
	// Query's. What visit is given is good until it returns; its first error ends the read and
	// is returned. It is for readers of many rows of few fields.
	Read(ctx context.Context, q *query.Query, fields []string, visit func(*Rows) error) (query.Stats, error)

	// Columns lists the fields that the events of a dataset have, by name, then kind. Header
	// fields are not among them.
	Columns(ctx context.Context, ds event.DatasetID) ([]ColumnInfo, error)

	// Drop makes all events of the datasets vanish, durably and at once, those that a running
	// Append is about to store included. A DatasetID that was dropped takes no events again:
	// they are thrown away.
	Drop(ctx context.Context, datasets ...event.DatasetID) error

	// Retain makes events of the dataset with a $time older than age invisible from now on,
	// and has them removed in time. Zero is for ever. It is not durable: callers repeat it
	// after every start.
	Retain(ds event.DatasetID, age time.Duration)

	// Usage tells what is held.
	Usage() Usage

	// Close flushes and releases everything. Calls that run return ErrClosed or finish.
	Close() error
}

// Rows is a run of rows that a Read found.
type Rows struct {
	// Headers have Time, Seq, Trace, Span, Parent and Dataset of each row, the rest is not set.
	Headers []event.Header
	// Has tells of each field that was asked for whether any of the rows may have it.
	Has []bool
	// Value returns a field of a row; a string in it is good as long as the Rows are.
	Value func(row, field int) event.Value
}

// ColumnInfo is a field of a dataset.
type ColumnInfo struct {
	Name string
	Kind event.Kind
}

// Usage is what a store holds.
type Usage struct {
	// Events are those not yet physically removed.
	Events int64
	// Newest is the largest $time of them, dropped datasets left out; zero when there are none.
	Newest time.Time
	// DiskBytes counts segments and write-ahead log.
	DiskBytes int64
	// Segments counts segment files.
	Segments int
	// HeadEvents are those that only the write-ahead log keeps.
	HeadEvents int64
}
