package pgserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Options configure the server. The zero value suits tests.
type Options struct {
	Durable        bool              // fsync and full_page_writes on, as in production; for benchmarks
	TCP            bool              // listen on a free port of 127.0.0.1 too; every connection is trusted
	TLS            bool              // offer TLS on that port, with a certificate made for the server
	MaxConnections int               // 0: 200
	Settings       map[string]string // further lines of postgresql.conf, taken last
	TempDir        string            // parent of the server's directory; "": the system's
}

// Server is one PostgreSQL with one data directory. Its methods may be called
// from many goroutines; Stop, Start, Kill and Close wait for each other.
type Server struct {
	binaries binaries
	account  account
	dir      string // holds data/ and the socket
	port     int    // of the loopback listener; with TCP off it only names the socket
	tcp      bool
	reaper   *reaper

	mu      sync.Mutex // guards the following field
	process *process   // nil while stopped
}

// User is the superuser of every Server. Connecting as it takes no password.
const User = "postgres"

// stopPatience is how long a fast shutdown may take before it becomes an immediate one.
const stopPatience = 10 * time.Second

// New makes a data directory and starts a server on it. The caller must Close it.
// It fails when the machine has no PostgreSQL, saying how to get it.
func New(ctx context.Context, o Options) (_ *Server, err error) {
	bin, err := findBinaries()
	if err != nil {
		return nil, err
	}
	who, err := unprivileged()
	if err != nil {
		return nil, err
	}
	s := &Server{binaries: bin, account: who, port: 5432, tcp: o.TCP}
	if o.TCP {
		if s.port, err = FreePort(); err != nil {
			return nil, err
		}
	}
	if s.dir, err = makeDir(o.TempDir, who); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.reaper, err = startReaper(s.dir); err != nil {
		return nil, err
	}
	if err = s.initialize(ctx, o); err != nil {
		return nil, err
	}
	return s, s.Start(ctx)
}

// DSN gives the connection string of a database, through the Unix socket.
func (s *Server) DSN(database string) string {
	q := url.Values{"host": {s.dir}, "port": {strconv.Itoa(s.port)}, "user": {User}, "sslmode": {"disable"}}
	return "postgres:///" + url.PathEscape(database) + "?" + q.Encode()
}

// TCPDSN gives the connection string of a database through the loopback port,
// or "" where Options.TCP is off.
func (s *Server) TCPDSN(database string) string {
	if !s.tcp {
		return ""
	}
	u := url.URL{Scheme: "postgres", User: url.User(User), Host: s.address(), Path: "/" + database, RawQuery: "sslmode=disable"}
	return u.String()
}

// TLSDSN is TCPDSN over TLS, with the server's certificate verified. Options.TCP and TLS must be on.
func (s *Server) TLSDSN(database string) string {
	q := url.Values{"sslmode": {"verify-full"}, "sslrootcert": {s.certificate()}}
	u := url.URL{Scheme: "postgres", User: url.User(User), Host: s.address(), Path: "/" + database, RawQuery: q.Encode()}
	return u.String()
}

// Dir is the server's directory. Close removes it.
func (s *Server) Dir() string { return s.dir }

// Start starts a stopped server and returns once it takes connections.
// On a running one it does nothing.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil && s.process.running() {
		return nil
	}
	p, err := startProcess(ctx, program{s.binaries.postgres, []string{"-D", s.dataDir()}, s.dataDir(), "ready to accept connections"}, s.account)
	if err != nil {
		return err
	}
	s.process = p
	return nil
}

// Stop ends the server as an administrator would: connections are closed, commits
// are kept. It returns once no process of it is left; nil when it was stopped already.
func (s *Server) Stop() error { return s.end(syscall.SIGINT) }

// Kill ends the server without a shutdown, as a crash would. The next Start recovers.
func (s *Server) Kill() error { return s.end(syscall.SIGQUIT) }

// Close stops the server and removes its directory. It may be called more than once.
func (s *Server) Close() error {
	err := s.end(syscall.SIGINT)
	if s.dir != "" {
		err = errors.Join(err, os.RemoveAll(s.dir))
	}
	return errors.Join(err, s.reaper.dismiss())
}

func (s *Server) end(sig syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return nil
	}
	p := s.process
	s.process = nil
	return p.end(sig, stopPatience)
}

func (s *Server) dataDir() string { return filepath.Join(s.dir, "data") }

func (s *Server) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// initialize creates the data directory with all settings in its configuration.
func (s *Server) initialize(ctx context.Context, o Options) error {
	args := []string{"-D", s.dataDir(), "-U", User, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"}
	cmd := exec.CommandContext(ctx, s.binaries.initdb, args...)
	cmd.SysProcAttr = s.account.attributes()
	cmd.Dir = s.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("pgserver: initdb: %w\n%s", err, out)
	}
	if o.TLS {
		if err := s.makeCertificate(); err != nil {
			return err
		}
	}
	conf := filepath.Join(s.dataDir(), "postgresql.conf")
	f, err := os.OpenFile(conf, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("pgserver: settings: %w", err)
	}
	_, err = f.WriteString(s.settings(o))
	return errors.Join(err, f.Close())
}

// makeDir makes a short-named directory that the account owns: a socket's path
// must stay under 108 bytes.
func makeDir(parent string, who account) (string, error) {
	if parent == "" {
		parent = os.TempDir()
	}
	if len(parent) > 60 {
		parent = "/tmp"
	}
	dir, err := os.MkdirTemp(parent, "pgserver-")
	if err != nil {
		return "", fmt.Errorf("pgserver: %w", err)
	}
	if err := who.own(dir); err != nil {
		return "", errors.Join(fmt.Errorf("pgserver: %w", err), os.RemoveAll(dir))
	}
	return dir, nil
}
