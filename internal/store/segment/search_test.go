package segment

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"testing"

	"github.com/trefoil-o11y/trefoil/internal/query"
	"github.com/trefoil-o11y/trefoil/internal/store/segment/colfile"
)

// TestSearch compares the search through a page's text with asking for each row.
func TestSearch(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	pieces := []string{"a", "b", "ab", "ABA", "error", "ERROR", "Error", " ", "k", "\u212a", "\u017f", "\u0130", "i", "é", "É", "xyz"}
	needles := []string{"ab", "aba", "error", "rr", "bb", "k", "s", "i", "é", "r x", "xyzxyz"}
	field := query.Field{Name: "f"}
	searched := map[bool]int{}
	for round := range 3000 {
		odd := rnd.IntN(4) == 0
		v := &values{field: "f", typ: colfile.String}
		v.vec.Type, v.vec.Encoding, v.vec.N = colfile.String, colfile.Lengths, 1+rnd.IntN(200)
		v.vec.Offsets = []uint32{0}
		if rnd.IntN(2) == 0 {
			v.vec.Valid = make([]uint64, (v.vec.N+63)/64)
		}
		for i := range v.vec.N {
			if v.vec.Valid == nil || rnd.IntN(3) > 0 {
				for range rnd.IntN(6) {
					if p := pieces[rnd.IntN(len(pieces))]; odd || p[0] < 0x80 {
						v.vec.Text = append(v.vec.Text, p...)
					}
				}
				if v.vec.Valid != nil {
					bitmap(v.vec.Valid).set(i)
				}
			}
			v.vec.Offsets = append(v.vec.Offsets, uint32(len(v.vec.Text)))
		}
		s := needles[rnd.IntN(len(needles))]
		exprs := []query.Expr{
			query.Text{Op: query.Contains, X: field, S: s},
			query.Text{Op: query.Contains, X: field, S: s, Fold: true},
			query.Text{Op: query.HasPrefix, X: field, S: s},
			query.Text{Op: query.HasSuffix, X: field, S: s, Fold: true},
			query.Match{X: field, Re: regexp.MustCompile("a.*" + s)},
			query.Match{X: field, Re: regexp.MustCompile("(?i)" + s + "$")},
			query.Not{X: query.Text{Op: query.Contains, X: field, S: s}},
		}
		e := exprs[rnd.IntN(len(exprs))]
		p := new(compiler).ofField(e, "f").(*ofField)
		keep := make(bitmap, (v.vec.N+63)/64)
		keep.fill(v.vec.N)
		for i := range keep {
			keep[i] &= rnd.Uint64() | rnd.Uint64()
		}
		want := append(bitmap(nil), keep...)
		slowly(p, v, want)
		searched[p.searchable(v, keep)]++
		p.one(v, keep)
		if fmt.Sprint(keep) != fmt.Sprint(want) {
			t.Fatalf("round %d: %s of %q finds rows %b, want %b", round, e, v.vec.Text, keep, want)
		}
	}
	if searched[true] < 500 || searched[false] < 100 {
		t.Errorf("searched %d times, asked for each row %d times: the test says little", searched[true], searched[false])
	}
}

func TestLowerASCII(t *testing.T) {
	var all []byte
	for i := range 256 {
		all = append(all, byte(i), byte(255-i))
	}
	for n := range 40 {
		want := ""
		for _, c := range all[:len(all)-n] {
			if c >= 'A' && c <= 'Z' {
				c += 'a' - 'A'
			}
			want += string([]byte{c})
		}
		if got := string(lowerASCII(nil, all[:len(all)-n])); got != want {
			t.Fatalf("%d bytes: %q, want %q", len(all)-n, got, want)
		}
	}
}
