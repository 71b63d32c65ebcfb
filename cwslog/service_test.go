package cwslog_test

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
)

// service speaks enough of the CloudWatch Logs protocol, with its limits, to
// prove what a client sends.
type service struct {
	t *testing.T

	mu      sync.Mutex // guards below
	groups  map[string]map[string][]logEvent
	calls   []string
	batches []int
	down    bool
	refuse  string // error code answered to PutLogEvents
	reject  map[string]int
	lastReq map[string]any
}

type logEvent struct {
	Timestamp int64
	Message   string
}

func newService(t *testing.T) *service {
	return &service{t: t, groups: map[string]map[string][]logEvent{}}
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	op := r.Header.Get("X-Amz-Target")[len("Logs_20140328."):]
	s.calls = append(s.calls, op)
	if s.down {
		s.fail(w, http.StatusServiceUnavailable, "ServiceUnavailableException")
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Errorf("read %s body: %v", op, err)
		return
	}
	var in struct {
		LogGroupName, LogStreamName string
		LogEvents                   []logEvent
	}
	if err := json.Unmarshal(body, &in); err != nil {
		s.t.Errorf("decode %s body: %v", op, err)
	}
	s.lastReq = nil
	if err := json.Unmarshal(body, &s.lastReq); err != nil {
		s.t.Errorf("decode %s body: %v", op, err)
	}
	streams, ok := s.groups[in.LogGroupName]
	out := map[string]any{}
	switch op {
	case "CreateLogGroup":
		if ok {
			s.fail(w, http.StatusBadRequest, "ResourceAlreadyExistsException")
			return
		}
		s.groups[in.LogGroupName] = map[string][]logEvent{}
	case "PutRetentionPolicy":
	case "CreateLogStream":
		if !ok {
			s.fail(w, http.StatusBadRequest, "ResourceNotFoundException")
			return
		}
		if _, ok := streams[in.LogStreamName]; ok {
			s.fail(w, http.StatusBadRequest, "ResourceAlreadyExistsException")
			return
		}
		streams[in.LogStreamName] = nil
	case "PutLogEvents":
		if _, ok := streams[in.LogStreamName]; !ok {
			s.fail(w, http.StatusBadRequest, "ResourceNotFoundException")
			return
		}
		if s.refuse != "" {
			s.fail(w, http.StatusBadRequest, s.refuse)
			return
		}
		s.check(in.LogEvents)
		streams[in.LogStreamName] = append(streams[in.LogStreamName], in.LogEvents...)
		s.batches = append(s.batches, len(in.LogEvents))
		out["nextSequenceToken"] = "49039859480534453458345"
		if s.reject != nil {
			out["rejectedLogEventsInfo"] = s.reject
		}
	default:
		s.t.Errorf("unexpected operation %s", op)
	}
	s.answer(w, http.StatusOK, out)
}

func (s *service) check(events []logEvent) {
	size := 0
	for _, e := range events {
		size += len(e.Message) + 26
		if e.Message == "" {
			s.t.Error("empty message")
		}
	}
	switch {
	case len(events) == 0 || len(events) > 10_000:
		s.t.Errorf("batch of %d events", len(events))
	case size > 1_048_576:
		s.t.Errorf("batch of %d bytes", size)
	case events[len(events)-1].Timestamp-events[0].Timestamp > 24*3600*1000:
		s.t.Error("batch spans more than 24 hours")
	}
	if !slices.IsSortedFunc(events, func(a, b logEvent) int { return cmp.Compare(a.Timestamp, b.Timestamp) }) {
		s.t.Error("batch is not in order of time")
	}
}

func (s *service) fail(w http.ResponseWriter, status int, code string) {
	s.answer(w, status, map[string]any{"__type": code, "message": "told to"})
}

func (s *service) answer(w http.ResponseWriter, status int, body map[string]any) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.Header().Set("x-amzn-RequestId", "00000000-0000-0000-0000-000000000000")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		s.t.Errorf("write answer: %v", err)
	}
}

func (s *service) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// events returns the stored messages of a group over all its streams.
func (s *service) messages(group string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, events := range s.groups[group] {
		for _, e := range events {
			out = append(out, e.Message)
		}
	}
	return out
}

func (s *service) called() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// Do serves a client's request without a network, so that tests may run in a
// synctest bubble.
func (s *service) Do(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Result(), nil
}

func options(endpoint string, do aws.HTTPClient) cloudwatchlogs.Options {
	return cloudwatchlogs.Options{
		BaseEndpoint: &endpoint,
		Region:       "us-east-1",
		HTTPClient:   do,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
	}
}
