package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// traffic is the stream of a demo's users: every route of Cruddur, some that fail.
type traffic struct {
	base   string
	client *http.Client
}

// step is one request of a user; its name is for errors.
type step struct {
	method, path, body string
}

// steps are what users do, over and over.
var steps = []step{
	{"GET", "/api/activities/home", ""},
	{"GET", "/api/activities/notifications", ""},
	{"GET", "/api/activities/@andrewbrown", ""},
	{"GET", "/api/activities/68f126b0-1ceb-4a33-88be-d90fa7109eee", ""},
	{"GET", "/api/activities/search?term=cloud", ""},
	{"POST", "/api/activities", `{"message":"Cloud is fun!","ttl":"7-days"}`},
	{"GET", "/api/message_groups", ""},
	{"GET", "/api/messages/@worf", ""},
	{"POST", "/api/messages", `{"message":"Today is a good day to deploy","user_receiver_handle":"worf"}`},
	{"POST", "/api/activities/68f126b0-1ceb-4a33-88be-d90fa7109eee/reply", `{"message":"It is!"}`},
	{"GET", "/api/activities/search", ""},                               // 422: no term
	{"POST", "/api/activities", `{"message":"","ttl":"7-days"}`},        // 422: no message
	{"GET", "/api/activities/00000000-0000-4000-8000-000000000000", ""}, // 404
	{"GET", "/api/demo/fanout", ""},                                     // a second service
	{"GET", "/api/demo/slow", ""},
	{"GET", "/api/demo/throttle", ""}, // 429
	{"GET", "/api/demo/error", ""},    // 500
	{"GET", "/api/demo/panic", ""},    // 500 with an exception
}

const (
	// trafficPause is between two requests, trafficFor how long the stream lasts.
	trafficPause = 700 * time.Millisecond
	trafficFor   = 10 * time.Minute
)

// first sends every step once and returns the trace of a request that shows most: several
// spans, subsegments and log lines.
func (t *traffic) first(ctx context.Context) (string, error) {
	shown := ""
	for _, s := range steps {
		id, err := t.send(ctx, s)
		if err != nil {
			return "", fmt.Errorf("demo: %s %s: %w", s.method, s.path, err)
		}
		if s.path == "/api/demo/fanout" {
			shown = id
		}
	}
	return shown, nil
}

// stream sends steps until it is told to stop or its time is over.
func (t *traffic) stream(ctx context.Context) {
	end := time.After(trafficFor)
	tick := time.NewTicker(trafficPause)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-end:
			fmt.Printf("  The traffic has ended after %v; the server and Cruddur run on.\n", trafficFor)
			return
		case <-tick.C:
			// Most users look at the home page; a failed request is the demo's point or the end
			// of it.
			s := steps[0]
			if i%2 == 1 {
				s = steps[i/2%len(steps)]
			}
			_, _ = t.send(ctx, s)
		}
	}
}

// send makes one request with a trace id of its own, in X-Ray's form, and returns the id.
func (t *traffic) send(ctx context.Context, s step) (string, error) {
	var random [20]byte
	if _, err := rand.Read(random[:]); err != nil {
		return "", err
	}
	trace := fmt.Sprintf("%08x", time.Now().Unix()) + hex.EncodeToString(random[:12])
	r, err := http.NewRequestWithContext(ctx, s.method, t.base+s.path, strings.NewReader(s.body))
	if err != nil {
		return "", err
	}
	if s.body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("User-Agent", "trefoil-demo")
	r.Header.Set("X-Amzn-Trace-Id", "Root=1-"+trace[:8]+"-"+trace[8:]+";Sampled=1")
	res, err := t.client.Do(r)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(io.Discard, res.Body)
	return trace, errors.Join(err, res.Body.Close())
}
