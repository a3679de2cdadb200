package arch

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// maxPhrases is how many of the phrases 1000 comment lines of a folder may hold.
const maxPhrases = 3

// TestLanguage checks that comments and messages are plain technical English.
func TestLanguage(t *testing.T) {
	folders, err := readProse("../..")
	require.NoError(t, err)
	lines, hits := 0, 0
	for _, name := range slices.Sorted(maps.Keys(folders)) {
		if name == "tests/arch" { // the list itself
			continue
		}
		p := folders[name]
		lines, hits = lines+p.commentLines, hits+len(p.comments)
		t.Logf("%6.1f per 1000 of %5d comment lines, %3d in strings: %s", 1000*float64(len(p.comments))/float64(max(p.commentLines, 1)),
			p.commentLines, len(p.strings), name)
		over := len(p.comments) > maxPhrases*p.commentLines/1000
		if over {
			for _, one := range p.comments {
				t.Error(one)
			}
		}
		for _, one := range p.strings {
			t.Errorf("in a message: %s", one)
		}
	}
	require.Less(t, 1000*hits, maxPhrases*lines, "%d phrases in %d comment lines", hits, lines)
}

// TestPhrases proves that the list matches its phrases, across lines and in any case, and no others.
func TestPhrases(t *testing.T) {
	for _, text := range []string{"Begins anew.", "it goes\non with the next", "given it up", "data at rest", "is none", "hands out"} {
		require.NotEmpty(t, find(text), text)
	}
	for _, text := range []string{"renewed", "encryption at rest", "the gone girl", "Largest", "restart", "gives the name", "a molest lesta"} {
		require.Empty(t, find(text), text)
	}
}
