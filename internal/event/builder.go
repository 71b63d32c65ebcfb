package event

import (
	"bytes"
	"hash/maphash"
	"math"
	"sync"
	"unicode/utf8"
	"unsafe"
)

// Builder makes batches: Add begins an event, the Set methods give it fields. It is used by one
// goroutine. What a batch needs is collected in memory that the builder keeps, and copied once
// into slabs of the right size; names are known from one batch to the next.
type Builder struct {
	headers []Header
	cells   []cell
	columns []building
	row     int32 // of the newest event; recording's number while one runs; closed
	record  int32 // number of the newest recording, counting down from firstRecord
	began   int   // cells before the running recording

	fields []field // fields[0] is no field
	slots  []int32 // open-addressed by hash of the name: place in fields, 0 is free
	prev   int32   // the field that was set last
	length int     // of all names

	text     []byte // of all values
	values   []value
	known    []knownValue // open-addressed by hash of column and value
	inKnown  int
	knownGen uint32
}

// Numbers in place of a row's.
const (
	closed      = -1 // Set has no event to give fields to
	never       = -2
	firstRecord = -3
)

const (
	// After so many lookups of which three of four found nothing, most values of a column are
	// different, and each is kept as it comes.
	lookups = 256

	// Above these a builder forgets the names that it knows after a batch, and gives memory back.
	maxNames, maxNameBytes = 1 << 13, 1 << 20
	keepCells, keepText    = 1 << 18, 4 << 20
)

// cell is one value of a row: the code of a KindString, else the bits of the value.
type cell struct {
	column int32
	row    int32
	num    uint64
}

// field is a name that the builder knows, and what it is in the batch that is being built.
type field struct {
	name    string
	hash    uint32
	next    int32 // the field that followed at the last time, which it will often do again
	row     int32 // the newest row that has it
	cell    int32 // its place there
	columns [KindBool]int32
}

// building is a column of the batch that is being built.
type building struct {
	field int32
	kind  Kind
	apart bool   // each value is kept as it comes
	n     uint32 // cells
	size  uint32 // of the dictionary
	looks uint32
	last  int32 // the newest value, or -1

	// Where the values go in the batch.
	rows, data, dict uint32
}

// value is an entry of a column's dictionary.
type value struct {
	at     int // in text
	len    uint32
	column int32
	code   uint32
	hash   uint32
}

// knownValue is a place of the table of values; it is free when gen is not the batch's.
type knownValue struct {
	gen   uint32
	hash  uint32
	value int32
}

// seed is drawn at every start: nobody outside can know which names collide.
var seed = maphash.MakeSeed()

func hashString(s string) uint32 { return fold(maphash.String(seed, s)) }

func fold(h uint64) uint32 { return uint32(h ^ h>>32) }

var builders = sync.Pool{New: func() any {
	b := &Builder{known: make([]knownValue, 1<<10), knownGen: 1, row: closed, record: firstRecord}
	b.forget()
	return b
}}

// NewBuilder returns an empty builder. Release gives it back.
func NewBuilder() *Builder { return builders.Get().(*Builder) }

// Release gives the builder back; it must not be used again.
func (b *Builder) Release() {
	b.reset()
	builders.Put(b)
}

// forget drops the names; no batch is being built.
func (b *Builder) forget() {
	b.fields = append(b.fields[:0:0], field{row: never})
	b.slots = make([]int32, 1<<8)
	b.prev, b.length = 0, 0
}

// reset drops what was added.
func (b *Builder) reset() {
	for i := range b.columns {
		b.fields[b.columns[i].field].begin()
	}
	clear(b.headers) // streams
	b.headers, b.cells, b.columns, b.text, b.values = b.headers[:0], b.cells[:0], b.columns[:0], b.text[:0], b.values[:0]
	b.row, b.record, b.prev = closed, firstRecord, 0
	b.inKnown = 0
	if b.knownGen++; b.knownGen == 0 {
		clear(b.known)
		b.knownGen = 1
	}
	if len(b.fields) > maxNames || b.length > maxNameBytes {
		b.forget()
	}
	if cap(b.cells) > keepCells || cap(b.headers) > keepCells/8 {
		b.cells, b.headers, b.columns = nil, nil, nil
	}
	if cap(b.text) > keepText {
		b.text = nil
	}
	if len(b.known) > keepCells {
		b.known, b.values = make([]knownValue, 1<<10), nil
	}
}

// Len returns the number of events that were added.
func (b *Builder) Len() int { return len(b.headers) }

// Bytes returns about what Bytes of the batch will be.
func (b *Builder) Bytes() int {
	return len(b.headers)*int(unsafe.Sizeof(Header{})) + len(b.cells)*12 + len(b.values)*16 + len(b.text) + len(b.columns)*int(unsafe.Sizeof(column{}))
}

// Add begins a new event; Set then gives it fields. The header's stream is kept, not copied.
func (b *Builder) Add(h Header) {
	h.SampleRate = max(h.SampleRate, 1)
	if n := len(b.headers); n > 0 && b.headers[n-1].Stream == h.Stream {
		h.Stream = b.headers[n-1].Stream // one copy is enough
	} else if !utf8.ValidString(h.Stream) {
		h.Stream = string(bytes.ToValidUTF8([]byte(h.Stream), []byte("\uFFFD")))
	}
	b.row = int32(len(b.headers))
	b.headers = append(b.headers, h)
}

// Set gives the newest event a field. A second Set of a name replaces the first, also when
// the kind differs. Missing values, empty names and names beginning with '$' are dropped;
// invalid UTF-8 is replaced by U+FFFD. An event of which a field is replaced or dropped for its name
// is not Unpacked.
func (b *Builder) Set(name string, v Value) {
	switch v.kind {
	case None:
	case KindString:
		b.SetStringBytes(bytesOf(name), bytesOf(v.str))
	default:
		b.put(b.field(bytesOf(name)), v.kind, v.num)
	}
}

// SetString gives the newest event a string field.
func (b *Builder) SetString(name, s string) { b.SetStringBytes(bytesOf(name), bytesOf(s)) }

// SetInt gives the newest event an integer field.
func (b *Builder) SetInt(name string, i int64) { b.SetIntBytes(bytesOf(name), i) }

// SetFloat gives the newest event a floating-point field.
func (b *Builder) SetFloat(name string, f float64) { b.SetFloatBytes(bytesOf(name), f) }

// SetBool gives the newest event a boolean field.
func (b *Builder) SetBool(name string, v bool) { b.SetBoolBytes(bytesOf(name), v) }

// SetStringBytes is SetString; it copies both.
func (b *Builder) SetStringBytes(name, s []byte) {
	if b.row == closed {
		return
	}
	if f := b.field(name); f != 0 {
		c := b.column(f, KindString)
		b.putCell(f, c, uint64(b.code(c, s)))
	}
}

// SetIntBytes is SetInt; it copies the name.
func (b *Builder) SetIntBytes(name []byte, i int64) { b.put(b.field(name), KindInt, uint64(i)) }

// SetFloatBytes is SetFloat; it copies the name.
func (b *Builder) SetFloatBytes(name []byte, f float64) {
	b.put(b.field(name), KindFloat, math.Float64bits(f))
}

// SetBoolBytes is SetBool; it copies the name.
func (b *Builder) SetBoolBytes(name []byte, v bool) {
	var num uint64
	if v {
		num = 1
	}
	b.put(b.field(name), KindBool, num)
}

// bytesOf lends the bytes of a string, which nobody writes to.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// field returns the place of a name in fields, 0 when no field can have it.
func (b *Builder) field(name []byte) int32 {
	if id := b.fields[b.prev].next; b.fields[id].name == string(name) {
		b.prev = id
		return id
	}
	return b.lookup(name)
}

func (b *Builder) lookup(name []byte) int32 {
	if len(name) == 0 || name[0] == '$' {
		b.pack()
		return 0
	}
	h := fold(maphash.Bytes(seed, name))
	mask := uint32(len(b.slots) - 1)
	slot := h & mask
	for ; b.slots[slot] != 0; slot = (slot + 1) & mask {
		if id := b.slots[slot]; b.fields[id].hash == h && b.fields[id].name == string(name) {
			b.follow(id)
			return id
		}
	}
	if !utf8.Valid(name) {
		return b.lookup(bytes.ToValidUTF8(name, []byte("\uFFFD")))
	}
	id := int32(len(b.fields))
	b.fields = append(b.fields, field{name: string(name), hash: h})
	b.fields[id].begin()
	b.length += len(name)
	b.slots[slot] = id
	if 2*len(b.fields) > len(b.slots) {
		b.slots = make([]int32, 2*len(b.slots))
		mask := uint32(len(b.slots) - 1)
		for i := range b.fields[1:] {
			slot := b.fields[i+1].hash & mask
			for b.slots[slot] != 0 {
				slot = (slot + 1) & mask
			}
			b.slots[slot] = int32(i + 1)
		}
	}
	b.follow(id)
	return id
}

// pack marks that the fields do not have all that is in the newest event's message.
func (b *Builder) pack() {
	if b.row >= 0 {
		b.headers[b.row].Unpacked = false
	}
}

func (b *Builder) follow(id int32) {
	b.fields[b.prev].next = id
	b.prev = id
}

// begin makes f a field that the batch does not have.
func (f *field) begin() {
	f.row = never
	f.columns = [KindBool]int32{-1, -1, -1, -1}
}

// column returns the column of a field and kind.
func (b *Builder) column(id int32, kind Kind) int32 {
	f := &b.fields[id]
	c := f.columns[kind-1]
	if c < 0 {
		c = int32(len(b.columns))
		f.columns[kind-1] = c
		b.columns = append(b.columns, building{field: id, kind: kind, last: -1})
	}
	return c
}

// code returns the place of a value in the dictionary of column c.
func (b *Builder) code(c int32, s []byte) uint32 {
	col := &b.columns[c]
	if col.last >= 0 {
		if v := &b.values[col.last]; string(b.text[v.at:][:v.len]) == string(s) {
			return v.code
		}
	}
	if col.apart {
		if !utf8.Valid(s) {
			s = bytes.ToValidUTF8(s, []byte("\uFFFD"))
		}
		return b.newValue(c, s, 0)
	}
	h := fold(maphash.Bytes(seed, s)) + uint32(c)*0x9E3779B1
	mask := uint32(len(b.known) - 1)
	slot := h & mask
	for ; b.known[slot].gen == b.knownGen; slot = (slot + 1) & mask {
		if k := &b.known[slot]; k.hash == h {
			if v := &b.values[k.value]; v.column == c && string(b.text[v.at:][:v.len]) == string(s) {
				col.last = k.value
				col.looks++
				return v.code
			}
		}
	}
	if !utf8.Valid(s) {
		return b.code(c, bytes.ToValidUTF8(s, []byte("\uFFFD")))
	}
	if col.looks++; col.looks >= lookups && col.size/3 >= col.looks/4 {
		col.apart = true
	}
	b.known[slot] = knownValue{b.knownGen, h, int32(len(b.values))}
	code := b.newValue(c, s, h)
	if b.inKnown++; 2*b.inKnown > len(b.known) {
		b.growKnown()
	}
	return code
}

func (b *Builder) newValue(c int32, s []byte, h uint32) uint32 {
	col := &b.columns[c]
	col.last = int32(len(b.values))
	code := col.size
	col.size++
	b.values = append(b.values, value{at: len(b.text), len: uint32(len(s)), column: c, code: code, hash: h})
	b.text = append(b.text, s...)
	return code
}

func (b *Builder) growKnown() {
	old := b.known
	b.known = make([]knownValue, 4*len(old))
	mask := uint32(len(b.known) - 1)
	for _, k := range old {
		if k.gen != b.knownGen {
			continue
		}
		slot := k.hash & mask
		for b.known[slot].gen == b.knownGen {
			slot = (slot + 1) & mask
		}
		b.known[slot] = k
	}
}

func (b *Builder) put(id int32, kind Kind, num uint64) {
	if id != 0 && b.row != closed {
		b.putCell(id, b.column(id, kind), num)
	}
}

// putCell gives the newest row a value, in the place of one that its field has there already.
func (b *Builder) putCell(id, c int32, num uint64) {
	f := &b.fields[id]
	b.columns[c].n++
	if f.row == b.row {
		b.pack()
		old := &b.cells[f.cell]
		b.columns[old.column].n--
		old.column, old.num = c, num
		return
	}
	f.row, f.cell = b.row, int32(len(b.cells))
	b.cells = append(b.cells, cell{c, b.row, num})
}

// Shared is a list of fields that many events have; see Builder.Record. It belongs to the batch
// that was being built.
type Shared struct {
	cells []cell // the row is the field
}

// Record begins a recording: until Recorded, what is set goes to it instead of to an event. The
// event before gets no more fields.
func (b *Builder) Record() {
	b.record--
	b.row, b.began = b.record, len(b.cells)
}

// Recorded ends the recording and puts it in place of what s held.
func (b *Builder) Recorded(s *Shared) {
	s.cells = append(s.cells[:0], b.cells[b.began:]...)
	b.cells = b.cells[:b.began]
	for i := range s.cells {
		c := &b.columns[s.cells[i].column]
		c.n--
		s.cells[i].row = c.field
	}
	b.row = closed
}

// Replay sets all fields of s for the newest event, or in the running recording, as if each
// were set now.
func (b *Builder) Replay(s *Shared) {
	if b.row == closed {
		return
	}
	for i := range s.cells {
		c := &s.cells[i]
		b.putCell(c.row, c.column, c.num)
	}
}

// Batch returns what was built. The builder is empty again.
func (b *Builder) Batch() *Batch {
	out := &Batch{Headers: append(make([]Header, 0, len(b.headers)), b.headers...)}
	var columns, rows, codes, nums, dict int
	all := uint32(len(b.headers))
	for i := range b.columns {
		c := &b.columns[i]
		if c.n == 0 {
			continue
		}
		if c.n == all {
			rows = int(all) // columns that every row has share one list of rows, the first
		}
		columns++
	}
	shared := rows
	out.columns = make([]column, 0, columns)
	hashes := make([]uint32, 0, 64)
	for i := range b.columns {
		c := &b.columns[i]
		if c.n == 0 {
			continue
		}
		f := &b.fields[c.field]
		d := column{name: f.name, kind: c.kind, n: c.n, dict: uint32(dict), size: c.size}
		if c.n != all {
			d.rows = uint32(rows)
			rows += int(c.n)
		}
		if c.kind.wide() {
			d.data = uint32(nums)
			nums += int(c.n)
		} else {
			d.data = uint32(codes)
			codes += int(c.n)
		}
		dict += int(c.size)
		c.rows, c.data, c.dict = d.rows, d.data, d.dict
		out.columns = append(out.columns, d)
		hashes = append(hashes, f.hash)
	}
	out.rows, out.codes, out.nums, out.dict = make([]int32, rows), make([]uint32, codes), make([]int64, nums), make([]string, dict)
	for i := range out.rows[:shared] {
		out.rows[i] = int32(i)
	}
	for i := range b.cells {
		c := &b.cells[i]
		col := &b.columns[c.column]
		if col.n != all {
			out.rows[col.rows] = c.row
			col.rows++
		}
		if col.kind.wide() {
			out.nums[col.data] = int64(c.num)
		} else {
			out.codes[col.data] = uint32(c.num)
		}
		col.data++
	}
	text := string(b.text)
	for i := range b.values {
		v := &b.values[i]
		if col := &b.columns[v.column]; col.n > 0 {
			out.dict[col.dict+v.code] = text[v.at:][:v.len]
		}
	}
	out.finish(len(text), func(i int) uint32 { return hashes[i] })
	b.reset()
	return out
}
