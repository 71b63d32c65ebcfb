package cwlogs

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/meta"
	"github.com/trefoil-o11y/trefoil/internal/query"
)

const (
	// maxTails is how many sessions an account may have at once.
	maxTails = 15
	// tailEvery is the time between updates, of up to tailEvents events, and tailHeld how many
	// events wait for a slow reader before the oldest are dropped.
	tailEvery  = time.Second
	tailEvents = 500
	tailHeld   = 5000
	// tailEnds is how long a session lasts.
	tailEnds = 3 * time.Hour
)

type startLiveTailInput struct {
	LogGroupIdentifiers   []string `json:"logGroupIdentifiers"`
	LogStreamNames        []string `json:"logStreamNames"`
	LogStreamNamePrefixes []string `json:"logStreamNamePrefixes"`
	LogEventFilterPattern string   `json:"logEventFilterPattern"`
}

type tailStart struct {
	RequestID             string   `json:"requestId"`
	SessionID             string   `json:"sessionId"`
	LogGroupIdentifiers   []string `json:"logGroupIdentifiers"`
	LogStreamNames        []string `json:"logStreamNames"`
	LogStreamNamePrefixes []string `json:"logStreamNamePrefixes"`
	LogEventFilterPattern string   `json:"logEventFilterPattern"`
}

type tailEvent struct {
	LogStreamName      string `json:"logStreamName"`
	LogGroupIdentifier string `json:"logGroupIdentifier"`
	Message            string `json:"message"`
	Timestamp          int64  `json:"timestamp"`
	IngestionTime      int64  `json:"ingestionTime"`
}

type tailMetadata struct {
	Sampled bool `json:"sampled"`
}

type tailUpdate struct {
	SessionMetadata tailMetadata `json:"sessionMetadata"`
	SessionResults  []tailEvent  `json:"sessionResults"`
}

// startLiveTail sends the events that arrive from now on, once a second; an empty update is sent too,
// by which a client that went away is noticed.
func (s *Server) startLiveTail(ctx context.Context, r *awsapi.Request, in startLiveTailInput) (awsapi.EventStream, error) {
	var c check
	c.count("logGroupIdentifiers", len(in.LogGroupIdentifiers), 1, 10)
	c.count("logStreamNames", len(in.LogStreamNames), 0, 100)
	c.count("logStreamNamePrefixes", len(in.LogStreamNamePrefixes), 0, 100)
	for _, n := range in.LogStreamNames {
		c.text("logStreamNames", n, maxName, streamName, streamPattern)
	}
	for _, n := range in.LogStreamNamePrefixes {
		c.text("logStreamNamePrefixes", n, maxName, streamName, streamPattern)
	}
	c.atMost("logEventFilterPattern", in.LogEventFilterPattern, maxPattern)
	if err := c.err(); err != nil {
		return nil, err
	}
	if len(in.LogStreamNames)+len(in.LogStreamNamePrefixes) > 0 {
		if len(in.LogGroupIdentifiers) > 1 {
			return nil, invalid("LogStreamNames or LogStreamNamePrefixes can be specified only with one log group.")
		}
		if len(in.LogStreamNames) > 0 && len(in.LogStreamNamePrefixes) > 0 {
			return nil, invalid("LogStreamNames and LogStreamNamePrefixes are mutually exclusive parameters.")
		}
	}
	where, err := compilePattern(in.LogEventFilterPattern)
	if err != nil {
		return nil, badPattern(err)
	}
	t := &tail{groups: map[event.DatasetID]string{}, streams: in.LogStreamNames, prefixes: in.LogStreamNamePrefixes, where: where}
	for _, id := range in.LogGroupIdentifiers {
		name, ok := identified(id)
		if !ok {
			return nil, invalid("The specified log group identifier %q is not valid.", id)
		}
		g, err := s.group(ctx, r, name)
		if err != nil {
			return nil, err
		}
		if g.Class == "INFREQUENT_ACCESS" {
			return nil, awsapi.Errorf("InvalidOperationException", "Live Tail is not supported for log groups of the Infrequent Access class.")
		}
		t.groups[g.ID] = r.Caller.Account + ":" + g.Name
	}
	if !s.tails.add(t) {
		return nil, errLimit
	}
	start := tailStart{
		RequestID: r.ID, SessionID: awsapi.NewRequestID(), LogGroupIdentifiers: in.LogGroupIdentifiers, LogStreamNames: orEmpty(in.LogStreamNames),
		LogStreamNamePrefixes: orEmpty(in.LogStreamNamePrefixes), LogEventFilterPattern: in.LogEventFilterPattern,
	}
	return func(ctx context.Context, send func(string, any) error) error {
		defer s.tails.remove(t)
		if err := send("sessionStart", start); err != nil {
			return err
		}
		tick, end := time.NewTicker(tailEvery), time.NewTimer(tailEnds)
		defer tick.Stop()
		defer end.Stop()
		for {
			select {
			case <-tick.C:
				if err := send("sessionUpdate", t.update()); err != nil {
					return err
				}
			case <-end.C:
				return awsapi.Errorf("SessionTimeoutException", "The session lasted three hours, which is the longest time that it may.")
			case <-s.tails.stopped:
				return awsapi.Errorf("SessionStreamingException", "The server is stopping.")
			case <-ctx.Done():
				return nil
			}
		}
	}, nil
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// tails are the sessions that wait for events.
type tails struct {
	n       atomic.Int32 // how many there are, for those who publish
	stopped chan struct{}

	mu  sync.RWMutex // guards below
	all map[*tail]bool
}

func (ts *tails) add(t *tail) bool {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if len(ts.all) >= maxTails {
		return false
	}
	ts.all[t] = true
	ts.n.Add(1)
	return true
}

func (ts *tails) remove(t *tail) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	delete(ts.all, t)
	ts.n.Add(-1)
}

// publish gives events of a stream to the sessions that want them.
func (ts *tails) publish(g *meta.LogGroup, stream string, events []inputLogEvent, m *masker, now time.Time) {
	if ts.n.Load() == 0 {
		return
	}
	ts.mu.RLock()
	defer ts.mu.RUnlock()
	for t := range ts.all {
		if id, ok := t.groups[g.ID]; ok && t.wants(stream) {
			t.take(id, stream, events, m, now)
		}
	}
}

// tail is one session.
type tail struct {
	groups            map[event.DatasetID]string // what to call them
	streams, prefixes []string
	where             query.Expr

	mu     sync.Mutex // guards below
	events []tailEvent
	lost   bool // events were dropped since the last update
}

func (t *tail) wants(stream string) bool {
	switch {
	case len(t.streams) > 0:
		return slices.Contains(t.streams, stream)
	case len(t.prefixes) > 0:
		return slices.ContainsFunc(t.prefixes, func(p string) bool { return strings.HasPrefix(stream, p) })
	}
	return true
}

func (t *tail) take(group, stream string, events []inputLogEvent, m *masker, now time.Time) {
	var list []tailEvent
	for i := range events {
		message := string(events[i].message)
		if t.where == nil || query.Holds(t.where, messageRow(message)) {
			list = append(list, tailEvent{stream, group, m.mask(message), events[i].timestamp, now.UnixMilli()})
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events = append(t.events, list...)
	if over := len(t.events) - tailHeld; over > 0 {
		t.events, t.lost = slices.Delete(t.events, 0, over), true
	}
}

// update takes the next events. When more wait than one update has room for, the newest are sent and
// the update is marked as a sample.
func (t *tail) update() tailUpdate {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := tailUpdate{SessionMetadata: tailMetadata{Sampled: t.lost || len(t.events) > tailEvents}, SessionResults: []tailEvent{}}
	out.SessionResults = append(out.SessionResults, t.events[max(0, len(t.events)-tailEvents):]...)
	clear(t.events)
	t.events, t.lost = t.events[:0], false
	return out
}
