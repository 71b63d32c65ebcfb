package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
)

// send delivers one request and returns when it was acknowledged.
type send func(ctx context.Context, body []byte) error

// outcome is what a load was to the client.
type outcome struct {
	wall    time.Duration
	bytes   int64
	retries int64
	client  float64 // its CPU seconds
}

// busy is the answer of a server that asks to wait.
type busy struct{ error }

// drive sends all requests of a load in their order, from several senders at once.
func drive(ctx context.Context, c *corpus, senders []send) (outcome, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next, size, retries atomic.Int64
	var wg sync.WaitGroup
	cpu, began := ownCPU(), time.Now()
	for _, s := range senders {
		wg.Go(func() {
			var buf []byte
			for ctx.Err() == nil {
				n := int(next.Add(1) - 1)
				if n >= c.requests {
					return
				}
				buf = c.fill(buf, n)
				r, err := patiently(ctx, s, buf)
				retries.Add(r)
				if err != nil {
					cancel(fmt.Errorf("request %d: %w", n, err))
					return
				}
				size.Add(int64(len(buf)))
			}
		})
	}
	wg.Wait()
	return outcome{time.Since(began), size.Load(), retries.Load(), ownCPU() - cpu}, context.Cause(ctx)
}

// patiently sends until the server takes it; a busy server is asked again after a second, as
// SDKs do.
func patiently(ctx context.Context, s send, body []byte) (retries int64, err error) {
	for {
		err := s(ctx, body)
		if wait := (busy{}); !errors.As(err, &wait) || retries == 60 {
			return retries, err
		}
		retries++
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return retries, ctx.Err()
		}
	}
}

// ownCPU returns the CPU seconds of this process.
func ownCPU() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// keptAlive keeps a connection for each sender.
var keptAlive = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, WriteBufferSize: 64 << 10, DisableCompression: true}}

// post returns n senders over HTTP.
func post(n int, url string, headers map[string]string) []send {
	one := func(ctx context.Context, body []byte) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			return err
		}
		for k, v := range headers {
			r.Header.Set(k, v)
		}
		res, err := keptAlive.Do(r)
		if err != nil {
			return err
		}
		defer func() { _ = res.Body.Close() }()
		text, err := io.ReadAll(res.Body)
		switch {
		case err != nil:
			return err
		case res.StatusCode == http.StatusTooManyRequests, res.StatusCode == http.StatusServiceUnavailable:
			return busy{fmt.Errorf("%s: %s", url, res.Status)}
		case res.StatusCode != http.StatusOK && res.StatusCode != http.StatusNoContent:
			return fmt.Errorf("%s: %s %s", url, res.Status, text)
		case bytes.Contains(text, []byte("rejectedLogEventsInfo")):
			return fmt.Errorf("%s: %s", url, text)
		}
		return nil
	}
	return repeat(n, one)
}

func repeat(n int, s send) []send {
	out := make([]send, n)
	for i := range out {
		out[i] = s
	}
	return out
}

func postOTLP(n int, url string) []send {
	return post(n, url, map[string]string{"Content-Type": "application/x-protobuf"})
}

func postLogEvents(n int, base string) []send {
	return post(n, base+"/", awsHeaders("PutLogEvents"))
}

func awsHeaders(operation string) map[string]string {
	return map[string]string{"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "Logs_20140328." + operation}
}

// rawCodec passes encoded messages through.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

const exportTraces = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

// export returns n senders over gRPC, each with a connection of its own.
func export(n int, addr string) ([]send, func(), error) {
	var list []send
	var conns []*grpc.ClientConn
	end := func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}
	for range n {
		conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{})))
		if err != nil {
			end()
			return nil, nil, err
		}
		conns = append(conns, conn)
		list = append(list, func(ctx context.Context, body []byte) error {
			var answer []byte
			err := conn.Invoke(ctx, exportTraces, &body, &answer)
			if c := status.Code(err); c == codes.ResourceExhausted || c == codes.Unavailable {
				return busy{err}
			}
			return err
		})
	}
	return list, end, nil
}

// shoot sends the datagrams at a fixed rate, a millisecond's at a time.
func shoot(ctx context.Context, d *datagrams, addr string, rate int) (outcome, error) {
	conn, err := net.Dial("udp", addr)
	if err != nil {
		return outcome{}, err
	}
	defer func() { _ = conn.Close() }()
	var out outcome
	cpu, began := ownCPU(), time.Now()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for sent := 0; sent < d.count; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return out, ctx.Err()
		}
		for due := min(d.count, int(time.Since(began).Seconds()*float64(rate))); sent < due; sent++ {
			b := d.make(sent)
			if _, err := conn.Write(b); err != nil {
				return out, err
			}
			out.bytes += int64(len(b))
		}
	}
	out.wall, out.client = time.Since(began), ownCPU()-cpu
	return out, nil
}

// ask posts JSON and returns what comes back.
func ask(ctx context.Context, url string, headers map[string]string, body string) ([]byte, error) {
	method := http.MethodPost
	if body == "" {
		method = http.MethodGet
	}
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for k, v := range headers {
		r.Header.Set(k, v)
	}
	res, err := keptAlive.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode/100 != 2 {
		err = fmt.Errorf("%s: %s %.500s", url, res.Status, text)
	}
	return text, err
}
