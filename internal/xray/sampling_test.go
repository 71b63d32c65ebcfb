package xray_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/xray"
)

const anyRule = `"ResourceARN":"*","ServiceName":"*","ServiceType":"*","Host":"*","HTTPMethod":"*","URLPath":"*","Version":1`

func TestMatchSampling(t *testing.T) {
	f := start(t, t.TempDir())
	for _, rule := range []string{
		`"RuleName":"carts","Priority":10,"FixedRate":1,"ReservoirSize":3,"ServiceName":"cart*","HTTPMethod":"POST","URLPath":"/carts/?/items","Attributes":{"tenant":"gold*"}`,
		`"RuleName":"host","Priority":20,"FixedRate":0.5,"ReservoirSize":0,"Host":"*.example.com","ServiceType":"AWS::EC2::Instance"`,
	} {
		f.ok(t, "/CreateSamplingRule", `{"SamplingRule":{`+anyRule+","+rule+`}}`)
	}
	for _, c := range []struct {
		in      xray.SamplingRequest
		decides string
		differs string // of the rule carts
	}{
		{xray.SamplingRequest{Service: "Cart-Service", Method: "post", Path: "/carts/7/items", Attributes: map[string]string{"tenant": "golden"}}, "carts", ""},
		{xray.SamplingRequest{Service: "cart", Method: "POST", Path: "/carts/77/items", Attributes: map[string]string{"tenant": "gold"}}, "host", "URLPath"},
		{xray.SamplingRequest{Service: "cart", Method: "GET", Host: "www.example.org", Attributes: map[string]string{"tenant": "x"}}, "Default", "HTTPMethod Attributes.tenant"},
		{xray.SamplingRequest{Service: "scart", Host: "a.b.example.com", ServiceType: "AWS::ECS::Container"}, "Default", "ServiceName Attributes.tenant"},
		{xray.SamplingRequest{}, "host", "Attributes.tenant"},
	} {
		list, err := f.server.MatchSampling(t.Context(), c.in)
		if err != nil || len(list) != 3 || list[2].Rule != "Default" {
			t.Fatalf("%v %v", list, err)
		}
		decides := ""
		for _, m := range list {
			if m.Decides {
				decides += m.Rule
			}
		}
		if got := strings.Join(list[0].Differs, " "); decides != c.decides || got != c.differs {
			t.Errorf("%+v: %s decides, carts differs in %q; want %s, %q", c.in, decides, got, c.decides, c.differs)
		}
	}
}

// TestSamplingSurvives reports, restarts, and finds statistics and shares again.
func TestSamplingSurvives(t *testing.T) {
	dir := t.TempDir()
	report := func(f *fixture, client string, requests, borrowed, sampled int) map[string]any {
		t.Helper()
		out := f.ok(t, "/SamplingTargets", fmt.Sprintf(`{"SamplingStatisticsDocuments":[{"RuleName":"r","ClientID":%q,"Timestamp":%d,"RequestCount":%d,"BorrowCount":%d,"SampledCount":%d}]}`,
			client, time.Now().Unix(), requests, borrowed, sampled))
		return out["SamplingTargetDocuments"].([]any)[0].(map[string]any)
	}
	t.Run("before", func(t *testing.T) {
		f := start(t, dir)
		f.ok(t, "/CreateSamplingRule", `{"SamplingRule":{`+anyRule+`,"RuleName":"r","Priority":10,"FixedRate":0.1,"ReservoirSize":10}}`)
		if got := report(f, "one", 300, 1, 30)["ReservoirQuota"]; got != 10.0 {
			t.Errorf("the only client has a quota of %v, want 10", got)
		}
	})
	f := start(t, dir)
	if got := report(f, "two", 100, 2, 10)["ReservoirQuota"]; got != 3.0 && got != 2.0 {
		t.Errorf("a second client after a restart has a quota of %v, want its share by demand", got)
	}
	sum := map[string]float64{}
	for _, s := range f.ok(t, "/SamplingStatisticSummaries", "")["SamplingStatisticSummaries"].([]any) {
		s := s.(map[string]any)
		if at := s["Timestamp"].(float64); int64(at)%10 != 0 || s["RuleName"] != "r" {
			t.Errorf("window %v", s)
		}
		for _, k := range []string{"RequestCount", "BorrowCount", "SampledCount"} {
			sum[k] += s[k].(float64)
		}
	}
	if want := map[string]float64{"RequestCount": 400, "BorrowCount": 3, "SampledCount": 40}; !reflect.DeepEqual(sum, want) {
		t.Errorf("statistics %v, want %v", sum, want)
	}
	if err := f.server.Tend(t.Context(), time.Now().Add(2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if n := len(f.ok(t, "/SamplingStatisticSummaries", "")["SamplingStatisticSummaries"].([]any)); n != 0 {
		t.Errorf("%d windows after two hours", n)
	}
}

func TestSamplingBoost(t *testing.T) {
	f := start(t, t.TempDir())
	f.ok(t, "/CreateSamplingRule", `{"SamplingRule":{`+anyRule+`,"RuleName":"plain","Priority":9,"FixedRate":0.01,"ReservoirSize":1}}`)
	f.ok(t, "/CreateSamplingRule", `{"SamplingRule":{`+anyRule+`,"RuleName":"r","Priority":10,"FixedRate":0.01,"ReservoirSize":1,"SamplingRateBoost":{"MaxRate":0.25,"CooldownWindowMinutes":5}}}`)
	ask := func(rule string, anomalies, sampled int) (map[string]any, []any) {
		t.Helper()
		now := time.Now().Unix()
		out := f.ok(t, "/SamplingTargets", fmt.Sprintf(`{"SamplingStatisticsDocuments":[{"RuleName":"plain","ClientID":"c","Timestamp":%d,"RequestCount":1,"SampledCount":1},{"RuleName":"r","ClientID":"c","Timestamp":%d,"RequestCount":1,"SampledCount":1}],
			"SamplingBoostStatisticsDocuments":[{"RuleName":%q,"ServiceName":"front","Timestamp":%d,"AnomalyCount":%d,"TotalCount":1000,"SampledAnomalyCount":%d}]}`, now, now, rule, now, anomalies, sampled))
		for _, d := range out["SamplingTargetDocuments"].([]any) {
			if d := d.(map[string]any); d["RuleName"] == rule {
				boost, _ := d["SamplingBoost"].(map[string]any)
				return boost, out["UnprocessedBoostStatistics"].([]any)
			}
		}
		return nil, out["UnprocessedBoostStatistics"].([]any)
	}
	for _, c := range []struct {
		rule               string
		anomalies, sampled int
	}{{"plain", 100, 0}, {"r", 0, 0}, {"r", 5, 5}, {"r", 500, 10}} {
		if boost, refused := ask(c.rule, c.anomalies, c.sampled); boost != nil || len(refused) > 0 {
			t.Errorf("%+v: boost %v, refused %v", c, boost, refused)
		}
	}
	boost, _ := ask("r", 100, 0)
	ttl, _ := boost["BoostRateTTL"].(float64)
	if left := ttl - float64(time.Now().Unix()); boost["BoostRate"] != 0.1 || left < 50 || left > 61 {
		t.Errorf("boost %v", boost)
	}
	if again, _ := ask("r", 20, 0); fmt.Sprint(again) != fmt.Sprint(boost) {
		t.Errorf("while it is good: %v, want %v", again, boost)
	}
	list, err := f.server.MatchSampling(t.Context(), xray.SamplingRequest{})
	if err != nil || list[1].Boosts["front"] != 0.1 {
		t.Errorf("the tester shows %v, %v", list, err)
	}
	// Its time passes, its cooldown does not.
	kept, err := f.meta.SamplingBoosts(t.Context(), "r")
	if err != nil || len(kept) != 1 {
		t.Fatalf("%v %v", kept, err)
	}
	kept[0].Given, kept[0].Expires = time.Now().Add(-2*time.Minute), time.Now().Add(-time.Minute)
	if err := f.meta.PutSamplingBoost(t.Context(), kept[0]); err != nil {
		t.Fatal(err)
	}
	if boost, _ := ask("r", 100, 0); boost != nil {
		t.Errorf("in the cooldown: %v", boost)
	}
	kept[0].Given = time.Now().Add(-6 * time.Minute)
	if err := f.meta.PutSamplingBoost(t.Context(), kept[0]); err != nil {
		t.Fatal(err)
	}
	if boost, _ := ask("r", 20, 0); boost["BoostRate"] != 0.25 {
		t.Errorf("after the cooldown: %v, want the rule's largest", boost)
	}
	if _, refused := ask("none", 1, 0); len(refused) != 1 || refused[0].(map[string]any)["ErrorCode"] != "404" {
		t.Errorf("refused %v", refused)
	}
}
