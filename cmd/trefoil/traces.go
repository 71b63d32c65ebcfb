package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"
)

type tracesCmd struct {
	Filter      string `arg:"" optional:"" help:"X-Ray filter expression; every trace when it is left out."`
	remoteFlags `embed:""`
	timeFlags   `embed:""`
	Limit       int  `help:"The largest number of traces." default:"20"`
	JSON        bool `help:"Print JSON, one trace a line."`
}

// Help implements kong.HelpProvider.
func (*tracesCmd) Help() string {
	return `Lists the newest traces of a running server that satisfy a filter expression, whatever client sent them:

  trefoil traces
  trefoil traces 'service("backend-flask") { fault }' --since 6h
  trefoil traces 'http.url CONTAINS "/cart" AND responsetime > 0.5' --limit 100 --json

The language is described in docs/languages/xray-filter.md.`
}

// listedTrace is a trace as the console's API lists it.
type listedTrace struct {
	TraceID    string    `json:"trace_id"`
	Start      time.Time `json:"start"`
	DurationMS float64   `json:"duration_ms"`
	RootName   string    `json:"root_name"`
	Method     string    `json:"method"`
	Status     int       `json:"status"`
	Spans      int       `json:"spans"`
	Error      bool      `json:"error"`
	Fault      bool      `json:"fault"`
	Throttle   bool      `json:"throttle"`
	Partial    bool      `json:"partial"`
	Services   []string  `json:"services"`
}

// Run lists the traces.
func (c *tracesCmd) Run(ctx context.Context) error {
	return c.list(ctx, time.Now(), os.Stdout)
}

func (c *tracesCmd) list(ctx context.Context, now time.Time, out io.Writer) error {
	if c.Limit < 1 {
		return errors.New("--limit must be at least 1")
	}
	from, to, err := c.span(now)
	if err != nil {
		return err
	}
	query := url.Values{"from": {from.UTC().Format(time.RFC3339Nano)}, "to": {to.UTC().Format(time.RFC3339Nano)}, "filter": {c.Filter}}
	table := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	left := c.Limit
	for left > 0 {
		query.Set("limit", strconv.Itoa(min(left, 500)))
		var page struct {
			Traces     []json.RawMessage `json:"traces"`
			NextCursor string            `json:"next_cursor"`
		}
		if err := c.get(ctx, "/api/traces", query, &page); err != nil {
			return pointOut(c.Filter, err)
		}
		if !c.JSON && left == c.Limit && len(page.Traces) > 0 {
			fmt.Fprintln(table, "START\tDURATION\tRESULT\tSTATUS\tREQUEST\tSERVICES\tSPANS\tTRACE")
		}
		for _, raw := range page.Traces[:min(left, len(page.Traces))] {
			if c.JSON {
				fmt.Fprintf(out, "%s\n", raw)
				continue
			}
			var t listedTrace
			if err := json.Unmarshal(raw, &t); err != nil {
				return fmt.Errorf("read a trace of the answer: %w", err)
			}
			fmt.Fprintln(table, t.row())
		}
		left -= len(page.Traces)
		if page.NextCursor == "" {
			break
		}
		query.Set("cursor", page.NextCursor)
	}
	return table.Flush()
}

func (t listedTrace) row() string {
	result := "ok"
	switch {
	case t.Fault:
		result = "fault"
	case t.Throttle:
		result = "throttle"
	case t.Error:
		result = "error"
	}
	if t.Partial {
		result += ", partial"
	}
	status := ""
	if t.Status != 0 {
		status = strconv.Itoa(t.Status)
	}
	return strings.Join([]string{
		t.Start.Local().Format("2006-01-02 15:04:05.000"), shortMS(t.DurationMS), result, status, printable(strings.TrimSpace(t.Method + " " + t.RootName)),
		printable(strings.Join(t.Services, ", ")), strconv.Itoa(t.Spans), t.TraceID,
	}, "\t")
}

func shortMS(ms float64) string {
	d := time.Duration(ms * float64(time.Millisecond))
	switch {
	case d >= 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	default:
		return d.Round(10 * time.Microsecond).String()
	}
}

// printable keeps names that clients chose from moving the terminal's cursor or the table's columns.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '�'
		}
		return r
	}, s)
}

// pointOut shows the place of a filter expression that an error is about.
func pointOut(filter string, err error) error {
	var r *refusal
	if !errors.As(err, &r) || r.Span == nil || r.Span.Start < 0 || r.Span.Start > len(filter) {
		return err
	}
	begin := strings.LastIndexByte(filter[:r.Span.Start], '\n') + 1
	line, _, _ := strings.Cut(filter[begin:], "\n")
	at := r.Span.Start - begin
	width := max(1, utf8.RuneCountInString(line[min(at, len(line)):min(max(r.Span.End-begin, at), len(line))]))
	pad := strings.Map(func(c rune) rune {
		if c == '\t' {
			return c
		}
		return ' '
	}, line[:min(at, len(line))])
	return fmt.Errorf("%w\n  %s\n  %s%s", err, line, pad, strings.Repeat("^", width))
}
