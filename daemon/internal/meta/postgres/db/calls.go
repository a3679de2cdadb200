package db

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/link"
)

// Conn is a connection of one call.
type Conn = link.Conn

// Calls run each call on a connection of one pool, and translate its error. link.Calls decides what is
// retried after a failure of the connection.
type Calls struct{ On *link.Calls }

const (
	maxAttempts = 24
	maxBackoff  = 64 * time.Millisecond
)

// Read runs f, which changes nothing.
func (k Calls) Read(ctx context.Context, op string, f func(*Conn) error) error {
	return Translate(ctx, op, k.On.Read(ctx, f))
}

// List is Read with the statement limit of listings.
func (k Calls) List(ctx context.Context, op string, f func(*Conn) error) error {
	return Translate(ctx, op, k.On.List(ctx, f))
}

// Write runs f, one transaction, and retries it while other transactions collide with it. f must
// set all its results each time.
func (k Calls) Write(ctx context.Context, op string, f func(*Conn) error) error {
	return Translate(ctx, op, k.UntilNoCollision(ctx, f))
}

// Exec runs one statement that changes something.
func (k Calls) Exec(ctx context.Context, op, sql string, args ...any) (changed int64, err error) {
	err = k.Write(ctx, op, func(c *Conn) error {
		tag, err := c.Exec(ctx, sql, args...)
		changed = tag.RowsAffected()
		return err
	})
	return changed, err
}

// UntilNoCollision retries f with growing, random pauses while other transactions collide with it: a transaction that
// was rolled back has no effect.
func (k Calls) UntilNoCollision(ctx context.Context, f func(*Conn) error) error {
	pause := time.Millisecond
	for n := 1; ; n++ {
		err := k.On.Change(ctx, f)
		switch {
		case err == nil:
			return nil
		case n == maxAttempts || !IsCollision(err):
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

// Pipeline sends the batch as one round trip and one transaction. Its rows are read by the
// functions that were given to QueuedQuery.
func Pipeline(ctx context.Context, c *Conn, b *pgx.Batch) error { return c.Pipeline(ctx, b) }
