package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

type runCmd struct {
	remoteFlags `embed:""`
	Group       string   `help:"Log group for the command's output (default: trefoil-run/NAME)."`
	Service     string   `help:"OTEL_SERVICE_NAME for the command (default: its name; one that is set already stays)."`
	Command     []string `arg:"" passthrough:"" help:"The command and its arguments, after --." name:"command"`
}

// maxLine is where a line of output is cut into two events.
const maxLine = 256 << 10

// Run runs the command and exits with its status.
func (c *runCmd) Run(ctx context.Context) error {
	if len(c.Command) > 0 && c.Command[0] == "--" {
		c.Command = c.Command[1:]
	}
	if len(c.Command) == 0 {
		return errors.New("run: no command given; use trefoil run -- CMD ARG…")
	}
	vars, a, err := c.variables()
	if err != nil {
		return err
	}
	name := filepath.Base(c.Command[0])
	if c.Group == "" {
		c.Group = "trefoil-run/" + groupName(name)
	}
	if c.Service == "" {
		c.Service = name
	}
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	ship := &shipper{
		client: awsClient{"http://" + a.HTTP, c.AccessKeyID, c.SecretKey}, group: c.Group,
		stream: fmt.Sprintf("%s/%s/%d", groupName(host), time.Now().UTC().Format("2006-01-02T15-04-05Z"), os.Getpid()),
	}
	if err := ship.open(ctx); err != nil {
		return fmt.Errorf("run: no Trefoil server takes logs at %s (start one with trefoil serve): %w", a.HTTP, err)
	}

	cmd := exec.Command(c.Command[0], c.Command[1:]...) //nolint:noctx // the child gets our signals and ends itself
	cmd.Stdin = os.Stdin
	cmd.Env = os.Environ()
	if os.Getenv("OTEL_SERVICE_NAME") == "" {
		cmd.Env = append(cmd.Env, "OTEL_SERVICE_NAME="+c.Service)
	}
	for _, v := range vars {
		cmd.Env = append(cmd.Env, v.name+"="+v.value)
	}
	lines := make(chan string, 1024)
	var readers sync.WaitGroup
	for _, pipe := range []struct {
		open func() (io.ReadCloser, error)
		out  io.Writer
	}{{cmd.StdoutPipe, os.Stdout}, {cmd.StderrPipe, os.Stderr}} {
		in, err := pipe.open()
		if err != nil {
			return err
		}
		readers.Go(func() { tee(in, pipe.out, lines) })
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("run: %w", err)
	}
	go func() {
		<-ctx.Done()
		_ = cmd.Process.Signal(syscall.SIGTERM) // a terminal's Ctrl-C has reached it already
	}()
	go func() { readers.Wait(); close(lines) }()
	lost, shipErr := ship.ship(context.WithoutCancel(ctx), lines)
	err = cmd.Wait()
	if lost > 0 {
		fmt.Fprintf(os.Stderr, "trefoil: %d lines of output did not reach the server: %v\n", lost, shipErr)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if exit.ExitCode() < 0 {
			return exitError(1)
		}
		return exitError(exit.ExitCode())
	}
	return err
}

// tee copies in to out and sends its lines; a line longer than maxLine is cut.
func tee(in io.Reader, out io.Writer, lines chan<- string) {
	r := bufio.NewReaderSize(io.TeeReader(in, out), maxLine)
	for {
		line, err := r.ReadSlice('\n')
		if text := strings.TrimRight(string(line), "\r\n"); text != "" {
			lines <- strings.ToValidUTF8(text, "\uFFFD")
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

// groupName replaces what a log group's name can not have.
func groupName(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("._-/#", r):
			return r
		}
		return '-'
	}, s)
}
