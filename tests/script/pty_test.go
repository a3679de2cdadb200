//go:build linux

package script_test

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// patience bounds the wait for output of a shell; a test that reaches it fails.
const patience = 30 * time.Second

// terminal is a shell on its own pseudo-terminal.
type terminal struct {
	t    *testing.T
	tty  *os.File
	cmd  *exec.Cmd
	mu   sync.Mutex // guards shown
	cond *sync.Cond // signals that text has grown or over is set
	text []byte     // output since the end of the last wait
	over bool       // there is no further output
}

// startTerminal runs a program on a new terminal, until the test ends.
func startTerminal(t *testing.T, cmd *exec.Cmd) *terminal {
	t.Helper()
	tty, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	require.NoError(t, err)
	fd := int(tty.Fd())
	require.NoError(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	require.NoError(t, err)
	require.NoError(t, unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 50, Col: 400}))
	inner, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	require.NoError(t, err)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = inner, inner, inner
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	require.NoError(t, cmd.Start())
	require.NoError(t, inner.Close())
	s := &terminal{t: t, tty: tty, cmd: cmd}
	s.cond = sync.NewCond(&s.mu)
	read := make(chan struct{})
	go func() {
		defer close(read)
		s.read()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended by itself
		_ = cmd.Wait()
		_ = tty.Close()
		<-read
	})
	return s
}

func (s *terminal) read() {
	buf := make([]byte, 4096)
	for {
		n, err := s.tty.Read(buf)
		s.mu.Lock()
		s.text = append(s.text, buf[:n]...)
		s.over = err != nil // the last program has closed its end
		s.cond.Broadcast()
		over := s.over
		s.mu.Unlock()
		if over {
			return
		}
	}
}

// press types keys.
func (s *terminal) press(keys string) {
	s.t.Helper()
	_, err := s.tty.WriteString(keys)
	require.NoError(s.t, err)
}

// wait waits for a text in the output, and discards everything up to it.
func (s *terminal) wait(what *regexp.Regexp) {
	s.t.Helper()
	late := false
	timer := time.AfterFunc(patience, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		late = true
		s.cond.Broadcast()
	})
	defer timer.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if at := what.FindIndex(s.text); at != nil {
			s.text = slices.Clone(s.text[at[1]:])
			return
		}
		require.False(s.t, late || s.over, "%q was not shown, but:\n%s", what, strings.ToValidUTF8(string(s.text), "?"))
		s.cond.Wait()
	}
}
