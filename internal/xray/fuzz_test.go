package xray

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/xray/filterexpr"
)

// FuzzDocument makes a trace of two arbitrary documents and derives everything from it.
func FuzzDocument(f *testing.F) {
	const a = `"trace_id":"1-5f84c7a1-e7d1852db8c4fd35d88bf49a",`
	f.Add(`{`+a+`"id":"0000000000000001","name":"front","start_time":1602537377,"end_time":1602537379,"subsegments":[{"id":"0000000000000002","name":"DynamoDB","namespace":"aws","start_time":1602537377.5,"end_time":1602537378.5,"fault":true,"aws":{"table_name":"t"}}]}`,
		`{`+a+`"id":"0000000000000003","parent_id":"0000000000000002","name":"leaf","type":"subsegment","start_time":1602537377.6,"end_time":1602537378.4,"cause":{"exceptions":[{"type":"Boom"}]},"annotations":{"k":"v"}}`)
	f.Add(`[{"id":1},[]]`, `{`+a+`"id":"0000000000000001","name":"a","start_time":1,"in_progress":true,"aws":{"a":{"b":[1]}},"links":[{"trace_id":"x"}]}`)
	src := `service() { ok } OR edge() { fault } OR rootcause.fault.entity OR rootcause.responsetime.service OR annotation.x = 1 OR message = "x"`
	tree, err := filterexpr.Parse(src)
	if err != nil {
		f.Fatal(err)
	}
	where, err := filterexpr.Lower(tree, src, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		var docs []*document
		var id event.TraceID
		for _, text := range append(splitDocuments(one), splitDocuments(two)...) {
			d, refused := parseDocument(text)
			if (d == nil) == (refused == nil) {
				t.Fatalf("%q: %v, %v", text, d, refused)
			}
			if d == nil || !id.IsZero() && d.trace != id {
				continue
			}
			id = d.trace
			docs = append(docs, d)
			b := event.NewBuilder()
			appendDocument(b, 1, d, 0)
			b.Release()
		}
		tr := assemble(id, docs)
		if tr == nil {
			return
		}
		if tr.end < tr.start || tr.entry == nil {
			t.Fatalf("%v to %v, entry %v", tr.start, tr.end, tr.entry)
		}
		query.Holds(where, tr.row("123456789012"))
		g := newGraph("123456789012")
		g.add(tr)
		kept := newGraph("")
		kept.bucket = 60
		kept.add(tr)
		m := minuteOf(nanos(tr.start))
		if again, err := decodeMinute(encodeMinute(kept, m), m, map[string]string{}); err != nil || !reflect.DeepEqual(counted(again), counted(kept)) {
			t.Fatalf("%q, %q: a kept minute is read as %+v, want %+v: %v", one, two, again, kept, err)
		}
		for name, v := range map[string]any{"summary": tr.summary("123456789012"), "trace": tr.out(), "graph": g.services()} {
			if _, err := json.Marshal(v); err != nil {
				t.Fatalf("%s of %q, %q: %v", name, one, two, err)
			}
		}
		for _, e := range tr.segments {
			if doc := tr.render(e); !json.Valid(doc) {
				t.Fatalf("%q, %q: document %q", one, two, doc)
			}
		}
	})
}

// FuzzDatagram reads arbitrary datagrams: each is a document or has a reason for its refusal.
func FuzzDatagram(f *testing.F) {
	f.Add([]byte(`{"format":"json","version":1}` + "\n{}"))
	f.Add([]byte("no newline"))
	f.Add([]byte(`{"format":"JSON","version":1,"more":[1]}` + "\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		doc, reason := datagram(b)
		if (doc == "") == (reason == "") {
			t.Fatalf("%q: document %q, reason %q", b, doc, reason)
		}
		for _, text := range splitDocuments(doc) {
			if d, refused := parseDocument(text); (d == nil) == (refused == nil) {
				t.Fatalf("%q: %v, %v", text, d, refused)
			}
		}
	})
}

// counted returns what a graph has counted.
func counted(g *graph) []any {
	type plain struct {
		tally
		responses, durations, ages []valueCount
	}
	of := func(c *tally) plain {
		p := plain{*c, c.responses.sorted(), c.durations.sorted(), c.ages.sorted()}
		p.tally.responses, p.tally.durations, p.tally.ages = spread{}, spread{}, spread{}
		return p
	}
	nodes, edges, links := map[nodeKey]plain{}, map[edgeKey]plain{}, []any{}
	for k, c := range g.nodes {
		nodes[k] = of(c)
	}
	for k, c := range g.edges {
		edges[k] = of(c)
	}
	for _, l := range g.links {
		by := of(l.by)
		l.by = nil
		links = append(links, l, by)
	}
	return []any{nodes, edges, links}
}

// FuzzMinute reads arbitrary bytes as a kept minute.
func FuzzMinute(f *testing.F) {
	g := newGraph("")
	g.bucket = 60
	c := newTally()
	c.add(&entity{document: &document{start: 60, end: 61.5, fault: true}})
	c.ages.add(7, 1)
	p := place{node{"table", "AWS::DynamoDB::Table", ""}, "DynamoDB", true}
	g.nodes[nodeKey{p, 60}] = c
	g.edges[edgeKey{source: p.client(), target: p, link: true, alias: "x", bucket: 120}] = c
	g.links = append(g.links, linkRef{to: link{event.TraceID{1}, event.SpanID{2}}, target: p, by: c, bucket: 60, received: 1.5})
	f.Add(encodeMinute(g, 1))
	f.Add([]byte{minuteVersion, 0, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, b []byte) {
		g, err := decodeMinute(b, 1, map[string]string{})
		if err != nil {
			return
		}
		if _, err := decodeMinute(encodeMinute(g, 1), 1, map[string]string{}); err != nil {
			t.Fatalf("%q is read, and not when it is written again", b)
		}
	})
}

// FuzzPolicy evaluates arbitrary resource policies.
func FuzzPolicy(f *testing.F) {
	f.Add(`{"Version":"2012-10-17","Statement":[{"Sid":"a","Effect":"Deny","NotPrincipal":{"AWS":["1"]},"NotAction":"xray:*","Resource":["*"],"Condition":{"StringNotLikeIfExists":{"aws:PrincipalArn":["*",1,true]}}}]}`)
	f.Add(`{"Statement":{"Effect":"Deny","Principal":"*","Action":"*","NotResource":"arn:aws:xray:*:*:group/*","Condition":{"Null":{"aws:SourceArn":true}}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		list, err := parsePolicy(text)
		if err == nil && len(list) == 0 {
			t.Fatalf("%q: neither a statement nor an error", text)
		}
		for _, s := range list {
			if denied := (policyCaller{Account: "000000000000"}).deniedBy(s); denied && !s.deny {
				t.Fatalf("%q: allowed and denied", text)
			}
		}
	})
}
