package chunktest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Damage makes the bytes of one chunk unreadable, by rot or by errors of the disk.
type Damage func(id store.ChunkID)

// RunDamage checks what store.Chunks promises of a chunk that cannot be read, each
// time on a place of its own.
func RunDamage(t *testing.T, open func(t testing.TB) (store.Chunks, Damage)) {
	for _, size := range []int{10, 30*unitSize + 1} {
		c, damage := open(t)
		other, data := NewID(), Bytes(50, size)
		Put(t, c, other, data)
		id := NewID()
		Put(t, c, id, Bytes(51, size))
		damage(id)

		_, err := Read(t.Context(), c, id)
		requireKind(t, store.Corrupt, err)
		if v, ok := c.(store.ChunkVerifier); ok {
			requireKind(t, store.Corrupt, v.Verify(t.Context(), id))
		}
		listed, err := c.List(t.Context(), store.ChunkID{}, 10)
		require.NoError(t, err, "damage never makes List fail")
		require.Len(t, listed, 2, "a damaged chunk is still there")
		requireContent(t, c, other, data)

		require.NoError(t, c.Delete(t.Context(), id))
		requireAbsent(t, c, id)
	}
}
