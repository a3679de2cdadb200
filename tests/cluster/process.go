package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// stopLimit is how long a process may take to end after SIGTERM before it is killed.
const stopLimit = 30 * time.Second

// Process is a daemon that can be stopped, killed and restarted with the same arguments. Its methods are not safe
// for concurrent use.
type Process struct {
	Name string // for messages and the name of its log file
	path string
	args []string
	env  []string
	log  string

	cmd    *exec.Cmd
	done   chan struct{} // closed when it has ended
	err    error         // how it ended; valid after done
	killed bool          // by Kill, since the last Start
}

// newProcess prepares a process whose output is written to NAME.log in dir.
func newProcess(dir, name, path string, env []string, args ...string) *Process {
	return &Process{Name: name, path: path, args: args, env: env, log: filepath.Join(dir, name+".log")}
}

// Start runs the process. Its output is appended to its log.
func (p *Process) Start() error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(p.path, p.args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = p.env, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := startOnLastingThread(cmd); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	p.cmd, p.done, p.killed = cmd, make(chan struct{}), false
	go func(done chan struct{}) {
		p.err = cmd.Wait()
		close(done)
	}(p.done)
	return nil
}

// PID is the id of the running or last process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Ended is closed once the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.done }

// Err returns how the process ended; nil means exit status 0. It is valid once Ended is closed.
func (p *Process) Err() error { return p.err }

// Running reports whether the process was started and has not ended.
func (p *Process) Running() bool {
	if p.done == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Kill ends the process as a crash would.
func (p *Process) Kill() error {
	p.killed = p.Running()
	return p.end(syscall.SIGKILL)
}

// Pause stops the process with SIGSTOP, as if the machine hung; Resume continues it.
func (p *Process) Pause() error { return p.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (p *Process) Resume() error { return p.cmd.Process.Signal(syscall.SIGCONT) }

// Stop terminates the process and waits for it. An exit code other than 0 is an error, unless Kill caused it.
func (p *Process) Stop() error {
	if err := p.end(syscall.SIGTERM); err != nil {
		return err
	}
	if p.err != nil && !p.killed {
		return fmt.Errorf("%s: %w\n%s", p.Name, p.err, p.Tail(20))
	}
	return nil
}

func (p *Process) end(sig syscall.Signal) error {
	if !p.Running() {
		return nil
	}
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	limit := time.NewTimer(stopLimit)
	defer limit.Stop()
	select {
	case <-p.done:
		return nil
	case <-limit.C:
		_ = p.cmd.Process.Kill()
		<-p.done
		return fmt.Errorf("%s did not end within %v of %v\n%s", p.Name, stopLimit, sig, p.Tail(20))
	}
}

// ending describes how the process ended; valid after done.
func (p *Process) ending() error { return cmp.Or(p.err, errors.New("exit status 0")) }

// Tail returns the last lines of the process's log, for messages.
func (p *Process) Tail(lines int) string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// starter runs commands on one thread that lives as long as the program:
// Pdeathsig fires when the thread that started a process ends, not the program.
var starter = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

func startOnLastingThread(cmd *exec.Cmd) error {
	result := make(chan error, 1)
	starter() <- func() { result <- cmd.Start() }
	return <-result
}

// waitFor polls until check returns nil, the process has ended or ctx has: another process offers no signal to wait
// for.
func (p *Process) waitFor(ctx context.Context, what string, check func(context.Context) error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended before it was %s: %w\n%s", p.Name, what, p.ending(), p.Tail(20))
		case <-ctx.Done():
			return fmt.Errorf("%s is not %s: %w\n%s", p.Name, what, err, p.Tail(20))
		case <-tick.C:
		}
	}
}
