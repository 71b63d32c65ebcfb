package xray

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

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
	if _, ok := sel.(filterexpr.Service); in.ForecastStatistics && !ok {
		return nil, awsapi.Errorf(codeInvalidRequest, "ForecastStatistics needs an EntitySelectorExpression that chooses a service.")
	}
	t := tenantOf(r)
	where, err := s.compileGroup(ctx, t, groupRef{in.GroupName, in.GroupARN})
	if err != nil {
		return nil, err
	}
	buckets, err := s.series(ctx, t, from, to, period, where, sel)
	if err != nil {
		return nil, err
	}
	past := map[int64]*tally{}
	if in.ForecastStatistics {
		if past, err = s.series(ctx, t, from.Add(-baseMinutes*time.Minute), from, period, where, sel); err != nil {
			return nil, err
		}
	}
	out := &timeSeriesOut{TimeSeriesServiceStatistics: []timeSeriesRow{}}
	for k, b := range buckets {
		st := b.stats()
		row := timeSeriesRow{Timestamp: float64(k), ResponseTimeHistogram: b.responses.histogram()}
		if _, ok := sel.(filterexpr.Service); ok {
			row.ServiceSummaryStatistics = &st
		} else {
			row.EdgeSummaryStatistics = &st
		}
		if in.ForecastStatistics {
			row.ServiceForecastStatistics = forecast(b.total, k, past, buckets)
		}
		out.TimeSeriesServiceStatistics = append(out.TimeSeriesServiceStatistics, row)
	}
	slices.SortFunc(out.TimeSeriesServiceStatistics, func(a, b timeSeriesRow) int { return cmp.Compare(a.Timestamp, b.Timestamp) })
	return out, nil
}

// forecast is the band in which the faults of n requests in a bucket are expected after the hour
// before it.
func forecast(n int, bucket int64, series ...map[int64]*tally) *forecastOut {
	requests, faults := 0, 0
	for _, part := range series {
		for k, c := range part {
			if k >= bucket-baseMinutes*60 && k < bucket {
				requests, faults = requests+c.total, faults+c.faults
			}
		}
	}
	low, high := band(n, requests, faults)
	return &forecastOut{FaultCountHigh: int(math.Ceil(high)), FaultCountLow: int(math.Floor(low))}
}

// series returns what a selector chooses by the bucket in which it begins; nil chooses the edges from
// clients.
func (s *Server) series(ctx context.Context, t tenant, from, to time.Time, period int64, where query.Expr, sel filterexpr.Node) (map[int64]*tally, error) {
	g := newGraph(t.account)
	g.bucket, g.from, g.to = period, seconds(from.UnixNano()), seconds(to.UnixNano())
	var stats query.Stats
	if err := s.fill(ctx, t, g, from, to, where, &stats); err != nil {
		return nil, err
	}
	buckets := map[int64]*tally{}
	add := func(bucket int64, c *tally) {
		if c.total > 0 {
			tallyOf(buckets, bucket).merge(c, false)
		}
	}
	if service, ok := sel.(filterexpr.Service); ok {
		for k, c := range g.nodes {
			if chosen(service.Node, k.place) {
				add(k.bucket, c)
			}
		}
		return buckets, nil
	}
	edge, isEdge := sel.(filterexpr.Edge)
	for k, c := range g.edges {
		client := k.source.kind == filterexpr.TypeClient
		switch {
		case k.link:
		case !isEdge && client, isEdge && chosen(edge.Source, k.source) && chosen(edge.Target, k.target) && (!client || edge.Source.Type == filterexpr.TypeClient):
			add(k.bucket, c)
		}
	}
	return buckets, nil
}

// chosen reports whether a selector chooses a node, by its name or that of its segments.
func chosen(sel filterexpr.Selector, p place) bool {
	return (sel.Name == "" || sel.Name == p.name || sel.Name == p.segment) && (sel.Type == "" || sel.Type == p.kind) && (sel.Account == "" || sel.Account == p.account)
}
