package arch

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestArchitecture checks this module against the rules.
func TestArchitecture(t *testing.T) {
	graph, err := Load("../..")
	require.NoError(t, err)
	require.NotNil(t, graph[internal+"store"], "the module was not read: it has no domain")
	for _, violation := range Check(graph, ringstore) {
		t.Error(violation)
	}
}

// TestRulesOrdered checks the table itself: a package of daemon/internal imports only packages that are above it in the
// table.
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
