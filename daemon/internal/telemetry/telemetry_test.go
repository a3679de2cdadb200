package telemetry_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/telemetry"
)

func TestEventsCarryTheRequest(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log, err := telemetry.NewLogger(&out, "info", telemetry.Auto)
	require.NoError(t, err)
	ctx := telemetry.WithRequest(t.Context(), "r-1")
	require.Equal(t, "r-1", telemetry.Request(ctx))
	require.Empty(t, telemetry.Request(t.Context()))

	log.With("node", "n1").InfoContext(ctx, "put", "bytes", 7)
	var event map[string]any
	require.NoError(t, json.Unmarshal(out.Bytes(), &event), "not a terminal, so JSON")
	require.Equal(t, "r-1", event["request"])
	require.Equal(t, "n1", event["node"])
	require.EqualValues(t, 7, event["bytes"])

	out.Reset()
	log.Info("tick")
	require.NotContains(t, out.String(), "request")
	out.Reset()
	log.Debug("too fine")
	require.Empty(t, out.String())
	log.WithGroup("g").InfoContext(ctx, "grouped", "a", 1)
	require.Contains(t, out.String(), `"g":{"a":1`)
}

func TestTextIsPlainWhereNobodyLooks(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log, err := telemetry.NewLogger(&out, "debug", telemetry.Text)
	require.NoError(t, err)
	log.Debug("node joined", "node", "n1")
	require.Contains(t, out.String(), "DBG node joined node=n1")
	require.NotContains(t, out.String(), "\x1b")
}

func TestBadSettings(t *testing.T) {
	t.Parallel()
	_, err := telemetry.NewLogger(&bytes.Buffer{}, "loud", telemetry.JSON)
	require.ErrorIs(t, err, store.Invalid)
	require.NotEmpty(t, store.HintOf(err))
	_, err = telemetry.NewLogger(&bytes.Buffer{}, "info", "xml")
	require.ErrorIs(t, err, store.Invalid)
}
