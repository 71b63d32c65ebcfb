// Package ui holds the built web console and serves it.
//
// The files come from dist/, which `make ui` writes: hashed assets under assets/ that never change, an index.html that names
// them, and beside every text file a .gz of it. In a tree where dist/ was not built the handler serves one plain page that says so.
// The package knows nothing of the API behind the console.
package ui

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
)

//go:embed all:dist
var dist embed.FS

// The policy of every page: nothing from elsewhere, no inline script or style, no framing by other sites.
const contentSecurityPolicy = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

const notBuilt = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Trefoil</title>
<h1>The web console is not part of this build</h1>
<p>Run <code>make ui</code>, then build the server again. The APIs of this server work without it.</p>
</html>
`

// file is one servable file, in memory.
type file struct {
	plain       []byte
	gzip        []byte // nil when there is no smaller form
	contentType string
	etag        string // of the plain form, without quotes
	immutable   bool
}

// Handler returns the handler of the console. It answers GET and HEAD for every path: files by their path, and index.html for
// any other path that does not look like a file, since the console routes in the browser. Mount it at "/", after the APIs.
func Handler() http.Handler {
	sub, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // the folder is embedded by name
	}
	h, err := newHandler(sub)
	if err != nil {
		panic(err) // embedded files can be read
	}
	return h
}

func newHandler(fsys fs.FS) (http.Handler, error) {
	files, err := load(fsys)
	if err != nil {
		return nil, err
	}
	index := files["index.html"]
	if index == nil {
		index = newFile("index.html", []byte(notBuilt))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		name := strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/")
		f := files[name]
		switch {
		case f != nil:
		case strings.HasPrefix(name, "assets/"):
			// An index.html here would be cached under the name of a script of another build.
			http.NotFound(w, r)
			return
		default:
			f = index
		}
		f.serve(w, r)
	}), nil
}

func load(fsys fs.FS) (map[string]*file, error) {
	files := make(map[string]*file)
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || name == ".gitkeep" {
			return err
		}
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		files[name] = newFile(name, data)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for name, f := range files {
		packed := files[name+".gz"]
		if packed == nil {
			continue
		}
		f.gzip = packed.plain
	}
	for name := range files {
		if files[strings.TrimSuffix(name, ".gz")] != files[name] {
			delete(files, name)
		}
	}
	return files, nil
}

func newFile(name string, data []byte) *file {
	sum := sha256.Sum256(data)
	return &file{
		plain:       data,
		contentType: contentType(path.Ext(name)),
		etag:        hex.EncodeToString(sum[:12]),
		immutable:   strings.HasPrefix(name, "assets/"),
	}
}

// contentType does not ask the system for the types that the console has, since systems differ.
func contentType(ext string) string {
	switch ext {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".woff2":
		return "font/woff2"
	}
	if t := mime.TypeByExtension(ext); t != "" {
		return t
	}
	return "application/octet-stream"
}

func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", contentSecurityPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	if f.immutable {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "no-cache")
	}
	body, tag := f.plain, `"`+f.etag+`"`
	if f.gzip != nil {
		h.Set("Vary", "Accept-Encoding")
		if acceptsGzip(r.Header.Values("Accept-Encoding")) {
			body, tag = f.gzip, `"`+f.etag+`-gz"`
			h.Set("Content-Encoding", "gzip")
		}
	}
	h.Set("ETag", tag)
	if matches(r.Header.Values("If-None-Match"), tag) {
		h.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", f.contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = w.Write(body) // the client has gone; there is nobody to tell
	}
}

// matches reports whether an If-None-Match header names tag; weak and strong tags compare alike.
func matches(headers []string, tag string) bool {
	for _, header := range headers {
		for part := range strings.SplitSeq(header, ",") {
			part = strings.TrimSpace(part)
			if part == "*" || strings.TrimPrefix(part, "W/") == tag {
				return true
			}
		}
	}
	return false
}

// acceptsGzip reports whether Accept-Encoding headers allow gzip by name and do not weigh it 0.
func acceptsGzip(headers []string) bool {
	for _, header := range headers {
		for part := range strings.SplitSeq(header, ",") {
			coding, params, _ := strings.Cut(part, ";")
			if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
				weight, found := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q=")
				q, err := strconv.ParseFloat(weight, 64)
				return !found || err != nil || q > 0
			}
		}
	}
	return false
}
