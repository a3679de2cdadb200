package main

import (
	"net"
	"sync"
	"time"

	"github.com/ringstore/ringstore/tests/relay"
)

// A link stands for a connection to a distant server: bytes arrive half a round trip later, and at most a TCP window of
// them is in flight, so that a single stream is slower than both ends.
const (
	linkRoundTrip = 20 * time.Millisecond
	linkWindow    = 4 << 20 // bytes: Linux' largest send buffer (net.ipv4.tcp_wmem)
	linkPiece     = 64 << 10
)

func newLink(target string) (*relay.Relay, error) { return relay.New(target, delay) }

// underway is a piece in flight.
type underway struct {
	bytes []byte
	sent  time.Time
}

// delay carries one direction of a connection. A piece occupies the window until it has arrived and was
// acknowledged.
func delay(to, from net.Conn, _ bool) {
	const places = linkWindow / linkPiece
	free, going, there := make(chan []byte, places), make(chan underway, places), make(chan underway, places)
	for range places {
		free <- make([]byte, linkPiece)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(there)
		for p := range going {
			time.Sleep(time.Until(p.sent.Add(linkRoundTrip / 2)))
			if _, err := to.Write(p.bytes); err != nil {
				_ = from.Close() // the rest is not read
			}
			there <- p
		}
	})
	wg.Go(func() {
		for p := range there {
			time.Sleep(time.Until(p.sent.Add(linkRoundTrip)))
			free <- p.bytes[:linkPiece]
		}
	})
	for buf := range free {
		n, err := from.Read(buf)
		if err != nil {
			break
		}
		going <- underway{buf[:n], time.Now()}
	}
	close(going)
	wg.Wait()
}
