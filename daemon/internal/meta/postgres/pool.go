package postgres

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strconv"
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
	// deadPeer is how long unacknowledged bytes may lie on a connection before it counts as broken.
	deadPeer = 10 * time.Second
	// graceOfCanceled is the time in which the statement of a caller that went away
	// may still end by itself; the connection is then kept, and closed otherwise.
	graceOfCanceled = 50 * time.Millisecond
)

// newPool makes a pool; it connects when first used.
func newPool(ctx context.Context, dsn string, o Options) (*pgxpool.Pool, error) {
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
	cfg.PingTimeout = o.ConnectTimeout
	cfg.AfterConnect = prepareSession

	conn := cfg.ConnConfig
	conn.ConnectTimeout = o.ConnectTimeout
	conn.DialFunc = (&net.Dialer{Control: breakDeadPeers, KeepAlive: deadPeer}).DialContext
	conn.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.DeadlineContextWatcherHandler{Conn: c.Conn(), DeadlineDelay: graceOfCanceled}
	}
	defaultParam(conn, "application_name", "ringstore")
	defaultParam(conn, "statement_timeout", strconv.FormatInt(o.StatementTimeout.Milliseconds(), 10))
	return pgxpool.NewWithConfig(ctx, cfg)
}

// defaultParam sets a parameter that the DSN left open.
func defaultParam(c *pgx.ConnConfig, name, value string) {
	if _, ok := c.RuntimeParams[name]; !ok {
		c.RuntimeParams[name] = value
	}
}

// breakDeadPeers makes the kernel give up on a server that vanished without a word.
func breakDeadPeers(network, _ string, raw syscall.RawConn) (err error) {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	ctlErr := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(deadPeer.Milliseconds()))
	})
	return errors.Join(err, ctlErr)
}

// sessionSettings hold for every connection. All our statements find their rows by an index and
// are prepared; a plan that was made while a table was small must not stay
// with us as it grows, so plans that read whole tables are ruled out from the start.
const sessionSettings = `SELECT set_config('plan_cache_mode', 'force_generic_plan', false), set_config('enable_seqscan', 'off', false),
	set_config('enable_hashjoin', 'off', false), set_config('enable_mergejoin', 'off', false),
	set_config('enable_bitmapscan', 'off', false), set_config('jit', 'off', false)`

// prepareSession settles a new connection: never less than synchronous commits, and stable plans
// where the engine knows these settings.
func prepareSession(ctx context.Context, c *pgx.Conn) error {
	var level string
	if err := c.QueryRow(ctx, "SHOW synchronous_commit", pgx.QueryExecModeSimpleProtocol).Scan(&level); err != nil {
		return err
	}
	if level == "off" {
		if _, err := c.Exec(ctx, "SET synchronous_commit = on"); err != nil {
			return err
		}
	}
	_, err := c.Exec(ctx, sessionSettings, pgx.QueryExecModeSimpleProtocol)
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code != "" && e.Code[:2] == "42" {
		return nil // an engine with another planner: it has no such settings
	}
	return err
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
