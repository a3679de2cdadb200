package postgres_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/meta/pack"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/pgtest"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// traffic is what many clients do to a few sessions and names.
type traffic struct {
	renames  bool
	sessions [3]atomic.Pointer[store.Session]
	parts    atomic.Int64 // of chunksPerFile chunks each, that came in one way or another
}

var keysInTraffic = []store.Key{"name-0", "name-1", "name-2"}

func anyKey() store.Key { return keysInTraffic[rand.N(len(keysInTraffic))] }

// Gateways that save, replace, drop, complete, abort, commit and perhaps rename at once lose no chunk: each
// is in a part of a file or of a session, begun or queued, and only once.
func TestNoPartIsLost(t *testing.T) {
	t.Parallel()
	for _, renames := range []bool{false, true} {
		t.Run(fmt.Sprintf("renames=%t", renames), func(t *testing.T) {
			t.Parallel()
			dsn := pgtest.Fresh(t)
			letTrafficFlow(t, dsn, renames)
			if renames {
				return // a ring of them may be a deadlock, which is repeated
			}
			var deadlocks int
			require.NoError(t, connect(t, dsn).QueryRow(t.Context(), "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").Scan(&deadlocks))
			require.Zero(t, deadlocks)
		})
	}
}

func letTrafficFlow(t *testing.T, dsn string, renames bool) {
	t.Helper()
	gateways := []*postgres.Store{open(t, dsn, postgres.Options{}), open(t, dsn, postgres.Options{})}
	x := &traffic{renames: renames}
	for i := range x.sessions {
		s := newSession(t, gateways[0], anyKey())
		x.sessions[i].Store(&s)
	}
	var all sync.WaitGroup
	for worker := range 12 {
		all.Go(func() {
			for range 60 {
				if err := x.change(context.Background(), gateways[worker%2]); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	s := gateways[0]
	sweepAll(t, s)
	require.Zero(t, count(t, s, `SELECT count(*) FROM parts p WHERE state <> 3
		AND NOT EXISTS (SELECT FROM files f WHERE f.id = p.owner) AND NOT EXISTS (SELECT FROM sessions s WHERE s.id = p.owner)`), "parts without an owner")
	require.Zero(t, count(t, s, "SELECT count(*) FROM session_expiries p WHERE NOT EXISTS (SELECT FROM sessions s WHERE s.id = p.session_id)"))
	require.Zero(t, count(t, s, "SELECT count(*) FROM files WHERE NOT latest OR state <> 2"), "a file that is not shown was not removed")
	require.Zero(t, count(t, s, "SELECT count(*) FROM tasks t JOIN parts p ON p.id = t.part_id AND p.state <> 3 WHERE t.kind = 1"), "a chunk is alive and is being reclaimed")
	known := count(t, s, "SELECT count(*) FROM parts WHERE state <> 3")
	reclaims := count(t, s, "SELECT count(*) FROM tasks WHERE kind = 1")
	require.Equal(t, int(x.parts.Load())*chunksPerFile, known*chunksPerFile+reclaims, "chunks are known or queued")

	for _, g := range gateways {
		require.NoError(t, g.Close()) // what they counted is then to be seen
	}
}

// change makes one change of a session or a name. Losing a race against another change is not an error.
func (x *traffic) change(ctx context.Context, s *postgres.Store) error {
	at := rand.N(len(x.sessions))
	session := x.sessions[at].Load()
	var err error
	switch rand.N(10) {
	case 0:
		err = x.complete(ctx, s, at, *session)
	case 1:
		if err = s.AbortSession(ctx, byAny(session.ID)); err == nil {
			err = x.begin(ctx, s, at)
		}
	case 2, 3:
		err = x.commit(ctx, s)
	case 4:
		err = s.SetSessionSize(ctx, byAny(session.ID), rand.Int64N(2))
	default:
		return x.send(ctx, s, session.ID)
	}
	if err == nil || store.KindOf(err) == store.NotFound || store.KindOf(err) == store.Conflict {
		return nil
	}
	return err
}

// commit stores a file, and perhaps renames it, or the one that another client stored.
func (x *traffic) commit(ctx context.Context, s *postgres.Store) error {
	f := smallFile(anyKey())
	x.parts.Add(1)
	if _, _, err := s.CommitFile(ctx, store.Commit{File: f}); err != nil || !x.renames {
		return err
	}
	if rand.N(2) == 0 {
		var err error
		if f, err = s.LatestFile(ctx, f.Bucket, anyKey()); err != nil {
			return err
		}
	}
	_, _, err := s.RenameFile(ctx, store.Rename{File: f.ID, Bucket: f.Bucket, Key: anyKey(), Attempt: store.NewAttemptID()})
	return err
}

// begin puts a new session in the place of one that has ended.
func (x *traffic) begin(ctx context.Context, s *postgres.Store, at int) error {
	next, err := s.CreateSession(ctx, store.Session{ID: store.NewFileID(), Bucket: store.DefaultBucket, Key: anyKey(), Size: -1}, time.Hour, store.SessionLimits{})
	x.sessions[at].Store(&next)
	return err
}

// complete takes all parts but perhaps the first.
func (x *traffic) complete(ctx context.Context, s *postgres.Store, at int, session store.Session) error {
	session, err := s.Session(ctx, session.ID)
	if err != nil {
		return err
	}
	f := store.File{ID: session.ID, Bucket: session.Bucket, Key: session.Key}
	for i, p := range session.Parts {
		if i > 0 || rand.N(2) == 0 {
			f.Parts = append(f.Parts, p.Part)
		}
	}
	if _, _, err := s.CompleteSession(ctx, store.Completion{File: f, Sessions: []store.FileID{session.ID}, Attempt: store.NewAttemptID()}); err != nil {
		return err
	}
	return x.begin(ctx, s, at)
}

// send saves a part of one of three numbers, begun before or not, or drops it.
func (x *traffic) send(ctx context.Context, s *postgres.Store, session store.FileID) error {
	p := smallFile("").Parts[0]
	p.Number = 1 + rand.N(3)
	if rand.N(3) > 0 {
		if err := s.BeginPart(ctx, session, p); err != nil {
			if store.KindOf(err) == store.NotFound {
				return nil
			}
			return err
		}
	}
	x.parts.Add(1)
	if rand.N(4) == 0 {
		return s.DropPart(ctx, p)
	}
	// Times and callers of their own make each save change the row of the session's expiry.
	err := s.SavePart(ctx, byAny(session), p, time.Hour+rand.N(time.Hour))
	if err != nil && store.KindOf(err) == store.NotFound {
		return s.DropPart(ctx, p)
	}
	return err
}

// byAny is a change of a session by one of two clients.
func byAny(session store.FileID) store.SessionChange {
	return store.SessionChange{Session: session, Caller: fmt.Sprint("key-", rand.N(2))}
}

// transaction is one that the test ends by hand.
func transaction(t *testing.T, dsn string) pgx.Tx {
	t.Helper()
	tx, err := connect(t, dsn).Begin(t.Context())
	require.NoError(t, err)
	return tx
}

// awaitWaiter returns once a session waits for a row of the database.
func awaitWaiter(t *testing.T, dsn string) {
	t.Helper()
	conn := connect(t, dsn)
	require.Eventually(t, func() bool {
		var n int
		err := conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").Scan(&n)
		return err == nil && n > 0
	}, 20*time.Second, time.Millisecond)
}

// saveHalf runs the statements of SavePart, and leaves the transaction open.
func saveHalf(t *testing.T, s *postgres.Store, tx pgx.Tx, session store.FileID, p store.Part) {
	t.Helper()
	nodes, sums := pack.Pack(p.Chunks)
	_, err := tx.Exec(t.Context(), s.SQL().DropReplaced, [16]byte(session), [16]byte(p.ID), p.Number)
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), s.SQL().StorePart, [16]byte(session), [16]byte(p.ID), p.Number, p.Size, p.K, p.M, p.UnitSize, int64(p.CRC64), nodes, sums, pack.Checksums(p.Checksums), int64(0), int16(0))
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), s.SQL().SlideSession, [16]byte(session), [16]byte(p.ID), 2*time.Hour, "")
	require.NoError(t, err)
}

// While a part is being saved, other parts of the session can be begun and saved, and lists work; the end of
// the session waits for the save, and then includes the part.
func TestTheEndOfASessionWaitsForItsParts(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*postgres.Store, store.Session, store.Part) error{
		"abort": func(s *postgres.Store, x store.Session, _ store.Part) error {
			return s.AbortSession(context.Background(), store.SessionChange{Session: x.ID})
		},
		"complete": func(s *postgres.Store, x store.Session, taken store.Part) error {
			f := store.File{ID: x.ID, Bucket: x.Bucket, Key: x.Key, Parts: []store.Part{taken}}
			_, _, err := s.CompleteSession(context.Background(), store.Completion{File: f, Sessions: []store.FileID{x.ID}, Attempt: store.NewAttemptID()})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := pgtest.Database(t)
			s := open(t, dsn, postgres.Options{})
			x := newSession(t, s, "a")
			slow, other := stripedPart(1), stripedPart(2)
			require.NoError(t, s.BeginPart(t.Context(), x.ID, slow))
			tx := transaction(t, dsn)
			saveHalf(t, s, tx, x.ID, slow)

			require.NoError(t, s.BeginPart(t.Context(), x.ID, other))
			require.NoError(t, s.SavePart(t.Context(), store.SessionChange{Session: x.ID}, other, time.Hour))
			got, err := s.Session(t.Context(), x.ID)
			require.NoError(t, err)
			require.Len(t, got.Parts, 1)

			ended := make(chan error, 1)
			go func() { ended <- end(s, x, slow) }()
			awaitWaiter(t, dsn)
			require.Empty(t, ended)
			require.NoError(t, tx.Commit(t.Context()))
			require.NoError(t, <-ended)
			reclaims := 16
			if name == "complete" {
				reclaims = 8
				f, err := s.File(t.Context(), x.ID)
				require.NoError(t, err)
				require.Equal(t, slow.ID, f.Parts[0].ID)
			}
			sweepAll(t, s)
			require.Equal(t, reclaims, count(t, s, "SELECT count(*) FROM tasks WHERE kind = 1"))
			require.Zero(t, count(t, s, "SELECT count(*) FROM parts WHERE state = 1"))
		})
	}
}

// A part that waits for the end of its session is not let in after it.
func TestAPartWaitsForTheEndOfItsSession(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	s := open(t, dsn, postgres.Options{})
	p := stripedPart(1)
	for name, add := range map[string]func(store.FileID) error{
		"begin": func(id store.FileID) error { return s.BeginPart(context.Background(), id, p) },
		"save": func(id store.FileID) error {
			return s.SavePart(context.Background(), store.SessionChange{Session: id}, p, time.Hour)
		},
	} {
		x := newSession(t, s, "a")
		tx := transaction(t, dsn)
		_, err := tx.Exec(t.Context(), s.SQL().LockSessions, [][16]byte{x.ID})
		require.NoError(t, err)
		_, err = tx.Exec(t.Context(), s.SQL().EndSession, [16]byte(x.ID), "")
		require.NoError(t, err)
		added := make(chan error, 1)
		go func() { added <- add(x.ID) }()
		awaitWaiter(t, dsn)
		require.Empty(t, added, name)
		require.NoError(t, tx.Commit(t.Context()))
		requireKind(t, store.NotFound, <-added)
	}
	require.Zero(t, count(t, s, "SELECT (SELECT count(*) FROM parts) + (SELECT count(*) FROM tasks)"))
}

// Of two saves of one number the second waits for the first, and then takes its place: the first's chunks are reclaimed.
func TestTwoSavesOfOneNumber(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	s := open(t, dsn, postgres.Options{})
	for _, before := range []bool{false, true} { // whether both find a part to replace
		x := newSession(t, s, store.Key(fmt.Sprint(before)))
		if before {
			require.NoError(t, s.SavePart(t.Context(), store.SessionChange{Session: x.ID}, stripedPart(1), time.Hour))
		}
		first, second := stripedPart(1), stripedPart(1)
		tx := transaction(t, dsn)
		saveHalf(t, s, tx, x.ID, first)
		saved := make(chan error, 1)
		go func() {
			saved <- s.SavePart(context.Background(), store.SessionChange{Session: x.ID}, second, time.Hour)
		}()
		awaitWaiter(t, dsn)
		require.Empty(t, saved)
		require.NoError(t, tx.Commit(t.Context()))
		require.NoError(t, <-saved)
		got, err := s.Session(t.Context(), x.ID)
		require.NoError(t, err)
		require.Len(t, got.Parts, 1)
		require.Equal(t, second.ID, got.Parts[0].ID)
		require.Equal(t, 8, count(t, s, fmt.Sprintf("SELECT count(*) FROM tasks WHERE part_id = '%s'", first.ID)))
	}
}

// A part that is being saved while it is dropped stays, once it is saved.
func TestADropWaitsForTheSave(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	s := open(t, dsn, postgres.Options{})
	x, p := newSession(t, s, "a"), stripedPart(1)
	require.NoError(t, s.BeginPart(t.Context(), x.ID, p))
	tx := transaction(t, dsn)
	saveHalf(t, s, tx, x.ID, p)
	dropped := make(chan error, 1)
	go func() { dropped <- s.DropPart(context.Background(), p) }()
	awaitWaiter(t, dsn)
	require.NoError(t, tx.Commit(t.Context()))
	requireKind(t, store.Conflict, <-dropped)
	require.Zero(t, count(t, s, "SELECT count(*) FROM tasks"))
}

// A save slides the session on, to the second, and at once where another client made the last change.
func TestSessionsSlideOnceASecond(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	s := open(t, dsn, postgres.Options{})
	x := newSession(t, s, "a")
	version := func() (v string) {
		require.NoError(t, s.Pool().QueryRow(t.Context(), "SELECT xmin::text FROM session_expiries").Scan(&v))
		return v
	}
	expiry := func(caller string, age time.Duration) (first, second string, kept time.Duration) {
		run(t, dsn, "UPDATE session_expiries SET expires_at = now() + interval '1 h' - $1::interval", age)
		first = version()
		require.NoError(t, s.SavePart(t.Context(), store.SessionChange{Session: x.ID, Caller: caller}, stripedPart(1), time.Hour))
		got, err := s.Session(t.Context(), x.ID)
		require.NoError(t, err)
		require.Equal(t, caller, got.ChangedBy)
		return first, version(), got.ExpiresAt.Sub(got.Parts[0].StoredAt)
	}
	first, second, kept := expiry("one", 2*time.Second)
	require.NotEqual(t, first, second)
	require.Equal(t, time.Hour, kept)
	first, second, kept = expiry("one", -30*time.Minute)
	require.NotEqual(t, first, second, "sooner")
	require.Equal(t, time.Hour, kept)
	// The test may take its time: either the row is left alone, or its second is over.
	first, second, kept = expiry("one", 0)
	require.True(t, first == second || kept == time.Hour)
	require.Greater(t, kept, time.Hour-time.Second)
	first, second, kept = expiry("two", 0)
	require.NotEqual(t, first, second)
	require.Equal(t, time.Hour, kept)
}
