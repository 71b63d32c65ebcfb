package body_test

import (
	"bytes"
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

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

// TestLoad reads bodies one after the other with one buffer.
func TestLoad(t *testing.T) {
	data := []byte(strings.Repeat("trefoil ", 100))
	noise := make([]byte, 4000) // does not compress
	for i := range noise {
		noise[i] = byte(i*i>>3 ^ i*7919>>5)
	}
	var b body.Buffer
	for _, c := range []struct {
		name, encoding string
		raw, want      []byte
		err            error
	}{
		{"plain", "", data, data, nil}, {"gzip", "gzip", gzipped(t, data), data, nil}, {"zstd", "ZSTD", zstded(t, data), data, nil},
		{"gzip again", "gzip", gzipped(t, data[:80]), data[:80], nil}, {"plain again", "identity", data[:40], data[:40], nil},
		{"plain, large", "", noise, nil, body.ErrTooLarge}, {"gzip bomb", "gzip", gzipped(t, make([]byte, 1<<20)), nil, body.ErrTooLarge},
		{"sent too much", "gzip", append(gzipped(t, data), noise...), nil, body.ErrTooLarge},
		{"cut gzip", "gzip", gzipped(t, data)[:30], nil, body.ErrEncoding}, {"not gzip", "gzip", data, nil, body.ErrEncoding},
		{"unknown", "br", data, nil, body.ErrEncoding}, {"after all that", "gzip", gzipped(t, data), data, nil},
	} {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/", bytes.NewReader(c.raw))
		r.Header.Set("Content-Encoding", c.encoding)
		got, err := b.Load(httptest.NewRecorder(), r, 1000)
		if !errors.Is(err, c.err) || c.err == nil && !bytes.Equal(got, c.want) {
			t.Errorf("%s: %d bytes, %v; want %d bytes, %v", c.name, len(got), err, len(c.want), c.err)
		}
	}
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/", io.MultiReader(bytes.NewReader(gzipped(t, data)[:20]), iotest.ErrReader(errors.New("line is dead"))))
	r.Header.Set("Content-Encoding", "gzip")
	if _, err := b.Load(httptest.NewRecorder(), r, 1000); !errors.Is(err, body.ErrRead) {
		t.Errorf("a body that did not arrive: %v, want ErrRead", err)
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
