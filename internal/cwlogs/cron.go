package cwlogs

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// schedule says when a scheduled query runs: every so often, or at the minutes of a cron expression.
type schedule struct {
	every time.Duration
	// The values that match, as bits. Weekdays are from 0, Sunday.
	minutes, hours, days, months, weekdays uint64
	// anyDay and anyWeekday tell that the one does not matter.
	anyDay, anyWeekday bool
	years              []int // nil for all
}

// maxRate is the longest period of rate.
const maxRate = 366 * day

// parseSchedule reads rate(5 minutes), cron(…) or a cron expression alone. Five fields are those of
// Unix: minute, hour, day of the month, month, day of the week from 0, Sunday. Six are those of
// EventBridge: a year follows, and days of the week are from 1, Sunday.
func parseSchedule(expression string) (schedule, error) {
	text := strings.TrimSpace(expression)
	if inner, ok := enclosed(text, "rate"); ok {
		return parseRate(inner)
	}
	if inner, ok := enclosed(text, "cron"); ok {
		text = inner
	}
	return parseCron(text)
}

func enclosed(text, word string) (string, bool) {
	rest, ok := strings.CutPrefix(text, word+"(")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(rest, ")")
}

func parseRate(text string) (schedule, error) {
	number, unit, _ := strings.Cut(strings.TrimSpace(text), " ")
	n, err := strconv.ParseInt(number, 10, 32)
	size, ok := map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": day}[strings.TrimSuffix(strings.TrimSpace(unit), "s")]
	if err != nil || !ok || n < 1 || time.Duration(n) > maxRate/size {
		return schedule{}, fmt.Errorf("%q is no rate; examples are rate(5 minutes) and rate(1 day)", text)
	}
	return schedule{every: time.Duration(n) * size}, nil
}

var (
	monthNames   = []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}
	weekdayNames = []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}
)

func parseCron(text string) (s schedule, err error) {
	f := strings.Fields(text)
	if len(f) != 5 && len(f) != 6 {
		return s, fmt.Errorf("a cron expression has five or six fields, this one %d", len(f))
	}
	part := func(i, low, high int, names []string) uint64 {
		if err != nil {
			return 0
		}
		var bits uint64
		if bits, err = cronField(f[i], low, high, names); err != nil {
			err = fmt.Errorf("field %d of the cron expression, %q: %w", i+1, f[i], err)
		}
		return bits
	}
	s.minutes, s.hours, s.days, s.months = part(0, 0, 59, nil), part(1, 0, 23, nil), part(2, 1, 31, nil), part(3, 1, 12, monthNames)
	if len(f) == 5 {
		s.weekdays = part(4, 0, 7, weekdayNames)
		s.weekdays |= s.weekdays >> 7 & 1 // 7 is Sunday too
	} else {
		s.weekdays = part(4, 1, 7, weekdayNames) >> 1
	}
	open := func(i int) bool { return f[i] == "*" || f[i] == "?" }
	s.anyDay, s.anyWeekday = open(2), open(4)
	if err == nil && len(f) == 6 {
		if !s.anyDay && !s.anyWeekday {
			return s, fmt.Errorf("the day of the month or that of the week must be ? or *")
		}
		if !open(5) {
			s.years, err = cronYears(f[5])
		}
	}
	return s, err
}

// cronField reads a list of values, ranges and steps.
func cronField(text string, low, high int, names []string) (bits uint64, err error) {
	value := func(t string) (int, error) {
		for i, n := range names {
			if strings.EqualFold(t, n) {
				if len(names) == 12 || low == 1 {
					return i + 1, nil
				}
				return i, nil
			}
		}
		n, err := strconv.Atoi(t)
		if err != nil || n < low || n > high {
			return 0, fmt.Errorf("%q is not from %d to %d", t, low, high)
		}
		return n, nil
	}
	for _, item := range strings.Split(text, ",") {
		span, by, stepped := strings.Cut(item, "/")
		step := 1
		if stepped {
			if step, err = strconv.Atoi(by); err != nil || step < 1 || step > high {
				return 0, fmt.Errorf("%q is no step", by)
			}
		}
		from, to := low, high
		if span != "*" && span != "?" {
			first, last, ranged := strings.Cut(span, "-")
			if from, err = value(first); err != nil {
				return 0, err
			}
			switch {
			case ranged:
				if to, err = value(last); err != nil {
					return 0, err
				}
			case !stepped:
				to = from
			}
			if to < from {
				return 0, fmt.Errorf("the range %q ends before it begins", span)
			}
		}
		for v := from; v <= to; v += step {
			bits |= 1 << v
		}
	}
	return bits, nil
}

func cronYears(text string) ([]int, error) {
	var years []int
	for _, item := range strings.Split(text, ",") {
		first, last, ranged := strings.Cut(item, "-")
		from, err := strconv.Atoi(first)
		to := from
		if ranged && err == nil {
			to, err = strconv.Atoi(last)
		}
		if err != nil || from < 1970 || to > 2199 || to < from {
			return nil, fmt.Errorf("%q is no year from 1970 to 2199", item)
		}
		for y := from; y <= to; y++ {
			years = append(years, y)
		}
	}
	return years, nil
}

// next returns the first time behind after, zero when there is none within five years. Rates count
// from anchor.
func (s *schedule) next(anchor, after time.Time, in *time.Location) time.Time {
	if s.every > 0 {
		if after.Before(anchor) {
			return anchor
		}
		return anchor.Add((after.Sub(anchor)/s.every + 1) * s.every)
	}
	first := after.In(in)
	for d := range 5 * 366 {
		date := time.Date(first.Year(), first.Month(), first.Day()+d, 0, 0, 0, 0, in)
		if !s.onDay(date) {
			continue
		}
		for h := range 24 {
			if s.hours>>h&1 == 0 {
				continue
			}
			for m := range 60 {
				if s.minutes>>m&1 == 0 {
					continue
				}
				// An hour that a change of the clock leaves out has no such time.
				at := time.Date(date.Year(), date.Month(), date.Day(), h, m, 0, 0, in)
				if at.After(after) && at.Hour() == h && at.Minute() == m {
					return at
				}
			}
		}
	}
	return time.Time{}
}

func (s *schedule) onDay(date time.Time) bool {
	if s.months>>int(date.Month())&1 == 0 {
		return false
	}
	if s.years != nil {
		found := false
		for _, y := range s.years {
			found = found || y == date.Year()
		}
		if !found {
			return false
		}
	}
	onDate, onWeekday := s.days>>date.Day()&1 == 1, s.weekdays>>int(date.Weekday())&1 == 1
	switch {
	case s.anyDay:
		return onWeekday
	case s.anyWeekday:
		return onDate
	}
	return onDate || onWeekday // as cron has it
}
