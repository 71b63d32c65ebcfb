package xray

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/meta"
)

const (
	// defaultGroup is always there and holds every trace.
	defaultGroup = "Default"
	// maxGroups is how many groups there may be beside it.
	maxGroups = 25
	// maxGroupFilter is the longest filter of a group, in bytes.
	maxGroupFilter = 2000
	maxTags        = 50
	maxTagsPut     = 200
)

var groupNames = regexp.MustCompile(`^[A-Za-z0-9 _.-]{1,32}$`)

// groupRef names a group by one of its names; AWS's own clients send an empty one for none.
type groupRef struct{ name, arn string }

type insightsConfig struct {
	InsightsEnabled, NotificationsEnabled bool
}

type groupOut struct {
	GroupName, GroupARN   string
	FilterExpression      string `json:",omitempty"`
	InsightsConfiguration insightsConfig
}

type groupIn struct {
	GroupName, GroupARN   string
	FilterExpression      *string
	InsightsConfiguration *struct{ InsightsEnabled, NotificationsEnabled *bool }
	Tags                  []tagIO
}

type groupResult struct{ Group groupOut }

type groupsResult struct{ Groups []groupOut }

func (t tenant) arn(resource string) string {
	return "arn:aws:xray:" + t.region + ":" + t.account + ":" + resource
}

func (t tenant) groupARN(g meta.XRayGroup) string {
	if g.UniqueID == "" {
		return t.arn("group/" + g.Name)
	}
	return t.arn("group/" + g.Name + "/" + g.UniqueID)
}

// groupOfARN returns the name, and the unique id if there is one, in a group's ARN.
func groupOfARN(arn string) (name, id string, ok bool) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != "xray" {
		return "", "", false
	}
	rest, ok := strings.CutPrefix(parts[5], "group/")
	name, id, _ = strings.Cut(rest, "/")
	return name, id, ok && name != ""
}

// group finds a group; of an ARN the account and region do not count.
func (s *Server) group(ctx context.Context, t tenant, ref groupRef) (meta.XRayGroup, error) {
	name, id := ref.name, ""
	if ref.arn != "" {
		arnName, arnID, ok := groupOfARN(ref.arn)
		if !ok {
			return meta.XRayGroup{}, awsapi.Errorf(codeInvalidRequest, "%s is not the ARN of a group.", ref.arn)
		}
		if name != "" && name != arnName {
			return meta.XRayGroup{}, awsapi.Errorf(codeInvalidRequest, "GroupName and GroupARN name different groups.")
		}
		name, id = arnName, arnID
	}
	if name == "" {
		return meta.XRayGroup{}, awsapi.Errorf(codeInvalidRequest, "GroupName or GroupARN is required.")
	}
	if name == defaultGroup {
		return s.defaultGroup(ctx)
	}
	list, err := s.cfg.Meta.XRayGroups(ctx)
	if err != nil {
		return meta.XRayGroup{}, err
	}
	for _, g := range list {
		if g.Name == name && (id == "" || id == g.UniqueID) {
			return g, nil
		}
	}
	return meta.XRayGroup{}, awsapi.Errorf(codeInvalidRequest, "There is no group %s.", cmp.Or(ref.name, ref.arn))
}

func (s *Server) defaultGroup(ctx context.Context) (meta.XRayGroup, error) {
	g := meta.XRayGroup{Name: defaultGroup}
	var saved insightsConfig
	err := s.readSetting(ctx, settingDefaultGroup, &saved)
	g.Insights, g.Notifications = saved.InsightsEnabled, saved.NotificationsEnabled
	return g, err
}

func (t tenant) groupOut(g meta.XRayGroup) groupOut {
	return groupOut{g.Name, t.groupARN(g), g.Filter, insightsConfig{g.Insights, g.Notifications}}
}

// apply lays the members that are given over a group.
func (in groupIn) apply(g *meta.XRayGroup) error {
	if in.FilterExpression != nil {
		if err := checkFilter(*in.FilterExpression); err != nil {
			return err
		}
		g.Filter = *in.FilterExpression
	}
	if c := in.InsightsConfiguration; c != nil {
		if c.InsightsEnabled != nil {
			g.Insights = *c.InsightsEnabled
		}
		if c.NotificationsEnabled != nil {
			g.Notifications = *c.NotificationsEnabled
		}
	}
	if g.Notifications && !g.Insights {
		return awsapi.Errorf(codeInvalidRequest, "Notifications can be enabled only together with insights.")
	}
	return nil
}

func (s *Server) createGroup(ctx context.Context, r *awsapi.Request, in groupIn) (*groupResult, error) {
	switch {
	case in.GroupName == "":
		return nil, missing("GroupName")
	case !groupNames.MatchString(in.GroupName):
		return nil, awsapi.Errorf(codeInvalidRequest, "GroupName must have 1 to 32 letters, digits, dashes, dots, underscores and spaces.")
	case in.GroupName == defaultGroup:
		return nil, awsapi.Errorf(codeInvalidRequest, "The group name %s is reserved.", defaultGroup)
	}
	tags, err := checkTags(in.Tags)
	if err != nil {
		return nil, err
	}
	var id [32]byte
	_, _ = rand.Read(id[:]) // never fails, see crypto/rand
	g := meta.XRayGroup{Name: in.GroupName, UniqueID: base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(id[:])}
	if err := in.apply(&g); err != nil {
		return nil, err
	}
	s.settings.Lock()
	defer s.settings.Unlock()
	list, err := s.cfg.Meta.XRayGroups(ctx)
	if err != nil {
		return nil, err
	}
	exists := awsapi.Errorf(codeInvalidRequest, "A group with the name %s exists already.", g.Name)
	if slices.ContainsFunc(list, func(o meta.XRayGroup) bool { return o.Name == g.Name }) {
		return nil, exists
	}
	if len(list) >= maxGroups {
		return nil, awsapi.Errorf(codeInvalidRequest, "There can be no more than %d groups.", maxGroups)
	}
	if err := s.cfg.Meta.CreateXRayGroup(ctx, g); errors.Is(err, meta.ErrExists) {
		return nil, exists
	} else if err != nil {
		return nil, err
	}
	if err := s.cfg.Meta.PutTags(ctx, groupResource(g.Name), tags); err != nil {
		return nil, err
	}
	return &groupResult{tenantOf(r).groupOut(g)}, nil
}

func (s *Server) getGroup(ctx context.Context, r *awsapi.Request, in groupIn) (*groupResult, error) {
	t := tenantOf(r)
	g, err := s.group(ctx, t, groupRef{in.GroupName, in.GroupARN})
	if err != nil {
		return nil, err
	}
	return &groupResult{t.groupOut(g)}, nil
}

func (s *Server) getGroups(ctx context.Context, r *awsapi.Request, _ pageIn) (*groupsResult, error) {
	list, err := s.cfg.Meta.XRayGroups(ctx)
	if err != nil {
		return nil, err
	}
	def, err := s.defaultGroup(ctx)
	if err != nil {
		return nil, err
	}
	t := tenantOf(r)
	out := &groupsResult{[]groupOut{t.groupOut(def)}}
	for _, g := range list {
		out.Groups = append(out.Groups, t.groupOut(g))
	}
	return out, nil
}

func (s *Server) updateGroup(ctx context.Context, r *awsapi.Request, in groupIn) (*groupResult, error) {
	s.settings.Lock()
	defer s.settings.Unlock()
	t := tenantOf(r)
	g, err := s.group(ctx, t, groupRef{in.GroupName, in.GroupARN})
	if err != nil {
		return nil, err
	}
	if g.Name == defaultGroup && in.FilterExpression != nil && *in.FilterExpression != "" {
		return nil, awsapi.Errorf(codeInvalidRequest, "The filter expression of the group %s can not be changed.", defaultGroup)
	}
	if err := in.apply(&g); err != nil {
		return nil, err
	}
	if g.Name == defaultGroup {
		err = s.writeSetting(ctx, settingDefaultGroup, insightsConfig{g.Insights, g.Notifications})
	} else {
		err = s.cfg.Meta.UpdateXRayGroup(ctx, g)
	}
	if err != nil {
		return nil, err
	}
	return &groupResult{t.groupOut(g)}, nil
}

func (s *Server) deleteGroup(ctx context.Context, r *awsapi.Request, in groupIn) (*empty, error) {
	s.settings.Lock()
	defer s.settings.Unlock()
	g, err := s.group(ctx, tenantOf(r), groupRef{in.GroupName, in.GroupARN})
	if err != nil {
		return nil, err
	}
	if g.Name == defaultGroup {
		return nil, awsapi.Errorf(codeInvalidRequest, "The group %s can not be deleted.", defaultGroup)
	}
	if err := s.cfg.Meta.DeleteXRayGroup(ctx, g.Name); err != nil {
		return nil, err
	}
	return &empty{}, s.dropTags(ctx, groupResource(g.Name))
}
