package conformance

import (
	"bufio"
	"bytes"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDemo is O1 and the demo's contract: one request of Cruddur shows its spans, subsegments
// and log lines on one page and is found by each of the three query languages; Ctrl-C ends it
// cleanly, and a second start still has the data.
func TestDemo(t *testing.T) {
	data := t.TempDir()
	s, stop := demo(t, data, "--for", "10m")
	var trace struct {
		TraceID  string `json:"trace_id"`
		XRayID   string `json:"xray_id"`
		Sources  []string
		Services []struct{ Name string }
		Rows     []struct{ ID, Kind, Source, Name, Start, Message string }
	}
	if err := s.get("/api/traces/"+s.shown, &trace); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(trace.Sources, []string{"otlp", "xray", "logs"}) {
		t.Errorf("sources %v", trace.Sources)
	}
	kinds := map[string]bool{}
	starts := []string{}
	for _, r := range trace.Rows {
		kinds[r.Kind+" "+r.Name] = true
		starts = append(starts, r.Start)
	}
	for _, want := range []string{"segment backend-flask", "segment cruddur-search", "subsegment demo_fanout", "span GET /api/demo/fanout", "span GET /search"} {
		if !kinds[want] {
			t.Errorf("the page has no %s: %v", want, kinds)
		}
	}
	if !slices.IsSorted(starts) {
		t.Error("the rows are not in order")
	}
	for _, text := range []string{trace.TraceID, trace.XRayID, "see Root=" + trace.XRayID + ";Sampled=1"} {
		var found struct {
			TraceID string `json:"trace_id"`
		}
		if err := s.get("/api/lookup?q="+queryEscape(text), &found); err != nil || found.TraceID != trace.TraceID {
			t.Errorf("lookup of %q: %v %v", text, found, err)
		}
	}
	// Honeycomb's language, X-Ray's, and the filter pattern of CloudWatch Logs.
	if rows := s.rows("__all__", `{"filters":[{"column":"trace.trace_id","op":"=","value":"`+trace.TraceID+`"}]}`); len(rows) != 1 || rows[0]["COUNT"].(float64) < 5 {
		t.Errorf("query by trace id: %v", rows)
	}
	now := time.Now().Unix()
	out := s.aws("xray", "get-trace-summaries", "--start-time", fmt.Sprint(now-600), "--end-time", fmt.Sprint(now+60), "--filter-expression", `service("backend-flask") AND http.url CONTAINS "fanout"`)
	if text := fmt.Sprint(out); !strings.Contains(text, trace.XRayID) {
		t.Errorf("the X-Ray filter does not find %s: %s", trace.XRayID, text)
	}
	found := s.aws("logs", "filter-log-events", "--log-group-name", "cruddur", "--filter-pattern", `{ $.trace_id = "`+trace.TraceID+`" }`)
	if len(found["events"].([]any)) == 0 {
		t.Error("the filter pattern finds no line of the trace")
	}
	var m struct {
		Nodes []struct {
			Name, Type string
			Requests   int
		}
		Edges []struct{ Requests int }
	}
	if err := s.get("/api/map", &m); err != nil || len(m.Nodes) < 3 || len(m.Edges) < 2 {
		t.Errorf("map: %+v %v", m, err)
	}
	stop()

	again := &server{t: t, Data: data}
	again.start()
	defer again.stop()
	if err := again.get("/api/traces/"+s.shown, &trace); err != nil || len(trace.Rows) == 0 {
		t.Errorf("after a second start: %v", err)
	}
}

func queryEscape(s string) string {
	return strings.NewReplacer(" ", "%20", ";", "%3B", "=", "%3D").Replace(s)
}

// demoServer is the server of a running demo and the trace that it printed.
type demoServer struct {
	*server
	shown string
}

func demo(t *testing.T, data string, args ...string) (*demoServer, func()) {
	t.Helper()
	cmd := exec.Command(binary(t, "TREFOIL_BIN"), append([]string{"demo", "--ports", "0", "--data", data, "--cruddur", binary(t, "CRUDDUR_BIN")}, args...)...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d := &demoServer{server: &server{t: t, Data: data, log: &stderr}}
	links := make(chan error, 1)
	go func() {
		link := regexp.MustCompile(`One request\s+http://(\S+)/traces/([0-9a-f]{32})`)
		in := bufio.NewScanner(stdout)
		for in.Scan() {
			if m := link.FindStringSubmatch(in.Text()); m != nil {
				d.HTTP, d.shown = m[1], m[2]
			}
			if strings.Contains(in.Text(), "A query") {
				links <- nil
			}
		}
	}()
	ended := make(chan error, 1)
	select {
	case <-links:
	case <-time.After(90 * time.Second):
		_ = cmd.Process.Kill()
		t.Fatalf("the demo printed no links\n%s", &stderr)
	}
	go func() { ended <- cmd.Wait() }()
	return d, func() {
		t.Helper()
		_ = cmd.Process.Signal(syscall.SIGINT)
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("the demo ended with %v\n%s", err, &stderr)
			}
		case <-time.After(30 * time.Second):
			_ = cmd.Process.Kill()
			t.Errorf("the demo did not end\n%s", &stderr)
		}
	}
}
