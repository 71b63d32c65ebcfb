// Package internal holds Trefoil's parts; its tests hold the policy about them.
package internal_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/trefoil-o11y/trefoil/"

// allowed says which packages of this module a package may import. A package that is not here
// must be added on purpose.
var allowed = map[string][]string{
	"internal/event":                 {},
	"internal/syntax":                {},
	"internal/body":                  {},
	"internal/jsonscan":              {},
	"internal/awsapi":                {"internal/body"},
	"ui":                             {},
	"internal/query":                 {"internal/event"},
	"internal/xray/filterexpr":       {"internal/event", "internal/query", "internal/syntax"},
	"internal/cwlogs/filterpattern":  {"internal/event", "internal/query", "internal/syntax"},
	"internal/cwlogs/transform":      {},
	"internal/cwlogs/insights":       {"internal/event", "internal/query", "internal/syntax"},
	"internal/query/querytest":       {"internal/event", "internal/query"},
	"internal/store":                 {"internal/event", "internal/query"},
	"internal/store/segment":         {"internal/event", "internal/query", "internal/store", "internal/store/segment/colfile"},
	"internal/store/segment/colfile": {},
	"internal/store/storetest":       {"internal/event", "internal/query", "internal/query/querytest", "internal/store"},
	"internal/meta":                  {"internal/event"},
	"internal/ingest":                {"internal/event", "internal/store"},
	"internal/ingest/ingesttest":     {"internal/ingest", "internal/meta", "internal/store", "internal/store/segment"},
	"internal/otlp":                  {"internal/body", "internal/event", "internal/ingest", "internal/meta"},
	"internal/honeycomb":             {"internal/body", "internal/event", "internal/ingest", "internal/meta", "internal/query", "internal/store", "internal/syntax"},
	"internal/xray": {
		"internal/awsapi", "internal/event", "internal/ingest", "internal/jsonscan", "internal/meta", "internal/query", "internal/store", "internal/syntax",
		"internal/xray/filterexpr",
	},
	"internal/cwlogs": {
		"internal/awsapi", "internal/body", "internal/cwlogs/filterpattern", "internal/cwlogs/insights", "internal/cwlogs/transform", "internal/event", "internal/ingest", "internal/jsonscan", "internal/meta",
		"internal/query", "internal/store", "internal/syntax",
	},
	"internal/cwmetrics": {"internal/awsapi", "internal/body", "internal/event", "internal/ingest", "internal/meta", "internal/query", "internal/store"},
	// The console shows what the three vendors' packages derive; it is the only one to see them
	// all apart from the server that wires them.
	"internal/console": {
		"internal/cwlogs", "internal/event", "internal/honeycomb", "internal/ingest", "internal/meta", "internal/query", "internal/store", "internal/syntax", "internal/xray",
	},
	"internal/server": {
		"internal/awsapi", "internal/console", "internal/cwlogs", "internal/cwmetrics", "internal/event", "internal/honeycomb", "internal/ingest", "internal/meta", "internal/otlp",
		"internal/store/segment", "internal/xray", "ui",
	},
	"bench":       {},
	"cmd/trefoil": {"internal/awsapi", "internal/meta", "internal/server", "internal/store/segment/colfile"},
}

// forbidden says what some packages must not import, directly, and why.
var forbidden = []struct {
	packages []string
	imports  string
	why      string
}{
	{[]string{"internal/event", "internal/query", "internal/syntax", "internal/store", "internal/store/segment"}, "net/http", "the model and the store know no protocol"},
	{[]string{"internal/xray/filterexpr", "internal/cwlogs/filterpattern", "internal/cwlogs/insights"}, "encoding/json", "languages are parsed by hand and know no protocol"},
	{[]string{"internal/xray/filterexpr", "internal/cwlogs/filterpattern", "internal/cwlogs/insights"}, "net/http", "languages know no protocol"},
}

type goPackage struct {
	ImportPath string
	Name       string
	Doc        string
	Imports    []string
	CgoFiles   []string
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Name,Doc,Imports,CgoFiles", "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var list []goPackage
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

func TestImports(t *testing.T) {
	for _, p := range packages(t) {
		name, ok := strings.CutPrefix(p.ImportPath, module)
		if !ok || name == "internal" {
			continue
		}
		list, ok := allowed[name]
		if !ok {
			t.Errorf("%s is not in the import policy", name)
			continue
		}
		if len(p.CgoFiles) > 0 {
			t.Errorf("%s uses cgo; the binary is static", name)
		}
		for _, imp := range p.Imports {
			own, ok := strings.CutPrefix(imp, module)
			if ok && !slices.Contains(list, own) {
				t.Errorf("%s must not import %s", name, own)
			}
			if imp == "flag" && name != "bench" || imp == "github.com/alecthomas/kong" {
				if !strings.HasPrefix(name, "cmd/") {
					t.Errorf("%s must not import %s: only cmd reads flags", name, imp)
				}
			}
			if imp == "database/sql" && name != "internal/meta" {
				t.Errorf("%s must not import %s: SQL stands in meta", name, imp)
			}
			for _, f := range forbidden {
				if imp == f.imports && slices.Contains(f.packages, name) {
					t.Errorf("%s must not import %s: %s", name, imp, f.why)
				}
			}
		}
	}
}

func TestPackagesAreDocumented(t *testing.T) {
	for _, p := range packages(t) {
		if p.Name != "main" && p.Doc == "" && p.ImportPath != module+"internal" { // which has tests only
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}
