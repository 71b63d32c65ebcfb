package cwslog

import (
	"cmp"
	"slices"
	"time"
)

// event is one log event on its way to a stream. at is in epoch milliseconds.
type event struct {
	stream string
	at     int64
	msg    string
}

func (e event) size() int { return len(e.msg) + EventOverhead }

// batch is what one PutLogEvents call carries: events of one stream in order
// of time, within the limits of the call.
type batch struct {
	stream string
	events []event
}

// expire removes the events that the service would refuse because of their
// time, keeping the order of the others.
func expire(events []event, now time.Time) (kept []event, old, early int) {
	oldest, latest := now.Add(-maxEventAge).UnixMilli(), now.Add(maxEventLead).UnixMilli()
	kept = make([]event, 0, len(events))
	for _, e := range events {
		switch {
		case e.at < oldest:
			old++
		case e.at > latest:
			early++
		default:
			kept = append(kept, e)
		}
	}
	return kept, old, early
}

// split arranges events into batches. Streams come in order of their first
// event; within a stream events are in order of time, and of arrival where
// times are equal.
func split(events []event) []batch {
	var streams []string
	byStream := map[string][]event{}
	for _, e := range events {
		if _, ok := byStream[e.stream]; !ok {
			streams = append(streams, e.stream)
		}
		byStream[e.stream] = append(byStream[e.stream], e)
	}
	var batches []batch
	for _, stream := range streams {
		rest := byStream[stream]
		slices.SortStableFunc(rest, func(a, b event) int { return cmp.Compare(a.at, b.at) })
		for len(rest) > 0 {
			n := fit(rest)
			batches = append(batches, batch{stream: stream, events: rest[:n]})
			rest = rest[n:]
		}
	}
	return batches
}

// fit returns how many of the sorted events, at least one, go into one call.
func fit(sorted []event) int {
	size := 0
	for i, e := range sorted {
		size += e.size()
		switch {
		case i == 0:
		case i == MaxBatchCount, size > MaxBatchBytes, e.at-sorted[0].at > maxBatchSpan.Milliseconds():
			return i
		}
	}
	return len(sorted)
}
