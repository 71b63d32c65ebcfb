package xray

import (
	"context"
	"errors"
	"math"
	"net/http"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
)

// Codes of the API's errors.
const (
	codeInvalidRequest = "InvalidRequestException"
	codeNotFound       = "ResourceNotFoundException"
	codeThrottled      = "ThrottledException"
	codeRuleLimit      = "RuleLimitExceededException"
	codeTooManyTags    = "TooManyTagsException"
)

func (s *Server) operations() map[string]awsapi.Operation {
	return map[string]awsapi.Operation{
		"/TraceSegments":               awsapi.Op(s.putTraceSegments),
		"/TelemetryRecords":            awsapi.Op(s.putTelemetryRecords),
		"/TraceSummaries":              awsapi.Op(s.getTraceSummaries),
		"/Traces":                      awsapi.Op(s.batchGetTraces),
		"/TraceGraph":                  awsapi.Op(s.getTraceGraph),
		"/ServiceGraph":                awsapi.Op(s.getServiceGraph),
		"/TimeSeriesServiceStatistics": awsapi.Op(s.getTimeSeries),

		"/CreateGroup": awsapi.Op(s.createGroup),
		"/GetGroup":    awsapi.Op(s.getGroup),
		"/Groups":      awsapi.Op(s.getGroups),
		"/UpdateGroup": awsapi.Op(s.updateGroup),
		"/DeleteGroup": awsapi.Op(s.deleteGroup),

		"/CreateSamplingRule":         awsapi.Op(s.createSamplingRule),
		"/UpdateSamplingRule":         awsapi.Op(s.updateSamplingRule),
		"/DeleteSamplingRule":         awsapi.Op(s.deleteSamplingRule),
		"/GetSamplingRules":           awsapi.Op(s.getSamplingRules),
		"/SamplingTargets":            awsapi.Op(s.getSamplingTargets),
		"/SamplingStatisticSummaries": awsapi.Op(s.getSamplingStatistics),

		"/InsightSummaries":   awsapi.Op(s.getInsightSummaries),
		"/Insight":            awsapi.Op(s.getInsight),
		"/InsightEvents":      awsapi.Op(s.getInsightEvents),
		"/InsightImpactGraph": awsapi.Op(s.getInsightImpactGraph),

		"/EncryptionConfig":              awsapi.Op(s.getEncryption),
		"/PutEncryptionConfig":           awsapi.Op(s.putEncryption),
		"/ListTagsForResource":           awsapi.Op(s.listTags),
		"/TagResource":                   awsapi.Op(s.tag),
		"/UntagResource":                 awsapi.Op(s.untag),
		"/PutResourcePolicy":             awsapi.Op(s.putPolicy),
		"/ListResourcePolicies":          awsapi.Op(s.listPolicies),
		"/DeleteResourcePolicy":          awsapi.Op(s.deletePolicy),
		"/GetTraceSegmentDestination":    awsapi.Op(s.getDestination),
		"/UpdateTraceSegmentDestination": awsapi.Op(s.updateDestination),
		"/GetIndexingRules":              awsapi.Op(s.getIndexingRules),
		"/UpdateIndexingRule":            awsapi.Op(s.updateIndexingRule),

		"/StartTraceRetrieval":     awsapi.Op(s.startRetrieval),
		"/ListRetrievedTraces":     awsapi.Op(s.listRetrieved),
		"/GetRetrievedTracesGraph": awsapi.Op(s.retrievedGraph),
		"/CancelTraceRetrieval":    awsapi.Op(s.cancelRetrieval),
	}
}

// empty is the input or output of operations that have none.
type empty struct{}

// pageIn is the input of lists that are always one page.
type pageIn struct{ NextToken string }

func tenantOf(r *awsapi.Request) tenant {
	return tenant{r.Caller.Environment, r.Caller.Account, r.Caller.Region}
}

func missing(member string) error {
	return awsapi.Errorf(codeInvalidRequest, "%s is required.", member)
}

func errThrottled() error {
	return &awsapi.Error{Status: http.StatusTooManyRequests, Code: codeThrottled, Message: "The server is busy; try again."}
}

func notFound(format string, args ...any) error {
	e := awsapi.Errorf(codeNotFound, format, args...)
	e.Status = http.StatusNotFound
	return e
}

func apiErr(err error) *awsapi.Error {
	var e *awsapi.Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}

// timeRange reads the two times that many operations require.
func timeRange(start, end *float64) (from, to time.Time, err error) {
	for name, v := range map[string]*float64{"StartTime": start, "EndTime": end} {
		if v == nil {
			return from, to, missing(name)
		}
		if *v < 0 || *v > maxSeconds || math.IsNaN(*v) {
			return from, to, awsapi.Errorf(codeInvalidRequest, "%s is not a time that the server knows.", name)
		}
	}
	if *start > *end {
		return from, to, awsapi.Errorf(codeInvalidRequest, "StartTime can not be after EndTime.")
	}
	// The largest times leave room for what is added to them.
	edge := maxSeconds - 7*plausible.Seconds()
	return time.Unix(0, nanos(min(*start, edge))), time.Unix(0, nanos(min(*end, edge))), nil
}

func epoch(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

type telemetryRecord struct {
	Timestamp                                                                               *float64
	SegmentsReceivedCount, SegmentsSentCount, SegmentsSpilloverCount, SegmentsRejectedCount int64
}

type telemetryIn struct {
	TelemetryRecords *[]telemetryRecord
	EC2InstanceID    string `json:"EC2InstanceId"`
	Hostname         string
	ResourceARN      string
}

func (s *Server) putTelemetryRecords(_ context.Context, _ *awsapi.Request, in telemetryIn) (*empty, error) {
	if in.TelemetryRecords == nil {
		return nil, missing("TelemetryRecords")
	}
	for name, x := range map[string]struct {
		v   string
		max int
	}{"EC2InstanceId": {in.EC2InstanceID, 20}, "Hostname": {in.Hostname, 255}, "ResourceARN": {in.ResourceARN, 500}} {
		if len(x.v) > x.max {
			return nil, awsapi.Errorf(codeInvalidRequest, "%s is longer than %d characters.", name, x.max)
		}
	}
	for _, r := range *in.TelemetryRecords {
		if r.Timestamp == nil {
			return nil, missing("Timestamp")
		}
		s.reports.received.Add(r.SegmentsReceivedCount)
		s.reports.rejected.Add(r.SegmentsRejectedCount)
		s.reports.spilled.Add(r.SegmentsSpilloverCount)
	}
	return &empty{}, nil
}
