package scan

import (
	"database/sql"

	"github.com/ringstore/ringstore/daemon/internal/meta/pack"
	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite/db"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// SessionPage reads the rows of a page, of which there may be one more than the limit.
func SessionPage(rows *sql.Rows, limit int) (page store.SessionPage, err error) {
	all, err := Sessions(rows)
	if err != nil {
		return page, err
	}
	return store.SessionPage{Sessions: all[:min(limit, len(all))], More: len(all) > limit}, nil
}

// Sessions reads the columns that the queries list a session as.
func Sessions(rows *sql.Rows) (sessions []store.Session, err error) {
	err = db.Each(rows, func() error {
		x, err := session(rows)
		sessions = append(sessions, x)
		return err
	})
	return sessions, err
}

func session(rows *sql.Rows) (x store.Session, err error) {
	var bucket string
	var id, key, meta, attributes []byte
	var crc sql.NullInt64
	var created, expires int64
	if err := rows.Scan(&bucket, &id, &key, &x.Size, &x.ContentType, &meta, &attributes, &crc, &x.Owner, &x.ChangedBy, &created, &expires, &x.Received); err != nil {
		return x, err
	}
	x.ID, x.Bucket, x.Key = store.FileID(id), store.BucketName(bucket), store.Key(key)
	x.CreatedAt, x.ExpiresAt = db.FromMicros(created), db.FromMicros(expires)
	if crc.Valid {
		x.CRC64 = new(uint64(crc.Int64))
	}
	if x.Meta, err = pack.ParseStrings(meta); err != nil {
		return x, err
	}
	x.Attributes, err = pack.ReadAttributes(attributes)
	return x, err
}

// SessionParts reads the columns that SessionParts lists.
func SessionParts(rows *sql.Rows) (parts []store.SessionPart, err error) {
	err = db.Each(rows, func() error {
		var stored int64
		p, err := Part(rows, &stored)
		parts = append(parts, store.SessionPart{Part: p, StoredAt: db.FromMicros(stored)})
		return err
	})
	return parts, err
}
