package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
)

// Config is what a server is told. The zero Config with Data set serves on the default
// loopback addresses.
type Config struct {
	// Data is the folder of events and metadata, where Store and Meta do not name others.
	Data string
	// Store is the folder of events, Meta the file of metadata; empty is inside Data.
	Store, Meta string
	// HTTP, OTLPGRPC, OTLPHTTP and XRay are listening addresses; port 0 picks a free one. XRay
	// is both UDP and TCP.
	HTTP, OTLPGRPC, OTLPHTTP, XRay string
	// Auth says whose requests are let in. Off is for loopback addresses only.
	Auth awsapi.Mode
	// TLSCert and TLSKey are PEM files for HTTP and OTLP; empty serves plain text.
	TLSCert, TLSKey string
	// Retention and MaxBytes bound what is kept; zero is no bound.
	Retention time.Duration
	MaxBytes  int64
	// XRayTraceIDMaxAge is how old the time in a trace id may be of X-Ray documents that arrive;
	// zero is any age.
	XRayTraceIDMaxAge time.Duration
	// AddressesFile is written, as JSON, once everything listens.
	AddressesFile string
	// Version is shown to users.
	Version string
	// Log receives what operators should know; nil discards it.
	Log *slog.Logger
	// Ready is called once everything listens.
	Ready func(Addresses)
}

// Addresses are what the server listens on.
type Addresses struct {
	HTTP     string `json:"http"`
	OTLPGRPC string `json:"otlp_grpc"`
	OTLPHTTP string `json:"otlp_http"`
	XRay     string `json:"xray"`
}

// Environment is the environment of requests that are let in without a key, Account and
// Region those of AWS callers.
const (
	Environment = "bootcamp"
	Account     = "000000000000"
	Region      = "us-east-1"
)

func (c *Config) setDefaults() {
	for _, d := range []struct {
		addr *string
		def  string
	}{{&c.HTTP, "127.0.0.1:8733"}, {&c.OTLPGRPC, "127.0.0.1:4317"}, {&c.OTLPHTTP, "127.0.0.1:4318"}, {&c.XRay, "127.0.0.1:2000"}} {
		if *d.addr == "" {
			*d.addr = d.def
		}
	}
	if c.Store == "" {
		c.Store = filepath.Join(c.Data, "events")
	}
	if c.Meta == "" {
		c.Meta = filepath.Join(c.Data, "meta.db")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Version == "" {
		c.Version = "devel"
	}
}

// flags names the addresses by the flags that set them.
func (c *Config) flags() map[string]string {
	return map[string]string{"--http": c.HTTP, "--otlp-grpc": c.OTLPGRPC, "--otlp-http": c.OTLPHTTP, "--xray": c.XRay}
}

// Validate names the first setting that makes no sense.
func (c *Config) Validate() error {
	if c.Data == "" {
		return errors.New("--data: no folder given")
	}
	for flag, v := range map[string]string{"--store": c.Store, "--meta": c.Meta} {
		if scheme, _, ok := strings.Cut(v, "://"); ok {
			return fmt.Errorf("%s: %s is not supported by this version; give a path on this machine", flag, scheme)
		}
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return errors.New("--tls-cert and --tls-key go together")
	}
	for flag, addr := range c.flags() {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return fmt.Errorf("%s %s: %w", flag, addr, err)
		}
		if c.Auth == awsapi.Off && !loopback(host) {
			return fmt.Errorf("%s %s is not a loopback address, and --auth off would let everyone in who can reach it: use --auth keys or --auth strict (trefoil key create makes a key)", flag, addr)
		}
	}
	return nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
