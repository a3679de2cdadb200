// Package integration tests how running processes recover when one of them fails or an exchange is interrupted. It
// observes them from outside.
package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/profile"
	"github.com/ringstore/ringstore/tests/cluster"
)

// bin holds the programs, built once for all tests.
var bin string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "ringstore-integration-bin-")
	if err == nil {
		defer os.RemoveAll(dir)
		bin = dir
		err = cluster.Build(context.Background(), dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// start runs a cluster for the test and returns a client of it.
func start(t *testing.T, o cluster.Options) (*cluster.Cluster, *client.Client) {
	t.Helper()
	o.Dir, o.Bin = t.TempDir(), bin
	c, err := cluster.Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			for _, p := range append([]*cluster.Process{c.Gateway}, c.Nodes...) {
				t.Logf("%s:\n%s", p.Name, p.Tail(20))
			}
		}
		require.NoError(t, c.Close())
	})
	api := client.New(client.Config{Profile: profile.Profile{Endpoint: c.URL, AccessKey: c.AccessKey, Secret: c.SecretKey}})
	t.Cleanup(api.Close)
	return c, api
}

// eventually polls until done is true: another process offers no signal to wait for.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("never: %s", what)
		}
	}
}

func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)})
	_, _ = r.Read(b)
	return b
}
