package segment

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/store/segment/colfile"
)

// The messages of most structured logs are JSON objects, of which each string is a field too (see
// event.Header.Unpacked). To look for a text in the fields costs a fraction of what it costs to
// decompress the messages: most fields have dictionaries and filters, and names are not repeated.

// insideStrings reports whether t, where it is found in a JSON object without escapes, is a part of
// one of the strings: a text without quotes is in a string or between two, and between them stand
// only delimiters, numbers and three words.
func insideStrings(t *query.Text) bool {
	text := t.S
	if t.Fold {
		text = strings.ToLower(text)
	}
	odd := func(r rune) bool { return r == '"' || r >= utf8.RuneSelf && t.Fold } // letters may fold to those of the words
	if strings.ContainsFunc(text, odd) {
		return false
	}
	delimiter := func(r rune) bool { return strings.ContainsRune(" \t\r\n{}[]:,+-.0123456789", r) }
	for _, word := range strings.FieldsFunc(text, delimiter) {
		if !slices.ContainsFunc([]string{"true", "false", "null", "e", "E"}, func(w string) bool { return strings.Contains(w, word) }) {
			return true
		}
	}
	return false
}

// part is the predicate of the strings that are parts of a message: that they contain what p looks
// for in the message.
func (c *compiler) part(p *ofField) *ofField {
	if p.name != event.FieldMessage || p.needle == nil || !insideStrings(p.needle) {
		return nil
	}
	message := query.Field{Name: event.FieldMessage}
	if _, ok := p.e.(query.Match); ok && p.needle.Fold {
		// Regular expressions have rules of their own about letters that are the same.
		return c.simple(query.Match{X: message, Re: regexp.MustCompile("(?i)" + regexp.QuoteMeta(p.needle.S))}, event.FieldMessage)
	}
	return c.simple(query.Text{Op: query.Contains, X: message, S: p.needle.S, Fold: p.needle.Fold}, event.FieldMessage)
}

// parts are what of a unit is in its messages.
type parts struct {
	known bool      // else the messages have to be read
	all   bool      // every row is unpacked, so that no message has to be looked for
	text  []*values // strings that may contain the text
	named []*field  // fields whose names contain it
}

// partsOf returns the parts of the messages of the scanner's unit in which p's text may be.
func (p *ofField) partsOf(s *scanner) *parts {
	if found := s.parts[p.number]; found != nil {
		return found
	}
	found := &parts{}
	if s.parts == nil {
		s.parts = map[int]*parts{}
	}
	s.parts[p.number] = found
	if s.u.batch != nil || chunk(s.u.chunks, colUnpacked) == nil {
		return found
	}
	last := ""
	for i := range s.u.chunks {
		k := &s.u.chunks[i]
		c := s.u.file.Columns[k.Column]
		if k.Column < numHeaderColumns || !event.InMessage(c.Field) {
			continue
		}
		if k.Encoding == colfile.Elsewhere && c.Type == colfile.String {
			return found
		}
		if c.Field == last {
			continue
		}
		last = c.Field
		switch {
		case !p.test(event.String(c.Field)):
			for _, v := range s.field(c.Field).sources {
				if v.typ == colfile.String && p.mayChunk(s, v) {
					found.text = append(found.text, v)
				}
			}
		case strings.ContainsAny(p.needle.S, ".@") || k.Encoding == colfile.Elsewhere:
			return found // a name is joined of several, and has an @ more than the message
		default:
			found.named = append(found.named, s.field(c.Field))
		}
	}
	found.known, found.all = true, chunk(s.u.chunks, colUnpacked).Values == s.u.rows
	return found
}

// allParts returns the parts of the messages of the scanner's unit when they alone tell which rows p
// may hold for; nil when they do not.
func (p *ofField) allParts(s *scanner) *parts {
	if p.part == nil || p.missing {
		return nil
	}
	if parts := p.part.partsOf(s); parts.known && parts.all {
		return parts
	}
	return nil
}

// byParts decides about the unpacked rows of keep without their messages. It returns those for which
// p holds, and leaves in keep those whose message has to be read.
func (p *ofField) byParts(s *scanner, keep bitmap) bitmap {
	parts := p.part.partsOf(s)
	if !parts.known {
		return nil
	}
	unpacked := s.field(event.FieldUnpacked).sources[0]
	left, found := make(bitmap, len(keep)), make(bitmap, len(keep))
	if parts.all {
		copy(left, keep)
	} else if s.load(unpacked); s.err == nil {
		keep.each(func(i int) {
			if unpacked.has(i) {
				left.set(i)
			}
		})
	}
	try := make(bitmap, len(keep))
	look := func(v *values, filter func()) {
		if left.empty() {
			return
		}
		s.load(v)
		if s.err != nil {
			return
		}
		copy(try, left)
		filter()
		for k := range left {
			left[k] &^= try[k]
			found[k] |= try[k]
			keep[k] &^= try[k]
		}
	}
	for _, f := range parts.named {
		for _, v := range f.sources {
			look(v, func() {
				try.each(func(i int) {
					if !v.has(i) {
						try[i>>6] &^= 1 << (i & 63)
					}
				})
			})
		}
	}
	for _, v := range parts.text {
		if p.part.pages(s, v).has(s.page) {
			look(v, func() { p.part.one(v, try) })
		}
	}
	for k := range keep {
		keep[k] &^= left[k]
		if !p.exact {
			keep[k] |= found[k]
		}
	}
	if !p.exact {
		return nil
	}
	return found
}
