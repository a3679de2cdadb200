package postgres_test

import (
	"bytes"
	stdcmp "cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/pgtest"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/store/mem"
)

// pair does everything twice, in memory and in PostgreSQL, and wants the same answers.
type pair struct {
	t     *rapid.T
	model store.Metadata
	real  store.Metadata

	files    []store.File
	sessions []store.FileID
	sent     []store.Part
	nodes    []store.Node
	tasks    []store.Task
	leases   []store.Lease
}

// the same but for the stores' clocks, the order of what is due together, and words for people.
var alike = cmp.Options{
	cmpopts.EquateEmpty(),
	cmpopts.IgnoreTypes(time.Time{}, store.ClusterID{}),
	cmpopts.IgnoreFields(store.Task{}, "Reason"),
	cmpopts.IgnoreFields(store.File{}, "Seq"),
	cmpopts.IgnoreFields(store.ObjectChange{}, "Seq"),
	cmpopts.SortSlices(func(a, b store.Task) bool {
		return stdcmp.Or(a.Chunk.Compare(b.Chunk), bytes.Compare(a.Node[:], b.Node[:])) < 0
	}),
}

// both runs f on each store and compares what comes back.
func both[T any](p *pair, what string, f func(store.Metadata) (T, error)) (got T, err error) {
	want, wantErr := f(p.model)
	got, err = f(p.real)
	if (err == nil) != (wantErr == nil) || err != nil && store.KindOf(err) != store.KindOf(wantErr) {
		p.t.Fatalf("%s: %v, in memory %v", what, err, wantErr)
	}
	if diff := cmp.Diff(want, got, alike); diff != "" {
		p.t.Fatalf("%s (-memory +postgres):\n%s", what, diff)
	}
	return got, err
}

// only is both for calls that return an error alone.
func only(p *pair, what string, f func(store.Metadata) error) error {
	_, err := both(p, what, func(m store.Metadata) (struct{}, error) { return struct{}{}, f(m) })
	return err
}

// pick draws one of the values, or makes a new one.
func pick[T any](p *pair, from []T, fresh func() T) T {
	i := rapid.IntRange(-1, len(from)-1).Draw(p.t, "pick")
	if i < 0 {
		return fresh()
	}
	return from[i]
}

// The contract in memory is the oracle for random histories of calls.
func TestAgainstTheModel(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	s := open(t, dsn, postgres.Options{})
	rapid.Check(t, func(rt *rapid.T) {
		_, err := s.Pool().Exec(context.Background(), `TRUNCATE files, parts, sessions, session_expiries, attempts, nodes, tasks, leases, credentials,
			changes_new, changes, bucket_usage, queue_counts, queue_changes; UPDATE change_head SET revision = 0; UPDATE cluster SET epoch = 0`)
		require.NoError(rt, err)
		p := &pair{t: rt, model: mem.NewMetadata(), real: s}
		actions := map[string]func(*rapid.T){}
		for name, f := range map[string]func(*pair){
			"commit": commitOne, "upload": uploadOne, "fail": failOne, "delete": deleteOne, "look": lookAround, "enqueue": enqueueSome,
			"claim": claimSome, "outcomes": recordSome, "join": joinOne, "beat": beatSome, "set state": setState,
			"lease": leaseOne, "credential": credentialOne, "session": sessionOne, "part": partOne, "drop": dropOne, "end": endOne, "rename": renameOne,
		} {
			actions[name] = func(at *rapid.T) {
				p.t = at
				f(p)
			}
		}
		rt.Repeat(actions)
	})
}

func (p *pair) newFile() store.File {
	f := smallFile(store.Key(rapid.SampledFrom([]string{"a", "a/b", "b"}).Draw(p.t, "key")))
	f.CreatedAt = time.Now().UTC().Truncate(time.Microsecond)
	if len(p.nodes) > 0 {
		for i := range f.Parts[0].Chunks {
			f.Parts[0].Chunks[i].Node = rapid.SampledFrom(p.nodes).Draw(p.t, "node").ID
		}
	}
	return f
}

type committed struct {
	File     store.File
	Replaced store.FileID
}

func (p *pair) commit(f store.File, begun bool) {
	_, err := both(p, "CommitFile", func(m store.Metadata) (committed, error) {
		f, replaced, err := m.CommitFile(context.Background(), store.Commit{File: f, Begun: begun})
		return committed{f, replaced}, err
	})
	if err == nil {
		p.files = append(p.files, f)
	}
}

func commitOne(p *pair) {
	f := p.newFile()
	f.DeleteMarker = rapid.IntRange(0, 9).Draw(p.t, "marker") == 0
	if rapid.Bool().Draw(p.t, "missing") {
		f.Parts[0].Chunks[1] = store.Placement{}
	}
	p.commit(f, false)
}

func uploadOne(p *pair) {
	f := p.newFile()
	_ = only(p, "BeginFile", func(m store.Metadata) error { return m.BeginFile(context.Background(), f) })
	if rapid.Bool().Draw(p.t, "elsewhere") {
		f.Parts[0].Chunks = slices.Clone(f.Parts[0].Chunks)
		f.Parts[0].Chunks[0].Node = store.NewNodeID()
	}
	if rapid.Bool().Draw(p.t, "complete") {
		p.commit(f, true)
		return
	}
	p.files = append(p.files, f)
}

func failOne(p *pair) {
	f := pick(p, p.files, p.newFile)
	got, err := both(p, "File", func(m store.Metadata) (store.File, error) { return m.File(context.Background(), f.ID) })
	if err == nil && got.State == store.Failed {
		return // what a second attempt brings is metatest's
	}
	_ = only(p, "FailFile", func(m store.Metadata) error { return m.FailFile(context.Background(), f, "why", f.Parts) })
}

func deleteOne(p *pair) {
	f := pick(p, p.files, p.newFile)
	_ = only(p, "DeleteFile", func(m store.Metadata) error {
		return m.DeleteFile(context.Background(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()})
	})
}

// lookAround compares everything that can be asked without a change.
func lookAround(p *pair) {
	ctx := context.Background()
	f := pick(p, p.files, p.newFile)
	_, _ = both(p, "LatestFile", func(m store.Metadata) (store.File, error) { return m.LatestFile(ctx, f.Bucket, f.Key) })
	_, _ = both(p, "Part", func(m store.Metadata) (committed, error) {
		part, file, err := m.Part(ctx, f.Parts[0].ID)
		file.Parts = append(file.Parts, part)
		return committed{File: file}, err
	})
	_, _ = both(p, "PartsByID", func(m store.Metadata) ([]store.Part, error) { return m.PartsByID(ctx, []store.PartID{f.Parts[0].ID}) })
	for _, limit := range []int{0, 2, 1000} {
		_, _ = both(p, "PartsAfter", func(m store.Metadata) ([]store.Part, error) { return m.PartsAfter(ctx, store.PartID{0x40}, limit) })
	}
	q := store.ObjectQuery{Bucket: f.Bucket, Limit: rapid.IntRange(1, 3).Draw(p.t, "limit"), Delimiter: rapid.SampledFrom([]string{"", "/"}).Draw(p.t, "delimiter")}
	_, _ = both(p, "ListObjects", func(m store.Metadata) (store.ObjectPage, error) { return m.ListObjects(ctx, q) })
	_, _ = both(p, "ChangesAfter", func(m store.Metadata) (store.ChangePage, error) { return m.ChangesAfter(ctx, 0, store.MaxListLimit) })
	_, _ = both(p, "Usage", func(m store.Metadata) (store.Usage, error) { return m.Usage(ctx, f.Bucket) })
	_, _ = both(p, "Members", func(m store.Metadata) (store.Membership, error) { return m.Members(ctx) })
	for _, kind := range []store.TaskKind{store.Reclaim, store.Repair} {
		_, _ = both(p, "Depth", func(m store.Metadata) (store.QueueDepth, error) { return m.Depth(ctx, kind) })
	}
	_, _ = both(p, "ListCredentials", func(m store.Metadata) ([]store.Credential, error) { return m.ListCredentials(ctx) })
}

func newTask() store.Task {
	return store.Task{Kind: store.Repair, Chunk: store.ChunkID{Part: store.NewPartID(), Index: 3}, Node: store.NewNodeID(), Chunks: 8, Priority: 2, Reason: "x"}
}

func enqueueSome(p *pair) {
	tasks := []store.Task{newTask(), pick(p, p.tasks, newTask)}
	tasks[1].Chunks, tasks[1].Priority = store.NewChunkSet(rapid.IntRange(0, 3).Draw(p.t, "chunk")), rapid.IntRange(-1, 9).Draw(p.t, "priority")
	tasks[1].Reason = rapid.SampledFrom([]string{"", "x", "yy", strings.Repeat("z", store.MaxReasons/2)}).Draw(p.t, "reason")
	_ = only(p, "Enqueue", func(m store.Metadata) error { return m.Enqueue(context.Background(), tasks) })
	p.tasks = append(p.tasks, tasks...)
}

func claimSome(p *pair) {
	q := store.ClaimQuery{
		Term: 1,
		Kind: rapid.SampledFrom([]store.TaskKind{store.Reclaim, store.Repair}).Draw(p.t, "kind"), Limit: store.MaxListLimit, Hold: time.Hour,
	}
	switch rapid.IntRange(0, 2).Draw(p.t, "nodes") {
	case 0:
		q.Nodes = []store.NodeID{pick(p, p.tasks, newTask).Node, store.NewNodeID()}
	case 1:
		q.Nodes = []store.NodeID{}
	}
	claimed, _ := both(p, "Claim", func(m store.Metadata) ([]store.Task, error) { return m.Claim(context.Background(), q) })
	p.tasks = append(p.tasks, claimed...)
}

func recordSome(p *pair) {
	tasks := []store.Task{pick(p, p.tasks, newTask), pick(p, p.tasks, newTask)}
	if rapid.Bool().Draw(p.t, "finish") {
		_ = only(p, "Finish", func(m store.Metadata) error { return m.Finish(context.Background(), tasks) })
		return
	}
	delay := rapid.SampledFrom([]time.Duration{0, time.Hour}).Draw(p.t, "delay")
	_ = only(p, "Postpone", func(m store.Metadata) error { return m.Postpone(context.Background(), tasks[:1], delay) })
}

func newNode() store.Node { return store.Node{ID: store.NewNodeID()} }

func joinOne(p *pair) {
	n := pick(p, p.nodes, newNode)
	n.Name = fmt.Sprint("node-", rapid.IntRange(0, 4).Draw(p.t, "name"))
	n.Address = rapid.SampledFrom([]string{"", "host:1"}).Draw(p.t, "address")
	n.Zone = rapid.SampledFrom([]string{"", "z"}).Draw(p.t, "zone")
	n.Weight = rapid.IntRange(0, 2).Draw(p.t, "weight")
	n.Capacity.Free = int64(rapid.IntRange(0, 9).Draw(p.t, "free"))
	_, err := both(p, "JoinNode", func(m store.Metadata) (store.Membership, error) { return m.JoinNode(context.Background(), n) })
	if err == nil {
		p.nodes = append(p.nodes, n)
	}
}

func beatSome(p *pair) {
	beats := []store.Beat{{Node: store.NewNodeID()}, {Node: pick(p, p.nodes, newNode).ID, Capacity: store.Capacity{Total: 9, Used: 4, Free: 5, Chunks: 2}}}
	_, _ = both(p, "BeatNodes", func(m store.Metadata) ([]store.NodeID, error) { return m.BeatNodes(context.Background(), beats) })
}

func setState(p *pair) {
	n, state := pick(p, p.nodes, newNode), store.NodeState(rapid.IntRange(0, 4).Draw(p.t, "state"))
	_ = only(p, "SetNodeState", func(m store.Metadata) error { return m.SetNodeState(context.Background(), n.ID, state, "") })
}

func leaseOne(p *pair) {
	ctx := context.Background()
	fresh := func() store.Lease {
		return store.Lease{Name: rapid.SampledFrom([]string{"x", "y"}).Draw(p.t, "name"), Owner: rapid.SampledFrom([]string{"me", "you"}).Draw(p.t, "owner"), Term: 1}
	}
	l, ttl := pick(p, p.leases, fresh), rapid.SampledFrom([]time.Duration{time.Minute, time.Hour}).Draw(p.t, "ttl")
	var err error
	switch rapid.IntRange(0, 2).Draw(p.t, "what") {
	case 0:
		l, err = both(p, "AcquireLease", func(m store.Metadata) (store.Lease, error) { return m.AcquireLease(ctx, l.Name, l.Owner, ttl) })
	case 1:
		l, err = both(p, "RenewLease", func(m store.Metadata) (store.Lease, error) { return m.RenewLease(ctx, l, ttl) })
	case 2:
		_ = only(p, "ReleaseLease", func(m store.Metadata) error { return m.ReleaseLease(ctx, l) })
	}
	if err == nil {
		p.leases = append(p.leases, l)
	}
}

func credentialOne(p *pair) {
	ctx := context.Background()
	key := rapid.SampledFrom([]string{"K1", "K2", "k1"}).Draw(p.t, "key")
	c := store.Credential{AccessKey: key, Sealed: []byte{0, 1, 255}, Note: "for a test"}
	_ = only(p, "SaveCredential", func(m store.Metadata) error { return m.SaveCredential(ctx, c, "") })
	_, _ = both(p, "Credential", func(m store.Metadata) (store.Credential, error) { return m.Credential(ctx, key) })
	if rapid.Bool().Draw(p.t, "delete") {
		for range 2 {
			_ = only(p, "DeleteCredential", func(m store.Metadata) error { return m.DeleteCredential(ctx, key, "") })
		}
		_, _ = both(p, "Credential", func(m store.Metadata) (store.Credential, error) { return m.Credential(ctx, key) })
	}
}

func sessionOne(p *pair) {
	f := p.newFile()
	x := store.Session{ID: f.ID, Bucket: f.Bucket, Key: f.Key, Size: -1, Owner: "t"}
	if len(p.sessions) > 0 && rapid.Bool().Draw(p.t, "again") {
		x.ID = rapid.SampledFrom(p.sessions).Draw(p.t, "session")
	}
	_, err := both(p, "CreateSession", func(m store.Metadata) (store.Session, error) {
		return m.CreateSession(context.Background(), x, time.Hour, store.SessionLimits{})
	})
	if err == nil {
		p.sessions = append(p.sessions, x.ID)
	}
}

// partOne begins and saves a part, either or both, and perhaps one that was sent before.
func partOne(p *pair) {
	ctx := context.Background()
	id := pick(p, p.sessions, store.NewFileID)
	part := pick(p, p.sent, func() store.Part {
		part := p.newFile().Parts[0]
		part.Number = rapid.IntRange(1, 3).Draw(p.t, "number")
		return part
	})
	p.sent = append(p.sent, part)
	change := store.SessionChange{Session: id, Caller: rapid.SampledFrom([]string{"", "t", "u"}).Draw(p.t, "caller")}
	if rapid.Bool().Draw(p.t, "begin") {
		_ = only(p, "BeginPart", func(m store.Metadata) error { return m.BeginPart(ctx, id, part) })
	}
	if rapid.Bool().Draw(p.t, "elsewhere") {
		part.Chunks = slices.Clone(part.Chunks)
		part.Chunks[0].Node, part.Chunks[1] = store.NewNodeID(), store.Placement{}
	}
	if rapid.Bool().Draw(p.t, "save") {
		_ = only(p, "SavePart", func(m store.Metadata) error { return m.SavePart(ctx, change, part, time.Hour) })
	}
	if rapid.IntRange(0, 3).Draw(p.t, "size") == 0 {
		size := rapid.Int64Range(-1, 2).Draw(p.t, "bytes")
		_ = only(p, "SetSessionSize", func(m store.Metadata) error { return m.SetSessionSize(ctx, change, size) })
	}
	_, _ = both(p, "Session", func(m store.Metadata) (store.Session, error) { return m.Session(ctx, id) })
}

func dropOne(p *pair) {
	part := pick(p, p.sent, func() store.Part { return p.newFile().Parts[0] })
	_ = only(p, "DropPart", func(m store.Metadata) error { return m.DropPart(context.Background(), part) })
}

// endOne aborts a session, or completes one or two with some of their parts, or of others'.
func endOne(p *pair) {
	ctx := context.Background()
	ids := []store.FileID{pick(p, p.sessions, store.NewFileID)}
	q := store.SessionQuery{Bucket: store.DefaultBucket, Prefix: "a", Limit: 2}
	_, _ = both(p, "ListSessions", func(m store.Metadata) (store.SessionPage, error) { return m.ListSessions(ctx, q) })
	if rapid.Bool().Draw(p.t, "abort") {
		_ = only(p, "AbortSession", func(m store.Metadata) error { return m.AbortSession(ctx, store.SessionChange{Session: ids[0]}) })
		return
	}
	if rapid.Bool().Draw(p.t, "two") {
		ids = append(ids, pick(p, p.sessions, store.NewFileID))
	}
	f := p.newFile()
	f.Parts = nil
	if rapid.Bool().Draw(p.t, "same id") {
		f.ID = ids[0]
	}
	for _, id := range ids {
		x, _ := p.model.Session(ctx, id)
		for _, part := range x.Parts {
			if rapid.IntRange(0, 3).Draw(p.t, "take") > 0 {
				f.Parts = append(f.Parts, store.Part{ID: part.ID, Number: len(f.Parts) + 1})
			}
		}
	}
	if len(p.sent) > 0 && rapid.IntRange(0, 5).Draw(p.t, "any part") == 0 {
		f.Parts = append(f.Parts, store.Part{ID: rapid.SampledFrom(p.sent).Draw(p.t, "part").ID, Number: len(f.Parts) + 1})
	}
	_, _ = both(p, "CompleteSession", func(m store.Metadata) (committed, error) {
		f, replaced, err := m.CompleteSession(ctx, store.Completion{File: f, Sessions: ids, Attempt: store.NewAttemptID()})
		return committed{f, replaced}, err
	})
}

func renameOne(p *pair) {
	f, to := pick(p, p.files, p.newFile), p.newFile().Key
	_, _ = both(p, "RenameFile", func(m store.Metadata) (committed, error) {
		f, replaced, err := m.RenameFile(context.Background(), store.Rename{File: f.ID, Bucket: store.DefaultBucket, Key: to, Attempt: store.NewAttemptID()})
		return committed{f, replaced}, err
	})
}
