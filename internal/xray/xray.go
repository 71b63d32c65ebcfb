package xray

import (
	"errors"
	"log/slog"
	"net/http"
	"sort"
	"sync"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/ingest"
	"github.com/trefoil-o11y/trefoil/internal/meta"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/store"
)

// datasetName names the one dataset of an environment's segments.
const datasetName = "xray"

// Config is what a Server works with; every field but Log and TraceIDMaxAge is required.
type Config struct {
	Store store.Store
	Meta  *meta.DB
	Queue *ingest.Queue
	Auth  *awsapi.Auth
	// Log receives what operators should know; nil discards it.
	Log *slog.Logger
	// Environment takes the documents that come by UDP, and is the one that the console's
	// methods read. Account and Region name its resources.
	Environment, Account, Region string
	// TraceIDMaxAge is how old the time in a trace's id may be of documents that arrive; zero is
	// any age, as it is at AWS today.
	TraceIDMaxAge time.Duration
}

// Server answers X-Ray's API and takes the daemon's datagrams. Its methods may be called at
// once from many goroutines.
type Server struct {
	cfg     Config
	service *awsapi.Service
	pending *pending
	daemon  counters
	reports telemetry

	// settings serialises changes of rules, groups, policies and settings, which read before
	// they write.
	settings sync.Mutex

	// minutes serialises what reads and changes the kept minutes of service graphs.
	minutes sync.Mutex
	// quiet is quietFor.
	quiet time.Duration
	// tended is what Run has left to keep, by environment.
	tended map[string]*tended
}

// New returns a server; it reads the documents in progress from the metadata.
func New(cfg Config) (*Server, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{cfg: cfg, quiet: quietFor, tended: map[string]*tended{}}
	var err error
	if s.pending, err = loadPending(cfg.Meta); err != nil {
		return nil, err
	}
	s.service = &awsapi.Service{
		Operations: s.operations(), InternalError: "InternalFailure", MaxBody: 16 << 20, MaxInflated: 32 << 20,
		TooLarge: awsapi.Errorf(codeInvalidRequest, "The request body is larger than the server takes."),
		Auth:     cfg.Auth, Log: cfg.Log,
		Explain: func(err error) *awsapi.Error {
			if errors.Is(err, query.ErrTooLarge) {
				return awsapi.Errorf(codeInvalidRequest, "The request would hold too much at once. Ask for a shorter time range.")
			}
			return nil
		},
		Unsigned: func(path string) bool { return path == "/GetSamplingRules" || path == "/SamplingTargets" },
	}
	return s, nil
}

// Handler serves the API: every operation is a POST to one of Paths.
func (s *Server) Handler() http.Handler { return s.service }

// Paths lists the paths of the API's operations.
func (s *Server) Paths() []string {
	var out []string
	for p := range s.service.Operations {
		out = append(out, p)
	}
	sort.Strings(out)
	return out
}
