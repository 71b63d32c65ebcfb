package cwlogs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/meta"
	"github.com/trefoil-o11y/trefoil/internal/query"
)

type streamInput struct {
	LogGroupName  string `json:"logGroupName"`
	LogStreamName string `json:"logStreamName"`
}

func (s *Server) createLogStream(ctx context.Context, r *awsapi.Request, in streamInput) (none, error) {
	if len(in.LogGroupName) > maxName || len(in.LogStreamName) > maxName {
		return none{}, errTooLong
	}
	g, err := s.streamsGroup(ctx, r, in)
	if err != nil {
		return none{}, err
	}
	err = s.cfg.Meta.CreateLogStream(ctx, g.ID, in.LogStreamName)
	if errors.Is(err, meta.ErrExists) {
		err = errStreamTaken
	}
	return none{}, err
}

func (s *Server) streamsGroup(ctx context.Context, r *awsapi.Request, in streamInput) (meta.LogGroup, error) {
	var c check
	c.group(in.LogGroupName)
	c.stream(in.LogStreamName)
	if err := c.err(); err != nil {
		return meta.LogGroup{}, err
	}
	return s.group(ctx, r, in.LogGroupName)
}

// deleteLogStream remembers the last event of the stream together with forgetting the stream.
// The lock keeps a PutLogEvents that saw the stream from writing behind that event.
func (s *Server) deleteLogStream(ctx context.Context, r *awsapi.Request, in streamInput) (none, error) {
	g, err := s.streamsGroup(ctx, r, in)
	if err != nil {
		return none{}, err
	}
	lock := s.streamLock(g.ID)
	lock.Lock()
	defer lock.Unlock()
	res, err := s.cfg.Store.Query(ctx, &query.Query{Datasets: []event.DatasetID{g.ID}, Stages: []query.Stage{
		query.Filter{Where: query.EqStr(event.FieldStream, in.LogStreamName)},
		query.Aggregate{Aggs: []query.Agg{
			{Name: "seq", Op: query.Max, Arg: query.Field{Name: event.FieldSeq}}, {Name: "time", Op: query.Max, Arg: query.Field{Name: event.FieldTime}},
		}},
	}})
	if err != nil {
		return none{}, err
	}
	last := res.Rows[0]
	d := meta.DeletedStream{Group: g.ID, Name: in.LogStreamName}
	if !last[0].Missing() {
		d.LastSeq, d.LastTime = uint64(last[0].Int()), time.Unix(0, last[1].Int())
	}
	err = s.cfg.Meta.DeleteLogStream(ctx, d)
	if errors.Is(err, meta.ErrNotFound) {
		err = errNoStream
	}
	s.size.forget(g.Environment)
	return none{}, err
}

type describeLogStreamsInput struct {
	LogGroupName        string `json:"logGroupName"`
	LogGroupIdentifier  string `json:"logGroupIdentifier"`
	LogStreamNamePrefix string `json:"logStreamNamePrefix"`
	OrderBy             string `json:"orderBy"`
	Descending          bool   `json:"descending"`
	Limit               *int   `json:"limit"`
	NextToken           string `json:"nextToken"`
}

type logStreamRow struct {
	LogStreamName       string `json:"logStreamName"`
	CreationTime        int64  `json:"creationTime"`
	FirstEventTimestamp *int64 `json:"firstEventTimestamp,omitempty"`
	LastEventTimestamp  *int64 `json:"lastEventTimestamp,omitempty"`
	LastIngestionTime   *int64 `json:"lastIngestionTime,omitempty"`
	UploadSequenceToken string `json:"uploadSequenceToken,omitempty"`
	ARN                 string `json:"arn"`
	StoredBytes         int64  `json:"storedBytes"`
}

type describeLogStreamsOutput struct {
	LogStreams []logStreamRow `json:"logStreams"`
	NextToken  string         `json:"nextToken,omitempty"`
}

func (s *Server) describeLogStreams(ctx context.Context, r *awsapi.Request, in describeLogStreamsInput) (describeLogStreamsOutput, error) {
	out := describeLogStreamsOutput{LogStreams: []logStreamRow{}}
	var c check
	name, err := c.oneName(in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return out, err
	}
	limit := c.number("limit", in.Limit, 1, 50, 50)
	c.enum("orderBy", in.OrderBy, "LogStreamName", "LastEventTime")
	c.prefix("logStreamNamePrefix", in.LogStreamNamePrefix, streamName, streamPattern)
	if err := c.err(); err != nil {
		return out, err
	}
	byTime := in.OrderBy == "LastEventTime"
	if byTime && in.LogStreamNamePrefix != "" {
		return out, invalid("Cannot order by LastEventTime with a logStreamNamePrefix.")
	}
	kind := "streams" + in.OrderBy
	if in.Descending {
		kind += "-"
	}
	after, err := readToken(kind, in.NextToken)
	if err != nil {
		return out, err
	}
	g, err := s.group(ctx, r, name)
	if err != nil {
		return out, err
	}
	list, err := s.Streams(ctx, g.Environment, name, in.LogStreamNamePrefix)
	if err != nil {
		return out, err
	}
	place := func(i StreamInfo) string {
		if byTime {
			return fmt.Sprintf("%020d %s", max(i.LastEvent.UnixMilli(), 0), i.Name)
		}
		return i.Name
	}
	slices.SortFunc(list, func(a, b StreamInfo) int {
		if in.Descending {
			a, b = b, a
		}
		return strings.Compare(place(a), place(b))
	})
	// The token is the place of the last stream of the page before, whatever has become of it.
	if after != "" {
		list = slices.DeleteFunc(list, func(i StreamInfo) bool {
			return (place(i) <= after) != in.Descending || place(i) == after
		})
	}
	if len(list) > limit {
		list = list[:limit]
		out.NextToken = pageToken(kind, place(list[limit-1]))
	}
	for _, i := range list {
		row := logStreamRow{LogStreamName: i.Name, CreationTime: i.Created.UnixMilli(), ARN: groupARN(&r.Caller, g.Name) + ":log-stream:" + i.Name}
		if i.Events > 0 {
			first, last, ingested := i.FirstEvent.UnixMilli(), i.LastEvent.UnixMilli(), i.LastIngestion.UnixMilli()
			row.FirstEventTimestamp, row.LastEventTimestamp, row.LastIngestionTime = &first, &last, &ingested
			row.UploadSequenceToken = sequenceToken(i.LastIngestion)
		}
		out.LogStreams = append(out.LogStreams, row)
	}
	return out, nil
}
