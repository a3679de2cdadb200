package sqlite

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/meta/sqlite/db"
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
	err := s.db.Read(t.Context(), "Test", func(r *db.Reader) error {
		n := strings.Count(text, "?")
		if m := regexp.MustCompile(`\?\d`).FindAllString(text, -1); m != nil {
			n = 0
			for _, p := range m {
				n = max(n, int(p[1]-'0'))
			}
		}
		rows, err := r.Query("EXPLAIN QUERY PLAN "+text, args[:n]...)
		if err != nil {
			return err
		}
		return db.Each(rows, func() error {
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
		"ListObjects":           {s.db.Q.ListObjects, "USING INDEX files_latest (bucket_id=? AND key>? AND key<?)"},
		"ListFiles":             {s.db.Q.ListFiles, "USING INDEX files_by_time (state=? AND (created_at,id)>(?,?))"},
		"ListFiles down":        {down(s.db.Q.ListFiles), "USING INDEX files_by_time (state=? AND (created_at,id)<(?,?))"},
		"ListFilesOfBucket":     {s.db.Q.ListFilesOfBucket, "USING INDEX files_of_bucket_by_time (bucket_id=? AND state=? AND (created_at,id)>(?,?))"},
		"ListFilesOfBucketDown": {down(s.db.Q.ListFilesOfBucket), "USING INDEX files_of_bucket_by_time (bucket_id=? AND state=? AND (created_at,id)<(?,?))"},
		"File":                  {s.db.Q.File, "USING PRIMARY KEY (id=?)"},
		"LatestFile":            {s.db.Q.LatestFile, "USING INDEX files_latest (bucket_id=? AND key=?)"},
		"Parts":                 {s.db.Q.Parts, "USING PRIMARY KEY (owner=?)"},
		"PartsPage":             {s.db.Q.PartsPage, "USING PRIMARY KEY (owner=? AND number>?)"},
		"SetMarks":              {s.db.Q.SetMarks, "USING PRIMARY KEY (id=?)"},
		"Part":                  {s.db.Q.Part, "(id=?)"},
		"PartsAfter":            {s.db.Q.PartsAfter, "(id>?)"},
		"Shown":                 {s.db.Q.Shown, "INDEX files_latest (bucket_id=? AND key=?)"},
		"DueTasks":              {s.db.Q.DueTasks, "USING INDEX tasks_due (kind=? AND node_id=? AND priority=? AND due_at<?)"},
		"NextNode":              {s.db.Q.NextNode, "USING COVERING INDEX tasks_due (kind=? AND node_id>?)"},
		"Depth":                 {s.db.Q.Depth, "SEARCH queue_counts USING PRIMARY KEY (kind=?)"},
		"Session":               {s.db.Q.Session, "USING PRIMARY KEY (id=?)"},
		"SessionParts":          {s.db.Q.SessionParts, "USING PRIMARY KEY (owner=?)"},
		"PartState":             {s.db.Q.PartState, "(id=?)"},
		"ListSessions":          {s.db.Q.ListSessions, "USING PRIMARY KEY (id>?)"},
		"ListSessionsOfBucket":  {s.db.Q.ListSessionsOfBucket, "USING INDEX sessions_of_bucket (bucket_id=? AND id>?)"},
		"RemoveNumber":          {s.db.Q.RemoveNumber, "USING PRIMARY KEY (owner=? AND number=?)"},
		"RemoveBegun":           {s.db.Q.RemoveBegun, "(id=?)"},
		"HandOver":              {s.db.Q.HandOver, "USING PRIMARY KEY (owner=?)"},
		"DueDeleted":            {s.db.Q.DueDeleted, "USING INDEX files_deleted (deleted_at<?)"},
		"ForgetDropped":         {s.db.Q.ForgetDropped, "USING COVERING INDEX parts_dropped (stored_at<?)"},
		"ForgetAttempts":        {s.db.Q.ForgetAttempts, "PRIMARY KEY (id<?)"},
		"TakeOver":              {s.db.Q.TakeOver, "INDEX tasks_claimed (term>? AND term<?)"},
		"DropRepair":            {s.db.Q.DropRepair, "USING PRIMARY KEY (kind=? AND part_id=?)"},
		"FinishRepair":          {s.db.Q.FinishRepair, "USING PRIMARY KEY (kind=? AND part_id=?)"},
	} {
		got := plan(t, s, c.text)
		require.Contains(t, got, c.uses, name)
		require.NotContains(t, got, "SCAN", name)
		require.NotContains(t, got, "TEMP B-TREE", name)
	}
	// Lists of ids are read whole; the files and parts are found by them, and need not be sorted.
	for text, uses := range map[string]string{
		s.db.Q.PartsByID: "SEARCH parts USING", s.db.Q.SweepParts: "SEARCH p USING PRIMARY KEY (owner=?)", s.db.Q.RemoveSwept: "SEARCH f USING PRIMARY KEY (id=?)",
		s.db.Q.ClaimReclaims: "SEARCH tasks USING PRIMARY KEY (kind=? AND part_id=? AND idx=? AND node_id=?)", s.db.Q.FinishReclaims: "SEARCH tasks USING PRIMARY KEY (kind=? AND part_id=? AND idx=? AND node_id=?)",
		s.db.Q.FilesByID: "SEARCH f USING PRIMARY KEY (id=?)", s.db.Q.PartsOfFiles: "SEARCH parts USING PRIMARY KEY (owner=?)",
	} {
		got := plan(t, s, text)
		require.Contains(t, got, uses)
		require.Equal(t, 1, strings.Count(got, "SCAN"), got)
		require.NotContains(t, got, "TEMP B-TREE")
	}
	inUse := plan(t, s, s.db.Q.BucketInUse)
	for _, uses := range []string{"COVERING INDEX files_latest (bucket_id=?", "COVERING INDEX files_behind (bucket_id=?", "COVERING INDEX sessions_of_bucket (bucket_id=?"} {
		require.Contains(t, inUse, uses)
	}
	// Expired sessions are sorted, but found by their time.
	expired := plan(t, s, s.db.Q.ListExpiredSessions)
	require.Contains(t, expired, "USING INDEX sessions_by_expiry (expires_at<?)")
	require.NotContains(t, expired, "SCAN")
	// Open sessions are counted in the index alone first. The SCANs are of the rows that a LIMIT counts.
	for full, index := range map[string]string{s.db.Q.OwnerFull: "sessions_of_owner (owner=?)", s.db.Q.BucketFull: "sessions_of_bucket (bucket_id=?)"} {
		got := plan(t, s, full)
		require.Contains(t, got, "SEARCH sessions USING COVERING INDEX "+index)
		require.Contains(t, got, "SEARCH sessions USING INDEX "+index)
		require.NotContains(t, got, "SCAN sessions")
	}
	// A delete asks for the next file of its key. Through files_by_time, which
	// looks as good to the planner, that would read every complete file there is.
	require.Contains(t, plan(t, s, s.db.Q.Heir), "INDEX files_behind (bucket_id=? AND key=?)")
	// Files with a range of keys are sorted, but found bucket by bucket through their indexes.
	for text, kind := range map[string]string{s.db.Q.ListFilesByKey: "USING INDEX", down(s.db.Q.ListFilesByKey): "USING INDEX", s.db.Q.CountByKey: "USING COVERING INDEX"} {
		got := plan(t, s, text)
		require.Contains(t, got, kind+" files_latest (bucket_id=? AND key>? AND key<?)")
		require.Contains(t, got, kind+" files_behind (bucket_id=? AND key>? AND key<?)")
		require.NotContains(t, got, "SCAN f")
	}
}

// versions makes files of one key as a bucket with versions would have them: each new
// one stands before the old ones. The second is a delete marker, the last is latest.
func versions(t *testing.T, s *Store, key store.Key, n int) []store.File {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Microsecond)
	files := make([]store.File, n)
	for i := range files {
		files[i] = store.File{ID: store.NewFileID(), Bucket: store.DefaultBucket, Key: key, CreatedAt: now, DeleteMarker: i == 1}
		require.NoError(t, s.db.Write(t.Context(), "test", func(tx *db.Tx) error {
			bucket, _, err := s.FindBucket(tx, store.DefaultBucket)
			if err != nil {
				return err
			}
			if _, err := tx.Exec("UPDATE files SET latest = 0 WHERE key = ?", []byte(key)); err != nil {
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
