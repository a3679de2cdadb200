package db

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite/failure"
	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite/reserve"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/wait"
	schema "github.com/ringstore/ringstore/sql"
	sqlfiles "github.com/ringstore/ringstore/sql/sqlite"
)

// Options configure a DB. The zero value is right for production.
type Options struct {
	Readers     int              // connections for reads; default 4
	Rest        time.Duration    // time without a change after which the log is moved into the database; default 2 s
	ListTimeout time.Duration    // after which a listing is interrupted; default 3 s
	Now         func() time.Time // default time.Now
}

// DB is the database file. Safe for concurrent use.
type DB struct {
	Q      Queries // the statements
	Schema int64   // version of the schema

	now     func() time.Time
	last    time.Time // that Completed returned; used by the writer only
	db      *sql.DB   // of the writer
	writer  *writer
	readers *readers
	reserve *reserve.Reserve
	listing time.Duration // how long a listing may take
	close1  func() error  // closes, the first time
}

// ErrClosed is the error of every call after Close.
var ErrClosed = store.Errorf(store.Unavailable, "the metadata store is closed")

// Open opens the database file, creates it where it does not exist, and brings its
// schema up to date. The caller must Close it. Several stores, also of several processes,
// may be open on one file; they wait for each other's writes.
// Errors: Unavailable, Corrupt, Conflict (schema of a newer release), NoSpace.
func Open(ctx context.Context, path string, o Options) (*DB, error) {
	const op = "sqlite.Open"
	s, err := open(ctx, path, o)
	// Retry when another process creates the file at the same time: SQLite does not wait
	// for a lock while the journal mode changes, and the tables may appear during the migration.
	for try := 0; err != nil && try < openTries(err) && wait.For(ctx, 20*time.Millisecond) == nil; try++ {
		if failure.NeedsSpace(err) {
			_ = os.Truncate(reserve.Path(path), 0) // the log and the shared memory are made at an open
		}
		s, err = open(ctx, path, o)
	}
	if err != nil {
		return nil, failure.Translate(ctx, op, err)
	}
	return s, nil
}

// openTries is how often opening is retried after the error.
func openTries(err error) int {
	switch {
	case failure.IsBusy(err):
		return 250
	case store.KindOf(err) == store.Conflict:
		return 0
	}
	return 3
}

func open(ctx context.Context, path string, o Options) (_ *DB, err error) {
	s := &DB{now: clock(o.Now), listing: cmp.Or(o.ListTimeout, 3*time.Second)}
	s.close1 = sync.OnceValue(func() error {
		return errors.Join(s.readers.close(), s.writer.close(), s.db.Close())
	})
	if err := schema.Load(sqlfiles.Queries, &s.Q); err != nil {
		return nil, err
	}
	makePrivate(path)
	if s.db, err = sql.Open("sqlite", dsn(path, "_txlock=immediate", "_pragma=journal_mode(WAL)")); err != nil {
		return nil, err
	}
	s.db.SetMaxOpenConns(1)
	if s.Schema, err = migrate(ctx, s.db); err != nil {
		return nil, errors.Join(err, s.db.Close())
	}
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return nil, errors.Join(err, s.db.Close())
	}
	readers := o.Readers
	if readers == 0 {
		readers = 4
	}
	if s.readers, err = newReaders(ctx, dsn(path, "mode=ro", "_pragma=query_only(1)"), readers); err != nil {
		return nil, errors.Join(err, conn.Close(), s.db.Close())
	}
	rest := o.Rest
	if rest == 0 {
		rest = 2 * time.Second
	}
	s.reserve = reserve.Open(path)
	s.writer = newWriter(conn, &s.Q, rest, s.reserve.Spent())
	return s, nil
}

// clock gives the store's time: UTC, in microseconds.
func clock(now func() time.Time) func() time.Time {
	if now == nil {
		now = time.Now
	}
	return func() time.Time { return now().UTC().Truncate(time.Microsecond) }
}

// dsn names the file with the settings that each connection needs: they are
// per connection, so a PRAGMA on the pool would reach only one. The log is moved into the
// database whenever it has grown by 16 MiB, and truncated where it exceeds 64 MiB. The first 2 GiB of the file, as much as
// SQLite allows, are mapped: pages that are read by a system call each took a third of the time of a look-up among a million files.
func dsn(path string, more ...string) string {
	settings := append([]string{
		"_pragma=busy_timeout(5000)", "_pragma=synchronous(FULL)", "_pragma=mmap_size(2147418112)", "_pragma=cache_size(-16384)",
		"_pragma=wal_autocheckpoint(4096)", "_pragma=journal_size_limit(67108864)",
	}, more...)
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + strings.Join(settings, "&")
}

// migrate brings the schema up to date and returns its version. The program works with no other: one process has the file.
func migrate(ctx context.Context, db *sql.DB) (version int64, err error) {
	p, err := goose.NewProvider(database.DialectSQLite3, db, sqlfiles.Migrations(), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return 0, err
	}
	have, want, err := p.GetVersions(ctx)
	if err != nil {
		return 0, err
	}
	if have > want {
		return 0, store.Errorf(store.Conflict, "the database has schema version %d, this program knows %d", have, want).
			WithHint("Use the release that wrote it, or a newer one.")
	}
	_, err = p.Up(ctx)
	return want, err
}

// Close ends the store. Calls that were accepted are finished first.
func (s *DB) Close() error { return s.close1() }

// Now is the store's time: UTC, in microseconds.
func (s *DB) Now() time.Time { return s.now() }

// Write runs f in the writer, and returns when its changes are durable. On a full disk an f that frees space
// runs a second time, and must set all its results again.
func (s *DB) Write(ctx context.Context, op string, f func(*Tx) error) error {
	op, free := "sqlite."+op, frees(op)
	if !free {
		if err := s.reserve.Admit(); err != nil {
			return err
		}
	}
	err := failure.Translate(ctx, op, s.writer.do(ctx, f))
	if free && errors.Is(err, store.NoSpace) {
		s.reserve.Release()
		err = failure.Translate(ctx, op, s.writer.do(ctx, f))
	}
	return err
}

// frees reports whether a change frees space, or is needed by changes that do (leases, background work, a node that rejoins
// at a start). All others take space, heartbeats included: these show whether a write would succeed.
func frees(op string) bool {
	switch op {
	case "DeleteFile", "FailFile", "DeleteBucket", "DeleteCredential", "AbortSession", "DropPart", "Abandon", "SweepDeleted", "MoveChunk", "TrimChanges",
		"Enqueue", "Claim", "TakeOver", "Unclaim", "Hasten", "Finish", "Postpone",
		"AcquireLease", "RenewLease", "ReleaseLease", "Open", "JoinNode",
		"TrimJobs", "TrimEvents", "ClaimJob", "SaveJob", "WishJob", "SaveLoops", "WakeLoops", "BeatGateway", "RemoveGateway":
		return true
	}
	return false
}

// Read runs f on one connection, in one snapshot.
func (s *DB) Read(ctx context.Context, op string, f func(*Reader) error) error {
	return failure.Translate(ctx, "sqlite."+op, s.readers.do(ctx, f))
}

// ReadOnce is Read for a single query, which needs no transaction to see one snapshot.
func (s *DB) ReadOnce(ctx context.Context, op string, f func(*Reader) error) error {
	return failure.Translate(ctx, "sqlite."+op, s.readers.once(ctx, f))
}

// List is Read for listings, whose cost grows with the query: their queries are interrupted after a limit, so that they
// do not occupy the few connections.
func (s *DB) List(ctx context.Context, op string, f func(*Reader) error) error {
	limited, cancel := context.WithTimeout(ctx, s.listing)
	defer cancel()
	err := s.readers.do(limited, func(r *Reader) error {
		r.within = limited
		defer func() { r.within = context.Background() }()
		return f(r)
	})
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		err = store.Errorf(store.Unavailable, "the listing took longer than %s", s.listing).WithHint("Ask for fewer entries at once, or narrow the prefix.")
	}
	return failure.Translate(ctx, "sqlite."+op, err)
}

// Completed is the time of completion of a file, for the writer: later than that of every file that it completed before, although
// the clock may be set back.
func (s *DB) Completed() time.Time {
	t := s.now()
	if !t.After(s.last) {
		t = s.last.Add(time.Microsecond)
	}
	s.last = t
	return t
}

// Micros is the stored form of a time: microseconds since 1970, 0 for the zero time.
func Micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// FromMicros is the inverse of Micros.
func FromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
