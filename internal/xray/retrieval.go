package xray

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/meta"
)

const (
	// retrievalFor is how long a retrieval can be read.
	retrievalFor = time.Hour
	// maxRetrievals bounds the retrievals that are kept; the oldest go first.
	maxRetrievals = 1000
	// pageTraces and pageSpans are the size of a page: traces, and documents of each.
	pageTraces = 5
	pageSpans  = 100
	// maxRetrieved is the longest document.
	maxRetrieved = 204_800

	formatXRay = "XRAY"
	formatOTel = "OTEL"
)

func status(r meta.XRayRetrieval) string {
	if r.Cancelled {
		return "CANCELLED"
	}
	return "COMPLETE"
}

type startRetrievalIn struct {
	TraceIDs           []string `json:"TraceIds"`
	StartTime, EndTime *float64
}

type retrievalToken struct{ RetrievalToken string }

func (s *Server) startRetrieval(ctx context.Context, r *awsapi.Request, in startRetrievalIn) (*retrievalToken, error) {
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
	now := time.Now()
	x := meta.XRayRetrieval{Token: awsapi.NewRequestID(), Environment: r.Caller.Environment, Started: now}
	for _, id := range ids {
		x.Traces = append(x.Traces, id.String())
	}
	if err := s.cfg.Meta.PutXRayRetrieval(ctx, x, now.Add(-retrievalFor), maxRetrievals); err != nil {
		return nil, fmt.Errorf("keep a retrieval: %w", err)
	}
	return &retrievalToken{x.Token}, nil
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
	NextToken                    string `json:",omitempty"`
}

// listRetrieved answers pages of up to pageTraces traces, each with up to pageSpans documents:
// segments, or the spans that they are.
func (s *Server) listRetrieved(ctx context.Context, r *awsapi.Request, in listRetrievedIn) (*retrievedOut, error) {
	if in.TraceFormat == "" {
		in.TraceFormat = formatXRay
	}
	if in.TraceFormat != formatXRay && in.TraceFormat != formatOTel {
		return nil, awsapi.Errorf(codeInvalidRequest, "TraceFormat must be XRAY or OTEL.")
	}
	x, ids, err := s.retrieval(ctx, r, in.RetrievalToken)
	if err != nil {
		return nil, err
	}
	token := in.NextToken
	in.NextToken = ""
	hash := requestHash(in)
	var at struct{ trace, span int }
	if token != "" {
		text, err := base64.RawURLEncoding.DecodeString(token)
		var of string
		if err == nil {
			_, err = fmt.Sscanf(string(text), "%d %d %s", &at.trace, &at.span, &of)
		}
		if err != nil || of != hash || at.trace < 0 || at.span < 0 {
			return nil, awsapi.Errorf(codeInvalidRequest, "NextToken does not belong to this request.")
		}
	}
	out := &retrievedOut{RetrievalStatus: status(x), TraceFormat: in.TraceFormat, Traces: []retrievedTrace{}}
	if x.Cancelled {
		return out, nil
	}
	for at.trace < len(ids) && len(out.Traces) < pageTraces {
		id := ids[at.trace]
		traces, err := s.loadTraces(ctx, tenantOf(r), []event.TraceID{id})
		if err != nil {
			return nil, fmt.Errorf("read retrieved traces: %w", err)
		}
		t := traces[id]
		if t == nil {
			at.trace++
			continue
		}
		list := t.pieces()
		if in.TraceFormat == formatOTel {
			list = t.otel()
		}
		list = list[min(at.span, len(list)):]
		at.span += pageSpans
		if len(list) <= pageSpans {
			at.trace, at.span = at.trace+1, 0
		}
		out.Traces = append(out.Traces, retrievedTrace{id.XRay(), round6(t.end - t.start), list[:min(pageSpans, len(list))]})
	}
	if at.trace < len(ids) {
		out.NextToken = base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d %d %s", at.trace, at.span, hash))
	}
	return out, nil
}

// pieces returns the documents of a trace as they were received, made anew where there are none.
// A document with parts that came by themselves is put together unless that is too long.
func (t *trace) pieces() []retrievedSpan {
	out := []retrievedSpan{}
	var add func(e *entity)
	add = func(e *entity) {
		if doc := t.render(e); len(doc) <= maxRetrieved || e.raw == "" {
			out = append(out, retrievedSpan{e.id.String(), string(doc)})
			return
		}
		out = append(out, retrievedSpan{e.id.String(), e.raw})
		e.walk(func(c *entity) {
			if c.attached && c != e {
				out = append(out, retrievedSpan{c.id.String(), c.raw})
			}
		})
	}
	for _, e := range t.segments {
		add(e)
	}
	return out
}

// retrieval finds a retrieval and its traces.
func (s *Server) retrieval(ctx context.Context, r *awsapi.Request, token string) (x meta.XRayRetrieval, ids []event.TraceID, err error) {
	if token == "" {
		return x, nil, missing("RetrievalToken")
	}
	x, err = s.cfg.Meta.XRayRetrieval(ctx, r.Caller.Environment, token)
	if errors.Is(err, meta.ErrNotFound) || err == nil && time.Since(x.Started) > retrievalFor {
		return x, nil, notFound("There is no retrieval of this token.")
	}
	for _, text := range x.Traces {
		if id, err := event.ParseTraceID(text); err == nil {
			ids = append(ids, id)
		}
	}
	return x, ids, err
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
	x, ids, err := s.retrieval(ctx, r, in.RetrievalToken)
	if err != nil {
		return nil, err
	}
	out := &retrievedGraphOut{status(x), []retrievedService{}}
	if x.Cancelled {
		return out, nil
	}
	g, err := s.graphOf(ctx, tenantOf(r), ids)
	if err != nil {
		return nil, fmt.Errorf("read retrieved traces: %w", err)
	}
	for _, svc := range g.services() {
		out.Services = append(out.Services, retrievedService{svc, []empty{}})
	}
	return out, nil
}

func (s *Server) cancelRetrieval(ctx context.Context, r *awsapi.Request, in retrievalToken) (*empty, error) {
	if _, _, err := s.retrieval(ctx, r, in.RetrievalToken); err != nil {
		return nil, err
	}
	return &empty{}, s.cfg.Meta.CancelXRayRetrieval(ctx, r.Caller.Environment, in.RetrievalToken)
}
