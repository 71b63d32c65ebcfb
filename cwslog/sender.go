package cwslog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/smithy-go"
)

const (
	backoffMin  = 200 * time.Millisecond
	backoffMax  = 30 * time.Second
	callTimeout = 30 * time.Second
)

// sender owns the queue and the goroutine that delivers it.
type sender struct {
	client *cloudwatchlogs.Client
	opts   Options
	ctx    context.Context // marks what the sender causes; ends the goroutine
	cancel context.CancelFunc
	kick   chan struct{} // wakes the goroutine out of any wait
	done   chan struct{} // closed when the goroutine is gone

	mu sync.Mutex // guards below
	// queue holds events not yet taken; held and heldBytes also count those
	// taken and undelivered.
	queue     []event
	held      int
	heldBytes int
	accepted  uint64        // events ever queued
	resolved  uint64        // of them, delivered or lost
	progress  chan struct{} // closed and replaced when resolved changes
	lost      uint64
	dropped   uint64
	flushTo   uint64 // send at once until resolved reaches it
	urgent    bool   // a flush arrived since the last attempt
	closed    bool
}

type owner struct{}

func newSender(ctx context.Context, client *cloudwatchlogs.Client, opts Options) *sender {
	s := &sender{
		client:   client,
		opts:     opts,
		kick:     make(chan struct{}, 1),
		done:     make(chan struct{}),
		progress: make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(context.WithValue(ctx, owner{}, s))
	return s
}

// owns reports whether ctx comes from the sender itself, so that logging done
// by the client's transport or by OnError does not feed the queue.
func (s *sender) owns(ctx context.Context) bool { return ctx != nil && ctx.Value(owner{}) == s }

func (s *sender) enqueue(e event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	if s.held >= s.opts.QueueSize || s.heldBytes+e.size() > s.opts.QueueBytes {
		s.dropped++
		return nil
	}
	s.queue = append(s.queue, e)
	s.held++
	s.heldBytes += e.size()
	s.accepted++
	if len(s.queue) == 1 || len(s.queue) == MaxBatchCount || s.heldBytes >= MaxBatchBytes {
		s.wake()
	}
	return nil
}

func (s *sender) wake() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// run delivers until the sender's context ends.
func (s *sender) run() {
	defer close(s.done)
	defer s.abandon()
	for s.ctx.Err() == nil {
		if s.idle() {
			select {
			case <-s.kick:
			case <-s.ctx.Done():
			}
			continue
		}
		s.await()
		taken, kept := s.take()
		for _, b := range split(kept) {
			s.settle(len(b.events), sizeOf(b.events), s.deliver(b))
		}
		s.advance(taken)
	}
}

func (s *sender) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queue) == 0
}

// await returns when the queue should be sent: the interval is over, a batch
// is full, a flush is wanted, or the context ended.
func (s *sender) await() {
	timer := time.NewTimer(s.opts.SendInterval)
	defer timer.Stop()
	for !s.due() {
		select {
		case <-s.kick:
		case <-timer.C:
			return
		case <-s.ctx.Done():
			return
		}
	}
}

func (s *sender) due() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flushWanted() || len(s.queue) >= MaxBatchCount || s.heldBytes >= MaxBatchBytes
}

func (s *sender) flushWanted() bool { return s.closed || s.flushTo > s.resolved }

// take empties the queue, giving up at once what the service would refuse for
// its time.
func (s *sender) take() (taken int, kept []event) {
	s.mu.Lock()
	all := s.queue
	s.queue = nil
	s.urgent = false
	s.mu.Unlock()

	kept, old, early := expire(all, time.Now())
	if n := old + early; n > 0 {
		s.settle(n, sizeOf(all)-sizeOf(kept), n)
		s.report(fmt.Errorf("give up events outside the accepted time: %d older than 14 days, %d more than 2 hours ahead", old, early), n)
	}
	return len(all), kept
}

func sizeOf(events []event) int {
	n := 0
	for _, e := range events {
		n += e.size()
	}
	return n
}

// deliver sends b until it is accepted, refused for good, or the context ends,
// and returns how many of its events were lost.
func (s *sender) deliver(b batch) int {
	for attempt := 0; ; attempt++ {
		lost, err := s.put(b)
		if err == nil {
			return lost
		}
		if s.ctx.Err() != nil {
			return len(b.events)
		}
		if refused(err) {
			s.report(fmt.Errorf("put %d events to %q: %w", len(b.events), b.stream, err), len(b.events))
			return len(b.events)
		}
		s.report(fmt.Errorf("put %d events to %q, will retry: %w", len(b.events), b.stream, err), 0)
		s.pause(attempt)
	}
}

// pause waits before the next attempt: exponential with full jitter above half.
// A flush cuts it short.
func (s *sender) pause(attempt int) {
	d := min(backoffMin<<min(attempt, 16), backoffMax)
	timer := time.NewTimer(d/2 + rand.N(d/2))
	defer timer.Stop()
	for {
		select {
		case <-s.kick:
			s.mu.Lock()
			urgent := s.urgent
			s.urgent = false
			s.mu.Unlock()
			if urgent {
				return
			}
		case <-timer.C:
			return
		case <-s.ctx.Done():
			return
		}
	}
}

// put makes one attempt, creating what is missing. lost counts events that the
// service accepted the call without.
func (s *sender) put(b batch) (lost int, err error) {
	in := &cloudwatchlogs.PutLogEventsInput{
		LogGroupName:  &s.opts.Group,
		LogStreamName: &b.stream,
		LogEvents:     make([]types.InputLogEvent, len(b.events)),
	}
	for i := range b.events {
		in.LogEvents[i] = types.InputLogEvent{Timestamp: &b.events[i].at, Message: &b.events[i].msg}
	}
	out, err := s.putOnce(in)
	if missing(err) {
		if err := s.create(b.stream); err != nil {
			return 0, err
		}
		out, err = s.putOnce(in)
	}
	var accepted *types.DataAlreadyAcceptedException
	if errors.As(err, &accepted) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	lost = rejected(out.RejectedLogEventsInfo, len(b.events))
	if lost > 0 {
		s.report(fmt.Errorf("put %d events to %q: the service rejected %d for their time", len(b.events), b.stream, lost), lost)
	}
	return lost, nil
}

func (s *sender) putOnce(in *cloudwatchlogs.PutLogEventsInput) (*cloudwatchlogs.PutLogEventsOutput, error) {
	ctx, cancel := context.WithTimeout(s.ctx, callTimeout)
	defer cancel()
	return s.client.PutLogEvents(ctx, in, once)
}

// once turns the client's own retries off: the sender has its own, which keep
// the order of batches and obey Close.
func once(o *cloudwatchlogs.Options) { o.Retryer = aws.NopRetryer{} }

// create makes the stream, and the group when that is missing too.
func (s *sender) create(stream string) error {
	err := s.createStream(stream)
	if !missing(err) {
		return err
	}
	if s.opts.NoCreate {
		return fmt.Errorf("log group %q does not exist: %w", s.opts.Group, err)
	}
	if err := s.createGroup(); err != nil {
		return err
	}
	return s.createStream(stream)
}

func (s *sender) createStream(stream string) error {
	ctx, cancel := context.WithTimeout(s.ctx, callTimeout)
	defer cancel()
	_, err := s.client.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{
		LogGroupName: &s.opts.Group, LogStreamName: &stream,
	}, once)
	if exists(err) {
		return nil
	}
	return err
}

func (s *sender) createGroup() error {
	ctx, cancel := context.WithTimeout(s.ctx, callTimeout)
	defer cancel()
	_, err := s.client.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{
		LogGroupName: &s.opts.Group, Tags: s.opts.Tags,
	}, once)
	if exists(err) {
		return nil
	}
	if err != nil || s.opts.RetentionDays == 0 {
		return err
	}
	_, err = s.client.PutRetentionPolicy(ctx, &cloudwatchlogs.PutRetentionPolicyInput{
		LogGroupName: &s.opts.Group, RetentionInDays: &s.opts.RetentionDays,
	}, once)
	if err != nil {
		// The events matter more than their retention.
		s.report(fmt.Errorf("set retention of log group %q: %w", s.opts.Group, err), 0)
	}
	return nil
}

func missing(err error) bool {
	var e *types.ResourceNotFoundException
	return errors.As(err, &e)
}

// exists also covers a group being made by someone else at this moment.
func exists(err error) bool {
	var e *types.ResourceAlreadyExistsException
	var aborted *types.OperationAbortedException
	return errors.As(err, &e) || errors.As(err, &aborted)
}

// refused reports whether sending the same batch again can never succeed.
// Everything else, wrong credentials included, may be mended from outside.
func refused(err error) bool {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return false
	}
	switch api.ErrorCode() {
	case "InvalidParameterException", "InvalidOperationException", "SerializationException",
		"ValidationException", "UnknownOperationException", "RequestEntityTooLargeException":
		return true
	}
	return false
}

// rejected counts the events of a batch of n that the service left out.
func rejected(info *types.RejectedLogEventsInfo, n int) int {
	if info == nil {
		return 0
	}
	head, tail := 0, n
	for _, end := range []*int32{info.TooOldLogEventEndIndex, info.ExpiredLogEventEndIndex} {
		if end != nil {
			head = max(head, min(int(*end), n))
		}
	}
	if start := info.TooNewLogEventStartIndex; start != nil {
		tail = min(max(int(*start), head), n)
	}
	return head + n - tail
}

func (s *sender) report(err error, lost int) { s.opts.OnError(s.ctx, err, lost) }

// settle takes n events of the given size, delivered or lost, off the bounds.
func (s *sender) settle(n, bytes, lost int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held -= n
	s.heldBytes -= bytes
	s.lost += uint64(lost)
}

// advance tells flushes that the n oldest unresolved events are all settled.
// Batches settle out of order, so it moves only when a whole queue is done.
func (s *sender) advance(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resolved += uint64(n)
	close(s.progress)
	s.progress = make(chan struct{})
}

// abandon gives up what is left when the goroutine ends.
func (s *sender) abandon() {
	s.mu.Lock()
	left, bytes := len(s.queue), sizeOf(s.queue)
	s.queue = nil
	s.closed = true
	s.mu.Unlock()
	s.settle(left, bytes, left)
	s.advance(left)
}

func (s *sender) flush(ctx context.Context) error {
	s.mu.Lock()
	target, before := s.accepted, s.lost
	s.flushTo = max(s.flushTo, target)
	s.urgent = true
	s.mu.Unlock()
	s.wake()
	for {
		s.mu.Lock()
		resolved, lost, progress := s.resolved, s.lost-before, s.progress
		s.mu.Unlock()
		if resolved >= target {
			if lost > 0 {
				return fmt.Errorf("cwslog: %d events lost", lost)
			}
			return nil
		}
		select {
		case <-progress:
		case <-ctx.Done():
			return fmt.Errorf("cwslog: flush with %d events undelivered: %w", target-resolved, ctx.Err())
		}
	}
}

func (s *sender) close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	err := s.flush(ctx)
	s.cancel()
	<-s.done
	return err
}

func (s *sender) droppedCount() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropped
}

func (s *sender) lostCount() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lost
}
