package db

import (
	"context"
	"database/sql"
	"errors"
	"sync"
)

// readers are the connections for reads. Each keeps its own prepared
// statements, which belong to a connection in SQLite.
type readers struct {
	db     *sql.DB
	idle   chan *Reader  // all that are not in use
	closed chan struct{} // close has begun
	close1 func() error  // closes, the first time
}

func newReaders(ctx context.Context, dsn string, n int) (*readers, error) {
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(n)
	rs := &readers{db: db, idle: make(chan *Reader, n), closed: make(chan struct{})}
	opened := 0
	rs.close1 = sync.OnceValue(func() error { return rs.drain(opened) })
	for ; opened < n; opened++ {
		conn, err := db.Conn(ctx)
		if err != nil {
			return nil, errors.Join(err, rs.close())
		}
		rs.idle <- &Reader{newStatements(conn)}
	}
	return rs, nil
}

// do runs f in a read transaction: all its queries see one snapshot of the database.
func (rs *readers) do(ctx context.Context, f func(*Reader) error) error {
	return rs.once(ctx, func(r *Reader) error {
		if _, err := r.Exec("BEGIN"); err != nil {
			return err
		}
		err := f(r)
		_, end := r.Exec("COMMIT")
		return errors.Join(err, end)
	})
}

// once runs f, which makes a single query, on a connection.
func (rs *readers) once(ctx context.Context, f func(*Reader) error) error {
	r, err := rs.take(ctx)
	if err != nil {
		return err
	}
	defer func() { rs.idle <- r }()
	return f(r)
}

// take waits for a connection. An ended context and a closed store take precedence over a free connection.
func (rs *readers) take(ctx context.Context) (*Reader, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-rs.closed:
		return nil, ErrClosed
	default:
	}
	select {
	case r := <-rs.idle:
		return r, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-rs.closed:
		return nil, ErrClosed
	}
}

// close waits for the reads in progress. It may be called more than once.
func (rs *readers) close() error { return rs.close1() }

func (rs *readers) drain(opened int) error {
	close(rs.closed)
	var errs []error
	for range opened {
		errs = append(errs, (<-rs.idle).close())
	}
	return errors.Join(append(errs, rs.db.Close())...)
}

// Reader is one connection in a read transaction.
type Reader struct{ Statements }

// Statements are a connection and its prepared statements. Used by one goroutine
// at a time. Contexts are checked before a statement, not during it, except for listings: a statement is short,
// and watching a context would cost more than running it.
type Statements struct {
	conn     *sql.Conn
	prepared map[string]*sql.Stmt // by text
	within   context.Context      // interrupts queries; Background but during a listing
}

func newStatements(conn *sql.Conn) Statements {
	return Statements{conn: conn, prepared: map[string]*sql.Stmt{}, within: context.Background()}
}

func (s *Statements) stmt(text string) (*sql.Stmt, error) {
	if st, ok := s.prepared[text]; ok {
		return st, nil
	}
	st, err := s.conn.PrepareContext(context.Background(), text)
	if err != nil {
		return nil, err
	}
	s.prepared[text] = st
	return st, nil
}

// Exec runs a statement, and returns how many rows it changed.
func (s *Statements) Exec(text string, args ...any) (changed int64, err error) {
	st, err := s.stmt(text)
	if err != nil {
		return 0, err
	}
	r, err := st.ExecContext(context.Background(), args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// Query runs a query; Each reads its result.
func (s *Statements) Query(text string, args ...any) (*sql.Rows, error) {
	st, err := s.stmt(text)
	if err != nil {
		return nil, err
	}
	return st.QueryContext(s.within, args...)
}

// Row runs a query whose result has one row at most.
func (s *Statements) Row(text string, args ...any) Row {
	rows, err := s.Query(text, args...)
	return Row{rows, err}
}

func (s *Statements) close() error {
	var errs []error
	for _, st := range s.prepared {
		errs = append(errs, st.Close())
	}
	return errors.Join(append(errs, s.conn.Close())...)
}

// Row is the single row of a result.
type Row struct {
	rows *sql.Rows
	err  error
}

// Scan returns sql.ErrNoRows when the result is empty.
func (r Row) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	defer r.rows.Close()
	if !r.rows.Next() {
		return errors.Join(r.rows.Err(), sql.ErrNoRows)
	}
	if err := r.rows.Scan(dest...); err != nil {
		return err
	}
	return r.rows.Close()
}

// Asker is a Reader or a Tx.
type Asker interface {
	Query(text string, args ...any) (*sql.Rows, error)
	Row(text string, args ...any) Row
}

// Each calls f for every row and closes the result.
func Each(rows *sql.Rows, f func() error) error {
	defer rows.Close()
	for rows.Next() {
		if err := f(); err != nil {
			return err
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}
