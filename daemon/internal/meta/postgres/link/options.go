package link

import (
	"log/slog"
	"time"
)

// Options tune the connections of a store. Zero fields take the defaults.
type Options struct {
	MaxConns         int           // 16; a pool_max_conns in the DSN takes precedence
	ControlConns     int           // 3: additional connections for the control plane
	StatementTimeout time.Duration // 15 s: the server ends a statement after that; a statement_timeout in the DSN takes precedence
	ListTimeout      time.Duration // 3 s: the same for a statement of a listing
	ConnectTimeout   time.Duration // 3 s for making one connection
	AcquireTimeout   time.Duration // 5 s for waiting for a free connection
	Reconnect        time.Duration // 1 s from the start of an outage in which calls wait for the server to return
	DeadPeer         time.Duration // 12 s without an answer of its kernel until a server counts as vanished; at least 2 s
	Gateway          string        // name among the gateways (store.Gateways); "": the store is opened without being listed there
	Version          string        // of the gateway's program
	Log              *slog.Logger  // nil: nothing is logged
}

// WithDefaults fills in the zero fields.
func (o Options) WithDefaults() Options {
	if o.MaxConns <= 0 {
		o.MaxConns = 16
	}
	if o.ControlConns <= 0 {
		o.ControlConns = 3
	}
	for _, d := range []struct {
		value *time.Duration
		usual time.Duration
	}{
		{&o.StatementTimeout, 15 * time.Second},
		{&o.ListTimeout, 3 * time.Second},
		{&o.ConnectTimeout, 3 * time.Second},
		{&o.AcquireTimeout, 5 * time.Second},
		{&o.Reconnect, time.Second},
		{&o.DeadPeer, 12 * time.Second},
	} {
		if *d.value <= 0 {
			*d.value = d.usual
		}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// answerLimit is how long to wait for the answer to a statement with that limit, because a server that vanished does not
// answer; 0: unlimited.
func (o Options) answerLimit(limit time.Duration) time.Duration {
	if limit == 0 {
		return 0
	}
	return limit + o.AcquireTimeout
}

// ChangeLimit is the same for a change: two of its statements may have to wait for locks.
func (o Options) ChangeLimit() time.Duration { return o.answerLimit(2 * o.StatementTimeout) }
