package pgserver

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

// The ports that FreePort returns lie below those that the system gives to listeners on port 0 and to outgoing connections: these
// cannot take a port between the search for it and its use.
const (
	firstPort = 10_000
	lastPort  = 32_000
)

// FreePort returns an unused port of loopback. Its user listens on it later. No other call returns it until this process has ended, in
// other test processes neither: each holds an abstract Unix socket of the port's number.
func FreePort() (int, error) {
	var last error
	for range 1000 {
		port := firstPort + rand.N(lastPort-firstPort)
		if !reserve(port) {
			continue
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			last = err
			continue
		}
		return port, l.Close()
	}
	return 0, fmt.Errorf("pgserver: free port: %w", errors.Join(errors.New("no free port was found"), last))
}

var reserved sync.Map // by port, the listeners: one that nothing refers to is closed by the garbage collector

func reserve(port int) bool {
	l, err := net.Listen("unix", fmt.Sprintf("@ringstore-test-port-%d", port))
	if err == nil {
		reserved.Store(port, l)
	}
	return err == nil
}
