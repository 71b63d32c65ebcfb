package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
)

// measure is one row of the table.
type measure struct {
	Group    string  `json:"group"`
	What     string  `json:"what"`
	Measured float64 `json:"measured"`
	Unit     string  `json:"unit"`
	// Bar is what is aimed at: at most, or at least when More is set. Nil is no bar.
	Bar  *float64 `json:"bar,omitempty"`
	More bool     `json:"more,omitempty"`
	// Ratio is 1 at the bar and less when it is met.
	Ratio *float64 `json:"ratio,omitempty"`
	Note  string   `json:"note,omitempty"`
}

// report is what a run found.
type report struct {
	Machine  string    `json:"machine"`
	Spans    int       `json:"spans"`
	Lines    int       `json:"lines"`
	Senders  int       `json:"senders"`
	Measures []measure `json:"measures"`
	Missing  []string  `json:"missing,omitempty"` // what was not measured, and why
	progress io.Writer
}

func machine() string {
	return fmt.Sprintf("%d cores, %s, %s/%s", runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

func (r *report) say(format string, args ...any) {
	_, _ = fmt.Fprintf(r.progress, "bench: "+format+"\n", args...)
}

func (r *report) put(group, what string, measured float64, unit, note string) {
	r.Measures = append(r.Measures, measure{Group: group, What: what, Measured: measured, Unit: unit, Note: note})
}

// atMost puts a measure with a bar above it, 0 for none.
func (r *report) atMost(group, what string, measured float64, unit string, bar float64, note string) {
	m := measure{Group: group, What: what, Measured: measured, Unit: unit, Note: note}
	if bar > 0 {
		ratio := measured / bar
		m.Bar, m.Ratio = &bar, &ratio
	}
	r.Measures = append(r.Measures, m)
}

// none puts a measure that must be zero.
func (r *report) none(group, what string, measured float64, unit, note string) {
	zero := 0.0
	r.Measures = append(r.Measures, measure{Group: group, What: what, Measured: measured, Unit: unit, Bar: &zero, Note: note})
}

// atLeast puts a measure with a bar below it, 0 for none.
func (r *report) atLeast(group, what string, measured float64, unit string, bar float64, note string) {
	m := measure{Group: group, What: what, Measured: measured, Unit: unit, Note: note}
	if bar > 0 {
		ratio := bar / measured
		m.Bar, m.Ratio, m.More = &bar, &ratio, true
	}
	r.Measures = append(r.Measures, m)
}

// short writes a number with three digits that count.
func short(f float64) string {
	switch {
	case f >= 1000:
		return strconv.FormatFloat(f, 'f', 0, 64)
	case f >= 100 || f == 0:
		return strconv.FormatFloat(f, 'f', 0, 64)
	case f >= 10:
		return strconv.FormatFloat(f, 'f', 1, 64)
	default:
		return strconv.FormatFloat(f, 'f', 2, 64)
	}
}

// table writes markdown.
func (r *report) table(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s; %d spans, %d lines, %d senders\n\n| what | measured | bar | ratio |\n|---|---|---|---|\n", r.Machine, r.Spans, r.Lines, r.Senders)
	for _, m := range r.Measures {
		bar, ratio := "", ""
		if m.Bar != nil {
			sign := "≤"
			if m.More {
				sign = "≥"
			}
			bar = sign + " " + short(*m.Bar)
		}
		if m.Ratio != nil {
			ratio = short(*m.Ratio)
		}
		value := strings.TrimSpace(short(m.Measured) + " " + m.Unit)
		if m.Note != "" {
			value += " (" + m.Note + ")"
		}
		fmt.Fprintf(&b, "| %s: %s | %s | %s | %s |\n", m.Group, m.What, value, bar, ratio)
	}
	for _, m := range r.Missing {
		fmt.Fprintf(&b, "\nNot measured: %s\n", m)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *report) json(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
