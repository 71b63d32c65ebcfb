package xray

import (
	"context"
	"strings"
)

// SamplingRequest is what a sampling rule is matched with. An empty part is not known and matches
// everything, as in X-Ray's SDKs.
type SamplingRequest struct {
	Service, ServiceType, Host, Method, Path, ResourceARN string
	Attributes                                            map[string]string
}

// SamplingMatch says what a rule would do with a request.
type SamplingMatch struct {
	Rule          string
	Priority      int64
	FixedRate     float64
	ReservoirSize int64
	// Differs names what of the rule the request does not match; none for a match.
	Differs []string
	// Decides is whether the rule is the first that matches.
	Decides bool
	// Boosts are the rates that services have for a while, by name.
	Boosts map[string]float64
}

// MatchSampling tells of every rule, in the order in which they are tried, whether it matches a
// request.
func (s *Server) MatchSampling(ctx context.Context, r SamplingRequest) ([]SamplingMatch, error) {
	list, err := s.rules(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]SamplingMatch, len(list))
	decided := false
	for i, rule := range list {
		m := SamplingMatch{Rule: rule.RuleName, Priority: rule.Priority, FixedRate: rule.FixedRate, ReservoirSize: rule.ReservoirSize, Differs: []string{}}
		for _, x := range []struct{ name, pattern, value string }{
			{"ServiceName", rule.ServiceName, r.Service}, {"ServiceType", rule.ServiceType, r.ServiceType}, {"Host", rule.Host, r.Host},
			{"HTTPMethod", rule.HTTPMethod, r.Method}, {"URLPath", rule.URLPath, r.Path}, {"ResourceARN", rule.ResourceARN, r.ResourceARN},
		} {
			if x.value != "" && !wildcard(x.pattern, x.value) {
				m.Differs = append(m.Differs, x.name)
			}
		}
		for _, k := range sortedKeys(rule.Attributes) {
			if v, ok := r.Attributes[k]; !ok || !wildcard(rule.Attributes[k], v) {
				m.Differs = append(m.Differs, "Attributes."+k)
			}
		}
		m.Decides = !decided && len(m.Differs) == 0
		decided = decided || m.Decides
		boosts, err := s.boosted(ctx, rule.RuleName)
		if err != nil {
			return nil, err
		}
		m.Boosts = boosts
		out[i] = m
	}
	return out, nil
}

// wildcard reports whether text is as pattern says, in which * stands for any characters and ? for
// one. Letters may be of either case.
func wildcard(pattern, text string) bool {
	p, t := []rune(strings.ToLower(pattern)), []rune(strings.ToLower(text))
	at, star, mark := 0, -1, 0
	for i := 0; i < len(t); {
		switch {
		case at < len(p) && p[at] == '*':
			star, mark = at, i
			at++
		case at < len(p) && (p[at] == '?' || p[at] == t[i]):
			at++
			i++
		case star >= 0:
			mark++
			at, i = star+1, mark
		default:
			return false
		}
	}
	for at < len(p) && p[at] == '*' {
		at++
	}
	return at == len(p)
}
