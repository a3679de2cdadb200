package postgres

import (
	"context"
	"encoding/json"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ringstore/ringstore/daemon/internal/meta/listing"
	"github.com/ringstore/ringstore/daemon/internal/meta/pack"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/db"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/valid"
)

// CreateSession implements store.Sessions.
func (s *Store) CreateSession(ctx context.Context, x store.Session, ttl time.Duration, limits store.SessionLimits) (store.Session, error) {
	if err := x.Validate(); err != nil {
		return store.Session{}, err
	}
	if err := valid.TTL(ttl); err != nil {
		return store.Session{}, err
	}
	meta, err := metaColumn(x.Meta)
	if err != nil {
		return store.Session{}, err
	}
	x.Meta, x.Attributes, x.Received, x.Parts = maps.Clone(x.Meta), x.Attributes.Clone(), 0, nil
	x.ChangedBy = x.Owner
	var crc *int64
	if x.CRC64 != nil {
		x.CRC64 = new(*x.CRC64)
		crc = new(int64(*x.CRC64))
	}
	err = s.clients.Write(ctx, "CreateSession", func(c *db.Conn) error {
		var created, expires *time.Time
		var ofOwner, ofBucket bool
		err := c.QueryRow(ctx, s.q.CreateSession, [16]byte(x.ID), string(x.Bucket), []byte(x.Key), x.Size, x.ContentType, meta, crc, x.Owner, ttl, limits.PerOwner, limits.PerBucket, pack.Attributes(x.Attributes)).
			Scan(&created, &expires, &ofOwner, &ofBucket)
		switch {
		case db.IsNoRows(err):
			return store.ErrNoBucket(x.Bucket)
		case err != nil:
			return err
		case ofOwner:
			return limits.OwnerReached(x)
		case ofBucket:
			return limits.BucketReached(x)
		case created == nil:
			return store.Errorf(store.Exists, "a file %s is there already", x.ID)
		}
		x.CreatedAt, x.ExpiresAt = created.UTC(), expires.UTC()
		return nil
	})
	if err != nil {
		return store.Session{}, err
	}
	return x, nil
}

// metaColumn is JSON, nil when empty.
func metaColumn(meta map[string]string) ([]byte, error) {
	if len(meta) == 0 {
		return nil, nil
	}
	text, err := json.Marshal(meta)
	if err != nil {
		return nil, store.Errorf(store.Invalid, "metadata of the file: %w", err)
	}
	return text, nil
}

// Session implements store.Sessions.
func (s *Store) Session(ctx context.Context, id store.FileID) (x store.Session, err error) {
	err = s.clients.Read(ctx, "Session", func(c *db.Conn) error {
		rows, err := c.Query(ctx, s.q.Session, [16]byte(id))
		if err != nil {
			return err
		}
		x, err = collectSession(rows)
		if db.IsNoRows(err) {
			return noSession(id)
		}
		return err
	})
	return x, err
}

// SetSessionSize implements store.Sessions. It waits for concurrent saves of the session's parts, and locks nothing but
// the session and then its expiry, in the order of these.
func (s *Store) SetSessionSize(ctx context.Context, change store.SessionChange, size int64) error {
	if err := valid.Size(size); err != nil {
		return err
	}
	return s.clients.Write(ctx, "SetSessionSize", func(c *db.Conn) error {
		x := store.Session{ID: change.Session}
		b := &pgx.Batch{}
		b.Queue(s.q.SetSessionSize, [16]byte(x.ID), size, change.Caller)
		b.Queue(s.q.SessionSize, [16]byte(x.ID)).QueryRow(func(row pgx.Row) error { return row.Scan(&x.Size) })
		err := db.Pipeline(ctx, c, b)
		if db.IsNoRows(err) {
			return noSession(x.ID)
		}
		if err == nil {
			_, err = x.Resize(size)
		}
		return err
	})
}

// ListSessions implements store.Sessions.
func (s *Store) ListSessions(ctx context.Context, q store.SessionQuery) (page store.SessionPage, err error) {
	if err := q.Validate(); err != nil {
		return page, err
	}
	sql, args := s.listSessions(q)
	return s.sessionPage(ctx, "ListSessions", q.Bucket, q.Limit, sql, args)
}

// ListSessionsByKey implements store.Sessions.
func (s *Store) ListSessionsByKey(ctx context.Context, q store.SessionKeyQuery) (page store.SessionPage, err error) {
	if err := q.Validate(); err != nil {
		return page, err
	}
	key, id, to := listing.SessionKeyRange(q)
	args := []any{key, [16]byte(id), to, int64(q.Limit) + 1, string(q.Bucket)}
	return s.sessionPage(ctx, "ListSessionsByKey", q.Bucket, q.Limit, s.q.ListSessionsByKey, args)
}

// sessionPage returns the page of a statement that finds one session more than the limit. NotFound (bucket, unless it is "").
func (s *Store) sessionPage(ctx context.Context, op string, bucket store.BucketName, limit int, sql string, args []any) (page store.SessionPage, err error) {
	err = s.clients.List(ctx, op, func(c *db.Conn) error {
		page = store.SessionPage{}
		known := bucket == ""
		b := &pgx.Batch{}
		b.Queue(s.q.Bucket, string(bucket)).Query(func(rows pgx.Rows) error {
			known = known || rows.Next()
			rows.Close()
			return rows.Err()
		})
		b.Queue(sql, args...).Query(func(rows pgx.Rows) (err error) {
			page.Sessions, err = pgx.CollectRows(rows, scanSession)
			return err
		})
		if err := db.Pipeline(ctx, c, b); err != nil {
			return err
		}
		if !known {
			return store.ErrNoBucket(bucket)
		}
		return nil
	})
	if err != nil {
		return store.SessionPage{}, err
	}
	if len(page.Sessions) > limit {
		page.Sessions, page.More = page.Sessions[:limit], true
	}
	return page, nil
}

// listSessions returns the statement that answers q with one session more than its limit.
func (s *Store) listSessions(q store.SessionQuery) (sql string, args []any) {
	from, to := listing.PrefixRange(q.Prefix)
	args = []any{[16]byte(q.After), from, to, int64(q.Limit) + 1}
	switch {
	case q.Expired && q.Bucket == "":
		return s.q.ListExpiredSessions, append(args, nil)
	case q.Expired:
		return s.q.ListExpiredSessions, append(args, string(q.Bucket))
	case q.Bucket != "":
		return s.q.ListSessionsOfBucket, append(args, string(q.Bucket))
	}
	return s.q.ListSessions, args
}

// AbortSession implements store.Sessions.
func (s *Store) AbortSession(ctx context.Context, change store.SessionChange) error {
	return s.clients.Write(ctx, "AbortSession", func(c *db.Conn) error {
		id := [16]byte(change.Session)
		var ended bool
		b := &pgx.Batch{}
		b.Queue(s.q.LockSessions, [][16]byte{id})
		b.Queue(s.q.EndSession, id, change.Caller).Exec(func(tag commandTag) error {
			ended = tag.RowsAffected() > 0
			return nil
		})
		if err := db.Pipeline(ctx, c, b); err != nil {
			return err
		}
		if !ended {
			return noSession(change.Session)
		}
		return nil
	})
}

func noSession(id store.FileID) error {
	return store.Errorf(store.NotFound, "there is no session %s, or it has expired", id)
}
