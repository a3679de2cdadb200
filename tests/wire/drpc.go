package main

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"net"
	"sync"

	"storj.io/drpc"
	"storj.io/drpc/drpcconn"
	"storj.io/drpc/drpcserver"
)

// overDRPC makes unary calls, one at a time on a connection of a pool, as drpc has no multiplexing.
type overDRPC struct {
	stop context.CancelFunc
	dial func() (net.Conn, error)
	mu   sync.Mutex
	idle []*drpcconn.Conn
	all  []*drpcconn.Conn
}

// plain encodes messages as their bytes.
type plain struct{}

func (plain) Marshal(m drpc.Message) ([]byte, error) { return m.(*message).b, nil }

func (plain) Unmarshal(b []byte, m drpc.Message) error {
	m.(*message).b = append([]byte(nil), b...)
	return nil
}

// units is the server's handler.
type units struct{}

func (units) HandleRPC(stream drpc.Stream, _ string) error {
	m := new(message)
	if err := stream.MsgRecv(m, plain{}); err != nil {
		return err
	}
	answer, err := handle(m)
	if err != nil {
		return err
	}
	return stream.MsgSend(answer, plain{})
}

func startDRPC(l net.Listener, server, client *tls.Config) (transport, error) {
	ctx, stop := context.WithCancel(context.Background())
	s := drpcserver.New(units{})
	go func() { _ = s.Serve(ctx, secured(l, server)) }()
	return &overDRPC{stop: stop, dial: dialer(l, client)}, nil
}

func (t *overDRPC) take() (*drpcconn.Conn, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.idle); n > 0 {
		c := t.idle[n-1]
		t.idle = t.idle[:n-1]
		return c, nil
	}
	raw, err := t.dial()
	if err != nil {
		return nil, err
	}
	c := drpcconn.New(raw)
	t.all = append(t.all, c)
	return c, nil
}

func (t *overDRPC) call(m *message) (*message, error) {
	c, err := t.take()
	if err != nil {
		return nil, err
	}
	answer := new(message)
	if err := c.Invoke(background, "/wire.Units/Call", plain{}, m, answer); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.idle = append(t.idle, c)
	return answer, nil
}

func (t *overDRPC) get(size int) error {
	m, err := t.call(&message{binary.LittleEndian.AppendUint32(nil, uint32(size))})
	if err != nil {
		return err
	}
	return m.check()
}

func (t *overDRPC) put(b []byte) error {
	_, err := t.call(pack(b, unitSum(len(b))))
	return err
}

func (t *overDRPC) close() {
	for _, c := range t.all {
		_ = c.Close()
	}
	t.stop()
}
