package cwlogs

import (
	"context"
	"encoding/json"
	"errors"
	"time"
	"unicode/utf8"

	"github.com/trefoil-o11y/trefoil/internal/meta"
)

// maxDetections bounds the places of one data identifier that a finding lists; its count is exact.
const maxDetections = 1000

// audit is what a data protection policy looks for, and the log group that gets what it finds, if any.
type audit struct {
	detectors []detector
	group     string
}

// finding is the report on one event, as documented at
// docs.aws.amazon.com/AmazonCloudWatch/latest/logs/mask-sensitive-log-data-audit-findings.html.
type finding struct {
	AuditTimestamp  string            `json:"auditTimestamp"`
	ResourceARN     string            `json:"resourceArn"`
	DataIdentifiers []foundIdentifier `json:"dataIdentifiers"`
}

type foundIdentifier struct {
	Name       string      `json:"name"`
	Count      int         `json:"count"`
	Detections []detection `json:"detections"`
}

// detection is the first and the last character of what was found; characters count from 1.
type detection struct {
	Start int `json:"start"`
	End   int `json:"end"`
}

// audited is what the audits of a group found in some events.
type audited struct {
	events   int // in which there was anything
	findings map[string][]finding
}

// audit looks for what the audits of the masker's policies are about.
func (m *masker) audit(resource string, events []inputLogEvent, now time.Time) audited {
	out := audited{findings: map[string][]finding{}}
	if m == nil {
		return out
	}
	for i := range events {
		message := string(events[i].message)
		some := false
		for _, a := range m.audits {
			f := finding{AuditTimestamp: now.UTC().Format(time.RFC3339), ResourceARN: resource}
			for _, d := range a.detectors {
				if id := d.report(message); id.Count > 0 {
					f.DataIdentifiers = append(f.DataIdentifiers, id)
				}
			}
			if f.DataIdentifiers == nil {
				continue
			}
			some = true
			if a.group != "" {
				out.findings[a.group] = append(out.findings[a.group], f)
			}
		}
		if some {
			out.events++
		}
	}
	return out
}

// report lists where a message has what the detector is for.
func (d *detector) report(message string) foundIdentifier {
	places := d.find(message)
	out := foundIdentifier{Name: d.name, Count: len(places)}
	chars, bytes := 0, 0 // characters in front of a place in bytes
	for _, at := range places[:min(len(places), maxDetections)] {
		chars += utf8.RuneCountInString(message[bytes:at[0]])
		bytes = at[0]
		out.Detections = append(out.Detections, detection{chars + 1, chars + utf8.RuneCountInString(message[at[0]:at[1]])})
	}
	return out
}

// metrics counts the events with findings, of the account and of the group.
func (a audited) metrics(group string, now time.Time) []Datum {
	if a.events == 0 {
		return nil
	}
	d := Datum{Namespace: "AWS/Logs", Metric: "LogEventsWithFindings", Time: now.UTC().Truncate(time.Minute), Value: 1, Count: float64(a.events)}
	of := d
	of.Dimensions = [][2]string{{"LogGroupName", group}}
	return []Datum{d, of}
}

// findings makes events of what was found in a group, for the log groups that get it, in the stream that
// is named as the group. Findings are not audited themselves. A group that is gone gets none.
//
// The locks of the streams are not taken: one of another group is held, and two could wait for each other.
// Should the stream be deleted meanwhile, the findings may be the first events of the next of its name.
func (s *Server) findings(ctx context.Context, g meta.LogGroup, in audited, now time.Time) ([]*arrival, error) {
	var all []*arrival
	for name, list := range in.findings {
		to, err := s.cfg.Meta.LogGroup(ctx, g.Environment, name)
		if errors.Is(err, meta.ErrNotFound) {
			s.cfg.Log.Warn("audit findings have no log group to go to", "group", g.Name, "findings", name)
			continue
		} else if err != nil {
			return nil, err
		}
		there, err := s.cfg.Meta.LogStreamExists(ctx, to.ID, g.Name)
		if err == nil && !there {
			err = s.cfg.Meta.CreateLogStream(ctx, to.ID, g.Name)
		}
		if err != nil && !errors.Is(err, meta.ErrExists) {
			return nil, err
		}
		rules, err := s.rules.of(ctx, to)
		if err != nil {
			return nil, err
		}
		events := make([]inputLogEvent, len(list))
		for i, f := range list {
			text, err := json.Marshal(f)
			if err != nil {
				return nil, err
			}
			events[i] = inputLogEvent{timestamp: now.UnixMilli(), message: text, isTimestamp: true}
		}
		a, err := s.arrive(ctx, rules, to, g.Name, events, nil, now, new(found))
		if err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, nil
}

// checkFindings refuses a policy whose findings can not be delivered.
func (s *Server) checkFindings(ctx context.Context, environment, document string) error {
	m, err := parseProtection(document)
	if err != nil {
		return err
	}
	if m.elsewhere != "" {
		return invalid("Audit findings can not be sent to %s by this server; give CloudWatchLogs with a LogGroup.", m.elsewhere)
	}
	for _, a := range m.audits {
		if a.group == "" {
			continue
		}
		if _, err := s.cfg.Meta.LogGroup(ctx, environment, a.group); errors.Is(err, meta.ErrNotFound) {
			return errNoGroup
		} else if err != nil {
			return err
		}
	}
	return nil
}
