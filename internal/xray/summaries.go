package xray

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math"
	"slices"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
)

const (
	// pageSummaries is the size of a page, pageScanned how many traces are looked at for one.
	pageSummaries = 500
	pageScanned   = 20_000
)

type samplingStrategy struct {
	Name  string
	Value *float64
}

type traceSummariesIn struct {
	StartTime, EndTime *float64
	TimeRangeType      string
	Sampling           bool
	SamplingStrategy   *samplingStrategy
	FilterExpression   string
	NextToken          string
}

type serviceID struct {
	Name      string
	Names     []string
	AccountID string `json:"AccountId,omitempty"`
	Type      string
}

type annotationOut struct {
	AnnotationValue map[string]json.RawMessage
	ServiceIDs      []serviceID `json:"ServiceIds"`
}

type userOut struct {
	UserName   string
	ServiceIDs []serviceID `json:"ServiceIds"`
}

type exceptionOut struct{ Name, Message string }

type entityOut struct {
	Name       string
	Exceptions *[]exceptionOut `json:",omitempty"`
	Coverage   *float64        `json:",omitempty"`
	Remote     bool
}

type causeServiceOut struct {
	serviceID
	EntityPath []entityOut
	Inferred   bool
}

type causeOut struct {
	Services        []causeServiceOut
	ClientImpacting bool
}

type httpOut struct {
	HTTPURL    string `json:"HttpURL,omitempty"`
	HTTPStatus *int64 `json:"HttpStatus,omitempty"`
	HTTPMethod string `json:"HttpMethod,omitempty"`
	UserAgent  string `json:",omitempty"`
	ClientIP   string `json:"ClientIp,omitempty"`
}

type arnOut struct{ ARN string }

type idOut struct {
	ID string `json:"Id"`
}

type nameOut struct{ Name string }

type summaryOut struct {
	ID                               string `json:"Id"`
	StartTime                        float64
	Duration                         float64
	ResponseTime                     *float64 `json:",omitempty"`
	HasFault, HasError, HasThrottle  bool
	IsPartial                        bool
	HTTP                             httpOut `json:"Http"`
	Annotations                      map[string][]annotationOut
	Users                            []userOut
	ServiceIDs                       []serviceID `json:"ServiceIds"`
	ResourceARNs                     []arnOut
	InstanceIDs                      []idOut `json:"InstanceIds"`
	AvailabilityZones                []nameOut
	EntryPoint                       serviceID
	FaultRootCauses, ErrorRootCauses []causeOut
	ResponseTimeRootCauses           []causeOut
	Revision                         int
	MatchedEventTime                 *float64 `json:",omitempty"`
}

type traceSummariesOut struct {
	TraceSummaries       []summaryOut
	ApproximateTime      float64
	TracesProcessedCount int
	NextToken            string `json:",omitempty"`
}

func (s *Server) getTraceSummaries(ctx context.Context, r *awsapi.Request, in traceSummariesIn) (*traceSummariesOut, error) {
	from, to, err := timeRange(in.StartTime, in.EndTime)
	if err != nil {
		return nil, err
	}
	rng := traceRange{kind: rangeType(in.TimeRangeType), from: from, to: to}
	switch rng.kind {
	case "":
		rng.kind = byTraceID
	case byTraceID, byEvent, byService:
	default:
		return nil, awsapi.Errorf(codeInvalidRequest, "TimeRangeType must be one of TraceId, Event and Service.")
	}
	rate := 1.0
	if st := in.SamplingStrategy; st != nil {
		switch {
		case st.Name == "FixedRate" && st.Value != nil && *st.Value >= 0 && *st.Value <= 1:
			rate = *st.Value
		case st.Name != "" && st.Name != "PartialScan":
			return nil, awsapi.Errorf(codeInvalidRequest, "SamplingStrategy must be PartialScan, or FixedRate with a Value from 0 to 1.")
		}
	}
	t := tenantOf(r)
	where, err := s.compile(ctx, t, in.FilterExpression)
	if err != nil {
		return nil, filterError(err)
	}
	holds, err := s.matcher(ctx, t, where)
	if err != nil {
		return nil, err
	}
	token := in.NextToken
	in.NextToken = ""
	hash := requestHash(in)
	after, err := readToken(token, hash)
	if err != nil {
		return nil, err
	}
	out := &traceSummariesOut{TraceSummaries: []summaryOut{}, ApproximateTime: *in.StartTime}
	// Those that match are read in full when less was enough to tell.
	var stats query.Stats
	if where != nil {
		rng.detail = detailOf(where)
		if rng.hint, err = s.hintOf(ctx, t, where); err != nil {
			return nil, err
		}
	}
	var last *trace
	var matched []candidate
	err = s.scan(ctx, t, rng, after, &stats, func(tr *trace) bool {
		if len(out.TraceSummaries)+len(matched) >= pageSummaries || out.TracesProcessedCount >= pageScanned {
			out.NextToken = position{nanos(last.start), last.id}.token(hash)
			out.ApproximateTime = last.start
			return false
		}
		last = tr
		out.TracesProcessedCount++
		switch {
		case !kept(tr.id, rate) || !holds(tr):
		case rng.detail == whole:
			out.TraceSummaries = append(out.TraceSummaries, rng.summary(tr, t.account))
		default:
			matched = append(matched, candidate{tr.id, nanos(tr.start), nanos(tr.end), int64(tr.revision)})
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	err = s.visitAll(ctx, t, matched, whole, &stats, func(tr *trace) bool {
		out.TraceSummaries = append(out.TraceSummaries, rng.summary(tr, t.account))
		return true
	})
	return out, err
}

// summary describes a trace of the range.
func (r traceRange) summary(t *trace, account string) summaryOut {
	sum := t.summary(account)
	if r.kind == byEvent {
		at := min(t.end, seconds(r.to.UnixNano()))
		sum.MatchedEventTime = &at
	}
	return sum
}

// kept reports whether a sample of a rate includes a trace; the same traces are in every sample
// of a rate.
func kept(id event.TraceID, rate float64) bool {
	sum := sha256.Sum256(id[:])
	return float64(binary.BigEndian.Uint64(sum[:])) < rate*math.MaxUint64
}

// requestHash identifies what a token belongs to.
func requestHash(in any) string {
	sum := sha256.Sum256(encode(in))
	return hex.EncodeToString(sum[:8])
}

func (p position) token(hash string) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(p.start))
	return base64.RawURLEncoding.EncodeToString(append(append(b, p.id[:]...), hash...))
}

func readToken(token, hash string) (*position, error) {
	if token == "" {
		return nil, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) < 24 || string(b[24:]) != hash {
		return nil, awsapi.Errorf(codeInvalidRequest, "NextToken does not belong to this request.")
	}
	p := &position{start: int64(binary.BigEndian.Uint64(b))}
	copy(p.id[:], b[8:24])
	return p, nil
}

func (n node) id() serviceID { return serviceID{n.name, []string{n.name}, n.account, n.kind} }

// summary describes a trace as GetTraceSummaries answers it.
func (t *trace) summary(account string) summaryOut {
	e := t.entry
	out := summaryOut{
		ID: t.id.XRay(), StartTime: t.start, Duration: round6(t.end - t.start), HasFault: e.fault, HasError: e.isError, IsPartial: t.partial,
		HTTP:        httpOut{e.http.url, e.http.status, e.http.method, e.http.userAgent, e.http.clientIP},
		Annotations: map[string][]annotationOut{}, Users: []userOut{}, ServiceIDs: []serviceID{}, ResourceARNs: []arnOut{}, InstanceIDs: []idOut{}, AvailabilityZones: []nameOut{},
		EntryPoint: e.node(account).id(), Revision: t.revision,
		FaultRootCauses: causesOut(t.failures(account, isFault), true), ErrorRootCauses: causesOut(t.failures(account, isError), true),
		ResponseTimeRootCauses: causesOut(t.slowest(account), false),
	}
	if !e.inProgress {
		d := round6(e.duration())
		out.ResponseTime = &d
	}
	for _, s := range t.segments {
		out.HasThrottle = out.HasThrottle || s.throttle
		if id := s.node(account).id(); !s.sub && !slices.ContainsFunc(out.ServiceIDs, id.same) {
			out.ServiceIDs = append(out.ServiceIDs, id)
		}
	}
	all := t.all()
	for _, a := range t.annotationsOf(all) {
		value := annotationValue(a.Value)
		list := out.Annotations[a.Name]
		i := slices.IndexFunc(list, func(o annotationOut) bool { return string(encode(o.AnnotationValue)) == string(encode(value)) })
		if i < 0 {
			i = len(list)
			list = append(list, annotationOut{value, []serviceID{}})
		}
		list[i].ServiceIDs = addService(list[i].ServiceIDs, a.segment.node(account).id())
		out.Annotations[a.Name] = list
	}
	for _, x := range all {
		if x.user == "" || x.inferred {
			continue
		}
		i := slices.IndexFunc(out.Users, func(u userOut) bool { return u.UserName == x.user })
		if i < 0 {
			i = len(out.Users)
			out.Users = append(out.Users, userOut{x.user, nil})
		}
		out.Users[i].ServiceIDs = addService(out.Users[i].ServiceIDs, x.segment.node(account).id())
	}
	for _, v := range t.values(all, "resource.arn", account) {
		out.ResourceARNs = append(out.ResourceARNs, arnOut{v})
	}
	for _, v := range t.values(all, "instance.id", account) {
		out.InstanceIDs = append(out.InstanceIDs, idOut{v})
	}
	for _, v := range t.values(all, "availabilityzone", account) {
		out.AvailabilityZones = append(out.AvailabilityZones, nameOut{v})
	}
	return out
}

func (s serviceID) same(o serviceID) bool {
	return s.Name == o.Name && s.Type == o.Type && s.AccountID == o.AccountID
}

func addService(list []serviceID, id serviceID) []serviceID {
	if slices.ContainsFunc(list, id.same) {
		return list
	}
	return append(list, id)
}

func annotationValue(v event.Value) map[string]json.RawMessage {
	member := "NumberValue"
	switch v.Kind() {
	case event.KindString:
		member = "StringValue"
	case event.KindBool:
		member = "BooleanValue"
	}
	return map[string]json.RawMessage{member: valueJSON(v)}
}

func causesOut(list []cause, failures bool) []causeOut {
	out := []causeOut{}
	for _, c := range list {
		o := causeOut{ClientImpacting: c.impacting}
		for _, s := range c.services {
			so := causeServiceOut{serviceID: s.id(), Inferred: s.inferred}
			for _, e := range s.path {
				eo := entityOut{Name: e.name, Remote: e.remote}
				if failures {
					list := []exceptionOut{}
					for _, x := range e.exceptions {
						list = append(list, exceptionOut{x.kind, x.message})
					}
					eo.Exceptions = &list
				} else {
					coverage := math.Round(e.coverage*1000) / 1000
					eo.Coverage = &coverage
				}
				so.EntityPath = append(so.EntityPath, eo)
			}
			o.Services = append(o.Services, so)
		}
		out = append(out, o)
	}
	return out
}

// round6 drops what subtracting floats adds below a microsecond.
func round6(f float64) float64 { return math.Round(f*1e6) / 1e6 }

// Summaries lists the traces that are active in a range, the newest first. The error of a bad
// filter has a *syntax.Error in its chain; a cursor of another request is an error of the API.
func (s *Server) Summaries(ctx context.Context, in SummariesInput) (SummariesPage, error) {
	t := s.console()
	where, err := s.compile(ctx, t, in.Filter)
	if err != nil {
		return SummariesPage{}, err
	}
	// Only the filter: the range of a list that follows the clock moves from page to page.
	hash := requestHash(in.Filter)
	after, err := readToken(in.Cursor, hash)
	if err != nil {
		return SummariesPage{}, err
	}
	holds, err := s.matcher(ctx, t, where)
	if err != nil {
		return SummariesPage{}, err
	}
	limit := in.Limit
	if limit <= 0 {
		limit = 100
	}
	var page SummariesPage
	var last *trace
	var found []*trace // outlines of those that match
	d := detailOf(where)
	ids := map[event.TraceID]struct{}{}
	hint, err := s.hintOf(ctx, t, where)
	if err != nil {
		return page, err
	}
	err = s.scan(ctx, t, traceRange{kind: byEvent, from: in.From, to: in.To, detail: d, hint: hint}, after, &page.Stats, func(tr *trace) bool {
		if len(ids) >= limit || page.Seen >= pageScanned {
			page.NextCursor = position{nanos(last.start), last.id}.token(hash)
			return false
		}
		last = tr
		page.Seen++
		if holds(tr) {
			ids[tr.id] = struct{}{}
			if d == outline {
				found = append(found, tr)
			} else {
				page.Traces = append(page.Traces, tr.consoleSummary())
			}
		}
		return true
	})
	if err != nil || len(ids) == 0 {
		return page, err
	}
	if err := s.requests(ctx, t, found, &page.Stats); err != nil {
		return page, err
	}
	for _, tr := range found {
		page.Traces = append(page.Traces, tr.consoleSummary())
	}
	from := page.Traces[len(page.Traces)-1].Start.Add(-time.Minute)
	logs, err := s.logLines(ctx, t, ids, from, in.To.Add(time.Hour), &page.Stats)
	if err != nil {
		return SummariesPage{}, err
	}
	for i := range page.Traces {
		sum := &page.Traces[i]
		sum.Logs += logs[sum.ID]
	}
	return page, nil
}

// consoleSummary describes a trace for the console, in the words of all its sources.
func (t *trace) consoleSummary() Summary {
	e := t.entry
	out := Summary{
		ID: t.id, Start: time.Unix(0, nanos(t.start)).UTC(), Duration: time.Duration(nanos(t.end) - nanos(t.start)),
		RootName: e.name, RootService: e.name, Method: e.http.method, URL: e.http.url, Spans: t.spans, Logs: t.logs, Partial: t.partial,
	}
	if e.span != nil {
		out.RootName = e.span.text("name")
		if svc := e.span.text("service.name", "service_name"); svc != "" {
			out.RootService = svc
		}
	}
	if e.http.status != nil {
		out.Status = int(*e.http.status)
	}
	services := map[string]bool{}
	t.each(func(x *entity) {
		if x.inferred {
			return
		}
		out.Error, out.Fault, out.Throttle = out.Error || x.isError, out.Fault || x.fault, out.Throttle || x.throttle
		switch {
		case x.span != nil:
			if svc := x.span.text("service.name", "service_name"); svc != "" {
				services[svc] = true
			}
		case !x.sub:
			services[x.name] = true
		}
	})
	for i, name := range []string{"otlp", "events", "xray"} {
		if t.sources&(1<<i) != 0 {
			out.Sources = append(out.Sources, name)
		}
	}
	out.Services = sortedKeys(services)
	return out
}

// Documents returns the segments of a trace as BatchGetTraces answers them, the earliest first;
// rows are its spans, what belongs to them, and its rows with a segment document.
func (s *Server) Documents(id event.TraceID, rows []map[string]event.Value) []Document {
	docs := map[event.TraceID][]*document{id: s.pending.of(s.cfg.Environment, id)}
	c := newSpanCollector(docs, map[event.TraceID]int{})
	for _, row := range rows {
		if !row["xray.document"].Missing() {
			c.addDocument(row)
		} else {
			c.add(row)
		}
	}
	c.finish()
	tr := assemble(id, docs[id])
	if tr == nil {
		return nil
	}
	var out []Document
	for _, e := range tr.segments {
		out = append(out, Document{e.id.String(), e.name, tr.render(e)})
	}
	return out
}

// PendingRows returns the events that the documents in progress of a trace will be if their ends
// never come.
func (s *Server) PendingRows(ctx context.Context, id event.TraceID) ([]*event.Batch, error) {
	docs := s.pending.of(s.cfg.Environment, id)
	if len(docs) == 0 {
		return nil, nil
	}
	b, err := s.batch(ctx, s.cfg.Environment, docs)
	if err != nil {
		return nil, err
	}
	return []*event.Batch{b}, nil
}
