package metatest

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// replay is what a follower knows of the objects.
type replay struct {
	latest   map[objectName]store.FileID
	complete map[store.FileID]objectName
	usage    map[store.BucketName]store.Usage
	seq      map[store.FileID]uint64 // of the complete files
}

type objectName struct {
	bucket store.BucketName
	key    store.Key
}

func newReplay() *replay {
	return &replay{map[objectName]store.FileID{}, map[store.FileID]objectName{}, map[store.BucketName]store.Usage{}, map[store.FileID]uint64{}}
}

// apply takes a change over, and demands that it follows from the ones before it.
func (r *replay) apply(tb testing.TB, c store.ObjectChange) {
	tb.Helper()
	name := objectName{c.Bucket, c.Key}
	u := r.usage[c.Bucket]
	r.usage[c.Bucket] = store.Usage{Bytes: u.Bytes + c.Bytes, Files: u.Files + c.Files}
	switch c.Kind {
	case store.FilePut, store.FileRenamed:
		require.NotContains(tb, r.complete, c.File, "revision %d", c.Revision)
		for id, at := range r.complete {
			if at == name {
				require.Greater(tb, c.Seq, r.seq[id], "revision %d: the earlier version %s is newer", c.Revision, id)
			}
		}
		r.complete[c.File], r.latest[name], r.seq[c.File] = name, c.Latest, c.Seq
	case store.FileChanged:
		require.Equal(tb, name, r.complete[c.File], "revision %d: the attributes of a file that is not known under this key", c.Revision)
	case store.FileReplaced, store.FileGone:
		require.Equal(tb, name, r.complete[c.File], "revision %d: %s of a file that is not known under this key", c.Revision, c.Kind)
		delete(r.complete, c.File)
		if r.latest[name] == c.File {
			r.latest[name] = c.Latest
		} else {
			require.NotEqual(tb, store.FileReplaced, c.Kind, "revision %d: the file was not latest", c.Revision)
			require.True(tb, c.Latest.IsZero(), "revision %d: the file was not latest, and another became so", c.Revision)
		}
		if !c.Latest.IsZero() {
			require.Equal(tb, name, r.complete[c.Latest], "revision %d: the new latest file is not known", c.Revision)
		}
	}
}

// require demands that the store has what the follower knows, and no more of these files.
func (r *replay) require(tb testing.TB, m store.Metadata, files []store.FileID) {
	tb.Helper()
	for _, id := range files {
		f, err := m.File(tb.Context(), id)
		name, known := r.complete[id]
		require.Equal(tb, known, err == nil && f.State == store.Complete, "file %s", id)
		if known {
			require.Equal(tb, name, objectName{f.Bucket, f.Key})
			require.Equal(tb, r.latest[name] == id, f.Latest, "file %s", id)
		}
	}
	for name, u := range r.usage {
		requireUsage(tb, m, name, u)
	}
}

func requireUsage(tb testing.TB, m store.Metadata, name store.BucketName, want store.Usage) {
	tb.Helper()
	got, err := m.Usage(tb.Context(), name)
	require.NoError(tb, err)
	require.Equal(tb, want, got)
	all, err := m.Usages(tb.Context())
	require.NoError(tb, err)
	require.Equal(tb, want, all[name])
	buckets, err := m.ListBuckets(tb.Context())
	require.NoError(tb, err)
	require.Len(tb, all, len(buckets), "each bucket has one usage")
}

// randomChange makes a change to one of a few keys, and returns the file that it may have added. files are those that it may
// delete or rename. A refusal that follows from other changes is not an error.
func randomChange(ctx context.Context, m store.Metadata, r *rand.Rand, files []store.FileID) (added store.FileID, err error) {
	buckets := []store.BucketName{store.DefaultBucket, "second"}
	name, key := buckets[r.IntN(2)], store.Key([]string{"a", "b", "c"}[r.IntN(3)])
	some := store.NewFileID()
	if len(files) > 0 {
		some = files[r.IntN(len(files))]
	}
	how := store.Change{Before: store.Before(r.IntN(2)), Caller: testCaller}
	f := newFile(key, newPart(1+r.IntN(9), newNodes(1)...))
	f.Bucket, f.DeleteMarker = name, r.IntN(9) == 0
	switch r.IntN(8) {
	case 0, 1, 2:
		added = f.ID
		_, _, err = m.CommitFile(ctx, store.Commit{File: f, Change: how})
	case 3:
		added = f.ID
		if err = m.BeginFile(ctx, f); err == nil {
			f.Size++
			_, _, err = m.CommitFile(ctx, store.Commit{File: f, Change: how, Begun: true})
		}
	case 4:
		err = m.DeleteFile(ctx, store.Deletion{Change: how, Bucket: name, Key: key, Attempt: store.NewAttemptID()})
	case 5:
		err = m.DeleteFile(ctx, store.Deletion{Change: how, File: some, Attempt: store.NewAttemptID()})
	case 6:
		_, _, err = m.RenameFile(ctx, store.Rename{Change: how, File: some, Bucket: name, Key: key, Attempt: store.NewAttemptID()})
	case 7:
		how.If = store.Condition{Absent: r.IntN(2) == 0, NoETags: []string{"x"}}
		added = f.ID
		_, _, err = m.CommitFile(ctx, store.Commit{File: f, Change: how})
	}
	if err == nil {
		return added, nil
	}
	switch store.KindOf(err) {
	case store.NotFound, store.Conflict, store.PreconditionFailed, store.Unavailable: // too many changes of one key at once
		return added, nil
	}
	return added, err
}

// recountUsage makes random changes, and compares the usage with a recount of all files after some of them.
func recountUsage(t *testing.T, m store.Metadata) {
	const rounds, changes = 12, 20
	bucket(t, m, "second")
	r, from, known := rand.New(rand.NewPCG(1, 2)), head(t, m), newReplay()
	var files []store.FileID
	for range rounds {
		for range changes {
			id, err := randomChange(t.Context(), m, r, files)
			require.NoError(t, err)
			if !id.IsZero() {
				files = append(files, id)
			}
		}
		recount := map[store.BucketName]store.Usage{store.DefaultBucket: {}, "second": {}}
		for _, id := range files {
			if f, err := m.File(t.Context(), id); err == nil && f.State == store.Complete {
				u := recount[f.Bucket]
				recount[f.Bucket] = store.Usage{Bytes: u.Bytes + f.Size, Files: u.Files + 1}
			}
		}
		for name, u := range recount {
			requireUsage(t, m, name, u) // before the changes have numbers
		}
		for _, c := range changesAfter(t, m, from, 7) {
			known.apply(t, c)
			from = c.Revision
		}
		known.require(t, m, files)
	}
}

// followWriters makes random changes of a few keys through both stores at once while a follower reads through the second.
func followWriters(t *testing.T, one, two store.Metadata) {
	const writers, changes = 6, 40
	bucket(t, one, "second")
	from, known := head(t, two), newReplay()
	var all sync.WaitGroup
	files := make([][]store.FileID, writers)
	for w := range writers {
		m := []store.Metadata{one, two}[w%2]
		r := rand.New(rand.NewPCG(uint64(w), 3))
		all.Go(func() {
			for range changes {
				id, err := randomChange(t.Context(), m, r, files[w])
				if err != nil {
					t.Error(err)
				}
				if !id.IsZero() {
					files[w] = append(files[w], id)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() {
		all.Wait()
		close(done)
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false // and what was recorded before is read once more
		default:
		}
		for _, c := range changesAfter(t, two, from, 5) {
			known.apply(t, c)
			from = c.Revision
		}
	}
	var ids []store.FileID
	for _, of := range files {
		ids = append(ids, of...)
	}
	known.require(t, two, ids)
}
