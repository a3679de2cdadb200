package link

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Report logs what the store is connected to, and how that connection is protected. A DSN that leaves TLS to
// the server may be an oversight, so plain text that leaves the machine is then logged as a warning.
// It makes the first connection, and fails when that fails.
func (k *Calls) Report(ctx context.Context, log *slog.Logger) error {
	pooled, err := k.acquire(ctx)
	if err != nil {
		return err
	}
	defer pooled.Release()
	c := pooled.Conn()
	cfg := c.Config()
	if err := checkEncoding(c.PgConn().ParameterStatus("server_encoding"), cfg.Database); err != nil {
		return err
	}
	nc := c.PgConn().Conn()
	protection := "none"
	encrypted, isTLS := nc.(*tls.Conn)
	if isTLS {
		protection = tls.VersionName(encrypted.ConnectionState().Version)
	}
	mode := sslMode(&cfg.Config)
	attrs := []any{
		"address", nc.RemoteAddr().String(), "database", cfg.Database, "server_version", c.PgConn().ParameterStatus("server_version"),
		"sslmode", mode, "tls", protection, "pooler", k.session.pooled.Load(),
	}
	if !isTLS && isUnmeant(mode, nc.RemoteAddr()) {
		log.WarnContext(ctx, "the connection to the database is not encrypted: the server offers no TLS, and --database does not demand it",
			append(attrs, "hint", "switch TLS on in the server and add sslmode=verify-full to --database; sslmode=disable says that plain text is meant")...)
		return nil
	}
	log.InfoContext(ctx, "connected to the database", attrs...)
	return nil
}

// encoding is the only one in which a database can store every name and value that a client may send.
const encoding = "UTF8"

// checkEncoding refuses a database that was created with another encoding, as "initdb" does in the locale C: it would fail on
// some values only, much later. A server that does not report the encoding (name "") has none but UTF-8. Invalid.
func checkEncoding(name, database string) error {
	if name == "" || name == encoding {
		return nil
	}
	return store.Errorf(store.Invalid, "the database %q has the encoding %s, not %s", database, name, encoding).
		WithHint("Create one with: CREATE DATABASE ringstore ENCODING 'UTF8' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C', and name it in --database.")
}

// isUnmeant reports whether plain text to the address may be an oversight: it leaves the machine, and the
// mode left the choice to the server.
func isUnmeant(mode string, a net.Addr) bool {
	t, ok := a.(*net.TCPAddr)
	return ok && !t.IP.IsLoopback() && (mode == "prefer" || mode == "allow")
}

// sslMode is the sslmode that the configuration was made from, by the DSN, the environment or the driver's default.
func sslMode(c *pgconn.Config) string {
	var others []*pgconn.FallbackConfig // other ways to the same host
	for _, f := range c.Fallbacks {
		if f.Host == c.Host && f.Port == c.Port {
			others = append(others, f)
		}
	}
	switch t := c.TLSConfig; {
	case t == nil && len(others) > 0 && others[0].TLSConfig != nil:
		return "allow"
	case t == nil:
		return "disable"
	case len(others) > 0 && others[0].TLSConfig == nil:
		return "prefer"
	case !t.InsecureSkipVerify:
		return "verify-full"
	case t.VerifyPeerCertificate != nil || t.VerifyConnection != nil:
		return "verify-ca"
	}
	return "require"
}
