package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/store/segment"
	"github.com/trefoil-o11y/trefoil/internal/store/segment/colfile"
)

// writeSegment returns a segment of 30 rows of dataset 7 and 10 of dataset 9.
func writeSegment(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	st, err := segment.Open(t.Context(), segment.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	b := event.NewBuilder()
	defer b.Release()
	at := time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
	for i := range 40 {
		h := event.Header{Time: at.Add(time.Duration(i) * time.Second).UnixNano(), Dataset: 7, SampleRate: 1}
		if i >= 30 {
			h.Dataset = 9
		}
		b.Add(h)
		b.SetString("name", fmt.Sprintf("name-%d", i%3))
		if h.Dataset == 7 {
			b.SetInt("status", int64(200+i))
		}
	}
	if err := st.Append(t.Context(), []*event.Batch{b.Batch()}); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	list, err := filepath.Glob(filepath.Join(dir, "segments", "*.parquet"))
	if err != nil || len(list) != 1 {
		t.Fatalf("segments %v, %v", list, err)
	}
	return list[0]
}

func TestInspect(t *testing.T) {
	path := writeSegment(t)
	d, err := inspect(path)
	if err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if d.Rows != 40 || d.Version != colfile.Version || d.Bytes != st.Size() || !json.Valid(d.Meta) || d.Pages <= 0 || d.Pages+d.Filters >= d.Bytes {
		t.Errorf("rows %d, version %d, %d bytes of %d, pages %d, filters %d, meta %s", d.Rows, d.Version, d.Bytes, st.Size(), d.Pages, d.Filters, d.Meta)
	}
	rows := map[uint32]int{}
	for _, g := range d.Groups {
		rows[g.Dataset] += g.Rows
		if g.To.Before(g.From) || len(g.Columns) == 0 {
			t.Errorf("group %+v", g)
		}
	}
	if rows[7] != 30 || rows[9] != 10 {
		t.Errorf("rows by dataset %v", rows)
	}
	if want := time.Date(2026, 11, 20, 8, 0, 39, 0, time.UTC); !d.To.Equal(want) {
		t.Errorf("ends at %v, want %v", d.To, want)
	}
	found := map[string]columnDescription{}
	for _, c := range d.Columns {
		found[c.Name] = c
	}
	if c := found["name"]; c.Kind != "string" || c.Values != 40 || c.Dictionary != 3 || c.Bytes == 0 || c.Pages == 0 {
		t.Errorf("column name is %+v", c)
	}
	if c := found["status"]; c.Kind != "int" || c.Values != 30 {
		t.Errorf("column status is %+v", c)
	}
	var text strings.Builder
	if err := d.print(&text); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"40 rows", "GROUP", "COLUMN", "2026-11-20T08:00:39.000Z", "status"} {
		if !strings.Contains(text.String(), part) {
			t.Errorf("no %q in\n%s", part, text.String())
		}
	}
	again, err := json.Marshal(d)
	if err != nil || !strings.Contains(string(again), `"encodings":["`) {
		t.Errorf("JSON %s, %v", again, err)
	}
}

func TestInspectRefuses(t *testing.T) {
	whole, err := os.ReadFile(writeSegment(t))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "cut.parquet")
	if err := os.WriteFile(path, whole[:len(whole)/2], 0o644); err != nil {
		t.Fatal(err)
	}
	if d, err := inspect(path); !errors.Is(err, colfile.ErrCorrupt) {
		t.Errorf("half a segment is %+v, %v", d, err)
	}
}
