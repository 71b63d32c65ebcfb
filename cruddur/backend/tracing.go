package backend

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/aws/aws-xray-sdk-go/v2/xray"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	awsxray "go.opentelemetry.io/contrib/propagators/aws/xray"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

const scope = "github.com/trefoil-o11y/trefoil/cruddur/backend"

// propagators reads X-Ray's header first and W3C's after it, so that W3C wins
// in a request that carries both.
func propagators() propagation.TextMapPropagator {
	return propagation.NewCompositeTextMapPropagator(awsxray.Propagator{}, propagation.TraceContext{}, propagation.Baggage{})
}

// newTracerProvider makes a provider for one service. name is used when
// neither OTEL_SERVICE_NAME nor OTEL_RESOURCE_ATTRIBUTES names the service;
// force makes it win over them. export sends spans where the OTEL_* variables
// say; without it spans exist only for their ids.
func newTracerProvider(ctx context.Context, name string, force, export bool) (*sdktrace.TracerProvider, error) {
	service := resource.WithAttributes(attribute.String("service.name", name))
	opts := []resource.Option{service, resource.WithTelemetrySDK(), resource.WithHost(), resource.WithProcessPID(), resource.WithFromEnv()}
	if force {
		opts = append(opts, service)
	}
	res, err := resource.New(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("describe service %q: %w", name, err)
	}
	provider := []sdktrace.TracerProviderOption{sdktrace.WithResource(res), sdktrace.WithIDGenerator(awsxray.NewIDGenerator())}
	if export {
		exporter, err := otlptracehttp.New(ctx)
		if err != nil {
			return nil, fmt.Errorf("start OTLP exporter: %w", err)
		}
		provider = append(provider, sdktrace.WithBatcher(exporter))
	}
	return sdktrace.NewTracerProvider(provider...), nil
}

func (a *App) tracer(name string) trace.Tracer { return a.cfg.tracers.Tracer(name) }

// capture runs fn in a child span, and in an X-Ray subsegment when the request
// has a segment. An error or panic of fn is recorded where it happened.
func (a *App) capture(ctx context.Context, name string, fn func(context.Context) error) error {
	if xray.GetSegment(ctx) != nil {
		return xray.Capture(ctx, name, func(ctx context.Context) error { return a.span(ctx, name, fn) })
	}
	return a.span(ctx, name, fn)
}

func (a *App) span(ctx context.Context, name string, fn func(context.Context) error) error {
	ctx, span := a.tracer(scope).Start(ctx, name)
	defer func() {
		// The span ends between recover and panic, or it would record the panic again.
		p := recover()
		if p != nil {
			recordException(ctx, asError(p))
		}
		span.End()
		if p != nil {
			panic(p)
		}
	}()
	err := fn(ctx)
	var client *apiError
	if err != nil && !errors.As(err, &client) {
		recordException(ctx, err)
	}
	return err
}

// recordException marks the span of ctx as failed and adds an exception event
// with the stack, once per request.
func recordException(ctx context.Context, err error) {
	span := trace.SpanFromContext(ctx)
	span.SetStatus(codes.Error, err.Error())
	if rq := requestOf(ctx); rq != nil {
		if rq.recorded {
			return
		}
		rq.recorded = true
	}
	span.RecordError(err, trace.WithAttributes(attribute.String("exception.stacktrace", string(debug.Stack()))))
}

// panicError is a recovered panic whose value is no error.
type panicError struct{ value any }

func (e panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

func asError(recovered any) error {
	if err, ok := recovered.(error); ok {
		return err
	}
	return panicError{recovered}
}

// annotate puts the tutorial's metadata on the X-Ray subsegment and the same
// facts on the span.
func annotate(ctx context.Context, now time.Time, results int) {
	trace.SpanFromContext(ctx).SetAttributes(
		attribute.String("app.now", isoformat(now)), attribute.Int("app.result_length", results))
	if seg := xray.GetSegment(ctx); seg != nil {
		// It always returns nil.
		_ = seg.AddMetadataToNamespace("namespace", "key", map[string]any{"now": isoformat(now), "results-size": results})
	}
}

// instrument wraps h in what traces a request of one service: an OpenTelemetry
// span and, with the X-Ray SDK, a segment around it.
func instrument(h http.Handler, tracers trace.TracerProvider, segments *segmenter) http.Handler {
	wrap := func(kind trace.SpanKind, props propagation.TextMapPropagator) http.Handler {
		return otelhttp.NewHandler(h, "", otelhttp.WithTracerProvider(tracers), otelhttp.WithPropagators(props),
			otelhttp.WithSpanOptions(trace.WithSpanKind(kind)),
			// Preflights are the browser's business, not the application's.
			otelhttp.WithFilter(func(r *http.Request) bool { return r.Method != http.MethodOptions }))
	}
	server := wrap(trace.SpanKindServer, propagators())
	if segments == nil {
		return server
	}
	return segments.middleware(wrap(trace.SpanKindInternal, segmentParent{propagators()}), server)
}
