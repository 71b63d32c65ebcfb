package xray

import (
	"context"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
)

type tagIO struct{ Key, Value string }

type tagsIn struct {
	ResourceARN string
	Tags        []tagIO
	TagKeys     []string
}

type tagsOut struct{ Tags []tagIO }

func groupResource(name string) string { return "xray/group/" + name }

func ruleResource(name string) string { return "xray/sampling-rule/" + name }

// checkTags returns tags as a map, or the API's error.
func checkTags(list []tagIO) (map[string]string, error) {
	if len(list) > maxTagsPut {
		return nil, awsapi.Errorf(codeInvalidRequest, "Tags has more than %d tags.", maxTagsPut)
	}
	out := map[string]string{}
	for _, t := range list {
		switch n := utf8.RuneCountInString(t.Key); {
		case n < 1 || n > 128 || utf8.RuneCountInString(t.Value) > 256:
			return nil, awsapi.Errorf(codeInvalidRequest, "A tag's key has 1 to 128 characters, its value up to 256.")
		case strings.HasPrefix(strings.ToLower(t.Key), "aws:"):
			return nil, awsapi.Errorf(codeInvalidRequest, "Tags that begin with aws: are reserved.")
		}
		if _, ok := out[t.Key]; ok {
			return nil, awsapi.Errorf(codeInvalidRequest, "The tag %s is given twice.", t.Key)
		}
		out[t.Key] = t.Value
	}
	if len(out) > maxTags {
		return nil, tooManyTags("")
	}
	return out, nil
}

func tooManyTags(arn string) error {
	e := awsapi.Errorf(codeTooManyTags, "A resource can have no more than %d tags.", maxTags)
	e.Extra = resourceName(arn)
	return e
}

// taggable returns the resource of a group's or rule's ARN; of a group's the id may be left out.
func (s *Server) taggable(ctx context.Context, r *awsapi.Request, arn string) (string, error) {
	if arn == "" || len(arn) > 1011 {
		return "", awsapi.Errorf(codeInvalidRequest, "ResourceARN must have 1 to 1011 characters.")
	}
	unknown := &awsapi.Error{Status: http.StatusNotFound, Code: codeNotFound, Message: "There is no resource " + arn + ".", Extra: resourceName(arn)}
	if _, _, ok := groupOfARN(arn); ok {
		g, err := s.group(ctx, tenantOf(r), groupRef{arn: arn})
		if apiErr(err) != nil {
			return "", unknown
		}
		return groupResource(g.Name), err
	}
	if name, ok := ruleOfARN(arn); ok {
		rule, err := s.rule(ctx, name)
		if apiErr(err) != nil {
			return "", unknown
		}
		return ruleResource(rule.RuleName), err
	}
	return "", unknown
}

func (s *Server) listTags(ctx context.Context, r *awsapi.Request, in tagsIn) (*tagsOut, error) {
	resource, err := s.taggable(ctx, r, in.ResourceARN)
	if err != nil {
		return nil, err
	}
	tags, err := s.cfg.Meta.Tags(ctx, resource)
	if err != nil {
		return nil, err
	}
	out := &tagsOut{[]tagIO{}}
	for _, k := range sortedKeys(tags) {
		out.Tags = append(out.Tags, tagIO{k, tags[k]})
	}
	return out, nil
}

func (s *Server) tag(ctx context.Context, r *awsapi.Request, in tagsIn) (*empty, error) {
	if in.Tags == nil {
		return nil, missing("Tags")
	}
	add, err := checkTags(in.Tags)
	if err != nil {
		return nil, err
	}
	s.settings.Lock()
	defer s.settings.Unlock()
	resource, err := s.taggable(ctx, r, in.ResourceARN)
	if err != nil {
		return nil, err
	}
	tags, err := s.cfg.Meta.Tags(ctx, resource)
	if err != nil {
		return nil, err
	}
	for k, v := range add {
		tags[k] = v
	}
	if len(tags) > maxTags {
		return nil, tooManyTags(in.ResourceARN)
	}
	return &empty{}, s.cfg.Meta.PutTags(ctx, resource, add)
}

func (s *Server) untag(ctx context.Context, r *awsapi.Request, in tagsIn) (*empty, error) {
	if in.TagKeys == nil {
		return nil, missing("TagKeys")
	}
	resource, err := s.taggable(ctx, r, in.ResourceARN)
	if err != nil {
		return nil, err
	}
	return &empty{}, s.cfg.Meta.DeleteTags(ctx, resource, in.TagKeys...)
}

func (s *Server) dropTags(ctx context.Context, resource string) error {
	tags, err := s.cfg.Meta.Tags(ctx, resource)
	if err != nil || len(tags) == 0 {
		return err
	}
	return s.cfg.Meta.DeleteTags(ctx, resource, sortedKeys(tags)...)
}
