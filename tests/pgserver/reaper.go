package pgserver

import (
	"fmt"
	"io"
	"os/exec"
	"syscall"
)

// reaper cleans up after a program that could not. It is a shell that waits for
// the end of its standard input, which the kernel closes however the program
// ends, then ends the server that the directory's pid file names and removes the directory.
type reaper struct {
	cmd  *exec.Cmd
	pipe io.Closer
}

// A pid file that is there names a live postmaster of ours: nothing else writes
// into the directory, and a postmaster that ends removes it. After a crash of the
// postmaster itself the number may be stale, so the process must also be a
// postgres on this directory. The same holds for the poolers beside it.
const reaperScript = `
cat >/dev/null
for file in "$1"/pooler-*/pid "$1/data/postmaster.pid"; do
	pid=$(head -n 1 "$file" 2>/dev/null)
	if [ -n "$pid" ] && tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q -F "${file%/*}"; then
		kill -QUIT "$pid"
		n=0
		while kill -0 "$pid" 2>/dev/null && [ $n -lt 100 ]; do sleep 0.1; n=$((n+1)); done
	fi
done
rm -rf "$1"
`

func startReaper(dir string) (*reaper, error) {
	cmd := exec.Command("/bin/sh", "-c", reaperScript, "pgserver-reaper", dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("pgserver: reaper: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("pgserver: reaper: %w", err)
	}
	return &reaper{cmd: cmd, pipe: pipe}, nil
}

// dismiss ends the reaper, which finds nothing left to do. Repeated and nil are fine.
func (r *reaper) dismiss() error {
	if r == nil || r.cmd.ProcessState != nil {
		return nil
	}
	_ = r.pipe.Close()
	return r.cmd.Wait()
}
