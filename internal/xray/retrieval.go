package xray

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/meta"
	"github.com/trefoil-o11y/trefoil/internal/query"
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
	for _, e := range t.segments {
		if doc := t.render(e); len(doc) <= maxRetrieved || e.raw == "" {
			out = append(out, retrievedSpan{e.id.String(), string(doc)})
			continue
		}
		out = append(out, retrievedSpan{e.id.String(), e.raw})
		e.walk(func(c *entity) {
			if c.attached && c != e && c.raw != "" {
				out = append(out, retrievedSpan{c.id.String(), c.raw})
			}
		})
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
	Links   []retrievedLink
}

// retrievedLink tells of the links of a service's part of a trace to other traces.
type retrievedLink struct {
	ReferenceType       string
	SourceTraceID       string   `json:"SourceTraceId"`
	DestinationTraceIDs []string `json:"DestinationTraceIds"`
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
	t := tenantOf(r)
	var stats query.Stats
	traces, err := s.load(ctx, t, ids, time.Time{}, time.Time{}, outline, &stats)
	if err != nil {
		return nil, fmt.Errorf("read retrieved traces: %w", err)
	}
	links := map[string][]retrievedLink{}
	g := newGraph(t.account)
	for _, id := range ids {
		if tr := traces[id]; tr != nil {
			g.add(tr)
			for _, l := range tr.linked(t.account) {
				links[l.service] = append(links[l.service], retrievedLink{"LINK", id.XRay(), l.traces})
			}
		}
	}
	if err := s.resolve(ctx, t, g, time.Time{}, time.Time{}, &stats); err != nil {
		return nil, fmt.Errorf("follow the links of retrieved traces: %w", err)
	}
	for _, svc := range g.services() {
		list := links[svc.Name+" "+svc.Type]
		if list == nil {
			list = []retrievedLink{}
		}
		out.Services = append(out.Services, retrievedService{svc, list})
	}
	return out, nil
}

// linked are the traces that a service's part of a trace has links to.
type linked struct {
	service string // name and type
	traces  []string
}

func (t *trace) linked(account string) []linked {
	var out []linked
	t.each(func(e *entity) {
		n := e.segment.node(account)
		service := n.name + " " + n.kind
		for _, l := range e.links {
			if e.inferred {
				continue
			}
			i := slices.IndexFunc(out, func(x linked) bool { return x.service == service })
			if i < 0 {
				i, out = len(out), append(out, linked{service: service})
			}
			if id := l.trace.XRay(); !slices.Contains(out[i].traces, id) {
				out[i].traces = append(out[i].traces, id)
			}
		}
	})
	return out
}

func (s *Server) cancelRetrieval(ctx context.Context, r *awsapi.Request, in retrievalToken) (*empty, error) {
	if _, _, err := s.retrieval(ctx, r, in.RetrievalToken); err != nil {
		return nil, err
	}
	return &empty{}, s.cfg.Meta.CancelXRayRetrieval(ctx, r.Caller.Environment, in.RetrievalToken)
}
