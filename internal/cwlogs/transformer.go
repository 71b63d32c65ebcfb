package cwlogs

import (
	"context"
	"fmt"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/cwlogs/transform"
	"github.com/trefoil-o11y/trefoil/internal/meta"
)

const kindTransformer = "transformer"

func readTransformer(o meta.LogObject) (*transform.Transformer, error) {
	d, err := decodeObject[transform.Config](o)
	if err != nil {
		return nil, err
	}
	t, err := transform.New(d.is)
	if err != nil {
		return nil, fmt.Errorf("stored transformer of %q: %w", o.Scope, err)
	}
	return t, nil
}

type transformerInput struct {
	LogGroupIdentifier string           `json:"logGroupIdentifier"`
	TransformerConfig  transform.Config `json:"transformerConfig"`
	LogEventMessages   []string         `json:"logEventMessages"`
}

// putTransformer gives a group a transformer, which changes the fields of the events that arrive from
// now on; their messages stay.
func (s *Server) putTransformer(ctx context.Context, r *awsapi.Request, in transformerInput) (none, error) {
	var c check
	g, err := s.identifiedGroup(ctx, r, &c, in.LogGroupIdentifier)
	if err != nil {
		return none{}, err
	}
	if _, err := transform.New(in.TransformerConfig); err != nil {
		return none{}, invalid("Invalid transformer: %v.", err)
	}
	if g.Class != "STANDARD" {
		return none{}, awsapi.Errorf("InvalidOperationException", "Transformers are for log groups of the Standard class.")
	}
	if _, err := define(ctx, s, g.Environment, kindTransformer, g.Name, "", in.TransformerConfig, 0); err != nil {
		return none{}, err
	}
	s.changed(ctx, g)
	return none{}, nil
}

type transformerOutput struct {
	LogGroupIdentifier string           `json:"logGroupIdentifier,omitempty"`
	CreationTime       int64            `json:"creationTime,omitempty"`
	LastModifiedTime   int64            `json:"lastModifiedTime,omitempty"`
	TransformerConfig  transform.Config `json:"transformerConfig,omitempty"`
}

func (s *Server) getTransformer(ctx context.Context, r *awsapi.Request, in transformerInput) (transformerOutput, error) {
	var c check
	g, err := s.identifiedGroup(ctx, r, &c, in.LogGroupIdentifier)
	if err != nil {
		return transformerOutput{}, err
	}
	d, err := object[transform.Config](ctx, s, g.Environment, kindTransformer, g.Name, "", nil)
	if err != nil || d.is == nil {
		return transformerOutput{}, err
	}
	return transformerOutput{in.LogGroupIdentifier, d.Created.UnixMilli(), d.Updated.UnixMilli(), d.is}, nil
}

func (s *Server) deleteTransformer(ctx context.Context, r *awsapi.Request, in transformerInput) (none, error) {
	var c check
	g, err := s.identifiedGroup(ctx, r, &c, in.LogGroupIdentifier)
	if err != nil {
		return none{}, err
	}
	missing := awsapi.Errorf("ResourceNotFoundException", "The specified transformer does not exist.")
	if err := s.remove(ctx, g.Environment, kindTransformer, g.Name, "", missing); err != nil {
		return none{}, err
	}
	s.changed(ctx, g)
	return none{}, nil
}

type transformedLog struct {
	EventNumber             int    `json:"eventNumber"`
	EventMessage            string `json:"eventMessage"`
	TransformedEventMessage string `json:"transformedEventMessage"`
}

type testTransformerOutput struct {
	TransformedLogs []transformedLog `json:"transformedLogs"`
}

func (s *Server) testTransformer(_ context.Context, _ *awsapi.Request, in transformerInput) (testTransformerOutput, error) {
	out := testTransformerOutput{TransformedLogs: []transformedLog{}}
	var c check
	c.count("logEventMessages", len(in.LogEventMessages), 1, 50)
	if err := c.err(); err != nil {
		return out, err
	}
	t, err := transform.New(in.TransformerConfig)
	if err != nil {
		return out, invalid("Invalid transformer: %v.", err)
	}
	for i, m := range in.LogEventMessages {
		text, ok := t.Apply(m)
		if !ok {
			text = []byte(m)
		}
		out.TransformedLogs = append(out.TransformedLogs, transformedLog{i + 1, m, string(text)})
	}
	return out, nil
}
