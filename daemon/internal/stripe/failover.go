package stripe

import (
	"errors"
	"fmt"
	"time"

	"github.com/ringstore/ringstore/daemon/internal/chunk"
	"github.com/ringstore/ringstore/daemon/internal/store"
)

var (
	// errAgain: a chunk was abandoned, and the stripe must be read from others.
	errAgain = errors.New("read the stripe from other chunks")
	// errSlow: a chunk's unit took longer than those of its peers usually do.
	errSlow = errors.New("slower than its peers")
	// errOtherChunk: the bytes are intact, but they are not those of the chunk in the metadata.
	errOtherChunk = store.Errorf(store.Corrupt, "these are the bytes of another chunk")
)

// await takes the source's next unit. A source that is slower than its peers
// usually are is abandoned, as long as there are other chunks to read instead.
func (r *Reader) await(src *source) (chunk.Unit, error) {
	began := time.Now()
	select {
	case got := <-src.units: // the usual case: it was read ahead
		r.io.units.add(time.Since(began))
		return got.unit, got.err
	default:
	}
	var hedge <-chan time.Time
	if r.spares() {
		timer := time.NewTimer(r.io.units.hedge(r.io.cfg.HedgeFloor))
		defer timer.Stop()
		hedge = timer.C
	}
	stall := time.NewTimer(r.io.cfg.Stall)
	defer stall.Stop()
	select {
	case got := <-src.units:
		r.io.units.add(time.Since(began))
		return got.unit, got.err
	case <-hedge:
		return chunk.Unit{}, errSlow
	case <-stall.C:
		return chunk.Unit{}, store.Errorf(store.Unavailable, "the node sent nothing for %v", r.io.cfg.Stall)
	case <-r.ctx.Done():
		return chunk.Unit{}, r.ctx.Err()
	}
}

// spares reports whether enough good chunks are left that one can be abandoned for being slow.
func (r *Reader) spares() bool {
	good, unread := 0, 0
	for i, state := range r.state[:r.layout.Width()] {
		if state == chunkGood {
			good++
			if r.sources[i] == nil {
				unread++
			}
		}
	}
	return unread > 0 && good > r.layout.K
}

// abandon records why the chunk cannot be read further, reports that, and returns errAgain.
func (r *Reader) abandon(index int, err error) error {
	if r.ctx.Err() != nil {
		return r.ctx.Err()
	}
	if errors.Is(err, errSlow) {
		r.state[index] = chunkSlow
		return errAgain
	}
	node := r.part.Chunks[index].Node
	if r.moved(index) {
		return errAgain
	}
	r.state[index] = chunkFailed
	r.causes = append(r.causes, &store.Error{Kind: store.KindOf(err), Item: "chunk " + r.part.ChunkID(index).String() + " on node " + node.String(), Err: err})
	switch kind := store.KindOf(err); {
	case r.gone:
	case kind == store.NotFound, kind == store.Corrupt, kind == store.OutOfRange:
		r.io.reportDamage(r.ctx, r.part, index, r.failed(), err)
	default:
		r.io.cfg.Fleet.Report(node, err)
	}
	return errAgain
}

// failed is the set of the chunks that are missing, damaged, or failed in this read.
func (r *Reader) failed() (chunks store.ChunkSet) {
	for i := range r.part.Chunks {
		if r.state[i] == chunkFailed {
			chunks |= store.NewChunkSet(i)
		}
	}
	return chunks
}

// moved reads the part's placements again, once for each chunk that cannot be read: during the read it may
// have been moved, or its file deleted. True if the chunk is on another node now.
func (r *Reader) moved(index int) bool {
	if r.looked[index] || r.gone {
		return false
	}
	r.looked[index] = true
	now, _, err := r.io.cfg.Meta.Part(r.ctx, r.part.ID)
	switch {
	case errors.Is(err, store.NotFound):
		r.gone = true
		return false
	case err != nil || len(now.Chunks) < len(r.part.Chunks):
		return false
	}
	was := r.part.Chunks[index]
	r.part.Chunks = now.Chunks[:len(r.part.Chunks)] // a part that was widened is read as it was
	return r.part.Chunks[index] != was && !r.part.Chunks[index].Node.IsZero()
}

// verify checks a unit that arrived. Nodes compare each unit with a checksum that is stored beside it, which does not prove
// that the chunk is the right one, so the sum of a chunk that is read whole is compared with the metadata. For chunks of one unit, and
// so for all small files, that is done before a byte is delivered. Of a longer chunk only the last unit is withheld, and the
// read fails. For a chunk that is reconstructed, each unit's checksum is computed again: the
// new chunk gets new checksums, which would hide a wrong byte.
func (r *Reader) verify(index, s int, u chunk.Unit, length int) error {
	if len(u.Data) != length {
		return store.Errorf(store.Corrupt, "unit %d has %d bytes, expected %d", s, len(u.Data), length)
	}
	if len(r.chunks) > 0 {
		if err := u.Check(); err != nil {
			return err
		}
	}
	if !r.whole[index] {
		return nil
	}
	r.sums[index] = r.sums[index].Add(u.CRC)
	want := r.part.Chunks[index].Sum
	if s < r.layout.Stripes(r.part.Size)-1 || r.sums[index] == want {
		return nil
	}
	return fmt.Errorf("%w: sum %08x, expected %08x", errOtherChunk, uint32(r.sums[index]), uint32(want))
}

// tooFew is the error of a read for which fewer than K chunks are left.
func (r *Reader) tooFew(got int) error {
	if r.gone {
		return store.Errorf(store.NotFound, "the file was deleted, and its chunks are removed from their nodes")
	}
	kind := store.Unavailable
	for _, err := range r.causes {
		if k := store.KindOf(err); k == store.Corrupt || k == store.NotFound {
			kind = store.Corrupt
		}
	}
	for _, state := range r.state {
		if state == chunkAway {
			kind = store.Unavailable
		}
	}
	e := store.Errorf(kind, "%d of the %d chunks of part %s can be read, %d are needed: %w", got, r.layout.Width(), r.part.ID, r.layout.K, firstFew(r.causes))
	return e.WithHint("Start the storage nodes that are missing.")
}
