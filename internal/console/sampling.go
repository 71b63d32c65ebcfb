package console

import (
	"net/http"
	"strings"

	"github.com/trefoil-o11y/trefoil/internal/xray"
)

type samplingRuleJSON struct {
	Rule      string             `json:"rule"`
	Priority  int64              `json:"priority"`
	FixedRate float64            `json:"fixed_rate"`
	Reservoir int64              `json:"reservoir_size"`
	Differs   []string           `json:"differs"`
	Decides   bool               `json:"decides"`
	Boosts    map[string]float64 `json:"boosts,omitempty"`
}

type samplingJSON struct {
	Rules []samplingRuleJSON `json:"rules"`
}

// sampling tells which sampling rule a request would be decided by.
func (s *Server) sampling(r *http.Request) (any, error) {
	q := r.URL.Query()
	in := xray.SamplingRequest{
		Service: q.Get("service"), ServiceType: q.Get("service_type"), Host: q.Get("host"), Method: q.Get("method"), Path: q.Get("path"), ResourceARN: q.Get("resource_arn"),
		Attributes: map[string]string{},
	}
	for _, a := range q["attribute"] {
		k, v, ok := strings.Cut(a, "=")
		if !ok {
			return nil, badRequest("attribute=%s is not name=value", a)
		}
		in.Attributes[k] = v
	}
	list, err := s.cfg.XRay.MatchSampling(r.Context(), in)
	if err != nil {
		return nil, err
	}
	out := &samplingJSON{[]samplingRuleJSON{}}
	for _, m := range list {
		out.Rules = append(out.Rules, samplingRuleJSON{m.Rule, m.Priority, m.FixedRate, m.ReservoirSize, m.Differs, m.Decides, m.Boosts})
	}
	return out, nil
}
