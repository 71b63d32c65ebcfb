package awsapi_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
)

type echoIn struct{ Text string }

type echoOut struct{ Text, Region, Account string }

func service(mode awsapi.Mode) *awsapi.Service {
	return &awsapi.Service{
		TargetPrefix: "Echo_1.", InternalError: "InternalServerException", MaxBody: 1 << 20, MaxInflated: 1 << 16,
		TooLarge: awsapi.Errorf("InvalidParameterException", "too large"),
		Log:      slog.New(slog.DiscardHandler),
		Auth: &awsapi.Auth{Mode: mode, Account: "000000000000", Environment: "e", Region: "us-east-1", Lookup: func(_ context.Context, id string) (string, string, error) {
			if id != "AKID" {
				return "", "", awsapi.ErrUnknownKey
			}
			return "secret", "mine", nil
		}},
		Operations: map[string]awsapi.Operation{
			"Echo": awsapi.Op(func(_ context.Context, r *awsapi.Request, in echoIn) (echoOut, error) {
				return echoOut{in.Text, r.Caller.Region, r.Caller.Account}, nil
			}),
			"Panic": awsapi.Op(func(context.Context, *awsapi.Request, echoIn) (echoOut, error) { return echoOut{}, io.ErrUnexpectedEOF }),
		},
	}
}

func call(t *testing.T, h http.Handler, change func(*http.Request), op, body string) (int, map[string]string) {
	t.Helper()
	srv := httptest.NewServer(h)
	defer srv.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+"/a b/ü?z=1&a=%2F", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Target", "Echo_1."+op)
	r.Header.Set("X-Spaces", "  a   b ")
	if change != nil {
		change(r)
	}
	res, err := srv.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.Header.Get("x-amzn-RequestId") == "" {
		t.Error("an answer without request id")
	}
	out := map[string]string{}
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, out
}

func signed(t *testing.T, id, secret, body string, at time.Time) func(*http.Request) {
	return func(r *http.Request) {
		sum := sha256.Sum256([]byte(body))
		err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}, r, hex.EncodeToString(sum[:]), "echo", "eu-west-3", at)
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestSignatures(t *testing.T) {
	now := time.Now()
	const body = `{"Text":"x"}`
	for name, c := range map[string]struct {
		mode   awsapi.Mode
		change func(*http.Request)
		code   string // "" means accepted
	}{
		"off, unsigned":        {awsapi.Off, nil, ""},
		"off, wrong":           {awsapi.Off, signed(t, "x", "y", body, now), ""},
		"off, nonsense":        {awsapi.Off, func(r *http.Request) { r.Header.Set("Authorization", "AWS4-HMAC-SHA256 x") }, ""},
		"keys, right":          {awsapi.Keys, signed(t, "AKID", "secret", body, now), ""},
		"keys, old":            {awsapi.Keys, signed(t, "AKID", "secret", body, now.Add(-time.Hour)), ""},
		"strict, right":        {awsapi.Strict, signed(t, "AKID", "secret", body, now), ""},
		"strict, old":          {awsapi.Strict, signed(t, "AKID", "secret", body, now.Add(-time.Hour)), "InvalidSignatureException"},
		"strict, early":        {awsapi.Strict, signed(t, "AKID", "secret", body, now.Add(time.Hour)), "InvalidSignatureException"},
		"strict, wrong secret": {awsapi.Strict, signed(t, "AKID", "other", body, now), "InvalidSignatureException"},
		"strict, wrong key":    {awsapi.Strict, signed(t, "OTHER", "secret", body, now), "UnrecognizedClientException"},
		"strict, other body":   {awsapi.Strict, signed(t, "AKID", "secret", "{}", now), "InvalidSignatureException"},
		"strict, unsigned":     {awsapi.Strict, nil, "MissingAuthenticationTokenException"},
		"strict, nonsense":     {awsapi.Strict, func(r *http.Request) { r.Header.Set("Authorization", "AWS4-HMAC-SHA256 x") }, "IncompleteSignatureException"},
		"strict, header changed": {awsapi.Strict, func(r *http.Request) {
			signed(t, "AKID", "secret", body, now)(r)
			r.Header.Set("X-Spaces", "a c")
		}, "InvalidSignatureException"},
	} {
		status, out := call(t, service(c.mode), c.change, "Echo", body)
		if c.code == "" && (status != http.StatusOK || out["Text"] != "x") || c.code != "" && out["__type"] != c.code {
			t.Errorf("%s: %d %v, want %q", name, status, out, c.code)
		}
		if c.code == "" && c.mode != awsapi.Off && out["Region"] != "eu-west-3" {
			t.Errorf("%s: region %q", name, out["Region"])
		}
	}
}

func TestPresigned(t *testing.T) {
	h := service(awsapi.Strict)
	sum := sha256.Sum256([]byte("{}"))
	presign := func(r *http.Request) {
		q := r.URL.Query()
		q.Set("X-Amz-Expires", "60")
		r.URL.RawQuery = q.Encode()
		uri, _, err := v4.NewSigner().PresignHTTP(t.Context(), aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "secret"}, r, hex.EncodeToString(sum[:]), "echo", "us-east-1", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if r.URL, err = r.URL.Parse(uri); err != nil {
			t.Fatal(err)
		}
	}
	if status, out := call(t, h, presign, "Echo", "{}"); status != http.StatusOK {
		t.Errorf("presigned: %d %v", status, out)
	}
}

func TestBadRequests(t *testing.T) {
	zip := func(s string) string {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write([]byte(s))
		_ = z.Close()
		return b.String()
	}
	asGzip := func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }
	for name, c := range map[string]struct {
		op, body string
		change   func(*http.Request)
		status   int
		code     string
	}{
		"unknown operation": {"Nope", "{}", nil, 400, "UnknownOperationException"},
		"not JSON":          {"Echo", "{", nil, 400, "SerializationException"},
		"wrong type":        {"Echo", `{"Text":5}`, nil, 400, "SerializationException"},
		"too large":         {"Echo", strings.Repeat(" ", 1<<20+1), nil, 400, "InvalidParameterException"},
		"gzip bomb":         {"Echo", zip(strings.Repeat(" ", 1<<24)), asGzip, 400, "InvalidParameterException"},
		"not gzip":          {"Echo", "{}", asGzip, 400, "SerializationException"},
		"internal":          {"Panic", "", nil, 500, "InternalServerException"},
		"gzip":              {"Echo", zip(`{"Text":"y"}`), asGzip, 200, ""},
		"empty":             {"Echo", "", nil, 200, ""},
	} {
		status, out := call(t, service(awsapi.Off), c.change, c.op, c.body)
		if status != c.status || out["__type"] != c.code {
			t.Errorf("%s: %d %v, want %d %s", name, status, out, c.status, c.code)
		}
	}
}

func TestCallerIdentity(t *testing.T) {
	srv := httptest.NewServer(awsapi.CallerIdentity(&awsapi.Auth{Account: "123456789012"}))
	defer srv.Close()
	for body, want := range map[string]string{"Action=GetCallerIdentity&Version=2011-06-15": "<Account>123456789012</Account>", "Action=AssumeRole": "<Code>InvalidAction</Code>"} {
		res, err := http.Post(srv.URL, "application/x-www-form-urlencoded", strings.NewReader(body)) //nolint:noctx // a test's loopback call
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if !strings.Contains(string(text), want) {
			t.Errorf("%s: %s", body, text)
		}
	}
}

func FuzzAuthorization(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential=AKID/20261123/us-east-1/logs/aws4_request, SignedHeaders=host;x-amz-date, Signature=0", "", "20261123T000000Z")
	f.Add("", "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID/20261123/r/s/aws4_request&X-Amz-SignedHeaders=host&X-Amz-Signature=0&X-Amz-Expires=9&X-Amz-Date=20261123T000000Z", "")
	f.Fuzz(func(t *testing.T, authorization, query, date string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader("{}"))
		r.URL.RawQuery = query
		r.Header.Set("Authorization", authorization)
		r.Header.Set("X-Amz-Date", date)
		r.Header.Set("X-Amz-Target", "Echo_1.Echo")
		rec := httptest.NewRecorder()
		service(awsapi.Strict).ServeHTTP(rec, r)
		if rec.Code != http.StatusBadRequest && rec.Code != http.StatusForbidden {
			t.Errorf("%q %q: status %d %s", authorization, query, rec.Code, rec.Body)
		}
	})
}
