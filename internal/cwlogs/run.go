package cwlogs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/trefoil-o11y/trefoil/internal/cwlogs/insights"
	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/meta"
	"github.com/trefoil-o11y/trefoil/internal/query"
)

// Runs of queries and their results are kept in meta, and survive a restart; one that was cut by it
// has failed. Ended ones are forgotten after runsAge, and the oldest of them earlier when there are
// more than maxRuns or their results hold more than maxResultBytes.
const (
	runsAge        = 7 * day
	maxRuns        = 1000
	maxResultBytes = 512 << 20
	// maxRowBytes bounds the text of one result.
	maxRowBytes = 256 << 20
	// pageRows and pageBytes bound the pages in which a result is kept.
	pageRows  = 500
	pageBytes = 1 << 20
	// maxUnfinished is how many may wait or run at once, maxRunning how many run.
	maxUnfinished = 100
	maxRunning    = 4
	runTimeout    = 15 * time.Minute
	// sideTimeout bounds a query within a query.
	sideTimeout = 30 * time.Second
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
	id, environment, account string
	// text is the query as DescribeQueries gives it, groups and range included.
	text    string
	groups  []string
	tree    *insights.Query
	env     insights.Env
	created time.Time
	cancel  context.CancelFunc
	done    chan struct{} // closed when it has ended
	partial partial

	status runStatus
	// ending is set once it is decided how it ends.
	ending     bool
	ended      time.Time
	statistics queryStatistics
	rows       int
	bytes      int64
	fault      string
}

// runs are the executions that are known.
type runs struct {
	meta  *meta.DB
	slots chan struct{}
	enc   *zstd.Encoder
	dec   *zstd.Decoder

	mu     sync.Mutex // guards below and what can change of every run
	loaded bool
	byID   map[string]*run
}

func newRuns(db *meta.DB) *runs {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic(err) // the options are right
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	if err != nil {
		panic(err)
	}
	return &runs{meta: db, slots: make(chan struct{}, maxRunning), enc: enc, dec: dec, byID: map[string]*run{}}
}

// load reads the runs of earlier processes, once.
func (rs *runs) load(ctx context.Context) error {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.loaded {
		return nil
	}
	list, err := rs.meta.RecoverInsightsRuns(ctx, string(failed), "the server was restarted", string(scheduled), string(running))
	if err != nil {
		return fmt.Errorf("read the runs of queries: %w", err)
	}
	for _, x := range list {
		r := &run{id: x.ID, environment: x.Environment, account: x.Account, text: x.Query, created: x.Created, status: runStatus(x.Status),
			ending: true, ended: x.Ended, rows: x.Rows, bytes: x.Bytes, fault: x.Error}
		if err := errors.Join(json.Unmarshal([]byte(x.Groups), &r.groups), json.Unmarshal([]byte(x.Statistics), &r.statistics)); err != nil {
			return fmt.Errorf("read the run %s of a query: %w", x.ID, err)
		}
		rs.byID[r.id] = r
	}
	rs.loaded = true
	return nil
}

// stored is a run as meta keeps it; mu is held, or nobody else knows the run.
func (r *run) stored() (meta.InsightsRun, error) {
	groups, err := json.Marshal(r.groups)
	if err != nil {
		return meta.InsightsRun{}, err
	}
	statistics, err := json.Marshal(r.statistics)
	return meta.InsightsRun{ID: r.id, Environment: r.environment, Account: r.account, Query: r.text, Groups: string(groups), Status: string(r.status), Created: r.created,
		Ended: r.ended, Statistics: string(statistics), Error: r.fault, Rows: r.rows, Bytes: r.bytes}, err
}

// errTooMany says that more queries wait than may.
var errTooMany = errors.New("too many queries are unfinished")

// start begins r in the background.
func (s *Server) start(ctx context.Context, r *run) error {
	if err := s.runs.load(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), runTimeout)
	r.cancel, r.status, r.done = cancel, scheduled, make(chan struct{})
	if !s.runs.add(r) {
		cancel()
		return errTooMany
	}
	x, err := r.stored()
	if err == nil {
		err = s.cfg.Meta.CreateInsightsRun(ctx, x)
	}
	if err != nil {
		cancel()
		s.runs.forget(r)
		return fmt.Errorf("begin a query: %w", err)
	}
	go func() {
		defer cancel()
		select {
		case s.runs.slots <- struct{}{}:
			defer func() { <-s.runs.slots }()
		case <-ctx.Done():
			s.finish(ctx, r, nil, nil, ctx.Err())
			return
		}
		if !s.runs.begin(r) {
			return
		}
		plan, res, err := s.execute(ctx, r)
		defer r.partial.watch(nil) // what it told last stands until it has ended
		s.finish(ctx, r, plan, res, err)
	}()
	return nil
}

// execute runs the queries within the query, then the query.
func (s *Server) execute(ctx context.Context, r *run) (*insights.Plan, *query.Result, error) {
	var stats query.Stats
	var read []insights.Group // by queries within the query
	env := r.env
	env.Side = func(p *insights.Plan) (*query.Result, error) {
		ctx, cancel := context.WithTimeoutCause(ctx, sideTimeout, fmt.Errorf("it took longer than %v", sideTimeout))
		defer cancel()
		res, err := s.query(ctx, r.environment, p, nil)
		if err != nil {
			return nil, errors.Join(err, context.Cause(ctx))
		}
		stats.Add(res.Stats)
		read = append(read, p.Groups...)
		return res, nil
	}
	plan, err := insights.Lower(r.tree, env)
	if err != nil {
		return nil, nil, err
	}
	read = append(read, plan.Groups...)
	// shown is what a result is once it may be seen.
	shown := func(ctx context.Context, res *query.Result) error {
		res.Stats.Add(stats)
		if plan.Unmasked || len(res.Rows) == 0 {
			return nil
		}
		return s.hide(ctx, r.environment, read, plan, res)
	}
	progress := &query.Progress{}
	r.partial.watch(func(ctx context.Context, rows int) (*insights.Plan, *query.Result, error) {
		res, err := progress.Look(ctx, rows)
		if err != nil || res == nil {
			return nil, nil, err
		}
		return plan, res, shown(ctx, res)
	})
	res, err := s.query(ctx, r.environment, plan, progress)
	if err != nil {
		return nil, nil, err
	}
	return plan, res, shown(ctx, res)
}

// lookEvery is how long a run is under way before its rows are looked at, and how old those may be that are
// given again: a short query is not held up by those who ask for it.
const lookEvery = 500 * time.Millisecond

// countEvery is the same for the statistics.
const countEvery = 100 * time.Millisecond

// partial is what a run under way has found so far.
type partial struct {
	mu sync.Mutex // guards below; held while the store is asked
	// look asks the store; it is nil while no events are read.
	look       func(ctx context.Context, rows int) (*insights.Plan, *query.Result, error)
	asked      time.Time // when the rows were looked at
	counted    time.Time // when the statistics were
	rows       [][]resultField
	statistics queryStatistics
}

// watch sets how to look, or, with nil, that it is over.
func (p *partial) watch(look func(ctx context.Context, rows int) (*insights.Plan, *query.Result, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.look, p.rows, p.asked, p.counted = look, nil, time.Now(), time.Now()
}

// get returns up to n rows, those that come first so far, and the statistics so far.
func (p *partial) get(ctx context.Context, n int) ([][]resultField, queryStatistics, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.look == nil {
		return nil, p.statistics, nil
	}
	if time.Since(p.counted) < countEvery {
		return p.rows[:min(n, len(p.rows))], p.statistics, nil
	}
	p.counted = time.Now()
	fresh := n > 0 && time.Since(p.asked) >= lookEvery
	ask := 0
	if fresh {
		ask = n
	}
	plan, res, err := p.look(ctx, ask)
	if err != nil {
		return nil, p.statistics, fmt.Errorf("look at a running query: %w", err)
	}
	if res != nil {
		p.statistics = statisticsOf(plan, res)
	}
	if res != nil && fresh {
		p.asked, p.rows = time.Now(), nil
		for _, row := range res.Rows {
			p.rows = append(p.rows, render(plan, row))
		}
	}
	return p.rows[:min(n, len(p.rows))], p.statistics, nil
}

func statisticsOf(plan *insights.Plan, res *query.Result) queryStatistics {
	st := res.Stats
	return queryStatistics{RecordsMatched: count(st.RowsMatched), RecordsScanned: count(st.RowsScanned), EstimatedRecordsSkipped: count(st.RowsSkipped),
		BytesScanned: count(st.BytesScanned), LogGroupsScanned: count(len(plan.Groups))}
}

// hide masks what the policies of the groups that were read protect in the result of a plan.
func (s *Server) hide(ctx context.Context, environment string, read []insights.Group, plan *insights.Plan, res *query.Result) error {
	var ids []event.DatasetID
	for _, g := range read {
		ids = append(ids, g.Dataset)
	}
	mask, err := s.Mask(ctx, environment, ids)
	if mask == nil || err != nil {
		return err
	}
	for _, row := range res.Rows {
		for i := range plan.Columns {
			if plan.Columns[i].Stored || row[i].Kind() == event.KindString {
				row[i] = mask(row[i])
			}
		}
	}
	return nil
}

// query runs a plan over what is left of its groups; progress may be nil.
func (s *Server) query(ctx context.Context, environment string, p *insights.Plan, progress *query.Progress) (*query.Result, error) {
	q := &query.Query{Datasets: []event.DatasetID{}, From: p.From, To: p.To.Add(time.Millisecond), Stages: p.Stages, Counted: p.Counted, Progress: progress}
	for _, g := range p.Groups {
		q.Datasets = append(q.Datasets, g.Dataset)
	}
	alive, err := s.alive(ctx, environment, q.Datasets, p.From)
	if err != nil {
		return nil, err
	}
	if alive != nil {
		q.Stages = append([]query.Stage{query.Filter{Where: alive}}, q.Stages...)
	}
	return s.cfg.Store.Query(ctx, q)
}

// finish keeps what came of r, unless it was cancelled.
func (s *Server) finish(ctx context.Context, r *run, plan *insights.Plan, res *query.Result, err error) {
	if !s.runs.claim(r) {
		return
	}
	ctx = context.WithoutCancel(ctx)
	var pages []meta.ResultPage
	if err == nil {
		pages, err = s.runs.pages(plan, res)
	}
	s.runs.mu.Lock()
	r.ended = time.Now()
	switch {
	case err == nil:
		r.status, r.rows, r.statistics = complete, len(res.Rows), statisticsOf(plan, res)
		for _, p := range pages {
			r.bytes += int64(len(p.Body))
		}
	case errors.Is(err, context.DeadlineExceeded):
		r.status, r.fault = timedOut, err.Error()
	default:
		r.status, r.fault = failed, err.Error()
	}
	status := r.status
	r.status = running // until it is kept
	x, xerr := r.stored()
	x.Status = string(status)
	s.runs.mu.Unlock()
	if xerr == nil {
		xerr = s.cfg.Meta.EndInsightsRun(ctx, x, pages)
	}
	if xerr != nil {
		status, err = failed, errors.Join(err, fmt.Errorf("keep the result: %w", xerr))
	}
	s.runs.mu.Lock()
	r.status = status
	if xerr != nil {
		r.fault, r.rows, r.bytes = err.Error(), 0, 0
	}
	s.runs.mu.Unlock()
	close(r.done)
	if status == failed {
		s.cfg.Log.Error("run an insights query", "query", r.id, "error", err)
	}
	s.runs.trim(ctx, s.cfg.Log.Error)
}

// pages renders and encodes a result.
func (rs *runs) pages(plan *insights.Plan, res *query.Result) ([]meta.ResultPage, error) {
	var pages []meta.ResultPage
	var rows [][]resultField
	first, size, total := 0, 0, 0
	flush := func() error {
		if len(rows) == 0 {
			return nil
		}
		text, err := json.Marshal(rows)
		if err != nil {
			return err
		}
		pages = append(pages, meta.ResultPage{First: first, Body: rs.enc.EncodeAll(text, nil)})
		first += len(rows)
		total += size
		rows, size = rows[:0], 0
		return nil
	}
	for i, r := range res.Rows {
		row := render(plan, r)
		res.Rows[i] = nil
		for _, f := range row {
			size += len(f.Field) + len(f.Value)
		}
		rows = append(rows, row)
		if total+size > maxRowBytes {
			return nil, fmt.Errorf("the result is larger than %d bytes; add a limit or choose fewer fields", maxRowBytes)
		}
		if len(rows) == pageRows || size >= pageBytes {
			if err := flush(); err != nil {
				return nil, err
			}
		}
	}
	return pages, flush()
}

// result returns the rows of an ended run from first up to last.
func (rs *runs) result(ctx context.Context, r *run, first, last int) ([][]resultField, error) {
	pages, err := rs.meta.InsightsResult(ctx, r.id, first, last)
	if err != nil {
		return nil, fmt.Errorf("read the result of query %s: %w", r.id, err)
	}
	out := [][]resultField{}
	for _, p := range pages {
		text, err := rs.dec.DecodeAll(p.Body, nil)
		var rows [][]resultField
		if err == nil {
			err = json.Unmarshal(text, &rows)
		}
		if err != nil {
			return nil, fmt.Errorf("read the result of query %s: %w", r.id, err)
		}
		from, to := max(first-p.First, 0), min(last-p.First, len(rows))
		if from < to {
			out = append(out, rows[from:to]...)
		}
	}
	return out, nil
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
	return true
}

func (rs *runs) forget(r *run) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	delete(rs.byID, r.id)
}

// trim forgets runs that are too old or too many.
func (rs *runs) trim(ctx context.Context, report func(string, ...any)) {
	rs.mu.Lock()
	now := time.Now()
	var list []*run
	var bytes int64
	for _, r := range rs.byID {
		if r.status.ended() {
			list = append(list, r)
			bytes += r.bytes
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].ended.Before(list[j].ended) })
	var gone []string
	// The newest stays, however large, so that its caller can read it.
	for i, r := range list {
		if now.Sub(r.ended) < runsAge && len(rs.byID) <= maxRuns && (bytes <= maxResultBytes || i == len(list)-1) {
			break
		}
		bytes -= r.bytes
		gone = append(gone, r.id)
		delete(rs.byID, r.id)
	}
	rs.mu.Unlock()
	if gone == nil {
		return
	}
	if err := rs.meta.DeleteInsightsRuns(ctx, gone); err != nil {
		report("forget old runs of queries", "runs", len(gone), "error", err)
	}
}

// begin marks r as running; it reports false when it was cancelled before.
func (rs *runs) begin(r *run) bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if r.ending {
		return false
	}
	r.status = running
	return true
}

// claim reports whether the caller is the one to end r.
func (rs *runs) claim(r *run) bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if r.ending {
		return false
	}
	r.ending = true
	return true
}

// snapshot is a run as it is at one moment.
type snapshot struct {
	status     runStatus
	ended      time.Time
	statistics queryStatistics
	rows       int
	fault      string
}

func (rs *runs) snapshot(r *run) snapshot {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return snapshot{r.status, r.ended, r.statistics, r.rows, r.fault}
}

// get returns a run of an environment, nil when there is none.
func (rs *runs) get(ctx context.Context, environment, id string) (*run, error) {
	if err := rs.load(ctx); err != nil {
		return nil, err
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r := rs.byID[id]
	if r == nil || r.environment != environment {
		return nil, nil
	}
	return r, nil
}

// stop cancels a run; it reports false when it has ended.
func (rs *runs) stop(ctx context.Context, r *run) (bool, error) {
	if !rs.claim(r) {
		return false, nil
	}
	rs.mu.Lock()
	r.status, r.ended = cancelled, time.Now()
	x, err := r.stored()
	rs.mu.Unlock()
	r.cancel()
	close(r.done)
	if err == nil {
		err = rs.meta.EndInsightsRun(ctx, x, nil)
	}
	return true, err
}

// list returns the runs of an environment, the newest first.
func (rs *runs) list(ctx context.Context, environment string) ([]*run, error) {
	if err := rs.load(ctx); err != nil {
		return nil, err
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	var out []*run
	for _, r := range rs.byID {
		if r.environment == environment {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b *run) int {
		if c := b.created.Compare(a.created); c != 0 {
			return c
		}
		if a.id < b.id {
			return -1
		}
		return 1
	})
	return out, nil
}
