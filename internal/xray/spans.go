package xray

import (
	"crypto/sha256"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/trefoil-o11y/trefoil/internal/event"
)

// span is an event of a Honeycomb dataset that is a span, with what belongs to it.
type span struct {
	fields spanFields
	kind   string
	otlp   bool
	// exceptions are its span events named exception.
	exceptions []exception
	links      []link
	// events are its span events.
	events []spanMap
}

// spanFields are the fields of a span.
type spanFields interface{ Get(name string) event.Value }

// spanMap holds fields by name.
type spanMap map[string]event.Value

// Get implements spanFields.
func (m spanMap) Get(name string) event.Value { return m[name] }

func (s *span) text(names ...string) string {
	for _, n := range names {
		if v := s.fields.Get(n); !v.Missing() && v.Text() != "" {
			return v.Text()
		}
	}
	return ""
}

func (s *span) number(names ...string) *int64 {
	for _, n := range names {
		v := s.fields.Get(n)
		if f, ok := v.Number(); ok {
			i := int64(f)
			return &i
		}
		if i, err := strconv.ParseInt(v.Str(), 10, 64); err == nil {
			return &i
		}
	}
	return nil
}

func (s *span) flag(name string) bool {
	v := s.fields.Get(name)
	return v.Bool() || v.Str() == "true"
}

// outgoing reports whether the span is a call to something else.
func (s *span) outgoing() bool {
	return s.kind == "client" || s.kind == "producer" || s.kind == "consumer"
}

// shapeFields are the fields of a span that its document is made of, annotations aside.
var shapeFields = []string{
	event.FieldTime, event.FieldSeq, event.FieldTrace, event.FieldSpan, event.FieldParent,
	"aws.account_id", "aws.ecs.cluster.arn", "aws.ecs.container.arn", "aws.ecs.launchtype", "aws.ecs.task.arn", "aws.ecs.task.family", "aws.local.service", "aws.operation", "aws.queue.url", "aws.queue_url", "aws.region", "aws.remote.service",
	"aws.requestId", "aws.request_id", "aws.service", "aws.span.kind", "aws.table_name", "client.address", "cloud.account.id", "cloud.availability_zone",
	"cloud.platform", "container.id", "container.name", "db.connection_string", "db.name", "db.namespace", "db.query.text", "db.statement", "db.system", "db.system.name", "db.user",
	"duration_ms", "enduser.id", "error", "exception.message", "exception.type", "host.id", "host.image.id", "host.type", "http.client_ip", "http.host", "http.method",
	"http.request.method", "http.response.body.size", "http.response.status_code", "http.response_content_length", "http.route", "http.scheme",
	"http.server_name", "http.status_code", "http.target", "k8s.cluster.name", "k8s.pod.name", "http.url", "http.user_agent", "meta.annotation_type", "meta.signal_type", "name",
	"net.host.name", "net.host.port", "net.peer.ip", "net.peer.name", "net.peer.port", "net.sock.peer.addr", "network.peer.address", "peer.service",
	"request.host", "request.path", "response.status_code", "rpc.method", "rpc.service", "rpc.system", "server.address", "server.port", "service.instance.id", "service.name",
	"service.namespace", "service.version",
	"service_name", "span.kind", "status_code", "status_message", "telemetry.sdk.language", "telemetry.sdk.name", "trace.link.span_id",
	"trace.link.trace_id", "url.full", "url.path", "url.query", "url.scheme", "user_agent.original",
}

// document turns the span into the document that the OpenTelemetry Collector's X-Ray exporter
// makes of it. Spans of Honeycomb's own libraries have no kind; their services name them.
func (s *span) document(c *spanCollector) *document {
	row, _ := s.fields.(spanMap)
	start := row[event.FieldTime].Int()
	ms, _ := row["duration_ms"].Number()
	d := &document{span: s, seq: row[event.FieldSeq].Int(), start: seconds(start), end: seconds(start + int64(ms*1e6))}
	d.trace, _ = event.ParseTraceID(row[event.FieldTrace].Str())
	d.id, _ = event.ParseSpanID(row[event.FieldSpan].Str())
	d.parent, _ = event.ParseSpanID(row[event.FieldParent].Str())
	key := spanKey{d.trace, d.id}
	s.links, s.exceptions, s.events = c.links[key], c.exceptions[key], c.events[key]
	for i := range s.exceptions {
		s.exceptions[i].remote = s.outgoing()
	}
	d.sub = s.kind != "server" && !d.parent.IsZero()
	s.nameTo(d)
	s.httpTo(d)
	s.flagsTo(d)
	s.awsTo(d)
	d.user = s.text("enduser.id")
	d.exceptions, d.links = s.exceptions, s.links
	if len(d.exceptions) == 0 && (s.text("exception.type") != "" || s.text("exception.message") != "") {
		d.exceptions = []exception{{kind: s.text("exception.type"), message: s.text("exception.message"), remote: s.outgoing(), trace: s.text("exception.stacktrace")}}
	}
	if m := s.text("status_message"); len(d.exceptions) == 0 && d.fault && m != "" {
		d.exceptions = []exception{{message: m, remote: s.outgoing()}}
	}
	for _, name := range sortedKeys(row) {
		if annotated(name) {
			d.annotations = append(d.annotations, event.Field{Name: name, Value: row[name]})
		}
	}
	if s.localRoot() {
		d = localRoot(d, s.text("aws.local.service"))
	}
	return d
}

// localRoot reports whether the span is a call that is the first of its service in the trace.
func (s *span) localRoot() bool {
	return s.outgoing() && s.text("aws.span.kind") == "LOCAL_ROOT" && s.text("aws.local.service") != ""
}

// localRoot puts the document of a call into a segment of the service that makes it, which has no
// span of its own.
func localRoot(d *document, service string) *document {
	sum := sha256.Sum256(append(d.trace[:], d.id[:]...))
	top := &document{
		span: d.span, synthetic: true, trace: d.trace, parent: d.parent, seq: d.seq, name: cleanName(service), start: d.start, end: d.end,
		isError: d.isError, fault: d.fault, throttle: d.throttle, origin: d.origin, children: []*document{d}, like: d.like,
	}
	copy(top.id[:], sum[8:])
	d.parent, d.sub, d.origin = top.id, true, ""
	if d.namespace == "" {
		d.namespace = "remote"
	}
	return top
}

// annotated reports whether a field of a span is an attribute of its user's.
func annotated(name string) bool {
	switch name {
	case "name", "span.kind", "type", "duration_ms", "status_code", "status_message", "error", "parent_name",
		"span.num_events", "span.num_links", "library.name", "library.version":
		return false
	}
	for _, p := range []string{"$", "meta.", "trace.", "telemetry.", "aws.xray.", "exception.", "process.", "scope.", "resource."} {
		if strings.HasPrefix(name, p) {
			return false
		}
	}
	return true
}

func (s *span) nameTo(d *document) {
	switch {
	case s.text("rpc.system") == "aws-api" || s.text("aws.service") != "":
		d.namespace = "aws"
	case s.kind == "client":
		d.namespace = "remote"
	}
	if !d.sub {
		d.namespace = ""
	}
	name := ""
	switch {
	case s.kind == "server":
		name = s.text("aws.local.service")
	case s.outgoing():
		name = s.text("aws.remote.service")
		if s.text("rpc.system") == "aws-api" {
			name = strings.TrimPrefix(strings.TrimPrefix(name, "AWS.SDK."), "AWS::")
		}
	}
	if name == "" {
		name = s.text("peer.service", "aws.service")
	}
	if db := s.text("db.name", "db.namespace"); name == "" && db != "" {
		if u, err := url.Parse(strings.TrimPrefix(s.text("db.connection_string"), "jdbc:")); err == nil && u.Hostname() != "" {
			name = db + "@" + u.Hostname()
		}
	}
	if name == "" && (s.kind == "server" || s.kind == "") {
		name = s.text("service.name", "service_name")
	}
	if name == "" {
		name = s.text("rpc.service")
	}
	if name == "" && s.outgoing() {
		name = s.text("http.host", "net.peer.name", "server.address")
	}
	if name == "" {
		name = s.text("name")
	}
	d.name = cleanName(name)
}

// cleanName takes out what a name may not hold.
func cleanName(name string) string {
	name = strings.Map(func(r rune) rune {
		if badNameRune(r) {
			return -1
		}
		return r
	}, name)
	if r := []rune(name); len(r) > maxName {
		name = string(r[:maxName])
	}
	if strings.TrimSpace(name) == "" {
		return "span"
	}
	return name
}

// status is the HTTP status of the span's answer, nil when there is none.
func (s *span) status() *int64 {
	return s.number("http.status_code", "http.response.status_code", "response.status_code")
}

func (s *span) httpTo(d *document) {
	h := httpPart{
		method: s.text("http.method", "http.request.method"), userAgent: s.text("http.user_agent", "user_agent.original"),
		status: s.status(),
		length: s.number("http.response_content_length", "http.response.body.size"),
	}
	if h.clientIP = s.text("http.client_ip"); h.clientIP != "" {
		h.forwarded = true
	} else if s.kind == "server" {
		h.clientIP = s.text("client.address", "net.sock.peer.addr", "net.peer.ip", "network.peer.address")
	}
	h.url = s.text("http.url", "url.full")
	if h.url == "" && (h.method != "" || h.status != nil) {
		h.url = s.buildURL()
	}
	h.present = h.method != "" || h.url != "" || h.status != nil
	if h.present {
		d.http = h
	}
}

func (s *span) buildURL() string {
	target := s.text("http.target")
	if target == "" {
		if target = s.text("url.path"); target == "" {
			target = s.text("http.route", "request.path")
		} else if q := s.text("url.query"); q != "" {
			target += "?" + q
		}
	}
	host := s.text("http.host")
	if host == "" {
		host = s.text("http.server_name", "server.address", "net.host.name", "net.peer.name", "request.host")
		if p := s.text("server.port", "net.host.port", "net.peer.port"); host != "" && p != "" && p != "80" && p != "443" {
			host = net.JoinHostPort(host, p)
		}
	}
	if host == "" {
		return target
	}
	scheme := s.text("http.scheme", "url.scheme")
	if scheme == "" {
		scheme = "http"
	}
	return scheme + "://" + host + target
}

func (s *span) flagsTo(d *document) {
	failed := s.flag("error")
	if c, ok := s.fields.Get("status_code").Number(); ok && c == 2 {
		failed = true
	}
	status := int64(0)
	if d.http.status != nil {
		status = *d.http.status
	}
	switch {
	case status >= 400 && status < 500:
		d.isError, d.throttle = true, status == 429
	case status >= 500:
		d.fault = true
	case failed:
		d.fault = true
	}
}

func (s *span) awsTo(d *document) {
	aws := func(name string, fields ...string) {
		if v := s.text(fields...); v != "" {
			d.aws = append(d.aws, event.Field{Name: name, Value: event.String(v)})
		}
	}
	if d.sub {
		aws("operation", "aws.operation", "rpc.method")
		aws("region", "aws.region")
		aws("request_id", "aws.request_id", "aws.requestId")
		aws("queue_url", "aws.queue_url", "aws.queue.url")
		aws("table_name", "aws.table_name")
		if d.namespace != "aws" {
			d.aws = nil
		}
		aws("account_id", "aws.account_id")
	} else {
		aws("account_id", "cloud.account.id")
		switch platform := s.text("cloud.platform"); platform {
		case "aws_ec2", "aws_elastic_beanstalk":
			aws("ec2.instance_id", "host.id")
			aws("ec2.availability_zone", "cloud.availability_zone")
			aws("ec2.instance_size", "host.type")
			aws("ec2.ami_id", "host.image.id")
			if platform == "aws_elastic_beanstalk" {
				aws("elastic_beanstalk.environment_name", "service.namespace")
				aws("elastic_beanstalk.version_label", "service.version")
				aws("elastic_beanstalk.deployment_id", "service.instance.id")
			}
		case "aws_ecs":
			aws("ecs.availability_zone", "cloud.availability_zone")
			aws("ecs.cluster_arn", "aws.ecs.cluster.arn")
			aws("ecs.container", "container.name")
			aws("ecs.container_arn", "aws.ecs.container.arn")
			aws("ecs.container_id", "container.id")
			aws("ecs.launch_type", "aws.ecs.launchtype")
			aws("ecs.task_arn", "aws.ecs.task.arn")
			aws("ecs.task_family", "aws.ecs.task.family")
		case "aws_eks":
			aws("ec2.instance_id", "host.id")
			aws("ec2.availability_zone", "cloud.availability_zone")
			aws("eks.cluster_name", "k8s.cluster.name")
			aws("eks.container_id", "container.id")
			aws("eks.pod", "k8s.pod.name")
		}
		if !strings.HasPrefix(s.text("cloud.platform"), "aws_") {
			d.aws = nil
		}
		if sdk := s.text("telemetry.sdk.name"); sdk != "" {
			d.aws = append(d.aws, event.Field{Name: "xray.sdk", Value: event.String(sdk + " for " + s.text("telemetry.sdk.language"))})
		}
		d.origin = spanOrigin(s.text("cloud.platform"), s.text("aws.ecs.launchtype"))
	}
	if system := s.text("db.system", "db.system.name"); system != "" && sqlLike(system) {
		add := func(name, v string) {
			if v != "" {
				d.sql = append(d.sql, event.Field{Name: name, Value: event.String(v)})
			}
		}
		add("url", s.text("name"))
		add("database_type", system)
		add("user", s.text("db.user"))
		add("sanitized_query", s.text("db.statement", "db.query.text"))
		if c := s.text("db.connection_string"); c != "" {
			add("connection_string", c+"/"+s.text("db.name", "db.namespace"))
		}
	}
}

func sqlLike(system string) bool {
	switch system {
	case "db2", "derby", "hive", "mariadb", "mssql", "microsoft.sql_server", "mysql", "oracle", "oracle.db", "postgresql", "sqlite", "teradata", "other_sql":
		return true
	}
	return false
}

func spanOrigin(platform, launch string) string {
	switch platform {
	case "aws_ec2":
		return "AWS::EC2::Instance"
	case "aws_ecs":
		switch launch {
		case "ec2":
			return "AWS::ECS::EC2"
		case "fargate":
			return "AWS::ECS::Fargate"
		}
		return "AWS::ECS::Container"
	case "aws_eks":
		return "AWS::EKS::Container"
	case "aws_elastic_beanstalk":
		return "AWS::ElasticBeanstalk::Environment"
	case "aws_app_runner":
		return "AWS::AppRunner::Service"
	}
	return ""
}
