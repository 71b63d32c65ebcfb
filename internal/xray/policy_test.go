package xray_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// putPolicy puts a policy and returns the code of the error, empty for none; extra are members of the
// request.
func (f *fixture) putPolicy(t *testing.T, document, extra string) string {
	t.Helper()
	text, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	_, code := f.call(t, "/PutResourcePolicy", `{"PolicyName":"p","PolicyDocument":`+string(text)+extra+`}`)
	return code
}

func TestPolicyLockout(t *testing.T) {
	const lockout = "LockoutPreventionException"
	f := start(t, t.TempDir())
	deny := func(rest string) string {
		return `{"Version":"2012-10-17","Statement":[{"Sid":"a","Effect":"Allow","Principal":"*","Action":"xray:*","Resource":"*"},{"Effect":"Deny",` + rest + `}]}`
	}
	everyone := func(rest string) string { return deny(`"Principal":"*",` + rest) }
	all := `"Action":"*","Resource":"*"`
	for name, x := range map[string]struct{ policy, want string }{
		"the example of the guide": {`{"Version":"2012-10-17","Statement":[{"Sid":"SNSAccess","Effect":"Allow","Principal":{"Service":"sns.amazonaws.com"},"Action":["xray:PutTraceSegments","xray:GetSamplingRules","xray:GetSamplingTargets"],"Resource":"*","Condition":{"StringEquals":{"aws:SourceAccount":"123456789012"},"StringLike":{"aws:SourceArn":"arn:aws:sns:us-east-1:123456789012:*"}}}]}`, ""},
		"one statement":            {`{"Statement":{"Effect":"Allow","Principal":"*",` + all + `}}`, ""},
		"everything":               {everyone(all), lockout},
		"the action":               {everyone(`"Action":["xray:GetGroup","xray:PutResourcePolicy"],"Resource":["*"]`), lockout},
		"case of actions":          {everyone(`"Action":"XRAY:putresourcepolicy","Resource":"*"`), lockout},
		"wildcards":                {everyone(`"Action":"xray:Put*Polic?","Resource":"*"`), lockout},
		"other actions":            {everyone(`"Action":["xray:Get*","logs:PutResourcePolicy","xray:PutResource"],"Resource":"*"`), ""},
		"all but":                  {everyone(`"NotAction":"xray:PutTraceSegments","Resource":"*"`), lockout},
		"all but this":             {everyone(`"NotAction":"xray:Put*","Resource":"*"`), ""},
		"groups":                   {everyone(`"Action":"*","Resource":"arn:aws:xray:*:*:group/*"`), ""},
		"not groups":               {everyone(`"Action":"*","NotResource":"arn:aws:xray:*:*:group/*"`), lockout},
		"the account":              {deny(`"Principal":{"AWS":"123456789012"},` + all), lockout},
		"the root":                 {deny(`"Principal":{"AWS":["arn:aws:iam::111111111111:root","arn:aws:iam::123456789012:root"]},` + all), lockout},
		"another account":          {deny(`"Principal":{"AWS":"111111111111"},` + all), ""},
		"a service":                {deny(`"Principal":{"Service":"sns.amazonaws.com"},` + all), ""},
		"not a service":            {deny(`"NotPrincipal":{"Service":"sns.amazonaws.com"},` + all), lockout},
		"not us":                   {deny(`"NotPrincipal":{"AWS":"arn:aws:iam::123456789012:root"},` + all), ""},
		"our account":              {everyone(all + `,"Condition":{"StringEquals":{"aws:PrincipalAccount":["1","123456789012"]}}`), lockout},
		"accounts but ours":        {everyone(all + `,"Condition":{"StringNotEquals":{"AWS:principalaccount":"123456789012"}}`), ""},
		"accounts but another":     {everyone(all + `,"Condition":{"StringNotEquals":{"aws:PrincipalAccount":"111111111111"}}`), lockout},
		"a user's name":            {everyone(all + `,"Condition":{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:user/*"}}`), ""},
		"but users":                {everyone(all + `,"Condition":{"ArnNotLike":{"aws:PrincipalArn":"arn:aws:iam::*:user/*"}}`), lockout},
		"but calls of services":    {everyone(all + `,"Condition":{"StringNotLike":{"aws:SourceAccount":"*"}}`), lockout},
		"calls of services":        {everyone(all + `,"Condition":{"StringLike":{"aws:SourceAccount":"*"}}`), ""},
		"no source":                {everyone(all + `,"Condition":{"Null":{"aws:SourceArn":true}}`), lockout},
		"some addresses":           {everyone(all + `,"Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}`), ""},
		"two conditions":           {everyone(all + `,"Condition":{"StringEquals":{"aws:PrincipalAccount":"123456789012"},"Bool":{"aws:SecureTransport":false}}`), ""},
	} {
		if code := f.putPolicy(t, x.policy, ""); code != x.want {
			t.Errorf("%s: %q, want %q", name, code, x.want)
		}
		if code := f.putPolicy(t, x.policy, `,"BypassPolicyLockoutCheck":true`); code != "" {
			t.Errorf("%s: %q though the check was not wanted", name, code)
		}
	}
}

func TestMalformedPolicies(t *testing.T) {
	f := start(t, t.TempDir())
	one := `"Effect":"Allow","Principal":"*","Action":"xray:*","Resource":"*"`
	if code := f.putPolicy(t, `{"Statement":{`+one+`}}`, ""); code != "" {
		t.Fatal(code)
	}
	bad := []string{``, `x`, `null`, `[]`, `{}`, `{"Statement":null}`, `{"Statement":[]}`, `{"Statement":[null]}`, `{"Statement":"x"}`, `{"Statement":[{}]}`,
		`{"Version":"2013-01-01","Statement":{` + one + `}}`, `{"Version":2,"Statement":{` + one + `}}`, `{"Id":5,"Statement":{` + one + `}}`, `{"Rules":1,"Statement":{` + one + `}}`,
		`{"Statement":{` + one + `,"NotAction":"xray:*"}}`, `{"Statement":{` + one + `,"Sid":1}}`, `{"Statement":{` + one + `,"Who":"x"}}`,
		`{"Statement":{` + one + `,"Condition":[]}}`, `{"Statement":{` + one + `,"Condition":{"StringEquals":{"a":{}}}}}`, `{"Statement":{` + one + `,"Condition":{"StringEquals":{"a":[null]}}}}`}
	for _, x := range [][2]string{{`"Allow"`, `"allow"`}, {`"Effect":"Allow",`, ``}, {`"Principal":"*",`, ``}, {`"Principal":"*"`, `"Principal":"me"`}, {`"Principal":"*"`, `"Principal":{}`},
		{`"Principal":"*"`, `"Principal":{"Aws":"*"}`}, {`"Principal":"*"`, `"Principal":{"AWS":[]}`}, {`"Principal":"*"`, `"Principal":null`},
		{`"xray:*"`, `"xray"`}, {`"xray:*"`, `[]`}, {`"xray:*"`, `5`}, {`"xray:*"`, `null`}, {`"Resource":"*"`, `"Resource":"x"`}, {`,"Resource":"*"`, ``}} {
		if s := strings.Replace(one, x[0], x[1], 1); s == one {
			t.Fatalf("%s changes nothing", x[0])
		} else {
			bad = append(bad, `{"Statement":{`+s+`}}`)
		}
	}
	for _, doc := range bad {
		if code := f.putPolicy(t, doc, ""); code != "MalformedPolicyDocumentException" {
			t.Errorf("%s: %q", doc, code)
		}
	}
}
