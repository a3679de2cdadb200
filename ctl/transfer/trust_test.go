package transfer_test

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Both files of a download have predictable names: a file that another user placed there is neither read nor written.
func TestLargeGet_TrustsNoFileOfAnother(t *testing.T) {
	t.Parallel()
	for what, plant := range map[string]func(t *testing.T, path, precious string){
		"a second name of another file": func(t *testing.T, path, precious string) { require.NoError(t, os.Link(precious, path)) },
		"a link":                        func(t *testing.T, path, precious string) { require.NoError(t, os.Symlink(precious, path)) },
		"a link to nothing":             func(t *testing.T, path, precious string) { require.NoError(t, os.Symlink(precious+"2", path)) },
		"a folder":                      func(t *testing.T, path, _ string) { require.NoError(t, os.Mkdir(path, 0o700)) },
		"a named pipe":                  func(t *testing.T, path, _ string) { require.NoError(t, unix.Mkfifo(path, 0o600)) },
		"writable by all": func(t *testing.T, path, _ string) {
			require.NoError(t, os.WriteFile(path, []byte("theirs"), 0o600))
			require.NoError(t, os.Chmod(path, 0o666)) //nolint:gosec // the mode is what is tested
		},
		"of another user": func(t *testing.T, path, _ string) {
			require.NoError(t, os.WriteFile(path, []byte("theirs"), 0o600))
			if err := os.Chown(path, 65534, 65534); err != nil {
				t.Skip("only root can give files away")
			}
		},
	} {
		for _, name := range []string{".f.part", ".f.part.log"} {
			t.Run(what+" as "+name, func(t *testing.T) {
				t.Parallel()
				s, m, told := inSmallParts(t)
				root, dir := openRoot(t)
				_, data := writeFile(t, 2*mib+5)
				f := s.Add("default", "k", string(data))
				precious := filepath.Join(dir, "precious")
				require.NoError(t, os.WriteFile(precious, []byte("precious"), 0o600))
				plant(t, filepath.Join(dir, name), precious)
				before, err := os.Lstat(filepath.Join(dir, name))
				require.NoError(t, err)

				require.NoError(t, m.GetFile(t.Context(), f, root, "f"))
				same(t, filepath.Join(dir, "f"), data)
				same(t, precious, []byte("precious"))
				require.NoFileExists(t, precious+"2")
				after, err := os.Lstat(filepath.Join(dir, name))
				require.NoError(t, err, "it is not ours to remove")
				require.True(t, os.SameFile(before, after))
				require.Equal(t, before.Size(), after.Size())
				require.Contains(t, told.all(), "cannot be resumed")
				info, err := os.Stat(filepath.Join(dir, "f"))
				require.NoError(t, err)
				require.EqualValues(t, os.Geteuid(), info.Sys().(*syscall.Stat_t).Uid)
				names, err := os.ReadDir(dir)
				require.NoError(t, err)
				require.Len(t, names, 3, "nothing else is left: %v", names)
			})
		}
	}
}

// The partial files are accessible to the user only, whatever the umask.
func TestLargeGet_ItsFilesAreTheUsersAlone(t *testing.T) {
	t.Parallel()
	s, m, _, _ := resumable(t)
	root, dir := openRoot(t)
	_, data := writeFile(t, large)
	interruptGet(t, s, m, s.Add("default", "k", string(data)), root, 2)
	for _, name := range []string{".f.part", ".f.part.log"} {
		info, err := os.Lstat(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, "-rw-------", info.Mode().String())
	}
}

// A log can name any part size: a size that no run chooses is rejected, since it could require any amount of memory.
func TestLargeGet_ImpossiblePartsAreNotBelieved(t *testing.T) {
	t.Parallel()
	for _, part := range []int64{1, 1024, mib - 1, mib + 1, -mib, 0, 1 << 62, 4 * mib} {
		s, m, _ := inSmallParts(t)
		root, dir := openRoot(t)
		_, data := writeFile(t, 2*mib+5)
		f := s.Add("default", "k", string(data))
		log := fmt.Sprintf(`{"format":"s3ctl download","version":1,"endpoint":%q,"file_id":%q,"size":%d,"crc64nvme":"","part_size":%d}`, s.URL, f.FileID, f.Size, part)
		require.NoError(t, os.WriteFile(filepath.Join(dir, ".f.part.log"), []byte(log+"\n"), 0o600))
		require.NoError(t, m.GetFile(t.Context(), f, root, "f"))
		same(t, filepath.Join(dir, "f"), data)
		require.Equal(t, 3, s.Calls("GET /files/"+f.FileID), "in parts of our own size, %d", part)
	}
}

// A partial file that was truncated between two runs is fetched again and not read as zeros.
func TestLargeGet_APartThatWasCutOff(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{0, largePart + 1, large + 1000} {
		s, m, _, _ := resumable(t)
		root, dir := openRoot(t)
		_, data := writeFile(t, large)
		f := s.Add("default", "k", string(data))
		interruptGet(t, s, m, f, root, 4)
		require.NoError(t, os.Truncate(filepath.Join(dir, ".f.part"), size))
		require.NoError(t, m.GetFile(t.Context(), f, root, "f"))
		same(t, filepath.Join(dir, "f"), data)
	}
}

// The log of an upload belongs to another user: it is neither read nor written, and the file is stored.
func TestLargePut_TrustsNoRecordOfAnother(t *testing.T) {
	t.Parallel()
	for what, plant := range map[string]func(state, precious string) error{
		"a second name": func(state, precious string) error { return os.Link(precious, state) },
		"a link":        func(state, precious string) error { return os.Symlink(precious, state) },
		"writable": func(state, _ string) error {
			return os.WriteFile(state, []byte("x"), 0o600)
		},
	} {
		s, m, _, told := resumable(t)
		path, data := writeFile(t, large)
		interruptPut(t, s, m, path, 3)
		state := states(t, m)[0]
		require.NoError(t, os.Remove(state))
		precious := filepath.Join(t.TempDir(), "precious")
		require.NoError(t, os.WriteFile(precious, []byte("precious"), 0o600))
		require.NoError(t, plant(state, precious))
		if what == "writable" {
			require.NoError(t, os.Chmod(state, 0o622)) //nolint:gosec // the mode is what is tested
		}
		s.Expire()
		_, err := m.PutFile(t.Context(), path, to("k"))
		require.NoError(t, err)
		stored(t, s, data)
		same(t, precious, []byte("precious"))
		require.Contains(t, told.all(), "cannot be resumed", what)
		require.Len(t, states(t, m), 1, "it is not ours to remove")
	}
}
