package backend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-xray-sdk-go/v2/xray"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// appConfig is what an App needs once Run has opened everything.
type appConfig struct {
	Demo           bool
	Origins        []string // allowed by CORS; "*" allows all
	AccessLogLevel *slog.Level
	tracers        trace.TracerProvider
	searchTracers  trace.TracerProvider
	xray           *xray.Config // nil without the X-Ray SDK
	namer          xray.SegmentNamer
	log            *slog.Logger
}

// App answers Cruddur's API.
type App struct {
	cfg       appConfig
	log       *slog.Logger
	store     *store
	router    router
	client    *http.Client
	searchURL string // of the demo's second service
	handler   http.Handler
}

func newApp(cfg appConfig) *App {
	a := &App{cfg: cfg, log: cfg.log, store: &store{}}
	a.router = a.routes()
	a.client = &http.Client{Transport: newTransport(cfg.tracers, cfg.xray != nil), Timeout: 10 * time.Second}
	traced := instrument(http.HandlerFunc(a.dispatch), cfg.tracers, a.segments(cfg.namer))
	a.handler = a.begin(a.accessLog(a.cors(traced)))
	return a
}

func (a *App) segments(namer xray.SegmentNamer) *segmenter {
	if a.cfg.xray == nil {
		return nil
	}
	return &segmenter{namer: namer, config: a.cfg.xray}
}

// request is what the middlewares of one request tell each other. Its fields
// are written and read in the goroutine that serves the request.
type request struct {
	handle   handle
	allow    []string
	span     trace.SpanContext
	failure  error // what became a 500
	stack    string
	recorded bool // the exception is on a span already
}

type requestKey struct{}

func requestOf(ctx context.Context) *request {
	rq, _ := ctx.Value(requestKey{}).(*request)
	return rq
}

// begin finds the route, so that whatever traces the request knows its name.
func (a *App) begin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rq := &request{}
		r = r.WithContext(context.WithValue(r.Context(), requestKey{}, rq))
		var pattern string
		pattern, rq.handle, rq.allow = a.router.match(r)
		if pattern != "" {
			r.Pattern = r.Method + " " + pattern
		}
		next.ServeHTTP(w, r)
	})
}

// dispatch runs the handler of the route inside the request's span.
func (a *App) dispatch(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	rq := requestOf(ctx)
	span := trace.SpanFromContext(ctx)
	rq.span = span.SpanContext()
	if r.URL.RawQuery != "" {
		span.SetAttributes(attribute.String("url.query", r.URL.RawQuery))
	}
	a.answerTrace(w, rq.span)
	switch {
	case r.Method == http.MethodOptions:
		w.Header().Set("Allow", strings.Join(a.methods(r), ", "))
		w.WriteHeader(http.StatusOK)
	case rq.handle != nil:
		body, err := a.run(ctx, r, rq)
		a.answer(ctx, w, body, err)
	case rq.allow != nil:
		w.Header().Set("Allow", strings.Join(rq.allow, ", "))
		a.answer(ctx, w, nil, &apiError{http.StatusMethodNotAllowed, "method_not_allowed"})
	default:
		a.answer(ctx, w, nil, &apiError{http.StatusNotFound, "not_found"})
	}
}

// methods returns what OPTIONS allows on the path.
func (a *App) methods(r *http.Request) []string {
	probe := r.Clone(r.Context())
	probe.Method = "" // no route has it, so match lists them all
	_, _, allow := a.router.match(probe)
	return allow
}

// run calls the handler, turning a panic into an error, and notes the failure
// that the client is not told about.
func (a *App) run(ctx context.Context, r *http.Request, rq *request) (body any, err error) {
	defer func() {
		p := recover()
		if p == http.ErrAbortHandler {
			panic(p)
		}
		if p != nil {
			rq.stack = string(debug.Stack())
			body, err = nil, asError(p)
		}
		var client *apiError
		if err == nil || errors.As(err, &client) {
			return
		}
		rq.failure = err
		// When a captured function failed, its subsegment has the exception.
		if seg := xray.GetSegment(ctx); seg != nil && !rq.recorded {
			// AddError always returns nil.
			_ = seg.AddError(err)
		}
		recordException(ctx, err)
	}()
	return rq.handle(ctx, r)
}

// answerTrace tells the client which trace its request became. The X-Ray SDK
// has set its own header for a sampled segment or when asked for the decision.
func (a *App) answerTrace(w http.ResponseWriter, sc trace.SpanContext) {
	if !sc.IsValid() {
		return
	}
	h := w.Header()
	h.Set("Traceresponse", fmt.Sprintf("00-%s-%s-%s", sc.TraceID(), sc.SpanID(), sc.TraceFlags()))
	root := "Root=" + formatXRayID(sc.TraceID())
	if given := h.Get(xrayHeader); given == "" || !strings.HasPrefix(given, root) {
		h.Set(xrayHeader, root)
	}
}

func (a *App) answer(ctx context.Context, w http.ResponseWriter, body any, err error) {
	status := http.StatusOK
	var client *apiError
	switch {
	case errors.As(err, &client):
		status, body = client.status, []string{client.msg}
	case err != nil:
		status, body = http.StatusInternalServerError, []string{"internal_server_error"}
	}
	text, err := encode(body)
	if err != nil {
		a.log.ErrorContext(ctx, "encode answer", "error", err)
		status, text = http.StatusInternalServerError, []byte("[\"internal_server_error\"]\n")
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	// A client that went away is not the server's failure.
	_, _ = w.Write(text)
}

// cors lets the allowed origins read answers, the same for every method.
func (a *App) cors(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin := r.Header.Get("Origin")
		w.Header().Add("Vary", "Origin")
		if origin != "" && a.allowed(origin) {
			h := w.Header()
			h.Set("Access-Control-Allow-Origin", origin)
			if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
				h.Set("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS, POST")
				h.Set("Access-Control-Allow-Headers", "content-type, if-modified-since, traceparent, x-amzn-trace-id")
				h.Set("Access-Control-Max-Age", "600")
			} else {
				h.Set("Access-Control-Expose-Headers", "location, link, x-amzn-trace-id, traceresponse")
			}
		}
		next.ServeHTTP(w, r)
	})
}

func (a *App) allowed(origin string) bool {
	for _, o := range a.cfg.Origins {
		if o == "*" || strings.EqualFold(strings.TrimSuffix(o, "/"), origin) {
			return true
		}
	}
	return false
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// accessLog writes the tutorial's line for each request, and the exception
// before it when the request failed.
func (a *App) accessLog(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		sw := &statusWriter{ResponseWriter: w}
		next.ServeHTTP(sw, r)
		rq := requestOf(r.Context())
		ctx := trace.ContextWithSpanContext(context.WithoutCancel(r.Context()), rq.span)
		if rq.failure != nil {
			attrs := []any{"error", rq.failure.Error()}
			if rq.stack != "" {
				attrs = append(attrs, stackKey, rq.stack)
			}
			a.log.ErrorContext(ctx, fmt.Sprintf("Exception on %s [%s]", printable(r.URL.Path), r.Method), attrs...)
		}
		a.log.Log(ctx, a.accessLevel(sw.status), accessLine(start, r, sw.status),
			"method", r.Method, "path", r.URL.Path, "status", sw.status,
			"duration_ms", float64(time.Since(start).Microseconds())/1000, "remote_addr", remoteAddr(r))
	})
}

func (a *App) accessLevel(status int) slog.Level {
	switch {
	case a.cfg.AccessLogLevel != nil:
		return *a.cfg.AccessLogLevel
	case status >= 500:
		return slog.LevelError
	case status >= 400:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// accessLine is "[2023-May-20 23:43] 192.168.191.138 GET http /path? 200 OK":
// Flask's full_path always has the question mark.
func accessLine(at time.Time, r *http.Request, status int) string {
	return fmt.Sprintf("[%s] %s %s http %s?%s %d %s", at.Format("2006-Jan-02 15:04"), remoteAddr(r), r.Method,
		printable(r.URL.Path), r.URL.RawQuery, status, strings.ToUpper(http.StatusText(status)))
}

// printable keeps a decoded path on one line.
func printable(path string) string {
	var b strings.Builder
	for _, c := range []byte(path) {
		if c < 0x20 || c == 0x7f {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func remoteAddr(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
