package cwlogs

import (
	"context"
	"errors"
	"strings"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/meta"
)

// kindFlag are the switches of log groups.
const (
	kindFlag   = "flag"
	flagBearer = "bearer-token-authentication"
)

// flag reports whether a switch of a group is on; an unknown group has none.
func (s *Server) flag(ctx context.Context, environment, group, name string) (bool, error) {
	o, err := s.cfg.Meta.LogObject(ctx, environment, kindFlag, group, name)
	if errors.Is(err, meta.ErrNotFound) {
		return false, nil
	}
	return o.Document == "true", err
}

// flagged returns the groups of an environment with a switch on.
func (s *Server) flagged(ctx context.Context, environment, name string) (map[string]bool, error) {
	all, err := s.cfg.Meta.LogObjects(ctx, environment, kindFlag)
	out := map[string]bool{}
	for _, o := range all {
		if o.Name == name {
			out[o.Scope] = o.Document == "true"
		}
	}
	return out, err
}

type bearerInput struct {
	LogGroupIdentifier               string `json:"logGroupIdentifier"`
	BearerTokenAuthenticationEnabled *bool  `json:"bearerTokenAuthenticationEnabled"`
}

func (s *Server) putBearerTokenAuthentication(ctx context.Context, r *awsapi.Request, in bearerInput) (none, error) {
	var c check
	if in.BearerTokenAuthenticationEnabled == nil {
		c.fault("null", "bearerTokenAuthenticationEnabled", "Member must not be null")
	}
	g, err := s.identifiedGroup(ctx, r, &c, in.LogGroupIdentifier)
	if err != nil {
		return none{}, err
	}
	_, err = define(ctx, s, g.Environment, kindFlag, g.Name, flagBearer, *in.BearerTokenAuthenticationEnabled, 0)
	return none{}, err
}

// identifiedGroup returns the group of an identifier that must be there, once c has nothing against
// the rest of the input.
func (s *Server) identifiedGroup(ctx context.Context, r *awsapi.Request, c *check, identifier string) (meta.LogGroup, error) {
	if identifier == "" {
		c.fault("null", "logGroupIdentifier", "Member must not be null")
	}
	name, err := "", error(nil)
	if identifier != "" {
		name, err = c.oneName("", identifier)
	}
	if err := errors.Join(err, c.err()); err != nil {
		return meta.LogGroup{}, err
	}
	return s.group(ctx, r, name)
}

type kmsInput struct {
	LogGroupName       string `json:"logGroupName"`
	KMSKeyID           string `json:"kmsKeyId"`
	ResourceIdentifier string `json:"resourceIdentifier"`
}

// associateKMSKey keeps the id of a key; nothing is encrypted with it.
func (s *Server) associateKMSKey(ctx context.Context, r *awsapi.Request, in kmsInput) (none, error) {
	var c check
	c.text("kmsKeyId", in.KMSKeyID, 256, nil, "")
	if err := c.err(); err != nil {
		return none{}, err
	}
	return none{}, s.setKMSKey(ctx, r, in)
}

func (s *Server) disassociateKMSKey(ctx context.Context, r *awsapi.Request, in kmsInput) (none, error) {
	in.KMSKeyID = ""
	return none{}, s.setKMSKey(ctx, r, in)
}

func (s *Server) setKMSKey(ctx context.Context, r *awsapi.Request, in kmsInput) error {
	if in.LogGroupName != "" && in.ResourceIdentifier != "" {
		return invalid("logGroupName and resourceIdentifier are mutually exclusive parameters.")
	}
	if in.ResourceIdentifier != "" {
		name, ok := identified(in.ResourceIdentifier)
		if !ok || strings.HasSuffix(in.ResourceIdentifier, ":query-result:*") {
			return invalid("The specified resource identifier is invalid: this server keeps keys of log groups only.")
		}
		in.LogGroupName = name
	}
	g, err := s.namedGroup(ctx, r, in.LogGroupName)
	if err != nil {
		return err
	}
	return s.cfg.Meta.SetLogGroupKMSKey(ctx, g.ID, in.KMSKeyID)
}
