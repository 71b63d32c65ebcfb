package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// server is the trefoil that is soaked.
type server struct {
	binary, data string
	log          *os.File
	cmd          *exec.Cmd
	exited       chan error

	HTTP     string `json:"http"`
	OTLPHTTP string `json:"otlp_http"`
}

const startLimit = 60 * time.Second

func (s *server) start() error {
	file := filepath.Join(s.data, "addresses.json")
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	const free = "127.0.0.1:0"
	s.cmd = exec.Command(s.binary, "serve", "--data", s.data, "--http", free, "--otlp-grpc", free, "--otlp-http", free, "--xray", free, "--addresses-file", file) //nolint:noctx // it is ended in many ways
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		return err
	}
	s.exited = make(chan error, 1)
	go func(cmd *exec.Cmd, exited chan<- error) { exited <- cmd.Wait() }(s.cmd, s.exited)
	deadline := time.After(startLimit)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-s.exited:
			return fmt.Errorf("the server ended while it started: %w", err)
		case <-deadline:
			_ = s.cmd.Process.Kill()
			return fmt.Errorf("the server did not start within %v", startLimit)
		case <-tick.C:
		}
		if text, err := os.ReadFile(file); err == nil && json.Unmarshal(text, s) == nil {
			return nil
		}
	}
}

// signal tells the server to end; wait returns once it has.
func (s *server) signal(sig syscall.Signal) error { return s.cmd.Process.Signal(sig) }

func (s *server) wait(sig syscall.Signal) error {
	select {
	case err := <-s.exited:
		if sig == syscall.SIGTERM && err != nil {
			return fmt.Errorf("the server ended by SIGTERM: %w", err)
		}
		return nil
	case <-time.After(startLimit):
		_ = s.cmd.Process.Kill()
		return fmt.Errorf("the server did not end within %v of %v", startLimit, sig)
	}
}

// answer is what came back.
type answer struct {
	status int
	text   []byte
}

// client keeps enough connections for all that work at once.
var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}}

// call posts a body, or gets when there is none. An error means that there was no answer.
func call(ctx context.Context, url string, headers map[string]string, body []byte) (answer, error) {
	method := http.MethodPost
	if body == nil {
		method = http.MethodGet
	}
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	r.Header.Set("Content-Type", "application/json")
	for k, v := range headers {
		r.Header.Set(k, v)
	}
	res, err := client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, text}, err
}

// logs calls an operation of CloudWatch Logs.
func (s *server) logs(ctx context.Context, operation string, in any) (answer, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return answer{}, err
	}
	return call(ctx, "http://"+s.HTTP+"/", map[string]string{"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "Logs_20140328." + operation}, body)
}

// post calls with a JSON body that a caller composes.
func (s *server) post(ctx context.Context, path string, in any) (answer, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return answer{}, err
	}
	return call(ctx, "http://"+s.HTTP+path, nil, body)
}

// decode reads a successful answer.
func (a answer) decode(into any) error {
	if a.status/100 != 2 {
		return fmt.Errorf("status %d: %.300s", a.status, a.text)
	}
	return json.Unmarshal(a.text, into)
}
