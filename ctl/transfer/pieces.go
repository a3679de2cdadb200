package transfer

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/dustin/go-humanize"

	"github.com/ringstore/ringstore/proto/checksum"
	"github.com/ringstore/ringstore/proto/rest"
)

// span is a range of a file.
type span struct{ off, n int64 }

func (s span) end() int64 { return s.off + s.n }

// piece is a range that has arrived, with the CRC64NVME of its bytes.
type piece struct {
	span
	crc uint64
}

// pieces divide a file of a transfer into the ranges that have arrived, those in progress, and the free ones, which are neither.
// None of them overlap. The methods are safe for concurrent use.
type pieces struct {
	size int64
	unit int64 // pieces begin at multiples of it, and end there or with the file

	mu      sync.Mutex      // guards what follows
	changed *sync.Cond      // of mu: spans were released, or a wait has ended
	have    map[int64]piece // those that have arrived, by offset
	free    []span          // in order; not adjacent
	busy    int             // spans in progress
}

// newPieces is a file of which nothing has arrived.
func newPieces(size, unit int64) *pieces {
	p := &pieces{size: size, unit: unit, have: map[int64]piece{}}
	p.changed = sync.NewCond(&p.mu)
	p.reset()
	return p
}

// reset makes the whole file free. Nothing is in progress.
func (p *pieces) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.have)
	p.free = nil
	if p.size > 0 {
		p.free = []span{{0, p.size}}
	}
}

// add records a piece of an earlier run. It reports false, and changes nothing, if the piece is not possible: outside of the file,
// not of whole units, or not free.
func (p *pieces) add(one piece) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	possible := one.off >= 0 && one.n > 0 && one.n <= p.size-one.off && one.off%p.unit == 0 && (one.n%p.unit == 0 || one.end() == p.size)
	if !possible {
		return false
	}
	i := slices.IndexFunc(p.free, func(s span) bool { return s.off <= one.off && one.end() <= s.end() })
	if i < 0 {
		return false
	}
	s := p.free[i]
	rest := slices.DeleteFunc([]span{{s.off, one.off - s.off}, {one.end(), s.end() - one.end()}}, func(s span) bool { return s.n == 0 })
	p.free = slices.Replace(p.free, i, i+1, rest...)
	p.have[one.off] = one
	return true
}

// take returns the first free span of at most so many bytes, which is then in progress. It waits while none is free but some in
// progress may become so. It reports false when nothing is free or in progress any more, or ctx has ended.
func (p *pieces) take(ctx context.Context, most int64) (span, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := waitFor(ctx, p.changed, func() bool { return len(p.free) > 0 || p.busy == 0 })
	if err != nil || len(p.free) == 0 {
		return span{}, false
	}
	first := &p.free[0]
	s := span{first.off, min(first.n, most)}
	first.off, first.n = s.end(), first.n-s.n
	if first.n == 0 {
		p.free = p.free[1:]
	}
	p.busy++
	return s, true
}

// record records a piece of a span in progress.
func (p *pieces) record(one piece) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.have[one.off] = one
}

// release ends the progress of a span. rest is what of it has not arrived; it becomes free.
func (p *pieces) release(rest span) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy--
	p.freed(rest)
	p.changed.Broadcast()
}

// drop makes a piece that has arrived free again.
func (p *pieces) drop(off int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.freed(p.have[off].span)
	delete(p.have, off)
}

// freed adds a span to those that are free; mu is held.
func (p *pieces) freed(s span) {
	if s.n == 0 {
		return
	}
	i, _ := slices.BinarySearchFunc(p.free, s.off, func(have span, off int64) int { return cmp.Compare(have.off, off) })
	p.free = slices.Insert(p.free, i, s)
	if i+1 < len(p.free) && p.free[i].end() == p.free[i+1].off {
		p.free[i].n += p.free[i+1].n
		p.free = slices.Delete(p.free, i+1, i+2)
	}
	if i > 0 && p.free[i-1].end() == p.free[i].off {
		p.free[i-1].n += p.free[i].n
		p.free = slices.Delete(p.free, i, i+1)
	}
}

// arrived lists the pieces that have arrived, in order.
func (p *pieces) arrived() []piece {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.SortedFunc(maps.Values(p.have), func(a, b piece) int { return cmp.Compare(a.off, b.off) })
}

// bytes is how many bytes have arrived.
func (p *pieces) bytes() (sum int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, one := range p.have {
		sum += one.n
	}
	return sum
}

// whole reports whether all bytes have arrived, and combines the checksums of those that have.
func (p *pieces) whole() (crc uint64, whole bool) {
	sum := int64(0)
	for _, one := range p.arrived() {
		crc = checksum.Combine(crc, one.crc, one.n)
		sum += one.n
	}
	return crc, sum == p.size
}

// number is that of the part of a session that begins at an offset.
func (p *pieces) number(off int64) int { return int(off/p.unit) + 1 }

// refs lists all pieces as a session is completed with them.
func (p *pieces) refs() []rest.PartRef {
	all := p.arrived()
	refs := make([]rest.PartRef, len(all))
	for i, one := range all {
		refs[i] = rest.PartRef{Number: p.number(one.off), CRC64NVME: checksum.Encode(one.crc)}
	}
	return refs
}

// String describes how much has arrived: "1.0 GiB of 4.0 GiB".
func (p *pieces) String() string {
	return humanize.IBytes(uint64(p.bytes())) + " of " + humanize.IBytes(uint64(p.size))
}
