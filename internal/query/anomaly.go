package query

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/trefoil-o11y/trefoil/internal/event"
)

// Anomalies keeps the rows whose number in the field Value is far from what the series of rows
// with equal Series fields has at other Times, those at which it has no row counting as 0. It adds
// the field Expected, the median, and Score: how far the number is from it, in deviations. The
// deviation is the median one, or that of chance for a number of events when that is larger. Rows
// with a score below MinScore are left out, and so are series of fewer than five times.
type Anomalies struct {
	Series          []string
	Time, Value     string
	Times           []event.Value
	Expected, Score string
	MinScore        float64
}

func (Anomalies) stage() {}

func (s Anomalies) check() error {
	if s.Time == "" || s.Value == "" || s.Expected == "" || s.Score == "" || len(s.Times) > MaxTimes {
		return fmt.Errorf("anomalies lack a field or have too many times")
	}
	return nil
}

type anomaliesOp struct {
	stage  Anomalies
	series map[string][]*held
	order  []string
	n      int
	over   bool
	next   operator
}

func (o *anomaliesOp) push(row Row) bool {
	var key []byte
	for _, n := range o.stage.Series {
		key = appendKey(key, row.Get(n))
	}
	if o.n++; o.n > MaxHeld {
		o.over = true
		return false
	}
	k := string(key)
	if _, ok := o.series[k]; !ok {
		o.order = append(o.order, k)
	}
	o.series[k] = append(o.series[k], hold(row))
	return true
}

func (o *anomaliesOp) finish() error {
	if o.over {
		return ErrTooLarge
	}
	for _, k := range o.order {
		if len(o.stage.Times) < 5 {
			break
		}
		rows := o.series[k]
		values := make([]float64, len(o.stage.Times))
		at := map[event.Value]int{}
		for i, t := range o.stage.Times {
			at[t] = i
		}
		for _, r := range rows {
			if i, ok := at[r.Get(o.stage.Time)]; ok {
				values[i], _ = r.Get(o.stage.Value).Number()
			}
		}
		median := quantileOf(slices.Clone(values), 0.5)
		far := make([]float64, len(values))
		for i, v := range values {
			far[i] = math.Abs(v - median)
		}
		deviation := max(1.4826*quantileOf(far, 0.5), math.Sqrt(median), 1)
		for _, r := range rows {
			v, _ := r.Get(o.stage.Value).Number()
			score := math.Abs(v-median) / deviation
			if score < o.stage.MinScore {
				continue
			}
			out := overlaid{r, []string{o.stage.Expected, o.stage.Score}, []event.Value{Number(median), event.Float(math.Round(score*100) / 100)}}
			if !o.next.push(out) {
				return o.next.finish()
			}
		}
	}
	return o.next.finish()
}

// quantileOf interpolates linearly between the closest ranks; it sorts the list. That of no number
// is 0.
func quantileOf(list []float64, q float64) float64 {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	rank := q * float64(len(list)-1)
	lo := int(rank)
	hi := min(lo+1, len(list)-1)
	return list[lo] + (rank-float64(lo))*(list[hi]-list[lo])
}

// Relevance says which fields tell the rows for which Where holds from the others. Its rows have
// the fields @fieldName; @relevanceScore, from 0 for a field whose values are spread alike in both
// to 1 for one that parts them; @topRelevanceContributors, a document: the values that are more
// common where Where holds, with their shares there and elsewhere; and, of numbers, the medians
// @conditionalMedian and @baselineMedian. Fields are those to look at, nil for all; Hidden are left
// out of all.
type Relevance struct {
	Where  Expr
	Fields []Named
	Hidden []string
}

// RelevanceFields are the fields of the rows that Relevance makes.
var RelevanceFields = []string{"@fieldName", "@relevanceScore", "@topRelevanceContributors", "@conditionalMedian", "@baselineMedian"}

func (Relevance) stage() {}

func (s Relevance) check() error {
	for _, f := range s.Fields {
		if err := CheckExpr(f.Value); err != nil {
			return err
		}
	}
	return CheckExpr(s.Where)
}

const (
	// relevanceFields is how many fields are looked at, relevanceValues how many values of one,
	// relevanceNumbers up to how many numbers of one and side are exact.
	relevanceFields  = 1000
	relevanceNumbers = 1000
	relevanceValues  = 1000
	// fewNumbers is up to how many different numbers each is a value of its own.
	fewNumbers   = 20
	contributors = 5
)

type relevanceOp struct {
	stage  Relevance
	fields map[string]*relevance
	total  [2]float64 // rows for which Where does not hold, and does
	next   operator
}

// relevance is what is known of one field.
type relevance struct {
	name    string
	counts  map[string][2]float64 // of values
	many    bool                  // more values than are counted
	present [2]float64
	numeric [2]float64
	numbers [2]*percentiles
}

func (o *relevanceOp) push(row Row) bool {
	side := 0
	if Holds(o.stage.Where, row) {
		side = 1
	}
	o.total[side]++
	if o.stage.Fields != nil {
		for _, f := range o.stage.Fields {
			o.add(f.Name, Eval(f.Value, row), side)
		}
		return true
	}
	row.Each(func(name string, v event.Value) bool {
		if name[0] != '$' && !slices.Contains(o.stage.Hidden, name) {
			o.add(name, v, side)
		}
		return true
	})
	return true
}

func (o *relevanceOp) add(name string, v event.Value, side int) {
	if v.Missing() {
		return
	}
	f := o.fields[name]
	if f == nil {
		if len(o.fields) >= relevanceFields {
			return
		}
		f = &relevance{name: strings.Clone(name), counts: map[string][2]float64{}}
		for i := range f.numbers {
			f.numbers[i] = &percentiles{n: make([]percentile, 1)}
		}
		o.fields[f.name] = f
	}
	f.present[side]++
	if n, ok := looseNumber(v); ok {
		f.numeric[side]++
		p := f.numbers[side]
		if p.add(0, n, 1); len(p.n[0].vals) > relevanceNumbers {
			p.toSketch(&p.n[0])
		}
	}
	if f.many {
		return
	}
	text := cutText(v.Text(), 200)
	c, ok := f.counts[text]
	if !ok {
		if len(f.counts) >= relevanceValues {
			f.many, f.counts = true, nil
			return
		}
		text = strings.Clone(text)
	}
	c[side]++
	f.counts[text] = c
}

// score returns half the sum of the differences of the shares of each value, a missing one
// included, or of numbers of many values the largest difference of their distributions.
func (f *relevance) score(total [2]float64) float64 {
	numbers := f.numeric[0] == f.present[0] && f.numeric[1] == f.present[1]
	if !numbers && float64(len(f.counts)) > 10 && float64(len(f.counts)) > (f.present[0]+f.present[1])/2 {
		return 0 // an id, which tells rows from one another, not kinds of them
	}
	if f.many || numbers && len(f.counts) > fewNumbers {
		f.counts = nil
		if f.numeric[0] < f.present[0] || f.numeric[1] < f.present[1] || f.numeric[0] == 0 || f.numeric[1] == 0 {
			return 0 // texts that are nearly all different tell nothing
		}
		most := 0.0
		for p := 1.0; p < 100; p++ {
			f.numbers[1].p = p
			x, _ := f.numbers[1].Value(0).Number()
			most = max(most, math.Abs(f.numbers[0].below(0, x)-p/100))
		}
		return min(most, 1)
	}
	sum := math.Abs((total[1]-f.present[1])/total[1] - (total[0]-f.present[0])/total[0])
	for _, c := range f.counts {
		sum += math.Abs(c[1]/total[1] - c[0]/total[0])
	}
	return min(sum/2, 1)
}

// below returns the share of the numbers of a group that are at most x.
func (a *percentiles) below(g uint32, x float64) float64 {
	lo, hi := 0.0, 100.0
	for range 20 { // a search among percentages
		mid := (lo + hi) / 2
		a.p = mid
		if v, _ := a.Value(g).Number(); v <= x {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo / 100
}

func (o *relevanceOp) finish() error {
	if o.total[0] == 0 || o.total[1] == 0 {
		return o.next.finish()
	}
	type scored struct {
		f     *relevance
		score float64
	}
	var list []scored
	for _, f := range o.fields {
		if s := math.Round(f.score(o.total)*1e4) / 1e4; s > 0 {
			list = append(list, scored{f, s})
		}
	}
	slices.SortFunc(list, func(a, b scored) int { return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.f.name, b.f.name)) })
	for _, s := range list {
		values := []event.Value{event.String(s.f.name), event.Float(s.score), s.f.contributors(o.total), {}, {}}
		if s.f.numeric[1] > 0 && s.f.numeric[1] == s.f.present[1] {
			values[3] = s.f.median(1)
		}
		if s.f.numeric[0] > 0 && s.f.numeric[0] == s.f.present[0] {
			values[4] = s.f.median(0)
		}
		if !o.next.push(&held{RelevanceFields, values}) {
			break
		}
	}
	return o.next.finish()
}

func (f *relevance) median(side int) event.Value {
	f.numbers[side].p = 50
	v, _ := f.numbers[side].Value(0).Number()
	return Number(v)
}

func (f *relevance) contributors(total [2]float64) event.Value {
	if f.counts == nil {
		return event.Value{}
	}
	type value struct {
		text        string
		here, there float64
	}
	var list []value
	for text, c := range f.counts {
		if v := (value{text, c[1] / total[1], c[0] / total[0]}); v.here > v.there {
			list = append(list, v)
		}
	}
	slices.SortFunc(list, func(a, b value) int {
		return cmp.Or(cmp.Compare(b.here-b.there, a.here-a.there), cmp.Compare(a.text, b.text))
	})
	share := func(f float64) string { return event.FormatFloat(math.Round(f*1e4) / 1e4) }
	b := []byte{'['}
	for i, v := range list[:min(len(list), contributors)] {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"value":`...)
		b = appendJSON(b, v.text)
		b = append(b, `,"conditional":`+share(v.here)+`,"baseline":`+share(v.there)+"}"...)
	}
	return event.String(string(append(b, ']')))
}

func cutText(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
