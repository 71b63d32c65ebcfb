package transform

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// makers are the processors by name.
var makers = map[string]maker{
	"parseJSON": {true, parseJSON}, "grok": {true, grok}, "csv": {true, csvColumns}, "parseKeyValue": {true, parseKeyValue},
	"parseVPC": {true, vendor(parseVPC)}, "parseCloudfront": {true, vendor(parseCloudfront)}, "parseRoute53": {true, vendor(parseRoute53)},
	"parsePostgres": {true, vendor(parsePostgres)}, "parseWAF": {true, vendor(parseWAF)},
	"addKeys": {false, addKeys}, "copyValue": {false, copyValue}, "moveKeys": {false, moveKeys}, "renameKeys": {false, renameKeys}, "deleteKeys": {false, deleteKeys},
	"listToMap": {false, listToMap}, "lowerCaseString": {false, onTexts(strings.ToLower)}, "upperCaseString": {false, onTexts(strings.ToUpper)}, "trimString": {false, onTexts(strings.TrimSpace)},
	"splitString": {false, splitString}, "substituteString": {false, substituteString}, "typeConverter": {false, typeConverter}, "dateTimeConverter": {false, dateTimeConverter},
}

type applying = func(doc *document, message string) error

// entriesOf decodes the entries of a processor and checks each.
func entriesOf[T any](raw json.RawMessage, check func(T) error) ([]T, error) {
	c, err := settings[struct {
		Entries []T `json:"entries"`
	}](raw)
	if err == nil {
		err = entries(c.Entries)
	}
	for i := 0; err == nil && i < len(c.Entries); i++ {
		err = check(c.Entries[i])
	}
	return c.Entries, err
}

type addedKey struct {
	Key               string `json:"key"`
	Value             string `json:"value"`
	OverwriteIfExists bool   `json:"overwriteIfExists"`
}

func addKeys(raw json.RawMessage) (applying, error) {
	list, err := entriesOf(raw, func(e addedKey) error {
		if len(e.Value) > 256 {
			return fmt.Errorf("value must have at most 256 characters")
		}
		return path("key", e.Key)
	})
	return func(doc *document, _ string) error {
		for _, e := range list {
			if _, ok := doc.get(e.Key); !ok || e.OverwriteIfExists {
				doc.set(e.Key, interpolate(doc, e.Value))
			}
		}
		return nil
	}, err
}

var reference = regexp.MustCompile(`\$\{([^}]+)\}`)

// interpolate puts the values of a document in the places of ${path}; one that is not there stays as it is.
func interpolate(doc *document, value string) string {
	return reference.ReplaceAllStringFunc(value, func(m string) string {
		if v, ok := doc.get(m[2 : len(m)-1]); ok {
			if s, ok := text(v); ok {
				return s
			}
		}
		return m
	})
}

type pair struct {
	Source            string `json:"source"`
	Target            string `json:"target"`
	OverwriteIfExists bool   `json:"overwriteIfExists"`
}

func pairs(raw json.RawMessage) ([]pair, error) {
	return entriesOf(raw, func(e pair) error { return cmp.Or(path("source", e.Source), path("target", e.Target)) })
}

func copyValue(raw json.RawMessage) (applying, error) {
	list, err := pairs(raw)
	return func(doc *document, _ string) error {
		for _, e := range list {
			if v, ok := doc.get(e.Source); ok {
				if _, there := doc.get(e.Target); !there || e.OverwriteIfExists {
					doc.set(e.Target, clone(v))
				}
			}
		}
		return nil
	}, err
}

// moveKeys moves a member below another object.
func moveKeys(raw json.RawMessage) (applying, error) {
	list, err := pairs(raw)
	return func(doc *document, _ string) error {
		for _, e := range list {
			v, ok := doc.get(e.Source)
			if !ok || e.Target == e.Source || strings.HasPrefix(e.Target, e.Source+".") {
				continue
			}
			name := e.Source[strings.LastIndexByte(e.Source, '.')+1:]
			if doc.merge(e.Target, map[string]any{name: v}, e.OverwriteIfExists) == nil {
				doc.remove(e.Source)
			}
		}
		return nil
	}, err
}

type renamedKey struct {
	Key               string `json:"key"`
	RenameTo          string `json:"renameTo"`
	OverwriteIfExists bool   `json:"overwriteIfExists"`
}

func renameKeys(raw json.RawMessage) (applying, error) {
	list, err := entriesOf(raw, func(e renamedKey) error { return cmp.Or(path("key", e.Key), path("renameTo", e.RenameTo)) })
	return func(doc *document, _ string) error {
		for _, e := range list {
			v, ok := doc.get(e.Key)
			if !ok || e.RenameTo == e.Key {
				continue
			}
			if _, there := doc.get(e.RenameTo); there && !e.OverwriteIfExists {
				continue
			}
			doc.remove(e.Key)
			doc.set(e.RenameTo, v)
		}
		return nil
	}, err
}

func withKeys(raw json.RawMessage) ([]string, error) {
	c, err := settings[struct {
		WithKeys []string `json:"withKeys"`
	}](raw)
	if err != nil {
		return nil, err
	}
	if err := entries(c.WithKeys); err != nil {
		return nil, err
	}
	for _, k := range c.WithKeys {
		if err := path("withKeys", k); err != nil {
			return nil, err
		}
	}
	return c.WithKeys, nil
}

func deleteKeys(raw json.RawMessage) (applying, error) {
	keys, err := withKeys(raw)
	return func(doc *document, _ string) error {
		for _, k := range keys {
			doc.remove(k)
		}
		return nil
	}, err
}

// onTexts makes a processor that changes the texts at some paths.
func onTexts(change func(string) string) func(json.RawMessage) (applying, error) {
	return func(raw json.RawMessage) (applying, error) {
		keys, err := withKeys(raw)
		return func(doc *document, _ string) error {
			for _, k := range keys {
				doc.change(k, func(s string) any { return change(s) })
			}
			return nil
		}, err
	}
}

func listToMap(raw json.RawMessage) (applying, error) {
	c, err := settings[struct {
		Source           string `json:"source"`
		Key              string `json:"key"`
		ValueKey         string `json:"valueKey"`
		Target           string `json:"target"`
		Flatten          bool   `json:"flatten"`
		FlattenedElement string `json:"flattenedElement"`
	}](raw)
	if err != nil {
		return nil, err
	}
	if err := path("source", c.Source); err != nil {
		return nil, err
	}
	if err := path("key", c.Key); err != nil {
		return nil, err
	}
	if c.Flatten != (c.FlattenedElement != "") || c.FlattenedElement != "" && c.FlattenedElement != "first" && c.FlattenedElement != "last" {
		return nil, fmt.Errorf("flattenedElement must be first or last when flatten is set, and nothing else")
	}
	return func(doc *document, _ string) error {
		v, _ := doc.get(c.Source)
		list, ok := v.([]any)
		if !ok {
			return errFit
		}
		out := map[string]any{}
		for _, x := range list {
			o, ok := x.(map[string]any)
			if !ok {
				return errFit
			}
			name, ok := text(o[c.Key])
			if !ok {
				continue
			}
			value := any(o)
			if c.ValueKey != "" {
				if value, ok = o[c.ValueKey]; !ok {
					continue
				}
			}
			_, there := out[name]
			switch {
			case c.Flatten && (!there || c.FlattenedElement == "last"):
				out[name] = clone(value)
			case !c.Flatten:
				have, _ := out[name].([]any)
				out[name] = append(have, clone(value))
			}
		}
		return doc.merge(c.Target, out, true)
	}, nil
}

type splitting struct {
	Source    string `json:"source"`
	Delimiter string `json:"delimiter"`
}

func splitString(raw json.RawMessage) (applying, error) {
	list, err := entriesOf(raw, func(e splitting) error {
		if e.Delimiter == "" || len(e.Delimiter) > 128 {
			return fmt.Errorf("delimiter must have 1 to 128 characters")
		}
		return path("source", e.Source)
	})
	return func(doc *document, _ string) error {
		for _, e := range list {
			doc.change(e.Source, func(s string) any {
				var parts []any
				for part := range strings.SplitSeq(s, e.Delimiter) {
					parts = append(parts, part)
				}
				return parts
			})
		}
		return nil
	}, err
}

// javaGroup is a reference to a group as Java writes it.
var javaGroup = regexp.MustCompile(`\$(\d+)`)

type substitution struct {
	Source string `json:"source"`
	From   string `json:"from"`
	To     string `json:"to"`
}

func substituteString(raw json.RawMessage) (applying, error) {
	var from []*regexp.Regexp
	list, err := entriesOf(raw, func(e substitution) error {
		re, err := regexp.Compile(e.From)
		if err != nil || e.From == "" || len(e.From) > 128 || len(e.To) > 128 {
			return fmt.Errorf("from must be a regular expression, and from and to at most 128 characters")
		}
		from = append(from, re)
		return path("source", e.Source)
	})
	return func(doc *document, _ string) error {
		for i, e := range list {
			doc.change(e.Source, func(s string) any { return from[i].ReplaceAllString(s, javaGroup.ReplaceAllString(e.To, "$${$1}")) })
		}
		return nil
	}, err
}

type conversion struct {
	Key  string `json:"key"`
	Type string `json:"type"`
}

func typeConverter(raw json.RawMessage) (applying, error) {
	list, err := entriesOf(raw, func(e conversion) error {
		switch e.Type {
		case "integer", "double", "string", "boolean":
			return path("key", e.Key)
		}
		return fmt.Errorf("type must be integer, double, string or boolean")
	})
	return func(doc *document, _ string) error {
		for _, e := range list {
			v, ok := doc.get(e.Key)
			if !ok {
				continue
			}
			s, ok := text(v)
			if !ok {
				continue
			}
			if x, ok := converted(s, e.Type); ok {
				doc.set(e.Key, x)
			}
		}
		return nil
	}, err
}

func converted(s, to string) (any, bool) {
	switch to {
	case "integer":
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return json.Number(strconv.FormatInt(n, 10)), true
		}
		f, err := strconv.ParseFloat(s, 64)
		return json.Number(strconv.FormatInt(int64(f), 10)), err == nil && f > -1e18 && f < 1e18
	case "double":
		f, err := strconv.ParseFloat(s, 64)
		return json.Number(strconv.FormatFloat(f, 'g', -1, 64)), err == nil && f-f == 0
	case "boolean":
		b, err := strconv.ParseBool(strings.ToLower(s))
		return b, err == nil
	default:
		return s, true
	}
}

func dateTimeConverter(raw json.RawMessage) (applying, error) {
	c, err := settings[struct {
		Source         string   `json:"source"`
		Target         string   `json:"target"`
		TargetFormat   string   `json:"targetFormat"`
		MatchPatterns  []string `json:"matchPatterns"`
		SourceTimezone string   `json:"sourceTimezone"`
		TargetTimezone string   `json:"targetTimezone"`
		Locale         string   `json:"locale"`
	}](raw)
	if err != nil {
		return nil, err
	}
	if err := path("source", c.Source); err != nil {
		return nil, err
	}
	if err := path("target", c.Target); err != nil {
		return nil, err
	}
	if len(c.MatchPatterns) < 1 || len(c.MatchPatterns) > 5 {
		return nil, fmt.Errorf("matchPatterns must have 1 to 5 patterns")
	}
	if c.Locale != "" && !strings.HasPrefix(c.Locale, "en") {
		return nil, fmt.Errorf("the locale %q is not supported by this server", c.Locale)
	}
	from, err := zone(c.SourceTimezone)
	if err != nil {
		return nil, err
	}
	to, err := zone(c.TargetTimezone)
	if err != nil {
		return nil, err
	}
	if c.TargetFormat == "" {
		c.TargetFormat = "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'"
	}
	var layouts []string
	for _, p := range c.MatchPatterns {
		if p == "epoch" {
			layouts = append(layouts, p)
			continue
		}
		l, err := javaLayout(p)
		if err != nil {
			return nil, err
		}
		layouts = append(layouts, l)
	}
	out := c.TargetFormat
	if out != "epoch" {
		if out, err = javaLayout(c.TargetFormat); err != nil {
			return nil, err
		}
	}
	return func(doc *document, _ string) error {
		v, ok := doc.get(c.Source)
		if !ok {
			return errFit
		}
		s, ok := text(v)
		if !ok {
			return errFit
		}
		for _, l := range layouts {
			t, err := readTime(l, s, from)
			if err != nil {
				continue
			}
			var result any = t.In(to).Format(out)
			if out == "epoch" {
				result = json.Number(strconv.FormatInt(t.UnixMilli(), 10))
			}
			if !doc.set(c.Target, result) {
				return errFit
			}
			return nil
		}
		return errFit
	}, nil
}

// readTime reads a time by a layout, or as seconds or milliseconds since the epoch.
func readTime(layout, s string, in *time.Location) (time.Time, error) {
	if layout != "epoch" {
		return time.ParseInLocation(layout, s, in)
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !(f >= 0 && f < 1e15) {
		return time.Time{}, errFit
	}
	if f < 1e11 {
		f *= 1000
	}
	return time.UnixMilli(int64(f)), nil
}

func zone(name string) (*time.Location, error) {
	if name == "" {
		return time.UTC, nil
	}
	l, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		return nil, fmt.Errorf("the time zone %q is not known", name)
	}
	return l, nil
}

// javaFields are the letters of Java's DateTimeFormatter that time.Layout can express, the longest first.
var javaFields = []struct{ java, layout string }{
	{"yyyy", "2006"}, {"uuuu", "2006"}, {"yy", "06"}, {"MMMM", "January"}, {"MMM", "Jan"}, {"MM", "01"}, {"M", "1"}, {"dd", "02"}, {"d", "2"},
	{"EEEE", "Monday"}, {"EEE", "Mon"}, {"E", "Mon"}, {"HH", "15"}, {"hh", "03"}, {"h", "3"}, {"mm", "04"}, {"m", "4"}, {"ss", "05"}, {"s", "5"}, {"a", "PM"},
	{"X" + "XX", "Z07:00"}, {"XX", "Z0700"}, {"X", "Z07"}, {"xxx", "-07:00"}, {"xx", "-0700"}, {"Z", "-0700"}, {"z", "MST"}, {"VV", "MST"}, {"DDD", "002"},
}

// javaLayout turns a pattern of Java's into a layout of package time.
func javaLayout(pattern string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(pattern); {
		c := pattern[i]
		switch {
		case c == '\'':
			end := strings.IndexByte(pattern[i+1:], '\'')
			if end < 0 {
				return "", fmt.Errorf("the pattern %q has a quote without end", pattern)
			}
			if end == 0 {
				b.WriteByte('\'')
			}
			b.WriteString(pattern[i+1 : i+1+end])
			i += end + 2
		case c == 'S':
			n := len(pattern[i:]) - len(strings.TrimLeft(pattern[i:], "S"))
			if s := b.String(); !strings.HasSuffix(s, ".") && !strings.HasSuffix(s, ",") {
				return "", fmt.Errorf("fractions of a second follow a dot or a comma in %q", pattern)
			}
			b.WriteString(strings.Repeat("0", n))
			i += n
		case c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z':
			found := false
			for _, f := range javaFields {
				rest, ok := strings.CutPrefix(pattern[i:], f.java)
				if ok && (rest == "" || rest[0] != c) {
					b.WriteString(f.layout)
					i += len(f.java)
					found = true
					break
				}
			}
			if !found {
				return "", fmt.Errorf("the letter %q of the pattern %q is not supported by this server", c, pattern)
			}
		default:
			b.WriteByte(c)
			i++
		}
	}
	return b.String(), nil
}
