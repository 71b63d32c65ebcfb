// Command cruddur serves the example application of the tutorial: its API, its
// pages, and with CRUDDUR_DEMO=1 routes that fail on purpose. It is instrumented
// with OpenTelemetry, CloudWatch Logs and, with CRUDDUR_XRAY=sdk, the AWS X-Ray
// SDK. docs/cruddur.md lists every variable.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/aws/aws-xray-sdk-go/v2/xray"
	"github.com/aws/aws-xray-sdk-go/v2/xraylog"
	"github.com/trefoil-o11y/trefoil/cruddur/backend"
	"github.com/trefoil-o11y/trefoil/cruddur/frontend"
	"go.opentelemetry.io/otel"
)

func main() {
	xray.SetLogger(xraylog.NewDefaultLogger(os.Stderr, xraylog.LogLevelWarn))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		fmt.Fprintf(os.Stderr, "cruddur: export spans: %v\n", err)
	}))
	cfg, err := configure(os.Args[1:], os.Getenv, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		fmt.Fprintf(os.Stderr, "cruddur: %v\n", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := backend.Run(ctx, cfg); err != nil {
		fmt.Fprintf(os.Stderr, "cruddur: %v\n", err)
		stop()
		os.Exit(1)
	}
}

// configure reads the flags, whose defaults come from the environment, and the
// variables of the tutorial.
func configure(args []string, env func(string) string, help io.Writer) (backend.Config, error) {
	fs := flag.NewFlagSet("cruddur", flag.ContinueOnError)
	fs.SetOutput(help)
	host := fs.String("host", cmp.Or(env("HOST"), "127.0.0.1"), "address that the API listens on (HOST)")
	port := fs.String("port", cmp.Or(env("PORT"), "4567"), "port that the API listens on, 0 for any (PORT)")
	front := fs.String("frontend-addr", "127.0.0.1:3000", "address of the pages, empty for none")
	file := fs.String("addresses-file", "", "file that gets the addresses as JSON once they listen")
	if err := fs.Parse(args); err != nil {
		return backend.Config{}, err
	}
	if fs.NArg() > 0 {
		return backend.Config{}, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	cfg := backend.Config{
		Addr:          net.JoinHostPort(*host, *port),
		FrontendAddr:  *front,
		AddressesFile: *file,
		FrontendURL:   env("FRONTEND_URL"),
		BackendURL:    env("BACKEND_URL"),
		Pages:         frontend.Pages(),
		Service:       cmp.Or(env("OTEL_SERVICE_NAME"), "backend-flask"),
		XRayDaemon:    env("AWS_XRAY_DAEMON_ADDRESS"),
		XRayURL:       env("AWS_XRAY_URL"),
		Stdout:        os.Stdout,
		Stderr:        os.Stderr,
		LogGroup:      cmp.Or(env("LOG_GROUP"), "cruddur"),
		Demo:          env("CRUDDUR_DEMO") == "1",
	}
	var err error
	if cfg.ExportSpans, err = exportSpans(env); err != nil {
		return backend.Config{}, err
	}
	switch v := env("CRUDDUR_XRAY"); v {
	case "":
	case "sdk":
		cfg.XRaySDK = true
	default:
		return backend.Config{}, fmt.Errorf("CRUDDUR_XRAY is %q, expected sdk or nothing", v)
	}
	switch v := env("CRUDDUR_LOG_FORMAT"); v {
	case "", "json":
	case "text":
		cfg.LogText = true
	default:
		return backend.Config{}, fmt.Errorf("CRUDDUR_LOG_FORMAT is %q, expected json or text", v)
	}
	switch v := env("CRUDDUR_CLOUDWATCH"); v {
	case "":
		cfg.CloudWatch = env("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS") != "" || env("AWS_ENDPOINT_URL") != ""
	case "0", "1":
		cfg.CloudWatch = v == "1"
	default:
		return backend.Config{}, fmt.Errorf("CRUDDUR_CLOUDWATCH is %q, expected 0 or 1", v)
	}
	if v := env("ACCESS_LOG_LEVEL"); v != "" {
		var level slog.Level
		if err := level.UnmarshalText([]byte(v)); err != nil {
			return backend.Config{}, fmt.Errorf("ACCESS_LOG_LEVEL is %q, expected debug, info, warn or error", v)
		}
		cfg.AccessLogLevel = &level
	}
	return cfg, nil
}

// exportSpans reports whether the environment names a place for spans. The
// specification's default, an HTTPS server on this machine, is not assumed.
func exportSpans(env func(string) string) (bool, error) {
	protocol := cmp.Or(env("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), env("OTEL_EXPORTER_OTLP_PROTOCOL"), "http/protobuf")
	switch {
	case strings.EqualFold(env("OTEL_SDK_DISABLED"), "true"), env("OTEL_TRACES_EXPORTER") == "none":
		return false, nil
	case env("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "":
		return false, nil
	case protocol != "http/protobuf":
		return false, fmt.Errorf("OTLP protocol %q is not supported, expected http/protobuf", protocol)
	}
	return true, nil
}
