package vfs_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ringstore/ringstore/daemon/internal/vfs"
	"github.com/ringstore/ringstore/daemon/internal/vfs/vfstest"
)

const seeds = 60

func TestUnsyncedBytesMaySurviveInPart(t *testing.T) {
	t.Parallel()
	c := vfstest.NewCrashable()
	f, err := c.Create("f")
	require.NoError(t, err)
	write := func(s string, off int64) {
		_, err := f.WriteAt([]byte(s), off)
		require.NoError(t, err)
	}
	write("aaaaaaaa", 0)
	require.NoError(t, f.Datasync())
	require.NoError(t, c.SyncDir("."))
	write("bbbb", 2)
	write("cc", 8)
	outcomes := map[string]bool{}
	for seed := uint64(0); seed < seeds; seed++ {
		got := content(t, c.CrashClone(seed), "f")
		require.Equal(t, got, content(t, c.CrashClone(seed), "f"), "a seed decides the outcome")
		require.GreaterOrEqual(t, len(got), 8, "synced bytes are there")
		require.Equal(t, "aa", got[:2])
		outcomes[got] = true
	}
	require.Equal(t, "aaaaaaaa", content(t, c.CrashClone(vfstest.CrashLosesAll), "f"))
	require.Equal(t, "aabbbbaacc", content(t, c.CrashClone(vfstest.CrashLosesNone), "f"))
	require.Greater(t, len(outcomes), 6, "torn writes come in many forms")
	require.Contains(t, outcomes, "aaaaaaaacc", "a later write may survive an earlier one")
	require.Equal(t, "aabbbbaacc", content(t, c, "f"), "the original goes on")
	require.NoError(t, f.Datasync())
	require.Equal(t, "aabbbbaacc", content(t, c.CrashClone(vfstest.CrashLosesAll), "f"))
}

func TestUnsyncedTruncationMayBeLost(t *testing.T) {
	t.Parallel()
	c := vfstest.NewCrashable()
	create(t, c, "f", "abcdef")
	require.NoError(t, c.SyncDir("."))
	f, err := c.Open("f")
	require.NoError(t, err)
	require.NoError(t, f.Truncate(2))
	require.Equal(t, "abcdef", content(t, c.CrashClone(vfstest.CrashLosesAll), "f"))
	require.Equal(t, "ab", content(t, c.CrashClone(vfstest.CrashLosesNone), "f"))
	require.NoError(t, f.Sync())
	require.Equal(t, "ab", content(t, c.CrashClone(vfstest.CrashLosesAll), "f"))
}

func TestNamesNeedSyncDir(t *testing.T) {
	t.Parallel()
	c := vfstest.NewCrashable()
	require.NoError(t, c.MkdirAll("tmp"))
	require.NoError(t, c.MkdirAll("to"))
	create(t, c, "tmp/f", "x")
	_, err := c.CrashClone(vfstest.CrashLosesAll).Stat("tmp")
	require.ErrorIs(t, err, fs.ErrNotExist, "not even the directory")
	require.NoError(t, c.SyncDir("."))
	require.NoError(t, c.SyncDir("tmp"))
	require.NoError(t, c.Rename("tmp/f", "to/f"))

	places := map[string]int{}
	for seed := uint64(0); seed < seeds; seed++ {
		cut, where := c.CrashClone(seed), ""
		for _, name := range []string{"tmp/f", "to/f"} {
			if _, err := cut.Stat(name); err == nil {
				where += name + " "
				require.Equal(t, "x", content(t, cut, name))
			}
		}
		places[where]++
	}
	require.Len(t, places, 4, "old, new, both, none: %v", places)

	require.NoError(t, c.SyncDir("to"))
	require.NoError(t, c.Remove("to/f"))
	require.Equal(t, "x", content(t, c.CrashClone(vfstest.CrashLosesAll), "to/f"), "a removal can be undone")
	require.NoError(t, c.SyncDir("to"))
	_, err = c.CrashClone(vfstest.CrashLosesAll).Stat("to/f")
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// TestReplaceIsAtomic cuts the power before every call of Replace and after the last.
func TestReplaceIsAtomic(t *testing.T) {
	t.Parallel()
	c := vfstest.NewCrashable()
	require.NoError(t, vfs.Replace(c, ".", "id", []byte("old")))
	require.Equal(t, "old", content(t, c.CrashClone(vfstest.CrashLosesAll), "id"))
	cuts := 0
	check := func(vfstest.Call) error {
		for seed := uint64(0); seed < seeds; seed++ {
			require.Contains(t, []string{"old", "new"}, content(t, c.CrashClone(seed), "id"))
		}
		cuts++
		return nil
	}
	require.NoError(t, vfs.Replace(vfstest.NewInject(c, check), ".", "id", []byte("new")))
	require.Greater(t, cuts, 5)
	require.Equal(t, "new", content(t, c.CrashClone(vfstest.CrashLosesAll), "id"))
	// A file left by an earlier attempt has no effect.
	create(t, c, "id.new", "half")
	require.NoError(t, vfs.Replace(c, ".", "id", []byte("newer")))
	require.Equal(t, "newer", content(t, c, "id"))
	require.Zero(t, c.OpenFiles())
}

func TestReplaceFailsWhole(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"remove", "create", "write", "sync", "close", "rename", "syncdir"} {
		c := vfstest.NewCrashable()
		require.NoError(t, vfs.Replace(c, ".", "id", []byte("old")))
		boom := func(call vfstest.Call) error {
			if call.Op == op {
				return syscall.EIO
			}
			return nil
		}
		require.ErrorIs(t, vfs.Replace(vfstest.NewInject(c, boom), ".", "id", []byte("new")), syscall.EIO, op)
		require.Zero(t, c.OpenFiles(), op)
		require.Equal(t, "old", content(t, c.CrashClone(vfstest.CrashLosesAll), "id"), op)
	}
}

func TestCloneKeepsWhatIsNotSynced(t *testing.T) {
	t.Parallel()
	c := vfstest.NewCrashable()
	require.NoError(t, c.MkdirAll("d"))
	require.NoError(t, c.SyncDir("."))
	create(t, c, "d/f", "old")
	require.NoError(t, c.SyncDir("d"))
	f, err := c.Open("d/f")
	require.NoError(t, err)
	require.NoError(t, f.Lock())
	_, err = f.WriteAt([]byte("new"), 0)
	require.NoError(t, err)
	require.NoError(t, c.Rename("d/f", "d/g"))

	k := c.Clone()
	require.Equal(t, "new", content(t, k, "d/g"))
	require.Equal(t, "old", content(t, k.CrashClone(vfstest.CrashLosesAll), "d/f"), "still not synced")
	g, err := k.Open("d/g")
	require.NoError(t, err)
	require.NoError(t, g.Lock(), "the lock went with the process")
	_, err = g.WriteAt([]byte("xxx"), 0)
	require.NoError(t, err)
	require.NoError(t, g.Datasync())
	require.NoError(t, k.SyncDir("d"))
	require.Equal(t, "xxx", content(t, k.CrashClone(vfstest.CrashLosesAll), "d/g"))
	require.Equal(t, "new", content(t, c, "d/g"), "the original is another disk")
	require.Equal(t, "old", content(t, c.CrashClone(vfstest.CrashLosesAll), "d/f"))
}

func TestCrashableDiskIsFull(t *testing.T) {
	t.Parallel()
	c := vfstest.NewCrashable()
	c.SetSpace(10)
	f, err := c.Create("f")
	require.NoError(t, err)
	_, err = f.WriteAt(make([]byte, 8), 0)
	require.NoError(t, err)
	_, err = f.WriteAt(make([]byte, 3), 8)
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.ErrorIs(t, f.Preallocate(11), syscall.ENOSPC)
	require.NoError(t, f.Preallocate(10))
	_, err = f.WriteAt(make([]byte, 8), 0)
	require.NoError(t, err, "in place")
	space, err := c.Space()
	require.NoError(t, err)
	require.Equal(t, vfs.Space{Total: 10, Free: 2}, space)
}

func TestInjectRecordsAndFails(t *testing.T) {
	t.Parallel()
	c := vfstest.NewCrashable()
	var calls []string
	var fail string
	i := vfstest.NewInject(c, func(call vfstest.Call) error {
		calls = append(calls, fmt.Sprint(call, " ", call.Changes()))
		if call.Op == fail {
			return syscall.EIO
		}
		return nil
	})
	steps := func() error {
		if err := i.MkdirAll("d"); err != nil {
			return err
		}
		f, err := i.Create("d/f")
		if err != nil {
			return err
		}
		defer f.Close()
		_, werr := f.WriteAt([]byte("abc"), 1)
		_, rerr := f.ReadAt(make([]byte, 1), 1)
		_, serr := f.Size()
		err = errors.Join(werr, rerr, serr, f.Lock(), f.Preallocate(5), f.StartWriteback(0, 4), f.Truncate(4), f.Datasync(), f.Sync(), f.Close())
		_, derr := i.ReadDir("d")
		_, terr := i.Stat("d")
		_, perr := i.Space()
		return errors.Join(err, derr, terr, perr, i.Rename("d/f", "d/g"), i.SyncDir("d"), i.Remove("d/g"), i.Remove("d"))
	}
	require.NoError(t, steps())
	require.Equal(t, []string{
		"mkdir d true", "create d/f true", "write d/f 1+3 true", "read d/f 1+1 false", "size d/f false", "lock d/f false",
		"preallocate d/f 5 true", "writeback d/f 0+4 true", "truncate d/f 4 true", "datasync d/f true", "sync d/f true", "close d/f false",
		"readdir d false", "stat d false", "space . false", "rename d/f -> d/g true", "syncdir d true", "remove d/g true", "remove d true",
	}, calls[:len(calls)-1])
	for _, op := range []string{"mkdir", "create", "write", "read", "size", "lock", "preallocate", "writeback", "truncate", "datasync", "sync", "close", "readdir", "stat", "space", "rename", "syncdir", "remove"} {
		fail = op
		require.ErrorIs(t, steps(), syscall.EIO, op)
		for _, left := range []string{"d/f", "d/g"} {
			if _, err := c.Stat(left); err == nil {
				require.NoError(t, c.Remove(left))
			}
		}
	}
	i.SetHook(nil)
	_, err := i.Open("nothing")
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestInjectShortWrite(t *testing.T) {
	t.Parallel()
	c := vfstest.NewCrashable()
	i := vfstest.NewInject(c, func(call vfstest.Call) error {
		if call.Op == "write" {
			return vfstest.ErrShortWrite
		}
		return nil
	})
	f, err := i.Create("f")
	require.NoError(t, err)
	n, err := f.WritevAt([][]byte{[]byte("abc"), []byte("defg")}, 0)
	require.ErrorIs(t, err, io.ErrShortWrite)
	require.EqualValues(t, 3, n)
	require.Equal(t, "abc", content(t, c, "f"))
}

// TestTornWritesKeepAnySectors: a write may survive with a hole in its middle, and bytes that
// never reached the disk may show those of a removed file.
func TestTornWritesKeepAnySectors(t *testing.T) {
	t.Parallel()
	c := vfstest.NewCrashable()
	old := strings.Repeat("o", 8192)
	create(t, c, "old", old)
	require.NoError(t, c.Remove("old"))
	f, err := c.Create("f")
	require.NoError(t, err)
	require.NoError(t, c.SyncDir("."))
	_, err = f.WriteAt([]byte(strings.Repeat("n", 8192)), 0)
	require.NoError(t, err)
	holes, stale := 0, 0
	for seed := uint64(2); seed < 400; seed++ {
		got := content(t, c.CrashClone(seed), "f")
		if strings.Contains(strings.Trim(got, "\x00o"), "n\x00") || strings.Contains(got, "no") {
			holes++
		}
		if strings.Contains(got, "o") {
			stale++
		}
	}
	require.NotZero(t, holes)
	require.NotZero(t, stale)
	require.NoError(t, f.Datasync())
	require.Equal(t, strings.Repeat("n", 8192), content(t, c.CrashClone(7), "f"))
	require.NoError(t, f.Close())
}

func TestReadOnlyFileSystem(t *testing.T) {
	t.Parallel()
	c := vfstest.NewCrashable()
	create(t, c, "f", "abc")
	c.SetReadOnly(true)
	space, err := c.Space()
	require.NoError(t, err)
	require.True(t, space.ReadOnly)
	_, err = c.Open("f")
	require.ErrorIs(t, err, syscall.EROFS)
	_, err = c.Create("g")
	require.ErrorIs(t, err, syscall.EROFS)
	for _, err := range []error{c.Remove("f"), c.Rename("f", "g"), c.MkdirAll("d")} {
		require.ErrorIs(t, err, syscall.EROFS)
	}
	require.Equal(t, "abc", content(t, c, "f"))
	c.SetReadOnly(false)
	f, err := c.OpenRead("f")
	require.NoError(t, err)
	_, err = f.WriteAt([]byte("x"), 0)
	require.ErrorIs(t, err, syscall.EBADF)
	require.NoError(t, f.Close())
}
