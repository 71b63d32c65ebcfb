package main

import (
	"errors"
	"testing"
	"time"
)

func TestReadTime(t *testing.T) {
	want := time.Date(2026, 11, 23, 3, 4, 5, 0, time.UTC)
	for _, text := range []string{"2026-11-23T03:04:05Z", "2026-11-23T04:04:05+01:00", "1795403045", "1795403045000", want.Local().Format("2006-01-02 15:04:05"), want.Local().Format("2006-01-02T15:04:05")} {
		if got, err := readTime(text); err != nil || !got.Equal(want) {
			t.Errorf("%q is %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "yesterday", "12h", "2026-13-01", "-5"} {
		if got, err := readTime(text); err == nil {
			t.Errorf("%q is taken as %v", text, got)
		}
	}
}

func TestSpan(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	for _, c := range []struct {
		flags    timeFlags
		from, to int64
	}{
		{timeFlags{Since: age(time.Hour)}, 996_400, 1_000_000},
		{timeFlags{Since: age(time.Hour), To: "900000"}, 896_400, 900_000},
		{timeFlags{Since: age(time.Hour), From: "5", To: "9"}, 5, 9},
		{timeFlags{From: "900000"}, 900_000, 1_000_000},
	} {
		from, to, err := c.flags.span(now)
		if err != nil || from.Unix() != c.from || to.Unix() != c.to {
			t.Errorf("%+v: %v to %v, %v", c.flags, from.Unix(), to.Unix(), err)
		}
	}
	for _, f := range []timeFlags{{From: "x"}, {To: "x"}, {From: "9", To: "5"}} {
		if from, to, err := f.span(now); err == nil {
			t.Errorf("%+v is taken as %v to %v", f, from, to)
		}
	}
}

func TestPointOut(t *testing.T) {
	at := func(start, end int) error {
		r := &refusal{Message: "1:1: bad"}
		r.Span = &struct {
			Start int `json:"start"`
			End   int `json:"end"`
		}{start, end}
		return r
	}
	for _, c := range []struct {
		filter string
		err    error
		want   string
	}{
		{`service("x" {`, at(12, 13), "1:1: bad\n  service(\"x\" {\n              ^"},
		{"ok AND\n\tétée > 3 x", at(8, 14), "1:1: bad\n  \tétée > 3 x\n  \t^^^^"},
		{"ok", at(2, 2), "1:1: bad\n  ok\n    ^"},
		{"a\nb", at(0, 3), "1:1: bad\n  a\n  ^"},
		{"ok", at(7, 9), "1:1: bad"},
		{"ok", at(1, 0), "1:1: bad\n  ok\n   ^"},
		{"ok", errors.New("no answer"), "no answer"},
	} {
		if got := pointOut(c.filter, c.err).Error(); got != c.want {
			t.Errorf("%q:\n%s\nwant\n%s", c.filter, got, c.want)
		}
	}
}

func TestPrintable(t *testing.T) {
	if got := printable("a\x1b[2J\tb\u202ec é"); got != "a�[2J�b�c é" {
		t.Errorf("%q", got)
	}
}
