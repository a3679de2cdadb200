package chaos

import (
	"net"
	"sync"

	"github.com/ringstore/ringstore/tests/relay"
)

// Proxy forwards connections to a gateway and counts the bytes, so that repeated transfers are detected outside the
// programs under test.
type Proxy struct {
	*relay.Relay

	mu      sync.Mutex // guards what follows
	up      int64      // bytes from clients to the gateway
	down    int64      // bytes from the gateway to clients
	waiting []waiter
}

type waiter struct {
	bytes  int64 // up and down together
	passed chan struct{}
}

// NewProxy listens on a free loopback port. Close it.
func NewProxy(target string) (p *Proxy, err error) {
	p = &Proxy{}
	p.Relay, err = relay.New(target, p.pass)
	return p, err
}

// Counts returns the bytes sent to the gateway and those received from it.
func (p *Proxy) Counts() (up, down int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.up, p.down
}

// Passed returns a channel that is closed after so many more bytes, both directions together.
func (p *Proxy) Passed(bytes int64) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := waiter{p.up + p.down + bytes, make(chan struct{})}
	p.waiting = append(p.waiting, w)
	return w.passed
}

// pass copies one direction.
func (p *Proxy) pass(to, from net.Conn, up bool) {
	count := &p.down
	if up {
		count = &p.up
	}
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
