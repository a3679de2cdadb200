package repair

import (
	"context"
	"errors"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/store"
	"github.com/ringstore/ringstore/daemon/internal/stripe"
)

// rebuild writes the chunk to the target node and returns its sum. The bytes come from the chunk itself unless it is lost, and
// otherwise from any K others. When it returns nil the chunk is durable, and equal to the one before wherever the sum of that is known.
// Errors of the target are refusals.
func (l *Loop) rebuild(ctx context.Context, p *chunkTask, lost bool, target store.NodeID) (store.ChunkSum, error) {
	in, err := l.io.ReadChunk(ctx, p.part, p.index, lost)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	label, err := in.Label()
	if err != nil {
		return 0, err
	}
	only := p.part
	only.Chunks = make([]store.Placement, len(p.part.Chunks))
	only.Chunks[p.index].Node = target
	out := l.io.Write(ctx, stripe.WriteSpec{Part: only, Size: only.Size, Required: -1})
	defer out.Abort()
	sum, err := transfer(ctx, p.index, in, out)
	if err != nil {
		return 0, err
	}
	if before := p.at.Sum; before != 0 && before != sum {
		return 0, store.Errorf(store.Corrupt, "chunk %s was reconstructed with sum %08x instead of %08x", p.id(), sum, before)
	}
	_, err = out.Commit(label)
	if err == nil {
		err = refused(out.Failure(p.index))
	}
	if err != nil && len(out.Uncertain()) > 0 {
		err = errors.Join(err, l.takeBack(ctx, p, target))
	}
	return sum, err
}

// transfer sends all units of the chunk and returns its sum.
func transfer(ctx context.Context, index int, in *stripe.Reader, out *stripe.Writer) (sum store.ChunkSum, err error) {
	var units [store.MaxChunksPerPart]chunk.Unit // none but the chunk's
	first, last := in.Stripes()
	for s := first; s <= last; s++ {
		u, err := in.Unit(s)
		if err != nil {
			return 0, err
		}
		sum = sum.Add(u.CRC)
		units[index] = u
		out.Send(units[:index+1])
		if err := errors.Join(ctx.Err(), refused(out.Failure(index))); err != nil {
			return 0, err
		}
	}
	return sum, nil
}

// refused makes an error of the target a refusal.
func refused(err error) error {
	if err == nil {
		return nil
	}
	return &refusal{err}
}
