package cwlogs

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/body"
	"github.com/trefoil-o11y/trefoil/internal/ingest"
	"github.com/trefoil-o11y/trefoil/internal/meta"
)

// The paths by which events come without the API, as described at
// docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_HTTP_Endpoints.html.
const (
	pathCollector = "/services/collector/event"
	pathBulk      = "/ingest/bulk"
	pathJSON      = "/ingest/json"
	pathOTLP      = "/v1/logs"
)

// maxHTTPBytes bounds the events of one request, each with eventOverhead, and so its body after gzip.
const maxHTTPBytes = 1 << 20

// HTTPPaths lists the paths of HTTPHandler that no other service has.
func (s *Server) HTTPPaths() []string { return []string{pathCollector, pathBulk, pathJSON} }

// WantsOTLP reports whether a request to /v1/logs is for a log group: it names one, or is signed for
// CloudWatch Logs or with its kind of token.
func WantsOTLP(r *http.Request) bool {
	a := r.Header.Get("Authorization")
	return r.Header.Get("X-Aws-Log-Group") != "" || strings.HasPrefix(a, "AWS4-HMAC-SHA256 ") || strings.HasPrefix(a, "Bearer ACWL")
}

// HTTPHandler takes events by the HTTP paths, OTLP log records by /v1/logs among them.
func (s *Server) HTTPHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("x-amzn-RequestId", awsapi.NewRequestID())
		status, contentType, text := s.ingest(w, r)
		if status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "1")
		}
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = w.Write(text)
	})
}

const contentJSON = "application/json"

// ingest takes one request and returns its answer.
func (s *Server) ingest(w http.ResponseWriter, r *http.Request) (status int, contentType string, answer []byte) {
	refused := func(err error) (int, string, []byte) {
		var e *awsapi.Error
		if !errors.As(err, &e) {
			if r.Context().Err() == nil {
				s.cfg.Log.Error("take events by HTTP", "path", r.URL.Path, "error", err)
			}
			e = &awsapi.Error{Status: http.StatusInternalServerError, Code: "InternalFailure", Message: "An internal error occurred."}
		}
		text, err := json.Marshal(map[string]string{"__type": e.Code, "message": e.Message})
		if err != nil {
			panic(err) // strings always encode
		}
		return max(e.Status, http.StatusBadRequest), contentJSON, text
	}
	if r.Method != http.MethodPost {
		return refused(&awsapi.Error{Status: http.StatusMethodNotAllowed, Code: "InvalidParameterException", Message: "Only POST is allowed."})
	}
	buffer := body.NewBuffer()
	defer buffer.Release()
	raw, err := buffer.Read(w, r, maxBody)
	if err != nil {
		return refused(httpBodyError(err))
	}
	caller, err := s.httpCaller(r, raw)
	if err != nil {
		return refused(err)
	}
	text, err := buffer.Inflate(r.Header.Get("Content-Encoding"), raw, 2*maxHTTPBytes)
	if err != nil {
		return refused(httpBodyError(err))
	}
	g, stream, err := s.httpTarget(r, caller)
	if err != nil {
		return refused(err)
	}
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	now := time.Now()
	var events []inputLogEvent
	switch r.URL.Path {
	case pathCollector:
		events, err = collectorEvents(text, now)
	case pathBulk:
		events, err = bulkEvents(text, now)
	case pathJSON:
		events, err = jsonEvents(text, now)
	default:
		events, err = otlpEvents(text, media, now)
	}
	if err != nil {
		return refused(invalid("The request body can not be read: %v", err))
	}
	rejected, err := s.acceptAny(r.Context(), &caller, g, stream, events, now)
	if err != nil {
		return refused(err)
	}
	if r.URL.Path == pathOTLP {
		return otlpAnswer(media, rejected)
	}
	return http.StatusOK, contentJSON, []byte("{}")
}

func httpBodyError(err error) error {
	if errors.Is(err, body.ErrTooLarge) {
		return &awsapi.Error{Status: http.StatusRequestEntityTooLarge, Code: "RequestEntityTooLargeException", Message: fmt.Sprintf("The events of a request are at most %d bytes.", maxHTTPBytes)}
	}
	return invalid("The request body can not be read: it is cut off, or not in the encoding that Content-Encoding names.")
}

// httpCaller checks a signature, or a token where the group takes one.
func (s *Server) httpCaller(r *http.Request, raw []byte) (caller awsapi.Caller, err error) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || s.cfg.Auth.Mode == awsapi.Off {
		caller, err = s.cfg.Auth.Check(r, raw, false)
		var e *awsapi.Error
		if errors.As(err, &e) {
			err = &awsapi.Error{Status: http.StatusUnauthorized, Code: e.Code, Message: e.Message}
		}
		return caller, err
	}
	k, err := s.cfg.Meta.KeyBySecret(r.Context(), strings.TrimPrefix(token, "ACWL"))
	if errors.Is(err, meta.ErrNotFound) {
		return caller, &awsapi.Error{Status: http.StatusUnauthorized, Code: "UnrecognizedClientException", Message: "The security token included in the request is invalid."}
	} else if err != nil {
		return caller, err
	}
	group, _, err := httpNames(r)
	if err != nil {
		return caller, err
	}
	if ok, err := s.flag(r.Context(), k.Environment, group, flagBearer); err != nil {
		return caller, err
	} else if !ok {
		return caller, &awsapi.Error{Status: http.StatusUnauthorized, Code: "AccessDeniedException", Message: "Bearer token authentication is not enabled for the log group."}
	}
	return awsapi.Caller{Account: s.cfg.Auth.Account, Region: s.cfg.Auth.Region, Environment: k.Environment}, nil
}

// httpNames returns the group and stream that a request names, in headers or in its query.
func httpNames(r *http.Request) (group, stream string, err error) {
	group, stream = r.Header.Get("X-Aws-Log-Group"), r.Header.Get("X-Aws-Log-Stream")
	q := r.URL.Query()
	switch inQuery := q.Has("logGroup") || q.Has("logStream"); {
	case inQuery && (group != "" || stream != ""):
		return "", "", invalid("The log group and stream are named in headers and in the query: only one of the two is allowed.")
	case inQuery && r.URL.Path != pathOTLP:
		group, stream = q.Get("logGroup"), q.Get("logStream")
	}
	if group == "" || stream == "" {
		return "", "", invalid("The headers x-aws-log-group and x-aws-log-stream are required.")
	}
	return group, stream, nil
}

func (s *Server) httpTarget(r *http.Request, caller awsapi.Caller) (g meta.LogGroup, stream string, err error) {
	group, stream, err := httpNames(r)
	if err != nil {
		return g, "", err
	}
	if g, err = s.group(r.Context(), &awsapi.Request{Caller: caller}, group); err != nil {
		return g, "", err
	}
	if ok, err := s.cfg.Meta.LogStreamExists(r.Context(), g.ID, stream); err != nil {
		return g, "", err
	} else if !ok {
		return g, "", errNoStream
	}
	return g, stream, nil
}

// rejections counts what a request's events were refused for.
type rejections struct {
	TooOld  int `json:"tooOldLogEventCount"`
	TooNew  int `json:"tooNewLogEventCount"`
	Expired int `json:"expiredLogEventCount"`
}

func (r rejections) count() int { return r.TooOld + r.TooNew + r.Expired }

// acceptAny stores events in any order, as many as the times of which are taken.
func (s *Server) acceptAny(ctx context.Context, c *awsapi.Caller, g meta.LogGroup, stream string, events []inputLogEvent, now time.Time) (rejected rejections, err error) {
	total := 0
	for i := range events {
		total += len(events[i].message) + eventOverhead
	}
	if total > maxHTTPBytes {
		return rejected, httpBodyError(body.ErrTooLarge)
	}
	slices.SortStableFunc(events, func(a, b inputLogEvent) int { return int(max(-1, min(1, a.timestamp-b.timestamp))) })
	lock := s.streamLock(g.ID)
	lock.RLock()
	defer lock.RUnlock()
	first, end, info := window(events, now, g.RetentionDays)
	if info != nil {
		if info.TooOldLogEventEndIndex != nil {
			rejected.TooOld = *info.TooOldLogEventEndIndex
		}
		if info.ExpiredLogEventEndIndex != nil {
			rejected.Expired = *info.ExpiredLogEventEndIndex - rejected.TooOld
		}
		rejected.TooNew = len(events) - end
		s.cfg.Queue.Reject(ingest.Logs, int64(rejected.count()), "the time of the log event is too old, too new or past the group's retention")
	}
	if first >= end {
		return rejected, nil
	}
	var d found
	return rejected, s.accept(ctx, c, g, stream, events[first:end], now, &d)
}

// millis reads a time in seconds or milliseconds; what is none is now.
func millis(v any, unit float64, now time.Time) int64 {
	var f float64
	var err error
	switch v := v.(type) {
	case json.Number:
		f, err = v.Float64()
	case string:
		f, err = strconv.ParseFloat(v, 64)
	default:
		return now.UnixMilli()
	}
	if ms := f * unit; err == nil && ms >= 0 && ms <= maxMillis {
		return int64(math.Round(ms))
	}
	return now.UnixMilli()
}

func message(v any) ([]byte, error) {
	if text, ok := v.(string); ok {
		return []byte(text), nil
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// jsonValues reads JSON values one behind the other.
func jsonValues(text []byte, visit func(v any) error) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	for {
		var v any
		switch err := d.Decode(&v); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		if err := visit(v); err != nil {
			return err
		}
	}
}

// collectorEvents reads objects as Splunk's collector takes them: one, several or an array, with the
// event and its time in seconds. Objects without an event are passed over.
func collectorEvents(text []byte, now time.Time) (list []inputLogEvent, err error) {
	add := func(v any) error {
		o, ok := v.(map[string]any)
		if !ok || o["event"] == nil || o["event"] == "" {
			return nil
		}
		m, err := message(o["event"])
		list = append(list, inputLogEvent{timestamp: millis(o["time"], 1000, now), message: m, isTimestamp: true})
		return err
	}
	err = jsonValues(text, func(v any) error {
		if many, ok := v.([]any); ok {
			for _, x := range many {
				if err := add(x); err != nil {
					return err
				}
			}
			return nil
		}
		return add(v)
	})
	return list, err
}

func addValue(list []inputLogEvent, v any, now time.Time) ([]inputLogEvent, error) {
	if v == nil || v == "" {
		return list, nil
	}
	at := now.UnixMilli()
	if o, ok := v.(map[string]any); ok {
		at = millis(o["timestamp"], 1, now)
	}
	m, err := message(v)
	return append(list, inputLogEvent{timestamp: at, message: m, isTimestamp: true}), err
}

// bulkEvents reads a JSON value a line; arrays are flattened.
func bulkEvents(text []byte, now time.Time) (list []inputLogEvent, err error) {
	n := 0
	for line := range bytes.Lines(text) {
		n++
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		err := jsonValues(line, func(v any) (err error) {
			if many, ok := v.([]any); ok {
				for _, x := range many {
					if list, err = addValue(list, x, now); err != nil {
						return err
					}
				}
				return nil
			}
			list, err = addValue(list, v, now)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	return list, nil
}

// jsonEvents reads the first object or array of objects; what is no object is passed over.
func jsonEvents(text []byte, now time.Time) (list []inputLogEvent, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	many, ok := v.([]any)
	if !ok {
		many = []any{v}
	}
	for _, x := range many {
		if _, ok := x.(map[string]any); !ok {
			continue
		}
		if list, err = addValue(list, x, now); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// otlpRecord is the message that a log record becomes.
type otlpRecord struct {
	Resource             otlpAttributes `json:"resource"`
	Scope                otlpScope      `json:"scope"`
	TimeUnixNano         uint64         `json:"timeUnixNano,omitempty"`
	ObservedTimeUnixNano uint64         `json:"observedTimeUnixNano,omitempty"`
	SeverityNumber       int32          `json:"severityNumber,omitempty"`
	SeverityText         string         `json:"severityText,omitempty"`
	Body                 any            `json:"body,omitempty"`
	Attributes           map[string]any `json:"attributes"`
	Flags                uint32         `json:"flags,omitempty"`
	TraceID              string         `json:"traceId,omitempty"`
	SpanID               string         `json:"spanId,omitempty"`
}

type otlpAttributes struct {
	Attributes map[string]any `json:"attributes"`
}

type otlpScope struct {
	Name       string         `json:"name,omitempty"`
	Version    string         `json:"version,omitempty"`
	Attributes map[string]any `json:"attributes,omitempty"`
}

func otlpEvents(text []byte, media string, now time.Time) (list []inputLogEvent, err error) {
	in := plogotlp.NewExportRequest()
	switch media {
	case "application/x-protobuf":
		err = in.UnmarshalProto(text)
	case contentJSON:
		err = in.UnmarshalJSON(text)
	default:
		err = fmt.Errorf("the content type %q is neither application/x-protobuf nor application/json", media)
	}
	if err != nil {
		return nil, err
	}
	for _, rl := range in.Logs().ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, r := range sl.LogRecords().All() {
				e, err := otlpEvent(rl.Resource(), sl.Scope(), r, now)
				if err != nil {
					return nil, err
				}
				list = append(list, e)
			}
		}
	}
	return list, nil
}

func otlpEvent(resource pcommon.Resource, scope pcommon.InstrumentationScope, r plog.LogRecord, now time.Time) (inputLogEvent, error) {
	at := now.UnixMilli()
	for _, t := range []pcommon.Timestamp{r.ObservedTimestamp(), r.Timestamp()} {
		if t != 0 {
			at = int64(t / 1e6)
		}
	}
	out := otlpRecord{
		Resource: otlpAttributes{resource.Attributes().AsRaw()}, Scope: otlpScope{scope.Name(), scope.Version(), scope.Attributes().AsRaw()},
		TimeUnixNano: uint64(r.Timestamp()), ObservedTimeUnixNano: uint64(r.ObservedTimestamp()), SeverityNumber: int32(r.SeverityNumber()), SeverityText: r.SeverityText(),
		Body: r.Body().AsRaw(), Attributes: r.Attributes().AsRaw(), Flags: uint32(r.Flags()),
	}
	if id := r.TraceID(); !id.IsEmpty() {
		out.TraceID = hex.EncodeToString(id[:])
	}
	if id := r.SpanID(); !id.IsEmpty() {
		out.SpanID = hex.EncodeToString(id[:])
	}
	m, err := message(finiteOnly(out))
	return inputLogEvent{timestamp: at, message: m, isTimestamp: true}, err
}

// finiteOnly replaces numbers that JSON has not by their text.
func finiteOnly(r otlpRecord) otlpRecord {
	for _, m := range []map[string]any{r.Resource.Attributes, r.Scope.Attributes, r.Attributes} {
		for k, v := range m {
			m[k] = finiteValue(v)
		}
	}
	r.Body = finiteValue(r.Body)
	return r
}

func finiteValue(v any) any {
	switch v := v.(type) {
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return strconv.FormatFloat(v, 'g', -1, 64)
		}
	case map[string]any:
		for k, x := range v {
			v[k] = finiteValue(x)
		}
	case []any:
		for i, x := range v {
			v[i] = finiteValue(x)
		}
	}
	return v
}

// otlpAnswer says how many records were refused, in the encoding of the request.
func otlpAnswer(media string, rejected rejections) (int, string, []byte) {
	out := plogotlp.NewExportResponse()
	if n := rejected.count(); n > 0 {
		text, err := json.Marshal(rejected)
		if err != nil {
			panic(err) // numbers always encode
		}
		out.PartialSuccess().SetRejectedLogRecords(int64(n))
		out.PartialSuccess().SetErrorMessage(string(text))
	}
	marshal, contentType := out.MarshalJSON, contentJSON
	if media == "application/x-protobuf" {
		marshal, contentType = out.MarshalProto, media
	}
	text, err := marshal()
	if err != nil {
		panic(err) // a response always encodes
	}
	return http.StatusOK, contentType, text
}
