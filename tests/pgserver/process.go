package pgserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// process is a running server: PostgreSQL's postmaster, or a pooler.
type process struct {
	cmd    *exec.Cmd
	log    *logTail
	exited chan struct{} // closed after cmd.Wait
}

// program says how a server is started, and what it logs once it takes connections.
type program struct {
	path  string
	args  []string
	dir   string // where it runs
	ready string
}

// startProcess starts the server and returns once it takes connections. A
// failed start leaves no process.
func startProcess(ctx context.Context, what program, who account) (*process, error) {
	p := &process{log: newLogTail(what.ready), exited: make(chan struct{})}
	p.cmd = exec.Command(what.path, what.args...)
	p.cmd.Env = append(os.Environ(), "LC_ALL=C")
	p.cmd.SysProcAttr = who.attributes()
	p.cmd.Dir = what.dir
	p.cmd.Stderr = p.log
	p.cmd.WaitDelay = time.Second // do not wait for a child that outlives the postmaster
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("pgserver: %w", err)
	}
	go func() {
		_ = p.cmd.Wait() // the log is more informative than the status
		close(p.exited)
	}()
	select {
	case <-p.log.ready:
		return p, nil
	case <-p.exited:
		return nil, fmt.Errorf("pgserver: %s ended while starting:\n%s", what.path, p.log)
	case <-ctx.Done():
		return nil, errors.Join(fmt.Errorf("pgserver: start: %w:\n%s", ctx.Err(), p.log), p.end(syscall.SIGQUIT, stopPatience))
	}
}

func (p *process) running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// end sends the signal and waits; a process that does not end in time is killed.
func (p *process) end(sig syscall.Signal, patience time.Duration) error {
	for _, sig := range []syscall.Signal{sig, syscall.SIGQUIT, syscall.SIGKILL} {
		_ = p.cmd.Process.Signal(sig) // fails only when it has ended
		timer := time.NewTimer(patience)
		select {
		case <-p.exited:
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
	return fmt.Errorf("pgserver: process %d does not end", p.cmd.Process.Pid)
}

// logTail keeps the end of the server's log and tells when it says that it is ready.
type logTail struct {
	sentence []byte
	ready    chan struct{} // closed at the sentence

	mu   sync.Mutex // guards the following fields
	text []byte
	seen bool
}

const logTailBytes = 16 << 10

func newLogTail(sentence string) *logTail {
	return &logTail{sentence: []byte(sentence), ready: make(chan struct{})}
}

var _ io.Writer = (*logTail)(nil)

func (l *logTail) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, b...)
	if !l.seen && bytes.Contains(l.text, l.sentence) {
		l.seen = true
		close(l.ready)
	}
	if over := len(l.text) - logTailBytes; over > 0 {
		l.text = append(l.text[:0], l.text[over:]...)
	}
	return len(b), nil
}

func (l *logTail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}
