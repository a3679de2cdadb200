package data

import (
	"context"
	"errors"
	"net"
	"sync"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// writer is a chunk.Writer over a connection of its own. Its fields belong to the writing goroutine, except those that Abort
// uses, which any goroutine may call.
type writer struct {
	client *Client
	ctx    context.Context //nolint:containedctx // that of Create, which covers the whole write
	spec   chunk.Spec
	size   int64 // bytes sent so far
	failed error // of an earlier step: sticky
	begin  [headSize + unitHeadSize]byte

	mu    sync.Mutex   // guards the fields below
	over  chunk.Writer // over gRPC, where the data port could not be used at the first unit
	conn  *clientConn  // nil before the first unit and after the end
	stop  func() bool  // ends the watch over ctx
	ended bool         // by Commit or Abort
}

var errEnded = store.Errorf(store.Canceled, "the write has already ended")

// Append implements chunk.Writer. It blocks while the node is behind by more than the network buffers.
func (w *writer) Append(u chunk.Unit) error {
	if w.over != nil {
		return w.over.Append(u)
	}
	if w.failed == nil {
		w.failed = w.spec.CheckUnit(u, w.size)
	}
	if w.failed == nil && w.size == 0 {
		w.failed = w.open()
	}
	if w.over != nil {
		return w.over.Append(u)
	}
	if w.failed == nil {
		w.failed = w.append(u)
	}
	u.Release()
	return w.failed
}

// open takes a connection, or begins the write over gRPC.
func (w *writer) open() error {
	conn, err := w.client.pool.take(w.ctx)
	if errors.Is(err, errCrowded) || w.client.fellBack(err) {
		over, err := w.client.Client.Create(w.ctx, w.spec)
		if err != nil {
			return err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.over = over
		if w.ended {
			over.Abort()
		}
		return nil
	}
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended { // by a concurrent Abort
		w.client.pool.put(conn)
		return errEnded
	}
	w.conn, w.stop = conn, context.AfterFunc(w.ctx, conn.cut)
	return nil
}

// current is the connection, or nil before the first unit and after the end.
func (w *writer) current() *clientConn {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.conn
}

// append sends a unit, the first one behind the head of the request.
func (w *writer) append(u chunk.Unit) error {
	conn := w.current()
	if conn == nil {
		return errEnded
	}
	b := w.begin[:0]
	if w.size == 0 {
		b = conn.request(w.ctx, b, head{op: opStream, chunk: w.spec.ID, unitSize: uint32(w.spec.UnitSize), first: uint64(w.spec.SizeHint)})
	}
	b = le.AppendUint32(b, uint32(len(u.Data)))
	b = le.AppendUint32(b, u.CRC)
	bufs := net.Buffers{b, u.Data}
	if _, err := bufs.WriteTo(conn.Conn); err != nil {
		return w.cause(conn, err)
	}
	w.size += int64(len(u.Data))
	return nil
}

// cause returns why the node takes no more: its answer, if it gave one.
func (w *writer) cause(conn *clientConn, err error) error {
	if w.ctx.Err() == nil {
		if w.current() == nil { // by a concurrent Abort
			return errEnded
		}
		if _, answered := conn.answer(); answered != nil {
			if _, ok := errors.AsType[refusal](answered); ok {
				err = answered
			}
		}
	}
	return conn.translate(w.ctx, err)
}

// Commit implements chunk.Writer. The node's answer means that the chunk is durable.
func (w *writer) Commit(label chunk.Label) (chunk.Info, error) {
	if w.over != nil {
		return w.over.Commit(label)
	}
	info, err := w.commit(label)
	w.end(err == nil)
	if w.failed == nil {
		w.failed = errEnded
	}
	return info, err
}

func (w *writer) commit(label chunk.Label) (chunk.Info, error) {
	conn := w.current()
	switch {
	case w.failed != nil:
		return chunk.Info{}, w.failed
	case w.ctx.Err() != nil:
		return chunk.Info{}, w.client.wrong(w.ctx, w.ctx.Err())
	case w.size == 0:
		return chunk.Info{}, store.Errorf(store.Invalid, "a chunk without units").WithItem(w.spec.ID)
	case conn == nil:
		return chunk.Info{}, errEnded
	}
	encoded := encodeLabel(label)
	b := le.AppendUint32(make([]byte, 0, unitHeadSize+len(encoded)), 0)
	b = append(le.AppendUint32(b, uint32(len(encoded))), encoded...)
	if _, err := conn.Write(b); err != nil {
		return chunk.Info{}, w.cause(conn, err)
	}
	a, err := conn.answer()
	if err == nil && a.kind != answerStored {
		err = misbehaved("an answer of kind %d to a stream", a.kind)
	}
	var info chunk.Info
	if err == nil {
		info, err = conn.storedInfo(a, w.spec.ID, label)
	}
	if err != nil {
		err = conn.translate(w.ctx, err)
		if w.client.fellBack(err) { // the outcome is open, and the units are gone: the caller decides
			err = w.client.wrong(w.ctx, err)
		}
		return chunk.Info{}, err
	}
	return info, nil
}

// Abort implements chunk.Writer.
func (w *writer) Abort() { w.end(false) }

// end gives the connection back, once; whole: its request has been answered.
func (w *writer) end(whole bool) {
	w.mu.Lock()
	conn, stop, over := w.conn, w.stop, w.over
	w.conn, w.ended = nil, true
	w.mu.Unlock()
	if over != nil {
		over.Abort()
	}
	if conn == nil {
		return
	}
	if stop() && whole {
		w.client.pool.put(conn)
	} else {
		conn.discard()
	}
}
