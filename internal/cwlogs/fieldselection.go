package cwlogs

import (
	"slices"
	"strings"
	"text/scanner"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
)

const (
	fieldAccount = "@aws.account"
	fieldRegion  = "@aws.region"
	maxSelected  = 2000
	// maxSelectionDepth bounds the parentheses of a field selection.
	maxSelectionDepth = 50
)

// systemFields are the fields of a filter's group that a field selection asks about. Here a group has
// the account and region of who put the filter, so that a selection holds for all events or for none.
type systemFields struct {
	Account string `json:"account,omitempty"`
	Region  string `json:"region,omitempty"`
}

func systemFieldsOf(c *awsapi.Caller) systemFields { return systemFields{c.Account, c.Region} }

func (f systemFields) value(field string) (string, bool) {
	switch field {
	case fieldAccount:
		return f.Account, true
	case fieldRegion:
		return f.Region, true
	}
	return "", false
}

// checkSystemFields refuses names that are no system fields.
func checkSystemFields(names []string) error {
	for _, n := range names {
		if n != fieldAccount && n != fieldRegion {
			return invalid("Invalid system field: %q. Valid values are %s and %s.", n, fieldAccount, fieldRegion)
		}
	}
	return nil
}

// selects reports whether a field selection holds, such as @aws.region NOT IN ["cn-north-1"] or
// @aws.account = "123456789012" AND @aws.region = "us-east-1". The empty one does.
func (f systemFields) selects(criteria string) (bool, error) {
	if criteria == "" {
		return true, nil
	}
	p := selectionParser{fields: f}
	p.in.Init(strings.NewReader(criteria))
	p.in.Mode = scanner.ScanIdents | scanner.ScanStrings
	p.in.IsIdentRune = func(r rune, i int) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '@' && i == 0 || r == '.' && i > 0
	}
	p.in.Error = func(*scanner.Scanner, string) { p.bad = true }
	p.next()
	holds := p.or()
	if p.bad || p.token != scanner.EOF {
		return false, invalid("Invalid fieldSelectionCriteria at character %d.", p.in.Position.Offset)
	}
	return holds, nil
}

// selectionParser evaluates while it parses.
type selectionParser struct {
	fields systemFields
	in     scanner.Scanner
	token  rune
	depth  int
	bad    bool
}

func (p *selectionParser) next() { p.token = p.in.Scan() }

func (p *selectionParser) word(w string) bool {
	if p.bad || p.token != scanner.Ident || !strings.EqualFold(p.in.TokenText(), w) {
		return false
	}
	p.next()
	return true
}

func (p *selectionParser) char(c rune) bool {
	if p.bad || p.token != c {
		return false
	}
	p.next()
	return true
}

func (p *selectionParser) or() bool {
	holds := p.and()
	for p.word("OR") {
		also := p.and()
		holds = holds || also
	}
	return holds
}

func (p *selectionParser) and() bool {
	holds := p.one()
	for p.word("AND") {
		also := p.one()
		holds = holds && also
	}
	return holds
}

func (p *selectionParser) one() bool {
	if p.char('(') {
		if p.depth++; p.depth > maxSelectionDepth {
			p.bad = true
		}
		holds := !p.bad && p.or()
		p.depth--
		p.bad = p.bad || !p.char(')')
		return holds
	}
	have, ok := p.fields.value(p.in.TokenText())
	if !ok || p.token != scanner.Ident {
		p.bad = true
		return false
	}
	p.next()
	switch {
	case p.char('='):
		return p.text() == have
	case p.char('!'):
		p.bad = p.bad || !p.char('=')
		return p.text() != have
	case p.word("NOT"):
		p.bad = p.bad || !p.word("IN")
		return !slices.Contains(p.list(), have)
	case p.word("IN"):
		return slices.Contains(p.list(), have)
	}
	p.bad = true
	return false
}

func (p *selectionParser) list() (out []string) {
	p.bad = p.bad || !p.char('[')
	for !p.bad {
		out = append(out, p.text())
		if !p.char(',') {
			break
		}
	}
	p.bad = p.bad || !p.char(']')
	return out
}

func (p *selectionParser) text() string {
	if p.bad || p.token != scanner.String {
		p.bad = true
		return ""
	}
	text := strings.Trim(p.in.TokenText(), `"`)
	p.next()
	return text
}
