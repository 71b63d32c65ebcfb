package event_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trefoil-o11y/trefoil/internal/event"
)

// row is an event as a map.
type row struct {
	header event.Header
	fields map[string]event.Value
}

func clean(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func (r row) set(name string, v event.Value) {
	if v.Missing() || name == "" || name[0] == '$' {
		return
	}
	if v.Kind() == event.KindString {
		v = event.String(clean(v.Str()))
	}
	r.fields[clean(name)] = v
}

func randomName(rnd *rand.Rand) string {
	switch rnd.IntN(12) {
	case 0:
		return []string{"", "$time", "\xff\xfe", "a\xff", "ü"}[rnd.IntN(5)]
	case 1:
		return fmt.Sprint("rare.", rnd.IntN(1000))
	default:
		return fmt.Sprint("field.", rnd.IntN(20))
	}
}

func randomValue(rnd *rand.Rand) event.Value {
	switch rnd.IntN(12) {
	case 0:
		return event.Value{}
	case 1:
		return event.Int(int64(rnd.Uint64()) >> rnd.IntN(64))
	case 2:
		return event.Float([]float64{0, 1.5, math.Inf(1), -1e300, rnd.Float64()}[rnd.IntN(5)])
	case 3:
		return event.Bool(rnd.IntN(2) == 0)
	case 4:
		return event.String(fmt.Sprint("unlike any other ", rnd.Uint64()))
	case 5:
		return event.String([]string{"", "\xc3", "x\xffy", "日本"}[rnd.IntN(4)])
	default:
		return event.String(fmt.Sprint("one of few ", rnd.IntN(10)))
	}
}

// random builds a batch of n events, with what is shared replayed, and the same as maps.
func random(rnd *rand.Rand, bd *event.Builder, n int) (*event.Batch, []row) {
	rows := make([]row, n)
	var shared, outer event.Shared
	var wantShared, wantOuter []event.Field
	record := func(s *event.Shared, from *event.Shared, fields []event.Field) []event.Field {
		bd.Record()
		if from != nil {
			bd.Replay(from)
		}
		for range rnd.IntN(8) {
			f := event.Field{Name: randomName(rnd), Value: randomValue(rnd)}
			fields = append(fields[:len(fields):len(fields)], f)
			bd.Set(f.Name, f.Value)
		}
		bd.Recorded(s)
		return fields
	}
	unique := rnd.IntN(2) == 0
	for i := range rows {
		if i == 0 || rnd.IntN(50) == 0 {
			wantOuter = record(&outer, nil, nil)
			wantShared = record(&shared, &outer, wantOuter)
		}
		h := event.Header{Time: int64(rnd.Uint64()), Ingested: 7, Seq: rnd.Uint64(), Dataset: event.DatasetID(rnd.IntN(3)), SampleRate: uint32(1 + rnd.IntN(2)*rnd.IntN(100))}
		if rnd.IntN(2) == 0 {
			h.Stream = fmt.Sprint("stream ", rnd.IntN(2))
		}
		if rnd.IntN(4) > 0 {
			h.Trace, h.Span, h.Parent = event.TraceID{byte(rnd.IntN(3))}, event.SpanID{byte(rnd.IntN(3))}, event.SpanID{byte(rnd.IntN(3))}
		}
		rows[i] = row{h, map[string]event.Value{}}
		bd.Add(h)
		for range rnd.IntN(20) {
			name, v := randomName(rnd), randomValue(rnd)
			bd.Set(name, v)
			rows[i].set(name, v)
			if rnd.IntN(15) == 0 {
				bd.Replay(&shared)
				for _, f := range wantShared {
					rows[i].set(f.Name, f.Value)
				}
			}
		}
		if unique {
			v := event.String(fmt.Sprint("id ", i))
			bd.Set("id", v)
			rows[i].set("id", v)
		}
		bd.SetBool("every", true)
		rows[i].set("every", event.Bool(true))
	}
	return bd.Batch(), rows
}

func diff(want, got []row) string {
	if reflect.DeepEqual(want, got) {
		return ""
	}
	return cmp.Diff(want, got, cmp.AllowUnexported(row{}, event.Value{}))
}

func asRows(t *testing.T, b *event.Batch) []row {
	t.Helper()
	out := make([]row, b.Len())
	for i := range out {
		out[i] = row{b.Headers[i], map[string]event.Value{}}
		b.Each(i, func(name string, v event.Value) bool {
			if name[0] == '$' {
				return true
			}
			if _, twice := out[i].fields[name]; twice {
				t.Errorf("row %d has two values of %q", i, name)
			}
			out[i].fields[name] = v
			if got := b.Get(i, name); got != v {
				t.Errorf("row %d: Get(%q) = %q, Each says %q", i, name, got.Text(), v.Text())
			}
			return true
		})
	}
	for c := range b.NumColumns() {
		col := b.Column(c)
		if len(col.Rows) == 0 {
			t.Errorf("column %q has no rows", col.Name)
		}
		for i, r := range col.Rows {
			if i > 0 && r <= col.Rows[i-1] {
				t.Fatalf("rows of %q are not ascending", col.Name)
			}
			if v := out[r].fields[col.Name]; v != col.At(i) || v != col.Find(int(r)) {
				t.Errorf("row %d: column %q says %q, Each says %q", r, col.Name, col.At(i).Text(), v.Text())
			}
			if col.Kind == event.KindFloat && math.Float64bits(col.Floats()[i]) != math.Float64bits(col.At(i).Float()) {
				t.Errorf("row %d: Floats of %q differ", r, col.Name)
			}
		}
	}
	return out
}

// TestBuilderIsAMap compares batches with maps that got the same fields, with one builder for
// all so that what it keeps from one batch to the next is tried too.
func TestBuilderIsAMap(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 5))
	bd := event.NewBuilder()
	defer bd.Release()
	for range 200 {
		b, want := random(rnd, bd, rnd.IntN(700))
		if d := diff(want, asRows(t, b)); d != "" {
			t.Fatalf("batch differs from the maps (-want +got):\n%s", d)
		}
		enc := b.AppendBinary(nil)
		decoded, rest, err := event.DecodeBatch(enc)
		if err != nil || len(rest) != 0 {
			t.Fatalf("decode: %v, %d bytes left", err, len(rest))
		}
		if d := diff(want, asRows(t, decoded)); d != "" {
			t.Fatalf("decoded batch differs (-want +got):\n%s", d)
		}
		if !bytes.Equal(decoded.AppendBinary(nil), enc) {
			t.Fatal("a decoded batch is encoded in another way")
		}
		var columns []event.Column
		for i := range b.NumColumns() {
			columns = append(columns, b.Column(i))
		}
		if d := diff(want, asRows(t, event.FromColumns(b.Headers, columns))); d != "" {
			t.Fatalf("batch of columns differs (-want +got):\n%s", d)
		}
		if t.Failed() {
			return
		}
	}
}

// TestManyNames sets more names than a builder remembers.
func TestManyNames(t *testing.T) {
	bd := event.NewBuilder()
	defer bd.Release()
	const n = 20_000
	for round := range 3 {
		bd.Add(event.Header{})
		for i := range n {
			bd.SetInt(fmt.Sprint("name ", i), int64(i+round))
		}
		b := bd.Batch()
		if b.NumColumns() != n {
			t.Fatalf("%d columns, want %d", b.NumColumns(), n)
		}
		for _, i := range []int{0, n / 2, n - 1} {
			if got := b.Get(0, fmt.Sprint("name ", i)); got != event.Int(int64(i+round)) {
				t.Errorf("round %d: name %d = %q", round, i, got.Text())
			}
		}
	}
}

// TestDictionaries says which values a column keeps once.
func TestDictionaries(t *testing.T) {
	bd := event.NewBuilder()
	defer bd.Release()
	const n = 2000
	for i := range n {
		bd.Add(event.Header{})
		bd.SetString("few", fmt.Sprint(i%7))
		bd.SetString("own", fmt.Sprint(i))
	}
	b := bd.Batch()
	for name, want := range map[string]int{"few": 7, "own": n} {
		for c := range b.ColumnsOf(name) {
			if len(c.Dict) != want {
				t.Errorf("column %q has a dictionary of %d, want %d", name, len(c.Dict), want)
			}
		}
	}
}

// fill adds 1,000 events as a web service's spans are: 10 fields that all share, 15 with few
// values, 10 numbers, one id.
func fill(bd *event.Builder) {
	var shared event.Shared
	bd.Record()
	for _, n := range names[:10] {
		bd.SetString(n, n)
	}
	bd.Recorded(&shared)
	for i := range 1000 {
		bd.Add(event.Header{Time: int64(i) * 1e6, Trace: event.TraceID{byte(i), 1}, Span: event.SpanID{byte(i)}, Parent: event.SpanID{1, byte(i)}})
		bd.Replay(&shared)
		for j, n := range names[10:25] {
			bd.SetString(n, values[(i*7+j)%len(values)])
		}
		for j, n := range names[25:35] {
			bd.SetInt(n, int64(i*j))
		}
		bd.SetString("id", ids[i])
	}
}

var names, values, ids = texts(35, "some.attribute.%d"), texts(20, "one of a few values %d"), texts(1000, "%016x")

func texts(n int, format string) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(format, i)
	}
	return list
}

func perSpan(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/span")
}

func BenchmarkBuilder(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		bd := event.NewBuilder()
		fill(bd)
		bd.Batch()
		bd.Release()
	}
	perSpan(b)
}

func BenchmarkAppendBinary(b *testing.B) {
	bd := event.NewBuilder()
	fill(bd)
	batch := bd.Batch()
	var buf []byte
	for b.Loop() {
		buf = batch.AppendBinary(buf[:0])
	}
	perSpan(b)
	b.ReportMetric(float64(len(buf))/1000, "bytes/span")
	b.ReportMetric(float64(batch.Bytes())/1000, "memory/span")
}

func BenchmarkDecodeBatch(b *testing.B) {
	bd := event.NewBuilder()
	fill(bd)
	buf := bd.Batch().AppendBinary(nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := event.DecodeBatch(buf); err != nil {
			b.Fatal(err)
		}
	}
	perSpan(b)
}
