package backend

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/trefoil-o11y/trefoil/cwslog"
	"go.opentelemetry.io/otel/trace"
)

// stackKey is the attribute that holds the stack of an exception.
const stackKey = "exception.stacktrace"

// openLog makes the logger: one object per line on cfg.Stdout, or the message
// alone with cfg.LogText, and the same to CloudWatch Logs when wanted. The
// returned function delivers what is still queued.
func openLog(ctx context.Context, cfg Config) (*slog.Logger, func(context.Context) error, error) {
	encode := func(w io.Writer, o *slog.HandlerOptions) slog.Handler { return slog.NewJSONHandler(w, o) }
	if cfg.LogText {
		encode = func(w io.Writer, o *slog.HandlerOptions) slog.Handler { return textHandler{w: w, level: o.Level} }
	}
	stdout := encode(&lockedWriter{w: cfg.Stdout}, &slog.HandlerOptions{Level: slog.LevelDebug})
	if !cfg.CloudWatch {
		return slog.New(spanHandler{stdout}), func(context.Context) error { return nil }, nil
	}
	client, err := logsClient(ctx)
	if err != nil {
		return nil, nil, err
	}
	local := slog.New(stdout)
	logs, err := cwslog.New(context.WithoutCancel(ctx), client, cwslog.Options{
		Group: cfg.LogGroup, Level: slog.LevelDebug, Encode: encode, SendInterval: cfg.LogInterval,
		OnError: func(ctx context.Context, err error, lost int) {
			local.WarnContext(ctx, "ship logs to CloudWatch", "error", err.Error(), "lost", lost)
		},
	})
	if err != nil {
		return nil, nil, fmt.Errorf("ship logs to group %q: %w", cfg.LogGroup, err)
	}
	return slog.New(spanHandler{slog.NewMultiHandler(stdout, logs)}), logs.Close, nil
}

func logsClient(ctx context.Context) (*cloudwatchlogs.Client, error) {
	// The region is part of the signature even where the endpoint is not AWS.
	aws, err := config.LoadDefaultConfig(ctx, config.WithDefaultRegion("us-east-1"))
	if err != nil {
		return nil, fmt.Errorf("read AWS configuration: %w", err)
	}
	return cloudwatchlogs.NewFromConfig(aws), nil
}

// spanHandler adds the ids of the span in the context to each record.
type spanHandler struct{ slog.Handler }

func (h spanHandler) Handle(ctx context.Context, r slog.Record) error {
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		r = r.Clone()
		r.AddAttrs(
			slog.String("trace_id", sc.TraceID().String()),
			slog.String("xray_trace_id", formatXRayID(sc.TraceID())),
			slog.String("span_id", sc.SpanID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

func (h spanHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return spanHandler{h.Handler.WithAttrs(attrs)}
}

func (h spanHandler) WithGroup(name string) slog.Handler {
	return spanHandler{h.Handler.WithGroup(name)}
}

// textHandler writes the message of a record and nothing else, as the
// tutorial's logger does, but for the stack of an exception and an error.
type textHandler struct {
	w     io.Writer
	level slog.Leveler
}

func (h textHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level.Level() }
func (h textHandler) WithAttrs([]slog.Attr) slog.Handler           { return h }
func (h textHandler) WithGroup(string) slog.Handler                { return h }

func (h textHandler) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == stackKey || a.Key == "error" {
			text += "\n" + a.Value.String()
		}
		return true
	})
	_, err := io.WriteString(h.w, text+"\n")
	return err
}

// lockedWriter makes each Write whole; textHandler has no lock of its own.
type lockedWriter struct {
	mu sync.Mutex // guards w
	w  io.Writer
}

func (w *lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.w.Write(p)
}
