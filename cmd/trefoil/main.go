// Command trefoil is an observability server for clients of Honeycomb, AWS X-Ray and AWS
// CloudWatch Logs.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// cli is the command line; every flag can also be given as TREFOIL_<FLAG> in the environment.
type cli struct {
	Serve    serveCmd    `cmd:"" help:"Run the server."`
	Demo     demoCmd     `cmd:"" help:"Run the server, the Cruddur app and some traffic, and print links to look at."`
	Run      runCmd      `cmd:"" help:"Run a command with every endpoint variable set and its output captured as a log group."`
	Env      envCmd      `cmd:"" help:"Print the endpoint variables, for eval."`
	Logs     logsCmd     `cmd:"" help:"Ask log groups of a running server, in the language of Logs Insights."`
	Tail     tailCmd     `cmd:"" help:"Print the events of a log group of a running server, and follow it."`
	Traces   tracesCmd   `cmd:"" help:"List traces of a running server that satisfy a filter expression."`
	Sampling samplingCmd `cmd:"" help:"Tell which X-Ray sampling rule of a running server decides on a request."`
	Inspect  inspectCmd  `cmd:"" help:"Print what a segment of the data folder holds."`
	Key      keyCmd      `cmd:"" help:"Make, list and revoke keys."`
	Version  versionCmd  `cmd:"" help:"Print the version."`
}

// exitError ends the program with a status and no message of its own.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var c cli
	k := kong.Parse(&c, kong.Name("trefoil"), kong.UsageOnError(), kong.DefaultEnvars("TREFOIL"),
		kong.Description("Self-hosted observability for clients of Honeycomb, AWS X-Ray and AWS CloudWatch Logs."),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Vars{"data": defaultData()})
	err := k.Run()
	var exit exitError
	switch {
	case errors.As(err, &exit):
		stop()
		os.Exit(int(exit))
	case err != nil:
		fmt.Fprintln(os.Stderr, "trefoil:", err)
		stop()
		os.Exit(1)
	}
}
