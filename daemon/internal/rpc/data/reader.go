package data

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// reader is a chunk.Reader over a connection of its own. Its fields belong to the reading goroutine, except those that Close
// uses, which any goroutine may call.
type reader struct {
	client *Client
	ctx    context.Context //nolint:containedctx // that of Open, which covers the whole read
	id     store.ChunkID
	first  int // number of the next unit
	count  int // units still wanted, -1: to the end
	failed error

	mu     sync.Mutex // guards the fields below
	conn   *clientConn
	stop   func() bool  // ends the watch over ctx
	grpc   chunk.Reader // instead of conn, once the data port has misbehaved
	closed bool
}

var errClosed = store.Errorf(store.Canceled, "the reader was closed")

// begin sends the request.
func (r *reader) begin() error {
	conn, err := r.client.pool.take(r.ctx)
	if err != nil {
		return err
	}
	h := head{op: opGet, chunk: r.id, first: uint64(r.first), count: all}
	if r.count >= 0 {
		h.count = uint64(r.count)
	}
	r.conn, r.stop = conn, context.AfterFunc(r.ctx, conn.cut)
	if _, err := conn.Write(conn.request(r.ctx, conn.head[:0], h)); err != nil {
		r.end(false)
		return conn.translate(r.ctx, err)
	}
	return nil
}

// Next implements chunk.Reader.
func (r *reader) Next() (chunk.Unit, error) {
	if r.failed != nil {
		return chunk.Unit{}, r.failed
	}
	conn, over := r.source()
	if over != nil {
		return over.Next()
	}
	if conn == nil {
		r.failed = errClosed
		return chunk.Unit{}, errClosed
	}
	u, err := r.next(conn)
	if err == nil {
		return u, nil
	}
	if r.fallBack(err) {
		_, over = r.source()
		return over.Next()
	}
	r.failed = err
	return chunk.Unit{}, err
}

// source returns where the units come from: one or none.
func (r *reader) source() (*clientConn, chunk.Reader) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.conn, r.grpc
}

func (r *reader) next(conn *clientConn) (chunk.Unit, error) {
	if err := r.ctx.Err(); err != nil { // before what has arrived already
		r.end(false)
		return chunk.Unit{}, r.client.wrong(r.ctx, err)
	}
	a, err := conn.answer()
	if err == nil && a.kind == answerEnd {
		r.end(true)
		return chunk.Unit{}, io.EOF
	}
	if err == nil && a.kind != answerUnit {
		err = misbehaved("an answer of kind %d to a get", a.kind)
	}
	if err != nil {
		_, answered := errors.AsType[refusal](err)
		r.end(answered)
		return chunk.Unit{}, r.asClosed(conn.translate(r.ctx, err))
	}
	u, err := readUnit(conn.in, r.client.config.Buffers, int(a.length), a.crc)
	if err != nil {
		r.end(false)
		if err := r.asClosed(conn.translate(r.ctx, err)); r.ctx.Err() != nil || errors.Is(err, errClosed) || !errors.Is(err, store.Unavailable) {
			return chunk.Unit{}, err
		}
		return chunk.Unit{}, damaged{err} // the node's disk has failed, or its network
	}
	if err := u.Check(); err != nil {
		u.Release()
		r.end(false)
		return chunk.Unit{}, damaged{err}
	}
	r.first++
	if r.count > 0 {
		r.count--
	}
	if r.count == 0 {
		r.end(true)
		r.failed = io.EOF
	}
	return u, nil
}

// asClosed is errClosed instead of an error that Close has caused.
func (r *reader) asClosed(err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed && r.ctx.Err() == nil {
		return errClosed
	}
	return err
}

// damaged is the error of a unit that is not what its checksum says, or ends too early.
type damaged struct{ error }

func (d damaged) Unwrap() error { return d.error }

// fallBack continues over gRPC after misbehaviour of the data port, where it has no connection left, and where a unit did not match
// its checksum: over gRPC the node compares it, too, and says so if the chunk is damaged.
func (r *reader) fallBack(err error) bool {
	_, bad := errors.AsType[damaged](err)
	if !bad && !refused(err) && !errors.Is(err, errCrowded) && !r.client.fellBack(err) {
		return false
	}
	if bad && errors.Is(err, store.Corrupt) {
		r.client.config.Log.Warn("a unit from the data port of a node does not match its checksum; it is read again over gRPC",
			"address", r.client.address, "node", r.client.config.Node, "chunk", r.id, "cause", err)
	}
	over, err := r.client.Client.Open(r.ctx, r.id, r.first, r.count)
	if err != nil {
		over = failing{err}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		_ = over.Close()
	}
	r.grpc = over
	return true
}

// failing is a reader that could not be opened.
type failing struct{ err error }

func (f failing) Next() (chunk.Unit, error) { return chunk.Unit{}, f.err }
func (f failing) Close() error              { return nil }

// end gives the connection back; whole: its request has been answered completely.
func (r *reader) end(whole bool) {
	r.mu.Lock()
	conn, stop := r.conn, r.stop
	r.conn = nil
	r.mu.Unlock()
	if conn == nil {
		return
	}
	if stop() && whole {
		r.client.pool.put(conn)
	} else {
		conn.discard()
	}
}

// Close implements chunk.Reader.
func (r *reader) Close() error {
	r.mu.Lock()
	r.closed = true
	over := r.grpc
	r.mu.Unlock()
	r.end(false)
	if over != nil {
		return over.Close()
	}
	return nil
}
