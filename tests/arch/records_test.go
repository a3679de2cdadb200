package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

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

// The walks of docs/architecture.md, which its headings begin, name files that exist, and what these declare.
func TestArchitectureDocument(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/architecture.md")
	require.NoError(t, err)
	walks := regexp.MustCompile(`(?ms)^## (?:One|s3ctl,) [^\n]*\n(.*?)(?:^## |\z)`)
	names := declared(t, "../../daemon", "../../ctl")
	found := 0
	for rest := string(text); ; found++ {
		at := walks.FindStringSubmatchIndex(rest)
		if at == nil {
			break
		}
		for _, missing := range names.missing(rest[at[2]:at[3]]) {
			t.Error(missing)
		}
		rest = rest[at[3]:]
	}
	require.Equal(t, 3, found, "the walks were not found")
}

// declarations are the names that files declare, by their path from the root of the module.
type declarations map[string]map[string]bool

// declared reads the files below the folders, without tests. The names are those of functions, methods, also of interfaces, types, constants and
// variables, and of the package.
func declared(t *testing.T, folders ...string) declarations {
	t.Helper()
	all := declarations{}
	for _, folder := range folders {
		require.NoError(t, filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			names := map[string]bool{file.Name.Name: true}
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.FuncDecl:
					names[n.Name.Name] = true
					return false
				case *ast.TypeSpec:
					names[n.Name.Name] = true
				case *ast.ValueSpec:
					for _, one := range n.Names {
						names[one.Name] = true
					}
				case *ast.Field: // a method of an interface; of a struct, too
					for _, one := range n.Names {
						names[one.Name] = true
					}
				}
				return true
			})
			all[strings.TrimPrefix(filepath.ToSlash(path), "../../")] = names
			return nil
		}))
	}
	return all
}

var (
	quoted   = regexp.MustCompile("`([a-z0-9/]+\\.go|[A-Za-z]\\w*(?:\\.\\w+)*)`")
	beside   = regexp.MustCompile("`([a-z0-9/]+\\.go)`, `(\\w+)`")
	brackets = regexp.MustCompile("`(\\w+)` (?:in|\\()\\s*`([a-z0-9/]+\\.go)`")
)

// missing returns the names in a walk that nothing declares. Paths are from the root of the module or from daemon/internal, a file without a
// folder is in that of the file before it. A name before or after its file must be in it.
func (d declarations) missing(walk string) (all []string) {
	walk = strings.Join(strings.Fields(walk), " ")
	folder := ""
	full := func(path string) string {
		if _, ok := d[path]; ok {
			return path
		}
		if !strings.Contains(path, "/") {
			return folder + "/" + path
		}
		return "daemon/internal/" + path
	}
	for _, m := range quoted.FindAllStringSubmatch(walk, -1) {
		if strings.HasSuffix(m[1], ".go") {
			file := full(m[1])
			if d[file] == nil {
				all = append(all, m[1]+" does not exist")
			}
			folder = file[:strings.LastIndex(file, "/")]
			continue
		}
		for part := range strings.SplitSeq(m[1], ".") {
			if strings.ContainsFunc(part, unicode.IsUpper) && !d.has(part) {
				all = append(all, m[1]+" is declared nowhere")
			}
		}
	}
	for _, m := range slices.Concat(beside.FindAllStringSubmatch(walk, -1), swap(brackets.FindAllStringSubmatch(walk, -1))) {
		if file := full(m[1]); strings.Contains(m[1], "/") && !d[file][m[2]] {
			all = append(all, m[2]+" is not declared in "+m[1])
		}
	}
	return all
}

func (d declarations) has(name string) bool {
	for _, names := range d {
		if names[name] {
			return true
		}
	}
	return false
}

// swap puts the file before the name.
func swap(matches [][]string) [][]string {
	for _, m := range matches {
		m[1], m[2] = m[2], m[1]
	}
	return matches
}

func TestMissing(t *testing.T) {
	t.Parallel()
	d := declarations{"daemon/internal/a/b.go": {"a": true, "Put": true}, "daemon/internal/a/c.go": {"a": true, "get": true}, "ctl/d.go": {"Each": true}}
	require.Empty(t, d.missing("`a/b.go`, `Put`: and `c.go`; `get` (`a/c.go`), `Each` in `ctl/d.go`, `a.Put`, `If-Match`, `word`"))
	require.Equal(t, []string{"a/x.go does not exist", "d.go does not exist", "a.Got is declared nowhere", "get is not declared in a/b.go", "Put is not declared in ctl/d.go"},
		d.missing("`a/b.go`, `get` `a/x.go` `d.go` `a.Got` `Put` (`ctl/d.go`)"))
}
