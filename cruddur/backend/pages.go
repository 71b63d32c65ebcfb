package backend

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strings"
)

const notBuilt = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Cruddur: pages not built</title>
<body style="background:#0e031c;color:#fff;font:16px/1.6 sans-serif;max-width:600px;margin:10vh auto;padding:0 24px">
<h1>The pages are not built</h1><p>This binary holds no front end. Build it and the binary again:</p>
<pre>cd cruddur/frontend
npm ci
npm run build
cd ..
go build -o cruddur ./cmd/cruddur</pre><p>The API itself is up.</p></body></html>
`

// pagesHandler serves the built front end, its index.html for every page of
// it, and /config.json, which tells it where the API is.
func pagesHandler(pages fs.FS, backend string) http.Handler {
	config, err := json.Marshal(map[string]string{"backend_url": backend})
	if err != nil {
		panic(err) // a map of strings always encodes
	}
	connect := ""
	if u, err := url.Parse(backend); err == nil && u.Host != "" {
		connect = " " + u.Scheme + "://" + u.Host
	}
	csp := "default-src 'self'; img-src 'self' data:; style-src 'self'; connect-src 'self'" + connect + "; frame-ancestors 'self'"
	index, built := readIndex(pages)
	if !built {
		csp = "default-src 'none'; style-src 'unsafe-inline'"
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", csp)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		if r.URL.Path == "/config.json" {
			h.Set("Content-Type", "application/json")
			h.Set("Cache-Control", "no-store")
			fmt.Fprintf(w, "%s\n", config)
			return
		}
		name := strings.TrimPrefix(path.Clean(r.URL.Path), "/")
		if built && name != "index.html" && isFile(pages, name) {
			if strings.HasPrefix(name, "assets/") {
				h.Set("Cache-Control", "public, max-age=31536000, immutable")
			}
			http.ServeFileFS(w, r, pages, name)
			return
		}
		if strings.HasPrefix(name, "assets/") {
			http.NotFound(w, r)
			return
		}
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Cache-Control", "no-cache")
		if !built {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprintf(w, "%s", index)
	})
}

func readIndex(pages fs.FS) (page []byte, built bool) {
	if pages == nil {
		return []byte(notBuilt), false
	}
	page, err := fs.ReadFile(pages, "index.html")
	if err != nil {
		return []byte(notBuilt), false
	}
	return page, true
}

func isFile(pages fs.FS, name string) bool {
	info, err := fs.Stat(pages, name)
	return err == nil && info.Mode().IsRegular()
}
