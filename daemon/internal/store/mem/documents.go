package mem

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"github.com/ringstore/ringstore/daemon/internal/attr"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/eventof"
)

// SetDocument implements store.Documents.
func (m *Metadata) SetDocument(ctx context.Context, c store.DocumentChange) (stored attr.Document, err error) {
	if err := c.Validate(); err != nil {
		return stored, err
	}
	err = m.do(ctx, func(d *data) error {
		if _, err := d.bucket(c.Bucket); err != nil {
			return err
		}
		all := d.documents[c.Bucket]
		at, found := slices.BinarySearchFunc(all, c.Kind, func(x attr.Document, k attr.DocumentKind) int { return strings.Compare(string(x.Kind), string(k)) })
		var revision uint64
		if found {
			revision = all[at].Revision
		}
		if c.If != nil && *c.If != revision || c.If == nil && c.Body == nil && !found {
			return c.Refused()
		}
		d.appendChange(store.ObjectChange{Kind: store.BucketChanged, Bucket: c.Bucket, Caller: c.Caller})
		d.tell(eventof.Document(c))
		if found {
			all = slices.Delete(slices.Clone(all), at, at+1)
		}
		if c.Body != nil {
			stored = attr.Document{Kind: c.Kind, Revision: attr.NextRevision(revision, d.now()), Body: bytes.Clone(c.Body)}
			all = slices.Insert(slices.Clone(all), at, stored)
			stored.Body = bytes.Clone(c.Body)
		}
		d.documents[c.Bucket] = all
		return nil
	})
	return stored, err
}

// Documents implements store.Documents.
func (m *Metadata) Documents(ctx context.Context, bucket store.BucketName) (all []attr.Document, err error) {
	err = m.do(ctx, func(d *data) error {
		_, err := d.bucket(bucket)
		all = cloneDocuments(d.documents[bucket])
		return err
	})
	return all, err
}

func cloneDocuments(all []attr.Document) []attr.Document {
	all = slices.Clone(all)
	for i := range all {
		all[i].Body = bytes.Clone(all[i].Body)
	}
	return all
}
