package postgres_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ringstore/ringstore/daemon/internal/meta/postgres"
	"github.com/ringstore/ringstore/daemon/internal/meta/postgres/pgtest"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// plan gives the plan that the store's own sessions keep for the statement: prepared, for
// any arguments. args are SQL literals.
func plan(t *testing.T, s *postgres.Store, sql string, args ...string) string {
	t.Helper()
	return explain(t, s, "ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF", sql, args...)
}

// explain is plan with other options of EXPLAIN. Without ANALYZE the statement is not executed.
func explain(t *testing.T, s *postgres.Store, options, sql string, args ...string) string {
	t.Helper()
	conn, err := s.Pool().Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	_, err = conn.Exec(t.Context(), "PREPARE planned AS "+sql, pgx.QueryExecModeSimpleProtocol)
	require.NoError(t, err)
	rows, err := conn.Query(t.Context(), "EXPLAIN ("+options+") EXECUTE planned ("+strings.Join(args, ", ")+")", pgx.QueryExecModeSimpleProtocol)
	require.NoError(t, err)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "DEALLOCATE planned")
	require.NoError(t, err)
	return strings.Join(lines, "\n")
}

// requireSteps demands a plan that finds its rows by the index, and neither sorts nor reads a table.
func requireSteps(t *testing.T, plan, index string) {
	t.Helper()
	require.Contains(t, plan, "using "+index)
	for _, costly := range []string{"Sort", "Seq Scan", "Hash", "Materialize"} {
		require.NotContains(t, plan, costly, plan)
	}
}

func TestListingIsByIndex(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Fresh(t)
	load(t, dsn, 5000)
	s := open(t, dsn, postgres.Options{})
	q := s.SQL()

	byDelimiter := plan(t, s, q.ListObjectsByDelimiter, "'default'", `''`, `'\xff'`, "1001", "'/'", "'0'", "0")
	require.Contains(t, byDelimiter, "$3", "the plan is for any arguments")
	requireSteps(t, byDelimiter, "files_latest")
	// Ten prefixes: eleven looks at the index, the last of which finds the end; not a row more.
	require.Contains(t, byDelimiter, "using files_latest on files (actual rows=1 loops=11)", byDelimiter)

	requireSteps(t, plan(t, s, q.ListObjects, "'default'", "'a'", "'b'", "1001"), "files_latest")
	requireSteps(t, plan(t, s, q.PartsAfter, "'"+store.PartID{}.String()+"'", "100"), "parts_pkey")
	byTime := plan(t, s, q.ListFilesByTime, "'default'", "2", "0", "10", "'0001-01-01'", "'"+store.FileID{}.String()+"'")
	require.Contains(t, byTime, "using files_by_time")
	require.NotContains(t, byTime, "Seq Scan on files")
}

// Statements that are prepared while the tables are empty keep their plans, so those must be good from the start.
func TestPlansOfAnEmptyDatabase(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.Fresh(t), postgres.Options{})
	q := s.SQL()
	id := "'" + store.NewFileID().String() + "'"
	zero := `'\x00000000000000000000000000000000'`
	ids := "ARRAY[" + id + "]::uuid[]"
	for index, text := range map[string]string{
		"files_latest":        plan(t, s, q.ReplaceLatest, "'{default}'", `'{a}'`, "null", "'{f}'", "'{x}'", "false", "null"),
		"parts_of_owner":      plan(t, s, q.File, id),
		"parts_pkey":          plan(t, s, q.Part, id),
		"tasks_due":           plan(t, s, q.Claim, "1", "10", "'1 s'", "1"),
		"tasks_due_of_node":   plan(t, s, q.ClaimOfNodes, "1", "10", "'1 s'", "1", ids),
		"tasks_pkey":          plan(t, s, q.Finish, "'{1}'", ids, "'{1}'", ids, "'{1}'"),
		"tasks_pkey on tasks": plan(t, s, q.FinishSome, "'{1}'", ids, "'{1}'", ids, "'{1}'"),
		"tasks_due on tasks":  plan(t, s, q.ClaimRepairs, "2", "4", "'1 s'", "1", "3", "7"),
		"queue_counts_pkey":   plan(t, s, q.Depth, "2"),
		"files_pkey":          plan(t, s, q.DeleteFile, id, "null", "''"),
		"files_behind":        plan(t, s, q.DeleteFile, id, "null", "''"),
		"parts_pkey on parts": explain(t, s, "COSTS OFF", q.MoveChunk, id, "0", zero, zero, zero, zero),
		"files_pkey on files": plan(t, s, q.ClaimUpload, id, "'default'", "'a'"),
		"files_deleted":       plan(t, s, q.SweepDeleted, "'1 s'", "'1 s'", "10"),
		"parts_dropped":       plan(t, s, q.ForgetDropped, "'1 s'"),
		"attempts_pkey":       plan(t, s, q.ForgetAttempts, id),
		"tasks_claimed":       plan(t, s, q.TakeOver, "2"),
	} {
		require.Contains(t, text, "using "+index, text)
		for _, table := range []string{"files", "parts", "tasks"} {
			require.NotContains(t, text, "Seq Scan on "+table, text)
		}
	}
}

// The same for sessions and renames. Of each statement what is to be found in its plan.
func TestPlansOfSessions(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.Fresh(t), postgres.Options{})
	q := s.SQL()
	id := "'" + store.NewFileID().String() + "'"
	ids := "ARRAY[" + id + "]::uuid[]"
	zero := `'\x00000000000000000000000000000000'`
	page := []string{id, "''", `'\xff'`, "10"}
	for name, c := range map[string]struct {
		plan  string
		steps []string
	}{
		"CreateSession": {
			plan(t, s, q.CreateSession, id, "'default'", "'a'", "1", "''", "null", "null", "''", "'1 s'", "10", "10"),
			[]string{"buckets_name", "files_pkey", "sessions_of_owner", "sessions_of_bucket", "session_expiries_pkey"},
		},
		"Session":              {plan(t, s, q.Session, id), []string{"sessions_pkey", "session_expiries_pkey", "parts_of_owner"}},
		"SetSessionSize":       {plan(t, s, q.SetSessionSize, id, "1"), []string{"sessions_pkey", "session_expiries_pkey"}},
		"SessionSize":          {plan(t, s, q.SessionSize, id), []string{"sessions_pkey", "session_expiries_pkey"}},
		"ListSessions":         {plan(t, s, q.ListSessions, page...), []string{"sessions_pkey", "session_expiries_pkey", "parts_of_owner"}},
		"ListSessionsOfBucket": {plan(t, s, q.ListSessionsOfBucket, append(page, "'default'")...), []string{"sessions_of_bucket", "session_expiries_pkey"}},
		"ListSessionsByKey": {
			plan(t, s, q.ListSessionsByKey, "'a'", id, `'\xff'`, "10", "'default'"),
			[]string{"sessions_by_key", "session_expiries_pkey", "parts_of_owner"},
		},
		"ListExpiredSessions": {plan(t, s, q.ListExpiredSessions, append(page, "'default'")...), []string{"session_expiries_by_time", "sessions_pkey"}},
		"BeginPart": {
			plan(t, s, q.BeginPart, id, id, "1", "1", "1", "0", "1", "1", zero, `'\x00000000'`, "null"),
			[]string{"sessions_pkey", "session_expiries_pkey", "parts_pkey"},
		},
		"DropReplaced": {plan(t, s, q.DropReplaced, id, id, "1"), []string{"sessions_pkey", "session_expiries_pkey", "parts_of_owner", "parts_pkey"}},
		"StorePart": {
			plan(t, s, q.StorePart, id, id, "1", "1", "1", "0", "1", "1", zero, `'\x00000000'`, "null", "0", "0"),
			[]string{"sessions_pkey", "session_expiries_pkey"},
		},
		"DropUnused":   {plan(t, s, q.DropUnused, id, id, zero), []string{"sessions_pkey", "session_expiries_pkey", "parts_pkey"}},
		"SlideSession": {plan(t, s, q.SlideSession, id, id, "'1 s'"), []string{"session_expiries_pkey", "parts_pkey"}},
		"LockPart":     {plan(t, s, q.LockPart, id), []string{"parts_pkey"}},
		"DropPart":     {plan(t, s, q.DropPart, id, "'{0}'", ids), []string{"parts_pkey"}},
		"LockSessions": {plan(t, s, q.LockSessions, ids), []string{"sessions_pkey"}},
		"ClaimSessions": {
			plan(t, s, q.ClaimSessions, "'default'", ids, ids, id, "'a'", "1", "''", "false", "null", "1", "null", "''", "null", "null", "''"),
			[]string{"buckets_name", "sessions_pkey", "session_expiries_pkey", "parts_pkey"},
		},
		"HandOver":     {plan(t, s, q.HandOver, id, ids, "'{1}'", ids, id), []string{"files_pkey", "parts_of_owner"}},
		"TakeParts":    {plan(t, s, q.TakeParts, id, ids, "'{1}'", id), []string{"files_pkey", "parts_pkey"}},
		"Parts":        {plan(t, s, q.Parts, id, "5"), []string{"parts_of_owner"}},
		"SetMarks":     {plan(t, s, q.SetMarks, id, "null", "0"), []string{"files_pkey"}},
		"PartsOf":      {plan(t, s, q.PartsOf, id), []string{"parts_of_owner"}},
		"EndSessions":  {plan(t, s, q.EndSessions, ids, id, "'"+store.NewFileID().String()+"'"), []string{"sessions_pkey", "session_expiries_pkey", "files_pkey", "parts_of_owner"}},
		"EndSession":   {plan(t, s, q.EndSession, "'"+store.NewFileID().String()+"'"), []string{"sessions_pkey", "session_expiries_pkey"}},
		"ShowFile":     {plan(t, s, q.ShowFile, id, "'default'"), []string{"files_pkey"}},
		"Guard":        {plan(t, s, q.Guard, "'default'", "'a'", "false", "false", "null", "null", "'{x}'", id), []string{"buckets_name", "files_latest", "files_pkey"}},
		"DeleteObject": {plan(t, s, q.DeleteObject, "'default'", "'a'", "null", "''", "false", "null"), []string{"buckets_name", "files_latest", "files_pkey"}},
		"LockNames":    {plan(t, s, q.LockNames, id, "'default'", "'a'"), []string{"buckets_name", "files_latest", "files_pkey"}},
		"ClaimName":    {plan(t, s, q.ClaimName, id, "'default'", "'a'"), []string{"buckets_name", "files_pkey"}},
		"MoveName":     {plan(t, s, q.MoveName, id, "'default'", "'a'", "''"), []string{"files_pkey", "files_behind", "buckets_name"}},
		"BareFile":     {plan(t, s, q.BareFile, id), []string{"files_pkey", "buckets_pkey"}},
		"DropBucket":   {plan(t, s, q.DropBucket, "'x'", "''", "'bucket.deleted'", "0", "''", "''", "null"), []string{"buckets_name", "files_by_time", "sessions_by_key"}},
		"Documents":    {plan(t, s, q.Documents, "'default'"), []string{"buckets_name", "bucket_documents_pkey"}},
	} {
		for _, index := range c.steps {
			require.Contains(t, c.plan, "using "+index+" on ", "%s\n%s", name, c.plan)
		}
		withoutHead := strings.ReplaceAll(c.plan, "Seq Scan on event_head", "") // it has one row
		require.NotContains(t, withoutHead, "Seq Scan", "%s\n%s", name, c.plan)
	}
}

// The parts of a completion are looked up one by one, however many the session has.
func TestCompletionIsByIndex(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Fresh(t)
	s := open(t, dsn, postgres.Options{})
	x := newSession(t, s, "a")
	parts := loadParts(t, dsn, x.ID, 1000)
	ids := make([]string, 10)
	for i := range ids {
		ids[i] = parts[7*i].ID.String()
	}
	wanted, id := "'{"+strings.Join(ids, ",")+"}'", "'"+x.ID.String()+"'"
	text := plan(t, s, s.SQL().ClaimSessions, "'default'", "'{"+x.ID.String()+"}'", wanted, id, "'a'", "1", "''", "false", "null", "1", "null", "''", "null", "null", "''")
	require.Contains(t, text, "using parts_pkey on parts p (actual rows=1 loops=10)", text)
}

// listNaively is ObjectQuery's meaning, word for word.
func listNaively(keys []string, q store.ObjectQuery) []string {
	var names []string
	slices.Sort(keys)
	for _, key := range keys {
		rest, ok := strings.CutPrefix(key, q.Prefix)
		if !ok {
			continue
		}
		name := key
		if at := strings.Index(rest, q.Delimiter); q.Delimiter != "" && at >= 0 {
			name = q.Prefix + rest[:at+len(q.Delimiter)]
			if name == q.After {
				continue // After is this very prefix
			}
			if key <= q.After && !strings.HasPrefix(q.After, name) {
				continue
			}
		}
		if key <= q.After || slices.Contains(names, name) {
			continue
		}
		names = append(names, name)
	}
	return names
}

func TestListingAgainstTheNaive(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	s := open(t, dsn, postgres.Options{})
	text := rapid.StringOfN(rapid.SampledFrom([]rune("ab/é\U0010FFFF")), 1, 6, -1)
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		bucket := store.BucketName(fmt.Sprintf("rapid-%d", n))
		require.NoError(rt, s.CreateBucket(context.Background(), store.Bucket{Name: bucket}, ""))
		keys := rapid.SliceOfNDistinct(text, 0, 25, rapid.ID[string]).Draw(rt, "keys")
		for _, k := range keys {
			f := store.File{ID: store.NewFileID(), Bucket: bucket, Key: store.Key(k)}
			_, _, err := s.CommitFile(context.Background(), store.Commit{File: f})
			require.NoError(rt, err)
		}
		maybe := rapid.OneOf(rapid.Just(""), text)
		for range 8 {
			q := store.ObjectQuery{
				Bucket: bucket, Prefix: maybe.Draw(rt, "prefix"), Delimiter: rapid.OneOf(rapid.Just("/"), maybe, rapid.Just("\xff")).Draw(rt, "delimiter"),
				After: maybe.Draw(rt, "after"), Limit: rapid.IntRange(1, 5).Draw(rt, "limit"),
			}
			want := listNaively(keys, q)
			var got []string
			for more := true; more; {
				page, err := s.ListObjects(context.Background(), q)
				require.NoError(rt, err)
				require.LessOrEqual(rt, len(page.Entries), q.Limit)
				for _, e := range page.Entries {
					got = append(got, e.Name)
				}
				q.After, more = page.Next, page.More
			}
			require.Equal(rt, want, got)
		}
	})
}
