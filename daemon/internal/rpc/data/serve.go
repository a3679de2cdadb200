package data

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/bufpool"
	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/rpc"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// get sends units.
func (c *serverConn) get(ctx context.Context, h *head) error {
	err := c.sendUnits(ctx, h)
	if errors.Is(err, errWrite) {
		return err
	}
	if err != nil {
		rpc.LogFailure(ctx, c.server.config.Log, "get", err)
		return c.fail(h.number, err)
	}
	return nil
}

// errWrite is the error of a connection that no longer takes anything.
var errWrite = errors.New("the client does not read")

func (c *serverConn) sendUnits(ctx context.Context, h *head) (err error) {
	defer func() { err = rpc.Survive(ctx, recover(), "get", err, c.server.config.Log) }()
	count := -1
	if h.count < math.MaxInt {
		count = int(h.count)
	}
	r, err := c.server.config.Chunks.Open(ctx, h.chunk, int(min(h.first, math.MaxInt)), count)
	if err != nil {
		return err
	}
	defer r.Close()
	for n := 0; n != count; n++ {
		err := c.sendUnit(h.number, r)
		if errors.Is(err, io.EOF) {
			return c.sendAnswer(answer{kind: answerEnd, number: h.number}, nil)
		}
		if err != nil {
			return err
		}
	}
	if count == 0 {
		return c.sendAnswer(answer{kind: answerEnd, number: h.number}, nil)
	}
	return nil
}

// sendUnit sends the next unit, from its file where that can be.
func (c *serverConn) sendUnit(number uint32, r chunk.Reader) error {
	if ranges, ok := r.(chunk.RangeReader); ok && c.out.file != nil {
		g, err := ranges.NextRange()
		if err != nil {
			return err
		}
		if g.File != nil {
			return c.sendRange(answer{kind: answerUnit, number: number, length: uint32(g.Length), crc: g.CRC}, g)
		}
	}
	u, err := r.Next()
	if err != nil {
		return err
	}
	defer u.Release()
	return c.sendAnswer(answer{kind: answerUnit, number: number, length: uint32(len(u.Data)), crc: u.CRC}, u.Data)
}

// sendRange sends a unit from its file. An error of the disk ends the connection, too: the client reads the unit over gRPC then, which tells it.
func (c *serverConn) sendRange(a answer, g chunk.Range) error {
	var b [answerSize]byte
	if err := c.out.writeRange(c.server.waits.idle, a.append(b[:0]), g); err != nil {
		return errors.Join(errWrite, err)
	}
	return nil
}

func (c *serverConn) sendAnswer(a answer, body []byte) error {
	var b [answerSize]byte
	if err := c.out.write(c.server.waits.idle, a.append(b[:0]), body); err != nil {
		return errors.Join(errWrite, err)
	}
	return nil
}

// put reads a put and starts it. It may continue after put has returned.
func (c *serverConn) put(ctx context.Context, h *head) error {
	free, err := c.slot(ctx)
	if err != nil {
		return err
	}
	label, unit, err := c.readPut(h)
	if err != nil {
		free()
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	c.mu.Lock()
	_, taken := c.cancels[h.number]
	c.cancels[h.number] = cancel
	c.mu.Unlock()
	if taken {
		cancel()
		free()
		unit.Release()
		c.refuse(h, store.Errorf(store.Invalid, "two puts have the number %d", h.number))
		return io.EOF
	}
	c.puts.Add(1)
	c.server.workers.run(func() {
		defer c.puts.Done()
		c.out.queue(c.server.waits.idle, c.putOne(ctx, h.number, h.spec(), unit, label))
		c.mu.Lock()
		delete(c.cancels, h.number)
		c.mu.Unlock()
		cancel()
		free()
	})
	return nil
}

// slot waits until one more put may be in progress, on the connection and in all.
func (c *serverConn) slot(ctx context.Context) (free func(), err error) {
	for i, slots := range []chan struct{}{c.slots, c.server.slots} {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			if i > 0 {
				<-c.slots
			}
			return nil, ctx.Err()
		}
	}
	return func() { <-c.server.slots; <-c.slots }, nil
}

// readPut reads what follows the head of a put.
func (c *serverConn) readPut(h *head) (label []byte, u chunk.Unit, err error) {
	if c.in.Buffered() < int(h.label)+int(h.count) {
		if err := c.within(c.server.waits.unit); err != nil {
			return nil, u, err
		}
	}
	label = make([]byte, h.label)
	if _, err := io.ReadFull(c.in, label); err != nil {
		return nil, u, err
	}
	u, err = readUnit(c.in, c.server.config.Buffers, int(h.count), h.crc)
	return label, u, err
}

// readUnit reads a unit of n bytes, without comparing its checksum.
func readUnit(r io.Reader, pool *bufpool.Pool, n int, crc uint32) (chunk.Unit, error) {
	buf := pool.Lend(n)
	if _, err := io.ReadFull(r, buf.Data); err != nil {
		buf.Release()
		return chunk.Unit{}, err
	}
	return chunk.Unit{Data: buf.Data, CRC: crc, Owner: buf}, nil
}

// putOne stores the chunk and returns the answer.
func (c *serverConn) putOne(ctx context.Context, number uint32, spec chunk.Spec, u chunk.Unit, encoded []byte) []byte {
	label, err := decodeLabel(encoded)
	if err != nil {
		u.Release()
		return appendFailure(number, err)
	}
	info, err := c.putSmall(ctx, spec, u, label)
	if err != nil {
		rpc.LogFailure(ctx, c.server.config.Log, "put", err)
		return appendFailure(number, err)
	}
	return c.stored(number, info, label)
}

func (c *serverConn) putSmall(ctx context.Context, spec chunk.Spec, u chunk.Unit, label chunk.Label) (_ chunk.Info, err error) {
	defer func() { err = rpc.Survive(ctx, recover(), "put", err, c.server.config.Log) }()
	return chunk.PutSmall(ctx, c.server.config.Chunks, spec, u, label)
}

func (c *serverConn) cancelPut(number uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cancel, ok := c.cancels[number]; ok {
		cancel()
	}
}

// stream stores the units of a chunk as they come.
func (c *serverConn) stream(ctx context.Context, h *head) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b, err := c.receive(ctx, cancel, h)
	if err != nil && isOver(err) {
		return err
	}
	if err != nil {
		rpc.LogFailure(ctx, c.server.config.Log, "stream", err)
		c.refuse(h, err)
		return io.EOF
	}
	return c.out.write(c.server.waits.idle, b, nil)
}

// receive passes the units to the store one by one, so that TCP slows the sender down, and returns the answer.
func (c *serverConn) receive(ctx context.Context, cancel context.CancelFunc, h *head) (_ []byte, err error) {
	defer func() { err = rpc.Survive(ctx, recover(), "stream", err, c.server.config.Log) }()
	w, err := c.server.config.Chunks.Create(ctx, h.spec())
	if err != nil {
		return nil, err
	}
	defer w.Abort()
	for {
		length, crc, err := c.nextUnit(h)
		if err != nil {
			return nil, err
		}
		if length == 0 {
			return c.commit(cancel, w, h, crc)
		}
		u, err := readUnit(c.in, c.server.config.Buffers, length, crc)
		if err != nil {
			return nil, err
		}
		if err := w.Append(u); err != nil {
			return nil, err
		}
	}
}

// nextUnit reads what precedes a unit. Length 0: there are no more, and crc is the length of the label.
func (c *serverConn) nextUnit(h *head) (length int, crc uint32, err error) {
	if c.in.Buffered() < unitHeadSize {
		if err := c.within(c.server.waits.idle); err != nil {
			return 0, 0, err
		}
	}
	var b [unitHeadSize]byte
	if _, err := io.ReadFull(c.in, b[:]); err != nil {
		return 0, 0, err
	}
	n := le.Uint32(b[:])
	if n > h.unitSize {
		return 0, 0, store.Errorf(store.Invalid, "unit of %d bytes is not within 1..%d", n, h.unitSize).WithItem(h.chunk)
	}
	return int(n), le.Uint32(b[4:]), c.within(c.server.waits.unit)
}

// commit reads the label and makes the chunk durable, unless the client leaves meanwhile: it may then have the chunk deleted elsewhere.
func (c *serverConn) commit(cancel context.CancelFunc, w chunk.Writer, h *head, length uint32) ([]byte, error) {
	if length > maxLabel {
		return nil, store.Errorf(store.Invalid, "label of %d bytes; at most %d are allowed", length, maxLabel).WithItem(h.chunk)
	}
	encoded := make([]byte, length)
	if _, err := io.ReadFull(c.in, encoded); err != nil {
		return nil, err
	}
	label, err := decodeLabel(encoded)
	if err != nil {
		return nil, err
	}
	watched := c.watch(cancel)
	info, err := w.Commit(label)
	watched()
	if err != nil {
		return nil, err
	}
	return c.stored(0, info, label), nil
}

// watch calls left when the client closes the connection, until the returned function is called.
func (c *serverConn) watch(left func()) (stop func()) {
	ended := make(chan struct{})
	_ = c.raw.SetReadDeadline(time.Time{})
	go func() {
		defer close(ended)
		if _, err := c.in.Peek(1); err != nil {
			left()
		}
	}()
	return func() {
		_ = c.raw.SetReadDeadline(time.Unix(1, 0)) // the next wait for a request sets it again
		<-ended
	}
}

// outbox writes answers to a connection. Safe for concurrent use.
type outbox struct {
	conn net.Conn
	file syscall.RawConn // of conn, to send from files; nil: that cannot be

	writeMu sync.Mutex // held while writing

	mu      sync.Mutex // guards what follows
	waiting []byte     // answers that were queued
	spare   []byte     // its other buffer
	busy    bool       // a caller of queue is writing
	failed  error
}

// queue writes answers together with those of others that are about to be written. It may return before its own is.
func (o *outbox) queue(limit time.Duration, b []byte) {
	o.mu.Lock()
	o.waiting = append(o.waiting, b...)
	if o.busy || o.failed != nil {
		o.mu.Unlock()
		return
	}
	o.busy = true
	for len(o.waiting) > 0 && o.failed == nil {
		o.mu.Unlock()
		runtime.Gosched() // others that are about to answer share the write
		o.mu.Lock()
		b := o.waiting
		o.waiting = o.spare[:0]
		o.mu.Unlock()
		err := o.write(limit, b, nil)
		o.mu.Lock()
		o.spare, o.failed = b, err
	}
	o.busy = false
	o.mu.Unlock()
}

// copyBelow is the size in bytes below which a unit is copied behind its head: that is cheaper than a second buffer in the call.
const copyBelow = 16 << 10

// write writes head and body within the time limit.
func (o *outbox) write(limit time.Duration, head, body []byte) error {
	o.writeMu.Lock()
	defer o.writeMu.Unlock()
	if err := o.conn.SetWriteDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	switch {
	case len(body) == 0:
		_, err := o.conn.Write(head)
		return err
	case len(body) < copyBelow:
		_, err := o.conn.Write(append(append(make([]byte, 0, len(head)+len(body)), head...), body...))
		return err
	}
	bufs := net.Buffers{head, body}
	_, err := bufs.WriteTo(o.conn)
	return err
}

// writeRange writes head and a range of a file within the time limit.
func (o *outbox) writeRange(limit time.Duration, head []byte, g chunk.Range) error {
	o.writeMu.Lock()
	defer o.writeMu.Unlock()
	if err := o.conn.SetWriteDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	return sendFile(o.file, head, g)
}

// workers keep some goroutines for the next call: a kept goroutine has grown its stack already. Safe for concurrent use.
type workers struct {
	next chan func()
	end  <-chan struct{}
	kept chan struct{} // one for each goroutine that waits
}

// keptWorkers is how many goroutines wait for the next call.
const keptWorkers = 16

func newWorkers(end <-chan struct{}) workers {
	return workers{next: make(chan func()), end: end, kept: make(chan struct{}, keptWorkers)}
}

func (w *workers) run(f func()) {
	select {
	case w.next <- f:
	default:
		go w.loop(f)
	}
}

func (w *workers) loop(f func()) {
	for {
		f()
		select {
		case w.kept <- struct{}{}:
		default:
			return
		}
		select {
		case f = <-w.next:
			<-w.kept
		case <-w.end:
			return
		}
	}
}
