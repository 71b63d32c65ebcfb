package cwlogs

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
)

// The tags by which a log group has a data source. AWS knows the data source of what its own services
// log besides; here a tag may give it the same name.
const (
	tagSourceName = "cw:datasource:name"
	tagSourceType = "cw:datasource:type"
)

// dataSource is where the events of a log group come from; the zero one is not known.
type dataSource struct{ name, kind string }

// is reports whether text names the data source, as NAME.TYPE or by its name only.
func (d dataSource) is(text string) bool {
	return d.name != "" && (text == d.name || text == d.name+"."+d.kind)
}

// dataSources returns the data sources of the log groups that have one, by the names of the groups.
func (s *Server) dataSources(ctx context.Context, environment string) (map[string]dataSource, error) {
	names, err := s.cfg.Meta.LogGroupTags(ctx, environment, tagSourceName)
	if err != nil {
		return nil, err
	}
	kinds, err := s.cfg.Meta.LogGroupTags(ctx, environment, tagSourceType)
	if err != nil {
		return nil, err
	}
	out := map[string]dataSource{}
	for group, name := range names {
		if name != "" {
			out[group] = dataSource{name, kinds[group]}
		}
	}
	return out, nil
}

type dataSourceFilter struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// dataSources checks filters and returns what reports whether they have a data source: its name is one of
// theirs and its type, when any gives one, too. A star in them is a wildcard. No filters have all groups.
func (c *check) dataSources(filters []dataSourceFilter) func(dataSource) bool {
	if len(filters) == 0 {
		return func(dataSource) bool { return true }
	}
	c.count("dataSources", len(filters), 1, 5)
	var names, kinds []string
	for _, f := range filters {
		c.text("dataSources.member.name", f.Name, 0, nil, "")
		names = append(names, f.Name)
		if f.Type != "" {
			kinds = append(kinds, f.Type)
		}
	}
	some := func(patterns []string, text string) bool {
		for _, p := range patterns {
			if query.GlobMatch(p, text, false, false) {
				return true
			}
		}
		return false
	}
	return func(d dataSource) bool {
		return d.name != "" && some(names, d.name) && (kinds == nil || some(kinds, d.kind))
	}
}

type listAggregateLogGroupSummariesInput struct {
	GroupBy             string             `json:"groupBy"`
	LogGroupClass       string             `json:"logGroupClass"`
	LogGroupNamePattern string             `json:"logGroupNamePattern"`
	DataSources         []dataSourceFilter `json:"dataSources"`
	Limit               *int               `json:"limit"`
	NextToken           string             `json:"nextToken"`
}

type groupingIdentifier struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

type groupSummary struct {
	LogGroupCount       int                  `json:"logGroupCount"`
	GroupingIdentifiers []groupingIdentifier `json:"groupingIdentifiers"`
}

// place orders summaries.
func (g groupSummary) place() string {
	return g.GroupingIdentifiers[0].Value + "\x00" + g.GroupingIdentifiers[1].Value
}

type listAggregateLogGroupSummariesOutput struct {
	AggregateLogGroupSummaries []groupSummary `json:"aggregateLogGroupSummaries"`
	NextToken                  string         `json:"nextToken,omitempty"`
}

// listAggregateLogGroupSummaries counts the log groups of each data source. No format of a data source is
// known here, so that both ways to group give the same.
func (s *Server) listAggregateLogGroupSummaries(ctx context.Context, r *awsapi.Request, in listAggregateLogGroupSummariesInput) (listAggregateLogGroupSummariesOutput, error) {
	out := listAggregateLogGroupSummariesOutput{AggregateLogGroupSummaries: []groupSummary{}}
	var c check
	c.text("groupBy", in.GroupBy, 0, nil, "")
	c.enum("groupBy", in.GroupBy, "DATA_SOURCE_NAME_TYPE_AND_FORMAT", "DATA_SOURCE_NAME_AND_TYPE")
	c.enum("logGroupClass", in.LogGroupClass, classes...)
	limit := c.number("limit", in.Limit, 1, 1000, 50)
	named, of := c.namePattern(in.LogGroupNamePattern), c.dataSources(in.DataSources)
	if err := c.err(); err != nil {
		return out, err
	}
	after, err := readToken("aggregate-log-groups", in.NextToken)
	if err != nil {
		return out, err
	}
	groups, err := s.cfg.Meta.LogGroups(ctx, r.Caller.Environment)
	if err != nil {
		return out, err
	}
	sources, err := s.dataSources(ctx, r.Caller.Environment)
	if err != nil {
		return out, err
	}
	counts := map[dataSource]int{}
	for _, g := range groups {
		if d := sources[g.Name]; d.name != "" && named(g.Name) && of(d) && (in.LogGroupClass == "" || g.Class == in.LogGroupClass) {
			counts[d]++
		}
	}
	var list []groupSummary
	for d, n := range counts {
		list = append(list, groupSummary{n, []groupingIdentifier{{"dataSource.Name", d.name}, {"dataSource.Type", d.kind}}})
	}
	slices.SortFunc(list, func(a, b groupSummary) int { return strings.Compare(a.place(), b.place()) })
	list, next := cut(list, groupSummary.place, after, limit)
	out.AggregateLogGroupSummaries = append(out.AggregateLogGroupSummaries, list...)
	if next != "" {
		out.NextToken = pageToken("aggregate-log-groups", next)
	}
	return out, nil
}

type getLogFieldsInput struct {
	DataSourceName string `json:"dataSourceName"`
	DataSourceType string `json:"dataSourceType"`
}

type logFieldType struct {
	Type string `json:"type"`
}

type logField struct {
	LogFieldName string       `json:"logFieldName"`
	LogFieldType logFieldType `json:"logFieldType"`
}

type getLogFieldsOutput struct {
	LogFields []logField `json:"logFields"`
}

// fieldTypes are what GetLogFields calls the kinds of values.
var fieldTypes = map[event.Kind]string{event.KindString: "string", event.KindInt: "bigint", event.KindFloat: "double", event.KindBool: "boolean"}

// getLogFields lists the fields of the events of the log groups of a data source. Those of objects within
// others have names with dots. A field of several kinds is a double when all are numbers, else a string.
func (s *Server) getLogFields(ctx context.Context, r *awsapi.Request, in getLogFieldsInput) (getLogFieldsOutput, error) {
	out := getLogFieldsOutput{LogFields: []logField{}}
	var c check
	c.text("dataSourceName", in.DataSourceName, 0, nil, "")
	c.text("dataSourceType", in.DataSourceType, 0, nil, "")
	if err := c.err(); err != nil {
		return out, err
	}
	groups, err := s.cfg.Meta.LogGroups(ctx, r.Caller.Environment)
	if err != nil {
		return out, err
	}
	sources, err := s.dataSources(ctx, r.Caller.Environment)
	if err != nil {
		return out, err
	}
	found := false
	kinds := map[string]event.Kind{}
	for _, g := range groups {
		if sources[g.Name] != (dataSource{in.DataSourceName, in.DataSourceType}) {
			continue
		}
		found = true
		columns, err := s.cfg.Store.Columns(ctx, g.ID)
		if err != nil {
			return out, err
		}
		for _, col := range columns {
			have, twice := kinds[col.Name]
			switch {
			case slices.Contains(hiddenFields, col.Name):
			case !twice || have == col.Kind:
				kinds[col.Name] = col.Kind
			case have != event.KindString && have != event.KindBool && col.Kind != event.KindString && col.Kind != event.KindBool:
				kinds[col.Name] = event.KindFloat
			default:
				kinds[col.Name] = event.KindString
			}
		}
	}
	if !found {
		return out, awsapi.Errorf("ResourceNotFoundException", "The specified data source does not exist.")
	}
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		out.LogFields = append(out.LogFields, logField{name, logFieldType{fieldTypes[kinds[name]]}})
	}
	return out, nil
}

// Nothing of an event is kept apart as a large object here.
type getLogObjectInput struct {
	LogObjectPointer string `json:"logObjectPointer"`
}

func (s *Server) getLogObject(_ context.Context, _ *awsapi.Request, in getLogObjectInput) (none, error) {
	var c check
	c.text("logObjectPointer", in.LogObjectPointer, 512, nil, "")
	if err := c.err(); err != nil {
		return none{}, err
	}
	return none{}, awsapi.Errorf("ResourceNotFoundException", "The specified log object does not exist.")
}
