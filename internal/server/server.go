// Package server builds Trefoil's parts and runs them: the store, the metadata, the ingest
// queue, and the listeners of every protocol. The wiring is in Run, from top to bottom.
package server

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/console"
	"github.com/trefoil-o11y/trefoil/internal/cwlogs"
	"github.com/trefoil-o11y/trefoil/internal/cwmetrics"
	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/honeycomb"
	"github.com/trefoil-o11y/trefoil/internal/ingest"
	"github.com/trefoil-o11y/trefoil/internal/meta"
	"github.com/trefoil-o11y/trefoil/internal/otlp"
	"github.com/trefoil-o11y/trefoil/internal/store/segment"
	"github.com/trefoil-o11y/trefoil/internal/xray"
)

// drain is how long running requests may take once the server is told to stop.
const drain = 10 * time.Second

// Run serves until ctx ends, then drains and returns nil.
func Run(ctx context.Context, cfg Config) (err error) {
	cfg.setDefaults()
	if err := cfg.Validate(); err != nil {
		return err
	}
	l, err := listen(ctx, &cfg)
	if err != nil {
		return err
	}
	defer l.close()

	st, err := segment.Open(ctx, segment.Config{Dir: cfg.Store, Log: cfg.Log, Retention: cfg.Retention, MaxBytes: cfg.MaxBytes})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	db, err := meta.Open(ctx, cfg.Meta)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	queue := ingest.New(st, nil)

	auth := awsAuth(cfg.Auth, db)
	authenticate := authenticator(cfg.Auth, db)
	receiver := otlp.New(otlp.Config{Queue: queue, Meta: db, Authenticate: authenticate, AuthenticateAWS: signature(auth), Log: cfg.Log})
	metrics := cwmetrics.New(cwmetrics.Config{Store: st, Meta: db, Queue: queue, Auth: auth, Log: cfg.Log})
	logs := cwlogs.New(cwlogs.Config{Store: st, Meta: db, Queue: queue, Auth: auth, Metrics: metricsOfLogs(metrics), Exports: filepath.Join(cfg.Data, "exports"), Log: cfg.Log})
	events := honeycomb.New(honeycomb.Config{Store: st, Meta: db, Queue: queue, Authenticate: authenticate, LogGroups: logs, Log: cfg.Log})
	if err := logs.ApplyRetention(ctx); err != nil {
		return err
	}
	traces, err := xray.New(xray.Config{Store: st, Meta: db, Queue: queue, Auth: auth, Log: cfg.Log, Environment: Environment, Account: Account, Region: Region, TraceIDMaxAge: cfg.XRayTraceIDMaxAge})
	if err != nil {
		return err
	}
	addresses := l.addresses()
	ui := console.New(console.Config{
		Store: st, Meta: db, Queue: queue, XRay: traces, Logs: logs, Log: cfg.Log,
		Environment: Environment, Account: Account, Region: Region, Version: cfg.Version, Auth: modeName(cfg.Auth),
		Addresses: console.Addresses(addresses),
	})

	var grpcOpts []grpc.ServerOption
	tlsConfig, err := cfg.tls()
	if err != nil {
		return err
	}
	if tlsConfig != nil {
		grpcOpts = append(grpcOpts, grpc.Creds(credentials.NewTLS(tlsConfig)))
	}
	grpcServer := receiver.NewGRPC(grpcOpts...)
	front := &front{
		otlp: receiver, grpc: receiver.NewGRPC(), honeycomb: events, xray: traces, logs: logs, metrics: metrics, console: ui, auth: auth,
		guard: guard(cfg.Auth, authenticate), ready: db.Ping,
	}
	httpServer := newHTTP(front.handler(), cfg.Log)
	otlpServer := newHTTP(front.otlpHandler(), cfg.Log)
	xrayServer := newHTTP(front.xrayHandler(), cfg.Log)

	// The queue outlives the listeners, so that what they accepted is still stored.
	queueCtx, stopQueue := context.WithCancel(context.WithoutCancel(ctx))
	defer stopQueue()
	queueDone := make(chan error, 1)
	go func() { queueDone <- queue.Run(queueCtx) }()

	g, gctx := errgroup.WithContext(ctx)
	serve := func(s *http.Server, ln net.Listener) {
		if tlsConfig != nil && s != xrayServer {
			ln = tls.NewListener(ln, tlsConfig)
		}
		g.Go(func() error {
			if err := s.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve %s: %w", ln.Addr(), err)
			}
			return nil
		})
	}
	serve(httpServer, l.http)
	serve(otlpServer, l.otlpHTTP)
	serve(xrayServer, l.xrayTCP)
	g.Go(func() error { return grpcServer.Serve(l.otlpGRPC) })
	g.Go(func() error { return traces.ServeUDP(gctx, l.xrayUDP) })
	g.Go(func() error { return logs.Run(gctx) })
	g.Go(func() error { return traces.Run(gctx) })
	g.Go(func() error {
		<-gctx.Done()
		ui.Close()
		stop, cancel := context.WithTimeout(context.WithoutCancel(gctx), drain)
		defer cancel()
		stopped := make(chan struct{})
		go func() { grpcServer.GracefulStop(); close(stopped) }()
		err := errors.Join(httpServer.Shutdown(stop), otlpServer.Shutdown(stop), xrayServer.Shutdown(stop))
		select {
		case <-stopped:
		case <-stop.Done():
			grpcServer.Stop()
		}
		if errors.Is(err, context.DeadlineExceeded) {
			cfg.Log.Warn("requests were still running at the end", "waited", drain)
			return errors.Join(httpServer.Close(), otlpServer.Close(), xrayServer.Close())
		}
		return err
	})

	if err := writeAddresses(cfg.AddressesFile, addresses); err != nil {
		return err
	}
	if cfg.Ready != nil {
		cfg.Ready(addresses)
	}
	err = g.Wait()
	stopQueue()
	return errors.Join(err, <-queueDone)
}

// metricsOfLogs hands the data that log events drive to CloudWatch's metrics.
func metricsOfLogs(m *cwmetrics.Server) func(context.Context, string, []cwlogs.Datum) (*event.Batch, error) {
	return func(ctx context.Context, environment string, data []cwlogs.Datum) (*event.Batch, error) {
		out := make([]cwmetrics.Datum, len(data))
		for i, d := range data {
			out[i] = cwmetrics.Of(d.Namespace, d.Metric, d.Unit, d.Dimensions, d.Time, d.Value, d.Count)
		}
		return m.Batch(ctx, environment, out)
	}
}

// newHTTP returns a server that speaks HTTP/1.1 and, without TLS too, HTTP/2.
func newHTTP(h http.Handler, log *slog.Logger) *http.Server {
	s := &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), Protocols: new(http.Protocols),
	}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetHTTP2(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	return s
}

func (c *Config) tls() (*tls.Config, error) {
	if c.TLSCert == "" {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert, --tls-key: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}, nil
}

func modeName(m awsapi.Mode) string { return [...]string{"off", "keys", "strict"}[m] }

// authenticator returns the function that turns an API key into an environment.
func authenticator(mode awsapi.Mode, db *meta.DB) func(context.Context, string) (string, error) {
	return func(ctx context.Context, key string) (string, error) {
		if mode == awsapi.Off {
			return Environment, nil
		}
		k, err := db.KeyBySecret(ctx, key)
		return k.Environment, err
	}
}

func awsAuth(mode awsapi.Mode, db *meta.DB) *awsapi.Auth {
	return &awsapi.Auth{Mode: mode, Account: Account, Environment: Environment, Region: Region,
		Lookup: func(ctx context.Context, id string) (string, string, error) {
			secret, k, err := db.AWSSecret(ctx, id)
			if errors.Is(err, meta.ErrNotFound) {
				return "", "", awsapi.ErrUnknownKey
			}
			return secret, k.Environment, err
		}}
}

// signature returns the function that tells the environment of a request that is signed as AWS's
// clients do.
func signature(auth *awsapi.Auth) func(*http.Request, []byte) (string, error) {
	return func(r *http.Request, body []byte) (string, error) {
		caller, err := auth.Check(r, body, false)
		var refused *awsapi.Error
		if errors.As(err, &refused) {
			err = fmt.Errorf("%w: %s", otlp.ErrSignature, refused.Message)
		}
		return caller.Environment, err
	}
}

// listeners are the open sockets.
type listeners struct {
	http, otlpGRPC, otlpHTTP, xrayTCP net.Listener
	xrayUDP                           *net.UDPConn
}

func listen(ctx context.Context, cfg *Config) (_ *listeners, err error) {
	l := &listeners{}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	var lc net.ListenConfig
	for _, x := range []struct {
		ln   *net.Listener
		flag string
		addr string
	}{{&l.http, "--http", cfg.HTTP}, {&l.otlpGRPC, "--otlp-grpc", cfg.OTLPGRPC}, {&l.otlpHTTP, "--otlp-http", cfg.OTLPHTTP}} {
		if *x.ln, err = lc.Listen(ctx, "tcp", x.addr); err != nil {
			return nil, listenError(x.flag, x.addr, err)
		}
	}
	for range 20 {
		// A free port of TCP's may be taken in UDP: then another one is tried.
		err = l.listenXRay(ctx, cfg.XRay)
		if _, port, _ := net.SplitHostPort(cfg.XRay); err == nil || port != "0" {
			break
		}
	}
	return l, err
}

// listenXRay opens TCP and UDP on one port, since clients are told one address for both.
func (l *listeners) listenXRay(ctx context.Context, address string) (err error) {
	var lc net.ListenConfig
	if l.xrayTCP, err = lc.Listen(ctx, "tcp", address); err != nil {
		return listenError("--xray", address, err)
	}
	addr, ok := l.xrayTCP.Addr().(*net.TCPAddr)
	if !ok {
		return fmt.Errorf("--xray: unexpected address %v", l.xrayTCP.Addr())
	}
	if l.xrayUDP, err = net.ListenUDP("udp", &net.UDPAddr{IP: addr.IP, Port: addr.Port, Zone: addr.Zone}); err != nil {
		return errors.Join(listenError("--xray", addr.String()+" (udp)", err), l.xrayTCP.Close())
	}
	return nil
}

func listenError(flag, addr string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s %s: the port is taken; stop what uses it or give another address (port 0 picks a free one)", flag, addr)
	}
	return fmt.Errorf("%s %s: %w", flag, addr, err)
}

func (l *listeners) addresses() Addresses {
	return Addresses{l.http.Addr().String(), l.otlpGRPC.Addr().String(), l.otlpHTTP.Addr().String(), l.xrayTCP.Addr().String()}
}

func (l *listeners) close() {
	for _, ln := range []net.Listener{l.http, l.otlpGRPC, l.otlpHTTP, l.xrayTCP} {
		if ln != nil {
			_ = ln.Close()
		}
	}
	if l.xrayUDP != nil {
		_ = l.xrayUDP.Close()
	}
}

// writeAddresses writes the file in one step, so that a reader never sees half of it.
func writeAddresses(path string, a Addresses) error {
	if path == "" {
		return nil
	}
	text, err := json.Marshal(a)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".tmp", append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("--addresses-file: %w", err)
	}
	return os.Rename(path+".tmp", path)
}
