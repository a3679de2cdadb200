package client

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// copyBuffer is the size in bytes of the buffers in which file bytes are read from and written to sockets: an
// eighth of the system calls of the HTTP library's own 32 KiB.
const copyBuffer = 256 << 10

// maxIdle keeps an idle connection for each concurrent transfer.
const maxIdle = 128

func newTransport(stall time.Duration) *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &wideConn{Conn: conn, stall: stall}, nil
		},
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
		// After the last byte the server makes everything durable before it answers.
		ResponseHeaderTimeout: 5 * time.Minute,
		MaxIdleConns:          maxIdle,
		MaxIdleConnsPerHost:   maxIdle,
		IdleConnTimeout:       90 * time.Second,
		DisableCompression:    true, // bytes are stored as they are
		WriteBufferSize:       copyBuffer,
		ReadBufferSize:        64 << 10, // larger reads bypass it
	}
}

// wideConn writes bodies in large pieces and fails when the peer accepts nothing for the stall timeout.
type wideConn struct {
	net.Conn
	stall time.Duration
}

// Write implements io.Writer.
func (c *wideConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.stall)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

var pieces = sync.Pool{New: func() any { return new([copyBuffer]byte) }}

// ReadFrom implements io.ReaderFrom, through which the HTTP library writes request bodies.
func (c *wideConn) ReadFrom(r io.Reader) (int64, error) {
	piece, _ := pieces.Get().(*[copyBuffer]byte)
	defer pieces.Put(piece)
	return io.CopyBuffer(struct{ io.Writer }{c}, struct{ io.Reader }{r}, piece[:]) // without their other methods
}
