package link

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// setting is a parameter of the server that must be set while a statement of the store runs.
type setting struct{ name, value string }

// planSettings fix the plans. All statements find their rows by an index and are planned for
// any arguments; a plan that was made while a table was small must not be kept as the table
// grows, so plans that read whole tables are excluded from the start.
var planSettings = []setting{
	{"plan_cache_mode", "force_generic_plan"},
	{"enable_seqscan", "off"},
	{"enable_hashjoin", "off"},
	{"enable_mergejoin", "off"},
	{"enable_bitmapscan", "off"},
	{"jit", "off"},
}

// startupParams are the parameters that stay in the startup message: poolers keep them per client, or
// refuse them in words that name them. All others are settings.
var startupParams = []string{"application_name", "client_encoding", "datestyle", "options", "standard_conforming_strings", "timezone"}

// statementTimeout is the server's name for the limit of one statement.
const statementTimeout = "statement_timeout"

// session is what all connections of a store have in common: the settings, and how they are applied.
//
// On a direct connection they are set once, when it is made. Behind a pooler that lends a
// server connection per transaction they would be set on some of these connections and stay there for
// other clients; so each call sets them for its own transaction, as the first statement of its
// pipeline, and uses no prepared statements, which belong to a server connection too.
type session struct {
	asked   []setting     // of the address of the database
	limit   time.Duration // of a statement; 0: unlimited
	pooled  atomic.Bool   // a pooler lends server connections per transaction
	noPlans atomic.Bool   // the engine has another planner: it has no planSettings
}

// errPooled ends a connection that was made for a server and leads to a pooler.
var errPooled = errors.New("the database is behind a pooler")

// newSession takes the settings from the parameters of the DSN. limit is the statement limit unless the DSN has one.
func newSession(params map[string]string, limit time.Duration) (*session, error) {
	s := &session{limit: limit}
	for _, name := range slices.Sorted(maps.Keys(params)) {
		value := params[name]
		switch {
		case slices.Contains(startupParams, strings.ToLower(name)):
			continue
		case name == statementTimeout:
			d, err := serverDuration(value)
			if err != nil {
				return nil, err
			}
			s.limit = d
		default:
			s.asked = append(s.asked, setting{name, value})
		}
		delete(params, name)
	}
	return s, nil
}

// unlimited is the same session without a statement limit. Behind a pooler the server's own limit holds: a migration
// is not a call, so nothing is set before its transactions.
func (s *session) unlimited() *session {
	other := &session{asked: s.asked}
	other.pooled.Store(s.pooled.Load())
	other.noPlans.Store(s.noPlans.Load())
	return other
}

// serverDuration parses a duration in the form of the server's settings: milliseconds, or a number with a unit.
func serverDuration(text string) (time.Duration, error) {
	number := strings.TrimRight(text, "mshind ")
	n, err := strconv.ParseInt(number, 10, 32)
	unit, known := map[string]time.Duration{
		"": time.Millisecond, "ms": time.Millisecond, "s": time.Second, "min": time.Minute, "h": time.Hour, "d": 24 * time.Hour,
	}[strings.TrimSpace(text[len(number):])]
	if err != nil || !known || n < 0 {
		return 0, store.Errorf(store.Invalid, "%s=%s in the address of the database is not a duration", statementTimeout, text).
			WithHint("Give it in milliseconds, or with a unit: 15000, 15s, 1min.")
	}
	return time.Duration(n) * unit, nil
}

// statement sets everything, for the session, or (local) for the transaction.
func (s *session) statement(limit time.Duration, local bool) string {
	all := slices.Concat(s.asked, []setting{limitSetting(limit)})
	if !s.noPlans.Load() {
		all = append(all, planSettings...)
	}
	return "SELECT concat(" + setConfigs(all, local) + ", CASE WHEN current_setting('synchronous_commit', true) = 'off' THEN " +
		setConfigs([]setting{{"synchronous_commit", "on"}}, local) + " END)"
}

// onlyLimit is the statement that sets the limit of the statements after it in the transaction.
func onlyLimit(limit time.Duration) string {
	return "SELECT " + setConfigs([]setting{limitSetting(limit)}, true)
}

func limitSetting(limit time.Duration) setting {
	return setting{statementTimeout, strconv.FormatInt(limit.Milliseconds(), 10)}
}

func setConfigs(all []setting, local bool) string {
	calls := make([]string, len(all))
	for i, x := range all {
		calls[i] = "set_config(" + literal(x.name) + ", " + literal(x.value) + ", " + strconv.FormatBool(local) + ")"
	}
	return strings.Join(calls, ", ")
}

func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// before is the statement that a call must send before its own, "" when the connection has all settings.
// limit is the call's limit of each statement; 0: the store's.
func (s *session) before(limit time.Duration) string {
	switch {
	case s.pooled.Load():
		if limit == 0 {
			limit = s.limit
		}
		return s.statement(limit, true)
	case limit != 0:
		return onlyLimit(limit)
	}
	return ""
}

// configure chooses how statements are sent on the next connection.
func (s *session) configure(_ context.Context, c *pgx.ConnConfig) error {
	if s.pooled.Load() && keepsStatements(c) {
		c.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	}
	return nil
}

func keepsStatements(c *pgx.ConnConfig) bool {
	return c.DefaultQueryExecMode == pgx.QueryExecModeCacheStatement
}

// start prepares a new connection, or refuses it with errPooled: the next one is then configured for the pooler.
func (s *session) start(ctx context.Context, c *pgx.Conn) error {
	pooled, err := isPooled(ctx, c)
	if err != nil {
		return err
	}
	if pooled || !keepsStatements(c.Config()) {
		s.pooled.Store(true)
		if keepsStatements(c.Config()) {
			return errPooled
		}
	}
	local := s.pooled.Load()
	_, err = c.Exec(ctx, s.statement(s.limit, local), pgx.QueryExecModeSimpleProtocol)
	if isUnknownSetting(err) && !s.noPlans.Load() {
		s.noPlans.Store(true)
		_, err = c.Exec(ctx, s.statement(s.limit, local), pgx.QueryExecModeSimpleProtocol)
	}
	return err
}

// isPooled reports whether the process that runs the statements is not the one that was announced when the
// connection was made: a pooler invents that number, because its clients have no process of their own.
func isPooled(ctx context.Context, c *pgx.Conn) (bool, error) {
	var pid int64
	if err := c.QueryRow(ctx, "SELECT pg_backend_pid()", pgx.QueryExecModeSimpleProtocol).Scan(&pid); err != nil {
		return false, err
	}
	return uint32(pid) != c.PgConn().PID(), nil
}

func isUnknownSetting(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && strings.HasPrefix(e.Code, "42")
}
