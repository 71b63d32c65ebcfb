package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestAge(t *testing.T) {
	for text, want := range map[string]time.Duration{"30d": 720 * time.Hour, "0.5d": 12 * time.Hour, "90m": 90 * time.Minute, "0": 0} {
		var a age
		if err := a.UnmarshalText([]byte(text)); err != nil || time.Duration(a) != want {
			t.Errorf("%s = %v, %v; want %v", text, time.Duration(a), err, want)
		}
	}
	for _, text := range []string{"x", "-1d", "5", "-3h", "1e9d"} {
		var a age
		if a.UnmarshalText([]byte(text)) == nil {
			t.Errorf("%s was taken as %v", text, time.Duration(a))
		}
	}
}

func TestByteCount(t *testing.T) {
	for text, want := range map[string]byteCount{"20GiB": 20 << 30, "1.5 MB": 1_500_000, "7": 7, "0": 0, "3B": 3} {
		var b byteCount
		if err := b.UnmarshalText([]byte(text)); err != nil || b != want {
			t.Errorf("%s = %d, %v; want %d", text, b, err, want)
		}
	}
	for _, text := range []string{"x", "-1", "5 bananas", "1e30"} {
		var b byteCount
		if b.UnmarshalText([]byte(text)) == nil {
			t.Errorf("%s was taken as %d", text, b)
		}
	}
}

func TestShellQuote(t *testing.T) {
	for s, want := range map[string]string{"a=b": "a=b", "": "''", "a b": "'a b'", "it's": `'it'\''s'`} {
		if got := shellQuote(s); got != want {
			t.Errorf("shellQuote(%q) = %s, want %s", s, got, want)
		}
	}
}

func TestTeeCutsLongLinesAndKeepsTheLast(t *testing.T) {
	long := strings.Repeat("x", maxLine+10)
	var out bytes.Buffer
	lines := make(chan string, 10)
	src := "one\r\n\n" + long + "\nbad \xff\nlast"
	tee(strings.NewReader(src), &out, lines)
	close(lines)
	var got []string
	for l := range lines {
		got = append(got, l)
	}
	want := []string{"one", long[:maxLine], long[maxLine:], "bad \uFFFD", "last"}
	if !slices.Equal(got, want) || out.String() != src {
		t.Errorf("%d lines, want %d", len(got), len(want))
	}
}

func TestServerFlags(t *testing.T) {
	f := serverFlags{Retention: age(time.Hour), MaxBytes: 7, XRayMaxAge: age(30 * 24 * time.Hour), Auth: "keys"}
	if c := f.config(dataFlags{Data: "d"}, addressFlags{}); c.Retention != time.Hour || c.MaxBytes != 7 || c.XRayTraceIDMaxAge != 720*time.Hour || c.Data != "d" {
		t.Errorf("config %+v", c)
	}
}
