package cwmetrics

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/smithy-go/encoding/cbor"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/body"
	"github.com/trefoil-o11y/trefoil/internal/query"
)

// The service speaks three protocols, of which SDKs have used one after the other: forms answered by
// XML, JSON 1.0, and CBOR (Smithy's RPC v2). Requests become a tree of maps, lists and scalars, and
// from there the input of an operation; answers are made as trees.
const (
	serviceName = "GraniteServiceVersion20100801"
	cborPath    = "/service/" + serviceName + "/operation/"
	// TargetPrefix is what X-Amz-Target begins with in JSON.
	TargetPrefix = serviceName + "."
	apiVersion   = "2010-08-01"
	xmlNamespace = "http://monitoring.amazonaws.com/doc/2010-08-01/"

	maxBody     = 1 << 20
	maxInflated = 16 << 20
	maxDepth    = 16
)

// Path is the path below which CBOR requests come.
const Path = "/service/" + serviceName + "/"

// Wants reports whether a form is this service's: by the service that it is signed for, else by the
// version that it names.
func Wants(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Authorization"), "/monitoring/aws4_request") || r.URL.Query().Get("Version") == apiVersion
}

type protocol uint8

const (
	formXML protocol = iota
	json10
	rpcCBOR
)

// member is a named value of an object.
type member struct {
	name  string
	value any // object, list, string, float64, time.Time, bool
}

type (
	object  []member
	entries []member // a map, which XML writes otherwise than an object
	list    []any
)

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := awsapi.NewRequestID()
	w.Header().Set("x-amzn-RequestId", id)
	p := formXML
	switch {
	case strings.HasPrefix(r.URL.Path, cborPath):
		p = rpcCBOR
		w.Header().Set("smithy-protocol", "rpc-v2-cbor")
	case strings.HasPrefix(r.Header.Get("X-Amz-Target"), TargetPrefix):
		p = json10
	}
	name, out, err := s.call(w, r, p)
	if err != nil {
		s.refuse(w, r, p, id, err)
		return
	}
	write(w, http.StatusOK, p, p.answer(name, out, id))
}

func write(w http.ResponseWriter, status int, p protocol, text []byte) {
	w.Header().Set("Content-Type", [...]string{"text/xml", "application/x-amz-json-1.0", "application/cbor"}[p])
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	_, _ = w.Write(text)
}

func (s *Server) call(w http.ResponseWriter, r *http.Request, p protocol) (name string, out object, err error) {
	buffer := body.NewBuffer()
	defer buffer.Release()
	raw, err := buffer.Read(w, r, maxBody)
	if err != nil {
		return "", nil, bodyError(err)
	}
	caller, err := s.cfg.Auth.Check(r, raw, false)
	if err != nil {
		return "", nil, err
	}
	text, err := buffer.Inflate(r.Header.Get("Content-Encoding"), raw, maxInflated)
	if err != nil {
		return "", nil, bodyError(err)
	}
	var in map[string]any
	switch p {
	case rpcCBOR:
		name = strings.TrimPrefix(r.URL.Path, cborPath)
		in, err = fromCBOR(text)
	case json10:
		name = strings.TrimPrefix(r.Header.Get("X-Amz-Target"), TargetPrefix)
		in, err = fromJSON(text)
	default:
		name, in, err = fromForm(r, text)
	}
	if err != nil {
		return name, nil, malformed(err)
	}
	op, ok := operations[name]
	if !ok {
		return name, nil, &fault{http.StatusBadRequest, "UnknownOperationException", "InvalidAction", fmt.Sprintf("%s is not an operation that this server answers", name)}
	}
	out, err = op(s, r.Context(), caller, in)
	return name, out, err
}

// fault is an answer that is not a success: code is its name in JSON and CBOR, query in forms.
type fault struct {
	status      int
	code, query string
	msg         string
}

func (f *fault) Error() string { return f.code + ": " + f.msg }

func malformed(err error) error {
	return &fault{http.StatusBadRequest, "SerializationException", "MalformedInput", fmt.Sprintf("the request can not be read: %v", err)}
}

func bodyError(err error) error {
	if errors.Is(err, body.ErrTooLarge) {
		return &fault{http.StatusRequestEntityTooLarge, "RequestEntityTooLargeException", "RequestEntityTooLarge", fmt.Sprintf("The request body is larger than %d bytes, or %d inflated.", maxBody, maxInflated)}
	}
	return malformed(err)
}

func (s *Server) refuse(w http.ResponseWriter, r *http.Request, p protocol, id string, err error) {
	var f *fault
	var e *awsapi.Error
	switch {
	case errors.As(err, &f):
	case errors.As(err, &e):
		f = &fault{max(e.Status, http.StatusBadRequest), e.Code, e.Code, e.Message}
	case errors.Is(err, query.ErrTooLarge):
		f = invalidCombination("The request would read too much at once. Ask for a shorter time range.")
	default:
		if r.Context().Err() == nil {
			s.cfg.Log.Error("metrics operation", "path", r.URL.Path, "target", r.Header.Get("X-Amz-Target"), "error", err)
		}
		f = &fault{http.StatusInternalServerError, "InternalServiceFault", "InternalServiceError", "An internal error occurred."}
	}
	who := "Sender"
	if f.status >= 500 {
		who = "Receiver"
	}
	switch p {
	case formXML:
		var b bytes.Buffer
		fmt.Fprintf(&b, `<ErrorResponse xmlns="%s"><Error><Type>%s</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>%s</RequestId></ErrorResponse>`,
			xmlNamespace, who, escaped(f.query), escaped(f.msg), id)
		write(w, f.status, p, b.Bytes())
	default:
		w.Header().Set("x-amzn-query-error", f.query+";"+who)
		w.Header().Set("x-amzn-ErrorType", f.code)
		write(w, f.status, p, p.answer("", object{{"__type", f.code}, {"message", f.msg}}, id))
	}
}

// answer encodes the answer of an operation.
func (p protocol) answer(name string, out object, id string) []byte {
	switch p {
	case json10:
		var b bytes.Buffer
		writeJSON(&b, out)
		return b.Bytes()
	case rpcCBOR:
		return cbor.Encode(toCBOR(out))
	default:
		var b bytes.Buffer
		fmt.Fprintf(&b, `<%sResponse xmlns="%s">`, name, xmlNamespace)
		if len(out) > 0 {
			fmt.Fprintf(&b, "<%sResult>", name)
			writeXML(&b, out)
			fmt.Fprintf(&b, "</%sResult>", name)
		}
		fmt.Fprintf(&b, "<ResponseMetadata><RequestId>%s</RequestId></ResponseMetadata></%sResponse>", id, name)
		return b.Bytes()
	}
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func writeJSON(b *bytes.Buffer, v any) {
	switch v := v.(type) {
	case object:
		b.WriteByte('{')
		for i, m := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			writeJSON(b, m.name)
			b.WriteByte(':')
			writeJSON(b, m.value)
		}
		b.WriteByte('}')
	case list:
		b.WriteByte('[')
		for i, x := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			writeJSON(b, x)
		}
		b.WriteByte(']')
	case entries:
		writeJSON(b, object(v))
	case time.Time:
		writeJSON(b, seconds(v))
	default:
		text, err := json.Marshal(v)
		if err != nil {
			panic(fmt.Sprintf("cwmetrics: no JSON of %T", v))
		}
		b.Write(text)
	}
}

func toCBOR(v any) cbor.Value {
	switch v := v.(type) {
	case object:
		out := cbor.Map{}
		for _, m := range v {
			out[m.name] = toCBOR(m.value)
		}
		return out
	case list:
		out := cbor.List{}
		for _, x := range v {
			out = append(out, toCBOR(x))
		}
		return out
	case entries:
		return toCBOR(object(v))
	case string:
		return cbor.String(v)
	case float64:
		return cbor.Float64(v)
	case bool:
		return cbor.Bool(v)
	case time.Time:
		return &cbor.Tag{ID: 1, Value: cbor.Float64(seconds(v))}
	default:
		panic(fmt.Sprintf("cwmetrics: no CBOR of %T", v))
	}
}

func escaped(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder takes everything
	return b.String()
}

func writeXML(b *bytes.Buffer, v any) {
	switch v := v.(type) {
	case object:
		for _, m := range v {
			fmt.Fprintf(b, "<%s>", m.name)
			writeXML(b, m.value)
			fmt.Fprintf(b, "</%s>", m.name)
		}
	case list:
		for _, x := range v {
			b.WriteString("<member>")
			writeXML(b, x)
			b.WriteString("</member>")
		}
	case entries:
		for _, m := range v {
			fmt.Fprintf(b, "<entry><key>%s</key><value>", escaped(m.name))
			writeXML(b, m.value)
			b.WriteString("</value></entry>")
		}
	case time.Time:
		b.WriteString(v.UTC().Format("2006-01-02T15:04:05Z"))
	case float64:
		b.WriteString(strconv.FormatFloat(v, 'g', -1, 64))
	case bool:
		b.WriteString(strconv.FormatBool(v))
	case string:
		b.WriteString(escaped(v))
	default:
		panic(fmt.Sprintf("cwmetrics: no XML of %T", v))
	}
}

func fromJSON(text []byte) (map[string]any, error) {
	in := map[string]any{}
	if len(bytes.TrimSpace(text)) == 0 {
		return in, nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&in); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("something follows the object")
	}
	return in, nil
}

func fromCBOR(text []byte) (map[string]any, error) {
	if len(text) == 0 {
		return map[string]any{}, nil
	}
	v, err := cbor.Decode(text)
	if err != nil {
		return nil, err
	}
	in, ok := plain(v).(map[string]any)
	if !ok {
		return nil, errors.New("it is no map")
	}
	return in, nil
}

// plain turns a CBOR value into what fromJSON would make of it.
func plain(v cbor.Value) any {
	switch v := v.(type) {
	case cbor.Map:
		out := map[string]any{}
		for k, x := range v {
			if p := plain(x); p != nil {
				out[k] = p
			}
		}
		return out
	case cbor.List:
		out := make([]any, 0, len(v))
		for _, x := range v {
			out = append(out, plain(x))
		}
		return out
	case cbor.String:
		return string(v)
	case cbor.Slice:
		return base64.StdEncoding.EncodeToString(v)
	case cbor.Bool:
		return bool(v)
	case cbor.Uint:
		return json.Number(strconv.FormatUint(uint64(v), 10))
	case cbor.NegInt:
		return json.Number("-" + strconv.FormatUint(uint64(v), 10))
	case cbor.Float32:
		return decimal(float64(v))
	case cbor.Float64:
		return decimal(float64(v))
	case *cbor.Tag:
		return plain(v.Value)
	default:
		return nil
	}
}

func decimal(f float64) any {
	text := strconv.FormatFloat(f, 'g', -1, 64)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return text
	}
	return json.Number(text)
}

// fromForm reads a form: dots lead into maps, ".member." and a number into lists.
func fromForm(r *http.Request, text []byte) (name string, in map[string]any, err error) {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/x-www-form-urlencoded" {
		return "", nil, errors.New("it is neither a form nor JSON nor CBOR")
	}
	form, err := url.ParseQuery(string(text))
	if err != nil {
		return "", nil, err
	}
	root := &branch{}
	for key, values := range form {
		if key == "Action" || key == "Version" {
			continue
		}
		steps := strings.Split(key, ".")
		if len(steps) > maxDepth {
			return "", nil, fmt.Errorf("%q is nested too deep", key)
		}
		at := root
		for _, step := range steps {
			if at.next == nil {
				at.next = map[string]*branch{}
			}
			if at.next[step] == nil {
				at.next[step] = &branch{}
			}
			at = at.next[step]
		}
		at.leaf = values[0]
	}
	in, _ = root.value().(map[string]any)
	if in == nil {
		in = map[string]any{}
	}
	return form.Get("Action"), in, nil
}

type branch struct {
	leaf string
	next map[string]*branch
}

func (b *branch) value() any {
	if b.next == nil {
		return b.leaf
	}
	if m := b.next["member"]; m != nil && len(b.next) == 1 && m.next != nil {
		var at []int
		for k := range m.next {
			n, err := strconv.Atoi(k)
			if err != nil {
				return nil
			}
			at = append(at, n)
		}
		slices.Sort(at)
		out := make([]any, 0, len(at))
		for _, n := range at {
			if x := m.next[strconv.Itoa(n)]; x != nil {
				out = append(out, x.value())
			}
		}
		return out
	}
	out := map[string]any{}
	for k, x := range b.next {
		out[k] = x.value()
	}
	return out
}
