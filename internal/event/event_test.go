package event_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/trefoil-o11y/trefoil/internal/event"
)

func TestParseTraceID(t *testing.T) {
	const w3c = "5759e988bd862e3fe1be46a994272793"
	for _, s := range []string{
		w3c, "1-5759e988-bd862e3fe1be46a994272793", "1-5759E988-BD862E3FE1BE46A994272793",
		"5759e988-bd86-2e3f-e1be-46a994272793",
	} {
		id, err := event.ParseTraceID(s)
		if err != nil {
			t.Errorf("ParseTraceID(%q): %v", s, err)
			continue
		}
		if id.String() != w3c || id.XRay() != "1-5759e988-bd862e3fe1be46a994272793" {
			t.Errorf("ParseTraceID(%q) = %s, %s", s, id, id.XRay())
		}
		if id.Seconds() != 0x5759e988 {
			t.Errorf("Seconds = %x", id.Seconds())
		}
	}
	for _, s := range []string{"", "1-", "00000000000000000000000000000000", "2-5759e988-bd862e3fe1be46a994272793", "zz59e988bd862e3fe1be46a994272793"} {
		if id, err := event.ParseTraceID(s); err == nil {
			t.Errorf("ParseTraceID(%q) = %s, want an error", s, id)
		}
	}
}

func TestSetReplacesAcrossKinds(t *testing.T) {
	bd := event.NewBuilder()
	defer bd.Release()
	bd.SetString("before", "any event")
	bd.Add(event.Header{Time: 1})
	bd.SetString("name", "span")
	bd.SetInt("name", 5)
	bd.Add(event.Header{Time: 2})
	bd.SetString("name", "other")
	bd.SetString("$time", "never")
	bd.SetString("", "never")
	b := bd.Batch()
	if got := b.Get(0, "name"); got != event.Int(5) {
		t.Errorf("row 0 name = %v", got.Text())
	}
	if got := b.Get(1, "name"); got != event.String("other") {
		t.Errorf("row 1 name = %v", got.Text())
	}
	if got := b.Get(1, "$time"); got != event.Int(2) {
		t.Errorf("row 1 $time = %v", got.Text())
	}
	if b.NumColumns() != 2 {
		t.Errorf("columns = %d, want one for each kind", b.NumColumns())
	}
	if bd.Len() != 0 || bd.Batch().Len() != 0 {
		t.Error("the builder is not empty after Batch")
	}
}

func sample() *event.Batch {
	b := event.NewBuilder()
	defer b.Release()
	b.Add(event.Header{Time: 10, Ingested: 20, Seq: 3, Trace: event.TraceID{1}, Span: event.SpanID{2}, Parent: event.SpanID{3}, Stream: "s", Dataset: 7, SampleRate: 10})
	b.SetString("a", "x")
	b.SetFloat("f", 1.5)
	b.Add(event.Header{Time: 5, Ingested: 20, Seq: 4, Dataset: 8})
	b.SetInt("a", -1)
	b.SetBool("ok", true)
	return b.Batch()
}

func TestBinaryRoundTrip(t *testing.T) {
	enc := sample().AppendBinary(nil)
	got, rest, err := event.DecodeBatch(append(enc, 'z'))
	if err != nil || string(rest) != "z" {
		t.Fatalf("DecodeBatch: %v, rest %q", err, rest)
	}
	if !bytes.Equal(got.AppendBinary(nil), enc) {
		t.Error("encode(decode(x)) differs from x")
	}
	for _, want := range []struct {
		row  int
		name string
		v    event.Value
	}{{0, "a", event.String("x")}, {1, "a", event.Int(-1)}, {0, "f", event.Float(1.5)}, {1, "ok", event.Bool(true)}, {0, "$sample_rate", event.Int(10)}, {1, "$sample_rate", event.Int(1)}, {1, "$dataset", event.Int(8)}, {0, "$stream", event.String("s")}} {
		if v := got.Get(want.row, want.name); v != want.v {
			t.Errorf("row %d %s = %q, want %q", want.row, want.name, v.Text(), want.v.Text())
		}
	}
	for n := range enc {
		if _, _, err := event.DecodeBatch(enc[:n]); err == nil {
			t.Errorf("a batch cut to %d of %d bytes decoded", n, len(enc))
		}
	}
}

func TestOrder(t *testing.T) {
	asc := []event.Value{{}, event.Bool(false), event.Bool(true), event.Int(-3), event.Float(-2.5), event.Int(0), event.Float(0.5), event.Int(1 << 62), event.String(""), event.String("a")}
	for i := range asc {
		for j := range asc {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := event.Order(asc[i], asc[j]); got != want {
				t.Errorf("Order(%q, %q) = %d, want %d", asc[i].Text(), asc[j].Text(), got, want)
			}
		}
	}
}

func FuzzDecodeBatch(f *testing.F) {
	f.Add(sample().AppendBinary(nil))
	rnd := rand.New(rand.NewPCG(1, 1))
	bd := event.NewBuilder()
	for _, n := range []int{3, 40, 600} {
		b, _ := random(rnd, bd, n)
		f.Add(b.AppendBinary(nil))
	}
	bd.Release()
	f.Fuzz(func(t *testing.T, src []byte) {
		b, _, err := event.DecodeBatch(src)
		if err != nil {
			return
		}
		enc := b.AppendBinary(nil)
		again, rest, err := event.DecodeBatch(enc)
		if err != nil || len(rest) != 0 || !bytes.Equal(again.AppendBinary(nil), enc) {
			t.Fatalf("a decoded batch does not survive a round trip: %v", err)
		}
		for row := range b.Len() {
			b.Each(row, func(string, event.Value) bool { return true })
		}
	})
}
