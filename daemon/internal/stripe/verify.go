package stripe

import (
	"context"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

// verifyLimit bounds a check by a node, which reports nothing before its end.
const verifyLimit = 5 * time.Minute

// Verify compares the whole chunk, on the node where the part places it, with the metadata. Nil: it is intact. NotFound,
// Corrupt and OutOfRange: it is lost there. Other errors: it cannot be determined now.
func (o *IO) Verify(ctx context.Context, p store.Part, index int) error {
	id, at := p.ChunkID(index), p.Chunks[index]
	chunks, err := o.cfg.Fleet.Chunks(at.Node)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, verifyLimit)
	defer cancel()
	info, err := chunks.Stat(ctx, id)
	if err != nil {
		return err
	}
	if info.Sum != at.Sum || info.Size != p.ChunkSize() {
		return store.Errorf(store.Corrupt, "chunk %s has %d bytes with sum %08x, not %d with %08x", id, info.Size, info.Sum, p.ChunkSize(), at.Sum)
	}
	return chunk.Verify(ctx, chunks, id)
}

// label returns the label of the part's chunks, which is the same for all of them, from the first that can be read.
func (r *Reader) label() (chunk.Label, error) {
	var last error = store.Errorf(store.Unavailable, "no chunk of part %s can be read now", r.part.ID)
	for i := range r.part.Chunks {
		if r.state[i] >= chunkAway {
			continue
		}
		info, err := r.io.Stat(r.ctx, r.part.Chunks[i].Node, r.part.ChunkID(i))
		if err == nil {
			return info.Label, nil
		}
		if r.ctx.Err() != nil {
			return chunk.Label{}, r.ctx.Err()
		}
		last = err
	}
	return chunk.Label{}, last
}

// Stat looks for a chunk on the node, which is reported if it does not answer. Errors: those of chunk.Store.Stat.
func (o *IO) Stat(ctx context.Context, node store.NodeID, id store.ChunkID) (chunk.Info, error) {
	chunks, err := o.cfg.Fleet.Chunks(node)
	if err != nil {
		return chunk.Info{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, o.cfg.Stall)
	defer cancel()
	info, err := chunks.Stat(ctx, id)
	if err != nil {
		o.cfg.Fleet.Report(node, err)
	}
	return info, err
}
