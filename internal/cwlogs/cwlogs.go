package cwlogs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/ingest"
	"github.com/trefoil-o11y/trefoil/internal/meta"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/store"
)

// Limits of one request: PutLogEvents takes 1 MiB of messages, which JSON escapes may make
// six times as large, CreateLookupTable a table of 10 MiB.
const (
	maxBody     = 12 << 20
	maxInflated = 12 << 20
)

// Config is what a Server works with; every member is required.
type Config struct {
	Store store.Store
	Meta  *meta.DB
	Queue *ingest.Queue
	Auth  *awsapi.Auth
	// Metrics makes a batch of data of metrics, which is stored with the events that drive them.
	Metrics func(ctx context.Context, environment string, data []Datum) (*event.Batch, error)
	// Exports is the folder whose folders are the buckets of export tasks.
	Exports string
	Log     *slog.Logger
}

// Server answers the API. Its methods may be called at once from many goroutines.
type Server struct {
	cfg      Config
	http     http.Handler
	runs     *runs
	schedule *scheduler
	size     *sizes

	rules      rules
	tails      tails
	deliveries deliveries
	exports    exports

	// accountPolicies orders changes of them, which are checked against each other.
	accountPolicies sync.Mutex

	// streams orders writing to a stream against its deletion, by group: PutLogEvents holds
	// the lock for reading from its look at the stream until its events have their place.
	streams [64]sync.RWMutex
}

// New returns a server; it holds nothing that needs closing. Subscriptions and the default values of
// metric filters work once Run runs.
func New(cfg Config) *Server {
	s := &Server{
		cfg: cfg, runs: newRuns(cfg.Meta), schedule: newScheduler(), size: newSizes(),
		rules:      rules{meta: cfg.Meta, known: map[event.DatasetID]*groupRules{}},
		tails:      tails{all: map[*tail]bool{}, stopped: make(chan struct{})},
		exports:    exports{active: map[string]*activeExport{}},
		deliveries: deliveries{client: &http.Client{}, workers: map[deliveryKey]*delivery{}},
	}
	s.http = &awsapi.Service{
		Operations:    s.operations(),
		TargetPrefix:  "Logs_20140328.",
		InternalError: "ServiceUnavailableException",
		MaxBody:       maxBody,
		MaxInflated:   maxInflated,
		TooLarge: &awsapi.Error{Status: http.StatusRequestEntityTooLarge, Code: "RequestEntityTooLargeException",
			Message: fmt.Sprintf("The request body is larger than %d bytes.", maxBody)},
		Explain: func(err error) *awsapi.Error {
			if errors.Is(err, query.ErrTooLarge) {
				return invalid("The request would hold too much at once. Ask for a shorter time range.")
			}
			return nil
		},
		Auth: cfg.Auth,
		Log:  cfg.Log,
	}
	return s
}

// Handler returns the HTTP handler of the API: POST with X-Amz-Target.
func (s *Server) Handler() http.Handler { return s.http }

const day = 24 * time.Hour

// ApplyRetention tells the store how long the events of every log group are kept. The store
// does not remember it, so it is called at every start.
func (s *Server) ApplyRetention(ctx context.Context) error {
	groups, err := s.cfg.Meta.AllLogGroups(ctx)
	if err != nil {
		return fmt.Errorf("apply retention: %w", err)
	}
	for _, g := range groups {
		s.retain(g)
	}
	return nil
}

func (s *Server) retain(g meta.LogGroup) {
	s.cfg.Store.Retain(g.ID, time.Duration(g.RetentionDays)*day)
}

// streamLock returns the lock of the streams of a group.
func (s *Server) streamLock(group event.DatasetID) *sync.RWMutex {
	return &s.streams[int(group)%len(s.streams)]
}
