package colfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/trefoil-o11y/trefoil/internal/store/segment/colfile"
)

var columns = []colfile.Column{
	{Name: "_time", Field: "$time", Type: colfile.Time, Required: true},
	{Name: "_trace_id", Field: "$trace_id", Type: colfile.ID16},
	{Name: "_span_id", Field: "$span_id", Type: colfile.ID8},
	{Name: "few", Field: "few", Type: colfile.String},
	{Name: "one", Field: "one", Type: colfile.String},
	{Name: "many", Field: "many", Type: colfile.String},
	{Name: "unique", Field: "unique", Type: colfile.String},
	{Name: "long", Field: "long", Type: colfile.String},
	{Name: "longer", Field: "longer", Type: colfile.String},
	{Name: "status", Field: "status", Type: colfile.Int},
	{Name: "wide", Field: "wide", Type: colfile.Int},
	{Name: "duration", Field: "duration", Type: colfile.Float},
	{Name: "error", Field: "error", Type: colfile.Bool},
	{Name: "_overflow", Field: "", Type: colfile.Bytes},
	{Name: "", Field: "rare", Type: colfile.String},
	{Name: "absent", Field: "absent", Type: colfile.String},
}

// cell is the value of a row, nil for none, in the type that the column's Go form has.
func cell(rnd *rand.Rand, c colfile.Column, row int) any {
	if !c.Required && c.Name != "one" && c.Name != "longer" && rnd.IntN(3) == 0 {
		return nil
	}
	switch c.Name {
	case "_time":
		return int64(1e18) + int64(row)*1000 + rnd.Int64N(1000)
	case "_trace_id", "_span_id":
		id := make([]byte, map[colfile.Type]int{colfile.ID16: 16, colfile.ID8: 8}[c.Type])
		for i := range id {
			id[i] = byte(rnd.UintN(256))
		}
		return string(id)
	case "few":
		return fmt.Sprintf("value-%d", rnd.IntN(40))
	case "many":
		return fmt.Sprintf("one-of-many-values-%08d", rnd.IntN(8000))
	case "one":
		return "always"
	case "unique", "_overflow":
		return fmt.Sprintf("request %d of user-%d took %d ms", row, rnd.IntN(1e6), rnd.IntN(100))
	case "long", "longer":
		return strings.Repeat(fmt.Sprintf("%x ", rnd.Uint32()), rnd.IntN(50)) + fmt.Sprint(row)
	case "status":
		return int64(100 * (1 + rnd.IntN(5)))
	case "wide":
		return rnd.Int64() - math.MaxInt64/2
	case "duration":
		return rnd.ExpFloat64()
	case "error":
		return rnd.IntN(2) == 0
	}
	return nil
}

func values(c colfile.Column, cells []any) colfile.Values {
	v := colfile.Values{}
	index := map[string]uint32{}
	full := true
	for i, x := range cells {
		if x == nil {
			full = false
			continue
		}
		v.Rows = append(v.Rows, int32(i))
		switch x := x.(type) {
		case int64:
			v.Nums = append(v.Nums, x)
		case float64:
			v.Nums = append(v.Nums, int64(math.Float64bits(x)))
		case bool:
			b := uint32(0)
			if x {
				b = 1
			}
			v.Codes = append(v.Codes, b)
		case string:
			if c.Type == colfile.ID16 || c.Type == colfile.ID8 {
				v.IDs = append(v.IDs, x...)
				continue
			}
			code, ok := index[x]
			if !ok {
				code = uint32(len(v.Dict))
				index[x] = code
				v.Dict = append(v.Dict, x)
			}
			v.Codes = append(v.Codes, code)
		}
	}
	if full {
		v.Rows = nil
	}
	return v
}

// write makes a file of groups of the given numbers of rows and returns its cells by group and
// column.
func write(t testing.TB, path string, rnd *rand.Rand, sizes ...int) [][][]any {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	w := colfile.NewWriter(f, columns)
	encoders := []*colfile.Encoder{colfile.NewEncoder(colfile.Fast), colfile.NewEncoder(colfile.Small)}
	var all [][][]any
	for g, rows := range sizes {
		group := make([][]any, len(columns))
		var chunks []*colfile.Encoded
		for i, c := range columns {
			cells := make([]any, rows)
			for r := range cells {
				cells[r] = cell(rnd, c, r)
			}
			group[i] = cells
			if c.Name == "" {
				chunks = append(chunks, colfile.ElsewhereChunk(i, 1))
				continue
			}
			if v := values(c, cells); len(v.Nums)+len(v.Codes)+len(v.IDs) > 0 {
				chunk, err := encoders[g%2].Encode(i, c, rows, v)
				if err != nil {
					t.Fatal(err)
				}
				chunks = append(chunks, chunk)
			}
		}
		if err := w.Group(uint32(g+1), rows, int64(g), int64(g)+10, chunks); err != nil {
			t.Fatal(err)
		}
		all = append(all, group)
	}
	if err := w.Finish([]byte(`{"a":1}`)); err != nil {
		t.Fatal(err)
	}
	return all
}

// at returns the value of row i of a vector as cell gives it.
func at(v *colfile.Vector, d *colfile.Dict, i int) any {
	switch v.Encoding {
	case colfile.Dictionary:
		if v.Codes[i] == uint32(d.Len()) {
			return nil
		}
		if v.Type == colfile.Int {
			return d.Nums[v.Codes[i]]
		}
		return d.Str(v.Codes[i])
	case colfile.Plain:
		if v.Type == colfile.Bool {
			if v.Codes[i] == 2 {
				return nil
			}
			return v.Codes[i] == 1
		}
	}
	if !v.Has(i) {
		return nil
	}
	switch v.Encoding {
	case colfile.Delta:
		return v.Nums[i]
	case colfile.Split:
		return v.Floats[i]
	case colfile.Lengths:
		return v.Str(i)
	default:
		w := 8
		if v.Type == colfile.ID16 {
			w = 16
		}
		return string(v.IDs[i*w : i*w+w])
	}
}

func TestRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.parquet")
	rnd := rand.New(rand.NewPCG(1, 2))
	all := write(t, path, rnd, 1, 5, colfile.PageRows, 3*colfile.PageRows+17, 2*colfile.PageRows-1)
	f, err := colfile.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if string(f.Meta) != `{"a":1}` || len(f.Groups) != len(all) {
		t.Fatalf("meta %s, %d groups", f.Meta, len(f.Groups))
	}
	encodings := map[string]bool{}
	var v colfile.Vector // used again for everything, as scans do
	d := &colfile.Dict{}
	for gi, g := range f.Groups {
		if g.Dataset != uint32(gi+1) || g.MinTime != int64(gi) || g.MaxTime != int64(gi)+10 {
			t.Fatalf("group %d is %+v", gi, g)
		}
		chunks, err := f.Chunks(g)
		if err != nil {
			t.Fatal(err)
		}
		for k := range chunks {
			c := &chunks[k]
			col := f.Columns[c.Column]
			if col.Name == "" {
				if c.Encoding != colfile.Elsewhere || c.Values != 1 {
					t.Fatalf("chunk of a column elsewhere: %+v", c)
				}
				continue
			}
			encodings[fmt.Sprint(col.Name, " ", c.Encoding)] = true
			if c.Encoding == colfile.Dictionary {
				if d, err = f.ReadDict(c, col.Type); err != nil {
					t.Fatal(err)
				}
			}
			row := 0
			for p := range g.Pages() {
				if err := f.ReadPage(g, c, p, &v); err != nil {
					t.Fatal(err)
				}
				for i := range v.N {
					if got, want := at(&v, d, i), all[gi][c.Column][row]; got != want {
						t.Fatalf("group %d, %s (%s), row %d: %v, want %v", gi, col.Name, c.Encoding, row, got, want)
					}
					row++
				}
			}
			if row != g.Rows {
				t.Fatalf("%d rows of %d", row, g.Rows)
			}
		}
	}
	for _, want := range []string{"few dictionary", "one dictionary", "unique lengths", "status dictionary", "wide delta", "duration split", "error plain"} {
		if !encodings[want] {
			t.Errorf("no chunk of %s; there are %v", want, encodings)
		}
	}
}

// TestParquetReaders reads a file with the Parquet library.
func TestParquetReaders(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.parquet")
	all := write(t, path, rand.New(rand.NewPCG(3, 4)), 100, 2*colfile.PageRows+9)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	pq, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	leaf := map[string]int{}
	for i, p := range pq.Schema().Columns() {
		leaf[p[0]] = i
	}
	for gi, g := range pq.RowGroups() {
		for ci, c := range columns {
			if c.Name == "" {
				continue
			}
			row := 0
			pages := g.ColumnChunks()[leaf[c.Name]].Pages()
			for {
				page, err := pages.ReadPage()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatalf("group %d, column %s: %v", gi, c.Name, err)
				}
				buf := make([]parquet.Value, page.NumValues())
				if n, err := page.Values().ReadValues(buf); n != len(buf) {
					t.Fatal(n, err)
				}
				for _, v := range buf {
					var got any
					switch {
					case v.IsNull():
					case v.Kind() == parquet.Int64:
						got = v.Int64()
					case v.Kind() == parquet.Double:
						got = v.Double()
					case v.Kind() == parquet.Boolean:
						got = v.Boolean()
					default:
						got = string(v.ByteArray())
					}
					if want := all[gi][ci][row]; got != want {
						t.Fatalf("group %d, %s, row %d: %v, want %v", gi, c.Name, row, got, want)
					}
					row++
				}
			}
			if row != len(all[gi][ci]) {
				t.Fatalf("group %d, %s: %d rows of %d", gi, c.Name, row, len(all[gi][ci]))
			}
			if err := pages.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for ci, c := range columns {
		if c.Type != colfile.Time && c.Type != colfile.Int && c.Type != colfile.Float {
			continue
		}
		index, err := pq.RowGroups()[1].ColumnChunks()[leaf[c.Name]].ColumnIndex()
		if err != nil || index.NumPages() != 3 || index.IsAscending() != (c.Type == colfile.Time) {
			t.Fatalf("%s: bounds of %d pages: %v", c.Name, index.NumPages(), err)
		}
		number := func(x any) float64 {
			if n, ok := x.(int64); ok {
				return float64(n)
			}
			return x.(float64)
		}
		bound := func(v parquet.Value) float64 {
			if v.Kind() == parquet.Int64 {
				return float64(v.Int64())
			}
			return v.Double()
		}
		for p := range 3 {
			cells := all[1][ci][p*colfile.PageRows : min((p+1)*colfile.PageRows, len(all[1][ci]))]
			lo, hi, nulls := math.Inf(1), math.Inf(-1), int64(0)
			for _, x := range cells {
				if x == nil {
					nulls++
					continue
				}
				lo, hi = min(lo, number(x)), max(hi, number(x))
			}
			if index.NullCount(p) != nulls || bound(index.MinValue(p)) != lo || bound(index.MaxValue(p)) != hi {
				t.Errorf("%s, page %d: %v to %v, %d nulls; want %v to %v, %d", c.Name, p, index.MinValue(p), index.MaxValue(p), index.NullCount(p), lo, hi, nulls)
			}
		}
	}
	filter := pq.RowGroups()[1].ColumnChunks()[leaf["_trace_id"]].BloomFilter()
	for _, x := range all[1][1] {
		if id, ok := x.(string); ok {
			if ok, err := filter.Check(parquet.FixedLenByteArrayValue([]byte(id))); !ok || err != nil {
				t.Fatal("an id is missing in Parquet's filter", err)
			}
		}
	}
}

func TestFilters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.parquet")
	all := write(t, path, rand.New(rand.NewPCG(5, 6)), 2*colfile.PageRows+100)
	f, err := colfile.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	chunks, err := f.Chunks(f.Groups[0])
	if err != nil {
		t.Fatal(err)
	}
	for i := range chunks {
		c := &chunks[i]
		name := f.Columns[c.Column].Name
		if name != "_trace_id" && name != "unique" {
			continue
		}
		wrong := 0
		for row, x := range all[0][c.Column] {
			if s, ok := x.(string); ok {
				if may, err := f.MayHave(c, []byte(s)); !may || err != nil {
					t.Fatalf("%s: the filter denies row %d: %v", name, row, err)
				}
			}
			if may, _ := f.MayHave(c, fmt.Appendf(nil, "other %12d", row)); may {
				wrong++
			}
		}
		if wrong > len(all[0][c.Column])/20 {
			t.Errorf("%s: the filter lets %d of %d values pass that are not there", name, wrong, len(all[0][c.Column]))
		}
		if name != "unique" {
			continue
		}
		for s, want := range map[string]bool{
			"took": true, "TOOK": true, " of user": true, "ms": true, "deadlock": false, "DeadLock": false, "uses": false, "12": true, "1234567": true,
		} {
			for _, fold := range []bool{false, true} {
				if pages, err := f.PagesContaining(c, s, fold); pages != 0 != want || err != nil {
					t.Errorf("pages that contain %q (fold %t) = %b (%v), want some: %t", s, fold, pages, err, want)
				}
			}
		}
	}
}

// TestLettersThatFoldToASCII has text with letters outside of ASCII that equal ASCII letters when
// case does not count.
func TestLettersThatFoldToASCII(t *testing.T) {
	for _, c := range []struct{ text, folded string }{
		{"a line of text with the letter \u212a in it", "the letter k in"},
		{"a line of text with the letter \u017f in it", "the letter s in"},
		{"a line of text with the letter \u0130 in it", "the letter i in"},
		{"\u212aeyboard lines of text", "keyboard"},
		{"\u017fource lines of text, more", "source"},
		{"\u0130nput lines of text, more", "input lines"},
	} {
		path := filepath.Join(t.TempDir(), "x.parquet")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		w := colfile.NewWriter(f, []colfile.Column{{Name: "s", Field: "s", Type: colfile.String}})
		var v colfile.Values
		for i := range 1000 {
			v.Codes = append(v.Codes, uint32(i))
			v.Dict = append(v.Dict, fmt.Sprintf("%s, %d", c.text, i))
		}
		chunk, err := colfile.NewEncoder(colfile.Fast).Encode(0, colfile.Column{Name: "s", Type: colfile.String}, 1000, v)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(w.Group(1, 1000, 0, 0, []*colfile.Encoded{chunk}), w.Finish(nil), f.Close()); err != nil {
			t.Fatal(err)
		}
		file, err := colfile.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = file.Close() }()
		chunks, err := file.Chunks(file.Groups[0])
		if err != nil {
			t.Fatal(err)
		}
		if pages, err := file.PagesContaining(&chunks[0], c.folded, true); pages == 0 || err != nil {
			t.Errorf("%q: a letter that folds to ASCII is denied: %v", c.folded, err)
		}
	}
}

// TestPageFilters looks for values of one page of several: its bit must be set, and others seldom.
func TestPageFilters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.parquet")
	const pages = 5
	all := write(t, path, rand.New(rand.NewPCG(11, 12)), (pages-1)*colfile.PageRows+33)
	f, err := colfile.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	g := f.Groups[0]
	chunks, err := f.Chunks(g)
	if err != nil {
		t.Fatal(err)
	}
	for i := range chunks {
		c := &chunks[i]
		name := f.Columns[c.Column].Name
		find := map[string]func(s string) (uint32, error){
			"_trace_id": func(s string) (uint32, error) { return f.PagesWith(g, c, []byte(s)) },
			"unique":    func(s string) (uint32, error) { return f.PagesContaining(c, s, false) },
		}[name]
		if find == nil {
			continue
		}
		asked, set := 0, 0
		for row, x := range all[0][c.Column] {
			s, ok := x.(string)
			if !ok {
				continue
			}
			mask, err := find(s)
			if err != nil || mask&(1<<(row/colfile.PageRows)) == 0 || mask>>pages != 0 {
				t.Fatalf("%s: row %d is on page %d, the filter says %b: %v", name, row, row/colfile.PageRows, mask, err)
			}
			asked++
			set += bits.OnesCount32(mask)
		}
		// The texts differ in numbers alone, which their filter does not know.
		if name == "_trace_id" && float64(set) > 1.3*float64(asked) {
			t.Errorf("%s: %d pages for %d values that are on one each", name, set, asked)
		}
	}
}

// TestTextFilterTellsPagesApart has a text on one page of many.
func TestTextFilterTellsPagesApart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.parquet")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	const rows = 32 * colfile.PageRows
	column := colfile.Column{Name: "s", Field: "s", Type: colfile.String}
	w := colfile.NewWriter(f, []colfile.Column{column})
	var v colfile.Values
	for i := range rows {
		v.Codes = append(v.Codes, uint32(i))
		text := fmt.Sprintf("order %08x of user-%d changed its state to paid", i*2654435761, i)
		if i == 19*colfile.PageRows+5 {
			text = "certificate pinning mismatch"
		}
		v.Dict = append(v.Dict, text)
	}
	chunk, err := colfile.NewEncoder(colfile.Fast).Encode(0, column, rows, v)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Group(1, rows, 0, 0, []*colfile.Encoded{chunk}), w.Finish(nil), f.Close()); err != nil {
		t.Fatal(err)
	}
	file, err := colfile.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	chunks, err := file.Chunks(file.Groups[0])
	if err != nil {
		t.Fatal(err)
	}
	for s, want := range map[string]uint32{"pinning mismatch": 1 << 19, "state to paid": ^uint32(0), "no such text": 0} {
		if got, err := file.PagesContaining(&chunks[0], s, true); got != want || err != nil {
			t.Errorf("pages with %q: %b (%v), want %b", s, got, err, want)
		}
	}
}

// TestFewRows reads some rows of pages and what they need of dictionaries, and compares with the
// whole pages.
func TestFewRows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.parquet")
	write(t, path, rand.New(rand.NewPCG(13, 14)), 3*colfile.PageRows, 3*colfile.PageRows)
	f, err := colfile.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	rnd := rand.New(rand.NewPCG(15, 16))
	levels, frames, texts := 0, 0, 0
	for _, g := range f.Groups {
		chunks, err := f.Chunks(g)
		if err != nil {
			t.Fatal(err)
		}
		for k := range chunks {
			c := &chunks[k]
			if c.Encoding == colfile.Elsewhere {
				continue
			}
			typ := f.Columns[c.Column].Type
			var d *colfile.Dict
			if c.Encoding == colfile.Dictionary {
				if d, err = f.ReadDict(c, typ); err != nil {
					t.Fatal(err)
				}
			}
			if c.Frames != nil {
				frames++
				codes := []uint32{uint32(c.Dict - 1), 0, uint32(rnd.IntN(c.Dict)), uint32(rnd.IntN(c.Dict)), 0}
				few, err := f.ReadDictFor(c, codes)
				if err != nil || few.Len() != len(codes) {
					t.Fatalf("%s: %d entries: %v", f.Columns[c.Column].Name, few.Len(), err)
				}
				for i, code := range codes {
					if few.Str(uint32(i)) != d.Str(code) {
						t.Errorf("%s: entry %d is %q, want %q", f.Columns[c.Column].Name, code, few.Str(uint32(i)), d.Str(code))
					}
				}
				if _, err := f.ReadDictFor(c, []uint32{uint32(c.Dict)}); !errors.Is(err, colfile.ErrCorrupt) {
					t.Errorf("a code behind the last: %v", err)
				}
			}
			var whole, some colfile.Vector
			for p := range g.Pages() {
				if c.Pages[p].Levels > 0 {
					levels++
				}
				if len(c.Pages[p].Frames) > 2 {
					texts++
				}
				if err := f.ReadPage(g, c, p, &whole); err != nil {
					t.Fatal(err)
				}
				for range 10 {
					rows := rnd.Perm(g.PageLen(p))[:min(g.PageLen(p), 1+rnd.IntN(3)*rnd.IntN(50))]
					slices.Sort(rows)
					has, err := f.ReadPageFor(g, c, p, rows, &some)
					if err != nil {
						t.Fatal(err)
					}
					want := false
					for _, r := range rows {
						want = want || whole.Has(r)
					}
					if has != want {
						t.Fatalf("%s: one of rows %v has a value: %t, want %t", f.Columns[c.Column].Name, rows, has, want)
					}
					for _, r := range rows {
						if has && at(&some, d, r) != at(&whole, d, r) {
							t.Errorf("%s: row %d differs", f.Columns[c.Column].Name, r)
						}
					}
				}
			}
		}
	}
	if levels == 0 || frames == 0 || texts == 0 {
		t.Errorf("%d pages with levels of their own, %d dictionaries and %d pages in parts: the test says nothing", levels, frames, texts)
	}
}

func TestDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.parquet")
	write(t, path, rand.New(rand.NewPCG(7, 8)), 3000)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(9, 9))
	found := 0
	for range 300 {
		data := bytes.Clone(whole)
		switch rnd.IntN(3) {
		case 0:
			data = data[:rnd.IntN(len(data))]
		default:
			data[rnd.IntN(len(data))] ^= byte(1 + rnd.IntN(255))
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := readAll(path); err != nil {
			found++
			if !errors.Is(err, colfile.ErrCorrupt) && !errors.Is(err, colfile.ErrVersion) && !strings.Contains(err.Error(), "EOF") {
				t.Errorf("unexpected kind of error: %v", err)
			}
		}
	}
	// What stands in page headers, filters and Parquet's footer is not read here.
	if found < 200 {
		t.Errorf("only %d of 300 damages were noticed", found)
	}
}

func readAll(path string) error {
	f, err := colfile.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	var v colfile.Vector
	for _, g := range f.Groups {
		chunks, err := f.Chunks(g)
		if err != nil {
			return err
		}
		for k := range chunks {
			c := &chunks[k]
			if c.Encoding == colfile.Elsewhere {
				continue
			}
			if c.Encoding == colfile.Dictionary {
				if _, err := f.ReadDict(c, f.Columns[c.Column].Type); err != nil {
					return err
				}
			}
			for p := range g.Pages() {
				if err := f.ReadPage(g, c, p, &v); err != nil {
					return err
				}
				if _, err := f.ReadPageFor(g, c, p, []int{0, g.PageLen(p) - 1}, &v); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func FuzzOpen(f *testing.F) {
	path := filepath.Join(f.TempDir(), "x.parquet")
	write(f, path, rand.New(rand.NewPCG(7, 8)), 20)
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "x.parquet")
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		_ = readAll(path) // must not panic
	})
}
