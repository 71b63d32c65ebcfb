package xray

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/store"
)

// placeFields are the fields of a span that say where in the service graph it belongs.
var placeFields = []string{
	"span.kind", "aws.account_id", "aws.ecs.launchtype", "aws.local.service", "aws.queue.url", "aws.queue_url", "aws.remote.service", "aws.service",
	"aws.table_name", "cloud.account.id", "cloud.platform", "db.connection_string", "db.name", "db.namespace", "db.system", "db.system.name",
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
	// places are documents of a place in the graph and nothing else, by their fields.
	places map[string]*document
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

var (
	outlineOTLP  = &span{otlp: true}
	outlineEvent = &span{}
)

// document is span.document for the current row, without what places nothing in the graph.
func (o *outliner) document() *document {
	h := &o.rows.Headers[o.row]
	o.key = append(o.key[:0], 0)
	if !h.Parent.IsZero() {
		o.key[0] = 1
	}
	for k := range placeFields {
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
	*d = *place
	ms, _ := o.Get("duration_ms").Number()
	d.trace, d.id, d.parent, d.seq = h.Trace, h.Span, h.Parent, int64(h.Seq)
	d.start, d.end = seconds(h.Time), seconds(h.Time+int64(ms*1e6))
	d.http.status = o.span.status()
	o.span.flagsTo(d)
	return d
}

func (o *outliner) place(hasParent bool) *document {
	o.span = span{fields: o, kind: o.Get("span.kind").Str()}
	d := &document{span: outlineEvent, sub: o.span.kind != "server" && hasParent}
	o.span.nameTo(d)
	o.span.awsTo(d)
	d.name, d.origin = strings.Clone(d.name), strings.Clone(d.origin)
	for _, list := range [][]event.Field{d.aws, d.sql} {
		for i := range list {
			list[i].Value = event.String(strings.Clone(list[i].Value.Str()))
		}
	}
	return d
}

// outlines reads outlines of the spans that q finds into c.
func (s *Server) outlines(ctx context.Context, q *query.Query, stats *query.Stats, c *spanCollector) error {
	pool := sync.Pool{New: func() any {
		o := &outliner{places: map[string]*document{}}
		o.span.fields = o
		return o
	}}
	var mu sync.Mutex
	st, err := s.cfg.Store.Read(ctx, q, outlineFields, func(rows *store.Rows) error {
		o := pool.Get().(*outliner)
		defer pool.Put(o)
		o.rows = rows
		signal, annotation := outlineIndex["meta.signal_type"], outlineIndex["meta.annotation_type"]
		docs := make([]*document, 0, len(rows.Headers))
		for i := range rows.Headers {
			o.row = i
			otlp := rows.Value(i, signal).Str() == "trace"
			kind := rows.Value(i, annotation).Str()
			switch {
			case rows.Value(i, signal).Str() == "log" || kind == "span_event":
			case kind == "link":
				mu.Lock()
				c.addLink(spanKey{rows.Headers[i].Trace, rows.Headers[i].Parent}, &o.span)
				mu.Unlock()
			case !rows.Headers[i].Span.IsZero():
				d := o.document()
				if otlp {
					d.span = outlineOTLP
				}
				docs = append(docs, d)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		for _, d := range docs {
			c.docs[d.trace] = append(c.docs[d.trace], d)
		}
		return nil
	})
	stats.Add(st)
	if err != nil {
		return err
	}
	for key, links := range c.links {
		for _, d := range c.docs[key.trace] {
			if d.id == key.span && d.span != nil {
				d.links = links
			}
		}
	}
	return nil
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
		for _, d := range docs {
			c.docs[d.trace] = append(c.docs[d.trace], d)
		}
		return nil
	})
	stats.Add(st)
	return err
}
