package arch

import (
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// smallRules and smallGraph are a module that obeys every rule; each case below breaks one.
func smallRules() Rules {
	return Rules{
		Everywhere: []string{"lib/words"},
		Below:      "lib/...",
		Imports: []Row{
			{"lib/words", nil},
			{"lib/wordstest", nil},
			{"lib/disk", nil},
			{"lib/logic", []string{"lib/disk"}},
			{"cmd/tool", []string{"lib/logic"}},
			{"tests/...", []string{"lib/..."}},
		},
		Libraries:    []Library{{"example.org/sql", []string{"lib/disk"}}},
		Binaries:     []Binary{{"cmd/tool", []string{"example.org/screen", "lib/words/..."}}},
		TestOnly:     func(path string) bool { return strings.HasSuffix(path, "test") },
		TestRoots:    []string{"tests/..."},
		StandardOnly: []string{"lib/words"},
		MaxSteps:     3,
		MaxLines:     100,
		MaxMainLines: 30,
		Smaller:      []Limit{{"lib/logic", 50}},
		MayExit:      []string{"tests/..."},
	}
}

func smallGraph() Graph {
	graph := Graph{}
	add := func(p Package) { graph[p.Path] = &p }
	add(Package{Path: "io", Standard: true})
	add(Package{Path: "example.org/sql/v2", Imports: []string{"io"}})
	add(Package{Path: "example.org/screen"})
	add(Package{Path: "lib/words", Own: true, Imports: []string{"io"}, Lines: 100})
	add(Package{Path: "lib/wordstest", Own: true, Imports: []string{"lib/words"}})
	add(Package{Path: "lib/disk", Own: true, Imports: []string{"example.org/sql/v2"}, TestImports: []string{"lib/wordstest"}})
	add(Package{Path: "lib/logic", Own: true, Imports: []string{"lib/disk"}})
	add(Package{Path: "cmd/tool", Own: true, Main: true, Imports: []string{"lib/logic"}, Lines: 30, Exits: []string{"main.go:9: os.Exit"}})
	add(Package{Path: "tests/e2e", Own: true, Imports: []string{"lib/wordstest"}, Exits: []string{"e2e.go:5: os.Exit"}})
	return graph
}

func TestCheckAcceptsWhatObeys(t *testing.T) {
	require.Empty(t, Check(smallGraph(), smallRules()))
}

// Each case breaks one rule and lists every violation that must be found.
func TestCheckFindsEachViolation(t *testing.T) {
	imports := func(path string, more ...string) func(Graph) {
		return func(g Graph) { g[path].Imports = append(g[path].Imports, more...) }
	}
	cases := []struct {
		name   string
		change func(Graph)
		want   []string
	}{
		{"an import upwards", imports("lib/disk", "cmd/tool"), []string{"lib/disk: may not import cmd/tool"}},
		{"an import between neighbours", func(g Graph) {
			g["lib/logic"].Imports = nil
			g["lib/disk"].Imports = append(g["lib/disk"].Imports, "lib/logic")
		}, []string{"lib/disk: may not import lib/logic", "lib/logic: is allowed to import lib/disk, but does not"}},
		{"a package without a row", func(g Graph) {
			g["lib/misc"] = &Package{Path: "lib/misc", Own: true}
		}, []string{"lib/misc: named by 0 rows of the import table, want 1"}},
		{"a library out of place", imports("lib/logic", "example.org/sql/v2"), []string{"lib/logic: may not use example.org/sql/v2"}},
		{"a library out of place in a test", func(g Graph) {
			g["lib/logic"].TestImports = []string{"example.org/sql/v2"}
		}, []string{"lib/logic: may not use example.org/sql/v2"}},
		{"a test helper in production code", func(g Graph) {
			g["lib/logic"].Imports = []string{"lib/wordstest"}
		}, []string{
			// The tool then links the domain, which its list forbids.
			"cmd/tool: links lib/words, by way of cmd/tool -> lib/logic -> lib/wordstest -> lib/words",
			"lib/logic: is allowed to import lib/disk, but does not",
			"lib/logic: may import lib/wordstest in tests only",
			"lib/logic: may not import lib/wordstest",
		}},
		{"production code on tests", func(g Graph) {
			g["tests/e2e"].Imports = nil
			g["lib/disk"].Imports = append(g["lib/disk"].Imports, "tests/e2e")
		}, []string{"lib/disk: may import tests/e2e in tests only", "lib/disk: may not import tests/e2e", "tests/...: is allowed to import lib/..., but does not"}},
		{"a forbidden link, far down", imports("example.org/sql/v2", "example.org/screen"), []string{
			"cmd/tool: links example.org/screen, by way of cmd/tool -> lib/logic -> lib/disk -> example.org/sql/v2 -> example.org/screen",
		}},
		{"a link of our own, allowed as an import", imports("lib/logic", "lib/words"), []string{
			"cmd/tool: links lib/words, by way of cmd/tool -> lib/logic -> lib/words",
		}},
		{"the domain on a library", imports("lib/words", "example.org/screen"), []string{
			"lib/words: imports example.org/screen, which is not in the standard library",
		}},
		{"a large package", func(g Graph) { g["lib/disk"].Lines = 101 }, []string{"lib/disk: 101 lines, more than 100"}},
		{"a package above its own limit", func(g Graph) { g["lib/logic"].Lines = 51 }, []string{"lib/logic: 51 lines, more than 50"}},
		{"a large main", func(g Graph) { g["cmd/tool"].Lines = 31 }, []string{"cmd/tool: 31 lines, more than 30"}},
		{"an exit from deep inside", func(g Graph) {
			g["lib/disk"].Exits = []string{"disk.go:7: log.Fatalf"}
		}, []string{"lib/disk: ends the process at disk.go:7: log.Fatalf"}},
		{"a boolean parameter", func(g Graph) {
			g["lib/disk"].Bools = []string{"disk.go:8:6: Open"}
		}, []string{"lib/disk: has a boolean parameter at disk.go:8:6: Open: use two functions, or a type with names"}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			graph := smallGraph()
			tc.change(graph)
			require.Equal(t, tc.want, Check(graph, smallRules()))
		})
	}
}

func TestCheckFindsAmbiguousRows(t *testing.T) {
	rules := smallRules()
	rules.Imports = append(rules.Imports, Row{Package: "lib/disk"})
	require.Equal(t, []string{"lib/disk: named by 2 rows of the import table, want 1"}, Check(smallGraph(), rules))
}

func TestCheckFindsUnusedAllowances(t *testing.T) {
	rules := smallRules()
	rules.Imports[2].May = []string{"lib/words", "example.org/..."}
	rules.Imports = append(rules.Imports, Row{Package: "lib/gone/..."})
	rules.Smaller = append(rules.Smaller, Limit{"lib/small", 10})
	require.Equal(t, []string{
		"lib/disk: is allowed to import lib/words, but does not",
		"lib/gone/...: has a row in the import table, but no package",
		"lib/small: has a limit of lines, but no package",
	}, Check(smallGraph(), rules))
}

func TestCheckFindsDeepChains(t *testing.T) {
	rules := smallRules()
	rules.MaxSteps = 1
	require.Equal(t, []string{"cmd/tool: imports 2 steps deep, more than 1: cmd/tool -> lib/logic -> lib/disk"},
		Check(smallGraph(), rules))
}

func TestExitsAreFoundByImport(t *testing.T) {
	const source = `package p

import (
	"log"
	stop "os"
	"example.org/os"
)

func f() {
	stop.Exit(1)
	log.Fatalln("x")
	log.Println("x")
	g := log.Fatal
	g()
	os.Exit(1)
}
`
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, "p.go", source, 0)
	require.NoError(t, err)
	require.Equal(t, []string{"p.go:10:2: os.Exit", "p.go:11:2: log.Fatalln", "p.go:13:7: log.Fatal"}, exits(set, file))
}

func TestBooleanParametersAreFound(t *testing.T) {
	const source = `package p

func Open(name string, create bool) {}
func Each(names ...bool)            {}
func open(create bool) bool         { return create }
func Walk(f func(bool)) bool        { return true }

type disk interface {
	Close(sync bool)
	Sync() bool
}
`
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, "p.go", source, 0)
	require.NoError(t, err)
	require.Equal(t, []string{"p.go:3:6: Open", "p.go:4:6: Each", "p.go:9:2: Close"}, bools(set, file))
}

// The answer of the go command: packages of the module are named by their relative path, and a package that does not
// load is an error and not an empty one.
func TestDecode(t *testing.T) {
	graph, err := decode([]byte(`
		{"ImportPath": "io", "Standard": true, "Name": "io"}
		{"ImportPath": "example.org/m/a", "Name": "a", "Module": {"Path": "example.org/m", "Main": true},
		 "Imports": ["io", "example.org/m"], "TestImports": ["testing"], "XTestImports": ["testing", "example.org/m/a"]}
		{"ImportPath": "example.org/m", "Name": "main", "Module": {"Path": "example.org/m", "Main": true}}`))
	require.NoError(t, err)
	require.Equal(t, []string{".", "a"}, graph.own())
	require.Equal(t, []string{".", "io"}, graph["a"].Imports)
	require.Equal(t, []string{"a", "testing"}, graph["a"].TestImports)
	require.True(t, graph["."].Main)
	require.True(t, graph["io"].Standard)

	_, err = decode([]byte(`{"ImportPath": "m/a", "Module": {"Path": "m", "Main": true}, "Error": {"Err": "no such package"}}`))
	require.ErrorContains(t, err, "m/a does not load: no such package")
	_, err = decode([]byte(`{"ImportPath": "io", "Standard": true}`))
	require.ErrorContains(t, err, "no package of the module")
}

func TestTestHelpersAreRecognised(t *testing.T) {
	helpers := []string{internal + "store/mem", internal + "store/metatest", internal + "meta/postgres/pgtest"}
	others := []string{internal + "store", internal + "store/memory", "tests/e2e", "test", "net/http"}
	require.False(t, slices.ContainsFunc(others, isTestHelper))
	for _, path := range helpers {
		require.True(t, isTestHelper(path), path)
	}
}
