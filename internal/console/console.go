// Package console is the JSON API behind the UI, served below /api/. It reads through the same
// queries as the vendors' APIs and changes nothing. Its shapes are described in
// docs/console-api.md; ui/src holds their TypeScript types.
package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/cwlogs"
	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/ingest"
	"github.com/trefoil-o11y/trefoil/internal/meta"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/store"
	"github.com/trefoil-o11y/trefoil/internal/syntax"
	"github.com/trefoil-o11y/trefoil/internal/xray"
)

// Addresses are what the server listens on.
type Addresses struct {
	HTTP     string `json:"http"`
	OTLPGRPC string `json:"otlp_grpc"`
	OTLPHTTP string `json:"otlp_http"`
	XRay     string `json:"xray"`
}

// Config configures a Server.
type Config struct {
	Store store.Store
	Meta  *meta.DB
	Queue *ingest.Queue
	XRay  *xray.Server
	Logs  *cwlogs.Server
	Log   *slog.Logger
	// Environment is the one that is shown; Account, Region, Version and Auth are told to
	// users.
	Environment, Account, Region, Version, Auth string
	Addresses                                   Addresses
}

// Server answers the UI.
type Server struct {
	cfg     Config
	mux     *http.ServeMux
	started time.Time
	closing chan struct{}
}

// New returns a Server.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg, mux: http.NewServeMux(), started: time.Now(), closing: make(chan struct{})}
	s.mux.HandleFunc("GET /api/status", s.handle(s.status))
	s.mux.HandleFunc("GET /api/services", s.handle(s.services))
	s.mux.HandleFunc("GET /api/traces", s.handle(s.traces))
	s.mux.HandleFunc("GET /api/traces/{id}", s.handle(s.trace))
	s.mux.HandleFunc("GET /api/lookup", s.handle(s.lookup))
	s.mux.HandleFunc("GET /api/logs/groups", s.handle(s.logGroups))
	s.mux.HandleFunc("GET /api/logs/streams", s.handle(s.logStreams))
	s.mux.HandleFunc("GET /api/logs/events", s.handle(s.logEvents))
	s.mux.HandleFunc("GET /api/map", s.handle(s.serviceMap))
	s.mux.HandleFunc("GET /api/sampling", s.handle(s.sampling))
	s.mux.HandleFunc("GET /api/datasets", s.handle(s.datasets))
	s.mux.HandleFunc("POST /api/query", s.handle(s.query))
	s.mux.HandleFunc("GET /api/events", s.stream)
	s.mux.HandleFunc("/api/", func(w http.ResponseWriter, _ *http.Request) {
		writeError(w, &apiError{http.StatusNotFound, "NotFound", "no such endpoint", nil})
	})
	return s
}

// Close ends the streams that are open, so that a server can shut down.
func (s *Server) Close() { close(s.closing) }

// ServeHTTP implements http.Handler for the paths below /api/.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// apiError is an answer that is not a success.
type apiError struct {
	status int
	code   string
	msg    string
	span   *syntax.Span
}

func (e *apiError) Error() string { return e.msg }

func badRequest(format string, args ...any) error {
	return &apiError{http.StatusBadRequest, "BadRequest", fmt.Sprintf(format, args...), nil}
}

type errorJSON struct {
	Error struct {
		Code    string    `json:"code"`
		Message string    `json:"message"`
		Span    *spanJSON `json:"span,omitempty"`
	} `json:"error"`
}

type spanJSON struct {
	Start int `json:"start"`
	End   int `json:"end"`
}

func writeError(w http.ResponseWriter, e *apiError) {
	var out errorJSON
	out.Error.Code, out.Error.Message = e.code, e.msg
	if e.span != nil {
		out.Error.Span = &spanJSON{e.span.Start, e.span.End}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.status)
	_ = json.NewEncoder(w).Encode(out)
}

// handle wraps an endpoint: what it returns is encoded as JSON.
func (s *Server) handle(f func(r *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		out, err := f(r)
		if err != nil {
			s.refuse(w, r, err)
			return
		}
		text, err := json.Marshal(out)
		if err != nil {
			s.refuse(w, r, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_, _ = w.Write(text)
	}
}

func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var e *apiError
	switch se := syntax.AsError(err); {
	case errors.As(err, &e):
	case se != nil:
		e = &apiError{http.StatusBadRequest, "InvalidFilter", se.Error(), &se.Span}
	case errors.Is(err, meta.ErrNotFound):
		e = &apiError{http.StatusNotFound, "NotFound", "not found", nil}
	case errors.Is(err, query.ErrTooLarge):
		e = &apiError{http.StatusUnprocessableEntity, "TooLarge", err.Error(), nil}
	case r.Context().Err() != nil:
		return // nobody listens
	default:
		s.cfg.Log.Error("console request", "path", r.URL.Path, "error", err)
		e = &apiError{http.StatusInternalServerError, "Internal", "internal error, see the server's log", nil}
	}
	writeError(w, e)
}

// stats is the cost of an answer.
type stats struct {
	RowsScanned     int64   `json:"rows_scanned"`
	BytesScanned    int64   `json:"bytes_scanned"`
	SegmentsScanned int     `json:"segments_scanned"`
	SegmentsPruned  int     `json:"segments_pruned"`
	ElapsedMS       float64 `json:"elapsed_ms"`
}

func statsOf(s query.Stats, began time.Time) stats {
	return stats{s.RowsScanned, s.BytesScanned, s.SegmentsRead, s.SegmentsPruned, float64(time.Since(began).Microseconds()) / 1000}
}

func timeText(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000000Z") }

func nanosText(ns int64) string { return timeText(time.Unix(0, ns)) }

// optionalTime returns nil for the zero time, which leaves the member out.
func optionalTime(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := timeText(t)
	return &s
}

// timeRange reads from and to: RFC 3339 or milliseconds since the epoch; absent is the last hour.
func timeRange(r *http.Request) (from, to time.Time, err error) {
	to = time.Now()
	if v := r.URL.Query().Get("to"); v != "" {
		if to, err = parseTime(v); err != nil {
			return
		}
	}
	from = to.Add(-time.Hour)
	if v := r.URL.Query().Get("from"); v != "" {
		if from, err = parseTime(v); err != nil {
			return
		}
	}
	if to.Before(from) {
		err = badRequest("the range ends before it begins")
	}
	return
}

func parseTime(s string) (time.Time, error) {
	if ms, err := strconv.ParseInt(s, 10, 64); err == nil && ms > -1e13 && ms < 9e12 {
		return time.UnixMilli(ms), nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.Year() < 1700 || t.Year() > 2261 {
		return t, badRequest("%q is neither a time of RFC 3339 nor milliseconds since the epoch", s)
	}
	return t, nil
}

func limitOf(r *http.Request, def, most int) (int, error) {
	v := r.URL.Query().Get("limit")
	if v == "" {
		return def, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > most {
		return 0, badRequest("limit must be between 1 and %d", most)
	}
	return n, nil
}

// bucketOf returns a round bucket size that cuts the range into at most n.
func bucketOf(from, to time.Time, n int) time.Duration {
	for _, d := range []time.Duration{time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour} {
		if to.Sub(from) <= d*time.Duration(n) {
			return d
		}
	}
	return to.Sub(from) / time.Duration(n)
}

func (s *Server) datasetIDs(ctx context.Context, kinds ...meta.Kind) ([]event.DatasetID, map[event.DatasetID]meta.Dataset, error) {
	list, err := s.cfg.Meta.Datasets(ctx, s.cfg.Environment, kinds...)
	if err != nil {
		return nil, nil, err
	}
	ids := make([]event.DatasetID, len(list))
	byID := map[event.DatasetID]meta.Dataset{}
	for i, d := range list {
		ids[i] = d.ID
		byID[d.ID] = d
	}
	return ids, byID, nil
}

type sourceJSON struct {
	Source        string         `json:"source"`
	Events        int64          `json:"events"`
	Last          *string        `json:"last_event_at,omitempty"`
	Rejected      int64          `json:"rejected"`
	LastRejection *rejectionJSON `json:"last_rejection,omitempty"`
}

type rejectionJSON struct {
	At     string `json:"at"`
	Reason string `json:"reason"`
}

type statusJSON struct {
	Version     string       `json:"version"`
	StartedAt   string       `json:"started_at"`
	Environment string       `json:"environment"`
	Auth        string       `json:"auth"`
	Addresses   Addresses    `json:"addresses"`
	Account     string       `json:"account"`
	Region      string       `json:"region"`
	Sources     []sourceJSON `json:"sources"`
	Events      int64        `json:"events"`
	DiskBytes   int64        `json:"disk_bytes"`
	Newest      *string      `json:"newest_event_at,omitempty"`
	Daemon      daemonJSON   `json:"xray_daemon"`
}

// daemonJSON counts the datagrams of the X-Ray port since the start, and what other daemons report of
// theirs.
type daemonJSON struct {
	Received int64            `json:"received"`
	Rejected map[string]int64 `json:"rejected"`
	Spilled  int64            `json:"spilled"`
	Reported struct {
		Received int64 `json:"received"`
		Rejected int64 `json:"rejected"`
		Spilled  int64 `json:"spilled"`
	} `json:"reported"`
}

func (s *Server) sources() []sourceJSON {
	var out []sourceJSON
	for _, st := range s.cfg.Queue.Stats() {
		j := sourceJSON{Source: st.Source.String(), Events: st.Events, Last: optionalTime(st.Last), Rejected: st.Rejected}
		if !st.RejectedAt.IsZero() {
			j.LastRejection = &rejectionJSON{timeText(st.RejectedAt), st.Reason}
		}
		out = append(out, j)
	}
	return out
}

func (s *Server) status(*http.Request) (any, error) {
	u, daemon := s.cfg.Store.Usage(), s.cfg.XRay.Counters()
	out := statusJSON{
		Version: s.cfg.Version, StartedAt: timeText(s.started), Environment: s.cfg.Environment, Auth: s.cfg.Auth, Addresses: s.cfg.Addresses,
		Account: s.cfg.Account, Region: s.cfg.Region, Sources: s.sources(), Events: u.Events, DiskBytes: u.DiskBytes,
		Newest: optionalTime(u.Newest), Daemon: daemonJSON{Received: daemon.Received, Rejected: daemon.Rejected, Spilled: daemon.Spilled},
	}
	out.Daemon.Reported.Received, out.Daemon.Reported.Rejected, out.Daemon.Reported.Spilled = daemon.Reported.Received, daemon.Reported.Rejected, daemon.Reported.Spilled
	return out, nil
}

// stream sends the counts of the sources when events were stored, at most once a second.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	stored, stop := s.cfg.Queue.Listen()
	defer stop()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	rc := http.NewResponseController(w)
	alive := time.NewTicker(15 * time.Second)
	defer alive.Stop()
	send := func(text string) bool {
		_, err := fmt.Fprint(w, text)
		return err == nil && rc.Flush() == nil
	}
	if !send(": hello\n\n") {
		return
	}
	for {
		select {
		case <-r.Context().Done():
			return
		case <-s.closing:
			return
		case <-alive.C:
			if !send(": alive\n\n") {
				return
			}
		case <-stored:
			text, err := json.Marshal(map[string][]sourceJSON{"sources": s.sources()})
			if err != nil || !send("event: ingest\ndata: "+string(text)+"\n\n") {
				return
			}
			pause := time.NewTimer(time.Second)
			select {
			case <-pause.C:
			case <-r.Context().Done():
				pause.Stop()
				return
			case <-s.closing:
				pause.Stop()
				return
			}
		}
	}
}

var traceIDs = regexp.MustCompile(`(?i)\b(?:1-[0-9a-f]{8}-[0-9a-f]{24}|[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\b`)

// lookup finds the first id in a pasted text that is a trace's.
func (s *Server) lookup(r *http.Request) (any, error) {
	for _, text := range traceIDs.FindAllString(r.URL.Query().Get("q"), 20) {
		id, err := event.ParseTraceID(text)
		if err != nil {
			continue
		}
		rows, err := s.traceRows(r.Context(), id)
		if err != nil {
			return nil, err
		}
		if len(rows.rows) > 0 {
			return map[string]string{"trace_id": id.String()}, nil
		}
	}
	return nil, errNoTrace
}
