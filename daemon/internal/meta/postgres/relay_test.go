package postgres_test

import (
	"bytes"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// relay forwards connections to a server, which can be changed; those there are then cut.
type relay struct {
	address string
	held    atomic.Bool            // takes bytes and forwards none
	holdAt  atomic.Pointer[[]byte] // hold when such bytes come, from either side

	mu     sync.Mutex // guards the following fields
	server string
	open   []net.Conn
}

func newRelay(tb testing.TB, server string) *relay {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	r := &relay{address: l.Addr().String(), server: server}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			r.mu.Lock()
			upstream, err := net.Dial("tcp", r.server)
			if err != nil {
				r.mu.Unlock()
				client.Close()
				continue
			}
			r.open = append(r.open, client, upstream)
			r.mu.Unlock()
			all.Go(func() { r.forward(upstream, client) })
			all.Go(func() { r.forward(client, upstream) })
		}
	})
	tb.Cleanup(func() {
		require.NoError(tb, l.Close())
		r.turnTo("")
		all.Wait()
	})
	return r
}

// forward copies until either end closes, and then closes both.
func (r *relay) forward(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if at := r.holdAt.Load(); at != nil && bytes.Contains(buf[:n], *at) {
			r.hold()
		}
		if r.held.Load() {
			continue
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// hold makes the server fall silent, with all connections in place.
func (r *relay) hold() { r.held.Store(true) }

// turnTo cuts all connections and leads new ones to another server.
func (r *relay) turnTo(server string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.server = server
	for _, c := range r.open {
		c.Close()
	}
	r.open = nil
}

// hostOf is host:port of a DSN.
func hostOf(tb testing.TB, dsn string) string {
	tb.Helper()
	cfg, err := pgx.ParseConfig(dsn)
	require.NoError(tb, err)
	return net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port)))
}
