package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// refusal is an error of the console's API.
type refusal struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Span    *struct {
		Start int `json:"start"`
		End   int `json:"end"`
	} `json:"span"`
}

// Error implements error.
func (r *refusal) Error() string { return r.Message }

// get decodes an answer of the console's API.
func (f remoteFlags) get(ctx context.Context, path string, query url.Values, into any) error {
	a, err := f.addresses()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+a.HTTP+path+"?"+query.Encode(), nil)
	if err != nil {
		return fmt.Errorf("--http: %w", err)
	}
	r.Header.Set("X-Honeycomb-Team", f.Key)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("ask the server at %s (--http): %w", a.HTTP, err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, 64<<20))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", a.HTTP, err)
	}
	if res.StatusCode != http.StatusOK {
		var e struct{ Error refusal }
		if json.Unmarshal(text, &e) == nil && e.Error.Message != "" {
			return &e.Error
		}
		return fmt.Errorf("%s answers %s: %s", a.HTTP, res.Status, strings.TrimSpace(string(text[:min(len(text), 200)])))
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s does not answer as a trefoil server: %w", a.HTTP, err)
	}
	return nil
}

// timeFlags choose a range of time.
type timeFlags struct {
	Since age    `help:"How far back to look, such as 90s, 15m, 6h or 14d." default:"1h"`
	From  string `help:"Begin instead: RFC 3339, \"2006-01-02 15:04\" (local), or seconds since the epoch." placeholder:"TIME"`
	To    string `help:"End; now when it is left out." placeholder:"TIME"`
}

func (f timeFlags) span(now time.Time) (from, to time.Time, err error) {
	to = now
	if f.To != "" {
		if to, err = readTime(f.To); err != nil {
			return from, to, fmt.Errorf("--to: %w", err)
		}
	}
	if f.From != "" {
		if from, err = readTime(f.From); err != nil {
			return from, to, fmt.Errorf("--from: %w", err)
		}
	} else {
		from = to.Add(-time.Duration(f.Since))
	}
	if to.Before(from) {
		return from, to, fmt.Errorf("--from %s is after --to %s", from.Format(time.RFC3339), to.Format(time.RFC3339))
	}
	return from, to, nil
}

func readTime(s string) (time.Time, error) {
	var seconds float64
	if n, err := fmt.Sscanf(s, "%g", &seconds); err == nil && n == 1 && strings.Trim(s, "0123456789.") == "" {
		if seconds > 1e11 {
			seconds /= 1000 // milliseconds
		}
		return time.UnixMicro(int64(seconds * 1e6)), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time: RFC 3339, \"2006-01-02 15:04\" or seconds since the epoch", s)
}
