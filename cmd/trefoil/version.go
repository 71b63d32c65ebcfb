package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// release is set by the Makefile.
var release string

type versionCmd struct{}

// Run prints the version.
func (*versionCmd) Run() error {
	fmt.Printf("trefoil %s %s/%s %s\n", version(), runtime.GOOS, runtime.GOARCH, runtime.Version())
	return nil
}

func version() string {
	if release != "" {
		return release
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "devel"
}
