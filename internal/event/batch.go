package event

import (
	"iter"
	"math/bits"
	"slices"
	"unsafe"
)

// DatasetID names a Dataset in batches and in storage. It is assigned by package meta and
// never used again after the dataset is deleted. Zero is no dataset.
type DatasetID uint32

// Names of the header fields where a query refers to them like any other field. A user's
// field can not have such a name: Builder.Set drops names that begin with '$'.
const (
	FieldTime       = "$time"        // integer, nanoseconds since the epoch
	FieldIngested   = "$ingested"    // integer, nanoseconds since the epoch
	FieldSeq        = "$seq"         // integer, order of ingestion, unique in the store
	FieldTrace      = "$trace_id"    // string, 32 hex digits
	FieldSpan       = "$span_id"     // string, 16 hex digits
	FieldParent     = "$parent_id"   // string, 16 hex digits
	FieldStream     = "$stream"      // string
	FieldDataset    = "$dataset"     // integer, the DatasetID
	FieldSampleRate = "$sample_rate" // integer, at least 1
	// FieldUnpacked is of use to the store alone, and not among HeaderFields.
	FieldUnpacked = "$unpacked" // boolean, true
)

// FieldMessage is the field with the whole text of a log line.
const FieldMessage = "@message"

// Header is what every event has, apart from its fields.
type Header struct {
	Time       int64 // nanoseconds since the epoch
	Ingested   int64 // nanoseconds since the epoch; when the server received it
	Seq        uint64
	Trace      TraceID
	Span       SpanID
	Parent     SpanID
	Stream     string
	Dataset    DatasetID
	SampleRate uint32 // 0 is read as 1
	// Unpacked says that the text in FieldMessage is a JSON object, each string of which, as it is
	// written there, is in a name or a string value of the fields for which InMessage holds. Who
	// looks for a text that is a part of a string need not read the message.
	Unpacked bool
}

// InMessage reports whether the field of an unpacked event is of its message. The others tell about
// the event.
func InMessage(name string) bool {
	switch {
	case name == "" || name[0] == '$' || name == "meta.signal_type" || name == "meta.annotation_type":
		return false
	case name[0] == '@':
		return len(name) > 1 && name[1] == '@' // of a member "@…"
	}
	return true
}

// Column holds the values of one field name and kind in a Batch. Its slices are views into the
// batch's memory and must not be changed.
type Column struct {
	Name string
	Kind Kind
	// Rows are the rows that have the value, ascending.
	Rows []int32
	// Codes are in step with Rows: of KindString the index of the value in Dict, of KindBool 0
	// or 1.
	Codes []uint32
	// Dict holds the values of a KindString column. A value may be there twice when most are
	// different, and values may be there that no row has.
	Dict []string
	// Nums are in step with Rows: of KindInt the value, of KindFloat its IEEE 754 bits.
	Nums []int64
}

// Floats returns the values of a KindFloat column, in step with Rows. It is a view of Nums: an
// int64 and a float64 have the same size and alignment, and every bit pattern is a float64.
func (c *Column) Floats() []float64 {
	if c.Kind != KindFloat {
		return nil
	}
	return unsafe.Slice((*float64)(unsafe.Pointer(unsafe.SliceData(c.Nums))), len(c.Nums))
}

// At returns the i-th stored value (not the value of row i).
func (c *Column) At(i int) Value {
	switch c.Kind {
	case KindString:
		return String(c.Dict[c.Codes[i]])
	case KindBool:
		return Bool(c.Codes[i] != 0)
	default:
		return Value{kind: c.Kind, num: uint64(c.Nums[i])}
	}
}

// Find returns the value of row, missing when the row has none.
func (c *Column) Find(row int) Value {
	if i := place(c.Rows, row); i >= 0 {
		return c.At(i)
	}
	return Value{}
}

// place returns the index of row in rows, or -1.
func place(rows []int32, row int) int {
	// A column that every row has is found at its own index.
	if row < len(rows) && rows[row] == int32(row) {
		return row
	}
	if i, ok := slices.BinarySearch(rows, int32(row)); ok {
		return i
	}
	return -1
}

// Batch is an immutable column-wise list of events of any datasets. It is built by a Builder or
// decoded; the store alone writes to it, the Seq of its headers.
type Batch struct {
	Headers []Header

	columns []column
	index   []int32 // open-addressed by hash of the name: 1 + place in columns, 0 is free
	// The columns' values, one after the other.
	rows  []int32
	codes []uint32
	nums  []int64
	dict  []string
	bytes int
}

// column says where the values of a Column are.
type column struct {
	name string
	kind Kind
	n    uint32 // rows that have it
	rows uint32 // into Batch.rows
	data uint32 // into Batch.codes or Batch.nums
	dict uint32 // into Batch.dict
	size uint32 // of the dictionary
}

// wide reports whether values of the kind are kept in nums, not codes.
func (k Kind) wide() bool { return k == KindInt || k == KindFloat }

// Len returns the number of events.
func (b *Batch) Len() int { return len(b.Headers) }

// Bytes returns the memory that the batch holds, names and texts included.
func (b *Batch) Bytes() int { return b.bytes }

// finish makes the index and counts the memory; text is the size of the strings of dict.
func (b *Batch) finish(text int, hash func(i int) uint32) {
	if n := len(b.columns); n > 0 {
		b.index = make([]int32, 1<<bits.Len(uint(2*n-1)))
	}
	mask := uint32(len(b.index) - 1)
	for i := range b.columns {
		slot := hash(i) & mask
		for b.index[slot] != 0 {
			slot = (slot + 1) & mask
		}
		b.index[slot] = int32(i + 1)
		text += len(b.columns[i].name)
	}
	for i := range b.Headers {
		// Neighbours of one stream share its text.
		if s := b.Headers[i].Stream; s != "" && (i == 0 || unsafe.StringData(s) != unsafe.StringData(b.Headers[i-1].Stream)) {
			text += len(s)
		}
	}
	b.bytes = text + int(unsafe.Sizeof(*b)) + len(b.Headers)*int(unsafe.Sizeof(Header{})) + len(b.columns)*int(unsafe.Sizeof(column{})) +
		4*len(b.index) + 4*len(b.rows) + 4*len(b.codes) + 8*len(b.nums) + 16*len(b.dict)
}

// NumColumns returns the number of columns.
func (b *Batch) NumColumns() int { return len(b.columns) }

// Column returns the i-th column. Columns are in the order in which their fields were first set.
func (b *Batch) Column(i int) Column {
	d := &b.columns[i]
	c := Column{Name: d.name, Kind: d.kind, Rows: b.rows[d.rows:][:d.n:d.n]}
	if d.kind.wide() {
		c.Nums = b.nums[d.data:][:d.n:d.n]
	} else {
		c.Codes = b.codes[d.data:][:d.n:d.n]
		c.Dict = b.dict[d.dict:][:d.size:d.size]
	}
	return c
}

// ColumnsOf yields the columns of a field name, one for each kind it has.
func (b *Batch) ColumnsOf(name string) iter.Seq[Column] {
	return func(yield func(Column) bool) {
		if len(b.index) == 0 {
			return
		}
		mask := uint32(len(b.index) - 1)
		for slot := hashString(name) & mask; b.index[slot] != 0; slot = (slot + 1) & mask {
			if i := int(b.index[slot] - 1); b.columns[i].name == name && !yield(b.Column(i)) {
				return
			}
		}
	}
}

// find returns the value of a row in the i-th column.
func (b *Batch) find(i, row int) Value {
	d := &b.columns[i]
	at := place(b.rows[d.rows:][:d.n], row)
	if at < 0 {
		return Value{}
	}
	at += int(d.data)
	switch d.kind {
	case KindString:
		return String(b.dict[d.dict+b.codes[at]])
	case KindBool:
		return Bool(b.codes[at] != 0)
	default:
		return Value{kind: d.kind, num: uint64(b.nums[at])}
	}
}

// Get returns the value of a field of a row, missing when it has none. It knows the header
// fields by their names.
func (b *Batch) Get(row int, name string) Value {
	if name != "" && name[0] == '$' {
		return b.Headers[row].Get(name)
	}
	if len(b.index) == 0 {
		return Value{}
	}
	mask := uint32(len(b.index) - 1)
	for slot := hashString(name) & mask; b.index[slot] != 0; slot = (slot + 1) & mask {
		if i := int(b.index[slot] - 1); b.columns[i].name == name {
			if v := b.find(i, row); !v.Missing() {
				return v
			}
		}
	}
	return Value{}
}

// Each calls yield for every field that a row has, header fields first, until it returns false.
func (b *Batch) Each(row int, yield func(name string, v Value) bool) {
	for _, n := range headerFields {
		if v := b.Headers[row].Get(n); !v.Missing() && !yield(n, v) {
			return
		}
	}
	for i := range b.columns {
		if v := b.find(i, row); !v.Missing() && !yield(b.columns[i].name, v) {
			return
		}
	}
}

// FromColumns makes a batch of headers and columns that were decoded elsewhere, which it copies,
// apart from the headers and the bytes of strings. Every column's rows must be ascending and
// within the headers, its codes within its dictionary, and no row may have two values of a name.
func FromColumns(headers []Header, columns []Column) *Batch {
	b := &Batch{Headers: headers, columns: make([]column, len(columns))}
	var rows, codes, nums, dict, text int
	for i := range columns {
		c := &columns[i]
		rows, codes, nums, dict = rows+len(c.Rows), codes+len(c.Codes), nums+len(c.Nums), dict+len(c.Dict)
	}
	b.rows, b.codes, b.nums, b.dict = make([]int32, 0, rows), make([]uint32, 0, codes), make([]int64, 0, nums), make([]string, 0, dict)
	for i := range columns {
		c := &columns[i]
		d := column{name: c.Name, kind: c.Kind, n: uint32(len(c.Rows)), rows: uint32(len(b.rows)), data: uint32(len(b.codes)), dict: uint32(len(b.dict)), size: uint32(len(c.Dict))}
		if c.Kind.wide() {
			d.data = uint32(len(b.nums))
		}
		b.columns[i] = d
		b.rows, b.codes, b.nums, b.dict = append(b.rows, c.Rows...), append(b.codes, c.Codes...), append(b.nums, c.Nums...), append(b.dict, c.Dict...)
		for _, s := range c.Dict {
			text += len(s)
		}
	}
	b.finish(text, func(i int) uint32 { return hashString(b.columns[i].name) })
	return b
}

// Get returns a header field by name. Zero ids and an empty stream are missing.
func (h *Header) Get(name string) Value {
	switch name {
	case FieldTime:
		return Int(h.Time)
	case FieldIngested:
		return Int(h.Ingested)
	case FieldSeq:
		return Int(int64(h.Seq))
	case FieldTrace:
		return idValue(h.Trace.String())
	case FieldSpan:
		return idValue(h.Span.String())
	case FieldParent:
		return idValue(h.Parent.String())
	case FieldStream:
		return idValue(h.Stream)
	case FieldDataset:
		return Int(int64(h.Dataset))
	case FieldSampleRate:
		return Int(int64(max(h.SampleRate, 1)))
	default:
		return Value{}
	}
}

func idValue(s string) Value {
	if s == "" {
		return Value{}
	}
	return String(s)
}

var headerFields = [...]string{FieldTime, FieldIngested, FieldSeq, FieldTrace, FieldSpan, FieldParent, FieldStream, FieldDataset, FieldSampleRate}

// HeaderFields lists the names that Header.Get knows.
func HeaderFields() []string { return headerFields[:] }
