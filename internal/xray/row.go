package xray

import (
	"math"
	"slices"
	"strings"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/xray/filterexpr"
)

const (
	// maxAnnotations bounds the annotations of a trace's documents that can be searched for,
	// maxAttributes those of its spans.
	maxAnnotations = 50
	maxAttributes  = 1000
	// maxAnnotation is the longest text of an annotation that can be searched for.
	maxAnnotation = 1000
)

// filterRow is what a filter expression is evaluated on; see package filterexpr for its
// fields and parts.
type filterRow struct {
	get   func(field string) event.Value
	parts func(part string) []query.Row
}

// Get implements query.Row.
func (r filterRow) Get(name string) event.Value { return r.get(name) }

// Each implements query.Row.
func (r filterRow) Each(yield func(string, event.Value) bool) {
	for _, k := range filterexpr.Keywords() {
		if v := r.get(k); !v.Missing() && !yield(k, v) {
			return
		}
	}
}

// Related implements query.Related.
func (r filterRow) Related(part string) []query.Row {
	if r.parts == nil {
		return nil
	}
	return r.parts(part)
}

// fieldsRow is a row of a few fields.
func fieldsRow(fields ...event.Field) filterRow {
	return filterRow{get: func(name string) event.Value {
		for _, f := range fields {
			if f.Name == name {
				return f.Value
			}
		}
		return event.Value{}
	}}
}

func valueRows(values []string) []query.Row {
	var out []query.Row
	for _, v := range values {
		if v != "" {
			out = append(out, fieldsRow(event.Field{Name: filterexpr.FieldValue, Value: event.String(v)}))
		}
	}
	return out
}

// row returns the row of a trace; account is whose segments are when they do not say.
func (t *trace) row(account string) filterRow {
	all := t.all()
	return filterRow{
		get: func(name string) event.Value {
			switch name {
			case "root":
				return event.Bool(true)
			case "partial":
				return event.Bool(t.partial)
			case "duration":
				return milli(t.end - t.start)
			case "inferred":
				return event.Bool(slices.ContainsFunc(t.segments, func(e *entity) bool { return e.inferred }))
			case "coldstart":
				return event.Bool(slices.ContainsFunc(t.segments, coldStart))
			}
			return t.field(t.entry, name)
		},
		parts: func(part string) []query.Row {
			switch part {
			case filterexpr.PartService:
				return t.serviceRows(account)
			case filterexpr.PartEdge:
				return t.edgeRows(account)
			case filterexpr.PartAnnotation:
				return annotationRows(t.annotationsOf(all))
			case filterexpr.PartRootCause:
				return causeRows(slices.Concat(t.failures(account, isFault), t.failures(account, isError), t.slowest(account)))
			}
			if part == "insight.id" {
				return valueRows(t.insights)
			}
			if part == "insight.category" && len(t.insights) > 0 {
				return valueRows([]string{insightCategory})
			}
			if kind, ok := strings.CutPrefix(part, filterexpr.PartRootCause+"."); ok {
				return t.causeParts(kind, account)
			}
			return valueRows(t.values(all, part, account))
		},
	}
}

// all returns every entity.
func (t *trace) all() []*entity {
	var out []*entity
	t.each(func(e *entity) { out = append(out, e) })
	return out
}

// milli is a time that filters compare.
func milli(s float64) event.Value { return event.Float(math.Round(max(s, 0)*1000) / 1000) }

func coldStart(e *entity) bool {
	return strings.HasPrefix(e.origin, "AWS::Lambda") && slices.ContainsFunc(e.children, func(c *entity) bool { return c.name == "Initialization" })
}

// field returns the value of a single-valued keyword of an entity.
func (t *trace) field(e *entity, name string) event.Value {
	set := func(s string) event.Value {
		if s == "" {
			return event.Value{}
		}
		return event.String(s)
	}
	switch name {
	case "ok":
		return event.Bool(!e.isError && !e.fault && !e.throttle)
	case "error":
		return event.Bool(e.isError)
	case "fault":
		return event.Bool(e.fault)
	case "throttle":
		return event.Bool(e.throttle)
	case "partial":
		return event.Bool(e.inProgress)
	case "inferred":
		return event.Bool(e.inferred)
	case "root":
		return event.Bool(e.segment == t.entry)
	case "coldstart":
		return event.Bool(coldStart(e))
	case "responsetime":
		if e.inProgress {
			return event.Value{}
		}
		return milli(e.duration())
	case "duration":
		return milli(e.last - e.start)
	case "http.status":
		if e.http.status == nil {
			return event.Value{}
		}
		return event.Int(*e.http.status)
	case "http.url":
		return set(e.http.url)
	case "http.method":
		return set(e.http.method)
	case "http.useragent":
		return set(e.http.userAgent)
	case "http.clientip":
		return set(e.http.clientIP)
	case "name":
		return set(e.name)
	case "type":
		return set(e.origin)
	}
	return event.Value{}
}

// values returns the values of a keyword that can have several, over some entities.
func (t *trace) values(of []*entity, name, account string) []string {
	var out []string
	add := func(v string) {
		if v != "" && !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	for _, e := range of {
		switch name {
		case "user":
			add(e.user)
		case "message":
			for _, x := range t.exceptionsOf(e) {
				add(x.message)
			}
		case "availabilityzone":
			add(fieldText(e.aws, "ec2.availability_zone"))
			add(fieldText(e.aws, "ecs.availability_zone"))
		case "instance.id":
			add(fieldText(e.aws, "ec2.instance_id"))
		case "resource.arn":
			add(e.resourceARN)
		case "account.id":
			if e.segment == e {
				add(e.node(account).account)
			}
		}
	}
	return out
}

// annotation is an annotation that can be searched for, and where it was made.
type annotation struct {
	event.Field
	attribute bool
	segment   *entity
}

// annotationsOf returns the annotations of some entities that are indexed.
func (t *trace) annotationsOf(of []*entity) []annotation {
	var out []annotation
	documents, attributes := 0, 0
	for _, e := range of {
		if e.inferred {
			continue
		}
		for _, f := range e.annotations {
			n, limit := &documents, maxAnnotations
			if e.span != nil {
				n, limit = &attributes, maxAttributes
			}
			if *n++; *n > limit {
				continue
			}
			if len(f.Value.Str()) > maxAnnotation {
				continue
			}
			out = append(out, annotation{f, e.span != nil, e.segment})
		}
	}
	return out
}

// annotationRows gives attributes of spans a second name, see annotationAlias.
func annotationRows(list []annotation) []query.Row {
	out := make([]query.Row, len(list))
	for i, a := range list {
		alias := event.Value{}
		if a.attribute {
			alias = event.String(annotationAlias(a.Name))
		}
		out[i] = fieldsRow(event.Field{Name: filterexpr.FieldKey, Value: event.String(a.Name)},
			event.Field{Name: filterexpr.FieldAlias, Value: alias}, event.Field{Name: filterexpr.FieldValue, Value: a.Value})
	}
	return out
}

// annotationAlias puts _ in the place of characters that annotation.key can not have.
func annotationAlias(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r >= '0' && r <= '9' || r|0x20 >= 'a' && r|0x20 <= 'z' {
			return r
		}
		return '_'
	}, name)
}

// entityRow is the row of a segment or a call; extra fields come first.
func (t *trace) entityRow(e *entity, of []*entity, account string, extra ...event.Field) filterRow {
	return filterRow{
		get: func(name string) event.Value {
			for _, f := range extra {
				if f.Name == name {
					return f.Value
				}
			}
			return t.field(e, name)
		},
		parts: func(part string) []query.Row {
			if part == filterexpr.PartAnnotation {
				return annotationRows(t.annotationsOf(of))
			}
			return valueRows(t.values(of, part, account))
		},
	}
}

func (t *trace) serviceRows(account string) []query.Row {
	var out []query.Row
	for _, s := range t.segments {
		if s.sub {
			continue
		}
		var of []*entity
		s.walk(func(e *entity) { of = append(of, e) })
		out = append(out, t.entityRow(s, of, account, event.Field{Name: filterexpr.FieldNode, Value: event.String(s.node(account).name)}))
	}
	return out
}

// call is one use of an edge of the service graph.
type call struct {
	// source is the caller's segment, nil for a client.
	source, target *entity
	// by is what was measured: the caller's subsegment, or the target where there is none.
	by *entity
}

// calls returns the calls in a trace, those of the clients first.
func (t *trace) calls() []call {
	out := make([]call, 0, len(t.segments))
	for _, s := range t.segments {
		if s.caller == nil && !s.sub {
			out = append(out, call{nil, s, s})
		}
	}
	t.each(func(e *entity) {
		for _, target := range e.calls {
			by := e
			if !e.sub {
				by = target
			}
			out = append(out, call{e.segment, target, by})
		}
	})
	return out
}

func (t *trace) edgeRows(account string) []query.Row {
	var out []query.Row
	for _, c := range t.calls() {
		target := c.target.node(account)
		source, name := node{target.name, filterexpr.TypeClient, target.account}, c.target.name
		if c.source != nil {
			source, name = c.source.node(account), c.source.name
		}
		field := func(prefix, name, v string) event.Field {
			return event.Field{Name: prefix + name, Value: event.String(v)}
		}
		of := []*entity{c.by}
		if c.source != nil {
			of = append(of, c.source)
		}
		r := t.entityRow(c.by, of, account,
			field(filterexpr.SourcePrefix, "name", name), field(filterexpr.SourcePrefix, filterexpr.FieldNode, source.name),
			field(filterexpr.SourcePrefix, "type", source.kind), field(filterexpr.SourcePrefix, "account.id", source.account),
			field(filterexpr.TargetPrefix, "name", c.target.name), field(filterexpr.TargetPrefix, filterexpr.FieldNode, target.name),
			field(filterexpr.TargetPrefix, "type", target.kind), field(filterexpr.TargetPrefix, "account.id", target.account),
			event.Field{Name: "name", Value: event.String(target.name)}, event.Field{Name: "type", Value: event.String(target.kind)},
			event.Field{Name: "inferred", Value: event.Bool(c.target.inferred)},
			event.Field{Name: "root", Value: event.Bool(c.source != nil && c.source == t.entry)},
		)
		parts := r.parts
		r.parts = func(part string) []query.Row {
			switch part {
			case filterexpr.PartAnnotation, "message":
				if part == "message" {
					return valueRows(t.values([]*entity{c.by}, part, account))
				}
				return annotationRows(t.annotationsOf([]*entity{c.by}))
			case "account.id":
				return valueRows([]string{target.account})
			}
			return parts(part)
		}
		out = append(out, r)
	}
	return out
}

// causeParts returns the rows of "fault.service" and its like.
func (t *trace) causeParts(part, account string) []query.Row {
	kind, what, _ := strings.Cut(part, ".")
	var list []cause
	switch kind {
	case "fault":
		list = t.failures(account, isFault)
	case "error":
		list = t.failures(account, isError)
	case "responsetime":
		list = t.slowest(account)
	}
	var out []query.Row
	for _, c := range list {
		services := serviceCauseRows(c)
		if what == filterexpr.PartService {
			out = append(out, services...)
			continue
		}
		for _, s := range c.services {
			entities := entityCauseRows(s)
			if what == filterexpr.PartEntity {
				out = append(out, entities...)
				continue
			}
			for _, e := range s.path {
				out = append(out, exceptionRows(e)...)
			}
		}
	}
	return out
}

func causeRows(list []cause) []query.Row {
	out := make([]query.Row, len(list))
	for i, c := range list {
		r := fieldsRow(event.Field{Name: "clientimpacting", Value: event.Bool(c.impacting)}, count(filterexpr.PartService, len(c.services)))
		r.parts = func(string) []query.Row { return serviceCauseRows(c) }
		out[i] = r
	}
	return out
}

func count(part string, n int) event.Field {
	return event.Field{Name: part + "." + filterexpr.FieldCount, Value: event.Int(int64(n))}
}

// placed are the fields of the i-th of n elements.
func placed(name string, i, n int, more ...event.Field) filterRow {
	return fieldsRow(append(more, event.Field{Name: "name", Value: event.String(name)}, event.Field{Name: "index", Value: event.Int(int64(i))},
		event.Field{Name: "first", Value: event.Bool(i == 0)}, event.Field{Name: "last", Value: event.Bool(i == n-1)})...)
}

func serviceCauseRows(c cause) []query.Row {
	out := make([]query.Row, len(c.services))
	for i, s := range c.services {
		r := placed(s.name, i, len(c.services), event.Field{Name: "type", Value: event.String(s.kind)}, event.Field{Name: "account.id", Value: event.String(s.account)},
			event.Field{Name: "inferred", Value: event.Bool(s.inferred)}, count(filterexpr.PartEntity, len(s.path)))
		r.parts = func(part string) []query.Row {
			if part == "account.id" {
				return valueRows([]string{s.account})
			}
			return entityCauseRows(s)
		}
		out[i] = r
	}
	return out
}

func entityCauseRows(s causeService) []query.Row {
	out := make([]query.Row, len(s.path))
	for i, e := range s.path {
		r := placed(e.name, i, len(s.path), event.Field{Name: "remote", Value: event.Bool(e.remote)},
			event.Field{Name: "coverage", Value: event.Float(math.Round(e.coverage*1000) / 1000)}, count(filterexpr.PartException, len(e.exceptions)))
		r.parts = func(string) []query.Row { return exceptionRows(e) }
		out[i] = r
	}
	return out
}

func exceptionRows(e causeEntity) []query.Row {
	out := make([]query.Row, len(e.exceptions))
	for i, x := range e.exceptions {
		out[i] = placed(x.kind, i, len(e.exceptions), event.Field{Name: "message", Value: event.String(x.message)})
	}
	return out
}
