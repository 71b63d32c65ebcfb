// Command bench loads a trefoil of its own with realistic spans and log lines and prints what
// they cost: CPU seconds, rates, bytes on disk, memory, and the latencies of a few queries. The
// requests are encoded before the clock starts, so that the client is cheap; the data is the
// same in every run.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
)

const (
	perRequest = 1000
	senders    = 8
	// distinct is how many different requests are encoded; they are sent round robin.
	distinct = 200
)

func main() {
	binary := flag.String("trefoil", "bin/trefoil", "the trefoil program")
	spans := flag.Int("spans", 1_000_000, "spans to send")
	lines := flag.Int("lines", 1_000_000, "log lines to send")
	flag.Parse()
	if err := run(*binary, *spans, *lines); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// subject is the server under load.
type subject struct {
	cmd  *exec.Cmd
	data string
	HTTP string `json:"http"`
	OTLP string `json:"otlp_http"`
}

func start(binary, data string) (*subject, time.Duration, error) {
	file := filepath.Join(data, "addresses.json")
	_ = os.Remove(file)
	s := &subject{data: data}
	s.cmd = exec.Command(binary, "serve", "--data", data, "--http", "127.0.0.1:0", "--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0", "--xray", "127.0.0.1:0", "--addresses-file", file) //nolint:noctx // stop ends it
	s.cmd.Stderr = os.Stderr
	began := time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, 0, err
	}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		if text, err := os.ReadFile(file); err == nil && json.Unmarshal(text, s) == nil {
			break
		}
		if time.Since(began) > time.Minute {
			return nil, 0, errors.New("the server did not start within a minute")
		}
	}
	return s, time.Since(began), nil
}

func (s *subject) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return s.cmd.Wait()
}

// cpu returns the CPU seconds that the server has used so far.
func (s *subject) cpu() float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+2:]))
	user, _ := strconv.ParseFloat(f[11], 64)
	system, _ := strconv.ParseFloat(f[12], 64)
	return (user + system) / 100
}

// memory returns a field of the server's /proc status in bytes: VmRSS, VmHWM.
func (s *subject) memory(field string) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == field+":" {
			kb, _ := strconv.ParseInt(f[1], 10, 64)
			return kb << 10
		}
	}
	return 0
}

func (s *subject) disk() (total int64) {
	_ = filepath.Walk(filepath.Join(s.data, "events"), func(_ string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			total += info.Size()
		}
		return nil
	})
	return total
}

func run(binary string, spans, lines int) error {
	info, err := os.Stat(binary)
	if err != nil {
		return err
	}
	data, err := os.MkdirTemp("", "trefoil-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(data) }()
	s, cold, err := start(binary, data)
	if err != nil {
		return err
	}
	defer func() { _ = s.cmd.Process.Kill() }() // when an error ends the run early
	fmt.Printf("binary %.1f MB, first start %d ms\n", float64(info.Size())/1e6, cold.Milliseconds())
	traces, size, err := encode(encodeSpans)
	if err != nil {
		return err
	}
	before := s.disk()
	if err := s.load("spans", "/v1/traces", traces, size, spans); err != nil {
		return err
	}
	logs, logSize, err := encode(encodeLogs)
	if err != nil {
		return err
	}
	if err := s.load("log lines", "/v1/logs", logs, logSize, lines); err != nil {
		return err
	}
	if err := s.stop(); err != nil {
		return err
	}
	after := s.disk() - before
	s, warm, err := start(binary, data)
	if err != nil {
		return err
	}
	fmt.Printf("on disk after a clean stop: %.1f MB, %.0f bytes an event; next start %d ms\n", float64(after)/1e6, float64(after)/float64(spans+lines), warm.Milliseconds())
	if err := s.queries(); err != nil {
		return err
	}
	fmt.Printf("resident after the queries %d MB\n", s.memory("VmRSS")>>20)
	return s.stop()
}

// load sends n events and prints what they cost, from the first byte to the last
// acknowledgement.
func (s *subject) load(what, path string, bodies [][]byte, size float64, n int) error {
	cpu, began := s.cpu(), time.Now()
	work := make(chan []byte)
	failed := make(chan error, senders)
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for body := range work {
				if err := post("http://"+s.OTLP+path, "application/x-protobuf", body); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	for i := range n / perRequest {
		select {
		case work <- bodies[i%len(bodies)]:
		case err := <-failed:
			return err
		}
	}
	close(work)
	wg.Wait()
	wall := time.Since(began).Seconds()
	used := s.cpu() - cpu
	million := float64(n) / 1e6
	fmt.Printf("%-10s %8d of %.0f bytes on the wire: %.1f CPU-s a million, %.0f a second, peak resident %d MB\n",
		what, n, size, used/million, float64(n)/wall, s.memory("VmHWM")>>20)
	return nil
}

func post(url, contentType string, body []byte) error {
	for range 60 {
		res, err := http.Post(url, contentType, bytes.NewReader(body)) //nolint:noctx // the run ends by itself
		if err != nil {
			return err
		}
		text, err := io.ReadAll(res.Body)
		if err := errors.Join(err, res.Body.Close()); err != nil {
			return err
		}
		switch res.StatusCode {
		case http.StatusOK:
			return nil
		case http.StatusTooManyRequests: // the server asks to wait, as every SDK would
			<-time.After(time.Second)
		default:
			return fmt.Errorf("%s: %s %s", url, res.Status, text)
		}
	}
	return fmt.Errorf("%s: overloaded for a minute", url)
}

// queries prints the median of five runs of each query, after one that warms up.
func (s *subject) queries() error {
	for _, q := range []struct{ name, body string }{
		{"count by hour", `{"dataset":"service-0","time_range":86400,"granularity":3600}`},
		{"filter, group, p99", `{"dataset":"service-0","time_range":86400,"filters":[{"column":"http.status_code","op":">=","value":500}],"breakdowns":["http.route"],"calculations":[{"op":"COUNT"},{"op":"P99","column":"duration_ms"}]}`},
		{"group, p99, all", `{"dataset":"__all__","time_range":604800,"breakdowns":["service.name"],"calculations":[{"op":"COUNT"},{"op":"P99","column":"duration_ms"}]}`},
		{"distinct users", `{"dataset":"__all__","time_range":604800,"breakdowns":["service.name"],"calculations":[{"op":"COUNT_DISTINCT","column":"user.id"}]}`},
	} {
		var times []time.Duration
		for range 6 {
			began := time.Now()
			if err := post("http://"+s.HTTP+"/api/query", "application/json", []byte(q.body)); err != nil {
				return err
			}
			times = append(times, time.Since(began))
		}
		times = times[1:]
		sort.Slice(times, func(i, j int) bool { return times[i] < times[j] })
		fmt.Printf("query %-20s %6d ms\n", q.name, times[2].Milliseconds())
	}
	return nil
}

func encode(one func(*rand.Rand, int) ([]byte, error)) (bodies [][]byte, size float64, err error) {
	rnd := rand.New(rand.NewPCG(1, 2))
	total := 0
	for i := range distinct {
		b, err := one(rnd, i)
		if err != nil {
			return nil, 0, err
		}
		bodies = append(bodies, b)
		total += len(b)
	}
	return bodies, float64(total) / distinct / perRequest, nil
}

// encodeSpans makes traces of 10 to 20 spans with about 25 attributes out of 150 keys.
func encodeSpans(rnd *rand.Rand, n int) ([]byte, error) {
	td := ptrace.NewTraces()
	at := time.Now().Add(-time.Duration(rnd.IntN(3600)) * time.Second)
	services := make([]ptrace.SpanSlice, 10)
	for i := range services {
		rs := td.ResourceSpans().AppendEmpty()
		rs.Resource().Attributes().PutStr("service.name", fmt.Sprintf("service-%d", i))
		rs.Resource().Attributes().PutStr("host.name", fmt.Sprintf("host-%d", i%4))
		services[i] = rs.ScopeSpans().AppendEmpty().Spans()
	}
	for made := 0; made < perRequest; {
		var trace pcommon.TraceID
		for i := range trace {
			trace[i] = byte(rnd.UintN(256))
		}
		count := min(10+rnd.IntN(11), perRequest-made)
		var parent pcommon.SpanID
		for i := range count {
			s := services[rnd.IntN(len(services))].AppendEmpty()
			var id pcommon.SpanID
			for i := range id {
				id[i] = byte(rnd.UintN(256))
			}
			s.SetTraceID(trace)
			s.SetSpanID(id)
			if i > 0 {
				s.SetParentSpanID(parent)
				s.SetKind(ptrace.SpanKindClient)
			} else {
				s.SetKind(ptrace.SpanKindServer)
			}
			if i%3 == 0 {
				parent = id
			}
			start := at.Add(time.Duration(n*1000+made) * time.Microsecond)
			s.SetName(fmt.Sprintf("GET /route/%d", rnd.IntN(40)))
			s.SetStartTimestamp(pcommon.NewTimestampFromTime(start))
			s.SetEndTimestamp(pcommon.NewTimestampFromTime(start.Add(time.Duration(rnd.IntN(500_000)) * time.Microsecond)))
			a := s.Attributes()
			a.PutInt("http.status_code", int64([]int{200, 200, 200, 404, 500}[rnd.IntN(5)]))
			a.PutStr("http.route", fmt.Sprintf("/route/%d", rnd.IntN(40)))
			a.PutStr("user.id", fmt.Sprintf("user-%d", rnd.IntN(100_000)))
			for range 18 {
				k := rnd.IntN(150)
				switch k % 3 {
				case 0:
					a.PutStr(fmt.Sprintf("attr.%d", k), fmt.Sprintf("value-%d", rnd.IntN(20)))
				case 1:
					a.PutInt(fmt.Sprintf("attr.%d", k), int64(rnd.IntN(1000)))
				default:
					a.PutStr(fmt.Sprintf("attr.%d", k), "constant")
				}
			}
			made++
		}
	}
	return ptraceotlp.NewExportRequestFromTraces(td).MarshalProto()
}

func encodeLogs(rnd *rand.Rand, n int) ([]byte, error) {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("service.name", "log-source")
	records := rl.ScopeLogs().AppendEmpty().LogRecords()
	at := time.Now().Add(-time.Duration(rnd.IntN(3600)) * time.Second)
	for i := range perRequest {
		r := records.AppendEmpty()
		r.SetTimestamp(pcommon.NewTimestampFromTime(at.Add(time.Duration(n*1000+i) * time.Microsecond)))
		r.SetSeverityNumber(plog.SeverityNumber(9 + 4*rnd.IntN(3)))
		r.Body().SetStr(fmt.Sprintf("request %d of user-%d took %d ms, status %d, path /route/%d", rnd.IntN(1e6), rnd.IntN(100_000), rnd.IntN(900), 200+rnd.IntN(300), rnd.IntN(40)))
		r.Attributes().PutStr("thread", fmt.Sprintf("worker-%d", rnd.IntN(16)))
		r.Attributes().PutStr("logger", "com.example.shop.Checkout")
		r.Attributes().PutInt("line", int64(rnd.IntN(500)))
	}
	return plogotlp.NewExportRequestFromLogs(ld).MarshalProto()
}
