package ctl

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/resttest"
	"github.com/ringstore/ringstore/profile"
	"github.com/ringstore/ringstore/proto/rest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// Each command in three forms: on a terminal, in a pipe, and as JSON. The golden files are the contract with scripts;
// docs/json-output.md describes the JSON.
func TestGolden(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		args  []string
		stdin string
	}{
		"put":            {args: []string{"put", "DIR/a.txt", "s3://default/new/"}},
		"put-stream":     {args: []string{"put", "-", "s3://default/stream"}, stdin: "from a pipe"},
		"put-recursive":  {args: []string{"put", "-j1", "-r", "DIR/photos", "s3://default"}},
		"get":            {args: []string{"get", "s3://default/hello.txt", "DIR/out.txt"}},
		"get-recursive":  {args: []string{"get", "-j1", "-r", "s3://default/logs", "DIR/out"}},
		"get-partial":    {args: []string{"get", "-j1", "-r", "s3://default", "DIR/out"}},
		"ls-buckets":     {args: []string{"ls"}},
		"ls":             {args: []string{"ls", "s3://default"}},
		"ls-long":        {args: []string{"ls", "-l", "-r", "s3://default/l"}},
		"ls-wildcard":    {args: []string{"ls", "s3://default/**1.gz"}},
		"rm":             {args: []string{"rm", "s3://default/hello.txt", "s3://default/absent"}},
		"stat":           {args: []string{"stat", "s3://default/hello.txt"}},
		"bucket-create":  {args: []string{"bucket", "create", "s3://photos"}},
		"bucket-ls":      {args: []string{"bucket", "ls"}},
		"bucket-rm":      {args: []string{"bucket", "rm", "empty"}},
		"profile-ls":     {args: []string{"profile", "ls"}},
		"profile-add":    {args: []string{"profile", "add", "prod", "--endpoint", "https://store.example/", "--access-key", "RK7", "--no-check"}, stdin: "sec\n"},
		"profile-denied": {args: []string{"profile", "add", "prod", "--endpoint", "URL", "--access-key", "RK7"}, stdin: "sec\n"},
		"profile-show":   {args: []string{"profile", "show"}},
		"version":        {args: []string{"version"}},
		"version-flag":   {args: []string{"--version"}},
		"man-dir":        {args: []string{"man", "--dir", "DIR/man"}},
		"profile-use":    {args: []string{"profile", "use", "local"}},
		"profile-rm":     {args: []string{"profile", "rm", "local"}},
		"error":          {args: []string{"put", "DIR/a.txt", "s3://nope/x"}},
		"put-dry-run":    {args: []string{"put", "-rn", "DIR/photos", "s3://empty"}},
		"get-dry-run":    {args: []string{"get", "-n", "-r", "s3://default/logs", "DIR/new"}},
		"ls-print0":      {args: []string{"ls", "-0", "s3://default"}},
		"error-usage":    {args: []string{"get", "--nope"}},
		"error-no-items": {args: []string{"ls", "s3://nope"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			golden(t, name, tc.args, tc.stdin, fill)
		})
	}
}

// golden runs a command line in the three forms, each on a new server with the same content.
func golden(t *testing.T, name string, args []string, stdin string, fill func(*rig)) {
	t.Helper()
	for _, form := range []string{"terminal", "pipe", "json"} {
		r := newRig(t)
		fill(r)
		if strings.HasPrefix(name, "profile") && name != "profile-denied" {
			p := r.Profile()
			p.Endpoint = "http://store.example:8080" // of one length, for the table
			require.NoError(t, r.profiles.Save(profile.Local, p))
		}
		r.stdin, r.tty = stdin, form == "terminal"
		if stdin != "" {
			r.tty = false // on a terminal the command would ask for input
		}
		line := args
		if form == "json" {
			line = append(slices.Clone(args), "--json")
		}
		o := r.run(line...)
		compareGolden(t, filepath.Join("testdata", form, name+".golden"), o)
		if form == "json" {
			requireSchema(t, line, o)
		}
	}
}

func fill(r *rig) {
	r.AddBucket("empty")
	r.Add("default", "hello.txt", "hello\n")
	r.Add("default", "logs/1.gz", "one")
	r.Add("default", "logs/2.gz", strings.Repeat("two", 1000))
	r.Add("default", "../evil\n", "evil")
	r.write("a.txt", "hello\n")
	r.write("photos/1.jpg", "jpg")
	r.write("photos/sub/2.jpg", "jpgjpg")
}

// Progress bars depend on timing, so only lines that remain are compared.
var bars = regexp.MustCompile(`\r[^\n]*?\x1b\[0J`)

func compareGolden(t *testing.T, path string, o outcome) {
	t.Helper()
	errs := bars.ReplaceAllString(o.err, "")
	got := "-- stdout --\n" + o.out + "-- stderr --\n" + strings.TrimLeft(errs, "\n") + "-- exit --\n" + string(rune('0'+o.code/10)) + string(rune('0'+o.code%10)) + "\n"
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "run with -update to write it")
	require.Equal(t, string(want), got)
}

// Every field of every golden line is documented.
func TestDocs_JSONFields(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile(filepath.Join("..", "docs", "json-output.md"))
	require.NoError(t, err)
	paths, err := filepath.Glob(filepath.Join("testdata", "json", "*.golden"))
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, path := range paths {
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		for line := range strings.Lines(string(data)) {
			var object map[string]any
			if json.Unmarshal([]byte(line), &object) == nil {
				requireDocumented(t, string(doc), path, object)
			}
		}
	}
}

func requireDocumented(t *testing.T, doc, path string, object map[string]any) {
	t.Helper()
	for field, value := range object {
		require.Contains(t, doc, "`"+field+"`", "%s has a field that docs/json-output.md lacks", path)
		switch v := value.(type) {
		case map[string]any:
			requireDocumented(t, doc, path, v)
		case []any:
			for _, element := range v {
				if o, ok := element.(map[string]any); ok {
					requireDocumented(t, doc, path, o)
				}
			}
		}
	}
}

func TestDocs_ExitCodesAgreeWithTheTable(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile(filepath.Join("..", "docs", "exit-codes.md"))
	require.NoError(t, err)
	require.Contains(t, string(doc), ExitCodeTable())
	r := newRig(t)
	require.Contains(t, r.ok("help", "exit-codes"), ExitCodeTable()[:200])
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	fill(r)
	deny := func(status int, code rest.ProblemCode) resttest.Hook {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			resttest.Refuse(w, status, code, "because", "")
			return true
		}
	}
	for _, tc := range []struct {
		hook resttest.Hook
		want fault.Exit
		args string
	}{
		{nil, fault.OK, "ls"},
		{nil, fault.OK, "--help"},
		{nil, fault.OK, "--version"},
		{nil, fault.OK, "bucket"},
		{nil, fault.OK, "completion bash"},
		{nil, fault.Usage, "nonsense"},
		{nil, fault.Usage, "bucket nonsense"},
		{nil, fault.Usage, "put"},
		{nil, fault.Usage, "put DIR/a.txt DIR/b.txt"},
		{nil, fault.Usage, "put s3://default/x s3://default/y"},
		{nil, fault.Usage, "put - s3://default/"},
		{nil, fault.Usage, "put - DIR/a.txt s3://default/x/"},
		{nil, fault.Usage, "put --content-type multipart/form-data DIR/a.txt s3://default/x"},
		{nil, fault.Usage, "get DIR/x"},
		{nil, fault.Usage, "get DIR/x s3://default/x DIR/y"},
		{nil, fault.Usage, "get -r s3://default/logs -"},
		{nil, fault.Usage, "cat --range 5 s3://default/hello.txt"},
		{nil, fault.Usage, "cat --range 5-3 s3://default/hello.txt"},
		{nil, fault.Usage, "cat --range - s3://default/hello.txt"},
		{nil, fault.Usage, "cat --range -0 s3://default/hello.txt"},
		{nil, fault.Usage, "rm -r s3://default/logs"},
		{nil, fault.Usage, "rm s3://default/**"},
		{nil, fault.Usage, "bucket ls too many"},
		{nil, fault.Usage, "profile add x"},
		{nil, fault.NotFound, "get s3://default/absent"},
		{nil, fault.NotFound, "cat s3://default/absent*"},
		{nil, fault.NotFound, "stat s3://default/absent"},
		{nil, fault.NotFound, "put DIR/absent s3://default/"},
		{nil, fault.NotFound, "put DIR/absent DIR/absent2 s3://default/"},
		{nil, fault.NotFound, "get s3://default/hello.txt DIR/no/such/folder/x"},
		{nil, fault.NotFound, "ls --profile nope"},
		{nil, fault.NotFound, "profile use nope"},
		{nil, fault.NotFound, "bucket rm nope"},
		{nil, fault.Conflict, "bucket create default"},
		{nil, fault.Conflict, "bucket rm s3://default"},
		{nil, fault.Invalid, "put DIR/photos s3://default/"},
		{nil, fault.Invalid, "put DIR/a.txt DIR/photos/1.jpg s3://default/one"},
		{nil, fault.Invalid, "ls s3:/default"},
		{nil, fault.Invalid, "get s3://default/["},
		{nil, fault.Invalid, "get s3://default"},
		{nil, fault.Invalid, "stat nothing"},
		{nil, fault.Invalid, "bucket create Bad_Name"},
		{nil, fault.Invalid, "bucket create s3://default/key"},
		{nil, fault.Invalid, "bucket create --survive 9 s3://nine"},
		{nil, fault.Invalid, "profile add a/b --endpoint http://x --access-key y"},
		{nil, fault.Invalid, "profile add ab --endpoint nope --access-key y"},
		{nil, fault.Invalid, "cat --range 100- s3://default/hello.txt"},
		{nil, fault.Partial, "put DIR/a.txt DIR/absent s3://default/"},
		{deny(403, rest.CodeDenied), fault.Denied, "ls"},
		{deny(503, rest.CodeUnavailable), fault.Unavailable, "put DIR/a.txt s3://default/"},
		{deny(503, rest.CodeNoQuorum), fault.Unavailable, "put --tries 1 DIR/a.txt s3://default/"},
		{deny(507, rest.CodeNoSpace), fault.NoSpace, "put DIR/a.txt s3://default/"},
		{deny(413, rest.CodeTooLarge), fault.NoSpace, "put DIR/a.txt s3://default/"},
		{deny(400, rest.CodeCorrupt), fault.Corrupt, "put DIR/a.txt s3://default/"},
		{deny(500, rest.CodeInternal), fault.Failed, "bucket ls"},
	} {
		r.SetHook(tc.hook)
		o := r.run(strings.Fields(tc.args)...)
		require.Equal(t, int(tc.want), o.code, "%s: %s", tc.args, o.err)
		require.Equal(t, tc.want == fault.OK, o.err == "", "%s: an error is told, and nothing else: %s", tc.args, o.err)
	}
}

func TestPut_WhatIsStoredWhere(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	fill(r)
	r.ok("put", "DIR/a.txt", "s3://empty")
	r.ok("put", "DIR/a.txt", "s3://empty/../../x*")
	r.ok("put", "-r", "DIR/photos/", "DIR/a.txt", "s3://empty/p")
	require.Equal(t, []string{"../../x*", "a.txt", "p/1.jpg", "p/a.txt", "p/sub/2.jpg"}, r.Names("empty"))
	r.write("a.txt", "changed")
	r.ok("put", "-q", "DIR/a.txt", "s3://empty")
	data, _ := r.Data("empty", "a.txt")
	require.Equal(t, "changed", data)

	o := r.run("put", "DIR/photos/1.jpg", "DIR/a.txt", "DIR/photos/../a.txt", "s3://empty/twice/")
	require.Equal(t, int(fault.Partial), o.code)
	require.Contains(t, o.err, "would get the same key as DIR/a.txt")
	require.Contains(t, o.err, "1 of 3 files failed")
	require.Empty(t, r.ok("put", "-q", "DIR/a.txt", "s3://empty"), "quiet is quiet")
}

func TestGet_WhereItGoes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Add("default", "a", "1")
	r.Add("default", "dir/b", "2")
	r.Add("default", "dir/marker/", "")
	r.Add("default", "x/b", "3")
	r.ok("get", "s3://default/a", "DIR/file")
	r.ok("get", "s3://default/a", "DIR/folder/")
	r.ok("get", "s3://default/dir/b", "DIR/folder")
	r.ok("get", "-r", "s3://default/dir", "DIR/r1")
	r.ok("get", "-r", "s3://default/dir/", "DIR/r2")
	r.ok("get", "s3://default/**b", "DIR/w")
	require.Equal(t, []string{"file", "folder/a", "folder/b", "r1/dir/b", "r2/b", "w/dir/b", "w/x/b"}, r.local())
	require.DirExists(t, filepath.Join(r.dir, "r2", "marker"), "a folder marker is a folder")
	require.Equal(t, "1", r.ok("get", "s3://default/a", "-"))

	o := r.run("get", "s3://default/dir/b", "s3://default/x/b", "DIR/same")
	require.Equal(t, int(fault.Partial), o.code)
	require.Contains(t, o.err, "would be the same local file as s3://default/dir/b")

	require.NoError(t, os.Symlink("/dev/null", filepath.Join(r.dir, "null")))
	r.ok("get", "s3://default/a", "DIR/null")
	target, err := os.Readlink(filepath.Join(r.dir, "null"))
	require.NoError(t, err)
	require.Equal(t, "/dev/null", target, "a device is written to, never replaced")
}

func TestGet_HostileKeysStayOutside(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, key := range []string{"../../evil", "/etc/evil", "a/../../../evil", "a//b", ".", "..", "good", "a/./b"} {
		r.Add("default", key, "x")
	}
	o := r.run("get", "-r", "s3://default", "DIR/in/side")
	require.Equal(t, int(fault.Partial), o.code)
	require.Equal(t, []string{"in/side/good"}, r.local())
	require.Contains(t, o.err, "7 of 8 objects failed")
	require.Contains(t, o.err, "would leave the target folder")

	r.ok("get", "--raw", "s3://default/../../evil", "DIR/named")
	require.Equal(t, "x", r.read("named"), "alone, under a name of one's own, every key can be had")
}

func TestRm_AsksBeforeMuchIsGone(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	fill(r)
	r.tty = true
	r.stdin = "n\n"
	o := r.run("rm", "-r", "s3://default/logs")
	require.Equal(t, int(fault.Interrupted), o.code)
	require.Contains(t, o.err, "Remove 2 objects (2.9 KiB)? [y/N]")
	require.Len(t, r.Names("default"), 4)
	r.stdin = "y\n"
	require.Zero(t, r.run("rm", "-r", "s3://default/logs", "s3://default/log*").code, "named twice, removed once")
	require.Equal(t, []string{"../evil\n", "hello.txt"}, r.Names("default"))
	r.tty = false
	r.ok("rm", "-r", "--yes", "s3://default")
	require.Empty(t, r.Names("default"))
}

func TestRm_WhatWasReplacedMeanwhileStays(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Add("default", "k", "old")
	r.SetHook(func(_ http.ResponseWriter, req *http.Request) bool {
		if req.Method == "DELETE" {
			r.SetHook(nil)
			r.Add("default", "k", "new")
		}
		return false
	})
	r.ok("rm", "s3://default/k")
	data, _ := r.Data("default", "k")
	require.Equal(t, "new", data)
}

func TestCat(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Add("default", "a", "0123")
	r.Add("default", "b", "4567")
	require.Equal(t, "01234567", r.ok("cat", "s3://default/?"))
	require.Equal(t, "1256", r.ok("cat", "--range", "1-2", "s3://default/a", "s3://default/b"))
	require.Equal(t, "23", r.ok("cat", "--range", "-2", "s3://default/a"))
	require.Equal(t, "3", r.ok("cat", "--range", "3-", "--json", "s3://default/a"))
}

func TestStat_SaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	chunk := func(node string, reachable bool) rest.Chunk {
		return rest.Chunk{NodeID: node, Node: node, Reachable: reachable}
	}
	for _, tc := range []struct {
		survives int
		status   rest.FileStatus
		chunks   []rest.Chunk
		want     string
	}{
		{2, rest.StatusCompleted, []rest.Chunk{chunk("a", true), chunk("b", true), chunk("c", true)}, "survives any 2 of its 3 nodes failing"},
		{1, rest.StatusCompleted, []rest.Chunk{chunk("a", true), chunk("b", true), chunk("c", false)}, "survives any one of its 2 nodes failing; its bucket requires 2; 1 chunk not reachable"},
		{0, rest.StatusCompleted, []rest.Chunk{chunk("a", true), {}, {}}, "does not survive the failure of its one node; its bucket requires 2; 2 chunks queued for repair"},
		{-1, rest.StatusCompleted, []rest.Chunk{chunk("a", false)}, "cannot be read now: too many of its nodes are unreachable"},
		{2, rest.StatusCompleted, nil, "empty: there are no bytes to lose"},
		{2, rest.StatusUploading, nil, "not stored: its upload is uploading"},
	} {
		r := newRig(t)
		f := r.Add("default", "k", "")
		r.SetHook(func(w http.ResponseWriter, req *http.Request) bool {
			if !strings.HasSuffix(req.URL.Path, "/metadata") {
				return false
			}
			m := resttest.Describe(f)
			m.Survives, m.Status, m.Parts = tc.survives, tc.status, []rest.Part{{Chunks: tc.chunks}}
			_ = json.NewEncoder(w).Encode(m)
			return true
		})
		require.Contains(t, r.ok("stat", "s3://default/k"), "safety\t"+tc.want+"\n")
		r.tty = true
		require.Contains(t, r.ok("stat", "s3://default/k", "s3://default/k"), tc.want)
	}
}

func TestProfiles(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.env[profile.EnvSecret] = "from-env"
	r.ok("profile", "add", "other", "--endpoint", r.URL, "--access-key", resttest.AccessKey, "--use", "-q", "--no-check")
	require.Equal(t, int(fault.Denied), r.run("ls").code, "the environment's secret is the wrong one")
	delete(r.env, profile.EnvSecret)
	require.Equal(t, int(fault.Denied), r.run("ls").code)
	require.Zero(t, r.run("ls", "--profile", "local").code)
	r.env[profile.EnvProfile] = "local"
	require.Zero(t, r.run("ls").code)
	require.NotContains(t, r.ok("profile", "ls")+r.ok("profile", "ls", "--json"), "secret")

	require.NoError(t, os.WriteFile(string(r.profiles), []byte("{half"), 0o600))
	for _, args := range [][]string{{"ls"}, {"profile", "ls"}, {"profile", "use", "x"}} {
		o := r.run(args...)
		require.Equal(t, int(fault.Failed), o.code)
		require.Contains(t, o.err, "profiles in PROFILES cannot be read")
		require.Contains(t, o.err, "next: repair PROFILES")
	}
}

func TestInterrupted_LeavesNothingBehind(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"get", "-r", "s3://default", "DIR/in"},
		{"get", "s3://default/a", "DIR/in"},
		{"put", "DIR/local", "s3://default/b"},
		{"cat", "s3://default/a"},
		{"ls", "s3://default"},
		{"rm", "s3://default/a"},
	} {
		r := newRig(t)
		r.Add("default", "a", "x")
		r.write("local", "x")
		ctx, cancel := context.WithCancel(t.Context())
		r.SetHook(func(_ http.ResponseWriter, req *http.Request) bool {
			listing := req.Method == "GET" && req.URL.Path == "/files" && args[0] != "ls"
			if !listing {
				_, _ = io.Copy(io.Discard, req.Body) // the server notices the disconnect only when it reads
				cancel()
				<-req.Context().Done()
			}
			return !listing
		})
		o := r.runContext(ctx, args...)
		require.Equal(t, int(fault.Interrupted), o.code, "%v: %s", args, o.err)
		require.Contains(t, o.err, "interrupted")
		require.Equal(t, []string{"local"}, r.local(), "%v", args)
		require.Equal(t, []string{"a"}, r.Names("default"), "%v", args)
	}
}

func TestMain_ReadsTheEnvironmentOfTheProcess(t *testing.T) {
	s := resttest.New(t)
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	var out, errs bytes.Buffer
	code := Main(t.Context(), []string{"ls"}, strings.NewReader(""), &out, &errs)
	require.Equal(t, int(fault.NotFound), code)
	require.Contains(t, errs.String(), `s3ctl: ls: profile "local" does not exist, and there is no other`)
	require.Contains(t, errs.String(), "next: start a server here with `make up`")

	t.Setenv(profile.EnvEndpoint, s.URL)
	t.Setenv(profile.EnvAccessKey, resttest.AccessKey)
	t.Setenv(profile.EnvSecret, resttest.Secret)
	errs.Reset()
	require.Zero(t, Main(t.Context(), []string{"ls"}, strings.NewReader(""), &out, &errs), errs.String())
	require.Equal(t, "s3://default\n", out.String())
}
