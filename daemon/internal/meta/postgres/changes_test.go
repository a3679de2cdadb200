package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/pgtest"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Of two transactions that overlap the one whose records have the lower ids commits last: a follower reads the other one's first, and
// misses nothing.
func TestTheLowerIDCommitsLast(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	s := open(t, dsn, postgres.Options{})
	before := smallFile("slow")
	_, _, err := s.CommitFile(t.Context(), store.Commit{File: before})
	require.NoError(t, err)
	from, err := s.ChangeHead(t.Context())
	require.NoError(t, err)
	x := newSession(t, s, "slow")
	part, left := smallFile("").Parts[0], smallFile("").Parts[0]
	left.Number = 2
	require.NoError(t, s.SavePart(t.Context(), store.SessionChange{Session: x.ID}, part, time.Hour))
	require.NoError(t, s.SavePart(t.Context(), store.SessionChange{Session: x.ID}, left, time.Hour))

	// The completion records that it replaces a file, and then waits for the part that it does not take.
	holder := transaction(t, dsn)
	_, err = holder.Exec(t.Context(), "SELECT FROM parts WHERE id = $1 FOR UPDATE", [16]byte(left.ID))
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() {
		f := store.File{ID: x.ID, Bucket: x.Bucket, Key: x.Key, Size: part.Size, Parts: []store.Part{{ID: part.ID, Number: 1}}}
		_, _, err := s.CompleteSession(context.Background(), store.Completion{File: f, Sessions: []store.FileID{x.ID}})
		done <- err
	}()
	awaitWaiter(t, dsn)
	fast := smallFile("fast")
	_, _, err = s.CommitFile(t.Context(), store.Commit{File: fast})
	require.NoError(t, err)
	highest := count(t, s, "SELECT max(id) FROM changes_new")
	page, err := s.ChangesAfter(t.Context(), from, 10)
	require.NoError(t, err)
	require.Len(t, page.Changes, 1)
	require.Equal(t, fast.ID, page.Changes[0].File)
	require.Equal(t, from+1, page.Head)

	require.NoError(t, holder.Commit(t.Context()))
	require.NoError(t, <-done)
	require.Less(t, count(t, s, "SELECT min(id) FROM changes_new"), highest)
	page, err = s.ChangesAfter(t.Context(), from+1, 10)
	require.NoError(t, err)
	require.Len(t, page.Changes, 2)
	require.Equal(t, []store.FileID{before.ID, x.ID}, []store.FileID{page.Changes[0].File, page.Changes[1].File})
	require.Equal(t, []store.ChangeKind{store.FileReplaced, store.FilePut}, []store.ChangeKind{page.Changes[0].Kind, page.Changes[1].Kind})
	require.Equal(t, from+3, page.Head)
	require.Zero(t, count(t, s, "SELECT count(*) FROM changes_new"))
}

// A reader of changes waits for no commit, and no commit for a reader that numbers.
func TestNumberingAndCommitsDoNotWait(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	s := open(t, dsn, postgres.Options{})
	holder := transaction(t, dsn)
	_, err := holder.Exec(t.Context(), s.SQL().LockChangeHead)
	require.NoError(t, err)
	f := smallFile("a")
	_, _, err = s.CommitFile(t.Context(), store.Commit{File: f})
	require.NoError(t, err)
	require.NoError(t, s.DeleteFile(t.Context(), store.Deletion{File: f.ID}))
	u, err := s.Usage(t.Context(), f.Bucket)
	require.NoError(t, err)
	require.Zero(t, u)
	require.NoError(t, holder.Rollback(t.Context()))
	head, err := s.ChangeHead(t.Context())
	require.NoError(t, err)
	require.Equal(t, store.Revision(2), head)
}

// The version that would become latest is deleted while the deletion of the latest waits for it: the one behind it becomes latest.
func TestTheHeirIsDeletedMeanwhile(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	s := open(t, dsn, postgres.Options{})
	var versions []store.File
	for range 3 {
		f := smallFile("a")
		_, _, err := s.CommitFile(t.Context(), store.Commit{File: f, Change: store.Change{Before: store.KeepBefore}})
		require.NoError(t, err)
		versions = append(versions, f)
	}
	other := transaction(t, dsn)
	_, err := other.Exec(t.Context(), s.SQL().DeleteFile, [16]byte(versions[1].ID), nil, "")
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- s.DeleteFile(context.Background(), store.Deletion{File: versions[2].ID}) }()
	awaitWaiter(t, dsn)
	require.NoError(t, other.Commit(t.Context()))
	require.NoError(t, <-done)
	f, err := s.LatestFile(t.Context(), store.DefaultBucket, "a")
	require.NoError(t, err)
	require.Equal(t, versions[0].ID, f.ID)
	page, err := s.ChangesAfter(t.Context(), 3, 10)
	require.NoError(t, err)
	require.Len(t, page.Changes, 2)
	require.Equal(t, versions[0].ID, page.Changes[1].Latest)
}

// An object that is moved to another bucket under its key, while its deletion waits for it, is not deleted there.
func TestADeletionDoesNotFollowARename(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	s := open(t, dsn, postgres.Options{})
	require.NoError(t, s.CreateBucket(t.Context(), store.Bucket{Name: "other"}, ""))
	f := smallFile("a")
	f.ETag = "tag"
	_, _, err := s.CommitFile(t.Context(), store.Commit{File: f})
	require.NoError(t, err)
	for _, condition := range []store.Condition{{}, {ETags: []string{f.ETag}}} {
		rename := transaction(t, dsn)
		_, err = rename.Exec(t.Context(), "UPDATE files SET bucket_id = (SELECT id FROM buckets WHERE name = 'other') WHERE id = $1", [16]byte(f.ID))
		require.NoError(t, err)
		done := make(chan error, 1)
		go func() {
			done <- s.DeleteFile(context.Background(), store.Deletion{Bucket: f.Bucket, Key: f.Key, Change: store.Change{If: condition}})
		}()
		awaitWaiter(t, dsn)
		require.NoError(t, rename.Commit(t.Context()))
		err := <-done
		require.Error(t, err)
		require.Contains(t, []store.Kind{store.NotFound, store.PreconditionFailed}, store.KindOf(err))
		got, err := s.LatestFile(t.Context(), "other", f.Key)
		require.NoError(t, err)
		require.Equal(t, f.ID, got.ID)
		run(t, dsn, "UPDATE files SET bucket_id = (SELECT id FROM buckets WHERE name = 'default')")
	}
}

// More changes than one transaction numbers are numbered before the answer.
func TestManyChangesAreNumbered(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Fresh(t)
	s := open(t, dsn, postgres.Options{})
	const many = 12_345
	run(t, dsn, `INSERT INTO changes_new (bucket_id, kind, bucket, key, file, latest, bytes, files, caller, at)
		SELECT b.id, 1, b.name, 'k', gen_random_uuid(), gen_random_uuid(), 2, 1, '', now() FROM buckets b, generate_series(1, $1::int)`, many)
	head, err := s.ChangeHead(t.Context())
	require.NoError(t, err)
	require.Equal(t, store.Revision(many), head)
	u, err := s.Usage(t.Context(), store.DefaultBucket)
	require.NoError(t, err)
	require.Equal(t, store.Usage{Bytes: 2 * many, Files: many}, u)
	require.Equal(t, many, count(t, s, "SELECT files FROM bucket_usage"))
}

// Numbering and reading changes costs as much as there are changes to number or to read.
func TestPlansOfChanges(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.Fresh(t), postgres.Options{})
	q := s.SQL()
	for name, c := range map[string]struct {
		plan  string
		steps []string
	}{
		"ChangesAfter":  {plan(t, s, q.ChangesAfter, "0", "10"), []string{"changes_pkey"}},
		"NumberChanges": {plan(t, s, q.NumberChanges, "10"), []string{"changes_new_pkey", "buckets_pkey"}},
		"Usage":         {plan(t, s, q.Usage, "'default'"), []string{"buckets_name", "bucket_usage_pkey"}},
		"TrimChanges":   {plan(t, s, q.TrimChanges, "10", "null", "1"), []string{"changes_pkey"}},
	} {
		for _, index := range c.steps {
			require.Contains(t, c.plan, "using "+index+" on ", "%s\n%s", name, c.plan)
		}
		for _, table := range []string{"changes ", "buckets", "bucket_usage"} {
			require.NotContains(t, c.plan, "Seq Scan on "+table, "%s\n%s", name, c.plan)
		}
	}
}

// The versions of a key are in the order of their commits although the clock stepped back between them.
func TestVersionsKeepTheirOrderWhenTheClockStepsBack(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	s := open(t, dsn, postgres.Options{})
	var all []store.File
	for n := range 3 {
		f := smallFile("a")
		_, _, err := s.CommitFile(t.Context(), store.Commit{File: f, Change: store.Change{Before: store.KeepBefore}})
		require.NoError(t, err)
		run(t, dsn, "UPDATE files SET completed_at = now() - make_interval(hours => $2::int) WHERE id = $1", [16]byte(f.ID), n)
		all = append(all, f)
	}
	for n := len(all) - 1; n >= 0; n-- {
		f, err := s.LatestFile(t.Context(), store.DefaultBucket, "a")
		require.NoError(t, err)
		require.Equal(t, all[n].ID, f.ID)
		require.NoError(t, s.DeleteFile(t.Context(), store.Deletion{File: f.ID}))
	}
}
