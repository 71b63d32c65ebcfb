// Command bench loads a trefoil of its own with realistic spans, log lines and segments and
// measures what that costs, beside a process that decodes the same requests and drops them
// and, when asked, beside other servers. Then it asks questions whose answers it knows: a
// wrong answer ends the run. docs/performance.md describes the load.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// The phases, in the order in which they run.
var phases = []string{"spans", "grpc", "records", "lines", "graph", "udp", "kill", "start"}

type bench struct {
	report
	binary   string
	dir      string
	window   window
	only     []string
	datagram int
	rate     int
	segments int
	rest     time.Duration
	sinkCPU  map[string]float64 // CPU seconds a million, by phase
	own      map[string]cost
}

// cost is what peers are compared with: CPU seconds a million events until they are flushed,
// bytes an event after compaction.
type cost struct{ cpu, disk float64 }

func main() {
	var b bench
	flag.StringVar(&b.binary, "trefoil", "bin/trefoil", "the trefoil `program`")
	flag.IntVar(&b.Spans, "spans", 5_000_000, "spans to send")
	flag.IntVar(&b.Lines, "lines", 5_000_000, "log lines to send by each protocol")
	flag.IntVar(&b.Senders, "senders", 8, "connections that send at once")
	flag.IntVar(&b.datagram, "datagrams", 200_000, "segment documents to send by UDP")
	flag.IntVar(&b.rate, "rate", 20_000, "datagrams a second")
	flag.IntVar(&b.segments, "segments", 200, "clean stops of the phase start, each of which leaves a segment")
	flag.DurationVar(&b.rest, "rest", 90*time.Second, "how long a server must rest after a load to have compacted everything: it merges what has been quiet for a minute")
	only := flag.String("only", strings.Join(phases, ","), "phases to run")
	keep := flag.Bool("keep", false, "leave the data folder and print where it is")
	data := flag.String("data", "", "ask the questions of a `folder` that was kept, without loading")
	asJSON := flag.Bool("json", false, "print JSON instead of a table")
	peers := flag.String("peers", "", "build other servers in this `folder` and measure them beside")
	sink := flag.String("sink", "", "decode and drop, with the addresses in this `file`; how the bench starts itself")
	flag.Parse()
	b.only = strings.Split(*only, ",")
	err := func() error {
		if *sink != "" {
			return serveSink(*sink)
		}
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		return b.run(ctx, *data, *peers, *keep, *asJSON)
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// manifest says what a kept folder holds.
type manifest struct {
	Window       window
	Spans, Lines int
}

func (b *bench) wants(phase string) bool { return slices.Contains(b.only, phase) }

func (b *bench) run(ctx context.Context, data, peers string, keep, asJSON bool) (err error) {
	for _, p := range b.only {
		if !slices.Contains(phases, p) {
			return fmt.Errorf("-only: there is no phase %q, only %s", p, strings.Join(phases, ", "))
		}
	}
	if b.Spans < 20*perRequest || b.Lines < 20*perRequest || b.Senders < 1 || b.datagram < 1 || b.rate < 1 {
		return fmt.Errorf("at least %d spans and lines, one sender, one datagram and one a second", 20*perRequest)
	}
	b.progress, b.Machine = os.Stderr, machine()
	b.sinkCPU, b.own = map[string]float64{}, map[string]cost{}
	if b.binary, err = filepath.Abs(b.binary); err != nil {
		return err
	}
	info, err := os.Stat(b.binary)
	if err != nil {
		return err
	}
	b.put("binary", "size", float64(info.Size())/1e6, "MB", "")
	if data != "" {
		err = b.again(ctx, data)
	} else {
		if b.dir, err = os.MkdirTemp("", "trefoil-bench-"); err != nil {
			return err
		}
		if keep {
			b.say("data in %s", b.dir)
		} else {
			defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
		}
		err = b.all(ctx, peers)
	}
	if err != nil {
		return err
	}
	if asJSON {
		return b.json(os.Stdout)
	}
	return b.table(os.Stdout)
}

// again asks the questions of a folder that an earlier run kept.
func (b *bench) again(ctx context.Context, dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, "bench.json"))
	if err != nil {
		return fmt.Errorf("-data: %w", err)
	}
	var m manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return fmt.Errorf("-data: bench.json: %w", err)
	}
	b.dir, b.window, b.Spans, b.Lines = dir, m.Window, m.Spans, m.Lines
	for _, l := range b.loads() {
		if _, err := os.Stat(filepath.Join(dir, l.phase)); err != nil || !b.wants(l.phase) || l.questions == nil {
			continue
		}
		c, err := newCorpus(b.window, l.rows, l.one)
		if err != nil {
			return err
		}
		if err := b.query(ctx, l, c); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) all(ctx context.Context, peers string) error {
	b.window = windowBefore(time.Now())
	text, err := json.Marshal(manifest{b.window, b.Spans, b.Lines})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(b.dir, "bench.json"), text, 0o644); err != nil {
		return err
	}
	for _, l := range b.loads() {
		if !b.wants(l.phase) {
			continue
		}
		c, err := newCorpus(b.window, l.rows, l.one)
		if err != nil {
			return err
		}
		if err := b.load(ctx, l, c); err != nil {
			return fmt.Errorf("%s: %w", l.phase, err)
		}
		if l.questions != nil {
			if err := b.query(ctx, l, c); err != nil {
				return fmt.Errorf("%s: %w", l.phase, err)
			}
		}
		if peers != "" && l.peer != nil {
			if err := b.beside(ctx, l, c, peers); err != nil {
				return fmt.Errorf("%s: %w", l.peer.name, err)
			}
		}
	}
	for _, p := range []struct {
		name string
		run  func(context.Context) error
	}{{"graph", b.graph}, {"udp", b.udp}, {"kill", b.kill}, {"start", b.start}} {
		if b.wants(p.name) {
			if err := p.run(ctx); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
		}
	}
	return nil
}
