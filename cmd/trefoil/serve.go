package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/server"
)

// dataFlags say where a server keeps its data.
type dataFlags struct {
	Data  string `help:"Folder of events and metadata." default:"${data}" placeholder:"DIR"`
	Store string `help:"Folder of events (default: inside --data)." placeholder:"DIR"`
	Meta  string `help:"File of metadata (default: inside --data)." placeholder:"FILE"`
}

func (f dataFlags) metaFile() string {
	if f.Meta != "" {
		return f.Meta
	}
	return filepath.Join(f.Data, "meta.db")
}

// addressFlags are the listening addresses.
type addressFlags struct {
	HTTP     string `name:"http" help:"Address of the UI and of every HTTP API." default:"127.0.0.1:8733" placeholder:"ADDR"`
	OTLPGRPC string `name:"otlp-grpc" help:"Address of OTLP over gRPC." default:"127.0.0.1:4317" placeholder:"ADDR"`
	OTLPHTTP string `name:"otlp-http" help:"Address of OTLP over HTTP." default:"127.0.0.1:4318" placeholder:"ADDR"`
	XRay     string `name:"xray" help:"Address of the X-Ray daemon, UDP and TCP." default:"127.0.0.1:2000" placeholder:"ADDR"`
}

// serverFlags are the settings that serve and demo share.
type serverFlags struct {
	Auth          string    `help:"Who is let in: off (everyone, on loopback only), keys, strict (keys and a right clock)." enum:"off,keys,strict" default:"off"`
	TLSCert       string    `name:"tls-cert" help:"Certificate for HTTP and OTLP, PEM." placeholder:"FILE"`
	TLSKey        string    `name:"tls-key" help:"Key of the certificate, PEM." placeholder:"FILE"`
	Retention     age       `help:"Remove events that are older, such as 30d or 12h; 0 keeps them." default:"0"`
	MaxBytes      byteCount `help:"Remove the oldest events above this size, such as 20GiB; 0 is no limit." default:"0"`
	XRayMaxAge    age       `name:"xray-trace-id-max-age" help:"Refuse X-Ray documents of traces whose ids are older, such as 30d; 0 takes any." default:"0"`
	AddressesFile string    `help:"File to write the listening addresses to, as JSON, once everything listens." placeholder:"FILE"`
	LogFormat     string    `help:"Format of the server's own log." enum:"text,json" default:"text"`
}

type serveCmd struct {
	dataFlags    `embed:""`
	addressFlags `embed:""`
	serverFlags  `embed:""`
}

// softMemory is the memory from which garbage is collected more often, so that bursts of
// ingestion stay below 400 MB resident. It is no limit: what is in use is kept.
const softMemory = 330 << 20

// keepMemory applies softMemory, unless the environment says otherwise.
func keepMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(softMemory)
	}
}

// Run runs the server until it is told to stop.
func (c *serveCmd) Run(ctx context.Context) error {
	keepMemory()
	cfg := c.config(c.dataFlags, c.addressFlags)
	cfg.Ready = func(a server.Addresses) { banner(os.Stdout, a, c.Data) }
	return server.Run(ctx, cfg)
}

func (f serverFlags) config(d dataFlags, a addressFlags) server.Config {
	return server.Config{
		Data: d.Data, Store: d.Store, Meta: d.Meta, HTTP: a.HTTP, OTLPGRPC: a.OTLPGRPC, OTLPHTTP: a.OTLPHTTP, XRay: a.XRay,
		Auth:    map[string]awsapi.Mode{"off": awsapi.Off, "keys": awsapi.Keys, "strict": awsapi.Strict}[f.Auth],
		TLSCert: f.TLSCert, TLSKey: f.TLSKey, Retention: time.Duration(f.Retention), MaxBytes: int64(f.MaxBytes), XRayTraceIDMaxAge: time.Duration(f.XRayMaxAge),
		AddressesFile: f.AddressesFile, Version: version(), Log: f.logger(os.Stderr),
	}
}

func (f serverFlags) logger(w io.Writer) *slog.Logger {
	if f.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, nil))
	}
	return slog.New(slog.NewTextHandler(w, nil))
}

func banner(w io.Writer, a server.Addresses, data string) {
	_, _ = fmt.Fprintf(w, "\n  Trefoil %s\n\n  UI and APIs   http://%s\n  OTLP          http://%s (HTTP), %s (gRPC)\n  X-Ray daemon  %s (UDP and TCP)\n  Data          %s\n\n  Point clients here:\n\n",
		version(), a.HTTP, a.OTLPHTTP, a.OTLPGRPC, a.XRay, data)
	for _, v := range variables(a) {
		_, _ = fmt.Fprintf(w, "    export %s=%s\n", v.name, v.value)
	}
	_, _ = fmt.Fprintln(w)
}

// age is a duration that may be given in days.
type age time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *age) UnmarshalText(text []byte) error {
	s := string(text)
	if n, ok := strings.CutSuffix(s, "d"); ok {
		days, err := strconv.ParseFloat(n, 64)
		if err != nil || days < 0 || days > 36_500 {
			return fmt.Errorf("%q is not a number of days", s)
		}
		*a = age(days * float64(24*time.Hour))
		return nil
	}
	if s == "0" || s == "" {
		return nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return fmt.Errorf("%q is not a duration such as 30d or 12h", s)
	}
	*a = age(d)
	return nil
}

// byteCount is a size with an optional unit.
type byteCount int64

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *byteCount) UnmarshalText(text []byte) error {
	s := string(text)
	for _, u := range []struct {
		suffix string
		factor float64
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"B", 1}, {"", 1}} {
		n, ok := strings.CutSuffix(s, u.suffix)
		if !ok {
			continue
		}
		f, err := strconv.ParseFloat(strings.TrimSpace(n), 64)
		if err != nil || f < 0 || f*u.factor > 1<<62 {
			return fmt.Errorf("%q is not a size such as 20GiB", s)
		}
		*b = byteCount(f * u.factor)
		return nil
	}
	return nil
}

// defaultData is the folder for data of this user.
func defaultData() string {
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "trefoil")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "trefoil-data"
	}
	return filepath.Join(home, ".local", "share", "trefoil")
}
