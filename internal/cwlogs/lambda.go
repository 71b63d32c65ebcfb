package cwlogs

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/jsonscan"
)

// isLambda reports whether a log group is that of a function of AWS Lambda, by its name.
func isLambda(group string) bool { return strings.HasPrefix(group, "/aws/lambda/") }

// maxFragments is how many braces in a line are tried for the begin of JSON.
const maxFragments = 16

// lambda looks into a line of text of a function: one of the platform's own, such as REPORT, or one
// that the function wrote, of which the request id and the leaves of the first JSON object are fields.
func (d *found) lambda(message []byte) {
	line := bytes.TrimRight(message, "\r\n\t ")
	for _, kind := range []string{"START", "END", "REPORT", "INIT_START", "INIT_REPORT", "XRAY"} {
		rest, ok := bytes.CutPrefix(line, []byte(kind+" "))
		if !ok {
			continue
		}
		if kind == "START" || kind == "END" || kind == "REPORT" {
			if !bytes.HasPrefix(rest, []byte("RequestId: ")) {
				break
			}
		}
		d.leaf([]byte("@type"), event.String(kind))
		d.platform(rest)
		return
	}
	// A function's line is "time, request id, level, text", parted by tabs.
	if parts := bytes.SplitN(line, []byte("\t"), 3); len(parts) == 3 && isUUID(parts[1]) {
		d.leaf([]byte("@requestId"), event.String(jsonscan.Lend(parts[1])))
	}
	fixed := len(d.fields)
	at := 0
	for range maxFragments {
		i := bytes.IndexByte(message[at:], '{')
		if i < 0 {
			return
		}
		at += i
		d.json.Reset(message[at:])
		if d.object(nil, 0) {
			return
		}
		d.fields, d.trace, d.span = d.fields[:fixed], event.TraceID{}, event.SpanID{}
		at++
	}
}

func isUUID(b []byte) bool {
	if len(b) != 36 {
		return false
	}
	for i, c := range b {
		if dash := i == 8 || i == 13 || i == 18 || i == 23; dash != (c == '-') {
			return false
		}
	}
	return true
}

// platformFields are the fields of the parts of a platform's line, which are parted by tabs.
var platformFields = map[string]string{
	"RequestId": "@requestId", "Duration": "@duration", "Billed Duration": "@billedDuration", "Memory Size": "@memorySize", "Max Memory Used": "@maxMemoryUsed",
	"Init Duration": "@initDuration", "XRAY TraceId": "@xrayTraceId", "TraceId": "@xrayTraceId", "SegmentId": "@xraySegmentId",
}

func (d *found) platform(rest []byte) {
	for _, part := range bytes.FieldsFunc(rest, func(r rune) bool { return r == '\t' }) {
		key, value, ok := bytes.Cut(bytes.TrimSpace(part), []byte(": "))
		name := platformFields[string(key)]
		if !ok || name == "" {
			continue
		}
		first, _, _ := bytes.Cut(value, []byte(" "))
		switch name {
		case "@requestId", "@xraySegmentId":
			d.leaf([]byte(name), event.String(jsonscan.Lend(first)))
		case "@xrayTraceId":
			d.leaf([]byte(name), event.String(jsonscan.Lend(first)))
			if id, err := event.ParseTraceID(string(first)); err == nil {
				d.trace = id
			}
		default:
			d.amount(name, first, value)
		}
	}
	if !d.trace.IsZero() {
		for _, f := range d.fields {
			if f.Name == "@xraySegmentId" {
				d.span, _ = event.ParseSpanID(f.Value.Str()) // one that is none is left out
			}
		}
	}
}

// amount adds milliseconds, or a size in bytes; a megabyte is a million, as AWS shows it.
func (d *found) amount(name string, number, text []byte) {
	f, err := strconv.ParseFloat(string(number), 64)
	if err != nil || f-f != 0 {
		return
	}
	if bytes.HasSuffix(text, []byte(" MB")) {
		f *= 1e6
	}
	d.leaf([]byte(name), event.Float(f))
}
