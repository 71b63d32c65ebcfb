package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
)

type tailCmd struct {
	remoteFlags  `embed:""`
	Group        string   `arg:"" help:"Log group to read."`
	Filter       string   `help:"Filter pattern that events must match, as in '{ $.level = \"error\" }'." placeholder:"PATTERN"`
	Stream       []string `help:"Log stream to read, repeatable; all unless given." placeholder:"NAME"`
	StreamPrefix string   `help:"Read the log streams whose names begin so." placeholder:"PREFIX"`
	timeFlags    `embed:""`
	Follow       bool `help:"Go on with what arrives, until interrupted." short:"f"`
	JSON         bool `help:"Print a JSON object a line for each event."`
}

// Help implements kong.HelpProvider.
func (*tailCmd) Help() string {
	return "Prints the time, the stream and the message of events, the oldest first. docs/languages/filter-patterns.md describes patterns."
}

// Run prints and follows.
func (c *tailCmd) Run(ctx context.Context) error {
	a, err := c.addresses()
	if err != nil {
		return err
	}
	err = c.run(ctx, awsClient{"http://" + a.HTTP, c.AccessKeyID, c.SecretKey}, os.Stdout, os.Stderr)
	if c.Follow && ctx.Err() != nil {
		return nil // interrupted, as it should be
	}
	return err
}

// tailedEvent is an event as FilterLogEvents and live tail give it.
type tailedEvent struct {
	LogStreamName string `json:"logStreamName"`
	Timestamp     int64  `json:"timestamp"`
	IngestionTime int64  `json:"ingestionTime"`
	Message       string `json:"message"`
}

func (c *tailCmd) run(ctx context.Context, client awsClient, out, notes io.Writer) error {
	from, to, err := c.span(time.Now())
	if err != nil {
		return err
	}
	if c.Follow && c.To != "" {
		return errors.New("--follow and --to exclude each other")
	}
	var live io.ReadCloser
	began := time.Now().UnixMilli()
	if c.Follow {
		// It is opened ahead of the look back, so that nothing is missed between the two.
		in := map[string]any{"logGroupIdentifiers": []string{c.Group}}
		if c.Filter != "" {
			in["logEventFilterPattern"] = c.Filter
		}
		if len(c.Stream) > 0 {
			in["logStreamNames"] = c.Stream
		}
		if c.StreamPrefix != "" {
			in["logStreamNamePrefixes"] = []string{c.StreamPrefix}
		}
		if live, err = client.open(ctx, logsTarget+"StartLiveTail", in); err != nil {
			return c.refused(err, notes)
		}
		defer func() { _ = live.Close() }()
	}
	in := map[string]any{"logGroupName": c.Group, "startTime": from.UnixMilli()}
	if !c.Follow {
		in["endTime"] = to.UnixMilli()
	}
	if c.Filter != "" {
		in["filterPattern"] = c.Filter
	}
	if len(c.Stream) > 0 {
		in["logStreamNames"] = c.Stream
	}
	if c.StreamPrefix != "" {
		in["logStreamNamePrefix"] = c.StreamPrefix
	}
	printed := map[tailedEvent]int{} // those that live tail will send too
	for {
		var page struct {
			Events    []tailedEvent `json:"events"`
			NextToken string        `json:"nextToken"`
		}
		if err := client.ask(ctx, logsTarget+"FilterLogEvents", in, &page); err != nil {
			return c.refused(err, notes)
		}
		for _, e := range page.Events {
			if err := c.print(out, e); err != nil {
				return err
			}
			if c.Follow && e.IngestionTime >= began {
				printed[e]++
			}
		}
		if page.NextToken == "" {
			break
		}
		in["nextToken"] = page.NextToken
	}
	if !c.Follow {
		return nil
	}
	return c.follow(live, printed, out, notes)
}

// follow prints what arrives, without the events that are printed already.
func (c *tailCmd) follow(live io.Reader, printed map[tailedEvent]int, out, notes io.Writer) error {
	decoder := eventstream.NewDecoder()
	for {
		m, err := decoder.Decode(live, nil)
		if err != nil {
			return fmt.Errorf("follow the log group %s: %w", c.Group, err)
		}
		if e := m.Headers.Get(":exception-type"); e != nil {
			var x struct{ Message string }
			_ = json.Unmarshal(m.Payload, &x) // without a text its name says enough
			return fmt.Errorf("follow the log group %s: %s: %s", c.Group, e, x.Message)
		}
		var update struct {
			SessionMetadata struct{ Sampled bool }
			SessionResults  []tailedEvent
		}
		if err := json.Unmarshal(m.Payload, &update); err != nil {
			return fmt.Errorf("follow the log group %s: %w", c.Group, err)
		}
		for _, e := range update.SessionResults {
			if printed[e] > 0 {
				printed[e]--
				continue
			}
			if err := c.print(out, e); err != nil {
				return err
			}
		}
		if update.SessionMetadata.Sampled {
			_, _ = fmt.Fprintln(notes, "trefoil: more arrives than is shown; a filter shows less")
		}
	}
}

// refused explains an error with the place in the pattern, if it has one.
func (c *tailCmd) refused(err error, notes io.Writer) error {
	var e *vendorError
	if !errors.As(err, &e) || c.Filter == "" {
		return err
	}
	line, column := 0, 0
	var rest string
	if n, _ := fmt.Sscanf(e.Message, "Invalid filter pattern: %d:%d: %s", &line, &column, &rest); n < 2 || line != 1 {
		return err
	}
	_, _ = io.WriteString(notes, pointAt(c.Filter, column-1, column)+e.Message+"\n")
	return exitError(1)
}

func (c *tailCmd) print(out io.Writer, e tailedEvent) error {
	if c.JSON {
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		return enc.Encode(e)
	}
	_, err := fmt.Fprintf(out, "%s %s %s\n", time.UnixMilli(e.Timestamp).Format("2006-01-02T15:04:05.000Z07:00"), oneLine(e.LogStreamName), oneLine(e.Message))
	return err
}
