package cwlogs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/ingest"
	"github.com/trefoil-o11y/trefoil/internal/jsonscan"
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
	timestamp   int64
	message     []byte // nil when there is none
	isTimestamp bool   // whether there is one
}

type putLogEventsInput struct {
	LogGroupName, LogStreamName string
	LogEvents                   []inputLogEvent
	entity                      entity
	*lines
}

// lines is memory for the events of one call, which is used again.
type lines struct {
	json   jsonscan.Scanner
	events []inputLogEvent
	found  found
}

var linesPool = sync.Pool{New: func() any { return new(lines) }}

// keepText bounds the memory that waits for the next call.
const keepText = 4 << 20

func (l *lines) release() {
	clear(l.events)
	clear(l.found.fields[:cap(l.found.fields)])
	l.events = l.events[:0]
	l.found.about = nil
	l.json.Reset(nil)
	l.found.json.Reset(nil)
	if l.json.Held()+l.found.json.Held()+cap(l.found.names) <= keepText {
		linesPool.Put(l)
	}
}

// DecodeBody implements awsapi.Decoder. The messages share body. It takes and refuses what
// encoding/json does.
func (in *putLogEventsInput) DecodeBody(body []byte) error {
	l := linesPool.Get().(*lines)
	in.lines = l
	l.json.Reset(body)
	d := putDecoder{Scanner: &l.json, in: in}
	ok := true
	switch l.json.Peek() {
	case '{':
		ok = d.Object(0, d.member)
	case 'n':
		ok = d.Word("null")
	default:
		ok = d.mismatch("")
	}
	if ok && l.json.Ended() {
		return d.wrong
	}
	var v any
	if err := json.Unmarshal(body, &v); err != nil { // says where and why
		return err
	}
	return errors.New("it can not be read")
}

// putDecoder decodes a putLogEventsInput.
type putDecoder struct {
	*jsonscan.Scanner
	in    *putLogEventsInput
	wrong error // the first member of a wrong type
}

func is(name []byte, member string) bool {
	return string(name) == member || bytes.EqualFold(name, []byte(member))
}

func (d *putDecoder) member(name []byte) bool {
	switch {
	case is(name, "logEvents"):
		switch d.Peek() {
		case '[':
			d.in.events = d.in.events[:0]
			ok := d.Array(1, d.event)
			d.in.LogEvents = d.in.events
			if d.in.LogEvents == nil {
				d.in.LogEvents = []inputLogEvent{}
			}
			return ok
		case 'n':
			d.in.LogEvents = nil
			return d.Word("null")
		}
		return d.mismatch("logEvents")
	case is(name, "entity"):
		return d.entity()
	case is(name, "logGroupName"):
		return d.name("logGroupName", &d.in.LogGroupName)
	case is(name, "logStreamName"):
		return d.name("logStreamName", &d.in.LogStreamName)
	}
	return d.Skip(1)
}

func (d *putDecoder) name(member string, to *string) bool {
	switch d.Peek() {
	case '"':
		text, ok := d.Str()
		*to = string(text)
		return ok
	case 'n':
		return d.Word("null")
	}
	return d.mismatch(member)
}

func (d *putDecoder) event() bool {
	d.in.events = append(d.in.events, inputLogEvent{})
	switch d.Peek() {
	case '{':
		return d.Object(2, d.eventMember)
	case 'n':
		return d.Word("null")
	}
	return d.mismatch("logEvents")
}

func (d *putDecoder) eventMember(name []byte) bool {
	e := &d.in.events[len(d.in.events)-1]
	switch {
	case is(name, "message"):
		switch d.Peek() {
		case '"':
			text, ok := d.Str()
			e.message = text
			if text == nil {
				e.message = []byte{}
			}
			return ok
		case 'n':
			e.message = nil
			return d.Word("null")
		}
		return d.mismatch("logEvents.message")
	case is(name, "timestamp"):
		switch c := d.Peek(); {
		case c == 'n':
			e.isTimestamp = false
			return d.Word("null")
		case c != '-' && (c < '0' || c > '9'):
			return d.mismatch("logEvents.timestamp")
		}
		text, _, ok := d.Number()
		n, err := strconv.ParseInt(jsonscan.Lend(text), 10, 64)
		if ok && err != nil {
			d.mistyped("number "+string(text), "logEvents.timestamp")
			return true
		}
		e.timestamp, e.isTimestamp = n, true
		return ok
	}
	return d.Skip(3)
}

// mismatch reads over a value that is not of its member's type.
func (d *putDecoder) mismatch(member string) bool {
	switch d.Peek() {
	case '"':
		d.mistyped("string", member)
	case '{':
		d.mistyped("object", member)
	case '[':
		d.mistyped("array", member)
	case 't', 'f':
		d.mistyped("bool", member)
	default:
		d.mistyped("number", member)
	}
	return d.Skip(2)
}

func (d *putDecoder) mistyped(value, member string) {
	if d.wrong == nil {
		d.wrong = &json.UnmarshalTypeError{Value: value, Field: member}
	}
}

type rejectedInfo struct {
	TooNewLogEventStartIndex *int `json:"tooNewLogEventStartIndex,omitempty"`
	TooOldLogEventEndIndex   *int `json:"tooOldLogEventEndIndex,omitempty"`
	ExpiredLogEventEndIndex  *int `json:"expiredLogEventEndIndex,omitempty"`
}

type putLogEventsOutput struct {
	NextSequenceToken     string              `json:"nextSequenceToken"`
	RejectedLogEventsInfo *rejectedInfo       `json:"rejectedLogEventsInfo,omitempty"`
	RejectedEntityInfo    *rejectedEntityInfo `json:"rejectedEntityInfo,omitempty"`
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
	for i := range in.LogEvents {
		e := &in.LogEvents[i]
		if e.isTimestamp && e.timestamp >= 0 && len(e.message) > 0 {
			continue
		}
		member := "logEvents." + strconv.Itoa(i+1) + ".member."
		switch {
		case !e.isTimestamp:
			c.fault("null", member+"timestamp", "Member must not be null")
		case e.timestamp < 0:
			c.fault(quote(strconv.FormatInt(e.timestamp, 10)), member+"timestamp", "Member must have value greater than or equal to 0")
		}
		switch {
		case e.message == nil:
			c.fault("null", member+"message", "Member must not be null")
		case len(e.message) == 0:
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
	if in.lines == nil {
		in.lines = new(lines) // there was no body
	}
	defer in.release()
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
		if e.timestamp < last {
			return out, invalid("Log events in a single PutLogEvents request must be in chronological order.")
		}
		last = e.timestamp
		total += len(e.message) + eventOverhead
	}
	if total > maxBatchBytes {
		return out, invalid("Upload too large: %d bytes exceeds limit of %d", total, maxBatchBytes)
	}
	for _, e := range in.LogEvents {
		if n := len(e.message) + eventOverhead; n > maxEventBytes {
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
	if events[len(events)-1].timestamp-events[0].timestamp > maxSpan.Milliseconds() {
		return out, invalid("The batch of log events in a single PutLogEvents request cannot span more than 24 hours.")
	}
	in.found.about = in.entity.fields
	if fault := in.entity.fault(); fault != "" {
		in.found.about, out.RejectedEntityInfo = nil, &rejectedEntityInfo{fault}
	}
	return out, s.accept(ctx, &r.Caller, g, in.LogStreamName, events, now, &in.found)
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
		switch t := e.timestamp; {
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
