package writemem_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/writemem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const unit = 1 << 10

// config has an area of 112 units for large uploads, of which 14 are the reserve, and one of 16 for small ones.
func config() writemem.Config {
	return writemem.Config{Budget: 128 * unit, Unit: unit, Largest: 10 * unit}
}

// client is a body whose bytes arrive when the test sends them.
type client struct {
	bytes chan int
	ended chan struct{}
	once  sync.Once
	cause error
}

func newClient() *client { return &client{bytes: make(chan int, 1000), ended: make(chan struct{})} }

func (c *client) Read(p []byte) (int, error) {
	select {
	case n := <-c.bytes:
		if n > len(p) {
			c.bytes <- n - len(p)
			n = len(p)
		}
		return n, nil
	case <-c.ended:
		return 0, errors.New("connection closed")
	}
}

func (c *client) interrupt(cause error) { c.once.Do(func() { c.cause = cause; close(c.ended) }) }

// open begins an upload of unknown size with an open stripe of need units.
func open(t testing.TB, p *writemem.Pool, caller string, need int) (*writemem.Upload, *client) {
	t.Helper()
	c := newClient()
	u := p.Open(writemem.Client{Caller: caller, Most: -1, Interrupt: c.interrupt})
	require.NoError(t, u.Begin(need*unit))
	return u, c
}

// take takes n units at once, each a buffer.
func take(t testing.TB, u *writemem.Upload, n int) (bufs []*writemem.Buffer) {
	t.Helper()
	for range n {
		b, err := u.Take(t.Context(), unit)
		require.NoError(t, err)
		bufs = append(bufs, b)
	}
	return bufs
}

func release(bufs []*writemem.Buffer) {
	for _, b := range bufs {
		b.Release()
	}
}

// hog uses all memory of ordinary grants for stripes that were begun and stall.
func hog(t testing.TB, p *writemem.Pool, caller string) (ups []*writemem.Upload, clients []*client, bufs []*writemem.Buffer) {
	t.Helper()
	for range 98 {
		u, c := open(t, p, caller, 10)
		ups, clients = append(ups, u), append(clients, c)
		bufs = append(bufs, take(t, u, 1)...)
	}
	return ups, clients, bufs
}

func TestWaitIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := writemem.New(config())
		ups, _, bufs := hog(t, p, "a")
		finishing, _ := open(t, p, "a", 10)
		bufs = append(bufs, take(t, finishing, 10)...) // from the reserve
		late, _ := open(t, p, "a", 10)
		began := time.Now()
		_, err := late.Take(t.Context(), unit)
		require.Equal(t, 10*time.Second, time.Since(began))
		require.ErrorIs(t, err, store.Unavailable)
		require.ErrorContains(t, err, "write memory")
		require.Equal(t, 10*time.Second, store.RetryAfterOf(err))
		require.Equal(t, "write_memory", store.LimitOf(err))
		require.NotEmpty(t, store.HintOf(err))

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = late.Take(ctx, unit)
		require.ErrorIs(t, err, context.Canceled)

		release(bufs)
		for _, u := range append(ups, late, finishing) {
			u.Close()
		}
		require.Zero(t, p.Used())
	})
}

// Half-full stripes hold all memory of ordinary grants; each must still be completed.
func TestHalfFullStripesAreCompleted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := writemem.New(config())
		ups, _, bufs := hog(t, p, "a")
		var wg sync.WaitGroup
		for i, u := range ups {
			wg.Go(func() {
				defer u.Close()
				held := append(take(t, u, 9), bufs[i])
				u.Finish()
				release(held)
			})
		}
		wg.Wait()
		require.Zero(t, p.Used())
	})
}

// Waiters are served in the order in which their stripes began, not in that of their requests.
func TestOldestStripeFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := writemem.New(config())
		ups, _, bufs := hog(t, p, "a")
		held, _ := open(t, p, "a", 10)
		bufs = append(bufs, take(t, held, 10)...)
		var order []int
		var wg sync.WaitGroup
		for _, i := range []int{7, 3, 5, 1} {
			wg.Go(func() {
				b, err := ups[i].Take(t.Context(), unit)
				if err != nil {
					t.Error(err)
					return
				}
				order = append(order, i)
				b.Release()
			})
			synctest.Wait()
		}
		for _, b := range bufs[80:] { // one after the other, until an ordinary grant is possible each time
			b.Release()
			synctest.Wait()
		}
		wg.Wait()
		require.Equal(t, []int{1, 3, 5, 7}, order)
		release(bufs[:80])
		for _, u := range append(ups, held) {
			u.Close()
		}
	})
}

// Free memory is granted to the caller that holds least, even if another's stripe is older.
func TestPoorestCallerFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := writemem.New(config())
		ups, _, bufs := hog(t, p, "rich")
		held, _ := open(t, p, "rich", 10)
		bufs = append(bufs, take(t, held, 10)...)
		poor, _ := open(t, p, "poor", 10)
		var order []string
		var wg sync.WaitGroup
		ask := func(who string, u *writemem.Upload, n int) {
			wg.Go(func() {
				for range n {
					b, err := u.Take(t.Context(), unit)
					if err != nil {
						t.Error(err)
						return
					}
					order = append(order, who)
					defer b.Release()
				}
			})
			synctest.Wait()
		}
		ask("rich", ups[0], 1)
		ask("poor", poor, 3)
		for _, b := range bufs[80:] {
			b.Release()
			synctest.Wait()
		}
		wg.Wait()
		require.Equal(t, []string{"poor", "poor", "poor", "rich"}, order)
		release(bufs[:80])
		for _, u := range append(ups, held, poor) {
			u.Close()
		}
	})
}

func TestSmallUploadsAreNotBehindLargeOnes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := writemem.New(config())
		ups, _, bufs := hog(t, p, "a")
		full, _ := open(t, p, "a", 10)
		bufs = append(bufs, take(t, full, 10)...)
		began := time.Now()
		for range 1000 {
			u := p.Open(writemem.Client{Caller: "a", Most: unit})
			require.NoError(t, u.Begin(unit))
			b, err := u.Take(t.Context(), unit/4)
			require.NoError(t, err)
			b, err = u.Grow(t.Context(), b, unit)
			require.NoError(t, err)
			b.Release()
			u.Close()
		}
		require.Zero(t, time.Since(began), "none waited")
		release(bufs)
		for _, u := range append(ups, full) {
			u.Close()
		}
	})
}

// A client that stalls is ended when another upload needs its memory, and never before.
func TestStalledClientsAreEndedOnlyWhileOthersWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := writemem.New(config())
		ups, clients, bufs := hog(t, p, "a")
		full, fullClient := open(t, p, "a", 10)
		bufs = append(bufs, take(t, full, 10)...)
		errs := make([]error, len(ups))
		var wg sync.WaitGroup
		for i, u := range ups {
			wg.Go(func() {
				buf := make([]byte, 64<<10)
				for errs[i] == nil {
					_, errs[i] = u.Read(clients[i], buf)
				}
				bufs[i].Release()
				u.Close()
			})
		}
		// Client 0 sends enough, and all of them may stall as long as they like.
		ctx, cancel := context.WithCancel(t.Context())
		wg.Go(func() {
			for ctx.Err() == nil {
				clients[0].bytes <- 20 << 10
				time.Sleep(time.Second)
			}
		})
		time.Sleep(time.Hour)
		for _, c := range clients {
			require.NoError(t, c.cause, "memory was free for all who asked")
		}
		waiter, _ := open(t, p, "b", 10)
		b, err := waiter.Take(t.Context(), unit)
		require.NoError(t, err)
		cancel()
		synctest.Wait()
		ended := 0
		for _, c := range clients {
			if c.cause != nil {
				require.ErrorIs(t, c.cause, store.Canceled)
				require.ErrorContains(t, c.cause, "too slowly")
				require.Equal(t, "upload_rate", store.LimitOf(c.cause))
				require.NotEmpty(t, store.HintOf(c.cause))
				ended++
			}
		}
		require.NoError(t, clients[0].cause, "it was fast enough")
		require.Positive(t, ended)
		require.Less(t, ended, 20, "only as many as were needed")
		require.NoError(t, fullClient.cause, "it waited for no client")
		for _, c := range clients {
			c.interrupt(nil)
		}
		wg.Wait()
		for i := range errs {
			require.Error(t, errs[i])
		}
		b.Release()
		release(bufs[98:])
		waiter.Close()
		full.Close()
		require.Zero(t, p.Used())
	})
}

// A client whose upload has ended is not interrupted: its connection may serve another request.
func TestInterruptNeverFollowsClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.Lag = 1 // each read is too slow
		p := writemem.New(cfg)
		var wg sync.WaitGroup
		var after []error
		for i := range 300 {
			wg.Go(func() {
				closed := false
				c := newClient()
				u := p.Open(writemem.Client{Caller: "a", Most: -1, Interrupt: func(cause error) {
					if closed {
						after = append(after, cause)
					}
					c.interrupt(cause)
				}})
				require.NoError(t, u.Begin(10*unit))
				b, err := u.Take(t.Context(), unit)
				if err == nil {
					wg.Go(func() { time.Sleep(time.Duration(i) * 10 * time.Millisecond); c.bytes <- 1 })
					_, _ = u.Read(c, make([]byte, 1))
					b.Release()
				}
				u.Close()
				closed = true
			})
		}
		wg.Wait()
		require.Empty(t, after)
		require.Zero(t, p.Used())
	})
}

// workload is the behaviour of a caller, drawn before the test's clock is replaced.
type workload struct {
	caller   string
	small    bool
	need     int           // units of a stripe
	stripes  int           // one after the other
	perUnit  time.Duration // a client's pace
	inFlight time.Duration // until nodes have taken a stripe
}

func (w workload) run(ctx context.Context, p *writemem.Pool) error {
	most := int64(-1)
	if w.small {
		most = unit
	}
	u := p.Open(writemem.Client{Caller: w.caller, Most: most})
	defer u.Close()
	for range w.stripes {
		if err := u.Begin(w.need * unit); err != nil {
			return err
		}
		var held []*writemem.Buffer
		for range w.need {
			time.Sleep(w.perUnit)
			b, err := u.Take(ctx, unit)
			if err != nil {
				release(held)
				return err
			}
			held = append(held, b)
		}
		u.Finish()
		go func() { time.Sleep(w.inFlight); release(held) }()
	}
	return nil
}

// TestEveryHonestUploadEnds_Concurrent has more uploads than memory, of many callers,
// paces and sizes; all of them end, and the budget holds at all times.
func TestEveryHonestUploadEnds_Concurrent(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		var loads []workload
		for range rapid.IntRange(1, 60).Draw(rt, "uploads") {
			w := workload{
				caller: fmt.Sprint(rapid.IntRange(1, 5).Draw(rt, "caller")), small: rapid.IntRange(0, 3).Draw(rt, "small") == 0,
				need: rapid.IntRange(1, 10).Draw(rt, "need"), stripes: rapid.IntRange(1, 5).Draw(rt, "stripes"),
				perUnit:  time.Duration(rapid.IntRange(0, 2000).Draw(rt, "pace")) * time.Millisecond,
				inFlight: time.Duration(rapid.IntRange(0, 2000).Draw(rt, "nodes")) * time.Millisecond,
			}
			if w.small {
				w.need = 1
			}
			loads = append(loads, w)
		}
		cfg := writemem.Config{Budget: int64(rapid.IntRange(12, 100).Draw(rt, "budget")) * unit, Unit: unit, Largest: 10 * unit, Wait: time.Hour}
		var errs []error
		synctest.Test(t, func(t *testing.T) {
			p := writemem.New(cfg)
			var mu sync.Mutex
			var wg sync.WaitGroup
			for _, w := range loads {
				wg.Go(func() {
					err := w.run(t.Context(), p)
					used := p.Used()
					mu.Lock()
					defer mu.Unlock()
					if used > cfg.Budget {
						errs = append(errs, fmt.Errorf("%d bytes lent of %d", used, cfg.Budget))
					}
					errs = append(errs, err)
				})
			}
			wg.Wait()
			time.Sleep(time.Minute)
			if used := p.Used(); used != 0 {
				errs = append(errs, fmt.Errorf("%d bytes were never returned", used))
			}
		})
		require.NoError(rt, errors.Join(errs...))
	})
}

// TestFairShares has one caller with 200 uploads and one with 20, both without end. Each completes about as
// many stripes as the other, and the first completes twice as many when it is alone.
func TestFairShares(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := writemem.New(config())
		var mu sync.Mutex
		done := map[string]int{}
		stream := func(ctx context.Context, caller string) {
			w := workload{caller: caller, need: 10, stripes: 1, perUnit: time.Millisecond, inFlight: 100 * time.Millisecond}
			for ctx.Err() == nil {
				if err := w.run(context.Background(), p); err != nil && !errors.Is(err, store.Unavailable) {
					t.Error(err)
				} else if err == nil {
					mu.Lock()
					done[caller]++
					mu.Unlock()
				}
			}
		}
		many, endMany := context.WithCancel(t.Context())
		few, endFew := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() { stream(many, "many") })
		}
		time.Sleep(5 * time.Second) // it holds everything
		for range 20 {
			wg.Go(func() { stream(few, "few") })
		}
		time.Sleep(5 * time.Second)
		count := func() (m, f int) {
			mu.Lock()
			m, f = done["many"], done["few"]
			mu.Unlock()
			time.Sleep(20 * time.Second)
			mu.Lock()
			defer mu.Unlock()
			return done["many"] - m, done["few"] - f
		}
		m, f := count()
		require.InDelta(t, 1, float64(f)/float64(m), 0.25, "%d and %d stripes", m, f)
		endFew()
		time.Sleep(5 * time.Second)
		alone, none := count()
		require.Zero(t, none)
		require.Greater(t, float64(alone), 1.6*float64(m), "what the other left is used")
		endMany()
		wg.Wait()
		time.Sleep(time.Second)
	})
}

// A caller that stalls with all it can get leaves room for another caller's stripes.
func TestOneCallerCannotOccupyTheReserve(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.Largest = 20 * unit // the reserve holds four stripes of five
		p := writemem.New(cfg)
		var stalled []*writemem.Upload
		var held []*writemem.Buffer
		for {
			u, _ := open(t, p, "a", 5)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			b, err := u.Take(ctx, unit)
			cancel()
			stalled = append(stalled, u)
			if err != nil {
				break
			}
			held = append(held, b)
		}
		began := time.Now()
		for range 10 {
			w := workload{caller: "b", need: 5, stripes: 1}
			require.NoError(t, w.run(t.Context(), p))
			synctest.Wait()
		}
		require.Zero(t, time.Since(began), "none waited")
		release(held)
		for _, u := range stalled {
			u.Close()
		}
	})
}

func TestReadKeepsTheEndOfABody(t *testing.T) {
	t.Parallel()
	p := writemem.New(config())
	u := p.Open(writemem.Client{Most: -1})
	defer u.Close()
	n, err := u.Read(io.LimitReader(nil, 0), make([]byte, 1))
	require.Zero(t, n)
	require.Equal(t, io.EOF, err)
	require.Panics(t, func() {
		require.NoError(t, u.Begin(unit))
		_, _ = u.Take(t.Context(), 2*unit)
	}, "more than announced is a defect")
}

// An abandoned buffer counts as returned, but its memory is not lent again.
func TestBuffer_AbandonedIsReturnedAndNotReused(t *testing.T) {
	t.Parallel()
	p := writemem.New(writemem.Config{Budget: 1 << 20, Unit: 4 << 10, Largest: 64 << 10})
	u := p.Open(writemem.Client{Most: -1})
	defer u.Close()
	require.NoError(t, u.Begin(8<<10))
	b, err := u.Take(t.Context(), 4<<10)
	require.NoError(t, err)
	data := b.Data
	data[0] = 7
	b.Retain(1)
	b.Abandon()
	require.EqualValues(t, len(data), p.Used(), "one reference is left")
	b.Release()
	require.Zero(t, p.Used())
	for range 100 {
		require.NoError(t, u.Begin(4<<10))
		again, err := u.Take(t.Context(), 4<<10)
		require.NoError(t, err)
		again.Data[0] = 1
		again.Release()
	}
	require.EqualValues(t, 7, data[0])
}
