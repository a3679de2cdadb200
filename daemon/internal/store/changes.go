package store

import (
	"context"
	"time"
)

// Revision numbers the changes of objects from 1, without gaps, in an order in which the changes of each key, and those of
// each bucket itself, stand as they were committed. It is not assigned by the commit: a change that was
// committed gets its number when a reader next asks for changes.
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
	FileChanged                         // the attributes of File were replaced
)

var changeKindNames = [...]string{"", "put", "renamed", "replaced", "gone", "bucket", "changed"}

// String gives a name for logs.
func (k ChangeKind) String() string {
	if int(k) < len(changeKindNames) {
		return changeKindNames[k]
	}
	return ""
}

// ObjectChange is the record of one change of one file, stored in the transaction that made it. A commit that replaces
// a file is two changes: FileReplaced, then FilePut; where it keeps the earlier file as a version, FilePut alone. A rename
// is FileGone under the old key and, as for a commit, FileRenamed under the new one.
// Uploads, sessions and parts are not objects: beginning, failing or aborting them leaves no record, nor does a sweep.
type ObjectChange struct {
	Revision Revision
	Kind     ChangeKind
	Bucket   BucketName
	Key      Key
	File     FileID    // that the change is about
	Seq      uint64    // of File where it became latest (FilePut, FileRenamed), else 0
	Latest   FileID    // that the change made latest under the key: File, or of FileGone the version behind it; zero: it made no file latest
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
	// transactions of changes overlap. NotFound when changes after the revision were trimmed, or the revision is
	// after the Head (of an older copy of the data): the follower has to list again.
	ChangesAfter(ctx context.Context, after Revision, limit int) (ChangePage, error)

	// ChangeHead returns the revision of the newest change: all that were committed before the call have it or a lower one.
	// 0: there was no change.
	ChangeHead(ctx context.Context) (Revision, error)

	// TrimChanges removes up to limit changes (1..MaxListLimit) beyond the retention, the oldest first. 0: all were removed.
	// Followers that have not read them will be refused with NotFound.
	TrimChanges(ctx context.Context, keep Retention, limit int) (trimmed int, err error)
}

// Usage is what the complete files of a bucket take: those that are latest and the versions behind them. A delete marker is
// a file of 0 bytes. It does not include parity, copies, uploads and what was deleted and is not reclaimed yet.
type Usage struct {
	Bytes int64
	Files int64
}

// Checked returns the page, for stores that found its changes after the revision.
// NotFound as ChangesAfter says.
func (p ChangePage) Checked(after Revision) (ChangePage, error) {
	switch {
	case after > p.Head:
		return ChangePage{}, Errorf(NotFound, "revision %d is after the newest change, %d", after, p.Head).WithHint("List the objects again.")
	case len(p.Changes) == 0 && after < p.Head, len(p.Changes) > 0 && p.Changes[0].Revision != after+1:
		return ChangePage{}, Errorf(NotFound, "changes after revision %d were removed", after).WithHint("List the objects again.")
	}
	return p, nil
}

// ValidChanges reports an argument of ChangesAfter out of bounds, as Invalid.
func ValidChanges(limit int) error { return validLimit(limit) }
