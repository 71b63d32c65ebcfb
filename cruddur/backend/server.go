package backend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Config is what Run needs. Endpoints and credentials of traces and logs are
// not in it: the OpenTelemetry and AWS libraries read their own variables.
type Config struct {
	// Addr is where the API listens; FrontendAddr is where the pages are
	// served, empty for nowhere. Port 0 picks a free port.
	Addr         string
	FrontendAddr string

	// AddressesFile, unless empty, gets {"backend":"host:port","frontend":…}
	// once all listen.
	AddressesFile string

	// FrontendURL and BackendURL are the addresses that browsers use: the
	// origins that CORS allows, and where the pages look for the API. Empty
	// means http://localhost:3000 and http://localhost:4567 for CORS, and the
	// API's real address for the pages. "*" allows every origin.
	FrontendURL string
	BackendURL  string

	// Pages holds the built front end; without index.html in it a page says
	// how to build it.
	Pages fs.FS

	// Service names the spans' service, unless OTEL_SERVICE_NAME does, and the
	// X-Ray segments.
	Service string

	// ExportSpans sends spans to where the OTEL_* variables say.
	ExportSpans bool

	// XRaySDK also sends X-Ray segments to the daemon at XRayDaemon (empty:
	// 127.0.0.1:2000). XRayURL is the wildcard pattern of the hosts that name
	// segments instead of Service; empty matches none.
	XRaySDK    bool
	XRayDaemon string
	XRayURL    string

	// Stdout gets the log, and Stderr what went wrong after the log closed.
	// LogText writes plain messages instead of JSON.
	// AccessLogLevel, unless nil, is the level of every access line.
	Stdout, Stderr io.Writer
	LogText        bool
	AccessLogLevel *slog.Level

	// CloudWatch ships the log to LogGroup, at least every LogInterval
	// (zero: 5 s).
	CloudWatch  bool
	LogGroup    string
	LogInterval time.Duration

	// Demo adds the routes that fail on purpose and the second service.
	Demo bool
}

const shutdownTimeout = 10 * time.Second

// Run serves until ctx ends, then finishes the requests under way, delivers
// what is queued of spans and logs, and returns nil.
func Run(ctx context.Context, cfg Config) error {
	log, closeLog, err := openLog(ctx, cfg)
	if err != nil {
		return err
	}
	tracers, err := newTracerProvider(ctx, cfg.Service, false, cfg.ExportSpans)
	if err != nil {
		return err
	}
	searchTracers, err := newTracerProvider(ctx, searchService, true, cfg.ExportSpans && cfg.Demo)
	if err != nil {
		return err
	}
	defer func() {
		if err := drain(ctx, tracers.Shutdown, searchTracers.Shutdown, closeLog); err != nil {
			fmt.Fprintf(cfg.Stderr, "cruddur: deliver what was queued: %v\n", err)
		}
	}()

	app := appConfig{
		Demo: cfg.Demo, AccessLogLevel: cfg.AccessLogLevel, log: log,
		tracers: tracers, searchTracers: searchTracers, namer: segmentNamer(cfg.Service, cfg.XRayURL),
	}
	if cfg.XRaySDK {
		if app.xray, err = newXRayConfig(cfg.XRayDaemon); err != nil {
			return err
		}
	}

	api, err := listen(ctx, "--port", cfg.Addr)
	if err != nil {
		return err
	}
	defer api.Close()
	addresses := map[string]string{"backend": api.Addr().String()}
	var pages net.Listener
	if cfg.FrontendAddr != "" {
		if pages, err = listen(ctx, "--frontend-addr", cfg.FrontendAddr); err != nil {
			return err
		}
		defer pages.Close()
		addresses["frontend"] = pages.Addr().String()
	}
	app.Origins = origins(cfg, addresses)
	a := newApp(app)

	var servers group
	servers.add(api, a.handler, log)
	if pages != nil {
		backend := cfg.BackendURL
		if backend == "" || backend == "*" {
			backend = "http://" + addresses["backend"]
		}
		servers.add(pages, pagesHandler(cfg.Pages, strings.TrimSuffix(backend, "/")), log)
	}
	if cfg.Demo {
		search, err := listen(ctx, "of the search service", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer search.Close()
		a.searchURL = "http://" + search.Addr().String()
		servers.add(search, a.searchHandler(), log)
	}
	if cfg.AddressesFile != "" {
		if err := writeAddresses(cfg.AddressesFile, addresses); err != nil {
			return err
		}
	}
	log.Info("cruddur is listening", "backend", addresses["backend"], "frontend", addresses["frontend"],
		"export_spans", cfg.ExportSpans, "xray_sdk", cfg.XRaySDK, "cloudwatch", cfg.CloudWatch, "demo", cfg.Demo)
	return servers.run(ctx)
}

func listen(ctx context.Context, flag, addr string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return l, nil
}

// origins lists what CORS allows: the configured URLs, and the pages under
// every name a browser on this machine has for them.
func origins(cfg Config, addresses map[string]string) []string {
	out := []string{"http://localhost:3000", "http://localhost:4567"}
	if cfg.FrontendURL != "" {
		out[0] = cfg.FrontendURL
	}
	if cfg.BackendURL != "" {
		out[1] = cfg.BackendURL
	}
	if _, port, err := net.SplitHostPort(addresses["frontend"]); err == nil {
		out = append(out, "http://"+addresses["frontend"], "http://localhost:"+port, "http://127.0.0.1:"+port)
	}
	return out
}

func writeAddresses(path string, addresses map[string]string) error {
	text, err := json.Marshal(addresses)
	if err != nil {
		return fmt.Errorf("write addresses: %w", err)
	}
	// A reader polls for the file, so it must appear whole.
	tmp, err := os.CreateTemp(filepath.Dir(path), ".addresses-*")
	if err != nil {
		return fmt.Errorf("write addresses: %w", err)
	}
	_, err = tmp.Write(append(text, '\n'))
	if err := errors.Join(err, tmp.Close()); err != nil {
		return fmt.Errorf("write addresses: %w", err)
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return fmt.Errorf("write addresses: %w", err)
	}
	return nil
}

// group runs HTTP servers as one: when ctx ends or one of them fails, all stop.
type group struct {
	servers   []*http.Server
	listeners []net.Listener
}

func (g *group) add(l net.Listener, h http.Handler, log *slog.Logger) {
	g.listeners = append(g.listeners, l)
	g.servers = append(g.servers, &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second,
		WriteTimeout: 60 * time.Second, IdleTimeout: 120 * time.Second,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	})
}

func (g *group) run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var wg sync.WaitGroup
	for i, srv := range g.servers {
		wg.Go(func() {
			if err := srv.Serve(g.listeners[i]); !errors.Is(err, http.ErrServerClosed) {
				stop(fmt.Errorf("serve %s: %w", g.listeners[i].Addr(), err))
			}
		})
	}
	<-ctx.Done()
	shut, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	for _, srv := range g.servers {
		if err := srv.Shutdown(shut); err != nil {
			// Requests outlived the time they were given.
			_ = srv.Close()
		}
	}
	wg.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// drain runs what delivers queued spans and logs, all at once, in bounded time.
func drain(ctx context.Context, deliver ...func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	errs := make([]error, len(deliver))
	var wg sync.WaitGroup
	for i, f := range deliver {
		wg.Go(func() { errs[i] = f(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
