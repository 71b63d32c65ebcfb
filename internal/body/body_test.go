package body_test

import (
	"bytes"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/trefoil-o11y/trefoil/internal/body"
)

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstded(t testing.TB, data []byte) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return z.EncodeAll(data, nil)
}

func TestInflate(t *testing.T) {
	data := []byte(strings.Repeat("trefoil ", 100))
	big := make([]byte, 10<<20)
	for name, c := range map[string]struct {
		encoding string
		raw      []byte
		want     error
	}{
		"plain": {"", data, nil}, "identity": {"identity", data, nil}, "gzip": {" GZip ", gzipped(t, data), nil}, "zstd": {"zstd", zstded(t, data), nil},
		"plain, large": {"", big, body.ErrTooLarge}, "gzip bomb": {"gzip", gzipped(t, big), body.ErrTooLarge}, "zstd bomb": {"zstd", zstded(t, big), body.ErrTooLarge},
		"cut gzip": {"gzip", gzipped(t, data)[:30], body.ErrEncoding}, "cut zstd": {"zstd", zstded(t, data)[:10], body.ErrEncoding},
		"not gzip": {"gzip", data, body.ErrEncoding}, "unknown": {"br", data, body.ErrEncoding},
	} {
		got, err := body.Inflate(c.encoding, c.raw, 1000)
		if !errors.Is(err, c.want) || c.want == nil && !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes, %v; want %v", name, len(got), err, c.want)
		}
	}
}

func TestRead(t *testing.T) {
	for n, want := range map[int]error{10: nil, 11: body.ErrTooLarge} {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/", strings.NewReader(strings.Repeat("x", n)))
		if got, err := body.Read(httptest.NewRecorder(), r, 10); !errors.Is(err, want) || want == nil && len(got) != n {
			t.Errorf("%d bytes: %d, %v; want %v", n, len(got), err, want)
		}
	}
}

func FuzzInflate(f *testing.F) {
	f.Add("gzip", gzipped(f, []byte("seed")))
	f.Add("zstd", zstded(f, []byte("seed")))
	f.Fuzz(func(t *testing.T, encoding string, raw []byte) {
		if out, err := body.Inflate(encoding, raw, 1<<16); err == nil && len(out) > 1<<16 {
			t.Errorf("%d bytes", len(out))
		}
	})
}
