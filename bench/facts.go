package main

import (
	"encoding/hex"
	"slices"
	"time"
)

// facts are what the answers must say: the bench knows every event it sent.
type facts struct {
	rows    int
	byHour  map[int64]int // by the hour's seconds
	posts   map[string][]float64
	recent  map[string][]float64 // of posts: those of the last 24 hours
	users   []int                // spans by user
	seen    []map[int]struct{}   // users by service
	rare    int
	failed  []failure // failed traces, the newest first
	last6h  int       // traces that began in the last six hours
	longest float64   // ms
	// of lines
	byLevel  map[string]int
	timeouts map[int64]int // by five minutes
	newest   int64         // the newest line with the word, ms
}

type failure struct {
	id string
	at int64
}

func traceText(n, trace int) string {
	id := traceOf(n, trace)
	return hex.EncodeToString(id[:])
}

// factsOfSpans counts in one pass.
func factsOfSpans(c *corpus) *facts {
	f := &facts{rows: c.rows(), byHour: map[int64]int{}, posts: map[string][]float64{}, recent: map[string][]float64{}, users: make([]int, users)}
	for range services {
		f.seen = append(f.seen, map[int]struct{}{})
	}
	day, six := c.window.To.Add(-24*time.Hour).UnixNano(), c.window.To.Add(-6*time.Hour).UnixNano()
	end := c.window.To.UnixNano()
	c.each(func(n int, r *row, at int64) {
		f.byHour[at/1e9/3600*3600]++
		ms := float64(r.duration) / 1e6
		f.longest = max(f.longest, ms)
		if r.method == 1 {
			name := ""
			if r.route >= 0 {
				name = routeName(r.service, r.route)
			}
			f.posts[name] = append(f.posts[name], ms)
			if at >= day && at < end {
				f.recent[name] = append(f.recent[name], ms)
			}
		}
		u := userOf(n, int(r.trace))
		f.users[u]++
		f.seen[r.service][u] = struct{}{}
		if r.rare {
			f.rare++
		}
		if r.parent >= 0 {
			return
		}
		if at >= six && at < end {
			f.last6h++
		}
		if r.failed {
			f.failed = append(f.failed, failure{traceText(n, int(r.trace)), at})
		}
	})
	for _, m := range []map[string][]float64{f.posts, f.recent} {
		for _, list := range m {
			slices.Sort(list)
		}
	}
	slices.SortFunc(f.failed, func(a, b failure) int { return int(b.at - a.at) })
	return f
}

func factsOfLines(c *corpus) *facts {
	f := &facts{rows: c.rows(), byLevel: map[string]int{}, timeouts: map[int64]int{}}
	c.each(func(_ int, r *row, at int64) {
		f.byLevel[levels[r.level]]++
		if r.rare {
			f.rare++
		}
		if r.timeout {
			f.timeouts[at/1e9/300*300]++
			f.newest = max(f.newest, at/1e6)
		}
	})
	return f
}

// between reports whether got is the p-th percentile of sorted values, as exact as a sketch
// gives it.
func between(got float64, sorted []float64, p float64) bool {
	at := func(p float64) float64 { return sorted[min(len(sorted)-1, max(0, int(p*float64(len(sorted)))))] }
	slack := 0.002 + 1.5/float64(len(sorted))
	return got >= 0.98*at(p-slack) && got <= 1.02*at(p+slack)
}
