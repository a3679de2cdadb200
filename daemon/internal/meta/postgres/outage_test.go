package postgres_test

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/pgtest"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/tests/pgserver"
)

// patience bounds waits for something that must happen.
const patience = 30 * time.Second

// listen returns the address of a listener that accepts and never answers.
func listen(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, l.Close()) })
	return l.Addr().String()
}

// While the database is away calls say so; once it is back they work again, on the same store.
func TestDatabaseAwayAndBack(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t, pgserver.Options{TCP: true})
	for name, dsn := range map[string]string{"socket": server.DSN("postgres"), "tcp": server.TCPDSN("postgres")} {
		for how, end := range map[string]func() error{"stop": server.Stop, "kill": server.Kill} {
			s := open(t, dsn, postgres.Options{})
			kept := smallFile(store.Key(name + how))
			_, _, err := s.CommitFile(t.Context(), store.Commit{File: kept})
			require.NoError(t, err)

			require.NoError(t, end())
			away(t, s)
			require.NoError(t, server.Start(t.Context()))
			require.NoError(t, s.Ping(t.Context()), "nothing needs to be done for calls to succeed again")
			got, err := s.File(t.Context(), kept.ID)
			require.NoError(t, err)
			require.Equal(t, kept.Key, got.Key)
			_, _, err = s.CommitFile(t.Context(), store.Commit{File: smallFile("after")})
			require.NoError(t, err)
			require.NoError(t, s.Close())
		}
	}
}

// away demands that calls of each sort fail as they should while the database is not there.
func away(t *testing.T, s *postgres.Store) {
	t.Helper()
	ctx := t.Context()
	_, err := s.File(ctx, store.NewFileID())
	requireAway(t, err)
	_, _, err = s.CommitFile(ctx, store.Commit{File: smallFile("lost")})
	requireAway(t, err)
	_, _, err = s.CommitFile(ctx, store.Commit{File: smallFile("lost"), Begun: true})
	requireAway(t, err)
	requireAway(t, s.Ping(ctx))
	requireAway(t, s.DeleteFile(ctx, store.Deletion{File: store.NewFileID(), Attempt: store.NewAttemptID()}))
	_, err = s.ListObjects(ctx, store.ObjectQuery{Bucket: store.DefaultBucket, Limit: 1})
	requireAway(t, err)
}

func requireAway(t *testing.T, err error) {
	t.Helper()
	requireKind(t, store.Unavailable, err)
	require.NotEmpty(t, store.HintOf(err))
}

// Calls that are in progress when the server stops all return, none with
// a kind that claims more than is known.
func TestOutageUnderLoad(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t, pgserver.Options{})
	s := open(t, server.DSN("postgres"), postgres.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var acknowledged sync.Map
	var commits atomic.Int64
	some := make(chan struct{})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for ctx.Err() == nil {
				f := smallFile(store.Key(store.NewFileID().String()))
				_, _, err := s.CommitFile(ctx, store.Commit{File: f})
				switch {
				case err == nil:
					acknowledged.Store(f.ID, true)
					if commits.Add(1) == 200 {
						close(some)
					}
				case ctx.Err() == nil:
					requireOneOf(t, err, store.Unavailable)
				}
			}
		})
	}
	<-some
	require.NoError(t, server.Kill())
	require.NoError(t, server.Start(t.Context()))
	require.Eventually(t, func() bool { return s.Ping(t.Context()) == nil }, patience, time.Millisecond)
	cancel()
	all.Wait()
	acknowledged.Range(func(id, _ any) bool {
		_, err := s.File(t.Context(), id.(store.FileID))
		require.NoError(t, err, "an acknowledged file is there after a crash of the server")
		return true
	})
}

func requireOneOf(t *testing.T, err error, kinds ...store.Kind) {
	t.Helper()
	for _, k := range kinds {
		if errors.Is(err, k) {
			return
		}
	}
	t.Errorf("kind %v of %v is none of %v", store.KindOf(err), err, kinds)
}

// A hundred queries at once share a few connections, and give all of them back.
func TestDatabaseConnectionPool(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.Database(t), postgres.Options{MaxConns: 7})
	f := smallFile("shared")
	_, _, err := s.CommitFile(t.Context(), store.Commit{File: f})
	require.NoError(t, err)
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			var err error
			switch i % 5 {
			case 0:
				_, err = s.File(t.Context(), f.ID)
			case 1:
				_, err = s.ListObjects(t.Context(), store.ObjectQuery{Bucket: store.DefaultBucket, Delimiter: "/", Limit: 10})
			case 2:
				_, err = s.Members(t.Context())
			case 3:
				_, err = s.File(t.Context(), store.NewFileID()) // fails, and must not leak either
				if store.KindOf(err) == store.NotFound {
					err = nil
				}
			case 4:
				_, _, err = s.CommitFile(t.Context(), store.Commit{File: smallFile(store.Key(store.NewFileID().String()))})
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	stat := s.Pool().Stat()
	require.Zero(t, stat.AcquiredConns())
	require.LessOrEqual(t, stat.TotalConns(), int32(7))
}

// holdFile locks the file's row from outside, so that changes of it must wait.
func holdFile(t *testing.T, dsn string, id store.FileID) pgx.Tx {
	t.Helper()
	tx, err := connect(t, dsn).Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "SELECT FROM files WHERE id = $1 FOR UPDATE", [16]byte(id))
	require.NoError(t, err)
	return tx
}

// waiting returns once a session of the database waits for a lock.
func waiting(t *testing.T, dsn string) {
	t.Helper()
	conn := connect(t, dsn)
	require.Eventually(t, func() bool {
		var n int
		err := conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").Scan(&n)
		return err == nil && n > 0
	}, patience, time.Millisecond)
}

func TestBusyConnections(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	s := open(t, dsn, postgres.Options{MaxConns: 1, AcquireTimeout: 500 * time.Millisecond})
	f := smallFile("a")
	_, _, err := s.CommitFile(t.Context(), store.Commit{File: f})
	require.NoError(t, err)
	tx := holdFile(t, dsn, f.ID)
	deleted := make(chan error, 1)
	go func() {
		deleted <- s.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()})
	}()
	waiting(t, dsn)
	_, err = s.File(t.Context(), f.ID)
	requireAway(t, err)
	require.ErrorContains(t, err, "in use")
	require.NoError(t, tx.Rollback(t.Context()))
	require.NoError(t, <-deleted)
	require.NoError(t, s.Ping(t.Context()))
}

func TestStatementTimeout(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	s := open(t, dsn, postgres.Options{StatementTimeout: 50 * time.Millisecond})
	f := smallFile("a")
	_, _, err := s.CommitFile(t.Context(), store.Commit{File: f})
	require.NoError(t, err)
	tx := holdFile(t, dsn, f.ID)
	requireAway(t, s.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()}))
	_, _, err = s.CommitFile(t.Context(), store.Commit{File: smallFile("a")})
	requireAway(t, err)
	require.NoError(t, tx.Rollback(t.Context()))
	require.NoError(t, s.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()}), "nothing of the attempts before is left")
}

// A canceled call returns at once, while the database is still blocked.
func TestCanceledWhileWaiting(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	s := open(t, dsn, postgres.Options{})
	f := smallFile("a")
	_, _, err := s.CommitFile(t.Context(), store.Commit{File: f})
	require.NoError(t, err)
	tx := holdFile(t, dsn, f.ID)
	for name, call := range map[string]func(context.Context) error{
		"delete": func(ctx context.Context) error {
			return s.DeleteFile(ctx, store.Deletion{File: f.ID, Attempt: store.NewAttemptID()})
		},
		"commit": func(ctx context.Context) error {
			_, _, err := s.CommitFile(ctx, store.Commit{File: smallFile("a")})
			return err
		},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- call(ctx) }()
		waiting(t, dsn)
		cancel()
		err := <-done
		require.ErrorIs(t, err, context.Canceled, name)
		requireKind(t, store.Canceled, err)
	}
	require.NoError(t, tx.Rollback(t.Context()))
	require.NoError(t, s.Ping(t.Context()))
}

// proxy forwards to a server and counts how often the client spoke after the server had.
func proxy(tb testing.TB, server string) (address string, turns *atomic.Int64) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	turns = new(atomic.Int64)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			upstream, err := net.Dial("tcp", server)
			if err != nil {
				tb.Error(err)
				return
			}
			var serverSpoke atomic.Bool
			serverSpoke.Store(true)
			all.Go(func() { forward(upstream, client, func() { serverSpoke.Store(true) }) })
			all.Go(func() {
				forward(client, upstream, func() {
					if serverSpoke.Swap(false) {
						turns.Add(1)
					}
				})
			})
		}
	})
	tb.Cleanup(func() {
		require.NoError(tb, l.Close())
		all.Wait()
	})
	return l.Addr().String(), turns
}

// forward copies until either end closes, and then closes both.
func forward(from, to net.Conn, each func()) {
	defer from.Close()
	defer to.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		each()
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// Each call is one round trip once its statements are prepared.
func TestOneRoundTrip(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t, pgserver.Options{TCP: true})
	config, err := pgx.ParseConfig(server.TCPDSN("postgres"))
	require.NoError(t, err)
	address, turns := proxy(t, net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port))))
	s := open(t, "postgres://postgres@"+address+"/postgres?sslmode=disable&pool_max_conns=1", postgres.Options{})
	ctx := t.Context()
	shown := smallFile("shown")
	_, _, err = s.CommitFile(ctx, store.Commit{File: shown})
	require.NoError(t, err)
	node := store.Node{ID: store.NewNodeID(), Name: "n", Weight: 1}
	for name, call := range map[string]func() error{
		"CommitFile": func() error {
			_, _, err := s.CommitFile(ctx, store.Commit{File: smallFile("a")})
			return err
		},
		"CommitFile of an upload, after BeginFile": func() error {
			f := smallFile("b")
			if err := s.BeginFile(ctx, f); err != nil {
				return err
			}
			turns.Add(-1)
			_, _, err := s.CommitFile(ctx, store.Commit{File: f, Begun: true})
			return err
		},
		"FailFile, after BeginFile": func() error {
			f := smallFile("c")
			if err := s.BeginFile(ctx, f); err != nil {
				return err
			}
			turns.Add(-1)
			return s.FailFile(ctx, f, "why", f.Parts)
		},
		"File and LatestFile": func() error {
			if _, err := s.File(ctx, shown.ID); err != nil {
				return err
			}
			turns.Add(-1)
			_, err := s.LatestFile(ctx, shown.Bucket, shown.Key)
			return err
		},
		"ListObjects": func() error {
			_, err := s.ListObjects(ctx, store.ObjectQuery{Bucket: store.DefaultBucket, Delimiter: "/", Limit: 9})
			return err
		},
		"ListFiles": func() error {
			_, err := s.ListFiles(ctx, store.FileQuery{Bucket: store.DefaultBucket, Limit: 9})
			return err
		},
		"sessions": func() error {
			calls, err := oneOfEachSessionCall(ctx, s)
			turns.Add(1 - calls)
			return err
		},
		"JoinNode": func() error {
			_, err := s.JoinNode(ctx, node)
			return err
		},
		"Claim": func() error {
			_, err := s.Claim(ctx, store.ClaimQuery{Term: 1, Kind: store.Reclaim, Limit: 9, Hold: time.Second})
			return err
		},
	} {
		_ = call() // prepares
		before := turns.Load()
		require.NoError(t, call(), name)
		require.Equal(t, int64(1), turns.Load()-before, name)
	}
}

// oneOfEachSessionCall makes the calls of a session's life, and renames the file that it becomes; it returns how many they were.
func oneOfEachSessionCall(ctx context.Context, s *postgres.Store) (calls int64, err error) {
	x := store.Session{ID: store.NewFileID(), Bucket: store.DefaultBucket, Key: "large", Size: -1}
	aborted := x
	aborted.ID = store.NewFileID()
	p, dropped := stripedPart(1), stripedPart(2)
	f := store.File{ID: x.ID, Bucket: x.Bucket, Key: x.Key, Parts: []store.Part{p}}
	for _, call := range []func() error{
		func() error { _, err := s.CreateSession(ctx, x, time.Hour, store.SessionLimits{}); return err },
		func() error { _, err := s.CreateSession(ctx, aborted, time.Hour, store.SessionLimits{}); return err },
		func() error { return s.BeginPart(ctx, x.ID, p) },
		func() error { return s.SavePart(ctx, store.SessionChange{Session: x.ID}, p, 2*time.Hour) },
		func() error { return s.DropPart(ctx, dropped) },
		func() error { return s.SetSessionSize(ctx, store.SessionChange{Session: x.ID}, 1) },
		func() error { _, err := s.Session(ctx, x.ID); return err },
		func() error {
			_, err := s.ListSessions(ctx, store.SessionQuery{Bucket: x.Bucket, Limit: 9})
			return err
		},
		func() error {
			_, _, err := s.CompleteSession(ctx, store.Completion{File: f, Sessions: []store.FileID{x.ID}, Attempt: store.NewAttemptID()})
			return err
		},
		func() error { return s.AbortSession(ctx, store.SessionChange{Session: aborted.ID}) },
		func() error {
			_, _, err := s.RenameFile(ctx, store.Rename{File: x.ID, Bucket: x.Bucket, Key: "renamed", Attempt: store.NewAttemptID()})
			return err
		},
	} {
		if err := call(); err != nil {
			return calls, err
		}
		calls++
	}
	return calls, nil
}
