package honeycomb

import (
	"maps"
	"slices"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
)

const (
	opConcurrency  = "CONCURRENCY"
	durationColumn = "duration_ms"
	// lookBack is how long before the range a span may begin that is still in flight in it.
	lookBack = time.Hour
	// partColumn is how much of a time bucket a span is in flight.
	partColumn = "$part"
)

// rateAggs are the operators whose aggregates in time buckets make a rate.
var rateAggs = map[string]query.AggOp{"RATE_AVG": query.Avg, "RATE_SUM": query.Sum, "RATE_MAX": query.Max}

// derived reports whether the calculation is made of the aggregates of time buckets.
func (c Calculation) derived() bool {
	_, rate := rateAggs[c.Op]
	return rate || c.Op == opConcurrency
}

// hidden names the aggregate that a rate is made of; no calculation of a user can be called so.
func (c Calculation) hidden() string { return "$rate " + c.key() }

// hasDerived reports whether the answer needs the time buckets of all groups.
func (s *Spec) hasDerived() bool { return slices.ContainsFunc(s.calculations(), Calculation.derived) }

// table holds an answer while it is made: groups and their time buckets, before havings, order and
// limit.
type table struct {
	groups map[string]Data
	points map[string]map[int64]Data
}

// group returns the data of a group and its time buckets, given the cells of its breakdowns.
func (t *table) group(key string, by Data) (Data, map[int64]Data) {
	if t.groups[key] == nil {
		t.groups[key], t.points[key] = maps.Clone(by), map[int64]Data{}
	}
	return t.groups[key], t.points[key]
}

// derive answers a spec with calculations that are made of time buckets: their values over the
// range are known only when the buckets of all groups are, so that havings, order and limit come
// last.
func (r *runner) derive(series bool) error {
	t := &table{groups: map[string]Data{}, points: map[string]map[int64]Data{}}
	plain := r.spec.aggs()
	res, err := r.run(query.Aggregate{By: r.groups(), Aggs: plain})
	if err != nil {
		return err
	}
	for _, row := range res.Rows {
		d := r.data(res, row)
		group, _ := t.group(r.groupKey(d), r.by(d))
		maps.Copy(group, d)
	}
	if err := r.buckets(t, plain, series); err != nil {
		return err
	}
	r.rates(t)
	for _, c := range r.spec.calculations() {
		if c.Op == opConcurrency {
			if err := r.concurrency(t, c.key()); err != nil {
				return err
			}
		}
	}
	if err := r.arrange(t); err != nil {
		return err
	}
	if !series {
		return nil
	}
	for _, d := range r.out.Results {
		for at, cells := range t.points[r.groupKey(d)] {
			r.out.Series = append(r.out.Series, Point{bucketTime(event.Int(at)), r.visible(cells)})
		}
	}
	return nil
}

// by returns the cells of the breakdowns.
func (r *runner) by(d Data) Data {
	out := Data{}
	for _, b := range r.spec.Breakdowns {
		if c, ok := d[b]; ok {
			out[b] = c
		}
	}
	return out
}

// visible returns d without the aggregates that rates are made of.
func (r *runner) visible(d Data) Data {
	for _, c := range r.spec.calculations() {
		delete(d, c.hidden())
	}
	return d
}

// buckets fills in the aggregates of time buckets.
func (r *runner) buckets(t *table, plain []query.Agg, series bool) error {
	var aggs []query.Agg
	if series {
		aggs = slices.Clone(plain)
	}
	for _, c := range r.spec.calculations() {
		if op, ok := rateAggs[c.Op]; ok {
			aggs = append(aggs, query.Agg{Name: c.hidden(), Op: op, Arg: column(c.Column), Weighted: op != query.Max})
		}
	}
	if len(aggs) == 0 {
		return nil
	}
	res, err := r.run(query.Aggregate{By: append(r.groups(), r.bucket()), Aggs: aggs})
	if err != nil {
		return err
	}
	at := res.Column(timeColumn)
	for _, row := range res.Rows {
		d := r.data(res, row)
		_, points := t.group(r.groupKey(d), r.by(d))
		points[row[at].Int()] = d
	}
	return nil
}

// rates computes the rates: in a time bucket the change against the bucket right before, each
// second; over the range the mean of those.
func (r *runner) rates(t *table) {
	for _, c := range r.spec.calculations() {
		if _, ok := rateAggs[c.Op]; !ok {
			continue
		}
		for key, points := range t.points {
			sum, n := 0.0, 0
			for _, at := range slices.Sorted(maps.Keys(points)) {
				is, ok := points[at][c.hidden()].Value.Number()
				was, before := points[at-int64(r.out.Granularity)][c.hidden()].Value.Number()
				if !ok || !before {
					continue
				}
				rate := (is - was) / r.out.Granularity.Seconds()
				points[at][c.key()] = Cell{Value: event.Float(rate)}
				sum += rate
				n++
			}
			if n > 0 {
				t.groups[key][c.key()] = Cell{Value: event.Float(sum / float64(n))}
			}
		}
	}
}

// concurrency computes how many spans are in flight: in a time bucket the mean over its time, over
// the range the largest of those.
func (r *runner) concurrency(t *table, key string) error {
	from, to := r.out.From.UnixNano(), r.out.To.UnixNano()
	q := r.base
	q.From = r.out.From.Add(-lookBack)
	q.Stages = append(slices.Clone(q.Stages), query.Spread{
		Name: timeColumn, Part: partColumn, Step: int64(r.out.Granularity), From: from, To: to,
		Length: query.Call{Fn: "mul", Args: []query.Expr{query.Field{Name: durationColumn}, query.Num(int64(time.Millisecond))}},
	}, query.Aggregate{
		By:   append(r.groups(), query.Named{Name: timeColumn, Value: query.Field{Name: timeColumn}}),
		Aggs: []query.Agg{{Name: partColumn, Op: query.Sum, Arg: query.Field{Name: partColumn}, Weighted: true}},
	})
	res, err := r.query(&q)
	if err != nil {
		return err
	}
	at, part := res.Column(timeColumn), res.Column(partColumn)
	most := map[string]float64{}
	for _, row := range res.Rows {
		d := r.data(res, row)
		by := r.by(d)
		id := r.groupKey(d)
		group, points := t.group(id, by)
		r.counted(group)
		when := row[at].Int()
		if points[when] == nil {
			points[when] = maps.Clone(by)
			r.counted(points[when])
		}
		n, _ := row[part].Number()
		points[when][key] = Cell{Value: event.Float(n)}
		most[id] = max(most[id], n)
	}
	for id, group := range t.groups {
		group[key] = Cell{Value: event.Float(most[id])}
		for _, p := range t.points[id] {
			if _, ok := p[key]; !ok {
				p[key] = Cell{Value: event.Float(0)}
			}
		}
	}
	return nil
}

// counted puts zeros where no row was counted: a group or a time bucket may be there only because
// spans that began earlier are in flight.
func (r *runner) counted(d Data) {
	for _, a := range r.spec.aggs() {
		if _, ok := d[a.Name]; !ok && (a.Op == query.Count || a.Op == query.CountDistinct) {
			d[a.Name] = Cell{Value: event.Int(0)}
		}
	}
}

// arrange makes the results: havings, order and limit, as the store has them.
func (r *runner) arrange(t *table) error {
	columns := slices.Clone(r.spec.Breakdowns)
	for _, c := range r.spec.calculations() {
		if c.Op != opHeatmap {
			columns = append(columns, c.key())
		}
	}
	var stages []query.Stage
	if h := r.spec.having(); h != nil {
		stages = append(stages, query.Filter{Where: h})
	}
	tail := query.NewRunner(append(stages, query.Sort{Keys: r.spec.sortKeys()}, query.Limit{N: r.spec.limit()}), columns)
	for _, d := range t.groups {
		row := make([]event.Value, len(columns))
		for i, name := range columns {
			row[i] = d[name].Value
		}
		if !tail.Push(query.NewRow(columns, row)) {
			break
		}
	}
	res, err := tail.Result()
	if err != nil {
		return err
	}
	for _, row := range res.Rows {
		r.out.Results = append(r.out.Results, r.data(res, row))
	}
	return nil
}
