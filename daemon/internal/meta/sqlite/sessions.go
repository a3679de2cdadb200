package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/meta/listing"
	"github.com/ringstore/ringstore/daemon/internal/meta/pack"
	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite/db"
	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite/scan"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/valid"
)

func noSession(id store.FileID) error {
	return store.Errorf(store.NotFound, "session %s does not exist, or has expired", id)
}

// CreateSession implements store.Sessions.
func (s *Store) CreateSession(ctx context.Context, x store.Session, ttl time.Duration, limits store.SessionLimits) (store.Session, error) {
	if err := x.Validate(); err != nil {
		return store.Session{}, err
	}
	if err := valid.TTL(ttl); err != nil {
		return store.Session{}, err
	}
	err := s.db.Write(ctx, "CreateSession", func(t *db.Tx) error {
		bucket, err := s.bucketOf(t, x.Bucket)
		if err != nil {
			return err
		}
		var used bool
		if err := t.Row(s.db.Q.IDInUse, x.ID[:]).Scan(&used); err != nil {
			return err
		}
		if used {
			return store.Errorf(store.Exists, "a session or a file %s exists already", x.ID)
		}
		x.CreatedAt = s.db.Now()
		if err := s.withinLimits(t, bucket, x, limits); err != nil {
			return err
		}
		x.ExpiresAt, x.Received, x.Parts = x.CreatedAt.Add(ttl).Truncate(time.Microsecond), 0, nil
		x.ChangedBy = x.Owner
		return s.insertSession(t, bucket, x)
	})
	if err != nil {
		return store.Session{}, err
	}
	x.Meta, x.Attributes = maps.Clone(x.Meta), x.Attributes.Clone()
	if x.CRC64 != nil {
		x.CRC64 = new(*x.CRC64)
	}
	return x, nil
}

// withinLimits returns Unavailable when one more session would exceed a limit.
func (s *Store) withinLimits(t *db.Tx, bucket int64, x store.Session, limits store.SessionLimits) error {
	var full bool
	if limits.PerOwner > 0 {
		if err := t.Row(s.db.Q.OwnerFull, x.Owner, limits.PerOwner, db.Micros(x.CreatedAt)).Scan(&full); err != nil {
			return err
		}
		if full {
			return limits.OwnerReached(x)
		}
	}
	if limits.PerBucket > 0 {
		if err := t.Row(s.db.Q.BucketFull, bucket, limits.PerBucket, db.Micros(x.CreatedAt)).Scan(&full); err != nil {
			return err
		}
		if full {
			return limits.BucketReached(x)
		}
	}
	return nil
}

func (s *Store) insertSession(t *db.Tx, bucket int64, x store.Session) error {
	meta, err := db.Document(x.Meta)
	if err != nil {
		return err
	}
	var crc any
	if x.CRC64 != nil {
		crc = int64(*x.CRC64)
	}
	_, err = t.Exec(s.db.Q.InsertSession, x.ID[:], bucket, []byte(x.Key), x.Size, x.ContentType, meta, pack.Attributes(x.Attributes), crc, x.Owner, x.ChangedBy, db.Micros(x.CreatedAt), db.Micros(x.ExpiresAt))
	return err
}

// Session implements store.Sessions.
func (s *Store) Session(ctx context.Context, id store.FileID) (x store.Session, err error) {
	err = s.db.Read(ctx, "Session", func(r *db.Reader) error {
		rows, err := r.Query(s.db.Q.Session, id[:], db.Micros(s.db.Now()))
		if err != nil {
			return err
		}
		found, err := scan.Sessions(rows)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return noSession(id)
		}
		x = found[0]
		if rows, err = r.Query(s.db.Q.SessionParts, id[:]); err != nil {
			return err
		}
		x.Parts, err = scan.SessionParts(rows)
		return err
	})
	if err != nil {
		return store.Session{}, err
	}
	return x, nil
}

// SetSessionSize implements store.Sessions.
func (s *Store) SetSessionSize(ctx context.Context, c store.SessionChange, size int64) error {
	if err := valid.Size(size); err != nil {
		return err
	}
	return s.db.Write(ctx, "SetSessionSize", func(t *db.Tx) error {
		x := store.Session{ID: c.Session}
		err := t.Row(s.db.Q.SessionSize, x.ID[:], db.Micros(s.db.Now())).Scan(&x.Size)
		if errors.Is(err, sql.ErrNoRows) {
			return noSession(x.ID)
		}
		if err != nil || x.Size == size {
			return err
		}
		if x, err = x.Resize(size); err != nil {
			return err
		}
		_, err = t.Exec(s.db.Q.SetSessionSize, x.Size, c.Caller, x.ID[:])
		return err
	})
}

// alive returns NotFound for a session that does not exist, or has expired.
func (s *Store) alive(t *db.Tx, id store.FileID) error {
	var alive bool
	err := t.Row(s.db.Q.SessionAlive, id[:], db.Micros(s.db.Now())).Scan(&alive)
	if err == nil && !alive {
		return noSession(id)
	}
	return err
}

// ListSessions implements store.Sessions.
func (s *Store) ListSessions(ctx context.Context, q store.SessionQuery) (page store.SessionPage, err error) {
	if err := q.Validate(); err != nil {
		return page, err
	}
	err = s.db.List(ctx, "ListSessions", func(r *db.Reader) error {
		var bucket any // nil: any
		if q.Bucket != "" {
			id, _, err := s.FindBucket(r, q.Bucket)
			if err != nil {
				return err
			}
			bucket = id
		}
		from, to := listing.PrefixRange(q.Prefix)
		rows, err := r.Query(s.listSessions(q), db.Micros(s.db.Now()), bucket, q.After[:], from, to, q.Limit+1)
		if err != nil {
			return err
		}
		page, err = scan.SessionPage(rows, q.Limit)
		return err
	})
	return page, err
}

// ListSessionsByKey implements store.Sessions.
func (s *Store) ListSessionsByKey(ctx context.Context, q store.SessionKeyQuery) (page store.SessionPage, err error) {
	if err := q.Validate(); err != nil {
		return page, err
	}
	err = s.db.List(ctx, "ListSessionsByKey", func(r *db.Reader) error {
		bucket, _, err := s.FindBucket(r, q.Bucket)
		if err != nil {
			return err
		}
		key, id, to := listing.SessionKeyRange(q)
		rows, err := r.Query(s.db.Q.ListSessionsByKey, db.Micros(s.db.Now()), bucket, key, id[:], to, q.Limit+1)
		if err != nil {
			return err
		}
		page, err = scan.SessionPage(rows, q.Limit)
		return err
	})
	return page, err
}

// listSessions returns the statement that answers q.
func (s *Store) listSessions(q store.SessionQuery) string {
	switch {
	case q.Expired:
		return s.db.Q.ListExpiredSessions
	case q.Bucket != "":
		return s.db.Q.ListSessionsOfBucket
	}
	return s.db.Q.ListSessions
}

// AbortSession implements store.Sessions. The parts keep their rows, as those of a Deleted file of the session's id.
func (s *Store) AbortSession(ctx context.Context, c store.SessionChange) error {
	return s.db.Write(ctx, "AbortSession", func(t *db.Tx) error {
		removed, err := t.Exec(s.db.Q.RemoveSession, c.Session[:])
		if err != nil {
			return err
		}
		if removed == 0 {
			return noSession(c.Session)
		}
		return s.insertMarker(t, store.File{ID: c.Session, ChangedBy: c.Caller}, 0, store.Deleted, "its session was ended", time.Time{})
	})
}
