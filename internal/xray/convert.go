package xray

import (
	"context"
	"slices"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/jsonscan"
	"github.com/trefoil-o11y/trefoil/internal/meta"
)

// batch turns documents into events of the environment's dataset.
func (s *Server) batch(ctx context.Context, environment string, docs []*document) (*event.Batch, error) {
	ds, err := s.cfg.Meta.EnsureDataset(ctx, environment, meta.XRay, datasetName)
	if err != nil {
		return nil, err
	}
	b := event.NewBuilder()
	defer b.Release()
	now := time.Now().UnixNano()
	for _, d := range docs {
		appendDocument(b, ds.ID, d, now)
	}
	return b.Batch(), nil
}

// appendDocument adds the event of a document, with its text, and those of its subsegments.
func appendDocument(b *event.Builder, ds event.DatasetID, d *document, received int64) {
	service := d.name
	if d.sub {
		service = "" // the segment that it belongs to is in another document
	}
	appendPart(b, d, event.Header{Trace: d.trace, Ingested: received, Dataset: ds}, d.parent, service)
}

func appendPart(b *event.Builder, d *document, h event.Header, parent event.SpanID, service string) {
	h.Time, h.Span, h.Parent = nanos(d.start), d.id, parent
	b.Add(h)
	text := func(name, v string) {
		if v != "" {
			b.SetString(name, v)
		}
	}
	flag := func(name string, v bool) {
		if v {
			b.SetBool(name, true)
		}
	}
	var space [64]byte
	fields := func(prefix string, list []event.Field) {
		for _, f := range slices.Backward(list) { // of two with one name the first counts, see fieldText
			name := append(append(space[:0], prefix...), f.Name...)
			b.Set(jsonscan.Lend(name), f.Value) // which copies it
		}
	}
	fields("aws.", d.aws)
	fields("sql.", d.sql)
	fields("annotation.", d.annotations)
	b.SetString("name", d.name)
	text("service.name", service)
	kind, part := "internal", "subsegment"
	switch {
	case !d.sub:
		kind, part = "server", "segment"
	case d.namespace != "":
		kind = "client"
	}
	b.SetString("span.kind", kind)
	b.SetString("type", kind)
	b.SetString("meta.signal_type", "trace")
	b.SetString("xray.type", part)
	if d.inProgress {
		b.SetBool("xray.in_progress", true)
	} else {
		b.SetFloat("duration_ms", float64(nanos(d.end)-nanos(d.start))/1e6)
	}
	flag("error", d.isError || d.fault || d.throttle)
	flag("xray.error", d.isError)
	flag("xray.fault", d.fault)
	flag("xray.throttle", d.throttle)
	text("xray.namespace", d.namespace)
	text("xray.origin", d.origin)
	text("xray.resource_arn", d.resourceARN)
	text("http.method", d.http.method)
	text("http.url", d.http.url)
	text("http.user_agent", d.http.userAgent)
	text("http.client_ip", d.http.clientIP)
	if d.http.status != nil {
		b.SetInt("http.status_code", *d.http.status)
	}
	text("user", d.user)
	if len(d.exceptions) > 0 {
		text("exception.type", d.exceptions[0].kind)
		text("exception.message", d.exceptions[0].message)
	}
	text("xray.document", d.raw)
	for _, c := range d.children {
		appendPart(b, c, h, d.id, service)
	}
}
