package sqlsubset

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/sql/postgres"
)

// rule is something that one of the engines refuses, or treats differently.
type rule struct {
	not *regexp.Regexp
	why string
}

var rules = []rule{
	{regexp.MustCompile(`(?i)\bCOLLATE\b`), "a column with a collation has another type in CockroachDB, so comparisons with text fail"},
	{regexp.MustCompile(`(?i)\boverlay\s*\(`), "CockroachDB has no overlay of bytes"},
	{regexp.MustCompile(`(?i)infinity`), "CockroachDB has no infinite times"},
	{regexp.MustCompile(`/`), "the division of integers is a decimal in CockroachDB"},
	{regexp.MustCompile(`(?i)\bpg_(try_)?advisory`), "CockroachDB and YugabyteDB have no advisory locks"},
	{regexp.MustCompile(`(?i)\b(UN)?LISTEN\b|\bNOTIFY\b`), "CockroachDB and YugabyteDB have no notifications"},
	{regexp.MustCompile(`(?i)\bCREATE (TRIGGER|FUNCTION|PROCEDURE|EXTENSION)\b|\bplpgsql\b`), "no code runs in the database"},
	{regexp.MustCompile(`(?i)\bpg_current_(snapshot|xact_id)|\btxid_|\bxmin\b`), "CockroachDB has no transaction ids"},
}

var (
	comments = regexp.MustCompile(`--[^\n]*`)
	literals = regexp.MustCompile(`'(?:[^']|'')*'`)
	indexes  = regexp.MustCompile(`(?is)\bCREATE (?:UNIQUE )?INDEX (\w+)\s+ON \w+\s+\((.*)\)(?:\s+WHERE\b.*)?$`)
	changes  = regexp.MustCompile(`(?i)\b(INSERT INTO|DELETE FROM|UPDATE)\s+(\w+)`)
	updating = regexp.MustCompile(`(?i)\b(DO|FOR|FOR NO KEY)\s+UPDATE\b`)
)

// statement is one SQL statement with the name of its query, or its place in a migration.
type statement struct{ name, text string }

// statements are all queries and all statements of the migrations.
func statements(t *testing.T) (all []statement) {
	t.Helper()
	for _, files := range []fs.FS{postgres.Queries, postgres.Migrations} {
		require.NoError(t, fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			text, err := fs.ReadFile(files, path)
			if err != nil {
				return err
			}
			all = append(all, split(path, string(text))...)
			return nil
		}))
	}
	require.Greater(t, len(all), 80, "the queries were not found")
	return all
}

// split cuts a file into its statements.
func split(path, text string) (all []statement) {
	named := strings.Split("\n"+text, "\n-- name: ")
	for i, part := range named {
		name := path
		if i > 0 {
			name, part, _ = strings.Cut(part, "\n")
		}
		for n, one := range strings.Split(comments.ReplaceAllString(part, ""), ";") {
			if one = strings.TrimSpace(one); one == "" {
				continue
			}
			if i == 0 {
				name = fmt.Sprintf("%s, statement %d", path, n+1)
			}
			all = append(all, statement{strings.TrimSpace(name), one})
		}
	}
	return all
}

func TestStatementsAreWithinTheSubset(t *testing.T) {
	t.Parallel()
	for _, s := range statements(t) {
		for _, found := range check(s) {
			t.Error(found)
		}
	}
}

// check returns what the statement has that one of the engines refuses.
func check(s statement) (found []string) {
	infinite := rules[2]
	if infinite.not.MatchString(s.text) {
		found = append(found, s.name+": "+infinite.why)
	}
	bare := literals.ReplaceAllString(s.text, "''")
	for _, r := range rules {
		if r.not.MatchString(bare) {
			found = append(found, s.name+": "+r.why)
		}
	}
	if m := indexes.FindStringSubmatch(bare); m != nil {
		for _, column := range columns(m[2]) {
			if !strings.HasSuffix(column, " ASC") && !strings.HasSuffix(column, " DESC") {
				found = append(found, fmt.Sprintf("%s: column %s has no order, so YugabyteDB hashes it", m[1], column))
			}
		}
	}
	tables := map[string]int{}
	for _, m := range changes.FindAllStringSubmatch(updating.ReplaceAllString(bare, ""), -1) {
		tables[m[2]]++
	}
	for table, n := range tables {
		if n > 1 {
			found = append(found, fmt.Sprintf("%s: changes table %s %d times in one statement, which CockroachDB refuses", s.name, table, n))
		}
	}
	return found
}

// columns cuts the columns of an index apart, of which some are expressions.
func columns(list string) (all []string) {
	depth, start := 0, 0
	for i, c := range list {
		switch c {
		case '(':
			depth++
		case ')':
			depth--
		case ',':
			if depth == 0 {
				all, start = append(all, strings.TrimSpace(list[start:i])), i+1
			}
		}
	}
	return append(all, strings.TrimSpace(list[start:]))
}

// Each rule finds what it is for, and no more.
func TestCheck(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`CREATE TABLE t (name text COLLATE "C")`:                                              "collation",
		`UPDATE t SET a = overlay(a PLACING $1 FROM 1)`:                                       "overlay",
		`UPDATE t SET at = '-infinity'`:                                                       "infinite",
		`SELECT length(a) / 16 FROM t`:                                                        "division",
		`SELECT pg_advisory_lock(1)`:                                                          "advisory",
		`LISTEN changes`:                                                                      "notifications",
		`SELECT pg_current_snapshot()`:                                                        "transaction ids",
		`CREATE INDEX i ON t (a ASC, b)`:                                                      "no order",
		`CREATE UNIQUE INDEX i ON t ((a + 0), b ASC) WHERE a > 0`:                             "no order",
		`WITH x AS (UPDATE t SET a = 1 RETURNING id) UPDATE t SET b = 2 FROM x`:               "2 times",
		`WITH x AS (DELETE FROM t RETURNING id) INSERT INTO t (id) SELECT id FROM x`:          "2 times",
		`SELECT '/' || name FROM t`:                                                           "",
		`CREATE INDEX i ON t ((a + 0) ASC, (CASE WHEN a THEN b ELSE c END) DESC) WHERE a > 0`: "",
		`INSERT INTO t (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET id = 2`:                 "",
		`WITH x AS (SELECT id FROM t FOR UPDATE) DELETE FROM t USING x`:                       "",
	} {
		found := strings.Join(check(statement{"X", text}), "; ")
		if want == "" {
			require.Empty(t, found, text)
			continue
		}
		require.Contains(t, found, want, text)
	}
}

// All pipelines are sent at one place, which encloses several statements in BEGIN and COMMIT: in CockroachDB and YugabyteDB a pipeline
// without them is not one transaction.
func TestPipelinesAreTransactions(t *testing.T) {
	const root, sender = "../../daemon/internal/meta/postgres", "link/conn.go"
	sends := map[string]int{}
	require.NoError(t, fs.WalkDir(os.DirFS(root), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := fs.ReadFile(os.DirFS(root), path)
		if n := strings.Count(string(text), ".SendBatch("); n > 0 {
			sends[path] = n
		}
		return err
	}))
	require.Equal(t, map[string]int{sender: 2}, sends, "statements are sent with link.Conn.Pipeline")
	text, err := os.ReadFile(filepath.Join(root, sender))
	require.NoError(t, err)
	require.Regexp(t, `(?s)if c\.before == "" && b\.Len\(\) == 1 \{\s+c\.begun = true\s+return c\.pooled\.SendBatch\(ctx, b\)\s+\}`+
		`.*all\.Queue\("BEGIN"\).*all\.Queue\("COMMIT"\)\.Exec\(committed\)\s+return c\.pooled\.SendBatch\(ctx, all\)`, string(text))
}
