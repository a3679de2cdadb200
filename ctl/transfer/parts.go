package transfer

import (
	"cmp"
	"context"
	"fmt"
	"sync"
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
	Whole int64 // the largest file that is moved in one request, since a session costs three more
	Least int64 // the smallest part, so that the cost of a request stays negligible
	Most  int64 // the largest part, which is what an interruption can cost each stream
}

func (s Sizes) or(d Sizes) Sizes {
	return Sizes{Whole: cmp.Or(s.Whole, d.Whole), Least: cmp.Or(s.Least, d.Least), Most: cmp.Or(s.Most, d.Most)}
}

var (
	sizes = Sizes{Whole: 64 * mib, Least: 32 * mib, Most: 128 * mib}
	// A copy moves no bytes, but a request still has to take seconds: that is what a lost connection costs.
	copySizes = Sizes{Whole: 256 * mib, Least: 64 * mib, Most: 256 * mib}
)

// part is the part size for a file: one part for each stream within the bounds, and at most maxParts.
func (s Sizes) part(size int64, streams int) int64 {
	part := min(max(size/int64(max(streams, 1)), s.Least), s.Most)
	part = max(part, (size+maxParts-1)/maxParts)
	return (part + mib - 1) / mib * mib
}

// cut is a file split into parts of one size; the last may be shorter.
type cut struct {
	size, part int64
}

// possible reports whether Sizes.part can have chosen this part size.
func (c cut) possible() bool {
	return c.part >= mib && c.part%mib == 0 && c.part-mib < c.size && c.size/maxParts <= c.part && c.count() <= maxParts
}

func (c cut) count() int {
	n := c.size / c.part
	if c.size%c.part > 0 {
		n++
	}
	return int(n)
}

// span returns the offset and the length of part i, counted from 0.
func (c cut) span(i int) (off, n int64) {
	off = int64(i) * c.part
	return off, min(c.part, c.size-off)
}

// progress records which parts have arrived, and the CRC64NVME of each. Its methods are safe for concurrent use.
type progress struct {
	cut cut

	mu   sync.Mutex // guards what follows
	crcs map[int]uint64
}

func newProgress(c cut) *progress { return &progress{cut: c, crcs: map[int]uint64{}} }

func (p *progress) set(i int, crc uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.crcs[i] = crc
}

func (p *progress) unset(i int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.crcs, i)
}

func (p *progress) get(i int) (crc uint64, have bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	crc, have = p.crcs[i]
	return crc, have
}

// present lists the parts that have arrived.
func (p *progress) present() []int { return p.those(true) }

// missing lists the parts that have not arrived.
func (p *progress) missing() []int { return p.those(false) }

func (p *progress) those(wanted bool) (parts []int) {
	for i := range p.cut.count() {
		if _, have := p.get(i); have == wanted {
			parts = append(parts, i)
		}
	}
	return parts
}

// bytes is how many bytes have arrived.
func (p *progress) bytes() (sum int64) {
	for _, i := range p.present() {
		_, n := p.cut.span(i)
		sum += n
	}
	return sum
}

// known returns the checksums of parts that a log records, by part from 0. It does not change p.
func (p *progress) known(entries []journal.Entry) map[int]uint64 {
	known := map[int]uint64{}
	for _, e := range entries {
		if crc, err := checksum.Decode(e.CRC); err == nil && e.Part >= 1 && e.Part <= p.cut.count() {
			known[e.Part-1] = crc
		}
	}
	return known
}

// whole combines the checksums of all parts.
func (p *progress) whole() (crc uint64) {
	for i := range p.cut.count() {
		one, _ := p.get(i)
		_, n := p.cut.span(i)
		crc = checksum.Combine(crc, one, n)
	}
	return crc
}

// refs lists all parts as a session is completed with them.
func (p *progress) refs() []rest.PartRef {
	refs := make([]rest.PartRef, p.cut.count())
	for i := range refs {
		crc, _ := p.get(i)
		refs[i] = rest.PartRef{Number: i + 1, CRC64NVME: checksum.Encode(crc)}
	}
	return refs
}

// progress describes how much has arrived: "1.0 GiB of 4.0 GiB".
func (p *progress) String() string {
	return humanize.IBytes(uint64(p.bytes())) + " of " + humanize.IBytes(uint64(p.cut.size))
}

// eachPart runs work on the parts, on as many goroutines as there are lanes. The first error cancels the other parts and is
// returned after all work has ended. Parts start in order, each in a lane for its first request.
func (m *Manager) eachPart(ctx context.Context, parts []int, work func(ctx context.Context, part int, first *lane) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// Lanes bound the requests; slots bound the goroutines, also those that wait to retry.
	slots := make(chan struct{}, m.Lanes.most)
	var wg sync.WaitGroup
	for _, part := range parts {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
		}
		first, err := m.Lanes.take(ctx)
		if err != nil {
			break
		}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := work(ctx, part, first); err != nil {
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
	progress *progress
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
