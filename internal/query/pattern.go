package query

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/trefoil-o11y/trefoil/internal/event"
)

// Patterns of texts are found in two steps, neither of which depends on the order of the texts.
// The function template puts markers such as <Number> in the place of what is variable by its
// form; texts are grouped by what comes of it. Then the Patterns stage joins templates that differ
// in few words, as Drain does with lines.

// MaxTemplates is the number of templates that a query for patterns should group by at most.
const MaxTemplates = 50_000

// templateFunctions are the functions of the first step.
var templateFunctions = map[string]function{
	"template": {1, 1, text(func(s string) event.Value { return event.String(template(s)) })},
	// severity(text) is the name of a level that the text has, the gravest.
	"severity": {1, 1, text(func(s string) event.Value { return event.String(severity(s)) })},
}

const (
	// maxTemplate is the length in bytes to which a text is looked at.
	maxTemplate = 2048
	// maxTemplates is how many rows a Patterns stage takes.
	maxTemplates = 200_000
	// maxCandidates is how many patterns of one length and first word a template is compared with.
	maxCandidates = 300
)

// What a byte is in a text: part of a word, and of these what parts compounds, digits and letters.
const (
	inWord = 1 << iota
	joint
	digit
	letter
)

var byteKind = func() (kinds [256]uint8) {
	for c := range 256 {
		switch b := byte(c); {
		case b >= '0' && b <= '9':
			kinds[c] = inWord | digit
		case b|0x20 >= 'a' && b|0x20 <= 'z':
			kinds[c] = inWord | letter
		case b >= 0x80:
			kinds[c] = inWord
		case strings.IndexByte("_-.:/@+%", b) >= 0:
			kinds[c] = inWord | joint
		}
	}
	return kinds
}()

func isWordByte(c byte) bool { return byteKind[c]&inWord != 0 }

func isDigit(c byte) bool { return byteKind[c]&digit != 0 }

// isJoint reports whether c parts compounds.
func isJoint(c byte) bool { return byteKind[c]&joint != 0 }

func template(s string) string {
	cut := len(s) > maxTemplate
	if cut {
		s = strings.ToValidUTF8(s[:maxTemplate], "")
	}
	b := make([]byte, 0, len(s)+16)
	for i := 0; i < len(s); {
		if !isWordByte(s[i]) {
			b = append(b, s[i])
			i++
			continue
		}
		start := i
		for i < len(s) && isWordByte(s[i]) {
			i++
		}
		if marker, end := timeAt(s, start); marker != "" {
			b = append(b, marker...)
			i = end
			continue
		}
		// Punctuation at the ends is none of the word's.
		from, to := start, i
		for from < to && (s[from] == ':' || s[from] == '.') {
			from++
		}
		for to > from && (s[to-1] == ':' || s[to-1] == '.' || s[to-1] == '-' || s[to-1] == '/') {
			to--
		}
		b = append(b, s[start:from]...)
		if from < to {
			b = appendWord(b, s[from:to])
		}
		b = append(b, s[to:i]...)
	}
	if cut {
		b = append(b, "…"...)
	}
	return strings.TrimRight(string(b), " \t\r\n")
}

// shape writes digits as 0 and letters as a.
func shape(s string) string {
	var buf [40]byte
	b := buf[:0]
	for i := range min(len(s), len(buf)) {
		switch c := s[i]; {
		case isDigit(c):
			b = append(b, '0')
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			b = append(b, 'a')
		default:
			b = append(b, c)
		}
	}
	return string(b)
}

// timeAt returns the marker of a date or a time at the place start and where it ends.
func timeAt(s string, start int) (marker string, end int) {
	rest := s[start:]
	if len(rest) < 5 || !isDigit(rest[0]) && !isMonth(rest) {
		return "", 0
	}
	form := shape(rest)
	n := 0
	date := false
	switch {
	case strings.HasPrefix(form, "0000-00-00"), strings.HasPrefix(form, "0000/00/00"), strings.HasPrefix(form, "00/00/0000"):
		n, date = 10, true
	case strings.HasPrefix(form, "00/aaa/0000"), strings.HasPrefix(form, "0000-aaa-00"), strings.HasPrefix(form, "00-aaa-0000"):
		n, date = 11, true
	case strings.HasPrefix(form, "aaa 00 00:00:00"), strings.HasPrefix(form, "aaa  0 00:00:00"):
		n, date = 6, true
	}
	if date && n < len(form) && (form[n] == 'a' || form[n] == ' ' || form[n] == ':' || form[n] == '_') && strings.HasPrefix(form[n+1:], "00:00") {
		n++
	} else if date {
		if n < len(rest) && isWordByte(rest[n]) {
			return "", 0
		}
		return "<Date>", start + n
	}
	if !strings.HasPrefix(form[n:], "00:00") {
		return "", 0
	}
	n += 5
	if strings.HasPrefix(form[n:], ":00") {
		n += 3
	} else if !date {
		return "", 0
	}
	if n < len(rest) && (rest[n] == '.' || rest[n] == ',') {
		k := n + 1
		for k < len(rest) && isDigit(rest[k]) {
			k++
		}
		if k > n+1 {
			n = k
		}
	}
	switch {
	case n < len(rest) && rest[n] == 'Z':
		n++
	case n < len(form) && (strings.HasPrefix(form[n:], "+00:00") || strings.HasPrefix(form[n:], "-00:00")):
		n += 6
	case n < len(form) && (strings.HasPrefix(form[n:], " +0000") || strings.HasPrefix(form[n:], " -0000")):
		n += 6
	case n < len(form) && (strings.HasPrefix(form[n:], "+0000") || strings.HasPrefix(form[n:], "-0000")):
		n += 5
	}
	if n < len(rest) && isWordByte(rest[n]) && rest[n] != ':' && rest[n] != '.' {
		return "", 0
	}
	return "<Time>", start + n
}

func isMonth(s string) bool {
	return len(s) > 3 && s[3] == ' ' && strings.Contains("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec", s[:3])
}

// appendWord appends what the template has for a word that neither begins nor ends in punctuation.
func appendWord(b []byte, w string) []byte {
	var kinds uint8
	colons, at := 0, -1
	for i := range len(w) {
		kinds |= byteKind[w[i]]
		switch w[i] {
		case ':':
			colons++
		case '@':
			at = i
		}
	}
	if kinds&(digit|joint) == 0 {
		return append(b, w...)
	}
	digits := kinds&digit != 0
	if at > 0 && strings.IndexByte(w[at:], '.') > 1 && !strings.ContainsAny(w, "/:") {
		return append(b, "<Email>"...)
	}
	if !digits {
		if len(w) > 2 && colons >= 2 {
			if _, err := netip.ParseAddr(w); err == nil {
				return append(b, "<IP>"...)
			}
		}
		return append(b, w...)
	}
	if isDigit(w[0]) || w[0] == '-' || w[0] == '+' {
		if rest, ok := number(w); ok {
			return append(append(b, "<Number>"...), rest...)
		}
	}
	if strings.ContainsAny(w, ".:") {
		if _, err := netip.ParseAddr(w); err == nil {
			return append(b, "<IP>"...)
		}
		if p, err := netip.ParseAddrPort(w); err == nil && p.IsValid() {
			return append(b, "<IP>:<Number>"...)
		}
	}
	if len(w) == 36 && strings.Count(w, "-") == 4 && isHex(strings.ReplaceAll(w, "-", "")) {
		return append(b, "<UUID>"...)
	}
	if len(w) >= 8 && isHex(w) {
		return append(b, "<ID>"...)
	}
	// A compound: its parts one by one.
	for i := 0; i < len(w); {
		if c := w[i]; isJoint(c) {
			b = append(b, c)
			i++
			continue
		}
		start := i
		for i < len(w) && !isJoint(w[i]) {
			i++
		}
		b = appendPart(b, w[start:i])
	}
	return b
}

// appendPart appends what the template has for a part of a compound.
func appendPart(b []byte, p string) []byte {
	first := strings.IndexAny(p, "0123456789")
	if first < 0 {
		return append(b, p...)
	}
	if len(p) >= 8 && isHex(p) {
		return append(b, "<ID>"...)
	}
	if rest := strings.TrimLeft(p[first:], "0123456789"); rest == "" || first == 0 && len(rest) <= 3 {
		switch {
		case first > 0 && len(p) <= 2: // a name such as v1 or s3
			return append(b, p...)
		default:
			return append(append(append(b, p[:first]...), "<Number>"...), rest...)
		}
	}
	return append(b, "<ID>"...)
}

// number reports whether w is a number, with a unit of up to three letters or % behind it.
func number(w string) (unit string, ok bool) {
	i := 0
	if w[0] == '-' || w[0] == '+' {
		i++
	}
	start := i
	for i < len(w) && isDigit(w[i]) {
		i++
	}
	if i == start {
		return "", false
	}
	if i+1 < len(w) && w[i] == '.' && isDigit(w[i+1]) {
		for i++; i < len(w) && isDigit(w[i]); i++ {
		}
	}
	unit = w[i:]
	if len(unit) > 3 || strings.ContainsAny(unit, "0123456789.:/-@_+") {
		return "", false
	}
	return unit, true
}

func isHex(s string) bool {
	digit := false
	for i := range len(s) {
		c := s[i]
		digit = digit || isDigit(c)
		if !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'f') {
			return false
		}
	}
	return digit
}

// levels are the words by which a text has a severity, the gravest first.
var levels = []struct{ word, name string }{
	{"fatal", "FATAL"}, {"critical", "FATAL"}, {"panic", "FATAL"}, {"error", "ERROR"}, {"err", "ERROR"}, {"exception", "ERROR"}, {"warn", "WARN"}, {"warning", "WARN"},
	{"info", "INFO"}, {"notice", "INFO"}, {"debug", "DEBUG"}, {"trace", "DEBUG"},
}

// levelBegins tells the first letters of levels.
var levelBegins = func() (begins [26]bool) {
	for _, l := range levels {
		begins[l.word[0]-'a'] = true
	}
	return begins
}()

// severity returns "NONE" for a text without any of the words.
func severity(s string) string {
	if len(s) > maxTemplate {
		s = s[:maxTemplate]
	}
	best := len(levels)
	for i := 0; i < len(s); i++ {
		if byteKind[s[i]]&letter == 0 {
			continue
		}
		start := i
		for i < len(s) && byteKind[s[i]]&letter != 0 {
			i++
		}
		if n := i - start; n < 3 || n > 9 || !levelBegins[(s[start]|0x20)-'a'] {
			continue
		}
		for k := range best {
			if word := levels[k].word; len(word) == i-start && strings.EqualFold(word, s[start:i]) {
				best = k
				break
			}
		}
	}
	if best == len(levels) {
		return "NONE"
	}
	return levels[best].name
}

// Patterns joins the templates in the field Template, of rows with one value in Kind, where at
// least three words in five are the same. Of rows that are joined and have equal values of By one
// comes out: the field Name is the pattern, that of the largest sum of the first of Sums, with
// markers <Name-n> in the order in which they stand; Kind and By are as they were; the fields Sums
// are added up. Share, unless it is empty, is the field that takes a row's part of the first sum of
// all rows.
type Patterns struct {
	Template, Kind, Name, Share string
	By, Sums                    []string
}

// Names are the fields of the rows that the stage makes, in order.
func (s Patterns) Names() []string {
	names := append(append([]string{s.Name, s.Kind}, s.By...), s.Sums...)
	if s.Share != "" {
		names = append(names, s.Share)
	}
	return names
}

func (Patterns) stage() {}

func (s Patterns) check() error {
	if s.Template == "" || s.Kind == "" || s.Name == "" || len(s.Sums) == 0 {
		return fmt.Errorf("patterns lack a field")
	}
	return nil
}

type templateRow struct {
	template, kind string
	by             []event.Value
	sums           []float64
}

type patternsOp struct {
	stage Patterns
	rows  []templateRow
	over  bool
	next  operator
}

func (o *patternsOp) push(row Row) bool {
	if len(o.rows) >= maxTemplates {
		o.over = true
		return false
	}
	r := templateRow{template: strings.Clone(row.Get(o.stage.Template).Str()), kind: row.Get(o.stage.Kind).Str()}
	for _, n := range o.stage.By {
		r.by = append(r.by, own(row.Get(n)))
	}
	for _, n := range o.stage.Sums {
		f, _ := row.Get(n).Number()
		r.sums = append(r.sums, f)
	}
	o.rows = append(o.rows, r)
	return true
}

// words parts a template into words, markers and what is between them.
func words(template string) []string {
	var out []string
	for i := 0; i < len(template); {
		start := i
		switch {
		case template[i] == '<' && marker(template[i:]) > 0:
			i += marker(template[i:])
		case isWordByte(template[i]) && !isJoint(template[i]):
			for i < len(template) && isWordByte(template[i]) && !isJoint(template[i]) {
				i++
			}
		default:
			i++
		}
		out = append(out, template[start:i])
	}
	return out
}

// marker returns the length of the marker that s begins with, or 0.
func marker(s string) int {
	end := strings.IndexByte(s, '>')
	if end < 2 || end > 8 {
		return 0
	}
	switch s[1:end] {
	case "Number", "Time", "Date", "IP", "UUID", "ID", "Email", "Token":
		return end + 1
	}
	return 0
}

// pattern is templates that were joined.
type pattern struct {
	words []string
	kind  string
}

// join adds a template to the pattern when it is like it.
func (p *pattern) join(words []string) bool {
	same, differ := 0, 0
	for i, w := range words {
		if w == p.words[i] {
			if isWord(w) {
				same++
			}
			continue
		}
		if !isWord(w) || !isWord(p.words[i]) {
			return false
		}
		differ++
	}
	if same == 0 || same*2 < differ*3 {
		return false
	}
	if differ > 0 {
		p.words = slices.Clone(p.words)
		for i, w := range words {
			if w != p.words[i] {
				p.words[i] = "<Token>"
			}
		}
	}
	return true
}

func isWord(w string) bool {
	return marker(w) > 0 || isWordByte(w[0]) && !isJoint(w[0])
}

// text writes the pattern with numbered markers.
func (p *pattern) text() string {
	var b strings.Builder
	n := 0
	for _, w := range p.words {
		if w[0] == '<' && marker(w) > 0 {
			n++
			b.WriteString(w[:len(w)-1] + "-" + strconv.Itoa(n) + ">")
			continue
		}
		b.WriteString(w)
	}
	return b.String()
}

func (o *patternsOp) finish() error {
	if o.over {
		return ErrTooLarge
	}
	type one struct {
		template, kind string
		sum            float64
		pattern        *pattern
	}
	byText := map[[2]string]*one{}
	var list []*one
	for _, r := range o.rows {
		k := [2]string{r.template, r.kind}
		if byText[k] == nil {
			byText[k] = &one{template: r.template, kind: r.kind}
			list = append(list, byText[k])
		}
		byText[k].sum += r.sums[0]
	}
	slices.SortFunc(list, func(a, b *one) int {
		return cmp.Or(cmp.Compare(b.sum, a.sum), cmp.Compare(a.template, b.template), cmp.Compare(a.kind, b.kind))
	})
	type key struct {
		n           int
		first, kind string
	}
	known := map[key][]*pattern{}
	var patterns []*pattern
	for _, t := range list {
		w := words(t.template)
		k := key{n: len(w), kind: t.kind}
		if len(w) > 0 {
			k.first = w[0]
		}
		candidates := known[k]
		for _, p := range candidates {
			if p.join(w) {
				t.pattern = p
				break
			}
		}
		if t.pattern == nil {
			t.pattern = &pattern{w, t.kind}
			patterns = append(patterns, t.pattern)
			if len(candidates) < maxCandidates {
				known[k] = append(candidates, t.pattern)
			}
		}
	}
	return o.emit(patterns, func(r *templateRow) *pattern { return byText[[2]string{r.template, r.kind}].pattern })
}

// emit adds the rows of each pattern up and hands them on.
func (o *patternsOp) emit(patterns []*pattern, of func(*templateRow) *pattern) error {
	type row struct {
		pattern *pattern
		by      []event.Value
		sums    []float64
	}
	index := map[string]*row{}
	var rows []*row
	place := map[*pattern]int{}
	for i, p := range patterns {
		place[p] = i
	}
	var buf []byte
	for i := range o.rows {
		r := &o.rows[i]
		p := of(r)
		buf = strconv.AppendInt(buf[:0], int64(place[p]), 10)
		buf = append(buf, ' ')
		for _, v := range r.by {
			buf = appendKey(buf, v)
		}
		x := index[string(buf)]
		if x == nil {
			x = &row{p, r.by, make([]float64, len(r.sums))}
			index[string(buf)] = x
			rows = append(rows, x)
		}
		for k, f := range r.sums {
			x.sums[k] += f
		}
	}
	slices.SortStableFunc(rows, func(a, b *row) int { return cmp.Compare(place[a.pattern], place[b.pattern]) })
	total := 0.0
	for _, x := range rows {
		total += x.sums[0]
	}
	for _, x := range rows {
		values := append([]event.Value{event.String(x.pattern.text()), event.String(x.pattern.kind)}, x.by...)
		for _, f := range x.sums {
			values = append(values, Number(f))
		}
		if o.stage.Share != "" {
			values = append(values, Number(x.sums[0]/total))
		}
		if !o.next.push(&held{o.stage.Names(), values}) {
			break
		}
	}
	return o.next.finish()
}
