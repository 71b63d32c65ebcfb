package cwlogs_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"
)

// TestTags gives tags to all that can have them, at creation and later, over a restart, and sees them
// go with it.
func TestTags(t *testing.T) {
	r := newRig(t)
	r.call("CreateLogGroup", `{"logGroupName":"g","tags":{"a":"1"}}`, nil)
	r.call("PutDestination", `{"destinationName":"n","targetArn":"http://127.0.0.1:1/","roleArn":"r","tags":{"a":"1"}}`, nil)
	table := `{"lookupTableName":"n","tableBody":"a\n1\n","tags":{"a":"1"}}`
	r.call("CreateLookupTable", table, nil)
	schedule := `{"name":"n","queryLanguage":"CWLI","queryString":"fields a","logGroupIdentifiers":["g"],"scheduleExpression":"rate(1 hour)","executionRoleArn":"r","tags":{"a":"1"}}`
	var made struct{ ScheduledQueryARN string }
	r.call("CreateScheduledQuery", schedule, &made)

	const prefix = "arn:aws:logs:us-east-1:000000000000:"
	tags := func(arn string) map[string]string {
		t.Helper()
		var out struct{ Tags map[string]string }
		r.call("ListTagsForResource", fmt.Sprintf(`{"resourceArn":%q}`, arn), &out)
		return out.Tags
	}
	arns := []string{prefix + "log-group:g", prefix + "destination:n", prefix + "lookup-table:n", made.ScheduledQueryARN}
	for _, arn := range arns {
		r.call("TagResource", fmt.Sprintf(`{"resourceArn":%q,"tags":{"b":"2","c":"3"}}`, arn), nil)
		r.call("UntagResource", fmt.Sprintf(`{"resourceArn":%q,"tagKeys":["c","none"]}`, arn), nil)
	}
	r.restart()
	for _, arn := range arns {
		if got := tags(arn); !maps.Equal(got, map[string]string{"a": "1", "b": "2"}) {
			t.Errorf("%s has %v", arn, got)
		}
		var many []string
		for i := range 49 {
			many = append(many, fmt.Sprintf(`"k%d":""`, i))
		}
		r.refused("TagResource", fmt.Sprintf(`{"resourceArn":%q,"tags":{%s}}`, arn, strings.Join(many, ",")), "TooManyTagsException", "A resource can have at most 50 tags.")
	}

	r.call("DeleteScheduledQuery", `{"identifier":"n"}`, nil)
	r.call("DeleteLookupTable", `{"lookupTableArn":"n"}`, nil)
	r.call("DeleteDestination", `{"destinationName":"n"}`, nil)
	r.call("DeleteLogGroup", `{"logGroupName":"g"}`, nil)
	for _, arn := range arns {
		r.refused("ListTagsForResource", fmt.Sprintf(`{"resourceArn":%q}`, arn), "ResourceNotFoundException", "The specified ")
	}
	r.call("CreateLogGroup", `{"logGroupName":"g"}`, nil)
	r.call("CreateLookupTable", strings.Replace(table, `,"tags":{"a":"1"}`, "", 1), nil)
	r.call("PutDestination", `{"destinationName":"n","targetArn":"http://127.0.0.1:1/","roleArn":"r"}`, nil)
	for _, arn := range arns[:3] {
		if got := tags(arn); len(got) != 0 {
			t.Errorf("the next %s has %v", arn, got)
		}
	}
	r.refused("CreateLookupTable", strings.Replace(table, `"a":"1"`, `"*":"1"`, 1), "InvalidParameterException", "1 validation error")
	r.refused("TagResource", `{"resourceArn":"arn:aws:logs:us-east-1:000000000000:delivery:x","tags":{"a":"b"}}`, "InvalidParameterException", "The specified resource ARN is invalid.")
}
