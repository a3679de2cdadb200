package pack_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/meta/pack"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

func TestJSONColumns(t *testing.T) {
	t.Parallel()
	loops := []store.LoopProgress{{Name: "b", State: "busy", Idle: -time.Second}, {Name: "a", Error: "é\x00"}}
	column, err := pack.Loops(loops)
	require.NoError(t, err)
	got, err := pack.ParseLoops([]byte(column))
	require.NoError(t, err)
	require.Equal(t, []store.LoopProgress{loops[1], loops[0]}, got)

	m, err := pack.ParseStrings([]byte(`{"a":"b"}`))
	require.NoError(t, err)
	require.Equal(t, map[string]string{"a": "b"}, m)
	m, err = pack.ParseStrings(nil)
	require.NoError(t, err)
	require.Nil(t, m)

	_, err = pack.ParseLoops(nil)
	require.ErrorIs(t, err, store.Internal)
	_, err = pack.ParseStrings([]byte(`{"a":1}`))
	require.ErrorIs(t, err, store.Internal)
}
