package data

import (
	"context"
	"errors"
	"io"
	"math"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/rpc"
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
