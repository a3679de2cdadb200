package chaos

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	storagev1 "github.com/ringstore/ringstore/proto/storage/v1"
	"github.com/ringstore/ringstore/tests/cluster"
	"github.com/ringstore/ringstore/tests/pgserver"
)

// storm is a cluster under load and failures, and the checks afterwards.
type storm struct {
	t      *testing.T
	c      *cluster.Cluster
	db     database
	lines  []*line
	apis   []*api
	w      *workload
	dir    string
	faults *faults
}

// The small disk holds what a node stores during the storm, and its reserve.
const (
	smallDisk = 192 << 20 // bytes, in a tmpfs
	smallNode = 5
)

// TestStorm writes and reads through two gateways while everything is killed, paused, locked, disconnected and filled
// up. Afterwards, with everything running, no acknowledged write may be missing, nothing deleted may reappear, and each
// file must survive what its policy says.
func TestStorm(t *testing.T) {
	t.Parallel()
	seed := setting(t, envSeed, int(rand.Uint32()))
	seconds := setting(t, envSeconds, 60)
	t.Logf("%s=%d %s=%d", envSeed, seed, envSeconds, seconds)
	s := newStorm(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(seconds)*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.faults.run(ctx, uint64(seed)) }()
	s.w.run(ctx, uint64(seed), 8)
	require.NoError(t, <-ended)
	for _, what := range slices.Sorted(maps.Keys(s.w.summary())) {
		t.Logf("%6d  %s", s.w.summary()[what], what)
	}
	require.NoError(t, s.c.WaitReady(t.Context(), len(s.c.Nodes)), "all processes are back")
	s.completeSessions()
	s.whole()
	s.readAll()
	s.compareChunks()
	wrong := s.w.h.wrong()
	for _, v := range wrong[:min(len(wrong), 10)] {
		t.Error(v)
	}
	require.Empty(t, len(wrong), "faults found")
}

func newStorm(t *testing.T) *storm {
	s := &storm{t: t, dir: keptDir(t)}
	small := s.mountSmallDisk()
	var err error
	s.c, err = cluster.Start(t.Context(), cluster.Options{
		Dir: s.dir, Bin: bin, Gateways: 2,
		Gateway: append([]string{"--heartbeat", "1s", "--grace", "1s"}, keepReplaced(t, "s3gateway", 2*time.Second)...),
		Storage: []string{"--heartbeat", "1s", "--grace", "1s"},
		Database: func(_ int, dsn string) string {
			return s.throughLine(dsn)
		},
		NodeDir: func(node int) string {
			if node == smallNode && small != "" {
				return filepath.Join(small, "node")
			}
			return filepath.Join(s.dir, fmt.Sprintf("storage-%d", node+1))
		},
		NodeArgs: func(node int) []string {
			if node == smallNode {
				return []string{"--reserve", "16MiB", "--limit", fmt.Sprint(smallDisk)}
			}
			return nil
		},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.c.Close()) })
	s.db = database{s.c.Database.DSN("postgres")}
	for _, address := range s.c.URLs {
		a := newAPI(address, s.c.AccessKey, s.c.SecretKey, 45*time.Second)
		t.Cleanup(a.close)
		s.apis = append(s.apis, a)
	}
	s.w = newWorkload(newHistory(time.Minute, time.Now()), s.apis, 40)
	s.faults = &faults{t: t, c: s.c, db: s.db, lines: s.lines, killing: s.w.killed, smallDir: small, hanging: make([]atomic.Bool, len(s.apis))}
	s.w.away = func(gateway int) bool { return s.faults.hanging[gateway].Load() }
	return s
}

// throughLine returns a connection string to the same database through a line that can be cut. The string has the port;
// the server also listens on it on loopback.
func (s *storm) throughLine(dsn string) string {
	u, err := url.Parse(dsn)
	require.NoError(s.t, err)
	l, err := newLine(net.JoinHostPort("127.0.0.1", u.Query().Get("port")))
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = l.Close() })
	s.lines = append(s.lines, l)
	return "postgres://" + pgserver.User + "@" + l.Address + "/postgres?sslmode=disable"
}

// keptDir is a directory whose logs are kept if the test fails.
func keptDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "ringstore-chaos-")
	require.NoError(t, err)
	t.Cleanup(func() {
		if !t.Failed() {
			require.NoError(t, os.RemoveAll(dir))
			return
		}
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if !strings.HasSuffix(e.Name(), ".log") {
				_ = os.RemoveAll(filepath.Join(dir, e.Name()))
			}
		}
		t.Logf("the logs are in %s", dir)
	})
	return dir
}

// mountSmallDisk mounts a small file system for one node, so that it can become full. Only root can do this.
func (s *storm) mountSmallDisk() string {
	dir := filepath.Join(s.dir, "small-disk")
	require.NoError(s.t, os.Mkdir(dir, 0o700))
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=700", smallDisk)); err != nil {
		s.t.Logf("no full disk in this run: a file system for it cannot be mounted: %v", err)
		return ""
	}
	s.t.Cleanup(func() { require.NoError(s.t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	return dir
}

// completeSessions completes the sessions whose parts were all acknowledged, and aborts the others.
func (s *storm) completeSessions() {
	for _, o := range s.w.open {
		if s.w.complete(s.t.Context(), 0, o) == refused {
			s.w.h.fail(o.key, "session %s has all its %d parts and cannot be completed", o.id, o.parts)
		}
	}
	var list struct {
		Sessions []fileInfo `json:"sessions"`
	}
	require.NoError(s.t, s.apis[0].json(s.t.Context(), http.MethodGet, "/sessions?per_page=1000", nil, nil, &list))
	for _, o := range list.Sessions {
		err := s.apis[0].json(s.t.Context(), http.MethodDelete, "/sessions/"+o.SessionID, nil, nil, nil)
		require.NoError(s.t, err)
	}
}

// whole waits until the queues are empty and every file survives what its policy says: for a minute, plus a second
// for every 50 MB that are missing.
func (s *storm) whole() {
	missing, _, err := s.belowPolicy()
	require.NoError(s.t, err)
	limit := time.Minute + time.Duration(missing/50e6*float64(time.Second))
	ctx, cancel := context.WithTimeout(s.t.Context(), limit)
	defer cancel()
	began := time.Now()
	for {
		tasks, below := s.todo()
		if tasks == 0 && len(below) == 0 {
			s.t.Logf("whole after %.1f s; %.1f MB were missing", time.Since(began).Seconds(), missing/1e6)
			return
		}
		if ctx.Err() != nil {
			queued, err := s.db.describe(s.t.Context())
			require.NoError(s.t, err)
			s.t.Errorf("after %v %d tasks are queued, and %d files survive less than their policy says:\n    %s", limit, tasks, len(below),
				strings.Join(append(queued, below[:min(len(below), 10)]...), "\n    "))
			return
		}
		time.Sleep(200 * time.Millisecond) // ADR 111: polls other processes
	}
}

// todo counts the queued tasks; if there are no tasks, it returns the files that survive less than they should.
func (s *storm) todo() (tasks int, below []string) {
	tasks, err := s.db.tasks(s.t.Context())
	require.NoError(s.t, err)
	if tasks == 0 {
		_, below, err = s.belowPolicy()
		require.NoError(s.t, err)
	}
	return tasks, below
}

// belowPolicy returns the bytes of missing chunks, and the files that survive less than they should.
func (s *storm) belowPolicy() (missing float64, below []string, err error) {
	files, err := s.apis[0].all(s.t.Context(), bucket)
	if err != nil {
		return 0, nil, err
	}
	for _, f := range files {
		m, err := s.apis[0].metadata(s.t.Context(), f.ID)
		if err != nil {
			return 0, nil, err
		}
		if m.Survives < m.Wanted {
			below = append(below, fmt.Sprintf("%s %s survives %d of %d failures", f.ID, f.Name, m.Survives, m.Wanted))
		}
		for _, p := range m.Parts {
			for _, c := range p.Chunks {
				if c.NodeID == "" {
					missing += float64(c.Bytes)
				}
			}
		}
	}
	return missing, below, nil
}

// readAll reads every key through every gateway and compares the listing with the result.
func (s *storm) readAll() {
	moves := s.w.h.openMoves()
	shown := map[string]version{}
	for gateway, a := range s.apis {
		for _, key := range s.w.keys {
			v, err := s.readOne(a, key)
			if err != nil {
				s.w.h.fail(key, "cannot be read through gateway %d with everything back: %v", gateway+1, err)
				continue
			}
			shown[key] = v
		}
	}
	for _, m := range moves {
		if (shown[m.from.key] == m.version) == (shown[m.to.key] == m.version) {
			s.w.h.fail(m.from.key, "%v was renamed to %s with an unknown outcome; now %v is here and %v there",
				m.version, m.to.key, shown[m.from.key], shown[m.to.key])
		}
	}
	files, err := s.apis[0].all(s.t.Context(), bucket)
	require.NoError(s.t, err)
	var listed, want []string
	for _, f := range files {
		listed = append(listed, f.Name)
	}
	for _, key := range s.w.keys {
		if shown[key] != absent {
			want = append(want, key)
		}
	}
	slices.Sort(want)
	require.Equal(s.t, want, listed, "the listing shows what can be read")
}

func (s *storm) readOne(a *api, key string) (version, error) {
	began := time.Now()
	id, err := a.latest(s.t.Context(), bucket, key)
	ended := time.Now()
	if err != nil {
		return absent, err
	}
	v := absent
	if id != "" {
		if v, err = a.get(s.t.Context(), id, s.w.h.size); err != nil {
			return absent, fmt.Errorf("file %s: %w", id, err)
		}
	}
	s.w.h.read(key, v, began, ended)
	return v, nil
}

// compareChunks compares the chunks on the nodes with the metadata.
func (s *storm) compareChunks() {
	ctx := s.t.Context()
	kept := s.kept()
	files, err := s.apis[0].all(ctx, bucket)
	require.NoError(s.t, err)
	for _, f := range files {
		m, err := s.apis[0].metadata(ctx, f.ID)
		require.NoError(s.t, err)
		for _, p := range m.Parts {
			for _, c := range p.Chunks {
				if _, ok := kept[c.NodeID][c.ID]; !ok {
					s.w.h.fail(f.Name, "chunk %s should be on node %s and is not", c.ID, c.NodeID)
				}
			}
		}
	}
	s.unknownChunks()
}

// kept lists the chunks of every node: the label by chunk id, by node id.
func (s *storm) kept() map[string]map[string]*storagev1.Label {
	all := map[string]map[string]*storagev1.Label{}
	for id, address := range nodeAddresses(s.t, s.apis[0]) {
		chunks, err := chunksOf(s.t.Context(), address)
		require.NoError(s.t, err)
		all[id] = chunks
	}
	return all
}

// unknownChunks lists the chunks without metadata. Only writes whose gateway was killed before it could update the
// metadata may leave some, and so may the metadata log, which writes one segment at a time; a running gateway may still be about to update it.
func (s *storm) unknownChunks() {
	for end := time.Now().Add(cleanUp); ; time.Sleep(500 * time.Millisecond) { // ADR 111: polls other processes
		chunks, left := s.leftover()
		perKey, tooMany := map[string][]orphan{}, 0
		for _, o := range left {
			if strings.HasPrefix(o.key, segmentKey) {
				o.key = segmentKey
			}
			perKey[o.key] = append(perKey[o.key], o)
			if len(perKey[o.key]) > s.cut(o.key) {
				tooMany++
			}
		}
		if tooMany > 0 && time.Now().Before(end) {
			continue
		}
		s.t.Logf("%d chunks of %d writes that were cut off by the end of their gateway are known to no metadata", chunks, len(left)-tooMany)
		for key, all := range perKey {
			if allowed := s.cut(key); len(all) > allowed {
				s.w.h.fail(key, "%d writes left chunks that no metadata knows; their gateway had %d in hand when it was killed:%s", len(all), allowed, all)
			}
		}
		return
	}
}

// segmentKey begins the keys in the labels of all segments of the metadata log.
const segmentKey = "metadata log "

// cut is how many writes of the key gateways had in progress when they were killed; of segmentKey the most segments.
func (s *storm) cut(key string) int {
	if key == segmentKey {
		return s.w.kills
	}
	return s.w.cutKeys[key]
}

// orphan is a part of which nodes have chunks and that no metadata knows.
type orphan struct {
	key    string
	label  *storagev1.Label // of one of the chunks
	chunks []string         // each with its node
}

func (o orphan) String() string {
	return fmt.Sprintf("\n      part %d of file %s, created at %s, %d bytes: %s", o.label.GetPartNumber(), o.label.GetFileId(),
		time.UnixMicro(o.label.GetCreatedAt()).UTC().Format(time.StampMicro), o.label.GetPartSize(), strings.Join(o.chunks, ", "))
}

// leftover counts the chunks without metadata, and returns their parts by id.
func (s *storm) leftover() (chunks int, left map[string]orphan) {
	known, err := s.db.knownParts(s.t.Context())
	require.NoError(s.t, err)
	left = map[string]orphan{}
	for node, labels := range s.kept() {
		for id, label := range labels {
			if part, _, _ := strings.Cut(id, "-"); !known[part] {
				left[part] = orphan{key: label.GetKey(), label: label, chunks: append(left[part].chunks, id+" on node "+node)}
				chunks++
			}
		}
	}
	return chunks, left
}
