package chaos

import (
	"encoding/base64"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/tests/cluster"
)

// TestStalledUploads opens many uploads that send their first bytes and then stall. Small writes of another client
// must continue.
func TestStalledUploads(t *testing.T) {
	t.Parallel()
	const stalled, writes = 1000, 100
	c, err := cluster.Start(t.Context(), cluster.Options{Dir: keptDir(t), Bin: bin, Standalone: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	address := strings.TrimPrefix(c.URL, "http://")
	key := base64.StdEncoding.EncodeToString([]byte(c.AccessKey + ":" + c.SecretKey))
	for i := range stalled {
		conn, err := net.Dial("tcp", address)
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		// An upload that is refused at once does not stall.
		_, _ = fmt.Fprintf(conn, "POST /files?bucket=%s&name=stalled-%d HTTP/1.1\r\nHost: %s\r\nAuthorization: Basic %s\r\n"+
			"Content-Type: application/octet-stream\r\nContent-Length: 50000000\r\n\r\n%s", bucket, i, address, key, strings.Repeat("x", 1000))
	}
	a := newAPI(c.URL, c.AccessKey, c.SecretKey, 20*time.Second)
	t.Cleanup(a.close)
	var took []time.Duration
	for i := range writes {
		began := time.Now()
		_, err := a.put(t.Context(), bucket, fmt.Sprint("honest-", i), version(i+1), 4<<10)
		require.NoError(t, err, "write %d beside %d stalled uploads, after %v", i+1, stalled, time.Since(began))
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	t.Logf("%d writes of 4 KiB: p50 %v, p99 %v", writes, took[writes/2], took[writes*99/100])
}
