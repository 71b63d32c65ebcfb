package cwlogs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/cwlogs/filterpattern"
	"github.com/trefoil-o11y/trefoil/internal/meta"
	"github.com/trefoil-o11y/trefoil/internal/query"
)

const (
	maxPattern       = 1024
	maxMetricFilters = 100
	maxDimensions    = 3
	// maxMinutes bounds the minutes of a metric filter whose default value is not decided yet.
	maxMinutes = 1 << 14
)

// metricUnits are the units that a metric may have.
var metricUnits = []string{
	"Seconds", "Microseconds", "Milliseconds", "Bytes", "Kilobytes", "Megabytes", "Gigabytes", "Terabytes", "Bits", "Kilobits", "Megabits", "Gigabits", "Terabits",
	"Percent", "Count", "Bytes/Second", "Kilobytes/Second", "Megabytes/Second", "Gigabytes/Second", "Terabytes/Second", "Bits/Second", "Kilobits/Second",
	"Megabits/Second", "Gigabits/Second", "Terabits/Second", "Count/Second", "None",
}

type metricTransformation struct {
	MetricName      string            `json:"metricName"`
	MetricNamespace string            `json:"metricNamespace"`
	MetricValue     string            `json:"metricValue"`
	DefaultValue    *float64          `json:"defaultValue,omitempty"`
	Dimensions      map[string]string `json:"dimensions,omitempty"`
	Unit            string            `json:"unit,omitempty"`
}

type metricFilterObject struct {
	FilterPattern             string                 `json:"filterPattern"`
	MetricTransformations     []metricTransformation `json:"metricTransformations"`
	ApplyOnTransformedLogs    bool                   `json:"applyOnTransformedLogs"`
	FieldSelectionCriteria    string                 `json:"fieldSelectionCriteria,omitempty"`
	EmitSystemFieldDimensions []string               `json:"emitSystemFieldDimensions,omitempty"`
}

// storedMetricFilter is a metric filter as it is kept.
type storedMetricFilter struct {
	metricFilterObject
	System systemFields `json:"system"`
}

type putMetricFilterInput struct {
	LogGroupName          string                 `json:"logGroupName"`
	FilterName            string                 `json:"filterName"`
	FilterPattern         *string                `json:"filterPattern"`
	MetricTransformations []metricTransformation `json:"metricTransformations"`
	metricFilterOptions
}

type metricFilterOptions struct {
	ApplyOnTransformedLogs    bool     `json:"applyOnTransformedLogs"`
	FieldSelectionCriteria    string   `json:"fieldSelectionCriteria"`
	EmitSystemFieldDimensions []string `json:"emitSystemFieldDimensions"`
}

var metricName = regexp.MustCompile(`^[^:*$]*$`)

// atMost checks the length of an optional text.
func (c *check) atMost(member, v string, high int) {
	if len(v) > high {
		c.fault(quote(v), member, "Member must have length less than or equal to %d", high)
	}
}

func (s *Server) putMetricFilter(ctx context.Context, r *awsapi.Request, in putMetricFilterInput) (none, error) {
	var c check
	c.group(in.LogGroupName)
	c.text("filterName", in.FilterName, maxName, streamName, streamPattern)
	if in.FilterPattern == nil {
		c.fault("null", "filterPattern", "Member must not be null")
	} else {
		c.atMost("filterPattern", *in.FilterPattern, maxPattern)
	}
	c.count("metricTransformations", len(in.MetricTransformations), 1, 1)
	for _, t := range in.MetricTransformations {
		c.text("metricTransformations.1.member.metricName", t.MetricName, 255, metricName, `[^:*$]*`)
		c.text("metricTransformations.1.member.metricNamespace", t.MetricNamespace, 255, metricName, `[^:*$]*`)
		c.text("metricTransformations.1.member.metricValue", t.MetricValue, 100, nil, "")
		c.enum("metricTransformations.1.member.unit", t.Unit, metricUnits...)
	}
	c.atMost("fieldSelectionCriteria", in.FieldSelectionCriteria, maxSelected)
	if err := c.err(); err != nil {
		return none{}, err
	}
	t := in.MetricTransformations[0]
	switch {
	case len(t.Dimensions)+len(in.EmitSystemFieldDimensions) > 0 && t.DefaultValue != nil:
		return none{}, invalid("Invalid metric transformation: dimensions and default value are mutually exclusive properties.")
	case len(t.Dimensions)+len(in.EmitSystemFieldDimensions) > maxDimensions:
		return none{}, invalid("Invalid metric transformation: at most %d dimensions can be assigned to a metric.", maxDimensions)
	}
	is := storedMetricFilter{
		metricFilterObject{*in.FilterPattern, in.MetricTransformations, in.ApplyOnTransformedLogs, in.FieldSelectionCriteria, in.EmitSystemFieldDimensions},
		systemFieldsOf(&r.Caller),
	}
	if _, err := newMetricFilter(is); err != nil {
		return none{}, err
	}
	g, err := s.group(ctx, r, in.LogGroupName)
	if err != nil {
		return none{}, err
	}
	_, err = define(ctx, s, g.Environment, kindMetricFilter, g.Name, in.FilterName, is, maxMetricFilters)
	if err == nil {
		s.changed(ctx, g)
	}
	return none{}, err
}

// changed has what is known of a group's filters read again.
func (s *Server) changed(ctx context.Context, g meta.LogGroup) {
	s.report(context.WithoutCancel(ctx), s.rules.forget(g.ID), time.Now().Add(time.Hour))
}

type filterNameInput struct {
	LogGroupName string `json:"logGroupName"`
	FilterName   string `json:"filterName"`
}

func (s *Server) filterInput(ctx context.Context, r *awsapi.Request, in filterNameInput) (meta.LogGroup, error) {
	var c check
	c.group(in.LogGroupName)
	c.text("filterName", in.FilterName, maxName, streamName, streamPattern)
	if err := c.err(); err != nil {
		return meta.LogGroup{}, err
	}
	return s.group(ctx, r, in.LogGroupName)
}

func (s *Server) deleteMetricFilter(ctx context.Context, r *awsapi.Request, in filterNameInput) (none, error) {
	g, err := s.filterInput(ctx, r, in)
	if err != nil {
		return none{}, err
	}
	missing := awsapi.Errorf("ResourceNotFoundException", "The specified metric filter does not exist.")
	if err := s.remove(ctx, g.Environment, kindMetricFilter, g.Name, in.FilterName, missing); err != nil {
		return none{}, err
	}
	s.changed(ctx, g)
	return none{}, nil
}

type describeMetricFiltersInput struct {
	LogGroupName     string `json:"logGroupName"`
	FilterNamePrefix string `json:"filterNamePrefix"`
	MetricName       string `json:"metricName"`
	MetricNamespace  string `json:"metricNamespace"`
	Limit            *int   `json:"limit"`
	NextToken        string `json:"nextToken"`
}

type metricFilterRow struct {
	FilterName   string `json:"filterName"`
	CreationTime int64  `json:"creationTime"`
	LogGroupName string `json:"logGroupName"`
	metricFilterObject
}

type describeMetricFiltersOutput struct {
	MetricFilters []metricFilterRow `json:"metricFilters"`
	NextToken     string            `json:"nextToken,omitempty"`
}

func (s *Server) describeMetricFilters(ctx context.Context, r *awsapi.Request, in describeMetricFiltersInput) (describeMetricFiltersOutput, error) {
	out := describeMetricFiltersOutput{MetricFilters: []metricFilterRow{}}
	var c check
	c.prefix("logGroupName", in.LogGroupName, groupName, groupPattern)
	c.prefix("filterNamePrefix", in.FilterNamePrefix, streamName, streamPattern)
	limit := c.number("limit", in.Limit, 1, 50, 50)
	if err := c.err(); err != nil {
		return out, err
	}
	if (in.MetricName == "") != (in.MetricNamespace == "") {
		return out, invalid("Both metricName and metricNamespace must be specified, or neither.")
	}
	if in.LogGroupName != "" {
		if _, err := s.group(ctx, r, in.LogGroupName); err != nil {
			return out, err
		}
	}
	list, next, err := listed(ctx, s, r.Caller.Environment, kindMetricFilter, in.NextToken, limit, func(o defined[storedMetricFilter]) bool {
		t := o.is.MetricTransformations[0]
		return (in.LogGroupName == "" || o.Scope == in.LogGroupName) && strings.HasPrefix(o.Name, in.FilterNamePrefix) &&
			(in.MetricName == "" || t.MetricName == in.MetricName && t.MetricNamespace == in.MetricNamespace)
	})
	for _, o := range list {
		out.MetricFilters = append(out.MetricFilters, metricFilterRow{o.Name, o.Created.UnixMilli(), o.Scope, o.is.metricFilterObject})
	}
	out.NextToken = next
	return out, err
}

// metricFilterCounts counts the metric filters of each group of an environment, by name.
func (s *Server) metricFilterCounts(ctx context.Context, environment string) (map[string]int, error) {
	all, err := s.cfg.Meta.LogObjects(ctx, environment, kindMetricFilter)
	out := map[string]int{}
	for _, o := range all {
		out[o.Scope]++
	}
	return out, err
}

// metricFilter makes data of the events that match it.
type metricFilter struct {
	node  filterpattern.Node
	where query.Expr // nil for all
	to    metricTransformation
	// system are the dimensions that every datum has, never is set when the field selection does not hold.
	system [][2]string
	never  bool
	// transformed is set when it reads what the group's transformer makes of messages.
	transformed bool
	// value and dimensions take what the transformation says out of a message.
	value      func(message string) (string, bool)
	dimensions map[string]func(message string) (string, bool)

	// minutes are those that have events whose default value is not decided, by the start of the minute.
	mu      sync.Mutex
	minutes map[int64]*filterMinute
}

type filterMinute struct {
	matched bool
	last    time.Time // when the newest event of it arrived
}

func newMetricFilter(is storedMetricFilter) (*metricFilter, error) {
	to := is.MetricTransformations[0]
	f := &metricFilter{to: to, transformed: is.ApplyOnTransformedLogs, minutes: map[int64]*filterMinute{}, dimensions: map[string]func(string) (string, bool){}}
	if err := checkSystemFields(is.EmitSystemFieldDimensions); err != nil {
		return nil, err
	}
	for _, name := range is.EmitSystemFieldDimensions {
		v, _ := is.System.value(name)
		f.system = append(f.system, [2]string{name, v})
	}
	selects, err := is.System.selects(is.FieldSelectionCriteria)
	if err != nil {
		return nil, err
	}
	f.never = !selects
	if f.node, err = filterpattern.Parse(is.FilterPattern); err != nil {
		return nil, badPattern(err)
	}
	if f.where, err = filterpattern.Lower(f.node, query.Field{Name: fieldMessage}); err != nil {
		return nil, badPattern(err)
	}
	if f.value, err = f.taken(to.MetricValue); err != nil {
		return nil, err
	}
	for name, of := range to.Dimensions {
		if name == "" || len(name) > 255 || !strings.HasPrefix(of, "$") {
			return nil, invalid("Invalid metric transformation: a dimension has a name and a value that begins with $.")
		}
		if f.dimensions[name], err = f.taken(of); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// taken returns what takes a part of a message, or a number as it is.
func (f *metricFilter) taken(of string) (func(string) (string, bool), error) {
	if _, err := strconv.ParseFloat(of, 64); err == nil {
		return func(string) (string, bool) { return of, true }, nil
	}
	take, err := filterpattern.Values(f.node, of)
	if err != nil {
		return nil, invalid("Invalid metric transformation: %v.", err)
	}
	return take, nil
}

// datum returns what an event says; ok is false when it does not match or has no such number or
// dimension.
func (f *metricFilter) datum(e *inputLogEvent) (d Datum, matched, ok bool) {
	message := string(e.message)
	if f.never || f.where != nil && !query.Holds(f.where, messageRow(message)) {
		return d, false, false
	}
	d = Datum{Namespace: f.to.MetricNamespace, Metric: f.to.MetricName, Unit: f.to.Unit, Time: time.UnixMilli(e.timestamp).UTC().Truncate(time.Minute), Count: 1}
	text, ok := f.value(message)
	if !ok {
		return d, true, false
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return d, true, false
	}
	d.Value = v
	d.Dimensions = slices.Clone(f.system)
	for name, of := range f.dimensions {
		text, ok := of(message)
		if !ok || text == "" {
			return d, true, false
		}
		d.Dimensions = append(d.Dimensions, [2]string{name, text})
	}
	return d, true, true
}

// metrics returns the data that events drive: those of metric filters, and of embedded metrics.
func (g *groupRules) metrics(_ string, events []inputLogEvent) []Datum {
	var out []Datum
	for _, f := range g.filters {
		for i := range events {
			if d, _, ok := f.datum(g.seen(f, &events[i])); ok {
				out = append(out, d)
			}
		}
	}
	if g.embedded {
		for i := range events {
			out = append(out, embeddedMetrics(events[i].message)...)
		}
	}
	return merged(out)
}

// seen returns an event as a filter sees it.
func (g *groupRules) seen(f *metricFilter, e *inputLogEvent) *inputLogEvent {
	if !f.transformed {
		return e
	}
	return &inputLogEvent{timestamp: e.timestamp, message: g.transformed(e.message)}
}

// merged joins equal values.
func merged(list []Datum) []Datum {
	if len(list) < 2 {
		return list
	}
	type key struct {
		namespace, metric, unit, dimensions string
		at                                  int64
		value                               float64
	}
	at := map[key]int{}
	out := list[:0]
	for _, d := range list {
		slices.SortFunc(d.Dimensions, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
		k := key{d.Namespace, d.Metric, d.Unit, fmt.Sprintf("%q", d.Dimensions), d.Time.UnixNano(), d.Value}
		if i, ok := at[k]; ok {
			out[i].Count += d.Count
			continue
		}
		at[k] = len(out)
		out = append(out, d)
	}
	return out
}

// settle remembers for the filters with a default value which minutes have events, and matches.
func (g *groupRules) settle(events []inputLogEvent, now time.Time) {
	for _, f := range g.filters {
		if f.to.DefaultValue == nil {
			continue
		}
		f.mu.Lock()
		for i := range events {
			m := events[i].timestamp - events[i].timestamp%60_000
			have := f.minutes[m]
			if have == nil {
				if len(f.minutes) >= maxMinutes {
					continue
				}
				have = &filterMinute{}
				f.minutes[m] = have
			}
			have.last = now
			if !have.matched {
				_, have.matched, _ = f.datum(g.seen(f, &events[i]))
			}
		}
		f.mu.Unlock()
	}
}

// defaults returns the default values for the minutes that have had no event since quiet and no match.
func (g *groupRules) defaults(quiet time.Time) []Datum {
	var out []Datum
	for _, f := range g.filters {
		if f.to.DefaultValue == nil {
			continue
		}
		f.mu.Lock()
		for m, have := range f.minutes {
			if have.last.After(quiet) {
				continue
			}
			if !have.matched {
				out = append(out, Datum{Namespace: f.to.MetricNamespace, Metric: f.to.MetricName, Unit: f.to.Unit, Time: time.UnixMilli(m), Value: *f.to.DefaultValue, Count: 1})
			}
			delete(f.minutes, m)
		}
		f.mu.Unlock()
	}
	return out
}

// embedded is the directive of the Embedded Metric Format, as described at
// docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html.
type embedded struct {
	Timestamp         *int64
	CloudWatchMetrics []struct {
		Namespace  string
		Dimensions [][]string
		Metrics    []struct {
			Name              string
			Unit              string
			StorageResolution *int
		}
	}
}

// embeddedMetrics returns the data of a message in the Embedded Metric Format. A message whose
// directive is not valid has none.
func embeddedMetrics(message []byte) []Datum {
	if !bytes.Contains(message, []byte(`"_aws"`)) {
		return nil
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(message, &members) != nil {
		return nil
	}
	var e embedded
	if json.Unmarshal(members["_aws"], &e) != nil || e.Timestamp == nil {
		return nil
	}
	out, err := e.data(members)
	if err != nil {
		return nil
	}
	return out
}

var errEmbedded = errors.New("directive is not valid")

func (e *embedded) data(members map[string]json.RawMessage) ([]Datum, error) {
	var out []Datum
	for _, set := range e.CloudWatchMetrics {
		if set.Namespace == "" || len(set.Namespace) > 1024 || len(set.Metrics) == 0 || len(set.Metrics) > 100 {
			return nil, errEmbedded
		}
		sets := set.Dimensions
		if len(sets) == 0 {
			sets = [][]string{nil}
		}
		for _, names := range sets {
			var dims [][2]string
			if len(names) > 30 {
				return nil, errEmbedded
			}
			for _, n := range names {
				var v string
				if json.Unmarshal(members[n], &v) != nil || v == "" || len(v) > 1024 {
					return nil, errEmbedded
				}
				dims = append(dims, [2]string{n, v})
			}
			for _, m := range set.Metrics {
				if m.Name == "" || len(m.Name) > 1024 || m.Unit != "" && !slices.Contains(metricUnits, m.Unit) || m.StorageResolution != nil && *m.StorageResolution != 1 && *m.StorageResolution != 60 {
					return nil, errEmbedded
				}
				raw, ok := members[m.Name]
				if !ok {
					continue // a metric without a value is passed over
				}
				values, err := embeddedValues(raw)
				if err != nil {
					return nil, err
				}
				for _, v := range values {
					out = append(out, Datum{Namespace: set.Namespace, Metric: m.Name, Unit: m.Unit, Dimensions: slices.Clone(dims), Time: time.UnixMilli(*e.Timestamp), Value: v, Count: 1})
				}
			}
		}
	}
	return out, nil
}

func embeddedValues(raw json.RawMessage) ([]float64, error) {
	var one float64
	if json.Unmarshal(raw, &one) == nil {
		return []float64{one}, nil
	}
	var many []float64
	if json.Unmarshal(raw, &many) != nil || len(many) == 0 || len(many) > 100 {
		return nil, errEmbedded
	}
	return many, nil
}
