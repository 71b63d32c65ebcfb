package transform

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// patterns are those that grok knows. A pattern may use others.
var patterns = map[string]string{
	"USERNAME": `[a-zA-Z0-9._-]+`, "USER": `%{USERNAME}`, "INT": `[+-]?[0-9]+`, "BASE10NUM": `[+-]?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)`, "NUMBER": `%{BASE10NUM}`,
	"BASE16NUM": `[+-]?(?:0x)?[0-9A-Fa-f]+`, "POSINT": `\b[1-9][0-9]*\b`, "NONNEGINT": `\b[0-9]+\b`, "BOOLEAN": `(?i:true|false)`,
	"WORD": `\b\w+\b`, "NOTSPACE": `\S+`, "SPACE": `\s*`, "DATA": `.*?`, "GREEDYDATA": `.*`, "GREEDYDATA_MULTILINE": `(?s:.*)`,
	"QUOTEDSTRING": `"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'`, "QS": `%{QUOTEDSTRING}`, "UUID": `[A-Fa-f0-9]{8}-(?:[A-Fa-f0-9]{4}-){3}[A-Fa-f0-9]{12}`,
	"ARN":  `arn:(?:aws|aws-cn|aws-us-gov):[a-zA-Z0-9\-]*:[a-zA-Z0-9\-]*:[0-9]*:[^\s]+`,
	"IPV4": `(?:(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])\.){3}(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])`, "IPV6": `(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?:%.+)?`, "IP": `(?:%{IPV6}|%{IPV4})`,
	"HOSTNAME": `\b[0-9A-Za-z][0-9A-Za-z-]{0,62}(?:\.[0-9A-Za-z][0-9A-Za-z-]{0,62})*\.?`, "HOST": `%{HOSTNAME}`, "IPORHOST": `(?:%{IP}|%{HOSTNAME})`, "HOSTPORT": `%{IPORHOST}:%{POSINT}`,
	"MAC": `(?:[A-Fa-f0-9]{2}[:\-]){5}[A-Fa-f0-9]{2}`, "UNIXPATH": `(?:/[\w_%!$@:.,+~-]*)+`, "PATH": `%{UNIXPATH}`,
	"URIPROTO": `[A-Za-z][A-Za-z0-9+\-.]+`, "URIHOST": `%{IPORHOST}(?::%{POSINT})?`, "URIPATH": `(?:/[A-Za-z0-9$.+!*'(){},~:;=@#%&_\-]*)+`, "URIPARAM": `\?[A-Za-z0-9$.+!*'|(){},~@#%&/=:;_?\-\[\]<>]*`,
	"URIPATHPARAM": `%{URIPATH}(?:%{URIPARAM})?`, "URI": `%{URIPROTO}://(?:%{USER}(?::[^@]*)?@)?(?:%{URIHOST})?(?:%{URIPATHPARAM})?`,
	"MONTH":    `\b(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sep(?:tember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\b`,
	"MONTHNUM": `(?:0?[1-9]|1[0-2])`, "MONTHDAY": `(?:0[1-9]|[12][0-9]|3[01]|[1-9])`, "DAY": `(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*`, "YEAR": `(?:\d\d){1,2}`,
	"HOUR": `(?:2[0123]|[01]?[0-9])`, "MINUTE": `[0-5][0-9]`, "SECOND": `(?:[0-5]?[0-9]|60)(?:[:.,][0-9]+)?`, "TIME": `%{HOUR}:%{MINUTE}(?::%{SECOND})`,
	"DATE_US": `%{MONTHNUM}[/-]%{MONTHDAY}[/-]%{YEAR}`, "DATE_EU": `%{MONTHDAY}[./-]%{MONTHNUM}[./-]%{YEAR}`, "DATE": `(?:%{DATE_US}|%{DATE_EU})`,
	"ISO8601_TIMEZONE": `(?:Z|[+-]%{HOUR}(?::?%{MINUTE}))`, "TIMESTAMP_ISO8601": `%{YEAR}-%{MONTHNUM}-%{MONTHDAY}[T ]%{HOUR}:?%{MINUTE}(?::?%{SECOND})?%{ISO8601_TIMEZONE}?`,
	"TZ": `[A-Z]{3,4}`, "HTTPDATE": `%{MONTHDAY}/%{MONTH}/%{YEAR}:%{TIME} %{INT}`, "SYSLOGTIMESTAMP": `%{MONTH} +%{MONTHDAY} %{TIME}`,
	"DATESTAMP": `%{DATE}[- ]%{TIME}`, "DATESTAMP_RFC2822": `%{DAY}, %{MONTHDAY} %{MONTH} %{YEAR} %{TIME} %{ISO8601_TIMEZONE}`,
	"PROG": `[\x21-\x5a\x5c\x5e-\x7e]+`, "SYSLOGPROG": `%{PROG:program}(?:\[%{POSINT:pid}\])?`, "SYSLOGHOST": `%{IPORHOST}`,
	"LOGLEVEL":          `(?i:alert|trace|debug|notice|info(?:rmation)?|warn(?:ing)?|err(?:or)?|crit(?:ical)?|fatal|severe|emerg(?:ency)?)`,
	"SYSLOGBASE":        `%{SYSLOGTIMESTAMP:timestamp} (?:%{SYSLOGHOST:logsource} )?%{SYSLOGPROG}:`,
	"COMMONAPACHELOG":   `%{IPORHOST:clientip} %{NOTSPACE:ident} %{NOTSPACE:auth} \[%{HTTPDATE:timestamp}\] "(?:%{WORD:verb} %{NOTSPACE:request}(?: HTTP/%{NUMBER:httpversion})?|%{DATA:rawrequest})" %{NUMBER:response} (?:%{NUMBER:bytes}|-)`,
	"COMBINEDAPACHELOG": `%{COMMONAPACHELOG} %{QS:referrer} %{QS:agent}`,
}

// use is a pattern in a pattern: %{NAME}, %{NAME:path} or %{NAME:path:type}.
var use = regexp.MustCompile(`%\{([A-Z0-9_]+)(?::([A-Za-z0-9_.@\-]+))?(?::([A-Z]+))?\}`)

const maxGrokText = 64 << 10

// compiler puts patterns together.
type compiler struct {
	paths []string // by group: where what it matches goes
	types []string
	size  int
}

func (c *compiler) expand(pattern string, depth int) (string, error) {
	if depth > 8 {
		return "", fmt.Errorf("its patterns use each other")
	}
	var fail error
	out := use.ReplaceAllStringFunc(pattern, func(m string) string {
		parts := use.FindStringSubmatch(m)
		inner, ok := patterns[parts[1]]
		if !ok {
			fail = fmt.Errorf("the pattern %s is not known to this server", parts[1])
			return ""
		}
		name := ""
		if parts[2] != "" {
			switch parts[3] {
			case "", "STRING", "INTEGER", "LONG", "FLOAT", "DOUBLE", "BOOLEAN":
			default:
				fail = fmt.Errorf("the type %s is not known", parts[3])
			}
			name = fmt.Sprintf("?P<g%d>", len(c.paths))
			c.paths = append(c.paths, parts[2])
			c.types = append(c.types, parts[3])
		} else {
			name = "?:"
		}
		text, err := c.expand(inner, depth+1)
		if err != nil && fail == nil {
			fail = err
		}
		if c.size += len(text); c.size > maxGrokText && fail == nil {
			fail = fmt.Errorf("it is too large")
		}
		return "(" + name + text + ")"
	})
	return out, fail
}

func grok(raw json.RawMessage) (applying, error) {
	c, err := settings[struct {
		Source string `json:"source"`
		Match  string `json:"match"`
	}](raw)
	if err != nil {
		return nil, err
	}
	if c.Match == "" || len(c.Match) > 512 {
		return nil, fmt.Errorf("match must have 1 to 512 characters")
	}
	var g compiler
	text, err := g.expand(c.Match, 0)
	if err != nil {
		return nil, err
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, fmt.Errorf("match is no regular expression: %w", err)
	}
	names := re.SubexpNames()
	return func(doc *document, message string) error {
		s, err := doc.source(c.Source, message)
		if err != nil {
			return err
		}
		m := re.FindStringSubmatchIndex(s)
		if m == nil {
			return errFit
		}
		for i, name := range names {
			var k int
			if n, _ := fmt.Sscanf(name, "g%d", &k); n != 1 || k >= len(g.paths) || m[2*i] < 0 {
				continue
			}
			value := s[m[2*i]:m[2*i+1]]
			var v any = value
			switch g.types[k] {
			case "INTEGER", "LONG":
				if x, ok := converted(value, "integer"); ok {
					v = x
				}
			case "FLOAT", "DOUBLE":
				if x, ok := converted(value, "double"); ok {
					v = x
				}
			case "BOOLEAN":
				v = strings.EqualFold(value, "true")
			}
			doc.set(g.paths[k], v)
		}
		return nil
	}, nil
}
