package xray

import (
	"time"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
)

// SummariesInput asks for the traces that are active in [From, To).
type SummariesInput struct {
	From, To time.Time
	// Filter is a filter expression; empty takes every trace.
	Filter string
	// Limit is the largest number of traces; 0 means 100.
	Limit int
	// Cursor continues where a page ended.
	Cursor string
}

// SummariesPage is a page of traces, the newest first.
type SummariesPage struct {
	Traces []Summary
	// NextCursor continues the list; empty at its end.
	NextCursor string
	// Seen counts the traces looked at, those that the filter left out included.
	Seen  int
	Stats query.Stats
}

// Summary describes a trace.
type Summary struct {
	ID       event.TraceID
	Start    time.Time
	Duration time.Duration
	// RootName is the name of the request: of the root span, else the root segment.
	RootName, RootService string
	// Method, URL and Status are the root's; empty and 0 when unknown.
	Method, URL string
	Status      int
	// Spans counts spans, segments and subsegments, Logs log lines.
	Spans, Logs int
	// Error, Fault and Throttle report whether any segment or subsegment has the flag.
	Error, Fault, Throttle bool
	// Partial reports whether the trace is not complete yet.
	Partial bool
	// Sources holds otlp, events and xray, as far as spans came by them; Services the names
	// of the services.
	Sources, Services []string
}

// GraphInput asks for the service graph of the traces that are active in [From, To).
type GraphInput struct {
	From, To time.Time
	// Filter is a filter expression; empty takes every trace.
	Filter string
}

// Graph is a service graph.
type Graph struct {
	Nodes []Node
	Edges []Edge
	Stats query.Stats
}

// Node is a service, a resource that services call, or the clients of one ("client").
type Node struct {
	ID         int
	Name, Type string
	// Root reports whether requests enter here.
	Root   bool
	Counts Counts
}

// Edge is the calls of one node to another, by their IDs, or the links from what one sent to
// what the other received.
type Edge struct {
	Source, Target int
	Link           bool
	Counts         Counts
}

// Counts are requests; each is counted once, as a fault, a throttle, an error or well.
type Counts struct {
	Total, OK, Errors, Faults, Throttles int
	// ResponseTime is the sum over all requests.
	ResponseTime time.Duration
}

// Document is one segment as BatchGetTraces answers it.
type Document struct {
	ID, Name string
	// Raw is a JSON object.
	Raw []byte
}
