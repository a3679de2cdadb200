package script_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// setTime sets a modification time to the nanosecond for any year.
func setTime(t *testing.T, path string, at time.Time) {
	t.Helper()
	ts, err := unix.TimeToTimespec(at)
	require.NoError(t, err)
	require.NoError(t, unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{ts, ts}, 0))
}

// int64 nanoseconds since 1970 do not reach beyond 2262.
func TestSync_TimesFarAway(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	require.NoError(t, os.Mkdir(s.path("s"), 0o700))
	at := map[string]time.Time{}
	for _, text := range []string{"1902-01-01T00:00:00Z", "1969-12-31T23:59:59.5Z", "2040-01-01T00:00:00Z", "2262-01-01T00:00:00Z", "2300-01-01T00:00:00Z", "2440-01-01T00:00:00Z"} {
		when, err := time.Parse(time.RFC3339Nano, text)
		require.NoError(t, err)
		name := fmt.Sprint(when.Year())
		require.NoError(t, os.WriteFile(s.path("s/"+name), []byte("x"), 0o600))
		setTime(t, s.path("s/"+name), when)
		info, err := os.Stat(s.path("s/" + name))
		require.NoError(t, err)
		if !info.ModTime().Equal(when) {
			t.Logf("the file system here does not keep %s", text)
		}
		at[name] = info.ModTime()
	}
	require.NoError(t, s.run(0, "sync", "s", "s3://"+s.bucket+"/s"), string(s.stderr))
	require.NoError(t, s.run(0, "sync", "s3://"+s.bucket+"/s", "d"), string(s.stderr))
	for name, when := range at {
		info, err := os.Stat(s.path("d/" + name))
		require.NoError(t, err)
		require.True(t, info.ModTime().Equal(when), "%s: %s, not %s", name, info.ModTime(), when)
	}
	require.NoError(t, s.run(0, "sync", "s3://"+s.bucket+"/s", "d"))
	require.Empty(t, s.stdout, "nothing is fetched again")
	require.NoError(t, s.run(0, "sync", "d", "s3://"+s.bucket+"/s"))
	require.Empty(t, s.stdout, "and no other time is stored")
}

// openTerminal opens a pseudo-terminal of so many columns, and returns the user's end and the program's.
func openTerminal(t *testing.T, columns uint16) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("there are no terminals here: %v", err)
	}
	t.Cleanup(func() { person.Close() })
	fd := int(person.Fd())
	require.NoError(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	require.NoError(t, err)
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	require.NoError(t, unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}))
	return person, program
}

var escapes = regexp.MustCompile("\x1b\\[[0-9;?]*[A-Za-z]")

// A bar wider than its terminal would leave a line behind with every frame.
func TestBar_OnANarrowTerminal(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	require.NoError(t, s.random("f", "3000000"))
	for _, columns := range []uint16{300, 80, 46, 40, 30, 20} {
		person, program := openTerminal(t, columns)
		cmd := s.command(t.Context(), "put", "--bwlimit", "4M", "f", "s3://"+s.bucket+"/f")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = program, program, program
		require.NoError(t, cmd.Start())
		require.NoError(t, program.Close())
		out, err := io.ReadAll(person)
		require.True(t, err == nil || errors.Is(err, syscall.EIO), "%v", err) // EIO: no program has the terminal open any more
		require.NoError(t, cmd.Wait())
		frames := 0
		for _, text := range strings.FieldsFunc(escapes.ReplaceAllString(string(out), ""), func(r rune) bool { return r == '\r' || r == '\n' }) {
			if strings.Contains(text, "%") {
				frames++
				require.Less(t, len(text), int(columns), "%q", text)
			}
		}
		require.Positive(t, frames)
	}
}
