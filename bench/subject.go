package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// subject is a server under load.
type subject struct {
	cmd  *exec.Cmd
	data string
	took time.Duration // from the start to the first moment that it answers
	cpu0 float64       // what it had used then

	HTTP     string `json:"http"`
	OTLPGRPC string `json:"otlp_grpc"`
	OTLPHTTP string `json:"otlp_http"`
	XRay     string `json:"xray"`
}

// startLimit is how long a server may take to start.
const startLimit = 2 * time.Minute

// run starts a program and waits until ready returns nil.
func (s *subject) run(cmd *exec.Cmd, ready func() error) error {
	s.cmd = cmd
	cmd.Stderr = os.Stderr
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for err := ready(); err != nil; err = ready() {
		if time.Since(began) > startLimit || !s.alive() {
			s.kill()
			return fmt.Errorf("%s did not start: %w", cmd.Path, err)
		}
		<-tick.C
	}
	s.took = time.Since(began)
	s.cpu0 = s.cpu()
	return nil
}

// alive reports whether the process has not ended: one that ended is a zombie until it is
// waited for.
func (s *subject) alive() bool {
	f := s.stat()
	return len(f) > 0 && f[0] != "Z"
}

// startTrefoil starts a server on a data folder.
func startTrefoil(binary, data string) (*subject, error) {
	if err := os.MkdirAll(data, 0o755); err != nil {
		return nil, err
	}
	file := filepath.Join(data, "addresses.json")
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	s := &subject{data: data}
	const free = "127.0.0.1:0"
	cmd := exec.Command(binary, "serve", "--data", data, "--http", free, "--otlp-grpc", free, "--otlp-http", free, "--xray", free, "--addresses-file", file) //nolint:noctx // stop ends it
	return s, s.run(cmd, func() error {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		return json.Unmarshal(text, s)
	})
}

// answers returns a check that a URL answers 200.
func answers(url string) func() error {
	return func() error {
		res, err := http.Get(url) //nolint:noctx // a local server that has just started
		if err != nil {
			return err
		}
		defer func() { _ = res.Body.Close() }()
		if res.StatusCode != http.StatusOK {
			return errors.New(res.Status)
		}
		return nil
	}
}

// stop ends the server as a user would and returns the CPU seconds of its life since it was
// ready.
func (s *subject) stop() (float64, error) {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	if err := s.cmd.Wait(); err != nil {
		return 0, fmt.Errorf("%s ended: %w", s.cmd.Path, err)
	}
	return s.lived() - s.cpu0, nil
}

// kill ends the server as a power cut would.
func (s *subject) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait() // says that it was killed
}

// lived returns the CPU seconds of a process that was waited for.
func (s *subject) lived() float64 {
	state := s.cmd.ProcessState
	return (state.UserTime() + state.SystemTime()).Seconds()
}

// stat returns the fields of the process's stat file from the state on.
func (s *subject) stat() []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return nil
	}
	return strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
}

// cpu returns the CPU seconds that the server has used so far, in steps of 10 ms.
func (s *subject) cpu() float64 {
	f := s.stat()
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.ParseFloat(f[11], 64)
	system, _ := strconv.ParseFloat(f[12], 64)
	return (user + system) / 100
}

// memory returns a field of the server's status file in MB: VmRSS, VmHWM.
func (s *subject) memory(field string) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == field+":" {
			kb, _ := strconv.ParseFloat(f[1], 64)
			return kb / 1024
		}
	}
	return 0
}

// forgetPeak makes the peak of resident memory count from now.
func (s *subject) forgetPeak() error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.cmd.Process.Pid), []byte("5"), 0)
}

// content is what the files of a folder amount to.
type content struct {
	bytes int64
	files int
}

func contentOf(dir string) (c content) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil // gone since it was listed
		}
		if info, err := e.Info(); err == nil {
			c.bytes += info.Size()
			c.files++
		}
		return nil
	})
	return c
}

const (
	// shortly is how long a server must rest to be asked questions.
	shortly = 4 * time.Second
	// idleLimit is how long a server may work on after a load.
	idleLimit = 10 * time.Minute
)

// settle waits until the server has rested for so long and its folder has not changed, so that
// what it does in the background is done. It reports whether that was in time.
func (s *subject) settle(dir string, quiet time.Duration) bool {
	began, since := time.Now(), time.Now()
	cpu, was := s.cpu(), contentOf(dir)
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for at := range tick.C {
		// A server at rest still uses a little.
		if c, is := s.cpu(), contentOf(dir); is != was || c-cpu > 0.03*at.Sub(since).Seconds()+0.02 {
			cpu, was, since = c, is, at
		}
		if at.Sub(since) >= quiet {
			return true
		}
		if at.Sub(began) >= idleLimit {
			return false
		}
	}
	return false
}
