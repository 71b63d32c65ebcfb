package cwlogs

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/meta"
	"github.com/trefoil-o11y/trefoil/internal/query"
)

const (
	kindIndexPolicy = "index-policy"
	maxIndexFields  = 20
)

// parseIndexPolicy returns the fields of an index policy. Every field has a column with an index of its
// own here, so that a policy changes no speed: it says which fields filterIndex and the listings name.
func parseIndexPolicy(document string) ([]string, error) {
	var p struct {
		Fields   []string
		FieldsV2 map[string]struct {
			Type string `json:"type"`
		}
	}
	if err := json.Unmarshal([]byte(document), &p); err != nil {
		return nil, invalid("The index policy is not valid JSON: %v", err)
	}
	fields := p.Fields
	for f, is := range p.FieldsV2 {
		if is.Type != "FIELD_INDEX" && is.Type != "FACET" {
			return nil, invalid("The type of the field %q in the index policy must be FIELD_INDEX or FACET.", f)
		}
		fields = append(fields, f)
	}
	slices.Sort(fields)
	fields = slices.Compact(fields)
	if len(fields) == 0 || len(fields) > maxIndexFields {
		return nil, invalid("An index policy names 1 to %d fields.", maxIndexFields)
	}
	for _, f := range fields {
		if f == "" || len(f) > 100 {
			return nil, invalid("The name of a field in an index policy has 1 to 100 characters.")
		}
	}
	return fields, nil
}

type indexPolicyRow struct {
	LogGroupIdentifier string `json:"logGroupIdentifier,omitempty"`
	LastUpdateTime     int64  `json:"lastUpdateTime"`
	PolicyDocument     string `json:"policyDocument"`
	PolicyName         string `json:"policyName,omitempty"`
	Source             string `json:"source"`
}

type putIndexPolicyOutput struct {
	IndexPolicy indexPolicyRow `json:"indexPolicy"`
}

func (s *Server) putIndexPolicy(ctx context.Context, r *awsapi.Request, in policyInput) (putIndexPolicyOutput, error) {
	var out putIndexPolicyOutput
	var c check
	c.text("policyDocument", in.PolicyDocument, 1024, nil, "")
	g, err := s.identifiedGroup(ctx, r, &c, in.LogGroupIdentifier)
	if err != nil {
		return out, err
	}
	if _, err := parseIndexPolicy(in.PolicyDocument); err != nil {
		return out, err
	}
	d, err := define(ctx, s, g.Environment, kindIndexPolicy, g.Name, "", in.PolicyDocument, 0)
	if err != nil {
		return out, err
	}
	out.IndexPolicy = indexPolicyRow{groupARN(&r.Caller, g.Name), d.Updated.UnixMilli(), in.PolicyDocument, "", "LOG_GROUP"}
	return out, nil
}

func (s *Server) deleteIndexPolicy(ctx context.Context, r *awsapi.Request, in policyInput) (none, error) {
	var c check
	g, err := s.identifiedGroup(ctx, r, &c, in.LogGroupIdentifier)
	if err != nil {
		return none{}, err
	}
	return none{}, s.remove(ctx, g.Environment, kindIndexPolicy, g.Name, "", awsapi.Errorf("ResourceNotFoundException", "The specified index policy does not exist."))
}

type groupsInput struct {
	LogGroupIdentifiers []string `json:"logGroupIdentifiers"`
	NextToken           string   `json:"nextToken"`
}

type describeIndexPoliciesOutput struct {
	IndexPolicies []indexPolicyRow `json:"indexPolicies"`
}

// indexPolicies calls visit for the policies that hold for the groups that identifiers name.
func (s *Server) indexPolicies(ctx context.Context, r *awsapi.Request, identifiers []string, visit func(meta.LogGroup, indexPolicyRow) error) error {
	var c check
	c.count("logGroupIdentifiers", len(identifiers), 1, 100)
	if err := c.err(); err != nil {
		return err
	}
	for _, id := range identifiers {
		var c check
		g, err := s.identifiedGroup(ctx, r, &c, id)
		if err != nil {
			return err
		}
		row, ok, err := s.indexPolicy(ctx, r, g)
		if err == nil && ok {
			err = visit(g, row)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// indexPolicy returns the policy that holds for a group: its own, else the account's.
func (s *Server) indexPolicy(ctx context.Context, r *awsapi.Request, g meta.LogGroup) (row indexPolicyRow, ok bool, err error) {
	d, err := object[string](ctx, s, g.Environment, kindIndexPolicy, g.Name, "", nil)
	if err != nil {
		return row, false, err
	}
	if d.is != "" {
		return indexPolicyRow{groupARN(&r.Caller, g.Name), d.Updated.UnixMilli(), d.is, "", "LOG_GROUP"}, true, nil
	}
	all, err := accountPolicies(ctx, s.cfg.Meta, g.Environment, g.Name)
	if err != nil {
		return row, false, err
	}
	for _, d := range all {
		if name, is := strings.CutPrefix(d.Name, policyFieldIndex+":"); is {
			return indexPolicyRow{groupARN(&r.Caller, g.Name), d.Updated.UnixMilli(), d.is.PolicyDocument, name, "ACCOUNT"}, true, nil
		}
	}
	return row, false, nil
}

// indexed reports whether the policy of a group names all of the fields.
func (s *Server) indexed(ctx context.Context, r *awsapi.Request, g meta.LogGroup, fields []string) (bool, error) {
	if len(fields) == 0 {
		return true, nil
	}
	row, ok, err := s.indexPolicy(ctx, r, g)
	if err != nil || !ok {
		return false, err
	}
	have, err := parseIndexPolicy(row.PolicyDocument)
	for _, f := range fields {
		ok = ok && slices.Contains(have, f)
	}
	return ok, err
}

func (s *Server) describeIndexPolicies(ctx context.Context, r *awsapi.Request, in groupsInput) (describeIndexPoliciesOutput, error) {
	out := describeIndexPoliciesOutput{IndexPolicies: []indexPolicyRow{}}
	err := s.indexPolicies(ctx, r, in.LogGroupIdentifiers, func(_ meta.LogGroup, row indexPolicyRow) error {
		out.IndexPolicies = append(out.IndexPolicies, row)
		return nil
	})
	return out, err
}

type fieldIndexRow struct {
	LogGroupIdentifier string `json:"logGroupIdentifier"`
	FieldIndexName     string `json:"fieldIndexName"`
	LastScanTime       int64  `json:"lastScanTime"`
	FirstEventTime     int64  `json:"firstEventTime,omitempty"`
	LastEventTime      int64  `json:"lastEventTime,omitempty"`
	Type               string `json:"type"`
}

type describeFieldIndexesOutput struct {
	FieldIndexes []fieldIndexRow `json:"fieldIndexes"`
}

// describeFieldIndexes tells, of the fields that the policies name, since when and until when events
// have them.
func (s *Server) describeFieldIndexes(ctx context.Context, r *awsapi.Request, in groupsInput) (describeFieldIndexesOutput, error) {
	out := describeFieldIndexesOutput{FieldIndexes: []fieldIndexRow{}}
	err := s.indexPolicies(ctx, r, in.LogGroupIdentifiers, func(g meta.LogGroup, row indexPolicyRow) error {
		fields, err := parseIndexPolicy(row.PolicyDocument)
		if err != nil {
			return fmt.Errorf("stored index policy of %q: %w", g.Name, err)
		}
		for _, f := range fields {
			q, _, err := s.conditions(ctx, &reading{group: g, where: query.Has{X: query.Field{Name: f}}})
			if err != nil {
				return err
			}
			at := query.Field{Name: event.FieldTime}
			q.Stages = append(q.Stages, query.Aggregate{Aggs: []query.Agg{{Name: "first", Op: query.Min, Arg: at}, {Name: "last", Op: query.Max, Arg: at}, {Name: "scan", Op: query.Max, Arg: query.Field{Name: event.FieldIngested}}}})
			res, err := s.cfg.Store.Query(ctx, q)
			if err != nil {
				return err
			}
			index := fieldIndexRow{LogGroupIdentifier: groupARN(&r.Caller, g.Name), FieldIndexName: f, LastScanTime: row.LastUpdateTime, Type: "FIELD_INDEX"}
			if v := res.Rows[0]; !v[0].Missing() {
				index.FirstEventTime, index.LastEventTime, index.LastScanTime = v[0].Int()/1e6, v[1].Int()/1e6, v[2].Int()/1e6
			}
			out.FieldIndexes = append(out.FieldIndexes, index)
		}
		return nil
	})
	return out, err
}
