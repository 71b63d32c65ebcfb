package querytest

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Case is one case of a corpus: a source text and what must come of it.
type Case struct {
	Name string // file:line
	// Query is the source text, without the line breaks around it.
	Query string
	// Load holds the lines of the newest load section ahead of the case.
	Load []string
	// Want holds the wanted lines, for a case that must succeed.
	Want []string
	// Fail is the wanted text of the error ("1:14: unexpected …"), for one that must not.
	Fail string
}

// Corpus reads testdata files. A file is a list of sections, each begun by a line with one of
// the words load, query, want, fail at its start; the rest of that line and the lines up to
// the next section are its text. "#" begins a comment line, blank lines at the ends of a
// section do not count. A query is followed by a want or a fail section.
func Corpus(t *testing.T, pattern string) []Case {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("corpus %s: no files (%v)", pattern, err)
	}
	var cases []Case
	for _, name := range files {
		c, err := readCorpus(name)
		if err != nil {
			t.Fatal(err)
		}
		cases = append(cases, c...)
	}
	return cases
}

func readCorpus(name string) ([]Case, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	var cases []Case
	var load []string
	var section string
	var text []string
	var cur *Case
	end := func() error {
		lines := trimBlank(text)
		text = nil
		switch section {
		case "load":
			load = lines
		case "query":
			cur.Query = strings.Join(lines, "\n")
		case "want", "fail":
			if cur == nil {
				return fmt.Errorf("%s: %s without a query", name, section)
			}
			if section == "want" {
				cur.Want = lines
			} else {
				cur.Fail = strings.Join(lines, "\n")
			}
			cases = append(cases, *cur)
			cur = nil
		}
		return nil
	}
	in := bufio.NewScanner(f)
	in.Buffer(nil, 1<<20)
	for n := 1; in.Scan(); n++ {
		line := in.Text()
		if strings.HasPrefix(line, "#") && section != "query" {
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "load", "query", "want", "fail":
			if err := end(); err != nil {
				return nil, err
			}
			section = word
			if word == "query" {
				cur = &Case{Name: fmt.Sprintf("%s:%d", filepath.Base(name), n), Load: load}
			}
			text = append(text, rest)
		default:
			text = append(text, line)
		}
	}
	if err := end(); err != nil {
		return nil, err
	}
	if cur != nil {
		return nil, fmt.Errorf("%s: the last query has neither want nor fail", name)
	}
	return cases, in.Err()
}

func trimBlank(lines []string) []string {
	for len(lines) > 0 && strings.TrimSpace(lines[0]) == "" {
		lines = lines[1:]
	}
	for len(lines) > 0 && strings.TrimSpace(lines[len(lines)-1]) == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}
