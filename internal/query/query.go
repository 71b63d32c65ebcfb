package query

import (
	"math"
	"slices"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/event"
)

// Query asks for rows of some datasets in a time range, taken through a pipeline.
type Query struct {
	// Datasets are the datasets to read; nil means all, an empty slice none.
	Datasets []event.DatasetID
	// From is the inclusive begin and To the exclusive end of the range of $time; a zero
	// time is unbounded.
	From, To time.Time
	Stages   []Stage
	// Counted asks for an exact Stats.RowsMatched. Otherwise rows that can not be among those
	// asked for may be passed over before it is known whether they match.
	Counted bool
	// Progress, unless it is nil, is how others look at the run.
	Progress *Progress
}

// Range returns the smallest and the largest $time, in nanoseconds, that lie within From and To;
// ok is false when none does. Bounds that nanoseconds can not express are those of all time.
func (q *Query) Range() (first, last int64, ok bool) {
	first, last = math.MinInt64, math.MaxInt64
	if !q.From.IsZero() {
		if q.From.After(lastTime) {
			return 0, 0, false
		}
		if q.From.After(firstTime) {
			first = q.From.UnixNano()
		}
	}
	if !q.To.IsZero() && !q.To.After(lastTime) {
		if !q.To.After(firstTime) {
			return 0, 0, false
		}
		last = q.To.UnixNano() - 1
	}
	return first, last, first <= last
}

// The ends of what nanoseconds since the epoch can express.
var (
	firstTime = time.Unix(0, math.MinInt64)
	lastTime  = time.Unix(0, math.MaxInt64)
)

// Stage is one step of a pipeline; the set of implementations is closed.
type Stage interface{ stage() }

// Filter keeps the rows for which Where is truthy.
type Filter struct{ Where Expr }

// Extend adds a computed field, or replaces one, in every row. A missing value removes it.
type Extend struct {
	Name  string
	Value Expr
}

// Aggregate groups rows by the values of By (a missing value is a group of its own) and
// computes Aggs for each group. Its rows have the names of By and Aggs as fields. With an
// empty By there is exactly one row, also when no row came in.
type Aggregate struct {
	By   []Named
	Aggs []Agg
	// Max bounds the groups further than MaxHeld does; 0 does not.
	Max int
}

// MaxGroups is the number of groups beyond which the stage fails with ErrTooLarge.
func (s *Aggregate) MaxGroups() int {
	if s.Max > 0 {
		return min(s.Max, MaxHeld)
	}
	return MaxHeld
}

// Named is an expression with the name of the field that it becomes.
type Named struct {
	Name  string
	Value Expr
}

// AggOp is an aggregate function.
type AggOp uint8

// The aggregate functions. Missing values of the argument are skipped by all of them.
const (
	Count         AggOp = iota // rows, or rows whose argument is not missing
	Sum                        // of numbers
	Avg                        // of numbers
	Min                        // by event.Order
	Max                        // by event.Order
	CountDistinct              // exact up to distinctExact values, then HyperLogLog
	Percentile                 // of numbers, P in 0..100; exact up to percentileExact numbers, then DDSketch at 1 %
	StdDev                     // population standard deviation of numbers
	Earliest                   // argument of the row with the smallest $time
	Latest                     // argument of the row with the largest $time
	Variance                   // population variance of numbers
	Values                     // the different values, a document: a list of the first maxValues by event.Order
	Histogram                  // of numbers, a document: how many lie in each of P ranges of equal width
)

// Agg is one aggregate of an Aggregate stage.
type Agg struct {
	Name string
	Op   AggOp
	// Arg is what is aggregated; nil only for Count.
	Arg Expr
	// P is the percentile, 0 to 100, or the number of ranges, 1 to 100.
	P float64
	// Weighted counts each row as often as its $sample_rate says (Count, Sum, Avg,
	// Percentile, StdDev).
	Weighted bool
}

// Sort orders rows by its keys. Ties keep no particular order: name enough keys.
type Sort struct{ Keys []SortKey }

// SortKey orders by the value of an expression. Missing values come last in both directions.
type SortKey struct {
	By   Expr
	Desc bool
	// Loose compares numeric strings as numbers.
	Loose bool
}

// Limit keeps the first N rows.
type Limit struct{ N int }

// Distinct keeps the first row of each combination of the values of By. With KeepMissing it keeps
// all rows that lack one of them. With Keys the first is that by these keys, and the rows come in no
// particular order.
type Distinct struct {
	By          []Expr
	KeepMissing bool
	Keys        []SortKey
}

// Spread makes of a row one row for each time bucket that it overlaps, where it lasts from its
// $time for Length nanoseconds, of which whole ones count. A row without a length above zero
// overlaps none. From and To, in nanoseconds since the epoch, bound the time that is looked at: at
// most MaxSpread whole buckets.
type Spread struct {
	// Name is the field that takes the begin of the bucket, a multiple of Step in nanoseconds.
	Name string
	// Part is the field that takes how much of the bucket's time between From and To the row
	// lasts, above 0 and up to 1.
	Part     string
	Length   Expr
	Step     int64
	From, To int64
}

// MaxSpread is the number of whole buckets that a Spread may have.
const MaxSpread = 1000

// Project makes the result's columns: these expressions under these names, in this order.
// Stages behind it see only them.
type Project struct{ Fields []Named }

func (Filter) stage()    {}
func (Extend) stage()    {}
func (Aggregate) stage() {}
func (Sort) stage()      {}
func (Limit) stage()     {}
func (Distinct) stage()  {}
func (Spread) stage()    {}
func (Project) stage()   {}

// FieldsNamed returns Named expressions for plain fields.
func FieldsNamed(names ...string) []Named {
	out := make([]Named, len(names))
	for i, n := range names {
		out[i] = Named{n, Field{n}}
	}
	return out
}

// Result is a table: Rows[i][j] is the value of Columns[j] in row i, missing where the row
// has none.
type Result struct {
	Columns []string
	Rows    [][]event.Value
	Stats   Stats
}

// Column returns the index of a column, or -1.
func (r *Result) Column(name string) int {
	for i, c := range r.Columns {
		if c == name {
			return i
		}
	}
	return -1
}

// Stats says what a run cost.
type Stats struct {
	RowsScanned    int64
	RowsSkipped    int64 // of row groups and batches that an index showed to have no match
	RowsMatched    int64 // rows that passed the filters ahead of the first other stage
	BytesScanned   int64
	SegmentsRead   int
	SegmentsPruned int
	Elapsed        time.Duration
}

// Add adds the counts of o, so that an answer made of several runs reports their sum.
func (s *Stats) Add(o Stats) {
	s.RowsScanned += o.RowsScanned
	s.RowsSkipped += o.RowsSkipped
	s.RowsMatched += o.RowsMatched
	s.BytesScanned += o.BytesScanned
	s.SegmentsRead += o.SegmentsRead
	s.SegmentsPruned += o.SegmentsPruned
	s.Elapsed += o.Elapsed
}

// Columns returns the stored fields that the query reads, header fields included; all is true
// when it returns whole rows, so that every field is read.
func (q *Query) Columns() (names map[string]bool, all bool) {
	names = map[string]bool{}
	made := map[string]bool{}
	add := func(e Expr) {
		Walk(e, func(e Expr) bool {
			switch e := e.(type) {
			case Field:
				if !made[e.Name] {
					names[e.Name] = true
				}
			case TraceIn:
				names[event.FieldTrace] = true
			case SpanIn:
				names[event.FieldTrace], names[e.Field] = true, true
			case Exists:
				switch over := e.Over.(type) {
				case JSONValues:
					Walk(over.Source, func(s Expr) bool {
						if f, ok := s.(Field); ok && !made[f.Name] {
							names[f.Name] = true
						}
						return true
					})
					return false
				case Parent:
					names[event.FieldTrace], names[event.FieldParent] = true, true
				case Child:
					names[event.FieldTrace], names[event.FieldSpan] = true, true
				default:
					names[event.FieldTrace] = true
				}
			}
			return true
		})
	}
	for _, s := range q.Stages {
		switch s := s.(type) {
		case Filter:
			add(s.Where)
		case Extend:
			add(s.Value)
			made[s.Name] = true
		case Spread:
			add(s.Length)
			names[event.FieldTime] = true
			made[s.Name], made[s.Part] = true, true
		case Unnest:
			add(s.List)
			made[s.Name] = true
		case Join:
			for _, e := range s.On {
				add(e)
			}
			for _, n := range s.Names {
				made[n] = made[n] || !s.Left && n != ""
			}
		case Running:
			add(s.Arg)
			for _, e := range s.By {
				add(e)
			}
			if s.Op == Session {
				names[event.FieldTime] = true
			}
			made[s.Name] = true
		case AddColumns:
			for _, n := range s.Names {
				add(Field{n})
			}
		case Totals:
			for _, n := range s.Fields {
				add(Field{n})
			}
		case Outliers:
			for _, n := range s.Fields {
				add(Field{n})
			}
		case Gaps:
			add(Field{s.Time})
			for _, n := range s.By {
				add(Field{n})
			}
		case Patterns:
			add(Field{s.Template})
			add(Field{s.Kind})
			for _, n := range append(slices.Clone(s.By), s.Sums...) {
				add(Field{n})
			}
			return names, false
		case Anomalies:
			add(Field{s.Time})
			add(Field{s.Value})
			for _, n := range s.Series {
				add(Field{n})
			}
		case Relevance:
			if s.Fields == nil {
				return names, true
			}
			add(s.Where)
			for _, f := range s.Fields {
				add(f.Value)
			}
			return names, false
		case Aggregate:
			for _, b := range s.By {
				add(b.Value)
			}
			for _, a := range s.Aggs {
				if a.Arg != nil {
					add(a.Arg)
				}
				if a.Weighted {
					names[event.FieldSampleRate] = true
				}
				if a.Op == Earliest || a.Op == Latest {
					names[event.FieldTime] = true
				}
			}
			return names, false
		case Sort:
			for _, k := range s.Keys {
				add(k.By)
			}
		case Distinct:
			for _, e := range s.By {
				add(e)
			}
			for _, k := range s.Keys {
				add(k.By)
			}
		case Project:
			for _, f := range s.Fields {
				add(f.Value)
			}
			return names, false
		}
	}
	return names, true
}
