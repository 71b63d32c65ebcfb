package internal_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// tracked returns the files under version control, by path from the root.
func tracked(t *testing.T) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", "ls-files")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(out))
}

var vague = regexp.MustCompile(`(^|/)(utils?|helpers?|common|misc|base|types|models|manager)(\.go|\.tsx?|/|$)`)

func TestTree(t *testing.T) {
	for _, f := range tracked(t) {
		if vague.MatchString(f) {
			t.Errorf("%s has a name that says nothing", f)
		}
		if strings.Contains(f, "/dist/") && !strings.HasSuffix(f, ".gitkeep") {
			t.Errorf("%s is a built file", f)
		}
		if st, err := os.Stat(filepath.Join("..", f)); err == nil && st.Size() > 1<<20 {
			t.Errorf("%s is larger than 1 MiB", f)
		}
	}
}

func TestModulesHaveNoReplace(t *testing.T) {
	for _, f := range tracked(t) {
		if filepath.Base(f) != "go.mod" {
			continue
		}
		text, err := os.ReadFile(filepath.Join("..", f))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "replace") {
				t.Errorf("%s: %s", f, line)
			}
		}
	}
}

func TestUnfinishedMarks(t *testing.T) {
	mark := regexp.MustCompile(`\b(TODO|FIXME|XXX)\b|\bt\.Skip`)
	sleep := regexp.MustCompile(`\btime\.Sleep\(`)
	for _, f := range tracked(t) {
		if filepath.Ext(f) != ".go" || strings.HasSuffix(f, "repo_test.go") {
			continue
		}
		text, err := os.ReadFile(filepath.Join("..", f))
		if err != nil {
			t.Fatal(err)
		}
		// In a bubble of testing/synctest a sleep takes no time.
		bubble := strings.Contains(string(text), `"testing/synctest"`)
		for i, line := range strings.Split(string(text), "\n") {
			if mark.MatchString(line) || sleep.MatchString(line) && !bubble {
				t.Errorf("%s:%d: %s", f, i+1, strings.TrimSpace(line))
			}
		}
	}
}
