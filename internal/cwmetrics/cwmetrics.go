// Package cwmetrics is the small part of Amazon CloudWatch that logs lead to: metrics are put, listed and
// read, by clients of CloudWatch and by the metric filters and embedded metrics of CloudWatch Logs.
// Alarms, dashboards, metric streams and metric math are not there.
//
// A datum is an event of the environment's dataset of kind meta.Metrics. Equal values that were put
// together are one event with a count, which is also its sample rate, so that percentiles weigh it.
package cwmetrics

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/ingest"
	"github.com/trefoil-o11y/trefoil/internal/meta"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/store"
)

// The fields of a datum. A set of values is known by its sum, smallest and largest value; one that is
// a single value has that too.
const (
	fieldNamespace  = "namespace"
	fieldMetric     = "metric"
	fieldDimensions = "dimensions" // JSON, sorted by name
	fieldUnit       = "unit"
	fieldCount      = "count"
	fieldSum        = "sum"
	fieldMin        = "min"
	fieldMax        = "max"
	fieldValue      = "value"
)

// datasetName names the one dataset of an environment's metrics.
const datasetName = "metrics"

// Config is what a Server works with; every member is required.
type Config struct {
	Store store.Store
	Meta  *meta.DB
	Queue *ingest.Queue
	Auth  *awsapi.Auth
	Log   *slog.Logger
}

// Server answers CloudWatch's API. Its methods may be called at once from many goroutines.
type Server struct{ cfg Config }

// New returns a server; it holds nothing that needs closing.
func New(cfg Config) *Server { return &Server{cfg} }

// Datum is a set of values of a metric that were taken together.
type Datum struct {
	Namespace, Metric string
	// Unit may be empty, which is "None".
	Unit string
	// Dimensions are names and values, each name once.
	Dimensions [][2]string
	Time       time.Time
	// Count values have the sum Sum and lie between Min and Max.
	Count, Sum, Min, Max float64
}

// Of returns a datum that is one value, count times.
func Of(namespace, metric, unit string, dimensions [][2]string, at time.Time, value, count float64) Datum {
	return Datum{namespace, metric, unit, dimensions, at, count, value * count, value, value}
}

// Batch makes the events of data, for callers that store them together with others.
func (s *Server) Batch(ctx context.Context, environment string, data []Datum) (*event.Batch, error) {
	ds, err := s.cfg.Meta.EnsureDataset(ctx, environment, meta.Metrics, datasetName)
	if err != nil {
		return nil, err
	}
	b := event.NewBuilder()
	defer b.Release()
	now := time.Now().UnixNano()
	for i := range data {
		d := &data[i]
		h := event.Header{Time: d.Time.UnixNano(), Ingested: now, Dataset: ds.ID}
		single := d.Min == d.Max
		if single && d.Count >= 1 && d.Count <= math.MaxInt32 && d.Count == math.Trunc(d.Count) {
			h.SampleRate = uint32(d.Count)
		}
		b.Add(h)
		b.SetString(fieldNamespace, d.Namespace)
		b.SetString(fieldMetric, d.Metric)
		b.SetString(fieldDimensions, dimensionsText(d.Dimensions))
		unit := d.Unit
		if unit == "" {
			unit = "None"
		}
		b.SetString(fieldUnit, unit)
		b.SetFloat(fieldCount, d.Count)
		b.SetFloat(fieldSum, d.Sum)
		b.SetFloat(fieldMin, d.Min)
		b.SetFloat(fieldMax, d.Max)
		if single {
			b.SetFloat(fieldValue, d.Min)
		}
	}
	return b.Batch(), nil
}

// dimensionsText is the one text of a set of dimensions.
func dimensionsText(list [][2]string) string {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	if list == nil {
		list = [][2]string{}
	}
	text, err := json.Marshal(list)
	if err != nil {
		panic(err) // strings always encode
	}
	return string(text)
}

func readDimensions(text string) [][2]string {
	var list [][2]string
	_ = json.Unmarshal([]byte(text), &list) // it is our own
	return list
}

// series names the data of a metric.
type series struct {
	namespace, metric string
	dimensions        [][2]string
	unit              string // empty for all
}

// point is what is known of the data of one period.
type point struct {
	at                   time.Time
	unit                 string
	count, sum, min, max float64
	percentiles          []float64 // of those asked for; NaN when there is none
}

// points reads the periods of a series that have data, by time, then unit. Periods are aligned to the
// epoch; from is moved back to the begin of its own.
func (s *Server) points(ctx context.Context, environment string, of series, from, to time.Time, period time.Duration, percentiles []float64) ([]point, error) {
	ds, err := s.cfg.Meta.Dataset(ctx, environment, meta.Metrics, datasetName)
	if errors.Is(err, meta.ErrNotFound) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	where := []query.Expr{
		query.EqStr(fieldNamespace, of.namespace), query.EqStr(fieldMetric, of.metric), query.EqStr(fieldDimensions, dimensionsText(of.dimensions)),
	}
	if of.unit != "" {
		where = append(where, query.EqStr(fieldUnit, of.unit))
	}
	number := func(name string) query.Expr { return query.Field{Name: name} }
	aggs := []query.Agg{
		{Name: "count", Op: query.Sum, Arg: number(fieldCount)}, {Name: "sum", Op: query.Sum, Arg: number(fieldSum)},
		{Name: "min", Op: query.Min, Arg: number(fieldMin)}, {Name: "max", Op: query.Max, Arg: number(fieldMax)},
	}
	for i, p := range percentiles {
		aggs = append(aggs, query.Agg{Name: "p" + string(rune('a'+i)), Op: query.Percentile, Arg: number(fieldValue), P: p, Weighted: true})
	}
	from = time.Unix(0, query.FloorTo(from.UnixNano(), int64(period)))
	res, err := s.cfg.Store.Query(ctx, &query.Query{Datasets: []event.DatasetID{ds.ID}, From: from, To: to, Stages: []query.Stage{
		query.Filter{Where: query.All(where...)},
		query.Aggregate{By: []query.Named{{Name: "at", Value: query.TimeBucket(period)}, {Name: "unit", Value: query.Field{Name: fieldUnit}}}, Aggs: aggs},
		query.Sort{Keys: []query.SortKey{{By: query.Field{Name: "at"}}, {By: query.Field{Name: "unit"}}}},
	}})
	if err != nil {
		return nil, err
	}
	var out []point
	for _, row := range res.Rows {
		n := func(i int) float64 {
			f, ok := row[i].Number()
			if !ok {
				return math.NaN()
			}
			return f
		}
		p := point{time.Unix(0, row[0].Int()).UTC(), row[1].Str(), n(2), n(3), n(4), n(5), nil}
		for i := range percentiles {
			p.percentiles = append(p.percentiles, n(6+i))
		}
		out = append(out, p)
	}
	return out, nil
}

// list returns the series that have data since from, by namespace, metric and dimensions.
func (s *Server) list(ctx context.Context, environment string, from time.Time, where query.Expr) ([]series, error) {
	ds, err := s.cfg.Meta.Dataset(ctx, environment, meta.Metrics, datasetName)
	if errors.Is(err, meta.ErrNotFound) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	by := query.FieldsNamed(fieldNamespace, fieldMetric, fieldDimensions)
	q := &query.Query{Datasets: []event.DatasetID{ds.ID}, From: from}
	if where != nil {
		q.Stages = append(q.Stages, query.Filter{Where: where})
	}
	q.Stages = append(q.Stages, query.Aggregate{By: by, Aggs: []query.Agg{{Name: "n", Op: query.Count}}}, query.Sort{Keys: []query.SortKey{
		{By: by[0].Value}, {By: by[1].Value}, {By: by[2].Value},
	}})
	res, err := s.cfg.Store.Query(ctx, q)
	if err != nil {
		return nil, err
	}
	var out []series
	for _, row := range res.Rows {
		out = append(out, series{namespace: row[0].Str(), metric: row[1].Str(), dimensions: readDimensions(row[2].Str())})
	}
	return out, nil
}

var _ http.Handler = (*Server)(nil)
