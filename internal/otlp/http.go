package otlp

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"

	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/trefoil-o11y/trefoil/internal/body"
)

// Traces serves POST /v1/traces; a request that is signed as AWS's clients do is for AWSTraces.
func (r *Receiver) Traces() http.Handler {
	plain, aws := r.endpoint(r.serve(&traces)), r.AWSTraces()
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if signed(req) {
			aws.ServeHTTP(w, req)
		} else {
			plain.ServeHTTP(w, req)
		}
	})
}

// Logs serves POST /v1/logs.
func (r *Receiver) Logs() http.Handler { return r.endpoint(r.serve(&logs)) }

// serving answers a request to an endpoint; what is read into buffer is good until it returns.
type serving func(w http.ResponseWriter, req *http.Request, asJSON bool, buffer *body.Buffer) error

func (r *Receiver) serve(s *signal) serving {
	return func(w http.ResponseWriter, req *http.Request, asJSON bool, buffer *body.Buffer) error {
		body, err := readBody(buffer, w, req)
		if err != nil {
			return err
		}
		if asJSON {
			if body, err = fromJSON(body, s.convert); err != nil {
				return err
			}
		}
		return r.receive(req.Context(), httpCredentials(req), s, body)
	}
}

// Metrics refuses POST /v1/metrics with a text that says what to do.
func (r *Receiver) Metrics() http.Handler {
	return r.endpoint(func(w http.ResponseWriter, req *http.Request, _ bool, buffer *body.Buffer) error {
		if _, err := readBody(buffer, w, req); err != nil {
			return err
		}
		return errMetrics
	})
}

func httpCredentials(r *http.Request) credentials {
	key := r.Header.Get("X-Honeycomb-Team")
	if key == "" {
		key = r.Header.Get("X-Hny-Team")
	}
	return credentials{key, r.Header.Get("X-Honeycomb-Dataset")}
}

// fromJSON turns OTLP/JSON, which few exporters send, into the protobuf form. pdata's JSON
// reader has been seen to panic on hostile input; a panic there is a bad request, not a crash.
func fromJSON(body []byte, convert func([]byte) ([]byte, error)) (out []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errParse
		}
	}()
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, errParse
	}
	if depthOf(body) > maxJSONDepth {
		return nil, &failure{errParse.status, errParse.code, errParse.msg + ": nested too deep"}
	}
	if out, err = convert(body); err != nil {
		return nil, &failure{errParse.status, errParse.code, errParse.msg + ": " + err.Error()}
	}
	return out, nil
}

func tracesFromJSON(body []byte) ([]byte, error) {
	in := ptraceotlp.NewExportRequest()
	if err := in.UnmarshalJSON(body); err != nil {
		return nil, err
	}
	return in.MarshalProto()
}

func logsFromJSON(body []byte) ([]byte, error) {
	in := plogotlp.NewExportRequest()
	if err := in.UnmarshalJSON(body); err != nil {
		return nil, err
	}
	return in.MarshalProto()
}

const maxJSONDepth = 200

// depthOf returns the deepest nesting of brackets outside of strings.
func depthOf(body []byte) int {
	depth, deepest, inString := 0, 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return deepest
}

func (r *Receiver) endpoint(serve serving) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		setCORS(w)
		switch req.Method {
		case http.MethodOptions:
			w.WriteHeader(http.StatusNoContent)
			return
		case http.MethodPost:
		default:
			w.Header().Set("Allow", "POST, OPTIONS")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		contentType, _, _ := strings.Cut(req.Header.Get("Content-Type"), ";")
		contentType = strings.ToLower(strings.TrimSpace(contentType))
		asJSON := contentType == "application/json"
		if !asJSON && contentType != "application/x-protobuf" && contentType != "application/protobuf" {
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(errContentType.status)
			_, _ = io.WriteString(w, errContentType.msg)
			return
		}
		buffer := body.NewBuffer()
		defer buffer.Release()
		if err := serve(w, req, asJSON, buffer); err != nil {
			f := r.failureOf(req.Context(), err)
			if f.status == http.StatusTooManyRequests || f.status == http.StatusServiceUnavailable {
				w.Header().Set("Retry-After", "1")
			}
			st := &statuspb.Status{Code: int32(f.code), Message: f.msg}
			answer, merr := proto.Marshal(st)
			if asJSON {
				answer, merr = protojson.Marshal(st)
			}
			if merr != nil {
				r.cfg.Log.Error("encode otlp status", "error", merr)
			}
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(f.status)
			_, _ = w.Write(answer)
			return
		}
		// The response message has no fields to tell: it is empty in either encoding.
		w.Header().Set("Content-Type", contentType)
		if asJSON {
			_, _ = io.WriteString(w, "{}")
		}
	})
}

// setCORS lets browsers' exporters in.
func setCORS(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Allow-Methods", "POST, OPTIONS")
	h.Set("Access-Control-Allow-Headers", "x-honeycomb-team, x-honeycomb-dataset, content-type, content-encoding, traceparent, tracestate")
	h.Set("Access-Control-Max-Age", "86400")
}

func readBody(b *body.Buffer, w http.ResponseWriter, req *http.Request) ([]byte, error) {
	raw, err := b.Load(w, req, MaxBody)
	switch {
	case errors.Is(err, body.ErrTooLarge):
		return nil, errTooLarge
	case err != nil:
		return nil, errParse
	}
	return raw, nil
}
