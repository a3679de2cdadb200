package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ringstore/ringstore/ctl/client"
	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/retry"
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
	began    time.Time
	sums     bool // Close notes a summary
	did      string

	mu          sync.Mutex // guards what follows
	done        int
	skipped     int
	size        int64 // of what was done, in bytes
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
func (f *Factory) NewReport(command, noun string) *Report {
	return &Report{f: f, command: command, noun: noun, progress: f.Progress(), began: time.Now()}
}

// Summing makes Close note the sums, for a command that may work on many objects: so many of them, did.
func (r *Report) Summing(did string) *Report {
	r.sums, r.did = true, did
	return r
}

// Manager returns a transfer manager that shows its notes with those of the report.
func (r *Report) Manager(c *client.Client) *transfer.Manager {
	return &transfer.Manager{Client: c, Meter: r.progress.Start("", -1), Retry: r.f.Retry(), Note: func(text string) { r.Note("%s", text) }}
}

// Done counts and shows a success; --quiet hides it.
func (r *Report) Done(result Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done++
	r.size += result.Size
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

// Skip counts an item that was left unchanged, and notes why.
func (r *Report) Skip(format string, args ...any) {
	r.mu.Lock()
	r.skipped++
	r.mu.Unlock()
	r.Note(format, args...)
}

// Task is an item in progress. Its methods are safe for concurrent use.
type Task struct {
	*term.Item
	report *Report
	name   string
}

// Start shows an item as one in progress; bytes < 0 if its size is unknown. End ends it.
func (r *Report) Start(name string, bytes int64) *Task {
	return &Task{Item: r.progress.Start(name, bytes), report: r, name: name}
}

// With returns a manager whose progress and retries are those of the task.
func (t *Task) With(m *transfer.Manager) *transfer.Manager {
	own := *m
	own.Meter, own.Retry.Notify = t.Item, t.notify
	return &own
}

// notify shows that bytes arrived damaged; all other failures are those of the server, which are shown for all items together.
func (t *Task) notify(e retry.Event) {
	if fault.KindOf(e.Err) != problem.Corrupt {
		t.report.f.Retrying(e)
		return
	}
	t.report.Note("%s %s: %v; trying again", t.report.command, t.name, e.Err)
}

// End ends the task with its result: nil, or why it failed, which is reported under the item's name.
func (t *Task) End(err error) {
	t.Leave(err)
	if err != nil {
		t.report.Fail(fault.Wrap(t.name, err))
	}
}

// Leave is End without a report.
func (t *Task) Leave(err error) {
	if fault.ExitOf(err) == fault.Interrupted {
		t.Interrupted()
		return
	}
	t.Item.End()
}

// Sized is an item of a known size in bytes, < 0 if it is unknown.
type Sized interface{ Bytes() int64 }

// Each runs work on the items, up to parallel at the same time, and reports the result of each, or its error under the name
// of the item. It ends the report and returns its overall result
func Each[T fmt.Stringer](ctx context.Context, r *Report, parallel int, items []T, work func(T, *Task) (Result, error)) error {
	transfer.Each(ctx, parallel, slices.Values(items), func(item T) {
		bytes := int64(-1)
		if sized, ok := any(item).(Sized); ok {
			bytes = sized.Bytes()
		}
		task := r.Start(item.String(), bytes)
		result, err := work(item, task)
		task.End(err)
		if err == nil {
			r.Done(result)
		}
	})
	return r.End(ctx)
}

// Took describes how long the command has taken, and its rate if it has transferred bytes: " in 8s (60 MiB/s)".
func (r *Report) Took() string {
	took := time.Since(r.began)
	text := " in " + term.Duration(took)
	if moved := r.progress.Transferred(); moved > 0 && took >= time.Second {
		text += " (" + term.Size(int64(float64(moved)/took.Seconds())) + "/s)"
	}
	return text
}

// summary notes the sums of a command that worked on several items.
func (r *Report) summary() {
	if !r.sums || r.f.Global.Progress == term.ProgressJSON || r.done == 0 || r.done+r.failures+r.skipped < 2 {
		return // the results, or the error that follows, say it all
	}
	text := strings.TrimSpace(fmt.Sprintf("%s: %s %s", r.command, term.Count(r.done, r.noun), r.did))
	if r.size > 0 {
		text += ", " + term.Size(r.size)
	}
	text += r.Took()
	if r.skipped > 0 {
		text += fmt.Sprintf(", %d skipped", r.skipped)
	}
	if r.failures > 0 {
		text += fmt.Sprintf(", %d failed", r.failures)
	}
	r.f.Note("%s", text)
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
	r.summary()
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
