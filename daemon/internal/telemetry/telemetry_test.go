package telemetry_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

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

// stranger is a value with text chosen by a client.
type stranger struct{ text string }

func (s stranger) String() string { return s.text }

// Every control and format character is escaped, wherever text can be, in both formats.
func TestNoControlCharacterReachesTheLog(t *testing.T) {
	t.Parallel()
	bad := []string{"\x9b31m", "\xff\x1b"} // raw bytes that are no text
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) {
			bad = append(bad, string(r))
		}
	}
	require.Greater(t, len(bad), 200)
	for _, format := range []telemetry.Format{telemetry.JSON, telemetry.Text} {
		var out bytes.Buffer
		log, err := telemetry.NewLogger(&out, "debug", format)
		require.NoError(t, err)
		for _, c := range bad {
			out.Reset()
			text := "a" + c + "b"
			log.With("with", text, "error", errors.New(text)).WithGroup("g"+c).Info(text, "string", text, "error", fmt.Errorf("x: %w", errors.New(text)),
				"stringer", stranger{text}, "list", []string{text}, "key"+c, 1, slog.Group("group", "inner", text), "bytes", []byte(text))
			line := out.String()
			require.Equal(t, 1, strings.Count(line, "\n"), "%s %q: one event, one line", format, line)
			require.True(t, utf8.ValidString(line), "%q", line)
			for _, r := range strings.TrimSuffix(line, "\n") {
				require.False(t, unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp), "%s %U: %q", format, []rune(c), line)
			}
			require.Contains(t, line, "inner")
		}
	}
	var out bytes.Buffer
	log, err := telemetry.NewLogger(&out, "debug", telemetry.JSON)
	require.NoError(t, err)
	log.Info("ключ", "name", "Grüße, 世界 🙂", "n", 3, "none", nil)
	require.Contains(t, out.String(), "Grüße, 世界 🙂", "all else stays")
	require.Contains(t, out.String(), `"n":3`)
}
