package upkeeptest

import (
	"context"
	"encoding/json"
	"strconv"
	"sync"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/upkeep"
)

// Count is a job that counts from its cursor to the number {"to": n} of its arguments, one a step. It implements upkeep.Job.
// Its fields are set before it runs; it may be shared by several runners.
type Count struct {
	Cost   time.Duration                          // of a step
	Fail   func(at int64) (upkeep.Advance, error) // called before each step; an error, or a state that is not Busy, replaces the step; nil: never
	Each   func(ctx context.Context, at int64)    // called in each step; nil: nothing
	Pacing upkeep.Pace

	mu    sync.Mutex // guards steps
	steps []int64
}

// Kind implements upkeep.Job.
func (c *Count) Kind() string { return "count" }

// Pace implements upkeep.Job.
func (c *Count) Pace() upkeep.Pace { return c.Pacing }

// Steps returns the numbers that were counted, in the order of the steps.
func (c *Count) Steps() []int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]int64(nil), c.steps...)
}

// Step implements upkeep.Job.
func (c *Count) Step(ctx context.Context, j store.Job) (upkeep.Advance, error) {
	var args struct{ To int64 }
	if err := json.Unmarshal(j.Args, &args); err != nil {
		return upkeep.Advance{}, store.Errorf(store.Invalid, "the arguments: %w", err)
	}
	at, _ := strconv.ParseInt(string(j.Cursor), 10, 64) // no cursor is 0
	if c.Fail != nil {
		if out, err := c.Fail(at); err != nil || out.State != upkeep.Busy {
			return out, err
		}
	}
	if c.Each != nil {
		c.Each(ctx, at)
	}
	select {
	case <-ctx.Done():
		return upkeep.Advance{}, ctx.Err()
	case <-time.After(c.Cost):
	}
	at++
	c.mu.Lock()
	c.steps = append(c.steps, at)
	c.mu.Unlock()
	out := upkeep.Advance{
		State: upkeep.Busy, Done: store.Amount{Items: 1, Bytes: 10}, Total: store.Amount{Items: args.To}, Cursor: strconv.AppendInt(nil, at, 10),
	}
	if at >= args.To {
		out.State = upkeep.Done
	}
	return out, nil
}

var _ upkeep.Job = (*Count)(nil)
