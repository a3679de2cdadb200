package main

import (
	"errors"
	"net"
	"sync"
	"time"
)

// A link stands for a line to a server that is far away: what goes in comes out half a
// round trip later, and of each connection no more is under way than TCP keeps, so
// that one stream is slower than both of its ends.
const (
	linkRoundTrip = 20 * time.Millisecond
	linkWindow    = 4 << 20 // bytes: Linux' largest send buffer (net.ipv4.tcp_wmem)
	linkPiece     = 64 << 10
)

// link passes the connections to its URL on to a server.
type link struct {
	URL string

	listener net.Listener
	target   string // host:port
	wg       sync.WaitGroup

	mu     sync.Mutex // guards conns
	conns  []net.Conn
	closed bool
}

func newLink(target string) (*link, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &link{URL: "http://" + listener.Addr().String(), listener: listener, target: target}
	l.wg.Go(l.accept)
	return l, nil
}

// close breaks all connections off and waits for them.
func (l *link) close() error {
	err := l.listener.Close()
	l.mu.Lock()
	l.closed = true
	for _, c := range l.conns {
		err = errors.Join(err, ignoreClosed(c.Close()))
	}
	l.mu.Unlock()
	l.wg.Wait()
	return err
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (l *link) accept() {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			return // closed
		}
		far, err := net.Dial("tcp", l.target)
		if err != nil {
			_ = near.Close()
			continue
		}
		l.mu.Lock()
		l.conns = append(l.conns, near, far)
		if l.closed {
			_, _ = near.Close(), far.Close()
		}
		l.mu.Unlock()
		l.wg.Go(func() { l.pass(far, near) })
		l.wg.Go(func() { l.pass(near, far) })
	}
}

// underway is a piece between the ends.
type underway struct {
	bytes []byte
	sent  time.Time
}

// pass carries one direction of a connection. A piece has its place in the window until it is
// there and the news of that are back.
func (l *link) pass(to, from net.Conn) {
	const places = linkWindow / linkPiece
	free, going, there := make(chan []byte, places), make(chan underway, places), make(chan underway, places)
	for range places {
		free <- make([]byte, linkPiece)
	}
	l.wg.Go(func() {
		defer close(there)
		defer to.Close()
		defer from.Close()
		for p := range going {
			time.Sleep(time.Until(p.sent.Add(linkRoundTrip / 2)))
			_, _ = to.Write(p.bytes) // where that fails, so does the next read
			there <- p
		}
	})
	l.wg.Go(func() {
		for p := range there {
			time.Sleep(time.Until(p.sent.Add(linkRoundTrip)))
			free <- p.bytes[:linkPiece]
		}
	})
	defer close(going)
	for buf := range free {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		going <- underway{buf[:n], time.Now()}
	}
}
