package xray

import "slices"

// maxCauses bounds the root causes of a kind that a trace is said to have.
const maxCauses = 5

// cause is a path of services and of the entities in them, from the entry to what failed or
// took the time.
type cause struct {
	services  []causeService
	impacting bool
}

type causeService struct {
	node
	inferred bool
	path     []causeEntity
}

type causeEntity struct {
	name       string
	exceptions []exception
	remote     bool
	coverage   float64
}

// below returns the entities directly below e.
func (e *entity) below() []*entity {
	return slices.Concat(e.children, e.calls)
}

// failures returns a cause for each deepest entity with a flag: the path of entities with the
// flag that leads to it.
func (t *trace) failures(account string, flagged func(*entity) bool) []cause {
	var out []cause
	t.each(func(e *entity) {
		if len(out) >= maxCauses || !flagged(e) || slices.ContainsFunc(e.below(), flagged) {
			return
		}
		var path []*entity
		for x := e; x != nil && flagged(x); x = x.up() {
			path = append(path, x)
		}
		slices.Reverse(path)
		c := cause{impacting: path[0] == t.entry}
		for i, x := range path {
			// A path that begins inside a segment still names the segment.
			if i == 0 && x.segment != x {
				c.services = append(c.services, t.causeService(x.segment, account))
				c.add(causeEntity{name: x.segment.name})
			}
			if x.segment == x {
				c.services = append(c.services, t.causeService(x, account))
			}
			c.add(causeEntity{name: x.name, exceptions: t.exceptionsOf(x), remote: x.namespace != ""})
		}
		out = append(out, c)
	})
	return out
}

func (t *trace) causeService(e *entity, account string) causeService {
	return causeService{node: e.node(account), inferred: e.inferred}
}

func (c *cause) add(e causeEntity) {
	s := &c.services[len(c.services)-1]
	s.path = append(s.path, e)
}

// slowest returns the path on which most of the time was spent: from the entry down to the
// longest part, as long as that covers at least half of what it is part of.
func (t *trace) slowest(account string) []cause {
	total := t.entry.duration()
	if total <= 0 {
		return nil
	}
	c := cause{impacting: true}
	for e, whole := t.entry, total; e != nil; {
		coverage := min(e.duration()/total, 1)
		if e.segment == e || len(c.services) == 0 {
			c.services = append(c.services, t.causeService(e, account))
		}
		c.add(causeEntity{name: e.name, coverage: coverage, remote: e.namespace != ""})
		whole = e.duration()
		var next *entity
		for _, x := range e.below() {
			if next == nil || x.duration() > next.duration() {
				next = x
			}
		}
		if next == nil || next.duration() < whole/2 {
			break
		}
		e = next
	}
	return []cause{c}
}

func isFault(e *entity) bool { return e.fault }

func isError(e *entity) bool { return e.isError }
