package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/trefoil-o11y/trefoil/internal/server"
)

// awsClient calls the AWS APIs of a running server, signed.
type awsClient struct {
	base                string // http://host:port
	accessKeyID, secret string
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 256 << 20

// vendorError is an answer that is an error, in the vendor's terms.
type vendorError struct {
	Type         string `json:"__type"`
	Message      string `json:"message"`
	CompileError *struct {
		Location struct{ StartCharOffset, EndCharOffset int }
		Message  string
	} `json:"queryCompileError"`
}

// Error implements error.
func (e *vendorError) Error() string { return e.Type + ": " + e.Message }

// ask posts in as JSON and decodes the answer into out, unless that is nil; target is the
// X-Amz-Target of a JSON 1.1 operation or, when it begins with a slash, the path of a REST-JSON one.
// An error of the server's is a *vendorError in the error's chain.
func (c awsClient) ask(ctx context.Context, target string, in, out any) error {
	answer, err := c.open(ctx, target, in)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Close() }()
	if out == nil {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(answer, maxAnswer))
	if err != nil {
		return err
	}
	return json.Unmarshal(text, out)
}

// open is ask for an answer that is read as it comes.
func (c awsClient) open(ctx context.Context, target string, in any) (io.ReadCloser, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	path, service := "/", "logs"
	if strings.HasPrefix(target, "/") {
		path, service = target, "xray"
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	if path == "/" {
		r.Header.Set("X-Amz-Target", target)
	}
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, aws.Credentials{AccessKeyID: c.accessKeyID, SecretAccessKey: c.secret}, r, hex.EncodeToString(sum[:]), service, server.Region, time.Now()); err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	if res.StatusCode == http.StatusOK {
		return res.Body, nil
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	var e vendorError
	if json.Unmarshal(text, &e) != nil || e.Type == "" {
		return nil, fmt.Errorf("%s: %s", target, res.Status)
	}
	return nil, fmt.Errorf("%s: %w", target, &e)
}

// call is ask without a look at the answer; the code of a vendor's error is returned as such.
func (c awsClient) call(ctx context.Context, target string, in any) (code string, err error) {
	err = c.ask(ctx, target, in, nil)
	var e *vendorError
	if errors.As(err, &e) {
		return e.Type, err
	}
	return "", err
}

type logEvent struct {
	Timestamp int64  `json:"timestamp"`
	Message   string `json:"message"`
}

// shipper sends lines to a log stream.
type shipper struct {
	client        awsClient
	group, stream string
}

// open makes the group and the stream.
func (s *shipper) open(ctx context.Context) error {
	if code, err := s.client.call(ctx, "Logs_20140328.CreateLogGroup", map[string]string{"logGroupName": s.group}); err != nil && code != "ResourceAlreadyExistsException" {
		return err
	}
	code, err := s.client.call(ctx, "Logs_20140328.CreateLogStream", map[string]string{"logGroupName": s.group, "logStreamName": s.stream})
	if err != nil && code != "ResourceAlreadyExistsException" {
		return err
	}
	return nil
}

// Limits of one PutLogEvents call.
const (
	shipEvents = 10_000
	shipBytes  = 1 << 20
	shipEvery  = 500 * time.Millisecond
	eventBytes = 26
)

// ship sends lines until they end, in batches, and reports the lines that could not be sent.
func (s *shipper) ship(ctx context.Context, lines <-chan string) (lost int, err error) {
	var batch []logEvent
	size := 0
	flush := func() {
		if len(batch) == 0 {
			return
		}
		_, cerr := s.client.call(ctx, "Logs_20140328.PutLogEvents", struct {
			Group  string     `json:"logGroupName"`
			Stream string     `json:"logStreamName"`
			Events []logEvent `json:"logEvents"`
		}{s.group, s.stream, batch})
		if cerr != nil {
			lost += len(batch)
			err = cerr
		}
		batch, size = nil, 0
	}
	tick := time.NewTicker(shipEvery)
	defer tick.Stop()
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				flush()
				return lost, err
			}
			if line == "" {
				continue
			}
			n := len(line) + eventBytes
			if len(batch) == shipEvents || size+n > shipBytes {
				flush()
			}
			batch = append(batch, logEvent{time.Now().UnixMilli(), line})
			size += n
		case <-tick.C:
			flush()
		}
	}
}
