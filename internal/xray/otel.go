package xray

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/trefoil-o11y/trefoil/internal/event"
)

// otelSpan is a span in OTLP's JSON encoding, with the resource and the scope beside it.
type otelSpan struct {
	TraceID      string      `json:"traceId"`
	SpanID       string      `json:"spanId"`
	ParentSpanID string      `json:"parentSpanId,omitempty"`
	Name         string      `json:"name"`
	Kind         int         `json:"kind"`
	Start        string      `json:"startTimeUnixNano"`
	End          string      `json:"endTimeUnixNano"`
	Attributes   []otelKV    `json:"attributes"`
	Events       []otelEvent `json:"events,omitempty"`
	Links        []otelLink  `json:"links,omitempty"`
	Status       otelStatus  `json:"status"`
	Resource     otelOf      `json:"resource"`
	Scope        otelScope   `json:"scope"`
}

type otelKV struct {
	Key   string                     `json:"key"`
	Value map[string]json.RawMessage `json:"value"`
}

type otelEvent struct {
	Time       string   `json:"timeUnixNano"`
	Name       string   `json:"name"`
	Attributes []otelKV `json:"attributes"`
}

type otelLink struct {
	TraceID string `json:"traceId"`
	SpanID  string `json:"spanId"`
}

type otelStatus struct {
	Code    int    `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
}

type otelOf struct {
	Attributes []otelKV `json:"attributes"`
}

type otelScope struct {
	Name    string `json:"name,omitempty"`
	Version string `json:"version,omitempty"`
}

var otelKinds = map[string]int{"internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}

const otelError = 2

func (s *otelSpan) add(key string, v event.Value) {
	if !v.Missing() && v.Text() != "" {
		s.Attributes = append(s.Attributes, otelAttribute(key, v))
	}
}

func (s *otelSpan) text(key, v string) { s.add(key, event.String(v)) }

func (s *otelSpan) flag(key string, v bool) {
	if v {
		s.add(key, event.Bool(true))
	}
}

func (s *otelSpan) number(key string, v *int64) {
	if v != nil {
		s.add(key, event.Int(*v))
	}
}

func otelAttribute(key string, v event.Value) otelKV {
	kind, raw := "stringValue", valueJSON(v)
	switch v.Kind() {
	case event.KindInt:
		kind, raw = "intValue", encode(v.Text())
	case event.KindFloat:
		kind = "doubleValue"
	case event.KindBool:
		kind = "boolValue"
	}
	return otelKV{key, map[string]json.RawMessage{kind: raw}}
}

func otelTexts(key string, list []string) otelKV {
	var values []map[string]string
	for _, s := range list {
		values = append(values, map[string]string{"stringValue": s})
	}
	return otelKV{key, map[string]json.RawMessage{"arrayValue": encode(map[string]any{"values": values})}}
}

func nanoText(ns int64) string { return strconv.FormatInt(ns, 10) }

// otel returns the spans of a trace, the earliest first: those that came as spans as they are,
// segments and subsegments by the rules of the OpenTelemetry Collector's X-Ray receiver.
// Inferred segments are none.
func (t *trace) otel() []retrievedSpan {
	type at struct {
		start int64
		out   retrievedSpan
	}
	var list []at
	add := func(start int64, s otelSpan) {
		list = append(list, at{start, retrievedSpan{s.SpanID, string(encode(s))}})
	}
	var docs []*entity
	t.each(func(e *entity) {
		switch {
		case e.inferred, e.synthetic:
		case e.span != nil:
			fields, _ := e.span.fields.(spanMap)
			add(fields[event.FieldTime].Int(), otelOfSpan(fields, e))
		case e.raw != "":
			docs = append(docs, e)
		}
	})
	for _, e := range docs {
		var text tree
		o, ok := text.read(e.raw)
		if !ok {
			continue
		}
		var walk func(o object, id event.SpanID)
		walk = func(o object, id event.SpanID) {
			if part := t.entities.get(id); part != nil && part.span == nil {
				add(nanos(part.start), t.otelOfPart(o, part))
			}
			for s := range o.member("subsegments").elements() {
				if id, err := event.ParseSpanID(s.text("id")); err == nil && t.entities.get(id) != nil && t.entities.get(id).raw == "" {
					walk(s, id)
				}
			}
		}
		walk(o, e.id)
	}
	slices.SortStableFunc(list, func(a, b at) int { return int(min(max(a.start-b.start, -1), 1)) })
	out := make([]retrievedSpan, len(list))
	for i := range list {
		out[i] = list[i].out
	}
	return out
}

// resourceParts begin the names of attributes that describe what a span was made in.
var resourceParts = []string{"service.", "telemetry.", "cloud.", "host.", "process.", "container.", "k8s.", "os.", "deployment.", "faas.", "aws.ecs.", "aws.eks.", "aws.log.", "resource."}

// otelOfSpan writes a span from its fields.
func otelOfSpan(fields spanMap, e *entity) otelSpan {
	text := func(name string) string { return fields[name].Str() }
	start := fields[event.FieldTime].Int()
	ms, _ := fields["duration_ms"].Number()
	s := otelSpan{
		TraceID: text(event.FieldTrace), SpanID: text(event.FieldSpan), ParentSpanID: text(event.FieldParent), Name: text("name"),
		Kind: otelKinds[e.span.kind], Start: nanoText(start), End: nanoText(start + int64(ms*1e6)), Attributes: []otelKV{}, Resource: otelOf{[]otelKV{}},
		Scope: otelScope{text("library.name"), text("library.version")},
	}
	if code, ok := fields["status_code"].Number(); ok {
		s.Status = otelStatus{int(code), text("status_message")}
	} else if e.span.flag("error") {
		s.Status = otelStatus{otelError, text("status_message")}
	}
	for _, name := range sortedKeys(fields) {
		switch {
		case slices.ContainsFunc(resourceParts, func(p string) bool { return strings.HasPrefix(name, p) }) || name == "service_name":
			s.Resource.Attributes = append(s.Resource.Attributes, otelAttribute(name, fields[name]))
		case annotated(name):
			s.add(name, fields[name])
		}
	}
	for _, row := range e.span.events {
		ev := otelEvent{nanoText(row[event.FieldTime].Int()), row["name"].Str(), []otelKV{}}
		for _, name := range sortedKeys(row) {
			if annotated(name) && !strings.HasPrefix(name, "service.") || strings.HasPrefix(name, "exception.") {
				ev.Attributes = append(ev.Attributes, otelAttribute(name, row[name]))
			}
		}
		s.Events = append(s.Events, ev)
	}
	s.links(e)
	return s
}

func (s *otelSpan) links(e *entity) {
	for _, l := range e.links {
		s.Links = append(s.Links, otelLink{l.trace.String(), l.id.String()})
	}
}

// otelOfPart writes the span of a segment or subsegment; o is its text.
func (t *trace) otelOfPart(o object, e *entity) otelSpan {
	end := e.end
	if e.inProgress {
		end = e.start
	}
	s := otelSpan{
		TraceID: t.id.String(), SpanID: e.id.String(), Name: e.name, Kind: otelKinds["internal"], Start: nanoText(nanos(e.start)), End: nanoText(nanos(end)), Attributes: []otelKV{},
		Resource: otelOf{[]otelKV{otelAttribute("service.name", event.String(e.segment.name))}},
	}
	if up := e.parent; up != nil {
		s.ParentSpanID = up.id.String()
	} else {
		s.ParentSpanID = e.document.parent.String()
	}
	switch {
	case !e.sub:
		s.Kind = otelKinds["server"]
	case e.namespace != "":
		s.Kind = otelKinds["client"]
	}
	resource := func(key, v string) {
		if v != "" {
			s.Resource.Attributes = append(s.Resource.Attributes, otelAttribute(key, event.String(v)))
		}
	}
	if strings.HasPrefix(e.segment.origin, "AWS::") {
		resource("cloud.provider", "aws")
		resource("cloud.platform", platformOf(e.segment.origin))
	}
	resource("cloud.account.id", fieldText(e.segment.aws, "account_id"))
	resource("cloud.availability_zone", fieldText(e.segment.aws, "ec2.availability_zone"))
	resource("host.id", fieldText(e.segment.aws, "ec2.instance_id"))
	resource("telemetry.sdk.name", fieldText(e.segment.aws, "xray.sdk"))
	resource("telemetry.sdk.version", fieldText(e.segment.aws, "xray.sdk_version"))
	if e.namespace == "aws" {
		s.text("aws.service", e.name)
	}
	s.text("enduser.id", e.user)
	s.text("http.method", e.http.method)
	s.text("http.url", e.http.url)
	s.text("http.user_agent", e.http.userAgent)
	s.text("http.client_ip", e.http.clientIP)
	s.number("http.status_code", e.http.status)
	s.number("http.response_content_length", e.http.length)
	s.flag("aws.xray.x_forwarded_for", e.http.forwarded)
	s.flag("aws.xray.traced", e.http.traced)
	s.flag("aws.xray.inprogress", e.inProgress)
	s.text("aws.xray.resource_arn", e.resourceARN)
	for _, f := range e.aws {
		if e.sub {
			s.add("aws."+f.Name, f.Value)
		}
	}
	for name, as := range map[string]string{"database_type": "db.system", "sanitized_query": "db.statement", "user": "db.user", "connection_string": "db.connection_string"} {
		s.text(as, fieldText(e.sql, name))
	}
	slices.SortFunc(s.Attributes, func(a, b otelKV) int { return strings.Compare(a.Key, b.Key) })
	var names []string
	for _, f := range e.annotations {
		s.add(f.Name, f.Value)
		names = append(names, f.Name)
	}
	if len(names) > 0 {
		s.Attributes = append(s.Attributes, otelTexts("aws.xray.annotations", names))
	}
	for m := range o.object("metadata").members() {
		s.text("aws.xray.metadata."+m.name(), string(m.json()))
	}
	s.failures(o, e)
	s.links(e)
	return s
}

// failures adds the status and the exceptions.
func (s *otelSpan) failures(o object, e *entity) {
	s.flag("aws.xray.throttle", e.throttle)
	if e.isError || e.fault || e.throttle {
		s.Status.Code = otelError
	}
	for x := range o.object("cause").member("exceptions").elements() {
		ev := otelEvent{Time: s.End, Name: "exception", Attributes: []otelKV{}}
		text := func(key, v string) {
			if v != "" {
				ev.Attributes = append(ev.Attributes, otelAttribute(key, event.String(v)))
			}
		}
		text("exception.type", x.text("type"))
		text("exception.message", x.text("message"))
		var stack strings.Builder
		for f := range x.member("stack").elements() {
			line, _ := f.number("line")
			fmt.Fprintf(&stack, "\tat %s(%s: %d)\n", f.text("label"), f.text("path"), int64(line))
		}
		if stack.Len() > 0 {
			text("exception.stacktrace", x.text("type")+": "+x.text("message")+"\n"+stack.String())
		}
		text("aws.xray.exception.id", x.text("id"))
		text("aws.xray.exception.cause", x.text("cause"))
		if x.flag("remote") {
			ev.Attributes = append(ev.Attributes, otelAttribute("aws.xray.exception.remote", event.Bool(true)))
		}
		for _, name := range []string{"truncated", "skipped"} {
			if n := x.integer(name); n != nil {
				ev.Attributes = append(ev.Attributes, otelAttribute("aws.xray.exception."+name, event.Int(*n)))
			}
		}
		if s.Status.Message == "" && s.Status.Code == otelError {
			s.Status.Message = x.text("message")
		}
		s.Events = append(s.Events, ev)
	}
}

// platforms are those that spanOrigin knows.
var platforms = []string{"aws_ec2", "aws_ecs", "aws_eks", "aws_elastic_beanstalk", "aws_app_runner"}

// platformOf is the opposite of spanOrigin.
func platformOf(origin string) string {
	for _, p := range platforms {
		if o := spanOrigin(p, ""); o == origin || p == "aws_ecs" && strings.HasPrefix(origin, "AWS::ECS::") {
			return p
		}
	}
	if strings.HasPrefix(origin, "AWS::Lambda") {
		return "aws_lambda"
	}
	return ""
}
