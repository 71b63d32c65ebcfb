package xray

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/ingest"
)

const (
	// maxPut is how many documents a PutTraceSegments may have.
	maxPut = 50
	// maxGet is how many traces a BatchGetTraces may ask for.
	maxGet = 100
	// maxTrace is how much of a trace BatchGetTraces answers, in bytes of documents.
	maxTrace = 5 << 20
)

type unprocessed struct {
	ID        *string `json:"Id,omitempty"`
	ErrorCode string
	Message   string
}

// accept checks documents and stores the good ones: when it returns nil they are durable and
// visible. Those in progress wait for their ends.
func (s *Server) accept(ctx context.Context, environment string, texts []string) ([]refusal, error) {
	var refused []refusal
	var complete, open []*document
	for _, text := range texts {
		for _, one := range splitDocuments(text) {
			d, bad := parseDocument(one)
			if bad == nil {
				bad = s.tooOld(d)
			}
			switch {
			case bad != nil:
				refused = append(refused, *bad)
			case d.inProgress:
				open = append(open, d)
			default:
				complete = append(complete, d)
			}
		}
	}
	if n := len(refused); n > 0 {
		s.cfg.Queue.Reject(ingest.XRay, int64(n), refused[n-1].message)
	}
	if len(complete) > 0 {
		b, err := s.batch(ctx, environment, complete)
		if err != nil {
			return nil, err
		}
		if err := s.cfg.Queue.Append(ctx, ingest.XRay, b); err != nil {
			return nil, fmt.Errorf("store %d documents: %w", len(complete), err)
		}
		if err := s.pending.forget(ctx, environment, complete); err != nil {
			return nil, err
		}
	}
	if err := s.pending.put(ctx, environment, open); err != nil {
		return nil, err
	}
	return refused, nil
}

// tooOld refuses a document of a trace whose id is older than the server takes, as AWS once did.
func (s *Server) tooOld(d *document) *refusal {
	if s.cfg.TraceIDMaxAge <= 0 || d.trace.Seconds() >= time.Now().Add(-s.cfg.TraceIDMaxAge).Unix() {
		return nil
	}
	kind := "segment"
	if d.sub {
		kind = "subsegment"
	}
	return &refusal{d.id.String(), "InvalidTraceId", fmt.Sprintf("Invalid %s. ErrorCode: InvalidTraceId", kind)}
}

type putSegmentsIn struct{ TraceSegmentDocuments *[]string }

type putSegmentsOut struct{ UnprocessedTraceSegments []unprocessed }

func (s *Server) putTraceSegments(ctx context.Context, r *awsapi.Request, in putSegmentsIn) (*putSegmentsOut, error) {
	if in.TraceSegmentDocuments == nil {
		return nil, missing("TraceSegmentDocuments")
	}
	if n := len(*in.TraceSegmentDocuments); n > maxPut {
		return nil, awsapi.Errorf(codeInvalidRequest, "TraceSegmentDocuments has %d documents, %d are allowed.", n, maxPut)
	}
	refused, err := s.accept(ctx, r.Caller.Environment, *in.TraceSegmentDocuments)
	if errors.Is(err, ingest.ErrOverloaded) {
		return nil, errThrottled()
	}
	if err != nil {
		return nil, err
	}
	out := &putSegmentsOut{UnprocessedTraceSegments: []unprocessed{}}
	for _, f := range refused {
		u := unprocessed{ErrorCode: f.code, Message: f.message}
		if f.id != "" {
			u.ID = &f.id
		}
		out.UnprocessedTraceSegments = append(out.UnprocessedTraceSegments, u)
	}
	return out, nil
}

type segmentOut struct {
	ID       string `json:"Id"`
	Document string
}

type traceOut struct {
	ID            string `json:"Id"`
	Duration      float64
	LimitExceeded bool
	Segments      []segmentOut
}

type batchGetOut struct {
	Traces              []traceOut
	UnprocessedTraceIDs []string `json:"UnprocessedTraceIds"`
}

// readTraceIDs returns the ids, each once, and the texts that are none.
func readTraceIDs(texts []string) (ids []event.TraceID, bad []string, err error) {
	if texts == nil {
		return nil, nil, missing("TraceIds")
	}
	if len(texts) > maxGet {
		return nil, nil, awsapi.Errorf(codeInvalidRequest, "TraceIds has %d ids, %d are allowed.", len(texts), maxGet)
	}
	seen := map[event.TraceID]bool{}
	for _, text := range texts {
		if text == "" || len(text) > 36 {
			return nil, nil, awsapi.Errorf(codeInvalidRequest, "A trace id has 1 to 35 characters.")
		}
		id, err := event.ParseTraceID(text)
		if err != nil {
			bad = append(bad, text)
			continue
		}
		if !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	return ids, bad, nil
}

func (s *Server) batchGetTraces(ctx context.Context, r *awsapi.Request, in traceIDsIn) (*batchGetOut, error) {
	ids, bad, err := readTraceIDs(in.TraceIDs)
	if err != nil {
		return nil, err
	}
	traces, err := s.loadTraces(ctx, tenantOf(r), ids)
	if err != nil {
		return nil, err
	}
	out := &batchGetOut{Traces: []traceOut{}, UnprocessedTraceIDs: append([]string{}, bad...)}
	for _, id := range ids {
		t := traces[id]
		if t == nil {
			out.UnprocessedTraceIDs = append(out.UnprocessedTraceIDs, id.XRay())
			continue
		}
		out.Traces = append(out.Traces, t.out())
	}
	return out, nil
}

// out writes a trace with as many of its documents as one may have.
func (t *trace) out() traceOut {
	o := traceOut{ID: t.id.XRay(), Duration: round6(t.end - t.start), Segments: []segmentOut{}}
	size := 0
	for _, e := range t.segments {
		doc := t.render(e)
		if size += len(doc); size > maxTrace && len(o.Segments) > 0 {
			o.LimitExceeded = true
			break
		}
		o.Segments = append(o.Segments, segmentOut{e.id.String(), string(doc)})
	}
	return o
}
