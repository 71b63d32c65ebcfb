package cwlogs

import (
	"context"
	"strings"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/cwlogs/filterpattern"
	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/syntax"
)

type getLogEventsInput struct {
	LogGroupName       string `json:"logGroupName"`
	LogGroupIdentifier string `json:"logGroupIdentifier"`
	LogStreamName      string `json:"logStreamName"`
	StartTime          *int64 `json:"startTime"`
	EndTime            *int64 `json:"endTime"`
	NextToken          string `json:"nextToken"`
	Limit              *int   `json:"limit"`
	StartFromHead      bool   `json:"startFromHead"`
	Unmask             bool   `json:"unmask"`
}

type outputLogEvent struct {
	Timestamp     int64  `json:"timestamp"`
	Message       string `json:"message"`
	IngestionTime int64  `json:"ingestionTime"`
}

type getLogEventsOutput struct {
	Events            []outputLogEvent `json:"events"`
	NextForwardToken  string           `json:"nextForwardToken"`
	NextBackwardToken string           `json:"nextBackwardToken"`
}

// getLogEvents reads a stream. Its tokens are positions: f/ goes on behind one, b/ ahead of
// one; when there is nothing the token that was given is given back.
func (s *Server) getLogEvents(ctx context.Context, r *awsapi.Request, in getLogEventsInput) (getLogEventsOutput, error) {
	out := getLogEventsOutput{Events: []outputLogEvent{}}
	var c check
	name, err := c.oneName(in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return out, err
	}
	c.stream(in.LogStreamName)
	c.time("startTime", in.StartTime)
	c.time("endTime", in.EndTime)
	limit := c.number("limit", in.Limit, 1, maxPageEvents, maxPageEvents)
	if err := c.err(); err != nil {
		return out, err
	}
	rd := reading{streams: []string{in.LogStreamName}, from: atMillis(in.StartTime), to: atMillis(in.EndTime), desc: !in.StartFromHead, limit: limit, maxBytes: maxPageBytes, unmask: in.Unmask}
	var at position
	forward := true
	if in.NextToken != "" {
		digits, ok := strings.CutPrefix(strings.TrimSuffix(in.NextToken, "/s"), "f/")
		if !ok {
			forward = false
			digits, ok = strings.CutPrefix(strings.TrimSuffix(in.NextToken, "/s"), "b/")
		}
		p, valid := parsePosition(digits)
		if !ok || !valid {
			return out, errNextToken
		}
		at, rd.desc = p, !forward
		if forward {
			rd.after = &at
		} else {
			rd.before = &at
		}
	}
	if rd.group, err = s.group(ctx, r, name); err != nil {
		return out, err
	}
	if ok, err := s.cfg.Meta.LogStreamExists(ctx, rd.group.ID, in.LogStreamName); err != nil {
		return out, err
	} else if !ok {
		return out, errNoStream
	}
	p, err := s.read(ctx, rd)
	if err != nil {
		return out, err
	}
	first, last := at, at
	switch n := len(p.events); {
	case n > 0:
		first, last = p.events[0].at, p.events[n-1].at
		if rd.desc {
			first, last = last, first
		}
	case in.NextToken != "" && forward:
		first = first.next() // so that the event at the position is in the page ahead of it
	case in.NextToken != "":
		last = last.previous()
	}
	out.NextForwardToken, out.NextBackwardToken = "f/"+last.digits(), "b/"+first.digits()
	if len(p.events) == 0 && in.NextToken != "" {
		if forward {
			out.NextForwardToken = in.NextToken
		} else {
			out.NextBackwardToken = in.NextToken
		}
	}
	for i := range p.events {
		e := &p.events[i]
		if rd.desc {
			e = &p.events[len(p.events)-1-i]
		}
		out.Events = append(out.Events, outputLogEvent{e.millis(), e.message, e.ingested / 1e6})
	}
	return out, nil
}

type filterLogEventsInput struct {
	LogGroupName        string   `json:"logGroupName"`
	LogGroupIdentifier  string   `json:"logGroupIdentifier"`
	LogStreamNames      []string `json:"logStreamNames"`
	LogStreamNamePrefix string   `json:"logStreamNamePrefix"`
	StartTime           *int64   `json:"startTime"`
	EndTime             *int64   `json:"endTime"`
	FilterPattern       string   `json:"filterPattern"`
	NextToken           string   `json:"nextToken"`
	Limit               *int     `json:"limit"`
	StartFromHead       *bool    `json:"startFromHead"`
	Unmask              bool     `json:"unmask"`
}

type filteredLogEvent struct {
	LogStreamName string `json:"logStreamName"`
	Timestamp     int64  `json:"timestamp"`
	Message       string `json:"message"`
	IngestionTime int64  `json:"ingestionTime"`
	EventID       string `json:"eventId"`
}

type searchedStream struct {
	LogStreamName      string `json:"logStreamName"`
	SearchedCompletely bool   `json:"searchedCompletely"`
}

type filterLogEventsOutput struct {
	Events []filteredLogEvent `json:"events"`
	// SearchedLogStreams is always empty, as on AWS.
	SearchedLogStreams []searchedStream `json:"searchedLogStreams"`
	NextToken          string           `json:"nextToken,omitempty"`
}

// filterLogEvents searches a group. A token keeps the direction of the call that gave it.
func (s *Server) filterLogEvents(ctx context.Context, r *awsapi.Request, in filterLogEventsInput) (filterLogEventsOutput, error) {
	out := filterLogEventsOutput{Events: []filteredLogEvent{}, SearchedLogStreams: []searchedStream{}}
	var c check
	name, err := c.oneName(in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return out, err
	}
	c.count("logStreamNames", len(in.LogStreamNames), 0, 100)
	for _, n := range in.LogStreamNames {
		c.text("logStreamNames", n, maxName, streamName, streamPattern)
	}
	c.prefix("logStreamNamePrefix", in.LogStreamNamePrefix, streamName, streamPattern)
	c.time("startTime", in.StartTime)
	c.time("endTime", in.EndTime)
	limit := c.number("limit", in.Limit, 1, maxPageEvents, maxPageEvents)
	if err := c.err(); err != nil {
		return out, err
	}
	if len(in.LogStreamNames) > 0 && in.LogStreamNamePrefix != "" {
		return out, invalid("LogStream names and LogStream name prefix are mutually exclusive parameters.")
	}
	where, err := compilePattern(in.FilterPattern)
	if err != nil {
		return out, badPattern(err)
	}
	rd := reading{
		streams: in.LogStreamNames, prefix: in.LogStreamNamePrefix, where: where, from: atMillis(in.StartTime), limit: limit, maxBytes: maxPageBytes,
		desc: in.StartFromHead != nil && !*in.StartFromHead, unmask: in.Unmask,
	}
	if in.EndTime != nil {
		rd.to = atMillis(in.EndTime).Add(time.Millisecond)
	}
	token, err := readToken("filter", in.NextToken)
	if err != nil {
		return out, err
	}
	if token != "" {
		p, ok := parsePosition(token[1:])
		switch {
		case !ok:
			return out, errNextToken
		case token[0] == 'f':
			rd.after, rd.desc = &p, false
		default:
			rd.before, rd.desc = &p, true
		}
	}
	if rd.group, err = s.group(ctx, r, name); err != nil {
		return out, err
	}
	for _, n := range in.LogStreamNames {
		if ok, err := s.cfg.Meta.LogStreamExists(ctx, rd.group.ID, n); err != nil {
			return out, err
		} else if !ok {
			return out, errNoStream
		}
	}
	p, err := s.read(ctx, rd)
	if err != nil {
		return out, err
	}
	for i := range p.events {
		e := &p.events[i]
		out.Events = append(out.Events, filteredLogEvent{e.stream, e.millis(), e.message, e.ingested / 1e6, e.at.digits()})
	}
	if p.more {
		direction := "f"
		if rd.desc {
			direction = "b"
		}
		out.NextToken = pageToken("filter", direction+p.events[len(p.events)-1].at.digits())
	}
	return out, nil
}

// badPattern turns a fault of a filter pattern into the answer of AWS with the place.
func badPattern(err error) error {
	if e := syntax.AsError(err); e != nil {
		return invalid("Invalid filter pattern: %v", e)
	}
	return err
}

type testMetricFilterInput struct {
	FilterPattern    *string  `json:"filterPattern"`
	LogEventMessages []string `json:"logEventMessages"`
}

type metricFilterMatch struct {
	EventNumber     int64             `json:"eventNumber"`
	EventMessage    string            `json:"eventMessage"`
	ExtractedValues map[string]string `json:"extractedValues"`
}

type testMetricFilterOutput struct {
	Matches []metricFilterMatch `json:"matches"`
}

func (s *Server) testMetricFilter(_ context.Context, _ *awsapi.Request, in testMetricFilterInput) (testMetricFilterOutput, error) {
	out := testMetricFilterOutput{Matches: []metricFilterMatch{}}
	var c check
	if in.FilterPattern == nil {
		c.fault("null", "filterPattern", "Member must not be null")
	}
	c.count("logEventMessages", len(in.LogEventMessages), 1, 50)
	for _, m := range in.LogEventMessages {
		if m == "" {
			c.fault("''", "logEventMessages", "Member must have length greater than or equal to 1")
		}
	}
	if err := c.err(); err != nil {
		return out, err
	}
	node, err := filterpattern.Parse(*in.FilterPattern)
	if err != nil {
		return out, badPattern(err)
	}
	where, err := filterpattern.Lower(node, query.Field{Name: fieldMessage})
	if err != nil {
		return out, err
	}
	for i, m := range in.LogEventMessages {
		if query.Holds(where, messageRow(m)) {
			out.Matches = append(out.Matches, metricFilterMatch{int64(i + 1), m, filterpattern.Extract(node, m)})
		}
	}
	return out, nil
}

// messageRow is an event that has a message only.
type messageRow string

// Get implements query.Row.
func (m messageRow) Get(name string) event.Value {
	if name == fieldMessage {
		return event.String(string(m))
	}
	return event.Value{}
}

// Each implements query.Row.
func (m messageRow) Each(yield func(string, event.Value) bool) {
	yield(fieldMessage, event.String(string(m)))
}
