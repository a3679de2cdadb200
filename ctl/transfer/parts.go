package transfer

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ringstore/ringstore/ctl/fault"
	"github.com/ringstore/ringstore/ctl/term"
	"github.com/ringstore/ringstore/proto/checksum"
)

const (
	mib      = 1 << 20
	maxParts = 10000
)

// Sizes say how large files are cut into parts, in bytes. Zero values take the defaults named here.
type Sizes struct {
	Whole int64 // up to so much a file moves in one request: a session would cost it three more; default 64 MiB
	Least int64 // of a part: what each costs must not show; default 32 MiB
	Most  int64 // of a part: it is what an interruption can cost a stream; default 128 MiB
}

func (s Sizes) withDefaults() Sizes {
	def := func(p *int64, n int64) {
		if *p == 0 {
			*p = n
		}
	}
	def(&s.Whole, 64*mib)
	def(&s.Least, 32*mib)
	def(&s.Most, 128*mib)
	return s
}

// part fits the parts to the file: one for each stream within the bounds, and never more than there may be.
func (s Sizes) part(size int64, streams int) int64 {
	part := min(max(size/int64(max(streams, 1)), s.Least), s.Most)
	part = max(part, (size+maxParts-1)/maxParts)
	return (part + mib - 1) / mib * mib
}

// cut is a file cut into parts of one size, the last one shorter.
type cut struct {
	size, part int64
}

// possible says whether Sizes.part can have cut a file so.
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

// span gives the offset and the bytes of part i, from 0.
func (c cut) span(i int) (off, n int64) {
	off = int64(i) * c.part
	return off, min(c.part, c.size-off)
}

// tally keeps which parts have arrived, with the CRC64NVME of each. Its methods
// may be called at once from many goroutines.
type tally struct {
	cut cut

	mu   sync.Mutex // guards what follows
	have []bool
	crcs []uint64
}

func newTally(c cut) *tally {
	return &tally{cut: c, have: make([]bool, c.count()), crcs: make([]uint64, c.count())}
}

func (t *tally) set(i int, crc uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.have[i], t.crcs[i] = true, crc
}

func (t *tally) unset(i int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.have[i] = false
}

func (t *tally) get(i int) (crc uint64, have bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.crcs[i], t.have[i]
}

// present lists the parts that have arrived.
func (t *tally) present() (parts []int) {
	for i := range t.have {
		if _, have := t.get(i); have {
			parts = append(parts, i)
		}
	}
	return parts
}

// missing lists the parts that have not arrived.
func (t *tally) missing() (parts []int) {
	for i := range t.have {
		if _, have := t.get(i); !have {
			parts = append(parts, i)
		}
	}
	return parts
}

// bytes that have arrived.
func (t *tally) bytes() (sum int64) {
	for i := range t.have {
		if _, have := t.get(i); have {
			_, n := t.cut.span(i)
			sum += n
		}
	}
	return sum
}

// known reads the checksums that a log has of parts. It changes nothing.
func (t *tally) known(entries []entry) map[int]uint64 {
	known := map[int]uint64{}
	for _, e := range entries {
		if crc, err := checksum.Decode(e.CRC); err == nil && e.Part >= 1 && e.Part <= t.cut.count() {
			known[e.Part-1] = crc
		}
	}
	return known
}

// whole combines the checksums of all parts.
func (t *tally) whole() (crc uint64) {
	for i := range t.crcs {
		one, _ := t.get(i)
		_, n := t.cut.span(i)
		crc = checksum.Combine(crc, one, n)
	}
	return crc
}

// progress says in words how far it is.
func (t *tally) progress() string {
	return term.Size(t.bytes()) + " of " + term.Size(t.cut.size)
}

// eachPart runs work on every part that is missing, as many at once as there are lanes, and
// returns the first error, with all work ended. A part that fails ends the others. Parts are begun
// in their order, each in a lane that work gives back.
func (m *Mover) eachPart(ctx context.Context, parts []int, work func(ctx context.Context, part int, first *lane) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// Lanes bound the requests; this bounds the parts that wait to be tried again.
	slots := make(chan struct{}, m.Lanes.most)
	var wg sync.WaitGroup
	for _, part := range parts {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
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

// try runs one request in a lane, again as the mover's Retry says, each try with a deadline that fits its bytes.
func (m *Mover) try(ctx context.Context, bytes int64, request func(ctx context.Context) error) error {
	first, err := m.Lanes.take(ctx)
	if err != nil {
		return err
	}
	return m.tryFrom(ctx, first, bytes, func(ctx context.Context, _ *lane) error { return request(ctx) })
}

// tryFrom is try with a lane for the first try at hand, which it gives back. The request may free its lane earlier.
func (m *Mover) tryFrom(ctx context.Context, first *lane, bytes int64, request func(ctx context.Context, ln *lane) error) error {
	again := false
	return m.Retry.Do(ctx, func() (err error) {
		ln := first
		if again {
			if ln, err = m.Lanes.take(ctx); err != nil {
				return err
			}
		}
		again = true
		limited, cancel := context.WithTimeoutCause(ctx, m.deadline(bytes), errDeadline)
		defer cancel()
		err = request(limited, ln)
		if err != nil && ctx.Err() == nil && limited.Err() != nil {
			err = fault.New("unavailable", "%v", errDeadline)
		}
		ln.give(err)
		return err
	})
}

// deadline is the backstop behind the client's own watch over connections on
// which nothing moves: what is slower than this goes nowhere, unless a limit was asked for.
func (m *Mover) deadline(bytes int64) time.Duration {
	slowest := 32e3 // bytes a second
	if m.Limit != nil {
		slowest = min(slowest, float64(m.Limit.Limit())/float64(2*m.Lanes.most))
	}
	return 10*time.Minute + time.Duration(float64(bytes)/slowest*float64(time.Second))
}

var errDeadline = fmt.Errorf("it took too long")

// interrupted says how to continue what a person or a signal ended.
func interrupted(ctx context.Context, t *tally) error {
	return (&fault.Error{Kind: "interrupted", Msg: "interrupted", Err: ctx.Err()}).
		WithHint("run the same command again to continue from here: %s are there", t.progress())
}
