package pgserver

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A port is given once, and is not one of those that the system gives.
func TestFreePortsAreGivenOnce(t *testing.T) {
	t.Parallel()
	seen := map[int]bool{}
	for range 200 {
		port, err := FreePort()
		require.NoError(t, err)
		require.False(t, seen[port])
		seen[port] = true
		require.GreaterOrEqual(t, port, firstPort)
		require.Less(t, port, lastPort)
	}
}
