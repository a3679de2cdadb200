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
	"strings"
	"syscall"
)

// PoolerOptions configure how a Pooler lends its server connections. The zero value suits tests.
type PoolerOptions struct {
	ServerConns int // to each database at most; 0: 20
}

// Pooler is a PgBouncer in transaction mode, with the defaults of its release otherwise: it accepts no parameter at
// the start of a connection that it does not know, and keeps no prepared statements.
type Pooler struct {
	dir     string // holds its configuration, pid file and socket
	port    int
	process *process
}

// NewPooler starts a pooler before the server, which may stop and start meanwhile. The caller must Close it before the server.
// It fails when the machine has no PgBouncer, saying how to get it.
func (s *Server) NewPooler(ctx context.Context, o PoolerOptions) (_ *Pooler, err error) {
	path, err := findPooler()
	if err != nil {
		return nil, err
	}
	p := new(Pooler)
	if p.port, err = FreePort(); err != nil {
		return nil, err
	}
	if p.dir, err = os.MkdirTemp(s.dir, "pooler-"); err != nil {
		return nil, fmt.Errorf("pgserver: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(p.dir))
		}
	}()
	config := filepath.Join(p.dir, "pgbouncer.ini")
	for name, text := range map[string]string{config: p.config(s, o), p.users(): strconv.Quote(User) + ` ""` + "\n"} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return nil, fmt.Errorf("pgserver: %w", err)
		}
	}
	if err := s.account.own(p.dir); err != nil {
		return nil, fmt.Errorf("pgserver: %w", err)
	}
	p.process, err = startProcess(ctx, program{path, []string{config}, p.dir, "process up"}, s.account)
	return p, err
}

func (p *Pooler) users() string { return filepath.Join(p.dir, "users") }

func (p *Pooler) config(s *Server, o PoolerOptions) string {
	conns := o.ServerConns
	if conns == 0 {
		conns = 20
	}
	return strings.Join([]string{
		"[databases]",
		fmt.Sprintf("* = host=%s port=%d", s.dir, s.port),
		"[pgbouncer]",
		"pool_mode = transaction",
		"listen_addr = 127.0.0.1",
		fmt.Sprintf("listen_port = %d", p.port),
		"unix_socket_dir = " + p.dir,
		"auth_type = trust",
		"auth_file = " + p.users(),
		"pidfile = " + filepath.Join(p.dir, "pid"),
		"max_client_conn = 500",
		fmt.Sprintf("default_pool_size = %d", conns),
		"server_login_retry = 0.1",
		"",
	}, "\n")
}

// DSN gives the connection string of a database of the server, through the pooler.
func (p *Pooler) DSN(database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.User(User), Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)),
		Path: "/" + database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Close ends the pooler and its connections.
func (p *Pooler) Close() error {
	return errors.Join(p.process.end(syscall.SIGTERM, stopPatience), os.RemoveAll(p.dir))
}

// findPooler looks on PATH, then where Debian keeps it, which is off the PATH of most users.
func findPooler() (string, error) {
	for _, name := range []string{"pgbouncer", "/usr/sbin/pgbouncer"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("pgserver: no pgbouncer on PATH or in /usr/sbin; " +
		"`make test` installs it, or by hand: apt-get install pgbouncer (Debian and Ubuntu)")
}
