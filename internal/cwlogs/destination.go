package cwlogs

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
)

// maxDestinations is how many destinations an account may have.
const maxDestinations = 100

type destinationObject struct {
	TargetARN    string `json:"targetArn"`
	RoleARN      string `json:"roleArn"`
	AccessPolicy string `json:"accessPolicy,omitempty"`
}

type destinationRow struct {
	DestinationName string `json:"destinationName"`
	ARN             string `json:"arn"`
	CreationTime    int64  `json:"creationTime"`
	destinationObject
}

func destinationARN(c *awsapi.Caller, name string) string {
	return "arn:aws:logs:" + c.Region + ":" + c.Account + ":destination:" + name
}

func rowOfDestination(r *awsapi.Request, d defined[destinationObject]) destinationRow {
	return destinationRow{d.Name, destinationARN(&r.Caller, d.Name), d.Created.UnixMilli(), d.is}
}

var errNoDestination = awsapi.Errorf("ResourceNotFoundException", "The specified destination does not exist.")

type putDestinationInput struct {
	DestinationName string            `json:"destinationName"`
	TargetARN       string            `json:"targetArn"`
	RoleARN         string            `json:"roleArn"`
	Tags            map[string]string `json:"tags"`
}

type putDestinationOutput struct {
	Destination destinationRow `json:"destination"`
}

// putDestination takes http(s) URLs as targets; of AWS's streams none is there to deliver to.
func (s *Server) putDestination(ctx context.Context, r *awsapi.Request, in putDestinationInput) (putDestinationOutput, error) {
	var out putDestinationOutput
	var c check
	c.text("destinationName", in.DestinationName, maxName, streamName, streamPattern)
	c.text("targetArn", in.TargetARN, 2048, nil, "")
	c.text("roleArn", in.RoleARN, 2048, nil, "")
	c.tags(in.Tags)
	if err := c.err(); err != nil {
		return out, err
	}
	if len(in.Tags) > maxTags {
		return out, tooManyTags(destinationARN(&r.Caller, in.DestinationName))
	}
	if u, err := url.Parse(in.TargetARN); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return out, invalid("Could not deliver test message to specified destination. Check if the destination is valid: this server delivers to http(s) URLs.")
	}
	is := destinationObject{TargetARN: in.TargetARN, RoleARN: in.RoleARN}
	if old, err := object[destinationObject](ctx, s, r.Caller.Environment, kindDestination, "", in.DestinationName, nil); err != nil {
		return out, err
	} else if old.Name != "" {
		is.AccessPolicy = old.is.AccessPolicy
	}
	d, err := define(ctx, s, r.Caller.Environment, kindDestination, "", in.DestinationName, is, maxDestinations)
	if err != nil {
		return out, err
	}
	if err := s.cfg.Meta.PutTags(ctx, destinationResource(r.Caller.Environment, in.DestinationName), in.Tags); err != nil {
		return out, err
	}
	out.Destination = rowOfDestination(r, d)
	return out, nil
}

type putDestinationPolicyInput struct {
	DestinationName string `json:"destinationName"`
	AccessPolicy    string `json:"accessPolicy"`
	ForceUpdate     bool   `json:"forceUpdate"`
}

func (s *Server) putDestinationPolicy(ctx context.Context, r *awsapi.Request, in putDestinationPolicyInput) (none, error) {
	var c check
	c.text("destinationName", in.DestinationName, maxName, streamName, streamPattern)
	c.text("accessPolicy", in.AccessPolicy, 5120, nil, "")
	if err := c.err(); err != nil {
		return none{}, err
	}
	d, err := object[destinationObject](ctx, s, r.Caller.Environment, kindDestination, "", in.DestinationName, errNoDestination)
	if err != nil {
		return none{}, err
	}
	d.is.AccessPolicy = in.AccessPolicy
	_, err = define(ctx, s, r.Caller.Environment, kindDestination, "", in.DestinationName, d.is, 0)
	return none{}, err
}

type describeDestinationsInput struct {
	DestinationNamePrefix string `json:"DestinationNamePrefix"`
	Limit                 *int   `json:"limit"`
	NextToken             string `json:"nextToken"`
}

type describeDestinationsOutput struct {
	Destinations []destinationRow `json:"destinations"`
	NextToken    string           `json:"nextToken,omitempty"`
}

func (s *Server) describeDestinations(ctx context.Context, r *awsapi.Request, in describeDestinationsInput) (describeDestinationsOutput, error) {
	out := describeDestinationsOutput{Destinations: []destinationRow{}}
	var c check
	c.prefix("DestinationNamePrefix", in.DestinationNamePrefix, streamName, streamPattern)
	limit := c.number("limit", in.Limit, 1, 50, 50)
	if err := c.err(); err != nil {
		return out, err
	}
	list, next, err := listed(ctx, s, r.Caller.Environment, kindDestination, in.NextToken, limit, func(d defined[destinationObject]) bool {
		return strings.HasPrefix(d.Name, in.DestinationNamePrefix)
	})
	for _, d := range list {
		out.Destinations = append(out.Destinations, rowOfDestination(r, d))
	}
	out.NextToken = next
	return out, err
}

type destinationNameInput struct {
	DestinationName string `json:"destinationName"`
}

func (s *Server) deleteDestination(ctx context.Context, r *awsapi.Request, in destinationNameInput) (none, error) {
	var c check
	c.text("destinationName", in.DestinationName, maxName, streamName, streamPattern)
	if err := c.err(); err != nil {
		return none{}, err
	}
	if err := s.remove(ctx, r.Caller.Environment, kindDestination, "", in.DestinationName, errNoDestination); err != nil {
		return none{}, err
	}
	return none{}, s.cfg.Meta.DeleteAllTags(ctx, destinationResource(r.Caller.Environment, in.DestinationName))
}

const maxResourcePolicies = 10

type resourcePolicyObject struct {
	PolicyDocument string `json:"policyDocument"`
	ResourceARN    string `json:"resourceArn,omitempty"`
	Revision       string `json:"revision,omitempty"`
}

type resourcePolicyRow struct {
	PolicyName      string `json:"policyName"`
	PolicyDocument  string `json:"policyDocument"`
	LastUpdatedTime int64  `json:"lastUpdatedTime"`
	PolicyScope     string `json:"policyScope"`
	ResourceARN     string `json:"resourceArn,omitempty"`
	RevisionID      string `json:"revisionId,omitempty"`
}

func rowOfPolicy(d defined[resourcePolicyObject]) resourcePolicyRow {
	row := resourcePolicyRow{PolicyName: d.Name, PolicyDocument: d.is.PolicyDocument, LastUpdatedTime: d.Updated.UnixMilli(), PolicyScope: "ACCOUNT"}
	if d.is.ResourceARN != "" {
		row.PolicyScope, row.ResourceARN, row.RevisionID = "RESOURCE", d.is.ResourceARN, d.is.Revision
	}
	return row
}

type putResourcePolicyInput struct {
	PolicyName         string `json:"policyName"`
	PolicyDocument     string `json:"policyDocument"`
	ResourceARN        string `json:"resourceArn"`
	ExpectedRevisionID string `json:"expectedRevisionId"`
}

type putResourcePolicyOutput struct {
	ResourcePolicy resourcePolicyRow `json:"resourcePolicy"`
	RevisionID     string            `json:"revisionId,omitempty"`
}

// putResourcePolicy keeps a policy; nothing is decided by it here. One with a resource has the
// resource's name, of which there is one policy.
func (s *Server) putResourcePolicy(ctx context.Context, r *awsapi.Request, in putResourcePolicyInput) (putResourcePolicyOutput, error) {
	var out putResourcePolicyOutput
	var c check
	if in.ResourceARN == "" {
		c.text("policyName", in.PolicyName, 255, nil, "")
	}
	c.text("policyDocument", in.PolicyDocument, 51200, nil, "")
	if err := c.err(); err != nil {
		return out, err
	}
	if !json.Valid([]byte(in.PolicyDocument)) {
		return out, invalid("The policy document is not valid JSON.")
	}
	is := resourcePolicyObject{PolicyDocument: in.PolicyDocument, ResourceARN: in.ResourceARN}
	scope, most := "", maxResourcePolicies
	if in.ResourceARN != "" {
		group, ok := identified(in.ResourceARN)
		if !ok {
			return out, invalid("The specified resource ARN is invalid.")
		}
		g, err := s.group(ctx, r, group)
		if err != nil {
			return out, err
		}
		scope, most, in.PolicyName = g.Name, 0, "resource"
		old, err := object[resourcePolicyObject](ctx, s, g.Environment, kindResourcePolicy, scope, in.PolicyName, nil)
		if err != nil {
			return out, err
		}
		if in.ExpectedRevisionID != "" && in.ExpectedRevisionID != old.is.Revision {
			return out, invalid("The revision id does not match the current one.")
		}
		is.Revision = awsapi.NewRequestID()
	}
	d, err := define(ctx, s, r.Caller.Environment, kindResourcePolicy, scope, in.PolicyName, is, most)
	if err != nil {
		return out, err
	}
	out.ResourcePolicy, out.RevisionID = rowOfPolicy(d), is.Revision
	return out, nil
}

type describeResourcePoliciesInput struct {
	Limit       *int   `json:"limit"`
	NextToken   string `json:"nextToken"`
	ResourceARN string `json:"resourceArn"`
	PolicyScope string `json:"policyScope"`
}

type describeResourcePoliciesOutput struct {
	ResourcePolicies []resourcePolicyRow `json:"resourcePolicies"`
	NextToken        string              `json:"nextToken,omitempty"`
}

func (s *Server) describeResourcePolicies(ctx context.Context, r *awsapi.Request, in describeResourcePoliciesInput) (describeResourcePoliciesOutput, error) {
	out := describeResourcePoliciesOutput{ResourcePolicies: []resourcePolicyRow{}}
	var c check
	limit := c.number("limit", in.Limit, 1, 50, 50)
	c.enum("policyScope", in.PolicyScope, "ACCOUNT", "RESOURCE")
	if err := c.err(); err != nil {
		return out, err
	}
	wanted := in.PolicyScope
	if wanted == "" {
		wanted = "ACCOUNT"
		if in.ResourceARN != "" {
			wanted = "RESOURCE"
		}
	}
	list, next, err := listed(ctx, s, r.Caller.Environment, kindResourcePolicy, in.NextToken, limit, func(d defined[resourcePolicyObject]) bool {
		return (wanted == "RESOURCE") == (d.Scope != "") && (in.ResourceARN == "" || d.is.ResourceARN == in.ResourceARN)
	})
	for _, d := range list {
		out.ResourcePolicies = append(out.ResourcePolicies, rowOfPolicy(d))
	}
	out.NextToken = next
	return out, err
}

type deleteResourcePolicyInput struct {
	PolicyName         string `json:"policyName"`
	ResourceARN        string `json:"resourceArn"`
	ExpectedRevisionID string `json:"expectedRevisionId"`
}

func (s *Server) deleteResourcePolicy(ctx context.Context, r *awsapi.Request, in deleteResourcePolicyInput) (none, error) {
	if in.ResourceARN == "" {
		var c check
		c.text("policyName", in.PolicyName, 255, nil, "")
		if err := c.err(); err != nil {
			return none{}, err
		}
		return none{}, s.remove(ctx, r.Caller.Environment, kindResourcePolicy, "", in.PolicyName,
			awsapi.Errorf("ResourceNotFoundException", "Policy with name [%s] does not exist.", in.PolicyName))
	}
	group, _ := identified(in.ResourceARN)
	missing := awsapi.Errorf("ResourceNotFoundException", "Policy with name [%s] does not exist.", in.ResourceARN)
	old, err := object[resourcePolicyObject](ctx, s, r.Caller.Environment, kindResourcePolicy, group, "resource", missing)
	if err != nil {
		return none{}, err
	}
	if in.ExpectedRevisionID != "" && in.ExpectedRevisionID != old.is.Revision {
		return none{}, invalid("The revision id does not match the current one.")
	}
	return none{}, s.remove(ctx, r.Caller.Environment, kindResourcePolicy, group, "resource", missing)
}
