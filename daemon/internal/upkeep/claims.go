package upkeep

import (
	"context"
	"sync"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// doubtFor is how long after a lost answer of the metadata store a change may still land.
const doubtFor = time.Minute

// Claims hands a job its tasks. When the answer of the store to a claim, or to the end of one, was lost, tasks may be
// claimed that no one works on; they would stay hidden until the hold is over. So for a while
// afterwards the job's next claim first ends all that it may still have. The zero value is ready. Its methods may be called
// at once, but Claim only while the job works on no task.
type Claims struct {
	mu    sync.Mutex // guards doubt
	doubt time.Time  // until then there may be claims that are not known
}

// Claim claims tasks for a step that begins.
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

// Settle is Settle of the package.
func (c *Claims) Settle(ctx context.Context, q store.Queues, results []Result) (done int64, err error) {
	done, err = Settle(ctx, q, results)
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
