package cwlogs

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/meta"
	"github.com/trefoil-o11y/trefoil/internal/query"
)

// pointer names one event: the dataset of its group, its position and its stream.
func pointer(dataset int64, stream string, at position) string {
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%d/%s/%s", dataset, at.digits(), stream))
}

// parsePointer reads what pointer wrote.
func parsePointer(text string) (dataset event.DatasetID, stream string, at position, ok bool) {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return 0, "", at, false
	}
	id, rest, _ := strings.Cut(string(raw), "/")
	digits, stream, ok := strings.Cut(rest, "/")
	n, err := strconv.ParseUint(id, 10, 32)
	if !ok || err != nil {
		return 0, "", at, false
	}
	at, ok = parsePosition(digits)
	return event.DatasetID(n), stream, at, ok
}

type getLogRecordInput struct {
	LogRecordPointer string `json:"logRecordPointer"`
	Unmask           bool   `json:"unmask"`
}

type getLogRecordOutput struct {
	LogRecord map[string]string `json:"logRecord"`
}

// hiddenFields are the stored fields of a log event that are this server's own.
var hiddenFields = []string{fieldSignal, fieldAnnotation}

func (s *Server) getLogRecord(ctx context.Context, r *awsapi.Request, in getLogRecordInput) (getLogRecordOutput, error) {
	out := getLogRecordOutput{LogRecord: map[string]string{}}
	var c check
	c.text("logRecordPointer", in.LogRecordPointer, 0, nil, "")
	if err := c.err(); err != nil {
		return out, err
	}
	dataset, stream, at, ok := parsePointer(in.LogRecordPointer)
	if !ok {
		return out, invalid("The specified logRecordPointer is invalid.")
	}
	gone := awsapi.Errorf("ResourceNotFoundException", "The specified log record does not exist.")
	groups, err := s.cfg.Meta.LogGroups(ctx, r.Caller.Environment)
	if err != nil {
		return out, err
	}
	i := slices.IndexFunc(groups, func(g meta.LogGroup) bool { return g.ID == dataset })
	if i < 0 {
		return out, gone
	}
	from := time.Unix(0, at.time)
	alive, err := s.alive(ctx, r.Caller.Environment, []event.DatasetID{dataset}, from)
	if err != nil {
		return out, err
	}
	where := query.Compare{Op: query.Eq, L: query.Field{Name: event.FieldSeq}, R: query.Num(int64(at.seq))}
	q := &query.Query{Datasets: []event.DatasetID{dataset}, From: from, To: from.Add(1), Stages: []query.Stage{query.Filter{Where: query.All(where, alive)}, query.Limit{N: 1}}}
	res, err := s.cfg.Store.Query(ctx, q)
	if err != nil {
		return out, fmt.Errorf("read a record of %q: %w", groups[i].Name, err)
	}
	if len(res.Rows) == 0 {
		return out, gone
	}
	var hide *masker
	if !in.Unmask {
		if hide, err = s.maskerOf(ctx, groups[i]); err != nil {
			return out, err
		}
	}
	for k, v := range res.Rows[0] {
		name := res.Columns[k]
		if v.Missing() || name[0] == '$' || slices.Contains(hiddenFields, name) {
			continue
		}
		out.LogRecord[name] = hide.mask(v.Text())
	}
	ingested := res.Rows[0][res.Column(event.FieldIngested)].Int()
	out.LogRecord["@timestamp"] = strconv.FormatInt(query.FloorTo(at.time, 1e6)/1e6, 10)
	out.LogRecord["@ingestionTime"] = strconv.FormatInt(query.FloorTo(ingested, 1e6)/1e6, 10)
	out.LogRecord["@logStream"] = stream
	out.LogRecord["@log"] = r.Caller.Account + ":" + groups[i].Name
	out.LogRecord["@ptr"] = in.LogRecordPointer
	return out, nil
}

type getLogGroupFieldsInput struct {
	LogGroupName       string `json:"logGroupName"`
	LogGroupIdentifier string `json:"logGroupIdentifier"`
	Time               *int64 `json:"time"`
}

type logGroupField struct {
	Name    string `json:"name"`
	Percent int    `json:"percent"`
}

type getLogGroupFieldsOutput struct {
	LogGroupFields []logGroupField `json:"logGroupFields"`
}

const (
	// fieldsBefore is how far back the fields of a group are looked for, fieldsAround how far to
	// both sides of a time that is asked for.
	fieldsBefore = 15 * time.Minute
	fieldsAround = 8 * time.Minute
	// maxGroupFields bounds the fields that are counted.
	maxGroupFields = 1000
)

func (s *Server) getLogGroupFields(ctx context.Context, r *awsapi.Request, in getLogGroupFieldsInput) (getLogGroupFieldsOutput, error) {
	out := getLogGroupFieldsOutput{LogGroupFields: []logGroupField{}}
	var c check
	name, err := c.oneName(in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return out, err
	}
	c.time("time", in.Time)
	if err := c.err(); err != nil {
		return out, err
	}
	g, err := s.group(ctx, r, name)
	if err != nil {
		return out, err
	}
	to := time.Now().Add(maxAhead)
	from := time.Now().Add(-fieldsBefore)
	if in.Time != nil {
		at := time.UnixMilli(seconds(*in.Time))
		from, to = at.Add(-fieldsAround), at.Add(fieldsAround)
	}
	columns, err := s.cfg.Store.Columns(ctx, g.ID)
	if err != nil {
		return out, err
	}
	q, ok, err := s.conditions(ctx, &reading{group: g, from: from, to: to})
	if err != nil || !ok {
		return out, err
	}
	a := query.Aggregate{Aggs: []query.Agg{{Name: "$all", Op: query.Count}}} // no field has such a name
	for _, col := range columns {
		known := slices.ContainsFunc(a.Aggs, func(x query.Agg) bool { return x.Name == col.Name })
		if !known && !slices.Contains(hiddenFields, col.Name) && len(a.Aggs) <= maxGroupFields {
			a.Aggs = append(a.Aggs, query.Agg{Name: col.Name, Op: query.Count, Arg: query.Field{Name: col.Name}})
		}
	}
	q.Stages = append(q.Stages, a)
	res, err := s.cfg.Store.Query(ctx, q)
	if err != nil {
		return out, fmt.Errorf("count the fields of %q: %w", g.Name, err)
	}
	total, _ := res.Rows[0][0].Number()
	if total == 0 {
		return out, nil
	}
	for _, n := range []string{"@timestamp", "@ingestionTime", "@logStream", "@log"} {
		out.LogGroupFields = append(out.LogGroupFields, logGroupField{n, 100})
	}
	for i, n := range res.Columns {
		if f, _ := res.Rows[0][i].Number(); i > 0 && f > 0 {
			out.LogGroupFields = append(out.LogGroupFields, logGroupField{n, int(math.Round(100 * f / total))})
		}
	}
	slices.SortFunc(out.LogGroupFields, func(a, b logGroupField) int {
		return cmp.Or(cmp.Compare(b.Percent, a.Percent), cmp.Compare(a.Name, b.Name))
	})
	return out, nil
}

type listLogGroupsForQueryInput struct {
	QueryID    string `json:"queryId"`
	MaxResults *int   `json:"maxResults"`
	NextToken  string `json:"nextToken"`
}

type listLogGroupsForQueryOutput struct {
	LogGroupIdentifiers []string `json:"logGroupIdentifiers"`
	NextToken           string   `json:"nextToken,omitempty"`
}

func (s *Server) listLogGroupsForQuery(ctx context.Context, r *awsapi.Request, in listLogGroupsForQueryInput) (listLogGroupsForQueryOutput, error) {
	out := listLogGroupsForQueryOutput{LogGroupIdentifiers: []string{}}
	run, err := s.run(ctx, r, in.QueryID)
	if err != nil {
		return out, err
	}
	var c check
	limit := c.number("maxResults", in.MaxResults, 50, 500, 50)
	if err := c.err(); err != nil {
		return out, err
	}
	start := 0
	if token, err := readToken("groups"+run.id, in.NextToken); err != nil {
		return out, err
	} else if token != "" {
		if start, err = strconv.Atoi(token); err != nil || start < 0 || start > len(run.groups) {
			return out, errNextToken
		}
	}
	end := min(start+limit, len(run.groups))
	out.LogGroupIdentifiers = append(out.LogGroupIdentifiers, run.groups[start:end]...)
	if end < len(run.groups) {
		out.NextToken = pageToken("groups"+run.id, strconv.Itoa(end))
	}
	return out, nil
}
