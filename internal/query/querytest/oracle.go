package querytest

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"
	"strings"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
)

// Row is an event as a map of all its fields, header fields included.
type Row map[string]event.Value

// Get implements query.Row.
func (r Row) Get(name string) event.Value { return r[name] }

// Each implements query.Row; fields come in the order of their names.
func (r Row) Each(yield func(string, event.Value) bool) {
	names := make([]string, 0, len(r))
	for n := range r {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		if !r[n].Missing() && !yield(n, r[n]) {
			return
		}
	}
}

// Rows returns the events of batches as maps.
func Rows(batches ...*event.Batch) []Row {
	var out []Row
	for _, b := range batches {
		for i := range b.Headers {
			r := Row{}
			for _, n := range event.HeaderFields() {
				if v := b.Get(i, n); !v.Missing() {
					r[n] = v
				}
			}
			for c := range b.NumColumns() {
				col := b.Column(c)
				if v := col.Find(i); !v.Missing() {
					r[col.Name] = v
				}
			}
			out = append(out, r)
		}
	}
	return out
}

// Oracle answers q over rows the slow and obvious way: every stage makes a new list of rows,
// and every aggregate is computed from the list of its values. Columns are not ordered.
func Oracle(q *query.Query, rows []Row) ([]Row, error) {
	if err := q.Check(); err != nil {
		return nil, err
	}
	var base []Row
	for _, r := range rows {
		t := r[event.FieldTime].Int()
		if q.Datasets != nil && !slices.Contains(q.Datasets, event.DatasetID(r[event.FieldDataset].Int())) {
			continue
		}
		if !q.From.IsZero() && t < q.From.UnixNano() || !q.To.IsZero() && t >= q.To.UnixNano() {
			continue
		}
		base = append(base, r)
	}
	q, err := q.TraceSets(func(x query.Exists) (query.Expr, error) { return Related(x, base), nil })
	if err != nil {
		return nil, err
	}
	for _, s := range q.Stages {
		if base, err = stage(s, base); err != nil {
			return nil, err
		}
	}
	return base, nil
}

// Related looks for the traces or spans of the rows that an Exists over a trace, a parent or a
// child asks for, as query.Query.TraceSets wants it.
func Related(x query.Exists, rows []Row) query.Expr {
	traces, spans := map[event.TraceID]struct{}{}, map[query.SpanKey]struct{}{}
	own, theirs := "", ""
	switch x.Over.(type) {
	case query.Parent:
		own, theirs = event.FieldParent, event.FieldSpan
	case query.Child:
		own, theirs = event.FieldSpan, event.FieldParent
	}
	for _, r := range rows {
		id, err := event.ParseTraceID(r[event.FieldTrace].Str())
		if err != nil || !query.Holds(x.Where, r) {
			continue
		}
		traces[id] = struct{}{}
		if span, err := event.ParseSpanID(r[theirs].Str()); err == nil {
			spans[query.SpanKey{Trace: id, Span: span}] = struct{}{}
		}
	}
	if own == "" {
		return query.TraceIn{IDs: traces}
	}
	return query.SpanIn{Field: own, Keys: spans}
}

// spread looks at every bucket of the stage for every row.
func spread(s query.Spread, rows []Row) []Row {
	var out []Row
	for _, r := range rows {
		length, ok := query.Eval(s.Length, r).Number()
		if !ok || math.IsNaN(length) {
			continue
		}
		begin := r[event.FieldTime].Int()
		end := begin + int64(min(length, 1<<60))
		for b := query.FloorTo(s.From, s.Step); b < s.To; b += s.Step {
			from, to := max(b, s.From), min(b+s.Step, s.To)
			if lasts := min(end, to) - max(begin, from); lasts > 0 {
				n := maps.Clone(r)
				n[s.Name], n[s.Part] = event.Int(b), event.Float(float64(lasts)/float64(to-from))
				out = append(out, n)
			}
		}
	}
	return out
}

func stage(s query.Stage, rows []Row) ([]Row, error) {
	var out []Row
	switch s := s.(type) {
	case query.Filter:
		for _, r := range rows {
			if query.Holds(s.Where, r) {
				out = append(out, r)
			}
		}
	case query.Extend:
		for _, r := range rows {
			n := Row{}
			for k, v := range r {
				n[k] = v
			}
			n[s.Name] = query.Eval(s.Value, r)
			out = append(out, n)
		}
	case query.Spread:
		return spread(s, rows), nil
	case query.Project:
		for _, r := range rows {
			out = append(out, named(s.Fields, r))
		}
	case query.Limit:
		return rows[:min(s.N, len(rows))], nil
	case query.Sort:
		out = slices.Clone(rows)
		slices.SortStableFunc(out, func(a, b Row) int {
			for _, k := range s.Keys {
				x, y := query.Eval(k.By, a), query.Eval(k.By, b)
				if x.Missing() != y.Missing() {
					if x.Missing() {
						return 1
					}
					return -1
				}
				c := event.Order(x, y)
				if k.Loose {
					c = looseOrder(x, y)
				}
				if c != 0 {
					if k.Desc {
						return -c
					}
					return c
				}
			}
			return 0
		})
	case query.Distinct:
		if s.Keys != nil {
			var err error
			if rows, err = stage(query.Sort{Keys: s.Keys}, rows); err != nil {
				return nil, err
			}
		}
		var seen [][]event.Value
		for _, r := range rows {
			var key []event.Value
			for _, e := range s.By {
				key = append(key, query.Eval(e, r))
			}
			whole := !slices.Contains(key, event.Value{})
			if s.KeepMissing && !whole {
				out = append(out, r)
			} else if !slices.ContainsFunc(seen, func(o []event.Value) bool { return slices.Equal(o, key) }) {
				seen = append(seen, key)
				out = append(out, r)
			}
		}
	case query.Aggregate:
		return aggregate(s, rows), nil
	default:
		return laterStage(s, rows)
	}
	return out, nil
}

func named(fields []query.Named, r Row) Row {
	n := Row{}
	for _, f := range fields {
		n[f.Name] = query.Eval(f.Value, r)
	}
	return n
}

func aggregate(s query.Aggregate, rows []Row) []Row {
	var keys []Row
	var groups [][]Row
	for _, r := range rows {
		k := named(s.By, r)
		i := slices.IndexFunc(keys, func(o Row) bool {
			for n, v := range k {
				if o[n] != v {
					return false
				}
			}
			return true
		})
		if i < 0 {
			i = len(keys)
			keys, groups = append(keys, k), append(groups, nil)
		}
		groups[i] = append(groups[i], r)
	}
	if len(s.By) == 0 && len(keys) == 0 {
		keys, groups = []Row{{}}, [][]Row{nil}
	}
	for i, k := range keys {
		for _, a := range s.Aggs {
			k[a.Name] = one(a, groups[i])
		}
	}
	return keys
}

func one(a query.Agg, rows []Row) event.Value {
	var vals []event.Value
	var weights []float64
	var times []int64
	for _, r := range rows {
		v := event.Bool(true)
		if a.Arg != nil {
			v = query.Eval(a.Arg, r)
		}
		if v.Missing() {
			continue
		}
		w := 1.0
		if a.Weighted {
			w = float64(max(r[event.FieldSampleRate].Int(), 1))
		}
		vals, weights, times = append(vals, v), append(weights, w), append(times, r[event.FieldTime].Int())
	}
	var nums []float64 // each repeated by its weight
	for i, v := range vals {
		if f, ok := v.Number(); ok {
			for range int(weights[i]) {
				nums = append(nums, f)
			}
		}
	}
	total := 0.0
	for _, f := range nums {
		total += f
	}
	switch a.Op {
	case query.Count:
		n := 0.0
		for _, w := range weights {
			n += w
		}
		return query.Number(n)
	case query.Values:
		return valueList(vals)
	case query.CountDistinct:
		seen := map[event.Value]bool{}
		for _, v := range vals {
			seen[v] = true
		}
		return event.Int(int64(len(seen)))
	case query.Min, query.Max, query.Earliest, query.Latest:
		if len(vals) == 0 {
			return event.Value{}
		}
		best := 0
		for i := range vals {
			switch c := event.Order(vals[i], vals[best]); {
			case a.Op == query.Min && c < 0, a.Op == query.Max && c > 0,
				a.Op == query.Earliest && times[i] < times[best], a.Op == query.Latest && times[i] > times[best]:
				best = i
			}
		}
		return vals[best]
	}
	if len(nums) == 0 {
		return event.Value{}
	}
	mean := total / float64(len(nums))
	switch a.Op {
	case query.Sum:
		return event.Float(total)
	case query.Avg:
		return event.Float(mean)
	case query.Histogram:
		return histogram(nums, int(a.P))
	case query.StdDev, query.Variance:
		// Counted from the first value, so that equal values have no deviation at all.
		m, off := 0.0, 0.0
		for _, f := range nums {
			off += (f - nums[0]) / float64(len(nums))
		}
		for _, f := range nums {
			m += (f - nums[0] - off) * (f - nums[0] - off)
		}
		if a.Op == query.Variance {
			return event.Float(m / float64(len(nums)))
		}
		return event.Float(math.Sqrt(m / float64(len(nums))))
	default: // Percentile
		sort.Float64s(nums)
		rank := a.P / 100 * float64(len(nums)-1)
		lo := int(rank)
		hi := min(lo+1, len(nums)-1)
		return event.Float(nums[lo] + (rank-float64(lo))*(nums[hi]-nums[lo]))
	}
}

// Diff compares a store's result with the oracle's rows and describes the first difference;
// "" means equal. With ordered the rows must come in the same order, else they are compared
// as sets. Numbers may differ by a relative error of 1e-9, times and other large integers not at all.
func Diff(got *query.Result, want []Row, ordered bool) string {
	type line struct {
		text string
		row  Row
	}
	lines := func(rows []Row) []line {
		out := make([]line, len(rows))
		for i, r := range rows {
			out[i] = line{canonical(r), r}
		}
		if !ordered {
			slices.SortFunc(out, func(a, b line) int { return strings.Compare(a.text, b.text) })
		}
		return out
	}
	have := make([]Row, len(got.Rows))
	for i, vals := range got.Rows {
		have[i] = Row{}
		for j, v := range vals {
			have[i][got.Columns[j]] = v
		}
	}
	g, w := lines(have), lines(want)
	for i := range max(len(g), len(w)) {
		switch {
		case i >= len(g):
			return fmt.Sprintf("row %d of %d is missing: %s", i, len(w), w[i].text)
		case i >= len(w):
			return fmt.Sprintf("row %d of %d should not be there: %s", i, len(g), g[i].text)
		case g[i].text != w[i].text && !alike(g[i].row, w[i].row):
			return fmt.Sprintf("row %d:\n got %s\nwant %s", i, g[i].text, w[i].text)
		}
	}
	return ""
}

// alike reports whether rows are equal but for numbers that are rounded to different digits.
func alike(a, b Row) bool {
	for _, r := range []Row{a, b} {
		for n := range r {
			x, xok := a[n].Number()
			y, yok := b[n].Number()
			switch {
			case xok != yok:
				return false
			case !xok && (a[n].Missing() != b[n].Missing() || a[n].Text() != b[n].Text()):
				return false
			case xok && math.Abs(x-y) > 1e-9*max(math.Abs(x), math.Abs(y)), xok && math.Abs(x) >= 1e15 && x != y:
				return false
			}
		}
	}
	return true
}

func canonical(r Row) string {
	s := ""
	r.Each(func(n string, v event.Value) bool {
		text := v.Text()
		if f, ok := v.Number(); ok && (v.Kind() != event.KindInt || math.Abs(f) < 1e15) {
			text = fmt.Sprintf("%.9g", f)
		}
		s += fmt.Sprintf("%s=%q ", n, text)
		return true
	})
	return s
}
