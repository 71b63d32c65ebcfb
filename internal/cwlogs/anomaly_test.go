package cwlogs_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestAnomalyDetectors(t *testing.T) {
	r := newRig(t)
	r.call("CreateLogGroup", `{"logGroupName":"g"}`, nil)
	r.stream("g", "s")
	const group = "arn:aws:logs:us-east-1:000000000000:log-group:g"
	var made struct{ AnomalyDetectorARN string }
	r.call("CreateLogAnomalyDetector", `{"logGroupArnList":["`+group+`"],"detectorName":"d","evaluationFrequency":"ONE_MIN","filterPattern":"-noise"}`, &made)
	r.refused("CreateLogAnomalyDetector", `{"logGroupArnList":["`+group+`x"]}`, "ResourceNotFoundException", "The specified log group")
	r.refused("CreateLogAnomalyDetector", `{"logGroupArnList":["`+group+`"],"anomalyVisibilityTime":3}`, "InvalidParameterException", "1 validation error")
	get := func() (out struct {
		AnomalyDetectorStatus, EvaluationFrequency, DetectorName string
		LogGroupARNList                                          []string
		AnomalyVisibilityTime                                    int
	}) {
		r.call("GetLogAnomalyDetector", fmt.Sprintf(`{"anomalyDetectorArn":%q}`, made.AnomalyDetectorARN), &out)
		return out
	}
	if d := get(); d.AnomalyDetectorStatus != "INITIALIZING" || d.AnomalyVisibilityTime != 21 || d.LogGroupARNList[0] != group || d.DetectorName != "d" {
		t.Errorf("%+v", d)
	}
	end := time.Now().Truncate(time.Minute)
	if err := r.logs.DetectDue(t.Context(), end.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if d := get(); d.AnomalyDetectorStatus != "TRAINING" {
		t.Errorf("without events it is %s", d.AnomalyDetectorStatus)
	}
	// An order a second for half an hour, and in the last minute but one a hundred failures.
	var events []inEvent
	for i := range 1800 {
		at := end.Add(time.Duration(i-1800) * time.Second)
		events = append(events, inEvent{at.UnixMilli(), fmt.Sprintf("order %d of user-%d paid", 1000+i, i%7)})
		if i >= 1680 && i < 1780 {
			events = append(events, inEvent{at.UnixMilli(), fmt.Sprintf("ERROR payment %d declined by bank", i)}, inEvent{at.UnixMilli(), fmt.Sprintf("noise ERROR %d", i)})
		}
	}
	r.put("g", "s", events...)
	if err := r.logs.DetectDue(t.Context(), end.Add(65*time.Second)); err != nil {
		t.Fatal(err)
	}
	if d := get(); d.AnomalyDetectorStatus != "ANALYZING" {
		t.Errorf("with events it is %s", d.AnomalyDetectorStatus)
	}
	type anomaly struct {
		AnomalyID, PatternID, PatternString, PatternRegex, Priority, State, Description string
		Active                                                                          bool
		FirstSeen, LastSeen                                                             int64
		Histogram                                                                       map[string]int
		LogSamples                                                                      []struct{ Message string }
		PatternTokens                                                                   []struct {
			IsDynamic   bool
			TokenString string
		}
		Suppressed bool
	}
	list := func(more string) []anomaly {
		var out struct{ Anomalies []anomaly }
		r.call("ListAnomalies", fmt.Sprintf(`{"anomalyDetectorArn":%q%s}`, made.AnomalyDetectorARN, more), &out)
		return out.Anomalies
	}
	found := list("")
	if len(found) != 1 {
		t.Fatalf("%+v", found)
	}
	a := found[0]
	if !strings.HasPrefix(a.PatternString, "ERROR payment <") || a.Priority != "HIGH" || a.State != "Active" || !a.Active || len(a.PatternID) != 32 || len(a.LogSamples) != 10 || len(a.Histogram) == 0 {
		t.Errorf("%+v", a)
	}
	if !regexp.MustCompile(a.PatternRegex).MatchString(a.LogSamples[0].Message) || len(a.PatternTokens) < 2 || !a.PatternTokens[1].IsDynamic {
		t.Errorf("%s %q %+v", a.PatternRegex, a.LogSamples[0].Message, a.PatternTokens)
	}
	r.call("UpdateAnomaly", fmt.Sprintf(`{"anomalyDetectorArn":%q,"patternId":%q,"suppressionType":"LIMITED","suppressionPeriod":{"value":1,"suppressionUnit":"HOURS"}}`, made.AnomalyDetectorARN, a.PatternID), nil)
	if s := list(`,"suppressionState":"SUPPRESSED"`); len(s) != 1 || !s[0].Suppressed || s[0].State != "Suppressed" {
		t.Errorf("%+v", s)
	}
	if s := list(`,"suppressionState":"UNSUPPRESSED"`); len(s) != 0 {
		t.Errorf("%+v", s)
	}
	r.call("UpdateAnomaly", fmt.Sprintf(`{"anomalyDetectorArn":%q,"anomalyId":%q}`, made.AnomalyDetectorARN, a.AnomalyID), nil)
	if s := list(""); s[0].State != "Active" || s[0].Suppressed {
		t.Errorf("%+v", s)
	}
	r.refused("UpdateAnomaly", fmt.Sprintf(`{"anomalyDetectorArn":%q,"anomalyId":"none"}`, made.AnomalyDetectorARN), "ResourceNotFoundException", "The specified anomaly")
	// What is protected later is hidden, too.
	r.call("PutDataProtectionPolicy", fmt.Sprintf(`{"logGroupIdentifier":"g","policyDocument":%q}`, strings.Replace(protection, `EID-\\d{4}`, "by bank", 1)), nil)
	if s := list("")[0]; !strings.HasSuffix(s.PatternString, " declined *******") || s.LogSamples[0].Message != strings.Replace(a.LogSamples[0].Message, "by bank", "*******", 1) ||
		!regexp.MustCompile(s.PatternRegex).MatchString(s.LogSamples[0].Message) || strings.Contains(fmt.Sprint(s), "by bank") {
		t.Errorf("%+v", s)
	}
	r.call("DeleteDataProtectionPolicy", `{"logGroupIdentifier":"g"}`, nil)
	// It passes, and the detector goes on after a restart.
	r.restart()
	if err := r.logs.DetectDue(t.Context(), end.Add(10*time.Minute)); err != nil {
		t.Fatal(err)
	}
	if s := list(""); len(s) == 0 || s[len(s)-1].Active && strings.HasPrefix(s[len(s)-1].PatternString, "ERROR") {
		t.Errorf("%+v", s)
	}
	r.call("UpdateLogAnomalyDetector", fmt.Sprintf(`{"anomalyDetectorArn":%q,"enabled":false}`, made.AnomalyDetectorARN), nil)
	if d := get(); d.AnomalyDetectorStatus != "PAUSED" {
		t.Errorf("%+v", d)
	}
	var detectors struct{ AnomalyDetectors []map[string]any }
	r.call("ListLogAnomalyDetectors", `{"filterLogGroupArn":"`+group+`"}`, &detectors)
	if len(detectors.AnomalyDetectors) != 1 || detectors.AnomalyDetectors[0]["anomalyDetectorArn"] != made.AnomalyDetectorARN {
		t.Errorf("%v", detectors)
	}
	r.call("DeleteLogAnomalyDetector", fmt.Sprintf(`{"anomalyDetectorArn":%q}`, made.AnomalyDetectorARN), nil)
	r.refused("DeleteLogAnomalyDetector", fmt.Sprintf(`{"anomalyDetectorArn":%q}`, made.AnomalyDetectorARN), "ResourceNotFoundException", "The specified anomaly detector")
	r.refused("ListAnomalies", fmt.Sprintf(`{"anomalyDetectorArn":%q}`, made.AnomalyDetectorARN), "ResourceNotFoundException", "The specified anomaly detector")
}
