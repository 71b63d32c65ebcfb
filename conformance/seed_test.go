package conformance

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tutorial runs the tutorial's Flask app against s until the end of the test; stop ends it as
// Ctrl-C does, which makes watchtower send what it holds.
func tutorial(t *testing.T, s *server, extra ...string) (base string, stop func()) {
	t.Helper()
	port := freePort(t)
	cmd := exec.Command(venv(t, "python"), "-m", "flask", "run", "--host=127.0.0.1", "--port="+port)
	cmd.Dir = filepath.Join("python", "tutorial")
	cmd.Env = s.environment(append([]string{"OTEL_SERVICE_NAME=backend-flask", "OTEL_BSP_SCHEDULE_DELAY=500", "FRONTEND_URL=http://localhost:3000", "BACKEND_URL=http://localhost:4567"}, extra...)...)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	ended := false
	stop = func() {
		if ended {
			return
		}
		ended = true
		_ = cmd.Process.Signal(os.Interrupt)
		select {
		case <-done:
		case <-time.After(60 * time.Second):
			_ = cmd.Process.Signal(syscall.SIGKILL)
			t.Errorf("the app did not end\n%s", &log)
		}
	}
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Logf("the app printed:\n%s", &log)
		}
	})
	base = "http://127.0.0.1:" + port
	eventually(t, 60*time.Second, "the app answers", func() error {
		_, _, err := fetch("GET", base+"/none", "", "")
		return err
	})
	return base, stop
}

// fetch makes one request; header is a value for X-Amzn-Trace-Id.
func fetch(method, url, body, header string) (int, string, error) {
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if header != "" {
		r.Header.Set("X-Amzn-Trace-Id", header)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, string(text), err
}

// TestSeed is S1 to S4: the tutorial's app and the tutorial's commands, with nothing but
// environment variables, and every row of the table of expected results.
func TestSeed(t *testing.T) {
	s := serve(t)
	rule := "file://" + mustAbs(t, filepath.Join("..", "aws", "json", "xray.json"))

	// S2, S3: the commands exactly as in the tutorial.
	group := s.aws("xray", "create-group", "--group-name", "Cruddur", "--filter-expression", `service("backend-flask")`)
	if arn := fmt.Sprint(group["Group"].(map[string]any)["GroupARN"]); !strings.HasPrefix(arn, "arn:aws:xray:us-east-1:000000000000:group/Cruddur/") {
		t.Errorf("group ARN %s", arn)
	}
	s.awsFails("InvalidRequestException", "xray", "create-group", "--group-name", "Cruddur", "--filter-expression", `service("backend-flask")`)
	record := s.aws("xray", "create-sampling-rule", "--cli-input-json", rule)["SamplingRuleRecord"].(map[string]any)["SamplingRule"].(map[string]any)
	for name, want := range map[string]any{
		"RuleName": "Cruddur", "ResourceARN": "*", "Priority": 9000.0, "FixedRate": 0.1, "ReservoirSize": 5.0, "ServiceName": "backend-flask",
		"ServiceType": "*", "Host": "*", "HTTPMethod": "*", "URLPath": "*", "Version": 1.0,
	} {
		if record[name] != want {
			t.Errorf("sampling rule %s = %v, want %v", name, record[name], want)
		}
	}
	if arn := fmt.Sprint(record["RuleARN"]); !strings.HasSuffix(arn, "sampling-rule/Cruddur") {
		t.Errorf("rule ARN %s", arn)
	}
	s.awsFails("InvalidRequestException", "xray", "create-sampling-rule", "--cli-input-json", rule)

	// S1: the walk of the tutorial. One request each; the first may come before the SDK has its
	// sampling rules, so a spare one goes ahead, and the quota of the tutorial's rule (one
	// borrowed a second, then a tenth) is kept out of the way by an incoming decision.
	base, stop := tutorial(t, s)
	sampled := func(i int) string {
		return fmt.Sprintf("Root=1-%08x-%024x;Sampled=1", time.Now().Unix(), i)
	}
	for i, c := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/api/activities/home", "", 200},
		{"GET", "/api/activities/@andrewbrown", "", 200},
		{"GET", "/api/activities/68f126b0-1ceb-4a33-88be-d90fa7109eee", "", 500},
		{"GET", "/api/activities/search", "", 422},
		{"POST", "/api/activities", `{"message":"hi","ttl":"7-days"}`, 200},
	} {
		status, text, err := fetch(c.method, base+c.path, c.body, sampled(i+1))
		if err != nil || status != c.status {
			t.Fatalf("%s %s: %d %s %v", c.method, c.path, status, text, err)
		}
	}
	parented := fmt.Sprintf("1-%08x-bd862e3fe1be46a994272793", time.Now().Unix())
	if status, _, err := fetch("GET", base+"/api/activities/home", "", "Root="+parented+";Parent=53995c3f42cd8ad8;Sampled=1"); err != nil || status != 200 {
		t.Fatalf("with a parent: %d %v", status, err)
	}
	// Requests that the SDK decides on itself, until it has the rules and a quota for them.
	eventually(t, 40*time.Second, "a request is sampled by the rule Cruddur", func() error {
		if _, _, err := fetch("GET", base+"/api/activities/@andrewbrown", "", ""); err != nil {
			return err
		}
		var list struct {
			Traces []struct {
				TraceID string `json:"trace_id"`
			}
		}
		if err := s.get("/api/traces?limit=1000", &list); err != nil {
			return err
		}
		for _, x := range list.Traces {
			var tr struct {
				Documents []struct{ Document map[string]any }
			}
			if err := s.get("/api/traces/"+x.TraceID, &tr); err != nil {
				return err
			}
			for _, d := range tr.Documents {
				aws, _ := d.Document["aws"].(map[string]any)
				xr, _ := aws["xray"].(map[string]any)
				if xr["sampling_rule_name"] == "Cruddur" {
					return nil
				}
			}
		}
		return fmt.Errorf("none of %d traces", len(list.Traces))
	})
	// The SDK reports what it decided every ten seconds and is told its quota.
	eventually(t, 40*time.Second, "the statistics of the rule Cruddur", func() error {
		out := s.aws("xray", "get-sampling-statistic-summaries")
		for _, x := range out["SamplingStatisticSummaries"].([]any) {
			if x.(map[string]any)["RuleName"] == "Cruddur" {
				return nil
			}
		}
		return fmt.Errorf("%v", out)
	})
	stop()
	// S4.
	s.run("python", venv(t, "python"), "seed_expect.py", parented)
}

// TestSeedDynamicNaming is the tutorial's name trap: with AWS_XRAY_URL the segment is named
// after the host, and the group of service("backend-flask") stays empty.
func TestSeedDynamicNaming(t *testing.T) {
	s := serve(t)
	base, stop := tutorial(t, s, "AWS_XRAY_URL=*127.0.0.1*")
	root := fmt.Sprintf("1-%08x-bd862e3fe1be46a994272793", time.Now().Unix())
	if status, _, err := fetch("GET", base+"/api/activities/home", "", "Root="+root+";Sampled=1"); err != nil || status != 200 {
		t.Fatalf("home: %d %v", status, err)
	}
	stop()
	host := strings.TrimPrefix(base, "http://")
	now := time.Now().Unix()
	window := []string{"--start-time", fmt.Sprint(now - 600), "--end-time", fmt.Sprint(now + 60)}
	count := func(filter string) int {
		out := s.aws(append([]string{"xray", "get-trace-summaries", "--filter-expression", filter}, window...)...)
		return len(out["TraceSummaries"].([]any))
	}
	if n := count(`service("` + host + `") AND http.url CONTAINS "home"`); n != 1 {
		t.Errorf("%d traces of service %s, want 1", n, host)
	}
	// OpenTelemetry's span is of backend-flask, but in a trace of its own.
	if n := count(`service("backend-flask") AND service("` + host + `")`); n != 0 {
		t.Errorf("%d traces of the host's service belong to backend-flask, want 0", n)
	}
}

func mustAbs(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}
