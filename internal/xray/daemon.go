package xray

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/ingest"
)

const (
	// readBuffer is what the socket asks the kernel for.
	readBuffer = 8 << 20
	// maxDatagram is the largest datagram; what is longer the kernel cuts.
	maxDatagram = 64 << 10
	// queuedDocuments and queuedBytes bound what waits between the socket and the store.
	queuedDocuments = 32_768
	queuedBytes     = 64 << 20
	// batchDocuments is how many documents are stored at once.
	batchDocuments = 2048
	// gatherFor is how long a batch waits for more.
	gatherFor = 5 * time.Millisecond
	// retryFor is how long documents are held when the store does not take them.
	retryFor = 10 * time.Second
)

// Reasons why a datagram is not taken.
const (
	RejectNoNewline = "no newline"
	RejectHeader    = "bad header"
	RejectEmpty     = "empty document"
	RejectDocument  = "bad document"
	RejectStore     = "not stored"
)

// DaemonCounters count datagrams since the start.
type DaemonCounters struct {
	Received int64
	// Rejected counts by reason.
	Rejected map[string]int64
	// Spilled were dropped because too many waited.
	Spilled int64
	// Reported is what other daemons said of themselves by PutTelemetryRecords.
	Reported struct{ Received, Rejected, Spilled int64 }
}

type counters struct {
	received, spilled atomic.Int64

	mu       sync.Mutex // guards below
	rejected map[string]int64
}

type telemetry struct{ received, rejected, spilled atomic.Int64 }

func (c *counters) reject(reason string, n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rejected == nil {
		c.rejected = map[string]int64{}
	}
	c.rejected[reason] += n
}

// Counters returns the counts of the UDP port.
func (s *Server) Counters() DaemonCounters {
	out := DaemonCounters{Received: s.daemon.received.Load(), Spilled: s.daemon.spilled.Load(), Rejected: map[string]int64{}}
	out.Reported.Received, out.Reported.Rejected, out.Reported.Spilled = s.reports.received.Load(), s.reports.rejected.Load(), s.reports.spilled.Load()
	s.daemon.mu.Lock()
	defer s.daemon.mu.Unlock()
	for k, n := range s.daemon.rejected {
		out.Rejected[k] = n
	}
	return out
}

// ServeUDP takes the daemon's datagrams from conn, a header line and a document each, until ctx ends;
// then it stores what it has, closes conn and returns nil.
func (s *Server) ServeUDP(ctx context.Context, conn *net.UDPConn) error {
	if err := conn.SetReadBuffer(readBuffer); err != nil {
		s.cfg.Log.Warn("the read buffer of the X-Ray port is small", "error", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	q := make(chan string, queuedDocuments)
	var waiting atomic.Int64
	var wg sync.WaitGroup
	wg.Go(func() { s.store(context.WithoutCancel(ctx), q, &waiting) })
	err := s.read(ctx, conn, q, &waiting)
	close(q)
	wg.Wait()
	return err
}

func (s *Server) read(ctx context.Context, conn *net.UDPConn, q chan<- string, waiting *atomic.Int64) error {
	buf := make([]byte, maxDatagram)
	for {
		n, _, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return fmt.Errorf("read from the X-Ray port: %w", err)
		}
		s.daemon.received.Add(1)
		doc, reason := datagram(buf[:n])
		if reason != "" {
			s.daemon.reject(reason, 1)
			s.cfg.Queue.Reject(ingest.XRay, 1, "datagram with "+reason)
			s.cfg.Log.Debug("dropped an X-Ray datagram", "reason", reason)
			continue
		}
		if waiting.Load()+int64(len(doc)) > queuedBytes {
			s.daemon.spilled.Add(1)
			continue
		}
		waiting.Add(int64(len(doc)))
		select {
		case q <- doc:
		default:
			waiting.Add(-int64(len(doc)))
			s.daemon.spilled.Add(1)
		}
	}
}

// datagram returns the document in a datagram, or why there is none.
func datagram(b []byte) (doc, reason string) {
	head, body, ok := bytes.Cut(b, []byte("\n"))
	if !ok {
		return "", RejectNoNewline
	}
	switch string(head) {
	case `{"format":"json","version":1}`, `{"format": "json", "version": 1}`: // as SDKs write it
	default:
		var header struct {
			Format  string
			Version *json.Number
		}
		if json.Unmarshal(head, &header) != nil || !strings.EqualFold(header.Format, "json") || header.Version == nil || header.Version.String() != "1" {
			return "", RejectHeader
		}
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return "", RejectEmpty
	}
	return string(body), ""
}

// store takes documents in batches; while one is being stored, the next gathers.
func (s *Server) store(ctx context.Context, q <-chan string, waiting *atomic.Int64) {
	for first := range q {
		batch := []string{first}
		timeout := time.NewTimer(gatherFor)
	gather:
		for len(batch) < batchDocuments {
			select {
			case doc, ok := <-q:
				if !ok {
					break gather
				}
				batch = append(batch, doc)
			case <-timeout.C:
				break gather
			}
		}
		timeout.Stop()
		s.keep(ctx, batch)
		for _, doc := range batch {
			waiting.Add(-int64(len(doc)))
		}
	}
}

// keep stores a batch. Nobody waits for an answer, so that a busy store is tried again for a
// while.
func (s *Server) keep(ctx context.Context, batch []string) {
	ctx, cancel := context.WithTimeout(ctx, retryFor)
	defer cancel()
	for wait := 10 * time.Millisecond; ; wait *= 2 {
		refused, err := s.accept(ctx, s.cfg.Environment, batch)
		if err == nil {
			for _, r := range refused {
				s.cfg.Log.Warn("refused an X-Ray document", "id", r.id, "code", r.code)
			}
			if n := len(refused); n > 0 {
				s.daemon.reject(RejectDocument, int64(n))
			}
			return
		}
		if errors.Is(err, ingest.ErrOverloaded) {
			select {
			case <-time.After(wait):
				continue
			case <-ctx.Done():
			}
		}
		s.daemon.reject(RejectStore, int64(len(batch)))
		s.cfg.Log.Error("store X-Ray documents", "documents", len(batch), "error", err)
		return
	}
}
