package postgres_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/pgtest"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/tests/pgserver"
)

// The calls that keep the cluster together have connections of their own.
func TestControlCallsDoNotWaitForClients(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	s := open(t, dsn, postgres.Options{MaxConns: 2, AcquireTimeout: 500 * time.Millisecond})
	ctx := t.Context()
	f := smallFile("a")
	_, _, err := s.CommitFile(ctx, store.Commit{File: f})
	require.NoError(t, err)
	node := store.Node{ID: store.NewNodeID(), Name: "n", Weight: 1}
	_, err = s.JoinNode(ctx, node)
	require.NoError(t, err)
	require.NoError(t, s.SaveCredential(ctx, store.Credential{AccessKey: "key"}, ""))
	tx := holdFile(t, dsn, f.ID)
	gone := make(chan error, 2)
	for range 2 {
		go func() {
			one := store.Change{If: store.Condition{Exists: true}} // of its own transaction
			gone <- s.DeleteFile(ctx, store.Deletion{Change: one, File: f.ID, Attempt: store.NewAttemptID()})
		}()
	}
	require.Eventually(t, func() bool { return s.Pool().Stat().AcquiredConns() == 2 }, patience, time.Millisecond)
	_, err = s.File(ctx, f.ID)
	require.ErrorContains(t, err, "in use")

	require.NoError(t, s.Ping(ctx))
	_, err = s.Members(ctx)
	require.NoError(t, err)
	_, err = s.BeatNodes(ctx, []store.Beat{{Node: node.ID}})
	require.NoError(t, err)
	_, err = s.Credential(ctx, "key")
	require.NoError(t, err)
	lease, err := s.AcquireLease(ctx, "upkeep", "me", time.Minute)
	require.NoError(t, err)
	_, err = s.RenewLease(ctx, lease, time.Minute)
	require.NoError(t, err)
	require.NoError(t, s.ReleaseLease(ctx, lease))

	require.NoError(t, tx.Rollback(ctx))
	<-gone
	<-gone
}

// A listing that takes long is ended by the server early. That other calls keep their limit is in TestSettingsBehindAPooler.
func TestListingsHaveALimitOfTheirOwn(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	s := open(t, dsn, postgres.Options{MaxConns: 1, ListTimeout: 500 * time.Millisecond})
	lists := func() (errs []error) {
		_, err1 := s.ListFiles(t.Context(), store.FileQuery{Limit: 1})
		_, err2 := s.ListObjects(t.Context(), store.ObjectQuery{Bucket: store.DefaultBucket, Limit: 1})
		_, err3 := s.ListSessions(t.Context(), store.SessionQuery{Limit: 1})
		return []error{err1, err2, err3}
	}
	require.NoError(t, errors.Join(lists()...), "they are prepared now, which would wait for the lock, too")
	tx, err := connect(t, dsn).Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "LOCK TABLE files, sessions")
	require.NoError(t, err)
	for _, err := range lists() {
		requireAway(t, err)
		require.ErrorContains(t, err, "the listing took longer than 500ms")
	}
	require.NoError(t, tx.Rollback(t.Context()))
}

// A listing by time sorts what a prefix selects, so that must not be too much.
func TestListingByTimeOfTooManyFiles(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Fresh(t)
	load(t, dsn, store.MaxSorted+1)
	s := open(t, dsn, postgres.Options{})
	for _, q := range []store.FileQuery{{Prefix: "top-"}, {Prefix: "top-", Bucket: store.DefaultBucket, Descending: true}} {
		q.Limit = 1
		_, err := s.ListFiles(t.Context(), q)
		require.ErrorIs(t, err, store.Invalid)
		require.NotEmpty(t, store.HintOf(err))
		q.Prefix = "top-1/"
		page, err := s.ListFiles(t.Context(), q)
		require.NoError(t, err)
		require.True(t, page.More)
	}
}

// A server that vanished without a word costs a call its limit, and says that the outcome is open.
func TestAServerThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t, pgserver.Options{TCP: true})
	relay := newRelay(t, hostOf(t, server.TCPDSN("postgres")))
	s := open(t, "postgres://postgres@"+relay.address+"/postgres?sslmode=disable", postgres.Options{
		StatementTimeout: time.Second, AcquireTimeout: time.Second,
	})
	f := smallFile("a")
	_, _, err := s.CommitFile(t.Context(), store.Commit{File: f})
	require.NoError(t, err)
	relay.hold()
	err = s.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()})
	requireAway(t, err)
	require.ErrorContains(t, err, "did not answer in time")
	relay.turnTo("") // or closing would wait for it, too
}
