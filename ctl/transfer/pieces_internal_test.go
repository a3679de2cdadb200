package transfer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minio/crc64nvme"
	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"
	"pgregory.net/rapid"
)

// The state of each unit of a file, beside the pieces that keep it in ranges.
const (
	isFree = iota
	isBusy
	isThere
)

// Pieces are those of a naive model that has a state for each unit.
func TestPieces_AreThoseOfEachUnit(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		const unit = 4
		units := rapid.IntRange(1, 40).Draw(rt, "units")
		size := int64(units*unit - rapid.IntRange(0, unit-1).Draw(rt, "short"))
		data := rapid.SliceOfN(rapid.Byte(), int(size), int(size)).Draw(rt, "data")
		model := make([]int, units)
		p := newPieces(size, unit)
		var busy []span
		within := func(first, n int) span {
			off := int64(first) * unit
			return span{off, min(int64(n)*unit, size-off)}
		}
		mark := func(s span, state int) {
			if s.n == 0 {
				return
			}
			for i := s.off / unit; i*unit < s.end(); i++ {
				model[i] = state
			}
		}
		sum := func(s span) piece { return piece{s, crc64nvme.Checksum(data[s.off:s.end()])} }
		rt.Repeat(map[string]func(*rapid.T){
			"add": func(rt *rapid.T) {
				first := rapid.IntRange(0, units-1).Draw(rt, "first")
				s := within(first, rapid.IntRange(1, units-first).Draw(rt, "n"))
				free := true
				for i := s.off / unit; i*unit < s.end(); i++ {
					free = free && model[i] == isFree
				}
				require.Equal(rt, free, p.add(sum(s)))
				if free {
					mark(s, isThere)
				}
			},
			"add what is not possible": func(rt *rapid.T) {
				s := span{rapid.Int64Range(-9, size+9).Draw(rt, "off"), rapid.Int64Range(-9, size+9).Draw(rt, "n")}
				if s.off < 0 || s.n <= 0 || s.off%unit != 0 || s.end() > size || s.n%unit != 0 && s.end() != size {
					require.False(rt, p.add(piece{s, 1}))
				}
			},
			"take": func(rt *rapid.T) {
				most := int64(rapid.IntRange(1, units).Draw(rt, "most") * unit)
				first := -1
				for i := units - 1; i >= 0; i-- {
					if model[i] == isFree {
						first = i
					}
				}
				if first < 0 {
					return
				}
				n := 0
				for first+n < units && model[first+n] == isFree && int64(n*unit) < most {
					n++
				}
				s, ok := p.take(t.Context(), most)
				require.True(rt, ok)
				require.Equal(rt, within(first, n), s)
				busy = append(busy, s)
				mark(s, isBusy)
			},
			"release": func(rt *rapid.T) {
				if len(busy) == 0 {
					return
				}
				s := busy[0]
				busy = busy[1:]
				arrived := span{s.off, min(int64(rapid.IntRange(0, int(s.n/unit)+1).Draw(rt, "arrived"))*unit, s.n)}
				if arrived.n > 0 {
					p.record(sum(arrived))
					mark(arrived, isThere)
				}
				rest := span{arrived.end(), s.n - arrived.n}
				p.release(rest)
				mark(rest, isFree)
			},
			"drop": func(*rapid.T) {
				if all := p.arrived(); len(all) > 0 {
					p.drop(all[0].off)
					mark(all[0].span, isFree)
				}
			},
			"": func(rt *rapid.T) {
				there := int64(0)
				for i, state := range model {
					if state == isThere {
						there += within(i, 1).n
					}
				}
				require.Equal(rt, there, p.bytes())
				for i, s := range p.free {
					require.Positive(rt, s.n)
					require.True(rt, i == 0 || p.free[i-1].end() < s.off, "in order, and not adjacent: %v", p.free)
				}
				crc, whole := p.whole()
				require.Equal(rt, there == size, whole)
				if whole {
					require.Equal(rt, crc64nvme.Checksum(data), crc)
				}
			},
		})
	})
}

// take waits for spans that others may give back, and ends when there can be none.
func TestPieces_TakeWaitsForTheRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPieces(10, 1)
		whole, ok := p.take(t.Context(), 100)
		require.True(t, ok)
		var wg sync.WaitGroup
		got := make([]span, 3)
		for i := range got {
			wg.Go(func() {
				if s, ok := p.take(t.Context(), 3); ok {
					got[i] = s
					p.record(piece{s, 0})
					p.release(span{s.end(), 0})
				}
			})
		}
		synctest.Wait()
		p.record(piece{span{0, 4}, 0})
		p.release(span{4, whole.n - 4})
		wg.Wait()
		require.ElementsMatch(t, []span{{4, 3}, {7, 3}, {}}, got)

		p.drop(0)
		_, ok = p.take(t.Context(), 100)
		require.True(t, ok)
		ctx, cancel := context.WithCancel(t.Context())
		wg.Go(func() {
			_, ok := p.take(ctx, 1)
			require.False(t, ok, "nor for longer than its context")
		})
		synctest.Wait()
		cancel()
		wg.Wait()
	})
}

// link is a server behind a link of so many bytes a second: what it has acknowledged is safe.
type link struct {
	rate  *rate.Limiter
	delay time.Duration // from the last byte of a part to its acknowledgement

	mu                sync.Mutex
	total, sent, safe int64
}

// send takes a part through the link.
func (l *link) send(ctx context.Context, body io.Reader) error {
	buf, own := make([]byte, 16<<10), int64(0)
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.sent -= own // it was acknowledged, or has to be sent again
	}()
	for {
		n, err := body.Read(buf)
		l.mu.Lock()
		l.sent += int64(n)
		l.total += int64(n)
		l.mu.Unlock()
		own += int64(n)
		switch {
		case errors.Is(err, io.EOF):
			select {
			case <-time.After(l.delay):
			case <-ctx.Done():
				return ctx.Err()
			}
			l.mu.Lock()
			defer l.mu.Unlock()
			l.safe += own
			return nil
		case err != nil:
			return err
		}
		if err := l.rate.WaitN(ctx, n); err != nil {
			return err
		}
	}
}

// At any moment, at most two seconds of the transfer or 8 MiB are sent and not safe, whichever is more: whatever the rate, the size,
// the number of streams and the time that the server takes for an acknowledgement, and when the rate falls on the way, of
// the rate before.
func TestUnsafe_IsBoundedAtAnyMoment(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		perSecond := rapid.SampledFrom([]int64{300 << 10, 1e6, 4e6, 9e6, 20e6, 60e6, 200e6}).Draw(rt, "rate")
		size := rapid.Int64Range(1, 12*perSecond+40*mib).Draw(rt, "size")
		streams := rapid.IntRange(1, 16).Draw(rt, "streams")
		delay := time.Duration(rapid.IntRange(0, 300).Draw(rt, "delay")) * time.Millisecond
		falls := rapid.Bool().Draw(rt, "falls")
		synctest.Test(t, func(t *testing.T) {
			l := &link{rate: rate.NewLimiter(rate.Limit(perSecond), 16<<10), delay: delay}
			m := (&Manager{Lanes: NewLanes(streams)}).ready()
			all := newPieces(size, m.Sizes.unit(size))
			ctx, stop := context.WithCancel(t.Context())
			var sentBefore [21]int64 // of the last two seconds, each tenth
			done := make(chan struct{})
			go func() {
				defer close(done)
				for i := 0; ctx.Err() == nil; i++ {
					time.Sleep(100 * time.Millisecond)
					if falls && i == 30 {
						l.rate.SetLimit(rate.Limit(perSecond / 10))
					}
					l.mu.Lock()
					total, unsafe := l.total, l.sent
					l.mu.Unlock()
					lately := total - sentBefore[(i+1)%len(sentBefore)]
					sentBefore[i%len(sentBefore)] = total
					bound := max(lately, 8*mib)
					if falls { // what the parts in progress have sent before stays unsafe until they end
						bound = max(bound, 2*perSecond)
					}
					if unsafe > bound {
						t.Errorf("%d bytes are not safe, though only %d were sent in the last two seconds", unsafe, lately)
					}
				}
			}()
			err := m.each(ctx, all, m.Sizes.share(size, all.unit, streams), func(ctx context.Context, s span, first *lane) (span, error) {
				g := &growing{r: io.LimitReader(zeros{}, s.n), left: s.n, unit: all.unit, flow: m.Lanes.flow, streams: streams, ended: first.sent}
				if err := g.begin(ctx); err != nil {
					return s, err
				}
				stored := int64(0)
				defer func() { g.end(stored) }()
				err := l.send(ctx, &counted{g, m.Lanes.flow})
				first.give(err)
				if err == nil {
					stored = g.n
					all.record(piece{span{s.off, g.n}, 0})
				}
				return span{s.off + g.n, s.n - g.n}, err
			})
			stop()
			<-done
			if err != nil || all.bytes() != size || l.safe != size {
				t.Errorf("%v: %d and %d of %d bytes", err, all.bytes(), l.safe, size)
			}
			if n, least := len(all.arrived()), int(size/(128*mib)); n > maxParts || n < least {
				t.Errorf("%d parts of %d bytes", n, size)
			}
		})
	})
}

// zeros is an endless input.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// counted counts what passes, as metered does.
type counted struct {
	r io.Reader
	f *flow
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.f.moved(int64(n))
	return n, err
}

// The parts of a fast transfer are large, and those of a slow one small.
func TestGrowing_PartsFollowTheRate(t *testing.T) {
	t.Parallel()
	for perSecond, want := range map[int64][2]int64{1e5: {mib, mib}, 1e6: {mib, mib}, 50e6: {32 * mib, 50 * mib}, 1e10: {64 * mib, 128 * mib}} {
		synctest.Test(t, func(t *testing.T) {
			f := newFlow()
			g := &growing{r: zeros{}, left: 128 * mib, unit: mib, flow: f, ended: func() {}}
			require.NoError(t, g.begin(t.Context()))
			limit := rate.NewLimiter(rate.Limit(perSecond), 64<<10)
			buf := make([]byte, 64<<10)
			for {
				n, err := g.Read(buf)
				f.moved(int64(n))
				if err != nil {
					break
				}
				require.NoError(t, limit.WaitN(t.Context(), n))
			}
			require.GreaterOrEqual(t, g.n, want[0])
			require.LessOrEqual(t, g.n, want[1])
			require.Zero(t, g.n%mib)
			g.end(g.n)
			require.Zero(t, f.unsafe)
		})
	}
	g := &growing{path: "p", r: bytes.NewReader(make([]byte, 10)), left: 20, unit: mib, flow: newFlow(), ended: func() {}}
	require.NoError(t, g.begin(t.Context()))
	_, err := io.Copy(io.Discard, g)
	require.ErrorIs(t, err, errChanged, "the file became shorter")
}
