package segment

import (
	"math"
	"slices"
	"strings"
	"unsafe"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/store/segment/colfile"
)

// predicate is a condition in the form that pages are filtered with. The set of implementations
// is closed; each is read-only and shared by the workers.
type predicate interface {
	// filter clears the bits of the rows of keep for which the condition does not hold.
	filter(s *scanner, keep bitmap)
	// may reports whether the condition may hold for a row of the scanner's unit.
	may(s *scanner) bool
}

type (
	allOf  []predicate
	anyOf  []predicate
	noneOf struct{ x predicate }
	// ofField depends on one field alone, so that it is decided once for each entry of a
	// dictionary.
	ofField struct {
		e       query.Expr
		name    string
		number  int // among the query's predicates, see values.verdicts
		missing bool
		test    func(v event.Value) bool
		compare *query.Compare // of the field with a constant number, when e is that
		needle  *query.Text    // what the field must contain, when e says so
		equal   []string       // the strings one of which the field must be, when e says so
		present bool           // e holds for every finite number, and for no missing value
		there   bool           // e holds for every value, and for no missing one
		// exact reports whether e says of a string no more than that it contains the needle, and
		// contains that the case of letters counts besides.
		exact, contains bool
		// part says the same of the strings that a message is made of, see unpacked.go; nil when it
		// can not be said of them.
		part *ofField
	}
	inTraces struct {
		ids    map[event.TraceID]struct{}
		number int
	}
	inSpans struct{ query.SpanIn }
	// ofRow is evaluated row by row.
	ofRow  struct{ e query.Expr }
	always bool
)

// compiler makes predicates and gives numbers to those that keep something with the scanned columns.
type compiler struct{ numbers int }

func (c *compiler) next() int {
	c.numbers++
	return c.numbers - 1
}

// compile makes the predicate of an expression; nil holds always.
func (c *compiler) compile(e query.Expr) predicate {
	switch e := e.(type) {
	case nil:
		return always(true)
	case query.TraceIn:
		return inTraces{e.IDs, c.next()}
	case query.SpanIn:
		return inSpans{e}
	case query.Compare:
		if id, ok := traceEq(e); ok {
			if id.IsZero() {
				return always(false)
			}
			return inTraces{map[event.TraceID]struct{}{id: {}}, c.next()}
		}
	}
	fields, whole := query.Reads(e)
	switch {
	case whole:
		return ofRow{e}
	case len(fields) == 0:
		return always(query.Holds(e, query.NewRow(nil, nil)))
	case len(fields) == 1 && !hasTraces(e) && !searches(e):
		return c.ofField(e, fields[0])
	}
	switch e := e.(type) {
	case query.And:
		var list allOf
		for _, x := range e.X {
			list = append(list, c.compile(x))
		}
		return list
	case query.Or:
		var list anyOf
		for _, x := range e.X {
			list = append(list, c.compile(x))
		}
		return list
	case query.Not:
		return noneOf{c.compile(e.X)}
	default:
		return ofRow{e}
	}
}

// searches reports whether e is made of searches for texts, which pay one by one: a text is looked
// for in a whole page, and an index says where it is not.
func searches(e query.Expr) bool {
	search := func(e query.Expr) bool {
		switch e := e.(type) {
		case query.Text:
			_, ok := e.X.(query.Field)
			return ok
		case query.Match:
			_, ok := e.X.(query.Field)
			return ok
		}
		return false
	}
	switch e := e.(type) {
	case query.And:
		return len(e.X) > 1 && slices.ContainsFunc(e.X, search)
	case query.Or:
		return len(e.X) > 1 && !slices.ContainsFunc(e.X, func(x query.Expr) bool { return !search(x) })
	case query.Not:
		return search(e.X)
	}
	return false
}

func hasTraces(e query.Expr) (has bool) {
	query.Walk(e, func(e query.Expr) bool {
		_, in := e.(query.TraceIn)
		has = has || in
		return true
	})
	return has
}

func (c *compiler) ofField(e query.Expr, name string) predicate {
	p := c.simple(e, name)
	p.part = c.part(p)
	return p
}

// simple makes a predicate that looks at the field itself.
func (c *compiler) simple(e query.Expr, name string) *ofField {
	p := &ofField{e: e, name: name, number: c.next(), missing: query.Holds(e, query.NewRow(nil, nil))}
	p.test = func(v event.Value) bool {
		row := oneField{name, v}
		return query.Holds(e, &row)
	}
	if x, ok := e.(query.And); ok && len(x.X) == 2 {
		// What languages make of "!=": the field is there and is not equal.
		if h, ok := x.X[0].(query.Has); ok && h.X == (query.Field{Name: name}) {
			if n, ok := x.X[1].(query.Not); ok {
				if not := c.simple(n.X, name); not.direct() {
					test := not.test
					p.test = func(v event.Value) bool { return !test(v) }
				}
			}
		}
	}
	p.special(e)
	return p
}

// direct reports whether test does not go through the evaluator.
func (p *ofField) direct() bool { return p.equal != nil || p.needle != nil || p.compare != nil }

// special replaces the test of common forms by one that is made for it.
func (p *ofField) special(e query.Expr) {
	isField := func(e query.Expr) bool {
		f, ok := e.(query.Field)
		return ok && f.Name == p.name
	}
	switch e := e.(type) {
	case query.Has:
		name, ok := isNumber(e.X)
		p.present = ok && name == p.name
		p.there = isField(e.X)
	case query.Compare:
		k, ok := e.R.(query.Const)
		if !ok || !isField(e.L) || e.Mode != query.Strict {
			return
		}
		if k.Value.Kind() == event.KindString && e.Op == query.Eq {
			want := k.Value.Str()
			p.equal = []string{want}
			p.test = func(v event.Value) bool { return v.Kind() == event.KindString && v.Str() == want }
		}
		if _, ok := k.Value.Number(); ok {
			p.compare = &e
		}
	case query.In:
		if !isField(e.X) || e.Mode != query.Strict {
			return
		}
		set := map[string]struct{}{}
		for _, v := range e.Values {
			if v.Kind() != event.KindString {
				return
			}
			set[v.Str()] = struct{}{}
			p.equal = append(p.equal, v.Str())
		}
		p.test = func(v event.Value) bool {
			if v.Kind() != event.KindString {
				return false
			}
			_, ok := set[v.Str()]
			return ok
		}
	case query.Text:
		if !isField(e.X) {
			return
		}
		p.needle, p.exact = &e, e.Op == query.Contains
		p.contains = p.exact && !e.Fold
		if p.contains {
			p.test = func(v event.Value) bool {
				if v.Kind() != event.KindString {
					return e.Coerce && strings.Contains(v.Text(), e.S)
				}
				return strings.Contains(v.Str(), e.S)
			}
		}
	case query.Match:
		if !isField(e.X) {
			return
		}
		p.test = func(v event.Value) bool { return !v.Missing() && e.Re.MatchString(v.Text()) }
		if lit, all := literalOf(e.Re.String()); lit.S != "" {
			lit.X = e.X
			p.needle, p.exact = &lit, all
			p.contains = all && !lit.Fold
			if !lit.Fold {
				p.test = func(v event.Value) bool {
					text := v.Text()
					return !v.Missing() && strings.Contains(text, lit.S) && e.Re.MatchString(text)
				}
			}
		}
	}
}

// oneField is a row with one field.
type oneField struct {
	name  string
	value event.Value
}

// Get implements query.Row.
func (r *oneField) Get(name string) event.Value {
	if name == r.name {
		return r.value
	}
	return event.Value{}
}

// Each implements query.Row.
func (r *oneField) Each(yield func(string, event.Value) bool) { yield(r.name, r.value) }

func (p allOf) filter(s *scanner, keep bitmap) {
	for _, x := range p {
		if keep.empty() {
			return
		}
		x.filter(s, keep)
	}
}

func (p allOf) may(s *scanner) bool {
	for _, x := range p {
		if !x.may(s) {
			return false
		}
	}
	return true
}

func (p anyOf) filter(s *scanner, keep bitmap) {
	rest := append(bitmap(nil), keep...)
	var try bitmap
	for _, x := range p {
		if rest.empty() {
			break
		}
		try = append(try[:0], rest...)
		x.filter(s, try)
		for i := range rest {
			rest[i] &^= try[i]
		}
	}
	for i := range keep {
		keep[i] &^= rest[i]
	}
}

func (p anyOf) may(s *scanner) bool {
	for _, x := range p {
		if x.may(s) {
			return true
		}
	}
	return false
}

func (p noneOf) filter(s *scanner, keep bitmap) {
	held := append(bitmap(nil), keep...)
	p.x.filter(s, held)
	for i := range keep {
		keep[i] &^= held[i]
	}
}

func (p noneOf) may(*scanner) bool { return true }

func (p always) filter(_ *scanner, keep bitmap) {
	if !p {
		clear(keep)
	}
}

func (p always) may(*scanner) bool { return bool(p) }

func (p ofRow) filter(s *scanner, keep bitmap) {
	row := &pageRow{s: s}
	for k := range keep {
		w := keep[k]
		for b := w; b != 0; b &= b - 1 {
			low := b & -b
			row.i = k<<6 + trailing(b)
			if !query.Holds(p.e, row) {
				w &^= low
			}
		}
		keep[k] = w
	}
}

func (p ofRow) may(*scanner) bool { return true }

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

// pageSet has a bit for each of the first 32 pages of a unit. Filters that tell pages apart are
// not made for units with more.
type pageSet uint32

const everyPage = ^pageSet(0)

func (p pageSet) has(page int) bool { return page >= 32 || p&(1<<page) != 0 }

// pagesOf returns the pages on which a predicate may hold for a value; it asks once for each unit.
func (v *values) pagesOf(number int, ask func() pageSet) pageSet {
	for len(v.pages) <= number {
		v.pages = append(v.pages, unknownPages)
	}
	if v.pages[number] == unknownPages {
		v.pages[number] = int64(ask())
	}
	return pageSet(v.pages[number])
}

const unknownPages = -1

// Verdicts of a predicate about an entry of a dictionary; 0 is not known yet.
const (
	fails = 1
	holds = 2
)

// verdicts returns what p says of the entries of v's dictionary, and at their end of no value.
func (p *ofField) verdicts(v *values) []uint8 {
	for len(v.verdicts) <= p.number {
		v.verdicts = append(v.verdicts, nil)
	}
	if v.verdicts[p.number] == nil {
		list := make([]uint8, v.entries()+1)
		list[v.entries()] = verdict(p.missing)
		v.verdicts[p.number] = list
	}
	return v.verdicts[p.number]
}

func verdict(ok bool) uint8 {
	if ok {
		return holds
	}
	return fails
}

// filter implements predicate. A row has a value in one of the sources at most; where it has
// none in a source, the others decide, and where it has none at all, p.missing.
func (p *ofField) filter(s *scanner, keep bitmap) {
	f := s.field(p.name)
	if len(f.sources) == 0 {
		ok := p.missing
		if !f.constant.Missing() {
			ok = p.test(f.constant)
		}
		if !ok {
			clear(keep)
		}
		return
	}
	if len(f.sources) == 1 {
		v := f.sources[0]
		if !p.missing && !p.pages(s, v).has(s.page) {
			clear(keep)
			return
		}
		var found bitmap
		if p.part != nil {
			found = p.byParts(s, keep)
		}
		if !keep.empty() {
			s.load(v)
			if s.err == nil {
				p.one(v, keep)
			}
		}
		for k := range found {
			keep[k] |= found[k]
		}
		return
	}
	out := make(bitmap, len(keep))
	left := append(bitmap(nil), keep...) // rows without a value so far
	for _, v := range f.sources {
		s.load(v)
		if s.err != nil {
			return
		}
		has := make(bitmap, len(keep))
		for i := range s.n {
			if left.has(i) && v.has(i) {
				has.set(i)
			}
		}
		for i := range left {
			left[i] &^= has[i]
		}
		p.one(v, has)
		for i := range out {
			out[i] |= has[i]
		}
	}
	for i := range keep {
		if p.missing {
			out[i] |= left[i]
		}
		keep[i] &= out[i]
	}
}

func (v *values) has(i int) bool {
	if v.coded() {
		return int(v.vec.Codes[i]) < v.entries()
	}
	return v.vec.Has(i)
}

// one filters by one source.
func (p *ofField) one(v *values, keep bitmap) {
	switch {
	case v.coded():
		p.byCode(v, keep)
	case p.there && v.vec.Encoding != colfile.Split || p.present && v.vec.Encoding == colfile.Delta:
		for k := range keep {
			if v.vec.Valid != nil {
				keep[k] &= v.vec.Valid[k]
			}
		}
	case p.present && v.vec.Encoding == colfile.Split:
		p.finite(v, keep)
	case p.compare != nil && v.vec.Encoding == colfile.Split:
		compareFloats(p, v, keep)
	case p.compare != nil && v.vec.Encoding == colfile.Delta:
		compareInts(p, v, keep)
	case v.vec.Encoding == colfile.Lengths && p.searchable(v, keep):
		p.search(v, keep)
	default:
		slowly(p, v, keep)
	}
}

// finite keeps the rows that have a finite number, and asks for the others.
func (p *ofField) finite(v *values, keep bitmap) {
	for k := range keep {
		if v.vec.Valid != nil {
			keep[k] &= v.vec.Valid[k]
		}
		if keep[k] == 0 {
			continue
		}
		base := k << 6
		var odd uint64
		for i, f := range v.vec.Floats[base:min(base+64, len(v.vec.Floats))] {
			if f-f != 0 {
				odd |= 1 << i
			}
		}
		for b := odd & keep[k]; b != 0; b &= b - 1 {
			if !p.test(v.at(base + trailing(b))) {
				keep[k] &^= b & -b
			}
		}
	}
}

func (p *ofField) byCode(v *values, keep bitmap) {
	verdicts := p.verdicts(v)
	codes := v.vec.Codes
	for k, w := range keep {
		if w == 0 {
			continue
		}
		base := k << 6
		if w == ^uint64(0) {
			// All rows are asked for: no bit is looked for.
			var out uint64
			for i, c := range codes[base : base+64] {
				x := verdicts[c]
				if x == 0 {
					x = verdict(p.test(v.entry(int(c))))
					verdicts[c] = x
				}
				out |= uint64(x>>1) << i
			}
			keep[k] = out
			continue
		}
		for b := w; b != 0; b &= b - 1 {
			c := codes[base+trailing(b)]
			x := verdicts[c]
			if x == 0 {
				x = verdict(p.test(v.entry(int(c))))
				verdicts[c] = x
			}
			if x == fails {
				keep[k] &^= b & -b
			}
		}
	}
}

// bounds turns a comparison with a number into a range, ends included; NaN is in none.
func bounds(c *query.Compare) (lo, hi float64) {
	k, _ := c.R.(query.Const).Value.Number()
	switch c.Op {
	case query.Eq:
		return k, k
	case query.Lt:
		return math.Inf(-1), math.Nextafter(k, math.Inf(-1))
	case query.Le:
		return math.Inf(-1), k
	case query.Gt:
		return math.Nextafter(k, math.Inf(1)), math.Inf(1)
	default:
		return k, math.Inf(1)
	}
}

func compareFloats(p *ofField, v *values, keep bitmap) {
	lo, hi := bounds(p.compare)
	if k, _ := p.compare.R.(query.Const).Value.Number(); math.IsNaN(k) || math.IsInf(k, 0) {
		slowly(p, v, keep)
		return
	}
	between(p, v, keep, v.vec.Floats, lo, hi)
}

// between keeps the rows whose value is in a range, ends included.
func between[T int64 | float64](p *ofField, v *values, keep bitmap, vals []T, lo, hi T) {
	for k, w := range keep {
		if w == 0 {
			continue
		}
		base := k << 6
		var out uint64
		for i, x := range vals[base:min(base+64, len(vals))] {
			if x >= lo && x <= hi {
				out |= 1 << i
			}
		}
		keep[k] = p.merge(v, k, w, out)
	}
}

// merge puts together what holds for the values of 64 rows and what holds for no value.
func (p *ofField) merge(v *values, k int, w, out uint64) uint64 {
	if v.vec.Valid != nil {
		valid := v.vec.Valid[k]
		out &= valid
		if p.missing {
			out |= ^valid
		}
	}
	return w & out
}

func compareInts(p *ofField, v *values, keep bitmap) {
	k := p.compare.R.(query.Const).Value
	if k.Kind() != event.KindInt {
		slowly(p, v, keep)
		return
	}
	lo, hi := intBounds(p.compare.Op, k.Int())
	between(p, v, keep, v.vec.Nums, lo, hi)
}

func intBounds(op query.Op, k int64) (lo, hi int64) {
	switch op {
	case query.Eq:
		return k, k
	case query.Lt:
		if k == math.MinInt64 {
			return 1, 0
		}
		return math.MinInt64, k - 1
	case query.Le:
		return math.MinInt64, k
	case query.Gt:
		if k == math.MaxInt64 {
			return 1, 0
		}
		return k + 1, math.MaxInt64
	default:
		return k, math.MaxInt64
	}
}

// slowly asks for the value of each row.
func slowly(p *ofField, v *values, keep bitmap) {
	keep.each(func(i int) {
		x := v.at(i)
		if x.Missing() && !p.missing || !x.Missing() && !p.test(x) {
			keep[i>>6] &^= 1 << (i & 63)
		}
	})
}

// fewEntries is the size of a dictionary up to which all its entries are asked before a group is
// scanned.
const fewEntries = 1 << 14

// may implements predicate: what stands in the index, the filters and the dictionaries decides.
func (p *ofField) may(s *scanner) bool {
	f := s.field(p.name)
	if len(f.sources) == 0 {
		if !f.constant.Missing() {
			return p.test(f.constant)
		}
		return p.missing
	}
	present := 0
	for _, v := range f.sources {
		if v.chunk == nil {
			return true
		}
		present += v.chunk.Values
		if p.mayChunk(s, v) {
			return true
		}
	}
	return p.missing && present < s.u.rows
}

func (p *ofField) mayChunk(s *scanner, v *values) bool {
	k := v.chunk
	if p.compare != nil && k.HasRange {
		switch v.typ {
		case colfile.Float:
			if lo, hi := bounds(p.compare); hi < k.MinFloat() || lo > k.MaxFloat() {
				return false
			}
		default:
			if c := p.compare.R.(query.Const).Value; c.Kind() == event.KindInt {
				if lo, hi := intBounds(p.compare.Op, c.Int()); hi < k.Min || lo > k.Max {
					return false
				}
			}
		}
	}
	if v.typ == colfile.String {
		if p.equal != nil && !p.mayEqual(s, k) {
			return false
		}
		if p.pages(s, v) == 0 {
			return false
		}
	}
	if k.Encoding != colfile.Dictionary || k.Dict > fewEntries && p.equal == nil && p.needle == nil {
		return true
	}
	s.loadDict(v)
	if s.err != nil {
		return true
	}
	verdicts := p.verdicts(v)
	some := false
	for i := range v.entries() {
		if verdicts[i] == 0 {
			verdicts[i] = verdict(p.test(v.entry(i)))
		}
		some = some || verdicts[i] == holds
	}
	return some
}

// pages returns the pages of the scanned unit on which a string may be what p looks for.
func (p *ofField) pages(s *scanner, v *values) pageSet {
	part, fold := "", false
	switch {
	case v.chunk == nil || v.typ != colfile.String:
		return everyPage
	case p.needle != nil:
		part, fold = p.needle.S, p.needle.Fold
	case len(p.equal) == 1:
		part = p.equal[0]
	default:
		return everyPage
	}
	return v.pagesOf(p.number, func() pageSet {
		set, err := s.u.file.PagesContaining(v.chunk, part, fold)
		if err != nil {
			return everyPage
		}
		return pageSet(set)
	})
}

func (p *ofField) mayEqual(s *scanner, k *colfile.Chunk) bool {
	if len(p.equal) > bloomTraces {
		return true
	}
	for _, want := range p.equal {
		if may, err := s.u.file.MayHave(k, []byte(want)); may || err != nil {
			return true
		}
	}
	return false
}
