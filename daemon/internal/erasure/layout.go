// Package erasure cuts parts into stripes and protects them with Reed-Solomon
// parity. It knows no disk and no network. [Layout] is the arithmetic, [Code] the coding, [Stripe] a
// stripe that is filled from a body, in memory lent by package writemem.
package erasure

import (
	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// Layout is how a part is cut: K data and M parity chunks in units of
// UnitSize bytes. K = 1 means M+1 whole copies.
type Layout struct {
	K, M     int
	UnitSize int // bytes
}

// LayoutOf returns the layout that a part was written with.
func LayoutOf(p store.Part) Layout { return Layout{K: p.K, M: p.M, UnitSize: p.UnitSize} }

// Validate reports the first rule that the layout breaks, as Invalid.
func (l Layout) Validate() error {
	switch {
	case l.K < 1 || l.M < 0 || l.K+l.M > store.MaxChunksPerPart:
		return store.Errorf(store.Invalid, "a layout of %d+%d chunks is not within 1+0 and %d in all", l.K, l.M, store.MaxChunksPerPart)
	case l.UnitSize < 1 || l.UnitSize > chunk.MaxUnitSize:
		return store.Errorf(store.Invalid, "unit size %d is not within 1..%d bytes", l.UnitSize, chunk.MaxUnitSize)
	}
	return nil
}

// Width is the number of chunks, K+M.
func (l Layout) Width() int { return l.K + l.M }

// StripeSize is the number of data bytes in a full stripe.
func (l Layout) StripeSize() int { return l.K * l.UnitSize }

// Stripes is the number of stripes in a part of size bytes.
func (l Layout) Stripes(size int64) int {
	stripe := int64(l.StripeSize())
	return int((size + stripe - 1) / stripe)
}

// DataLen is the number of data bytes in the stripe of a part of size bytes;
// 0 past the end.
func (l Layout) DataLen(size int64, stripe int) int {
	rest := size - int64(stripe)*int64(l.StripeSize())
	return int(max(0, min(rest, int64(l.StripeSize()))))
}

// UnitLen is the length of each of the stripe's units: UnitSize, or for a last
// short stripe of r bytes ceil(r/K), so that the chunks of a part are equally long.
func (l Layout) UnitLen(size int64, stripe int) int {
	return l.unitLen(l.DataLen(size, stripe))
}

func (l Layout) unitLen(data int) int { return (data + l.K - 1) / l.K }

// Span is a run of bytes inside one data unit of one stripe.
type Span struct {
	Index    int // of the data chunk
	From, To int // within the unit
}

// Spans returns, in order, the runs of the stripe's data units that hold the
// bytes [off, end) of a part of size bytes. Empty where the stripe has none of them.
func (l Layout) Spans(size int64, stripe int, off, end int64) []Span {
	begin := int64(stripe) * int64(l.StripeSize())
	from := int(max(0, min(off-begin, int64(l.StripeSize()))))
	to := int(max(0, min(end-begin, int64(l.DataLen(size, stripe)))))
	unit := l.UnitLen(size, stripe)
	var spans []Span
	for at := from; at < to; {
		i := at / unit
		stop := min(to, (i+1)*unit)
		spans = append(spans, Span{Index: i, From: at - i*unit, To: stop - i*unit})
		at = stop
	}
	return spans
}
