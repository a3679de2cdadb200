package index

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// TestTableIsAMap compares with Go's map, on few ids so that they collide.
func TestTableIsAMap(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var got table
		want := map[store.ChunkID]Entry{}
		id := rapid.Custom(func(t *rapid.T) store.ChunkID {
			return store.ChunkID{Part: store.PartID{15: 1 + rapid.ByteRange(0, 40).Draw(t, "part")}, Index: rapid.Uint8Range(0, 3).Draw(t, "index")}
		})
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				at, e := id.Draw(t, "id"), Entry{Off: rapid.Uint32().Draw(t, "off")}
				got.put(at, e)
				want[at] = e
			},
			"remove": func(t *rapid.T) {
				at := id.Draw(t, "id")
				got.remove(at)
				delete(want, at)
			},
			"": func(t *rapid.T) {
				all := map[store.ChunkID]Entry{}
				got.each(func(id store.ChunkID, e Entry) { all[id] = e })
				require.Equal(t, want, all)
				require.Equal(t, len(want), got.n)
				for at, e := range want {
					found, ok := got.get(at)
					require.True(t, ok)
					require.Equal(t, e, found)
				}
				other := id.Draw(t, "other")
				_, ok := want[other]
				_, found := got.get(other)
				require.Equal(t, ok, found)
			},
		})
	})
}
