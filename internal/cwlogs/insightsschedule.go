package cwlogs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/meta"
	"github.com/trefoil-o11y/trefoil/internal/query"
)

const (
	maxScheduled = 1000
	// scheduledAge is how long executions of scheduled queries are remembered.
	scheduledAge = 30 * day
	// A result is posted to a URL at most webhookTries times, each of which takes at most
	// webhookTimeout, with its first webhookRows rows.
	webhookTries   = 3
	webhookTimeout = 10 * time.Second
	webhookRows    = 1000
	// tablePrefix is what a destination begins with that is a lookup table.
	tablePrefix = "lookup-table:"
)

var scheduledName = regexp.MustCompile(`^[a-zA-Z0-9_\-/.#]+$`)

type s3Configuration struct {
	DestinationIdentifier string `json:"destinationIdentifier"`
	RoleARN               string `json:"roleArn"`
	OwnerAccountID        string `json:"ownerAccountId,omitempty"`
	KMSKeyID              string `json:"kmsKeyId,omitempty"`
}

type destinationConfiguration struct {
	S3Configuration *s3Configuration `json:"s3Configuration"`
}

// scheduledDefinition is what a caller says of a scheduled query, as it is kept.
type scheduledDefinition struct {
	Description              string                    `json:"description,omitempty"`
	QueryLanguage            string                    `json:"queryLanguage"`
	QueryString              string                    `json:"queryString"`
	LogGroupIdentifiers      []string                  `json:"logGroupIdentifiers,omitempty"`
	ScheduleExpression       string                    `json:"scheduleExpression"`
	Timezone                 string                    `json:"timezone,omitempty"`
	StartTimeOffset          int64                     `json:"startTimeOffset,omitempty"`
	DestinationConfiguration *destinationConfiguration `json:"destinationConfiguration,omitempty"`
	ScheduleStartTime        int64                     `json:"scheduleStartTime,omitempty"`
	ScheduleEndTime          int64                     `json:"scheduleEndTime,omitempty"`
	ExecutionRoleARN         string                    `json:"executionRoleArn"`
	State                    string                    `json:"state"`
}

// keptDefinition adds who the query runs for.
type keptDefinition struct {
	scheduledDefinition
	Account string `json:"account"`
	Region  string `json:"region"`
}

type scheduledQueryInput struct {
	Name       string            `json:"name"`
	Identifier string            `json:"identifier"`
	Tags       map[string]string `json:"tags"`
	scheduledDefinition
}

func validation(format string, args ...any) *awsapi.Error {
	return awsapi.Errorf("ValidationException", format, args...)
}

// validation is err as a ValidationException, which newer operations give.
func (c *check) validation() error {
	var e *awsapi.Error
	if errors.As(c.err(), &e) {
		return validation("%s", e.Message)
	}
	return nil
}

// checkScheduled looks at all that a caller says, and compiles the query.
func (s *Server) checkScheduled(ctx context.Context, r *awsapi.Request, in *scheduledQueryInput) error {
	var c check
	c.text("queryLanguage", in.QueryLanguage, 0, nil, "")
	c.enum("queryLanguage", in.QueryLanguage, languageCWLI, "SQL", "PPL")
	c.text("queryString", in.QueryString, maxQueryText, nil, "")
	c.text("scheduleExpression", in.ScheduleExpression, 256, nil, "")
	c.text("executionRoleArn", in.ExecutionRoleARN, 0, nil, "")
	c.enum("state", in.State, "ENABLED", "DISABLED")
	if utf8.RuneCountInString(in.Description) > 1024 {
		c.fault(quote(in.Description), "description", "Member must have length less than or equal to 1024")
	}
	c.count("logGroupIdentifiers", len(in.LogGroupIdentifiers), 0, maxQueryGroups)
	for _, id := range in.LogGroupIdentifiers {
		if _, ok := identified(id); !ok {
			c.fault(quote(id), "logGroupIdentifiers", `Member must satisfy regular expression pattern: [\w#+=/:,.@-]*`)
		}
	}
	for _, t := range []struct {
		name string
		v    int64
	}{{"startTimeOffset", in.StartTimeOffset}, {"scheduleStartTime", in.ScheduleStartTime}, {"scheduleEndTime", in.ScheduleEndTime}} {
		c.time(t.name, &t.v)
	}
	if err := c.validation(); err != nil {
		return err
	}
	if in.State == "" {
		in.State = "ENABLED"
	}
	if in.QueryLanguage != languageCWLI {
		return validation("Query language %s is not supported by this server; use %s.", in.QueryLanguage, languageCWLI)
	}
	if _, err := parseSchedule(in.ScheduleExpression); err != nil {
		return validation("The schedule expression is not valid: %v.", err)
	}
	if _, ok := query.Zone(in.zone()); !ok {
		return validation("There is no time zone %s.", in.Timezone)
	}
	if in.ScheduleEndTime > 0 && seconds(in.ScheduleEndTime) <= seconds(in.ScheduleStartTime) {
		return validation("scheduleEndTime must be behind scheduleStartTime.")
	}
	if err := in.DestinationConfiguration.check(); err != nil {
		return err
	}
	now := time.Now()
	k := keptDefinition{in.scheduledDefinition, r.Caller.Account, r.Caller.Region}
	if _, err := s.compile(ctx, k.asking(r.Caller.Environment, now.Add(-time.Hour), now)); err != nil {
		var e *awsapi.Error
		if errors.As(err, &e) && e.Code != "ResourceNotFoundException" {
			return validation("%s", e.Message)
		}
		return err
	}
	return nil
}

func (d *scheduledDefinition) zone() string {
	if d.Timezone == "" {
		return "UTC"
	}
	return d.Timezone
}

func (d *destinationConfiguration) check() error {
	if d == nil || d.S3Configuration == nil {
		return nil
	}
	to := d.S3Configuration.DestinationIdentifier
	switch {
	case strings.HasPrefix(to, "s3://"):
		return validation("S3 destinations are not supported by this server; give a URL that begins with http:// or https://, or %sNAME.", tablePrefix)
	case strings.HasPrefix(to, tablePrefix):
		if !tableName.MatchString(strings.TrimPrefix(to, tablePrefix)) {
			return validation("The name of the lookup table must satisfy regular expression pattern: %s", tableName)
		}
		return nil
	}
	if u, err := url.Parse(to); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return validation("The destination %s is not valid; give a URL that begins with http:// or https://, or %sNAME.", to, tablePrefix)
	}
	return nil
}

// asking is the query as it is asked for a time range, whose end is not within it.
func (d *keptDefinition) asking(environment string, from, to time.Time) asking {
	a := asking{environment: environment, account: d.Account, requestID: "scheduled", text: d.QueryString, from: from, to: to.Add(-time.Millisecond)}
	for _, id := range d.LogGroupIdentifiers {
		if name, ok := identified(id); ok && !slices.Contains(a.names, name) {
			a.names = append(a.names, name)
		}
	}
	return a
}

func scheduledARN(c *awsapi.Caller, id string) string {
	return "arn:aws:logs:" + c.Region + ":" + c.Account + ":scheduled-query:" + id
}

type createScheduledQueryOutput struct {
	ScheduledQueryARN string `json:"scheduledQueryArn"`
	State             string `json:"state"`
}

func (s *Server) createScheduledQuery(ctx context.Context, r *awsapi.Request, in scheduledQueryInput) (createScheduledQueryOutput, error) {
	var out createScheduledQueryOutput
	if in.Name == "" || len(in.Name) > 255 || !scheduledName.MatchString(in.Name) {
		return out, validation("1 validation error detected: Value '%s' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: %s", in.Name, scheduledName)
	}
	var c check
	if c.tags(in.Tags); len(in.Tags) > maxTags {
		c.fault(fmt.Sprintf("'[%d members]'", len(in.Tags)), "tags", "Member must have length less than or equal to %d", maxTags)
	}
	if err := c.validation(); err != nil {
		return out, err
	}
	if err := s.checkScheduled(ctx, r, &in); err != nil {
		return out, err
	}
	list, err := s.cfg.Meta.ScheduledQueries(ctx, r.Caller.Environment)
	if err != nil {
		return out, err
	}
	if len(list) >= maxScheduled {
		return out, awsapi.Errorf("ServiceQuotaExceededException", "There are %d scheduled queries already.", len(list))
	}
	now := time.Now()
	q := meta.ScheduledQuery{Environment: r.Caller.Environment, Name: in.Name, ID: awsapi.NewRequestID(), Created: now, Updated: now}
	if q.Definition, err = encodeDefinition(r, &in); err != nil {
		return out, err
	}
	if err := s.cfg.Meta.CreateScheduledQuery(ctx, q); errors.Is(err, meta.ErrExists) {
		return out, awsapi.Errorf("ConflictException", "A scheduled query of the name %s exists already.", in.Name)
	} else if err != nil {
		return out, err
	}
	s.schedule.changed()
	err = s.cfg.Meta.PutTags(ctx, scheduledResource(q.Environment, q.ID), in.Tags)
	return createScheduledQueryOutput{scheduledARN(&r.Caller, q.ID), in.State}, err
}

func encodeDefinition(r *awsapi.Request, in *scheduledQueryInput) (string, error) {
	text, err := json.Marshal(keptDefinition{in.scheduledDefinition, r.Caller.Account, r.Caller.Region})
	return string(text), err
}

// scheduledOf returns the scheduled query of a name or an ARN.
func (s *Server) scheduledOf(ctx context.Context, r *awsapi.Request, identifier string) (q meta.ScheduledQuery, d keptDefinition, err error) {
	if identifier == "" {
		return q, d, validation("1 validation error detected: Value null at 'identifier' failed to satisfy constraint: Member must not be null")
	}
	list, err := s.cfg.Meta.ScheduledQueries(ctx, r.Caller.Environment)
	if err != nil {
		return q, d, err
	}
	for _, x := range list {
		if x.Name == identifier || scheduledARN(&r.Caller, x.ID) == identifier {
			return x, d, json.Unmarshal([]byte(x.Definition), &d)
		}
	}
	return q, d, awsapi.Errorf("ResourceNotFoundException", "The specified scheduled query does not exist.")
}

type scheduledRow struct {
	ScheduledQueryARN string `json:"scheduledQueryArn"`
	Name              string `json:"name"`
	*scheduledDefinition
	LastTriggeredTime   int64  `json:"lastTriggeredTime,omitempty"`
	LastExecutionStatus string `json:"lastExecutionStatus,omitempty"`
	CreationTime        int64  `json:"creationTime"`
	LastUpdatedTime     int64  `json:"lastUpdatedTime"`
}

func scheduledRowOf(r *awsapi.Request, q *meta.ScheduledQuery, d *scheduledDefinition) scheduledRow {
	row := scheduledRow{ScheduledQueryARN: scheduledARN(&r.Caller, q.ID), Name: q.Name, scheduledDefinition: d, LastExecutionStatus: q.LastExecution,
		CreationTime: q.Created.UnixMilli(), LastUpdatedTime: q.Updated.UnixMilli()}
	if !q.Triggered.IsZero() {
		row.LastTriggeredTime = q.Triggered.UnixMilli()
	}
	return row
}

func (s *Server) getScheduledQuery(ctx context.Context, r *awsapi.Request, in scheduledQueryInput) (scheduledRow, error) {
	q, d, err := s.scheduledOf(ctx, r, in.Identifier)
	if err != nil {
		return scheduledRow{}, err
	}
	return scheduledRowOf(r, &q, &d.scheduledDefinition), nil
}

func (s *Server) updateScheduledQuery(ctx context.Context, r *awsapi.Request, in scheduledQueryInput) (scheduledRow, error) {
	q, d, err := s.scheduledOf(ctx, r, in.Identifier)
	if err != nil {
		return scheduledRow{}, err
	}
	if in.State == "" {
		in.State = d.State
	}
	if err := s.checkScheduled(ctx, r, &in); err != nil {
		return scheduledRow{}, err
	}
	q.Updated = time.Now()
	if q.Definition, err = encodeDefinition(r, &in); err != nil {
		return scheduledRow{}, err
	}
	if err := s.cfg.Meta.UpdateScheduledQuery(ctx, q); err != nil {
		return scheduledRow{}, err
	}
	s.schedule.changed()
	return scheduledRowOf(r, &q, &in.scheduledDefinition), nil
}

func (s *Server) deleteScheduledQuery(ctx context.Context, r *awsapi.Request, in scheduledQueryInput) (none, error) {
	q, _, err := s.scheduledOf(ctx, r, in.Identifier)
	if err != nil {
		return none{}, err
	}
	err = s.cfg.Meta.DeleteScheduledQuery(ctx, r.Caller.Environment, q.Name)
	if errors.Is(err, meta.ErrNotFound) {
		return none{}, awsapi.Errorf("ResourceNotFoundException", "The specified scheduled query does not exist.")
	}
	return none{}, errors.Join(err, s.cfg.Meta.DeleteAllTags(ctx, scheduledResource(q.Environment, q.ID)))
}

type listScheduledQueriesInput struct {
	MaxResults *int   `json:"maxResults"`
	NextToken  string `json:"nextToken"`
	State      string `json:"state"`
}

type listScheduledQueriesOutput struct {
	ScheduledQueries []scheduledRow `json:"scheduledQueries"`
	NextToken        string         `json:"nextToken,omitempty"`
}

func (s *Server) listScheduledQueries(ctx context.Context, r *awsapi.Request, in listScheduledQueriesInput) (listScheduledQueriesOutput, error) {
	out := listScheduledQueriesOutput{ScheduledQueries: []scheduledRow{}}
	var c check
	limit := c.number("maxResults", in.MaxResults, 1, 1000, 50)
	c.enum("state", in.State, "ENABLED", "DISABLED")
	if err := c.validation(); err != nil {
		return out, err
	}
	after, err := readToken("scheduled", in.NextToken)
	if err != nil {
		return out, validation("The specified nextToken is invalid.")
	}
	all, err := s.cfg.Meta.ScheduledQueries(ctx, r.Caller.Environment)
	if err != nil {
		return out, err
	}
	list := []scheduledRow{}
	for i := range all {
		var d keptDefinition
		if err := json.Unmarshal([]byte(all[i].Definition), &d); err != nil {
			return out, err
		}
		if in.State == "" || d.State == in.State {
			list = append(list, scheduledRowOf(r, &all[i], &d.scheduledDefinition))
		}
	}
	list, next := cut(list, func(x scheduledRow) string { return x.Name }, after, limit)
	out.ScheduledQueries = list
	if next != "" {
		out.NextToken = pageToken("scheduled", next)
	}
	return out, nil
}

type scheduledHistoryInput struct {
	Identifier        string   `json:"identifier"`
	StartTime         *int64   `json:"startTime"`
	EndTime           *int64   `json:"endTime"`
	ExecutionStatuses []string `json:"executionStatuses"`
	MaxResults        *int     `json:"maxResults"`
	NextToken         string   `json:"nextToken"`
}

// sentResult is what came of sending a result to a destination.
type sentResult struct {
	DestinationType       string `json:"destinationType"`
	DestinationIdentifier string `json:"destinationIdentifier"`
	Status                string `json:"status"`
	ErrorMessage          string `json:"errorMessage,omitempty"`
}

type historyRow struct {
	QueryID            string       `json:"queryId,omitempty"`
	ExecutionStatus    string       `json:"executionStatus"`
	TriggeredTimestamp int64        `json:"triggeredTimestamp"`
	ErrorMessage       string       `json:"errorMessage,omitempty"`
	Destinations       []sentResult `json:"destinations"`
}

type scheduledHistoryOutput struct {
	Name              string       `json:"name"`
	ScheduledQueryARN string       `json:"scheduledQueryArn"`
	TriggerHistory    []historyRow `json:"triggerHistory"`
	NextToken         string       `json:"nextToken,omitempty"`
}

func (s *Server) getScheduledQueryHistory(ctx context.Context, r *awsapi.Request, in scheduledHistoryInput) (scheduledHistoryOutput, error) {
	out := scheduledHistoryOutput{TriggerHistory: []historyRow{}}
	q, _, err := s.scheduledOf(ctx, r, in.Identifier)
	if err != nil {
		return out, err
	}
	if in.StartTime == nil || in.EndTime == nil || *in.EndTime < *in.StartTime || *in.StartTime < 0 {
		return out, validation("startTime and endTime must be given, and endTime must not be ahead of startTime.")
	}
	var c check
	limit := c.number("maxResults", in.MaxResults, 1, 1000, 50)
	for _, st := range in.ExecutionStatuses {
		c.enum("executionStatuses", st, "Running", "InvalidQuery", "Complete", "Failed", "Timeout")
	}
	if err := c.validation(); err != nil {
		return out, err
	}
	after, err := readToken("history", in.NextToken)
	if err != nil {
		return out, validation("The specified nextToken is invalid.")
	}
	out.Name, out.ScheduledQueryARN = q.Name, scheduledARN(&r.Caller, q.ID)
	to := time.UnixMilli(seconds(*in.EndTime))
	if *in.EndTime <= secondsLimit {
		to = to.Add(time.Second - 1)
	}
	runs, err := s.cfg.Meta.ScheduledRuns(ctx, r.Caller.Environment, q.Name, time.UnixMilli(seconds(*in.StartTime)), to)
	if err != nil {
		return out, err
	}
	skip := after != ""
	for _, x := range runs {
		key := fmt.Sprint(x.Triggered.UnixNano(), x.QueryID)
		if skip {
			skip = key != after
			continue
		}
		if len(in.ExecutionStatuses) > 0 && !slices.Contains(in.ExecutionStatuses, x.Status) {
			continue
		}
		if len(out.TriggerHistory) == limit {
			last := out.TriggerHistory[limit-1]
			for _, y := range runs {
				if y.QueryID == last.QueryID && y.Triggered.UnixMilli() == last.TriggeredTimestamp {
					out.NextToken = pageToken("history", fmt.Sprint(y.Triggered.UnixNano(), y.QueryID))
				}
			}
			break
		}
		row := historyRow{QueryID: x.QueryID, ExecutionStatus: x.Status, TriggeredTimestamp: x.Triggered.UnixMilli(), ErrorMessage: x.Error}
		if err := json.Unmarshal([]byte(x.Destinations), &row.Destinations); err != nil {
			return out, err
		}
		out.TriggerHistory = append(out.TriggerHistory, row)
	}
	return out, nil
}

// scheduler runs scheduled queries.
type scheduler struct {
	wake    chan struct{}
	client  *http.Client
	running sync.WaitGroup
	began   time.Time
}

func newScheduler() *scheduler {
	return &scheduler{wake: make(chan struct{}, 1), client: &http.Client{Timeout: webhookTimeout}, began: time.Now()}
}

// changed has the scheduler look at the queries again.
func (s *scheduler) changed() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// runSchedule runs scheduled queries until ctx ends, and forgets old runs of queries.
func (s *Server) runSchedule(ctx context.Context) error {
	defer s.schedule.running.Wait()
	if err := s.cfg.Meta.TrimScheduledRuns(ctx, time.Now().Add(-scheduledAge), string(failed)); err != nil {
		return fmt.Errorf("recover scheduled queries: %w", err)
	}
	trimmed := time.Now()
	for {
		wait, err := s.runDue(ctx, time.Now())
		if err != nil && ctx.Err() == nil {
			s.cfg.Log.Error("run scheduled queries", "error", err)
		}
		if time.Since(trimmed) > time.Hour && ctx.Err() == nil {
			trimmed = time.Now()
			s.runs.trim(ctx, s.cfg.Log.Error)
			if err := s.cfg.Meta.TrimScheduledRuns(ctx, trimmed.Add(-scheduledAge), ""); err != nil {
				s.cfg.Log.Error("forget old runs of scheduled queries", "error", err)
			}
		}
		timer := time.NewTimer(min(wait, time.Minute))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-s.schedule.wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// runDue starts the queries that are due and returns how long nothing else is.
func (s *Server) runDue(ctx context.Context, now time.Time) (time.Duration, error) {
	list, err := s.cfg.Meta.ScheduledQueries(ctx, "")
	if err != nil {
		return time.Minute, err
	}
	wait := time.Hour
	for i := range list {
		q := &list[i]
		var d keptDefinition
		if err := json.Unmarshal([]byte(q.Definition), &d); err != nil {
			return wait, err
		}
		due, before := s.due(q, &d, now)
		if !due.IsZero() && !due.After(now) {
			s.trigger(ctx, q, &d, due, before)
			q.Triggered = due
			due, _ = s.due(q, &d, now)
		}
		if !due.IsZero() {
			wait = min(wait, max(due.Sub(now), 0))
		}
	}
	return wait, nil
}

// due returns when a query is to run next, zero for never, and when it was to run before that. Times
// that went by while the server was down or the query was not there are left out; of several that
// went by since it ran only the last counts.
func (s *Server) due(q *meta.ScheduledQuery, d *keptDefinition, now time.Time) (due, before time.Time) {
	plan, err := parseSchedule(d.ScheduleExpression)
	zone, ok := query.Zone(d.zone())
	if err != nil || !ok || d.State != "ENABLED" {
		return time.Time{}, time.Time{}
	}
	anchor := q.Created
	if d.ScheduleStartTime > 0 {
		anchor = time.UnixMilli(seconds(d.ScheduleStartTime))
	}
	after := q.Updated
	for _, t := range []time.Time{q.Triggered, s.schedule.began, anchor.Add(-1)} {
		if t.After(after) {
			after = t
		}
	}
	if plan.every > 0 && d.ScheduleStartTime == 0 && !after.After(anchor) {
		after = anchor // the first run is a period from now
	}
	due = plan.next(anchor, after, zone)
	for n := 0; n < 100_000; n++ {
		next := plan.next(anchor, due, zone)
		if due.IsZero() || next.IsZero() || next.After(now) {
			break
		}
		due = next
	}
	if d.ScheduleEndTime > 0 && due.After(time.UnixMilli(seconds(d.ScheduleEndTime))) {
		return time.Time{}, time.Time{}
	}
	if plan.every > 0 {
		return due, due.Add(-plan.every)
	}
	// What lies a day back or more does not matter: then a day is asked for.
	before = due.Add(-day)
	for t := plan.next(anchor, before, zone); !t.IsZero() && t.Before(due); t = plan.next(anchor, t, zone) {
		before = t
	}
	return due, before
}

// trigger starts a query that is due.
func (s *Server) trigger(ctx context.Context, q *meta.ScheduledQuery, d *keptDefinition, due, before time.Time) {
	from := before
	if d.StartTimeOffset > 0 {
		from = due.Add(-time.Duration(min(d.StartTimeOffset, int64(maxRate/time.Second))) * time.Second)
	}
	x := meta.ScheduledRun{Environment: q.Environment, Name: q.Name, Status: string(running), Triggered: due, Destinations: "[]"}
	put := func() {
		if err := s.cfg.Meta.PutScheduledRun(context.WithoutCancel(ctx), x); err != nil && ctx.Err() == nil {
			s.cfg.Log.Error("remember the run of a scheduled query", "name", q.Name, "error", err)
		}
	}
	r, err := s.compile(ctx, d.asking(q.Environment, from, due))
	if err != nil {
		var e *awsapi.Error
		x.Status, x.Error = string(failed), err.Error()
		if errors.As(err, &e) {
			x.Status, x.Error = "InvalidQuery", e.Message
		}
		put()
		return
	}
	if err := s.start(ctx, r); err != nil {
		x.Status, x.Error = string(failed), err.Error()
		put()
		return
	}
	x.QueryID = r.id
	put()
	s.schedule.running.Go(func() {
		select {
		case <-ctx.Done():
			return // it is found to be cut at the next start
		case <-r.done:
		}
		snap := s.runs.snapshot(r)
		x.Status, x.Error = string(snap.status), snap.fault
		if snap.status == cancelled {
			x.Status, x.Error = string(failed), "the query was stopped"
		}
		if to := d.destination(); to != "" && snap.status == complete {
			sent := s.sendResult(ctx, q, d, r, due, to)
			if text, err := json.Marshal([]sentResult{sent}); err == nil {
				x.Destinations = string(text)
			}
		}
		put()
	})
}

func (d *scheduledDefinition) destination() string {
	if d.DestinationConfiguration == nil || d.DestinationConfiguration.S3Configuration == nil {
		return ""
	}
	return d.DestinationConfiguration.S3Configuration.DestinationIdentifier
}

// sendResult sends the result of a run to its destination.
func (s *Server) sendResult(ctx context.Context, q *meta.ScheduledQuery, d *keptDefinition, r *run, due time.Time, to string) sentResult {
	out := sentResult{DestinationType: "HTTP", DestinationIdentifier: to, Status: "COMPLETE"}
	var err error
	if name, ok := strings.CutPrefix(to, tablePrefix); ok {
		out.DestinationType = "LOOKUP_TABLE"
		err = s.sendTable(ctx, q.Environment, name, r)
	} else {
		err = s.post(ctx, q, d, r, due, to)
	}
	if err != nil {
		out.Status, out.ErrorMessage = "FAILED", err.Error()
	}
	return out
}

// sendTable makes or replaces a lookup table.
func (s *Server) sendTable(ctx context.Context, environment, name string, r *run) error {
	body, err := s.resultCSV(ctx, r)
	if err != nil {
		return err
	}
	if len(body) > maxTableBody {
		return fmt.Errorf("the result is larger than %d bytes", maxTableBody)
	}
	table, err := parseTable(body)
	if err != nil {
		return err
	}
	fields, err := json.Marshal(table.Columns)
	if err != nil {
		return err
	}
	now := time.Now()
	t := meta.LookupTable{Environment: environment, Name: name, Description: "made by a scheduled query", Fields: string(fields), Records: len(table.Rows), Body: body, Created: now, Updated: now}
	if err = s.cfg.Meta.CreateLookupTable(ctx, t); errors.Is(err, meta.ErrExists) {
		err = s.cfg.Meta.UpdateLookupTable(ctx, t)
	}
	return err
}

// webhookBody is what is posted to a URL.
type webhookBody struct {
	ScheduledQueryARN string          `json:"scheduledQueryArn"`
	Name              string          `json:"name"`
	QueryID           string          `json:"queryId"`
	QueryString       string          `json:"queryString"`
	TriggeredTime     int64           `json:"triggeredTime"`
	StartTime         int64           `json:"startTime"`
	EndTime           int64           `json:"endTime"`
	Rows              int             `json:"rowCount"`
	Results           [][]resultField `json:"results"`
	Statistics        queryStatistics `json:"statistics"`
}

func (s *Server) post(ctx context.Context, q *meta.ScheduledQuery, d *keptDefinition, r *run, due time.Time, to string) error {
	snap := s.runs.snapshot(r)
	rows, err := s.runs.result(ctx, r, 0, min(snap.rows, webhookRows))
	if err != nil {
		return err
	}
	c := awsapi.Caller{Region: d.Region, Account: d.Account}
	text, err := json.Marshal(webhookBody{ScheduledQueryARN: scheduledARN(&c, q.ID), Name: q.Name, QueryID: r.id, QueryString: d.QueryString, TriggeredTime: due.UnixMilli(),
		StartTime: r.env.From.UnixMilli(), EndTime: r.env.To.UnixMilli(), Rows: snap.rows, Results: rows, Statistics: snap.statistics})
	if err != nil {
		return err
	}
	for try := range webhookTries {
		if try > 0 {
			select {
			case <-ctx.Done():
				return errors.Join(err, ctx.Err())
			case <-time.After(time.Second << (2 * (try - 1))):
			}
		}
		if err = s.postOnce(ctx, to, text); err == nil {
			return nil
		}
	}
	return err
}

func (s *Server) postOnce(ctx context.Context, to string, text []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := s.schedule.client.Do(req)
	if err != nil {
		return err
	}
	_, _ = io.CopyN(io.Discard, res.Body, 1<<20)
	if err := res.Body.Close(); err != nil {
		return err
	}
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("the destination answered %s", res.Status)
	}
	return nil
}
