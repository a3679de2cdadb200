package chaos

import (
	"net"
	"sync"
)

// Proxy passes connections on to a gateway and counts the bytes, so that what
// was moved twice is known from outside of the programs under test. A gateway that is
// away looks through it as it does without: connections break.
type Proxy struct {
	Address string // host:port

	listener net.Listener
	target   string
	wg       sync.WaitGroup

	mu      sync.Mutex // guards what follows
	up      int64      // bytes from clients to the gateway
	down    int64      // bytes from the gateway to clients
	conns   map[net.Conn]bool
	waiting []waiter
	closed  bool
}

type waiter struct {
	bytes  int64 // up and down together
	passed chan struct{}
}

// NewProxy listens on a free loopback port. Close it.
func NewProxy(target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{Address: l.Addr().String(), listener: l, target: target, conns: map[net.Conn]bool{}}
	p.wg.Go(p.accept)
	return p, nil
}

// Counts gives the bytes that went to the gateway and those that came from it.
func (p *Proxy) Counts() (up, down int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.up, p.down
}

// Passed is closed once so many bytes, both ways together, have gone through from now on.
func (p *Proxy) Passed(bytes int64) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := waiter{p.up + p.down + bytes, make(chan struct{})}
	p.waiting = append(p.waiting, w)
	return w.passed
}

// Close breaks all connections off and waits for them.
func (p *Proxy) Close() error {
	err := p.listener.Close()
	p.mu.Lock()
	p.closed = true
	for c := range p.conns {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
	return err
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.connect(client) })
	}
}

// connect passes one connection on until either side ends it.
func (p *Proxy) connect(client net.Conn) {
	defer client.Close()
	gateway, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer gateway.Close()
	if !p.keep(client, gateway) {
		return
	}
	defer p.forget(client, gateway)
	var wg sync.WaitGroup
	wg.Go(func() { p.pass(gateway, client, &p.up) })
	wg.Go(func() { p.pass(client, gateway, &p.down) })
	wg.Wait()
}

func (p *Proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		p.conns[c] = true
	}
	return !p.closed
}

func (p *Proxy) forget(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		delete(p.conns, c)
	}
}

// pass copies one direction. At its end both connections end: half a connection is of no use to HTTP.
func (p *Proxy) pass(to, from net.Conn, count *int64) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 256<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			p.add(count, int64(n))
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *Proxy) add(count *int64, n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*count += n
	total, left := p.up+p.down, p.waiting[:0]
	for _, w := range p.waiting {
		if total >= w.bytes {
			close(w.passed)
			continue
		}
		left = append(left, w)
	}
	p.waiting = left
}
