// Package relay forwards TCP connections to a server, for tests and benchmarks that count, hold or delay the traffic
// between unmodified programs.
package relay

import (
	"net"
	"sync"
)

// Carry copies the bytes of one direction of a connection until either side ends it; up is the direction from client
// to server. Both connections are closed when it returns.
type Carry func(to, from net.Conn, up bool)

// Relay listens on a free loopback port.
type Relay struct {
	Address string // host:port

	listener net.Listener
	target   string
	carry    Carry
	wg       sync.WaitGroup

	mu     sync.Mutex // guards what follows
	conns  map[net.Conn]bool
	closed bool
}

// New listens and forwards connections to target (host:port); carry copies each direction on its own goroutine. If the
// target refuses a connection, the client's is closed. The caller closes the relay.
func New(target string, carry Carry) (*Relay, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &Relay{Address: l.Addr().String(), listener: l, target: target, carry: carry, conns: map[net.Conn]bool{}}
	r.wg.Go(r.accept)
	return r, nil
}

// Close closes all connections and waits for them.
func (r *Relay) Close() error {
	err := r.listener.Close()
	r.mu.Lock()
	r.closed = true
	for c := range r.conns {
		_ = c.Close()
	}
	r.mu.Unlock()
	r.wg.Wait()
	return err
}

// Break closes all open connections, as a router that loses its state does. New ones are accepted.
func (r *Relay) Break() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		_ = c.Close()
	}
}

func (r *Relay) accept() {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.wg.Go(func() { r.connect(client) })
	}
}

// connect forwards one connection until either side ends it.
func (r *Relay) connect(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", r.target)
	if err != nil {
		return
	}
	defer server.Close()
	if !r.keep(client, server) {
		return
	}
	defer r.forget(client, server)
	var wg sync.WaitGroup
	wg.Go(func() { r.pass(server, client, true) })
	wg.Go(func() { r.pass(client, server, false) })
	wg.Wait()
}

// pass copies one direction. At its end both connections are closed, since HTTP cannot use half a connection.
func (r *Relay) pass(to, from net.Conn, up bool) {
	defer to.Close()
	defer from.Close()
	r.carry(to, from, up)
}

func (r *Relay) keep(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		r.conns[c] = true
	}
	return !r.closed
}

func (r *Relay) forget(conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		delete(r.conns, c)
	}
}
