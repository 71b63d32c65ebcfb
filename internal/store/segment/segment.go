package segment

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/store"
)

// Config configures a Store. Only Dir is required.
type Config struct {
	// Dir is the data folder; it is created when missing.
	Dir string
	// Log receives what operators should know; nil discards it.
	Log *slog.Logger
	// FlushBytes is the size of the head at which it is flushed. Default 32 MiB.
	FlushBytes int64
	// FlushAge is the age of the head's oldest events at which it is flushed. Default 5
	// minutes.
	FlushAge time.Duration
	// MaxHeadBytes is the size of the head, with what is being flushed, from which Append
	// waits for the flush, and answers store.ErrFull when that fails or takes longer than
	// fullWait. Default twice FlushBytes.
	MaxHeadBytes int64
	// Retention hides and removes events with a $time older than this, whatever their dataset
	// says. Zero keeps them.
	Retention time.Duration
	// MaxBytes is the size of all segments above which the oldest are removed. Zero is no
	// limit.
	MaxBytes int64

	disk disk
}

func (c *Config) setDefaults() {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.FlushBytes == 0 {
		c.FlushBytes = 32 << 20
	}
	if c.FlushAge == 0 {
		c.FlushAge = 5 * time.Minute
	}
	if c.MaxHeadBytes == 0 {
		c.MaxHeadBytes = 2 * c.FlushBytes
	}
	c.disk.setDefaults()
}

// Store is the embedded store.
type Store struct {
	cfg   Config
	lock  *os.File
	open  func(path string, num uint64) (*file, error) // openFile, unless a test has it fail
	dicts *dicts

	appendMu sync.Mutex // one Append at a time; held for the log write
	log      *wal       // guarded by appendMu

	flushMu sync.Mutex // one flush at a time; taken before appendMu

	catalogMu sync.Mutex // one change of the set of segments at a time; taken before mu

	mu        sync.Mutex // guards below
	closed    bool
	covered   uint64 // the newest log file whose events the segments have
	nextSeq   uint64
	nextFile  uint64
	head      []*event.Batch // visible, only in the log
	flushing  []*event.Batch // visible, being written to a segment
	headBytes int64
	headSince time.Time
	flushEnd  chan struct{} // closed and replaced at the end of each flush
	flushErr  error         // of the newest flush
	files     []*file
	dropped   map[event.DatasetID]struct{}
	retain    map[event.DatasetID]time.Duration

	stop       context.CancelFunc
	stopped    chan struct{} // maintain has ended
	rearranged chan struct{} // rearrange has ended
	kick       chan struct{} // a flush is wanted
	tidy       chan struct{} // the set of segments has changed
}

var _ store.Store = (*Store)(nil)

// dictBytes is how much memory the dictionaries that were read last may hold.
const dictBytes = 64 << 20

// Open opens the store of a folder, which no other process may have open, and recovers what
// the log holds.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	cfg.setDefaults()
	if cfg.Dir == "" {
		return nil, errors.New("open store: no data folder given")
	}
	s := &Store{
		cfg: cfg, open: openFile, dicts: newDicts(dictBytes), dropped: map[event.DatasetID]struct{}{}, retain: map[event.DatasetID]time.Duration{},
		stopped: make(chan struct{}), rearranged: make(chan struct{}), kick: make(chan struct{}, 1), tidy: make(chan struct{}, 1), flushEnd: make(chan struct{}),
	}
	if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	for _, d := range []string{s.path("wal"), s.path("segments")} {
		if err := s.cfg.disk.mkdir(d); err != nil && !errors.Is(err, os.ErrExist) {
			return nil, fmt.Errorf("open store: %w", err)
		}
	}
	// What the log and the segments are in has to be durable before anything in them is. So has
	// the catalog, which an earlier process may not have been able to sync: recover removes what
	// it does not name.
	if err := s.cfg.disk.syncDir(cfg.Dir); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if err := s.takeLock(); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if err := s.recover(); err != nil {
		s.releaseFiles()
		return nil, errors.Join(fmt.Errorf("open store %s: %w", cfg.Dir, err), s.lock.Close())
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = cancel
	go s.maintain(run)
	go s.rearrange(run)
	return s, nil
}

func (s *Store) path(parts ...string) string {
	return filepath.Join(append([]string{s.cfg.Dir}, parts...)...)
}

// takeLock makes this process the owner of the folder. The lock ends with the process.
func (s *Store) takeLock() error {
	f, err := os.OpenFile(s.path("LOCK"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return errors.Join(fmt.Errorf("folder %s is in use by another process", s.cfg.Dir), f.Close())
	}
	s.lock = f
	return nil
}

// recover opens the segments that the catalog names, then reads the log files that none of them
// covers.
func (s *Store) recover() error {
	if err := s.readDropped(); err != nil {
		return err
	}
	cat, found, err := readCatalog(s.path("catalog"))
	if err != nil {
		return err
	}
	there, err := numbered(s.path("segments"), ".parquet")
	if err != nil {
		return err
	}
	aside, err := numbered(s.path("quarantine"), ".parquet")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, n := range slices.Concat(there, aside, cat.Files) {
		s.nextFile = max(s.nextFile, n+1)
	}
	if !found && len(there) > 0 {
		s.cfg.Log.Warn("the folder has segments but no catalog: all of them are used", "folder", s.path("segments"), "segments", len(there))
		cat.Files = there
	}
	for _, n := range there {
		if !slices.Contains(cat.Files, n) {
			// It was written but not yet, or no longer, the store's.
			if err := s.cfg.disk.remove(s.segmentPath(n)); err != nil {
				return err
			}
		}
	}
	s.covered, s.nextSeq = cat.WAL, cat.Seq
	for _, n := range cat.Files {
		path := s.segmentPath(n)
		if !slices.Contains(there, n) {
			s.cfg.Log.Error("segment is missing; its events are missing from answers", "file", path)
			continue
		}
		f, err := s.open(path, n)
		if errors.Is(err, errUnusable) {
			return err
		}
		if err != nil {
			s.quarantine(path, err)
			continue
		}
		s.files = append(s.files, f)
		s.nextSeq = max(s.nextSeq, f.meta.MaxSeq+1)
	}
	tmps, _ := filepath.Glob(s.path("segments", "*.tmp"))
	for _, t := range tmps {
		_ = s.cfg.disk.remove(t) // an unfinished flush or compaction, whose events are elsewhere
	}
	logs, err := numbered(s.path("wal"), ".wal")
	if err != nil {
		return err
	}
	next := s.covered + 1
	for _, n := range logs {
		next = max(next, n+1)
		path := s.path("wal", walName(n))
		if n <= s.covered {
			if err := s.cfg.disk.remove(path); err != nil {
				return err
			}
			continue
		}
		good, torn, err := readWAL(path, func(b *event.Batch) error {
			for i := range b.Headers {
				s.nextSeq = max(s.nextSeq, b.Headers[i].Seq+1)
			}
			s.addHead(b)
			return nil
		})
		if err != nil {
			return fmt.Errorf("recover %s at byte %d: %w", path, good, err)
		}
		if torn > 0 {
			// Mostly a frame that nobody was told is stored; but damage in the middle looks the
			// same, so what is not read is kept for inspection.
			kept, err := s.keepTail(path, good)
			s.cfg.Log.Warn("cut the unfinished or damaged end of a write-ahead log", "file", path, "kept_bytes", good, "cut_bytes", torn, "cut_to", kept, "error", err)
		}
	}
	if !found {
		// A folder without a catalog takes all segments for the store's. From the first flush on
		// there can be one whose events the log still has.
		if err := s.writeCatalog(s.files, s.covered); err != nil {
			return fmt.Errorf("write catalog: %w", err)
		}
	}
	s.log, err = s.cfg.disk.createWAL(s.path("wal"), next)
	return err
}

// writeCatalog makes files the store's segments, durably; mu is not held, catalogMu is.
func (s *Store) writeCatalog(files []*file, covered uint64) error {
	c := catalog{WAL: covered}
	s.mu.Lock()
	c.Seq = s.nextSeq
	s.mu.Unlock()
	for _, f := range files {
		c.Files = append(c.Files, f.num)
	}
	return s.cfg.disk.replaceFile(s.path("catalog"), c.text())
}

// replace takes segments out of the store and puts others in, durably and in one step for every
// query. A flush, which put the events of the log files up to flushed into segments, has them
// leave the head in the same step; for others flushed is 0.
func (s *Store) replace(out, in []*file, flushed uint64) error {
	s.catalogMu.Lock()
	defer s.catalogMu.Unlock()
	s.mu.Lock()
	files := slices.DeleteFunc(slices.Clone(s.files), func(f *file) bool { return slices.Contains(out, f) })
	covered := max(flushed, s.covered)
	s.mu.Unlock()
	files = append(files, in...)
	if err := s.writeCatalog(files, covered); err != nil {
		return fmt.Errorf("write catalog: %w", err)
	}
	s.mu.Lock()
	s.files, s.covered = files, covered
	if flushed > 0 {
		for _, b := range s.flushing {
			s.headBytes -= int64(b.Bytes())
		}
		s.flushing = nil
	}
	s.mu.Unlock()
	for _, f := range out {
		// The segments have changed, so this is no error of replace. What stays goes at the next
		// start, for the catalog does not name it.
		if err := s.cfg.disk.remove(f.Path); err != nil {
			s.cfg.Log.Warn("remove a replaced segment", "file", f.Path, "error", err)
		}
		f.release()
	}
	return nil
}

// newOutput returns a segment to be written, with a number that none ever had.
func (s *Store) newOutput() *output {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nextFile++
	return &output{disk: &s.cfg.disk, num: s.nextFile - 1, path: s.segmentPath(s.nextFile - 1)}
}

// openOutputs opens what was written; on an error everything of it is removed.
func (s *Store) openOutputs(outs ...*output) (files []*file, err error) {
	for _, o := range outs {
		if !o.written() {
			continue
		}
		var f *file
		if err == nil {
			f, err = s.open(o.path, o.num)
		}
		if err != nil {
			_ = s.cfg.disk.remove(o.path)
			continue
		}
		files = append(files, f)
	}
	if err != nil {
		for _, f := range files {
			_ = s.cfg.disk.remove(f.Path)
		}
		releaseAll(files)
		return nil, err
	}
	return files, nil
}

func releaseAll(files []*file) {
	for _, f := range files {
		f.release()
	}
}

func (s *Store) segmentPath(n uint64) string {
	return s.path("segments", fmt.Sprintf("%016d.parquet", n))
}

// quarantine moves a file that can not be read out of the way, so that the rest is served.
func (s *Store) quarantine(path string, cause error) {
	dir := s.path("quarantine")
	to := filepath.Join(dir, filepath.Base(path))
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		err = os.Rename(path, to)
	}
	s.cfg.Log.Error("segment is damaged and was set aside; its events are missing from answers", "file", path, "moved_to", to, "cause", cause, "error", err)
}

// keepTail copies what follows offset in a log file to the quarantine and returns its place.
func (s *Store) keepTail(path string, offset int64) (string, error) {
	to := s.path("quarantine", filepath.Base(path)+".tail")
	if err := os.MkdirAll(s.path("quarantine"), 0o755); err != nil {
		return "", err
	}
	src, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = src.Close() }()
	if _, err := src.Seek(offset, io.SeekStart); err != nil {
		return "", err
	}
	dst, err := os.Create(to)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(dst, src)
	return to, errors.Join(err, dst.Close())
}

// readDropped reads the list of dropped datasets: decimal ids, one a line.
func (s *Store) readDropped() error {
	data, err := os.ReadFile(s.path("dropped"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(data)) {
		id, err := strconv.ParseUint(strings.TrimSpace(line), 10, 32)
		if err != nil {
			return fmt.Errorf("read %s: %w", s.path("dropped"), err)
		}
		s.dropped[event.DatasetID(id)] = struct{}{}
	}
	return nil
}

// addHead makes a batch visible; mu is held or the store is not yet shared.
func (s *Store) addHead(b *event.Batch) {
	if b.Len() == 0 {
		return
	}
	if len(s.head) == 0 {
		s.headSince = time.Now()
	}
	s.head = append(s.head, b)
	s.headBytes += int64(b.Bytes())
}

// fullWait is how long an Append waits for a flush when the head is full.
const fullWait = 10 * time.Second

// waitForRoom returns nil once the head may grow. No lock is held meanwhile.
func (s *Store) waitForRoom(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, fullWait)
	defer cancel()
	for {
		s.mu.Lock()
		room, closed, end := s.headBytes < s.cfg.MaxHeadBytes, s.closed, s.flushEnd
		s.mu.Unlock()
		if room || closed {
			return nil
		}
		s.wake()
		select {
		case <-end:
			s.mu.Lock()
			err, room := s.flushErr, s.headBytes < s.cfg.MaxHeadBytes
			s.mu.Unlock()
			if err != nil && !room {
				return fmt.Errorf("%w: %w", store.ErrFull, err)
			}
		case <-ctx.Done():
			return fmt.Errorf("%w: more than %d bytes wait to be flushed", store.ErrFull, s.cfg.MaxHeadBytes)
		}
	}
}

// Append implements store.Store.
func (s *Store) Append(ctx context.Context, batches []*event.Batch) error {
	if err := s.waitForRoom(ctx); err != nil {
		return err
	}
	s.appendMu.Lock()
	defer s.appendMu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return store.ErrClosed
	}
	keep := batches[:0:0]
	for _, b := range batches {
		if !s.anyVisible(b) {
			continue
		}
		for i := range b.Headers {
			b.Headers[i].Seq = s.nextSeq
			s.nextSeq++
		}
		keep = append(keep, b)
	}
	s.mu.Unlock()
	if len(keep) == 0 {
		return nil
	}
	if err := s.writeLog(keep); err != nil {
		if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
			err = fmt.Errorf("%w: %w", store.ErrFull, err)
		}
		return fmt.Errorf("append to write-ahead log: %w", err)
	}
	s.mu.Lock()
	for _, b := range keep {
		if s.anyVisible(b) {
			s.addHead(b)
		}
	}
	full := s.headBytes >= s.cfg.FlushBytes
	s.mu.Unlock()
	if full {
		s.wake()
	}
	return nil
}

// anyVisible reports whether a batch has an event of a dataset that is not dropped; mu is held.
func (s *Store) anyVisible(b *event.Batch) bool {
	for i := range b.Headers {
		if _, gone := s.dropped[b.Headers[i].Dataset]; !gone {
			return true
		}
	}
	return false
}

// writeLog writes one frame; appendMu is held. A log that broke is left behind as it is, with
// whole frames up to the break, and a new one is begun at the next call.
func (s *Store) writeLog(batches []*event.Batch) error {
	if s.log.file == nil {
		next, err := s.cfg.disk.createWAL(s.path("wal"), s.log.num+1)
		if err != nil {
			return err
		}
		s.log = next
	}
	broken, err := s.log.append(batches)
	if broken {
		s.cfg.Log.Error("write-ahead log is unusable, a new one will be begun", "file", s.log.file.Name(), "error", err)
		_ = s.log.close()
		s.log.file = nil
	}
	return err
}

func (s *Store) wake() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// maintain flushes by size and age.
func (s *Store) maintain(ctx context.Context) {
	defer close(s.stopped)
	tick := time.NewTicker(min(s.cfg.FlushAge, 10*time.Second))
	defer tick.Stop()
	for {
		due := false
		select {
		case <-ctx.Done():
			return
		case <-s.kick:
			due = true
		case <-tick.C:
			s.mu.Lock()
			due = len(s.head)+len(s.flushing) > 0 && time.Since(s.headSince) >= s.cfg.FlushAge
			s.mu.Unlock()
		}
		if due {
			if err := s.Flush(); err != nil {
				s.cfg.Log.Error("flush the head", "error", err)
			}
			select {
			case s.tidy <- struct{}{}:
			default:
			}
		}
	}
}

// rearrange removes what retention and drops have emptied and merges segments.
func (s *Store) rearrange(ctx context.Context) {
	defer close(s.rearranged)
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.tidy:
		case <-tick.C:
		}
		s.removeEmptied()
		if err := s.compact(ctx); err != nil && ctx.Err() == nil {
			s.cfg.Log.Error("compact segments", "error", err)
		}
	}
}

// Flush writes the head as a segment. Queries and appends go on meanwhile. What could not be
// written stays visible and in the log, and is taken along by the next flush.
func (s *Store) Flush() error {
	s.flushMu.Lock()
	defer s.flushMu.Unlock()
	err := s.flush()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.headSince = time.Now() // the next try by age is a whole age away
	}
	s.flushErr = err
	close(s.flushEnd)
	s.flushEnd = make(chan struct{})
	return err
}

// flush does the work of Flush; flushMu is held.
func (s *Store) flush() error {
	s.appendMu.Lock()
	s.mu.Lock()
	if len(s.head) == 0 && len(s.flushing) == 0 {
		s.mu.Unlock()
		s.appendMu.Unlock()
		return nil
	}
	covered := s.log.num
	s.mu.Unlock()
	next, err := s.cfg.disk.createWAL(s.path("wal"), covered+1)
	if err != nil {
		s.appendMu.Unlock()
		return fmt.Errorf("begin a new write-ahead log: %w", err)
	}
	old := s.log
	s.log = next
	s.mu.Lock()
	// What a failed flush left in flushing is taken along.
	s.flushing = append(s.flushing, s.head...)
	s.head = nil
	batches := s.flushing
	s.mu.Unlock()
	s.appendMu.Unlock()
	if old.file != nil {
		_ = old.close()
	}

	out := s.newOutput()
	if err := writeBatches(out, batches, s.isDropped); err != nil {
		out.abort()
		return fmt.Errorf("write segment %s: %w", out.path, err)
	}
	in, err := s.openOutputs(out)
	if err != nil {
		return err
	}
	if err := s.replace(nil, in, covered); err != nil {
		// The catalog may or may not name the segment now. Its file stays: should the process
		// die, it is used or removed with the catalog's word; should the next flush succeed, the
		// catalog that it writes does not name it.
		releaseAll(in)
		return err
	}
	return s.removeLogs(covered)
}

func (s *Store) removeLogs(covered uint64) error {
	logs, err := numbered(s.path("wal"), ".wal")
	if err != nil {
		return err
	}
	for _, n := range logs {
		if n <= covered {
			if err := s.cfg.disk.remove(s.path("wal", walName(n))); err != nil {
				return err
			}
		}
	}
	return nil
}

// Close implements store.Store. The head stays in the log if it can not be flushed.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	s.stop()
	<-s.stopped
	<-s.rearranged
	err := s.Flush()
	s.appendMu.Lock()
	defer s.appendMu.Unlock()
	if s.log.file != nil {
		err = errors.Join(err, s.log.close())
	}
	s.releaseFiles()
	return errors.Join(err, s.lock.Close())
}

func (s *Store) releaseFiles() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.files {
		f.release()
	}
	s.files = nil
}
