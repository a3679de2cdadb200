package restapi_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/engine"
)

// stall begins an upload on a raw connection, sends some of its bytes and then nothing.
func (r *rig) stall(name string, size, sent int) net.Conn {
	r.t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(r.t.Context(), "tcp", r.addr)
	require.NoError(r.t, err)
	r.t.Cleanup(func() { conn.Close() })
	req := r.request("POST", "/files?name="+name, nil, "Content-Type", "text/plain")
	req.SetBasicAuth(r.pair.AccessKey, r.pair.Secret)
	_, err = fmt.Fprintf(conn, "POST /files?name=%s HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s",
		name, req.Header.Get("Authorization"), size, pattern(sent))
	require.NoError(r.t, err)
	return conn
}

// A thousand stalled clients hold little memory, and no small upload waits for them.
func TestWriteMemory_StalledUploadsDoNotStopSmallOnes(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{silent: true, idle: time.Minute, engine: func(c *engine.Config) { c.WriteBudget = 2 << 20 }})
	var conns []net.Conn
	for i := range 1000 {
		conns = append(conns, r.stall(fmt.Sprint("stalled-", i), maxFile, 9000))
	}
	for i := range 200 {
		r.put(fmt.Sprint("small-", i), pattern(1000))
	}
	used, budget := r.engine.WriteMemory()
	require.LessOrEqual(t, used, budget)
	for _, c := range conns {
		c.Close()
	}
}

// A slow upload is aborted when another upload waits for its memory, not before.
func TestWriteMemory_SlowClientsAreEndedOnlyWhileOthersWait(t *testing.T) {
	t.Parallel()
	const stripe = 10 * unit
	r := newRig(t, setup{silent: true, idle: time.Minute, engine: func(c *engine.Config) {
		c.WriteBudget = 80 * unit         // one reserve, so that a single stripe is promised its memory
		c.MaxLag = 200 * time.Millisecond // those that send nothing more are soon too slow; the large one sends, and is not
		c.WriteWait = time.Minute         // the stalled ones have the memory one after another
	}})
	slow := r.stall("slow", 2*stripe, unit)
	for i := range 20 {
		r.put(fmt.Sprint("small-", i), pattern(1000))
	}
	_, err := slow.Write(bytes.Repeat([]byte("x"), 2*stripe-unit))
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(slow), nil)
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, http.StatusCreated, resp.StatusCode, "no one waited")

	var stalled []net.Conn
	for i := range 30 { // more than there is memory for
		stalled = append(stalled, r.stall(fmt.Sprint("stalled-", i), 2*stripe, 3*unit))
	}
	resp, err = http.ReadResponse(bufio.NewReader(stalled[0]), nil)
	if err == nil {
		resp.Body.Close()
		require.Equal(t, http.StatusRequestTimeout, resp.StatusCode)
	}
	r.put("large", pattern(3*stripe))
	for _, c := range stalled {
		c.Close()
	}
}
