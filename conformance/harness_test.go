// Package conformance drives the built trefoil binary with clients that this project did not
// write. TREFOIL_BIN, CRUDDUR_BIN and TREFOIL_VENV say where the binaries and the Python
// environment are; make conformance sets them.
package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// binary returns the program that an environment variable names.
func binary(t testing.TB, variable string) string {
	t.Helper()
	path := os.Getenv(variable)
	if path == "" {
		t.Fatalf("%s is not set; run this suite with make conformance", variable)
	}
	return path
}

// server is a running trefoil.
type server struct {
	t    testing.TB
	Data string
	cmd  *exec.Cmd
	log  *bytes.Buffer
	done chan error

	HTTP     string `json:"http"`
	OTLPGRPC string `json:"otlp_grpc"`
	OTLPHTTP string `json:"otlp_http"`
	XRay     string `json:"xray"`
}

// serve starts a server on free ports with a data folder of its own and stops it at the end of
// the test, which must go cleanly.
func serve(t testing.TB, args ...string) *server {
	t.Helper()
	s := &server{t: t, Data: t.TempDir()}
	s.start(args...)
	t.Cleanup(s.stop)
	return s
}

func (s *server) start(args ...string) {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), "addresses.json")
	all := append([]string{"serve", "--data", s.Data, "--http", "127.0.0.1:0", "--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0", "--xray", "127.0.0.1:0", "--addresses-file", file}, args...)
	s.cmd = exec.Command(binary(s.t, "TREFOIL_BIN"), all...)
	s.log = &bytes.Buffer{}
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.done = make(chan error, 1)
	go func(cmd *exec.Cmd, done chan error) { done <- cmd.Wait() }(s.cmd, s.done)
	eventually(s.t, 20*time.Second, "the server listens", func() error {
		select {
		case err := <-s.done:
			s.done <- err
			s.t.Fatalf("the server ended: %v\n%s", err, s.log)
		default:
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		return json.Unmarshal(text, s)
	})
}

// stop ends the server as a user would and wants exit status 0.
func (s *server) stop() {
	s.t.Helper()
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-s.done:
		if err != nil {
			s.t.Errorf("the server ended with %v\n%s", err, s.log)
		}
	case <-time.After(20 * time.Second):
		_ = s.cmd.Process.Kill()
		s.t.Errorf("the server did not end\n%s", s.log)
	}
	s.cmd = nil
}

// kill ends the server as a power cut would.
func (s *server) kill() {
	s.t.Helper()
	_ = s.cmd.Process.Kill()
	<-s.done
	s.cmd = nil
}

// environment returns the variables of a client, on top of the caller's own.
func (s *server) environment(extra ...string) []string {
	env := append(os.Environ(),
		"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_DEFAULT_REGION=us-east-1", "AWS_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_ENDPOINT_URL=http://"+s.HTTP, "AWS_DISABLE_HOST_PREFIX_INJECTION=true", "AWS_XRAY_DAEMON_ADDRESS="+s.XRay, "AWS_PAGER=",
		"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://"+s.OTLPHTTP, "OTEL_EXPORTER_OTLP_HEADERS=x-honeycomb-team=key",
		"HONEYCOMB_API_ENDPOINT=http://"+s.HTTP, "HONEYCOMB_API_KEY=key", "TREFOIL_HTTP_ADDRESS="+s.HTTP, "PYTHONDONTWRITEBYTECODE=1",
	)
	return append(env, extra...)
}

// venv returns a program of the Python environment.
func venv(t testing.TB, name string) string {
	return filepath.Join(binary(t, "TREFOIL_VENV"), "bin", name)
}

// run runs a client to its end; a failure of it fails the test with all it printed.
func (s *server) run(dir string, name string, args ...string) string {
	s.t.Helper()
	out, code := s.try(dir, name, args...)
	if code != 0 {
		s.t.Fatalf("%s %s: exit %d\n%s\nserver:\n%s", filepath.Base(name), strings.Join(args, " "), code, out, s.log)
	}
	return out
}

// try runs a client to its end and returns what it printed and its status.
func (s *server) try(dir string, name string, args ...string) (string, int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = s.environment()
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatalf("%s: %v", name, err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// aws runs the AWS CLI and decodes what it prints.
func (s *server) aws(args ...string) map[string]any {
	s.t.Helper()
	out := s.run(".", venv(s.t, "aws"), args...)
	m := map[string]any{}
	if strings.TrimSpace(out) != "" {
		if err := json.Unmarshal([]byte(out), &m); err != nil {
			s.t.Fatalf("aws %s printed %s: %v", strings.Join(args, " "), out, err)
		}
	}
	return m
}

// awsFails runs the AWS CLI, which must fail with the error code.
func (s *server) awsFails(code string, args ...string) {
	s.t.Helper()
	out, status := s.try(".", venv(s.t, "aws"), args...)
	if status == 0 || !strings.Contains(out, "("+code+")") {
		s.t.Errorf("aws %s: exit %d, want %s\n%s", strings.Join(args, " "), status, code, out)
	}
}

// get decodes an answer of the console API.
func (s *server) get(path string, into any) error {
	res, err := http.Get("http://" + s.HTTP + path)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s: %s", path, res.Status, text)
	}
	return json.Unmarshal(text, into)
}

// eventually polls f until it returns nil.
func eventually(t testing.TB, limit time.Duration, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v: %v", what, limit, err)
		}
		<-tick.C
	}
}

// freePort returns a TCP port that nothing listens on.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}
