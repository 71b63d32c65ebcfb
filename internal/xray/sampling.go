package xray

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/meta"
)

const (
	// defaultRule is always there, matches last, and can not be deleted.
	defaultRule         = "Default"
	defaultRulePriority = 10_000
	// maxRules is how many rules there may be beside it.
	maxRules = 25
)

type rateBoost struct {
	MaxRate               *float64
	CooldownWindowMinutes *int64
}

type samplingRule struct {
	RuleName, RuleARN, ResourceARN string
	Priority                       int64
	FixedRate                      float64
	ReservoirSize                  int64
	ServiceName, ServiceType, Host string
	HTTPMethod, URLPath            string
	Version                        int64
	Attributes                     map[string]string
	SamplingRateBoost              *rateBoost `json:",omitempty"`

	created, modified time.Time
}

// ruleIn is a rule as requests give it.
type ruleIn struct {
	RuleName, RuleARN              string
	ResourceARN                    *string
	Priority                       *int64
	FixedRate                      *float64
	ReservoirSize                  *int64
	ServiceName, ServiceType, Host *string
	HTTPMethod, URLPath            *string
	Version                        *int64
	Attributes                     map[string]string
	SamplingRateBoost              *rateBoost
}

type ruleRecord struct {
	SamplingRule          samplingRule
	CreatedAt, ModifiedAt float64
}

type ruleResult struct{ SamplingRuleRecord ruleRecord }

type rulesResult struct{ SamplingRuleRecords []ruleRecord }

// defaultChanges is what can be changed of the default rule.
type defaultChanges struct {
	FixedRate     float64
	ReservoirSize int64
	Modified      int64 // nanoseconds since the epoch
}

func ruleOfARN(arn string) (name string, ok bool) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != "xray" {
		return "", false
	}
	name, ok = strings.CutPrefix(parts[5], "sampling-rule/")
	return name, ok && name != ""
}

func (t tenant) record(r samplingRule) ruleRecord {
	r.RuleARN = t.arn("sampling-rule/" + r.RuleName)
	if r.Attributes == nil {
		r.Attributes = map[string]string{}
	}
	rec := ruleRecord{SamplingRule: r}
	if !r.created.IsZero() {
		rec.CreatedAt = epoch(r.created)
	}
	if !r.modified.IsZero() {
		rec.ModifiedAt = epoch(r.modified)
	}
	return rec
}

// rules lists the rules in the order in which they are matched.
func (s *Server) rules(ctx context.Context) ([]samplingRule, error) {
	list, err := s.cfg.Meta.SamplingRules(ctx)
	if err != nil {
		return nil, err
	}
	def := samplingRule{
		RuleName: defaultRule, ResourceARN: "*", Priority: defaultRulePriority, FixedRate: 0.05, ReservoirSize: 1,
		ServiceName: "*", ServiceType: "*", Host: "*", HTTPMethod: "*", URLPath: "*", Version: 1,
	}
	var changes defaultChanges
	if err := s.readSetting(ctx, settingDefaultRule, &changes); err != nil {
		return nil, err
	}
	if changes.Modified != 0 {
		def.FixedRate, def.ReservoirSize, def.modified = changes.FixedRate, changes.ReservoirSize, time.Unix(0, changes.Modified)
	}
	out := []samplingRule{def}
	for _, r := range list {
		rule := samplingRule{created: r.Created, modified: r.Modified}
		if err := json.Unmarshal([]byte(r.Rule), &rule); err != nil {
			return nil, fmt.Errorf("read sampling rule %q: %w", r.Name, err)
		}
		out = append(out, rule)
	}
	slices.SortFunc(out, func(a, b samplingRule) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), strings.Compare(a.RuleName, b.RuleName))
	})
	return out, nil
}

func (s *Server) rule(ctx context.Context, name string) (samplingRule, error) {
	list, err := s.rules(ctx)
	if err != nil {
		return samplingRule{}, err
	}
	for _, r := range list {
		if r.RuleName == name {
			return r, nil
		}
	}
	return samplingRule{}, awsapi.Errorf(codeInvalidRequest, "There is no sampling rule %s.", name)
}

// named finds the rule of a request that names it by exactly one of name and ARN.
func (s *Server) named(ctx context.Context, name, arn string) (samplingRule, error) {
	if (name == "") == (arn == "") {
		return samplingRule{}, awsapi.Errorf(codeInvalidRequest, "Exactly one of RuleName and RuleARN is required.")
	}
	if arn != "" {
		var ok bool
		if name, ok = ruleOfARN(arn); !ok {
			return samplingRule{}, awsapi.Errorf(codeInvalidRequest, "%s is not the ARN of a sampling rule.", arn)
		}
	}
	return s.rule(ctx, name)
}

// apply lays the members that are given over a rule, and checks the result.
func (in ruleIn) apply(r *samplingRule) error {
	for _, x := range []struct {
		to   *string
		from *string
		name string
		max  int
	}{
		{&r.ResourceARN, in.ResourceARN, "ResourceARN", 500}, {&r.ServiceName, in.ServiceName, "ServiceName", 64}, {&r.ServiceType, in.ServiceType, "ServiceType", 64},
		{&r.Host, in.Host, "Host", 64}, {&r.HTTPMethod, in.HTTPMethod, "HTTPMethod", 10}, {&r.URLPath, in.URLPath, "URLPath", 128},
	} {
		if x.from != nil {
			*x.to = *x.from
		}
		if len(*x.to) > x.max {
			return awsapi.Errorf(codeInvalidRequest, "%s is longer than %d characters.", x.name, x.max)
		}
	}
	if in.Priority != nil {
		r.Priority = *in.Priority
	}
	if in.FixedRate != nil {
		r.FixedRate = *in.FixedRate
	}
	if in.ReservoirSize != nil {
		r.ReservoirSize = *in.ReservoirSize
	}
	if in.Attributes != nil {
		r.Attributes = in.Attributes
	}
	if in.SamplingRateBoost != nil {
		r.SamplingRateBoost = in.SamplingRateBoost
	}
	switch {
	case r.RuleName != defaultRule && (r.Priority < 1 || r.Priority > 9999):
		return awsapi.Errorf(codeInvalidRequest, "Priority must be from 1 to 9999.")
	case r.FixedRate < 0 || r.FixedRate > 1:
		return awsapi.Errorf(codeInvalidRequest, "FixedRate must be from 0 to 1.")
	case r.ReservoirSize < 0:
		return awsapi.Errorf(codeInvalidRequest, "ReservoirSize can not be negative.")
	case len(r.Attributes) > 5:
		return awsapi.Errorf(codeInvalidRequest, "A rule can have no more than 5 attributes.")
	}
	for k, v := range r.Attributes {
		if k == "" || len(k) > 32 || v == "" || len(v) > 32 {
			return awsapi.Errorf(codeInvalidRequest, "Keys and values of Attributes have 1 to 32 characters.")
		}
	}
	if b := r.SamplingRateBoost; b != nil && (b.MaxRate == nil || *b.MaxRate < 0 || *b.MaxRate > 1 || b.CooldownWindowMinutes == nil || *b.CooldownWindowMinutes < 0) {
		return awsapi.Errorf(codeInvalidRequest, "SamplingRateBoost needs a MaxRate from 0 to 1 and a CooldownWindowMinutes that is not negative.")
	}
	return nil
}

// complete fails when a rule to create lacks a member.
func (in ruleIn) complete() error {
	for _, x := range []struct {
		name  string
		given bool
	}{
		{"ResourceARN", in.ResourceARN != nil}, {"Priority", in.Priority != nil}, {"FixedRate", in.FixedRate != nil}, {"ReservoirSize", in.ReservoirSize != nil},
		{"ServiceName", in.ServiceName != nil}, {"ServiceType", in.ServiceType != nil}, {"Host", in.Host != nil}, {"HTTPMethod", in.HTTPMethod != nil},
		{"URLPath", in.URLPath != nil}, {"Version", in.Version != nil},
	} {
		if !x.given {
			return missing(x.name)
		}
	}
	if *in.Version != 1 {
		return awsapi.Errorf(codeInvalidRequest, "Version must be 1.")
	}
	return nil
}

func (r samplingRule) stored() meta.SamplingRule {
	return meta.SamplingRule{Name: r.RuleName, Rule: string(encode(r)), Created: r.created, Modified: r.modified}
}

// now is the time of a change; clients compare it with theirs, in milliseconds.
func now() time.Time { return time.Now().Truncate(time.Millisecond) }

type createRuleIn struct {
	SamplingRule *ruleIn
	Tags         []tagIO
}

func (s *Server) createSamplingRule(ctx context.Context, r *awsapi.Request, in createRuleIn) (*ruleResult, error) {
	if in.SamplingRule == nil {
		return nil, missing("SamplingRule")
	}
	name := in.SamplingRule.RuleName
	switch {
	case in.SamplingRule.RuleARN != "":
		return nil, awsapi.Errorf(codeInvalidRequest, "RuleARN is chosen by the server; give RuleName.")
	case name == "" || len(name) > 32:
		return nil, awsapi.Errorf(codeInvalidRequest, "RuleName must have 1 to 32 characters.")
	case name == defaultRule:
		return nil, awsapi.Errorf(codeInvalidRequest, "A sampling rule with the name %s exists already.", name)
	}
	if err := in.SamplingRule.complete(); err != nil {
		return nil, err
	}
	at := now()
	rule := samplingRule{RuleName: name, Version: 1, created: at, modified: at}
	if err := in.SamplingRule.apply(&rule); err != nil {
		return nil, err
	}
	tags, err := checkTags(in.Tags)
	if err != nil {
		return nil, err
	}
	s.settings.Lock()
	defer s.settings.Unlock()
	list, err := s.cfg.Meta.SamplingRules(ctx)
	if err != nil {
		return nil, err
	}
	exists := awsapi.Errorf(codeInvalidRequest, "A sampling rule with the name %s exists already.", name)
	if slices.ContainsFunc(list, func(o meta.SamplingRule) bool { return o.Name == name }) {
		return nil, exists
	}
	if len(list) >= maxRules {
		return nil, awsapi.Errorf(codeRuleLimit, "There can be no more than %d sampling rules.", maxRules)
	}
	if err := s.cfg.Meta.CreateSamplingRule(ctx, rule.stored()); errors.Is(err, meta.ErrExists) {
		return nil, exists
	} else if err != nil {
		return nil, err
	}
	if err := s.cfg.Meta.PutTags(ctx, ruleResource(name), tags); err != nil {
		return nil, err
	}
	return &ruleResult{tenantOf(r).record(rule)}, nil
}

type updateRuleIn struct{ SamplingRuleUpdate *ruleIn }

func (s *Server) updateSamplingRule(ctx context.Context, r *awsapi.Request, in updateRuleIn) (*ruleResult, error) {
	u := in.SamplingRuleUpdate
	if u == nil {
		return nil, missing("SamplingRuleUpdate")
	}
	s.settings.Lock()
	defer s.settings.Unlock()
	rule, err := s.named(ctx, u.RuleName, u.RuleARN)
	if err != nil {
		return nil, err
	}
	isDefault := rule.RuleName == defaultRule
	if isDefault && (u.ResourceARN != nil || u.Priority != nil || u.ServiceName != nil || u.ServiceType != nil || u.Host != nil || u.HTTPMethod != nil || u.URLPath != nil || u.Attributes != nil || u.SamplingRateBoost != nil) {
		return nil, awsapi.Errorf(codeInvalidRequest, "Of the rule %s only FixedRate and ReservoirSize can be changed.", defaultRule)
	}
	if err := u.apply(&rule); err != nil {
		return nil, err
	}
	rule.modified = now()
	if isDefault {
		err = s.writeSetting(ctx, settingDefaultRule, defaultChanges{rule.FixedRate, rule.ReservoirSize, rule.modified.UnixNano()})
	} else {
		err = s.cfg.Meta.UpdateSamplingRule(ctx, rule.stored())
	}
	if err != nil {
		return nil, err
	}
	return &ruleResult{tenantOf(r).record(rule)}, nil
}

type deleteRuleIn struct{ RuleName, RuleARN string }

func (s *Server) deleteSamplingRule(ctx context.Context, r *awsapi.Request, in deleteRuleIn) (*ruleResult, error) {
	s.settings.Lock()
	defer s.settings.Unlock()
	rule, err := s.named(ctx, in.RuleName, in.RuleARN)
	if err != nil {
		return nil, err
	}
	if rule.RuleName == defaultRule {
		return nil, awsapi.Errorf(codeInvalidRequest, "The rule %s can not be deleted.", defaultRule)
	}
	// The time of the deletion first: clients must learn of it even if they ask in between.
	if err := s.writeSetting(ctx, settingRulesDeleted, now().UnixNano()); err != nil {
		return nil, err
	}
	if err := s.cfg.Meta.DeleteSamplingRule(ctx, rule.RuleName); err != nil {
		return nil, err
	}
	if err := s.dropTags(ctx, ruleResource(rule.RuleName)); err != nil {
		return nil, err
	}
	return &ruleResult{tenantOf(r).record(rule)}, nil
}

// getSamplingRules answers all rules at once: SDKs do not turn pages here.
func (s *Server) getSamplingRules(ctx context.Context, r *awsapi.Request, _ pageIn) (*rulesResult, error) {
	list, err := s.rules(ctx)
	if err != nil {
		return nil, err
	}
	out := &rulesResult{}
	t := tenantOf(r)
	for _, rule := range list {
		out.SamplingRuleRecords = append(out.SamplingRuleRecords, t.record(rule))
	}
	return out, nil
}

// lastModification is when a rule was last made, changed or deleted; zero if never.
func (s *Server) lastModification(ctx context.Context, list []samplingRule) (float64, error) {
	var deleted int64
	if err := s.readSetting(ctx, settingRulesDeleted, &deleted); err != nil {
		return 0, err
	}
	last := time.Unix(0, deleted)
	for _, r := range list {
		if r.modified.After(last) {
			last = r.modified
		}
	}
	return epoch(last), nil
}
