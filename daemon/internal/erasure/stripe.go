package erasure

import (
	"context"
	"io"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/semaphore"

	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Pool lends the memory for stripes, never more than its budget at a time.
// Who finds it empty waits, first come first served. Safe for concurrent use.
//
// Nobody may wait for a second loan while the first one depends on the second
// to be given back; a writer that sends a stripe off and then asks for the next keeps
// that rule, because what was sent comes back by itself.
type Pool struct {
	budget int64
	sem    *semaphore.Weighted
	used   atomic.Int64
	free   sync.Map // int (bytes) -> *sync.Pool of *[]byte
}

// NewPool makes a pool of budget bytes.
func NewPool(budget int64) *Pool {
	return &Pool{budget: budget, sem: semaphore.NewWeighted(budget)}
}

// Used is the number of bytes lent now; Budget the most there can be.
func (p *Pool) Used() int64 { return p.used.Load() }

// Budget is the number of bytes the pool was made with.
func (p *Pool) Budget() int64 { return p.budget }

// Stripe waits for the memory of one stripe of the layout whose data has up to
// size bytes (at most, and for 0, a full stripe). The caller holds one reference
// and gives it back with Release. Errors: the context's; TooLarge when the
// budget could never hold it.
func (p *Pool) Stripe(ctx context.Context, l Layout, size int) (*Stripe, error) {
	unit := l.UnitSize
	if size > 0 && size < l.StripeSize() {
		unit = l.unitLen(size)
	}
	parity := l.M
	if l.K == 1 {
		parity = 0 // copies share the data unit
	}
	want := roundUp((l.K + parity) * unit)
	if int64(want) > p.budget {
		return nil, store.Errorf(store.TooLarge, "a stripe of %d bytes is over the memory budget of %d bytes", want, p.budget)
	}
	if err := p.sem.Acquire(ctx, int64(want)); err != nil {
		return nil, err
	}
	p.used.Add(int64(want))
	s := &Stripe{pool: p, layout: l, cap: l.K * unit, mem: p.take(want)}
	s.refs.Store(1)
	return s, nil
}

// roundUp limits the number of sizes that lie about: powers of two up to 64 KiB, then multiples of that.
func roundUp(n int) int {
	const step = 64 << 10
	if n > step {
		return (n + step - 1) / step * step
	}
	size := 1 << 10
	for size < n {
		size <<= 1
	}
	return size
}

func (p *Pool) take(n int) *[]byte {
	if list, ok := p.free.Load(n); ok {
		if b, ok := list.(*sync.Pool).Get().(*[]byte); ok {
			return b
		}
	}
	b := make([]byte, n)
	return &b
}

func (p *Pool) give(b *[]byte) {
	n := len(*b)
	list, ok := p.free.Load(n)
	if !ok {
		list, _ = p.free.LoadOrStore(n, new(sync.Pool))
	}
	list.(*sync.Pool).Put(b)
	p.used.Add(-int64(n))
	p.sem.Release(int64(n))
}

// Stripe is the memory of one stripe: its data in one run, so that the bytes
// of a body are read straight into place however long they turn out to be, and
// its parity behind. It is counted: each unit that was handed out is one reference.
type Stripe struct {
	pool   *Pool
	layout Layout
	mem    *[]byte
	cap    int // data bytes that fit
	size   int // data bytes that are in
	refs   atomic.Int32
}

// Release gives one reference back; the last one returns the memory.
func (s *Stripe) Release() {
	switch n := s.refs.Add(-1); {
	case n == 0:
		s.pool.give(s.mem)
		s.mem = nil
	case n < 0:
		panic("erasure: stripe released more often than it was lent")
	}
}

// Data is the stripe's data so far. It may be changed only before Units.
func (s *Stripe) Data() []byte { return (*s.mem)[:s.size] }

// Len is the number of data bytes that are in.
func (s *Stripe) Len() int { return s.size }

// Fill reads from r until the stripe is full or r ends, after what is in
// already. It returns io.EOF when r ended (with or without bytes before), and
// any other error as it came: above all io.ErrUnexpectedEOF, with which an HTTP
// body tells that the client went away, and which must never pass for the end.
func (s *Stripe) Fill(r io.Reader) error {
	for s.size < s.cap {
		n, err := r.Read((*s.mem)[s.size:s.cap])
		s.size += n
		if err != nil {
			return err
		}
	}
	return nil
}

// Full reports whether no more data fits.
func (s *Stripe) Full() bool { return s.size == s.cap }

// Units pads the data to K equal units, computes the parity with code, and
// returns all K+M units with their checksums. Each unit holds a reference of
// its own; the caller's stays with the caller. dst is reused if it has room.
func (s *Stripe) Units(code *Code, dst []store.Unit) ([]store.Unit, error) {
	l := s.layout
	unit := l.unitLen(s.size)
	buf := *s.mem
	clear(buf[s.size : l.K*unit])
	var array [store.MaxChunksPerPart][]byte
	views := array[:l.Width()]
	for i := range views {
		if l.K == 1 {
			views[i] = buf[:unit:unit]
			continue
		}
		views[i] = buf[i*unit : (i+1)*unit : (i+1)*unit]
	}
	if err := code.Encode(views); err != nil {
		return nil, err
	}
	dst = dst[:0]
	for i, v := range views {
		if l.K == 1 && i > 0 {
			dst = append(dst, store.Unit{Data: v, CRC: dst[0].CRC, Owner: s})
			continue
		}
		dst = append(dst, store.NewUnit(v, s))
	}
	s.refs.Add(int32(len(dst)))
	return dst, nil
}

// Share hands out the data as it is, unpadded, as one unit n times, for whole
// copies. Each unit holds a reference of its own; the caller's stays with the caller.
func (s *Stripe) Share(n int) []store.Unit {
	units := make([]store.Unit, n)
	crc := store.CRC32C(s.Data())
	for i := range units {
		units[i] = store.Unit{Data: s.Data(), CRC: crc, Owner: s}
	}
	s.refs.Add(int32(n))
	return units
}
