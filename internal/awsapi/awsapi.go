// Package awsapi is the front that AWS's services share: request ids, bodies, SigV4, dispatch
// of the JSON 1.1 and REST-JSON protocols, error bodies, and the one operation of STS that
// clients ask for. It knows nothing of X-Ray or CloudWatch Logs.
package awsapi

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/trefoil-o11y/trefoil/internal/body"
)

// Error is an answer that is not a success, in the vendor's terms.
type Error struct {
	// Status is the HTTP status; 0 means 400.
	Status  int
	Code    string
	Message string
	// Extra holds further members of the body, encoded as JSON.
	Extra map[string]json.RawMessage
}

// Error implements error.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Errorf returns an Error with status 400.
func Errorf(code, format string, args ...any) *Error {
	return &Error{Status: http.StatusBadRequest, Code: code, Message: fmt.Sprintf(format, args...)}
}

// Caller is who sent a request.
type Caller struct {
	AccessKeyID string
	// Account is twelve digits.
	Account string
	Region  string
	// Environment is the tenant that the credential opens.
	Environment string
	// Signed reports whether the request carried credentials at all.
	Signed bool
}

// Request is one call of an operation.
type Request struct {
	Caller Caller
	// ID is the request id of the answer.
	ID     string
	Header http.Header
	// Body is inflated. It is good until the operation returns.
	Body []byte
}

// Operation answers one call. What it returns is encoded as JSON, nil as {}, or is an EventStream. An *Error in the
// error's chain is the answer, any other error is logged and answered as the service's
// internal error.
type Operation func(ctx context.Context, r *Request) (any, error)

// Decoder is an input that decodes itself, to the effect that encoding/json would have, errors
// included. What it keeps of body is good until the operation returns.
type Decoder interface{ DecodeBody(body []byte) error }

// Op makes an Operation of a function with typed input: unknown members are ignored, a body
// that is no JSON or has a member of a wrong type is a SerializationException. A pointer to In
// may be a Decoder.
func Op[In, Out any](f func(ctx context.Context, r *Request, in In) (Out, error)) Operation {
	return func(ctx context.Context, r *Request) (any, error) {
		var in In
		if len(bytes.TrimSpace(r.Body)) > 0 {
			var err error
			if d, ok := any(&in).(Decoder); ok {
				err = d.DecodeBody(r.Body)
			} else {
				err = json.Unmarshal(r.Body, &in)
			}
			if err != nil {
				return nil, serializationError(err)
			}
		}
		return f(ctx, r, in)
	}
}

func serializationError(err error) *Error {
	var typeErr *json.UnmarshalTypeError
	if errors.As(err, &typeErr) {
		return Errorf("SerializationException", "%s can not be converted to the type of member %q", typeErr.Value, typeErr.Field)
	}
	return Errorf("SerializationException", "the request body is not valid JSON: %v", err)
}

// Service is one AWS service behind an endpoint. It serves HTTP.
type Service struct {
	// Operations by name (JSON 1.1) or by path with its slash (REST-JSON).
	Operations map[string]Operation
	// TargetPrefix is what X-Amz-Target begins with, its dot included; empty for REST-JSON.
	TargetPrefix string
	// InternalError is the code of an unexpected failure.
	InternalError string
	// Explain turns an error that is no *Error into one; nil, or a nil answer, leaves it unexpected.
	Explain func(err error) *Error
	// MaxBody bounds the body as sent, MaxInflated the body after gzip.
	MaxBody, MaxInflated int64
	// TooLarge is the answer to a body that is larger.
	TooLarge *Error
	// Auth checks credentials.
	Auth *Auth
	// Unsigned reports whether an operation may come without credentials whatever the mode.
	Unsigned func(operation string) bool
	Log      *slog.Logger
}

// ServeHTTP implements http.Handler.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	req := &Request{ID: NewRequestID(), Header: r.Header}
	w.Header().Set("x-amzn-RequestId", req.ID)
	out, err := s.call(w, r, req)
	if err != nil {
		s.writeError(w, r, err)
		return
	}
	if stream, ok := out.(EventStream); ok {
		s.stream(w, r, stream)
		return
	}
	text := []byte("{}")
	if out != nil {
		if text, err = json.Marshal(out); err != nil {
			s.writeError(w, r, fmt.Errorf("encode answer: %w", err))
			return
		}
	}
	w.Header().Set("Content-Type", s.contentType())
	w.Header().Set("Content-Length", fmt.Sprint(len(text)))
	_, _ = w.Write(text)
}

func (s *Service) contentType() string {
	if s.TargetPrefix == "" {
		return "application/json"
	}
	return "application/x-amz-json-1.1"
}

func (s *Service) call(w http.ResponseWriter, r *http.Request, req *Request) (any, error) {
	name := r.URL.Path
	if s.TargetPrefix != "" {
		name = strings.TrimPrefix(r.Header.Get("X-Amz-Target"), s.TargetPrefix)
	}
	op, ok := s.Operations[name]
	if !ok {
		return nil, &Error{Status: http.StatusBadRequest, Code: "UnknownOperationException", Message: fmt.Sprintf("%s is not an operation that this server answers", strings.TrimPrefix(name, "/"))}
	}
	buffer := body.NewBuffer()
	defer buffer.Release()
	raw, err := buffer.Read(w, r, s.MaxBody)
	switch {
	case errors.Is(err, body.ErrTooLarge):
		return nil, s.TooLarge
	case err != nil:
		return nil, Errorf("SerializationException", "the request body could not be read")
	}
	req.Caller, err = s.Auth.Check(r, raw, s.Unsigned != nil && s.Unsigned(name))
	if err != nil {
		return nil, err
	}
	req.Body, err = buffer.Inflate(r.Header.Get("Content-Encoding"), raw, s.MaxInflated)
	switch {
	case errors.Is(err, body.ErrTooLarge):
		return nil, s.TooLarge
	case err != nil:
		return nil, Errorf("SerializationException", "the request body is not in the encoding that Content-Encoding names")
	}
	return op(r.Context(), req)
}

func (s *Service) writeError(w http.ResponseWriter, r *http.Request, err error) {
	var e *Error
	if !errors.As(err, &e) && s.Explain != nil {
		e = s.Explain(err)
	}
	if e == nil {
		if r.Context().Err() == nil {
			s.Log.Error("aws operation", "target", r.Header.Get("X-Amz-Target"), "path", r.URL.Path, "error", err)
		}
		e = &Error{Status: http.StatusInternalServerError, Code: s.InternalError, Message: "An internal error occurred."}
	}
	status := e.Status
	if status == 0 {
		status = http.StatusBadRequest
	}
	member := "message"
	if s.TargetPrefix == "" {
		member = "Message"
	}
	members := map[string]json.RawMessage{}
	for k, v := range e.Extra {
		members[k] = v
	}
	members["__type"], members[member] = quoted(e.Code), quoted(e.Message)
	text, merr := json.Marshal(members)
	if merr != nil {
		s.Log.Error("encode an error of an aws operation", "error", merr)
		text = []byte(`{"__type":"` + s.InternalError + `"}`)
	}
	w.Header().Set("x-amzn-ErrorType", e.Code)
	w.Header().Set("Content-Type", s.contentType())
	if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(status)
	_, _ = w.Write(text)
}

func quoted(s string) json.RawMessage {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always encodes
	}
	return b
}

// NewRequestID returns a random UUID.
func NewRequestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
