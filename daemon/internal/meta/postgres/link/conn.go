package link

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Conn is a connection of the pool for one attempt of one call. What it sends is one pipeline and one
// transaction, of which a connection that is lost after it was sent leaves the outcome open, within the time limit of the attempt (see lend), and runs under the session's settings
// whichever server connection a pooler lends for it. Not safe for concurrent use.
type Conn struct {
	pooled *pgxpool.Conn
	before string // statement that each pipeline begins with, or ""
	begun  bool   // the server may have executed something: it has answered a BEGIN, or a statement was sent outside a pipeline
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

// started returns the error of what was sent on the connection, as *unstarted where it had no effect.
func (c *Conn) started(err error) error {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == stateShutdown && !c.begun {
		return &unstarted{err}
	}
	return err
}

// release returns the connection to the pool, which closes a broken one.
func (c *Conn) release() {
	_ = c.pooled.Conn().PgConn().Conn().SetDeadline(time.Time{})
	c.pooled.Release()
}

// Query runs one statement. The caller must close the rows, or read them to their end, and check their Err.
func (c *Conn) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if c.before == "" {
		c.begun = true
		return c.pooled.Query(ctx, sql, args...)
	}
	b := &pgx.Batch{}
	b.Queue(sql, args...)
	results := c.send(ctx, b)
	for range 2 { // BEGIN, and the settings
		if _, err := results.Exec(); err != nil {
			return nil, c.end(results)
		}
		c.begun = true
	}
	rows, err := results.Query()
	if err != nil {
		return nil, c.end(results)
	}
	return &lastRows{Rows: rows, end: func() error { return c.end(results) }}, nil
}

// QueryRow runs one statement for its first row; Scan returns pgx.ErrNoRows when no row was found.
func (c *Conn) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	if c.before == "" {
		c.begun = true
		return c.pooled.QueryRow(ctx, sql, args...)
	}
	rows, err := c.Query(ctx, sql, args...)
	return firstRow{rows, err}
}

// Exec runs one statement.
func (c *Conn) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	if c.before == "" {
		c.begun = true
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
func (c *Conn) Pipeline(ctx context.Context, b *pgx.Batch) error { return c.end(c.send(ctx, b)) }

// send is where all pipelines are sent. Several statements are enclosed in BEGIN and COMMIT, in the same round trip: that a pipeline is
// a transaction without them is a property of PostgreSQL, which engines that resemble it do not have.
func (c *Conn) send(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	if c.before == "" && b.Len() == 1 {
		c.begun = true
		return c.pooled.SendBatch(ctx, b)
	}
	all := &pgx.Batch{QueuedQueries: make([]*pgx.QueuedQuery, 0, b.Len()+3)}
	all.Queue("BEGIN").Exec(func(pgconn.CommandTag) error {
		c.begun = true
		return nil
	})
	if c.before != "" {
		all.Queue(c.before)
	}
	all.QueuedQueries = append(all.QueuedQueries, b.QueuedQueries...)
	all.Queue("COMMIT").Exec(committed)
	return c.pooled.SendBatch(ctx, all)
}

// committed checks the answer to COMMIT: in a transaction that has failed it is a ROLLBACK, and not an error.
func committed(tag pgconn.CommandTag) error {
	if tag.String() != "COMMIT" {
		return errRolledBack
	}
	return nil
}

// rollbackLimit is how long the answer to a ROLLBACK may take; then the connection is closed instead.
const rollbackLimit = time.Second

// end reads the results to their end. The server ignores what follows a statement that fails, COMMIT included, so the transaction, which
// has no effect and no locks any more, is ended by another round trip: without it the pool would close the connection.
func (c *Conn) end(results pgx.BatchResults) error {
	err := results.Close()
	if server := c.pooled.Conn().PgConn(); err != nil && !server.IsClosed() && !server.IsBusy() && server.TxStatus() != 'I' {
		ctx, cancel := context.WithTimeout(context.Background(), rollbackLimit)
		defer cancel()
		_ = server.Exec(ctx, "ROLLBACK").Close() // else the pool closes the connection
	}
	return err
}

// Ping checks that the server answers.
func (c *Conn) Ping(ctx context.Context) error { return c.pooled.Ping(ctx) }

// lastRows are the rows of a transaction's last statement before COMMIT: their end is that of the transaction.
type lastRows struct {
	pgx.Rows
	end    func() error // of the transaction
	closed bool
	err    error // of end
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
		r.closed, r.err = true, r.end()
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
