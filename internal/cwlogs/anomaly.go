package cwlogs

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/cwlogs/insights"
	"github.com/trefoil-o11y/trefoil/internal/meta"
	"github.com/trefoil-o11y/trefoil/internal/query"
)

const (
	kindDetector = "anomaly-detector"
	kindAnomaly  = "anomaly"

	maxDetectors = 500
	// detectEvery is how often it is looked for detectors that are due; detectPeriods how many of its
	// periods a detector looks at, the last of which it compares with the others.
	detectEvery   = 10 * time.Second
	detectPeriods = 30
	maxSamples    = 10
	maxAnomalies  = 500
)

// frequencies are the periods of detectors.
var frequencies = map[string]time.Duration{
	"ONE_MIN": time.Minute, "FIVE_MIN": 5 * time.Minute, "TEN_MIN": 10 * time.Minute, "FIFTEEN_MIN": 15 * time.Minute, "THIRTY_MIN": 30 * time.Minute, "ONE_HOUR": time.Hour,
}

// detectorObject is a detector as it is kept, by its id in the scope of its group.
type detectorObject struct {
	DetectorName   string `json:"detectorName,omitempty"`
	Account        string `json:"account"`
	Frequency      string `json:"evaluationFrequency"`
	FilterPattern  string `json:"filterPattern,omitempty"`
	KMSKeyID       string `json:"kmsKeyId,omitempty"`
	VisibilityTime int    `json:"anomalyVisibilityTime"`
	Status         string `json:"status"`
	Modified       int64  `json:"modified"`
	LastRun        int64  `json:"lastRun"`
}

// anomalyObject is an anomaly as it is kept, by detector and pattern in the scope of the group.
type anomalyObject struct {
	ID              string           `json:"anomalyId"`
	PatternID       string           `json:"patternId"`
	Pattern         string           `json:"patternString"`
	Regex           string           `json:"patternRegex"`
	Priority        string           `json:"priority"`
	FirstSeen       int64            `json:"firstSeen"`
	LastSeen        int64            `json:"lastSeen"`
	Description     string           `json:"description"`
	Active          bool             `json:"active"`
	State           string           `json:"state"`
	Histogram       map[string]int64 `json:"histogram"`
	LogSamples      []logSample      `json:"logSamples"`
	PatternTokens   []patternToken   `json:"patternTokens"`
	Suppressed      bool             `json:"suppressed,omitempty"`
	SuppressedDate  int64            `json:"suppressedDate,omitempty"`
	SuppressedUntil int64            `json:"suppressedUntil,omitempty"`
	IsPatternLevel  bool             `json:"isPatternLevelSuppression,omitempty"`
}

type logSample struct {
	Timestamp int64  `json:"timestamp"`
	Message   string `json:"message"`
}

type patternToken struct {
	DynamicTokenPosition int    `json:"dynamicTokenPosition,omitempty"`
	IsDynamic            bool   `json:"isDynamic"`
	TokenString          string `json:"tokenString"`
}

func detectorARN(c *awsapi.Caller, id string) string {
	return "arn:aws:logs:" + c.Region + ":" + c.Account + ":anomaly-detector:" + id
}

var errNoDetector = awsapi.Errorf("ResourceNotFoundException", "The specified anomaly detector does not exist.")

// detector returns what an ARN names.
func (s *Server) detector(ctx context.Context, r *awsapi.Request, arn string) (d defined[detectorObject], err error) {
	id, ok := strings.CutPrefix(arn, detectorARN(&r.Caller, ""))
	if arn == "" {
		return d, invalid("1 validation error detected: Value null at 'anomalyDetectorArn' failed to satisfy constraint: Member must not be null")
	}
	if !ok {
		return d, errNoDetector
	}
	all, err := objects[detectorObject](ctx, s, r.Caller.Environment, kindDetector)
	for _, d := range all {
		if d.Name == id {
			return d, nil
		}
	}
	return d, errors.Join(err, errNoDetector)
}

type createDetectorInput struct {
	LogGroupARNList []string          `json:"logGroupArnList"`
	DetectorName    string            `json:"detectorName"`
	Frequency       string            `json:"evaluationFrequency"`
	FilterPattern   string            `json:"filterPattern"`
	KMSKeyID        string            `json:"kmsKeyId"`
	VisibilityTime  *int              `json:"anomalyVisibilityTime"`
	Tags            map[string]string `json:"tags"`
}

type detectorARNOutput struct {
	AnomalyDetectorARN string `json:"anomalyDetectorArn"`
}

func (s *Server) createLogAnomalyDetector(ctx context.Context, r *awsapi.Request, in createDetectorInput) (detectorARNOutput, error) {
	var out detectorARNOutput
	var c check
	c.count("logGroupArnList", len(in.LogGroupARNList), 1, 1)
	c.enum("evaluationFrequency", in.Frequency, slices.Sorted(maps.Keys(frequencies))...)
	c.atMost("filterPattern", in.FilterPattern, maxPattern)
	visible := c.number("anomalyVisibilityTime", in.VisibilityTime, 7, 90, 21)
	c.tags(in.Tags)
	if err := c.err(); err != nil {
		return out, err
	}
	if _, err := compilePattern(in.FilterPattern); err != nil {
		return out, badPattern(err)
	}
	var gc check
	g, err := s.identifiedGroup(ctx, r, &gc, in.LogGroupARNList[0])
	if err != nil {
		return out, err
	}
	if in.Frequency == "" {
		in.Frequency = "FIVE_MIN"
	}
	all, err := objects[detectorObject](ctx, s, g.Environment, kindDetector)
	if err != nil {
		return out, err
	}
	if len(all) >= maxDetectors {
		return out, errLimit
	}
	id := awsapi.NewRequestID()
	if _, err := define(ctx, s, g.Environment, kindDetector, g.Name, id, detectorObject{
		DetectorName: in.DetectorName, Account: r.Caller.Account, Frequency: in.Frequency, FilterPattern: in.FilterPattern, KMSKeyID: in.KMSKeyID, VisibilityTime: visible,
		Status: "INITIALIZING", Modified: time.Now().UnixMilli(),
	}, 0); err != nil {
		return out, err
	}
	out.AnomalyDetectorARN = detectorARN(&r.Caller, id)
	return out, nil
}

type detectorInput struct {
	AnomalyDetectorARN string `json:"anomalyDetectorArn"`
	Frequency          string `json:"evaluationFrequency"`
	FilterPattern      string `json:"filterPattern"`
	VisibilityTime     *int   `json:"anomalyVisibilityTime"`
	Enabled            *bool  `json:"enabled"`
}

type detectorRow struct {
	AnomalyDetectorARN    string   `json:"anomalyDetectorArn,omitempty"`
	DetectorName          string   `json:"detectorName,omitempty"`
	LogGroupARNList       []string `json:"logGroupArnList"`
	EvaluationFrequency   string   `json:"evaluationFrequency"`
	FilterPattern         string   `json:"filterPattern,omitempty"`
	AnomalyDetectorStatus string   `json:"anomalyDetectorStatus"`
	KMSKeyID              string   `json:"kmsKeyId,omitempty"`
	CreationTimeStamp     int64    `json:"creationTimeStamp"`
	LastModifiedTimeStamp int64    `json:"lastModifiedTimeStamp"`
	AnomalyVisibilityTime int      `json:"anomalyVisibilityTime"`
}

func rowOfDetector(r *awsapi.Request, d defined[detectorObject]) detectorRow {
	return detectorRow{
		detectorARN(&r.Caller, d.Name), d.is.DetectorName, []string{groupARN(&r.Caller, d.Scope)}, d.is.Frequency, d.is.FilterPattern, d.is.Status, d.is.KMSKeyID,
		d.Created.UnixMilli(), d.is.Modified, d.is.VisibilityTime,
	}
}

func (s *Server) getLogAnomalyDetector(ctx context.Context, r *awsapi.Request, in detectorInput) (detectorRow, error) {
	d, err := s.detector(ctx, r, in.AnomalyDetectorARN)
	if err != nil {
		return detectorRow{}, err
	}
	row := rowOfDetector(r, d)
	row.AnomalyDetectorARN = ""
	return row, nil
}

// updateLogAnomalyDetector changes a detector; one that is not enabled is paused.
func (s *Server) updateLogAnomalyDetector(ctx context.Context, r *awsapi.Request, in detectorInput) (none, error) {
	var c check
	c.enum("evaluationFrequency", in.Frequency, slices.Sorted(maps.Keys(frequencies))...)
	c.number("anomalyVisibilityTime", in.VisibilityTime, 7, 90, 21)
	if in.Enabled == nil {
		c.fault("null", "enabled", "Member must not be null")
	}
	if err := c.err(); err != nil {
		return none{}, err
	}
	if _, err := compilePattern(in.FilterPattern); err != nil {
		return none{}, badPattern(err)
	}
	d, err := s.detector(ctx, r, in.AnomalyDetectorARN)
	if err != nil {
		return none{}, err
	}
	if in.Frequency != "" {
		d.is.Frequency = in.Frequency
	}
	if in.FilterPattern != "" {
		d.is.FilterPattern = in.FilterPattern
	}
	if in.VisibilityTime != nil {
		d.is.VisibilityTime = *in.VisibilityTime
	}
	switch {
	case !*in.Enabled:
		d.is.Status = "PAUSED"
	case d.is.Status == "PAUSED":
		d.is.Status = "INITIALIZING"
	}
	d.is.Modified = time.Now().UnixMilli()
	_, err = define(ctx, s, d.Environment, kindDetector, d.Scope, d.Name, d.is, 0)
	return none{}, err
}

func (s *Server) deleteLogAnomalyDetector(ctx context.Context, r *awsapi.Request, in detectorInput) (none, error) {
	d, err := s.detector(ctx, r, in.AnomalyDetectorARN)
	if err != nil {
		return none{}, err
	}
	found, err := s.anomalies(ctx, d)
	if err != nil {
		return none{}, err
	}
	for _, a := range found {
		if err := s.remove(ctx, a.Environment, kindAnomaly, a.Scope, a.Name, nil); err != nil {
			return none{}, err
		}
	}
	return none{}, s.remove(ctx, d.Environment, kindDetector, d.Scope, d.Name, errNoDetector)
}

type listDetectorsInput struct {
	FilterLogGroupARN string `json:"filterLogGroupArn"`
	Limit             *int   `json:"limit"`
	NextToken         string `json:"nextToken"`
}

type listDetectorsOutput struct {
	AnomalyDetectors []detectorRow `json:"anomalyDetectors"`
	NextToken        string        `json:"nextToken,omitempty"`
}

func (s *Server) listLogAnomalyDetectors(ctx context.Context, r *awsapi.Request, in listDetectorsInput) (listDetectorsOutput, error) {
	out := listDetectorsOutput{AnomalyDetectors: []detectorRow{}}
	var c check
	limit := c.number("limit", in.Limit, 1, 50, 50)
	if err := c.err(); err != nil {
		return out, err
	}
	group, _ := identified(in.FilterLogGroupARN)
	list, next, err := listed(ctx, s, r.Caller.Environment, kindDetector, in.NextToken, limit, func(d defined[detectorObject]) bool {
		return in.FilterLogGroupARN == "" || d.Scope == group
	})
	for _, d := range list {
		out.AnomalyDetectors = append(out.AnomalyDetectors, rowOfDetector(r, d))
	}
	out.NextToken = next
	return out, err
}

// anomalies returns those of a detector, by pattern.
func (s *Server) anomalies(ctx context.Context, d defined[detectorObject]) ([]defined[anomalyObject], error) {
	all, err := objects[anomalyObject](ctx, s, d.Environment, kindAnomaly)
	return slices.DeleteFunc(all, func(a defined[anomalyObject]) bool {
		return a.Scope != d.Scope || !strings.HasPrefix(a.Name, d.Name+"/")
	}), err
}

type listAnomaliesInput struct {
	AnomalyDetectorARN string `json:"anomalyDetectorArn"`
	SuppressionState   string `json:"suppressionState"`
	Limit              *int   `json:"limit"`
	NextToken          string `json:"nextToken"`
}

type anomalyRow struct {
	AnomalyDetectorARN string   `json:"anomalyDetectorArn"`
	LogGroupARNList    []string `json:"logGroupArnList"`
	anomalyObject
}

type listAnomaliesOutput struct {
	Anomalies []anomalyRow `json:"anomalies"`
	NextToken string       `json:"nextToken,omitempty"`
}

func (s *Server) listAnomalies(ctx context.Context, r *awsapi.Request, in listAnomaliesInput) (listAnomaliesOutput, error) {
	out := listAnomaliesOutput{Anomalies: []anomalyRow{}}
	var c check
	limit := c.number("limit", in.Limit, 1, 50, 50)
	c.enum("suppressionState", in.SuppressionState, "SUPPRESSED", "UNSUPPRESSED")
	if err := c.err(); err != nil {
		return out, err
	}
	var detectors []defined[detectorObject]
	if in.AnomalyDetectorARN != "" {
		d, err := s.detector(ctx, r, in.AnomalyDetectorARN)
		if err != nil {
			return out, err
		}
		detectors = append(detectors, d)
	} else {
		all, err := objects[detectorObject](ctx, s, r.Caller.Environment, kindDetector)
		if err != nil {
			return out, err
		}
		detectors = all
	}
	var all []defined[anomalyObject]
	now := time.Now().UnixMilli()
	for _, d := range detectors {
		list, err := s.anomalies(ctx, d)
		if err != nil {
			return out, err
		}
		oldest := time.Now().AddDate(0, 0, -d.is.VisibilityTime).UnixMilli()
		for _, a := range list {
			a.is = a.is.at(now)
			if a.is.LastSeen >= oldest && (in.SuppressionState == "" || (in.SuppressionState == "SUPPRESSED") == (a.is.State == "Suppressed")) {
				all = append(all, a)
			}
		}
	}
	slices.SortFunc(all, func(a, b defined[anomalyObject]) int { return comparePlaces(a.place(), b.place()) })
	list, next, err := pageOf(all, "anomalies", in.NextToken, limit)
	if err != nil {
		return out, err
	}
	for _, a := range list {
		if g, err := s.group(ctx, r, a.Scope); err == nil { // else nothing of it is protected any more
			m, err := s.maskerOf(ctx, g)
			if err != nil {
				return out, err
			}
			a.is = a.is.masked(m)
		}
		id, _, _ := strings.Cut(a.Name, "/")
		out.Anomalies = append(out.Anomalies, anomalyRow{detectorARN(&r.Caller, id), []string{groupARN(&r.Caller, a.Scope)}, a.is})
	}
	out.NextToken = next
	return out, nil
}

// masked returns an anomaly without what its group's policies protect.
func (a anomalyObject) masked(m *masker) anomalyObject {
	if pattern := m.mask(a.Pattern); pattern != a.Pattern {
		a.Pattern, a.Regex, a.PatternTokens, a.Description = pattern, patternRegex(pattern), patternTokens(pattern), m.mask(a.Description)
	}
	a.LogSamples = slices.Clone(a.LogSamples)
	for i := range a.LogSamples {
		a.LogSamples[i].Message = m.mask(a.LogSamples[i].Message)
	}
	return a
}

// at returns an anomaly as it is at a time: its suppression may have ended.
func (a anomalyObject) at(now int64) anomalyObject {
	if a.Suppressed && a.SuppressedUntil > 0 && a.SuppressedUntil <= now {
		a.Suppressed, a.SuppressedDate, a.SuppressedUntil, a.IsPatternLevel = false, 0, 0, false
		if a.State == "Suppressed" {
			a.State = "Active"
		}
	}
	return a
}

type updateAnomalyInput struct {
	AnomalyDetectorARN string `json:"anomalyDetectorArn"`
	AnomalyID          string `json:"anomalyId"`
	PatternID          string `json:"patternId"`
	SuppressionType    string `json:"suppressionType"`
	SuppressionPeriod  *struct {
		Value           int    `json:"value"`
		SuppressionUnit string `json:"suppressionUnit"`
	} `json:"suppressionPeriod"`
	Baseline bool `json:"baseline"`
}

// updateAnomaly suppresses an anomaly or a pattern, ends that, or makes it part of what is usual.
func (s *Server) updateAnomaly(ctx context.Context, r *awsapi.Request, in updateAnomalyInput) (none, error) {
	var c check
	c.enum("suppressionType", in.SuppressionType, "LIMITED", "INFINITE")
	if err := c.err(); err != nil {
		return none{}, err
	}
	if (in.AnomalyID == "") == (in.PatternID == "") {
		return none{}, invalid("Exactly one of anomalyId and patternId must be given.")
	}
	d, err := s.detector(ctx, r, in.AnomalyDetectorARN)
	if err != nil {
		return none{}, err
	}
	list, err := s.anomalies(ctx, d)
	if err != nil {
		return none{}, err
	}
	i := slices.IndexFunc(list, func(a defined[anomalyObject]) bool {
		return in.AnomalyID != "" && a.is.ID == in.AnomalyID || in.PatternID != "" && a.is.PatternID == in.PatternID
	})
	if i < 0 {
		return none{}, awsapi.Errorf("ResourceNotFoundException", "The specified anomaly does not exist.")
	}
	a := list[i]
	now := time.Now()
	a.is.Suppressed, a.is.SuppressedDate, a.is.SuppressedUntil, a.is.IsPatternLevel, a.is.State = false, 0, 0, false, "Active"
	switch in.SuppressionType {
	case "INFINITE":
		a.is.Suppressed, a.is.SuppressedDate, a.is.State, a.is.IsPatternLevel = true, now.UnixMilli(), "Suppressed", in.PatternID != ""
	case "LIMITED":
		p := in.SuppressionPeriod
		if p == nil {
			return none{}, invalid("A limited suppression needs a suppressionPeriod.")
		}
		unit, ok := map[string]time.Duration{"SECONDS": time.Second, "MINUTES": time.Minute, "HOURS": time.Hour}[p.SuppressionUnit]
		if !ok || p.Value < 1 || p.Value > 1<<20 {
			return none{}, invalid("A limited suppression needs a suppressionPeriod with a value and a unit of SECONDS, MINUTES or HOURS.")
		}
		a.is.Suppressed, a.is.SuppressedDate, a.is.State, a.is.IsPatternLevel = true, now.UnixMilli(), "Suppressed", in.PatternID != ""
		a.is.SuppressedUntil = now.Add(time.Duration(p.Value) * unit).UnixMilli()
	}
	if in.Baseline {
		a.is.State = "Baseline"
	}
	_, err = define(ctx, s, a.Environment, kindAnomaly, a.Scope, a.Name, a.is, 0)
	return none{}, err
}

// detect runs the detectors that are due until ctx ends.
func (s *Server) detect(ctx context.Context) error {
	tick := time.NewTicker(detectEvery)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			if err := s.detectDue(ctx, now); err != nil && ctx.Err() == nil {
				s.cfg.Log.Error("detect anomalies", "error", err)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// detectDue runs the detectors whose period is over.
func (s *Server) detectDue(ctx context.Context, now time.Time) error {
	environments, err := s.cfg.Meta.LogObjectEnvironments(ctx, kindDetector)
	if err != nil {
		return err
	}
	for _, env := range environments {
		all, err := objects[detectorObject](ctx, s, env, kindDetector)
		if err != nil {
			return err
		}
		for _, d := range all {
			if d.is.Status == "PAUSED" || now.Sub(time.UnixMilli(d.is.LastRun)) < frequencies[d.is.Frequency] {
				continue
			}
			if err := s.evaluate(ctx, d, now); err != nil {
				return fmt.Errorf("detector %s of log group %q: %w", d.Name, d.Scope, err)
			}
		}
	}
	return nil
}

// evaluate looks at the last periods of a detector's group and keeps the anomalies among them. A group
// whose events do not reach back a third of that far is still being learnt.
func (s *Server) evaluate(ctx context.Context, d defined[detectorObject], now time.Time) error {
	step := frequencies[d.is.Frequency]
	to := now.Truncate(step)
	from := to.Add(-detectPeriods * step)
	g, err := s.cfg.Meta.LogGroup(ctx, d.Environment, d.Scope)
	if errors.Is(err, meta.ErrNotFound) {
		return nil // deleted meanwhile
	} else if err != nil {
		return err
	}
	where, err := compilePattern(d.is.FilterPattern)
	if err != nil {
		return err
	}
	q, _, err := s.conditions(ctx, &reading{group: g, where: where, from: from, to: from.Add(detectPeriods * step / 3)})
	if err != nil {
		return err
	}
	q.Stages = append(q.Stages, query.Aggregate{Aggs: []query.Agg{{Name: "n", Op: query.Count}}})
	res, err := s.cfg.Store.Query(ctx, q)
	if err != nil {
		return err
	}
	d.is.Status, d.is.LastRun = "TRAINING", now.UnixMilli()
	if res.Rows[0][0].Int() > 0 {
		d.is.Status = "ANALYZING"
		if err := s.findAnomalies(ctx, d, g, where, from, to, step); err != nil {
			return err
		}
	}
	_, err = define(ctx, s, d.Environment, kindDetector, d.Scope, d.Name, d.is, 0)
	return err
}

func (s *Server) findAnomalies(ctx context.Context, d defined[detectorObject], g meta.LogGroup, where query.Expr, from, to time.Time, step time.Duration) error {
	run, err := s.compile(ctx, asking{environment: d.Environment, account: d.is.Account, names: []string{d.Scope}, text: "pattern @message | anomaly", from: from, to: to.Add(-time.Millisecond)})
	if err != nil {
		return err
	}
	plan, err := insights.Lower(run.tree, run.env)
	if err != nil {
		return err
	}
	if where != nil {
		plan.Stages = append([]query.Stage{query.Filter{Where: where}}, plan.Stages...)
	}
	res, err := s.query(ctx, d.Environment, plan, nil)
	if err != nil {
		return err
	}
	column := map[string]int{}
	for i, c := range plan.Columns {
		column[c.Name] = i
	}
	known, err := s.anomalies(ctx, d)
	if err != nil {
		return err
	}
	byPattern := map[string]anomalyObject{}
	for _, a := range known {
		byPattern[a.is.PatternID] = a.is.at(to.UnixMilli())
	}
	touched := map[string]bool{}
	for _, row := range res.Rows {
		pattern := row[column["@pattern"]].Text()
		at := int64(0)
		if n, ok := row[column["@anomalyTime"]].Number(); ok {
			at = int64(n)
		}
		sum := md5.Sum([]byte(pattern))
		id := hex.EncodeToString(sum[:])
		a, ok := byPattern[id]
		if !ok && len(byPattern) >= maxAnomalies {
			continue
		}
		if !ok || at-a.LastSeen > detectPeriods*step.Milliseconds() {
			state, kept := "Active", a
			a = anomalyObject{ID: awsapi.NewRequestID(), PatternID: id, Pattern: pattern, Regex: patternRegex(pattern), FirstSeen: at, Histogram: map[string]int64{}, PatternTokens: patternTokens(pattern)}
			if ok && kept.State != "Active" { // what was said of the pattern still holds
				state, a.Suppressed, a.SuppressedDate, a.SuppressedUntil, a.IsPatternLevel = kept.State, kept.Suppressed, kept.SuppressedDate, kept.SuppressedUntil, kept.IsPatternLevel
			}
			a.State = state
		}
		score, _ := row[column["@anomalyScore"]].Number()
		count, _ := row[column["@count"]].Number()
		a.FirstSeen, a.LastSeen = min(a.FirstSeen, at), max(a.LastSeen, at)
		a.Histogram[strconv.FormatInt(at, 10)] = int64(count)
		a.Description = row[column["@description"]].Text()
		a.Priority = priorityOf(score, row[column["@severityLabel"]].Text())
		if len(a.LogSamples) == 0 {
			if a.LogSamples, err = s.samples(ctx, g, a.Regex, time.UnixMilli(at), step); err != nil {
				return err
			}
		}
		byPattern[id] = a
		touched[id] = true
	}
	for id, a := range byPattern {
		active := to.UnixMilli()-a.LastSeen <= 2*step.Milliseconds()
		if !touched[id] && a.Active == active {
			continue
		}
		a.Active = active
		if _, err := define(ctx, s, d.Environment, kindAnomaly, d.Scope, d.Name+"/"+id, a, 0); err != nil {
			return err
		}
	}
	return nil
}

func priorityOf(score float64, severity string) string {
	switch {
	case severity == "FATAL" || severity == "ERROR" || score >= 12:
		return "HIGH"
	case severity == "WARN" || score >= 6:
		return "MEDIUM"
	}
	return "LOW"
}

// dynamicToken is a place of a pattern that stands for different texts.
var dynamicToken = regexp.MustCompile(`<[A-Za-z0-9]+-(\d+)>`)

func patternRegex(pattern string) string {
	var b strings.Builder
	last := 0
	for _, m := range dynamicToken.FindAllStringIndex(pattern, -1) {
		b.WriteString(regexp.QuoteMeta(pattern[last:m[0]]) + ".*?")
		last = m[1]
	}
	return "^" + b.String() + regexp.QuoteMeta(pattern[last:]) + "$"
}

func patternTokens(pattern string) []patternToken {
	out := []patternToken{}
	last := 0
	add := func(text string) {
		if text != "" {
			out = append(out, patternToken{TokenString: text})
		}
	}
	for _, m := range dynamicToken.FindAllStringSubmatchIndex(pattern, -1) {
		add(pattern[last:m[0]])
		n, _ := strconv.Atoi(pattern[m[2]:m[3]])
		out = append(out, patternToken{n, true, pattern[m[0]:m[1]]})
		last = m[1]
	}
	add(pattern[last:])
	return out
}

// samples returns a few events of a period that a pattern stands for.
func (s *Server) samples(ctx context.Context, g meta.LogGroup, pattern string, at time.Time, step time.Duration) ([]logSample, error) {
	re, err := regexp.Compile("(?s)" + pattern)
	if err != nil {
		return []logSample{}, nil // longer than regular expressions may be
	}
	p, err := s.read(ctx, reading{group: g, where: query.Match{X: query.Field{Name: fieldMessage}, Re: re}, from: at, to: at.Add(step), limit: maxSamples})
	out := []logSample{}
	for i := range p.events {
		out = append(out, logSample{p.events[i].millis(), p.events[i].message})
	}
	return out, err
}
