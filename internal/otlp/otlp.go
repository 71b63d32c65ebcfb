// Package otlp receives OpenTelemetry traces and logs over HTTP (protobuf, JSON) and gRPC, as
// Honeycomb does: the dataset is chosen from service.name, spans, span events, links and log
// records become events with Honeycomb's field names. A success is answered when the events
// are durable.
package otlp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/ingest"
	"github.com/trefoil-o11y/trefoil/internal/meta"
)

// MaxBody bounds a request, as sent and inflated.
const MaxBody = 20 << 20

// Config configures a Receiver.
type Config struct {
	Queue *ingest.Queue
	Meta  *meta.DB
	// Authenticate returns the environment that a key opens. An error wrapping
	// meta.ErrNotFound is an unknown key.
	Authenticate func(ctx context.Context, key string) (environment string, err error)
	// AuthenticateAWS returns the environment of a request for AWSTraces; body is as it was
	// sent. An error wrapping ErrSignature is told to the client.
	AuthenticateAWS func(r *http.Request, body []byte) (environment string, err error)
	Log             *slog.Logger
}

// Receiver takes OTLP requests.
type Receiver struct {
	cfg      Config
	decoders sync.Pool
}

// New returns a Receiver.
func New(cfg Config) *Receiver {
	return &Receiver{cfg: cfg, decoders: sync.Pool{New: func() any { return &decoder{random: rand.Float64} }}}
}

// credentials are the headers that a request is routed by.
type credentials struct{ key, dataset string }

// failure is an answer that is not a success: the same in HTTP and gRPC.
type failure struct {
	status int
	code   codes.Code
	msg    string
}

func (f *failure) Error() string { return f.msg }

var (
	errParse       = &failure{400, codes.Internal, "failed to parse OTLP request body"}
	errNoKey       = &failure{401, codes.Unauthenticated, "missing 'x-honeycomb-team' header"}
	errNoDataset   = &failure{401, codes.Unauthenticated, "missing 'x-honeycomb-dataset' header"}
	errBadKey      = &failure{401, codes.Unauthenticated, "unknown API key - check your credentials"}
	errOverloaded  = &failure{429, codes.ResourceExhausted, "request dropped due to rate limiting: the server is overloaded, try again later"}
	errUnavailable = &failure{503, codes.Unavailable, "the server is stopping"}
	errInternal    = &failure{500, codes.Internal, "internal error"}
	errMetrics     = &failure{404, codes.Unimplemented, "this server does not take metrics; set OTEL_METRICS_EXPORTER=none"}
	errContentType = &failure{415, codes.Unimplemented, "unsupported content-type, valid types are: application/protobuf, application/x-protobuf, application/json"}
	errTooLarge    = &failure{413, codes.ResourceExhausted, fmt.Sprintf("request body is larger than %d bytes", MaxBody)}
)

var (
	classicConfigKey = regexp.MustCompile(`^[0-9a-f]{32}$`)
	classicIngestKey = regexp.MustCompile(`^hc[a-z]ic_[0-9a-z]{58}$`)
)

// classic reports whether a key is one of Honeycomb Classic, by its looks alone.
func classic(key string) bool {
	return classicConfigKey.MatchString(key) || classicIngestKey.MatchString(key)
}

func (r *Receiver) environment(ctx context.Context, c credentials) (string, error) {
	env, err := r.cfg.Authenticate(ctx, c.key)
	switch {
	case err == nil:
		return env, nil
	case errors.Is(err, meta.ErrNotFound) && c.key == "":
		return "", errNoKey
	case errors.Is(err, meta.ErrNotFound):
		return "", errBadKey
	default:
		return "", err
	}
}

// signal is what a request carries.
type signal struct {
	decode  func(d *decoder, body []byte) error
	convert func(json []byte) (proto []byte, err error) // from OTLP/JSON
	dataset func(service string, c credentials) string
}

var traces = signal{(*decoder).traces, tracesFromJSON, func(service string, c credentials) string {
	switch {
	case classic(c.key):
		return c.dataset
	case service == "":
		return "unknown_service"
	}
	return service
}}

var logs = signal{(*decoder).logs, logsFromJSON, func(service string, c credentials) string {
	switch {
	case service != "":
		return service
	case c.dataset != "":
		return c.dataset
	}
	return "unknown_log_source"
}}

// receive decodes and stores the protobuf message of one request. body may be used again when it
// returns.
func (r *Receiver) receive(ctx context.Context, c credentials, s *signal, body []byte) error {
	env, err := r.environment(ctx, c)
	if err != nil {
		return err
	}
	if s == &traces && classic(c.key) && c.dataset == "" {
		return errNoDataset
	}
	return r.store(ctx, env, c, s, body)
}

// store is receive for a request whose environment is known.
func (r *Receiver) store(ctx context.Context, env string, c credentials, s *signal, body []byte) error {
	d := r.decoders.Get().(*decoder)
	defer r.decoders.Put(d)
	d.begin(time.Now().UnixNano())
	defer d.end()
	err := s.decode(d, body)
	if err != nil {
		return &failure{errParse.status, errParse.code, errParse.msg + ": " + err.Error()}
	}
	datasets := make([]event.DatasetID, len(d.services))
	for i, service := range d.services {
		if i > 0 && service == d.services[i-1] {
			datasets[i] = datasets[i-1]
			continue
		}
		if datasets[i], err = r.dataset(ctx, env, s.dataset(service, c)); err != nil {
			return err
		}
	}
	b := d.b.Batch()
	for i := range b.Headers {
		b.Headers[i].Dataset = datasets[b.Headers[i].Dataset]
	}
	return r.cfg.Queue.Append(ctx, ingest.OTLP, b)
}

func (r *Receiver) dataset(ctx context.Context, env, name string) (event.DatasetID, error) {
	ds, err := r.cfg.Meta.EnsureDataset(ctx, env, meta.Honeycomb, name)
	if err != nil {
		return 0, fmt.Errorf("ensure dataset %q: %w", name, err)
	}
	return ds.ID, nil
}

// failureOf turns any error into what the client is told; what it is not told is logged.
func (r *Receiver) failureOf(ctx context.Context, err error) *failure {
	var f *failure
	switch {
	case errors.As(err, &f):
		// A decoder's message may quote the input; the answer must be valid text.
		f = &failure{f.status, f.code, strings.ToValidUTF8(f.msg, "\uFFFD")}
		if f.status == 400 || f.status == 401 {
			r.cfg.Queue.Reject(ingest.OTLP, 1, f.msg)
		}
		return f
	case errors.Is(err, ingest.ErrOverloaded):
		return errOverloaded
	case errors.Is(err, ingest.ErrClosed):
		return errUnavailable
	case ctx.Err() != nil:
		return errUnavailable
	}
	r.cfg.Log.Error("store otlp request", "error", err)
	return errInternal
}
