package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

const (
	maxEvents = 300
	groups    = 6
	streams   = 3
	// retentionDays is what groups are set to; old lines are older, others younger.
	retentionDays = 3
)

// wrong is an answer that the server must not give, as opposed to none. A status of 500 or more
// is no answer from a server that was told to end.
type wrong struct {
	error
	status int
}

// group is a log group with what is known of it. Senders hold mu for reading, whoever changes
// the group for writing, so that the ledger knows which came first.
type group struct {
	name string

	mu sync.RWMutex // guards below
	// exists, streams and retention are what the server has acknowledged.
	exists    bool
	streams   [streams]bool
	retention bool
	// doubt says that a change got no answer; the next check asks what became of it.
	doubt bool
}

func (g *group) stream(i int) string { return "task-" + strconv.Itoa(i) }

// soak is a run.
type soak struct {
	server *server
	gate   *gate
	ledger ledger
	groups []*group
	failed func(error) // ends the run
	ending atomic.Bool // the server was told to end

	mu      sync.Mutex // guards below
	queries int
	changes int
}

// judge says what became of a batch by its answer: 200 or 202 acknowledge, 429 and 503 promise that
// nothing was stored; without an answer nothing is known.
func (s *soak) judge(b *batch, a answer, err error) error {
	switch {
	case err != nil:
		s.ledger.end(b, unknown, "")
		return err
	case a.status == 200:
		s.ledger.end(b, stored, "")
	case a.status == 429 || a.status == 503:
		s.ledger.end(b, gone, "was refused with status "+strconv.Itoa(a.status))
	default:
		s.ledger.end(b, unknown, "")
		return wrong{fmt.Errorf("batch %d by %s: status %d: %.300s", b.id, b.way, a.status, a.text), a.status}
	}
	return nil
}

// when returns a time within the last two days.
func when(rnd *rand.Rand) time.Time {
	return time.Now().Add(-time.Duration(rnd.Int64N(int64(48 * time.Hour))))
}

// spans sends spans of two services in one request.
func (s *soak) spans(ctx context.Context, rnd *rand.Rand) error {
	b := s.ledger.begin(batch{way: "otlp", events: 1 + rnd.IntN(maxEvents)})
	at := when(rnd)
	parts := []*trace.ResourceSpans{}
	for i, name := range []string{"soak-web", "soak-api"} {
		parts = append(parts, &trace.ResourceSpans{
			Resource:   &resource.Resource{Attributes: []*common.KeyValue{text("service.name", name)}},
			ScopeSpans: []*trace.ScopeSpans{{}},
		})
		for k := i; k < b.events; k += 2 {
			id := make([]byte, 16)
			binary.BigEndian.PutUint64(id[8:], uint64(b.id))
			span := make([]byte, 8)
			binary.BigEndian.PutUint64(span, uint64(b.id)<<16|uint64(k+1))
			begin := uint64(at.Add(time.Duration(k) * time.Millisecond).UnixNano())
			sp := &trace.Span{
				TraceId: id, SpanId: span, Name: "GET /soak", Kind: trace.Span_SPAN_KIND_SERVER, StartTimeUnixNano: begin, EndTimeUnixNano: begin + 5e6,
				Attributes: []*common.KeyValue{number("batch", b.id), number("http.status_code", 200), text("user.id", "user-"+strconv.Itoa(rnd.IntN(5000)))},
			}
			// Columns come and go, and change their kind.
			if rnd.IntN(4) == 0 {
				sp.Attributes = append(sp.Attributes, text("rare."+strconv.Itoa(rnd.IntN(400)), "x"))
			}
			if rnd.IntN(2) == 0 {
				sp.Attributes = append(sp.Attributes, number("mixed", k))
			} else {
				sp.Attributes = append(sp.Attributes, text("mixed", "k"))
			}
			parts[i].ScopeSpans[0].Spans = append(parts[i].ScopeSpans[0].Spans, sp)
		}
	}
	body, err := proto.Marshal(&collector.ExportTraceServiceRequest{ResourceSpans: parts})
	if err != nil {
		return wrong{err, 0}
	}
	a, err := call(ctx, "http://"+s.server.OTLPHTTP+"/v1/traces", map[string]string{"Content-Type": "application/x-protobuf"}, body)
	return s.judge(b, a, err)
}

func text(key, v string) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: v}}}
}

func number(key string, v int) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: int64(v)}}}
}

// events sends a batch of Honeycomb's.
func (s *soak) events(ctx context.Context, rnd *rand.Rand) error {
	b := s.ledger.begin(batch{way: "events", events: 1 + rnd.IntN(maxEvents)})
	type event struct {
		Time time.Time      `json:"time"`
		Data map[string]any `json:"data"`
	}
	var in []event
	at := when(rnd)
	for k := range b.events {
		in = append(in, event{at.Add(time.Duration(k) * time.Millisecond), map[string]any{"batch": b.id, "name": "soak", "duration_ms": rnd.Float64() * 100}})
	}
	a, err := s.server.post(ctx, "/1/batch/soak-events", in)
	if err := s.judge(b, a, err); err != nil || a.status != 200 {
		return err
	}
	var out []struct{ Status int }
	if err := json.Unmarshal(a.text, &out); err != nil {
		return wrong{err, 0}
	}
	// All events of a batch share their fate.
	refused := 0
	for _, e := range out {
		if e.Status != 202 {
			refused++
		}
	}
	switch {
	case len(out) != b.events || refused > 0 && refused < len(out):
		return wrong{fmt.Errorf("batch %d by events: %d of %d statuses are not 202: %.300s", b.id, refused, len(out), a.text), 0}
	case refused > 0:
		s.ledger.end(b, gone, "was refused event by event")
	}
	return nil
}

// segments sends segment documents of one trace.
func (s *soak) segments(ctx context.Context, rnd *rand.Rand) error {
	b := s.ledger.begin(batch{way: "segments", events: 1 + rnd.IntN(50)})
	at := float64(when(rnd).UnixMilli()) / 1000
	var docs []string
	for k := range b.events {
		docs = append(docs, fmt.Sprintf(`{"name":"soak-segments","id":"%016x","trace_id":"%s","start_time":%.3f,"end_time":%.3f,"annotations":{"batch":%d}}`,
			uint64(b.id)<<16|uint64(k+1), segmentTrace(at, b.id), at, at+0.05, b.id))
	}
	a, err := s.server.post(ctx, "/TraceSegments", map[string][]string{"TraceSegmentDocuments": docs})
	if err := s.judge(b, a, err); err != nil || a.status != 200 {
		return err
	}
	if !bytes.Contains(a.text, []byte(`"UnprocessedTraceSegments":[]`)) {
		return wrong{fmt.Errorf("batch %d by segments: %.300s", b.id, a.text), 0}
	}
	return nil
}

// segmentTrace is told apart from the traces of spans by its first digits.
func segmentTrace(at float64, id int) string { return fmt.Sprintf("1-%08x-%024x", int64(at), id) }

// lines sends log events to a stream of a group that exists.
func (s *soak) lines(ctx context.Context, rnd *rand.Rand) error {
	g := s.groups[rnd.IntN(len(s.groups))]
	g.mu.RLock()
	defer g.mu.RUnlock()
	i := rnd.IntN(streams)
	if g.doubt || !g.exists || !g.streams[i] {
		return nil
	}
	b := s.ledger.begin(batch{way: "logs", events: 1 + rnd.IntN(maxEvents), group: g.name, stream: g.stream(i), old: !g.retention && rnd.IntN(3) == 0})
	at := when(rnd)
	if b.old {
		at = at.Add(-(retentionDays + 1) * 24 * time.Hour)
	}
	type event struct {
		Timestamp int64  `json:"timestamp"`
		Message   string `json:"message"`
	}
	in := struct {
		Group  string  `json:"logGroupName"`
		Stream string  `json:"logStreamName"`
		Events []event `json:"logEvents"`
	}{g.name, b.stream, nil}
	for k := range b.events {
		in.Events = append(in.Events, event{at.UnixMilli() + int64(k), fmt.Sprintf(`{"batch":%d,"level":"info","message":"line %d of a soak, user-%d"}`, b.id, k, rnd.IntN(5000))})
	}
	a, err := s.server.logs(ctx, "PutLogEvents", in)
	if err := s.judge(b, a, err); err != nil || a.status != 200 {
		return err
	}
	if bytes.Contains(a.text, []byte("rejectedLogEventsInfo")) {
		return wrong{fmt.Errorf("batch %d by logs: %.300s", b.id, a.text), 0}
	}
	return nil
}

// ok wraps the answer to a change: an existing thing that is made again is fine. In doubt is a
// change without an answer.
func (g *group) settled(a answer, err error) (bool, error) {
	switch {
	case err != nil:
		g.doubt = true
		return false, err
	case a.status == 200, bytes.Contains(a.text, []byte("ResourceAlreadyExistsException")):
		return true, nil
	case a.status == 503 || a.status == 429:
		return false, nil
	}
	g.doubt = true
	return false, wrong{fmt.Errorf("change of group %s: status %d: %.300s", g.name, a.status, a.text), a.status}
}

// change makes or deletes a group or a stream, or sets a retention.
func (s *soak) change(ctx context.Context, rnd *rand.Rand) error {
	g := s.groups[rnd.IntN(len(s.groups))]
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.doubt {
		return nil
	}
	s.mu.Lock()
	s.changes++
	s.mu.Unlock()
	i := rnd.IntN(streams)
	in := map[string]any{"logGroupName": g.name}
	do := func(operation string) (bool, error) {
		a, err := s.server.logs(ctx, operation, in)
		return g.settled(a, err)
	}
	switch k := rnd.IntN(10); {
	case !g.exists:
		done, err := do("CreateLogGroup")
		g.exists = done
		return err
	case !g.streams[i]:
		in["logStreamName"] = g.stream(i)
		done, err := do("CreateLogStream")
		g.streams[i] = done
		return err
	case k < 2:
		done, err := do("DeleteLogGroup")
		if done {
			s.groupGone(g)
		}
		return err
	case k < 4:
		in["logStreamName"] = g.stream(i)
		done, err := do("DeleteLogStream")
		if done {
			s.streamGone(g, i)
		}
		return err
	case k < 5 && !g.retention:
		in["retentionInDays"] = retentionDays
		done, err := do("PutRetentionPolicy")
		if done {
			s.retained(g)
		}
		return err
	}
	return nil
}

func (s *soak) groupGone(g *group) {
	g.exists, g.streams, g.retention = false, [streams]bool{}, false
	s.ledger.remove("its group was deleted", func(b *batch) bool { return b.group == g.name })
}

func (s *soak) streamGone(g *group, i int) {
	g.streams[i] = false
	s.ledger.remove("its stream was deleted", func(b *batch) bool { return b.group == g.name && b.stream == g.stream(i) })
}

func (s *soak) retained(g *group) {
	g.retention = true
	s.ledger.remove("it is older than its group's retention", func(b *batch) bool { return b.group == g.name && b.old })
}

// resolve asks what became of changes that got no answer.
func (s *soak) resolve(ctx context.Context) error {
	for _, g := range s.groups {
		if !g.doubt {
			continue
		}
		a, err := s.server.logs(ctx, "DescribeLogGroups", map[string]any{"logGroupNamePrefix": g.name})
		if err != nil {
			return err
		}
		var list struct {
			LogGroups []struct {
				LogGroupName    string
				RetentionInDays int
			}
		}
		if err := a.decode(&list); err != nil {
			return err
		}
		if len(list.LogGroups) == 0 {
			s.groupGone(g)
			g.doubt = false
			continue
		}
		g.exists = true
		if list.LogGroups[0].RetentionInDays == retentionDays && !g.retention {
			s.retained(g)
		}
		if a, err = s.server.logs(ctx, "DescribeLogStreams", map[string]any{"logGroupName": g.name}); err != nil {
			return err
		}
		var have struct {
			LogStreams []struct{ LogStreamName string }
		}
		if err := a.decode(&have); err != nil {
			return err
		}
		names := map[string]bool{}
		for _, x := range have.LogStreams {
			names[x.LogStreamName] = true
		}
		for i := range streams {
			switch there := names[g.stream(i)]; {
			case there:
				g.streams[i] = true
			case g.streams[i]:
				s.streamGone(g, i)
			}
		}
		g.doubt = false
	}
	return nil
}

// asked counts a query and says which of the acknowledged batches it is about: the newest, or
// one of the last 200. All of a batch is visible once it was acknowledged.
func (s *soak) asked(rnd *rand.Rand) (back int) {
	s.mu.Lock()
	s.queries++
	s.mu.Unlock()
	if rnd.IntN(2) == 0 {
		return 0
	}
	return rnd.IntN(200)
}

// askHoneycomb counts the events of a batch.
func (s *soak) askHoneycomb(ctx context.Context, rnd *rand.Rand) error {
	b, ok := s.ledger.pick(s.asked(rnd), func(b *batch) bool { return b.way == "otlp" || b.way == "events" })
	if !ok {
		return nil
	}
	found := map[int]int{}
	err := s.count(ctx, found, b.id, b.id+1, func(way string) bool { return way == b.way })
	return visible(b, "Honeycomb query", found[b.id], b.events, err)
}

// askXRay looks for the trace of a batch by a filter.
func (s *soak) askXRay(ctx context.Context, rnd *rand.Rand) error {
	b, ok := s.ledger.pick(s.asked(rnd), func(b *batch) bool { return b.way == "segments" })
	if !ok {
		return nil
	}
	now := time.Now().Unix()
	in := map[string]any{"StartTime": now - 3*86400, "EndTime": now + 3600, "FilterExpression": "annotation.batch = " + strconv.Itoa(b.id)}
	found := 0
	for {
		a, err := s.server.post(ctx, "/TraceSummaries", in)
		if err != nil {
			return err
		}
		var out struct {
			TraceSummaries []struct{ ID string }
			NextToken      string
		}
		if err := a.decode(&out); err != nil {
			return wrong{fmt.Errorf("summaries of batch %d: %w", b.id, err), a.status}
		}
		found += len(out.TraceSummaries)
		if out.NextToken == "" {
			return visible(b, "X-Ray filter", found, 1, nil)
		}
		in["NextToken"] = out.NextToken
	}
}

func visible(b batch, by string, got, want int, err error) error {
	if err == nil && got != want {
		err = wrong{fmt.Errorf("batch %d by %s was acknowledged with %d events; a %s finds %d, want %d", b.id, b.way, b.events, by, got, want), 0}
	}
	return err
}

// askInsights counts the lines of a batch, whose group nobody changes meanwhile.
func (s *soak) askInsights(ctx context.Context, rnd *rand.Rand) error {
	back := s.asked(rnd)
	g := s.groups[rnd.IntN(len(s.groups))]
	g.mu.RLock()
	defer g.mu.RUnlock()
	b, ok := s.ledger.pick(back, func(b *batch) bool { return b.group == g.name })
	if !ok || g.doubt {
		return nil
	}
	rows, err := s.insights(ctx, []string{g.name}, fmt.Sprintf("filter batch = %d | stats count(*) as n", b.id))
	if err != nil || rows == nil {
		return err
	}
	n := 0
	if len(rows) == 1 {
		n, _ = strconv.Atoi(rows[0]["n"])
	}
	return visible(b, "Insights query", n, b.events, nil)
}

// insights runs a query to its end and returns its rows; nil when the server ended meanwhile.
func (s *soak) insights(ctx context.Context, names []string, text string) ([]map[string]string, error) {
	now := time.Now().Unix()
	a, err := s.server.logs(ctx, "StartQuery", map[string]any{"logGroupNames": names, "startTime": now - 14*86400, "endTime": now + 86400, "queryString": text})
	if err != nil {
		return nil, err
	}
	var run struct{ QueryID string }
	if err := a.decode(&run); err != nil {
		return nil, wrong{fmt.Errorf("insights %q: %w", text, err), a.status}
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		if a, err = s.server.logs(ctx, "GetQueryResults", map[string]any{"queryId": run.QueryID}); err != nil {
			return nil, err
		}
		var out struct {
			Status  string
			Results [][]struct{ Field, Value string }
		}
		if err := a.decode(&out); err != nil {
			return nil, wrong{fmt.Errorf("insights %q: %w", text, err), a.status}
		}
		switch out.Status {
		case "Scheduled", "Running":
			continue
		case "Complete":
			rows := []map[string]string{}
			for _, r := range out.Results {
				m := map[string]string{}
				for _, f := range r {
					m[f.Field] = f.Value
				}
				rows = append(rows, m)
			}
			return rows, nil
		case "Cancelled", "Failed":
			// A server that is told to end cancels what runs, and soon answers no more.
			if a, err := call(ctx, "http://"+s.server.HTTP+"/readyz", nil, nil); err != nil || a.status != 200 {
				return nil, nil
			}
		}
		return nil, wrong{fmt.Errorf("insights %q ended as %s", text, out.Status), 0}
	}
	return nil, nil
}

// shard is how many batches are counted by one query, which answers at most 10,000 groups.
const shard = 5000

// datasets are where the batches of a way are, and the column that has their ids.
var datasets = []struct{ way, name, column string }{
	{"otlp", "soak-web", "batch"}, {"otlp", "soak-api", "batch"}, {"events", "soak-events", "batch"}, {"segments", "xray", "annotation.batch"},
}

// query counts the events of a dataset, by a column if one is given, and of batches from from
// to to, exclusive, unless both are 0.
func (s *soak) query(ctx context.Context, dataset, column string, from, to int) ([]map[string]float64, error) {
	now := time.Now().Unix()
	q := map[string]any{"dataset": dataset, "start_time": now - 14*86400, "end_time": now + 86400, "limit": 10_000, "calculations": []map[string]string{{"op": "COUNT"}}}
	if to > 0 {
		q["breakdowns"] = []string{column}
		q["filters"] = []map[string]any{{"column": column, "op": ">=", "value": from}, {"column": column, "op": "<", "value": to}}
	}
	a, err := s.server.post(ctx, "/api/query", q)
	if err != nil {
		return nil, err
	}
	var out struct{ Results []map[string]float64 }
	if err := a.decode(&out); err != nil {
		// Before its first event neither a dataset nor its columns are known.
		if a.status == 404 || a.status == 422 && bytes.Contains(a.text, []byte("unknown")) {
			return nil, nil
		}
		return nil, wrong{fmt.Errorf("count batches of %s: %w", dataset, err), a.status}
	}
	return out.Results, nil
}

// count adds to found the events by batch, for the ids from from to to, of the ways that match.
func (s *soak) count(ctx context.Context, found map[int]int, from, to int, match func(way string) bool) error {
	for _, d := range datasets {
		if !match(d.way) {
			continue
		}
		rows, err := s.query(ctx, d.name, d.column, from, to)
		if err != nil {
			return err
		}
		for _, r := range rows {
			found[int(r[d.column])] += int(r["COUNT"])
		}
	}
	return nil
}

// all returns the events by batch of everything, and how many events there are. Lines are
// counted by Insights, which knows of deleted streams.
func (s *soak) all(ctx context.Context, batches int) (map[int]int, int, error) {
	var names []string
	for _, g := range s.groups {
		if g.exists {
			names = append(names, g.name)
		}
	}
	lines := func(text string, row func(batch, n int)) error {
		if len(names) == 0 {
			return nil
		}
		rows, err := s.insights(ctx, names, text)
		if err != nil {
			return err
		}
		for _, r := range rows {
			id, _ := strconv.Atoi(r["batch"]) // absent in a total
			n, err := strconv.Atoi(r["n"])
			if err != nil {
				return fmt.Errorf("insights %q: row %v", text, r)
			}
			row(id, n)
		}
		return nil
	}
	found := map[int]int{}
	for from := 0; from <= batches; from += shard {
		if err := s.count(ctx, found, from, from+shard, func(string) bool { return true }); err != nil {
			return nil, 0, err
		}
		if err := lines(fmt.Sprintf("filter batch >= %d and batch < %d | stats count(*) as n by batch", from, from+shard), func(id, n int) { found[id] += n }); err != nil {
			return nil, 0, err
		}
	}
	total := 0
	if err := lines("stats count(*) as n", func(_, n int) { total += n }); err != nil {
		return nil, 0, err
	}
	for _, d := range datasets {
		rows, err := s.query(ctx, d.name, "", 0, 0)
		if err != nil {
			return nil, 0, err
		}
		for _, r := range rows {
			total += int(r["COUNT"])
		}
	}
	return found, total, nil
}
