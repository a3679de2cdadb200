package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

func opened(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "metadata.db"), Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// plan is how SQLite answers the statement, a line a step.
func plan(t *testing.T, s *Store, text string) string {
	t.Helper()
	var lines []string
	args := make([]any, 8)
	err := s.readers.do(t.Context(), func(r *reader) error {
		n := strings.Count(text, "?")
		if m := regexp.MustCompile(`\?\d`).FindAllString(text, -1); m != nil {
			n = 0
			for _, p := range m {
				n = max(n, int(p[1]-'0'))
			}
		}
		rows, err := r.query("EXPLAIN QUERY PLAN "+text, args[:n]...)
		if err != nil {
			return err
		}
		return each(rows, func() error {
			var id, parent, unused int
			var detail string
			err := rows.Scan(&id, &parent, &unused, &detail)
			lines = append(lines, detail)
			return err
		})
	})
	require.NoError(t, err)
	return strings.Join(lines, "\n")
}

func TestPlansUseAnIndex(t *testing.T) {
	t.Parallel()
	s := opened(t)
	down := newestFirst
	for name, c := range map[string]struct{ text, uses string }{
		"ListObjects":           {s.q.ListObjects, "USING INDEX files_latest (bucket_id=? AND key>? AND key<?)"},
		"ListFiles":             {s.q.ListFiles, "USING INDEX files_by_time (state=? AND (created_at,id)>(?,?))"},
		"ListFiles down":        {down(s.q.ListFiles), "USING INDEX files_by_time (state=? AND (created_at,id)<(?,?))"},
		"ListFilesOfBucket":     {s.q.ListFilesOfBucket, "USING INDEX files_of_bucket_by_time (bucket_id=? AND state=? AND (created_at,id)>(?,?))"},
		"ListFilesOfBucketDown": {down(s.q.ListFilesOfBucket), "USING INDEX files_of_bucket_by_time (bucket_id=? AND state=? AND (created_at,id)<(?,?))"},
		"File":                  {s.q.File, "USING PRIMARY KEY (id=?)"},
		"LatestFile":            {s.q.LatestFile, "USING INDEX files_latest (bucket_id=? AND key=?)"},
		"Parts":                 {s.q.Parts, "USING PRIMARY KEY (owner=?)"},
		"PartsPage":             {s.q.PartsPage, "USING PRIMARY KEY (owner=? AND number>?)"},
		"SetMarks":              {s.q.SetMarks, "USING PRIMARY KEY (id=?)"},
		"Part":                  {s.q.Part, "(id=?)"},
		"PartsAfter":            {s.q.PartsAfter, "(id>?)"},
		"Shown":                 {s.q.Shown, "INDEX files_latest (bucket_id=? AND key=?)"},
		"DueOfNode":             {s.q.DueOfNode, "USING INDEX tasks_due (kind=? AND node_id=? AND due_at<?)"},
		"NextNode":              {s.q.NextNode, "USING COVERING INDEX tasks_due (kind=? AND node_id>?)"},
		"Depth":                 {s.q.Depth, "USING COVERING INDEX tasks_due (kind=?)"},
		"Session":               {s.q.Session, "USING PRIMARY KEY (id=?)"},
		"SessionParts":          {s.q.SessionParts, "USING PRIMARY KEY (owner=?)"},
		"PartState":             {s.q.PartState, "(id=?)"},
		"ListSessions":          {s.q.ListSessions, "USING PRIMARY KEY (id>?)"},
		"ListSessionsOfBucket":  {s.q.ListSessionsOfBucket, "USING INDEX sessions_of_bucket (bucket_id=? AND id>?)"},
		"RemoveNumber":          {s.q.RemoveNumber, "USING PRIMARY KEY (owner=? AND number=?)"},
		"RemoveBegun":           {s.q.RemoveBegun, "(id=?)"},
		"HandOver":              {s.q.HandOver, "USING PRIMARY KEY (owner=?)"},
		"DueDeleted":            {s.q.DueDeleted, "USING INDEX files_deleted (deleted_at<?)"},
		"SweepParts":            {s.q.SweepParts, "USING PRIMARY KEY (owner=?)"},
		"ForgetDropped":         {s.q.ForgetDropped, "USING COVERING INDEX parts_dropped (stored_at<?)"},
		"ForgetAttempts":        {s.q.ForgetAttempts, "PRIMARY KEY (id<?)"},
		"TakeOver":              {s.q.TakeOver, "INDEX tasks_claimed (term>? AND term<?)"},
		"FinishRepairs":         {s.q.FinishRepairs, "USING PRIMARY KEY (kind=? AND part_id=? AND idx=?)"},
	} {
		got := plan(t, s, c.text)
		require.Contains(t, got, c.uses, name)
		require.NotContains(t, got, "SCAN", name)
		require.NotContains(t, got, "TEMP B-TREE", name)
	}
	inUse := plan(t, s, s.q.BucketInUse)
	for _, uses := range []string{"files_latest (bucket_id=?", "files_of_bucket_by_time (bucket_id=?", "sessions_of_bucket (bucket_id=?"} {
		require.Contains(t, inUse, uses)
	}
	// Expired sessions are sorted, but found by their time.
	expired := plan(t, s, s.q.ListExpiredSessions)
	require.Contains(t, expired, "USING INDEX sessions_by_expiry (expires_at<?)")
	require.NotContains(t, expired, "SCAN")
	// Open sessions are counted in the index alone first. The SCANs are of the rows that a LIMIT counts.
	for full, index := range map[string]string{s.q.OwnerFull: "sessions_of_owner (owner=?)", s.q.BucketFull: "sessions_of_bucket (bucket_id=?)"} {
		got := plan(t, s, full)
		require.Contains(t, got, "SEARCH sessions USING COVERING INDEX "+index)
		require.Contains(t, got, "SEARCH sessions USING INDEX "+index)
		require.NotContains(t, got, "SCAN sessions")
	}
	// A delete asks for the next file of its key. Through files_by_time, which
	// looks as good to the planner, that would read every complete file there is.
	require.Contains(t, plan(t, s, s.q.Heir), "INDEX files_behind (bucket_id=? AND key=?)")
	// Files with a range of keys are sorted, but found bucket by bucket through their indexes.
	for text, kind := range map[string]string{s.q.ListFilesByKey: "USING INDEX", down(s.q.ListFilesByKey): "USING INDEX", s.q.CountByKey: "USING COVERING INDEX"} {
		got := plan(t, s, text)
		require.Contains(t, got, kind+" files_latest (bucket_id=? AND key>? AND key<?)")
		require.Contains(t, got, kind+" files_behind (bucket_id=? AND key>? AND key<?)")
		require.NotContains(t, got, "SCAN f")
	}
}

func TestEveryConnectionHasTheSettings(t *testing.T) {
	t.Parallel()
	s := opened(t)
	check := func(st *statements) {
		for pragma, want := range map[string]string{"synchronous": "2", "journal_mode": "wal", "busy_timeout": "5000"} {
			var got string
			require.NoError(t, st.row("PRAGMA "+pragma).scan(&got))
			require.Equal(t, want, got, pragma)
		}
	}
	require.NoError(t, s.writer.do(t.Context(), func(tx *tx) error { check(&tx.statements); return nil }))
	for range cap(s.readers.idle) {
		r := <-s.readers.idle
		defer func() { s.readers.idle <- r }()
		check(&r.statements)
		_, err := r.exec("DELETE FROM buckets")
		require.Error(t, err, "a reader cannot write")
	}
}

// stalled blocks the writer inside a change until release is called.
func stalled(t *testing.T, w *writer) (release func()) {
	t.Helper()
	in, out, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- w.do(context.Background(), func(*tx) error { close(in); <-out; return nil })
	}()
	<-in
	return func() { close(out); require.NoError(t, <-done) }
}

// await waits until that many changes are queued.
func await(t *testing.T, w *writer, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return len(w.queue) == n }, 20*time.Second, time.Millisecond)
}

func TestWaitingChangesShareOneCommit(t *testing.T) {
	t.Parallel()
	w := opened(t).writer
	release := stalled(t, w)
	const count = 20
	ran := 0 // by the writer alone; read after an answer
	var all sync.WaitGroup
	for range count {
		all.Go(func() {
			if err := w.do(context.Background(), func(*tx) error { ran++; return nil }); err != nil {
				t.Error(err)
			}
			if ran != count {
				t.Errorf("answered after %d of %d changes", ran, count)
			}
		})
	}
	await(t, w, count)
	release()
	all.Wait()
}

func TestAFailingChangeIsUndoneAlone(t *testing.T) {
	t.Parallel()
	s := opened(t)
	release := stalled(t, s.writer)
	refused := errors.New("refused")
	insert := func(name string, then error) func(*tx) error {
		return func(tx *tx) error {
			_, err := tx.exec(s.q.CreateBucket, name, 0, 0)
			return errors.Join(err, then)
		}
	}
	var good, bad error
	var both sync.WaitGroup
	both.Go(func() { bad = s.writer.do(context.Background(), insert("bad", refused)) })
	await(t, s.writer, 1)
	both.Go(func() { good = s.writer.do(context.Background(), insert("good", nil)) })
	await(t, s.writer, 2)
	release()
	both.Wait()
	require.NoError(t, good)
	require.ErrorIs(t, bad, refused)
	_, err := s.Bucket(t.Context(), "bad")
	require.ErrorIs(t, err, store.NotFound)
	_, err = s.Bucket(t.Context(), "good")
	require.NoError(t, err)
}

func TestAChangeGivenUpBeforeItsTurnIsNotRun(t *testing.T) {
	t.Parallel()
	w := opened(t).writer
	release := stalled(t, w)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	ran := false
	go func() { result <- w.do(ctx, func(*tx) error { ran = true; return nil }) }()
	await(t, w, 1)
	cancel()
	require.ErrorIs(t, <-result, context.Canceled)
	release()
	require.NoError(t, w.do(t.Context(), func(*tx) error { return nil }))
	require.False(t, ran)
}

func TestAChangeThatHasBegunIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := opened(t).writer
	ctx, cancel := context.WithCancel(t.Context())
	require.NoError(t, w.do(ctx, func(*tx) error { cancel(); return nil }))
}

func TestFullIsNoSpaceAndPasses(t *testing.T) {
	t.Parallel()
	s := opened(t)
	limit := func(pages int) {
		require.NoError(t, s.writer.do(t.Context(), func(tx *tx) error {
			_, err := tx.conn.ExecContext(context.Background(), "PRAGMA max_page_count = "+[]string{"1", "1073741823"}[pages])
			return err
		}))
	}
	limit(0) // the least possible: what the file has now
	big := store.Credential{AccessKey: "k", Sealed: make([]byte, 1<<20)}
	require.ErrorIs(t, s.SaveCredential(t.Context(), big, ""), store.NoSpace)
	require.NotEmpty(t, store.HintOf(s.SaveCredential(t.Context(), big, "")))

	release := stalled(t, s.writer) // and in a group: the transaction was rolled back, and every caller learns it
	errs := make([]error, 4)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { errs[i] = s.SaveCredential(context.Background(), big, "") })
	}
	await(t, s.writer, len(errs))
	release()
	all.Wait()
	for _, err := range errs {
		require.ErrorIs(t, err, store.NoSpace)
	}
	limit(1)
	require.NoError(t, s.SaveCredential(t.Context(), big, ""))
}

// versions makes files of one key as a bucket with versions would have them: each new
// one stands before the old ones. The second is a delete marker, the last is latest.
func versions(t *testing.T, s *Store, key store.Key, n int) []store.File {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Microsecond)
	files := make([]store.File, n)
	for i := range files {
		files[i] = store.File{ID: store.NewFileID(), Bucket: store.DefaultBucket, Key: key, CreatedAt: now, DeleteMarker: i == 1}
		require.NoError(t, s.write(t.Context(), "test", func(tx *tx) error {
			bucket, _, err := s.bucketID(tx, store.DefaultBucket)
			if err != nil {
				return err
			}
			if _, err := tx.exec("UPDATE files SET latest = 0 WHERE key = ?", []byte(key)); err != nil {
				return err
			}
			f := files[i]
			f.State, f.Latest, f.CompletedAt = store.Complete, true, now.Add(time.Duration(i)*time.Second)
			return s.insert(tx, bucket, f)
		}))
	}
	return files
}

func TestTheNewestVersionInheritsTheKey(t *testing.T) {
	t.Parallel()
	s := opened(t)
	files := versions(t, s, "versions", 4)
	require.NoError(t, s.DeleteFile(t.Context(), store.Deletion{File: files[2].ID, Attempt: store.NewAttemptID()}))
	for _, want := range []int{3, 1, 0} {
		shown, err := s.LatestFile(t.Context(), store.DefaultBucket, "versions")
		if files[want].DeleteMarker {
			require.ErrorIs(t, err, store.NotFound)
		} else {
			require.NoError(t, err)
			require.Equal(t, files[want].ID, shown.ID)
		}
		require.NoError(t, s.DeleteFile(t.Context(), store.Deletion{File: files[want].ID, Attempt: store.NewAttemptID()}))
	}
	_, err := s.LatestFile(t.Context(), store.DefaultBucket, "versions")
	require.ErrorIs(t, err, store.NotFound)
}

func TestARenamedFileLeavesItsKeyToTheNewestVersion(t *testing.T) {
	t.Parallel()
	s := opened(t)
	from, to := versions(t, s, "from", 4), versions(t, s, "to", 4)
	_, replaced, err := s.RenameFile(t.Context(), store.Rename{File: from[3].ID, Bucket: store.DefaultBucket, Key: "to", Attempt: store.NewAttemptID()})
	require.NoError(t, err)
	require.Equal(t, to[3].ID, replaced)
	shown := func(key store.Key, want store.FileID) {
		t.Helper()
		f, err := s.LatestFile(t.Context(), store.DefaultBucket, key)
		require.NoError(t, err)
		require.Equal(t, want, f.ID)
	}
	shown("from", from[2].ID)
	shown("to", from[3].ID)
	// The versions behind it stay under both keys, and are not for rename.
	_, _, err = s.RenameFile(t.Context(), store.Rename{File: to[2].ID, Bucket: store.DefaultBucket, Key: "to", Attempt: store.NewAttemptID()})
	require.ErrorIs(t, err, store.Conflict)
	require.NoError(t, s.DeleteFile(t.Context(), store.Deletion{File: from[3].ID, Attempt: store.NewAttemptID()}))
	shown("to", to[2].ID)
	// Where a delete marker inherits, the key shows nothing.
	_, _, err = s.RenameFile(t.Context(), store.Rename{File: from[2].ID, Bucket: store.DefaultBucket, Key: "elsewhere", Attempt: store.NewAttemptID()})
	require.NoError(t, err)
	_, err = s.LatestFile(t.Context(), store.DefaultBucket, "from")
	require.ErrorIs(t, err, store.NotFound)
	marker, err := s.File(t.Context(), from[1].ID)
	require.NoError(t, err)
	require.True(t, marker.Latest)
}

func TestANewerSchemaIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "metadata.db")
	s, err := Open(t.Context(), path, Options{})
	require.NoError(t, err)
	require.NoError(t, s.write(t.Context(), "test", func(tx *tx) error {
		_, err := tx.exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)")
		return err
	}))
	require.NoError(t, s.Close())
	_, err = Open(t.Context(), path, Options{})
	require.ErrorIs(t, err, store.Conflict)
	require.NotEmpty(t, store.HintOf(err))
}

func TestAnotherWriterIsWaitedFor(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "metadata.db")
	s, err := Open(t.Context(), path, Options{})
	require.NoError(t, err)
	defer s.Close()
	other, err := sql.Open("sqlite", dsn(path, "_txlock=immediate"))
	require.NoError(t, err)
	defer other.Close()
	held, err := other.Begin()
	require.NoError(t, err)
	result := make(chan error, 1)
	go func() { result <- s.CreateBucket(context.Background(), store.Bucket{Name: "waits"}, "") }()
	await(t, s.writer, 0)
	require.NoError(t, held.Rollback())
	require.NoError(t, <-result)
}
