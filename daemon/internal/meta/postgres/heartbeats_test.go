package postgres_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/pgtest"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Heartbeats and a join without changes write no new version of the membership row; a changed address does.
func TestHeartbeatsLeaveTheMembershipRow(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.Database(t), postgres.Options{})
	ctx := t.Context()
	node := store.Node{ID: store.NewNodeID(), Name: "n", Address: "a:1", Weight: 1, Version: "v1"}
	_, err := s.JoinNode(ctx, node)
	require.NoError(t, err)
	place := func(query string) (at string) {
		t.Helper()
		require.NoError(t, s.Pool().QueryRow(ctx, query).Scan(&at))
		return at
	}
	const member, beat = "SELECT ctid::text FROM nodes", "SELECT ctid::text FROM heartbeats"
	memberAt, beatAt := place(member), place(beat)
	_, err = s.BeatNodes(ctx, []store.Beat{{Node: node.ID, Capacity: store.Capacity{Free: 7}}})
	require.NoError(t, err)
	require.Equal(t, memberAt, place(member))
	require.NotEqual(t, beatAt, place(beat))

	node.Version = "v2"
	_, err = s.JoinNode(ctx, node)
	require.NoError(t, err)
	require.Equal(t, memberAt, place(member))
	node.Address = "b:1"
	_, err = s.JoinNode(ctx, node)
	require.NoError(t, err)
	require.NotEqual(t, memberAt, place(member))
}

// No index has a column that a heartbeat changes, so that PostgreSQL can keep the new version of a row in its page.
func TestHeartbeatsHaveNoIndexOnWhatChanges(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.Database(t), postgres.Options{})
	var indexes int
	var options []string
	require.NoError(t, s.Pool().QueryRow(t.Context(), "SELECT count(*) FROM pg_indexes WHERE tablename = 'heartbeats'").Scan(&indexes))
	require.Equal(t, 1, indexes, "the primary key only")
	require.NoError(t, s.Pool().QueryRow(t.Context(), "SELECT reloptions FROM pg_class WHERE relname = 'heartbeats'").Scan(&options))
	require.Contains(t, options, "fillfactor=50")
}
