package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/trefoil-o11y/trefoil/internal/server"
)

// variable is one of the environment variables that clients read.
type variable struct{ name, value string }

// variables returns what points every client at a server that lets everyone in.
func variables(a server.Addresses) []variable {
	return variablesFor(a, "trefoil", "test", "test")
}

// variablesFor returns the variables with a key of Honeycomb's kind and a pair of AWS's.
func variablesFor(a server.Addresses, key, accessKeyID, secret string) []variable {
	http := "http://" + a.HTTP
	return []variable{
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://" + a.OTLPHTTP},
		{"OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"},
		{"OTEL_EXPORTER_OTLP_HEADERS", "x-honeycomb-team=" + key},
		{"OTEL_METRICS_EXPORTER", "none"},
		{"HONEYCOMB_API_ENDPOINT", http},
		{"HONEYCOMB_API_KEY", key},
		{"AWS_XRAY_DAEMON_ADDRESS", a.XRay},
		{"AWS_ENDPOINT_URL_XRAY", http},
		{"AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", http},
		{"AWS_ENDPOINT_URL_STS", http},
		{"AWS_DISABLE_HOST_PREFIX_INJECTION", "true"},
		{"AWS_ACCESS_KEY_ID", accessKeyID},
		{"AWS_SECRET_ACCESS_KEY", secret},
		{"AWS_DEFAULT_REGION", server.Region},
		{"AWS_REGION", server.Region},
		{"AWS_EC2_METADATA_DISABLED", "true"},
	}
}

// remoteFlags say where a running server is.
type remoteFlags struct {
	addressFlags  `embed:""`
	AddressesFile string `help:"File that the server wrote its addresses to; it wins over the address flags." placeholder:"FILE"`
	Key           string `help:"Key to send (a server with --auth keys or strict wants one)." default:"trefoil"`
	AccessKeyID   string `help:"AWS access key id to send." default:"test"`
	SecretKey     string `help:"AWS secret access key to sign with." default:"test"`
}

func (f remoteFlags) addresses() (server.Addresses, error) {
	a := server.Addresses{HTTP: f.HTTP, OTLPGRPC: f.OTLPGRPC, OTLPHTTP: f.OTLPHTTP, XRay: f.XRay}
	if f.AddressesFile == "" {
		return a, nil
	}
	text, err := os.ReadFile(f.AddressesFile)
	if err != nil {
		return a, fmt.Errorf("--addresses-file: %w", err)
	}
	if err := json.Unmarshal(text, &a); err != nil {
		return a, fmt.Errorf("--addresses-file %s: %w", f.AddressesFile, err)
	}
	return a, nil
}

func (f remoteFlags) variables() ([]variable, server.Addresses, error) {
	a, err := f.addresses()
	return variablesFor(a, f.Key, f.AccessKeyID, f.SecretKey), a, err
}

type envCmd struct {
	remoteFlags `embed:""`
}

// Help implements kong.HelpProvider.
func (*envCmd) Help() string { return `Use it as: eval "$(trefoil env)"` }

// Run prints the variables.
func (c *envCmd) Run() error {
	vars, _, err := c.variables()
	if err != nil {
		return err
	}
	for _, v := range vars {
		fmt.Printf("export %s=%s\n", v.name, shellQuote(v.value))
	}
	return nil
}

// shellQuote quotes s for a POSIX shell where it needs it.
func shellQuote(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=@%+,") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
