package sqlite

import (
	"context"
	"database/sql"
	"errors"
)

// readers are the connections for reads. Each keeps its own prepared
// statements, which belong to a connection in SQLite.
type readers struct {
	db   *sql.DB
	all  int
	idle chan *reader
}

func newReaders(ctx context.Context, dsn string, n int) (*readers, error) {
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(n)
	r := &readers{db: db, idle: make(chan *reader, n)}
	for range n {
		conn, err := db.Conn(ctx)
		if err != nil {
			return nil, errors.Join(err, r.close())
		}
		r.idle <- &reader{statements{conn: conn, prepared: map[string]*sql.Stmt{}}}
		r.all++
	}
	return r, nil
}

// do runs f in a read transaction: all that it asks, it asks of one state of the database.
func (rs *readers) do(ctx context.Context, f func(*reader) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var r *reader
	select {
	case r = <-rs.idle:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { rs.idle <- r }()
	if _, err := r.exec("BEGIN"); err != nil {
		return err
	}
	err := f(r)
	_, end := r.exec("COMMIT")
	return errors.Join(err, end)
}

// close waits for the reads that are under way.
func (rs *readers) close() error {
	var errs []error
	for ; rs.all > 0; rs.all-- {
		errs = append(errs, (<-rs.idle).close())
	}
	return errors.Join(append(errs, rs.db.Close())...)
}

// reader is one connection in a read transaction.
type reader struct{ statements }

// statements are a connection and what was prepared on it. Used by one goroutine
// at a time. Contexts stop at the door: a statement that has begun is short,
// and watching a context would cost more than running it.
type statements struct {
	conn     *sql.Conn
	prepared map[string]*sql.Stmt // by text
}

func (s *statements) stmt(text string) (*sql.Stmt, error) {
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

func (s *statements) exec(text string, args ...any) (changed int64, err error) {
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

func (s *statements) query(text string, args ...any) (*sql.Rows, error) {
	st, err := s.stmt(text)
	if err != nil {
		return nil, err
	}
	return st.QueryContext(context.Background(), args...)
}

func (s *statements) row(text string, args ...any) rowScanner {
	rows, err := s.query(text, args...)
	return rowScanner{rows, err}
}

func (s *statements) close() error {
	var errs []error
	for _, st := range s.prepared {
		errs = append(errs, st.Close())
	}
	return errors.Join(append(errs, s.conn.Close())...)
}
