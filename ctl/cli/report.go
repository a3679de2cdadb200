package cli

import (
	"sync"
	"time"

	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/term"
)

// Report follows a command that does many things: each success and each failure
// is shown when it happens, and the end says how it went as a whole. Its methods
// may be called at once from many goroutines.
type Report struct {
	f        *Factory
	command  string
	noun     string
	progress term.Progress

	mu          sync.Mutex
	done        int
	failures    int
	exit        fault.Exit // of all failures, while they agree
	mixed       bool
	held        error // the first failure, while it may be the only outcome
	interrupted bool
	goOn        string // how to go on with what was interrupted
	goOns       int
	broken      error // the result stream is
}

// NewReport begins a report; noun names the items that are counted.
func (f *Factory) NewReport(command, noun string, progress term.Progress) *Report {
	return &Report{f: f, command: command, noun: noun, progress: progress}
}

// Done shows a success, unless --quiet asked for none.
func (r *Report) Done(result Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done++
	r.showHeld()
	if r.f.Global.Quiet && !r.f.Global.JSON {
		return
	}
	r.progress.Above(func() {
		if err := r.f.Show(result); err != nil && r.broken == nil {
			r.broken = err
		}
	})
}

// Count takes note of a success that shows nothing.
func (r *Report) Count() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done++
	r.showHeld()
}

// Fail shows a failure of one item. Items that were only interrupted are not failures.
func (r *Report) Fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	exit := fault.ExitOf(err)
	if exit == fault.Interrupted {
		r.interrupted = true
		if hint := fault.HintOf(err); hint != "" {
			r.goOn = hint
			r.goOns++
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

// Note tells a person something that is neither a result nor an error.
func (r *Report) Note(format string, args ...any) {
	if r.f.Global.Quiet || r.f.Global.JSON {
		return // and the bar stays as it is
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.progress.Above(func() { r.f.Note(format, args...) })
}

// Retrying is a Note for transfer.Retry.
func (r *Report) Retrying(item string) func(error, time.Duration) {
	return func(err error, pause time.Duration) {
		r.Note("%s %s: %v; trying again in %s", r.command, item, err, pause.Round(100*time.Millisecond))
	}
}

func (r *Report) showHeld() {
	if r.held != nil {
		r.show(r.held)
		r.held = nil
	}
}

func (r *Report) show(err error) { r.progress.Above(func() { r.f.ShowError(r.command, err) }) }

// Close ends the display and returns how it went: the one failure if there was
// nothing else, Partial if some items were done, or what all failures agree on.
func (r *Report) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.progress.Close(r.failures == 0 && !r.interrupted)
	total := r.done + r.failures
	switch {
	case r.interrupted:
		if r.held != nil {
			r.show(r.held)
		}
		err := fault.New("interrupted", "interrupted; %s done before", term.Count(r.done, r.noun))
		if r.goOn != "" {
			err.Hint = r.goOn
		}
		if r.goOns > 1 {
			err.Hint = "run the same command again to continue from here"
		}
		return err
	case r.broken != nil:
		return fault.Wrap("write results", r.broken)
	case r.failures == 0:
		return nil
	case total == 1:
		return r.held
	case r.done == 0 && !r.mixed:
		return fault.New(fault.NameOf(r.exit), "all %s failed, as shown above", term.Count(total, r.noun)).WithHint(eachSaid)
	}
	return fault.New("partial", "%d of %s failed, as shown above", r.failures, term.Count(total, r.noun)).WithHint(eachSaid)
}

// eachSaid is the next step after several failures.
const eachSaid = "each message above says what to do"
