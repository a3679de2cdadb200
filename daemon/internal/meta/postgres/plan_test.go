package postgres_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
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
	for _, x := range planned(s.SQL(), store.NewFileID()) {
		text := explain(t, s, x.options(), x.sql, x.args...)
		for _, index := range x.steps {
			require.Contains(t, text, "using "+index+" on ", "%s\n%s", x.name, text)
		}
		for _, table := range []string{"files", "parts", "tasks", "sessions", "session_expiries"} {
			require.NotContains(t, text, "Seq Scan on "+table, "%s\n%s", x.name, text)
		}
	}
}

// A statement whose plan was made while the tables were small reads as few pages when they have grown: an index by which it finds its rows
// is not enough where the plan reads all rows of the bucket by it.
func TestPlansOfASmallDatabaseWhenItHasGrown(t *testing.T) {
	t.Parallel()
	for name, small := range map[string]struct {
		rows    int
		analyze string
	}{
		"empty":    {0, ""},
		"5":        {5, ""},
		"300":      {300, ""},
		"1500":     {1500, ""},
		"analyzed": {300, "ANALYZE"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := pgtest.Fresh(t)
			s := open(t, dsn, postgres.Options{})
			conn, err := s.Pool().Acquire(t.Context())
			require.NoError(t, err)
			defer conn.Release()
			id := store.NewFileID()
			all := planned(s.SQL(), id)
			grow(t, dsn, small.rows, store.NewFileID(), "b")
			run(t, dsn, small.analyze)
			for _, x := range all {
				_, err := conn.Exec(t.Context(), "PREPARE "+x.name+" AS "+x.sql, pgx.QueryExecModeSimpleProtocol)
				require.NoError(t, err, x.name)
				executed(t, conn, x, "COSTS OFF") // the plan is kept
			}
			grow(t, dsn, 10_000, id, "a")
			for _, x := range all {
				if x.refused {
					continue
				}
				text := executed(t, conn, x, "ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY OFF")
				assert.LessOrEqual(t, pages(t, text), 150, "%s reads too much:\n%s", x.name, text)
			}
		})
	}
}

// executed explains the statement, which is prepared under its name, and undoes what it did.
func executed(t *testing.T, conn *pgxpool.Conn, x statement, options string) string {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(t.Context())) }()
	sql := "EXPLAIN (" + options + ") EXECUTE " + x.name + " (" + strings.Join(x.args, ", ") + ")"
	rows, err := tx.Query(t.Context(), sql, pgx.QueryExecModeSimpleProtocol)
	require.NoError(t, err, sql)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err, sql)
	return strings.Join(lines, "\n")
}

// pages returns how many pages the plan of EXPLAIN (ANALYZE, BUFFERS) read: the first line that counts them is of the whole plan.
func pages(t *testing.T, plan string) (n int) {
	t.Helper()
	line := regexp.MustCompile(`Buffers: shared( hit=(\d+))?( read=(\d+))?`).FindStringSubmatch(plan)
	if line == nil {
		return 0
	}
	for _, digits := range []string{line[2], line[4]} {
		if digits != "" {
			more, err := strconv.Atoi(digits)
			require.NoError(t, err)
			n += more
		}
	}
	return n
}

// grow adds n rows to each table, and no statistics. A file, its part and a session have the id and the key.
func grow(t *testing.T, dsn string, n int, id store.FileID, key store.Key) {
	t.Helper()
	const the = "CASE WHEN i = 1 THEN '{id}' ELSE gen_random_uuid() END"
	const name = "convert_to(CASE WHEN i < 3 THEN '{key}' ELSE 'key-' || gen_random_uuid() END, 'UTF8')"
	const node, chunk = "gen_random_uuid()", "decode(repeat('07', 16), 'hex'), decode(repeat('05', 4), 'hex')"
	for _, sql := range []string{
		`INSERT INTO files (id, bucket_id, key, size, content_type, state, latest, delete_marker, created_at, completed_at, crc64, etag)
			SELECT ` + the + `, 1, ` + name + `, 1, '', 2, i % 2 = 1, false, now(), now(), 1, '' FROM generate_series(1, {n}) AS i`,
		`INSERT INTO parts (owner, number, id, state, size, k, m, unit_size, crc64, nodes, sums)
			SELECT id, 1, CASE WHEN id = '{id}' THEN id ELSE gen_random_uuid() END, 2, 1, 1, 0, 1, 1, ` + chunk + ` FROM files ON CONFLICT DO NOTHING`,
		`INSERT INTO tasks (kind, part_id, idx, node_id, due_at)
			SELECT 1 + i % 2, ` + node + `, 0, ` + node + `, now() + interval '1 h' FROM generate_series(1, {n}) AS i`,
		`INSERT INTO sessions (id, bucket_id, key, size, content_type, owner, created_at)
			SELECT ` + the + `, 1, ` + name + `, 1, '', 'o', now() FROM generate_series(1, {n}) AS i`,
		`INSERT INTO session_expiries (session_id, expires_at, changed_by) SELECT id, now() + interval '1 h', 'o' FROM sessions ON CONFLICT DO NOTHING`,
		`INSERT INTO buckets (name, survive) SELECT gen_random_uuid()::text, -1 FROM generate_series(1, {n})`,
		`INSERT INTO attempts (id, happened) SELECT gen_random_uuid(), true FROM generate_series(1, {n})`,
	} {
		run(t, dsn, strings.NewReplacer("{n}", strconv.Itoa(n), "{id}", id.String(), "{key}", string(key)).Replace(sql))
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
	text := plan(t, s, s.SQL().ClaimSessions, "'default'", "'{"+x.ID.String()+"}'", wanted, id, "'a'", "1", "''", "false", "null", "1", "null", "''", "null", "null", "null", "''")
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
