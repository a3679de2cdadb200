package store

import (
	"context"

	"github.com/ringstore/ringstore/daemon/internal/attr"
)

// DocumentChange sets or removes one configuration of a bucket.
type DocumentChange struct {
	Bucket BucketName
	Kind   attr.DocumentKind
	Body   []byte  // nil: the document is removed
	If     *uint64 // the revision that the document has, 0 where there must be none; nil: any
	Caller string  // access key of the client, or ""
}

// Documents keeps the configurations of buckets. They end with their bucket.
type Documents interface {
	// SetDocument stores or removes a document, with an event and a change of the bucket. Returns it as stored, or of a removal
	// the zero Document. Invalid, NotFound (bucket; or what is to be removed, without If), PreconditionFailed (If).
	SetDocument(ctx context.Context, c DocumentChange) (attr.Document, error)
	// Documents returns those of the bucket, in the order of their kinds. NotFound (bucket).
	Documents(ctx context.Context, bucket BucketName) ([]attr.Document, error)
}

// Validate reports an unknown kind, or a body out of bounds, as Invalid.
func (c DocumentChange) Validate() error {
	err := c.Kind.Validate()
	if c.Body != nil {
		err = attr.Document{Kind: c.Kind, Body: c.Body}.Validate()
	}
	if err != nil {
		return Errorf(Invalid, "%w", err)
	}
	return nil
}

// Refused is the error of a change that finds another revision than it names, or nothing to remove.
func (c DocumentChange) Refused() *Error {
	if c.If == nil {
		return Errorf(NotFound, "bucket %q has no %s configuration", c.Bucket, c.Kind)
	}
	return Errorf(PreconditionFailed, "the %s configuration of bucket %q is not the one that was to be changed", c.Kind, c.Bucket)
}
