package otlp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trefoil-o11y/trefoil/internal/event"
)

// maker writes random OTLP messages: fields in any order, some twice, some of later versions of
// the protocol, values and names that meet each other.
type maker struct{ *rand.Rand }

// message joins fields in a random order, and now and then one that nobody knows.
func (m maker) message(fields ...[]byte) []byte {
	if m.IntN(20) == 0 {
		fields = append(fields, varintField(77, m.Uint64()), bytesField(2000, []byte("later")))
	}
	m.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	return bytes.Join(fields, nil)
}

func bytesField(num uint64, data []byte) []byte {
	b := binary.AppendUvarint(nil, num<<3|wireBytes)
	return append(binary.AppendUvarint(b, uint64(len(data))), data...)
}

func varintField(num, v uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(nil, num<<3|wireVarint), v)
}

func i64Field(num, v uint64) []byte {
	return binary.LittleEndian.AppendUint64(binary.AppendUvarint(nil, num<<3|wireI64), v)
}

func i32Field(num uint64, v uint32) []byte {
	return binary.LittleEndian.AppendUint32(binary.AppendUvarint(nil, num<<3|wireI32), v)
}

// some returns up to most fields of a number, each made by one.
func (m maker) some(most int, num uint64, one func() []byte) []byte {
	var out []byte
	for range m.IntN(most + 1) {
		out = append(out, bytesField(num, one())...)
	}
	return out
}

// maybe returns the field three times of four, and now and then twice.
func (m maker) maybe(field func() []byte) []byte {
	switch m.IntN(12) {
	case 0, 1, 2:
		return nil
	case 3:
		return append(field(), field()...)
	default:
		return field()
	}
}

func (m maker) text() []byte {
	if m.IntN(300) == 0 {
		return bytes.Repeat([]byte("é"), 33_000)
	}
	return [][]byte{nil, []byte("x"), []byte("exception"), []byte("a \"b\" <&>\x00\x1f\x7f\u2028\\"), []byte("\xff\xc3("), []byte(" padded "), []byte("unknown_service:go"), []byte("3.4"), []byte("NaN"),
		[]byte("opentelemetry.instrumentation.x"), []byte("ot=th:8"), []byte("vendor=1,ot=th:c;rv:1"), fmt.Append(nil, "text ", m.IntN(50))}[m.IntN(13)]
}

func (m maker) key() []byte {
	return []byte([]string{"", "service.name", "sampleRate", "SampleRate", "exception.type", "exception.message", "exception.escaped", "name", "a", "a.b", "a.b.c", "error", "$time", "\xffkey", "duration_ms", "library.name", "body", "body.a"}[m.IntN(18)])
}

func (m maker) time() []byte {
	return binary.LittleEndian.AppendUint64(nil, []uint64{0, 1, 1_795_395_723_000_000_004, math.MaxUint64, m.Uint64()}[m.IntN(5)])
}

func (m maker) id(n int) []byte {
	id := make([]byte, n)
	switch m.IntN(4) {
	case 0:
		return nil
	case 1:
		id[0] = 7
	case 2:
		for i := range id {
			id[i] = byte(m.Uint32())
		}
	}
	return id
}

func (m maker) value(depth int) []byte {
	one := func() []byte {
		n := 9
		if depth > 7 {
			n = 6
		}
		switch m.IntN(n) {
		case 0:
			return nil
		case 1:
			return varintField(2, m.Uint64()>>m.IntN(64))
		case 2:
			return varintField(3, m.Uint64()>>m.IntN(64))
		case 3:
			return i64Field(4, math.Float64bits([]float64{0, 1.5, math.NaN(), math.Inf(-1), 1e21, 1e-7, 0.4}[m.IntN(7)]))
		case 4:
			return bytesField(7, m.text())
		case 5:
			return bytesField(1, m.text())
		case 6:
			return bytesField(5, m.message(m.some(3, 1, func() []byte { return m.value(depth + 1) })))
		default:
			return bytesField(6, m.message(m.some(3, 1, func() []byte { return m.keyValue(depth + 1) })))
		}
	}
	return m.message(m.maybe(one))
}

func (m maker) keyValue(depth int) []byte {
	return m.message(
		m.maybe(func() []byte { return bytesField(1, m.key()) }),
		m.maybe(func() []byte { return bytesField(2, m.value(depth)) }),
	)
}

func (m maker) attributes(num uint64) []byte {
	return m.some(6, num, func() []byte { return m.keyValue(0) })
}

func (m maker) request(leaf func() []byte) []byte {
	return m.message(m.some(4, 1, func() []byte {
		return m.message(
			m.maybe(func() []byte { return bytesField(1, m.message(m.attributes(1), varintField(2, 3))) }),
			m.some(3, []uint64{2, 2, 2, 1000}[m.IntN(4)], func() []byte {
				return m.message(
					m.maybe(func() []byte {
						return bytesField(1, m.message(m.maybe(func() []byte { return bytesField(1, m.text()) }), m.maybe(func() []byte { return bytesField(2, m.text()) }), m.attributes(3)))
					}),
					m.some(4, 2, leaf),
					m.maybe(func() []byte { return bytesField(3, m.text()) }),
				)
			}),
			m.maybe(func() []byte { return bytesField(3, m.text()) }),
		)
	}))
}

func (m maker) number(num uint64, most int) []byte {
	return m.maybe(func() []byte { return varintField(num, uint64(m.IntN(most))-1) })
}

func (m maker) str(num uint64) []byte {
	return m.maybe(func() []byte { return bytesField(num, m.text()) })
}

func (m maker) fixed(num uint64) []byte {
	return m.maybe(func() []byte { return append(binary.AppendUvarint(nil, num<<3|wireI64), m.time()...) })
}

func (m maker) ids(num uint64, n int) []byte {
	return m.maybe(func() []byte { return bytesField(num, m.id(n)) })
}

func (m maker) span() []byte {
	return m.message(
		m.ids(1, 16), m.ids(2, 8), m.str(3), m.ids(4, 8), m.str(5), m.number(6, 8), m.fixed(7), m.fixed(8), m.attributes(9), m.number(10, 3),
		m.some(3, 11, func() []byte { return m.message(m.fixed(1), m.str(2), m.attributes(3), m.number(4, 3)) }),
		m.some(2, 13, func() []byte {
			return m.message(m.ids(1, 16), m.ids(2, 8), m.str(3), m.attributes(4), m.number(5, 3), i32Field(6, 1))
		}),
		m.maybe(func() []byte { return bytesField(15, m.message(m.str(2), m.number(3, 4))) }),
		m.maybe(func() []byte { return i32Field(16, 0x101) }),
	)
}

func (m maker) log() []byte {
	return m.message(
		m.fixed(1), m.number(2, 27), m.str(3), m.maybe(func() []byte { return bytesField(5, m.value(0)) }), m.attributes(6), m.number(7, 3),
		m.maybe(func() []byte { return i32Field(8, m.Uint32()) }), m.ids(9, 16), m.ids(10, 8), m.fixed(11), m.str(12),
	)
}

type row struct {
	Header event.Header
	Fields map[string]event.Value
}

func rowsOf(b *event.Batch) []row {
	out := make([]row, b.Len())
	for i := range out {
		out[i] = row{b.Headers[i], map[string]event.Value{}}
		b.Each(i, func(name string, v event.Value) bool {
			if name[0] != '$' {
				out[i].Fields[name] = v
			}
			return true
		})
	}
	return out
}

// received is any time; both conversions are given it.
var received = time.Unix(1_795_395_800, 5)

// compare decodes a request in both ways.
func compare(t *testing.T, body []byte, decode func(*decoder, []byte) error, oracle func([]byte, time.Time) (*event.Batch, []string, error)) {
	t.Helper()
	d := &decoder{random: half}
	d.begin(received.UnixNano())
	defer d.end()
	err := decode(d, body)
	want, services, oerr := oracle(body, received)
	switch {
	case errors.Is(err, errDepth), err != nil && strings.Contains(err.Error(), "illegal wire type"):
		return // pdata has no limit, and takes some groups
	case err == nil && oerr != nil && bytes.Contains(body, []byte{0xc2, 0x3e}):
		return // pdata also looks into old fields that do not count beside the new ones
	case (err == nil) != (oerr == nil):
		t.Fatalf("%x: error %v, pdata says %v", body, err, oerr)
	case err != nil:
		return
	}
	if got := d.services; len(got)+len(services) > 0 && !reflect.DeepEqual(got, services) {
		t.Errorf("services %q, want %q", got, services)
	}
	got := d.b.Batch()
	if g, w := rowsOf(got), rowsOf(want); !reflect.DeepEqual(g, w) {
		if d := cmp.Diff(w, g, cmp.AllowUnexported(event.Value{})); d != "" {
			t.Fatalf("%x: events differ from pdata's (-want +got):\n%s", body, d)
		}
	}
}

// TestDecoderAgreesWithPdata compares the decoder with pdata on random requests, whole and cut.
func TestDecoderAgreesWithPdata(t *testing.T) {
	m := maker{rand.New(rand.NewPCG(1, 9))}
	for range 600 {
		body := m.request(m.span)
		compare(t, body, (*decoder).traces, oracleTraces)
		compare(t, body[:m.IntN(len(body)+1)], (*decoder).traces, oracleTraces)
		body = m.request(m.log)
		compare(t, body, (*decoder).logs, oracleLogs)
		compare(t, body[:m.IntN(len(body)+1)], (*decoder).logs, oracleLogs)
	}
}

// TestDeepValues has values nested to the limit and beyond.
func TestDeepValues(t *testing.T) {
	nested := func(depth int) []byte {
		v := bytesField(1, []byte("x"))
		for range depth {
			v = bytesField(5, bytesField(1, v))
		}
		kv := append(bytesField(1, []byte("k")), bytesField(2, v)...)
		return bytesField(1, bytesField(2, bytesField(2, bytesField(9, kv))))
	}
	for _, c := range []struct {
		depth int
		want  error
	}{{maxDepth - 1, nil}, {maxDepth, errDepth}, {10_000, errDepth}} {
		d := &decoder{random: half}
		d.begin(0)
		if err := d.traces(nested(c.depth)); !errors.Is(err, c.want) || err != nil && c.want == nil {
			t.Errorf("%d levels: %v, want %v", c.depth, err, c.want)
		}
		d.end()
	}
}

func seeds(f *testing.F, leaf func(maker) []byte) {
	m := maker{rand.New(rand.NewPCG(2, 2))}
	for range 20 {
		if body := m.request(func() []byte { return leaf(m) }); len(body) < 1<<14 {
			f.Add(body)
		}
	}
}

func FuzzDecodeTraces(f *testing.F) {
	seeds(f, maker.span)
	f.Fuzz(func(t *testing.T, body []byte) { compare(t, body, (*decoder).traces, oracleTraces) })
}

func FuzzDecodeLogs(f *testing.F) {
	seeds(f, maker.log)
	f.Fuzz(func(t *testing.T, body []byte) { compare(t, body, (*decoder).logs, oracleLogs) })
}

// spans1000 is a request of 1,000 spans of one scope, 25 attributes each, as an SDK sends them.
func spans1000() []byte {
	rnd := rand.New(rand.NewPCG(1, 1))
	str := func(k, v string) []byte {
		return append(bytesField(1, []byte(k)), bytesField(2, bytesField(1, []byte(v)))...)
	}
	num := func(k string, v int) []byte {
		return append(bytesField(1, []byte(k)), bytesField(2, varintField(3, uint64(v)))...)
	}
	var resource, scope []byte
	for i, k := range []string{"service.name", "service.version", "telemetry.sdk.name", "telemetry.sdk.language", "host.name", "k8s.pod.name", "k8s.namespace.name", "deployment.environment"} {
		resource = append(resource, bytesField(1, str(k, fmt.Sprint("resource value ", i)))...)
	}
	scope = append(bytesField(1, append(bytesField(1, []byte("go.opentelemetry.io/contrib/instrumentation/net/http")), bytesField(2, []byte("0.72.0"))...)), scope...)
	for i := range 1000 {
		id := make([]byte, 24)
		for j := range id {
			id[j] = byte(rnd.Uint32())
		}
		span := append(bytesField(1, id[:16]), bytesField(2, id[16:])...)
		span = append(span, bytesField(4, id[:8])...)
		span = append(span, bytesField(5, []byte("GET /api/activities"))...)
		span = append(span, varintField(6, 2)...)
		span = append(span, i64Field(7, uint64(1_795_395_723_000_000_000+i*1000))...)
		span = append(span, i64Field(8, uint64(1_795_395_723_000_000_000+i*1000+rnd.IntN(1e8)))...)
		for j := range 15 {
			span = append(span, bytesField(9, str(fmt.Sprint("http.attribute.number.", j), fmt.Sprint("one of a few values ", rnd.IntN(20))))...)
		}
		for j := range 7 {
			span = append(span, bytesField(9, num(fmt.Sprint("app.number.", j), rnd.IntN(1000)))...)
		}
		span = append(span, bytesField(9, str("app.request.id", fmt.Sprintf("%016x", rnd.Uint64())))...)
		span = append(span, bytesField(9, str("app.user.id", fmt.Sprint("user-", rnd.IntN(500))))...)
		span = append(span, bytesField(9, append(bytesField(1, []byte("app.cached")), bytesField(2, varintField(2, uint64(i%2)))...))...)
		span = append(span, bytesField(15, varintField(3, 1))...)
		scope = append(scope, bytesField(2, span)...)
	}
	return bytesField(1, append(bytesField(1, resource), bytesField(2, scope)...))
}

func BenchmarkDecodeTraces(b *testing.B) {
	body := spans1000()
	d := &decoder{random: rand.Float64}
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		d.begin(1)
		if err := d.traces(body); err != nil {
			b.Fatal(err)
		}
		if d.b.Batch().Len() != 1000 {
			b.Fatal("not all spans are there")
		}
		d.end()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/span")
}

func BenchmarkPdataTraces(b *testing.B) {
	body := spans1000()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := oracleTraces(body, received); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/span")
}
