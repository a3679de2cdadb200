package data

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/telemetry"
)

// clientBuffer is the size of a connection's read buffer in bytes: small, because most of a unit is read past it.
const clientBuffer = 4 << 10

// clientConn is a connection to the data port of a node.
type clientConn struct {
	net.Conn
	client *Client
	pool   *pool // that counts it; nil: none
	in     *bufio.Reader
	nonce  [nonceSize]byte
	opened time.Time // with the reading of the monotonic clock, so that it does not matter when this host's clock is set
	time   int64     // of the node then, Unix seconds
	head   [headSize]byte
	once   sync.Once // of discard
}

// connect opens a connection and reads the node's greeting.
func (c *Client) connect(ctx context.Context) (*clientConn, error) {
	dialing, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	raw, err := c.config.Dialer(dialing, c.address)
	if err != nil {
		return nil, c.wrong(ctx, err)
	}
	conn := &clientConn{Conn: raw, client: c, in: bufio.NewReaderSize(raw, clientBuffer)}
	if err := conn.greet(ctx); err != nil {
		_ = raw.Close()
		return nil, err
	}
	return conn, nil
}

// greet sends the magic and reads the greeting. A node without a data port closes the connection, or answers in HTTP/2.
func (c *clientConn) greet(ctx context.Context) error {
	if err := c.SetDeadline(time.Now().Add(greetTimeout)); err != nil {
		return c.client.wrong(ctx, err)
	}
	defer context.AfterFunc(ctx, c.cut)()
	if _, err := c.Write([]byte(Magic)); err != nil {
		return c.client.wrong(ctx, err)
	}
	var b [greetingSize]byte
	_, err := io.ReadFull(c.in, b[:])
	switch {
	case err != nil && ctx.Err() != nil:
		return c.client.wrong(ctx, err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return c.client.unreachable("has accepted the connection and does not answer")
	case err != nil:
		return misbehaved("no greeting: %v", err)
	case string(b[:len(Magic)]) != Magic:
		return misbehaved("another greeting")
	}
	copy(c.nonce[:], b[len(Magic):])
	c.opened, c.time = time.Now(), int64(le.Uint64(b[len(Magic)+nonceSize:]))
	return c.SetDeadline(time.Time{})
}

// request encodes a head on the connection.
func (c *clientConn) request(ctx context.Context, b []byte, h head) []byte {
	h.node, h.time, h.request = c.client.config.Node, c.time+int64(time.Since(c.opened).Seconds()), telemetry.Request(ctx)
	return h.append(b, c.client.keys.at(h.time), c.nonce[:])
}

// answer reads the next answer, and the error of one that has failed.
func (c *clientConn) answer() (answer, error) {
	var b [answerSize]byte
	if _, err := io.ReadFull(c.in, b[:]); err != nil {
		return answer{}, err
	}
	a, err := parseAnswer(b[:])
	if err != nil || a.kind != answerFailed {
		return a, err
	}
	text := make([]byte, a.length)
	if _, err := io.ReadFull(c.in, text); err != nil {
		return a, err
	}
	return a, refusal{decodeFailure(text)}
}

// refusal is an error with which the node has answered.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

// translate returns the error of a request under ctx.
func (c *clientConn) translate(ctx context.Context, err error) error {
	if r, ok := errors.AsType[refusal](err); ok {
		if _, wrong := errors.AsType[misbehaviour](r.error); wrong {
			return r.error
		}
		return c.client.peer.Error(ctx, r.error)
	}
	if _, wrong := errors.AsType[misbehaviour](err); wrong {
		return err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the node closed the connection")
	}
	return c.client.wrong(ctx, err)
}

// storedInfo reads what an answer of answerStored says of the chunk with that label.
func (c *clientConn) storedInfo(a answer, id store.ChunkID, label chunk.Label) (chunk.Info, error) {
	b := make([]byte, a.length)
	if _, err := io.ReadFull(c.in, b); err != nil {
		return chunk.Info{}, err
	}
	info, rest := parseStored(b)
	info.ID, info.Label = id, label
	if len(rest) == 0 {
		return info, nil
	}
	other, err := decodeLabel(rest)
	if err != nil {
		return chunk.Info{}, misbehaved("a label that cannot be read")
	}
	info.Label = other
	return info, nil
}

// maxLife is how long a connection is used, so that clocks which run at different speeds do not matter.
const maxLife = 10 * time.Minute

// alive reports whether an idle connection can be used: it is not too old, and the node has neither closed it nor sent anything.
func (c *clientConn) alive() bool {
	if c.in.Buffered() > 0 || time.Since(c.opened) > maxLife {
		return false
	}
	return !hasBytes(c.Conn)
}

// cut makes what reads from or writes to the connection fail.
func (c *clientConn) cut() { _ = c.SetDeadline(time.Unix(1, 0)) }

// discard closes the connection. It may be called more than once.
func (c *clientConn) discard() {
	c.once.Do(func() {
		_ = c.Close()
		if c.pool != nil {
			c.pool.mu.Lock()
			c.pool.open--
			c.pool.mu.Unlock()
		}
	})
}
