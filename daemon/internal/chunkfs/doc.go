// Package chunkfs keeps chunks on a disk. It is the store.Chunks of a storage node.
//
// # What lies in the data directory
//
//	identity          whose directory this is (JSON)
//	lock              held by the process that uses it
//	chunks/ab/<id>    a large chunk, a file of its own; "ab" are the id's first two characters
//	segments/<n>.seg  small chunks and deletions, appended as records; from 80000001 on spare segments
//	tmp/              chunks that are being written; emptied at start
//
// The forms are described byte by byte in docs/format; package form writes and
// reads them. The data directory alone
// is the truth: the index of the packed chunks lives in memory and is read from
// the segments at start.
//
// # How a write becomes durable
//
// A large chunk is written to tmp/, synced (fdatasync), renamed, and the
// directory synced. A small chunk is a record in the active segment. Whoever
// finds no write under way becomes the leader and writes all records that wait
// with one pwritev and one fdatasync; see log.go. Both are in the golden file
// testdata/durable-sequence.txt as the calls they make.
//
// # Deleting and rewriting
//
// A large chunk's file is removed. A packed chunk gets a tombstone, a record
// that names the place (segment and offset) of the record that is dead. One
// rule holds it all together:
//
//	A record is live unless a tombstone for its place exists in any segment.
//
// A chunk may lie at two places for a while, when compaction was interrupted
// between copying a record and removing the segment; the copies are equal, one
// is in the index, the others are its shadows, and Delete buries all of them. A
// tombstone is needed as long as the segment that it points into is there. It
// names that segment's salt too, so that a later segment of the same number is
// not meant.
//
// # Full disks, damage
//
// A spare segment, written ahead, takes tombstones when the disk is full (log.go,
// spare.go). Compaction removes a segment only where the index agrees that nothing
// lies in it any more (compact.go). What cannot be read at start is reported and
// left out, and keeps nothing else from being served (recover.go). What the disk
// can do at present is in health.go.
//
// # Locks, in the order in which they are taken
//
//	writer.mu       one writer's state
//	Store.probing   the one probe of the disk that runs
//	Store.life      read: a call is under way; write: Close
//	compacting      the one compaction that runs
//	idLocks         one chunk id: commit, delete, move
//	log.mu          the queue of records; not held during I/O
//	shard.mu        the index entries of one first byte
//	segments.mu     the table of segments and what is live in each
//	space.mu        bytes promised and used
//
// The leader of the log works under no lock but the id locks of those that wait
// for it.
package chunkfs
