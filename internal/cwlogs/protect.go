package cwlogs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/meta"
)

const (
	kindDataProtection  = "data-protection"
	maxProtectionPolicy = 30720
)

// masker hides what the data protection policies of a group name. A nil masker hides nothing.
type masker struct {
	detectors []detector
	audits    []audit // one of each policy
	// elsewhere is where a policy would send findings that are not sent from here.
	elsewhere string
}

// detector finds one kind of sensitive data; holds decides on what the expression matches.
type detector struct {
	name  string
	re    *regexp.Regexp
	holds func(match string) bool
	// may, unless it is nil, says quickly that a text has nothing that the expression matches.
	may func(text string) bool
}

// find returns the places of what the detector is for.
func (d *detector) find(text string) [][]int {
	if d.may != nil && !d.may(text) {
		return nil
	}
	places := d.re.FindAllStringIndex(text, -1)
	if d.holds != nil {
		places = slices.DeleteFunc(places, func(at []int) bool { return !d.holds(text[at[0]:at[1]]) })
	}
	return places
}

// managed are the data identifiers of AWS that are known here.
var managed = map[string]detector{
	"EmailAddress": {re: regexp.MustCompile(`[A-Za-z0-9._%+\-]+@[A-Za-z0-9.\-]+\.[A-Za-z]{2,}`), may: func(s string) bool { return strings.Contains(s, "@") }},
	"IpAddress": {
		re:  regexp.MustCompile(`\b(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)\b|\b(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}\b`),
		may: func(s string) bool { return between(s, '.', isDigit) >= 3 || between(s, ':', isHex) >= 7 },
	},
	"CreditCardNumber": {re: regexp.MustCompile(`\b\d(?:[ -]?\d){12,18}\b`), holds: luhn, may: func(s string) bool { return digitRun(s) >= 13 }},
	"AwsSecretKey":     {re: regexp.MustCompile(`\b[A-Za-z0-9/+]{40}\b`), holds: mixed, may: func(s string) bool { return keyRun(s) >= 40 }},
	"PhoneNumber-US":   {re: regexp.MustCompile(`(?:\+1[ .\-]?)?(?:\(\d{3}\) ?|\b\d{3}[ .\-])\d{3}[ .\-]\d{4}\b`), may: func(s string) bool { return parted(s, 3, 4) }},
	"Ssn-US":           {re: regexp.MustCompile(`\b\d{3}-\d{2}-\d{4}\b`), may: func(s string) bool { return parted(s, 2, 4) }},
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isHex(c byte) bool { return isDigit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' }

// between counts the bytes c of a text that have a byte of a class on both sides.
func between(s string, c byte, class func(byte) bool) (n int) {
	for i := 1; i < len(s)-1; i++ {
		if s[i] == c && class(s[i-1]) && class(s[i+1]) {
			n++
		}
	}
	return n
}

// parted reports whether a text has a blank, dot or dash with that many digits in front of it and behind.
func parted(s string, before, after int) bool {
	digits, had := 0, -1 // had are the digits in front of the sign right ahead of these
	for i := range len(s) {
		switch c := s[i]; {
		case isDigit(c):
			if digits++; had >= before && digits == after {
				return true
			}
		case c == ' ' || c == '-' || c == '.':
			digits, had = 0, digits
		default:
			digits, had = 0, -1
		}
	}
	return false
}

// digitRun returns the largest number of digits in a row, with at most one blank or dash between two.
func digitRun(s string) (most int) {
	n, gap := 0, 0
	for i := range len(s) {
		switch c := s[i]; {
		case isDigit(c):
			n, gap = n+1, 0
			most = max(most, n)
		case gap == 0 && (c == ' ' || c == '-'):
			gap = 1
		default:
			n, gap = 0, 0
		}
	}
	return most
}

// keyRun returns the largest number of letters, digits, slashes and plus signs in a row.
func keyRun(s string) (most int) {
	n := 0
	for i := range len(s) {
		if c := s[i]; isDigit(c) || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '/' || c == '+' {
			n++
			most = max(most, n)
		} else {
			n = 0
		}
	}
	return most
}

// luhn reports whether digits, apart from blanks and dashes, have the check digit of card numbers.
func luhn(s string) bool {
	sum, n := 0, 0
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] < '0' || s[i] > '9' {
			continue
		}
		d := int(s[i] - '0')
		if n%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
		n++
	}
	return sum%10 == 0
}

// mixed reports whether a text has letters of both cases and a digit, as random keys do.
func mixed(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r >= 'a' && r <= 'z' }) && strings.ContainsFunc(s, func(r rune) bool { return r >= 'A' && r <= 'Z' }) && strings.ContainsAny(s, "0123456789")
}

// mask returns text with an asterisk for each character of what the detectors find.
func (m *masker) mask(text string) string {
	if m == nil {
		return text
	}
	for i := range m.detectors {
		places := m.detectors[i].find(text)
		if places == nil {
			continue
		}
		var b strings.Builder
		end := 0
		for _, at := range places {
			b.WriteString(text[end:at[0]])
			b.WriteString(strings.Repeat("*", utf8.RuneCountInString(text[at[0]:at[1]])))
			end = at[1]
		}
		text = b.String() + text[end:]
	}
	return text
}

// value returns the value of a field, a text when something is hidden in it.
func (m *masker) value(v event.Value) event.Value {
	switch v.Kind() {
	case event.KindString:
		return event.String(m.mask(v.Str()))
	case event.KindInt, event.KindFloat:
		if text := v.Text(); m.mask(text) != text {
			return event.String(m.mask(text))
		}
	}
	return v
}

// and returns a masker that hides what either hides.
func (m *masker) and(o *masker) *masker {
	switch {
	case m == nil:
		return o
	case o == nil:
		return m
	}
	return &masker{detectors: slices.Concat(m.detectors, o.detectors), audits: slices.Concat(m.audits, o.audits)}
}

// protectionPolicy is a document as described at
// docs.aws.amazon.com/AmazonCloudWatch/latest/logs/mask-sensitive-log-data.html.
type protectionPolicy struct {
	Name      string
	Version   string
	Statement []struct {
		Sid            string
		DataIdentifier []string
		Operation      struct {
			Audit      *struct{ FindingsDestination *findingsDestination }
			Deidentify *struct{ MaskConfig json.RawMessage }
		}
	}
	Configuration struct {
		CustomDataIdentifier []struct{ Name, Regex string }
	}
}

// findingsDestination says where the findings of an audit go; all of it is optional.
type findingsDestination struct {
	CloudWatchLogs *struct{ LogGroup string }
	Firehose       *struct{ DeliveryStream string }
	S3             *struct{ Bucket string }
}

// parseProtection checks a policy and makes its masker.
func parseProtection(document string) (*masker, error) {
	var p protectionPolicy
	if err := json.Unmarshal([]byte(document), &p); err != nil {
		return nil, invalid("The data protection policy is not valid JSON: %v", err)
	}
	custom := map[string]detector{}
	if len(p.Configuration.CustomDataIdentifier) > 10 {
		return nil, invalid("A data protection policy has at most 10 custom data identifiers.")
	}
	for _, c := range p.Configuration.CustomDataIdentifier {
		re, err := regexp.Compile(c.Regex)
		if err != nil || c.Regex == "" || len(c.Regex) > 200 || c.Name == "" || len(c.Name) > 128 {
			return nil, invalid("The custom data identifier %q needs a name of up to 128 and a regular expression of up to 200 characters.", c.Name)
		}
		if re.MatchString("") {
			return nil, invalid("The regular expression of the custom data identifier %q matches the empty text.", c.Name)
		}
		custom[c.Name] = detector{re: re}
	}
	if len(p.Statement) != 2 {
		return nil, invalid("A data protection policy has two statements: an Audit and a Deidentify operation.")
	}
	var audited, deidentify []string
	var to findingsDestination
	for _, s := range p.Statement {
		switch {
		case s.Operation.Audit != nil && s.Operation.Deidentify == nil && s.Operation.Audit.FindingsDestination != nil:
			audited, to = s.DataIdentifier, *s.Operation.Audit.FindingsDestination
		case s.Operation.Deidentify != nil && s.Operation.Audit == nil && s.Operation.Deidentify.MaskConfig != nil:
			deidentify = s.DataIdentifier
		}
	}
	slices.Sort(audited)
	slices.Sort(deidentify)
	if len(audited) == 0 || !slices.Equal(audited, deidentify) {
		return nil, invalid("A data protection policy has an Audit statement with a FindingsDestination and a Deidentify statement with a MaskConfig, with the same data identifiers.")
	}
	m := &masker{}
	for _, id := range deidentify {
		name := id
		if i := strings.LastIndex(id, "data-identifier/"); i >= 0 {
			name = id[i+len("data-identifier/"):]
		}
		d, ok := managed[name]
		if !ok {
			d, ok = custom[name]
		}
		if !ok {
			return nil, invalid("The data identifier %q is not supported by this server.", id)
		}
		d.name = name
		m.detectors = append(m.detectors, d)
	}
	own := audit{detectors: m.detectors}
	switch {
	case to.Firehose != nil:
		m.elsewhere = "Firehose"
	case to.S3 != nil:
		m.elsewhere = "S3"
	}
	if to.CloudWatchLogs != nil {
		if own.group = to.CloudWatchLogs.LogGroup; !groupName.MatchString(own.group) {
			return nil, invalid("The FindingsDestination CloudWatchLogs has no valid LogGroup.")
		}
	}
	m.audits = []audit{own}
	return m, nil
}

type policyInput struct {
	LogGroupIdentifier string `json:"logGroupIdentifier"`
	PolicyDocument     string `json:"policyDocument"`
}

type protectionOutput struct {
	LogGroupIdentifier string `json:"logGroupIdentifier"`
	PolicyDocument     string `json:"policyDocument,omitempty"`
	LastUpdatedTime    int64  `json:"lastUpdatedTime,omitempty"`
}

func (s *Server) putDataProtectionPolicy(ctx context.Context, r *awsapi.Request, in policyInput) (protectionOutput, error) {
	var c check
	c.text("policyDocument", in.PolicyDocument, maxProtectionPolicy, nil, "")
	g, err := s.identifiedGroup(ctx, r, &c, in.LogGroupIdentifier)
	if err != nil {
		return protectionOutput{}, err
	}
	if err := s.checkFindings(ctx, g.Environment, in.PolicyDocument); err != nil {
		return protectionOutput{}, err
	}
	d, err := define(ctx, s, g.Environment, kindDataProtection, g.Name, "", in.PolicyDocument, 0)
	if err != nil {
		return protectionOutput{}, err
	}
	s.changed(ctx, g)
	return protectionOutput{in.LogGroupIdentifier, in.PolicyDocument, d.Updated.UnixMilli()}, nil
}

func (s *Server) getDataProtectionPolicy(ctx context.Context, r *awsapi.Request, in policyInput) (protectionOutput, error) {
	var c check
	g, err := s.identifiedGroup(ctx, r, &c, in.LogGroupIdentifier)
	if err != nil {
		return protectionOutput{}, err
	}
	d, err := object[string](ctx, s, g.Environment, kindDataProtection, g.Name, "", nil)
	if err != nil || d.is == "" {
		return protectionOutput{LogGroupIdentifier: in.LogGroupIdentifier}, err
	}
	return protectionOutput{in.LogGroupIdentifier, d.is, d.Updated.UnixMilli()}, nil
}

func (s *Server) deleteDataProtectionPolicy(ctx context.Context, r *awsapi.Request, in policyInput) (none, error) {
	var c check
	g, err := s.identifiedGroup(ctx, r, &c, in.LogGroupIdentifier)
	if err != nil {
		return none{}, err
	}
	missing := awsapi.Errorf("ResourceNotFoundException", "The specified data protection policy does not exist.")
	if err := s.remove(ctx, g.Environment, kindDataProtection, g.Name, "", missing); err != nil {
		return none{}, err
	}
	s.changed(ctx, g)
	return none{}, nil
}

// maskerOf returns what hides the sensitive data of a group: its own policy and the account's.
func (s *Server) maskerOf(ctx context.Context, g meta.LogGroup) (*masker, error) {
	rules, err := s.rules.of(ctx, g)
	if err != nil {
		return nil, err
	}
	return rules.masker, nil
}

// maskers returns what hides the sensitive data of the log groups of an environment that have a data
// protection policy, by dataset. Every way to read events of log groups asks it, or maskerOf.
func (s *Server) maskers(ctx context.Context, environment string) (map[event.DatasetID]*masker, error) {
	groups, err := s.cfg.Meta.LogGroups(ctx, environment)
	if err != nil {
		return nil, err
	}
	out := map[event.DatasetID]*masker{}
	for _, g := range groups {
		if m, err := s.maskerOf(ctx, g); err != nil {
			return nil, err
		} else if m != nil {
			out[g.ID] = m
		}
	}
	return out, nil
}

// Masks returns the functions that hide the sensitive data of the log groups of an environment that
// have a data protection policy, by dataset.
func (s *Server) Masks(ctx context.Context, environment string) (map[event.DatasetID]func(event.Value) event.Value, error) {
	all, err := s.maskers(ctx, environment)
	out := map[event.DatasetID]func(event.Value) event.Value{}
	for id, m := range all {
		out[id] = m.value
	}
	return out, err
}

// Mask returns the function that hides what any of the datasets has that is sensitive, for answers that do
// not tell which one a value comes from; nil when there is nothing to hide.
func (s *Server) Mask(ctx context.Context, environment string, datasets []event.DatasetID) (func(event.Value) event.Value, error) {
	all, err := s.maskers(ctx, environment)
	var m *masker
	for _, id := range datasets {
		m = m.and(all[id])
	}
	if m == nil || err != nil {
		return nil, err
	}
	return m.value, nil
}

// protection returns the masker of the policies among a group's objects and the account's.
func protection(objects []meta.LogObject, account []defined[accountPolicyObject]) (*masker, error) {
	var m *masker
	add := func(document, where string) error {
		own, err := parseProtection(document)
		if err != nil {
			return fmt.Errorf("stored data protection policy of %s: %w", where, err)
		}
		m = m.and(own)
		return nil
	}
	for _, o := range objects {
		if o.Kind != kindDataProtection {
			continue
		}
		d, err := decodeObject[string](o)
		if err := errors.Join(err, add(d.is, o.Scope)); err != nil {
			return nil, err
		}
	}
	for _, p := range account {
		if p.is.kind(p.Name) != policyDataProtection {
			continue
		}
		if err := add(p.is.PolicyDocument, "the account"); err != nil {
			return nil, err
		}
	}
	return m, nil
}
