package postgres

import (
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ringstore/ringstore/daemon/internal/meta/pack"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/scan"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// The queries list a session as sessionColumns columns (bucket name, id, key, size,
// content_type, meta, attributes, want_crc64, owner, created_at, expires_at), and then either the number of received
// bytes, or one of its parts with the time when it was stored.
const sessionColumns = 11

// sessionScan is the target of the columns of one session.
type sessionScan struct {
	bucket  string
	session store.Session
	key     []byte
	meta    []byte
	packed  []byte // attributes
	crc64   *int64
}

// append adds the targets of the columns to dst.
func (s *sessionScan) append(dst []any) []any {
	x := &s.session
	return append(dst, &s.bucket, (*[16]byte)(&x.ID), &s.key, &x.Size, &x.ContentType, &s.meta, &s.packed, &s.crc64, &x.Owner, &x.CreatedAt, &x.ExpiresAt)
}

// result is the session that was scanned.
func (s *sessionScan) result() (store.Session, error) {
	x := s.session
	x.Bucket, x.Key = store.BucketName(s.bucket), store.Key(s.key)
	x.CreatedAt, x.ExpiresAt = x.CreatedAt.UTC(), x.ExpiresAt.UTC()
	if s.crc64 != nil {
		x.CRC64 = new(uint64(*s.crc64))
	}
	if s.meta != nil {
		if err := json.Unmarshal(s.meta, &x.Meta); err != nil {
			return x, store.Errorf(store.Internal, "metadata of session %s is malformed: %w", x.ID, err)
		}
	}
	var err error
	x.Attributes, err = pack.ReadAttributes(s.packed)
	return x, err
}

// scanSession reads a row of a list.
func scanSession(row pgx.CollectableRow) (store.Session, error) {
	var s sessionScan
	if err := row.Scan(append(s.append(make([]any, 0, sessionColumns+1)), &s.session.Received)...); err != nil {
		return store.Session{}, err
	}
	return s.result()
}

// collectSession reads rows of one session, each with one of its parts, or a single one without.
func collectSession(rows pgx.Rows) (x store.Session, err error) {
	defer rows.Close()
	var session sessionScan
	var part scan.Part
	var storedAt time.Time
	const all = sessionColumns + scan.PartColumns + 1
	targets := append(part.Append(session.append(make([]any, 0, all))), &storedAt)
	withoutPart := append(session.append(make([]any, 0, all)), make([]any, scan.PartColumns+1)...)
	var parts []store.SessionPart
	for n := 0; rows.Next(); n++ {
		if rows.RawValues()[sessionColumns] == nil {
			if err := rows.Scan(withoutPart...); err != nil {
				return x, err
			}
			continue
		}
		if err := rows.Scan(targets...); err != nil {
			return x, err
		}
		if n == 0 {
			clear(targets[:sessionColumns]) // the other rows repeat the session
		}
		p, err := part.Result()
		if err != nil {
			return x, err
		}
		parts = append(parts, store.SessionPart{Part: p, StoredAt: storedAt.UTC()})
		session.session.Received += p.Size
	}
	if err := rows.Err(); err != nil {
		return x, err
	}
	if session.session.ID.IsZero() {
		return x, pgx.ErrNoRows
	}
	x, err = session.result()
	x.Parts = parts
	return x, err
}
