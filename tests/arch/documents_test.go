package arch

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// written are the files outside Go whose text is read by people, comments as well as content. Those that are generated are among them
// only where that costs nothing: the manual of s3ctl is made from Go strings, the index of decision records from their titles.
var written = []*regexp.Regexp{
	regexp.MustCompile(`\.(md|sql|proto|ya?ml|session)$`),
	regexp.MustCompile(`^docs/schema/[^/]+\.json$`),
	regexp.MustCompile(`^(scripts|\.ci)/[^/]+$`),
	regexp.MustCompile(`^(Makefile|NOTICE|Dockerfile[^/]*)$`),
}

// marker is what begins a line of a comment, a list or a quotation. It is removed, so that a phrase is found across lines.
var marker = regexp.MustCompile(`^\s*(--|//+|#+|>|\*|-)?\s*`)

// code is what is not prose in files of which only the comments are read: statements, and the commands of sessions with their names.
var code = map[string]*regexp.Regexp{
	".sql":     regexp.MustCompile(`(?m)^(?:[^-\n]|-[^-\n])*`),
	".session": regexp.MustCompile(`(?m)^[^#\n].*$`),
}

// TestLanguageOfDocuments checks that documents, scripts, statements and descriptions are in plain technical English. A document is
// corrected more easily than code, so no phrase at all is accepted.
func TestLanguageOfDocuments(t *testing.T) {
	t.Parallel()
	files := documents(t, "../..")
	for _, one := range []string{"README.md", "docs/adr/README.md", ".github/workflows/test.yml", "proto/rest/openapi.yaml", "scripts/generate"} {
		require.Contains(t, files, one)
	}
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join("../..", filepath.FromSlash(file)))
		require.NoError(t, err)
		for _, hit := range phrasesOf(filepath.Ext(file), string(text)) {
			t.Errorf("%s:%s", file, hit)
		}
	}
}

// documents returns the files below root that people write and read, relative to it. Hidden folders but those of CI are left out.
func documents(t *testing.T, root string) (files []string) {
	t.Helper()
	seen := []string{".github", ".ci", "testdata"}
	require.NoError(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		if entry.IsDir() {
			if skipped(path, entry.Name()) && !slices.Contains(seen, entry.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		name, err := filepath.Rel(root, path)
		name = filepath.ToSlash(name)
		if entry.Type().IsRegular() && slices.ContainsFunc(written, func(kind *regexp.Regexp) bool { return kind.MatchString(name) }) {
			files = append(files, name)
		}
		return err
	}))
	return files
}

// phrasesOf returns the phrases of a text, each with its line; of one that crosses lines, the first of its paragraph.
func phrasesOf(extension, text string) (all []string) {
	if c := code[extension]; c != nil {
		text = c.ReplaceAllString(text, "")
	}
	var paragraph []string
	for i, line := range append(strings.Split(text, "\n"), "") {
		if bare := marker.ReplaceAllString(line, ""); bare != "" {
			paragraph = append(paragraph, bare)
			continue
		}
		crossing := find(strings.Join(paragraph, "\n"))
		for n, bare := range paragraph {
			for _, what := range find(bare) {
				if at := slices.Index(crossing, what); at >= 0 {
					crossing = slices.Delete(crossing, at, at+1)
					all = append(all, fmt.Sprintf("%d: %s", i-len(paragraph)+n+1, what))
				}
			}
		}
		for _, what := range crossing {
			all = append(all, fmt.Sprintf("%d: %s", i-len(paragraph)+1, what))
		}
		paragraph = nil
	}
	return all
}

// Phrases are found across the lines of a comment, and not across paragraphs or in code.
func TestPhrasesOf(t *testing.T) {
	t.Parallel()
	const gone, crossed = `: "is gone": is deleted, is removed, no longer exists`, `: "given up": aborts, abandons, stops retrying`
	for _, c := range []struct {
		extension, text string
		want            []string
	}{
		{".md", "# It\n\nwas and\nis gone\n", []string{"4" + gone}},
		{".yaml", "a: 1\n# It was given\n# up and is gone.\n", []string{"3" + gone, "1" + crossed}},
		{".proto", "// It was given\n//\n// up.\n", nil},
		{".md", "encryption\nat rest\n", nil},
		{".sql", "-- It was given\n-- up.\nSELECT is gone - 1; -- it is gone\nis gone", []string{"3" + gone, "1" + crossed}},
		{".session", "is gone\n# It is gone\n", []string{"2" + gone}},
	} {
		require.Equal(t, c.want, phrasesOf(c.extension, c.text), c.text)
	}
}
