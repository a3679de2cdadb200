package logwriter_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ringstore/ringstore/daemon/internal/attr"
	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/metalog/replay"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
	"github.com/ringstore/ringstore/daemon/internal/upkeep"
	"github.com/ringstore/ringstore/daemon/internal/upkeep/loop/logwriter"
	"github.com/ringstore/ringstore/daemon/internal/upkeep/upkeeptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// meta is a metadata store that can fail and run something before a call.
type meta struct {
	*mem.Metadata
	mu     sync.Mutex
	before func(call string) error // nil: nothing
}

func (m *meta) call(name string) error {
	m.mu.Lock()
	before := m.before
	m.mu.Unlock()
	if before == nil {
		return nil
	}
	return before(name)
}

func (m *meta) set(before func(call string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.before = before
}

func (m *meta) FilesByID(ctx context.Context, ids []store.FileID) (store.FileBatch, error) {
	if err := m.call("FilesByID"); err != nil {
		return store.FileBatch{}, err
	}
	return m.Metadata.FilesByID(ctx, ids)
}

func (m *meta) CompleteFiles(ctx context.Context, after store.FileID, limit int) (store.FileBatch, error) {
	if err := m.call("CompleteFiles"); err != nil {
		return store.FileBatch{}, err
	}
	return m.Metadata.CompleteFiles(ctx, after, limit)
}

// ChangeLog fails before the change, or after it, where the answer is lost.
func (m *meta) ChangeLog(ctx context.Context, c store.LogChange) error {
	if err := m.call("ChangeLog"); err != nil {
		return err
	}
	if err := m.Metadata.ChangeLog(ctx, c); err != nil {
		return err
	}
	return m.call("after ChangeLog")
}

func (m *meta) DropPart(ctx context.Context, p store.Part) error {
	if err := m.call("DropPart"); err != nil {
		return err
	}
	return m.Metadata.DropPart(ctx, p)
}

func (m *meta) Enqueue(ctx context.Context, tasks []store.Task) error {
	if err := m.call("Enqueue"); err != nil {
		return err
	}
	return m.Metadata.Enqueue(ctx, tasks)
}

// rig is a cluster in memory with a loop that writes its log.
type rig struct {
	*upkeeptest.Cluster
	meta *meta
	cfg  logwriter.Config
	loop *logwriter.Loop
	term uint64
}

func newRig(t testing.TB, nodes int, change func(*logwriter.Config)) *rig {
	r := newFreshRig(t, nodes, change)
	require.NoError(t, r.Meta.UpdateBucket(context.Background(), store.Bucket{Name: store.DefaultBucket, Survive: store.SurviveDefault}, ""))
	r.settle(t) // as a gateway does before its first client
	return r
}

// newFreshRig returns a rig whose loop has never run.
func newFreshRig(t testing.TB, nodes int, change func(*logwriter.Config)) *rig {
	c := upkeeptest.New(t, nodes)
	r := &rig{Cluster: c, meta: &meta{Metadata: c.Meta}}
	r.cfg = logwriter.Config{Meta: r.meta, Fleet: c.Fleet, Survive: 2, Log: upkeeptest.Quiet, Every: time.Nanosecond}
	if change != nil {
		change(&r.cfg)
	}
	r.lead()
	return r
}

// lead starts another leader, which knows nothing of the one before.
func (r *rig) lead() {
	r.term++
	r.loop = logwriter.New(r.cfg)
}

func (r *rig) step() (upkeep.Outcome, error) { return r.loop.Step(context.Background(), r.term) }

// settle runs steps until nothing is left to do.
func (r *rig) settle(t testing.TB) {
	t.Helper()
	for n := 0; ; n++ {
		out, err := r.step()
		require.NoError(t, err)
		if out.State == upkeep.Idle {
			return
		}
		require.Less(t, n, 10_000, "it does not end")
	}
}

// replayed rebuilds the metadata from the nodes.
func (r *rig) replayed(t testing.TB) (*mem.Metadata, replay.Report) {
	t.Helper()
	var nodes []replay.Node
	for id, c := range r.Nodes {
		nodes = append(nodes, replay.Node{ID: id, Chunks: c})
	}
	into := mem.NewMetadata()
	report, err := replay.Rebuild(context.Background(), replay.Config{Nodes: nodes, Log: upkeeptest.Quiet}, into)
	require.NoError(t, err)
	return into, report
}

// state is all that the log is to keep.
type state struct {
	Files     map[store.FileID]store.File
	Buckets   []store.Bucket
	Documents map[store.BucketName][]attr.Document
}

func stateOf(t testing.TB, m *mem.Metadata) state {
	t.Helper()
	s := state{Files: map[store.FileID]store.File{}, Documents: map[store.BucketName][]attr.Document{}}
	for after, more := (store.FileID{}), true; more; {
		batch, err := m.CompleteFiles(context.Background(), after, store.MaxListLimit)
		require.NoError(t, err)
		for _, f := range batch.Files {
			s.Files[f.ID], after = f, f.ID
		}
		more = batch.More
	}
	var err error
	s.Buckets, err = m.ListBuckets(context.Background())
	require.NoError(t, err)
	for _, b := range s.Buckets {
		s.Documents[b.Name], err = m.Documents(context.Background(), b.Name)
		require.NoError(t, err)
	}
	return s
}

// requireSame compares states, but for the placements of chunks: the chunks of most tests exist in the metadata only.
func requireSame(t testing.TB, want, got state) {
	t.Helper()
	want, got = want.bare(), got.bare()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("the replay differs (-lost +rebuilt):\n%s", diff)
	}
}

func (s state) bare() state {
	files := maps.Clone(s.Files)
	for id, f := range files {
		f.Parts = slices.Clone(f.Parts)
		for i := range f.Parts {
			f.Parts[i].Chunks = nil
		}
		files[id] = f
	}
	return state{files, s.Buckets, s.Documents}
}

// requireReplay demands that the replay equals the metadata store.
func (r *rig) requireReplay(t testing.TB) replay.Report {
	t.Helper()
	got, report := r.replayed(t)
	requireSame(t, stateOf(t, r.Meta), stateOf(t, got))
	return report
}

// file is a file whose parts are on no node.
func file(key store.Key, parts int) store.File {
	f := store.File{
		ID: store.NewFileID(), Bucket: store.DefaultBucket, Key: key, ContentType: "text/plain", CreatedAt: time.Now().UTC().Truncate(time.Microsecond),
		Meta: map[string]string{"of": string(key)}, SHA256: bytes.Repeat([]byte{1}, 32), CRC64: 1 << 60, ETag: fmt.Sprint("tag-", key),
	}
	if parts == 2 {
		f.Attributes = attr.Set{Owner: "owner", Tags: map[string]string{"parts": "2"}}
	}
	for i := range parts {
		p := store.Part{ID: store.NewPartID(), Number: i + 1, Size: 100, K: 1, M: 2, UnitSize: chunk.DefaultUnitSize, CRC64: uint64(i) << 33}
		for range 3 {
			p.Chunks = append(p.Chunks, store.Placement{Node: store.NodeID{1, 15: 1}, Sum: 7})
		}
		if i == 1 {
			p.Checksums = attr.Checksums{{Algorithm: attr.ChecksumMD5, Value: bytes.Repeat([]byte{byte(len(key))}, 16)}}
		}
		f.Parts = append(f.Parts, p)
		f.Size += p.Size
	}
	return f
}

func (r *rig) put(t testing.TB, f store.File, before store.Before) store.File {
	t.Helper()
	stored, _, err := r.Meta.CommitFile(context.Background(), store.Commit{Change: store.Change{Before: before, Caller: "writer"}, File: f})
	require.NoError(t, err)
	return stored
}
