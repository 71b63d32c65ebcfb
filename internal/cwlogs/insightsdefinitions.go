package cwlogs

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/meta"
)

const (
	maxDefinitions = 1000
	maxParameters  = 20
)

var parameterName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// parameter stands in a saved query as {{name}}. Who runs the query puts a value in its place.
type parameter struct {
	Name         string `json:"name"`
	DefaultValue string `json:"defaultValue,omitempty"`
	Description  string `json:"description,omitempty"`
}

// definition is a saved query as it is kept.
type definition struct {
	QueryString   string      `json:"queryString"`
	LogGroupNames []string    `json:"logGroupNames,omitempty"`
	Parameters    []parameter `json:"parameters,omitempty"`
	ClientToken   string      `json:"clientToken,omitempty"`
}

type putQueryDefinitionInput struct {
	QueryLanguage     string      `json:"queryLanguage"`
	Name              string      `json:"name"`
	QueryDefinitionID string      `json:"queryDefinitionId"`
	LogGroupNames     []string    `json:"logGroupNames"`
	QueryString       string      `json:"queryString"`
	ClientToken       string      `json:"clientToken"`
	Parameters        []parameter `json:"parameters"`
}

type putQueryDefinitionOutput struct {
	QueryDefinitionID string `json:"queryDefinitionId"`
}

var errNoDefinition = awsapi.Errorf("ResourceNotFoundException", "The specified query definition does not exist.")

func (in *putQueryDefinitionInput) check() error {
	var c check
	c.enum("queryLanguage", in.QueryLanguage, languageCWLI, "SQL", "PPL")
	c.text("name", in.Name, 255, nil, "")
	c.text("queryString", in.QueryString, maxQueryText, nil, "")
	for _, n := range in.LogGroupNames {
		c.text("logGroupNames", n, maxName, groupName, groupPattern)
	}
	if len(in.LogGroupNames) > maxQueryGroups {
		c.count("logGroupNames", len(in.LogGroupNames), 0, maxQueryGroups)
	}
	c.count("parameters", len(in.Parameters), 0, maxParameters)
	if n := len(in.ClientToken); n > 0 && (n < 36 || n > 128 || strings.ContainsAny(in.ClientToken, " \t\r\n")) {
		c.fault(quote(in.ClientToken), "clientToken", `Member must satisfy regular expression pattern: \S{36,128}`)
	}
	seen := map[string]bool{}
	for _, p := range in.Parameters {
		c.text("parameters.name", p.Name, 128, parameterName, parameterName.String())
		if utf8.RuneCountInString(p.DefaultValue) > 1024 {
			c.fault(quote(p.DefaultValue), "parameters.defaultValue", "Member must have length less than or equal to 1024")
		}
		if utf8.RuneCountInString(p.Description) > 512 {
			c.fault(quote(p.Description), "parameters.description", "Member must have length less than or equal to 512")
		}
		if err := c.err(); err != nil {
			return err
		}
		switch {
		case seen[p.Name]:
			return invalid("The parameter %s is there twice.", p.Name)
		case !strings.Contains(in.QueryString, "{{"+p.Name+"}}"):
			return invalid("The parameter %s does not stand in the query; write it as {{%s}}.", p.Name, p.Name)
		}
		seen[p.Name] = true
	}
	if err := c.err(); err != nil {
		return err
	}
	if in.QueryLanguage == "SQL" || in.QueryLanguage == "PPL" {
		return invalid("Query language %s is not supported by this server; use %s.", in.QueryLanguage, languageCWLI)
	}
	return nil
}

func (s *Server) putQueryDefinition(ctx context.Context, r *awsapi.Request, in putQueryDefinitionInput) (putQueryDefinitionOutput, error) {
	var out putQueryDefinitionOutput
	if err := in.check(); err != nil {
		return out, err
	}
	list, err := s.cfg.Meta.QueryDefinitions(ctx, r.Caller.Environment)
	if err != nil {
		return out, err
	}
	d := meta.QueryDefinition{ID: in.QueryDefinitionID, Environment: r.Caller.Environment, Name: in.Name, Modified: time.Now()}
	found := false
	for _, x := range list {
		var old definition
		if err := json.Unmarshal([]byte(x.Definition), &old); err != nil {
			return out, err
		}
		found = found || x.ID == in.QueryDefinitionID
		// The same call twice makes one query.
		if in.QueryDefinitionID == "" && in.ClientToken != "" && old.ClientToken == in.ClientToken {
			out.QueryDefinitionID = x.ID
			return out, nil
		}
	}
	switch {
	case in.QueryDefinitionID != "" && !found:
		return out, errNoDefinition
	case in.QueryDefinitionID == "" && len(list) >= maxDefinitions:
		return out, awsapi.Errorf("LimitExceededException", "Resource limit exceeded.")
	case in.QueryDefinitionID == "":
		d.ID = awsapi.NewRequestID()
	}
	text, err := json.Marshal(definition{in.QueryString, in.LogGroupNames, in.Parameters, in.ClientToken})
	if err != nil {
		return out, err
	}
	d.Definition = string(text)
	out.QueryDefinitionID = d.ID
	return out, s.cfg.Meta.PutQueryDefinition(ctx, d)
}

type describeQueryDefinitionsInput struct {
	QueryLanguage             string `json:"queryLanguage"`
	QueryDefinitionNamePrefix string `json:"queryDefinitionNamePrefix"`
	MaxResults                *int   `json:"maxResults"`
	NextToken                 string `json:"nextToken"`
}

type definitionRow struct {
	QueryLanguage     string      `json:"queryLanguage"`
	QueryDefinitionID string      `json:"queryDefinitionId"`
	Name              string      `json:"name"`
	QueryString       string      `json:"queryString"`
	LastModified      int64       `json:"lastModified"`
	LogGroupNames     []string    `json:"logGroupNames"`
	Parameters        []parameter `json:"parameters,omitempty"`
}

type describeQueryDefinitionsOutput struct {
	QueryDefinitions []definitionRow `json:"queryDefinitions"`
	NextToken        string          `json:"nextToken,omitempty"`
}

func (s *Server) describeQueryDefinitions(ctx context.Context, r *awsapi.Request, in describeQueryDefinitionsInput) (describeQueryDefinitionsOutput, error) {
	out := describeQueryDefinitionsOutput{QueryDefinitions: []definitionRow{}}
	var c check
	limit := c.number("maxResults", in.MaxResults, 1, 1000, 1000)
	c.enum("queryLanguage", in.QueryLanguage, languageCWLI, "SQL", "PPL")
	if in.QueryDefinitionNamePrefix != "" {
		c.text("queryDefinitionNamePrefix", in.QueryDefinitionNamePrefix, 255, nil, "")
	}
	if err := c.err(); err != nil {
		return out, err
	}
	after, err := readToken("definitions", in.NextToken)
	if err != nil || in.QueryLanguage != "" && in.QueryLanguage != languageCWLI {
		return out, err
	}
	all, err := s.cfg.Meta.QueryDefinitions(ctx, r.Caller.Environment)
	if err != nil {
		return out, err
	}
	var list []meta.QueryDefinition
	for _, d := range all {
		if strings.HasPrefix(d.Name, in.QueryDefinitionNamePrefix) {
			list = append(list, d)
		}
	}
	list, next := cut(list, func(d meta.QueryDefinition) string { return d.Name + "\x00" + d.ID }, after, limit)
	for _, x := range list {
		row := definitionRow{QueryLanguage: languageCWLI, QueryDefinitionID: x.ID, Name: x.Name, LastModified: x.Modified.UnixMilli(), LogGroupNames: []string{}}
		var d definition
		if err := json.Unmarshal([]byte(x.Definition), &d); err != nil {
			return out, err
		}
		row.QueryString, row.Parameters = d.QueryString, d.Parameters
		row.LogGroupNames = append(row.LogGroupNames, d.LogGroupNames...)
		out.QueryDefinitions = append(out.QueryDefinitions, row)
	}
	if next != "" {
		out.NextToken = pageToken("definitions", next)
	}
	return out, nil
}

type deleteQueryDefinitionInput struct {
	QueryDefinitionID string `json:"queryDefinitionId"`
}

func (s *Server) deleteQueryDefinition(ctx context.Context, r *awsapi.Request, in deleteQueryDefinitionInput) (stopQueryOutput, error) {
	var c check
	c.text("queryDefinitionId", in.QueryDefinitionID, 256, nil, "")
	if err := c.err(); err != nil {
		return stopQueryOutput{}, err
	}
	err := s.cfg.Meta.DeleteQueryDefinition(ctx, r.Caller.Environment, in.QueryDefinitionID)
	if errors.Is(err, meta.ErrNotFound) {
		return stopQueryOutput{}, errNoDefinition
	}
	return stopQueryOutput{err == nil}, err
}
