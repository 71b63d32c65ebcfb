package xray

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
)

const (
	maxPolicies = 5
	maxPolicy   = 5 << 10
)

var policyNames = regexp.MustCompile(`^[\w+=,.@-]{1,128}$`)

type policy struct {
	PolicyName       string
	PolicyDocument   string
	PolicyRevisionID string `json:"PolicyRevisionId"`
	LastUpdatedTime  float64
}

type policyIn struct {
	PolicyName, PolicyDocument string
	PolicyRevisionID           *string `json:"PolicyRevisionId"`
	BypassPolicyLockoutCheck   bool
}

type policyResult struct{ ResourcePolicy policy }

type policiesResult struct{ ResourcePolicies []policy }

// checkRevision fails when a request is about another revision than the one that is there;
// none there is revision "0".
func checkRevision(want *string, list []policy, i int) error {
	have := "0"
	if i >= 0 {
		have = list[i].PolicyRevisionID
	}
	if want != nil && *want != "" && *want != have {
		return awsapi.Errorf("InvalidPolicyRevisionIdException", "The policy's revision is %s, not %s.", have, *want)
	}
	return nil
}

// putPolicy keeps a policy. Nothing is decided by it, but one that on AWS would lock its author out
// is refused.
func (s *Server) putPolicy(ctx context.Context, r *awsapi.Request, in policyIn) (*policyResult, error) {
	if !policyNames.MatchString(in.PolicyName) {
		return nil, awsapi.Errorf(codeInvalidRequest, "PolicyName must have 1 to 128 letters, digits and characters of _+=,.@-.")
	}
	if len(in.PolicyDocument) > maxPolicy {
		return nil, awsapi.Errorf("PolicySizeLimitExceededException", "A policy has up to %d bytes.", maxPolicy)
	}
	statements, err := parsePolicy(in.PolicyDocument)
	if err != nil {
		return nil, awsapi.Errorf("MalformedPolicyDocumentException", "Invalid policy document: %v.", err)
	}
	if !in.BypassPolicyLockoutCheck && slices.ContainsFunc(statements, policyCaller(r.Caller).deniedBy) {
		return nil, awsapi.Errorf("LockoutPreventionException", "The policy would prevent the caller of this request from calling PutResourcePolicy in the future.")
	}
	s.settings.Lock()
	defer s.settings.Unlock()
	list, err := s.readPolicies(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(list, func(p policy) bool { return p.PolicyName == in.PolicyName })
	if err := checkRevision(in.PolicyRevisionID, list, i); err != nil {
		return nil, err
	}
	p := policy{in.PolicyName, in.PolicyDocument, "1", epoch(time.Now())}
	if i < 0 {
		if len(list) >= maxPolicies {
			return nil, awsapi.Errorf("PolicyCountLimitExceededException", "There can be no more than %d policies.", maxPolicies)
		}
		list = append(list, p)
	} else {
		revision, err := strconv.Atoi(list[i].PolicyRevisionID)
		if err != nil {
			return nil, fmt.Errorf("read revision of policy %q: %w", p.PolicyName, err)
		}
		p.PolicyRevisionID = strconv.Itoa(revision + 1)
		list[i] = p
	}
	return &policyResult{p}, s.writeSetting(ctx, settingPolicies, list)
}

func (s *Server) readPolicies(ctx context.Context) ([]policy, error) {
	list := []policy{}
	err := s.readSetting(ctx, settingPolicies, &list)
	return list, err
}

func (s *Server) listPolicies(ctx context.Context, _ *awsapi.Request, _ pageIn) (*policiesResult, error) {
	list, err := s.readPolicies(ctx)
	return &policiesResult{list}, err
}

func (s *Server) deletePolicy(ctx context.Context, _ *awsapi.Request, in policyIn) (*empty, error) {
	if in.PolicyName == "" {
		return nil, missing("PolicyName")
	}
	s.settings.Lock()
	defer s.settings.Unlock()
	list, err := s.readPolicies(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(list, func(p policy) bool { return p.PolicyName == in.PolicyName })
	if i < 0 {
		return nil, awsapi.Errorf(codeInvalidRequest, "There is no policy %s.", in.PolicyName)
	}
	if err := checkRevision(in.PolicyRevisionID, list, i); err != nil {
		return nil, err
	}
	return &empty{}, s.writeSetting(ctx, settingPolicies, slices.Delete(list, i, i+1))
}
