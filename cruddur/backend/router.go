package backend

import (
	"context"
	"net/http"
	"slices"
	"strings"
)

// handle answers a request with a value to encode, or an error: an *apiError
// is the client's to know, any other error is an internal one.
type handle func(ctx context.Context, r *http.Request) (any, error)

type route struct {
	method  string
	pattern string // "{name}" matches one path segment, "@{name}" one that begins with "@" and goes on
	handle  handle
}

// router matches decoded paths, so that "%40bob" is "@bob". The standard
// ServeMux cannot hold "/@{handle}". Earlier routes win.
type router []route

// match finds the route of r, stores its variables as path values, and returns
// the pattern; a nil handle means that there is none. allow lists the methods
// of a path that exists but not for this method.
func (rs router) match(r *http.Request) (pattern string, h handle, allow []string) {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	for _, rt := range rs {
		values, ok := matchPath(rt.pattern, r.URL.Path)
		if !ok {
			continue
		}
		if rt.method == method {
			for name, v := range values {
				r.SetPathValue(name, v)
			}
			return rt.pattern, rt.handle, nil
		}
		allow = append(allow, rt.method)
		if rt.method == http.MethodGet {
			allow = append(allow, http.MethodHead)
		}
	}
	if allow != nil {
		allow = append(allow, http.MethodOptions)
		slices.Sort(allow)
		allow = slices.Compact(allow)
	}
	return "", nil, allow
}

func matchPath(pattern, path string) (map[string]string, bool) {
	want, got := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return nil, false
	}
	values := map[string]string{}
	for i, w := range want {
		prefix, name, variable := strings.Cut(strings.TrimSuffix(w, "}"), "{")
		rest, ok := strings.CutPrefix(got[i], prefix)
		switch {
		case !variable && w != got[i], variable && (!ok || rest == ""):
			return nil, false
		case variable:
			values[name] = rest
		}
	}
	return values, true
}
