package schema_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The pages of the schemas name every table, column and index of the migrations in the section of the table, and no others.
func TestPages(t *testing.T) {
	t.Parallel()
	for _, engine := range []string{"postgres", "sqlite"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			files, err := filepath.Glob(filepath.Join(engine, "migrations", "*.sql"))
			require.NoError(t, err)
			require.NotEmpty(t, files)
			page, err := os.ReadFile(filepath.Join("..", "docs", "format", engine+"-schema.md"))
			require.NoError(t, err)
			var text strings.Builder
			for _, file := range files {
				one, err := os.ReadFile(file)
				require.NoError(t, err)
				text.Write(one)
				if !strings.Contains(string(page), filepath.Base(file)) {
					t.Errorf("the page does not name the migration %s", filepath.Base(file))
				}
			}
			for _, difference := range compare(text.String(), string(page)) {
				t.Error(difference)
			}
			for _, named := range regexp.MustCompile(`\d{5}_\w+\.sql`).FindAllString(string(page), -1) {
				require.FileExists(t, filepath.Join(engine, "migrations", named))
			}
		})
	}
}

// table is a table of the migrations.
type table struct{ columns, indexes []string }

var (
	comment     = regexp.MustCompile(`--[^\n]*`)
	createTable = regexp.MustCompile(`(?s)\bCREATE TABLE (\w+) \(\n(.*?)\n\)`)
	createIndex = regexp.MustCompile(`\bCREATE (?:UNIQUE )?INDEX (\w+)\s+ON (\w+)`)
	addColumn   = regexp.MustCompile(`\bALTER TABLE (\w+) ADD COLUMN (\w+)`)
	column      = regexp.MustCompile(`(?m)^\s+([a-z]\w*) `)
	name        = regexp.MustCompile("`([a-z][a-z0-9_]*)`")
	block       = regexp.MustCompile("(?s)```.*?```")
)

// elsewhere are the names in the sections of the pages that are not the schema's.
var elsewhere = []string{"attr", "psql", "sqlite3"}

// tables reads what statements create. Columns begin a line of their own.
func tables(statements string) map[string]*table {
	all := map[string]*table{}
	for _, m := range createTable.FindAllStringSubmatch(statements, -1) {
		all[m[1]] = &table{}
		for _, c := range column.FindAllStringSubmatch(m[2], -1) {
			all[m[1]].columns = append(all[m[1]].columns, c[1])
		}
	}
	for _, m := range addColumn.FindAllStringSubmatch(statements, -1) {
		all[m[1]].columns = append(all[m[1]].columns, m[2])
	}
	for _, m := range createIndex.FindAllStringSubmatch(statements, -1) {
		all[m[2]].indexes = append(all[m[2]].indexes, m[1])
	}
	return all
}

// compare returns the differences between migrations and their page. A section whose heading is the name of a table is about it. Its markdown
// tables of columns and indexes begin with the name of one or several; names in the text may be of any table.
func compare(migrations, page string) (differences []string) {
	statements := comment.ReplaceAllString(migrations, "")
	want := tables(statements)
	sections := map[string]string{}
	for _, section := range strings.Split(block.ReplaceAllString(page, ""), "\n## ")[1:] {
		heading, text, _ := strings.Cut(section, "\n")
		sections[heading] = text
	}
	for _, of := range slices.Sorted(maps.Keys(want)) {
		text, ok := sections[of]
		if !ok {
			differences = append(differences, of+": has no section")
			continue
		}
		for _, one := range slices.Concat(want[of].columns, want[of].indexes) {
			if !strings.Contains(text, "`"+one+"`") {
				differences = append(differences, of+": "+one+" is missing")
			}
		}
		for _, kind := range []string{"column", "index"} {
			have := slices.Concat(want[of].columns, want[of].indexes)
			for _, one := range rows(text, kind) {
				if !slices.Contains(have, one) {
					differences = append(differences, of+": "+kind+" "+one+" does not exist")
				}
			}
		}
	}
	for _, heading := range slices.Sorted(maps.Keys(sections)) {
		for _, m := range name.FindAllStringSubmatch(sections[heading], -1) {
			known := regexp.MustCompile(`\b` + m[1] + `\b`).MatchString(statements)
			if !known && !slices.Contains(elsewhere, m[1]) {
				differences = append(differences, heading+": "+m[1]+" is not in the migrations")
			}
		}
	}
	return differences
}

// rows returns the names in the first cells of the markdown tables that have the heading.
func rows(text, heading string) (names []string) {
	inside := false
	for line := range strings.SplitSeq(text, "\n") {
		cells := strings.Split(line, "|")
		switch {
		case len(cells) < 3:
			inside = false
		case strings.TrimSpace(cells[1]) == heading:
			inside = true
		case inside:
			for _, m := range name.FindAllStringSubmatch(cells[1], -1) {
				names = append(names, m[1])
			}
		}
	}
	return names
}

// Each kind of difference is found.
func TestCompare(t *testing.T) {
	t.Parallel()
	const migrations = "CREATE TABLE one (\n    id   uuid PRIMARY KEY, -- not extra\n    size bigint,\n    CONSTRAINT c CHECK (size > 0)\n) WITH (x = 1);\n" +
		"CREATE UNIQUE INDEX by_size ON one (size ASC);\nCREATE TABLE two (\n    id uuid PRIMARY KEY\n);\nALTER TABLE two ADD COLUMN more text;\n"
	const page = "# P\n`any`\n\n## one\n\n| column | holds |\n|---|---|\n| `id`, `size` | `two` |\n\n| index | serves |\n|---|---|\n| `by_size` (`size`) | `c` |\n\n" +
		"```sql\nSELECT `x`\n```\n\n## two\n\n`id` and `more`, see `psql` and `one.size`\n"
	require.Empty(t, compare(migrations, page))
	require.Equal(t, []string{
		"one: size is missing", "one: by_size is missing", "one: column sum does not exist", "one: index by_sum does not exist", "two: has no section",
		"one: sum is not in the migrations", "one: by_sum is not in the migrations", "three: tag is not in the migrations",
	},
		compare(migrations, strings.NewReplacer("by_size", "by_sum", "`size`", "`sum`", "## two", "## three", "`more`", "`tag`").Replace(
			strings.Replace(page, " (`size`)", "", 1))))
}
