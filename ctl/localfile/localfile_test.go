package localfile_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/minio/crc64nvme"
	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/localfile"
	"github.com/ringstore/ringstore/proto/problem"
)

// folder is an empty folder, as a root and as a path.
func folder(t *testing.T) (*os.Root, string) {
	t.Helper()
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	t.Cleanup(func() { root.Close() })
	return root, dir
}

func write(t *testing.T, path, text string, mode fs.FileMode) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	require.NoError(t, os.Chmod(path, mode))
}

func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestFind_FollowsLinksToFilesBelowTheRoot(t *testing.T) {
	t.Parallel()
	root, dir := folder(t)
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "real", "deep"), 0o700))
	write(t, filepath.Join(dir, "real", "file"), "x", 0o600)
	for name, to := range map[string]string{"one": "real/deep/../file", "two": "./one", "new": "real/absent", "loop": "loop", "out": "../file", "in": "real"} {
		require.NoError(t, os.Symlink(to, filepath.Join(dir, name)))
	}
	for path, want := range map[string]string{
		"two": "real/file", "new": "real/absent", "real/file": "real/file", "a/./b": "a/b", "real/deep/../file": "real/file",
	} {
		found, err := localfile.Find(root, path)
		require.NoError(t, err, path)
		require.Equal(t, filepath.FromSlash(want), found.Path, path)
	}
	for _, path := range []string{"out", "in/file", "in", "real", "..", "real/file/../x", "a/../b", "loop"} {
		_, err := localfile.Find(root, path)
		require.Error(t, err, path)
		require.NotEmpty(t, fault.NextOf(err), path)
	}
}

func TestTarget_ReplacesAFileAtOnceAndKeepsItsMode(t *testing.T) {
	t.Parallel()
	root, dir := folder(t)
	path := filepath.Join(dir, "f")
	write(t, path, "old", 0o640)
	found, err := localfile.Find(root, "f")
	require.NoError(t, err)
	temp := found.TempName()
	f, err := found.Create(temp)
	require.NoError(t, err)
	defer f.Close()
	_, err = f.WriteString("new text")
	require.NoError(t, err)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "old", string(data), "the target is unchanged before Place")

	at := time.Date(2300, 1, 2, 3, 4, 5, 6, time.UTC) // beyond the range of Unix nanoseconds
	require.NoError(t, found.Place(f, temp, int64(len("new text")), at))
	require.NoError(t, found.Sync())
	data, err = os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "new text", string(data))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o640), info.Mode())
	require.True(t, info.ModTime().Equal(at), info.ModTime())
	require.Equal(t, []string{"f"}, names(t, dir))
}

func TestTarget_CreatesMissingFolders(t *testing.T) {
	t.Parallel()
	root, dir := folder(t)
	found, err := localfile.Find(root, filepath.Join("a", "b", "f"))
	require.NoError(t, err)
	f, err := found.Create(found.TempName())
	require.NoError(t, err)
	defer f.Close()
	require.DirExists(t, filepath.Join(dir, "a", "b"))
	_, err = found.Create(filepath.Join("a", "b", filepath.Base(f.Name())))
	require.ErrorIs(t, err, fs.ErrExist, "a file of another writer is never used")
}

func TestTarget_PlacesOnlyTheFileThatWasWritten(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(t *testing.T, temp string){
		"another file": func(t *testing.T, temp string) {
			t.Helper()
			require.NoError(t, os.Remove(temp))
			write(t, temp, "good", 0o600)
		},
		"more bytes": func(t *testing.T, temp string) { t.Helper(); write(t, temp, "good and more", 0o600) },
	} {
		root, dir := folder(t)
		found, err := localfile.Find(root, "f")
		require.NoError(t, err)
		temp := found.TempName()
		f, err := found.Create(temp)
		require.NoError(t, err)
		defer f.Close()
		_, err = f.WriteString("good")
		require.NoError(t, err)
		change(t, filepath.Join(dir, temp))
		err = found.Place(f, temp, 4, time.Time{})
		require.Equal(t, problem.Conflict, fault.KindOf(err), "%s: %v", name, err)
		require.NoFileExists(t, filepath.Join(dir, "f"), name)
	}
}

func TestTarget_NamesBesideItAreNeverTooLong(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"f", strings.Repeat("x", 255), strings.Repeat("é", 127), strings.Repeat("€", 85)} {
		at := localfile.Target{Path: filepath.Join("a", name)}
		part := at.PartName(len(".log"))
		require.Equal(t, part, at.PartName(len(".log")))
		require.NotEqual(t, at.TempName(), at.TempName())
		for _, beside := range []string{part + ".log", at.TempName()} {
			require.Equal(t, "a", filepath.Dir(beside))
			require.LessOrEqual(t, len(filepath.Base(beside)), 255)
			require.True(t, utf8.ValidString(beside), "no character is cut")
			require.True(t, strings.HasPrefix(filepath.Base(beside), "."))
		}
	}
}

func TestReset_LeavesNoOldByte(t *testing.T) {
	t.Parallel()
	_, dir := folder(t)
	path := filepath.Join(dir, "f")
	write(t, path, "old bytes", 0o600)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	for _, size := range []int{5, 100, 0} {
		require.NoError(t, localfile.Reset(f, int64(size)))
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, make([]byte, size), data)
		_, err = f.WriteAt([]byte("new"), 0)
		require.NoError(t, err)
	}
}

func TestMkdirAll_PassesNoLink(t *testing.T) {
	t.Parallel()
	root, dir := folder(t)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "real"), 0o700))
	require.NoError(t, os.Symlink("real", filepath.Join(dir, "link")))
	write(t, filepath.Join(dir, "file"), "", 0o600)
	require.NoError(t, localfile.MkdirAll(root, filepath.Join("real", "a", "b")))
	for _, path := range []string{"link", filepath.Join("link", "a"), filepath.Join("file", "a"), "file"} {
		require.Equal(t, problem.Conflict, fault.KindOf(localfile.MkdirAll(root, path)), path)
	}
	require.Equal(t, []string{"a"}, names(t, filepath.Join(dir, "real")))
}

func TestFollow_FindsWhatAProgramWouldOpen(t *testing.T) {
	t.Parallel()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	at := func(name string) string { return filepath.Join(dir, name) }
	write(t, at("file"), "", 0o600)
	require.NoError(t, os.Mkdir(at("folder"), 0o700))
	require.NoError(t, syscall.Mkfifo(at("pipe"), 0o600))
	for name, to := range map[string]string{"one": "two", "two": at("file"), "dangling": "absent", "loop": "loop", "up": "folder/../pipe"} {
		require.NoError(t, os.Symlink(to, at(name)))
	}
	for name, want := range map[string]localfile.Spot{
		"file": {Path: at("file"), FD: -1}, "one": {Path: at("file"), FD: -1}, "absent": {Path: at("absent"), FD: -1},
		"dangling": {Path: at("absent"), FD: -1}, "pipe": {Path: at("pipe"), Stream: true, FD: -1}, "up": {Path: at("pipe"), Stream: true, FD: -1},
		"folder": {Path: at("folder"), FD: -1},
	} {
		spot, err := localfile.Follow(at(name))
		require.NoError(t, err, name)
		require.Equal(t, want, spot, name)
	}
	_, err = localfile.Follow(at("loop"))
	require.ErrorIs(t, err, syscall.ELOOP)
	_, err = localfile.Follow(at("absent/f"))
	require.Equal(t, problem.NotFound, fault.KindOf(err))
}

// chunks returns its bytes in pieces of the given size, and has another method that io.Copy would prefer.
type chunks struct {
	*bytes.Reader
	size int
	most int
}

func (c *chunks) Read(p []byte) (int, error) {
	c.most = max(c.most, len(p))
	return c.Reader.Read(p[:min(len(p), c.size)])
}

func TestCopy_ReadsInLargePieces(t *testing.T) {
	t.Parallel()
	data := make([]byte, 3<<20+7)
	_, _ = rand.Read(data)
	for _, size := range []int{1 << 10, 100_000, 1 << 30} {
		var out bytes.Buffer
		in := &chunks{Reader: bytes.NewReader(data), size: size}
		n, err := localfile.Copy(&out, in)
		require.NoError(t, err)
		require.EqualValues(t, len(data), n)
		require.True(t, bytes.Equal(data, out.Bytes()))
		require.Equal(t, 512<<10, in.most)
	}
}

func TestSum_IsThatOfTheBytes(t *testing.T) {
	t.Parallel()
	data := make([]byte, 1<<20+3)
	_, _ = rand.Read(data)
	crc, n, err := localfile.Sum(t.Context(), bytes.NewReader(data))
	require.NoError(t, err)
	require.EqualValues(t, len(data), n)
	require.Equal(t, crc64nvme.Checksum(data), crc)

	ctx, cancel := context.WithCancel(t.Context())
	endless := readerFunc(func(p []byte) (int, error) { cancel(); return len(p), nil })
	_, _, err = localfile.Sum(ctx, endless)
	require.ErrorIs(t, err, context.Canceled)
	_, _, err = localfile.Sum(t.Context(), readerFunc(func([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
