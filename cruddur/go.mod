module github.com/trefoil-o11y/trefoil/cruddur

go 1.26
