package postgres

import (
	"crypto/tls"
	"net/netip"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Transport is how safe the way to the database is, by its connection string.
type Transport string

// From safe to unsafe.
const (
	Local      Transport = "this host only"
	Verified   Transport = "TLS, server verified"
	Unverified Transport = "TLS, server not verified"
	Plain      Transport = "plain text, or TLS only where the server offers it"
)

// TransportOf is the least safe way that a connection string lets a connection
// take; several hosts may be named, and sslmode=prefer, the default, falls back to plain text. Invalid.
func TransportOf(dsn string) (Transport, error) {
	c, err := pgx.ParseConfig(dsn)
	if err != nil {
		return "", store.Errorf(store.Invalid, "the database's address cannot be read") // the cause may hold the password
	}
	worst := transport(c.Host, c.TLSConfig)
	for _, f := range c.Fallbacks {
		if t := transport(f.Host, f.TLSConfig); t.rank() > worst.rank() {
			worst = t
		}
	}
	return worst, nil
}

func transport(host string, c *tls.Config) Transport {
	ip, err := netip.ParseAddr(host)
	switch {
	case strings.HasPrefix(host, "/") || host == "localhost" || err == nil && ip.Unmap().IsLoopback():
		return Local
	case c == nil:
		return Plain
	case c.InsecureSkipVerify && c.VerifyPeerCertificate == nil && c.VerifyConnection == nil:
		return Unverified
	default:
		return Verified
	}
}

func (t Transport) rank() int {
	return map[Transport]int{Local: 0, Verified: 1, Unverified: 2, Plain: 3}[t]
}
