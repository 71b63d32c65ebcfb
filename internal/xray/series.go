package xray

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/xray/filterexpr"
)

type timeSeriesIn struct {
	StartTime, EndTime             *float64
	GroupName, GroupARN, NextToken string
	EntitySelectorExpression       *string
	Period                         *int64
	ForecastStatistics             bool
}

type forecastOut struct{ FaultCountHigh, FaultCountLow int }

type timeSeriesRow struct {
	Timestamp                 float64
	EdgeSummaryStatistics     *statsOut    `json:",omitempty"`
	ServiceSummaryStatistics  *statsOut    `json:",omitempty"`
	ServiceForecastStatistics *forecastOut `json:",omitempty"`
	ResponseTimeHistogram     []histogramOut
}

type timeSeriesOut struct {
	TimeSeriesServiceStatistics []timeSeriesRow
	ContainsOldGroupVersions    bool
}

// getTimeSeries answers the numbers of a node or an edge by period; without a selector, those of
// the edges from clients.
func (s *Server) getTimeSeries(ctx context.Context, r *awsapi.Request, in timeSeriesIn) (*timeSeriesOut, error) {
	from, to, err := timeRange(in.StartTime, in.EndTime)
	if err != nil {
		return nil, err
	}
	period := int64(60)
	if in.Period != nil {
		period = *in.Period
	}
	if period < 1 || period > 86_400 {
		return nil, awsapi.Errorf(codeInvalidRequest, "Period must be from 1 to 86400 seconds.")
	}
	var sel filterexpr.Node
	if in.EntitySelectorExpression != nil {
		src := *in.EntitySelectorExpression
		if src == "" || len(src) > 500 {
			return nil, awsapi.Errorf(codeInvalidRequest, "EntitySelectorExpression must have 1 to 500 characters.")
		}
		if sel, err = filterexpr.ParseSelector(src); err != nil {
			return nil, filterError(err)
		}
	}
	service, isService := sel.(filterexpr.Service)
	edge, isEdge := sel.(filterexpr.Edge)
	if in.ForecastStatistics && !isService {
		return nil, awsapi.Errorf(codeInvalidRequest, "ForecastStatistics needs an EntitySelectorExpression that chooses a service.")
	}
	t := tenantOf(r)
	where, err := s.compileGroup(ctx, t, groupRef{in.GroupName, in.GroupARN})
	if err != nil {
		return nil, err
	}
	g := newGraph(t.account)
	g.bucket, g.from, g.to = period, seconds(from.UnixNano()), seconds(to.UnixNano())
	var stats query.Stats
	if err := s.fill(ctx, t, g, from, to, where, &stats); err != nil {
		return nil, err
	}
	buckets := map[int64]*tally{}
	add := func(bucket int64, c *tally) {
		if c.total > 0 {
			tallyOf(buckets, bucket).merge(c)
		}
	}
	if isService {
		for k, c := range g.nodes {
			if chosen(service.Node, k.place) {
				add(k.bucket, c)
			}
		}
	} else {
		for k, c := range g.edges {
			client := k.source.kind == filterexpr.TypeClient
			if k.link || isEdge && (!chosen(edge.Source, k.source) || !chosen(edge.Target, k.target) || client && edge.Source.Type != filterexpr.TypeClient) || !isEdge && !client {
				continue
			}
			add(k.bucket, c)
		}
	}
	out := &timeSeriesOut{TimeSeriesServiceStatistics: []timeSeriesRow{}}
	total, faults := 0, 0
	for _, b := range buckets {
		total, faults = total+b.total, faults+b.faults
	}
	for k, b := range buckets {
		st := b.stats()
		row := timeSeriesRow{Timestamp: float64(k), ResponseTimeHistogram: histogram(b.responses)}
		if isService {
			row.ServiceSummaryStatistics = &st
		} else {
			row.EdgeSummaryStatistics = &st
		}
		if in.ForecastStatistics {
			row.ServiceForecastStatistics = forecast(b.total, float64(faults+1)/float64(total+2))
		}
		out.TimeSeriesServiceStatistics = append(out.TimeSeriesServiceStatistics, row)
	}
	slices.SortFunc(out.TimeSeriesServiceStatistics, func(a, b timeSeriesRow) int { return cmp.Compare(a.Timestamp, b.Timestamp) })
	return out, nil
}

// forecast is the band in which the faults of n requests are expected at a rate p, three
// deviations to both sides, at least up to three.
func forecast(n int, p float64) *forecastOut {
	mean := float64(n) * p
	dev := 3 * math.Sqrt(mean*(1-p))
	return &forecastOut{FaultCountHigh: max(3, int(math.Ceil(mean+dev))), FaultCountLow: max(0, int(math.Floor(mean-dev)))}
}

// chosen reports whether a selector chooses a node, by its name or that of its segments.
func chosen(sel filterexpr.Selector, p place) bool {
	return (sel.Name == "" || sel.Name == p.name || sel.Name == p.segment) && (sel.Type == "" || sel.Type == p.kind) && (sel.Account == "" || sel.Account == p.account)
}
