package segment

import (
	"math"
	"testing"
	"time"

	"github.com/trefoil-o11y/trefoil/internal/event"
	"github.com/trefoil-o11y/trefoil/internal/query"
)

// TestExtremeTimes stores events at both ends of time and asks with bounds beyond them.
func TestExtremeTimes(t *testing.T) {
	s := openStore(t, t.TempDir())
	b := event.NewBuilder()
	defer b.Release()
	for _, ns := range []int64{math.MinInt64, -1, 0, 1, math.MaxInt64} {
		b.Add(event.Header{Dataset: 1, Time: ns})
	}
	if err := s.Append(t.Context(), []*event.Batch{b.Batch()}); err != nil {
		t.Fatal(err)
	}
	far, past := time.UnixMilli(9_999_999_999_999), time.Date(1, 2, 3, 0, 0, 0, 0, time.UTC)
	for _, where := range []string{"memory", "file"} {
		for name, c := range map[string]struct {
			from, to time.Time
			want     int
		}{
			"unbounded":            {want: 5},
			"until the year 2286":  {time.Unix(0, 0), far, 3},
			"from the year 1":      {past, time.Unix(0, 0), 2},
			"wider than can be":    {past, far, 5},
			"behind all that is":   {far, far.Add(time.Hour), 0},
			"one nanosecond":       {time.Unix(0, 0), time.Unix(0, 1), 1},
			"an empty range":       {time.Unix(0, 0), time.Unix(0, 0), 0},
			"ahead of all that is": {past, past.Add(time.Hour), 0},
		} {
			res, err := s.Query(t.Context(), &query.Query{From: c.from, To: c.to})
			if err != nil || len(res.Rows) != c.want {
				t.Errorf("%s, %s: %v, want %d rows", where, name, err, c.want)
				if err == nil {
					t.Logf("%d rows", len(res.Rows))
				}
			}
		}
		flushed(t, s)
	}
}
