package cwlogs

import (
	"context"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
)

// AWS tags what its own services log with a data source. Nothing that is logged here has one, nor is any
// part of an event kept apart as a large object, and the answers are AWS's for that.

type listAggregateLogGroupSummariesInput struct {
	GroupBy             string `json:"groupBy"`
	LogGroupClass       string `json:"logGroupClass"`
	LogGroupNamePattern string `json:"logGroupNamePattern"`
	Limit               *int   `json:"limit"`
	NextToken           string `json:"nextToken"`
}

type listAggregateLogGroupSummariesOutput struct {
	AggregateLogGroupSummaries []none `json:"aggregateLogGroupSummaries"`
}

func (s *Server) listAggregateLogGroupSummaries(_ context.Context, _ *awsapi.Request, in listAggregateLogGroupSummariesInput) (listAggregateLogGroupSummariesOutput, error) {
	out := listAggregateLogGroupSummariesOutput{AggregateLogGroupSummaries: []none{}}
	var c check
	c.text("groupBy", in.GroupBy, 0, nil, "")
	c.enum("groupBy", in.GroupBy, "DATA_SOURCE_NAME_TYPE_AND_FORMAT", "DATA_SOURCE_NAME_AND_TYPE")
	c.enum("logGroupClass", in.LogGroupClass, classes...)
	c.number("limit", in.Limit, 1, 1000, 50)
	if err := c.err(); err != nil {
		return out, err
	}
	_, err := readToken("aggregate-log-groups", in.NextToken)
	return out, err
}

type getLogFieldsInput struct {
	DataSourceName string `json:"dataSourceName"`
	DataSourceType string `json:"dataSourceType"`
}

func (s *Server) getLogFields(_ context.Context, _ *awsapi.Request, in getLogFieldsInput) (none, error) {
	var c check
	c.text("dataSourceName", in.DataSourceName, 0, nil, "")
	c.text("dataSourceType", in.DataSourceType, 0, nil, "")
	if err := c.err(); err != nil {
		return none{}, err
	}
	return none{}, awsapi.Errorf("ResourceNotFoundException", "The specified data source does not exist.")
}

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
