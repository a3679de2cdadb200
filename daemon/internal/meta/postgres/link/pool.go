package link

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sys/unix"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

const (
	// keptConns are kept open when idle, so that the first calls after a pause are fast.
	keptConns = 2
	// graceOfCanceled is the time in which the statement of a caller that went away
	// may still end by itself; the connection is then kept, and closed otherwise.
	graceOfCanceled = 50 * time.Millisecond
	// idleForLook is how long a connection was idle that is looked at before it is used; idleForPing is the same for
	// asking the server for an answer, and pingLimit how long that may take.
	idleForLook = 10 * time.Millisecond
	idleForPing = time.Second
	pingLimit   = time.Second
	// probesOfDeadPeer is how many keepalive probes go unanswered before a connection counts as broken.
	probesOfDeadPeer = 3
)

// Address is the address of a database with the options of its connections.
type Address struct {
	config  *pgxpool.Config
	session *session
	opts    Options
}

// Parse parses a DSN: a postgres:// URL or key=value pairs, several hosts allowed. Its parameters take precedence over the
// options. Invalid.
func Parse(dsn string, o Options) (*Address, error) {
	o = o.WithDefaults()
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		// The driver leaves the password out of its message.
		return nil, store.Errorf(store.Invalid, "the address of the database is malformed: %w", err).
			WithHint("Give --database as postgres://user:password@host:5432/name.")
	}
	if !strings.Contains(dsn, "pool_max_conns") {
		cfg.MaxConns = int32(o.MaxConns)
	}
	cfg.MinConns = min(keptConns, cfg.MaxConns)
	cfg.HealthCheckPeriod = 5 * time.Second
	cfg.PingTimeout = min(pingLimit, o.ConnectTimeout)

	c := cfg.ConnConfig
	c.ConnectTimeout = o.ConnectTimeout
	c.DialFunc = dialer(o.DeadPeer).DialContext
	c.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.DeadlineContextWatcherHandler{Conn: c.Conn(), DeadlineDelay: graceOfCanceled}
	}
	for name, value := range map[string]string{"application_name": "ringstore", "client_encoding": encoding} {
		if _, ok := c.RuntimeParams[name]; !ok {
			c.RuntimeParams[name] = value
		}
	}
	s, err := newSession(c.RuntimeParams, o.StatementTimeout)
	if err != nil {
		return nil, err
	}
	o.StatementTimeout = s.limit
	return &Address{config: cfg, session: s, opts: o}, nil
}

// Options returns the options in effect, those of the DSN included.
func (a *Address) Options() Options { return a.opts }

// Calls returns a pool for calls of clients. It connects when first used. Once closed is set its calls fail with ErrClosed.
func (a *Address) Calls(ctx context.Context, closed *atomic.Bool) (*Calls, error) {
	return a.calls(ctx, a.config.Copy(), closed)
}

// Control returns a pool of a few connections for the control plane.
func (a *Address) Control(ctx context.Context, closed *atomic.Bool) (*Calls, error) {
	few := a.config.Copy()
	few.MaxConns, few.MinConns = int32(a.opts.ControlConns), 0
	return a.calls(ctx, few, closed)
}

func (a *Address) calls(ctx context.Context, cfg *pgxpool.Config, closed *atomic.Bool) (*Calls, error) {
	pool, err := newPool(ctx, cfg, a.session)
	if err != nil {
		return nil, err
	}
	return &Calls{pool: pool, session: a.session, opts: a.opts, closed: closed}, nil
}

// Unlimited returns a pool of that many connections without a statement limit, for migrations. It must be closed.
func (a *Address) Unlimited(ctx context.Context, conns int32) (*pgxpool.Pool, error) {
	cfg := a.config.Copy()
	cfg.MaxConns, cfg.MinConns = conns, 0
	return newPool(ctx, cfg, a.session.unlimited())
}

// newPool makes a pool; it connects when first used.
func newPool(ctx context.Context, cfg *pgxpool.Config, s *session) (*pgxpool.Pool, error) {
	limit := cfg.ConnConfig.ConnectTimeout
	cfg.BeforeConnect = s.configure
	cfg.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		return s.start(ctx, c)
	}
	cfg.ShouldPing = func(_ context.Context, p pgxpool.ShouldPingParams) bool {
		return isDoubtful(p.Conn, p.IdleDuration, s.pooled.Load())
	}
	return pgxpool.NewWithConfig(ctx, cfg)
}

// dialer detects a server that vanished within the given time, while a connection is idle or waits for
// an answer. Unread bytes are no sign of that: a server that is busy with the first
// statement of a pipeline leaves the rest in the sockets for as long as the statement
// takes. So they have no limit (TCP_USER_TIMEOUT); the limit of each call ends it.
func dialer(deadPeer time.Duration) *net.Dialer {
	return &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: max(deadPeer/2, time.Second), Interval: max(deadPeer/2/probesOfDeadPeer, time.Second), Count: probesOfDeadPeer,
	}}
}

// isDoubtful inspects a connection of the pool before it is used, and reports whether it should be
// pinged first. A connection that the server has ended does not answer, and is replaced: as nothing was sent on
// it, that is safe for changes, too.
func isDoubtful(c *pgx.Conn, idle time.Duration, pooled bool) bool {
	if idle < idleForLook {
		return false // whether the server is alive shows with the next statement
	}
	nc := c.PgConn().Conn()
	if encrypted, ok := nc.(*tls.Conn); ok {
		nc = encrypted.NetConn()
	}
	if peek(nc) >= 0 {
		return true // the end of the stream, or a notice, possibly about why the server ended the connection
	}
	return idle > idleForPing && !pooled // an answer through a pooler takes a server connection, and so the time until one is free
}

// peek reports how many bytes wait to be read, at most 1; 0 at the end of the stream, and -1 when there is nothing yet.
func peek(c net.Conn) (n int) {
	sys, ok := c.(syscall.Conn)
	if !ok {
		return -1
	}
	raw, err := sys.SyscallConn()
	if err != nil {
		return 0
	}
	var buf [1]byte
	var failed error
	// Not raw.Read, which would wait for a read that the driver left in progress on the idle connection.
	err = raw.Control(func(fd uintptr) {
		n, _, failed = unix.Recvfrom(int(fd), buf[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	})
	switch {
	case err != nil:
		return 0
	case errors.Is(failed, unix.EAGAIN), errors.Is(failed, unix.EINTR):
		return -1
	case failed != nil:
		return 0 // the connection was reset
	}
	return n
}

// WarnOfRisks logs a warning when the server may lose what it acknowledged.
func (k *Calls) WarnOfRisks(ctx context.Context, log *slog.Logger) error {
	for _, name := range []string{"fsync", "full_page_writes"} {
		var value *string
		if err := k.pool.QueryRow(ctx, "SELECT current_setting($1, true)", name).Scan(&value); err != nil {
			return err
		}
		if value != nil && *value == "off" {
			log.WarnContext(ctx, "the database may lose acknowledged writes in a crash of its machine",
				"setting", name, "value", "off", "hint", "set "+name+" = on in postgresql.conf")
		}
	}
	return nil
}
