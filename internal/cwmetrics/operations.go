package cwmetrics

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/ingest"
	"github.com/trefoil-o11y/trefoil/internal/query"
)

// The limits, as on AWS.
const (
	maxData       = 1000 // of PutMetricData
	maxValues     = 150  // of a datum
	maxDims       = 30
	maxDatapoints = 1440    // of GetMetricStatistics
	maxPage       = 100_800 // of GetMetricData
	maxQueries    = 500
	listPage      = 500
	listSpan      = 14 * 24 * time.Hour
	putPast       = 14 * 24 * time.Hour
	putAhead      = 2 * time.Hour
)

type operation func(s *Server, ctx context.Context, caller awsapi.Caller, in map[string]any) (object, error)

var operations = map[string]operation{
	"PutMetricData":       op((*Server).putMetricData),
	"ListMetrics":         op((*Server).listMetrics),
	"GetMetricStatistics": op((*Server).getMetricStatistics),
	"GetMetricData":       op((*Server).getMetricData),
}

// op makes an operation of a function with typed input; members that the type has not are ignored.
func op[In any](f func(s *Server, ctx context.Context, caller awsapi.Caller, in In) (object, error)) operation {
	return func(s *Server, ctx context.Context, caller awsapi.Caller, tree map[string]any) (object, error) {
		text, err := json.Marshal(tree)
		if err != nil {
			return nil, malformed(err)
		}
		var in In
		if err := json.Unmarshal(text, &in); err != nil {
			return nil, malformed(err)
		}
		return f(s, ctx, caller, in)
	}
}

func invalidValue(format string, args ...any) *fault {
	return &fault{http.StatusBadRequest, "InvalidParameterValueException", "InvalidParameterValue", fmt.Sprintf(format, args...)}
}

func invalidCombination(format string, args ...any) *fault {
	return &fault{http.StatusBadRequest, "InvalidParameterCombinationException", "InvalidParameterCombination", fmt.Sprintf(format, args...)}
}

func missing(member string) *fault {
	return &fault{http.StatusBadRequest, "MissingRequiredParameterException", "MissingParameter", fmt.Sprintf("The parameter %s is required.", member)}
}

// number is a number, which forms give as text.
type number float64

// UnmarshalJSON implements json.Unmarshaler.
func (n *number) UnmarshalJSON(text []byte) error {
	f, err := strconv.ParseFloat(strings.Trim(string(text), `"`), 64)
	if err != nil {
		return fmt.Errorf("%s is no number", text)
	}
	*n = number(f)
	return nil
}

// stamp is a time: seconds since the epoch, or ISO 8601 in forms.
type stamp struct{ time.Time }

// UnmarshalJSON implements json.Unmarshaler.
func (s *stamp) UnmarshalJSON(text []byte) error {
	if f, err := strconv.ParseFloat(strings.Trim(string(text), `"`), 64); err == nil {
		if !(math.Abs(f) < 9e9) {
			return fmt.Errorf("%s is no time", text)
		}
		s.Time = time.UnixMilli(int64(math.Round(f * 1000))).UTC()
		return nil
	}
	var iso string
	if err := json.Unmarshal(text, &iso); err != nil {
		return err
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02T15:04Z07:00", "2006-01-02"} {
		if t, err := time.Parse(layout, iso); err == nil {
			s.Time = t.UTC()
			return nil
		}
	}
	return fmt.Errorf("%q is no time", iso)
}

// flag is a boolean, which forms give as text.
type flag bool

// UnmarshalJSON implements json.Unmarshaler.
func (f *flag) UnmarshalJSON(text []byte) error {
	b, err := strconv.ParseBool(strings.Trim(string(text), `"`))
	*f = flag(b)
	return err
}

type dimension struct {
	Name  string
	Value string
}

// pairs checks dimensions.
func pairs(of string, dims []dimension) ([][2]string, error) {
	if len(dims) > maxDims {
		return nil, invalidValue("The collection %s must not have a size greater than %d.", of, maxDims)
	}
	var out [][2]string
	seen := map[string]bool{}
	for i, d := range dims {
		at := fmt.Sprintf("%s.member.%d", of, i+1)
		switch {
		case d.Name == "" || len(d.Name) > 255 || strings.HasPrefix(d.Name, ":"):
			return nil, invalidValue("The value %s for parameter %s.Name is invalid.", d.Name, at)
		case d.Value == "" || len(d.Value) > 1024:
			return nil, invalidValue("The value %s for parameter %s.Value is invalid.", d.Value, at)
		case seen[d.Name]:
			return nil, invalidValue("The parameter %s has two values for %s.", of, d.Name)
		}
		seen[d.Name] = true
		out = append(out, [2]string{d.Name, d.Value})
	}
	return out, nil
}

type putMetricDataInput struct {
	Namespace  string
	MetricData []struct {
		MetricName        string
		Dimensions        []dimension
		Timestamp         *stamp
		Value             *number
		Values            []number
		Counts            []number
		StatisticValues   *struct{ SampleCount, Sum, Minimum, Maximum *number }
		Unit              string
		StorageResolution *number
	}
}

func namespace(v string) error {
	switch {
	case v == "":
		return missing("Namespace")
	case len(v) > 255 || strings.HasPrefix(v, ":"):
		return invalidValue("The value %s for parameter Namespace is invalid.", v)
	}
	return nil
}

// finite reports whether a value may be kept: CloudWatch refuses NaN, infinities and what is beyond 2^360.
func finite(n number) bool { return math.Abs(float64(n)) <= math.Ldexp(1, 360) }

func (s *Server) putMetricData(ctx context.Context, caller awsapi.Caller, in putMetricDataInput) (object, error) {
	if err := namespace(in.Namespace); err != nil {
		return nil, err
	}
	if strings.HasPrefix(in.Namespace, "AWS/") {
		return nil, invalidValue("The value AWS/ for parameter Namespace is invalid.")
	}
	if len(in.MetricData) == 0 {
		return nil, missing("MetricData")
	}
	if len(in.MetricData) > maxData {
		return nil, invalidValue("The collection MetricData must not have a size greater than %d.", maxData)
	}
	now := time.Now().UTC()
	var data []Datum
	for i, d := range in.MetricData {
		at := fmt.Sprintf("MetricData.member.%d", i+1)
		dims, err := pairs(at+".Dimensions", d.Dimensions)
		if err != nil {
			return nil, err
		}
		t := now
		if d.Timestamp != nil {
			t = d.Timestamp.Time
		}
		switch {
		case d.MetricName == "":
			return nil, missing(at + ".MetricName")
		case len(d.MetricName) > 255:
			return nil, invalidValue("The value %s for parameter %s.MetricName is invalid.", d.MetricName, at)
		case d.Unit != "" && !slices.Contains(units, d.Unit):
			return nil, invalidValue("The value %s for parameter %s.Unit is invalid. Valid values are: [%s]", d.Unit, at, strings.Join(units, ", "))
		case d.StorageResolution != nil && *d.StorageResolution != 1 && *d.StorageResolution != 60:
			return nil, invalidValue("The value %g for parameter %s.StorageResolution is invalid.", float64(*d.StorageResolution), at)
		case t.Before(now.Add(-putPast)) || t.After(now.Add(putAhead)):
			return nil, invalidValue("The parameter %s.Timestamp must specify a time within the past two weeks and no later than two hours in the future.", at)
		}
		add := func(v, count number) error {
			if !finite(v) || !finite(count) || count < 0 {
				return invalidValue("The value %g for parameter %s.Value is invalid.", float64(v), at)
			}
			data = append(data, Of(in.Namespace, d.MetricName, d.Unit, dims, t, float64(v), float64(count)))
			return nil
		}
		ways := 0
		for _, given := range []bool{d.Value != nil, len(d.Values) > 0, d.StatisticValues != nil} {
			if given {
				ways++
			}
		}
		if ways != 1 {
			return nil, invalidCombination("At least one of the parameters %s.Value, %s.Values and %s.StatisticValues, and not more, must be specified.", at, at, at)
		}
		switch st := d.StatisticValues; {
		case d.Value != nil:
			if err := add(*d.Value, 1); err != nil {
				return nil, err
			}
		case st != nil:
			if st.SampleCount == nil || st.Sum == nil || st.Minimum == nil || st.Maximum == nil {
				return nil, missing(at + ".StatisticValues.SampleCount, .Sum, .Minimum and .Maximum")
			}
			if !finite(*st.SampleCount) || *st.SampleCount <= 0 || !finite(*st.Sum) || !finite(*st.Minimum) || !finite(*st.Maximum) || *st.Minimum > *st.Maximum {
				return nil, invalidValue("The value of the parameter %s.StatisticValues is invalid.", at)
			}
			data = append(data, Datum{in.Namespace, d.MetricName, d.Unit, dims, t, float64(*st.SampleCount), float64(*st.Sum), float64(*st.Minimum), float64(*st.Maximum)})
		default:
			if len(d.Values) > maxValues || len(d.Counts) > 0 && len(d.Counts) != len(d.Values) {
				return nil, invalidValue("The parameters %s.Values and %s.Counts must have the same size, of up to %d.", at, at, maxValues)
			}
			for k, v := range d.Values {
				count := number(1)
				if len(d.Counts) > 0 {
					count = d.Counts[k]
				}
				if err := add(v, count); err != nil {
					return nil, err
				}
			}
		}
	}
	b, err := s.Batch(ctx, caller.Environment, data)
	if err != nil {
		return nil, err
	}
	if err := s.cfg.Queue.Append(ctx, ingest.Metrics, b); err != nil {
		return nil, &fault{http.StatusServiceUnavailable, "ServiceUnavailable", "ServiceUnavailable", "The service cannot complete the request."}
	}
	return nil, nil
}

type listMetricsInput struct {
	Namespace      string
	MetricName     string
	Dimensions     []struct{ Name, Value string }
	NextToken      string
	RecentlyActive string
}

func (s *Server) listMetrics(ctx context.Context, caller awsapi.Caller, in listMetricsInput) (object, error) {
	span := listSpan
	switch in.RecentlyActive {
	case "":
	case "PT3H":
		span = 3 * time.Hour
	default:
		return nil, invalidValue("The value %s for parameter RecentlyActive is invalid. Valid values are: [PT3H]", in.RecentlyActive)
	}
	if len(in.Dimensions) > 10 {
		return nil, invalidValue("The collection Dimensions must not have a size greater than 10.")
	}
	var where []query.Expr
	if in.Namespace != "" {
		where = append(where, query.EqStr(fieldNamespace, in.Namespace))
	}
	if in.MetricName != "" {
		where = append(where, query.EqStr(fieldMetric, in.MetricName))
	}
	all, err := s.list(ctx, caller.Environment, time.Now().Add(-span), query.All(where...))
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(m series) bool {
		for _, want := range in.Dimensions {
			if !slices.ContainsFunc(m.dimensions, func(d [2]string) bool { return d[0] == want.Name && (want.Value == "" || d[1] == want.Value) }) {
				return true
			}
		}
		return false
	})
	token := in.NextToken
	in.NextToken = ""
	start, hash, err := readToken(token, in)
	if err != nil {
		return nil, err
	}
	start = min(start, len(all))
	end := min(start+listPage, len(all))
	metrics := list{}
	for _, m := range all[start:end] {
		dims := list{}
		for _, d := range m.dimensions {
			dims = append(dims, object{{"Name", d[0]}, {"Value", d[1]}})
		}
		metrics = append(metrics, object{{"Namespace", m.namespace}, {"MetricName", m.metric}, {"Dimensions", dims}})
	}
	out := object{{"Metrics", metrics}}
	if end < len(all) {
		out = append(out, member{"NextToken", makeToken(end, hash)})
	}
	return out, nil
}

// makeToken makes the token of a page that begins at a place; it belongs to one request.
func makeToken(at int, hash string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.Itoa(at) + "/" + hash))
}

func readToken(token string, request any) (at int, hash string, err error) {
	text, err := json.Marshal(request)
	if err != nil {
		return 0, "", err
	}
	sum := sha256.Sum256(text)
	hash = hex.EncodeToString(sum[:8])
	if token == "" {
		return 0, hash, nil
	}
	raw, derr := base64.RawURLEncoding.DecodeString(token)
	digits, of, ok := strings.Cut(string(raw), "/")
	at, aerr := strconv.Atoi(digits)
	if derr != nil || aerr != nil || !ok || of != hash || at < 0 {
		return 0, "", &fault{http.StatusBadRequest, "InvalidNextToken", "InvalidNextToken", "The next token is invalid."}
	}
	return at, hash, nil
}

// period checks a period in seconds.
func period(member string, n *number) (time.Duration, error) {
	if n == nil {
		return 0, missing(member)
	}
	p := float64(*n)
	if p != math.Trunc(p) || p < 1 || p > 86400*366 || p != 1 && p != 5 && p != 10 && p != 20 && p != 30 && math.Mod(p, 60) != 0 {
		return 0, invalidValue("The parameter %s must be 1, 5, 10, 20, 30 or a multiple of 60.", member)
	}
	return time.Duration(p) * time.Second, nil
}

var statistics = []string{"SampleCount", "Average", "Sum", "Minimum", "Maximum"}

// percentile reads a statistic like p99.9.
func percentile(name string) (float64, bool) {
	digits, ok := strings.CutPrefix(name, "p")
	p, err := strconv.ParseFloat(digits, 64)
	return p, ok && err == nil && p >= 0 && p <= 100
}

// value returns a statistic of a point; percentiles are those that were asked for.
func (p *point) value(name string, percentiles []string) float64 {
	switch name {
	case "SampleCount":
		return p.count
	case "Sum":
		return p.sum
	case "Minimum":
		return p.min
	case "Maximum":
		return p.max
	case "Average":
		return p.sum / p.count
	}
	return p.percentiles[slices.Index(percentiles, name)]
}

type getMetricStatisticsInput struct {
	Namespace          string
	MetricName         string
	Dimensions         []dimension
	StartTime, EndTime *stamp
	Period             *number
	Statistics         []string
	ExtendedStatistics []string
	Unit               string
}

func (s *Server) getMetricStatistics(ctx context.Context, caller awsapi.Caller, in getMetricStatisticsInput) (object, error) {
	if err := namespace(in.Namespace); err != nil {
		return nil, err
	}
	step, err := period("Period", in.Period)
	switch {
	case in.MetricName == "":
		return nil, missing("MetricName")
	case in.StartTime == nil:
		return nil, missing("StartTime")
	case in.EndTime == nil:
		return nil, missing("EndTime")
	case err != nil:
		return nil, err
	case !in.StartTime.Before(in.EndTime.Time):
		return nil, invalidCombination("The parameter StartTime must be less than the parameter EndTime.")
	case len(in.Statistics)+len(in.ExtendedStatistics) == 0:
		return nil, invalidCombination("Must specify either Statistics or ExtendedStatistics")
	case in.Unit != "" && !slices.Contains(units, in.Unit):
		return nil, invalidValue("The value %s for parameter Unit is invalid.", in.Unit)
	}
	for _, st := range in.Statistics {
		if !slices.Contains(statistics, st) {
			return nil, invalidValue("The value %s for parameter Statistics is invalid. Valid values are: [%s]", st, strings.Join(statistics, ", "))
		}
	}
	var percents []float64
	for _, st := range in.ExtendedStatistics {
		p, ok := percentile(st)
		if !ok || len(in.ExtendedStatistics) > 10 {
			return nil, invalidValue("The value %s for parameter ExtendedStatistics is invalid: this server knows up to ten percentiles, p0 to p100.", st)
		}
		percents = append(percents, p)
	}
	if n := int64(in.EndTime.Sub(in.StartTime.Time) / step); n > maxDatapoints {
		return nil, invalidCombination("You have requested up to %d datapoints, which exceeds the limit of 1,440. You may reduce the datapoints requested by increasing Period, or decreasing the time range.", n)
	}
	dims, err := pairs("Dimensions", in.Dimensions)
	if err != nil {
		return nil, err
	}
	found, err := s.points(ctx, caller.Environment, series{in.Namespace, in.MetricName, dims, in.Unit}, in.StartTime.Time, in.EndTime.Time, step, percents)
	if err != nil {
		return nil, err
	}
	points := list{}
	for i := range found {
		p := &found[i]
		o := object{{"Timestamp", p.at}}
		for _, st := range in.Statistics {
			o = append(o, member{st, p.value(st, nil)})
		}
		var extended entries
		for _, st := range in.ExtendedStatistics {
			if v := p.value(st, in.ExtendedStatistics); !math.IsNaN(v) {
				extended = append(extended, member{st, v})
			}
		}
		if extended != nil {
			o = append(o, member{"ExtendedStatistics", extended})
		}
		points = append(points, append(o, member{"Unit", p.unit}))
	}
	return object{{"Label", in.MetricName}, {"Datapoints", points}}, nil
}

type getMetricDataInput struct {
	MetricDataQueries []struct {
		ID         string `json:"Id"`
		MetricStat *struct {
			Metric struct {
				Namespace, MetricName string
				Dimensions            []dimension
			}
			Period     *number
			Stat, Unit string
		}
		Expression string
		Label      string
		ReturnData *flag
	}
	StartTime, EndTime *stamp
	ScanBy             string
	MaxDatapoints      *number
	NextToken          string
}

// getMetricData answers with all points of the first query, then those of the next. A page that has no
// room for all of a query's points says PartialData of it.
func (s *Server) getMetricData(ctx context.Context, caller awsapi.Caller, in getMetricDataInput) (object, error) {
	switch {
	case len(in.MetricDataQueries) == 0:
		return nil, missing("MetricDataQueries")
	case len(in.MetricDataQueries) > maxQueries:
		return nil, invalidValue("The collection MetricDataQueries must not have a size greater than %d.", maxQueries)
	case in.StartTime == nil:
		return nil, missing("StartTime")
	case in.EndTime == nil:
		return nil, missing("EndTime")
	case !in.StartTime.Before(in.EndTime.Time):
		return nil, invalidCombination("The parameter StartTime must be less than the parameter EndTime.")
	case in.ScanBy != "" && in.ScanBy != "TimestampDescending" && in.ScanBy != "TimestampAscending":
		return nil, invalidValue("The value %s for parameter ScanBy is invalid. Valid values are: [TimestampDescending, TimestampAscending]", in.ScanBy)
	}
	room := maxPage
	if m := in.MaxDatapoints; m != nil {
		if *m < 1 || *m > maxPage {
			return nil, invalidValue("The parameter MaxDatapoints must be from 1 to %d.", maxPage)
		}
		room = int(*m)
	}
	token := in.NextToken
	in.NextToken = ""
	skip, hash, err := readToken(token, in)
	if err != nil {
		return nil, err
	}
	results, at := list{}, 0
	next := -1
	seen := map[string]bool{}
	for i, q := range in.MetricDataQueries {
		name := fmt.Sprintf("MetricDataQueries.member.%d", i+1)
		if q.ID == "" || q.ID[0] < 'a' || q.ID[0] > 'z' || len(q.ID) > 255 || seen[q.ID] {
			return nil, invalidValue("The value %q for parameter %s.Id is invalid: it begins with a lower-case letter and is there once.", q.ID, name)
		}
		seen[q.ID] = true
		if q.Expression != "" {
			return nil, invalidValue("Error in expression '%s': metric math and searches are not supported by this server.", q.ID)
		}
		if q.MetricStat == nil {
			return nil, missing(name + ".MetricStat")
		}
		st := q.MetricStat
		step, err := period(name+".MetricStat.Period", st.Period)
		if err != nil {
			return nil, err
		}
		if err := namespace(st.Metric.Namespace); err != nil {
			return nil, err
		}
		if st.Metric.MetricName == "" {
			return nil, missing(name + ".MetricStat.Metric.MetricName")
		}
		dims, err := pairs(name+".MetricStat.Metric.Dimensions", st.Metric.Dimensions)
		if err != nil {
			return nil, err
		}
		var percents []float64
		if !slices.Contains(statistics, st.Stat) {
			p, ok := percentile(st.Stat)
			if !ok {
				return nil, invalidValue("The value %s for parameter %s.MetricStat.Stat is invalid: this server knows %s and percentiles, p0 to p100.", st.Stat, name, strings.Join(statistics, ", "))
			}
			percents = []float64{p}
		}
		if q.ReturnData != nil && !*q.ReturnData {
			continue
		}
		found, err := s.points(ctx, caller.Environment, series{st.Metric.Namespace, st.Metric.MetricName, dims, st.Unit}, in.StartTime.Time, in.EndTime.Time, step, percents)
		if err != nil {
			return nil, err
		}
		found = joined(found)
		if in.ScanBy != "TimestampAscending" {
			slices.Reverse(found)
		}
		times, values, status := list{}, list{}, "Complete"
		for k := range found {
			v := found[k].value(st.Stat, []string{st.Stat})
			if math.IsNaN(v) {
				continue
			}
			if at++; at <= skip {
				continue
			}
			if room == 0 {
				next, status = at-1, "PartialData"
				break
			}
			room--
			times, values = append(times, found[k].at), append(values, v)
		}
		label := q.Label
		if label == "" {
			label = st.Metric.MetricName
		}
		if at > skip || len(found) == 0 {
			results = append(results, object{{"Id", q.ID}, {"Label", label}, {"Timestamps", times}, {"Values", values}, {"StatusCode", status}})
		}
		if next >= 0 {
			break
		}
	}
	out := object{{"MetricDataResults", results}, {"Messages", list{}}}
	if next >= 0 {
		out = append(out, member{"NextToken", makeToken(next, hash)})
	}
	return out, nil
}

// joined joins the points of one period that differ in their unit. Percentiles of several are those of
// the first that has some.
func joined(list []point) []point {
	var out []point
	for _, p := range list {
		if n := len(out); n > 0 && out[n-1].at.Equal(p.at) {
			o := &out[n-1]
			o.count, o.sum, o.min, o.max = o.count+p.count, o.sum+p.sum, math.Min(o.min, p.min), math.Max(o.max, p.max)
			continue
		}
		out = append(out, p)
	}
	return out
}

// units are the units that a metric may have.
var units = []string{
	"Seconds", "Microseconds", "Milliseconds", "Bytes", "Kilobytes", "Megabytes", "Gigabytes", "Terabytes", "Bits", "Kilobits", "Megabits", "Gigabits", "Terabits",
	"Percent", "Count", "Bytes/Second", "Kilobytes/Second", "Megabytes/Second", "Gigabytes/Second", "Terabytes/Second", "Bits/Second", "Kilobits/Second",
	"Megabits/Second", "Gigabits/Second", "Terabits/Second", "Count/Second", "None",
}
