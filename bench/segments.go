package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// daemonHeader is what the X-Ray SDKs put ahead of each document.
const daemonHeader = `{"format":"json","version":1}` + "\n"

// datagrams are segment documents of about 2 KB, ready to be sent; ids and times are their own.
type datagrams struct {
	window window
	count  int
	docs   []string
}

func newDatagrams(w window, count int) *datagrams {
	rnd := rand.New(rand.NewPCG(4, 4))
	d := &datagrams{window: w, count: count}
	for range templates {
		service := rnd.IntN(len(services))
		var b strings.Builder
		b.WriteString(daemonHeader)
		// The verbs are filled in for each datagram: ids and times of the segment, then of its
		// subsegments.
		fmt.Fprintf(&b, `{"name":"%s","id":"%%016x","trace_id":"1-%%08x-%%024x","start_time":%%.6f,"end_time":%%.6f,"origin":"AWS::ECS::Container",`, services[service])
		fmt.Fprintf(&b, `"http":{"request":{"method":"%s","url":"https://shop.example.com/api/%s/%d","client_ip":"10.0.%d.%d","user_agent":"%s"},"response":{"status":%d,"content_length":%d}},`,
			methods[rnd.IntN(2)], services[service], rnd.IntN(1e8), rnd.IntN(250), rnd.IntN(250), agents[rnd.IntN(len(agents))], []int{200, 200, 200, 404, 500}[rnd.IntN(5)], rnd.IntN(100_000))
		b.WriteString(`"annotations":{`)
		for k := range 8 {
			if k > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `"%s_%s":"value-%d"`, domains[service], nouns[k], rnd.IntN(40))
		}
		b.WriteString(`},"metadata":{"default":{"build":"2026.11.23","request":"`)
		b.WriteString(strings.Repeat("lorem ipsum ", 60))
		b.WriteString(`"}},"subsegments":[`)
		for k := range 2 {
			if k > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"name":"pg-%d","id":"%%016x","start_time":%%.6f,"end_time":%%.6f,"namespace":"remote","sql":{"url":"postgresql://pg/shop","sanitized_query":"SELECT id, state FROM shop.%ss WHERE id = ?"}}`, k, domains[service])
		}
		b.WriteString("]}")
		d.docs = append(d.docs, b.String())
	}
	return d
}

// make returns datagram n.
func (d *datagrams) make(n int) []byte {
	at := float64(d.window.From.UnixNano()+int64(n)*d.window.slot(d.count)) / 1e9
	took := 0.02 + float64(number(7, n, 0)%1000)/1000
	id := number(8, n, 0)
	return fmt.Appendf(nil, d.docs[n%len(d.docs)], id, uint32(at), number(9, n, 0), at, at+took, id^1, at+took*0.1, at+took*0.4, id^2, at+took*0.5, at+took*0.9)
}
