package chunks

import (
	"time"

	"github.com/ringstore/ringstore/daemon/internal/rpc"
)

// NewImpatientServer is NewServer with short deadlines and small quotas.
func NewImpatientServer(c ServerConfig, wait time.Duration, calls int) *rpc.Server {
	l := limits()
	l.Waits = rpc.Waits{Open: wait, Control: wait, Unit: wait, Idle: wait}
	l.Calls.Each = calls
	return newServer(c, l)
}
