package cwlogs

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/awsapi"
	"github.com/trefoil-o11y/trefoil/internal/meta"
)

const (
	kindExport = "export-task"
	// exportPage is how many events are read at once.
	exportPage = 10_000
)

// The states of an export task.
const (
	exportPending   = "PENDING"
	exportRunning   = "RUNNING"
	exportCompleted = "COMPLETED"
	exportFailed    = "FAILED"
	exportCancelled = "CANCELLED"
)

var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]$`)

// exportTask is a task as it is kept.
type exportTask struct {
	TaskName          string `json:"taskName,omitempty"`
	LogGroupName      string `json:"logGroupName"`
	StreamPrefix      string `json:"logStreamNamePrefix,omitempty"`
	From              int64  `json:"from"`
	To                int64  `json:"to"`
	Destination       string `json:"destination"`
	DestinationPrefix string `json:"destinationPrefix"`
	Code              string `json:"code"`
	Message           string `json:"message"`
	Created           int64  `json:"created"`
	Completed         int64  `json:"completed,omitempty"`
}

// exports are the tasks that run; there is one at once in an environment.
type exports struct {
	wg sync.WaitGroup

	mu     sync.Mutex // guards below
	active map[string]*activeExport
}

type activeExport struct {
	id        string
	cancel    context.CancelFunc
	cancelled bool
}

type createExportTaskInput struct {
	TaskName          string `json:"taskName"`
	LogGroupName      string `json:"logGroupName"`
	StreamPrefix      string `json:"logStreamNamePrefix"`
	From              *int64 `json:"from"`
	To                *int64 `json:"to"`
	Destination       string `json:"destination"`
	DestinationPrefix string `json:"destinationPrefix"`
}

type createExportTaskOutput struct {
	TaskID string `json:"taskId"`
}

// createExportTask writes the events of a group into files; a bucket is a folder in the server's folder
// of exports that must be there.
func (s *Server) createExportTask(ctx context.Context, r *awsapi.Request, in createExportTaskInput) (createExportTaskOutput, error) {
	var out createExportTaskOutput
	var c check
	c.group(in.LogGroupName)
	c.atMost("taskName", in.TaskName, 512)
	c.prefix("logStreamNamePrefix", in.StreamPrefix, streamName, streamPattern)
	for _, t := range []struct {
		member string
		v      *int64
	}{{"from", in.From}, {"to", in.To}} {
		if t.v == nil {
			c.fault("null", t.member, "Member must not be null")
		}
		c.time(t.member, t.v)
	}
	c.text("destination", in.Destination, 512, nil, "")
	if err := c.err(); err != nil {
		return out, err
	}
	if *in.From > *in.To {
		return out, invalid("The from time must not be after the to time.")
	}
	g, err := s.group(ctx, r, in.LogGroupName)
	if err != nil {
		return out, err
	}
	bucket := filepath.Join(s.cfg.Exports, in.Destination)
	if info, err := os.Stat(bucket); !bucketName.MatchString(in.Destination) || strings.Contains(in.Destination, "..") || err != nil || !info.IsDir() {
		return out, invalid("The given bucket does not exist. Please make sure the bucket is valid.")
	}
	if in.DestinationPrefix == "" {
		in.DestinationPrefix = "exportedlogs"
	}
	if !filepath.IsLocal(filepath.FromSlash(in.DestinationPrefix)) {
		return out, invalid("The destination prefix leads out of the bucket.")
	}
	task := exportTask{
		TaskName: in.TaskName, LogGroupName: g.Name, StreamPrefix: in.StreamPrefix, From: *in.From, To: *in.To, Destination: in.Destination, DestinationPrefix: in.DestinationPrefix,
		Code: exportPending, Created: time.Now().UnixMilli(),
	}
	id := awsapi.NewRequestID()
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	a := &activeExport{id: id, cancel: cancel}
	s.exports.mu.Lock()
	if s.exports.active[g.Environment] != nil {
		s.exports.mu.Unlock()
		cancel()
		return out, errLimit
	}
	s.exports.active[g.Environment] = a
	s.exports.mu.Unlock()
	done := func() {
		cancel()
		s.exports.mu.Lock()
		delete(s.exports.active, g.Environment)
		s.exports.mu.Unlock()
	}
	if _, err := define(ctx, s, g.Environment, kindExport, "", id, task, 0); err != nil {
		done()
		return out, err
	}
	s.exports.wg.Go(func() {
		defer done()
		s.export(run, a, g, filepath.Join(bucket, filepath.FromSlash(in.DestinationPrefix), id), task)
	})
	out.TaskID = id
	return out, nil
}

// export runs a task to its end.
func (s *Server) export(ctx context.Context, a *activeExport, g meta.LogGroup, folder string, task exportTask) {
	keep := func() {
		if _, err := define(context.WithoutCancel(ctx), s, g.Environment, kindExport, "", a.id, task, 0); err != nil {
			s.cfg.Log.Error("keep the state of an export", "task", a.id, "error", err)
		}
	}
	task.Code, task.Message = exportRunning, "Started"
	keep()
	err := s.exportStreams(ctx, g, folder, task)
	s.exports.mu.Lock()
	cancelled := a.cancelled
	s.exports.mu.Unlock()
	task.Completed = time.Now().UnixMilli()
	switch {
	case err == nil:
		task.Code, task.Message = exportCompleted, "Completed successfully"
	case cancelled:
		task.Code, task.Message = exportCancelled, "Cancelled by the caller"
	case ctx.Err() != nil:
		task.Code, task.Message = exportFailed, "The server was stopped"
	default:
		task.Code, task.Message = exportFailed, "The files could not be written; the server's log says why"
		s.cfg.Log.Error("export log events", "task", a.id, "group", g.Name, "error", err)
	}
	keep()
}

func (s *Server) exportStreams(ctx context.Context, g meta.LogGroup, folder string, task exportTask) error {
	streams, err := s.cfg.Meta.LogStreams(ctx, g.ID)
	if err != nil {
		return err
	}
	for _, st := range streams {
		if !strings.HasPrefix(st.Name, task.StreamPrefix) {
			continue
		}
		if err := s.exportStream(ctx, g, st.Name, filepath.Join(folder, strings.ReplaceAll(st.Name, "/", "-")), task); err != nil {
			return fmt.Errorf("stream %q: %w", st.Name, err)
		}
	}
	return os.MkdirAll(folder, 0o755) // also when there was nothing
}

// exportStream writes the events of a stream into one file; there is none when it has none.
func (s *Server) exportStream(ctx context.Context, g meta.LogGroup, stream, folder string, task exportTask) (err error) {
	var out io.Writer
	rd := reading{group: g, streams: []string{stream}, from: time.UnixMilli(task.From), to: time.UnixMilli(min(task.To, maxMillis)).Add(time.Millisecond), limit: exportPage, maxBytes: 4 * maxPageBytes}
	for {
		p, err := s.read(ctx, rd)
		if err != nil || len(p.events) == 0 {
			return err
		}
		if out == nil {
			if err := os.MkdirAll(folder, 0o755); err != nil {
				return err
			}
			f, err := os.Create(filepath.Join(folder, "000000.gz"))
			if err != nil {
				return err
			}
			buffer := bufio.NewWriter(f)
			z := gzip.NewWriter(buffer)
			defer func() { err = errors.Join(err, z.Close(), buffer.Flush(), f.Sync(), f.Close()) }()
			out = z
		}
		for i := range p.events {
			e := &p.events[i]
			if _, err := fmt.Fprintf(out, "%s %s\n", time.Unix(0, e.at.time).UTC().Format("2006-01-02T15:04:05.000Z"), e.message); err != nil {
				return err
			}
		}
		if !p.more {
			return nil
		}
		at := p.events[len(p.events)-1].at
		rd.after = &at
	}
}

// recoverExports ends the tasks that a stop of the server has cut.
func (s *Server) recoverExports(ctx context.Context) error {
	environments, err := s.cfg.Meta.LogObjectEnvironments(ctx, kindExport)
	if err != nil {
		return err
	}
	for _, env := range environments {
		all, err := objects[exportTask](ctx, s, env, kindExport)
		if err != nil {
			return err
		}
		for _, t := range all {
			if t.is.Code != exportPending && t.is.Code != exportRunning {
				continue
			}
			t.is.Code, t.is.Message, t.is.Completed = exportFailed, "The server was stopped", time.Now().UnixMilli()
			if _, err := define(ctx, s, env, kindExport, "", t.Name, t.is, 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// stop ends what runs and waits for it.
func (x *exports) stop() {
	x.mu.Lock()
	for _, a := range x.active {
		a.cancel()
	}
	x.mu.Unlock()
	x.wg.Wait()
}

type describeExportTasksInput struct {
	TaskID     string `json:"taskId"`
	StatusCode string `json:"statusCode"`
	Limit      *int   `json:"limit"`
	NextToken  string `json:"nextToken"`
}

type exportStatus struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

type exportInfo struct {
	CreationTime   int64 `json:"creationTime"`
	CompletionTime int64 `json:"completionTime,omitempty"`
}

type exportRow struct {
	TaskID            string       `json:"taskId"`
	TaskName          string       `json:"taskName,omitempty"`
	LogGroupName      string       `json:"logGroupName"`
	From              int64        `json:"from"`
	To                int64        `json:"to"`
	Destination       string       `json:"destination"`
	DestinationPrefix string       `json:"destinationPrefix"`
	Status            exportStatus `json:"status"`
	ExecutionInfo     exportInfo   `json:"executionInfo"`
}

type describeExportTasksOutput struct {
	ExportTasks []exportRow `json:"exportTasks"`
	NextToken   string      `json:"nextToken,omitempty"`
}

// describeExportTasks lists tasks, the newest first.
func (s *Server) describeExportTasks(ctx context.Context, r *awsapi.Request, in describeExportTasksInput) (describeExportTasksOutput, error) {
	out := describeExportTasksOutput{ExportTasks: []exportRow{}}
	var c check
	limit := c.number("limit", in.Limit, 1, 50, 50)
	c.enum("statusCode", in.StatusCode, exportCancelled, exportCompleted, exportFailed, exportPending, "PENDING_CANCEL", exportRunning)
	if err := c.err(); err != nil {
		return out, err
	}
	if in.TaskID != "" && in.StatusCode != "" {
		return out, invalid("taskId and statusCode are mutually exclusive parameters.")
	}
	all, err := objects[exportTask](ctx, s, r.Caller.Environment, kindExport)
	if err != nil {
		return out, err
	}
	all = slices.DeleteFunc(all, func(d defined[exportTask]) bool {
		return in.TaskID != "" && d.Name != in.TaskID || in.StatusCode != "" && d.is.Code != in.StatusCode
	})
	newer := func(a, b defined[exportTask]) int {
		if c := b.Created.Compare(a.Created); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	}
	slices.SortFunc(all, newer)
	after, err := readToken("exports", in.NextToken)
	if err != nil {
		return out, err
	}
	if i := slices.IndexFunc(all, func(d defined[exportTask]) bool { return d.Name == after }); after != "" {
		all = all[i+1:]
	}
	if len(all) > limit {
		all = all[:limit]
		out.NextToken = pageToken("exports", all[limit-1].Name)
	}
	for _, d := range all {
		t := d.is
		out.ExportTasks = append(out.ExportTasks, exportRow{
			d.Name, t.TaskName, t.LogGroupName, t.From, t.To, t.Destination, t.DestinationPrefix, exportStatus{t.Code, t.Message}, exportInfo{t.Created, t.Completed},
		})
	}
	return out, nil
}

func (s *Server) cancelExportTask(ctx context.Context, r *awsapi.Request, in createExportTaskOutput) (none, error) {
	var c check
	c.text("taskId", in.TaskID, 512, nil, "")
	if err := c.err(); err != nil {
		return none{}, err
	}
	missing := awsapi.Errorf("ResourceNotFoundException", "The specified export task does not exist.")
	if _, err := object[exportTask](ctx, s, r.Caller.Environment, kindExport, "", in.TaskID, missing); err != nil {
		return none{}, err
	}
	s.exports.mu.Lock()
	defer s.exports.mu.Unlock()
	a := s.exports.active[r.Caller.Environment]
	if a == nil || a.id != in.TaskID {
		return none{}, awsapi.Errorf("InvalidOperationException", "The specified export task has already finished")
	}
	a.cancelled = true
	a.cancel()
	return none{}, nil
}
