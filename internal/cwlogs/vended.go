package cwlogs

import (
	"bytes"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/jsonscan"
	"github.com/trefoil-o11y/trefoil/internal/query"
)

// vendedFormat is the text that a service of AWS writes: fields parted by single blanks, a dash for one
// that is missing. The names are those of Insights, at
// docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_AnalyzeLogData-discoverable-fields.html.
type vendedFormat struct {
	begin  string
	fields []vendedField
}

// vendedField is a field; is, unless it is nil, reports whether a text can be its value. A line of which
// one can not be is of another format.
type vendedField struct {
	name   []byte
	number bool
	is     func(text []byte) bool
}

// maxVended is the largest number of fields of a format.
const maxVended = 14

var vendedFormats = []vendedFormat{
	// VPC flow logs, the default format.
	{"2 ", []vendedField{
		{name: []byte("version"), number: true}, {name: []byte("accountId")}, {name: []byte("interfaceId"), is: beginsWith("eni-")},
		{name: []byte("srcAddr")}, {name: []byte("dstAddr")}, {name: []byte("srcPort"), number: true}, {name: []byte("dstPort"), number: true},
		{name: []byte("protocol"), number: true}, {name: []byte("packets"), number: true}, {name: []byte("bytes"), number: true},
		{name: []byte("startTime"), number: true}, {name: []byte("endTime"), number: true},
		{name: []byte("action"), is: oneOf("ACCEPT", "REJECT")}, {name: []byte("logStatus"), is: oneOf("OK", "NODATA", "SKIPDATA")},
	}},
	// Route 53's logs of queries of public zones.
	{"1.0 ", []vendedField{
		{name: []byte("version")}, {name: []byte("queryTimestamp"), is: isTime}, {name: []byte("hostZoneId"), is: beginsWith("Z")},
		{name: []byte("queryName")}, {name: []byte("queryType")}, {name: []byte("responseCode")}, {name: []byte("protocol"), is: oneOf("UDP", "TCP")},
		{name: []byte("edgeLocation")}, {name: []byte("resolverIp")}, {name: []byte("ednsClientSubnet")},
	}},
}

func beginsWith(prefix string) func([]byte) bool {
	return func(text []byte) bool { return bytes.HasPrefix(text, []byte(prefix)) }
}

func oneOf(values ...string) func([]byte) bool {
	return func(text []byte) bool {
		for _, v := range values {
			if string(text) == v {
				return true
			}
		}
		return false
	}
}

func isTime(text []byte) bool {
	_, err := time.Parse(time.RFC3339, string(text))
	return err == nil
}

// vended looks into a line of text that a service of AWS may have written.
func (d *found) vended(message []byte) {
	for i := range vendedFormats {
		f := &vendedFormats[i]
		if bytes.HasPrefix(message, []byte(f.begin)) && d.fieldsOf(f, bytes.TrimRight(message, "\r\n")) {
			return
		}
	}
}

// fieldsOf adds the fields of a line; it reports whether it is of the format.
func (d *found) fieldsOf(f *vendedFormat, line []byte) bool {
	var parts [maxVended][]byte
	for i := range f.fields {
		part, rest, more := bytes.Cut(line, []byte(" "))
		if more != (i < len(f.fields)-1) || len(part) == 0 {
			return false
		}
		is, missing := f.fields[i].is, string(part) == "-"
		if !missing && (is != nil && !is(part) || f.fields[i].number && !digits(part)) {
			return false
		}
		if parts[i] = part; missing {
			parts[i] = nil
		}
		line = rest
	}
	for i, part := range parts[:len(f.fields)] {
		switch text := jsonscan.Lend(part); {
		case part == nil:
		case f.fields[i].number:
			d.leaf(f.fields[i].name, query.NumberValue(text))
		default:
			d.leaf(f.fields[i].name, event.String(text))
		}
	}
	return true
}

func digits(text []byte) bool {
	for _, c := range text {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
