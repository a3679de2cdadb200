package chaos

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// database is the test's own connection to the metadata. All SQL of this package is here; it depends on the
// names of as few tables as possible.
type database struct{ dsn string }

// with runs f on a connection of its own.
func (d database) with(ctx context.Context, f func(conn *pgx.Conn) error) (err error) {
	conn, err := pgx.Connect(ctx, d.dsn)
	if err != nil {
		return err
	}
	defer func() {
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err = errors.Join(err, conn.Close(limited))
	}()
	return f(conn)
}

// The locks that the tests hold. SHARE MODE is what CREATE INDEX takes: readers continue.
const (
	lockFiles    = "LOCK TABLE files IN SHARE MODE"
	lockParts    = "LOCK TABLE parts IN SHARE MODE"
	lockBuckets  = "SELECT id FROM buckets FOR UPDATE"
	lockKeys     = "SELECT id FROM files WHERE convert_from(key, 'UTF8') LIKE '%-_7' FOR UPDATE"
	lockAllFiles = "SELECT id FROM files FOR UPDATE"
)

// hold takes a lock in a transaction, calls held, and keeps it until release is closed or ctx ends.
func (d database) hold(ctx context.Context, lock string, held func(), release <-chan struct{}) error {
	return d.with(ctx, func(conn *pgx.Conn) error {
		tx, err := conn.Begin(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
		if _, err := tx.Exec(ctx, lock); err != nil {
			return err
		}
		held()
		select {
		case <-release:
		case <-ctx.Done():
		}
		return nil
	})
}

// terminate ends all other connections, as a failover does.
func (d database) terminate(ctx context.Context) error {
	return d.with(ctx, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`)
		return err
	})
}

// number returns the result of a query of one integer.
func (d database) number(ctx context.Context, query string) (n int, err error) {
	err = d.with(ctx, func(conn *pgx.Conn) error { return conn.QueryRow(ctx, query).Scan(&n) })
	return n, err
}

// tasks counts the work that is queued, and the deleted files whose chunks are still to be queued for reclaim. Columns
// that only one of the schemas has are asked for as JSON.
func (d database) tasks(ctx context.Context) (int, error) {
	return d.number(ctx, `SELECT (SELECT count(*) FROM tasks) + (
		SELECT count(*) FROM files f WHERE to_jsonb(f)->>'deleted_at' IS NOT NULL AND (completed_at IS NOT NULL OR EXISTS (
			SELECT FROM parts p WHERE coalesce(to_jsonb(p)->>'owner', to_jsonb(p)->>'file_id') = f.id::text)))`)
}

// describe returns some of the queued work for messages.
func (d database) describe(ctx context.Context) (tasks []string, err error) {
	err = d.with(ctx, func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, "SELECT now()::text || ' ' || to_jsonb(t)::text FROM tasks t ORDER BY due_at LIMIT 10")
		if err != nil {
			return err
		}
		tasks, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	return tasks, err
}

// queue describes the queued work in a form that changes whenever any of it does.
func (d database) queue(ctx context.Context) (text string, err error) {
	err = d.with(ctx, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "SELECT coalesce(md5(string_agg(t::text, ',' ORDER BY t::text)), '') FROM tasks t").Scan(&text)
	})
	return text, err
}

// busy counts the other connections on which a statement or transaction is in progress.
func (d database) busy(ctx context.Context) (int, error) {
	return d.number(ctx, `SELECT count(*) FROM pg_stat_activity
		WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND state <> 'idle'`)
}

// knownParts returns the ids of all parts with chunks that any table has: tables that describe parts by layout and nodes
// have them as id, those that refer to parts as part_id. Ids are 32 hexadecimal digits.
func (d database) knownParts(ctx context.Context) (map[string]bool, error) {
	known := map[string]bool{}
	err := d.with(ctx, func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, `SELECT c.table_name, c.column_name FROM information_schema.columns c
			WHERE c.table_schema = 'public' AND (c.column_name = 'part_id' OR c.column_name = 'id' AND EXISTS (
				SELECT FROM information_schema.columns n
				WHERE n.table_schema = 'public' AND n.table_name = c.table_name AND n.column_name = 'unit_size'))`)
		if err != nil {
			return err
		}
		columns, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (at [2]string, err error) {
			return at, row.Scan(&at[0], &at[1])
		})
		if err != nil {
			return err
		}
		for _, at := range columns {
			ids, err := conn.Query(ctx, fmt.Sprintf("SELECT replace(%s::text, '-', '') FROM %s t WHERE coalesce(to_jsonb(t)->>'nodes', '?') <> '\\x'",
				pgx.Identifier{at[1]}.Sanitize(), pgx.Identifier{at[0]}.Sanitize()))
			if err != nil {
				return err
			}
			list, err := pgx.CollectRows(ids, pgx.RowTo[string])
			if err != nil {
				return err
			}
			for _, id := range list {
				known[id] = true
			}
		}
		return nil
	})
	return known, err
}
