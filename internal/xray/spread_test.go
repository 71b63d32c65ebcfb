package xray

import (
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
)

// TestSpreads adds and merges values in several ways, which must count the same.
func TestSpreads(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		want := map[int64]int{}
		var sum, few spread
		for range 1 + rnd.IntN(5) {
			var part spread
			for range rnd.IntN(300) {
				v, n := int64(rnd.IntN(1+rnd.IntN(6000)))-3, 1+rnd.IntN(3)
				part.add(v, n)
				want[v] += n
			}
			if rnd.IntN(2) == 0 {
				part = spread{list: part.sorted()} // as it is read from a kept minute
			}
			sum.merge(&part, true)
			few.merge(&part, false)
		}
		for _, s := range []spread{sum, few} {
			got := map[int64]int{}
			list := s.sorted()
			for _, x := range list {
				got[x.value] += x.n
			}
			if len(got) != len(list) || !slices.IsSortedFunc(list, func(a, b valueCount) int { return int(a.value - b.value) }) {
				t.Fatalf("values are there twice, or not in order: %v", list)
			}
			for v, n := range want {
				if got[v] != n {
					t.Fatalf("%d is there %d times, want %d", v, got[v], n)
				}
			}
			if len(got) != len(want) {
				t.Fatalf("%d values, want %d", len(got), len(want))
			}
			if h := s.histogram(); len(want) <= maxBuckets && len(h) != len(want) {
				t.Fatalf("a histogram of %d from %d values", len(h), len(want))
			}
		}
	}
}

func TestTwoDigits(t *testing.T) {
	for _, v := range []int64{0, 1, 9, 10, 99, 100, 101, 104, 105, 106, 114, 115, 125, 135, 994, 995, 996, 1049, 1050, 1051, 1150, 99_500, 123_456_789, -125, -1049, 1 << 52} {
		want, err := strconv.ParseFloat(strconv.FormatFloat(float64(v), 'e', 1, 64), 64)
		if err != nil {
			t.Fatal(err)
		}
		if got := twoDigits(v); got != int64(want) {
			t.Errorf("%d is %d, want %v", v, got, want)
		}
	}
	for range 10_000 {
		v := rand.Int64N(1 << 40)
		if want, _ := strconv.ParseFloat(strconv.FormatFloat(float64(v), 'e', 1, 64), 64); twoDigits(v) != int64(want) {
			t.Errorf("%d is %d, want %v", v, twoDigits(v), want)
		}
	}
	twoDigits(math.MaxInt64)
	twoDigits(math.MinInt64)
}
