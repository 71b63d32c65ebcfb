package backend

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/aws-xray-sdk-go/v2/header"
	"github.com/aws/aws-xray-sdk-go/v2/strategy/sampling"
	"github.com/aws/aws-xray-sdk-go/v2/xray"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

const xrayHeader = "X-Amzn-Trace-Id"

// segmenter makes an X-Ray segment of each request of one service.
type segmenter struct {
	namer  xray.SegmentNamer
	config *xray.Config
}

// newXRayConfig sends segments to the daemon at addr and asks it for sampling
// rules; empty means the SDK's default, 127.0.0.1:2000 on UDP and TCP.
func newXRayConfig(addr string) (*xray.Config, error) {
	strategy, err := sampling.NewCentralizedStrategy()
	if err != nil {
		return nil, fmt.Errorf("make X-Ray sampling strategy: %w", err)
	}
	if addr == "" {
		addr = "127.0.0.1:2000"
	}
	emitter, err := xray.NewDefaultEmitter(nil)
	if err != nil {
		return nil, fmt.Errorf("make X-Ray emitter: %w", err)
	}
	cfg := xray.Config{DaemonAddr: addr, Emitter: emitter, SamplingStrategy: strategy}
	// The call points the emitter and the strategy at the daemon.
	if _, err := xray.ContextWithConfig(context.Background(), cfg); err != nil {
		return nil, fmt.Errorf("reach X-Ray daemon %q: %w", addr, err)
	}
	return &cfg, nil
}

// segmentNamer names segments after the service, or after the Host header when
// it matches the wildcard pattern of AWS_XRAY_URL, as the tutorial does.
func segmentNamer(service, pattern string) xray.SegmentNamer {
	if pattern == "" {
		return xray.NewFixedSegmentNamer(service)
	}
	return xray.NewDynamicSegmentNamer(service, pattern)
}

// middleware opens a segment around sampled, or serves unsampled requests by
// the other handler.
func (s *segmenter) middleware(sampled, unsampled http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodOptions {
			unsampled.ServeHTTP(w, r)
			return
		}
		in := incoming(r)
		ctx := context.WithValue(r.Context(), xray.RecorderContextKey{}, s.config)
		ctx, seg := xray.NewSegmentFromHeader(ctx, s.namer.Name(r.Host), r, in)
		next := unsampled
		if seg.Sampled {
			next = sampled
		}
		// A failing handler answers 500 by itself; only http.ErrAbortHandler
		// comes through, and it is no fault of the service.
		defer seg.Close(nil)
		xray.HttpTrace(seg, next, w, r.WithContext(ctx), in)
	})
}

// incoming returns the trace header of r, made from W3C's when X-Ray's is
// missing or names no valid trace. A W3C sampled flag is not a decision of
// X-Ray: the sampling rules decide.
func incoming(r *http.Request) *header.Header {
	h := header.FromString(r.Header.Get(xrayHeader))
	if _, ok := parseXRayID(h.TraceID); ok {
		return h
	}
	h = &header.Header{}
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.HeaderCarrier(r.Header))
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		h.TraceID, h.ParentID = formatXRayID(sc.TraceID()), sc.SpanID().String()
	}
	return h
}

// formatXRayID writes a trace id as X-Ray does: "1-", 8 and 24 hex digits.
func formatXRayID(id trace.TraceID) string {
	s := id.String()
	return "1-" + s[:8] + "-" + s[8:]
}

func parseXRayID(s string) (trace.TraceID, bool) {
	if len(s) != 35 || !strings.HasPrefix(s, "1-") || s[10] != '-' {
		return trace.TraceID{}, false
	}
	id, err := trace.TraceIDFromHex(s[2:10] + s[11:])
	return id, err == nil
}

// segmentContext returns the X-Ray segment of ctx as a span context, so that
// OpenTelemetry spans join its trace.
func segmentContext(ctx context.Context) (trace.SpanContext, bool) {
	seg := xray.GetSegment(ctx)
	if seg == nil {
		return trace.SpanContext{}, false
	}
	seg.RLock()
	defer seg.RUnlock()
	traceID, ok := parseXRayID(seg.ParentSegment.TraceID)
	spanID, err := trace.SpanIDFromHex(seg.ID)
	if !ok || err != nil || !seg.Sampled {
		return trace.SpanContext{}, false
	}
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: traceID, SpanID: spanID, TraceFlags: trace.FlagsSampled, Remote: true,
	}), true
}

// segmentParent is a propagator that takes the open segment for the parent.
type segmentParent struct{ propagation.TextMapPropagator }

func (p segmentParent) Extract(ctx context.Context, c propagation.TextMapCarrier) context.Context {
	ctx = p.TextMapPropagator.Extract(ctx, c)
	if sc, ok := segmentContext(ctx); ok {
		return trace.ContextWithRemoteSpanContext(ctx, sc)
	}
	return ctx
}

// unsampledByXRay is a propagator that carries on the trace of OpenTelemetry
// and X-Ray's decision not to sample it.
type unsampledByXRay struct{ propagation.TextMapPropagator }

func (p unsampledByXRay) Inject(ctx context.Context, c propagation.TextMapCarrier) {
	p.TextMapPropagator.Inject(ctx, c)
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		c.Set(xrayHeader, "Root="+formatXRayID(sc.TraceID())+";Parent="+sc.SpanID().String()+";Sampled=0")
	}
}

// tracedTransport traces outgoing requests: by the X-Ray SDK under a sampled
// segment, else by OpenTelemetry, never by both, which would show one call as two.
type tracedTransport struct{ xray, otel http.RoundTripper }

func newTransport(tracers trace.TracerProvider, sdk bool) http.RoundTripper {
	base := http.DefaultTransport
	props := propagators()
	if !sdk {
		return otelhttp.NewTransport(base, otelhttp.WithTracerProvider(tracers), otelhttp.WithPropagators(props))
	}
	return tracedTransport{
		xray: xray.RoundTripper(base),
		otel: otelhttp.NewTransport(base, otelhttp.WithTracerProvider(tracers), otelhttp.WithPropagators(unsampledByXRay{props})),
	}
}

// RoundTrip implements http.RoundTripper.
func (t tracedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if _, ok := segmentContext(r.Context()); ok {
		// The SDK adds its header to the request it is given.
		return t.xray.RoundTrip(r.Clone(r.Context()))
	}
	return t.otel.RoundTrip(r)
}
