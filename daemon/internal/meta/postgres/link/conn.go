package link

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Conn is a connection of the pool for one attempt of one call. What it sends is one pipeline and one
// transaction, within the time limit of the attempt (see lend), and runs under the session's settings
// whichever server connection a pooler lends for it. Not safe for concurrent use.
type Conn struct {
	pooled *pgxpool.Conn
	before string // statement that each pipeline begins with, or ""
}

// lend prepares a connection for one attempt. All that it sends must be answered within the most (0: no limit), because a
// server that vanished does not answer, and the kernel retransmits for a quarter of an hour.
func lend(pooled *pgxpool.Conn, before string, most time.Duration) *Conn {
	if most > 0 {
		// On the socket, not in a context, which would need a goroutine per statement to watch it.
		_ = pooled.Conn().PgConn().Conn().SetDeadline(time.Now().Add(most)) // fails only on a closed connection
	}
	return &Conn{pooled: pooled, before: before}
}

// release returns the connection to the pool, which closes a broken one.
func (c *Conn) release() {
	_ = c.pooled.Conn().PgConn().Conn().SetDeadline(time.Time{})
	c.pooled.Release()
}

// Query runs one statement. The caller must close the rows, or read them to their end, and check their Err.
func (c *Conn) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if c.before == "" {
		return c.pooled.Query(ctx, sql, args...)
	}
	b := &pgx.Batch{}
	b.Queue(c.before)
	b.Queue(sql, args...)
	results := c.pooled.SendBatch(ctx, b)
	if _, err := results.Exec(); err != nil {
		_ = results.Close() // returns the same error
		return nil, err
	}
	rows, err := results.Query()
	if err != nil {
		_ = results.Close()
		return nil, err
	}
	return &lastRows{Rows: rows, batch: results}, nil
}

// QueryRow runs one statement for its first row; Scan returns pgx.ErrNoRows when no row was found.
func (c *Conn) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	if c.before == "" {
		return c.pooled.QueryRow(ctx, sql, args...)
	}
	rows, err := c.Query(ctx, sql, args...)
	return firstRow{rows, err}
}

// Exec runs one statement.
func (c *Conn) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	if c.before == "" {
		return c.pooled.Exec(ctx, sql, args...)
	}
	rows, err := c.Query(ctx, sql, args...)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	rows.Close()
	return rows.CommandTag(), rows.Err()
}

// Pipeline sends the batch as one round trip and one transaction. Its rows are read by the
// functions that were given to QueuedQuery.
func (c *Conn) Pipeline(ctx context.Context, b *pgx.Batch) error {
	if c.before != "" {
		first := &pgx.Batch{}
		first.Queue(c.before)
		b.QueuedQueries = append(first.QueuedQueries, b.QueuedQueries...)
	}
	return c.pooled.SendBatch(ctx, b).Close()
}

// Ping checks that the server answers.
func (c *Conn) Ping(ctx context.Context) error { return c.pooled.Ping(ctx) }

// lastRows are the rows of the last statement of a batch: their end is the batch's.
type lastRows struct {
	pgx.Rows
	batch  pgx.BatchResults
	closed bool
	err    error // of the batch
}

// Next implements pgx.Rows.
func (r *lastRows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.Close()
	return false
}

// Close implements pgx.Rows.
func (r *lastRows) Close() {
	r.Rows.Close()
	if !r.closed {
		r.closed, r.err = true, r.batch.Close()
	}
}

// Err implements pgx.Rows.
func (r *lastRows) Err() error {
	if err := r.Rows.Err(); err != nil {
		return err
	}
	return r.err
}

// firstRow is the first of some rows, or the error instead of rows.
type firstRow struct {
	rows pgx.Rows
	err  error
}

// Scan implements pgx.Row.
func (r firstRow) Scan(targets ...any) error {
	if r.err != nil {
		return r.err
	}
	defer r.rows.Close()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return pgx.ErrNoRows
	}
	if err := r.rows.Scan(targets...); err != nil {
		return err
	}
	r.rows.Close()
	return r.rows.Err()
}
