package cwlogs_test

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/cwlogs/insights"
	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/query/querytest"
)

// The groups of the corpus: 12,500 events each, one a second. What each event is follows from its
// number, so that what a query finds in them can be told from the number alone; conformance sends
// the same.
const corpusEvents = 12_500

var corpusGroups = map[string]func(i int) string{
	"app":            appLine,
	"plain":          plainLine,
	"/aws/lambda/fn": lambdaLine,
	"apache":         apacheLine,
}

func pick(i int, of ...string) string { return of[i%len(of)] }

func appLine(i int) string {
	err := ""
	if i%10 == 0 {
		err = `,"err":"timeout"`
	}
	return fmt.Sprintf(`{"level":%q,"status":%d,"ms":%d,"user":{"id":"u%d","tags":["t%d","all"]},"path":"/api/%s","ip":"10.0.%d.%d","ok":%t,"foo-bar":%d,"items":[{"id":%d},{"id":%d}],"note":"{\"k\":%d}"%s}`,
		pick(i, "info", "info", "info", "warn", "error"), 200+100*(i%4), i%1000, i%100, i%3, pick(i, "a", "b", "c"), i%4, i%250, i%2 == 0, i%7, i%7, i%11, i%5, err)
}

func plainLine(i int) string {
	switch {
	case i%50 == 49:
		return fmt.Sprintf("ERROR request %d failed after %d tries: disk %s full", i, i%9, pick(i, "alpha", "beta"))
	case i%25 == 24:
		return fmt.Sprintf("WARN slow request id=%d took %dms", i, i%1000)
	case i%5 == 1:
		return fmt.Sprintf(`level=info msg="hello world" n=%d host=h%d`, i%10, i%4)
	case i%5 == 2:
		return fmt.Sprintf(`%d,"a, b",%d`, i, i%8)
	}
	return fmt.Sprintf("user=%s, method:%s, latency := %d", pick(i, "frank", "anna", "bob"), pick(i, "GET", "PUT"), i%100)
}

func lambdaLine(i int) string {
	call := i / 4
	id := fmt.Sprintf("%08x-0000-4000-8000-%012x", call, call)
	switch i % 4 {
	case 0:
		return "START RequestId: " + id + " Version: $LATEST\n"
	case 1:
		return fmt.Sprintf("2026-11-20T10:00:00.000Z\t%s\tINFO\tdone {\"op\":%q,\"n\":%d} in time\n", id, pick(call, "put", "get"), call%10)
	case 2:
		return "END RequestId: " + id + "\n"
	}
	first := ""
	if call%10 == 0 {
		first = "Init Duration: 200.50 ms\t"
	}
	return fmt.Sprintf("REPORT RequestId: %s\tDuration: %d.25 ms\tBilled Duration: %d ms\tMemory Size: 128 MB\tMax Memory Used: %d MB\t%s\n", id, call%500, call%500+1, 64+call%32, first)
}

func apacheLine(i int) string {
	return fmt.Sprintf(`10.1.0.%d - - [20/Nov/2026:10:%02d:%02d +0000] "%s /page%d.html?id=%d HTTP/1.1" %s %d`,
		i%200, i/60%60, i%60, pick(i, "GET", "GET", "POST"), i%5, i, pick(i, "200", "200", "200", "404", "500"), 100+i%900)
}

// corpusTables are lookup tables.
var corpusTables = map[string]string{
	"users": "id,name,team\nu0,Zoe,red\nu1,Yan,blue\nu2,Xi,\n",
	"nets":  "block,zone\n10.0.0.0/8,inside\n10.0.1.0/24,one\n10.0.1.1,host\n",
}

// corpus is a rig with the corpus in it.
type corpus struct {
	*rig
	base time.Time
	env  insights.Env
	rows []querytest.Row
}

var shownTime = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}`)

// relative writes times as distances from the base, as in T+01:02:03.
func (c *corpus) relative(text string) string {
	return shownTime.ReplaceAllStringFunc(text, func(s string) string {
		at, err := time.Parse("2006-01-02 15:04:05.000", s)
		d := at.Sub(c.base)
		if err != nil || d < -48*time.Hour || d > 48*time.Hour {
			return s
		}
		sign := "+"
		if d < 0 {
			sign, d = "-", -d
		}
		return fmt.Sprintf("T%s%02d:%02d:%02d", sign, int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60)
	})
}

// load sends lines to a group, a step apart, in streams s1 and s2 in turn.
func (c *corpus) load(group string, step time.Duration, n int, line func(i int) string) {
	c.t.Helper()
	c.call("CreateLogGroup", `{"logGroupName":"`+group+`"}`, nil)
	const batch = 2500
	for s := range 2 {
		stream := fmt.Sprint("s", s+1)
		c.stream(group, stream)
		var events []inEvent
		for i := s; i < n; i += 2 {
			events = append(events, inEvent{c.base.Add(time.Duration(i) * step).UnixMilli(), line(i)})
			if len(events) == batch {
				c.put(group, stream, events...)
				events = nil
			}
		}
		if events != nil {
			c.put(group, stream, events...)
		}
	}
}

// newCorpus starts a rig two hours and more back, on the hour.
func newCorpus(t *testing.T) *corpus {
	c := &corpus{rig: newRig(t), base: time.Now().Add(-24 * time.Hour).Truncate(time.Hour).UTC()}
	c.env = insights.Env{From: c.base, To: c.base.Add(4*time.Hour - time.Millisecond), Now: time.Now()}
	for name, body := range corpusTables {
		c.call("CreateLookupTable", fmt.Sprintf(`{"lookupTableName":%q,"tableBody":%s}`, name, encode(t, body)), nil)
	}
	c.env.Table = func(name string) (*query.Table, error) {
		var out *query.Table
		for i, line := range strings.Split(strings.TrimSpace(corpusTables[name]), "\n") {
			cells := strings.Split(line, ",")
			if i == 0 {
				out = &query.Table{Columns: cells}
				continue
			}
			row := make([]event.Value, len(cells))
			for k, cell := range cells {
				if cell != "" {
					row[k] = event.String(cell)
				}
			}
			out.Rows = append(out.Rows, row)
		}
		return out, nil
	}
	return c
}

// ready reads all events for the oracle.
func (c *corpus) ready(groups ...string) {
	c.t.Helper()
	for _, name := range groups {
		g, err := c.parts.Meta.LogGroup(c.t.Context(), "default", name)
		if err != nil {
			c.t.Fatal(err)
		}
		c.env.Groups = append(c.env.Groups, insights.Group{Dataset: g.ID, Label: "000000000000:" + name})
	}
	all := c.env.Groups
	c.env.Source = func(s *insights.Source) ([]insights.Group, error) {
		var out []insights.Group
		for _, g := range all {
			for _, n := range s.Names {
				if strings.HasSuffix(g.Label, ":"+n) {
					out = append(out, g)
				}
			}
			for _, sel := range s.Selectors {
				for _, a := range sel.Args {
					if a.Name == "nameprefix" && strings.HasPrefix(g.Label, "000000000000:"+a.Values[0]) {
						out = append(out, g)
					}
				}
			}
		}
		return out, nil
	}
	res, err := c.parts.Store.Query(c.t.Context(), &query.Query{})
	if err != nil {
		c.t.Fatal(err)
	}
	for _, vals := range res.Rows {
		r := querytest.Row{}
		for i, v := range vals {
			if !v.Missing() {
				r[res.Columns[i]] = v
			}
		}
		c.rows = append(c.rows, r)
	}
}

func (c *corpus) planned(p *insights.Plan) *query.Query {
	q := &query.Query{Datasets: []event.DatasetID{}, From: p.From, To: p.To.Add(time.Millisecond), Stages: p.Stages}
	for _, g := range p.Groups {
		q.Datasets = append(q.Datasets, g.Dataset)
	}
	return q
}

// agree runs a query by the oracle and by the store.
func (c *corpus) agree(t *testing.T, env insights.Env, text string) {
	t.Helper()
	tree, err := insights.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	env.Side = func(p *insights.Plan) (*query.Result, error) {
		rows, err := querytest.Oracle(c.planned(p), c.rows)
		res := &query.Result{}
		for i := range p.Columns {
			res.Columns = append(res.Columns, fmt.Sprint("c", i))
		}
		for _, r := range rows {
			vals := make([]event.Value, len(res.Columns))
			for i, n := range res.Columns {
				vals[i] = r[n]
			}
			res.Rows = append(res.Rows, vals)
		}
		return res, err
	}
	plan, err := insights.Lower(tree, env)
	if err != nil {
		t.Fatal(err)
	}
	want, err := querytest.Oracle(c.planned(plan), c.rows)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.parts.Store.Query(t.Context(), c.planned(plan))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text, "limit any") { // any rows will do
		if len(got.Rows) != len(want) {
			t.Errorf("%s\nthe store has %d rows, the oracle %d", text, len(got.Rows), len(want))
		}
		return
	}
	if d := querytest.Diff(got, want, true); d != "" {
		t.Errorf("%s\nthe store and the oracle differ: %s", text, d)
	}
}

// check runs the cases of a file over groups, as a client does, and compares with what is wanted
// and with the oracle.
func (c *corpus) check(file string, groups ...string) {
	c.t.Helper()
	for _, x := range querytest.Corpus(c.t, filepath.Join("testdata", "insights", file)) {
		c.t.Run(x.Name, func(t *testing.T) {
			env := c.env
			env.Groups = nil
			for _, g := range c.env.Groups {
				for _, n := range groups {
					if strings.HasSuffix(g.Label, ":"+n) {
						env.Groups = append(env.Groups, g)
					}
				}
			}
			names := fmt.Sprintf(`"logGroupNames":%s,`, encode(t, groups))
			if strings.HasPrefix(strings.ToUpper(x.Query), "SOURCE") {
				names = ""
			}
			start := fmt.Sprintf(`{%s"startTime":%d,"endTime":%d,"queryString":%s}`, names, env.From.Unix(), env.To.Unix(), encode(t, x.Query))
			r := *c.rig
			r.t = t
			if x.Fail != "" {
				r.refused("StartQuery", start, "MalformedQueryException", x.Fail)
				return
			}
			rows, _ := r.query(start)
			if got, want := c.relative(rows), strings.Join(x.Want, "\n"); strings.Trim(got, "\n") != strings.Trim(want, "\n") {
				t.Errorf("%s\ngot\n%s\nwant\n%s", x.Query, got, want)
			}
			c.agree(t, env, x.Query)
		})
	}
}

func TestFunctionsCorpus(t *testing.T) {
	c := newCorpus(t)
	cases := querytest.Corpus(t, "testdata/insights/functions.txt")
	c.load("one", time.Minute, len(cases[0].Load), func(i int) string { return cases[0].Load[i] })
	c.ready("one")
	c.check("functions.txt", "one")
}

// TestSmallCorpus runs the corpora that list their events.
func TestSmallCorpus(t *testing.T) {
	for _, file := range []string{"small.txt", "vended.txt"} {
		c := newCorpus(t)
		cases := querytest.Corpus(t, "testdata/insights/"+file)
		c.load("logs/insights", time.Minute, len(cases[0].Load), func(i int) string { return cases[0].Load[i] })
		c.ready("logs/insights")
		c.check(file, "logs/insights")
	}
}

// TestBigCorpus runs the corpora of the four groups.
func TestBigCorpus(t *testing.T) {
	c := newCorpus(t)
	var names []string
	for _, g := range []string{"app", "plain", "/aws/lambda/fn", "apache"} {
		c.load(g, time.Second, corpusEvents, corpusGroups[g])
		names = append(names, g)
	}
	c.ready(names...)
	c.check("app.txt", "app")
	c.check("plain.txt", "plain")
	c.check("lambda.txt", "/aws/lambda/fn")
	c.check("apache.txt", "apache")
	c.check("all.txt", names...)

	// A query within a query that gives more than it may fails, and does not count half of them.
	var id struct{ QueryID string }
	c.call("StartQuery", fmt.Sprintf(`{"logGroupName":"app","startTime":%d,"endTime":%d,"queryString":%s}`, c.env.From.Unix(), c.env.To.Unix(),
		encode(t, "filter ms in (unnest items into i | unnest items into j | unnest user.tags into k | fields i.id) | stats count(*)")), &id)
	out := c.results(id.QueryID)
	for deadline := time.Now().Add(20 * time.Second); out.Status == "Scheduled" || out.Status == "Running"; out = c.results(id.QueryID) {
		if time.Now().After(deadline) {
			t.Fatal("the query does not end")
		}
	}
	if out.Status != "Failed" || len(out.Results) != 0 {
		t.Errorf("100,000 rows of a query within a query: %s, %d rows", out.Status, len(out.Results))
	}
}
