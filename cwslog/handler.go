// Package cwslog is a log/slog handler that ships log records to Amazon
// CloudWatch Logs, or to anything that speaks its JSON 1.1 protocol.
//
// A record becomes one log event: the message is the record encoded as JSON
// (or by Options.Encode), the timestamp is the record's time in milliseconds.
// Logging never waits for the network: records go to a bounded queue, and when
// the queue is full new records are counted in Handler.Dropped and given up.
// One goroutine takes the queue apart into batches that obey the limits of
// PutLogEvents and delivers them, with exponential back-off while the service
// cannot be reached. The log group and stream are created when the service
// says that they are missing, so constructing a handler makes no network call.
//
// The handler never logs. Failures go to Options.OnError, with a context that
// makes the handler ignore whatever is logged under it.
package cwslog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
)

// Limits of PutLogEvents, from the API reference. A log event counts as its
// message in UTF-8 plus EventOverhead bytes.
const (
	EventOverhead   = 26
	MaxBatchBytes   = 1 << 20
	MaxBatchCount   = 10_000
	MaxMessageBytes = MaxBatchBytes - EventOverhead

	maxBatchSpan = 24 * time.Hour
	maxEventAge  = 14 * 24 * time.Hour
	maxEventLead = 2 * time.Hour
)

// ErrClosed is returned by Handle after Close.
var ErrClosed = errors.New("cwslog: handler is closed")

// Options configures a Handler. Only Group is required.
type Options struct {
	// Group is the log group. It is created when missing.
	Group string

	// Stream names the log stream of a record. It must be cheap and must not
	// log. Nil means one stream per process: "<host>/<program>/<pid>".
	Stream func(slog.Record) string

	// Level is the lowest level sent. Nil means slog.LevelInfo.
	Level slog.Leveler

	// AddSource and ReplaceAttr are those of slog.HandlerOptions.
	AddSource   bool
	ReplaceAttr func(groups []string, a slog.Attr) slog.Attr

	// Encode returns a handler that writes each record to w as one message;
	// one trailing newline is removed. Nil means slog.NewJSONHandler.
	Encode func(w io.Writer, o *slog.HandlerOptions) slog.Handler

	// SendInterval is the longest time a record waits before it is sent
	// (default 5 s). Full batches are sent at once.
	SendInterval time.Duration

	// MaxMessageBytes cuts longer messages on a UTF-8 boundary
	// (default and maximum MaxMessageBytes).
	MaxMessageBytes int

	// QueueSize and QueueBytes bound the records not yet delivered, in number
	// (default 10,000) and in event bytes (default 16 MiB).
	QueueSize  int
	QueueBytes int

	// NoCreate forbids creating the log group; the stream is still created.
	NoCreate bool

	// RetentionDays and Tags are given to a log group that the handler
	// creates. Zero retention means that events never expire.
	RetentionDays int32
	Tags          map[string]string

	// OnError is told of every failure: lost is the number of events given up
	// because of it, 0 when they will be retried. Calls come from the sending
	// goroutine, one at a time. Anything logged with ctx is ignored by this
	// handler. Nil writes one line to standard error.
	OnError func(ctx context.Context, err error, lost int)
}

func (o *Options) setDefaults() {
	if o.Stream == nil {
		name := defaultStream()
		o.Stream = func(slog.Record) string { return name }
	}
	if o.Level == nil {
		o.Level = slog.LevelInfo
	}
	if o.Encode == nil {
		o.Encode = func(w io.Writer, ho *slog.HandlerOptions) slog.Handler { return slog.NewJSONHandler(w, ho) }
	}
	if o.SendInterval == 0 {
		o.SendInterval = 5 * time.Second
	}
	if o.MaxMessageBytes == 0 {
		o.MaxMessageBytes = MaxMessageBytes
	}
	if o.QueueSize == 0 {
		o.QueueSize = 10_000
	}
	if o.QueueBytes == 0 {
		o.QueueBytes = 16 << 20
	}
	if o.OnError == nil {
		o.OnError = func(_ context.Context, err error, lost int) {
			fmt.Fprintf(os.Stderr, "cwslog: %v (%d events lost)\n", err, lost)
		}
	}
}

func (o *Options) validate() error {
	switch {
	case o.Group == "" || len(o.Group) > 512:
		return fmt.Errorf("cwslog: Group must have 1 to 512 characters, got %d", len(o.Group))
	case o.SendInterval < 0:
		return fmt.Errorf("cwslog: SendInterval is negative: %v", o.SendInterval)
	case o.MaxMessageBytes < 1 || o.MaxMessageBytes > MaxMessageBytes:
		return fmt.Errorf("cwslog: MaxMessageBytes must be 1 to %d, got %d", MaxMessageBytes, o.MaxMessageBytes)
	case o.QueueSize < 1:
		return fmt.Errorf("cwslog: QueueSize must be positive, got %d", o.QueueSize)
	case o.QueueBytes < 1:
		return fmt.Errorf("cwslog: QueueBytes must be positive, got %d", o.QueueBytes)
	}
	return nil
}

// Handler is a slog.Handler that ships records to CloudWatch Logs. Handlers
// derived from it by WithAttrs and WithGroup share its queue; Flush and Close
// on any of them act on all. It is safe for concurrent use.
type Handler struct {
	out    *sender
	encode slog.Handler
	enc    *encoder
}

// encoder is the buffer that every derived encoding handler writes to.
type encoder struct {
	mu  sync.Mutex // guards buf for the length of one Handle call
	buf bytes.Buffer
}

func (e *encoder) Write(p []byte) (int, error) { return e.buf.Write(p) }

// New returns a handler that sends through client and starts its sending
// goroutine, which runs until Close or until ctx ends; records undelivered
// when ctx ends are lost, so ctx should outlive the program's signal context.
func New(ctx context.Context, client *cloudwatchlogs.Client, opts Options) (*Handler, error) {
	if client == nil {
		return nil, errors.New("cwslog: client is nil")
	}
	opts.setDefaults()
	if err := opts.validate(); err != nil {
		return nil, err
	}
	enc := &encoder{}
	h := &Handler{
		out: newSender(ctx, client, opts),
		enc: enc,
		encode: opts.Encode(enc, &slog.HandlerOptions{
			AddSource:   opts.AddSource,
			Level:       opts.Level,
			ReplaceAttr: opts.ReplaceAttr,
		}),
	}
	go h.out.run()
	return h, nil
}

// Enabled reports whether records of the level are sent.
func (h *Handler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= h.out.opts.Level.Level() && !h.out.owns(ctx)
}

// Handle queues the record. It returns an error only when the record cannot be
// encoded or the handler is closed; a record that finds the queue full is
// counted in Dropped.
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	if h.out.owns(ctx) {
		return nil
	}
	msg, err := h.message(ctx, r)
	if err != nil {
		return fmt.Errorf("cwslog: encode record: %w", err)
	}
	if msg == "" {
		return nil
	}
	at := r.Time
	if at.IsZero() {
		at = time.Now()
	}
	return h.out.enqueue(event{stream: h.out.opts.Stream(r), at: at.UnixMilli(), msg: msg})
}

func (h *Handler) message(ctx context.Context, r slog.Record) (string, error) {
	h.enc.mu.Lock()
	defer h.enc.mu.Unlock()
	h.enc.buf.Reset()
	if err := h.encode.Handle(ctx, r); err != nil {
		return "", err
	}
	text := bytes.TrimSuffix(h.enc.buf.Bytes(), []byte("\n"))
	return cut(strings.ToValidUTF8(string(text), "\uFFFD"), h.out.opts.MaxMessageBytes), nil
}

// WithAttrs returns a handler whose records carry attrs as well.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &Handler{out: h.out, enc: h.enc, encode: h.encode.WithAttrs(attrs)}
}

// WithGroup returns a handler that nests later attributes under name.
func (h *Handler) WithGroup(name string) slog.Handler {
	return &Handler{out: h.out, enc: h.enc, encode: h.encode.WithGroup(name)}
}

// Flush sends what is queued now and waits until each of these records is
// delivered or lost, or ctx ends. It reports an error when ctx ended first or
// records were lost meanwhile.
func (h *Handler) Flush(ctx context.Context) error { return h.out.flush(ctx) }

// Close refuses further records, flushes, and stops the sending goroutine.
// When ctx ends before everything is delivered the rest is lost and the error
// tells how many. Closing again waits in the same way.
func (h *Handler) Close(ctx context.Context) error { return h.out.close(ctx) }

// Dropped returns how many records were given up because the queue was full.
func (h *Handler) Dropped() uint64 { return h.out.droppedCount() }

// Lost returns how many records were accepted and then given up: refused by
// the service, outside its time window, or undelivered at Close.
func (h *Handler) Lost() uint64 { return h.out.lostCount() }

// cut shortens s to at most limit bytes without splitting a character.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

func defaultStream() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	program := filepath.Base(os.Args[0])
	// Stream names may hold neither ':' nor '*'.
	return strings.NewReplacer(":", "_", "*", "_").Replace(fmt.Sprintf("%s/%s/%d", host, program, os.Getpid()))
}
