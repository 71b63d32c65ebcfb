package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/server"
)

// serve runs a server for a test and returns a client of it.
func serve(t *testing.T) awsClient {
	t.Helper()
	dir := t.TempDir() // is removed behind what is cleaned up below
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ready, done := make(chan server.Addresses, 1), make(chan error, 1)
	go func() {
		const free = "127.0.0.1:0"
		done <- server.Run(ctx, server.Config{Data: dir, HTTP: free, OTLPGRPC: free, OTLPHTTP: free, XRay: free, Ready: func(a server.Addresses) { ready <- a }})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	select {
	case a := <-ready:
		return awsClient{"http://" + a.HTTP, "test", "test"}
	case err := <-done:
		done <- err
		t.Fatal(err)
	}
	return awsClient{}
}

func TestLogs(t *testing.T) {
	client := serve(t)
	ship := shipper{client, "g", "s"}
	if err := ship.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 20)
	for i := range 10 {
		lines <- fmt.Sprintf(`{"n":%d,"text":"a\tb"}`, i)
	}
	close(lines)
	if lost, err := ship.ship(t.Context(), lines); lost != 0 || err != nil {
		t.Fatal(lost, err)
	}
	ask := func(c logsCmd) (out, notes string, err error) {
		var o, n strings.Builder
		c.Group, c.Since = append(c.Group, "g"), age(time.Hour)
		c.To = moment(time.Now().Add(time.Minute))
		err = c.run(t.Context(), client, &o, &n)
		return o.String(), n.String(), err
	}
	out, notes, err := ask(logsCmd{Query: "fields n, text | filter n > 7 | sort n"})
	if want := "n  text\n8  a\\tb\n9  a\\tb\n"; err != nil || out != want || !strings.HasPrefix(notes, "2 rows; 2 of 10 records matched, ") {
		t.Errorf("got %q, %q, %v\nwant %q", out, notes, err, want)
	}
	if out, _, err = ask(logsCmd{Query: "stats count(*) as n, max(n) as m", JSON: true}); err != nil || out != `{"m":"9","n":"10"}`+"\n" {
		t.Errorf("got %q, %v", out, err)
	}
	if out, _, err = ask(logsCmd{Query: "fields n | sort n", Limit: 1}); err != nil || out != "n\n0\n" {
		t.Errorf("got %q, %v", out, err)
	}
	var exit exitError
	_, notes, err = ask(logsCmd{Query: "fields \"é\"\n| nonsense x"})
	if want := "| nonsense x\n  ^^^^^^^^\nunexpected \"nonsense\", expected a command"; !errors.As(err, &exit) || !strings.HasPrefix(notes, want) {
		t.Errorf("got %q, %v\nwant %q", notes, err, want)
	}
	var vendor *vendorError
	if _, _, err = ask(logsCmd{Query: "fields a", Group: []string{"none"}}); !errors.As(err, &vendor) || vendor.Type != "ResourceNotFoundException" {
		t.Errorf("an unknown group: %v", err)
	}
}

func TestMoment(t *testing.T) {
	for text, want := range map[string]string{"2026-11-20T10:00:00Z": "2026-11-20 10:00", "2026-11-20T10:00:00+02:00": "2026-11-20 08:00", "2026-11-20": "2026-11-20 00:00", "1700000000123": "2023-11-14 22:13"} {
		var m moment
		if err := m.UnmarshalText([]byte(text)); err != nil || time.Time(m).UTC().Format("2006-01-02 15:04") != want {
			t.Errorf("%s is %v, %v", text, time.Time(m), err)
		}
	}
	for _, text := range []string{"", "yesterday", "12", "2026-13-01"} {
		var m moment
		if err := m.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken for %v", text, time.Time(m))
		}
	}
}
