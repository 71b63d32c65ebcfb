package transform

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Limits of a transformer, as on AWS.
const (
	maxProcessors = 20
	maxParsers    = 5
	maxEntries    = 50
	maxGrok       = 5
)

// Config is a transformer as it is written: a list of objects that have one member each, the name of a
// processor with its settings.
type Config []map[string]json.RawMessage

// Transformer applies processors. It may be used by many goroutines at once.
type Transformer struct{ steps []step }

type step struct {
	name   string
	parser bool
	// apply changes a document, or reports that it does not fit; message is the event's text.
	apply func(doc *document, message string) error
}

// document is a JSON object that is being transformed.
type document struct{ root map[string]any }

// errFit says that a document does not fit a processor.
var errFit = errors.New("the document does not fit the processor")

// maker makes the step of a processor of its settings.
type maker struct {
	parser bool
	make   func(settings json.RawMessage) (func(doc *document, message string) error, error)
}

// New checks a transformer and makes it. The error says which processor is at fault and why.
func New(config Config) (*Transformer, error) {
	if len(config) < 1 || len(config) > maxProcessors {
		return nil, fmt.Errorf("a transformer has 1 to %d processors", maxProcessors)
	}
	t := &Transformer{}
	parsers, count := 0, map[string]int{}
	for i, p := range config {
		if len(p) != 1 {
			return nil, fmt.Errorf("processor %d has %d names, it must have one", i+1, len(p))
		}
		for name, settings := range p {
			m, ok := makers[name]
			if !ok {
				return nil, fmt.Errorf("processor %d: %s is not supported by this server", i+1, name)
			}
			count[name]++
			switch {
			case i == 0 && !m.parser:
				return nil, fmt.Errorf("processor 1 must be a parser, %s is none", name)
			case m.parser && parsers >= maxParsers:
				return nil, fmt.Errorf("a transformer has at most %d parsers", maxParsers)
			case name == "grok" && count[name] > maxGrok, onlyOnce[name] && count[name] > 1:
				return nil, fmt.Errorf("processor %d: %s is there too often", i+1, name)
			}
			if m.parser {
				parsers++
			}
			apply, err := m.make(settings)
			if err != nil {
				return nil, fmt.Errorf("processor %d, %s: %w", i+1, name, err)
			}
			t.steps = append(t.steps, step{name, m.parser, apply})
		}
	}
	return t, nil
}

// onlyOnce are the processors of which a transformer has one at most.
var onlyOnce = map[string]bool{
	"addKeys": true, "copyValue": true, "parseCloudfront": true, "parseVPC": true, "parseRoute53": true, "parsePostgres": true, "parseWAF": true,
}

// Apply returns the document that a message becomes, as JSON; ok is false when its first parser can not
// parse it.
func (t *Transformer) Apply(message string) (out []byte, ok bool) {
	doc := &document{root: map[string]any{}}
	for i, s := range t.steps {
		if err := s.apply(doc, message); err != nil && i == 0 {
			return nil, false
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(doc.root) != nil { // a document was JSON or made of text
		return nil, false
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), true
}

// settings decodes the settings of a processor; null are none.
func settings[T any](raw json.RawMessage) (v T, err error) {
	if len(raw) == 0 || string(raw) == "null" {
		return v, nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return v, fmt.Errorf("its settings can not be read: %w", err)
	}
	return v, nil
}

func entries[T any](list []T) error {
	if len(list) < 1 || len(list) > maxEntries {
		return fmt.Errorf("it has 1 to %d entries", maxEntries)
	}
	return nil
}

func path(member, p string) error {
	if p == "" || len(p) > 128 || strings.Count(p, ".") >= 6 {
		return fmt.Errorf("%s must be a path of 1 to 128 characters and at most 6 names", member)
	}
	return nil
}
