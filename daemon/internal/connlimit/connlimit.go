package connlimit

import (
	"bufio"
	"container/list"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Config holds the limits. A zero limit is no limit.
type Config struct {
	Total      int // open connections; a further one is closed at once
	PerAddress int // open connections of one client, see Client; a further one is closed at once

	Unproven           int // open connections without Prove; a further one closes the oldest of them
	UnprovenPerAddress int // the same for one client

	// ReadBuffer is the size in bytes of a connection's read buffer. It is allocated when the
	// peer is proven, so that unauthenticated clients use none. 0: none.
	ReadBuffer int

	FreeLoopback bool         // PerAddress does not apply to loopback: a proxy, or many programs of this host
	Log          *slog.Logger // logs closed connections, at most one line a minute; nil: slog.Default
	Now          func() time.Time
}

// Client is the key under which limits and failures of an address are counted. All addresses
// of an IPv6 /64 are one client, because a host can choose among them.
func Client(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is4() || !a.IsValid() {
		return a
	}
	p, err := a.Prefix(64)
	if err != nil { // 64 fits every IPv6 address
		return a
	}
	return p.Addr()
}

// ClientOf is the client of a connection's remote address; the zero address if that is not
// an IP address.
func ClientOf(a net.Addr) netip.Addr {
	if a == nil {
		return netip.Addr{}
	}
	if p, ok := a.(peer); ok {
		return p.conn.from
	}
	p, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return Client(p.Addr())
}

// Listener is a net.Listener with limits.
type Listener struct {
	net.Listener
	config Config

	mu       sync.Mutex // guards what follows, and the state of each Conn
	open     int
	clients  map[netip.Addr]*client
	unproven list.List // of *Conn, oldest first
	closed   int       // by limits since the last log line
	logged   time.Time
}

// client counts the connections of one client. It is removed with its last connection.
type client struct {
	open     int
	unproven list.List // of *Conn, oldest first
}

// New wraps l with limits.
func New(l net.Listener, c Config) *Listener {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Listener{Listener: l, config: c, clients: map[netip.Addr]*client{}}
}

// Accept waits for a connection that is within the limits. Its RemoteAddr is the argument of
// Prove, Proven and Drop.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &Conn{Conn: raw, listener: l, from: ClientOf(raw.RemoteAddr())}
		evicted, ok := l.add(c)
		for _, old := range evicted {
			_ = old.Close()
		}
		if ok {
			return c, nil
		}
		raw.Close()
	}
}

// add counts the connection, unless a limit is reached, and returns the connections to close for it.
func (l *Listener) add(c *Conn) (evicted []*Conn, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.clients[c.from]
	if k == nil {
		k = &client{}
	}
	free := l.config.FreeLoopback && c.from.IsLoopback()
	if reached(l.open, l.config.Total) || !free && reached(k.open, l.config.PerAddress) {
		l.count(c.from)
		return nil, false
	}
	l.clients[c.from] = k
	l.open++
	k.open++
	c.counted = true
	if l.config.Unproven == 0 {
		return nil, true
	}
	if reached(k.unproven.Len(), l.config.UnprovenPerAddress) {
		evicted = append(evicted, l.evict(k.unproven.Front().Value.(*Conn)))
	} else if reached(l.unproven.Len(), l.config.Unproven) {
		evicted = append(evicted, l.evict(l.unproven.Front().Value.(*Conn)))
	}
	c.inAll, c.inOwn = l.unproven.PushBack(c), k.unproven.PushBack(c)
	return evicted, true
}

func reached(n, limit int) bool { return limit > 0 && n >= limit }

// evict removes the connection from the lists of unproven ones; the caller closes it and holds mu.
func (l *Listener) evict(c *Conn) *Conn {
	l.count(c.from)
	l.removeUnproven(c)
	return c
}

// removeUnproven removes c from the lists of unproven connections. The caller holds mu.
func (l *Listener) removeUnproven(c *Conn) {
	if c.inAll == nil {
		return
	}
	l.unproven.Remove(c.inAll)
	if k := l.clients[c.from]; k != nil {
		k.unproven.Remove(c.inOwn)
	}
	c.inAll, c.inOwn = nil, nil
}

func (l *Listener) remove(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !c.counted {
		return
	}
	c.counted = false
	l.removeUnproven(c)
	l.open--
	k := l.clients[c.from]
	if k.open--; k.open == 0 {
		delete(l.clients, c.from)
	}
}

// logEvery is the least time between two log lines about closed connections.
const logEvery = time.Minute

// count counts a connection that a limit closes. The caller holds mu.
func (l *Listener) count(from netip.Addr) {
	l.closed++
	now := l.config.Now()
	if !l.logged.IsZero() && now.Sub(l.logged) < logEvery {
		return
	}
	l.config.Log.Warn("connections were closed because a limit of open connections is reached",
		"listener", l.Addr().String(), "last_client", from.String(), "closed", l.closed, "open", l.open, "unproven", l.unproven.Len())
	l.logged, l.closed = now, 0
}

// Open reports how many connections are open, and how many of them are not proven.
func (l *Listener) Open() (open, unproven int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open, l.unproven.Len()
}

// Conn is a connection that a Listener counts until it is closed.
type Conn struct {
	net.Conn
	listener *Listener
	from     netip.Addr
	proven   atomic.Bool   // makes a repeated Prove cheap
	buffer   *bufio.Reader // nil until a read after Prove; used by the one goroutine that reads
	peeked   []byte        // returned by the next reads; used by the same

	// Guarded by listener.mu.
	counted      bool
	inAll, inOwn *list.Element // nil: proven, or no limit
}

// Read implements net.Conn. It is called by one goroutine at a time.
func (c *Conn) Read(p []byte) (int, error) {
	if len(c.peeked) > 0 {
		n := copy(p, c.peeked)
		c.Skip(n)
		return n, nil
	}
	if c.buffer != nil {
		return c.buffer.Read(p)
	}
	if c.listener.config.ReadBuffer > 0 && c.proven.Load() {
		c.buffer = bufio.NewReaderSize(c.Conn, c.listener.config.ReadBuffer)
		return c.buffer.Read(p)
	}
	return c.Conn.Read(p)
}

// Peek returns the first n bytes, which the next reads return again. It is called before the first Read.
func (c *Conn) Peek(n int) ([]byte, error) {
	c.peeked = make([]byte, n)
	if _, err := io.ReadFull(c.Conn, c.peeked); err != nil {
		return nil, err
	}
	return c.peeked, nil
}

// Skip leaves out n of the bytes that Peek returned.
func (c *Conn) Skip(n int) {
	if c.peeked = c.peeked[n:]; len(c.peeked) == 0 {
		c.peeked = nil
	}
}

// Close closes the connection and no longer counts it.
func (c *Conn) Close() error {
	c.listener.remove(c)
	return c.Conn.Close()
}

// CloseWrite closes the sending direction if the network supports it. net/http uses it so
// that an answer to a request that is still arriving is not lost.
func (c *Conn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

// RemoteAddr is the peer's address with a reference to the connection.
func (c *Conn) RemoteAddr() net.Addr { return peer{c.Conn.RemoteAddr(), c} }

// peer is the remote address of a Conn.
type peer struct {
	net.Addr
	conn *Conn
}

// Prove records that the peer of the connection with this remote address is authenticated.
// Addresses of other connections are ignored. Repeated calls are cheap.
func Prove(remote net.Addr) {
	p, ok := remote.(peer)
	if !ok || p.conn.proven.Swap(true) {
		return
	}
	p.conn.listener.mu.Lock()
	defer p.conn.listener.mu.Unlock()
	p.conn.listener.removeUnproven(p.conn)
}

// Proven reports whether Prove was called for the connection with this remote
// address; true for addresses of other connections.
func Proven(remote net.Addr) bool {
	p, ok := remote.(peer)
	return !ok || p.conn.proven.Load()
}

// Drop closes the connection with this remote address. Addresses of other connections are ignored.
func Drop(remote net.Addr) {
	if p, ok := remote.(peer); ok {
		_ = p.conn.Close()
	}
}
