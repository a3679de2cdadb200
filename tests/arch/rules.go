package arch

// Rules is what Check compares a Graph with. One rule has no exceptions and therefore no entry: exported functions and methods
// have no boolean parameters, because a call does not show what true means.
//
// Paths are relative to the module; a path that ends in /... means the package and all below it.
type Rules struct {
	// Imports lists, for each package, the packages of this module that it may
	// import outside its tests. A package that no row names is a violation, and
	// so is one that two rows name.
	Imports []Row
	// Everywhere may be imported by each package that has a row under Below.
	Everywhere []string
	Below      string
	// Libraries lists the only places where an outside library may be imported,
	// tests included.
	Libraries []Library
	// Binaries lists what must not be linked into a main package, however
	// indirectly.
	Binaries []Binary
	// TestOnly packages may be imported from tests, from each other and from
	// what is below TestRoots.
	TestOnly  func(path string) bool
	TestRoots []string
	// StandardOnly packages import nothing but the standard library and each other.
	StandardOnly []string
	// MaxSteps is the longest chain of imports inside the module, MaxLines the largest package in lines, MaxMainLines
	// the largest main package; tests and generated code are not counted.
	MaxSteps, MaxLines, MaxMainLines int
	// Smaller are packages with a lower limit than MaxLines.
	Smaller []Limit
	// MayExit are the packages besides main packages and test helpers that may
	// end the process.
	MayExit []string
}

// Row is one package and what it may import of this module.
type Row struct {
	Package string
	May     []string
}

// Limit is a package and the lines that it may have.
type Limit struct {
	Package string
	Lines   int
}

// Library is an outside module, by import path prefix, and where it may be imported.
type Library struct {
	Name   string
	Places []string
}

// Binary is a main package and what it must not link: packages of this module
// by their relative path, others by import path prefix.
type Binary struct {
	Package string
	Not     []string
}

// Short names for the rows of the table.
const (
	internal = "daemon/internal/"
	wireNode = "proto/storage/v1"
	wireRing = "proto/cluster/v1"
)

// ringstore are the rules of this module. In the rows of daemon/internal a package is below everything that it may
// import: the order of the layers is the order of this table. All of them may import the domain: attr, store and chunk.
var ringstore = Rules{
	Everywhere: []string{internal + "attr", internal + "store", internal + "chunk", internal + "wait"},
	Below:      "daemon/...",

	Imports: []Row{
		// The domain, its conformance suites, and the fakes that pass them.
		{internal + "attr", nil},
		{internal + "store", append(in("attr"), "proto/problem")},
		{internal + "store/eventof", nil},
		{internal + "store/metatest", in("store/eventof")},
		{internal + "chunk", nil},
		{internal + "chunk/chunktest", nil},
		{internal + "store/jobstate", in("store/eventof")},
		{internal + "store/logrule", nil},
		{internal + "store/valid", nil},

		{internal + "wait", nil},

		// The request id of log lines; below all that logs.
		{internal + "telemetry", nil},

		// The centre: no disk, no network, no SQL.
		{internal + "ring", nil},
		{internal + "placement", nil},
		{internal + "store/mem", in("placement", "store/eventof", "store/jobstate", "store/logrule", "store/valid")},
		{internal + "writemem", nil},
		{internal + "erasure", in("writemem")},
		{internal + "cluster", in("ring", "placement")},
		{internal + "bufpool", nil},
		{internal + "vfs", nil},
		{internal + "vfs/vfstest", in("vfs")},
		{internal + "connlimit", nil},
		{internal + "access", in("vfs", "connlimit")}, // vfs, to keep the master key's file
		{internal + "stripe", in("bufpool", "placement", "erasure", "cluster")},
		{internal + "engine", append(in("placement", "writemem", "erasure", "cluster", "bufpool", "stripe"), "proto/checksum")},
		{internal + "meta/pack", nil}, // encodings that columns and the metadata log share
		{internal + "metalog", in("meta/pack")},
		{internal + "metalog/replay", in("metalog")},
		{internal + "upkeep", in("stripe")},
		{internal + "upkeep/loop/changes", in("upkeep")},
		{internal + "upkeep/loop/expire", in("upkeep")},
		{internal + "upkeep/loop/reclaim", in("cluster", "upkeep")},
		{internal + "upkeep/loop/repair", in("placement", "cluster", "bufpool", "stripe", "upkeep")},
		{internal + "upkeep/loop/review", in("cluster", "placement", "upkeep")},
		{internal + "upkeep/loop/trim", in("upkeep")},
		{internal + "upkeep/loop/logwriter", in("placement", "bufpool", "metalog", "stripe", "upkeep")},
		{internal + "upkeep/upkeeptest", in("store/mem", "erasure", "cluster", "upkeep")},

		// Adapters: each knows the domain and one technology, none knows another.
		{internal + "chunkfs/format", nil},
		{internal + "chunkfs/index", in("chunkfs/format")},
		{internal + "chunkfs/space", in("vfs")},
		{internal + "chunkfs/disk", nil},
		{internal + "chunkfs/segment", in("vfs", "chunkfs/disk", "chunkfs/format", "chunkfs/index", "chunkfs/space")},
		{internal + "chunkfs", in("bufpool", "vfs", "chunkfs/disk", "chunkfs/format", "chunkfs/index", "chunkfs/space", "chunkfs/segment")},
		{internal + "meta/listing", nil},
		{internal + "meta/postgres/link", nil},
		{internal + "meta/postgres/db", append(in("meta/postgres/link"), "sql", "sql/postgres")},
		{internal + "meta/postgres/control", in("store/eventof", "store/jobstate", "store/valid", "meta/pack", "meta/postgres/db")},
		{internal + "meta/postgres/scan", in("meta/pack")},
		{internal + "meta/postgres/group", in("meta/postgres/link")},
		{internal + "meta/postgres/queue", in("placement", "meta/postgres/db")},
		{internal + "meta/postgres", in("store/eventof", "store/logrule", "store/valid", "placement", "meta/listing", "meta/pack", "meta/postgres/link", "meta/postgres/db", "meta/postgres/control", "meta/postgres/scan", "meta/postgres/group", "meta/postgres/queue")},
		{internal + "meta/postgres/pgtest", []string{internal + "meta/postgres", "sql/postgres", "tests/pgserver"}},
		{internal + "meta/sqlite/failure", nil},
		{internal + "meta/sqlite/reserve", nil},
		{internal + "meta/sqlite/db", append(in("meta/sqlite/failure", "meta/sqlite/reserve"), "sql", "sql/sqlite")},
		{internal + "meta/sqlite/control", in("store/eventof", "store/jobstate", "store/valid", "meta/pack", "meta/sqlite/db")},
		{internal + "meta/sqlite/scan", in("meta/pack", "meta/sqlite/db")},
		{internal + "meta/sqlite", in("store/eventof", "store/logrule", "store/valid", "placement", "meta/listing", "meta/pack", "meta/sqlite/db", "meta/sqlite/control", "meta/sqlite/scan")},
		{internal + "meta/watch", nil},
		{internal + "rpc", append(in("bufpool", "telemetry", "connlimit", "access"), wireNode)},
		{internal + "rpc/chunks", append(in("bufpool", "rpc"), wireNode)},
		{internal + "rpc/data", in("access", "bufpool", "connlimit", "rpc", "rpc/chunks", "telemetry")},
		{internal + "rpc/member", append(in("bufpool", "rpc"), wireRing)},
		{internal + "rpc/rpctest", in("rpc")},
		{internal + "httpedge", append(in("access", "telemetry"), "proto/rest", "proto/checksum")},
		{internal + "restapi/tus", in("engine", "httpedge")},
		{internal + "restapi", append(in("cluster", "access", "engine", "httpedge", "restapi/tus"), "proto/rest", "proto/rest/server", "proto/checksum")},

		// Services of a process: settings, start and stop, logs.
		{internal + "conf", nil},
		{internal + "lifecycle", nil},

		// Composition roots wire everything, and are imported by cmd only.
		{"daemon/gateway", []string{internal + "..."}},
		{"daemon/storage", in("bufpool", "chunkfs", "rpc", "rpc/chunks", "rpc/data", "rpc/member", "conf", "lifecycle", "telemetry")},
		// profile, because standalone writes the `local` profile that s3ctl reads.
		{"daemon/standalone", []string{internal + "...", "daemon/gateway", "profile"}},
		{"cmd/s3gateway", []string{"daemon/gateway", "daemon/standalone"}},
		{"cmd/s3storage", []string{"daemon/storage"}},

		// Contracts on the wire and in SQL import nothing else of the module.
		{wireNode, nil},
		{wireRing, []string{wireNode}},
		{"proto/problem", nil},
		{"proto/checksum", nil},
		{"proto/rest", nil},
		{"proto/rest/server", []string{"proto/rest"}},
		{"sql/...", nil},

		// Profiles of s3ctl: a file that both the tool and standalone write.
		{"profile", nil},

		// The operator's tool uses REST only and imports nothing of the daemons.
		{"ctl/...", []string{"ctl/...", "profile", "proto/problem", "proto/rest", "proto/checksum"}},
		{"cmd/s3ctl", []string{"ctl"}},

		// Tests outside the packages that they test may use everything.
		{"tests/arch", nil},
		{"tests/pgserver", nil},
		{"tests/sqlsubset", []string{"sql/postgres"}},
		{"tests/relay", nil},
		{"tests/fulldisk", nil},
		{"tests/cluster", []string{"tests/pgserver"}},
		{"tests/script", []string{"tests/cluster"}},
		{"tests/e2e", []string{"tests/cluster"}},
		{"tests/integration", []string{"tests/cluster", "ctl/client", "ctl/fault", "profile", "proto/rest", "proto/checksum"}},
		{"tests/chaos/...", []string{wireNode, "tests/cluster", "tests/pgserver", "tests/relay", "ctl/client", "profile"}},
		{"tests/bench/...", []string{"tests/cluster", "tests/relay"}},
	},

	Libraries: []Library{
		{"github.com/jackc/pgx", []string{internal + "meta/postgres/...", "tests/..."}},
		{"modernc.org/sqlite", []string{internal + "meta/sqlite/..."}},
		{"github.com/pressly/goose", []string{internal + "meta/..."}},
		{"github.com/labstack/echo", []string{internal + "httpedge", internal + "restapi/...", internal + "s3api", "daemon/gateway", "proto/rest/server"}},
		{"github.com/getkin/kin-openapi", []string{internal + "restapi", "proto/rest/server", "tests/..."}},
		{"google.golang.org/grpc", []string{internal + "rpc/...", "daemon/gateway", "daemon/storage", "daemon/standalone", wireNode, wireRing, "tests/..."}},
		{"github.com/spf13/cobra", []string{"ctl/..."}},
		{"charm.land/bubbletea", []string{"tui/..."}},
		{"github.com/charmbracelet/bubbletea", []string{"tui/..."}},
		{"github.com/schollz/progressbar", []string{"ctl/term"}},
		{"go.yaml.in/yaml", []string{internal + "conf"}},
		{"github.com/klauspost/reedsolomon", []string{internal + "erasure"}},
	},

	Binaries: []Binary{
		{"cmd/s3gateway", []string{
			"charm.land/bubbletea", "github.com/charmbracelet/bubbletea",
			"github.com/schollz/progressbar", "github.com/spf13/cobra", "github.com/stretchr/testify",
			"ctl/...", "tui/...",
		}},
		{"cmd/s3storage", []string{
			"github.com/jackc/pgx", "modernc.org/sqlite", "github.com/pressly/goose", "database/sql",
			"github.com/labstack/echo", "charm.land/bubbletea", "github.com/charmbracelet/bubbletea",
			"github.com/schollz/progressbar", "github.com/spf13/cobra", "github.com/stretchr/testify",
			internal + "engine", internal + "upkeep/...", internal + "meta/...", internal + "restapi",
			"sql/...", "ctl/...", "tui/...",
		}},
		{"cmd/s3ctl", []string{
			"daemon/...", "sql/...", wireNode, wireRing, "proto/rest/server",
			"github.com/labstack/echo", "github.com/jackc/pgx", "modernc.org/sqlite", "google.golang.org/grpc", "github.com/stretchr/testify",
		}},
	},

	TestOnly:     isTestHelper,
	TestRoots:    []string{"tests/..."},
	StandardOnly: []string{internal + "attr", internal + "store", "profile", "proto/problem"},
	MaxSteps:     10, // the last step leads from the domain to proto/problem, which only has the kinds of errors
	MaxLines:     2500,
	MaxMainLines: 30,
	Smaller: []Limit{
		{internal + "engine", 2000},
		{internal + "upkeep/loop/repair", 450},
	},
	MayExit: []string{"tests/..."},
}

// in gives the full paths of packages of daemon/internal.
func in(names ...string) []string {
	paths := make([]string, len(names))
	for i, name := range names {
		paths[i] = internal + name
	}
	return paths
}

// isTestHelper reports packages that exist for tests: those named *test, and the in-memory stores.
func isTestHelper(path string) bool {
	return path == internal+"store/mem" || len(path) > len("test") && path[len(path)-len("test"):] == "test"
}
