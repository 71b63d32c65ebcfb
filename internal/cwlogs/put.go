package cwlogs

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/ingest"
)

// The limits of PutLogEvents, as on AWS.
const (
	maxBatchEvents = 10_000
	maxBatchBytes  = 1_048_576
	maxEventBytes  = 1_048_576
	maxAhead       = 2 * time.Hour
	maxAge         = 14 * day
	maxSpan        = day
)

type inputLogEvent struct {
	Timestamp *int64  `json:"timestamp"`
	Message   *string `json:"message"`
}

type putLogEventsInput struct {
	LogGroupName  string          `json:"logGroupName"`
	LogStreamName string          `json:"logStreamName"`
	LogEvents     []inputLogEvent `json:"logEvents"`
}

type rejectedInfo struct {
	TooNewLogEventStartIndex *int `json:"tooNewLogEventStartIndex,omitempty"`
	TooOldLogEventEndIndex   *int `json:"tooOldLogEventEndIndex,omitempty"`
	ExpiredLogEventEndIndex  *int `json:"expiredLogEventEndIndex,omitempty"`
}

type putLogEventsOutput struct {
	NextSequenceToken     string        `json:"nextSequenceToken"`
	RejectedLogEventsInfo *rejectedInfo `json:"rejectedLogEventsInfo,omitempty"`
}

// sequenceToken returns what used to order the calls of a stream: 56 digits, which nothing
// reads any more.
func sequenceToken(t time.Time) string { return fmt.Sprintf("49%054d", t.UnixNano()) }

func (in *putLogEventsInput) check() error {
	var c check
	c.group(in.LogGroupName)
	c.stream(in.LogStreamName)
	if in.LogEvents == nil {
		c.fault("null", "logEvents", "Member must not be null")
	} else {
		c.count("logEvents", len(in.LogEvents), 1, maxBatchEvents)
	}
	for i, e := range in.LogEvents {
		member := "logEvents." + strconv.Itoa(i+1) + ".member."
		switch {
		case e.Timestamp == nil:
			c.fault("null", member+"timestamp", "Member must not be null")
		case *e.Timestamp < 0:
			c.fault(quote(strconv.FormatInt(*e.Timestamp, 10)), member+"timestamp", "Member must have value greater than or equal to 0")
		}
		switch {
		case e.Message == nil:
			c.fault("null", member+"message", "Member must not be null")
		case *e.Message == "":
			c.fault("''", member+"message", "Member must have length greater than or equal to 1")
		}
		if len(c.faults) >= 10 {
			break
		}
	}
	return c.err()
}

// putLogEvents stores events. It checks in the order of AWS: the shape, the group, the stream,
// the order of the events, the sizes, each event's time, the span of those that are left.
func (s *Server) putLogEvents(ctx context.Context, r *awsapi.Request, in putLogEventsInput) (putLogEventsOutput, error) {
	var out putLogEventsOutput
	if err := in.check(); err != nil {
		return out, err
	}
	g, err := s.group(ctx, r, in.LogGroupName)
	if err != nil {
		return out, err
	}
	lock := s.streamLock(g.ID)
	lock.RLock()
	defer lock.RUnlock()
	if ok, err := s.cfg.Meta.LogStreamExists(ctx, g.ID, in.LogStreamName); err != nil {
		return out, err
	} else if !ok {
		return out, errNoStream
	}
	total, last := 0, int64(0)
	for _, e := range in.LogEvents {
		if *e.Timestamp < last {
			return out, invalid("Log events in a single PutLogEvents request must be in chronological order.")
		}
		last = *e.Timestamp
		total += len(*e.Message) + eventOverhead
	}
	if total > maxBatchBytes {
		return out, invalid("Upload too large: %d bytes exceeds limit of %d", total, maxBatchBytes)
	}
	for _, e := range in.LogEvents {
		if n := len(*e.Message) + eventOverhead; n > maxEventBytes {
			return out, invalid("Log event too large: %d bytes exceeds limit of %d", n, maxEventBytes)
		}
	}
	now := time.Now()
	first, end, rejected := window(in.LogEvents, now, g.RetentionDays)
	events := in.LogEvents[first:end]
	out.NextSequenceToken, out.RejectedLogEventsInfo = sequenceToken(now), rejected
	if n := len(in.LogEvents) - len(events); n > 0 {
		s.cfg.Queue.Reject(ingest.Logs, int64(n), "the time of the log event is too old, too new or past the group's retention")
	}
	if len(events) == 0 {
		return out, nil
	}
	if *events[len(events)-1].Timestamp-*events[0].Timestamp > maxSpan.Milliseconds() {
		return out, invalid("The batch of log events in a single PutLogEvents request cannot span more than 24 hours.")
	}
	b := event.NewBuilder()
	defer b.Release()
	more := size{events: int64(len(events))}
	for _, e := range events {
		at := time.UnixMilli(*e.Timestamp).UnixNano()
		addEvent(b, g.ID, at, now.UnixNano(), in.LogStreamName, *e.Message)
		more.bytes += int64(len(*e.Message) + eventOverhead)
		more.last = max(more.last, at)
	}
	if err := s.cfg.Queue.Append(ctx, ingest.Logs, b.Batch()); err != nil {
		return out, retry(err)
	}
	s.size.add(g.Environment, g.ID, more)
	return out, nil
}

// window returns the range of events whose times are taken, and what to say of the others.
func window(events []inputLogEvent, now time.Time, retentionDays int) (first, end int, rejected *rejectedInfo) {
	old, expired := now.Add(-maxAge).UnixMilli(), int64(math.MinInt64)
	if retentionDays > 0 {
		expired = now.Add(-time.Duration(retentionDays) * day).UnixMilli()
	}
	ahead := now.Add(maxAhead).UnixMilli()
	tooOld, gone, tooNew := 0, 0, len(events)
	for i, e := range events {
		switch t := *e.Timestamp; {
		case t < old:
			tooOld = i + 1
		case t < expired:
			gone = i + 1
		case t > ahead:
			tooNew = min(tooNew, i)
		}
	}
	if tooOld == 0 && gone == 0 && tooNew == len(events) {
		return 0, len(events), nil
	}
	rejected = &rejectedInfo{}
	if tooOld > 0 {
		rejected.TooOldLogEventEndIndex = &tooOld
	}
	if gone > 0 {
		rejected.ExpiredLogEventEndIndex = &gone
	}
	if tooNew < len(events) {
		rejected.TooNewLogEventStartIndex = &tooNew
	}
	return max(tooOld, gone), tooNew, rejected
}
