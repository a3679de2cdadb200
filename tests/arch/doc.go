// Package arch holds the architecture of Ringstore as tests: which package may
// import which, where each outside library may be used, what each binary links,
// and how large and how deep things may grow.
//
// rules.go is the part to read and to change: it states every rule as data, one
// line a package. graph.go reads the module as `go list` sees it, check.go
// compares the two. The checks take a Graph, so that check_test.go can prove on a
// small made-up one that each of them does fail.
package arch
