package cwslog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/slogtest"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/trefoil-o11y/trefoil/cwslog"
)

// failures collects what OnError is told.
type failures struct {
	mu   sync.Mutex
	errs []error
	lost int
}

func (f *failures) add(_ context.Context, err error, lost int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.errs = append(f.errs, err)
	f.lost += lost
}

func (f *failures) text() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return fmt.Sprint(f.errs)
}

func newHandler(t *testing.T, s *service, o cwslog.Options) (*cwslog.Handler, *failures) {
	t.Helper()
	var f failures
	if o.Group == "" {
		o.Group = "app"
	}
	if o.OnError == nil {
		o.OnError = f.add
	}
	h, err := cwslog.New(context.Background(), cloudwatchlogs.New(options("http://logs.test", s)), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = h.Close(ctx) // what a test has not flushed it does not want
	})
	return h, &f
}

func TestSlogtest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		h, _ := newHandler(t, s, cwslog.Options{})
		err := slogtest.TestHandler(h, func() []map[string]any {
			if err := h.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			var out []map[string]any
			for _, m := range s.messages("app") {
				var v map[string]any
				if err := json.Unmarshal([]byte(m), &v); err != nil {
					t.Fatalf("message %q: %v", m, err)
				}
				out = append(out, v)
			}
			return out
		})
		if err != nil {
			t.Error(err)
		}
		if err := h.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestCreatesGroupAndStreamOnlyWhenMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		h, f := newHandler(t, s, cwslog.Options{RetentionDays: 7, Tags: map[string]string{"team": "blue"}})
		log := slog.New(h)
		if got := s.called(); len(got) != 0 {
			t.Errorf("New called %v", got)
		}
		for range 2 {
			log.Info("hello")
			if err := h.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		want := []string{"PutLogEvents", "CreateLogStream", "CreateLogGroup", "PutRetentionPolicy", "CreateLogStream", "PutLogEvents", "PutLogEvents"}
		if got := s.called(); !slices.Equal(got, want) {
			t.Errorf("calls %v, want %v", got, want)
		}
		if got := f.text(); got != "[]" {
			t.Errorf("errors %s", got)
		}
	})
}

func TestNoCreateKeepsEventsUntilTheGroupExists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		h, f := newHandler(t, s, cwslog.Options{NoCreate: true})
		slog.New(h).Info("hello")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if !strings.Contains(f.text(), `log group "app" does not exist`) {
			t.Errorf("errors %s", f.text())
		}
		s.set(func() { s.groups["app"] = map[string][]logEvent{} })
		if err := h.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := len(s.messages("app")); got != 1 {
			t.Errorf("%d messages", got)
		}
	})
}

func TestSendInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		h, _ := newHandler(t, s, cwslog.Options{SendInterval: 3 * time.Second})
		slog.New(h).Info("hello")
		time.Sleep(2999 * time.Millisecond)
		synctest.Wait()
		if got := s.called(); len(got) != 0 {
			t.Errorf("called %v before the interval", got)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if got := len(s.messages("app")); got != 1 {
			t.Errorf("%d messages after the interval", got)
		}
	})
}

func TestBatchLimits(t *testing.T) {
	const limit = 1 << 20
	now := time.Now()
	text := func(n int) string { return strings.Repeat("x", n) }
	tests := []struct {
		name string
		send func(ctx context.Context, h slog.Handler) error
		want []int
	}{
		{"10,001 events", func(ctx context.Context, h slog.Handler) error {
			return repeat(ctx, h, 10_001, now, "m")
		}, []int{10_000, 1}},
		{"exactly 1 MiB with the overhead", func(ctx context.Context, h slog.Handler) error {
			return repeat(ctx, h, 4, now, text(limit/4-26))
		}, []int{4}},
		{"one byte more", func(ctx context.Context, h slog.Handler) error {
			return errors.Join(repeat(ctx, h, 3, now, text(limit/4-26)), repeat(ctx, h, 1, now, text(limit/4-25)))
		}, []int{3, 1}},
		{"24 hours exactly, and a millisecond more", func(ctx context.Context, h slog.Handler) error {
			first := now.Add(-25 * time.Hour)
			return errors.Join(
				repeat(ctx, h, 1, first.Add(24*time.Hour+time.Millisecond), "third"),
				repeat(ctx, h, 1, first, "first"),
				repeat(ctx, h, 1, first.Add(24*time.Hour), "second"))
		}, []int{2, 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newService(t)
				time.Sleep(time.Until(now)) // the bubble's clock starts in 2000
				h, f := newHandler(t, s, cwslog.Options{Encode: plain, QueueSize: 20_000})
				// The service holds the first attempt, so that one take sees all.
				s.set(func() { s.down = true })
				if err := tt.send(t.Context(), h); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				s.set(func() { s.down = false })
				if err := h.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
				if h.Dropped() != 0 || h.Lost() != 0 {
					t.Errorf("dropped %d, lost %d: %s", h.Dropped(), h.Lost(), f.text())
				}
				got := slices.Clone(s.batches)
				if !slices.Equal(got, tt.want) {
					t.Errorf("batches %v, want %v", got, tt.want)
				}
			})
		})
	}
}

func repeat(ctx context.Context, h slog.Handler, n int, at time.Time, msg string) error {
	for range n {
		if err := h.Handle(ctx, slog.NewRecord(at, slog.LevelInfo, msg, 0)); err != nil {
			return err
		}
	}
	return nil
}

// plain encodes a record as its message alone.
func plain(w io.Writer, _ *slog.HandlerOptions) slog.Handler { return plainHandler{w} }

type plainHandler struct{ w io.Writer }

func (h plainHandler) Enabled(context.Context, slog.Level) bool { return true }
func (h plainHandler) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h plainHandler) WithGroup(string) slog.Handler            { return h }
func (h plainHandler) Handle(_ context.Context, r slog.Record) error {
	_, err := io.WriteString(h.w, r.Message)
	return err
}

func TestStreamsHaveTheirOwnBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		h, _ := newHandler(t, s, cwslog.Options{
			Encode: plain,
			Stream: func(r slog.Record) string { return r.Level.String() },
		})
		log := slog.New(h)
		log.Info("a")
		log.Error("b")
		log.Info("c")
		if err := h.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		var info []string
		for _, e := range s.groups["app"]["INFO"] {
			info = append(info, e.Message)
		}
		if want := []string{"a", "c"}; !slices.Equal(info, want) {
			t.Errorf("stream INFO holds %v, want %v", info, want)
		}
		if want := []int{2, 1}; !slices.Equal(s.batches, want) {
			t.Errorf("batches %v, want %v", s.batches, want)
		}
	})
}

func TestLongMessagesAreCutBetweenCharacters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		h, _ := newHandler(t, s, cwslog.Options{Encode: plain, MaxMessageBytes: 10})
		log := slog.New(h)
		log.Info("ééééééé")                       // 14 bytes; 10 is a boundary
		log.Info("a€€€€")                         // 13 bytes; 10 is a boundary
		log.Info("ab€€€€")                        // 14 bytes; 10 and 9 split a character
		log.Info("bad \xff")                      // not UTF-8
		log.Info("")                              // nothing to say
		log.Info(strings.Repeat("\U0001F600", 3)) // 12 bytes
		if err := h.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := []string{"ééééé", "a€€€", "ab€€", "bad \uFFFD", "\U0001F600\U0001F600"}
		got := s.messages("app")
		if !slices.Equal(got, want) {
			t.Errorf("messages %q, want %q", got, want)
		}
		for _, m := range got {
			if !utf8.ValidString(m) {
				t.Errorf("message %q is not UTF-8", m)
			}
		}
	})
}

func TestEventsOutsideTheWindowAreGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		h, f := newHandler(t, s, cwslog.Options{Encode: plain})
		err := errors.Join(
			repeat(t.Context(), h, 2, time.Now().Add(-15*24*time.Hour), "old"),
			repeat(t.Context(), h, 1, time.Now(), "now"),
			repeat(t.Context(), h, 1, time.Now().Add(3*time.Hour), "early"))
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Flush(t.Context()); err == nil || err.Error() != "cwslog: 3 events lost" {
			t.Errorf("Flush: %v", err)
		}
		if got := s.messages("app"); !slices.Equal(got, []string{"now"}) {
			t.Errorf("messages %q", got)
		}
		if f.lost != 3 || h.Lost() != 3 || !strings.Contains(f.text(), "2 older than 14 days, 1 more than 2 hours ahead") {
			t.Errorf("lost %d and %d: %s", f.lost, h.Lost(), f.text())
		}
	})
}

func TestBacksOffWhileTheServiceIsDownThenDelivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		h, f := newHandler(t, s, cwslog.Options{Encode: plain, SendInterval: time.Second})
		s.set(func() { s.down = true })
		log := slog.New(h)
		log.Info("one")
		time.Sleep(time.Minute)
		synctest.Wait()
		// 0.2+0.4+…+25.6 s add up to 51 s, halved at best.
		if n := len(s.called()); n < 7 || n > 10 {
			t.Errorf("%d attempts in a minute", n)
		}
		log.Info("two")
		s.set(func() { s.down = false })
		time.Sleep(time.Minute)
		synctest.Wait()
		if got, want := s.messages("app"), []string{"one", "two"}; !slices.Equal(got, want) {
			t.Errorf("messages %q, want %q", got, want)
		}
		if f.lost != 0 || !strings.Contains(f.text(), "will retry") {
			t.Errorf("lost %d: %s", f.lost, f.text())
		}
	})
}

func TestRefusedBatchesAreNotRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		h, f := newHandler(t, s, cwslog.Options{})
		s.set(func() { s.refuse = "InvalidParameterException" })
		log := slog.New(h)
		log.Info("bad")
		if err := h.Flush(t.Context()); err == nil {
			t.Error("Flush of a refused batch gave no error")
		}
		s.set(func() { s.refuse = "" })
		log.Info("good")
		if err := h.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		if f.lost != 1 || len(s.messages("app")) != 1 {
			t.Errorf("lost %d, stored %q", f.lost, s.messages("app"))
		}
	})
}

func TestRejectedEventsAreReported(t *testing.T) {
	tests := []struct {
		info map[string]int
		want int
	}{
		{map[string]int{"tooOldLogEventEndIndex": 1}, 1},
		{map[string]int{"expiredLogEventEndIndex": 2, "tooOldLogEventEndIndex": 1}, 2},
		{map[string]int{"tooNewLogEventStartIndex": 2}, 1},
		{map[string]int{"tooOldLogEventEndIndex": 1, "tooNewLogEventStartIndex": 2}, 2},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.info), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newService(t)
				s.reject = tt.info
				h, f := newHandler(t, s, cwslog.Options{})
				if err := repeat(t.Context(), h, 3, time.Now(), "m"); err != nil {
					t.Fatal(err)
				}
				if err := h.Flush(t.Context()); err == nil {
					t.Error("Flush gave no error")
				}
				if f.lost != tt.want {
					t.Errorf("lost %d, want %d: %s", f.lost, tt.want, f.text())
				}
			})
		})
	}
}

func TestFullQueueDropsAndCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		s.down = true
		h, _ := newHandler(t, s, cwslog.Options{Encode: plain, QueueSize: 3, SendInterval: time.Second})
		if err := repeat(t.Context(), h, 2, time.Now(), "in flight"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(1100 * time.Millisecond) // taken, but not delivered: they still count
		if err := repeat(t.Context(), h, 3, time.Now(), "queued"); err != nil {
			t.Fatal(err)
		}
		if got := h.Dropped(); got != 2 {
			t.Errorf("dropped %d, want 2", got)
		}
		s.set(func() { s.down = false })
		if err := h.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := len(s.messages("app")); got != 3 {
			t.Errorf("%d messages, want 3", got)
		}
		if err := repeat(t.Context(), h, 3, time.Now(), "room again"); err != nil {
			t.Fatal(err)
		}
		if got := h.Dropped(); got != 2 {
			t.Errorf("dropped %d after delivery, want 2", got)
		}
	})
}

func TestQueueBytesBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newHandler(t, newService(t), cwslog.Options{Encode: plain, QueueBytes: 100})
		if err := repeat(t.Context(), h, 4, time.Now(), "twenty-four bytes long.."); err != nil {
			t.Fatal(err)
		}
		if got := h.Dropped(); got != 2 {
			t.Errorf("dropped %d, want 2", got)
		}
	})
}

func TestCloseFlushesAndRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		h, _ := newHandler(t, s, cwslog.Options{SendInterval: time.Hour})
		child := slog.New(h).With("k", 1)
		child.Info("last words")
		if err := h.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := len(s.messages("app")); got != 1 {
			t.Errorf("%d messages", got)
		}
		err := child.Handler().Handle(t.Context(), slog.NewRecord(time.Now(), slog.LevelInfo, "late", 0))
		if !errors.Is(err, cwslog.ErrClosed) {
			t.Errorf("Handle after Close: %v", err)
		}
		if err := h.Close(t.Context()); err != nil {
			t.Errorf("second Close: %v", err)
		}
	})
}

func TestCloseGivesUpWhenItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		s.down = true
		h, _ := newHandler(t, s, cwslog.Options{})
		slog.New(h).Info("doomed")
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if err := h.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close: %v", err)
		}
		if h.Lost() != 1 {
			t.Errorf("lost %d, want 1", h.Lost())
		}
	})
}

// A transport and an error hook that log through the very handler they serve
// must not feed it.
func TestNeverLogsThroughItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		s.down = true
		var log *slog.Logger
		var logged atomic.Int32
		client := cloudwatchlogs.New(options("http://logs.test", doFunc(func(r *http.Request) (*http.Response, error) {
			logged.Add(1)
			log.InfoContext(r.Context(), "calling")
			return s.Do(r)
		})))
		h, err := cwslog.New(t.Context(), client, cwslog.Options{
			Group: "app", Encode: plain,
			OnError: func(ctx context.Context, err error, _ int) { log.ErrorContext(ctx, err.Error()) },
		})
		if err != nil {
			t.Fatal(err)
		}
		log = slog.New(h)
		log.Info("only this")
		time.Sleep(20 * time.Second)
		s.set(func() { s.down = false })
		if err := h.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := s.messages("app"); !slices.Equal(got, []string{"only this"}) {
			t.Errorf("messages %q", got)
		}
		if logged.Load() == 0 {
			t.Error("the transport never logged")
		}
	})
}

type doFunc func(*http.Request) (*http.Response, error)

func (f doFunc) Do(r *http.Request) (*http.Response, error) { return f(r) }

// Over a real socket: nothing listens at first, then the service comes up.
func TestServerDownThenBack(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	failed := make(chan struct{}, 1)
	h, err := cwslog.New(t.Context(), cloudwatchlogs.New(options("http://"+addr, nil)), cwslog.Options{
		Group: "app", SendInterval: time.Millisecond,
		OnError: func(context.Context, error, int) {
			select {
			case failed <- struct{}{}:
			default:
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	slog.New(h).Info("patience", "n", 1)
	<-failed

	s := newService(t)
	l, err = net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	srv := &httptest.Server{Listener: l, Config: &http.Server{Handler: s}}
	srv.Start()
	defer srv.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := h.Close(ctx); err != nil {
		t.Fatal(err)
	}
	got := s.messages("app")
	if len(got) != 1 || !strings.Contains(got[0], `"msg":"patience","n":1`) {
		t.Errorf("messages %q", got)
	}
}

func TestConcurrentUse(t *testing.T) {
	s := newService(t)
	srv := httptest.NewServer(s)
	defer srv.Close()
	h, err := cwslog.New(t.Context(), cloudwatchlogs.New(options(srv.URL, nil)), cwslog.Options{Group: "app", SendInterval: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			log := slog.New(h).With("g", g)
			for i := range 200 {
				log.Info("m", "i", i)
			}
			if err := h.Flush(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := h.Close(t.Context()); err != nil {
		t.Error(err)
	}
	seen := map[string]bool{}
	for _, m := range s.messages("app") {
		seen[m[bytes.IndexByte([]byte(m), 'm'):]] = true
	}
	if len(seen) != 1600 {
		t.Errorf("%d distinct messages, want 1600", len(seen))
	}
}

func TestOptionErrors(t *testing.T) {
	client := cloudwatchlogs.New(options("http://logs.test", nil))
	tests := []struct {
		opts cwslog.Options
		want string
	}{
		{cwslog.Options{}, "Group"},
		{cwslog.Options{Group: "g", MaxMessageBytes: cwslog.MaxBatchBytes}, "MaxMessageBytes"},
		{cwslog.Options{Group: "g", QueueSize: -1}, "QueueSize"},
		{cwslog.Options{Group: "g", QueueBytes: -1}, "QueueBytes"},
		{cwslog.Options{Group: "g", SendInterval: -1}, "SendInterval"},
	}
	for _, tt := range tests {
		if _, err := cwslog.New(t.Context(), client, tt.opts); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("New(%+v): %v, want an error about %s", tt.opts, err, tt.want)
		}
	}
	if _, err := cwslog.New(t.Context(), nil, cwslog.Options{Group: "g"}); err == nil {
		t.Error("New without a client gave no error")
	}
}
