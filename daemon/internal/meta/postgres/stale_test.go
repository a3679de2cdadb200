package postgres_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/pgtest"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/tests/pgserver"
)

// atOnce runs f eight times at the same time, so that several connections are used.
func atOnce(t *testing.T, f func(i int) error) {
	t.Helper()
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			if err := f(i); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// A change of the schema makes statements stale that running gateways prepared before it. No call fails for that.
func TestSchemaChangesWhileCallsRun(t *testing.T) {
	t.Parallel()
	direct := pgtest.Fresh(t)
	for name, dsn := range map[string]string{"direct": direct, "pooler": pgtest.Pooler(t, few)(direct)} {
		s := open(t, dsn, postgres.Options{})
		f := smallFile(store.Key(name))
		_, _, err := s.CommitFile(t.Context(), store.Commit{File: f})
		require.NoError(t, err)
		use := func() {
			atOnce(t, func(int) error {
				_, err := s.File(t.Context(), f.ID)
				return err
			})
			_, _, err := s.CommitFile(t.Context(), store.Commit{File: smallFile(store.Key(name + "-other"))})
			require.NoError(t, err)
		}
		use()
		for _, change := range []string{
			"ALTER TABLE files ALTER COLUMN etag TYPE varchar(100)",
			"ALTER TABLE files ALTER COLUMN completed_at TYPE timestamptz(3)",
			"ALTER TABLE files ALTER COLUMN etag TYPE text",
			"ALTER TABLE files ALTER COLUMN completed_at TYPE timestamptz",
		} {
			run(t, direct, change)
			use()
		}
	}
}

// onTheConnection runs a statement on the only connection of a store.
func onTheConnection(t *testing.T, s *postgres.Store, sql string) {
	t.Helper()
	c, err := s.Pool().Acquire(t.Context())
	require.NoError(t, err)
	defer c.Release()
	_, err = c.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol)
	require.NoError(t, err)
}

// A pooler that was not detected leaves prepared statements that are missing or whose names are taken.
func TestStatementsOfAnother(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.Database(t), postgres.Options{MaxConns: 1})
	bucket := func(i int) store.Bucket {
		return store.Bucket{Name: store.BucketName(fmt.Sprintf("bucket-%d", i)), Survive: 1}
	}
	require.NoError(t, s.CreateBucket(t.Context(), bucket(1), ""))
	_, err := s.ListBuckets(t.Context())
	require.NoError(t, err)

	onTheConnection(t, s, "DEALLOCATE ALL")
	require.NoError(t, s.CreateBucket(t.Context(), bucket(2), ""), "a change that the server refused left nothing, and is repeated")
	onTheConnection(t, s, "DEALLOCATE ALL")
	_, err = s.ListBuckets(t.Context())
	require.NoError(t, err)

	for i, sql := range []string{s.SQL().UpdateBucket, s.SQL().Bucket} {
		digest := sha256.Sum256([]byte(sql))
		onTheConnection(t, s, fmt.Sprintf(`PREPARE "stmtcache_%s" AS SELECT %d`, hex.EncodeToString(digest[:24]), i))
	}
	require.NoError(t, s.UpdateBucket(t.Context(), bucket(1), ""))
	_, err = s.Bucket(t.Context(), bucket(1).Name)
	require.NoError(t, err)
}

// Connections that died in the pool cost no call: what was not sent may be sent again, changes too.
func TestDeadConnectionsInThePool(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t, pgserver.Options{TCP: true, TLS: true})
	for name, dsn := range map[string]string{
		"socket": server.DSN("postgres"), "tcp": server.TCPDSN("postgres"), "tls": server.TLSDSN("postgres"),
	} {
		s := open(t, dsn, postgres.Options{Reconnect: patience})
		change := func(i int) error {
			_, _, err := s.CommitFile(t.Context(), store.Commit{File: smallFile(store.Key(fmt.Sprint(name, i))), Begun: true})
			if store.KindOf(err) == store.NotFound {
				return nil // there is no such upload, says the database
			}
			return err
		}
		for how, end := range map[string]func() error{
			"restart": server.Stop,
			"crash":   server.Kill,
		} {
			atOnce(t, change)
			require.NoError(t, end(), how)
			require.NoError(t, server.Start(t.Context()))
			atOnce(t, change)
		}
		atOnce(t, change)
		terminate(t, server.DSN("postgres"))
		atOnce(t, change)
	}
}

// A connection that was used a moment ago is not looked at before the next call. Where the server has ended it meanwhile, nothing of
// that call was executed, so a change is sent again, too.
func TestAConnectionThatEndedAMomentAgoCostsNoChange(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t, pgserver.Options{TCP: true, TLS: true})
	for name, dsn := range map[string]string{
		"socket": server.DSN("postgres"), "tcp": server.TCPDSN("postgres"), "tls": server.TLSDSN("postgres"),
	} {
		s := open(t, dsn, postgres.Options{MaxConns: 1, Reconnect: patience})
		for n := range 10 {
			held, err := s.Pool().Acquire(t.Context())
			require.NoError(t, err)
			terminate(t, server.DSN("postgres"))
			held.Release() // it counts as used now
			f := smallFile(store.Key(fmt.Sprint(name, n)))
			_, _, err = s.CommitFile(t.Context(), store.Commit{File: f})
			require.NoError(t, err)
			_, err = s.File(t.Context(), f.ID)
			require.NoError(t, err)
		}
	}
}

// terminate ends all other connections of the database, and returns once none is left.
func terminate(t *testing.T, dsn string) {
	t.Helper()
	conn := connect(t, dsn)
	const others = " FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
	_, err := conn.Exec(t.Context(), "SELECT pg_terminate_backend(pid)"+others)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		var n int
		return conn.QueryRow(t.Context(), "SELECT count(*)"+others).Scan(&n) == nil && n == 0
	}, patience, time.Millisecond)
}

// A call that comes while the database restarts waits for it a while; one whose answer is lost does not repeat its change.
func TestCallsDuringARestart(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t, pgserver.Options{})
	s := open(t, server.DSN("postgres"), postgres.Options{Reconnect: patience, AcquireTimeout: patience})
	require.NoError(t, server.Stop())
	started := make(chan error, 1)
	answered := make(chan error, 1)
	go func() {
		_, _, err := s.CommitFile(t.Context(), store.Commit{File: smallFile("a")})
		answered <- err
	}()
	go func() { started <- server.Start(t.Context()) }()
	require.NoError(t, <-started)
	require.NoError(t, <-answered)
}

// What was sent and not answered may have happened: a change is not sent again, and its error says what happened.
func TestAnOpenOutcomeIsNotRepeated(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t, pgserver.Options{TCP: true})
	direct := server.DSN("postgres")
	relay := newRelay(t, hostOf(t, server.TCPDSN("postgres")))
	s := open(t, "postgres://postgres@"+relay.address+"/postgres?sslmode=disable", postgres.Options{})
	for name, cut := range map[string]func(){
		"was lost": func() { relay.turnTo(hostOf(t, server.TCPDSN("postgres"))) },
		"was stopped or restarted": func() {
			run(t, direct, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
		},
	} {
		shown := smallFile("a")
		_, _, err := s.CommitFile(t.Context(), store.Commit{File: shown})
		require.NoError(t, err)
		tx := holdFile(t, direct, shown.ID)
		answered := make(chan error, 1)
		go func() {
			answered <- s.DeleteFile(t.Context(), store.Deletion{File: shown.ID, Attempt: store.NewAttemptID()})
		}()
		waiting(t, direct)
		cut()
		err = <-answered
		requireAway(t, err)
		require.ErrorContains(t, err, name)
		require.NoError(t, tx.Rollback(t.Context()))
	}
}

// Errors say what happened, and what to do.
func TestErrorsOfAnOutage(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t, pgserver.Options{})
	s := open(t, server.DSN("postgres"), postgres.Options{Reconnect: time.Millisecond})
	require.NoError(t, server.Stop())
	err := s.Ping(t.Context())
	requireAway(t, err)
	require.ErrorContains(t, err, "cannot connect to the database")
}

// A pipeline that does not fit the sockets lies there while the server is busy with its first statement. That is no
// sign of a dead server, however long it lasts.
func TestABusyServerIsNotDead(t *testing.T) {
	t.Parallel()
	const deadPeer = 2 * time.Second
	server := pgtest.Private(t, pgserver.Options{TCP: true})
	s := open(t, server.TCPDSN("postgres"), postgres.Options{DeadPeer: deadPeer})
	shown := smallFile("a")
	_, _, err := s.CommitFile(t.Context(), store.Commit{File: shown})
	require.NoError(t, err)
	tx := holdFile(t, server.DSN("postgres"), shown.ID)
	large := smallFile("a")
	large.Meta = map[string]string{"large": strings.Repeat("0", 32<<20)}
	answered := make(chan error, 1)
	go func() {
		_, _, err := s.CommitFile(t.Context(), store.Commit{File: large})
		answered <- err
	}()
	waiting(t, server.DSN("postgres"))
	select {
	case err := <-answered:
		require.NoError(t, err)
	case <-time.After(3 * deadPeer): // what is tested is that this time passes
	}
	require.NoError(t, tx.Rollback(t.Context()))
	require.NoError(t, <-answered)
}
