package honeycomb

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
)

// Spec is a query of Honeycomb's query API.
type Spec struct {
	Calculations      []Calculation   `json:"calculations,omitempty"`
	Filters           []SpecFilter    `json:"filters,omitempty"`
	FilterCombination string          `json:"filter_combination,omitempty"`
	Breakdowns        []string        `json:"breakdowns,omitempty"`
	Orders            []Order         `json:"orders,omitempty"`
	Havings           []Having        `json:"havings,omitempty"`
	Limit             int             `json:"limit,omitempty"`
	TimeRange         int64           `json:"time_range,omitempty"`
	StartTime         int64           `json:"start_time,omitempty"`
	EndTime           int64           `json:"end_time,omitempty"`
	Granularity       int64           `json:"granularity,omitempty"`
	CalculatedFields  json.RawMessage `json:"calculated_fields,omitempty"`
	Formulas          json.RawMessage `json:"formulas,omitempty"`
	CompareOffset     int64           `json:"compare_time_offset_seconds,omitempty"`
}

// Calculation is one aggregate.
type Calculation struct {
	Op     string `json:"op"`
	Column string `json:"column,omitempty"`
	Name   string `json:"name,omitempty"`
}

// SpecFilter is one condition of the WHERE clause.
type SpecFilter struct {
	Column string          `json:"column"`
	Op     string          `json:"op"`
	Value  json.RawMessage `json:"value,omitempty"`
}

// Order is one term of the ORDER BY clause.
type Order struct {
	Column string `json:"column,omitempty"`
	Op     string `json:"op,omitempty"`
	Order  string `json:"order,omitempty"`
}

// Having is one condition on a calculation.
type Having struct {
	CalculateOp string  `json:"calculate_op"`
	Column      string  `json:"column,omitempty"`
	Op          string  `json:"op"`
	Value       float64 `json:"value"`
}

const (
	defaultRange = 7200
	defaultLimit = 1000
	maxLimit     = 10_000
	maxList      = 100
	opHeatmap    = "HEATMAP"
)

// percentiles are the operators that are percentiles, with their ranks.
var percentiles = map[string]float64{
	"P001": 0.1, "P01": 1, "P05": 5, "P10": 10, "P20": 20, "P25": 25, "P50": 50, "P75": 75, "P80": 80, "P90": 90, "P95": 95, "P99": 99, "P999": 99.9,
}

// unbuilt are operators that Honeycomb has and this server refuses.
var unbuilt = []string{"COUNT_DATAPOINTS", "HISTOGRAM_COUNT"}

// key is the name of a calculation in an answer.
func (c Calculation) key() string {
	switch {
	case c.Name != "":
		return c.Name
	case c.Column != "":
		return c.Op + "(" + c.Column + ")"
	}
	return c.Op
}

func invalid(format string, args ...any) error {
	return &apiError{422, fmt.Sprintf(format, args...)}
}

// Validate reports the first fault of the spec as an error for the client. known reports
// whether a column exists; nil accepts every column.
func (s *Spec) Validate(known func(column string) bool) error {
	for name, n := range map[string]int{
		"calculations": len(s.Calculations), "filters": len(s.Filters), "breakdowns": len(s.Breakdowns), "orders": len(s.Orders), "havings": len(s.Havings),
	} {
		if n > maxList {
			return invalid("%s has more than %d entries", name, maxList)
		}
	}
	if len(s.Formulas) > 0 && string(s.Formulas) != "null" && string(s.Formulas) != "[]" {
		return invalid("formulas are not supported by this server")
	}
	if len(s.CalculatedFields) > 0 && string(s.CalculatedFields) != "null" && string(s.CalculatedFields) != "[]" {
		return invalid("calculated_fields are not supported by this server")
	}
	if s.CompareOffset != 0 {
		return invalid("compare_time_offset_seconds is not supported by this server")
	}
	check := func(column string) error {
		if known != nil && !known(column) {
			return invalid("unknown column %q", column)
		}
		return nil
	}
	keys := map[string]bool{}
	for _, c := range s.calculations() {
		_, isPercentile := percentiles[c.Op]
		switch {
		case slices.Contains(unbuilt, c.Op):
			return invalid("calculation op %q is not supported by this server", c.Op)
		case strings.HasPrefix(c.Name, "$"):
			return invalid("the name %q of a calculation begins with a dollar sign", c.Name)
		case relational(c.Column):
			return invalid("calculation of %q: relational prefixes are for filters", c.Column)
		case c.Op == opConcurrency:
			if c.Column != "" {
				return invalid("calculation op %q takes no column", c.Op)
			}
			if err := check(durationColumn); err != nil {
				return err
			}
		case c.Op == "COUNT":
		case !isPercentile && !c.derived() && !slices.Contains([]string{"SUM", "AVG", "COUNT_DISTINCT", "MAX", "MIN", opHeatmap}, c.Op):
			return invalid("unknown calculation op %q", c.Op)
		case c.Column == "":
			return invalid("calculation op %q needs a column", c.Op)
		}
		if c.Column != "" {
			if err := check(c.Column); err != nil {
				return err
			}
		}
		if keys[c.key()] {
			return invalid("calculation %s is there twice", c.key())
		}
		keys[c.key()] = true
	}
	for _, b := range s.Breakdowns {
		if relational(b) {
			return invalid("breakdown by %q: this server has relational prefixes in filters only", b)
		}
		if err := check(b); err != nil {
			return err
		}
	}
	for _, f := range s.Filters {
		prefix, name := cutRelation(f.Column)
		if prefix != "" && s.FilterCombination == "OR" {
			return invalid("filter of %q: relational prefixes need the filter_combination AND", f.Column)
		}
		if err := check(name); err != nil {
			return err
		}
		if _, err := f.lower(); err != nil {
			return err
		}
	}
	if s.FilterCombination != "" && s.FilterCombination != "AND" && s.FilterCombination != "OR" {
		return invalid("filter_combination must be AND or OR")
	}
	for _, o := range s.Orders {
		if relational(o.Column) {
			return invalid("order by %q: this server has relational prefixes in filters only", o.Column)
		}
		if !slices.Contains(s.Breakdowns, o.Column) || o.Op != "" {
			if !keys[Calculation{Op: o.Op, Column: o.Column}.key()] || o.Op == opHeatmap {
				return invalid("orders must name a breakdown or a calculation")
			}
		}
		if o.Order != "" && o.Order != "ascending" && o.Order != "descending" {
			return invalid("order must be ascending or descending")
		}
	}
	for _, h := range s.Havings {
		if !keys[Calculation{Op: h.CalculateOp, Column: h.Column}.key()] || h.CalculateOp == opHeatmap {
			return invalid("havings must name a calculation of the query")
		}
		if !slices.Contains([]string{"=", "!=", ">", ">=", "<", "<="}, h.Op) {
			return invalid("unknown having op %q", h.Op)
		}
	}
	if s.Limit < 0 || s.Limit > maxLimit {
		return invalid("limit must be between 1 and %d", maxLimit)
	}
	if s.TimeRange < 0 || s.StartTime < 0 || s.EndTime < 0 || s.Granularity < 0 {
		return invalid("times must not be negative")
	}
	if s.StartTime != 0 && s.EndTime != 0 && (s.TimeRange != 0 || s.StartTime > s.EndTime) {
		return invalid("give at most two of start_time, end_time and time_range, the start before the end")
	}
	return nil
}

func (s *Spec) calculations() []Calculation {
	if len(s.Calculations) == 0 {
		return []Calculation{{Op: "COUNT"}}
	}
	return s.Calculations
}

// span returns the time range of the query; now counts where the spec is relative.
func (s *Spec) span(now time.Time) (from, to time.Time) {
	length := s.TimeRange
	if length == 0 {
		length = defaultRange
	}
	switch d := time.Duration(length) * time.Second; {
	case s.StartTime != 0 && s.EndTime != 0:
		return time.Unix(s.StartTime, 0), time.Unix(s.EndTime, 0)
	case s.StartTime != 0:
		return time.Unix(s.StartTime, 0), time.Unix(s.StartTime, 0).Add(d)
	case s.EndTime != 0:
		return time.Unix(s.EndTime, 0).Add(-d), time.Unix(s.EndTime, 0)
	default:
		return now.Add(-d), now
	}
}

// ladder lists the bucket sizes that are chosen from, in seconds.
var ladder = []int64{1, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 14_400, 21_600, 43_200, 86_400, 172_800, 259_200, 604_800}

// granularity returns the size of a time bucket: the spec's if it gives at most 1,000 buckets,
// else the smallest of the ladder that gives at most 240.
func (s *Spec) granularity(from, to time.Time) time.Duration {
	length := int64(to.Sub(from) / time.Second)
	if g := s.Granularity; g > 0 && g >= (length+999)/1000 {
		return time.Duration(g) * time.Second
	}
	for _, g := range ladder {
		if length/240 <= g {
			return time.Duration(g) * time.Second
		}
	}
	return time.Duration(length/240) * time.Second
}

// column is the value of a column. The ids of the header are columns, too; the virtual column
// is_root is true on spans without parent.
func column(name string) query.Expr {
	header := map[string]string{"trace.trace_id": event.FieldTrace, "trace.span_id": event.FieldSpan, "trace.parent_id": event.FieldParent}
	if h, ok := header[name]; ok {
		return query.Call{Fn: "coalesce", Args: []query.Expr{query.Field{Name: h}, query.Field{Name: name}}}
	}
	if name == "is_root" {
		return query.And{X: []query.Expr{query.Has{X: query.Field{Name: event.FieldSpan}}, query.Not{X: query.Has{X: query.Field{Name: event.FieldParent}}}}}
	}
	return query.Field{Name: name}
}

// relations are the prefixes of columns that stand for a field of another span.
var relations = []string{"root", "parent", "child", "any", "any2", "any3", "none"}

// cutRelation returns the relational prefix of a column, "" without one, and the rest.
func cutRelation(column string) (prefix, name string) {
	prefix, name, ok := strings.Cut(column, ".")
	if !ok || name == "" || !slices.Contains(relations, prefix) {
		return "", column
	}
	return prefix, name
}

func relational(column string) bool {
	prefix, _ := cutRelation(column)
	return prefix != ""
}

// related holds for the rows that have a span of the relation for which where holds.
func related(prefix string, where query.Expr) query.Expr {
	switch prefix {
	case "root":
		return query.Exists{Over: query.SameTrace{}, Where: query.All(column("is_root"), where)}
	case "parent":
		return query.Exists{Over: query.Parent{}, Where: where}
	case "child":
		return query.Exists{Over: query.Child{}, Where: where}
	case "none":
		return query.Not{X: query.Exists{Over: query.SameTrace{}, Where: where}}
	default:
		return query.Exists{Over: query.SameTrace{}, Where: where}
	}
}

// where is the spec's WHERE clause, nil when there is none. Conditions with one prefix are about
// one span.
func (s *Spec) where() (query.Expr, error) {
	var list []query.Expr
	others := map[string][]query.Expr{}
	for _, f := range s.Filters {
		e, err := f.lower()
		if err != nil {
			return nil, err
		}
		if prefix, _ := cutRelation(f.Column); prefix != "" {
			others[prefix] = append(others[prefix], e)
			continue
		}
		list = append(list, e)
	}
	for _, prefix := range relations {
		if x := others[prefix]; x != nil {
			list = append(list, related(prefix, query.All(x...)))
		}
	}
	if s.FilterCombination == "OR" && len(list) > 0 {
		return query.Or{X: list}, nil
	}
	return query.All(list...), nil
}

// lower turns a condition into an expression about the span that its prefix names. A missing field makes positive conditions false
// and negative ones true.
func (f SpecFilter) lower() (query.Expr, error) {
	_, name := cutRelation(f.Column)
	x := column(name)
	if base, ok := strings.CutPrefix(f.Op, "does-not-"); ok {
		positive := map[string]string{"exist": "exists", "contain": "contains", "start-with": "starts-with", "end-with": "ends-with"}[base]
		if positive == "" {
			return nil, invalid("unknown filter op %q", f.Op)
		}
		e, err := SpecFilter{f.Column, positive, f.Value}.lower()
		return query.Not{X: e}, err
	}
	has := len(f.Value) > 0 && string(f.Value) != "null"
	if f.Op == "exists" {
		if has {
			return nil, invalid("filter op %q takes no value", f.Op)
		}
		return query.Has{X: x}, nil
	}
	if !has {
		return nil, invalid("filter op %q needs a value", f.Op)
	}
	if f.Op == "in" || f.Op == "not-in" {
		var raw []json.RawMessage
		if json.Unmarshal(f.Value, &raw) != nil {
			return nil, invalid("filter op %q needs an array", f.Op)
		}
		in := query.In{X: x, Mode: query.Loose}
		for _, r := range raw {
			in.Values = append(in.Values, scalar(r))
		}
		if f.Op == "not-in" {
			return query.Not{X: in}, nil
		}
		return in, nil
	}
	v := scalar(f.Value)
	if v.Missing() {
		return nil, invalid("the value of filter op %q must be a string, number or boolean", f.Op)
	}
	if op, ok := map[string]query.Op{"=": query.Eq, ">": query.Gt, ">=": query.Ge, "<": query.Lt, "<=": query.Le}[f.Op]; ok {
		return query.Compare{Op: op, Mode: query.Loose, L: x, R: query.Const{Value: v}}, nil
	}
	if f.Op == "!=" {
		return query.Not{X: query.Compare{Op: query.Eq, Mode: query.Loose, L: x, R: query.Const{Value: v}}}, nil
	}
	if op, ok := map[string]query.TextOp{"contains": query.Contains, "starts-with": query.HasPrefix, "ends-with": query.HasSuffix}[f.Op]; ok {
		return query.Text{Op: op, X: x, S: v.Text(), Coerce: true}, nil
	}
	return nil, invalid("unknown filter op %q", f.Op)
}

// scalar reads a JSON scalar; anything else is missing.
func scalar(raw json.RawMessage) event.Value {
	text := strings.TrimSpace(string(raw))
	if text == "" || text[0] == '{' || text[0] == '[' {
		return event.Value{}
	}
	return jsonValue(json.RawMessage(text))
}

// aggs are the aggregates of the calculations; heatmaps are not among them.
func (s *Spec) aggs() []query.Agg {
	var out []query.Agg
	for _, c := range s.calculations() {
		a := query.Agg{Name: c.key(), Weighted: true}
		if c.Column != "" {
			a.Arg = column(c.Column)
		}
		if c.derived() {
			continue
		}
		switch c.Op {
		case opHeatmap:
			continue
		case "COUNT":
			a.Op = query.Count
		case "SUM":
			a.Op = query.Sum
		case "AVG":
			a.Op = query.Avg
		case "COUNT_DISTINCT":
			a.Op, a.Weighted = query.CountDistinct, false
		case "MAX":
			a.Op, a.Weighted = query.Max, false
		case "MIN":
			a.Op, a.Weighted = query.Min, false
		default:
			a.Op, a.P = query.Percentile, percentiles[c.Op]
		}
		out = append(out, a)
	}
	return out
}

func (s *Spec) limit() int {
	if s.Limit == 0 {
		return defaultLimit
	}
	return s.Limit
}

// sortKeys order the groups: as asked, else by the first calculation, the largest first. The
// breakdowns make the order total.
func (s *Spec) sortKeys() []query.SortKey {
	var keys []query.SortKey
	for _, o := range s.Orders {
		name := o.Column
		if o.Op != "" {
			name = Calculation{Op: o.Op, Column: o.Column}.key()
		}
		keys = append(keys, query.SortKey{By: query.Field{Name: name}, Desc: o.Order == "descending"})
	}
	if len(keys) == 0 {
		for _, c := range s.calculations() {
			if c.Op != opHeatmap {
				keys = append(keys, query.SortKey{By: query.Field{Name: c.key()}, Desc: true})
				break
			}
		}
	}
	for _, b := range s.Breakdowns {
		keys = append(keys, query.SortKey{By: query.Field{Name: b}})
	}
	return keys
}

func (s *Spec) having() query.Expr {
	var list []query.Expr
	for _, h := range s.Havings {
		x := query.Field{Name: Calculation{Op: h.CalculateOp, Column: h.Column}.key()}
		v := query.Const{Value: event.Float(h.Value)}
		if h.Op == "!=" {
			list = append(list, query.And{X: []query.Expr{query.Has{X: x}, query.Not{X: query.Compare{Op: query.Eq, L: x, R: v}}}})
			continue
		}
		op := map[string]query.Op{"=": query.Eq, ">": query.Gt, ">=": query.Ge, "<": query.Lt, "<=": query.Le}[h.Op]
		list = append(list, query.Compare{Op: op, L: x, R: v})
	}
	return query.All(list...)
}

// niceStep returns a step of 1, 2 or 5 times a power of ten that cuts width into at most n.
func niceStep(width float64, n int) float64 {
	step := 1e-9
	for _, m := range []float64{1, 2, 5} {
		for p := -9; p < 18; p++ {
			s, err := strconv.ParseFloat(fmt.Sprintf("%ge%d", m, p), 64)
			if err == nil && width/s <= float64(n) && (step == 1e-9 || s < step) {
				step = s
			}
		}
	}
	return step
}

// Keys returns the names of the calculations in an answer, in their order.
func (s *Spec) Keys() []string {
	var out []string
	for _, c := range s.calculations() {
		out = append(out, c.key())
	}
	return out
}
