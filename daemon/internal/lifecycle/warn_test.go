package lifecycle_test

import (
	"bytes"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/lifecycle"
)

func TestWarnings(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	at := func(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 80} }
	lifecycle.WarnPlain(log, at("127.0.0.1"), at("::1"))
	lifecycle.WarnExposed(log, nil, "X_")
	require.Empty(t, out.String())
	lifecycle.WarnPlain(log, at("127.0.0.1"), at("0.0.0.0"), at("192.0.2.1"))
	require.Equal(t, 1, strings.Count(out.String(), "\n"), "one line for all")
	require.Contains(t, out.String(), `"0.0.0.0:80, 192.0.2.1:80"`)
	out.Reset()
	lifecycle.WarnExposed(log, []string{"join-token"}, "X_")
	require.Contains(t, out.String(), "--join-token-file FILE or the variable X_JOIN_TOKEN")
}
