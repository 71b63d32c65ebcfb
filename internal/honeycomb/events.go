package honeycomb

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tinylib/msgp/msgp"

	"github.com/trefoil-o11y/trefoil/internal/body"
	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/ingest"
	"github.com/trefoil-o11y/trefoil/internal/meta"
)

// Limits of the Events API.
const (
	maxEvent   = 1 << 20
	maxBatch   = 10 << 20 // inflated; clients keep to 5 MB
	maxFields  = 2000
	maxString  = 65_535
	maxDepth   = 64
	maxPerCall = 100_000 // events in a batch
)

// incoming is one event as it came, before it has a dataset. Fields keep their order.
type incoming struct {
	time   time.Time
	rate   uint32
	fields []event.Field
	err    *apiError
}

func (s *Server) preflight(w http.ResponseWriter, _ *http.Request) {
	cors(w)
	w.WriteHeader(http.StatusNoContent)
}

func cors(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Allow-Methods", "POST, OPTIONS")
	h.Set("Access-Control-Allow-Headers", "x-honeycomb-team, x-honeycomb-dataset, x-honeycomb-samplerate, x-honeycomb-event-time, x-honeycomb-useragent, content-type, content-encoding, traceparent")
}

// datasetName returns the dataset of a path; slashes in it become dashes.
func datasetName(r *http.Request) string {
	return strings.ReplaceAll(strings.Trim(r.PathValue("dataset"), "/"), "/", "-")
}

func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	cors(w)
	env, name, body, err := s.begin(w, r, maxEvent)
	if err == nil {
		err = s.oneEvent(r, env, name, body)
	}
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	w.WriteHeader(http.StatusOK)
}

func (s *Server) oneEvent(r *http.Request, env, name string, body []byte) error {
	in := incoming{rate: rateOf(r.Header.Get("X-Honeycomb-Samplerate")), time: parseTime(r.Header.Get("X-Honeycomb-Event-Time"))}
	var err error
	if isMsgpack(r) {
		var rest []byte
		in.fields, rest, err = msgpackFields(body)
		if err == nil && len(rest) > 0 {
			err = errMalformed
		}
	} else {
		in.fields, err = jsonFields(body)
	}
	if err != nil {
		return err
	}
	if in.check(); in.err != nil {
		return in.err
	}
	return s.store(r, env, name, []incoming{in})
}

// batchStatus is the answer to one event of a batch.
type batchStatus struct {
	Status int    `json:"status"`
	Error  string `json:"error,omitempty"`
}

func (s *Server) batch(w http.ResponseWriter, r *http.Request) {
	cors(w)
	env, name, body, err := s.begin(w, r, maxBatch)
	var list []incoming
	if err == nil {
		if isMsgpack(r) {
			list, err = msgpackBatch(body)
		} else {
			list, err = jsonBatch(body)
		}
	}
	if err == nil {
		err = s.store(r, env, name, list)
	}
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	out := make([]batchStatus, len(list))
	for i, in := range list {
		out[i].Status = http.StatusAccepted
		if in.err != nil {
			out[i] = batchStatus{in.err.status, in.err.msg}
			s.cfg.Queue.Reject(ingest.Events, 1, in.err.msg)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out)
}

func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	e := s.errorOf(r.Context(), err)
	if e.status < http.StatusInternalServerError && e != errRateLimited {
		s.cfg.Queue.Reject(ingest.Events, 1, e.msg)
	}
	writeError(w, e)
}

// begin authenticates and reads the body, which must not be empty.
func (s *Server) begin(w http.ResponseWriter, r *http.Request, limit int64) (env, dataset string, body []byte, err error) {
	if env, err = s.environment(r); err != nil {
		return
	}
	if dataset = datasetName(r); dataset == "" || len(dataset) > 255 {
		err = errNoDataset
		return
	}
	if body, err = readBody(w, r, limit); err == nil && len(bytes.TrimSpace(body)) == 0 {
		err = errEmpty
	}
	return
}

func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	encoding := r.Header.Get("Content-Encoding")
	raw, err := body.Read(w, r, limit)
	if err == nil {
		raw, err = body.Inflate(encoding, raw, limit)
	}
	switch {
	case errors.Is(err, body.ErrTooLarge):
		return nil, errTooLarge
	case errors.Is(err, body.ErrEncoding) && strings.EqualFold(encoding, "gzip"):
		return nil, &apiError{http.StatusBadRequest, "invalid gzip data"}
	case err != nil:
		return nil, errMalformed
	}
	return raw, nil
}

func isMsgpack(r *http.Request) bool {
	t, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	t = strings.TrimSpace(strings.ToLower(t))
	return t == "application/msgpack" || t == "application/x-msgpack"
}

// store adds the events that have no error to a dataset.
func (s *Server) store(r *http.Request, env, name string, list []incoming) error {
	ds, err := s.cfg.Meta.EnsureDataset(r.Context(), env, meta.Honeycomb, name)
	if err != nil {
		return err
	}
	received := time.Now()
	b := event.NewBuilder()
	defer b.Release()
	for _, in := range list {
		if in.err == nil {
			in.add(b, ds.ID, received)
		}
	}
	return s.cfg.Queue.Append(r.Context(), ingest.Events, b.Batch())
}

func (in *incoming) check() {
	switch {
	case in.err != nil:
	case len(in.fields) == 0:
		in.err = errEmpty
	case len(in.fields) > maxFields:
		in.err = errTooMany
	}
}

// add adds the event to b. The ids of a trace go to the header; an id that is none stays a
// field.
func (in *incoming) add(b *event.Builder, ds event.DatasetID, received time.Time) {
	h := event.Header{Time: received.UnixNano(), Ingested: received.UnixNano(), Dataset: ds, SampleRate: in.rate}
	if !in.time.IsZero() {
		h.Time = in.time.UnixNano()
	}
	rest := in.fields[:0:0]
	for _, f := range in.fields {
		var err error = errMalformed
		switch s := f.Value.Str(); f.Name {
		case "trace.trace_id":
			var id event.TraceID
			if id, err = event.ParseTraceID(s); err == nil {
				h.Trace = id
			}
		case "trace.span_id":
			var id event.SpanID
			if id, err = event.ParseSpanID(s); err == nil {
				h.Span = id
			}
		case "trace.parent_id":
			var id event.SpanID
			if id, err = event.ParseSpanID(s); err == nil {
				h.Parent = id
			}
		}
		if err != nil {
			rest = append(rest, f)
		}
	}
	b.Add(h)
	for _, f := range rest {
		b.Set(f.Name, f.Value)
	}
}

func rateOf(s string) uint32 {
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	if err != nil || n < 1 {
		return 1
	}
	return uint32(min(n, math.MaxInt32))
}

// parseTime reads an event's time: RFC 3339, or a number of seconds with what follows the
// first ten digits as the fraction, or a decimal number of seconds. Zero means none.
func parseTime(s string) time.Time {
	s = strings.TrimSpace(s)
	if s == "" {
		return time.Time{}
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return inRange(t)
	}
	if strings.Trim(s, "0123456789") == "" && len(s) >= 10 && len(s) <= 19 {
		sec, _ := strconv.ParseInt(s[:10], 10, 64)
		nsec, _ := strconv.ParseInt((s[10:] + "000000000")[:9], 10, 64)
		return time.Unix(sec, nsec)
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil && f > 0 && f < 1<<33 {
		sec, frac := math.Modf(f)
		return time.Unix(int64(sec), int64(frac*1e9))
	}
	return time.Time{}
}

// inRange returns t if nanoseconds since the epoch can hold it, else no time.
func inRange(t time.Time) time.Time {
	if t.Year() < 1700 || t.Year() > 2261 {
		return time.Time{}
	}
	return t
}

// jsonFields reads one JSON object into fields. Nested values are kept as JSON text.
func jsonFields(body []byte) ([]event.Field, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	tok, err := dec.Token()
	if err != nil || tok != json.Delim('{') {
		return nil, errMalformed
	}
	var fields []event.Field
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, errMalformed
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, errMalformed
		}
		if v := jsonValue(raw); !v.Missing() {
			fields = append(fields, event.Field{Name: key.(string), Value: v})
		}
	}
	if _, err := dec.Token(); err != nil {
		return nil, errMalformed
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errMalformed
	}
	return fields, nil
}

func jsonValue(raw json.RawMessage) event.Value {
	switch raw[0] {
	case '"':
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return event.Value{}
		}
		return event.String(cut(s))
	case 't', 'f':
		return event.Bool(raw[0] == 't')
	case 'n':
		return event.Value{}
	case '{', '[':
		var c bytes.Buffer
		if json.Compact(&c, raw) != nil {
			return event.Value{}
		}
		return event.String(cut(c.String()))
	default:
		return numberValue(string(raw))
	}
}

func numberValue(s string) event.Value {
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return event.Int(i)
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return event.String(s)
	}
	return event.Float(f)
}

func cut(s string) string {
	if len(s) <= maxString {
		return s
	}
	return strings.ToValidUTF8(s[:maxString], "")
}

func jsonBatch(body []byte) ([]incoming, error) {
	var list []struct {
		Time json.RawMessage `json:"time"`
		Rate json.RawMessage `json:"samplerate"`
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(body, &list); err != nil || list == nil {
		return nil, errMalformed
	}
	out := make([]incoming, len(list))
	for i, e := range list {
		in := &out[i]
		in.rate = rateOf(strings.Trim(string(e.Rate), `"`))
		in.time = parseTime(strings.Trim(string(e.Time), `"`))
		if len(e.Data) > 0 && string(e.Data) != "null" {
			var err error
			if in.fields, err = jsonFields(e.Data); err != nil {
				in.err = errMalformed
			}
		}
		if len(e.Data) > maxEvent {
			in.err = errTooLarge
		}
		in.check()
	}
	return out, nil
}

func msgpackBatch(body []byte) ([]incoming, error) {
	n, body, err := msgp.ReadArrayHeaderBytes(body)
	if err != nil || int(n) > len(body) || n > maxPerCall {
		return nil, errMalformed
	}
	out := make([]incoming, n)
	for i := range out {
		if body, err = out[i].readMsgpack(body); err != nil {
			return nil, errMalformed
		}
		out[i].check()
	}
	if len(body) > 0 {
		return nil, errMalformed
	}
	return out, nil
}

func (in *incoming) readMsgpack(b []byte) ([]byte, error) {
	in.rate = 1
	n, b, err := msgp.ReadMapHeaderBytes(b)
	if err != nil {
		return nil, err
	}
	for range n {
		var key []byte
		if key, b, err = msgp.ReadMapKeyZC(b); err != nil {
			return nil, err
		}
		before := b
		switch string(key) {
		case "time":
			if msgp.NextType(b) == msgp.TimeType {
				if in.time, b, err = msgp.ReadTimeUTCBytes(b); err != nil {
					return nil, err
				}
				in.time = inRange(in.time)
				continue
			}
			var v event.Value
			if v, b, err = msgpackValue(b, 0); err != nil {
				return nil, err
			}
			in.time = parseTime(v.Text())
		case "samplerate":
			var v event.Value
			if v, b, err = msgpackValue(b, 0); err != nil {
				return nil, err
			}
			in.rate = rateOf(v.Text())
		case "data":
			if msgp.NextType(b) == msgp.NilType {
				if b, err = msgp.ReadNilBytes(b); err != nil {
					return nil, err
				}
				continue
			}
			if in.fields, b, err = msgpackFields(b); err != nil {
				return nil, err
			}
			if len(before)-len(b) > maxEvent {
				in.err = errTooLarge
			}
		default:
			if b, err = skipMsgpack(b); err != nil {
				return nil, err
			}
		}
	}
	return b, nil
}

func skipMsgpack(b []byte) ([]byte, error) {
	_, rest, err := msgpackValue(b, 0)
	return rest, err
}

func msgpackFields(b []byte) ([]event.Field, []byte, error) {
	n, b, err := msgp.ReadMapHeaderBytes(b)
	if err != nil || int(n) > len(b) {
		return nil, nil, errMalformed
	}
	fields := make([]event.Field, 0, min(n, maxFields+1))
	for range n {
		var key []byte
		if key, b, err = msgp.ReadMapKeyZC(b); err != nil {
			return nil, nil, errMalformed
		}
		name := string(key)
		var v event.Value
		if v, b, err = msgpackValue(b, 0); err != nil {
			return nil, nil, errMalformed
		}
		if !v.Missing() {
			fields = append(fields, event.Field{Name: name, Value: v})
		}
	}
	return fields, b, nil
}

// msgpackValue reads one value; nested ones become JSON text.
func msgpackValue(b []byte, depth int) (event.Value, []byte, error) {
	if depth > maxDepth {
		return event.Value{}, nil, errMalformed
	}
	switch msgp.NextType(b) {
	case msgp.StrType:
		s, rest, err := msgp.ReadStringBytes(b)
		return event.String(cut(s)), rest, err
	case msgp.BinType:
		s, rest, err := msgp.ReadBytesZC(b)
		return event.String(cut(string(s))), rest, err
	case msgp.BoolType:
		v, rest, err := msgp.ReadBoolBytes(b)
		return event.Bool(v), rest, err
	case msgp.IntType:
		v, rest, err := msgp.ReadInt64Bytes(b)
		return event.Int(v), rest, err
	case msgp.UintType:
		v, rest, err := msgp.ReadUint64Bytes(b)
		if v > math.MaxInt64 {
			return event.Float(float64(v)), rest, err
		}
		return event.Int(int64(v)), rest, err
	case msgp.Float32Type:
		v, rest, err := msgp.ReadFloat32Bytes(b)
		return event.Float(float64(v)), rest, err
	case msgp.Float64Type:
		v, rest, err := msgp.ReadFloat64Bytes(b)
		return event.Float(v), rest, err
	case msgp.NilType:
		rest, err := msgp.ReadNilBytes(b)
		return event.Value{}, rest, err
	case msgp.TimeType:
		v, rest, err := msgp.ReadTimeUTCBytes(b)
		return event.String(v.Format(time.RFC3339Nano)), rest, err
	case msgp.MapType, msgp.ArrayType:
		var text strings.Builder
		rest, err := msgpackJSON(&text, b, depth)
		return event.String(cut(text.String())), rest, err
	default:
		rest, err := msgp.Skip(b)
		return event.Value{}, rest, err
	}
}

func msgpackJSON(dst *strings.Builder, b []byte, depth int) ([]byte, error) {
	if msgp.NextType(b) == msgp.MapType {
		n, b, err := msgp.ReadMapHeaderBytes(b)
		if err != nil || int(n) > len(b) {
			return nil, errMalformed
		}
		dst.WriteByte('{')
		for i := range n {
			if i > 0 {
				dst.WriteByte(',')
			}
			var key []byte
			if key, b, err = msgp.ReadMapKeyZC(b); err != nil {
				return nil, errMalformed
			}
			writeJSON(dst, event.String(string(key)))
			dst.WriteByte(':')
			if b, err = msgpackElement(dst, b, depth); err != nil {
				return nil, err
			}
		}
		dst.WriteByte('}')
		return b, nil
	}
	n, b, err := msgp.ReadArrayHeaderBytes(b)
	if err != nil || int(n) > len(b) {
		return nil, errMalformed
	}
	dst.WriteByte('[')
	for i := range n {
		if i > 0 {
			dst.WriteByte(',')
		}
		if b, err = msgpackElement(dst, b, depth); err != nil {
			return nil, err
		}
	}
	dst.WriteByte(']')
	return b, nil
}

func msgpackElement(dst *strings.Builder, b []byte, depth int) ([]byte, error) {
	if t := msgp.NextType(b); t == msgp.MapType || t == msgp.ArrayType {
		if depth >= maxDepth {
			return nil, errMalformed
		}
		return msgpackJSON(dst, b, depth+1)
	}
	v, rest, err := msgpackValue(b, depth+1)
	if err != nil {
		return nil, err
	}
	writeJSON(dst, v)
	return rest, nil
}

func writeJSON(dst *strings.Builder, v event.Value) { dst.Write(appendJSON(nil, v)) }

// appendJSON appends v as JSON; missing values, NaN and infinities are null.
func appendJSON(dst []byte, v event.Value) []byte {
	switch v.Kind() {
	case event.KindString:
		var buf bytes.Buffer
		enc := json.NewEncoder(&buf)
		enc.SetEscapeHTML(false)
		_ = enc.Encode(v.Str()) // a string always encodes
		return append(dst, bytes.TrimSuffix(buf.Bytes(), []byte("\n"))...)
	case event.KindFloat:
		if f := v.Float(); math.IsNaN(f) || math.IsInf(f, 0) {
			return append(dst, "null"...)
		}
		return append(dst, v.Text()...)
	case event.None:
		return append(dst, "null"...)
	default:
		return append(dst, v.Text()...)
	}
}
