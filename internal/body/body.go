// Package body reads the bodies of HTTP requests within limits, inflated where the client
// compressed them: the one place where a bomb is defused.
package body

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"

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

// Read returns the body of r as it was sent, at most limit bytes.
func Read(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, ErrTooLarge
	case err != nil:
		return nil, ErrRead
	}
	return raw, nil
}

// Inflate decodes raw by a Content-Encoding: none, identity, gzip or zstd. It never makes more
// than limit bytes.
func Inflate(encoding string, raw []byte, limit int64) ([]byte, error) {
	var in io.Reader
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "identity":
		if int64(len(raw)) > limit {
			return nil, ErrTooLarge
		}
		return raw, nil
	case "gzip":
		z, err := gzip.NewReader(bytes.NewReader(raw))
		if err != nil {
			return nil, ErrEncoding
		}
		in = z
	case "zstd":
		z, err := zstd.NewReader(bytes.NewReader(raw), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(max(4*uint64(limit), 64<<20)))
		if err != nil {
			return nil, ErrEncoding
		}
		defer z.Close()
		in = z
	default:
		return nil, ErrEncoding
	}
	out, err := io.ReadAll(io.LimitReader(in, limit+1))
	switch {
	case int64(len(out)) > limit:
		return nil, ErrTooLarge
	case err != nil:
		return nil, ErrEncoding
	}
	return out, nil
}
