package awsapi

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Mode is how much of a signature is believed.
type Mode uint8

// The modes.
const (
	// Off accepts everything, unsigned requests too.
	Off Mode = iota
	// Keys wants a right signature of a known key.
	Keys
	// Strict wants in addition a clock within five minutes of ours.
	Strict
)

const (
	maxSkew      = 5 * time.Minute
	maxPresigned = 7 * 24 * time.Hour
	amzDate      = "20060102T150405Z"
)

// ErrUnknownKey is what Auth.Lookup returns for an access key id that it does not know.
var ErrUnknownKey = errors.New("unknown access key id")

// Auth checks Signature Version 4.
type Auth struct {
	Mode Mode
	// Account and Environment are whose a request is when it is accepted without a key.
	Account, Environment string
	// Region is the region of requests that name none.
	Region string
	// Lookup returns the secret of an access key id and the environment that it opens.
	Lookup func(ctx context.Context, accessKeyID string) (secret, environment string, err error)
}

// signature is what a request says about how it is signed.
type signature struct {
	accessKeyID, day, region, service string
	headers                           []string
	mac                               string
	date                              time.Time
	expires                           time.Duration // of a presigned request
	presigned                         bool
}

// Check returns who sent the request; body is as it came over the wire. With unsignedOK a
// request without credentials is let in whatever the mode.
func (a *Auth) Check(r *http.Request, body []byte, unsignedOK bool) (Caller, error) {
	caller := Caller{Account: a.Account, Environment: a.Environment, Region: a.Region}
	sig, err := parseSignature(r)
	if a.Mode == Off {
		if err == nil && sig != nil {
			caller.Signed, caller.AccessKeyID, caller.Region = true, sig.accessKeyID, sig.region
			if len(sig.accessKeyID) == 12 && strings.Trim(sig.accessKeyID, "0123456789") == "" {
				caller.Account = sig.accessKeyID
			}
		}
		return caller, nil
	}
	if err != nil {
		return Caller{}, err
	}
	if sig == nil {
		if unsignedOK {
			return caller, nil
		}
		return Caller{}, &Error{Status: http.StatusForbidden, Code: "MissingAuthenticationTokenException", Message: "Missing Authentication Token"}
	}
	secret, environment, err := a.Lookup(r.Context(), sig.accessKeyID)
	if errors.Is(err, ErrUnknownKey) {
		return Caller{}, Errorf("UnrecognizedClientException", "The security token included in the request is invalid.")
	}
	if err != nil {
		return Caller{}, err
	}
	if err := sig.verify(r, body, secret, a.Mode, time.Now()); err != nil {
		return Caller{}, err
	}
	caller.Signed, caller.AccessKeyID, caller.Region, caller.Environment = true, sig.accessKeyID, sig.region, environment
	return caller, nil
}

func incomplete(format string, args ...any) *Error {
	return Errorf("IncompleteSignatureException", format, args...)
}

// parseSignature returns nil when the request carries no credentials.
func parseSignature(r *http.Request) (*signature, error) {
	auth := r.Header.Get("Authorization")
	query := r.URL.Query()
	var credential, headers string
	sig := &signature{}
	dateText := r.Header.Get("X-Amz-Date")
	switch {
	case strings.HasPrefix(auth, "AWS4-HMAC-SHA256"):
		for part := range strings.SplitSeq(strings.TrimPrefix(auth, "AWS4-HMAC-SHA256"), ",") {
			k, v, _ := strings.Cut(strings.TrimSpace(part), "=")
			switch k {
			case "Credential":
				credential = v
			case "SignedHeaders":
				headers = v
			case "Signature":
				sig.mac = v
			}
		}
	case query.Get("X-Amz-Algorithm") == "AWS4-HMAC-SHA256":
		credential, headers, sig.mac = query.Get("X-Amz-Credential"), query.Get("X-Amz-SignedHeaders"), query.Get("X-Amz-Signature")
		dateText = query.Get("X-Amz-Date")
		seconds, err := strconv.Atoi(query.Get("X-Amz-Expires"))
		if err != nil || seconds < 1 || time.Duration(seconds)*time.Second > maxPresigned {
			return nil, incomplete("X-Amz-Expires must be a number of seconds from 1 to 604800.")
		}
		sig.expires, sig.presigned = time.Duration(seconds)*time.Second, true
	case auth == "":
		return nil, nil
	default:
		return nil, incomplete("Authorization header requires 'AWS4-HMAC-SHA256'.")
	}
	for name, v := range map[string]string{"Credential": credential, "SignedHeaders": headers, "Signature": sig.mac} {
		if v == "" {
			return nil, incomplete("Authorization header requires '%s' parameter.", name)
		}
	}
	scope := strings.Split(credential, "/")
	if len(scope) != 5 || scope[4] != "aws4_request" {
		return nil, incomplete("Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '%s'", credential)
	}
	sig.accessKeyID, sig.day, sig.region, sig.service = scope[0], scope[1], scope[2], scope[3]
	sig.headers = strings.Split(headers, ";")
	date, err := time.Parse(amzDate, dateText)
	if err != nil {
		if date, err = http.ParseTime(r.Header.Get("Date")); err != nil {
			return nil, incomplete("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
		}
	}
	sig.date = date.UTC()
	return sig, nil
}

func (s *signature) verify(r *http.Request, body []byte, secret string, mode Mode, now time.Time) error {
	invalid := func(format string, args ...any) error {
		return Errorf("InvalidSignatureException", format, args...)
	}
	if s.date.Format("20060102") != s.day {
		return invalid("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '%s' != '%s'.", s.day, s.date.Format("20060102"))
	}
	if s.presigned && now.After(s.date.Add(s.expires)) {
		return invalid("Signature expired: %s is now earlier than %s", s.date.Format(amzDate), now.UTC().Add(-s.expires).Format(amzDate))
	}
	if mode == Strict && !s.presigned {
		if now.Sub(s.date) > maxSkew {
			return invalid("Signature expired: %s is now earlier than %s (%s - 5 min.)", s.date.Format(amzDate), now.UTC().Add(-maxSkew).Format(amzDate), now.UTC().Format(amzDate))
		}
		if s.date.Sub(now) > maxSkew {
			return invalid("Signature not yet current: %s is still later than %s (%s + 5 min.)", s.date.Format(amzDate), now.UTC().Add(maxSkew).Format(amzDate), now.UTC().Format(amzDate))
		}
	}
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	switch given := r.Header.Get("X-Amz-Content-Sha256"); {
	case given == "UNSIGNED-PAYLOAD":
		hash = given
	case given != "" && given != hash:
		return invalid("The value passed as x-amz-content-sha256 does not match the hash of the request body.")
	}
	canonical := sha256.Sum256([]byte(s.canonicalRequest(r, hash)))
	scope := s.day + "/" + s.region + "/" + s.service + "/aws4_request"
	toSign := "AWS4-HMAC-SHA256\n" + s.date.Format(amzDate) + "\n" + scope + "\n" + hex.EncodeToString(canonical[:])
	key := []byte("AWS4" + secret)
	for _, part := range []string{s.day, s.region, s.service, "aws4_request", toSign} {
		key = sign(key, part)
	}
	if subtle.ConstantTimeCompare([]byte(hex.EncodeToString(key)), []byte(s.mac)) != 1 {
		return invalid("The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
	}
	return nil
}

func sign(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

func (s *signature) canonicalRequest(r *http.Request, hash string) string {
	var b strings.Builder
	path := r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	b.WriteString(r.Method + "\n")
	for i, part := range strings.Split(path, "/") {
		if i > 0 {
			b.WriteByte('/')
		}
		b.WriteString(awsEscape(part)) // the path is encoded twice, S3 apart
	}
	b.WriteByte('\n')
	var pairs []string
	for k, vs := range r.URL.Query() {
		if k == "X-Amz-Signature" && s.presigned {
			continue
		}
		for _, v := range vs {
			pairs = append(pairs, awsEscape(k)+"="+awsEscape(v))
		}
	}
	sort.Strings(pairs)
	b.WriteString(strings.Join(pairs, "&") + "\n")
	for _, h := range s.headers {
		b.WriteString(h + ":" + headerValue(r, h) + "\n")
	}
	b.WriteString("\n" + strings.Join(s.headers, ";") + "\n" + hash)
	return b.String()
}

func headerValue(r *http.Request, name string) string {
	switch name {
	case "host":
		return r.Host
	case "content-length":
		return strconv.FormatInt(r.ContentLength, 10)
	}
	values := r.Header.Values(name)
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = strings.Join(strings.Fields(v), " ")
	}
	return strings.Join(out, ",")
}

// awsEscape percent-encodes all but the unreserved characters.
func awsEscape(s string) string {
	return strings.NewReplacer("+", "%20", "%7E", "~").Replace(url.QueryEscape(s))
}

// CallerIdentity serves STS GetCallerIdentity in the Query protocol, which clients call to learn
// their account. Any other action is refused.
func CallerIdentity(auth *Auth) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := NewRequestID()
		w.Header().Set("x-amzn-RequestId", id)
		w.Header().Set("Content-Type", "text/xml")
		caller, err := identity(w, r, auth)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) {
				e = &Error{Status: http.StatusInternalServerError, Code: "InternalFailure", Message: "An internal error occurred."}
			}
			status := max(e.Status, http.StatusBadRequest)
			w.WriteHeader(status)
			_, _ = fmt.Fprintf(w, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>%s</RequestId></ErrorResponse>`,
				xmlText(e.Code), xmlText(e.Message), id)
			return
		}
		_, _ = fmt.Fprintf(w, `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>arn:aws:iam::%s:root</Arn><UserId>%s</UserId><Account>%s</Account></GetCallerIdentityResult><ResponseMetadata><RequestId>%s</RequestId></ResponseMetadata></GetCallerIdentityResponse>`,
			caller.Account, caller.Account, caller.Account, id)
	})
}

func identity(w http.ResponseWriter, r *http.Request, auth *Auth) (Caller, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
	if err != nil {
		return Caller{}, Errorf("MalformedInput", "the request body could not be read")
	}
	caller, err := auth.Check(r, body, false)
	if err != nil {
		return Caller{}, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return Caller{}, Errorf("MalformedInput", "the request body is not a form")
	}
	action := form.Get("Action")
	if action == "" {
		action = r.URL.Query().Get("Action")
	}
	if action != "GetCallerIdentity" {
		return Caller{}, Errorf("InvalidAction", "Could not find operation %s for version 2011-06-15", action)
	}
	return caller, nil
}

func xmlText(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}
