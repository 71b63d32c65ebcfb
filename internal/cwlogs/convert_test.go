package cwlogs

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
)

type oracleFound struct {
	fields []event.Field
	trace  event.TraceID
	span   event.SpanID
}

// oracleDiscover looks into a message by way of a decoder that somebody else wrote.
func oracleDiscover(message string) oracleFound {
	var d oracleFound
	if text := strings.TrimLeft(message, " \t\r\n"); strings.HasPrefix(text, "{") &&
		jsontext.Value(text).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) {
		d.walk(jsontext.NewDecoder(strings.NewReader(text), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)))
	}
	if d.trace.IsZero() && (strings.Contains(message, "AWS-XRAY-TRACE-ID:") || strings.Contains(message, "Root=1-")) {
		if m := traceText.FindStringSubmatch(message); m != nil {
			d.trace, _ = event.ParseTraceID(m[1]) // all zero is no id
			if d.span.IsZero() {
				d.span, _ = event.ParseSpanID(m[2] + m[3])
			}
		}
	}
	return d
}

// level is an object or array that the walk is in.
type level struct {
	prefix string // of the names of what is in it
	array  bool
	index  int
}

// walk reads one valid JSON object.
func (d *oracleFound) walk(dec *jsontext.Decoder) {
	var stack []level
	name := ""
	for {
		top := len(stack) - 1
		kind := dec.PeekKind()
		if top >= 0 && kind != '}' && kind != ']' {
			in := &stack[top]
			key := ""
			if in.array {
				key = strconv.Itoa(in.index)
				in.index++
			} else {
				tok, err := dec.ReadToken()
				if err != nil {
					return
				}
				key = tok.String()
				kind = dec.PeekKind()
			}
			name = in.prefix + key
			if top == 0 && strings.HasPrefix(key, "@") {
				name = "@" + key
			}
		}
		tok, err := dec.ReadToken()
		if err != nil {
			return
		}
		switch kind {
		case '{', '[':
			prefix := ""
			if top >= 0 {
				prefix = name + "."
			}
			stack = append(stack, level{prefix: prefix, array: kind == '['})
		case '}', ']':
			if stack = stack[:top]; top == 0 {
				return
			}
		case '"':
			d.leaf(name, event.String(tok.String()))
		case '0':
			d.leaf(name, query.NumberValue(tok.String()))
		case 't', 'f':
			d.leaf(name, event.Bool(kind == 't'))
		}
	}
}

func (d *oracleFound) leaf(name string, v event.Value) {
	if len(d.fields) < maxFields && name != "" {
		d.fields = append(d.fields, event.Field{Name: name, Value: v})
	}
	switch name {
	case "traceId", "trace_id", "trace.trace_id", "xray_trace_id", "@@xrayTraceId":
		if id, err := event.ParseTraceID(v.Str()); err == nil && d.trace.IsZero() {
			d.trace = id
		}
	case "spanId", "span_id", "trace.span_id":
		if id, err := event.ParseSpanID(v.Str()); err == nil && d.span.IsZero() {
			d.span = id
		}
	}
}

var messages = []string{
	`plain text`, `{}`, `{"a":1,"b":"x","c":true,"d":null,"e":1.5,"f":-0,"g":1e400,"h":12345678901234567890}`, ` {"a":{"b":[1,{"c":"d"}],"":{"x":1}},"@t":1,"n":{"@t":2}} `,
	`{"a":1}{`, `{"a":1,}`, `{"a":01}`, `{"a":"\u00e9\ud83d\ude00\ud800\ud800x\n\/","\u0061":2}`, "{\"a\":\"\xff\xc3(\"}", "{\"a\":\"\x01\"}", `{"a":"unfinished`, `{"a":tru}`, `[1]`,
	`{"trace_id":"5759e988bd862e3fe1be46a994272793","spanId":"53995c3f42cd8ad8"}`, `AWS-XRAY-TRACE-ID: 1-5759e988-bd862e3fe1be46a994272793@53995c3f42cd8ad8`,
	`Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1`, strings.Repeat(`{"a":`, 40) + `1` + strings.Repeat(`}`, 40),
	`{"many":[` + strings.Repeat("1,", 1100) + `2],"traceId":"5759e988bd862e3fe1be46a994272793"}`, `{"a":"` + strings.Repeat("é", 50) + `"}`, `{"a":1.0e+5,"b":1E-3,"c":-,"d":.5}`, `{"@@xrayTraceId":"x","@xrayTraceId":"1-5759e988-bd862e3fe1be46a994272793"}`,
}

func FuzzDiscover(f *testing.F) {
	for _, m := range messages {
		f.Add(m)
	}
	var got found // one for all: nothing of a message may be left for the next
	f.Fuzz(func(t *testing.T, message string) {
		message = strings.ToValidUTF8(message, "\uFFFD") // as the body's decoder leaves it
		want := oracleDiscover(message)
		got.discover([]byte(message), false)
		if got.trace != want.trace || got.span != want.span || len(got.fields)+len(want.fields) > 0 && !reflect.DeepEqual(got.fields, want.fields) {
			t.Errorf("%q:\n got %v %v %v\nwant %v %v %v", message, got.trace, got.span, got.fields, want.trace, want.span, want.fields)
		}
	})
}

// plainInput is the input as encoding/json decodes it.
type plainInput struct {
	LogGroupName  string `json:"logGroupName"`
	LogStreamName string `json:"logStreamName"`
	LogEvents     []struct {
		Timestamp *int64  `json:"timestamp"`
		Message   *string `json:"message"`
	} `json:"logEvents"`
}

func FuzzPutLogEvents(f *testing.F) {
	for _, m := range messages {
		quoted, err := json.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(fmt.Appendf(nil, `{"logGroupName":"g","logStreamName":"s","sequenceToken":null,"logEvents":[{"timestamp":1,"message":%s},{"message":"m","timestamp":-2,"x":[{}]}]}`, quoted))
		f.Add([]byte(m))
	}
	for _, b := range []string{
		`null`, `[]`, `5`, ` {"LOGGROUPNAME":"x","logEvents":null}`, `{"logEvents":[null,{"timestamp":null,"message":null},{"timestamp":1.5},{"timestamp":1e3},{"timestamp":"x","message":4}]}`,
		`{"logEvents":[5]}`, `{"logEvents":{}}`, `{"logEvents":[]}`, `{"logGroupName":{"a":[1,2,{"b":"\u0000"}]},"logEvents":[{"message":true}]}`, `{"logGroupName":null,"logStreamName":[`,
		`{"logEvents":[{"timestamp":99999999999999999999,"message":""}]}`, `{"logEvents":[{"timestamp":-0,"message":"a"}]} x`, `{"a":` + strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001) + `}`,
		`{"a":` + strings.Repeat("[", 9_999) + strings.Repeat("]", 9_999) + `}`,
	} {
		f.Add([]byte(b))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var want plainInput
		werr := json.Unmarshal(body, &want)
		var in putLogEventsInput
		err := in.DecodeBody(body)
		if in.lines != nil {
			defer in.release()
		}
		var wrong, wwrong *json.UnmarshalTypeError
		switch {
		case (err == nil) != (werr == nil):
			t.Fatalf("%q: %v, encoding/json says %v", body, err, werr)
		case errors.As(err, &wrong) && errors.As(werr, &wwrong):
			if wrong.Value != wwrong.Value || wrong.Field != wwrong.Field {
				t.Fatalf("%q: %v of %q, encoding/json says %v of %q", body, wrong.Value, wrong.Field, wwrong.Value, wwrong.Field)
			}
			return
		case err != nil:
			if err.Error() != werr.Error() {
				t.Fatalf("%q: %v, encoding/json says %v", body, err, werr)
			}
			return
		}
		if strings.Count(strings.ToLower(string(body)), "logevents") > 1 {
			return // encoding/json leaves some of the first list in the second
		}
		if in.LogGroupName != want.LogGroupName || in.LogStreamName != want.LogStreamName || len(in.LogEvents) != len(want.LogEvents) || (in.LogEvents == nil) != (want.LogEvents == nil) {
			t.Fatalf("%q: %q %q %d events, encoding/json says %q %q %d", body, in.LogGroupName, in.LogStreamName, len(in.LogEvents), want.LogGroupName, want.LogStreamName, len(want.LogEvents))
		}
		for i, e := range in.LogEvents {
			w := want.LogEvents[i]
			if e.isTimestamp != (w.Timestamp != nil) || e.isTimestamp && e.timestamp != *w.Timestamp || (e.message == nil) != (w.Message == nil) || e.message != nil && string(e.message) != *w.Message {
				t.Fatalf("%q: event %d is %v %d %q", body, i, e.isTimestamp, e.timestamp, e.message)
			}
		}
	})
}

// FuzzVended puts the fields of a line together again.
func FuzzVended(f *testing.F) {
	f.Add("2 123456789010 eni-1235b8ca123456789 172.31.16.139 172.31.16.21 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK")
	f.Add("2 123456789010 eni-1235b8ca123456789 - - - - - - - 1431280876 1431280934 - NODATA\r\n")
	f.Add("1.0 2017-12-13T08:16:02.130Z Z123412341234 example.com A NOERROR UDP FRA6 192.168.1.1 -")
	f.Add("2 000 eni- - - 007 22 99999999999999999999 20 4249 1 1 ACCEPT OK")
	f.Fuzz(func(t *testing.T, line string) {
		var d found
		d.vended([]byte(line))
		if d.fields == nil {
			return
		}
		have := map[string]string{}
		for _, f := range d.fields {
			have[f.Name] = f.Value.Text()
		}
		for _, format := range vendedFormats {
			if !strings.HasPrefix(line, format.begin) {
				continue
			}
			texts := strings.Split(strings.TrimRight(line, "\r\n"), " ")
			if len(texts) != len(format.fields) {
				t.Fatalf("%q has %v", line, have)
			}
			for i, want := range format.fields {
				text, ok := have[string(want.name)]
				n, err := strconv.ParseFloat(texts[i], 64)
				switch {
				case texts[i] == "-" && !ok, text == texts[i]:
				case want.number && err == nil && ok && query.NumberValue(texts[i]).Text() == text && n >= 0: // written otherwise
				default:
					t.Fatalf("%s of %q is %q", want.name, line, text)
				}
			}
		}
	})
}
