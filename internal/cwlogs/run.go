package cwlogs

import (
	"context"
	"errors"
	"sort"
	"sync"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/cwlogs/insights"
	"github.com/trefoil-o11y/trefoil/internal/query"
)

// Runs of queries are kept in memory: they do not outlive the process. Ended ones are
// forgotten after runsAge, and the oldest of them earlier when there are more than maxRuns or
// their results hold more than maxResultBytes.
const (
	runsAge        = time.Hour
	maxRuns        = 1000
	maxResultBytes = 128 << 20
	// maxUnfinished is how many may wait or run at once, maxRunning how many run.
	maxUnfinished = 100
	maxRunning    = 4
	runTimeout    = 15 * time.Minute
)

type runStatus string

const (
	scheduled runStatus = "Scheduled"
	running   runStatus = "Running"
	complete  runStatus = "Complete"
	failed    runStatus = "Failed"
	cancelled runStatus = "Cancelled"
	timedOut  runStatus = "Timeout"
)

func (s runStatus) ended() bool { return s != scheduled && s != running }

// run is one execution of a query. What stands ahead of status does not change.
type run struct {
	id          string
	environment string
	// text is the query as DescribeQueries gives it, groups and range included.
	text    string
	groups  []string
	plan    *insights.Plan
	query   *query.Query
	created time.Time
	cancel  context.CancelFunc

	status runStatus
	ended  time.Time
	result *query.Result
	bytes  int64
}

// runs are the executions that are known.
type runs struct {
	slots chan struct{}

	mu   sync.Mutex // guards below and what can change of every run
	byID map[string]*run
}

func newRuns() *runs { return &runs{slots: make(chan struct{}, maxRunning), byID: map[string]*run{}} }

// start begins r in the background; it reports false when too many are unfinished.
func (s *Server) start(r *run) bool {
	ctx, cancel := context.WithTimeout(context.Background(), runTimeout)
	r.cancel, r.status = cancel, scheduled
	if !s.runs.add(r) {
		cancel()
		return false
	}
	go func() {
		defer cancel()
		select {
		case s.runs.slots <- struct{}{}:
			defer func() { <-s.runs.slots }()
		case <-ctx.Done():
			s.runs.end(r, nil, ctx.Err())
			return
		}
		if !s.runs.begin(r) {
			return
		}
		res, err := s.cfg.Store.Query(ctx, r.query)
		if s.runs.end(r, res, err) == failed {
			s.cfg.Log.Error("run an insights query", "query", r.id, "error", err)
		}
	}()
	return true
}

func (rs *runs) add(r *run) bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	unfinished := 0
	for _, x := range rs.byID {
		if !x.status.ended() {
			unfinished++
		}
	}
	if unfinished >= maxUnfinished {
		return false
	}
	rs.byID[r.id] = r
	rs.trim(time.Now())
	return true
}

// trim forgets runs that are too old or too many; mu is held.
func (rs *runs) trim(now time.Time) {
	var list []*run
	var bytes int64
	for _, r := range rs.byID {
		if r.status.ended() {
			list = append(list, r)
			bytes += r.bytes
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].ended.Before(list[j].ended) })
	// The newest stays, however large, so that its caller can read it.
	for i, r := range list {
		if now.Sub(r.ended) < runsAge && len(rs.byID) <= maxRuns && (bytes <= maxResultBytes || i == len(list)-1) {
			break
		}
		bytes -= r.bytes
		delete(rs.byID, r.id)
	}
}

// begin marks r as running; it reports false when it was cancelled before.
func (rs *runs) begin(r *run) bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if r.status != scheduled {
		return false
	}
	r.status = running
	return true
}

// end keeps what came of r, unless it was cancelled, and returns its status.
func (rs *runs) end(r *run, res *query.Result, err error) runStatus {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if r.status.ended() {
		return r.status
	}
	r.ended = time.Now()
	switch {
	case err == nil:
		r.status, r.result = complete, res
		for _, row := range res.Rows {
			for _, v := range row {
				r.bytes += int64(len(v.Str())) + 32
			}
		}
	case errors.Is(err, context.DeadlineExceeded):
		r.status = timedOut
	default:
		r.status = failed
	}
	rs.trim(r.ended)
	return r.status
}

// snapshot is a run as it is at one moment.
type snapshot struct {
	status runStatus
	ended  time.Time
	result *query.Result
}

// get returns a run of an environment.
func (rs *runs) get(environment, id string) (*run, snapshot, bool) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r := rs.byID[id]
	if r == nil || r.environment != environment {
		return nil, snapshot{}, false
	}
	return r, snapshot{r.status, r.ended, r.result}, true
}

// stop cancels a run; it reports false when it has ended.
func (rs *runs) stop(r *run) bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if r.status.ended() {
		return false
	}
	r.status, r.ended = cancelled, time.Now()
	r.cancel()
	return true
}

// list returns the runs of an environment, the newest first.
func (rs *runs) list(environment string) []*run {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	var out []*run
	for _, r := range rs.byID {
		if r.environment == environment {
			out = append(out, r)
		}
	}
	sort.Slice(out, func(i, j int) bool {
		if !out[i].created.Equal(out[j].created) {
			return out[i].created.After(out[j].created)
		}
		return out[i].id < out[j].id
	})
	return out
}
