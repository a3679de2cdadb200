package arch

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestArchitecture holds this module to its rules.
func TestArchitecture(t *testing.T) {
	graph, err := Load("../..")
	require.NoError(t, err)
	require.NotNil(t, graph[internal+"store"], "the module was not read: it has no domain")
	for _, violation := range Check(graph, ringstore) {
		t.Error(violation)
	}
}

// TestRulesOrdered holds the table itself: read from top to bottom, a package of
// daemon/internal imports only what stands above it.
func TestRulesOrdered(t *testing.T) {
	var above []string
	for _, row := range ringstore.Imports {
		for _, path := range row.May {
			if within("daemon/internal", path) && path != internal+"..." {
				require.Contains(t, above, path, "%s may import what stands below it", row.Package)
			}
		}
		above = append(above, row.Package)
	}
}
