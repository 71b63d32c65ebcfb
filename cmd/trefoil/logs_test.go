package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
		c.To = time.Now().Add(time.Minute).Format(time.RFC3339)
		err = c.run(t.Context(), client, &o, &n)
		return o.String(), n.String(), err
	}
	out, notes, err := ask(logsCmd{Query: "fields n, text | filter n > 7 | sort n"})
	if want := "n  text\n8  a\\tb\n9  a\\tb\n"; err != nil || out != want || !strings.HasPrefix(notes, "rows: 2; 2 of 10 records matched, ") {
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
	many := `split("` + strings.Repeat("1,", 100) + `", ",")` // ten times its square is more than a query within a query may have
	_, notes, err = ask(logsCmd{Query: "filter n in (fields " + many + " as l | unnest l into a | unnest l into b | display b)"})
	if err == nil || !strings.HasPrefix(err.Error(), "the query ended as Failed: ") || !strings.Contains(err.Error(), "50000") {
		t.Errorf("a query that fails: %v %s", err, notes)
	}
	var vendor *vendorError
	if _, _, err = ask(logsCmd{Query: "fields a", Group: []string{"none"}}); !errors.As(err, &vendor) || vendor.Type != "ResourceNotFoundException" {
		t.Errorf("an unknown group: %v", err)
	}
}

// TestTail looks back and follows; nothing is printed twice.
func TestTail(t *testing.T) {
	client := serve(t)
	ship := shipper{client, "g", "s"}
	if err := ship.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	send := func(messages ...string) {
		t.Helper()
		lines := make(chan string, len(messages))
		for _, m := range messages {
			lines <- m
		}
		close(lines)
		if lost, err := ship.ship(t.Context(), lines); lost != 0 || err != nil {
			t.Fatal(lost, err)
		}
	}
	send("one", "two\tcolumns", "three")
	var out, notes strings.Builder
	c := tailCmd{Group: "g", Filter: "?one ?two", timeFlags: timeFlags{Since: age(time.Hour)}}
	if err := c.run(t.Context(), client, &out, &notes); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 2 || !strings.HasSuffix(lines[0], " s one") || !strings.HasSuffix(lines[1], ` s two\tcolumns`) {
		t.Errorf("%q", out.String())
	}
	c.Filter = `{ $.a = `
	notes.Reset()
	if err := c.run(t.Context(), client, &out, &notes); err != exitError(1) || !strings.HasPrefix(notes.String(), "{ $.a = \n        ^") {
		t.Errorf("%v: %s", err, notes.String())
	}

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	pipe, to := io.Pipe()
	done := make(chan error, 1)
	go func() {
		follow := tailCmd{Group: "g", JSON: true, Follow: true, timeFlags: timeFlags{Since: age(time.Hour)}}
		done <- follow.run(ctx, client, to, io.Discard)
		_ = to.Close()
	}()
	printed := bufio.NewScanner(pipe)
	next := func() string {
		t.Helper()
		if !printed.Scan() {
			t.Fatalf("the output ends: %v", printed.Err())
		}
		var e tailedEvent
		if err := json.Unmarshal(printed.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		return e.Message
	}
	for _, want := range []string{"one", "two\tcolumns", "three"} {
		if got := next(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	send("four")
	send("five", "six")
	for _, want := range []string{"four", "five", "six"} {
		if got := next(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	stop()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
