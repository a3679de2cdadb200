package postgres

import (
	"context"

	"github.com/ringstore/ringstore/daemon/internal/meta/pack"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/db"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// SetAttributes implements store.Attributes.
func (s *Store) SetAttributes(ctx context.Context, c store.AttributeChange) error {
	if err := c.Validate(); err != nil {
		return err
	}
	until, binds := c.To.Lock.Ends(), c.From.Lock.Binds(c.To.Lock)
	args := []any{[16]byte(c.File), pack.Attributes(c.From), pack.Attributes(c.To), db.TimeOrNull(&until), db.TimeOrNull(&binds), c.Caller}
	return s.clients.Write(ctx, "SetAttributes", func(conn *db.Conn) error {
		var refused int
		err := conn.QueryRow(ctx, s.q.SetAttributes, args...).Scan(&refused)
		switch {
		case db.IsNoRows(err):
			return noFile(c.File)
		case err != nil:
			return err
		case refused == 1:
			return c.ErrOther()
		case refused == 2:
			return c.ErrBound()
		}
		return nil
	})
}
