package xray

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/trefoil-o11y/trefoil/internal/event"
)

// render returns the document of an entity: as it was received where nothing was added to it,
// with the subsegments that came by themselves in their places otherwise, and made anew for
// spans and inferred segments.
func (t *trace) render(e *entity) json.RawMessage {
	if e.raw == "" {
		return t.renderMade(e)
	}
	return renderReceived(t, e, json.RawMessage(e.raw))
}

// renderReceived copies raw, the text of e, and lays attached subsegments into it.
func renderReceived(t *trace, e *entity, raw json.RawMessage) json.RawMessage {
	if !hasAttached(e) {
		return raw
	}
	var list []member
	embedded := map[event.SpanID]json.RawMessage{}
	for _, m := range members(raw) {
		if m.name != "subsegments" {
			list = append(list, m)
			continue
		}
		var subs []json.RawMessage
		if json.Unmarshal(m.value, &subs) != nil {
			continue
		}
		for _, s := range subs {
			var t tree
			o, ok := t.read(string(s))
			if !ok {
				continue
			}
			if id, err := event.ParseSpanID(o.text("id")); err == nil {
				embedded[id] = s
			}
		}
	}
	var subs []json.RawMessage
	for _, c := range e.children {
		if text, ok := embedded[c.id]; ok && !c.attached {
			subs = append(subs, renderReceived(t, c, text))
		} else {
			subs = append(subs, t.render(c))
		}
	}
	return join(append(list, member{"subsegments", array(subs)}))
}

func hasAttached(e *entity) bool {
	for _, c := range e.children {
		if c.attached || hasAttached(c) {
			return true
		}
	}
	return false
}

func array(list []json.RawMessage) json.RawMessage {
	return json.RawMessage("[" + string(bytes.Join(rawBytes(list), []byte(","))) + "]")
}

func rawBytes(list []json.RawMessage) [][]byte {
	out := make([][]byte, len(list))
	for i := range list {
		out[i] = list[i]
	}
	return out
}

// join writes an object; of members with one name the first is kept.
func join(list []member) json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('{')
	seen := map[string]bool{}
	for _, m := range list {
		if seen[m.name] {
			continue
		}
		if len(seen) > 0 {
			b.WriteByte(',')
		}
		seen[m.name] = true
		b.Write(encode(m.name))
		b.WriteByte(':')
		b.Write(m.value)
	}
	b.WriteByte('}')
	return b.Bytes()
}

// encode is JSON of what always has one.
func encode(v any) json.RawMessage {
	text, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("xray: encode %T: %v", v, err))
	}
	return text
}

// builder collects the members of a document.
type builder struct{ list []member }

func (b *builder) add(name string, v json.RawMessage) { b.list = append(b.list, member{name, v}) }

func (b *builder) text(name, v string) {
	if v != "" {
		b.add(name, encode(v))
	}
}

func (b *builder) flag(name string, v bool) {
	if v {
		b.add(name, json.RawMessage("true"))
	}
}

func (b *builder) number(name string, v *int64) {
	if v != nil {
		b.add(name, encode(*v))
	}
}

// object adds an object, unless it is empty.
func (b *builder) object(name string, o builder) {
	if len(o.list) > 0 {
		b.add(name, join(o.list))
	}
}

// renderMade writes the document of a span or of an inferred segment.
func (t *trace) renderMade(e *entity) json.RawMessage {
	var b builder
	b.text("id", e.id.String())
	b.text("name", e.name)
	b.add("start_time", encode(e.start))
	b.text("trace_id", t.id.XRay())
	if e.inProgress {
		b.flag("in_progress", true)
	} else {
		b.add("end_time", encode(e.end))
	}
	b.text("parent_id", e.document.parent.String())
	b.flag("inferred", e.inferred)
	if e.sub {
		b.text("type", "subsegment")
		b.text("namespace", e.namespace)
	}
	b.flag("error", e.isError)
	b.flag("throttle", e.throttle)
	b.flag("fault", e.fault)
	b.text("origin", e.origin)
	b.text("user", e.user)
	b.object("http", e.http.builder())
	b.object("cause", causeBuilder(e.document))
	b.object("aws", nested(e.aws))
	b.object("sql", nested(e.sql))
	if len(e.annotations) > 0 {
		var a builder
		for _, f := range e.annotations {
			a.add(f.Name, valueJSON(f.Value))
		}
		b.object("annotations", a)
	}
	if e.span != nil {
		b.object("metadata", spanMetadata(e))
	}
	var links []json.RawMessage
	for _, l := range e.links {
		var x builder
		x.text("trace_id", l.trace.XRay())
		x.text("id", l.id.String())
		links = append(links, join(x.list))
	}
	if len(links) > 0 {
		b.add("links", array(links))
	}
	var subs []json.RawMessage
	for _, c := range e.children {
		subs = append(subs, t.render(c))
	}
	if len(subs) > 0 {
		b.add("subsegments", array(subs))
	}
	return join(b.list)
}

// metadataPrefix begins the names of attributes that hold the metadata of a namespace as JSON.
const metadataPrefix = "aws.xray.metadata."

// spanMetadata is the metadata of a span: what its attributes hold for X-Ray and, for a segment,
// what it was made in.
func spanMetadata(e *entity) builder {
	var b, made builder
	fields, _ := e.span.fields.(spanMap)
	for _, name := range sortedKeys(fields) {
		if ns, ok := strings.CutPrefix(name, metadataPrefix); ok {
			if raw := json.RawMessage(fields[name].Str()); json.Valid(raw) {
				b.add(ns, raw)
			} else {
				b.add(ns, valueJSON(fields[name]))
			}
		}
		if !e.sub && strings.HasPrefix(name, "telemetry.") || !e.sub && strings.HasPrefix(name, "service.") {
			made.add("otel.resource."+name, valueJSON(fields[name]))
		}
	}
	b.object("default", made)
	return b
}

func (h httpPart) builder() builder {
	var b, req, res builder
	req.text("method", h.method)
	req.text("url", h.url)
	req.text("user_agent", h.userAgent)
	req.text("client_ip", h.clientIP)
	req.flag("x_forwarded_for", h.forwarded)
	req.flag("traced", h.traced)
	res.number("status", h.status)
	res.number("content_length", h.length)
	b.object("request", req)
	b.object("response", res)
	return b
}

func causeBuilder(d *document) builder {
	var b builder
	var list []json.RawMessage
	for i, x := range d.exceptions {
		var e builder
		id := x.id
		if id == "" {
			id = fmt.Sprintf("%s%02x", d.id.String()[:14], byte(i))
		}
		e.text("id", id)
		e.text("message", x.message)
		e.text("type", x.kind)
		e.flag("remote", x.remote)
		e.addStack(x.trace)
		list = append(list, join(e.list))
	}
	if len(list) > 0 {
		b.add("exceptions", array(list))
	}
	return b
}

// nested turns dotted names back into objects.
func nested(fields []event.Field) builder {
	var b builder
	groups := map[string][]event.Field{}
	var order []string
	for _, f := range fields {
		head, rest, deep := strings.Cut(f.Name, ".")
		if !deep {
			b.add(head, valueJSON(f.Value))
			continue
		}
		if groups[head] == nil {
			order = append(order, head)
		}
		groups[head] = append(groups[head], event.Field{Name: rest, Value: f.Value})
	}
	for _, name := range order {
		b.object(name, nested(groups[name]))
	}
	return b
}

// valueJSON encodes a value; numbers that JSON has not become text.
func valueJSON(v event.Value) json.RawMessage {
	switch v.Kind() {
	case event.KindString:
		return encode(v.Str())
	default:
		if text := json.RawMessage(v.Text()); json.Valid(text) {
			return text
		}
		return encode(v.Text())
	}
}
