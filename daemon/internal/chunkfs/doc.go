// Package chunkfs stores chunks on a disk. It is the chunk.Store of a storage node.
//
// # The data directory
//
//	identity          the node and the cluster that own the directory (JSON)
//	lock              locked by the process that uses the directory
//	chunks/ab/<id>    a large chunk, a file of its own; "ab" are the id's first two characters
//	segments/<n>.seg  small chunks and deletions, appended as records; from 80000001 on spare segments
//	tmp/              chunks that are being written; emptied at start
//
// The formats are specified byte by byte in docs/format; package format encodes and
// decodes them. Nothing outside the data directory is needed: the index of the packed
// chunks is in memory only and is rebuilt from the segments at start.
//
// # How a write becomes durable
//
// A large chunk is written to tmp/, synced (fdatasync), renamed, and the directory
// synced. A small chunk is a record in the active segment. The first caller that finds
// no write in progress becomes the leader and writes all waiting records with one
// pwritev and one fdatasync; see segment/log.go. The golden file testdata/durable-sequence.txt
// lists the file-system calls of both, in order.
//
// # Deleting and rewriting
//
// A large chunk's file is removed. A packed chunk gets a tombstone, a record that names
// the place (segment and offset) of the deleted record. One rule decides what exists:
//
//	A record is live unless a tombstone for its place exists in any segment.
//
// A chunk may be stored at two places for a while, when compaction was interrupted
// between copying a record and removing the segment. The copies are equal; one is in the
// index, the others are its duplicates, and Delete writes a tombstone for each of them. A
// tombstone is needed as long as the segment that it points into exists. It carries that
// segment's salt, too, so that it does not apply to a later segment with the same number.
//
// # Full disks, damage
//
// A preallocated spare segment takes tombstones when the disk is full (segment/spare.go).
// Compaction removes a segment only when no entry of the index refers to it (compact.go).
// Parts that cannot be read at start are reported and left out; everything else is
// served (recover.go, segment/recover.go). Package disk tracks which operations the disk supports at present.
//
// # Locks, in the order in which they are taken
//
//	writer.mu       one writer's state
//	Store.probing   the running probe of the disk, one at a time
//	Store.life      read: a call is in progress; write: Close
//	compacting      the running compaction, one at a time
//	idLocks         one chunk id: commit, delete, move
//	segment.Log.mu  the queue of records; not held during I/O
//	shard.mu        the index entries of one first byte
//	segment.Table.mu the table of segments and what is live in each
//	segment.files.mu which files of segments are open, and in use; not held during I/O
//	space.Account   bytes reserved and used
//
// The leader of the log holds no lock; the requests that it writes hold their id locks.
package chunkfs
