package postgres

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

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
		page.Entries, found, err = collectEntries(rows, q.Limit+1)
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

// collectEntries reads rows of files and common prefixes (a key without an id), at most so many.
// found tells whether there was any row: the bucket's own has neither.
func collectEntries(rows pgx.Rows, most int) (entries []store.Entry, found bool, err error) {
	defer rows.Close()
	const key = scan.FileID + 1
	var file scan.File // each row gets bytes and strings of its own
	targets := file.Append(make([]any, 0, scan.FileColumns))
	for rows.Next() {
		if !found {
			found, entries = true, make([]store.Entry, 0, most)
		}
		raw := rows.RawValues()
		switch {
		case raw[key] == nil:
			continue
		case raw[scan.FileID] == nil:
			entries = append(entries, store.Entry{Name: string(raw[key])})
			continue
		}
		if err := rows.Scan(targets...); err != nil {
			return nil, false, err
		}
		f, err := file.Result()
		if err != nil {
			return nil, false, err
		}
		entries = append(entries, store.Entry{Name: string(f.Key), File: &f})
	}
	// They arrive in order, though the statement does not guarantee it; sorting a sorted slice is one pass.
	slices.SortFunc(entries, func(a, b store.Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries, found, rows.Err()
}
