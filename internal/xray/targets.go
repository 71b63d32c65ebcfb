package xray

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/meta"
)

const (
	// reportInterval is how often clients report.
	reportInterval = 10 * time.Second
	// activeFor is how long a client that does not report keeps its share.
	activeFor = 3 * reportInterval
	// quotaFor is how long a quota is good for.
	quotaFor = 5 * time.Minute
	// maxReportAge is how old a report may be.
	maxReportAge = 5 * time.Minute
	// statisticsFor is how long counts are kept.
	statisticsFor = time.Hour
	// smoothing is the weight of the newest report in a client's demand.
	smoothing = 0.5
	// boostFor is how long a boost is good for, wantedAnomalies how many anomalies of a report it
	// is meant to sample.
	boostFor        = time.Minute
	wantedAnomalies = 10
	// maxClients bounds the clients of a rule that are remembered.
	maxClients = 10_000
)

// demandOf is a client's demand after a report, in requests a second.
func demandOf(old *meta.SamplingClient, r meta.SamplingReport, now time.Time) float64 {
	rate := float64(r.Requests) / reportInterval.Seconds()
	if old == nil {
		return rate
	}
	if gap := now.Sub(old.Last).Seconds(); gap > 1 {
		rate = float64(r.Requests) / gap
	}
	return smoothing*rate + (1-smoothing)*old.Demand
}

// shares divides a reservoir among clients, which are in the order of their names, by their
// demand: whole parts first, what is left by the largest remainders.
func shares(clients []meta.SamplingClient, reservoir int64) map[string]int64 {
	sum := 0.0
	for _, c := range clients {
		sum += c.Demand
	}
	out := map[string]int64{}
	rest := map[string]float64{}
	left := reservoir
	for _, c := range clients {
		part := float64(reservoir) / float64(len(clients))
		if sum > 0 {
			part = float64(reservoir) * c.Demand / sum
		}
		out[c.Client] = int64(math.Floor(part + 1e-9))
		rest[c.Client] = part - float64(out[c.Client])
		left -= out[c.Client]
	}
	clients = slices.Clone(clients)
	slices.SortStableFunc(clients, func(a, b meta.SamplingClient) int { return cmp.Compare(rest[b.Client], rest[a.Client]) })
	for _, c := range clients {
		if left <= 0 {
			break
		}
		out[c.Client]++
		left--
	}
	return out
}

type statisticsDocument struct {
	RuleName, ClientID                      string
	Timestamp                               *float64
	RequestCount, SampledCount, BorrowCount int64
}

type boostDocument struct {
	RuleName, ServiceName                         string
	Timestamp                                     *float64
	AnomalyCount, TotalCount, SampledAnomalyCount int64
}

type samplingTargetsIn struct {
	SamplingStatisticsDocuments      *[]statisticsDocument
	SamplingBoostStatisticsDocuments []boostDocument
}

type targetDocument struct {
	RuleName          string
	FixedRate         float64
	ReservoirQuota    int64
	ReservoirQuotaTTL float64
	Interval          int
	SamplingBoost     *boostOut `json:",omitempty"`
}

type boostOut struct{ BoostRate, BoostRateTTL float64 }

type unprocessedStatistics struct{ RuleName, ErrorCode, Message string }

type samplingTargetsOut struct {
	SamplingTargetDocuments    []targetDocument
	LastRuleModification       float64
	UnprocessedStatistics      []unprocessedStatistics
	UnprocessedBoostStatistics []unprocessedStatistics
}

// getSamplingTargets counts what clients report, shares out the reservoirs and gives boosts. Codes of
// refused reports are like HTTP's: SDKs look at the first digit.
func (s *Server) getSamplingTargets(ctx context.Context, _ *awsapi.Request, in samplingTargetsIn) (*samplingTargetsOut, error) {
	if in.SamplingStatisticsDocuments == nil {
		return nil, missing("SamplingStatisticsDocuments")
	}
	list, err := s.rules(ctx)
	if err != nil {
		return nil, err
	}
	modified, err := s.lastModification(ctx, list)
	if err != nil {
		return nil, err
	}
	out := &samplingTargetsOut{
		SamplingTargetDocuments: []targetDocument{}, LastRuleModification: modified,
		UnprocessedStatistics: []unprocessedStatistics{}, UnprocessedBoostStatistics: []unprocessedStatistics{},
	}
	rules := map[string]samplingRule{}
	for _, r := range list {
		rules[r.RuleName] = r
	}
	at := time.Now()
	boosts := map[string]*boostOut{}
	for _, d := range in.SamplingBoostStatisticsDocuments {
		rule, known := rules[d.RuleName]
		refuse := func(code, msg string) {
			out.UnprocessedBoostStatistics = append(out.UnprocessedBoostStatistics, unprocessedStatistics{d.RuleName, code, msg})
		}
		switch {
		case !known:
			refuse("404", "There is no such sampling rule.")
		case d.ServiceName == "" || len(d.ServiceName) > 64 || d.Timestamp == nil || d.AnomalyCount < 0 || d.TotalCount < d.AnomalyCount || d.SampledAnomalyCount < 0:
			refuse("400", "The report lacks a member or has a count that can not be.")
		case epoch(at)-*d.Timestamp > maxReportAge.Seconds():
			refuse("400", "The report is too old.")
		default:
			if boosts[d.RuleName], err = s.boost(ctx, rule, d, at); err != nil {
				return nil, err
			}
		}
	}
	var reports []meta.SamplingReport
	for _, d := range *in.SamplingStatisticsDocuments {
		_, known := rules[d.RuleName]
		refuse := func(code, msg string) {
			out.UnprocessedStatistics = append(out.UnprocessedStatistics, unprocessedStatistics{d.RuleName, code, msg})
		}
		switch {
		case !known:
			refuse("404", "There is no such sampling rule.")
		case d.ClientID == "" || len(d.ClientID) > 256 || d.Timestamp == nil || d.RequestCount < 0 || d.SampledCount < 0 || d.BorrowCount < 0:
			refuse("400", "The report lacks a member or has a negative count.")
		case epoch(at)-*d.Timestamp > maxReportAge.Seconds():
			refuse("400", "The report is too old.")
		default:
			reports = append(reports, meta.SamplingReport{Rule: d.RuleName, Client: d.ClientID, Requests: d.RequestCount, Borrowed: d.BorrowCount, Sampled: d.SampledCount})
		}
	}
	if len(reports) == 0 {
		return out, nil
	}
	clients, err := s.cfg.Meta.ReportSampling(ctx, at.Truncate(reportInterval), at, at.Add(-activeFor), maxClients, reports, func(old *meta.SamplingClient, r meta.SamplingReport) float64 {
		return demandOf(old, r, at)
	})
	if err != nil {
		return nil, fmt.Errorf("count reports of sampling: %w", err)
	}
	for _, r := range reports {
		rule := rules[r.Rule]
		out.SamplingTargetDocuments = append(out.SamplingTargetDocuments, targetDocument{
			r.Rule, rule.FixedRate, shares(clients[r.Rule], rule.ReservoirSize)[r.Client], epoch(at.Add(quotaFor).Truncate(time.Second)), int(reportInterval / time.Second), boosts[r.Rule],
		})
	}
	return out, nil
}

// boost answers a report of anomalies: the boost that the service has of the rule or now gets,
// nil for none. It gets one when hardly any of its anomalies were sampled, as high as it takes to
// sample wantedAnomalies of as many in the next report, and no other before the rule's
// cooldown is over.
func (s *Server) boost(ctx context.Context, rule samplingRule, d boostDocument, at time.Time) (*boostOut, error) {
	limits := rule.SamplingRateBoost
	if limits == nil {
		return nil, nil
	}
	given, err := s.cfg.Meta.SamplingBoosts(ctx, rule.RuleName)
	if err != nil {
		return nil, err
	}
	for _, b := range given {
		if b.Service != d.ServiceName {
			continue
		}
		if at.Before(b.Expires) {
			return &boostOut{b.Rate, epoch(b.Expires)}, nil
		}
		if at.Before(b.Given.Add(time.Duration(*limits.CooldownWindowMinutes) * time.Minute)) {
			return nil, nil
		}
	}
	if d.SampledAnomalyCount >= min(d.AnomalyCount, wantedAnomalies) {
		return nil, nil
	}
	rate := min(*limits.MaxRate, wantedAnomalies/float64(d.AnomalyCount))
	if rate <= rule.FixedRate {
		return nil, nil
	}
	b := meta.SamplingBoost{Rule: rule.RuleName, Service: d.ServiceName, Rate: rate, Given: at, Expires: at.Add(boostFor).Truncate(time.Second)}
	if err := s.cfg.Meta.PutSamplingBoost(ctx, b); err != nil {
		return nil, fmt.Errorf("keep a boost of sampling: %w", err)
	}
	return &boostOut{b.Rate, epoch(b.Expires)}, nil
}

// boosted returns the boosts of a rule that are still good, by service.
func (s *Server) boosted(ctx context.Context, rule string) (map[string]float64, error) {
	list, err := s.cfg.Meta.SamplingBoosts(ctx, rule)
	out := map[string]float64{}
	for _, b := range list {
		if time.Now().Before(b.Expires) {
			out[b.Service] = b.Rate
		}
	}
	return out, err
}

type statisticSummary struct {
	RuleName                                string
	Timestamp                               float64
	RequestCount, BorrowCount, SampledCount int64
}

type statisticsOut struct{ SamplingStatisticSummaries []statisticSummary }

func (s *Server) getSamplingStatistics(ctx context.Context, _ *awsapi.Request, _ pageIn) (*statisticsOut, error) {
	list, err := s.cfg.Meta.SamplingWindows(ctx, time.Now().Add(-statisticsFor))
	if err != nil {
		return nil, err
	}
	out := &statisticsOut{[]statisticSummary{}}
	for _, w := range list {
		out.SamplingStatisticSummaries = append(out.SamplingStatisticSummaries, statisticSummary{w.Rule, epoch(w.At), w.Requests, w.Borrowed, w.Sampled})
	}
	return out, nil
}
