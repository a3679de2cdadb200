package erasure

import (
	"context"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/writemem"
)

// firstBuffer is the size in bytes of the buffer for the first bytes of an upload. It grows by
// a factor of growth, so that a client which stalls early holds little memory.
const (
	firstBuffer = 4 << 10
	growth      = 4
)

// Stripe is one stripe that is being filled: a buffer for each data unit, taken when the
// first byte for it has arrived, and buffers for the parity once the data is
// complete. Where the stripe's size was announced, a body's bytes are read directly into the
// units; otherwise a short last stripe is cut again when its size is known.
//
// It is used by one goroutine, except Share. Release must be called in all cases.
type Stripe struct {
	mem    *writemem.Upload
	layout Layout
	unit   int                // data bytes of a buffer, by the announced size
	first  int                // initial bytes of the first buffer
	size   int                // data bytes so far
	bufs   []*writemem.Buffer // data units in order, then parity; empty once they were passed on
}

// NewStripe returns a stripe of the layout for up to size data bytes (0: unknown, a full stripe).
// It holds no memory yet. Error: TooLarge when the write memory could never hold it.
func NewStripe(mem *writemem.Upload, l Layout, size int) (*Stripe, error) {
	s := &Stripe{mem: mem, layout: l, unit: l.UnitSize}
	if size > 0 && size < l.StripeSize() {
		s.unit = l.unitLen(size)
	}
	s.first = s.unit
	if err := mem.Begin(s.buffers() * writemem.Class(s.unit)); err != nil {
		return nil, err
	}
	s.bufs = make([]*writemem.Buffer, 0, s.buffers())
	return s, nil
}

// NewFirstStripe is NewStripe for the first one of a body, of which nothing has arrived: its first buffer starts small.
func NewFirstStripe(mem *writemem.Upload, l Layout, size int) (*Stripe, error) {
	s, err := NewStripe(mem, l, size)
	if err != nil {
		return nil, err
	}
	s.first = min(s.unit, firstBuffer)
	return s, nil
}

// MaxMemory is the write memory in bytes of the largest stripe with units of unitSize bytes.
func MaxMemory(unitSize int) int { return store.MaxChunksPerPart * writemem.Class(unitSize) }

// buffers is the number of buffers that the stripe needs; copies share the data unit.
func (s *Stripe) buffers() int {
	if s.layout.K == 1 {
		return 1
	}
	return s.layout.Width()
}

// Len is the number of data bytes so far.
func (s *Stripe) Len() int { return s.size }

// Full reports whether no more data fits.
func (s *Stripe) Full() bool { return s.size == s.layout.K*s.unit }

// Space is the memory for the next bytes: read into it, then call Add. When it is
// empty and the stripe is not full, call Extend.
func (s *Stripe) Space() []byte {
	last := len(s.bufs) - 1
	if last < 0 {
		return nil
	}
	data := s.bufs[last].Data
	return data[s.size-last*s.unit : min(len(data), s.unit)]
}

// Add counts n bytes that were put into Space.
func (s *Stripe) Add(n int) { s.size += n }

// Extend waits for memory for the bytes after those so far. Call it only when a byte for it has
// arrived. Errors: those of writemem.Upload.Take.
func (s *Stripe) Extend(ctx context.Context) error {
	if len(s.bufs) == 1 && len(s.bufs[0].Data) < s.unit {
		b, err := s.mem.Grow(ctx, s.bufs[0], min(s.unit, growth*len(s.bufs[0].Data)))
		if err == nil {
			s.bufs[0] = b
		}
		return err
	}
	n := s.unit
	if len(s.bufs) == 0 {
		n = s.first
	}
	return s.take(ctx, n)
}

func (s *Stripe) take(ctx context.Context, n int) error {
	b, err := s.mem.Take(ctx, n)
	if err == nil {
		s.bufs = append(s.bufs, b)
	}
	return err
}

// Data is the data of a stripe of at most one unit.
func (s *Stripe) Data() []byte {
	if len(s.bufs) == 0 {
		return nil
	}
	return s.bufs[0].Data[:s.size]
}

// Units takes the rest of the memory, pads the data to K equal units, computes the parity with
// code, and returns all K+M units with their checksums. The units own the memory from then
// on. dst is reused if it has room. Errors: those of writemem.Upload.Take.
func (s *Stripe) Units(ctx context.Context, code *Code, dst []chunk.Unit) ([]chunk.Unit, error) {
	l := s.layout
	unit := l.unitLen(s.size)
	for len(s.bufs) < l.K {
		if err := s.take(ctx, unit); err != nil {
			return nil, err
		}
	}
	s.cut(unit)
	for len(s.bufs) < s.buffers() {
		if err := s.take(ctx, unit); err != nil {
			return nil, err
		}
	}
	s.mem.Finish()
	var array [store.MaxChunksPerPart][]byte
	views := array[:l.Width()]
	for i := range s.bufs {
		views[i] = s.bufs[i].Data[:unit:unit]
	}
	if err := code.Encode(views); err != nil {
		return nil, err
	}
	return s.passOn(views, dst), nil
}

// cut moves the data so that each of K buffers has unit bytes of it, padded with zeros. Every byte
// stays or moves to a higher position, so buffers are filled from the last to the first.
func (s *Stripe) cut(unit int) {
	for i := s.layout.K - 1; i >= 0; i-- {
		from, to := min(i*unit, s.size), min((i+1)*unit, s.size)
		dst := s.bufs[i].Data[:unit]
		clear(dst[to-from:])
		if unit == s.unit {
			continue
		}
		for to > from {
			b := (to - 1) / s.unit
			begin := max(from, b*s.unit)
			copy(dst[begin-from:to-from], s.bufs[b].Data[begin-b*s.unit:to-b*s.unit])
			to = begin
		}
	}
}

func (s *Stripe) passOn(views [][]byte, dst []chunk.Unit) []chunk.Unit {
	dst = dst[:0]
	if s.layout.K == 1 {
		s.bufs[0].Retain(len(views) - 1)
	}
	for i, v := range views {
		if s.layout.K == 1 && i > 0 {
			dst = append(dst, chunk.Unit{Data: v, CRC: dst[0].CRC, Owner: s.bufs[0]})
			continue
		}
		dst = append(dst, chunk.NewUnit(v, s.bufs[i]))
	}
	s.bufs = s.bufs[:0]
	return dst
}

// Share returns the data of a stripe of at most one unit, unpadded, as n units with the same
// memory, for whole copies. Each unit holds its own reference; the stripe keeps one until Release.
// No more bytes may be added afterwards. Safe for concurrent use.
func (s *Stripe) Share(n int) []chunk.Unit {
	s.mem.Finish()
	units := make([]chunk.Unit, n)
	crc := chunk.CRC32C(s.Data())
	for i := range units {
		units[i] = chunk.Unit{Data: s.Data(), CRC: crc, Owner: s.bufs[0]}
	}
	s.bufs[0].Retain(n)
	return units
}

// Release returns the memory that was not passed on. It may be called more than once.
func (s *Stripe) Release() {
	for _, b := range s.bufs {
		b.Release()
	}
	s.bufs = s.bufs[:0]
	s.mem.Finish()
}
