package data

import (
	"context"
	"io"

	"github.com/ringstore/ringstore/daemon/internal/bufpool"
	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/rpc"
)

// received is a put that was read completely.
type received struct {
	number uint32
	put    chunk.SmallPut
	cancel context.CancelFunc
}

// maxBatchBytes is how many bytes of units are stored together at most, and one more unit: longer ones are stored while the next arrive.
const maxBatchBytes = 128 << 10

// put reads a put. settle stores it, with those that follow it at once.
func (c *serverConn) put(ctx context.Context, h *head) error {
	if !c.takeSlot(ctx) {
		return ctx.Err()
	}
	encoded, unit, err := c.readPut(h)
	if err != nil {
		<-c.server.slots
		return err
	}
	label, err := decodeLabel(encoded)
	if err != nil {
		<-c.server.slots
		unit.Release()
		return c.fail(h.number, err)
	}
	one := received{number: h.number, put: chunk.SmallPut{Spec: h.spec(), Unit: unit, Label: label}}
	one.put.Context, one.cancel = context.WithCancel(ctx)
	c.batch = append(c.batch, one)
	c.batchBytes += len(unit.Data)
	return c.settle()
}

// settle stores the puts that were read as soon as no more bytes have come, or together they are enough. Cancels that have come
// are read first, so that a node which was paused stores nothing that was cancelled meanwhile.
func (c *serverConn) settle() error {
	switch {
	case len(c.batch) == 0:
	case !c.more():
		c.store(c.takeBatch())
	case len(c.batch) == maxPuts || c.batchBytes >= maxBatchBytes || c.nextOp() != opPut && c.nextOp() != opCancel:
		return c.storeInBackground()
	}
	return nil
}

// takeSlot waits until one more put may be in progress at the node. While it waits, no put waits with it.
func (c *serverConn) takeSlot(ctx context.Context) bool {
	select {
	case c.server.slots <- struct{}{}:
		return true
	default:
	}
	if c.storeInBackground() != nil {
		return false
	}
	select {
	case c.server.slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// more reports whether bytes of another request have come.
func (c *serverConn) more() bool { return c.in.Buffered() > 0 || hasBytes(c.raw) }

// nextOp is what the request asks for whose first byte has come.
func (c *serverConn) nextOp() op {
	b, err := c.in.Peek(1)
	if err != nil {
		return 0
	}
	return op(b[0])
}

func (c *serverConn) takeBatch() []received {
	batch := c.batch
	c.batch, c.batchBytes = nil, 0
	return batch
}

// storeInBackground stores the puts that were read in a goroutine of their own, so that further requests are read, such as those that cancel
// them.
func (c *serverConn) storeInBackground() error {
	batch := c.takeBatch()
	if len(batch) == 0 {
		return nil
	}
	c.mu.Lock()
	for _, r := range batch {
		c.cancels[r.number] = r.cancel
	}
	c.mu.Unlock()
	c.background.Go(func() {
		c.store(batch)
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, r := range batch {
			delete(c.cancels, r.number)
		}
	})
	return nil
}

// store stores the puts, and answers each.
func (c *serverConn) store(batch []received) {
	results := c.putMany(batch)
	var b []byte
	for i, r := range batch {
		r.cancel()
		<-c.server.slots
		if err := results[i].Err; err != nil {
			rpc.LogFailure(r.put.Context, c.server.config.Log, "put", err)
			b = append(b, appendFailure(r.number, err)...)
			continue
		}
		b = append(b, c.stored(r.number, results[i].Info, r.put.Label)...)
	}
	_ = c.out.write(c.server.waits.idle, b, nil) // if that fails, so does the next read
}

func (c *serverConn) putMany(batch []received) (results []chunk.PutResult) {
	puts := make([]chunk.SmallPut, len(batch))
	for i, r := range batch {
		puts[i] = r.put
	}
	defer func() {
		if err := rpc.Survive(puts[0].Context, recover(), "put", nil, c.server.config.Log); err != nil {
			results = make([]chunk.PutResult, len(batch))
			for i := range results {
				results[i].Err = err
			}
		}
	}()
	return chunk.PutMany(c.server.config.Chunks, puts)
}

// cancelPut ends a put that waits or is stored in the background. One that was stored by the reading goroutine has been answered before this is called.
func (c *serverConn) cancelPut(number uint32) {
	for _, r := range c.batch {
		if r.number == number {
			r.cancel()
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if cancel, ok := c.cancels[number]; ok {
		cancel()
	}
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
