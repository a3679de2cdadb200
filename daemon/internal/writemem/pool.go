package writemem

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Config configures a Pool. Zero values take the defaults named here.
type Config struct {
	Budget  int64         // bytes lent at a time, at most
	Unit    int           // bytes; an upload that cannot have more than this is a small one
	Largest int           // bytes of the largest stripe there can be, in classes (see Class)
	Wait    time.Duration // an upload waits for memory so long at most; default 10 s
	MinRate int64         // bytes per second that a client must send while others wait; default 16 KiB
	Lag     time.Duration // how far behind MinRate a client may be; default 30 s
}

func (c Config) withDefaults() Config {
	if c.Wait == 0 {
		c.Wait = 10 * time.Second
	}
	if c.MinRate == 0 {
		c.MinRate = 16 << 10
	}
	if c.Lag == 0 {
		c.Lag = 30 * time.Second
	}
	return c
}

// Pool lends memory, never more than its budget at a time. Safe for concurrent use.
type Pool struct {
	cfg   Config
	epoch time.Time
	free  freeList

	mu    sync.Mutex // guards the fields below, and all fields of areas, callers and uploads unless documented otherwise
	small *area      // nil where the budget is too small for one
	large *area
	began uint64 // stripes that were begun: the order of waiters
}

// New returns a pool.
func New(cfg Config) *Pool {
	cfg = cfg.withDefaults()
	p := &Pool{cfg: cfg, epoch: time.Now()}
	rest := cfg.Budget
	if part, unit := cfg.Budget/8, int64(Class(cfg.Unit)); part >= unit {
		p.small = newArea(part, unit)
		rest -= part
	}
	p.large = newArea(rest, int64(cfg.Largest))
	return p
}

// Used is the number of bytes that are lent now.
func (p *Pool) Used() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	used := p.large.lent
	if p.small != nil {
		used += p.small.lent
	}
	return used
}

// Budget is the number of bytes that the pool was made with.
func (p *Pool) Budget() int64 { return p.cfg.Budget }

// Client describes the source of an upload.
type Client struct {
	Caller string // the access key; memory is shared equally among callers
	Most   int64  // bytes that the upload has at most, or -1 when unknown
	// Interrupt ends a Read that is in progress, and all later ones, with the
	// error. It is called from another goroutine, at most once, not after Close has returned, and must
	// not block. nil: the upload has no client, and is never ended for its rate.
	Interrupt func(error)
}

// Open begins an upload, which the caller must Close. It holds no memory yet.
func (p *Pool) Open(c Client) *Upload {
	return &Upload{pool: p, client: c, small: c.Most >= 0 && c.Most <= int64(p.cfg.Unit)}
}

func (p *Pool) now() int64 { return int64(time.Since(p.epoch)) }

// look is the interval in which waiters look for clients that are too slow.
func (p *Pool) look() time.Duration {
	return min(time.Second, max(time.Millisecond, p.cfg.Lag/8))
}

// endSlow ends clients that are too slow if others wait for the memory that they hold.
func (p *Pool) endSlow(a *area) {
	p.mu.Lock()
	slow := a.tooSlow(p.now(), p.look())
	p.mu.Unlock()
	for _, u := range slow {
		u.interrupt(p.tooSlowError())
	}
}

func (p *Pool) tooSlowError() error {
	return store.Errorf(store.Canceled, "the body arrived too slowly: it was more than %v behind %s while other uploads waited for write memory", p.cfg.Lag, rate(p.cfg.MinRate)).
		WithLimit("upload_rate", 0).WithHint("Send it again over a faster connection, or fewer bodies at once.")
}

func (p *Pool) busy() error {
	return store.Errorf(store.Unavailable, "the gateway's write memory of %s was in use for %v (--write-memory)", size(p.cfg.Budget), p.cfg.Wait).
		WithLimit("write_memory", p.cfg.Wait).WithHint("Send it again in %v, or fewer uploads at once.", p.cfg.Wait)
}

func rate(n int64) string { return size(n) + " a second" }

func size(n int64) string {
	for _, unit := range []struct {
		bytes int64
		name  string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= unit.bytes && n%unit.bytes == 0 {
			return fmt.Sprintf("%d %s", n/unit.bytes, unit.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}

// wait waits until the upload is granted what it asked for.
func (p *Pool) wait(ctx context.Context, u *Upload, a *area) error {
	limit := time.NewTimer(p.cfg.Wait)
	defer limit.Stop()
	look := time.NewTicker(p.look())
	defer look.Stop()
	for {
		var err error
		p.endSlow(a)
		select {
		case <-u.granted:
			return nil
		case <-look.C:
			continue
		case <-ctx.Done():
			err = ctx.Err()
		case <-limit.C:
			err = p.busy()
		}
		p.mu.Lock()
		left := a.leave(u)
		p.mu.Unlock()
		if !left {
			<-u.granted // it was granted meanwhile
			return nil
		}
		return err
	}
}
