package postgres

import (
	"context"

	"github.com/ringstore/ringstore/daemon/internal/meta/listing"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/db"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/scan"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// ListObjects implements store.Files.
func (s *Store) ListObjects(ctx context.Context, q store.ObjectQuery) (page store.ObjectPage, err error) {
	if err := q.Validate(); err != nil {
		return page, err
	}
	sql, args := s.listObjects(q)
	err = s.clients.List(ctx, "ListObjects", func(c *db.Conn) error {
		rows, err := c.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		var found bool
		page.Entries, found, err = scan.Entries(rows, q.Bucket, q.Limit+1)
		if err == nil && !found {
			return store.ErrNoBucket(q.Bucket)
		}
		return err
	})
	if err != nil {
		return store.ObjectPage{}, err
	}
	if len(page.Entries) > q.Limit {
		page.Entries, page.More = page.Entries[:q.Limit], true
		page.Next = page.Entries[q.Limit-1].Name
	}
	return page, nil
}

// listObjects returns the statement that answers q with one entry more than its limit.
func (s *Store) listObjects(q store.ObjectQuery) (sql string, args []any) {
	from, to := listing.Range(q)
	args = []any{string(q.Bucket), from, to, int32(q.Limit) + 1}
	past := listing.Successor([]byte(q.Delimiter))
	if past == nil {
		return s.q.ListObjects, args // no delimiter, or one that no key can have
	}
	return s.q.ListObjectsByDelimiter, append(args, []byte(q.Delimiter), past, int32(len(q.Prefix)))
}
