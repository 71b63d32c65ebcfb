package cwlogs

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/meta"
	"github.com/trefoil-o11y/trefoil/internal/query"
)

const (
	maxSubscriptions = 2
	// deliverEvents bounds the events of one request, deliverWithin its time, deliverStop that of one
	// under way when the server stops: what was received should not come again at the next start.
	deliverEvents = 1000
	deliverWithin = 10 * time.Second
	deliverStop   = 2 * time.Second
	// deliverFirst and deliverLast bound the pause behind a failed request, deliverFor how long it
	// is repeated, as on AWS.
	deliverFirst = time.Second
	deliverLast  = 5 * time.Minute
	deliverFor   = 24 * time.Hour
)

type subscriptionObject struct {
	FilterPattern          string   `json:"filterPattern"`
	DestinationARN         string   `json:"destinationArn"`
	RoleARN                string   `json:"roleArn,omitempty"`
	Distribution           string   `json:"distribution"`
	ApplyOnTransformedLogs bool     `json:"applyOnTransformedLogs"`
	FieldSelectionCriteria string   `json:"fieldSelectionCriteria,omitempty"`
	EmitSystemFields       []string `json:"emitSystemFields,omitempty"`
}

// storedSubscription is a subscription filter as it is kept.
type storedSubscription struct {
	subscriptionObject
	Owner  string       `json:"owner"` // the account that its messages name
	System systemFields `json:"system"`
}

type putSubscriptionFilterInput struct {
	LogGroupName           string   `json:"logGroupName"`
	FilterName             string   `json:"filterName"`
	FilterPattern          *string  `json:"filterPattern"`
	DestinationARN         string   `json:"destinationArn"`
	RoleARN                string   `json:"roleArn"`
	Distribution           string   `json:"distribution"`
	ApplyOnTransformedLogs bool     `json:"applyOnTransformedLogs"`
	FieldSelectionCriteria string   `json:"fieldSelectionCriteria"`
	EmitSystemFields       []string `json:"emitSystemFields"`
}

// putSubscriptionFilter takes what can be delivered to: http(s) URLs, and destinations with one. Of
// the services of AWS none is there, and the answer is AWS's for one that does not answer.
func (s *Server) putSubscriptionFilter(ctx context.Context, r *awsapi.Request, in putSubscriptionFilterInput) (none, error) {
	var c check
	c.group(in.LogGroupName)
	c.text("filterName", in.FilterName, maxName, streamName, streamPattern)
	if in.FilterPattern == nil {
		c.fault("null", "filterPattern", "Member must not be null")
	} else {
		c.atMost("filterPattern", *in.FilterPattern, maxPattern)
	}
	c.text("destinationArn", in.DestinationARN, 2048, nil, "")
	c.enum("distribution", in.Distribution, "Random", "ByLogStream")
	c.atMost("fieldSelectionCriteria", in.FieldSelectionCriteria, maxSelected)
	if err := c.err(); err != nil {
		return none{}, err
	}
	if _, err := compilePattern(*in.FilterPattern); err != nil {
		return none{}, badPattern(err)
	}
	if err := checkSystemFields(in.EmitSystemFields); err != nil {
		return none{}, err
	}
	if _, err := systemFieldsOf(&r.Caller).selects(in.FieldSelectionCriteria); err != nil {
		return none{}, err
	}
	g, err := s.group(ctx, r, in.LogGroupName)
	if err != nil {
		return none{}, err
	}
	if _, err := s.address(ctx, r.Caller.Environment, in.DestinationARN, in.RoleARN); err != nil {
		return none{}, err
	}
	if in.Distribution == "" {
		in.Distribution = "ByLogStream"
	}
	// Only what arrives from now on is delivered.
	last, err := s.lastSeq(ctx, g.ID, 0)
	if err != nil {
		return none{}, err
	}
	o, err := define(ctx, s, g.Environment, kindSubscriptionFilter, g.Name, in.FilterName, storedSubscription{subscriptionObject{
		FilterPattern: *in.FilterPattern, DestinationARN: in.DestinationARN, RoleARN: in.RoleARN, Distribution: in.Distribution, ApplyOnTransformedLogs: in.ApplyOnTransformedLogs, FieldSelectionCriteria: in.FieldSelectionCriteria,
		EmitSystemFields: in.EmitSystemFields,
	}, r.Caller.Account, systemFieldsOf(&r.Caller)}, maxSubscriptions)
	if err != nil {
		return none{}, err
	}
	if err := s.beginCursor(ctx, g, in.FilterName, last); err != nil {
		return none{}, err
	}
	s.deliveries.start(s, g, o)
	return none{}, nil
}

// beginCursor makes the cursor of a subscription that has none yet.
func (s *Server) beginCursor(ctx context.Context, g meta.LogGroup, name string, at uint64) error {
	_, err := s.cfg.Meta.LogObject(ctx, g.Environment, kindCursor, g.Name, name)
	if errors.Is(err, meta.ErrNotFound) {
		_, err = define(ctx, s, g.Environment, kindCursor, g.Name, name, at, 0)
	}
	return err
}

// subscribeAll begins the cursors of a subscription of the account in the groups that it selects, and
// ends those in the others. Its workers start with the policy.
func (s *Server) subscribeAll(ctx context.Context, environment, name string, p accountPolicyObject) error {
	is, err := parseSubscriptionPolicy(p.PolicyDocument)
	if err != nil {
		return err
	}
	if _, err := s.address(ctx, environment, is.DestinationARN, is.RoleARN); err != nil {
		return err
	}
	selects, err := p.selection()
	if err != nil {
		return err
	}
	groups, err := s.cfg.Meta.LogGroups(ctx, environment)
	if err != nil {
		return err
	}
	for _, g := range groups {
		if !selects.has(g.Name) {
			if err := s.unsubscribe(ctx, g, name); err != nil {
				return err
			}
			continue
		}
		// Only what arrives from now on is delivered.
		last, err := s.lastSeq(ctx, g.ID, 0)
		if err != nil {
			return err
		}
		if err := s.beginCursor(ctx, g, name, last); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) unsubscribeAll(ctx context.Context, environment, name string) error {
	groups, err := s.cfg.Meta.LogGroups(ctx, environment)
	for _, g := range groups {
		err = errors.Join(err, s.unsubscribe(ctx, g, name))
	}
	return err
}

// unsubscribe ends a subscription of the account in a group, where there may be none.
func (s *Server) unsubscribe(ctx context.Context, g meta.LogGroup, name string) error {
	s.deliveries.stop(deliveryKey{g.ID, name})
	return s.remove(ctx, g.Environment, kindCursor, g.Name, name, nil)
}

// address returns the URL that a destination stands for.
func (s *Server) address(ctx context.Context, environment, destination, role string) (string, error) {
	if u, err := url.Parse(destination); err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" {
		return destination, nil
	}
	parts := strings.SplitN(destination, ":", 6)
	if len(parts) < 6 || parts[0] != "arn" {
		return "", invalid("Invalid destination: %q is neither an ARN nor an http(s) URL.", destination)
	}
	switch vendor := parts[2]; vendor {
	case "logs":
		name, _ := strings.CutPrefix(parts[5], "destination:")
		d, err := object[destinationObject](ctx, s, environment, kindDestination, "", name, awsapi.Errorf("ResourceNotFoundException", "The specified destination does not exist."))
		if err != nil {
			return "", err
		}
		return d.is.TargetARN, nil
	case "kinesis", "firehose":
		if role == "" {
			return "", invalid("destinationArn for vendor %s cannot be used without roleArn", vendor)
		}
		return "", invalid("Could not deliver test message to specified %s stream. Check if the given %s stream is in ACTIVE state.", vendor, vendor)
	case "lambda":
		return "", invalid("Could not execute the lambda function. Make sure you have given CloudWatch Logs permission to execute your function.")
	default:
		return "", invalid("destinationArn for vendor %s is not supported", vendor)
	}
}

type describeSubscriptionFiltersInput struct {
	LogGroupName     string `json:"logGroupName"`
	FilterNamePrefix string `json:"filterNamePrefix"`
	Limit            *int   `json:"limit"`
	NextToken        string `json:"nextToken"`
}

type subscriptionRow struct {
	FilterName   string `json:"filterName"`
	LogGroupName string `json:"logGroupName"`
	CreationTime int64  `json:"creationTime"`
	subscriptionObject
}

type describeSubscriptionFiltersOutput struct {
	SubscriptionFilters []subscriptionRow `json:"subscriptionFilters"`
	NextToken           string            `json:"nextToken,omitempty"`
}

func (s *Server) describeSubscriptionFilters(ctx context.Context, r *awsapi.Request, in describeSubscriptionFiltersInput) (describeSubscriptionFiltersOutput, error) {
	out := describeSubscriptionFiltersOutput{SubscriptionFilters: []subscriptionRow{}}
	var c check
	c.group(in.LogGroupName)
	c.prefix("filterNamePrefix", in.FilterNamePrefix, streamName, streamPattern)
	limit := c.number("limit", in.Limit, 1, 50, 50)
	if err := c.err(); err != nil {
		return out, err
	}
	g, err := s.group(ctx, r, in.LogGroupName)
	if err != nil {
		return out, err
	}
	list, next, err := listed(ctx, s, g.Environment, kindSubscriptionFilter, in.NextToken, limit, func(o defined[storedSubscription]) bool {
		return o.Scope == g.Name && strings.HasPrefix(o.Name, in.FilterNamePrefix)
	})
	for _, o := range list {
		out.SubscriptionFilters = append(out.SubscriptionFilters, subscriptionRow{o.Name, o.Scope, o.Created.UnixMilli(), o.is.subscriptionObject})
	}
	out.NextToken = next
	return out, err
}

func (s *Server) deleteSubscriptionFilter(ctx context.Context, r *awsapi.Request, in filterNameInput) (none, error) {
	g, err := s.filterInput(ctx, r, in)
	if err != nil {
		return none{}, err
	}
	missing := awsapi.Errorf("ResourceNotFoundException", "The specified subscription filter does not exist.")
	if err := s.remove(ctx, g.Environment, kindSubscriptionFilter, g.Name, in.FilterName, missing); err != nil {
		return none{}, err
	}
	s.deliveries.stop(deliveryKey{g.ID, in.FilterName})
	return none{}, s.remove(ctx, g.Environment, kindCursor, g.Name, in.FilterName, nil)
}

// lastSeq returns the Seq of the newest event of a group behind after, or after.
func (s *Server) lastSeq(ctx context.Context, group event.DatasetID, after uint64) (uint64, error) {
	seq := query.Field{Name: event.FieldSeq}
	res, err := s.cfg.Store.Query(ctx, &query.Query{Datasets: []event.DatasetID{group}, Stages: []query.Stage{
		query.Filter{Where: query.Compare{Op: query.Gt, L: seq, R: query.Num(int64(after))}},
		query.Aggregate{Aggs: []query.Agg{{Name: "last", Op: query.Max, Arg: seq}}},
	}})
	if err != nil || res.Rows[0][0].Missing() {
		return after, err
	}
	return uint64(res.Rows[0][0].Int()), nil
}

// deliveries are the workers that deliver to subscriptions, one each.
type deliveries struct {
	client *http.Client
	wg     sync.WaitGroup

	mu      sync.Mutex      // guards below
	ctx     context.Context // of all workers; nil until Run runs
	workers map[deliveryKey]*delivery
}

type deliveryKey struct {
	group event.DatasetID
	name  string
}

// delivery is one worker. It reads what arrived behind its cursor from the store and moves the cursor
// when that was delivered, so that every event is delivered at least once, whatever happens.
type delivery struct {
	key    deliveryKey
	group  meta.LogGroup
	is     defined[storedSubscription] // guarded by deliveries.mu
	arrive chan struct{}
	cancel context.CancelFunc
}

// startDeliveries begins to deliver to every subscription there is.
func (s *Server) startDeliveries(ctx context.Context) error {
	s.deliveries.mu.Lock()
	s.deliveries.ctx = ctx
	s.deliveries.mu.Unlock()
	groups, err := s.cfg.Meta.AllLogGroups(ctx)
	if err != nil {
		return fmt.Errorf("start deliveries: %w", err)
	}
	for _, g := range groups {
		if err := s.startGroup(ctx, g); err != nil {
			return fmt.Errorf("start deliveries: %w", err)
		}
	}
	return nil
}

// startGroup begins to deliver to the subscriptions of a group, its own and the account's.
func (s *Server) startGroup(ctx context.Context, g meta.LogGroup) error {
	list, err := s.cfg.Meta.LogObjectsIn(ctx, g.Environment, g.Name)
	if err != nil {
		return err
	}
	for _, o := range list {
		if o.Kind != kindSubscriptionFilter {
			continue
		}
		is, err := decodeObject[storedSubscription](o)
		if err != nil {
			return err
		}
		s.deliveries.start(s, g, is)
	}
	account, err := accountPolicies(ctx, s.cfg.Meta, g.Environment, g.Name)
	if err != nil {
		return err
	}
	for _, p := range account {
		if p.is.kind(p.Name) != policySubscription {
			continue
		}
		is, err := parseSubscriptionPolicy(p.is.PolicyDocument)
		if err != nil {
			return fmt.Errorf("stored account policy %q: %w", p.Name, err)
		}
		// A group without a cursor is younger than the policy, so that all of it is delivered.
		if err := s.beginCursor(ctx, g, p.Name, 0); err != nil {
			return err
		}
		s.deliveries.start(s, g, defined[storedSubscription]{LogObject: p.LogObject, is: storedSubscription{subscriptionObject: is, Owner: p.is.Account}})
	}
	return nil
}

// start begins to deliver; a worker that there is goes on with what the subscription is now, so that
// nothing which it has under way is delivered twice.
func (d *deliveries) start(s *Server, g meta.LogGroup, is defined[storedSubscription]) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ctx == nil {
		return // Run starts it
	}
	key := deliveryKey{g.ID, is.Name}
	if w := d.workers[key]; w != nil {
		w.is = is
		w.wake()
		return
	}
	w := &delivery{key: key, group: g, is: is, arrive: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(d.ctx)
	w.cancel = cancel
	w.wake() // for what arrived before
	d.workers[key] = w
	d.wg.Go(func() { s.deliver(ctx, w) })
}

func (w *delivery) wake() {
	select {
	case w.arrive <- struct{}{}:
	default:
	}
}

// now returns what a worker's subscription is.
func (d *deliveries) now(w *delivery) defined[storedSubscription] {
	d.mu.Lock()
	defer d.mu.Unlock()
	return w.is
}

func (d *deliveries) stop(key deliveryKey) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if w := d.workers[key]; w != nil {
		w.cancel()
		delete(d.workers, key)
	}
}

// forget stops the workers of a group.
func (d *deliveries) forget(group event.DatasetID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, w := range d.workers {
		if key.group == group {
			w.cancel()
			delete(d.workers, key)
		}
	}
}

// wake tells the workers of a group that events arrived.
func (d *deliveries) wake(group event.DatasetID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, w := range d.workers {
		if key.group == group {
			w.wake()
		}
	}
}

func (d *deliveries) wait() { d.wg.Wait() }

// deliver runs a worker until its context ends.
func (s *Server) deliver(ctx context.Context, w *delivery) {
	pause, since := deliverFirst, time.Time{}
	for {
		select {
		case <-w.arrive:
		case <-ctx.Done():
			return
		}
		for {
			err := s.deliverNext(ctx, w, !since.IsZero() && time.Since(since) > deliverFor)
			if err == nil {
				pause, since = deliverFirst, time.Time{}
				break
			}
			if ctx.Err() != nil {
				return
			}
			if since.IsZero() {
				since = time.Now()
			}
			s.cfg.Log.Warn("deliver to a subscription", "group", w.group.Name, "filter", w.key.name, "error", err, "again_in", pause)
			timer := time.NewTimer(pause)
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				return
			}
			pause = min(2*pause, deliverLast)
		}
	}
}

// deliverNext delivers all that arrived behind the cursor; with skip it passes over the events of the
// first request that fails.
func (s *Server) deliverNext(ctx context.Context, w *delivery, skip bool) error {
	is := s.deliveries.now(w)
	cursor, err := object[uint64](ctx, s, w.group.Environment, kindCursor, w.group.Name, is.Name, meta.ErrNotFound)
	if err != nil {
		return err
	}
	where, err := compilePattern(is.is.FilterPattern)
	if err != nil {
		return err
	}
	address, err := s.address(ctx, w.group.Environment, is.is.DestinationARN, is.is.RoleARN)
	if err != nil {
		return err
	}
	rules, err := s.rules.of(ctx, w.group)
	if err != nil {
		return err
	}
	selected, err := is.is.System.selects(is.is.FieldSelectionCriteria)
	if err != nil {
		return err
	}
	if !selected {
		where = query.Or{} // none
	}
	transformed := selected && is.is.ApplyOnTransformedLogs && rules.transformer != nil
	at := cursor.is
	last, err := s.lastSeq(ctx, w.group.ID, at)
	if err != nil {
		return err
	}
	for at < last {
		ask := where
		if transformed {
			ask = nil // what the pattern is for is known only when it was read
		}
		list, end, err := s.behind(ctx, &w.group, ask, at, last)
		if err != nil {
			return err
		}
		if transformed {
			list = rules.transformedEvents(list, where)
		}
		for i := range list {
			list[i].message = rules.masker.mask(list[i].message)
		}
		for _, m := range messagesOf(w, is, list) {
			if err := s.deliveries.post(ctx, address, m); err != nil && !skip {
				return err
			} else if err != nil {
				s.cfg.Log.Error("events for a subscription are given up", "group", w.group.Name, "filter", is.Name, "events", len(list), "error", err)
				skip = false
			}
		}
		at = end
		if _, err := define(context.WithoutCancel(ctx), s, w.group.Environment, kindCursor, w.group.Name, is.Name, at, 0); err != nil {
			return err
		}
	}
	return nil
}

// transformedEvents returns what the group's transformer makes of the events, as far as it matches.
func (g *groupRules) transformedEvents(list []logEvent, where query.Expr) []logEvent {
	out := list[:0]
	for _, e := range list {
		e.message = string(g.transformed([]byte(e.message)))
		if where == nil || query.Holds(where, messageRow(e.message)) {
			out = append(out, e)
		}
	}
	return out
}

// behind reads the next events between two Seqs that match; end is the Seq up to which it has looked.
func (s *Server) behind(ctx context.Context, g *meta.LogGroup, where query.Expr, after, last uint64) (list []logEvent, end uint64, err error) {
	seq := query.Field{Name: event.FieldSeq}
	q, _, err := s.conditions(ctx, &reading{group: *g, where: query.All(
		query.Compare{Op: query.Gt, L: seq, R: query.Num(int64(after))}, query.Compare{Op: query.Le, L: seq, R: query.Num(int64(last))}, where)})
	if err != nil {
		return nil, 0, err
	}
	q.Stages = append(q.Stages, query.Sort{Keys: []query.SortKey{{By: seq}}}, query.Limit{N: deliverEvents},
		query.Project{Fields: query.FieldsNamed(event.FieldTime, event.FieldSeq, event.FieldStream, fieldMessage)})
	res, err := s.cfg.Store.Query(ctx, q)
	if err != nil {
		return nil, 0, fmt.Errorf("read events of %q: %w", g.Name, err)
	}
	for _, row := range res.Rows {
		list = append(list, logEvent{at: position{row[0].Int(), uint64(row[1].Int())}, stream: row[2].Str(), message: row[3].Str()})
	}
	if len(list) == deliverEvents {
		return list, list[len(list)-1].at.seq, nil
	}
	return list, last, nil
}

type deliveredEvent struct {
	ID        string `json:"id"`
	Timestamp int64  `json:"timestamp"`
	Message   string `json:"message"`
	// ExtractedFields are the system fields that the filter emits.
	ExtractedFields map[string]string `json:"extractedFields,omitempty"`
}

type deliveredMessage struct {
	MessageType         string           `json:"messageType"`
	Owner               string           `json:"owner"`
	LogGroup            string           `json:"logGroup"`
	LogStream           string           `json:"logStream"`
	SubscriptionFilters []string         `json:"subscriptionFilters"`
	LogEvents           []deliveredEvent `json:"logEvents"`
}

// messagesOf makes a message for each stream of the events, in the order of their first.
func messagesOf(w *delivery, is defined[storedSubscription], list []logEvent) []*deliveredMessage {
	var out []*deliveredMessage
	_, name, account := strings.Cut(is.Name, policySubscription+":")
	if !account {
		name = is.Name
	}
	extracted := map[string]string{}
	for _, field := range is.is.EmitSystemFields {
		extracted[field], _ = is.is.System.value(field)
	}
	byStream := map[string]*deliveredMessage{}
	for i := range list {
		e := &list[i]
		m := byStream[e.stream]
		if m == nil {
			m = &deliveredMessage{MessageType: "DATA_MESSAGE", Owner: is.is.Owner, LogGroup: w.group.Name, LogStream: e.stream, SubscriptionFilters: []string{name}}
			byStream[e.stream] = m
			out = append(out, m)
		}
		m.LogEvents = append(m.LogEvents, deliveredEvent{e.at.digits(), e.millis(), e.message, extracted})
	}
	return out
}

// post sends a message as AWS does to Firehose and Kinesis: gzip of JSON.
func (d *deliveries) post(ctx context.Context, address string, m *deliveredMessage) error {
	var body bytes.Buffer
	z := gzip.NewWriter(&body)
	if err := errors.Join(json.NewEncoder(z).Encode(m), z.Close()); err != nil {
		return err
	}
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), deliverWithin)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(deliverStop, cancel) })
	defer stop()
	req, err := http.NewRequestWithContext(within, http.MethodPost, address, &body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Content-Encoding", "gzip")
	res, err := d.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection is used again
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("%s answers %s", address, res.Status)
	}
	return nil
}
