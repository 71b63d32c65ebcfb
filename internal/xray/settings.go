package xray

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
)

// Names of settings in the metadata; their values are JSON.
const (
	settingDefaultGroup = "xray.default_group"
	settingDefaultRule  = "xray.default_rule"
	settingRulesDeleted = "xray.rules_deleted"
	settingEncryption   = "xray.encryption"
	settingPolicies     = "xray.policies"
	settingDestination  = "xray.destination"
	settingIndexing     = "xray.indexing"
)

// readSetting decodes a setting into v, which stays as it is when it was never written.
func (s *Server) readSetting(ctx context.Context, name string, v any) error {
	text, err := s.cfg.Meta.Setting(ctx, name)
	if err != nil || text == "" {
		return err
	}
	if err := json.Unmarshal([]byte(text), v); err != nil {
		return fmt.Errorf("read setting %s: %w", name, err)
	}
	return nil
}

func (s *Server) writeSetting(ctx context.Context, name string, v any) error {
	return s.cfg.Meta.SetSetting(ctx, name, string(encode(v)))
}

// resourceName is the member that ResourceNotFoundException and TooManyTagsException have.
func resourceName(arn string) map[string]json.RawMessage {
	return map[string]json.RawMessage{"ResourceName": encode(arn)}
}

type encryptionConfig struct {
	KeyID  string `json:"KeyId,omitempty"`
	Status string
	Type   string
}

type encryptionResult struct{ EncryptionConfig encryptionConfig }

type encryptionIn struct {
	KeyID *string `json:"KeyId"`
	Type  string
}

func (s *Server) getEncryption(ctx context.Context, _ *awsapi.Request, _ empty) (*encryptionResult, error) {
	c := encryptionConfig{Type: "NONE"}
	err := s.readSetting(ctx, settingEncryption, &c)
	c.Status = "ACTIVE"
	return &encryptionResult{c}, err
}

// putEncryption keeps the choice and does nothing with it.
func (s *Server) putEncryption(ctx context.Context, _ *awsapi.Request, in encryptionIn) (*encryptionResult, error) {
	c := encryptionConfig{Status: "UPDATING", Type: in.Type}
	switch in.Type {
	case "":
		return nil, missing("Type")
	case "NONE":
		if in.KeyID != nil {
			return nil, awsapi.Errorf(codeInvalidRequest, "KeyId can be given only with the type KMS.")
		}
	case "KMS":
		if in.KeyID == nil || *in.KeyID == "" || len(*in.KeyID) > 3000 {
			return nil, awsapi.Errorf(codeInvalidRequest, "The type KMS needs a KeyId of 1 to 3000 characters.")
		}
		c.KeyID = *in.KeyID
	default:
		return nil, awsapi.Errorf(codeInvalidRequest, "Type must be NONE or KMS.")
	}
	return &encryptionResult{c}, s.writeSetting(ctx, settingEncryption, c)
}

type destination struct{ Destination, Status string }

func (s *Server) getDestination(ctx context.Context, _ *awsapi.Request, _ empty) (*destination, error) {
	d := destination{Destination: "XRay"}
	err := s.readSetting(ctx, settingDestination, &d)
	d.Status = "ACTIVE"
	return &d, err
}

// updateDestination keeps the choice; traces are stored in one place either way.
func (s *Server) updateDestination(ctx context.Context, _ *awsapi.Request, in destination) (*destination, error) {
	if in.Destination != "XRay" && in.Destination != "CloudWatchLogs" {
		return nil, awsapi.Errorf(codeInvalidRequest, "Destination must be XRay or CloudWatchLogs.")
	}
	in.Status = "PENDING"
	return &in, s.writeSetting(ctx, settingDestination, in)
}

type probabilistic struct {
	DesiredSamplingPercentage *float64
	ActualSamplingPercentage  *float64 `json:",omitempty"`
}

type indexingValue struct{ Probabilistic *probabilistic }

type indexingRule struct {
	Name       string
	ModifiedAt float64
	Rule       indexingValue
}

type indexingRulesOut struct{ IndexingRules []indexingRule }

type indexingRuleOut struct{ IndexingRule indexingRule }

type indexingRuleIn struct {
	Name string
	Rule indexingValue
}

// getIndexingRules answers the one rule that there is. Everything is indexed, whatever it says.
func (s *Server) getIndexingRules(ctx context.Context, _ *awsapi.Request, _ pageIn) (*indexingRulesOut, error) {
	wanted, all := 1.0, 100.0
	r := indexingRule{Name: "Default", Rule: indexingValue{&probabilistic{&wanted, &all}}}
	err := s.readSetting(ctx, settingIndexing, &r)
	return &indexingRulesOut{[]indexingRule{r}}, err
}

func (s *Server) updateIndexingRule(ctx context.Context, _ *awsapi.Request, in indexingRuleIn) (*indexingRuleOut, error) {
	if in.Name != "Default" {
		return nil, &awsapi.Error{Status: http.StatusNotFound, Code: codeNotFound, Message: "There is no indexing rule " + in.Name + ".", Extra: resourceName(in.Name)}
	}
	p := in.Rule.Probabilistic
	if p == nil || p.DesiredSamplingPercentage == nil {
		return nil, missing("Rule.Probabilistic.DesiredSamplingPercentage")
	}
	if *p.DesiredSamplingPercentage < 0 || *p.DesiredSamplingPercentage > 100 {
		return nil, awsapi.Errorf(codeInvalidRequest, "DesiredSamplingPercentage must be from 0 to 100.")
	}
	all := 100.0
	r := indexingRule{"Default", epoch(time.Now()), indexingValue{&probabilistic{p.DesiredSamplingPercentage, &all}}}
	return &indexingRuleOut{r}, s.writeSetting(ctx, settingIndexing, r)
}
