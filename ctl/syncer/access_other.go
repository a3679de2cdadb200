//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package syncer

// mayWrite cannot be checked in advance here.
func mayWrite(string) error { return nil }
