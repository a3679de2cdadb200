package store

import (
	"context"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/attr"
)

// AttributeChange replaces what a file carries for S3 clients.
type AttributeChange struct {
	File   FileID
	From   attr.Set // what it has
	To     attr.Set // what it will have
	Caller string   // access key of the client, or ""
}

// Attributes changes what files carry for S3 clients: their tags, and the lock that keeps them.
//
// A file whose Attributes.Lock has not ended cannot be deleted, replaced (but kept as a version behind the latest) or given another key.
// A governance lock is ended early by SetAttributes, for callers whom the surface lets.
type Attributes interface {
	// SetAttributes replaces the attributes of a complete file, in one step with the record of a change, FileChanged. NotFound; Conflict when the file
	// has other attributes than From; Denied when it has a compliance lock that would end earlier; Invalid.
	SetAttributes(ctx context.Context, c AttributeChange) error
}

// Validate reports the first attribute that is not valid, as Invalid.
func (c AttributeChange) Validate() error { return ValidAttributes(c.To) }

// ErrBound is the error of a change that would end a compliance lock early.
func (c AttributeChange) ErrBound() *Error {
	return Errorf(Denied, "the compliance lock of file %s cannot become shorter before %s", c.File, c.From.Lock.Until.Format(time.RFC3339))
}

// ErrOther is the error of a change of attributes that the file does not have.
func (c AttributeChange) ErrOther() *Error {
	return Errorf(Conflict, "the attributes of file %s have changed meanwhile", c.File).WithHint("Read the file again.")
}

// ErrLocked is the error of a change that would delete, replace or rename a locked file.
func ErrLocked() *Error {
	return Errorf(Denied, "the file is locked: its retention has not ended, or it is under a legal hold").
		WithHint("See when its lock ends; who may bypass a governance retention removes the lock first.")
}
