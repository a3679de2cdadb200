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

// Gateways that commit, replace, upload, move and delete the same few names at
// once lose no chunk: each that was written down is either in a part or queued, and never both.
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
	require.Zero(t, count(t, s, "SELECT count(*) FROM parts p WHERE NOT EXISTS (SELECT FROM files f WHERE f.id = p.file_id)"), "parts without a file")
	require.Zero(t, count(t, s, "SELECT count(*) FROM files WHERE state NOT IN (1, 2, 3)"))
	require.Zero(t, count(t, s, "SELECT count(*) FROM files WHERE latest IS DISTINCT FROM (state = 2)"), "a complete file that is not shown was not removed")
	require.Zero(t, count(t, s, "SELECT count(*) FROM tasks JOIN parts ON parts.id = part_id WHERE kind = 1"), "a chunk is alive and is being reclaimed")
	parts := count(t, s, "SELECT count(*) FROM parts")
	reclaims := count(t, s, "SELECT count(*) FROM tasks WHERE kind = 1")
	require.Equal(t, 12*40*chunksPerFile, parts*chunksPerFile+reclaims, "chunks are in parts or queued")
}

const chunksPerFile = 3

// randomChange brings one new file of chunksPerFile chunks in, one way or another.
func randomChange(ctx context.Context, s *postgres.Store, key store.Key) error {
	f := smallFile(key)
	switch rand.N(4) {
	case 0: // begun, then complete
		if err := s.BeginFile(ctx, f); err != nil {
			return err
		}
		_, _, err := s.CommitFile(ctx, f, true)
		return err
	case 1: // begun, then given up
		if err := s.BeginFile(ctx, f); err != nil {
			return err
		}
		return s.FailFile(ctx, f.ID, "test", f.Parts)
	case 2: // complete, then deleted, if nobody replaced it
		if _, _, err := s.CommitFile(ctx, f, false); err != nil {
			return err
		}
		if err := s.DeleteFile(ctx, f.ID); err != nil && store.KindOf(err) != store.NotFound {
			return err
		}
		return nil
	}
	_, _, err := s.CommitFile(ctx, f, false)
	return err
}

// A bucket that is deleted while files come in either goes without a file or stays.
func TestDeleteBucketAgainstCommits(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	one, two := open(t, dsn, postgres.Options{}), open(t, dsn, postgres.Options{})
	for round := range 30 {
		name := store.BucketName(fmt.Sprintf("bucket-%d", round))
		require.NoError(t, one.CreateBucket(t.Context(), store.Bucket{Name: name}))
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
				_, _, stored[i] = two.CommitFile(context.Background(), f, false)
			})
		}
		all.Go(func() { dropped = one.DeleteBucket(context.Background(), name) })
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
	nodes := []store.NodeID{store.NewNodeID(), store.NewNodeID(), store.NewNodeID()}
	var queue []store.Task
	for i := range tasks {
		queue = append(queue, store.Task{Kind: store.Repair, Chunk: store.ChunkID{Part: store.NewPartID()}, Node: nodes[i%3]})
	}
	require.NoError(t, s.Enqueue(t.Context(), queue))
	var mu sync.Mutex
	seen := map[store.ChunkID]int{}
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			q := store.ClaimQuery{Kind: store.Repair, Limit: 7, Hold: time.Hour}
			if worker%2 == 0 {
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
