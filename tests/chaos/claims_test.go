package chaos

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/tests/cluster"
)

// TestClaimsEndWithTheirLeader kills the gateway that has claimed repair and reclaim tasks and has not finished them.
// The other gateway must do all of them once it leads, without waiting for the claims to expire.
func TestClaimsEndWithTheirLeader(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c, err := cluster.Start(ctx, cluster.Options{
		Dir: keptDir(t), Bin: bin, Gateways: 2,
		Gateway: append([]string{"--heartbeat", "2s"}, keepReplaced(t, "s3gateway", 0)...),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	db := database{c.Database.DSN("postgres")}
	f := &faults{t: t, c: c, hanging: make([]atomic.Bool, 2)}
	until(t, time.Minute, "a gateway leads", func() bool { return strings.Contains(c.Gateways[f.leader()].Tail(1<<20), leads) })
	leader := f.leader()
	other := newAPI(c.URLs[1-leader], c.AccessKey, c.SecretKey, 30*time.Second)
	t.Cleanup(other.close)

	var ids []string
	sizes := newHistory(0, time.Now())
	for i := range 40 {
		v := version(i + 1)
		sizes.remember(v, 50<<10)
		file, err := other.put(ctx, bucket, fmt.Sprint("claims-", i), v, 50<<10)
		require.NoError(t, err)
		ids = append(ids, file.ID)
	}
	// While the leader is paused, half of the files lose a chunk, which a read reports, and the others are deleted.
	require.NoError(t, c.Gateways[leader].Pause())
	addresses := nodeAddresses(t, other)
	for i, id := range ids {
		if i%2 == 0 {
			require.NoError(t, other.delete(ctx, id))
			continue
		}
		loseChunk(ctx, t, other, id, addresses)
		_, err := other.get(ctx, id, sizes.size)
		require.NoError(t, err)
	}
	// Three nodes hang, so that tasks of both kinds that the leader claims cannot end.
	for _, n := range c.Nodes[:3] {
		require.NoError(t, n.Pause())
	}
	before, err := db.queue(ctx)
	require.NoError(t, err)
	require.NotEmpty(t, before, "work is queued")
	require.NoError(t, c.Gateways[leader].Resume())
	// Claims change the queue; after that nothing does, because the leader waits for the hanging nodes.
	calm, last, resumed := 0, before, time.Now()
	until(t, 20*time.Second, "the leader has claimed what it can", func() bool {
		now, err := db.queue(ctx)
		require.NoError(t, err)
		changed := now != before || time.Since(resumed) > 8*time.Second // claims may be recorded elsewhere
		if calm++; now != last || !changed {
			calm, last = 0, now
		}
		return calm >= 10
	})
	require.NoError(t, c.Gateways[leader].Kill())
	for _, n := range c.Nodes[:3] {
		require.NoError(t, n.Resume())
	}
	left, err := db.tasks(ctx)
	require.NoError(t, err)
	require.Positive(t, left, "the leader was killed before it had finished")
	t.Logf("%d tasks were left by the leader", left)
	killed := time.Now()
	// The lease lasts 15 s.
	until(t, 45*time.Second, "the other gateway has done all of it", func() bool {
		n, err := db.tasks(ctx)
		require.NoError(t, err)
		return n == 0
	})
	t.Logf("done %.1f s after the kill", time.Since(killed).Seconds())
	for i, id := range ids {
		if i%2 == 1 {
			m, err := other.metadata(ctx, id)
			require.NoError(t, err)
			require.Equal(t, m.Wanted, m.Survives, "%s survives what its policy says", m.Name)
		}
	}
}

// until polls a condition of another process.
func until(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(100 * time.Millisecond) { // ADR 111: polls other processes
		if time.Now().After(end) {
			t.Fatalf("after %v it is not so that %s", limit, what)
		}
	}
}

// nodeAddresses returns the address of each node by node id.
func nodeAddresses(t *testing.T, a *api) map[string]string {
	var list struct {
		Nodes []struct {
			ID      string `json:"node_id"`
			Address string `json:"address"`
		} `json:"nodes"`
	}
	require.NoError(t, a.json(t.Context(), http.MethodGet, "/nodes", nil, nil, &list))
	all := map[string]string{}
	for _, n := range list.Nodes {
		all[n.ID] = n.Address
	}
	return all
}

// loseChunk removes the first chunk of a file, which reads request first, directly from its node.
func loseChunk(ctx context.Context, t *testing.T, a *api, id string, addresses map[string]string) {
	m, err := a.metadata(ctx, id)
	require.NoError(t, err)
	for _, chunk := range m.Parts[0].Chunks[:2] {
		require.NoError(t, deleteChunk(ctx, addresses[chunk.NodeID], chunk.ID))
	}
}
