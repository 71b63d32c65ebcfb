package cwlogs

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/ingest"
	"github.com/trefoil-o11y/trefoil/internal/meta"
)

// operations are those that this server answers; every other one of the API is an
// UnknownOperationException.
func (s *Server) operations() map[string]awsapi.Operation {
	return map[string]awsapi.Operation{
		"CreateLogGroup":                awsapi.Op(s.createLogGroup),
		"DeleteLogGroup":                awsapi.Op(s.deleteLogGroup),
		"DescribeLogGroups":             awsapi.Op(s.describeLogGroups),
		"ListLogGroups":                 awsapi.Op(s.listLogGroups),
		"PutLogGroupDeletionProtection": awsapi.Op(s.putDeletionProtection),
		"PutRetentionPolicy":            awsapi.Op(s.putRetentionPolicy),
		"DeleteRetentionPolicy":         awsapi.Op(s.deleteRetentionPolicy),
		"CreateLogStream":               awsapi.Op(s.createLogStream),
		"DeleteLogStream":               awsapi.Op(s.deleteLogStream),
		"DescribeLogStreams":            awsapi.Op(s.describeLogStreams),
		"PutLogEvents":                  awsapi.Op(s.putLogEvents),
		"GetLogEvents":                  awsapi.Op(s.getLogEvents),
		"FilterLogEvents":               awsapi.Op(s.filterLogEvents),
		"StartLiveTail":                 awsapi.Op(s.startLiveTail),
		"TestMetricFilter":              awsapi.Op(s.testMetricFilter),
		"PutMetricFilter":               awsapi.Op(s.putMetricFilter),
		"DescribeMetricFilters":         awsapi.Op(s.describeMetricFilters),
		"DeleteMetricFilter":            awsapi.Op(s.deleteMetricFilter),
		"PutSubscriptionFilter":         awsapi.Op(s.putSubscriptionFilter),
		"DescribeSubscriptionFilters":   awsapi.Op(s.describeSubscriptionFilters),
		"DeleteSubscriptionFilter":      awsapi.Op(s.deleteSubscriptionFilter),
		"CreateLogAnomalyDetector":      awsapi.Op(s.createLogAnomalyDetector),
		"GetLogAnomalyDetector":         awsapi.Op(s.getLogAnomalyDetector),
		"UpdateLogAnomalyDetector":      awsapi.Op(s.updateLogAnomalyDetector),
		"DeleteLogAnomalyDetector":      awsapi.Op(s.deleteLogAnomalyDetector),
		"ListLogAnomalyDetectors":       awsapi.Op(s.listLogAnomalyDetectors),
		"ListAnomalies":                 awsapi.Op(s.listAnomalies),
		"UpdateAnomaly":                 awsapi.Op(s.updateAnomaly),
		"PutTransformer":                awsapi.Op(s.putTransformer),
		"GetTransformer":                awsapi.Op(s.getTransformer),
		"DeleteTransformer":             awsapi.Op(s.deleteTransformer),
		"TestTransformer":               awsapi.Op(s.testTransformer),
		"CreateExportTask":              awsapi.Op(s.createExportTask),
		"DescribeExportTasks":           awsapi.Op(s.describeExportTasks),
		"CancelExportTask":              awsapi.Op(s.cancelExportTask),
		"PutDataProtectionPolicy":       awsapi.Op(s.putDataProtectionPolicy),
		"GetDataProtectionPolicy":       awsapi.Op(s.getDataProtectionPolicy),
		"DeleteDataProtectionPolicy":    awsapi.Op(s.deleteDataProtectionPolicy),
		"PutAccountPolicy":              awsapi.Op(s.putAccountPolicy),
		"DescribeAccountPolicies":       awsapi.Op(s.describeAccountPolicies),
		"DeleteAccountPolicy":           awsapi.Op(s.deleteAccountPolicy),
		"PutIndexPolicy":                awsapi.Op(s.putIndexPolicy),
		"DescribeIndexPolicies":         awsapi.Op(s.describeIndexPolicies),
		"DeleteIndexPolicy":             awsapi.Op(s.deleteIndexPolicy),
		"DescribeFieldIndexes":          awsapi.Op(s.describeFieldIndexes),
		"PutBearerTokenAuthentication":  awsapi.Op(s.putBearerTokenAuthentication),
		"AssociateKmsKey":               awsapi.Op(s.associateKMSKey),
		"DisassociateKmsKey":            awsapi.Op(s.disassociateKMSKey),
		"PutDestination":                awsapi.Op(s.putDestination),
		"PutDestinationPolicy":          awsapi.Op(s.putDestinationPolicy),
		"DescribeDestinations":          awsapi.Op(s.describeDestinations),
		"DeleteDestination":             awsapi.Op(s.deleteDestination),
		"PutResourcePolicy":             awsapi.Op(s.putResourcePolicy),
		"DescribeResourcePolicies":      awsapi.Op(s.describeResourcePolicies),
		"DeleteResourcePolicy":          awsapi.Op(s.deleteResourcePolicy),
		"TagResource":                   awsapi.Op(s.tagResource),
		"UntagResource":                 awsapi.Op(s.untagResource),
		"ListTagsForResource":           awsapi.Op(s.listTagsForResource),
		"TagLogGroup":                   awsapi.Op(s.tagLogGroup),
		"UntagLogGroup":                 awsapi.Op(s.untagLogGroup),
		"ListTagsLogGroup":              awsapi.Op(s.listTagsLogGroup),
		"StartQuery":                    awsapi.Op(s.startQuery),
		"GetQueryResults":               awsapi.Op(s.getQueryResults),
		"StopQuery":                     awsapi.Op(s.stopQuery),
		"DescribeQueries":               awsapi.Op(s.describeQueries),
		"ListLogGroupsForQuery":         awsapi.Op(s.listLogGroupsForQuery),
		"GetLogRecord":                  awsapi.Op(s.getLogRecord),
		"GetLogGroupFields":             awsapi.Op(s.getLogGroupFields),
		"PutQueryDefinition":            awsapi.Op(s.putQueryDefinition),
		"DescribeQueryDefinitions":      awsapi.Op(s.describeQueryDefinitions),
		"DeleteQueryDefinition":         awsapi.Op(s.deleteQueryDefinition),
		"CreateLookupTable":             awsapi.Op(s.createLookupTable),
		"GetLookupTable":                awsapi.Op(s.getLookupTable),
		"UpdateLookupTable":             awsapi.Op(s.updateLookupTable),
		"DeleteLookupTable":             awsapi.Op(s.deleteLookupTable),
		"DescribeLookupTables":          awsapi.Op(s.describeLookupTables),
		"CreateScheduledQuery":          awsapi.Op(s.createScheduledQuery),
		"GetScheduledQuery":             awsapi.Op(s.getScheduledQuery),
		"UpdateScheduledQuery":          awsapi.Op(s.updateScheduledQuery),
		"DeleteScheduledQuery":          awsapi.Op(s.deleteScheduledQuery),
		"ListScheduledQueries":          awsapi.Op(s.listScheduledQueries),
		"GetScheduledQueryHistory":      awsapi.Op(s.getScheduledQueryHistory),
	}
}

// none is the answer of operations that have no output.
type none struct{}

// The errors that several operations give; the texts are AWS's own.
var (
	errNoGroup     = awsapi.Errorf("ResourceNotFoundException", "The specified log group does not exist.")
	errNoStream    = awsapi.Errorf("ResourceNotFoundException", "The specified log stream does not exist.")
	errGroupTaken  = awsapi.Errorf("ResourceAlreadyExistsException", "The specified log group already exists")
	errStreamTaken = awsapi.Errorf("ResourceAlreadyExistsException", "The specified log stream already exists")
	errNextToken   = awsapi.Errorf("InvalidParameterException", "The specified nextToken is invalid.")
	errBothNames   = awsapi.Errorf("ValidationException", "LogGroup name and LogGroup ARN are mutually exclusive parameters.")
	errTooLong     = awsapi.Errorf("InvalidParameterException", "Invalid LogGroup or LogStream, both must have length less than or equal to 512.")
)

func invalid(format string, args ...any) *awsapi.Error {
	return awsapi.Errorf("InvalidParameterException", format, args...)
}

// retry turns "too much at once" into an answer that SDKs repeat.
func retry(err error) error {
	if errors.Is(err, ingest.ErrOverloaded) || errors.Is(err, ingest.ErrClosed) {
		return &awsapi.Error{Status: http.StatusServiceUnavailable, Code: "ServiceUnavailableException", Message: "The service cannot complete the request."}
	}
	return err
}

const (
	groupPattern  = `[\.\-_/#A-Za-z0-9]+`
	streamPattern = `[^:*]*`
	maxName       = 512
)

var (
	groupName  = regexp.MustCompile(`^` + groupPattern + `$`)
	streamName = regexp.MustCompile(`^` + streamPattern + `$`)
)

// check collects what is wrong with an input, in the words of AWS's generic validation.
type check struct{ faults []string }

func (c *check) fault(value, member, constraint string, args ...any) {
	c.faults = append(c.faults, fmt.Sprintf("Value %s at '%s' failed to satisfy constraint: %s", value, member, fmt.Sprintf(constraint, args...)))
}

func quote(s string) string { return "'" + s + "'" }

// text checks a member that must be there.
func (c *check) text(member, v string, high int, re *regexp.Regexp, pattern string) {
	switch n := utf8.RuneCountInString(v); {
	case n == 0:
		c.fault("null", member, "Member must not be null")
		return
	case high > 0 && n > high:
		c.fault(quote(v), member, "Member must have length less than or equal to %d", high)
	}
	if re != nil && !re.MatchString(v) {
		c.fault(quote(v), member, "Member must satisfy regular expression pattern: %s", pattern)
	}
}

func (c *check) group(v string)  { c.text("logGroupName", v, maxName, groupName, groupPattern) }
func (c *check) stream(v string) { c.text("logStreamName", v, maxName, streamName, streamPattern) }

// prefix checks an optional name or the beginning of one.
func (c *check) prefix(member, v string, re *regexp.Regexp, pattern string) {
	if v != "" {
		c.text(member, v, maxName, re, pattern)
	}
}

// number returns a number in a range, or absent when it was not given.
func (c *check) number(member string, v *int, low, high, absent int) int {
	switch {
	case v == nil:
		return absent
	case *v < low:
		c.fault(quote(strconv.Itoa(*v)), member, "Member must have value greater than or equal to %d", low)
	case *v > high:
		c.fault(quote(strconv.Itoa(*v)), member, "Member must have value less than or equal to %d", high)
	}
	return *v
}

// count checks the length of a list.
func (c *check) count(member string, n, low, high int) {
	switch {
	case n < low:
		c.fault("'[]'", member, "Member must have length greater than or equal to %d", low)
	case n > high:
		c.fault(fmt.Sprintf("'[%d members]'", n), member, "Member must have length less than or equal to %d", high)
	}
}

// time checks an optional time in milliseconds.
func (c *check) time(member string, v *int64) {
	if v != nil && *v < 0 {
		c.fault(quote(strconv.FormatInt(*v, 10)), member, "Member must have value greater than or equal to 0")
	}
}

// enum checks an optional value.
func (c *check) enum(member, v string, values ...string) {
	if v != "" && !slices.Contains(values, v) {
		c.fault(quote(v), member, "Member must satisfy enum value set: [%s]", strings.Join(values, ", "))
	}
}

func (c *check) err() error {
	switch n := len(c.faults); n {
	case 0:
		return nil
	case 1:
		return invalid("1 validation error detected: %s", c.faults[0])
	default:
		return invalid("%d validation errors detected: %s", n, strings.Join(c.faults, "; "))
	}
}

// groupARN returns the ARN of a group without the ":*" that some members have.
func groupARN(c *awsapi.Caller, name string) string {
	return "arn:aws:logs:" + c.Region + ":" + c.Account + ":log-group:" + name
}

// identified returns the name in a group's name or ARN; an ARN may end with ":*".
func identified(identifier string) (name string, ok bool) {
	if !strings.HasPrefix(identifier, "arn:") {
		return identifier, groupName.MatchString(identifier)
	}
	parts := strings.Split(identifier, ":")
	if len(parts) == 8 && parts[7] == "*" {
		parts = parts[:7]
	}
	if len(parts) != 7 || parts[2] != "logs" || parts[5] != "log-group" {
		return "", false
	}
	return parts[6], groupName.MatchString(parts[6])
}

// oneName returns the group that is given by name or by identifier, exactly one of which there
// must be.
func (c *check) oneName(name, identifier string) (string, error) {
	switch {
	case name != "" && identifier != "":
		return "", errBothNames
	case identifier == "":
		c.group(name)
		return name, nil
	}
	found, ok := identified(identifier)
	if !ok {
		c.fault(quote(identifier), "logGroupIdentifier", `Member must satisfy regular expression pattern: [\w#+=/:,.@-]*`)
	}
	return found, nil
}

func (s *Server) group(ctx context.Context, r *awsapi.Request, name string) (meta.LogGroup, error) {
	g, err := s.cfg.Meta.LogGroup(ctx, r.Caller.Environment, name)
	if errors.Is(err, meta.ErrNotFound) {
		return g, errNoGroup
	}
	return g, err
}

// pageToken is an opaque token that holds where a list goes on; kind keeps the tokens of one
// operation from being taken by another.
func pageToken(kind, at string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(kind + "\x00" + at))
}

func readToken(kind, token string) (at string, err error) {
	if token == "" {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return "", errNextToken
	}
	k, at, ok := strings.Cut(string(raw), "\x00")
	if !ok || k != kind || at == "" {
		return "", errNextToken
	}
	return at, nil
}

// cut returns the page of a list sorted by name that begins behind the name after; next is the
// name to go on behind, empty on the last page.
func cut[T any](list []T, name func(T) string, after string, limit int) (out []T, next string) {
	start := 0
	if after != "" {
		for start < len(list) && name(list[start]) <= after {
			start++
		}
	}
	list = list[start:]
	if len(list) <= limit {
		return list, ""
	}
	return list[:limit], name(list[limit-1])
}
