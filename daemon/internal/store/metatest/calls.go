package metatest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/attr"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// every calls each method of the contract once with valid arguments, and returns its error.
func every(ctx context.Context, m store.Metadata) map[string]error {
	errs := map[string]error{}
	f := newFile("every", newPart(1, newNodes(2)...))
	begun := newFile("begun", newPart(1, newNodes(2)...))
	one := func(name string, err error) { errs[name] = err }
	two := func(name string) func(any, error) { return func(_ any, err error) { errs[name] = err } }

	one("Ping", m.Ping(ctx))
	one("CreateBucket", m.CreateBucket(ctx, store.Bucket{Name: "every", Survive: 1}, ""))
	two("Bucket")(m.Bucket(ctx, store.DefaultBucket))
	two("ListBuckets")(m.ListBuckets(ctx))
	one("UpdateBucket", m.UpdateBucket(ctx, store.Bucket{Name: "every", Survive: 2}, ""))
	two("SetDocument")(m.SetDocument(ctx, store.DocumentChange{Bucket: "every", Kind: attr.DocumentCORS, Body: []byte("x")}))
	two("Documents")(m.Documents(ctx, "every"))
	one("DeleteBucket", m.DeleteBucket(ctx, "every", ""))
	one("BeginFile", m.BeginFile(ctx, begun))
	_, _, err := m.CommitFile(ctx, store.Commit{File: f})
	one("CommitFile", err)
	one("FailFile", m.FailFile(ctx, begun, "every", nil))
	two("File")(m.File(ctx, f.ID))
	two("LatestFile")(m.LatestFile(ctx, f.Bucket, f.Key))
	two("ListObjects")(m.ListObjects(ctx, store.ObjectQuery{Bucket: f.Bucket, Limit: 1}))
	two("ListFiles")(m.ListFiles(ctx, store.FileQuery{Limit: 1}))
	_, _, err = m.Part(ctx, f.Parts[0].ID)
	one("Part", err)
	two("PartsByID")(m.PartsByID(ctx, []store.PartID{f.Parts[0].ID}))
	two("PartsAfter")(m.PartsAfter(ctx, store.PartID{}, 1))
	one("MoveChunk", m.MoveChunk(ctx, f.Parts[0].ChunkID(0), f.Parts[0].Chunks[0], store.Placement{}))
	_, _, err = m.RenameFile(ctx, store.Rename{File: f.ID, Bucket: f.Bucket, Key: "renamed", Attempt: store.NewAttemptID()})
	one("RenameFile", err)
	one("DeleteFile", m.DeleteFile(ctx, store.Deletion{File: f.ID, Attempt: store.NewAttemptID()}))
	two("Usage")(m.Usage(ctx, f.Bucket))
	two("Usages")(m.Usages(ctx))
	two("ChangesAfter")(m.ChangesAfter(ctx, 0, 1))
	two("ChangeHead")(m.ChangeHead(ctx))
	two("TrimChanges")(m.TrimChanges(ctx, store.Retention{Count: 1}, 1))
	everyOfSessions(ctx, m, errs)

	node := newNode("every")
	two("JoinNode")(m.JoinNode(ctx, node))
	two("Members")(m.Members(ctx))
	two("BeatNodes")(m.BeatNodes(ctx, []store.Beat{{Node: node.ID}}))
	one("SetNodeState", m.SetNodeState(ctx, node.ID, store.NodeDraining, ""))
	one("SetNodeDesired", m.SetNodeDesired(ctx, node.ID, store.Desired{Weight: new(2)}, ""))
	tasks := []store.Task{newTask(store.Repair, node.ID)}
	one("Enqueue", m.Enqueue(ctx, tasks))
	two("Claim")(m.Claim(ctx, store.ClaimQuery{Term: 1, Kind: store.Repair, Limit: 1, Hold: time.Hour}))
	one("Postpone", m.Postpone(ctx, tasks, time.Hour))
	one("Finish", m.Finish(ctx, tasks))
	two("Depth")(m.Depth(ctx, store.Repair))
	l, err := m.AcquireLease(ctx, "every", "me", time.Hour)
	one("AcquireLease", err)
	two("RenewLease")(m.RenewLease(ctx, l, time.Hour))
	one("ReleaseLease", m.ReleaseLease(ctx, l))
	one("SaveCredential", m.SaveCredential(ctx, store.Credential{AccessKey: "every"}, ""))
	two("Credential")(m.Credential(ctx, "every"))
	two("ListCredentials")(m.ListCredentials(ctx))
	one("DeleteCredential", m.DeleteCredential(ctx, "every", ""))
	everyOfLog(ctx, m, errs)
	everyOfJobs(ctx, m, errs)
	return errs
}

// everyOfJobs is every for store.Jobs, store.Events and store.Loops.
func everyOfJobs(ctx context.Context, m store.Metadata, errs map[string]error) {
	j := newJob("every", "")
	_, errs["CreateJob"] = m.CreateJob(ctx, j)
	_, errs["Job"] = m.Job(ctx, j.ID)
	_, errs["ListJobs"] = m.ListJobs(ctx, store.JobQuery{Limit: 1})
	_, errs["WishJob"] = m.WishJob(ctx, j.ID, store.WishPause, "")
	_, errs["ClaimJob"] = m.ClaimJob(ctx, store.JobClaim{ID: j.ID, Owner: "me", Term: 1})
	_, errs["SaveJob"] = m.SaveJob(ctx, store.JobProgress{ID: j.ID, Term: 1, State: store.JobDone})
	_, errs["TrimJobs"] = m.TrimJobs(ctx, store.Retention{Count: 1}, 1)
	_, errs["AppendEvent"] = m.AppendEvent(ctx, store.Event{Kind: "every.call"})
	_, errs["EventsAfter"] = m.EventsAfter(ctx, 0, 1)
	_, errs["TrimEvents"] = m.TrimEvents(ctx, store.Retention{Count: 1}, 1)
	errs["SaveLoops"] = m.SaveLoops(ctx, store.LoopReport{Term: 1, Loops: []store.LoopProgress{{Name: "every"}}})
	_, errs["LoopReport"] = m.LoopReport(ctx)
	errs["WakeLoops"] = m.WakeLoops(ctx, []string{"every"})
	_, errs["Wakeups"] = m.Wakeups(ctx)
	errs["BeatGateway"] = m.BeatGateway(ctx, "every", "v1")
	_, errs["ListGateways"] = m.ListGateways(ctx)
	errs["RemoveGateway"] = m.RemoveGateway(ctx, "every")
}

// everyOfSessions is every for store.Sessions.
func everyOfSessions(ctx context.Context, m store.Metadata, errs map[string]error) {
	s, gone := newSession("every"), newSession("every")
	begun, saved := newPart(1, newNodes(2)...), newPart(2, newNodes(2)...)
	_, errs["CreateSession"] = m.CreateSession(ctx, gone, time.Hour, store.SessionLimits{})
	errs["AbortSession"] = m.AbortSession(ctx, by(gone.ID))
	_, _ = m.CreateSession(ctx, s, time.Hour, store.SessionLimits{})
	_, errs["Session"] = m.Session(ctx, s.ID)
	_, errs["ListSessions"] = m.ListSessions(ctx, store.SessionQuery{Limit: 1})
	_, errs["ListSessionsByKey"] = m.ListSessionsByKey(ctx, store.SessionKeyQuery{Bucket: store.DefaultBucket, Limit: 1})
	errs["SetSessionSize"] = m.SetSessionSize(ctx, by(s.ID), s.Size)
	errs["BeginPart"] = m.BeginPart(ctx, s.ID, begun)
	errs["SavePart"] = m.SavePart(ctx, by(s.ID), saved, time.Hour)
	errs["AddPart"] = m.AddPart(ctx, by(s.ID), newPart(saved.Number+1, newNodes(1)...), time.Hour)
	errs["DropPart"] = m.DropPart(ctx, begun)
	_, _, errs["CompleteSession"] = m.CompleteSession(ctx, store.Completion{File: fileOf(s, saved), Sessions: []store.FileID{s.ID}, Attempt: store.NewAttemptID()})
}

var callTests = []test{
	{"every method works", func(t *testing.T, m store.Metadata) {
		for name, err := range every(t.Context(), m) {
			require.NoError(t, err, name)
		}
	}},
	{"under an ended context every method is Canceled", func(t *testing.T, m store.Metadata) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for name, err := range every(ctx, m) {
			require.Error(t, err, name)
			require.Equal(t, store.Canceled, store.KindOf(err), "%s: %v", name, err)
		}
		late, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
		defer cancel()
		_, err := m.File(late, store.NewFileID())
		requireKind(t, store.Canceled, err)
		require.NoError(t, m.Ping(t.Context()), "the store is as good as before")
	}},
	{"after Close every method is Unavailable", func(t *testing.T, m store.Metadata) {
		require.NoError(t, m.Close())
		for name, err := range every(t.Context(), m) {
			require.Error(t, err, name)
			require.Equal(t, store.Unavailable, store.KindOf(err), "%s: %v", name, err)
			requireKind(t, store.Unavailable, err)
		}
	}},
	{"Close amid calls leaves each done, or Unavailable", func(t *testing.T, m store.Metadata) {
		known := put(t, m, newFile("known"))
		var all sync.WaitGroup
		errs := make([]error, 16)
		started := make(chan struct{}, len(errs))
		for i := range errs {
			all.Go(func() {
				for n := 0; errs[i] == nil; n++ {
					if i%2 == 0 {
						_, errs[i] = m.File(t.Context(), known.ID)
					} else {
						_, _, errs[i] = m.CommitFile(t.Context(), store.Commit{File: newFile(store.Key(fmt.Sprint(i, "-", n)), newPart(1, newNodes(2)...))})
					}
					if n == 0 {
						started <- struct{}{}
					}
				}
			})
		}
		for range errs {
			<-started
		}
		require.NoError(t, m.Close())
		all.Wait()
		for _, err := range errs {
			requireKind(t, store.Unavailable, err)
		}
	}},
	{"arguments and results are never shared", func(t *testing.T, m store.Metadata) {
		f := newFile("a", newPart(1, newNodes(2)...))
		f.SHA256 = make([]byte, 32)
		put(t, m, f)
		want, err := m.File(t.Context(), f.ID)
		require.NoError(t, err)
		modify := func(f store.File) {
			f.SHA256[0]++
			f.Meta["colour"] = "red"
			if len(f.Parts) > 0 {
				f.Parts[0].Chunks[0].Sum++
				f.Parts[0].Size++
			}
		}
		modify(f)
		got, err := m.File(t.Context(), f.ID)
		require.NoError(t, err)
		same(t, want, got)
		modify(got)
		page, err := m.ListObjects(t.Context(), store.ObjectQuery{Bucket: f.Bucket, Limit: 1})
		require.NoError(t, err)
		modify(*page.Entries[0].File)
		p, of, err := m.Part(t.Context(), f.Parts[0].ID)
		require.NoError(t, err)
		p.Chunks[0].Sum++
		modify(of)
		again, err := m.File(t.Context(), f.ID)
		require.NoError(t, err)
		same(t, want, again)

		c := store.Credential{AccessKey: "k", Sealed: []byte("sealed")}
		require.NoError(t, m.SaveCredential(t.Context(), c, ""))
		c.Sealed[0] = 'X'
		kept, err := m.Credential(t.Context(), "k")
		require.NoError(t, err)
		require.Equal(t, "sealed", string(kept.Sealed))
	}},
	{"reads beside writes see whole steps", func(t *testing.T, m store.Metadata) {
		readersSeeWholeSteps(t, m, m)
	}},
}

// readersSeeWholeSteps overwrites a key while others read it: it is always there, once, and whole.
func readersSeeWholeSteps(t *testing.T, writer, reader store.Metadata) {
	const rounds, parts = 60, 3
	key := store.Key("steps")
	next := func() store.File {
		f := newFile(key)
		for n := range parts {
			f.Parts = append(f.Parts, newPart(n+1, newNodes(2)...))
		}
		return f
	}
	put(t, writer, next())
	done := make(chan struct{})
	var all sync.WaitGroup
	var wrote error
	all.Go(func() {
		defer close(done)
		for range rounds {
			if _, _, wrote = writer.CommitFile(t.Context(), store.Commit{File: next()}); wrote != nil {
				return
			}
		}
	})
	defer all.Wait()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		f, err := reader.LatestFile(t.Context(), store.DefaultBucket, key)
		require.NoError(t, err)
		require.Len(t, f.Parts, parts)
		page, err := reader.ListObjects(t.Context(), store.ObjectQuery{Bucket: store.DefaultBucket, Limit: 10})
		require.NoError(t, err)
		require.Len(t, page.Entries, 1)
		if f, err = reader.File(t.Context(), f.ID); err == nil {
			require.Len(t, f.Parts, parts)
		} else {
			requireKind(t, store.NotFound, err)
		}
	}
	require.NoError(t, wrote)
}

// everyOfLog is every for store.MetadataLog.
func everyOfLog(ctx context.Context, m store.Metadata, errs map[string]error) {
	segment := newSegment(store.NewLogID(), 1, 1, newNodes(2)...)
	segment.First = 0
	errs["ChangeLog"] = m.ChangeLog(ctx, store.LogChange{Term: 1, Add: []store.LogSegment{segment}, Remove: []uint64{7}})
	_, errs["LoggedTo"] = m.LoggedTo(ctx)
	_, errs["LogSegments"] = m.LogSegments(ctx)
	_, errs["FilesByID"] = m.FilesByID(ctx, []store.FileID{store.NewFileID()})
	_, errs["CompleteFiles"] = m.CompleteFiles(ctx, store.FileID{}, 1)
	own, _ := m.Members(ctx)
	errs["AdoptCluster"] = m.AdoptCluster(ctx, own.Cluster)
	errs["Restore"] = m.Restore(ctx, []store.LogRecord{{Kind: store.BucketStored, Bucket: store.Bucket{Name: "every-log", CreatedAt: now()}}})
}
