package arch

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every decision record has a number of its own and a title, and the index lists exactly these.
func TestDecisionRecords(t *testing.T) {
	t.Parallel()
	const folder = "../../docs/adr"
	files, err := filepath.Glob(filepath.Join(folder, "[0-9]*.md"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	var want []string
	numbers := map[string]bool{}
	for _, file := range files {
		name := filepath.Base(file)
		require.False(t, numbers[name[:4]], "two records have the number %s", name[:4])
		numbers[name[:4]] = true
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		first, _, _ := strings.Cut(string(text), "\n")
		number, title, ok := strings.Cut(strings.TrimPrefix(first, "# "), ": ")
		require.True(t, ok && number == name[:4], "%s begins with %q, want \"# %s: Title\"", name, first, name[:4])
		want = append(want, "| ["+number+"]("+name+") | "+title+" |")
	}
	index, err := os.ReadFile(filepath.Join(folder, "README.md"))
	require.NoError(t, err)
	require.Equal(t, want, regexp.MustCompile(`(?m)^\| \[\d{4}\].*$`).FindAllString(string(index), -1), "run scripts/generate adr")
}

// The files that the walks of docs/architecture.md name exist: those of s3ctl below ctl, others below daemon/internal.
func TestArchitectureDocument(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/architecture.md")
	require.NoError(t, err)
	paths := regexp.MustCompile("`([a-z0-9]+(?:/[a-z0-9]+)+\\.go)`").FindAllSubmatch(text, -1)
	require.NotEmpty(t, paths)
	for _, path := range paths {
		base := "../../daemon/internal"
		if strings.HasPrefix(string(path[1]), "ctl/") {
			base = "../.."
		}
		require.FileExists(t, filepath.Join(base, string(path[1])))
	}
}
