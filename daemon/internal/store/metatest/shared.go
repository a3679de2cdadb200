package metatest

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// sharedTests open more than one store on the same data.
var sharedTests = []struct {
	name string
	run  func(t *testing.T, open Open)
}{
	{"everything is there after a restart", func(t *testing.T, open Open) {
		m := opened(t, open)
		f := newFile("a", newPart(1, append(newNodes(2), store.NodeID{})...))
		put(t, m, f)
		upload := newFile("b", newPart(1, newNodes(2)...))
		begin(t, m, upload)
		bucket(t, m, "photos")
		view := join(t, m, newNode("n1"))
		task := newTask(store.Reclaim, store.NewNodeID())
		enqueue(t, m, task)
		l := acquire(t, m, "upkeep", "gateway-1", time.Hour)
		require.NoError(t, m.SaveCredential(t.Context(), store.Credential{AccessKey: "k", Sealed: []byte("s")}, ""))
		want, err := m.File(t.Context(), f.ID)
		require.NoError(t, err)
		require.NoError(t, m.Close())

		m = opened(t, open)
		got, err := m.File(t.Context(), f.ID)
		require.NoError(t, err)
		same(t, want, got)
		again := members(t, m)
		again.Now = view.Now
		same(t, view, again)
		all, err := m.ListBuckets(t.Context())
		require.NoError(t, err)
		require.Len(t, all, 2)
		requireQueued(t, m, store.Reclaim, work{task.Chunk, task.Node})
		requireQueued(t, m, store.Repair, work{Chunk: f.Parts[0].ChunkID(2)})
		_, err = m.RenewLease(t.Context(), l, time.Hour)
		require.NoError(t, err)
		_, err = m.Credential(t.Context(), "k")
		require.NoError(t, err)
		_, _, err = m.CommitFile(t.Context(), store.Commit{File: upload, Begun: true})
		require.NoError(t, err)
	}},
	{"a follower of two stores sees each change once, in the order of each key", func(t *testing.T, open Open) {
		followWriters(t, opened(t, open), opened(t, open))
	}},
	{"closing one store leaves the other open", func(t *testing.T, open Open) {
		one, two := opened(t, open), opened(t, open)
		require.NoError(t, one.Close())
		put(t, two, newFile("a"))
		requireKind(t, store.Unavailable, one.Ping(t.Context()))
	}},
	{"two stores that start together on new data agree", func(t *testing.T, open Open) {
		stores := make([]store.Metadata, 4)
		var all sync.WaitGroup
		for i := range stores {
			all.Go(func() { stores[i] = open(t) })
		}
		all.Wait()
		for _, m := range stores {
			require.NotNil(t, m)
			t.Cleanup(func() { _ = m.Close() })
			require.Equal(t, members(t, stores[0]).Cluster, members(t, m).Cluster)
			_, err := m.Bucket(t.Context(), store.DefaultBucket)
			require.NoError(t, err)
		}
	}},
	{"a change is seen by the other store at once", func(t *testing.T, open Open) {
		one, two := opened(t, open), opened(t, open)
		f := newFile("a", newPart(1, newNodes(2)...))
		stored := put(t, one, f)
		got, err := two.LatestFile(t.Context(), f.Bucket, "a")
		require.NoError(t, err)
		stored.Parts = f.Parts
		same(t, stored, got)
		require.NoError(t, two.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()}))
		requireNoFile(t, one, f.ID)
		name := bucket(t, two, "photos")
		f = newFile("b")
		f.Bucket = name
		put(t, one, f)
		requireKind(t, store.Conflict, two.DeleteBucket(t.Context(), name, ""))
		require.NoError(t, one.DeleteFile(t.Context(), store.Deletion{File: f.ID, Attempt: store.NewAttemptID()}))
		require.NoError(t, two.DeleteBucket(t.Context(), name, ""))
		f.ID = store.NewFileID()
		_, _, err = one.CommitFile(t.Context(), store.Commit{File: f})
		requireKind(t, store.NotFound, err)
	}},
	{"commits of one key through two stores leave one latest", func(t *testing.T, open Open) {
		commitOneKeyAtOnce(t, opened(t, open), opened(t, open))
	}},
	{"a commit and its being abandoned through two stores: one wins", func(t *testing.T, open Open) {
		commitAgainstFail(t, opened(t, open), opened(t, open))
	}},
	{"a save and a drop of a part through two stores: one wins", func(t *testing.T, open Open) {
		saveAgainstDrop(t, opened(t, open), opened(t, open))
	}},
	{"a change and its being abandoned through two stores: one wins", func(t *testing.T, open Open) {
		changeAgainstAbandon(t, opened(t, open), opened(t, open))
	}},
	{"conditional writes through two stores: one creates the object", func(t *testing.T, open Open) {
		createOnce(t, opened(t, open), opened(t, open))
	}},
	{"conditional changes through two stores: one changes the object", func(t *testing.T, open Open) {
		changeOnce(t, opened(t, open), opened(t, open))
	}},
	{"the files of a key are completed in the order of their commits through two stores", func(t *testing.T, open Open) {
		completeInOrder(t, opened(t, open), opened(t, open))
	}},
	{"conditional and plain writes through two stores lose nothing", func(t *testing.T, open Open) {
		conditionalBesidePlain(t, opened(t, open), opened(t, open))
	}},
	{"claims through two stores return each task once", func(t *testing.T, open Open) {
		claimAtOnce(t, opened(t, open), opened(t, open))
	}},
	{"joins through two stores each get in", func(t *testing.T, open Open) {
		joinAtOnce(t, opened(t, open), opened(t, open))
	}},
	{"a session begun in one store is completed in the other", func(t *testing.T, open Open) {
		one, two := opened(t, open), opened(t, open)
		s := session(t, one, "a")
		p, q := newPart(1, newNodes(2)...), newPart(2, newNodes(2)...)
		beginPart(t, one, s.ID, p)
		savePart(t, two, s.ID, p)
		savePart(t, one, s.ID, q)
		requireParts(t, two, s.ID, p, q)
		stored := complete(t, two, fileOf(s, p, q), s.ID)
		requireNoSession(t, one, s.ID)
		got, err := one.LatestFile(t.Context(), s.Bucket, "a")
		require.NoError(t, err)
		same(t, stored, got)
	}},
	{"sessions and what was begun of them are there after a restart", func(t *testing.T, open Open) {
		m := opened(t, open)
		s := session(t, m, "a")
		saved, begun := newPart(1, newNodes(2)...), newPart(2, newNodes(2)...)
		savePart(t, m, s.ID, saved)
		beginPart(t, m, s.ID, begun)
		want := sessionOf(t, m, s.ID)
		require.NoError(t, m.Close())
		m = opened(t, open)
		same(t, want, sessionOf(t, m, s.ID))
		require.NoError(t, m.AbortSession(t.Context(), by(s.ID)))
		requireQueued(t, m, store.Reclaim, chunksOf(saved, begun)...)
	}},
	{"parts sent through two stores at once are all there", func(t *testing.T, open Open) {
		savePartsAtOnce(t, opened(t, open), opened(t, open))
	}},
	{"of parts of one number sent through two stores one stays", func(t *testing.T, open Open) {
		saveOnePartAtOnce(t, opened(t, open), opened(t, open))
	}},
	{"of completions through two stores one wins", func(t *testing.T, open Open) {
		completeAtOnce(t, opened(t, open), opened(t, open))
	}},
	{"a completion and a save through two stores leave nothing unknown", func(t *testing.T, open Open) {
		completeAgainstSave(t, opened(t, open), opened(t, open))
	}},
	{"a completion and an abort through two stores: one wins", func(t *testing.T, open Open) {
		completeAgainstAbort(t, opened(t, open), opened(t, open))
	}},
	{"a session and the end of its bucket through two stores: one wins", func(t *testing.T, open Open) {
		createAgainstDelete(t, opened(t, open), opened(t, open))
	}},
	{"renames onto one key through two stores leave one latest", func(t *testing.T, open Open) {
		renameOntoOneKeyAtOnce(t, opened(t, open), opened(t, open))
	}},
	{"files that swap keys through two stores leave one latest a key", func(t *testing.T, open Open) {
		swapKeysAtOnce(t, opened(t, open), opened(t, open))
	}},
	{"a lease is granted to one of two stores", func(t *testing.T, open Open) {
		acquireAtOnce(t, opened(t, open), opened(t, open))
	}},
	{"of jobs created through two stores for one target one is stored", func(t *testing.T, open Open) {
		createJobAtOnce(t, opened(t, open), opened(t, open))
	}},
	{"of claims of a job through two stores the latest term wins", func(t *testing.T, open Open) {
		claimJobAtOnce(t, opened(t, open), opened(t, open))
	}},
	{"a follower in one store sees each event of the others once", func(t *testing.T, open Open) {
		followBesideWriters(t, opened(t, open), opened(t, open), opened(t, open))
	}},
	{"wake-ups through two stores are all counted", func(t *testing.T, open Open) {
		wakeAtOnce(t, opened(t, open), opened(t, open))
	}},
	{"jobs, events and reports are there after a restart", func(t *testing.T, open Open) {
		m := opened(t, open)
		j := claimJob(t, m, createJob(t, m, newJob("drain", "n1")).ID, "a", 1)
		report := store.LoopReport{Owner: "a", Term: 1, Loops: []store.LoopProgress{{Name: "repair", State: "busy"}}}
		require.NoError(t, m.SaveLoops(t.Context(), report))
		want := (&follower{m: m}).next(t)
		require.NoError(t, m.Close())
		m = opened(t, open)
		requireJob(t, m, j)
		requireReport(t, m, report)
		same(t, want, (&follower{m: m}).next(t))
		require.EqualValues(t, 1, wakeups(t, m)[store.JobsLoop])
	}},
	{"reads in one store see whole steps of the other", func(t *testing.T, open Open) {
		readersSeeWholeSteps(t, opened(t, open), opened(t, open))
	}},
}
