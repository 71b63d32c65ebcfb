package cwlogs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/meta"
)

const (
	kindDataProtection  = "data-protection"
	maxProtectionPolicy = 30720
)

// masker hides what the data protection policies of a group name. A nil masker hides nothing.
type masker struct{ detectors []detector }

// detector finds one kind of sensitive data; holds decides on what the expression matches.
type detector struct {
	re    *regexp.Regexp
	holds func(match string) bool
}

// managed are the data identifiers of AWS that are known here.
var managed = map[string]detector{
	"EmailAddress":     {re: regexp.MustCompile(`[A-Za-z0-9._%+\-]+@[A-Za-z0-9.\-]+\.[A-Za-z]{2,}`)},
	"IpAddress":        {re: regexp.MustCompile(`\b(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)\b|\b(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}\b`)},
	"CreditCardNumber": {re: regexp.MustCompile(`\b\d(?:[ -]?\d){12,18}\b`), holds: luhn},
	"AwsSecretKey":     {re: regexp.MustCompile(`\b[A-Za-z0-9/+]{40}\b`), holds: mixed},
	"PhoneNumber-US":   {re: regexp.MustCompile(`(?:\+1[ .\-]?)?(?:\(\d{3}\) ?|\b\d{3}[ .\-])\d{3}[ .\-]\d{4}\b`)},
	"Ssn-US":           {re: regexp.MustCompile(`\b\d{3}-\d{2}-\d{4}\b`)},
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
	for _, d := range m.detectors {
		text = d.re.ReplaceAllStringFunc(text, func(match string) string {
			if d.holds != nil && !d.holds(match) {
				return match
			}
			return strings.Repeat("*", len([]rune(match)))
		})
	}
	return text
}

// and returns a masker that hides what either hides.
func (m *masker) and(o *masker) *masker {
	switch {
	case m == nil:
		return o
	case o == nil:
		return m
	}
	return &masker{append(slices.Clone(m.detectors), o.detectors...)}
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
			Audit      *struct{ FindingsDestination json.RawMessage }
			Deidentify *struct{ MaskConfig json.RawMessage }
		}
	}
	Configuration struct {
		CustomDataIdentifier []struct{ Name, Regex string }
	}
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
	var audit, deidentify []string
	for _, s := range p.Statement {
		switch {
		case s.Operation.Audit != nil && s.Operation.Deidentify == nil && s.Operation.Audit.FindingsDestination != nil:
			audit = s.DataIdentifier
		case s.Operation.Deidentify != nil && s.Operation.Audit == nil && s.Operation.Deidentify.MaskConfig != nil:
			deidentify = s.DataIdentifier
		}
	}
	slices.Sort(audit)
	slices.Sort(deidentify)
	if len(audit) == 0 || !slices.Equal(audit, deidentify) {
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
		m.detectors = append(m.detectors, d)
	}
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
	if _, err := parseProtection(in.PolicyDocument); err != nil {
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

// Masks returns the functions that hide the sensitive data of the log groups of an environment that
// have a data protection policy, by dataset.
func (s *Server) Masks(ctx context.Context, environment string) (map[event.DatasetID]func(string) string, error) {
	groups, err := s.cfg.Meta.LogGroups(ctx, environment)
	if err != nil {
		return nil, err
	}
	out := map[event.DatasetID]func(string) string{}
	for _, g := range groups {
		if m, err := s.maskerOf(ctx, g); err != nil {
			return nil, err
		} else if m != nil {
			out[g.ID] = m.mask
		}
	}
	return out, nil
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
