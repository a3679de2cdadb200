package upkeep

import (
	"context"
	"sync"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// doubtFor is how long after a lost answer of the metadata store its change may still be applied.
const doubtFor = time.Minute

// Claims claims tasks for a loop. When the answer of the store to a claim, or to the end of one, was lost, tasks may be
// claimed that no one works on; they would stay hidden until the hold expires. Therefore, for doubtFor
// afterwards, the loop's next claim first ends all claims that the loop may still hold. The zero value is ready. Its methods
// are safe for concurrent use, but Claim may be called only while the loop works on no task.
type Claims struct {
	mu    sync.Mutex // guards doubt
	doubt time.Time  // until then there may be claims that the loop does not know of
}

// Claim claims tasks for a step that starts.
func (c *Claims) Claim(ctx context.Context, q store.Queues, query store.ClaimQuery) ([]store.Task, error) {
	if c.inDoubt() {
		if err := q.Unclaim(ctx, query.Kind, query.Term); err != nil {
			return nil, err
		}
	}
	tasks, err := q.Claim(ctx, query)
	c.note(err)
	return tasks, err
}

// RecordOutcomes stores the outcomes of claimed tasks, as recordOutcomes says, and notes a lost answer.
func (c *Claims) RecordOutcomes(ctx context.Context, q store.Queues, results []Result) (done int64, err error) {
	done, err = recordOutcomes(ctx, q, results)
	c.note(err)
	return done, err
}

func (c *Claims) inDoubt() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Before(c.doubt)
}

func (c *Claims) note(err error) {
	if err == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.doubt = time.Now().Add(doubtFor)
}
