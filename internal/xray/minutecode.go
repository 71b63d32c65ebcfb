package xray

import (
	"encoding/binary"
	"errors"
	"math"
)

// minuteVersion begins the text of a kept minute. One of another version is not read.
const minuteVersion = 1

var errMinute = errors.New("kept minute of the service graph is damaged")

// minuteWriter writes the graph of a minute.
type minuteWriter struct {
	out     []byte
	strings map[string]uint64
	list    []string
	base    int64 // the minute
}

// encodeMinute writes a graph with buckets of a minute; base is the minute that it is kept for.
func encodeMinute(g *graph, base int64) []byte {
	w := &minuteWriter{strings: map[string]uint64{}, base: base}
	w.num(uint64(len(g.nodes)))
	for k, c := range g.nodes {
		w.place(k.place)
		w.bucket(k.bucket)
		w.tally(c)
	}
	w.num(uint64(len(g.edges)))
	for k, c := range g.edges {
		w.place(k.source)
		w.place(k.target)
		w.flag(k.link)
		w.text(k.alias)
		w.bucket(k.bucket)
		w.tally(c)
	}
	w.num(uint64(len(g.links)))
	for _, r := range g.links {
		w.out = append(append(w.out, r.to.trace[:]...), r.to.id[:]...)
		w.place(r.target)
		w.bucket(r.bucket)
		w.float(r.received)
		w.tally(r.by)
	}
	body := w.out
	w.out = []byte{minuteVersion}
	w.num(uint64(len(w.list)))
	for _, s := range w.list {
		w.num(uint64(len(s)))
		w.out = append(w.out, s...)
	}
	return append(w.out, body...)
}

func (w *minuteWriter) num(n uint64) { w.out = binary.AppendUvarint(w.out, n) }
func (w *minuteWriter) float(f float64) {
	w.out = binary.LittleEndian.AppendUint64(w.out, math.Float64bits(f))
}
func (w *minuteWriter) bucket(b int64) { w.out = binary.AppendVarint(w.out, b/60-w.base) }

func (w *minuteWriter) flag(v bool) {
	n := uint64(0)
	if v {
		n = 1
	}
	w.num(n)
}

func (w *minuteWriter) text(s string) {
	n, ok := w.strings[s]
	if !ok {
		n = uint64(len(w.list))
		w.strings[s] = n
		w.list = append(w.list, s)
	}
	w.num(n)
}

func (w *minuteWriter) place(p place) {
	w.text(p.name)
	w.text(p.kind)
	w.text(p.account)
	w.text(p.segment)
	w.flag(p.inferred)
}

func (w *minuteWriter) tally(c *tally) {
	for _, n := range []int{c.total, c.faults, c.throttles, c.errors} {
		w.num(uint64(n))
	}
	w.float(c.seconds)
	w.float(c.start)
	w.float(c.end)
	for _, s := range []*spread{&c.responses, &c.durations, &c.ages} {
		list := s.sorted()
		w.num(uint64(len(list)))
		last := int64(0)
		for _, x := range list {
			w.out = binary.AppendVarint(w.out, x.value-last)
			w.num(uint64(x.n))
			last = x.value
		}
	}
}

// minuteReader reads what minuteWriter wrote; after the first error it reads zeros.
type minuteReader struct {
	in   []byte
	list []string
	base int64
	bad  bool
}

// decodeMinute reads the graph that is kept for the minute base. intern returns one string for
// equal ones.
func decodeMinute(text []byte, base int64, intern map[string]string) (*graph, error) {
	if len(text) == 0 || text[0] != minuteVersion {
		return nil, errMinute
	}
	r := &minuteReader{in: text[1:], base: base}
	for range r.count() {
		n := r.num()
		if n > uint64(len(r.in)) {
			return nil, errMinute
		}
		s, ok := intern[string(r.in[:n])]
		if !ok {
			s = string(r.in[:n])
			intern[s] = s
		}
		r.list, r.in = append(r.list, s), r.in[n:]
	}
	g := newGraph("")
	g.bucket = 60
	for range r.count() {
		k := nodeKey{r.place(), r.bucket()}
		g.nodes[k] = r.tally()
	}
	for range r.count() {
		k := edgeKey{source: r.place(), target: r.place(), link: r.num() == 1, alias: r.text(), bucket: r.bucket()}
		g.edges[k] = r.tally()
	}
	for range r.count() {
		var l linkRef
		copy(l.to.trace[:], r.bytes(16))
		copy(l.to.id[:], r.bytes(8))
		l.target, l.bucket, l.received = r.place(), r.bucket(), r.float()
		l.by = r.tally()
		g.links = append(g.links, l)
	}
	if r.bad || len(r.in) > 0 {
		return nil, errMinute
	}
	return g, nil
}

func (r *minuteReader) fail() { r.in, r.bad = nil, true }

func (r *minuteReader) num() uint64 {
	n, k := binary.Uvarint(r.in)
	if k <= 0 {
		r.fail()
		return 0
	}
	r.in = r.in[k:]
	return n
}

func (r *minuteReader) signed() int64 {
	n, k := binary.Varint(r.in)
	if k <= 0 {
		r.fail()
		return 0
	}
	r.in = r.in[k:]
	return n
}

// count reads how many things follow, each of which takes a byte at least.
func (r *minuteReader) count() int {
	n := r.num()
	if n > uint64(len(r.in)) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *minuteReader) bytes(n int) []byte {
	if len(r.in) < n {
		r.fail()
		return make([]byte, n)
	}
	b := r.in[:n]
	r.in = r.in[n:]
	return b
}

func (r *minuteReader) float() float64 {
	return math.Float64frombits(binary.LittleEndian.Uint64(r.bytes(8)))
}

func (r *minuteReader) bucket() int64 { return (r.base + r.signed()) * 60 }

func (r *minuteReader) text() string {
	n := r.num()
	if n >= uint64(len(r.list)) {
		r.fail()
		return ""
	}
	return r.list[n]
}

func (r *minuteReader) place() place {
	return place{node{r.text(), r.text(), r.text()}, r.text(), r.num() == 1}
}

func (r *minuteReader) tally() *tally {
	c := newTally()
	c.total, c.faults, c.throttles, c.errors = int(r.num()), int(r.num()), int(r.num()), int(r.num())
	c.seconds, c.start, c.end = r.float(), r.float(), r.float()
	for _, s := range []*spread{&c.responses, &c.durations, &c.ages} {
		last := int64(0)
		if n := r.count(); n > 0 {
			s.list = make([]valueCount, n)
		}
		for i := range s.list {
			last += r.signed()
			s.list[i] = valueCount{last, int(r.num())}
		}
	}
	return c
}
