package awsapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
)

// EventStream is the answer of an operation that sends events as they come. It runs until it returns
// or the context ends, which it does when the client goes away; it is run once in any case, so that it
// can give back what it holds. An *Error ends the stream as an
// exception of its code; any other error is logged and ends it as the service's internal error.
type EventStream func(ctx context.Context, send func(event string, payload any) error) error

// settleRequest is how long a stream waits before its begin. The Go SDK closes the body of its request as
// soon as an answer begins, and its transport may still look for the end of that body: then it gives the
// connection up, and with it the stream. No server that is further away answers so soon.
const settleRequest = 30 * time.Millisecond

// stream writes messages in the format application/vnd.amazon.eventstream, each of which is sent at once.
func (s *Service) stream(w http.ResponseWriter, r *http.Request, run EventStream) {
	w.Header().Set("Content-Type", "application/vnd.amazon.eventstream")
	out := http.NewResponseController(w)
	enc := eventstream.NewEncoder()
	write := func(kind, name string, payload any) error {
		text, err := json.Marshal(payload)
		if err != nil {
			return fmt.Errorf("encode event %s: %w", name, err)
		}
		var m eventstream.Message
		m.Headers.Set(":message-type", eventstream.StringValue(kind))
		m.Headers.Set(":"+kind+"-type", eventstream.StringValue(name))
		m.Headers.Set(":content-type", eventstream.StringValue("application/json"))
		m.Payload = text
		if err := enc.Encode(w, m); err != nil {
			return err
		}
		return out.Flush()
	}
	// Clients other than JavaScript's take a stream that begins otherwise for a fault.
	ctx, gone := context.WithCancel(r.Context())
	defer gone()
	select {
	case <-time.After(settleRequest):
	case <-ctx.Done():
	}
	if write("event", "initial-response", struct{}{}) != nil {
		gone()
	}
	err := run(ctx, func(event string, payload any) error { return write("event", event, payload) })
	if err == nil || ctx.Err() != nil {
		return
	}
	var e *Error
	if !errors.As(err, &e) {
		s.Log.Error("event stream", "target", r.Header.Get("X-Amz-Target"), "error", err)
		e = &Error{Code: s.InternalError, Message: "An internal error occurred."}
	}
	_ = write("exception", e.Code, map[string]string{"message": e.Message}) // the client may be gone
}
