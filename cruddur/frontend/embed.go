// Package frontend holds the built pages of Cruddur. The source is the React
// application beside this file; `npm run build` fills dist, and a binary made
// without it has no pages.
package frontend

import (
	"embed"
	"io/fs"
)

//go:embed all:dist
var dist embed.FS

// Pages returns the built pages; index.html is missing when they are not built.
func Pages() fs.FS {
	pages, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // "dist" is a valid path
	}
	return pages
}
