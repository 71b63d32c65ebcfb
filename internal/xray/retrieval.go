package xray

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/event"
)

const (
	// retrievalFor is how long a retrieval can be read.
	retrievalFor = time.Hour
	// maxRetrievals bounds the retrievals that are kept; the oldest go first.
	maxRetrievals = 1000
)

// retrievals are the traces that clients asked for. The traces themselves are read when they are
// listed. The zero value is ready.
type retrievals struct {
	mu      sync.Mutex // guards below
	byToken map[string]*retrieval
}

type retrieval struct {
	ids       []event.TraceID
	started   time.Time
	cancelled bool
}

func (r *retrievals) start(ids []event.TraceID) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byToken == nil {
		r.byToken = map[string]*retrieval{}
	}
	now := time.Now()
	oldest := ""
	for token, x := range r.byToken {
		if now.Sub(x.started) > retrievalFor {
			delete(r.byToken, token)
		} else if oldest == "" || x.started.Before(r.byToken[oldest].started) {
			oldest = token
		}
	}
	if len(r.byToken) >= maxRetrievals {
		delete(r.byToken, oldest)
	}
	token := awsapi.NewRequestID()
	r.byToken[token] = &retrieval{ids: ids, started: now}
	return token
}

// get returns a copy of a retrieval; change is run on the one that is kept.
func (r *retrievals) get(token string, change func(*retrieval)) (retrieval, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	x := r.byToken[token]
	if x == nil || time.Since(x.started) > retrievalFor {
		return retrieval{}, notFound("There is no retrieval of this token.")
	}
	if change != nil {
		change(x)
	}
	return *x, nil
}

func (r retrieval) status() string {
	if r.cancelled {
		return "CANCELLED"
	}
	return "COMPLETE"
}

type startRetrievalIn struct {
	TraceIDs           []string `json:"TraceIds"`
	StartTime, EndTime *float64
}

type retrievalToken struct{ RetrievalToken string }

func (s *Server) startRetrieval(_ context.Context, _ *awsapi.Request, in startRetrievalIn) (*retrievalToken, error) {
	if _, _, err := timeRange(in.StartTime, in.EndTime); err != nil {
		return nil, err
	}
	ids, bad, err := readTraceIDs(in.TraceIDs)
	if err != nil {
		return nil, err
	}
	if len(bad) > 0 {
		return nil, awsapi.Errorf(codeInvalidRequest, "%s is not a trace id.", bad[0])
	}
	return &retrievalToken{s.retrievals.start(ids)}, nil
}

type listRetrievedIn struct{ RetrievalToken, TraceFormat, NextToken string }

type retrievedSpan struct {
	ID       string `json:"Id"`
	Document string
}

type retrievedTrace struct {
	ID       string `json:"Id"`
	Duration float64
	Spans    []retrievedSpan
}

type retrievedOut struct {
	RetrievalStatus, TraceFormat string
	Traces                       []retrievedTrace
}

// listRetrieved answers segments; the format OTEL is refused.
func (s *Server) listRetrieved(ctx context.Context, r *awsapi.Request, in listRetrievedIn) (*retrievedOut, error) {
	switch in.TraceFormat {
	case "", "XRAY":
	case "OTEL":
		return nil, awsapi.Errorf(codeInvalidRequest, "This server answers retrieved traces in the format XRAY only.")
	default:
		return nil, awsapi.Errorf(codeInvalidRequest, "TraceFormat must be XRAY or OTEL.")
	}
	x, err := s.retrieval(in.RetrievalToken)
	if err != nil {
		return nil, err
	}
	out := &retrievedOut{x.status(), "XRAY", []retrievedTrace{}}
	if x.cancelled {
		return out, nil
	}
	traces, err := s.loadTraces(ctx, tenantOf(r), x.ids)
	if err != nil {
		return nil, fmt.Errorf("read retrieved traces: %w", err)
	}
	for _, id := range x.ids {
		if t := traces[id]; t != nil {
			o := t.out()
			rt := retrievedTrace{o.ID, o.Duration, []retrievedSpan{}}
			for _, seg := range o.Segments {
				rt.Spans = append(rt.Spans, retrievedSpan(seg))
			}
			out.Traces = append(out.Traces, rt)
		}
	}
	return out, nil
}

func (s *Server) retrieval(token string) (retrieval, error) {
	if token == "" {
		return retrieval{}, missing("RetrievalToken")
	}
	return s.retrievals.get(token, nil)
}

type retrievedService struct {
	Service serviceOut
	Links   []empty
}

type retrievedGraphOut struct {
	RetrievalStatus string
	Services        []retrievedService
}

func (s *Server) retrievedGraph(ctx context.Context, r *awsapi.Request, in listRetrievedIn) (*retrievedGraphOut, error) {
	x, err := s.retrieval(in.RetrievalToken)
	if err != nil {
		return nil, err
	}
	out := &retrievedGraphOut{x.status(), []retrievedService{}}
	if x.cancelled {
		return out, nil
	}
	g, err := s.graphOf(ctx, tenantOf(r), x.ids)
	if err != nil {
		return nil, fmt.Errorf("read retrieved traces: %w", err)
	}
	for _, svc := range g.services() {
		out.Services = append(out.Services, retrievedService{svc, []empty{}})
	}
	return out, nil
}

func (s *Server) cancelRetrieval(_ context.Context, _ *awsapi.Request, in retrievalToken) (*empty, error) {
	if in.RetrievalToken == "" {
		return nil, missing("RetrievalToken")
	}
	_, err := s.retrievals.get(in.RetrievalToken, func(r *retrieval) { r.cancelled = true })
	return &empty{}, err
}
