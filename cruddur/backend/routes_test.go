package backend_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/trefoil-o11y/trefoil/cruddur/backend"
)

var (
	times  = regexp.MustCompile(`"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?[+-]\d\d:\d\d"`)
	random = regexp.MustCompile(`"uuid":"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"`)
)

// mask replaces times, and version 4 uuids when they are random, by letters.
func mask(body string, uuids bool) string {
	body = times.ReplaceAllString(body, `"T"`)
	if uuids {
		body = random.ReplaceAllString(body, `"uuid":"U"`)
	}
	return body
}

func TestRoutes(t *testing.T) {
	long := func(n int) string { return strings.Repeat("é", n) }
	const (
		show  = "/api/activities/68f126b0-1ceb-4a33-88be-d90fa7109eee"
		reply = show + "/reply"
		andy  = `{"created_at":"T","display_name":"Andrew Brown","handle":"andrewbrown",`
		andrw = `{"created_at":"T","expires_at":"T","handle":"Andrew Brown",`
		mock1 = andrw + `"likes_count":5,"message":"Cloud is very fun!","replies":[{"created_at":"T","handle":"Worf","likes_count":0,"message":"This post has no honor!","replies_count":0,"reply_to_activity_uuid":"68f126b0-1ceb-4a33-88be-d90fa7109eee","reposts_count":0,"uuid":"26e12864-1c26-5c3a-9658-97a10f8fea67"}],"replies_count":1,"reposts_count":0,"uuid":"68f126b0-1ceb-4a33-88be-d90fa7109eee"}`
		mock2 = `{"created_at":"T","expires_at":"T","handle":"Worf","likes":0,"message":"I am out of prune juice","replies":[],"uuid":"66e12864-8c26-4c3a-9658-95a10f8fea67"}`
		mock3 = `{"created_at":"T","expires_at":"T","handle":"Garek","likes":0,"message":"My dear doctor, I am just simple tailor","replies":[],"uuid":"248959df-3079-4947-b847-9e0892d1bab4"}`
		user  = andrw + `"message":"Cloud is fun!","uuid":"248959df-3079-4947-b847-9e0892d1bab4"}`
		msgs  = `[` + andy + `"message":"Cloud is fun!","uuid":"4e81c06a-db0f-4281-b4cc-98208537772a"},` + andy + `"message":"This platform is great!","uuid":"66e12864-8c26-4c3a-9658-95a10f8fea67"}]`
	)
	tests := []struct {
		name, method, path, body string
		status                   int
		want                     string
	}{
		{"health", "GET", "/api/health", "", 200, `{"success":true}`},
		{"message groups", "GET", "/api/message_groups", "", 200, `[` + andy + `"uuid":"24b95582-9e7b-4e0a-9ad1-639773ab7552"},{"created_at":"T","display_name":"Worf","handle":"worf","uuid":"417c360e-c4e6-4fce-873b-d2d71469b4ac"}]`},
		{"messages", "GET", "/api/messages/@worf", "", 200, msgs},
		{"messages of the user", "GET", "/api/messages/@andrewbrown?user_reciever_handle=worf", "", 200, msgs},
		{"messages, right spelling", "GET", "/api/messages/@worf?user_receiver_handle=andrewbrown", "", 200, msgs},
		{"messages of nobody", "GET", "/api/messages/@quark", "", 200, `[]`},
		{"messages of another pair", "GET", "/api/messages/@worf?user_reciever_handle=quark", "", 200, `[]`},
		{"post message", "POST", "/api/messages", `{"user_receiver_handle":"worf","message":"hé \ud83d\ude00 <b>"}`, 200, andy + `"message":"h\u00e9 \ud83d\ude00 <b>","uuid":"U"}`},
		{"post message to nobody", "POST", "/api/messages", `{"user_receiver_handle":null,"message":"hi"}`, 422, `["user_reciever_handle_blank"]`},
		{"post blank message to nobody", "POST", "/api/messages", `{}`, 422, `["message_blank"]`},
		{"post message of 1024", "POST", "/api/messages", `{"user_receiver_handle":"quark","message":"` + strings.Repeat("a", 1024) + `"}`, 200, andy + `"message":"` + strings.Repeat("a", 1024) + `","uuid":"U"}`},
		{"post message of 1025", "POST", "/api/messages", `{"user_receiver_handle":"worf","message":"` + long(1025) + `"}`, 422, `["message_exceed_max_chars"]`},
		{"home", "GET", "/api/activities/home", "", 200, `[` + mock1 + `,` + mock2 + `,` + mock3 + `]`},
		{"notifications", "GET", "/api/activities/notifications", "", 200, `[` + andrw[:len(andrw)-len(`"Andrew Brown",`)] + `"Donny","likes_count":5,"message":"Test with the notifications backend endpoint!","replies":[{"created_at":"T","handle":"worf","likes_count":0,"message":"this post has no honor!","replies_count":0,"reply_to_activity_uuid":"68f126b0-1ceb-4a33-88be-d90fa7109eee","reposts_count":0,"uuid":"26e12864-1c26-5c3a-9658-97a10f8fea67"}],"replies_count":1,"reposts_count":0,"uuid":"68f126b0-1ceb-4a33-88be-d90fa7109eee"}]`},
		{"user", "GET", "/api/activities/@worf", "", 200, `[` + user + `]`},
		{"user, escaped", "GET", "/api/activities/%40Andrew%20Brown", "", 200, `[` + user + `]`},
		{"search", "GET", "/api/activities/search?term=FUN", "", 200, `[{"created_at":"T","handle":"Andrew Brown","message":"Cloud is fun!","uuid":"248959df-3079-4947-b847-9e0892d1bab4"},{"created_at":"T","handle":"Andrew Brown","message":"Cloud is very fun!","uuid":"68f126b0-1ceb-4a33-88be-d90fa7109eee"}]`},
		{"search without a hit", "GET", "/api/activities/search?term=romulan", "", 200, `[]`},
		{"search without a term", "GET", "/api/activities/search", "", 422, `["search_term_blank"]`},
		{"search with an empty term", "GET", "/api/activities/search?term=", "", 422, `["search_term_blank"]`},
		{"show", "GET", show, "", 200, `[` + andrw + `"message":"Cloud is fun!","replies":{"created_at":"T","handle":"Worf","message":"This post has no honor!","uuid":"26e12864-1c26-5c3a-9658-97a10f8fea67"},"uuid":"68f126b0-1ceb-4a33-88be-d90fa7109eee"}]`},
		{"show another", "GET", "/api/activities/66e12864-8c26-4c3a-9658-95a10f8fea67", "", 200, `[` + mock2 + `]`},
		{"show unknown", "GET", "/api/activities/nothing", "", 404, `["activity_not_found"]`},
		{"show of an empty handle", "GET", "/api/activities/@", "", 404, `["activity_not_found"]`},
		{"post blank", "POST", "/api/activities", `{"message":"","ttl":"x"}`, 422, `["message_blank"]`},
		{"post without ttl", "POST", "/api/activities", `{"message":"hi"}`, 422, `["ttl_blank"]`},
		{"post with an unknown ttl", "POST", "/api/activities", `{"message":"hi","ttl":"2-days"}`, 422, `["ttl_blank"]`},
		{"post of 281", "POST", "/api/activities", `{"message":"` + long(281) + `","ttl":"x"}`, 422, `["message_exceed_max_chars"]`},
		{"post malformed", "POST", "/api/activities", `{"message"`, 400, `["malformed_json"]`},
		{"post of a number", "POST", "/api/activities", `{"message":1,"ttl":"1-day"}`, 400, `["malformed_json"]`},
		{"post too large", "POST", "/api/activities", `{"message":"` + strings.Repeat("a", 70_000) + `"}`, 413, `["body_too_large"]`},
		{"reply blank", "POST", reply, `{}`, 422, `["message_blank"]`},
		{"reply of 1025", "POST", reply, `{"message":"` + long(1025) + `"}`, 422, `["message_exceed_max_chars"]`},
		{"reply to unknown", "POST", "/api/activities/nothing/reply", `{"message":"hi"}`, 404, `["activity_not_found"]`},
		{"reply", "POST", reply, `{"message":"hi"}`, 200, andy + `"message":"hi","reply_to_activity_uuid":"68f126b0-1ceb-4a33-88be-d90fa7109eee","uuid":"U"}`},
		{"post of 280", "POST", "/api/activities", `{"message":"` + strings.Repeat("a", 280) + `","ttl":"7-days"}`, 200, `{"created_at":"T","display_name":"Andrew Brown","expires_at":"T","handle":"andrewbrown","message":"` + strings.Repeat("a", 280) + `","uuid":"U"}`},
		{"wrong method", "POST", "/api/activities/home", "", 405, `["method_not_allowed"]`},
		{"wrong method", "DELETE", "/api/activities", "", 405, `["method_not_allowed"]`},
		{"unknown path", "GET", "/api/nothing", "", 404, `["not_found"]`},
		{"demo is off", "GET", "/api/demo/panic", "", 404, `["not_found"]`},
	}
	a := start(t, nil)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a.t = t
			got := a.do(tt.method, tt.path, tt.body)
			if got.status != tt.status {
				t.Errorf("status %d, want %d", got.status, tt.status)
			}
			if diff := cmp.Diff(tt.want+"\n", mask(got.body, tt.method == "POST")); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
			if ct := got.header.Get("Content-Type"); ct != "application/json" {
				t.Errorf("Content-Type %q", ct)
			}
		})
	}
}

func TestContentTypeIsRequired(t *testing.T) {
	a := start(t, nil)
	for _, ct := range []string{"", "text/plain"} {
		got := a.do("POST", "/api/activities", `{"message":"hi","ttl":"1-day"}`, "Content-Type", ct)
		if got.status != http.StatusUnsupportedMediaType || got.body != "[\"unsupported_media_type\"]\n" {
			t.Errorf("Content-Type %q: %d %s", ct, got.status, got.body)
		}
	}
	if got := a.do("POST", "/api/activities", `{"message":"hi","ttl":"1-day"}`, "Content-Type", "application/json; charset=utf-8"); got.status != 200 {
		t.Errorf("with a charset: %d %s", got.status, got.body)
	}
}

func TestHeadAndOptions(t *testing.T) {
	a := start(t, nil)
	if got := a.do("HEAD", "/api/activities/home", ""); got.status != 200 || got.body != "" || got.header.Get("Content-Length") == "" {
		t.Errorf("HEAD: %+v", got)
	}
	if got := a.do("OPTIONS", "/api/activities/home", ""); got.status != 200 || got.header.Get("Allow") != "GET, HEAD, OPTIONS" {
		t.Errorf("OPTIONS: %+v", got)
	}
	if got := a.do("DELETE", "/api/messages", ""); got.header.Get("Allow") != "OPTIONS, POST" {
		t.Errorf("Allow %q", got.header.Get("Allow"))
	}
}

func TestTimes(t *testing.T) {
	a := start(t, nil)
	var home []struct {
		Created time.Time `json:"created_at"`
		Expires time.Time `json:"expires_at"`
		Handle  string
	}
	if err := json.Unmarshal([]byte(a.get("/api/activities/home").body), &home); err != nil {
		t.Fatal(err)
	}
	want := map[string][2]time.Duration{
		"Andrew Brown": {-48 * time.Hour, 120 * time.Hour},
		"Worf":         {-7 * 24 * time.Hour, 9 * 24 * time.Hour},
		"Garek":        {-time.Hour, 12 * time.Hour},
	}
	for _, h := range home {
		for i, at := range []time.Time{h.Created, h.Expires} {
			if off := time.Until(at) - want[h.Handle][i]; off.Abs() > time.Minute {
				t.Errorf("%s: time %d is off by %v", h.Handle, i, off)
			}
		}
	}
}

func TestWrittenThingsStay(t *testing.T) {
	a := start(t, nil)
	var post struct{ UUID string }
	body := a.do("POST", "/api/activities", `{"message":"Engage!","ttl":"1-hour"}`).body
	if err := json.Unmarshal([]byte(body), &post); err != nil {
		t.Fatal(err)
	}
	var reply struct{ UUID string }
	body = a.do("POST", "/api/activities/"+post.UUID+"/reply", `{"message":"Aye, sir"}`).body
	if err := json.Unmarshal([]byte(body), &reply); err != nil {
		t.Fatal(err)
	}
	if got := a.do("POST", "/api/activities/"+reply.UUID+"/reply", `{"message":"At once"}`); got.status != 200 {
		t.Errorf("reply to a reply: %d %s", got.status, got.body)
	}
	type shown struct {
		Message      string
		RepliesCount int `json:"replies_count"`
		Replies      []struct{ Message string }
	}
	for _, path := range []string{"/api/activities/home", "/api/activities/@andrewbrown", "/api/activities/" + post.UUID} {
		var got []shown
		if err := json.Unmarshal([]byte(a.get(path).body), &got); err != nil {
			t.Fatal(err)
		}
		want := shown{"Engage!", 2, []struct{ Message string }{{"Aye, sir"}, {"At once"}}}
		if diff := cmp.Diff(want, got[0]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	if got := a.get("/api/activities/search?term=engage").body; !strings.Contains(got, `"message":"Engage!"`) {
		t.Errorf("search: %s", got)
	}
	a.do("POST", "/api/messages", `{"user_receiver_handle":"quark","message":"Where is my order?"}`)
	for path, want := range map[string]int{
		"/api/messages/@quark":                                  1,
		"/api/messages/@worf":                                   2,
		"/api/messages/@andrewbrown":                            3,
		"/api/messages/@andrewbrown?user_reciever_handle=quark": 1,
	} {
		var got []json.RawMessage
		if err := json.Unmarshal([]byte(a.get(path).body), &got); err != nil {
			t.Fatal(err)
		}
		if len(got) != want {
			t.Errorf("%s: %d messages, want %d", path, len(got), want)
		}
	}
}

func TestCORS(t *testing.T) {
	a := start(t, func(c *backend.Config) { c.FrontendURL = "https://3000-cruddur.gitpod.io/" })
	preflight := []string{"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type,traceparent"}
	tests := []struct {
		method, path, origin string
		header               []string
		allowed              bool
	}{
		{"GET", "/api/activities/home", "https://3000-cruddur.gitpod.io", nil, true},
		{"GET", "/api/activities/home", a.page, nil, true},
		{"GET", "/api/activities/home", strings.Replace(a.page, "127.0.0.1", "localhost", 1), nil, true},
		{"GET", "/api/activities/home", "http://localhost:4567", nil, true},
		{"GET", "/api/activities/home", "http://evil.test", nil, false},
		{"POST", "/api/activities", "http://evil.test", nil, false},
		{"POST", "/api/activities", a.page, nil, true},
		{"OPTIONS", "/api/activities", a.page, preflight, true},
		{"OPTIONS", "/api/activities", "http://evil.test", preflight, false},
	}
	for _, tt := range tests {
		got := a.do(tt.method, tt.path, "", append(tt.header, "Origin", tt.origin)...)
		want := ""
		if tt.allowed {
			want = tt.origin
		}
		if h := got.header.Get("Access-Control-Allow-Origin"); h != want {
			t.Errorf("%s %s from %s: allowed origin %q", tt.method, tt.path, tt.origin, h)
		}
		methods, exposed := got.header.Get("Access-Control-Allow-Methods"), got.header.Get("Access-Control-Expose-Headers")
		switch {
		case !tt.allowed && methods+exposed != "":
			t.Errorf("%s from %s: %q %q", tt.method, tt.origin, methods, exposed)
		case tt.allowed && tt.method == "OPTIONS":
			if headers := got.header.Get("Access-Control-Allow-Headers"); methods != "GET, HEAD, OPTIONS, POST" ||
				headers != "content-type, if-modified-since, traceparent, x-amzn-trace-id" {
				t.Errorf("preflight: %q %q", methods, headers)
			}
		case tt.allowed && exposed != "location, link, x-amzn-trace-id, traceresponse":
			t.Errorf("%s from %s exposes %q", tt.method, tt.origin, exposed)
		}
		if got.header.Get("Vary") != "Origin" {
			t.Errorf("Vary %q", got.header.Get("Vary"))
		}
	}
	all := start(t, func(c *backend.Config) { c.FrontendURL = "*" })
	if got := all.get("/api/health", "Origin", "http://any.test").header.Get("Access-Control-Allow-Origin"); got != "http://any.test" {
		t.Errorf("with *: allowed origin %q", got)
	}
}

func TestPages(t *testing.T) {
	a := start(t, nil)
	for path, want := range map[string]string{
		"/": "no-cache", "/@andrewbrown": "no-cache", "/messages/@worf": "no-cache",
		"/assets/app-1.js": "public, max-age=31536000, immutable", "/config.json": "no-store",
	} {
		got := a.get(a.page + path)
		if got.status != 200 || got.header.Get("Cache-Control") != want {
			t.Errorf("%s: %d, Cache-Control %q", path, got.status, got.header.Get("Cache-Control"))
		}
		if csp := got.header.Get("Content-Security-Policy"); !strings.Contains(csp, "connect-src 'self' "+a.api) {
			t.Errorf("%s: Content-Security-Policy %q", path, csp)
		}
	}
	if got := a.get(a.page + "/config.json").body; got != `{"backend_url":"`+a.api+`"}`+"\n" {
		t.Errorf("config.json: %s", got)
	}
	if got := a.get(a.page + "/assets/gone.js"); got.status != http.StatusNotFound {
		t.Errorf("missing asset: %d", got.status)
	}
	if got := a.do("POST", a.page+"/", "x"); got.status != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", got.status)
	}
	bare := start(t, func(c *backend.Config) { c.Pages, c.BackendURL = nil, "https://4567-cruddur.gitpod.io" })
	if got := bare.get(bare.page + "/"); got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, "npm run build") {
		t.Errorf("without pages: %d %s", got.status, got.body)
	}
	if got := bare.get(bare.page + "/config.json").body; got != `{"backend_url":"https://4567-cruddur.gitpod.io"}`+"\n" {
		t.Errorf("config.json: %s", got)
	}
}
