package watch_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/meta/watch"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
)

const heartbeat = 10 * time.Second

// broken is a store whose writes fail while err is set, and whose reads work.
type broken struct {
	store.Metadata
	err error
}

func (b *broken) BeatNodes(ctx context.Context, beats []store.Beat) ([]store.NodeID, error) {
	if b.err != nil {
		return nil, b.err
	}
	return b.Metadata.BeatNodes(ctx, beats)
}

func (b *broken) CreateBucket(ctx context.Context, n store.Bucket, caller string) error {
	if b.err != nil {
		return b.err
	}
	return b.Metadata.CreateBucket(ctx, n, caller)
}

func newBroken(t *testing.T) (*watch.Store, *broken, []store.Beat) {
	t.Helper()
	b := &broken{Metadata: mem.NewMetadata()}
	node := store.Node{ID: store.NodeID{1}, Name: "one", Weight: 1}
	_, err := b.JoinNode(t.Context(), node)
	require.NoError(t, err)
	return watch.New(b, heartbeat), b, []store.Beat{{Node: node.ID}}
}

func TestPingTellsOfWritesThatFailUntilABeatIsStored(t *testing.T) {
	t.Parallel()
	for _, kind := range []store.Kind{store.NoSpace, store.Unavailable} {
		s, b, beats := newBroken(t)
		b.err = store.Errorf(kind, "the cause")
		_, err := s.BeatNodes(t.Context(), beats)
		require.ErrorIs(t, err, kind)
		require.ErrorIs(t, s.Ping(t.Context()), kind)
		require.ErrorContains(t, s.Ping(t.Context()), "the cause")
		b.err = nil
		_, err = s.BeatNodes(t.Context(), []store.Beat{{Node: store.NodeID{9}}})
		require.NoError(t, err)
		require.Error(t, s.Ping(t.Context()), "nothing was stored, so nothing is known")
		_, err = s.BeatNodes(t.Context(), beats)
		require.NoError(t, err)
		require.NoError(t, s.Ping(t.Context()))
	}
}

func TestAClientsWriteTellsOfAFullDiskOnly(t *testing.T) {
	t.Parallel()
	s, b, _ := newBroken(t)
	b.err = store.Errorf(store.Unavailable, "too many changes of the same rows")
	require.Error(t, s.CreateBucket(t.Context(), store.Bucket{Name: "pictures"}, ""))
	require.NoError(t, s.Ping(t.Context()))
	b.err = store.Errorf(store.NoSpace, "full")
	require.Error(t, s.CreateBucket(t.Context(), store.Bucket{Name: "pictures"}, ""))
	require.ErrorIs(t, s.Ping(t.Context()), store.NoSpace)
}

// A gateway that is not ready gets no requests, and maybe no node beats through it: it must not stay so.
func TestAFailureThatNothingConfirmsIsForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b, beats := newBroken(t)
		b.err = store.Errorf(store.NoSpace, "full")
		_, err := s.BeatNodes(t.Context(), beats)
		require.Error(t, err)
		time.Sleep(3 * heartbeat)
		require.Error(t, s.Ping(t.Context()))
		time.Sleep(time.Second)
		require.NoError(t, s.Ping(t.Context()))
	})
}
