package console

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"sort"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/meta"
	"github.com/trefoil-o11y/trefoil/internal/query"
)

// maxTraceRows is the largest number of rows of one trace that the UI is sent.
const maxTraceRows = 10_000

var errNoTrace = &apiError{http.StatusNotFound, "TraceNotFound", "no event of this trace is stored", nil}

type fieldJSON struct {
	Name  string          `json:"name"`
	Type  string          `json:"type"`
	Value json.RawMessage `json:"value"`
}

// traceRow is one row of the waterfall.
type traceRow struct {
	ID         string      `json:"id"`
	Parent     string      `json:"parent_id,omitempty"`
	Kind       string      `json:"kind"`
	Source     string      `json:"source"`
	Name       string      `json:"name"`
	Service    string      `json:"service"`
	Start      string      `json:"start"`
	DurationMS float64     `json:"duration_ms"`
	SpanKind   string      `json:"span_kind,omitempty"`
	Status     string      `json:"status"`
	InProgress bool        `json:"in_progress,omitempty"`
	Message    string      `json:"message,omitempty"`
	Severity   string      `json:"severity,omitempty"`
	Group      string      `json:"group,omitempty"`
	Stream     string      `json:"stream,omitempty"`
	Fields     []fieldJSON `json:"fields"`

	start int64
	seq   int64
}

func (t *traceRow) isSpan() bool {
	return t.Kind == "span" || t.Kind == "segment" || t.Kind == "subsegment"
}

type serviceCount struct {
	Name   string `json:"name"`
	Spans  int    `json:"spans"`
	Errors int    `json:"errors"`
}

type documentJSON struct {
	ID       string          `json:"id"`
	Name     string          `json:"name"`
	Document json.RawMessage `json:"document"`
}

type traceJSON struct {
	TraceID        string         `json:"trace_id"`
	XRayID         string         `json:"xray_id"`
	Start          string         `json:"start"`
	End            string         `json:"end"`
	DurationMS     float64        `json:"duration_ms"`
	RootName       string         `json:"root_name"`
	RootService    string         `json:"root_service"`
	Partial        bool           `json:"partial"`
	Sources        []string       `json:"sources"`
	Services       []serviceCount `json:"services"`
	MissingParents int            `json:"missing_parents"`
	Truncated      int            `json:"truncated"`
	Rows           []*traceRow    `json:"rows"`
	Documents      []documentJSON `json:"documents"`
	Stats          stats          `json:"stats"`
}

// trace answers the page of one request: spans, subsegments and log lines together.
func (s *Server) trace(r *http.Request) (any, error) {
	began := time.Now()
	id, err := event.ParseTraceID(r.PathValue("id"))
	if err != nil {
		return nil, &apiError{http.StatusNotFound, errNoTrace.code, err.Error(), nil}
	}
	found, err := s.traceRows(r.Context(), id)
	if err != nil {
		return nil, err
	}
	if len(found.rows) == 0 {
		return nil, errNoTrace
	}
	out := &traceJSON{TraceID: id.String(), XRayID: id.XRay(), Sources: []string{}, Services: []serviceCount{}, Documents: []documentJSON{}}
	out.fill(found.rows)
	for _, d := range s.cfg.XRay.Documents(id, found.events) {
		out.Documents = append(out.Documents, documentJSON{d.ID, d.Name, json.RawMessage(d.Raw)})
	}
	out.Stats = statsOf(found.stats, began)
	return out, nil
}

// found is what the store has of a trace.
type found struct {
	rows   []*traceRow
	events []map[string]event.Value // spans, what belongs to them, and segments, as they are stored
	stats  query.Stats
}

// traceRows reads all events of a trace, X-Ray's pending documents among them.
func (s *Server) traceRows(ctx context.Context, id event.TraceID) (*found, error) {
	ids, byID, err := s.datasetIDs(ctx)
	if err != nil {
		return nil, err
	}
	alive, err := s.cfg.Logs.Alive(ctx, s.cfg.Environment, nil)
	if err != nil {
		return nil, err
	}
	where := query.All(query.EqStr(event.FieldTrace, id.String()), alive)
	res, err := s.cfg.Store.Query(ctx, &query.Query{Datasets: ids, Stages: []query.Stage{query.Filter{Where: where}}})
	if err != nil {
		return nil, fmt.Errorf("read trace %s: %w", id, err)
	}
	masks, err := s.cfg.Logs.Masks(ctx, s.cfg.Environment)
	if err != nil {
		return nil, err
	}
	f := &found{stats: res.Stats}
	for _, row := range res.Rows {
		if mask := masks[event.DatasetID(row[res.Column(event.FieldDataset)].Int())]; mask != nil {
			for i, v := range row {
				if res.Columns[i][0] != '$' {
					row[i] = mask(v)
				}
			}
		}
		fields := map[string]event.Value{}
		for i, v := range row {
			if !v.Missing() {
				fields[res.Columns[i]] = v
			}
		}
		get := func(name string) event.Value { return fields[name] }
		switch byID[event.DatasetID(get(event.FieldDataset).Int())].Kind {
		case meta.XRay: // the rows of a segment's parts repeat what is in its document
			if !get("xray.document").Missing() {
				f.events = append(f.events, fields)
			}
		case meta.Honeycomb:
			f.events = append(f.events, fields)
		}
		t := newTraceRow(get, byID[event.DatasetID(get(event.FieldDataset).Int())])
		for i, name := range res.Columns {
			t.addField(name, row[i])
		}
		f.rows = append(f.rows, t)
	}
	pending, err := s.cfg.XRay.PendingRows(ctx, id)
	if err != nil {
		return nil, err
	}
	for _, b := range pending {
		for i := range b.Headers {
			t := newTraceRow(func(name string) event.Value { return b.Get(i, name) }, meta.Dataset{Kind: meta.XRay})
			t.InProgress = true
			b.Each(i, func(name string, v event.Value) bool {
				t.addField(name, v)
				return true
			})
			f.rows = append(f.rows, t)
		}
	}
	f.rows = newest(f.rows)
	return f, nil
}

// newest leaves out X-Ray rows that a later version of the same id replaces.
func newest(rows []*traceRow) []*traceRow {
	last := map[string]*traceRow{}
	for _, t := range rows {
		if t.Source != "xray" {
			continue
		}
		if old := last[t.ID]; old == nil || old.InProgress && !t.InProgress || old.InProgress == t.InProgress && t.seq > old.seq {
			last[t.ID] = t
		}
	}
	out := rows[:0]
	for _, t := range rows {
		if t.Source != "xray" || last[t.ID] == t {
			out = append(out, t)
		}
	}
	return out
}

func newTraceRow(get func(string) event.Value, ds meta.Dataset) *traceRow {
	text := func(names ...string) string {
		for _, n := range names {
			if v := get(n); !v.Missing() {
				return v.Text()
			}
		}
		return ""
	}
	t := &traceRow{
		ID: text(event.FieldSpan), Parent: text(event.FieldParent), Name: text("name"), Service: text("service.name"),
		start: get(event.FieldTime).Int(), seq: get(event.FieldSeq).Int(), SpanKind: text("span.kind"), Status: "ok", Fields: []fieldJSON{},
	}
	t.Start = nanosText(t.start)
	t.DurationMS, _ = get("duration_ms").Number()
	signal, annotation := text("meta.signal_type"), text("meta.annotation_type")
	switch {
	case ds.Kind == meta.Logs:
		t.Source = "logs"
	case ds.Kind == meta.XRay:
		t.Source = "xray"
	case signal == "":
		t.Source = "events"
	default:
		t.Source = "otlp"
	}
	switch {
	case signal == "log" || ds.Kind == meta.Logs:
		// A line's own field duration_ms tells of something else than of the line.
		t.Kind, t.Group, t.Stream, t.DurationMS = "log", ds.Name, text(event.FieldStream), 0
		t.Message, t.Severity = text("@message", "body"), text("severity", "level", "severity_text")
		if t.Name == "" {
			// A structured line is known by its text.
			t.Name = text("msg", "message", "@message", "body")
		}
	case annotation == "span_event" || annotation == "link":
		t.Kind = annotation
	case ds.Kind == meta.XRay && text("xray.type") != "":
		t.Kind = text("xray.type")
		t.InProgress = get("xray.in_progress").Bool()
	default:
		t.Kind = "span"
	}
	if !t.isSpan() || t.ID == "" {
		t.ID = fmt.Sprintf("%s-%d", t.Kind, t.seq)
	}
	switch {
	case get("xray.fault").Bool():
		t.Status = "fault"
	case get("xray.throttle").Bool():
		t.Status = "throttle"
	case query.Truthy(get("error")) && t.Kind != "log":
		t.Status = "error"
	}
	return t
}

// addField adds a field for the panel; X-Ray's documents have a place of their own.
func (t *traceRow) addField(name string, v event.Value) {
	switch name {
	case event.FieldSeq, event.FieldDataset, event.FieldStream, "xray.document":
		return
	case event.FieldTime:
		v = event.String(nanosText(v.Int()))
		name = "Timestamp"
	case event.FieldIngested:
		v = event.String(nanosText(v.Int()))
		name = "meta.ingested_at"
	case event.FieldTrace:
		name = "trace.trace_id"
	case event.FieldSpan:
		name = "trace.span_id"
	case event.FieldParent:
		name = "trace.parent_id"
	case event.FieldSampleRate:
		if v.Int() <= 1 {
			return
		}
		name = "sample_rate"
	}
	if v.Missing() {
		return
	}
	t.Fields = append(t.Fields, fieldOf(name, v))
}

func fieldOf(name string, v event.Value) fieldJSON {
	return fieldJSON{name, v.Kind().String(), jsonOf(v)}
}

// jsonOf encodes a value; numbers that JSON has not are text.
func jsonOf(v event.Value) json.RawMessage {
	text := []byte(v.Text())
	if v.Kind() != event.KindString && json.Valid(text) {
		return text
	}
	quoted, err := json.Marshal(v.Text())
	if err != nil {
		panic(err) // a string always encodes
	}
	return quoted
}

// logResolution is the resolution of CloudWatch's timestamps.
const logResolution = int64(time.Millisecond)

// clampLogs moves log lines that seem to come ahead of the first span, only because their time
// is cut to the millisecond, to its start. Their field Timestamp keeps the stored time.
func clampLogs(rows []*traceRow) {
	first := int64(math.MaxInt64)
	for _, t := range rows {
		if t.isSpan() {
			first = min(first, t.start)
		}
	}
	for _, t := range rows {
		if t.Kind == "log" && t.start < first && first-t.start < logResolution {
			t.start, t.Start = first, nanosText(first)
		}
	}
}

// fill sets all that follows from the rows.
func (out *traceJSON) fill(rows []*traceRow) {
	clampLogs(rows)
	sort.SliceStable(rows, func(i, j int) bool {
		a, b := rows[i], rows[j]
		switch {
		case a.start != b.start:
			return a.start < b.start
		case a.isSpan() != b.isSpan():
			return a.isSpan()
		}
		return a.seq < b.seq
	})
	spans := map[string]*traceRow{}
	for _, t := range rows {
		if t.isSpan() && spans[t.ID] == nil {
			spans[t.ID] = t
		}
	}
	var root *traceRow
	start, end := rows[0].start, rows[0].start
	sources := map[string]bool{}
	services := map[string]*serviceCount{}
	for _, t := range rows {
		sources[t.Source] = true
		start, end = min(start, t.start), max(end, t.start+int64(t.DurationMS*1e6))
		if !t.isSpan() {
			if t.Parent != "" && spans[t.Parent] == nil {
				t.Parent = ""
			}
			continue
		}
		out.Partial = out.Partial || t.InProgress
		missing := t.Parent != "" && spans[t.Parent] == nil
		if missing {
			out.MissingParents++
		}
		if (t.Parent == "" || missing) && (root == nil || root.Parent != "" && t.Parent == "") {
			root = t
		}
		c := services[t.Service]
		if c == nil {
			c = &serviceCount{Name: t.Service}
			services[t.Service] = c
		}
		c.Spans++
		if t.Status != "ok" {
			c.Errors++
		}
	}
	for _, name := range []string{"otlp", "events", "xray", "logs"} {
		if sources[name] {
			out.Sources = append(out.Sources, name)
		}
	}
	for _, c := range services {
		out.Services = append(out.Services, *c)
	}
	sort.Slice(out.Services, func(i, j int) bool { return out.Services[i].Name < out.Services[j].Name })
	if root == nil {
		root = rows[0]
	}
	out.RootName, out.RootService = root.Name, root.Service
	out.Start, out.End, out.DurationMS = nanosText(start), nanosText(end), float64(end-start)/1e6
	if len(rows) > maxTraceRows {
		out.Truncated = len(rows) - maxTraceRows
		rows = rows[:maxTraceRows]
	}
	out.Rows = rows
}
