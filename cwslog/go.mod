module github.com/trefoil-o11y/trefoil/cwslog

go 1.26
