package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc"
)

// The sink is the measure of ratios: a process that decodes the same requests as an
// OpenTelemetry Collector does, with pdata, and drops them.

// serveSink is the sink's process: it writes its addresses to file and serves until it is told
// to stop.
func serveSink(file string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	h, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // at the start
	if err != nil {
		return err
	}
	g, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // at the start
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	drop := func(decode func([]byte) error) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err == nil {
				err = decode(body)
			}
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
			}
		}
	}
	mux.HandleFunc("/v1/traces", drop(func(b []byte) error { return ptraceotlp.NewExportRequest().UnmarshalProto(b) }))
	mux.HandleFunc("/v1/logs", drop(func(b []byte) error { return plogotlp.NewExportRequest().UnmarshalProto(b) }))
	mux.HandleFunc("/", drop(func(b []byte) error {
		var in struct {
			LogGroupName, LogStreamName string
			LogEvents                   []struct {
				Timestamp int64
				Message   string
			}
		}
		return json.Unmarshal(b, &in)
	}))
	hs, gs := &http.Server{Handler: mux}, grpc.NewServer() //nolint:gosec // only the bench speaks to it
	ptraceotlp.RegisterGRPCServer(gs, &grpcSink{})
	ended := make(chan error, 2)
	go func() { ended <- hs.Serve(h) }()
	go func() { ended <- gs.Serve(g) }()
	text, err := json.Marshal(subject{HTTP: h.Addr().String(), OTLPHTTP: h.Addr().String(), OTLPGRPC: g.Addr().String()})
	if err != nil {
		return err
	}
	// Written whole or not at all, as it is polled for.
	if err := errors.Join(os.WriteFile(file+".new", text, 0o644), os.Rename(file+".new", file)); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		gs.Stop()
		return hs.Close()
	case err := <-ended:
		return err
	}
}

type grpcSink struct {
	ptraceotlp.UnimplementedGRPCServer
}

func (*grpcSink) Export(context.Context, ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
	return ptraceotlp.NewExportResponse(), nil
}

// startSink starts this program again as the sink.
func startSink(dir string) (*subject, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("start the sink: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "sink.json")
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	s := &subject{data: dir}
	return s, s.run(exec.Command(self, "-sink", file), func() error { //nolint:noctx // stop ends it
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		return json.Unmarshal(text, s)
	})
}
