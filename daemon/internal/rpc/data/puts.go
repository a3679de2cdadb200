package data

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// putQueue sends the puts of a client. Those that come while others are unanswered wait, and are sent together when all of these
// are answered: the node then makes them durable with one sync. Safe for concurrent use.
type putQueue struct {
	client   *Client
	patience time.Duration // for the answer to a put whose caller has left; the node is stuck if it takes longer

	mu      sync.Mutex // guards what follows
	waiting []*put
	sent    map[uint32]*put // taken from waiting and unanswered, by number
	last    uint32          // number
	conn    *putConn        // nil: none
	sending bool            // a goroutine takes, connects or writes
	closed  bool
}

// putConn is the connection of a queue.
type putConn struct {
	*clientConn
	writing sync.Mutex // held while writing
	buf     []byte     // heads and labels of a group; used by the sender
}

// put is one call of PutSmall.
type put struct {
	request context.Context //nolint:containedctx // that of the call, for its request id
	spec    chunk.Spec
	unit    chunk.Unit
	holders atomic.Int32 // of unit: the caller, and the sender from when it takes the put until it has written it
	label   chunk.Label
	encoded []byte        // label
	number  uint32        // set when it is sent
	left    bool          // its caller has left; guarded by the queue's mu
	done    chan struct{} // closed once info and err are set
	info    chunk.Info
	err     error
}

// Release implements chunk.Releaser: it ends the hold of the caller or the sender on the unit.
func (p *put) Release() {
	if p.holders.Add(-1) == 0 {
		p.unit.Release()
	}
}

const (
	maxGroup      = maxPuts // puts that are sent together
	maxGroupBytes = 4 << 20 // of their units, unless it is a single one
	writeLimit    = time.Minute
	cancelLimit   = 5 * time.Second // the patience of a queue
)

var errClosedClient = store.Errorf(store.Canceled, "the client was closed")

// put stores a chunk of one unit. It takes over u.
func (q *putQueue) put(ctx context.Context, spec chunk.Spec, u chunk.Unit, label chunk.Label) (chunk.Info, error) {
	p := &put{request: ctx, spec: spec, unit: u, label: label, encoded: encodeLabel(label), done: make(chan struct{})}
	p.holders.Store(1)
	if !q.enter(p) {
		u.Release()
		return chunk.Info{}, errClosedClient
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		if q.leave(p) {
			p.Release()
			return chunk.Info{}, q.client.wrong(ctx, ctx.Err())
		}
		<-p.done
	}
	if refused(p.err) || errors.Is(p.err, errCrowded) || q.client.fellBack(p.err) {
		return q.client.Client.PutSmall(ctx, spec, chunk.Unit{Data: u.Data, CRC: u.CRC, Owner: p}, label)
	}
	p.Release()
	return p.info, p.err
}

// enter adds a put to those that wait; false: the client is closed.
func (q *putQueue) enter(p *put) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.waiting = append(q.waiting, p)
	if !q.sending && len(q.sent) == 0 {
		q.sending = true
		go q.send()
	}
	return true
}

// leave is called when the context of a put ends; false: it is done already. The put is cancelled if it was sent.
func (q *putQueue) leave(p *put) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := slices.Index(q.waiting, p); i >= 0 {
		q.waiting = slices.Delete(q.waiting, i, i+1)
		return true
	}
	if q.sent[p.number] != p {
		return false
	}
	p.left = true
	conn := q.conn
	go q.cancel(conn, p)
	time.AfterFunc(q.patience, func() {
		q.mu.Lock()
		stuck := q.sent[p.number] == p && q.conn == conn
		q.mu.Unlock()
		if stuck && conn != nil {
			q.broke(conn, q.client.unreachable("does not answer"))
		}
	})
	return true
}

// cancel asks the node to give up a put.
func (q *putQueue) cancel(conn *putConn, p *put) {
	if conn == nil {
		return
	}
	conn.writing.Lock()
	defer conn.writing.Unlock()
	_ = conn.SetWriteDeadline(time.Now().Add(cancelLimit))
	_, _ = conn.Write(conn.request(p.request, nil, head{op: opCancel, number: p.number, chunk: p.spec.ID})) // a failure shows at the next read
}

// send sends what waits, until nothing does or something is unanswered.
func (q *putQueue) send() {
	for {
		group, conn := q.take()
		if len(group) == 0 {
			return
		}
		if conn == nil {
			var err error
			if conn, err = q.open(); err != nil {
				q.fail(err)
				continue
			}
		}
		if err := conn.write(group); err != nil {
			q.broke(conn, q.client.wrong(context.Background(), err))
		}
	}
}

// take moves the next group from waiting to sent.
func (q *putQueue) take() ([]*put, *putConn) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, size := 0, 0
	if len(q.sent) == 0 {
		for n < len(q.waiting) && n < maxGroup && (n == 0 || size+len(q.waiting[n].unit.Data) <= maxGroupBytes) {
			size += len(q.waiting[n].unit.Data)
			n++
		}
	}
	if n == 0 {
		q.sending = false
		return nil, nil
	}
	if q.conn != nil && time.Since(q.conn.opened) > maxLife {
		q.conn.discard() // nothing on it is unanswered
		q.conn = nil
	}
	group := slices.Clone(q.waiting[:n])
	q.waiting = slices.Delete(q.waiting, 0, n)
	if q.sent == nil {
		q.sent = map[uint32]*put{}
	}
	for _, p := range group {
		q.last++
		p.number = q.last
		p.holders.Add(1)
		q.sent[p.number] = p
	}
	return group, q.conn
}

// open connects and starts to read answers.
func (q *putQueue) open() (*putConn, error) {
	c, err := q.client.pool.take(context.Background())
	if err != nil {
		return nil, err
	}
	conn := &putConn{clientConn: c}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		c.discard()
		return nil, errClosedClient
	}
	q.conn = conn
	go q.receive(conn)
	return conn, nil
}

// write sends a group with as few calls as possible, and releases the units.
func (c *putConn) write(group []*put) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	size := 0
	for _, p := range group {
		size += headSize + len(p.encoded)
		if len(p.unit.Data) < copyBelow {
			size += len(p.unit.Data)
		}
	}
	b := slices.Grow(c.buf[:0], size) // no append beyond it, so that bufs stays valid
	var bufs net.Buffers
	from := 0
	for _, p := range group {
		b = c.request(p.request, b, head{
			op: opPut, number: p.number, chunk: p.spec.ID, unitSize: uint32(p.spec.UnitSize),
			count: uint64(len(p.unit.Data)), label: uint32(len(p.encoded)), crc: p.unit.CRC,
		})
		b = append(b, p.encoded...)
		if len(p.unit.Data) < copyBelow {
			b = append(b, p.unit.Data...)
			continue
		}
		bufs = append(bufs, b[from:], p.unit.Data)
		from = len(b)
	}
	if from < len(b) {
		bufs = append(bufs, b[from:])
	}
	c.buf = b[:0]
	err := c.SetWriteDeadline(time.Now().Add(writeLimit))
	if err == nil {
		_, err = bufs.WriteTo(c.Conn)
	}
	for _, p := range group {
		p.Release()
	}
	return err
}

// receive reads the answers of a connection until it ends.
func (q *putQueue) receive(conn *putConn) {
	for {
		a, err := conn.answer()
		_, refused := errors.AsType[refusal](err)
		if err == nil && a.kind != answerStored {
			err = misbehaved("an answer of kind %d to a put", a.kind)
		}
		p := q.unanswered(a.number)
		if (err == nil || refused) && p == nil {
			err, refused = misbehaved("an answer to a put that was not sent"), false
		}
		var info chunk.Info
		if err == nil {
			info, err = conn.storedInfo(a, p.spec.ID, p.label)
		}
		if err != nil && !refused {
			q.broke(conn, conn.translate(context.Background(), err))
			return
		}
		if err != nil {
			err = conn.translate(p.request, err)
		}
		if q.answered(p, info, err) {
			q.send()
		}
	}
}

func (q *putQueue) unanswered(number uint32) *put {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.sent[number]
}

// answered ends a put. True: the caller is to send what waits.
func (q *putQueue) answered(p *put, info chunk.Info, err error) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.finish(p, info, err)
	if len(q.sent) > 0 || len(q.waiting) == 0 || q.sending {
		return false
	}
	q.sending = true
	return true
}

// finish ends a put. mu is held.
func (q *putQueue) finish(p *put, info chunk.Info, err error) {
	delete(q.sent, p.number)
	if !p.left {
		p.info, p.err = info, err
		close(p.done)
	}
}

// fail ends all puts that were taken for a connection which could not be opened.
func (q *putQueue) fail(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, p := range q.sent {
		p.Release()
		q.finish(p, chunk.Info{}, err)
	}
}

// broke ends a connection and all puts that were sent on it: their outcome is open.
func (q *putQueue) broke(conn *putConn, err error) {
	conn.discard()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.conn != conn {
		return
	}
	q.conn = nil
	for _, p := range q.sent {
		q.finish(p, chunk.Info{}, err)
	}
	if len(q.waiting) > 0 && !q.sending && !q.closed {
		q.sending = true
		go q.send()
	}
}

func (q *putQueue) close() {
	q.mu.Lock()
	conn, waiting := q.conn, q.waiting
	q.waiting, q.closed = nil, true
	for _, p := range waiting {
		p.err = errClosedClient
		close(p.done)
	}
	q.mu.Unlock()
	if conn != nil {
		q.broke(conn, errClosedClient)
	}
}
