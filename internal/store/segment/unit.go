package segment

import (
	"math"
	"math/bits"
	"slices"
	"unsafe"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/store/segment/colfile"
)

// unit is a run of rows that one worker scans, page by page: a row group of a segment, or a
// batch of the head.
type unit struct {
	// Of a segment.
	file   *file
	group  *colfile.Group
	chunks []colfile.Chunk
	// Of the head.
	batch *event.Batch

	rows     int
	min, max int64 // times
	whole    bool  // all rows are within the query's range and visible
}

func (u *unit) pages() int { return (u.rows + colfile.PageRows - 1) / colfile.PageRows }

func (u *unit) pageLen(i int) int { return min(colfile.PageRows, u.rows-i*colfile.PageRows) }

// bitmap has a bit for each row of a page.
type bitmap []uint64

func (b bitmap) has(i int) bool { return b[i>>6]&(1<<(i&63)) != 0 }
func (b bitmap) set(i int)      { b[i>>6] |= 1 << (i & 63) }

// fill sets the first n bits and clears the others.
func (b bitmap) fill(n int) {
	for i := range b {
		switch left := n - i<<6; {
		case left >= 64:
			b[i] = ^uint64(0)
		case left > 0:
			b[i] = 1<<left - 1
		default:
			b[i] = 0
		}
	}
}

func (b bitmap) count() (n int) {
	for _, w := range b {
		n += bits.OnesCount64(w)
	}
	return n
}

func (b bitmap) empty() bool {
	for _, w := range b {
		if w != 0 {
			return false
		}
	}
	return true
}

// trailing is the place of the lowest set bit.
func trailing(b uint64) int { return bits.TrailingZeros64(b) }

// each calls yield for the set bits in order.
func (b bitmap) each(yield func(i int)) {
	for k, w := range b {
		for ; w != 0; w &= w - 1 {
			yield(k<<6 + bits.TrailingZeros64(w))
		}
	}
}

// field is what a unit has of one field name: a source for each kind.
type field struct {
	name    string
	sources []*values
	// constant is the value of every row; the sources are empty then.
	constant event.Value
}

// values is a column of the scanned unit: the page that was read last, and its dictionary.
type values struct {
	field  string
	typ    colfile.Type
	chunk  *colfile.Chunk
	column *event.Column // of the head, or of fields that overflowed
	header int           // of the head: the column of the headers, else -1

	page   int  // that vec holds, -1 for none
	few    bool // vec is good for the rows of the last loadFor only
	vec    colfile.Vector
	dict   *colfile.Dict // of chunks
	list   []string      // of columns of batches
	loaded bool          // dict is read

	lower    []byte    // the texts of vec in lower case
	verdicts [][]uint8 // by predicate: what it says of each entry, see predicate.go
	pages    []int64   // by predicate: the pages on which it may hold, see predicate.go
	codes    [][]uint32
	hashes   []uint64
}

// entry returns the value of a dictionary's entry.
func (v *values) entry(code int) event.Value {
	switch {
	case v.typ == colfile.Bool:
		return event.Bool(code == 1)
	case v.typ == colfile.Int || v.typ == colfile.Time:
		return event.Int(v.dict.Nums[code])
	case v.dict == nil:
		return event.String(v.list[code])
	default:
		return event.String(v.dict.Str(uint32(code)))
	}
}

// entries is the number of a dictionary's entries; a page has the code entries where a row has
// no value.
func (v *values) entries() int {
	if v.typ == colfile.Bool {
		return 2
	}
	if v.dict == nil {
		return len(v.list)
	}
	return v.dict.Len()
}

// coded reports whether a page of the column is codes of a dictionary.
func (v *values) coded() bool {
	return v.vec.Encoding == colfile.Dictionary || v.typ == colfile.Bool
}

// at returns the value of row i of the page. Strings live as long as the page.
func (v *values) at(i int) event.Value {
	if v.coded() {
		if c := int(v.vec.Codes[i]); c < v.entries() {
			return v.entry(c)
		}
		return event.Value{}
	}
	if !v.vec.Has(i) {
		return event.Value{}
	}
	switch v.vec.Encoding {
	case colfile.Delta:
		return event.Int(v.vec.Nums[i])
	case colfile.Split:
		return event.Float(v.vec.Floats[i])
	case colfile.Lengths:
		return event.String(v.vec.Str(i))
	default:
		if v.typ == colfile.ID16 {
			return event.String(event.TraceID(v.vec.IDs[i*16 : i*16+16]).String())
		}
		return event.String(event.SpanID(v.vec.IDs[i*8 : i*8+8]).String())
	}
}

// scanner reads the pages of one unit after the other, and only the columns that are asked for.
// Its memory is used again for each.
type scanner struct {
	dicts *dicts
	u     *unit
	page  int
	n     int
	names map[string]*field
	free  []*values
	bytes int64 // read
	err   error // the first; everything that follows it is undefined

	overflowed map[fieldKey]*event.Column
	overflow   bool           // overflowed is read
	parts      map[int]*parts // by predicate, see unpacked.go
}

// enter begins to scan a unit.
func (s *scanner) enter(u *unit) {
	s.leave()
	s.u, s.page = u, -1
	if s.names == nil {
		s.names = map[string]*field{}
	}
}

func (s *scanner) leave() {
	for _, f := range s.names {
		s.free = append(s.free, f.sources...)
	}
	clear(s.names)
	clear(s.parts)
	s.u, s.overflowed, s.overflow = nil, nil, false
}

func (s *scanner) newValues(name string, t colfile.Type) *values {
	v := &values{}
	if n := len(s.free); n > 0 {
		v, s.free = s.free[n-1], s.free[:n-1]
	}
	*v = values{field: name, typ: t, header: -1, page: -1, vec: v.vec, lower: v.lower, verdicts: v.verdicts[:0], pages: v.pages[:0], codes: v.codes[:0], hashes: v.hashes[:0]}
	return v
}

// turn goes to page i.
func (s *scanner) turn(i int) {
	s.page, s.n = i, s.u.pageLen(i)
}

// field returns what the unit has of a field.
func (s *scanner) field(name string) *field {
	if f := s.names[name]; f != nil {
		return f
	}
	f := &field{name: name}
	s.names[name] = f
	if s.u.batch != nil {
		s.batchField(f)
	} else {
		s.segmentField(f)
	}
	return f
}

func (s *scanner) segmentField(f *field) {
	switch f.name {
	case event.FieldDataset:
		f.constant = event.Int(int64(s.u.group.Dataset))
		return
	case event.FieldSampleRate:
		if chunk(s.u.chunks, colSampleRate) == nil {
			f.constant = event.Int(1)
			return
		}
	case "":
		return
	}
	for _, col := range s.u.file.fields[f.name] {
		k := chunk(s.u.chunks, col)
		if k == nil {
			continue
		}
		v := s.newValues(f.name, s.u.file.Columns[col].Type)
		if k.Encoding == colfile.Elsewhere {
			v.column = s.spilled(f.name, kindOf(v.typ))
			if v.column == nil {
				s.free = append(s.free, v)
				continue
			}
		} else {
			v.chunk = k
		}
		f.sources = append(f.sources, v)
	}
}

// spilled returns a field that is kept in the overflow column.
func (s *scanner) spilled(name string, kind event.Kind) *event.Column {
	if !s.overflow {
		s.overflow = true
		cols, err := readOverflowColumns(s.u.file, s.u.group, s.u.chunks, func(string) bool { return true }, &s.bytes)
		s.fail(err)
		s.overflowed = cols
	}
	return s.overflowed[fieldKey{name, kind}]
}

func (s *scanner) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

func (s *scanner) batchField(f *field) {
	if f.name != "" && f.name[0] == '$' {
		for col, c := range headerColumns {
			if c.Field == f.name {
				v := s.newValues(f.name, c.Type)
				v.header = col
				f.sources = append(f.sources, v)
			}
		}
		return
	}
	for c := range s.u.batch.ColumnsOf(f.name) {
		v := s.newValues(f.name, typeOf(c.Kind))
		v.column = &c
		f.sources = append(f.sources, v)
	}
}

// load makes v hold the scanner's page.
func (s *scanner) load(v *values) {
	if v.page == s.page && !v.few || s.err != nil {
		return
	}
	v.page, v.few = s.page, false
	switch {
	case v.chunk != nil:
		s.loadDict(v)
		s.bytes += int64(v.chunk.Pages[s.page].Size)
		if s.err == nil {
			s.fail(s.u.file.ReadPage(s.u.group, v.chunk, s.page, &v.vec))
		}
		if v.field == event.FieldSampleRate && s.err == nil {
			s.atLeastOne(v)
		}
	case v.column != nil:
		s.loadColumn(v)
	default:
		s.loadHeader(v)
	}
}

// loadDict reads the dictionary of a chunk.
func (s *scanner) loadDict(v *values) {
	if v.loaded {
		return
	}
	v.loaded = true
	switch {
	case v.chunk != nil && v.chunk.Encoding == colfile.Dictionary:
		s.bytes += int64(v.chunk.DictPage.Size)
		d, err := s.dicts.read(s.u.file, v.chunk, v.typ)
		s.fail(err)
		if err != nil {
			d = &colfile.Dict{}
		}
		v.dict = d
	case v.column != nil && v.typ == colfile.String:
		v.list = v.column.Dict
	}
}

// loadFor loads a field for some rows of the page; it reports whether one of them may have it. What
// is read for them alone is used with atFew, and read again by load.
func (s *scanner) loadFor(f *field, at []int) bool {
	some := !f.constant.Missing()
	for _, v := range f.sources {
		if v.page == s.page && !v.few || v.chunk == nil || f.name == event.FieldSampleRate {
			s.load(v)
			some = true
			continue
		}
		s.bytes += int64(v.chunk.Pages[s.page].Size)
		v.page, v.few = -1, false
		has, err := s.u.file.ReadPageFor(s.u.group, v.chunk, s.page, at, &v.vec)
		s.fail(err)
		if has {
			if !s.entriesFor(v, at) {
				s.loadDict(v)
			}
			v.page, v.few, some = s.page, true, true
		}
	}
	return some
}

// atFew returns the value of a field in row i, which loadFor loaded. Strings live as long as the page.
func (s *scanner) atFew(f *field, i int) event.Value {
	for _, v := range f.sources {
		if v.page != s.page {
			continue // none of the rows has it
		}
		if x := v.at(i); !x.Missing() {
			return x
		}
	}
	return f.constant
}

// fewRows is the number of rows up to which only their entries of a large dictionary are read.
const fewRows = 4

// entriesFor reads what the rows need of a dictionary in place of all of it; it reports false when
// that would not pay.
func (s *scanner) entriesFor(v *values, at []int) bool {
	if v.loaded || v.chunk.Frames == nil || len(at) > fewRows || s.dicts.has(s.u.file, v.chunk) {
		return false
	}
	var codes []uint32
	for _, i := range at {
		if c := v.vec.Codes[i]; int(c) < v.chunk.Dict {
			codes = append(codes, c)
		}
	}
	d, err := s.u.file.ReadDictFor(v.chunk, codes)
	if err != nil {
		s.fail(err)
		d = &colfile.Dict{}
	}
	v.dict = d // v.loaded stays false
	next := uint32(0)
	for _, i := range at {
		if int(v.vec.Codes[i]) < v.chunk.Dict {
			v.vec.Codes[i] = next
			next++
		} else {
			v.vec.Codes[i] = uint32(d.Len())
		}
	}
	return true
}

// atLeastOne gives rows without a sample rate the rate 1.
func (s *scanner) atLeastOne(v *values) {
	nums := make([]int64, s.n)
	for i := range nums {
		nums[i] = max(v.at(i).Int(), 1)
	}
	v.vec.Encoding, v.vec.Nums, v.vec.Valid = colfile.Delta, nums, nil
}

func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// loadColumn makes a page of a column of a batch.
func (s *scanner) loadColumn(v *values) {
	s.loadDict(v)
	c, first := v.column, s.page*colfile.PageRows
	lo, _ := slices.BinarySearch(c.Rows, int32(first))
	hi, _ := slices.BinarySearch(c.Rows, int32(first+s.n))
	rows := c.Rows[lo:hi]
	v.vec.Type, v.vec.N = v.typ, s.n
	switch v.typ {
	case colfile.String, colfile.Bool:
		v.vec.Encoding = colfile.Dictionary
		if v.typ == colfile.Bool {
			v.vec.Encoding = colfile.Plain
		}
		v.vec.Codes = resize(v.vec.Codes, s.n)
		none := uint32(v.entries())
		for i := range v.vec.Codes {
			v.vec.Codes[i] = none
		}
		for i, r := range rows {
			v.vec.Codes[int(r)-first] = c.Codes[lo+i]
		}
		return
	}
	valid := bitmap(make([]uint64, (s.n+63)/64))
	for _, r := range rows {
		valid.set(int(r) - first)
	}
	v.vec.Valid = valid
	if len(rows) == s.n {
		v.vec.Valid = nil
	}
	if v.typ == colfile.Float {
		v.vec.Encoding = colfile.Split
		v.vec.Floats = resize(v.vec.Floats, s.n)
		clear(v.vec.Floats)
		for i, r := range rows {
			v.vec.Floats[int(r)-first] = math.Float64frombits(uint64(c.Nums[lo+i]))
		}
		return
	}
	v.vec.Encoding = colfile.Delta
	v.vec.Nums = resize(v.vec.Nums, s.n)
	clear(v.vec.Nums)
	for i, r := range rows {
		v.vec.Nums[int(r)-first] = c.Nums[lo+i]
	}
}

// loadHeader makes a page of a column of a batch's headers.
func (s *scanner) loadHeader(v *values) {
	first := s.page * colfile.PageRows
	headers := s.u.batch.Headers[first : first+s.n]
	v.vec.Type, v.vec.N, v.vec.Valid = v.typ, s.n, nil
	switch v.header {
	case colTrace, colSpan, colParent:
		w := idWidth(v.typ)
		v.vec.Encoding = colfile.Plain
		v.vec.IDs = resize(v.vec.IDs, s.n*w)
		valid := bitmap(make([]uint64, (s.n+63)/64))
		for i := range headers {
			h := &headers[i]
			var id []byte
			switch v.header {
			case colTrace:
				id = h.Trace[:]
			case colSpan:
				id = h.Span[:]
			default:
				id = h.Parent[:]
			}
			copy(v.vec.IDs[i*w:], id)
			if !zero(id) {
				valid.set(i)
			}
		}
		v.vec.Valid = valid
		return
	case colStream:
		v.vec.Encoding = colfile.Lengths
		v.vec.Text, v.vec.Offsets = nil, append(v.vec.Offsets[:0], 0)
		valid := bitmap(make([]uint64, (s.n+63)/64))
		for i := range headers {
			v.vec.Text = append(v.vec.Text, headers[i].Stream...)
			v.vec.Offsets = append(v.vec.Offsets, uint32(len(v.vec.Text)))
			if headers[i].Stream != "" {
				valid.set(i)
			}
		}
		v.vec.Valid = valid
		return
	}
	v.vec.Encoding = colfile.Delta
	v.vec.Nums = resize(v.vec.Nums, s.n)
	for i := range headers {
		h := &headers[i]
		switch v.header {
		case colTime:
			v.vec.Nums[i] = h.Time
		case colIngested:
			v.vec.Nums[i] = h.Ingested
		case colSeq:
			v.vec.Nums[i] = int64(h.Seq)
		case colDataset:
			v.vec.Nums[i] = int64(h.Dataset)
		default:
			v.vec.Nums[i] = int64(max(h.SampleRate, 1))
		}
	}
}

func zero(id []byte) bool {
	for _, b := range id {
		if b != 0 {
			return false
		}
	}
	return true
}

// value returns the value of a field in row i of the page. Strings live as long as the page.
func (s *scanner) value(f *field, i int) event.Value {
	for _, v := range f.sources {
		s.load(v)
		if s.err != nil {
			return event.Value{}
		}
		if x := v.at(i); !x.Missing() {
			return x
		}
	}
	return f.constant
}

// pageRow is a row of the scanner's page, for expressions that are evaluated row by row.
type pageRow struct {
	s *scanner
	i int
}

// Get implements query.Row.
func (r *pageRow) Get(name string) event.Value { return r.s.value(r.s.field(name), r.i) }

// Each implements query.Row.
func (r *pageRow) Each(yield func(string, event.Value) bool) {
	for _, name := range r.s.u.fieldNames() {
		if v := r.Get(name); !v.Missing() && !yield(name, v) {
			return
		}
	}
}

// fieldNames lists the fields of a unit's rows, header fields first.
func (u *unit) fieldNames() []string {
	names := slices.Clone(event.HeaderFields())
	if u.batch != nil {
		for i := range u.batch.NumColumns() {
			if name := u.batch.Column(i).Name; !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		return names
	}
	last := ""
	for i := range u.chunks {
		// Columns of one field are neighbours, but for those that overflowed.
		if c := u.file.Columns[u.chunks[i].Column]; u.chunks[i].Column >= numHeaderColumns && c.Field != last {
			last = c.Field
			if u.chunks[i].Encoding != colfile.Elsewhere || !slices.Contains(names, c.Field) {
				names = append(names, c.Field)
			}
		}
	}
	return names
}

// rowsOf returns rows of the page as rows of their own, with the wanted fields.
func (s *scanner) rowsOf(at []int, want map[string]bool, all bool) []query.Row {
	names := make([][]string, len(at))
	vals := make([][]event.Value, len(at))
	for _, name := range s.u.fieldNames() {
		if !all && !want[name] {
			continue
		}
		_, known := s.names[name]
		f := s.field(name)
		if s.loadFor(f, at) {
			for k, i := range at {
				if v := s.atFew(f, i); !v.Missing() {
					names[k] = append(names[k], f.name)
					vals[k] = append(vals[k], owned(v))
				}
			}
		}
		if s.err != nil {
			return nil
		}
		if !known { // the next field may have the memory
			s.free = append(s.free, f.sources...)
			delete(s.names, name)
		}
	}
	rows := make([]query.Row, len(at))
	for k := range at {
		rows[k] = query.NewRow(names[k], vals[k])
	}
	return rows
}

// owned returns v with a string that outlives the page.
func owned(v event.Value) event.Value {
	if v.Kind() == event.KindString {
		return event.String(string(unsafe.Slice(unsafe.StringData(v.Str()), len(v.Str()))))
	}
	return v
}
