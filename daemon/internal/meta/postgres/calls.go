package postgres

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/link"
)

// conn is a connection of one call.
type conn = link.Conn

// calls run each call on a connection of one pool, and translate its error. link.Calls decides what is
// retried after a failure of the connection.
type calls struct{ on *link.Calls }

const (
	maxAttempts = 24
	maxBackoff  = 64 * time.Millisecond
)

// read runs f, which changes nothing.
func (k calls) read(ctx context.Context, op string, f func(*conn) error) error {
	return translate(ctx, op, k.on.Read(ctx, f))
}

// list is read with the statement limit of listings.
func (k calls) list(ctx context.Context, op string, f func(*conn) error) error {
	return translate(ctx, op, k.on.List(ctx, f))
}

// write runs f, one transaction, and retries it while other transactions collide with it. f must
// set all its results each time.
func (k calls) write(ctx context.Context, op string, f func(*conn) error) error {
	return translate(ctx, op, k.untilNoCollision(ctx, f))
}

// exec runs one statement that changes something.
func (k calls) exec(ctx context.Context, op, sql string, args ...any) (changed int64, err error) {
	err = k.write(ctx, op, func(c *conn) error {
		tag, err := c.Exec(ctx, sql, args...)
		changed = tag.RowsAffected()
		return err
	})
	return changed, err
}

// untilNoCollision retries f with growing, random pauses while other transactions collide with it: a transaction that
// was rolled back has no effect.
func (k calls) untilNoCollision(ctx context.Context, f func(*conn) error) error {
	pause := time.Millisecond
	for n := 1; ; n++ {
		err := k.on.Change(ctx, f)
		switch {
		case err == nil:
			return nil
		case n == maxAttempts || !isCollision(err):
			return err
		}
		select {
		case <-time.After(rand.N(pause)):
		case <-ctx.Done():
			return ctx.Err()
		}
		pause = min(2*pause, maxBackoff)
	}
}

// pipeline sends the batch as one round trip and one transaction. Its rows are read by the
// functions that were given to QueuedQuery.
func pipeline(ctx context.Context, c *conn, b *pgx.Batch) error { return c.Pipeline(ctx, b) }
