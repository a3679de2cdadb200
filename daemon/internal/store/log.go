package store

import (
	"bytes"
	"context"
	"crypto/rand"

	"github.com/ringstore/ringstore/daemon/internal/attr"
)

// LogRecordKind says what a record of the metadata log states. Values are stored: add at the end.
type LogRecordKind uint8

// The kinds of log records.
const (
	FileStored    LogRecordKind = iota + 1 // File is complete, and this is all of it
	FileMoved                              // a file was renamed: ID, Bucket, Key, Latest and ChangedBy are these now
	FileShown                              // the file ID is the latest of Bucket and Key again, because a newer one was removed
	KeyHidden                              // no file is the latest of Bucket and Key
	FileRemoved                            // File.ID was deleted or replaced
	BucketStored                           // Bucket exists, with these settings and Documents
	BucketGone                             // Bucket.Name was deleted
	AttributesSet                          // File.Attributes are those of the file ID now
)

// LogRecord is one statement of the metadata log about a file or a bucket. Of two about the same one the later one counts.
type LogRecord struct {
	Kind   LogRecordKind
	File   File
	Bucket Bucket

	Documents []attr.Document // of the bucket: all of them, by kind
}

// LogID names one metadata log: the history of one metadata store. A store that was rebuilt begins another. Version 4.
type LogID UUID

// NewLogID returns a fresh random id.
func NewLogID() LogID { return LogID(newV4()) }

// String gives the canonical form.
func (id LogID) String() string { return UUID(id).String() }

// IsZero reports whether the id was never assigned.
func (id LogID) IsZero() bool { return id == LogID{} }

// logPart is what the ids of parts of the metadata log begin with: version 8 of RFC 9562, where other parts have version 4, so that
// an id tells the two apart, and a node's list of chunks, which is ordered, shows those of the log together.
var logPart = [8]byte{0xff, 'r', 's', 'm', 'l', 'o', 0x8f, 'g'}

// NewLogPartID returns a fresh id for a part of the metadata log.
func NewLogPartID() (id PartID) {
	rand.Read(id[:]) // never fails
	copy(id[:], logPart[:])
	id[8] = id[8]&0x3f | 0x80
	return id
}

// IsLog reports whether the part is one of the metadata log.
func (id PartID) IsLog() bool { return bytes.HasPrefix(id[:], logPart[:]) }

// FirstLogChunk is less than the id of any chunk of the metadata log, and not less than any chunk before them.
func FirstLogChunk() (id ChunkID) {
	copy(id.Part[:], logPart[:])
	return id
}

// LogSegmentKind is a type of segment. Values are stored: add at the end.
type LogSegmentKind uint8

// The kinds of segments of the metadata log.
const (
	TailSegment     LogSegmentKind = iota + 1 // what changed after First, up to Last
	SnapshotSegment                           // a piece of a snapshot: files and buckets as they were at some time after the revision Last
	SnapshotEnd                               // the last piece of a snapshot. It is written once the tail has reached all that the snapshot may show
)

// LogSegment is one segment of the metadata log: which changes it holds, and the part on the nodes with its bytes.
type LogSegment struct {
	Log    LogID
	Number uint64 // ascending
	Term   uint64 // of the lease under which it was written
	Kind   LogSegmentKind
	Group  uint64   // of a piece of a snapshot: the Number of the snapshot's first piece; 0 for a tail segment
	First  Revision // of a tail segment: it holds all changes after First
	Last   Revision // up to Last; of a snapshot: the changes after Last bring it up to date
	Part   Part
}

// LogChange adds segments to the metadata log and removes others, in one step.
type LogChange struct {
	Term   uint64 // of the lease of the writer
	Add    []LogSegment
	Remove []uint64 // numbers; those that do not exist are ignored
}

// FileBatch is a number of files with all their parts, and without Marks, by ID. A batch ends early where its files have many parts.
type FileBatch struct {
	Files []File
	More  bool // there may be files after the last one
}

// BatchParts is the number of parts after which a FileBatch ends with the next file.
const BatchParts = 2 * MaxParts

// MetadataLog is what the metadata log needs: reading files in bulk, the list of its segments, and rebuilding a store
// from it. The parts of its segments are found by Placements.Part and PartsAfter like others, with a File that has the
// State Complete and no bucket or key; they are repaired, and reclaimed when their segment is removed.
type MetadataLog interface {
	// LogSegments returns all segments by Number, with their parts.
	LogSegments(ctx context.Context) ([]LogSegment, error)

	// LoggedTo returns the revision up to which the nodes have everything: the last one of a log that begins with the first change, or
	// has a whole snapshot. NotFound when there is no such log.
	LoggedTo(ctx context.Context) (Revision, error)

	// ChangeLog adds and removes segments in one step. Placements of the new parts without a node are put on the
	// repair queue, the chunks of removed segments on the reclaim queue. Conflict when there is a segment of a newer term, the
	// number of a new segment is not higher than that of all others, or its part was abandoned with DropPart, the fence for a
	// ChangeLog whose answer was lost.
	ChangeLog(ctx context.Context, c LogChange) error

	// FilesByID returns the files of these ids (1..MaxListLimit), of any state, Deleted included, that exist, by ID.
	FilesByID(ctx context.Context, ids []FileID) (FileBatch, error)

	// CompleteFiles returns up to limit (1..MaxListLimit) complete files by ID, versions and delete markers included, beginning with the first
	// after the marker; the zero id means the start.
	CompleteFiles(ctx context.Context, after FileID, limit int) (FileBatch, error)

	// AdoptCluster gives a store that is being rebuilt the id of the cluster that it is rebuilt for: nodes let no gateway of another
	// cluster use them. Conflict when a node has joined it under another id.
	AdoptCluster(ctx context.Context, id ClusterID) error

	// Restore applies records in order, in one step. It is for a store that is being rebuilt and takes no other changes, and
	// changes nothing but files, parts, buckets and what is counted of them; it queues no work and records no changes.
	// A file that is locked is removed and replaced like any other.
	// FileStored stores the file as given, times included, replacing a file of that id, and creates its bucket if needed; where it is
	// latest, another file of the key is not any more; so it is with FileMoved and FileShown. What does not exist is not changed or removed, a file
	// that has another key is not shown, and a bucket with files is kept, without documents. It may be repeated.
	Restore(ctx context.Context, records []LogRecord) error
}
