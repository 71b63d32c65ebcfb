package cwlogs

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/meta"
	"github.com/trefoil-o11y/trefoil/internal/query"
)

const maxTags = 50

const tagKeyPattern = `[\p{L}\p{Z}\p{N}_.:/=+\-@]+`

var tagKey = regexp.MustCompile(`^` + tagKeyPattern + `$`)

func (c *check) tags(tags map[string]string) {
	for k, v := range tags {
		c.text("tags", k, 128, tagKey, tagKeyPattern)
		if utf8.RuneCountInString(v) > 256 {
			c.fault(quote(v), "tags", "Member must have length less than or equal to 256")
		}
	}
}

func tooManyTags(resource string) error {
	name, err := json.Marshal(resource)
	return errors.Join(err, &awsapi.Error{Code: "TooManyTagsException", Message: "A resource can have at most 50 tags.", Extra: map[string]json.RawMessage{"resourceName": name}})
}

// tagged reports whether the tags pass all filters: the key is there and, when values are
// given, its value matches one of them. A star in a value is a wildcard, a leading "!" turns
// the value around.
func tagged(tags map[string]string, filters []tagFilter) bool {
	for _, f := range filters {
		v, ok := tags[f.Key]
		if !ok {
			return false
		}
		matches := len(f.Values) == 0
		for _, want := range f.Values {
			pattern, not := strings.CutPrefix(want, "!")
			matches = matches || query.GlobMatch(pattern, v, false, false) != not
		}
		if !matches {
			return false
		}
	}
	return true
}

type tagResourceInput struct {
	ResourceARN string            `json:"resourceArn"`
	Tags        map[string]string `json:"tags"`
}

type untagResourceInput struct {
	ResourceARN string   `json:"resourceArn"`
	TagKeys     []string `json:"tagKeys"`
}

type tagsOutput struct {
	Tags map[string]string `json:"tags"`
}

// The names in the table of tags of what can have tags besides log groups.
func destinationResource(environment, name string) string {
	return "logs-destination/" + environment + "/" + name
}

func tableResource(environment, name string) string {
	return "logs-lookup-table/" + environment + "/" + name
}

func scheduledResource(environment, id string) string {
	return "logs-scheduled-query/" + environment + "/" + id
}

// tagResourceOf returns what an ARN names in the table of tags: a log group, a destination, a lookup
// table or a scheduled query.
func (s *Server) tagResourceOf(ctx context.Context, r *awsapi.Request, arn string) (string, error) {
	var c check
	c.text("resourceArn", arn, 1011, nil, "")
	if err := c.err(); err != nil {
		return "", err
	}
	env := r.Caller.Environment
	if parts := strings.SplitN(arn, ":", 7); len(parts) == 7 && parts[0] == "arn" && parts[2] == "logs" {
		switch name := parts[6]; parts[5] {
		case "destination":
			_, err := object[destinationObject](ctx, s, env, kindDestination, "", name, errNoDestination)
			return destinationResource(env, name), err
		case "lookup-table":
			t, err := s.tableOf(ctx, r, arn)
			return tableResource(env, t.Name), err
		case "scheduled-query":
			q, _, err := s.scheduledOf(ctx, r, arn)
			return scheduledResource(env, q.ID), err
		}
	}
	name, ok := identified(arn)
	if !ok || !strings.HasPrefix(arn, "arn:") {
		return "", invalid("The specified resource ARN is invalid.")
	}
	g, err := s.group(ctx, r, name)
	return meta.LogGroupResource(g.Environment, g.Name), err
}

func (s *Server) tagResource(ctx context.Context, r *awsapi.Request, in tagResourceInput) (none, error) {
	resource, err := s.tagResourceOf(ctx, r, in.ResourceARN)
	if err != nil {
		return none{}, err
	}
	return none{}, s.putTags(ctx, resource, in.ResourceARN, in.Tags)
}

func (s *Server) untagResource(ctx context.Context, r *awsapi.Request, in untagResourceInput) (none, error) {
	resource, err := s.tagResourceOf(ctx, r, in.ResourceARN)
	if err != nil {
		return none{}, err
	}
	return none{}, s.cfg.Meta.DeleteTags(ctx, resource, in.TagKeys...)
}

func (s *Server) listTagsForResource(ctx context.Context, r *awsapi.Request, in tagResourceInput) (tagsOutput, error) {
	resource, err := s.tagResourceOf(ctx, r, in.ResourceARN)
	if err != nil {
		return tagsOutput{}, err
	}
	tags, err := s.cfg.Meta.Tags(ctx, resource)
	return tagsOutput{tags}, err
}

func (s *Server) putTags(ctx context.Context, resource, arn string, tags map[string]string) error {
	var c check
	if len(tags) == 0 {
		c.fault("null", "tags", "Member must not be null")
	}
	c.tags(tags)
	if err := c.err(); err != nil {
		return err
	}
	have, err := s.cfg.Meta.Tags(ctx, resource)
	if err != nil {
		return err
	}
	for k, v := range tags {
		have[k] = v
	}
	if len(have) > maxTags {
		return tooManyTags(arn)
	}
	return s.cfg.Meta.PutTags(ctx, resource, tags)
}

type tagLogGroupInput struct {
	LogGroupName string            `json:"logGroupName"`
	Tags         map[string]string `json:"tags"`
}

type untagLogGroupInput struct {
	LogGroupName string   `json:"logGroupName"`
	Tags         []string `json:"tags"`
}

func (s *Server) tagLogGroup(ctx context.Context, r *awsapi.Request, in tagLogGroupInput) (none, error) {
	g, err := s.namedGroup(ctx, r, in.LogGroupName)
	if err != nil {
		return none{}, err
	}
	return none{}, s.putTags(ctx, meta.LogGroupResource(g.Environment, g.Name), groupARN(&r.Caller, g.Name), in.Tags)
}

func (s *Server) untagLogGroup(ctx context.Context, r *awsapi.Request, in untagLogGroupInput) (none, error) {
	g, err := s.namedGroup(ctx, r, in.LogGroupName)
	if err != nil {
		return none{}, err
	}
	return none{}, s.cfg.Meta.DeleteTags(ctx, meta.LogGroupResource(g.Environment, g.Name), in.Tags...)
}

func (s *Server) listTagsLogGroup(ctx context.Context, r *awsapi.Request, in groupInput) (tagsOutput, error) {
	g, err := s.namedGroup(ctx, r, in.LogGroupName)
	if err != nil {
		return tagsOutput{}, err
	}
	tags, err := s.cfg.Meta.Tags(ctx, meta.LogGroupResource(g.Environment, g.Name))
	return tagsOutput{tags}, err
}
