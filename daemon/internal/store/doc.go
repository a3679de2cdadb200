// Package store is the domain of Ringstore: its terms, its contracts and its
// kinds of error. It imports only the standard library, and every other package
// of the daemons imports it.
//
// # Terms
//
// A [File] is one immutable version of an object and has a [FileID]. An object
// is what a ([BucketName], [Key]) pair shows: its latest complete file. A file
// has one or more [Part]s, contiguous byte ranges that were encoded on their own.
// A part is cut into stripes of K data units plus M parity units; all units of
// one index of a part are a chunk, which lives on one [Node] under a [ChunkID].
// A part with K = 1 is kept as M + 1 whole copies. A [Session] is a resumable
// upload; completing it turns its parts into a file.
//
// # Contracts
//
//	Metadata     all state of the cluster but the chunks; SQL in production
//	Leases       work that must run once in a cluster holds a lease
//	Credentials  the access keys, with encrypted secrets
//	Jobs         background work that an operator starts: its state, progress and end
//	Loops        background work that never ends: what it does now, and how it is woken
//	Events       what happened in the cluster, for operators
//
// Package metatest is their conformance suite: all implementations pass it, the
// in-memory one in package mem included. The contract of a place that keeps chunks is package chunk.
//
// # Invariants
//
//   - At most one file of a (bucket, key) is latest, and only a complete one.
//   - One step makes a file complete, stores its parts, deletes the file that it
//     replaces, and queues the repairs that it needs.
//   - A chunk is acknowledged only when it is durable and its sum was compared.
//   - A chunk's bytes are removed only after no metadata refers to the chunk.
//   - A PartID is never used twice, so neither is a ChunkID: a reclaim that
//     runs late cannot delete live data.
package store
