package main

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"google.golang.org/protobuf/encoding/protowire"
)

const (
	logGroup = "/shop/app"
	streams  = 10
	// rareText is in about one line of 85,000, timeoutText in two of a hundred.
	rareText    = "certificate pinning mismatch"
	timeoutText = "timeout"
)

var levels = []string{"DEBUG", "INFO", "WARN", "ERROR"}

// line is a log line before it is encoded. Each is a trace of its own in the template, so that
// its ids and times differ.
type line struct {
	row
	logger, text string
	status, took int
	traced       bool
}

func newLine(rnd *rand.Rand, i int) line {
	l := line{row: row{trace: int32(i), parent: -1, service: int8(rnd.IntN(len(services))), route: -1}}
	l.level = 1
	switch k := rnd.IntN(100); {
	case k < 10:
		l.level = 0
	case k < 13:
		l.level = 3
	case k < 20:
		l.level = 2
	}
	l.logger = "com.example.shop." + services[l.service] + "." + []string{"Handler", "Repository", "Client", "Worker"}[rnd.IntN(4)]
	l.status, l.took = []int{200, 200, 200, 201, 304, 404, 500}[rnd.IntN(7)], rnd.IntN(900)
	l.traced = rnd.IntN(3) == 0
	noun := domains[l.service]
	switch k := rnd.IntN(50); {
	case k == 0:
		l.timeout = true
		l.text = fmt.Sprintf("%s after %d ms waiting for %s ######## of user-#####, attempt %d", timeoutText, l.took, noun, 1+rnd.IntN(3))
	case k < 20:
		l.text = fmt.Sprintf("%s ######## of user-##### loaded in %d ms, %d rows from shop.%ss", noun, l.took, rnd.IntN(200), noun)
	case k < 35:
		l.text = fmt.Sprintf("%s /api/%s/######## answered %d in %d ms to user-#####", methods[rnd.IntN(2)], services[l.service], l.status, l.took)
	default:
		l.text = fmt.Sprintf("%s ######## changed state to %s for user-##### (version %d)", noun, []string{"open", "reserved", "paid", "sent"}[rnd.IntN(4)], rnd.IntN(40))
	}
	l.text += fmt.Sprintf(" region=eu-1 shard=%02d", rnd.IntN(24))
	return l
}

func planLines(i int, salt uint64) (*template, []line, *rand.Rand) {
	rnd := rand.New(rand.NewPCG(salt, uint64(i)))
	t := &template{traces: perRequest}
	list := make([]line, perRequest)
	for k := range list {
		list[k] = newLine(rnd, k)
	}
	if i%100 == rareTemplate {
		list[500].rare, list[500].timeout = true, false
		list[500].text = rareText + " for user-#####, peer ########"
	}
	for k := range list {
		t.rows = append(t.rows, list[k].row)
	}
	return t, list, rnd
}

// recordFields are the fixed-width fields of a log record that vary.
var recordFields = map[protowire.Number]kind{1: startTime, 9: traceID, 10: spanID, 11: startTime}

// otlpLines encodes request i of the templates of OTLP log records.
func otlpLines(i int) (*template, error) {
	t, list, rnd := planLines(i, 2)
	ld := plog.NewLogs()
	var order []int32
	for service := range int8(len(services)) {
		rl := ld.ResourceLogs().AppendEmpty()
		rl.Resource().Attributes().PutStr("service.name", services[service])
		rl.Resource().Attributes().PutStr("host.name", fmt.Sprintf("node-%d.eu-1.example.net", service%4))
		records := rl.ScopeLogs().AppendEmpty().LogRecords()
		for k := range list {
			l := &list[k]
			if l.service != service {
				continue
			}
			order = append(order, int32(k))
			r := records.AppendEmpty()
			r.SetTimestamp(1)
			r.SetObservedTimestamp(1)
			r.SetSeverityNumber(plog.SeverityNumber(5 + 4*l.level))
			r.SetSeverityText(levels[l.level])
			r.Body().SetStr(l.text)
			a := r.Attributes()
			a.PutStr("logger", l.logger)
			a.PutStr("thread", fmt.Sprintf("worker-%02d", rnd.IntN(16)))
			a.PutInt("line", int64(rnd.IntN(500)))
			a.PutInt("status", int64(l.status))
			a.PutStr("request_id", "req-################")
			if l.traced {
				r.SetTraceID(pcommon.TraceID{1})
				r.SetSpanID(pcommon.SpanID{1})
			}
		}
	}
	var err error
	if t.body, err = plogotlp.NewExportRequestFromLogs(ld).MarshalProto(); err != nil {
		return nil, err
	}
	next := 0
	return t, leaves(t.body, func(at, size int) error {
		row := order[next]
		next++
		t.text(at, at+size, int(row))
		return fields(t.body, at, at+size, func(num protowire.Number, at, size int) error {
			if k, ok := recordFields[num]; ok && size > 0 {
				t.places = append(t.places, place{int32(at), k, row})
			}
			return nil
		})
	})
}

// putLines encodes request i of the templates of PutLogEvents: messages that are JSON objects,
// as structured loggers write them.
func putLines(i int) (*template, error) {
	t, list, rnd := planLines(i, 3)
	var b strings.Builder
	fmt.Fprintf(&b, `{"logGroupName":%q,"logStreamName":"task-%d","logEvents":[`, logGroup, i%streams)
	ends := make([]int, 0, len(list))
	for k := range list {
		l := &list[k]
		if k > 0 {
			b.WriteByte(',')
		}
		object := fmt.Sprintf(`{"level":"%s","logger":"%s","message":"%s","status":%d,"thread":"worker-%02d"`, levels[l.level], l.logger, l.text, l.status, rnd.IntN(16))
		if l.traced {
			object += `,"trace_id":"################################"`
		}
		b.WriteString(`{"timestamp":#############,"message":"` + strings.ReplaceAll(object, `"`, `\"`) + `}"}`)
		ends = append(ends, b.Len())
	}
	b.WriteString("]}")
	t.body = []byte(b.String())
	from := 0
	for k, to := range ends {
		t.text(from, to, k)
		from = to
	}
	return t, nil
}
