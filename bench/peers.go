package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// peer is another server that stores the same input; both of these are of one family.
type peer struct {
	name, program string
	module, pkg   string
	version       string
	with          string // a further requirement of its module
	given         bool   // the program is measured where it is there, and not built
	path          string // of OTLP
	total         string // LogsQL for the number of events
	fact          func(c *corpus) *facts
	questions     func(f *facts) []peerQuestion
	// cpu and disk are how much of its own trefoil may take.
	cpu, disk float64
}

type peerQuestion struct {
	name, query string
	want        int // the sum of n over the rows
}

var (
	victoriaTraces = peer{
		name: "VictoriaTraces", program: "victoria-traces", module: "github.com/VictoriaMetrics/VictoriaTraces", pkg: "app/victoria-traces", version: "v0.8.2",
		// The Go module proxy does not serve every release of it.
		given: true,
		cpu:   1.0 / 3, disk: 0.7,
		path: "/insert/opentelemetry/v1/traces", fact: factsOfSpans,
		// Its own rows, such as those of the index of traces, have no span id.
		total: "span_id:* | stats count() n",
		questions: func(f *facts) []peerQuestion {
			return []peerQuestion{
				{"count by hour", "span_id:* | stats by (_time:1h) count() n", f.rows},
				{"rare value", `"span_attr:error.code":=` + rareCode + ` | stats count() n`, f.rare},
			}
		},
	}
	victoriaLogs = peer{
		name: "VictoriaLogs", program: "victoria-logs", module: "github.com/VictoriaMetrics/VictoriaLogs", pkg: "app/victoria-logs", version: "v1.51.1-0.20260624061259-dc94972a8708",
		cpu: 0.5, disk: 1,
		with: "github.com/VictoriaMetrics/VictoriaMetrics v1.148.8",
		path: "/insert/opentelemetry/v1/logs", fact: factsOfLines,
		total: "* | stats count() n",
		questions: func(f *facts) []peerQuestion {
			timeouts := 0
			for _, n := range f.timeouts {
				timeouts += n
			}
			return []peerQuestion{
				{"rare text in log bodies, counted", strconv.Quote(rareText) + " | stats count() n", f.rare},
				{"common text in log bodies, counted", timeoutText + " | stats count() n", timeouts},
				{"matching lines by 5 minutes", timeoutText + " | stats by (_time:5m) count() n", timeouts},
				{"lines by level", "* | stats by (severity) count() n", f.rows},
			}
		},
	}
)

// build returns the peer's program, which it makes at its pinned version, once.
func (p *peer) build(ctx context.Context, dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, p.program+"-"+p.version)
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	if p.given {
		return "", fmt.Errorf("there is no %s; it is not built here", program)
	}
	src := filepath.Join(dir, "build-"+p.program)
	if err := os.MkdirAll(src, 0o755); err != nil {
		return "", err
	}
	mod := "module peer\n\ngo 1.26.0\n\nrequire " + p.module + " " + p.version + "\n"
	if p.with != "" {
		mod += "\nrequire " + p.with + "\n"
	}
	if err := os.WriteFile(filepath.Join(src, "go.mod"), []byte(mod), 0o644); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-mod=mod", "-trimpath", "-o", program, p.module+"/"+p.pkg)
	cmd.Dir = src
	cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build %s@%s: %w: %s", p.module, p.version, err, lastLines(string(out), 2))
	}
	return program, nil
}

func lastLines(s string, n int) string {
	list := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(list[max(0, len(list)-n):], "; ")
}

// launch starts the peer on a data folder.
func (p *peer) launch(program, data string) (*subject, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // only for a free port
	if err != nil {
		return nil, err
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		return nil, err
	}
	s := &subject{data: data, HTTP: addr, OTLPHTTP: addr}
	cmd := exec.Command(program, "-storageDataPath="+data, "-httpListenAddr="+addr, "-retentionPeriod=30d", "-loggerLevel=ERROR") //nolint:noctx // stop ends it
	return s, s.run(cmd, answers("http://"+addr+"/health"))
}

// sum runs a query and adds the column n of its rows.
func (p *peer) sum(ctx context.Context, s *subject, w window, query string) (int, error) {
	query = fmt.Sprintf("_time:[%s, %s] %s", w.From.Format(time.RFC3339), w.To.Add(time.Hour).Format(time.RFC3339), query)
	text, err := ask(ctx, "http://"+s.HTTP+"/select/logsql/query?"+url.Values{"query": {query}}.Encode(), nil, "")
	if err != nil {
		return 0, err
	}
	total := 0
	for line := range strings.Lines(string(text)) {
		var r struct{ N string }
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			return 0, err
		}
		n, err := strconv.Atoi(r.N)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// beside measures a peer with the load that was just measured.
func (b *bench) beside(ctx context.Context, l load, c *corpus, dir string) error {
	p := l.peer
	b.say("%s: build %s", p.name, p.version)
	program, err := p.build(ctx, dir)
	if err != nil {
		b.Missing = append(b.Missing, p.name+": "+err.Error())
		b.say("%s: %v", p.name, err)
		return nil
	}
	data := filepath.Join(b.dir, p.program)
	s, err := p.launch(program, data)
	if err != nil {
		return err
	}
	defer func() { s.kill() }()
	if err := s.forgetPeak(); err != nil {
		return err
	}
	s.cpu0 = s.cpu()
	out, err := drive(ctx, c, postOTLP(b.Senders, "http://"+s.OTLPHTTP+p.path))
	if err != nil {
		return err
	}
	acked, peak := s.cpu()-s.cpu0, s.memory("VmHWM")
	flushed, err := s.stop()
	if err != nil {
		return err
	}
	n := c.rows()
	b.put(p.name, "CPU until the last acknowledgement", million(acked, n), "CPU-s/M", p.version)
	b.put(p.name, "CPU until flushed", million(flushed, n), "CPU-s/M", "")
	b.atMost(p.name, "trefoil's CPU until flushed over its", b.own[l.phase].cpu/million(flushed, n), "times", p.cpu, "")
	b.put(p.name, "speed", float64(n)/out.wall.Seconds(), "/s", "")
	b.put(p.name, "peak resident while ingesting", peak, "MB", "")
	b.put(p.name, "disk after a clean stop", float64(contentOf(data).bytes)/float64(n), "B a "+l.noun, "")
	if s, err = p.launch(program, data); err != nil {
		return err
	}
	if !s.settle(data, b.rest) {
		b.say("%s: not idle after %v", p.name, idleLimit)
	}
	disk := float64(contentOf(data).bytes) / float64(n)
	b.put(p.name, "disk at rest", disk, "B a "+l.noun, "")
	b.atMost(p.name, "trefoil's disk after compaction over its", b.own[l.phase].disk/disk, "times", p.disk, "")
	found, err := p.sum(ctx, s, b.window, p.total)
	if err != nil {
		return err
	}
	if err := same("events", found, n); err != nil {
		return err
	}
	var list []question
	for _, q := range p.questions(p.fact(c)) {
		var got int
		list = append(list, question{
			name: q.name,
			ask: func(ctx context.Context, _ int) (_ []byte, err error) {
				got, err = p.sum(ctx, s, b.window, q.query)
				return nil, err
			},
			check: func(int, []byte) error { return same("sum", got, q.want) },
		})
	}
	if err := b.ask(ctx, p.name, list); err != nil {
		return err
	}
	if _, err := s.stop(); err != nil {
		return err
	}
	return b.killPeer(ctx, p, program, c)
}

// killPeer counts what a kill -9 in the middle of a load costs a peer.
func (b *bench) killPeer(ctx context.Context, p *peer, program string, c *corpus) error {
	data := filepath.Join(b.dir, p.program+"-kill")
	s, err := p.launch(program, data)
	if err != nil {
		return err
	}
	defer func() { s.kill() }()
	list, acked := killing(postOTLP(b.Senders, "http://"+s.OTLPHTTP+p.path), s, int64(c.requests/2))
	out, err := drive(ctx, c, list)
	if !errors.Is(err, errKilled) {
		return fmt.Errorf("the load went on after the kill: %w", err)
	}
	s.kill()
	if s, err = p.launch(program, data); err != nil {
		return err
	}
	found, err := p.sum(ctx, s, b.window, p.total)
	if err != nil {
		return err
	}
	sent := int(acked.Load()) * perRequest
	b.put(p.name, "acknowledged and lost by kill -9", float64(max(0, sent-found)), "", killNote(sent, out))
	_, err = s.stop()
	return err
}
