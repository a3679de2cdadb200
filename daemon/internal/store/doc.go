// Package store is the domain of Ringstore: its words, its contracts and its
// kinds of error. It imports the standard library only, and every other package
// of the daemons imports it.
//
// # Words
//
// A [File] is one immutable version of an object and has a [FileID]. An object
// is what a ([BucketName], [Key]) pair shows: its latest complete file. A file
// has one or more [Part]s, contiguous byte ranges that were encoded on their own.
// A part is cut into stripes of K data [Unit]s plus M parity units; all units of
// one index of a part are a chunk, which lives on one [Node] under a [ChunkID].
// A part with K = 1 is kept as M + 1 whole copies. A [Session] is an upload that
// goes on across interruptions, until its parts become a file.
//
// # Contracts
//
//	Metadata     where everything is written down; SQL in production
//	Chunks       a place that keeps chunks: a disk, a node behind gRPC, memory
//	Leases       what must run once in a cluster holds one of these
//	Credentials  the access keys, their secrets sealed
//
// Each contract has a conformance suite (metatest, chunktest) that all its
// implementations pass, the in-memory ones in package mem included.
//
// # Invariants
//
//   - At most one file of a (bucket, key) is latest, and only a complete one.
//   - A file becomes complete in the same step in which its parts, the end of the
//     file it replaces, and the repairs it needs are written down.
//   - A chunk is acknowledged only when it is durable and its sum was compared.
//   - A chunk's bytes are removed only after no metadata refers to the chunk.
//   - A PartID is never used twice, so neither is a ChunkID: a reclaim that
//     comes late cannot hit data that is alive.
package store
