package chunkfs_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/chunk/chunktest"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/vfs/vfstest"
)

// A caller that stops waiting for a write deletes the chunk next. The deletion may get the chunk's lock first, for instance when a node
// was paused and receives both at once; then the write must not store the chunk.
func TestNothingIsStoredForACallerThatLeft(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"packed": 300, "file": 5000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, tiny(vfstest.NewCrashable()))
			id := fixedID(1)
			unlock, waited := s.Lock(id) // the deletion, which finds nothing
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan error, 1)
			go func() {
				u := chunk.NewUnit(chunktest.Bytes(1, size), nil)
				_, err := s.PutSmall(ctx, chunk.Spec{ID: id, UnitSize: chunk.DefaultUnitSize, SizeHint: int64(size)}, u, goldenLabel)
				done <- err
			}()
			require.Eventually(t, waited, time.Minute, time.Millisecond)
			cancel()
			unlock()
			require.ErrorIs(t, <-done, context.Canceled)
			_, err := s.Stat(t.Context(), id)
			require.ErrorIs(t, err, store.NotFound)
		})
	}
}
