package e2e

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/tests/cluster"
)

// TestStorageNodesKilled kills two of six nodes at once, the most that is guaranteed: everything stays readable, and
// new files are accepted.
func TestStorageNodesKilled(t *testing.T) { overEachPlane(t, testStorageNodesKilled) }

func testStorageNodesKilled(t *testing.T, plane string) {
	t.Parallel()
	c := start(t, plane, cluster.Options{Gateway: []string{"--heartbeat", "500ms"}, Storage: []string{"--heartbeat", "500ms"}})
	bodies := map[string][]byte{}
	for _, size := range []int64{0, 1, 4 << 10, 256 << 10, 1 << 20, 20 << 20} {
		body := noiseBytes(t, size)
		bodies[put(t, c, fmt.Sprint("before/", size), body).ID] = body
	}
	for id := range bodies { // a write is acknowledged when it survives one failure; a node that was late makes it whole afterwards
		require.Eventually(t, func() bool { return describe(t, c, id).Survives >= 2 }, time.Minute, 50*time.Millisecond)
	}
	require.NoError(t, c.Nodes[1].Kill())
	require.NoError(t, c.Nodes[4].Kill())
	allThere(t, c, bodies)
	for _, size := range []int64{4 << 10, 5 << 20} {
		body := noiseBytes(t, size+1)
		bodies[put(t, c, fmt.Sprint("after/", size), body).ID] = body
	}
	allThere(t, c, bodies)

	require.Eventually(t, func() bool { n, err := c.Online(t.Context()); return err == nil && n == 4 }, 30*time.Second, 50*time.Millisecond, "they are called away")
	require.NoError(t, c.Nodes[1].Start())
	require.NoError(t, c.Nodes[4].Start())
	require.NoError(t, c.WaitReady(t.Context(), 6))
	allThere(t, c, bodies)
}

func allThere(t *testing.T, c *cluster.Cluster, bodies map[string][]byte) {
	t.Helper()
	for id, body := range bodies {
		n, got := sum(t, c, id)
		require.EqualValues(t, len(body), n)
		require.Equal(t, sha256.Sum256(body), got)
	}
}

// TestNodeHangingMidUpload pauses a node during an upload: the upload is acknowledged without it after the stall
// timeout.
func TestNodeHangingMidUpload(t *testing.T) { overEachPlane(t, testNodeHangingMidUpload) }

func testNodeHangingMidUpload(t *testing.T, plane string) {
	t.Parallel()
	c := start(t, plane, cluster.Options{})
	pr, pw := io.Pipe()
	done := make(chan file, 1)
	go func() {
		defer close(done)
		done <- decode[file](t, do(t, rawPut(t, c, "held.bin", pr), http.StatusCreated))
	}()
	body := noiseBytes(t, 64<<20)
	_, err := pw.Write(body[:8<<20])
	require.NoError(t, err)
	require.NoError(t, c.Nodes[2].Pause())
	_, err = pw.Write(body[8<<20:])
	require.NoError(t, err)
	require.NoError(t, pw.Close())
	f := <-done
	require.NoError(t, c.Nodes[2].Resume())
	n, got := sum(t, c, f.ID)
	require.EqualValues(t, len(body), n)
	require.Equal(t, sha256.Sum256(body), got)
	require.Eventually(t, func() bool { return describe(t, c, f.ID).Survives == 2 }, time.Minute, 100*time.Millisecond, "repair makes up for what the node did not take")
}

// TestDatabaseAway stops the database and starts it again.
func TestDatabaseAway(t *testing.T) { overEachPlane(t, testDatabaseAway) }

func testDatabaseAway(t *testing.T, plane string) {
	t.Parallel()
	c := start(t, plane, cluster.Options{})
	body := noiseBytes(t, 100_000)
	f := put(t, c, "kept", body)
	require.NoError(t, c.Database.Stop())
	p := refused(t, rawPut(t, c, "lost", bytes.NewReader(body)), http.StatusServiceUnavailable)
	require.NotEmpty(t, p.Hint)
	refused(t, request(t, c, http.MethodGet, "/files/"+f.ID, nil), http.StatusServiceUnavailable)
	require.Eventually(t, func() bool { return c.Get(t.Context(), "/health/ready", nil) != nil }, 20*time.Second, 50*time.Millisecond)
	require.NoError(t, c.Get(t.Context(), "/health/live", nil))

	require.NoError(t, c.Database.Start(t.Context()))
	require.NoError(t, c.WaitReady(t.Context(), 6), "it recovers by itself")
	allThere(t, c, map[string][]byte{f.ID: body})
	require.Empty(t, listed(t, c, "bucket=default&name=lost").Files)
	put(t, c, "lost", body)
}

// TestInterruptedUpload_ClientDisconnect interrupts an upload half way.
func TestInterruptedUpload_ClientDisconnect(t *testing.T) {
	overEachPlane(t, testInterruptedUpload_ClientDisconnect)
}

func testInterruptedUpload_ClientDisconnect(t *testing.T, plane string) {
	t.Parallel()
	c := start(t, plane, cluster.Options{})
	before := chunkFiles(t, c)
	pr, pw := io.Pipe()
	done := make(chan error, 1)
	go func() {
		resp, err := http.DefaultClient.Do(rawPut(t, c, "half.bin", pr))
		if err == nil {
			resp.Body.Close()
			err = fmt.Errorf("answered %s", resp.Status)
		}
		done <- err
	}()
	_, err := pw.Write(noiseBytes(t, 60<<20))
	require.NoError(t, err)
	gone := fmt.Errorf("cable pulled")
	pw.CloseWithError(gone)
	require.ErrorIs(t, <-done, gone)
	require.Eventually(t, func() bool {
		return len(listed(t, c, "status=failed&bucket=default&name=half.bin").Files) == 1
	}, 30*time.Second, 50*time.Millisecond)
	require.Empty(t, listed(t, c, "bucket=default&name=half.bin").Files, "nothing is visible")
	require.Eventually(t, func() bool { return chunkFiles(t, c) == before }, 30*time.Second, 50*time.Millisecond, "nothing stays on the nodes")
}

// TestKillsLoseNothingAcknowledged kills the gateway and every node while files are stored, and reads every
// acknowledged file.
func TestKillsLoseNothingAcknowledged(t *testing.T) {
	overEachPlane(t, testKillsLoseNothingAcknowledged)
}

func testKillsLoseNothingAcknowledged(t *testing.T, plane string) {
	t.Parallel()
	c := start(t, plane, cluster.Options{Durable: true})
	bodies := map[string][]byte{}
	for round := range 3 {
		type acked struct {
			id   string
			body []byte
		}
		results := make(chan acked, 1000)
		stop := make(chan struct{})
		go func() {
			defer close(results)
			for i := 0; ; i++ {
				body := noiseBytes(t, int64(1+(i%5)*150_000+round))
				resp, err := http.DefaultClient.Do(rawPut(t, c, fmt.Sprintf("kill/%d/%d", round, i), bytes.NewReader(body)))
				if err != nil {
					return
				}
				answer, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != http.StatusCreated {
					return
				}
				results <- acked{decode[file](t, answer).ID, body}
				if i == 20 {
					close(stop)
				}
			}
		}()
		<-stop
		require.NoError(t, c.Gateway.Kill())
		for _, n := range c.Nodes {
			require.NoError(t, n.Kill())
		}
		for a := range results {
			bodies[a.id] = a.body
		}
		for _, n := range c.Nodes {
			require.NoError(t, n.Start())
		}
		require.NoError(t, c.Gateway.Start())
		require.NoError(t, c.WaitReady(t.Context(), 6))
		allThere(t, c, bodies)
	}
}

// TestStandaloneSurvivesKill does the same to a standalone process.
func TestStandaloneSurvivesKill(t *testing.T) {
	t.Parallel()
	c := start(t, auto, cluster.Options{Standalone: true})
	bodies := map[string][]byte{}
	for i, size := range []int64{0, 100, 300_000, 30 << 20} {
		body := noiseBytes(t, size)
		bodies[put(t, c, fmt.Sprint("file-", i), body).ID] = body
	}
	require.NoError(t, c.Gateway.Kill())
	require.NoError(t, c.Gateway.Start())
	require.NoError(t, c.WaitReady(t.Context(), 6))
	allThere(t, c, bodies)
}
