package console

import (
	"encoding/json"
	"io"
	"math"
	"net/http"
	"net/url"
	"sort"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/cwlogs"
	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/honeycomb"
	"github.com/trefoil-o11y/trefoil/internal/meta"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/xray"
)

type serviceJSON struct {
	Name     string   `json:"name"`
	Sources  []string `json:"sources"`
	Requests int64    `json:"requests"`
	Errors   int64    `json:"errors"`
	P50      float64  `json:"p50_ms"`
	P95      float64  `json:"p95_ms"`
	Series   []int64  `json:"requests_series"`
	Failures []int64  `json:"errors_series"`
}

type servicesJSON struct {
	BucketMS int64          `json:"bucket_ms"`
	Buckets  []string       `json:"buckets"`
	Services []*serviceJSON `json:"services"`
	Stats    stats          `json:"stats"`
}

// requests holds for the spans that are requests to a service: server and consumer spans,
// segments, and spans without parent.
func requests() query.Expr {
	kind := query.Field{Name: "span.kind"}
	return query.And{X: []query.Expr{
		query.Has{X: query.Field{Name: event.FieldSpan}},
		query.Has{X: query.Field{Name: "service.name"}},
		query.Not{X: query.Has{X: query.Field{Name: "meta.annotation_type"}}},
		query.Or{X: []query.Expr{
			query.In{X: kind, Values: []event.Value{event.String("server"), event.String("consumer")}},
			query.Not{X: query.Has{X: query.Field{Name: event.FieldParent}}},
		}},
	}}
}

// services summarises the requests of every service: rate, errors, duration.
func (s *Server) services(r *http.Request) (any, error) {
	began := time.Now()
	from, to, err := timeRange(r)
	if err != nil {
		return nil, err
	}
	ids, byID, err := s.datasetIDs(r.Context(), meta.Honeycomb, meta.XRay)
	if err != nil {
		return nil, err
	}
	bucket := bucketOf(from, to, 60)
	service := query.Named{Name: "service", Value: query.Field{Name: "service.name"}}
	failed := query.Call{Fn: "if", Args: []query.Expr{query.Field{Name: "error"}, query.Num(1), query.Num(0)}}
	duration := query.Field{Name: "duration_ms"}
	out := &servicesJSON{BucketMS: bucket.Milliseconds(), Buckets: []string{}, Services: []*serviceJSON{}}
	var total query.Stats
	run := func(a query.Aggregate) (*query.Result, error) {
		res, err := s.cfg.Store.Query(r.Context(), &query.Query{Datasets: ids, From: from, To: to, Stages: []query.Stage{query.Filter{Where: requests()}, a}})
		if err == nil {
			total.Add(res.Stats)
		}
		return res, err
	}
	whole, err := run(query.Aggregate{By: []query.Named{service}, Aggs: []query.Agg{
		{Name: "n", Op: query.Count, Weighted: true}, {Name: "errors", Op: query.Sum, Arg: failed, Weighted: true},
		{Name: "p50", Op: query.Percentile, Arg: duration, P: 50, Weighted: true}, {Name: "p95", Op: query.Percentile, Arg: duration, P: 95, Weighted: true},
	}})
	if err != nil {
		return nil, err
	}
	first := query.FloorTo(from.UnixNano(), int64(bucket))
	for t := first; t < to.UnixNano(); t += int64(bucket) {
		out.Buckets = append(out.Buckets, nanosText(t))
	}
	byName := map[string]*serviceJSON{}
	for _, row := range whole.Rows {
		j := &serviceJSON{Name: row[0].Text(), Sources: []string{}, Requests: row[1].Int(), Errors: row[2].Int(), P50: finite(row[3]), P95: finite(row[4])}
		j.Series, j.Failures = make([]int64, len(out.Buckets)), make([]int64, len(out.Buckets))
		byName[j.Name] = j
		out.Services = append(out.Services, j)
	}
	series, err := run(query.Aggregate{
		By:   []query.Named{service, {Name: "bucket", Value: query.TimeBucket(bucket)}, {Name: "dataset", Value: query.Field{Name: event.FieldDataset}}},
		Aggs: []query.Agg{{Name: "n", Op: query.Count, Weighted: true}, {Name: "errors", Op: query.Sum, Arg: failed, Weighted: true}},
	})
	if err != nil {
		return nil, err
	}
	sources := map[string]map[string]bool{}
	for _, row := range series.Rows {
		j := byName[row[0].Text()]
		i := int((row[1].Int() - first) / int64(bucket))
		if j == nil || i < 0 || i >= len(j.Series) {
			continue
		}
		j.Series[i] += row[3].Int()
		j.Failures[i] += row[4].Int()
		if sources[j.Name] == nil {
			sources[j.Name] = map[string]bool{}
		}
		source := "otlp"
		if byID[event.DatasetID(row[2].Int())].Kind == meta.XRay {
			source = "xray"
		}
		sources[j.Name][source] = true
	}
	for _, j := range out.Services {
		for _, name := range []string{"otlp", "xray"} {
			if sources[j.Name][name] {
				j.Sources = append(j.Sources, name)
			}
		}
	}
	sort.Slice(out.Services, func(i, j int) bool {
		a, b := out.Services[i], out.Services[j]
		if a.Requests != b.Requests {
			return a.Requests > b.Requests
		}
		return a.Name < b.Name
	})
	out.Stats = statsOf(total, began)
	return out, nil
}

func finite(v event.Value) float64 {
	f, _ := v.Number()
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return 0
	}
	return f
}

type summaryJSON struct {
	TraceID     string   `json:"trace_id"`
	XRayID      string   `json:"xray_id"`
	Start       string   `json:"start"`
	DurationMS  float64  `json:"duration_ms"`
	RootName    string   `json:"root_name"`
	RootService string   `json:"root_service"`
	Method      string   `json:"method,omitempty"`
	URL         string   `json:"url,omitempty"`
	Status      int      `json:"status,omitempty"`
	Spans       int      `json:"spans"`
	Logs        int      `json:"logs"`
	Error       bool     `json:"error"`
	Fault       bool     `json:"fault"`
	Throttle    bool     `json:"throttle"`
	Partial     bool     `json:"partial"`
	Sources     []string `json:"sources"`
	Services    []string `json:"services"`
}

type tracesJSON struct {
	Traces     []summaryJSON `json:"traces"`
	NextCursor string        `json:"next_cursor,omitempty"`
	Seen       int           `json:"seen"`
	Histogram  []rangeCount  `json:"histogram"`
	Stats      stats         `json:"stats"`
}

// rangeCount counts the traces of a page by duration.
type rangeCount struct {
	From  float64 `json:"from_ms"`
	To    float64 `json:"to_ms"`
	Count int     `json:"count"`
}

func (s *Server) traces(r *http.Request) (any, error) {
	began := time.Now()
	from, to, err := timeRange(r)
	if err != nil {
		return nil, err
	}
	limit, err := limitOf(r, 50, 1000)
	if err != nil {
		return nil, err
	}
	page, err := s.cfg.XRay.Summaries(r.Context(), xray.SummariesInput{From: from, To: to, Filter: r.URL.Query().Get("filter"), Limit: limit, Cursor: r.URL.Query().Get("cursor")})
	if err != nil {
		return nil, err
	}
	out := &tracesJSON{Traces: []summaryJSON{}, NextCursor: page.NextCursor, Seen: page.Seen, Stats: statsOf(page.Stats, began)}
	for _, t := range page.Traces {
		if t.Logs > 0 {
			t.Sources = append(t.Sources, "logs")
		}
		// A segment is named after its service; what tells requests apart is the path.
		if u, err := url.Parse(t.URL); err == nil && u.Path != "" && t.RootName == t.RootService {
			t.RootName = u.Path
		}
		out.Traces = append(out.Traces, summaryJSON{
			TraceID: t.ID.String(), XRayID: t.ID.XRay(), Start: timeText(t.Start), DurationMS: float64(t.Duration) / 1e6,
			RootName: t.RootName, RootService: t.RootService, Method: t.Method, URL: t.URL, Status: t.Status, Spans: t.Spans, Logs: t.Logs,
			Error: t.Error, Fault: t.Fault, Throttle: t.Throttle, Partial: t.Partial, Sources: orEmpty(t.Sources), Services: orEmpty(t.Services),
		})
	}
	out.Histogram = durations(out.Traces)
	return out, nil
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// durations counts traces in buckets that double, from 0.1 ms on.
func durations(list []summaryJSON) []rangeCount {
	out := []rangeCount{}
	if len(list) == 0 {
		return out
	}
	counts := map[int]int{}
	low, high := math.MaxInt, 0
	for _, t := range list {
		i := max(0, int(math.Ceil(math.Log2(max(t.DurationMS, 0.1)/0.1))))
		counts[i]++
		low, high = min(low, i), max(high, i)
	}
	for i := low; i <= high; i++ {
		b := rangeCount{From: 0.1 * math.Exp2(float64(i-1)), To: 0.1 * math.Exp2(float64(i)), Count: counts[i]}
		if i == 0 {
			b.From = 0
		}
		out = append(out, b)
	}
	return out
}

type nodeJSON struct {
	ID       int     `json:"id"`
	Name     string  `json:"name"`
	Type     string  `json:"type"`
	Root     bool    `json:"root"`
	Requests int     `json:"requests"`
	OK       int     `json:"ok"`
	Errors   int     `json:"errors"`
	Faults   int     `json:"faults"`
	Throttle int     `json:"throttles"`
	AvgMS    float64 `json:"avg_ms"`
}

type edgeJSON struct {
	Source   int     `json:"source"`
	Target   int     `json:"target"`
	Link     bool    `json:"link,omitempty"`
	Requests int     `json:"requests"`
	OK       int     `json:"ok"`
	Errors   int     `json:"errors"`
	Faults   int     `json:"faults"`
	Throttle int     `json:"throttles"`
	AvgMS    float64 `json:"avg_ms"`
}

type mapJSON struct {
	Nodes []nodeJSON `json:"nodes"`
	Edges []edgeJSON `json:"edges"`
	Stats stats      `json:"stats"`
}

func (s *Server) serviceMap(r *http.Request) (any, error) {
	began := time.Now()
	from, to, err := timeRange(r)
	if err != nil {
		return nil, err
	}
	g, err := s.cfg.XRay.Graph(r.Context(), xray.GraphInput{From: from, To: to, Filter: r.URL.Query().Get("filter")})
	if err != nil {
		return nil, err
	}
	out := &mapJSON{Nodes: []nodeJSON{}, Edges: []edgeJSON{}, Stats: statsOf(g.Stats, began)}
	for _, n := range g.Nodes {
		c := n.Counts
		out.Nodes = append(out.Nodes, nodeJSON{n.ID, n.Name, n.Type, n.Root, c.Total, c.OK, c.Errors, c.Faults, c.Throttles, average(c)})
	}
	for _, e := range g.Edges {
		c := e.Counts
		out.Edges = append(out.Edges, edgeJSON{e.Source, e.Target, e.Link, c.Total, c.OK, c.Errors, c.Faults, c.Throttles, average(c)})
	}
	return out, nil
}

func average(c xray.Counts) float64 {
	if c.Total == 0 {
		return 0
	}
	return float64(c.ResponseTime) / 1e6 / float64(c.Total)
}

type groupJSON struct {
	Name      string  `json:"name"`
	Retention int     `json:"retention_days,omitempty"`
	Bytes     int64   `json:"stored_bytes"`
	Events    int64   `json:"events"`
	Streams   int     `json:"streams"`
	Created   string  `json:"created_at"`
	Last      *string `json:"last_event_at,omitempty"`
}

type groupsJSON struct {
	Groups []groupJSON `json:"groups"`
	Stats  stats       `json:"stats"`
}

func (s *Server) logGroups(r *http.Request) (any, error) {
	began := time.Now()
	list, err := s.cfg.Logs.Groups(r.Context(), s.cfg.Environment, r.URL.Query().Get("prefix"))
	if err != nil {
		return nil, err
	}
	out := &groupsJSON{Groups: []groupJSON{}, Stats: statsOf(query.Stats{}, began)}
	for _, g := range list {
		out.Groups = append(out.Groups, groupJSON{g.Name, g.RetentionDays, g.StoredBytes, g.Events, g.Streams, timeText(g.Created), optionalTime(g.LastEvent)})
	}
	return out, nil
}

type streamJSON struct {
	Name     string  `json:"name"`
	Created  string  `json:"created_at"`
	First    *string `json:"first_event_at,omitempty"`
	Last     *string `json:"last_event_at,omitempty"`
	Ingested *string `json:"last_ingestion_at,omitempty"`
	Events   int64   `json:"events"`
}

type streamsJSON struct {
	Streams []streamJSON `json:"streams"`
	Stats   stats        `json:"stats"`
}

func (s *Server) logStreams(r *http.Request) (any, error) {
	began := time.Now()
	q := r.URL.Query()
	list, err := s.cfg.Logs.Streams(r.Context(), s.cfg.Environment, q.Get("group"), q.Get("prefix"))
	if err != nil {
		return nil, err
	}
	out := &streamsJSON{Streams: []streamJSON{}, Stats: statsOf(query.Stats{}, began)}
	for _, x := range list {
		out.Streams = append(out.Streams, streamJSON{x.Name, timeText(x.Created), optionalTime(x.FirstEvent), optionalTime(x.LastEvent), optionalTime(x.LastIngestion), x.Events})
	}
	return out, nil
}

type logEventJSON struct {
	ID       string      `json:"id"`
	Time     string      `json:"time"`
	Ingested string      `json:"ingested_at"`
	Stream   string      `json:"stream"`
	Message  string      `json:"message"`
	TraceID  string      `json:"trace_id,omitempty"`
	SpanID   string      `json:"span_id,omitempty"`
	Severity string      `json:"severity,omitempty"`
	Fields   []fieldJSON `json:"fields"`
}

type timeCount struct {
	Time  string `json:"time"`
	Count int64  `json:"count"`
}

type logEventsJSON struct {
	Events     []logEventJSON `json:"events"`
	NextCursor string         `json:"next_cursor,omitempty"`
	Histogram  []timeCount    `json:"histogram"`
	BucketMS   int64          `json:"bucket_ms"`
	Stats      stats          `json:"stats"`
}

func (s *Server) logEvents(r *http.Request) (any, error) {
	began := time.Now()
	from, to, err := timeRange(r)
	if err != nil {
		return nil, err
	}
	limit, err := limitOf(r, 200, 10_000)
	if err != nil {
		return nil, err
	}
	q := r.URL.Query()
	bucket := bucketOf(from, to, 60)
	page, err := s.cfg.Logs.Events(r.Context(), cwlogs.EventsInput{
		Environment: s.cfg.Environment, Group: q.Get("group"), Stream: q.Get("stream"), Filter: q.Get("filter"),
		From: from, To: to, Limit: limit, Cursor: q.Get("cursor"), Descending: q.Get("order") != "asc", Bucket: bucket,
	})
	if err != nil {
		return nil, err
	}
	out := &logEventsJSON{Events: []logEventJSON{}, NextCursor: page.NextCursor, Histogram: []timeCount{}, BucketMS: bucket.Milliseconds(), Stats: statsOf(page.Stats, began)}
	for _, e := range page.Events {
		j := logEventJSON{
			ID: e.ID, Time: timeText(e.Time), Ingested: timeText(e.Ingested), Stream: e.Stream, Message: e.Message,
			TraceID: e.Trace.String(), SpanID: e.Span.String(), Fields: []fieldJSON{},
		}
		for _, f := range e.Fields {
			switch f.Name {
			case "level", "severity":
				j.Severity = f.Value.Text()
			}
			j.Fields = append(j.Fields, fieldOf(f.Name, f.Value))
		}
		out.Events = append(out.Events, j)
	}
	for _, b := range page.Histogram {
		out.Histogram = append(out.Histogram, timeCount{timeText(b.Time), b.Count})
	}
	return out, nil
}

type columnJSON struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

type datasetJSON struct {
	Name    string       `json:"name"`
	Slug    string       `json:"slug"`
	Kind    string       `json:"kind"`
	Created string       `json:"created_at"`
	Columns []columnJSON `json:"columns"`
}

func (s *Server) datasets(r *http.Request) (any, error) {
	began := time.Now()
	list, err := s.cfg.Meta.Datasets(r.Context(), s.cfg.Environment)
	if err != nil {
		return nil, err
	}
	out := []datasetJSON{}
	for _, d := range list {
		infos, err := s.cfg.Store.Columns(r.Context(), d.ID)
		if err != nil {
			return nil, err
		}
		j := datasetJSON{d.Name, d.Slug, string(d.Kind), timeText(d.Created), []columnJSON{}}
		names, kinds := honeycomb.Columns(infos)
		for _, n := range names {
			j.Columns = append(j.Columns, columnJSON{n, kinds[n].String()})
		}
		out = append(out, j)
	}
	return struct {
		Datasets []datasetJSON `json:"datasets"`
		Stats    stats         `json:"stats"`
	}{out, statsOf(query.Stats{}, began)}, nil
}

type queryJSON struct {
	Granularity  int64             `json:"granularity_s"`
	From         string            `json:"from"`
	To           string            `json:"to"`
	Calculations []string          `json:"calculations"`
	Breakdowns   []string          `json:"breakdowns"`
	Results      []honeycomb.Data  `json:"results"`
	Series       []honeycomb.Point `json:"series"`
	Stats        stats             `json:"stats"`
}

// query answers Honeycomb's query JSON at once, without the two steps of its public API.
func (s *Server) query(r *http.Request) (any, error) {
	began := time.Now()
	body, err := io.ReadAll(io.LimitReader(r.Body, 100_001))
	if err != nil || len(body) > 100_000 {
		return nil, badRequest("the query is larger than 100000 bytes")
	}
	var in struct {
		honeycomb.Spec
		Dataset string `json:"dataset"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, badRequest("the query is not valid JSON: %v", err)
	}
	list, err := honeycomb.Datasets(r.Context(), s.cfg.Meta, s.cfg.Environment, in.Dataset)
	if err != nil {
		return nil, clientError(err)
	}
	known, err := honeycomb.Known(r.Context(), s.cfg.Store, list)
	if err != nil {
		return nil, err
	}
	if err := in.Validate(known); err != nil {
		return nil, clientError(err)
	}
	a, err := honeycomb.Run(r.Context(), s.cfg.Store, s.cfg.Logs, list, &in.Spec, time.Now(), true)
	if err != nil {
		return nil, clientError(err)
	}
	out := queryJSON{
		Granularity: int64(a.Granularity / time.Second), From: timeText(a.From), To: timeText(a.To), Calculations: in.Keys(),
		Breakdowns: orEmpty(in.Breakdowns), Results: a.Results, Series: a.Series, Stats: statsOf(a.Stats, began),
	}
	return out, nil
}

// clientError keeps the message of an error that the client caused.
func clientError(err error) error {
	if msg, client := honeycomb.Describe(err); client {
		return &apiError{http.StatusUnprocessableEntity, "InvalidQuery", msg, nil}
	}
	return err
}
