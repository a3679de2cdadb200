package transfer_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/localfile"
	"github.com/ringstore/ringstore/ctl/resttest"
	"github.com/ringstore/ringstore/ctl/transfer"
	"github.com/ringstore/ringstore/proto/problem"
)

// sizesOfFiles are below and above the size at which downloads use ranges.
var sizesOfFiles = []int{10, 2*mib + 5}

// inSmallParts is a rig that uses ranges from 1 MiB on.
func inSmallParts(t *testing.T) (*resttest.Server, *transfer.Manager, *notes) {
	t.Helper()
	s, m, _, told := resumable(t)
	m.Sizes = transfer.Sizes{Whole: mib, Least: mib, Most: mib}
	return s, m, told
}

func TestGetFile_WritesThroughALinkToAFile(t *testing.T) {
	t.Parallel()
	for _, size := range sizesOfFiles {
		s, m, _ := inSmallParts(t)
		root, dir := openRoot(t)
		_, data := writeFile(t, size)
		f := s.Add("default", "k", string(data))
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "real", "deep"), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "real", "config"), []byte("old"), 0o640))
		require.NoError(t, os.Symlink("real/deep/.././config", filepath.Join(dir, "first")))
		require.NoError(t, os.Symlink("first", filepath.Join(dir, "second")))
		require.NoError(t, os.Symlink("real/new", filepath.Join(dir, "dangling")))
		require.NoError(t, m.GetFile(t.Context(), f, root, "second"))
		require.NoError(t, m.GetFile(t.Context(), f, root, "dangling"))
		for _, link := range []string{"first", "second", "dangling"} {
			info, err := os.Lstat(filepath.Join(dir, link))
			require.NoError(t, err)
			require.NotZero(t, info.Mode()&os.ModeSymlink, link)
		}
		same(t, filepath.Join(dir, "real", "config"), data)
		same(t, filepath.Join(dir, "real", "new"), data)
		require.Len(t, tree(t, dir), 5)
	}
}

func TestGetFile_WhatItDoesNotWriteTo(t *testing.T) {
	t.Parallel()
	s, m, _ := rig(t)
	root, dir := openRoot(t)
	outside := t.TempDir()
	f := s.Add("default", "k", "x")
	require.NoError(t, os.WriteFile(filepath.Join(outside, "file"), []byte("theirs"), 0o600))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "real"), 0o700))
	up := strings.Repeat("../", 20)
	for name, to := range map[string]string{
		"absolute": filepath.Join(outside, "file"), "relative": up + outside + "/file", "out": outside, "in": "real", "loop": "loop", "up": "real/../..",
	} {
		require.NoError(t, os.Symlink(to, filepath.Join(dir, name)))
	}
	require.NoError(t, unix.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	for path, says := range map[string]string{
		"absolute":  "leads out of the target folder",
		"relative":  "leads out of the target folder",
		"up":        "leads out of the target folder",
		"out":       "leads out of the target folder",
		"out/f":     "is a link to a folder",
		"out/a/b/f": "is a link to a folder",
		"in/f":      "is a link to a folder",
		"in":        "is a folder",
		"pipe":      "is not a regular file",
		"real":      "is a folder",
		".":         "is a folder",
	} {
		err := m.GetFile(t.Context(), f, root, filepath.FromSlash(path))
		require.Equal(t, problem.Conflict, fault.KindOf(err), "%s: %v", path, err)
		require.ErrorContains(t, err, says, path)
		require.NotEmpty(t, fault.HintOf(err), path)
	}
	require.Error(t, m.GetFile(t.Context(), f, root, "loop"))
	same(t, filepath.Join(outside, "file"), []byte("theirs"))
	require.Equal(t, []string{"file"}, tree(t, outside))
	require.Len(t, tree(t, dir), 7, "and nothing was made")

	require.Equal(t, fault.Conflict, fault.ExitOf(localfile.MkdirAll(root, filepath.Join("in", "sub"))))
	require.Equal(t, fault.Conflict, fault.ExitOf(localfile.MkdirAll(root, filepath.Join("pipe", "sub"))))
	require.NoError(t, localfile.MkdirAll(root, filepath.Join("real", "a", "b")))
	require.NoError(t, localfile.MkdirAll(root, "."))
	require.DirExists(t, filepath.Join(dir, "real", "a", "b"))
}

func TestGetFile_KeepsTheModeOfWhatItReplaces(t *testing.T) {
	t.Parallel()
	for _, size := range sizesOfFiles {
		s, m, _ := inSmallParts(t)
		root, dir := openRoot(t)
		_, data := writeFile(t, size)
		f := s.Add("default", "k", string(data))
		path := filepath.Join(dir, "f")
		require.NoError(t, m.GetFile(t.Context(), f, root, "f"))
		fresh := filepath.Join(dir, "fresh")
		require.NoError(t, os.WriteFile(fresh, nil, 0o666)) //nolint:gosec // before umask
		require.Equal(t, modeOf(t, fresh), modeOf(t, path), "a new file is as any other")
		for _, mode := range []os.FileMode{0o600, 0o640, 0o755, 0o700, 0o400, 0o666} {
			require.NoError(t, os.Chmod(path, mode))
			require.NoError(t, m.GetFile(t.Context(), f, root, "f"))
			require.Equal(t, mode, modeOf(t, path))
		}
		require.NoError(t, os.Chmod(path, 0o4755|os.ModeSetuid))
		require.NoError(t, m.GetFile(t.Context(), f, root, "f"))
		require.Equal(t, os.FileMode(0o755), modeOf(t, path), "bytes from elsewhere do not run as another user")
	}
}

// While bytes arrive, they are readable only by users who could read the replaced file.
func TestGetFile_IsNeverMoreOpenThanBefore(t *testing.T) {
	t.Parallel()
	for _, size := range sizesOfFiles {
		s, m, _ := inSmallParts(t)
		root, dir := openRoot(t)
		_, data := writeFile(t, size)
		f := s.Add("default", "k", string(data))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "f"), nil, 0o600))
		watched := 0
		m.Lanes = transfer.NewLanes(1)
		s.SetHook(watch(func() {
			for _, name := range tree(t, dir) {
				require.Equal(t, os.FileMode(0o600), modeOf(t, filepath.Join(dir, name)), name)
				watched++
			}
		}))
		require.NoError(t, m.GetFile(t.Context(), f, root, "f"))
		require.Greater(t, watched, 1)
	}
}

// watch runs before each answer.
func watch(look func()) resttest.Hook {
	return func(http.ResponseWriter, *http.Request) bool {
		look()
		return false
	}
}

func modeOf(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	return info.Mode() &^ os.ModeDir
}

// root keeps the owner; if the group cannot be kept, no other group gains access.
func TestGetFile_KeepsTheOwner(t *testing.T) {
	t.Parallel()
	s, m, _ := rig(t)
	root, dir := openRoot(t)
	f := s.Add("default", "k", "x")
	path := filepath.Join(dir, "f")
	require.NoError(t, os.WriteFile(path, nil, 0o640)) //nolint:gosec // the mode is what is tested
	if err := os.Chown(path, 12345, 54321); err != nil {
		t.Skip("only root can give files away")
	}
	require.NoError(t, m.GetFile(t.Context(), f, root, "f"))
	info, err := os.Stat(path)
	require.NoError(t, err)
	stat := info.Sys().(*syscall.Stat_t)
	require.EqualValues(t, 12345, stat.Uid)
	require.EqualValues(t, 54321, stat.Gid)
	require.Equal(t, os.FileMode(0o640), info.Mode())
}

// int64 nanoseconds since 1970 cover 1678 to 2262 only.
func TestGetFile_TimesFarAway(t *testing.T) {
	t.Parallel()
	for _, size := range sizesOfFiles {
		s, m, _ := inSmallParts(t)
		root, dir := openRoot(t)
		_, data := writeFile(t, size)
		for _, text := range []string{
			"1902-01-01T00:00:00Z", "1969-12-31T23:59:59.5Z", "2024-02-29T01:02:03.000456789Z", "2262-04-11T23:47:16Z", "2300-01-01T00:00:00.123456789Z", "2440-06-01T00:00:00Z",
		} {
			f := s.Add("default", "k", string(data))
			f.Meta = map[string]string{"mtime": text}
			require.NoError(t, m.GetFile(t.Context(), f, root, "f"))
			info, err := os.Stat(filepath.Join(dir, "f"))
			require.NoError(t, err)
			require.Equal(t, text, info.ModTime().UTC().Format(time.RFC3339Nano))
		}
	}
}
