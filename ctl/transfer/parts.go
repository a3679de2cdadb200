package transfer

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/journal"
	"github.com/ringstore/ringstore/ctl/retry"
	"github.com/ringstore/ringstore/proto/checksum"
	"github.com/ringstore/ringstore/proto/problem"
	"github.com/ringstore/ringstore/proto/rest"
)

const (
	mib      = 1 << 20
	maxParts = 10000
)

// Sizes define how files are split into parts, in bytes. Zero values mean the defaults of the field in Manager.
type Sizes struct {
	Whole int64 // the largest file that is moved in one request
	Quick int64 // the same while the rate is so high that it takes less than a second; default Whole where that is given
	Least int64 // the smallest part: they begin at its multiples
	Most  int64 // the largest part
}

func (s Sizes) or(d Sizes) Sizes {
	return Sizes{Whole: cmp.Or(s.Whole, d.Whole), Quick: cmp.Or(s.Quick, s.Whole, d.Quick), Least: cmp.Or(s.Least, d.Least), Most: cmp.Or(s.Most, d.Most)}
}

var (
	// What of a part has arrived is lost with an interruption. So a part ends after partTime, wherever it is, and a file that takes
	// longer than that is sent in parts; see ADR 141.
	sizes = Sizes{Whole: 8 * mib, Quick: 64 * mib, Least: mib, Most: 128 * mib}
	// A copy moves no bytes, but a request still has to take seconds: that is what a lost connection costs.
	copySizes = Sizes{Whole: 256 * mib, Least: 64 * mib, Most: 256 * mib}
)

// most is the size up to which a file is moved in one request, since a session costs three more.
func (m *Manager) most() int64 {
	return max(m.Sizes.Whole, min(int64(m.Lanes.flow.rate()), m.Sizes.Quick))
}

// unit is the least part size for a file: a file has at most maxParts parts.
func (s Sizes) unit(size int64) int64 {
	return (max(s.Least, (size+maxParts-1)/maxParts) + mib - 1) / mib * mib
}

// share is how much of a file one of so many streams takes at once, at most.
func (s Sizes) share(size, unit int64, streams int) int64 {
	const least = 16 * mib // less is not worth a request
	share := max(size/int64(max(streams, 1)), least, unit)
	share = (share + unit - 1) / unit * unit
	return max(min(share, s.Most), unit)
}

// possible reports whether unit can have chosen this one for a file.
func possible(unit, size int64) bool {
	return unit >= mib && unit%mib == 0 && unit-mib < size && size/maxParts <= unit && (size+unit-1)/unit <= maxParts
}

// each runs work on the spans that are free, of at most so many bytes each, on as many goroutines as there are lanes. The first error
// cancels the others and is returned after all work has ended. Spans start in order, each in a lane for its first request. work
// records what arrives, and returns what of its span is left.
func (m *Manager) each(ctx context.Context, p *pieces, most int64, work func(ctx context.Context, s span, first *lane) (rest span, err error)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// Lanes bound the requests; slots bound the goroutines, also those that wait to retry.
	slots := make(chan struct{}, m.Lanes.most)
	var wg sync.WaitGroup
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
		}
		s, ok := p.take(ctx, most)
		if !ok {
			break
		}
		first, err := m.Lanes.take(ctx)
		if err != nil {
			p.release(s)
			break
		}
		wg.Go(func() {
			defer func() { <-slots }()
			rest, err := work(ctx, s, first)
			p.release(rest)
			if err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// try runs a request in a lane, which it may free before it ends, and retries it as the manager's Retry says; each attempt has a
// deadline that fits its bytes. first is a lane that was already taken for the first attempt, or nil.
func (m *Manager) try(ctx context.Context, first *lane, bytes int64, request func(ctx context.Context, ln *lane) error) error {
	return m.Retry.Do(ctx, func() (err error) {
		ln := first
		if first = nil; ln == nil {
			if ln, err = m.Lanes.take(ctx); err != nil {
				return err
			}
		}
		limited, cancel := context.WithTimeoutCause(ctx, m.deadline(bytes), errDeadline)
		defer cancel()
		err = request(limited, ln)
		if err != nil && ctx.Err() == nil && limited.Err() != nil {
			err = fault.New(problem.Unavailable, "%v", errDeadline)
		}
		ln.give(err)
		return err
	})
}

// deadline bounds a whole request. The client already detects connections on which nothing moves; this also ends
// transfers slower than 32 kB/s, unless a lower limit was requested.
func (m *Manager) deadline(bytes int64) time.Duration {
	slowest := 32e3 // bytes a second
	if m.Limit != nil {
		slowest = min(slowest, float64(m.Limit.Limit())/float64(2*m.Lanes.most))
	}
	return 10*time.Minute + time.Duration(float64(bytes)/slowest*float64(time.Second))
}

var errDeadline = fmt.Errorf("it took too long")

// inSession creates a session, sends its parts with send, and completes it as that returns. After an error the session is aborted.
func (m *Manager) inSession(ctx context.Context, n rest.NewSession, send func(id string) (rest.CompleteSession, error)) (f rest.File, err error) {
	session, err := retry.Try(ctx, m.Retry, func() (rest.Session, error) { return m.Client.CreateSession(ctx, n) })
	if err != nil {
		return rest.File{}, err
	}
	want, err := send(session.SessionID)
	if err == nil {
		f, err = m.complete(ctx, session.SessionID, want)
	}
	if err != nil {
		m.abort(ctx, session.SessionID)
	}
	return f, err
}

// complete completes a session. Corrupt parts are not retried, since that does not change them.
func (m *Manager) complete(ctx context.Context, id string, want rest.CompleteSession) (f rest.File, err error) {
	var corrupt error
	err = m.Retry.Do(ctx, func() (err error) {
		if f, err = m.Client.CompleteSession(ctx, id, want); fault.KindOf(err) == problem.Corrupt {
			corrupt, err = err, nil
		}
		return err
	})
	return f, cmp.Or(err, corrupt)
}

// abort deletes a session and its parts, even if ctx has ended. If the server cannot be reached, the session expires.
func (m *Manager) abort(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	_ = m.Client.Once().AbortSession(ctx, id)
}

// resumable is a transfer in parts that a later run can resume: what uploads and downloads have in common.
type resumable struct {
	m        *Manager
	path     string       // of the local file, for messages
	log      *journal.Log // nil: a later run cannot resume
	progress *pieces
	lost     atomic.Int64 // bytes that were sent and are not safe, since the transfer was interrupted
}

// knownOf returns the pieces that a log records, by offset; of several for one offset the last.
func knownOf(entries []journal.Entry) map[int64]piece {
	known := map[int64]piece{}
	for _, e := range entries {
		if crc, err := checksum.Decode(e.CRC); err == nil {
			known[e.Offset] = piece{span{e.Offset, e.Size}, crc}
		}
	}
	return known
}

// note tells the user something about the file.
func (r *resumable) note(format string, args ...any) {
	r.m.note("%s: "+format, append([]any{r.path}, args...)...)
}

// resuming tells the user and the meter what an earlier run has transferred.
func (r *resumable) resuming() {
	if bytes := r.progress.bytes(); bytes > 0 {
		r.note("resuming, %s have arrived already", r.progress)
		r.m.Meter.Resumed(bytes)
	}
}

// stopped adds to the error that ended the transfer how to resume it, if it was interrupted or the error is temporary.
func (r *resumable) stopped(ctx context.Context, err error) error {
	e := &fault.Error{Kind: fault.KindOf(err), Err: err}
	e.Hint = fmt.Sprintf("run the same command again to resume: %s have arrived", r.progress)
	if lost := r.lost.Load(); lost > 0 {
		e.Hint = fmt.Sprintf("run the same command again to resume: %s were sent, and %s are safe",
			humanize.IBytes(uint64(r.progress.bytes()+lost)), r.progress)
	}
	switch first := fault.HintOf(err); {
	case ctx.Err() != nil:
		e.Kind, e.Msg, e.Err = problem.Interrupted, "interrupted", ctx.Err()
	case fault.ExitOf(err) != fault.Unavailable && fault.ExitOf(err) != fault.NoSpace:
		return err
	case first != "":
		e.Hint = first + "\n" + e.Hint
	}
	return e
}
