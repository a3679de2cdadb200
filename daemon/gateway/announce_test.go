package gateway

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/meta/watch"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
)

// A gateway is listed while it runs, stays listed as live, and is removed when it stops.
func TestAGatewayIsListedWhileItRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		meta := mem.NewMetadata()
		var log bytes.Buffer
		s := announce(Parts{Meta: watch.New(meta, time.Second), Name: "gw-1", Log: slog.New(slog.NewTextHandler(&log, nil))})
		require.NoError(t, s.Start(t.Context()))
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- s.Run(ctx) }()
		for range 3 {
			<-time.After(2 * store.GatewaySilence)
			all, err := meta.ListGateways(t.Context())
			require.NoError(t, err)
			require.Len(t, all, 1)
			require.Equal(t, "gw-1", all[0].Name)
			require.LessOrEqual(t, all[0].Silence, beatEvery+time.Second)
		}
		stop()
		require.NoError(t, <-ended)
		all, err := meta.ListGateways(t.Context())
		require.NoError(t, err)
		require.Empty(t, all)
		require.Empty(t, log.String())
	})
}
