module github.com/trefoil-o11y/trefoil

go 1.26
