//go:build linux

package script_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// ordinary is a user to whom file permissions apply, for when the tests run as root.
const ordinary = 65534

// asOrdinary runs s3ctl as that user in a folder of theirs, and returns the reported actions as sorted lines, without facts that only a real run knows, and the exit code.
func (s *session) asOrdinary(dir string, args ...string) (lines []string, code int) {
	s.t.Helper()
	cmd := s.command(s.t.Context(), append([]string{"--json"}, args...)...)
	cmd.Path, cmd.Dir = filepath.Join(dir, "s3ctl"), dir
	cmd.Env = append(cmd.Env, "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_STATE_HOME="+dir)
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: ordinary, Gid: ordinary}}
	}
	out, err := cmd.Output()
	if exit, ended := err.(*exec.ExitError); ended { //nolint:errorlint // it is not wrapped
		code = exit.ExitCode()
	} else {
		require.NoError(s.t, err)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, `"action"`) {
			lines = append(lines, regexp.MustCompile(`,"(file_id|crc64nvme)":"[^"]*"|,"dry_run":true`).ReplaceAllString(line, ""))
		}
	}
	slices.Sort(lines)
	return lines, code
}

// A name that cannot be read is unknown, and one that cannot be written is refused: --dry-run reports the same, and nothing is removed.
func TestSync_Permissions(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	dir, err := os.MkdirTemp("", "permissions-") // other users cannot enter t.TempDir
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	program, err := os.ReadFile(s3ctl)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "s3ctl"), program, 0o755)) //nolint:gosec // a program
	for _, name := range []string{"src/a", "src/b", "src/closed/x", "out/sub/old", "out/sub/extra", "out/shut/y", "out/extra"} {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte("local"), 0o644))
	}
	for name, mode := range map[string]os.FileMode{"src/a": 0, "src/closed": 0, "out/sub": 0o555, "out/shut": 0} {
		require.NoError(t, os.Chmod(filepath.Join(dir, name), mode))
		t.Cleanup(func() { _ = os.Chmod(filepath.Join(dir, name), 0o755) }) // a later run may have removed it
	}
	require.NoError(t, filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if os.Geteuid() != 0 || err != nil {
			return nil //nolint:nilerr // without root the folders belong to this user, who cannot read the closed ones
		}
		return os.Lchown(path, ordinary, ordinary)
	}))
	require.NoError(t, os.Chmod(dir, 0o755)) //nolint:gosec // the other user must be able to enter
	for _, key := range []string{"up/closed/x", "up/extra", "down/sub/old", "down/shut/new", "down/fine"} {
		s.store(key, "stored")
	}
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"sync", "--delete", "--yes", "src", "s3://" + s.bucket + "/up"}, "src/b"},
		{[]string{"sync", "--delete", "--yes", "s3://" + s.bucket + "/down", "out"}, "out/fine"},
	} {
		dry, dryCode := s.asOrdinary(dir, append(slices.Clone(tc.args), "--dry-run")...)
		real, code := s.asOrdinary(dir, tc.args...)
		require.Equal(t, real, dry)
		require.Equal(t, []int{10, 10}, []int{dryCode, code})
		require.Len(t, real, 1, "%q", real)
		require.Contains(t, real[0], tc.want)
	}
	require.NoError(t, s.run(0, "stat", "s3://"+s.bucket+"/up/closed/x", "s3://"+s.bucket+"/up/extra"), "nothing is removed")
	for _, name := range []string{"out/sub/old", "out/sub/extra", "out/shut/y", "out/extra"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if os.Geteuid() != 0 && strings.HasPrefix(name, "out/shut") {
			continue
		}
		require.NoError(t, err)
		require.Equal(t, "local", string(data))
	}
}
