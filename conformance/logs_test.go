package conformance

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"go.opentelemetry.io/contrib/bridges/otelslog"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/trace"
)

// TestLogsLive is L3 by boto3, with metric filters, embedded metrics and subscriptions.
func TestLogsLive(t *testing.T) { serve(t).python("logs_live.py") }

// TestFilterPatterns is L8.
func TestFilterPatterns(t *testing.T) {
	corpora, err := filepath.Abs("../internal/cwlogs/filterpattern/testdata")
	if err != nil {
		t.Fatal(err)
	}
	serve(t).python("filter_patterns.py", corpora)
}

// follower is a command of the AWS CLI that prints lines until it is stopped.
type follower struct {
	t     *testing.T
	lines chan string
}

// follow starts the AWS CLI of a path.
func (s *server) follow(t *testing.T, path string, args ...string) *follower {
	t.Helper()
	cmd := exec.Command(path, args...)
	cmd.Env = s.environment("AWS_DISABLE_HOST_PREFIX_INJECTION=true", "PYTHONUNBUFFERED=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	f := &follower{t, make(chan string, 1000)}
	go func() {
		defer close(f.lines)
		in := bufio.NewScanner(out)
		for in.Scan() {
			f.lines <- in.Text()
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		for range f.lines { //nolint:revive // the pipe is read to its end ahead of Wait
		}
		_ = cmd.Wait() // killed
	})
	return f
}

// next returns the next line that contains part.
func (f *follower) next(part string) string {
	f.t.Helper()
	timeout := time.After(30 * time.Second)
	for {
		select {
		case line, ok := <-f.lines:
			if !ok {
				f.t.Fatalf("the output ends ahead of %q", part)
			}
			if strings.Contains(line, part) {
				return line
			}
		case <-timeout:
			f.t.Fatalf("no line with %q", part)
		}
	}
}

// logsClient returns the Go SDK's client for a server; its requests go to the host as it is.
func (s *server) logsClient(t *testing.T) *cloudwatchlogs.Client {
	t.Helper()
	cfg, err := config.LoadDefaultConfig(t.Context(), config.WithRegion("us-east-1"), config.WithBaseEndpoint("http://"+s.HTTP),
		config.WithCredentialsProvider(aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		})))
	if err != nil {
		t.Fatal(err)
	}
	return cloudwatchlogs.NewFromConfig(cfg, func(o *cloudwatchlogs.Options) {
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("NoHostPrefix", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
				return next.HandleInitialize(smithyhttp.DisableEndpointHostPrefix(ctx, true), in)
			}), middleware.Before)
		})
	})
}

// putter makes a group with a stream and returns what puts messages there.
func putter(t *testing.T, c *cloudwatchlogs.Client, group string) func(messages ...string) {
	t.Helper()
	ctx := t.Context()
	if _, err := c.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &group}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: &group, LogStreamName: aws.String("s")}); err != nil {
		t.Fatal(err)
	}
	return func(messages ...string) {
		t.Helper()
		in := &cloudwatchlogs.PutLogEventsInput{LogGroupName: &group, LogStreamName: aws.String("s")}
		for _, m := range messages {
			in.LogEvents = append(in.LogEvents, types.InputLogEvent{Timestamp: aws.Int64(time.Now().UnixMilli()), Message: aws.String(m)})
		}
		if _, err := c.PutLogEvents(ctx, in); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLogsTailCLI is L2 and L3: "logs tail --follow" of the AWS CLI's second version, which the test
// command installs, and "start-live-tail" of its first.
func TestLogsTailCLI(t *testing.T) {
	s := serve(t)
	put := putter(t, s.logsClient(t), "g")
	put("ahead of it")
	live := s.follow(t, venv(t, "aws"), "logs", "start-live-tail", "--log-group-identifiers", "arn:aws:logs:us-east-1:000000000000:log-group:g", "--log-event-filter-pattern", "needle")
	tail := s.follow(t, binary(t, "AWS_CLI_V2"), "--endpoint-url", "http://"+s.HTTP, "logs", "tail", "g", "--follow", "--format", "short", "--since", "10m")
	tail.next("ahead of it")
	// The session has begun when a line comes through.
	began := false
	for i := 0; !began && i < 100; i++ {
		put(fmt.Sprintf("needle %d, to see that it runs", i))
		select {
		case line := <-live.lines:
			began = strings.Contains(line, "needle")
		case <-time.After(300 * time.Millisecond):
		}
	}
	if !began {
		t.Fatal("start-live-tail prints nothing")
	}
	for i := range 30 {
		put(fmt.Sprintf("line %02d needle", i), "hay")
	}
	for i := range 30 {
		live.next(fmt.Sprintf("line %02d needle", i))
	}
	seen := 0
	for seen < 30 {
		line := tail.next(" needle")
		if strings.Contains(line, "to see that it runs") {
			continue
		}
		if want := fmt.Sprintf("line %02d needle", seen); !strings.Contains(line, want) {
			t.Fatalf("logs tail prints %q, want %q: each once and in order", line, want)
		}
		seen++
	}
}

// TestLogsGo is L6: the Go SDK's paginators, typed errors and live tail.
func TestLogsGo(t *testing.T) {
	s := serve(t)
	ctx := t.Context()
	c := s.logsClient(t)
	put := putter(t, c, "g")
	out, err := c.StartLiveTail(ctx, &cloudwatchlogs.StartLiveTailInput{LogGroupIdentifiers: []string{"arn:aws:logs:us-east-1:000000000000:log-group:g"}})
	if err != nil {
		t.Fatal(err)
	}
	stream := out.GetStream()
	defer func() { _ = stream.Close() }()
	var got []string
	for e := range stream.Events() {
		switch e := e.(type) {
		case *types.StartLiveTailResponseStreamMemberSessionStart:
			put("one", "two")
		case *types.StartLiveTailResponseStreamMemberSessionUpdate:
			for _, r := range e.Value.SessionResults {
				got = append(got, *r.Message)
			}
		}
		if len(got) == 2 {
			break
		}
	}
	if fmt.Sprint(got) != "[one two]" {
		t.Errorf("tailed %v: %v", got, stream.Err())
	}

	var many []string
	for i := range 2500 {
		many = append(many, fmt.Sprint("event ", i))
	}
	put(many...)
	n := 0
	pages := cloudwatchlogs.NewFilterLogEventsPaginator(c, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String("g"), FilterPattern: aws.String("event"), Limit: aws.Int32(1000)})
	for pages.HasMorePages() {
		p, err := pages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		n += len(p.Events)
	}
	if n != 2500 {
		t.Errorf("%d of 2500 events", n)
	}
	_, err = c.StartQuery(ctx, &cloudwatchlogs.StartQueryInput{LogGroupName: aws.String("g"), StartTime: aws.Int64(0), EndTime: aws.Int64(time.Now().Unix()), QueryString: aws.String("filter |")})
	var malformed *types.MalformedQueryException
	if !errors.As(err, &malformed) || malformed.QueryCompileError == nil || malformed.QueryCompileError.Location == nil {
		t.Errorf("a malformed query: %v", err)
	}
	_, err = c.GetLogEvents(ctx, &cloudwatchlogs.GetLogEventsInput{LogGroupName: aws.String("none"), LogStreamName: aws.String("s")})
	var missing *types.ResourceNotFoundException
	if !errors.As(err, &missing) || missing.ErrorMessage() != "The specified log group does not exist." {
		t.Errorf("an unknown group: %v", err)
	}
}

// TestLogsOTLP is L7: slog by way of OpenTelemetry into a log group, found by its trace.
func TestLogsOTLP(t *testing.T) {
	s := serve(t)
	ctx := t.Context()
	putter(t, s.logsClient(t), "otlp")
	exporter, err := otlploghttp.New(ctx, otlploghttp.WithEndpointURL("http://"+s.HTTP+"/v1/logs"), otlploghttp.WithCompression(otlploghttp.GzipCompression),
		otlploghttp.WithHeaders(map[string]string{"x-aws-log-group": "otlp", "x-aws-log-stream": "s"}))
	if err != nil {
		t.Fatal(err)
	}
	provider := sdklog.NewLoggerProvider(sdklog.WithProcessor(sdklog.NewBatchProcessor(exporter)))
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1, 2, 3}, SpanID: trace.SpanID{4}, TraceFlags: trace.FlagsSampled})
	slog.New(otelslog.NewHandler("shop", otelslog.WithLoggerProvider(provider))).ErrorContext(trace.ContextWithSpanContext(ctx, span), "no stock", "order", 7)
	if err := provider.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	now := time.Now().Unix()
	started := s.aws("logs", "start-query", "--log-group-name", "otlp", "--start-time", fmt.Sprint(now-60), "--end-time", fmt.Sprint(now+60),
		"--query-string", "fields traceId, severityText, body, attributes.order | filter body = 'no stock'")
	eventually(t, 20*time.Second, "the query's result", func() error {
		got := s.aws("logs", "get-query-results", "--query-id", fmt.Sprint(started["queryId"]))
		if got["status"] != "Complete" {
			return fmt.Errorf("it is %v", got["status"])
		}
		for _, want := range []string{span.TraceID().String(), "ERROR", "no stock", "7"} {
			if !strings.Contains(fmt.Sprint(got["results"]), "value:"+want) {
				t.Errorf("%v has no %q", got["results"], want)
			}
		}
		return nil
	})
	res, err := http.Get("http://" + s.HTTP + "/api/traces/" + span.TraceID().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	page, err := io.ReadAll(res.Body)
	if err != nil || !strings.Contains(string(page), "no stock") {
		t.Errorf("the trace does not show the line: %s %v", page, err)
	}
}

// TestLogsParallel writes to one stream from a hundred connections at once while fifteen live tails
// follow it at 5,000 events a second: every event is stored once, and every session goes on.
func TestLogsParallel(t *testing.T) {
	s := serve(t)
	ctx := t.Context()
	c := s.logsClient(t)
	putter(t, c, "g")
	const sessions, writers, calls, perCall = 15, 100, 5, 50
	started, updates := make(chan int, sessions), make(chan error, sessions)
	for i := range sessions {
		out, err := c.StartLiveTail(ctx, &cloudwatchlogs.StartLiveTailInput{LogGroupIdentifiers: []string{"g"}})
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			stream := out.GetStream()
			defer func() { _ = stream.Close() }()
			last := fmt.Sprintf("writer %d call %d event %d", writers-1, calls-1, perCall-1)
			for e := range stream.Events() {
				switch e := e.(type) {
				case *types.StartLiveTailResponseStreamMemberSessionStart:
					started <- i
				case *types.StartLiveTailResponseStreamMemberSessionUpdate:
					if len(e.Value.SessionResults) > 500 {
						updates <- fmt.Errorf("an update has %d events", len(e.Value.SessionResults))
						return
					}
					for _, r := range e.Value.SessionResults {
						if *r.Message == last {
							updates <- nil
							return
						}
					}
				}
			}
			updates <- fmt.Errorf("session %d ended: %w", i, stream.Err())
		}()
	}
	for range sessions {
		<-started
	}
	_, err := c.StartLiveTail(ctx, &cloudwatchlogs.StartLiveTailInput{LogGroupIdentifiers: []string{"g"}})
	var limit *types.LimitExceededException
	if !errors.As(err, &limit) {
		t.Errorf("the sixteenth session: %v", err)
	}
	put := func(writer, call int) error {
		in := &cloudwatchlogs.PutLogEventsInput{LogGroupName: aws.String("g"), LogStreamName: aws.String("s")}
		for i := range perCall {
			in.LogEvents = append(in.LogEvents, types.InputLogEvent{Timestamp: aws.Int64(time.Now().UnixMilli()), Message: aws.String(fmt.Sprintf("writer %d call %d event %d", writer, call, i))})
		}
		_, err := c.PutLogEvents(ctx, in)
		return err
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for call := range calls {
		errs := make(chan error, writers)
		for w := range writers {
			if call == calls-1 && w == writers-1 {
				errs <- nil
				continue
			}
			go func() { errs <- put(w, call) }()
		}
		for range writers {
			if err := <-errs; err != nil {
				t.Fatal(err)
			}
		}
		<-tick.C
	}
	if err := put(writers-1, calls-1); err != nil { // what every session waits for, behind all others
		t.Fatal(err)
	}
	for range sessions {
		if err := <-updates; err != nil {
			t.Error(err)
		}
	}
	seen := map[string]bool{}
	pages := cloudwatchlogs.NewFilterLogEventsPaginator(c, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String("g")})
	for pages.HasMorePages() {
		p, err := pages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range p.Events {
			if seen[*e.Message] {
				t.Errorf("%q is there twice", *e.Message)
			}
			seen[*e.Message] = true
		}
	}
	if len(seen) != writers*calls*perCall {
		t.Errorf("%d of %d events", len(seen), writers*calls*perCall)
	}
}
