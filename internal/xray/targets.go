package xray

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
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
	// maxClients bounds the clients of a rule that are remembered.
	maxClients = 10_000
)

// targets remembers what clients report of their sampling. The zero value is ready.
type targets struct {
	mu    sync.Mutex // guards below
	rules map[string]*ruleUse
}

type ruleUse struct {
	clients map[string]*clientUse
	// windows are counts by the start of a window of reportInterval, in epoch seconds.
	windows map[int64]*useCounts
}

type clientUse struct {
	last   time.Time
	demand float64 // requests a second
}

type useCounts struct{ requests, borrowed, sampled int64 }

// report takes a client's counts and returns its quota of the reservoir.
func (t *targets) report(rule samplingRule, d statisticsDocument, now time.Time) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.rules == nil {
		t.rules = map[string]*ruleUse{}
	}
	use := t.rules[rule.RuleName]
	if use == nil {
		use = &ruleUse{map[string]*clientUse{}, map[int64]*useCounts{}}
		t.rules[rule.RuleName] = use
	}
	window := now.Truncate(reportInterval).Unix()
	if use.windows[window] == nil {
		use.windows[window] = &useCounts{}
		for w := range use.windows {
			if now.Sub(time.Unix(w, 0)) > statisticsFor {
				delete(use.windows, w)
			}
		}
	}
	c := use.windows[window]
	c.requests, c.borrowed, c.sampled = c.requests+d.RequestCount, c.borrowed+d.BorrowCount, c.sampled+d.SampledCount

	for id, x := range use.clients {
		if now.Sub(x.last) > activeFor {
			delete(use.clients, id)
		}
	}
	client := use.clients[d.ClientID]
	rate := float64(d.RequestCount) / reportInterval.Seconds()
	switch {
	case client != nil:
		if gap := now.Sub(client.last).Seconds(); gap > 1 {
			rate = float64(d.RequestCount) / gap
		}
		client.demand = smoothing*rate + (1-smoothing)*client.demand
		client.last = now
	case len(use.clients) < maxClients:
		use.clients[d.ClientID] = &clientUse{now, rate}
	default:
		return 0
	}
	return use.shares(rule.ReservoirSize)[d.ClientID]
}

// shares divides a reservoir among the clients by their demand: whole parts first, what is left by
// the largest remainders.
func (u *ruleUse) shares(reservoir int64) map[string]int64 {
	ids := sortedKeys(u.clients)
	sum := 0.0
	for _, c := range u.clients {
		sum += c.demand
	}
	out := map[string]int64{}
	rest := map[string]float64{}
	left := reservoir
	for _, id := range ids {
		part := float64(reservoir) / float64(len(ids))
		if sum > 0 {
			part = float64(reservoir) * u.clients[id].demand / sum
		}
		out[id] = int64(math.Floor(part + 1e-9))
		rest[id] = part - float64(out[id])
		left -= out[id]
	}
	slices.SortStableFunc(ids, func(a, b string) int { return cmp.Compare(rest[b], rest[a]) })
	for _, id := range ids {
		if left <= 0 {
			break
		}
		out[id]++
		left--
	}
	return out
}

// statistics lists the counts of rules by window, the oldest first.
func (t *targets) statistics(now time.Time) []statisticSummary {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := []statisticSummary{}
	for name, use := range t.rules {
		for w, c := range use.windows {
			if now.Sub(time.Unix(w, 0)) <= statisticsFor {
				out = append(out, statisticSummary{name, float64(w), c.requests, c.borrowed, c.sampled})
			}
		}
	}
	slices.SortFunc(out, func(a, b statisticSummary) int {
		return cmp.Or(cmp.Compare(a.Timestamp, b.Timestamp), strings.Compare(a.RuleName, b.RuleName))
	})
	return out
}

type statisticsDocument struct {
	RuleName, ClientID                      string
	Timestamp                               *float64
	RequestCount, SampledCount, BorrowCount int64
}

type boostDocument struct{ RuleName, ServiceName string }

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
}

type unprocessedStatistics struct{ RuleName, ErrorCode, Message string }

type samplingTargetsOut struct {
	SamplingTargetDocuments    []targetDocument
	LastRuleModification       float64
	UnprocessedStatistics      []unprocessedStatistics
	UnprocessedBoostStatistics []unprocessedStatistics
}

// getSamplingTargets counts what clients report and shares out the reservoirs. Codes of refused
// reports are like HTTP's: SDKs look at the first digit. Boosts are never given.
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
	at := time.Now()
	for _, d := range *in.SamplingStatisticsDocuments {
		i := slices.IndexFunc(list, func(r samplingRule) bool { return r.RuleName == d.RuleName })
		switch {
		case i < 0:
			out.UnprocessedStatistics = append(out.UnprocessedStatistics, unprocessedStatistics{d.RuleName, "404", "There is no such sampling rule."})
		case d.ClientID == "" || d.Timestamp == nil || d.RequestCount < 0 || d.SampledCount < 0 || d.BorrowCount < 0:
			out.UnprocessedStatistics = append(out.UnprocessedStatistics, unprocessedStatistics{d.RuleName, "400", "The report lacks a member or has a negative count."})
		case epoch(at)-*d.Timestamp > maxReportAge.Seconds():
			out.UnprocessedStatistics = append(out.UnprocessedStatistics, unprocessedStatistics{d.RuleName, "400", "The report is too old."})
		default:
			quota := s.targets.report(list[i], d, at)
			out.SamplingTargetDocuments = append(out.SamplingTargetDocuments, targetDocument{
				d.RuleName, list[i].FixedRate, quota, epoch(at.Add(quotaFor).Truncate(time.Second)), int(reportInterval / time.Second),
			})
		}
	}
	for _, d := range in.SamplingBoostStatisticsDocuments {
		if !slices.ContainsFunc(list, func(r samplingRule) bool { return r.RuleName == d.RuleName }) {
			out.UnprocessedBoostStatistics = append(out.UnprocessedBoostStatistics, unprocessedStatistics{d.RuleName, "404", "There is no such sampling rule."})
		}
	}
	return out, nil
}

type statisticSummary struct {
	RuleName                                string
	Timestamp                               float64
	RequestCount, BorrowCount, SampledCount int64
}

type statisticsOut struct{ SamplingStatisticSummaries []statisticSummary }

func (s *Server) getSamplingStatistics(_ context.Context, _ *awsapi.Request, _ pageIn) (*statisticsOut, error) {
	return &statisticsOut{s.targets.statistics(time.Now())}, nil
}
