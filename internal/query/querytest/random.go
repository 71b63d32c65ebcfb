package querytest

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
)

// Epoch is the time around which random events lie.
var Epoch = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// RandomBatches returns batches of n events in all over the datasets, with columns of every
// kind, mixed kinds under one name, missing values, shared traces and streams. A batch is of one
// dataset or of several.
func RandomBatches(rnd *rand.Rand, n int, datasets ...event.DatasetID) []*event.Batch {
	var out []*event.Batch
	b := event.NewBuilder()
	defer b.Release()
	for n > 0 {
		ds, mixed := datasets[rnd.IntN(len(datasets))], rnd.IntN(2) == 0
		for range min(n, 1+rnd.IntN(200)) {
			h := event.Header{
				Time:     Epoch.Add(time.Duration(rnd.Int64N(int64(time.Hour)))).UnixNano(),
				Ingested: Epoch.UnixNano(),
				Dataset:  ds,
			}
			if mixed {
				h.Dataset = datasets[rnd.IntN(len(datasets))]
			}
			if rnd.IntN(3) > 0 {
				h.Trace = event.TraceID{15: byte(1 + rnd.IntN(40))}
				h.Span = event.SpanID{7: byte(1 + rnd.IntN(200))}
				if rnd.IntN(3) > 0 {
					h.Parent = event.SpanID{7: byte(1 + rnd.IntN(200))}
				}
			}
			if rnd.IntN(3) == 0 {
				h.Stream = fmt.Sprintf("stream-%d", rnd.IntN(4))
			}
			if rnd.IntN(4) == 0 {
				h.SampleRate = uint32(1 + rnd.IntN(20))
			}
			b.Add(h)
			b.SetString("name", fmt.Sprintf("op-%d", rnd.IntN(12)))
			b.SetFloat("duration_ms", float64(rnd.IntN(10000))/7)
			if rnd.IntN(2) == 0 {
				b.SetInt("status", int64(200+100*rnd.IntN(4)))
			}
			if rnd.IntN(5) == 0 {
				b.SetString("status", "unknown")
			}
			if rnd.IntN(4) == 0 {
				b.SetBool("error", rnd.IntN(2) == 0)
			}
			if rnd.IntN(3) == 0 {
				b.SetString("message", fmt.Sprintf("user=%d did %s in %d ms", rnd.IntN(50), []string{"read", "write", "fail"}[rnd.IntN(3)], rnd.IntN(900)))
			}
			if rnd.IntN(10) == 0 {
				b.SetString(fmt.Sprintf("rare.%d", rnd.IntN(30)), "x")
			}
			n--
		}
		out = append(out, b.Batch())
	}
	return out
}

// RandomQuery returns a query that fits RandomBatches and has one right answer; ordered tells
// whether its rows have one order.
func RandomQuery(rnd *rand.Rand, datasets ...event.DatasetID) (q *query.Query, ordered bool) {
	q = &query.Query{}
	if rnd.IntN(2) == 0 {
		q.Datasets = datasets[:1+rnd.IntN(len(datasets))]
	}
	if rnd.IntN(2) == 0 {
		q.From = Epoch.Add(time.Duration(rnd.Int64N(int64(30 * time.Minute))))
	}
	if rnd.IntN(2) == 0 {
		q.To = Epoch.Add(30*time.Minute + time.Duration(rnd.Int64N(int64(30*time.Minute))))
	}
	if rnd.IntN(4) > 0 {
		q.Stages = append(q.Stages, query.Filter{Where: randomCondition(rnd, 2)})
	}
	if rnd.IntN(5) == 0 {
		over := []query.Relation{query.SameTrace{}, query.Parent{}, query.Child{}}[rnd.IntN(3)]
		var e query.Expr = query.Exists{Over: over, Where: randomCondition(rnd, 1)}
		switch rnd.IntN(4) {
		case 0:
			e = query.Not{X: e}
		case 1:
			e = query.Or{X: []query.Expr{e, randomCondition(rnd, 1)}}
		}
		q.Stages = append(q.Stages, query.Filter{Where: e})
	}
	if rnd.IntN(3) == 0 {
		q.Stages = append(q.Stages, query.Extend{Name: "x", Value: query.Call{Fn: "mul", Args: []query.Expr{query.Field{Name: "duration_ms"}, query.Num(2)}}})
	}
	if rnd.IntN(6) == 0 {
		q.Stages = append(q.Stages, newest(), query.Limit{N: 200})
		q.Stages = append(q.Stages, randomRowStage(rnd), query.Project{Fields: query.FieldsNamed("name", "duration_ms", "y", "$time", "Total", "duration_ms_outlier")})
		return q, true
	}
	switch rnd.IntN(4) {
	case 0: // whole rows, the newest first
		q.Stages = append(q.Stages, newest(), query.Limit{N: rnd.IntN(100)})
		return q, true
	case 1:
		q.Stages = append(q.Stages, newest(), query.Project{Fields: query.FieldsNamed("name", "status", "$trace_id")}, query.Limit{N: 50})
		return q, true
	case 2:
		q.Stages = append(q.Stages, query.Project{Fields: query.FieldsNamed("name", "error")}, query.Distinct{By: []query.Expr{query.Field{Name: "name"}, query.Field{Name: "error"}}, KeepMissing: rnd.IntN(2) == 0})
		if rnd.IntN(2) == 0 {
			d := q.Stages[len(q.Stages)-1].(query.Distinct)
			d.Keys = newest().Keys
			q.Stages[len(q.Stages)-1] = query.Project{Fields: query.FieldsNamed("message", "status")}
			q.Stages[len(q.Stages)-2] = d
		}
		return q, false
	}
	agg := query.Aggregate{}
	if rnd.IntN(4) == 0 {
		from := Epoch.Add(time.Duration(rnd.Int64N(int64(time.Hour)))).UnixNano()
		step := int64(time.Millisecond) + rnd.Int64N(int64(3*time.Second))
		q.Stages = append(q.Stages, query.Spread{
			Name: "in", Part: "part", Step: step, From: from, To: from + rnd.Int64N(query.MaxSpread)*step/4,
			Length: query.Call{Fn: "mul", Args: []query.Expr{query.Field{Name: "duration_ms"}, query.Num(1e6 * (1 + rnd.Int64N(60)))}},
		})
		agg.By = append(agg.By, query.Named{Name: "in", Value: query.Field{Name: "in"}})
		agg.Aggs = append(agg.Aggs, query.Agg{Name: "part", Op: query.Sum, Arg: query.Field{Name: "part"}, Weighted: rnd.IntN(2) == 0})
	}
	if rnd.IntN(2) == 0 {
		agg.By = append(agg.By, query.Named{Name: "name", Value: query.Field{Name: "name"}})
	}
	if rnd.IntN(2) == 0 {
		agg.By = append(agg.By, query.Named{Name: "bucket", Value: query.TimeBucket(5 * time.Minute)})
	}
	if rnd.IntN(3) == 0 {
		agg.By = append(agg.By, query.Named{Name: "status", Value: query.Field{Name: "status"}})
	}
	weighted := rnd.IntN(2) == 0
	for op := query.Count; op <= query.StdDev; op++ {
		if rnd.IntN(2) == 0 {
			field := []string{"duration_ms", "status", "message"}[rnd.IntN(3)]
			agg.Aggs = append(agg.Aggs, query.Agg{Name: fmt.Sprintf("a%d", op), Op: op, Arg: query.Field{Name: field}, P: 95, Weighted: weighted})
		}
	}
	for op := query.Variance; op <= query.Histogram; op++ {
		if rnd.IntN(4) == 0 {
			field := []string{"duration_ms", "status", "message"}[rnd.IntN(3)]
			agg.Aggs = append(agg.Aggs, query.Agg{Name: fmt.Sprintf("a%d", op), Op: op, Arg: query.Field{Name: field}, P: float64(1 + rnd.IntN(9))})
		}
	}
	agg.Aggs = append(agg.Aggs, query.Agg{Name: "n", Op: query.Count, Weighted: weighted})
	q.Stages = append(q.Stages, agg)
	return q, false
}

// randomRowStage returns a stage that works on rows in their order and adds a field y.
func randomRowStage(rnd *rand.Rand) query.Stage {
	duration, name := query.Field{Name: "duration_ms"}, query.Field{Name: "name"}
	table := &query.Table{Columns: []string{"k", "v"}}
	for i := range rnd.IntN(20) {
		table.Rows = append(table.Rows, []event.Value{event.String(fmt.Sprintf("op-%d", rnd.IntN(12))), event.Int(int64(i))})
	}
	switch rnd.IntN(9) {
	case 0:
		return query.Unnest{Name: "y", List: query.Call{Fn: "split", Args: []query.Expr{query.Field{Name: "message"}, query.Str(" ")}}}
	case 1:
		return query.Join{Table: table, On: []query.Expr{name}, Keys: []int{0}, Names: []string{"", "y"}, Left: rnd.IntN(2) == 0, First: rnd.IntN(2) == 0}
	case 2:
		return query.AddColumns{Table: table, Names: []string{"name", "y"}, Override: rnd.IntN(2) == 0}
	case 3:
		return query.Totals{Fields: []string{"duration_ms", "status"}, LabelIn: "y", Label: "Total"}
	case 4:
		return query.Tail{N: 1 + rnd.IntN(100)}
	case 5:
		return query.Running{Name: "y", Op: query.RunningOp(rnd.IntN(3)), Arg: duration, N: 1 + rnd.Int64N(5)}
	case 6:
		return query.Running{Name: "y", Op: query.Session, By: []query.Expr{name}, N: 1 + rnd.Int64N(int64(time.Minute))}
	case 7:
		return query.Outliers{Fields: []string{"duration_ms"}, Param: rnd.Float64() / 4, Lower: rnd.IntN(2) == 0, Remove: rnd.IntN(2) == 0, Mark: true}
	default:
		return query.Running{Name: "y", Op: query.Carry, Arg: query.Field{Name: "error"}}
	}
}

func newest() query.Sort {
	return query.Sort{Keys: []query.SortKey{{By: query.Field{Name: event.FieldTime}, Desc: true}, {By: query.Field{Name: event.FieldSeq}}}}
}

func randomCondition(rnd *rand.Rand, depth int) query.Expr {
	if depth > 0 {
		switch rnd.IntN(5) {
		case 0:
			return query.And{X: []query.Expr{randomCondition(rnd, depth-1), randomCondition(rnd, depth-1)}}
		case 1:
			return query.Or{X: []query.Expr{randomCondition(rnd, depth-1), randomCondition(rnd, depth-1)}}
		case 2:
			return query.Not{X: randomCondition(rnd, depth-1)}
		}
	}
	op := query.Op(rnd.IntN(5))
	switch rnd.IntN(9) {
	case 0:
		return query.Compare{Op: op, L: query.Field{Name: "status"}, R: query.Num(400)}
	case 1:
		return query.Compare{Op: op, Mode: query.Loose, L: query.Field{Name: "status"}, R: query.Str("400")}
	case 2:
		return query.Compare{Op: op, L: query.Field{Name: "duration_ms"}, R: query.Const{Value: event.Float(float64(rnd.IntN(1400)))}}
	case 3:
		return query.EqStr("name", fmt.Sprintf("op-%d", rnd.IntN(14)))
	case 4:
		return query.Has{X: query.Field{Name: fmt.Sprintf("rare.%d", rnd.IntN(30))}}
	case 5:
		return query.Text{Op: query.TextOp(rnd.IntN(3)), X: query.Field{Name: "message"}, S: []string{"user=1", "fail", "ms"}[rnd.IntN(3)]}
	case 6:
		return query.Match{X: query.Field{Name: "message"}, Re: regexp.MustCompile(`user=[0-4]\b`)}
	case 7:
		return query.EqStr(event.FieldTrace, event.TraceID{15: byte(1 + rnd.IntN(40))}.String())
	default:
		return query.Field{Name: "error"}
	}
}
