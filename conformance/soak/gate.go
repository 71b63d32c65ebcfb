package main

import "sync"

// gate lets work in while the server is up. Closing it waits for what is inside to come out.
type gate struct {
	mu     sync.Mutex // guards below
	change *sync.Cond
	open   bool
	ended  bool
	inside int
	times  int // it was opened
}

func newGate() *gate {
	g := &gate{}
	g.change = sync.NewCond(&g.mu)
	return g
}

// enter waits until the gate is open and reports whether there is more to do.
func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for !g.open && !g.ended {
		g.change.Wait()
	}
	if g.ended {
		return false
	}
	g.inside++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	g.change.Broadcast()
}

// rest leaves, and waits until the gate is opened again.
func (g *gate) rest() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	g.change.Broadcast()
	for now := g.times; g.times == now && !g.ended; {
		g.change.Wait()
	}
}

func (g *gate) reopen() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = true
	g.times++
	g.change.Broadcast()
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = false
	for g.inside > 0 {
		g.change.Wait()
	}
}

// end shuts the gate for good.
func (g *gate) end() {
	g.shut()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ended = true
	g.change.Broadcast()
}
