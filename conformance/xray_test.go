package conformance

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/xray"
	"github.com/aws/aws-sdk-go-v2/service/xray/types"
	sdk "github.com/aws/aws-xray-sdk-go/v2/xray"
)

// xrayClient returns AWS's client for a server.
func (s *server) xrayClient() *xray.Client {
	s.t.Helper()
	for _, v := range s.environment() {
		if name, value, _ := strings.Cut(v, "="); strings.HasPrefix(name, "AWS_") {
			if t, ok := s.t.(*testing.T); ok {
				t.Setenv(name, value)
			}
		}
	}
	cfg, err := config.LoadDefaultConfig(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return xray.NewFromConfig(cfg)
}

// TestXRayErrors is X4.
func TestXRayErrors(t *testing.T) {
	s := serve(t)
	c := s.xrayClient()
	ctx := t.Context()
	now := time.Now()
	rule := func(change func(*types.SamplingRule)) error {
		r := &types.SamplingRule{
			RuleName: aws.String("r"), ResourceARN: aws.String("*"), Priority: aws.Int32(5), FixedRate: 0.5, ReservoirSize: 1, ServiceName: aws.String("*"), ServiceType: aws.String("*"),
			Host: aws.String("*"), HTTPMethod: aws.String("*"), URLPath: aws.String("*"), Version: aws.Int32(1),
		}
		change(r)
		_, err := c.CreateSamplingRule(ctx, &xray.CreateSamplingRuleInput{SamplingRule: r})
		return err
	}
	group := func(in *xray.CreateGroupInput) error { _, err := c.CreateGroup(ctx, in); return err }
	for name, err := range map[string]error{
		"a long group name": group(&xray.CreateGroupInput{GroupName: aws.String(strings.Repeat("g", 33))}),
		"a bad filter":      group(&xray.CreateGroupInput{GroupName: aws.String("g"), FilterExpression: aws.String(`service("x" {`)}),
		"the group Default": group(&xray.CreateGroupInput{GroupName: aws.String("Default")}),
		"neither name": func() error {
			_, err := c.GetGroup(ctx, &xray.GetGroupInput{})
			return err
		}(),
		"a range that ends before it begins": func() error {
			_, err := c.GetServiceGraph(ctx, &xray.GetServiceGraphInput{StartTime: aws.Time(now), EndTime: aws.Time(now.Add(-time.Hour))})
			return err
		}(),
		"a bad filter of a list": func() error {
			_, err := c.GetTraceSummaries(ctx, &xray.GetTraceSummariesInput{StartTime: aws.Time(now.Add(-time.Hour)), EndTime: aws.Time(now), FilterExpression: aws.String(`service("x" {`)})
			return err
		}(),
		"no results": func() error {
			_, err := c.GetInsightSummaries(ctx, &xray.GetInsightSummariesInput{StartTime: aws.Time(now.Add(-time.Hour)), EndTime: aws.Time(now), GroupName: aws.String("Default"), MaxResults: aws.Int32(0)})
			return err
		}(),
		"too many results": func() error {
			_, err := c.GetInsightSummaries(ctx, &xray.GetInsightSummariesInput{StartTime: aws.Time(now.Add(-time.Hour)), EndTime: aws.Time(now), GroupName: aws.String("Default"), MaxResults: aws.Int32(101)})
			return err
		}(),
		"priority 0":     rule(func(r *types.SamplingRule) { r.Priority = aws.Int32(0) }),
		"priority 10000": rule(func(r *types.SamplingRule) { r.Priority = aws.Int32(10000) }),
		"rate 1.1":       rule(func(r *types.SamplingRule) { r.FixedRate = 1.1 }),
		"version 2":      rule(func(r *types.SamplingRule) { r.Version = aws.Int32(2) }),
		"Default deleted": func() error {
			_, err := c.DeleteSamplingRule(ctx, &xray.DeleteSamplingRuleInput{RuleName: aws.String("Default")})
			return err
		}(),
		"Default renamed": func() error {
			_, err := c.UpdateSamplingRule(ctx, &xray.UpdateSamplingRuleInput{SamplingRuleUpdate: &types.SamplingRuleUpdate{RuleName: aws.String("Default"), ServiceName: aws.String("x")}})
			return err
		}(),
	} {
		var invalid *types.InvalidRequestException
		if !errors.As(err, &invalid) || invalid.ErrorMessage() == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range 25 {
		if err := rule(func(r *types.SamplingRule) { r.RuleName = aws.String(fmt.Sprintf("rule-%d", i)) }); err != nil {
			t.Fatal(err)
		}
	}
	var limit *types.RuleLimitExceededException
	if err := rule(func(r *types.SamplingRule) { r.RuleName = aws.String("one-more") }); !errors.As(err, &limit) {
		t.Errorf("the 26th rule: %v", err)
	}
	var missing *types.ResourceNotFoundException
	if _, err := c.ListTagsForResource(ctx, &xray.ListTagsForResourceInput{ResourceARN: aws.String("arn:aws:xray:us-east-1:000000000000:group/none/X")}); !errors.As(err, &missing) || aws.ToString(missing.ResourceName) == "" {
		t.Errorf("tags of what is not there: %v", err)
	}
}

// TestXRayNode is X6.
func TestXRayNode(t *testing.T) { serve(t).run("node", "node", "xray.mjs") }

// TestXRayGo is X7: AWS's client and AWS's SDK for applications.
func TestXRayGo(t *testing.T) {
	s := serve(t)
	c := s.xrayClient()
	began := time.Now().Add(-time.Second)
	emitter, err := sdk.NewDefaultEmitter(udpAddress(t, s.XRay))
	if err != nil {
		t.Fatal(err)
	}
	ctx, err := sdk.ContextWithConfig(t.Context(), sdk.Config{DaemonAddr: s.XRay, Emitter: emitter})
	if err != nil {
		t.Fatal(err)
	}
	handler := sdk.HandlerWithContext(ctx, sdk.NewFixedSegmentNamer("go-app"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := sdk.Capture(r.Context(), "load", func(ctx context.Context) error {
			if err := sdk.AddAnnotation(ctx, "path", r.URL.Path); err != nil {
				return err
			}
			if r.URL.Path == "/fail" {
				return errors.New("out of order")
			}
			return nil
		})
		if err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	app := httptest.NewServer(handler)
	defer app.Close()
	for i, path := range []string{"/ok", "/fail", "/ok"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, app.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Amzn-Trace-Id", fmt.Sprintf("Root=1-%08x-%024x;Sampled=1", time.Now().Unix(), i+1))
		res, err := app.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
	}
	summaries := func(filter string) (out []types.TraceSummary) {
		t.Helper()
		p := xray.NewGetTraceSummariesPaginator(c, &xray.GetTraceSummariesInput{StartTime: aws.Time(began), EndTime: aws.Time(time.Now().Add(time.Minute)), TimeRangeType: types.TimeRangeTypeEvent, FilterExpression: aws.String(filter)})
		for p.HasMorePages() {
			page, err := p.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, page.TraceSummaries...)
		}
		return out
	}
	eventually(t, 10*time.Second, "three traces", func() error {
		if n := len(summaries(`service("go-app")`)); n != 3 {
			return fmt.Errorf("%d traces", n)
		}
		return nil
	})
	failed := summaries(`annotation.path = "/fail" AND fault`)
	if len(failed) != 1 || aws.ToInt32(failed[0].Http.HttpStatus) != 503 || len(failed[0].FaultRootCauses) == 0 {
		t.Errorf("failed %+v", failed)
	}
	graph := xray.NewGetServiceGraphPaginator(c, &xray.GetServiceGraphInput{StartTime: aws.Time(began), EndTime: aws.Time(time.Now().Add(time.Minute))})
	for graph.HasMorePages() {
		page, err := graph.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range page.Services {
			if aws.ToString(n.Name) == "go-app" && aws.ToString(n.Type) != "client" {
				if st := n.SummaryStatistics; aws.ToInt64(st.TotalCount) != 3 || aws.ToInt64(st.FaultStatistics.TotalCount) != 1 {
					t.Errorf("node %+v", st)
				}
			}
		}
	}

	// Many traces turn many pages.
	const many = 1203
	var docs []string
	for i := range many {
		docs = append(docs, fmt.Sprintf(`{"name":"many","id":"%016x","trace_id":"1-%08x-%024x","start_time":%d.25,"end_time":%d.5}`, i+1, time.Now().Unix(), i+5000, began.Unix()+1, began.Unix()+1))
	}
	for part := range slices.Chunk(docs, 50) {
		out, err := c.PutTraceSegments(t.Context(), &xray.PutTraceSegmentsInput{TraceSegmentDocuments: part})
		if err != nil || len(out.UnprocessedTraceSegments) > 0 {
			t.Fatal(out, err)
		}
	}
	seen := map[string]bool{}
	for _, sum := range summaries(`service("many")`) {
		seen[aws.ToString(sum.Id)] = true
	}
	if len(seen) != many {
		t.Errorf("%d of %d traces by pages", len(seen), many)
	}
	_, err = c.GetTraceSummaries(t.Context(), &xray.GetTraceSummariesInput{StartTime: aws.Time(began), EndTime: aws.Time(time.Now()), FilterExpression: aws.String("ok >")})
	var invalid *types.InvalidRequestException
	if !errors.As(err, &invalid) || !strings.Contains(invalid.ErrorMessage(), "at position") {
		t.Errorf("a bad filter: %v", err)
	}
}

func udpAddress(t *testing.T, address string) *net.UDPAddr {
	t.Helper()
	a, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// sameApp is an application as OTLP and as X-Ray tell it: front calls cart, which reads a table
// and asks a database and a service that sends nothing; a tenth of the requests fail in cart.
type sameApp struct {
	at    time.Time
	docs  []string
	spans []map[string]any
}

func (a *sameApp) request(n int) {
	trace := fmt.Sprintf("%08x%024x", a.at.Unix(), n+1)
	id := func(k int) string { return fmt.Sprintf("%016x", 100*(n+1)+k) }
	start := a.at.Add(time.Duration(n) * 100 * time.Millisecond)
	failed := n%10 == 0
	status := 200
	if failed {
		status = 500
	}
	seconds := func(ms int) float64 { return float64(start.UnixMilli()+int64(ms)) / 1000 }
	sub := func(k int, name, namespace string, from, to int, more map[string]any) map[string]any {
		d := map[string]any{"id": id(k), "name": name, "start_time": seconds(from), "end_time": seconds(to)}
		if namespace != "" {
			d["namespace"] = namespace
		}
		for k, v := range more {
			d[k] = v
		}
		return d
	}
	result := func(d map[string]any) map[string]any {
		d["http"] = map[string]any{"request": map[string]any{"method": "GET", "url": "http://cart/items"}, "response": map[string]any{"status": status}}
		if failed {
			d["fault"] = true
		}
		return d
	}
	front := result(sub(1, "front", "", 0, 90, map[string]any{"trace_id": "1-" + trace[:8] + "-" + trace[8:], "origin": "AWS::ECS::Fargate"}))
	front["subsegments"] = []any{result(sub(2, "cart", "remote", 10, 80, nil))}
	cart := result(sub(3, "cart", "", 12, 78, map[string]any{"trace_id": front["trace_id"], "parent_id": id(2)}))
	cart["subsegments"] = []any{
		sub(4, "work", "", 13, 20, nil),
		sub(5, "DynamoDB", "aws", 20, 40, map[string]any{"aws": map[string]any{"table_name": "carts", "operation": "GetItem"}}),
		sub(6, "shop@db.local", "remote", 40, 50, map[string]any{"sql": map[string]any{"database_type": "postgresql", "sanitized_query": "SELECT 1"}}),
		sub(7, "prices.example.com", "remote", 50, 60, nil),
	}
	for _, d := range []map[string]any{front, cart} {
		text, err := json.Marshal(d)
		if err != nil {
			panic(err)
		}
		a.docs = append(a.docs, string(text))
	}

	span := func(service string, k int, parent string, kind int, name string, from, to int, attributes map[string]any) {
		var list []any
		for key, v := range attributes {
			value := map[string]any{"stringValue": v}
			if n, ok := v.(int); ok {
				value = map[string]any{"intValue": fmt.Sprint(n)}
			}
			list = append(list, map[string]any{"key": key, "value": value})
		}
		resource := []any{map[string]any{"key": "service.name", "value": map[string]any{"stringValue": service}}}
		if service == "front" {
			for key, v := range map[string]string{"cloud.platform": "aws_ecs", "aws.ecs.launchtype": "fargate"} {
				resource = append(resource, map[string]any{"key": key, "value": map[string]any{"stringValue": v}})
			}
		}
		nano := func(ms int) string { return fmt.Sprint((start.UnixMilli() + int64(ms)) * 1e6) }
		a.spans = append(a.spans, map[string]any{"resource": map[string]any{"attributes": resource}, "scopeSpans": []any{map[string]any{"spans": []any{map[string]any{
			"traceId": trace, "spanId": id(k), "parentSpanId": parent, "name": name, "kind": kind, "startTimeUnixNano": nano(from), "endTimeUnixNano": nano(to), "attributes": list,
		}}}}})
	}
	span("front", 1, "", 2, "GET /items", 0, 90, map[string]any{"http.method": "GET", "http.status_code": status})
	span("front", 2, id(1), 3, "GET", 10, 80, map[string]any{"peer.service": "cart", "http.status_code": status})
	span("cart", 3, id(2), 2, "GET /items", 12, 78, map[string]any{"http.status_code": status})
	span("cart", 4, id(3), 1, "work", 13, 20, nil)
	span("cart", 5, id(3), 3, "DynamoDB.GetItem", 20, 40, map[string]any{"rpc.system": "aws-api", "aws.service": "DynamoDB", "aws.table_name": "carts"})
	span("cart", 6, id(3), 3, "SELECT", 40, 50, map[string]any{"db.system": "postgresql", "db.name": "shop", "db.connection_string": "postgresql://db.local", "db.statement": "SELECT 1"})
	span("cart", 7, id(3), 3, "GET", 50, 60, map[string]any{"http.host": "prices.example.com"})
}

// TestXRaySameMap sends the same requests by X-Ray's documents to one server and by OTLP, signed as for
// AWS, to another: the maps, the lists and the series are the same.
func TestXRaySameMap(t *testing.T) {
	a := &sameApp{at: time.Now().Add(-10 * time.Minute).Truncate(time.Second)}
	for n := range 40 {
		a.request(n)
	}
	var answers []string
	for _, by := range []string{"documents", "spans", "spans on the main port"} {
		s := serve(t)
		c := s.xrayClient()
		if by == "documents" {
			for part := range slices.Chunk(a.docs, 50) {
				if out, err := c.PutTraceSegments(t.Context(), &xray.PutTraceSegmentsInput{TraceSegmentDocuments: part}); err != nil || len(out.UnprocessedTraceSegments) > 0 {
					t.Fatal(out, err)
				}
			}
		} else {
			address := s.XRay
			if by != "spans" {
				address = s.HTTP
			}
			body, err := json.Marshal(map[string]any{"resourceSpans": a.spans})
			if err != nil {
				t.Fatal(err)
			}
			if status, text := signedPost(t, "http://"+address+"/v1/traces", body, "test", "test"); status != http.StatusOK {
				t.Fatalf("%s: %d %s", by, status, text)
			}
		}
		from, to := aws.Time(a.at.Add(-time.Minute)), aws.Time(a.at.Add(time.Minute))
		graph, err := c.GetServiceGraph(t.Context(), &xray.GetServiceGraphInput{StartTime: from, EndTime: to})
		if err != nil {
			t.Fatal(err)
		}
		series, err := c.GetTimeSeriesServiceStatistics(t.Context(), &xray.GetTimeSeriesServiceStatisticsInput{StartTime: from, EndTime: to, EntitySelectorExpression: aws.String(`service(id(name: "cart"))`)})
		if err != nil {
			t.Fatal(err)
		}
		var found []string
		for _, filter := range []string{"fault", `edge("front", "cart") { fault }`, `service("carts")`, `service(id(type: "Database::SQL"))`, "responsetime >= 0.09", "http.status = 500", `rootcause.fault.service { name = "cart" }`} {
			out, err := c.GetTraceSummaries(t.Context(), &xray.GetTraceSummariesInput{StartTime: from, EndTime: to, FilterExpression: aws.String(filter)})
			if err != nil {
				t.Fatal(err)
			}
			if len(out.TraceSummaries) == 0 {
				t.Errorf("%s: %s finds nothing", by, filter)
			}
			for _, sum := range out.TraceSummaries {
				found = append(found, fmt.Sprint(filter, " ", aws.ToString(sum.Id), aws.ToBool(sum.HasFault), aws.ToFloat64(sum.ResponseTime), aws.ToFloat64(sum.Duration)))
			}
		}
		text, err := json.MarshalIndent([]any{graph.Services, series.TimeSeriesServiceStatistics, found}, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, string(text))
	}
	for _, other := range answers[1:] {
		if other != answers[0] {
			t.Errorf("the answers differ:\n%s", firstDifference(answers[0], other))
		}
	}
}

// firstDifference returns the lines around the first that differs.
func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			from := max(0, i-12)
			return strings.Join(x[from:min(len(x), i+6)], "\n") + "\n--- and\n" + strings.Join(y[from:min(len(y), i+6)], "\n")
		}
	}
	return fmt.Sprintf("%d and %d lines", len(x), len(y))
}

// signedPost posts OTLP with a signature of AWS's own signer.
func signedPost(t *testing.T, url string, body []byte, accessKeyID, secret string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: accessKeyID, SecretAccessKey: secret}, r, hex.EncodeToString(sum[:]), "xray", "us-east-1", time.Now()); err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// TestXRaySignedSpans posts OTLP to a server that checks signatures.
func TestXRaySignedSpans(t *testing.T) {
	s := serve(t, "--auth", "strict")
	key := map[string]string{}
	for line := range strings.Lines(s.run(".", binary(t, "TREFOIL_BIN"), "key", "create", "--data", s.Data, "--name", "otlp")) {
		if f := strings.Fields(line); len(f) == 2 {
			key[f[0]] = f[1]
		}
	}
	for _, address := range []string{s.XRay, s.HTTP, s.OTLPHTTP} {
		url := "http://" + address + "/v1/traces"
		if status, text := signedPost(t, url, []byte(`{}`), key["AWS_ACCESS_KEY_ID"], key["AWS_SECRET_ACCESS_KEY"]); status != http.StatusOK {
			t.Errorf("%s: %d %s", url, status, text)
		}
		if status, text := signedPost(t, url, []byte(`{}`), key["AWS_ACCESS_KEY_ID"], "wrong"); status != http.StatusForbidden {
			t.Errorf("%s with a wrong secret: %d %s", url, status, text)
		}
	}
	res, err := http.Post("http://"+s.XRay+"/v1/traces", "application/json", strings.NewReader(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusForbidden {
		t.Errorf("unsigned: %d", res.StatusCode)
	}
}

// TestTracesCommand lists traces and asks for sampling rules from the command line.
func TestTracesCommand(t *testing.T) {
	s := serve(t)
	c := s.xrayClient()
	bin := binary(t, "TREFOIL_BIN")
	now := time.Now()
	var docs []string
	for i := range 30 {
		fault := ""
		if i%3 == 0 {
			fault = `,"fault":true,"http":{"request":{"method":"GET","url":"http://x/cart"},"response":{"status":500}}`
		}
		docs = append(docs, fmt.Sprintf(`{"name":"web","id":"%016x","trace_id":"1-%08x-%024x","start_time":%.3f,"end_time":%.3f%s}`, i+1, now.Unix(), i+1, float64(now.UnixMilli()-int64(i)*1000)/1000, float64(now.UnixMilli()-int64(i)*1000+250)/1000, fault))
	}
	if _, err := c.PutTraceSegments(t.Context(), &xray.PutTraceSegmentsInput{TraceSegmentDocuments: docs}); err != nil {
		t.Fatal(err)
	}
	out := s.run(".", bin, "traces", "--http", s.HTTP, "fault", "--since", "10m")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 11 || !strings.HasPrefix(lines[0], "START") || !strings.Contains(lines[1], "fault") || !strings.Contains(lines[1], "250ms") || !strings.Contains(lines[1], "500") || !strings.Contains(lines[1], "GET /cart") {
		t.Errorf("traces:\n%s", out)
	}
	if out := s.run(".", bin, "traces", "--http", s.HTTP, "--limit", "7", "--json"); strings.Count(out, "\n") != 7 || !json.Valid([]byte(strings.Split(out, "\n")[0])) {
		t.Errorf("traces --json:\n%s", out)
	}
	if out := s.run(".", bin, "traces", "--http", s.HTTP, "--from", "2001-01-01", "--to", "2001-01-02"); out != "" {
		t.Errorf("traces of 2001: %s", out)
	}
	out, code := s.try(".", bin, "traces", "--http", s.HTTP, `service("x" {`)
	if code != 1 || !strings.Contains(out, "1:13:") || !strings.Contains(out, "\n  service(\"x\" {\n              ^") {
		t.Errorf("a bad filter: exit %d\n%s", code, out)
	}
	if out, code := s.try(".", bin, "traces", "--http", "127.0.0.1:"+freePort(t)); code != 1 || !strings.Contains(out, "--http") {
		t.Errorf("no server: exit %d\n%s", code, out)
	}
	if _, err := c.CreateSamplingRule(t.Context(), &xray.CreateSamplingRuleInput{SamplingRule: &types.SamplingRule{
		RuleName: aws.String("Cruddur"), ResourceARN: aws.String("*"), Priority: aws.Int32(9000), FixedRate: 0.1, ReservoirSize: 5, ServiceName: aws.String("backend-flask"), ServiceType: aws.String("*"),
		Host: aws.String("*"), HTTPMethod: aws.String("*"), URLPath: aws.String("*"), Version: aws.Int32(1),
	}}); err != nil {
		t.Fatal(err)
	}
	out = s.run(".", bin, "sampling", "--http", s.HTTP, "--service", "backend-flask")
	if !strings.Contains(out, "Cruddur  5/s") || !strings.Contains(out, "decides") || !strings.Contains(out, "matches, but") {
		t.Errorf("sampling:\n%s", out)
	}
	if out = s.run(".", bin, "sampling", "--http", s.HTTP, "--service", "other"); !strings.Contains(out, "differs in ServiceName") {
		t.Errorf("sampling:\n%s", out)
	}
}

// TestXRayDatagrams sends 5,000 datagrams of 2 KB a second: all arrive, all are counted, and all are
// there after the server is killed.
func TestXRayDatagrams(t *testing.T) {
	s := serve(t)
	conn, err := net.DialUDP("udp", nil, udpAddress(t, s.XRay))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	const rate, count = 5000, 15_000
	began := time.Now()
	pad := strings.Repeat("x", 1800)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for sent := 0; sent < count; <-tick.C {
		for due := min(count, int(time.Since(began).Seconds()*rate)); sent < due; sent++ {
			if _, err := fmt.Fprintf(conn, "{\"format\":\"json\",\"version\":1}\n{\"name\":\"udp\",\"id\":\"%016x\",\"trace_id\":\"1-%08x-%024x\",\"start_time\":%.3f,\"end_time\":%.3f,\"metadata\":{\"default\":{\"pad\":%q}}}",
				sent+1, began.Unix(), sent+1, float64(began.UnixMilli())/1000, float64(began.UnixMilli()+1)/1000, pad); err != nil {
				t.Fatal(err)
			}
		}
	}
	stored := func() error {
		rows, err := s.tryRows("xray", `{"calculations":[{"op":"COUNT"}]}`)
		if err != nil {
			return err
		}
		if got := fmt.Sprint(rows); got != fmt.Sprintf("[map[COUNT:%d]]", count) {
			return fmt.Errorf("%s of %d documents", got, count)
		}
		return nil
	}
	eventually(t, 20*time.Second, "every document is there", stored)
	if _, err := s.xrayClient().PutTelemetryRecords(t.Context(), &xray.PutTelemetryRecordsInput{TelemetryRecords: []types.TelemetryRecord{
		{Timestamp: aws.Time(time.Now()), SegmentsReceivedCount: aws.Int32(9), SegmentsRejectedCount: aws.Int32(2), SegmentsSpilloverCount: aws.Int32(1)},
	}}); err != nil {
		t.Error(err)
	}
	var status struct {
		Daemon struct {
			Received, Spilled int
			Rejected          map[string]int
			Reported          struct{ Received, Rejected, Spilled int }
		} `json:"xray_daemon"`
	}
	if err := s.get("/api/status", &status); err != nil || fmt.Sprint(status.Daemon.Reported) != "{9 2 1}" || status.Daemon.Received != count || status.Daemon.Spilled != 0 || len(status.Daemon.Rejected) != 0 {
		t.Errorf("counters %+v, %v", status.Daemon, err)
	}
	s.kill()
	s.start()
	if err := stored(); err != nil {
		t.Errorf("after kill -9: %v", err)
	}
}
