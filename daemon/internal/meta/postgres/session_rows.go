package postgres

import (
	"github.com/jackc/pgx/v5"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/scan"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// The queries list a session as sessionColumns columns (bucket name, id, key, size,
// content_type, meta, attributes, want_crc64, owner, changed_by, created_at, expires_at), and then either the number of received
// bytes, or one of its parts with the time when it was stored.
const sessionColumns = 12

// readSession reads the columns of a session.
func readSession(r *scan.Row) store.Session {
	return store.Session{
		Bucket:      store.BucketName(r.Text()),
		ID:          r.UUID(),
		Key:         store.Key(r.Text()),
		Size:        r.Int(),
		ContentType: r.Text(),
		Meta:        r.Strings(),
		Attributes:  r.Attributes(),
		CRC64:       readChecksum(r),
		Owner:       r.Text(),
		ChangedBy:   r.Text(),
		CreatedAt:   r.Time(),
		ExpiresAt:   r.Time(),
	}
}

// readChecksum reads the CRC-64 that a session's client announced; nil where it announced none.
func readChecksum(r *scan.Row) *uint64 {
	if r.Null() {
		r.Skip(1)
		return nil
	}
	return new(uint64(r.Int()))
}

// scanSession reads a row of a list.
func scanSession(row pgx.CollectableRow) (store.Session, error) {
	r := scan.Of(row)
	x := readSession(&r)
	x.Received = r.Int()
	return x, r.End()
}

// collectSession reads rows of one session, each with one of its parts, or a single one without. pgx.ErrNoRows without rows.
func collectSession(rows pgx.Rows) (x store.Session, err error) {
	found := false
	err = scan.Each(rows, func(r *scan.Row) {
		if found {
			r.Skip(sessionColumns) // the other rows repeat the session
		} else {
			x, found = readSession(r), true
		}
		if r.Null() {
			r.Skip(scan.PartColumns + 1)
			return
		}
		part := store.SessionPart{Part: r.Part(), StoredAt: r.Time()}
		x.Parts = append(x.Parts, part)
		x.Received += part.Size
	})
	if err == nil && !found {
		err = pgx.ErrNoRows
	}
	return x, err
}
