package transform_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/trefoil-o11y/trefoil/internal/cwlogs/transform"
)

func config(t testing.TB, text string) transform.Config {
	t.Helper()
	var c transform.Config
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestApply has the examples of AWS's guide, and what it leaves open.
func TestApply(t *testing.T) {
	const parsed = `{"outer_key":{"inner_key":"inner_value"},"list":["a","b"],"n":5,"up":"  Text "}`
	for _, c := range []struct{ config, message, want string }{
		{`[{"parseJSON":{}}]`, parsed, parsed},
		{`[{"parseJSON":{"destination":"new_key"}}]`, `{"a":1}`, `{"new_key":{"a":1}}`},
		{`[{"parseJSON":{}},{"addKeys":{"entries":[{"key":"outer_key.new_key","value":"new_value"},{"key":"n","value":"6"},{"key":"said","value":"${outer_key.inner_key}/${none}"}]}}]`, `{"outer_key":{"inner_key":"inner_value"},"n":5}`,
			`{"n":5,"outer_key":{"inner_key":"inner_value","new_key":"new_value"},"said":"inner_value/${none}"}`},
		{`[{"parseJSON":{}},{"deleteKeys":{"withKeys":["outer_key.inner_key","none.x"]}}]`, `{"outer_key":{"inner_key":1,"b":2}}`, `{"outer_key":{"b":2}}`},
		{`[{"parseJSON":{}},{"moveKeys":{"entries":[{"source":"outer_key1.inner_key1","target":"outer_key2"}]}}]`, `{"outer_key1":{"inner_key1":"v1"},"outer_key2":{"inner_key2":"v2"}}`,
			`{"outer_key1":{},"outer_key2":{"inner_key1":"v1","inner_key2":"v2"}}`},
		{`[{"parseJSON":{}},{"renameKeys":{"entries":[{"key":"outer_key","renameTo":"new_key"}]}}]`, `{"outer_key":{"a":1}}`, `{"new_key":{"a":1}}`},
		{`[{"parseJSON":{}},{"copyValue":{"entries":[{"source":"outer_key.new_key","target":"new_key"}]}}]`, `{"outer_key":{"new_key":"v"}}`, `{"new_key":"v","outer_key":{"new_key":"v"}}`},
		{`[{"parseJSON":{}},{"listToMap":{"source":"outer_key","key":"inner_key","valueKey":"inner_value","flatten":true,"flattenedElement":"first"}}]`,
			`{"outer_key":[{"inner_key":"a","inner_value":"val-a"},{"inner_key":"b","inner_value":"val-b1"},{"inner_key":"b","inner_value":"val-b2"}]}`,
			`{"a":"val-a","b":"val-b1","outer_key":[{"inner_key":"a","inner_value":"val-a"},{"inner_key":"b","inner_value":"val-b1"},{"inner_key":"b","inner_value":"val-b2"}]}`},
		{`[{"parseJSON":{}},{"listToMap":{"source":"l","key":"k","target":"m"}},{"deleteKeys":{"withKeys":["l"]}}]`, `{"l":[{"k":"a","v":1},{"k":"a","v":2}]}`, `{"m":{"a":[{"k":"a","v":1},{"k":"a","v":2}]}}`},
		{`[{"parseJSON":{}},{"lowerCaseString":{"withKeys":["a","l.1"]}},{"upperCaseString":{"withKeys":["b"]}},{"trimString":{"withKeys":["c"]}}]`, `{"a":"AbC","b":"x","c":"  y ","l":["P","Q"]}`, `{"a":"abc","b":"X","c":"y","l":["P","q"]}`},
		{`[{"parseJSON":{}},{"splitString":{"entries":[{"source":"k","delimiter":"-"}]}}]`, `{"k":"inner-value"}`, `{"k":["inner","value"]}`},
		{`[{"parseJSON":{}},{"substituteString":{"entries":[{"source":"k","from":"\\[(.)\\]","to":"<$1>"}]}}]`, `{"k":"a[b]c[d]"}`, `{"k":"a<b>c<d>"}`},
		{`[{"parseJSON":{}},{"typeConverter":{"entries":[{"key":"i","type":"integer"},{"key":"d","type":"double"},{"key":"b","type":"boolean"},{"key":"s","type":"string"},{"key":"x","type":"integer"}]}}]`,
			`{"i":"123","d":"1.5","b":"TRUE","s":7,"x":"no"}`, `{"b":true,"d":1.5,"i":123,"s":"7","x":"no"}`},
		{`[{"parseJSON":{}},{"dateTimeConverter":{"source":"t","target":"u","targetFormat":"yyyy-MM-dd'T'HH:mm:ss.SSS'Z'","matchPatterns":["HH:mm","dd/MMM/yyyy:HH:mm:ss Z","EEE, dd MMM yyyy HH:mm:ss"],"sourceTimezone":"America/New_York","targetTimezone":"UTC"}}]`,
			`{"t":"Thu, 30 May 2024 12:28:41"}`, `{"t":"Thu, 30 May 2024 12:28:41","u":"2024-05-30T16:28:41.000Z"}`},
		{`[{"parseJSON":{}},{"dateTimeConverter":{"source":"t","target":"t","targetFormat":"epoch","matchPatterns":["yyyy-MM-dd HH:mm:ss,SSS"]}}]`, `{"t":"1970-01-01 00:00:02,500"}`, `{"t":2500}`},
		{`[{"csv":{"columns":["a","b.c"],"destination":"d"}}]`, `1,"x, ""y""",z`, `{"d":{"a":"1","b":{"c":"x, \"y\""},"column_3":"z"}}`},
		{`[{"csv":{"delimiter":":"}}]`, `Akua:28`, `{"column_1":"Akua","column_2":"28"}`},
		{`[{"parseKeyValue":{"destination":"new_key","keyValueDelimiter":":","keyPrefix":"parsed_","nonMatchValue":"defaultValue"}}]`, `key1:value1&key2`, `{"new_key":{"parsed_key1":"value1","parsed_key2":"defaultValue"}}`},
		{`[{"grok":{"match":"%{NUMBER:version:INTEGER} %{HOSTNAME:host} %{NOTSPACE:status} %{QUOTEDSTRING:logMsg}"}}]`, `1 web.example.com OK "all well"`, `{"host":"web.example.com","logMsg":"\"all well\"","status":"OK","version":1}`},
		{`[{"grok":{"match":"%{COMMONAPACHELOG}"}}]`, `127.0.0.1 - bob [03/Aug/2023:12:34:56 +0000] "GET /page.html HTTP/1.0" 200 1234`,
			`{"auth":"bob","bytes":"1234","clientip":"127.0.0.1","httpversion":"1.0","ident":"-","request":"/page.html","response":"200","timestamp":"03/Aug/2023:12:34:56 +0000","verb":"GET"}`},
		{`[{"parseVPC":{}}]`, `2 123456789010 eni-abc123de 192.0.2.0 192.0.2.24 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK`,
			`{"accountId":123456789010,"action":"ACCEPT","bytes":4249,"dstAddr":"192.0.2.24","dstPort":22,"end":1418530070,"interfaceId":"eni-abc123de","logStatus":"OK","packets":20,"protocol":6,"srcAddr":"192.0.2.0","srcPort":20641,"start":1418530010,"version":2}`},
		{`[{"parseRoute53":{}}]`, `1.0 2017-12-13T08:15:50.235Z Z123412341234 example.com AAAA NOERROR TCP IAD12 192.0.2.0 198.51.100.0/24`,
			`{"edgeLocation":"IAD12","ednsClientSubnet":"198.51.100.0/24","hostZoneId":"Z123412341234","protocol":"TCP","queryName":"example.com","queryTimestamp":"2017-12-13T08:15:50.235Z","queryType":"AAAA","resolverIp":"192.0.2.0","responseCode":"NOERROR","version":1}`},
		{`[{"parsePostgres":{}}]`, `2019-03-10 03:54:59 UTC:10.0.0.123(52834):postgres@logtestdb:[20175]:ERROR: column "wrong" does not exist`,
			`{"dbName":"logtestdb","logLevel":"ERROR","logTime":"2019-03-10 03:54:59 UTC","message":"column \"wrong\" does not exist","processId":20175,"srcIp":"10.0.0.123","srcPort":52834,"userName":"postgres"}`},
		{`[{"parseWAF":{}}]`, `{"action":"BLOCK","httpRequest":{"headers":[{"name":"Host","value":"x"}]}}`, `{"action":"BLOCK","httpRequest":{"headers":{"Host":"x"}}}`},
		// A later processor that does not fit is passed over.
		{`[{"parseJSON":{}},{"parseJSON":{"source":"text"}},{"upperCaseString":{"withKeys":["a"]}}]`, `{"text":"no json","a":"b"}`, `{"a":"B","text":"no json"}`},
	} {
		tr, err := transform.New(config(t, c.config))
		if err != nil {
			t.Errorf("%s: %v", c.config, err)
			continue
		}
		got, ok := tr.Apply(c.message)
		var want any
		if err := json.Unmarshal([]byte(c.want), &want); err != nil {
			t.Fatal(err)
		}
		text, _ := json.Marshal(want)
		var sorted any
		_ = json.Unmarshal(got, &sorted)
		have, _ := json.Marshal(sorted)
		if !ok || string(have) != string(text) {
			t.Errorf("%s of %s:\n got %s\nwant %s", c.config, c.message, have, text)
		}
	}
}

func TestDoesNotFit(t *testing.T) {
	for _, c := range []struct{ config, message string }{
		{`[{"parseJSON":{}}]`, `plain`}, {`[{"parseJSON":{}}]`, `[1]`}, {`[{"parseJSON":{}}]`, `{"a":1} x`}, {`[{"grok":{"match":"%{IP:a} x"}}]`, `y`}, {`[{"parseVPC":{}}]`, `1 2`}, {`[{"parseKeyValue":{}}]`, `none`},
	} {
		tr, err := transform.New(config(t, c.config))
		if err != nil {
			t.Fatal(err)
		}
		if out, ok := tr.Apply(c.message); ok {
			t.Errorf("%s of %s: %s", c.config, c.message, out)
		}
	}
}

func TestRefused(t *testing.T) {
	for text, want := range map[string]string{
		`[]`: "1 to 20 processors",
		`[` + strings.Repeat(`{"parseJSON":{}},`, 20) + `{"parseJSON":{}}]`: "1 to 20 processors",
		`[{"upperCaseString":{"withKeys":["a"]}}]`:                          "processor 1 must be a parser",
		`[{"parseToOCSF":{}}]`:                                              "parseToOCSF is not supported",
		`[{"parseJSON":{},"csv":{}}]`:                                       "has 2 names",
		`[{"parseJSON":{"sauce":"x"}}]`:                                     "unknown field",
		`[{"grok":{"match":"%{NOPE:a}"}}]`:                                  "NOPE is not known",
		`[{"grok":{"match":"%{INT:a:SHORT}"}}]`:                             "SHORT is not known",
		`[{"grok":{"match":"("}}]`:                                          "no regular expression",
		`[{"parseJSON":{}},{"addKeys":{"entries":[]}}]`:                     "1 to 50 entries",
		`[{"parseJSON":{}},{"dateTimeConverter":{"source":"a","target":"b","matchPatterns":["yyyy-QQ"]}}]`:                          "letter 'Q'",
		`[{"parseJSON":{}},{"dateTimeConverter":{"source":"a","target":"b","matchPatterns":["yyyy"],"sourceTimezone":"Mars/One"}}]`: "Mars/One",
		`[{"parseJSON":{}},{"typeConverter":{"entries":[{"key":"a","type":"date"}]}}]`:                                              "type must be",
		`[{"parseJSON":{}},{"copyValue":{"entries":[{"source":"a.b.c.d.e.f.g","target":"x"}]}}]`:                                    "at most 6 names",
	} {
		if _, err := transform.New(config(t, text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// FuzzTransform builds transformers of anything and applies them to anything: what comes of it is JSON.
func FuzzTransform(f *testing.F) {
	f.Add(`[{"parseJSON":{}},{"listToMap":{"source":"l","key":"k","flatten":true,"flattenedElement":"last"}},{"moveKeys":{"entries":[{"source":"a","target":"b"}]}}]`, `{"l":[{"k":"x"}],"a":{"b":1},"b":{}}`)
	f.Add(`[{"grok":{"match":"%{SYSLOGBASE} %{GREEDYDATA:m}"}},{"splitString":{"entries":[{"source":"m","delimiter":" "}]}},{"deleteKeys":{"withKeys":["m.0"]}}]`, `Jan  2 03:04:05 host prog[12]: a b c`)
	f.Add(`[{"csv":{"delimiter":"\\t","columns":["a.b","a"]}},{"typeConverter":{"entries":[{"key":"a","type":"double"}]}}]`, "1\t2")
	f.Fuzz(func(t *testing.T, text, message string) {
		var c transform.Config
		if json.Unmarshal([]byte(text), &c) != nil {
			return
		}
		tr, err := transform.New(c)
		if err != nil {
			return
		}
		if out, ok := tr.Apply(message); ok && !json.Valid(out) {
			t.Errorf("%s of %q: %s", text, message, out)
		}
	})
}
