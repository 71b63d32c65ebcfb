package cwlogs

import (
	"strings"
	"testing"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/event"
)

// FuzzSchedule reads any expression: times of what is taken grow, are whole minutes of a cron
// expression, and are found in no time.
func FuzzSchedule(f *testing.F) {
	for _, s := range []string{"rate(5 minutes)", "cron(0/15 9-17 ? * MON-FRI 2030-2040)", "*/5 1,2,3 1-7/2 JAN,feb 0", "0 0 31 2 *", "0 0 29 2 *", "cron(0 0 1 1 ? 1970)"} {
		f.Add(s, int64(1_795_000_000))
	}
	f.Fuzz(func(t *testing.T, expression string, at int64) {
		s, err := parseSchedule(expression)
		if err != nil {
			return
		}
		began := time.Now()
		after := time.Unix(at%4_000_000_000, 0)
		for range 3 {
			next := s.next(time.Unix(0, 0), after, time.UTC)
			if next.IsZero() {
				break
			}
			if !next.After(after) || s.every == 0 && next.Second() != 0 {
				t.Fatalf("%q: %v follows %v", expression, next, after)
			}
			after = next
		}
		if d := time.Since(began); d > 2*time.Second {
			t.Errorf("%q takes %v", expression, d)
		}
	})
}

// FuzzTable reads any text as a table: its rows are as long as the line of names.
func FuzzTable(f *testing.F) {
	for _, s := range []string{"a,b\n1,2\n", "a\n\"x\"\"y\"\n", "a,a\n", "\ufeffa\n\n", "a,b\n1\n", "\"", "a\r\n1\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		table, err := parseTable(body)
		if err != nil {
			return
		}
		for _, r := range table.Rows {
			if len(r) != len(table.Columns) {
				t.Fatalf("%q has a row of %d cells below %d names", body, len(r), len(table.Columns))
			}
		}
	})
}

// FuzzPointer reads any pointer; those that are taken are written again as the same event's.
func FuzzPointer(f *testing.F) {
	f.Add(pointer(7, "stream/1", position{1_795_000_000_000_000_000, 42}))
	f.Add("")
	f.Add("Ly8v")
	f.Fuzz(func(t *testing.T, text string) {
		dataset, stream, at, ok := parsePointer(text)
		if !ok {
			return
		}
		d, s, a, ok := parsePointer(pointer(int64(dataset), stream, at))
		if !ok || d != dataset || s != stream || a != at {
			t.Errorf("%q is %d %q %v, written again %d %q %v", text, dataset, stream, at, d, s, a)
		}
	})
}

// FuzzLambda looks into any line of a function: nothing panics, and fields have names.
func FuzzLambda(f *testing.F) {
	for _, s := range []string{
		"REPORT RequestId: 1\tDuration: 5.25 ms\tMemory Size: 128 MB\tInit Duration: x ms\tXRAY TraceId: 1-5759e988-bd862e3fe1be46a994272793\tSegmentId: 53995c3f42cd8ad8\tSampled: true\t\n",
		"START RequestId: 1 Version: $LATEST", "t\t00000001-0000-4000-8000-000000000001\tINFO\tx {\"a\":{\"b\":1}} {", "{{{{{{{{{{{{{{{{{{{{", "INIT_START Runtime Version: x",
	} {
		f.Add(s)
	}
	var d found
	f.Fuzz(func(t *testing.T, line string) {
		d.discover([]byte(strings.ToValidUTF8(line, "\uFFFD")), true)
		for _, x := range d.fields {
			if x.Name == "" || x.Value.Kind() == event.None {
				t.Errorf("%q has a field %q of %v", line, x.Name, x.Value)
			}
		}
	})
}

// TestLambdaLines has the lines of one call.
func TestLambdaLines(t *testing.T) {
	var d found
	read := func(line string) map[string]string {
		d.discover([]byte(line), true)
		out := map[string]string{}
		for _, f := range d.fields {
			out[f.Name] = f.Value.Text()
		}
		return out
	}
	const id = "5d1cb0f1-7ae4-4b2c-9f0e-1b2c3d4e5f60"
	for line, want := range map[string]map[string]string{
		"START RequestId: " + id + " Version: $LATEST\n": {"@type": "START", "@requestId": id},
		"REPORT RequestId: " + id + "\tDuration: 12.50 ms\tBilled Duration: 13 ms\tMemory Size: 128 MB\tMax Memory Used: 70 MB\tInit Duration: 200.1 ms\t\nXRAY TraceId: 1-5759e988-bd862e3fe1be46a994272793\tSegmentId: 53995c3f42cd8ad8\tSampled: true\t\n": {
			"@type": "REPORT", "@requestId": id, "@duration": "12.5", "@billedDuration": "13", "@memorySize": "128000000", "@maxMemoryUsed": "70000000", "@initDuration": "200.1",
			"@xrayTraceId": "1-5759e988-bd862e3fe1be46a994272793", "@xraySegmentId": "53995c3f42cd8ad8",
		},
		"2026-11-20T10:00:00Z\t" + id + "\tINFO\t{ not json } then {\"a\":[1]} and {\"b\":2}": {"@requestId": id, "a.0": "1"},
		"plain text":                         {},
		"REPORT of something else {\"a\":1}": {"a": "1"},
		`{"whole":true}`:                     {"whole": "true"},
	} {
		got := read(line)
		if len(got) != len(want) {
			t.Errorf("%q\ngot  %v\nwant %v", line, got, want)
		}
		for n, v := range want {
			if got[n] != v {
				t.Errorf("%q: %s is %q, want %q", line, n, got[n], v)
			}
		}
	}
	read("REPORT RequestId: x\tXRAY TraceId: 1-5759e988-bd862e3fe1be46a994272793\tSegmentId: 53995c3f42cd8ad8\t")
	if d.trace.String() != "5759e988bd862e3fe1be46a994272793" || d.span.String() != "53995c3f42cd8ad8" {
		t.Errorf("the line belongs to trace %v, span %v", d.trace, d.span)
	}
}
