package store

import (
	"context"
	"time"
)

// Revision numbers the changes of objects from 1, in the order in which they were committed, without gaps.
// It is not assigned by the commit: a change gets its number when a reader first asks for it.
type Revision uint64

// ChangeKind says what happened to an object. Values are stored: add at the end.
type ChangeKind uint8

// The kinds of changes.
const (
	FilePut       ChangeKind = iota + 1 // File became complete, and latest
	FileRenamed                         // File came from another key, and became latest
	FileReplaced                        // File was latest and was deleted: the next change of the key puts another in its place
	FileGone                            // File was deleted, or given another key
	BucketChanged                       // the bucket was created, changed or deleted; it names no key and no file
)

// ObjectChange is the record of one change of one object, stored in the transaction that made it. A rename is two:
// FileGone under the old key, then FileRenamed under the new one.
type ObjectChange struct {
	Revision Revision
	Kind     ChangeKind
	Bucket   BucketName
	Key      Key
	File     FileID    // that the change is about
	Previous FileID    // latest file of the key before the change; zero: none
	Latest   FileID    // latest file of the key after the change; zero: none
	Bytes    int64     // by which the change altered the size of all complete files of the bucket
	Files    int64     // by which it altered their number
	Caller   string    // access key of the client; "" for an anonymous or internal change
	At       time.Time // microseconds, UTC, store's clock: when the change was made; it orders nothing
}

// ChangePage is one page of changes, by Revision.
type ChangePage struct {
	Changes []ObjectChange
	Head    Revision // of the newest change that has a number; a reader that has read up to it has read all that was committed before the call
}

// Changes is the record of what happened to objects, for followers: replication, notifications, the metadata log.
//
// A follower that wants the objects and then their changes takes the Head, lists the objects, and follows from that Head: it
// misses nothing, and what it sees twice it recognizes, because a change names the file.
type Changes interface {
	// ChangesAfter returns up to limit changes (1..MaxListLimit) that follow the revision, the oldest first. Every change
	// that was committed before the call is in this page or in the ones after it; a change that commits later has
	// a higher revision than all that were returned. Nothing is returned twice, and nothing is passed over, however the
	// transactions of changes overlap. NotFound when changes after the revision were trimmed: the follower has to list again.
	ChangesAfter(ctx context.Context, after Revision, limit int) (ChangePage, error)

	// TrimChanges removes up to limit changes (1..MaxListLimit) up to and including the revision, the oldest first. 0: there are none.
	TrimChanges(ctx context.Context, upTo Revision, limit int) (trimmed int, err error)
}
