package segment

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/store"
)

// createWAL begins a log file on a healthy disk.
func createWAL(dir string, num uint64) (*wal, error) {
	var d disk
	d.setDefaults()
	return d.createWAL(dir, num)
}

// unsynced is a disk of which nothing is asked but to work.
func unsynced() (d disk) {
	d.sync = func(*os.File) error { return nil }
	d.datasync, d.syncDir = d.sync, func(string) error { return nil }
	d.setDefaults()
	return d
}

// folder returns a folder that the test removes, in memory where the system has such a place:
// the tests make tens of thousands of files, and what is synced is their own account.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "trefoil")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// killed copies the folder of a store, as the death of its process would leave it.
func killed(t *testing.T, dir string) string {
	t.Helper()
	to := folder(t)
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// inode is a file or folder: what it holds now and what of that is synced.
type inode struct {
	path   string // where it is now, empty when it has no name any more
	last   []byte // what it held when it lost its name
	synced []byte
	folder bool
	// spoilt says that a sync failed: the kernel may take what it could not write for written,
	// so no later sync is believed.
	spoilt bool
}

func (n *inode) now() []byte {
	if n.path == "" {
		return n.last
	}
	data, _ := os.ReadFile(n.path)
	return data
}

// naming is a change of a folder that is not synced: a file gets a name, or loses one.
type naming struct {
	from, to string
	node     *inode
}

// testDisk fails operations and keeps account of what a power cut leaves. It is used by one
// goroutine at a time.
type testDisk struct {
	dir string
	n   int
	// fail returns the error of an operation, before counts the operation in n.
	fail   func(op string) error
	before func(op string)

	live, durable map[string]*inode
	pending       map[string][]naming // by folder
}

func newTestDisk(dir string) *testDisk {
	return &testDisk{
		dir: dir, fail: func(string) error { return nil }, before: func(string) {},
		live: map[string]*inode{}, durable: map[string]*inode{}, pending: map[string][]naming{},
	}
}

func (d *testDisk) step(op string) error {
	d.before(op)
	err := d.fail(op)
	d.n++
	return err
}

func (d *testDisk) rename(from, to string, n *inode) {
	if over := d.live[to]; over != nil && over != n {
		over.last, over.path = over.now(), ""
	}
	dir := filepath.Dir(from + to)
	if from != "" {
		dir = filepath.Dir(from)
		delete(d.live, from)
	}
	if to != "" {
		d.live[to] = n
	}
	d.pending[dir] = append(d.pending[dir], naming{from, to, n})
}

func (d *testDisk) disk() disk {
	os1 := unsynced()
	keep := func(f *os.File) error {
		if n := d.live[f.Name()]; n != nil && !n.spoilt {
			n.synced = n.now()
		}
		return nil
	}
	spoil := func(f *os.File, err error) error {
		if n := d.live[f.Name()]; n != nil {
			n.spoilt = true
		}
		return err
	}
	return disk{
		open: func(path string, flag int) (*os.File, error) {
			if err := d.step("open " + path); err != nil {
				return nil, err
			}
			known := d.live[path] != nil
			f, err := os1.open(path, flag)
			if err != nil {
				return nil, err
			}
			if !known {
				d.rename("", path, &inode{path: path})
			}
			if strings.HasSuffix(path, ".parquet.tmp") && d.step("write "+path) != nil {
				return os.OpenFile("/dev/full", os.O_RDWR, 0)
			}
			return f, nil
		},
		write: func(f *os.File, b []byte, at int64) error {
			if err := d.step("write " + f.Name()); err != nil {
				return errors.Join(err, os1.write(f, b[:len(b)/2], at))
			}
			return os1.write(f, b, at)
		},
		truncate: func(f *os.File, size int64) error {
			if err := d.step("truncate " + f.Name()); err != nil {
				return err
			}
			return os1.truncate(f, size)
		},
		sync: func(f *os.File) error {
			if err := d.step("sync " + f.Name()); err != nil {
				return spoil(f, err)
			}
			return keep(f)
		},
		datasync: func(f *os.File) error {
			if err := d.step("datasync " + f.Name()); err != nil {
				return spoil(f, err)
			}
			return keep(f)
		},
		rename: func(from, to string) error {
			if err := d.step("rename " + from); err != nil {
				return err
			}
			n := d.live[from]
			if n == nil {
				return os.ErrNotExist
			}
			d.rename(from, to, n)
			n.path = to
			return os1.rename(from, to)
		},
		remove: func(path string) error {
			if err := d.step("remove " + path); err != nil {
				return err
			}
			if n := d.live[path]; n != nil {
				n.last, n.path = n.now(), ""
				d.rename(path, "", n)
			}
			return os1.remove(path)
		},
		mkdir: func(path string) error {
			if d.live[path] != nil {
				return os.ErrExist
			}
			if err := d.step("mkdir " + path); err != nil {
				return err
			}
			d.rename("", path, &inode{path: path, folder: true})
			return os1.mkdir(path)
		},
		syncDir: func(dir string) error {
			if err := d.step("syncdir " + dir); err != nil {
				return err
			}
			for _, c := range d.pending[dir] {
				c.apply(d.durable)
			}
			delete(d.pending, dir)
			return nil
		},
	}
}

func (c naming) apply(names map[string]*inode) {
	if c.from != "" {
		delete(names, c.from)
	}
	if c.to != "" {
		names[c.to] = c.node
	}
}

// cut makes in a new folder what a power cut now could leave: any of the unsynced changes of
// names, and of unsynced contents any part.
func (d *testDisk) cut(t *testing.T, rnd *rand.Rand) string {
	t.Helper()
	names := maps.Clone(d.durable)
	chance := [...]float64{0, 0.5, 0.5, 1}[rnd.IntN(4)]
	for _, dir := range slices.Sorted(maps.Keys(d.pending)) {
		for _, c := range d.pending[dir] {
			if rnd.Float64() < chance {
				c.apply(names)
			}
		}
	}
	to := folder(t)
	for _, path := range slices.Sorted(maps.Keys(names)) { // folders come ahead of what is in them
		n := names[path]
		rel, err := filepath.Rel(d.dir, path)
		if err != nil {
			t.Fatal(err)
		}
		at := filepath.Join(to, rel)
		if n.folder {
			err = os.Mkdir(at, 0o755)
		} else if _, serr := os.Stat(filepath.Dir(at)); serr == nil { // else its folder was lost
			err = os.WriteFile(at, torn(rnd, n.synced, n.now()), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// torn is what a power cut may leave of a file that was changed after its last sync.
func torn(rnd *rand.Rand, synced, now []byte) []byte {
	if string(synced) == string(now) {
		return now
	}
	switch rnd.IntN(5) {
	case 0:
		return synced
	case 1:
		return now
	}
	size := len(now) // the size may arrive ahead of the data, which is then zero
	if rnd.IntN(2) == 0 {
		size = len(synced)
	}
	out := make([]byte, max(size, len(synced)))
	copy(out, synced)
	out = out[:size]
	lo := rnd.IntN(len(now) + 1)
	hi := lo + rnd.IntN(len(now)-lo+1)
	if rnd.IntN(2) == 0 {
		lo = 0
	}
	for i := lo; i < hi; i++ {
		if i < len(out) {
			out[i] = now[i]
		} else if i == len(out) {
			out = append(out, now[i])
		}
	}
	return out
}

// account is what a client of the store was told.
type account struct {
	dataset map[int64]event.DatasetID // of each event that was sent, by its number
	stored  map[int64]bool            // acknowledged
	dropped map[event.DatasetID]bool  // true when acknowledged
}

func (a *account) clone() account {
	return account{maps.Clone(a.dataset), maps.Clone(a.stored), maps.Clone(a.dropped)}
}

// send appends an event to each dataset.
func (a *account) send(t *testing.T, s *Store, datasets ...event.DatasetID) error {
	b := event.NewBuilder()
	defer b.Release()
	first := int64(len(a.dataset))
	for i, ds := range datasets {
		b.Add(event.Header{Dataset: ds, Time: first + int64(i)})
		b.SetInt("number", first+int64(i))
		b.SetString("text", strings.Repeat("x", 50))
		a.dataset[first+int64(i)] = ds
	}
	err := s.Append(t.Context(), []*event.Batch{b.Batch()})
	if err == nil {
		for i := range datasets {
			a.stored[first+int64(i)] = true
		}
	}
	return err
}

func (a *account) drop(t *testing.T, s *Store, ds event.DatasetID) error {
	a.dropped[ds] = false
	err := s.Drop(t.Context(), ds)
	if err == nil {
		a.dropped[ds] = true
	}
	return err
}

// differs says what a store shows that it must not, or lacks; empty when there is nothing.
func (a *account) differs(t *testing.T, s *Store) string {
	t.Helper()
	res, err := s.Query(t.Context(), &query.Query{Stages: []query.Stage{query.Project{Fields: []query.Named{
		{Name: "number", Value: query.Field{Name: "number"}}, {Name: "seq", Value: query.Field{Name: event.FieldSeq}},
	}}}})
	if err != nil {
		return fmt.Sprintf("query: %v", err)
	}
	seen, seqs := map[int64]bool{}, map[int64]bool{}
	for _, r := range res.Rows {
		n, seq := r[0].Int(), r[1].Int()
		ds, sent := a.dataset[n]
		switch {
		case !sent:
			return fmt.Sprintf("event %d was never sent", n)
		case seen[n]:
			return fmt.Sprintf("event %d is there twice", n)
		case seqs[seq]:
			return fmt.Sprintf("seq %d was given twice", seq)
		case a.dropped[ds]:
			return fmt.Sprintf("event %d is of the dropped dataset %d", n, ds)
		}
		seen[n], seqs[seq] = true, true
	}
	for n := range a.stored {
		if _, dropping := a.dropped[a.dataset[n]]; !seen[n] && !dropping {
			return fmt.Sprintf("event %d of %d is missing", n, len(a.dataset))
		}
	}
	return ""
}

// reopened opens the folder of a store that is no more, on a healthy disk, and compares; the
// store then takes one more event.
func (a *account) reopened(t *testing.T, dir string) string {
	t.Helper()
	s, err := Open(t.Context(), Config{Dir: dir, disk: unsynced()})
	if err != nil {
		return err.Error()
	}
	defer kill(s)
	if d := a.differs(t, s); d != "" {
		return d
	}
	after := a.clone()
	if err := after.send(t, s, 1); err != nil {
		return fmt.Sprintf("append: %v", err)
	}
	return after.differs(t, s)
}

// kill ends a store as the death of its process does.
func kill(s *Store) {
	s.stop()
	<-s.stopped
	<-s.rearranged
	if s.log.file != nil {
		_ = s.log.close()
	}
	s.releaseFiles()
	_ = s.lock.Close()
}

// script works on a store in every way that writes, whatever fails; heal is called when the disk
// has to work again. It returns nil when the store could not be opened again.
func script(t *testing.T, dir string, d disk, a *account, heal func()) *Store {
	t.Helper()
	open := func() *Store {
		s, err := Open(t.Context(), Config{Dir: dir, disk: d})
		if err != nil {
			heal()
			s, err = Open(t.Context(), Config{Dir: dir, disk: d})
		}
		if err != nil {
			t.Fatalf("open on a healthy disk: %v", err)
		}
		return s
	}
	s := open()
	merge := func() {
		s.mu.Lock()
		files := slices.Clone(s.files)
		s.mu.Unlock()
		_ = s.merge(t.Context(), files)
		if diff := a.differs(t, s); diff != "" {
			t.Errorf("behind a merge: %s", diff)
		}
	}
	for range 2 {
		_ = a.send(t, s, 1, 2)
		_ = a.send(t, s, 1, 3)
		_ = s.Flush()
	}
	_ = a.send(t, s, 1, 2, 3)
	merge()
	kill(s)
	s = open()
	_ = a.send(t, s, 1, 2)
	_ = s.Flush()
	_ = a.drop(t, s, 2)
	_ = a.send(t, s, 1, 3)
	merge()
	_ = a.send(t, s, 1)
	_ = s.Close()
	s = open()
	_ = a.send(t, s, 1, 3)
	_ = s.Flush()
	_ = a.send(t, s, 1, 3)
	return s
}

func newAccount() account {
	return account{map[int64]event.DatasetID{}, map[int64]bool{}, map[event.DatasetID]bool{}}
}

// TestFaultAtEveryOperation has each operation of the script fail, alone and with those behind
// it. What was acknowledged is there meanwhile, after the death of the process, and after an
// orderly end.
func TestFaultAtEveryOperation(t *testing.T) {
	for _, c := range []struct {
		length, apart int
		fault         error
	}{{1, 1, unix.ENOSPC}, {1, 1, unix.EIO}, {3, 2, unix.EIO}} {
		failed := true
		for at := 0; failed; at += c.apart {
			failed = false
			dir := folder(t)
			d, a := newTestDisk(dir), newAccount()
			var ops []string
			d.fail = func(op string) error {
				if d.n < at || d.n >= at+c.length {
					return nil
				}
				failed = true
				ops = append(ops, strings.ReplaceAll(op, dir, ""))
				return c.fault
			}
			heal := func() { d.fail = func(string) error { return nil } }
			s := script(t, dir, d.disk(), &a, heal)
			heal()
			check := func(when, diff string) {
				if diff != "" {
					t.Errorf("%v at %d %q, %s: %s", c.fault, at, ops, when, diff)
				}
			}
			if err := a.send(t, s, 1); err != nil {
				check("append when the disk works again", err.Error())
			}
			check("without a restart", a.differs(t, s))
			if err := s.Flush(); err != nil {
				check("flush when the disk works again", err.Error())
			}
			check("flushed", a.differs(t, s))
			check("killed", a.reopened(t, killed(t, dir)))
			if err := s.Close(); err != nil {
				check("close", err.Error())
			}
			check("closed", a.reopened(t, dir))
		}
	}
}

// TestPowerCutAtEveryOperation cuts the power at each operation of the script, several times:
// what was not synced is lost, torn or there.
func TestPowerCutAtEveryOperation(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	dir := folder(t)
	d, a := newTestDisk(dir), newAccount()
	d.before = func(op string) {
		for range 16 {
			to := d.cut(t, rnd)
			if diff := a.reopened(t, to); diff != "" {
				t.Errorf("power cut at %d, %s: %s", d.n, strings.ReplaceAll(op, dir, ""), diff)
			}
			_ = os.RemoveAll(to)
		}
	}
	_ = script(t, dir, d.disk(), &a, func() {}).Close()
	if d.n < 60 {
		t.Errorf("the script has only %d operations", d.n)
	}
}

// TestPowerCutBehindFault has an operation fail and cuts the power at one of the next.
func TestPowerCutBehindFault(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 8))
	failed := true
	for at := 0; failed; at++ {
		failed = false
		dir := folder(t)
		d, a := newTestDisk(dir), newAccount()
		var faulty string
		d.fail = func(op string) error {
			if d.n != at {
				return nil
			}
			failed, faulty = true, strings.ReplaceAll(op, dir, "")
			return unix.EIO
		}
		d.before = func(op string) {
			if d.n <= at || d.n > at+12 && rnd.IntN(8) > 0 || rnd.IntN(3) > 0 {
				return
			}
			to := d.cut(t, rnd)
			if diff := a.reopened(t, to); diff != "" {
				t.Errorf("%s failed at %d, power cut at %d, %s: %s", faulty, at, d.n, strings.ReplaceAll(op, dir, ""), diff)
			}
			_ = os.RemoveAll(to)
		}
		_ = script(t, dir, d.disk(), &a, func() {}).Close()
	}
}

// TestFullDisk fills the disk: appends are refused with ErrFull, queries go on, and when there
// is room again so do appends.
func TestFullDisk(t *testing.T) {
	dir := folder(t)
	d, a := newTestDisk(dir), newAccount()
	const room = 6 << 10
	limit := int64(room)
	d.fail = func(op string) error {
		if verb, _, _ := strings.Cut(op, " "); verb != "write" && verb != "sync" && verb != "datasync" {
			return nil
		}
		var used int64
		for path := range d.live {
			if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() {
				used += st.Size()
			}
		}
		if used+512 > limit {
			return unix.ENOSPC
		}
		return nil
	}
	s, err := Open(t.Context(), Config{Dir: dir, disk: d.disk()})
	if err != nil {
		t.Fatal(err)
	}
	for round := range 3 {
		refused := 0
		for i := 0; refused < 3; i++ {
			if i == 1000 {
				t.Fatal("the disk does not become full")
			}
			if err := a.send(t, s, 1); err != nil {
				refused++
				if !errors.Is(err, store.ErrFull) {
					t.Errorf("append to a full disk = %v, want ErrFull", err)
				}
			}
			if i%20 == 10 {
				_ = s.Flush()
			}
		}
		if err := s.Flush(); err == nil {
			t.Error("flush to a full disk succeeds")
		}
		if diff := a.differs(t, s); diff != "" {
			t.Errorf("round %d, full: %s", round, diff)
		}
		if diff := a.reopened(t, killed(t, dir)); diff != "" {
			t.Errorf("round %d, full and killed: %s", round, diff)
		}
		limit += 2 * room
		if err := a.send(t, s, 1); err != nil {
			t.Errorf("append when there is room again: %v", err)
		}
		if diff := a.differs(t, s); diff != "" {
			t.Errorf("round %d, room again: %s", round, diff)
		}
	}
	limit = 1 << 30
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if diff := a.reopened(t, dir); diff != "" {
		t.Error(diff)
	}
}
