package cwlogs

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/cwlogs/insights"
	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/meta"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/syntax"
)

const (
	languageCWLI   = "CWLI"
	maxQueryGroups = 50
	maxQueryText   = 10_000
	// secondsLimit is the largest time that is read as seconds; a larger one is milliseconds,
	// which many callers send by mistake.
	secondsLimit = 100_000_000_000
)

type startQueryInput struct {
	QueryLanguage       string   `json:"queryLanguage"`
	LogGroupName        string   `json:"logGroupName"`
	LogGroupNames       []string `json:"logGroupNames"`
	LogGroupIdentifiers []string `json:"logGroupIdentifiers"`
	StartTime           *int64   `json:"startTime"`
	EndTime             *int64   `json:"endTime"`
	QueryString         *string  `json:"queryString"`
	Limit               *int     `json:"limit"`
}

type startQueryOutput struct {
	QueryID string `json:"queryId"`
}

func (s *Server) startQuery(ctx context.Context, r *awsapi.Request, in startQueryInput) (startQueryOutput, error) {
	var out startQueryOutput
	names, err := in.check()
	if err != nil {
		return out, err
	}
	groups, err := s.queryGroups(ctx, r, names)
	if err != nil {
		return out, err
	}
	from, to := seconds(*in.StartTime), seconds(*in.EndTime)+999
	env := insights.Env{From: time.UnixMilli(from), To: time.UnixMilli(to), Now: time.Now()}
	if in.Limit != nil {
		env.Limit = *in.Limit
	}
	run := &run{id: awsapi.NewRequestID(), environment: r.Caller.Environment, groups: names, created: env.Now}
	var ids []event.DatasetID
	for _, g := range groups {
		env.Groups = append(env.Groups, insights.Group{Dataset: g.ID, Label: r.Caller.Account + ":" + g.Name})
		ids = append(ids, g.ID)
	}
	tree, err := insights.Parse(*in.QueryString)
	if err != nil {
		return out, malformed(err)
	}
	if run.plan, err = insights.Lower(tree, env); err != nil {
		return out, malformed(err)
	}
	run.query = &query.Query{Datasets: ids, From: env.From, To: env.To.Add(time.Millisecond), Stages: run.plan.Stages, Counted: true}
	alive, err := s.alive(ctx, r.Caller.Environment, ids, env.From)
	if err != nil {
		return out, err
	}
	if alive != nil {
		run.query.Stages = append([]query.Stage{query.Filter{Where: alive}}, run.query.Stages...)
	}
	sources := make([]string, len(names))
	for i, n := range names {
		sources[i] = strconv.Quote(n)
	}
	run.text = fmt.Sprintf("SOURCE %s START=%d END=%d | %s", strings.Join(sources, ", "), from, to, *in.QueryString)
	if !s.start(run) {
		return out, awsapi.Errorf("LimitExceededException", "Resource limit exceeded.")
	}
	out.QueryID = run.id
	return out, nil
}

// seconds returns a time of StartQuery in milliseconds.
func seconds(v int64) int64 {
	if v <= secondsLimit {
		v *= 1000
	}
	return min(v, maxMillis)
}

// check returns the names of the groups that are asked.
func (in *startQueryInput) check() ([]string, error) {
	var c check
	if in.QueryString == nil {
		c.fault("null", "queryString", "Member must not be null")
	} else if utf8.RuneCountInString(*in.QueryString) > maxQueryText {
		c.fault(quote(*in.QueryString), "queryString", "Member must have length less than or equal to %d", maxQueryText)
	}
	if in.StartTime == nil {
		c.fault("null", "startTime", "Member must not be null")
	}
	if in.EndTime == nil {
		c.fault("null", "endTime", "Member must not be null")
	}
	c.time("startTime", in.StartTime)
	c.time("endTime", in.EndTime)
	c.enum("queryLanguage", in.QueryLanguage, languageCWLI, "SQL", "PPL")
	c.number("limit", in.Limit, 1, insights.MaxLimit, 0)
	given := 0
	var names []string
	if in.LogGroupName != "" {
		c.group(in.LogGroupName)
		names = append(names, in.LogGroupName)
		given++
	}
	if len(in.LogGroupNames) > 0 {
		c.count("logGroupNames", len(in.LogGroupNames), 1, maxQueryGroups)
		for _, n := range in.LogGroupNames {
			c.text("logGroupNames", n, maxName, groupName, groupPattern)
		}
		names = append(names, in.LogGroupNames...)
		given++
	}
	if len(in.LogGroupIdentifiers) > 0 {
		c.count("logGroupIdentifiers", len(in.LogGroupIdentifiers), 1, maxQueryGroups)
		for _, id := range in.LogGroupIdentifiers {
			name, ok := identified(id)
			if !ok {
				c.fault(quote(id), "logGroupIdentifiers", `Member must satisfy regular expression pattern: [\w#+=/:,.@-]*`)
			}
			names = append(names, name)
		}
		given++
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	switch {
	case in.QueryLanguage == "SQL" || in.QueryLanguage == "PPL":
		return nil, invalid("Query language %s is not supported by this server; use %s.", in.QueryLanguage, languageCWLI)
	case given != 1:
		return nil, invalid("Exactly one of logGroupName, logGroupNames and logGroupIdentifiers must be given.")
	case seconds(*in.EndTime) < seconds(*in.StartTime):
		return nil, invalid("End time should not be less than start time")
	}
	var unique []string
	for _, n := range names {
		if !slices.Contains(unique, n) {
			unique = append(unique, n)
		}
	}
	return unique, nil
}

func (s *Server) queryGroups(ctx context.Context, r *awsapi.Request, names []string) ([]meta.LogGroup, error) {
	var groups []meta.LogGroup
	for _, n := range names {
		g, err := s.cfg.Meta.LogGroup(ctx, r.Caller.Environment, n)
		if errors.Is(err, meta.ErrNotFound) {
			return nil, awsapi.Errorf("ResourceNotFoundException", "Log group '%s' does not exist for account ID '%s' "+
				"(Service: AWSLogs; Status Code: 400; Error Code: ResourceNotFoundException; Request ID: %s; Proxy: null)", n, r.Caller.Account, r.ID)
		}
		if err != nil {
			return nil, err
		}
		groups = append(groups, g)
	}
	return groups, nil
}

type compileErrorLocation struct {
	StartCharOffset int `json:"startCharOffset"`
	EndCharOffset   int `json:"endCharOffset"`
}

type compileError struct {
	Location compileErrorLocation `json:"location"`
	Message  string               `json:"message"`
}

// malformed turns a fault of a query into MalformedQueryException; its offsets count
// characters from 0.
func malformed(err error) error {
	e := syntax.AsError(err)
	if e == nil {
		return err
	}
	chars := func(offset int) int { return utf8.RuneCountInString(e.Src[:min(offset, len(e.Src))]) }
	detail, err := json.Marshal(compileError{compileErrorLocation{chars(e.Span.Start), chars(e.Span.End)}, e.Msg})
	if err != nil {
		return err
	}
	return &awsapi.Error{Code: "MalformedQueryException", Message: e.Error(), Extra: map[string]json.RawMessage{"queryCompileError": detail}}
}

type getQueryResultsInput struct {
	QueryID   string `json:"queryId"`
	MaxItems  *int   `json:"maxItems"`
	NextToken string `json:"nextToken"`
}

type resultField struct {
	Field string `json:"field"`
	Value string `json:"value"`
}

// count is written with a fraction, as the doubles of AWS's statistics are.
type count float64

// MarshalJSON implements json.Marshaler.
func (c count) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(c), 'f', 1, 64), nil
}

type queryStatistics struct {
	RecordsMatched          count `json:"recordsMatched"`
	RecordsScanned          count `json:"recordsScanned"`
	BytesScanned            count `json:"bytesScanned"`
	EstimatedRecordsSkipped count `json:"estimatedRecordsSkipped"`
	EstimatedBytesSkipped   count `json:"estimatedBytesSkipped"`
	LogGroupsScanned        count `json:"logGroupsScanned"`
}

type getQueryResultsOutput struct {
	QueryLanguage string          `json:"queryLanguage"`
	Status        runStatus       `json:"status"`
	Results       [][]resultField `json:"results"`
	Statistics    queryStatistics `json:"statistics"`
	NextToken     string          `json:"nextToken,omitempty"`
}

var queryID = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

func (s *Server) run(r *awsapi.Request, id string) (*run, snapshot, error) {
	var c check
	c.text("queryId", id, 256, nil, "")
	if err := c.err(); err != nil {
		return nil, snapshot{}, err
	}
	if !queryID.MatchString(id) {
		return nil, snapshot{}, invalid("The specified queryId is invalid.")
	}
	run, snap, ok := s.runs.get(r.Caller.Environment, id)
	if !ok {
		return nil, snapshot{}, awsapi.Errorf("ResourceNotFoundException", "The specified query does not exist.")
	}
	return run, snap, nil
}

func (s *Server) getQueryResults(_ context.Context, r *awsapi.Request, in getQueryResultsInput) (getQueryResultsOutput, error) {
	out := getQueryResultsOutput{QueryLanguage: languageCWLI, Results: [][]resultField{}}
	run, snap, err := s.run(r, in.QueryID)
	if err != nil {
		return out, err
	}
	var c check
	limit := c.number("maxItems", in.MaxItems, 1, maxPageEvents, insights.MaxLimit)
	if err := c.err(); err != nil {
		return out, err
	}
	start := 0
	if token, err := readToken("results"+run.id, in.NextToken); err != nil {
		return out, err
	} else if token != "" {
		if start, err = strconv.Atoi(token); err != nil || start < 0 {
			return out, errNextToken
		}
	}
	out.Status = snap.status
	if snap.result == nil {
		return out, nil
	}
	st := snap.result.Stats
	out.Statistics = queryStatistics{
		RecordsMatched: count(st.RowsMatched), RecordsScanned: count(st.RowsScanned), EstimatedRecordsSkipped: count(st.RowsSkipped), BytesScanned: count(st.BytesScanned), LogGroupsScanned: count(len(run.groups)),
	}
	rows := snap.result.Rows[min(start, len(snap.result.Rows)):]
	if len(rows) > limit {
		rows = rows[:limit]
		out.NextToken = pageToken("results"+run.id, strconv.Itoa(start+limit))
	}
	for _, row := range rows {
		out.Results = append(out.Results, render(run.plan, row))
	}
	return out, nil
}

// render writes a row: all values are text, missing ones are left out, events end with @ptr.
func render(plan *insights.Plan, row []event.Value) []resultField {
	fields := []resultField{}
	for i, c := range plan.Columns {
		v := row[i]
		if v.Missing() {
			continue
		}
		text := v.Text()
		if ms, ok := v.Number(); ok && c.Time {
			text = time.UnixMilli(int64(ms)).UTC().Format("2006-01-02 15:04:05.000")
		}
		fields = append(fields, resultField{c.Name, text})
	}
	if plan.Events {
		at := row[len(plan.Columns):]
		fields = append(fields, resultField{"@ptr", pointer(at[0].Int(), at[1].Str(), position{at[2].Int(), uint64(at[3].Int())})})
	}
	return fields
}

// pointer names one event: the dataset of its group, its position and its stream.
func pointer(dataset int64, stream string, at position) string {
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%d/%s/%s", dataset, at.digits(), stream))
}

type queryIDInput struct {
	QueryID string `json:"queryId"`
}

type stopQueryOutput struct {
	Success bool `json:"success"`
}

func (s *Server) stopQuery(_ context.Context, r *awsapi.Request, in queryIDInput) (stopQueryOutput, error) {
	run, _, err := s.run(r, in.QueryID)
	if err != nil {
		return stopQueryOutput{}, err
	}
	if !s.runs.stop(run) {
		return stopQueryOutput{}, invalid("Query with id %s is already ended.", run.id)
	}
	return stopQueryOutput{true}, nil
}

type describeQueriesInput struct {
	LogGroupName  string `json:"logGroupName"`
	Status        string `json:"status"`
	MaxResults    *int   `json:"maxResults"`
	NextToken     string `json:"nextToken"`
	QueryLanguage string `json:"queryLanguage"`
}

type queryRow struct {
	QueryLanguage string    `json:"queryLanguage"`
	QueryID       string    `json:"queryId"`
	QueryString   string    `json:"queryString"`
	Status        runStatus `json:"status"`
	CreateTime    int64     `json:"createTime"`
	LogGroupName  string    `json:"logGroupName,omitempty"`
	QueryDuration *int64    `json:"queryDuration,omitempty"`
	BytesScanned  *count    `json:"bytesScanned,omitempty"`
}

type describeQueriesOutput struct {
	Queries   []queryRow `json:"queries"`
	NextToken string     `json:"nextToken,omitempty"`
}

func (s *Server) describeQueries(_ context.Context, r *awsapi.Request, in describeQueriesInput) (describeQueriesOutput, error) {
	out := describeQueriesOutput{Queries: []queryRow{}}
	var c check
	limit := c.number("maxResults", in.MaxResults, 1, 1000, 1000)
	c.prefix("logGroupName", in.LogGroupName, groupName, groupPattern)
	c.enum("status", in.Status, "Scheduled", "Running", "Complete", "Failed", "Cancelled", "Timeout", "Unknown")
	c.enum("queryLanguage", in.QueryLanguage, languageCWLI, "SQL", "PPL")
	if err := c.err(); err != nil {
		return out, err
	}
	after, err := readToken("queries", in.NextToken)
	if err != nil {
		return out, err
	}
	if in.QueryLanguage != "" && in.QueryLanguage != languageCWLI {
		return out, nil
	}
	skip := after != ""
	for _, run := range s.runs.list(r.Caller.Environment) {
		if skip {
			skip = run.id != after
			continue
		}
		_, snap, ok := s.runs.get(r.Caller.Environment, run.id)
		if !ok || in.LogGroupName != "" && !slices.Contains(run.groups, in.LogGroupName) || in.Status != "" && string(snap.status) != in.Status {
			continue
		}
		if len(out.Queries) == limit {
			out.NextToken = pageToken("queries", out.Queries[limit-1].QueryID)
			break
		}
		row := queryRow{QueryLanguage: languageCWLI, QueryID: run.id, QueryString: run.text, Status: snap.status, CreateTime: run.created.UnixMilli()}
		if len(run.groups) == 1 {
			row.LogGroupName = run.groups[0]
		}
		if !snap.ended.IsZero() {
			d := snap.ended.Sub(run.created).Milliseconds()
			row.QueryDuration = &d
		}
		if snap.result != nil {
			n := count(snap.result.Stats.BytesScanned)
			row.BytesScanned = &n
		}
		out.Queries = append(out.Queries, row)
	}
	return out, nil
}
