package mem

import (
	"context"
	"slices"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Op names a step of a Chunks.
type Op string

// The steps for which a Hook is called.
const (
	OpCreate   Op = "create"
	OpAppend   Op = "append"
	OpCommit   Op = "commit"
	OpOpen     Op = "open"
	OpNext     Op = "next"
	OpStat     Op = "stat"
	OpDelete   Op = "delete"
	OpList     Op = "list"
	OpCapacity Op = "capacity"
	OpVerify   Op = "verify"
)

// Call describes a step that is about to run.
type Call struct {
	Op   Op
	ID   store.ChunkID // zero for OpCapacity, the marker for OpList
	Unit int           // number of the unit for OpAppend and OpNext; of units for OpCommit
}

// Hook is called before every step, in the goroutine of the step, and by
// many goroutines at once. The step returns its error and does nothing else. A hook
// may wait, to simulate a place that stalls; ctx ends with the caller's,
// and with Abort and Close.
type Hook func(ctx context.Context, call Call) error

// SetHook makes h the hook; nil removes it. Steps that wait in the previous hook are not affected.
func (c *Chunks) SetHook(h Hook) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hook = h
}

// Fail returns a Hook that makes the given steps, or without any all steps, fail with err.
func Fail(err error, ops ...Op) Hook {
	return func(_ context.Context, call Call) error {
		if !concerns(call, ops) {
			return nil
		}
		return err
	}
}

// Stall returns a Hook that blocks the given steps, or without any all steps, until
// the channel is closed. Abort, Close and an ended context unblock the caller at once.
func Stall(until <-chan struct{}, ops ...Op) Hook {
	return func(ctx context.Context, call Call) error {
		if !concerns(call, ops) {
			return nil
		}
		select {
		case <-until:
			return nil
		case <-ctx.Done():
			return ended(ctx)
		}
	}
}

func concerns(call Call, ops []Op) bool { return len(ops) == 0 || slices.Contains(ops, call.Op) }

// Drop removes a chunk, as a disk that loses it. It reports whether it existed.
func (c *Chunks) Drop(id store.ChunkID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok := c.chunks[id]
	if ok {
		c.used -= k.info.Size
		delete(c.chunks, id)
	}
	return ok
}

// CorruptUnit flips a bit of the unit, so that reading it is Corrupt. Open
// readers are not affected. It reports whether the unit exists.
func (c *Chunks) CorruptUnit(id store.ChunkID, unit int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok := c.chunks[id]
	if !ok || unit < 0 || unit >= len(k.units) {
		return false
	}
	rotten := slices.Clone(k.units)
	rotten[unit].Data = slices.Clone(rotten[unit].Data)
	rotten[unit].Data[0] ^= 1
	c.chunks[id] = &storedChunk{info: k.info, units: rotten}
	return true
}

// SetLimit limits the bytes that may be kept. When as much is used already,
// the place is full: Create and Append are NoSpace.
func (c *Chunks) SetLimit(bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit = bytes
}

// SetDisk sets the state of the disk under the place. Reads are not affected;
// without DiskOK writes fail, and with DiskFull deletes still work.
func (c *Chunks) SetDisk(d store.Disk) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.disk = d
}

// Lent is the number of units that readers returned and that are not released yet.
func (c *Chunks) Lent() int64 { return c.lent.Load() }

// ask returns the hook's error, or that of an ended context.
func (c *Chunks) ask(ctx context.Context, call Call) error {
	if err := ended(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	hook := c.hook
	c.mu.Unlock()
	if hook == nil {
		return nil
	}
	if err := hook(ctx, call); err != nil {
		return err
	}
	return ended(ctx)
}
