package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/term"
	"github.com/ringstore/ringstore/ctl/transfer"
	"github.com/ringstore/ringstore/proto/problem"
)

// Report collects the results of a command that works on many items: it shows each success and each failure as it happens,
// and returns the overall result at the end. Its methods are safe for concurrent use.
type Report struct {
	f        *Factory
	command  string
	noun     string
	progress *term.Progress

	mu          sync.Mutex // guards what follows
	done        int
	failures    int
	exit        fault.Exit // of the last failure
	mixed       bool       // failures have different exit codes
	held        error      // the first failure, not shown while it may be the only outcome
	interrupted bool
	resume      string // how to resume the last interrupted item
	resumable   int    // interrupted items that can be resumed
	broken      error  // of writing to standard output
}

// NewReport starts a report; noun is the singular name of the items.
func (f *Factory) NewReport(command, noun string, progress *term.Progress) *Report {
	return &Report{f: f, command: command, noun: noun, progress: progress}
}

// Manager returns a transfer manager that shows its progress and notes with those of the report.
func (r *Report) Manager(c *client.Client) *transfer.Manager {
	return &transfer.Manager{Client: c, Meter: r.progress, Retry: r.f.Retry(), Note: func(text string) { r.Note("%s", text) }}
}

// Done counts and shows a success; --quiet hides it.
func (r *Report) Done(result Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done++
	r.showHeld()
	r.progress.Above(func() { r.broken = cmp.Or(r.broken, r.f.ShowSuccess(result)) })
}

// Count counts a success without output.
func (r *Report) Count() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done++
	r.showHeld()
}

// Fail counts and shows the failure of an item. An interrupted item does not count as a failure.
func (r *Report) Fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	exit := fault.ExitOf(err)
	if exit == fault.Interrupted {
		r.interrupted = true
		if hint := fault.HintOf(err); hint != "" {
			r.resume = hint
			r.resumable++
		}
		return
	}
	if r.failures > 0 && exit != r.exit {
		r.mixed = true
	}
	r.exit = exit
	r.failures++
	r.showHeld()
	if r.failures == 1 && r.done == 0 {
		r.held = err
		return
	}
	r.show(err)
}

// Note writes a message that is neither a result nor an error.
func (r *Report) Note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.progress.Above(func() { r.f.Note(format, args...) })
}

// Retrying returns what notes each retry of an item.
func (r *Report) Retrying(item string) transfer.Notify {
	return func(err error, pause time.Duration) {
		r.Note("%s %s: %v; trying again in %s", r.command, item, err, pause.Round(100*time.Millisecond))
	}
}

// Each runs work on the items, up to parallel at the same time, and reports the result of each, or its error under the name
// of the item. It ends the report and returns its overall result
func Each[T fmt.Stringer](ctx context.Context, r *Report, parallel int, items []T, work func(T, transfer.Notify) (Result, error)) error {
	transfer.Each(ctx, parallel, slices.Values(items), func(item T) {
		defer r.progress.Finished()
		result, err := work(item, r.Retrying(item.String()))
		if err != nil {
			r.Fail(fault.Wrap(item.String(), err))
			return
		}
		r.Done(result)
	})
	return r.End(ctx)
}

func (r *Report) showHeld() {
	if r.held != nil {
		r.show(r.held)
		r.held = nil
	}
}

func (r *Report) show(err error) { r.progress.Above(func() { r.f.ShowError(r.command, err) }) }

// End is Close after ctx may have ended: the interruption is then reported, too.
func (r *Report) End(ctx context.Context) error {
	if ctx.Err() != nil {
		r.Fail(ctx.Err())
	}
	return r.Close()
}

// Close ends the progress display and returns the overall error: the failure itself if there was one item only, Partial if
// some items succeeded or the failures have different exit codes, otherwise the common kind.
func (r *Report) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failures == 0 && !r.interrupted {
		r.progress.Complete()
	}
	r.progress.Close()
	total := r.done + r.failures
	switch {
	case r.interrupted:
		if r.held != nil {
			r.show(r.held)
		}
		err := fault.New(problem.Interrupted, "interrupted after %s", term.Count(r.done, r.noun))
		if r.resume != "" {
			err.Hint = r.resume
		}
		if r.resumable > 1 {
			err.Hint = "run the same command again to resume"
		}
		return err
	case r.broken != nil:
		return fault.Wrap("write results", r.broken)
	case r.failures == 0:
		return nil
	case total == 1:
		return r.held
	case r.done == 0 && !r.mixed:
		return fault.New(fault.MainKind(r.exit), "all %s failed, as shown above", term.Count(total, r.noun)).WithHint(eachSaid)
	}
	return fault.New(problem.Partial, "%d of %s failed, as shown above", r.failures, term.Count(total, r.noun)).WithHint(eachSaid)
}

// eachSaid is the hint after several failures.
const eachSaid = "see the next step in each message above"
