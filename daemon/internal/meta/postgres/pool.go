package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"strings"
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
	// keptConns are held open when there is nothing to do, so that the first calls after a pause are fast.
	keptConns = 2
	// graceOfCanceled is the time in which the statement of a caller that went away
	// may still end by itself; the connection is then kept, and closed otherwise.
	graceOfCanceled = 50 * time.Millisecond
	// idleForPing is how long a connection was idle that is asked for an answer before it is used, and pingLimit how
	// long it may take for that.
	idleForPing = time.Second
	pingLimit   = time.Second
	// probesOfDeadPeer is how many keepalive probes go unanswered before a connection counts as broken.
	probesOfDeadPeer = 3
)

// poolConfig reads the DSN. The session has those of its parameters that are settings of the server.
func poolConfig(dsn string, o Options) (*pgxpool.Config, *session, error) {
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		// The driver leaves the password out of its message.
		return nil, nil, store.Errorf(store.Invalid, "the address of the database is malformed: %w", err).
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
	if _, ok := c.RuntimeParams["application_name"]; !ok {
		c.RuntimeParams["application_name"] = "ringstore"
	}
	s, err := newSession(c.RuntimeParams, o.StatementTimeout)
	return cfg, s, err
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
		return p.IdleDuration > idleForPing && !s.pooled.Load() // which would wait for a server connection
	}
	cfg.PrepareConn = func(ctx context.Context, c *pgx.Conn) (bool, error) {
		return isAlive(ctx, c), nil
	}
	return pgxpool.NewWithConfig(ctx, cfg)
}

// dialer notices a server that vanished within the given time, while a connection is idle or waits for
// an answer. Bytes that a server does not take are no sign of that: one that is busy with the first
// statement of a pipeline leaves the rest of it in the sockets for as long as the statement
// takes. So there is no limit on those (TCP_USER_TIMEOUT); the limit of each call ends it.
func dialer(deadPeer time.Duration) *net.Dialer {
	return &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: max(deadPeer/2, time.Second), Interval: max(deadPeer/2/probesOfDeadPeer, time.Second), Count: probesOfDeadPeer,
	}}
}

// isAlive looks at a connection of the pool before it is used. One that the server ended meanwhile is not
// used: as nothing was sent on it, taking another is safe for changes, too.
func isAlive(ctx context.Context, c *pgx.Conn) bool {
	nc := c.PgConn().Conn()
	if encrypted, ok := nc.(*tls.Conn); ok {
		nc = encrypted.NetConn()
	}
	switch n := peek(nc); {
	case n < 0:
		return true // nothing waits to be read, as it should be
	case n == 0:
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, pingLimit)
	defer cancel()
	return c.Ping(ctx) == nil // there is a notice, perhaps the one that says why the server ended the connection
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

// warnOfRisks tells the log when the server may lose what it acknowledged.
func warnOfRisks(ctx context.Context, pool *pgxpool.Pool, log *slog.Logger) error {
	for _, name := range []string{"fsync", "full_page_writes"} {
		var value *string
		if err := pool.QueryRow(ctx, "SELECT current_setting($1, true)", name).Scan(&value); err != nil {
			return err
		}
		if value != nil && *value == "off" {
			log.WarnContext(ctx, "the database may lose acknowledged writes in a crash of its machine",
				"setting", name, "value", "off", "hint", "set "+name+" = on in postgresql.conf")
		}
	}
	return nil
}
