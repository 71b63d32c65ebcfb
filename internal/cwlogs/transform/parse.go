package transform

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

func optionalPath(member, p string) error {
	if p == "" {
		return nil
	}
	return path(member, p)
}

// decodeObject reads a text that is one JSON object.
func decodeObject(s string) (map[string]any, error) {
	d := json.NewDecoder(strings.NewReader(s))
	d.UseNumber()
	var out map[string]any
	if err := d.Decode(&out); err != nil || out == nil {
		return nil, errFit
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errFit
	}
	return out, nil
}

// parsing makes a processor that parses the text at source into an object and merges that into the one at
// destination.
func parsing(source, destination string, overwrite bool, parse func(s string) (map[string]any, error)) (applying, error) {
	if err := optionalPath("destination", destination); err != nil {
		return nil, err
	}
	return func(doc *document, message string) error {
		s, err := doc.source(source, message)
		if err != nil {
			return err
		}
		members, err := parse(s)
		if err != nil {
			return err
		}
		return doc.merge(destination, members, overwrite)
	}, nil
}

func parseJSON(raw json.RawMessage) (applying, error) {
	c, err := settings[struct {
		Source      string `json:"source"`
		Destination string `json:"destination"`
	}](raw)
	if err != nil {
		return nil, err
	}
	return parsing(c.Source, c.Destination, true, decodeObject)
}

func csvColumns(raw json.RawMessage) (applying, error) {
	c, err := settings[struct {
		Source         string   `json:"source"`
		QuoteCharacter *string  `json:"quoteCharacter"`
		Delimiter      *string  `json:"delimiter"`
		Columns        []string `json:"columns"`
		Destination    string   `json:"destination"`
	}](raw)
	if err != nil {
		return nil, err
	}
	if err := optionalPath("destination", c.Destination); err != nil {
		return nil, err
	}
	comma := ','
	if c.Delimiter != nil {
		switch *c.Delimiter {
		case "\\t":
			comma = '\t'
		case "\\s":
			comma = ' '
		default:
			r := []rune(*c.Delimiter)
			if len(r) != 1 || r[0] == '"' || r[0] == '\n' || r[0] == '\r' {
				return nil, fmt.Errorf("delimiter must be one character")
			}
			comma = r[0]
		}
	}
	if c.QuoteCharacter != nil && *c.QuoteCharacter != `"` {
		return nil, fmt.Errorf("a quote character other than \" is not supported by this server")
	}
	if len(c.Columns) > 100 {
		return nil, fmt.Errorf("columns must have at most 100 names")
	}
	for _, name := range c.Columns {
		if err := path("columns", name); err != nil {
			return nil, err
		}
	}
	return func(doc *document, message string) error {
		s, err := doc.source(c.Source, message)
		if err != nil {
			return err
		}
		r := csv.NewReader(strings.NewReader(s))
		r.Comma, r.LazyQuotes, r.FieldsPerRecord = comma, true, -1
		fields, err := r.Read()
		if err != nil {
			return errFit
		}
		if c.Destination != "" {
			if err := doc.merge(c.Destination, nil, true); err != nil {
				return err
			}
		}
		for i, f := range fields {
			name := fmt.Sprintf("column_%d", i+1)
			if i < len(c.Columns) {
				name = c.Columns[i]
			}
			if c.Destination != "" {
				name = c.Destination + "." + name
			}
			doc.set(name, f)
		}
		return nil
	}, nil
}

func parseKeyValue(raw json.RawMessage) (applying, error) {
	c, err := settings[struct {
		Source            string  `json:"source"`
		Destination       string  `json:"destination"`
		FieldDelimiter    *string `json:"fieldDelimiter"`
		KeyValueDelimiter *string `json:"keyValueDelimiter"`
		KeyPrefix         string  `json:"keyPrefix"`
		NonMatchValue     string  `json:"nonMatchValue"`
		OverwriteIfExists bool    `json:"overwriteIfExists"`
	}](raw)
	if err != nil {
		return nil, err
	}
	between, is := "&", "="
	if c.FieldDelimiter != nil {
		between = *c.FieldDelimiter
	}
	if c.KeyValueDelimiter != nil {
		is = *c.KeyValueDelimiter
	}
	if between == "" || is == "" || between == is || len(between) > 128 || len(is) > 128 {
		return nil, fmt.Errorf("the delimiters must be different and have 1 to 128 characters")
	}
	return parsing(c.Source, c.Destination, c.OverwriteIfExists, func(s string) (map[string]any, error) {
		members := map[string]any{}
		for field := range strings.SplitSeq(s, between) {
			k, v, ok := strings.Cut(field, is)
			if k == "" {
				continue
			}
			switch {
			case ok:
				members[c.KeyPrefix+k] = v
			case c.NonMatchValue != "":
				members[c.KeyPrefix+k] = c.NonMatchValue
			}
		}
		if len(members) == 0 {
			return nil, errFit
		}
		return members, nil
	})
}

// vendor makes a processor of a parser for the logs of one of AWS's services, which reads the message.
func vendor(parse func(s string) (map[string]any, error)) func(json.RawMessage) (applying, error) {
	return func(raw json.RawMessage) (applying, error) {
		c, err := settings[struct {
			Source string `json:"source"`
		}](raw)
		if err != nil {
			return nil, err
		}
		if c.Source != "" && c.Source != "@message" {
			return nil, fmt.Errorf("source must be @message")
		}
		return parsing("", "", true, parse)
	}
}

// number is the value of a field that is a number where it looks like one.
func number(s string) any {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return json.Number(strconv.FormatInt(n, 10))
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil && f-f == 0 && s[0] != '+' {
		return json.Number(strconv.FormatFloat(f, 'g', -1, 64))
	}
	return s
}

func named(fields, names []string) (map[string]any, error) {
	if len(fields) != len(names) {
		return nil, errFit
	}
	out := map[string]any{}
	for i, f := range fields {
		if f != "-" && f != "" {
			out[names[i]] = number(f)
		}
	}
	return out, nil
}

var vpcNames = strings.Fields("version accountId interfaceId srcAddr dstAddr srcPort dstPort protocol packets bytes start end action logStatus")

// parseVPC reads flow logs of the default format.
func parseVPC(s string) (map[string]any, error) { return named(strings.Fields(s), vpcNames) }

var cloudfrontNames = strings.Fields("date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) cs(User-Agent) cs-uri-query cs(Cookie) x-edge-result-type " +
	"x-edge-request-id x-host-header cs-protocol cs-bytes time-taken x-forwarded-for ssl-protocol ssl-cipher x-edge-response-result-type cs-protocol-version fle-status " +
	"fle-encrypted-fields c-port time-to-first-byte x-edge-detailed-result-type sc-content-type sc-content-len sc-range-start sc-range-end")

// parseCloudfront reads standard logs.
func parseCloudfront(s string) (map[string]any, error) {
	return named(strings.Split(strings.TrimRight(s, "\r\n"), "\t"), cloudfrontNames)
}

var route53Names = strings.Fields("version queryTimestamp hostZoneId queryName queryType responseCode protocol edgeLocation resolverIp ednsClientSubnet")

// parseRoute53 reads logs of public DNS queries.
func parseRoute53(s string) (map[string]any, error) { return named(strings.Fields(s), route53Names) }

// postgres is a line of RDS for PostgreSQL with its default prefix, %t:%r:%u@%d:[%p]:.
var postgres = regexp.MustCompile(`(?s)^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)? [A-Z]+):([^:(]*)(?:\((\d+)\))?:([^@:]*)@([^:]*):\[(\d+)\]:([A-Z]+): *(.*)$`)

func parsePostgres(s string) (map[string]any, error) {
	m := postgres.FindStringSubmatch(s)
	if m == nil {
		return nil, errFit
	}
	out := map[string]any{}
	for i, name := range []string{"logTime", "srcIp", "srcPort", "userName", "dbName", "processId", "logLevel", "message"} {
		if v := m[i+1]; v != "" {
			out[name] = v
			if name == "srcPort" || name == "processId" {
				out[name] = number(v)
			}
		}
	}
	return out, nil
}

// parseWAF reads a web ACL's log; headers become members by their names.
func parseWAF(s string) (map[string]any, error) {
	out, err := decodeObject(s)
	if err != nil {
		return nil, err
	}
	request, ok := out["httpRequest"].(map[string]any)
	if !ok {
		return out, nil
	}
	headers, ok := request["headers"].([]any)
	if !ok {
		return out, nil
	}
	byName := map[string]any{}
	for _, h := range headers {
		o, _ := h.(map[string]any)
		if name, ok := o["name"].(string); ok {
			byName[name] = o["value"]
		}
	}
	request["headers"] = byName
	return out, nil
}
