package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
)

type samplingCmd struct {
	remoteFlags `embed:""`
	Service     string   `help:"Name of the service, as its segments have it."`
	Type        string   `help:"Type of the service, such as AWS::EC2::Instance."`
	Host        string   `help:"Host header of the request."`
	Method      string   `help:"HTTP method."`
	Path        string   `help:"Path of the URL."`
	ARN         string   `name:"arn" help:"ARN of the resource that runs the service."`
	Attribute   []string `help:"Attribute of the request, name=value."`
}

// Help implements kong.HelpProvider.
func (*samplingCmd) Help() string {
	return `Tells which X-Ray sampling rule of a running server decides on a request. What is left out matches everything, as in X-Ray's SDKs:

  trefoil sampling --service backend-flask --method GET --path /api/activities/home`
}

// Run prints the rules in the order in which they are tried.
func (c *samplingCmd) Run(ctx context.Context) error { return c.print(ctx, os.Stdout) }

func (c *samplingCmd) print(ctx context.Context, out io.Writer) error {
	var answer struct {
		Rules []struct {
			Rule      string             `json:"rule"`
			Priority  int64              `json:"priority"`
			FixedRate float64            `json:"fixed_rate"`
			Reservoir int64              `json:"reservoir_size"`
			Differs   []string           `json:"differs"`
			Decides   bool               `json:"decides"`
			Boosts    map[string]float64 `json:"boosts"`
		} `json:"rules"`
	}
	query := url.Values{
		"service": {c.Service}, "service_type": {c.Type}, "host": {c.Host}, "method": {c.Method}, "path": {c.Path}, "resource_arn": {c.ARN}, "attribute": c.Attribute,
	}
	if err := c.get(ctx, "/api/sampling", query, &answer); err != nil {
		return err
	}
	table := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "PRIORITY\tRULE\tRESERVOIR\tRATE\tRESULT")
	for _, r := range answer.Rules {
		result := "matches, but is behind the one that decides"
		switch {
		case len(r.Differs) > 0:
			result = "differs in " + strings.Join(r.Differs, ", ")
		case r.Decides:
			result = "decides"
		}
		if rate := r.Boosts[c.Service]; rate > 0 && c.Service != "" {
			result += fmt.Sprintf("; boosted to %g %%", 100*rate)
		}
		fmt.Fprintf(table, "%d\t%s\t%d/s\t%g %%\t%s\n", r.Priority, printable(r.Rule), r.Reservoir, 100*r.FixedRate, result)
	}
	return table.Flush()
}
