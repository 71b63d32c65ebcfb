package event

import (
	"sort"
	"strings"
	"unicode/utf8"
)

// DatasetID names a Dataset in batches and in storage. It is assigned by package meta and
// never used again after the dataset is deleted. Zero is no dataset.
type DatasetID uint32

// Names of the header fields where a query refers to them like any other field. A user's
// field can not have such a name: Batch.Set drops names that begin with '$'.
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
)

// Header is what every event has, apart from its fields.
type Header struct {
	Time       int64 // nanoseconds since the epoch
	Ingested   int64 // nanoseconds since the epoch; when the server received it
	Seq        uint64
	Trace      TraceID
	Span       SpanID
	Parent     SpanID
	Stream     string
	SampleRate uint32 // 0 is read as 1
}

// Column holds the values of one field name and kind in a Batch: Rows lists the rows that
// have the value, ascending, and the slice of the column's kind lists the values in step.
type Column struct {
	Name    string
	Kind    Kind
	Rows    []int32
	Strings []string
	Ints    []int64
	Floats  []float64
	Bools   []bool
}

// At returns the i-th stored value (not the value of row i).
func (c *Column) At(i int) Value {
	switch c.Kind {
	case KindString:
		return String(c.Strings[i])
	case KindInt:
		return Int(c.Ints[i])
	case KindFloat:
		return Float(c.Floats[i])
	default:
		return Bool(c.Bools[i])
	}
}

// Find returns the value of row, missing when the row has none.
func (c *Column) Find(row int) Value {
	n := len(c.Rows)
	if n == 0 {
		return Value{}
	}
	// A column that every row has is found at its own index.
	if row < n && c.Rows[row] == int32(row) {
		return c.At(row)
	}
	i := sort.Search(n, func(i int) bool { return c.Rows[i] >= int32(row) })
	if i < n && c.Rows[i] == int32(row) {
		return c.At(i)
	}
	return Value{}
}

func (c *Column) append(row int32, v Value) {
	c.Rows = append(c.Rows, row)
	switch c.Kind {
	case KindString:
		c.Strings = append(c.Strings, v.str)
	case KindInt:
		c.Ints = append(c.Ints, v.Int())
	case KindFloat:
		c.Floats = append(c.Floats, v.Float())
	default:
		c.Bools = append(c.Bools, v.Bool())
	}
}

func (c *Column) pop() {
	n := len(c.Rows) - 1
	c.Rows = c.Rows[:n]
	switch c.Kind {
	case KindString:
		c.Strings = c.Strings[:n]
	case KindInt:
		c.Ints = c.Ints[:n]
	case KindFloat:
		c.Floats = c.Floats[:n]
	default:
		c.Bools = c.Bools[:n]
	}
}

// Batch is a column-wise list of events of one dataset. A Batch is built by one goroutine
// (Add, then Set for that row's fields) and is immutable once handed to the ingest queue.
type Batch struct {
	Dataset DatasetID
	Headers []Header
	Columns []*Column

	byName map[string][]*Column
	bytes  int
}

// NewBatch returns an empty batch for ds.
func NewBatch(ds DatasetID) *Batch {
	return &Batch{Dataset: ds, byName: map[string][]*Column{}}
}

// Len returns the number of events.
func (b *Batch) Len() int { return len(b.Headers) }

// Bytes returns an estimate of the memory that the batch holds.
func (b *Batch) Bytes() int { return b.bytes + 96*len(b.Headers) }

// Add begins a new event; Set then gives it fields.
func (b *Batch) Add(h Header) {
	if h.SampleRate == 0 {
		h.SampleRate = 1
	}
	h.Stream = validUTF8(h.Stream)
	b.Headers = append(b.Headers, h)
	b.bytes += len(h.Stream)
}

// Set gives the newest event a field. A second Set of a name replaces the first, also when
// the kind differs. Missing values, empty names and names beginning with '$' are dropped;
// invalid UTF-8 is replaced by U+FFFD.
func (b *Batch) Set(name string, v Value) {
	if v.Missing() || name == "" || name[0] == '$' || len(b.Headers) == 0 {
		return
	}
	name = validUTF8(name)
	v.str = validUTF8(v.str)
	row := int32(len(b.Headers) - 1)
	cols := b.byName[name]
	var own *Column
	for _, c := range cols {
		if n := len(c.Rows); n > 0 && c.Rows[n-1] == row {
			c.pop()
		}
		if c.Kind == v.kind {
			own = c
		}
	}
	if own == nil {
		own = &Column{Name: name, Kind: v.kind}
		b.Columns = append(b.Columns, own)
		b.byName[name] = append(cols, own)
		b.bytes += len(name)
	}
	own.append(row, v)
	b.bytes += 12 + len(v.str)
}

func validUTF8(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// SetString gives the newest event a string field.
func (b *Batch) SetString(name, s string) { b.Set(name, String(s)) }

// SetInt gives the newest event an integer field.
func (b *Batch) SetInt(name string, i int64) { b.Set(name, Int(i)) }

// SetFloat gives the newest event a floating-point field.
func (b *Batch) SetFloat(name string, f float64) { b.Set(name, Float(f)) }

// SetBool gives the newest event a boolean field.
func (b *Batch) SetBool(name string, v bool) { b.Set(name, Bool(v)) }

// Get returns the value of a field of a row, missing when it has none. It knows the header
// fields by their names.
func (b *Batch) Get(row int, name string) Value {
	if name != "" && name[0] == '$' {
		return b.Headers[row].Get(name, b.Dataset)
	}
	for _, c := range b.byName[name] {
		if v := c.Find(row); !v.Missing() {
			return v
		}
	}
	return Value{}
}

// Adopt makes a batch of headers and columns that were decoded elsewhere. The slices belong to
// the batch from then on; every column's rows must be ascending and within the headers.
func Adopt(ds DatasetID, headers []Header, columns []*Column) *Batch {
	b := &Batch{Dataset: ds, Headers: headers, Columns: columns, byName: map[string][]*Column{}}
	for _, c := range columns {
		b.byName[c.Name] = append(b.byName[c.Name], c)
	}
	return b
}

// Each calls yield for every field that a row has, header fields first, until it returns false.
func (b *Batch) Each(row int, yield func(name string, v Value) bool) {
	for _, n := range headerFields {
		if v := b.Headers[row].Get(n, b.Dataset); !v.Missing() && !yield(n, v) {
			return
		}
	}
	for _, c := range b.Columns {
		if v := c.Find(row); !v.Missing() && !yield(c.Name, v) {
			return
		}
	}
}

// ColumnsOf returns the columns of a field name, one for each kind it has.
func (b *Batch) ColumnsOf(name string) []*Column { return b.byName[name] }

// Get returns a header field by name; ds is the dataset of the event. Zero ids and an empty
// stream are missing.
func (h *Header) Get(name string, ds DatasetID) Value {
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
		return Int(int64(ds))
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
