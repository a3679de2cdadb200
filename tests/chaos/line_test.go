package chaos

import (
	"net"
	"sync"

	"github.com/ringstore/ringstore/tests/relay"
)

// line is a relay between a gateway and its database. It can be cut: bytes stop in transit, and neither end
// notices, as when a cable is pulled.
type line struct {
	*relay.Relay

	mu   sync.Mutex
	open chan struct{} // closed while bytes may pass
}

func newLine(target string) (l *line, err error) {
	l = &line{open: make(chan struct{})}
	close(l.open)
	l.Relay, err = relay.New(target, l.pass)
	return l, err
}

// cut stops all bytes; mend lets them continue. Connections survive unless an end times out.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = make(chan struct{})
}

func (l *line) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.open)
}

func (l *line) gate() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open
}

func (l *line) pass(to, from net.Conn, _ bool) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		<-l.gate()
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
