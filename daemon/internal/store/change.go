package store

import "slices"

// Change is what every change of an object says: under which condition it may happen, what becomes of the
// file that it replaces, and who asked for it.
type Change struct {
	If     Condition // of the key that the change writes, decided in the same step as the change
	Before Before    // what becomes of the file that was latest under that key; a deletion does not use it
	Caller string    // access key of the client, stored as File.ChangedBy; "" for an anonymous or internal change
}

// Before says what becomes of the file that was latest under a key when another takes its place.
type Before uint8

// What becomes of the file that was latest.
const (
	ReplaceBefore Before = iota // it becomes Deleted
	KeepBefore                  // it stays Complete, as a version behind the latest: found by its id and listed by time
)

// Condition restricts a change to states of the key that it writes: every field that is set must hold for the object, that is
// for the latest file of the key, of which a delete marker counts as none. The zero Condition always
// holds. A change whose condition does not hold is PreconditionFailed and changes nothing; of several changes at once that
// only one state allows, one happens.
type Condition struct {
	Exists  bool     // there is an object
	Absent  bool     // there is no object
	File    FileID   // the object is this file
	ETags   []string // the object has one of these entity tags
	NoETags []string // there is no object, or it has none of these entity tags
}

// IsZero reports whether the condition always holds.
func (c Condition) IsZero() bool {
	return !c.Exists && !c.Absent && c.File.IsZero() && c.ETags == nil && c.NoETags == nil
}

// Check returns PreconditionFailed unless the condition holds for the latest file of the key; nil stands for no file.
func (c Condition) Check(latest *File) error {
	exists := latest != nil && !latest.DeleteMarker
	switch {
	case c.Exists && !exists, c.Absent && exists,
		!c.File.IsZero() && (!exists || latest.ID != c.File),
		c.ETags != nil && (!exists || !slices.Contains(c.ETags, latest.ETag)),
		c.NoETags != nil && exists && slices.Contains(c.NoETags, latest.ETag):
		return ErrCondition()
	}
	return nil
}

// ErrCondition is the error of a change whose condition does not hold.
func ErrCondition() *Error {
	return Errorf(PreconditionFailed, "the object is not in the state that the request requires; nothing was changed").
		WithHint("Read the object again, and decide whether the change is still wanted.")
}

// Commit makes a file visible. Of File, the store sets State, Latest, CompletedAt, Seq and ChangedBy.
type Commit struct {
	Change
	File  File
	Begun bool // BeginFile recorded the file
}

// Completion makes a file of the parts of sessions visible. Of File, the store sets State, Latest, CompletedAt, Seq and ChangedBy.
type Completion struct {
	Change
	File     File
	Sessions []FileID
	Attempt  AttemptID
}

// Rename gives a file another key. The condition is on that key.
type Rename struct {
	Change
	File    FileID
	Bucket  BucketName
	Key     Key
	Attempt AttemptID
}

// Deletion deletes the file File, or without one the object Bucket, Key. The condition is on the key of the file.
type Deletion struct {
	Change
	File    FileID
	Bucket  BucketName
	Key     Key
	Attempt AttemptID
}
