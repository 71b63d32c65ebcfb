package cwlogs

import (
	"strings"
	"testing"
)

func TestFieldSelection(t *testing.T) {
	f := systemFields{Account: "000000000000", Region: "us-east-1"}
	for criteria, want := range map[string]bool{
		``:                              true,
		`@aws.region = "us-east-1"`:     true,
		`@aws.region != "us-east-1"`:    false,
		`@aws.region IN ["a", "b"]`:     false,
		`@aws.region not in ["a", "b"]`: true,
		`@aws.account = "000000000000" AND @aws.region = "x"`:                                  false,
		`@aws.account = "1" OR @aws.account = "2" OR @aws.region = "us-east-1"`:                true,
		`@aws.account = "000000000000" OR @aws.region = "x" AND @aws.region = "y"`:             true,
		`(@aws.account = "000000000000" OR @aws.region = "x") AND @aws.region = "y"`:           false,
		strings.Repeat("(", 50) + `@aws.account IN ["000000000000"]` + strings.Repeat(")", 50): true,
	} {
		if got, err := f.selects(criteria); got != want || err != nil {
			t.Errorf("%s: %v %v", criteria, got, err)
		}
	}
	for _, bad := range []string{
		" ", "@aws.region", "@aws.other = \"x\"", "@aws.region = x", `@aws.region IN []`, `@aws.region IN ["a"`, `@aws.region = "a" AND`, `@aws.region = "a" "b"`, `(@aws.region = "a"`,
		`@aws.region = "a`, `@aws.region ! "a"`, strings.Repeat("(", 51) + `@aws.region = "a"` + strings.Repeat(")", 51), "\xff",
	} {
		if _, err := f.selects(bad); err == nil || !strings.Contains(err.Error(), "Invalid fieldSelectionCriteria") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzFieldSelection(f *testing.F) {
	f.Add(`(@aws.region = "us-east-1" OR @aws.account NOT IN ["1", "2"]) AND @aws.region != "x"`)
	f.Fuzz(func(t *testing.T, criteria string) {
		_, _ = systemFields{Account: "1", Region: "us-east-1"}.selects(criteria)
	})
}
