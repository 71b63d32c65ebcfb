package querytest

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"sort"
	"strings"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
)

// looseOrder is the order of a Loose sort key: numbers and texts that read as numbers, then texts.
func looseOrder(a, b event.Value) int {
	x, xok := looseNumber(a)
	y, yok := looseNumber(b)
	switch {
	case xok && yok && x < y, xok && !yok:
		return -1
	case xok && yok && x > y, !xok && yok:
		return 1
	case xok:
		return 0
	}
	return strings.Compare(a.Text(), b.Text())
}

func looseNumber(v event.Value) (float64, bool) {
	if f, ok := v.Number(); ok {
		return f, true
	}
	return query.ParseNumber(v.Str())
}

func looseEqual(a, b event.Value) bool {
	return query.Holds(query.Compare{Op: query.Eq, Mode: query.Loose, L: query.Const{Value: a}, R: query.Const{Value: b}}, Row{})
}

// laterStage answers the stages that work on rows alone.
func laterStage(s query.Stage, rows []Row) ([]Row, error) {
	var out []Row
	with := func(r Row, fields Row) {
		n := maps.Clone(r)
		maps.Copy(n, fields)
		out = append(out, n)
	}
	switch s := s.(type) {
	case query.Unnest:
		for _, r := range rows {
			list := query.Eval(s.List, r)
			var parts []json.RawMessage
			switch err := json.Unmarshal([]byte(list.Str()), &parts); {
			case list.Missing():
				out = append(out, r)
			case err != nil || !strings.HasPrefix(list.Str(), "["):
				with(r, Row{s.Name: list})
			default:
				for _, p := range parts {
					v := event.String(string(p))
					if string(p) == "null" {
						v = event.Value{}
					}
					with(r, Row{s.Name: v})
				}
			}
		}
	case query.Join:
		for _, r := range rows {
			n := 0
			for _, t := range partners(s, r) {
				fields := Row{}
				for i, name := range s.Names {
					if name != "" {
						fields[name] = t[i]
					}
				}
				if n++; n == 1 || !s.First {
					with(r, fields)
				}
			}
			if n == 0 && s.Left {
				out = append(out, r)
			}
		}
	case query.AddColumns:
		for i := range max(len(rows), len(s.Table.Rows)) {
			n := Row{}
			if i < len(rows) {
				n = maps.Clone(rows[i])
			}
			for k, name := range s.Names {
				if i < len(s.Table.Rows) && (s.Override || n[name].Missing()) {
					n[name] = s.Table.Rows[i][k]
				}
			}
			out = append(out, n)
		}
	case query.Totals:
		last := Row{}
		for _, f := range s.Fields {
			sum, any := 0.0, false
			for _, r := range rows {
				if n, ok := looseNumber(r[f]); ok {
					sum, any = sum+n, true
				}
			}
			if any {
				last[f] = query.Number(sum)
			}
		}
		if s.LabelIn != "" {
			last[s.LabelIn] = event.String(s.Label)
		}
		return append(slices.Clone(rows), last), nil
	case query.Tail:
		return rows[max(len(rows)-s.N, 0):], nil
	case query.Gaps:
		out = slices.Clone(rows)
		for _, first := range firsts(s.By, rows) {
			for _, t := range s.Times {
				if slices.ContainsFunc(rows, func(r Row) bool { return r[s.Time] == t && same(s.By, r, first) }) {
					continue
				}
				n := Row{s.Time: t}
				for _, b := range s.By {
					n[b] = first[b]
				}
				for _, w := range s.With {
					n[w.Name] = query.Eval(w.Value, Row{})
				}
				out = append(out, n)
			}
		}
	case query.Running:
		for i, r := range rows {
			with(r, Row{s.Name: running(s, rows[:i+1])})
		}
	case query.Outliers:
		return outliers(s, rows), nil
	case query.Anomalies:
		return anomalies(s, rows), nil
	case query.Patterns, query.Relevance:
		// What they find is defined by how they look for it, so that here it is only made sure
		// that an executor hands them the right rows; known answers are elsewhere.
		run := query.NewRunner([]query.Stage{s}, nil)
		for _, r := range rows {
			run.Push(r)
		}
		res, err := run.Result()
		if err != nil {
			return nil, err
		}
		for _, vals := range res.Rows {
			n := Row{}
			for i, v := range vals {
				n[res.Columns[i]] = v
			}
			out = append(out, n)
		}
	default:
		panic(fmt.Sprintf("querytest: no such stage %T", s))
	}
	return out, nil
}

func same(fields []string, a, b Row) bool {
	return !slices.ContainsFunc(fields, func(f string) bool { return a[f] != b[f] })
}

// firsts returns the first row of each combination of the values of fields.
func firsts(fields []string, rows []Row) []Row {
	var out []Row
	for _, r := range rows {
		if !slices.ContainsFunc(out, func(o Row) bool { return same(fields, o, r) }) {
			out = append(out, r)
		}
	}
	return out
}

func partners(s query.Join, r Row) [][]event.Value {
	var out [][]event.Value
	bits := -1
	for _, t := range s.Table.Rows {
		if s.CIDR {
			text := t[s.Keys[0]].Str()
			p, err := netip.ParsePrefix(text)
			if a, aerr := netip.ParseAddr(text); err != nil && aerr == nil {
				p, err = netip.PrefixFrom(a, a.BitLen()), nil
			}
			a, aerr := netip.ParseAddr(query.Eval(s.On[0], r).Str())
			if err == nil && aerr == nil && p.Contains(a) && p.Bits() > bits {
				out, bits = [][]event.Value{t}, p.Bits()
			}
			continue
		}
		equal := true
		for i, e := range s.On {
			equal = equal && looseEqual(query.Eval(e, r), t[s.Keys[i]])
		}
		if equal {
			out = append(out, t)
		}
	}
	return out
}

// running computes the field of the last of rows.
func running(s query.Running, rows []Row) event.Value {
	last := rows[len(rows)-1]
	switch s.Op {
	case query.RunSum:
		sum, any := 0.0, false
		for _, r := range rows {
			if f, ok := looseNumber(query.Eval(s.Arg, r)); ok {
				sum, any = sum+f, true
			}
		}
		if !any {
			return event.Value{}
		}
		return query.Number(sum)
	case query.Lag:
		if at := len(rows) - 1 - int(s.N); at >= 0 {
			return query.Eval(s.Arg, rows[at])
		}
		return event.Value{}
	case query.Carry:
		for i := len(rows) - 1; i >= 0; i-- {
			if v := query.Eval(s.Arg, rows[i]); !v.Missing() {
				return v
			}
		}
		return event.Value{}
	}
	id := func(r Row) string {
		key := ""
		for _, e := range s.By {
			v := query.Eval(e, r)
			key += fmt.Sprintf("%v %q,", v.Kind(), v.Text())
		}
		return key
	}
	begun := map[string]int64{}
	seen := map[string]int64{}
	var n int64
	for _, r := range rows {
		k, t := id(r), r[event.FieldTime].Int()
		if before, ok := seen[k]; !ok || t-before > s.N {
			n++
			begun[k] = n
		}
		seen[k] = t
	}
	return event.Int(begun[id(last)])
}

func quantile(list []float64, q float64) float64 {
	if len(list) == 0 {
		return 0
	}
	list = slices.Clone(list)
	sort.Float64s(list)
	rank := q * float64(len(list)-1)
	lo := math.Floor(rank)
	return list[int(lo)] + (rank-lo)*(list[int(math.Ceil(rank))]-list[int(lo)])
}

func outliers(s query.Outliers, rows []Row) []Row {
	var out []Row
	for _, r := range rows {
		n, keep := maps.Clone(r), true
		for _, f := range s.Fields {
			var all []float64
			for _, o := range rows {
				if x, ok := looseNumber(o[f]); ok {
					all = append(all, x)
				}
			}
			x, ok := looseNumber(r[f])
			if !ok {
				continue
			}
			q1, q3 := quantile(all, 0.25), quantile(all, 0.75)
			high, low := q3+s.Param*(q3-q1), q1-s.Param*(q3-q1)
			is := true
			switch {
			case x > high:
				n[f] = query.Number(high)
			case s.Lower && x < low:
				n[f] = query.Number(low)
			default:
				is = false
			}
			keep = keep && !(is && s.Remove)
			if s.Mark {
				n[f+"_outlier"] = event.Bool(is)
			}
		}
		if keep {
			out = append(out, n)
		}
	}
	return out
}

func anomalies(s query.Anomalies, rows []Row) []Row {
	var out []Row
	for _, first := range firsts(s.Series, rows) {
		var values, far []float64
		for _, t := range s.Times {
			v := 0.0
			for _, r := range rows {
				if same(s.Series, r, first) && r[s.Time] == t {
					v, _ = r[s.Value].Number()
				}
			}
			values = append(values, v)
		}
		if len(values) < 5 {
			continue
		}
		median := quantile(values, 0.5)
		for _, v := range values {
			far = append(far, math.Abs(v-median))
		}
		unit := max(1, math.Sqrt(median), 1.4826*quantile(far, 0.5))
		for _, r := range rows {
			v, _ := r[s.Value].Number()
			if score := math.Abs(v-median) / unit; same(s.Series, r, first) && score >= s.MinScore {
				n := maps.Clone(r)
				n[s.Expected], n[s.Score] = query.Number(median), event.Float(math.Round(score*100)/100)
				out = append(out, n)
			}
		}
	}
	return out
}

// valueList is the document of the different values, in order.
func valueList(vals []event.Value) event.Value {
	if len(vals) == 0 {
		return event.Value{}
	}
	vals = slices.Clone(vals)
	slices.SortFunc(vals, event.Order)
	vals = slices.CompactFunc(vals, func(a, b event.Value) bool { return event.Order(a, b) == 0 })
	var parts []string
	for _, v := range vals[:min(len(vals), 1000)] {
		if v.Kind() == event.KindString {
			parts = append(parts, quoted(v.Str()))
		} else {
			parts = append(parts, v.Text())
		}
	}
	return event.String("[" + strings.Join(parts, ",") + "]")
}

func quoted(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic(err)
	}
	return strings.TrimSpace(b.String())
}

func histogram(nums []float64, ranges int) event.Value {
	lo, hi := slices.Min(nums), slices.Max(nums)
	if lo == hi {
		ranges = 1
	}
	width := hi/float64(ranges) - lo/float64(ranges)
	var parts []string
	for i := range ranges {
		begin, end := lo+float64(i)*width, lo+float64(i+1)*width
		if i == ranges-1 {
			end = hi
		}
		n := 0
		for _, f := range nums {
			at := 0
			if width > 0 {
				at = min(int((f-lo)/width), ranges-1)
			}
			if at == i {
				n++
			}
		}
		parts = append(parts, fmt.Sprintf("%q:%d", event.FormatFloat(begin)+".."+event.FormatFloat(end), n))
	}
	return event.String("{" + strings.Join(parts, ",") + "}")
}
