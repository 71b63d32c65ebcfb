package server

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"google.golang.org/grpc"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/console"
	"github.com/trefoil-o11y/trefoil/internal/cwlogs"
	"github.com/trefoil-o11y/trefoil/internal/cwmetrics"
	"github.com/trefoil-o11y/trefoil/internal/honeycomb"
	"github.com/trefoil-o11y/trefoil/internal/meta"
	"github.com/trefoil-o11y/trefoil/internal/otlp"
	"github.com/trefoil-o11y/trefoil/internal/xray"
	"github.com/trefoil-o11y/trefoil/ui"
)

// front tells apart what comes in on the one HTTP port.
type front struct {
	otlp      *otlp.Receiver
	grpc      *grpc.Server
	honeycomb *honeycomb.Server
	xray      *xray.Server
	logs      *cwlogs.Server
	metrics   *cwmetrics.Server
	console   *console.Server
	auth      *awsapi.Auth
	guard     func(http.Handler) http.Handler
	ready     func(context.Context) error
}

// otlpHandler serves the OTLP paths alone.
func (f *front) otlpHandler() http.Handler {
	mux := http.NewServeMux()
	f.addOTLP(mux)
	return mux
}

func (f *front) addOTLP(mux *http.ServeMux) {
	for path, h := range map[string]http.Handler{"/v1/traces": f.otlp.Traces(), "/v1/logs": f.otlpLogs(), "/v1/metrics": f.otlp.Metrics()} {
		mux.Handle(path, h)
		mux.Handle(path+"/{$}", h)
	}
}

// otlpLogs serves /v1/logs, which is both Honeycomb's and CloudWatch's.
func (f *front) otlpLogs() http.Handler {
	records, lines := f.otlp.Logs(), f.logs.HTTPHandler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Honeycomb-Team") == "" && cwlogs.WantsOTLP(r) {
			lines.ServeHTTP(w, r)
		} else {
			records.ServeHTTP(w, r)
		}
	})
}

// xrayHandler serves the X-Ray API and, as AWS's endpoint does, OTLP traces beside it.
func (f *front) xrayHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", f.xray.Handler())
	mux.Handle("/v1/traces", f.otlp.AWSTraces())
	return mux
}

// handler serves everything: gRPC by its content type, CloudWatch's services by
// X-Amz-Target or the service that a form is signed for, STS by its form, the rest by path.
func (f *front) handler() http.Handler {
	mux := http.NewServeMux()
	f.addOTLP(mux)
	mux.Handle("/1/", f.honeycomb)
	mux.Handle("/2/", f.honeycomb)
	for _, path := range f.xray.Paths() {
		mux.Handle("POST "+path, f.xray.Handler())
	}
	mux.Handle("POST "+cwmetrics.Path, f.metrics)
	for _, path := range f.logs.HTTPPaths() {
		mux.Handle(path, f.logs.HTTPHandler())
	}
	mux.Handle("/api/", f.guard(f.console))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := f.ready(r.Context()); err != nil {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ok\n")
	})
	mux.Handle("/", f.guard(ui.Handler()))

	logs, identity := f.logs.Handler(), awsapi.CallerIdentity(f.auth)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc"):
			f.grpc.ServeHTTP(w, r)
		case strings.HasPrefix(r.Header.Get("X-Amz-Target"), cwmetrics.TargetPrefix):
			f.metrics.ServeHTTP(w, r)
		case r.Header.Get("X-Amz-Target") != "":
			logs.ServeHTTP(w, r)
		case r.Method == http.MethodPost && r.URL.Path == "/" && strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded"):
			if cwmetrics.Wants(r) {
				f.metrics.ServeHTTP(w, r)
			} else {
				identity.ServeHTTP(w, r)
			}
		default:
			mux.ServeHTTP(w, r)
		}
	})
}

// guard asks for a key wherever the data can be read in a browser, unless everyone is let in:
// HTTP basic authentication with any valid key as the password. Nothing behind it changes
// data, so a forged request from another site gains nothing.
func guard(mode awsapi.Mode, authenticate func(context.Context, string) (string, error)) func(http.Handler) http.Handler {
	if mode == awsapi.Off {
		return func(h http.Handler) http.Handler { return h }
	}
	return func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, key, _ := r.BasicAuth()
			if key == "" {
				key = r.Header.Get("X-Honeycomb-Team")
			}
			switch _, err := authenticate(r.Context(), key); {
			case errors.Is(err, meta.ErrNotFound):
				w.Header().Set("WWW-Authenticate", `Basic realm="Trefoil: any user name, a key as the password", charset="UTF-8"`)
				http.Error(w, "a key is needed: trefoil key create makes one", http.StatusUnauthorized)
			case err != nil:
				http.Error(w, "internal error", http.StatusInternalServerError)
			default:
				h.ServeHTTP(w, r)
			}
		})
	}
}
