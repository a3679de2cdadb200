package vfs_test

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/vfs"
	"github.com/ringstore/ringstore/daemon/internal/vfs/vfstest"
)

// each runs a check on the real file system, on the one in memory, and through Inject.
func each(t *testing.T, check func(t *testing.T, f vfs.FS)) {
	t.Parallel()
	real := func(t *testing.T) vfs.FS {
		f, err := vfs.OpenOS(filepath.Join(t.TempDir(), "made", "here"))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, f.Close()) })
		return f
	}
	for name, open := range map[string]func(t *testing.T) vfs.FS{
		"os":        real,
		"crashable": func(*testing.T) vfs.FS { return vfstest.NewCrashable() },
		"inject":    func(t *testing.T) vfs.FS { return vfstest.NewInject(real(t), nil) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, open(t))
		})
	}
}

func content(t *testing.T, f vfs.FS, name string) string {
	t.Helper()
	data, err := vfs.ReadFile(f, name, 1<<20)
	require.NoError(t, err)
	return string(data)
}

func create(t *testing.T, f vfs.FS, name, data string) {
	t.Helper()
	file, err := f.Create(name)
	require.NoError(t, err)
	n, err := file.WriteAt([]byte(data), 0)
	require.NoError(t, err)
	require.Equal(t, len(data), n)
	require.NoError(t, file.Datasync())
	require.NoError(t, file.Close())
}

func TestFiles(t *testing.T) {
	each(t, func(t *testing.T, f vfs.FS) {
		file, err := f.Create("a")
		require.NoError(t, err)
		_, err = f.Create("a")
		require.ErrorIs(t, err, fs.ErrExist)

		n, err := file.WritevAt([][]byte{[]byte("hello"), nil, []byte(" "), []byte("world")}, 3)
		require.NoError(t, err)
		require.EqualValues(t, 11, n)
		size, err := file.Size()
		require.NoError(t, err)
		require.EqualValues(t, 14, size)
		require.NoError(t, file.StartWriteback(0, 14))
		require.NoError(t, file.Preallocate(1<<16))
		require.NoError(t, file.Datasync())
		require.NoError(t, file.Sync())
		require.Equal(t, "\x00\x00\x00hello world", content(t, f, "a"))

		p := make([]byte, 20)
		got, err := file.ReadAt(p, 3)
		require.ErrorIs(t, err, io.EOF)
		require.Equal(t, "hello world", string(p[:got]))
		_, err = file.ReadAt(p, 100)
		require.ErrorIs(t, err, io.EOF)

		require.NoError(t, file.Truncate(8))
		require.NoError(t, file.Truncate(10))
		require.Equal(t, "\x00\x00\x00hello\x00\x00", content(t, f, "a"))
		require.NoError(t, file.Close())
		_, err = file.ReadAt(p, 0)
		require.ErrorIs(t, err, fs.ErrClosed)
	})
}

func TestManyBuffersAreOneWrite(t *testing.T) {
	each(t, func(t *testing.T, f vfs.FS) {
		var bufs [][]byte
		var want bytes.Buffer
		for i := range 3000 { // more than the system takes at once
			b := []byte(fmt.Sprint(i, ";"))
			bufs = append(bufs, b)
			want.Write(b)
		}
		file, err := f.Create("v")
		require.NoError(t, err)
		n, err := file.WritevAt(bufs, 0)
		require.NoError(t, err)
		require.EqualValues(t, want.Len(), n)
		require.Equal(t, "0;", string(bufs[0]), "the caller's buffers are as they were")
		require.Equal(t, want.String(), content(t, f, "v"))
		require.NoError(t, file.Close())
	})
}

func TestNames(t *testing.T) {
	each(t, func(t *testing.T, f vfs.FS) {
		require.NoError(t, f.MkdirAll("x/y"))
		require.NoError(t, f.MkdirAll("x/y"))
		create(t, f, "x/b", "bee")
		create(t, f, "x/a", "a")
		require.NoError(t, f.SyncDir("x"))
		entries, err := f.ReadDir("x")
		require.NoError(t, err)
		require.Equal(t, []vfs.Entry{{Name: "a", Size: 1}, {Name: "b", Size: 3}, {Name: "y", Dir: true}}, entries)

		require.NoError(t, f.Rename("x/b", "x/y/c"))
		require.NoError(t, f.Rename("x/y/c", "x/a"), "over a file that is there")
		require.Equal(t, "bee", content(t, f, "x/a"))
		entry, err := f.Stat("x/a")
		require.NoError(t, err)
		require.Equal(t, vfs.Entry{Name: "a", Size: 3}, entry)

		file, err := f.Open("x/a")
		require.NoError(t, err)
		require.NoError(t, f.Remove("x/a"))
		p := make([]byte, 3)
		_, err = file.ReadAt(p, 0)
		require.NoError(t, err)
		require.Equal(t, "bee", string(p), "an open file outlives its name")
		require.NoError(t, file.Close())

		require.Error(t, f.Remove("x"), "not empty")
		require.NoError(t, f.Remove("x/y"))
		require.NoError(t, f.Remove("x"))
		root, err := f.ReadDir(".")
		require.NoError(t, err)
		require.Empty(t, root)
	})
}

func TestWhatIsNotThere(t *testing.T) {
	each(t, func(t *testing.T, f vfs.FS) {
		_, err := f.Open("no")
		require.ErrorIs(t, err, fs.ErrNotExist)
		_, err = f.Stat("no")
		require.ErrorIs(t, err, fs.ErrNotExist)
		_, err = f.ReadDir("no")
		require.ErrorIs(t, err, fs.ErrNotExist)
		require.ErrorIs(t, f.Remove("no"), fs.ErrNotExist)
		require.ErrorIs(t, f.Rename("no", "yes"), fs.ErrNotExist)
		require.ErrorIs(t, f.SyncDir("no"), fs.ErrNotExist)
		_, err = f.Create("no/file")
		require.ErrorIs(t, err, fs.ErrNotExist)
		_, err = vfs.ReadFile(f, "no", 1)
		require.ErrorIs(t, err, fs.ErrNotExist)
		create(t, f, "file", "long")
		_, err = vfs.ReadFile(f, "file", 3)
		require.ErrorContains(t, err, "longer than expected")
		_, err = f.Create("file/below")
		require.Error(t, err)
		require.Error(t, f.MkdirAll("file/below"))
	})
}

func TestLockIsForOne(t *testing.T) {
	each(t, func(t *testing.T, f vfs.FS) {
		create(t, f, "lock", "")
		one, err := f.Open("lock")
		require.NoError(t, err)
		two, err := f.Open("lock")
		require.NoError(t, err)
		require.NoError(t, one.Lock())
		require.ErrorIs(t, two.Lock(), vfs.ErrLocked)
		require.NoError(t, one.Close())
		require.NoError(t, two.Lock())
		require.NoError(t, two.Close())
	})
}

func TestSpace(t *testing.T) {
	each(t, func(t *testing.T, f vfs.FS) {
		space, err := f.Space()
		require.NoError(t, err)
		require.Positive(t, space.Total)
		require.GreaterOrEqual(t, space.Total, space.Free)
	})
}

func TestReplace(t *testing.T) {
	each(t, func(t *testing.T, f vfs.FS) {
		require.NoError(t, f.MkdirAll("d"))
		for _, data := range []string{"first", "second, and longer", ""} {
			require.NoError(t, vfs.Replace(f, "d", "id", []byte(data)))
			require.NoError(t, vfs.Replace(f, ".", "id", []byte(data)))
			require.Equal(t, data, content(t, f, "d/id"))
			require.Equal(t, data, content(t, f, "id"))
		}
		entries, err := f.ReadDir("d")
		require.NoError(t, err)
		require.Len(t, entries, 1, "the temporary name is gone")
	})
}

func TestOSStaysInsideItsRoot(t *testing.T) {
	t.Parallel()
	outside := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(outside, "secret"), []byte("x"), 0o600))
	dir := t.TempDir()
	require.NoError(t, os.Symlink(outside, filepath.Join(dir, "way-out")))
	f, err := vfs.OpenOS(dir)
	require.NoError(t, err)
	defer f.Close()
	for _, name := range []string{"way-out/secret", "../" + filepath.Base(outside) + "/secret", filepath.Join(outside, "secret")} {
		_, err := f.Open(name)
		require.Error(t, err, name)
	}
}

func TestOpenOSOnAFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := vfs.OpenOS(file)
	require.Error(t, err)
	_, err = vfs.OpenOS(filepath.Join(file, "below"))
	require.Error(t, err)
}

// What is written past the cache is there at once, and with the bytes around it.
func TestWriteAtUncached(t *testing.T) {
	t.Parallel()
	fs, err := vfs.OpenOS(t.TempDir())
	require.NoError(t, err)
	defer fs.Close()
	f, err := fs.Create("file")
	require.NoError(t, err)
	defer f.Close()
	u, ok := f.(vfs.Uncached)
	require.True(t, ok)
	want := bytes.Repeat([]byte("0123456789"), 50_000)
	for _, piece := range []struct{ from, to int }{{0, 1}, {1, 4096}, {4096, 300_001}, {300_001, len(want)}, {17, 4097}} {
		n, err := u.WriteAtUncached(want[piece.from:piece.to], int64(piece.from))
		require.NoError(t, err)
		require.Equal(t, piece.to-piece.from, n)
	}
	got := make([]byte, len(want))
	_, err = f.ReadAt(got, 0)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got))
	require.NoError(t, f.Datasync())
	require.NoError(t, f.Close())
	_, err = u.WriteAtUncached([]byte("x"), 0)
	require.Error(t, err)
}
