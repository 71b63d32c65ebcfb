package xray

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/meta"
	"github.com/trefoil-o11y/trefoil/internal/query"
)

const (
	// maxInsightAge is how old the begin of a list of insights may be.
	maxInsightAge = 30 * 24 * time.Hour
	// maxImpact is the longest range of an impact graph.
	maxImpact = 6 * time.Hour
	// insightCategory is the only one that there is.
	insightCategory = "FAULT"
)

var insightIDs = regexp.MustCompile(`^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$`)

type insightSummariesIn struct {
	States              []string
	GroupARN, GroupName string
	StartTime, EndTime  *float64
	MaxResults          *int64
	NextToken           string
}

type anomalousService struct {
	ServiceID serviceID `json:"ServiceId"`
}

type insightOut struct {
	InsightID                               string `json:"InsightId"`
	GroupARN, GroupName                     string
	RootCauseServiceID                      serviceID `json:"RootCauseServiceId"`
	Categories                              []string
	State                                   string
	StartTime                               float64
	EndTime                                 *float64 `json:",omitempty"`
	Summary                                 string
	ClientRequestImpactStatistics           impact
	RootCauseServiceRequestImpactStatistics impact
	TopAnomalousServices                    []anomalousService
	LastUpdateTime                          *float64 `json:",omitempty"`
}

type insightSummariesOut struct {
	InsightSummaries []insightOut
	NextToken        string `json:",omitempty"`
}

func anomalous(list []node) []anomalousService {
	out := []anomalousService{}
	for _, n := range list {
		out = append(out, anomalousService{n.id()})
	}
	return out
}

func (s *Server) insightOut(ctx context.Context, t tenant, kept meta.XRayInsight) (insightOut, error) {
	i, err := readInsight(kept)
	if err != nil {
		return insightOut{}, err
	}
	out := insightOut{
		InsightID: kept.ID, GroupName: kept.Group, GroupARN: t.arn("group/" + kept.Group), RootCauseServiceID: i.RootCause.id(), Categories: []string{insightCategory},
		State: "ACTIVE", StartTime: epoch(kept.Started), Summary: i.summary(), ClientRequestImpactStatistics: i.Clients, RootCauseServiceRequestImpactStatistics: i.Causes,
		TopAnomalousServices: anomalous(i.Services),
	}
	if !kept.Ended.IsZero() {
		ended := epoch(kept.Ended)
		out.State, out.EndTime = "CLOSED", &ended
	}
	g, err := s.group(ctx, t, groupRef{name: kept.Group})
	if err == nil {
		out.GroupARN = t.groupARN(g)
	} else if apiErr(err) != nil {
		err = nil // the group is gone, its insights stay
	}
	updated := epoch(i.Updated)
	out.LastUpdateTime = &updated
	return out, err
}

// page cuts a page out of a list. Its token holds the place of the next one.
func page[T any](list []T, max *int64, limit int64, token string) (part []T, next string, err error) {
	size := limit
	if max != nil {
		if size = *max; size < 1 || size > limit {
			return nil, "", awsapi.Errorf(codeInvalidRequest, "MaxResults must be from 1 to %d.", limit)
		}
	}
	at := int64(0)
	if token != "" {
		text, err := base64.RawURLEncoding.DecodeString(token)
		if err == nil {
			at, err = strconv.ParseInt(string(text), 10, 64)
		}
		if err != nil || at < 0 {
			return nil, "", awsapi.Errorf(codeInvalidRequest, "NextToken does not belong to this request.")
		}
	}
	at = min(at, int64(len(list)))
	end := min(at+size, int64(len(list)))
	if end < int64(len(list)) {
		next = base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(end, 10)))
	}
	return list[at:end], next, nil
}

func (s *Server) getInsightSummaries(ctx context.Context, r *awsapi.Request, in insightSummariesIn) (*insightSummariesOut, error) {
	from, to, err := timeRange(in.StartTime, in.EndTime)
	if err != nil {
		return nil, err
	}
	if time.Since(from) > maxInsightAge+time.Hour {
		return nil, awsapi.Errorf(codeInvalidRequest, "StartTime can not be more than 30 days ago.")
	}
	state := ""
	for _, state = range in.States {
		if state != "ACTIVE" && state != "CLOSED" || len(in.States) > 1 {
			return nil, awsapi.Errorf(codeInvalidRequest, "States must be ACTIVE or CLOSED.")
		}
	}
	t := tenantOf(r)
	ref := groupRef{in.GroupName, in.GroupARN}
	if ref == (groupRef{}) {
		return nil, awsapi.Errorf(codeInvalidRequest, "GroupName or GroupARN is required.")
	}
	g, err := s.group(ctx, t, ref)
	if err != nil {
		return nil, err
	}
	list, err := s.cfg.Meta.XRayInsights(ctx, t.environment, g.Name, from, to)
	if err != nil {
		return nil, err
	}
	var wanted []meta.XRayInsight
	for _, i := range list {
		if state == "" || (state == "ACTIVE") == i.Ended.IsZero() {
			wanted = append(wanted, i)
		}
	}
	out := &insightSummariesOut{InsightSummaries: []insightOut{}}
	if wanted, out.NextToken, err = page(wanted, in.MaxResults, 100, in.NextToken); err != nil {
		return nil, err
	}
	for _, i := range wanted {
		o, err := s.insightOut(ctx, t, i)
		if err != nil {
			return nil, err
		}
		out.InsightSummaries = append(out.InsightSummaries, o)
	}
	return out, nil
}

type insightIn struct {
	InsightID          string `json:"InsightId"`
	MaxResults         *int64
	StartTime, EndTime *float64
	NextToken          string
}

type insightResult struct{ Insight insightOut }

// insight finds the insight that a request names.
func (s *Server) insight(ctx context.Context, t tenant, in insightIn) (meta.XRayInsight, error) {
	if in.InsightID == "" {
		return meta.XRayInsight{}, missing("InsightId")
	}
	if !insightIDs.MatchString(in.InsightID) {
		return meta.XRayInsight{}, awsapi.Errorf(codeInvalidRequest, "InsightId must be a UUID.")
	}
	kept, err := s.cfg.Meta.XRayInsight(ctx, t.environment, strings.ToLower(in.InsightID))
	if errors.Is(err, meta.ErrNotFound) {
		return kept, awsapi.Errorf(codeInvalidRequest, "There is no insight %s.", in.InsightID)
	}
	return kept, err
}

func (s *Server) getInsight(ctx context.Context, r *awsapi.Request, in insightIn) (*insightResult, error) {
	t := tenantOf(r)
	kept, err := s.insight(ctx, t, in)
	if err != nil {
		return nil, err
	}
	out, err := s.insightOut(ctx, t, kept)
	out.LastUpdateTime = nil
	return &insightResult{out}, err
}

type insightEventOut struct {
	Summary                                 string
	EventTime                               float64
	ClientRequestImpactStatistics           impact
	RootCauseServiceRequestImpactStatistics impact
	TopAnomalousServices                    []anomalousService
}

type insightEventsOut struct {
	InsightEvents []insightEventOut
	NextToken     string `json:",omitempty"`
}

func (s *Server) getInsightEvents(ctx context.Context, r *awsapi.Request, in insightIn) (*insightEventsOut, error) {
	kept, err := s.insight(ctx, tenantOf(r), in)
	if err != nil {
		return nil, err
	}
	list, err := s.cfg.Meta.XRayInsightEvents(ctx, kept.ID)
	if err != nil {
		return nil, err
	}
	out := &insightEventsOut{InsightEvents: []insightEventOut{}}
	if list, out.NextToken, err = page(list, in.MaxResults, 50, in.NextToken); err != nil {
		return nil, err
	}
	for _, e := range list {
		var x insightEvent
		if err := json.Unmarshal([]byte(e.Event), &x); err != nil {
			return nil, fmt.Errorf("read an event of insight %s: %w", kept.ID, err)
		}
		out.InsightEvents = append(out.InsightEvents, insightEventOut{x.Summary, epoch(e.At), x.Clients, x.Causes, anomalous(x.Services)})
	}
	return out, nil
}

type impactEdge struct {
	ReferenceID int `json:"ReferenceId"`
}

type impactService struct {
	ReferenceID int `json:"ReferenceId"`
	Type, Name  string
	Names       []string
	AccountID   string `json:"AccountId"`
	Edges       []impactEdge
}

type impactGraphOut struct {
	InsightID                                  string `json:"InsightId"`
	StartTime, EndTime                         float64
	ServiceGraphStartTime, ServiceGraphEndTime float64
	Services                                   []impactService
}

// getInsightImpactGraph answers the part of the group's service graph that leads to the root cause.
func (s *Server) getInsightImpactGraph(ctx context.Context, r *awsapi.Request, in insightIn) (*impactGraphOut, error) {
	from, to, err := timeRange(in.StartTime, in.EndTime)
	if err != nil {
		return nil, err
	}
	if to.Sub(from) > maxImpact {
		return nil, awsapi.Errorf(codeInvalidRequest, "The time range can not be longer than 6 hours.")
	}
	t := tenantOf(r)
	kept, err := s.insight(ctx, t, in)
	if err != nil {
		return nil, err
	}
	i, err := readInsight(kept)
	if err != nil {
		return nil, err
	}
	where, err := s.compileGroup(ctx, t, groupRef{name: kept.Group})
	if err != nil {
		return nil, err
	}
	g := newGraph(t.account)
	var stats query.Stats
	if err := s.fill(ctx, t, g, from, to, where, &stats); err != nil {
		return nil, err
	}
	nodes := g.finish()
	leads := leadingTo(nodes, i.RootCause)
	out := &impactGraphOut{kept.ID, *in.StartTime, *in.EndTime, *in.StartTime, *in.EndTime, []impactService{}}
	ids := map[*serviceNode]int{}
	for _, n := range nodes {
		if leads[n] {
			ids[n] = len(ids)
		}
	}
	for _, n := range nodes {
		if !leads[n] {
			continue
		}
		o := impactService{ids[n], n.kind, n.name, []string{n.name}, n.account, []impactEdge{}}
		for _, e := range n.edges {
			if leads[e.target] {
				o.Edges = append(o.Edges, impactEdge{ids[e.target]})
			}
		}
		out.Services = append(out.Services, o)
	}
	return out, nil
}
