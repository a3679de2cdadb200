// Package format encodes and decodes chunks as they are stored on a disk: the chunk
// file, and the segment with its records, index and footer. It handles bytes only;
// directories, locks and syncs belong to package chunkfs. Both formats are specified
// byte by byte in docs/format/chunk-file.md and docs/format/segment.md.
//
// Decoding trusts nothing: every length is checked against the file before it is used,
// and anything that does not match its checksum is store.Corrupt with a message that
// names it.
package format

import "io"

// File is the file that is decoded.
type File interface {
	io.ReaderAt
	// Size is the size in bytes.
	Size() (int64, error)
}
