package segment

import (
	"unsafe"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
)

func (p inTraces) filter(s *scanner, keep bitmap) {
	f := s.field(event.FieldTrace)
	if len(f.sources) == 0 {
		clear(keep)
		return
	}
	v := f.sources[0]
	if !p.pages(s, v).has(s.page) {
		clear(keep)
		return
	}
	s.load(v)
	if s.err != nil {
		return
	}
	ids := unsafe.Slice((*event.TraceID)(unsafe.Pointer(unsafe.SliceData(v.vec.IDs))), s.n)
	if len(p.ids) == 1 {
		for id := range p.ids {
			for k := range keep {
				for b := keep[k]; b != 0; b &= b - 1 {
					if ids[k<<6+trailing(b)] != id {
						keep[k] &^= b & -b
					}
				}
			}
		}
		return
	}
	for k := range keep {
		for b := keep[k]; b != 0; b &= b - 1 {
			if _, ok := p.ids[ids[k<<6+trailing(b)]]; !ok {
				keep[k] &^= b & -b
			}
		}
	}
}

func (p inSpans) filter(s *scanner, keep bitmap) {
	traces, spans := s.field(event.FieldTrace), s.field(p.Field)
	if len(traces.sources) == 0 || len(spans.sources) == 0 {
		clear(keep)
		return
	}
	t, v := traces.sources[0], spans.sources[0]
	s.load(t)
	s.load(v)
	if s.err != nil {
		return
	}
	// A key has no zero id, so that a row without one is not among them.
	keep.each(func(i int) {
		key := query.SpanKey{Trace: event.TraceID(t.vec.IDs[i*16 : i*16+16]), Span: event.SpanID(v.vec.IDs[i*8 : i*8+8])}
		if _, ok := p.Keys[key]; !ok {
			keep[i>>6] &^= 1 << (i & 63)
		}
	})
}

func (p inSpans) may(*scanner) bool { return len(p.Keys) > 0 }

// bloomTraces is the number of trace ids up to which a group's filter is asked for each.
const bloomTraces = 64

func (p inTraces) may(s *scanner) bool {
	if s.u.batch != nil || len(p.ids) > bloomTraces {
		return len(p.ids) > 0
	}
	k := chunk(s.u.chunks, colTrace)
	if k == nil {
		return false
	}
	for id := range p.ids {
		if may, err := s.u.file.MayHave(k, id[:]); may || err != nil {
			return true
		}
	}
	return false
}

// pages returns the pages of the scanned unit that may have one of the traces.
func (p inTraces) pages(s *scanner, v *values) pageSet {
	return v.pagesOf(p.number, func() pageSet {
		if v.chunk == nil || len(p.ids) > bloomTraces {
			return everyPage
		}
		set := pageSet(0)
		for id := range p.ids {
			// A filter that can not be read says nothing: the pages themselves decide.
			some, err := s.u.file.PagesWith(s.u.group, v.chunk, id[:])
			if set |= pageSet(some); err != nil || set == everyPage {
				return everyPage
			}
		}
		return set
	})
}
