package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/ringstore/ringstore/daemon/internal/store"
	schema "github.com/ringstore/ringstore/sql"
	sqlfiles "github.com/ringstore/ringstore/sql/sqlite"
)

// Options says how the store works. The zero value is right for production.
type Options struct {
	Readers int              // connections for reads; default 4
	Now     func() time.Time // default time.Now
}

// Store is the metadata in one SQLite file. Safe for concurrent use.
type Store struct {
	q       queries
	now     func() time.Time
	writer  *writer
	readers *readers
}

var _ store.Metadata = (*Store)(nil)

// Open opens the database file, makes it where there is none, and brings its
// schema up to date. The caller must Close it. One process may have it open at a
// time; the caller sees to that. Errors: Unavailable, Corrupt, Conflict (schema of a newer release), NoSpace.
func Open(ctx context.Context, path string, o Options) (_ *Store, err error) {
	const op = "sqlite.Open"
	if o.Readers == 0 {
		o.Readers = 4
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Store{now: func() time.Time { return o.Now().UTC().Truncate(time.Microsecond) }}
	if err := schema.Load(sqlfiles.Queries, &s.q); err != nil {
		return nil, &store.Error{Op: op, Kind: store.Internal, Err: err}
	}
	writes, err := sql.Open("sqlite", dsn(path, "_txlock=immediate", "_pragma=journal_mode(WAL)"))
	if err != nil {
		return nil, translate(ctx, op, err)
	}
	writes.SetMaxOpenConns(1)
	if err := migrate(ctx, writes); err != nil {
		return nil, errors.Join(translate(ctx, op, err), writes.Close())
	}
	if s.writer, err = newWriter(ctx, writes); err != nil {
		return nil, errors.Join(translate(ctx, op, err), writes.Close())
	}
	if s.readers, err = newReaders(ctx, dsn(path, "mode=ro", "_pragma=query_only(1)"), o.Readers); err != nil {
		return nil, errors.Join(translate(ctx, op, err), s.writer.close())
	}
	if err := s.prepareData(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// dsn names the file with the settings that each connection needs: they are
// per connection, so a PRAGMA on the pool would reach only one.
func dsn(path string, more ...string) string {
	u := "file:" + (&url.URL{Path: path}).EscapedPath() +
		"?_pragma=busy_timeout(5000)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)&_pragma=mmap_size(268435456)&_pragma=cache_size(-16384)"
	for _, m := range more {
		u += "&" + m
	}
	return u
}

func migrate(ctx context.Context, db *sql.DB) error {
	p, err := goose.NewProvider(database.DialectSQLite3, db, sqlfiles.Migrations(), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	have, want, err := p.GetVersions(ctx)
	if err != nil {
		return err
	}
	if have > want {
		return store.Errorf(store.Conflict, "the database has schema version %d, this program knows %d", have, want).
			WithHint("Use the release that wrote it, or a newer one.")
	}
	_, err = p.Up(ctx)
	return err
}

// prepareData writes down what is there from the start.
func (s *Store) prepareData(ctx context.Context) error {
	return s.write(ctx, "Open", func(t *tx) error {
		id := store.NewClusterID()
		if _, err := t.exec(s.q.EnsureCluster, id[:]); err != nil {
			return err
		}
		_, err := t.exec(s.q.EnsureBucket, string(store.DefaultBucket), micros(s.now()))
		return err
	})
}

// Ping implements store.Metadata.
func (s *Store) Ping(ctx context.Context) error {
	return s.read(ctx, "Ping", func(*reader) error { return nil })
}

// Close implements store.Metadata. Calls that were taken are finished first.
func (s *Store) Close() error { return errors.Join(s.writer.close(), s.readers.close()) }

func errClosed(op string) error {
	return &store.Error{Op: "sqlite." + op, Kind: store.Unavailable, Msg: "the metadata store is closed"}
}

// write runs f in the writer, and returns when what it did is durable.
func (s *Store) write(ctx context.Context, op string, f func(*tx) error) error {
	return translate(ctx, "sqlite."+op, s.writer.do(ctx, f))
}

// read runs f on one connection, in one snapshot.
func (s *Store) read(ctx context.Context, op string, f func(*reader) error) error {
	if s.writer.isClosed() {
		return errClosed(op)
	}
	return translate(ctx, "sqlite."+op, s.readers.do(ctx, f))
}

// rowScanner reads the one row of an answer.
type rowScanner struct {
	rows *sql.Rows
	err  error
}

// scan is sql.ErrNoRows when there is none.
func (r rowScanner) scan(dest ...any) error {
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

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
