// Package body reads the bodies of HTTP requests within limits, inflated where the client
// compressed them: the one place where a bomb is defused.
package body

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Errors that callers turn into their vendor's words.
var (
	// ErrTooLarge means that the body is larger than its limit, as sent or inflated.
	ErrTooLarge = errors.New("body is too large")
	// ErrRead means that the body did not arrive whole.
	ErrRead = errors.New("body could not be read")
	// ErrEncoding means that Content-Encoding is unknown or the body is not what it says.
	ErrEncoding = errors.New("body is not in the encoding that it says")
)

// Buffer reads bodies into memory that is used again. Its zero value is ready; NewBuffer and
// Release share buffers between requests. What its methods return is good until Release, and
// until the same method is called again.
type Buffer struct {
	raw, inflated []byte
	gzip          *gzip.Reader
}

// A released buffer keeps at most keep bytes of each of its two; claimed bounds what is made ready
// for a Content-Length before the bytes are there.
const keep, claimed = 4 << 20, 1 << 20

var buffers = sync.Pool{New: func() any { return new(Buffer) }}

// NewBuffer returns a buffer.
func NewBuffer() *Buffer { return buffers.Get().(*Buffer) }

// Release gives the buffer back; it and what it returned must not be used again.
func (b *Buffer) Release() {
	if cap(b.raw) > keep {
		b.raw = nil
	}
	if cap(b.inflated) > keep {
		b.inflated = nil
	}
	buffers.Put(b)
}

// Read returns the body of r as it was sent, at most limit bytes.
func (b *Buffer) Read(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if n := min(r.ContentLength, limit, claimed); int64(cap(b.raw)) <= n {
		b.raw = make([]byte, 0, n+1) // one more to see the end with
	}
	var err error
	b.raw, err = appendAll(b.raw[:0], http.MaxBytesReader(w, r.Body, limit))
	return b.raw, readError(err)
}

func readError(err error) error {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return ErrTooLarge
	case err != nil:
		return ErrRead
	}
	return nil
}

// Load returns the body of r inflated by its Content-Encoding: none, identity, gzip or zstd. It
// takes at most limit bytes and never makes more.
func (b *Buffer) Load(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	encoding := r.Header.Get("Content-Encoding")
	if plain(encoding) {
		return b.Read(w, r, limit)
	}
	in := &source{Reader: http.MaxBytesReader(w, r.Body, limit)}
	out, err := b.inflate(encoding, in, limit)
	if in.err != nil && !errors.Is(err, ErrTooLarge) {
		return nil, readError(in.err) // the body itself ended, not what it inflates to
	}
	return out, err
}

// source remembers why reading ended before the end.
type source struct {
	io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

func plain(encoding string) bool {
	e := strings.TrimSpace(encoding)
	return e == "" || strings.EqualFold(e, "identity")
}

// Inflate decodes raw by a Content-Encoding: none, identity, gzip or zstd. It never makes more
// than limit bytes.
func (b *Buffer) Inflate(encoding string, raw []byte, limit int64) ([]byte, error) {
	if !plain(encoding) {
		return b.inflate(encoding, bytes.NewReader(raw), limit)
	}
	if int64(len(raw)) > limit {
		return nil, ErrTooLarge
	}
	return raw, nil
}

func (b *Buffer) inflate(encoding string, in io.Reader, limit int64) ([]byte, error) {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "gzip":
		var err error
		if b.gzip == nil {
			b.gzip, err = gzip.NewReader(in)
		} else {
			err = b.gzip.Reset(in)
		}
		if err != nil {
			return nil, ErrEncoding
		}
		in = b.gzip
	case "zstd":
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(max(4*uint64(limit), 64<<20)))
		if err != nil {
			return nil, ErrEncoding
		}
		defer z.Close()
		in = z
	default:
		return nil, ErrEncoding
	}
	var err error
	b.inflated, err = appendAll(b.inflated[:0], io.LimitReader(in, limit+1))
	switch {
	case int64(len(b.inflated)) > limit:
		return nil, ErrTooLarge
	case err != nil:
		return nil, ErrEncoding
	}
	return b.inflated, nil
}

func appendAll(dst []byte, in io.Reader) ([]byte, error) {
	for {
		if len(dst) == cap(dst) {
			dst = slices.Grow(dst, max(512, len(dst)))
		}
		n, err := in.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		switch err {
		case nil:
		case io.EOF:
			return dst, nil
		default:
			return dst, err
		}
	}
}

// Read returns the body of r as it was sent, at most limit bytes.
func Read(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	return new(Buffer).Read(w, r, limit)
}

// Inflate decodes raw by a Content-Encoding: none, identity, gzip or zstd. It never makes more
// than limit bytes.
func Inflate(encoding string, raw []byte, limit int64) ([]byte, error) {
	return new(Buffer).Inflate(encoding, raw, limit)
}
