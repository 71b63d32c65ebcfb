package insights

import (
	"strconv"
	"strings"

	"github.com/trefoil-o11y/trefoil/internal/event"
)

// String returns a query that parses to the same tree.
func (q *Query) String() string {
	var parts []string
	if q.Source != nil {
		parts = append(parts, q.Source.String())
	}
	for _, c := range q.Commands {
		parts = append(parts, c.String())
	}
	return strings.Join(parts, " | ")
}

// String returns the source as a query has it.
func (s *Source) String() string {
	out := "SOURCE " + joined(s.Names, stringText)
	if s.Selectors != nil {
		parts := make([]string, len(s.Selectors))
		for i, x := range s.Selectors {
			parts[i] = x.Name + "(" + joined(x.Args, SelectorArg.text) + ")"
		}
		out = "SOURCE " + strings.Join(parts, " ")
	}
	if s.Start != nil {
		out += " START=" + s.Start.text()
	}
	if s.End != nil {
		out += " END=" + s.End.text()
	}
	return out
}

func (a SelectorArg) text() string {
	list := "[" + joined(a.Values, stringText) + "]"
	if a.Name == "" {
		return list
	}
	return a.Name + ": " + list
}

func (m *Moment) text() string {
	switch {
	case m.Now:
		return "now"
	case m.Ago != nil:
		return "-" + m.Ago.String()
	}
	return strconv.FormatInt(m.Millis, 10)
}

func joined[T any](list []T, text func(T) string) string {
	parts := make([]string, len(list))
	for i, x := range list {
		parts[i] = text(x)
	}
	return strings.Join(parts, ", ")
}

func (i Item) text() string {
	if i.As == "" {
		return i.X.String()
	}
	return i.X.String() + " as " + pathText(i.As)
}

func (p Pair) text(word string) string { return p.L.String() + word + p.R.String() }

func yes(b bool) string { return strconv.FormatBool(b) }

// as is the end of a command that gives a name, if there is one.
func as(name string) string {
	if name == "" {
		return ""
	}
	return " as " + pathText(name)
}

// behind is a list of fields behind a command's word, if there are some.
func behind(paths []Path) string {
	if len(paths) == 0 {
		return ""
	}
	return " " + joined(paths, Path.String)
}

// String implements Command.
func (c Fields) String() string { return "fields " + joined(c.Items, Item.text) }

// String implements Command.
func (c Display) String() string {
	if c.Unmask {
		return "unmask " + joined(c.Items, Item.text)
	}
	return "display " + joined(c.Items, Item.text)
}

// String implements Command.
func (c Filter) String() string {
	if c.Index {
		return "filterIndex " + c.Where.String()
	}
	return "filter " + c.Where.String()
}

// String implements Command.
func (c Search) String() string {
	if c.Regex != nil {
		return "search " + c.Regex.text()
	}
	return "search " + stringText(c.Text.Value)
}

// String implements Command.
func (c Stats) String() string {
	s := "stats " + joined(c.Aggs, Item.text)
	if len(c.By) > 0 {
		s += " by " + joined(c.By, Item.text)
	}
	if c.Offset != nil {
		s += " offset " + c.Offset.String()
	}
	return s
}

// String implements Command.
func (c Sort) String() string {
	return "sort " + joined(c.Keys, func(k Key) string {
		if k.Desc {
			return k.X.String() + " desc"
		}
		return k.X.String() + " asc"
	})
}

// String implements Command.
func (c Limit) String() string {
	if c.Tail {
		return "tail " + strconv.Itoa(c.N)
	}
	if c.Any {
		return "limit any " + strconv.Itoa(c.N)
	}
	return "limit " + strconv.Itoa(c.N)
}

// String implements Command.
func (c ParseCmd) String() string {
	s := "parse "
	if c.X != nil {
		s += c.X.String() + " "
	}
	switch c.Form {
	case ParseGlob:
		s += stringText(c.Glob.Value)
	case ParseRegex:
		s += c.Regex.text()
	case ParseLogfmt:
		s += "logfmt"
	default:
		s += "csv"
	}
	if len(c.As) > 0 {
		s += " as " + joined(c.As, pathText)
	}
	if c.Multi {
		s += " multi"
	}
	return s
}

// String implements Command.
func (c JSONField) String() string {
	return "json field=" + c.X.String() + " " + stringText(c.Path.Value) + as(c.As)
}

// String implements Command.
func (c Dedup) String() string { return "dedup" + behind(c.Paths) }

// String implements Command.
func (c Pattern) String() string { return "pattern " + c.X.String() }

// String implements Command.
func (c Diff) String() string {
	switch {
	case c.Shift != nil:
		return "logcompare timeshift " + c.Shift.String()
	case c.Against != "":
		return "diff previous" + strings.ToUpper(c.Against[:1]) + c.Against[1:]
	}
	return "diff"
}

// String implements Command.
func (c Anomaly) String() string { return "anomaly" }

// String implements Command.
func (c Unnest) String() string {
	if c.Into == "" {
		return "expand " + c.X.String()
	}
	return "unnest " + c.X.String() + " into " + pathText(c.Into)
}

// String implements Command.
func (c Lookup) String() string {
	word := "lookup "
	if c.CIDR {
		word = "cidrlookup "
	}
	return word + pathText(c.Table) + " " + joined(c.On, func(p Pair) string { return p.text(" as ") }) + " OUTPUT " + joined(c.Output, pathText)
}

// String implements Command.
func (c Join) String() string {
	kind := "inner"
	if c.Keep {
		kind = "left"
	}
	on := make([]string, len(c.On))
	for i, p := range c.On {
		on[i] = p.text(" = ")
	}
	return "join type=" + kind + " left=" + pathText(c.Left) + " right=" + pathText(c.Right) + " where " + strings.Join(on, " and ") + " (" + c.Query.String() + ")"
}

// String implements Command.
func (c Relevant) String() string {
	return "relevantfields" + behind(c.Paths) + " where " + c.Where.String()
}

// String implements Command.
func (c AddTotals) String() string {
	return "addtotals row=" + yes(c.Row) + " col=" + yes(c.Col) + " fieldname=" + stringText(c.Name) + behind(c.Paths)
}

// String implements Command.
func (c Autoregress) String() string {
	s := "autoregress " + c.X.String() + as(c.As) + " p=" + strconv.Itoa(c.From)
	if c.To > c.From {
		s += "-" + strconv.Itoa(c.To)
	}
	return s
}

// String implements Command.
func (c FillDown) String() string { return "filldown" + behind(c.Paths) }

// String implements Command.
func (c FillMissing) String() string {
	if len(c.With) == 0 {
		return "fillmissing"
	}
	return "fillmissing with " + joined(c.With, func(d Default) string { return d.Value.String() + " for " + d.For.String() })
}

// String implements Command.
func (c Outlier) String() string {
	action := "transform"
	if c.Remove {
		action = "remove"
	}
	return "outlier action=" + action + " param=" + event.Float(c.Param).Text() + " uselower=" + yes(c.Lower) + " mark=" + yes(c.Mark) + behind(c.Paths)
}

// String implements Command.
func (c Accum) String() string { return "accum " + c.X.String() + as(c.As) }

// String implements Command.
func (c AppendCols) String() string {
	s := "appendcols override=" + yes(c.Override)
	if c.Max > 0 {
		s += " max=" + strconv.Itoa(c.Max)
	}
	return s + " (" + c.Query.String() + ")"
}

// String implements Command.
func (c Sessionize) String() string {
	s := "sessionize" + behind(c.Paths)
	if c.Gap != nil {
		s += " maxspan " + c.Gap.String()
	}
	return s + as(c.As)
}

// String implements Command.
func (c CountFrequent) String() string { return "countFrequent" + behind(c.Paths) }

// String implements Command.
func (c Estimate) String() string { return "estimate" }

// pathText writes a name, in backticks unless it is plain.
func pathText(name string) string {
	if isPlain(name) {
		return name
	}
	return "`" + strings.NewReplacer("\\", "\\\\", "`", "\\`").Replace(name) + "`"
}

// stepsText writes the parts of a path behind a value. Parts in backticks may hold dots, so that one
// is as good as several.
func stepsText(path string) string {
	if isPlain("a." + path) {
		return path
	}
	return pathText(path)
}

func stringText(s string) string {
	return `"` + strings.NewReplacer("\\", "\\\\", `"`, `\"`, "\n", `\n`, "\t", `\t`, "\r", `\r`).Replace(s) + `"`
}

// text writes the expression between slashes; one within it is escaped, if it is not already.
func (r *Regex) text() string {
	var b strings.Builder
	b.WriteByte('/')
	for i := 0; i < len(r.Source); i++ {
		switch c := r.Source[i]; {
		case c == '\\' && i+1 < len(r.Source):
			i++
			b.WriteByte(c)
			b.WriteByte(r.Source[i])
		case c == '/':
			b.WriteString(`\/`)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('/')
	return b.String()
}

// String implements Expr.
func (e Path) String() string { return pathText(e.Name) }

// String implements Expr.
func (e Literal) String() string {
	if e.Value.Kind() == event.KindString {
		return stringText(e.Value.Str())
	}
	return e.Value.Text()
}

// String implements Expr.
func (e Duration) String() string { return strconv.FormatInt(e.N, 10) + e.Unit }

// String implements Expr.
func (e Call) String() string {
	s := e.Name + "(" + joined(e.Args, Expr.String) + ")"
	if e.Star {
		s = e.Name + "(*)"
	}
	if e.Path != "" {
		s += "." + stepsText(e.Path)
	}
	return s
}

// String implements Expr. Parts that are not simple stand in parentheses.
func (e Unary) String() string { return e.Op + " " + inner(e.X) }

// String implements Expr.
func (e Binary) String() string { return inner(e.L) + " " + e.Op + " " + inner(e.R) }

// String implements Expr.
func (e Like) String() string {
	s := inner(e.X)
	if e.Not {
		s += " not"
	}
	if e.Regex != nil {
		return s + " like " + e.Regex.text()
	}
	return s + " like " + stringText(e.Text.Value)
}

// String implements Expr.
func (e In) String() string {
	s := inner(e.X)
	if e.Not {
		s += " not"
	}
	if e.Sub != nil {
		return s + " in (" + e.Sub.String() + ")"
	}
	return s + " in [" + joined(e.List, Literal.String) + "]"
}

func inner(e Expr) string {
	switch e.(type) {
	case Path, Literal, Call, Duration:
		return e.String()
	}
	return "(" + e.String() + ")"
}
