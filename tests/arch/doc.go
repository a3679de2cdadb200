// Package arch tests the architecture of Ringstore: which package may import which, where each outside library may be
// used, what each binary links, how large packages and how long import chains may become, and the language of comments and
// messages.
//
// rules.go has every rule as data, one line a package; it is the file to read and to change. graph.go reads the module
// as `go list` reports it, and check.go compares the two. The checks take a Graph, so that check_test.go can prove with
// a small one that each check can fail.
package arch
