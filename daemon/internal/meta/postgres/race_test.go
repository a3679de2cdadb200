package postgres_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/pgtest"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// count gives the number that the query returns.
func count(t *testing.T, s *postgres.Store, sql string) (n int) {
	t.Helper()
	require.NoError(t, s.Pool().QueryRow(t.Context(), sql).Scan(&n))
	return n
}

// Gateways that commit, replace, upload, move and delete the same few names
// concurrently lose no chunk: each recorded chunk is either in a part or queued, and never both.
func TestNoChunkIsLost(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	gateways := []*postgres.Store{open(t, dsn, postgres.Options{}), open(t, dsn, postgres.Options{})}
	var all sync.WaitGroup
	for worker := range 12 {
		all.Go(func() {
			s := gateways[worker%2]
			for range 40 {
				if err := randomChange(context.Background(), s, store.Key(fmt.Sprintf("name-%d", rand.N(4)))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	s := gateways[0]
	sweepAll(t, s)
	require.Zero(t, count(t, s, "SELECT count(*) FROM parts p WHERE NOT EXISTS (SELECT FROM files f WHERE f.id = p.owner)"), "parts without a file")
	require.Zero(t, count(t, s, "SELECT count(*) FROM files WHERE state NOT IN (1, 2, 3) AND NOT (state = 4 AND completed_at IS NULL)"))
	require.Zero(t, count(t, s, "SELECT count(*) FROM files WHERE latest IS DISTINCT FROM (state = 2)"), "a complete file that is not shown was not removed")
	require.Zero(t, count(t, s, "SELECT count(*) FROM tasks JOIN parts ON parts.id = part_id WHERE kind = 1"), "a chunk is alive and is being reclaimed")
	parts := count(t, s, "SELECT count(*) FROM parts")
	reclaims := count(t, s, "SELECT count(*) FROM tasks WHERE kind = 1")
	require.Equal(t, 12*40*chunksPerFile, parts*chunksPerFile+reclaims, "chunks are in parts or queued")
}

const chunksPerFile = 3

// sweepAll queues the chunks of all deleted files for reclaim.
func sweepAll(t *testing.T, s *postgres.Store) {
	t.Helper()
	for swept := 1; swept > 0; {
		var err error
		swept, err = s.SweepDeleted(t.Context(), 0, store.MaxListLimit)
		require.NoError(t, err)
	}
}

// randomChange brings one new file of chunksPerFile chunks in, one way or another.
func randomChange(ctx context.Context, s *postgres.Store, key store.Key) error {
	f := smallFile(key)
	switch rand.N(4) {
	case 0: // begun, then complete
		if err := s.BeginFile(ctx, f); err != nil {
			return err
		}
		_, _, err := s.CommitFile(ctx, store.Commit{File: f, Begun: true})
		return err
	case 1: // begun, then abandoned
		if err := s.BeginFile(ctx, f); err != nil {
			return err
		}
		return s.FailFile(ctx, f, "test", f.Parts)
	case 2: // complete, then deleted, unless it was replaced
		if _, _, err := s.CommitFile(ctx, store.Commit{File: f}); err != nil {
			return err
		}
		if err := s.DeleteFile(ctx, store.Deletion{File: f.ID, Attempt: store.NewAttemptID()}); err != nil && store.KindOf(err) != store.NotFound {
			return err
		}
		return nil
	}
	_, _, err := s.CommitFile(ctx, store.Commit{File: f})
	return err
}

// A bucket that is deleted during commits is either deleted empty or kept.
func TestDeleteBucketAgainstCommits(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	one, two := open(t, dsn, postgres.Options{}), open(t, dsn, postgres.Options{})
	for round := range 30 {
		name := store.BucketName(fmt.Sprintf("bucket-%d", round))
		require.NoError(t, one.CreateBucket(t.Context(), store.Bucket{Name: name}, ""))
		var all sync.WaitGroup
		var dropped error
		stored := make([]error, 6)
		for i := range stored {
			all.Go(func() {
				f := smallFile(store.Key(fmt.Sprint(i)))
				f.Bucket = name
				if i%2 == 0 {
					stored[i] = two.BeginFile(context.Background(), f)
					return
				}
				_, _, stored[i] = two.CommitFile(context.Background(), store.Commit{File: f})
			})
		}
		all.Go(func() { dropped = one.DeleteBucket(context.Background(), name, "") })
		all.Wait()
		for _, err := range stored {
			if dropped == nil {
				requireKind(t, store.NotFound, err)
			} else {
				requireKind(t, store.Conflict, dropped)
				if err != nil {
					t.Errorf("the bucket stayed, but: %v", err)
				}
			}
		}
	}
	require.Zero(t, count(t, one, "SELECT count(*) FROM files f WHERE NOT EXISTS (SELECT FROM buckets b WHERE b.id = f.bucket_id)"))
}

// Claimers at once get each due task once, whichever way they ask, while others finish and postpone.
func TestClaimsAreExclusive(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.Database(t), postgres.Options{})
	const tasks = 400
	nodes, kinds := []store.NodeID{store.NewNodeID(), store.NewNodeID(), store.NewNodeID()}, []store.TaskKind{store.Reclaim, store.Repair}
	var queue []store.Task
	for i := range tasks {
		queue = append(queue, store.Task{Kind: kinds[i%2], Chunk: store.ChunkID{Part: store.NewPartID()}, Node: nodes[i%3], Chunks: 1, Priority: i % 5})
	}
	require.NoError(t, s.Enqueue(t.Context(), queue))
	var mu sync.Mutex
	seen := map[store.ChunkID]int{}
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			q := store.ClaimQuery{Term: 1, Kind: kinds[worker%2], Limit: 7, Hold: time.Hour}
			if worker%4 == 0 {
				q.Nodes = nodes
			}
			for {
				mine, err := s.Claim(context.Background(), q)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				for _, task := range mine {
					seen[task.Chunk]++
				}
				done := len(seen) == tasks
				mu.Unlock()
				if done {
					return
				}
				if err := s.Finish(context.Background(), mine); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for id, n := range seen {
		require.Equal(t, 1, n, id)
	}
}

// A chunk that comes back to a node that still has its delete queued: either
// the delete is taken off the queue and never handed out, or the chunk does not come back.
func TestMoveChunkAgainstClaim(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	mover, claimer := open(t, dsn, postgres.Options{}), open(t, dsn, postgres.Options{})
	home, away := store.Placement{Node: store.NewNodeID(), Sum: 7}, store.Placement{Node: store.NewNodeID(), Sum: 7}
	moves, refusals := 0, 0
	for round := range 60 {
		f := smallFile(store.Key(fmt.Sprint(round)))
		f.Parts[0].K, f.Parts[0].M, f.Parts[0].Chunks = 1, 0, []store.Placement{home}
		_, _, err := mover.CommitFile(t.Context(), store.Commit{File: f})
		require.NoError(t, err)
		id := f.Parts[0].ChunkID(0)
		require.NoError(t, mover.MoveChunk(t.Context(), id, home, away), "this queues the delete at home")

		var moved, claimFailed error
		var claimed []store.Task
		var all sync.WaitGroup
		all.Go(func() { moved = mover.MoveChunk(context.Background(), id, away, home) })
		all.Go(func() {
			claimed, claimFailed = claimer.Claim(context.Background(), store.ClaimQuery{
				Term: 1,
				Kind: store.Reclaim, Nodes: []store.NodeID{home.Node}, Limit: 5, Hold: time.Hour,
			})
		})
		all.Wait()
		require.NoError(t, claimFailed)
		if moved == nil {
			moves++
			require.Empty(t, claimed, "the chunk is at home, and somebody was told to delete it there")
		} else {
			refusals++
			requireKind(t, store.Conflict, moved)
			require.Len(t, claimed, 1)
		}
		part, _, err := mover.Part(t.Context(), f.Parts[0].ID)
		require.NoError(t, err)
		require.Equal(t, moved == nil, part.Chunks[0] == home)
		require.NoError(t, mover.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()}))
		require.NoError(t, claimer.Finish(t.Context(), claimed))
		run(t, dsn, "DELETE FROM tasks")
	}
	t.Logf("%d moves, %d refusals", moves, refusals)
}

// Of nodes that join at once under one name one gets it, and the epoch counts each that is new.
func TestJoinsAtOnce(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	gateways := []*postgres.Store{open(t, dsn, postgres.Options{}), open(t, dsn, postgres.Options{})}
	const pairs = 8
	errs := make([]error, 2*pairs)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			n := store.Node{ID: store.NewNodeID(), Name: fmt.Sprint("node-", i/2), Weight: 1}
			_, errs[i] = gateways[i%2].JoinNode(context.Background(), n)
		})
	}
	all.Wait()
	for i := 0; i < len(errs); i += 2 {
		won, lost := errs[i], errs[i+1]
		if won != nil {
			won, lost = lost, won
		}
		require.NoError(t, won)
		requireKind(t, store.Conflict, lost)
	}
	m, err := gateways[0].Members(t.Context())
	require.NoError(t, err)
	require.Len(t, m.Nodes, pairs)
	require.Equal(t, store.Epoch(pairs), m.Epoch)
	require.False(t, m.Now.Before(m.Nodes[0].LastBeat))
}
