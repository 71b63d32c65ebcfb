package cwlogs

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/store/segment"
)

// TestUnpackedMessages compares what a search finds in stored messages with what is in their text:
// the store looks for a text in the fields of a message where they have all of it.
func TestUnpackedMessages(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	words := []string{"timeout", "Timeout", "error", "user", "true", "rue", "null", "e", "k", "\u212a", "é", "disk full", "a.b", "meta", "@x", "$y", "1.5e3", "", "x:y", "{z}", "no, no", "10"}
	word := func() string { return words[rnd.IntN(len(words))] }
	var value func(depth int) string
	object := func(depth int) string {
		var b strings.Builder
		for i := range rnd.IntN(4) + 1 - min(depth, 1) {
			if i > 0 {
				b.WriteString([]string{",", ", "}[rnd.IntN(2)])
			}
			fmt.Fprintf(&b, `"%s%s":%s`, word(), []string{"", fmt.Sprint(rnd.IntN(3))}[rnd.IntN(2)], value(depth+1))
		}
		return "{" + b.String() + "}"
	}
	value = func(depth int) string {
		switch n := rnd.IntN(40); {
		case n == 0:
			return "null"
		case n < 2 && depth < 3:
			return object(depth)
		case n < 3 && depth < 3:
			return "[" + value(depth+1) + "," + value(depth+1) + "]"
		case n < 10:
			return []string{"true", "false", "15", "-2.50", "1e400", "99999999999999999999"}[rnd.IntN(6)]
		case n < 11:
			return []string{`"time\u006fut"`, `"a\ntimeout"`, `"\"user\""`, "\"bad \xff timeout\""}[rnd.IntN(4)]
		}
		return fmt.Sprintf(`"%s %s%d"`, word(), word(), rnd.IntN(1000))
	}
	st, err := segment.Open(t.Context(), segment.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	const n = 8_000
	lines := make([]string, n)
	var d found
	unpacked := 0
	for at := 0; at < n; {
		b := event.NewBuilder()
		d.about = []event.Field{{Name: "@entity.Attributes.note", Value: event.String("timeout user")}}
		for range n / 4 {
			lines[at] = object(0)
			ds := event.DatasetID(1 + at*2/n)
			if ds == 2 { // has nothing but what is unpacked
				lines[at] = fmt.Sprintf(`{"level":%q,"ser4":"%s %s%d","deep":{"tim":%d,"ser%d":"x"}}`, []string{"info", "error"}[rnd.IntN(2)], word(), word(), rnd.IntN(1000), rnd.IntN(50), rnd.IntN(5))
			} else if rnd.IntN(50) == 0 {
				lines[at] = word() + " " + lines[at]
			}
			fields := []byte(lines[at])
			message := fields
			if ds == 1 && rnd.IntN(50) == 0 { // a transformer's work
				fields = []byte(`{"user":"timeout"}`)
			}
			d.add(b, event.Header{Time: int64(at), Ingested: int64(at), Dataset: ds}, message, fields, false)
			lines[at] = strings.ToValidUTF8(lines[at], "\uFFFD")
			at++
		}
		batch := b.Batch()
		for i := range batch.Headers {
			if batch.Headers[i].Unpacked {
				unpacked++
			}
		}
		if err := st.Append(t.Context(), []*event.Batch{batch}); err != nil {
			t.Fatal(err)
		}
		if at == n/2 {
			if err := st.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		b.Release()
	}
	if err := st.Flush(); err != nil {
		t.Fatal(err)
	}
	if unpacked < n/3 || unpacked > n*9/10 {
		t.Fatalf("%d of %d messages are unpacked", unpacked, n)
	}
	message := query.Field{Name: fieldMessage}
	var conditions []query.Expr
	for _, s := range append(words, "timeo", "ser4", "er\":", "me", "us", "out 1", "rror", "ull", "eta", "tr", "true,", "fals", "5e", "e3", "zzz", "TIMEOUT", "@@x", "user.0", "rror.tim", "r.error") {
		if s == "" {
			continue
		}
		re := regexp.QuoteMeta(s)
		conditions = append(conditions,
			query.Text{Op: query.Contains, X: message, S: s}, query.Text{Op: query.Contains, X: message, S: s, Fold: true},
			query.Match{X: message, Re: regexp.MustCompile(re)}, query.Match{X: message, Re: regexp.MustCompile("(?i)" + re)},
			query.Match{X: message, Re: regexp.MustCompile(re + ".*o")}, query.Text{Op: query.HasPrefix, X: message, S: `{"` + s},
			query.Not{X: query.Text{Op: query.Contains, X: message, S: s}},
			query.Or{X: []query.Expr{query.Text{Op: query.Contains, X: message, S: s}, query.Text{Op: query.Contains, X: message, S: "disk"}}})
	}
	for _, where := range conditions {
		var want []int64
		for i, line := range lines {
			if query.Holds(where, query.NewRow([]string{fieldMessage}, []event.Value{event.String(line)})) {
				want = append(want, int64(i))
			}
		}
		res, err := st.Query(t.Context(), &query.Query{From: time.Unix(0, 0), To: time.Unix(0, n), Stages: []query.Stage{
			query.Filter{Where: where}, query.Project{Fields: []query.Named{{Name: "at", Value: query.Field{Name: event.FieldTime}}}}}})
		if err != nil {
			t.Fatal(err)
		}
		var got []int64
		for _, r := range res.Rows {
			got = append(got, r[0].Int())
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			for i, line := range lines {
				if at := int64(i); slices.Contains(got, at) != slices.Contains(want, at) {
					t.Fatalf("%s: %d found, %d have it; message %s is found: %t", where, len(got), len(want), line, slices.Contains(got, at))
				}
			}
		}
	}
}
