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
	"github.com/trefoil-o11y/trefoil/internal/cwlogs/transform"
	"github.com/trefoil-o11y/trefoil/internal/meta"
)

const (
	kindAccountPolicy = "account-policy"

	policyDataProtection   = "DATA_PROTECTION_POLICY"
	policySubscription     = "SUBSCRIPTION_FILTER_POLICY"
	policyFieldIndex       = "FIELD_INDEX_POLICY"
	policyTransformer      = "TRANSFORMER_POLICY"
	policyMetricExtraction = "METRIC_EXTRACTION_POLICY"

	maxSelection       = 25 << 10
	maxSelectionValues = 50
)

// accountPolicyType is what AWS documents of a type at
// docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutAccountPolicy.html.
type accountPolicyType struct {
	check func(document string) error
	// selections are the forms of selection criteria that it takes, most how many policies with
	// them there may be. A policy without is for all groups and the only one.
	selections []string
	most       int
}

func (t accountPolicyType) takes() string {
	if len(t.selections) == 0 {
		return "none"
	}
	return strings.Join(t.selections, ", ")
}

var accountPolicyTypes = map[string]accountPolicyType{
	policyDataProtection:   {check: func(d string) error { _, err := parseProtection(d); return err }},
	policySubscription:     {check: func(d string) error { _, err := parseSubscriptionPolicy(d); return err }, selections: []string{"LogGroupName NOT IN"}, most: 1},
	policyFieldIndex:       {check: func(d string) error { _, err := parseIndexPolicy(d); return err }, selections: []string{"LogGroupNamePrefix IN"}, most: 20},
	policyTransformer:      {check: func(d string) error { _, err := parseTransformerPolicy(d); return err }, selections: []string{"LogGroupNamePrefix IN"}, most: 20},
	policyMetricExtraction: {check: checkObject, selections: []string{"LogGroupName IN", "LogGroupName NOT IN", "LogGroupNamePrefix IN", "LogGroupNamePrefix NOT IN"}, most: 5},
}

// accountPolicyKinds are the names of the types in the order of AWS's model.
var accountPolicyKinds = []string{policyDataProtection, policySubscription, policyFieldIndex, policyTransformer, policyMetricExtraction}

func checkObject(document string) error {
	var object map[string]any
	if err := json.Unmarshal([]byte(document), &object); err != nil {
		return invalid("The policy is not a valid JSON object: %v", err)
	}
	return nil
}

func parseTransformerPolicy(document string) (*transform.Transformer, error) {
	var c transform.Config
	if err := json.Unmarshal([]byte(document), &c); err != nil {
		return nil, invalid("The transformer policy is not a valid JSON list of processors: %v", err)
	}
	t, err := transform.New(c)
	if err != nil {
		return nil, invalid("Invalid transformer: %v.", err)
	}
	return t, nil
}

// parseSubscriptionPolicy returns the subscription filter that a policy gives to groups.
func parseSubscriptionPolicy(document string) (subscriptionObject, error) {
	var p struct{ DestinationArn, RoleArn, FilterPattern, Distribution string }
	if err := json.Unmarshal([]byte(document), &p); err != nil {
		return subscriptionObject{}, invalid("The subscription filter policy is not valid JSON: %v", err)
	}
	var c check
	c.text("DestinationArn", p.DestinationArn, 2048, nil, "")
	c.enum("Distribution", p.Distribution, "Random", "ByLogStream")
	c.atMost("FilterPattern", p.FilterPattern, maxPattern)
	if err := c.err(); err != nil {
		return subscriptionObject{}, err
	}
	if _, err := compilePattern(p.FilterPattern); err != nil {
		return subscriptionObject{}, badPattern(err)
	}
	return subscriptionObject{FilterPattern: p.FilterPattern, DestinationARN: p.DestinationArn, RoleARN: p.RoleArn, Distribution: p.Distribution}, nil
}

// selection says which groups a policy is for; the zero value is for all.
type selection struct {
	form   string // such as "LogGroupName NOT IN"
	values []string
}

var selectionForm = regexp.MustCompile(`(?s)^\s*(LogGroupName|LogGroupNamePrefix)\s+(NOT\s+IN|IN)\s*(\[.*\])\s*$`)

func parseSelection(text string) (selection, error) {
	m := selectionForm.FindStringSubmatch(text)
	if m == nil {
		return selection{}, invalid("Invalid selectionCriteria: %q.", text)
	}
	s := selection{form: m[1] + " " + strings.Join(strings.Fields(m[2]), " ")}
	if json.Unmarshal([]byte(m[3]), &s.values) != nil || len(s.values) == 0 || len(s.values) > maxSelectionValues {
		return selection{}, invalid("Invalid selectionCriteria: a list has 1 to %d names in double quotes.", maxSelectionValues)
	}
	for _, v := range s.values {
		if len(v) > maxName || !groupName.MatchString(v) {
			return selection{}, invalid("Invalid selectionCriteria: %q is no name of a log group.", v)
		}
	}
	return s, nil
}

func (s selection) prefix() bool  { return strings.HasPrefix(s.form, "LogGroupNamePrefix") }
func (s selection) negated() bool { return strings.HasSuffix(s.form, "NOT IN") }

func (s selection) has(group string) bool {
	if s.form == "" {
		return true
	}
	return slices.ContainsFunc(s.values, func(v string) bool {
		return v == group || s.prefix() && strings.HasPrefix(group, v)
	}) != s.negated()
}

// overlaps reports whether a group may be in both, as AWS decides it.
func (s selection) overlaps(o selection) bool {
	switch {
	case s.form == "" || o.form == "" || s.negated() && o.negated():
		return true
	case s.negated():
		return o.overlaps(s)
	}
	for _, a := range s.values {
		one := slices.ContainsFunc(o.values, func(b string) bool {
			if o.negated() { // whether all that a names is left out by b
				return b == a && (o.prefix() || !s.prefix()) || o.prefix() && strings.HasPrefix(a, b)
			}
			return a == b || s.prefix() && strings.HasPrefix(b, a) || o.prefix() && strings.HasPrefix(a, b)
		})
		if one != o.negated() {
			return true
		}
	}
	return false
}

// accountPolicyObject is a policy as it is kept, under its type, a colon (which
// no name has) and its name.
type accountPolicyObject struct {
	PolicyDocument    string `json:"policyDocument"`
	SelectionCriteria string `json:"selectionCriteria,omitempty"`
	Account           string `json:"account,omitempty"` // that of who put it
}

func (accountPolicyObject) kind(stored string) string {
	kind, _, _ := strings.Cut(stored, ":")
	return kind
}

func (p accountPolicyObject) selection() (selection, error) {
	if p.SelectionCriteria == "" {
		return selection{}, nil
	}
	return parseSelection(p.SelectionCriteria)
}

// accountPolicies returns the account's policies that a group is under.
func accountPolicies(ctx context.Context, db *meta.DB, environment, group string) ([]defined[accountPolicyObject], error) {
	all, err := db.LogObjects(ctx, environment, kindAccountPolicy)
	if err != nil {
		return nil, err
	}
	var out []defined[accountPolicyObject]
	for _, o := range all {
		d, err := decodeObject[accountPolicyObject](o)
		if err != nil {
			return nil, err
		}
		selects, err := d.is.selection()
		if err != nil {
			return nil, fmt.Errorf("stored account policy %q: %w", o.Name, err)
		}
		if selects.has(group) {
			out = append(out, d)
		}
	}
	return out, nil
}

type accountPolicyRow struct {
	PolicyName        string `json:"policyName"`
	PolicyDocument    string `json:"policyDocument"`
	LastUpdatedTime   int64  `json:"lastUpdatedTime"`
	PolicyType        string `json:"policyType"`
	Scope             string `json:"scope"`
	SelectionCriteria string `json:"selectionCriteria,omitempty"`
	AccountID         string `json:"accountId"`
}

func rowOfAccountPolicy(r *awsapi.Request, d defined[accountPolicyObject]) accountPolicyRow {
	kind, name, _ := strings.Cut(d.Name, ":")
	return accountPolicyRow{name, d.is.PolicyDocument, d.Updated.UnixMilli(), kind, "ALL", d.is.SelectionCriteria, r.Caller.Account}
}

type putAccountPolicyInput struct {
	PolicyName        string `json:"policyName"`
	PolicyDocument    string `json:"policyDocument"`
	PolicyType        string `json:"policyType"`
	Scope             string `json:"scope"`
	SelectionCriteria string `json:"selectionCriteria"`
}

type putAccountPolicyOutput struct {
	AccountPolicy accountPolicyRow `json:"accountPolicy"`
}

// putAccountPolicy takes a policy for all groups or those that it selects. Data protection adds to that
// of groups, and so do subscriptions; a group's own transformer and index policy take the place of the
// account's; a policy of metric extraction ends embedded metrics.
func (s *Server) putAccountPolicy(ctx context.Context, r *awsapi.Request, in putAccountPolicyInput) (putAccountPolicyOutput, error) {
	var out putAccountPolicyOutput
	var c check
	c.text("policyName", in.PolicyName, 256, streamName, streamPattern)
	c.text("policyDocument", in.PolicyDocument, maxProtectionPolicy, nil, "")
	c.text("policyType", in.PolicyType, 0, nil, "")
	c.enum("policyType", in.PolicyType, accountPolicyKinds...)
	c.enum("scope", in.Scope, "ALL")
	c.atMost("selectionCriteria", in.SelectionCriteria, maxSelection)
	if err := c.err(); err != nil {
		return out, err
	}
	of := accountPolicyTypes[in.PolicyType]
	if err := of.check(in.PolicyDocument); err != nil {
		return out, err
	}
	o := accountPolicyObject{in.PolicyDocument, in.SelectionCriteria, r.Caller.Account}
	name := in.PolicyType + ":" + in.PolicyName
	s.accountPolicies.Lock()
	defer s.accountPolicies.Unlock()
	if err := s.fits(ctx, r.Caller.Environment, name, of, o); err != nil {
		return out, err
	}
	if in.PolicyType == policyDataProtection {
		if err := s.checkFindings(ctx, r.Caller.Environment, in.PolicyDocument); err != nil {
			return out, err
		}
	}
	if in.PolicyType == policySubscription {
		if err := s.subscribeAll(ctx, r.Caller.Environment, name, o); err != nil {
			return out, err
		}
	}
	d, err := define(ctx, s, r.Caller.Environment, kindAccountPolicy, "", name, o, 0)
	if err != nil {
		return out, err
	}
	out.AccountPolicy = rowOfAccountPolicy(r, d)
	return out, s.changedAll(ctx, r.Caller.Environment)
}

// fits checks a policy against the others of its type.
func (s *Server) fits(ctx context.Context, environment, name string, of accountPolicyType, o accountPolicyObject) error {
	selects, err := o.selection()
	if err != nil {
		return err
	}
	if selects.form != "" && !slices.Contains(of.selections, selects.form) {
		return invalid("Invalid selectionCriteria: policies of this type take %s.", of.takes())
	}
	all, err := objects[accountPolicyObject](ctx, s, environment, kindAccountPolicy)
	if err != nil {
		return err
	}
	others := 0
	for _, have := range all {
		if have.Name == name || have.is.kind(have.Name) != o.kind(name) {
			continue
		}
		theirs, err := have.is.selection()
		if err != nil {
			return err
		}
		if others++; others >= of.most || theirs.form == "" || selects.form == "" {
			return errLimit
		}
		if selects.overlaps(theirs) {
			return invalid("The selectionCriteria overlaps with that of another policy of this type.")
		}
	}
	return nil
}

// changedAll has what is known of all groups read again, and begins to deliver where that is new.
func (s *Server) changedAll(ctx context.Context, environment string) error {
	groups, err := s.cfg.Meta.LogGroups(ctx, environment)
	for _, g := range groups {
		s.changed(ctx, g)
		err = errors.Join(err, s.startGroup(ctx, g))
	}
	return err
}

type describeAccountPoliciesInput struct {
	PolicyName string `json:"policyName"`
	PolicyType string `json:"policyType"`
	NextToken  string `json:"nextToken"`
}

type describeAccountPoliciesOutput struct {
	AccountPolicies []accountPolicyRow `json:"accountPolicies"`
}

func (s *Server) describeAccountPolicies(ctx context.Context, r *awsapi.Request, in describeAccountPoliciesInput) (describeAccountPoliciesOutput, error) {
	out := describeAccountPoliciesOutput{AccountPolicies: []accountPolicyRow{}}
	var c check
	c.text("policyType", in.PolicyType, 0, nil, "")
	c.enum("policyType", in.PolicyType, accountPolicyKinds...)
	if err := c.err(); err != nil {
		return out, err
	}
	all, err := objects[accountPolicyObject](ctx, s, r.Caller.Environment, kindAccountPolicy)
	if err != nil {
		return out, err
	}
	for _, d := range all {
		if row := rowOfAccountPolicy(r, d); row.PolicyType == in.PolicyType && (in.PolicyName == "" || row.PolicyName == in.PolicyName) {
			out.AccountPolicies = append(out.AccountPolicies, row)
		}
	}
	if in.PolicyName != "" && len(out.AccountPolicies) == 0 {
		return out, noAccountPolicy(in.PolicyName)
	}
	return out, nil
}

func noAccountPolicy(name string) error {
	return awsapi.Errorf("ResourceNotFoundException", "Policy with name [%s] does not exist.", name)
}

type deleteAccountPolicyInput struct {
	PolicyName string `json:"policyName"`
	PolicyType string `json:"policyType"`
}

func (s *Server) deleteAccountPolicy(ctx context.Context, r *awsapi.Request, in deleteAccountPolicyInput) (none, error) {
	var c check
	c.text("policyName", in.PolicyName, 256, nil, "")
	c.text("policyType", in.PolicyType, 0, nil, "")
	c.enum("policyType", in.PolicyType, accountPolicyKinds...)
	if err := c.err(); err != nil {
		return none{}, err
	}
	s.accountPolicies.Lock()
	defer s.accountPolicies.Unlock()
	name := in.PolicyType + ":" + in.PolicyName
	if err := s.remove(ctx, r.Caller.Environment, kindAccountPolicy, "", name, noAccountPolicy(in.PolicyName)); err != nil {
		return none{}, err
	}
	if in.PolicyType == policySubscription {
		if err := s.unsubscribeAll(ctx, r.Caller.Environment, name); err != nil {
			return none{}, err
		}
	}
	return none{}, s.changedAll(ctx, r.Caller.Environment)
}
