package mem

import (
	"context"
	"slices"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Op names a step of a Chunks.
type Op string

// The steps that a Hook is asked about.
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

// Call is one step about to be taken.
type Call struct {
	Op   Op
	ID   store.ChunkID // zero for OpCapacity, the marker for OpList
	Unit int           // number of the unit for OpAppend and OpNext; of units for OpCommit
}

// Hook is asked before every step, from the goroutine that takes it, and from
// many at once. An error becomes the step's answer, and nothing is done. A hook
// may wait, to play a place that stalls; ctx ends when the caller gives up,
// and with Abort and Close.
type Hook func(ctx context.Context, call Call) error

// SetHook has h asked from now on; nil ends that. Steps that wait in the hook before stay there.
func (c *Chunks) SetHook(h Hook) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hook = h
}

// Fail is a Hook that answers the given steps, or all when none is given, with err.
func Fail(err error, ops ...Op) Hook {
	return func(_ context.Context, call Call) error {
		if !concerns(call, ops) {
			return nil
		}
		return err
	}
}

// Stall is a Hook that holds the given steps, or all when none is given, until
// the channel is closed. Abort, Close and an ended context free the caller at once.
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

// Drop loses a chunk, as a disk does. It reports whether there was one.
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

// CorruptUnit flips a bit of the unit, so that reading it is Corrupt. Readers
// that are open keep what they saw. It reports whether there is such a unit.
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
	c.chunks[id] = &chunk{info: k.info, units: rotten}
	return true
}

// SetLimit says how many bytes may be kept. At a limit of what is used already,
// or of 0, the place is full: Create and Append are NoSpace.
func (c *Chunks) SetLimit(bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit = bytes
}

// SetDisk says what the disk under the place can do. Reading is not affected;
// without DiskOK nothing is written, and with DiskFull still deleted.
func (c *Chunks) SetDisk(d store.Disk) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.disk = d
}

// Lent is the number of units that readers handed out and nobody released yet.
func (c *Chunks) Lent() int64 { return c.lent.Load() }

// ask lets the hook answer first, then an ended context.
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
