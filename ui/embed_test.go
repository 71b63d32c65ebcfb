package ui

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

func pack(t *testing.T, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func built(t *testing.T) http.Handler {
	t.Helper()
	script := strings.Repeat("console.log(1);", 40)
	h, err := newHandler(fstest.MapFS{
		".gitkeep":              {},
		"index.html":            {Data: []byte("<!doctype html>index")},
		"theme.js":              {Data: []byte("theme")},
		"assets/app-1a2b.js":    {Data: []byte(script)},
		"assets/app-1a2b.js.gz": {Data: pack(t, script)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func ask(h http.Handler, method, target string, header ...string) *http.Response {
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func TestHandlerRoutes(t *testing.T) {
	h := built(t)
	for _, test := range []struct {
		method, target string
		status         int
		contentType    string
		cache          string
	}{
		{"GET", "/", 200, "text/html; charset=utf-8", "no-cache"},
		{"HEAD", "/", 200, "text/html; charset=utf-8", "no-cache"},
		{"GET", "/traces/1-5759e988-bd862e3fe1be46a994272793", 200, "text/html; charset=utf-8", "no-cache"},
		{"GET", "/logs/groups/%2Faws%2Flambda%2Fhello.v1", 200, "text/html; charset=utf-8", "no-cache"},
		{"GET", "/theme.js", 200, "text/javascript; charset=utf-8", "no-cache"},
		{"GET", "/assets/app-1a2b.js", 200, "text/javascript; charset=utf-8", "public, max-age=31536000, immutable"},
		{"GET", "/assets/app-0000.js", 404, "text/plain; charset=utf-8", ""},
		{"GET", "/../index.html", 200, "text/html; charset=utf-8", "no-cache"},
		{"POST", "/", 405, "text/plain; charset=utf-8", ""},
	} {
		got := ask(h, test.method, test.target)
		if got.StatusCode != test.status || got.Header.Get("Content-Type") != test.contentType || got.Header.Get("Cache-Control") != test.cache {
			t.Errorf("%s %s: %d %q %q, want %d %q %q", test.method, test.target, got.StatusCode, got.Header.Get("Content-Type"),
				got.Header.Get("Cache-Control"), test.status, test.contentType, test.cache)
		}
		if test.status == 200 && !strings.Contains(got.Header.Get("Content-Security-Policy"), "default-src 'self'") {
			t.Errorf("%s %s: no content security policy", test.method, test.target)
		}
	}
}

// An encoded slash in the name of a log group must not make a ServeMux redirect.
func TestHandlerBehindServeMux(t *testing.T) {
	mux := http.NewServeMux()
	mux.Handle("/", built(t))
	if got := ask(mux, "GET", "/logs/groups/%2Faws%2Flambda%2Fhello"); got.StatusCode != 200 {
		t.Errorf("status %d, want 200", got.StatusCode)
	}
}

func TestHandlerCompressionAndTags(t *testing.T) {
	h := built(t)
	plain := ask(h, "GET", "/assets/app-1a2b.js")
	packed := ask(h, "GET", "/assets/app-1a2b.js", "Accept-Encoding", "br;q=1.0, gzip;q=0.8")
	if plain.Header.Get("Content-Encoding") != "" || packed.Header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("encodings %q and %q, want none and gzip", plain.Header.Get("Content-Encoding"), packed.Header.Get("Content-Encoding"))
	}
	if plain.Header.Get("ETag") == packed.Header.Get("ETag") {
		t.Error("two forms of a file share a tag")
	}
	zr, err := gzip.NewReader(packed.Body)
	if err != nil {
		t.Fatal(err)
	}
	unpacked, err := io.ReadAll(zr)
	if err != nil {
		t.Fatal(err)
	}
	want, err := io.ReadAll(plain.Body)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(unpacked, want) {
		t.Error("the packed form differs from the plain one")
	}
	if got := ask(h, "GET", "/assets/app-1a2b.js", "Accept-Encoding", "gzip;q=0"); got.Header.Get("Content-Encoding") != "" {
		t.Error("gzip was sent to a client that refuses it")
	}
	if got := ask(h, "GET", "/assets/app-1a2b.js", "If-None-Match", `"other", W/`+plain.Header.Get("ETag")); got.StatusCode != 304 {
		t.Errorf("a known tag gave %d, want 304", got.StatusCode)
	}
}

func TestHandlerNotBuilt(t *testing.T) {
	h, err := newHandler(fstest.MapFS{".gitkeep": {}})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(ask(h, "GET", "/traces").Body)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(body), "make ui") {
		t.Errorf("the page does not say how to build the console: %s", body)
	}
}

func TestHandlerEmbeds(t *testing.T) {
	if got := ask(Handler(), "GET", "/"); got.StatusCode != 200 {
		t.Errorf("status %d, want 200", got.StatusCode)
	}
}
