package otlp

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/trefoil-o11y/trefoil/internal/body"
)

// Limits of AWS's own endpoint for traces, which a request signed for it is held to.
const (
	maxAWSBody  = 5 << 20
	maxAWSSpans = 10_000
	maxAWSSpan  = 200 << 10
	// maxAWSPast and maxAWSFuture are how far from now a span may begin and end, maxAWSSpread how
	// far from each other the spans of a request may begin.
	maxAWSPast   = 14 * 24 * time.Hour
	maxAWSFuture = 2 * time.Hour
	maxAWSSpread = 24 * time.Hour
)

// ErrSignature is in the chain of what Config.AuthenticateAWS returns for a request whose signature
// is not good.
var ErrSignature = errors.New("signature is not accepted")

// AWSTraces serves POST /v1/traces as X-Ray's endpoint does: signed with Signature Version 4.
func (r *Receiver) AWSTraces() http.Handler {
	return r.endpoint(func(w http.ResponseWriter, req *http.Request, asJSON bool, buffer *body.Buffer) error {
		raw, err := buffer.Read(w, req, maxAWSBody)
		if err != nil {
			return awsBodyError(err)
		}
		environment, err := r.cfg.AuthenticateAWS(req, raw)
		if errors.Is(err, ErrSignature) {
			return &failure{http.StatusForbidden, codes.PermissionDenied, err.Error()}
		}
		if err != nil {
			return err
		}
		text, err := buffer.Inflate(req.Header.Get("Content-Encoding"), raw, maxAWSBody)
		if err != nil {
			return awsBodyError(err)
		}
		if asJSON {
			if text, err = fromJSON(text, traces.convert); err != nil {
				return err
			}
		}
		if err := checkAWS(text, time.Now()); err != nil {
			return err
		}
		return r.store(req.Context(), environment, credentials{}, &traces, text)
	})
}

// signed reports whether a request carries a signature of AWS's kind.
func signed(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256")
}

func awsBodyError(err error) error {
	if errors.Is(err, body.ErrTooLarge) {
		return &failure{http.StatusRequestEntityTooLarge, codes.ResourceExhausted, fmt.Sprintf("request body is larger than %d bytes", maxAWSBody)}
	}
	return errParse
}

// checkAWS fails for a request with too many spans, one that is too large, or times too far from
// now or from each other.
func checkAWS(msg []byte, now time.Time) error {
	refused := func(format string, args ...any) error {
		return &failure{http.StatusBadRequest, codes.InvalidArgument, fmt.Sprintf(format, args...)}
	}
	n := 0
	first, last := uint64(math.MaxUint64), uint64(0)
	var walk func(msg []byte, depth int) error
	walk = func(msg []byte, depth int) error {
		f := fields{buf: msg}
		for f.next() {
			// Of a request its resources, of these their scopes (where they were in the first
			// versions, too), of these their spans.
			if wanted := [...]bool{f.num == 1, f.num == 2 || f.num == 1000, f.num == 2}[depth]; !wanted || !f.is(wireBytes) {
				continue
			}
			part := f.data()
			switch {
			case depth < 2:
				if err := walk(part, depth+1); err != nil {
					return err
				}
			case len(part) > maxAWSSpan:
				return refused("a span is larger than %d bytes", maxAWSSpan)
			default:
				n++
				start, end := spanTimes(part)
				first, last = min(first, start), max(last, start)
				if start < uint64(now.Add(-maxAWSPast).UnixNano()) {
					return refused("a span begins more than %d days ago", maxAWSPast/(24*time.Hour))
				}
				if max(start, end) > uint64(now.Add(maxAWSFuture).UnixNano()) {
					return refused("a span ends more than %d hours from now", maxAWSFuture/time.Hour)
				}
			}
		}
		return nil
	}
	if err := walk(msg, 0); err != nil {
		return err
	}
	if n > maxAWSSpans {
		return refused("request has %d spans, %d are allowed", n, maxAWSSpans)
	}
	if n > 0 && last-first > uint64(maxAWSSpread) {
		return refused("the spans of the request begin more than %d hours apart", maxAWSSpread/time.Hour)
	}
	return nil
}

// spanTimes returns a span's start and end, in nanoseconds; zero when they are not there.
func spanTimes(span []byte) (start, end uint64) {
	f := fields{buf: span}
	for f.next() {
		switch {
		case f.wire != wireI64:
		case f.num == 7:
			start = f.val
		case f.num == 8:
			end = f.val
		}
	}
	return start, end
}
