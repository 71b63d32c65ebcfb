package xray

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/query"
)

// statement is a statement of a resource policy, in the grammar of IAM's JSON policies. The lists of
// an element that is not there are nil.
type statement struct {
	deny                      bool
	principals, notPrincipals []string // of accounts and their users; services and federations are left out
	actions, notActions       []string
	resources, notResources   []string
	conditions                []condition
}

// condition is one key of a condition block: it compares the key's value with one of values.
type condition struct {
	operator, key string
	values        []string
}

var actionForm = regexp.MustCompile(`^(\*|[A-Za-z0-9-]+:[A-Za-z0-9*?]+)$`)

// parsePolicy reads a policy; the error says what of it is malformed.
func parsePolicy(text string) ([]statement, error) {
	var doc map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &doc); err != nil || doc == nil {
		return nil, errors.New("it must be a JSON object")
	}
	for _, name := range sortedKeys(doc) {
		switch name {
		case "Statement":
		case "Id", "Version":
			var v string
			if json.Unmarshal(doc[name], &v) != nil || name == "Version" && v != "2012-10-17" && v != "2008-10-17" {
				return nil, fmt.Errorf("%s is not valid", name)
			}
		default:
			return nil, fmt.Errorf("there is no element %q", name)
		}
	}
	var list []map[string]json.RawMessage
	if json.Unmarshal(doc["Statement"], &list) != nil {
		list = make([]map[string]json.RawMessage, 1)
		if json.Unmarshal(doc["Statement"], &list[0]) != nil {
			return nil, errors.New("the Statement must be a statement or a list of them")
		}
	}
	if len(list) == 0 {
		return nil, errors.New("the Statement is empty")
	}
	out := make([]statement, len(list))
	for i, members := range list {
		if err := out[i].read(members); err != nil {
			return nil, fmt.Errorf("statement %d: %w", i+1, err)
		}
	}
	return out, nil
}

func (s *statement) read(members map[string]json.RawMessage) error {
	for _, name := range sortedKeys(members) {
		raw := members[name]
		var err error
		switch name {
		case "Sid":
			var sid string
			err = json.Unmarshal(raw, &sid)
		case "Effect":
			var effect string
			if err = json.Unmarshal(raw, &effect); err == nil && effect != "Allow" && effect != "Deny" {
				return errors.New("the Effect must be Allow or Deny")
			}
			s.deny = effect == "Deny"
		case "Principal":
			s.principals, err = readPrincipals(raw)
		case "NotPrincipal":
			s.notPrincipals, err = readPrincipals(raw)
		case "Action":
			s.actions, err = readTexts(raw)
		case "NotAction":
			s.notActions, err = readTexts(raw)
		case "Resource":
			s.resources, err = readTexts(raw)
		case "NotResource":
			s.notResources, err = readTexts(raw)
		case "Condition":
			s.conditions, err = readConditions(raw)
		default:
			return fmt.Errorf("there is no element %q", name)
		}
		if err != nil {
			return fmt.Errorf("%s is not valid", name)
		}
	}
	if members["Effect"] == nil {
		return errors.New("the Effect is missing")
	}
	for _, name := range []string{"Principal", "Action", "Resource"} {
		if (members[name] == nil) == (members["Not"+name] == nil) {
			return fmt.Errorf("it needs one of %s and Not%s", name, name)
		}
	}
	for _, a := range slices.Concat(s.actions, s.notActions) {
		if !actionForm.MatchString(a) {
			return fmt.Errorf("%q is not an action", a)
		}
	}
	for _, r := range slices.Concat(s.resources, s.notResources) {
		if r != "*" && strings.Count(r, ":") < 5 {
			return fmt.Errorf("%q is not a resource", r)
		}
	}
	return nil
}

// readTexts reads a string or a list of some.
func readTexts(raw json.RawMessage) ([]string, error) {
	var one string
	if json.Unmarshal(raw, &one) == nil && string(raw) != "null" {
		return []string{one}, nil
	}
	var list []string
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, errors.New("empty")
	}
	return list, nil
}

// readPrincipals reads "*" or lists by kind; of these the accounts are returned, never nil.
func readPrincipals(raw json.RawMessage) ([]string, error) {
	var all string
	if json.Unmarshal(raw, &all) == nil {
		if all != "*" {
			return nil, errors.New("a principal by itself must be *")
		}
		return []string{all}, nil
	}
	var kinds map[string]json.RawMessage
	if err := json.Unmarshal(raw, &kinds); err != nil {
		return nil, err
	}
	if len(kinds) == 0 {
		return nil, errors.New("empty")
	}
	out := []string{}
	for kind, raw := range kinds {
		list, err := readTexts(raw)
		if err != nil {
			return nil, err
		}
		switch kind {
		case "AWS":
			out = append(out, list...)
		case "Service", "Federated", "CanonicalUser":
		default:
			return nil, fmt.Errorf("there is no kind %q", kind)
		}
	}
	return out, nil
}

func readConditions(raw json.RawMessage) ([]condition, error) {
	var operators map[string]map[string]json.RawMessage
	if err := json.Unmarshal(raw, &operators); err != nil {
		return nil, err
	}
	var out []condition
	for operator, keys := range operators {
		for key, raw := range keys {
			var list []any
			if json.Unmarshal(raw, &list) != nil {
				list = make([]any, 1)
				if err := json.Unmarshal(raw, &list[0]); err != nil {
					return nil, err
				}
			}
			c := condition{operator: operator, key: strings.ToLower(key)}
			for _, v := range list {
				switch v.(type) {
				case string, bool, float64:
					c.values = append(c.values, fmt.Sprint(v))
				default:
					return nil, errors.New("a value of a condition must be a string, a number or a boolean")
				}
			}
			out = append(out, c)
		}
	}
	return out, nil
}

// policyCaller is a caller of PutResourcePolicy, as policies see one: the root of its account, which is
// also whom STS says that it is.
type policyCaller awsapi.Caller

func (c policyCaller) arn() string { return "arn:aws:iam::" + c.Account + ":root" }

// deniedBy reports whether a statement is sure to deny the caller another PutResourcePolicy. The owner of
// the account needs no statement that allows it.
func (c policyCaller) deniedBy(s statement) bool {
	const action, resource = "xray:PutResourcePolicy", "*" // no resource can be named for this action
	is := func(p string) bool { return p == "*" || p == c.Account || p == c.arn() }
	as := func(value string) func(string) bool {
		return func(pattern string) bool { return wildcard(pattern, value) }
	}
	applies := func(list, not []string, match func(string) bool) bool {
		if not != nil {
			return !slices.ContainsFunc(not, match)
		}
		return slices.ContainsFunc(list, match)
	}
	return s.deny && applies(s.principals, s.notPrincipals, is) &&
		applies(s.actions, s.notActions, as(action)) && applies(s.resources, s.notResources, as(resource)) &&
		!slices.ContainsFunc(s.conditions, func(x condition) bool { return !c.always(x) })
}

// always reports whether a condition is sure to hold for every call of the caller's: what it
// compares is the same for each, and the operator is a known one.
func (c policyCaller) always(x condition) bool {
	operator, ifExists := strings.CutSuffix(x.operator, "IfExists")
	value, there := "", true
	switch x.key {
	case "aws:principalaccount":
		value = c.Account
	case "aws:principalarn":
		value = c.arn()
	case "aws:principaltype":
		value = "Account"
	case "aws:sourceaccount", "aws:sourcearn": // of calls that services of AWS make
		there = false
	default:
		return false
	}
	if operator == "Null" {
		return slices.Contains(x.values, fmt.Sprint(!there))
	}
	var equal func(string) bool
	negated := strings.Contains(operator, "Not")
	switch strings.Replace(operator, "Not", "", 1) {
	case "StringEquals":
		equal = func(v string) bool { return v == value }
	case "StringEqualsIgnoreCase":
		equal = func(v string) bool { return strings.EqualFold(v, value) }
	case "StringLike", "ArnLike", "ArnEquals":
		equal = func(v string) bool { return query.GlobMatch(v, value, true, false) }
	default:
		return false
	}
	if !there {
		return negated || ifExists
	}
	return slices.ContainsFunc(x.values, equal) != negated
}
