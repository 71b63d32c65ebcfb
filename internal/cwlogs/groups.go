package cwlogs

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/meta"
)

var classes = []string{"STANDARD", "INFREQUENT_ACCESS", "DELIVERY"}

type createLogGroupInput struct {
	LogGroupName              string            `json:"logGroupName"`
	KMSKeyID                  string            `json:"kmsKeyId"`
	Tags                      map[string]string `json:"tags"`
	LogGroupClass             string            `json:"logGroupClass"`
	DeletionProtectionEnabled bool              `json:"deletionProtectionEnabled"`
}

func (s *Server) createLogGroup(ctx context.Context, r *awsapi.Request, in createLogGroupInput) (none, error) {
	if len(in.LogGroupName) > maxName {
		return none{}, errTooLong
	}
	var c check
	c.group(in.LogGroupName)
	c.enum("logGroupClass", in.LogGroupClass, classes...)
	c.tags(in.Tags)
	if err := c.err(); err != nil {
		return none{}, err
	}
	if strings.HasPrefix(strings.ToLower(in.LogGroupName), "aws/") {
		return none{}, invalid("Log groups starting with AWS/ are reserved for AWS.")
	}
	if len(in.Tags) > maxTags {
		return none{}, tooManyTags(groupARN(&r.Caller, in.LogGroupName))
	}
	if in.LogGroupClass == "" {
		in.LogGroupClass = classes[0]
	}
	g := meta.LogGroup{Class: in.LogGroupClass, KMSKeyID: in.KMSKeyID, DeletionProtection: in.DeletionProtectionEnabled}
	g.Environment, g.Name = r.Caller.Environment, in.LogGroupName
	g, err := s.cfg.Meta.CreateLogGroup(ctx, g, in.Tags)
	if errors.Is(err, meta.ErrExists) {
		return none{}, errGroupTaken
	} else if err != nil {
		return none{}, err
	}
	return none{}, s.startGroup(ctx, g)
}

type groupInput struct {
	LogGroupName string `json:"logGroupName"`
}

func (s *Server) namedGroup(ctx context.Context, r *awsapi.Request, name string) (meta.LogGroup, error) {
	var c check
	c.group(name)
	if err := c.err(); err != nil {
		return meta.LogGroup{}, err
	}
	return s.group(ctx, r, name)
}

// deleteLogGroup forgets the group first: should the server stop before its events are
// dropped, nothing leads to them any more.
func (s *Server) deleteLogGroup(ctx context.Context, r *awsapi.Request, in groupInput) (none, error) {
	g, err := s.namedGroup(ctx, r, in.LogGroupName)
	if err != nil {
		return none{}, err
	}
	if g.DeletionProtection {
		return none{}, awsapi.Errorf("ValidationException", "The log group is protected from deletion.")
	}
	lock := s.streamLock(g.ID)
	lock.Lock()
	defer lock.Unlock()
	if err := s.cfg.Meta.DeleteLogGroup(ctx, g); errors.Is(err, meta.ErrNotFound) {
		return none{}, errNoGroup
	} else if err != nil {
		return none{}, err
	}
	s.size.forget(g.Environment)
	s.rules.forget(g.ID)
	s.deliveries.forget(g.ID)
	return none{}, s.cfg.Store.Drop(context.WithoutCancel(ctx), g.ID)
}

type describeLogGroupsInput struct {
	LogGroupNamePrefix  string   `json:"logGroupNamePrefix"`
	LogGroupNamePattern string   `json:"logGroupNamePattern"`
	LogGroupIdentifiers []string `json:"logGroupIdentifiers"`
	LogGroupClass       string   `json:"logGroupClass"`
	Limit               *int     `json:"limit"`
	NextToken           string   `json:"nextToken"`
}

type logGroupRow struct {
	LogGroupName              string `json:"logGroupName"`
	CreationTime              int64  `json:"creationTime"`
	RetentionInDays           int    `json:"retentionInDays,omitempty"`
	MetricFilterCount         int    `json:"metricFilterCount"`
	ARN                       string `json:"arn"`
	StoredBytes               *int64 `json:"storedBytes,omitempty"`
	KMSKeyID                  string `json:"kmsKeyId,omitempty"`
	LogGroupClass             string `json:"logGroupClass"`
	LogGroupARN               string `json:"logGroupArn"`
	DeletionProtectionEnabled *bool  `json:"deletionProtectionEnabled,omitempty"`
	BearerTokenAuthentication bool   `json:"bearerTokenAuthenticationEnabled,omitempty"`
	DataProtectionStatus      string `json:"dataProtectionStatus,omitempty"`
}

type describeLogGroupsOutput struct {
	LogGroups []logGroupRow `json:"logGroups"`
	NextToken string        `json:"nextToken,omitempty"`
}

func (s *Server) describeLogGroups(ctx context.Context, r *awsapi.Request, in describeLogGroupsInput) (describeLogGroupsOutput, error) {
	out := describeLogGroupsOutput{LogGroups: []logGroupRow{}}
	if in.LogGroupNamePrefix != "" && in.LogGroupNamePattern != "" {
		return out, invalid("LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.")
	}
	var c check
	limit := c.number("limit", in.Limit, 1, 50, 50)
	c.prefix("logGroupNamePrefix", in.LogGroupNamePrefix, groupName, groupPattern)
	c.prefix("logGroupNamePattern", in.LogGroupNamePattern, groupName, `[\.\-_/#A-Za-z0-9]*`)
	c.enum("logGroupClass", in.LogGroupClass, classes...)
	c.count("logGroupIdentifiers", len(in.LogGroupIdentifiers), 0, 50)
	var named []string
	for _, id := range in.LogGroupIdentifiers {
		name, ok := identified(id)
		if !ok {
			c.fault(quote(id), "logGroupIdentifiers", `Member must satisfy regular expression pattern: [\w#+=/:,.@-]*`)
		}
		named = append(named, name)
	}
	if err := c.err(); err != nil {
		return out, err
	}
	if named != nil && (in.LogGroupNamePrefix != "" || in.LogGroupNamePattern != "" || in.LogGroupClass != "") {
		return out, invalid("LogGroup identifiers exclude a prefix, a pattern and a class.")
	}
	after, err := readToken("groups", in.NextToken)
	if err != nil {
		return out, err
	}
	all, err := s.cfg.Meta.LogGroups(ctx, r.Caller.Environment)
	if err != nil {
		return out, err
	}
	var sizes map[event.DatasetID]size
	if in.LogGroupNamePattern == "" {
		if sizes, err = s.soonSizes(ctx, r.Caller.Environment); err != nil {
			return out, err
		}
	}
	list, next := cut(slices.DeleteFunc(all, func(g meta.LogGroup) bool {
		return !strings.HasPrefix(g.Name, in.LogGroupNamePrefix) || !strings.Contains(g.Name, in.LogGroupNamePattern) ||
			in.LogGroupClass != "" && g.Class != in.LogGroupClass || named != nil && !slices.Contains(named, g.Name)
	}), nameOfGroup, after, limit)
	filters, err := s.metricFilterCounts(ctx, r.Caller.Environment)
	if err != nil {
		return out, err
	}
	bearer, err := s.flagged(ctx, r.Caller.Environment, flagBearer)
	if err != nil {
		return out, err
	}
	policies, err := s.cfg.Meta.LogObjects(ctx, r.Caller.Environment, kindDataProtection)
	if err != nil {
		return out, err
	}
	protected := map[string]string{}
	for _, p := range policies {
		protected[p.Scope] = "ACTIVATED"
	}
	for _, g := range list {
		arn := groupARN(&r.Caller, g.Name)
		row := logGroupRow{
			LogGroupName: g.Name, CreationTime: g.Created.UnixMilli(), RetentionInDays: g.RetentionDays, ARN: arn + ":*", MetricFilterCount: filters[g.Name], BearerTokenAuthentication: bearer[g.Name], DataProtectionStatus: protected[g.Name],
			KMSKeyID: g.KMSKeyID, LogGroupClass: g.Class, LogGroupARN: arn,
		}
		// AWS leaves these two out of the answer to a pattern.
		if in.LogGroupNamePattern == "" {
			stored, protected := sizes[g.ID].bytes, g.DeletionProtection
			row.StoredBytes, row.DeletionProtectionEnabled = &stored, &protected
		}
		out.LogGroups = append(out.LogGroups, row)
	}
	if next != "" {
		out.NextToken = pageToken("groups", next)
	}
	return out, nil
}

func nameOfGroup(g meta.LogGroup) string { return g.Name }

type tagFilter struct {
	Key    string   `json:"key"`
	Values []string `json:"values"`
}

type listLogGroupsInput struct {
	LogGroupNamePattern string             `json:"logGroupNamePattern"`
	LogGroupClass       string             `json:"logGroupClass"`
	DataSources         []dataSourceFilter `json:"dataSources"`
	LogGroupTags        []tagFilter        `json:"logGroupTags"`
	FieldIndexNames     []string           `json:"fieldIndexNames"`
	Limit               *int               `json:"limit"`
	NextToken           string             `json:"nextToken"`
}

// namePattern checks a pattern of the names of log groups, of up to five alternatives, and returns what
// reports whether it has a name; the empty pattern has all.
func (c *check) namePattern(p string) func(name string) bool {
	if p == "" {
		return func(string) bool { return true }
	}
	alternatives := strings.Split(p, "|")
	bad := len(p) < 3 || len(p) > 129 || len(alternatives) > 5
	for _, a := range alternatives {
		a = strings.TrimPrefix(a, "^")
		bad = bad || len(a) < 3 || len(a) > 24 || !groupName.MatchString(a)
	}
	if bad {
		c.fault(quote(p), "logGroupNamePattern", `Member must satisfy regular expression pattern: (\^?[\.\-_\/#A-Za-z0-9]{3,24})(\|\^?[\.\-_\/#A-Za-z0-9]{3,24}){0,4}`)
	}
	return func(name string) bool {
		return slices.ContainsFunc(alternatives, func(a string) bool {
			if start, ok := strings.CutPrefix(a, "^"); ok {
				return strings.HasPrefix(name, start)
			}
			return strings.Contains(name, a)
		})
	}
}

type listedGroup struct {
	LogGroupName  string `json:"logGroupName"`
	LogGroupARN   string `json:"logGroupArn"`
	LogGroupClass string `json:"logGroupClass"`
}

type listLogGroupsOutput struct {
	LogGroups []listedGroup `json:"logGroups"`
	NextToken string        `json:"nextToken,omitempty"`
}

func (s *Server) listLogGroups(ctx context.Context, r *awsapi.Request, in listLogGroupsInput) (listLogGroupsOutput, error) {
	out := listLogGroupsOutput{LogGroups: []listedGroup{}}
	var c check
	limit := c.number("limit", in.Limit, 1, 1000, 50)
	c.enum("logGroupClass", in.LogGroupClass, classes...)
	named := c.namePattern(in.LogGroupNamePattern)
	of := c.dataSources(in.DataSources)
	if err := c.err(); err != nil {
		return out, err
	}
	after, err := readToken("list", in.NextToken)
	if err != nil {
		return out, err
	}
	all, err := s.cfg.Meta.LogGroups(ctx, r.Caller.Environment)
	if err != nil {
		return out, err
	}
	sources, err := s.dataSources(ctx, r.Caller.Environment)
	if err != nil {
		return out, err
	}
	var kept []meta.LogGroup
	for _, g := range all {
		if !named(g.Name) || in.LogGroupClass != "" && g.Class != in.LogGroupClass || !of(sources[g.Name]) {
			continue
		}
		if ok, err := s.indexed(ctx, r, g, in.FieldIndexNames); err != nil {
			return out, err
		} else if !ok {
			continue
		}
		if len(in.LogGroupTags) > 0 {
			tags, err := s.cfg.Meta.Tags(ctx, meta.LogGroupResource(g.Environment, g.Name))
			if err != nil {
				return out, err
			}
			if !tagged(tags, in.LogGroupTags) {
				continue
			}
		}
		kept = append(kept, g)
	}
	list, next := cut(kept, nameOfGroup, after, limit)
	for _, g := range list {
		out.LogGroups = append(out.LogGroups, listedGroup{g.Name, groupARN(&r.Caller, g.Name), g.Class})
	}
	if next != "" {
		out.NextToken = pageToken("list", next)
	}
	return out, nil
}

type protectionInput struct {
	LogGroupIdentifier        string `json:"logGroupIdentifier"`
	DeletionProtectionEnabled *bool  `json:"deletionProtectionEnabled"`
}

func (s *Server) putDeletionProtection(ctx context.Context, r *awsapi.Request, in protectionInput) (none, error) {
	var c check
	if in.DeletionProtectionEnabled == nil {
		c.fault("null", "deletionProtectionEnabled", "Member must not be null")
	}
	g, err := s.identifiedGroup(ctx, r, &c, in.LogGroupIdentifier)
	if err != nil {
		return none{}, err
	}
	return none{}, s.cfg.Meta.SetLogGroupProtection(ctx, g.ID, *in.DeletionProtectionEnabled)
}

// retentionDays are the values that PutRetentionPolicy takes.
var retentionDays = []int{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}

type retentionInput struct {
	LogGroupName    string `json:"logGroupName"`
	RetentionInDays *int   `json:"retentionInDays"`
}

func (s *Server) putRetentionPolicy(ctx context.Context, r *awsapi.Request, in retentionInput) (none, error) {
	var c check
	c.group(in.LogGroupName)
	if in.RetentionInDays == nil {
		c.fault("null", "retentionInDays", "Member must not be null")
	} else if !slices.Contains(retentionDays, *in.RetentionInDays) {
		values := make([]string, len(retentionDays))
		for i, d := range retentionDays {
			values[i] = strconv.Itoa(d)
		}
		c.fault(quote(strconv.Itoa(*in.RetentionInDays)), "retentionInDays", "Member must satisfy enum value set: [%s]", strings.Join(values, ", "))
	}
	if err := c.err(); err != nil {
		return none{}, err
	}
	return none{}, s.setRetention(ctx, r, in.LogGroupName, *in.RetentionInDays)
}

func (s *Server) deleteRetentionPolicy(ctx context.Context, r *awsapi.Request, in groupInput) (none, error) {
	var c check
	c.group(in.LogGroupName)
	if err := c.err(); err != nil {
		return none{}, err
	}
	return none{}, s.setRetention(ctx, r, in.LogGroupName, 0)
}

func (s *Server) setRetention(ctx context.Context, r *awsapi.Request, name string, days int) error {
	g, err := s.group(ctx, r, name)
	if err != nil {
		return err
	}
	if err := s.cfg.Meta.SetLogGroupRetention(ctx, g.ID, days); errors.Is(err, meta.ErrNotFound) {
		return errNoGroup
	} else if err != nil {
		return err
	}
	g.RetentionDays = days
	s.retain(g)
	s.size.forget(g.Environment)
	return nil
}
