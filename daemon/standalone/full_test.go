package standalone_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/tests/fulldisk"
)

const (
	patience = 30 * time.Second
	tick     = 20 * time.Millisecond
)

// The metadata's disk is full, the nodes' disks are not: nothing is stored, /health gives the reason, deletes work,
// no node counts as offline, and the service recovers by itself once space is free.
func TestAFullMetadataDiskIsToldAndDeletes(t *testing.T) {
	home(t)
	data, chunks := fulldisk.Mount(t, 24<<20), t.TempDir()
	args := []string{"--data", data, "--listen", "127.0.0.1:0", "--heartbeat", "200ms"}
	for i := range 3 {
		args = append(args, "--disk", filepath.Join(chunks, fmt.Sprint("disk-", i)))
	}
	p := run(t, args...)
	p.ready()
	key := local(t)
	ids := make([]string, 0, 20)
	for i := range 20 {
		ids = append(ids, put(t, key, fmt.Sprint("kept-", i), []byte("ring")))
	}
	filler := fulldisk.Fill(t, data)
	for i := 0; ; i++ { // uses up what the log has left over
		fulldisk.Fill(t, data)
		status, answer := call(t, key, http.MethodPost, fmt.Sprint("/files?bucket=default&name=more-", i), bytes.Repeat([]byte("x"), 100))
		if status == http.StatusInsufficientStorage {
			break
		}
		require.Equal(t, http.StatusCreated, status, "%s", answer)
	}
	health := func() (int, string) {
		status, answer := call(t, key, http.MethodGet, "/health", nil)
		return status, string(answer)
	}
	require.Eventually(t, func() bool {
		status, answer := health()
		return status == http.StatusServiceUnavailable && strings.Contains(answer, "has no space")
	}, patience, tick)
	for _, id := range ids {
		status, answer := call(t, key, http.MethodDelete, "/files/"+id, nil)
		require.Less(t, status, 300, "%s", answer)
	}
	fulldisk.Fill(t, data)
	status, answer := call(t, key, http.MethodPost, "/files?bucket=default&name=refused", []byte("ring"))
	require.Equal(t, http.StatusInsufficientStorage, status, "%s", answer)
	status, _ = call(t, key, http.MethodGet, "/health/ready", nil)
	require.Equal(t, http.StatusServiceUnavailable, status)
	_, text := health()
	require.NotContains(t, text, "are away")
	require.NoError(t, os.Remove(filler))
	require.Eventually(t, func() bool { status, _ := health(); return status == http.StatusOK }, patience, tick)
	put(t, key, "after", []byte("ring"))
	require.Zero(t, p.end(), "%s", p.err)
}
