package main

import (
	"fmt"
	"slices"
	"sync"
)

// state is what must be true of a batch.
type state uint8

const (
	// sent batches have no answer yet; afterwards they are unknown.
	sent state = iota
	// stored batches were acknowledged: all their events are there, once.
	stored
	// unknown batches got no answer, since the server ended: they are there whole or not at
	// all. What the next check finds stays true.
	unknown
	// gone batches were refused, or deleted with their group or stream, or expired.
	gone
)

func (s state) String() string { return []string{"sent", "stored", "unknown", "gone"}[s] }

// batch is what one request held.
type batch struct {
	id     int
	way    string // by which protocol
	events int
	state  state
	why    string // it is gone
	// group, stream and old are of log events: old ones are older than retentionDays.
	group, stream string
	old           bool
}

// ledger knows all batches by their ids, which count from 1.
type ledger struct {
	mu      sync.Mutex // guards below
	batches []*batch
}

// begin notes a batch that is about to be sent.
func (l *ledger) begin(b batch) *batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	b.id = len(l.batches) + 1
	l.batches = append(l.batches, &b)
	return &b
}

// end notes what became of a batch.
func (l *ledger) end(b *batch, s state, why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b.state, b.why = s, why
}

// remove makes the batches gone that match.
func (l *ledger) remove(why string, match func(*batch) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range l.batches {
		if b.state != gone && match(b) {
			b.state, b.why = gone, why
		}
	}
}

// pick returns a copy of the newest stored batch that matches and is not among the newest n of
// all that do.
func (l *ledger) pick(n int, match func(*batch) bool) (batch, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var last *batch
	for _, b := range slices.Backward(l.batches) {
		if b.state != stored || !match(b) {
			continue
		}
		last = b
		if n--; n < 0 {
			break
		}
	}
	if last == nil {
		return batch{}, false
	}
	return *last, true
}

// tally counts batches by state, and events that are stored.
type tally struct {
	states map[state]int
	events int
}

func (l *ledger) tally() tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := tally{states: map[state]int{}}
	for _, b := range l.batches {
		t.states[b.state]++
		if b.state == stored {
			t.events += b.events
		}
	}
	return t
}

// compare says where the events that were found, by batch, differ from the ledger. What it
// finds of unknown batches it notes. Nothing may be on its way.
func (l *ledger) compare(found map[int]int) (differences []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	differ := func(b *batch, n int, what string) {
		text := fmt.Sprintf("batch %d by %s, %s: %d of its %d events are there: %s", b.id, b.way, b.state, n, b.events, what)
		if b.group != "" {
			text += fmt.Sprintf(" (group %s, stream %s)", b.group, b.stream)
		}
		differences = append(differences, text)
	}
	for _, b := range l.batches {
		n := found[b.id]
		switch {
		case b.state == stored && n < b.events:
			differ(b, n, "lost")
		case b.state != gone && n > b.events:
			differ(b, n, "twice")
		case b.state == gone && n > 0:
			differ(b, n, "must be gone: "+b.why)
		case b.state == unknown || b.state == sent:
			switch n {
			case 0:
				b.state, b.why = gone, "had no answer and was not there at the next start"
			case b.events:
				b.state = stored
			default:
				differ(b, n, "in part")
			}
		}
	}
	for id := range found {
		if id < 1 || id > len(l.batches) {
			differences = append(differences, fmt.Sprintf("batch %d was never sent, and %d events are there", id, found[id]))
		}
	}
	return differences
}
