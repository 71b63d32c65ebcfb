package xray_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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
}
