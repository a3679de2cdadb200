package postgres_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/attr"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/pgtest"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/tests/pgserver"
)

// putFile stores a file under the key.
func putFile(t *testing.T, s *postgres.Store, key store.Key, c store.Change) store.File {
	t.Helper()
	f := smallFile(key)
	_, _, err := s.CommitFile(t.Context(), store.Commit{File: f, Change: c})
	require.NoError(t, err)
	return f
}

func deletion(f store.File) store.Deletion {
	return store.Deletion{File: f.ID, Attempt: store.NewAttemptID(), Change: store.Change{Caller: "who"}}
}

func deletionOf(key store.Key) store.Deletion {
	return store.Deletion{Bucket: store.DefaultBucket, Key: key, Attempt: store.NewAttemptID(), Change: store.Change{Caller: "who"}}
}

// Each deletion of a group has its own outcome, and those that find nothing hold up no other.
func TestAGroupOfDeletions(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.Database(t), postgres.Options{})
	a, b, c := putFile(t, s, "a", store.Change{}), putFile(t, s, "b", store.Change{}), putFile(t, s, "c", store.Change{})
	begun := smallFile("begun")
	require.NoError(t, s.BeginFile(t.Context(), begun))
	older := putFile(t, s, "versions", store.Change{})
	newer := putFile(t, s, "versions", store.Change{Before: store.KeepBefore})
	head, err := s.ChangeHead(t.Context())
	require.NoError(t, err)
	elsewhere := deletionOf("a")
	elsewhere.Bucket = "none"
	group := []store.Deletion{
		deletion(c), deletionOf("c"), // the same file twice
		deletion(store.File{ID: store.NewFileID()}), deletionOf("none"), elsewhere, // nothing to delete
		deletion(a), deletionOf("b"), deletion(begun),
		deletion(newer), // has a version behind it
	}
	made, err := s.DeleteGroup(t.Context(), group...)
	require.NoError(t, err)
	require.Equal(t, []bool{true, false, false, false, false, true, true, true, false}, made)
	for _, f := range []store.File{a, b, c, begun} {
		got, err := s.File(t.Context(), f.ID)
		require.NoError(t, err)
		require.Equal(t, store.Deleted, got.State)
		require.Equal(t, "who", got.ChangedBy)
		require.False(t, got.Latest)
	}
	for i, d := range group {
		happened, err := s.Abandon(t.Context(), d.Attempt)
		require.NoError(t, err)
		require.Equal(t, made[i], happened, "the attempt of %d is noted with its change", i)
	}
	page, err := s.ChangesAfter(t.Context(), head, 100)
	require.NoError(t, err)
	gone := map[store.FileID]store.ObjectChange{}
	for _, change := range page.Changes {
		require.Equal(t, store.FileGone, change.Kind)
		require.Equal(t, "who", change.Caller)
		require.EqualValues(t, -4096, change.Bytes)
		gone[change.File] = change
	}
	require.Len(t, gone, 3, "the upload was no object")
	require.Equal(t, store.Key("b"), gone[b.ID].Key)
	usage, err := s.Usage(t.Context(), store.DefaultBucket)
	require.NoError(t, err)
	require.Equal(t, store.Usage{Bytes: 2 * 4096, Files: 2}, usage)

	// The calls have the errors of their own, and the version behind becomes latest.
	requireKind(t, store.NotFound, s.DeleteFile(t.Context(), deletion(a)))
	requireKind(t, store.NotFound, s.DeleteFile(t.Context(), deletionOf("a")))
	requireKind(t, store.NotFound, s.DeleteFile(t.Context(), elsewhere))
	require.NoError(t, s.DeleteFile(t.Context(), deletion(newer)))
	latest, err := s.LatestFile(t.Context(), store.DefaultBucket, "versions")
	require.NoError(t, err)
	require.Equal(t, older.ID, latest.ID)
}

// A deletion that is refused fails no other, however the group is retried.
func TestADeletionThatIsRefusedFailsNoOther(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.Database(t), postgres.Options{})
	for round := range 5 {
		var all sync.WaitGroup
		key := func(n int) store.Key { return store.Key(fmt.Sprintf("%d/%d", round, n)) }
		for n := range 40 {
			f := smallFile(key(n))
			want := store.Internal // none
			var d store.Deletion
			switch n % 8 {
			case 0: // locked
				f.Attributes.Lock = attr.Lock{Mode: attr.Compliance, Until: time.Now().Add(time.Hour).UTC().Truncate(time.Second)}
				d, want = deletion(f), store.Denied
			case 1: // abandoned before it arrives
				d, want = deletion(f), store.Conflict
				happened, err := s.Abandon(t.Context(), d.Attempt)
				require.NoError(t, err)
				require.False(t, happened)
			case 2: // its condition does not hold
				d, want = deletionOf(f.Key), store.PreconditionFailed
				d.If = store.Condition{File: store.NewFileID()}
			case 3:
				d, want = deletion(store.File{ID: store.NewFileID()}), store.NotFound
			case 4:
				d = deletionOf(f.Key)
			default:
				d = deletion(f)
			}
			_, _, err := s.CommitFile(t.Context(), store.Commit{File: f})
			require.NoError(t, err)
			all.Go(func() {
				err := s.DeleteFile(context.Background(), d)
				switch {
				case want == store.Internal && err != nil:
					t.Errorf("deletion %d: %v", n, err)
				case want != store.Internal && store.KindOf(err) != want:
					t.Errorf("deletion %d is %v, not %v: %v", n, store.KindOf(err), want, err)
				}
			})
		}
		all.Wait()
	}
	require.Equal(t, 5*20, count(t, s, "SELECT count(*) FROM files WHERE state = 2"))
	require.Equal(t, 5*20, count(t, s, "SELECT count(*) FROM attempts WHERE happened"))
}

// Of deletions of one file one succeeds, whichever gateways they come to.
func TestOneOfManyDeletionsOfAFileSucceeds(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	gateways := []*postgres.Store{open(t, dsn, postgres.Options{}), open(t, dsn, postgres.Options{})}
	for round := range 20 {
		f := putFile(t, gateways[0], store.Key(fmt.Sprint(round)), store.Change{})
		var made atomic.Int64
		var all sync.WaitGroup
		for n := range 8 {
			d := deletion(f)
			if n%4 > 1 {
				d = deletionOf(f.Key)
			}
			all.Go(func() {
				switch err := gateways[n%2].DeleteFile(context.Background(), d); {
				case err == nil:
					made.Add(1)
				case store.KindOf(err) != store.NotFound:
					t.Error(err)
				}
			})
		}
		all.Wait()
		require.EqualValues(t, 1, made.Load())
	}
	usage, err := gateways[0].Usage(t.Context(), store.DefaultBucket)
	require.NoError(t, err)
	require.Zero(t, usage)
}

// deadlocks is how many the server has found.
func deadlocks(t *testing.T, s *postgres.Store) int {
	t.Helper()
	return count(t, s, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
}

// Groups of deletions from two gateways, by id and by key, do not deadlock with each other nor with groups that overwrite the same keys.
func TestGroupsOfDeletionsDoNotDeadlock(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t, pgserver.Options{})
	dsn := server.DSN("postgres")
	gateways := []*postgres.Store{open(t, dsn, postgres.Options{}), open(t, dsn, postgres.Options{})}
	const keys = 16
	var last [keys]atomic.Value // the file that was committed last
	for n := range keys {
		last[n].Store(putFile(t, gateways[0], store.Key(fmt.Sprint(n)), store.Change{}))
	}
	var all sync.WaitGroup
	for worker := range 2 * keys {
		all.Go(func() {
			s := gateways[worker%2]
			for range 40 {
				var err error
				switch n := rand.N(keys); {
				case worker < keys: // the only one that writes its key
					f := smallFile(store.Key(fmt.Sprint(worker)))
					_, _, err = s.CommitFile(context.Background(), store.Commit{File: f})
					last[worker].Store(f)
				case worker%3 == 0:
					err = s.DeleteFile(context.Background(), deletionOf(store.Key(fmt.Sprint(n))))
				default:
					err = s.DeleteFile(context.Background(), deletion(last[n].Load().(store.File)))
				}
				if err != nil && store.KindOf(err) != store.NotFound {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	require.Zero(t, deadlocks(t, gateways[0]))
}

// Groups that commit the same new keys, in different orders, do not deadlock.
func TestGroupsOfNewKeysDoNotDeadlock(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t, pgserver.Options{})
	dsn := server.DSN("postgres")
	gateways := []*postgres.Store{open(t, dsn, postgres.Options{}), open(t, dsn, postgres.Options{})}
	const keys = 40
	for round := range 20 {
		var all sync.WaitGroup
		for worker := range 2 * keys {
			n := worker / 2
			if worker%2 == 1 {
				n = keys - 1 - n
			}
			all.Go(func() {
				_, _, err := gateways[worker%2].CommitFile(context.Background(), store.Commit{File: smallFile(store.Key(fmt.Sprint(round, "/", n)))})
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	require.Zero(t, deadlocks(t, gateways[0]))
}

// The records of the changes of each key are in the order of their commits, whichever gateways and groups make them: who follows
// them has what the keys show.
func TestRecordsOfDeletionsAndOverwrites(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	gateways := []*postgres.Store{open(t, dsn, postgres.Options{}), open(t, dsn, postgres.Options{})}
	const keys = 6
	var last [keys]atomic.Value // a file that was latest
	var all sync.WaitGroup
	for worker := range 24 {
		all.Go(func() {
			s := gateways[worker%2]
			for range 60 {
				n := rand.N(keys)
				f, was := last[n].Load().(store.File)
				var err error
				switch {
				case worker%3 == 0 && was:
					err = s.DeleteFile(context.Background(), deletion(f))
				case worker%3 == 1:
					err = s.DeleteFile(context.Background(), deletionOf(store.Key(fmt.Sprint(n))))
				default:
					f = smallFile(store.Key(fmt.Sprint(n)))
					_, _, err = s.CommitFile(context.Background(), store.Commit{File: f})
					last[n].Store(f)
				}
				if err != nil && store.KindOf(err) != store.NotFound {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	s := gateways[0]
	shown := map[store.Key]store.FileID{}
	for after := store.Revision(0); ; {
		page, err := s.ChangesAfter(t.Context(), after, store.MaxListLimit)
		require.NoError(t, err)
		if len(page.Changes) == 0 {
			break
		}
		for _, c := range page.Changes {
			after = c.Revision
			if c.Kind == store.FilePut {
				require.Zero(t, shown[c.Key], "put over a file whose end has no record before")
				shown[c.Key] = c.File
				continue
			}
			require.Equal(t, c.File, shown[c.Key], "%s of a file that is not shown", c.Kind)
			delete(shown, c.Key)
		}
	}
	for n := range keys {
		key := store.Key(fmt.Sprint(n))
		f, err := s.LatestFile(t.Context(), store.DefaultBucket, key)
		if err != nil {
			requireKind(t, store.NotFound, err)
		}
		require.Equal(t, shown[key], f.ID)
	}
	usage, err := s.Usage(t.Context(), store.DefaultBucket)
	require.NoError(t, err)
	require.EqualValues(t, len(shown), usage.Files)
}

// Where the database is lost during groups of deletions, each deletion without an answer happened or did not, as its fence says.
func TestDeletionsWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t, pgserver.Options{})
	s := open(t, server.DSN("postgres"), postgres.Options{})
	const files = 1500
	doomed := make([]store.File, files)
	var all sync.WaitGroup
	for worker := range 30 {
		all.Go(func() {
			for n := worker; n < files; n += 30 {
				doomed[n] = smallFile(store.Key(fmt.Sprint(n)))
				if _, _, err := s.CommitFile(context.Background(), store.Commit{File: doomed[n]}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	errs, attempts := make([]error, files), make([]store.AttemptID, files)
	var made atomic.Int64
	some := make(chan struct{})
	for worker := range 30 {
		all.Go(func() {
			for n := worker; n < files; n += 30 {
				d := deletion(doomed[n])
				attempts[n] = d.Attempt
				if errs[n] = s.DeleteFile(context.Background(), d); errs[n] == nil && made.Add(1) == 300 {
					close(some)
				}
			}
		})
	}
	<-some
	require.NoError(t, server.Kill())
	all.Wait()
	require.NoError(t, server.Start(t.Context()))
	require.Eventually(t, func() bool { return s.Ping(t.Context()) == nil }, patience, time.Millisecond)
	open := 0
	for n, f := range doomed {
		happened, err := s.Abandon(t.Context(), attempts[n])
		require.NoError(t, err)
		if errs[n] == nil {
			require.True(t, happened, "it was acknowledged")
		} else {
			requireKind(t, store.Unavailable, errs[n])
			open++
		}
		got, err := s.File(t.Context(), f.ID)
		require.NoError(t, err)
		require.Equal(t, happened, got.State == store.Deleted)
	}
	require.Positive(t, open)
}
