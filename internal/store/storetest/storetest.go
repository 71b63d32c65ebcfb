// Package storetest is the contract of store.Store as a test suite, and a wrapper that makes
// calls fail.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/query/querytest"
	"github.com/trefoil-o11y/trefoil/internal/store"
)

// Subject is one implementation under test.
type Subject struct {
	// Open opens the store of a folder, again after a Close.
	Open func(t *testing.T, dir string) store.Store
	// Flush moves everything from memory to files, so that both are tested.
	Flush func(t *testing.T, s store.Store)
}

// Run runs the suite.
func Run(t *testing.T, s Subject) {
	for name, test := range map[string]func(*testing.T, Subject){
		"AgreesWithOracle":     testOracle,
		"ReadAgreesWithOracle": testRead,
		"SurvivesReopen":       testReopen,
		"EveryKindOfValue":     testKinds,
		"DropIsDurable":        testDrop,
		"DropOfSomeOfABatch":   testDropMixed,
		"RetainHidesAtOnce":    testRetain,
		"AppendsFromMany":      testConcurrent,
		"ManyColumns":          testManyColumns,
		"QueryIsCancelled":     testCancel,
		"QueryIsLookedAt":      testProgress,
		"ClosedStoreRefuses":   testClosed,
		"ColumnsOfADataset":    testColumns,
		"SeqGrowsAndIsUnique":  testSeq,
		"EmptyAppendIsNothing": testEmpty,
		"NewestEvent":          testNewest,
	} {
		t.Run(name, func(t *testing.T) { test(t, s) })
	}
}

func append1(t *testing.T, s store.Store, batches ...*event.Batch) {
	t.Helper()
	if err := s.Append(t.Context(), batches); err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, s store.Store, q *query.Query) *query.Result {
	t.Helper()
	res, err := s.Query(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// Count returns the number of events that a store shows of the datasets, all when none is named.
func Count(t *testing.T, s store.Store, datasets ...event.DatasetID) int64 {
	t.Helper()
	res := run(t, s, &query.Query{Datasets: datasets, Stages: []query.Stage{
		query.Aggregate{Aggs: []query.Agg{{Name: "n", Op: query.Count}}},
	}})
	return res.Rows[0][0].Int()
}

func closeStore(t *testing.T, s store.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func testOracle(t *testing.T, subject Subject) {
	rnd := rand.New(rand.NewPCG(7, 11))
	s := subject.Open(t, t.TempDir())
	defer closeStore(t, s)
	datasets := []event.DatasetID{1, 2, 9}
	var rows []querytest.Row
	for round := range 3 {
		batches := querytest.RandomBatches(rnd, 3000, datasets...)
		append1(t, s, batches...)
		rows = append(rows, querytest.Rows(batches...)...)
		if round < 2 { // the last round stays in memory
			subject.Flush(t, s)
		}
	}
	for i := range 200 {
		q, ordered := querytest.RandomQuery(rnd, datasets...)
		want, err := querytest.Oracle(q, rows)
		if err != nil {
			t.Fatal(err)
		}
		if d := querytest.Diff(run(t, s, q), want, ordered); d != "" {
			t.Fatalf("query %d, stages %v, %v..%v: %s", i, q.Stages, q.From, q.To, d)
		}
	}
}

// testRead reads the rows of filters and compares them with the oracle's.
func testRead(t *testing.T, subject Subject) {
	rnd := rand.New(rand.NewPCG(17, 19))
	s := subject.Open(t, t.TempDir())
	defer closeStore(t, s)
	datasets := []event.DatasetID{1, 2, 9}
	var rows []querytest.Row
	for round := range 3 {
		batches := querytest.RandomBatches(rnd, 3000, datasets...)
		append1(t, s, batches...)
		rows = append(rows, querytest.Rows(batches...)...)
		if round < 2 {
			subject.Flush(t, s)
		}
	}
	fields := []string{"name", "status", "error", "duration_ms", "rare.7", "absent", "$dataset"}
	project := query.Project{Fields: query.FieldsNamed(append([]string{"$time", "$trace_id", "$span_id", "$parent_id"}, fields...)...)}
	for i := range 100 {
		q, _ := querytest.RandomQuery(rnd, datasets...)
		for n, st := range q.Stages {
			if _, ok := st.(query.Filter); !ok {
				q.Stages = q.Stages[:n:n]
				break
			}
		}
		got := &query.Result{}
		for _, f := range project.Fields {
			got.Columns = append(got.Columns, f.Name)
		}
		text := func(id string) event.Value {
			if id == "" {
				return event.Value{}
			}
			return event.String(id)
		}
		seen := map[uint64]bool{}
		var mu sync.Mutex
		stats, err := s.Read(t.Context(), q, fields, func(r *store.Rows) error {
			mu.Lock()
			defer mu.Unlock()
			for i, h := range r.Headers {
				row := []event.Value{event.Int(h.Time), text(h.Trace.String()), text(h.Span.String()), text(h.Parent.String())}
				for k := range fields {
					v := r.Value(i, k)
					if !v.Missing() && !r.Has[k] {
						t.Errorf("query %d: %s is there and is not said to be", i, fields[k])
					}
					if v.Kind() == event.KindString {
						v = event.String(strings.Clone(v.Str()))
					}
					row = append(row, v)
				}
				if got.Rows = append(got.Rows, row); seen[h.Seq] {
					t.Errorf("query %d: seq %d comes twice", i, h.Seq)
				}
				seen[h.Seq] = true
				if int64(h.Dataset) != row[len(row)-1].Int() {
					t.Errorf("query %d: dataset %d in the header, %v in the field", i, h.Dataset, row[len(row)-1])
				}
			}
			return nil
		})
		if err != nil || stats.RowsMatched != int64(len(got.Rows)) {
			t.Fatalf("query %d: %d rows matched, %d read, %v", i, stats.RowsMatched, len(got.Rows), err)
		}
		filters := *q
		filters.Stages = append(filters.Stages, project)
		want, err := querytest.Oracle(&filters, rows)
		if err != nil {
			t.Fatal(err)
		}
		if d := querytest.Diff(got, want, false); d != "" {
			t.Fatalf("read %d, stages %v, %v..%v: %s", i, q.Stages, q.From, q.To, d)
		}
	}
	enough := errors.New("enough")
	if _, err := s.Read(t.Context(), &query.Query{}, nil, func(*store.Rows) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("the error of visit: %v", err)
	}
	if _, err := s.Read(t.Context(), &query.Query{Stages: []query.Stage{query.Limit{N: 1}}}, nil, nil); err == nil {
		t.Error("a limit is taken for a filter")
	}
}

func testReopen(t *testing.T, subject Subject) {
	rnd := rand.New(rand.NewPCG(3, 4))
	dir := t.TempDir()
	var total int64
	for round := range 4 {
		s := subject.Open(t, dir)
		if got := Count(t, s); got != total {
			t.Fatalf("round %d: %d events, want %d", round, got, total)
		}
		batches := querytest.RandomBatches(rnd, 500, 1, 2)
		append1(t, s, batches...)
		total += 500
		if round%2 == 0 {
			subject.Flush(t, s)
		}
		closeStore(t, s)
	}
}

func testKinds(t *testing.T, subject Subject) {
	s := subject.Open(t, t.TempDir())
	defer closeStore(t, s)
	b := event.NewBuilder()
	defer b.Release()
	h := event.Header{
		Dataset: 4,
		Time:    1_700_000_000_123_456_789, Ingested: 1_700_000_001_000_000_001, Trace: event.TraceID{1, 2, 3}, Span: event.SpanID{4}, Parent: event.SpanID{5},
		Stream: "a/[b]c", SampleRate: 1 << 31,
	}
	b.Add(h)
	values := map[string]event.Value{
		"empty": event.String(""), "text": event.String("ünïcode \x00 \n"), "min": event.Int(-1 << 63), "max": event.Int(1<<63 - 1),
		"float": event.Float(0.1), "false": event.Bool(false), "true": event.Bool(true), "a.b-c/d e": event.String("odd name"),
		"_time": event.String("not the header"), "x#int": event.Int(1), "long": event.String(strings.Repeat("é", 500_000)),
	}
	for n, v := range values {
		b.Set(n, v)
	}
	b.Add(event.Header{Time: 5, Dataset: 4})
	b.SetInt("text", 12)
	append1(t, s, b.Batch())
	for _, where := range []string{"memory", "file"} {
		res := run(t, s, &query.Query{Stages: []query.Stage{query.Filter{Where: query.EqStr(event.FieldTrace, h.Trace.String())}}})
		if len(res.Rows) != 1 {
			t.Fatalf("%s: %d rows by trace id, want 1", where, len(res.Rows))
		}
		for n, want := range values {
			c := res.Column(n)
			if c < 0 || res.Rows[0][c] != want {
				t.Errorf("%s: field %q differs", where, n)
			}
		}
		for _, n := range event.HeaderFields() {
			if n == event.FieldSeq {
				continue
			}
			if c := res.Column(n); c < 0 || res.Rows[0][c] != h.Get(n) {
				t.Errorf("%s: header field %q differs", where, n)
			}
		}
		res = run(t, s, &query.Query{To: time.Unix(0, 6), Stages: []query.Stage{query.Project{Fields: query.FieldsNamed("text", "$time", "$trace_id", "$sample_rate")}}})
		want := []event.Value{event.Int(12), event.Int(5), {}, event.Int(1)}
		if len(res.Rows) != 1 || fmt.Sprint(res.Rows[0]) != fmt.Sprint(want) {
			t.Errorf("%s: second row = %v, want %v", where, res.Rows, want)
		}
		subject.Flush(t, s)
	}
}

func testDrop(t *testing.T, subject Subject) {
	rnd := rand.New(rand.NewPCG(5, 6))
	dir := t.TempDir()
	s := subject.Open(t, dir)
	append1(t, s, querytest.RandomBatches(rnd, 300, 1)...)
	append1(t, s, querytest.RandomBatches(rnd, 200, 2)...)
	subject.Flush(t, s)
	append1(t, s, querytest.RandomBatches(rnd, 100, 1)...)
	if err := s.Drop(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		if n := Count(t, s, 1); n != 0 {
			t.Errorf("%s: %d events of the dropped dataset", when, n)
		}
		if n := Count(t, s); n != 200 {
			t.Errorf("%s: %d events in all, want 200", when, n)
		}
	}
	check("after the drop")
	append1(t, s, querytest.RandomBatches(rnd, 50, 1)...)
	check("after an append to the dropped dataset")
	closeStore(t, s)
	s = subject.Open(t, dir)
	check("after a restart")
	subject.Flush(t, s)
	check("after a flush")
	closeStore(t, s)
}

// testDropMixed drops one of two datasets that share batches, which stay in memory.
func testDropMixed(t *testing.T, subject Subject) {
	dir := t.TempDir()
	s := subject.Open(t, dir)
	b := event.NewBuilder()
	defer b.Release()
	add := func() {
		for i := range 40 {
			b.Add(event.Header{Time: int64(i), Dataset: event.DatasetID(1 + i%4/3)})
			b.SetInt("n", int64(i))
			if i%4 == 3 {
				b.SetString("only.two", "x")
			}
		}
		append1(t, s, b.Batch())
	}
	check := func(when string, want int64) {
		t.Helper()
		if n := Count(t, s, 2); n != 0 {
			t.Errorf("%s: %d events of the dropped dataset", when, n)
		}
		if n := Count(t, s); n != want {
			t.Errorf("%s: %d events in all, want %d", when, n, want)
		}
		res := run(t, s, &query.Query{Stages: []query.Stage{query.Filter{Where: query.Has{X: query.Field{Name: "only.two"}}}}})
		if len(res.Rows) != 0 {
			t.Errorf("%s: %d events have the dropped dataset's field", when, len(res.Rows))
		}
		if cols, err := s.Columns(t.Context(), 1); err != nil || len(cols) != 1 {
			t.Errorf("%s: columns %v, %v", when, cols, err)
		}
		if cols, err := s.Columns(t.Context(), 2); err != nil || len(cols) != 0 {
			t.Errorf("%s: columns of the dropped dataset %v, %v", when, cols, err)
		}
	}
	add()
	if n := Count(t, s, 2); n != 10 {
		t.Errorf("%d events of the second dataset, want 10", n)
	}
	if err := s.Drop(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	check("after the drop", 30)
	add()
	check("after an append of both", 60)
	closeStore(t, s)
	s = subject.Open(t, dir)
	defer closeStore(t, s)
	check("after a restart", 60)
	add()
	subject.Flush(t, s)
	check("after a flush", 90)
	if u := s.Usage(); u.Events != 90 {
		t.Errorf("%d events are held, want 90", u.Events)
	}
}

func testRetain(t *testing.T, subject Subject) {
	s := subject.Open(t, t.TempDir())
	defer closeStore(t, s)
	now := time.Now()
	b := event.NewBuilder()
	defer b.Release()
	for h := range 10 {
		b.Add(event.Header{Dataset: 1, Time: now.Add(-time.Duration(h)*time.Hour - time.Minute).UnixNano()})
	}
	append1(t, s, b.Batch())
	for range 2 {
		s.Retain(1, 4*time.Hour)
		if n := Count(t, s); n != 4 {
			t.Errorf("%d events are younger than 4 h, want 4", n)
		}
		s.Retain(1, 0)
		if n := Count(t, s); n != 10 {
			t.Errorf("%d events without retention, want 10", n)
		}
		subject.Flush(t, s)
	}
}

func testConcurrent(t *testing.T, subject Subject) {
	s := subject.Open(t, t.TempDir())
	defer closeStore(t, s)
	var wg sync.WaitGroup
	const writers, rounds, size = 8, 10, 20
	for w := range writers {
		wg.Go(func() {
			b := event.NewBuilder()
			defer b.Release()
			for range rounds {
				for range size {
					b.Add(event.Header{Time: 1, Dataset: event.DatasetID(w + 1)})
					b.SetInt("w", int64(w))
				}
				if err := s.Append(context.Background(), []*event.Batch{b.Batch()}); err != nil {
					t.Error(err)
				}
				// What this writer was told to be stored is there, a whole number of batches.
				res, err := s.Query(context.Background(), &query.Query{Datasets: []event.DatasetID{event.DatasetID(w + 1)}, Stages: []query.Stage{
					query.Aggregate{Aggs: []query.Agg{{Name: "n"}, {Name: "ids", Op: query.CountDistinct, Arg: query.Field{Name: event.FieldSeq}}}},
				}})
				if err != nil {
					t.Error(err)
				} else if n, ids := res.Rows[0][0].Int(), res.Rows[0][1].Int(); n%size != 0 || n == 0 || n != ids {
					t.Errorf("a query saw %d events with %d ids of batches of %d", n, ids, size)
				}
			}
		})
	}
	wg.Go(func() {
		for range 5 {
			subject.Flush(t, s)
		}
	})
	wg.Wait()
	if n := Count(t, s); n != writers*rounds*size {
		t.Errorf("%d events, want %d", n, writers*rounds*size)
	}
}

func testManyColumns(t *testing.T, subject Subject) {
	s := subject.Open(t, t.TempDir())
	defer closeStore(t, s)
	b := event.NewBuilder()
	defer b.Release()
	const n = 3000
	for i := range n {
		b.Add(event.Header{Time: int64(i), Dataset: 1})
		b.SetInt(fmt.Sprintf("key-%d", i), int64(i))
		b.SetString("common", "x")
	}
	append1(t, s, b.Batch())
	subject.Flush(t, s)
	for _, i := range []int{0, 1, 999, n - 1} {
		field := query.Field{Name: fmt.Sprintf("key-%d", i)}
		res := run(t, s, &query.Query{Stages: []query.Stage{query.Filter{Where: query.Has{X: field}}, query.Project{Fields: []query.Named{{Name: "v", Value: field}}}}})
		if len(res.Rows) != 1 || res.Rows[0][0] != event.Int(int64(i)) {
			t.Errorf("key-%d = %v", i, res.Rows)
		}
	}
	cols, err := s.Columns(t.Context(), 1)
	if err != nil || len(cols) != n+1 {
		t.Errorf("%d columns (%v), want %d", len(cols), err, n+1)
	}
}

func testCancel(t *testing.T, subject Subject) {
	s := subject.Open(t, t.TempDir())
	defer closeStore(t, s)
	append1(t, s, querytest.RandomBatches(rand.New(rand.NewPCG(1, 1)), 5000, 1)...)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Query(ctx, &query.Query{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled query returns %v", err)
	}
}

// testProgress looks at a slow query while it runs: its counts grow, its rows are those seen so far.
func testProgress(t *testing.T, subject Subject) {
	s := subject.Open(t, t.TempDir())
	defer closeStore(t, s)
	const batches, rows = 20, 10_000
	b := event.NewBuilder()
	defer b.Release()
	for i := range batches {
		for k := range rows {
			n := int64(i*rows + k)
			b.Add(event.Header{Dataset: 1, Time: n})
			b.SetInt("n", n)
		}
		append1(t, s, b.Batch())
		if i == batches/2 {
			subject.Flush(t, s) // both what is in files and what is not yet
		}
	}
	slow := query.Expr(query.Field{Name: "n"})
	for range 10 {
		slow = query.Call{Fn: "sha256", Args: []query.Expr{slow}}
	}
	at := query.Field{Name: event.FieldTime}
	slowly := query.Filter{Where: query.Compare{Op: query.Ge, L: slow, R: query.Const{Value: event.String("")}}}
	ask := func(stages ...query.Stage) (looks []*query.Result) {
		t.Helper()
		q := &query.Query{Stages: append([]query.Stage{slowly}, stages...), Counted: true, Progress: &query.Progress{}}
		if res, err := q.Progress.Look(t.Context(), 10); res != nil || err != nil {
			t.Fatalf("before it runs: %v, %v", res, err)
		}
		done := make(chan error, 1)
		go func() {
			_, err := s.Query(t.Context(), q)
			done <- err
		}()
		for {
			res, err := q.Progress.Look(t.Context(), 10)
			if err != nil {
				t.Fatal(err)
			}
			if res != nil && (len(looks) == 0 || res.Stats != looks[len(looks)-1].Stats) {
				looks = append(looks, res)
			}
			select {
			case err := <-done:
				if res, again := q.Progress.Look(t.Context(), 10); res != nil || again != nil || err != nil {
					t.Fatalf("after its end: %v, %v, %v", res, again, err)
				}
				return looks
			default:
			}
		}
	}
	grows := func(looks []*query.Result) {
		t.Helper()
		var last query.Stats
		partly := 0
		for _, l := range looks {
			if l.Stats.RowsScanned < last.RowsScanned || l.Stats.RowsMatched < last.RowsMatched || l.Stats.BytesScanned < last.BytesScanned {
				t.Errorf("%+v comes behind %+v", l.Stats, last)
			}
			last = l.Stats
			if n := l.Stats.RowsScanned; n > 0 && n < batches*rows {
				partly++
			}
		}
		if partly == 0 {
			t.Errorf("no progress among %d looks", len(looks))
		}
	}
	looks := ask(query.Sort{Keys: []query.SortKey{{By: at, Desc: true}}}, query.Limit{N: 1000}, query.Project{Fields: query.FieldsNamed(event.FieldTime, "n")})
	grows(looks)
	for _, l := range looks {
		if l.Stats.RowsMatched > 10 && len(l.Rows) != 10 || len(l.Rows) > 10 {
			t.Errorf("%d rows of %d", len(l.Rows), l.Stats.RowsMatched)
		}
		for i, row := range l.Rows {
			if row[0].Int() != row[1].Int() || i > 0 && row[0].Int() >= l.Rows[i-1][0].Int() {
				t.Fatalf("rows %v", l.Rows)
			}
		}
	}
	looks = ask(query.Aggregate{Aggs: []query.Agg{{Name: "n", Op: query.Count}}})
	grows(looks)
	for _, l := range looks {
		if l.Rows != nil {
			t.Errorf("rows of an aggregate: %v", l.Rows)
		}
	}
}

func testClosed(t *testing.T, subject Subject) {
	s := subject.Open(t, t.TempDir())
	closeStore(t, s)
	b := event.NewBuilder()
	defer b.Release()
	b.Add(event.Header{Dataset: 1})
	if err := s.Append(t.Context(), []*event.Batch{b.Batch()}); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Append after Close: %v", err)
	}
	if _, err := s.Query(t.Context(), &query.Query{}); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Query after Close: %v", err)
	}
}

func testColumns(t *testing.T, subject Subject) {
	s := subject.Open(t, t.TempDir())
	defer closeStore(t, s)
	b := event.NewBuilder()
	defer b.Release()
	b.Add(event.Header{Dataset: 1})
	b.SetInt("n", 1)
	b.Add(event.Header{Dataset: 2})
	b.SetString("other", "x")
	append1(t, s, b.Batch())
	subject.Flush(t, s)
	b.Add(event.Header{Dataset: 1})
	b.SetString("n", "text")
	b.Add(event.Header{Dataset: 2})
	b.SetString("more", "x")
	append1(t, s, b.Batch())
	got, err := s.Columns(t.Context(), 1)
	want := []store.ColumnInfo{{Name: "n", Kind: event.KindString}, {Name: "n", Kind: event.KindInt}}
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("Columns(1) = %v, %v; want %v", got, err, want)
	}
}

func testSeq(t *testing.T, subject Subject) {
	dir := t.TempDir()
	last := int64(-1)
	for range 3 {
		s := subject.Open(t, dir)
		b := event.NewBuilder()
		b.Add(event.Header{Dataset: 1})
		b.Add(event.Header{Dataset: 1})
		append1(t, s, b.Batch())
		b.Release()
		subject.Flush(t, s)
		closeStore(t, s)
	}
	s := subject.Open(t, dir)
	defer closeStore(t, s)
	seq := query.Field{Name: event.FieldSeq}
	res := run(t, s, &query.Query{Stages: []query.Stage{query.Sort{Keys: []query.SortKey{{By: seq}}}, query.Project{Fields: []query.Named{{Name: "seq", Value: seq}}}}})
	if len(res.Rows) != 6 {
		t.Fatalf("%d rows, want 6", len(res.Rows))
	}
	for _, r := range res.Rows {
		if r[0].Int() <= last {
			t.Errorf("seq %d after %d", r[0].Int(), last)
		}
		last = r[0].Int()
	}
}

func testNewest(t *testing.T, subject Subject) {
	s := subject.Open(t, t.TempDir())
	defer closeStore(t, s)
	if n := s.Usage().Newest; !n.IsZero() {
		t.Errorf("the newest event of an empty store is of %v", n)
	}
	for ds, at := range map[event.DatasetID]int64{1: 50, 2: 70} {
		b := event.NewBuilder()
		b.Add(event.Header{Time: at, Dataset: ds})
		b.Add(event.Header{Time: at - 10, Dataset: ds})
		append1(t, s, b.Batch())
		b.Release()
	}
	for range 2 {
		if n := s.Usage(); n.Newest.UnixNano() != 70 || n.Events != 4 {
			t.Errorf("newest %d of %d events, want 70 of 4", n.Newest.UnixNano(), n.Events)
		}
		subject.Flush(t, s)
	}
	if err := s.Drop(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if n := s.Usage().Newest; n.UnixNano() != 50 {
		t.Errorf("newest %d after a drop, want 50", n.UnixNano())
	}
}

func testEmpty(t *testing.T, subject Subject) {
	s := subject.Open(t, t.TempDir())
	defer closeStore(t, s)
	append1(t, s)
	append1(t, s, &event.Batch{})
	if n := Count(t, s); n != 0 {
		t.Errorf("%d events", n)
	}
}

// Faulty is a store whose Append fails at the call with the number FailAt, counting from 1,
// and every Every calls after it (never again when Every is 0).
type Faulty struct {
	store.Store
	FailAt, Every int
	Err           error

	mu    sync.Mutex
	calls int
}

// Append fails when it is due, else it is the store's.
func (f *Faulty) Append(ctx context.Context, batches []*event.Batch) error {
	f.mu.Lock()
	f.calls++
	due := f.calls == f.FailAt || f.Every > 0 && f.calls > f.FailAt && (f.calls-f.FailAt)%f.Every == 0
	f.mu.Unlock()
	if due {
		return f.Err
	}
	return f.Store.Append(ctx, batches)
}
