package segment

import (
	"regexp/syntax"

	"github.com/trefoil-o11y/trefoil/internal/query"
)

// literalOf returns a test that holds for every text that a regular expression matches: that it
// contains the longest literal which each match must have, and whether each text that contains it
// matches. Its S is empty when there is none.
func literalOf(re string) (best query.Text, all bool) {
	tree, err := syntax.Parse(re, syntax.Perl)
	if err != nil {
		return query.Text{}, false
	}
	var walk func(*syntax.Regexp)
	walk = func(r *syntax.Regexp) {
		switch r.Op {
		case syntax.OpLiteral:
			if s := string(r.Rune); len(s) > len(best.S) {
				best = query.Text{Op: query.Contains, S: s, Fold: r.Flags&syntax.FoldCase != 0}
			}
		case syntax.OpCapture, syntax.OpPlus:
			walk(r.Sub[0])
		case syntax.OpRepeat:
			if r.Min > 0 {
				walk(r.Sub[0])
			}
		case syntax.OpConcat:
			for _, x := range r.Sub {
				walk(x)
			}
		}
	}
	tree = tree.Simplify()
	walk(tree)
	return best, tree.Op == syntax.OpLiteral
}
