package main

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// overGRPC makes unary calls. raw leaves protobuf out: a message is its checksum and its bytes, by reference where that can be.
type overGRPC struct {
	server *grpc.Server
	conns  []*grpc.ClientConn
	next   chan int
}

// message is what a call carries. As protobuf it is a BytesValue of the same.
type message struct{ b []byte }

func (m *message) payload() []byte { return m.b[4:] }

func pack(b []byte, sum uint32) *message {
	return &message{append(binary.LittleEndian.AppendUint32(make([]byte, 0, 4+len(b)), sum), b...)}
}

func (m *message) check() error {
	if len(m.b) < 4 || checksum(m.payload()) != binary.LittleEndian.Uint32(m.b) {
		return errSum
	}
	return nil
}

// codec encodes messages.
type codec struct{ raw bool }

func (c codec) Name() string { return "unit" }

func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	m := v.(*message)
	if c.raw {
		return mem.BufferSlice{mem.SliceBuffer(m.b)}, nil
	}
	return encoding.GetCodecV2("proto").Marshal(wrapperspb.Bytes(m.b))
}

func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	m := v.(*message)
	if c.raw {
		m.b = data.Materialize()
		return nil
	}
	w := new(wrapperspb.BytesValue)
	if err := encoding.GetCodecV2("proto").Unmarshal(data, w); err != nil {
		return err
	}
	m.b = w.GetValue()
	return nil
}

// handle serves a get (four bytes: how many) or a put.
func handle(m *message) (*message, error) {
	if len(m.b) == 4 {
		n := int(binary.LittleEndian.Uint32(m.b))
		return pack(unit[:n], unitSum(n)), nil
	}
	return pack(nil, 0), m.check()
}

func startGRPC(tuned bool) func(l net.Listener, server, client *tls.Config) (transport, error) {
	return func(l net.Listener, server, client *tls.Config) (transport, error) {
		var opts []grpc.ServerOption
		dial := []grpc.DialOption{grpc.WithDefaultCallOptions(grpc.ForceCodecV2(codec{raw: tuned}), grpc.MaxCallRecvMsgSize(1<<20))}
		opts = append(opts, grpc.ForceServerCodecV2(codec{raw: tuned}), grpc.MaxRecvMsgSize(1<<20))
		if tuned {
			opts = append(opts, grpc.ReadBufferSize(256<<10), grpc.WriteBufferSize(128<<10), grpc.InitialWindowSize(1<<20), grpc.InitialConnWindowSize(16<<20), grpc.NumStreamWorkers(16))
			dial = append(dial, grpc.WithReadBufferSize(256<<10), grpc.WithWriteBufferSize(128<<10), grpc.WithInitialWindowSize(1<<20), grpc.WithInitialConnWindowSize(16<<20))
		}
		creds := insecure.NewCredentials()
		if server != nil {
			opts, creds = append(opts, grpc.Creds(credentials.NewTLS(server))), credentials.NewTLS(client)
		}
		t := &overGRPC{server: grpc.NewServer(opts...), next: make(chan int, 64)}
		t.server.RegisterService(&grpc.ServiceDesc{ServiceName: "wire.Units", HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{{
			MethodName: "Call",
			Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
				m := new(message)
				if err := decode(m); err != nil {
					return nil, err
				}
				return handle(m)
			},
		}}}, nil)
		go func() { _ = t.server.Serve(l) }()
		for range 2 { // as the project has them
			c, err := grpc.NewClient("passthrough:///"+l.Addr().String(), append(dial, grpc.WithTransportCredentials(creds))...)
			if err != nil {
				return nil, err
			}
			t.conns = append(t.conns, c)
		}
		for i := range cap(t.next) {
			t.next <- i % len(t.conns)
		}
		return t, nil
	}
}

func (t *overGRPC) call(m *message) (*message, error) {
	i := <-t.next
	defer func() { t.next <- i }()
	answer := new(message)
	return answer, t.conns[i].Invoke(background, "/wire.Units/Call", m, answer)
}

func (t *overGRPC) get(size int) error {
	m, err := t.call(&message{binary.LittleEndian.AppendUint32(nil, uint32(size))})
	if err != nil {
		return err
	}
	return m.check()
}

func (t *overGRPC) put(b []byte) error {
	_, err := t.call(pack(b, unitSum(len(b))))
	return err
}

func (t *overGRPC) close() {
	for _, c := range t.conns {
		_ = c.Close()
	}
	t.server.Stop()
}
