package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/store/segment/colfile"
)

type inspectCmd struct {
	File string `arg:"" help:"Segment, from events/segments/ of a data folder." type:"existingfile"`
	JSON bool   `help:"Print JSON, with the columns of each row group."`
}

// Help implements kong.HelpProvider.
func (*inspectCmd) Help() string {
	return "Prints what a segment holds. It reads the index only, also while a server has the data open."
}

// Run prints a segment.
func (c *inspectCmd) Run() error {
	d, err := inspect(c.File)
	if err != nil {
		return err
	}
	if c.JSON {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		return e.Encode(d)
	}
	return d.print(os.Stdout)
}

// description is a segment as inspect shows it. Bytes are compressed; those of columns are
// of their pages with their headers, filters apart.
type description struct {
	File    string              `json:"file"`
	Bytes   int64               `json:"bytes"`
	Version int                 `json:"version"`
	Meta    json.RawMessage     `json:"meta"`
	Rows    int                 `json:"rows"`
	From    time.Time           `json:"from"`
	To      time.Time           `json:"to"`
	Pages   int64               `json:"page_bytes"`
	Filters int64               `json:"filter_bytes"`
	Groups  []groupDescription  `json:"groups"`
	Columns []columnDescription `json:"columns"`
}

type groupDescription struct {
	Dataset uint32              `json:"dataset"`
	Rows    int                 `json:"rows"`
	From    time.Time           `json:"from"`
	To      time.Time           `json:"to"`
	Bytes   int64               `json:"bytes"`
	Columns []columnDescription `json:"columns"`
}

// columnDescription is a column, of one row group or of the whole segment.
type columnDescription struct {
	// Name is empty for a field whose values are kept in the column _overflow.
	Name      string   `json:"name,omitempty"`
	Field     string   `json:"field"`
	Kind      string   `json:"kind"`
	Encodings []string `json:"encodings"`
	Values    int      `json:"values"`
	Bytes     int64    `json:"bytes"`
	Pages     int      `json:"pages"`
	// Dictionary is the number of entries, of the largest one of the segment's.
	Dictionary int `json:"dictionary,omitempty"`
	Bloom      int `json:"bloom_bytes,omitempty"`
	Text       int `json:"text_filter_bytes,omitempty"`
}

func (d *columnDescription) add(c *colfile.Chunk) {
	if e := c.Encoding.String(); !slices.Contains(d.Encodings, e) {
		d.Encodings = append(d.Encodings, e)
	}
	d.Values += c.Values
	d.Bytes += c.Bytes()
	d.Pages += len(c.Pages)
	d.Dictionary = max(d.Dictionary, c.Dict)
	d.Bloom += c.BloomLen
	d.Text += c.TextLen
}

func inspect(path string) (d *description, err error) {
	f, err := colfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	d = &description{File: path, Bytes: f.Size, Version: colfile.Version, Meta: f.Meta, Groups: []groupDescription{}}
	describe := func(i int) columnDescription {
		c := f.Columns[i]
		return columnDescription{Name: c.Name, Field: c.Field, Kind: c.Type.String(), Encodings: []string{}}
	}
	for i := range f.Columns {
		d.Columns = append(d.Columns, describe(i))
	}
	for i, g := range f.Groups {
		chunks, err := f.Chunks(g)
		if err != nil {
			return nil, err
		}
		from, to := time.Unix(0, g.MinTime).UTC(), time.Unix(0, g.MaxTime).UTC()
		out := groupDescription{Dataset: g.Dataset, Rows: g.Rows, From: from, To: to}
		for k := range chunks {
			c := &chunks[k]
			one := describe(c.Column)
			one.add(c)
			d.Columns[c.Column].add(c)
			out.Columns = append(out.Columns, one)
			out.Bytes += one.Bytes
			d.Filters += int64(one.Bloom + one.Text)
		}
		if i == 0 || from.Before(d.From) {
			d.From = from
		}
		if i == 0 || to.After(d.To) {
			d.To = to
		}
		d.Rows += g.Rows
		d.Pages += out.Bytes
		d.Groups = append(d.Groups, out)
	}
	return d, nil
}

// print writes two tables: the row groups, and the columns with the largest first.
func (d *description) print(w io.Writer) error {
	const layout = "2006-01-02T15:04:05.000Z"
	var b strings.Builder
	fmt.Fprintf(&b, "%s: format version %d, %s\n%d rows in %d row groups, %s to %s\n%d bytes: %d in pages, %d in filters, %d in indexes\n\n",
		d.File, d.Version, d.Meta, d.Rows, len(d.Groups), d.From.Format(layout), d.To.Format(layout), d.Bytes, d.Pages, d.Filters, d.Bytes-d.Pages-d.Filters)
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	row := func(format string, args ...any) { _, _ = fmt.Fprintf(t, format+"\n", args...) }
	row("GROUP\tDATASET\tROWS\tFROM\tTO\tCOLUMNS\tBYTES")
	for i, g := range d.Groups {
		row("%d\t%d\t%d\t%s\t%s\t%d\t%d", i, g.Dataset, g.Rows, g.From.Format(layout), g.To.Format(layout), len(g.Columns), g.Bytes)
	}
	row("")
	row("COLUMN\tKIND\tENCODING\tVALUES\tBYTES\tPAGES\tDICTIONARY\tBLOOM\tTEXT FILTER")
	list := slices.Clone(d.Columns)
	slices.SortStableFunc(list, func(a, b columnDescription) int { return int(b.Bytes - a.Bytes) })
	for _, c := range list {
		name := c.Name
		if name == "" {
			name = c.Field + " (in _overflow)"
		}
		row("%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d", name, c.Kind, strings.Join(c.Encodings, "+"), c.Values, c.Bytes, c.Pages, c.Dictionary, c.Bloom, c.Text)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, b.String())
	return err
}
