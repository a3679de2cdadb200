//go:build !linux

package localfile

import "os"

// Preallocate does nothing here: the writes detect a full disk.
func Preallocate(*os.File, int64) error { return nil }
