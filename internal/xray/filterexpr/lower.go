package filterexpr

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/syntax"
)

// The rows that lowered expressions are evaluated on. A trace's row, and the rows of its
// parts, have the keywords as fields; keywords with several values are parts themselves, whose
// rows have the field FieldValue.
const (
	// PartService relates a trace to its segments. Beside "name" they have FieldNode, the
	// name of their node in the service graph.
	PartService = "service"
	// PartEdge relates a trace to the calls in it. They have the selectors' fields with
	// SourcePrefix and TargetPrefix.
	PartEdge = "edge"
	// PartRootCause with a kind, a dot and a part of it ("rootcause.fault.entity") relates
	// a trace to the parts of its root causes. With nothing behind it, it relates a trace to
	// its root causes, a cause to its PartService and a service to its PartEntity, which have
	// PartException.
	PartRootCause = "rootcause"
	PartEntity    = "entity"
	PartException = "exception"
	// PartAnnotation relates to annotations: rows with FieldKey, FieldAlias and FieldValue.
	PartAnnotation = "annotation"

	FieldValue   = "value"
	FieldKey     = "key"
	FieldAlias   = "alias"
	FieldNode    = "node"
	FieldCount   = "count"
	SourcePrefix = "source."
	TargetPrefix = "target."
	// TypeClient is the type of the node that stands for a service's clients.
	TypeClient = "client"
)

// Groups finds the filter expression of a group by its name or its ARN.
type Groups func(name, arn string) (filter string, ok bool)

// scope is where a keyword is used.
type scope uint8

const (
	inTrace scope = 1 << iota
	inService
	inEdge
	inCauseService
	inCauseEntity
	inCauseException
)

var scopeNames = map[scope]string{
	inTrace: "a trace", inService: "service(){}", inEdge: "edge(){}",
	inCauseService: "rootcause service{}", inCauseEntity: "rootcause entity{}", inCauseException: "rootcause exception{}",
}

// kind is the type of a keyword.
type kind uint8

const (
	boolean kind = iota
	number
	seconds // a number, compared in milliseconds
	text
	multi // texts
	anyValue
	group
	causes
)

type keyword struct {
	kind kind
	in   scope
}

const (
	inRows   = inTrace | inService | inEdge
	inCauses = inCauseService | inCauseEntity | inCauseException
)

var keywords = map[string]keyword{
	"ok": {boolean, inRows}, "error": {boolean, inRows}, "fault": {boolean, inRows}, "throttle": {boolean, inRows},
	"partial": {boolean, inRows}, "inferred": {boolean, inRows | inCauseService}, "root": {boolean, inRows}, "coldstart": {boolean, inTrace | inService},
	"remote": {boolean, inCauseEntity}, "first": {boolean, inCauses}, "last": {boolean, inCauses},
	"responsetime": {seconds, inRows}, "duration": {seconds, inRows}, "http.status": {number, inRows},
	"index": {number, inCauses}, "coverage": {number, inCauseEntity},
	"http.url": {text, inRows}, "http.method": {text, inRows}, "http.useragent": {text, inRows}, "http.clientip": {text, inRows},
	"name": {text, inRows | inCauses}, "type": {text, inRows | inCauseService},
	"user": {multi, inRows}, "message": {multi, inRows | inCauseException}, "availabilityzone": {multi, inRows}, "instance.id": {multi, inRows},
	"resource.arn": {multi, inRows}, "account.id": {multi, inRows | inCauseService},
	"insight.id": {multi, inTrace}, "insight.category": {multi, inTrace},
	"annotation": {anyValue, inRows},
	"group.name": {group, inTrace}, "group.arn": {group, inTrace},
	"rootcause.json": {causes, inTrace},
}

// Keywords lists the keywords, for completion in editors.
func Keywords() []string {
	var out []string
	for k := range keywords {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

type lowerer struct {
	src    string
	groups Groups
}

// Lower turns an expression into one that query.Eval computes on a trace's row. A nil groups knows
// none. src is the text that n was parsed from, for the errors, which are *syntax.Error.
func Lower(n Node, src string, groups Groups) (e query.Expr, err error) {
	l := &lowerer{src, groups}
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *syntax.Error:
			e, err = nil, r
		default:
			panic(r)
		}
	}()
	return l.lower(n, inTrace), nil
}

func (l *lowerer) fail(span syntax.Span, format string, args ...any) {
	panic(&syntax.Error{Src: l.src, Span: span, Msg: fmt.Sprintf(format, args...)})
}

func (l *lowerer) lower(n Node, in scope) query.Expr {
	switch n := n.(type) {
	case And:
		return query.And{X: l.all(n.X, in)}
	case Or:
		return query.Or{X: l.all(n.X, in)}
	case Not:
		return query.Not{X: l.lower(n.X, in)}
	case Bare:
		return l.bare(n, in)
	case Comparison:
		return l.comparison(n, in)
	case Service:
		l.top(n, in, "service()")
		return l.part(PartService, n.Where, inService, selected(n.Node, ""))
	case Edge:
		l.top(n, in, "edge()")
		source := selected(n.Source, SourcePrefix)
		if n.Source.Type != TypeClient {
			source = query.All(source, query.Not{X: query.EqStr(SourcePrefix+"type", TypeClient)})
		}
		return l.part(PartEdge, n.Where, inEdge, query.All(source, selected(n.Target, TargetPrefix)))
	case RootCause:
		l.top(n, in, "rootcause")
		where := map[string]scope{"service": inCauseService, "entity": inCauseEntity, "exception": inCauseException}[n.Part]
		return l.part(PartRootCause+"."+n.Kind+"."+n.Part, n.Where, where, nil)
	default:
		panic(fmt.Sprintf("filterexpr: no meaning of %T", n))
	}
}

func (l *lowerer) all(list []Node, in scope) []query.Expr {
	out := make([]query.Expr, len(list))
	for i, n := range list {
		out[i] = l.lower(n, in)
	}
	return out
}

// top fails for what may not stand in braces.
func (l *lowerer) top(n Node, in scope, what string) {
	if in != inTrace {
		l.fail(n.Span(), "%s can not be used inside %s", what, scopeNames[in])
	}
}

// part is the condition that one row of a part satisfies sel and where.
func (l *lowerer) part(name string, where Node, in scope, sel query.Expr) query.Expr {
	cond := sel
	if where != nil {
		cond = query.All(sel, l.lower(where, in))
	}
	if cond == nil {
		cond = query.And{}
	}
	return query.Exists{Over: query.Part{Name: name}, Where: cond}
}

// selected is the condition that a node is the one that sel chooses: by the name of its
// segments or by its name in the service graph.
func selected(sel Selector, prefix string) query.Expr {
	var list []query.Expr
	if sel.Name != "" {
		list = append(list, query.Or{X: []query.Expr{query.EqStr(prefix+"name", sel.Name), query.EqStr(prefix+FieldNode, sel.Name)}})
	}
	if sel.Type != "" {
		list = append(list, query.EqStr(prefix+"type", sel.Type))
	}
	if sel.Account != "" {
		field := prefix + "account.id"
		if prefix == "" {
			list = append(list, query.Exists{Over: query.Part{Name: field}, Where: query.EqStr(FieldValue, sel.Account)})
		} else {
			list = append(list, query.EqStr(field, sel.Account))
		}
	}
	return query.All(list...)
}

// use looks a keyword up and fails where it has no meaning.
func (l *lowerer) use(k Keyword, span syntax.Span, in scope) keyword {
	kw := keywords[k.Name]
	if kw.in&in == 0 {
		l.fail(span, "%s can not be used in %s", k, scopeNames[in])
	}
	return kw
}

func (l *lowerer) bare(n Bare, in scope) query.Expr {
	field := query.Field{Name: n.Keyword.Name}
	value := query.Field{Name: FieldValue}
	switch l.use(n.Keyword, n.span, in).kind {
	case boolean:
		return field
	case number, seconds, text:
		return query.Has{X: field}
	case multi:
		return query.Exists{Over: query.Part{Name: n.Keyword.Name}, Where: query.Has{X: value}}
	case anyValue:
		return annotation(n.Keyword.Key, query.Not{X: query.Compare{L: value, R: query.Const{Value: event.Bool(false)}}})
	default:
		l.fail(n.span, "%s needs a comparison", n.Keyword)
		return nil
	}
}

// annotation is the condition that an annotation of a key satisfies where.
func annotation(key string, where query.Expr) query.Expr {
	named := query.Or{X: []query.Expr{query.EqStr(FieldKey, key), query.EqStr(FieldAlias, key)}}
	return query.Exists{Over: query.Part{Name: PartAnnotation}, Where: query.All(named, where)}
}

func (l *lowerer) comparison(n Comparison, in scope) query.Expr {
	field := query.Field{Name: n.Keyword.Name}
	value := query.Field{Name: FieldValue}
	kw := l.use(n.Keyword, n.span, in)
	switch kw.kind {
	case boolean:
		if n.Op != Equal && n.Op != NotEqual {
			l.badOp(n, "= and !=")
		}
		want, ok := n.Value.Bool, n.Value.Kind == BoolValue
		if !ok {
			l.badValue(n, "true or false")
		}
		if want == (n.Op == Equal) {
			return field
		}
		return query.Not{X: field}
	case number, seconds:
		if n.Value.Kind != NumberValue {
			l.badValue(n, "a number")
		}
		f := n.Value.Num
		if kw.kind == seconds {
			f = math.Round(f*1000) / 1000
		}
		return one(field, l.numbers(n, field, f), n.Op)
	case text:
		return one(field, l.texts(n, field), n.Op)
	case multi:
		if in == inCauseException {
			return one(field, l.texts(n, field), n.Op)
		}
		part := query.Part{Name: n.Keyword.Name}
		hit := query.Exists{Over: part, Where: l.texts(n, value)}
		if n.Op == NotEqual {
			return query.And{X: []query.Expr{query.Exists{Over: part, Where: query.Has{X: value}}, query.Not{X: hit}}}
		}
		return hit
	case anyValue:
		hit := annotation(n.Keyword.Key, l.anything(n, value))
		if n.Op == NotEqual {
			return query.And{X: []query.Expr{annotation(n.Keyword.Key, query.Has{X: value}), query.Not{X: hit}}}
		}
		return hit
	case group:
		return l.group(n)
	default:
		return l.rootCauses(n)
	}
}

func (l *lowerer) badOp(n Comparison, ops string) {
	l.fail(n.span, "%s can not be compared with %s, only with %s", n.Keyword, n.Op, ops)
}

func (l *lowerer) badValue(n Comparison, want string) {
	l.fail(n.Value.Span, "%s is compared with %s, not with %s", n.Keyword, want, n.Value)
}

// one turns equality into the comparison of a field that may be missing.
func one(field, cond query.Expr, op Op) query.Expr {
	if op == NotEqual {
		return query.And{X: []query.Expr{query.Has{X: field}, query.Not{X: cond}}}
	}
	return cond
}

var orders = map[Op]query.Op{Equal: query.Eq, NotEqual: query.Eq, Less: query.Lt, LessEqual: query.Le, Greater: query.Gt, GreaterEqual: query.Ge}

// numbers compares x; != is lowered as =.
func (l *lowerer) numbers(n Comparison, x query.Expr, f float64) query.Expr {
	op, ok := orders[n.Op]
	if !ok {
		l.badOp(n, "=, !=, <, <=, > and >=")
	}
	return query.Compare{Op: op, L: x, R: query.Const{Value: event.Float(f)}}
}

// texts compares x; != is lowered as =.
func (l *lowerer) texts(n Comparison, x query.Expr) query.Expr {
	s := n.Value.Str
	switch n.Value.Kind {
	case StringValue:
	case BoolValue:
		s = n.Value.String()
	default:
		l.badValue(n, "a string")
	}
	switch n.Op {
	case Equal, NotEqual:
		return query.Compare{L: x, R: query.Str(s)}
	case Contains:
		return query.Text{Op: query.Contains, X: x, S: s}
	case BeginsWith:
		return query.Text{Op: query.HasPrefix, X: x, S: s}
	case EndsWith:
		return query.Text{Op: query.HasSuffix, X: x, S: s}
	default:
		l.badOp(n, "=, !=, CONTAINS, BEGINSWITH and ENDSWITH")
		return nil
	}
}

// anything compares an annotation, whose type is not known; != is lowered as =.
func (l *lowerer) anything(n Comparison, x query.Expr) query.Expr {
	switch n.Value.Kind {
	case NumberValue:
		return l.numbers(n, x, n.Value.Num)
	case BoolValue:
		if n.Op != Equal && n.Op != NotEqual {
			l.badOp(n, "= and != where the value is a boolean")
		}
		return query.Compare{L: x, R: query.Const{Value: event.Bool(n.Value.Bool)}}
	case StringValue:
		is := l.texts(n, x)
		if s := strings.ToLower(n.Value.Str); (s == "true" || s == "false") && (n.Op == Equal || n.Op == NotEqual) {
			return query.Or{X: []query.Expr{is, query.Compare{L: x, R: query.Const{Value: event.Bool(s == "true")}}}}
		}
		return is
	default:
		l.badValue(n, "a string, a number or a boolean")
		return nil
	}
}

// group puts the group's own expression in place of its name.
func (l *lowerer) group(n Comparison) query.Expr {
	if n.Op != Equal && n.Op != NotEqual {
		l.badOp(n, "= and !=")
	}
	if n.Value.Kind != StringValue {
		l.badValue(n, "a string")
	}
	name, arn := n.Value.Str, ""
	if n.Keyword.Name == "group.arn" {
		name, arn = "", n.Value.Str
	}
	if l.groups == nil {
		l.fail(n.span, "a group can not refer to groups")
	}
	filter, ok := l.groups(name, arn)
	if !ok {
		l.fail(n.Value.Span, "there is no group %s", n.Value)
	}
	var cond query.Expr
	tree, err := Parse(filter)
	if err == nil {
		cond, err = Lower(tree, filter, nil)
	}
	if err != nil {
		l.fail(n.Value.Span, "the filter expression of group %s is not valid: %v", n.Value, err)
	}
	if n.Op == NotEqual {
		return query.Not{X: cond}
	}
	return cond
}

// rootCauses lowers a structural comparison: every listed cause must be one of the trace's.
// Members that are there must be equal; lists must match element by element.
func (l *lowerer) rootCauses(n Comparison) query.Expr {
	if n.Op != Equal && n.Op != NotEqual {
		l.badOp(n, "= and !=")
	}
	if n.Value.Kind != JSONValue {
		l.badValue(n, "JSON (#[…])")
	}
	list := []JSON{n.Value.JSON}
	if n.Value.JSON.Kind == JSONArray {
		list = n.Value.JSON.Elems
	}
	var conds []query.Expr
	for _, c := range list {
		cond := l.structure(n, c, map[string]string{"Services": PartService})
		conds = append(conds, query.Exists{Over: query.Part{Name: PartRootCause}, Where: cond})
	}
	var all query.Expr = query.And{X: conds}
	if n.Op == NotEqual {
		return query.Not{X: all}
	}
	return all
}

// structure is the condition that a row has an object's members; lists names the members that
// are parts of the row.
func (l *lowerer) structure(n Comparison, j JSON, lists map[string]string) query.Expr {
	if j.Kind != JSONObject {
		l.fail(n.Value.Span, "a root cause and its parts are JSON objects, not %s", j)
	}
	var conds []query.Expr
	for i, name := range j.Names {
		v := j.Elems[i]
		part, isList := lists[name]
		switch {
		case v.Kind == JSONNull:
		case isList:
			if v.Kind != JSONArray {
				l.fail(n.Value.Span, "%s is a list, not %s", name, v)
			}
			conds = append(conds, query.Compare{L: query.Field{Name: part + "." + FieldCount}, R: query.Num(int64(len(v.Elems)))})
			for k, e := range v.Elems {
				at := query.Compare{L: query.Field{Name: "index"}, R: query.Num(int64(k))}
				conds = append(conds, query.Exists{Over: query.Part{Name: part}, Where: query.All(at, l.structure(n, e, causeLists[name]))})
			}
		case causeFields[name] == "":
			l.fail(n.Value.Span, "a root cause has no member %s", name)
		case v.Kind == JSONArray || v.Kind == JSONObject:
			// Names, which AWS writes beside Name, says nothing more.
			if name != "Names" {
				l.fail(n.Value.Span, "%s is a plain value, not %s", name, v)
			}
		default:
			conds = append(conds, query.Compare{L: query.Field{Name: causeFields[name]}, R: query.Const{Value: jsonValue(v)}})
		}
	}
	return query.And{X: conds}
}

var causeLists = map[string]map[string]string{
	"Services":   {"EntityPath": PartEntity},
	"EntityPath": {"Exceptions": PartException},
}

var causeFields = map[string]string{
	"Name": "name", "Names": "name", "Type": "type", "AccountId": "account.id", "Inferred": "inferred", "Remote": "remote",
	"Coverage": "coverage", "Message": "message", "ClientImpacting": "clientimpacting",
}

func jsonValue(j JSON) event.Value {
	switch j.Kind {
	case JSONString:
		return event.String(j.Str)
	case JSONNumber:
		return event.Float(j.Num)
	default:
		return event.Bool(j.Bool)
	}
}
