module github.com/trefoil-o11y/trefoil/conformance

go 1.26
