package cwlogs

import (
	"context"
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
	a := asking{environment: r.Caller.Environment, account: r.Caller.Account, requestID: r.ID, text: *in.QueryString, names: names,
		from: time.UnixMilli(seconds(*in.StartTime)), to: time.UnixMilli(seconds(*in.EndTime) + 999)}
	if in.Limit != nil {
		a.limit = *in.Limit
	}
	run, err := s.compile(ctx, a)
	if err != nil {
		return out, err
	}
	if err := s.start(ctx, run); errors.Is(err, errTooMany) {
		return out, awsapi.Errorf("LimitExceededException", "Resource limit exceeded.")
	} else if err != nil {
		return out, err
	}
	out.QueryID = run.id
	return out, nil
}

// asking is a query that somebody asks.
type asking struct {
	environment, account string
	requestID            string // for texts of errors
	text                 string
	names                []string
	from, to             time.Time
	limit                int
}

// compile makes a run of a query that is right, ready to start.
func (s *Server) compile(ctx context.Context, a asking) (*run, error) {
	tree, err := insights.Parse(a.text)
	if err != nil {
		return nil, malformed(err)
	}
	switch {
	case tree.Source == nil && len(a.names) == 0:
		return nil, errOneGroup
	case tree.Source != nil && len(a.names) > 0:
		return nil, invalid("Log groups are named by SOURCE in the query and by the request; exactly one of them must name them.")
	}
	run := &run{id: awsapi.NewRequestID(), environment: a.environment, account: a.account, created: time.Now(), tree: tree}
	run.env = insights.Env{From: a.from, To: a.to, Now: run.created, Limit: a.limit}
	// What is looked up now stays what it is until the query has run.
	lookups := context.WithoutCancel(ctx)
	run.env.Source = func(src *insights.Source) ([]insights.Group, error) { return s.sourceGroups(lookups, a, src) }
	run.env.Table = func(name string) (*query.Table, error) { return s.lookupTable(lookups, a.environment, name) }
	if run.env.Groups, err = s.queryGroups(ctx, a, a.names); err != nil {
		return nil, err
	}
	plan, err := insights.Lower(tree, run.env)
	if err != nil {
		return nil, malformed(err)
	}
	for _, g := range plan.Groups {
		run.groups = append(run.groups, strings.TrimPrefix(g.Label, a.account+":"))
	}
	run.text = a.text
	if tree.Source == nil {
		sources := make([]string, len(a.names))
		for i, n := range a.names {
			sources[i] = strconv.Quote(n)
		}
		run.text = fmt.Sprintf("SOURCE %s START=%d END=%d | %s", strings.Join(sources, ", "), a.from.UnixMilli(), a.to.UnixMilli(), a.text)
	}
	return run, nil
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
	case given > 1:
		return nil, errOneGroup
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

// errOneGroup says that a query has no groups, or too many ways to name them.
var errOneGroup = invalid("Exactly one of logGroupName, logGroupNames and logGroupIdentifiers must be given, or SOURCE in the query.")

func (s *Server) queryGroups(ctx context.Context, a asking, names []string) ([]insights.Group, error) {
	sources, err := s.dataSources(ctx, a.environment)
	if err != nil {
		return nil, err
	}
	var groups []insights.Group
	for _, n := range names {
		g, err := s.cfg.Meta.LogGroup(ctx, a.environment, n)
		if errors.Is(err, meta.ErrNotFound) {
			return nil, awsapi.Errorf("ResourceNotFoundException", "Log group '%s' does not exist for account ID '%s' "+
				"(Service: AWSLogs; Status Code: 400; Error Code: ResourceNotFoundException; Request ID: %s; Proxy: null)", n, a.account, a.requestID)
		}
		if err != nil {
			return nil, err
		}
		groups = append(groups, askedGroup(a, g, sources))
	}
	return groups, nil
}

// askedGroup is a group as a query knows it.
func askedGroup(a asking, g meta.LogGroup, sources map[string]dataSource) insights.Group {
	from := sources[g.Name]
	return insights.Group{Dataset: g.ID, Label: a.account + ":" + g.Name, SourceName: from.name, SourceType: from.kind}
}

// sourceGroups finds the groups that SOURCE names or chooses.
func (s *Server) sourceGroups(ctx context.Context, a asking, src *insights.Source) ([]insights.Group, error) {
	if src.Selectors == nil {
		var names []string
		for _, n := range src.Names {
			name, ok := identified(n)
			if !ok {
				return nil, invalid("SOURCE names %q, which is no name of a log group.", n)
			}
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		if len(names) > maxQueryGroups {
			return nil, invalid("SOURCE names %d log groups; at most %d can be named.", len(names), maxQueryGroups)
		}
		return s.queryGroups(ctx, a, names)
	}
	list, err := s.cfg.Meta.LogGroups(ctx, a.environment)
	if err != nil {
		return nil, err
	}
	sources, err := s.dataSources(ctx, a.environment)
	if err != nil {
		return nil, err
	}
	// Without a class in SOURCE the groups are those of the standard one.
	class := insights.SelectorArg{Name: "class", Values: classes[:1]}
	if slices.ContainsFunc(src.Selectors, func(sel insights.Selector) bool {
		return slices.ContainsFunc(sel.Args, func(arg insights.SelectorArg) bool { return arg.Name == "class" })
	}) {
		class.Values = classes
	}
	groups := []insights.Group{}
	for _, g := range list {
		ok, err := s.selected(ctx, a, g, sources, class)
		for _, sel := range src.Selectors {
			for _, arg := range sel.Args {
				if ok && err == nil {
					ok, err = s.selected(ctx, a, g, sources, arg)
				}
			}
		}
		if err != nil {
			return nil, err
		}
		if ok {
			groups = append(groups, askedGroup(a, g, sources))
		}
	}
	return groups, nil
}

// selected reports whether a group meets one condition of a selector.
func (s *Server) selected(ctx context.Context, a asking, g meta.LogGroup, sources map[string]dataSource, arg insights.SelectorArg) (bool, error) {
	var tags map[string]string
	if arg.Name == "tags" {
		var err error
		if tags, err = s.cfg.Meta.Tags(ctx, meta.LogGroupResource(g.Environment, g.Name)); err != nil {
			return false, err
		}
	}
	return slices.ContainsFunc(arg.Values, func(v string) bool {
		switch arg.Name {
		case "": // of dataSource
			return sources[g.Name].is(v)
		case "nameprefix":
			return strings.HasPrefix(g.Name, v)
		case "class":
			return strings.EqualFold(g.Class, v)
		case "loggroupidentifier":
			name, ok := identified(v)
			return ok && name == g.Name
		case "tags":
			key, value, pair := strings.Cut(v, "=")
			have, ok := tags[key]
			return ok && (!pair || have == value)
		default:
			return v == a.account || v == "All"
		}
	}), nil
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
	// ErrorMessage tells why there is no result. AWS's model has no member for it here; the name is
	// that of the history of scheduled queries, and clients that do not know it pass over it.
	ErrorMessage string `json:"errorMessage,omitempty"`
}

var queryID = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// run returns the run of an id that a caller gives.
func (s *Server) run(ctx context.Context, r *awsapi.Request, id string) (*run, error) {
	var c check
	c.text("queryId", id, 256, nil, "")
	if err := c.err(); err != nil {
		return nil, err
	}
	if !queryID.MatchString(id) {
		return nil, invalid("The specified queryId is invalid.")
	}
	run, err := s.runs.get(ctx, r.Caller.Environment, id)
	if err == nil && run == nil {
		err = awsapi.Errorf("ResourceNotFoundException", "The specified query does not exist.")
	}
	return run, err
}

func (s *Server) getQueryResults(ctx context.Context, r *awsapi.Request, in getQueryResultsInput) (getQueryResultsOutput, error) {
	out := getQueryResultsOutput{QueryLanguage: languageCWLI, Results: [][]resultField{}}
	run, err := s.run(ctx, r, in.QueryID)
	if err != nil {
		return out, err
	}
	var c check
	limit := c.number("maxItems", in.MaxItems, 0, maxPageEvents, insights.MaxLimit)
	if err := c.err(); err != nil {
		return out, err
	}
	if limit == 0 {
		limit = maxPageEvents
	}
	start := 0
	if token, err := readToken("results"+run.id, in.NextToken); err != nil {
		return out, err
	} else if token != "" {
		if start, err = strconv.Atoi(token); err != nil || start < 0 {
			return out, errNextToken
		}
	}
	snap := s.runs.snapshot(run)
	out.Status, out.Statistics, out.ErrorMessage = snap.status, snap.statistics, snap.fault
	switch snap.status {
	case complete:
	case running:
		rows, statistics, err := run.partial.get(ctx, limit)
		out.Results, out.Statistics = append(out.Results, rows...), statistics
		return out, err
	default:
		return out, nil
	}
	end := min(start+limit, snap.rows)
	if out.Results, err = s.runs.result(ctx, run, start, end); err != nil {
		return out, err
	}
	if end < snap.rows {
		out.NextToken = pageToken("results"+run.id, strconv.Itoa(end))
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
		if at[0].Missing() { // a row that a command added
			return fields
		}
		fields = append(fields, resultField{"@ptr", pointer(at[0].Int(), at[1].Str(), position{at[2].Int(), uint64(at[3].Int())})})
	}
	return fields
}

type queryIDInput struct {
	QueryID string `json:"queryId"`
}

type stopQueryOutput struct {
	Success bool `json:"success"`
}

func (s *Server) stopQuery(ctx context.Context, r *awsapi.Request, in queryIDInput) (stopQueryOutput, error) {
	run, err := s.run(ctx, r, in.QueryID)
	if err != nil {
		return stopQueryOutput{}, err
	}
	if stopped, err := s.runs.stop(ctx, run); err != nil {
		return stopQueryOutput{}, err
	} else if !stopped {
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
	ErrorMessage  string    `json:"errorMessage,omitempty"` // as in getQueryResultsOutput
}

type describeQueriesOutput struct {
	Queries   []queryRow `json:"queries"`
	NextToken string     `json:"nextToken,omitempty"`
}

func (s *Server) describeQueries(ctx context.Context, r *awsapi.Request, in describeQueriesInput) (describeQueriesOutput, error) {
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
	list, err := s.runs.list(ctx, r.Caller.Environment)
	if err != nil {
		return out, err
	}
	skip := after != ""
	for _, run := range list {
		if skip {
			skip = run.id != after
			continue
		}
		snap := s.runs.snapshot(run)
		if in.LogGroupName != "" && !slices.Contains(run.groups, in.LogGroupName) || in.Status != "" && string(snap.status) != in.Status {
			continue
		}
		if len(out.Queries) == limit {
			out.NextToken = pageToken("queries", out.Queries[limit-1].QueryID)
			break
		}
		row := queryRow{QueryLanguage: languageCWLI, QueryID: run.id, QueryString: run.text, Status: snap.status, CreateTime: run.created.UnixMilli(), ErrorMessage: snap.fault}
		if len(run.groups) == 1 {
			row.LogGroupName = run.groups[0]
		}
		if !snap.ended.IsZero() {
			d := snap.ended.Sub(run.created).Milliseconds()
			row.QueryDuration = &d
		}
		switch snap.status {
		case complete:
			row.BytesScanned = &snap.statistics.BytesScanned
		case running:
			_, statistics, err := run.partial.get(ctx, 0)
			if err != nil {
				return out, err
			}
			row.BytesScanned = &statistics.BytesScanned
		}
		out.Queries = append(out.Queries, row)
	}
	return out, nil
}
