package ctl

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/ctl/fault"
)

// Empty objects that stand for folders become folders; the one of the requested folder is the target itself.
func TestGet_FolderObjects(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, key := range []string{"m/", "m/sub/", "n/", "/"} {
		r.Add("default", key, "")
	}
	r.Add("default", "m/f", "1")
	r.ok("get", "-r", "s3://default/m/", "DIR/a")
	r.ok("get", "-r", "s3://default/m", "DIR/b")
	r.ok("get", "-r", "s3://default/m/", "s3://default/n/", "DIR/c")
	require.Equal(t, []string{"a/f", "b/m/f", "c/f"}, r.local())
	for _, dir := range []string{"a/sub", "b/m/sub", "c/sub"} {
		require.DirExists(t, filepath.Join(r.dir, dir))
	}
	r.ok("rm", "-r", "--yes", "s3://default/m/", "s3://default/n/")
	r.ok("get", "-r", "s3://default", "DIR/d")
	require.DirExists(t, filepath.Join(r.dir, "d"))

	// An object that is not empty would be a file without a name.
	r.Add("default", "m/", "bytes")
	o := r.run("get", "-r", "s3://default/m/", "DIR/e")
	require.NotZero(t, o.code)
	require.Contains(t, o.err, "has no local file name")
}

// A link named by the user is followed as the system does, wherever it leads, including ".." after a link.
func TestGet_ThroughALinkThatWasNamed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Add("default", "f", "new")
	elsewhere := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(elsewhere, "x", "y"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(elsewhere, "real"), []byte("old"), 0o600))
	require.NoError(t, os.Symlink(filepath.Join(elsewhere, "real"), filepath.Join(r.dir, "absolute")))
	require.NoError(t, os.Symlink(filepath.Join(elsewhere, "x", "y"), filepath.Join(r.dir, "folder")))
	require.NoError(t, os.Symlink("folder/../up", filepath.Join(r.dir, "relative")))
	require.NoError(t, os.Symlink("relative", filepath.Join(r.dir, "f")))
	for target, file := range map[string]string{"absolute": "real", "folder/../../other": "other", "relative": "x/up", ".": "x/up", "folder": "x/y/f", "folder/": "x/y/f"} {
		r.Add("default", "f", "for "+target)
		r.ok("get", "s3://default/f", "DIR/"+target)
		got, err := os.ReadFile(filepath.Join(elsewhere, filepath.FromSlash(file)))
		require.NoError(t, err, target)
		require.Equal(t, "for "+target, string(got))
	}
	for _, link := range []string{"absolute", "folder", "relative", "f"} {
		_, err := os.Readlink(filepath.Join(r.dir, link))
		require.NoError(t, err, "a link stays one")
	}
	require.NoError(t, os.Symlink("loop", filepath.Join(r.dir, "loop")))
	require.NotZero(t, r.run("get", "s3://default/f", "DIR/loop").code)
	o := r.run("get", "s3://default/f", "DIR/no/such/folder")
	require.Equal(t, int(fault.NotFound), o.code)
	require.Contains(t, o.err, "DIR/no/such/folder: no such file or directory", "it is the local path that is not there")
}

// With -r no link leads out of the folder and no link to a folder is followed: each such object is a separate conflict.
func TestGet_LinksBelowTheTarget(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	outside := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(r.dir, "out", "real"), 0o700))
	require.NoError(t, os.Symlink("real", filepath.Join(r.dir, "out", "in")))
	require.NoError(t, os.Symlink(outside, filepath.Join(r.dir, "out", "away")))
	for _, key := range []string{"p/in/f", "p/away/f", "p/away/sub/", "p/ok"} {
		content := "x"
		if key[len(key)-1] == '/' {
			content = ""
		}
		r.Add("default", key, content)
	}
	o := r.run("get", "-r", "s3://default/p/", "DIR/out")
	require.Equal(t, int(fault.Partial), o.code)
	for _, key := range []string{"in/f", "away/f", "away/sub/"} {
		require.Contains(t, o.err, fmt.Sprintf("s3ctl: get s3://default/p/%s: %s is a link to a folder", key, filepath.Dir(filepath.Clean(key))))
	}
	require.NotContains(t, o.err, "please report this")
	require.Equal(t, []string{"out/away", "out/in", "out/ok"}, r.local())
	left, err := os.ReadDir(outside)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestUnknownCommand_WithHelpBehindIt(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	o := r.run("nonsense", "--help")
	require.Equal(t, int(fault.Usage), o.code)
	require.Contains(t, o.err, `unknown command "nonsense"`)
	require.NotContains(t, o.err, "Usage of")
}

// On a terminal, results and errors can be JSON, too.
func TestJSON_OnATerminalShowsNoControlCharacter(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Add("default", "a\u009b2J\u202eb\x7f", "x")
	for _, args := range [][]string{{"ls", "--json", "s3://default"}, {"stat", "--json", "s3://default/a\u009b2J\u202eb\x7f"}, {"stat", "--json", "s3://default/\u009b"}} {
		o := r.run(args...)
		for _, c := range []string{"\u009b", "\u202e", "\x7f"} {
			require.NotContains(t, o.out+o.err, c, args)
		}
		require.Contains(t, o.out+o.err, `\u009b`)
	}
}
