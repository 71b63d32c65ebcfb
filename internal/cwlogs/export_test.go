package cwlogs

import (
	"context"
	"time"
)

// RunDue starts the scheduled queries that are due at a time and waits for them and what they send.
func (s *Server) RunDue(ctx context.Context, now time.Time) error {
	_, err := s.runDue(ctx, now)
	s.schedule.running.Wait()
	return err
}

// Next returns the times of a schedule behind a time.
func Next(expression string, after time.Time, in *time.Location, n int) (out []time.Time, err error) {
	s, err := parseSchedule(expression)
	for range n {
		if err != nil || after.IsZero() {
			break
		}
		after = s.next(after, after, in)
		out = append(out, after)
	}
	return out, err
}

// HoldRuns keeps queries from running until release is called.
func (s *Server) HoldRuns() (release func()) {
	for range maxRunning {
		s.runs.slots <- struct{}{}
	}
	return func() {
		for range maxRunning {
			<-s.runs.slots
		}
	}
}

// Tails is the number of open sessions of live tail.
func (s *Server) Tails() int { return int(s.tails.n.Load()) }

// DetectDue runs the anomaly detectors that are due at a time.
func (s *Server) DetectDue(ctx context.Context, now time.Time) error { return s.detectDue(ctx, now) }
