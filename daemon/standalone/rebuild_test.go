package standalone_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/chunkfs"
	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite"
	"github.com/ringstore/ringstore/daemon/internal/metalog/replay"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/profile"
)

// TestALostDatabaseIsRebuiltFromTheDisks: a real server on SQLite and six directories, used over REST and tus, is stopped once /health says that its log is
// complete. Of its directories alone another database is rebuilt, which equals the lost one.
func TestALostDatabaseIsRebuiltFromTheDisks(t *testing.T) {
	home(t)
	data := filepath.Join(t.TempDir(), "data")
	p := run(t, "--data", data, "--listen", "127.0.0.1:0")
	p.ready()
	useAll(t, local(t))
	within5Seconds(t, local(t))
	require.Zero(t, p.end(), "%s", p.err)

	lost, err := sqlite.Open(t.Context(), filepath.Join(data, "metadata.db"), sqlite.Options{})
	require.NoError(t, err)
	defer lost.Close()
	rebuilt, report := rebuild(t, data, 2)
	require.Zero(t, report.Missing+report.Moved)
	require.Positive(t, report.Unknown, "chunks of replaced files are not reclaimed yet")
	requireSameStore(t, lost, rebuilt)
}

// rebuild makes a database from the directories of the nodes but for the first few, which are lost, too.
func rebuild(t *testing.T, data string, gone int) (*sqlite.Store, replay.Report) {
	t.Helper()
	silent := slog.New(slog.DiscardHandler)
	lost, err := sqlite.Open(t.Context(), filepath.Join(data, "metadata.db"), sqlite.Options{})
	require.NoError(t, err)
	members, err := lost.Members(t.Context())
	require.NoError(t, err)
	require.NoError(t, lost.Close())
	var nodes []replay.Node
	for i := gone; i < 6; i++ {
		dir := filepath.Join(data, "nodes", fmt.Sprintf("node-%d", i+1))
		chunks, err := chunkfs.Open(t.Context(), chunkfs.Config{Dir: dir, Identity: chunkfs.Identity{Cluster: members.Cluster}, Log: silent})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, chunks.Close()) })
		nodes = append(nodes, replay.Node{ID: chunks.Identity().Node, Chunks: chunks})
	}
	rebuilt, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "rebuilt.db"), sqlite.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, rebuilt.Close()) })
	report, err := replay.Rebuild(t.Context(), replay.Config{Nodes: nodes, Cluster: members.Cluster, Log: silent}, rebuilt)
	require.NoError(t, err)
	require.True(t, report.Complete(), "%+v", report)
	return rebuilt, report
}

// useAll stores files in every way that there is.
func useAll(t *testing.T, p profile.Profile) {
	t.Helper()
	small, large := bytes.Repeat([]byte("ring"), 500), bytes.Repeat([]byte("store"), 400_000)
	put(t, p, "small", small)
	put(t, p, "large", large)
	put(t, p, "small", large)
	expect(t, p, http.StatusOK, http.MethodPost, "/files/"+put(t, p, "old", small)+"/rename", nil, `{"name": "new"}`)
	expect(t, p, http.StatusNoContent, http.MethodDelete, "/files/"+put(t, p, "deleted", small), nil, "")
	expect(t, p, http.StatusCreated, http.MethodPost, "/files/"+put(t, p, "source", large)+"/copy", nil, `{"name": "copy"}`)
	expect(t, p, http.StatusCreated, http.MethodPost, "/buckets", nil, `{"name": "photos"}`)

	var s struct {
		ID string `json:"session_id"`
	}
	require.NoError(t, json.Unmarshal(expect(t, p, http.StatusCreated, http.MethodPost, "/sessions", nil, `{"bucket": "photos", "name": "resumed"}`), &s))
	for n := range 3 {
		expect(t, p, http.StatusOK, http.MethodPut, fmt.Sprintf("/sessions/%s/parts/%d", s.ID, n+1), nil, string(large))
	}
	expect(t, p, http.StatusOK, http.MethodPost, "/sessions/"+s.ID+"/complete", nil, "{}")

	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	tus := map[string]string{
		"Tus-Resumable": "1.0.0", "Upload-Length": fmt.Sprint(len(small)), "Content-Type": "application/offset+octet-stream",
		"Upload-Metadata": "filename " + encode("by tus") + ",bucket " + encode("default"),
	}
	expect(t, p, http.StatusCreated, http.MethodPost, "/tus", tus, string(small))
}

// expect sends a request and demands the status.
func expect(t *testing.T, p profile.Profile, status int, method, path string, header map[string]string, body string) []byte {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, p.Endpoint+path, bytes.NewReader([]byte(body)))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/json")
	for name, value := range header {
		r.Header.Set(name, value)
	}
	r.SetBasicAuth(p.AccessKey, p.Secret)
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	var answer bytes.Buffer
	_, err = answer.ReadFrom(resp.Body)
	require.NoError(t, err)
	require.Equal(t, status, resp.StatusCode, "%s %s: %s", method, path, answer.String())
	return answer.Bytes()
}

// within5Seconds demands that the log is complete soon after the last change, as the health says. The time is generous, for busy machines.
func within5Seconds(t *testing.T, p profile.Profile) {
	t.Helper()
	var h struct {
		Log *struct {
			Complete bool    `json:"complete"`
			Lag      float64 `json:"lag"`
		} `json:"metadata_log"`
	}
	for deadline := time.Now().Add(time.Minute); ; {
		require.NoError(t, json.Unmarshal(expect(t, p, http.StatusOK, http.MethodGet, "/health", nil, ""), &h))
		require.NotNil(t, h.Log, "the state of the log is known")
		if h.Log.Complete {
			require.Zero(t, h.Log.Lag)
			return
		}
		require.Positive(t, h.Log.Lag)
		require.True(t, time.Now().Before(deadline), "the log is %v s behind", h.Log.Lag)
	}
}

// requireSameStore compares buckets, and all files with their parts and the places of their chunks.
func requireSameStore(t *testing.T, want, got store.Metadata) {
	t.Helper()
	a, err := want.ListBuckets(t.Context())
	require.NoError(t, err)
	b, err := got.ListBuckets(t.Context())
	require.NoError(t, err)
	require.Equal(t, a, b)
	for _, bucket := range a {
		x, err := want.Usage(t.Context(), bucket.Name)
		require.NoError(t, err)
		y, err := got.Usage(t.Context(), bucket.Name)
		require.NoError(t, err)
		require.Equal(t, x, y)
	}
	x, err := want.CompleteFiles(t.Context(), store.FileID{}, store.MaxListLimit)
	require.NoError(t, err)
	y, err := got.CompleteFiles(t.Context(), store.FileID{}, store.MaxListLimit)
	require.NoError(t, err)
	require.Len(t, x.Files, 7)
	require.Equal(t, x, y)
}
