package honeycomb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/meta"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/store"
)

// AllDatasets is the slug of the environment as a whole.
const AllDatasets = "__all__"

// heatmapRows is the largest number of value buckets of a heatmap.
const heatmapRows = 50

// Cell is one value of an answer: a scalar or the buckets of a heatmap.
type Cell struct {
	Value   event.Value
	Buckets []HeatBucket
}

// HeatBucket counts the events whose value is in [Min, Max). This shape is Trefoil's own:
// Honeycomb publishes none.
type HeatBucket struct {
	Min   float64 `json:"min"`
	Max   float64 `json:"max"`
	Count float64 `json:"count"`
}

// MarshalJSON implements json.Marshaler.
func (c Cell) MarshalJSON() ([]byte, error) {
	if c.Buckets != nil {
		return json.Marshal(struct {
			Buckets []HeatBucket `json:"buckets"`
		}{c.Buckets})
	}
	return appendJSON(nil, c.Value), nil
}

// Data is the cells of a row by name; missing values are left out.
type Data map[string]Cell

// Point is the data of one group in one time bucket.
type Point struct {
	Time string `json:"time"`
	Data Data   `json:"data"`
}

// Answer is the outcome of a query.
type Answer struct {
	From, To    time.Time
	Granularity time.Duration
	Results     []Data
	Series      []Point
	Stats       query.Stats
}

// Datasets returns the datasets that a slug stands for: those of one name of any kind, or all.
func Datasets(ctx context.Context, db *meta.DB, environment, slug string) ([]meta.Dataset, error) {
	all, err := db.Datasets(ctx, environment)
	if err != nil || slug == AllDatasets {
		return all, err
	}
	for _, kind := range []meta.Kind{meta.Honeycomb, meta.XRay, meta.Logs} {
		for _, d := range all {
			if d.Kind == kind && (d.Slug == slug || d.Slug == meta.Slug(kind, slug)) {
				return []meta.Dataset{d}, nil
			}
		}
	}
	return nil, errNoDataset
}

func ids(list []meta.Dataset) []event.DatasetID {
	out := make([]event.DatasetID, len(list))
	for i, d := range list {
		out[i] = d.ID
	}
	return out
}

// Known returns a function that reports whether a column exists in one of the datasets.
func Known(ctx context.Context, st store.Store, list []meta.Dataset) (func(string) bool, error) {
	names := map[string]bool{"trace.trace_id": true, "trace.span_id": true, "trace.parent_id": true, "is_root": true}
	for _, d := range list {
		cols, err := st.Columns(ctx, d.ID)
		if err != nil {
			return nil, err
		}
		for _, c := range cols {
			names[c.Name] = true
		}
	}
	return func(name string) bool { return names[name] }, nil
}

// Describe returns the client's message for an error of Run or Validate and reports whether the
// client is to blame.
func Describe(err error) (msg string, client bool) {
	var e *apiError
	if errors.As(err, &e) {
		return e.msg, e.status < 500
	}
	return "", false
}

// LogGroups knows what readers of log groups, which are datasets, must not see.
type LogGroups interface {
	// Mask returns the function that hides what is sensitive in a value of any of the datasets, nil when
	// nothing is.
	Mask(ctx context.Context, environment string, datasets []event.DatasetID) (func(event.Value) event.Value, error)
	// Alive returns the condition that leaves out the events of deleted streams of the datasets, nil when
	// there are none.
	Alive(ctx context.Context, environment string, datasets []event.DatasetID) (query.Expr, error)
}

// Run answers a valid spec over datasets, all of one environment. Without series only Results are made.
func Run(ctx context.Context, st store.Store, groups LogGroups, list []meta.Dataset, s *Spec, now time.Time, series bool) (*Answer, error) {
	a := &Answer{Series: []Point{}, Results: []Data{}}
	a.From, a.To = s.span(now)
	a.Granularity = s.granularity(a.From, a.To)
	if len(list) == 0 {
		return a, nil
	}
	where, err := s.where()
	if err != nil {
		return nil, err
	}
	alive, err := groups.Alive(ctx, list[0].Environment, ids(list))
	if err != nil {
		return nil, err
	}
	r := runner{ctx, st, s, a, query.Query{Datasets: ids(list), From: a.From, To: a.To}}
	if all := query.All(alive, where); all != nil {
		r.base.Stages = []query.Stage{query.Filter{Where: all}}
	}
	switch {
	case s.hasDerived():
		err = r.derive(series)
	default:
		err = r.results()
		if err == nil && series {
			err = r.series()
		}
	}
	if err != nil {
		return nil, err
	}
	for _, c := range s.calculations() {
		if c.Op == opHeatmap {
			if err := r.heatmap(c, series); err != nil {
				return nil, err
			}
		}
	}
	slices.SortStableFunc(a.Series, func(x, y Point) int { return strings.Compare(x.Time, y.Time) })
	mask, err := groups.Mask(ctx, list[0].Environment, ids(list))
	if mask == nil || err != nil {
		return a, err
	}
	of := slices.Clone(s.Breakdowns) // what has values of events
	for _, c := range s.calculations() {
		if c.Op == "MAX" || c.Op == "MIN" {
			of = append(of, c.key())
		}
	}
	for _, d := range a.Results {
		d.mask(of, mask)
	}
	for _, p := range a.Series {
		p.Data.mask(of, mask)
	}
	return a, nil
}

// mask hides what is sensitive in values of events and in texts.
func (d Data) mask(of []string, mask func(event.Value) event.Value) {
	for name, c := range d {
		if c.Buckets == nil && (slices.Contains(of, name) || c.Value.Kind() == event.KindString) {
			d[name] = Cell{Value: mask(c.Value)}
		}
	}
}

type runner struct {
	ctx   context.Context
	store store.Store
	spec  *Spec
	out   *Answer
	base  query.Query
}

func (r *runner) run(stages ...query.Stage) (*query.Result, error) {
	q := r.base
	q.Stages = append(slices.Clone(q.Stages), stages...)
	return r.query(&q)
}

func (r *runner) query(q *query.Query) (*query.Result, error) {
	res, err := r.store.Query(r.ctx, q)
	if err != nil {
		return nil, fmt.Errorf("run query: %w", err)
	}
	r.out.Stats.Add(res.Stats)
	return res, nil
}

func (r *runner) groups() []query.Named {
	var by []query.Named
	for _, b := range r.spec.Breakdowns {
		by = append(by, query.Named{Name: b, Value: column(b)})
	}
	return by
}

func (r *runner) data(res *query.Result, row []event.Value) Data {
	d := Data{}
	for i, name := range res.Columns {
		if name != timeColumn && !row[i].Missing() {
			d[name] = Cell{Value: row[i]}
		}
	}
	return d
}

// timeColumn names the time bucket in a series; no column of a user can be called so.
const timeColumn = "$bucket"

func (r *runner) results() error {
	stages := []query.Stage{query.Aggregate{By: r.groups(), Aggs: r.spec.aggs()}}
	if h := r.spec.having(); h != nil {
		stages = append(stages, query.Filter{Where: h})
	}
	stages = append(stages, query.Sort{Keys: r.spec.sortKeys()}, query.Limit{N: r.spec.limit()})
	res, err := r.run(stages...)
	if err != nil {
		return err
	}
	for _, row := range res.Rows {
		r.out.Results = append(r.out.Results, r.data(res, row))
	}
	return nil
}

// groupKey tells a group of the answer.
func (r *runner) groupKey(d Data) string {
	var b strings.Builder
	for _, name := range r.spec.Breakdowns {
		v := d[name].Value
		fmt.Fprintf(&b, "%d:%q;", v.Kind(), v.Text())
	}
	return b.String()
}

func (r *runner) kept() map[string]int {
	at := map[string]int{}
	for i, d := range r.out.Results {
		at[r.groupKey(d)] = i
	}
	return at
}

func (r *runner) bucket() query.Named {
	return query.Named{Name: timeColumn, Value: query.TimeBucket(r.out.Granularity)}
}

func bucketTime(v event.Value) string { return time.Unix(0, v.Int()).UTC().Format(time.RFC3339) }

func (r *runner) series() error {
	aggs := r.spec.aggs()
	if len(aggs) == 0 {
		return nil
	}
	res, err := r.run(query.Aggregate{By: append(r.groups(), r.bucket()), Aggs: aggs})
	if err != nil {
		return err
	}
	kept, at := r.kept(), res.Column(timeColumn)
	for _, row := range res.Rows {
		d := r.data(res, row)
		if _, ok := kept[r.groupKey(d)]; ok {
			r.out.Series = append(r.out.Series, Point{bucketTime(row[at]), d})
		}
	}
	return nil
}

// heatmap counts values in buckets of a round size that cover the least to the greatest: over
// the whole range for the results, by time bucket for the series.
func (r *runner) heatmap(c Calculation, series bool) error {
	col := column(c.Column)
	ends, err := r.run(query.Aggregate{Aggs: []query.Agg{{Name: "min", Op: query.Min, Arg: number(col)}, {Name: "max", Op: query.Max, Arg: number(col)}}})
	if err != nil {
		return err
	}
	low, ok := ends.Rows[0][0].Number()
	high, _ := ends.Rows[0][1].Number()
	if !ok {
		return nil
	}
	step := niceStep(high-low, heatmapRows-1)
	cell := query.Call{Fn: "floor", Args: []query.Expr{query.Call{Fn: "div", Args: []query.Expr{number(col), query.Const{Value: event.Float(step)}}}}}
	by := append(r.groups(), query.Named{Name: "$cell", Value: cell})
	if series {
		by = append(by, r.bucket())
	}
	res, err := r.run(query.Filter{Where: query.Has{X: number(col)}}, query.Aggregate{By: by, Aggs: []query.Agg{{Name: "$count", Op: query.Count, Weighted: true}}})
	if err != nil {
		return err
	}
	kept := r.kept()
	cellAt, countAt, timeAt := res.Column("$cell"), res.Column("$count"), res.Column(timeColumn)
	points := map[string]int{}
	for i, p := range r.out.Series {
		points[p.Time+r.groupKey(p.Data)] = i
	}
	for _, row := range res.Rows {
		group := Data{}
		for i, name := range res.Columns {
			if slices.Contains(r.spec.Breakdowns, name) && !row[i].Missing() {
				group[name] = Cell{Value: row[i]}
			}
		}
		key := r.groupKey(group)
		at, ok := kept[key]
		if !ok {
			continue
		}
		n, _ := row[cellAt].Number()
		count, _ := row[countAt].Number()
		b := HeatBucket{n * step, (n + 1) * step, count}
		addBucket(r.out.Results[at], c.key(), b)
		if timeAt < 0 {
			continue
		}
		when := bucketTime(row[timeAt])
		i, ok := points[when+key]
		if !ok {
			i = len(r.out.Series)
			points[when+key] = i
			r.out.Series = append(r.out.Series, Point{when, group})
		}
		addBucket(r.out.Series[i].Data, c.key(), b)
	}
	for _, d := range r.out.Results {
		sortBuckets(d[c.key()].Buckets)
	}
	for _, p := range r.out.Series {
		sortBuckets(p.Data[c.key()].Buckets)
	}
	return nil
}

// number is x where it is a number.
func number(x query.Expr) query.Expr { return query.Call{Fn: "to_number", Args: []query.Expr{x}} }

func addBucket(d Data, name string, b HeatBucket) {
	list := d[name].Buckets
	for i := range list {
		if list[i].Min == b.Min {
			list[i].Count += b.Count
			return
		}
	}
	d[name] = Cell{Buckets: append(list, b)}
}

func sortBuckets(list []HeatBucket) {
	slices.SortFunc(list, func(a, b HeatBucket) int {
		switch {
		case a.Min < b.Min:
			return -1
		case a.Min > b.Min:
			return 1
		}
		return 0
	})
}
