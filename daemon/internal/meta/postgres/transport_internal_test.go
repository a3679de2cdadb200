package postgres

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSSLModes(t *testing.T) {
	t.Parallel()
	for _, hosts := range []string{"db.example:5432", "one.example:5432,two.example:5433"} {
		for _, mode := range []string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"} {
			cfg, _, err := poolConfig("postgres://user@"+hosts+"/name?sslmode="+mode, Options{}.withDefaults())
			require.NoError(t, err)
			require.Equal(t, mode, sslMode(&cfg.ConnConfig.Config), hosts)
		}
		cfg, _, err := poolConfig("postgres://user@"+hosts+"/name", Options{}.withDefaults())
		require.NoError(t, err)
		require.Equal(t, "prefer", sslMode(&cfg.ConnConfig.Config), "the driver's default")
	}
}

// Plain text is warned of where it leaves the machine without having been asked for.
func TestPlainTextThatWasNotMeant(t *testing.T) {
	t.Parallel()
	away, here := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}
	for _, mode := range []string{"prefer", "allow"} {
		require.True(t, isUnmeant(mode, away))
		require.False(t, isUnmeant(mode, here))
		require.False(t, isUnmeant(mode, &net.UnixAddr{Name: "/run/postgresql"}))
	}
	require.False(t, isUnmeant("disable", away))
}

// Parameters of the DSN hold for each query, so they are settings; a pooler refuses them at the start of a connection.
func TestSettingsOfTheAddress(t *testing.T) {
	t.Parallel()
	const dsn = "postgres://user@host/name?application_name=x&search_path=it's&statement_timeout="
	for text, limit := range map[string]int64{"700": 700, "2s": 2000, "1min": 60000, "0": 0} {
		cfg, s, err := poolConfig(dsn+text, Options{}.withDefaults())
		require.NoError(t, err, text)
		require.Equal(t, limit, s.limit.Milliseconds(), text)
		require.Equal(t, map[string]string{"application_name": "x"}, cfg.ConnConfig.RuntimeParams)
		require.Contains(t, s.statement(s.limit, true), "set_config('search_path', 'it''s', true)")
	}
	for _, text := range []string{"soon", "-1", "2weeks", "s"} {
		_, _, err := poolConfig(dsn+text, Options{}.withDefaults())
		require.ErrorContains(t, err, "is not a duration", text)
	}
}
