package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trefoil-o11y/trefoil/internal/server"
)

type demoCmd struct {
	dataFlags   `embed:""`
	serverFlags `embed:""`
	For         time.Duration `help:"End by itself after this time; 0 runs until Ctrl-C." default:"0"`
	Traffic     bool          `help:"Send user traffic to Cruddur." negatable:"" default:"true"`
	Ports       int           `help:"First of six consecutive ports to use, or 0 for free ones; -1 uses the usual ports (8733, 4317, 4318, 2000, 4567, 3000)." default:"-1"`
	Cruddur     string        `help:"The cruddur program (default: beside trefoil, else on the PATH)." placeholder:"FILE"`
}

// errDone ends the demo after --for.
var errDone = errors.New("the time is over")

// Run starts the server, Cruddur and the traffic, and ends them together.
func (c *demoCmd) Run(ctx context.Context) error {
	keepMemory()
	program, err := c.program()
	if err != nil {
		return err
	}
	addr, backend, frontend := c.ports()
	g, ctx := errgroup.WithContext(ctx)
	ready := make(chan server.Addresses, 1)
	cfg := c.config(c.dataFlags, addr)
	cfg.Ready = func(a server.Addresses) { ready <- a }
	// The server outlives Cruddur, which still sends what it holds when it is told to stop.
	serverCtx, stopServer := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServer()
	g.Go(func() error { return server.Run(serverCtx, cfg) })
	g.Go(func() error {
		defer stopServer()
		select {
		case <-ctx.Done():
			return nil
		case a := <-ready:
			return c.show(ctx, a, program, backend, frontend)
		}
	})
	if c.For > 0 {
		g.Go(func() error {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(c.For):
				return errDone
			}
		})
	}
	if err := g.Wait(); !errors.Is(err, errDone) {
		return err
	}
	return nil
}

func (c *demoCmd) program() (string, error) {
	if c.Cruddur != "" {
		return c.Cruddur, nil
	}
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), "cruddur")
		if _, err := os.Stat(beside); err == nil {
			return beside, nil
		}
	}
	path, err := exec.LookPath("cruddur")
	if err != nil {
		return "", errors.New("demo: the program cruddur is neither beside trefoil nor on the PATH; make build makes both, --cruddur names one")
	}
	return path, nil
}

func (c *demoCmd) ports() (addr addressFlags, backend, frontend string) {
	ports := []int{8733, 4317, 4318, 2000, 4567, 3000}
	if c.Ports >= 0 {
		for i := range ports {
			ports[i] = 0
			if c.Ports > 0 {
				ports[i] = c.Ports + i
			}
		}
	}
	at := func(i int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[i])) }
	return addressFlags{at(0), at(1), at(2), at(3)}, at(4), at(5)
}

// cruddur is the running app.
type cruddur struct {
	cmd  *exec.Cmd
	addr struct {
		Backend  string `json:"backend"`
		Frontend string `json:"frontend"`
	}
	done chan error
}

func (c *demoCmd) show(ctx context.Context, a server.Addresses, program, backend, frontend string) error {
	api := awsClient{"http://" + a.HTTP, "test", "test"}
	if err := prepare(ctx, api); err != nil {
		return err
	}
	app, err := startCruddur(ctx, a, program, backend, frontend)
	if err != nil {
		return err
	}
	defer app.stop()
	fmt.Printf("\n  Trefoil %s with Cruddur; Ctrl-C ends both.\n\n  UI             http://%s\n  Cruddur        http://%s (its API: http://%s)\n  Data           %s\n", version(), a.HTTP, app.addr.Frontend, app.addr.Backend, c.Data)
	if c.Traffic {
		t := traffic{base: "http://" + app.addr.Backend, client: &http.Client{Timeout: 30 * time.Second}}
		if err := t.links(ctx, a); err != nil {
			return err
		}
		go t.stream(ctx)
	} else {
		fmt.Println("\n  No traffic is sent: use the app, then look at the UI.")
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-app.done:
		app.done <- err
		return fmt.Errorf("cruddur ended by itself: %w", err)
	}
}

// prepare makes the tutorial's group, and a rule that samples every request of the demo.
func prepare(ctx context.Context, api awsClient) error {
	code, err := api.call(ctx, "/CreateGroup", map[string]string{"GroupName": "Cruddur", "FilterExpression": `service("backend-flask")`})
	if err != nil && code != "InvalidRequestException" { // it is there from an earlier run
		return fmt.Errorf("demo: make the X-Ray group: %w", err)
	}
	type rule struct {
		RuleName, ResourceARN, ServiceName, ServiceType, Host, HTTPMethod, URLPath string
		Priority, ReservoirSize, Version                                           int
		FixedRate                                                                  float64
	}
	code, err = api.call(ctx, "/CreateSamplingRule", map[string]rule{"SamplingRule": {"Demo", "*", "*", "*", "*", "*", "*", 100, 100, 1, 1}})
	if err != nil && code != "InvalidRequestException" {
		return fmt.Errorf("demo: make the sampling rule: %w", err)
	}
	return nil
}

func startCruddur(ctx context.Context, a server.Addresses, program, backend, frontend string) (*cruddur, error) {
	dir, err := os.MkdirTemp("", "trefoil-demo-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file := filepath.Join(dir, "addresses.json")
	host, port, err := net.SplitHostPort(backend)
	if err != nil {
		return nil, err
	}
	app := &cruddur{done: make(chan error, 1)}
	app.cmd = exec.Command(program, "--addresses-file", file, "--frontend-addr", frontend) //nolint:noctx // stop ends it in its own time
	app.cmd.Env = os.Environ()
	for _, v := range variables(a) {
		app.cmd.Env = append(app.cmd.Env, v.name+"="+v.value)
	}
	app.cmd.Env = append(app.cmd.Env, "OTEL_SERVICE_NAME=backend-flask", "OTEL_BSP_SCHEDULE_DELAY=500", "CRUDDUR_DEMO=1", "CRUDDUR_XRAY=sdk", "HOST="+host, "PORT="+port)
	app.cmd.Stderr = os.Stderr
	// Its own process group: a terminal's Ctrl-C reaches only us, and we end it in order.
	app.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := app.cmd.Start(); err != nil {
		return nil, fmt.Errorf("demo: start cruddur: %w", err)
	}
	go func() { app.done <- app.cmd.Wait() }()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			app.stop()
			return nil, ctx.Err()
		case err := <-app.done:
			return nil, fmt.Errorf("demo: cruddur did not start: %w", err)
		case <-poll.C:
			if text, err := os.ReadFile(file); err == nil && json.Unmarshal(text, &app.addr) == nil {
				return app, nil
			}
		}
	}
}

// stop asks Cruddur to end, which sends what it still holds, and waits for it.
func (a *cruddur) stop() {
	_ = a.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-a.done:
		a.done <- err
	case <-time.After(15 * time.Second):
		_ = a.cmd.Process.Kill()
	}
}

// links sends the first requests and prints four places to look at, once each has data.
func (t *traffic) links(ctx context.Context, a server.Addresses) error {
	ui := "http://" + a.HTTP
	fmt.Println("\n  Sending the first requests…")
	id, err := t.first(ctx)
	if err != nil {
		return err
	}
	wait := func(path string, found func([]byte) bool) error {
		deadline := time.After(45 * time.Second)
		poll := time.NewTicker(100 * time.Millisecond)
		defer poll.Stop()
		for {
			text, err := get(ctx, ui+path)
			if err == nil && found(text) {
				return nil
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-deadline:
				return fmt.Errorf("demo: %s shows no data after 45 s", path)
			case <-poll.C:
			}
		}
	}
	for _, w := range []struct {
		path  string
		found func([]byte) bool
	}{
		{"/api/traces/" + id, hasAllSources},
		{"/api/map", func(b []byte) bool { return listed(b, "nodes") }},
		{"/api/logs/events?group=cruddur", func(b []byte) bool { return listed(b, "events") }},
		{"/api/datasets", func(b []byte) bool { return listed(b, "datasets") }},
	} {
		if err := wait(w.path, w.found); err != nil {
			return err
		}
	}
	fmt.Printf(`
  One request    %s/traces/%s
  X-Ray map      %s/map
  Logs           %s/logs/groups/cruddur
  A query        %s/q/backend-flask?%s

`, ui, id, ui, ui, ui, url.Values{"q": {`{"calculations":[{"op":"COUNT"},{"op":"P90","column":"duration_ms"},{"op":"HEATMAP","column":"duration_ms"}],"breakdowns":["name"]}`}}.Encode())
	return nil
}

func get(ctx context.Context, u string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, errors.New(res.Status)
	}
	return io.ReadAll(res.Body)
}

func hasAllSources(text []byte) bool {
	var t struct {
		Sources []string `json:"sources"`
	}
	return json.Unmarshal(text, &t) == nil && len(t.Sources) == 3
}

func listed(text []byte, member string) bool {
	var m map[string]json.RawMessage
	var list []json.RawMessage
	return json.Unmarshal(text, &m) == nil && json.Unmarshal(m[member], &list) == nil && len(list) > 0
}
