package xray

import (
	"context"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/xray/filterexpr"
)

// A hint is a condition on rows that holds for some row of every trace for which a filter holds,
// because what the filter looks at was made of that row: of a part of a document (see appendPart) or
// of a span (see span.document). It may hold for others too, but what it does not hold for need not
// be loaded. Negations have none: they hold where nothing is.
type hint struct {
	where query.Expr // nil for none
	// rank is how few traces are likely to be left, for the choice among conditions that all hold.
	rank int
	// of is what the row was made into; hints of the same hold for the same row.
	of subject
}

// subject is an end of a call, or what a filter is about: the entry of a trace, the segment of
// service(){}, what was measured of the call of edge(){}. Without one it is not known which row is
// meant.
type subject uint8

const (
	someRow subject = iota
	itself
	itsSource
	itsTarget
)

// What the ranks stand for.
const (
	rankAny  = iota + 1 // most traces have one
	rankSome            // a part of the service
	rankFew             // failures, texts
	rankRare            // what names one thing
)

// hinter makes hints.
type hinter struct {
	// fields lists the names of the fields that spans have.
	fields func() ([]string, error)
	err    error
}

// hintOf returns a condition on rows for one on traces; nil when none is known.
func (s *Server) hintOf(ctx context.Context, t tenant, where query.Expr) (query.Expr, error) {
	h := hinter{fields: func() ([]string, error) {
		datasets, segments, err := s.traceDatasets(ctx, t)
		var out []string
		for _, ds := range datasets {
			if ds == segments {
				continue
			}
			list, err := s.cfg.Store.Columns(ctx, ds)
			if err != nil {
				return nil, err
			}
			for _, c := range list {
				out = append(out, c.Name)
			}
		}
		return out, err
	}}
	return h.of(where, itself).where, h.err
}

// of returns the hint of a condition; named is what has the fields name and type.
func (h *hinter) of(where query.Expr, named subject) hint {
	switch e := where.(type) {
	case query.And:
		var best hint
		var together [itsTarget + 1]hint
		for _, x := range e.X {
			got := h.of(x, named)
			if t := &together[got.of]; got.where != nil && got.of != someRow {
				if t.where != nil {
					got.rank = max(got.rank, t.rank) + 1
				}
				t.where, t.rank, t.of = query.All(t.where, got.where), got.rank, got.of
				got = *t
			}
			if got.rank > best.rank {
				best = got
			}
		}
		return best
	case query.Or:
		var out hint
		var any query.Or
		for i, x := range e.X {
			got := h.of(x, named)
			if got.where == nil {
				return hint{}
			}
			any.X = append(any.X, got.where)
			if i == 0 {
				out = got
			}
			if out.rank = min(out.rank, got.rank); got.of != out.of {
				out.of = someRow
			}
		}
		if len(any.X) == 0 {
			return hint{}
		}
		out.where = any
		return out
	case query.Exists:
		part, _ := e.Over.(query.Part)
		return h.part(part.Name, e.Where)
	case query.Field:
		return flagHint(e.Name).about(itself)
	case query.Compare:
		field, _ := e.L.(query.Field)
		value, _ := e.R.(query.Const)
		if f, ok := value.Value.Number(); ok && e.Mode == query.Strict {
			return numberHint(field.Name, e.Op, f).about(itself)
		}
	}
	field, test, ok := testOf(where)
	if !ok {
		return hint{}
	}
	of := itself
	if name, ok := strings.CutPrefix(field, filterexpr.SourcePrefix); ok {
		field, of = name, itsSource
	} else if name, ok := strings.CutPrefix(field, filterexpr.TargetPrefix); ok {
		field, of = name, itsTarget
	} else if field == "name" || field == "type" {
		of = named
	}
	return textHint(field, test).about(of)
}

func (h hint) about(of subject) hint {
	if h.where != nil {
		h.of = of
	}
	return h
}

// part is of for a condition on what belongs to a trace.
func (h *hinter) part(part string, where query.Expr) hint {
	switch part {
	case filterexpr.PartService:
		return h.of(where, itself).about(someRow)
	case filterexpr.PartEdge:
		return h.of(where, itsTarget).about(someRow)
	case filterexpr.PartAnnotation:
		return h.annotation(where)
	}
	if what, ok := strings.CutPrefix(part, filterexpr.PartRootCause+"."); ok {
		var inner hint
		kind, what, _ := strings.Cut(what, ".")
		if what != filterexpr.PartException { // whose names are types of exceptions
			inner = h.of(where, itself).about(someRow)
		}
		if failed := flagHint(kind); failed.rank > inner.rank {
			return failed
		}
		return inner
	}
	if field, test, ok := testOf(where); ok && field == filterexpr.FieldValue {
		return textHint(part, test)
	}
	return hint{}
}

// annotation is of for a condition on annotations. Those of documents are fields with a prefix, those
// of spans have the name of the field, or another one with _ in the place of other characters.
func (h *hinter) annotation(where query.Expr) hint {
	all, ok := where.(query.And)
	if !ok || len(all.X) < 2 {
		return hint{}
	}
	names, ok := all.X[0].(query.Or)
	if !ok || len(names.X) != 2 {
		return hint{}
	}
	field, test, ok := testOf(names.X[0])
	if !ok || field != filterexpr.FieldKey || test.op != isText || strings.ContainsRune(test.s, utf8.RuneError) {
		return hint{}
	}
	key := test.s
	fields := []string{"annotation." + key, key}
	if strings.Contains(key, "_") {
		list, err := h.fields()
		if err != nil {
			h.err = err
			return hint{}
		}
		for _, name := range list {
			if name != key && annotationAlias(name) == key {
				fields = append(fields, name)
			}
		}
	}
	cond := query.All(all.X[1:]...)
	var any query.Or
	for _, name := range fields {
		any.X = append(any.X, query.And{X: []query.Expr{query.Has{X: query.Field{Name: name}}, query.Inline(cond, filterexpr.FieldValue, query.Field{Name: name})}})
	}
	rank := rankFew
	if c, ok := cond.(query.Compare); ok && c.Op == query.Eq {
		rank = rankRare
	}
	return hint{where: any, rank: rank}
}

// statusFields are the fields of a row with the status of an HTTP answer.
var statusFields = []string{"http.status_code", "http.response.status_code", "response.status_code"}

// statusBetween holds for rows with a status from a number up to below another.
func statusBetween(from, to float64) query.Expr {
	var any query.Or
	for _, name := range statusFields {
		f := query.Field{Name: name}
		between := query.Expr(query.Compare{Op: query.Ge, Mode: query.Loose, L: f, R: number(from)})
		if !math.IsInf(to, 1) {
			between = query.All(between, query.Compare{Op: query.Lt, Mode: query.Loose, L: f, R: number(to)})
		}
		any.X = append(any.X, between)
	}
	return any
}

// flagHint is for a flag that is set.
func flagHint(name string) hint {
	yes := func(name string) query.Expr { return query.Field{Name: name} }
	switch name {
	case "fault":
		failed := query.Compare{Op: query.Eq, L: query.Field{Name: "status_code"}, R: query.Num(2)}
		return hint{where: query.Or{X: []query.Expr{yes("error"), yes("xray.fault"), failed, statusBetween(500, math.Inf(1))}}, rank: rankFew}
	case "error":
		return hint{where: query.Or{X: []query.Expr{yes("xray.error"), statusBetween(400, 500)}}, rank: rankFew}
	case "throttle":
		return hint{where: query.Or{X: []query.Expr{yes("xray.throttle"), statusBetween(429, 430)}}, rank: rankFew}
	}
	return hint{}
}

// numberHint is for a comparison with a number.
func numberHint(name string, op query.Op, f float64) hint {
	switch {
	case name == "http.status" && f >= 1 && f < 1e6: // a fraction is cut off
		to := math.Inf(1)
		switch op {
		case query.Eq:
			to = math.Floor(f) + 1
		case query.Gt, query.Ge:
		default:
			return hint{}
		}
		rank := rankAny
		if f >= 300 {
			rank = rankFew
		}
		return hint{where: statusBetween(math.Floor(f), to), rank: rank}
	case name == "responsetime" && f > 0 && (op == query.Eq || op == query.Gt || op == query.Ge):
		// Which is rounded to milliseconds, and made of times in microseconds.
		return hint{where: query.Compare{Op: query.Gt, L: query.Field{Name: "duration_ms"}, R: number(f*1000 - 1)}, rank: rankSome}
	}
	return hint{}
}

// textTest is a test of a text.
type textTest struct {
	op textOp
	s  string
}

type textOp uint8

const (
	isThere textOp = iota
	isText
	hasText
	beginsWith
	endsWith
)

// testOf reads a condition on one field as a test of its text.
func testOf(e query.Expr) (field string, t textTest, ok bool) {
	var x query.Expr
	switch e := e.(type) {
	case query.Has:
		x = e.X
	case query.Compare:
		c, isConst := e.R.(query.Const)
		if x, t = e.L, (textTest{isText, c.Value.Str()}); !isConst || e.Op != query.Eq || e.Mode != query.Strict || t.s == "" {
			return "", t, false
		}
	case query.Text:
		if x, t = e.X, (textTest{map[query.TextOp]textOp{query.Contains: hasText, query.HasPrefix: beginsWith, query.HasSuffix: endsWith}[e.Op], e.S}); e.Fold {
			return "", t, false
		}
	default:
		return "", t, false
	}
	f, ok := x.(query.Field)
	return f.Name, t, ok && !strings.ContainsRune(t.s, utf8.RuneError)
}

// on tests the text of a field of rows.
func (t textTest) on(field string) query.Expr {
	f := query.Field{Name: field}
	if t.op == isText {
		// Only such texts can be those of a number or a boolean, and a plain comparison has an index.
		if _, err := strconv.ParseFloat(t.s, 64); err == nil || t.s == "true" || t.s == "false" {
			return t.of(query.Call{Fn: "text", Args: []query.Expr{f}})
		}
	}
	return t.of(f)
}

func (t textTest) of(x query.Expr) query.Expr {
	switch t.op {
	case isThere:
		return query.Has{X: x}
	case isText:
		return query.Compare{Op: query.Eq, L: x, R: query.Str(t.s)}
	case hasText:
		return query.Text{Op: query.Contains, X: x, S: t.s, Coerce: true}
	case beginsWith:
		return query.Text{Op: query.HasPrefix, X: x, S: t.s, Coerce: true}
	default:
		return query.Text{Op: query.HasSuffix, X: x, S: t.s, Coerce: true}
	}
}

func (t textTest) holds(s string) bool {
	return query.Holds(t.of(query.Str(s)), query.NewRow(nil, nil))
}

func (t textTest) rank() int {
	switch t.op {
	case isThere:
		return rankAny
	case isText:
		return rankRare
	default:
		return rankFew
	}
}

// textFields are the fields of rows that the values of a keyword are taken from as they are.
var textFields = map[string][]string{
	"user":             {"user", "enduser.id"},
	"http.method":      {"http.method", "http.request.method"},
	"http.useragent":   {"http.user_agent", "user_agent.original"},
	"http.clientip":    {"http.client_ip", "client.address", "net.sock.peer.addr", "net.peer.ip", "network.peer.address"},
	"availabilityzone": {"aws.ec2.availability_zone", "aws.ecs.availability_zone", "cloud.availability_zone"},
	"instance.id":      {"aws.ec2.instance_id", "host.id"},
	"resource.arn":     {"xray.resource_arn"},
}

// textHint is for a test of a keyword's text.
func textHint(name string, t textTest) hint {
	var any query.Or
	for _, f := range textFields[name] {
		any.X = append(any.X, t.on(f))
	}
	switch {
	case len(any.X) > 0:
		rank := t.rank()
		if name == "http.method" {
			rank = rankAny
		}
		return hint{where: any, rank: rank}
	case name == "http.url":
		return urlHint(t)
	}
	switch name {
	case "name", filterexpr.FieldNode:
		return nameHint(t)
	case "type":
		return typeHint(t)
	}
	return hint{}
}

// targetFields are the fields of spans that paths of URLs are taken from, urlFields the others that
// URLs are made of (see span.buildURL).
var (
	targetFields = []string{"http.target", "url.path", "http.route", "request.path"}
	urlFields    = []string{"http.url", "url.full", "url.query", "http.host", "http.server_name", "server.address", "net.host.name", "net.peer.name",
		"request.host", "server.port", "net.host.port", "net.peer.port", "http.scheme", "url.scheme"}
)

// urlHint is for a test of a URL, which may be one field or put together of several. Every piece of it
// between separators is in one of them.
func urlHint(t textTest) hint {
	var all []query.Expr
	for piece := range strings.FieldsFuncSeq(t.s, func(r rune) bool { return strings.ContainsRune("/:?[]", r) }) {
		if strings.Contains("http", piece) {
			continue // which is there without a field
		}
		in := textTest{hasText, piece}
		var any query.Or
		for _, f := range urlFields {
			any.X = append(any.X, in.on(f))
		}
		for _, name := range targetFields {
			f := query.Field{Name: name}
			// No separator is before a path without a slash.
			any.X = append(any.X, query.Or{X: []query.Expr{in.on(name), query.And{X: []query.Expr{query.Has{X: f}, query.Not{X: query.Text{Op: query.HasPrefix, X: f, S: "/"}}}}}})
		}
		all = append(all, any)
	}
	if len(all) == 0 {
		return hint{}
	}
	return hint{where: query.All(all...), rank: rankFew}
}

// nameFields are the fields of rows that names of segments are taken from (see span.nameTo),
// nodeFields those that inferred ones are named after in the graph.
var (
	nameFields = []string{"name", "service.name", "service_name", "peer.service", "aws.service", "aws.local.service", "aws.remote.service", "rpc.service",
		"http.host", "net.peer.name", "server.address"}
	nodeFields = []string{"aws.table_name", "aws.bucket_name", "aws.function_name", "aws.queue_url", "aws.queue.url"}
)

// badNameRunes matches what names are cleaned of, see badNameRune.
var badNameRunes = regexp.MustCompile(`[^\pL\pN\t-\r \x{85}\x{A0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}_.:/%&#=+\\\-@]`)

// cleaned tests what cleanName leaves of a field, apart from its length.
func (t textTest) cleaned(field string) query.Expr {
	return query.Or{X: []query.Expr{t.on(field), t.of(query.Replace{X: query.Field{Name: field}, Re: badNameRunes})}}
}

// nameHint is for a test of the name of a segment, subsegment or node.
func nameHint(t textTest) hint {
	if t.op == isThere || t.s == "" || t.holds(cleanName("")) {
		return hint{}
	}
	// Names are cut short, and prefixes of names of services of AWS are left out.
	long := utf8.RuneCountInString(t.s) >= maxName
	if t.op == endsWith || t.op == isText && long {
		t.op = hasText
	}
	anywhere := t
	if t.op == beginsWith {
		anywhere.op = hasText
	}
	var any query.Or
	for _, f := range nameFields {
		any.X = append(any.X, t.cleaned(f))
	}
	for _, f := range nodeFields {
		any.X = append(any.X, textTest{hasText, t.s}.on(f))
	}
	if t.op == isText {
		for _, prefix := range []string{"AWS.SDK.", "AWS::", "AWS.SDK.AWS::"} {
			any.X = append(any.X, textTest{isText, prefix + t.s}.cleaned("aws.remote.service"))
		}
	} else {
		any.X = append(any.X, anywhere.cleaned("aws.remote.service"))
	}
	// A database is named database@host.
	for _, f := range []string{"db.name", "db.namespace"} {
		switch t.op {
		case isText:
			for i := range t.s {
				if t.s[i] == '@' {
					any.X = append(any.X, textTest{isText, t.s[:i]}.cleaned(f))
				}
			}
		default:
			any.X = append(any.X, query.Has{X: query.Field{Name: f}})
		}
	}
	return hint{where: any, rank: rankSome}
}

// typeHint is for a test of the type of a segment or node.
func typeHint(t textTest) hint {
	service, ok := strings.CutPrefix(t.s, "AWS::")
	if t.op != isText || !ok {
		return hint{}
	}
	any := query.Or{X: []query.Expr{query.EqStr("xray.origin", t.s)}}
	for _, platform := range platforms {
		for _, launch := range []string{"", "ec2", "fargate"} {
			if spanOrigin(platform, launch) == t.s {
				any.X = append(any.X, query.EqStr("cloud.platform", platform))
			}
		}
	}
	// Inferred ones are AWS:: and the name of the call, or of a kind of resource of it.
	name, _, _ := strings.Cut(service, "::")
	for _, n := range []string{service, name} {
		got := nameHint(textTest{isText, n})
		if got.where == nil {
			return hint{}
		}
		any.X = append(any.X, got.where)
	}
	return hint{where: any, rank: rankSome}
}

func number(f float64) query.Expr { return query.Const{Value: query.Number(f)} }
