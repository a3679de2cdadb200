// Package e2e tests a running cluster from outside: a gateway, six storage nodes and PostgreSQL, each in its own
// process.
package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/tests/cluster"
)

// bin holds the programs, built once for all tests.
var bin string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "ringstore-e2e-bin-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := cluster.Build(context.Background(), dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	bin = dir
	return m.Run()
}

// full reports whether files have the sizes of the requirements: 5 and 10 GB.
func full() bool { return os.Getenv("RINGSTORE_E2E_FULL") != "" }

// overEachPlane runs a test with data that travels through the nodes' data ports, and again over gRPC alone.
func overEachPlane(t *testing.T, test func(t *testing.T, plane string)) {
	t.Helper()
	t.Parallel()
	for _, plane := range []string{auto, onlyGRPC} {
		t.Run(plane, func(t *testing.T) { test(t, plane) })
	}
}

// Values of --data-plane.
const (
	auto     = "auto"
	onlyGRPC = "grpc"
)

// start runs a cluster for the test, with that --data-plane.
func start(t *testing.T, plane string, o cluster.Options) *cluster.Cluster {
	t.Helper()
	o.Dir, o.Bin = t.TempDir(), bin
	o.Gateway = append(slices.Clone(o.Gateway), "--delete-grace", "0s") // the chunks of deleted files are removed at once
	if !o.Standalone {
		o.Gateway = append(o.Gateway, "--data-plane", plane)
	}
	c, err := cluster.Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			logs, _ := filepath.Glob(filepath.Join(o.Dir, "*.log"))
			for _, l := range logs {
				b, _ := os.ReadFile(l)
				t.Logf("%s:\n%s", filepath.Base(l), b[max(0, len(b)-4000):])
			}
		}
		require.NoError(t, c.Close())
	})
	return c
}
