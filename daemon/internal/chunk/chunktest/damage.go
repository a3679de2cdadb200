package chunktest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Damage makes the bytes of one chunk unreadable, by flipped bits or by errors of the disk.
type Damage func(id store.ChunkID)

// RunDamage checks the promises of chunk.Store for a chunk that cannot be read, each time on
// a new store.
func RunDamage(t *testing.T, open func(t testing.TB) (chunk.Store, Damage)) {
	for _, size := range []int{10, 30*unitSize + 1} {
		c, damage := open(t)
		other, data := NewID(), Bytes(50, size)
		Put(t, c, other, data)
		id := NewID()
		Put(t, c, id, Bytes(51, size))
		damage(id)

		_, err := Read(t.Context(), c, id)
		requireKind(t, store.Corrupt, err)
		if v, ok := c.(chunk.Verifier); ok {
			requireKind(t, store.Corrupt, v.Verify(t.Context(), id))
		}
		listed, err := c.List(t.Context(), store.ChunkID{}, 10)
		require.NoError(t, err, "List does not fail because of damage")
		require.Len(t, listed, 2, "a damaged chunk still exists")
		requireContent(t, c, other, data)

		require.NoError(t, c.Delete(t.Context(), id))
		requireAbsent(t, c, id)
	}
}
