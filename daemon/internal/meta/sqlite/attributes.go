package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"

	"github.com/ringstore/ringstore/daemon/internal/meta/pack"
	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite/db"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// SetAttributes implements store.Attributes.
func (s *Store) SetAttributes(ctx context.Context, c store.AttributeChange) error {
	if err := c.Validate(); err != nil {
		return err
	}
	return s.db.Write(ctx, "SetAttributes", func(t *db.Tx) error {
		var bucket int64
		var key, have []byte
		err := t.Row(s.db.Q.AttributesOf, c.File[:]).Scan(&bucket, &key, &have)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return noFile(c.File)
		case err != nil:
			return err
		case !bytes.Equal(have, pack.Attributes(c.From)):
			return c.ErrOther()
		case c.From.Lock.Binds(c.To.Lock).After(s.db.Now()):
			return c.ErrBound()
		}
		if _, err := t.Exec(s.db.Q.SetAttributes, pack.Attributes(c.To), db.Micros(c.To.Lock.Ends()), c.File[:]); err != nil {
			return err
		}
		return s.Record(t, bucket, store.ObjectChange{Kind: store.FileChanged, Key: store.Key(key), File: c.File, Caller: c.Caller})
	})
}
