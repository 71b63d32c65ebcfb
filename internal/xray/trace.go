package xray

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/trefoil-o11y/trefoil/internal/event"
)

// entity is a segment or subsegment in its place in a trace.
type entity struct {
	*document
	// parent is the entity that a subsegment is in, caller the one that called a segment.
	parent, caller *entity
	children       []*entity
	// calls are the segments that a subsegment (or a segment by itself) called.
	calls    []*entity
	segment  *entity // the segment that it is in; itself for a segment
	inferred bool
	// last is the latest end of the entity and of the subsegments in it.
	last float64
	// attached reports whether a subsegment came in a document of its own.
	attached bool
}

// trace is one trace, assembled.
type trace struct {
	id event.TraceID
	// segments are its segments, inferred ones included, and the subsegments whose parents are
	// not known, by their starts.
	segments []*entity
	entry    *entity
	entities spanIndex
	// room is for entities to come.
	room []entity
	// start and end span every entity; an entity in progress ends where it starts.
	start, end float64
	partial    bool
	revision   int
	spans      int
	logs       int
	sources    sources
	links      bool // whether anything in it has any
	// insights are the ids of those that the trace is a part of, as far as they were asked for.
	insights []string
	// causes maps the ids of exceptions to them.
	causes map[string]exception
}

// sources are the ways in that a trace came by.
type sources uint8

const (
	fromOTLP sources = 1 << iota
	fromEvents
	fromXRay
)

// spanIndex finds entities by their ids. It is a map that is made for few, in one piece.
type spanIndex struct {
	slots []*entity // by a hash of the id, else in the next free one; half of them are free
	n     int
}

func newSpanIndex(n int) spanIndex {
	return spanIndex{slots: make([]*entity, 2<<bits.Len(uint(n)))}
}

// hashSeed keeps the ids of a sender from being chosen for their slots.
var hashSeed = rand.Uint64() | 1

// slot returns where an id is, or would be.
func (x *spanIndex) slot(id event.SpanID) int {
	at := int(binary.LittleEndian.Uint64(id[:]) * hashSeed >> 32)
	for ; ; at++ {
		at &= len(x.slots) - 1
		if e := x.slots[at]; e == nil || e.id == id {
			return at
		}
	}
}

func (x *spanIndex) get(id event.SpanID) *entity { return x.slots[x.slot(id)] }

// put sets the entity of its id.
func (x *spanIndex) put(e *entity) {
	at := x.slot(e.id)
	if x.slots[at] == nil {
		if x.n++; 2*x.n > len(x.slots) {
			old := x.slots
			x.slots = make([]*entity, 2*len(old))
			for _, o := range old {
				if o != nil {
					x.slots[x.slot(o.id)] = o
				}
			}
			at = x.slot(e.id)
		}
	}
	x.slots[at] = e
}

// up returns the entity above e, nil at the top of the trace.
func (e *entity) up() *entity {
	if e.parent != nil {
		return e.parent
	}
	return e.caller
}

// under reports whether e is x or below it.
func (e *entity) under(x *entity) bool {
	for ; e != nil; e = e.up() {
		if e == x {
			return true
		}
	}
	return false
}

// walk visits e and the subsegments in it.
func (e *entity) walk(visit func(*entity)) {
	visit(e)
	for _, c := range e.children {
		c.walk(visit)
	}
}

func (e *entity) duration() float64 { return max(e.end-e.start, 0) }

func (t *trace) each(visit func(*entity)) {
	for _, s := range t.segments {
		s.walk(visit)
	}
}

// assemble puts documents of one trace together; nil when there are none. Of several versions
// of a document a complete one is taken before one in progress, then the newest.
func assemble(id event.TraceID, docs []*document) *trace {
	if len(docs) == 0 {
		return nil
	}
	t := &trace{id: id, entities: newSpanIndex(len(docs)), revision: len(docs), room: make([]entity, len(docs))}
	tops := slices.Clone(docs)
	slices.SortStableFunc(tops, func(a, b *document) int { return compareIDs(a.id, b.id) })
	n := 0
	for _, d := range tops {
		switch {
		case d.span == nil:
			t.sources |= fromXRay
		case d.span.otlp:
			t.sources |= fromOTLP
		default:
			t.sources |= fromEvents
		}
		if n > 0 && tops[n-1].id == d.id {
			if better(d, tops[n-1]) {
				tops[n-1] = d
			}
			continue
		}
		tops[n] = d
		n++
	}
	tops = tops[:n]
	slices.SortFunc(tops, func(a, b *document) int {
		switch {
		case a.start < b.start:
			return -1
		case a.start > b.start:
			return 1
		}
		return compareIDs(a.id, b.id)
	})
	t.place(tops)
	t.infer()
	t.measure()
	return t
}

func compareIDs(a, b event.SpanID) int {
	return cmp.Compare(binary.BigEndian.Uint64(a[:]), binary.BigEndian.Uint64(b[:]))
}

// entity returns a new one.
func (t *trace) entity(d *document) *entity {
	if len(t.room) == 0 {
		t.room = make([]entity, 16)
	}
	e := &t.room[0]
	t.room = t.room[1:]
	e.document = d
	t.links = t.links || len(d.links) > 0
	return e
}

func better(a, b *document) bool {
	if a.inProgress != b.inProgress {
		return b.inProgress
	}
	if (a.span == nil) != (b.span == nil) {
		return a.span == nil
	}
	return a.seq > b.seq
}

// place builds the tree: embedded subsegments in their documents, independent ones at their
// parents, segments at their callers.
func (t *trace) place(docs []*document) {
	tops := make([]*entity, len(docs))
	for i, d := range docs {
		tops[i] = t.entity(d)
		t.entities.put(tops[i])
	}
	for _, e := range tops {
		if len(e.document.children) > 0 && t.entities.get(e.id) == e {
			t.embed(e)
		}
	}
	for _, e := range tops {
		if t.entities.get(e.id) != e {
			continue // an embedded version took its place
		}
		parent := t.entities.get(e.document.parent)
		switch {
		case e.document.parent.IsZero() || parent == nil || parent.under(e):
			t.segments = append(t.segments, e)
		case e.sub:
			e.parent, e.attached = parent, true
			parent.children = append(parent.children, e)
		default:
			e.caller = parent
			parent.calls = append(parent.calls, e)
			t.segments = append(t.segments, e)
		}
	}
}

// embed makes entities of the subsegments in a document. One that also came by itself stays
// out, unless only the embedded version is complete.
func (t *trace) embed(e *entity) {
	for _, d := range e.document.children {
		if other := t.entities.get(d.id); other != nil && (other.parent != nil || !other.sub || !other.inProgress || d.inProgress) {
			continue
		}
		c := t.entity(d)
		c.parent = e
		t.entities.put(c)
		e.children = append(e.children, c)
		t.embed(c)
	}
}

// infer adds a segment for every call of which the other side sent none.
func (t *trace) infer() {
	var added []*entity
	t.each(func(e *entity) {
		if !e.sub || e.namespace == "" || len(e.calls) > 0 || e.http.traced {
			return
		}
		d := &document{
			like: e.like, trace: t.id, parent: e.id, name: e.name, start: e.start, end: e.end, inProgress: e.inProgress, isError: e.isError, fault: e.fault, throttle: e.throttle,
			origin: inferredOrigin(e.document), http: e.http, aws: e.aws, sql: e.sql, causeID: e.causeID, exceptions: e.exceptions,
		}
		if e.like == nil { // nobody asks for the id of an outline
			sum := sha256.Sum256(append(t.id[:], e.id[:]...))
			copy(d.id[:], sum[:])
		}
		in := &entity{document: d, caller: e, inferred: true}
		e.calls = append(e.calls, in)
		added = append(added, in)
	})
	t.segments = append(t.segments, added...)
}

func inferredOrigin(d *document) string {
	if d.namespace != "aws" {
		if len(d.sql) > 0 {
			return "Database::SQL"
		}
		return "remote"
	}
	has := func(name string) bool { return fieldText(d.aws, name) != "" }
	switch {
	case d.name == "DynamoDB" && has("table_name"):
		return "AWS::DynamoDB::Table"
	case d.name == "SQS" && has("queue_url"):
		return "AWS::SQS::Queue"
	case d.name == "S3" && has("bucket_name"):
		return "AWS::S3::Bucket"
	case d.name == "Lambda" && has("function_name"):
		return "AWS::Lambda::Function"
	}
	return "AWS::" + d.name
}

// measure finds the trace's bounds, its entry, and what each entity belongs to.
func (t *trace) measure() {
	slices.SortStableFunc(t.segments, func(a, b *entity) int { return cmp.Compare(a.start, b.start) })
	t.start = t.segments[0].start
	for _, s := range t.segments {
		s.settle(s)
		t.end = max(t.end, s.last)
		if s.caller == nil && (t.entry == nil || t.entry.sub && !s.sub) {
			t.entry = s
		}
		if s.sub {
			t.partial = true
		}
	}
	t.each(func(e *entity) {
		t.start = min(t.start, e.start)
		if !e.inferred && !e.synthetic {
			t.spans++
		}
		if e.inProgress || e.sub && e.http.traced && len(e.calls) == 0 {
			t.partial = true
		}
		for _, x := range e.exceptions {
			if x.id != "" {
				if t.causes == nil {
					t.causes = map[string]exception{}
				}
				t.causes[x.id] = x
			}
		}
	})
	if t.entry == nil {
		t.entry = t.segments[0]
	}
}

// settle sets segment and last below e.
func (e *entity) settle(segment *entity) {
	e.segment = segment
	e.last = max(e.start, e.end)
	for _, c := range e.children {
		c.settle(segment)
		e.last = max(e.last, c.last)
	}
	slices.SortStableFunc(e.children, func(a, b *entity) int { return cmp.Compare(a.start, b.start) })
}

// exceptionsOf returns an entity's exceptions; a cause that only points to one is followed.
func (t *trace) exceptionsOf(e *entity) []exception {
	if x, ok := t.causes[e.causeID]; ok && len(e.exceptions) == 0 {
		return []exception{x}
	}
	return e.exceptions
}

// node names a service or a resource in a service graph.
type node struct{ name, kind, account string }

// node returns where a segment belongs in the graph. Inferred segments are named after their
// resources.
func (e *entity) node(account string) node {
	n := node{e.name, e.origin, account}
	if a := fieldText(e.aws, "account_id"); a != "" {
		n.account = a
	}
	if !e.inferred {
		return n
	}
	name := ""
	switch e.origin {
	case "AWS::DynamoDB::Table":
		name = fieldText(e.aws, "table_name")
	case "AWS::SQS::Queue":
		name = fieldText(e.aws, "queue_url")
		name = name[strings.LastIndexByte(name, '/')+1:]
	case "AWS::S3::Bucket":
		name = fieldText(e.aws, "bucket_name")
	case "AWS::Lambda::Function":
		name = fieldText(e.aws, "function_name")
	}
	if name != "" {
		n.name = name
	}
	return n
}
