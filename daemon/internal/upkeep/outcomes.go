package upkeep

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Result is the outcome of a claimed task. A nil Err finishes it.
type Result struct {
	Task store.Task
	Err  error
}

// maxPostpone bounds how long a task that keeps failing waits.
const maxPostpone = 5 * time.Minute

// recordLimit bounds the calls of recordOutcomes.
const recordLimit = 10 * time.Second

// recordOutcomes stores the outcomes of claimed tasks: finished ones leave the queue,
// the others become due again with increasing delay and their error as the reason. When
// ctx has ended they are due at once, for the next leader; the calls to the store do not
// depend on ctx. It returns the number of finished tasks.
func recordOutcomes(ctx context.Context, q store.Queues, results []Result) (done int64, err error) {
	var finished []store.Task
	later := map[time.Duration][]store.Task{}
	for _, r := range results {
		if r.Err == nil {
			finished = append(finished, r.Task)
			continue
		}
		delay := postponement(r.Task.Attempts)
		if ctx.Err() != nil {
			delay = 0
		} else {
			r.Task.Reason = strings.ReplaceAll(r.Err.Error(), "\n", "; ")
		}
		later[delay] = append(later[delay], r.Task)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordLimit)
	defer cancel()
	var errs []error
	if len(finished) > 0 {
		errs = append(errs, q.Finish(ctx, finished))
	}
	for delay, tasks := range later {
		errs = append(errs, q.Postpone(ctx, tasks, delay))
	}
	return int64(len(finished)), errors.Join(errs...)
}

func postponement(attempts int) time.Duration {
	return min(time.Second<<min(max(attempts-1, 0), 10), maxPostpone)
}
