package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"
)

const (
	// graphRange is the range of the service graph that is asked for, graphLag how long before now
	// its last spans are.
	graphRange = 6 * time.Hour
	graphLag   = 10 * time.Minute
	// graphBar is what is aimed at for a graph, in ms.
	graphBar = 200
	// keptWithin is how long a server is at rest that has nothing left to keep: it keeps minutes of
	// the graph every minute, when nothing arrived for a minute.
	keptWithin = 150 * time.Second
)

// graph sends all spans into the last hours and asks for the service graph of these, once the
// server has kept the minutes of it in the background.
func (b *bench) graph(ctx context.Context) error {
	now := time.Now().UTC().Truncate(time.Minute)
	c, err := newCorpus(window{now.Add(-graphRange), now.Add(-graphLag)}, b.Spans, spanTemplate)
	if err != nil {
		return err
	}
	b.say("graph: %d spans in the last %v", c.rows(), graphRange)
	data := filepath.Join(b.dir, "graph")
	s, err := startTrefoil(b.binary, data)
	if err != nil {
		return err
	}
	defer s.kill()
	out, err := drive(ctx, c, postOTLP(b.Senders, "http://"+s.OTLPHTTP+"/v1/traces"))
	if err != nil {
		return err
	}
	acked := s.cpu()
	b.atLeast("graph", "speed", float64(c.rows())/out.wall.Seconds(), "/s", 100_000, "")
	if err := s.forgetPeak(); err != nil {
		return err
	}
	if !s.settle(data, keptWithin) {
		b.say("graph: the server is not idle, the graph is measured all the same")
	}
	b.put("graph", "CPU after the last acknowledgement", million(s.cpu()-acked, c.rows()), "CPU-s/M", "to flush, to merge and to keep the minutes")
	b.atMost("graph", "peak resident while keeping", s.memory("VmHWM"), "MB", 400, "")
	a := asker{"http://" + s.HTTP}
	q := question{name: fmt.Sprintf("service graph, %v", graphRange), ask: func(ctx context.Context, _ int) ([]byte, error) {
		return ask(ctx, a.base+"/ServiceGraph", nil, fmt.Sprintf(`{"StartTime":%d,"EndTime":%d}`, now.Add(-graphRange).Unix(), now.Unix()))
	}, check: graph(factsOfSpans(c))}
	t, err := q.measure(ctx)
	if err != nil {
		return err
	}
	b.atMost("graph", q.name+", first", t.first, "ms", graphBar, "")
	b.atMost("graph", q.name, t.median, "ms", graphBar, "worst "+short(t.worst))
	_, err = s.stop()
	return err
}
