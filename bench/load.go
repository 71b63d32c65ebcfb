package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"
)

// load is a way in and what is aimed at.
type load struct {
	phase string
	noun  string // of what is sent
	rows  int
	one   func(i int) (*template, error)
	// senders are made for a server, or for the sink. prepare makes ready what they need.
	senders   func(s *subject, n int) ([]send, func(), error)
	prepare   func(ctx context.Context, s *subject) error
	questions func(a asker, c *corpus) []question
	peer      *peer
	// bars; zero is none
	flushed, compacted, speed, disk float64
}

func noEnd() {}

func (b *bench) loads() []load {
	http := func(path string) func(*subject, int) ([]send, func(), error) {
		return func(s *subject, n int) ([]send, func(), error) {
			return postOTLP(n, "http://"+s.OTLPHTTP+path), noEnd, nil
		}
	}
	return []load{
		{
			phase: "spans", noun: "span", rows: b.Spans, one: spanTemplate, senders: http("/v1/traces"), questions: spanQuestions, peer: &victoriaTraces,
			flushed: 12, compacted: 17.5, speed: 100_000, disk: 84,
		},
		{
			phase: "grpc", noun: "span", rows: max(20*perRequest, b.Spans/5), one: spanTemplate,
			senders: func(s *subject, n int) ([]send, func(), error) { return export(n, s.OTLPGRPC) },
			flushed: 12, compacted: 17.5, speed: 100_000, disk: 84,
		},
		{
			phase: "records", noun: "OTLP log record", rows: b.Lines, one: otlpLines, senders: http("/v1/logs"), questions: recordQuestions, peer: &victoriaLogs,
			flushed: 6, disk: 69,
		},
		{
			phase: "lines", noun: "line by PutLogEvents", rows: b.Lines, one: putLines, questions: lineQuestions, prepare: makeGroup,
			senders: func(s *subject, n int) ([]send, func(), error) {
				return postLogEvents(n, "http://"+s.HTTP), noEnd, nil
			},
			flushed: 6, disk: 69,
		},
	}
}

// makeGroup makes the log group and its streams.
func makeGroup(ctx context.Context, s *subject) error {
	base := "http://" + s.HTTP + "/"
	if _, err := ask(ctx, base, awsHeaders("CreateLogGroup"), fmt.Sprintf(`{"logGroupName":%q}`, logGroup)); err != nil {
		return err
	}
	for i := range streams {
		if _, err := ask(ctx, base, awsHeaders("CreateLogStream"), fmt.Sprintf(`{"logGroupName":%q,"logStreamName":"task-%d"}`, logGroup, i)); err != nil {
			return err
		}
	}
	return nil
}

func million(cpu float64, rows int) float64 { return cpu * 1e6 / float64(rows) }

// drain sends a load to the sink and notes what that costs.
func (b *bench) drain(ctx context.Context, l load, c *corpus) error {
	s, err := startSink(filepath.Join(b.dir, "sink"))
	if err != nil {
		return err
	}
	defer s.kill()
	list, end, err := l.senders(s, b.Senders)
	if err != nil {
		return err
	}
	out, err := drive(ctx, c, list)
	end()
	if err != nil {
		return err
	}
	cpu, err := s.stop()
	if err != nil {
		return err
	}
	b.sinkCPU[l.phase] = million(cpu, c.rows())
	b.put(l.phase, "decode and drop", b.sinkCPU[l.phase], "CPU-s/M", fmt.Sprintf("%s/s", short(float64(c.rows())/out.wall.Seconds())))
	return nil
}

// load measures one way in: the CPU until the last acknowledgement, until everything is in
// segments, until nothing is left to do; speed, memory, disk.
func (b *bench) load(ctx context.Context, l load, c *corpus) error {
	b.say("%s: %d, %.0f bytes each on the wire", l.phase, c.rows(), c.wire())
	if err := b.drain(ctx, l, c); err != nil {
		return fmt.Errorf("decode and drop: %w", err)
	}
	data := filepath.Join(b.dir, l.phase)
	events := filepath.Join(data, "events")
	s, err := startTrefoil(b.binary, data)
	if err != nil {
		return err
	}
	defer func() { s.kill() }() // when an error ends the run early
	if l.prepare != nil {
		if err := l.prepare(ctx, s); err != nil {
			return err
		}
	}
	list, end, err := l.senders(s, b.Senders)
	if err != nil {
		return err
	}
	if err := s.forgetPeak(); err != nil {
		return err
	}
	s.cpu0 = s.cpu()
	out, err := drive(ctx, c, list)
	end()
	if err != nil {
		return err
	}
	acked, peak := s.cpu()-s.cpu0, s.memory("VmHWM")
	flushed, err := s.stop()
	if err != nil {
		return err
	}
	n := c.rows()
	stopped := contentOf(events)
	took := cost{cpu: million(flushed, n)}
	note := ""
	if out.retries > 0 {
		note = fmt.Sprintf("%d requests were asked to wait", out.retries)
	}
	b.put(l.phase, "on the wire", float64(out.bytes)/float64(n), "B a "+l.noun, "")
	b.put(l.phase, "CPU until the last acknowledgement", million(acked, n), "CPU-s/M", "")
	b.atMost(l.phase, "CPU until flushed", took.cpu, "CPU-s/M", l.flushed, "")
	b.put(l.phase, "… over decode and drop", took.cpu/b.sinkCPU[l.phase], "times", "")
	b.atLeast(l.phase, "speed", float64(n)/out.wall.Seconds(), "/s", l.speed, note)
	b.put(l.phase, "CPU of the client", million(out.client, n), "CPU-s/M", "")
	b.atMost(l.phase, "peak resident while ingesting", peak, "MB", 400, "")
	b.put(l.phase, "disk after a clean stop", float64(stopped.bytes)/float64(n), "B", fmt.Sprintf("%d files", stopped.files))

	// Whatever is merged later is merged now.
	if s, err = startTrefoil(b.binary, data); err != nil {
		return err
	}
	segments := contentOf(filepath.Join(events, "segments"))
	b.atMost(l.phase, "start with the data", float64(s.took.Microseconds())/1000, "ms", 1000, fmt.Sprintf("%d segment files", segments.files))
	note = ""
	if !s.settle(events, b.rest) {
		note = fmt.Sprintf("not idle after %v", idleLimit)
	}
	peak = s.memory("VmHWM")
	more, err := s.stop()
	if err != nil {
		return err
	}
	idle := contentOf(events)
	took.disk = float64(idle.bytes) / float64(n)
	merged := contentOf(filepath.Join(events, "segments")).files
	if merged >= segments.files && note == "" {
		note = "nothing was merged: so few segments wait for more"
	}
	b.own[l.phase] = took
	b.atMost(l.phase, "CPU until flushed and compacted", million(flushed+more, n), "CPU-s/M", l.compacted, note)
	b.atMost(l.phase, "peak resident while compacting", peak, "MB", 400, "")
	b.atMost(l.phase, "disk after compaction", took.disk, "B a "+l.noun, l.disk, fmt.Sprintf("%d segment files of %d", merged, segments.files))
	return nil
}

// query asks the questions of a load.
func (b *bench) query(ctx context.Context, l load, c *corpus) error {
	s, err := startTrefoil(b.binary, filepath.Join(b.dir, l.phase))
	if err != nil {
		return err
	}
	defer s.kill()
	// What is done in the background after a start is not the questions' cost.
	if !s.settle(filepath.Join(b.dir, l.phase, "events"), shortly) {
		b.say("%s: the server is not idle, queries are measured all the same", l.phase)
	}
	if err := s.forgetPeak(); err != nil {
		return err
	}
	list := l.questions(asker{"http://" + s.HTTP}, c)
	if err := b.ask(ctx, l.phase, list); err != nil {
		return err
	}
	b.atMost(l.phase, "peak resident while querying", s.memory("VmHWM"), "MB", 400, "")
	_, err = s.stop()
	return err
}

func (b *bench) ask(ctx context.Context, group string, list []question) error {
	for _, q := range list {
		t, err := q.measure(ctx)
		if err != nil {
			return err
		}
		note := "first " + short(t.first) + ", worst " + short(t.worst)
		if q.variants > 1 {
			note += fmt.Sprintf(" of %d", q.variants)
		}
		b.atMost(group, q.name, t.median, "ms", q.bar, note)
		b.say("%s: %s: %s ms (%s)", group, q.name, short(t.median), note)
	}
	return nil
}

// udp sends documents at a fixed rate and counts what arrived.
func (b *bench) udp(ctx context.Context) error {
	data := filepath.Join(b.dir, "udp")
	s, err := startTrefoil(b.binary, data)
	if err != nil {
		return err
	}
	defer s.kill()
	d := newDatagrams(b.window, b.datagram)
	out, err := shoot(ctx, d, s.XRay, b.rate)
	if err != nil {
		return err
	}
	if !s.settle(filepath.Join(data, "events"), shortly) {
		return fmt.Errorf("the server is not idle after %v", idleLimit)
	}
	spec := fmt.Sprintf(`{"dataset":"xray","start_time":%d,"end_time":%d,"filters":[{"column":"is_root","op":"=","value":true}],"calculations":[{"op":"COUNT"}]}`, b.window.From.Unix(), b.window.To.Unix()+3600)
	found, err := count(ctx, s, spec)
	if err != nil {
		return err
	}
	// The server's own counters must tell the same.
	text, err := ask(ctx, "http://"+s.HTTP+"/api/status", nil, "")
	if err != nil {
		return err
	}
	var status struct {
		Daemon struct {
			Received, Spilled int
			Rejected          map[string]int
		} `json:"xray_daemon"`
	}
	if err := json.Unmarshal(text, &status); err != nil {
		return err
	}
	if c := status.Daemon; c.Received-c.Spilled != found || c.Received > d.count || len(c.Rejected) > 0 {
		return fmt.Errorf("%d documents of %d are there, the server counts %+v", found, d.count, c)
	}
	cpu, err := s.stop()
	if err != nil {
		return err
	}
	b.put("udp", "on the wire", float64(out.bytes)/float64(d.count), "B a document", "")
	b.put("udp", "rate", float64(d.count)/out.wall.Seconds(), "/s", "")
	b.none("udp", "lost", float64(d.count-found), "documents", fmt.Sprintf("of %d", d.count))
	b.put("udp", "CPU until flushed", million(cpu, d.count), "CPU-s/M", "")
	b.put("udp", "CPU of the client", million(out.client, d.count), "CPU-s/M", "")
	b.put("udp", "disk after a clean stop", float64(contentOf(filepath.Join(data, "events")).bytes)/float64(d.count), "B a document", "")
	return nil
}

// count asks the console for a number of events.
func count(ctx context.Context, s *subject, spec string) (int, error) {
	text, err := ask(ctx, "http://"+s.HTTP+"/api/query", nil, spec)
	if err != nil {
		return 0, err
	}
	var a struct{ Results []cells }
	if err := json.Unmarshal(text, &a); err != nil || len(a.Results) == 0 {
		return 0, err
	}
	return int(a.Results[0].number("COUNT")), nil
}

var errKilled = errors.New("killed")

// killing wraps senders: after as many acknowledgements as half the load has requests, the
// server is killed. It returns how many there were.
func killing(list []send, s *subject, after int64) ([]send, *atomic.Int64) {
	var acked atomic.Int64
	for i, one := range list {
		list[i] = func(ctx context.Context, body []byte) error {
			if err := one(ctx, body); err != nil {
				return fmt.Errorf("%w: %w", errKilled, err)
			}
			if acked.Add(1) == after {
				_ = s.cmd.Process.Kill()
			}
			return nil
		}
	}
	return list, &acked
}

func killNote(sent int, out outcome) string {
	return fmt.Sprintf("of %d in %.1f s", sent, out.wall.Seconds())
}

// kill counts what a kill -9 in the middle of a load costs.
func (b *bench) kill(ctx context.Context) error {
	c, err := newCorpus(b.window, min(b.Spans, 500_000), spanTemplate)
	if err != nil {
		return err
	}
	data := filepath.Join(b.dir, "kill")
	s, err := startTrefoil(b.binary, data)
	if err != nil {
		return err
	}
	defer func() { s.kill() }()
	list, acked := killing(postOTLP(b.Senders, "http://"+s.OTLPHTTP+"/v1/traces"), s, int64(c.requests/2))
	out, err := drive(ctx, c, list)
	if !errors.Is(err, errKilled) {
		return fmt.Errorf("the load went on after the kill: %w", err)
	}
	s.kill()
	if s, err = startTrefoil(b.binary, data); err != nil {
		return err
	}
	spec := fmt.Sprintf(`{"dataset":"__all__","start_time":%d,"end_time":%d,"calculations":[{"op":"COUNT"}]}`, b.window.From.Unix(), b.window.To.Unix()+3600)
	found, err := count(ctx, s, spec)
	if err != nil {
		return err
	}
	sent := int(acked.Load()) * perRequest
	if most := sent + b.Senders*perRequest; found > most {
		return fmt.Errorf("%d spans are there, at most %d were sent", found, most)
	}
	b.none("kill -9", "acknowledged spans lost", float64(max(0, sent-found)), "", killNote(sent, out))
	b.put("kill -9", "start afterwards", float64(s.took.Microseconds())/1000, "ms", "")
	_, err = s.stop()
	return err
}

// start measures a start with many segments. No setting makes segments small, so that each
// comes of a clean stop.
func (b *bench) start(ctx context.Context) error {
	c, err := newCorpus(b.window, max(20, b.segments)*perRequest, spanTemplate)
	if err != nil {
		return err
	}
	data := filepath.Join(b.dir, "start")
	var buf []byte
	for n := range b.segments {
		s, err := startTrefoil(b.binary, data)
		if err != nil {
			return err
		}
		buf = c.fill(buf, n)
		err = postOTLP(1, "http://"+s.OTLPHTTP+"/v1/traces")[0](ctx, buf)
		if _, stopErr := s.stop(); err == nil {
			err = stopErr
		}
		if err != nil {
			s.kill()
			return err
		}
	}
	files := contentOf(filepath.Join(data, "events", "segments")).files
	var best time.Duration
	for range 3 {
		s, err := startTrefoil(b.binary, data)
		if err != nil {
			return err
		}
		if best == 0 || s.took < best {
			best = s.took
		}
		if _, err := s.stop(); err != nil {
			return err
		}
	}
	b.atMost("start", fmt.Sprintf("after %d clean stops", b.segments), float64(best.Microseconds())/1000, "ms", 1000, fmt.Sprintf("best of 3, %d segment files", files))
	return nil
}
