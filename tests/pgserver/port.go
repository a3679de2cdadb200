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

var given sync.Map // ports that this process was given

// FreePort returns an unused port of loopback, each time another. Its user listens on it later.
func FreePort() (int, error) {
	var last error
	for range 1000 {
		port := firstPort + rand.N(lastPort-firstPort)
		if _, taken := given.LoadOrStore(port, true); taken {
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
