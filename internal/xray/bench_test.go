package xray

import (
	"fmt"
	"strings"
	"testing"

	"github.com/trefoil-o11y/trefoil/internal/event"
)

// document is a segment as a web service's SDK sends it, with five subsegments.
const benchDocument = `{"id":"53995c3f42cd8ad8","name":"api.example.com","start_time":1602537377.461,"end_time":1602537377.662,"trace_id":"1-5f84c7a1-e7d1852db8c4fd35d88bf49a","origin":"AWS::EC2::Instance",` +
	`"http":{"request":{"method":"POST","url":"https://api.example.com/orders","user_agent":"Mozilla/5.0 (X11; Linux x86_64)","client_ip":"198.51.100.7","x_forwarded_for":true},"response":{"status":200,"content_length":512}},` +
	`"aws":{"xray":{"sdk":"X-Ray for Go","sdk_version":"2.0.1"},"ec2":{"instance_id":"i-0b5a4678fc325bg98","availability_zone":"us-west-2c"}},"annotations":{"customer":"gold","attempt":1,"cached":false},` +
	`"metadata":{"debug":{"items":["a","b","c"],"note":"kept as it is"}},"user":"user-17","service":{"version":"1.4.2"},"subsegments":[%s]}`

const benchSubsegment = `{"id":"53995c3f42cd8a%02d","name":"DynamoDB","namespace":"aws","start_time":1602537377.5,"end_time":1602537377.6,"http":{"response":{"status":200,"content_length":60}},` +
	`"aws":{"table_name":"orders","operation":"UpdateItem","request_id":"3AIENM5J4ELQ3SPODHKBIRVIC3VV4KQNSO5AEMVJF66Q9ASUAAJG","resource_names":["orders"]}}`

func benchText() string {
	var subs []string
	for i := range 5 {
		subs = append(subs, fmt.Sprintf(benchSubsegment, 10+i))
	}
	return fmt.Sprintf(benchDocument, strings.Join(subs, ","))
}

func BenchmarkDocument(b *testing.B) {
	text := benchText()
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	bd := event.NewBuilder()
	n := 0
	for b.Loop() {
		for _, one := range splitDocuments(text) {
			d, refused := parseDocument(one)
			if refused != nil {
				b.Fatal(refused.message)
			}
			appendDocument(bd, 1, d, 0)
		}
		if n++; n%500 == 0 {
			bd.Batch()
		}
	}
}
