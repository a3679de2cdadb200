package ctl

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/resttest"
	"github.com/ringstore/ringstore/proto/rest"
)

// The commands that work on many objects, in the three forms; see TestGolden.
func TestGolden_Objects(t *testing.T) {
	t.Parallel()
	for name, args := range map[string]string{
		"cp":             "cp s3://default/hello.txt s3://empty/copy.txt",
		"cp-put":         "cp DIR/a.txt s3://empty",
		"cp-get":         "cp -n s3://default/hello.txt DIR/",
		"mb":             "mb --survive 1 s3://another",
		"rb":             "rb s3://empty s3://nope",
		"stat-long":      "stat -l s3://default/logs/2.gz",
		"cp-dry-run":     "cp -rn s3://default/logs s3://empty",
		"cp-partial":     "cp -j1 s3://default/hello.txt s3://default/absent s3://default/old/",
		"mv":             "mv s3://default/hello.txt s3://empty",
		"mv-dry-run":     "mv -n s3://default/logs/*.gz s3://default/old/",
		"mv-local":       "mv DIR/a.txt s3://default",
		"rm-dry-run":     "rm -rn --exclude 2.gz s3://default/logs",
		"ls-total":       "ls -r --total s3://default/logs",
		"find":           "find s3://default --larger 3 --name *.gz",
		"find-long":      "find --human s3://default --newer 2026-01-02T03:04:08Z",
		"du":             "du s3://default",
		"tree":           "tree --sizes s3://default",
		"diff":           "diff DIR/photos s3://default/photos",
		"diff-file":      "diff DIR/a.txt s3://default/hello.txt",
		"diff-linked":    "diff DIR/linked s3://default/photos/sub",
		"diff-same":      "diff s3://default/logs s3://default/logs/",
		"verify":         "verify -j1 -r s3://default/logs",
		"sync-put":       "sync -j1 DIR/photos s3://default/photos --delete --yes",
		"sync-get":       "sync -j1 s3://default/logs DIR/logs",
		"sync-copy":      "sync -j1 s3://default/logs s3://empty/logs",
		"sync-dry-run":   "sync --delete --dry-run s3://default/photos DIR/photos",
		"sync-refuses":   "sync --delete s3://default/logs DIR/photos",
		"session-ls":     "session ls s3://default/big",
		"session-abort":  "session abort 00000000-0000-7000-9000-000000000009 nope",
		"session-except": "session abort --all -n s3://default/big",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stdin := ""
			if name == "sync-refuses" {
				stdin = "nobody" // is no terminal
			}
			golden(t, name, strings.Fields(args), stdin, fillMore)
		})
	}
}

func fillMore(r *rig) {
	fill(r)
	r.Add("default", "photos/1.jpg", "jpg")
	r.Add("default", "photos/9.jpg", "jpg of long ago")
	r.Add("default", "photos/sub/2.jpg", "JPGJPG")
	r.Add("default", "photos/sub/dir/", "")
	r.write("linked/2.jpg", "JPGJPG")
	require.NoError(r.t, os.Symlink("../photos", filepath.Join(r.dir, "linked", "dir")))
	c := client.New(client.Config{Profile: r.Profile()})
	defer c.Close()
	size := int64(100)
	for _, name := range []string{"big", "bigger", "big/one"} {
		s, err := c.CreateSession(context.Background(), rest.NewSession{Bucket: "default", Name: name, Size: &size})
		require.NoError(r.t, err)
		_, err = c.PutPart(context.Background(), client.PartUpload{Session: s.SessionID, Number: 1, Size: 5, Body: strings.NewReader("12345")})
		require.NoError(r.t, err)
	}
}

func TestExitCodes_Objects(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	fillMore(r)
	for _, tc := range []struct {
		want fault.Exit
		args string
	}{
		{fault.Usage, "cp s3://default/hello.txt"},
		{fault.Usage, "mv s3://default/hello.txt DIR"},
		{fault.Usage, "mv DIR/a.txt DIR/b.txt"},
		{fault.Usage, "cp --include [x s3://default/hello.txt s3://empty"},
		{fault.Usage, "sync DIR/photos DIR/other"},
		{fault.Usage, "sync --delete DIR/photos s3://default"},
		{fault.Usage, "du --depth -1 s3://default"},
		{fault.Usage, "tree --depth -1 s3://default"},
		{fault.Usage, "find s3://default --newer yesterday"},
		{fault.Usage, "find s3://default --larger much"},
		{fault.Usage, "session abort"},
		{fault.Usage, "session abort s3://default"},
		{fault.Usage, "session abort --all 0000"},
		{fault.Usage, "session abort --all s3://default"},
		{fault.Usage, "session nonsense"},
		{fault.NotFound, "cp s3://default/absent s3://empty"},
		{fault.NotFound, "cp s3://default/hello.txt s3://nope"},
		{fault.NotFound, "mv s3://default/absent* s3://empty"},
		{fault.NotFound, "mv s3://default/hello.txt s3://nope"},
		{fault.NotFound, "sync DIR/absent s3://default"},
		{fault.NotFound, "sync s3://default/absent DIR/new"},
		{fault.NotFound, "sync s3://nope DIR/new"},
		{fault.NotFound, "du s3://nope"},
		{fault.NotFound, "find s3://nope"},
		{fault.NotFound, "tree s3://nope"},
		{fault.NotFound, "diff DIR/absent s3://default"},
		{fault.NotFound, "diff s3://nope s3://default"},
		{fault.NotFound, "verify -r s3://default/absent"},
		{fault.NotFound, "session ls s3://nope"},
		{fault.NotFound, "session abort nope"},
		{fault.Conflict, "cp s3://default/hello.txt s3://default/hello.txt"},
		{fault.Conflict, "mv s3://default/hello.txt s3://default"},
		{fault.Conflict, "sync s3://default s3://default/backup"},
		{fault.Invalid, "cp s3://default/hello.txt s3://default/photos/1.jpg s3://default/x"},
		{fault.Invalid, "find s3://default --name [x"},
		{fault.Invalid, "sync DIR/a.txt s3://default"},
		{fault.NotFound, "diff DIR/a.txt s3://default/absent"},
		{fault.NotFound, "diff s3://default/absent/ DIR/a.txt"},
		{fault.NotFound, "diff DIR/a.txt DIR/absent"},
		{fault.NotFound, "diff DIR/a.txt s3://nope"},
		{fault.Different, "diff DIR/photos s3://default/photos"},
		{fault.Different, "diff s3://default/logs s3://empty"},
		{fault.Different, "diff DIR/photos/1.jpg s3://default/hello.txt"},
		{fault.Different, "diff DIR/photos/1.jpg DIR/a.txt"},
		{fault.OK, "diff s3://default/hello.txt DIR/a.txt"},
		{fault.OK, "diff DIR/a.txt DIR"},
		{fault.OK, "diff s3://default/logs s3://default/logs"},
		{fault.OK, "diff --include nothing s3://default/logs s3://default/photos"},
		{fault.OK, "du s3://empty"},
		{fault.OK, "tree s3://empty"},
		{fault.OK, "find s3://empty"},
		{fault.OK, "session ls"},
	} {
		o := r.run(strings.Fields(tc.args + " -q")...)
		require.Equal(t, int(tc.want), o.code, "%s: %s", tc.args, o.err)
		require.Equal(t, tc.want == fault.OK, o.err == "", "%s: an error is told, and nothing else: %s", tc.args, o.err)
	}
	require.Equal(t, []string{"a.txt", "linked/2.jpg", "linked/dir", "photos/1.jpg", "photos/sub/2.jpg"}, r.local())
}

func TestCp_KeepsTypeAndMetadata(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.AddBucket("other")
	r.AddWith("default", "d/a", "text/x", map[string]string{"mtime": "2026-01-01T00:00:00Z"}, "bytes")
	r.Add("default", "d/sub/b", "more")
	r.ok("cp", "-r", "s3://default/d", "s3://other/p")
	r.ok("cp", "s3://default/d/*", "s3://other/flat/")
	r.ok("cp", "s3://default/d/a", "s3://other/one")
	require.Equal(t, []string{"flat/a", "one", "p/d/a", "p/d/sub/b"}, r.Names("other"))
	f, _ := r.File("other", "p/d/a")
	require.Equal(t, "text/x", f.ContentType)
	require.Equal(t, "2026-01-01T00:00:00Z", f.Meta["mtime"])
	require.Equal(t, []string{"d/a", "d/sub/b"}, r.Names("default"), "sources stay")
}

func TestCp_ACopyThatIsNotTheSameIsToldOf(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Add("default", "a", "bytes")
	r.Damage("default", "a")
	o := r.run("cp", "s3://default/a", "s3://default/b")
	require.Equal(t, int(fault.Corrupt), o.code)
	require.Contains(t, o.err, "next: check that the source can be read: s3ctl verify s3://default/a")
}

func TestMv_IsOneStepAndLosesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.AddBucket("other")
	a := r.Add("default", "d/x", "outer")
	r.Add("default", "d/d/x", "inner")
	o := r.run("mv", "-r", "s3://default/d/", "s3://default/d/d")
	require.Equal(t, int(fault.Partial), o.code)
	require.Contains(t, o.err, "would replace s3://default/d/d/x, which is also a source")
	require.Equal(t, []string{"d/d/d/x", "d/x"}, r.Names("default"), "what would replace a source stays")

	r.ok("mv", "s3://default/d/x", "s3://other/y")
	moved, ok := r.File("other", "y")
	require.True(t, ok)
	require.Equal(t, a.FileID, moved.FileID, "the same file under another name")

	r.Add("other", "e/same", "1")
	r.Add("other", "f/same", "2")
	o = r.run("mv", "s3://other/**same", "s3://default/flat/same")
	require.Equal(t, int(fault.Invalid), o.code, "several objects need a folder")
	o = r.run("mv", "s3://other/e/same", "s3://other/f/same", "s3://default/flat/")
	require.Equal(t, int(fault.Partial), o.code)
	require.Contains(t, o.err, "would get the same key as s3://other/e/same")
}

func TestFilters_OfEveryVerb(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ args, want string }{
		{"cp -r s3://default/ s3://other --exclude *.tmp", "a b/c.jpg"},
		{"mv -r s3://default/ s3://other --include *.jpg", "b/c.jpg"},
		{"sync s3://default s3://other --exclude b", "a x.tmp"},
	} {
		r := newRig(t)
		r.AddBucket("other")
		for _, name := range []string{"a", "b/c.jpg", "x.tmp"} {
			r.Add("default", name, name)
		}
		r.ok(strings.Fields(tc.args)...)
		require.Equal(t, strings.Fields(tc.want), r.Names("other"), tc.args)
	}
	r := newRig(t)
	for _, name := range []string{"a", "b/c.jpg", "x.tmp"} {
		r.write("in/"+name, name)
	}
	r.ok("put", "-r", "--exclude", "*.tmp", "DIR/in/", "s3://default/p")
	r.ok("put", "--include", "x.*", "DIR/in/a", "DIR/in/x.tmp", "s3://default/q/")
	require.Equal(t, []string{"p/a", "p/b/c.jpg", "q/x.tmp"}, r.Names("default"))
	r.ok("get", "-r", "--exclude", "/p/b", "s3://default/p", "DIR/out")
	r.ok("get", "--exclude", "q", "s3://default/**.*", "DIR/flat")
	require.Equal(t, []string{"flat/p/b/c.jpg", "in/a", "in/b/c.jpg", "in/x.tmp", "out/p/a"}, r.local())

	r = newRig(t)
	r.Add("default", "a", "1")
	r.Add("default", "x.tmp", "22")
	require.Equal(t, "1\t1\ts3://default\n", r.ok("du", "-d0", "s3://default", "--exclude", "*.tmp"))
	require.Equal(t, "s3://default/x.tmp\n", r.ok("find", "s3://default", "--include", "*.tmp"))
	require.Equal(t, "s3://default/a\t1\t"+r.crc("a")+"\n", r.ok("verify", "-r", "s3://default", "--include", "a"))
	r.ok("rm", "-r", "--yes", "s3://default", "--include", "*.tmp")
	require.Equal(t, []string{"a"}, r.Names("default"))
}

func (r *rig) crc(name string) string {
	f, ok := r.File("default", name)
	require.True(r.t, ok)
	return f.Checksums.CRC64NVME
}

func TestFind_Conditions(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.AddWith("default", "a.jpg", "image/jpeg", nil, "123")     // stored at 03:04:06.67
	r.AddWith("default", "b/a.jpg", "image/jpeg", nil, "12345") // :07.67
	r.AddWith("default", "b/c.txt", "text/plain", nil, "")      // :08.67
	for args, want := range map[string]string{
		"":                             "a.jpg b/a.jpg b/c.txt",
		"--name a*":                    "a.jpg b/a.jpg",
		"--name ?.txt":                 "b/c.txt",
		"--type image/*":               "a.jpg b/a.jpg",
		"--larger 3":                   "b/a.jpg",
		"--larger 0":                   "a.jpg b/a.jpg",
		"--smaller 3":                  "b/c.txt",
		"--smaller 1KiB --larger 2":    "a.jpg b/a.jpg",
		"--newer 2026-01-02T03:04:07Z": "b/a.jpg b/c.txt",
		"--older 2026-01-02T03:04:07Z": "a.jpg",
		"--older 2026-01-02":           "",
		"--newer 2026-01-02":           "a.jpg b/a.jpg b/c.txt",
		"--older 1s":                   "a.jpg b/a.jpg b/c.txt",
		"--newer 99999999w":            "a.jpg b/a.jpg b/c.txt",
		"--newer 1.5h":                 "",
	} {
		got := strings.ReplaceAll(strings.Join(strings.Fields(r.ok(append([]string{"find", "s3://default"}, strings.Fields(args)...)...)), " "), "s3://default/", "")
		require.Equal(t, want, got, args)
	}
	require.Equal(t, "s3://default/b/a.jpg\ns3://default/b/c.txt\n", r.ok("find", "s3://default/b"), "the prefix is a folder")
}

// du equals sums over the plain list of objects, at every depth.
func TestDu_AgreesWithPlainSums(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sizes := map[string]int{}
	for i, name := range []string{"a", "a/1", "a/b/2", "a/b/c/3", "a-b/4", "a//5", "z/6", "z/y/7"} {
		sizes[name] = i + 1
		r.Add("default", name, strings.Repeat("x", i+1))
	}
	for depth := range 4 {
		var got []string
		for line := range strings.Lines(r.ok("du", "--json", "--depth", fmt.Sprint(depth), "s3://default")) {
			var u struct {
				Prefix        string
				Objects, Size int
			}
			require.NoError(t, json.Unmarshal([]byte(line), &u))
			require.LessOrEqual(t, strings.Count(u.Prefix, "/"), depth)
			objects, size := 0, 0
			for name, n := range sizes {
				if strings.HasPrefix(name, u.Prefix) {
					objects, size = objects+1, size+n
				}
			}
			require.Equal(t, objects, u.Objects, u.Prefix)
			require.Equal(t, size, u.Size, u.Prefix)
			got = append(got, u.Prefix)
		}
		var want []string
		for name := range sizes {
			for i, c := range name {
				if prefix := name[:i+1]; c == '/' && strings.Count(prefix, "/") <= depth {
					want = append(want, prefix)
				}
			}
		}
		slices.Sort(want)
		want = append(slices.Compact(want), "")
		slices.Sort(got)
		slices.Sort(want)
		require.Equal(t, want, got)
	}
}

func TestTree_Depth(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, name := range []string{"a/", "a/b/c/d", "a/e", "f", "g/h\n"} {
		r.Add("default", name, "")
	}
	require.Equal(t, "s3://default\n├── a/\n├── f\n└── g/\n\n2 folders, 1 object, 0 B\n", r.ok("tree", "-d1", "s3://default"))
	require.Equal(t, `s3://default
├── a/
│   ├── b/
│   │   └── c/
│   │       └── d
│   └── e
├── f
└── g/
    └── h\n

4 folders, 4 objects, 0 B
`, r.ok("tree", "s3://default"))
	require.Equal(t, "s3://default/a/\n├── b/\n└── e\n\n1 folder, 1 object, 0 B\n", r.ok("tree", "-d1", "s3://default/a"))
}

func TestVerify_NamesWhatIsDamaged(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Add("default", "good", "good")
	r.Add("default", "bad", "bad")
	r.Damage("default", "bad")
	o := r.run("verify", "s3://default/bad")
	require.Equal(t, int(fault.Corrupt), o.code)
	o = r.run("verify", "-r", "s3://default")
	require.Equal(t, int(fault.Partial), o.code)
	require.Contains(t, o.err, "s3ctl: verify s3://default/bad: 3 bytes with checksum")
	require.Contains(t, o.err, "verify: 1 object good, 4 B")
	require.Equal(t, "s3://default/good\t4\t"+r.crc("good")+"\n", o.out)
}

func TestSession_AbortAllAsks(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	fillMore(r)
	r.tty, r.stdin = true, "n\n"
	o := r.run("session", "abort", "--all", "s3://default/big")
	require.Equal(t, int(fault.Interrupted), o.code)
	require.Contains(t, o.err, "Abort 2 sessions? [y/N]")
	require.Len(t, r.Sessions(), 3)
	r.stdin = "y\n"
	r.ok("session", "abort", "--all", "s3://default/big")
	require.Len(t, r.Sessions(), 1, "the one whose name only begins alike stays")
	r.tty = false
	r.ok("session", "abort", r.Sessions()[0].SessionID)
	require.Empty(t, r.Sessions())
}

// hourAgo sets the modification time of a local file.
func (r *rig) hourAgo(name string, hours int) {
	r.t.Helper()
	at := time.Now().Add(-time.Duration(hours) * time.Hour)
	require.NoError(r.t, os.Chtimes(filepath.Join(r.dir, name), at, at))
}

// result counts the actions that sync reports.
func (r *rig) sync(args ...string) (changed, removed, unchanged int) {
	r.t.Helper()
	out := strings.TrimSpace(r.ok(append([]string{"sync", "--json"}, args...)...))
	var last struct {
		Summary struct{ Changed, Removed, Unchanged int }
	}
	require.NoError(r.t, json.Unmarshal([]byte(out[strings.LastIndexByte(out, '\n')+1:]), &last))
	return last.Summary.Changed, last.Summary.Removed, last.Summary.Unchanged
}

func (r *rig) requireSync(changed, removed, unchanged int, args ...string) {
	r.t.Helper()
	c, d, u := r.sync(args...)
	require.Equal(r.t, []int{changed, removed, unchanged}, []int{c, d, u}, "changed, removed, unchanged")
}

func TestSync_ThereAndBack(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, name := range []string{"a", "a-b", "d/b", "d/e/f", "d.x"} {
		r.write("in/"+name, name)
		r.hourAgo("in/"+name, 5)
	}
	r.requireSync(5, 0, 0, "DIR/in", "s3://default/p")
	r.requireSync(0, 0, 5, "DIR/in/", "s3://default/p/")
	require.Equal(t, []string{"p/a", "p/a-b", "p/d.x", "p/d/b", "p/d/e/f"}, r.Names("default"))

	r.requireSync(5, 0, 0, "s3://default/p", "DIR/out")
	r.requireSync(0, 0, 5, "s3://default/p", "DIR/out")
	r.requireSync(0, 0, 5, "DIR/out", "s3://default/p")
	in, err := os.Stat(filepath.Join(r.dir, "in/a"))
	require.NoError(t, err)
	out, err := os.Stat(filepath.Join(r.dir, "out/a"))
	require.NoError(t, err)
	require.True(t, in.ModTime().Equal(out.ModTime()))

	// A change that keeps the size is detected by the time, or with --checksum by the bytes.
	r.write("in/a", "A")
	r.hourAgo("in/a", 3)
	r.write("in/d/b", "b")
	r.hourAgo("in/d/e/f", 2) // only the time changes
	r.requireSync(2, 0, 3, "--checksum", "DIR/in", "s3://default/p")
	r.requireSync(1, 0, 4, "DIR/in", "s3://default/p")
	data, _ := r.Data("default", "p/a")
	require.Equal(t, "A", data)

	// Between two prefixes the checksums are known.
	r.AddBucket("other")
	r.requireSync(5, 0, 0, "s3://default/p", "s3://other")
	r.requireSync(0, 0, 5, "s3://default/p", "s3://other")
	require.Equal(t, int(fault.OK), r.run("diff", "DIR/in", "s3://other").code)
}

func TestSync_Delete(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write("in/a", "a")
	r.Add("default", "p/a/old", "x")
	r.Add("default", "p/keep.tmp", "x")
	r.Add("default", "pq", "x")
	r.requireSync(1, 0, 0, "DIR/in", "s3://default/p")
	r.requireSync(0, 1, 1, "--delete", "--yes", "--exclude", "*.tmp", "DIR/in", "s3://default/p")
	require.Equal(t, []string{"p/a", "p/keep.tmp", "pq"}, r.Names("default"), "what is excluded, and what only begins alike, stays")

	r.write("out/x/y/z", "z")
	r.write("out/.a.part", "half")
	r.write("out/.a.part.log", `{"format":"s3ctl download","version":1}`+"\n")
	o := r.run("sync", "--delete", "--dry-run", "s3://default/p", "DIR/out")
	require.Contains(t, o.out, "remove\t\tDIR/out/x/y/z\textra\t1\n")
	require.FileExists(t, filepath.Join(r.dir, "out/x/y/z"))
	r.tty, r.stdin = true, "no\n"
	o = r.run("sync", "--delete", "s3://default/p", "DIR/out")
	require.Equal(t, int(fault.Interrupted), o.code)
	require.Contains(t, o.err, "Remove 1 file from DIR/out that s3://default/p/ does not have? [y/N]")
	require.FileExists(t, filepath.Join(r.dir, "out/x/y/z"))
	r.stdin = "y\n"
	require.Zero(t, r.run("sync", "--delete", "s3://default/p", "DIR/out").code)
	require.Equal(t, []string{"in/a", "out/.a.part", "out/.a.part.log", "out/a", "out/keep.tmp"}, r.local(), "a download in progress is not extra")
	require.NoDirExists(t, filepath.Join(r.dir, "out/x"), "folders that are empty now go too")
}

// A file that is removed after it was listed is treated like one removed before: a note, and everything else is done,
// removals included. A folder that is removed hides its content.
func TestSync_Vanished(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for i := range 20 {
		r.write(fmt.Sprintf("in/f%02d", i), "x")
	}
	r.write("in/z/y", "y")
	r.Add("default", "p/old", "x")
	r.Add("default", "p/f19", "older and longer")
	var once sync.Once
	r.SetHook(func(_ http.ResponseWriter, req *http.Request) bool {
		if req.Method == http.MethodPost && req.URL.Path == "/files" {
			once.Do(func() {
				require.NoError(t, os.Remove(filepath.Join(r.dir, "in/f18")))
				require.NoError(t, os.Remove(filepath.Join(r.dir, "in/f19")))
				require.NoError(t, os.RemoveAll(filepath.Join(r.dir, "in/z")))
			})
		}
		return false
	})
	o := r.run("sync", "-j1", "--delete", "--yes", "DIR/in", "s3://default/p")
	require.Zero(t, o.code, o.err)
	for _, name := range []string{"f18", "f19", "z/y"} {
		require.Contains(t, o.err, "sync DIR/in/"+name+": skipped: it was removed meanwhile")
	}
	require.Contains(t, o.err, "18 files changed (18 B), 1 removed, 0 unchanged, 0 failed, 3 skipped")
	names := r.Names("default")
	require.NotContains(t, names, "p/old")
	require.Contains(t, names, "p/f19", "that it vanished in this run is no reason to remove it")
	r.SetHook(nil)
	r.requireSync(0, 1, 18, "--delete", "--yes", "DIR/in", "s3://default/p")
}

// An object that was removed meanwhile is a note; one that was replaced is fetched in its new version.
func TestSync_VanishedObjects(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Add("default", "p/a", "a")
	r.Add("default", "p/b", "b")
	r.Add("default", "p/c", "c")
	r.write("out/extra", "x")
	var once sync.Once
	r.SetHook(func(_ http.ResponseWriter, req *http.Request) bool {
		if strings.HasPrefix(req.URL.Path, "/files/") {
			once.Do(func() {
				r.Add("default", "p/b", "replaced")
				r.Remove("default", "p/c")
			})
		}
		return false
	})
	o := r.run("sync", "-j1", "--delete", "--yes", "s3://default/p", "DIR/out")
	require.Zero(t, o.code, o.err)
	require.Contains(t, o.err, "sync s3://default/p/c: skipped: it was removed meanwhile")
	require.Contains(t, o.err, "1 removed")
	require.Equal(t, []string{"out/a", "out/b"}, r.local())
	require.Equal(t, "replaced", r.read("out/b"))
}

// A file that appears in the source while sync runs is not removed from the target as extra.
func TestSync_AppearedMeanwhile(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write("in/a", "a")
	r.Add("default", "p/0", "x")
	r.Add("default", "p/1", "x")
	r.SetHook(func(_ http.ResponseWriter, req *http.Request) bool {
		if req.Method == http.MethodPost && req.URL.Path == "/files" {
			r.write("in/0", "new")
		}
		return false
	})
	o := r.run("sync", "--delete", "--yes", "DIR/in", "s3://default/p")
	require.Zero(t, o.code, o.err)
	require.Equal(t, []string{"p/0", "p/a"}, r.Names("default"))
}

// cp and mv with --dry-run end with the same exit code as without.
func TestDryRun_RefusesAsTheRunDoes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	fillMore(r)
	for _, args := range []string{
		"cp s3://default/hello.txt s3://nope", "mv s3://default/hello.txt s3://nope", "cp -r s3://default/logs s3://nope/", "mv s3://default/logs/*.gz s3://nope/",
		"cp s3://default/absent s3://empty", "mv s3://default/hello.txt s3://default/hello.txt", "cp s3://default/hello.txt s3://default/absent s3://nope",
		"cp -r s3://default/logs s3://empty/" + strings.Repeat("k", 1020), "rm s3://default/absent", "sync DIR/absent s3://default", "sync DIR/photos s3://nope",
		"sync s3://nope DIR/photos", "session abort absent",
	} {
		before := r.Names("default")
		dry := r.run(append(strings.Fields(args), "--dry-run")...)
		require.Equal(t, before, r.Names("default"))
		real := r.run(strings.Fields(args)...)
		require.NotZero(t, real.code, args)
		require.Equal(t, real.code, dry.code, args)
		require.Equal(t, real.err, strings.ReplaceAll(dry.err, "sync (dry run)", "sync"), args)
	}
}

// Nothing is removed unless all of the source was read.
func TestSync_RemovesNothingAfterAnError(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Add("default", "p/a", "a")
	r.Add("default", "p/../evil", "x")
	r.write("out/extra", "x")
	o := r.run("sync", "--delete", "--yes", "s3://default/p", "DIR/out")
	require.Equal(t, int(fault.Partial), o.code)
	require.Contains(t, o.err, "would leave the target folder")
	require.Contains(t, o.err, "nothing was removed")
	require.Equal(t, []string{"out/a", "out/extra"}, r.local())

	// A listing that fails after its first page.
	for i := range 1500 {
		r.Add("default", fmt.Sprintf("many/%04d", i), "")
		r.write(fmt.Sprintf("many/%04d", i), "")
	}
	r.SetHook(func(w http.ResponseWriter, req *http.Request) bool {
		if req.URL.Query().Get("after") == "" {
			return false
		}
		resttest.Refuse(w, http.StatusForbidden, rest.CodeDenied, "no more", "")
		return true
	})
	o = r.run("sync", "-q", "--delete", "--yes", "s3://default/many", "DIR/many")
	require.Equal(t, int(fault.Denied), o.code, o.err)
	require.FileExists(t, filepath.Join(r.dir, "many/1499"))

	o = r.run("sync", "--delete", "--yes", "s3://default/nothing", "DIR/many")
	require.Equal(t, int(fault.NotFound), o.code, "a prefix that nothing lies under is a slip, not an empty folder")
	require.FileExists(t, filepath.Join(r.dir, "many/0000"))
}

func TestSync_LinksLeadNowhere(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write("secret", "old")
	require.NoError(t, os.MkdirAll(filepath.Join(r.dir, "out"), 0o700))
	require.NoError(t, os.Symlink("../secret", filepath.Join(r.dir, "out", "a")))
	require.NoError(t, os.Symlink("..", filepath.Join(r.dir, "out", "up")))
	r.Add("default", "p/a", "new")
	r.Add("default", "p/up/secret", "new")
	o := r.run("sync", "--delete", "--yes", "s3://default/p", "DIR/out")
	require.Equal(t, int(fault.Conflict), o.code, o.err)
	require.Contains(t, o.err, "links to folders are not followed")
	require.Contains(t, o.err, "0 files changed (0 B), 0 removed, 1 unchanged (by size and time alone), 1 failed")
	require.Equal(t, "old", r.read("secret"), "what a link leads to has the size, and is no older")
	o = r.run("sync", "--checksum", "s3://default/p", "DIR/out")
	require.Equal(t, int(fault.Conflict), o.code, o.err)
	require.Contains(t, o.err, "all 2 files failed")
	require.Equal(t, "old", r.read("secret"), "a link is not written through")

	// A link that only the target has is kept: it may lead to a file that the source has elsewhere.
	require.NoError(t, os.Symlink("../secret", filepath.Join(r.dir, "out", "b")))
	r.ok("rm", "s3://default/p/up/secret")
	o = r.run("sync", "--delete", "--yes", "s3://default/p", "DIR/out")
	require.Zero(t, o.code, o.err)
	require.Contains(t, o.err, "sync DIR/out/b: skipped: it is a link")
	require.Contains(t, o.err, "2 skipped")
	for _, name := range []string{"a", "b", "up"} {
		_, err := os.Readlink(filepath.Join(r.dir, "out", name))
		require.NoError(t, err, "no link is replaced or removed")
	}
}

// For any content of both sides, sync produces the target that the model predicts.
func TestSync_MakesFoldersTheSame(t *testing.T) {
	t.Parallel()
	names := []string{"a", "a-b", "b/a", "b/a-c/d", "b.x", "c d", "e/f/g"}
	for mask := range 40 {
		r := newRig(t)
		for i, name := range names {
			switch (mask*7 + i*5 + mask*i) % 5 {
			case 0:
				r.write("in/"+name, "new "+name)
			case 1:
				r.Add("default", "p/"+name, "only there")
			case 2:
				r.write("in/"+name, "changed")
				r.Add("default", "p/"+name, "old")
			case 3:
				r.write("in/"+name, name)
				r.hourAgo("in/"+name, 24*365*20) // older than the stored object
				r.Add("default", "p/"+name, name)
			}
		}
		r.write("in/z", "z")
		r.ok("sync", "-q", "--delete", "--yes", "DIR/in", "s3://default/p")
		require.Zero(t, r.run("diff", "-q", "DIR/in", "s3://default/p").code, "mask %d", mask)
		r.ok("sync", "-q", "--delete", "--yes", "s3://default/p", "DIR/back")
		require.Zero(t, r.run("diff", "-q", "DIR/back", "s3://default/p").code, "mask %d", mask)
		changed, removed, _ := r.sync("--delete", "--yes", "DIR/in", "s3://default/p")
		require.Zero(t, changed+removed)
	}
}

// What can never be stored is skipped, and does not make every run of a tree fail.
func TestSync_SkipsWhatCannotBeStored(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write("in/a", "a")
	require.NoError(t, os.Symlink("nowhere", filepath.Join(r.dir, "in", "dangling")))
	require.NoError(t, os.Symlink("round", filepath.Join(r.dir, "in", "round")))
	r.write("in/bad\xff", "x")
	r.write("in/d/"+strings.Repeat("x", 250), "x")
	r.write("in/d/x", "x")
	r.Add("default", "p/old", "o")
	long := strings.Repeat("p/", 400)
	o := r.run("sync", "--delete", "--yes", "DIR/in", "s3://default/"+long)
	require.Zero(t, o.code, o.err)
	require.Contains(t, o.err, "dangling: skipped: it is a link that leads nowhere")
	require.Contains(t, o.err, ", 4 skipped")
	require.ElementsMatch(t, []string{long + "a", long + "d/x", "p/old"}, r.Names("default"))
	require.Zero(t, r.run("put", "-r", "DIR/in/", "s3://default/q").code)
}

// A link to a folder is followed when this is wanted, and never in a circle.
func TestFollowLinks(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write("in/a", "a")
	r.write("outside/x", "x")
	require.NoError(t, os.Symlink("../outside", filepath.Join(r.dir, "in", "there")))
	require.NoError(t, os.Symlink("../in", filepath.Join(r.dir, "outside", "back")))
	r.ok("sync", "DIR/in", "s3://default/p")
	require.Equal(t, []string{"p/a"}, r.Names("default"))
	r.ok("sync", "--follow-links", "DIR/in", "s3://default/p")
	require.Equal(t, []string{"p/a", "p/there/x"}, r.Names("default"))
	r.ok("put", "-r", "--follow-links", "DIR/in/", "s3://default/q")
	require.Equal(t, []string{"p/a", "p/there/x", "q/a", "q/there/x"}, r.Names("default"))
}

func TestInterrupted_ObjectsLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	for _, args := range []string{
		"cp s3://default/a s3://default/b",
		"mv s3://default/a s3://default/b",
		"verify s3://default/a",
		"sync DIR/in s3://default/new",
		"sync s3://default DIR/out --delete --yes",
		"diff DIR/in s3://default",
		"du s3://default",
		"tree s3://default",
		"find s3://default",
		"session ls s3://default",
	} {
		r := newRig(t)
		r.Add("default", "a", "x")
		r.write("in/local", "x")
		r.write("out/extra", "x")
		ctx, cancel := context.WithCancel(t.Context())
		verb, _, _ := strings.Cut(args, " ")
		r.SetHook(func(_ http.ResponseWriter, req *http.Request) bool {
			listing := req.Method == http.MethodGet && req.URL.Path == "/files" && slices.Contains([]string{"cp", "mv", "verify", "sync"}, verb)
			if !listing {
				_, _ = io.Copy(io.Discard, req.Body) // the server notices the disconnect only when it reads
				cancel()
				<-req.Context().Done()
			}
			return !listing
		})
		o := r.runContext(ctx, strings.Fields(args)...)
		require.Equal(t, int(fault.Interrupted), o.code, "%s: %s", args, o.err)
		require.Contains(t, o.err, "interrupted")
		require.Equal(t, []string{"in/local", "out/extra"}, r.local(), args)
		require.Equal(t, []string{"a"}, r.Names("default"), args)
	}
}
