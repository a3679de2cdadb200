package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Tests wait for signals. They may sleep on the fake clock of testing/synctest, and on the real one where ADR 111 says so.
func TestSleeps(t *testing.T) {
	t.Parallel()
	var found []string
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != "../.." && skipped(path, entry.Name()):
			return filepath.SkipDir
		case entry.IsDir() || !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		found = append(found, sleeps(t, path, source)...)
		return nil
	})
	require.NoError(t, err)
	require.Empty(t, found, "wait for a signal, or name the reason: // ADR 111: ...")
}

func TestSleepsAreFound(t *testing.T) {
	t.Parallel()
	const body = "\nfunc f() {\n\ttime.Sleep(1) // ADR 111: the rate is tested\n\ttime.Sleep(1)\n}\n"
	require.Equal(t, []string{"a_test.go:7"}, sleeps(t, "a_test.go", []byte("package p\n\nimport \"time\"\n"+body)))
	require.Empty(t, sleeps(t, "a_test.go", []byte("package p\n\nimport (\n\t\"testing/synctest\"\n\t\"time\"\n)\n"+body)))
}

// sleeps returns the calls of time.Sleep on the real clock without a reason, as file:line.
func sleeps(t *testing.T, path string, source []byte) (found []string) {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, source, parser.SkipObjectResolution)
	require.NoError(t, err)
	for _, imported := range file.Imports {
		if imported.Path.Value == `"testing/synctest"` {
			return nil
		}
	}
	lines := strings.Split(string(source), "\n")
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.SelectorExpr)
		if !ok || call.Sel.Name != "Sleep" {
			return true
		}
		if from, ok := call.X.(*ast.Ident); ok && from.Name == "time" {
			if at := set.Position(call.Pos()); !strings.Contains(lines[at.Line-1], "// ADR 111: ") {
				found = append(found, fmt.Sprintf("%s:%d", filepath.ToSlash(path), at.Line))
			}
		}
		return true
	})
	return found
}
