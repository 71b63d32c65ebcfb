package backend_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/trefoil-o11y/trefoil/cruddur/backend"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
)

func id(b []byte) string { return hex.EncodeToString(b) }

// xid is a trace id as X-Ray writes it.
func xid(b []byte) string { return "1-" + id(b)[:8] + "-" + id(b)[8:] }

func export(c *backend.Config) { c.ExportSpans = true }

func TestSpans(t *testing.T) {
	s := newSink(t)
	a := start(t, export)
	home := a.get("/api/activities/home")
	a.get("/api/activities/%40worf")
	a.get("/api/activities/nothing?x=1")
	a.get("/api/activities/search")
	a.get("/elsewhere")
	a.do("OPTIONS", "/api/activities", "", "Origin", "http://localhost:3000", "Access-Control-Request-Method", "POST")
	a.stop()

	if got := s.headers.Get("x-honeycomb-team"); got != "key" {
		t.Errorf("x-honeycomb-team %q", got)
	}
	root := s.named(t, "GET /api/activities/home")
	if root.service != "backend-flask" || root.Kind != otlp.Span_SPAN_KIND_SERVER || len(root.ParentSpanId) != 0 {
		t.Errorf("root span: service %q, kind %v, parent %x", root.service, root.Kind, root.ParentSpanId)
	}
	for key, want := range map[string]any{
		"http.route": "/api/activities/home", "http.request.method": "GET", "url.path": "/api/activities/home", "http.response.status_code": int64(200),
	} {
		if got := root.attr(key); got != want {
			t.Errorf("root span: %s = %v, want %v", key, got, want)
		}
	}
	child := s.named(t, "activities_home")
	mock := s.named(t, "home-activites-mock-data")
	if id(child.ParentSpanId) != id(root.SpanId) || id(mock.ParentSpanId) != id(child.SpanId) || mock.scope != "home.activities" {
		t.Errorf("home tree: %x > %x > %x in scope %q", root.SpanId, child.ParentSpanId, mock.ParentSpanId, mock.scope)
	}
	if now, ok := mock.attr("app.now").(string); !ok || !times.MatchString(`"`+now+`"`) || mock.attr("app.result_length") != int64(3) {
		t.Errorf("app.now %v, app.result_length %v", mock.attr("app.now"), mock.attr("app.result_length"))
	}
	if got, want := home.header.Get("X-Amzn-Trace-Id"), "Root="+xid(root.TraceId); got != want {
		t.Errorf("X-Amzn-Trace-Id %q, want %q", got, want)
	}
	if got, want := home.header.Get("Traceresponse"), fmt.Sprintf("00-%s-%s-01", id(root.TraceId), id(root.SpanId)); got != want {
		t.Errorf("traceresponse %q, want %q", got, want)
	}

	user := s.named(t, "GET /api/activities/@{handle}")
	users, data := s.named(t, "activities_users"), s.named(t, "mock-data")
	if id(users.ParentSpanId) != id(user.SpanId) || id(data.ParentSpanId) != id(users.SpanId) {
		t.Error("user tree is broken")
	}
	show := s.named(t, "GET /api/activities/{activity_uuid}")
	if show.attr("http.response.status_code") != int64(404) || show.Status.GetCode() != otlp.Status_STATUS_CODE_UNSET || show.attr("url.query") != "x=1" {
		t.Errorf("show: %v", show)
	}
	s.named(t, "activities_show")
	if sp := s.named(t, "GET /api/activities/search"); sp.Status.GetCode() != otlp.Status_STATUS_CODE_UNSET {
		t.Error("a 422 is marked as an error")
	}
	if sp := s.named(t, "GET"); sp.attr("http.route") != nil {
		t.Errorf("unrouted span has a route: %v", sp)
	}
	for _, sp := range s.spans {
		if strings.HasPrefix(sp.Name, "OPTIONS") {
			t.Error("a preflight made a span")
		}
	}
}

func TestIncomingTraceHeaders(t *testing.T) {
	s := newSink(t)
	a := start(t, export)
	a.get("/api/health", "Traceparent", "00-6b03b99569deb680057e1f20b2a70497-517801b7efbc7513-01")
	a.get("/api/message_groups", "X-Amzn-Trace-Id", "Root=1-6b03b996-69deb680057e1f20b2a70497;Parent=53995c3f42cd8ad8;Sampled=1")
	a.stop()
	if sp := s.named(t, "GET /api/health"); xid(sp.TraceId) != "1-6b03b995-69deb680057e1f20b2a70497" || id(sp.ParentSpanId) != "517801b7efbc7513" {
		t.Errorf("W3C: trace %x, parent %x", sp.TraceId, sp.ParentSpanId)
	}
	if sp := s.named(t, "GET /api/message_groups"); xid(sp.TraceId) != "1-6b03b996-69deb680057e1f20b2a70497" || id(sp.ParentSpanId) != "53995c3f42cd8ad8" {
		t.Errorf("X-Ray: trace %x, parent %x", sp.TraceId, sp.ParentSpanId)
	}
}

func demo(c *backend.Config) { c.ExportSpans, c.Demo = true, true }

func TestFailuresAreRecorded(t *testing.T) {
	s := newSink(t)
	a := start(t, demo)
	for path, want := range map[string]answer{
		"/api/demo/panic":            {status: 500, body: "[\"internal_server_error\"]\n"},
		"/api/demo/error":            {status: 500, body: "[\"internal_server_error\"]\n"},
		"/api/demo/error?status=404": {status: 404, body: "[\"demo_error\"]\n"},
		"/api/demo/error?status=99":  {status: 422, body: "[\"status_invalid\"]\n"},
		"/api/demo/throttle":         {status: 429, body: "[\"demo_throttle\"]\n"},
		"/api/demo/slow?ms=1":        {status: 200, body: "{\"waited_ms\":1}\n"},
		"/api/demo/slow?ms=x":        {status: 422, body: "[\"ms_invalid\"]\n"},
	} {
		if got := a.get(path); got.status != want.status || got.body != want.body {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	a.stop()
	sp := s.named(t, "demo_panic")
	if sp.Status.GetCode() != otlp.Status_STATUS_CODE_ERROR || sp.Status.Message != "assignment to entry in nil map" || len(sp.Events) != 1 {
		t.Fatalf("demo_panic: %v", sp)
	}
	ev := span{Span: &otlp.Span{Attributes: sp.Events[0].Attributes}}
	stack, _ := ev.attr("exception.stacktrace").(string)
	if sp.Events[0].Name != "exception" || ev.attr("exception.message") != "assignment to entry in nil map" ||
		ev.attr("exception.type") == nil || !strings.Contains(stack, "demoPanic") {
		t.Errorf("exception event: %v", sp.Events[0])
	}
	root := s.named(t, "GET /api/demo/panic")
	if root.Status.GetCode() != otlp.Status_STATUS_CODE_ERROR || len(root.Events) != 0 {
		t.Errorf("server span of a panic: %v", root)
	}
	failed := 0
	for _, sp := range s.spans {
		if sp.Name == "demo_error" && len(sp.Events) == 1 {
			failed++
		}
	}
	if failed != 1 {
		t.Errorf("%d exceptions of demo_error, want 1", failed)
	}
	if !strings.Contains(a.stdout.String(), `"msg":"Exception on /api/demo/panic [GET]"`) {
		t.Error("the panic is not in the log")
	}
}

func TestFanoutIsOneTraceOverTwoServices(t *testing.T) {
	s := newSink(t)
	a := start(t, demo)
	if got := a.get("/api/demo/fanout"); got.body != `[{"hits":2,"term":"cloud"},{"hits":1,"term":"prune juice"},{"hits":1,"term":"tailor"}]`+"\n" {
		t.Errorf("fanout: %d %s", got.status, got.body)
	}
	a.stop()
	root := s.named(t, "GET /api/demo/fanout")
	parents := map[string]span{}
	calls := 0
	for _, sp := range s.spans {
		parents[id(sp.SpanId)] = sp
		if id(sp.TraceId) != id(root.TraceId) {
			t.Errorf("span %q is in another trace", sp.Name)
		}
	}
	for _, sp := range s.spans {
		if sp.service == "cruddur-search" {
			calls++
			caller := parents[id(sp.ParentSpanId)]
			if sp.Kind != otlp.Span_SPAN_KIND_SERVER || caller.Kind != otlp.Span_SPAN_KIND_CLIENT || caller.service != "backend-flask" {
				t.Errorf("span %q of kind %v is called by %q of kind %v", sp.Name, sp.Kind, caller.Name, caller.Kind)
			}
		}
	}
	if calls != 3 {
		t.Errorf("%d calls of cruddur-search, want 3", calls)
	}
}

func sdk(d *daemon) func(*backend.Config) {
	return func(c *backend.Config) { c.ExportSpans, c.Demo, c.XRaySDK, c.XRayDaemon = true, true, true, d.addr }
}

const sampled = "Root=1-6b03b996-69deb680057e1f20b2a70497;Parent=53995c3f42cd8ad8;Sampled=1"

// One request under the X-Ray SDK: a segment with the tutorial's subsegments,
// the OpenTelemetry spans below it, one trace id.
func TestXRaySegmentAndSpansAreOneTrace(t *testing.T) {
	s, d := newSink(t), newDaemon(t, 1)
	a := start(t, sdk(d))
	// The first request of a second is sampled before the rules arrive.
	got := a.get("/api/activities/@worf")
	a.stop()
	segments := d.segments(t)
	if len(segments) != 1 {
		t.Fatalf("%d segments, want 1: %+v", len(segments), segments)
	}
	seg := segments[0]
	sp := s.named(t, "GET /api/activities/@{handle}")
	if seg.Name != "backend-flask" || seg.HTTP.Response.Status != 200 || seg.ParentID != "" {
		t.Errorf("segment %+v", seg)
	}
	if seg.TraceID != xid(sp.TraceId) || id(sp.ParentSpanId) != seg.ID || sp.Kind != otlp.Span_SPAN_KIND_INTERNAL {
		t.Errorf("segment %s of trace %s; span of trace %s with parent %x and kind %v", seg.ID, seg.TraceID, xid(sp.TraceId), sp.ParentSpanId, sp.Kind)
	}
	if h := got.header.Get("X-Amzn-Trace-Id"); h != "Root="+seg.TraceID {
		t.Errorf("X-Amzn-Trace-Id %q", h)
	}
	if len(seg.Subsegments) != 1 || seg.Subsegments[0].Name != "activities_users" || len(seg.Subsegments[0].Subsegments) != 1 {
		t.Fatalf("subsegments %+v", seg.Subsegments)
	}
	data := seg.Subsegments[0].Subsegments[0]
	key := data.Metadata["namespace"]["key"]
	if now, ok := key["now"].(string); data.Name != "mock-data" || !ok || !times.MatchString(`"`+now+`"`) || key["results-size"] != 1.0 {
		t.Errorf("mock-data %+v", data)
	}
	until(t, "the sampling rules", func() bool { return d.called("/GetSamplingRules") })
}

func TestXRayHeadersUnderTheSDK(t *testing.T) {
	s, d := newSink(t), newDaemon(t, 0)
	a := start(t, sdk(d))
	a.get("/api/activities/home", "X-Amzn-Trace-Id", sampled)
	a.get("/api/health", "X-Amzn-Trace-Id", strings.Replace(sampled, "Sampled=1", "Sampled=0", 1))
	// The first request that X-Ray itself decides on is sampled by its reservoir.
	a.get("/api/message_groups", "Traceparent", "00-6b03b99569deb680057e1f20b2a70498-517801b7efbc7513-01")
	a.stop()
	segments := d.segments(t)
	if len(segments) != 2 {
		t.Fatalf("%d segments, want 2: %+v", len(segments), segments)
	}
	home, groups := segments[0], segments[1]
	if home.TraceID != "1-6b03b996-69deb680057e1f20b2a70497" || home.ParentID != "53995c3f42cd8ad8" {
		t.Errorf("segment %+v", home)
	}
	if sp := s.named(t, "GET /api/activities/home"); xid(sp.TraceId) != home.TraceID || id(sp.ParentSpanId) != home.ID {
		t.Errorf("span of trace %x with parent %x", sp.TraceId, sp.ParentSpanId)
	}
	if groups.TraceID != "1-6b03b995-69deb680057e1f20b2a70498" || groups.ParentID != "517801b7efbc7513" {
		t.Errorf("segment %+v", groups)
	}
	for _, sp := range s.spans {
		if sp.Name == "GET /api/health" {
			t.Error("a request that says Sampled=0 was exported")
		}
	}
}

func TestXRayFaults(t *testing.T) {
	newSink(t)
	d := newDaemon(t, 1)
	a := start(t, sdk(d))
	for _, path := range []string{"/api/demo/panic", "/api/demo/error", "/api/demo/throttle", "/api/activities/search"} {
		a.get(path, "X-Amzn-Trace-Id", sampled)
	}
	a.stop()
	segments := d.segments(t)
	if len(segments) != 4 {
		t.Fatalf("%d segments, want 4", len(segments))
	}
	for i, want := range []string{"assignment to entry in nil map", "load timeline: the warp core is offline"} {
		seg := segments[i]
		if !seg.Fault || seg.Error || len(seg.Subsegments) != 1 || len(seg.Cause.Exceptions) != 0 {
			t.Fatalf("segment %+v", seg)
		}
		if sub := seg.Subsegments[0]; !sub.Fault || len(sub.Cause.Exceptions) != 1 || !strings.Contains(sub.Cause.Exceptions[0].Message, want) {
			t.Errorf("subsegment %+v", sub)
		}
	}
	if seg := segments[2]; !seg.Error || !seg.Throttle || seg.Fault {
		t.Errorf("throttled segment %+v", seg)
	}
	if seg := segments[3]; !seg.Error || seg.Throttle || seg.Fault || seg.HTTP.Response.Status != 422 {
		t.Errorf("422 segment %+v", seg)
	}
}

func TestXRayFanout(t *testing.T) {
	s, d := newSink(t), newDaemon(t, 1)
	a := start(t, sdk(d))
	a.get("/api/demo/fanout", "X-Amzn-Trace-Id", sampled)
	a.stop()
	segments := d.segments(t)
	names := map[string]int{}
	remote := map[string]bool{}
	var walk func(segment)
	walk = func(seg segment) {
		if seg.Namespace == "remote" {
			remote[seg.ID] = true
		}
		for _, sub := range seg.Subsegments {
			walk(sub)
		}
	}
	for _, seg := range segments {
		names[seg.Name]++
		if seg.TraceID != "1-6b03b996-69deb680057e1f20b2a70497" {
			t.Errorf("segment %s is in trace %s", seg.Name, seg.TraceID)
		}
		walk(seg)
	}
	if names["backend-flask"] != 1 || names["cruddur-search"] != 3 || len(remote) != 3 {
		t.Errorf("segments %v, %d remote subsegments", names, len(remote))
	}
	for _, seg := range segments {
		if seg.Name == "cruddur-search" && !remote[seg.ParentID] {
			t.Errorf("segment %+v has no remote subsegment for a parent", seg)
		}
	}
	for _, sp := range s.spans {
		if sp.Kind == otlp.Span_SPAN_KIND_CLIENT || sp.Kind == otlp.Span_SPAN_KIND_SERVER {
			t.Errorf("span %q of kind %v doubles a segment", sp.Name, sp.Kind)
		}
	}
}

// A request that X-Ray does not sample is an OpenTelemetry trace like any
// other, through the second service as well.
func TestUnsampledByXRay(t *testing.T) {
	s, d := newSink(t), newDaemon(t, 0)
	a := start(t, sdk(d))
	until(t, "an unsampled request", func() bool {
		return len(a.get("/api/demo/fanout").body) > 0 && slices.ContainsFunc(s.received(), func(sp span) bool {
			return sp.Name == "GET /api/demo/fanout" && sp.Kind == otlp.Span_SPAN_KIND_SERVER
		})
	})
	a.stop()
	traces := map[string]bool{}
	for _, seg := range d.segments(t) {
		traces[seg.TraceID] = true
	}
	checked := 0
	for _, sp := range s.spans {
		if sp.Name != "GET /api/demo/fanout" || sp.Kind != otlp.Span_SPAN_KIND_SERVER {
			continue
		}
		checked++
		if traces[xid(sp.TraceId)] {
			t.Errorf("trace %s has segments although its root is a span", xid(sp.TraceId))
		}
	}
	if checked == 0 {
		t.Error("no unsampled request")
	}
}

func (s *sink) received() []span {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.spans)
}

func TestDynamicSegmentName(t *testing.T) {
	newSink(t)
	d := newDaemon(t, 1)
	a := start(t, func(c *backend.Config) {
		sdk(d)(c)
		c.XRayURL = "*127.0.0.1:*"
	})
	a.get("/api/health", "X-Amzn-Trace-Id", sampled)
	a.stop()
	if segments := d.segments(t); len(segments) != 1 || segments[0].Name != strings.TrimPrefix(a.api, "http://") {
		t.Errorf("segments %+v", segments)
	}
}

func TestLogsToCloudWatch(t *testing.T) {
	l := newLogs(t)
	a := start(t, func(c *backend.Config) { c.CloudWatch = true })
	a.get("/api/activities/home")
	a.get("/api/activities/search")
	a.stop()
	type record struct {
		Level, Msg, Method, Path string
		Status                   int
		Duration                 *float64 `json:"duration_ms"`
		RemoteAddr               string   `json:"remote_addr"`
		TraceID                  string   `json:"trace_id"`
		XRayTraceID              string   `json:"xray_trace_id"`
		SpanID                   string   `json:"span_id"`
	}
	var records []record
	for _, m := range l.all() {
		var r record
		if err := json.Unmarshal([]byte(m), &r); err != nil {
			t.Fatalf("message %q: %v", m, err)
		}
		records = append(records, r)
	}
	if len(records) != 4 || records[0].Msg != "cruddur is listening" || records[1].Msg != "HomeActivities" {
		t.Fatalf("records %+v", records)
	}
	home, access, search := records[1], records[2], records[3]
	if home.TraceID == "" || home.TraceID != access.TraceID || access.XRayTraceID != "1-"+access.TraceID[:8]+"-"+access.TraceID[8:] || access.SpanID == "" {
		t.Errorf("ids of %+v and %+v", home, access)
	}
	line := regexp.MustCompile(`^\[\d{4}-[A-Z][a-z]{2}-\d\d \d\d:\d\d\] 127\.0\.0\.1 GET http /api/activities/home\? 200 OK$`)
	if !line.MatchString(access.Msg) || access.Level != "INFO" || access.Method != "GET" || access.Path != "/api/activities/home" ||
		access.Status != 200 || access.Duration == nil || access.RemoteAddr != "127.0.0.1" {
		t.Errorf("access record %+v", access)
	}
	if search.Level != "WARN" || !strings.HasSuffix(search.Msg, "/api/activities/search? 422 UNPROCESSABLE ENTITY") {
		t.Errorf("search record %+v", search)
	}
}

func TestPlainLogLines(t *testing.T) {
	l := newLogs(t)
	level := slog.LevelError
	a := start(t, func(c *backend.Config) { c.CloudWatch, c.LogText, c.AccessLogLevel, c.Demo = true, true, &level, true })
	a.get("/api/activities/home?a=b")
	a.get("/%0aforged")
	a.get("/api/demo/panic")
	a.stop()
	got := l.all()
	if len(got) != 6 || got[1] != "HomeActivities" || !strings.HasSuffix(got[2], " 127.0.0.1 GET http /api/activities/home?a=b 200 OK") ||
		!strings.HasSuffix(got[3], " GET http /%0Aforged? 404 NOT FOUND") {
		t.Fatalf("messages %q", got)
	}
	if !strings.HasPrefix(got[4], "Exception on /api/demo/panic [GET]\nassignment to entry in nil map\n") || !strings.Contains(got[4], "demoPanic") {
		t.Errorf("exception %q", got[4])
	}
	if !strings.Contains(a.stdout.String(), got[2]+"\n") {
		t.Errorf("standard output %q", a.stdout.String())
	}
}

func TestAccessLogLevel(t *testing.T) {
	level := slog.LevelError
	a := start(t, func(c *backend.Config) { c.AccessLogLevel = &level })
	a.get("/api/health")
	a.stop()
	if !strings.Contains(a.stdout.String(), `"level":"ERROR","msg":"[`) {
		t.Errorf("standard output %q", a.stdout.String())
	}
}
