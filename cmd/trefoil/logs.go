package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"
)

type logsCmd struct {
	remoteFlags `embed:""`
	Query       string   `arg:"" help:"Query, as in 'filter level = \"error\" | stats count(*) by bin(5m)'."`
	Group       []string `help:"Log group to ask, repeatable; none when the query begins with SOURCE." short:"g" placeholder:"NAME"`
	timeFlags   `embed:""`
	Limit       int  `help:"Number of rows at most; 0 leaves it to the query."`
	JSON        bool `help:"Print a JSON object a line for each row."`
}

// Help implements kong.HelpProvider.
func (*logsCmd) Help() string {
	return "Runs a query of CloudWatch Logs Insights and prints its rows as a table. docs/languages/insights.md describes the language."
}

// Run asks and prints.
func (c *logsCmd) Run(ctx context.Context) error {
	a, err := c.addresses()
	if err != nil {
		return err
	}
	return c.run(ctx, awsClient{"http://" + a.HTTP, c.AccessKeyID, c.SecretKey}, os.Stdout, os.Stderr)
}

const logsTarget = "Logs_20140328."

// logsRow is a row of a result.
type logsRow []struct{ Field, Value string }

type logsResults struct {
	Status     string
	Results    []logsRow
	NextToken  string
	Statistics struct{ RecordsMatched, RecordsScanned, BytesScanned float64 }
	// ErrorMessage tells why there is no result.
	ErrorMessage string
}

// pollEvery is how often a running query is asked for.
const pollEvery = 100 * time.Millisecond

func (c *logsCmd) run(ctx context.Context, client awsClient, out, notes io.Writer) error {
	from, to, err := c.span(time.Now())
	if err != nil {
		return err
	}
	in := map[string]any{"queryString": c.Query, "startTime": from.Unix(), "endTime": to.Unix()}
	if len(c.Group) > 0 {
		in["logGroupIdentifiers"] = c.Group
	}
	if c.Limit > 0 {
		in["limit"] = c.Limit
	}
	var started struct{ QueryID string }
	if err := client.ask(ctx, logsTarget+"StartQuery", in, &started); err != nil {
		var e *vendorError
		if errors.As(err, &e) && e.CompileError != nil {
			_, _ = io.WriteString(notes, pointAt(c.Query, e.CompileError.Location.StartCharOffset, e.CompileError.Location.EndCharOffset)+e.CompileError.Message+"\n")
			return exitError(1)
		}
		return err
	}
	began := time.Now()
	var res logsResults
	one := map[string]any{"queryId": started.QueryID, "maxItems": 1} // nobody looks at rows of a running query here
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, pollEvery) {
		if err := client.ask(ctx, logsTarget+"GetQueryResults", one, &res); err != nil {
			return c.stop(ctx, client, started.QueryID, err)
		}
		if res.Status != "Scheduled" && res.Status != "Running" {
			break
		}
		select {
		case <-ctx.Done():
			return c.stop(ctx, client, started.QueryID, ctx.Err())
		case <-time.After(wait):
		}
	}
	if res.Status != "Complete" {
		if res.ErrorMessage == "" {
			return fmt.Errorf("the query ended as %s", res.Status)
		}
		return fmt.Errorf("the query ended as %s: %s", res.Status, res.ErrorMessage)
	}
	var rows []logsRow
	for page := map[string]any{"queryId": started.QueryID}; ; page["nextToken"] = res.NextToken {
		res.NextToken, res.Results = "", nil
		if err := client.ask(ctx, logsTarget+"GetQueryResults", page, &res); err != nil {
			return err
		}
		if rows = append(rows, res.Results...); res.NextToken == "" {
			break
		}
	}
	if err := c.print(out, rows); err != nil {
		return err
	}
	_, err = fmt.Fprintf(notes, "rows: %d; %.0f of %.0f records matched, %.1f MB scanned, %v\n", len(rows), res.Statistics.RecordsMatched, res.Statistics.RecordsScanned,
		res.Statistics.BytesScanned/1e6, time.Since(began).Round(time.Millisecond))
	return err
}

// stop cancels a query that nobody waits for any more.
func (c *logsCmd) stop(ctx context.Context, client awsClient, id string, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	_, _ = client.call(ctx, logsTarget+"StopQuery", map[string]string{"queryId": id})
	return cause
}

// print writes rows as a table or as JSON; what finds an event again is left out of the table.
func (c *logsCmd) print(out io.Writer, rows []logsRow) error {
	if c.JSON {
		e := json.NewEncoder(out)
		e.SetEscapeHTML(false)
		for _, r := range rows {
			m := make(map[string]string, len(r))
			for _, f := range r {
				m[f.Field] = f.Value
			}
			if err := e.Encode(m); err != nil {
				return err
			}
		}
		return nil
	}
	var names []string
	at := map[string]int{}
	for _, r := range rows {
		for _, f := range r {
			if _, ok := at[f.Field]; !ok && f.Field != "@ptr" {
				at[f.Field] = len(names)
				names = append(names, f.Field)
			}
		}
	}
	if names == nil {
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, strings.Join(names, "\t"))
	for _, r := range rows {
		cells := make([]string, len(names))
		for _, f := range r {
			if i, ok := at[f.Field]; ok {
				cells[i] = oneLine(f.Value)
			}
		}
		_, _ = fmt.Fprintln(w, strings.TrimRight(strings.Join(cells, "\t"), "\t"))
	}
	return w.Flush()
}

// oneLine writes what would break a line or a terminal as an escape.
func oneLine(s string) string {
	s = strings.TrimRight(s, "\r\n")
	if !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == utf8.RuneError }) {
		return s
	}
	q := strconv.Quote(s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}

// pointAt returns the line of a query with what lies between two character offsets underlined.
func pointAt(text string, start, end int) string {
	chars := []rune(text)
	start = min(max(start, 0), len(chars))
	from, to := start, start
	for from > 0 && chars[from-1] != '\n' {
		from--
	}
	for to < len(chars) && chars[to] != '\n' {
		to++
	}
	pad := strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, string(chars[from:start]))
	return string(chars[from:to]) + "\n" + pad + strings.Repeat("^", max(min(end, to)-start, 1)) + "\n"
}
