// Package form is what a chunk looks like on a disk: the chunk file, and the
// segment with its records, index and footer. It writes and reads bytes, and
// knows no directory, lock or sync; package chunkfs does the rest. The forms are
// described byte by byte in docs/format/chunk-file.md and docs/format/segment.md.
//
// Reading never trusts: every length is held against the file before it is used,
// and what does not match its checksum is store.Corrupt with a message that says
// what it is.
package form

import "io"

// File is what is read.
type File interface {
	io.ReaderAt
	// Size is the size in bytes.
	Size() (int64, error)
}
