package metatest

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

func gateways(tb testing.TB, m store.Metadata) []store.Gateway {
	tb.Helper()
	all, err := m.ListGateways(tb.Context())
	require.NoError(tb, err)
	return all
}

var gatewayTests = []test{
	{"a gateway is listed from its first beat until it is removed", func(t *testing.T, m store.Metadata) {
		require.Empty(t, gateways(t, m))
		for _, name := range []string{"gw-b", "gw-B", "gw-é"} {
			require.NoError(t, m.BeatGateway(t.Context(), name, "v1"))
		}
		all := gateways(t, m)
		require.Len(t, all, 3)
		for i, name := range []string{"gw-B", "gw-b", "gw-é"} { // as bytes
			g := all[i]
			require.Equal(t, []string{name, "v1"}, []string{g.Name, g.Version})
			require.Positive(t, g.SchemaMin)
			require.GreaterOrEqual(t, g.SchemaMax, g.SchemaMin)
			requireStoreTime(t, g.StartedAt)
			require.GreaterOrEqual(t, g.Silence, time.Duration(0))
			require.Less(t, g.Silence, store.GatewaySilence)
		}
		require.NoError(t, m.RemoveGateway(t.Context(), "gw-B"))
		require.NoError(t, m.RemoveGateway(t.Context(), "gw-B"))
		require.NoError(t, m.RemoveGateway(t.Context(), "unknown"))
		require.Len(t, gateways(t, m), 2)
	}},
	{"a beat ends the silence, brings the version, and keeps the time of the start", func(t *testing.T, m store.Metadata) {
		require.NoError(t, m.BeatGateway(t.Context(), "gw", "v1"))
		first := gateways(t, m)[0]
		var silent time.Duration
		require.Eventually(t, func() bool {
			silent = gateways(t, m)[0].Silence
			return silent >= 50*time.Millisecond
		}, patience, time.Millisecond)
		before := time.Now()
		require.NoError(t, m.BeatGateway(t.Context(), "gw", "v2"))
		again := gateways(t, m)[0]
		require.LessOrEqual(t, again.Silence, time.Since(before))
		again.Silence = first.Silence
		first.Version = "v2"
		same(t, first, again)
	}},
	{"a gateway without a name, or with one that cannot be stored, is Invalid", func(t *testing.T, m store.Metadata) {
		for _, name := range []string{"", "\xff", "a\x00", strings.Repeat("g", store.MaxReason+1)} {
			requireKind(t, store.Invalid, m.BeatGateway(t.Context(), name, "v1"))
		}
		requireKind(t, store.Invalid, m.BeatGateway(t.Context(), "gw", "\xff"))
		require.Empty(t, gateways(t, m))
	}},
}
