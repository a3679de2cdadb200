package data_test

import (
	"testing"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/chunk/chunktest"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
)

// A client passes the same suite as the store behind the server.

func TestClient_KeepsThePromises(t *testing.T) {
	t.Parallel()
	chunktest.Run(t, func(t testing.TB) chunk.Store { return overTCP(t, mem.NewChunks()) })
}

func TestClient_TellsDamageOverTheWire(t *testing.T) {
	t.Parallel()
	chunktest.RunDamage(t, func(t testing.TB) (chunk.Store, chunktest.Damage) {
		c := mem.NewChunks()
		return overTCP(t, c), func(id store.ChunkID) { c.CorruptUnit(id, 0) }
	})
}
