// Command soak sends mixed load to one data folder for minutes, while groups and streams are
// made and deleted, retention is set, and the server is ended, as a user does it and as a power
// cut does. A ledger knows what was acknowledged and what must be gone; after each start and at
// the end the events of every batch are counted, and must be as the ledger says.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

func main() {
	binary := flag.String("trefoil", "bin/trefoil", "the trefoil `program`")
	length := flag.Duration("for", 10*time.Minute, "how long")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "of what is random; the timing of a run is not repeated by it")
	pace := flag.Duration("pace", 60*time.Millisecond, "pause of each of the eight senders between requests")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *binary, *length, *pace, *seed); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "soak: "+format+"\n", args...) }

func run(ctx context.Context, binary string, length, pace time.Duration, seed uint64) (err error) {
	if length <= 0 || pace <= 0 {
		return errors.New("-for and -pace must be positive")
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if binary, err = filepath.Abs(binary); err != nil {
		return err
	}
	data, err := os.MkdirTemp("", "trefoil-soak-")
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(data, "server.log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	say("seed %d, data in %s", seed, data)
	s := &soak{server: &server{binary: binary, data: data, log: log}, gate: newGate(), failed: cancel}
	for i := range groups {
		s.groups = append(s.groups, &group{name: fmt.Sprintf("soak-logs-%d", i)})
	}
	if err := s.server.start(); err != nil {
		return err
	}
	defer func() { _ = s.server.signal(syscall.SIGKILL) }() // when an error ends the run early
	var wg sync.WaitGroup
	rnd := rand.New(rand.NewPCG(seed, 0))
	works := []struct {
		n    int
		pace time.Duration
		do   func(context.Context, *rand.Rand) error
	}{{2, pace, s.spans}, {2, pace, s.events}, {2, pace, s.segments}, {2, pace, s.lines}, {1, pace, s.change}, {1, pace, s.askHoneycomb}, {1, pace, s.askXRay}, {1, pace, s.askInsights}}
	for _, w := range works {
		for range w.n {
			own := rand.New(rand.NewPCG(rnd.Uint64(), 1))
			wg.Go(func() { s.work(ctx, w.pace, own, w.do) })
		}
	}
	s.gate.reopen()
	err = s.rounds(ctx, length, rnd)
	s.gate.end()
	cancel(nil)
	wg.Wait()
	if err != nil {
		say("the data folder and the server's log are left in %s", data)
		return err
	}
	return os.RemoveAll(data)
}

// work does one kind of work again and again while the server is up.
func (s *soak) work(ctx context.Context, pace time.Duration, rnd *rand.Rand, do func(context.Context, *rand.Rand) error) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !s.gate.enter() {
			return
		}
		err := do(ctx, rnd)
		bad := wrong{}
		switch {
		case err == nil:
			s.gate.leave()
		case errors.As(err, &bad) && !(bad.status >= 500 && s.ending.Load()):
			s.gate.leave()
			s.failed(err)
			return
		default: // no answer: the server ended, and the gate says when it is back
			s.gate.rest()
		}
	}
}

// rounds ends the server at random times and checks after each start.
func (s *soak) rounds(ctx context.Context, length time.Duration, rnd *rand.Rand) error {
	end := time.Now().Add(length)
	// Short runs have restarts too.
	longest := min(30*time.Second, length/4)
	for round := 1; ; round++ {
		last := false
		up := longest/4 + time.Duration(rnd.Int64N(int64(longest)))
		if left := time.Until(end); up >= left-time.Second {
			up, last = max(left, 0), true
		}
		select {
		case <-time.After(up):
		case <-ctx.Done():
			s.gate.shut()
			return context.Cause(ctx)
		case err := <-s.server.exited:
			s.server.exited <- err
			s.gate.shut()
			return fmt.Errorf("the server ended by itself: %w", err)
		}
		sig := syscall.SIGTERM
		if rnd.IntN(2) == 0 && !last {
			sig = syscall.SIGKILL
		}
		s.ending.Store(true)
		if err := s.server.signal(sig); err != nil {
			return err
		}
		err := s.server.wait(sig)
		s.gate.shut()
		if err != nil {
			return err
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
		began := time.Now()
		if err := s.server.start(); err != nil {
			return err
		}
		started := time.Since(began)
		if err := s.check(ctx); err != nil {
			return fmt.Errorf("after %v of round %d: %w", sig, round, err)
		}
		n := s.ledger.tally()
		s.mu.Lock()
		say("round %d: %v, up %.1f s, started in %.2f s, checked in %.2f s: %d batches stored, %d gone, %d events, %d queries, %d changes: as the ledger says",
			round, sig, up.Seconds(), started.Seconds(), (time.Since(began) - started).Seconds(), n.states[stored], n.states[gone], n.events, s.queries, s.changes)
		s.mu.Unlock()
		if last || time.Until(end) < time.Second {
			if err := s.server.signal(syscall.SIGTERM); err != nil {
				return err
			}
			return s.server.wait(syscall.SIGTERM)
		}
		s.ending.Store(false)
		s.gate.reopen()
	}
}

// check compares everything with the ledger; nothing else is going on.
func (s *soak) check(ctx context.Context) error {
	if err := s.resolve(ctx); err != nil {
		return err
	}
	found, events, err := s.all(ctx, len(s.ledger.batches))
	if err != nil {
		return err
	}
	list := s.ledger.compare(found)
	if n := s.ledger.tally().events; len(list) == 0 && n != events {
		list = append(list, fmt.Sprintf("%d events are there in all, the ledger has %d", events, n))
	}
	if len(list) == 0 {
		return nil
	}
	const most = 20
	for _, d := range list[:min(len(list), most)] {
		say("%s", d)
	}
	return fmt.Errorf("%d differences from the ledger", len(list))
}
