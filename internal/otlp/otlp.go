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
	"regexp"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
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
	Log          *slog.Logger
}

// Receiver takes OTLP requests.
type Receiver struct{ cfg Config }

// New returns a Receiver.
func New(cfg Config) *Receiver { return &Receiver{cfg} }

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

// serviceName returns the dataset that a resource names, "" when it names none.
func serviceName(resource pcommon.Map) string {
	v, ok := resource.Get("service.name")
	if !ok || v.Type() != pcommon.ValueTypeStr {
		return ""
	}
	name := strings.TrimSpace(v.Str())
	if strings.HasPrefix(name, "unknown_service") {
		return ""
	}
	return name
}

func (r *Receiver) traces(ctx context.Context, c credentials, td ptrace.Traces) error {
	env, err := r.environment(ctx, c)
	if err != nil {
		return err
	}
	if classic(c.key) && c.dataset == "" {
		return errNoDataset
	}
	received := time.Now()
	b := event.NewBuilder()
	defer b.Release()
	for _, rs := range td.ResourceSpans().All() {
		name := serviceName(rs.Resource().Attributes())
		if classic(c.key) {
			name = c.dataset
		} else if name == "" {
			name = "unknown_service"
		}
		ds, err := r.dataset(ctx, env, name)
		if err != nil {
			return err
		}
		for _, ss := range rs.ScopeSpans().All() {
			s := scope{rs.Resource().Attributes(), rs.SchemaUrl(), ss.Scope(), ss.SchemaUrl()}
			for _, span := range ss.Spans().All() {
				appendSpan(b, ds, s, span, received)
			}
		}
	}
	return r.cfg.Queue.Append(ctx, ingest.OTLP, b.Batch())
}

func (r *Receiver) logs(ctx context.Context, c credentials, ld plog.Logs) error {
	env, err := r.environment(ctx, c)
	if err != nil {
		return err
	}
	received := time.Now()
	b := event.NewBuilder()
	defer b.Release()
	for _, rl := range ld.ResourceLogs().All() {
		name := serviceName(rl.Resource().Attributes())
		if name == "" {
			name = c.dataset
		}
		if name == "" {
			name = "unknown_log_source"
		}
		ds, err := r.dataset(ctx, env, name)
		if err != nil {
			return err
		}
		for _, sl := range rl.ScopeLogs().All() {
			s := scope{rl.Resource().Attributes(), rl.SchemaUrl(), sl.Scope(), sl.SchemaUrl()}
			for _, rec := range sl.LogRecords().All() {
				appendLog(b, ds, s, rec, received)
			}
		}
	}
	return r.cfg.Queue.Append(ctx, ingest.OTLP, b.Batch())
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
