// Package honeycomb serves Honeycomb's APIs: Events and Batch ingestion, auth, datasets, columns,
// queries and query results. OTLP is package otlp's.
//
// Field names are Honeycomb's own; the ids of a trace live in the event's header and are shown
// as trace.trace_id, trace.span_id and trace.parent_id.
package honeycomb

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"regexp"

	"github.com/trefoil-o11y/trefoil/internal/ingest"
	"github.com/trefoil-o11y/trefoil/internal/meta"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/store"
)

// Config configures a Server.
type Config struct {
	Store store.Store
	Meta  *meta.DB
	Queue *ingest.Queue
	// Authenticate returns the environment that a key opens. An error wrapping
	// meta.ErrNotFound is an unknown key.
	Authenticate func(ctx context.Context, key string) (environment string, err error)
	LogGroups    LogGroups
	Log          *slog.Logger
}

// Server answers Honeycomb's API.
type Server struct {
	cfg  Config
	mux  *http.ServeMux
	runs runs
}

// New returns a Server.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg, mux: http.NewServeMux(), runs: runs{byID: map[string]*run{}}}
	s.mux.HandleFunc("GET /1/auth", s.handle(s.auth))
	s.mux.HandleFunc("POST /1/events/{dataset...}", s.events)
	s.mux.HandleFunc("POST /1/batch/{dataset...}", s.batch)
	s.mux.HandleFunc("OPTIONS /1/events/{dataset...}", s.preflight)
	s.mux.HandleFunc("OPTIONS /1/batch/{dataset...}", s.preflight)
	s.mux.HandleFunc("GET /1/datasets", s.handle(s.listDatasets))
	s.mux.HandleFunc("GET /1/datasets/{dataset}", s.handle(s.getDataset))
	s.mux.HandleFunc("GET /1/columns/{dataset}", s.handle(s.listColumns))
	s.mux.HandleFunc("POST /1/queries/{dataset}", s.handle(s.createQuery))
	s.mux.HandleFunc("GET /1/queries/{dataset}/{id}", s.handle(s.getQuery))
	s.mux.HandleFunc("POST /1/query_results/{dataset}", s.handle(s.createResult))
	s.mux.HandleFunc("GET /1/query_results/{dataset}/{id}", s.handle(s.getResult))
	s.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		writeError(w, &apiError{http.StatusNotFound, "this server does not have that endpoint of Honeycomb's API"})
	})
	return s
}

// ServeHTTP implements http.Handler for the paths below /1/ and /2/.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// apiError is an answer that is not a success.
type apiError struct {
	status int
	msg    string
}

func (e *apiError) Error() string { return e.msg }

var (
	errUnknownKey  = &apiError{http.StatusUnauthorized, "unknown API key - check your credentials"}
	errNoDataset   = &apiError{http.StatusNotFound, "Dataset not found"}
	errMalformed   = &apiError{http.StatusBadRequest, "Request body is malformed and cannot be read."}
	errEmpty       = &apiError{http.StatusBadRequest, "Request body should not be empty."}
	errTooLarge    = &apiError{http.StatusBadRequest, "Request body is too large."}
	errTooMany     = &apiError{http.StatusBadRequest, "Event has too many columns."}
	errRateLimited = &apiError{http.StatusTooManyRequests, "Request dropped due to rate limiting."}
	errStopping    = &apiError{http.StatusServiceUnavailable, "the server is stopping"}
	errInternal    = &apiError{http.StatusInternalServerError, "internal error"}
)

func writeError(w http.ResponseWriter, e *apiError) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.status)
	_ = json.NewEncoder(w).Encode(struct {
		Error string `json:"error"`
	}{e.msg})
}

// answer is a success; Location is set when it is not empty.
type answer struct {
	status   int
	location string
	body     any // a struct or map that encoding/json knows
}

// handle wraps an endpoint with authentication and errors.
func (s *Server) handle(f func(r *http.Request, environment string) (answer, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		env, err := s.environment(r)
		var a answer
		if err == nil {
			a, err = f(r, env)
		}
		if err != nil {
			writeError(w, s.errorOf(r.Context(), err))
			return
		}
		text, err := json.Marshal(a.body)
		if err != nil {
			writeError(w, s.errorOf(r.Context(), err))
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if a.location != "" {
			w.Header().Set("Location", a.location)
		}
		w.WriteHeader(a.status)
		_, _ = w.Write(append(text, '\n'))
	}
}

func (s *Server) errorOf(ctx context.Context, err error) *apiError {
	var e *apiError
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, ingest.ErrOverloaded):
		return errRateLimited
	case errors.Is(err, query.ErrTooLarge):
		return &apiError{http.StatusUnprocessableEntity, query.ErrTooLarge.Error()}
	case errors.Is(err, ingest.ErrClosed), ctx.Err() != nil:
		return errStopping
	case errors.Is(err, meta.ErrNotFound):
		return errNoDataset
	}
	s.cfg.Log.Error("honeycomb request", "error", err)
	return errInternal
}

func keyOf(r *http.Request) string {
	if k := r.Header.Get("X-Honeycomb-Team"); k != "" {
		return k
	}
	return r.Header.Get("X-Hny-Team")
}

func (s *Server) environment(r *http.Request) (string, error) {
	env, err := s.cfg.Authenticate(r.Context(), keyOf(r))
	if errors.Is(err, meta.ErrNotFound) {
		return "", errUnknownKey
	}
	return env, err
}

var (
	classicConfigKey = regexp.MustCompile(`^[0-9a-f]{32}$`)
	ingestKey        = regexp.MustCompile(`^hc[a-z]i[ck]_[0-9a-z]{58}$`)
	classicIngestKey = regexp.MustCompile(`^hc[a-z]ic_[0-9a-z]{58}$`)
)

// named is a team or an environment in an answer.
type named struct {
	Name string `json:"name"`
	Slug string `json:"slug"`
}

func (s *Server) auth(r *http.Request, env string) (answer, error) {
	key := keyOf(r)
	id := key
	if len(id) > 32 {
		id = id[:32]
	}
	out := struct {
		ID          string          `json:"id"`
		Type        string          `json:"type"`
		Access      map[string]bool `json:"api_key_access"`
		Environment named           `json:"environment"`
		Team        named           `json:"team"`
	}{ID: id, Type: "configuration", Environment: named{env, env}, Team: named{"Trefoil", "trefoil"}}
	if ingestKey.MatchString(key) {
		out.Type = "ingest"
		out.Access = map[string]bool{"createDatasets": true}
	} else {
		out.Access = map[string]bool{
			"events": true, "markers": true, "triggers": true, "boards": true, "queries": true, "columns": true,
			"createDatasets": true, "slos": true, "recipients": true, "privateBoards": true,
		}
	}
	if classicConfigKey.MatchString(key) || classicIngestKey.MatchString(key) {
		out.Environment = named{}
	}
	return answer{status: http.StatusOK, body: out}, nil
}
