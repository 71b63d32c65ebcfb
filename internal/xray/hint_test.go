package xray_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/ingest"
	"github.com/trefoil-o11y/trefoil/internal/xray"
)

// TestHintsLoseNothing lists random traces with random filters, by the hints and without them.
func TestHintsLoseNothing(t *testing.T) {
	f := start(t, t.TempDir())
	m := newMaker(t, f, 31, 1200)
	m.unfinished = 20
	for range 150 {
		m.trace()
	}
	m.send(t, f)
	rnd := rand.New(rand.NewPCG(8, 9))
	found := 0
	for i := range 250 {
		in := xray.SummariesInput{From: time.Unix(base-100, 0), To: time.Unix(base+4000, 0), Filter: randomFilter(rnd, 2, false), Limit: 100}
		if i%3 == 0 {
			in.From = in.From.Add(time.Duration(rnd.IntN(1000)) * time.Second)
		}
		want, err := f.server.SummariesOfWhole(t.Context(), in)
		if err != nil {
			t.Fatalf("%s: %v", in.Filter, err)
		}
		found += len(want)
		var got []xray.Summary
		for {
			page, err := f.server.Summaries(t.Context(), in)
			if err != nil {
				t.Fatalf("%s: %v", in.Filter, err)
			}
			got = append(got, page.Traces...)
			if in.Cursor = page.NextCursor; in.Cursor == "" {
				break
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s\nby %s:\n%s", in.Filter, f.server.HintOf(t.Context(), in.Filter), d)
		}
		kind := []string{"TraceId", "Event", "Service"}[i%3]
		ids, err := f.server.IDsOfWhole(t.Context(), kind, in)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(map[string]any{"StartTime": in.From.Unix(), "EndTime": in.To.Unix(), "TimeRangeType": kind, "FilterExpression": in.Filter})
		if err != nil {
			t.Fatal(err)
		}
		var answered []string
		for _, s := range f.ok(t, "/TraceSummaries", string(text))["TraceSummaries"].([]any) {
			answered = append(answered, s.(map[string]any)["Id"].(string))
		}
		if d := cmp.Diff(ids, answered); d != "" {
			t.Errorf("%s by %s:\n%s", in.Filter, kind, d)
		}
	}
	if found < 1500 {
		t.Errorf("the filters found %d traces, too few to tell", found)
	}
}

// randomFilter writes a filter; inside braces there are no further ones.
func randomFilter(rnd *rand.Rand, depth int, braces bool) string {
	pick := func(list ...string) string { return list[rnd.IntN(len(list))] }
	in := func() string { return randomFilter(rnd, depth-1, true) }
	text := func(values ...string) string {
		v := pick(values...)
		switch rnd.IntN(5) {
		case 0:
			r := []rune(v)
			return fmt.Sprintf("CONTAINS %q", string(r[rnd.IntN(len(r)):]))
		case 1:
			r := []rune(v)
			return fmt.Sprintf("BEGINSWITH %q", string(r[:1+rnd.IntN(len(r))]))
		case 2:
			r := []rune(v)
			return fmt.Sprintf("ENDSWITH %q", string(r[rnd.IntN(len(r)):]))
		case 3:
			return fmt.Sprintf("!= %q", v)
		}
		return fmt.Sprintf("= %q", v)
	}
	if depth > 0 {
		switch rnd.IntN(8) {
		case 0:
			return "(" + randomFilter(rnd, depth-1, braces) + " OR " + randomFilter(rnd, depth-1, braces) + ")"
		case 1, 2:
			return randomFilter(rnd, depth-1, braces) + " AND " + randomFilter(rnd, depth-1, braces)
		case 3:
			return "!(" + randomFilter(rnd, depth-1, braces) + ")"
		case 4:
			if !braces {
				return pick(`service("cart")`, `service("users")`, `service("mails")`, `service()`, `service(id(type: "AWS::DynamoDB::Table"))`, `service(id(name: "stock", type: "AWS::EC2::Instance"))`) + " { " + in() + " }"
			}
		case 5:
			if !braces {
				return pick(`edge("front", "cart")`, `edge("", "orders")`, `edge(id(type: "client"), "stock")`, `edge("mail", id(type: "AWS::SQS::Queue"))`) + " { " + in() + " }"
			}
		}
	}
	switch rnd.IntN(13) {
	case 0:
		return pick("fault", "error", "throttle", "ok", "partial", "inferred", "root", "fault = false", "error != true")
	case 1:
		return pick("annotation.size", "annotation.app_user", "annotation[app.user]", "annotation.gold", "annotation[x.y]", "annotation.x_y", "annotation[app/user]")
	case 2:
		return pick("annotation.size", "annotation.app_user", "annotation[app.user]", "annotation[x.y]", "annotation.x_y") + pick(" = 7", " > 6", " <= 7.5", " != 7", " < 1")
	case 3:
		return pick("annotation.size ", "annotation.app_user ", "annotation[app.user] ", "annotation[x.y] ") + text("7", "ann", "a_b", "true")
	case 4:
		return "annotation.gold " + pick("= true", "!= true", "= false", `= "true"`)
	case 5:
		return pick("user ", "user ") + text("ann", "Bob", "5", "ünïcode")
	case 6:
		return "http.url " + text("http://example.com/", "https://example.com:8080/carts/7?a=b", "/carts", "http://example.com/carts/7", "https://example.com:8080carts/7?a=b", "https://front:8443/", "http://example.com/carts/{id}")
	case 7:
		return pick("http.method ", "http.useragent ", "http.clientip ") + text("GET", "PUT", "POST", "curl/8", "Mozilla/5.0 (X11)", "10.0.0.7", "::1")
	case 8:
		return "http.status " + pick("=", "!=", ">", ">=", "<", "<=") + pick(" 404", " 200", " 429", " 500", " 403.5", " 0")
	case 9:
		return pick("responsetime", "duration") + pick(" > ", " >= ", " < ", " = ") + pick("0.5", "10", "30", "0")
	case 10:
		return "name " + text("front", "cart", "stock", "cart2", "a b/c", "db.example.com", "main@db.example.com", "SQS", "op", strings.Repeat("long", 50), "span")
	case 11:
		return "type " + text("AWS::EC2::Instance", "AWS::ECS::Container", "AWS::Lambda::Function", "AWS::DynamoDB::Table", "AWS::SQS", "remote", "Database::SQL")
	default:
		if braces {
			return "user"
		}
		return "rootcause." + pick("fault", "error", "responsetime") + pick(".service { name ", ".entity { name ", ".exception { name ") + text("cart", "DynamoDB", "stock") + " }"
	}
}

// TestHints looks at which filters spare the loading of traces.
func TestHints(t *testing.T) {
	f := start(t, t.TempDir())
	newMaker(t, f, 1, 1)
	for _, filter := range []string{"fault", "error ok", `annotation.size = 7`, `annotation[app.user] BEGINSWITH "a"`, `annotation.app_user != "x"`, `user = "ann"`, `user`, `http.url CONTAINS "carts"`,
		`http.url = "https://example.com/carts/7?a=b"`, `http.method = "POST"`, "http.status >= 500", `http.useragent CONTAINS "curl"`, `http.clientip = "::1"`, `instance.id = "i-1"`, `name = "cart"`,
		`service("cart")`, `service("cart") { ok }`, `service() { fault }`, `edge("front", "cart") { ok }`, `service(id(type: "AWS::DynamoDB::Table"))`, `user = "ann" OR fault`, "responsetime > 2",
		`rootcause.fault.service`, `rootcause.responsetime.entity { name = "work" }`, `ok AND (user = "a" OR annotation.b = 1)`} {
		if f.server.HintOf(t.Context(), filter) == "" {
			t.Errorf("%s has no hint", filter)
		}
	}
	for _, filter := range []string{"ok", "!fault", "fault = false", `!(user = "ann")`, `user = "ann" OR ok`, "http.status < 400", "responsetime < 2", "duration > 2", "partial", `http.url CONTAINS "http"`, `name = "span"`,
		`service()`, `!service("cart")`, `service(id(account.id: "1"))`, `message CONTAINS "x"`, `rootcause.responsetime.exception { name = "x" }`, `insight.category = "FAULT"`, `type = "remote"`} {
		if h := f.server.HintOf(t.Context(), filter); h != "" {
			t.Errorf("%s has the hint %s", filter, h)
		}
	}
	// The rarer of two is taken.
	if h := f.server.HintOf(t.Context(), `service("cart") AND annotation[app.user] = "ann" AND http.method = "GET"`); !strings.Contains(h, "app.user") || strings.Contains(h, "cart") {
		t.Errorf("hint %s", h)
	}
	// What is about one row is asked of one row, and what may be about two is not.
	for _, x := range []struct{ filter, with, without string }{
		{`service("cart") { fault http.method = "PUT" }`, "`xray.fault` `http.method` `service.name`", ""},
		{`name = "cart" AND http.status = 404`, "`service.name` `http.status_code`", ""},
		{`edge("a", "cart") { fault http.method = "PUT" }`, "`xray.fault` `http.method`", "`service.name`"},
		{`service("cart") { fault } AND http.method = "PUT"`, "`xray.fault` `service.name`", "`http.method`"},
		{`service("cart") { user = "PUT" AND fault }`, "`user`", "`xray.fault` `service.name`"},
		{`fault AND (ok OR throttle) AND (error OR http.method = "PUT")`, "`xray.fault` `xray.error` `http.method`", "`xray.throttle`"},
	} {
		h := f.server.HintOf(t.Context(), x.filter)
		for _, name := range strings.Fields(x.with) {
			if !strings.Contains(h, name) {
				t.Errorf("%s has the hint %s without %s", x.filter, h, name)
			}
		}
		for _, name := range strings.Fields(x.without) {
			if strings.Contains(h, name) {
				t.Errorf("%s has the hint %s with %s", x.filter, h, name)
			}
		}
	}
}

// TestHintsOfEachField stores traces of one span or segment each, and looks each up by what one of
// its fields becomes.
func TestHintsOfEachField(t *testing.T) {
	f := start(t, t.TempDir())
	m := newMaker(t, f, 1, 1)
	type fields map[string]any
	for i, x := range []struct {
		span    fields // of a span, else a segment
		segment string
		filter  string
	}{
		{fields{"http.url": "http://a.example/one"}, "", `http.url = "http://a.example/one"`},
		{fields{"url.full": "http://b.example/two"}, "", `http.url ENDSWITH "example/two"`},
		{fields{"http.method": "GET", "http.target": "/three/4"}, "", `http.url = "/three/4"`},
		{fields{"http.method": "GET", "url.path": "/five", "url.query": "x=6"}, "", `http.url CONTAINS "ive?x="`},
		{fields{"http.method": "GET", "http.route": "seven/{id}", "http.host": "c.example"}, "", `http.url = "http://c.exampleseven/{id}"`},
		{fields{"http.method": "GET", "request.path": "/eight", "request.host": "d.example"}, "", `http.url BEGINSWITH "http://d.example/e"`},
		{fields{"http.method": "GET", "url.path": "/nine", "server.address": "e.example", "server.port": "99", "url.scheme": "https"}, "", `http.url CONTAINS "https://e.example:99/nin"`},
		{fields{"http.method": "GET", "http.target": "/ten", "net.peer.name": "::9", "net.peer.port": 77}, "", `http.url CONTAINS "[::9]:77/t"`},
		{fields{"http.method": "GET", "http.server_name": "f.example"}, "", `http.url CONTAINS "f.example"`},
		{fields{"http.method": "GET", "net.host.name": "g.example", "net.host.port": 123}, "", `http.url ENDSWITH "g.example:123"`},
		{fields{"http.method": "PATCH"}, "", `http.method = "PATCH"`},
		{fields{"http.request.method": "HEAD"}, "", `http.method = "HEAD"`},
		{fields{"http.method": "GET", "http.user_agent": "one/1"}, "", `http.useragent BEGINSWITH "one"`},
		{fields{"http.method": "GET", "user_agent.original": "two/2"}, "", `http.useragent = "two/2"`},
		{fields{"http.method": "GET", "http.client_ip": "1.1.1.1"}, "", `http.clientip = "1.1.1.1"`},
		{fields{"http.method": "GET", "client.address": "2.1.1.1"}, "", `http.clientip = "2.1.1.1"`},
		{fields{"http.method": "GET", "net.sock.peer.addr": "3.1.1.1"}, "", `http.clientip = "3.1.1.1"`},
		{fields{"http.method": "GET", "net.peer.ip": "4.1.1.1"}, "", `http.clientip = "4.1.1.1"`},
		{fields{"http.method": "GET", "network.peer.address": "5.1.1.1"}, "", `http.clientip = "5.1.1.1"`},
		{fields{"http.status_code": 418}, "", `http.status = 418`},
		{fields{"http.response.status_code": 419.5}, "", `http.status = 419`},
		{fields{"response.status_code": "420"}, "", `http.status = 420 error`},
		{fields{"status_code": 2}, "", `fault`},
		{fields{"error": "true"}, "", `service("front") { fault }`},
		{fields{"http.status_code": "599"}, "", `fault http.status > 598`},
		{fields{"http.status_code": 429.5}, "", `throttle`},
		{fields{"enduser.id": 12}, "", `user = "12"`},
		{fields{"enduser.id": "u13"}, "", `user`},
		{fields{"cloud.platform": "aws_ec2", "host.id": "i-14"}, "", `instance.id = "i-14"`},
		{fields{"cloud.platform": "aws_eks", "cloud.availability_zone": "z15"}, "", `availabilityzone = "z15" AND type = "AWS::EKS::Container"`},
		{fields{"duration_ms": 77777.6}, "", `responsetime = 77.778`},
		{fields{"app.x/y": true}, "", `annotation.app_x_y`},
		{fields{"app.n": 3.5}, "", `annotation[app.n] > 3.4`},
		{fields{"aws.local.service": "n16"}, "", `name = "n16"`},
		{fields{"service.name": "n(1)7*"}, "", `name = "n17"`},
		{fields{"service.name": "", "name": "n17b"}, "", `name = "n17b"`},
		{fields{"service.name": "", "service_name": "n18"}, "", `service("n18") { ok }`},
		{fields{"span.kind": "internal", "rpc.service": "n19"}, "", `name = "n19"`},
		{fields{"span.kind": "producer", "peer.service": "n20"}, "", `name = "n20"`},
		{fields{"span.kind": "producer", "aws.service": "n21"}, "", `name ENDSWITH "21"`},
		{fields{"span.kind": "producer", "rpc.system": "aws-api", "aws.remote.service": "AWS.SDK.n22"}, "", `name = "n22"`},
		{fields{"span.kind": "producer", "rpc.system": "aws-api", "aws.remote.service": "AWS::n23"}, "", `name BEGINSWITH "n23"`},
		{fields{"span.kind": "producer", "http.host": "n24"}, "", `name = "n24"`},
		{fields{"span.kind": "producer", "net.peer.name": "n25"}, "", `name = "n25"`},
		{fields{"span.kind": "producer", "server.address": "n26"}, "", `name = "n26"`},
		{fields{"span.kind": "internal", "db.name": "d?27", "db.connection_string": "jdbc:mysql://h:1/d"}, "", `name = "d27@h"`},
		{fields{"span.kind": "internal", "db.namespace": "d28", "db.connection_string": "mysql://h28:1/d"}, "", `name CONTAINS "@h28"`},
		{fields{"span.kind": "internal", "rpc.service": "n29" + strings.Repeat("x", 300)}, "", `name = "n29` + strings.Repeat("x", 197) + `"`},
		{fields{"span.kind": "internal", "rpc.service": "n30" + strings.Repeat("y", 300)}, "", `name BEGINSWITH "n30" name ENDSWITH "yyyy"`},
		{nil, `"name":"n31"`, `name = "n31"`},
		{nil, `"name":"s","user":"u32"`, `user = "u32"`},
		{nil, `"name":"s","origin":"AWS::X33"`, `type = "AWS::X33"`},
		{nil, `"name":"s","resource_arn":"arn:34"`, `resource.arn = "arn:34"`},
		{nil, `"name":"s","aws":{"ec2":{"instance_id":"i-35","availability_zone":"z35"},"ec2.instance_id":"no"}`, `instance.id = "i-35" OR instance.id = "no"`},
		{nil, `"name":"s","aws":{"ecs":{"availability_zone":"z36"}}`, `availabilityzone = "z36"`},
		{nil, `"name":"s","annotations":{"k37":1,"k37":"v37"}`, `annotation.k37 = "v37"`},
		{nil, `"name":"s","throttle":true`, `service("s") { throttle }`},
		{nil, `"name":"s","error":true`, `error`},
		{nil, `"name":"s","fault":true`, `rootcause.fault.entity { name = "s" }`},
		{nil, `"name":"s","http":{"response":{"status":"438"}}`, `http.status = 438`},
		{nil, `"name":"s","subsegments":[{"id":"00000000000000ff","name":"DynamoDB","namespace":"aws","start_time":` + fmt.Sprint(base) + `,"end_time":` + fmt.Sprint(base+1) + `,"aws":{"table_name":"t39"}}]`, `service(id(name: "t39", type: "AWS::DynamoDB::Table"))`},
		{nil, `"name":"s","subsegments":[{"id":"00000000000000ff","name":"SQS","namespace":"aws","start_time":` + fmt.Sprint(base) + `,"end_time":` + fmt.Sprint(base+1) + `,"aws":{"queue_url":"https://q/1/q40"}}]`, `edge("s", "q40")`},
		{nil, `"name":"s","subsegments":[{"id":"00000000000000ff","name":"S3","namespace":"aws","start_time":` + fmt.Sprint(base) + `,"end_time":` + fmt.Sprint(base+1) + `,"aws":{"bucket_name":"b41"}}]`, `service("b41")`},
		{nil, `"name":"s","subsegments":[{"id":"00000000000000ff","name":"Lambda","namespace":"aws","start_time":` + fmt.Sprint(base) + `,"end_time":` + fmt.Sprint(base+1) + `,"aws":{"function_name":"f42"}}]`, `service("f42")`},
		{nil, `"name":"s","subsegments":[{"id":"00000000000000ff","name":"Mail43","namespace":"aws","start_time":` + fmt.Sprint(base) + `,"end_time":` + fmt.Sprint(base+1) + `}]`, `service(id(type: "AWS::Mail43"))`},
	} {
		id := fmt.Sprintf("%08x%024x", base, i+1)
		if x.span == nil {
			f.put(t, fmt.Sprintf(`{"id":"%016x","trace_id":"1-%s-%s","start_time":%d,"end_time":%d,%s}`, i+1, id[:8], id[8:], base, base+1, x.segment))
		} else {
			h := event.Header{Time: base * 1e9, Ingested: time.Now().UnixNano(), Dataset: m.ds[0], Span: event.SpanID{7: 1}}
			var err error
			if h.Trace, err = event.ParseTraceID(id); err != nil {
				t.Fatal(err)
			}
			m.b.Add(h)
			all := fields{"name": fmt.Sprint("GET x", i), "span.kind": "server", "service.name": "front", "duration_ms": 5}
			maps.Copy(all, x.span)
			for name, v := range all {
				switch v := v.(type) {
				case string:
					m.b.SetString(name, v)
				case int:
					m.b.SetInt(name, int64(v))
				case float64:
					m.b.SetFloat(name, v)
				case bool:
					m.b.SetBool(name, v)
				}
			}
			if err := f.queue.Append(t.Context(), ingest.OTLP, m.b.Batch()); err != nil {
				t.Fatal(err)
			}
		}
		hint := f.server.HintOf(t.Context(), x.filter)
		page, err := f.server.Summaries(t.Context(), xray.SummariesInput{From: time.Unix(base-10, 0), To: time.Unix(base+10, 0), Filter: x.filter, Limit: 100})
		if err != nil {
			t.Fatalf("%s: %v", x.filter, err)
		}
		found := slices.ContainsFunc(page.Traces, func(s xray.Summary) bool { return s.ID.String() == id })
		if !found || hint == "" || page.Seen >= 30 {
			t.Errorf("%v %s: %s: found is %t, %d traces read by the hint %s", x.span, x.segment, x.filter, found, page.Seen, hint)
		}
	}
}

// TestBadNameRunes compares the two forms of what names are cleaned of.
func TestBadNameRunes(t *testing.T) {
	for r := range rune(utf8.MaxRune + 1) {
		if s := string(r); xray.BadNameRunes.MatchString(s) != xray.BadNameRune([]rune(s)[0]) {
			t.Errorf("%q", r)
		}
	}
}
