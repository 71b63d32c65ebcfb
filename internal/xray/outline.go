package xray

import (
	"context"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/store"
)

// placeFields are the fields of a span that say where in the service graph it belongs.
var placeFields = []string{
	"span.kind", "aws.account_id", "aws.ecs.launchtype", "aws.local.service", "aws.queue.url", "aws.queue_url", "aws.remote.service", "aws.service",
	"aws.span.kind", "aws.table_name", "cloud.account.id", "cloud.platform", "db.connection_string", "db.name", "db.namespace", "db.system", "db.system.name",
	"http.host", "name", "net.peer.name", "peer.service", "rpc.service", "rpc.system", "server.address", "service.name", "service_name",
}

// outlineFields are the fields that an outline of spans is made of: placeFields first.
var outlineFields = append(slices.Clone(placeFields), "duration_ms", "error", "status_code", "http.status_code", "http.response.status_code",
	"response.status_code", "meta.signal_type", "meta.annotation_type", "trace.link.trace_id", "trace.link.span_id")

var outlineIndex = func() map[string]int {
	m := map[string]int{}
	for i, name := range outlineFields {
		m[name] = i
	}
	return m
}()

// outliner makes documents that have of spans only what the service graph is made of. It is for
// one goroutine.
type outliner struct {
	rows *store.Rows
	row  int
	span span
	// there are the placeFields that any of the rows may have.
	there []int
	// places are documents of a place in the graph and nothing else, by their fields.
	places map[string]*template
	key    []byte
	made   []document
}

// maxPlaces bounds the places that an outliner remembers.
const maxPlaces = 10_000

// Get implements spanFields for the row that is looked at.
func (o *outliner) Get(name string) event.Value {
	if k, ok := outlineIndex[name]; ok {
		return o.rows.Value(o.row, k)
	}
	return event.Value{}
}

// template is what outlines of one place share.
type template struct {
	document
	otlp, event *span
	// local is the service of a call that is the first of it in a trace, else empty.
	local string
}

// document is span.document for the current row, without what places nothing in the graph.
func (o *outliner) document(otlp bool) *document {
	h := &o.rows.Headers[o.row]
	o.key = append(o.key[:0], 0)
	if !h.Parent.IsZero() {
		o.key[0] = 1
	}
	for _, k := range o.there {
		if v := o.rows.Value(o.row, k); !v.Missing() {
			o.key = append(append(append(o.key, byte(k)), v.Text()...), 0)
		}
	}
	place := o.places[string(o.key)]
	if place == nil {
		place = o.place(!h.Parent.IsZero())
		if len(o.places) < maxPlaces {
			o.places[string(o.key)] = place
		}
	}
	if len(o.made) == 0 {
		o.made = make([]document, 256)
	}
	d := &o.made[0]
	o.made = o.made[1:]
	if *d = place.document; otlp {
		d.span = place.otlp
	}
	ms, _ := o.Get("duration_ms").Number()
	d.trace, d.id, d.parent, d.seq = h.Trace, h.Span, h.Parent, int64(h.Seq)
	d.start, d.end = seconds(h.Time), seconds(h.Time+int64(ms*1e6))
	d.http.status = o.span.status()
	o.span.flagsTo(d)
	if place.local != "" {
		return localRoot(d, place.local)
	}
	return d
}

func (o *outliner) place(hasParent bool) *template {
	o.span = span{fields: o, kind: o.Get("span.kind").Str()}
	names := spanMap{}
	for _, name := range []string{"name", "service.name", "service_name"} {
		if v := o.span.text(name); v != "" {
			names[name] = event.String(strings.Clone(v))
		}
	}
	p := &template{otlp: &span{fields: names, kind: strings.Clone(o.span.kind), otlp: true}, event: &span{fields: names, kind: strings.Clone(o.span.kind)}}
	d := &p.document
	d.like = p
	d.span, d.sub = p.event, o.span.kind != "server" && hasParent
	o.span.nameTo(d)
	o.span.awsTo(d)
	if o.span.localRoot() {
		p.local = strings.Clone(o.span.text("aws.local.service"))
	}
	d.name, d.origin = strings.Clone(d.name), strings.Clone(d.origin)
	for _, list := range [][]event.Field{d.aws, d.sql} {
		for i := range list {
			list[i].Value = event.String(strings.Clone(list[i].Value.Str()))
		}
	}
	return p
}

// outlines reads outlines of the spans that q finds into c.
func (s *Server) outlines(ctx context.Context, q *query.Query, stats *query.Stats, c *spanCollector) error {
	pool := sync.Pool{New: func() any {
		o := &outliner{places: map[string]*template{}}
		o.span.fields = o
		return o
	}}
	var mu sync.Mutex
	st, err := s.cfg.Store.Read(ctx, q, outlineFields, func(rows *store.Rows) error {
		o := pool.Get().(*outliner)
		defer pool.Put(o)
		o.rows, o.there = rows, o.there[:0]
		for k := range placeFields {
			if rows.Has[k] {
				o.there = append(o.there, k)
			}
		}
		signal, annotation := outlineIndex["meta.signal_type"], outlineIndex["meta.annotation_type"]
		docs := make([]*document, 0, len(rows.Headers))
		var logs []event.TraceID
		for i := range rows.Headers {
			o.row = i
			otlp := rows.Value(i, signal).Str() == "trace"
			kind := rows.Value(i, annotation).Str()
			switch {
			case rows.Value(i, signal).Str() == "log":
				logs = append(logs, rows.Headers[i].Trace)
			case kind == "span_event":
			case kind == "link":
				mu.Lock()
				c.addLink(spanKey{rows.Headers[i].Trace, rows.Headers[i].Parent}, &o.span)
				mu.Unlock()
			case !rows.Headers[i].Span.IsZero():
				docs = append(docs, o.document(otlp))
			}
		}
		mu.Lock()
		defer mu.Unlock()
		c.found = append(c.found, docs...)
		for _, id := range logs {
			c.logs[id]++
		}
		return nil
	})
	stats.Add(st)
	return err
}

// linkOutlines gives outlines their links.
func (c *spanCollector) linkOutlines(docs iter.Seq[*document]) {
	if len(c.links) == 0 {
		return
	}
	for d := range docs {
		if d.synthetic {
			d = d.children[0]
		}
		if d.like == nil {
			continue
		}
		if links := c.links[spanKey{d.trace, d.id}]; links != nil {
			d.links = links
		}
	}
}

// requestFields are the fields that say what a request was for.
var requestFields = []string{
	"http.method", "http.request.method", "http.url", "url.full", "http.target", "url.path", "http.route", "request.path", "url.query", "http.host",
	"http.server_name", "server.address", "net.host.name", "net.peer.name", "request.host", "server.port", "net.host.port", "net.peer.port",
	"http.scheme", "url.scheme", "http.status_code", "http.response.status_code", "response.status_code",
}

// requests reads what the entries of traces, of which there are outlines, were asked for.
func (s *Server) requests(ctx context.Context, t tenant, traces []*trace, stats *query.Stats) error {
	ids, keys := map[event.TraceID]struct{}{}, map[query.SpanKey]struct{}{}
	entries := map[query.SpanKey]*entity{}
	var from, to int64
	for _, tr := range traces {
		if e := tr.entry; e.span != nil {
			k := query.SpanKey{Trace: tr.id, Span: e.id}
			ids[tr.id], keys[k], entries[k] = struct{}{}, struct{}{}, e
			at := nanos(e.start)
			if len(keys) == 1 {
				from, to = at, at
			}
			from, to = min(from, at), max(to, at)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	datasets, segments, err := s.traceDatasets(ctx, t)
	if err != nil {
		return err
	}
	q := &query.Query{
		Datasets: slices.DeleteFunc(datasets, func(d event.DatasetID) bool { return d == segments }),
		From:     time.Unix(0, from), To: time.Unix(0, to).Add(time.Microsecond), // starts of documents are of whole microseconds
		Stages: []query.Stage{query.Filter{Where: query.All(query.TraceIn{IDs: ids}, query.SpanIn{Field: event.FieldSpan, Keys: keys})}},
	}
	var mu sync.Mutex
	st, err := s.cfg.Store.Read(ctx, q, requestFields, func(rows *store.Rows) error {
		mu.Lock()
		defer mu.Unlock()
		for i, h := range rows.Headers {
			e := entries[query.SpanKey{Trace: h.Trace, Span: h.Span}]
			if e == nil || int64(h.Seq) != e.seq {
				continue
			}
			fields := spanMap{}
			for k, name := range requestFields {
				if v := rows.Value(i, k); v.Kind() == event.KindString {
					fields[name] = event.String(strings.Clone(v.Str()))
				} else if !v.Missing() {
					fields[name] = v
				}
			}
			sp := span{fields: fields, kind: e.span.kind}
			sp.httpTo(e.document)
		}
		return nil
	})
	stats.Add(st)
	return err
}

// documents reads the segment documents that q finds into c.
func (s *Server) documents(ctx context.Context, q *query.Query, stats *query.Stats, c *spanCollector) error {
	var mu sync.Mutex
	st, err := s.cfg.Store.Read(ctx, q, []string{"xray.document"}, func(rows *store.Rows) error {
		var docs []*document
		for i := range rows.Headers {
			if d, refused := parseDocument(strings.Clone(rows.Value(i, 0).Str())); refused == nil {
				d.seq = int64(rows.Headers[i].Seq)
				docs = append(docs, d)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		c.found = append(c.found, docs...)
		return nil
	})
	stats.Add(st)
	return err
}
